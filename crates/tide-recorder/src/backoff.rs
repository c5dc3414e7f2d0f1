//! How long to wait after an upload that failed: twice as long each time, up to five minutes, with a part of chance so that
//! stations which lost the server together do not all return together.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// What is added, at most, to the time for which the server asked: it asks all stations for the same.
const SPREAD: f64 = 0.25;

/// Failures in a row. One after which the server says when to come back counts half: the server is there, and many stations share
/// it, so that a few such answers in a row are nothing but chance.
#[derive(Debug, Default)]
pub struct Backoff {
    half_failures: u32,
}

impl Backoff {
    /// The wait after one more failure. `chance` lies between 0 and 1; what the server asked for is honoured up to the longest
    /// wait, and never cut short.
    pub fn after_failure(&mut self, chance: f64, asked_for: Option<Duration>) -> Duration {
        let doubled = FIRST.saturating_mul(1_u32.checked_shl(self.half_failures / 2).unwrap_or(u32::MAX)).min(LONGEST);
        self.half_failures = self.half_failures.saturating_add(if asked_for.is_some() { 1 } else { 2 }).min(62);
        // At least half, so that a wait is never nothing.
        let wait = doubled.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0));
        wait.max(asked_for.unwrap_or_default().mul_f64(1.0 + SPREAD * chance.clamp(0.0, 1.0))).min(LONGEST)
    }

    /// An upload went through.
    pub fn succeeded(&mut self) {
        self.half_failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..11).map(|_| backoff.after_failure(1.0, None).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        backoff.succeeded();
        assert_eq!(backoff.after_failure(1.0, None), FIRST);
        for _ in 0..100 {
            assert!(backoff.after_failure(1.0, None) <= LONGEST);
        }
    }

    #[test]
    fn a_server_that_asks_for_little_again_and_again_gets_more_in_the_end() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> =
            (0..19).map(|_| backoff.after_failure(0.0, Some(Duration::from_secs(5))).as_secs()).collect();
        assert_eq!(waits, [5, 5, 5, 5, 5, 5, 5, 5, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128, 150]);
    }

    #[test]
    fn chance_takes_away_up_to_half() {
        assert_eq!(Backoff::default().after_failure(0.0, None), Duration::from_millis(500));
        assert_eq!(Backoff { half_failures: 40 }.after_failure(0.5, None), Duration::from_secs(225));
    }

    #[test]
    fn the_server_may_ask_for_more_but_not_for_ever() {
        assert_eq!(Backoff::default().after_failure(0.0, Some(Duration::from_secs(60))), Duration::from_secs(60));
        assert_eq!(Backoff::default().after_failure(1.0, Some(Duration::from_secs(60))), Duration::from_secs(75));
        assert_eq!(Backoff::default().after_failure(1.0, Some(Duration::from_secs(86_400))), LONGEST);
    }
}
