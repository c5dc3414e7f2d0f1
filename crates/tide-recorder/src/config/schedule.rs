//! Settings: when photos are taken, beside the interval.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer};

/// Most photos of one burst. Ours: a minute's worth of waves at one a second.
const MAX_BURST_FRAMES: u32 = 60;

/// When photos are taken, beside the interval.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Always, or while there is daylight.
    pub window: Window,
    /// For `daylight`: how high the sun's centre must stand, in degrees; -6 is where civil twilight ends (US Naval Observatory,
    /// aa.usno.navy.mil/faq/RST_defs), the limit of what can be told apart outdoors without a lamp.
    #[serde(deserialize_with = "sun_above_deg")]
    pub sun_above_deg: f64,
    /// Hours of the day in which photos are taken, as `06:00-20:00`; none means all. One that ends before it begins goes over
    /// midnight.
    pub hours: Vec<Hours>,
    /// The zone of these hours: `UTC`, `local`, or a name such as `Europe/Athens`.
    #[serde(deserialize_with = "zone")]
    pub zone: TimeZone,
    /// Photos at each shot.
    #[serde(deserialize_with = "burst_frames")]
    pub burst_frames: u32,
    /// Milliseconds from the beginning of one photo of a burst to that of the next.
    pub burst_gap_ms: u32,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            window: Window::Always,
            sun_above_deg: -6.0,
            hours: Vec::new(),
            zone: TimeZone::UTC,
            burst_frames: 1,
            burst_gap_ms: 1_000,
        }
    }
}

impl Schedule {
    /// How long a burst lasts, in milliseconds.
    pub fn burst_ms(&self) -> u64 {
        u64::from(self.burst_gap_ms) * u64::from(self.burst_frames.saturating_sub(1))
    }
}

/// By day or always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Window {
    /// Day and night.
    Always,
    /// While the sun is high enough.
    Daylight,
}

impl TryFrom<String> for Window {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "always" => Ok(Self::Always),
            "daylight" => Ok(Self::Daylight),
            _ => Err(format!("a window is `always` or `daylight`, not `{word}`")),
        }
    }
}

/// Part of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Hours {
    from: Time,
    to: Time,
}

impl Hours {
    /// Whether a time of day lies in it; the end does not.
    pub fn contain(self, time: Time) -> bool {
        match self.from <= self.to {
            true => (self.from..self.to).contains(&time),
            false => time >= self.from || time < self.to,
        }
    }
}

impl TryFrom<String> for Hours {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = text.split_once('-').and_then(|(from, to)| Some(Self { from: minute(from)?, to: minute(to)? }));
        let parsed = parsed.filter(|hours| hours.from != hours.to);
        parsed.ok_or_else(|| format!("hours are written as `06:00-20:00`, from 00:00 to 24:00, not `{text}`"))
    }
}

/// `HH:MM`; 24:00 is the midnight at which the next day begins.
fn minute(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 {
        return None;
    }
    match (hour, minute) {
        ("24", "00") => Some(Time::midnight()),
        _ => Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok(),
    }
}

fn zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeZone, D::Error> {
    let name = String::deserialize(deserializer)?;
    let found = match name.as_str() {
        "local" => TimeZone::try_system(),
        "UTC" => Ok(TimeZone::UTC),
        name => TimeZone::get(name),
    };
    found.map_err(|_| {
        let sentence =
            format!("a zone is `UTC`, `local` or a name such as `Europe/Athens` that the system knows, not `{name}`");
        serde::de::Error::custom(sentence)
    })
}

fn sun_above_deg<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let degrees = f64::deserialize(deserializer)?;
    match (-90.0..=90.0).contains(&degrees) {
        true => Ok(degrees),
        false => Err(serde::de::Error::custom(format!("the sun stands -90 to 90 degrees high, not {degrees}"))),
    }
}

fn burst_frames<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let frames = u32::deserialize(deserializer)?;
    match (1..=MAX_BURST_FRAMES).contains(&frames) {
        true => Ok(frames),
        false => Err(serde::de::Error::custom(format!("a burst is 1 to {MAX_BURST_FRAMES} photos, not {frames}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(text: &str) -> Result<Hours, String> {
        Hours::try_from(text.to_owned())
    }

    #[test]
    fn hours_of_a_day_and_over_midnight() {
        let at = |text: &str, hour, minute| hours(text).unwrap().contain(Time::constant(hour, minute, 0, 0));
        assert!(at("06:00-20:00", 6, 0) && at("06:00-20:00", 19, 59));
        assert!(!at("06:00-20:00", 5, 59) && !at("06:00-20:00", 20, 0));
        assert!(at("22:00-04:30", 23, 0) && at("22:00-04:30", 4, 29) && !at("22:00-04:30", 4, 30));
        assert!(at("18:00-24:00", 23, 59) && !at("18:00-24:00", 0, 0));
    }

    #[test]
    fn what_is_no_part_of_a_day_is_refused() {
        for bad in ["", "6-20", "06:00", "06:00-25:00", "06:60-07:00", "06:00-06:00", "-1:00-02:00"] {
            assert!(hours(bad).unwrap_err().contains("06:00-20:00"), "{bad}");
        }
    }
}
