//! A clock that behaves as the kernel's, but is none: tests run it over months in a moment, and `tide-timesync sync --rehearse`
//! shows what would be done to the real one. Its oscillator may run wrong by as much as one likes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tide_durable::{Durable, IfExists};
use tide_photo::clock::DRIFT_PPM;
use tide_photo::clock_report::KERNEL_LIMIT_US;

use super::clock::{ClockError, KernelState, Reading, SLEW_TIME_CONSTANT, SystemClock};

/// The true time that has passed, in microseconds: that of a test, or the real one since the boot.
pub type Monotonic = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The file that keeps a rehearsed clock from run to run.
const FILE_NAME: &str = "clock.json";

const SECOND_NS: i64 = 1_000_000_000;

/// The clock.
pub struct RehearsedClock {
    monotonic: Monotonic,
    state: State,
    kept_in: Option<PathBuf>,
}

/// All that such a clock is, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// The true time at which it is so.
    true_us: u64,
    /// The time since the boot as the oscillator has it.
    monotonic_ns: i64,
    /// Where the boot lies on the clock.
    boot_at_us: i64,
    /// By how much the oscillator runs fast.
    oscillator_ppb: i64,
    synchronised: bool,
    max_error_us: u64,
    est_error_us: u64,
    /// What is left to slew, as the kernel shows it.
    slewing_ns: i64,
    /// What of the slew this second brings.
    second_slews_ns: i64,
}

impl RehearsedClock {
    /// A clock of its own that nobody keeps, as after a boot, and that shows `real_us` at this moment.
    pub fn new(monotonic: Monotonic, real_us: i64) -> Self {
        let true_us = monotonic();
        let state = State {
            true_us,
            monotonic_ns: i64::try_from(true_us).unwrap_or(i64::MAX).saturating_mul(1_000),
            boot_at_us: real_us.saturating_sub_unsigned(true_us),
            oscillator_ppb: 0,
            synchronised: false,
            max_error_us: KERNEL_LIMIT_US,
            est_error_us: KERNEL_LIMIT_US,
            slewing_ns: 0,
            second_slews_ns: 0,
        };
        Self { monotonic, state, kept_in: None }
    }

    /// The clock that is kept in a folder; a new one, that shows `real_us`, if there is none yet or the machine was restarted.
    ///
    /// # Errors
    /// If the file cannot be read, or holds no such clock.
    pub fn open(folder: &Path, monotonic: Monotonic, real_us: i64) -> Result<Self, ClockError> {
        let path = folder.join(FILE_NAME);
        let new = Self { kept_in: Some(path.clone()), ..Self::new(monotonic, real_us) };
        let kept: Result<State, _> = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(new),
            Err(error) => Err(error),
            Ok(json) => serde_json::from_slice(&json).map_err(io::Error::from),
        };
        let kept = kept.map_err(|source| ClockError::Rehearsal { path, source })?;
        Ok(if kept.true_us <= new.state.true_us { Self { state: kept, ..new } } else { new })
    }

    /// Lets the oscillator run fast by so much, or slow, from this moment on.
    ///
    /// # Errors
    /// If the clock cannot be kept in its file.
    pub fn set_oscillator_ppb(&mut self, oscillator_ppb: i64) -> Result<(), ClockError> {
        self.change(|state| state.oscillator_ppb = oscillator_ppb)
    }

    fn now(&self) -> State {
        self.state.at((self.monotonic)())
    }

    fn change(&mut self, change: impl FnOnce(&mut State)) -> Result<(), ClockError> {
        self.state = self.now();
        change(&mut self.state);
        let Some(path) = &self.kept_in else { return Ok(()) };
        keep(path, &self.state).map_err(|source| ClockError::Rehearsal { path: path.clone(), source })
    }
}

fn keep(path: &Path, state: &State) -> io::Result<()> {
    let durable = Durable::open(path.parent().unwrap_or(Path::new(".")))?;
    durable.publish(path, &serde_json::to_vec(state)?, IfExists::Replace)
}

