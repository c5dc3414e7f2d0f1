//! The multipart form of an upload, read within bounds: no part's header, no text and no wait may be longer than it needs to be.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use axum::body::Bytes;
use axum::extract::multipart::{Field, Multipart, MultipartError, MultipartRejection};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use tokio::time::timeout_at;

use crate::ingest::request_body::GivenBytes;
use crate::ingest::{Ingest, IngestError, Pace, ReceivedImage};
use crate::refusal::Refusal;

/// Bytes that may come in search of a part's beginning. The reader keeps them all, and ours have about 200.
const PART_HEADER_BYTES: u64 = 8 * 1_024;

/// A form whose parts are read one after the other, each to its end.
pub struct UploadForm {
    parts: Multipart,
    given: GivenBytes,
}

impl<S: Send + Sync> FromRequest<S> for UploadForm {
    type Rejection = MultipartRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, MultipartRejection> {
        let given = request.extensions().get().cloned().unwrap_or_default();
        Ok(Self { parts: Multipart::from_request(request, state).await?, given })
    }
}

impl UploadForm {
    /// The next part, if it comes in time and its header is no longer than it may be. The part before must have been read.
    pub(super) async fn next_part(&mut self) -> Result<Option<Field<'_>>, Refusal> {
        let Self { parts, given } = self;
        let limit = given.count() + PART_HEADER_BYTES;
        let mut next = pin!(parts.next_field());
        // The body comes piece by piece, and after each the search for the part's beginning comes by here.
        let bounded = poll_fn(|context| match next.as_mut().poll(context) {
            Poll::Pending if given.count() > limit => Poll::Ready(Err(Refusal::FormTooLarge)),
            part => part.map_err(|error| broken_form(&error)),
        });
        timeout_at(Pace::begin().deadline(), bounded).await.map_err(|_| IngestError::TooSlow)?
    }
}

/// The photo of a part, whole and checked.
pub(super) async fn receive_image(ingest: &Ingest, mut part: Field<'_>) -> Result<ReceivedImage, Refusal> {
    let mut body = ingest.receive();
    let mut pace = Pace::begin();
    while let Some(bytes) = next_bytes(&mut part, &mut pace).await? {
        body.push(&bytes).await?;
    }
    Ok(body.finish()?)
}

/// A part's text, refused as soon as it is longer than `limit_bytes`.
pub(super) async fn read_limited(mut part: Field<'_>, limit_bytes: usize) -> Result<Vec<u8>, Refusal> {
    let mut text = Vec::new();
    let mut pace = Pace::begin();
    while let Some(bytes) = next_bytes(&mut part, &mut pace).await? {
        if text.len() + bytes.len() > limit_bytes {
            return Err(IngestError::TooLarge { limit_bytes: limit_bytes as u64 }.into());
        }
        text.extend_from_slice(&bytes);
    }
    Ok(text)
}

/// Reads a part that nobody asked for.
pub(super) async fn pass_over(mut part: Field<'_>) -> Result<(), Refusal> {
    let mut pace = Pace::begin();
    while next_bytes(&mut part, &mut pace).await?.is_some() {}
    Ok(())
}

/// The next bytes of a part, if they come in time.
pub(super) async fn next_bytes(part: &mut Field<'_>, pace: &mut Pace) -> Result<Option<Bytes>, Refusal> {
    let bytes = timeout_at(pace.deadline(), part.chunk())
        .await
        .map_err(|_| IngestError::TooSlow)?
        .map_err(|error| broken_form(&error))?;
    pace.came(bytes.as_ref().map_or(0, Bytes::len));
    Ok(bytes)
}

/// The connection broke, or what came is no multipart form, or more than the largest photo with its form.
fn broken_form(error: &MultipartError) -> Refusal {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::FormTooLarge,
        _ => IngestError::CutOff.into(),
    }
}
