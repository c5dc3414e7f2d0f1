//! Settings: what is known of the clock.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// What is known of the clock.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clock {
    /// Where the program that sets the clock says from what it did. There need not be such a file.
    pub report: PathBuf,
    /// The rest of this table is that program's.
    #[serde(rename = "folder")]
    _folder: Option<IgnoredAny>,
    #[serde(rename = "log_file")]
    _log_file: Option<IgnoredAny>,
    #[serde(rename = "limits")]
    _limits: Option<IgnoredAny>,
}

impl Default for Clock {
    fn default() -> Self {
        let report = PathBuf::from("/run/tide-timesync/report.json");
        Self { report, _folder: None, _log_file: None, _limits: None }
    }
}
