//! Photos and thumbnails as files.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tower::ServiceExt;
use tower_http::services::ServeFile;

use super::{LoggedIn, PageError, assets};
use crate::app::App;
use crate::thumbnails::ThumbnailError;

/// A photo's bytes never change; only operators may see them, so no shared cache may keep them.
const FOR_EVER: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// A thumbnail that could not be made may be possible tomorrow.
const ONE_HOUR: HeaderValue = HeaderValue::from_static("private, max-age=3600");

/// `GET /uploads/{filename}`: the photo, byte for byte.
///
/// # Errors
/// See [`PageError`].
pub async fn photo(
    State(app): State<App>,
    LoggedIn(_): LoggedIn,
    Path(file_name): Path<String>,
    request: Request,
) -> Result<Response, PageError> {
    let record = app.catalog.photo_named(&file_name).await?.ok_or(PageError::NotFound)?;
    let tag = format!("\"{}\"", record.photo.digest);
    serve(&app.store.path(&record.photo.store_key), &tag, request).await
}

/// `GET /thumbnails/{id}`: a small picture of the photo, made now if need be; a drawing where there can be none.
///
/// # Errors
/// See [`PageError`].
pub async fn thumbnail(
    State(app): State<App>,
    LoggedIn(_): LoggedIn,
    Path(id): Path<i64>,
    request: Request,
) -> Result<Response, PageError> {
    let record = app.catalog.photo(id).await?.ok_or(PageError::NotFound)?;
    let tag = format!("\"thumbnail-{}\"", record.photo.digest);
    match app.thumbnailer.ensure(&record.photo.store_key).await {
        Ok(path) => serve(&path, &tag, request).await,
        Err(error) => {
            tracing::warn!(photo = id, error = &error as &dyn std::error::Error, "there is no thumbnail");
            // A full disk passes sooner than a photo of which there can be none.
            let keep = (!matches!(error, ThumbnailError::Disk(_))).then_some([(CACHE_CONTROL, ONE_HOUR)]);
            Ok((keep, assets::no_preview()).into_response())
        }
    }
}

/// A JPEG file with its tag: 304 to who has it, parts of it on request.
async fn serve(path: &std::path::Path, tag: &str, request: Request) -> Result<Response, PageError> {
    let mut headers = HeaderMap::from_iter([(CACHE_CONTROL, FOR_EVER)]);
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(ETAG, tag);
    }
    if has_already(&request, tag) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let Ok(response) = ServeFile::new(path).oneshot(request).await;
    if response.status() == StatusCode::NOT_FOUND {
        return Err(PageError::NotFound);
    }
    let mut response = response.map(Body::new);
    // An error passes; a browser must not keep it.
    if response.status().is_success() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
        response.headers_mut().extend(headers);
    }
    Ok(response)
}

fn has_already(request: &Request, tag: &str) -> bool {
    let tags = request.headers().get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    tags.split(',').map(|known| known.trim().trim_start_matches("W/")).any(|known| known == tag || known == "*")
}
