//! `tide-timesync fixes`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::FixesOptions;
use super::sync::receivers;
use crate::config::Settings;
use crate::devices::receiver::Event;
use crate::receiver::{Epochs, Fix, Framer};

/// How long a live receiver is waited for before the next look.
const PATIENCE: Duration = Duration::from_secs(1);

/// Prints fixes as they come: those of a recording until its end, those of the receiver for ever.
///
/// # Errors
/// If the recording cannot be read, or nobody reads what is printed.
pub fn fixes(options: &FixesOptions) -> anyhow::Result<()> {
    match print_fixes(options) {
        // Whoever has read enough closes the pipe.
        Err(error)
            if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) =>
        {
            Ok(())
        }
        outcome => outcome,
    }
}

fn print_fixes(options: &FixesOptions) -> anyhow::Result<()> {
    let mut printer = Printer { out: io::stdout().lock(), all: options.all };
    match options.file.as_deref() {
        Some(path) if path == Path::new("-") => {
            printer.recording(io::stdin().lock()).context("failed to read standard input")?;
        }
        Some(path) => {
            let file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
            printer.recording(file).with_context(|| format!("failed to read {}", path.display()))?;
        }
        None => {
            let settings = Settings::load()?;
            let mut receivers = receivers(&settings.gps);
            anyhow::ensure!(
                !receivers.is_empty(),
                "the settings say that there is no receiver (gps.source = \"none\")"
            );
            loop {
                for event in receivers.iter_mut().flat_map(|receiver| receiver.listen(PATIENCE)) {
                    match event {
                        Event::Fix { fix, .. } => printer.print(&fix)?,
                        Event::Note(text) => eprintln!("tide-timesync: {text}"),
                        Event::NoTime { .. } | Event::Pulse { .. } => (),
                    }
                }
            }
        }
    }
    Ok(())
}

struct Printer<W: Write> {
    out: W,
    all: bool,
}

impl<W: Write> Printer<W> {
    /// Lines that begin with `#` before the first message are a recording's own heading.
    fn recording(&mut self, mut file: impl Read) -> io::Result<()> {
        let (mut framer, mut epochs) = (Framer::default(), Epochs::default());
        let mut bytes = vec![0; 65_536];
        let mut fixes = Vec::new();
        loop {
            let count = match file.read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                count => count?,
            };
            if count == 0 {
                return self.out.flush();
            }
            framer.push(&bytes[..count], |frame| fixes.extend(epochs.take(frame, None)));
            fixes.drain(..).try_for_each(|fix| self.print(&fix))?;
        }
    }

    fn print(&mut self, fix: &Fix) -> io::Result<()> {
        // Without a fix gpsd may know no time.
        if fix.mode >= 2 || (self.all && fix.time != jiff::Timestamp::UNIX_EPOCH) {
            writeln!(self.out, "{}", fix.to_json())?;
        }
        Ok(())
    }
}
