//! One process at a time.

use std::fs::{File, TryLockError};
use std::io;

use crate::durable::Durable;

/// While this lives, no other process can have the same folder alone. The system lets go of it however the process ends.
#[derive(Debug)]
pub struct Alone {
    _lock: File,
}

impl Durable {
    /// Claims the folder for this process, by a lock on its file `lock`.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if another process has it.
    pub fn claim_alone(&self) -> io::Result<Alone> {
        let path = self.root().join("lock");
        if !path.exists() {
            File::options().create(true).append(true).open(&path)?;
        }
        // Only for reading: it can be locked on a disk that takes no writes, and does not keep one from being made so.
        let lock = File::open(&path)?;
        match lock.try_lock() {
            Ok(()) => Ok(Alone { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}
