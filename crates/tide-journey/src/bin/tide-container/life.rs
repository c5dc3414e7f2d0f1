//! A server from its first start on: photos come, are looked at, outlive the container, and a full disk is told.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use tide_journey::TestStation;
use tide_journey::container::{Deployment, Shell, docker};
use tide_journey::mounts::{Mount, make_ext4};
use tide_journey::programs::output;

use crate::{claims, looking};

/// Photos that the station takes before it is looked at: fewer than a page holds.
const PHOTOS: u32 = 24;

pub(crate) fn run(image: &str, pictures: Option<&Path>) -> anyhow::Result<String> {
    let deployment = Deployment::of(image, None, None)?;
    let shut = claims::running(&deployment)?;
    let healthy = deployment.until_engine_says("healthy")?;
    let mut station = TestStation::new(&deployment.tide_server(&["station", "add", "pier-3", "--config"])?)?;
    deliver(&mut station, "2026-05-31T06:00:00Z")?;
    let seen = looking::gallery(&deployment, PHOTOS as usize, pictures)?;
    let (certificate, before) = (deployment.certificate()?, looking::digests(&deployment)?);
    ensure!(before.len() == PHOTOS as usize, "{} photos arrived of {PHOTOS}", before.len());

    deployment.compose(&["down"])?;
    deployment.compose(&["up", "-d"])?;
    deployment.until_serving()?;
    ensure!(deployment.certificate()? == certificate, "it has another certificate after it was taken down");
    ensure!(looking::digests(&deployment)? == before, "other photos after it was taken down");
    // The station knows nothing of that.
    deliver(&mut station, "2026-05-31T18:00:00Z")?;
    let found = deployment.check()?;
    let clean = serde_json::json!({"photos": 2 * PHOTOS, "missing": [], "damaged": [], "unlisted": []});
    ensure!(found == clean, "the check found {found}");

    for again in [deployment.init(image)?, deployment.init_elsewhere(image)?] {
        ensure!(!again.contains("Password"), "the command was run again, and shows a password: {again}");
        deployment.until_serving()?;
        ensure!(deployment.certificate()? == certificate, "another certificate after the command ran again");
        let photos = looking::digests(&deployment)?.len();
        ensure!(photos == 2 * PHOTOS as usize, "{photos} photos are left after the command ran again");
    }
    keeps_what_was_changed_by_hand(&deployment, image)?;
    Ok(format!(
        "{shut}; healthy after {} s; {PHOTOS} photos of a station, {seen}; after `down` and `up` the same photos, certificate and \
         password, {PHOTOS} more arrived, every byte checked; the command run again keeps all",
        healthy.as_secs()
    ))
}

/// A compose file with somebody's changes is not replaced: the command says where they belong.
fn keeps_what_was_changed_by_hand(deployment: &Deployment, image: &str) -> anyhow::Result<()> {
    let file = deployment.folder().join("docker-compose.yml");
    let changed = fs::read_to_string(&file)?.replace("data:/data", "/mnt/disk:/data");
    fs::write(&file, &changed)?;
    let refused = deployment.init(image).err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(refused.contains("docker-compose.override.yml"), "a compose file changed by hand: {refused}");
    ensure!(fs::read_to_string(&file)? == changed, "a compose file that was changed by hand is replaced");
    // It goes by the file that it was made by.
    Ok(fs::write(&file, changed.replace("/mnt/disk:/data", "data:/data"))?)
}

