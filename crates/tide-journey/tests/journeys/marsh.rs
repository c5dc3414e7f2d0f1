//! The 24 real marsh photos, from a station's spool over TLS into the gallery.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use tide_journey::needs::{self, Need};
use tide_journey::{TestServer, TestStation};
use tide_photo::Digest;

use crate::wait_for;

pub(crate) fn journeys() -> Vec<Trial> {
    vec![needs::journey("marsh_photos_reach_the_gallery_unchanged", Need::MarshPhotos, marsh_photos)]
}

fn marsh_photos() -> anyhow::Result<()> {
    let folder = needs::marsh_photos()?;
    let server = TestServer::start()?;
    let mut station = TestStation::new(&server.add_station("marsh")?)?.with_replay(&folder);
    ensure!(station.shoot(&["--count", "24"])?.len() == 24);
    ensure!(station.waiting()? == 24, "the spool holds what was taken");
    station.run()?;
    station.until_delivered()?;
    station.stop()?;

    // The names tell the time: `NRmarshDN-12-05-31-18-00.jpg`. The newest comes first.
    let mut originals = BTreeMap::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if let Some(time) = name.strip_prefix("NRmarshDN-") {
            let part: Vec<&str> = time.split('-').collect();
            let time = format!("20{}-{}-{}T{}:{}:00.000Z", part[0], part[1], part[2], part[3], part[4]);
            originals.insert(time, fs::read(&path)?);
        }
    }
    ensure!(originals.len() == 24);
    wait_for(async {
        let login = server.log_in().await?;
        let photos = login.photos().await?;
        let times: Vec<&str> = photos.iter().filter_map(|photo| photo["timestamp"].as_str()).collect();
        ensure!(times.iter().copied().eq(originals.keys().rev().map(String::as_str)), "out of order: {times:?}");
        for photo in &photos {
            let original = &originals[photo["timestamp"].as_str().unwrap_or_default()];
            let name = photo["filename"].as_str().context("a photo has a file name")?;
            let served = login.get(&format!("/uploads/{name}")).await?.error_for_status()?.bytes().await?;
            ensure!(served == original.as_slice(), "{name} was changed on its way");
            ensure!(photo["digest"] == Digest::of(original).to_string());
            // Nobody vouches for a time that a file's name tells.
            ensure!(photo["clock_source"] == "unsynchronised" && photo["uncertainty_ms"].is_null());
        }
        Ok(())
    })?;
    server.expect_clean(24)
}
