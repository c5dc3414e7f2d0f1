//! Bytes where they lie, under a name or not: for tests of what a disk gives away.

use std::io;
use std::path::Path;

use super::{CrashDisk, Node};
use crate::disk::Disk;

impl CrashDisk {
    /// Overwrites a file's bytes with zeros, and forces that to the disk.
    ///
    /// # Errors
    /// If there is no such file, or the power is off.
    pub fn overwrite(&self, path: &Path) -> io::Result<()> {
        let mut state = self.step()?;
        let number = state.file(path)?;
        state.files[number].live.fill(0);
        drop(state);
        self.sync_file(path)
    }

    /// What files held that have no name any more, and what of it was on the disk: many file systems leave it in their free room.
    pub fn nameless(&self) -> Vec<Vec<u8>> {
        let state = self.lock();
        let has_name =
            |number| state.live.values().chain(state.durable.values()).any(|node| *node == Node::File(number));
        let nameless = state.files.iter().enumerate().filter(|(number, _)| !has_name(*number));
        nameless.flat_map(|(_, bytes)| [bytes.live.clone(), bytes.durable.clone()]).collect()
    }
}
