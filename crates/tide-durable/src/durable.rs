//! Publishing, and sweeping what was never published.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::{Disk, DraftFile, Entry, IfExists};
use crate::folder_syncs::FolderSyncs;
use crate::real::RealDisk;

/// How the name of an unfinished file ends.
pub const PART_SUFFIX: &str = ".part";

/// A folder whose files survive a power cut. Clones share what they know of it.
#[derive(Clone)]
pub struct Durable {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    /// Folders whose own name this process has forced to the disk. A folder that merely exists may be the unsynced work of a
    /// process that died, or of another thread right now.
    settled: Arc<Mutex<HashSet<PathBuf>>>,
    folder_syncs: Arc<FolderSyncs>,
    next_part: Arc<AtomicU64>,
}

impl Durable {
    /// The folder `root` of the machine's disk, created with its parents if need be.
    ///
    /// # Errors
    /// If the folder cannot be created or forced to the disk.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let durable = Self::on(Arc::new(RealDisk), &root.canonicalize()?);
        durable.settle_root()?;
        Ok(durable)
    }

    /// The folder `root` of the machine's disk as it is: it is neither made nor forced to the disk, and may be out of reach.
    pub fn at(root: &Path) -> Self {
        Self::on(Arc::new(RealDisk), root)
    }

    /// The folder `root`, which exists, on any disk: the way in for tests.
    pub fn on(disk: Arc<dyn Disk>, root: &Path) -> Self {
        let root = root.to_owned();
        let settled = Arc::new(Mutex::new(HashSet::from([root.clone()])));
        Self { disk, root, settled, folder_syncs: Arc::default(), next_part: Arc::default() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Forces the root's own name to the disk, and that of each folder above it: any of them may have been made only now, or by
    /// a process that was killed before it could do this.
    ///
    /// # Errors
    /// If a folder cannot be forced to the disk.
    pub fn settle_root(&self) -> io::Result<()> {
        for folder in self.root.ancestors().skip(1) {
            match self.disk.sync_folder(folder) {
                // A folder that may not be read (above a mount point, say) was made by somebody else, long before us.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => (),
                result => result?,
            }
        }
        Ok(())
    }

    /// Makes `bytes` the file `path`, whole or not at all.
    ///
    /// # Errors
    /// If any step fails; the file then must not be counted on, and is not there under its name unless only the last step
    /// (forcing the folder) failed.
    pub fn publish(&self, path: &Path, bytes: &[u8], if_exists: IfExists) -> io::Result<()> {
        let mut draft = self.draft(parent_of(path)?)?;
        draft.write_all(bytes)?;
        draft.publish(path, if_exists)
    }

    /// The same for a secret, which nobody but the file's owner may read at any moment.
    ///
    /// # Errors
    /// As [`Durable::publish`].
    pub fn publish_private(&self, path: &Path, bytes: &[u8], if_exists: IfExists) -> io::Result<()> {
        let mut draft = self.draft_of(parent_of(path)?, Reader::Owner)?;
        draft.write_all(bytes)?;
        draft.publish(path, if_exists)
    }

    /// Begins a file in `folder` (created if need be) whose bytes come in pieces and whose place may not be known yet.
    ///
    /// # Errors
    /// If the folder or the file cannot be created.
    pub fn draft(&self, folder: &Path) -> io::Result<Draft> {
        self.draft_of(folder, Reader::Anybody)
    }

    fn draft_of(&self, folder: &Path, reader: Reader) -> io::Result<Draft> {
        let (path, file) = self.in_folder(folder, || self.create_part(folder, reader))?;
        Ok(Draft { durable: self.clone(), file: Some(file), path, if_dropped: IfDropped::Removed })
    }

    /// Goes on with an unfinished file that has a name of its own (published empty, say), at its end; and its length in bytes.
    /// Dropping this draft leaves the file as it is, for the next one to go on with. Nothing but [`Draft::publish`] forces what
    /// was written to the disk: after a power cut the file may be shorter, or hold other bytes in its last part.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is no such file.
    pub fn resume(&self, path: &Path) -> io::Result<(Draft, u64)> {
        let (file, length_bytes) = self.disk.append(path)?;
        let draft =
            Draft { durable: self.clone(), file: Some(file), path: path.to_owned(), if_dropped: IfDropped::Stays };
        Ok((draft, length_bytes))
    }

    /// Creates `folder` and its parents up to the root where they are missing, and forces each one's name to the disk.
    ///
    /// # Errors
    /// If a folder cannot be created or forced to the disk, or is not below the root.
    pub fn ensure_folder(&self, folder: &Path) -> io::Result<()> {
        if self.is_settled(folder) {
            return Ok(());
        }
        if !folder.starts_with(&self.root) {
            let message = format!("{} is not below {}", folder.display(), self.root.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let parent = parent_of(folder)?;
        self.ensure_folder(parent)?;
        self.disk.create_folder(folder)?;
        self.disk.sync_folder(parent)?;
        self.lock_settled().insert(folder.to_owned());
        Ok(())
    }

    /// Makes sure that a file which is already in its place will stay there: for one found after an interruption, when it is
    /// not known how far its publishing went.
    ///
    /// # Errors
    /// If the file or a folder cannot be forced to the disk.
    pub fn settle(&self, path: &Path) -> io::Result<()> {
        let folder = parent_of(path)?;
        self.ensure_folder(folder)?;
        self.disk.sync_file(path)?;
        self.sync_folder(folder)
    }

    /// Gives a published file another name in the same folder, for good.
    ///
    /// # Errors
    /// If it cannot be renamed; or if the folder cannot be forced to the disk: it then has its new name already, but a power
    /// cut may take that back.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to, IfExists::Replace)?;
        self.sync_folder(parent_of(to)?)
    }

    /// Moves a published file to another folder (created if need be) of the same file system, for good. The disk makes the
    /// rename whole or not at all, as every file system with a journal does.
    ///
    /// # Errors
    /// As [`Durable::rename`]; or if the name is taken and `if_exists` refuses.
    pub fn move_to(&self, from: &Path, to: &Path, if_exists: IfExists) -> io::Result<()> {
        let folder = parent_of(to)?;
        self.in_folder(folder, || self.disk.rename(from, to, if_exists))?;
        // The new name first: the file must not be without one.
        self.disk.sync_folder(folder)?;
        self.disk.sync_folder(parent_of(from)?)
    }

    /// Removes a file for good.
    ///
    /// # Errors
    /// If it cannot be removed, or the folder not forced to the disk.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)?;
        self.sync_folder(parent_of(path)?)
    }

    /// Removes a file whose return after a power cut would do no harm.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove_lazily(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    /// Removes an empty folder whose return after a power cut would do no harm.
    ///
    /// # Errors
    /// If it cannot be removed: because there is something in it, for instance.
    pub fn remove_folder_lazily(&self, folder: &Path) -> io::Result<()> {
        self.lock_settled().remove(folder);
        self.disk.remove_folder(folder)
    }

    /// Removes the unfinished files that an interruption left in `folder`; call it before the first draft. Returns how many.
    ///
    /// # Errors
    /// If the folder cannot be listed or a file not removed. A folder that does not exist has nothing to sweep.
    pub fn sweep(&self, folder: &Path) -> io::Result<usize> {
        let mut swept = 0;
        for entry in self.list(folder)? {
            if !entry.is_folder && is_part(&entry.name) {
                self.disk.remove(&folder.join(&entry.name))?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// The names in `folder`, none if it does not exist.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        match self.disk.list(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            entries => entries,
        }
    }

    /// Opens a published file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    pub fn open_file(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        self.disk.open(path)
    }

    /// Reads a published file whole.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.disk.open(path)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Length of a published file in bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    pub fn size_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.size_bytes(path)
    }

    /// Bytes that may still be written on the root's file system. The kernel answers without touching the disk.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes(&self.root)
    }

    /// Does `work` in `folder`, created if need be. Should somebody have removed a folder that this process knew (thumbnails, to
    /// have them made again), all are looked at anew.
    fn in_folder<T>(&self, folder: &Path, work: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match self.ensure_folder(folder).and_then(|()| work()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.lock_settled().retain(|settled| *settled == self.root);
                self.ensure_folder(folder)?;
                work()
            }
            result => result,
        }
    }

    fn create_part(&self, folder: &Path, reader: Reader) -> io::Result<(PathBuf, Box<dyn DraftFile>)> {
        loop {
            let number = self.next_part.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{}-{number}{PART_SUFFIX}", std::process::id()));
            let file = match reader {
                Reader::Anybody => self.disk.create(&path),
                Reader::Owner => self.disk.create_private(&path),
            };
            match file {
                // Left by an earlier process of the same number, in a folder that was not swept.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
                file => return Ok((path, file?)),
            }
        }
    }

    /// Forces the names in a folder to the disk, together with whoever else is waiting for that.
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.folder_syncs.sync(folder, || self.disk.sync_folder(folder))
    }

    fn is_settled(&self, folder: &Path) -> bool {
        self.lock_settled().contains(folder)
    }

    fn lock_settled(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        // A set of names cannot be left half changed.
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An unfinished file. Dropping it removes it, unless it came from [`Durable::resume`].
pub struct Draft {
    durable: Durable,
    file: Option<Box<dyn DraftFile>>,
    path: PathBuf,
    if_dropped: IfDropped,
}

/// Who may read a file, as far as the process's file mode creation mask lets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Anybody,
    Owner,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IfDropped {
    Removed,
    Stays,
}

impl Draft {
    /// Forces the bytes to the disk and gives the file its place.
    ///
    /// # Errors
    /// As [`Durable::publish`].
    pub fn publish(mut self, path: &Path, if_exists: IfExists) -> io::Result<()> {
        let folder = parent_of(path)?;
        self.open_file()?.sync()?;
        let Self { durable, path: part, .. } = &self;
        durable.in_folder(folder, || durable.disk.rename(part, path, if_exists))?;
        self.file = None;
        self.durable.sync_folder(folder)
    }

    /// Opens what was written so far, for reading from its beginning.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn read_back(&self) -> io::Result<Box<dyn Read + Send>> {
        self.durable.disk.open(&self.path)
    }

    fn open_file(&mut self) -> io::Result<&mut Box<dyn DraftFile>> {
        self.file.as_mut().ok_or_else(|| io::Error::other("the file has been published"))
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.open_file()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open_file()?.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.file.take().is_some() && self.if_dropped == IfDropped::Removed {
            // What cannot be removed now is swept at the next start.
            drop(self.durable.disk.remove(&self.path));
        }
    }
}

fn is_part(name: &OsStr) -> bool {
    name.as_encoded_bytes().ends_with(PART_SUFFIX.as_bytes())
}

fn parent_of(path: &Path) -> io::Result<&Path> {
    path.parent()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{} has no folder", path.display())))
}
