//! The server is killed, absent, or not the one that the station trusts: no photo is lost, none comes twice.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use tide_journey::needs::{Need, journey};
use tide_journey::programs::until;
use tide_journey::{TestServer, TestStation};

use crate::wait_for;

pub(crate) fn journeys() -> Vec<Trial> {
    vec![
        journey("a_server_killed_in_the_middle_of_200_uploads_loses_nothing", Need::Nothing, killed),
        journey("a_station_trusts_one_certificate_only", Need::Nothing, other_certificate),
        journey("a_token_that_the_server_does_not_know_keeps_the_photos_at_the_station", Need::Nothing, other_token),
        journey("a_photo_that_cannot_be_read_does_not_hold_up_the_others", Need::Nothing, unreadable),
    ]
}

/// Photos that the interrupted uploads bring.
const PHOTOS: usize = 200;

/// How many photos the server has before each SIGKILL.
const KILLS_AFTER: [usize; 4] = [20, 60, 110, 160];

fn killed() -> anyhow::Result<()> {
    let mut server = TestServer::start()?;
    let mut station = TestStation::new(&server.add_station("pier-3")?)?;
    let printed =
        station.shoot(&["--count", &PHOTOS.to_string(), "--from", "2026-05-31T00:00:00Z", "--every", "60"])?;
    let taken: BTreeSet<String> = printed.iter().filter_map(|line| line.split(' ').nth(1).map(str::to_owned)).collect();
    ensure!(taken.len() == PHOTOS);
    station.run()?;
    for kill_after in KILLS_AFTER {
        until("some photos are delivered", || Ok(PHOTOS - station.waiting()? >= kill_after))?;
        server.kill()?;
        ensure!(station.waiting()? > 0, "the kill came too late to interrupt anything");
        server.restart()?;
    }
    station.until_delivered()?;
    station.stop()?;
    server.expect_clean(PHOTOS as u64)?;
    wait_for(async {
        let photos = server.log_in().await?.photos().await?;
        let held: BTreeSet<&str> = photos.iter().filter_map(|photo| photo["digest"].as_str()).collect();
        ensure!(photos.len() == PHOTOS && held == taken.iter().map(String::as_str).collect());
        Ok(())
    })
}

fn other_certificate() -> anyhow::Result<()> {
    let (trusted, other) = (TestServer::start()?, TestServer::start()?);
    // The certificate of one server, the address and token of the other.
    let settings = other.add_station("pier-3")?;
    let (before, _) = settings.split_once("certificate").context("the settings hold a certificate")?;
    let certificate = std::fs::read_to_string(trusted.certificate())?;
    let mut station = TestStation::new(&format!("{before}certificate = \"\"\"\n{certificate}\"\"\"\n"))?;
    station.shoot(&[])?;
    station.run()?;
    until("the station says why", || Ok(station.log().contains("certificate")))?;
    ensure!(station.waiting()? == 1, "the photo stays in the spool");
    station.stop()?;
    other.expect_clean(0)
}

fn other_token() -> anyhow::Result<()> {
    let server = TestServer::start()?;
    let settings = server.add_station("pier-3")?;
    let mut station = TestStation::new(&settings)?.with("TIDE_TOKEN", "tide_unknown");
    station.shoot(&[])?;
    station.run()?;
    until("the station says why", || Ok(station.log().contains("a station's token is needed")))?;
    station.stop()?;
    ensure!(station.waiting()? == 1, "the photo stays in the spool");
    let mut repaired = station.with("TIDE_TOKEN", token_in(&settings)?);
    repaired.run()?;
    repaired.until_delivered()?;
    server.expect_clean(1)
}

fn unreadable() -> anyhow::Result<()> {
    let server = TestServer::start()?;
    let mut station = TestStation::new(&server.add_station("pier-3")?)?;
    station.shoot(&["--count", "5", "--from", "2026-05-31T00:00:00Z", "--every", "60"])?;
    station.make_newest_unreadable()?;
    station.run()?;
    until("the others are delivered", || Ok(station.waiting().is_ok_and(|waiting| waiting == 1)))
        .with_context(|| format!("the station's log: {}", station.log()))?;
    station.stop()?;
    server.expect_clean(4)
}

fn token_in(settings: &str) -> anyhow::Result<String> {
    let line = settings.lines().find_map(|line| line.strip_prefix("token = "));
    Ok(line.context("the settings hold a token")?.trim_matches('"').to_owned())
}
