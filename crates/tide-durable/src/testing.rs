//! `CrashDisk`: a disk in memory on which the power can be cut at any step.
//!
//! It keeps two images: the live one that programs see, and the durable one that holds only what was forced to the disk. After
//! a cut the next program finds the durable image plus any part of what was still on its way, as real file systems do: a name
//! may have arrived without its bytes, bytes without their name, some names and not others.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DraftFile, Entry, IfExists};

mod bytes;
mod searches;

pub use searches::{search_cuts, search_cuts_after_kill};

/// What of the unforced work had reached the disk when the power went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// None of it.
    Nothing,
    /// All of it, so that nothing is on its way any more. (After SIGKILL everything is visible too, but still on its way: see
    /// [`CrashDisk::after_kill`].)
    Everything,
    /// Names, but no bytes: what a rename before its fsync leaves on ext4 (a file of zero length).
    NamesWithoutBytes,
    /// Each change by itself or not, chosen by this seed; of unforced bytes, any beginning.
    Some(u64),
}

impl Outcome {
    /// The three extremes and eight mixtures.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Nothing, Self::Everything, Self::NamesWithoutBytes].into_iter().chain((0..8).map(Self::Some))
    }
}

/// A disk in memory whose power goes before step N, and that can be told to skip one of its syncs.
#[derive(Clone, Default)]
pub struct CrashDisk(Arc<Mutex<State>>);

#[derive(Clone, Default)]
struct State {
    live: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    files: Vec<Bytes>,
    steps: usize,
    cut_before_step: Option<usize>,
    is_cut: bool,
    syncs: usize,
    skipped_sync: Option<usize>,
    failing_step: Option<usize>,
    is_read_only: bool,
    capacity_bytes: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    Folder,
    File(usize),
}

#[derive(Clone, Default)]
struct Bytes {
    live: Vec<u8>,
    durable: Vec<u8>,
}

impl CrashDisk {
    /// An empty disk that has the folder `root`.
    pub fn with_folder(root: &Path) -> Self {
        let disk = Self::default();
        let mut state = disk.lock();
        for folder in root.ancestors() {
            state.live.insert(folder.to_owned(), Node::Folder);
            state.durable.insert(folder.to_owned(), Node::Folder);
        }
        drop(state);
        disk
    }

    /// Cuts the power before step `step` (the first is 0): from then on every change fails.
    #[must_use]
    pub fn cut_before(self, step: usize) -> Self {
        self.lock().cut_before_step = Some(step);
        self
    }

    /// Makes the `sync`-th forcing of a file or folder (the first is 0) report success without doing anything: the bug that the
    /// tests must be able to see.
    #[must_use]
    pub fn skip_sync(self, sync: usize) -> Self {
        self.lock().skipped_sync = Some(sync);
        self
    }

    /// Makes step `step` (the first is 0) fail without doing anything, and only this one: a disk that is full for a moment.
    #[must_use]
    pub fn fail_at(self, step: usize) -> Self {
        self.lock().failing_step = Some(step);
        self
    }

    /// Makes every change fail from now on, or no longer: a disk that the kernel has mounted read-only.
    pub fn set_read_only(&self, is_read_only: bool) {
        self.lock().is_read_only = is_read_only;
    }

    /// Gives the disk so much room for the bytes of files; what does not fit is refused. Without this it is endless.
    #[must_use]
    pub fn with_capacity(self, bytes: u64) -> Self {
        self.lock().capacity_bytes = Some(bytes);
        self
    }

    /// Changes made so far.
    pub fn steps(&self) -> usize {
        self.lock().steps
    }

    /// Syncs made so far.
    pub fn syncs(&self) -> usize {
        self.lock().syncs
    }

    /// Whether the power has gone: a change has been refused.
    pub fn is_cut(&self) -> bool {
        self.lock().is_cut
    }

    /// What the next program finds after the power is back.
    #[must_use]
    pub fn after_power_cut(&self, outcome: Outcome) -> Self {
        let before = self.lock();
        let mut chance = Chance::new(outcome);
        let mut after = State { capacity_bytes: before.capacity_bytes, ..State::default() };
        for path in before.durable.keys().chain(before.live.keys()) {
            let change_arrived = before.live.get(path) == before.durable.get(path) || chance.name_arrives();
            let names = if change_arrived { &before.live } else { &before.durable };
            if let Some(node) = names.get(path) {
                after.live.insert(path.clone(), *node);
            }
        }
        let reachable: Vec<PathBuf> =
            after.live.keys().filter(|path| has_all_folders(&after.live, path)).cloned().collect();
        after.live.retain(|path, _| reachable.contains(path));
        after.files = before.files.iter().map(|bytes| chance.surviving(bytes)).collect();
        after.durable = after.live.clone();
        Self(Arc::new(Mutex::new(after)))
    }

    /// What the next program finds after this one was killed (SIGKILL) and the power stayed on: everything is visible, but what
    /// was not forced to the disk still is not, and a later power cut can take it.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let before = self.lock();
        let (live, durable, files) = (before.live.clone(), before.durable.clone(), before.files.clone());
        let capacity_bytes = before.capacity_bytes;
        Self(Arc::new(Mutex::new(State { live, durable, files, capacity_bytes, ..State::default() })))
    }

    /// Every file with its bytes, as a program sees them.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.lock();
        let file = |(path, node): (&PathBuf, &Node)| match node {
            Node::File(number) => Some((path.clone(), state.files[*number].live.clone())),
            Node::Folder => None,
        };
        state.live.iter().filter_map(file).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        if state.cut_before_step.is_some_and(|cut| state.steps >= cut) {
            state.is_cut = true;
            return Err(io::Error::other("the power is off"));
        }
        if state.is_read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        state.steps += 1;
        if state.failing_step == Some(state.steps - 1) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(state)
    }

    /// A step that is a sync; `None` if this is the one to skip.
    fn sync_step(&self) -> io::Result<Option<MutexGuard<'_, State>>> {
        let mut state = self.step()?;
        let number = state.syncs;
        state.syncs += 1;
        Ok((state.skipped_sync != Some(number)).then_some(state))
    }
}

