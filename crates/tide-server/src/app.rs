//! What every request handler can reach.

use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use tide_photo::CapturedAt;

use crate::catalog::{Catalog, Station};
use crate::ingest::Ingest;
use crate::passwords::Passwords;
use crate::photo_store::PhotoStore;
use crate::thumbnails::Thumbnailer;
use crate::uploads::Uploads;

/// The parts of a running server. Clones share them.
#[derive(Clone)]
pub struct App {
    /// What is known.
    pub catalog: Catalog,
    /// The bytes.
    pub store: PhotoStore,
    /// The way in.
    pub ingest: Ingest,
    /// Photos whose bytes come over several connections.
    pub uploads: Uploads,
    /// Small pictures.
    pub thumbnailer: Thumbnailer,
    /// Checks passwords.
    pub passwords: Arc<Passwords>,
    /// Whose word about a client's address counts.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Takes the uploads of old devices without a token, if the settings allow them.
    pub anonymous_station: Option<Station>,
}

/// The server's clock, read where a request begins.
pub fn now() -> CapturedAt {
    // A server before 1970 or after 9999 has no right time to give.
    CapturedAt::from_micros(Timestamp::now().as_microsecond()).unwrap_or(CapturedAt::EPOCH)
}
