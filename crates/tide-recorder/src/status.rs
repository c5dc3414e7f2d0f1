//! The station's status: put together from what its parts know, posted to the server every few minutes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tide_photo::StationName;
use tide_photo::status::{STATUS_VERSION, SpoolStatus, StationStatus};
use tokio::time::sleep;

use crate::devices::clock::Clock;
use crate::devices::machine::{Machine, room_on_disk};
use crate::server_link::StatusPost;
use crate::spool::Spool;
use crate::vitals::Vitals;

/// Puts the status together; shared by who posts it and who prints it.
pub struct Reporter {
    /// Whose status.
    pub station: StationName,
    /// Folder whose disk matters.
    pub data_dir: PathBuf,
    /// What the parts said.
    pub vitals: Arc<Vitals>,
    /// What waits.
    pub spool: Arc<Spool>,
    /// The station's clock.
    pub clock: Arc<dyn Clock>,
    /// The machine below.
    pub machine: Machine,
}

impl Reporter {
    /// The station at this moment.
    pub fn status(&self) -> StationStatus {
        let known = self.vitals.known();
        // The quality first, then both clocks side by side: the server finds the time of earlier photos by them.
        let clock = self.clock.quality();
        let (at, monotonic_us) = (self.clock.now(), self.clock.monotonic_us());
        StationStatus {
            version: STATUS_VERSION,
            station: self.station.clone(),
            at,
            clock,
            boot_id: self.clock.boot_id().to_owned(),
            monotonic_us,
            software: env!("CARGO_PKG_VERSION").to_owned(),
            spool: SpoolStatus {
                delivered: known.delivered,
                delivered_at: known.delivered_at,
                trouble: known.delivery_trouble,
                ..self.spool.status()
            },
            shots: known.shots,
            camera: known.camera,
            disk: room_on_disk(&self.data_dir),
            memory: self.machine.memory(),
            temperature_c: self.machine.temperature_c(),
            throttling: self.machine.throttling(),
            gps: self.clock.receiver(),
            last_error: known.last_error,
        }
    }

    /// Posts the status every so often, for ever; `chance`, between 0 and 1, decides when first, so that stations which were
    /// switched on together do not all post together. A status that does not arrive is followed by a newer one.
    pub async fn post_for_ever(self: Arc<Self>, server: StatusPost, every: Duration, chance: f64) {
        sleep(every.mul_f64(0.1 * chance)).await;
        let mut was_told = true;
        loop {
            let reporter = Arc::clone(&self);
            let Ok(status) = tokio::task::spawn_blocking(move || reporter.status()).await else { return };
            match server.post(&status).await {
                Err(reason) if was_told => tracing::info!(reason, "the server was not told how the station is"),
                Err(reason) => tracing::debug!(reason, "the server was not told how the station is"),
                Ok(()) => (),
            }
            was_told = self.vitals.known().delivery_trouble.is_none();
            sleep(every).await;
        }
    }
}
