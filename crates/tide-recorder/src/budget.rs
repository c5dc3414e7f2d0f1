//! What goes when the disk is too small for all photos: the policy, in one place.
//!
//! The oldest photos of the archive go first: the server holds them. Then, only if the operator allowed it with
//! `drop_undelivered`, the oldest that are not delivered, each counted. Otherwise a new photo is not let in; it waits in memory,
//! and once that is full it is given up, counted.

use crate::config::Disk;

/// Smallest unit of a file system's room, in bytes: ext4's block. Each file takes whole ones.
const BLOCK_BYTES: u64 = 4_096;

/// What is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Bytes of undelivered photos, as far as they are known.
    pub spool_bytes: u64,
    /// Bytes of the archive, as far as they are known.
    pub archive_bytes: u64,
    /// Whether the archive has a photo to give.
    pub may_archive_give: bool,
    /// Whether an undelivered photo is there to be dropped.
    pub may_spool_give: bool,
}

/// What to do next, so that a new photo may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is room.
    TakeIn,
    /// Remove the oldest photos of the archive, at least so many bytes.
    RemoveArchived {
        /// How many.
        bytes: u64,
    },
    /// Drop the oldest undelivered photos, at least so many bytes.
    DropUndelivered {
        /// How many.
        bytes: u64,
    },
    /// There is no room, and none may be made.
    Refuse,
}

/// The next step for a photo of `incoming_bytes` on the disk.
pub fn next_step(limits: &Disk, usage: &Usage, incoming_bytes: u64) -> Step {
    let bytes = missing_bytes(limits, usage, incoming_bytes);
    match bytes {
        0 => Step::TakeIn,
        _ if usage.may_archive_give => Step::RemoveArchived { bytes },
        _ if limits.drop_undelivered && usage.may_spool_give => Step::DropUndelivered { bytes },
        _ => Step::Refuse,
    }
}

/// Bytes that must leave the archive, so that it keeps its own limit and, with the spool, the common one.
pub fn archive_excess_bytes(limits: &Disk, usage: &Usage) -> u64 {
    let own = limits.archive_max_bytes.map_or(0, |limit| usage.archive_bytes.saturating_sub(limit));
    own.max(missing_bytes(limits, usage, 0))
}

/// What a photo takes on the disk: its image and its manifest, in whole blocks.
pub fn bytes_on_disk(image_bytes: u64) -> u64 {
    file_bytes(image_bytes) + BLOCK_BYTES
}

/// What a file of this length takes on the disk.
pub fn file_bytes(length: u64) -> u64 {
    length.div_ceil(BLOCK_BYTES) * BLOCK_BYTES
}

fn missing_bytes(limits: &Disk, usage: &Usage, incoming_bytes: u64) -> u64 {
    let reserve = limits.min_free_bytes.saturating_add(incoming_bytes).saturating_sub(usage.free_bytes);
    let taken = usage.spool_bytes.saturating_add(usage.archive_bytes).saturating_add(incoming_bytes);
    reserve.max(limits.max_bytes.map_or(0, |limit| taken.saturating_sub(limit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EASY: Usage = Usage {
        free_bytes: 10_000,
        spool_bytes: 500,
        archive_bytes: 300,
        may_archive_give: true,
        may_spool_give: true,
    };

    fn limits(max_bytes: Option<u64>, drop_undelivered: bool) -> Disk {
        Disk { min_free_bytes: 1_000, max_bytes, drop_undelivered, ..Disk::default() }
    }

    #[test]
    fn the_reserve_stays_free_and_the_quota_holds() {
        let step = |free_bytes, limits| next_step(&limits, &Usage { free_bytes, ..EASY }, 200);
        assert_eq!(step(1_200, limits(None, false)), Step::TakeIn);
        assert_eq!(step(1_199, limits(None, false)), Step::RemoveArchived { bytes: 1 });
        assert_eq!(step(10_000, limits(Some(1_000), false)), Step::TakeIn);
        assert_eq!(step(10_000, limits(Some(999), false)), Step::RemoveArchived { bytes: 1 });
        assert_eq!(step(900, limits(Some(990), false)), Step::RemoveArchived { bytes: 300 }, "the greater need");
    }

    #[test]
    fn delivered_photos_go_first_and_undelivered_ones_only_if_that_is_allowed() {
        let usage = Usage { free_bytes: 0, archive_bytes: 0, may_archive_give: false, ..EASY };
        assert_eq!(next_step(&limits(None, true), &EASY, 20_000), Step::RemoveArchived { bytes: 11_000 });
        assert_eq!(next_step(&limits(None, true), &usage, 200), Step::DropUndelivered { bytes: 1_200 });
        assert_eq!(next_step(&limits(None, false), &usage, 200), Step::Refuse);
        let nothing = Usage { may_spool_give: false, ..usage };
        assert_eq!(next_step(&limits(None, true), &nothing, 200), Step::Refuse);
    }

    #[test]
    fn the_archive_keeps_its_own_limit_too() {
        let excess = |archive_max_bytes, max_bytes| {
            archive_excess_bytes(&Disk { archive_max_bytes, ..limits(max_bytes, false) }, &EASY)
        };
        assert_eq!(excess(None, None), 0);
        assert_eq!(excess(Some(100), None), 200);
        assert_eq!(excess(Some(250), Some(600)), 200);
        assert_eq!(excess(Some(0), None), 300);
    }

    #[test]
    fn files_take_whole_blocks() {
        assert_eq!([0, 1, 4_096, 4_097].map(bytes_on_disk), [4_096, 8_192, 8_192, 12_288]);
    }
}
