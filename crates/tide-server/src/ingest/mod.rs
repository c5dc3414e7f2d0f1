//! Steps 6 to 9 of a photo's path: receive, check, keep, record, answer. Every door of the server leads through here.

mod body;
mod claims;
mod pace;
pub mod request_body;
mod slots;
mod stretch;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tide_photo::jpeg::JpegError;
use tide_photo::{CapturedAt, ClockQuality, Digest, Holding, Manifest, Receipt};

pub use body::{ImageBody, ReceivedImage};
pub use claims::{Claim, Claims};
pub use pace::Pace;
pub use slots::UploadSlots;
pub use stretch::{Arrived, Checksum, Stretch};

use crate::catalog::{Catalog, CatalogError, NewPhoto, Origin, PhotoWriter, Recorded, Station};
use crate::disk_guard::DiskGuard;
use crate::photo_store::{IncomingPhoto, PhotoStore};
use crate::thumbnails::Thumbnailer;

/// Takes photos in. Clones share everything.
#[derive(Clone)]
pub struct Ingest {
    store: PhotoStore,
    catalog: Catalog,
    writer: PhotoWriter,
    thumbnailer: Thumbnailer,
    claims: Arc<Claims>,
    guard: DiskGuard,
    slots: UploadSlots,
    max_photo_bytes: u64,
}

