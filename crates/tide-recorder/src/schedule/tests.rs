use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const SECOND_US: i64 = 1_000_000;
const DAY_S: i64 = 86_400;

fn always() -> Opening {
    Opening::new(Schedule::default(), None)
}

/// A station with two clocks, of which one is set at will.
struct Station {
    planner: Planner,
    wall_us: i64,
    mono_us: i64,
    shots_us: Vec<(i64, i64)>,
    missed: u64,
}

impl Station {
    fn new(now: &str, interval_s: u32, opening: Opening) -> Self {
        let wall_us = now.parse::<CapturedAt>().unwrap().as_micros();
        let planner = Planner::new(interval_s, opening);
        Self { planner, wall_us, mono_us: 5_000_000, shots_us: Vec::new(), missed: 0 }
    }

    fn passes(&mut self, us: i64) {
        self.wall_us += us;
        self.mono_us += us;
    }

    fn is_set_by(&mut self, seconds: i64) {
        self.wall_us = (self.wall_us + seconds * SECOND_US).max(0);
    }

    /// One look at the clocks; a shot takes `shot_us`.
    fn turn(&mut self, shot_us: i64, patience_us: i64) {
        let now = CapturedAt::from_micros(self.wall_us).unwrap();
        let plan = self.planner.next(now, self.mono_us.unsigned_abs());
        self.missed += plan.missed;
        if plan.wait_us == 0 {
            self.shots_us.push((self.wall_us, self.mono_us));
            return self.passes(shot_us);
        }
        self.passes(i64::try_from(plan.wait_us).unwrap().min(10 * SECOND_US).min(patience_us));
    }

    fn next_shot_lasts(&mut self, seconds: i64) {
        let shots = self.shots_us.len();
        while self.shots_us.len() == shots {
            self.turn(seconds * SECOND_US, i64::MAX);
        }
    }

    /// Works for so many seconds of its life.
    fn works_for(&mut self, seconds: i64) {
        let end_us = self.mono_us + seconds * SECOND_US;
        while self.mono_us < end_us {
            self.turn(200_000, end_us - self.mono_us);
        }
    }

    /// From shot to shot by the monotonic clock, in milliseconds.
    fn gaps_ms(&self) -> Vec<i64> {
        self.shots_us.windows(2).map(|pair| (pair[1].1 - pair[0].1) / 1_000).collect()
    }

    fn walls(&self) -> Vec<String> {
        let shown = |(wall_us, _): &(i64, i64)| CapturedAt::from_micros(*wall_us).unwrap().format_utc("%H:%M:%S%.3f");
        self.shots_us.iter().map(shown).collect()
    }
}

#[test]
fn shots_fall_on_the_wall_clock() {
    let mut station = Station::new("2026-05-31T18:00:00.250Z", 30, always());
    station.works_for(100);
    assert_eq!(station.walls(), ["18:00:30.000", "18:01:00.000", "18:01:30.000"]);
    let mut station = Station::new("2026-05-31T22:59:59.999Z", 3_600, always());
    station.works_for(7_100);
    assert_eq!(station.walls(), ["23:00:00.000", "00:00:00.000"]);
    assert_eq!(station.missed, 0);
}

#[test]
fn a_clock_that_is_set_gives_neither_a_burst_nor_a_gap_and_no_missed_shots() {
    for seconds in [-3_600, -DAY_S, 20 * 365 * DAY_S, -26 * 365 * DAY_S, 7, -7, 29, -29, 15, 3_601] {
        for after_s in [0, 1, 14, 29] {
            let mut station = Station::new("2026-05-31T18:00:00.250Z", 30, always());
            station.works_for(61 + after_s);
            station.is_set_by(seconds);
            station.works_for(300);
            let gaps_ms = station.gaps_ms();
            let whole = gaps_ms.iter().all(|gap_ms| (15_000..=30_000).contains(gap_ms));
            assert!(whole, "{seconds} s after {after_s} s: {gaps_ms:?}");
            assert_eq!(station.missed, 0, "{seconds} s after {after_s} s");
            let last_us = station.shots_us.last().unwrap().0;
            assert_eq!(last_us % (30 * SECOND_US), 0, "aligned again: {:?}", station.walls());
        }
    }
}

