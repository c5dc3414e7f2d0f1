//! What the server answers when it does not do what was asked. Each outcome has one status and one sentence; what went wrong
//! inside is logged, not sent.

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tide_photo::jpeg::JpegError;
use tide_photo::manifest::ManifestError;
use tide_photo::{StationName, wire};

use crate::catalog::CatalogError;
use crate::ingest::IngestError;

/// Seconds after which a client may try again when the server is at fault or busy.
const RETRY_SECONDS: u32 = 5;

/// Asks HTTP clients for a name and password, of which the password is the token.
pub const ASK_FOR_TOKEN: &str = r#"Basic realm="Tide Recorder station", charset="UTF-8""#;

/// Why a station's request was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No token, or none that this server knows.
    #[error(
        "a station's token is needed, and this request has none that is known; make one with \
         `tide-server station token NAME`, or `station add NAME` for a new station"
    )]
    NoToken,
    /// A token of another station.
    #[error("this token belongs to the station {token}, but what was sent says {said}")]
    OtherStation {
        /// Whose token it is.
        token: StationName,
        /// Whose it is said to be.
        said: StationName,
    },
    /// The request does not have the form that it must have.
    #[error("{0}")]
    Form(String),
    /// The request is longer than the largest photo with its form.
    #[error("the request is larger than this server takes")]
    FormTooLarge,
    /// There is no such photo of this station.
    #[error("this server holds no photo of this station with that digest; send it")]
    NotHeld,
    /// There is no such upload, or none any more.
    #[error("there is no such upload of this station, or it has expired; create a new one")]
    NoUpload,
    /// Bytes that do not follow those that are here.
    #[error("the upload has {here} bytes, and this request goes on at {said}; ask where the upload stands (HEAD)")]
    OtherOffset {
        /// Bytes that are here.
        here: u64,
        /// Where the request says it goes on.
        said: u64,
    },
    /// More bytes than the upload was said to have.
    #[error("the upload was said to have {length_bytes} bytes, and this request brings more")]
    BeyondLength {
        /// What was said when it was created.
        length_bytes: u64,
    },
    /// Another version of tus, or none.
    #[error("this server speaks tus 1.0.0: the header Tus-Resumable says that, and every request needs it")]
    OtherTusVersion,
    /// Bytes of another kind.
    #[error("the bytes of an upload come as application/offset+octet-stream")]
    OtherContentType,
    /// The request before is still being dealt with.
    #[error("an earlier request for this upload is still being dealt with; try again in a few seconds")]
    UploadInUse,
    /// A field of the manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A field of a station's status is wrong.
    #[error(transparent)]
    Status(ManifestError),
    /// The photo was not taken in.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The catalog does not answer.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Refusal {
    /// A manifest's field that is wrong.
    pub fn field(field: &str, reason: impl Into<String>) -> Self {
        Self::Manifest(ManifestError { field: field.to_owned(), reason: reason.into() })
    }

    /// The status, and one stable word for programs.
    pub fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoToken => (StatusCode::UNAUTHORIZED, "no_token"),
            Self::OtherStation { .. } => (StatusCode::FORBIDDEN, "other_station"),
            Self::Form(_) => (StatusCode::BAD_REQUEST, "bad_form"),
            Self::FormTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::NotHeld => (StatusCode::NOT_FOUND, "not_held"),
            Self::NoUpload => (StatusCode::NOT_FOUND, "no_upload"),
            Self::OtherOffset { .. } => (StatusCode::CONFLICT, "other_offset"),
            Self::BeyondLength { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "beyond_length"),
            Self::OtherTusVersion => (StatusCode::PRECONDITION_FAILED, "other_tus_version"),
            Self::OtherContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "other_content_type"),
            Self::UploadInUse => (StatusCode::LOCKED, "upload_in_use"),
            Self::Manifest(_) => (StatusCode::UNPROCESSABLE_ENTITY, "bad_manifest"),
            Self::Status(_) => (StatusCode::UNPROCESSABLE_ENTITY, "bad_status"),
            Self::Ingest(error) => ingest_status(error),
            Self::Catalog(error) => catalog_status(error),
        }
    }

    /// The sentence for a person, without anything about the inside of the server.
    pub fn message(&self) -> String {
        match self {
            Self::Ingest(IngestError::Disk(_)) => {
                "the server's disk does not take photos at the moment; try again later".to_owned()
            }
            Self::Catalog(_) | Self::Ingest(IngestError::Catalog(_)) => {
                "the server's catalog does not answer at the moment; try again later".to_owned()
            }
            other => other.to_string(),
        }
    }

    /// Notes what went wrong inside, where anything did.
    pub fn log(&self) {
        if let Self::Catalog(_) | Self::Ingest(IngestError::Disk(_) | IngestError::Catalog(_)) = self {
            tracing::error!(error = self as &dyn std::error::Error, "failed to take a photo in");
        }
    }

    /// Adds what the status needs beside itself: how to authenticate, when to come back.
    pub fn with_headers(&self, mut response: Response) -> Response {
        let status = response.status();
        if let Self::OtherTusVersion = self {
            response.headers_mut().insert("tus-version", HeaderValue::from_static("1.0.0"));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(ASK_FOR_TOKEN));
        }
        if [StatusCode::SERVICE_UNAVAILABLE, StatusCode::INSUFFICIENT_STORAGE, StatusCode::LOCKED].contains(&status) {
            response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS.into());
        }
        response
    }
}

fn ingest_status(error: &IngestError) -> (StatusCode, &'static str) {
    match error {
        IngestError::Jpeg(JpegError::Size { .. }) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unusable_size"),
        IngestError::Jpeg(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_a_jpeg"),
        IngestError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        IngestError::OtherBytes { .. } => (StatusCode::CONFLICT, "other_bytes"),
        IngestError::InProgress => (StatusCode::SERVICE_UNAVAILABLE, "in_progress"),
        IngestError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        IngestError::OtherChecksum => (checksum_mismatch(), "other_checksum"),
        IngestError::Superseded => (StatusCode::LOCKED, "superseded"),
        IngestError::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too_slow"),
        IngestError::CutOff => (StatusCode::BAD_REQUEST, "cut_off"),
        IngestError::Disk(error) if error.kind() == std::io::ErrorKind::StorageFull => {
            (StatusCode::INSUFFICIENT_STORAGE, "disk_full")
        }
        IngestError::Disk(_) => (StatusCode::SERVICE_UNAVAILABLE, "disk_unavailable"),
        IngestError::Catalog(error) => catalog_status(error),
    }
}

/// 460, of tus alone.
fn checksum_mismatch() -> StatusCode {
    StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST)
}

fn catalog_status(error: &CatalogError) -> (StatusCode, &'static str) {
    match error {
        CatalogError::Full => (StatusCode::INSUFFICIENT_STORAGE, "disk_full"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "catalog_unavailable"),
    }
}

/// The form of the new interface: JSON.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.log();
        let (status, error) = self.status();
        let field = match &self {
            Self::Manifest(error) | Self::Status(error) => Some(error.field.clone()),
            _ => None,
        };
        let body = wire::Refusal { error: error.to_owned(), message: self.message(), field };
        self.with_headers((status, Json(body)).into_response())
    }
}
