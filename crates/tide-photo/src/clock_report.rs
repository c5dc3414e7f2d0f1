//! What the program that sets a station's clock tells the one that takes photos: a small JSON file, written anew at each time that
//! the clock was set or checked. The kernel knows how far a clock may be off, but not where its time came from.

use serde::{Deserialize, Serialize};

use crate::clock::DRIFT_PPM;
use crate::{CapturedAt, ClockSource};

/// The version of the report that this build writes and reads.
pub const CLOCK_REPORT_VERSION: u32 = 1;

/// Largest report that is read, in bytes. Ours are about 400.
pub const MAX_CLOCK_REPORT_BYTES: u64 = 16 * 1_024;

/// Where the kernel's bound stops and the clock is called unsynchronised, in microseconds: 16 s (`NTP_PHASE_LIMIT` in the kernel's
/// include/linux/timex.h).
pub const KERNEL_LIMIT_US: u64 = 16_000_000;

/// How far the kernel's bound may lie from what it was set to and has grown by since, in microseconds. Ours: it grows by 500 once a
/// second, which an idle machine may do some seconds late, and a keeper's own bound comes so close only by chance.
const SAME_BOUND_US: u64 = 5_000;

/// A `floor_ms` that is none: 49 days, and all that is beyond them.
pub const UNBOUNDED_MS: u32 = u32::MAX;

/// How far the boot may move on the clock without a step, in microseconds. Ours: both clocks are slewed alike, so what remains is
/// how long apart they were read; smaller steps are within what is claimed.
const SAME_BOOT_US: u64 = 1_000;

/// The report. Fields that a later version adds are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClockReport {
    /// 1.
    pub version: u32,
    /// Where the clock was set from.
    pub source: ClockSource,
    /// The clock's largest error either way when it was set, in milliseconds; what the kernel is still slewing away comes on top.
    pub uncertainty_ms: u32,
    /// When that was: microseconds since the boot (CLOCK_BOOTTIME).
    pub set_at_monotonic_us: u64,
    /// The kernel's id of that boot; in another one the report says nothing.
    pub boot_id: String,
    /// How fast the clock may run wrong from then on, in parts per million; where it is not known, [`DRIFT_PPM`] counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift_bound_ppm: Option<u32>,
    /// The bound that the kernel was given then, in microseconds; none if it was given none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_max_error_us_when_set: Option<u64>,
    /// Where the boot lay on the clock when it was set, in microseconds since 1970 UTC. Only a step changes that: then somebody
    /// else has set the clock, and the report says nothing of it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_at_us: Option<i64>,
    /// The clock may be off by this much whatever the kernel says, in milliseconds: GPS has found it so, or its keeper gives the
    /// kernel no honest bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor_ms: Option<u32>,
    /// Who else keeps the clock, if it was left to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_by: Option<String>,
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

    /// Whether the clock has been stepped since, by somebody else: `boot_at_us` is where the boot lies on it now, as exactly as
    /// `spread_us`.
    pub fn is_stepped_since(&self, boot_at_us: i64, spread_us: u64) -> bool {
        self.boot_at_us.is_some_and(|then_us| then_us.abs_diff(boot_at_us) > SAME_BOOT_US.saturating_add(spread_us))
    }

    /// The clock's largest error `age_us` after it was set, in microseconds, if nobody has touched it since. What the kernel is
    /// still slewing away comes on top.
    pub fn error_us(&self, age_us: u64) -> u64 {
        let drift_ppm = self.drift_bound_ppm.unwrap_or(DRIFT_PPM);
        u64::from(self.uncertainty_ms).saturating_mul(1_000).saturating_add(drift_us(age_us, drift_ppm))
    }
}

/// What the kernel's bound has grown to by itself `age_us` after it was set, in microseconds.
pub fn kernel_bound_us(set_us: u64, age_us: u64) -> u64 {
    set_us.saturating_add(drift_us(age_us, DRIFT_PPM)).min(KERNEL_LIMIT_US)
}

