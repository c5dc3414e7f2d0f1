//! One run: the battery-backed clock is read, the receivers are listened to, and then, if their time can be trusted, the system clock
//! is put right and the battery-backed one written. Without GPS the time comes from the battery-backed clock. Nothing here opens a
//! device: all come in.

use std::time::Duration;

use jiff::Timestamp;
use tide_photo::clock_report::{CLOCK_REPORT_VERSION, ClockReport, GpsReport, drift_us};
use tide_photo::{CapturedAt, ClockSource};

use crate::config::Settings;
use crate::devices::clock::{KernelState, Reading, SystemClock};
use crate::devices::receiver::Receiver;
use crate::devices::rtc::{Rtc, RtcError, Timer};
use crate::drift::{self, Track};
use crate::gather;
use crate::journal::Journal;
use crate::keeper::{self, Daemon, Evidence, Hold};
use crate::kept::{Kept, Run};
use crate::receiver::Fix;
use crate::setting;
use crate::steering::{self, Decision, Facts};
use crate::verdict::{Rules, Trust, Verdict};

mod fallback;
mod rtc_care;
mod rtc_in_hand;

use rtc_in_hand::RtcInHand;

/// Everything that a run touches.
pub struct Tools<'a> {
    /// The system clock.
    pub clock: &'a mut dyn SystemClock,
    /// The battery-backed clock; none if the settings say that there is none.
    pub rtc: Option<Result<Box<dyn Rtc>, RtcError>>,
    /// The receivers.
    pub receivers: Vec<Box<dyn Receiver>>,
    /// Which daemons run that may keep the clock.
    pub daemons: &'a dyn Fn() -> Vec<Daemon>,
    /// Waits.
    pub timer: &'a dyn Timer,
    /// Where everything is said.
    pub journal: &'a mut Journal,
    /// When this program was built: no time is before that.
    pub built: Timestamp,
}

/// What has come of a run.
#[derive(Debug)]
pub struct Outcome {
    /// For the recorder.
    pub report: ClockReport,
    /// For the history, with the prototype's exit code.
    pub run: Run,
}

/// Fewest satellites of a fix. Ours: three give a time where the height is known, as on a pier.
const MIN_SATELLITES: u8 = 3;

/// Largest bound that a receiver may give for its own time, in microseconds: 100 ms. Ours: with a signal it is below 1 us.
const MAX_ACCURACY_US: u64 = 100_000;

/// Runs once. What `kept` says of earlier runs is brought up to date.
pub fn run(tools: &mut Tools, settings: &Settings, kept: &mut Kept) -> Outcome {
    let mut rtc = tools.rtc.take().map(|rtc| RtcInHand::read(rtc, tools));
    let rules = Rules {
        earliest: tools.built,
        fixes_needed: settings.gps.fixes.into(),
        min_satellites: MIN_SATELLITES,
        max_accuracy_us: MAX_ACCURACY_US,
        max_latency_us: u64::from(settings.gps.max_latency_ms) * 1_000,
    };
    let clock = &*tools.clock;
    let seen = rtc.as_ref().and_then(|rtc| rtc.shown);
    let plausible = rules.plausible();
    let witnesses = |now_us: u64| {
        let rtc_us = seen.map(|shown| shown.at_us(now_us));
        let all = [rtc_us, Some(clock.reading().real_us)].into_iter().flatten();
        all.filter_map(|us| Timestamp::from_microsecond(us).ok()).filter(|time| plausible.contains(time)).collect()
    };
    let wait_us = u64::from(settings.gps.wait_s) * 1_000_000;
    let now_us = || clock.reading().monotonic_us;
    let mut heard = gather::listen(&mut tools.receivers, &rules, wait_us, now_us, &witnesses, tools.journal);
    let listens = !tools.receivers.is_empty();
    if listens && wait_for_keeper(clock, tools.daemons, tools.timer, tools.journal, settings, kept) {
        // Meanwhile what was heard has grown old.
        heard = gather::listen(&mut tools.receivers, &rules, wait_us, now_us, &witnesses, tools.journal);
    }
    let mut this = ThisRun { tools, settings, kept, rules, run: Run::default(), exit_code: 0 };
    let report = match heard.verdict {
        Verdict::Trusted(trust) => this.with_gps(&trust, rtc.as_mut()),
        Verdict::Wanting(reason) => {
            if listens {
                this.warn(format!("no time from GPS: {reason}"));
            }
            this.without_gps(rtc.as_ref())
        }
    };
    if let Some(rtc) = &rtc {
        this.judge_rtc(rtc);
    }
    let gps = heard.last.as_ref().map(gps_report);
    this.finish(ClockReport { gps, ..report })
}

