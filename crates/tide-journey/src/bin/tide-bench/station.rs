//! What a station takes for itself; the capture program is a stand-in, and its own time is not counted.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tempfile::TempDir;
use tide_journey::upload::jpeg;
use tide_journey::{TestServer, TestStation, Upload};

use crate::mib;

/// Size of a photo, in bytes.
const PHOTO_BYTES: usize = 200_000;

/// How long a station is watched while it takes a photo each second, and while it does nothing.
const WATCHED: Duration = Duration::from_secs(60);

/// Prints what a station takes for each photo, at most, and at rest.
pub(crate) fn measure(backlog: u32, waiting: u32) -> anyhow::Result<()> {
    println!("\nStation; photos of 200 KB, the capture program's own time aside");
    let folder = TempDir::with_prefix("tide-bench-")?;
    let program = stand_in(folder.path())?;
    let server = TestServer::start()?;
    at_work(&server, &program)?;
    with_a_backlog(&server, &program, backlog)?;
    with_many_waiting(&server, waiting)?;
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
    let settings = format!("{}\n[upload]\nmax_photos_per_s = 100\n", server.add_station("backlog")?);
    let mut station = with_camera(TestStation::new(&settings)?, program);
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

/// Photos in a folder of the spool.
const FOLDER_PHOTOS: u32 = 1_000;

/// Bytes of a photo that only waits: with its manifest it takes two blocks of the disk.
const TINY_BYTES: usize = 200;

/// How long the start of a station may take until its spool is read to the end.
const LONGEST_START: Duration = Duration::from_secs(600);

/// How soon a station must be ready, whatever waits.
const LONGEST_UNTIL_READY: Duration = Duration::from_secs(2);

/// A station that starts while very many photos wait; nobody answers where it looks for its server.
fn with_many_waiting(server: &TestServer, count: u32) -> anyhow::Result<()> {
    let settings = server.add_station("waiting")?.replace(&format!(":{}", server.port()), ":9");
    let mut station = TestStation::new(&settings)?.with("TIDE_INTERVAL_S", "1");
    make_waiting(&station.data().join("spool"), count)?;
    let began = Instant::now();
    station.run()?;
    let ready = since_logged(&station, began, "running")?;
    let first = since_logged(&station, began, "took a photo")?;
    let whole = since_logged(&station, began, "read the whole spool")?;
    println!(
        "a start while {count} photos wait: ready after {:.2} s, the first photo after {:.2} s (one is due each second), the \
         whole spool read after {:.1} s, peak {:.1} MiB",
        ready.as_secs_f64(),
        first.as_secs_f64(),
        whole.as_secs_f64(),
        mib(station.running()?.peak_memory_kib()?)
    );
    ensure!(ready < LONGEST_UNTIL_READY, "a start must not depend on what waits");
    let log = station.log();
    let said = log.lines().find(|line| line.contains("read the whole spool")).unwrap_or_default();
    // Photos that were taken meanwhile wait too.
    let waiting = said.split("found.waiting=").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
    ensure!(waiting.is_some_and(|waiting| waiting >= count), "not all photos are seen: {said}");
    station.stop()
}

/// Makes the files of photos that wait, as a spool does.
fn make_waiting(spool: &Path, count: u32) -> anyhow::Result<()> {
    for number in 0..count {
        let folder = spool.join(format!("{:07}", number / FOLDER_PHOTOS));
        if number % FOLDER_PHOTOS == 0 {
            fs::create_dir_all(&folder)?;
        }
        let photo = Upload::made_up("waiting", number, TINY_BYTES)?;
        fs::write(folder.join(format!("{number:010}.jpg")), &photo.image)?;
        fs::write(folder.join(format!("{number:010}.json")), &photo.manifest)?;
        if (number + 1) % 100_000 == 0 {
            println!("  {} of {count} photos made", number + 1);
        }
    }
    Ok(())
}

/// The time from `began` until the station's log says this.
fn since_logged(station: &TestStation, began: Instant, what: &str) -> anyhow::Result<Duration> {
    while !station.log().contains(what) {
        ensure!(began.elapsed() < LONGEST_START, "waited in vain for `{what}`: {}", station.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(began.elapsed())
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
    Ok(with_camera(TestStation::new(&server.add_station(name)?)?, program))
}

fn with_camera(station: TestStation, program: &Path) -> TestStation {
    station.with("TIDE_CAMERA", "usb").with("TIDE_CAMERA_PROGRAM", program.display().to_string())
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
