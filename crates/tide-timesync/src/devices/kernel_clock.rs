//! This machine's clock: `adjtimex(2)`. What each call says to the kernel is put together by functions that can be tested; the
//! kernel's side is `kernel/time/ntp.c` and `do_adjtimex` in `kernel/time/timekeeping.c`.

use std::io;

use libc::{
    ADJ_ESTERROR, ADJ_MAXERROR, ADJ_NANO, ADJ_OFFSET, ADJ_SETOFFSET, ADJ_STATUS, ADJ_TIMECONST, STA_DEL, STA_FREQHOLD,
    STA_INS, STA_NANO, STA_PLL, STA_RONLY, STA_UNSYNC, timex,
};
use rustix::time::{ClockId, Timespec, clock_gettime};
use tide_photo::clock_report::KERNEL_LIMIT_US;

use super::clock::{ClockError, KernelState, Reading, SLEW_TIME_CONSTANT, SystemClock};

/// Readings of which the closest counts. Ours: one of them is hardly ever interrupted.
const READINGS: usize = 5;

/// Largest slew that the kernel takes, in microseconds; it cuts off what is more (`MAXPHASE`).
const MAX_SLEW_US: u64 = 500_000;

/// The clock of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct KernelClock;

impl SystemClock for KernelClock {
    fn reading(&self) -> Reading {
        let now = clock_gettime;
        let readings =
            (0..READINGS).map(|_| paired(now(ClockId::Boottime), now(ClockId::Realtime), now(ClockId::Boottime)));
        // There is always a first.
        readings.min_by_key(|reading| reading.spread_us).unwrap_or_else(|| paired(ZERO, ZERO, ZERO))
    }

    fn kernel_state(&self) -> Result<KernelState, ClockError> {
        call(empty()).map(|answer| state_of(&answer)).map_err(ClockError::Ask)
    }

    fn step(&mut self, by_us: i64) -> Result<(), ClockError> {
        let stepped = to_step(by_us).and_then(call);
        stepped.map(drop).map_err(|source| ClockError::Step { by_us, source })
    }

    fn slew(&mut self, by_us: i64) -> Result<(), ClockError> {
        let slewed = call(empty()).and_then(|now| call(to_slew(by_us, now.status)?));
        slewed.map(drop).map_err(|source| ClockError::Slew { by_us, source })
    }

    fn vouch(&mut self, max_error_us: u64, est_error_us: u64) -> Result<(), ClockError> {
        let vouched = call(empty()).and_then(|now| call(to_vouch(max_error_us, est_error_us, now.status)));
        vouched.map(drop).map_err(|source| ClockError::Vouch { max_error_us, source })
    }

    fn disown(&mut self) -> Result<(), ClockError> {
        call(empty()).and_then(|now| call(to_disown(now.status))).map(drop).map_err(ClockError::Disown)
    }
}

const ZERO: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The clock was read between the two others: they stand for their middle.
fn paired(before: Timespec, real: Timespec, after: Timespec) -> Reading {
    let (before_us, after_us) = (micros(before).cast_unsigned(), micros(after).cast_unsigned());
    let between_us = after_us.saturating_sub(before_us);
    // One more, for what cutting off the nanoseconds may hide.
    Reading { real_us: micros(real), monotonic_us: before_us + between_us / 2, spread_us: between_us.div_ceil(2) + 1 }
}

fn micros(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000)
}

/// What the kernel answered.
fn state_of(answer: &timex) -> KernelState {
    let unit_ns = if answer.status & STA_NANO == 0 { 1_000 } else { 1 };
    let slewing_ns = i128::from(answer.offset) * unit_ns;
    // Away from zero: what is left is never understated.
    let whole_us = u64::try_from(slewing_ns.unsigned_abs().div_ceil(1_000)).unwrap_or(u64::MAX);
    let whole_us = i64::try_from(whole_us).unwrap_or(i64::MAX);
    KernelState {
        synchronised: answer.status & STA_UNSYNC == 0,
        max_error_us: u64::try_from(i128::from(answer.maxerror)).unwrap_or_default(),
        est_error_us: u64::try_from(i128::from(answer.esterror)).unwrap_or_default(),
        slewing_us: if slewing_ns < 0 { -whole_us } else { whole_us },
        time_constant: u32::try_from(i128::from(answer.constant)).unwrap_or_default(),
        // In 65,536ths of a part per million.
        frequency_ppb: i64::try_from(i128::from(answer.freq) * 1_000 / 65_536).unwrap_or_default(),
        status: answer.status,
    }
}

/// Adds to the clock within the kernel, so that no time passes between a reading and a setting. It sets `STA_UNSYNC` and the bound
/// to its limit, and ends a slew (`ntp_clear`): who vouches does so afterwards.
fn to_step(by_us: i64) -> io::Result<timex> {
    let mut order = timex { modes: ADJ_SETOFFSET, ..empty() };
    // The microseconds count upwards, also from a negative second.
    let (seconds, micros) = (i128::from(by_us).div_euclid(1_000_000), i128::from(by_us).rem_euclid(1_000_000));
    order.time.tv_sec = seconds.try_into().map_err(|_| too_much())?;
    order.time.tv_usec = micros.try_into().map_err(|_| too_much())?;
    Ok(order)
}

