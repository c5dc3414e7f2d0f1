//! How well the kernel's clock is kept: `adjtimex(2)`.
//!
//! Whoever disciplines the clock (chrony, timesyncd, ntpd) tells the kernel the largest error; the kernel lets it grow by 500
//! parts per million while nobody does, and calls the clock unsynchronised when it reaches 16 s.

use tide_photo::{ClockQuality, ClockSource};

/// What the kernel says at this moment.
#[cfg(target_os = "linux")]
pub(super) fn clock_quality() -> ClockQuality {
    // SAFETY: `timex` is made of integers only, for which zero is a value.
    #[expect(unsafe_code, reason = "no maintained crate wraps adjtimex; see the SAFETY comments")]
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // With `modes` 0 nothing is set.
    timex.modes = 0;
    // SAFETY: the pointer is to a whole `timex` that lives longer than the call, which only fills it in.
    #[expect(unsafe_code, reason = "no maintained crate wraps adjtimex; see the SAFETY comments")]
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    judge(state, timex.status, timex.maxerror)
}

/// Other systems keep no account of their clock's error.
#[cfg(not(target_os = "linux"))]
pub(super) fn clock_quality() -> ClockQuality {
    ClockQuality::unsynchronised()
}

/// `TIME_ERROR` of `adjtimex(2)`: the clock is not synchronised.
#[cfg(test)]
const TIME_ERROR: i32 = 5;

/// `STA_UNSYNC` of `adjtimex(2)`.
const STA_UNSYNC: i32 = 0x0040;

/// What the call's result, its status bits and its `maxerror` (microseconds) mean.
fn judge(state: i32, status: i32, maxerror_us: libc::c_long) -> ClockQuality {
    // STA_UNSYNC decides alone: TIME_ERROR may also mean a missing pulse per second, and -1 that the call failed.
    let unsynchronised = state < 0 || status & STA_UNSYNC != 0;
    let uncertainty_ms = u32::try_from(maxerror_us.max(0)).unwrap_or(u32::MAX).div_ceil(1_000);
    // Which network or receiver the time came from, the kernel does not know.
    ClockQuality::synchronised(ClockSource::Ntp, uncertainty_ms)
        .filter(|_| !unsynchronised)
        .unwrap_or_else(ClockQuality::unsynchronised)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_counts_only_while_somebody_keeps_the_clock() {
        let ntp = |ms| ClockQuality::synchronised(ClockSource::Ntp, ms).unwrap();
        assert_eq!(judge(0, 0x2001, 12_345), ntp(13), "rounded up, never down");
        assert_eq!(judge(0, 0x2001, 0), ntp(0));
        assert_eq!(judge(TIME_ERROR, 0x0040, 16_000_000), ClockQuality::unsynchronised());
        assert_eq!(judge(TIME_ERROR, 0x2001, 500), ntp(1), "no pulse per second, but synchronised");
        assert_eq!(judge(-1, 0, 0), ClockQuality::unsynchronised());
    }
}
