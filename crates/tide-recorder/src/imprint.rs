//! A photo that explains itself: EXIF and XMP are written into the camera's JPEG, so that any program and any person, years
//! later and without our server, can tell which station took it, when, and how surely.
//!
//! Only segments before the picture change. The picture itself is copied byte for byte: nothing is decoded or compressed anew.
//! What the camera wrote stays, unless one of our own EXIF tags says it better (`tags.rs`); the clock's quality, which EXIF has
//! no tag for, stands in XMP (`xmp.rs`).

mod segments;
mod tags;
mod xmp;

pub use xmp::NAMESPACE;

use tide_photo::jpeg::{JpegCheck, JpegError};
use tide_photo::{CapturedAt, ClockQuality, StationName};

use self::segments::{Kind, Segments};
use crate::config::Position;

/// What is written into a photo.
#[derive(Debug, Clone, Copy)]
pub struct Imprint<'a> {
    /// Whose photo.
    pub station: &'a StationName,
    /// The station's count of photos.
    pub sequence: u64,
    /// The moment of exposure.
    pub captured_at: CapturedAt,
    /// How surely it is known.
    pub clock: ClockQuality,
    /// The kernel's id of the boot; empty if the time is pretended.
    pub boot_id: &'a str,
    /// Microseconds since that boot.
    pub monotonic_us: u64,
    /// Which camera, as the settings name it.
    pub camera: &'a str,
    /// Where, if that is known.
    pub place: Option<Place>,
}

/// Where a photo was taken, and who says so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    /// The station's owner, in the settings.
    Surveyed(Position),
    /// A GPS receiver, a short time ago.
    Received(Position),
}

/// Why nothing could be written into a JPEG. It is then kept as the camera gave it.
#[derive(Debug, thiserror::Error)]
pub enum ImprintError {
    /// It is no JPEG, or a damaged one.
    #[error("failed to write EXIF into the photo: {0}")]
    Jpeg(#[from] JpegError),
    /// The camera's own EXIF cannot be read, so that it cannot be kept either.
    #[error("failed to merge EXIF with what the camera wrote: {0}")]
    Exif(String),
    /// The camera's own XMP is of a form that nothing can be put beside.
    #[error("failed to merge XMP with what the camera wrote: it has no `</rdf:RDF>`")]
    Xmp,
    /// A segment of a JPEG holds 65533 bytes.
    #[error("failed to write {0} into the photo: it would need more room than a segment has")]
    TooLong(&'static str),
}

/// The same JPEG with `imprint` written into it.
///
/// # Errors
/// See [`ImprintError`]; the photo is none the worse.
pub fn write(jpeg: &[u8], imprint: &Imprint) -> Result<Vec<u8>, ImprintError> {
    let size = JpegCheck::of(jpeg)?;
    let mut segments = Segments::split(jpeg).ok_or(JpegError::Damaged)?;
    let exif = tags::merge(segments.take(Kind::Exif), imprint, size)?;
    let xmp = match segments.take(Kind::Xmp) {
        Some(theirs) => xmp::beside(&theirs, imprint).ok_or(ImprintError::Xmp)?,
        None => xmp::packet(imprint).into_bytes(),
    };
    // After JFIF, which is first by its own rule, and EXIF, which readers look for first.
    let at = segments.after_jfif();
    segments.insert(at, Kind::Exif, &exif).ok_or(ImprintError::TooLong("EXIF"))?;
    segments.insert(at + 1, Kind::Xmp, &xmp).ok_or(ImprintError::TooLong("XMP"))?;
    Ok(segments.join())
}

#[cfg(test)]
mod tests;
