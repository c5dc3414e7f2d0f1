//! How long a login has to wait after others that failed: nothing for the first few, then twice as long each time. Accounts and
//! addresses are slowed down separately, so that neither many names from one place nor one name from many places help.

use std::time::Duration;

use tide_photo::CapturedAt;

/// Failures that cost nothing: people mistype.
const FREE_FAILURES: u32 = 5;

/// Without failures for this long, all are forgotten.
pub const MEMORY: Duration = Duration::from_secs(3_600);

/// Whose failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Those with one name. The wait stays short: it must not become a way to lock an operator out.
    Account,
    /// Those from one address.
    Address,
}

/// Failures so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    /// How many in a row.
    pub count: u32,
    /// When the last one was.
    pub last_at: CapturedAt,
}

impl Subject {
    /// The longest wait.
    fn longest(self) -> Duration {
        match self {
            Self::Account => Duration::from_secs(30),
            Self::Address => Duration::from_secs(900),
        }
    }
}

impl Failures {
    /// How long from `now` until the next try counts; `None` if it does at once.
    pub fn wait(self, subject: Subject, now: CapturedAt) -> Option<Duration> {
        if self.are_forgotten(now) || self.count < FREE_FAILURES {
            return None;
        }
        let doubled = Duration::from_secs(1_u64.checked_shl(self.count - FREE_FAILURES).unwrap_or(u64::MAX));
        doubled.min(subject.longest()).checked_sub(since(self.last_at, now)).filter(|wait| !wait.is_zero())
    }

    /// Whether the next failure is the first again. A clock that went backwards forgets nothing.
    pub fn are_forgotten(self, now: CapturedAt) -> bool {
        since(self.last_at, now) >= MEMORY
    }
}

fn since(then: CapturedAt, now: CapturedAt) -> Duration {
    Duration::from_micros(u64::try_from(now.as_micros().saturating_sub(then.as_micros())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_s(count: u32, subject: Subject, seconds_later: i64) -> u64 {
        let last_at = "2026-05-31T18:00:00Z".parse::<CapturedAt>().unwrap();
        let now = CapturedAt::from_micros(last_at.as_micros() + seconds_later * 1_000_000).unwrap();
        Failures { count, last_at }.wait(subject, now).unwrap_or_default().as_secs()
    }

    #[test]
    fn the_first_failures_are_free_and_then_the_wait_doubles() {
        let waits = [0, 4, 5, 6, 8, 10, 20, 1_000].map(|count| wait_s(count, Subject::Address, 0));
        assert_eq!(waits, [0, 0, 1, 2, 8, 32, 900, 900]);
        assert_eq!(wait_s(1_000, Subject::Account, 0), 30, "an account is never shut");
    }

    #[test]
    fn waiting_helps_and_so_does_time() {
        assert_eq!(wait_s(8, Subject::Address, 5), 3);
        assert_eq!(wait_s(8, Subject::Address, 8), 0);
        assert_eq!(wait_s(1_000, Subject::Address, 3_600), 0);
        assert_eq!(wait_s(8, Subject::Address, -3_600), 8, "a clock that went backwards helps nobody");
    }
}
