//! One run: the battery-backed clock is read, the receivers are listened to, and then, if their time can be trusted, the system clock
//! is put right and the battery-backed one written. Without GPS the time comes from the battery-backed clock. Nothing here opens a
//! device: all come in.

use std::time::Duration;

use jiff::Timestamp;
use tide_photo::clock_report::{CLOCK_REPORT_VERSION, ClockReport, GpsReport};
use tide_photo::{CapturedAt, ClockSource};

use crate::config::Settings;
use crate::devices::clock::SystemClock;
use crate::devices::receiver::Receiver;
use crate::devices::rtc::{Rtc, RtcError, Timer};
use crate::gather;
use crate::journal::Journal;
use crate::keeper::{self, Daemon, Evidence, Hold};
use crate::kept::{Kept, Run};
use crate::receiver::Fix;
use crate::verdict::{Rules, Trust, Verdict};

mod clock_care;
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
    /// Whether such a daemon has its time from a receiver on this machine.
    pub is_steered_by_receiver: &'a dyn Fn(Daemon) -> bool,
    /// Where a report goes at once, before anything that takes its time: photos are being taken.
    pub publish: &'a mut dyn FnMut(&ClockReport, &Kept),
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
        // Meanwhile what was heard has grown old, and what was said has piled up.
        tools.receivers.iter_mut().for_each(|receiver| receiver.begin_anew());
        heard = gather::listen(&mut tools.receivers, &rules, wait_us, now_us, &witnesses, tools.journal);
    }
    let mut this = ThisRun { tools, settings, kept, rules, run: Run::default(), exit_code: 0, is_contradicted: false };
    let report = match heard.verdict {
        Verdict::Trusted(trust) => match this.doubts_leap_seconds(&trust, rtc.as_ref()) {
            Some(apart_us) => this.without_gps(rtc.as_ref(), apart_us),
            None => this.with_gps(&trust, rtc.as_mut()),
        },
        Verdict::Wanting(reason) => {
            if listens {
                this.warn(format!("no time from GPS: {reason}"));
            }
            this.without_gps(rtc.as_ref(), 0)
        }
    };
    if let Some(rtc) = &rtc {
        this.judge_rtc(rtc);
    }
    let gps = heard.last.as_ref().map(gps_report);
    this.finish(ClockReport { gps, ..report })
}

/// How long a daemon that has just set the clock may go on slewing it: chrony takes 12 s for all that it does not step.
const SETTLED_AFTER: Duration = Duration::from_secs(12);

/// A change of the clock that is a step: chrony and ntpd slew what is smaller than a second and 128 ms. Slewing alone moves a
/// clock by 83 ms in each second at most (chrony's `maxslewrate`), and it is looked at every two.
const STEP_US: u64 = 400_000;

/// From one look at a daemon that has yet to set the clock to the next.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

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
    let mut boot_at_us = clock.reading().boot_at_us();
    let mut was_stepped = false;
    loop {
        let Ok(kernel) = clock.kernel_state() else { return has_waited };
        let reading = clock.reading();
        let uptime_us = reading.monotonic_us;
        was_stepped |= std::mem::replace(&mut boot_at_us, reading.boot_at_us()).abs_diff(boot_at_us) > STEP_US;
        let daemons = daemons();
        let evidence = Evidence { kernel, daemons: &daemons, ours: kept.our_bound(), uptime_us };
        let verdict = keeper::who_keeps(&evidence, settings.clock.limits.keeper_grace_s);
        if !verdict.keeper().is_some_and(|keeper| matches!(keeper.hold, Hold::Starting { .. })) {
            // After a step there is nothing left to slew.
            if has_waited && !was_stepped {
                timer.sleep(SETTLED_AFTER);
            }
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
    /// Whether GPS and the system clock contradict each other, so that nobody knows which of them is right.
    is_contradicted: bool,
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
        let report = self.set_clock(trust, offset_us, uncertainty_us, reading);
        (self.tools.publish)(&report, self.kept);
        if let Some(rtc) = rtc {
            self.compare_rtc(trust, rtc);
            if self.is_contradicted {
                self.warn(format!("{} is not written: GPS and the system clock contradict each other", rtc.name));
            } else {
                self.write_rtc(trust, rtc, report.drift_bound_ppm);
            }
        }
        report
    }

    fn report(&self, source: ClockSource, uncertainty_us: u64) -> ClockReport {
        let reading = self.tools.clock.reading();
        ClockReport {
            version: CLOCK_REPORT_VERSION,
            source,
            uncertainty_ms: ms_up(uncertainty_us),
            set_at_monotonic_us: reading.monotonic_us,
            boot_id: self.kept.boot_id.clone(),
            boot_at_us: Some(reading.boot_at_us()),
            floor_ms: None,
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
