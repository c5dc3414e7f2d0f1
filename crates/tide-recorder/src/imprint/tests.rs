use exif::{Exif, Field, In, Reader, Tag, Value, experimental::Writer};
use image::DynamicImage;
use std::io::Cursor;
use tide_photo::ClockSource;

use super::*;
use crate::devices::camera::Camera;
use crate::devices::synthetic::SyntheticCamera;

fn imprint(station: &StationName) -> Imprint<'_> {
    Imprint {
        station,
        sequence: 42,
        captured_at: "2026-05-31T18:00:00.250Z".parse().unwrap(),
        clock: ClockQuality::synchronised(ClockSource::Gps, 3).unwrap(),
        boot_id: "8f0c1f2e-2f8f-4a5b-9f0e-0d7c3d2b1a00",
        monotonic_us: 1_000_000,
        camera: "rpicam",
        place: Some(Place::Received(Position { latitude: 35.518_5, longitude: -24.018_25, altitude_m: Some(2.5) })),
    }
}

fn pier() -> StationName {
    "pier-3".parse().unwrap()
}

fn photo() -> Vec<u8> {
    SyntheticCamera::new(320, 240).expose("2026-05-31T18:00:00Z".parse().unwrap()).unwrap().jpeg
}

/// From the first table or frame header on, which is where the picture begins.
fn picture(jpeg: &[u8]) -> &[u8] {
    &jpeg[jpeg.windows(2).position(|pair| pair[0] == 0xFF && [0xC0, 0xC4, 0xDB].contains(&pair[1])).unwrap()..]
}

/// A segment's bytes.
fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 2).unwrap().to_be_bytes();
    [&[0xFF, marker], length.as_slice(), body].concat()
}

/// The photo with segments directly behind its first marker.
fn with_segments(segments: &[Vec<u8>]) -> Vec<u8> {
    [&[0xFF, 0xD8], segments.concat().as_slice(), picture(&photo())].concat()
}

fn exif_segment(fields: &[Field], thumbnail: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    fields.iter().for_each(|field| writer.push_field(field));
    if !thumbnail.is_empty() {
        writer.set_jpeg(thumbnail, In::THUMBNAIL);
    }
    let mut tiff = Cursor::new(Vec::new());
    writer.write(&mut tiff, true).unwrap();
    segment(0xE1, &[b"Exif\0\0", tiff.get_ref().as_slice()].concat())
}

fn text(tag: Tag, text: &str) -> Field {
    Field { tag, ifd_num: In::PRIMARY, value: Value::Ascii(vec![text.into()]) }
}

fn read(jpeg: &[u8]) -> Exif {
    Reader::new().read_from_container(&mut Cursor::new(jpeg)).unwrap()
}

fn shown(exif: &Exif, tag: Tag) -> String {
    exif.get_field(tag, In::PRIMARY).map_or("nothing".to_owned(), |field| field.display_value().to_string())
}

#[test]
fn the_picture_is_the_same_to_the_byte_and_to_the_pixel() {
    let (before, station) = (photo(), pier());
    let after = write(&before, &imprint(&station)).unwrap();
    assert_eq!(picture(&after), picture(&before));
    let pixels = |jpeg: &[u8]| image::load_from_memory(jpeg).map(DynamicImage::into_rgb8).unwrap();
    assert_eq!(pixels(&after), pixels(&before));
    assert_eq!(JpegCheck::of(&after), JpegCheck::of(&before));
    assert_eq!(&after[6..11], b"JFIF\0", "JFIF is still the first");
}

#[test]
fn exif_says_when_where_and_whose() {
    let station = pier();
    let exif = read(&write(&photo(), &imprint(&station)).unwrap());
    for (tag, expected) in [
        (Tag::DateTimeOriginal, "2026-05-31 18:00:00"),
        (Tag::SubSecTimeOriginal, "\"250000\""),
        (Tag::OffsetTimeOriginal, "\"+00:00\""),
        (Tag::DateTimeDigitized, "2026-05-31 18:00:00"),
        (Tag::CameraOwnerName, "\"pier-3\""),
        (Tag::BodySerialNumber, "\"pier-3\""),
        (Tag::GPSLatitude, "35 deg 31 min 6.6 sec"),
        (Tag::GPSLongitude, "24 deg 1 min 5.7 sec"),
        (Tag::GPSLongitudeRef, "W"),
        (Tag::GPSAltitude, "2.5"),
        (Tag::GPSDateStamp, "2026-05-31"),
        (Tag::GPSTimeStamp, "18:00:00.25"),
        (Tag::PixelXDimension, "320"),
    ] {
        assert_eq!(shown(&exif, tag), expected, "{tag}");
    }
}

#[test]
fn a_time_that_is_no_satellites_is_not_called_one() {
    let station = pier();
    let ntp = Imprint { clock: ClockQuality::synchronised(ClockSource::Ntp, 3).unwrap(), ..imprint(&station) };
    let exif = read(&write(&photo(), &ntp).unwrap());
    assert_eq!(shown(&exif, Tag::GPSTimeStamp), "nothing");
    assert_eq!(shown(&exif, Tag::GPSLatitudeRef), "N");
    let nowhere = Imprint { place: None, ..ntp };
    assert_eq!(shown(&read(&write(&photo(), &nowhere).unwrap()), Tag::GPSVersionID), "nothing");
}

