//! EXIF (CIPA DC-008, Exif 2.32): the tags that every viewer shows. Ours win over the camera's, the others of the camera stay,
//! its thumbnail too.
//!
//! Whatever the camera's own clock and zone, `DateTimeOriginal` and `DateTimeDigitized` are the manifest's moment in UTC, and
//! say so by their offset. `DateTime` is left to the camera: it means the last change of the file.

use std::io::Cursor;

use exif::experimental::Writer;
use exif::{Context, Field, In, Rational, Reader, Tag, Value};
use tide_photo::jpeg::Dimensions;
use tide_photo::{ClockSource, Digest};

use super::{Imprint, ImprintError, Place};
use crate::config::Position;

/// The version whose tags we write: offsets of times came with 2.31.
const EXIF_VERSION: &[u8] = b"0232";

/// Characters of `ImageUniqueID` (Exif 2.32, 4.6.6.6: 128 bits in hexadecimal).
const UNIQUE_ID_DIGITS: usize = 32;

/// The camera's EXIF, if it wrote any, with ours in it.
pub(super) fn merge(camera: Option<Vec<u8>>, imprint: &Imprint, size: Dimensions) -> Result<Vec<u8>, ImprintError> {
    let unreadable = |error: exif::Error| ImprintError::Exif(error.to_string());
    let camera = camera.map(|tiff| Reader::new().read_raw(tiff)).transpose().map_err(unreadable)?;
    let theirs: Vec<&Field> = camera.iter().flat_map(exif::Exif::fields).collect();
    if theirs.iter().any(|field| matches!(field.tag, Tag::StripOffsets | Tag::TileOffsets)) {
        return Err(ImprintError::Exif("its thumbnail is not a JPEG".to_owned()));
    }
    let thumbnail = camera.as_ref().and_then(thumbnail);
    let ours = ours(imprint);
    let absent = required(size).into_iter().filter(|field| !theirs.iter().any(|their| is_same(their, field)));
    let absent: Vec<Field> = absent.collect();
    let kept = theirs.iter().copied().filter(|field| {
        // An IFD for a thumbnail that is not there would be refused by readers.
        (field.ifd_num == In::PRIMARY || field.ifd_num == In::THUMBNAIL && thumbnail.is_some())
            && !is_about_another_fix(field, imprint)
            && !ours.iter().any(|our| is_same(our, field))
    });
    let mut writer = Writer::new();
    ours.iter().chain(&absent).chain(kept).for_each(|field| writer.push_field(field));
    if let Some(thumbnail) = thumbnail {
        writer.set_jpeg(thumbnail, In::THUMBNAIL);
    }
    let mut tiff = Cursor::new(Vec::new());
    writer.write(&mut tiff, camera.as_ref().is_some_and(exif::Exif::little_endian)).map_err(unreadable)?;
    Ok(tiff.into_inner())
}

fn is_same(one: &Field, other: &Field) -> bool {
    (one.tag, one.ifd_num) == (other.tag, other.ifd_num)
}

/// All tags of a GPS directory describe one fix; half of another's would give a place that nobody was at.
fn is_about_another_fix(field: &Field, imprint: &Imprint) -> bool {
    field.tag.context() == Context::Gps && imprint.place.is_some()
}

pub(super) fn thumbnail(camera: &exif::Exif) -> Option<&[u8]> {
    let number = |tag| usize::try_from(camera.get_field(tag, In::THUMBNAIL)?.value.get_uint(0)?).ok();
    let (from, length) = (number(Tag::JPEGInterchangeFormat)?, number(Tag::JPEGInterchangeFormatLength)?);
    camera.buf().get(from..from.checked_add(length)?)
}

/// What we say of any photo.
fn ours(imprint: &Imprint) -> Vec<Field> {
    let station = imprint.station.as_str();
    let mut fields = vec![
        field(Tag::ExifVersion, Value::Undefined(EXIF_VERSION.to_vec(), 0)),
        field(Tag::Software, ascii(concat!("tide-recorder ", env!("CARGO_PKG_VERSION")))),
        field(Tag::CameraOwnerName, ascii(station)),
        field(Tag::BodySerialNumber, ascii(station)),
        field(Tag::ImageUniqueID, ascii(&unique_id(imprint))),
    ];
    let (day_and_time, fraction) =
        (imprint.captured_at.format_utc("%Y:%m:%d %H:%M:%S"), imprint.captured_at.format_utc("%6f"));
    for tag in [Tag::DateTimeOriginal, Tag::DateTimeDigitized] {
        fields.push(field(tag, ascii(&day_and_time)));
    }
    for tag in [Tag::SubSecTimeOriginal, Tag::SubSecTimeDigitized] {
        fields.push(field(tag, ascii(&fraction)));
    }
    for tag in [Tag::OffsetTimeOriginal, Tag::OffsetTimeDigitized] {
        fields.push(field(tag, ascii("+00:00")));
    }
    fields.extend(gps(imprint));
    fields
}

