//! The log, in the prototype's form: to standard error, where the journal takes it up, and to a file.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What was done.
    Info,
    /// Somebody should look.
    Warning,
    /// It could not be done.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
        })
    }
}

/// Size at which the file is put aside as `NAME.1`, in bytes: a mebibyte, some months of the timer's. Ours.
const LARGEST_BYTES: u64 = 1 << 20;

/// The log.
#[derive(Debug, Default)]
pub struct Journal {
    file: Option<File>,
    #[cfg(test)]
    pub(crate) lines: Vec<String>,
}

impl Journal {
    /// A log that also goes to `path`, if that can be written; that it cannot is its first line.
    pub fn open(path: &Path) -> Self {
        let mut journal = Self::default();
        match open(path) {
            Ok(file) => journal.file = Some(file),
            Err(error) => journal.warn(format_args!("failed to write the log to {}: {error}", path.display())),
        }
        journal
    }

    /// Says what was done.
    pub fn info(&mut self, text: impl fmt::Display) {
        self.say(Level::Info, text);
    }

    /// Says what somebody should look at.
    pub fn warn(&mut self, text: impl fmt::Display) {
        self.say(Level::Warning, text);
    }

    /// Says what could not be done.
    pub fn error(&mut self, text: impl fmt::Display) {
        self.say(Level::Error, text);
    }

    fn say(&mut self, level: Level, text: impl fmt::Display) {
        let line = line(Timestamp::now(), level, &text.to_string());
        eprintln!("{line}");
        // A log that cannot be written is no reason to leave the clock wrong.
        if let Some(file) = &mut self.file {
            drop(writeln!(file, "{line}"));
        }
        #[cfg(test)]
        self.lines.push(line);
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    if fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() > LARGEST_BYTES) {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".1");
        if fs::rename(path, PathBuf::from(aside)).is_err() {
            // Whoever may write the file need not have the right to rename it.
            keep_the_end(path)?;
        }
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// Keeps the last quarter of the file, from the beginning of a line.
fn keep_the_end(path: &Path) -> std::io::Result<()> {
    let text = fs::read(path)?;
    let quarter = &text[text.len() - text.len() / 4..];
    let begin = quarter.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    fs::write(path, &quarter[begin..])
}

/// The prototype's form. Whatever a device has said of itself stays on one line.
fn line(now: Timestamp, level: Level, text: &str) -> String {
    let time = now.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S");
    let text: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    format!("[GPS-RTC SYNC] {time} - [{level}] {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_prototypes_form() {
        let now: Timestamp = "2026-05-31T18:00:00.9Z".parse().unwrap();
        assert_eq!(line(now, Level::Info, "a\nb"), "[GPS-RTC SYNC] 2026-05-31 18:00:00 - [INFO] a b");
        assert!(line(now, Level::Warning, "x").ends_with("- [WARNING] x"));
    }

    #[test]
    fn a_file_that_has_grown_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gps_rtc_sync.log");
        fs::write(&path, vec![b'x'; usize::try_from(LARGEST_BYTES).unwrap() + 1]).unwrap();
        Journal::open(&path).info("new");
        assert!(fs::read_to_string(&path).unwrap().ends_with("- [INFO] new\n"));
        assert!(folder.path().join("gps_rtc_sync.log.1").exists());
        let mut nowhere = Journal::open(Path::new("/nowhere/x.log"));
        nowhere.info("goes on");
        assert_eq!(nowhere.lines.len(), 2);
    }
}
