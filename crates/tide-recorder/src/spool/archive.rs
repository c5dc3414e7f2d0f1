//! The photos that the server holds, kept at the station too while there is room.
//!
//! ```text
//! archive/2026-05-31/20260531_180000.jpg      the prototype's readable names, in UTC
//! archive/2026-05-31/20260531_180000_2.jpg    another photo of the same second
//! ```
//!
//! The prototype wrote local time. These names are UTC, as everything else that a station says: they sort, no hour comes twice in
//! autumn, and a station that is moved does not contradict itself.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use tide_durable::{Durable, IfExists};
use tide_photo::{CapturedAt, Digest};

use crate::budget;

/// What the archive needs of a manifest, of this version or a later one.
#[derive(Debug, Deserialize)]
pub(super) struct Subject {
    captured_at: CapturedAt,
    digest: Digest,
}

/// The archive of one data folder.
pub(super) struct Archive {
    durable: Durable,
    folder: PathBuf,
    /// Bytes of each day, as far as they were counted. Held while photos come and go, so that a count of a day is right.
    days: Mutex<BTreeMap<String, u64>>,
}

impl Archive {
    /// The archive of a data folder. Nothing is read.
    pub(super) fn of(durable: &Durable) -> Self {
        Self { durable: durable.clone(), folder: durable.root().join("archive"), days: Mutex::default() }
    }

    /// Moves a delivered photo here. Nothing is overwritten; one that is here already is only removed there.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(super) fn keep(&self, image: &Path, subject: &Subject) -> io::Result<()> {
        let mut days = self.lock();
        let day = subject.captured_at.format_utc("%Y-%m-%d");
        let bytes = budget::file_bytes(self.durable.size_bytes(image)?);
        for number in 1.. {
            let place = self.folder.join(&day).join(name(subject.captured_at, number));
            match self.durable.move_to(image, &place, IfExists::Refuse) {
                // An earlier attempt that a power cut interrupted.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.is(&place, subject)? => {
                    return self.durable.remove(image);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
                result => {
                    result?;
                    break;
                }
            }
        }
        *days.entry(day).or_default() += bytes;
        Ok(())
    }

    /// Bytes in the archive, as far as they were counted.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().values().sum()
    }

    /// Counts the bytes of every day; until it says so, not those that came since the start only.
    pub(super) fn count(&self, must_stop: impl Fn() -> bool) {
        for day in self.days() {
            if must_stop() {
                return;
            }
            let mut days = self.lock();
            let bytes = self.photos(&day).iter().map(|name| self.bytes_of(&self.folder.join(&day).join(name))).sum();
            days.insert(day, bytes);
        }
    }

    /// Removes the oldest photos, at least so many bytes if there are; how many bytes.
    pub(super) fn remove_oldest(&self, bytes: u64) -> u64 {
        let mut removed = 0;
        for day in self.days() {
            if removed >= bytes {
                break;
            }
            removed += self.remove_from(&day, bytes - removed);
        }
        removed
    }

    fn remove_from(&self, day: &str, bytes: u64) -> u64 {
        let mut days = self.lock();
        let folder = self.folder.join(day);
        let mut removed = 0;
        for name in self.photos(day) {
            if removed >= bytes {
                break;
            }
            let photo = folder.join(name);
            let its_bytes = self.bytes_of(&photo);
            // Should a power cut bring it back, it goes another time.
            match self.durable.remove_lazily(&photo) {
                Ok(()) => removed += its_bytes,
                Err(error) => tracing::warn!(photo = %photo.display(), %error, "an archived photo cannot be removed"),
            }
        }
        let left = days.get(day).map_or(0, |before| before.saturating_sub(removed));
        days.insert(day.to_owned(), left);
        // Refused while there is something in it.
        if self.durable.remove_folder_lazily(&folder).is_ok() {
            days.remove(day);
        }
        removed
    }

    /// The days that have a folder, oldest first.
    fn days(&self) -> Vec<String> {
        let entries = self.durable.list(&self.folder).unwrap_or_default();
        let folders = entries.into_iter().filter(|entry| entry.is_folder);
        sorted(folders.filter_map(|entry| entry.name.into_string().ok()).filter(|name| is_day(name)))
    }

    /// The names of a day's photos, oldest first.
    fn photos(&self, day: &str) -> Vec<String> {
        let entries = self.durable.list(&self.folder.join(day)).unwrap_or_default();
        sorted(entries.into_iter().filter_map(|entry| entry.name.into_string().ok()).filter(|name| is_photo(name)))
    }

    fn bytes_of(&self, photo: &Path) -> u64 {
        self.durable.size_bytes(photo).map_or(0, budget::file_bytes)
    }

    fn is(&self, photo: &Path, subject: &Subject) -> io::Result<bool> {
        Ok(Digest::of(&self.durable.read(photo)?) == subject.digest)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        // A number too many or too few is put right by the next start.
        self.days.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(at: CapturedAt, number: u32) -> String {
    let second = at.format_utc("%Y%m%d_%H%M%S");
    if number == 1 { format!("{second}.jpg") } else { format!("{second}_{number}.jpg") }
}

/// Whether a name is one of ours; what a person put there is left alone.
fn is_photo(name: &str) -> bool {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.strip_suffix(".jpg")
        .is_some_and(|stem| stem.len() >= "YYYYmmdd_HHMMSS".len() && stem.split('_').all(is_digits))
}

fn is_day(name: &str) -> bool {
    let lengths: Vec<usize> = name.split('-').map(str::len).collect();
    lengths == [4, 2, 2] && name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}
