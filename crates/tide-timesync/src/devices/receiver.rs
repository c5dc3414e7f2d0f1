//! A GPS receiver, whichever way it is heard.

use std::time::Duration;

use crate::receiver::Fix;
use crate::verdict::Pulse;

/// What is heard of a receiver.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It says what the time is, or that it does not know.
    Fix {
        /// Which receiver, by the path of its device.
        receiver: String,
        /// What it says.
        fix: Fix,
    },
    /// It speaks, but does not even tell a time: so soon after its start, or without an antenna.
    NoTime {
        /// Which receiver.
        receiver: String,
    },
    /// Its pulse has come.
    Pulse {
        /// Which receiver.
        receiver: String,
        /// When.
        pulse: Pulse,
    },
    /// Something that the log should say: it was found, lost, or cannot be reached.
    Note(String),
}

/// A GPS receiver.
pub trait Receiver {
    /// For people: the device, or gpsd's address.
    fn name(&self) -> String;

    /// Whether there is any hope of hearing it soon.
    fn is_there(&self) -> bool {
        true
    }

    /// Forgets what was said until now and may still lie in a buffer: nobody knows any more when that was.
    fn begin_anew(&mut self);

    /// Waits for what it says, and not much longer than `patience`. It never fails: what is lost is noted, and looked for again.
    fn listen(&mut self, patience: Duration) -> Vec<Event>;
}
