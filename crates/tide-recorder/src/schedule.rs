//! When the next shot is due: every so many seconds, aligned to the wall clock, so that stations agree.

use tide_photo::CapturedAt;

/// The first moment after `now` that is a whole number of intervals after 1970-01-01T00:00:00Z. Asked anew after every shot, so
/// that a clock which is stepped gives neither a burst nor a gap of more than one interval.
pub fn next_shot(now: CapturedAt, interval_s: u32) -> CapturedAt {
    let interval_us = i64::from(interval_s.max(1)) * 1_000_000;
    let next_us = (now.as_micros() / interval_us + 1) * interval_us;
    CapturedAt::from_micros(next_us).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(now: &str, interval_s: u32) -> String {
        next_shot(now.parse().unwrap(), interval_s).to_string()
    }

    #[test]
    fn shots_fall_on_the_wall_clock() {
        assert_eq!(next("2026-05-31T18:00:00.250Z", 30), "2026-05-31T18:00:30.000Z");
        assert_eq!(next("2026-05-31T18:14:59.999Z", 900), "2026-05-31T18:15:00.000Z");
        assert_eq!(next("2026-05-31T23:59:59Z", 3_600), "2026-06-01T00:00:00.000Z");
    }

    #[test]
    fn a_shot_on_the_dot_is_followed_by_the_next_one() {
        assert_eq!(next("2026-05-31T18:00:30Z", 30), "2026-05-31T18:01:00.000Z");
    }
}
