//! Making room, as the [`budget`] says.

use std::io;

use super::index::Standing;
use super::layout::{DONE, GONE, IMAGE, MANIFEST, PARKED};
use super::{Spool, remove_if_there};
use crate::agenda::Waiting;
use crate::budget::{self, Step, Usage};

impl Spool {
    /// Makes room for a photo.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] if there is none and none may be made.
    pub(super) fn make_room(&self, image_bytes: u64) -> io::Result<()> {
        let incoming_bytes = budget::bytes_on_disk(image_bytes);
        // Looked at once: a file system may tell of freed room only later.
        let mut usage = self.usage()?;
        let mut is_all_read = false;
        loop {
            match budget::next_step(&self.limits, &usage, incoming_bytes) {
                Step::TakeIn => return Ok(()),
                Step::RemoveArchived { bytes } => {
                    let removed = self.archive.remove_oldest(bytes);
                    usage.archive_bytes = usage.archive_bytes.saturating_sub(removed);
                    usage.free_bytes = usage.free_bytes.saturating_add(removed);
                    usage.may_archive_give = removed >= bytes;
                }
                // The oldest of all are meant, not of those that happen to be known.
                Step::DropUndelivered { .. } if !is_all_read => {
                    self.read_folders();
                    is_all_read = true;
                    usage.spool_bytes = self.lock().bytes;
                }
                Step::DropUndelivered { bytes } => {
                    let dropped = self.drop_oldest(bytes)?;
                    usage.spool_bytes = usage.spool_bytes.saturating_sub(dropped);
                    usage.free_bytes = usage.free_bytes.saturating_add(dropped);
                    usage.may_spool_give = dropped >= bytes;
                }
                Step::Refuse => {
                    let reason = "the limits in [disk] leave no room for another undelivered photo";
                    return Err(io::Error::new(io::ErrorKind::StorageFull, reason));
                }
            }
        }
    }

    /// Keeps the archive within its limit, and the reserve free.
    pub(super) fn trim_archive(&self) {
        let excess = self.usage().map_or(0, |usage| budget::archive_excess_bytes(&self.limits, &usage));
        if excess > 0 {
            self.archive.remove_oldest(excess);
        }
    }

    /// Bytes of a photo on the disk; 0 where there is no limit to them.
    pub(super) fn bytes_of(&self, sequence: u64) -> u64 {
        if self.limits.max_bytes.is_none() {
            return 0;
        }
        self.bytes_found(sequence)
    }

    /// Moves the image of a `.done` to the archive. If that fails it is removed like one for which there is no archive: a full
    /// disk must not keep delivered photos in the spool.
    pub(super) fn move_to_archive(&self, sequence: u64) {
        let subject = self.durable.read(&self.layout.file(sequence, DONE)).map(|json| serde_json::from_slice(&json));
        let kept = match subject {
            Ok(Ok(subject)) => self.archive.keep(&self.layout.file(sequence, IMAGE), &subject),
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(error),
        };
        match kept {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(sequence, %error, "a delivered photo could not be archived; it is removed");
            }
            _ => (),
        }
    }

    /// Removes what is left of a photo that was given up.
    pub(super) fn finish_gone(&self, sequence: u64) -> io::Result<()> {
        remove_if_there(|| self.durable.remove(&self.layout.file(sequence, IMAGE)))?;
        // The marker too may be a dropped photo's.
        remove_if_there(|| self.durable.remove_lazily(&self.layout.file(sequence, PARKED)))?;
        self.durable.remove_lazily(&self.layout.file(sequence, GONE))
    }

    fn usage(&self) -> io::Result<Usage> {
        let archive_bytes = self.archive.bytes();
        let free_bytes = self.durable.free_bytes()?;
        let spool_bytes = self.lock().bytes;
        Ok(Usage { free_bytes, spool_bytes, archive_bytes, may_archive_give: true, may_spool_give: true })
    }

    /// Drops the oldest undelivered photos, at least so many bytes if there are; how many bytes. One whose receipt is on its way
    /// may be among them: then one is counted too many.
    fn drop_oldest(&self, bytes: u64) -> io::Result<u64> {
        let mut dropped = 0;
        while dropped < bytes {
            let Some(sequence) = self.oldest_on_disk() else { break };
            dropped += self.drop_one(sequence)?;
        }
        Ok(dropped)
    }

    /// The count comes first: should the power go in between, one is counted too many, and none too few.
    fn drop_one(&self, sequence: u64) -> io::Result<u64> {
        let manifests = self.lock_manifests();
        if self.lock().index.standing(sequence).is_none() {
            return Ok(0);
        }
        let (tracked_bytes, bytes) = (self.bytes_of(sequence), self.bytes_found(sequence));
        self.lock_tallies().dropped.count_before(&self.durable, 1)?;
        self.durable.rename(&self.layout.file(sequence, MANIFEST), &self.layout.file(sequence, GONE))?;
        self.lock().forget(sequence, tracked_bytes);
        drop(manifests);
        self.finish_gone(sequence)?;
        tracing::warn!(sequence, "dropped the oldest undelivered photo, as `drop_undelivered` in [disk] allows");
        Ok(bytes)
    }

    fn oldest_on_disk(&self) -> Option<u64> {
        let state = self.lock();
        let in_memory = |sequence| state.memory.get(sequence).is_some();
        let waiting = state.index.oldest(&in_memory);
        let parked = state.index.first(Standing::Parked).filter(|sequence| !in_memory(*sequence));
        waiting.into_iter().chain(parked).min()
    }

    fn bytes_found(&self, sequence: u64) -> u64 {
        budget::bytes_on_disk(self.durable.size_bytes(&self.layout.file(sequence, IMAGE)).unwrap_or_default())
    }
}
