//! Bytes without a row: an upload was interrupted between the two. A station offers such a photo again, so the file would only
//! be in the way of every check; but an old device may not, so it is not deleted. After each start the server walks its photo
//! store and sets aside what was left behind.
//!
//! The walk reads the names of a million photos, which is some seconds of work; it takes its time over it. Remembering where
//! nothing can have changed would save that, but would trust clocks and counts after a crash.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use anyhow::Context;

use crate::catalog::Catalog;
use crate::photo_store::{Listing, PhotoStore};

/// Files looked up at a time, and so all that is held in memory of a folder's rows.
const CHUNK_FILES: usize = 1_000;

/// Pause after each chunk: requests come first.
const REST: Duration = Duration::from_millis(10);

/// What a sweep has moved.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Files without a row, out of the store.
    pub set_aside: u64,
    /// Files whose row has turned up again (another catalog was in use meanwhile), into the store.
    pub put_back: u64,
}

/// Sweeps, and tells the log what came of it.
pub async fn sweep_and_tell(store: PhotoStore, catalog: Catalog) {
    let folder = store.aside_folder();
    let Swept { set_aside, put_back } = match sweep(&store, &catalog).await {
        Ok(swept) => swept,
        Err(error) => {
            return tracing::error!("failed to look for bytes without a row; the next start tries again: {error:#}");
        }
    };
    if set_aside > 0 {
        tracing::warn!(files = set_aside, folder = %folder.display(), "set aside what interrupted uploads left without a row");
    }
    if put_back > 0 {
        tracing::warn!(files = put_back, "put photos back that were set aside while another catalog was in use");
    }
}

/// Sets aside what has no row, and puts back what was set aside and has one.
///
/// # Errors
/// If store or catalog cannot be read, or a file not moved.
pub async fn sweep(store: &PhotoStore, catalog: &Catalog) -> anyhow::Result<Swept> {
    let mut swept = Swept::default();
    // Back first: a row without its bytes is the worse of the two.
    for direction in [Direction::Back, Direction::Aside] {
        let moved = Sweep { store, catalog, direction }.walk().await?;
        match direction {
            Direction::Back => swept.put_back = moved,
            Direction::Aside => swept.set_aside = moved,
        }
    }
    Ok(swept)
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    Aside,
    Back,
}

struct Sweep<'a> {
    store: &'a PhotoStore,
    catalog: &'a Catalog,
    direction: Direction,
}

impl Sweep<'_> {
    /// Goes through all folders; how many files it has moved.
    async fn walk(&self) -> anyhow::Result<u64> {
        let mut moved = 0;
        let mut folders = vec![self.top()];
        while let Some(folder) = folders.pop() {
            let mut listing = self.list(folder).await?;
            folders.append(&mut listing.folders);
            for files in listing.files.chunks(CHUNK_FILES) {
                moved += self.move_some_of(files).await?;
                tokio::time::sleep(REST).await;
            }
        }
        Ok(moved)
    }

    async fn move_some_of(&self, files: &[PathBuf]) -> anyhow::Result<u64> {
        let suspects = self.misplaced(files).await?;
        if suspects.is_empty() {
            return Ok(0);
        }
        // Some may belong to uploads under way. Once none is, all rows that will come have come.
        let _nobody = self.store.nobody_keeping().await;
        let mut moved = 0;
        for file in self.misplaced(&suspects).await? {
            moved += u64::from(self.move_one(file).await?);
        }
        Ok(moved)
    }

    /// Files that have no row where they should have one, or the reverse.
    async fn misplaced(&self, files: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
        let keys: Vec<String> = files.iter().map(|file| self.key_of(file)).collect();
        let known = self.catalog.known_store_keys(&keys).await?;
        let is_misplaced = |key: &String| match self.direction {
            Direction::Aside => !known.contains(key),
            Direction::Back => known.contains(key),
        };
        Ok(files.iter().zip(&keys).filter(|(_, key)| is_misplaced(key)).map(|(file, _)| file.clone()).collect())
    }

    async fn move_one(&self, file: PathBuf) -> anyhow::Result<bool> {
        let (store, direction) = (self.store.clone(), self.direction);
        let work =
            move || move_file(&store, direction, &file).with_context(|| format!("failed to move {}", file.display()));
        tokio::task::spawn_blocking(work).await?
    }

    async fn list(&self, folder: PathBuf) -> anyhow::Result<Listing> {
        let store = self.store.clone();
        let work = move || store.list(&folder).with_context(|| format!("failed to list {}", folder.display()));
        tokio::task::spawn_blocking(work).await?
    }

    fn top(&self) -> PathBuf {
        match self.direction {
            Direction::Aside => self.store.folder(),
            Direction::Back => self.store.aside_folder(),
        }
    }

    /// The key under which a file is known, or would be in the store.
    fn key_of(&self, file: &Path) -> String {
        let below = file.strip_prefix(self.top()).unwrap_or(file);
        self.store.key_of(&self.store.folder().join(below))
    }
}