#[test]
fn xmp_says_how_surely() {
    let station = pier();
    let xmp = |imprint: &Imprint| String::from_utf8_lossy(&write(&photo(), imprint).unwrap()).into_owned();
    let sure = xmp(&imprint(&station));
    for expected in [
        "xmlns:tide=\"urn:tide-recorder:photo:1.0#\"",
        "<tide:ClockSource>gps</tide:ClockSource>",
        "<tide:ClockUncertaintyMs>3</tide:ClockUncertaintyMs>",
        "<tide:BootId>8f0c1f2e-2f8f-4a5b-9f0e-0d7c3d2b1a00</tide:BootId>",
        "<tide:MonotonicUs>1000000</tide:MonotonicUs>",
        "<tide:Sequence>42</tide:Sequence>",
    ] {
        assert!(sure.contains(expected), "{expected}");
    }
    let unsure = Imprint { clock: ClockQuality::unsynchronised(), boot_id: "", ..imprint(&station) };
    let unsure = xmp(&unsure);
    assert!(unsure.contains(">unsynchronised<"));
    assert!(!unsure.contains("ClockUncertaintyMs") && !unsure.contains("MonotonicUs"), "nothing that is not known");
}

#[test]
fn the_cameras_own_exif_stays_where_ours_says_nothing() {
    let exposure = Field {
        tag: Tag::ExposureTime,
        ifd_num: In::PRIMARY,
        value: Value::Rational(vec![exif::Rational { num: 1, denom: 250 }]),
    };
    let thumbnail = photo();
    let mut theirs =
        vec![text(Tag::Make, "Raspberry Pi"), text(Tag::DateTimeOriginal, "2000:01:01 00:00:00"), exposure];
    theirs.push(Field { tag: Tag::Compression, ifd_num: In::THUMBNAIL, value: Value::Short(vec![6]) });
    theirs.push(text(Tag::GPSLatitudeRef, "S"));
    theirs.push(text(Tag::GPSDestBearingRef, "T"));
    let jpeg = with_segments(&[exif_segment(&theirs, &thumbnail)]);
    let station = pier();
    let exif = read(&write(&jpeg, &imprint(&station)).unwrap());
    assert_eq!(shown(&exif, Tag::Make), "\"Raspberry Pi\"");
    assert_eq!(shown(&exif, Tag::ExposureTime), "1/250");
    assert_eq!(shown(&exif, Tag::DateTimeOriginal), "2026-05-31 18:00:00");
    assert_eq!(shown(&exif, Tag::GPSLatitudeRef), "N");
    assert_eq!(shown(&exif, Tag::GPSDestBearingRef), "nothing", "one fix, not half of two");
    assert_eq!(tags::thumbnail(&exif), Some(thumbnail.as_slice()));
}

#[test]
fn what_others_wrote_stays_in_its_order() {
    let others = [segment(0xE2, b"ICC_PROFILE\0\x01\x01.."), segment(0xFE, b"fswebcam"), segment(0xE1, b"other")];
    let jpeg = with_segments(&others);
    let station = pier();
    let after = write(&jpeg, &imprint(&station)).unwrap();
    let at = |bytes: &[u8]| after.windows(bytes.len()).position(|window| window == bytes).unwrap();
    let [icc, comment, other] = others.each_ref().map(|segment| at(segment));
    let places = [at(b"Exif\0\0"), at(b"<?xpacket"), icc, comment, other, at(picture(&jpeg))];
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn ours_joins_somebody_elses_xmp() {
    let xmp = |packet: &[u8]| with_segments(&[segment(0xE1, &[b"http://ns.adobe.com/xap/1.0/\0", packet].concat())]);
    let station = pier();
    let after = write(&xmp(b"<rdf:RDF><theirs/></rdf:RDF><?xpacket?>"), &imprint(&station)).unwrap();
    let after = String::from_utf8_lossy(&after);
    assert!(after.contains("<rdf:RDF><theirs/><rdf:Description") && after.contains("</rdf:Description></rdf:RDF><?xp"));
    assert!(write(&xmp(b"<r:RDF/>"), &imprint(&station)).is_err());
}

#[test]
fn what_cannot_be_merged_is_refused_and_nothing_is_lost() {
    let station = pier();
    let refusal = |jpeg: &[u8]| write(jpeg, &imprint(&station)).unwrap_err().to_string();
    let long = text(Tag::ImageDescription, &"x".repeat(65_000));
    assert!(refusal(&with_segments(&[exif_segment(&[long], &[])])).contains("more room than a segment"));
    let damaged = segment(0xE1, b"Exif\0\0II*\0\xFF\xFF\xFF\xFF");
    assert!(refusal(&with_segments(&[damaged])).contains("what the camera wrote"));
    assert!(refusal(b"no JPEG").contains("not a JPEG"));
    let whole = photo();
    for length in 0..whole.len().min(700) {
        assert!(write(&whole[..length], &imprint(&station)).is_err(), "cut at {length}");
    }
}

#[test]
fn a_photos_unique_id_is_its_own() {
    let station = pier();
    let id = |sequence, boot_id| {
        let exif = read(&write(&photo(), &Imprint { sequence, boot_id, ..imprint(&station) }).unwrap());
        shown(&exif, Tag::ImageUniqueID)
    };
    assert_eq!(id(1, "one").len(), 32 + "\"\"".len());
    assert_eq!(id(1, "one"), id(1, "one"));
    assert_ne!(id(1, "one"), id(2, "one"));
    assert_ne!(id(1, "one"), id(1, "another"));
}
