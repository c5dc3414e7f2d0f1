//! What a journey needs beside our own programs. Where it is absent the journey is reported as ignored, by name; with
//! `TIDE_TEST_ALL` set, it fails instead.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use libtest_mimic::{Failed, Trial};

use crate::{guest, mounts};

/// Something that may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing but our own programs.
    Nothing,
    /// The real photos of a marsh, beside the project in `../shared/data/gauge`.
    MarshPhotos,
    /// The recordings of real GPS receivers, beside the project in `../shared/data/gps`.
    GpsRecordings,
    /// Debian's gpsd.
    Gpsd,
    /// The same, its `gpsfake`, and the recordings.
    GpsdWithRecordings,
    /// A program that answers to `--version`.
    Program(&'static str),
    /// `exiftool`, which reads what programs write into photos.
    ExifTool,
    /// `libfaketime`, which answers a program's questions for the wall clock.
    FakeTime,
    /// Chromium and its driver.
    Browser,
    /// A Python with the `requests` library.
    PythonRequests,
    /// A Python with tuspy, a tus client.
    PythonTus,
    /// The right to mount disks in memory.
    Mounts,
    /// The right to mount image files, and a kernel that can.
    LoopDevice,
    /// The same, and strace, to kill a program at a system call.
    TracedDisk,
    /// Pebble, an ACME authority for tests.
    Pebble,
    /// fswebcam, with the test picture that it draws without a camera.
    Fswebcam,
    /// QEMU, and Debian's kernel for it to boot; this machine is of that kernel's kind.
    Guest,
}

impl Need {
    /// Whether it is here.
    pub fn is_met(self) -> bool {
        match self {
            Self::Nothing => true,
            Self::MarshPhotos => marsh_photos().is_ok(),
            Self::GpsRecordings => gps_recordings().is_ok(),
            Self::Gpsd => answers("gpsd", &["-V"]) || answers("/usr/sbin/gpsd", &["-V"]),
            Self::GpsdWithRecordings => {
                Self::Gpsd.is_met() && answers("gpsfake", &["-V"]) && Self::GpsRecordings.is_met()
            }
            Self::Program(name) => answers(name, &["--version"]),
            Self::ExifTool => answers("exiftool", &["-ver"]),
            Self::FakeTime => fake_time().is_ok(),
            Self::Browser => answers("chromium", &["--version"]) && answers("chromedriver", &["--version"]),
            Self::PythonRequests => python().is_ok(),
            Self::PythonTus => python_with("tusclient").is_ok(),
            Self::Mounts => mounts::may_mount(false).is_ok(),
            Self::LoopDevice => mounts::may_mount(true).is_ok(),
            Self::TracedDisk => answers("strace", &["--version"]) && mounts::may_mount(true).is_ok(),
            Self::Pebble => answers("pebble", &["-help"]),
            // It ends with a failure after `--version`.
            Self::Fswebcam => answers("fswebcam", &["--device", "TEST", "--resolution", "64x64", "-"]),
            Self::Guest => {
                std::env::consts::ARCH == "x86_64"
                    && guest::folder().is_ok()
                    && answers("qemu-system-x86_64", &["--version"])
            }
        }
    }
}

/// A journey under a name, run if its need is met.
pub fn journey(name: &str, need: Need, journey: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> Trial {
    let everything = std::env::var_os("TIDE_TEST_ALL").is_some();
    let trial = Trial::test(name, move || {
        if !need.is_met() {
            return Err(Failed::from(format!("TIDE_TEST_ALL is set, but {need:?} is not here")));
        }
        journey().map_err(|error| Failed::from(format!("{error:?}")))
    });
    trial.with_ignored_flag(!everything && !need.is_met())
}

/// Folder of the real photos of a marsh.
///
/// # Errors
/// If it is not beside the project.
pub fn marsh_photos() -> anyhow::Result<PathBuf> {
    shared("gauge").context("the real photos of a marsh are not here")
}

/// The recordings of real GPS receivers, each beside what gpsd made of it (`NAME.log` and `NAME.log.chk`).
///
/// # Errors
/// If none is beside the project.
pub fn gps_recordings() -> anyhow::Result<Vec<PathBuf>> {
    let folder = shared("gps").context("the recordings of GPS receivers are not here")?;
    let files = fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    let mut recordings: Vec<_> =
        files.into_iter().filter(|file| file.extension().is_some_and(|end| end == "log")).collect();
    recordings.sort();
    if recordings.is_empty() {
        bail!("{} holds no recording", folder.display());
    }
    Ok(recordings)
}

/// A folder of real inputs, which lie beside the project.
fn shared(name: &str) -> anyhow::Result<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    folder.canonicalize().with_context(|| format!("there is no {}", folder.display()))
}

/// The library of `libfaketime`, where Debian has it: in the folder of the machine's architecture.
///
/// # Errors
/// If it is not there.
pub fn fake_time() -> anyhow::Result<PathBuf> {
    let name = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
    let library = PathBuf::from(name);
    if !library.exists() {
        bail!("{} is not here; Debian's package `faketime` brings it", library.display());
    }
    Ok(library)
}

/// A Python that has `requests`.
///
/// # Errors
/// If none has.
pub fn python() -> anyhow::Result<&'static str> {
    python_with("requests")
}

/// A Python that has this module: Debian's own, or the first on the path.
///
/// # Errors
/// If neither has.
pub fn python_with(module: &str) -> anyhow::Result<&'static str> {
    let import = format!("import {module}");
    let found = ["/usr/bin/python3", "python3"].into_iter().find(|python| answers(python, &["-c", &import]));
    match found {
        Some(python) => Ok(python),
        None => bail!("no Python has the module {module}"),
    }
}

fn answers(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
