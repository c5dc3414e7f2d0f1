//! The bytes of one photo on their way in: counted, hashed and checked as they pass, written to the disk in large pieces.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use tide_photo::jpeg::{Dimensions, JpegCheck};
use tide_photo::{Digest, Hasher};

use super::slots::{UploadSlot, UploadSlots};
use super::{IngestError, blocking};
use crate::photo_store::{IncomingPhoto, PhotoStore};

/// Bytes kept in memory before they are written: large enough that a trip to the disk is worth it, small enough for many at once.
pub(super) const PIECE_BYTES: usize = 48 * 1_024;

/// Bytes from which on a body counts as an upload: of connections that send next to nothing there may be more than places.
pub(super) const UPLOAD_BYTES: u64 = 8 * 1_024;

/// A photo that is being received.
pub struct ImageBody {
    store: PhotoStore,
    limit_bytes: u64,
    size_bytes: u64,
    hasher: Hasher,
    check: JpegCheck,
    pending: Vec<u8>,
    incoming: Option<IncomingPhoto>,
    slots: UploadSlots,
    station_id: i64,
    slot: Option<UploadSlot>,
}

/// A photo that is here whole, though not yet kept.
pub struct ReceivedImage {
    /// What its bytes hash to.
    pub digest: Digest,
    /// Their number.
    pub size_bytes: u64,
    /// From the JPEG's header.
    pub dimensions: Dimensions,
    pending: Vec<u8>,
    incoming: Option<IncomingPhoto>,
    /// Kept until the photo has its row, or is given up.
    pub(super) slot: Option<UploadSlot>,
}

impl ImageBody {
    pub(super) fn new(store: PhotoStore, slots: UploadSlots, station_id: i64, limit_bytes: u64) -> Self {
        let (hasher, check) = Default::default();
        Self {
            store,
            limit_bytes,
            size_bytes: 0,
            hasher,
            check,
            pending: Vec::new(),
            incoming: None,
            slots,
            station_id,
            slot: None,
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// As soon as it is certain that the photo will not be taken.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), IngestError> {
        self.size_bytes += bytes.len() as u64;
        if self.size_bytes > self.limit_bytes {
            return Err(IngestError::TooLarge { limit_bytes: self.limit_bytes });
        }
        if self.slot.is_none() && self.size_bytes > UPLOAD_BYTES {
            self.slot = Some(self.slots.take(self.station_id).ok_or(IngestError::Busy)?);
        }
        self.check.update(bytes)?;
        self.hasher.update(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            // Never more than a piece, whatever the length of what came.
            let (now, later) = rest.split_at(rest.len().min(PIECE_BYTES - self.pending.len()));
            self.pending.extend_from_slice(now);
            rest = later;
            if self.pending.len() == PIECE_BYTES {
                self.write_pending().await?;
            }
        }
        Ok(())
    }

    /// The photo, if all its bytes have been here.
    ///
    /// # Errors
    /// [`IngestError::Jpeg`] if its end is missing.
    pub fn finish(self) -> Result<ReceivedImage, IngestError> {
        Ok(ReceivedImage {
            digest: self.hasher.finish(),
            size_bytes: self.size_bytes,
            dimensions: self.check.finish()?,
            pending: self.pending,
            incoming: self.incoming,
            slot: self.slot,
        })
    }

    async fn write_pending(&mut self) -> Result<(), IngestError> {
        let (store, incoming) = (self.store.clone(), self.incoming.take());
        let mut pending = std::mem::take(&mut self.pending);
        let (incoming, pending) = blocking(move || {
            let incoming = append(&store, incoming, &pending)?;
            pending.clear();
            Ok((incoming, pending))
        })
        .await?;
        (self.incoming, self.pending) = (Some(incoming), pending);
        Ok(())
    }
}

impl ReceivedImage {
    /// The photo in a file, which is `incoming` or has been kept already. Waits for the disk.
    pub(super) fn of_file(path: &Path, incoming: Option<IncomingPhoto>) -> Result<Self, IngestError> {
        let (mut hasher, mut check): (Hasher, JpegCheck) = Default::default();
        let (mut file, mut piece, mut size_bytes) = (File::open(path)?, vec![0; PIECE_BYTES], 0);
        loop {
            let length = file.read(&mut piece)?;
            if length == 0 {
                let (digest, dimensions) = (hasher.finish(), check.finish()?);
                return Ok(Self { digest, size_bytes, dimensions, pending: Vec::new(), incoming, slot: None });
            }
            hasher.update(&piece[..length]);
            check.update(&piece[..length])?;
            size_bytes += length as u64;
        }
    }

    /// Writes what is not written yet. Waits for the disk.
    pub(super) fn into_incoming(self, store: &PhotoStore) -> io::Result<IncomingPhoto> {
        append(store, self.incoming, &self.pending)
    }
}

fn append(store: &PhotoStore, incoming: Option<IncomingPhoto>, bytes: &[u8]) -> io::Result<IncomingPhoto> {
    let mut incoming = match incoming {
        Some(incoming) => incoming,
        None => store.receive()?,
    };
    incoming.write_all(bytes)?;
    Ok(incoming)
}
