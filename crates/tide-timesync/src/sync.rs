//! One run: the battery-backed clock is read, the receivers are listened to, and then, if their time can be trusted, the system clock
//! is put right and the battery-backed one written. Without GPS the time comes from the battery-backed clock. Nothing here opens a
//! device: all come in.

use std::time::Duration;

use jiff::Timestamp;
use tide_photo::clock_report::{CLOCK_REPORT_VERSION, ClockReport, GpsReport};
use tide_photo::{CapturedAt, ClockSource};

use crate::config::Settings;
use crate::devices::clock::{KernelState, Reading, SystemClock};
use crate::devices::receiver::Receiver;
use crate::devices::rtc::{Rtc, RtcError, Timer, write_on_the_second};
use crate::drift::{self, Track};
use crate::gather;
use crate::journal::Journal;
use crate::keeper::{self, Daemon, Evidence, Hold};
use crate::kept::{Kept, RtcWritten, Run};
use crate::receiver::Fix;
use crate::rtc::drift::{Compared, SetRight};
use crate::setting;
use crate::steering::{self, Decision, Facts};
use crate::verdict::{Rules, Trust, Verdict};

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

/// How fast a battery-backed clock of unknown make may go wrong, in parts per million. A watch crystal is cut to 20, loses 34 more
/// at 0 degrees Celsius than at 25, and ages by a few (DS1307 and PCF8523 datasheets); a DS3231 keeps within 3.5.
const RTC_PPM: u64 = 60;

/// The same for one whose name says that it is a DS3231.
const DS3231_PPM: u64 = 5;

/// How long the kernel goes on copying a clock that nobody has checked since to its battery-backed one, in seconds: until its bound,
/// which grows by 500 parts per million, has reached 16 s.
const KERNEL_COPIES_FOR_S: u64 = 32_000;

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

/// The battery-backed clock, and what it showed at the beginning.
struct RtcInHand {
    name: String,
    rtc: Option<Box<dyn Rtc>>,
    shown: Option<Shown>,
    error: Option<RtcError>,
    temperature_c: Option<f32>,
    battery_is_low: Option<bool>,
    kernel_may_write_it: bool,
    was_written: bool,
}

/// What it showed, and when.
#[derive(Debug, Clone, Copy)]
struct Shown {
    /// In the middle of what it may have meant, in microseconds since 1970 UTC.
    rtc_us: i64,
    uncertainty_us: u64,
    monotonic_us: u64,
}

impl Shown {
    fn at_us(self, monotonic_us: u64) -> i64 {
        self.rtc_us + monotonic_us.cast_signed() - self.monotonic_us.cast_signed()
    }
}

