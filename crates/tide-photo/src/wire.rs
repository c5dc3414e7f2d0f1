//! The HTTP contract between station and server: paths, part names, refusals.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::Digest;

/// Route of one photo, as the server's router writes it.
pub const PHOTO_ROUTE: &str = "/api/v1/photos/{sha256}";

/// Route under which a station asks whether the server holds a photo: its receipt, or 404.
pub const RECEIPT_ROUTE: &str = "/api/v1/photos/{sha256}/receipt";

/// Where an upload that can be resumed (tus 1.0) is created; each gets an address below it.
pub const UPLOADS_PATH: &str = "/api/v1/uploads";

/// The key of `Upload-Metadata` (tus 1.0) whose value is the photo's manifest, JSON in Base64.
pub const MANIFEST_METADATA: &str = "manifest";

/// Where a station posts its status.
pub const STATUS_PATH: &str = "/api/v1/status";

/// Multipart part that holds the manifest (JSON); it comes first.
pub const MANIFEST_PART: &str = "manifest";

/// Multipart part that holds the JPEG; it comes last.
pub const IMAGE_PART: &str = "image";

/// Path to which a station puts the photo with `digest`.
pub fn photo_path(digest: &Digest) -> String {
    PHOTO_ROUTE.replace("{sha256}", &digest.to_string())
}

/// Path under which a station asks for the receipt of the photo with `digest`.
pub fn receipt_path(digest: &Digest) -> String {
    RECEIPT_ROUTE.replace("{sha256}", &digest.to_string())
}

/// Why a request was refused, for programs (`error`) and people (`message`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// One stable word, for instance `not_a_jpeg`.
    pub error: String,
    /// One sentence that says what to do.
    pub message: String,
    /// The manifest's field to blame, where one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// Reads a value that has a text form through that form, so that its one parser is also its one check.
pub(crate) fn parse_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}
