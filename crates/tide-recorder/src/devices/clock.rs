//! What the recorder asks of the station's clock, and the kernel's answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::time::{ClockId, clock_gettime};
use tide_photo::status::GpsStatus;
use tide_photo::{CapturedAt, ClockQuality};

use super::timesync_report;
use crate::clock_quality::{self, Heard, Moment};
use crate::config::Position;

/// The station's clock.
pub trait Clock: Send + Sync {
    /// The time that the clock shows.
    fn now(&self) -> CapturedAt;

    /// How surely it shows the time at this moment.
    fn quality(&self) -> ClockQuality;

    /// Microseconds since the station was switched on, also while it slept. Never set, never stepped.
    fn monotonic_us(&self) -> u64;

    /// A name for the time since the station was switched on.
    fn boot_id(&self) -> &str;

    /// How the GPS receiver is, if somebody reads one and reports it.
    fn receiver(&self) -> Option<GpsStatus> {
        None
    }

    /// Where a GPS receiver said a short time ago that the station is, if there is one.
    fn received_position(&self) -> Option<Position> {
        None
    }
}

/// The kernel's clock, whose error the kernel itself keeps account of. Where its time came from is known to whoever set it, who
/// may have written a report.
pub struct KernelClock {
    boot_id: String,
    report: PathBuf,
}

impl KernelClock {
    /// The clock of this machine, and where a report about it may be.
    pub fn new(report: &Path) -> Self {
        // Absent outside Linux, where only demos run.
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { boot_id: boot_id.trim().to_owned(), report: report.to_owned() }
    }
}

impl KernelClock {
    /// Both clocks, read as closely together as this machine does.
    fn moment(&self) -> Moment {
        let (before_us, clock_us, after_us) = (self.monotonic_us(), self.now().as_micros(), self.monotonic_us());
        let boot_at_us = clock_us.saturating_sub_unsigned(before_us.midpoint(after_us));
        Moment { monotonic_us: after_us, boot_at_us, spread_us: after_us.saturating_sub(before_us) }
    }
}

impl Clock for KernelClock {
    fn now(&self) -> CapturedAt {
        // Through the C library, as TLS asks it: a test may put another clock in its place.
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_1970.as_micros()).ok().and_then(CapturedAt::from_micros).unwrap_or(CapturedAt::EPOCH)
    }

    fn quality(&self) -> ClockQuality {
        let report = timesync_report::read(&self.report);
        let heard = report.as_ref().and_then(|report| Heard::new(report, &self.boot_id, self.moment()));
        clock_quality::judge(super::adjtimex::bound(), heard)
    }

    fn monotonic_us(&self) -> u64 {
        #[cfg(target_os = "linux")]
        let clock = ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        let clock = ClockId::Monotonic;
        let now = clock_gettime(clock);
        u64::try_from(now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1_000)).unwrap_or_default()
    }

    fn boot_id(&self) -> &str {
        &self.boot_id
    }

    fn receiver(&self) -> Option<GpsStatus> {
        let report = timesync_report::read(&self.report).filter(|report| report.boot_id == self.boot_id)?;
        report.gps.map(|gps| GpsStatus { mode: gps.mode, satellites: gps.satellites, fix_at: gps.fix_at })
    }

    fn received_position(&self) -> Option<Position> {
        let report = timesync_report::read(&self.report)?;
        clock_quality::position(Heard::new(&report, &self.boot_id, self.moment())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers() {
        let clock = KernelClock::new(Path::new("/nowhere"));
        let (earlier, later) = (clock.monotonic_us(), clock.monotonic_us());
        assert!(later >= earlier);
        let micros = || i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap();
        let (before, now, after) = (micros(), clock.now().as_micros(), micros());
        assert!((before..=after).contains(&now), "{before} {now} {after}");
        #[cfg(target_os = "linux")]
        assert_eq!(clock.boot_id().len(), 36);
        // Whatever the machine's state, source and bound belong together; both forms are legal.
        let quality = clock.quality();
        assert_eq!(quality.uncertainty_ms().is_none(), quality == ClockQuality::unsynchronised());
    }
}
