//! Whole runs in virtual time, one line each: what the receiver says, what the clocks show, and what has to come of it.

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::devices::clock::{ClockError, KernelState, Reading};
use crate::devices::receiver::Event;
use crate::devices::rehearsed_clock::RehearsedClock;
use crate::devices::rtc_file::Faults;
use crate::devices::rtc_file::testing::VirtualTime;
use crate::devices::rtc_i2c::I2cRtc;
use crate::kept::RtcWritten;
use crate::receiver::Origin;
use crate::rtc::chip::Chip;
use crate::verdict::{Pulse, ROLLOVER};

const NOW: &str = "2026-11-25T12:00:00Z";
const BUILT: &str = "2026-11-01T00:00:00Z";
const SECOND_US: i64 = 1_000_000;
const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 86_400;
const YEAR_S: i64 = 31_557_600;

/// How long after the boot a run begins, in microseconds: the timer's two minutes.
const UPTIME_US: i64 = 120 * SECOND_US;

/// From a moment to its message, in microseconds.
const LATENCY_US: u64 = 100_000;

/// What a receiver says in its n-th second, of that second.
type Says = fn(u64, Fix) -> Option<Fix>;

/// The battery-backed clock.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Chips {
    /// The settings say that there is none.
    Unset,
    /// It was not found.
    Absent,
    /// It does not answer.
    Dead,
    /// Its battery is empty.
    Stopped,
    /// It runs, so many seconds ahead.
    Ahead(i64),
    /// It runs, and keeps nothing that is written.
    Forgets,
}

/// Who else may keep the clock.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Others {
    Nobody,
    /// This daemon runs, and has disciplined the clock.
    Keeps(Daemon),
    /// This daemon runs, and never sets the clock.
    Idle(Daemon),
    /// This daemon runs, and sets the clock a minute from now.
    Starts(Daemon),
}

/// A station at one moment.
struct World {
    time: VirtualTime,
    clock_ahead_us: i64,
    chip: Chips,
    receivers: Vec<Says>,
    others: Others,
    has_pulse: bool,
    uptime_us: i64,
    /// What was done before, in this boot.
    kept: Kept,
}

fn world() -> World {
    let time = VirtualTime::at(NOW);
    let (chip, receivers, others) = (Chips::Ahead(0), vec![good as Says], Others::Nobody);
    let kept = Kept { boot_id: "boot".to_owned(), ..Kept::default() };
    World { time, clock_ahead_us: 0, chip, receivers, others, has_pulse: false, uptime_us: UPTIME_US, kept }
}

impl World {
    fn clock(mut self, ahead_s: f64) -> Self {
        self.clock_ahead_us = SignedDuration::from_secs_f64(ahead_s).as_micros().try_into().unwrap();
        self
    }

    /// Neither the clock nor the chip knows the year.
    fn clueless(self) -> Self {
        self.clock(-26.0 * YEAR_S as f64).rtc(Chips::Stopped)
    }

    fn rtc(self, chip: Chips) -> Self {
        Self { chip, ..self }
    }

    fn says(self, says: Says) -> Self {
        Self { receivers: vec![says], ..self }
    }

    fn and(mut self, says: Says) -> Self {
        self.receivers.push(says);
        self
    }

    fn others(self, others: Others) -> Self {
        Self { others, ..self }
    }

    fn uptime_h(self, hours: i64) -> Self {
        Self { uptime_us: hours * HOUR_S * SECOND_US, ..self }
    }

    /// The same boot, so much later.
    fn later_h(self, hours: i64) -> Self {
        self.time.pass(Duration::from_secs((hours * HOUR_S).unsigned_abs()));
        Self { uptime_us: self.uptime_us + hours * HOUR_S * SECOND_US, ..self }
    }

    fn pulse(self) -> Self {
        Self { has_pulse: true, ..self }
    }

    /// The clock was set from GPS before, and so much was stepped since.
    fn set_before(mut self, stepped_s: u64) -> Self {
        (self.kept.was_set, self.kept.stepped_us) = (true, stepped_s * 1_000_000);
        self
    }

