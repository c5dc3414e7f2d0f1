//! How many bytes of photos may leave per second, over all uploads.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// What may leave at once after a pause, as time at the full rate.
const BURST: Duration = Duration::from_secs(1);

/// A bucket of bytes that fills at a constant rate. Whoever takes more than is there waits until it would have been there, and
/// those who come later wait behind: every upload gets its turn, piece by piece.
#[derive(Debug)]
struct Bucket {
    bytes_per_s: u64,
    /// When the bucket will be empty neither way: before that, bytes are owed.
    even_at: Duration,
}

impl Bucket {
    /// How long to wait at `now` before sending so many bytes.
    fn take(&mut self, now: Duration, bytes: usize) -> Duration {
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_s as f64);
        self.even_at = self.even_at.max(now.saturating_sub(BURST)) + takes;
        self.even_at.saturating_sub(now)
    }
}

/// The limit that all uploads of a station share.
#[derive(Debug)]
pub(super) struct Limit {
    began: Instant,
    bucket: Option<Mutex<Bucket>>,
}

impl Limit {
    /// So many bytes per second; 0 for as many as the link takes.
    pub(super) fn new(bytes_per_s: u64) -> Self {
        let bucket = (bytes_per_s > 0).then(|| Mutex::new(Bucket { bytes_per_s, even_at: Duration::ZERO }));
        Self { began: Instant::now(), bucket }
    }

    /// Returns when so many bytes may leave.
    pub(super) async fn wait_for(&self, bytes: usize) {
        let Some(bucket) = &self.bucket else { return };
        let wait = bucket.lock().unwrap_or_else(PoisonError::into_inner).take(self.began.elapsed(), bytes);
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_rate_holds_over_any_time_after_the_first_second() {
        let mut bucket = Bucket { bytes_per_s: 10_000, even_at: Duration::ZERO };
        let mut now = Duration::from_secs(100);
        for _ in 0..50 {
            now += bucket.take(now, 4_000);
        }
        assert_eq!(now, Duration::from_secs(100 + 20 - 1), "200,000 bytes, of which a second's worth left at once");
        let after_a_day = now + Duration::from_secs(86_400);
        assert_eq!(bucket.take(after_a_day, 30_000), Duration::from_secs(2), "what was not used yesterday is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn uploads_share_the_limit_piece_by_piece() {
        let limit = Arc::new(Limit::new(8_192));
        let upload = |pieces: u64| {
            let limit = Arc::clone(&limit);
            tokio::spawn(async move {
                for _ in 0..pieces {
                    limit.wait_for(4_096).await;
                }
                limit.began.elapsed().as_secs_f64()
            })
        };
        let (long, short) = tokio::join!(upload(30), upload(10));
        let (long, short) = (long.unwrap(), short.unwrap());
        assert!((19.0..=20.1).contains(&long), "{long} s for 40 pieces at two per second");
        assert!((9.0..=10.1).contains(&short), "{short} s: it need not wait for the long one");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_waits() {
        let limit = Limit::new(0);
        limit.wait_for(1_000_000_000).await;
        assert_eq!(limit.began.elapsed(), Duration::ZERO);
    }
}
