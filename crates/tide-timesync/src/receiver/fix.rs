//! One fix: what a receiver says of one moment.

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde::{Serialize, Serializer};

/// Which language a fix was told in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// NMEA 0183 sentences.
    Nmea,
    /// u-blox packets.
    Ubx,
    /// gpsd's JSON.
    Gpsd,
}

/// What a receiver says of one moment: the time, and how surely.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fix {
    /// The moment, UTC.
    #[serde(serialize_with = "to_the_millisecond")]
    pub time: Timestamp,
    /// 0 or 1 no fix, 2 in two dimensions, 3 in three (gpsd's numbers).
    pub mode: u8,
    /// Which language it was told in.
    pub origin: Origin,
    /// The receiver says that this is no measurement: dead reckoning, a simulation, or entered by hand.
    #[serde(skip_serializing_if = "is_false")]
    pub estimated: bool,
    /// The receiver does not know the leap seconds yet: it may be some seconds off.
    #[serde(skip_serializing_if = "is_false")]
    pub unresolved: bool,
    /// The time is within a leap second, 23:59:60; then `time` is the second after it, which the clock shows twice.
    #[serde(skip_serializing_if = "is_false")]
    pub leap_second: bool,
    /// Satellites used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub satellites: Option<u8>,
    /// The receiver's own bound for its time, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy_us: Option<u64>,
    /// GPS time less UTC, in seconds, as the receiver knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leap_seconds: Option<i8>,
    /// Degrees north of the equator (WGS 84).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees east of Greenwich.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// Metres above mean sea level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub altitude_m: Option<f64>,
    /// When its first message was heard whole, in microseconds since the boot; none in a recording.
    #[serde(skip)]
    pub heard_us: Option<u64>,
    /// How much later than a receiver's first message it may have been heard, in microseconds.
    #[serde(skip)]
    pub extra_delay_us: u64,
}

impl Fix {
    /// A fix of which nothing but time and mode are known.
    pub fn new(origin: Origin, time: Timestamp, mode: u8) -> Self {
        Self {
            time,
            mode,
            origin,
            estimated: false,
            unresolved: false,
            leap_second: false,
            satellites: None,
            accuracy_us: None,
            leap_seconds: None,
            latitude: None,
            longitude: None,
            altitude_m: None,
            heard_us: None,
            extra_delay_us: 0,
        }
    }

    /// The moment in milliseconds since 1970 UTC, rounded to the nearest.
    pub fn rounded_ms(&self) -> i64 {
        rounded(self.time).as_millisecond()
    }

    /// The line that `tide-timesync fixes` prints.
    pub fn to_json(&self) -> String {
        // A struct of plain fields always has a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// RFC 3339 with three digits, rounded to the nearest, as gpsd writes it.
fn to_the_millisecond<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{:.3}", rounded(*time)))
}

fn rounded(time: Timestamp) -> Timestamp {
    time.round(TimestampRound::new().smallest(Unit::Millisecond).mode(RoundMode::HalfExpand)).unwrap_or(time)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}
