//! Bytes without a row: an upload was interrupted between the two. A station offers such a photo again, so the file would only
//! be in the way of every check; but an old device may not, so it is not deleted. After each start the server walks its photo
//! store and sets aside what was left behind.
//!
//! Photos also lose their rows when an older catalog is restored, and then they are photos whose receipts were given: nobody
//! offers them again. So where there are more than interrupted uploads can explain, all stay where they are.
//!
//! The walk reads the names of a million photos, which is some seconds of work; it takes its time over it. Remembering where
//! nothing can have changed would save that, but would trust clocks and counts after a crash.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io, slice};

use crate::catalog::{Catalog, CatalogError};
use crate::photo_store::{Listing, PhotoStore};

/// Files looked up at a time, and so all that is held in memory of a folder's rows.
const CHUNK_FILES: usize = 1_000;

/// The most files without a row that are taken for interrupted uploads. The server takes in 192 photos at a time (more only if
/// they are tiny), so one stop leaves fewer. Rather too small than too large: files that stay harm nothing, and as stations offer
/// theirs again, these get their rows.
const MOST_INTERRUPTED: usize = 256;

/// Pause after each chunk: requests come first.
const REST: Duration = Duration::from_millis(10);

/// What a sweep has done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Files without a row, out of the store.
    pub set_aside: u64,
    /// Files whose row has turned up again (another catalog was in use meanwhile), into the store.
    pub put_back: u64,
    /// Files without a row that stay in the store, because they are too many.
    pub too_many: u64,
    /// Files that could not be moved, and folders that could not be read. The log names them.
    pub failed: u64,
}

/// Sweeps, and tells the log what came of it.
pub async fn sweep_and_tell(store: PhotoStore, catalog: Catalog) {
    let folder = store.aside_folder();
    let Swept { set_aside, put_back, too_many, failed } = match sweep(&store, &catalog).await {
        Ok(swept) => swept,
        Err(error) => return tell_why_not(&error),
    };
    if set_aside > 0 {
        tracing::warn!(
            files = set_aside,
            folder = %folder.display(),
            "set aside files without a row, from interrupted uploads, or an older catalog; they may be the only copies"
        );
    }
    if put_back > 0 {
        tracing::warn!(files = put_back, "put photos back that were set aside while another catalog was in use");
    }
    if too_many > 0 {
        tracing::error!(
            "{too_many} photos in `photos/` have no row: more than interrupted uploads can explain; was an older catalog \
             restored? They stay where they are; `tide-server check` lists them"
        );
    }
    if failed > 0 {
        tracing::warn!(failed, "the sweep for bytes without a row is not complete; the next start tries again");
    }
}

fn tell_why_not(error: &CatalogError) {
    if error.is_closed() {
        return tracing::info!(
            "stopped in the middle of the sweep for bytes without a row; the next start sweeps again"
        );
    }
    let error = error as &dyn std::error::Error;
    tracing::error!(error, "failed to look for bytes without a row; the next start tries again");
}

/// Sets aside what has no row, and puts back what was set aside and has one. A file that cannot be moved stays, and does not
/// keep the others from it.
///
/// # Errors
/// If the catalog cannot be read.
pub async fn sweep(store: &PhotoStore, catalog: &Catalog) -> Result<Swept, CatalogError> {
    let mut swept = Swept::default();
    // Back first: a row without its bytes is the worse of the two.
    Sweep { store, catalog, direction: Direction::Back, swept: &mut swept }.put_back().await?;
    Sweep { store, catalog, direction: Direction::Aside, swept: &mut swept }.set_aside().await?;
    Ok(swept)
}

/// Those of the files that have a row, or those that have none; `key_of` says under which key.
///
/// # Errors
/// If the catalog cannot be read.
pub(crate) async fn select(
    catalog: &Catalog,
    files: &[PathBuf],
    has_row: bool,
    key_of: impl Fn(&Path) -> String,
) -> Result<Vec<PathBuf>, CatalogError> {
    let mut selected = Vec::new();
    for files in files.chunks(CHUNK_FILES) {
        let keys: Vec<String> = files.iter().map(|file| key_of(file)).collect();
        let known = catalog.known_store_keys(&keys).await?;
        let fitting = files.iter().zip(&keys).filter(|(_, key)| known.contains(*key) == has_row);
        selected.extend(fitting.map(|(file, _)| file.clone()));
    }
    Ok(selected)
}

