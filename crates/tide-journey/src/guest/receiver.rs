//! A GPS receiver with a clock of its own, which speaks NMEA once a second.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::Timestamp;

/// A receiver.
pub struct Receiver {
    begins: Timestamp,
    sentences: Arc<dyn Fn(Timestamp) -> String + Send + Sync>,
}

/// A receiver that is on.
pub(crate) struct Playing {
    begins: Timestamp,
    on_since: Instant,
}

/// Time from switching on to the first sentences: whoever wants to hear them has opened the port by then. QEMU keeps what is
/// said before, where a port would drop it.
const SILENT: Duration = Duration::from_secs(2);

impl Receiver {
    /// One whose clock shows a full second at the moment when it is switched on; what it says each second.
    #[must_use]
    pub fn new(begins: Timestamp, sentences: impl Fn(Timestamp) -> String + Send + Sync + 'static) -> Self {
        Self { begins, sentences: Arc::new(sentences) }
    }

    /// Speaks into a socket for as long as that is open.
    pub(crate) fn play_into(&self, port: &Path) -> anyhow::Result<Playing> {
        let mut port = UnixStream::connect(port).context("failed to connect to the guest's serial port")?;
        let (begins, on_since, sentences) = (self.begins, Instant::now(), Arc::clone(&self.sentences));
        thread::spawn(move || {
            let mut after = SILENT;
            loop {
                thread::sleep((on_since + after).saturating_duration_since(Instant::now()));
                let Ok(time) = begins.checked_add(after) else { return };
                if port.write_all(sentences(time).as_bytes()).is_err() {
                    return;
                }
                after += Duration::from_secs(1);
            }
        });
        Ok(Playing { begins, on_since })
    }
}

impl Playing {
    /// What its clock showed; `None` before it was on.
    pub(crate) fn time_at(&self, at: Instant) -> Option<Timestamp> {
        self.begins.checked_add(at.checked_duration_since(self.on_since)?).ok()
    }
}

/// What a receiver says that knows time and place: RMC and GGA, off Deal in Kent.
pub fn fix(time: Timestamp) -> String {
    let (clock, date) = (time.strftime("%H%M%S.00"), time.strftime("%d%m%y"));
    let minimum = format!("GPRMC,{clock},A,5113.4000,N,00124.5000,E,0.0,0.0,{date},,,A");
    let position = format!("GPGGA,{clock},5113.4000,N,00124.5000,E,1,09,0.9,4.0,M,45.0,M,,");
    [minimum, position].map(|fields| sentence(&fields)).concat()
}

/// An NMEA sentence with what goes around its fields.
pub fn sentence(fields: &str) -> String {
    let checksum = fields.bytes().fold(0, |sum, byte| sum ^ byte);
    format!("${fields}*{checksum:02X}\r\n")
}
