//! The station's log, read while it grows.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result};

/// How the station begins what it says to the person who typed the command.
const SPOKEN: &str = "tide-recorder: ";

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

/// What a person should see of a line, if anything: what the station says to a person, a warning, or an error.
pub(crate) fn notable(line: &str) -> Option<&str> {
    let logged = || {
        let (_time, rest) = line.split_once(' ')?;
        let rest = rest.trim_start();
        (rest.starts_with("WARN ") || rest.starts_with("ERROR ")).then_some(rest)
    };
    line.strip_prefix(SPOKEN).or_else(logged)
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
    fn only_what_a_person_should_see_is_notable() {
        let cases = [
            ("tide-recorder: 1 of 6 photos could not be taken", Some("1 of 6 photos could not be taken")),
            (
                "2026-11-22T17:28:35.084044Z ERROR tide_recorder::uploader: refused sequence=7",
                Some("ERROR tide_recorder::uploader: refused sequence=7"),
            ),
            (
                "2026-11-22T17:28:35.084044Z  WARN tide_recorder::uploader: later",
                Some("WARN tide_recorder::uploader: later"),
            ),
            ("2026-11-22T17:28:35.084044Z  INFO tide_recorder::station: running", None),
            ("", None),
        ];
        for (line, expected) in cases {
            assert_eq!(notable(line), expected, "{line}");
        }
    }
}
