//! `tide-server import DIR`

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use indicatif::ProgressBar;
use tide_photo::StationName;

use super::ACTOR;
use crate::app::now;
use crate::config::Settings;
use crate::disk_guard::DiskGuard;
use crate::import::{DEFAULT_STATION, Imported, Prototype};
use crate::login::note;
use crate::serve::{open_catalog, open_data_folder};

/// What to take over.
#[derive(Args)]
pub struct ImportOptions {
    /// A prototype's data folder, with `photo_log.db` and `uploads/` in it.
    folder: PathBuf,
    /// The station that gets the photos.
    #[arg(long, default_value = DEFAULT_STATION)]
    station: StationName,
}

/// Takes over a prototype's data, beside a running server or alone.
///
/// # Errors
/// If there is no such data, or it cannot be read. Lost photos are told, and are not an error.
pub async fn import(settings: &Settings, options: &ImportOptions) -> anyhow::Result<()> {
    let prototype = Prototype::find(&options.folder).with_context(|| {
        format!("there is no photo_log.db in {}; name the prototype's data folder", options.folder.display())
    })?;
    let durable = open_data_folder(settings)?;
    let catalog = open_catalog(&durable).await?;
    let guard = DiskGuard::new(vec![durable.root().to_owned()], settings.min_free_bytes);
    let progress = ProgressBar::new(0);
    let imported = prototype.import(&catalog, &durable, &guard, &options.station, &progress).await?;
    progress.finish_and_clear();
    note(&catalog, ACTOR, "imported a prototype's photos into", options.station.as_str(), None, now()).await?;
    catalog.close().await;
    let Imported { photos, without_row, known, lost, odd_timestamps } = imported;
    println!(
        "photos imported: {photos} ({without_row} of them not in the old database), known already: {known}, lost: {lost}, \
         with an odd timestamp: {odd_timestamps}"
    );
    Ok(())
}
