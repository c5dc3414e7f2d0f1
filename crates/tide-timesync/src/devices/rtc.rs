//! What is asked of a battery-backed clock (RTC), whichever way it is reached.

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use tide_photo::CapturedAt;

use crate::rtc::RtcReading;
use crate::rtc::chip::{NoTime, NotHeld};
use crate::rtc::second::{SECOND_US, next_write};

/// A battery-backed clock that keeps UTC in whole seconds.
pub trait Rtc: Send {
    /// What it is, for people: `"ds3231 on /dev/i2c-1 at 0x68"`.
    fn name(&self) -> String;

    /// Waits until its next second begins, for 1.1 s at most, and says which one it is.
    ///
    /// # Errors
    /// If it cannot be read or has no time.
    fn read(&mut self) -> Result<RtcReading, RtcError>;

    /// Sets it to the whole second of `at`; to be called just [`write_lead_us`](Self::write_lead_us) before that begins. Callers
    /// want [`write_on_the_second`].
    ///
    /// # Errors
    /// If it cannot be written.
    fn write(&mut self, at: CapturedAt) -> Result<(), RtcError>;

    /// How long before a second begins [`write`](Self::write) is to be called with it, in microseconds; negative if after.
    fn write_lead_us(&self) -> i64;

    /// The chip's temperature in degrees Celsius, where it can be had.
    fn temperature_c(&mut self) -> Option<f32>;

    /// Whether the kernel sets it by itself while somebody keeps the clock, so that a drift cannot be told.
    fn kernel_may_write_it(&self) -> bool {
        false
    }
}

/// What went wrong with an RTC, in one sentence for people.
#[derive(Debug, thiserror::Error)]
pub enum RtcError {
    /// None, or none of that name.
    #[error("there is no RTC: {0}")]
    Absent(String),
    /// More than one, and the settings do not say which.
    #[error("more than one RTC is called `{wanted}`: set `name` in [rtc] to one of {}", .names.join(", "))]
    Ambiguous {
        /// What the settings ask for.
        wanted: String,
        /// The full names of those that fit.
        names: Vec<String>,
    },
    /// It cannot be reached over the bus while a driver of the kernel has it.
    #[error("a kernel driver holds the RTC at {address:#04x} on {}: use it as /dev/rtc, or unload the driver", .bus.display())]
    HeldByKernel {
        /// The bus's device.
        bus: PathBuf,
        /// The chip's address.
        address: u16,
    },
    /// It did not answer.
    #[error("failed to read the RTC {name}")]
    Unreadable {
        /// Which one.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// It answers, but has no time.
    #[error("the RTC {name} has no time: {reason}")]
    NoTime {
        /// Which one.
        name: String,
        /// Why.
        reason: NoTime,
    },
    /// It shows a second and stays there.
    #[error("the RTC {name} stands still at {at}")]
    StandsStill {
        /// Which one.
        name: String,
        /// What it shows.
        at: CapturedAt,
    },
    /// It counts from where it began when its battery was empty.
    #[error("the RTC {name} has lost its time: it says {at}")]
    LostTime {
        /// Which one.
        name: String,
        /// What it shows.
        at: CapturedAt,
    },
    /// The time does not fit.
    #[error("failed to write the RTC {name}: {reason}")]
    NotHeld {
        /// Which one.
        name: String,
        /// Why.
        reason: NotHeld,
    },
    /// It did not take the time.
    #[error("failed to write the RTC {name}")]
    Unwritable {
        /// Which one.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// It took the time, and shows another.
    #[error("the RTC {name} did not keep what was written: {written} was written, and then it said {read}")]
    NotKept {
        /// Which one.
        name: String,
        /// The second that was written.
        written: CapturedAt,
        /// The second that was read afterwards.
        read: CapturedAt,
    },
}

/// An RTC that was set, and what it then said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The second that was written.
    pub at: CapturedAt,
    /// What was read back.
    pub read_back: RtcReading,
    /// How far it was then ahead of the clock it was set from, in microseconds; negative if behind.
    pub ahead_us: i64,
}

/// How far off an RTC may be after it was set. Ours: it has whole seconds only.
const TOLERANCE_US: i64 = SECOND_US;

/// A sleep that ends later than this is followed by another one. Ours: what the RTC should be right to.
const LATE_US: i64 = 10_000;

/// How often a second may be missed before one is written all the same. Ours: reading it back tells how far off that was.
const MISSES: usize = 5;

/// Waits for the RTC's next chance, sets it from the clock, and reads it back. `clock_now_us` is the clock, in microseconds since
/// 1970.
///
/// # Errors
/// If the RTC cannot be written or read, or does not show the clock's time afterwards, to a second.
pub fn write_on_the_second(
    rtc: &mut dyn Rtc,
    mut clock_now_us: impl FnMut() -> i64,
    mut sleep: impl FnMut(Duration),
) -> Result<Written, RtcError> {
    let lead_us = rtc.write_lead_us();
    let mut next = next_write(clock_now_us(), lead_us);
    sleep(next.wait);
    for _ in 0..MISSES {
        let late_us = clock_now_us().saturating_add(lead_us).saturating_sub(next.second_us);
        // A clock that was set back meanwhile makes it early, which is as bad.
        if late_us.abs() <= LATE_US {
            break;
        }
        next = next_write(clock_now_us(), lead_us);
        sleep(next.wait);
    }
    let name = rtc.name();
    let at = CapturedAt::from_micros(next.second_us).ok_or_else(|| RtcError::Unwritable {
        name: name.clone(),
        source: io::Error::new(io::ErrorKind::InvalidInput, "the clock is before 1970"),
    })?;
    rtc.write(at)?;
    let read_back = rtc.read()?;
    let ahead_us = read_back.at.as_micros().saturating_sub(clock_now_us());
    if ahead_us.abs() > TOLERANCE_US {
        return Err(RtcError::NotKept { name, written: at, read: read_back.at });
    }
    Ok(Written { at, read_back, ahead_us })
}

/// The time that passes while an RTC is waited for.
pub trait Timer: Send + Sync {
    /// Since some moment; never goes back.
    fn elapsed(&self) -> Duration;

