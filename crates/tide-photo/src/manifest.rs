//! The description that travels with a photo: who took it, when, how surely, and the digest of its bytes.

use serde::{Deserialize, Serialize};

use crate::{CapturedAt, ClockQuality, Digest, StationName};

/// The version of the manifest that this build writes.
pub const MANIFEST_VERSION: u32 = 1;

/// Largest manifest that a server reads, in bytes. Ours are about 400; the rest is room for later versions.
pub const MAX_MANIFEST_BYTES: usize = 16 * 1024;

/// Longest boot id, in bytes: a UUID in text.
const BOOT_ID_BYTES: usize = 36;

/// What a station knows about one photo. Fields that a later version adds are ignored by an earlier server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// 1.
    pub version: u32,
    /// Whose photo.
    pub station: StationName,
    /// The station's own count of photos, growing over restarts; gaps are allowed, repeats are not.
    pub sequence: u64,
    /// The moment of exposure.
    pub captured_at: CapturedAt,
    /// How surely that moment is known.
    pub clock: ClockQuality,
    /// SHA-256 of the JPEG.
    pub digest: Digest,
    /// Length of the JPEG in bytes.
    pub size_bytes: u64,
    /// The kernel's id of the boot in which the photo was taken: with `monotonic_us` it orders photos whatever the clock did.
    /// Empty if the moment of exposure lies in no boot of the station: for a recording, and for a pretended time.
    pub boot_id: String,
    /// Microseconds since that boot at the moment of exposure (CLOCK_BOOTTIME); 0 if there is none.
    pub monotonic_us: u64,
    /// Which camera took it, as the station's settings name it (`rpicam`, `usb`, `replay`, `synthetic`).
    pub camera: String,
    /// How far the camera may be off about that moment either way, in milliseconds, beside the clock; it is part of `clock`'s
    /// uncertainty already. Absent if the camera knows the moment exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment_ms: Option<u32>,
    /// Set if the clock was not good when the photo was taken, and `captured_at` and `clock` were found later, from the
    /// monotonic clock of the same boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repaired: Option<Repair>,
}

/// What a photo's time was before it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// What the clock had said; EXIF and XMP within the JPEG say it still.
    pub clock_said: CapturedAt,
}

/// A manifest that the server cannot take, and the field to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct ManifestError {
    /// Dotted path of the field, `manifest` for the whole.
    pub field: String,
    /// What is wrong with it, one sentence.
    pub reason: String,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// Names the first field that is missing or wrong.
    pub fn from_json(json: &[u8]) -> Result<Self, ManifestError> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let manifest: Self = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let path = error.path().to_string();
            let field = if path == "." { missing_field(error.inner()).unwrap_or("manifest".to_owned()) } else { path };
            ManifestError { field, reason: error.into_inner().to_string() }
        })?;
        deserializer.end().map_err(|error| manifest_error("manifest", error.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The JSON that is written to disk and sent.
    pub fn to_json(&self) -> Vec<u8> {
        // A struct of plain fields always has a JSON form; an empty text would be refused by every reader.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn check(&self) -> Result<(), ManifestError> {
        if self.version != MANIFEST_VERSION {
            let reason =
                format!("this server reads version {MANIFEST_VERSION}, not {}; update the server", self.version);
            return Err(manifest_error("version", reason));
        }
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if self.boot_id.len() > BOOT_ID_BYTES || !plain(&self.boot_id) {
            return Err(manifest_error("boot_id", "a boot id is a UUID of at most 36 characters"));
        }
        if self.camera.len() > 32 || !plain(&self.camera) {
            return Err(manifest_error("camera", "a camera is named by at most 32 printable ASCII characters"));
        }
        // The catalog counts in signed 64-bit integers.
        for (field, value) in
            [("sequence", self.sequence), ("size_bytes", self.size_bytes), ("monotonic_us", self.monotonic_us)]
        {
            if i64::try_from(value).is_err() {
                return Err(manifest_error(field, "the number is too large"));
            }
        }
        Ok(())
    }
}

fn manifest_error(field: &str, reason: impl Into<String>) -> ManifestError {
    ManifestError { field: field.to_owned(), reason: reason.into() }
}

/// serde blames the enclosing object for a missing field; the person who mends it wants the field.
fn missing_field(error: &serde_json::Error) -> Option<String> {
    let message = error.to_string();
    let (_, rest) = message.split_once("missing field `")?;
    rest.split_once('`').map(|(field, _)| field.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> serde_json::Value {
        serde_json::json!({
            "version": 1,
            "station": "pier-3",
            "sequence": 42,
            "captured_at": "2026-05-31T18:00:00.250Z",
            "clock": {"source": "gps", "uncertainty_ms": 3},
            "digest": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "size_bytes": 3,
            "boot_id": "8f0c1f2e-2f8f-4a5b-9f0e-0d7c3d2b1a00",
            "monotonic_us": 1_000_000,
            "camera": "synthetic",
        })
    }

    /// The field that a manifest is refused for after `change`.
    fn refused_for(change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut json = example();
        change(&mut json);
        match Manifest::from_json(json.to_string().as_bytes()) {
            Ok(_) => "nothing".to_owned(),
            Err(error) => error.field,
        }
    }

    #[test]
    fn a_manifest_reads_back_as_written() {
        let manifest = Manifest::from_json(example().to_string().as_bytes());
        let again =
            manifest.as_ref().map_err(Clone::clone).and_then(|manifest| Manifest::from_json(&manifest.to_json()));
        assert!(manifest.is_ok());
        assert_eq!(again, manifest);
    }

    #[test]
    fn the_field_to_blame_is_named() {
        assert_eq!(refused_for(|_| ()), "nothing");
        assert_eq!(refused_for(|json| json["captured_at"] = "<script>alert(1)</script>".into()), "captured_at");
        assert_eq!(refused_for(|json| json["station"] = "../etc".into()), "station");
        assert_eq!(refused_for(|json| json["digest"] = "zz".into()), "digest");
        assert_eq!(refused_for(|json| json["clock"]["source"] = "sundial".into()), "clock.source");
        assert_eq!(refused_for(|json| json["size_bytes"] = (-1).into()), "size_bytes");
        assert_eq!(refused_for(|json| json["sequence"] = u64::MAX.into()), "sequence");
        assert_eq!(refused_for(|json| json["version"] = 2.into()), "version");
        assert_eq!(refused_for(|json| json["boot_id"] = "x".repeat(37).into()), "boot_id");
        assert_eq!(refused_for(|json| json["camera"] = "<b>".repeat(20).into()), "camera");
        assert_eq!(refused_for(|json| drop(json.as_object_mut().and_then(|map| map.remove("station")))), "station");
        assert_eq!(refused_for(|json| *json = "hello".into()), "manifest");
        assert_eq!(refused_for(|json| json["a_later_versions_field"] = true.into()), "nothing");
    }

    #[test]
    fn text_after_the_manifest_is_refused() {
        let json = format!("{} trailing", example());
        assert_eq!(Manifest::from_json(json.as_bytes()).map_err(|error| error.field), Err("manifest".to_owned()));
    }
}
