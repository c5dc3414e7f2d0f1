//! How fast the clock's oscillator runs wrong, from what GPS said at successive checks of one boot, and how fast it may run wrong
//! until the next. Without this, only the kernel's 500 parts per million is known: 10.8 s in the 6 hours between two checks.

use serde::{Deserialize, Serialize};
use tide_photo::clock::DRIFT_PPM;

use crate::devices::clock::{KernelState, Reading};

/// What the temperature may add to a drift that was measured over less than a day, in parts per billion: 20 ppm. Ours, for an
/// oscillator without compensation, as a Pi's crystal is. In a box in the sun its frequency may swing 10 ppm to either side over
/// the day; it may then have been measured at one end of the swing and run at the other, which is twice the swing.
const TEMPERATURE_PPB: u64 = 20_000;

/// The same for a drift that was measured over whole days, whose mean lies in the middle of the swing: 15 ppm. Ours: 10 of them for
/// the swing, and 5 for the weather's change from those days to this one.
const TEMPERATURE_AFTER_DAYS_PPB: u64 = 15_000;

/// From when on a drift counts as measured over whole days, in microseconds: 23 hours. Ours: a check may be a little early.
const DAYS_FROM_US: u64 = 23 * 3_600 * 1_000_000;

/// Shortest time over which drift is measured, in microseconds: an hour. Ours: a board is still warming up for minutes after the
/// boot, and its crystal with it.
const SHORTEST_US: u64 = 3_600 * 1_000_000;

/// Longest time over which drift is measured, in microseconds: 4 days and an hour. Ours: text of a receiver, good to 0.25 s, then
/// tells drift to 1.5 ppm; an hour more is for a check that was late; over a longer time the season would lag behind.
const LONGEST_US: u64 = 97 * 3_600 * 1_000_000;

/// Most checks that are remembered. Ours: four days of the timer's are 17.
const MOST_CHECKS: usize = 64;

/// How far the boot may move on the clock without anybody stepping it, in microseconds, beside the spreads of both readings. Ours:
/// the kernel keeps both clocks from one counter, and a microsecond is what cutting off hides.
const SAME_BOOT_US: u64 = 2;

/// The checks of this boot, oldest first. Kept from run to run, for this boot only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    checks: Vec<Check>,
}

/// What GPS said at one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Check {
    monotonic_us: u64,
    gps_us: i64,
    uncertainty_us: u64,
    /// Where the boot lay on the clock when the check was over, and how exactly that is known.
    boot_at_us: i64,
    spread_us: u64,
    /// What was left to slew before and after.
    found_slewing_us: i64,
    left_slewing_us: i64,
    frequency_ppb: i64,
}

/// How fast the oscillator runs wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drift {
    /// The drift, in parts per billion: positive where it runs fast.
    pub ppb: i64,
    /// How far off the measurements may make that, in parts per billion.
    pub uncertainty_ppb: u64,
    /// Over how long it was measured, in microseconds.
    pub over_us: u64,
}

impl Track {
    /// Takes in what GPS says, before the clock is touched: at `reading`, it was `offset_us` behind. Where somebody else has set the
    /// clock or its frequency since the last check, what was known is forgotten. Whoever knows of another keeper begins anew.
    pub fn check(&mut self, reading: Reading, kernel: &KernelState, offset_us: i64, uncertainty_us: u64) {
        let check = Check {
            monotonic_us: reading.monotonic_us,
            gps_us: reading.real_us.saturating_add(offset_us),
            uncertainty_us: uncertainty_us.saturating_add(reading.spread_us),
            boot_at_us: reading.boot_at_us(),
            spread_us: reading.spread_us,
            found_slewing_us: kernel.slewing_us,
            left_slewing_us: kernel.slewing_us,
            frequency_ppb: kernel.frequency_ppb,
        };
        if self.checks.last().is_some_and(|last| !last.is_followed_by(&check)) {
            self.checks.clear();
        }
        self.checks.retain(|old| check.monotonic_us - old.monotonic_us <= LONGEST_US);
        self.checks.push(check);
        self.checks.drain(..self.checks.len().saturating_sub(MOST_CHECKS));
    }

