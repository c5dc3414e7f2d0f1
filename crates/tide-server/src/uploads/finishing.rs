//! The last steps of an upload whose bytes are all here: the same as for every other photo.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use tide_photo::{CapturedAt, Receipt};

use super::{About, BYTES, Files, Found, Upload, Uploads, blocking, metadata};
use crate::catalog::{Catalog, Station};
use crate::ingest::{Arrived, Ingest, IngestError};
use crate::photo_store::IncomingPhoto;
use crate::refusal::Refusal;

impl Uploads {
    /// Keeps and records the photo, to its receipt. What is no photo, or another one, is removed; if disk or catalog refuse, the
    /// upload stays and can be finished again.
    ///
    /// # Errors
    /// As for every photo.
    pub async fn finish(
        &self,
        ingest: &Ingest,
        station: &Station,
        upload: Upload,
        arrived: Option<Arrived>,
        now: CapturedAt,
    ) -> Result<Receipt, Refusal> {
        let outcome = self.try_to_finish(ingest, station, &upload, arrived, now).await;
        let is_settled = match &outcome {
            Ok(_) | Err(Refusal::Manifest(_)) => true,
            Err(Refusal::Ingest(error)) => matches!(error, IngestError::Jpeg(_) | IngestError::OtherBytes { .. }),
            Err(_) => false,
        };
        if is_settled && let Err(error) = self.remove(upload).await {
            // It expires, and finishing it again changes nothing.
            tracing::warn!(%error, "failed to remove an upload that is finished");
        }
        outcome
    }

    /// Finishes the uploads whose last byte had come when an earlier server ended: their stations may not ask again.
    pub async fn finish_all(&self, ingest: &Ingest, catalog: &Catalog, now: CapturedAt) {
        let (uploads, whole) = (self.clone(), SystemTime::now());
        let all = blocking(move || uploads.all()).await.unwrap_or_else(|error| {
            tracing::error!(%error, "failed to look for uploads that were cut off");
            Vec::new()
        });
        let stations = match catalog.stations().await {
            Ok(stations) => stations,
            Err(error) => return tracing::error!(%error, "failed to look for uploads that were cut off"),
        };
        for Files { station, id, .. } in all {
            let Some(station) = stations.iter().find(|known| known.name == station) else { continue };
            let Ok(Found::Upload(upload)) = self.find(&station.name, id, whole).await else { continue };
            if upload.offset_bytes < upload.about.length_bytes {
                continue;
            }
            match self.finish(ingest, station, *upload, None, now).await {
                Ok(receipt) => tracing::info!(station = %station.name, photo = receipt.id, "finished an upload"),
                Err(refusal) => tracing::warn!(station = %station.name, "an upload was refused: {}", refusal.message()),
            }
        }
    }

    async fn try_to_finish(
        &self,
        ingest: &Ingest,
        station: &Station,
        upload: &Upload,
        arrived: Option<Arrived>,
        now: CapturedAt,
    ) -> Result<Receipt, Refusal> {
        let manifest = metadata::manifest_in(&upload.about.metadata)?;
        let files = self.files(&upload.station, upload.id);
        let (uploads, about) = (self.clone(), upload.about.clone());
        let (path, incoming) = blocking(move || uploads.bytes(&files, &about)).await.map_err(IngestError::from)?;
        let image = ingest.read_again(path, incoming, arrived).await?;
        let (expected, found) = (manifest.digest, image.digest);
        if expected != found {
            return Err(IngestError::OtherBytes { expected, found }.into());
        }
        if let Some(receipt) = ingest.held(station, found).await? {
            return Ok(receipt);
        }
        let claim = ingest.claim(station, found)?;
        Ok(ingest.accept(claim, station.clone(), image, manifest.into(), now).await?)
    }

    /// Where the bytes are: in the upload's own file, or in the photo store, if only their row was wanting.
    fn bytes(&self, files: &Files, about: &About) -> io::Result<(PathBuf, Option<IncomingPhoto>)> {
        let path = files.path(BYTES);
        match self.store.resume(&path) {
            Ok((incoming, _)) => Ok((path, Some(incoming))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let kept = self.kept(files, about)?;
                kept.map(|path| (path, None)).ok_or_else(|| io::ErrorKind::NotFound.into())
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn kept(&self, files: &Files, about: &About) -> io::Result<Option<PathBuf>> {
        match metadata::manifest_in(&about.metadata) {
            Ok(manifest) => self.store.kept(&files.station, manifest.captured_at, &manifest.digest),
            Err(_) => Ok(None),
        }
    }
}
