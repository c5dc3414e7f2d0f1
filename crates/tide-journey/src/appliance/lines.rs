//! A conversation in lines over one of QEMU's sockets.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::wait::until;

/// QEMU opens its sockets before anything else.
const TO_OPEN: Duration = Duration::from_secs(20);

/// Both directions of a socket.
pub(super) struct Lines {
    stream: BufReader<UnixStream>,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
}

impl Lines {
    /// Connects as soon as the socket is there.
    pub(super) fn connect(socket: &Path) -> anyhow::Result<Self> {
        let what = format!("{} takes a connection", socket.display());
        let (stream, _) = until(&what, TO_OPEN, || Ok(UnixStream::connect(socket).ok()))?;
        Ok(Self { stream: BufReader::new(stream), begun: Vec::new() })
    }

    /// Says a line.
    pub(super) fn say(&mut self, line: &str) -> anyhow::Result<()> {
        Ok(self.stream.get_mut().write_all(format!("{line}\n").as_bytes())?)
    }

    /// The next line; `None` if none has come to its end by then.
    pub(super) fn next(&mut self, by: Instant) -> anyhow::Result<Option<String>> {
        loop {
            let left = by.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.get_ref().set_read_timeout(Some(left))?;
            match self.stream.read_until(b'\n', &mut self.begun) {
                Ok(_) if self.begun.ends_with(b"\n") => {
                    let line = String::from_utf8_lossy(&std::mem::take(&mut self.begun)).trim().to_owned();
                    return Ok(Some(line));
                }
                Ok(_) => bail!("QEMU has closed its socket"),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => (),
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => return Err(error).context("failed to read from QEMU's socket"),
            }
        }
    }
}
