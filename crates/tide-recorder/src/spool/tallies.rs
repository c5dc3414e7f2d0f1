//! What the spool counts for ever: photos given up, and captures that were cut off.

use std::io;
use std::path::{Path, PathBuf};

use tide_durable::{Durable, IfExists};

/// The counts of a station.
#[derive(Debug)]
pub(super) struct Tallies {
    /// Photos taken and given up undelivered.
    pub(super) dropped: Tally,
    /// Captures that an interruption cut off before they were whole.
    pub(super) incomplete: Tally,
}

/// A number that only grows, in a file.
#[derive(Debug)]
pub(super) struct Tally {
    file: PathBuf,
    total: u64,
    saved: u64,
}

impl Tally {
    /// Goes on from where the file says. One that cannot be read is begun anew, and told.
    pub(super) fn open(durable: &Durable, file: PathBuf) -> Self {
        let saved = read_number(durable, &file).unwrap_or_else(|error| {
            tracing::error!(file = %file.display(), %error, "a count of the spool cannot be read; it begins again at 0");
            None
        });
        let saved = saved.unwrap_or_default();
        Self { file, total: saved, saved }
    }

    /// The count.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Counts on the disk first: for what is done only afterwards, so that a crash in between counts too many, never too few.
    ///
    /// # Errors
    /// If the disk refuses; then nothing is counted.
    pub(super) fn count_before(&mut self, durable: &Durable, more: u64) -> io::Result<()> {
        write_number(durable, &self.file, self.total + more)?;
        self.total += more;
        self.saved = self.total;
        Ok(())
    }

    /// Counts what has happened already; on the disk as soon as that takes it.
    pub(super) fn count(&mut self, durable: &Durable, more: u64) {
        self.total += more;
        self.save(durable);
    }

    /// How much of the count the disk has not taken.
    pub(super) fn unsaved(&self) -> u64 {
        self.total - self.saved
    }

    /// Puts on the disk what is not there yet, if the disk takes it.
    pub(super) fn save(&mut self, durable: &Durable) {
        if self.saved < self.total && write_number(durable, &self.file, self.total).is_ok() {
            self.saved = self.total;
        }
    }
}

/// The number in a file; `None` if there is no such file.
///
/// # Errors
/// If it cannot be read; [`io::ErrorKind::InvalidData`] if it holds no number.
pub(super) fn read_number(durable: &Durable, file: &Path) -> io::Result<Option<u64>> {
    match durable.read(file) {
        Ok(text) => {
            let number = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
            number.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it holds no number"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts a number into a file.
///
/// # Errors
/// If the disk refuses.
pub(super) fn write_number(durable: &Durable, file: &Path, number: u64) -> io::Result<()> {
    durable.publish(file, number.to_string().as_bytes(), IfExists::Replace)
}