    /// Takes in that we have stepped the clock since the last check.
    pub fn stepped(&mut self, by_us: i64) {
        if let Some(last) = self.checks.last_mut() {
            last.boot_at_us = last.boot_at_us.saturating_add(by_us);
            // A step ends a slew.
            last.left_slewing_us = 0;
        }
    }

    /// Takes in that we have begun to slew the clock since the last check.
    pub fn slewed(&mut self, by_us: i64) {
        if let Some(last) = self.checks.last_mut() {
            last.left_slewing_us = by_us;
        }
    }

    /// The drift, from the oldest check to the newest; none from checks that are too close to each other.
    pub fn drift(&self) -> Option<Drift> {
        let (first, last) = (self.checks.first()?, self.checks.last()?);
        let over_us = u64::try_from(last.gps_us.checked_sub(first.gps_us)?).ok().filter(|us| *us >= SHORTEST_US)?;
        let shown_us = i128::from(last.monotonic_us - first.monotonic_us) - i128::from(self.slewed_us());
        let gained_us = shown_us - i128::from(over_us);
        let doubt_us = u128::from(first.uncertainty_us) + u128::from(last.uncertainty_us);
        Some(Drift {
            ppb: i64::try_from(gained_us * 1_000_000_000 / i128::from(over_us)).ok()?,
            uncertainty_ppb: u64::try_from((doubt_us * 1_000_000_000).div_ceil(u128::from(over_us))).ok()?,
            over_us,
        })
    }

    /// What slews have added to the time since the boot, which runs as fast as the clock does.
    fn slewed_us(&self) -> i64 {
        self.checks.windows(2).map(|pair| pair[0].left_slewing_us - pair[1].found_slewing_us).sum()
    }
}

impl Check {
    /// Whether nobody but us has touched the clock between the two.
    fn is_followed_by(&self, next: &Self) -> bool {
        let moved_us = next.boot_at_us.abs_diff(self.boot_at_us);
        self.monotonic_us < next.monotonic_us
            && moved_us <= self.spread_us + next.spread_us + SAME_BOOT_US
            && self.frequency_ppb == next.frequency_ppb
    }
}

