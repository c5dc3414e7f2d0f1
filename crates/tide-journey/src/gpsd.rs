//! Debian's own gpsd on a free port of loopback: with one receiver, or with a recording that its `gpsfake` plays.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::programs::{Running, until};
use crate::server::free_port;

/// Size of a message, about.
const MESSAGE_BYTES: f64 = 60.0;

/// How long it may take to end when it is asked to. After that it is killed.
const TO_END: Duration = Duration::from_secs(10);

/// A gpsd that runs, or has been stopped.
pub struct Gpsd {
    running: Running,
    port: u16,
    /// For gpsfake's socket, which it leaves behind.
    _folder: TempDir,
}

impl Gpsd {
    /// Starts gpsd with a receiver.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(device: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = system_program("gpsd");
        // In the foreground, listening at once, and without writing to the receiver.
        command.args(["-N", "-n", "-b", "-S", &port.to_string()]);
        // gpsd takes no device by a name that links to it.
        Self::start_by(command.arg(device.canonicalize()?), port)
    }

    /// Starts gpsd with a recording, which is played once, in about so many seconds.
    ///
    /// # Errors
    /// If it does not start.
    pub fn play(recording: &Path, seconds: f64) -> anyhow::Result<Self> {
        let port = free_port()?;
        #[expect(clippy::cast_precision_loss, reason = "a recording is small")]
        let between_s = seconds * MESSAGE_BYTES / recording.metadata()?.len() as f64;
        let mut command = system_program("gpsfake");
        command.args(["-1", "-q", "-c", &between_s.to_string(), "-P", &port.to_string()]);
        // Once all of it is played gpsfake ends, with a failure, after so many seconds.
        Self::start_by(command.args(["-W", "3"]).arg(recording), port)
    }

    fn start_by(command: &mut Command, port: u16) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tide-gpsd-")?;
        let mut running = Running::start(command.env("TMPDIR", folder.path()))?;
        until("gpsd listens", || {
            running.expect_running()?;
            Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())
        })?;
        Ok(Self { running, port, _folder: folder })
    }

    /// Where it listens, for the settings.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Listens beside others until it ends. The lines that it says come from the handle.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub fn listen(&self) -> anyhow::Result<JoinHandle<std::io::Result<String>>> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.write_all(b"?WATCH={\"enable\":true,\"json\":true};\n")?;
        Ok(thread::spawn(move || {
            let mut said = Vec::new();
            match stream.read_to_end(&mut said) {
                Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => Err(error),
                _ => Ok(String::from_utf8_lossy(&said).into_owned()),
            }
        }))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.running.signal(signal)
    }

    /// Whether it still runs; a recording ends.
    pub fn is_running(&mut self) -> bool {
        self.running.expect_running().is_ok()
    }
}

impl Drop for Gpsd {
    fn drop(&mut self) {
        // gpsfake ends its gpsd when it is asked to end itself; killed, it would leave it behind.
        if self.is_running() && self.signal(Signal::CONT).is_ok() && self.signal(Signal::TERM).is_ok() {
            let _ = self.running.exit_code_within(TO_END);
        }
    }
}

/// Debian has gpsd where only root looks.
fn system_program(name: &str) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env_clear().env("PATH", format!("{path}:/usr/sbin"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