/// Hands the kernel's phase-locked loop an offset, and holds its frequency, so that what is left decays exponentially and shows.
/// Nanoseconds come first in the kernel's own order, and with them the time constant counts as it is given.
fn to_slew(by_us: i64, status: i32) -> io::Result<timex> {
    let by_ns = i32::try_from(by_us).ok().filter(|us| u64::from(us.unsigned_abs()) <= MAX_SLEW_US);
    let by_ns = by_ns.and_then(|us| us.checked_mul(1_000)).ok_or_else(too_much)?;
    let kept = status & (STA_UNSYNC | STA_INS | STA_DEL);
    Ok(timex {
        modes: ADJ_STATUS | ADJ_NANO | ADJ_TIMECONST | ADJ_OFFSET,
        status: kept | STA_PLL | STA_FREQHOLD,
        constant: libc::c_long::from(SLEW_TIME_CONSTANT.cast_signed()),
        offset: libc::c_long::from(by_ns),
        ..empty()
    })
}

/// The status goes back as it came, so that a slew goes on.
fn to_vouch(max_error_us: u64, est_error_us: u64, status: i32) -> timex {
    timex {
        modes: ADJ_STATUS | ADJ_MAXERROR | ADJ_ESTERROR,
        status: status & !STA_RONLY & !STA_UNSYNC,
        maxerror: error(max_error_us),
        esterror: error(est_error_us),
        ..empty()
    }
}

fn to_disown(status: i32) -> timex {
    let nobody = to_vouch(KERNEL_LIMIT_US, KERNEL_LIMIT_US, status);
    timex { status: nobody.status | STA_UNSYNC, ..nobody }
}

/// No more than the kernel's limit, at which it calls the clock unsynchronised a second later.
fn error(us: u64) -> libc::c_long {
    let us = i32::try_from(us.min(KERNEL_LIMIT_US)).unwrap_or(i32::MAX);
    libc::c_long::from(us)
}

fn too_much() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is more than the kernel takes")
}

/// Asks the kernel, or tells it what `modes` say.
fn call(mut order: timex) -> io::Result<timex> {
    // SAFETY: the pointer is to a whole `timex` that lives longer than the call, which reads it and fills it in.
    #[expect(unsafe_code, reason = "no maintained crate wraps adjtimex; see the SAFETY comments")]
    let state = unsafe { libc::adjtimex(&raw mut order) };
    if state < 0 { Err(io::Error::last_os_error()) } else { Ok(order) }
}

/// With `modes` 0 nothing is set.
fn empty() -> timex {
    // SAFETY: `timex` is made of integers only, for which zero is a value.
    #[expect(unsafe_code, reason = "no maintained crate wraps adjtimex; see the SAFETY comments")]
    unsafe {
        std::mem::zeroed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tv_sec: i64, tv_nsec: i64) -> Timespec {
        Timespec { tv_sec, tv_nsec }
    }

    #[test]
    fn the_clock_is_read_between_two_others() {
        let reading = paired(at(5, 100_999), at(1_000, 7_999), at(5, 104_000));
        assert_eq!(reading, Reading { real_us: 1_000_000_007, monotonic_us: 5_000_102, spread_us: 3 });
    }

    #[test]
    fn a_step_back_counts_its_microseconds_upwards() {
        for (by_us, seconds, micros) in [
            (1_500_000, 1, 500_000),
            (-1, -1, 999_999),
            (-2_000_000, -2, 0),
            (-2_303_596_800_000_001, -2_303_596_801, 999_999),
        ] {
            let order = to_step(by_us).unwrap();
            assert_eq!((order.time.tv_sec, order.time.tv_usec), (seconds, micros), "{by_us}");
            assert_eq!(order.modes, ADJ_SETOFFSET, "in microseconds, and nothing else");
        }
    }

    #[test]
    fn a_slew_holds_the_frequency_and_shows_what_is_left() {
        let order = to_slew(-128_000, STA_UNSYNC | STA_NANO | STA_INS).unwrap();
        assert_eq!((order.offset, order.constant), (-128_000_000, 6));
        assert_eq!(order.modes, ADJ_STATUS | ADJ_NANO | ADJ_TIMECONST | ADJ_OFFSET);
        assert_eq!(order.status, STA_UNSYNC | STA_INS | STA_PLL | STA_FREQHOLD);
        assert!(to_slew(500_000, 0).is_ok() && to_slew(500_001, 0).is_err() && to_slew(i64::MIN, 0).is_err());
    }

    #[test]
    fn vouching_leaves_a_slew_alone() {
        let slewing = STA_PLL | STA_FREQHOLD | STA_UNSYNC | STA_NANO;
        let order = to_vouch(20_000, 5_000, slewing);
        assert_eq!((order.maxerror, order.esterror, order.status), (20_000, 5_000, STA_PLL | STA_FREQHOLD));
        assert_eq!(order.modes, ADJ_STATUS | ADJ_MAXERROR | ADJ_ESTERROR);
        assert_eq!(to_vouch(u64::MAX, 0, 0).maxerror, 16_000_000);
        let order = to_disown(STA_PLL);
        assert_eq!((order.maxerror, order.status), (16_000_000, STA_PLL | STA_UNSYNC));
    }

    #[test]
    fn the_kernels_answer_in_both_units() {
        let answer =
            timex { status: STA_NANO | STA_PLL, offset: -1_001, maxerror: 9, constant: 6, freq: -65_536, ..empty() };
        let state = state_of(&answer);
        assert!(state.synchronised);
        assert_eq!((state.slewing_us, state.max_error_us, state.frequency_ppb), (-2, 9, -1_000));
        let answer = timex { status: STA_UNSYNC, offset: 1_001, maxerror: -1, ..empty() };
        let state = state_of(&answer);
        assert!(!state.synchronised);
        assert_eq!((state.slewing_us, state.max_error_us), (1_001, 0));
    }

    #[test]
    fn this_machines_clock_can_be_read() {
        let (first, second) = (KernelClock.reading(), KernelClock.reading());
        assert!(second.monotonic_us >= first.monotonic_us && first.real_us > 0);
        assert!(KernelClock.kernel_state().unwrap().max_error_us <= KERNEL_LIMIT_US);
    }
}
