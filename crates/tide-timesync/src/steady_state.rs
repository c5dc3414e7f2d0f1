//! A month of a station's clock in a moment: an oscillator that runs wrong and feels the sun, a check every 6 hours, and at every
//! minute what a photo would be told of its time against what is true.

use std::f64::consts::TAU;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tide_photo::ClockSource;
use tide_photo::clock_report::{CLOCK_REPORT_VERSION, ClockReport, drift_us, is_still_the_bound};

use crate::devices::clock::SystemClock;
use crate::devices::rehearsed_clock::RehearsedClock;
use crate::drift::{Drift, Track, bound_ppm};
use crate::setting::carry_out;
use crate::steering::{Decision, Facts, Limits, decide};

const MINUTE_US: u64 = 60 * 1_000_000;
const DAY_US: u64 = 24 * 60 * MINUTE_US;

/// From one check to the next: the timer's 6 hours, in minutes.
const CHECK_EVERY_MIN: u64 = 360;

/// 30 days, in minutes.
const MONTH_MIN: u64 = 30 * 24 * 60;

/// The true time when the machine was switched on: 2026-03-01T00:00:00Z, in microseconds.
const BOOT_US: i64 = 1_772_323_200_000_000;

/// How the receiver tells the time.
#[derive(Debug, Clone, Copy)]
enum Receiver {
    /// By text, which arrives up to 500 ms late, as the settings have it by default: its middle is taken, and half of it is the uncertainty.
    Nmea,
    /// By a pulse, good to 10 microseconds.
    Pps,
}

impl Receiver {
    fn uncertainty_us(self) -> u64 {
        match self {
            Self::Nmea => 250_000,
            Self::Pps => 10,
        }
    }

    /// How far a measurement is off. The text's delay clings to its bounds now and then.
    fn error_us(self, chance: &mut StdRng) -> i64 {
        let bound_us = self.uncertainty_us().cast_signed();
        match chance.random_range(0..4) {
            0 => bound_us,
            1 => -bound_us,
            _ => chance.random_range(-bound_us..=bound_us),
        }
    }
}

/// What the month has shown.
#[derive(Debug, Default)]
struct Month {
    minutes: u64,
    uncovered: u64,
    /// Once the clock is steady: the largest reported uncertainty over the true error, where that is larger than the measurement
    /// can tell; and over what the measurement can tell, elsewhere.
    worst_over_error: f64,
    worst_over_measurement: f64,
    slews: u64,
    steps: u64,
}

/// A station with its clock, and the world that knows better.
struct Station {
    true_us: Arc<AtomicU64>,
    clock: RehearsedClock,
    receiver: Receiver,
    bound_ppm: fn(Option<Drift>) -> u32,
    track: Track,
    report: Option<ClockReport>,
    stepped_us: u64,
    chance: StdRng,
    month: Month,
}

/// When a clock is steady: from the second check on, which is the first to tell drift.
const AFTER_TWO_CHECKS_MIN: u64 = CHECK_EVERY_MIN;

/// When a clock is steady whose drift text tells: a day later, when two of its times are far enough apart.
const AFTER_A_DAY_MIN: u64 = 24 * 60;

/// When a clock is steady whose oscillator's drift is so small that text tells it only over days.
const AFTER_FOUR_DAYS_MIN: u64 = 4 * 24 * 60;

/// Lives through the month with an oscillator that is this much off, plus 5 ppm by day and minus 5 by night.
fn month(
    oscillator_ppm: i32,
    receiver: Receiver,
    seed: u64,
    steady_from_min: u64,
    bound_ppm: fn(Option<Drift>) -> u32,
) -> Month {
    let true_us = Arc::new(AtomicU64::new(MINUTE_US));
    let source = true_us.clone();
    let mut chance = StdRng::seed_from_u64(seed);
    let phase = chance.random_range(0.0..TAU);
    let mut station = Station {
        // The clock begins at 1970, as on a board without a battery.
        clock: RehearsedClock::new(Arc::new(move || source.load(Ordering::Relaxed)), 0),
        true_us,
        receiver,
        bound_ppm,
        track: Track::default(),
        report: None,
        stepped_us: 0,
        chance,
        month: Month::default(),
    };
    for minute in 0..MONTH_MIN {
        station.clock.set_oscillator_ppb(oscillator_ppb(oscillator_ppm, minute, phase)).unwrap();
        if minute % CHECK_EVERY_MIN == 0 {
            station.check();
        }
        station.photo(minute >= steady_from_min);
        station.true_us.fetch_add(MINUTE_US, Ordering::Relaxed);
    }
    println!("{oscillator_ppm} ppm, {receiver:?}, seed {seed}: {:?}", station.month);
    station.month
}

