//! Where the clock has its time from, and how far it may be off: what the kernel says and what the program that sets the clock
//! reported, put together.

use tide_photo::clock::DRIFT_PPM;
use tide_photo::clock_report::ClockReport;
use tide_photo::{ClockQuality, ClockSource};

use crate::config::Position;

/// How long a report's source counts while somebody keeps the clock, in microseconds: 7 hours. The clock is checked every 6, as
/// the prototype's timer had it.
const SOURCE_FRESH_US: u64 = 7 * 3_600 * 1_000_000;

/// How long a received position counts, in microseconds: an hour, in which a station does not go far.
const POSITION_FRESH_US: u64 = 3_600 * 1_000_000;

/// A report that is about the boot in hand, and how long ago the clock was set, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    report: &'a ClockReport,
    age_us: u64,
}

impl<'a> Heard<'a> {
    /// `None` for a report of another boot, or of a time that has not come: it says nothing about now.
    pub fn new(report: &'a ClockReport, boot_id: &str, monotonic_us: u64) -> Option<Self> {
        let age_us = monotonic_us.checked_sub(report.set_at_monotonic_us)?;
        (!boot_id.is_empty() && report.boot_id == boot_id).then_some(Self { report, age_us })
    }
}

/// The clock's quality. The kernel's bound counts while it has one. Without one, a clock that was set from the battery-backed
/// clock, or once from GPS, is known as well as it was then, and worse as time goes by.
pub fn judge(kernel: ClockQuality, heard: Option<Heard>) -> ClockQuality {
    let Some(Heard { report, age_us }) = heard else { return kernel };
    match kernel.uncertainty_ms() {
        Some(ms) if age_us <= SOURCE_FRESH_US => ClockQuality::synchronised(report.source, ms).unwrap_or(kernel),
        Some(_) => kernel,
        None if matches!(report.source, ClockSource::Rtc | ClockSource::Gps) => {
            let ms = report.uncertainty_ms.saturating_add(drift_ms(age_us));
            ClockQuality::synchronised(report.source, ms).unwrap_or(kernel)
        }
        None => kernel,
    }
}

/// Where the receiver is, if it had a fix a short time ago.
pub fn position(heard: Heard) -> Option<Position> {
    let gps = heard.report.gps.as_ref().filter(|gps| gps.mode >= 2 && heard.age_us <= POSITION_FRESH_US)?;
    // Two dimensions have no height.
    let altitude_m = gps.altitude_m.filter(|_| gps.mode >= 3);
    Position::new(gps.latitude?, gps.longitude?, altitude_m).ok()
}

/// How far a clock that nobody keeps may have gone wrong, in milliseconds, rounded up.
pub fn drift_ms(elapsed_us: u64) -> u32 {
    let drift_us = u128::from(elapsed_us) * u128::from(DRIFT_PPM);
    u32::try_from(drift_us.div_ceil(1_000_000 * 1_000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET_AT_US: u64 = 10_000_000;

    fn report(source: &str, mode: u8) -> ClockReport {
        let json = format!(
            r#"{{"version":1,"source":"{source}","uncertainty_ms":20,"set_at_monotonic_us":{SET_AT_US},"boot_id":"boot",
            "gps":{{"mode":{mode},"latitude":35.5,"longitude":24.0,"altitude_m":2.5}}}}"#
        );
        ClockReport::from_json(json.as_bytes()).unwrap()
    }

    /// Source and bound in words, `later_us` after the clock was set.
    fn judged(kernel: ClockQuality, source: &str, boot_id: &str, later_us: u64) -> String {
        let report = report(source, 3);
        judge(kernel, Heard::new(&report, boot_id, SET_AT_US + later_us)).to_string()
    }

    fn kept() -> ClockQuality {
        ClockQuality::synchronised(ClockSource::Ntp, 7).unwrap()
    }

    #[test]
    fn while_somebody_keeps_the_clock_the_source_is_the_reports_and_the_bound_the_kernels() {
        assert_eq!(judged(kept(), "gps", "boot", 1), "gps ± 7 ms");
        assert_eq!(judged(kept(), "gps", "boot", SOURCE_FRESH_US), "gps ± 7 ms");
        assert_eq!(judged(kept(), "gps", "boot", SOURCE_FRESH_US + 1), "ntp ± 7 ms");
        assert_eq!(judged(kept(), "gps", "another boot", 1), "ntp ± 7 ms");
        assert_eq!(judged(kept(), "unsynchronised", "boot", 1), "ntp ± 7 ms");
        assert_eq!(judge(kept(), None), kept());
    }

    #[test]
    fn a_clock_that_nobody_keeps_gets_worse_from_where_it_was_set() {
        let loose = ClockQuality::unsynchronised();
        assert_eq!(judged(loose, "rtc", "boot", 0), "rtc ± 20 ms");
        assert_eq!(judged(loose, "rtc", "boot", 1), "rtc ± 21 ms", "rounded up, never down");
        assert_eq!(judged(loose, "gps", "boot", 3_600_000_000), "gps ± 1820 ms", "1.8 s in an hour");
        assert_eq!(judged(loose, "gps", "boot", u64::MAX - SET_AT_US), "gps ± 4294968 s", "no end, and no overflow");
        for (source, boot_id) in [("ntp", "boot"), ("unsynchronised", "boot"), ("rtc", "another boot"), ("rtc", "")] {
            assert_eq!(judged(loose, source, boot_id, 1), loose.to_string(), "{source} {boot_id}");
        }
    }

    #[test]
    fn a_report_from_the_future_or_of_no_boot_says_nothing() {
        assert!(Heard::new(&report("gps", 3), "boot", SET_AT_US - 1).is_none());
        let nameless = ClockReport { boot_id: String::new(), ..report("gps", 3) };
        assert!(Heard::new(&nameless, "", SET_AT_US).is_none());
    }

    #[test]
    fn a_position_needs_a_fix_of_this_hour() {
        let at = |mode, later_us| position(Heard::new(&report("gps", mode), "boot", SET_AT_US + later_us)?);
        let place = |altitude_m| Some(Position { latitude: 35.5, longitude: 24.0, altitude_m });
        assert_eq!(at(3, POSITION_FRESH_US), place(Some(2.5)));
        assert_eq!(at(2, 0), place(None), "two dimensions have no height");
        assert_eq!((at(1, 0), at(3, POSITION_FRESH_US + 1)), (None, None));
    }
}
