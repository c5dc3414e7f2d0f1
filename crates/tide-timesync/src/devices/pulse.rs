//! The pulse per second that a receiver gives on a line of its own, time-stamped by the kernel (`/sys/class/pps`, RFC 2783).

use std::fs;
use std::path::PathBuf;

use super::boot_clock;
use crate::verdict::Pulse;

/// How late the kernel may stamp a pulse, in microseconds: 50. Ours, not measured on a Pi: for an
/// interrupt that has to wait for another.
const STAMPED_WITHIN_US: u64 = 50;

/// A pulse older than this is not told any more, in microseconds: the clock may have been set since.
const OLDEST_US: u64 = 1_500_000;

/// The kernel's account of one line.
#[derive(Debug)]
pub(super) struct PulseLine {
    assert: PathBuf,
    last: Option<u64>,
}

impl PulseLine {
    /// The line that this folder tells of, `/sys/class/pps/pps0`; there need not be one.
    pub(super) fn new(folder: &std::path::Path) -> Self {
        Self { assert: folder.join("assert"), last: None }
    }

    /// The last pulse, if it is new.
    pub(super) fn new_pulse(&mut self) -> Option<Pulse> {
        let (clock_us, sequence) = parse(&fs::read_to_string(&self.assert).ok()?)?;
        let since_boot_us = clock_us - boot_clock::clock_less_monotonic_us();
        let monotonic_us = u64::try_from(since_boot_us).ok()?;
        // The first one may be of any time before.
        let is_new = self.last.replace(sequence).is_some_and(|last| last != sequence);
        // One of the time to come was stamped by a clock that has been set back since.
        let age_us = boot_clock::monotonic_us().checked_sub(monotonic_us);
        let is_recent = age_us.is_some_and(|age_us| age_us < OLDEST_US);
        (is_new && is_recent).then_some(Pulse { monotonic_us, uncertainty_us: STAMPED_WITHIN_US })
    }
}

/// `1500000000.123456789#42`: when the clock showed what, and the pulse's number; all zero before the first.
fn parse(text: &str) -> Option<(i64, u64)> {
    let (time, sequence) = text.trim().split_once('#')?;
    let (seconds, nanoseconds) = time.split_once('.')?;
    let seconds: i64 = seconds.parse().ok()?;
    let microseconds = nanoseconds.parse::<i64>().ok()? / 1_000;
    let sequence = sequence.parse().ok()?;
    (seconds > 0).then_some((seconds.checked_mul(1_000_000)?.checked_add(microseconds)?, sequence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read() {
        assert_eq!(parse("1500000000.123456789#42\n"), Some((1_500_000_000_123_456, 42)));
        for none in ["0.000000000#0", "", "1.2", "1#2", "x.1#2", "99999999999999999999.0#1"] {
            assert_eq!(parse(none), None, "{none}");
        }
    }

    #[test]
    fn a_pulse_is_told_once_and_while_it_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let mut line = PulseLine::new(folder.path());
        assert_eq!(line.new_pulse(), None);
        let now_us = boot_clock::clock_less_monotonic_us() + boot_clock::monotonic_us().cast_signed();
        let write = |clock_us: i64, number: u64| {
            let text = format!("{}.{:09}#{number}\n", clock_us / 1_000_000, clock_us % 1_000_000 * 1_000);
            fs::write(folder.path().join("assert"), text).unwrap();
        };
        write(now_us - 100_000, 6);
        assert_eq!(line.new_pulse(), None, "nobody knows when it came");
        write(now_us - 100_000, 7);
        assert!(line.new_pulse().is_some());
        assert_eq!(line.new_pulse(), None, "the same again");
        write(now_us - 60_000_000, 8);
        assert_eq!(line.new_pulse(), None, "a minute ago");
        write(now_us + 60_000_000, 9);
        assert_eq!(line.new_pulse(), None, "in a minute");
    }
}