/// Whether the kernel's bound is still the one that was set: then nobody else has given it another.
pub fn is_still_the_bound(bound_us: u64, set_us: u64, age_us: u64) -> bool {
    bound_us.abs_diff(kernel_bound_us(set_us, age_us)) <= SAME_BOUND_US
}

/// How far a clock that nobody keeps may go wrong in a time, in microseconds, rounded up.
pub fn drift_us(elapsed_us: u64, drift_ppm: u32) -> u64 {
    let drift_us = (u128::from(elapsed_us) * u128::from(drift_ppm)).div_ceil(1_000_000);
    u64::try_from(drift_us).unwrap_or(u64::MAX)
}

/// What the kernel may still slew away, in microseconds: the offset that it shows, and the part of it that it has taken off already
/// but spreads over the second that runs (`second_overflow` in the kernel's kernel/time/ntp.c; a quarter of the offset over two to
/// the time constant).
pub fn slewing_us(offset_us: u64, time_constant: u32) -> u64 {
    let chunks = 4_u64.checked_shl(time_constant).unwrap_or(u64::MAX);
    // The chunk was a part of what there was before it.
    offset_us.saturating_add(offset_us.div_ceil(chunks.saturating_sub(1)))
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
        let text = String::from_utf8(report.unwrap().to_json()).unwrap();
        assert!(
            !text.contains("drift_bound_ppm") && !text.contains("kept_by"),
            "what is not known is not written: {text}"
        );
        let kept =
            REPORT.replacen("{", r#"{"drift_bound_ppm":61,"kernel_max_error_us_when_set":9,"kept_by":"chronyd","#, 1);
        let kept = ClockReport::from_json(kept.as_bytes()).unwrap();
        assert_eq!((kept.drift_bound_ppm, kept.kernel_max_error_us_when_set), (Some(61), Some(9)));
        assert_eq!(ClockReport::from_json(&kept.to_json()), Some(kept));
    }

    #[test]
    fn a_clock_goes_wrong_as_fast_as_is_known_of_it() {
        let hour_us = 3_600_000_000;
        let unknown = ClockReport::from_json(REPORT.as_bytes()).unwrap();
        let known = ClockReport { drift_bound_ppm: Some(60), ..unknown.clone() };
        assert_eq!((unknown.error_us(0), unknown.error_us(hour_us)), (12_000, 1_812_000), "the kernel's 500 ppm");
        assert_eq!((known.error_us(1), known.error_us(hour_us)), (12_001, 228_000));
        assert_eq!(unknown.error_us(u64::MAX), 12_000 + u64::MAX / 2_000 + 1, "no end, and no overflow");
    }

    #[test]
    fn the_kernels_bound_tells_whether_somebody_else_set_it() {
        let hour_us = 3_600_000_000;
        assert!(is_still_the_bound(1_820_000, 20_000, hour_us));
        assert!(is_still_the_bound(1_815_000, 20_000, hour_us) && is_still_the_bound(1_825_000, 20_000, hour_us));
        assert!(!is_still_the_bound(1_814_999, 20_000, hour_us), "smaller: somebody keeps the clock");
        assert!(!is_still_the_bound(KERNEL_LIMIT_US, 20_000, hour_us), "somebody has stepped it");
        assert!(is_still_the_bound(KERNEL_LIMIT_US, 20_000, 9 * hour_us), "the kernel's bound ends at 16 s");
    }

    #[test]
    fn the_part_that_this_second_slews_counts_too() {
        // At the time constant 6 a 256th goes in each second: 128 ms show as 127.5 while the first half millisecond is under way.
        assert_eq!(slewing_us(127_500, 6), 128_000);
        assert_eq!((slewing_us(0, 6), slewing_us(3, 0), slewing_us(7, 64)), (0, 4, 8));
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
