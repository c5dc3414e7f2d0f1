//! Settings: how much of the disk photos may take.

use serde::Deserialize;

/// How much of the disk photos may take. What goes first when it is too much: [`crate::budget`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Disk {
    /// Bytes of the data folder's file system that photos leave free, for the system's own logs and updates.
    pub min_free_bytes: u64,
    /// Bytes that spool and archive may take together. None: as many as are free.
    pub max_bytes: Option<u64>,
    /// Bytes that the archive of delivered photos may take; 0 keeps none. None: as many as are free.
    pub archive_max_bytes: Option<u64>,
    /// Whether the oldest undelivered photos may be given up, counted, when there is no other room for new ones. If not, a
    /// new photo is given up, counted, once memory is full too.
    pub drop_undelivered: bool,
    /// Bytes of photos that may wait in memory while the disk takes none. They do not survive a power cut.
    pub memory_bytes: u64,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            // Ours: the journal of a week, and one update of our programs.
            min_free_bytes: 256 * 1_024 * 1_024,
            max_bytes: None,
            archive_max_bytes: None,
            drop_undelivered: false,
            // Ours: about a hundred photos of the default size, and little even for a Pi with 512 MiB.
            memory_bytes: 16 * 1_024 * 1_024,
        }
    }
}
