//! What this crate asks of a disk. One real implementation, one test double (`testing::CrashDisk`).

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::Path;

/// What to do when a rename finds its place taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// Fail with [`io::ErrorKind::AlreadyExists`]; nothing is ever overwritten.
    Refuse,
    /// Put the new file in place of the old one, at one instant.
    Replace,
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, without its folder.
    pub name: OsString,
    /// Whether it is a folder itself.
    pub is_folder: bool,
}

/// The file operations whose order decides what survives.
pub trait Disk: Send + Sync {
    /// Creates and opens a file that must not exist yet.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if it does.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DraftFile>>;

    /// The same, for a secret: from its beginning on nobody but its owner may read it. A disk that knows no owners has one kind
    /// of file.
    ///
    /// # Errors
    /// As [`Disk::create`].
    fn create_private(&self, path: &Path) -> io::Result<Box<dyn DraftFile>> {
        self.create(path)
    }

    /// Opens a file that is there, to write on behind its end; and its length in bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    fn append(&self, path: &Path) -> io::Result<(Box<dyn DraftFile>, u64)>;

    /// Moves a file to another name of the same file system.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the name is taken and `if_exists` refuses.
    fn rename(&self, from: &Path, to: &Path, if_exists: IfExists) -> io::Result<()>;

    /// Creates one folder; its parent exists. A folder that exists already is as good.
    ///
    /// # Errors
    /// Those of the file system.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// Forces the names in a folder to the disk.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Forces the bytes of a closed file to the disk.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    ///
    /// # Errors
    /// [`io::ErrorKind::DirectoryNotEmpty`] if it is not.
    fn remove_folder(&self, folder: &Path) -> io::Result<()>;

    /// The names in a folder, in no particular order.
    ///
    /// # Errors
    /// Those of the file system.
    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>>;

    /// Opens a file for reading from its beginning.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>>;

    /// Length of a file in bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    fn size_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Bytes that a process without privileges may still write on the file system of a folder.
    ///
    /// # Errors
    /// Those of the file system.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// A file that is being written.
pub trait DraftFile: Write + Send {
    /// Forces the bytes written so far to the disk.
    ///
    /// # Errors
    /// Those of the file system. After one, the bytes may be lost even if a second call succeeds.
    fn sync(&mut self) -> io::Result<()>;
}
