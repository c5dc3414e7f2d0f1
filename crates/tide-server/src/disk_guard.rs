//! Refuses photos while there is still room for everything else: a full disk would stop the pages, the catalog and the log too.

use std::io;
use std::path::PathBuf;

/// Watches the file systems that hold what may grow.
#[derive(Debug, Clone)]
pub struct DiskGuard {
    folders: Vec<PathBuf>,
    floor_bytes: u64,
}

impl DiskGuard {
    /// Keeps `floor_bytes` free on the file system of each folder.
    pub fn new(folders: Vec<PathBuf>, floor_bytes: u64) -> Self {
        Self { folders, floor_bytes }
    }

    /// Looks now; the kernel answers without touching the disk.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] if there is less room than the floor.
    pub fn check(&self) -> io::Result<()> {
        for folder in &self.folders {
            let found = rustix::fs::statvfs(folder)?;
            // What an unprivileged process may use.
            if found.f_bavail.saturating_mul(found.f_frsize) < self.floor_bytes {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_down_to_the_floor() {
        let folder = tempfile::tempdir().unwrap();
        let guard = |floor_bytes| DiskGuard::new(vec![folder.path().to_owned()], floor_bytes);
        assert!(guard(0).check().is_ok());
        assert_eq!(guard(u64::MAX).check().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
