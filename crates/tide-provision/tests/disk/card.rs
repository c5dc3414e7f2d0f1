//! A card that is a file: a loop device, divided as our images are, with its system mounted.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tide_provision::disk::DataState;

use super::noise::Noise;

pub(super) const MIB: u64 = 1_024 * 1_024;

/// Where the system ends.
pub(super) const SYSTEM_END: u64 = 52 * MIB;

pub(super) struct LoopCard {
    folder: TempDir,
    device: String,
}

impl LoopCard {
    /// As it was flashed.
    pub(super) fn fresh(size_bytes: u64) -> Self {
        let folder = folder();
        let image = folder.path().join("card");
        File::create(&image).unwrap().set_len(size_bytes).unwrap();
        let table =
            "label: dos\nlabel-id: 0x7469646c\nstart=8192, size=32768, type=c\nstart=40960, size=65536, type=83\n";
        let mut sfdisk = Command::new("sfdisk").arg("-q").arg(&image).stdin(Stdio::piped()).spawn().unwrap();
        sfdisk.stdin.take().unwrap().write_all(table.as_bytes()).unwrap();
        assert!(sfdisk.wait().unwrap().success());
        let system = folder.path().join("system");
        File::create(&system).unwrap().set_len(32 * MIB).unwrap();
        output("mkfs.ext4", &["-q", path(&system)]);
        let file = File::options().write(true).open(&image).unwrap();
        file.write_all_at(&fs::read(&system).unwrap(), 20 * MIB).unwrap();
        // The code in front of the table, and the whole of the first partition.
        file.write_all_at(&Noise::new(1).bytes(440), 0).unwrap();
        file.write_all_at(&Noise::new(2).bytes(100_000), 4 * MIB).unwrap();
        Self::insert(folder)
    }

    fn insert(folder: TempDir) -> Self {
        let device = output("losetup", &["--find", "--show", path(&folder.path().join("card"))]).trim().to_owned();
        let card = Self { folder, device };
        // A loop device remembers the partitions of the file that it had before.
        card.forget_partitions();
        // The kernel may be one that does not read tables by itself.
        output("partx", &["--add", "--nr", "1:2", &card.device]);
        for place in ["system-root", "data"] {
            fs::create_dir_all(card.at(place)).unwrap();
        }
        // As on a station: the kernel would not read the table again.
        output("mount", &["-o", "ro,noload", &card.node(2), path(&card.at("system-root"))]);
        card
    }

    /// A copy of what has reached the card.
    pub(super) fn after_power_cut(&self) -> Self {
        Self::insert(self.copy())
    }

    fn copy(&self) -> TempDir {
        let folder = folder();
        output("cp", &["--sparse=always", path(&self.image()), path(&folder.path().join("card"))]);
        folder
    }

    /// Changes it while it is in no station.
    pub(super) fn change(self, change: impl FnOnce(&mut File)) -> Self {
        let folder = self.copy();
        change(&mut File::options().read(true).write(true).open(folder.path().join("card")).unwrap());
        Self::insert(folder)
    }

    /// `tide-provision disk` to its end: what it says, and whether it is content.
    pub(super) fn try_boot(&self) -> (bool, String) {
        let output = self.tool().output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    /// The same, which has to go well.
    pub(super) fn boot(&self) -> DataState {
        let (is_fine, text) = self.try_boot();
        assert!(is_fine, "{text}");
        let state = self.state();
        assert_eq!(state.device, Some(self.at("run/data").canonicalize().unwrap()));
        state
    }

    pub(super) fn state(&self) -> DataState {
        DataState::read(&self.at("run")).unwrap()
    }

    /// `tide-provision disk`, stopped after a while with all that it runs. Whether it had ended before, and a card as it would
    /// be if the power had gone then: what the kernel had yet to write is lost. On this one the kernel still writes it.
    pub(super) fn boot_and_cut(&self, after: Duration) -> (bool, Self) {
        let mut child = self.tool().stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn().unwrap();
        let group = Pid::from_child(&child);
        let (sender, receiver) = mpsc::channel();
        let waiting = thread::spawn(move || {
            child.wait().unwrap();
            let _ = sender.send(());
        });
        let has_ended = receiver.recv_timeout(after).is_ok();
        // Stopped first: the kernel writes what a program leaves when it ends.
        let _ = kill_process_group(group, Signal::STOP);
        let folder = self.copy();
        let _ = kill_process_group(group, Signal::KILL);
        waiting.join().unwrap();
        (has_ended, Self::insert(folder))
    }

    /// How long `tide-provision disk` takes.
    pub(super) fn time_boot(&self) -> Duration {
        let start = Instant::now();
        self.boot();
        start.elapsed()
    }

    fn tool(&self) -> Command {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_tide-provision"));
        tool.args(["disk", "--disk", &self.device, "--run-dir"]).arg(self.at("run"));
        tool
    }

    /// Does something in the file system in use, mounted as on a station.
    pub(super) fn in_data<T>(&self, work: impl FnOnce(&Path) -> T) -> T {
        let (device, data) = (self.at("run/data"), self.at("data"));
        output("mount", &["-t", "ext4", "-o", "noatime,nodev,nosuid,errors=remount-ro", path(&device), path(&data)]);
        let result = work(&data);
        output("umount", &[path(&data)]);
        result
    }

    /// The table's entries with their places, in sectors.
    pub(super) fn table(&self) -> Vec<(u64, u64)> {
        let dump = output("sfdisk", &["--dump", &self.device]);
        let number = |line: &str, name: &str| {
            let (_, rest) = line.split_once(name)?;
            rest.split(',').next()?.trim().parse().ok()
        };
        dump.lines().filter_map(|line| Some((number(line, "start=")?, number(line, "size=")?))).collect()
    }

    /// Whether e2fsck finds nothing wrong in a partition.
    pub(super) fn is_whole(&self, number: u32) -> (bool, String) {
        let output = Command::new("e2fsck").args(["-f", "-n", &self.node(number)]).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// All that flashing put there, less the two entries in the table that we may fill.
    pub(super) fn system_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(SYSTEM_END).unwrap()];
        File::open(&self.device).unwrap().read_exact(&mut bytes).unwrap();
        bytes[478..510].fill(0);
        bytes
    }

    /// The file that it is in.
    pub(super) fn image(&self) -> PathBuf {
        self.at("card")
    }

    /// The node of a partition.
    pub(super) fn node(&self, number: u32) -> String {
        format!("{}p{number}", self.device)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn forget_partitions(&self) {
        for number in 1..=4 {
            drop(Command::new("partx").args(["--delete", "--nr", &number.to_string(), &self.device]).output());
        }
    }
}

impl Drop for LoopCard {
    fn drop(&mut self) {
        for place in ["data", "run/trial", "system-root"] {
            drop(Command::new("umount").arg(self.at(place)).output());
        }
        self.forget_partitions();
        drop(Command::new("losetup").args(["--detach", &self.device]).output());
    }
}

/// The bytes of an image from here to there.
pub(super) fn read_at(file: &mut File, start: u64, count: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(count).unwrap()];
    file.seek(SeekFrom::Start(start)).unwrap();
    file.read_exact(&mut bytes).unwrap();
    bytes
}

/// What a program writes. It has to succeed.
pub(super) fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// In memory where that can be: a card is synced often, and a busy machine's disk takes long to.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("tide-card-");
    if memory.is_dir() { builder.tempdir_in(memory).unwrap() } else { builder.tempdir().unwrap() }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