/// What the day's temperature does to the oscillator, either way: 10 ppm, as of a crystal of the usual cut that a box in the sun warms by
/// 40 degrees.
const SWING_PPM: f64 = 10.0;

#[expect(clippy::cast_possible_truncation, reason = "a cast from float to integer saturates")]
fn oscillator_ppb(oscillator_ppm: i32, minute: u64, phase: f64) -> i64 {
    let of_day = TAU * (minute % 1_440) as f64 / 1_440.0;
    (1_000.0 * (f64::from(oscillator_ppm) + SWING_PPM * (of_day + phase).sin())) as i64
}

impl Station {
    /// How far the clock is behind.
    fn true_offset_us(&self) -> i64 {
        BOOT_US + self.true_us.load(Ordering::Relaxed).cast_signed() - self.clock.reading().real_us
    }

    fn check(&mut self) {
        let offset_us = self.true_offset_us() + self.receiver.error_us(&mut self.chance);
        let (reading, kernel) = (self.clock.reading(), self.clock.kernel_state().unwrap());
        let uncertainty_us = self.receiver.uncertainty_us() + reading.spread_us;
        self.track.check(reading, &kernel, offset_us, uncertainty_us);
        let since = self.report.as_ref().map(|report| (report, reading.monotonic_us - report.set_at_monotonic_us));
        let facts = Facts {
            is_believed: false,
            clock_us: reading.real_us,
            earliest_us: BOOT_US - 30 * DAY_US.cast_signed(),
            latest_us: BOOT_US + 7_000 * DAY_US.cast_signed(),
            keeper: None,
            is_first_of_boot: since.is_none(),
            stepped_us: self.stepped_us,
            drift_us: since.map_or(0, |(report, age_us)| drift_us(age_us, report.drift_bound_ppm.unwrap_or(500))),
        };
        let decision = decide(offset_us, uncertainty_us, &facts, &Limits::default());
        assert!(!matches!(decision, Decision::Refuse { .. }), "{decision}");
        self.month.slews += u64::from(matches!(decision, Decision::Slew { .. }));
        self.month.steps += u64::from(matches!(decision, Decision::Step { .. }));
        self.stepped_us += decision.counted_us(&facts);
        let set_us = carry_out(&decision, &mut self.clock, &mut self.track).unwrap();
        self.report = Some(ClockReport {
            boot_at_us: None,
            floor_ms: None,
            version: CLOCK_REPORT_VERSION,
            source: ClockSource::Gps,
            uncertainty_ms: u32::try_from(set_us.unwrap().div_ceil(1_000)).unwrap(),
            set_at_monotonic_us: reading.monotonic_us,
            boot_id: "boot".to_owned(),
            drift_bound_ppm: Some((self.bound_ppm)(self.track.drift())),
            kernel_max_error_us_when_set: set_us,
            kept_by: None,
            gps: None,
        });
    }

    /// What the recorder would say of the clock, as its `clock_quality` puts it together.
    fn reported_us(&self) -> u64 {
        let (report, kernel) = (self.report.as_ref().unwrap(), self.clock.kernel_state().unwrap());
        let age_us = self.clock.reading().monotonic_us - report.set_at_monotonic_us;
        let set_us = report.kernel_max_error_us_when_set.unwrap();
        assert!(kernel.synchronised && is_still_the_bound(kernel.max_error_us, set_us, age_us), "{kernel:?}");
        (report.error_us(age_us) + kernel.slewing_bound_us()).div_ceil(1_000) * 1_000
    }

