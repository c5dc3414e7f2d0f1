//! The station's log, read while it grows.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result};

/// What the station logs when a receipt has released a photo.
const DELIVERED: &str = "delivered a photo";

/// What it logs when a photo is kept and will not be delivered: the server never takes it, or the disk has damaged it.
const REFUSED: &[&str] = &["the server refuses a photo", "a photo in the spool is damaged"];

/// What it logs when it will try again.
const DELAYED: &str = "the server did not take a photo";

/// How it begins what it says to the person who typed the command.
const SPOKEN: &str = "tide-recorder: ";

/// What a line of the log tells about a waiting photo.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The server holds it.
    Delivered {
        /// Which one.
        sequence: u64,
    },
    /// It stays on the station.
    Refused {
        /// Which one.
        sequence: u64,
    },
    /// It, or another, is offered again later.
    Delayed,
}

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

/// What a line tells, if it is about a waiting photo.
pub(crate) fn event(line: &str) -> Option<Event> {
    if let Some((_, fields)) = line.split_once(DELIVERED) {
        return Some(Event::Delivered { sequence: sequence(fields)? });
    }
    if let Some((_, fields)) = REFUSED.iter().find_map(|words| line.split_once(words)) {
        return Some(Event::Refused { sequence: sequence(fields)? });
    }
    line.contains(DELAYED).then_some(Event::Delayed)
}

/// What the station says to a person in this line, if that is what it does there.
pub(crate) fn spoken(line: &str) -> Option<&str> {
    line.strip_prefix(SPOKEN)
}

/// The number in `... sequence=12 ...`.
fn sequence(fields: &str) -> Option<u64> {
    let (_, number) = fields.split_once("sequence=")?;
    number.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
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
    }

    #[test]
    fn lines_are_understood() {
        let cases = [
            (
                "INFO tide_recorder::uploader: delivered a photo sequence=12 id=9 waiting=3",
                Event::Delivered { sequence: 12 },
            ),
            (
                "ERROR tide_recorder::uploader: the server refuses a photo; it is kept sequence=7 reason=\"415: no\"",
                Event::Refused { sequence: 7 },
            ),
            ("ERROR u: a photo in the spool is damaged; it is kept sequence=8 error=x", Event::Refused { sequence: 8 }),
            ("WARN u: the server did not take a photo; it stays reason=\"busy\" wait_s=0.7", Event::Delayed),
        ];
        for (line, expected) in cases {
            assert_eq!(event(line), Some(expected), "{line}");
        }
        assert_eq!(event("INFO tide_recorder::station: took a photo sequence=13"), None);
        assert_eq!(spoken("tide-recorder: 1 of 6 photos could not be taken"), Some("1 of 6 photos could not be taken"));
        assert_eq!(spoken("2026-11-22T17:00:00Z  INFO tide_recorder::station: running"), None);
    }
}
