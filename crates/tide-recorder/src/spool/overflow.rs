//! What happens to a photo when the disk takes none: it waits in memory, within a bound, and is then given up, counted.

use std::io;

use tide_durable::IfExists;

use super::Spool;
use super::index::Standing;
use super::layout::{IMAGE, MANIFEST, PARKED};
use crate::budget;
use crate::shot::Shot;

/// Where a photo is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It survives a power cut.
    OnDisk,
    /// The disk takes none: it waits in memory, and is lost if the power goes.
    InMemory,
}

/// A photo that was given up, and counted as dropped.
#[derive(Debug, thiserror::Error)]
#[error("the photo is given up, and counted: the disk takes none ({why}), and memory has no room for it")]
pub struct GivenUp {
    why: String,
}

/// What a spool could not put on the disk before its program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Photos that waited in memory: they are lost.
    pub lost: usize,
    /// Photos, these among them, that were given up and whose count is lost too.
    pub uncounted: u64,
}

impl Spool {
    /// Takes a photo in. When this returns `OnDisk`, it survives a power cut.
    ///
    /// # Errors
    /// If neither disk nor memory has room. What it left on the disk is removed as far as the disk allows.
    pub fn accept(&self, shot: &Shot) -> Result<Accepted, GivenUp> {
        self.retry_disk();
        let taken = match self.trouble_in_memory() {
            Some(why) => Err(io::Error::other(why)),
            None => self.take_in(shot),
        };
        match taken {
            Ok(()) => Ok(Accepted::OnDisk),
            Err(error) => self.keep_in_memory(shot, &error),
        }
    }

    /// Moves to the disk what waits in memory, if the disk takes files again. To be called once a minute; every
    /// [`Spool::accept`] does so too.
    pub fn retry_disk(&self) {
        while let Some(sequence) = self.first(Standing::Delivered) {
            if !self.release_late(sequence) {
                return;
            }
        }
        while let Some((shot, parked)) = self.first_in_memory() {
            if let Err(error) = self.move_to_disk(&shot, parked.as_deref()) {
                return self.note_trouble(&error.to_string());
            }
        }
        let mut tallies = self.lock_tallies();
        tallies.dropped.save(&self.durable);
        tallies.incomplete.save(&self.durable);
    }

    /// The disk takes none: said once.
    pub(super) fn note_trouble(&self, why: &str) {
        let mut state = self.lock();
        if state.trouble.is_none() {
            tracing::error!(why, "the disk takes no photos; they wait in memory, and are lost if the power goes");
        }
        state.trouble = Some(why.to_owned());
    }

    /// Lets go of a photo if it is in memory; whether it was.
    pub(super) fn forget_in_memory(&self, sequence: u64) -> bool {
        let mut state = self.lock();
        let was_there = state.memory.remove(sequence);
        if was_there {
            state.index.remove(sequence);
        }
        was_there
    }

    fn take_in(&self, shot: &Shot) -> io::Result<()> {
        self.make_room(shot.jpeg.len() as u64)?;
        self.write(shot, IfExists::Refuse)?;
        self.note_on_disk(shot);
        self.lock().index.set(shot.manifest.sequence, Standing::Waiting);
        self.arrival.notify_waiters();
        Ok(())
    }

    /// Image first, manifest last.
    fn write(&self, shot: &Shot, if_exists: IfExists) -> io::Result<()> {
        let sequence = shot.manifest.sequence;
        self.read_before_writing(sequence)?;
        self.count_on_disk()?;
        let publish = |kind, bytes: &[u8]| self.durable.publish(&self.layout.file(sequence, kind), bytes, if_exists);
        let written = publish(IMAGE, &shot.jpeg).and_then(|()| publish(MANIFEST, &shot.manifest.to_json()));
        written.inspect_err(|error| self.discard(sequence, error))
    }

    /// The counter is ahead of every number on the disk.
    fn count_on_disk(&self) -> io::Result<()> {
        let mut state = self.lock();
        if state.next > state.reserved_below { self.reserve(&mut state) } else { Ok(()) }
    }

    fn note_on_disk(&self, shot: &Shot) {
        let mut state = self.lock();
        if self.limits.max_bytes.is_some() {
            state.bytes += budget::bytes_on_disk(shot.jpeg.len() as u64);
        }
        if state.memory.is_empty() && state.trouble.take().is_some() {
            tracing::info!("the disk takes photos again");
        }
    }

    fn keep_in_memory(&self, shot: &Shot, error: &io::Error) -> Result<Accepted, GivenUp> {
        let (sequence, why) = (shot.manifest.sequence, error.to_string());
        self.note_trouble(&why);
        let mut state = self.lock();
        // One whose number is taken could never leave the memory.
        let may_wait = error.kind() != io::ErrorKind::AlreadyExists;
        if may_wait && state.memory.hold(shot, self.limits.memory_bytes) {
            state.index.set(sequence, Standing::Waiting);
            drop(state);
            self.arrival.notify_waiters();
            return Ok(Accepted::InMemory);
        }
        drop(state);
        self.lock_tallies().dropped.count(&self.durable, 1);
        Err(GivenUp { why })
    }

    fn first_in_memory(&self) -> Option<(Shot, Option<String>)> {
        self.lock().memory.first()
    }

    /// Why there are photos in memory, if there are.
    fn trouble_in_memory(&self) -> Option<String> {
        let state = self.lock();
        state.trouble.clone().filter(|_| !state.memory.is_empty())
    }

    fn move_to_disk(&self, shot: &Shot, parked: Option<&str>) -> io::Result<()> {
        let sequence = shot.manifest.sequence;
        self.make_room(shot.jpeg.len() as u64)?;
        let _manifests = self.lock_manifests();
        // It may have been delivered meanwhile, or given another manifest.
        let Some(shot) = self.lock().memory.get(sequence).cloned() else { return Ok(()) };
        // What an earlier attempt left of the same photo is no obstacle.
        self.write(&shot, IfExists::Replace)?;
        if let Some(reason) = parked {
            self.publish_beside(sequence, PARKED, reason.as_bytes())?;
        }
        self.lock().memory.remove(sequence);
        self.note_on_disk(&shot);
        tracing::info!(sequence, "a photo that waited in memory is on the disk");
        Ok(())
    }

    /// Tells the disk of a delivery that it could not be told of; whether it took it.
    fn release_late(&self, sequence: u64) -> bool {
        let manifests = self.lock_manifests();
        let marked = self.mark_done(sequence);
        drop(manifests);
        let finished = match marked {
            Ok(false) => return false,
            Ok(true) => self.finish_done(sequence),
            Err(error) => Err(error),
        };
        if let Err(error) = finished {
            tracing::error!(sequence, %error, "a delivered photo cannot be put away");
        }
        true
    }

    /// After a photo could not be taken in: a full disk needs the room, and the image alone is no photo. The manifest goes first
    /// (it may have its name, not yet for good), because it must never be there without its image.
    fn discard(&self, sequence: u64, error: &io::Error) {
        if error.kind() == io::ErrorKind::AlreadyExists {
            return;
        }
        let manifest = self.layout.file(sequence, MANIFEST);
        if self.is_missing(&manifest) || self.durable.remove(&manifest).is_ok() {
            // What cannot be removed now is removed at the next start.
            drop(self.durable.remove_lazily(&self.layout.file(sequence, IMAGE)));
        }
    }
}
