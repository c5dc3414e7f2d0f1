//! A receiver on a serial line or USB, read without gpsd. Its speed is found by trying, and what is unplugged is looked for again.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, Timespec};
use rustix::termios::{self, OptionalActions, QueueSelector};

use super::boot_clock;
use super::pulse::PulseLine;
use super::receiver::{Event, Receiver};
use crate::receiver::{Epochs, Fix, Framer};

/// The speeds that receivers have, in bits per second, the most frequent first: 9600 is u-blox's, 4800 the standard's, 38400 and
/// 115200 those of newer ones.
const SPEEDS: [u32; 8] = [9_600, 38_400, 115_200, 4_800, 57_600, 19_200, 230_400, 460_800];

/// How long one speed is tried, without a single good message, before the next: two cycles of a receiver that speaks once a second.
const TRIED_FOR: Duration = Duration::from_millis(2_500);

/// From one look for a lost receiver to the next.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A receiver's device.
pub struct SerialReceiver {
    path: PathBuf,
    /// The one speed to use; tried one after the other if there is none.
    speed: Option<u32>,
    pulses: PulseLine,
    line: Option<Line>,
    /// Which speed is tried next.
    next_speed: usize,
    /// Nothing is tried before this time since the boot.
    again_at: Duration,
    was_lost: bool,
}

struct Line {
    port: OwnedFd,
    speed: u32,
    framer: Framer,
    epochs: Epochs,
    /// When the last good message, or else the opening, was.
    good_at: Duration,
    is_understood: bool,
}

impl SerialReceiver {
    /// The receiver on `path`, and its pulse if this folder of the kernel's tells of one. Nothing is opened yet.
    pub fn new(path: &Path, speed: Option<u32>, pulse_folder: &Path) -> Self {
        let pulses = PulseLine::new(pulse_folder);
        Self {
            path: path.to_owned(),
            speed,
            pulses,
            line: None,
            next_speed: 0,
            again_at: Duration::ZERO,
            was_lost: false,
        }
    }

    fn open(&mut self) -> io::Result<Line> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let port = rustix::fs::open(&self.path, flags, Mode::empty())?;
        let speed = self.speed.unwrap_or(SPEEDS[self.next_speed % SPEEDS.len()]);
        self.next_speed += 1;
        let mut settings = termios::tcgetattr(&port)?;
        settings.make_raw();
        settings.control_modes |= termios::ControlModes::CREAD | termios::ControlModes::CLOCAL;
        settings.set_speed(speed)?;
        termios::tcsetattr(&port, OptionalActions::Flush, &settings)?;
        // What came at another speed, or before anybody read, tells nothing of now.
        termios::tcflush(&port, QueueSelector::IFlush)?;
        let (framer, epochs, good_at) = (Framer::default(), Epochs::default(), boot_clock::since_boot());
        Ok(Line { port, speed, framer, epochs, good_at, is_understood: false })
    }

    fn lost(&mut self, why: &str) -> Vec<Event> {
        self.line = None;
        self.again_at = boot_clock::since_boot() + LOOK_AGAIN;
        let note = format!("the GPS receiver {} cannot be read ({why}); it is looked for again", self.path.display());
        if std::mem::replace(&mut self.was_lost, true) { Vec::new() } else { vec![Event::Note(note)] }
    }
}

impl Receiver for SerialReceiver {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn begin_anew(&mut self) {
        // At the speed that was found.
        self.next_speed = self.next_speed.saturating_sub(usize::from(self.line.is_some()));
        self.line = None;
    }

    fn listen(&mut self, patience: Duration) -> Vec<Event> {
        if self.line.is_none() {
            let wait = self.again_at.saturating_sub(boot_clock::since_boot());
            if !wait.is_zero() {
                std::thread::sleep(patience.min(wait));
                return Vec::new();
            }
            match self.open() {
                Ok(line) => self.line = Some(line),
                Err(error) => return self.lost(&error.to_string()),
            }
        }
        let Some(line) = &mut self.line else { return Vec::new() };
        let receiver = self.path.display().to_string();
        let (mut events, was_understood) = (Vec::new(), line.is_understood);
        match line.read(patience) {
            Ok(Heard { messages, fixes }) if messages > 0 && fixes.is_empty() => {
                events.push(Event::NoTime { receiver: receiver.clone() });
            }
            Ok(Heard { fixes, .. }) => {
                events.extend(fixes.into_iter().map(|fix| Event::Fix { receiver: receiver.clone(), fix }));
            }
            Err(error) => return self.lost(&error.to_string()),
        }
        if line.is_understood && !was_understood {
            self.was_lost = false;
            let speed = line.speed;
            events.push(Event::Note(format!("the GPS receiver {receiver} is understood, at {speed} bits per second")));
        }
        if !line.is_understood && self.speed.is_none() && boot_clock::since_boot() - line.good_at > TRIED_FOR {
            self.line = None;
        }
        events.extend(self.pulses.new_pulse().map(|pulse| Event::Pulse { receiver, pulse }));
        events
    }
}

/// What was understood.
#[derive(Default)]
struct Heard {
    messages: usize,
    fixes: Vec<Fix>,
}

impl Line {
    /// What was understood of the bytes that are there, or come within `patience`.
    fn read(&mut self, patience: Duration) -> io::Result<Heard> {
        let wait = Timespec::try_from(patience).map_err(io::Error::other)?;
        let mut ready = [PollFd::new(&self.port, PollFlags::IN)];
        if poll(&mut ready, Some(&wait))? == 0 {
            return Ok(Heard::default());
        }
        let mut bytes = [0; 1_024];
        let count = match rustix::io::read(&self.port, &mut bytes) {
            Err(rustix::io::Errno::AGAIN) => return Ok(Heard::default()),
            // What was unplugged is always ready to say nothing.
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it was unplugged")),
            count => count?,
        };
        let heard_us = boot_clock::monotonic_us();
        let mut heard = Heard::default();
        self.framer.push(&bytes[..count], |frame| {
            heard.messages += 1;
            heard.fixes.extend(self.epochs.take(frame, Some(heard_us)));
        });
        if heard.messages > 0 {
            (self.is_understood, self.good_at) = (true, boot_clock::since_boot());
        }
        Ok(heard)
    }
}