/// How fast the clock may run wrong until the next check, in parts per million: the measured drift with what the measurement and
/// the temperature may add, and never more than the kernel assumes.
pub fn bound_ppm(drift: Option<Drift>) -> u32 {
    let Some(drift) = drift else { return DRIFT_PPM };
    let temperature_ppb = if drift.over_us < DAYS_FROM_US { TEMPERATURE_PPB } else { TEMPERATURE_AFTER_DAYS_PPB };
    let ppb = drift.ppb.unsigned_abs().saturating_add(drift.uncertainty_ppb).saturating_add(temperature_ppb);
    u32::try_from(ppb.div_ceil(1_000)).unwrap_or(u32::MAX).min(DRIFT_PPM)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: u64 = 3_600 * 1_000_000;

    const KERNEL: KernelState = KernelState {
        synchronised: true,
        max_error_us: 0,
        est_error_us: 0,
        slewing_us: 0,
        time_constant: 6,
        frequency_ppb: 0,
        status: 0,
    };

    fn reading(monotonic_us: u64, boot_at_us: i64) -> Reading {
        Reading { real_us: boot_at_us + monotonic_us.cast_signed(), monotonic_us, spread_us: 1 }
    }

    /// A track whose first check stepped a right clock by nothing, and whose second, hours later, finds it this far behind.
    fn after(hours: u64, offset_us: i64, uncertainty_us: u64) -> Track {
        let mut track = Track::default();
        track.check(reading(HOUR_US, 0), &KERNEL, 0, uncertainty_us);
        track.check(reading(HOUR_US + hours * HOUR_US, 0), &KERNEL, offset_us, uncertainty_us);
        track
    }

    #[test]
    fn a_clock_that_falls_behind_has_a_slow_oscillator() {
        // 50 ppm in 6 h are 1.08 s; each uncertainty of 100 ms adds 4.6 ppm.
        let drift = after(6, 1_080_000, 100_000).drift().unwrap();
        assert_eq!((drift.ppb / 100, drift.uncertainty_ppb / 100), (-499, 92));
        assert_eq!(bound_ppm(Some(drift)), 80, "50 measured, 9.3 of doubt, 20 of temperature");
        let over_a_day = after(24, 4_320_000, 100_000).drift();
        assert_eq!(bound_ppm(over_a_day), 68, "50 measured, 2.3 of doubt, 15 of temperature");
        assert!(after(6, -1_080_000, 1).drift().unwrap().ppb > 50_000 - 10);
    }

    #[test]
    fn what_was_not_measured_is_as_bad_as_the_kernel_assumes() {
        assert_eq!(bound_ppm(None), 500);
        assert_eq!(bound_ppm(Some(Drift { ppb: i64::MIN, uncertainty_ppb: u64::MAX, over_us: 0 })), 500);
        assert_eq!(after(0, 0, 1).drift(), None, "twice at one moment");
        let mut track = Track::default();
        track.check(reading(HOUR_US, 0), &KERNEL, 0, 1);
        assert_eq!(track.drift(), None);
        track.check(reading(2 * HOUR_US - 1, 0), &KERNEL, 0, 1);
        assert_eq!(track.drift(), None, "too close to each other");
    }

    #[test]
    fn our_own_step_and_slew_do_not_count_as_drift() {
        let mut track = Track::default();
        track.check(reading(HOUR_US, 0), &KERNEL, 5_000_000, 1);
        track.stepped(5_000_000);
        track.check(reading(7 * HOUR_US, 5_000_000), &KERNEL, 108_000, 1);
        track.slewed(108_000);
        // The slew has made the clock, and the time since the boot, gain 107 ms; 1 is left.
        let kernel = KernelState { slewing_us: 1_000, ..KERNEL };
        track.check(reading(13 * HOUR_US + 107_000, 5_000_000), &kernel, 108_000 + 1_000, 1);
        let drift = track.drift().unwrap();
        assert!((-5_001..=-4_998).contains(&drift.ppb), "108 ms in each 6 h are 5 ppm: {drift:?}");
    }

    #[test]
    fn a_foreign_hand_makes_the_track_begin_anew() {
        let mut stepped = after(6, 0, 1);
        stepped.check(reading(9 * HOUR_US, 1_000), &KERNEL, 0, 1);
        assert_eq!(stepped.drift(), None);
        let mut tuned = after(6, 0, 1);
        tuned.check(reading(9 * HOUR_US, 0), &KernelState { frequency_ppb: 7, ..KERNEL }, 0, 1);
        assert_eq!(tuned.drift(), None);
        let mut rebooted = after(6, 0, 1);
        rebooted.check(reading(HOUR_US, 0), &KERNEL, 0, 1);
        assert_eq!(rebooted.drift(), None);
    }

    #[test]
    fn drift_is_that_of_the_last_days() {
        let mut track = Track::default();
        for sixth in 0..40 {
            track.check(reading(sixth * 6 * HOUR_US, 0), &KERNEL, 0, 100_000);
        }
        assert_eq!(track.checks.len(), 17);
        let drift = track.drift().unwrap();
        assert_eq!((drift.ppb, drift.uncertainty_ppb), (0, 579), "200 ms in 4 days");
        let json = serde_json::to_string(&track).unwrap();
        assert_eq!(serde_json::from_str::<Track>(&json).unwrap(), track);
    }
}
