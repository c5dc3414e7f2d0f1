//! The GPS receiver on USB: it speaks NMEA once a second of this machine's time, and what nobody reads is lost, as with the
//! small memory of a real one. Connecting plugs it in, for QEMU's `usb-serial` is there while its socket is taken.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::sockopt::set_socket_send_buffer_size;

use super::wait::until;
use crate::receiver::TrueTime;
use crate::spoken::{self, State};

/// From a full second to the first message of it, as a u-blox 8 at 9600 bits per second.
const LATENCY_US: i64 = 100_000;

/// The kernel makes of it the least that it knows: some seconds of messages.
const BUFFER_BYTES: usize = 1;

/// The socket does not block, for what is said must not either.
const LISTEN_EVERY: Duration = Duration::from_millis(50);

const TO_OPEN: Duration = Duration::from_secs(20);

/// A receiver that is plugged in, until it is dropped.
pub struct Receiver {
    port: UnixStream,
    player: Option<JoinHandle<()>>,
}

impl Receiver {
    pub(super) fn plug_in(socket: &Path) -> anyhow::Result<Self> {
        let what = format!("{} takes a receiver", socket.display());
        let (port, _) = until(&what, TO_OPEN, || Ok(UnixStream::connect(socket).ok()))?;
        set_socket_send_buffer_size(&port, BUFFER_BYTES)?;
        port.set_nonblocking(true)?;
        let speaking = port.try_clone()?;
        let listening = port.try_clone()?;
        let player = thread::spawn(move || play(speaking));
        thread::spawn(move || hear(listening));
        Ok(Self { port, player: Some(player) })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // QEMU may have ended, and the player with it.
        let _ = self.port.shutdown(Shutdown::Both);
        if let Some(player) = self.player.take() {
            let _ = player.join();
        }
    }
}

/// What gpsd asks of it comes to nothing, but has to be taken: QEMU stands still, and the whole machine with it, while nobody
/// takes what was sent.
fn hear(mut port: UnixStream) {
    let mut heard = [0; 4_096];
    loop {
        match port.read(&mut heard) {
            Ok(0) => return,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => thread::sleep(LISTEN_EVERY),
            Err(_) => return,
            Ok(_) => (),
        }
    }
}

fn play(mut port: UnixStream) {
    let time = TrueTime::ahead_of_machine_us(0);
    loop {
        let now_us = time.now_us() - LATENCY_US;
        let second_us = (now_us.div_euclid(1_000_000) + 1) * 1_000_000;
        thread::sleep(Duration::from_micros(u64::try_from(second_us - now_us).unwrap_or_default()));
        let Ok(told) = jiff::Timestamp::from_microsecond(second_us) else { return };
        match port.write(spoken::cycle(told, State::Fix).concat().as_bytes()) {
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return,
            _ => (),
        }
    }
}
