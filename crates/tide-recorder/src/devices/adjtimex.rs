//! How well the kernel's clock is kept: `adjtimex(2)`.
//!
//! Whoever disciplines the clock (chrony, timesyncd, ntpd) tells the kernel the largest error; the kernel lets it grow by 500
//! parts per million while nobody does, and calls the clock unsynchronised when it reaches 16 s.
//!
//! systemd-timesyncd, which Raspberry Pi OS has, claims an error of 0 at each poll, while the kernel still slews away an offset
//! of up to 0.4 s that it has just been given. So what is left of the offset counts too.

#[cfg(target_os = "linux")]
use tide_photo::clock_report;

use crate::clock_quality::KernelBound;

/// What the kernel says at this moment; none while nobody vouches for its clock.
#[cfg(target_os = "linux")]
pub(super) fn bound() -> Option<KernelBound> {
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
pub(super) fn bound() -> Option<KernelBound> {
    None
}

/// `STA_UNSYNC` of `adjtimex(2)`.
#[cfg(target_os = "linux")]
const STA_UNSYNC: i32 = 0x0040;

/// `STA_NANO` of `adjtimex(2)`: the offset is in nanoseconds, else in microseconds.
#[cfg(target_os = "linux")]
const STA_NANO: i32 = 0x2000;

/// What the call's result and its answer mean.
#[cfg(target_os = "linux")]
fn judge(state: i32, timex: &libc::timex) -> Option<KernelBound> {
    // STA_UNSYNC decides alone: TIME_ERROR may also mean a missing pulse per second, and -1 that the call failed.
    if state < 0 || timex.status & STA_UNSYNC != 0 {
        return None;
    }
    let offset = u64::try_from(i128::from(timex.offset).unsigned_abs()).unwrap_or(u64::MAX);
    let offset_us = if timex.status & STA_NANO != 0 { offset.div_ceil(1_000) } else { offset };
    let time_constant = u32::try_from(i128::from(timex.constant)).unwrap_or_default();
    Some(KernelBound {
        max_error_us: u64::try_from(i128::from(timex.maxerror)).unwrap_or_default(),
        slewing_us: clock_report::slewing_us(offset_us, time_constant),
    })
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    /// `TIME_ERROR` of `adjtimex(2)`: the clock is not synchronised.
    const TIME_ERROR: i32 = 5;

    /// The kernel's largest error, and what it slews, from its answer: status, largest error and offset.
    fn judged(state: i32, status: i32, maxerror_us: libc::c_long, offset: libc::c_long) -> Option<(u64, u64)> {
        // SAFETY: `timex` is made of integers only, for which zero is a value.
        #[expect(unsafe_code, reason = "as in `bound`")]
        let timex: libc::timex = unsafe { std::mem::zeroed() };
        let bound = judge(state, &libc::timex { status, maxerror: maxerror_us, offset, constant: 6, ..timex });
        bound.map(|bound| (bound.max_error_us, bound.slewing_us))
    }

    #[test]
    fn the_bound_counts_only_while_somebody_keeps_the_clock() {
        assert_eq!(judged(0, 0x2001, 12_345, 0), Some((12_345, 0)));
        assert_eq!(judged(TIME_ERROR, 0x0040, 16_000_000, 0), None);
        assert_eq!(judged(TIME_ERROR, 0x2001, 500, 0), Some((500, 0)), "no pulse per second, but synchronised");
        assert_eq!(judged(-1, 0, 0, 0), None);
        assert_eq!(judged(0, 0x2001, -1, 0), Some((0, 0)));
    }

    #[test]
    fn an_offset_that_is_still_being_slewed_counts_either_way() {
        // With the 255th part that the kernel has taken off, but brings about in this second.
        assert_eq!(judged(0, 0x2001, 0, 254_999_001), Some((0, 256_000)), "in nanoseconds");
        assert_eq!(judged(0, 0x2001, 250, -255_000_000), Some((250, 256_000)));
        assert_eq!(judged(0, 0x0001, 0, -2_550), Some((0, 2_560)), "in microseconds");
        assert!(judged(0, 0x0001, libc::c_long::MAX, libc::c_long::MIN).is_some());
    }
}