    /// Exit code, report, all that was said, and how far the clock then is ahead of the truth, in microseconds.
    fn run(mut self) -> (u8, ClockReport, String, i64, Kept) {
        let folder = TempDir::new().unwrap();
        let boot_us = self.time.now_us() - self.uptime_us;
        let monotonic = {
            let time = self.time.clone();
            Arc::new(move || (time.now_us() - boot_us).unsigned_abs())
        };
        let mut clock = RehearsedClock::new(monotonic, self.time.now_us() + self.clock_ahead_us);
        if let Others::Keeps(_) = self.others {
            clock.vouch(20_000, 1_000).unwrap();
        }
        let started = self.time.now_us();
        let daemons = || match self.others {
            Others::Nobody => Vec::new(),
            Others::Keeps(daemon) | Others::Idle(daemon) | Others::Starts(daemon) => vec![daemon],
        };
        let clock = Shared(Mutex::new(clock));
        let timer = KeeperTimer { time: self.time.clone(), clock: &clock, others: self.others, started };
        let mut clock_in_hand = &clock;
        let mut journal = Journal::default();
        let mut tools = Tools {
            clock: &mut clock_in_hand,
            rtc: self.rtc_in(&folder),
            receivers: self.scripted(boot_us),
            daemons: &daemons,
            is_steered_by_receiver: &|daemon| daemon == Daemon::Chronyd,
            publish: &mut |_, _| (),
            timer: &timer,
            journal: &mut journal,
            built: BUILT.parse().unwrap(),
        };
        let mut settings = Settings::default();
        settings.gps.wait_s = 60;
        let outcome = run(&mut tools, &settings, &mut self.kept);
        let said = outcome.run.said.join("\n");
        // What is being slewed away comes on top of what is reported, as the recorder knows.
        let slewing_us = clock.0.lock().unwrap().kernel_state().unwrap().slewing_us;
        let ahead_us = clock.0.lock().unwrap().reading().real_us - self.time.now_us() + slewing_us;
        (outcome.run.exit_code, outcome.report, said, ahead_us, self.kept)
    }

    fn rtc_in(&self, folder: &TempDir) -> Option<Result<Box<dyn Rtc>, RtcError>> {
        let mut file = self.time.chip(folder.path(), Chip::Ds3231);
        match self.chip {
            Chips::Unset => return None,
            Chips::Absent => return Some(Err(RtcError::Absent("nothing answers".to_owned()))),
            Chips::Dead => file.faults = Faults { is_dead: true, ..file.faults },
            Chips::Stopped => (),
            Chips::Ahead(_) | Chips::Forgets => {
                let ahead_us = if let Chips::Ahead(seconds) = self.chip { seconds * SECOND_US } else { 7 * SECOND_US };
                let at = CapturedAt::from_micros(self.time.now_us() + ahead_us).unwrap();
                let mut rtc = I2cRtc::on(file, Chip::Ds3231, "the bus".to_owned(), Arc::new(self.time.clone()));
                rtc.write(at).unwrap();
                file = self.time.chip(folder.path(), Chip::Ds3231);
                file.faults = Faults { forgets: self.chip == Chips::Forgets, ..file.faults };
            }
        }
        let rtc = I2cRtc::on(file, Chip::Ds3231, "the bus".to_owned(), Arc::new(self.time.clone()));
        Some(Ok(Box::new(rtc)))
    }

    fn scripted(&self, boot_us: i64) -> Vec<Box<dyn Receiver>> {
        let one = |(number, says): (usize, &Says)| -> Box<dyn Receiver> {
            let (time, says) = (self.time.clone(), *says);
            Box::new(Scripted { number, says, time, boot_us, second: Cell::new(0), has_pulse: self.has_pulse })
        };
        self.receivers.iter().enumerate().map(one).collect()
    }
}

/// The clock, of which the timer needs to know as well.
struct Shared(Mutex<RehearsedClock>);

impl SystemClock for &Shared {
    fn reading(&self) -> Reading {
        self.0.lock().unwrap().reading()
    }

