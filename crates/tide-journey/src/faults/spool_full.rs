//! F5: the station's disk has no room for its photos, or takes none, while the server is away.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use super::{Fault, Plan, Seen, wait_for};
use crate::mounts::Mount;
use crate::needs::Need;
use crate::programs::until;
use crate::{TestServer, TestStation};

pub(super) const FAULT: Fault = Fault {
    number: "F5",
    name: "spool-full",
    need: Need::Mounts,
    about: "the spool is full, or its disk read-only: captures go on, and every photo is delivered or counted as dropped",
    long_rounds: 500,
    short_rounds: 30,
    run,
};

/// Captures for each photo that has room, about.
const CAPTURES_PER_PLACE: u64 = 10;

/// A disk in memory with room enough, and what of one is the system's.
const DISK_BYTES: u64 = 4 * 1_024 * 1_024;
const RESERVE_BYTES: u64 = 2 * 1_024 * 1_024;

/// Settings that deliver without the pauses that a server may want.
const QUICKLY: &str = "[upload]\nmax_photos_per_s = 100\n";

/// What a picture of the test camera takes with its manifest, about, in bytes.
const PHOTO_BYTES: u64 = 20 * 1_024;

fn run(plan: Plan) -> anyhow::Result<Seen> {
    let room_bytes = (u64::from(plan.rounds) / CAPTURES_PER_PLACE).max(2) * PHOTO_BYTES;
    let quota = format!("max_bytes = {room_bytes}\nmin_free_bytes = 0");
    let reserve = format!("min_free_bytes = {RESERVE_BYTES}");
    let mut seen = Vec::new();
    for (name, limit, disk_bytes) in [("quota", &quota, DISK_BYTES), ("reserve", &reserve, RESERVE_BYTES + room_bytes)]
    {
        for may_drop in [false, true] {
            let outcome = fill(plan.rounds, limit, disk_bytes, may_drop);
            let figures = outcome.with_context(|| format!("{name}, drop_undelivered = {may_drop}"))?;
            seen.push(format!("{name}, drop_undelivered = {may_drop}: {figures}"));
        }
    }
    seen.push(format!("read-only: {}", take_no_writes().context("the disk took no writes")?));
    Ok(Seen(seen.join("; ")))
}

/// Captures without a server on a small disk; then the server is back.
fn fill(captures: u32, limit: &str, disk_bytes: u64, may_drop: bool) -> anyhow::Result<String> {
    let (mut server, folder) = (TestServer::start()?, TempDir::with_prefix("tide-disk-")?);
    let disk = Mount::tmpfs(folder.path(), disk_bytes)?;
    let settings =
        format!("{}\n[disk]\n{limit}\ndrop_undelivered = {may_drop}\n{QUICKLY}", server.add_station("pier-3")?);
    let mut station = TestStation::new(&settings)?.with_data(&folder.path().join("data"));
    server.stop()?;
    let output = station.command()?.args(["shoot", "--count", &captures.to_string()]).output()?;
    let (printed, told) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    let printed: Vec<&str> = printed.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    let given_up = told.lines().filter(|line| line.contains("the photo is given up, and counted")).count();
    ensure!(printed.len() + given_up == captures as usize, "only {} + {given_up} captures: {told}", printed.len());
    let free_bytes = free_bytes(disk.at())?;
    ensure!(!limit.starts_with("min_free") || free_bytes >= RESERVE_BYTES, "{free_bytes} bytes are left to the system");
    let (waiting, dropped) = (station.waiting()?, station.counted("dropped")?);
    ensure!(waiting as u64 + dropped == u64::from(captures), "{waiting} wait and {dropped} are counted as dropped");
    ensure!(output.status.success() == (given_up == 0), "it ended with {}: {told}", output.status);
    let summary = format!("{given_up} of {captures} photos were given up");
    ensure!(given_up == 0 || told.contains(&summary), "it does not say `{summary}`: {told}");
    ensure!(
        waiting > 0 && dropped > 0 && (given_up == 0) == may_drop,
        "{dropped} dropped, {given_up} of them when taken"
    );
    server.restart()?;
    station.run()?;
    expect_status(&station, dropped)?;
    station.until_delivered()?;
    station.stop()?;
    let kept = if may_drop { &printed[printed.len() - waiting..] } else { &printed[..] };
    let held = held(&server)?;
    let kept: BTreeSet<&str> = kept.iter().copied().collect();
    ensure!(held.iter().map(String::as_str).eq(kept), "{} photos are held, not the {waiting} that waited", held.len());
    ensure!(station.counted("dropped")? == dropped, "the count changed later");
    Ok(format!("{captures} captures, {} delivered, {dropped} counted as dropped", held.len()))
}

/// A station at work on a disk that is made read-only, and writable again.
fn take_no_writes() -> anyhow::Result<String> {
    let (mut server, folder) = (TestServer::start()?, TempDir::with_prefix("tide-disk-")?);
    let disk = Mount::tmpfs(folder.path(), DISK_BYTES)?;
    let settings = format!("{}\n[disk]\nmin_free_bytes = 0\n", server.add_station("pier-3")?);
    let station = TestStation::new(&settings)?.with_data(&folder.path().join("data"));
    server.stop()?;
    let mut station = station.with("TIDE_INTERVAL_S", "1");
    station.run()?;
    let taken = |station: &TestStation| station.log().matches("took a photo").count();
    let more = |station: &TestStation, photos: usize| {
        let before = taken(station);
        until("more photos are taken", || Ok(taken(station) >= before + photos))
    };
    more(&station, 2)?;
    // A file may be open for writing at this moment.
    until("the disk is read-only", || Ok(disk.set_read_only(true).is_ok()))?;
    let on_disk = station.waiting()?;
    more(&station, 4)?;
    ensure!(station.waiting()? == on_disk, "the disk was not read-only");
    disk.set_read_only(false)?;
    until("the photos are on the disk", || Ok(station.waiting()? > on_disk + 4))?;
    station.stop()?;
    let log = station.log();
    for said in ["they wait in memory", "the disk takes photos again"] {
        ensure!(log.matches(said).count() == 1, "`{said}` is not said once: {log}");
    }
    let photos = taken(&station);
    ensure!(station.waiting()? == photos && station.counted("dropped")? == 0, "{photos} photos were taken");
    server.restart()?;
    let mut station = station.with("TIDE_INTERVAL_S", "86400");
    station.run()?;
    station.until_delivered()?;
    station.stop()?;
    ensure!(held(&server)?.len() == photos);
    Ok(format!("{photos} photos, {} of them from memory, all delivered", photos - on_disk))
}

/// What a person at the console is told.
fn expect_status(station: &TestStation, dropped: u64) -> anyhow::Result<()> {
    until("the recorder says how it is", || {
        let output = station.command()?.args(["status", "--json"]).output()?;
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let told = status["spool"]["dropped"].as_u64();
        ensure!(told.is_none_or(|told| told == dropped), "the status says {told:?} dropped, not {dropped}");
        Ok(told.is_some())
    })
}

fn held(server: &TestServer) -> anyhow::Result<BTreeSet<String>> {
    let photos: Vec<serde_json::Value> =
        wait_for(async { Ok(server.log_in().await?.get("/photos").await?.json().await?) })?;
    let held: BTreeSet<String> =
        photos.iter().filter_map(|photo| photo["digest"].as_str()).map(str::to_owned).collect();
    ensure!(held.len() == photos.len(), "a photo is held twice");
    Ok(held)
}

fn free_bytes(at: &Path) -> anyhow::Result<u64> {
    let found = rustix::fs::statvfs(at)?;
    Ok(found.f_bavail * found.f_frsize)
}
