//! What `tide-provision disk` found and did, for `tide-provision apply` to show.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The file's name in `/run/tide`.
pub const FILE_NAME: &str = "data-state";

/// The state of the data partition at this boot, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataState {
    /// The device that is to be mounted; none if there is a problem.
    pub device: Option<PathBuf>,
    /// The partition's number.
    pub partition: Option<u32>,
    /// Its size.
    pub size_bytes: u64,
    /// Whether it was made at this boot.
    pub was_made: bool,
    /// Whether damage was repaired at this boot.
    pub was_repaired: bool,
    /// The number of the partition that was set aside, at this boot or before: photos may still be on it.
    pub set_aside: Option<u32>,
    /// Entries in `lost+found`: files whose names a repair could not find again.
    pub lost_and_found: u64,
    /// Whether what an earlier file system in this place held is lost.
    pub was_made_anew: bool,
    /// What the operator should know, in sentences; none on a good day.
    pub notes: Vec<String>,
    /// What the programs said, for whoever looks closer.
    pub details: Vec<String>,
    /// Why there is no place for photos, and what to do.
    pub problem: Option<String>,
}

impl DataState {
    /// Reads it from `/run/tide`.
    ///
    /// # Errors
    /// If it is not there, or is something else.
    pub fn read(run: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(run.join(FILE_NAME))?)?)
    }

    /// Writes it. `/run` lasts until the next boot only.
    pub(super) fn write(&self, run: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        let beside = run.join(format!("{FILE_NAME}.part"));
        fs::write(&beside, text)?;
        fs::rename(beside, run.join(FILE_NAME))
    }
}