    fn kernel_state(&self) -> Result<KernelState, ClockError> {
        self.0.lock().unwrap().kernel_state()
    }

    fn step(&mut self, by_us: i64) -> Result<(), ClockError> {
        self.0.lock().unwrap().step(by_us)
    }

    fn slew(&mut self, by_us: i64) -> Result<(), ClockError> {
        self.0.lock().unwrap().slew(by_us)
    }

    fn vouch(&mut self, max_us: u64, est_us: u64) -> Result<(), ClockError> {
        self.0.lock().unwrap().vouch(max_us, est_us)
    }

    fn disown(&mut self) -> Result<(), ClockError> {
        self.0.lock().unwrap().disown()
    }
}

/// Waiting, during which a daemon may come to set the clock.
struct KeeperTimer<'a> {
    time: VirtualTime,
    clock: &'a Shared,
    others: Others,
    started: i64,
}

impl Timer for KeeperTimer<'_> {
    fn elapsed(&self) -> Duration {
        self.time.elapsed()
    }

    fn sleep(&self, span: Duration) {
        self.time.sleep(span);
        let is_due = matches!(self.others, Others::Starts(_)) && self.time.now_us() - self.started >= 60 * SECOND_US;
        if is_due && !self.clock.0.lock().unwrap().kernel_state().unwrap().synchronised {
            self.clock.0.lock().unwrap().vouch(20_000, 1_000).unwrap();
        }
    }
}

/// One receiver, who says something once a second. The first of several makes the time pass.
struct Scripted {
    number: usize,
    says: Says,
    time: VirtualTime,
    boot_us: i64,
    second: Cell<u64>,
    has_pulse: bool,
}

impl Receiver for Scripted {
    fn name(&self) -> String {
        format!("receiver {}", self.number)
    }

    fn begin_anew(&mut self) {}

    fn listen(&mut self, _: Duration) -> Vec<Event> {
        let latency = Duration::from_micros(LATENCY_US);
        if self.number == 0 {
            // To the next whole second, and until its message is there.
            let now_us = self.time.now_us() - LATENCY_US.cast_signed();
            let wait_us = SECOND_US - now_us.rem_euclid(SECOND_US);
            self.time.pass(Duration::from_micros(wait_us.unsigned_abs()));
        }
        let heard_us = (self.time.now_us() - self.boot_us).unsigned_abs();
        let of = Timestamp::from_microsecond(self.time.now_us()).unwrap() - SignedDuration::try_from(latency).unwrap();
        let second = self.second.replace(self.second.get() + 1);
        let fix = Fix { satellites: Some(9), heard_us: Some(heard_us), ..Fix::new(Origin::Nmea, of, 3) };
        let receiver = self.name();
        let pulse = Pulse { monotonic_us: heard_us - LATENCY_US, uncertainty_us: 50 };
        let pulse = self.has_pulse.then(|| Event::Pulse { receiver: receiver.clone(), pulse });
        let fix = (self.says)(second, fix).map(|fix| Event::Fix { receiver, fix });
        pulse.into_iter().chain(fix).collect()
    }
}

fn good(_: u64, fix: Fix) -> Option<Fix> {
    Some(fix)
}

fn silent(_: u64, _: Fix) -> Option<Fix> {
    None
}

fn void(_: u64, mut fix: Fix) -> Option<Fix> {
    fix.mode = 0;
    Some(fix)
}

fn shifted(mut fix: Fix, by: SignedDuration) -> Option<Fix> {
    fix.time += by;
    Some(fix)
}

fn seconds(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count)
}

/// What a run has to come to.
struct Expected(u8, &'static str, &'static str);

