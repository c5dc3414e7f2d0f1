//! How slowly a body may come. The slowest link that a station has carries some hundred bytes in a second; whoever sends less
//! only holds a connection.

use std::time::Duration;

use tokio::time::Instant;

/// Silence allowed between two pieces of a body.
const SILENCE: Duration = Duration::from_secs(30);

/// Bytes in a second, on average, once [`SILENCE`] has passed.
const SLOWEST_BYTES_PER_S: u64 = 256;

/// Watches one body.
#[derive(Debug)]
pub struct Pace {
    began: Instant,
    bytes: u64,
}

impl Pace {
    /// A body begins now.
    pub fn begin() -> Self {
        Self { began: Instant::now(), bytes: 0 }
    }

    /// Some of it has come.
    pub fn came(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// When the next piece must have come.
    pub fn deadline(&self) -> Instant {
        self.began + allowed(self.bytes, self.began.elapsed())
    }
}

/// Time from the beginning at which the next piece is due, if `bytes` have come by `elapsed`.
fn allowed(bytes: u64, elapsed: Duration) -> Duration {
    let by_average = SILENCE + Duration::from_secs(bytes / SLOWEST_BYTES_PER_S);
    by_average.min(elapsed + SILENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_and_a_trickle_both_end() {
        let seconds = Duration::from_secs;
        assert_eq!(allowed(0, seconds(0)), SILENCE);
        assert_eq!(allowed(10_000_000, seconds(100)), seconds(130), "a good link may pause");
        assert_eq!(allowed(10, seconds(29)), SILENCE, "a byte now and then is too little");
        assert_eq!(allowed(256 * 60, seconds(80)), seconds(90), "256 bytes in a second are enough");
    }
}