/// The same for the same photo and for no other: of station, boot and count, and of the moment too, because a pretended one has
/// no boot. The file's own digest it cannot be, which covers this very tag.
fn unique_id(imprint: &Imprint) -> String {
    let Imprint { station, boot_id, sequence, captured_at, .. } = imprint;
    let mut id = Digest::of(format!("{station}\n{boot_id}\n{sequence}\n{captured_at}").as_bytes()).to_string();
    id.truncate(UNIQUE_ID_DIGITS);
    id
}

/// The place, and the time if it is a satellite's.
fn gps(imprint: &Imprint) -> Vec<Field> {
    let mut fields = Vec::new();
    if let Some(place) = imprint.place {
        let (Place::Surveyed(position) | Place::Received(position)) = place;
        fields.extend(position_fields(position));
        let method = if matches!(place, Place::Received(_)) { b"GPS".as_slice() } else { b"MANUAL" };
        let method = [b"ASCII\0\0\0", method].concat();
        fields.push(field(Tag::GPSProcessingMethod, Value::Undefined(method, 0)));
    }
    if imprint.clock.source() == ClockSource::Gps {
        fields.push(field(Tag::GPSDateStamp, ascii(&imprint.captured_at.format_utc("%Y:%m:%d"))));
        let time_of_day_us = imprint.captured_at.as_micros().rem_euclid(86_400_000_000).unsigned_abs();
        let (minutes, us) = (time_of_day_us / 60_000_000, time_of_day_us % 60_000_000);
        let time = vec![ratio(minutes / 60, 1), ratio(minutes % 60, 1), ratio(us, 1_000_000)];
        fields.push(field(Tag::GPSTimeStamp, Value::Rational(time)));
    }
    if !fields.is_empty() {
        fields.push(field(Tag::GPSVersionID, Value::Byte(vec![2, 3, 0, 0])));
    }
    fields
}

fn position_fields(position: Position) -> Vec<Field> {
    let Position { latitude, longitude, altitude_m } = position;
    let side = |value: f64, positive, negative| ascii(if value < 0.0 { negative } else { positive });
    let mut fields = vec![
        field(Tag::GPSMapDatum, ascii("WGS-84")),
        field(Tag::GPSLatitudeRef, side(latitude, "N", "S")),
        field(Tag::GPSLatitude, degrees(latitude)),
        field(Tag::GPSLongitudeRef, side(longitude, "E", "W")),
        field(Tag::GPSLongitude, degrees(longitude)),
    ];
    if let Some(altitude_m) = altitude_m {
        // 0 is above the sea, 1 below.
        fields.push(field(Tag::GPSAltitudeRef, Value::Byte(vec![u8::from(altitude_m < 0.0)])));
        fields.push(field(Tag::GPSAltitude, Value::Rational(vec![ratio(rounded(altitude_m.abs() * 100.0), 100)])));
    }
    fields
}

/// Degrees, minutes, and seconds to a ten-thousandth, which is 3 mm.
fn degrees(value: f64) -> Value {
    let parts = rounded(value.abs() * 36_000_000.0);
    let (minutes, seconds) = (parts / 600_000, parts % 600_000);
    Value::Rational(vec![ratio(minutes / 60, 1), ratio(minutes % 60, 1), ratio(seconds, 10_000)])
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and far below 2^63 by the settings' bounds"
)]
fn rounded(value: f64) -> u64 {
    value.round() as u64
}

/// What the standard demands of any JPEG (Exif 2.32, 4.6.8 and JEITA's defaults), used where the camera wrote none.
fn required(size: Dimensions) -> Vec<Field> {
    let dots_per_inch = || Value::Rational(vec![ratio(72, 1)]);
    vec![
        field(Tag::XResolution, dots_per_inch()),
        field(Tag::YResolution, dots_per_inch()),
        field(Tag::ResolutionUnit, Value::Short(vec![2])),
        // Centred, as JFIF has it.
        field(Tag::YCbCrPositioning, Value::Short(vec![1])),
        field(Tag::ComponentsConfiguration, Value::Undefined(vec![1, 2, 3, 0], 0)),
        field(Tag::FlashpixVersion, Value::Undefined(b"0100".to_vec(), 0)),
        // sRGB, which is what a picture without a profile is shown as.
        field(Tag::ColorSpace, Value::Short(vec![1])),
        field(Tag::PixelXDimension, Value::Long(vec![size.width])),
        field(Tag::PixelYDimension, Value::Long(vec![size.height])),
    ]
}

fn field(tag: Tag, value: Value) -> Field {
    Field { tag, ifd_num: In::PRIMARY, value }
}

fn ascii(text: &str) -> Value {
    Value::Ascii(vec![text.as_bytes().to_vec()])
}

fn ratio(num: u64, denom: u32) -> Rational {
    Rational { num: u32::try_from(num).unwrap_or(u32::MAX), denom }
}
