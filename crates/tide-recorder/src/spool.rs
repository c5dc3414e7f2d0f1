//! The station's durable queue. A photo enters image first, manifest last, so a manifest on disk means that the photo exists;
//! only the server's receipt releases it.
//!
//! ```text
//! spool/sequence                   numbers below this one may have been given away
//! spool/0000012/0000012345.jpg     a photo, a thousand to a folder
//! spool/0000012/0000012345.json    its manifest: the photo waits
//! spool/0000012/0000012345.parked  why it could not be delivered: the photo is kept but not offered
//! spool/0000012/0000012345.done    released, and about to be removed
//! ```
//!
//! A parked photo is one that the server refused for what it is, or that could not be read. Each start of `tide-recorder run`
//! offers it once more, because a server may have been mended and a card may read again; if nothing changed it is parked again.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tide_durable::{Durable, IfExists};
use tide_photo::Manifest;
use tokio::sync::Notify;

use crate::agenda::Waiting;
use crate::shot::Shot;

/// Photos in one folder: what a card's file system lists quickly.
const FOLDER_PHOTOS: u64 = 1_000;

/// Numbers taken from the counter at a time. Each costs a wait for the card; a restart leaves a gap of at most as many.
const RESERVED_NUMBERS: u64 = 100;

/// The photos that a station has taken and the server has not yet acknowledged.
pub struct Spool {
    durable: Durable,
    state: Mutex<State>,
    arrival: Notify,
}

#[derive(Default)]
struct State {
    waiting: BTreeSet<u64>,
    parked: BTreeSet<u64>,
    next: u64,
    reserved_below: u64,
}

/// What a start found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Photos that wait for the server.
    pub waiting: usize,
    /// Photos that could not be delivered and are not offered.
    pub parked: usize,
    /// Captures that an interruption cut off before they were whole; removed.
    pub incomplete: usize,
}

impl Spool {
    /// Opens the spool in a data folder, and removes what an interruption left unfinished.
    ///
    /// # Errors
    /// If the folder cannot be read or written.
    pub fn open(durable: Durable) -> io::Result<(Self, Found)> {
        let spool = Self { durable, state: Mutex::default(), arrival: Notify::new() };
        spool.durable.ensure_folder(&spool.folder())?;
        spool.durable.sweep(&spool.folder())?;
        let mut found = Found::default();
        let mut state = State { reserved_below: spool.read_counter()?, ..State::default() };
        for entry in spool.durable.list(&spool.folder())? {
            if entry.is_folder {
                spool.open_folder(&spool.folder().join(entry.name), &mut state, &mut found)?;
            }
        }
        (found.waiting, found.parked) = (state.waiting.len(), state.parked.len());
        // The counter file is ahead of every number given away; should it have been lost, the photos still are not repeated.
        let newest = state.waiting.last().max(state.parked.last()).map_or(0, |newest| newest + 1);
        state.next = state.reserved_below.max(newest);
        state.reserved_below = state.next;
        *spool.lock() = state;
        Ok((spool, found))
    }

    /// A number that no photo of this station has had.
    ///
    /// # Errors
    /// If the counter cannot be kept.
    pub fn next_sequence(&self) -> io::Result<u64> {
        let mut state = self.lock();
        if state.next >= state.reserved_below {
            let reserved_below = state.next + RESERVED_NUMBERS;
            self.durable.publish(&self.counter(), reserved_below.to_string().as_bytes(), IfExists::Replace)?;
            state.reserved_below = reserved_below;
        }
        state.next += 1;
        Ok(state.next - 1)
    }

    /// Takes a photo in; when this returns, it survives a power cut.
    ///
    /// # Errors
    /// If the disk refuses; the photo then is not in the spool, and what it left there is removed as far as the disk allows.
    pub fn accept(&self, shot: &Shot) -> io::Result<()> {
        let sequence = shot.manifest.sequence;
        let image = self.durable.publish(&self.file(sequence, "jpg"), &shot.jpeg, IfExists::Refuse);
        image
            .and_then(|()| {
                self.durable.publish(&self.file(sequence, "json"), &shot.manifest.to_json(), IfExists::Refuse)
            })
            .inspect_err(|error| self.discard(sequence, error))?;
        self.lock().waiting.insert(sequence);
        self.arrival.notify_waiters();
        Ok(())
    }

    /// How many photos wait.
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// The number of the photo that `choose` picks from the numbers waiting, lowest first.
    pub fn choose(&self, choose: impl FnOnce(&dyn Waiting) -> Option<u64>) -> Option<u64> {
        choose(&self.lock().waiting)
    }

    /// Returns once a photo waits.
    pub async fn until_waiting(&self) {
        self.until_more_than(0).await;
    }

    /// Returns once more photos wait than `count`.
    pub async fn until_more_than(&self, count: usize) {
        loop {
            let arrival = self.arrival.notified();
            if self.len() > count {
                return;
            }
            arrival.await;
        }
    }

    /// A waiting photo with its manifest.
    ///
    /// # Errors
    /// If it cannot be read; [`io::ErrorKind::InvalidData`] if it is damaged.
    pub fn load(&self, sequence: u64) -> io::Result<Shot> {
        let json = self.durable.read(&self.file(sequence, "json"))?;
        let damaged = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
        let manifest =
            Manifest::from_json(&json).map_err(|error| damaged(format!("its manifest is damaged: {error}")))?;
        let jpeg = self.durable.read(&self.file(sequence, "jpg"))?;
        if tide_photo::Digest::of(&jpeg) != manifest.digest {
            return Err(damaged("its bytes are not those that were captured".to_owned()));
        }
        Ok(Shot { manifest, jpeg })
    }

