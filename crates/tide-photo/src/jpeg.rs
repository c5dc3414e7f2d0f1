//! Is this one whole JPEG? Answered while the bytes pass by, without decoding them (ITU-T T.81, annex B).
//!
//! The structure is followed from the first marker to the last: a cut at any byte, bytes after the end, a header without
//! dimensions or of absurd dimensions are all found. What the entropy-coded data means is not looked at.

/// Largest picture taken, in pixels. The largest Pi camera on sale has 64 million; a header that claims more is an attack on
/// whoever decodes it.
pub const MAX_PIXELS: u64 = 100_000_000;

/// Scans of a picture at most. Cameras write one, progressive encoders about a dozen; a decoder goes through the whole picture for
/// each, even for one of ten bytes.
pub const MAX_SCANS: u32 = 100;

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const TEM: u8 = 0x01;

/// Width and height of a JPEG, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dimensions {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// Why bytes are not one whole JPEG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JpegError {
    /// The first bytes are something else.
    #[error("the image is not a JPEG")]
    NotAJpeg,
    /// The end is missing.
    #[error("the JPEG is cut off before its end")]
    Truncated,
    /// Segments do not follow each other.
    #[error("the JPEG is damaged")]
    Damaged,
    /// Something follows the end.
    #[error("there are bytes after the end of the JPEG")]
    TrailingBytes,
    /// More than [`MAX_SCANS`].
    #[error("the JPEG has more than {MAX_SCANS} scans")]
    TooManyScans,
    /// Zero or more than [`MAX_PIXELS`] pixels.
    #[error("the JPEG's header gives no usable size ({width} x {height} pixels)")]
    Size {
        /// As the header says.
        width: u32,
        /// As the header says.
        height: u32,
    },
}

/// Follows a JPEG's structure through any number of pieces, in constant memory.
#[derive(Debug, Clone)]
pub struct JpegCheck {
    state: State,
    dimensions: Option<Dimensions>,
    is_progressive: bool,
    components: u8,
    has_partial_scan: bool,
    scans: u32,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Before the two bytes of SOI; how many have been seen.
    Start { seen: u8 },
    /// Between segments: a 0xFF must come.
    BeforeMarker,
    /// After 0xFF (any number of fill bytes may repeat it).
    Marker,
    /// In the two bytes of a segment's length.
    Length { marker: u8, high: Option<u8> },
    /// In the body of a segment.
    Body { marker: u8, at: u16, left: u16, frame: [u8; 6] },
    /// In entropy-coded data.
    Scan,
    /// After a 0xFF in entropy-coded data.
    ScanMarker,
    /// After EOI.
    End,
}

impl Default for JpegCheck {
    fn default() -> Self {
        Self {
            state: State::Start { seen: 0 },
            dimensions: None,
            is_progressive: false,
            components: 0,
            has_partial_scan: false,
            scans: 0,
        }
    }
}

impl JpegCheck {
    /// Checks bytes that are already in memory.
    ///
    /// # Errors
    /// See [`JpegError`].
    pub fn of(bytes: &[u8]) -> Result<Dimensions, JpegError> {
        let mut check = Self::default();
        check.update(bytes)?;
        check.finish()
    }

    /// Follows the next bytes.
    ///
    /// # Errors
    /// As soon as it is certain that this is no whole JPEG.
    pub fn update(&mut self, mut bytes: &[u8]) -> Result<(), JpegError> {
        while let Some(&byte) = bytes.first() {
            let skipped = self.skip(bytes);
            if skipped > 0 {
                bytes = &bytes[skipped..];
                continue;
            }
            self.state = self.step(byte)?;
            bytes = &bytes[1..];
        }
        Ok(())
    }

    /// The dimensions, and whether a decoder has to hold every coefficient in memory: for a progressive picture (SOF2, SOF6,
    /// SOF10, SOF14), and for one whose first scan is not of all components. Known with the first scan's header, long before the
    /// picture is known to be whole.
    pub fn outlook(&self) -> Option<(Dimensions, bool)> {
        let dimensions = self.dimensions.filter(|_| self.scans > 0)?;
        Some((dimensions, self.is_progressive || self.has_partial_scan))
    }

    /// The dimensions, if everything up to the end marker was there.
    ///
    /// # Errors
    /// [`JpegError::Truncated`] if not.
    pub fn finish(self) -> Result<Dimensions, JpegError> {
        match self.state {
            State::End => self.dimensions.filter(|_| self.scans > 0).ok_or(JpegError::Damaged),
            State::Start { .. } => Err(JpegError::NotAJpeg),
            _ => Err(JpegError::Truncated),
        }
    }

