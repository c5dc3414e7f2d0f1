//! The way to the server: one trusted certificate, one token, one photo per call. Where the settings say so in a word, the
//! authorities that the system knows are trusted instead.
//!
//! A small photo goes in one request (PUT). A large one, or one that was cut off on its way, goes in an upload that can be
//! resumed, see `resumable`.

mod answer;
mod limit;
mod patience;
mod resumable;
mod status;
mod trust;
pub mod watch;
mod way;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use reqwest::multipart::{Form, Part};
use reqwest::{Certificate, Client, Method, RequestBuilder, Url};
use tide_photo::wire::{self, IMAGE_PART, MANIFEST_PART};
use tide_photo::{Manifest, Receipt};
use tide_settings::Hidden;

use self::answer::{Failure, answer};
use self::limit::Limit;
use self::resumable::Begun;
pub use self::status::StatusPost;
use self::way::SystemWay;
use crate::config::{Server, Upload};
use crate::shot::Shot;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(20);

/// How long the kernel keeps a connection on which bytes go unacknowledged. reqwest's own choice is 30 s, but TCP repeats what
/// was lost after 1, 2, 4, 8, 16, 32 s and so on: a radio link that is away for 40 s is only tried again after 63 s, and giving up
/// before would begin the photo anew.
const UNACKNOWLEDGED: Duration = Duration::from_secs(120);

/// What `server.certificate` says instead of a certificate, to trust the authorities that the system knows.
const PUBLIC: &str = "public";

/// A server that can be reached with this station's settings.
pub struct ServerLink {
    client: Client,
    base: Url,
    token: Hidden,
    way: SystemWay,
    limit: Arc<Limit>,
    resume_above_bytes: u64,
    begun: Mutex<Begun>,
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
    /// The server has no time or no room for any photo.
    Busy {
        /// For the log.
        reason: String,
        /// When the server wants to be asked again.
        after: Option<Duration>,
    },
    /// Token or certificate are wrong; no photo can be delivered before a person has mended that.
    Distrusted {
        /// What to do; the same words for the same trouble.
        reason: String,
    },
    /// The server answers, but does not take the photo now.
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
pub trait Link: Send + Sync {
    /// Offers a photo.
    fn offer(&self, shot: Shot) -> impl Future<Output = Offer> + Send;

    /// Returns when the way to the server was closed and has opened again.
    fn returned(&self) -> impl Future<Output = ()> + Send;
}

/// A photo on its way; its bytes are shared, not copied.
struct Photo {
    manifest: Manifest,
    jpeg: Bytes,
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
    pub fn new(server: &Server, upload: &Upload) -> Result<Self, LinkError> {
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
            .pool_max_idle_per_host(upload.parallel)
            .user_agent(concat!("tide-recorder/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(LinkError::Client)?;
        Ok(Self::over(client, base, server.token.clone(), upload))
    }

    fn over(client: Client, base: Url, token: Hidden, upload: &Upload) -> Self {
        let way = SystemWay::new(base.host_str().unwrap_or_default(), base.port_or_known_default().unwrap_or_default());
        let limit = Arc::new(Limit::new(upload.max_bytes_per_s));
        let (resume_above_bytes, begun) = (upload.resume_above_bytes, Mutex::default());
        Self { client, base, token, way, limit, resume_above_bytes, begun }
    }

    /// Sends a photo in one request, and reads the answer.
    async fn put(&self, photo: &Photo) -> Result<Offer, Failure> {
        let size_bytes = photo.jpeg.len();
        let manifest = Part::bytes(photo.manifest.to_json()).mime_str("application/json")?;
        let (body, left) = patience::in_pieces(photo.jpeg.clone(), Arc::clone(&self.limit));
        let image = Part::stream_with_length(body, size_bytes as u64).file_name("photo.jpg").mime_str("image/jpeg")?;
        let form = Form::new().part(MANIFEST_PART, manifest).part(IMAGE_PART, image);
        let request = self.request(Method::PUT, &wire::photo_path(&photo.manifest.digest)).multipart(form);
        let put = patience::keep(answer(request), left, size_bytes).await?;
        Ok(put?.judge())
    }

    /// A request for a path of the server, with the station's token.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(path);
        url.set_query(None);
        self.client.request(method, url).bearer_auth(self.token.reveal())
    }
}

impl Link for ServerLink {
    async fn offer(&self, shot: Shot) -> Offer {
        let photo = Photo { manifest: shot.manifest, jpeg: shot.jpeg.into() };
        let sent =
            if self.is_to_be_resumable(&photo) { self.send_resumably(&photo).await } else { self.put(&photo).await };
        let offer = sent.unwrap_or_else(Offer::from);
        self.note(&photo, &offer);
        match offer {
            Offer::Held(receipt) if !receipt.releases(&photo.manifest.station, &photo.manifest.digest) => {
                Offer::Later { reason: "the server's receipt is for another photo".to_owned(), after: None }
            }
            offer => offer,
        }
    }

    async fn returned(&self) {
        watch::until_returned(&self.way, rand::random).await;
    }
}

fn certificates(pem: &str) -> Result<Vec<Certificate>, LinkError> {
    let trusted = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|error| LinkError::Certificate(Some(error)))?;
    if trusted.is_empty() { Err(LinkError::Certificate(None)) } else { Ok(trusted) }
}

#[cfg(test)]
mod tests;
