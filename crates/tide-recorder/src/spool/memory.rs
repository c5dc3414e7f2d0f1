//! Photos that the disk did not take, within a bound.

use std::collections::BTreeMap;

use tide_photo::Manifest;

use crate::shot::Shot;

/// What a photo takes beside its image, in bytes: its manifest, generously.
const BESIDE_IMAGE_BYTES: u64 = 1_024;

/// The photos in memory, by number.
#[derive(Debug, Default)]
pub(super) struct Memory {
    photos: BTreeMap<u64, Held>,
    bytes: u64,
}

#[derive(Debug, Clone)]
struct Held {
    shot: Shot,
    /// Why it could not be delivered, if so.
    parked: Option<String>,
}

impl Memory {
    /// Holds a photo if all then take no more than `limit_bytes`; whether it does.
    pub(super) fn hold(&mut self, shot: &Shot, limit_bytes: u64) -> bool {
        let bytes = bytes_of(shot);
        let fits = self.bytes + bytes <= limit_bytes;
        if fits {
            self.bytes += bytes;
            self.photos.insert(shot.manifest.sequence, Held { shot: shot.clone(), parked: None });
        }
        fits
    }

    /// Lets a photo go; whether it was here.
    pub(super) fn remove(&mut self, sequence: u64) -> bool {
        let removed = self.photos.remove(&sequence);
        self.bytes -= removed.as_ref().map_or(0, |held| bytes_of(&held.shot));
        removed.is_some()
    }

    /// A photo; `None` if it is not here.
    pub(super) fn get(&self, sequence: u64) -> Option<&Shot> {
        self.photos.get(&sequence).map(|held| &held.shot)
    }

    /// The photo that has been here longest, and why it could not be delivered, if so.
    pub(super) fn first(&self) -> Option<(Shot, Option<String>)> {
        self.photos.values().next().map(|held| (held.shot.clone(), held.parked.clone()))
    }

    /// Keeps a photo from being offered; whether it is here.
    pub(super) fn park(&mut self, sequence: u64, reason: &str) -> bool {
        self.change(sequence, |held| held.parked = Some(reason.to_owned()))
    }

    /// Lets a photo be offered again; whether it is here.
    pub(super) fn unpark(&mut self, sequence: u64) -> bool {
        self.change(sequence, |held| held.parked = None)
    }

    /// Gives a photo another manifest; whether it is here.
    pub(super) fn amend(&mut self, manifest: &Manifest) -> bool {
        self.change(manifest.sequence, |held| held.shot.manifest = manifest.clone())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.photos.len()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.photos.is_empty()
    }

    fn change(&mut self, sequence: u64, change: impl FnOnce(&mut Held)) -> bool {
        self.photos.get_mut(&sequence).map(change).is_some()
    }
}

fn bytes_of(shot: &Shot) -> u64 {
    shot.jpeg.len() as u64 + BESIDE_IMAGE_BYTES
}
