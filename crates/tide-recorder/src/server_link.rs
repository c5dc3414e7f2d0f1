//! The way to the server: one trusted certificate, one token, one photo per call. Where the settings say so in a word, the
//! authorities that the system knows are trusted instead.

mod patience;
mod status;

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::RETRY_AFTER;
use reqwest::multipart::{Form, Part};
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, Url};
use tide_photo::Receipt;
use tide_photo::wire::{self, IMAGE_PART, MANIFEST_PART};
use tide_settings::Hidden;

use self::patience::Impatience;
pub use self::status::StatusLink;
use crate::config::Server;
use crate::shot::Shot;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(20);

/// How long the kernel keeps a connection on which bytes go unacknowledged. reqwest's own choice is 30 s, but TCP repeats what
/// was lost after 1, 2, 4, 8, 16, 32 s and so on: a radio link that is away for 40 s is only tried again after 63 s, and giving up
/// before would begin the photo anew.
const UNACKNOWLEDGED: Duration = Duration::from_secs(120);

/// Longest wait that a server may ask for, in seconds.
const MAX_RETRY_AFTER_S: u64 = 3_600;

/// What `server.certificate` says instead of a certificate, to trust the authorities that the system knows.
const PUBLIC: &str = "public";

/// A server that can be reached with this station's settings. Clones share their connections.
#[derive(Clone)]
pub struct ServerLink {
    client: Client,
    base: Url,
    token: Hidden,
}

/// What became of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// The server holds the photo.
    Held(Receipt),
    /// The server will never take this photo as it is.
    Refused {
        /// In the server's words.
        reason: String,
    },
    /// The server answers, but does not take the photo now: no time, no room, no token that it knows.
    Later {
        /// For the log.
        reason: String,
        /// When the server wants to be asked again.
        after: Option<Duration>,
    },
    /// The upload began, but no answer came.
    CutOff {
        /// For the log.
        reason: String,
    },
    /// There is no connection.
    Unreachable {
        /// For the log.
        reason: String,
    },
}

/// The way to a server, as the uploader sees it.
pub trait Link: Send {
    /// Offers a photo.
    fn offer(&self, shot: Shot) -> impl Future<Output = Offer> + Send;
}

/// Settings with which no server can be reached.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Not an HTTPS address.
    #[error("`server.url` must be an address like https://HOST:5000, not {0:?}")]
    Url(String),
    /// Not a certificate.
    #[error(
        "`server.certificate` must be the server's certificate in PEM form (`tide-server station add NAME --config` prints it), \
         or the word `public`"
    )]
    Certificate(#[source] Option<reqwest::Error>),
    /// The client cannot be made.
    #[error("failed to prepare the connection to the server")]
    Client(#[source] reqwest::Error),
}

impl ServerLink {
    /// Prepares the way; connects to nothing yet.
    ///
    /// # Errors
    /// If address or certificate cannot be used.
    pub fn new(server: &Server) -> Result<Self, LinkError> {
        let url: Option<Url> = server.url.parse().ok().filter(|url: &Url| url.scheme() == "https" && url.has_host());
        let base = url.ok_or_else(|| LinkError::Url(server.url.clone()))?;
        let builder = match server.certificate.trim() {
            PUBLIC => Client::builder(),
            pem => Client::builder().tls_certs_only(certificates(pem)?),
        };
        let client = builder
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .tcp_user_timeout(UNACKNOWLEDGED)
            .user_agent(concat!("tide-recorder/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(LinkError::Client)?;
        Ok(Self { client, base, token: server.token.clone() })
    }

    /// Sends a photo and reads the answer.
    async fn put(&self, shot: Shot) -> Result<Answer, Failure> {
        let size_bytes = shot.jpeg.len();
        let mut url = self.base.clone();
        url.set_path(&wire::photo_path(&shot.manifest.digest));
        url.set_query(None);
        let manifest = Part::bytes(shot.manifest.to_json()).mime_str("application/json")?;
        let (body, left) = patience::in_pieces(shot.jpeg);
        let image = Part::stream_with_length(body, size_bytes as u64).file_name("photo.jpg").mime_str("image/jpeg")?;
        let form = Form::new().part(MANIFEST_PART, manifest).part(IMAGE_PART, image);
        let request = self.client.put(url).bearer_auth(self.token.reveal()).multipart(form);
        patience::keep(answer(request), left, size_bytes).await?.map_err(Failure::from)
    }
}

impl Link for ServerLink {
    async fn offer(&self, shot: Shot) -> Offer {
        let (digest, station) = (shot.manifest.digest, shot.manifest.station.clone());
        let offer = match self.put(shot).await {
            Ok(answer) => judge(answer.status, answer.after, &answer.body),
            Err(failure) => failure.into(),
        };
        match offer {
            Offer::Held(receipt) if !receipt.releases(&station, &digest) => {
                Offer::Later { reason: "the server's receipt is for another photo".to_owned(), after: None }
            }
            offer => offer,
        }
    }
}

fn certificates(pem: &str) -> Result<Vec<Certificate>, LinkError> {
    let trusted = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|error| LinkError::Certificate(Some(error)))?;
    if trusted.is_empty() { Err(LinkError::Certificate(None)) } else { Ok(trusted) }
}

/// What the server answered.
struct Answer {
    status: StatusCode,
    after: Option<Duration>,
    body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Connection(#[from] reqwest::Error),
    #[error(transparent)]
    Patience(#[from] Impatience),
}

impl From<Failure> for Offer {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Connection(error) if error.is_connect() => Self::Unreachable { reason: readable(&error) },
            Failure::Connection(error) => Self::CutOff { reason: readable(&error) },
            Failure::Patience(impatience) => Self::CutOff { reason: impatience.to_string() },
        }
    }
}

async fn answer(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let (status, after) = (response.status(), retry_after(&response));
    // An answer that is cut off after its first line still says so much.
    Ok(Answer { status, after, body: response.bytes().await.unwrap_or_default() })
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds: u64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(MAX_RETRY_AFTER_S)))
}

