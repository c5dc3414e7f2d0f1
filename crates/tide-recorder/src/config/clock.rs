//! Settings: what is known of the clock.

use std::path::PathBuf;

use serde::Deserialize;

/// What is known of the clock.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clock {
    /// Where the program that sets the clock says from what it did. There need not be such a file.
    pub report: PathBuf,
}

impl Default for Clock {
    fn default() -> Self {
        Self { report: PathBuf::from("/run/tide-timesync/report.json") }
    }
}
