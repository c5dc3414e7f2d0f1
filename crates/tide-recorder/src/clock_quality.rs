//! Where the clock has its time from, and how far it may be off: what the kernel says and what the program that sets the clock
//! reported, put together.

use tide_photo::clock::DRIFT_PPM;
use tide_photo::clock_report::{self, ClockReport, KERNEL_LIMIT_US, UNBOUNDED_MS};
use tide_photo::{ClockQuality, ClockSource};

use crate::config::Position;

/// How long a report's source counts while somebody else keeps the clock, in microseconds: 7 hours. The clock is checked every 6, as
/// the prototype's timer had it.
const SOURCE_FRESH_US: u64 = 7 * 3_600 * 1_000_000;

/// How long a received position counts, in microseconds: an hour, in which a station does not go far.
const POSITION_FRESH_US: u64 = 3_600 * 1_000_000;

/// The least error ever claimed, in milliseconds. Our choice: it is the manifest's unit, no path over a network is known to be
/// more symmetric than that, and 0 would claim a perfect clock.
const FLOOR_MS: u32 = 1;

/// What the kernel says of its clock while somebody vouches for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelBound {
    /// Its largest error, in microseconds.
    pub max_error_us: u64,
    /// What it may still slew away, in microseconds: on top of that, either way.
    pub slewing_us: u64,
}

/// The station's clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds since the boot.
    pub monotonic_us: u64,
    /// Where the boot lies on the clock, in microseconds since 1970 UTC: only a step changes it.
    pub boot_at_us: i64,
    /// How far apart the two were read, in microseconds.
    pub spread_us: u64,
}

/// A report that is about the boot in hand, and how long ago the clock was set, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    report: &'a ClockReport,
    age_us: u64,
}

impl<'a> Heard<'a> {
    /// `None` for a report of another boot, or of a time that has not come, or of a clock that somebody has stepped since: it says
    /// nothing about now.
    pub fn new(report: &'a ClockReport, boot_id: &str, now: Moment) -> Option<Self> {
        let age_us = now.monotonic_us.checked_sub(report.set_at_monotonic_us)?;
        let is_of_now =
            !boot_id.is_empty() && report.boot_id == boot_id && !report.is_stepped_since(now.boot_at_us, now.spread_us);
        is_of_now.then_some(Self { report, age_us })
    }

    /// Whether the kernel's bound is the one that the report's writer gave it: then nobody else has touched the clock since.
    fn is_untouched(self, kernel: KernelBound) -> bool {
        let set_us = self.report.kernel_max_error_us_when_set;
        set_us.is_some_and(|set_us| clock_report::is_still_the_bound(kernel.max_error_us, set_us, self.age_us))
    }

    /// Whether the report's writer compared a clock that another keeps.
    fn is_of_a_kept_clock(self) -> bool {
        self.report.kept_by.is_some()
    }

    /// Such a clock, whose kernel claims this much. One that was no source's then may have been set since.
    fn kept_within(self, kept_us: u64) -> ClockQuality {
        if self.report.floor_ms == Some(UNBOUNDED_MS) {
            return ClockQuality::unsynchronised();
        }
        // How far it was found to be off does not grow old; where it has its time from may change.
        let is_gps = self.report.source == ClockSource::Gps && self.age_us <= SOURCE_FRESH_US;
        let floor_us = u64::from(self.report.floor_ms.unwrap_or_default()) * 1_000;
        synchronised(if is_gps { ClockSource::Gps } else { ClockSource::Ntp }, kept_us.max(floor_us))
    }

    /// Whether the kernel would still vouch for the clock by what the report's writer told it.
    fn is_still_vouched_for(self) -> bool {
        let set_us = self.report.kernel_max_error_us_when_set;
        set_us.is_some_and(|set_us| {
            let bound_us = clock_report::kernel_bound_us(set_us, self.age_us);
            bound_us < KERNEL_LIMIT_US && !clock_report::is_still_the_bound(KERNEL_LIMIT_US, set_us, self.age_us)
        })
    }
}

/// The clock's quality. A clock that nobody has touched since it was set is known as well as it was then, and worse as time goes by.
/// One that somebody else keeps is within the kernel's bound, and has its time from the network for all we know, unless GPS has
/// found it right.
pub fn judge(kernel: Option<KernelBound>, heard: Option<Heard>) -> ClockQuality {
    let Some(kernel) = kernel else { return heard.map_or_else(ClockQuality::unsynchronised, unvouched) };
    let kept_us = kernel.max_error_us.saturating_add(kernel.slewing_us);
    match heard {
        Some(heard) if heard.is_untouched(kernel) => {
            let set_us = heard.report.error_us(heard.age_us).saturating_add(kernel.slewing_us);
            synchronised(heard.report.source, set_us.min(kept_us))
        }
        Some(heard) if heard.is_of_a_kept_clock() => heard.kept_within(kept_us),
        _ => synchronised(ClockSource::Ntp, kept_us),
    }
}

