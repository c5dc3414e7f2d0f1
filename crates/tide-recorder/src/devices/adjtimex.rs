//! How well the kernel's clock is kept: `adjtimex(2)`.
//!
//! Whoever disciplines the clock (chrony, timesyncd, ntpd) tells the kernel the largest error; the kernel lets it grow by 500
//! parts per million while nobody does, and calls the clock unsynchronised when it reaches 16 s.
//!
//! systemd-timesyncd, which Raspberry Pi OS has, claims an error of 0 at each poll, while the kernel still slews away an offset
//! of up to 0.4 s that it has just been given. So what is left of the offset counts too.

use tide_photo::ClockQuality;
#[cfg(target_os = "linux")]
use tide_photo::ClockSource;

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
    judge(state, &timex)
}

/// Other systems keep no account of their clock's error.
#[cfg(not(target_os = "linux"))]
pub(super) fn clock_quality() -> ClockQuality {
    ClockQuality::unsynchronised()
}

/// `STA_UNSYNC` of `adjtimex(2)`.
#[cfg(target_os = "linux")]
const STA_UNSYNC: i32 = 0x0040;

/// `STA_NANO` of `adjtimex(2)`: the offset is in nanoseconds, else in microseconds.
#[cfg(target_os = "linux")]
const STA_NANO: i32 = 0x2000;

/// The least error ever claimed, in milliseconds. Our choice: it is the manifest's unit, no path over a network is known to be
/// more symmetric than that, and 0 would claim a perfect clock.
#[cfg(target_os = "linux")]
const FLOOR_MS: u32 = 1;

/// What the call's result and its answer mean.
#[cfg(target_os = "linux")]
fn judge(state: i32, timex: &libc::timex) -> ClockQuality {
    // STA_UNSYNC decides alone: TIME_ERROR may also mean a missing pulse per second, and -1 that the call failed.
    if state < 0 || timex.status & STA_UNSYNC != 0 {
        return ClockQuality::unsynchronised();
    }
    let offset = timex.offset.unsigned_abs();
    let offset_us = if timex.status & STA_NANO != 0 { offset.div_ceil(1_000) } else { offset };
    let error_us = timex.maxerror.max(0).unsigned_abs().saturating_add(offset_us);
    let uncertainty_ms = u32::try_from(error_us.div_ceil(1_000)).unwrap_or(u32::MAX).max(FLOOR_MS);
    // Somebody keeps the clock; which network or receiver that has the time from, the kernel does not know. `ntp` says so.
    ClockQuality::synchronised(ClockSource::Ntp, uncertainty_ms).unwrap_or_else(ClockQuality::unsynchronised)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    /// `TIME_ERROR` of `adjtimex(2)`: the clock is not synchronised.
    const TIME_ERROR: i32 = 5;

    /// The kernel's answer: status, largest error and offset.
    fn judged(state: i32, status: i32, maxerror_us: libc::c_long, offset: libc::c_long) -> ClockQuality {
        // SAFETY: `timex` is made of integers only, for which zero is a value.
        #[expect(unsafe_code, reason = "as in `clock_quality`")]
        let timex: libc::timex = unsafe { std::mem::zeroed() };
        judge(state, &libc::timex { status, maxerror: maxerror_us, offset, ..timex })
    }

    fn ntp(ms: u32) -> ClockQuality {
        ClockQuality::synchronised(ClockSource::Ntp, ms).unwrap()
    }

    #[test]
    fn the_bound_counts_only_while_somebody_keeps_the_clock() {
        assert_eq!(judged(0, 0x2001, 12_345, 0), ntp(13), "rounded up, never down");
        assert_eq!(judged(TIME_ERROR, 0x0040, 16_000_000, 0), ClockQuality::unsynchronised());
        assert_eq!(judged(TIME_ERROR, 0x2001, 500, 0), ntp(1), "no pulse per second, but synchronised");
        assert_eq!(judged(-1, 0, 0, 0), ClockQuality::unsynchronised());
    }

    #[test]
    fn an_offset_that_is_still_being_slewed_counts_either_way() {
        assert_eq!(judged(0, 0x2001, 0, 399_999_001), ntp(400), "systemd-timesyncd after a poll, in nanoseconds");
        assert_eq!(judged(0, 0x2001, 250, -399_000_000), ntp(400));
        assert_eq!(judged(0, 0x0001, 0, -2_500), ntp(3), "in microseconds");
        assert_eq!(judged(0, 0x0001, libc::c_long::MAX, libc::c_long::MIN), ntp(u32::MAX));
    }

    #[test]
    fn no_clock_is_perfect() {
        assert_eq!(judged(0, 0x2001, 0, 0), ntp(FLOOR_MS));
        assert_eq!(judged(0, 0x2001, -1, 0), ntp(FLOOR_MS));
    }
}
