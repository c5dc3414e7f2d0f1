//! Looking at the photos: with a browser, and as a program.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, ensure};
use thirtyfour::prelude::*;
use tide_journey::browser::Browser;
use tide_journey::container::Deployment;

/// Logs in with a real browser and counts the tiles of the gallery's first page.
pub(crate) fn gallery(deployment: &Deployment, photos: usize, pictures: Option<&Path>) -> anyhow::Result<String> {
    wait_for(async {
        let browser = Browser::open().await?;
        let looked = look(&browser.window, deployment, photos, pictures).await;
        let console = browser.console().await?;
        browser.close().await?;
        ensure!(console.is_empty(), "the console says: {console:?}");
        looked
    })
}

async fn look(
    window: &WebDriver,
    deployment: &Deployment,
    photos: usize,
    pictures: Option<&Path>,
) -> anyhow::Result<String> {
    window.goto(format!("{}/gallery", deployment.url())).await?;
    window.query(By::Id("username")).first().await?.send_keys("admin").await?;
    window.find(By::Id("password")).await?.send_keys(deployment.password()).await?;
    window.find(By::Css("main form button[type=submit]")).await?.click().await?;
    window.query(By::Css("a.tile")).first().await?;
    let tiles = window.find_all(By::Css("a.tile")).await?;
    ensure!(tiles.len() == photos, "{} tiles of {photos} photos", tiles.len());
    for tile in &tiles {
        tile.scroll_into_view().await?;
    }
    let loaded =
        "return [...document.querySelectorAll('.tile img')].every(img => img.complete && img.naturalWidth > 0)";
    let began = std::time::Instant::now();
    while window.execute(loaded, Vec::new()).await?.json() != &serde_json::Value::Bool(true) {
        ensure!(began.elapsed() < tide_journey::programs::PATIENCE, "thumbnails do not load");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    if let Some(folder) = pictures {
        std::fs::create_dir_all(folder)?;
        window.screenshot(&folder.join("gallery.png")).await?;
    }
    Ok(format!("all {photos} with thumbnails in a browser's gallery"))
}

/// The digests of all photos.
pub(crate) fn digests(deployment: &Deployment) -> anyhow::Result<BTreeSet<String>> {
    Ok(list(deployment, "digest")?.into_iter().collect())
}

/// One field of every photo, newest first.
pub(crate) fn list(deployment: &Deployment, field: &str) -> anyhow::Result<Vec<String>> {
    let photos = wait_for(async { deployment.log_in().await?.photos().await })?;
    let text = |photo: &serde_json::Value| photo[field].as_str().map(str::to_owned);
    photos.iter().map(|photo| text(photo).with_context(|| format!("{photo} has no {field}"))).collect()
}

/// Runs to the end what speaks to the server.
pub(crate) fn wait_for<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
