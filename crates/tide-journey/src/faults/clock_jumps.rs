//! F8: a station's clock is set while it works. The real program runs under `libfaketime`, which answers for the wall clock; the clock
//! that is never set stays the kernel's own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, ensure};
use rustix::process::Signal;
use tempfile::TempDir;
use tide_photo::Manifest;

use super::{Fault, Plan, Seen, wait_for};
use crate::needs::{Need, fake_time};
use crate::programs::until;
use crate::{TestServer, TestStation};

pub(super) const FAULT: Fault = Fault {
    number: "F8",
    name: "clock-jumps",
    need: Need::FakeTime,
    about: "a station's clock is set by hours and years while it works: no photo lost, none over another, no burst, no stall",
    long_rounds: 20,
    short_rounds: 1,
    run,
};

/// Seconds from photo to photo.
const INTERVAL_S: u64 = 2;

/// The least from photo to photo. The schedule keeps half an interval, by when a shot was due; the rest is for a busy machine.
const LEAST_GAP_US: u64 = INTERVAL_S * 1_000_000 * 3 / 10;

/// 2000-01-01T00:00:00Z in seconds: where many a clock begins that has lost its time.
const YEAR_2000_S: i64 = 946_684_800;

/// How far the clock is set, one after the other, from the year 2000 on. Even after the last one the server's certificate
/// is not valid yet.
const JUMPS_S: [(&str, i64); 4] = [("-1 h", -3_600), ("-1 day", -86_400), ("+20 years", 20 * 31_557_600), ("+7 s", 7)];

/// Photos taken before the clock is set once more.
const PHOTOS_BETWEEN: usize = 3;

fn run(plan: Plan) -> anyhow::Result<Seen> {
    let mut photos = 0;
    for _ in 0..plan.rounds {
        photos += round()?;
    }
    Ok(Seen(format!(
        "{} rounds of a boot in 2000 and {} jumps; {photos} photos, all there once, in the order they were taken in",
        plan.rounds,
        JUMPS_S.len()
    )))
}

/// Photos that one station took and the server has.
fn round() -> anyhow::Result<u64> {
    let server = TestServer::start()?;
    let clock = FakeClock::new()?;
    let mut station = clock.station(&server.add_station("pier-3")?)?;
    let mut set_to_s = YEAR_2000_S - now_s()?;
    clock.ahead_by(set_to_s)?;
    station.run()?;
    take_some(&station)?;
    for (_, jump_s) in JUMPS_S {
        set_to_s += jump_s;
        clock.ahead_by(set_to_s)?;
        take_some(&station)?;
    }
    station.stop()?;
    let log = station.log();
    // The uploader's own sentence, told at the first offer; the status report, which says it in other words, comes when chance has it.
    let said = "the station's clock is wrong: the server's certificate is not valid";
    ensure!(log.contains(said), "the certificate is not valid yet, and the log does not say so: {log}");
    ensure!(!log.contains("delivered a photo"), "a photo was delivered over TLS that could not be trusted");
    let manifests = manifests(&station)?;
    in_order(&manifests)?;

    // The clock is put right, and set once more in the middle of the uploads.
    clock.ahead_by(0)?;
    station.run()?;
    until("uploads are under way", || Ok(station.log().contains("delivered a photo")))?;
    server.signal(Signal::STOP)?;
    clock.ahead_by(-86_400 / 2)?;
    server.signal(Signal::CONT)?;
    station.until_delivered()?;
    station.stop()?;
    compare(&server, &manifests)
}

/// Every photo of the ledger is there, and every photo once.
fn compare(server: &TestServer, ledger: &[Manifest]) -> anyhow::Result<u64> {
    let photos = wait_for(async { server.log_in().await?.photos().await })?;
    let digests: BTreeSet<&str> = photos.iter().filter_map(|photo| photo["digest"].as_str()).collect();
    let names: BTreeSet<&str> = photos.iter().filter_map(|photo| photo["filename"].as_str()).collect();
    ensure!(digests.len() == photos.len() && names.len() == photos.len(), "two photos share a name or are one");
    for manifest in ledger {
        let digest = manifest.digest.to_string();
        let photo = photos.iter().find(|photo| photo["digest"] == digest.as_str());
        let photo = photo.with_context(|| format!("photo {} is not on the server", manifest.sequence))?;
        ensure!(photo["timestamp"] == manifest.captured_at.to_string(), "photo {} has another time", manifest.sequence);
        ensure!(photo["clock_source"] == manifest.clock.source().as_str(), "another source of its time");
    }
    let photos = photos.len() as u64;
    server.expect_clean(photos)?;
    Ok(photos)
}

/// Waits until a few more photos are in the spool.
fn take_some(station: &TestStation) -> anyhow::Result<()> {
    // Before its first photo it has no spool.
    let before = station.waiting().unwrap_or_default();
    until("the station takes photos", || Ok(station.waiting().is_ok_and(|now| now >= before + PHOTOS_BETWEEN)))
        .with_context(|| format!("its log: {}", station.log()))
}

/// The spool's manifests by number.
fn manifests(station: &TestStation) -> anyhow::Result<Vec<Manifest>> {
    let spool = station.data().join("spool");
    station.files("json")?.iter().map(|name| Ok(Manifest::from_json(&fs::read(spool.join(name))?)?)).collect()
}

/// By number, photos follow each other on the clock that is never set, neither too soon nor with a gap that nobody counted.
fn in_order(manifests: &[Manifest]) -> anyhow::Result<()> {
    let mut backwards = 0;
    for pair in manifests.windows(2) {
        let [one, next] = pair else { continue };
        ensure!(one.sequence < next.sequence && one.boot_id == next.boot_id, "{one:?} {next:?}");
        let gap_us = next.monotonic_us.checked_sub(one.monotonic_us).context("a later photo was taken earlier")?;
        ensure!(gap_us >= LEAST_GAP_US, "a burst: {gap_us} us between {one:?} and {next:?}");
        backwards += usize::from(next.captured_at < one.captured_at);
    }
    let set_back = JUMPS_S.iter().filter(|(_, jump_s)| *jump_s < 0).count();
    ensure!(backwards == set_back, "the clock was set back {set_back} times, and photos show {backwards}");
    Ok(())
}

/// The wall clock of whoever runs with it.
struct FakeClock {
    folder: TempDir,
    library: PathBuf,
}

impl FakeClock {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { folder: TempDir::with_prefix("tide-clock-")?, library: fake_time()? })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ahead")
    }

    /// From now on it is ahead of the true one by so many seconds.
    fn ahead_by(&self, seconds: i64) -> anyhow::Result<()> {
        // Renamed, so that nobody reads half of it.
        let part = self.folder.path().join("part");
        fs::write(&part, format!("{seconds:+}"))?;
        Ok(fs::rename(part, self.file())?)
    }

    fn station(&self, tide_toml: &str) -> anyhow::Result<TestStation> {
        let text = |path: &Path| path.display().to_string();
        Ok(TestStation::new(tide_toml)?
            .with("TIDE_INTERVAL_S", INTERVAL_S.to_string())
            .with("LD_PRELOAD", text(&self.library))
            .with("FAKETIME_TIMESTAMP_FILE", text(&self.file()))
            .with("FAKETIME_NO_CACHE", "1")
            .with("FAKETIME_DONT_FAKE_MONOTONIC", "1"))
    }
}

fn now_s() -> anyhow::Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs())?)
}
