//! Settings: how photos are sent.

use serde::{Deserialize, Deserializer};

/// Most uploads at once: what a server gives one station is far more, and a link is full long before.
const MAX_PARALLEL: usize = 16;

/// Lowest limit on bytes, in bytes per second: the slowest link on which uploads are not given up as silent.
const MIN_BYTES_PER_S: u64 = 1_000;

/// How photos are sent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upload {
    /// How many photos are under way at the same time, 1 to 16.
    #[serde(deserialize_with = "parallel")]
    pub parallel: usize,
    /// How many bytes of photos leave per second, over all that are under way; 0 for no limit.
    #[serde(deserialize_with = "bytes_per_s")]
    pub max_bytes_per_s: u64,
    /// How many photos are begun per second, 0.01 to 100. With the number of stations it bounds what a server meets when all
    /// stations return at once.
    #[serde(deserialize_with = "photos_per_s")]
    pub max_photos_per_s: f64,
    /// A photo of more bytes goes in an upload that can be resumed, if the server knows how.
    pub resume_above_bytes: u64,
}

impl Default for Upload {
    fn default() -> Self {
        Self { parallel: 2, max_bytes_per_s: 0, max_photos_per_s: 2.0, resume_above_bytes: 512 * 1_024 }
    }
}

fn parallel<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let parallel = usize::deserialize(deserializer)?;
    if (1..=MAX_PARALLEL).contains(&parallel) {
        return Ok(parallel);
    }
    Err(serde::de::Error::custom(format!("1 to {MAX_PARALLEL} uploads may be under way at once, not {parallel}")))
}

fn bytes_per_s<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let bytes = u64::deserialize(deserializer)?;
    if bytes == 0 || bytes >= MIN_BYTES_PER_S {
        return Ok(bytes);
    }
    let reason = format!("the limit is {MIN_BYTES_PER_S} bytes per second or more, or 0 for none, not {bytes}");
    Err(serde::de::Error::custom(reason))
}

fn photos_per_s<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let photos = f64::deserialize(deserializer)?;
    if (0.01..=100.0).contains(&photos) {
        return Ok(photos);
    }
    Err(serde::de::Error::custom(format!("the limit is 0.01 to 100 photos per second, not {photos}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(key: &str, value: impl Into<serde_json::Value>) -> String {
        let json = serde_json::Value::Object([(key.to_owned(), value.into())].into_iter().collect());
        serde_json::from_value::<Upload>(json).map_or_else(|error| error.to_string(), |_| "nothing".to_owned())
    }

    #[test]
    fn what_would_stop_the_uploads_is_refused() {
        assert!(refused("parallel", 0).contains("1 to 16"));
        assert!(refused("max_bytes_per_s", 999).contains("1000 bytes per second or more, or 0"));
        assert!(refused("max_photos_per_s", 0).contains("0.01 to 100"));
        for (key, value) in [("parallel", 16), ("max_bytes_per_s", 0), ("max_photos_per_s", 100)] {
            assert_eq!(refused(key, value), "nothing");
        }
    }
}
