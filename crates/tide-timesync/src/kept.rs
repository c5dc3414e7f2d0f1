//! What is known from one run to the next, and the history of all runs. Both survive a power cut.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tide_durable::{Durable, IfExists};
use tide_photo::CapturedAt;
use tide_photo::clock_report::ClockReport;

use crate::drift::Track;
use crate::keeper::OurBound;

/// How many runs the history holds: 2,000 are 500 days of the timer's four a day. Ours.
const LONGEST_HISTORY: usize = 2_000;

const KEPT_FILE: &str = "kept.json";
const HISTORY_FILE: &str = "history.jsonl";

/// What one run leaves to the next.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// The boot that all of this but the battery-backed clock is about.
    pub boot_id: String,
    /// What GPS said at the checks of this boot.
    pub track: Track,
    /// The bound that the kernel was given last, in microseconds, and when, in microseconds since the boot.
    pub bound_us: Option<(u64, u64)>,
    /// Whether the clock was set, or found right, in this boot.
    pub was_set: bool,
    /// What the steps after the first came to in this boot, in microseconds.
    pub stepped_us: u64,
    /// The last report of this boot that a GPS time stands behind.
    pub report: Option<ClockReport>,
    /// What GPS said when the clock was last refused in this boot.
    pub refused: Option<Refused>,
    /// The clock of another may be off by this much whatever the kernel says, as GPS last found it, in milliseconds.
    pub floor_ms: Option<u32>,
    /// Whether GPS contradicted it then.
    pub is_keeper_wrong: bool,
    /// When GPS was first not believed for the sake of the leap seconds, in microseconds since the boot.
    pub doubted_at_us: Option<u64>,
    /// When the battery-backed clock was written last, and how exactly.
    pub rtc: Option<RtcWritten>,
}

/// A run in which GPS could be trusted, and yet the clock was not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// How many such runs there were in a row, in which GPS said the same.
    pub runs: u32,
    /// What it said: UTC less the time since the boot, in microseconds.
    pub gps_less_monotonic_us: i64,
    /// How far that may have been off, in microseconds.
    pub uncertainty_us: u64,
    /// When, in microseconds since the boot.
    pub at_us: u64,
    /// When the first of those runs was.
    pub since_us: u64,
}

/// The last writing of the battery-backed clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtcWritten {
    /// Which it was.
    pub name: String,
    /// The true time then.
    pub at: CapturedAt,
    /// How far it may have been off then, in microseconds.
    pub uncertainty_us: u64,
    /// How fast it was found to go wrong at most, in parts per million, if that was measured.
    #[serde(default)]
    pub ppm: Option<u32>,
    /// How fast the system clock may go wrong, from which the kernel may have written it since; in parts per million.
    pub clock_ppm: u32,
}

impl Kept {
    /// What was known last, by the first of these folders that knows of this boot: one of them may be on a disk that takes no
    /// writes, another be emptied by a restart. Nothing if no file is there and whole, and only what outlives a boot after one.
    pub fn read(folders: &[&Path], boot_id: &str) -> Self {
        let read = |folder: &&Path| serde_json::from_slice::<Self>(&std::fs::read(folder.join(KEPT_FILE)).ok()?).ok();
        let all: Vec<Self> = folders.iter().filter_map(read).collect();
        let of_this_boot = all.iter().find(|kept| kept.boot_id == boot_id && !boot_id.is_empty());
        let rtc = all.first().and_then(|kept| kept.rtc.clone());
        of_this_boot.cloned().unwrap_or_else(|| Self { boot_id: boot_id.to_owned(), rtc, ..Self::default() })
    }

