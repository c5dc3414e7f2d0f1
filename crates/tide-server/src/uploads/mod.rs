//! Uploads that resume: a photo whose bytes come over several connections. What has come lies in
//! `photos/.unfinished/STATION/ID.bytes`, and what is known of it beside that, in `ID.json`, without which the upload does not
//! exist. How far it has come is the length of the file, so no restart and no kill loses count; what a power cut takes from the
//! file is sent again, or found by the photo's digest in the end.
//!
//! An upload that nobody goes on with expires [`LIFETIME`] after its last byte.

mod finishing;
mod id;
pub mod metadata;
mod turns;

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tide_durable::{Durable, IfExists};
use tide_photo::StationName;

pub use id::UploadId;
pub use turns::Turn;
use turns::Turns;

use crate::photo_store::{IncomingPhoto, PhotoStore};

/// How long an upload is kept after its last byte: a station behind a bad link has a day to come back.
pub const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How often what has expired is removed; it is no longer found from its very moment on.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);

/// Unfinished uploads of one station. It works at a few at a time; what it has forgotten (its card was changed, say) makes room
/// for what it brings now.
const UPLOADS_PER_STATION: usize = 16;

/// Bytes that the unfinished uploads of one station may come to, unless a single photo may be larger: a token in wrong hands
/// fills no disk.
const BYTES_PER_STATION: u64 = 256 * 1_024 * 1_024;

/// How the file of an upload's bytes ends, and that of what is known about it.
const BYTES: &str = "bytes";
const ABOUT: &str = "json";

/// The unfinished uploads of one server. Clones share everything.
#[derive(Clone)]
pub struct Uploads {
    durable: Durable,
    store: PhotoStore,
    turns: Turns,
    creating: Arc<tokio::sync::Mutex<()>>,
    max_photo_bytes: u64,
}

/// What is known of an upload apart from its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Bytes that it will have.
    pub length_bytes: u64,
    /// The header `Upload-Metadata`, as it came.
    pub metadata: String,
}

/// An unfinished upload, and the right to deal with it until this is dropped.
pub struct Upload {
    /// Its name.
    pub id: UploadId,
    /// Whose.
    pub station: StationName,
    /// What it will be.
    pub about: About,
    /// Bytes that are here.
    pub offset_bytes: u64,
    /// When it expires, if nobody goes on with it.
    pub expires_at: SystemTime,
    /// Ends when a newer request comes.
    pub turn: Turn,
}

/// One upload's files, found by their names.
#[derive(Debug, Clone)]
struct Files {
    station: StationName,
    id: UploadId,
    folder: PathBuf,
}

/// What looking for an upload finds.
pub enum Found {
    /// It is there.
    Upload(Box<Upload>),
    /// It is not, or has expired.
    Nothing,
    /// The request before does not end.
    InUse,
}

