//! What happens to a station's request body around its reader.
//!
//! It is given one piece at a time. The multipart reader takes as much as it can get before it hands anything on: over a fast
//! link, the whole photo.
//!
//! It is counted, so that a reader which keeps what it is given can be held to a limit.
//!
//! And it is read on for a little while after a request was refused before its end. A server that closes a connection on which
//! bytes are still arriving makes the client's system throw away the answer it has already received: the client sees a broken
//! connection instead of the reason for the refusal.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use http_body::{Frame, SizeHint};

/// How long a body is read on, at most.
const LINGER: Duration = Duration::from_secs(10);

/// How many bytes of a request's body its reader has been given; among the request's extensions.
#[derive(Debug, Clone, Default)]
pub struct GivenBytes(Arc<AtomicU64>);

impl GivenBytes {
    /// The number so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Middleware: counts a body, gives a body piece by piece, and lets the rest of an unread one pass.
pub async fn tame(request: Request, next: Next) -> Response {
    let given = GivenBytes::default();
    let count = given.clone();
    let mut request = request.map(|body| Body::new(Tamed { body: Some(body), given, gave_a_piece: false }));
    request.extensions_mut().insert(count);
    next.run(request).await
}

struct Tamed {
    body: Option<Body>,
    given: GivenBytes,
    gave_a_piece: bool,
}

impl HttpBody for Tamed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if std::mem::take(&mut self.gave_a_piece) {
            // As if the next piece were still on its way: the reader hands on what it has, and asks again.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let piece = Pin::new(body).poll_frame(context);
        self.gave_a_piece = matches!(piece, Poll::Ready(Some(_)));
        if let Poll::Ready(Some(Ok(frame))) = &piece {
            self.given.0.fetch_add(frame.data_ref().map_or(0, Bytes::len) as u64, Ordering::Relaxed);
        }
        piece
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for Tamed {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            tokio::spawn(tokio::time::timeout(LINGER, pass(body)));
        }
    }
}

async fn pass(body: Body) {
    let mut pieces = body.into_data_stream();
    while let Some(Ok(_)) = pieces.next().await {}
}
