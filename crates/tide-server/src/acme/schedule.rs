//! When a certificate is asked for. Authorities limit how often: Let's Encrypt takes five failed validations an hour for one
//! name, and one more every 12 minutes. So there are never two attempts within 15 minutes unless the first succeeded, not even
//! across restarts, and the wait doubles with each failure up to six hours.

use anyhow::{Context, anyhow};
use jiff::{SignedDuration, Timestamp};
use x509_parser::pem::Pem;

/// After the first failure, and after any attempt before a restart.
const FIRST_WAIT: SignedDuration = SignedDuration::from_mins(15);

/// After 15, 30, 60, 120 and 240 minutes. A certificate of six days, the shortest of the public authorities, has two days left
/// when its renewal begins.
const MAX_WAIT: SignedDuration = SignedDuration::from_hours(6);

/// From when until when a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    /// Its first moment.
    pub(super) from: Timestamp,
    /// Its last moment.
    pub(super) until: Timestamp,
}

/// What was tried so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Attempts {
    /// The last one, if no certificate came of it; it may lie before this start of the server.
    pub(super) last: Option<Timestamp>,
    /// How many have failed in a row since the start.
    pub(super) failures: u32,
}

impl Life {
    /// Of the first certificate in a chain.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn of(chain_pem: &str) -> anyhow::Result<Self> {
        let first = Pem::iter_from_buffer(chain_pem.as_bytes()).next().context("the chain holds no certificate")??;
        let certificate = first.parse_x509().map_err(|error| anyhow!("the certificate cannot be read: {error}"))?;
        let validity = certificate.validity();
        let moment = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp());
        Ok(Self { from: moment(validity.not_before)?, until: moment(validity.not_after)? })
    }

    /// When two thirds of it are over.
    pub(super) fn renew_at(self) -> Timestamp {
        self.from + self.from.duration_until(self.until) * 2 / 3
    }

    /// Whether its last sixth has begun, half the time that there is for renewal: somebody has to look.
    pub(super) fn is_ending(self, now: Timestamp) -> bool {
        now.duration_until(self.until) < self.from.duration_until(self.until) / 6
    }
}

/// When to ask for the next certificate: at once if there is none.
pub(super) fn next_attempt(life: Option<Life>, attempts: Attempts, now: Timestamp) -> Timestamp {
    let due = life.map_or(now, Life::renew_at);
    // One that lies in the future was noted by a clock that was wrong.
    match attempts.last.filter(|last| *last <= now) {
        Some(last) => due.max(last.saturating_add(wait(attempts.failures)).unwrap_or(due)),
        None => due,
    }
}

fn wait(failures: u32) -> SignedDuration {
    let doubled = 1_i32.checked_shl(failures.saturating_sub(1)).and_then(|times| FIRST_WAIT.checked_mul(times));
    doubled.map_or(MAX_WAIT, |wait| if wait.is_positive() { wait.min(MAX_WAIT) } else { MAX_WAIT })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    const MINUTE: SignedDuration = SignedDuration::from_mins(1);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn ninety_days() -> Life {
        Life { from: at("2026-01-01T00:00:00Z"), until: at("2026-04-01T00:00:00Z") }
    }

    #[test]
    fn the_life_is_read_from_the_first_certificate() {
        let mut params = CertificateParams::new(["tide.example.org".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2026, 4, 1));
        let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        assert_eq!(Life::of(&pem).unwrap(), ninety_days());
        assert!(Life::of("").is_err());
        assert!(Life::of("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
    }

    #[test]
    fn renewal_is_due_at_two_thirds_and_alarms_at_five_sixths() {
        let life = ninety_days();
        assert_eq!(life.renew_at(), at("2026-03-02T00:00:00Z"));
        assert_eq!(next_attempt(Some(life), Attempts::default(), at("2026-02-01T00:00:00Z")), life.renew_at());
        assert!(!life.is_ending(at("2026-03-16T23:00:00Z")));
        assert!(life.is_ending(at("2026-03-17T01:00:00Z")) && life.is_ending(at("2026-05-01T00:00:00Z")));
    }

    #[test]
    fn without_a_certificate_it_is_asked_for_at_once_but_not_again_within_a_quarter_of_an_hour() {
        let now = at("2026-01-01T12:00:00Z");
        assert_eq!(next_attempt(None, Attempts::default(), now), now);
        let before_the_restart = Attempts { last: Some(now - 5 * MINUTE), failures: 0 };
        assert_eq!(next_attempt(None, before_the_restart, now), now + 10 * MINUTE);
        let of_a_wrong_clock = Attempts { last: Some(at("2036-01-01T00:00:00Z")), failures: 0 };
        assert_eq!(next_attempt(None, of_a_wrong_clock, now), now);
    }

    #[test]
    fn the_wait_doubles_up_to_six_hours() {
        let now = at("2026-05-01T00:00:00Z");
        let minutes = |failures| {
            let next = next_attempt(Some(ninety_days()), Attempts { last: Some(now), failures }, now);
            now.duration_until(next).as_mins()
        };
        assert_eq!([1, 2, 3, 4, 5, 6, 7].map(minutes), [15, 30, 60, 120, 240, 360, 360]);
        assert_eq!([30, 31, 32, 33, u32::MAX].map(minutes), [360; 5]);
    }
}
