//! Reading the spool's folders: what waits there, and what an interruption left unfinished.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use tide_durable::PART_SUFFIX;

use super::index::{FOLDER_PHOTOS, Standing};
use super::layout::{self, DONE, GONE, IMAGE, MANIFEST, PARKED};
use super::tallies::read_number;
use super::{Spool, remove_if_there};

/// What is known of the spool so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Photos that wait for the server.
    pub waiting: usize,
    /// Photos that could not be delivered and are not offered.
    pub parked: usize,
    /// Captures that an interruption cut off before they were whole; removed, and counted for ever.
    pub incomplete: u64,
}

impl Spool {
    /// Reads the folders that have not been read, newest first. Photos can be taken and delivered meanwhile. Then counts what
    /// archive and spool hold, where there is a limit to it.
    pub fn read_rest(&self) -> Found {
        self.read_folders();
        if self.limits.max_bytes.is_some() || self.limits.archive_max_bytes.is_some() {
            self.archive.count(|| self.is_closing.load(Ordering::Relaxed));
            self.trim_archive();
        }
        self.found()
    }

    /// Reads the folders that have not been read, newest first.
    pub(super) fn read_folders(&self) {
        // The set may shrink meanwhile.
        let unread: Vec<u64> = self.lock().unread.iter().rev().copied().collect();
        for folder in unread {
            if self.is_closing.load(Ordering::Relaxed) {
                break;
            }
            if let Err(error) = self.read_folder(folder) {
                tracing::error!(folder, %error, "a folder of the spool cannot be read; it is left as it is");
            }
            self.arrival.notify_waiters();
        }
    }

    /// Reads the newest folder, and where the numbers go on.
    pub(super) fn read_newest(&self) -> io::Result<Found> {
        let entries = self.durable.list(self.layout.root())?;
        let folders = entries.iter().filter(|entry| entry.is_folder);
        let unread: BTreeSet<u64> = folders.filter_map(|entry| layout::folder_number(Path::new(&entry.name))).collect();
        let newest = unread.last().copied();
        self.lock().unread = unread;
        let newest_photo = newest.map(|folder| self.read_folder(folder)).transpose().unwrap_or_else(|error| {
            tracing::error!(folder = newest, %error, "the newest folder of the spool cannot be read; it is left as it is");
            newest.map(|folder| Some((folder + 1) * FOLDER_PHOTOS - 1))
        });
        let next = self.counter(newest).max(newest_photo.flatten().map_or(0, |newest| newest + 1));
        let mut state = self.lock();
        (state.next, state.reserved_below) = (next, next);
        drop(state);
        Ok(self.found())
    }

