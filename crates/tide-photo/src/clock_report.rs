//! What the program that sets a station's clock tells the one that takes photos: a small JSON file, written anew at each time that
//! the clock was set or checked. The kernel knows how far a clock may be off, but not where its time came from.

use serde::{Deserialize, Serialize};

use crate::{CapturedAt, ClockSource};

/// The version of the report that this build writes and reads.
pub const CLOCK_REPORT_VERSION: u32 = 1;

/// Largest report that is read, in bytes. Ours are about 300.
pub const MAX_CLOCK_REPORT_BYTES: u64 = 16 * 1_024;

/// The report. Fields that a later version adds are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClockReport {
    /// 1.
    pub version: u32,
    /// Where the clock was set from.
    pub source: ClockSource,
    /// The clock's largest error either way when it was set, in milliseconds.
    pub uncertainty_ms: u32,
    /// When that was: microseconds since the boot (CLOCK_BOOTTIME).
    pub set_at_monotonic_us: u64,
    /// The kernel's id of that boot; in another one the report says nothing.
    pub boot_id: String,
    /// The receiver, if there is one.
    pub gps: Option<GpsReport>,
}

/// What a GPS receiver said last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpsReport {
    /// 0 or 1 no fix, 2 in two dimensions, 3 in three.
    pub mode: u8,
    /// Satellites used.
    pub satellites: Option<u8>,
    /// When it last had a fix.
    pub fix_at: Option<CapturedAt>,
    /// Where that was: degrees north of the equator (WGS 84).
    pub latitude: Option<f64>,
    /// Degrees east of Greenwich.
    pub longitude: Option<f64>,
    /// Metres above mean sea level.
    pub altitude_m: Option<f64>,
}

impl ClockReport {
    /// Reads a report; `None` for one that is not whole, or of a version that this build does not know.
    pub fn from_json(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().filter(|report: &Self| report.version == CLOCK_REPORT_VERSION)
    }

    /// The JSON that is written to the file.
    pub fn to_json(&self) -> Vec<u8> {
        // A struct of plain fields always has a JSON form; an empty text would be refused by every reader.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"{"version":1,"source":"gps","uncertainty_ms":12,"set_at_monotonic_us":5000000,"boot_id":"b",
        "gps":{"mode":3,"satellites":9,"fix_at":"2026-05-31T18:00:00Z","latitude":35.5,"longitude":24.0,"altitude_m":2.5}}"#;

    #[test]
    fn a_report_reads_back_as_written() {
        let report = ClockReport::from_json(REPORT.as_bytes());
        assert_eq!(report.as_ref().and_then(|report| report.gps.as_ref()?.latitude), Some(35.5));
        assert_eq!(report.as_ref().and_then(|report| ClockReport::from_json(&report.to_json())), report);
    }

    #[test]
    fn what_is_cut_off_or_of_another_version_says_nothing() {
        for length in 0..REPORT.len() {
            assert_eq!(ClockReport::from_json(&REPORT.as_bytes()[..length]), None, "{length} bytes");
        }
        let later = REPORT.replacen('1', "2", 1);
        assert_eq!(ClockReport::from_json(later.as_bytes()), None);
        let without_receiver =
            r#"{"version":1,"source":"rtc","uncertainty_ms":9,"set_at_monotonic_us":5,"boot_id":"b"}"#;
        assert!(ClockReport::from_json(without_receiver.as_bytes()).is_some_and(|report| report.gps.is_none()));
    }
}
