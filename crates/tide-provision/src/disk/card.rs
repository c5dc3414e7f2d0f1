//! What is done to a card, in our words.

use super::layout::{Partition, Table};
use super::programs::Ended;

/// A card with a table of partitions. What happens to it lasts when a call returns.
pub(super) trait Card {
    /// Its table.
    ///
    /// # Errors
    /// If it has none that can be read.
    fn table(&mut self) -> anyhow::Result<Table>;

    /// Makes the kernel know a partition, whether or not the table does.
    ///
    /// # Errors
    /// If the kernel will not have it.
    fn attach(&mut self, partition: Partition) -> anyhow::Result<()>;

    /// Whether something beside us uses a partition: it can be neither checked nor made then.
    ///
    /// # Errors
    /// If that cannot be told.
    fn is_in_use(&mut self, partition: Partition) -> anyhow::Result<bool>;

    /// Makes an empty file system in a partition, with this file for people in it.
    ///
    /// # Errors
    /// If it cannot be made.
    fn make(&mut self, partition: Partition, file: Option<&FileForPeople>) -> anyhow::Result<()>;

    /// Enters a partition in the table, behind the others.
    ///
    /// # Errors
    /// If that fails.
    fn enter(&mut self, partition: Partition) -> anyhow::Result<()>;

    /// Lets e2fsck check a file system, and repair what is safe to repair.
    fn check(&mut self, partition: Partition) -> Ended;

    /// Lets e2fsck repair all that it can.
    fn repair(&mut self, partition: Partition) -> Ended;

    /// Mounts a file system, reads its root folder, and unmounts it.
    fn trial(&mut self, partition: Partition) -> Trial;
}

/// How a trial mount went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trial {
    /// Well.
    Works(Contents),
    /// It did not, for this reason.
    Fails(String),
}

/// What is found in a file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// Entries in `lost+found`: files whose names a repair could not find again.
    pub(super) lost_and_found: u64,
    /// Whether it holds [`MADE_ANEW`].
    pub(super) says_made_anew: bool,
}

/// A text in the root folder of a new file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileForPeople {
    /// Its name.
    pub(super) name: &'static str,
    /// What it says.
    pub(super) text: &'static str,
}

/// In a file system that took the place of one whose photos are lost, so that the loss is told at every boot.
pub(super) const MADE_ANEW: FileForPeople = FileForPeople {
    name: "MADE-ANEW.txt",
    text: "The file system on this partition was damaged beyond repair, and there was no room for another one.\n\
           It was made anew: what it held before is lost. Replace the card soon.\n\
           The station's status tells of this until this file is deleted.\n",
};

/// In the second data partition.
pub(super) const SET_ASIDE: FileForPeople = FileForPeople {
    name: "README-set-aside.txt",
    text: "The file system on this card's partition 3 was damaged beyond repair. It was left as it is, since a person with the\n\
           right tools may still get photos off it, and the station goes on here, on partition 4. Replace the card soon.\n",
};
