//! A photo that a program takes: run it, and judge by the file whether there is one. What the program wrote lies in a private
//! folder that is gone after the shot, whatever happened.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tide_photo::jpeg::JpegCheck;

use super::hurry::Hurry;
use super::program::{self, ProgramError};
use crate::devices::camera::CameraError;

/// Largest photo taken, in bytes: what a server takes, unless its operator decided otherwise.
const MAX_BYTES: u64 = 32 * 1_024 * 1_024;

/// A program that takes photos.
#[derive(Debug)]
pub(super) struct PhotoProgram {
    /// Its name, or its path.
    pub(super) path: PathBuf,
    /// How long it may take.
    pub(super) limit: Duration,
    /// How it comes onto the station.
    pub(super) to_install: &'static str,
    /// What to look at when it fails.
    pub(super) to_check: String,
    /// Whether the station is to stop.
    pub(super) hurry: Hurry,
}

/// The private folder of one shot.
pub(super) struct Scratch(TempDir);

impl Scratch {
    /// A folder that only this user may enter.
    ///
    /// # Errors
    /// If there is no room, or no right to it.
    pub(super) fn new() -> Result<Self, CameraError> {
        let folder = TempDir::with_prefix("tide-camera-").map_err(|error| {
            let folder = std::env::temp_dir();
            failed(format!("failed to make a folder for it in {}: {error}; see if that disk is full", folder.display()))
        })?;
        Ok(Self(folder))
    }

    /// Where the program is to put the photo.
    pub(super) fn photo(&self) -> PathBuf {
        self.0.path().join("photo.jpg")
    }

    /// Where it is to put what it knows of it.
    pub(super) fn metadata(&self) -> PathBuf {
        self.0.path().join("metadata.json")
    }
}

impl PhotoProgram {
    /// The JPEG that the program writes to [`Scratch::photo`].
    ///
    /// # Errors
    /// If it writes anything but one whole JPEG, or fails in any other way.
    pub(super) fn take(&self, arguments: Vec<OsString>, scratch: &Scratch) -> Result<Vec<u8>, CameraError> {
        let mut command = Command::new(&self.path);
        command.args(arguments);
        let ended = program::run(command, self.limit, &self.hurry).map_err(|error| self.not_ended(&error))?;
        if !ended.status.success() {
            return Err(self.failed(&format!("ended with {}", ended.status), &ended.words));
        }
        let jpeg = match read(&scratch.photo()) {
            Ok(jpeg) if jpeg.is_empty() => return Err(self.failed("wrote an empty photo", &ended.words)),
            Ok(jpeg) => jpeg,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.failed("wrote no photo", &ended.words));
            }
            Err(error) => {
                return Err(self.failed(&format!("wrote a photo that cannot be read ({error})"), &ended.words));
            }
        };
        if jpeg.len() as u64 > MAX_BYTES {
            return Err(failed(format!(
                "{} wrote more than {} MiB; make `width`, `height` or `quality` in [camera] smaller",
                self.name(),
                MAX_BYTES / 1_024 / 1_024
            )));
        }
        JpegCheck::of(&jpeg).map_err(|error| {
            self.failed(&format!("wrote {} bytes that are no photo ({error})", jpeg.len()), &ended.words)
        })?;
        Ok(jpeg)
    }

    fn not_ended(&self, error: &ProgramError) -> CameraError {
        match error {
            ProgramError::NotStarted(why) => failed(format!(
                "failed to start {}: {why}; {}, or name its path as `program` in [camera]",
                self.name(),
                self.to_install
            )),
            ProgramError::TooLong { limit, words } => self.failed(
                &format!("had not ended after {} s and was stopped (`limit_s` in [camera])", limit.as_secs_f64()),
                words,
            ),
        }
    }

    fn failed(&self, what: &str, words: &str) -> CameraError {
        let said = if words.is_empty() { "without a word".to_owned() } else { format!("saying \"{words}\"") };
        failed(format!("{} {what}, {said}; {}", self.name(), self.to_check))
    }

    fn name(&self) -> String {
        format!("`{}`", self.path.display())
    }
}

/// A program's arguments as they grow.
#[derive(Default)]
pub(super) struct Arguments(pub(super) Vec<OsString>);