/// Whether there is a file that the server may have put there: a link to elsewhere, say, is no photo, and somebody's intention.
pub(crate) fn is_ordinary(file: &Path) -> bool {
    fs::symlink_metadata(file).is_ok_and(|metadata| metadata.is_file())
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    /// Out of the store.
    Aside,
    /// Into it.
    Back,
}

struct Sweep<'a> {
    store: &'a PhotoStore,
    catalog: &'a Catalog,
    direction: Direction,
    swept: &'a mut Swept,
}

/// What is still to be looked at.
struct Walk {
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl Sweep<'_> {
    async fn put_back(&mut self) -> Result<(), CatalogError> {
        let mut walk = Walk::below(self.store.aside_folder());
        while let Some(files) = self.next(&mut walk).await {
            for file in self.misplaced(&files).await? {
                self.swept.put_back += u64::from(self.move_if_certain(file).await?);
            }
        }
        Ok(())
    }

    /// Counts before it moves anything.
    async fn set_aside(&mut self) -> Result<(), CatalogError> {
        let mut suspects = Vec::new();
        let mut walk = Walk::below(self.store.folder());
        while let Some(files) = self.next(&mut walk).await {
            let mut found = self.misplaced(&files).await?;
            if self.swept.too_many > 0 {
                self.swept.too_many += found.len() as u64;
                continue;
            }
            suspects.append(&mut found);
            if suspects.len() > MOST_INTERRUPTED {
                let _nobody = self.store.nobody_keeping().await;
                suspects = self.misplaced(&suspects).await?;
            }
            if suspects.len() > MOST_INTERRUPTED {
                self.swept.too_many = suspects.len() as u64;
                suspects.clear();
            }
        }
        for file in suspects {
            self.swept.set_aside += u64::from(self.move_if_certain(file).await?);
        }
        Ok(())
    }

    /// The next files of a walk; `None` after the last.
    async fn next(&mut self, walk: &mut Walk) -> Option<Vec<PathBuf>> {
        while walk.files.is_empty() {
            let mut listing = self.list(walk.folders.pop()?).await;
            walk.folders.append(&mut listing.folders);
            walk.files = listing.files;
        }
        tokio::time::sleep(REST).await;
        Some(walk.files.split_off(walk.files.len().saturating_sub(CHUNK_FILES)))
    }

    async fn list(&mut self, folder: PathBuf) -> Listing {
        let (store, path) = (self.store.clone(), folder.clone());
        blocking(move || store.list(&path)).await.unwrap_or_else(|error| {
            tracing::warn!(folder = %folder.display(), %error, "failed to list a folder of photos");
            self.swept.failed += 1;
            Listing::default()
        })
    }

    /// Files that have no row where they should have one, or the reverse.
    async fn misplaced(&self, files: &[PathBuf]) -> Result<Vec<PathBuf>, CatalogError> {
        let has_row = matches!(self.direction, Direction::Back);
        let mut selected = select(self.catalog, files, has_row, |file| self.key_of(file)).await?;
        if selected.is_empty() {
            return Ok(selected);
        }
        let ordinary = move || {
            selected.retain(|file| is_ordinary(file));
            Ok(selected)
        };
        Ok(blocking(ordinary).await.unwrap_or_default())
    }

    /// Moves a file if it is still misplaced; whether it has.
    async fn move_if_certain(&mut self, file: PathBuf) -> Result<bool, CatalogError> {
        // It may belong to an upload under way. Once none is, all rows that will come have come. For one file at a time, so that
        // uploads wait for little.
        let _nobody = self.store.nobody_keeping().await;
        if self.misplaced(slice::from_ref(&file)).await?.is_empty() {
            return Ok(false);
        }
        let (store, direction, path) = (self.store.clone(), self.direction, file.clone());
        match blocking(move || move_file(&store, direction, &path)).await {
            Ok(()) => Ok(true),
            Err(error) if may_stay(direction, &error) => Ok(false),
            Err(error) => {
                tracing::warn!(file = %file.display(), ?direction, %error, "failed to move a file; it stays where it is");
                self.swept.failed += 1;
                Ok(false)
            }
        }
    }

    /// The key under which a file is known, or would be in the store.
    fn key_of(&self, file: &Path) -> String {
        let below = file.strip_prefix(self.store.aside_folder()).unwrap_or(file);
        // Joined with a path that is whole, this is that path.
        self.store.key_of(&self.store.folder().join(below))
    }
}

impl Walk {
    fn below(folder: PathBuf) -> Self {
        Self { folders: vec![folder], files: Vec::new() }
    }
}

fn move_file(store: &PhotoStore, direction: Direction, file: &Path) -> io::Result<()> {
    match direction {
        Direction::Aside => store.set_aside(file).map(|_| ()),
        Direction::Back => store.put_back(file),
    }
}

