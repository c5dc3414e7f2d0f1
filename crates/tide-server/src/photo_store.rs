//! The bytes of photos, in files that a person can browse: `photos/STATION/YYYY/MM/DD/HHMMSS.mmmZ_DIGEST8.jpg`.
//!
//! No byte of a client's file name enters a path, and nothing is ever overwritten.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tide_durable::{Draft, Durable, IfExists, PART_SUFFIX};
use tide_photo::{CapturedAt, Digest, Hasher, StationName};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Photos of one server. Clones share the folder.
#[derive(Clone)]
pub struct PhotoStore {
    durable: Durable,
    keepers: Arc<RwLock<()>>,
}

/// While this lives, a photo's bytes may be in the store without their row.
pub type Keeping<'a> = RwLockReadGuard<'a, ()>;

/// While this lives, no [`Keeping`] does: bytes without a row were left behind.
pub type NobodyKeeping<'a> = RwLockWriteGuard<'a, ()>;

/// What lies in one folder of the store.
#[derive(Debug, Default)]
pub struct Listing {
    /// Photos, and whatever else is no folder; uploads that are not whole yet are left out.
    pub files: Vec<PathBuf>,
    /// Folders below.
    pub folders: Vec<PathBuf>,
}

/// Where a photo is kept, and the name under which `/uploads` serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhotoNames {
    /// Path below the data folder, with `/` between the parts.
    pub store_key: String,
    /// One file name, unique on this server.
    pub file_name: String,
}

impl PhotoNames {
    /// The names for a photo, with as many digits of the digest as it takes to be unique.
    fn new(station: &StationName, captured_at: CapturedAt, digest: &str) -> Self {
        let folder = captured_at.format_utc("%Y/%m/%d");
        let time = captured_at.format_utc("%H%M%S.%3f");
        let day = captured_at.format_utc("%Y%m%d");
        Self {
            store_key: format!("photos/{station}/{folder}/{time}Z_{digest}.jpg"),
            file_name: format!("{day}_{time}Z_{station}_{digest}.jpg"),
        }
    }
}

/// Bytes of a photo that the server does not hold yet.
pub struct IncomingPhoto {
    draft: Draft,
}

