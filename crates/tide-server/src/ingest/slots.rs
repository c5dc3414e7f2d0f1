//! How many photos may be on their way in at the same time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Each upload needs up to 256 KiB of memory, with its connection.
const UPLOADS_AT_ONCE: usize = 192;

/// Places for uploads. Clones share them.
#[derive(Clone)]
pub struct UploadSlots(Arc<Semaphore>);

/// One upload's place, until it is dropped.
pub(super) type UploadSlot = OwnedSemaphorePermit;

impl UploadSlots {
    /// All free.
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(UPLOADS_AT_ONCE)))
    }

    /// Takes a place; `None` if there is none.
    pub fn take(&self) -> Option<UploadSlot> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }

    /// Whether nobody is uploading at this moment: time for work that can wait.
    pub fn are_all_free(&self) -> bool {
        self.0.available_permits() == UPLOADS_AT_ONCE
    }
}

impl Default for UploadSlots {
    fn default() -> Self {
        Self::new()
    }
}
