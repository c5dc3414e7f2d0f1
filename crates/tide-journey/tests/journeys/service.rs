//! The station as a service: what the service manager hears, what a person at the console reads, how it stops.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
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
        journey("a_station_stops_with_its_shot_in_hand_or_without_one_that_hangs", Need::Nothing, stop_in_a_shot),
        journey("the_stations_units_may_do_no_more_than_they_need", Need::Program("systemd-analyze"), hardened),
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
    ensure!(asked.elapsed() < TIME_TO_STOP, "it stops within 5 s, not {:?}", asked.elapsed());
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

/// What the service manager allows (`TimeoutStopSec` of the unit).
const TIME_TO_STOP: Duration = Duration::from_secs(5);

fn stop_in_a_shot() -> anyhow::Result<()> {
    let folder = TempDir::with_prefix("tide-camera-program-")?;
    let jpeg = folder.path().join("jpeg");
    image::RgbImage::new(64, 64).save_with_format(&jpeg, image::ImageFormat::Jpeg)?;
    let server = TestServer::start()?;
    for (name, takes, photos) in [("quick", "sleep 1", 1), ("hangs", "sleep 1000", 0)] {
        let begun = folder.path().join(format!("{name}-begun"));
        let script = format!(
            "#!/bin/sh\nfor photo; do :; done\ntouch '{}'\n{takes}\ncp '{}' \"$photo\"\n",
            begun.display(),
            jpeg.display()
        );
        let program = executable(&folder.path().join(name), &script)?;
        let camera = format!("kind = 'usb'\nlimit_s = 60\nprogram = '{}'", program.display());
        let mut station = TestStation::new(&server.add_station(name)?)?
            .with_camera(&camera)?
            .with("TIDE_INTERVAL_S", "2")
            .with("TIDE_SERVER_URL", "https://127.0.0.1:1");
        station.run()?;
        until("a shot is in hand", || Ok(begun.exists()))?;
        let asked = Instant::now();
        station.stop()?;
        ensure!(asked.elapsed() < TIME_TO_STOP, "{name}: it took {:?}", asked.elapsed());
        ensure!(station.waiting()? == photos, "{name}: {} photos wait: {}", station.waiting()?, station.log());
    }
    Ok(())
}

/// A program of this script. Another process writes it: a file that this one had open to write could not be run while another
/// journey forks.
fn executable(path: &Path, script: &str) -> anyhow::Result<PathBuf> {
    let write = ["-c", "printf %s \"$2\" > \"$1\" && chmod 700 \"$1\"", "sh"];
    output(Command::new("sh").args(write).arg(path).arg(script))?;
    Ok(path.to_owned())
}

fn hardened() -> anyhow::Result<()> {
    let overlays = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../overlays");
    for unit in ["station/{}/tide-recorder.service", "time/{}/gps-to-rtc.service", "time/{}/rtc-to-clock.service"] {
        let unit = overlays.join(unit.replace("{}", "usr/lib/systemd/system"));
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(["security", "--offline=true", "--no-pager", "--threshold", MAX_EXPOSURE]).arg(unit);
        output(&mut analyze)?;
    }
    Ok(())
}
