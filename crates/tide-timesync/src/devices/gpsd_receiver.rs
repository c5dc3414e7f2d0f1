//! Receivers as gpsd hears them. Every read has a limit, so a gpsd that hangs holds up nobody.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use jiff::Timestamp;
use memchr::memchr;

use super::boot_clock;
use super::receiver::{Event, Receiver};
use crate::receiver::Fix;
use crate::receiver::gpsd::{self, Said};
use crate::verdict::Pulse;

/// How long a connection may take: gpsd is on the same machine.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// From one try to reach a lost gpsd to the next.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How long gpsd may say nothing at all. It repeats each receiver's state at least once a second while it hears one.
const SILENT_FOR: Duration = Duration::from_secs(15);

/// How much later than a receiver's first message gpsd tells a fix, in microseconds, at most: it waits for the end of the
/// receiver's cycle, which is a second with most. Where gpsd says when the cycle began (`TOFF`), that counts instead.
const CYCLE_US: u64 = 1_000_000;

/// How exactly gpsd stamps a pulse, in microseconds. Ours, not measured: its own thread waits for it, beside which the kernel's stamp is better.
const PULSE_WITHIN_US: u64 = 200;

/// gpsd's socket.
pub struct GpsdReceiver {
    address: String,
    connection: Option<Connection>,
    /// Nothing is tried before this time since the boot.
    again_at: Duration,
    was_lost: bool,
    satellites: BTreeMap<String, u8>,
    /// When each receiver's cycle began: what it said, and microseconds since the boot.
    cycles: BTreeMap<String, (Timestamp, u64)>,
}

struct Connection {
    stream: TcpStream,
    held: Vec<u8>,
    heard_at: Duration,
}

impl GpsdReceiver {
    /// The gpsd at `address` (`HOST:PORT`). Nothing is connected yet.
    pub fn new(address: &str) -> Self {
        let (satellites, cycles) = (BTreeMap::new(), BTreeMap::new());
        let address = address.to_owned();
        Self { address, connection: None, again_at: Duration::ZERO, was_lost: false, satellites, cycles }
    }

    fn connect(&self) -> io::Result<Connection> {
        let address = self.address.to_socket_addrs()?.next();
        let address = address.ok_or_else(|| io::Error::new(ErrorKind::NotFound, "no such address"))?;
        let mut stream = TcpStream::connect_timeout(&address, CONNECT_WITHIN)?;
        stream.set_write_timeout(Some(CONNECT_WITHIN))?;
        stream.write_all(gpsd::WATCH)?;
        Ok(Connection { stream, held: Vec::new(), heard_at: boot_clock::since_boot() })
    }

    fn lost(&mut self, why: &str) -> Vec<Event> {
        self.connection = None;
        self.again_at = boot_clock::since_boot() + LOOK_AGAIN;
        let note = format!("gpsd at {} cannot be heard ({why}); it is tried again", self.address);
        if std::mem::replace(&mut self.was_lost, true) { Vec::new() } else { vec![Event::Note(note)] }
    }

    fn event(&mut self, said: Said) -> Option<Event> {
        match said {
            // One that answers and hangs up again is as good as lost.
            Said::Version(_) if self.was_lost => None,
            Said::Version(release) => Some(Event::Note(format!("gpsd {release} at {} answers", self.address))),
            Said::Error(_) if self.was_lost => None,
            Said::Error(message) => Some(Event::Note(format!("gpsd at {} refuses: {message}", self.address))),
            Said::Devices(paths) if paths.is_empty() && !self.was_lost => {
                Some(Event::Note(format!("gpsd at {} has no receiver", self.address)))
            }
            Said::Devices(_) => None,
            Said::Satellites(receiver, used) => {
                self.satellites.insert(receiver, used);
                None
            }
            Said::Fix(receiver, fix) => {
                self.was_lost = false;
                let mut fix = self.dated_back(&receiver, fix);
                fix.satellites = self.satellites.get(&receiver).copied();
                Some(Event::Fix { receiver, fix })
            }
            Said::NoTime(receiver) => Some(Event::NoTime { receiver }),
            Said::Time { device, real, clock_us, is_pulse } => {
                let monotonic_us = clock_us.checked_sub(boot_clock::clock_less_monotonic_us())?.try_into().ok()?;
                if is_pulse {
                    let pulse = Pulse { monotonic_us, uncertainty_us: PULSE_WITHIN_US };
                    return Some(Event::Pulse { receiver: device, pulse });
                }
                self.cycles.insert(device, (real, monotonic_us));
                None
            }
        }
    }

    /// The fix with the moment at which its cycle began, if gpsd has told that; else it may be a whole cycle older.
    fn dated_back(&self, receiver: &str, mut fix: Fix) -> Fix {
        let begun = self.cycles.get(receiver).filter(|(real, _)| *real == fix.time).map(|(_, begun_us)| *begun_us);
        match begun {
            Some(begun_us) if fix.heard_us.is_some_and(|heard_us| begun_us <= heard_us) => {
                fix.heard_us = Some(begun_us);
            }
            _ => fix.extra_delay_us = CYCLE_US,
        }
        fix
    }
}

impl Receiver for GpsdReceiver {
    fn name(&self) -> String {
        format!("gpsd at {}", self.address)
    }

    fn is_there(&self) -> bool {
        self.connection.is_some()
    }

    fn begin_anew(&mut self) {
        self.connection = None;
        self.again_at = Duration::ZERO;
        self.cycles.clear();
    }

    fn listen(&mut self, patience: Duration) -> Vec<Event> {
        if self.connection.is_none() {
            let wait = self.again_at.saturating_sub(boot_clock::since_boot());
            if !wait.is_zero() {
                std::thread::sleep(patience.min(wait));
                return Vec::new();
            }
            match self.connect() {
                Ok(connection) => self.connection = Some(connection),
                Err(error) => return self.lost(&error.to_string()),
            }
        }
        let Some(connection) = &mut self.connection else { return Vec::new() };
        let (said, end) = connection.read(patience);
        let mut events: Vec<Event> = said.into_iter().filter_map(|said| self.event(said)).collect();
        if let Some(why) = end {
            events.extend(self.lost(&why));
        }
        events
    }
}

impl Connection {
    /// What gpsd says within `patience`, and why there will be no more of it.
    fn read(&mut self, patience: Duration) -> (Vec<Said>, Option<String>) {
        let mut said = Vec::new();
        let mut bytes = [0; 4_096];
        // No time at all would mean for ever.
        let wait = patience.max(Duration::from_millis(1));
        let count = match self.stream.set_read_timeout(Some(wait)).and_then(|()| self.stream.read(&mut bytes)) {
            Ok(0) => return (said, Some("it has closed the connection".to_owned())),
            Ok(count) => count,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
            {
                let is_silent = boot_clock::since_boot().saturating_sub(self.heard_at) > SILENT_FOR;
                let why = is_silent.then(|| format!("it has said nothing for {} s", SILENT_FOR.as_secs()));
                return (said, why);
            }
            Err(error) => return (said, Some(error.to_string())),
        };
        let heard_us = boot_clock::monotonic_us();
        self.heard_at = boot_clock::since_boot();
        self.held.extend_from_slice(&bytes[..count]);
        while let Some(end) = memchr(b'\n', &self.held) {
            let line: Vec<u8> = self.held.drain(..=end).collect();
            said.extend(gpsd::parse(&line, Some(heard_us)));
        }
        if self.held.len() > gpsd::MAX_LINE_BYTES {
            return (said, Some("what answers there is not gpsd".to_owned()));
        }
        (said, None)
    }
}