impl RtcInHand {
    fn read(rtc: Result<Box<dyn Rtc>, RtcError>, tools: &mut Tools) -> Self {
        let none = Self {
            name: "no battery-backed clock".to_owned(),
            rtc: None,
            shown: None,
            error: None,
            temperature_c: None,
            battery_is_low: None,
            kernel_may_write_it: false,
            was_written: false,
        };
        let mut rtc = match rtc {
            Ok(rtc) => rtc,
            Err(error) => return Self { error: Some(error), ..none },
        };
        let (name, kernel_may_write_it) = (rtc.name(), rtc.kernel_may_write_it());
        let reading = rtc.read();
        let temperature_c = rtc.temperature_c();
        let this = Self { name, rtc: Some(rtc), temperature_c, kernel_may_write_it, ..none };
        match reading {
            Err(error) => Self { error: Some(error), ..this },
            Ok(reading) => {
                let half_us = u64::try_from(reading.uncertainty.as_micros()).unwrap_or(u64::MAX) / 2;
                let shown = Shown {
                    rtc_us: reading.at.as_micros() + half_us.cast_signed(),
                    uncertainty_us: half_us + 1,
                    monotonic_us: tools.clock.reading().monotonic_us,
                };
                tools.journal.info(format_args!("{} shows {}", this.name, reading.at));
                Self { shown: Some(shown), battery_is_low: reading.battery_is_low, ..this }
            }
        }
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
            drift_us: drift_us(u64::from(drift_bound_ppm), since_us),
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

    fn without_gps(&mut self, rtc: Option<&RtcInHand>) -> ClockReport {
        let rtc_is_none = rtc.is_none();
        let reading = self.tools.clock.reading();
        let kernel = match self.tools.clock.kernel_state() {
            Ok(kernel) => kernel,
            Err(error) => {
                self.fail(3, chain(&error));
                return self.report(ClockSource::Unsynchronised, 0);
            }
        };
        let who = self.who_keeps(kernel, reading);
        self.say(who.to_string());
        if let Some(keeper) = who.keeper()
            && let Hold::Disciplines { bound_us } = keeper.hold
        {
            let kept_by = Some(keeper.name().to_owned());
            return ClockReport { kept_by, ..self.report(ClockSource::Ntp, bound_us) };
        }
        if let Some(report) = self.kept.report.clone() {
            self.say("the system clock was set from GPS in this boot, and goes on from there".to_owned());
            return report;
        }
        let Some((rtc, shown)) = rtc.and_then(|rtc| Some((rtc, rtc.shown?))) else {
            // If there is one that cannot be read, that is said, too.
            if rtc_is_none {
                self.fail(3, "nobody knows the time: no GPS, and no battery-backed clock".to_owned());
            }
            return self.report(ClockSource::Unsynchronised, 0);
        };
        self.set_from_rtc(rtc, shown, reading)
    }

    fn set_from_rtc(&mut self, rtc: &RtcInHand, shown: Shown, reading: Reading) -> ClockReport {
        let rtc_us = shown.at_us(reading.monotonic_us);
        let is_plausible = Timestamp::from_microsecond(rtc_us).is_ok_and(|time| self.rules.plausible().contains(&time));
        if !is_plausible {
            self.fail(1, format!("{} shows a time that cannot be; it is not used", rtc.name));
            return self.report(ClockSource::Unsynchronised, 0);
        }
        let uncertainty_us = self.rtc_uncertainty_us(rtc, rtc_us).saturating_add(shown.uncertainty_us);
        let offset_us = rtc_us - reading.real_us;
        let facts = self.facts(None, reading, tide_photo::clock::DRIFT_PPM);
        let decision = steering::decide(offset_us, shown.uncertainty_us, &facts, &self.settings.clock.limits);
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
        // The kernel is not told: it would copy this clock to the battery-backed one, which is the better of the two.
        self.kept.bound_us = None;
        self.report(ClockSource::Rtc, uncertainty_us)
    }

    /// How far it may be off by now: what it was when it was written last, by us or, if it is one that the kernel writes, by the
    /// kernel; and what it has gone wrong since. One that we have never written is taken to have been set when we were built.
    fn rtc_uncertainty_us(&self, rtc: &RtcInHand, rtc_us: i64) -> u64 {
        let written = self.kept.rtc.as_ref().filter(|written| written.name == rtc.name);
        let ppm = if rtc.name.contains("ds3231") { DS3231_PPM } else { RTC_PPM };
        let since_us = |from_us: i64| rtc_us.saturating_sub(from_us).unsigned_abs();
        match written {
            Some(written) => {
                let copied_us = u64::from(written.clock_ppm) * KERNEL_COPIES_FOR_S;
                let copied_us = if rtc.kernel_may_write_it { copied_us } else { 0 };
                written.uncertainty_us + copied_us + drift_us(ppm, since_us(written.at.as_micros()))
            }
            None => 1_000_000 + drift_us(ppm, since_us(self.rules.earliest.as_microsecond())),
        }
    }

    fn compare_rtc(&mut self, trust: &Trust, rtc: &RtcInHand) {
        let Some(shown) = rtc.shown else { return };
        let gps_us = trust.gps_less_monotonic_us + shown.monotonic_us.cast_signed();
        let difference_us = gps_us - shown.rtc_us;
        self.run.rtc_offset_us = Some(difference_us);
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let seconds = difference_us as f64 / 1e6;
        self.say(format!("GPS - RTC difference: {seconds:+.3} s"));
        let Some(written) = self.kept.rtc.as_ref().filter(|written| written.name == rtc.name) else { return };
        let moment = |us: i64| CapturedAt::from_micros(us).unwrap_or(CapturedAt::EPOCH);
        let set = SetRight { at: written.at, uncertainty: Duration::from_micros(written.uncertainty_us) };
        let uncertainty = Duration::from_micros(trust.uncertainty_us.saturating_add(shown.uncertainty_us));
        let compared = Compared { at: moment(gps_us), shown: moment(shown.rtc_us), uncertainty };
        match crate::rtc::drift::drift(set, compared, rtc.kernel_may_write_it) {
            Err(why) => self.say(format!("the drift of {} is not known: {why}", rtc.name)),
            Ok(drift) => {
                self.run.rtc_ppm = Some(drift.ppm);
                self.run.rtc_ppm_uncertainty = Some(drift.uncertainty_ppm);
                let warm = rtc.temperature_c.map_or_else(String::new, |degrees| format!(", at {degrees:.2} °C"));
                let (ppm, within) = (drift.ppm, drift.uncertainty_ppm);
                self.say(format!("{} drifts {ppm:+.2} ppm, within {within:.2}{warm}", rtc.name));
            }
        }
    }

    fn write_rtc(&mut self, trust: &Trust, in_hand: &mut RtcInHand, drift_bound_ppm: Option<u32>) {
        let Some(rtc) = &mut in_hand.rtc else { return };
        let clock = &*self.tools.clock;
        let gps_now_us = || trust.gps_less_monotonic_us + clock.reading().monotonic_us.cast_signed();
        let timer = self.tools.timer;
        match write_on_the_second(rtc.as_mut(), gps_now_us, |span| timer.sleep(span)) {
            Err(error) => self.fail(2, chain(&error)),
            Ok(written) => {
                in_hand.was_written = true;
                self.say(format!(
                    "{} was written on the second, and reads back {}",
                    in_hand.name, written.read_back.at
                ));
                self.kept.rtc = Some(RtcWritten {
                    name: in_hand.name.clone(),
                    at: written.at,
                    // Where the second begins in the chip is seen to some milliseconds.
                    uncertainty_us: trust.uncertainty_us.saturating_add(written.ahead_us.unsigned_abs()),
                    clock_ppm: drift_bound_ppm.unwrap_or(tide_photo::clock::DRIFT_PPM),
                });
            }
        }
    }

    /// What is wrong with the battery-backed clock, if writing it has not mended that.
    fn judge_rtc(&mut self, rtc: &RtcInHand) {
        self.run.rtc_temperature_c = rtc.temperature_c;
        self.run.rtc_battery_is_low = rtc.battery_is_low;
        if rtc.battery_is_low == Some(true) {
            self.warn(format!("the battery of {} is low: replace it", rtc.name));
        }
        let Some(error) = &rtc.error else { return };
        if rtc.was_written {
            self.warn(format!("{} (written anew)", chain(error)));
        } else {
            self.fail(1, chain(error));
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

/// What a clock goes wrong in that time, in microseconds, rounded up.
fn drift_us(ppm: u64, elapsed_us: u64) -> u64 {
    u64::try_from((u128::from(ppm) * u128::from(elapsed_us)).div_ceil(1_000_000)).unwrap_or(u64::MAX)
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
