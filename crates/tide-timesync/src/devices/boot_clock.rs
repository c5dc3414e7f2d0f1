//! The kernel's clock that is never set.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Microseconds since the boot (CLOCK_BOOTTIME).
pub fn monotonic_us() -> u64 {
    micros(ClockId::Boottime).unsigned_abs()
}

/// Since the boot.
pub(super) fn since_boot() -> Duration {
    Duration::from_micros(monotonic_us())
}

/// What the kernel's clock shows now less the time since the boot, in microseconds: what turns a time stamp of the kernel's, or of
/// gpsd's, into a time since the boot.
pub(super) fn clock_less_monotonic_us() -> i64 {
    micros(ClockId::Realtime) - micros(ClockId::Boottime)
}

fn micros(clock: ClockId) -> i64 {
    let now = clock_gettime(clock);
    now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1_000)
}