/// Whether the file stays where it is for a good reason: somebody was faster, or its place is taken.
fn may_stay(direction: Direction, error: &io::Error) -> bool {
    match error.kind() {
        io::ErrorKind::NotFound => true,
        io::ErrorKind::AlreadyExists => matches!(direction, Direction::Back),
        _ => false,
    }
}

/// Runs work that waits for the disk where it holds up no request.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
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

        /// Sweeps while a photo has its bytes and not yet its row; the photo's names.
        async fn sweep_beside_an_upload(&self) -> (Swept, PhotoNames) {
            let keeping = self.store.keeping().await;
            let names = self.keep(b"photo");
            let (store, catalog) = (self.store.clone(), self.catalog.clone());
            let sweeping = tokio::spawn(async move { sweep(&store, &catalog).await.unwrap() });
            while self.store.nobody_waits_for_keepers() && !sweeping.is_finished() {
                tokio::task::yield_now().await;
            }
            self.record(names.clone(), b"photo").await;
            drop(keeping);
            (sweeping.await.unwrap(), names)
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
        let (swept, names) = server.sweep_beside_an_upload().await;
        assert_eq!(swept, Swept::default());
        assert!(server.store.path(&names.store_key).exists());
    }

    /// More than interrupted uploads can explain: their receipts were given, and the catalog is an older one.
    #[tokio::test]
    async fn photos_stay_when_too_many_have_no_row() {
        let server = Server::new().await;
        let recorded = server.keep(b"recorded");
        server.record(recorded.clone(), b"recorded").await;
        let folder = server.store.path(&recorded.store_key).parent().unwrap().to_owned();
        let without_row = |number| folder.join(format!("{number}.jpg"));
        for number in 0..=MOST_INTERRUPTED {
            fs::write(without_row(number), "photo").unwrap();
        }
        let swept = sweep(&server.store, &server.catalog).await.unwrap();
        assert_eq!(swept, Swept { too_many: MOST_INTERRUPTED as u64 + 1, ..Swept::default() });
        assert!((0..=MOST_INTERRUPTED).all(|number| without_row(number).exists()));
        assert!(!server.store.aside_folder().exists());
        fs::remove_file(without_row(0)).unwrap();
        assert_eq!(server.sweep().await, (MOST_INTERRUPTED as u64, 0), "as many as there may be");
        assert!(server.store.path(&recorded.store_key).exists());
    }

    #[tokio::test]
    async fn uploads_under_way_do_not_make_too_many() {
        let server = Server::new().await;
        let folder = server.store.folder().join("pier-3");
        fs::create_dir(&folder).unwrap();
        for number in 0..MOST_INTERRUPTED {
            fs::write(folder.join(format!("{number}.jpg")), "photo").unwrap();
        }
        let (swept, names) = server.sweep_beside_an_upload().await;
        assert_eq!(swept, Swept { set_aside: MOST_INTERRUPTED as u64, ..Swept::default() });
        assert!(server.store.path(&names.store_key).exists());
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_moved_stops_no_other() {
        let server = Server::new().await;
        let [stuck, other] = [&b"stuck"[..], b"other"].map(|bytes| server.keep(bytes));
        fs::create_dir_all(server.aside(&stuck)).unwrap();
        let swept = sweep(&server.store, &server.catalog).await.unwrap();
        assert_eq!(swept, Swept { set_aside: 1, failed: 1, ..Swept::default() });
        assert!(server.store.path(&stuck.store_key).exists() && server.aside(&other).exists());
    }

    #[tokio::test]
    async fn a_photo_that_cannot_be_put_back_keeps_nothing_from_being_set_aside() {
        let server = Server::new().await;
        let photo = server.keep(b"photo");
        assert_eq!(server.sweep().await, (1, 0));
        server.record(photo.clone(), b"photo").await;
        let month = server.store.path(&photo.store_key).ancestors().nth(2).unwrap().to_owned();
        fs::remove_dir_all(&month).unwrap();
        fs::write(&month, "no folder").unwrap();
        let other = server.store.folder().join("left-behind.jpg");
        fs::write(&other, "left behind").unwrap();
        let swept = sweep(&server.store, &server.catalog).await.unwrap();
        // The file in the folder's place cannot be set aside either: there, too, is a folder.
        assert_eq!(swept, Swept { set_aside: 1, failed: 2, ..Swept::default() });
        assert!(server.aside(&photo).exists() && month.exists() && !other.exists());
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
