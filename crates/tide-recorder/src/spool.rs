//! The station's durable queue. A photo enters image first, manifest last, so a manifest on disk means that the photo exists;
//! only the server's receipt releases it, to the archive.
//!
//! ```text
//! spool/sequence                   numbers below this one may have been given away
//! spool/dropped                    photos given up undelivered, ever
//! spool/incomplete                 captures cut off before they were whole, ever
//! spool/0000012/0000012345.jpg     a photo, a thousand to a folder
//! spool/0000012/0000012345.json    its manifest: the photo waits
//! spool/0000012/0000012345.parked  why it could not be delivered: the photo is kept but not offered
//! spool/0000012/0000012345.done    released, and about to go to the archive
//! spool/0000012/0000012345.gone    given up undelivered, counted, and about to be removed
//! archive/2026-05-31/20260531_180000.jpg   a photo that the server holds
//! ```
//!
//! A parked photo is one that the server refused for what it is, or that could not be read. Each start of `tide-recorder run`
//! offers it once more, because a server may have been mended and a card may read again; if nothing changed it is parked again.
//! So is one whose manifest a later version wrote: it stays as it is until a recorder comes that reads it.
//!
//! A start reads only the newest folder; [`Spool::read_rest`] reads the others. What the disk does not take waits in memory, and
//! [`Spool::retry_disk`] moves it to the disk when that takes files again.

mod amend;
mod archive;
mod index;
mod layout;
mod memory;
mod overflow;
mod reading;
mod room;
mod tallies;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tide_durable::{Durable, IfExists};
use tide_photo::status::SpoolStatus;
use tide_photo::{CapturedAt, Digest, Manifest, manifest::MANIFEST_VERSION};
use tokio::sync::Notify;

use self::archive::Archive;
use self::index::{Index, Standing};
use self::layout::{DONE, IMAGE, Layout, MANIFEST, PARKED};
use self::memory::Memory;
pub use self::overflow::{Accepted, GivenUp, Left};
pub use self::reading::Found;
use self::tallies::{Tallies, Tally, write_number};
use crate::agenda::Waiting;
use crate::config::Disk;
use crate::shot::Shot;

/// Numbers taken from the counter at a time. Each costs a wait for the card; a restart leaves a gap of at most as many.
const RESERVED_NUMBERS: u64 = 100;

/// The photos that a station has taken and the server has not yet acknowledged.
pub struct Spool {
    durable: Durable,
    layout: Layout,
    archive: Archive,
    limits: Disk,
    state: Mutex<State>,
    tallies: Mutex<Tallies>,
    /// Held by whoever reads a folder for the first time.
    reading: Mutex<()>,
    /// Held by whoever changes or renames the manifest of a photo that is in the index, for one photo at a time: a manifest
    /// that is written anew must not come back after its photo was released.
    manifests: Mutex<()>,
    is_closing: AtomicBool,
    arrival: Notify,
}

#[derive(Default)]
struct State {
    index: Index,
    memory: Memory,
    /// Folders that were there at the start and have not been read.
    unread: BTreeSet<u64>,
    next: u64,
    reserved_below: u64,
    /// Bytes of the photos in the index that are on the disk; counted only if there is a limit to them.
    bytes: u64,
    /// Why the disk takes no photos, if so.
    trouble: Option<String>,
    oldest: Option<(u64, CapturedAt)>,
}

impl Spool {
    /// Opens the spool in a data folder, with all the disk for itself.
    ///
    /// # Errors
    /// As [`Spool::open_within`].
    pub fn open(durable: Durable) -> io::Result<(Self, Found)> {
        Self::open_within(durable, Disk { min_free_bytes: 0, ..Disk::default() })
    }

    /// Opens the spool in a data folder, and puts right what an interruption left unfinished in its newest folder. Nothing that
    /// is found there keeps the spool from opening, nor does a disk that takes no writes.
    ///
    /// # Errors
    /// If the folder cannot be read at all.
    pub fn open_within(durable: Durable, limits: Disk) -> io::Result<(Self, Found)> {
        let layout = Layout::of(durable.root());
        if let Err(error) = durable.ensure_folder(layout.root()).and_then(|()| durable.sweep(layout.root())) {
            tracing::error!(%error, "the spool's folder cannot be written; photos wait in memory until it can");
        }
        let tally = |name: &str| Tally::open(&durable, layout.own_file(name));
        let tallies = Mutex::new(Tallies { dropped: tally("dropped"), incomplete: tally("incomplete") });
        let spool = Self {
            archive: Archive::of(&durable),
            durable,
            layout,
            limits,
            state: Mutex::default(),
            tallies,
            reading: Mutex::default(),
            manifests: Mutex::default(),
            is_closing: AtomicBool::default(),
            arrival: Notify::new(),
        };
        let found = spool.read_newest()?;
        Ok((spool, found))
    }