impl Uploads {
    /// The uploads in a data folder; what was being written when a server was killed is removed.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub fn open(durable: Durable, store: PhotoStore, max_photo_bytes: u64) -> io::Result<Self> {
        let uploads = Self { durable, store, turns: Turns::default(), creating: Arc::default(), max_photo_bytes };
        for folder in uploads.station_folders()? {
            uploads.durable.sweep(&folder)?;
        }
        Ok(uploads)
    }

    /// Begins an upload. Should the station have too many, those go that it has not touched for the longest time.
    ///
    /// # Errors
    /// If the disk refuses.
    pub async fn create(&self, station: &StationName, id: UploadId, about: About) -> io::Result<()> {
        let _creating = self.creating.lock().await;
        let (uploads, files) = (self.clone(), self.files(station, id));
        blocking(move || {
            uploads.make_room(&files.station, about.length_bytes)?;
            let about = serde_json::to_vec(&about)?;
            uploads.durable.publish(&files.path(BYTES), b"", IfExists::Refuse)?;
            // Last: this makes the upload exist.
            uploads.durable.publish(&files.path(ABOUT), &about, IfExists::Refuse)
        })
        .await
    }

    /// A station's upload, once the request before has ended, which it is made to.
    ///
    /// # Errors
    /// If the disk refuses.
    pub async fn find(&self, station: &StationName, id: UploadId, now: SystemTime) -> io::Result<Found> {
        let files = self.files(station, id);
        // Before anything is waited for: who makes names up finds no door.
        if !files.path(ABOUT).exists() {
            return Ok(Found::Nothing);
        }
        let Some(turn) = self.turns.take(&files.name()).await else { return Ok(Found::InUse) };
        let uploads = self.clone();
        let found = blocking(move || uploads.read(files, turn)).await?;
        Ok(found.filter(|upload| now < upload.expires_at).map_or(Found::Nothing, |upload| Found::Upload(upload.into())))
    }

    /// The file of an upload's bytes, to go on with.
    ///
    /// # Errors
    /// If the disk refuses.
    pub async fn go_on(&self, upload: &Upload) -> io::Result<IncomingPhoto> {
        let (store, path) = (self.store.clone(), self.files(&upload.station, upload.id).path(BYTES));
        blocking(move || Ok(store.resume(&path)?.0)).await
    }

    /// Removes an upload: it is finished, refused or no longer wanted.
    ///
    /// # Errors
    /// If the disk refuses.
    pub async fn remove(&self, upload: Upload) -> io::Result<()> {
        let (uploads, files) = (self.clone(), self.files(&upload.station, upload.id));
        let removed = blocking(move || uploads.remove_files(&files)).await;
        drop(upload);
        removed
    }

    /// Removes what has expired by `now`; how many uploads.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn sweep(&self, now: SystemTime) -> io::Result<usize> {
        let mut swept = 0;
        for files in self.all()? {
            let Some(_turn) = self.turns.try_take(&files.name()) else { continue };
            if files.touched_at().is_some_and(|touched_at| now >= touched_at + LIFETIME) {
                self.remove_files(&files)?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    fn make_room(&self, station: &StationName, length_bytes: u64) -> io::Result<()> {
        let mut uploads: Vec<_> = self.of_station(&self.folder(station), station)?;
        uploads.sort_by_key(Files::touched_at);
        let most_bytes = BYTES_PER_STATION.max(self.max_photo_bytes);
        let mut bytes = uploads.iter().map(Files::length_bytes).fold(length_bytes, u64::saturating_add);
        let mut number = uploads.len() + 1;
        for oldest in uploads {
            if number <= UPLOADS_PER_STATION && bytes <= most_bytes {
                break;
            }
            // One that is being dealt with is none that the station has forgotten.
            let Some(_turn) = self.turns.try_take(&oldest.name()) else { continue };
            bytes = bytes.saturating_sub(oldest.length_bytes());
            number -= 1;
            self.remove_files(&oldest)?;
            tracing::info!(%station, id = %oldest.id, "removed an unfinished upload to make room for a new one");
        }
        Ok(())
    }

    /// `None` if it is not there. Bytes that are in the photo store already are all here, and only want their row.
    fn read(&self, files: Files, turn: Turn) -> io::Result<Option<Upload>> {
        let about = match self.durable.read(&files.path(ABOUT)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            json => serde_json::from_slice(&json?)?,
        };
        let Some(touched_at) = files.touched_at() else { return Ok(None) };
        let offset_bytes = match files.metadata(BYTES) {
            Some(bytes) => bytes.len(),
            None if self.kept(&files, &about)?.is_some() => about.length_bytes,
            None => return Ok(None),
        };
        let Files { station, id, .. } = files;
        Ok(Some(Upload { id, station, about, offset_bytes, expires_at: touched_at + LIFETIME, turn }))
    }

    /// What comes back after a power cut does no harm: it is finished once more, or expires.
    fn remove_files(&self, files: &Files) -> io::Result<()> {
        for kind in [ABOUT, BYTES] {
            match self.durable.remove_lazily(&files.path(kind)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                removed => removed?,
            }
        }
        Ok(())
    }

    fn folder(&self, station: &StationName) -> PathBuf {
        self.store.unfinished_folder().join(station.as_str())
    }

    fn files(&self, station: &StationName, id: UploadId) -> Files {
        Files { station: station.clone(), id, folder: self.folder(station) }
    }

    fn all(&self) -> io::Result<Vec<Files>> {
        let mut all = Vec::new();
        for folder in self.station_folders()? {
            let name = folder.file_name().and_then(|name| name.to_str()?.parse().ok());
            if let Some(station) = name {
                all.append(&mut self.of_station(&folder, &station)?);
            }
        }
        Ok(all)
    }

    fn station_folders(&self) -> io::Result<Vec<PathBuf>> {
        let folder = self.store.unfinished_folder();
        let folders = self.durable.list(&folder)?.into_iter().filter(|entry| entry.is_folder);
        Ok(folders.map(|entry| folder.join(entry.name)).collect())
    }

    /// Each upload once, by either of its files.
    fn of_station(&self, folder: &Path, station: &StationName) -> io::Result<Vec<Files>> {
        let stem = |name: &Path| name.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        let names = self.durable.list(folder)?;
        let mut ids: Vec<UploadId> = names.iter().filter_map(|entry| stem(Path::new(&entry.name))).collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids.into_iter().map(|id| Files { station: station.clone(), id, folder: folder.to_owned() }).collect())
    }
}

