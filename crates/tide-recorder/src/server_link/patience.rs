//! How long an upload may take. Slow is not silent: as long as pieces of the image leave, the upload goes on, and only then
//! does the wait for the server's answer begin.
//!
//! What is seen here is that the connection takes a piece, not that the piece arrives: some hundred kilobytes may lie in the
//! system's buffers on the way. A link that has gone is noticed by TCP itself (see `UNACKNOWLEDGED`).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::Body;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::limit::Limit;

/// Bytes given to the connection at a time: two seconds of a link at 16 kbit/s.
const PIECE_BYTES: usize = 4_096;

/// How long the connection may take no piece. The system asks for more only when a third of its buffer is free: 30 kB of the
/// usual 90 kB, half a minute at 1 kB/s, and as long again for a link that was away for a moment.
const SILENCE: Duration = Duration::from_secs(120);

/// How long the server may take for its receipt once it has the whole photo.
const RECEIPT: Duration = Duration::from_secs(60);

/// The slowest link that must do, in bytes per second: GPRS at the edge of its cell. After the last piece has been taken, all of
/// the photo may still lie in buffers and has to leave at this pace.
const SLOWEST_BYTES_PER_S: u64 = 1_000;

/// How long one photo may take, whatever happens: 3.6 MB at [`SLOWEST_BYTES_PER_S`], 12 MB at 3.5 kB/s.
const WHOLE: Duration = Duration::from_secs(3_600);

/// Why an upload is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Impatience {
    #[error("nothing could be sent for {} s", SILENCE.as_secs())]
    Silent,
    #[error("no answer came after the whole photo was sent")]
    NoAnswer,
    #[error("no answer came within {} s", RECEIPT.as_secs())]
    NoReply,
    #[error("the upload took longer than {} s", WHOLE.as_secs())]
    TooLong,
}

/// An image as a body that is taken in pieces, no faster than `limit` allows, and the bytes not taken yet.
pub(super) fn in_pieces(image: Bytes, limit: Arc<Limit>) -> (Body, watch::Receiver<usize>) {
    let (left, seen) = watch::channel(image.len());
    let pieces = stream::unfold((image, left, limit), async |(mut rest, left, limit)| {
        if rest.is_empty() {
            return None;
        }
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        limit.wait_for(piece.len()).await;
        left.send_replace(rest.len());
        Some((Ok::<_, Infallible>(piece), (rest, left, limit)))
    });
    (Body::wrap_stream(pieces), seen)
}

/// The outcome of an upload of `size_bytes`, of which `left` tells the bytes not taken yet.
pub(super) async fn keep<T>(
    upload: impl Future<Output = T>,
    left: watch::Receiver<usize>,
    size_bytes: usize,
) -> Result<T, Impatience> {
    tokio::select! {
        outcome = upload => Ok(outcome),
        impatience = lose(left, size_bytes) => Err(impatience),
        () = sleep(WHOLE) => Err(Impatience::TooLong),
    }
}

/// The outcome of a request without a body.
pub(super) async fn keep_brief<T>(request: impl Future<Output = T>) -> Result<T, Impatience> {
    timeout(RECEIPT, request).await.map_err(|_| Impatience::NoReply)
}

/// Returns when patience has come to its end.
async fn lose(mut left: watch::Receiver<usize>, size_bytes: usize) -> Impatience {
    while *left.borrow_and_update() > 0 {
        match timeout(SILENCE, left.changed()).await {
            Ok(Ok(())) => (),
            // The connection wants no more, because the server answers before it has read all.
            Ok(Err(_)) => break,
            Err(_) => return Impatience::Silent,
        }
    }
    sleep(for_answer(size_bytes)).await;
    Impatience::NoAnswer
}

fn for_answer(size_bytes: usize) -> Duration {
    RECEIPT + Duration::from_secs(size_bytes as u64 / SLOWEST_BYTES_PER_S)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;

    /// A photo of the bench station.
    const PHOTO_BYTES: usize = 330_000;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Takes a photo in pieces of 3.5 kB, one after each wait, answers after `thinking`; the outcome and how long it took.
    async fn sent(size_bytes: usize, wait: Duration, thinking: Duration) -> (Result<(), Impatience>, Duration) {
        let (taken, left) = watch::channel(size_bytes);
        let began = Instant::now();
        let upload = async {
            for piece in 1.. {
                sleep(wait).await;
                taken.send_replace(size_bytes.saturating_sub(piece * 3_500));
                if *taken.borrow() == 0 {
                    break;
                }
            }
            sleep(thinking).await;
        };
        let outcome = keep(upload, left, size_bytes).await;
        (outcome, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_link_is_no_silent_one() {
        assert_eq!(sent(PHOTO_BYTES, seconds(1), seconds(5)).await, (Ok(()), seconds(95 + 5)));
        assert_eq!(sent(10_000_000, seconds(1), seconds(5)).await.0, Ok(()), "at 3.5 kB/s, 48 minutes");
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_takes_nothing_is_given_up() {
        assert_eq!(sent(PHOTO_BYTES, seconds(119), seconds(0)).await.0, Err(Impatience::TooLong));
        let (outcome, took) = sent(PHOTO_BYTES, seconds(121), seconds(0)).await;
        assert_eq!((outcome, took.as_secs()), (Err(Impatience::Silent), 120));
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_has_the_time_that_buffers_need_to_empty() {
        // A proxy or the system takes the whole photo at once and passes it on at 3.5 kB/s.
        assert_eq!(sent(PHOTO_BYTES, seconds(0), seconds(95)).await.0, Ok(()));
        let (outcome, took) = sent(PHOTO_BYTES, seconds(0), seconds(10_000)).await;
        assert_eq!((outcome, took.as_secs()), (Err(Impatience::NoAnswer), 60 + 330));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_not_wanted_leaves_the_wait_for_the_answer() {
        let (_, left) = in_pieces(vec![0; PHOTO_BYTES].into(), Arc::new(Limit::new(0)));
        let began = Instant::now();
        let outcome: Result<(), _> = keep(pending(), left, PHOTO_BYTES).await;
        assert_eq!((outcome, began.elapsed().as_secs()), (Err(Impatience::NoAnswer), 60 + 330));
    }

    #[tokio::test]
    async fn the_pieces_are_counted_as_the_connection_takes_them() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        // More than all buffers between two programs of one machine hold.
        let size_bytes = 32_000_000;
        let (body, left) = in_pieces(vec![7; size_bytes].into(), Arc::new(Limit::new(0)));
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 1_000_000];
            let mut read = stream.read(&mut bytes).await.unwrap();
            assert!(*left.borrow() > 0, "the server has read {read} bytes and all are said to have been taken");
            // Chunks have a size line of six bytes and two line ends.
            while !bytes[..read].ends_with(b"0\r\n\r\n") {
                read = stream.read(&mut bytes).await.unwrap();
            }
            assert_eq!(*left.borrow(), 0);
            stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        };
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let (response, ()) = tokio::join!(client.put(url).body(body).send(), server);
        assert_eq!(response.unwrap().status(), 201);
    }
}
