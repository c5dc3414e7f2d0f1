//! How surely a time is known. A timestamp never travels without this.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a clock had its time from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockSource {
    /// A GPS (or other satellite) receiver.
    Gps,
    /// A network time server; also whoever keeps the clock, when only that somebody does is known (the kernel does not know who).
    Ntp,
    /// The battery-backed clock on the board.
    Rtc,
    /// Nothing that can be trusted.
    Unsynchronised,
}

impl ClockSource {
    /// The word used on the wire, in the catalog and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gps => "gps",
            Self::Ntp => "ntp",
            Self::Rtc => "rtc",
            Self::Unsynchronised => "unsynchronised",
        }
    }

    /// The source that a word of the catalog names.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Gps, Self::Ntp, Self::Rtc, Self::Unsynchronised].into_iter().find(|source| source.as_str() == word)
    }
}

impl fmt::Display for ClockSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// How fast a clock may run wrong that nobody keeps, in parts per million: the kernel's own assumption, by which it lets its bound
/// grow (`MAXFREQ` in the kernel's include/linux/timex.h, RFC 5905's PHI is 15).
pub const DRIFT_PPM: u32 = 500;

/// A clock's source and the bound on its error.
///
/// A synchronised clock always has a bound. An unsynchronised one never has: the kernel's own figure stops growing at 16 s
/// while the clock may be years off, so to repeat it would be a lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "UncheckedQuality")]
pub struct ClockQuality {
    source: ClockSource,
    uncertainty_ms: Option<u32>,
}

impl ClockQuality {
    /// A clock that `source` keeps within `uncertainty_ms` milliseconds either way; `None` if `source` is no source at all.
    pub fn synchronised(source: ClockSource, uncertainty_ms: u32) -> Option<Self> {
        (source != ClockSource::Unsynchronised).then_some(Self { source, uncertainty_ms: Some(uncertainty_ms) })
    }

    /// A clock that may be off by any amount.
    pub fn unsynchronised() -> Self {
        Self { source: ClockSource::Unsynchronised, uncertainty_ms: None }
    }

    /// The same clock read less exactly: `ms` more milliseconds either way.
    #[must_use]
    pub fn widened_by(self, ms: u32) -> Self {
        Self { uncertainty_ms: self.uncertainty_ms.map(|known| known.saturating_add(ms)), ..self }
    }

    /// Where the time came from.
    pub fn source(&self) -> ClockSource {
        self.source
    }

    /// The largest error either way, in milliseconds; `None` if it is not known.
    pub fn uncertainty_ms(&self) -> Option<u32> {
        self.uncertainty_ms
    }
}

/// For a person: `gps ± 12 ms`.
impl fmt::Display for ClockQuality {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.uncertainty_ms {
            Some(ms) if ms >= 10_000 => write!(out, "{} ± {} s", self.source, ms.div_ceil(1_000)),
            Some(ms) => write!(out, "{} ± {ms} ms", self.source),
            None => write!(out, "{}, uncertainty unknown", self.source),
        }
    }
}

#[derive(Deserialize)]
struct UncheckedQuality {
    source: ClockSource,
    uncertainty_ms: Option<u32>,
}

impl TryFrom<UncheckedQuality> for ClockQuality {
    type Error = &'static str;

    fn try_from(unchecked: UncheckedQuality) -> Result<Self, Self::Error> {
        match (unchecked.source, unchecked.uncertainty_ms) {
            (ClockSource::Unsynchronised, None) => Ok(Self::unsynchronised()),
            (ClockSource::Unsynchronised, Some(_)) => Err("an unsynchronised clock has no known uncertainty_ms"),
            (_, None) => Err("a synchronised clock needs its uncertainty_ms"),
            (source, Some(ms)) => Self::synchronised(source, ms).ok_or("unknown source"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_and_its_bound_come_together_or_not_at_all() {
        let read = |text| serde_json::from_str::<ClockQuality>(text).map_err(|error| error.to_string());
        assert_eq!(
            read(r#"{"source":"gps","uncertainty_ms":12}"#),
            Ok(ClockQuality { source: ClockSource::Gps, uncertainty_ms: Some(12) })
        );
        assert_eq!(read(r#"{"source":"unsynchronised"}"#), Ok(ClockQuality::unsynchronised()));
        assert!(read(r#"{"source":"gps"}"#).is_err());
        assert!(read(r#"{"source":"unsynchronised","uncertainty_ms":5}"#).is_err());
        assert!(read(r#"{"source":"sundial","uncertainty_ms":5}"#).is_err());
        assert!(read(r#"{"source":"gps","uncertainty_ms":-1}"#).is_err());
    }

    #[test]
    fn a_less_exact_reading_widens_a_known_bound_only() {
        let gps = ClockQuality::synchronised(ClockSource::Gps, 3).unwrap();
        assert_eq!(gps.widened_by(4).uncertainty_ms(), Some(7));
        assert_eq!(gps.widened_by(u32::MAX).uncertainty_ms(), Some(u32::MAX));
        assert_eq!(ClockQuality::unsynchronised().widened_by(4), ClockQuality::unsynchronised());
    }

    #[test]
    fn a_person_reads_source_and_bound() {
        let shown = |source, ms| ClockQuality::synchronised(source, ms).map(|quality| quality.to_string());
        assert_eq!(shown(ClockSource::Gps, 12).as_deref(), Some("gps ± 12 ms"));
        assert_eq!(shown(ClockSource::Rtc, 61_500).as_deref(), Some("rtc ± 62 s"));
        assert_eq!(ClockQuality::unsynchronised().to_string(), "unsynchronised, uncertainty unknown");
    }

    #[test]
    fn every_source_has_one_word() {
        for source in [ClockSource::Gps, ClockSource::Ntp, ClockSource::Rtc, ClockSource::Unsynchronised] {
            assert_eq!(ClockSource::from_word(source.as_str()), Some(source));
        }
        assert_eq!(ClockSource::from_word("GPS"), None);
    }
}
