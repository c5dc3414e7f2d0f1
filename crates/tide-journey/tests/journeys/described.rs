//! A photo explains itself to a program that knows nothing of us: `exiftool`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;
use tide_journey::TestStation;
use tide_journey::needs::{self, Need};
use tide_journey::programs::output;
use tide_photo::{CapturedAt, ClockQuality, ClockSource, StationName};
use tide_recorder::config::Position;
use tide_recorder::imprint::{self, Imprint, Place};

pub(crate) fn journeys() -> Vec<Trial> {
    vec![
        needs::journey("exiftool_reads_a_stations_photo", Need::ExifTool, a_stations_photo),
        needs::journey("exiftool_reads_what_a_camera_wrote_beside_ours", Need::ExifTool, a_cameras_own_exif),
        needs::journey("exiftool_reads_described_marsh_photos", Need::MarshPhotos, marsh_photos),
    ]
}

/// Settings of a station that needs no server here.
const SETTINGS: &str = "station = \"pier-3\"\n[server]\nurl = \"https://localhost:1\"\ntoken = \"secret\"\n\
     certificate = \"public\"\n[position]\nlatitude = 35.5185\nlongitude = -24.01825\naltitude_m = 2.5\n";

fn a_stations_photo() -> anyhow::Result<()> {
    let station = TestStation::new(SETTINGS)?;
    station.shoot(&[])?;
    let spool = station.data().join("spool");
    let manifest: Value = serde_json::from_slice(&fs::read(spool.join(&station.files("json")?[0]))?)?;
    let photo = spool.join(&station.files("jpg")?[0]);
    ensure!(warnings(&photo)?.is_empty(), "{:?}", warnings(&photo)?);
    let seen = Described::by_exiftool(&photo)?;

    let captured_at: CapturedAt = manifest["captured_at"].as_str().context("a manifest has a time")?.parse()?;
    let fraction = captured_at.format_utc("%6f");
    for which in ["Original", "Digitized"] {
        let tag = if which == "Original" { "ExifIFD:DateTimeOriginal" } else { "ExifIFD:CreateDate" };
        seen.says(tag, &captured_at.format_utc("%Y:%m:%d %H:%M:%S"))?;
        seen.says(&format!("ExifIFD:SubSecTime{which}"), &fraction)?;
        seen.says(&format!("ExifIFD:OffsetTime{which}"), "+00:00")?;
    }
    seen.says("IFD0:Software", concat!("tide-recorder ", env!("CARGO_PKG_VERSION")))?;
    seen.says("ExifIFD:OwnerName", "pier-3")?;
    seen.says("ExifIFD:SerialNumber", "pier-3")?;
    seen.says("GPS:GPSLatitude", "35.5185")?;
    seen.says("Composite:GPSLongitude", "-24.01825")?;
    seen.says("GPS:GPSAltitude", "2.5")?;
    seen.says("GPS:GPSProcessingMethod", "MANUAL")?;
    ensure!(seen.tag("ExifIFD:ImageUniqueID").len() == 32);

    seen.says("XMP-tide:Station", "pier-3")?;
    seen.says("XMP-tide:Camera", "synthetic")?;
    for (tag, field) in [
        ("Sequence", "/sequence"),
        ("ClockSource", "/clock/source"),
        ("ClockUncertaintyMs", "/clock/uncertainty_ms"),
        ("BootId", "/boot_id"),
        ("MonotonicUs", "/monotonic_us"),
    ] {
        seen.says(&format!("XMP-tide:{tag}"), &words(manifest.pointer(field)))?;
    }
    Ok(())
}

