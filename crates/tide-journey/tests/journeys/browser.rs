//! A person with a browser.

use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use thirtyfour::prelude::*;
use tide_journey::browser::Browser;
use tide_journey::needs::{Need, journey};
use tide_journey::server::PASSWORD;
use tide_journey::{TestServer, TestStation};

use crate::wait_for;

pub(crate) fn journeys() -> Vec<Trial> {
    vec![journey("a_person_logs_in_and_looks_at_photos", Need::Browser, look)]
}

fn look() -> anyhow::Result<()> {
    let server = TestServer::start()?;
    let mut station = TestStation::new(&server.add_station("pier-3")?)?;
    // More than one page of them.
    station.shoot(&["--count", "70", "--from", "2026-05-31T06:00:00Z", "--every", "600"])?;
    station.run()?;
    station.until_delivered()?;
    station.stop()?;
    wait_for(async {
        let browser = Browser::open().await?;
        let looked = look_around(&browser, &server).await;
        browser.close().await?;
        looked
    })
}

async fn look_around(browser: &Browser, server: &TestServer) -> anyhow::Result<()> {
    let window = &browser.window;
    window.goto(format!("{}/gallery", server.url())).await?;
    log_in(window, "admin", "wrong").await?;
    let problem = window.query(By::Css(".problem[role=alert]")).first().await?.text().await?;
    ensure!(problem.contains("Wrong user name or password"), "{problem}");
    // Chromium itself notes the status of that page, 401.
    ensure!(browser.console().await?.iter().all(|entry| entry.contains("401")));

    log_in(window, "admin", PASSWORD).await?;
    window.query(By::Css("a.tile")).first().await?;
    ensure!(window.current_url().await?.path() == "/gallery", "the login leads to the page that was wanted");
    ensure!(window.find_all(By::Css("a.tile")).await?.len() == 60);
    thumbnails_load(window).await?;
    window.find(By::Css("a[rel=next]")).await?.click().await?;
    window.query(By::Css("a[rel=prev]")).first().await?;
    ensure!(window.find_all(By::Css("a.tile")).await?.len() == 10, "the second page has the rest");

    window.find(By::Css("a.tile")).await?.click().await?;
    let photo = window.query(By::Id("photo")).first().await?;
    until_loaded(window, "img#photo").await?;
    ensure!(photo.prop("naturalWidth").await?.as_deref() == Some("320"));
    let clock = window.find(By::Css(".clock")).await?.text().await?;
    ensure!(clock.contains("unsynchronised"), "the time is shown with its source: {clock}");

    window.find(By::Id("logout")).await?.click().await?;
    window.query(By::Id("password")).first().await?;
    window.goto(format!("{}/gallery", server.url())).await?;
    window.query(By::Id("password")).first().await.context("after logging out, the gallery is closed")?;
    ensure!(window.get_all_cookies().await?.is_empty(), "no cookie is left");

    let console = browser.console().await?;
    ensure!(console.is_empty(), "the console says: {console:?}");
    let own = format!("{}/", server.url());
    let foreign: Vec<String> = browser.requests().await?.into_iter().filter(|url| !url.starts_with(&own)).collect();
    ensure!(foreign.is_empty(), "the pages asked other hosts: {foreign:?}");
    Ok(())
}

async fn log_in(window: &WebDriver, name: &str, password: &str) -> anyhow::Result<()> {
    let field = window.query(By::Id("username")).first().await?;
    field.clear().await?;
    field.send_keys(name).await?;
    window.find(By::Id("password")).await?.send_keys(password).await?;
    window.find(By::Css("main form button[type=submit]")).await?.click().await?;
    Ok(())
}

/// Scrolls through the page, as lazy pictures ask for it, until all have arrived.
async fn thumbnails_load(window: &WebDriver) -> anyhow::Result<()> {
    for tile in window.find_all(By::Css("a.tile")).await? {
        tile.scroll_into_view().await?;
    }
    until_loaded(window, ".tile img").await
}

async fn until_loaded(window: &WebDriver, pictures: &str) -> anyhow::Result<()> {
    let script = format!(
        "return [...document.querySelectorAll('{pictures}')].filter(img => !(img.complete && img.naturalWidth > 0)).length"
    );
    let loading = async || -> anyhow::Result<u64> {
        Ok(window.execute(script.as_str(), Vec::new()).await?.json().as_u64().unwrap_or(u64::MAX))
    };
    for _ in 0..600 {
        if loading().await? == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("{} pictures {pictures} do not load", loading().await?)
}
