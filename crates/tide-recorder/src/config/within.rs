//! Numbers that exist only between two bounds, so that a bad one is refused with its line.

use serde::{Deserialize, Deserializer};

/// A whole number from `LOW` to `HIGH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole<const LOW: u32, const HIGH: u32>(pub u32);

impl<'de, const LOW: u32, const HIGH: u32> Deserialize<'de> for Whole<LOW, HIGH> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        let refusal = || serde::de::Error::custom(format!("the number is {LOW} to {HIGH}, not {number}"));
        let whole = u32::try_from(number).ok().filter(|whole| (LOW..=HIGH).contains(whole));
        whole.map(Self).ok_or_else(refusal)
    }
}

/// Any number from `LOW` to `HIGH`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Real<const LOW: i32, const HIGH: i32>(pub f64);

impl<'de, const LOW: i32, const HIGH: i32> Deserialize<'de> for Real<LOW, HIGH> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        if (f64::from(LOW)..=f64::from(HIGH)).contains(&number) {
            return Ok(Self(number));
        }
        Err(serde::de::Error::custom(format!("the number is {LOW} to {HIGH}, not {number}")))
    }
}
