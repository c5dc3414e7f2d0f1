//! The battery-backed clock (RTC), as values only: what its registers mean, when to write it, and how fast it runs.

pub mod chip;
pub mod drift;
pub mod second;

use std::time::Duration;

use tide_photo::CapturedAt;

/// What an RTC showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtcReading {
    /// The whole second that it showed.
    pub at: CapturedAt,
    /// That second had begun at most this long before the reading was handed over, so that the RTC's time was then between `at`
    /// and `at` plus this.
    pub uncertainty: Duration,
    /// Whether its battery runs low; `None` where the chip or its driver does not tell.
    pub battery_is_low: Option<bool>,
}
