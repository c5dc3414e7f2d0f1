//! Whole seconds: when to write one, and how to see one begin.

use std::time::Duration;

use tide_photo::CapturedAt;

/// A second in microseconds.
pub const SECOND_US: i64 = 1_000_000;

/// How often an RTC is asked whether its next second has begun. Ours: as fine as a burst over a slow bus allows.
const POLL: Duration = Duration::from_millis(4);

/// How long an RTC is waited for: a second, and a tenth for the slowest bus and a busy machine.
pub const LONGEST_TICK: Duration = Duration::from_millis(1_100);

/// Which second to write, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextWrite {
    /// The second to write, in microseconds since 1970.
    pub second_us: i64,
    /// How long from now until the writing must begin.
    pub wait: Duration,
}

/// The next second that can still be written in time by a clock that says `now_us`, for an RTC whose writing must begin
/// `lead_us` before the second does (after it, if negative).
pub fn next_write(now_us: i64, lead_us: i64) -> NextWrite {
    let earliest_us = now_us.saturating_add(lead_us);
    let second_us = earliest_us.saturating_add(SECOND_US - 1).div_euclid(SECOND_US).saturating_mul(SECOND_US);
    NextWrite { second_us, wait: Duration::from_micros(earliest_us.abs_diff(second_us)) }
}

/// Reads until the second changes; then that second, and how long ago at most it began. `None` if it stays the same for as
/// long as [`LONGEST_TICK`]. `elapsed` is any clock that never goes back.
///
/// # Errors
/// As `read` says.
pub fn wait_for_tick<E>(
    mut read: impl FnMut() -> Result<CapturedAt, E>,
    mut elapsed: impl FnMut() -> Duration,
    mut sleep: impl FnMut(Duration),
) -> Result<Option<(CapturedAt, Duration)>, E> {
    let start = elapsed();
    let mut still_before = start;
    let before = read()?;
    while elapsed().saturating_sub(start) <= LONGEST_TICK {
        sleep(POLL);
        let began = elapsed();
        let now = read()?;
        if now != before {
            return Ok(Some((now, elapsed().saturating_sub(still_before))));
        }
        still_before = began;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_next_second_is_the_first_that_can_still_be_met() {
        let check = |now_us: i64, lead_us: i64, second: i64, wait_us: u64| {
            let expected = NextWrite { second_us: second * SECOND_US, wait: Duration::from_micros(wait_us) };
            assert_eq!(next_write(now_us, lead_us), expected, "{now_us} {lead_us}");
        };
        check(10_000_000, 0, 10, 0);
        check(10_000_001, 0, 11, 999_999);
        check(10_900_000, 5_000, 11, 95_000);
        check(10_995_000, 5_000, 11, 0);
        check(10_995_001, 5_000, 12, 999_999);
        // A PC's clock shows a second that is half over.
        check(10_400_000, -500_000, 10, 100_000);
        check(10_500_000, -500_000, 10, 0);
        check(10_600_000, -500_000, 11, 900_000);
    }

    /// A clock whose second of number 100 begins after `tick_ms`, read within `read_ms`.
    fn ticked(tick_ms: u64, read_ms: u64) -> Option<(i64, Duration)> {
        let now = Cell::new(Duration::ZERO);
        let pass = |span: Duration| now.set(now.get() + span);
        let read = || {
            let second = if now.get() < Duration::from_millis(tick_ms) { 99 } else { 100 };
            pass(Duration::from_millis(read_ms));
            CapturedAt::from_micros(second * SECOND_US).ok_or(())
        };
        let tick = wait_for_tick(read, || now.get(), pass).unwrap();
        tick.map(|(at, age)| (at.as_micros() / SECOND_US, age))
    }

    #[test]
    fn a_tick_is_seen_to_some_milliseconds() {
        for tick_ms in [1, 3, 500, 999, 1_000] {
            let (second, age) = ticked(tick_ms, 2).unwrap();
            assert_eq!(second, 100);
            assert!(age <= Duration::from_millis(8), "{age:?} for a tick after {tick_ms} ms");
        }
        let (_, age) = ticked(10, 100).unwrap();
        assert_eq!(age, Duration::from_millis(204), "two slow readings bound it no better");
    }

    #[test]
    fn a_clock_that_stands_still_is_not_waited_for_longer() {
        assert_eq!(ticked(1_200, 2), None);
    }

    #[test]
    fn what_cannot_be_read_is_not_waited_for() {
        assert_eq!(wait_for_tick(|| Err("dead"), || Duration::ZERO, |_| ()), Err("dead"));
    }
}
