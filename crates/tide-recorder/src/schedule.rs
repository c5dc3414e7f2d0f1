//! When the next shot is due: every so many seconds, aligned to the wall clock, so that stations agree; and spaced by the clock
//! that is never set, so that a wall clock which is put right gives neither a burst nor a gap.

use jiff::Timestamp;
use tide_photo::CapturedAt;

use crate::config::{Position, Schedule, Window};
use crate::sun;

/// How late a shot may be and still be taken, as a part of the interval. Our choice: it allows for a busy machine, and stations
/// still agree well enough.
const LATENESS_PART: i64 = 10;

/// How far somebody who keeps the clock may slew it from shot to shot, as a part of the interval: chrony's fastest is a twelfth
/// (`maxslewrate` 83333 ppm by default, chrony.conf(5)). What moves the clock further than a tenth has set it.
const SLEW_PART: i64 = 10;

/// What a clock may move at once and not count as set, in microseconds. Our choice: far more than two readings are apart.
const JITTER_US: i64 = 50_000;

/// The most shots that are looked at one by one after a long absence; of more than these it is not asked whether the sun shone.
const MAX_STEPS: i64 = 10_000;

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Microseconds until it is time to take a photo, or to ask again; 0 to take it now.
    pub wait_us: u64,
    /// Shots that were due since the last answer, and that nobody took.
    pub missed: u64,
}

/// When photos are taken, beside the interval.
#[derive(Debug, Clone)]
pub struct Opening {
    schedule: Schedule,
    position: Option<Position>,
}

impl Opening {
    /// As the settings say.
    pub fn new(schedule: Schedule, position: Option<Position>) -> Self {
        Self { schedule, position }
    }

    /// Whether photos are taken at this moment.
    pub fn is_open(&self, at: CapturedAt) -> bool {
        self.is_light(at) && self.is_hour(at)
    }

    /// Without a position nobody can tell, so photos are taken; the settings see to it that there is one.
    fn is_light(&self, at: CapturedAt) -> bool {
        let (Window::Daylight, Some(place)) = (self.schedule.window, self.position) else { return true };
        let height_deg = sun::height_deg(at, place.latitude, place.longitude);
        height_deg.is_none_or(|height_deg| height_deg > self.schedule.sun_above_deg)
    }

    fn is_hour(&self, at: CapturedAt) -> bool {
        let hours = &self.schedule.hours;
        let local =
            Timestamp::from_microsecond(at.as_micros()).map(|at| at.to_zoned(self.schedule.zone.clone()).time());
        hours.is_empty() || local.map_or(true, |time| hours.iter().any(|hours| hours.contain(time)))
    }
}

/// Says when a shot is due. Asked whenever the station wakes; what it answers depends on the two clocks alone.
#[derive(Debug, Clone)]
pub struct Planner {
    interval_us: i64,
    opening: Opening,
    last: Option<Slot>,
    /// Whether `last` was a shot, from which the next one keeps its distance, and not the start.
    has_begun: bool,
}

/// A shot that was due, taken or not.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// When it was due by the wall clock.
    due_us: i64,
    /// The same by the monotonic clock.
    mono_us: i64,
}

impl Planner {
    /// A schedule of one shot in `interval_s` seconds.
    pub fn new(interval_s: u32, opening: Opening) -> Self {
        Self { interval_us: i64::from(interval_s.max(1)) * 1_000_000, opening, last: None, has_begun: false }
    }

    /// What to do now. A shot that is due is told of once.
    pub fn next(&mut self, now: CapturedAt, monotonic_us: u64) -> Plan {
        let (now_us, mono_us) = (now.as_micros(), i64::try_from(monotonic_us).unwrap_or(i64::MAX));
        // Nothing is due before the first whole interval; from there on shots are counted.
        let last = *self.last.get_or_insert(Slot { due_us: now_us, mono_us });
        let skipped = self.pass_over_a_long_absence(last, mono_us);
        let mut missed = 0;
        loop {
            let next = self.after_last(now_us - mono_us);
            let late_us = mono_us - next.mono_us;
            if late_us < 0 {
                return Plan { wait_us: late_us.unsigned_abs(), missed: skipped + missed };
            }
            let is_on_time = late_us <= self.grace_us();
            // Nobody overslept if the last one is not that long ago: the clock was set past this one.
            let was_passed = !is_on_time
                && self.last.is_some_and(|last| mono_us - last.mono_us <= self.interval_us + self.grace_us());
            self.has_begun = true;
            self.last = Some(if was_passed { Slot { due_us: now_us, mono_us } } else { next });
            let is_open = CapturedAt::from_micros(next.due_us).is_none_or(|due| self.opening.is_open(due));
            if is_open && (is_on_time || was_passed) {
                return Plan { wait_us: 0, missed: skipped + missed };
            }
            missed += u64::from(is_open);
        }
    }

    /// The shot after the last one, if the wall clock is ahead of the monotonic one by `offset_us`.
    fn after_last(&self, offset_us: i64) -> Slot {
        let last = self.last.unwrap_or(Slot { due_us: offset_us, mono_us: 0 });
        // When the last one was due, by the wall clock as it is now. A whole interval comes within one interval from there.
        let last_us = if self.was_set(last, offset_us) { last.mono_us + offset_us } else { last.due_us };
        let aligned_us = (last_us.div_euclid(self.interval_us) + 1) * self.interval_us;
        let gap_us = aligned_us - last_us;
        let is_too_soon = self.has_begun && gap_us < self.interval_us / 2;
        // Too soon, and the one after it too late: one shot halfway, and then that one.
        let due_us = if is_too_soon { last_us + (gap_us + self.interval_us) / 2 } else { aligned_us };
        Slot { due_us, mono_us: due_us - offset_us }
    }

    fn grace_us(&self) -> i64 {
        self.interval_us / LATENESS_PART
    }

    /// Whether the wall clock was set since the last shot, rather than kept.
    fn was_set(&self, last: Slot, offset_us: i64) -> bool {
        let moved_us = (offset_us - (last.due_us - last.mono_us)).abs();
        moved_us > self.interval_us / SLEW_PART + JITTER_US
    }

    /// After years in a drawer nobody wants to wait until each shot has been counted.
    fn pass_over_a_long_absence(&mut self, last: Slot, mono_us: i64) -> u64 {
        let steps = (mono_us - last.mono_us) / self.interval_us - MAX_STEPS;
        if steps <= 0 {
            return 0;
        }
        let by_us = steps * self.interval_us;
        self.last = Some(Slot { due_us: last.due_us + by_us, mono_us: last.mono_us + by_us });
        steps.unsigned_abs()
    }
}

#[cfg(test)]
mod tests;
