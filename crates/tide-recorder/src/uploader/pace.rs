//! How often an offer may begin.

use std::time::Duration;

use tokio::time::Instant;

/// Longest time between two offers that a busy server makes a station keep. Short enough that a new photo, which waits for at most
/// two others, is not late.
const LONGEST_GAP: Duration = Duration::from_secs(5);

/// What a delivery makes of the time between two offers. Small steps, so that many stations together find the pace of a server
/// without being refused often: at balance, one offer in twenty or so.
const SHORTER: f64 = 0.97;

/// At most so many per second, evenly: with the number of stations this bounds what a server meets. A server that says it is busy
/// has the pace halved, and each delivery raises it a little.
#[derive(Debug)]
pub(super) struct Pace {
    shortest_gap: Duration,
    gap: Duration,
    next: Option<Instant>,
}

impl Pace {
    /// `per_s` is more than 0.
    pub(super) fn new(per_s: f64) -> Self {
        let gap = Duration::from_secs_f64(1.0 / per_s);
        Self { shortest_gap: gap, gap, next: None }
    }

    /// When the next may begin, if not at once.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// One begins at `now`.
    pub(super) fn begun(&mut self, now: Instant) {
        self.next = Some(now + self.gap);
    }

    /// A photo was delivered.
    pub(super) fn delivered(&mut self) {
        self.gap = self.gap.mul_f64(SHORTER).max(self.shortest_gap);
    }

    /// The server has no time for a photo.
    pub(super) fn busy(&mut self) {
        self.gap = (self.gap * 2).min(LONGEST_GAP).max(self.shortest_gap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_server_halves_the_pace_and_deliveries_restore_it() {
        let mut pace = Pace::new(2.0);
        pace.busy();
        assert_eq!(pace.gap, Duration::from_secs(1));
        for _ in 0..23 {
            pace.delivered();
        }
        assert_eq!(pace.gap, Duration::from_millis(500));
        for _ in 0..100 {
            pace.busy();
        }
        assert_eq!(pace.gap, LONGEST_GAP);
    }

    #[test]
    fn a_pace_that_was_set_slower_stays_so() {
        let mut pace = Pace::new(0.01);
        pace.busy();
        assert_eq!(pace.gap, Duration::from_secs(100));
    }
}
