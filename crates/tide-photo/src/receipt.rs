//! The server's word that it holds a photo durably. Only a receipt releases a spooled photo.

use serde::{Deserialize, Serialize};

use crate::{CapturedAt, Digest, StationName};

/// How the server came to hold the photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holding {
    /// This upload stored it (HTTP 201).
    Stored,
    /// An earlier upload had stored it (HTTP 200).
    AlreadyHeld,
}

/// The answer to a photo that is durably stored and in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Which photo.
    pub digest: Digest,
    /// Whose photo.
    pub station: StationName,
    /// The photo's number in the server's catalog; the same on every repeat.
    pub id: i64,
    /// Stored now or before.
    pub holding: Holding,
    /// When the server first held it, by the server's clock.
    pub received_at: CapturedAt,
}

impl Receipt {
    /// Whether this receipt releases the photo with `digest` of `station`: a receipt for anything else releases nothing.
    pub fn releases(&self, station: &StationName, digest: &Digest) -> bool {
        self.station == *station && self.digest == *digest
    }
}
