//! The multipart form of an upload, read within bounds: no part's header and no text may be longer than it needs to be, and the
//! form as a whole has to keep its pace, however many parts it has.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use axum::body::Bytes;
use axum::extract::multipart::{Field, Multipart, MultipartError, MultipartRejection};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use tokio::time::timeout_at;

use crate::catalog::Station;
use crate::ingest::request_body::GivenBytes;
use crate::ingest::{Ingest, IngestError, Pace, ReceivedImage};
use crate::refusal::Refusal;

/// Bytes that may come in search of a part's beginning. The reader keeps them all, and ours have about 200.
const PART_HEADER_BYTES: u64 = 8 * 1_024;

/// A form whose parts are read one after the other, each to its end.
pub struct UploadForm {
    parts: Multipart,
    given: GivenBytes,
    pace: Pace,
}

/// One part of a form, to be read to its end.
pub(super) struct Part<'a> {
    field: Field<'a>,
    pace: &'a mut Pace,
}

impl<S: Send + Sync> FromRequest<S> for UploadForm {
    type Rejection = MultipartRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, MultipartRejection> {
        let given = request.extensions().get().cloned().unwrap_or_default();
        Ok(Self { parts: Multipart::from_request(request, state).await?, given, pace: Pace::begin() })
    }
}

impl UploadForm {
    /// The next part, if it comes in time and its header is no longer than it may be. The part before must have been read.
    pub(super) async fn next_part(&mut self) -> Result<Option<Part<'_>>, Refusal> {
        let Self { parts, given, pace } = self;
        let limit = given.count() + PART_HEADER_BYTES;
        let mut next = pin!(parts.next_field());
        // The body comes piece by piece, and after each the search for the part's beginning comes by here.
        let bounded = poll_fn(|context| match next.as_mut().poll(context) {
            Poll::Pending if given.count() > limit => Poll::Ready(Err(Refusal::FormTooLarge)),
            part => part.map_err(|error| broken_form(&error)),
        });
        let field = timeout_at(pace.deadline(), bounded).await.map_err(|_| IngestError::TooSlow)??;
        Ok(field.map(|field| Part { field, pace }))
    }
}

impl Part<'_> {
    /// What the form calls it.
    pub(super) fn name(&self) -> Option<&str> {
        self.field.name()
    }

    /// Its next bytes, if they come in time.
    pub(super) async fn next_bytes(&mut self) -> Result<Option<Bytes>, Refusal> {
        let bytes = timeout_at(self.pace.deadline(), self.field.chunk())
            .await
            .map_err(|_| IngestError::TooSlow)?
            .map_err(|error| broken_form(&error))?;
        self.pace.came(bytes.as_ref().map_or(0, Bytes::len));
        Ok(bytes)
    }

    /// Its photo, whole and checked.
    pub(super) async fn receive_image(mut self, ingest: &Ingest, station: &Station) -> Result<ReceivedImage, Refusal> {
        let mut body = ingest.receive(station);
        while let Some(bytes) = self.next_bytes().await? {
            body.push(&bytes).await?;
        }
        Ok(body.finish()?)
    }

    /// Its text, refused as soon as it is longer than `limit_bytes`.
    pub(super) async fn read_limited(mut self, limit_bytes: usize) -> Result<Vec<u8>, Refusal> {
        let mut text = Vec::new();
        while let Some(bytes) = self.next_bytes().await? {
            if text.len() + bytes.len() > limit_bytes {
                return Err(IngestError::TooLarge { limit_bytes: limit_bytes as u64 }.into());
            }
            text.extend_from_slice(&bytes);
        }
        Ok(text)
    }

    /// Reads what nobody asked for.
    pub(super) async fn pass_over(mut self) -> Result<(), Refusal> {
        while self.next_bytes().await?.is_some() {}
        Ok(())
    }
}

/// The connection broke, or what came is no multipart form, or more than the largest photo with its form.
fn broken_form(error: &MultipartError) -> Refusal {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::FormTooLarge,
        _ => IngestError::CutOff.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use axum::body::Body;
    use axum::http::header::CONTENT_TYPE;
    use futures_util::stream;
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_form_of_many_small_parts_has_to_keep_its_pace_too() {
        let parts = stream::unfold(0, async |number| {
            if number == 10 {
                return None;
            }
            sleep(Duration::from_secs(29)).await;
            let part = Bytes::from_static(b"--b\r\ncontent-disposition: form-data; name=\"x\"\r\n\r\n-\r\n");
            Some((Ok::<_, Infallible>(part), number + 1))
        });
        let request = Request::post("/upload").header(CONTENT_TYPE, "multipart/form-data; boundary=b");
        let request = request.body(Body::from_stream(parts)).unwrap();
        let mut form = UploadForm::from_request(request, &()).await.unwrap();
        let began = Instant::now();
        let refusal = loop {
            match form.next_part().await {
                Ok(part) => match part.unwrap().pass_over().await {
                    Ok(()) => (),
                    Err(refusal) => break refusal,
                },
                Err(refusal) => break refusal,
            }
        };
        // A form that had ended by itself would be cut off.
        assert!(matches!(refusal, Refusal::Ingest(IngestError::TooSlow)), "{refusal:?}");
        assert!(began.elapsed() < Duration::from_secs(60));
    }
}