impl Disk for CrashDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DraftFile>> {
        let mut state = self.step()?;
        state.has_folder_of(path)?;
        if state.live.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let number = state.files.len();
        state.files.push(Bytes::default());
        state.live.insert(path.to_owned(), Node::File(number));
        Ok(Box::new(OpenFile { disk: self.clone(), number }))
    }

    fn append(&self, path: &Path) -> io::Result<(Box<dyn DraftFile>, u64)> {
        let state = self.lock();
        let number = state.file(path)?;
        let length_bytes = state.files[number].live.len() as u64;
        Ok((Box::new(OpenFile { disk: self.clone(), number }), length_bytes))
    }

    fn rename(&self, from: &Path, to: &Path, if_exists: IfExists) -> io::Result<()> {
        let mut state = self.step()?;
        state.has_folder_of(to)?;
        if if_exists == IfExists::Refuse && state.live.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = state.live.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.live.insert(to.to_owned(), node);
        Ok(())
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.step()?;
        state.has_folder_of(folder)?;
        state.live.entry(folder.to_owned()).or_insert(Node::Folder);
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let Some(mut state) = self.sync_step()? else { return Ok(()) };
        let inside = |path: &PathBuf| path.parent() == Some(folder);
        let live: Vec<_> =
            state.live.iter().filter(|(path, _)| inside(path)).map(|(path, node)| (path.clone(), *node)).collect();
        state.durable.retain(|path, _| !inside(path));
        state.durable.extend(live);
        Ok(())
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        let Some(mut state) = self.sync_step()? else { return Ok(()) };
        let number = state.file(path)?;
        state.files[number].durable = state.files[number].live.clone();
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.step()?;
        state.file(path)?;
        state.live.remove(path);
        Ok(())
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.step()?;
        if state.live.keys().any(|path| path.parent() == Some(folder)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state.live.remove(folder).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let state = self.lock();
        if state.live.get(folder) != Some(&Node::Folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let entry = |(path, node): (&PathBuf, &Node)| {
            let name = path.file_name().filter(|_| path.parent() == Some(folder))?.to_owned();
            Some(Entry { name, is_folder: *node == Node::Folder })
        };
        Ok(state.live.iter().filter_map(entry).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        let state = self.lock();
        let number = state.file(path)?;
        Ok(Box::new(Cursor::new(state.files[number].live.clone())))
    }

    fn size_bytes(&self, path: &Path) -> io::Result<u64> {
        let state = self.lock();
        Ok(state.files[state.file(path)?].live.len() as u64)
    }

    fn free_bytes(&self, _folder: &Path) -> io::Result<u64> {
        Ok(self.lock().free_bytes())
    }
}

impl State {
    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.live.get(path) {
            Some(Node::File(number)) => Ok(*number),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn free_bytes(&self) -> u64 {
        let Some(capacity_bytes) = self.capacity_bytes else { return u64::MAX };
        let bytes_of = |node: &Node| match node {
            Node::File(number) => self.files[*number].live.len() as u64,
            Node::Folder => 0,
        };
        capacity_bytes.saturating_sub(self.live.values().map(bytes_of).sum())
    }

    fn has_folder_of(&self, path: &Path) -> io::Result<()> {
        match path.parent().and_then(|folder| self.live.get(folder)) {
            Some(Node::Folder) => Ok(()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

struct OpenFile {
    disk: CrashDisk,
    number: usize,
}

impl Write for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.step()?;
        if state.free_bytes() < bytes.len() as u64 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.files[self.number].live.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DraftFile for OpenFile {
    fn sync(&mut self) -> io::Result<()> {
        let Some(mut state) = self.disk.sync_step()? else { return Ok(()) };
        state.files[self.number].durable = state.files[self.number].live.clone();
        Ok(())
    }
}

fn has_all_folders(nodes: &BTreeMap<PathBuf, Node>, path: &Path) -> bool {
    path.ancestors().skip(1).all(|folder| nodes.get(folder) == Some(&Node::Folder))
}

/// Decides what arrives, from the outcome alone.
struct Chance {
    outcome: Outcome,
    state: u64,
}

impl Chance {
    fn new(outcome: Outcome) -> Self {
        let seed = if let Outcome::Some(seed) = outcome { seed } else { 0 };
        Self { outcome, state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1) }
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014): the same sequence for the same seed, everywhere.
    fn draw(&mut self, below: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below
    }

    fn name_arrives(&mut self) -> bool {
        match self.outcome {
            Outcome::Nothing => false,
            Outcome::Everything | Outcome::NamesWithoutBytes => true,
            Outcome::Some(_) => self.draw(2) == 0,
        }
    }

    fn surviving(&mut self, bytes: &Bytes) -> Bytes {
        let survived = match self.outcome {
            Outcome::Nothing | Outcome::NamesWithoutBytes => bytes.durable.clone(),
            Outcome::Everything => bytes.live.clone(),
            Outcome::Some(_) if bytes.live == bytes.durable => bytes.live.clone(),
            Outcome::Some(_) => {
                let length = usize::try_from(self.draw(bytes.live.len() as u64 + 1)).unwrap_or_default();
                bytes.live[..length].to_vec()
            }
        };
        Bytes { durable: survived.clone(), live: survived }
    }
}