    /// A number that no photo of this station has had.
    ///
    /// While the counter cannot be written, numbers are given away beyond those reserved; it is put right before the first photo
    /// is on the disk again. Should the power go before that, photos taken after the next start may have numbers that were
    /// delivered from memory before: the digest still tells them apart.
    pub fn next_sequence(&self) -> u64 {
        let mut state = self.lock();
        let next = state.next;
        state.next += 1;
        if next >= state.reserved_below {
            // If it fails, whatever is put on the disk next tries again.
            drop(self.reserve(&mut state));
        }
        next
    }

    /// How many photos wait, as far as the folders have been read.
    pub fn len(&self) -> usize {
        Waiting::len(&self.lock().index)
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of the photo that `choose` picks from the numbers waiting, lowest first. Until all folders are read, the oldest
    /// is the oldest of those that were.
    pub fn choose(&self, choose: impl FnOnce(&dyn Waiting) -> Option<u64>) -> Option<u64> {
        choose(&self.lock().index)
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

    /// How the spool is. What an uploader knows (deliveries, trouble with the server) is not filled in.
    pub fn status(&self) -> SpoolStatus {
        let oldest_at = self.oldest_at();
        let tallies = self.lock_tallies();
        let (dropped, incomplete) = (tallies.dropped.total(), tallies.incomplete.total());
        drop(tallies);
        let state = self.lock();
        SpoolStatus {
            waiting: state.index.count(Standing::Waiting) as u64,
            in_memory: state.memory.len() as u64,
            parked: state.index.count(Standing::Parked) as u64,
            oldest_at,
            dropped,
            incomplete,
            ..SpoolStatus::default()
        }
    }

    /// A waiting photo with its manifest.
    ///
    /// # Errors
    /// If it cannot be read; [`io::ErrorKind::InvalidData`] if it is damaged, or described by a later version.
    pub fn load(&self, sequence: u64) -> io::Result<Shot> {
        if let Some(shot) = self.lock().memory.get(sequence) {
            return Ok(shot.clone());
        }
        let manifest = self.manifest(sequence)?;
        let jpeg = self.durable.read(&self.layout.file(sequence, IMAGE))?;
        if Digest::of(&jpeg) != manifest.digest {
            return Err(damaged("its bytes are not those that were captured".to_owned()));
        }
        Ok(Shot { manifest, jpeg })
    }

    /// Lets a photo go that the server has given its receipt for: to the archive, if one is kept and takes it. If the disk
    /// refuses at once, the photo is remembered as delivered: it is not offered again before the next start, when that does no
    /// harm.
    ///
    /// # Errors
    /// If the disk refuses later. The photo then is marked as done: it waits no more, and the next start removes what is left.
    pub fn release(&self, sequence: u64) -> io::Result<()> {
        let manifests = self.lock_manifests();
        if self.forget_in_memory(sequence) || self.lock().index.standing(sequence).is_none() {
            return Ok(());
        }
        let is_marked = self.mark_done(sequence)?;
        drop(manifests);
        if is_marked { self.finish_done(sequence) } else { Ok(()) }
    }

    /// Keeps a photo that cannot be delivered as it is, with the reason, and stops offering it.
    ///
    /// # Errors
    /// If the disk refuses; the photo then waits as before.
    pub fn park(&self, sequence: u64, reason: &str) -> io::Result<()> {
        let _manifests = self.lock_manifests();
        // It may have been dropped meanwhile.
        if self.lock().index.standing(sequence) != Some(Standing::Waiting) {
            return Ok(());
        }
        if !self.lock().memory.park(sequence, reason) {
            self.publish_beside(sequence, PARKED, reason.as_bytes())?;
        }
        self.lock().index.set(sequence, Standing::Parked);
        Ok(())
    }

    /// Lets every parked photo wait again that has been read; how many.
    ///
    /// # Errors
    /// If a marker cannot be removed; that photo and those after it stay parked.
    pub fn offer_parked_again(&self) -> io::Result<usize> {
        let mut offered = 0;
        while let Some(sequence) = self.first(Standing::Parked) {
            if !self.lock().memory.unpark(sequence) {
                // Should a power cut bring the marker back, the next start removes it once more.
                remove_if_there(|| self.durable.remove_lazily(&self.layout.file(sequence, PARKED)))?;
            }
            self.lock().index.set(sequence, Standing::Waiting);
            offered += 1;
        }
        self.arrival.notify_waiters();
        Ok(offered)
    }

    /// Stops what goes on in the background, and tries for the last time to put on the disk what is in memory. What is left
    /// there is lost, and counted as dropped.
    pub fn close(&self) -> Left {
        self.is_closing.store(true, Ordering::Relaxed);
        self.retry_disk();
        let lost = self.lock().memory.len();
        let mut tallies = self.lock_tallies();
        tallies.dropped.count(&self.durable, lost as u64);
        Left { lost, uncounted: tallies.dropped.unsaved() }
    }

    /// Makes the manifest `.done`: from then on the photo is not offered. Whether the disk took that.
    ///
    /// # Errors
    /// If the name is there, but not for good.
    fn mark_done(&self, sequence: u64) -> io::Result<bool> {
        let (manifest, bytes) = (self.layout.file(sequence, MANIFEST), self.bytes_of(sequence));
        let renamed = self.durable.rename(&manifest, &self.layout.file(sequence, DONE));
        // The new name may be there although it could not be forced to the disk. The image stays then: a power cut may bring the
        // manifest back, and it must not come without its image.
        if renamed.is_ok() || self.is_missing(&manifest) {
            self.lock().forget(sequence, bytes);
            return renamed.map(|()| true);
        }
        self.lock().index.set(sequence, Standing::Delivered);
        self.note_trouble(&renamed.err().map_or_else(String::new, |error| error.to_string()));
        Ok(false)
    }

    fn finish_done(&self, sequence: u64) -> io::Result<()> {
        if self.limits.archive_max_bytes != Some(0) {
            self.move_to_archive(sequence);
        }
        // The image first: while `.done` is there, the next start knows that the image was delivered.
        remove_if_there(|| self.durable.remove(&self.layout.file(sequence, IMAGE)))?;
        self.durable.remove_lazily(&self.layout.file(sequence, DONE))?;
        self.trim_archive();
        Ok(())
    }

    fn reserve(&self, state: &mut State) -> io::Result<()> {
        let reserved_below = state.next - 1 + RESERVED_NUMBERS;
        write_number(&self.durable, &self.layout.own_file("sequence"), reserved_below)?;
        state.reserved_below = reserved_below;
        Ok(())
    }

    /// The manifest of a photo on the disk.
    fn manifest(&self, sequence: u64) -> io::Result<Manifest> {
        let json = self.durable.read(&self.layout.file(sequence, MANIFEST))?;
        Manifest::from_json(&json).map_err(|error| {
            let version =
                serde_json::from_slice::<serde_json::Value>(&json).ok().and_then(|json| json["version"].as_u64());
            damaged(match version {
                Some(later) if later > u64::from(MANIFEST_VERSION) => {
                    format!("its manifest is of version {later}, which this tide-recorder does not read; update it")
                }
                _ => format!("its manifest is damaged: {error}"),
            })
        })
    }

    /// Publishes a file of a photo that is in the spool. It is drafted in the spool's own folder: what is drafted in a folder of
    /// photos, and left there, was a capture.
    fn publish_beside(&self, sequence: u64, kind: &str, bytes: &[u8]) -> io::Result<()> {
        let mut draft = self.durable.draft(self.layout.root())?;
        draft.write_all(bytes)?;
        draft.publish(&self.layout.file(sequence, kind), IfExists::Replace)
    }

    fn is_missing(&self, path: &Path) -> bool {
        self.durable.open_file(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    fn first(&self, standing: Standing) -> Option<u64> {
        self.lock().index.first(standing)
    }

    /// When the oldest photo that waits was taken. Read once for each.
    fn oldest_at(&self) -> Option<CapturedAt> {
        let sequence = self.first(Standing::Waiting)?;
        let known = self.lock().oldest.filter(|(oldest, _)| *oldest == sequence);
        let in_memory = || self.lock().memory.get(sequence).map(|shot| shot.manifest.captured_at);
        let on_disk = || self.manifest(sequence).ok().map(|manifest| manifest.captured_at);
        let at = known.map(|(_, at)| at).or_else(in_memory).or_else(on_disk)?;
        self.lock().oldest = Some((sequence, at));
        Some(at)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Numbers, and sets of numbers, cannot be left half changed in a way that a start does not put right.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_tallies(&self) -> MutexGuard<'_, Tallies> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_manifests(&self) -> MutexGuard<'_, ()> {
        self.manifests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// There is no such photo on the disk any more; it took so many bytes.
    fn forget(&mut self, sequence: u64, bytes: u64) {
        self.index.remove(sequence);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

fn damaged(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Removes what need not be there.
fn remove_if_there(remove: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    match remove() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests;
