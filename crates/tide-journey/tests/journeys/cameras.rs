//! Cameras that are programs: one that fails in every way it can, and the real fswebcam.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use image::ImageReader;
use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;
use tide_journey::needs::{Need, journey};
use tide_journey::programs::{failure, output, until};
use tide_journey::{TestServer, TestStation};

pub(crate) fn journeys() -> Vec<Trial> {
    vec![
        journey("a_camera_that_fails_in_every_way_delays_no_shot", Need::Nothing, failing_camera),
        journey("the_real_fswebcam_takes_what_the_settings_say", Need::Fswebcam, real_fswebcam),
    ]
}

/// Seconds from shot to shot: longer than the camera's limit and what it takes to end one that hangs.
const INTERVAL_S: u64 = 3;

/// What the stand-in for fswebcam does at each call, and what the log then says; after these it takes photos.
const FAILURES: [(&str, &str); 6] = [
    ("(sleep 1000) & echo $! >> \"$folder/numbers\"; echo $$ >> \"$folder/numbers\"; wait", "had not ended after 1 s"),
    ("echo no such device >&2; exit 1", "exit status: 1, saying \\\"no such device\\\""),
    ("echo Unable to find a source", "wrote no photo, saying \\\"Unable to find a source\\\""),
    ("head -c 300 \"$folder/jpeg\" > \"$photo\"", "the JPEG is cut off before its end"),
    ("printf '\\211PNG\\r\\n\\032\\n' > \"$photo\"", "the image is not a JPEG"),
    ("kill -SEGV $$", "signal: 11"),
];

fn failing_camera() -> anyhow::Result<()> {
    let folder = TempDir::with_prefix("tide-camera-program-")?;
    fs::write(folder.path().join("jpeg"), jpeg()?)?;
    let program = stand_in(folder.path())?;
    let server = TestServer::start()?;
    let alarm = folder.path().join("alarm");
    let camera = format!(
        "kind = 'usb'\nprogram = '{}'\nlimit_s = 1\non_failure = 'command'\nfailure_command = ['touch', '{}']",
        program.display(),
        alarm.display()
    );
    let mut station = TestStation::new(&server.add_station("pier-3")?)?
        .with_camera(&camera)?
        .with("TIDE_INTERVAL_S", INTERVAL_S.to_string());
    station.run()?;
    let calls = || fs::read_to_string(folder.path().join("calls")).unwrap_or_default();
    until("two photos were taken after the failures", || Ok(calls().lines().count() >= FAILURES.len() + 2))
        .with_context(|| format!("the station's log: {}", station.log()))?;
    station.stop()?;

    let log = station.log();
    for (_, why) in FAILURES {
        ensure!(log.contains(why) || log.contains(&why.replace('\\', "")), "the log does not say {why}: {log}");
    }
    ensure!(log.contains("failed 3 times in a row") && alarm.exists(), "nobody was called: {log}");
    let intervals: Vec<u64> =
        calls().lines().map(|second| second.parse::<u64>().map(|s| s / INTERVAL_S)).collect::<Result<_, _>>()?;
    ensure!(intervals.windows(2).all(|two: &[u64]| two[0] + 1 == two[1]), "a shot was late or missing: {intervals:?}");
    let numbers = fs::read_to_string(folder.path().join("numbers"))?;
    let lives = |number: &str| {
        let state = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        state.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
    };
    ensure!(numbers.lines().count() == 2 && !numbers.lines().any(lives), "a program hangs on: {numbers}");
    Ok(())
}

/// A program with fswebcam's command line that notes the second of each call, and fails in each way in turn.
fn stand_in(folder: &Path) -> anyhow::Result<PathBuf> {
    let path = folder.join("fswebcam");
    let ways: Vec<String> = FAILURES.iter().enumerate().map(|(at, (way, _))| format!("{}) {way};;", at + 1)).collect();
    let script = format!(
        "#!/bin/sh\nfolder='{}'\nfor photo; do :; done\ndate +%s >> \"$folder/calls\"\n\
         case $(wc -l < \"$folder/calls\") in\n{}\n*) cp \"$folder/jpeg\" \"$photo\";;\nesac\n",
        folder.display(),
        ways.join("\n")
    );
    // Written by another process: a file that this one had open to write could not be run while another journey forks.
    output(
        Command::new("sh").args(["-c", "printf %s \"$2\" > \"$1\" && chmod 700 \"$1\"", "sh"]).arg(&path).arg(script),
    )?;
    Ok(path)
}

/// A photo of nothing.
fn jpeg() -> anyhow::Result<Vec<u8>> {
    let mut jpeg = Cursor::new(Vec::new());
    image::RgbImage::new(64, 64).write_to(&mut jpeg, image::ImageFormat::Jpeg)?;
    Ok(jpeg.into_inner())
}

fn real_fswebcam() -> anyhow::Result<()> {
    let server = TestServer::start()?;
    let settings = server.add_station("pier-3")?;
    let camera = "kind = 'usb'\ndevice = 'TEST'\nlimit_s = 60\nskip_frames = 2\nrotation = 180\n\
        controls = { brightness = '50%' }";
    for (size, more) in [((1_280, 640), ""), ((320, 240), "\nwidth = 320\nheight = 240\nquality = 80")] {
        let station = TestStation::new(&settings)?.with_camera(&format!("{camera}{more}"))?;
        station.shoot(&["--count", "2"])?;
        for photo in station.files("jpg")? {
            let path = station.data().join("spool").join(photo);
            let picture = ImageReader::open(&path)?.with_guessed_format()?.decode()?.to_rgb8();
            ensure!(picture.dimensions() == size);
            // Eight bars, white at the left and black at the right, turned upside down.
            let (left, right) = (picture.get_pixel(5, 5).0, picture.get_pixel(size.0 - 5, 5).0);
            ensure!(left.iter().all(|part| *part < 30) && right.iter().all(|part| *part > 225), "{left:?} {right:?}");
            let manifest: Value = serde_json::from_str(&fs::read_to_string(path.with_extension("json"))?)?;
            ensure!(manifest["camera"] == "usb");
        }
    }
    // Where there is no camera, it ends as if all were well.
    let station = TestStation::new(&settings)?.with_camera("kind = 'usb'\ndevice = '/dev/no-camera'\nlimit_s = 60")?;
    let said = failure(station.command()?.arg("shoot"))?;
    ensure!(said.contains("wrote no photo") && said.contains("/dev/no-camera"), "{said}");
    ensure!(station.waiting()? == 0);
    Ok(())
}