impl Arguments {
    /// An option with a value.
    pub(super) fn option(&mut self, name: &str, value: &impl ToString) {
        self.0.extend([name.into(), value.to_string().into()]);
    }

    /// The same for a setting that may be absent: the program knows best then.
    pub(super) fn if_set(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.option(name, &value);
        }
    }
}

fn failed(reason: String) -> CameraError {
    CameraError::Failed { reason }
}

/// A file's bytes, and one more than may be.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Programs that stand in for the real ones in tests.
#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A program of this shell script, which finds the photo's path in `$photo` and that of the metadata in `$metadata`, however
    /// they were given, and a whole JPEG of 1 x 1 pixel in the file `$jpeg`.
    pub(in crate::devices) struct StandIn {
        folder: TempDir,
    }

    /// A 1 x 1 JPEG in structure.
    pub(in crate::devices) const JPEG: &[u8] =
        b"\xFF\xD8\xFF\xC0\x00\x0B\x08\x00\x01\x00\x01\x01\x01\x11\x00\xFF\xDA\x00\x08\x01\x01\x00\x00\x3F\x00A\xFF\xD9";

    /// Every way in which a camera's program fails, each with a word of the sentence that follows. `$numbers` is the file for
    /// numbers of processes.
    pub(in crate::devices) const FAILURES: [(&str, &str); 8] = [
        ("(sleep 1000) & echo $! > \"$numbers\"; echo $$ >> \"$numbers\"; wait", "had not ended after"),
        (
            "trap '' TERM; (trap '' TERM; sleep 1000) & echo $! > \"$numbers\"; echo $$ >> \"$numbers\"; wait; wait",
            "had not ended",
        ),
        (
            "cp \"$jpeg\" \"$photo\"; echo no cameras available >&2; exit 1",
            "exit status: 1, saying \"no cameras available\"",
        ),
        ("echo Unable to find a source", "wrote no photo, saying \"Unable to find a source\""),
        (": > \"$photo\"", "an empty photo, without a word"),
        ("head -c 20 \"$jpeg\" > \"$photo\"", "the JPEG is cut off before its end"),
        ("printf '\\211PNG\\r\\n\\032\\n' > \"$photo\"", "the image is not a JPEG"),
        ("kill -SEGV $$", "signal: 11"),
    ];

    impl StandIn {
        pub(in crate::devices) fn new(script: &str) -> Self {
            let stand_in = Self { folder: tempfile::tempdir().unwrap() };
            std::fs::write(stand_in.file("jpeg"), JPEG).unwrap();
            stand_in.becomes(script);
            stand_in
        }

        /// From now on it does something else.
        pub(in crate::devices) fn becomes(&self, script: &str) {
            let [jpeg, numbers, arguments] = ["jpeg", "numbers", "arguments"].map(|name| self.file(name));
            let text = format!(
                "#!/bin/sh\njpeg='{}' numbers='{}'\nprintf '%s\\n' \"$@\" > '{}'\nfor last; do :; done\nphoto=$last\n\
                 while [ $# -gt 0 ]; do case $1 in --output) photo=$2;; --metadata) metadata=$2;; esac; shift; done\n{script}\n",
                jpeg.display(),
                numbers.display(),
                arguments.display()
            );
            // By another process: while one of ours had it open to write, a fork in another thread would keep it so, and nobody
            // could run it.
            let mut install = Command::new("sh");
            install.args(["-c", "printf %s \"$2\" > \"$1\" && chmod 700 \"$1\"", "sh"]).arg(self.path()).arg(text);
            assert!(install.status().unwrap().success());
        }

        pub(in crate::devices) fn path(&self) -> PathBuf {
            self.file("program")
        }

        /// What it was last called with.
        pub(in crate::devices) fn arguments(&self) -> Vec<String> {
            std::fs::read_to_string(self.file("arguments")).unwrap().lines().map(str::to_owned).collect()
        }

        /// Processes that are still there of those whose numbers it wrote down.
        pub(in crate::devices) fn survivors(&self) -> Vec<String> {
            let numbers = std::fs::read_to_string(self.file("numbers")).unwrap_or_default();
            program::testing::survivors(&numbers)
        }

        fn file(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }
    }
}