    fn photo(&mut self, is_steady: bool) {
        let (reported_us, error_us) = (self.reported_us(), self.true_offset_us().unsigned_abs());
        self.month.minutes += 1;
        self.month.uncovered += u64::from(reported_us < error_us);
        if !is_steady {
            return;
        }
        // A report counts in milliseconds, so it cannot say less than one.
        let measured_us = self.receiver.uncertainty_us().max(1_000);
        let worst = match error_us > measured_us {
            true => &mut self.month.worst_over_error,
            false => &mut self.month.worst_over_measurement,
        };
        *worst = worst.max(reported_us as f64 / error_us.max(measured_us) as f64);
    }
}

/// Not more than this many times the true error, where it can be told, is reported.
const AT_MOST: f64 = 5.0;

/// Every photo's uncertainty covers the truth, and once the clock is steady it is no more than a few times too large.
fn check(oscillator_ppm: i32, receiver: Receiver, steady_from_min: u64) {
    for seed in [1, 2, 3] {
        let month = month(oscillator_ppm, receiver, seed, steady_from_min, bound_ppm);
        assert_eq!((month.minutes, month.uncovered), (MONTH_MIN, 0), "seed {seed}: {month:?}");
        assert!(month.worst_over_error <= AT_MOST && month.worst_over_measurement <= AT_MOST, "seed {seed}: {month:?}");
    }
}

#[test]
fn a_slow_oscillator_of_50_ppm() {
    check(-50, Receiver::Nmea, AFTER_A_DAY_MIN);
    check(-50, Receiver::Pps, AFTER_TWO_CHECKS_MIN);
}

#[test]
fn a_fast_oscillator_of_50_ppm() {
    check(50, Receiver::Nmea, AFTER_A_DAY_MIN);
    check(50, Receiver::Pps, AFTER_TWO_CHECKS_MIN);
}

/// The clock is set wrong by up to the measurement's uncertainty, and may drift through the truth to the other side of it: twice the
/// uncertainty, at the true drift, while the reported one grows at the bound. So 5 times needs a bound of twice the drift.
#[test]
fn an_oscillator_of_20_ppm() {
    check(20, Receiver::Nmea, AFTER_FOUR_DAYS_MIN);
    // With a pulse the swing alone is half of what there is to tell: covered, and a little more than 5 times.
    assert_eq!(month(20, Receiver::Pps, 1, AFTER_TWO_CHECKS_MIN, bound_ppm).uncovered, 0);
}

#[test]
fn an_oscillator_of_100_ppm() {
    check(100, Receiver::Nmea, AFTER_A_DAY_MIN);
    check(100, Receiver::Pps, AFTER_TWO_CHECKS_MIN);
}

/// One that is hardly off is slewed. The temperature's part is then most of its bound, which is larger than need be.
#[test]
fn an_oscillator_that_is_nearly_right_is_slewed_and_covered() {
    for (oscillator_ppm, receiver) in [(3, Receiver::Pps), (-8, Receiver::Nmea)] {
        let month = month(oscillator_ppm, receiver, 3, AFTER_TWO_CHECKS_MIN, bound_ppm);
        assert_eq!(month.uncovered, 0, "{month:?}");
        assert!(month.slews > 10 || matches!(receiver, Receiver::Nmea), "{month:?}");
    }
}

#[test]
fn the_kernels_own_drift_would_be_ten_times_too_much() {
    let month = month(50, Receiver::Pps, 1, AFTER_TWO_CHECKS_MIN, |_| 500);
    assert_eq!(month.uncovered, 0);
    assert!(month.worst_over_error > 9.0, "{month:?}");
}

#[test]
fn the_measured_drift_without_margins_would_not_cover_the_truth() {
    for receiver in [Receiver::Nmea, Receiver::Pps] {
        let bare = |drift: Option<Drift>| {
            drift.map_or(500, |drift| u32::try_from(drift.ppb.unsigned_abs().div_ceil(1_000)).unwrap())
        };
        assert!(month(50, receiver, 1, AFTER_TWO_CHECKS_MIN, bare).uncovered > 0, "{receiver:?}");
    }
}
