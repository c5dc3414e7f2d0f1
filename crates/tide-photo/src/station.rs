//! The name of a station: one DNS label, because it also becomes a host name and a folder name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest name, in bytes: what a DNS label holds (RFC 1035, 2.3.4).
pub const MAX_STATION_NAME_BYTES: usize = 63;

/// One to 63 of `a-z`, `0-9` and `-`, neither first nor last a `-` (a DNS label, RFC 1123). Lower case only, so that two
/// stations never share a folder on a file system that ignores case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StationName(String);

impl StationName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text that is no station name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a station name is 1 to 63 lower-case letters, digits and hyphens, and neither begins nor ends with a hyphen (for instance \"pier-3\")"
)]
pub struct NotAStationName;

impl FromStr for StationName {
    type Err = NotAStationName;

    fn from_str(text: &str) -> Result<Self, NotAStationName> {
        let legal_bytes = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        let legal_length = (1..=MAX_STATION_NAME_BYTES).contains(&text.len());
        if legal_bytes && legal_length && !text.starts_with('-') && !text.ends_with('-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAStationName)
        }
    }
}

impl fmt::Display for StationName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for StationName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "StationName({})", self.0)
    }
}

impl Serialize for StationName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for StationName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::wire::parse_text(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dns_label_in_lower_case_is_a_name() {
        for good in ["a", "7", "pier-3", "chania-old-harbour", &"x".repeat(63)] {
            assert!(good.parse::<StationName>().is_ok(), "{good}");
        }
        for bad in ["", "-pier", "pier-", "Pier", "pier_3", "pier 3", "..", "a/b", "pier\0", "λιμάνι", &"x".repeat(64)]
        {
            assert!(bad.parse::<StationName>().is_err(), "{bad}");
        }
    }
}
