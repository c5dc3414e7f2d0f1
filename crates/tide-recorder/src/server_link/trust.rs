//! Station and server do not trust each other: a certificate or a token is wrong. No photo is to blame and no wait will mend it,
//! so each is told in a sentence that says what a person can do.

use std::error::Error;
use std::io;

use jiff::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};

/// What to do, if an error comes from a certificate.
pub(super) fn broken(error: &(dyn Error + 'static)) -> Option<String> {
    match rustls_error(error)? {
        rustls::Error::InvalidCertificate(error) => Some(certificate(error)),
        // No protocol in common, or the like: an old or foreign server, and no certificate to mend.
        rustls::Error::AlertReceived(alert) if is_about_certificates(*alert) => {
            Some(format!("the server refuses this station's TLS ({alert:?}); look into the server's log"))
        }
        _ => None,
    }
}

/// What to do about a token that is refused with `words`.
pub(super) fn token(words: &str) -> String {
    format!(
        "the server does not know this station's token ({words}); make a new one with `tide-server station token NAME` on the \
         server, write it into `token` in [server] of the station's settings, and restart the station"
    )
}

/// The sentence is the same at each attempt, so that it can be told once: it does not hold the time.
fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::NotValidYet => not_yet_valid(""),
        CertificateError::NotValidYetContext { not_before, .. } => {
            not_yet_valid(&format!(" before {}", date(*not_before)))
        }
        CertificateError::Expired => expired(""),
        CertificateError::ExpiredContext { not_after, .. } => expired(&format!(" on {}", date(*not_after))),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
            "the server's certificate is for another address ({error}); correct `url` in [server] of the station's settings, or \
             the server's TIDE_PUBLIC_NAME"
        ),
        _ => format!(
            "the server's certificate is not the one that this station trusts ({error}); if the server really has a new one, put \
             it into `certificate` in [server] of the station's settings (`tide-server station add NAME --config` prints it) and \
             restart the station"
        ),
    }
}

fn not_yet_valid(when: &str) -> String {
    format!(
        "the station's clock is wrong: the server's certificate is not valid{when}, and by the station's clock it is not that \
         late yet; set the clock (or renew the certificate, if it is from the future), and photos are delivered then"
    )
}

fn expired(when: &str) -> String {
    format!(
        "the server's certificate has expired{when} by the station's clock; renew it on the server, or set the station's clock \
         if that is wrong"
    )
}

fn date(moment: UnixTime) -> String {
    let seconds = i64::try_from(moment.as_secs()).ok();
    seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).map_or_else(String::new, |date| date.to_string())
}

fn is_about_certificates(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(alert, Alert::AccessDenied | Alert::BadCertificate | Alert::CertificateRequired | Alert::UnknownCA)
}

/// TLS reports through `io::Error`, which does not name what it wraps as its source.
fn rustls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = wrapped.and_then(|wrapped| rustls_error(wrapped)) {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn told(error: CertificateError) -> String {
        let error = io::Error::other(io::Error::other(rustls::Error::InvalidCertificate(error)));
        broken(&error).unwrap()
    }

    #[test]
    fn each_certificate_that_fails_says_what_to_do() {
        let time = |s| UnixTime::since_unix_epoch(Duration::from_secs(s));
        let not_yet = |now| CertificateError::NotValidYetContext { time: time(now), not_before: time(1_780_000_000) };
        let words = told(not_yet(946_684_800));
        assert!(words.contains("clock is wrong") && words.contains("before 2026-05-28T"), "{words}");
        assert_eq!(words, told(not_yet(946_684_801)), "told once");
        assert!(told(CertificateError::Expired).contains("renew it on the server"));
        assert!(told(CertificateError::UnknownIssuer).contains("`certificate` in [server]"));
        assert!(told(CertificateError::BadSignature).contains("`certificate` in [server]"));
        assert!(told(CertificateError::NotValidForName).contains("`url` in [server]"));
    }

    #[test]
    fn other_errors_are_no_matter_of_trust() {
        assert_eq!(broken(&io::Error::from(io::ErrorKind::ConnectionReset)), None);
        assert_eq!(broken(&io::Error::other(rustls::Error::HandshakeNotComplete)), None);
    }
}
