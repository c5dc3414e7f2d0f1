//! The photos that wait in the station's spool, and what becomes of them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::station_log::Event;

/// Numbers of photos. One that the station takes later has another number and does not count here.
pub(crate) struct Backlog {
    waiting: BTreeSet<u64>,
    length: u64,
    refused: u64,
}

impl Backlog {
    /// The photos in a spool that no recorder is using, told by their manifests. Those that are parked do not wait.
    ///
    /// # Errors
    /// If the spool cannot be read.
    pub(crate) fn in_spool(spool: &Path) -> Result<Self> {
        let (mut manifests, mut parked) = (BTreeSet::new(), BTreeSet::new());
        for folder in entries(spool)?.iter().filter(|path| path.is_dir()) {
            for file in entries(folder)? {
                let Some(sequence) = file.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok()) else {
                    continue;
                };
                match file.extension().and_then(OsStr::to_str) {
                    Some("json") => manifests.insert(sequence),
                    Some("parked") => parked.insert(sequence),
                    _ => false,
                };
            }
        }
        Ok(Self::of(manifests.difference(&parked).copied()))
    }

    fn of(waiting: impl IntoIterator<Item = u64>) -> Self {
        let waiting = BTreeSet::from_iter(waiting);
        Self { length: waiting.len() as u64, waiting, refused: 0 }
    }

    /// Notes what has become of a photo; whether that was new.
    pub(crate) fn learn(&mut self, event: &Event) -> bool {
        match event {
            Event::Delivered { sequence } => self.waiting.remove(sequence),
            Event::Refused { sequence } => {
                self.refused += 1;
                self.waiting.remove(sequence)
            }
            Event::Delayed => false,
        }
    }

    /// How many there were.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// How many do not wait any more.
    pub(crate) fn ended(&self) -> u64 {
        self.length - self.waiting.len() as u64
    }

    /// How many will not be delivered.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = || folder.read_dir()?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>();
    list().with_context(|| format!("failed to list {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn manifests_wait_unless_they_are_parked() {
        let spool = tempfile::tempdir().unwrap();
        let folder = spool.path().join("0000000");
        fs::create_dir(&folder).unwrap();
        fs::write(spool.path().join("sequence"), "100").unwrap();
        for name in ["0000000001.jpg", "0000000001.json", "0000000002.json", "0000000002.parked", "0000000003.done"] {
            fs::write(folder.join(name), "").unwrap();
        }
        assert_eq!(Backlog::in_spool(spool.path()).unwrap().waiting, BTreeSet::from([1]));
    }

    #[test]
    fn neither_a_live_photo_nor_a_repeat_counts() {
        let mut backlog = Backlog::of([1, 2, 3]);
        for (sequence, is_new) in [(9, false), (1, true), (1, false), (2, true)] {
            assert_eq!(backlog.learn(&Event::Delivered { sequence }), is_new);
        }
        assert_eq!((backlog.ended(), backlog.length()), (2, 3));
    }

    #[test]
    fn a_refused_photo_has_ended_and_a_delayed_one_has_not() {
        let mut backlog = Backlog::of([1]);
        assert!(!backlog.learn(&Event::Delayed));
        assert_eq!((backlog.ended(), backlog.refused()), (0, 0));
        assert!(backlog.learn(&Event::Refused { sequence: 1 }));
        assert_eq!((backlog.ended(), backlog.refused()), (1, 1));
    }
}