/// From one look at a daemon that has yet to set the clock to the next.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Waits while a daemon has been started and has not set the clock yet, until it has or its time is over: it may do so at any
/// moment, and two who set a clock are one too many. Whether there was anything to wait for.
fn wait_for_keeper(
    clock: &dyn SystemClock,
    daemons: &dyn Fn() -> Vec<Daemon>,
    timer: &dyn Timer,
    journal: &mut Journal,
    settings: &Settings,
    kept: &Kept,
) -> bool {
    let mut has_waited = false;
    loop {
        let Ok(kernel) = clock.kernel_state() else { return has_waited };
        let uptime_us = clock.reading().monotonic_us;
        let daemons = daemons();
        let evidence = Evidence { kernel, daemons: &daemons, ours: kept.our_bound(), uptime_us };
        let verdict = keeper::who_keeps(&evidence, settings.clock.limits.keeper_grace_s);
        if !verdict.keeper().is_some_and(|keeper| matches!(keeper.hold, Hold::Starting { .. })) {
            return has_waited;
        }
        if !std::mem::replace(&mut has_waited, true) {
            journal.info(&verdict);
        }
        timer.sleep(LOOK_AGAIN);
    }
}

/// A run under way.
struct ThisRun<'a, 'b> {
    tools: &'a mut Tools<'b>,
    settings: &'a Settings,
    kept: &'a mut Kept,
    rules: Rules,
    run: Run,
    exit_code: u8,
}

impl ThisRun<'_, '_> {
    fn say(&mut self, text: String) {
        self.tools.journal.info(&text);
        self.run.said.push(text);
    }

    fn warn(&mut self, text: String) {
        self.tools.journal.warn(&text);
        self.run.said.push(text);
    }

    /// An error, and the exit code that it has with the prototype. Of several the clock's counts first; and a battery-backed clock
    /// that cannot be read cannot be written either.
    fn fail(&mut self, exit_code: u8, text: String) {
        const BY_WEIGHT: [u8; 4] = [0, 2, 1, 3];
        let weight = |exit_code: u8| BY_WEIGHT.iter().position(|code| *code == exit_code);
        self.tools.journal.error(&text);
        self.run.said.push(text);
        if weight(exit_code) > weight(self.exit_code) {
            self.exit_code = exit_code;
        }
    }

    fn with_gps(&mut self, trust: &Trust, rtc: Option<&mut RtcInHand>) -> ClockReport {
        let reading = self.tools.clock.reading();
        let offset_us = trust.gps_less_monotonic_us + reading.monotonic_us.cast_signed() - reading.real_us;
        let uncertainty_us = trust.uncertainty_us_at(reading.monotonic_us).saturating_add(reading.spread_us);
        self.run.offset_us = Some(offset_us);
        self.run.uncertainty_us = Some(uncertainty_us);
        self.run.fixes = Some(trust.fixes);
        let by = if trust.by_pulse { ", with a pulse" } else { "" };
        let time = trust.last.time;
        self.say(format!("GPS says {time:.3}, within {} ms; {} fixes agree{by}", ms_up(uncertainty_us), trust.fixes));
        if trust.rollovers != 0 {
            self.warn(format!(
                "the receiver's date was {} weeks off, which was put right: its week number has begun again",
                trust.rollovers * 1_024
            ));
        }
        let report = self.set_clock(offset_us, uncertainty_us, reading);
        let is_refused = report.source == ClockSource::Unsynchronised;
        if let Some(rtc) = rtc {
            self.compare_rtc(trust, rtc);
            if is_refused {
                self.warn(format!("{} is not written: GPS and the system clock contradict each other", rtc.name));
            } else {
                self.write_rtc(trust, rtc, report.drift_bound_ppm);
            }
        }
        report
    }

