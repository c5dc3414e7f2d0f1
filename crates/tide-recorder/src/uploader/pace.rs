//! How often an offer may begin.

use std::time::Duration;

use tokio::time::Instant;

/// At most so many per second, evenly: with the number of stations this bounds what a server meets.
#[derive(Debug)]
pub(super) struct Pace {
    gap: Duration,
    next: Option<Instant>,
}

impl Pace {
    /// `per_s` is more than 0.
    pub(super) fn new(per_s: f64) -> Self {
        Self { gap: Duration::from_secs_f64(1.0 / per_s), next: None }
    }

    /// When the next may begin, if not at once.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// One begins at `now`.
    pub(super) fn begun(&mut self, now: Instant) {
        self.next = Some(now + self.gap);
    }
}