    /// Passes over bytes that decide nothing, which are nearly all of a photo; how many.
    fn skip(&mut self, bytes: &[u8]) -> usize {
        match &mut self.state {
            State::Scan => memchr::memchr(0xFF, bytes).unwrap_or(bytes.len()),
            // Behind what a frame header says, and short of the last byte, which ends the segment.
            State::Body { at, left, frame, .. } if usize::from(*at) >= frame.len() && *left > 1 => {
                let skipped = u16::try_from(bytes.len()).unwrap_or(u16::MAX).min(*left - 1);
                *left -= skipped;
                *at = at.saturating_add(skipped);
                usize::from(skipped)
            }
            _ => 0,
        }
    }

    fn step(&mut self, byte: u8) -> Result<State, JpegError> {
        match self.state {
            State::Start { seen: 0 } if byte == 0xFF => Ok(State::Start { seen: 1 }),
            State::Start { seen: 1 } if byte == SOI => Ok(State::BeforeMarker),
            State::Start { .. } => Err(JpegError::NotAJpeg),
            State::BeforeMarker if byte == 0xFF => Ok(State::Marker),
            State::BeforeMarker => Err(JpegError::Damaged),
            State::Marker => self.after_marker(byte),
            State::Length { marker, high: None } => Ok(State::Length { marker, high: Some(byte) }),
            State::Length { marker, high: Some(high) } => {
                // The length counts its own two bytes.
                let left = u16::from_be_bytes([high, byte]).checked_sub(2).ok_or(JpegError::Damaged)?;
                self.in_body(marker, 0, left, [0; 6])
            }
            State::Body { marker, at, left, mut frame } => {
                if let Some(slot) = frame.get_mut(usize::from(at)) {
                    *slot = byte;
                }
                self.in_body(marker, at.saturating_add(1), left - 1, frame)
            }
            State::Scan => Ok(State::ScanMarker),
            State::ScanMarker => match byte {
                // A stuffed 0xFF, a restart marker, a fill byte: the scan goes on.
                0x00 | 0xD0..=0xD7 => Ok(State::Scan),
                0xFF => Ok(State::ScanMarker),
                marker => self.after_marker(marker),
            },
            State::End => Err(JpegError::TrailingBytes),
        }
    }

    fn after_marker(&mut self, marker: u8) -> Result<State, JpegError> {
        match marker {
            0xFF => Ok(State::Marker),
            EOI => Ok(State::End),
            TEM => Ok(State::BeforeMarker),
            0x00 | SOI | 0x02..=0xBF | 0xD0..=0xD7 => Err(JpegError::Damaged),
            SOS if self.dimensions.is_none() => Err(JpegError::Damaged),
            marker => Ok(State::Length { marker, high: None }),
        }
    }

    fn in_body(&mut self, marker: u8, at: u16, left: u16, frame: [u8; 6]) -> Result<State, JpegError> {
        if left > 0 {
            return Ok(State::Body { marker, at, left, frame });
        }
        if is_frame_header(marker) {
            self.dimensions = Some(dimensions(at, frame)?);
            self.is_progressive |= marker & 0b11 == 0b10;
            self.components = frame[5];
        }
        if marker == SOS {
            self.scans += 1;
            self.has_partial_scan |= self.scans == 1 && frame[0] < self.components;
            return if self.scans > MAX_SCANS { Err(JpegError::TooManyScans) } else { Ok(State::Scan) };
        }
        Ok(State::BeforeMarker)
    }
}

/// SOF0 to SOF15, without the three tables (DHT, JPG, DAC) that share their range.
fn is_frame_header(marker: u8) -> bool {
    matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC)
}

