//! What is done to the system clock once GPS can be trusted.

use tide_photo::ClockSource;
use tide_photo::clock_report::{ClockReport, UNBOUNDED_MS, drift_us};

use super::rtc_in_hand::{RtcInHand, Shown};
use super::{ThisRun, chain, ms_up};
use crate::devices::clock::{KernelState, Reading};
use crate::drift::{self, Track};
use crate::keeper::{self, Daemon, Evidence, Hold, Keeper};
use crate::kept::Refused;
use crate::receiver::Origin;
use crate::setting;
use crate::steering::{self, Decision, Facts};
use crate::verdict::Trust;

/// How fast GPS and the clock that is never set may drift apart between two refusals, in parts per million: the kernel's own bound.
const DRIFT_PPM: u32 = tide_photo::clock::DRIFT_PPM;

/// By how much a receiver is off that does not know the leap seconds: from one to all 18 of them, and what its latency adds, in
/// microseconds.
const LEAP_SECONDS_US: std::ops::RangeInclusive<u64> = 900_000..=20_000_000;

/// After what time a receiver that has a signal knows them, in microseconds: 13 minutes (IS-GPS-200, 20.3.3.5.1.6: page 18 comes every
/// 12.5).
const LEAP_SECONDS_KNOWN_AFTER_US: u64 = 13 * 60 * 1_000_000;

/// How long GPS has to say the same before it is believed against the limits, in microseconds, however many runs there are: 12
/// hours. Ours: whoever tries again and again by hand gets no other answer.
const BELIEVED_AFTER_US: u64 = 12 * 3_600 * 1_000_000;

/// Faster than this no oscillator runs wrong, in parts per billion: what looks like it is a jump. The kernel's own bound.
const WORST_PPB: u64 = 500_000;

impl ThisRun<'_, '_> {
    /// By how much a receiver contradicts the battery-backed clock that has just been switched on and may take the leap seconds of
    /// the day when it was made: satellites tell them every 12.5 minutes only, and NMEA has no word for not knowing. After that
    /// time it is believed. In microseconds; none if there is nothing to doubt.
    pub(super) fn doubts_leap_seconds(&mut self, trust: &Trust, rtc: Option<&RtcInHand>) -> Option<u64> {
        let doubt = rtc.and_then(|rtc| self.leap_doubt_us(trust, rtc, rtc.shown?));
        let apart_us = doubt.or_else(|| {
            self.kept.doubted_at_us = None;
            None
        })?;
        let since_us = *self.kept.doubted_at_us.get_or_insert(trust.at_us);
        if trust.at_us.saturating_sub(since_us) >= LEAP_SECONDS_KNOWN_AFTER_US {
            return None;
        }
        self.warn(format!(
            "GPS and the battery-backed clock contradict each other by {} s: a receiver that was just switched on may not know the \
             leap seconds; it is believed if it says the same after 13 minutes, and until then the battery-backed clock is not written",
            apart_us / 1_000_000
        ));
        Some(apart_us)
    }

    fn leap_doubt_us(&self, trust: &Trust, rtc: &RtcInHand, shown: Shown) -> Option<u64> {
        let gps_us = trust.gps_less_monotonic_us + shown.monotonic_us.cast_signed();
        let apart_us = gps_us.abs_diff(shown.rtc_us);
        let bound_us = self.rtc_bound_us(rtc, shown).saturating_add(trust.uncertainty_us_at(shown.monotonic_us));
        // u-blox's own packets say when it does not know.
        let may_not_know = trust.last.origin != Origin::Ubx && trust.last.leap_seconds.is_none();
        (may_not_know && apart_us > bound_us && LEAP_SECONDS_US.contains(&apart_us)).then_some(apart_us)
    }

    pub(super) fn set_clock(
        &mut self,
        trust: &Trust,
        offset_us: i64,
        uncertainty_us: u64,
        reading: Reading,
    ) -> ClockReport {
        let Some((kernel, who)) = self.ask_who_keeps(reading) else {
            return self.report(ClockSource::Unsynchronised, 0);
        };
        let drift_bound_ppm = self.measure_drift(who.keeper(), kernel, reading, offset_us, uncertainty_us);
        let facts = self.facts(who.keeper(), reading, drift_bound_ppm);
        let facts = Facts { is_believed: self.is_believed(trust), ..facts };
        let decision = steering::decide(offset_us, uncertainty_us, &facts, &self.settings.clock.limits);
        if facts.is_believed {
            self.warn("GPS has said the same for 12 hours and more: it is believed against the limits".to_owned());
        }
        if decision.is_warning() {
            self.warn(decision.to_string());
        } else {
            self.say(decision.to_string());
        }
        match decision {
            Decision::Refuse { .. } => self.refused(trust),
            Decision::LeaveToKeeper { keeper, .. } => self.left_to(keeper, &decision, offset_us, uncertainty_us),
            _ => self.carried_out(&decision, &facts, drift_bound_ppm),
        }
    }

