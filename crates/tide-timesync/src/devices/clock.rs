//! What the program asks of the kernel's clock, and does to it.

use std::io;
use std::path::PathBuf;

use tide_photo::clock_report;

/// The time constant of a slew: each second takes away a 256th (a quarter over two to the power of 6) of what is left. Ours: the
/// smallest at which the largest slew, [`crate::steering::STEP_ABOVE_US`], begins at no more than 500 parts per million, which is
/// as fast as the kernel's own `adjtime` slews. After 4.3 minutes 37 % is left, after 21 minutes 1 ms of 128, after 40 minutes 10 us.
pub const SLEW_TIME_CONSTANT: u32 = 6;

/// The kernel's clock. Where others may keep it too, whoever calls has asked them first ([`crate::keeper`]).
pub trait SystemClock {
    /// What the clock and the time since the boot show at one and the same moment.
    fn reading(&self) -> Reading;

    /// How the kernel says that its clock is kept.
    ///
    /// # Errors
    /// If it does not say.
    fn kernel_state(&self) -> Result<KernelState, ClockError>;

    /// Sets the clock forward, or back, in one go. Nobody vouches for it afterwards, and nothing is left to slew.
    ///
    /// # Errors
    /// If the clock was not set: mostly for lack of the right (`CAP_SYS_TIME`).
    fn step(&mut self, by_us: i64) -> Result<(), ClockError>;

    /// Lets the clock run a little faster, or slower, until it has gained this much; in place of what was left of an earlier slew.
    /// How much is left, [`KernelState::slewing_us`] shows.
    ///
    /// # Errors
    /// If it cannot be slewed, for lack of the right or because it is too much.
    fn slew(&mut self, by_us: i64) -> Result<(), ClockError>;

    /// Tells the kernel that the clock is kept, and how far it may be off, apart from what is being slewed. The kernel then lets
    /// the bound grow; and where it is built for that, it copies the time to its battery-backed clock every 11 minutes.
    ///
    /// # Errors
    /// If the kernel was not told.
    fn vouch(&mut self, max_error_us: u64, est_error_us: u64) -> Result<(), ClockError>;

    /// Tells the kernel that nobody knows how far the clock is off.
    ///
    /// # Errors
    /// If the kernel was not told.
    fn disown(&mut self) -> Result<(), ClockError>;
}

/// Two clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Microseconds since 1970 UTC that the clock shows.
    pub real_us: i64,
    /// Microseconds since the boot (CLOCK_BOOTTIME), which no step changes.
    pub monotonic_us: u64,
    /// How far the two moments may lie apart, in microseconds.
    pub spread_us: u64,
}

impl Reading {
    /// What only a step changes: where on the clock the boot lies, in microseconds since 1970 UTC.
    pub fn boot_at_us(&self) -> i64 {
        self.real_us.saturating_sub_unsigned(self.monotonic_us)
    }
}

/// The kernel's account of its clock: `adjtimex(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelState {
    /// Whether somebody vouches for the clock (`STA_UNSYNC` is not set).
    pub synchronised: bool,
    /// The largest error, in microseconds; means something while it is below [`clock_report::KERNEL_LIMIT_US`].
    pub max_error_us: u64,
    /// The probable error, in microseconds.
    pub est_error_us: u64,
    /// What is left to slew, in microseconds; positive where the clock is behind.
    pub slewing_us: i64,
    /// The time constant of that slew.
    pub time_constant: u32,
    /// By how much the kernel has been told to correct its oscillator, in parts per billion.
    pub frequency_ppb: i64,
    /// All of `STA_*`.
    pub status: i32,
}

impl KernelState {
    /// How far the clock may be off, in microseconds: the kernel's bound and what is still being slewed.
    pub fn bound_us(&self) -> u64 {
        self.max_error_us.saturating_add(self.slewing_bound_us())
    }

    /// The largest part of that which is still being slewed, in microseconds.
    pub fn slewing_bound_us(&self) -> u64 {
        clock_report::slewing_us(self.slewing_us.unsigned_abs(), self.time_constant)
    }

    /// How far this second's slew moves the clock yet, at most, whatever is asked of it from now on.
    pub fn in_flight_us(&self) -> u64 {
        self.slewing_bound_us() - self.slewing_us.unsigned_abs()
    }
}

/// The clock did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The kernel does not say how its clock is kept.
    #[error("failed to ask the kernel how its clock is kept")]
    Ask(#[source] io::Error),
    /// It was not set.
    #[error("failed to step the system clock by {by_us} us")]
    Step {
        /// By how much it should have been.
        by_us: i64,
        /// Why.
        source: io::Error,
    },
    /// It cannot be slewed.
    #[error("failed to slew the system clock by {by_us} us")]
    Slew {
        /// By how much it should have been.
        by_us: i64,
        /// Why.
        source: io::Error,
    },
    /// The kernel does not take a bound.
    #[error("failed to tell the kernel that its clock is within {max_error_us} us")]
    Vouch {
        /// The bound.
        max_error_us: u64,
        /// Why.
        source: io::Error,
    },
    /// The kernel does not take that there is no bound.
    #[error("failed to tell the kernel that nobody keeps its clock")]
    Disown(#[source] io::Error),
    /// The rehearsed clock's file.
    #[error("failed to keep the rehearsed clock in {path}")]
    Rehearsal {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_clock_is_off_by_its_bound_and_by_what_is_being_slewed() {
        let state = KernelState {
            synchronised: true,
            max_error_us: 20_000,
            est_error_us: 5_000,
            slewing_us: -127_500,
            time_constant: SLEW_TIME_CONSTANT,
            frequency_ppb: 0,
            status: 0,
        };
        assert_eq!((state.bound_us(), state.in_flight_us()), (148_000, 500));
    }

    #[test]
    fn a_step_moves_where_the_boot_lies_on_the_clock() {
        let reading = Reading { real_us: 1_000_000, monotonic_us: 5_000_000, spread_us: 1 };
        assert_eq!(reading.boot_at_us(), -4_000_000);
    }
}