    /// Reads a folder unless that was done, so that it may be written.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn read_before_writing(&self, sequence: u64) -> io::Result<()> {
        let folder = sequence / FOLDER_PHOTOS;
        let is_unread = self.lock().unread.contains(&folder);
        if is_unread { self.read_folder(folder).map(drop) } else { Ok(()) }
    }

    /// Reads a folder into the index, once; its highest number. What cannot be put right in it is told and left.
    ///
    /// # Errors
    /// If its names cannot be read.
    pub(super) fn read_folder(&self, folder: u64) -> io::Result<Option<u64>> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.lock().unread.contains(&folder) {
            return Ok(None);
        }
        let mut contents = Contents::default();
        for entry in self.durable.list(&self.layout.folder(folder))? {
            contents.note(folder, Path::new(&entry.name));
        }
        self.put_right(folder, &mut contents);
        let bytes: u64 = contents.manifests.iter().map(|sequence| self.bytes_of(*sequence)).sum();
        let mut state = self.lock();
        for sequence in &contents.manifests {
            let is_parked = contents.parked.contains(sequence);
            state.index.set(*sequence, if is_parked { Standing::Parked } else { Standing::Waiting });
        }
        state.bytes += bytes;
        state.unread.remove(&folder);
        Ok(contents.newest)
    }

    /// The first number that was not given away, by the counter. Without it, the folders still tell which ones were not.
    fn counter(&self, newest_folder: Option<u64>) -> u64 {
        match read_number(&self.durable, &self.layout.own_file("sequence")) {
            Ok(Some(number)) => number,
            counter => {
                if let Err(error) = counter {
                    tracing::error!(%error, "spool/sequence cannot be read; numbers go on behind the newest folder");
                }
                newest_folder.map_or(0, |folder| (folder + 1) * FOLDER_PHOTOS)
            }
        }
    }

    fn found(&self) -> Found {
        let incomplete = self.lock_tallies().incomplete.total();
        let state = self.lock();
        let (waiting, parked) = (state.index.count(Standing::Waiting), state.index.count(Standing::Parked));
        Found { waiting, parked, incomplete }
    }

    /// Leaves in `contents.manifests` the photos that wait or are parked.
    fn put_right(&self, folder: u64, contents: &mut Contents) {
        for sequence in contents.done.clone() {
            let finished = self.settle_mark(sequence, DONE, contents).and_then(|()| self.finish_done(sequence));
            tell(sequence, "a delivered photo cannot be put away", finished);
        }
        for sequence in contents.gone.clone() {
            let finished = self.settle_mark(sequence, GONE, contents).and_then(|()| self.finish_gone(sequence));
            tell(sequence, "a photo that was given up cannot be removed", finished);
        }
        self.remove_incomplete(folder, contents);
        // A marker that a power cut brought back after its photo was delivered.
        for sequence in contents.parked.difference(&contents.manifests) {
            let marker = self.layout.file(*sequence, PARKED);
            tell(*sequence, "a marker without its photo cannot be removed", self.durable.remove_lazily(&marker));
        }
        let imageless: Vec<u64> = contents
            .manifests
            .difference(&contents.images)
            .filter(|sequence| !contents.parked.contains(sequence))
            .copied()
            .collect();
        for sequence in imageless {
            tracing::error!(sequence, "a photo in the spool has lost its image; its manifest is kept, and not offered");
            let reason = b"its image is missing";
            tell(sequence, "the photo cannot be marked", self.publish_beside(sequence, PARKED, reason));
            contents.parked.insert(sequence);
        }
    }

    /// Makes sure that the marked photo's manifest stays away: without its image it must not come back.
    fn settle_mark(&self, sequence: u64, kind: &str, contents: &mut Contents) -> io::Result<()> {
        // Both names may have survived a cut.
        if contents.manifests.remove(&sequence) {
            self.durable.remove(&self.layout.file(sequence, MANIFEST))?;
        }
        // The process that renamed it may have been killed before that was for good.
        self.durable.settle(&self.layout.file(sequence, kind))
    }

    /// Images without their manifests, and what was never published: captures that were cut off. A part may be the image of one,
    /// or the manifest beside its image.
    fn remove_incomplete(&self, folder: u64, contents: &Contents) {
        let is_put_away = |image: &u64| contents.done.contains(image) || contents.gone.contains(image);
        let images: Vec<u64> =
            contents.images.difference(&contents.manifests).filter(|image| !is_put_away(image)).copied().collect();
        let cut_off = contents.parts.max(images.len());
        if cut_off == 0 {
            return;
        }
        let counted = self.lock_tallies().incomplete.count_before(&self.durable, cut_off as u64);
        let remove = |image| remove_if_there(|| self.durable.remove(&self.layout.file(image, IMAGE)));
        let removed = counted
            .and_then(|()| images.into_iter().try_for_each(remove))
            .and_then(|()| self.durable.sweep(&self.layout.folder(folder)));
        match removed {
            Ok(_) => tracing::warn!(
                folder,
                cut_off,
                "captures were cut off by an interruption; removed what was left of them"
            ),
            Err(error) => {
                tracing::error!(folder, cut_off, %error, "failed to remove what is left of captures that were cut off");
            }
        }
    }
}

/// The photos of one folder, by the files that each has.
#[derive(Default)]
struct Contents {
    images: BTreeSet<u64>,
    manifests: BTreeSet<u64>,
    parked: BTreeSet<u64>,
    done: BTreeSet<u64>,
    gone: BTreeSet<u64>,
    parts: usize,
    newest: Option<u64>,
}

impl Contents {
    /// What is none of ours is left alone.
    fn note(&mut self, folder: u64, name: &Path) {
        self.parts += usize::from(name.to_string_lossy().ends_with(PART_SUFFIX));
        let Some((sequence, kind)) = layout::photo_file(folder, name) else { return };
        match kind {
            IMAGE => self.images.insert(sequence),
            MANIFEST => self.manifests.insert(sequence),
            PARKED => self.parked.insert(sequence),
            DONE => self.done.insert(sequence),
            GONE => self.gone.insert(sequence),
            _ => return,
        };
        self.newest = self.newest.max(Some(sequence));
    }
}

fn tell(sequence: u64, what: &str, result: io::Result<()>) {
    if let Err(error) = result {
        tracing::error!(sequence, %error, "{what}");
    }
}
