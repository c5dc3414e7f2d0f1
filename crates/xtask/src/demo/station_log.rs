//! The station's log, read while it grows.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result};

/// What the station logs when a receipt has released a photo.
const RECEIPT: &str = "delivered a photo";

/// What it logs when the server will never take one.
const REFUSAL: &str = "the server refuses a photo";

/// Reads lines as they come.
pub(crate) struct Follower {
    log: BufReader<File>,
    line: String,
}

impl Follower {
    /// Follows a log from its present end on.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(crate) fn at_end_of(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
        let mut log = BufReader::new(file);
        log.seek(SeekFrom::End(0))?;
        Ok(Self { log, line: String::new() })
    }

    /// Shows every line that has been written to its end since the last call.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub(crate) fn each_new(&mut self, mut look: impl FnMut(&str)) -> Result<()> {
        while self.log.read_line(&mut self.line)? > 0 {
            if !self.line.ends_with('\n') {
                // The rest is still being written.
                return Ok(());
            }
            look(self.line.trim_end());
            self.line.clear();
        }
        Ok(())
    }
}

/// Whether a line tells of a delivered photo.
pub(crate) fn is_receipt(line: &str) -> bool {
    line.contains(RECEIPT)
}

/// The line, if it tells of a photo that will never be delivered.
pub(crate) fn refusal(line: &str) -> Option<&str> {
    line.contains(REFUSAL).then_some(line)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_line_is_seen_once_and_whole() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "an old line: delivered a photo").unwrap();
        let mut follower = Follower::at_end_of(file.path()).unwrap();
        let mut seen = Vec::new();
        for piece in ["INFO delivered", " a photo\nWARN the server", " refuses a photo\n"] {
            write!(file, "{piece}").unwrap();
            follower.each_new(|line| seen.push(line.to_owned())).unwrap();
        }
        assert_eq!(seen, ["INFO delivered a photo", "WARN the server refuses a photo"]);
        assert!(is_receipt(&seen[0]) && !is_receipt(&seen[1]));
        assert!(refusal(&seen[0]).is_none() && refusal(&seen[1]).is_some());
    }
}
