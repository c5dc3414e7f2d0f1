//! A real Linux kernel that is not this machine's: Debian's, booted in QEMU with what a journey puts into it. There a program
//! sets the clock, reads a serial port and writes an RTC, and nothing of this machine is touched.
//!
//! The guest's clock begins in the year 2000. It has an RTC of the PC's kind, a console that the journey reads, and a second
//! serial port, `/dev/ttyS1`, at which a GPS receiver may speak. What it does is a script for busybox; `init.sh` and `words.sh`
//! have the words beyond busybox's that it may use.

pub(crate) mod archive;
pub(crate) mod console;
mod receiver;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::programs::{Running, output, program};
use archive::Archive;
pub use console::{Console, Shown};
pub use receiver::{Receiver, fix, sentence};

/// A machine that has not been switched on yet.
pub struct Guest {
    archive: Archive,
    receiver: Option<Receiver>,
    limit: Duration,
}

/// Its first program.
const INIT: &str = include_str!("init.sh");

/// What the first program of any machine reads, as `/words`.
pub(crate) const WORDS: &str = include_str!("words.sh");

/// What is the same for every guest. The frequency of its HPET is exact, that of an emulated processor's counter is a guess;
/// a kernel that tests its own cryptography boots two seconds later.
const MACHINE: &[&str] = &[
    "-M",
    "q35",
    "-m",
    "512",
    "-nodefaults",
    "-nographic",
    "-no-reboot",
    "-rtc",
    "base=2000-01-01T00:00:00",
    "-append",
    "console=ttyS0 quiet panic=-1 clocksource=hpet cryptomgr.notests",
    "-serial",
    "stdio",
];

/// Longest time from switching on to switching off: an emulated machine on a busy one boots in 20 seconds.
const LIMIT: Duration = Duration::from_secs(180);

impl Guest {
    /// A machine with busybox and a few drivers.
    ///
    /// # Errors
    /// If these are not here.
    pub fn new() -> anyhow::Result<Self> {
        let folder = folder()?;
        let mut archive = Archive::default();
        archive.add("bin/busybox", &fs::read(folder.join("bin/busybox"))?);
        archive.add("init", INIT.as_bytes());
        archive.add("words", WORDS.as_bytes());
        add_folder(&mut archive, &folder, Path::new("lib/modules"))?;
        Ok(Self { archive, receiver: None, limit: LIMIT })
    }

    /// With one of our programs, and the libraries that it needs.
    ///
    /// # Errors
    /// If it has not been built.
    pub fn with_program(mut self, name: &str) -> anyhow::Result<Self> {
        let file = PathBuf::from(program(name)?.get_program());
        for library in libraries(&output(Command::new("ldd").arg(&file))?) {
            self.archive.add(library, &fs::read(library)?);
        }
        self.archive.add(&format!("bin/{name}"), &fs::read(file)?);
        Ok(self)
    }

    /// With a file of this text.
    #[must_use]
    pub fn with_file(mut self, path: &str, text: &str) -> Self {
        self.archive.add(path, text.as_bytes());
        self
    }

    /// With a receiver at its second serial port, once the script says `receiver_on`.
    #[must_use]
    pub fn with_receiver(mut self, receiver: Receiver) -> Self {
        self.receiver = Some(receiver);
        self
    }

    /// With a time after which it is taken to hang.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Switches it on, lets it run the script, and waits until it is off again.
    ///
    /// # Errors
    /// If it does not start, or hangs.
    pub fn run(mut self, script: &str) -> anyhow::Result<Console> {
        self.archive.add("script", script.as_bytes());
        let folder = TempDir::with_prefix("tide-guest-")?;
        let initrd = folder.path().join("initrd");
        fs::write(&initrd, self.archive.into_bytes())?;
        let (port, errors) = (folder.path().join("receiver"), folder.path().join("errors"));
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(accelerators()?).args(MACHINE);
        qemu.arg("-kernel").arg(self::folder()?.join("vmlinux")).arg("-initrd").arg(initrd);
        qemu.args(["-serial", &format!("unix:{},server=on,wait=off", port.display())]);
        qemu.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&errors)?);
        let mut qemu = Running::start(&mut qemu)?;
        let output = qemu.take_stdout().context("QEMU has no output")?;
        let seen = console::watch(output, self.limit, || match &self.receiver {
            Some(receiver) => receiver.play_into(&port),
            None => bail!("the script wants a receiver, and there is none"),
        });
        seen.with_context(|| format!("QEMU says: {:?}", fs::read_to_string(errors).unwrap_or_default()))
    }
}

/// Where Debian's kernel and busybox are.
///
/// # Errors
/// If they are not here: `cargo verify --only packages` fetches them.
pub fn folder() -> anyhow::Result<PathBuf> {
    let folder = std::env::var_os("TIDE_TEST_GUEST").map(PathBuf::from).context("TIDE_TEST_GUEST names no folder")?;
    if !folder.join("vmlinux").exists() {
        bail!("{} has no kernel", folder.display());
    }
    Ok(folder)
}

/// KVM, but only with the processor's own means: what offers it without them was seen to hang.
fn accelerators() -> anyhow::Result<&'static [&'static str]> {
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let can = processors.split_whitespace().any(|flag| ["svm", "vmx"].contains(&flag));
    let may = File::options().read(true).write(true).open("/dev/kvm").is_ok();
    Ok(if can && may { &["-accel", "kvm", "-accel", "tcg"] } else { &["-accel", "tcg"] })
}

fn add_folder(archive: &mut Archive, root: &Path, folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            add_folder(archive, root, &path)?;
        } else {
            archive.add(path.to_str().context("a path is text")?, &fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// The files that `ldd` names: `libc.so.6 => /lib/libc.so.6 (0x7f00)`, and the loader without an arrow.
fn libraries(ldd: &str) -> impl Iterator<Item = &str> {
    ldd.split_whitespace().filter(|word| word.starts_with('/'))
}
