//! The station as a service: what the service manager hears, what a person at the console reads, how it stops.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use tempfile::TempDir;
use tide_journey::needs::{Need, journey};
use tide_journey::programs::{failure, output, until};
use tide_journey::{TestServer, TestStation};

pub(crate) fn journeys() -> Vec<Trial> {
    vec![
        journey("the_service_manager_hears_of_start_life_and_end", Need::Nothing, notify),
        journey("a_person_at_the_console_asks_the_station_how_it_is", Need::Nothing, console),
        journey("the_stations_unit_may_do_no_more_than_it_needs", Need::Program("systemd-analyze"), hardened),
    ]
}

/// Exposure that the unit may have, in tenths, by `systemd-analyze security`: 0 is none, 100 the most.
const MAX_EXPOSURE: &str = "25";

fn notify() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut heard = String::new();
    let mut hear = |word: &str| -> anyhow::Result<()> {
        let mut bytes = [0; 1_024];
        while !heard.contains(word) {
            let length = socket.recv(&mut bytes).with_context(|| format!("{word} is not said, but {heard:?}"))?;
            heard += &String::from_utf8_lossy(&bytes[..length]);
        }
        Ok(())
    };
    let server = TestServer::start()?;
    let mut station =
        TestStation::new(&server.add_station("pier-3")?)?.with("NOTIFY_SOCKET", path.to_str().context("a path")?);
    station.run()?;
    hear("READY=1")?;
    hear("WATCHDOG=1")?;
    let asked = Instant::now();
    station.stop()?;
    hear("STOPPING=1")?;
    ensure!(asked.elapsed() < Duration::from_secs(5), "it stops within 5 s, not {:?}", asked.elapsed());
    Ok(())
}

fn console() -> anyhow::Result<()> {
    let server = TestServer::start()?;
    let mut station = TestStation::new(&server.add_station("pier-3")?)?.with("TIDE_INTERVAL_S", "1");
    let said = failure(station.command()?.arg("status"))?;
    ensure!(said.contains("no tide-recorder is running"), "{said}");
    station.run()?;
    let ask = |station: &TestStation| output(station.command()?.arg("status"));
    until("a photo is delivered", || {
        Ok(ask(&station).is_ok_and(|page| page.contains("last photo") && page.contains("last receipt")))
    })?;
    let page = ask(&station)?;
    ensure!(page.starts_with("pier-3, tide-recorder ") && page.contains("  disk       "), "{page}");
    let json: serde_json::Value = serde_json::from_str(&output(station.command()?.args(["status", "--json"]))?)?;
    ensure!(json["camera"]["kind"] == "synthetic" && json["shots"]["taken"].as_u64() > Some(0), "{json}");
    station.stop()?;
    let said = failure(station.command()?.arg("status"))?;
    ensure!(said.contains("no tide-recorder is running"), "a socket that nobody serves is none: {said}");
    Ok(())
}

fn hardened() -> anyhow::Result<()> {
    let unit =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../overlays/station/usr/lib/systemd/system/tide-recorder.service");
    let mut analyze = std::process::Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--no-pager", "--threshold", MAX_EXPOSURE, unit]);
    output(&mut analyze).map(drop)
}
