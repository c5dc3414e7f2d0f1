//! The bytes of one request on their way to the end of an upload that was cut off before. They are kept even if this request is
//! cut off too, so that the worst link makes progress.

use std::io::{self, Write};

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::body::{PIECE_BYTES, UPLOAD_BYTES};
use super::slots::{UploadSlot, UploadSlots};
use super::{IngestError, blocking};
use crate::photo_store::{IncomingPhoto, PhotoStore};

/// What a request says of its bytes, and what has come so far (tus 1.0, extension checksum).
pub enum Checksum {
    /// SHA-1, which every server of that extension knows.
    Sha1(Sha1, Vec<u8>),
    /// SHA-256.
    Sha256(Sha256, Vec<u8>),
}

/// The bytes of one request. With a checksum, bytes count only once it was found right: until then they lie in a file aside, and no
/// interruption can make them count.
pub struct Stretch {
    files: Option<Files>,
    checksum: Option<Checksum>,
    offset_bytes: u64,
    length_bytes: u64,
    received_bytes: u64,
    pending: Vec<u8>,
    slots: UploadSlots,
    station_id: i64,
    slot: Option<UploadSlot>,
}

/// Where a request's bytes go.
struct Files {
    store: PhotoStore,
    /// The upload's own, written at its end.
    upload: IncomingPhoto,
    /// For bytes whose checksum is still to be seen; gone if that never happens.
    aside: Option<IncomingPhoto>,
}

/// A request whose bytes are all kept.
pub struct Arrived {
    /// How many bytes the upload has now.
    pub offset_bytes: u64,
    /// Kept until the photo has its row, should these have been the last.
    pub(super) slot: Option<UploadSlot>,
}

impl Checksum {
    /// The algorithm of this name, and the sum that it must give.
    pub fn named(algorithm: &str, expected: Vec<u8>) -> Option<Self> {
        match algorithm {
            "sha1" => Some(Self::Sha1(Sha1::new(), expected)),
            "sha256" => Some(Self::Sha256(Sha256::new(), expected)),
            _ => None,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(sum, _) => sum.update(bytes),
            Self::Sha256(sum, _) => sum.update(bytes),
        }
    }

    /// Whether what has come gives the sum that it must.
    fn finish(self) -> bool {
        match self {
            Self::Sha1(sum, expected) => sum.finalize().as_slice() == expected,
            Self::Sha256(sum, expected) => sum.finalize().as_slice() == expected,
        }
    }
}

impl Stretch {
    pub(super) fn new(
        store: PhotoStore,
        slots: UploadSlots,
        station_id: i64,
        upload: IncomingPhoto,
        offset_bytes: u64,
        length_bytes: u64,
        checksum: Option<Checksum>,
    ) -> Self {
        Self {
            files: Some(Files { store, upload, aside: None }),
            checksum,
            offset_bytes,
            length_bytes,
            received_bytes: 0,
            pending: Vec::new(),
            slots,
            station_id,
            slot: None,
        }
    }

    /// Whether so many further bytes are still of the upload.
    pub fn has_room_for(&self, bytes: u64) -> bool {
        bytes <= self.length_bytes.saturating_sub(self.offset_bytes).saturating_sub(self.received_bytes)
    }

    /// Takes the next bytes, which are still of the upload.
    ///
    /// # Errors
    /// If the disk refuses, or too many uploads are under way. What came before is kept by [`Stretch::break_off`].
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), IngestError> {
        if self.slot.is_none() && self.received_bytes + bytes.len() as u64 > UPLOAD_BYTES {
            self.slot = Some(self.slots.take(self.station_id).ok_or(IngestError::Busy)?);
        }
        self.received_bytes += bytes.len() as u64;
        if let Some(checksum) = &mut self.checksum {
            checksum.update(bytes);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(PIECE_BYTES - self.pending.len()));
            self.pending.extend_from_slice(now);
            rest = later;
            if self.pending.len() == PIECE_BYTES {
                self.write_pending().await?;
            }
        }
        Ok(())
    }

    /// All bytes of the request have come.
    ///
    /// # Errors
    /// [`IngestError::OtherChecksum`] if they are not those that it says; none of them counts then. Or if the disk refuses.
    pub async fn finish(mut self) -> Result<Arrived, IngestError> {
        if self.checksum.take().is_some_and(|checksum| !checksum.finish()) {
            return Err(IngestError::OtherChecksum);
        }
        if let Some(mut files) = self.files.take() {
            self.files = Some(blocking(move || files.count_aside().map(|()| files)).await?);
        }
        self.write_pending().await?;
        Ok(Arrived { offset_bytes: self.offset_bytes + self.received_bytes, slot: self.slot })
    }

    /// The request ends before its bytes do: what has come is kept, unless a checksum was to be seen.
    ///
    /// # Errors
    /// If the disk refuses.
    pub async fn break_off(mut self) -> Result<(), IngestError> {
        if self.checksum.is_none() { self.write_pending().await } else { Ok(()) }
    }

    /// After a failed write there is nothing left to write to: what the file then holds is what the next request finds.
    async fn write_pending(&mut self) -> Result<(), IngestError> {
        let Some(mut files) = self.files.take() else { return Ok(()) };
        let (is_checked, mut pending) = (self.checksum.is_none(), std::mem::take(&mut self.pending));
        let (files, pending) = blocking(move || {
            files.write(&pending, is_checked)?;
            pending.clear();
            Ok((files, pending))
        })
        .await?;
        (self.files, self.pending) = (Some(files), pending);
        Ok(())
    }
}

impl Files {
    fn write(&mut self, bytes: &[u8], is_checked: bool) -> io::Result<()> {
        if is_checked {
            return self.upload.write_all(bytes);
        }
        let aside = match self.aside.take() {
            Some(aside) => aside,
            None => self.store.receive()?,
        };
        self.aside.insert(aside).write_all(bytes)
    }

    /// An interruption leaves a beginning of the bytes, and their checksum is right.
    fn count_aside(&mut self) -> io::Result<()> {
        match self.aside.take() {
            Some(aside) => io::copy(&mut aside.read_back()?, &mut self.upload).map(drop),
            None => Ok(()),
        }
    }
}
