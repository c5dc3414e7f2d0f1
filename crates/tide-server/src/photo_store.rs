//! The bytes of photos, in files that a person can browse: `photos/STATION/YYYY/MM/DD/HHMMSS.mmmZ_DIGEST8.jpg`.
//!
//! No byte of a client's file name enters a path, and nothing is ever overwritten.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tide_durable::{Draft, Durable, IfExists};
use tide_photo::{CapturedAt, Digest, Hasher, StationName};

/// Photos of one server. Clones share the folder.
#[derive(Clone)]
pub struct PhotoStore {
    durable: Durable,
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
        let store = Self { durable };
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
        Self { durable }
    }

    /// Begins to take in a photo.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn receive(&self) -> io::Result<IncomingPhoto> {
        Ok(IncomingPhoto { draft: self.durable.draft(&self.incoming_folder())? })
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

    /// The key of a file below [`PhotoStore::folder`].
    pub fn key_of(&self, file: &Path) -> String {
        let below = file.strip_prefix(self.durable.root()).unwrap_or(file);
        below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
    }

    fn incoming_folder(&self) -> PathBuf {
        // Below the photos, so that both are on one file system; no station's name begins with a dot.
        self.folder().join(".incoming")
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
