//! The segments in front of a JPEG's picture (ITU-T T.81, B.1.1.4).

use std::borrow::Cow;

const SOI: [u8; 2] = [0xFF, 0xD8];
const APP0: u8 = 0xE0;
const APP1: u8 = 0xE1;
const APP15: u8 = 0xEF;
const COM: u8 = 0xFE;

/// What a segment of ours begins with, as the standards name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Exif 2.32, 4.7.2.
    Exif,
    /// XMP specification, part 3, 1.1.3.
    Xmp,
}

impl Kind {
    fn header(self) -> &'static [u8] {
        match self {
            Self::Exif => b"Exif\0\0",
            Self::Xmp => b"http://ns.adobe.com/xap/1.0/\0",
        }
    }
}

/// A JPEG in pieces: application segments and comments, and everything behind them.
#[derive(Debug)]
pub(super) struct Segments<'a> {
    leading: Vec<Segment<'a>>,
    /// From the first marker that concerns the picture to the end.
    picture: &'a [u8],
}

#[derive(Debug)]
struct Segment<'a> {
    marker: u8,
    /// Marker and length included, as well as bytes that only fill the room before the marker.
    bytes: Cow<'a, [u8]>,
    /// Where the body begins in `bytes`.
    body: usize,
}

impl<'a> Segments<'a> {
    /// `None` if segments do not follow each other.
    pub(super) fn split(jpeg: &'a [u8]) -> Option<Self> {
        let mut picture = jpeg.strip_prefix(&SOI)?;
        let mut leading = Vec::new();
        while let Some((segment, rest)) = Segment::first(picture)? {
            leading.push(segment);
            picture = rest;
        }
        Some(Self { leading, picture })
    }

    /// Takes the first segment of a kind out; its body without the kind's header.
    pub(super) fn take(&mut self, kind: Kind) -> Option<Vec<u8>> {
        let at = self.leading.iter().position(|segment| segment.is(kind))?;
        let segment = self.leading.remove(at);
        Some(segment.body()[kind.header().len()..].to_vec())
    }

    /// The place behind JFIF and its extensions.
    pub(super) fn after_jfif(&self) -> usize {
        self.leading.iter().take_while(|segment| segment.marker == APP0).count()
    }

    /// Puts a segment in; `None` if it is longer than a segment may be.
    pub(super) fn insert(&mut self, at: usize, kind: Kind, content: &[u8]) -> Option<()> {
        // The length counts its own two bytes.
        let length = u16::try_from(2 + kind.header().len() + content.len()).ok()?;
        let bytes = [&[0xFF, APP1], length.to_be_bytes().as_slice(), kind.header(), content].concat();
        self.leading.insert(at, Segment { marker: APP1, bytes: bytes.into(), body: 4 });
        Some(())
    }

    /// The JPEG.
    pub(super) fn join(&self) -> Vec<u8> {
        let leading: usize = self.leading.iter().map(|segment| segment.bytes.len()).sum();
        let mut jpeg = Vec::with_capacity(SOI.len() + leading + self.picture.len());
        jpeg.extend(SOI);
        self.leading.iter().for_each(|segment| jpeg.extend_from_slice(&segment.bytes));
        jpeg.extend_from_slice(self.picture);
        jpeg
    }
}

impl<'a> Segment<'a> {
    /// The first segment and what follows it; `Some(None)` if the picture begins here.
    fn first(bytes: &'a [u8]) -> Option<Option<(Self, &'a [u8])>> {
        // Any number of 0xFF may stand before a marker (T.81, B.1.1.2).
        let marker_at = bytes.iter().position(|&byte| byte != 0xFF).filter(|&at| at > 0)?;
        let marker = bytes[marker_at];
        if !matches!(marker, APP0..=APP15 | COM) {
            return Some(None);
        }
        let body = marker_at + 3;
        let length = u16::from_be_bytes([*bytes.get(marker_at + 1)?, *bytes.get(marker_at + 2)?]);
        let end = marker_at + 1 + usize::from(length);
        let (bytes, rest) = bytes.split_at_checked(end).filter(|_| end >= body)?;
        Some(Some((Self { marker, bytes: bytes.into(), body }, rest)))
    }

    fn body(&self) -> &[u8] {
        &self.bytes[self.body..]
    }

    fn is(&self, kind: Kind) -> bool {
        self.marker == APP1 && self.body().starts_with(kind.header())
    }
}
