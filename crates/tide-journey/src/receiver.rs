//! A GPS receiver that is a pseudo-terminal: it speaks in real time, once a second. What it takes for the time, how late it is, and
//! what noise lies between is the test's choice. Unplugged, its device goes away, as with USB.

use std::fs::{self, Permissions};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{self, OptionalActions};
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use crate::spoken::{self, State};

/// The true time, which the test alone knows: a relation to the clock that is never set.
#[derive(Debug, Clone, Copy)]
pub struct TrueTime {
    utc_less_boot_us: i64,
}

impl TrueTime {
    /// So many microseconds ahead of what the machine's clock shows.
    pub fn ahead_of_machine_us(ahead_us: i64) -> Self {
        Self { utc_less_boot_us: micros(ClockId::Realtime) - micros(ClockId::Boottime) + ahead_us }
    }

    /// The same from then on by so much later.
    #[must_use]
    pub fn later_by_us(self, us: i64) -> Self {
        Self { utc_less_boot_us: self.utc_less_boot_us + us }
    }

    /// Now, in microseconds since 1970 UTC.
    pub fn now_us(self) -> i64 {
        self.utc_less_boot_us + micros(ClockId::Boottime)
    }

    /// UTC at the boot, in microseconds since 1970.
    pub fn of_boot_us(self) -> i64 {
        self.utc_less_boot_us
    }
}

/// In which language a receiver speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// RMC, GGA and GSA.
    Nmea,
    /// NAV-PVT alone.
    Ubx,
}

/// How a receiver speaks.
#[derive(Debug, Clone)]
pub struct Manner {
    /// In which language.
    pub language: Language,
    /// Whether it knows where it is; none: it says nothing.
    pub state: Option<State>,
    /// What it takes for the time, less the true time, in seconds.
    pub told_less_true_s: i64,
    /// From the moment that it tells to its first message, in milliseconds: somewhere in here, each second anew.
    pub latency_ms: RangeInclusive<u64>,
    /// Whether the line is noisy: random bytes between messages, and messages with a wrong checksum.
    pub is_noisy: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            language: Language::Nmea,
            state: Some(State::Fix),
            told_less_true_s: 0,
            // As a u-blox 8 at 9600 bits per second.
            latency_ms: 60..=150,
            is_noisy: false,
        }
    }
}

/// From one message of a second to the next: what 70 characters take at 38400 bits per second.
const BETWEEN_MESSAGES: Duration = Duration::from_millis(18);

/// How long the player sleeps at most.
const LONGEST_SLEEP: Duration = Duration::from_millis(20);

/// A receiver, plugged in or not.
pub struct TestReceiver {
    folder: TempDir,
    player: Arc<Player>,
    thread: Option<JoinHandle<()>>,
}

struct Player {
    time: TrueTime,
    manner: Manner,
    port: Mutex<Option<Port>>,
    seconds: AtomicU64,
    has_ended: AtomicBool,
}

struct Port {
    receivers_end: OwnedFd,
    /// Held open: while nobody listens, what is said is lost at the next opening, as with a device.
    _programs_end: OwnedFd,
}

impl TestReceiver {
    /// A receiver that is plugged in, and begins to speak.
    ///
    /// # Errors
    /// If there is no pseudo-terminal to be had.
    pub fn new(time: TrueTime, manner: Manner) -> anyhow::Result<Self> {
        let player = Arc::new(Player {
            time,
            manner,
            port: Mutex::new(None),
            seconds: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
        });
        let mut receiver =
            Self { folder: TempDir::with_prefix("tide-receiver-")?, player: Arc::clone(&player), thread: None };
        receiver.plug_in()?;
        receiver.thread = Some(thread::spawn(move || player.play()));
        Ok(receiver)
    }

    /// Where its device is while it is plugged in.
    pub fn device(&self) -> PathBuf {
        self.folder.path().join("tide-gps")
    }

    /// In how many seconds it has spoken, or would have.
    pub fn seconds(&self) -> u64 {
        self.player.seconds.load(Ordering::Relaxed)
    }