    /// Lets a photo go that the server has given its receipt for.
    ///
    /// # Errors
    /// If the disk refuses. The photo then either waits as before and is offered again, which does no harm, or it is marked as
    /// done already: it waits no more, and the next start removes what is left of it.
    pub fn release(&self, sequence: u64) -> io::Result<()> {
        let manifest = self.file(sequence, "json");
        let renamed = self.durable.rename(&manifest, &self.file(sequence, "done"));
        // The new name may be there although it could not be forced to the disk. The image stays then: a power cut may bring the
        // manifest back, and it must not come without its image.
        if renamed.is_ok() || self.is_missing(&manifest) {
            self.lock().waiting.remove(&sequence);
        }
        renamed?;
        self.remove_released(sequence)
    }

    /// Keeps a photo that cannot be delivered as it is, with the reason, and stops offering it.
    ///
    /// # Errors
    /// If the disk refuses; the photo then waits as before.
    pub fn park(&self, sequence: u64, reason: &str) -> io::Result<()> {
        self.durable.publish(&self.file(sequence, "parked"), reason.as_bytes(), IfExists::Replace)?;
        let mut state = self.lock();
        state.waiting.remove(&sequence);
        state.parked.insert(sequence);
        Ok(())
    }

    /// Lets every parked photo wait again; how many.
    ///
    /// # Errors
    /// If a marker cannot be removed; that photo and those after it stay parked.
    pub fn offer_parked_again(&self) -> io::Result<usize> {
        let mut offered = 0;
        while let Some(sequence) = self.first_parked() {
            // Should a power cut bring the marker back, the next start removes it once more.
            match self.durable.remove_lazily(&self.file(sequence, "parked")) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => offered += 1,
            }
            let mut state = self.lock();
            state.parked.remove(&sequence);
            state.waiting.insert(sequence);
        }
        self.arrival.notify_waiters();
        Ok(offered)
    }

    fn first_parked(&self) -> Option<u64> {
        self.lock().parked.first().copied()
    }

    /// After a photo could not be taken in: a full disk needs the room, and the image alone is no photo. The manifest goes first
    /// (it may have its name, not yet for good), because it must never be there without its image.
    fn discard(&self, sequence: u64, error: &io::Error) {
        if error.kind() == io::ErrorKind::AlreadyExists {
            return;
        }
        let manifest = self.file(sequence, "json");
        if self.is_missing(&manifest) || self.durable.remove(&manifest).is_ok() {
            // What cannot be removed now is removed at the next start.
            drop(self.durable.remove_lazily(&self.file(sequence, "jpg")));
        }
    }

    fn is_missing(&self, path: &Path) -> bool {
        self.durable.open_file(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    fn open_folder(&self, folder: &Path, state: &mut State, found: &mut Found) -> io::Result<()> {
        self.durable.sweep(folder)?;
        let mut contents = Contents::default();
        for entry in self.durable.list(folder)? {
            contents.note(Path::new(&entry.name));
        }
        for sequence in &contents.done {
            // Both names may have survived the cut; without its image a manifest must not.
            if contents.manifests.remove(sequence) {
                self.durable.remove(&self.file(*sequence, "json"))?;
            }
            // Nor may the manifest come back: the process that renamed it may have been killed before that was for good.
            self.durable.settle(&self.file(*sequence, "done"))?;
            self.remove_released(*sequence)?;
        }
        for sequence in contents.images.difference(&contents.manifests).filter(|image| !contents.done.contains(image)) {
            self.durable.remove(&self.file(*sequence, "jpg"))?;
            found.incomplete += 1;
        }
        // A marker that a power cut brought back after its photo was delivered.
        for sequence in contents.parked.difference(&contents.manifests) {
            self.durable.remove_lazily(&self.file(*sequence, "parked"))?;
        }
        state.waiting.extend(contents.manifests.difference(&contents.parked));
        state.parked.extend(contents.manifests.intersection(&contents.parked));
        let newest = contents.images.union(&contents.manifests).max().map_or(0, |newest| newest + 1);
        state.reserved_below = state.reserved_below.max(newest);
        Ok(())
    }

    /// The image first: while `.done` is there, the next start knows that the image was delivered.
    fn remove_released(&self, sequence: u64) -> io::Result<()> {
        match self.durable.remove(&self.file(sequence, "jpg")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            result => result?,
        }
        self.durable.remove_lazily(&self.file(sequence, "done"))
    }

    fn read_counter(&self) -> io::Result<u64> {
        match self.durable.read(&self.counter()) {
            Ok(text) => {
                let number = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
                let damaged =
                    || io::Error::new(io::ErrorKind::InvalidData, "spool/sequence holds no number; write one in");
                number.ok_or_else(damaged)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn folder(&self) -> PathBuf {
        self.durable.root().join("spool")
    }

    fn counter(&self) -> PathBuf {
        self.folder().join("sequence")
    }

    fn file(&self, sequence: u64, kind: &str) -> PathBuf {
        self.folder().join(format!("{:07}", sequence / FOLDER_PHOTOS)).join(format!("{sequence:010}.{kind}"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Numbers and a set of numbers cannot be left half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The photos of one folder, by the files that each has.
#[derive(Default)]
struct Contents {
    images: BTreeSet<u64>,
    manifests: BTreeSet<u64>,
    parked: BTreeSet<u64>,
    done: BTreeSet<u64>,
}

impl Contents {
    fn note(&mut self, name: &Path) {
        let sequence = name.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        let kind = name.extension().and_then(|kind| kind.to_str());
        let Some((sequence, kind)) = sequence.zip(kind) else { return };
        match kind {
            "jpg" => self.images.insert(sequence),
            "json" => self.manifests.insert(sequence),
            "parked" => self.parked.insert(sequence),
            "done" => self.done.insert(sequence),
            _ => false,
        };
    }
}

#[cfg(test)]
mod tests;