impl PhotoStore {
    /// The store in a data folder; what an interruption left unfinished is removed.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub fn open(durable: Durable) -> io::Result<Self> {
        let store = Self::look(durable);
        store.durable.ensure_folder(&store.folder())?;
        let swept = store.durable.sweep(&store.incoming_folder())?;
        if swept > 0 {
            tracing::info!(
                files = swept,
                "removed uploads that an interruption had cut off; their stations still hold them"
            );
        }
        Ok(store)
    }

    /// The store of a data folder that a running server may be using, for looking only.
    pub fn look(durable: Durable) -> Self {
        Self { durable, keepers: Arc::default() }
    }

    /// Begins to take in a photo.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn receive(&self) -> io::Result<IncomingPhoto> {
        Ok(IncomingPhoto { draft: self.durable.draft(&self.incoming_folder())? })
    }

    /// Goes on with a photo whose bytes come over several connections, and how many of them are here. Dropping it leaves them.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is no such file; or if the disk refuses.
    pub fn resume(&self, path: &Path) -> io::Result<(IncomingPhoto, u64)> {
        let (draft, length_bytes) = self.durable.resume(path)?;
        Ok((IncomingPhoto { draft }, length_bytes))
    }

    /// To be had before [`PhotoStore::keep`] and until the photo's row is committed.
    pub async fn keeping(&self) -> Keeping<'_> {
        self.keepers.read().await
    }

    /// To be had by who takes bytes without a row for left behind. Uploads wait meanwhile, so not for long.
    pub async fn nobody_keeping(&self) -> NobodyKeeping<'_> {
        self.keepers.write().await
    }

    /// Keeps a photo durably, under names of its own. The caller makes sure that no other call is keeping the same photo.
    ///
    /// # Errors
    /// If the disk refuses; the photo then is not kept.
    pub fn keep(
        &self,
        incoming: IncomingPhoto,
        station: &StationName,
        captured_at: CapturedAt,
        digest: &Digest,
    ) -> io::Result<PhotoNames> {
        let short = PhotoNames::new(station, captured_at, &digest.short());
        let long = PhotoNames::new(station, captured_at, &digest.to_string());
        for names in [&short, &long] {
            let path = self.path(&names.store_key);
            match digest_of_file(&path) {
                // Kept before, but the catalog never heard of it: the power went in between.
                Ok(found) if found == *digest => return self.durable.settle(&path).map(|()| names.clone()),
                // Other bytes with the same beginning of a digest in the same millisecond.
                Ok(_) => (),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    incoming.draft.publish(&path, IfExists::Refuse)?;
                    return Ok(names.clone());
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} holds other bytes", long.store_key)))
    }

    /// Where [`PhotoStore::keep`] has put this photo's bytes, if it has.
    ///
    /// # Errors
    /// If a file in its place cannot be read.
    pub fn kept(&self, station: &StationName, captured_at: CapturedAt, digest: &Digest) -> io::Result<Option<PathBuf>> {
        for name in [digest.short(), digest.to_string()] {
            let path = self.path(&PhotoNames::new(station, captured_at, &name).store_key);
            match digest_of_file(&path) {
                Ok(found) if found == *digest => return Ok(Some(path)),
                Ok(_) => (),
                Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Removes bytes to which no row points, and which are in the store under another key.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn remove(&self, store_key: &str) -> io::Result<()> {
        self.durable.remove_lazily(&self.path(store_key))
    }

    /// Where the bytes of a key are. Keys come from the catalog, never from a client.
    pub fn path(&self, store_key: &str) -> PathBuf {
        self.durable.root().join(store_key)
    }

    /// The folder that holds all photos, for going through them.
    pub fn folder(&self) -> PathBuf {
        self.durable.root().join("photos")
    }

    /// The folder of bytes that were found without a row: on the same file system, under the same path.
    pub fn aside_folder(&self) -> PathBuf {
        self.folder().join(".unlisted")
    }

    /// What lies in a folder of the store, nothing if it does not exist. At the top, folders of the server's own (and other
    /// hidden ones) and of the file system's are left out: none of these names is a station's.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn list(&self, folder: &Path) -> io::Result<Listing> {
        let is_top = folder == self.folder();
        let mut listing = Listing::default();
        for entry in self.durable.list(folder)? {
            let (name, path) = (entry.name.to_string_lossy(), folder.join(&entry.name));
            match entry.is_folder {
                true if is_top && (name.starts_with('.') || name == "lost+found") => (),
                true => listing.folders.push(path),
                false if name.ends_with(PART_SUFFIX) => (),
                false => listing.files.push(path),
            }
        }
        Ok(listing)
    }

    /// Moves bytes out of the store, under their old path in [`PhotoStore::aside_folder`]; returns where they are. Another file
    /// of that name there stays too. The caller holds [`NobodyKeeping`].
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn set_aside(&self, file: &Path) -> io::Result<PathBuf> {
        self.durable.settle(file)?;
        let below = file.strip_prefix(self.folder()).map_err(io::Error::other)?;
        let place = self.aside_folder().join(below);
        let numbered = (2_u32..).map(|number| place.with_added_extension(number.to_string()));
        for to in std::iter::once(place.clone()).chain(numbered) {
            let if_exists = match digest_of_file(&to) {
                // The same photo, left behind once more.
                Ok(found) if found == digest_of_file(file)? => IfExists::Replace,
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => IfExists::Refuse,
                Err(error) => return Err(error),
            };
            return self.durable.move_to(file, &to, if_exists).map(|()| to);
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Moves bytes that were set aside into the store again. The caller holds [`NobodyKeeping`].
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if there is something in their place.
    pub fn put_back(&self, file: &Path) -> io::Result<()> {
        let below = file.strip_prefix(self.aside_folder()).map_err(io::Error::other)?;
        self.durable.move_to(file, &self.folder().join(below), IfExists::Refuse)
    }

    /// The key of a file below [`PhotoStore::folder`].
    pub fn key_of(&self, file: &Path) -> String {
        let below = file.strip_prefix(self.durable.root()).unwrap_or(file);
        below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
    }

    /// The folder of photos whose bytes come over several connections.
    pub fn unfinished_folder(&self) -> PathBuf {
        self.folder().join(".unfinished")
    }

    fn incoming_folder(&self) -> PathBuf {
        // Below the photos, so that both are on one file system; no station's name begins with a dot.
        self.folder().join(".incoming")
    }
}

impl IncomingPhoto {
    /// Opens what has come so far, for reading from its beginning.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn read_back(&self) -> io::Result<Box<dyn Read + Send>> {
        self.draft.read_back()
    }
}

impl Write for IncomingPhoto {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.draft.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.draft.flush()
    }
}

/// The digest of a file's bytes, read in pieces.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] if there is no such file.
pub fn digest_of_file(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::default();
    let mut piece = vec![0; 64 * 1_024];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&piece[..length]),
        }
    }
}

#[cfg(test)]
impl PhotoStore {
    /// Whether nobody waits for [`NobodyKeeping`]; who does keeps new readers out.
    pub(crate) fn nobody_waits_for_keepers(&self) -> bool {
        self.keepers.try_read().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(folder: &Path) -> PhotoStore {
        PhotoStore::open(Durable::open(folder).unwrap()).unwrap()
    }

    fn keep(store: &PhotoStore, bytes: &[u8]) -> PhotoNames {
        let mut incoming = store.receive().unwrap();
        incoming.write_all(bytes).unwrap();
        let captured_at = "2026-05-31T18:00:00.250Z".parse().unwrap();
        store.keep(incoming, &"pier-3".parse().unwrap(), captured_at, &Digest::of(bytes)).unwrap()
    }

    #[test]
    fn a_person_can_browse_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let names = keep(&store, b"abc");
        assert_eq!(names.store_key, "photos/pier-3/2026/05/31/180000.250Z_ba7816bf.jpg");
        assert_eq!(names.file_name, "20260531_180000.250Z_pier-3_ba7816bf.jpg");
        assert_eq!(std::fs::read(store.path(&names.store_key)).unwrap(), b"abc");
    }

    #[test]
    fn a_photo_kept_before_a_power_cut_is_kept_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        assert_eq!(keep(&store, b"abc"), keep(&store, b"abc"));
        assert_eq!(store.durable.list(&store.incoming_folder()).unwrap(), []);
    }

    #[test]
    fn other_bytes_in_the_place_are_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let place = store.path("photos/pier-3/2026/05/31/180000.250Z_ba7816bf.jpg");
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(&place, b"other bytes").unwrap();
        let names = keep(&store, b"abc");
        assert!(names.store_key.ends_with(&format!("Z_{}.jpg", Digest::of(b"abc"))));
        assert_eq!(std::fs::read(&place).unwrap(), b"other bytes");
    }
}