impl SystemClock for RehearsedClock {
    fn reading(&self) -> Reading {
        let now = self.now();
        let monotonic_us = now.monotonic_ns / 1_000;
        // Between two readings of one microsecond each.
        Reading { real_us: now.boot_at_us + monotonic_us, monotonic_us: monotonic_us.unsigned_abs(), spread_us: 1 }
    }

    fn kernel_state(&self) -> Result<KernelState, ClockError> {
        let now = self.now();
        let slewing_us = i64::try_from(now.slewing_ns.unsigned_abs().div_ceil(1_000)).unwrap_or(i64::MAX);
        Ok(KernelState {
            synchronised: now.synchronised,
            max_error_us: now.max_error_us,
            est_error_us: now.est_error_us,
            slewing_us: slewing_us * now.slewing_ns.signum(),
            time_constant: SLEW_TIME_CONSTANT,
            frequency_ppb: 0,
            status: if now.synchronised { 0 } else { libc::STA_UNSYNC },
        })
    }

    fn step(&mut self, by_us: i64) -> Result<(), ClockError> {
        self.change(|state| {
            state.boot_at_us = state.boot_at_us.saturating_add(by_us);
            (state.synchronised, state.max_error_us, state.est_error_us) = (false, KERNEL_LIMIT_US, KERNEL_LIMIT_US);
            (state.slewing_ns, state.second_slews_ns) = (0, 0);
        })
    }

    fn slew(&mut self, by_us: i64) -> Result<(), ClockError> {
        // The second that runs goes on as it began.
        self.change(|state| state.slewing_ns = by_us.saturating_mul(1_000))
    }

    fn vouch(&mut self, max_error_us: u64, est_error_us: u64) -> Result<(), ClockError> {
        self.change(|state| {
            (state.synchronised, state.max_error_us, state.est_error_us) = (true, max_error_us, est_error_us);
        })
    }

    fn disown(&mut self) -> Result<(), ClockError> {
        self.change(|state| {
            (state.synchronised, state.max_error_us, state.est_error_us) = (false, KERNEL_LIMIT_US, KERNEL_LIMIT_US);
        })
    }
}

impl State {
    /// The clock at a later moment: second by second of its own, as the kernel does its accounts.
    fn at(mut self, true_us: u64) -> Self {
        let mut left_ns = true_us.saturating_sub(self.true_us).cast_signed().saturating_mul(1_000);
        self.true_us = self.true_us.max(true_us);
        loop {
            let shown_ns = i128::from(self.boot_at_us) * 1_000 + i128::from(self.monotonic_ns);
            let to_next_ns = SECOND_NS - i64::try_from(shown_ns.rem_euclid(SECOND_NS.into())).unwrap_or_default();
            // In parts per billion, which nanoseconds in a second are too.
            let rate = i128::from(SECOND_NS + self.oscillator_ppb + self.second_slews_ns);
            let shows_ns = i64::try_from(i128::from(left_ns) * rate / i128::from(SECOND_NS)).unwrap_or(i64::MAX);
            if shows_ns < to_next_ns {
                self.monotonic_ns += shows_ns;
                return self;
            }
            let takes_ns = i64::try_from(i128::from(to_next_ns) * i128::from(SECOND_NS) / rate).unwrap_or(i64::MAX);
            left_ns -= takes_ns.min(left_ns);
            self.monotonic_ns += to_next_ns;
            self.second_overflow();
        }
    }

