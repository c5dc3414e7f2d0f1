//! Settings: what the station tells of itself.

use serde::{Deserialize, Deserializer};

/// Longest time between two reports, in seconds: a day.
const MAX_INTERVAL_S: u32 = 86_400;

/// How often the server is told how the station is.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Status {
    /// Seconds from report to report; 0: none.
    #[serde(deserialize_with = "interval_s")]
    pub interval_s: u32,
}

impl Default for Status {
    fn default() -> Self {
        Self { interval_s: 300 }
    }
}

fn interval_s<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let seconds = u32::deserialize(deserializer)?;
    if seconds == 0 || (10..=MAX_INTERVAL_S).contains(&seconds) {
        return Ok(seconds);
    }
    Err(serde::de::Error::custom(format!(
        "a station reports every 10 to {MAX_INTERVAL_S} s, or never (0), not {seconds}"
    )))
}
