//! The disk of the machine.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::disk::{Disk, DraftFile, Entry, IfExists};

/// The file system that the operating system shows.
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DraftFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Box::new(file))
    }

    fn create_private(&self, path: &Path) -> io::Result<Box<dyn DraftFile>> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(file))
    }

    fn append(&self, path: &Path) -> io::Result<(Box<dyn DraftFile>, u64)> {
        let file = OpenOptions::new().append(true).open(path)?;
        let length_bytes = file.metadata()?.len();
        Ok((Box::new(file), length_bytes))
    }

    fn rename(&self, from: &Path, to: &Path, if_exists: IfExists) -> io::Result<()> {
        match if_exists {
            IfExists::Replace => fs::rename(from, to),
            IfExists::Refuse => match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
                // Some network and FUSE file systems cannot refuse within a rename, but every one that has hard links can here.
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                    fs::hard_link(from, to).and_then(|()| fs::remove_file(from))
                }
                result => Ok(result?),
            },
        }
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        match fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
            result => result,
        }
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        fs::remove_dir(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        fs::read_dir(folder)?
            .map(|entry| {
                let entry = entry?;
                Ok(Entry { name: entry.file_name(), is_folder: entry.file_type()?.is_dir() })
            })
            .collect()
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(path)?))
    }

    fn size_bytes(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::symlink_metadata(path)?.len())
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(folder)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

impl DraftFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
