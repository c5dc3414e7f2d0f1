//! Files that survive a power cut. A file is written beside its place under a name that marks it as unfinished, forced to
//! the disk, renamed into its place, and the folder is forced to the disk; whatever an interruption leaves unfinished is
//! swept at the next start. Nothing here knows what the files hold.

mod alone;
mod disk;
mod durable;
mod folder_syncs;
mod real;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use alone::Alone;
pub use disk::{Disk, DraftFile, Entry, IfExists};
pub use durable::{Draft, Durable, PART_SUFFIX};
