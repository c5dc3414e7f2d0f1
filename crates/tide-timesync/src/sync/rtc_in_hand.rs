//! The battery-backed clock as a run finds it.

use super::Tools;
use crate::devices::rtc::{Rtc, RtcError};

/// The battery-backed clock, and what it showed at the beginning.
pub(super) struct RtcInHand {
    pub(super) name: String,
    pub(super) rtc: Option<Box<dyn Rtc>>,
    pub(super) shown: Option<Shown>,
    pub(super) error: Option<RtcError>,
    pub(super) temperature_c: Option<f32>,
    pub(super) battery_is_low: Option<bool>,
    pub(super) kernel_may_write_it: bool,
    pub(super) was_written: bool,
}

/// What it showed, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    /// In the middle of what it may have meant, in microseconds since 1970 UTC.
    pub(super) rtc_us: i64,
    pub(super) uncertainty_us: u64,
    pub(super) monotonic_us: u64,
}

impl Shown {
    pub(super) fn at_us(self, monotonic_us: u64) -> i64 {
        self.rtc_us + monotonic_us.cast_signed() - self.monotonic_us.cast_signed()
    }
}

impl RtcInHand {
    /// What it is known by from run to run: without the number that the kernel gave it this time.
    pub(super) fn key(&self) -> &str {
        self.name.split(" (").next().unwrap_or_default()
    }

    pub(super) fn read(rtc: Result<Box<dyn Rtc>, RtcError>, tools: &mut Tools) -> Self {
        let none = Self {
            name: "no battery-backed clock".to_owned(),
            rtc: None,
            shown: None,
            error: None,
            temperature_c: None,
            battery_is_low: None,
            kernel_may_write_it: false,
            was_written: false,
        };
        let mut rtc = match rtc {
            Ok(rtc) => rtc,
            Err(error) => return Self { error: Some(error), ..none },
        };
        let (name, kernel_may_write_it) = (rtc.name(), rtc.kernel_may_write_it());
        let reading = rtc.read();
        let monotonic_us = tools.clock.reading().monotonic_us;
        let temperature_c = rtc.temperature_c();
        let this = Self { name, rtc: Some(rtc), temperature_c, kernel_may_write_it, ..none };
        match reading {
            Err(error) => Self { error: Some(error), ..this },
            Ok(reading) => {
                let half_us = u64::try_from(reading.uncertainty.as_micros()).unwrap_or(u64::MAX) / 2;
                let shown = Shown {
                    rtc_us: reading.at.as_micros() + half_us.cast_signed(),
                    uncertainty_us: half_us + 1,
                    monotonic_us,
                };
                tools.journal.info(format_args!("{} shows {}", this.name, reading.at));
                Self { shown: Some(shown), battery_is_low: reading.battery_is_low, ..this }
            }
        }
    }
}
