//! A disk in memory that holds hundreds of thousands of photos of a few bytes, and never fails. What power cuts do to a spool is
//! tested elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tide_durable::{Disk, DraftFile, Entry, IfExists};

/// The disk; clones share it.
#[derive(Clone, Default)]
pub(super) struct MemoryDisk(Arc<Mutex<Folders>>);

type Folders = BTreeMap<PathBuf, Folder>;

#[derive(Default)]
struct Folder {
    files: BTreeMap<OsString, Vec<u8>>,
    folders: BTreeSet<OsString>,
}

impl MemoryDisk {
    /// An empty disk that has the folder `root`.
    pub(super) fn with_folder(root: &Path) -> Self {
        let disk = Self::default();
        disk.lock().insert(root.to_owned(), Folder::default());
        disk
    }

    /// Files that are there.
    pub(super) fn files(&self) -> usize {
        self.lock().values().map(|folder| folder.files.len()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Folders> {
        // A panic within a test ends the test.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, path: &Path, work: impl FnOnce(&mut Folder, &OsStr) -> io::Result<T>) -> io::Result<T> {
        let mut folders = self.lock();
        let found = path.parent().and_then(|parent| folders.get_mut(parent)).zip(path.file_name());
        let (folder, name) = found.ok_or(io::ErrorKind::NotFound)?;
        work(folder, name)
    }

    fn with_file<T>(&self, path: &Path, work: impl FnOnce(&mut Vec<u8>) -> T) -> io::Result<T> {
        self.with(path, |folder, name| {
            folder.files.get_mut(name).map(work).ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }
}

impl Disk for MemoryDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DraftFile>> {
        self.with(path, |folder, name| match folder.files.insert(name.to_owned(), Vec::new()) {
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => Ok(()),
        })?;
        Ok(Box::new(MemoryFile { disk: self.clone(), path: path.to_owned() }))
    }

    fn append(&self, path: &Path) -> io::Result<(Box<dyn DraftFile>, u64)> {
        let length = self.size_bytes(path)?;
        Ok((Box::new(MemoryFile { disk: self.clone(), path: path.to_owned() }), length))
    }

    fn rename(&self, from: &Path, to: &Path, if_exists: IfExists) -> io::Result<()> {
        let taken = self.with(to, |folder, name| Ok(folder.files.contains_key(name)))?;
        if taken && if_exists == IfExists::Refuse {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let bytes = self.with(from, |folder, name| folder.files.remove(name).ok_or(io::ErrorKind::NotFound.into()))?;
        self.with(to, |folder, name| {
            folder.files.insert(name.to_owned(), bytes);
            Ok(())
        })
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.with(folder, |parent, name| {
            parent.folders.insert(name.to_owned());
            Ok(())
        })?;
        self.lock().entry(folder.to_owned()).or_default();
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.with_file(path, |_| ())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.with(path, |folder, name| match folder.files.remove(name) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        })
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        let is_empty = |folder: &Folder| folder.files.is_empty() && folder.folders.is_empty();
        match self.lock().get(folder).map(is_empty) {
            None => return Err(io::ErrorKind::NotFound.into()),
            Some(false) => return Err(io::ErrorKind::DirectoryNotEmpty.into()),
            Some(true) => (),
        }
        self.lock().remove(folder);
        self.with(folder, |parent, name| {
            parent.folders.remove(name);
            Ok(())
        })
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let folders = self.lock();
        let folder = folders.get(folder).ok_or(io::ErrorKind::NotFound)?;
        let entry = |is_folder| move |name: &OsString| Entry { name: name.clone(), is_folder };
        Ok(folder.folders.iter().map(entry(true)).chain(folder.files.keys().map(entry(false))).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        self.with_file(path, |bytes| Box::new(Cursor::new(bytes.clone())) as Box<dyn Read + Send>)
    }

    fn size_bytes(&self, path: &Path) -> io::Result<u64> {
        self.with_file(path, |bytes| bytes.len() as u64)
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

/// A file that is being written.
struct MemoryFile {
    disk: MemoryDisk,
    path: PathBuf,
}

impl Write for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.with_file(&self.path, |file| file.extend_from_slice(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DraftFile for MemoryFile {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
