//! What the server's answers mean, and what it means if none comes.

use std::time::Duration;

use bytes::Bytes;
use jiff::fmt::rfc2822;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{RequestBuilder, StatusCode};
use tide_photo::wire;

use super::Offer;
use super::patience::Impatience;
use super::trust;

/// Longest wait that a server may ask for, in seconds.
const MAX_RETRY_AFTER_S: u64 = 3_600;

/// The server's word for a request whose end did not come. It speaks of the link.
const CUT_OFF: &str = "cut_off";

/// What the server answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Connection(#[from] reqwest::Error),
    #[error(transparent)]
    Patience(#[from] Impatience),
}

impl From<Failure> for Offer {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Connection(error) => match trust::broken(&error) {
                Some(reason) => Self::Distrusted { reason },
                None if error.is_connect() => Self::Unreachable { reason: readable(&error) },
                None => Self::CutOff { reason: readable(&error) },
            },
            Failure::Patience(impatience) => Self::CutOff { reason: impatience.to_string() },
        }
    }
}

/// Sends a request and reads the whole answer.
pub(super) async fn answer(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    // An answer that is cut off after its first line still says so much.
    Ok(Answer { status, headers, body: response.bytes().await.unwrap_or_default() })
}

impl Answer {
    /// A header that counts bytes.
    pub(super) fn number(&self, name: &HeaderName) -> Option<u64> {
        text(&self.headers, name)?.parse().ok()
    }

    /// A header of visible ASCII.
    pub(super) fn text(&self, name: &HeaderName) -> Option<&str> {
        text(&self.headers, name)
    }

    /// The server's own words, if these are they.
    pub(super) fn refusal(&self) -> Option<wire::Refusal> {
        serde_json::from_slice(&self.body).ok()
    }

    /// What it means for the photo that was offered. A 4xx that speaks of the photo is final; one that speaks of the token, of
    /// the address or of the moment is not. 400 is final only in the server's own words, because a proxy that is set up wrongly
    /// says it of every photo.
    pub(super) fn judge(&self) -> Offer {
        let (reason, after) = (self.words(), retry_after(&self.headers));
        match self.status {
            StatusCode::OK | StatusCode::CREATED => match serde_json::from_slice(&self.body) {
                Ok(receipt) => Offer::Held(receipt),
                Err(_) => Offer::Later { reason: "the server's answer holds no receipt".to_owned(), after },
            },
            StatusCode::CONFLICT
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY => Offer::Refused { reason },
            StatusCode::BAD_REQUEST if self.refusal().is_some_and(|refusal| refusal.error != CUT_OFF) => {
                Offer::Refused { reason }
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Offer::Distrusted { reason: trust::token(&reason) },
            StatusCode::LOCKED
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::INSUFFICIENT_STORAGE => Offer::Busy { reason, after },
            _ => Offer::Later { reason, after },
        }
    }

    fn words(&self) -> String {
        match self.refusal() {
            Some(refusal) => format!("{}: {}", self.status.as_u16(), refusal.message),
            None => format!("the server answered {}", self.status),
        }
    }
}

/// Seconds, or a date: counted from the server's own `Date`, because the station's clock may be wrong.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let asked = text(headers, &RETRY_AFTER)?;
    let moment = |text: &str| rfc2822::parse(text).ok().map(|date| date.timestamp());
    let seconds: u64 = match asked.parse() {
        Ok(seconds) => seconds,
        Err(_) => {
            let wait = moment(asked)?.duration_since(moment(text(headers, &DATE)?)?);
            u64::try_from(wait.as_secs()).unwrap_or_default()
        }
    };
    Some(Duration::from_secs(seconds.min(MAX_RETRY_AFTER_S)))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

/// An error with all its causes in one line, without the address, which the log has already.
pub(super) fn readable(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    causes.dedup();
    if causes.is_empty() { error.to_string() } else { causes.join(": ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(HeaderName, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    fn judged(status: u16, body: &str) -> Offer {
        answer(status, &[], body).judge()
    }

    #[test]
    fn only_a_receipt_releases_and_only_what_speaks_of_the_photo_is_final() {
        let receipt = r#"{"digest":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","station":"pier-3",
            "id":7,"holding":"already_held","received_at":"2026-05-31T18:00:00Z"}"#;
        assert!(matches!(judged(200, receipt), Offer::Held(_)));
        assert!(matches!(judged(201, receipt), Offer::Held(_)));
        assert!(matches!(judged(200, "<html>Log in to this hotel's network</html>"), Offer::Later { .. }));
        for status in [409, 413, 415, 422] {
            assert!(matches!(judged(status, ""), Offer::Refused { .. }), "{status}");
        }
        for status in [204, 302, 400, 404, 405, 408, 410, 425, 500, 502, 504] {
            assert!(matches!(judged(status, receipt), Offer::Later { .. }), "{status}");
        }
        for status in [423, 429, 503, 507] {
            assert!(matches!(judged(status, receipt), Offer::Busy { .. }), "{status}");
        }
        for status in [401, 403] {
            assert!(matches!(judged(status, receipt), Offer::Distrusted { .. }), "{status}");
        }
    }

    #[test]
    fn a_bad_request_is_final_only_in_the_servers_own_words() {
        let words = |error| format!(r#"{{"error":"{error}","message":"the form has no image"}}"#);
        assert!(matches!(judged(400, &words("bad_form")), Offer::Refused { .. }));
        assert!(matches!(judged(400, &words("cut_off")), Offer::Later { .. }));
        assert!(matches!(judged(400, "<html>400 Bad Request</html>"), Offer::Later { .. }));
    }

    #[test]
    fn the_servers_words_are_passed_on() {
        let body = r#"{"error":"not_a_jpeg","message":"the image is not a JPEG"}"#;
        assert_eq!(judged(415, body), Offer::Refused { reason: "415: the image is not a JPEG".to_owned() });
    }

    #[test]
    fn the_server_says_when_to_come_back_in_seconds_or_by_its_own_clock() {
        let wait = |after: &str| {
            let headers = [(RETRY_AFTER, after), (DATE, "Sun, 31 May 2026 18:00:00 GMT")];
            match answer(503, &headers, "").judge() {
                Offer::Busy { after, .. } => after.map(|after| after.as_secs()),
                _ => None,
            }
        };
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait("86400"), Some(MAX_RETRY_AFTER_S));
        assert_eq!(wait("Sun, 31 May 2026 18:00:07 GMT"), Some(7));
        assert_eq!(wait("Sun, 31 May 2026 17:00:00 GMT"), Some(0), "that has passed");
        assert_eq!(wait("soon"), None);
    }
}