#[test]
fn scenarios() {
    use Chips::*;
    use Daemon::*;
    use Others::*;
    let w = world;
    #[rustfmt::skip]
    let table: Vec<(&str, World, Expected)> = vec![
        // Receivers that are believed.
        ("good, clock right", w(), Expected(0, "gps", "right as far as can be told")),
        ("good, clock 50 min behind", w().clock(-3_000.0), Expected(0, "gps", "and is stepped")),
        ("good, clock 12 h ahead", w().clock(43_200.0), Expected(0, "gps", "and is stepped")),
        ("good with a pulse, clock 50 ms behind", w().clock(-0.05).pulse(), Expected(0, "gps", "and is slewed")),
        ("good with a pulse, clock 100 us ahead", w().clock(0.0001).pulse(), Expected(0, "gps", "with a pulse")),
        ("void first, then good", w().says(|n, fix| Some(Fix { mode: if n < 9 { 1 } else { 3 }, ..fix })), Expected(0, "gps", "5 fixes agree")),
        ("silent first, then good", w().says(|n, fix| (n > 20).then_some(fix)), Expected(0, "gps", "5 fixes agree")),
        ("every second fix missing", w().says(|n, fix| n.is_multiple_of(2).then_some(fix)), Expected(0, "gps", "5 fixes agree")),
        ("one fix a minute off among good ones", w().says(|n, fix| if n == 3 { shifted(fix, seconds(60)) } else { Some(fix) }), Expected(0, "gps", "5 fixes agree")),
        ("a leap second among good fixes", w().says(|n, fix| Some(Fix { leap_second: n == 3, ..fix })), Expected(0, "gps", "5 fixes agree")),
        ("the leap second itself, then a second less", w().says(|n, fix| if n < 3 { shifted(fix, seconds(1)) } else { Some(fix) }), Expected(0, "gps", "5 fixes agree")),
        ("a receiver that knows its exactness but no satellites", w().says(|_, fix| Some(Fix { satellites: Option::None, accuracy_us: Some(1), ..fix })), Expected(0, "gps", "5 fixes agree")),
        ("fixes in two dimensions", w().says(|_, fix| Some(Fix { mode: 2, satellites: Some(3), ..fix })), Expected(0, "gps", "5 fixes agree")),
        // Receivers that are not.
        ("silent", w().says(silent), Expected(0, "rtc", "the receiver says nothing")),
        ("void", w().says(void), Expected(0, "rtc", "the receiver has no fix")),
        ("four fixes and no more", w().says(|n, fix| (n < 4).then_some(fix)), Expected(0, "rtc", "4 fixes agree, and 5 are needed")),
        ("one fix", w().says(|n, fix| (n == 0).then_some(fix)), Expected(0, "rtc", "1 fixes agree, and 5 are needed")),
        ("stale: the same time again and again", w().says(|n, fix| shifted(fix, seconds(-n.cast_signed()))), Expected(0, "rtc", "repeats the same time")),
        ("jumps with every fix", w().says(|n, fix| shifted(fix, seconds(7 * (n % 2).cast_signed()))), Expected(0, "rtc", "has jumped by")),
        ("runs at double speed", w().says(|n, fix| shifted(fix, seconds(n.cast_signed()))), Expected(0, "rtc", "has jumped by 1000 ms")),
        ("dead reckoning", w().says(|_, fix| Some(Fix { estimated: true, ..fix })), Expected(0, "rtc", "only estimates")),
        ("runs on without signal: no satellites", w().says(|_, fix| Some(Fix { satellites: Some(0), ..fix })), Expected(0, "rtc", "uses 0 satellites only")),
        ("vouches for its time to a second only", w().says(|_, fix| Some(Fix { accuracy_us: Some(1_000_000), ..fix })), Expected(0, "rtc", "exact to 1000 ms only")),
        ("a fix every 12 s", w().says(|n, fix| n.is_multiple_of(12).then_some(fix)), Expected(0, "rtc", "1 fixes agree")),
        // Dates.
        ("1,024 weeks behind, with a witness", w().says(|_, fix| shifted(fix, -ROLLOVER)), Expected(0, "gps", "1024 weeks off, which was put right")),
        ("2,048 weeks behind, with a witness", w().says(|_, fix| shifted(fix, ROLLOVER * -2)), Expected(0, "gps", "2048 weeks off, which was put right")),
        ("1,024 weeks ahead, with a witness", w().says(|_, fix| shifted(fix, ROLLOVER)), Expected(0, "gps", "-1024 weeks off, which was put right")),
        ("1,024 weeks behind, only the RTC is a witness", w().clock(-26.0 * YEAR_S as f64).says(|_, fix| shifted(fix, -ROLLOVER)), Expected(0, "gps", "1024 weeks off, which was put right")),
        ("1,024 weeks behind, and nobody knows better", w().clueless().says(|_, fix| shifted(fix, -ROLLOVER)), Expected(1, "unsynchronised", "it may mean 2026-11-25")),
        ("1980-01-06, where receivers begin", w().says(|n, fix| Some(Fix { time: "1980-01-06T00:00:00Z".parse::<Timestamp>().unwrap() + seconds(n.cast_signed()), ..fix })), Expected(0, "rtc", "says 1980-01-06")),
        ("the day before the build", w().says(|_, fix| shifted(fix, seconds(-26 * DAY_S))), Expected(0, "rtc", "before this program was built")),
        ("2038-11-21 while clock and RTC agree on 2026", w().says(|n, fix| Some(Fix { time: "2038-11-21T00:00:00Z".parse::<Timestamp>().unwrap() + seconds(n.cast_signed()), ..fix })), Expected(3, "unsynchronised", "it is not touched")),
        ("2038-11-21, and it is true", World { time: VirtualTime::at("2038-11-21T00:00:00Z"), ..w() }, Expected(0, "gps", "GPS says 2038-11-21")),
        ("does not know the leap seconds yet", w().says(|_, fix| Some(Fix { unresolved: true, ..fix })), Expected(0, "rtc", "does not know the leap seconds yet")),
        ("has the leap seconds of 2012", w().says(|_, fix| Some(Fix { leap_seconds: Some(15), ..fix })), Expected(0, "rtc", "does not know the leap seconds yet")),
        // Two receivers.
        ("two that agree", w().and(good), Expected(0, "gps", "5 fixes agree")),
        ("two that disagree by 10 s", w().and(|_, fix| shifted(fix, seconds(10))), Expected(0, "rtc", "two receivers contradict each other by 10000 ms")),
        ("two, one silent", w().and(silent), Expected(0, "gps", "5 fixes agree")),
        ("two, one void", w().and(void), Expected(0, "gps", "5 fixes agree")),
        // The system clock.
        ("clock in 2000", w().clock(-26.0 * YEAR_S as f64), Expected(0, "gps", "shows a time that cannot be")),
        ("clock ahead by 20 years", w().clock(20.0 * YEAR_S as f64), Expected(0, "gps", "shows a time that cannot be")),
        ("clock ahead by 10 years", w().clock(10.0 * YEAR_S as f64), Expected(3, "unsynchronised", "it is not touched")),
        ("clock ahead by 25 h", w().clock(25.0 * 3_600.0), Expected(3, "unsynchronised", "it is not touched")),
        ("clock ahead by 20 min, set before in this boot", w().clock(1_200.0).set_before(0), Expected(3, "unsynchronised", "it is not touched")),
        ("clock ahead by 10 min after 55 min of steps", w().clock(600.0).set_before(3_300), Expected(3, "unsynchronised", "it is not touched")),
        // The battery-backed clock.
        ("RTC dead", w().rtc(Dead), Expected(1, "gps", "failed to read the RTC")),
        ("RTC stopped", w().rtc(Stopped), Expected(0, "gps", "(written anew)")),
        ("RTC absent", w().rtc(Absent), Expected(1, "gps", "there is no RTC")),
        ("no RTC in the settings", w().rtc(Chips::Unset), Expected(0, "gps", "5 fixes agree")),
        ("RTC in 2000", w().rtc(Ahead(-26 * YEAR_S)), Expected(0, "gps", "was written on the second")),
        ("RTC ahead by an hour", w().rtc(Ahead(HOUR_S)), Expected(0, "gps", "GPS - RTC difference: -3599.")),
        ("RTC keeps nothing", w().rtc(Forgets), Expected(2, "gps", "did not keep what was written")),
        ("no GPS, RTC good, clock in 2000", w().clock(-26.0 * YEAR_S as f64).says(silent), Expected(0, "rtc", "has its time from ds3231")),
        ("no GPS, RTC in 2000", w().says(silent).rtc(Ahead(-26 * YEAR_S)), Expected(1, "unsynchronised", "a time that cannot be")),
        ("no GPS, RTC stopped", w().says(silent).rtc(Stopped), Expected(1, "unsynchronised", "its oscillator has stopped")),
        ("no GPS, RTC dead", w().says(silent).rtc(Dead), Expected(1, "unsynchronised", "failed to read the RTC")),
        ("no GPS, no RTC in the settings", w().says(silent).rtc(Chips::Unset), Expected(3, "unsynchronised", "nobody knows the time")),
        // Those who keep the clock.
        ("chrony keeps it, GPS agrees", w().others(Keeps(Chronyd)), Expected(0, "gps", "so it is left to it")),
        ("chrony keeps it, GPS finds it 5 s off", w().clock(5.0).others(Keeps(Chronyd)), Expected(3, "ntp", "both cannot be right")),
        ("timesyncd keeps it, GPS agrees", w().others(Keeps(Timesyncd)), Expected(0, "ntp", "so it is left to it")),
        ("chrony keeps it, no GPS", w().others(Keeps(Chronyd)).says(void), Expected(0, "gps", "chronyd keeps the clock")),
        ("ntpd keeps it 30 years off", w().clock(-30.0 * YEAR_S as f64).others(Keeps(Ntpd)), Expected(3, "unsynchronised", "both cannot be right")),
        ("chrony sets the clock a minute after", w().others(Starts(Chronyd)), Expected(0, "gps", "so it is left to it")),
        ("chrony never sets the clock", w().clock(-3_000.0).others(Idle(Chronyd)), Expected(0, "gps", "and is stepped")),
        ("timesyncd without a network, hours after the boot", w().clock(-3_000.0).others(Idle(Timesyncd)).uptime_h(6), Expected(0, "gps", "and is stepped")),
    ];
    assert!(table.len() >= 40);
    let mut wrong = Vec::new();
    for (name, world, Expected(exit_code, source, words)) in table {
        let (got, report, said, ahead_us, _) = world.run();
        if (got, report.source.as_str()) != (exit_code, source) || !said.contains(words) {
            wrong.push(format!("{name}: {got} {} instead of {exit_code} {source} `{words}`:\n{said}", report.source));
        }
        // Whatever is reported is true.
        if report.source != ClockSource::Unsynchronised {
            let bound_us = i64::from(report.uncertainty_ms) * 1_000;
            if ahead_us.abs() > bound_us {
                wrong.push(format!("{name}: {ahead_us} us off, and {bound_us} us reported:\n{said}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn without_gps_a_clock_that_was_set_from_it_in_this_boot_goes_on() {
    let (_, first, _, clock_ahead_us, kept) = world().clock(-3_000.0).run();
    let (exit_code, report, said, ..) = World { kept, clock_ahead_us, ..world().says(silent) }.run();
    assert_eq!((exit_code, report.source, report.uncertainty_ms), (0, ClockSource::Gps, first.uncertainty_ms));
    assert!(said.contains("was set from GPS in this boot"), "{said}");
}

#[test]
fn gps_is_believed_against_the_limits_once_it_has_said_the_same_for_a_day() {
    let mut kept = world().kept;
    for run in 1..=4 {
        let (exit_code, report, said, _, after) =
            World { kept, ..world().clock(30.0 * 3_600.0).later_h(6 * run) }.run();
        let expected = if run < 4 { (3, ClockSource::Unsynchronised) } else { (0, ClockSource::Gps) };
        assert_eq!((exit_code, report.source), expected, "run {run}: {said}");
        kept = after;
    }
}

#[test]
fn whoever_tries_again_and_again_gets_no_other_answer() {
    let mut kept = world().kept;
    for run in 1..=6 {
        let (exit_code, _, said, _, after) = World { kept, ..world().clock(30.0 * 3_600.0) }.run();
        assert_eq!(exit_code, 3, "run {run}: {said}");
        kept = after;
    }
}

#[test]
fn a_believed_step_does_not_use_up_what_later_steps_may_come_to() {
    let mut kept = world().set_before(0).kept;
    for run in 1..=4 {
        (.., kept) = World { kept, ..world().clock(30.0 * 3_600.0).later_h(6 * run) }.run();
    }
    let (exit_code, report, said, ..) = World { kept, ..world().clock(2.0).later_h(30) }.run();
    assert_eq!((exit_code, report.source), (0, ClockSource::Gps), "{said}");
}

#[test]
fn what_gps_found_of_a_keeper_holds_until_gps_finds_it_right() {
    let keeper = Others::Keeps(Daemon::Chronyd);
    let (_, report, said, _, kept) = world().clock(5.0).others(keeper).run();
    assert!(report.floor_ms > Some(5_000) && said.contains("is not written"), "{said}");
    let (_, report, said, _, kept) = World { kept, ..world().clock(5.0).others(keeper).says(silent) }.run();
    assert!(report.floor_ms > Some(5_000) && report.source == ClockSource::Ntp, "{said}");
    let (_, report, said, ..) = World { kept, ..world().others(keeper) }.run();
    assert_eq!((report.floor_ms, report.source), (None, ClockSource::Gps), "{said}");
}

#[test]
fn an_rtc_that_contradicts_a_clock_set_from_gps_is_not_used() {
    let (.., clock_ahead_us, kept) = world().run();
    for ahead_s in [500, 3_000, -3_000] {
        let later = world().says(silent).later_h(5).rtc(Chips::Ahead(ahead_s));
        let (_, report, said, _, after) = World { kept: kept.clone(), clock_ahead_us, ..later }.run();
        assert_eq!((report.source, after.report.is_some()), (ClockSource::Gps, true), "{ahead_s}: {said}");
    }
}

#[test]
fn a_receiver_that_contradicts_the_rtc_by_leap_seconds_is_believed_after_a_while() {
    let (.., before) = world().run();
    // Another boot: all that is left is the chip.
    let day_before = |written: RtcWritten| RtcWritten {
        at: CapturedAt::from_micros(written.at.as_micros() - DAY_S * SECOND_US).unwrap(),
        ..written
    };
    let kept = Kept { rtc: before.rtc.map(day_before), ..world().kept };
    let three_off =
        |kept, hours| World { kept, ..world().later_h(hours).says(|_, fix| shifted(fix, seconds(3))) }.run();
    let (_, report, said, _, kept) = three_off(kept, 0);
    assert_eq!(report.source, ClockSource::Rtc, "{said}");
    assert!(said.contains("may not know the leap seconds"), "{said}");
    let (_, report, _, _, kept) = three_off(kept, 0);
    assert_eq!(report.source, ClockSource::Rtc, "a minute later");
    let (_, report, said, ahead_us, _) = three_off(kept, 1);
    assert_eq!((report.source, (ahead_us + SECOND_US / 2) / SECOND_US), (ClockSource::Gps, 3), "{said}");
}

#[test]
fn a_clock_that_somebody_has_stepped_since_is_not_as_it_was_set() {
    let (.., kept) = world().run();
    let (_, report, said, ..) = World { kept, ..world().clock(7.0).says(silent).rtc(Chips::Stopped) }.run();
    assert_eq!(report.source, ClockSource::Unsynchronised, "{said}");
}

#[test]
fn after_hours_without_gps_the_rtc_is_the_better_clock() {
    let (.., clock_ahead_us, kept) = world().run();
    let (_, report, said, ..) = World { kept, clock_ahead_us, ..world().says(silent).later_h(5) }.run();
    // The kernel's 500 ppm are 9 s in 5 hours; the DS3231's 5 are 90 ms.
    assert_eq!((report.source, report.uncertainty_ms < 500), (ClockSource::Rtc, true), "{said}");
}