/// `false` if the file stays where it is.
fn move_file(store: &PhotoStore, direction: Direction, file: &Path) -> io::Result<bool> {
    match direction {
        // A link to a folder elsewhere, say, is no photo, and somebody's intention.
        Direction::Aside if !fs::symlink_metadata(file)?.is_file() => Ok(false),
        Direction::Aside => store.set_aside(file).map(|_| true),
        Direction::Back => match store.put_back(file) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            result => result.map(|()| true),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tide_durable::Durable;
    use tide_photo::jpeg::Dimensions;
    use tide_photo::{CapturedAt, ClockQuality, Digest};

    use super::*;
    use crate::catalog::{NewPhoto, OldDoor, Origin, PhotoWriter};
    use crate::photo_store::PhotoNames;

    struct Server {
        _folder: tempfile::TempDir,
        store: PhotoStore,
        catalog: Catalog,
        writer: PhotoWriter,
    }

    impl Server {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = PhotoStore::open(Durable::open(folder.path()).unwrap()).unwrap();
            let catalog = Catalog::open(&folder.path().join("tide.db")).await.unwrap();
            let writer = PhotoWriter::start(&catalog);
            Self { _folder: folder, store, catalog, writer }
        }

        fn keep(&self, bytes: &[u8]) -> PhotoNames {
            let mut incoming = self.store.receive().unwrap();
            incoming.write_all(bytes).unwrap();
            self.store.keep(incoming, &"pier-3".parse().unwrap(), CapturedAt::EPOCH, &Digest::of(bytes)).unwrap()
        }

        async fn record(&self, names: PhotoNames, bytes: &[u8]) {
            let station = self.catalog.import_station(&"pier-3".parse().unwrap(), CapturedAt::EPOCH).await.unwrap();
            let photo = NewPhoto {
                station,
                digest: Digest::of(bytes),
                size_bytes: bytes.len() as u64,
                dimensions: Dimensions { width: 1, height: 1 },
                captured_at: CapturedAt::EPOCH,
                clock: ClockQuality::unsynchronised(),
                received_at: CapturedAt::EPOCH,
                store_key: names.store_key,
                file_name: names.file_name,
                origin: Origin::OldDoor(OldDoor { client_timestamp: None }),
            };
            self.writer.record(photo).await.unwrap();
        }

        async fn sweep(&self) -> (u64, u64) {
            let swept = sweep(&self.store, &self.catalog).await.unwrap();
            (swept.set_aside, swept.put_back)
        }

        fn aside(&self, names: &PhotoNames) -> PathBuf {
            self.store.aside_folder().join(names.store_key.strip_prefix("photos/").unwrap())
        }
    }

    #[tokio::test]
    async fn bytes_without_a_row_are_set_aside_and_may_come_again() {
        let server = Server::new().await;
        let recorded = server.keep(b"recorded");
        server.record(recorded.clone(), b"recorded").await;
        let lost = server.keep(b"left behind");
        assert_eq!(server.sweep().await, (1, 0));
        assert!(server.store.path(&recorded.store_key).exists() && !server.store.path(&lost.store_key).exists());
        assert_eq!(fs::read(server.aside(&lost)).unwrap(), b"left behind");
        assert_eq!(server.keep(b"left behind"), lost, "the same photo is taken as if it had never been here");
        server.record(lost.clone(), b"left behind").await;
        assert_eq!(server.sweep().await, (0, 0));
        assert!(server.store.path(&lost.store_key).exists() && server.aside(&lost).exists());
    }

    #[tokio::test]
    async fn nothing_that_was_set_aside_is_overwritten_by_other_bytes() {
        let server = Server::new().await;
        let names = server.keep(b"left behind");
        assert_eq!(server.sweep().await, (1, 0));
        server.keep(b"left behind");
        assert_eq!(server.sweep().await, (1, 0));
        fs::write(server.store.path(&names.store_key), b"damaged").unwrap();
        assert_eq!(server.sweep().await, (1, 0));
        let second = server.aside(&names).with_added_extension("2");
        assert_eq!(fs::read(server.aside(&names)).unwrap(), b"left behind");
        assert_eq!(fs::read(second).unwrap(), b"damaged");
    }

    #[tokio::test]
    async fn bytes_whose_row_turns_up_are_put_back() {
        let server = Server::new().await;
        let names = server.keep(b"photo");
        assert_eq!(server.sweep().await, (1, 0));
        server.record(names.clone(), b"photo").await;
        assert_eq!(server.sweep().await, (0, 1));
        assert_eq!(fs::read(server.store.path(&names.store_key)).unwrap(), b"photo");
        assert!(!server.aside(&names).exists());
    }

    #[tokio::test]
    async fn an_upload_between_its_bytes_and_its_row_is_left_alone() {
        let server = Server::new().await;
        let keeping = server.store.keeping().await;
        let names = server.keep(b"photo");
        let (store, catalog) = (server.store.clone(), server.catalog.clone());
        let sweeping = tokio::spawn(async move { sweep(&store, &catalog).await.unwrap() });
        while server.store.nobody_waits_for_keepers() && !sweeping.is_finished() {
            tokio::task::yield_now().await;
        }
        server.record(names.clone(), b"photo").await;
        drop(keeping);
        assert_eq!(sweeping.await.unwrap(), Swept::default());
        assert!(server.store.path(&names.store_key).exists());
    }

    #[tokio::test]
    async fn what_the_server_did_not_put_there_stays() {
        let server = Server::new().await;
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("notes.txt"), "mine").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), server.store.folder().join("pier-4")).unwrap();
        let hidden = server.store.folder().join(".snapshots");
        fs::create_dir(&hidden).unwrap();
        fs::write(hidden.join("one.jpg"), "photo").unwrap();
        assert_eq!(server.sweep().await, (0, 0));
    }
}