impl Files {
    fn path(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}", self.id))
    }

    fn name(&self) -> String {
        format!("{}/{}", self.station, self.id)
    }

    fn metadata(&self, kind: &str) -> Option<Metadata> {
        fs::metadata(self.path(kind)).ok()
    }

    /// When its last byte came; of bytes that are kept already, when it was created.
    fn touched_at(&self) -> Option<SystemTime> {
        let metadata = self.metadata(BYTES).or_else(|| self.metadata(ABOUT))?;
        metadata.modified().ok()
    }

    fn length_bytes(&self) -> u64 {
        let about = fs::read(self.path(ABOUT)).ok();
        let about = about.and_then(|json| serde_json::from_slice::<About>(&json).ok());
        about.map_or(0, |about| about.length_bytes)
    }
}

/// Removes what has expired, now and every hour.
pub async fn keep_swept(uploads: Uploads) {
    let mut hours = tokio::time::interval(SWEEP_EVERY);
    loop {
        hours.tick().await;
        let uploads = uploads.clone();
        match blocking(move || uploads.sweep(SystemTime::now())).await {
            Ok(0) => (),
            Ok(number) => tracing::info!(uploads = number, "removed unfinished uploads that nobody went on with"),
            Err(error) => tracing::warn!(%error, "failed to remove expired uploads; the next hour tries again"),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use tide_photo::Digest;

    use super::*;

    fn uploads() -> (tempfile::TempDir, Uploads) {
        let folder = tempfile::tempdir().unwrap();
        let durable = Durable::open(folder.path()).unwrap();
        let store = PhotoStore::open(durable.clone()).unwrap();
        (folder, Uploads::open(durable, store, 1_000).unwrap())
    }

    async fn create(uploads: &Uploads, number: u128, length_bytes: u64) -> UploadId {
        let id = UploadId::new(number, Digest::of(b"photo"));
        let about = About { length_bytes, metadata: String::new() };
        uploads.create(&"pier-3".parse().unwrap(), id, about).await.unwrap();
        id
    }

    async fn is_there(uploads: &Uploads, id: UploadId, now: SystemTime) -> bool {
        matches!(uploads.find(&"pier-3".parse().unwrap(), id, now).await.unwrap(), Found::Upload(_))
    }

    #[tokio::test]
    async fn an_upload_that_nobody_goes_on_with_expires_after_a_day() {
        let (_folder, uploads) = uploads();
        let before = SystemTime::now() - Duration::from_secs(1);
        let id = create(&uploads, 1, 10).await;
        let after = SystemTime::now() + Duration::from_secs(1);
        assert!(is_there(&uploads, id, before + LIFETIME).await);
        assert!(!is_there(&uploads, id, after + LIFETIME).await, "gone before it is swept");
        assert_eq!(uploads.sweep(before + LIFETIME).unwrap(), 0);
        {
            let Found::Upload(_in_use) = uploads.find(&"pier-3".parse().unwrap(), id, before).await.unwrap() else {
                panic!("the upload is there")
            };
            assert_eq!(uploads.sweep(after + LIFETIME).unwrap(), 0, "somebody is at it");
        }
        assert_eq!(uploads.sweep(after + LIFETIME).unwrap(), 1);
        assert!(!is_there(&uploads, id, before).await);
        assert_eq!(uploads.all().unwrap().len(), 0);
    }

    #[tokio::test]
    async fn the_oldest_make_room_by_number_and_by_bytes() {
        let (_folder, uploads) = uploads();
        let now = SystemTime::now();
        let mut ids = Vec::new();
        for number in 0..=UPLOADS_PER_STATION {
            ids.push(create(&uploads, number as u128, 10).await);
        }
        assert!(!is_there(&uploads, ids[0], now).await);
        assert!(is_there(&uploads, ids[1], now).await);
        let large = create(&uploads, 99, BYTES_PER_STATION - 25).await;
        assert_eq!(uploads.all().unwrap().len(), 3, "two of ten bytes each have room beside it");
        assert!(is_there(&uploads, large, now).await);
    }

    #[tokio::test]
    async fn what_a_kill_left_half_created_is_no_upload_and_goes() {
        let (_folder, uploads) = uploads();
        let id = create(&uploads, 1, 10).await;
        let files = uploads.files(&"pier-3".parse().unwrap(), id);
        uploads.durable.remove_lazily(&files.path(ABOUT)).unwrap();
        assert!(!is_there(&uploads, id, SystemTime::now()).await);
        assert_eq!(uploads.sweep(SystemTime::now() + LIFETIME + Duration::from_secs(1)).unwrap(), 1);
        assert_eq!(uploads.durable.list(&files.folder).unwrap(), []);
    }
}
