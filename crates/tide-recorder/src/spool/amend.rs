//! Manifests that are written anew, once more is known of the photo than when it was taken.

use std::collections::BTreeSet;
use std::io;

use tide_photo::Manifest;

use super::Spool;
use super::layout::MANIFEST;

impl Spool {
    /// Goes through the undelivered photos of a boot, newest first, and replaces each manifest for which `amend` gives another;
    /// how many. It ends at the first folder that holds photos, but none of this boot.
    ///
    /// An upload that is under way carries the manifest as it was: the server then keeps that one. Nothing worse can come of it,
    /// because a photo is released under the same lock under which its manifest is replaced.
    ///
    /// # Errors
    /// If the disk refuses a manifest; those before it have been replaced.
    pub fn amend(&self, boot_id: &str, amend: impl Fn(&Manifest) -> Option<Manifest>) -> io::Result<usize> {
        let mut amended = 0;
        for folder in self.all_folders() {
            self.read_folder(folder)?;
            let (mut photos, mut of_this_boot) = (0, 0);
            let numbers = self.lock().index.undelivered_in(folder);
            for sequence in numbers {
                let _manifests = self.lock_manifests();
                let Some(manifest) = self.current(sequence) else { continue };
                photos += 1;
                if manifest.boot_id != boot_id {
                    continue;
                }
                of_this_boot += 1;
                if let Some(new) = amend(&manifest).filter(|new| is_of_same_photo(new, &manifest)) {
                    self.replace(&new)?;
                    amended += 1;
                }
            }
            if photos > 0 && of_this_boot == 0 {
                break;
            }
        }
        Ok(amended)
    }

    /// Newest first, read or not.
    fn all_folders(&self) -> Vec<u64> {
        let state = self.lock();
        let all: BTreeSet<u64> = state.index.folders().into_iter().chain(state.unread.iter().copied()).collect();
        all.into_iter().rev().collect()
    }

    /// The manifest of a photo that is still undelivered and can be read.
    fn current(&self, sequence: u64) -> Option<Manifest> {
        let state = self.lock();
        state.index.standing(sequence)?;
        let in_memory = state.memory.get(sequence).map(|shot| shot.manifest.clone());
        drop(state);
        in_memory.or_else(|| self.manifest(sequence).ok())
    }

    fn replace(&self, manifest: &Manifest) -> io::Result<()> {
        let mut state = self.lock();
        state.oldest = None;
        let was_in_memory = state.memory.amend(manifest);
        drop(state);
        if was_in_memory {
            return Ok(());
        }
        self.publish_beside(manifest.sequence, MANIFEST, &manifest.to_json())
    }
}

/// Whose photo it is, and which, is not to be amended.
fn is_of_same_photo(new: &Manifest, old: &Manifest) -> bool {
    (new.sequence, new.digest, &new.station) == (old.sequence, old.digest, &old.station)
}
