//! Without GPS: whoever keeps the clock, what GPS said earlier in this boot, or the battery-backed clock.

use jiff::Timestamp;
use tide_photo::ClockSource;
use tide_photo::clock_report::{ClockReport, drift_us};

use super::rtc_in_hand::{RtcInHand, Shown};
use super::{ThisRun, chain, ms_up};
use crate::devices::clock::Reading;
use crate::drift::Track;
use crate::keeper::Hold;
use crate::kept::RtcWritten;
use crate::steering::{self, Decision};

/// How fast a battery-backed clock of unknown make may go wrong, in parts per million. A watch crystal is cut to 20, loses 34 more
/// at 0 degrees Celsius than at 25, and ages by a few (DS1307 and PCF8523 datasheets); a DS3231 keeps within 3.5.
const RTC_PPM: u32 = 60;

/// The same for one whose name says that it is a DS3231.
const DS3231_PPM: u32 = 5;

/// How long the kernel goes on copying a clock that nobody has checked since to its battery-backed one, in seconds: until its bound,
/// which grows by 500 parts per million, has reached 16 s.
const KERNEL_COPIES_FOR_S: u64 = 32_000;

/// How far a battery-backed clock may be off that we have never written, in microseconds: a day, and so also local time and summer
/// time. Ours.
const NEVER_WRITTEN_US: u64 = 86_400_000_000;

/// How fast a battery-backed clock of this name may go wrong, in parts per million.
pub(super) fn named_ppm(name: &str) -> u32 {
    if name.contains("ds3231") { DS3231_PPM } else { RTC_PPM }
}

impl ThisRun<'_, '_> {
    /// `apart_us` is by how much a GPS time that is not believed yet contradicts the battery-backed clock.
    pub(super) fn without_gps(&mut self, rtc: Option<&RtcInHand>, apart_us: u64) -> ClockReport {
        let rtc_is_none = rtc.is_none();
        let reading = self.tools.clock.reading();
        let Some((_, who)) = self.ask_who_keeps(reading) else {
            return self.report(ClockSource::Unsynchronised, 0);
        };
        if let Some(keeper) = who.keeper()
            && let Hold::Disciplines { bound_us } = keeper.hold
        {
            // What we knew of the clock, and of its oscillator, was of another's time.
            (self.kept.bound_us, self.kept.report, self.kept.track) = (None, None, Track::default());
            if apart_us > 0 {
                self.kept.floor_ms = self.kept.floor_ms.max(Some(ms_up(apart_us)));
            }
            return self.kept_by_other(keeper, bound_us);
        }
        let seen = rtc.and_then(|rtc| Some((rtc, rtc.shown?)));
        let is_as_set = |report: &ClockReport| !report.is_stepped_since(reading.boot_at_us(), reading.spread_us);
        if let Some(report) = self.kept.report.clone().filter(is_as_set) {
            let age_us = reading.monotonic_us.saturating_sub(report.set_at_monotonic_us);
            let gps_us = report.error_us(age_us);
            if !seen.is_some_and(|(rtc, shown)| self.is_better(rtc, shown, reading, gps_us)) {
                self.say("the system clock was set from GPS in this boot, and goes on from there".to_owned());
                let uncertainty_ms = report.uncertainty_ms.saturating_add(ms_up(apart_us));
                return ClockReport { uncertainty_ms, ..report };
            }
        }
        self.kept.report = None;
        let Some((rtc, shown)) = seen else {
            let text = "nobody knows the time: no GPS, and no battery-backed clock".to_owned();
            // Of one that cannot be read that is the error.
            if rtc_is_none {
                self.fail(3, text);
            } else {
                self.warn(text);
            }
            return self.report(ClockSource::Unsynchronised, 0);
        };
        self.set_from_rtc(rtc, shown, reading, apart_us)
    }

    /// Whether the battery-backed clock is by far the better of the two, as it is after hours, and does not contradict the other.
    fn is_better(&self, rtc: &RtcInHand, shown: Shown, reading: Reading, gps_us: u64) -> bool {
        let rtc_us = self.rtc_bound_us(rtc, shown);
        let apart_us = shown.at_us(reading.monotonic_us).abs_diff(reading.real_us);
        rtc_us < gps_us / 2 && apart_us <= gps_us.saturating_add(rtc_us)
    }

    fn set_from_rtc(&mut self, rtc: &RtcInHand, shown: Shown, reading: Reading, apart_us: u64) -> ClockReport {
        let rtc_us = shown.at_us(reading.monotonic_us);
        let is_plausible = Timestamp::from_microsecond(rtc_us).is_ok_and(|time| self.rules.plausible().contains(&time));
        if !is_plausible {
            self.fail(1, format!("{} shows a time that cannot be; it is not used", rtc.name));
            return self.report(ClockSource::Unsynchronised, 0);
        }
        if self.written(rtc).is_some_and(|written| rtc_us < written.at.as_micros()) {
            self.fail(1, format!("{} has stood still since it was written; it is not used", rtc.name));
            return self.report(ClockSource::Unsynchronised, 0);
        }
        let offset_us = rtc_us - reading.real_us;
        let facts = self.facts(None, reading, tide_photo::clock::DRIFT_PPM);
        let decision = steering::decide(offset_us, shown.uncertainty_us, &facts, &self.settings.clock.limits);
        let left_us = if let Decision::AlreadyRight { .. } = decision { offset_us.unsigned_abs() } else { 0 };
        let uncertainty_us = self.rtc_bound_us(rtc, shown).saturating_add(left_us).saturating_add(apart_us);
        let done = match decision {
            Decision::Step { by_us, .. } | Decision::Slew { by_us, .. } => self.tools.clock.step(by_us),
            Decision::Refuse { .. } => {
                self.fail(3, format!("by {}: {decision}", rtc.name));
                return self.report(ClockSource::Unsynchronised, 0);
            }
            Decision::AlreadyRight { .. } | Decision::LeaveToKeeper { .. } => Ok(()),
        };
        if let Err(error) = done {
            self.fail(3, chain(&error));
            return self.report(ClockSource::Unsynchronised, 0);
        }
        self.say(format!("the system clock has its time from {}, within {} ms", rtc.name, ms_up(uncertainty_us)));
        // The kernel would copy this clock to the battery-backed one, which is the better of the two.
        self.disown();
        self.report(ClockSource::Rtc, uncertainty_us)
    }

    /// When it was written last, if we know.
    pub(super) fn written(&self, rtc: &RtcInHand) -> Option<&RtcWritten> {
        self.kept.rtc.as_ref().filter(|written| written.name == rtc.key())
    }

    /// How far it may be off by now: what it was when it was written last, by us or, if it is one that the kernel writes, by the
    /// kernel; and what it has gone wrong since. Of one that we have never written nobody knows who set it, and to what.
    pub(super) fn rtc_bound_us(&self, rtc: &RtcInHand, shown: Shown) -> u64 {
        let Some(written) = self.written(rtc) else { return NEVER_WRITTEN_US };
        let ppm = named_ppm(&rtc.name).max(written.ppm.unwrap_or_default());
        let since_us = shown.rtc_us.saturating_sub(written.at.as_micros()).unsigned_abs();
        let copied_us = u64::from(written.clock_ppm) * KERNEL_COPIES_FOR_S;
        let copied_us = if rtc.kernel_may_write_it { copied_us } else { 0 };
        written.uncertainty_us + copied_us + drift_us(since_us, ppm) + shown.uncertainty_us
    }
}