    /// Waits.
    fn sleep(&self, span: Duration);
}

/// The machine's own.
#[derive(Debug, Clone, Copy)]
pub struct MachineTimer(Instant);

impl Default for MachineTimer {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Timer for MachineTimer {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, span: Duration) {
        thread::sleep(span);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    /// An RTC that notes when it was written, and then shows the clock's time, so much off.
    struct Noting<'a> {
        now_us: &'a AtomicI64,
        lead_us: i64,
        off_us: i64,
        written: Vec<(i64, i64)>,
    }

    impl Rtc for Noting<'_> {
        fn name(&self) -> String {
            "noting".to_owned()
        }

        fn read(&mut self) -> Result<RtcReading, RtcError> {
            let second = (self.now_us.load(Ordering::SeqCst) + self.off_us).div_euclid(SECOND_US);
            let at = CapturedAt::from_micros(second * SECOND_US).unwrap();
            Ok(RtcReading { at, uncertainty: Duration::ZERO, battery_is_low: None })
        }

        fn write(&mut self, at: CapturedAt) -> Result<(), RtcError> {
            self.written.push((at.as_micros(), self.now_us.load(Ordering::SeqCst)));
            Ok(())
        }

        fn write_lead_us(&self) -> i64 {
            self.lead_us
        }

        fn temperature_c(&mut self) -> Option<f32> {
            None
        }
    }

    /// The second that is written, and when: from 100.3 s on, with sleeps that are longer than asked for by these.
    fn written(lead_us: i64, off_us: i64, overslept_us: &[i64]) -> Result<(i64, i64), String> {
        let now_us = AtomicI64::new(100_300_000);
        let mut rtc = Noting { now_us: &now_us, lead_us, off_us, written: vec![] };
        let mut overslept = overslept_us.iter();
        let sleep = |span: Duration| {
            let more_us = overslept.next().copied().unwrap_or_default();
            now_us.fetch_add(i64::try_from(span.as_micros()).unwrap() + more_us, Ordering::SeqCst);
        };
        let done = write_on_the_second(&mut rtc, || now_us.load(Ordering::SeqCst), sleep);
        let written = done.map_err(|error| error.to_string())?;
        assert_eq!(rtc.written.len(), 1);
        assert_eq!(written.at.as_micros(), rtc.written[0].0);
        Ok(rtc.written[0])
    }

    #[test]
    fn a_second_is_written_when_it_begins() {
        let check = |lead_us: i64, overslept_us: &[i64], expected: (i64, i64)| {
            assert_eq!(written(lead_us, 0, overslept_us), Ok(expected), "{lead_us} {overslept_us:?}");
        };
        check(0, &[], (101_000_000, 101_000_000));
        check(5_000, &[], (101_000_000, 100_995_000));
        check(-500_000, &[], (100_000_000, 100_500_000));
        check(0, &[9_000], (101_000_000, 101_009_000));
        // Whoever oversleeps a second waits for the next one, but not for ever.
        check(0, &[50_000], (102_000_000, 102_000_000));
        check(0, &[50_000, 2_000_000], (104_000_000, 104_000_000));
        check(0, &[50_000; 9], (106_000_000, 106_050_000));
    }

    #[test]
    fn an_rtc_that_shows_another_time_has_not_kept_it() {
        assert!(written(0, SECOND_US, &[]).is_ok());
        assert!(written(0, -SECOND_US, &[]).is_ok());
        for off_us in [2 * SECOND_US, -2 * SECOND_US, 3_600 * SECOND_US] {
            let error = written(0, off_us, &[]).unwrap_err();
            assert!(error.starts_with("the RTC noting did not keep what was written: 1970-01-01T00:01:41"), "{error}");
        }
    }
}