    /// How fast the clock may go wrong until the next run, in parts per million.
    fn measure_drift(
        &mut self,
        keeper: Option<Keeper>,
        kernel: KernelState,
        reading: Reading,
        offset_us: i64,
        uncertainty_us: u64,
    ) -> u32 {
        if keeper.is_some() {
            self.kept.track = Track::default();
        } else {
            self.kept.track.check(reading, &kernel, offset_us, uncertainty_us);
        }
        let measured = self.kept.track.drift().filter(|drift| drift.ppb.unsigned_abs() <= WORST_PPB);
        if let Some(measured) = measured {
            #[expect(clippy::cast_precision_loss, reason = "a drift has few digits")]
            let (ppm, within_ppm) = (measured.ppb as f64 / 1_000.0, measured.uncertainty_ppb as f64 / 1_000.0);
            self.run.clock_ppm = Some(ppm);
            self.say(format!("the system clock's oscillator runs {ppm:+.1} ppm, within {within_ppm:.1}"));
        }
        drift::bound_ppm(measured)
    }

    /// Whether GPS has said the same in so many refused runs that the limits no longer count.
    fn is_believed(&self, trust: &Trust) -> bool {
        let needed = self.settings.clock.limits.believe_after_runs;
        let is_long_ago = |since_us: u64| trust.at_us.saturating_sub(since_us) >= BELIEVED_AFTER_US;
        self.kept.refused.is_some_and(|refused| {
            needed > 0 && refused.agrees(trust) && refused.runs + 1 >= needed && is_long_ago(refused.since_us)
        })
    }

    /// The clock is left wrong, and nobody vouches for it any more.
    fn refused(&mut self, trust: &Trust) -> ClockReport {
        self.is_contradicted = true;
        self.disown();
        let before = self.kept.refused.filter(|refused| refused.agrees(trust));
        let runs = before.map_or(0, |refused| refused.runs).saturating_add(1);
        let since_us = before.map_or(trust.at_us, |refused| refused.since_us);
        self.kept.refused = Some(Refused::by(trust, runs, since_us));
        let needed = self.settings.clock.limits.believe_after_runs;
        let hope = if needed > 0 {
            format!(" (GPS is believed after {needed} such runs in 12 hours or more; this is number {runs})")
        } else {
            String::new()
        };
        self.fail(3, format!("the system clock is left as it is; photos are marked as unsynchronised{hope}"));
        self.kept.report = None;
        self.report(ClockSource::Unsynchronised, 0)
    }

    /// Nobody vouches for the clock any more, and what the kernel says of it is not ours.
    pub(super) fn disown(&mut self) {
        self.kept.bound_us = None;
        if let Err(error) = self.tools.clock.disown() {
            self.tools.journal.error(chain(&error));
        }
    }

    fn carried_out(&mut self, decision: &Decision, facts: &Facts, drift_bound_ppm: u32) -> ClockReport {
        (self.kept.refused, self.kept.report, self.kept.floor_ms) = (None, None, None);
        match setting::carry_out(decision, self.tools.clock, &mut self.kept.track) {
            Err(error) => {
                self.fail(3, chain(&error));
                self.disown();
                self.report(ClockSource::Unsynchronised, 0)
            }
            Ok(bound_us) => {
                self.kept.stepped_us = self.kept.stepped_us.saturating_add(decision.counted_us(facts));
                self.kept.was_set = true;
                let report = self.report(ClockSource::Gps, bound_us.unwrap_or_default());
                self.say(format!("the system clock is within {} ms", report.uncertainty_ms));
                self.kept.bound_us = bound_us.map(|bound_us| (bound_us, report.set_at_monotonic_us));
                let report = ClockReport {
                    drift_bound_ppm: Some(drift_bound_ppm),
                    kernel_max_error_us_when_set: bound_us,
                    ..report
                };
                self.kept.report = Some(report.clone());
                report
            }
        }
    }