    fn set_clock(&mut self, offset_us: i64, uncertainty_us: u64, reading: Reading) -> ClockReport {
        let kernel = match self.tools.clock.kernel_state() {
            Ok(kernel) => kernel,
            Err(error) => {
                self.fail(3, chain(&error));
                return self.report(ClockSource::Unsynchronised, 0);
            }
        };
        let who = self.who_keeps(kernel, reading);
        self.say(who.to_string());
        if who.keeper().is_some() {
            self.kept.track = Track::default();
        } else {
            self.kept.track.check(reading, &kernel, offset_us, uncertainty_us);
        }
        let measured = self.kept.track.drift();
        let drift_bound_ppm = drift::bound_ppm(measured);
        if let Some(measured) = measured {
            let ppm = |ppb: f64| ppb / 1_000.0;
            #[expect(clippy::cast_precision_loss, reason = "a drift has few digits")]
            let (ppb, uncertainty_ppb) = (measured.ppb as f64, measured.uncertainty_ppb as f64);
            self.run.clock_ppm = Some(ppm(ppb));
            self.say(format!(
                "the system clock's oscillator runs {:+.1} ppm, within {:.1}",
                ppm(ppb),
                ppm(uncertainty_ppb)
            ));
        }
        let facts = self.facts(who.keeper(), reading, drift_bound_ppm);
        let decision = steering::decide(offset_us, uncertainty_us, &facts, &self.settings.clock.limits);
        if decision.is_warning() {
            self.warn(decision.to_string());
        } else {
            self.say(decision.to_string());
        }
        if let Decision::Refuse { .. } = decision {
            // Whoever vouched for this clock did so wrongly.
            if let Err(error) = self.tools.clock.disown() {
                self.tools.journal.error(chain(&error));
            }
            self.fail(3, "the system clock is left as it is; photos are marked as unsynchronised".to_owned());
            self.kept.bound_us = None;
            return self.report(ClockSource::Unsynchronised, 0);
        }
        if let Decision::LeaveToKeeper { keeper, .. } = decision {
            return self.left_to(keeper, decision.is_warning(), uncertainty_us);
        }
        match setting::carry_out(&decision, self.tools.clock, &mut self.kept.track) {
            Err(error) => {
                self.fail(3, chain(&error));
                self.report(ClockSource::Unsynchronised, 0)
            }
            Ok(bound_us) => {
                self.kept.stepped_us = self.kept.stepped_us.saturating_add(decision.counted_us(&facts));
                self.kept.was_set = true;
                let report = self.report(ClockSource::Gps, bound_us.unwrap_or(uncertainty_us));
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

    fn who_keeps(&self, kernel: KernelState, reading: Reading) -> keeper::Verdict {
        let daemons = (self.tools.daemons)();
        let ours = self.kept.our_bound();
        let evidence = Evidence { kernel, daemons: &daemons, ours, uptime_us: reading.monotonic_us };
        keeper::who_keeps(&evidence, self.settings.clock.limits.keeper_grace_s)
    }

    fn facts(&self, keeper: Option<keeper::Keeper>, reading: Reading, drift_bound_ppm: u32) -> Facts {
        let plausible = self.rules.plausible();
        let since_us = self.kept.bound_us.map_or(0, |(_, set_at_us)| reading.monotonic_us.saturating_sub(set_at_us));
        Facts {
            clock_us: reading.real_us,
            earliest_us: plausible.start().as_microsecond(),
            latest_us: plausible.end().as_microsecond(),
            keeper,
            is_first_of_boot: !self.kept.was_set,
            stepped_us: self.kept.stepped_us,
            drift_us: drift_us(since_us, drift_bound_ppm),
        }
    }

    /// The clock is somebody else's. GPS bears witness to it, or against it.
    fn left_to(&mut self, keeper: keeper::Keeper, is_wrong: bool, uncertainty_us: u64) -> ClockReport {
        self.kept.bound_us = None;
        let kept_by = Some(keeper.name().to_owned());
        match keeper.hold {
            Hold::Disciplines { bound_us } => {
                self.kept.was_set = true;
                let source = if is_wrong { ClockSource::Ntp } else { ClockSource::Gps };
                ClockReport { kept_by, ..self.report(source, bound_us.max(uncertainty_us)) }
            }
            Hold::Starting { .. } => ClockReport { kept_by, ..self.report(ClockSource::Unsynchronised, 0) },
        }
    }

    fn report(&self, source: ClockSource, uncertainty_us: u64) -> ClockReport {
        ClockReport {
            version: CLOCK_REPORT_VERSION,
            source,
            uncertainty_ms: ms_up(uncertainty_us),
            set_at_monotonic_us: self.tools.clock.reading().monotonic_us,
            boot_id: self.kept.boot_id.clone(),
            drift_bound_ppm: None,
            kernel_max_error_us_when_set: None,
            kept_by: None,
            gps: None,
        }
    }

    fn finish(mut self, report: ClockReport) -> Outcome {
        let now = Timestamp::from_microsecond(self.tools.clock.reading().real_us).unwrap_or_default();
        self.run.at = format!("{now:.3}");
        self.run.boot_id = self.kept.boot_id.clone();
        self.run.exit_code = self.exit_code;
        self.run.source = report.source.to_string();
        Outcome { report, run: self.run }
    }
}

fn gps_report(fix: &Fix) -> GpsReport {
    let is_fix = fix.mode >= 2;
    GpsReport {
        mode: fix.mode,
        satellites: fix.satellites,
        fix_at: CapturedAt::from_micros(fix.time.as_microsecond()).filter(|_| is_fix),
        latitude: fix.latitude.filter(|_| is_fix),
        longitude: fix.longitude.filter(|_| is_fix),
        altitude_m: fix.altitude_m.filter(|_| fix.mode >= 3),
    }
}

/// Milliseconds, rounded up.
fn ms_up(us: u64) -> u32 {
    u32::try_from(us.div_ceil(1_000)).unwrap_or(u32::MAX)
}

/// An error with all its reasons.
fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

#[cfg(test)]
mod tests;