/// A clock that nobody vouches for: set from the battery-backed clock, or once from GPS so long ago that the kernel's bound has come
/// to its end. Where the kernel should still vouch for it but does not, somebody has stepped it.
fn unvouched(heard: Heard) -> ClockQuality {
    let Heard { report, age_us } = heard;
    if !matches!(report.source, ClockSource::Rtc | ClockSource::Gps)
        || report.kept_by.is_some()
        || heard.is_still_vouched_for()
    {
        return ClockQuality::unsynchronised();
    }
    synchronised(report.source, report.error_us(age_us))
}

/// Rounded up, never down.
fn synchronised(source: ClockSource, error_us: u64) -> ClockQuality {
    let ms = u32::try_from(error_us.div_ceil(1_000)).unwrap_or(u32::MAX).max(FLOOR_MS);
    ClockQuality::synchronised(source, ms).unwrap_or_else(ClockQuality::unsynchronised)
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
    u32::try_from(clock_report::drift_us(elapsed_us, DRIFT_PPM).div_ceil(1_000)).unwrap_or(u32::MAX)
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

    /// This many microseconds after the boot, which nobody has moved on the clock.
    fn at(monotonic_us: u64) -> Moment {
        Moment { monotonic_us, boot_at_us: 0, spread_us: 1 }
    }

    /// Source and bound in words, `later_us` after the clock was set; the kernel vouches for it within that many microseconds.
    fn judged(kernel_us: Option<u64>, report: &ClockReport, later_us: u64) -> String {
        let kernel = kernel_us.map(|max_error_us| KernelBound { max_error_us, slewing_us: 0 });
        judge(kernel, Heard::new(report, "boot", at(SET_AT_US + later_us))).to_string()
    }

    const HOUR_US: u64 = 3_600_000_000;

    /// Set from GPS within 20 ms, which the kernel was told, on an oscillator of less than 60 ppm.
    fn vouched() -> ClockReport {
        ClockReport { drift_bound_ppm: Some(60), kernel_max_error_us_when_set: Some(20_000), ..report("gps", 3) }
    }

    #[test]
    fn a_clock_that_nobody_else_has_touched_is_as_good_as_its_oscillator() {
        assert_eq!(judged(Some(20_000), &vouched(), 0), "gps ± 20 ms");
        assert_eq!(judged(Some(1_820_000), &vouched(), HOUR_US), "gps ± 236 ms", "0.2 s in an hour, not 1.8");
        assert_eq!(judged(Some(1_815_500), &vouched(), HOUR_US), "gps ± 236 ms", "the kernel's second is not ours");
        assert_eq!(judged(Some(14_420_000), &vouched(), 8 * HOUR_US), "gps ± 1748 ms", "as long as the kernel vouches");
        let unmeasured = ClockReport { drift_bound_ppm: None, ..vouched() };
        assert_eq!(judged(Some(1_820_000), &unmeasured, HOUR_US), "gps ± 1820 ms");
        let kernel = KernelBound { max_error_us: 21_000, slewing_us: 100_000 };
        let report = vouched();
        let slewing = judge(Some(kernel), Heard::new(&report, "boot", at(SET_AT_US + 2_000_000)));
        assert_eq!(slewing.to_string(), "gps ± 121 ms", "what is being slewed comes on top");
    }

    #[test]
    fn a_clock_that_somebody_else_keeps_has_its_time_from_there() {
        for source in ["rtc", "gps"] {
            let ours = ClockReport { source: ClockSource::from_word(source).unwrap(), ..vouched() };
            assert_eq!(judged(Some(7_000), &ours, HOUR_US), "ntp ± 7 ms", "{source}");
            assert_eq!(judged(Some(2_000_000), &ours, HOUR_US), "ntp ± 2000 ms", "{source}, worse than ours was");
        }
        assert_eq!(judged(Some(7_000), &report("rtc", 3), 1), "ntp ± 7 ms", "the kernel was not told, so not by us");
        assert_eq!(judged(Some(7_000), &report("unsynchronised", 3), 1), "ntp ± 7 ms");
        let elsewhere = ClockReport { boot_id: "another boot".to_owned(), ..vouched() };
        assert_eq!(judged(Some(20_000), &elsewhere, 0), "ntp ± 20 ms");
        assert_eq!(judge(Some(KernelBound { max_error_us: 7_000, slewing_us: 1 }), None).to_string(), "ntp ± 8 ms");
    }

    #[test]
    fn a_kept_clock_that_gps_found_right_has_its_time_from_gps() {
        let kept = ClockReport { kept_by: Some("chronyd".to_owned()), ..report("gps", 3) };
        assert_eq!(judged(Some(7_000), &kept, SOURCE_FRESH_US), "gps ± 7 ms");
        assert_eq!(judged(Some(7_000), &kept, SOURCE_FRESH_US + 1), "ntp ± 7 ms");
        assert_eq!(judged(None, &kept, 1), "unsynchronised, uncertainty unknown", "its keeper has given it up");
    }

    #[test]
    fn no_clock_is_perfect() {
        let perfect = KernelBound { max_error_us: 0, slewing_us: 0 };
        assert_eq!(judge(Some(perfect), None).to_string(), "ntp ± 1 ms");
        let endless = KernelBound { max_error_us: u64::MAX, slewing_us: u64::MAX };
        assert_eq!(judge(Some(endless), None).uncertainty_ms(), Some(u32::MAX));
        assert_eq!(judge(None, None), ClockQuality::unsynchronised());
    }

    #[test]
    fn a_clock_that_nobody_keeps_gets_worse_from_where_it_was_set() {
        let loose = |source: &str, later_us| judged(None, &report(source, 3), later_us);
        assert_eq!(loose("rtc", 0), "rtc ± 20 ms");
        assert_eq!(loose("rtc", 1), "rtc ± 21 ms", "rounded up, never down");
        assert_eq!(loose("gps", HOUR_US), "gps ± 1820 ms", "1.8 s in an hour");
        assert_eq!(loose("gps", u64::MAX - SET_AT_US), "gps ± 4294968 s", "no end, and no overflow");
        for source in ["ntp", "unsynchronised"] {
            assert_eq!(loose(source, 1), "unsynchronised, uncertainty unknown", "{source}");
        }
        for boot_id in ["another boot", ""] {
            let elsewhere = ClockReport { boot_id: boot_id.to_owned(), ..report("rtc", 3) };
            assert_eq!(judged(None, &elsewhere, 1), "unsynchronised, uncertainty unknown", "{boot_id}");
        }
    }

    #[test]
    fn a_clock_that_lost_its_bound_too_early_was_stepped_by_somebody() {
        assert_eq!(judged(None, &vouched(), HOUR_US), "unsynchronised, uncertainty unknown");
        assert_eq!(
            judged(None, &vouched(), 9 * HOUR_US),
            "gps ± 1964 ms",
            "60 ppm of 9 hours, though the kernel's bound came to its end"
        );
    }

    #[test]
    fn a_report_of_a_clock_that_was_stepped_since_says_nothing() {
        let report = ClockReport { boot_at_us: Some(5_000_000), ..report("rtc", 0) };
        let heard = |boot_at_us| Heard::new(&report, "boot", Moment { boot_at_us, ..at(SET_AT_US + 1) });
        assert!(heard(5_000_900).is_some() && heard(4_999_100).is_some());
        assert!(heard(5_002_000).is_none() && heard(4_998_000).is_none());
    }

    #[test]
    fn a_keeper_that_gps_contradicts_is_off_by_what_gps_says_at_least() {
        let kept = |source, floor_ms| {
            let kept_by = Some("systemd-timesyncd".to_owned());
            judged(Some(1_000), &ClockReport { kept_by, floor_ms, ..report(source, 3) }, 1)
        };
        assert_eq!(kept("ntp", Some(5_250)), "ntp ± 5250 ms");
        assert_eq!(kept("gps", None), "gps ± 1 ms");
        assert_eq!(kept("unsynchronised", None), "ntp ± 1 ms", "it has set the clock since");
    }

    #[test]
    fn a_report_from_the_future_or_of_no_boot_says_nothing() {
        assert!(Heard::new(&report("gps", 3), "boot", at(SET_AT_US - 1)).is_none());
        let nameless = ClockReport { boot_id: String::new(), ..report("gps", 3) };
        assert!(Heard::new(&nameless, "", at(SET_AT_US)).is_none());
    }

    #[test]
    fn a_position_needs_a_fix_of_this_hour() {
        let placed = |mode, later_us| position(Heard::new(&report("gps", mode), "boot", at(SET_AT_US + later_us))?);
        let place = |altitude_m| Some(Position { latitude: 35.5, longitude: 24.0, altitude_m });
        assert_eq!(placed(3, POSITION_FRESH_US), place(Some(2.5)));
        assert_eq!(placed(2, 0), place(None), "two dimensions have no height");
        assert_eq!((placed(1, 0), placed(3, POSITION_FRESH_US + 1)), (None, None));
    }
}