    /// The clock is somebody else's. GPS bears witness to it, or against it.
    fn left_to(&mut self, keeper: Keeper, decision: &Decision, offset_us: i64, uncertainty_us: u64) -> ClockReport {
        (self.kept.bound_us, self.kept.report, self.kept.refused) = (None, None, None);
        let kept_by = Some(keeper.name().to_owned());
        let Hold::Disciplines { bound_us } = keeper.hold else {
            return ClockReport { kept_by, ..self.report(ClockSource::Unsynchronised, 0) };
        };
        self.kept.was_set = true;
        let found_us = offset_us.unsigned_abs().saturating_add(uncertainty_us);
        if decision.is_warning() {
            self.is_contradicted = true;
            self.fail(3, "the system clock is wrong, or GPS is: look after whoever keeps it".to_owned());
        }
        // timesyncd tells the kernel that it knows no error at all; chrony and ntpd tell the truth.
        let is_honest = matches!(keeper.daemon, Some(Daemon::Chronyd | Daemon::Ntpd | Daemon::NtpDaemon));
        self.kept.floor_ms = (decision.is_warning() || !is_honest).then(|| ms_up(found_us));
        self.kept.is_keeper_wrong = decision.is_warning();
        self.kept_by_other(keeper, bound_us)
    }

    /// A clock that another disciplines, as far as its own bound and what GPS last found tell.
    pub(super) fn kept_by_other(&mut self, keeper: Keeper, bound_us: u64) -> ClockReport {
        let (kept_by, floor_ms) = (Some(keeper.name().to_owned()), self.kept.floor_ms);
        if floor_ms == Some(UNBOUNDED_MS) {
            return ClockReport { kept_by, floor_ms, ..self.report(ClockSource::Unsynchronised, 0) };
        }
        let is_steered = keeper.daemon.is_some_and(self.tools.is_steered_by_receiver);
        let is_gps = is_steered && !(self.kept.is_keeper_wrong && floor_ms.is_some());
        let source = if is_gps { ClockSource::Gps } else { ClockSource::Ntp };
        let bound_us = bound_us.max(u64::from(floor_ms.unwrap_or_default()) * 1_000);
        ClockReport { kept_by, floor_ms, ..self.report(source, bound_us) }
    }

    /// The kernel's account of its clock, and who keeps that; none if the kernel does not answer.
    pub(super) fn ask_who_keeps(&mut self, reading: Reading) -> Option<(KernelState, keeper::Verdict)> {
        let kernel = match self.tools.clock.kernel_state() {
            Ok(kernel) => kernel,
            Err(error) => {
                self.fail(3, chain(&error));
                return None;
            }
        };
        let daemons = (self.tools.daemons)();
        let ours = self.kept.our_bound();
        let evidence = Evidence { kernel, daemons: &daemons, ours, uptime_us: reading.monotonic_us };
        let who = keeper::who_keeps(&evidence, self.settings.clock.limits.keeper_grace_s);
        self.say(who.to_string());
        Some((kernel, who))
    }

    pub(super) fn facts(&self, keeper: Option<Keeper>, reading: Reading, drift_bound_ppm: u32) -> Facts {
        let plausible = self.rules.plausible();
        let since_us = self.kept.bound_us.map_or(0, |(_, set_at_us)| reading.monotonic_us.saturating_sub(set_at_us));
        Facts {
            clock_us: reading.real_us,
            earliest_us: plausible.start().as_microsecond(),
            latest_us: plausible.end().as_microsecond(),
            keeper,
            is_first_of_boot: !self.kept.was_set,
            stepped_us: self.kept.stepped_us,
            is_believed: false,
            drift_us: drift_us(since_us, drift_bound_ppm),
        }
    }
}

impl Refused {
    fn by(trust: &Trust, runs: u32, since_us: u64) -> Self {
        let (gps_less_monotonic_us, uncertainty_us) = (trust.gps_less_monotonic_us, trust.uncertainty_us);
        Self { runs, gps_less_monotonic_us, uncertainty_us, at_us: trust.at_us, since_us }
    }

    /// Whether GPS says the same now as in that run, apart from what the clock that is never set has drifted.
    fn agrees(&self, trust: &Trust) -> bool {
        let drift_us = drift_us(trust.at_us.saturating_sub(self.at_us), DRIFT_PPM);
        let bound_us = self.uncertainty_us.saturating_add(trust.uncertainty_us).saturating_add(drift_us);
        trust.at_us >= self.at_us && trust.gps_less_monotonic_us.abs_diff(self.gps_less_monotonic_us) <= bound_us
    }
}