    /// Writes it for the next run of this boot.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn write_for_this_boot(&self, folder: &Path) -> io::Result<()> {
        let durable = Durable::open(folder)?;
        durable.publish(&durable.root().join(KEPT_FILE), &serde_json::to_vec(self)?, IfExists::Replace)
    }

    /// Writes it for the next run, and the run itself behind the history.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn write(&self, folder: &Path, run: &Run) -> io::Result<()> {
        let durable = Durable::open(folder)?;
        durable.sweep(durable.root())?;
        durable.publish(&durable.root().join(KEPT_FILE), &serde_json::to_vec(self)?, IfExists::Replace)?;
        let path = durable.root().join(HISTORY_FILE);
        let before = match durable.read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            bytes => bytes?,
        };
        // One rotten byte costs its line, not the others.
        let before = String::from_utf8_lossy(&before);
        let line = serde_json::to_string(run)?;
        let mut lines: Vec<&str> = before.lines().collect();
        lines.drain(..(lines.len() + 1).saturating_sub(LONGEST_HISTORY));
        lines.push(&line);
        durable.publish(&path, (lines.join("\n") + "\n").as_bytes(), IfExists::Replace)
    }

    /// The bound that the kernel was given last in this boot.
    pub fn our_bound(&self) -> Option<OurBound> {
        self.bound_us.map(|(max_error_us, set_at_us)| OurBound { max_error_us, set_at_us })
    }
}

/// One run, as the history keeps it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// When it ended, by the clock as it then was.
    pub at: String,
    /// The kernel's id of the boot.
    pub boot_id: String,
    /// 0 to 3, as the prototype's.
    pub exit_code: u8,
    /// What was found and done, one sentence each.
    pub said: Vec<String>,
    /// Where the clock has its time from now.
    pub source: String,
    /// GPS less the system clock, before anything was done, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset_us: Option<i64>,
    /// How far that may be off, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncertainty_us: Option<u64>,
    /// How many fixes agreed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixes: Option<usize>,
    /// How fast the system clock's oscillator runs, in parts per million.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_ppm: Option<f64>,
    /// GPS less the battery-backed clock, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtc_offset_us: Option<i64>,
    /// How fast the battery-backed clock runs, in parts per million.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtc_ppm: Option<f64>,
    /// How far that may be off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtc_ppm_uncertainty: Option<f64>,
    /// The battery-backed clock's temperature in degrees Celsius.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtc_temperature_c: Option<f32>,
    /// Whether its battery is low.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtc_battery_is_low: Option<bool>,
}

/// The last run of the history, if there is one.
pub fn last_run(folder: &Path) -> Option<Run> {
    let history = std::fs::read_to_string(folder.join(HISTORY_FILE)).ok()?;
    serde_json::from_str(history.lines().last()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_outlives_a_run_and_the_written_rtc_a_boot() {
        let folder = tempfile::tempdir().unwrap();
        let rtc =
            RtcWritten { name: "x".to_owned(), at: CapturedAt::EPOCH, uncertainty_us: 7, ppm: None, clock_ppm: 70 };
        let kept = Kept { boot_id: "a".to_owned(), was_set: true, rtc: Some(rtc.clone()), ..Kept::default() };
        kept.write(folder.path(), &Run::default()).unwrap();
        assert_eq!(Kept::read(&[folder.path()], "a"), kept);
        let next = Kept::read(&[folder.path()], "b");
        assert_eq!((next.was_set, next.rtc, next.boot_id.as_str()), (false, Some(rtc), "b"));
        let run = tempfile::tempdir().unwrap();
        let later = Kept { stepped_us: 9, ..kept.clone() };
        later.write_for_this_boot(run.path()).unwrap();
        assert_eq!(Kept::read(&[run.path(), folder.path()], "a"), later, "the disk has taken no writes since");
        std::fs::write(folder.path().join(KEPT_FILE), "{").unwrap();
        assert_eq!(Kept::read(&[folder.path()], "a"), Kept { boot_id: "a".to_owned(), ..Kept::default() });
    }

    #[test]
    fn the_history_holds_the_last_runs() {
        let folder = tempfile::tempdir().unwrap();
        let lines = (0..LONGEST_HISTORY + 5).map(|number| format!("{{\"fixes\":{number}}}\n")).collect::<String>();
        std::fs::write(folder.path().join(HISTORY_FILE), lines).unwrap();
        Kept::default().write(folder.path(), &Run { fixes: Some(9_999), ..Run::default() }).unwrap();
        let history = std::fs::read_to_string(folder.path().join(HISTORY_FILE)).unwrap();
        assert_eq!(history.lines().count(), LONGEST_HISTORY);
        assert!(history.starts_with("{\"fixes\":6}\n"));
        assert_eq!(last_run(folder.path()).unwrap().fixes, Some(9_999));
        assert_eq!(last_run(std::path::Path::new("/nowhere")), None);
    }
}