/// What an answer means. A 4xx that speaks of the photo is final; one that speaks of the token, of the moment or of a limit that
/// can be raised (413) is not.
fn judge(status: StatusCode, after: Option<Duration>, body: &[u8]) -> Offer {
    let words = || match serde_json::from_slice::<wire::Refusal>(body) {
        Ok(refusal) => format!("{}: {}", status.as_u16(), refusal.message),
        Err(_) => format!("the server answered {status}"),
    };
    match status {
        StatusCode::OK | StatusCode::CREATED => match serde_json::from_slice(body) {
            Ok(receipt) => Offer::Held(receipt),
            Err(_) => Offer::Later { reason: "the server's answer holds no receipt".to_owned(), after },
        },
        StatusCode::CONFLICT | StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::UNPROCESSABLE_ENTITY => {
            Offer::Refused { reason: words() }
        }
        _ => Offer::Later { reason: words(), after },
    }
}

/// An error with all its causes in one line, without the address, which the log has already.
fn readable(error: &reqwest::Error) -> String {
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

    #[test]
    fn only_a_receipt_releases_and_only_what_speaks_of_the_photo_is_final() {
        let judged = |status: u16, body: &str| judge(StatusCode::from_u16(status).unwrap(), None, body.as_bytes());
        let receipt = r#"{"digest":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","station":"pier-3",
            "id":7,"holding":"already_held","received_at":"2026-05-31T18:00:00Z"}"#;
        assert!(matches!(judged(200, receipt), Offer::Held(_)));
        assert!(matches!(judged(201, receipt), Offer::Held(_)));
        assert!(matches!(judged(200, "<html>Log in to this hotel's network</html>"), Offer::Later { .. }));
        for status in [409, 415, 422] {
            assert!(matches!(judged(status, ""), Offer::Refused { .. }), "{status}");
        }
        for status in [204, 302, 400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504, 507] {
            assert!(matches!(judged(status, receipt), Offer::Later { .. }), "{status}");
        }
    }

    #[test]
    fn the_servers_words_are_passed_on() {
        let body = r#"{"error":"not_a_jpeg","message":"the image is not a JPEG"}"#;
        let reason = "415: the image is not a JPEG".to_owned();
        assert_eq!(judge(StatusCode::UNSUPPORTED_MEDIA_TYPE, None, body.as_bytes()), Offer::Refused { reason });
    }
}