    /// The kernel's function of this name.
    fn second_overflow(&mut self) {
        self.max_error_us += u64::from(DRIFT_PPM);
        if self.max_error_us > KERNEL_LIMIT_US {
            (self.max_error_us, self.synchronised) = (KERNEL_LIMIT_US, false);
        }
        // Towards zero on both sides.
        self.second_slews_ns = self.slewing_ns / (4 << SLEW_TIME_CONSTANT);
        self.slewing_ns -= self.second_slews_ns;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const S_US: u64 = 1_000_000;

    /// What [`crate::steering::Decision::bound_us`] allows a slew of 128 ms.
    const SLEW_LOSS_US: u64 = 32;

    /// A time that passes only when it is told to.
    struct Virtual(Arc<AtomicU64>);

    impl Virtual {
        fn new() -> Self {
            Self(Arc::new(AtomicU64::new(100 * S_US)))
        }

        fn clock(&self) -> RehearsedClock {
            RehearsedClock::new(self.monotonic(), 1_000_000_000)
        }

        fn monotonic(&self) -> Monotonic {
            let time = self.0.clone();
            Arc::new(move || time.load(Ordering::Relaxed))
        }

        fn pass_s(&self, seconds: u64) {
            self.0.fetch_add(seconds * S_US, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_bound_grows_until_nobody_vouches_any_more() {
        let (time, mut clock) = (Virtual::new(), Virtual::new().clock());
        assert!(!clock.kernel_state().unwrap().synchronised, "as after a boot");
        clock = time.clock();
        clock.vouch(20_000, 5_000).unwrap();
        time.pass_s(3_600);
        let state = clock.kernel_state().unwrap();
        assert_eq!((state.synchronised, state.max_error_us, state.est_error_us), (true, 1_820_000, 5_000));
        time.pass_s(9 * 3_600);
        let state = clock.kernel_state().unwrap();
        assert_eq!((state.synchronised, state.max_error_us), (false, KERNEL_LIMIT_US));
    }

    #[test]
    fn a_step_is_at_once_and_leaves_the_clock_to_nobody() {
        let time = Virtual::new();
        let mut clock = time.clock();
        clock.vouch(20_000, 5_000).unwrap();
        clock.slew(1_000).unwrap();
        let before = clock.reading();
        clock.step(-2_500_000).unwrap();
        let after = clock.reading();
        assert_eq!((after.real_us, after.monotonic_us), (before.real_us - 2_500_000, before.monotonic_us));
        let state = clock.kernel_state().unwrap();
        assert_eq!((state.synchronised, state.max_error_us, state.slewing_us), (false, KERNEL_LIMIT_US, 0));
    }

    #[test]
    fn a_slew_begins_at_500_ppm_and_decays() {
        let time = Virtual::new();
        let mut clock = time.clock();
        let start = clock.reading();
        clock.slew(-128_000).unwrap();
        // For each: what of the 128 ms is left after this many seconds.
        for (seconds, left_us) in [(1, 127_500), (256, 46_998), (1_243, 989), (2_421, 10)] {
            time.pass_s(seconds - (clock.reading().monotonic_us - start.monotonic_us) / S_US);
            let state = clock.kernel_state().unwrap();
            let gained_us =
                (clock.reading().real_us - start.real_us) - (time.0.load(Ordering::Relaxed) as i64 - 100_000_000);
            assert!(state.slewing_us.abs_diff(-left_us) <= 520, "{seconds} s: {state:?}");
            let error_us = gained_us.abs_diff(-128_000);
            assert!(error_us <= state.slewing_bound_us() + SLEW_LOSS_US, "{seconds} s: {error_us} us off, {state:?}");
        }
    }

    #[test]
    fn an_oscillator_that_runs_wrong_takes_both_clocks_along() {
        let time = Virtual::new();
        let mut clock = time.clock();
        clock.set_oscillator_ppb(-50_000).unwrap();
        let before = clock.reading();
        time.pass_s(21_600);
        let after = clock.reading();
        assert!((after.real_us - before.real_us).abs_diff(21_600_000_000 - 1_080_000) <= 30, "{after:?}");
        assert_eq!(after.boot_at_us(), before.boot_at_us());
    }

    #[test]
    fn a_folder_keeps_the_clock() {
        let (time, folder) = (Virtual::new(), tempfile::tempdir().unwrap());
        let open = || RehearsedClock::open(folder.path(), time.monotonic(), 1_000_000_000);
        let mut first = open().unwrap();
        first.step(5_000_000).unwrap();
        first.vouch(20_000, 5_000).unwrap();
        time.pass_s(60);
        let second = open().unwrap();
        assert_eq!(second.reading().real_us, 1_065_000_000);
        assert_eq!(second.kernel_state().unwrap().max_error_us, 50_000);
        time.0.store(S_US, Ordering::Relaxed);
        assert!(!open().unwrap().kernel_state().unwrap().synchronised, "the machine was restarted");
        fs::write(folder.path().join(FILE_NAME), "{}").unwrap();
        assert!(open().is_err());
    }
}