/// A frame header begins with its precision (1 byte), rows (2), pixels in a row (2), components (1).
fn dimensions(length: u16, frame: [u8; 6]) -> Result<Dimensions, JpegError> {
    if length < 6 {
        return Err(JpegError::Damaged);
    }
    let height = u32::from(u16::from_be_bytes([frame[1], frame[2]]));
    let width = u32::from(u16::from_be_bytes([frame[3], frame[4]]));
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MAX_PIXELS {
        return Err(JpegError::Size { width, height });
    }
    Ok(Dimensions { width, height })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 2 x 1 JPEG in structure: an application segment, a frame header, a scan with a stuffed byte and a restart marker.
    fn small(width: u16, height: u16) -> Vec<u8> {
        let mut jpeg = vec![0xFF, SOI, 0xFF, 0xE0, 0, 4, 0xFF, EOI];
        jpeg.extend([0xFF, 0xFF, 0xC0, 0, 11, 8]);
        jpeg.extend(height.to_be_bytes());
        jpeg.extend(width.to_be_bytes());
        jpeg.extend([1, 1, 0x11, 0]);
        jpeg.extend([0xFF, SOS, 0, 8, 1, 1, 0, 0, 63, 0, 0x12, 0xFF, 0x00, 0x34, 0xFF, 0xD0, 0x56, 0xFF, EOI]);
        jpeg
    }

    #[test]
    fn a_whole_jpeg_gives_its_dimensions() {
        assert_eq!(JpegCheck::of(&small(2, 1)), Ok(Dimensions { width: 2, height: 1 }));
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_are_cut_into_pieces() {
        for piece_bytes in 1..small(2, 1).len() {
            let mut check = JpegCheck::default();
            for piece in small(2, 1).chunks(piece_bytes) {
                assert_eq!(check.update(piece), Ok(()));
            }
            assert_eq!(check.finish(), Ok(Dimensions { width: 2, height: 1 }), "pieces of {piece_bytes}");
        }
    }

    #[test]
    fn long_segments_are_followed_to_their_last_byte() {
        let comment = |length: u16| {
            let body = vec![0xFF; usize::from(length) - 2];
            [&[0xFF, 0xD8, 0xFF, 0xFE], length.to_be_bytes().as_slice(), &body, &small(2, 1)[2..]].concat()
        };
        for length in [2, 3, 7, 8, 9, 1_000, u16::MAX] {
            assert!(JpegCheck::of(&comment(length)).is_ok(), "{length} bytes");
            assert_eq!(JpegCheck::of(&comment(length)[..usize::from(length) + 3]), Err(JpegError::Truncated));
        }
    }

    #[test]
    fn a_cut_at_every_length_is_found() {
        let whole = small(2, 1);
        for length in 0..whole.len() {
            let expected = if length < 2 { JpegError::NotAJpeg } else { JpegError::Truncated };
            assert_eq!(JpegCheck::of(&whole[..length]), Err(expected), "{length} bytes");
        }
    }

    #[test]
    fn what_only_looks_like_a_jpeg_is_refused() {
        let with = |extra: &[u8]| [small(2, 1).as_slice(), extra].concat();
        assert_eq!(JpegCheck::of(&with(b"<script>")), Err(JpegError::TrailingBytes));
        assert_eq!(JpegCheck::of(&with(&small(2, 1))), Err(JpegError::TrailingBytes));
        assert_eq!(JpegCheck::of(b"<html></html>"), Err(JpegError::NotAJpeg));
        assert_eq!(JpegCheck::of(b"\x89PNG\r\n\x1a\n"), Err(JpegError::NotAJpeg));
        assert_eq!(JpegCheck::of(&[0xFF, SOI, 0xFF, EOI]), Err(JpegError::Damaged));
        assert_eq!(JpegCheck::of(&[0xFF, SOI, 0x00]), Err(JpegError::Damaged));
        assert_eq!(JpegCheck::of(&[0xFF, SOI, 0xFF, 0xE0, 0, 1]), Err(JpegError::Damaged));
        assert_eq!(JpegCheck::of(&[0xFF, SOI, 0xFF, SOS]), Err(JpegError::Damaged));
    }

    #[test]
    fn more_scans_than_any_encoder_writes_are_refused() {
        let with_scans = |scans: u32| {
            let mut jpeg = small(2, 1);
            jpeg.truncate(jpeg.len() - 2);
            (1..scans).for_each(|_| jpeg.extend([0xFF, SOS, 0, 8, 1, 1, 0, 0, 63, 0, 0x12]));
            jpeg.extend([0xFF, EOI]);
            JpegCheck::of(&jpeg)
        };
        assert!(with_scans(MAX_SCANS).is_ok());
        assert_eq!(with_scans(MAX_SCANS + 1), Err(JpegError::TooManyScans));
    }

    #[test]
    fn hostile_dimensions_are_refused() {
        for (width, height) in [(0, 1), (1, 0), (65_535, 65_535)] {
            let refusal = JpegError::Size { width: u32::from(width), height: u32::from(height) };
            assert_eq!(JpegCheck::of(&small(width, height)), Err(refusal));
        }
        assert!(JpegCheck::of(&small(9_152, 6_944)).is_ok(), "the largest Pi camera on sale");
    }
}
