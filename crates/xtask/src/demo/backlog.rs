//! The photos that wait in the station's spool, and what becomes of them, told by the files that each has there.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Some photos of a spool. Those that the station takes later do not belong to them.
pub(crate) struct Backlog {
    spool: PathBuf,
    photos: BTreeSet<u64>,
}

/// How far they are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Delivered.
    pub(crate) delivered: u64,
    /// Kept by the station, because they were refused or are damaged.
    pub(crate) parked: u64,
}

impl Backlog {
    /// All photos that wait now.
    ///
    /// # Errors
    /// If the spool cannot be read.
    pub(crate) fn of(spool: PathBuf) -> Result<Self> {
        let Contents { manifests, parked } = Contents::read(&spool)?;
        Ok(Self { spool, photos: manifests.difference(&parked).copied().collect() })
    }

    /// How many there are.
    pub(crate) fn length(&self) -> u64 {
        self.photos.len() as u64
    }

    /// What has become of them so far.
    ///
    /// # Errors
    /// If the spool cannot be read.
    pub(crate) fn progress(&self) -> Result<Progress> {
        let Contents { manifests, parked } = Contents::read(&self.spool)?;
        let kept = self.photos.intersection(&manifests).count() as u64;
        Ok(Progress {
            delivered: self.length() - kept,
            parked: self.photos.intersection(&manifests).filter(|photo| parked.contains(photo)).count() as u64,
        })
    }
}

impl Progress {
    /// How many of them do not wait any more.
    pub(crate) fn ended(&self) -> u64 {
        self.delivered + self.parked
    }
}

/// The numbers of the photos in a spool.
struct Contents {
    manifests: BTreeSet<u64>,
    parked: BTreeSet<u64>,
}

impl Contents {
    fn read(spool: &Path) -> Result<Self> {
        let (mut manifests, mut parked) = (BTreeSet::new(), BTreeSet::new());
        for folder in entries(spool)?.iter().filter(|path| path.is_dir()) {
            for file in entries(folder)? {
                let number = file.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
                match (number, file.extension().and_then(OsStr::to_str)) {
                    (Some(number), Some("json")) => drop(manifests.insert(number)),
                    (Some(number), Some("parked")) => drop(parked.insert(number)),
                    _ => (),
                }
            }
        }
        Ok(Self { manifests, parked })
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
    fn photos_are_followed_until_each_is_delivered_or_parked() {
        let spool = tempfile::tempdir().unwrap();
        let folder = spool.path().join("0000000");
        let put = |names: &[&str]| names.iter().for_each(|name| fs::write(folder.join(name), "").unwrap());
        fs::create_dir(&folder).unwrap();
        fs::write(spool.path().join("sequence"), "100").unwrap();
        put(&["0000000001.jpg", "0000000001.json", "0000000002.json", "0000000003.done", "0000000004.json.part"]);
        put(&["0000000005.json", "0000000005.parked"]);
        let backlog = Backlog::of(spool.path().to_owned()).unwrap();
        assert_eq!((backlog.length(), backlog.progress().unwrap()), (2, Progress::default()), "1 and 2 wait");

        put(&["0000000006.json", "0000000007.json", "0000000007.parked"]);
        assert_eq!(backlog.progress().unwrap().ended(), 0, "later photos do not count");

        fs::rename(folder.join("0000000001.json"), folder.join("0000000001.done")).unwrap();
        put(&["0000000002.parked"]);
        assert_eq!(backlog.progress().unwrap(), Progress { delivered: 1, parked: 1 });
    }
}
