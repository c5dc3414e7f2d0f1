//! How fast an RTC runs: what it shows some time after it was set, against the true time.

use std::time::Duration;

use tide_photo::CapturedAt;

/// An RTC that was set right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetRight {
    /// The true time when it was set to just that.
    pub at: CapturedAt,
    /// How far off it may have been: the clock it was set from, and how well the second was met.
    pub uncertainty: Duration,
}

/// An RTC compared with the true time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// The true time of the reading.
    pub at: CapturedAt,
    /// What the RTC showed then.
    pub shown: CapturedAt,
    /// How far off the two may be from each other: the true time's uncertainty and the reading's.
    pub uncertainty: Duration,
}

/// How much an RTC gains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// Parts per million (microseconds in a second); negative if it loses.
    pub ppm: f64,
    /// By how much that may be wrong.
    pub uncertainty_ppm: f64,
}

/// Why no drift can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoDrift {
    /// The kernel has set the RTC since.
    #[error("the kernel sets this RTC itself every 11 minutes while the clock is kept")]
    KernelWrites,
    /// Over a short span the uncertainties are all there is.
    #[error("the RTC was set less than an hour ago")]
    TooSoon,
    /// The reading is from before the setting: the clock was not right at one of them.
    #[error("the clock has gone back since the RTC was set")]
    WentBack,
    /// No crystal is as wrong as that.
    #[error("the RTC is further off than a crystal can be: it was set by somebody else, or stood still")]
    SetByOthers,
}

/// Shorter spans are refused. Ours: 10 ms over an hour are 3 ppm already, and a DS3231 promises 2.
const SHORTEST: Duration = Duration::from_secs(3_600);

/// What no oscillator is off by. Ours: a watch crystal loses some 150 ppm at -40 degrees Celsius; this leaves room for a bad one.
const LARGEST_PPM: f64 = 1_000.0;

/// The RTC's drift between its setting and a later reading. `kernel_may_write_it` is whether the kernel may have set it since.
///
/// # Errors
/// If the two say nothing of the drift.
pub fn drift(set: SetRight, compared: Compared, kernel_may_write_it: bool) -> Result<Drift, NoDrift> {
    if kernel_may_write_it {
        return Err(NoDrift::KernelWrites);
    }
    let elapsed_us = compared.at.as_micros() - set.at.as_micros();
    let elapsed = Duration::from_micros(u64::try_from(elapsed_us).map_err(|_| NoDrift::WentBack)?);
    if elapsed < SHORTEST {
        return Err(NoDrift::TooSoon);
    }
    let gained_us = compared.shown.as_micros() - compared.at.as_micros();
    // A century of microseconds is exact in an f64.
    let per_million = |us: f64| us / elapsed.as_secs_f64();
    let ppm = per_million(gained_us as f64);
    let uncertainty_ppm = per_million((set.uncertainty + compared.uncertainty).as_secs_f64() * 1e6);
    if ppm.abs() - uncertainty_ppm > LARGEST_PPM {
        return Err(NoDrift::SetByOthers);
    }
    Ok(Drift { ppm, uncertainty_ppm })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET_US: i64 = 1_780_000_000_000_000;
    const HOUR_US: i64 = 3_600_000_000;
    const DAY_US: i64 = 24 * HOUR_US;

    fn at(us: i64) -> CapturedAt {
        CapturedAt::from_micros(us).unwrap()
    }

    /// Set right to 5 ms, read to 5 ms: this long after, and this much ahead.
    fn drifted(elapsed_us: i64, ahead_us: i64) -> Result<Drift, NoDrift> {
        let set = SetRight { at: at(SET_US), uncertainty: Duration::from_millis(5) };
        let now_us = SET_US + elapsed_us;
        let compared = Compared { at: at(now_us), shown: at(now_us + ahead_us), uncertainty: Duration::from_millis(5) };
        drift(set, compared, false)
    }

    #[test]
    fn an_rtc_gains_or_loses() {
        let check = |elapsed_us: i64, ahead_us: i64, ppm: f64, uncertainty_ppm: f64| {
            let drift = drifted(elapsed_us, ahead_us).unwrap();
            assert!((drift.ppm - ppm).abs() < 1e-9, "{drift:?}");
            assert!((drift.uncertainty_ppm - uncertainty_ppm).abs() < 1e-9, "{drift:?}");
        };
        check(HOUR_US, 0, 0.0, 10_000.0 / 3_600.0);
        check(10 * DAY_US, 1_728_000, 2.0, 10_000.0 / 864_000.0);
        check(DAY_US, -1_728_000, -20.0, 10_000.0 / 86_400.0);
    }

    #[test]
    fn what_says_nothing_of_the_drift_is_refused() {
        assert_eq!(drifted(HOUR_US - 1, 0), Err(NoDrift::TooSoon));
        assert_eq!(drifted(-1, 0), Err(NoDrift::WentBack));
        assert_eq!(drifted(HOUR_US, HOUR_US), Err(NoDrift::SetByOthers), "a time zone");
        assert_eq!(drifted(10 * DAY_US, -10 * DAY_US), Err(NoDrift::SetByOthers), "it stood still");
        let set = SetRight { at: at(SET_US), uncertainty: Duration::ZERO };
        let same = Compared { at: at(SET_US + DAY_US), shown: at(SET_US + DAY_US), uncertainty: Duration::ZERO };
        assert_eq!(drift(set, same, true), Err(NoDrift::KernelWrites));
    }
}