#[test]
fn whatever_happens_to_the_clock_shots_keep_their_distance() {
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        let interval_s = random.random_range(1..600);
        let mut station = Station::new("2026-05-31T18:00:00.250Z", interval_s, always());
        for _ in 0..20 {
            station.works_for(random.random_range(0..3 * i64::from(interval_s)));
            let most_s = [1, 100, 100_000, 600_000_000][random.random_range(0..4)];
            station.is_set_by(random.random_range(-most_s..=most_s));
        }
        station.works_for(2 * i64::from(interval_s));
        let interval_ms = i64::from(interval_s) * 1_000;
        // A twelfth may be a slewed clock rather than one that was set; a tenth may be late.
        let allowed_ms = interval_ms * 35 / 100..=interval_ms * 125 / 100 + 100;
        for gap_ms in station.gaps_ms() {
            assert!(allowed_ms.contains(&gap_ms), "seed {seed}: {gap_ms} of {interval_ms} ms");
        }
    }
}

#[test]
fn a_clock_that_is_slewed_is_followed() {
    let mut station = Station::new("2026-05-31T18:00:00.250Z", 30, always());
    for _ in 0..200 {
        station.works_for(1);
        // chrony at its fastest, backwards.
        station.wall_us -= SECOND_US / 12;
    }
    let walls: Vec<i64> = station.shots_us.iter().map(|(wall_us, _)| wall_us / (30 * SECOND_US)).collect();
    assert!(walls.windows(2).all(|pair| pair[1] == pair[0] + 1), "each interval once: {:?}", station.walls());
}

#[test]
fn what_nobody_took_is_counted() {
    let mut station = Station::new("2026-05-31T18:00:00.250Z", 30, always());
    // The shot of 18:00:30 lasts until 18:01:40.
    station.next_shot_lasts(70);
    station.works_for(60);
    assert_eq!(station.walls()[..2], ["18:00:30.000", "18:02:00.000"]);
    assert_eq!(station.missed, 2);
    // The lid is closed for an hour.
    station.passes(3_600 * SECOND_US);
    station.works_for(60);
    assert!((2 + 119..=2 + 120).contains(&station.missed), "{}", station.missed);
}

#[test]
fn years_in_a_drawer_are_counted_without_waiting() {
    let mut station = Station::new("2026-05-31T18:00:00Z", 1, always());
    station.works_for(5);
    station.passes(20 * 365 * DAY_S * SECOND_US);
    station.turn(0, SECOND_US);
    assert!(station.missed.abs_diff(20 * 365 * 86_400) <= 2, "{}", station.missed);
}

#[test]
fn hours_and_daylight_hold_shots_back_and_none_of_them_is_missed() {
    let hours = Schedule {
        hours: vec!["06:00-08:00".to_owned().try_into().unwrap()],
        zone: jiff::tz::TimeZone::fixed(jiff::tz::offset(3)),
        ..Schedule::default()
    };
    let mut station = Station::new("2026-05-31T00:00:00Z", 3_600, Opening::new(hours, None));
    station.works_for(DAY_S);
    assert_eq!(station.walls(), ["03:00:00.000", "04:00:00.000"], "six in the morning, three hours east");
    assert_eq!(station.missed, 0);

    let daylight = Schedule { window: Window::Daylight, ..Schedule::default() };
    let chania = Position { latitude: 35.5, longitude: 24.0, altitude_m: None };
    let mut station = Station::new("2026-12-21T00:00:00Z", 900, Opening::new(daylight, Some(chania)));
    station.works_for(DAY_S);
    // Sunrise 07:32, sunset 17:12, civil twilight 28 minutes, two hours east of UTC (NOAA's solar calculator).
    let walls = station.walls();
    assert_eq!(
        (walls.first().map(|wall| &wall[..5]), walls.last().map(|wall| &wall[..5])),
        (Some("05:15"), Some("15:30"))
    );
    assert_eq!(station.missed, 0);
}
