//! The header `Upload-Metadata` (tus 1.0): keys with values in Base64. Of them all, only the manifest is read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tide_photo::Manifest;
use tide_photo::manifest::MAX_MANIFEST_BYTES;
use tide_photo::wire::MANIFEST_METADATA;

use crate::refusal::Refusal;

/// The manifest in a header.
///
/// # Errors
/// Names the manifest's field that is wrong, or `manifest` where there is none that can be read.
pub fn manifest_in(header: &str) -> Result<Manifest, Refusal> {
    let pairs = header.split(',').map(|pair| pair.trim().split_once(' ').unwrap_or((pair.trim(), "")));
    let mut values = pairs.filter(|(key, _)| *key == MANIFEST_METADATA).map(|(_, value)| value);
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(no_manifest("Upload-Metadata has the key `manifest` once, with the photo's manifest in Base64"));
    };
    let json = STANDARD.decode(value.trim()).map_err(|_| no_manifest("the value of `manifest` is no Base64"))?;
    if json.len() > MAX_MANIFEST_BYTES {
        return Err(Refusal::FormTooLarge);
    }
    Ok(Manifest::from_json(&json)?)
}

fn no_manifest(reason: &str) -> Refusal {
    Refusal::field(MANIFEST_METADATA, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The field to blame; `nothing` if it is a manifest.
    fn blamed(header: &str) -> String {
        match manifest_in(header) {
            Ok(_) => "nothing".to_owned(),
            Err(Refusal::Manifest(error)) => error.field,
            Err(other) => other.to_string(),
        }
    }

    #[test]
    fn the_manifest_is_found_among_other_keys() {
        let json = serde_json::json!({
            "version": 1, "station": "pier-3", "sequence": 1, "captured_at": "2026-05-31T18:00:00Z",
            "clock": {"source": "gps", "uncertainty_ms": 3}, "digest": tide_photo::Digest::of(b"x").to_string(),
            "size_bytes": 1, "boot_id": "b", "monotonic_us": 0, "camera": "usb",
        });
        let value = STANDARD.encode(json.to_string());
        assert_eq!(blamed(&format!("manifest {value}")), "nothing");
        assert_eq!(blamed(&format!("filename eA==,is_test,manifest {value}")), "nothing");
        assert_eq!(blamed(&format!("manifest {value}, manifest {value}")), "manifest");
        let wrong = STANDARD.encode(json.to_string().replace("pier-3", "../etc"));
        assert_eq!(blamed(&format!("manifest {wrong}")), "station");
        for bad in ["", "manifest", "manifest !", "filename eA==", "manifest eA=="] {
            assert_eq!(blamed(bad), "manifest", "{bad}");
        }
        let long = STANDARD.encode(vec![b' '; MAX_MANIFEST_BYTES + 1]);
        assert!(blamed(&format!("manifest {long}")).contains("larger"));
    }
}