/// A server that PowerShell has put there, with a password chosen beforehand: nobody can be asked.
pub(crate) fn by_powershell(image: &str) -> anyhow::Result<String> {
    let deployment = Deployment::by(Shell::PowerShell, image, None, Some("a password for the pier"))?;
    let mut station = TestStation::new(&deployment.tide_server(&["station", "add", "pier-3", "--config"])?)?;
    deliver(&mut station, "2026-05-31T06:00:00Z")?;
    let before = looking::digests(&deployment)?;
    ensure!(before.len() == PHOTOS as usize, "{} photos arrived of {PHOTOS}", before.len());
    let again = deployment.init(image)?;
    ensure!(!again.contains("Password"), "the command was run again, and shows a password: {again}");
    deployment.until_serving()?;
    ensure!(looking::digests(&deployment)? == before, "other photos after the command ran again");
    Ok(format!("{PHOTOS} photos of a station, seen with the chosen password; the command run again keeps all"))
}

fn deliver(station: &mut TestStation, from: &str) -> anyhow::Result<()> {
    station.shoot(&["--count", &PHOTOS.to_string(), "--from", from, "--every", "600"])?;
    station.run()?;
    station.until_delivered()?;
    station.stop()
}

/// Size of the small disk in bytes; the server leaves 128 MiB free.
const DISK_BYTES: u64 = 256 * 1_024 * 1_024;

/// The volume lies on a small disk, which somebody else fills.
pub(crate) fn full_disk(image: &str) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let (file, at) = (folder.path().join("disk"), folder.path().join("mounted"));
    make_ext4(&file, DISK_BYTES)?;
    fs::create_dir(&at)?;
    let disk = Mount::image(&file, &at)?;
    let data = disk.at().join("data");
    fs::create_dir(&data)?;
    output(Command::new("chown").arg("10001:10001").arg(&data))?;
    let overrides = format!(
        "volumes:\n  data:\n    driver: local\n    driver_opts: {{type: none, o: bind, device: {}}}\n",
        data.display()
    );
    let deployment = Deployment::of(image, Some(&overrides), None)?;
    let healthy = deployment.until_engine_says("healthy")?;
    let filler = disk.at().join("somebody-elses");
    output(Command::new("fallocate").args(["--length", "120M"]).arg(&filler))?;
    let unhealthy = deployment.until_engine_says("unhealthy")?;
    let words = claims::health(&deployment.facts()?);
    ensure!(words.contains("disk is full"), "the engine's log says: {words}");
    fs::remove_file(&filler)?;
    let again = deployment.until_engine_says("healthy")?;
    drop(deployment);
    Ok(format!(
        "healthy after {} s; with the disk full unhealthy after {} s, and the engine's log says why; healthy again after {} s",
        healthy.as_secs(),
        unhealthy.as_secs(),
        again.as_secs()
    ))
}

/// The other architecture's container starts, is well, and takes a station's photos.
pub(crate) fn foreign(image: &str) -> anyhow::Result<String> {
    let version = docker(&["run", "--rm", image, "--version"])?;
    let deployment = Deployment::of(image, None, None)?;
    let machine = machine_of(&deployment)?;
    let mut station = TestStation::new(&deployment.tide_server(&["station", "add", "pier-3", "--config"])?)?;
    deliver(&mut station, "2026-05-31T06:00:00Z")?;
    let found = deployment.check()?;
    ensure!(found["photos"] == PHOTOS && found["damaged"] == serde_json::json!([]), "the check found {found}");
    Ok(format!("{} for {machine}: serves, {PHOTOS} photos of a station arrived, every byte checked", version.trim()))
}

/// What its program is made for, by the program's own head.
fn machine_of(deployment: &Deployment) -> anyhow::Result<&'static str> {
    let file = deployment.folder().join("tide-server");
    let name = deployment.facts()?["Id"].as_str().context("it has no name")?.to_owned();
    let to = file.to_str().context("a path is no text")?;
    docker(&["cp", &format!("{name}:/usr/bin/tide-server"), to])?;
    let head = fs::read(&file)?;
    // The ELF header's e_machine, of the generic ABI.
    match head.get(18..20) {
        Some([0x3e, 0]) => Ok("x86_64"),
        Some([0xb7, 0]) => Ok("aarch64"),
        other => anyhow::bail!("its program is for machine {other:?}"),
    }
}
