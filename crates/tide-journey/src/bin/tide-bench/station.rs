//! What a station takes for itself; the capture program is a stand-in, and its own time is not counted.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use tempfile::TempDir;
use tide_journey::upload::jpeg;
use tide_journey::{TestServer, TestStation};

use crate::mib;

/// Size of a photo, in bytes.
const PHOTO_BYTES: usize = 200_000;

/// How long a station is watched while it takes a photo each second, and while it does nothing.
const WATCHED: Duration = Duration::from_secs(60);

/// Prints what a station takes for each photo, at most, and at rest.
pub(crate) fn measure(backlog: u32) -> anyhow::Result<()> {
    println!("\nStation; photos of 200 KB, the capture program's own time aside");
    let folder = TempDir::with_prefix("tide-bench-")?;
    let program = stand_in(folder.path())?;
    let server = TestServer::start()?;
    at_work(&server, &program)?;
    with_a_backlog(&server, &program, backlog)?;
    at_rest(&server, &program)
}

fn at_work(server: &TestServer, program: &Path) -> anyhow::Result<()> {
    let mut station = station(server, "at-work", program)?.with("TIDE_INTERVAL_S", "1");
    station.run()?;
    std::thread::sleep(WATCHED);
    let running = station.running()?;
    let (cpu_ms, peak) = (running.cpu_ms()?, mib(running.peak_memory_kib()?));
    let photos = station.log().matches("delivered a photo").count();
    ensure!(photos > 30, "only {photos} photos were delivered: {}", station.log());
    println!(
        "taken and delivered, one each second: {photos} photos, {:.2} ms of CPU each, peak {peak:.1} MiB",
        cpu_ms as f64 / photos as f64
    );
    station.stop()
}

fn with_a_backlog(server: &TestServer, program: &Path, photos: u32) -> anyhow::Result<()> {
    let mut station = station(server, "backlog", program)?;
    station.shoot(&["--count", &photos.to_string()])?;
    station.run()?;
    station.until_delivered()?;
    let running = station.running()?;
    println!(
        "a backlog delivered: {photos} photos, {:.2} ms of CPU each, peak {:.1} MiB",
        running.cpu_ms()? as f64 / f64::from(photos),
        mib(running.peak_memory_kib()?)
    );
    station.stop()
}

fn at_rest(server: &TestServer, program: &Path) -> anyhow::Result<()> {
    let mut station = station(server, "at-rest", program)?;
    station.run()?;
    std::thread::sleep(Duration::from_secs(2));
    let before_ms = station.running()?.cpu_ms()?;
    std::thread::sleep(WATCHED);
    let cpu_ms = station.running()?.cpu_ms()? - before_ms;
    println!(
        "at rest: {:.3} % of a processor, {:.1} MiB",
        cpu_ms as f64 / (WATCHED.as_millis() as f64) * 100.0,
        mib(station.running()?.memory_kib()?)
    );
    station.stop()
}

fn station(server: &TestServer, name: &str, program: &Path) -> anyhow::Result<TestStation> {
    let station = TestStation::new(&server.add_station(name)?)?;
    Ok(station.with("TIDE_CAMERA", "usb").with("TIDE_CAMERA_PROGRAM", program.display().to_string()))
}

/// A program that is called as fswebcam is, and gives a photo of its own each time: a number in its first comment differs.
fn stand_in(folder: &Path) -> anyhow::Result<std::path::PathBuf> {
    let photo = jpeg(PHOTO_BYTES, 1);
    // Behind the start of the image comes a comment of four bytes' head.
    let (head, rest) = photo.split_at(2);
    fs::write(folder.join("head"), head)?;
    fs::write(folder.join("rest"), rest)?;
    let program = folder.join("stand-in");
    let script = format!(
        "#!/bin/sh\nfor out; do :; done\nnumber=$(date +%s%N)\nexec 3>\"$out\"\ncat '{0}/head' >&3\nprintf \
         '\\377\\376\\000\\025%s' \"$number\" >&3\ncat '{0}/rest' >&3\n",
        folder.display()
    );
    fs::write(&program, script)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(program)
}