/// Why a photo was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The bytes are not one whole JPEG.
    #[error(transparent)]
    Jpeg(#[from] JpegError),
    /// More bytes than this server takes.
    #[error("the photo is larger than the {limit_bytes} bytes that this server takes")]
    TooLarge {
        /// The setting `max_photo_bytes`.
        limit_bytes: u64,
    },
    /// The bytes have another digest than was said.
    #[error("the digest of the bytes received is {found}, not {expected}")]
    OtherBytes {
        /// What the client said.
        expected: Digest,
        /// What arrived.
        found: Digest,
    },
    /// Another request is bringing the same photo at this moment.
    #[error("the same photo is being received over another connection")]
    InProgress,
    /// More photos are being received than there is memory for.
    #[error("the server is busy; try again in a few seconds")]
    Busy,
    /// The client sends next to nothing.
    #[error("the upload is too slow: at least 256 bytes per second are needed")]
    TooSlow,
    /// The bytes of one request have another checksum than was said.
    #[error("the bytes of this request have another checksum than it says; they were not kept: send them again")]
    OtherChecksum,
    /// A newer request for the same upload has come.
    #[error(
        "another request for this upload has come meanwhile; ask where the upload stands (HEAD), and go on from there"
    )]
    Superseded,
    /// The client's bytes stopped coming.
    #[error("the upload was cut off, or is no multipart form")]
    CutOff,
    /// The disk refused.
    #[error("failed to keep the photo")]
    Disk(#[from] io::Error),
    /// The catalog refused.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// What is said about a photo apart from its bytes.
#[derive(Debug, Clone)]
pub struct Description {
    /// Moment of exposure.
    pub captured_at: CapturedAt,
    /// How surely.
    pub clock: ClockQuality,
    /// Through which door it came.
    pub origin: Origin,
}

impl From<Manifest> for Description {
    fn from(manifest: Manifest) -> Self {
        Self {
            captured_at: manifest.captured_at,
            clock: manifest.clock,
            origin: Origin::Manifest {
                sequence: manifest.sequence,
                boot_id: manifest.boot_id,
                monotonic_us: manifest.monotonic_us,
                camera: manifest.camera,
                moment_ms: manifest.moment_ms,
                repaired: manifest.repaired,
            },
        }
    }
}

impl Ingest {
    /// Puts the parts together.
    pub fn new(
        store: PhotoStore,
        catalog: Catalog,
        writer: PhotoWriter,
        thumbnailer: Thumbnailer,
        guard: DiskGuard,
        slots: UploadSlots,
        max_photo_bytes: u64,
    ) -> Self {
        Self { store, catalog, writer, thumbnailer, claims: Arc::default(), guard, slots, max_photo_bytes }
    }

    /// Largest photo taken, in bytes.
    pub fn max_photo_bytes(&self) -> u64 {
        self.max_photo_bytes
    }

    /// Reserves a photo for one request, so that two that bring the same cannot meet in the store.
    ///
    /// # Errors
    /// [`IngestError::InProgress`] if another request has it.
    pub fn claim(&self, station: &Station, digest: Digest) -> Result<Claim, IngestError> {
        Claims::claim(&self.claims, station.id, digest).ok_or(IngestError::InProgress)
    }

    /// Whether there is room for a further photo.
    ///
    /// # Errors
    /// [`IngestError::Disk`] if not.
    pub fn check_room(&self) -> Result<(), IngestError> {
        Ok(self.guard.check()?)
    }

    /// Begins to take in the bytes of a station's photo.
    pub fn receive(&self, station: &Station) -> ImageBody {
        ImageBody::new(self.store.clone(), self.slots.clone(), station.id, self.max_photo_bytes)
    }

    /// Begins to take in further bytes of an upload that has `offset_bytes` of `length_bytes`, and whose file is `incoming`.
    pub fn receive_stretch(
        &self,
        station: &Station,
        incoming: IncomingPhoto,
        offset_bytes: u64,
        length_bytes: u64,
        checksum: Option<Checksum>,
    ) -> Stretch {
        let (store, slots) = (self.store.clone(), self.slots.clone());
        Stretch::new(store, slots, station.id, incoming, offset_bytes, length_bytes, checksum)
    }

    /// A photo whose bytes are all in a file, read again from its beginning: they may have come before this server started.
    ///
    /// # Errors
    /// If it cannot be read, or is no whole JPEG.
    pub async fn read_again(
        &self,
        path: PathBuf,
        incoming: Option<IncomingPhoto>,
        arrived: Option<Arrived>,
    ) -> Result<ReceivedImage, IngestError> {
        let reading = tokio::task::spawn_blocking(move || ReceivedImage::of_file(&path, incoming));
        let mut image = reading.await.map_err(io::Error::other)??;
        image.slot = arrived.and_then(|arrived| arrived.slot);
        Ok(image)
    }

    /// The receipt for a photo that is held already.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn held(&self, station: &Station, digest: Digest) -> Result<Option<Receipt>, IngestError> {
        let recorded = self.catalog.held_photo(station, &digest).await?;
        Ok(recorded.map(|recorded| receipt(station, digest, recorded)))
    }

    /// Keeps and records a photo whose bytes are all here, to the end even if the client hangs up meanwhile: the claim is held
    /// for as long as anything is written. A caller that has not asked whether the photo is [`Ingest::held`] makes a repeat
    /// cost as much as a new photo.
    ///
    /// # Errors
    /// If disk or catalog refuse; nothing is promised then, and the station offers the photo again.
    pub async fn accept(
        &self,
        claim: Claim,
        station: Station,
        image: ReceivedImage,
        description: Description,
        now: CapturedAt,
    ) -> Result<Receipt, IngestError> {
        let ingest = self.clone();
        let work = tokio::spawn(async move {
            let receipt = ingest.keep_and_record(station, image, description, now).await;
            drop(claim);
            receipt
        });
        work.await.map_err(io::Error::other)?
    }

    async fn keep_and_record(
        &self,
        station: Station,
        mut image: ReceivedImage,
        description: Description,
        now: CapturedAt,
    ) -> Result<Receipt, IngestError> {
        // Waiting for the disk is part of an upload.
        let _slot = image.slot.take();
        let (digest, size_bytes, dimensions) = (image.digest, image.size_bytes, image.dimensions);
        // To the end: these bytes without their row are not left behind.
        let _keeping = self.store.keeping().await;
        let (store, name, captured_at) = (self.store.clone(), station.name.clone(), description.captured_at);
        let names = blocking(move || store.keep(image.into_incoming(&store)?, &name, captured_at, &digest)).await?;
        let photo = NewPhoto {
            station: station.clone(),
            digest,
            size_bytes,
            dimensions,
            captured_at: description.captured_at,
            clock: description.clock,
            received_at: now,
            store_key: names.store_key.clone(),
            file_name: names.file_name,
            origin: description.origin,
        };
        let recorded = self.writer.record(photo).await?;
        if recorded.is_new {
            self.thumbnailer.prepare(names.store_key);
        } else {
            self.remove_copy(recorded.id, names.store_key).await;
        }
        Ok(receipt(&station, digest, recorded))
    }

    /// Another request was faster with the same photo, after this one had asked for it. Should that one have said another time,
    /// the same bytes are there twice, and the row points at the other ones.
    async fn remove_copy(&self, id: i64, store_key: String) {
        let listed = self.catalog.photo(id).await.ok().flatten();
        if listed.is_some_and(|listed| listed.photo.store_key != store_key) {
            let store = self.store.clone();
            let key = store_key.clone();
            if let Err(error) = blocking(move || store.remove(&key)).await {
                tracing::warn!(store_key, error = &error as &dyn std::error::Error, "failed to remove a second copy");
            }
        }
    }
}

fn receipt(station: &Station, digest: Digest, recorded: Recorded) -> Receipt {
    Receipt {
        digest,
        station: station.name.clone(),
        id: recorded.id,
        holding: if recorded.is_new { Holding::Stored } else { Holding::AlreadyHeld },
        received_at: recorded.received_at,
    }
}

/// Runs work that waits for the disk where it holds up no other request.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