    /// Plugs it in: there is a new device, under the old name.
    ///
    /// # Errors
    /// If there is no pseudo-terminal to be had.
    pub fn plug_in(&self) -> anyhow::Result<()> {
        let receivers_end = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&receivers_end)?;
        unlockpt(&receivers_end)?;
        let name = ptsname(&receivers_end, Vec::new())?.into_string().context("a device's name is plain text")?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let programs_end = rustix::fs::open(&name, flags, Mode::empty())?;
        let mut settings = termios::tcgetattr(&programs_end)?;
        settings.make_raw();
        termios::tcsetattr(&programs_end, OptionalActions::Now, &settings)?;
        // gpsd gives up root's rights before it opens it for the second time.
        fs::set_permissions(&name, Permissions::from_mode(0o666))?;
        // Nobody may listen: what has no room is lost.
        rustix::io::ioctl_fionbio(&receivers_end, true)?;
        symlink(&name, self.device())?;
        *self.player.port() = Some(Port { receivers_end, _programs_end: programs_end });
        Ok(())
    }

    /// Unplugs it: its device hangs up, and is gone.
    ///
    /// # Errors
    /// If it is not plugged in.
    pub fn unplug(&self) -> anyhow::Result<()> {
        fs::remove_file(self.device())?;
        *self.player.port() = None;
        Ok(())
    }
}

impl Drop for TestReceiver {
    fn drop(&mut self) {
        self.player.has_ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A player that panicked has shown so already.
            let _ = thread.join();
        }
    }
}

impl Player {
    fn play(&self) {
        // What is random here is only when and what noise: no outcome may depend on it.
        let mut random = StdRng::seed_from_u64(self.time.now_us().unsigned_abs());
        let mut second_us = self.time.now_us().div_euclid(1_000_000) * 1_000_000;
        loop {
            second_us += 1_000_000;
            let latency_us = random.random_range(self.manner.latency_ms.clone()) * 1_000;
            if !self.sleep_until(second_us + latency_us.cast_signed()) {
                return;
            }
            for message in self.messages(second_us, &mut random) {
                self.say(&message);
                thread::sleep(BETWEEN_MESSAGES);
            }
            self.seconds.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether it is to go on.
    fn sleep_until(&self, at_us: i64) -> bool {
        loop {
            let left_us = u64::try_from(at_us - self.time.now_us()).unwrap_or_default();
            if self.has_ended.load(Ordering::Relaxed) || left_us == 0 {
                return left_us == 0;
            }
            thread::sleep(Duration::from_micros(left_us).min(LONGEST_SLEEP));
        }
    }

    /// What it says of one second.
    fn messages(&self, second_us: i64, random: &mut StdRng) -> Vec<Vec<u8>> {
        let told =
            Timestamp::from_microsecond(second_us + self.manner.told_less_true_s * 1_000_000).unwrap_or_default();
        let Some(state) = self.manner.state else { return Vec::new() };
        let messages = match self.manner.language {
            Language::Nmea => spoken::cycle(told, state).map(String::into_bytes).to_vec(),
            Language::Ubx => vec![spoken::nav_pvt(told, state)],
        };
        if !self.manner.is_noisy {
            return messages;
        }
        let with_noise = |message| [noise(random), message, wrong(told, random)];
        messages.into_iter().flat_map(with_noise).collect()
    }

    fn say(&self, message: &[u8]) {
        if let Some(port) = &*self.port() {
            // What has no room is lost.
            let _ = rustix::io::write(&port.receivers_end, message);
        }
    }

    fn port(&self) -> MutexGuard<'_, Option<Port>> {
        self.port.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Random bytes; some look like the beginning of a message.
fn noise(random: &mut StdRng) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(0..200)];
    random.fill_bytes(&mut bytes);
    let beginning: &[u8] =
        [&b""[..], b"$", b"$GNRMC,1", b"\xB5", b"\xB5\x62\x01\x07\x5C\x00", b"\xB5\x62\x01\x07\xFF\x09"]
            [random.random_range(0..6)];
    [&bytes, beginning].concat()
}

/// A sentence of another time, with a bit of its time flipped on the way.
fn wrong(told: Timestamp, random: &mut StdRng) -> Vec<u8> {
    let other = Timestamp::from_second(told.as_second() + random.random_range(-40_000..40_000)).unwrap_or_default();
    let mut bytes = spoken::rmc(other, State::Fix).into_bytes();
    bytes[random.random_range(7..13)] ^= 1;
    bytes
}

fn micros(clock: ClockId) -> i64 {
    let now = clock_gettime(clock);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}
