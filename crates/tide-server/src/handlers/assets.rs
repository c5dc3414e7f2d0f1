//! Style sheet and drawings, built into the program: a page needs nothing from any other host.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use tide_photo::Digest;

use super::PageError;

const STYLE: &str = include_str!("../../assets/style.css");
const ICON: &str = include_str!("../../assets/icon.svg");
const TIDE: &str = include_str!("../../assets/tide.svg");
const NO_PREVIEW: &str = include_str!("../../assets/no-preview.svg");

static VERSION: LazyLock<String> = LazyLock::new(|| Digest::of([STYLE, ICON, TIDE].concat().as_bytes()).short());

/// Changes whenever an asset does, so that a browser may keep what it has for ever.
pub fn version() -> &'static str {
    &VERSION
}

/// `GET /assets/{version}/{name}`.
///
/// # Errors
/// [`PageError::NotFound`] for any other name.
pub async fn asset(Path((_, name)): Path<(String, String)>) -> Result<Response, PageError> {
    let (kind, text) = match name.as_str() {
        "style.css" => ("text/css; charset=utf-8", STYLE),
        "icon.svg" => ("image/svg+xml", ICON),
        "tide.svg" => ("image/svg+xml", TIDE),
        _ => return Err(PageError::NotFound),
    };
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, text).into_response())
}

/// The drawing shown in place of a thumbnail that cannot be made.
pub fn no_preview() -> Response {
    ([(CONTENT_TYPE, "image/svg+xml")], NO_PREVIEW).into_response()
}