fn a_cameras_own_exif() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let photo = folder.path().join("camera.jpg");
    image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([x.to_le_bytes()[0], y.to_le_bytes()[0], 99])).save(&photo)?;
    let camera = ["-Make=Raspberry Pi", "-Model=imx708", "-ExposureTime=1/250", "-ISO=100", "-Software=rpicam-still"];
    let more =
        ["-DateTimeOriginal=2000:01:01 00:00:00", "-XMP-dc:Title=theirs", "-Comment=a comment", "-overwrite_original"];
    output(Command::new("exiftool").args(camera).args(more).arg(&photo))?;
    describe(&photo, ClockSource::Gps)?;
    ensure!(warnings(&photo)?.is_empty(), "{:?}", warnings(&photo)?);
    let seen = Described::by_exiftool(&photo)?;
    seen.says("IFD0:Make", "Raspberry Pi")?;
    seen.says("IFD0:Model", "imx708")?;
    seen.says("ExifIFD:ExposureTime", "0.004")?;
    seen.says("ExifIFD:ISO", "100")?;
    seen.says("XMP-dc:Title", "theirs")?;
    seen.says("File:Comment", "a comment")?;
    seen.says("IFD0:Software", concat!("tide-recorder ", env!("CARGO_PKG_VERSION")))?;
    seen.says("ExifIFD:DateTimeOriginal", "2026:05:31 18:00:00")?;
    seen.says("GPS:GPSDateStamp", "2026:05:31")?;
    seen.says("GPS:GPSTimeStamp", "18:00:00.25")?;
    seen.says("Composite:GPSDateTime", "2026:05:31 18:00:00.25Z")?;
    seen.says("XMP-tide:ClockUncertaintyMs", "12")
}

fn marsh_photos() -> anyhow::Result<()> {
    ensure!(Need::ExifTool.is_met(), "exiftool is not here");
    let folder = TempDir::new()?;
    for entry in fs::read_dir(needs::marsh_photos()?)? {
        let original = entry?.path();
        if original.extension().is_none_or(|end| end != "jpg") {
            continue;
        }
        let photo = folder.path().join(original.file_name().context("a photo has a name")?);
        fs::copy(&original, &photo)?;
        let before = warnings(&photo)?;
        describe(&photo, ClockSource::Ntp)?;
        // They have a segment of their camera's that nobody knows, which stays, and lack tags that the standard demands.
        let after = warnings(&photo)?;
        ensure!(after.len() < before.len() && after.iter().all(|warning| before.contains(warning)), "{after:?}");
        let seen = Described::by_exiftool(&photo)?;
        seen.says("ExifIFD:OwnerName", "pier-3")?;
        seen.says("XMP-tide:ClockSource", "ntp")?;
        let description = Described::by_exiftool(&original)?.tag("IFD0:ImageDescription");
        seen.says("IFD0:ImageDescription", &description)?;
        seen.says("GPS:GPSTimeStamp", "")?;
        let pixels = |path: &Path| anyhow::Ok(image::ImageReader::open(path)?.decode()?.into_rgb8());
        ensure!(pixels(&photo)? == pixels(&original)?, "{} looks different", original.display());
    }
    Ok(())
}

/// Writes into a photo what a station would.
fn describe(photo: &Path, source: ClockSource) -> anyhow::Result<()> {
    let station: StationName = "pier-3".parse()?;
    let imprint = Imprint {
        station: &station,
        sequence: 42,
        captured_at: "2026-05-31T18:00:00.250Z".parse()?,
        clock: ClockQuality::synchronised(source, 12).context("a source")?,
        boot_id: "8f0c1f2e-2f8f-4a5b-9f0e-0d7c3d2b1a00",
        monotonic_us: 1_000_000,
        camera: "rpicam",
        place: Some(Place::Received(Position { latitude: 35.5185, longitude: 24.01825, altitude_m: None })),
    };
    Ok(fs::write(photo, imprint::write(&fs::read(photo)?, &imprint)?)?)
}

/// All that `exiftool` finds in a photo.
struct Described(Value);

impl Described {
    /// With numbers as numbers.
    fn by_exiftool(photo: &Path) -> anyhow::Result<Self> {
        let found = output(Command::new("exiftool").args(["-j", "-G1", "-n"]).arg(photo))?;
        Ok(Self(serde_json::from_str::<Value>(&found)?[0].take()))
    }

    fn tag(&self, tag: &str) -> String {
        words(self.0.get(tag))
    }

    fn says(&self, tag: &str, expected: &str) -> anyhow::Result<()> {
        let found = self.tag(tag);
        ensure!(found == expected, "{tag} is `{found}`, not `{expected}`: {:#}", self.0);
        Ok(())
    }
}

/// What `exiftool` warns of in a photo, one sentence each.
fn warnings(photo: &Path) -> anyhow::Result<Vec<String>> {
    let found = output(Command::new("exiftool").args(["-validate", "-warning", "-error", "-a", "-s3"]).arg(photo))?;
    // The first line is a count, or that all is well.
    Ok(found.lines().skip(1).map(str::to_owned).collect())
}

/// A value without JSON's quotes; nothing for one that is absent.
fn words(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
