//! The moment of exposure: microseconds since 1970-01-01T00:00:00Z, RFC 3339 in text.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// When a photo was exposed, UTC, to the microsecond, between the years 1970 and 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CapturedAt(Timestamp);

/// 9999-12-31T23:59:59.999999Z in microseconds since 1970: the last moment that RFC 3339 and our file names can write.
const LAST_MICROS: i64 = 253_402_300_799_999_999;

impl CapturedAt {
    /// 1970-01-01T00:00:00Z: where clocks begin that have lost their time.
    pub const EPOCH: Self = Self(Timestamp::UNIX_EPOCH);

    /// From microseconds since 1970 UTC; `None` before 1970 or after 9999.
    pub fn from_micros(micros: i64) -> Option<Self> {
        // jiff ends some hours before the year does, to leave room for every zone's offset.
        (0..=LAST_MICROS).contains(&micros).then(|| Timestamp::from_microsecond(micros).ok().map(Self)).flatten()
    }

    /// Microseconds since 1970 UTC: the catalog's form.
    pub fn as_micros(self) -> i64 {
        self.0.as_microsecond()
    }

    /// The prototype's form: ISO 8601 with or without an offset; without one it is taken as UTC, which the caller should mark
    /// as uncertain.
    ///
    /// # Errors
    /// If it is no date and time, or outside 1970 to 9999.
    pub fn parse_lenient(text: &str) -> Result<Self, NotATime> {
        if let Ok(exact) = text.parse() {
            return Ok(exact);
        }
        let civil: DateTime = text.trim().trim_end_matches('Z').parse().map_err(|_| NotATime)?;
        let instant = civil.to_zoned(TimeZone::UTC).map_err(|_| NotATime)?.timestamp();
        Self::from_micros(instant.as_microsecond()).ok_or(NotATime)
    }

    /// `strftime` in UTC; a pattern that jiff does not know gives an empty text.
    pub fn format_utc(self, pattern: &str) -> String {
        let zoned = self.0.to_zoned(TimeZone::UTC);
        jiff::fmt::strtime::format(pattern, &zoned).unwrap_or_default()
    }
}

/// Text that is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time is written as in RFC 3339, between 1970 and 9999 (for instance \"2026-05-31T18:00:00.250Z\")")]
pub struct NotATime;

impl FromStr for CapturedAt {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let instant: Timestamp = text.parse().map_err(|_| NotATime)?;
        Self::from_micros(instant.as_microsecond()).ok_or(NotATime)
    }
}

/// RFC 3339 with milliseconds, and with microseconds only where there are any.
impl fmt::Display for CapturedAt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.as_micros() % 1_000 == 0 { 3 } else { 6 };
        write!(out, "{:.digits$}", self.0)
    }
}

impl fmt::Debug for CapturedAt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "CapturedAt({self})")
    }
}

impl Serialize for CapturedAt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CapturedAt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::wire::parse_text(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_microseconds_are_the_same_moment() {
        // From `date -u -d 2012-05-31T18:00:00Z +%s`.
        let marsh = CapturedAt::from_micros(1_338_487_200_000_000);
        assert_eq!("2012-05-31T18:00:00Z".parse().ok(), marsh);
        assert_eq!("2012-05-31T21:00:00+03:00".parse().ok(), marsh);
        assert_eq!(marsh.map(|time| time.to_string()).as_deref(), Some("2012-05-31T18:00:00.000Z"));
        let fine = CapturedAt::from_micros(1_338_487_200_000_250).map(|time| time.to_string());
        assert_eq!(fine.as_deref(), Some("2012-05-31T18:00:00.000250Z"));
    }

    #[test]
    fn the_prototypes_forms_are_read() {
        let at = |text: &str| CapturedAt::parse_lenient(text).map(|time| time.to_string());
        assert_eq!(at("2025-06-01T10:00:00").as_deref(), Ok("2025-06-01T10:00:00.000Z"));
        assert_eq!(at("2025-06-01 10:00:00.5").as_deref(), Ok("2025-06-01T10:00:00.500Z"));
        assert_eq!(at("2025-06-01 10:00:00.123456+03:00").as_deref(), Ok("2025-06-01T07:00:00.123456Z"));
        assert_eq!(at("<script>alert(1)</script>"), Err(NotATime));
        assert_eq!(at(""), Err(NotATime));
    }

    #[test]
    fn moments_outside_the_calendar_are_refused() {
        for bad in [-1, i64::MIN, i64::MAX, LAST_MICROS + 1] {
            assert_eq!(CapturedAt::from_micros(bad), None, "{bad}");
        }
        for bad in ["1969-12-31T23:59:59Z", "2026-02-30T00:00:00Z", "2026-05-31T18:00:00", "now"] {
            assert_eq!(bad.parse::<CapturedAt>(), Err(NotATime), "{bad}");
        }
    }
}
