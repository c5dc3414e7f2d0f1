//! A Raspberry Pi 3 in QEMU (`-M raspi3b`), with programs and libraries taken from an image. It boots Debian's kernel from memory:
//! QEMU's model has no USB that a card's system could use, and nobody needs a second full boot.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use super::{Card, Image};
use crate::guest::archive::Archive;
use crate::guest::{Console, Receiver, WORDS, console};
use crate::programs::{Running, output, that_ends_with_us};

/// Its first program.
const INIT: &str = include_str!("pi-init.sh");

/// Programs of Debian's that the first program calls.
const TOOLS: [&str; 8] = [
    "usr/bin/dash",
    "usr/bin/cat",
    "usr/bin/date",
    "usr/bin/kmod",
    "usr/bin/ls",
    "usr/bin/mkdir",
    "usr/bin/mount",
    "usr/bin/sleep",
];

/// Drivers that a script may load, and what these need.
const DRIVERS: [&str; 3] = ["i2c-bcm2835", "i2c-dev", "bcm2835_wdt"];

const LIBRARIES: &str = "usr/lib/aarch64-linux-gnu";

/// The console is the PL011, as on a Pi without Bluetooth. The kernel guards registers that it has drivers for, but Debian's has no
/// /dev/gpiomem.
const COMMAND_LINE: &str = "console=ttyAMA0 rdinit=/init panic=-1 iomem=relaxed quiet";

const LIMIT: Duration = Duration::from_secs(180);

/// The files of an image's root.
pub struct ImageFiles {
    file_system: String,
    work: TempDir,
}

/// A Raspberry Pi 3 that has not been switched on yet.
pub struct Pi<'a> {
    image: &'a Image,
    files: ImageFiles,
    archive: Archive,
    added: BTreeSet<String>,
}

impl ImageFiles {
    /// Those of this image.
    ///
    /// # Errors
    /// If it has no second partition.
    pub fn of(image: &Path) -> anyhow::Result<Self> {
        let root = Card::in_file(image).partition(2)?.context("the image has no second partition")?;
        let file_system = format!("{}?offset={}", image.display(), root.start_bytes);
        Ok(Self { file_system, work: TempDir::with_prefix("tide-image-")? })
    }

    /// A file, through as many links as there are; without a slash at the beginning.
    ///
    /// # Errors
    /// If there is none.
    pub fn read(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let mut path = path.to_owned();
        while let Some(target) = self.link(&path)? {
            let beside = Path::new(&path).parent().unwrap_or(Path::new(""));
            path = beside.join(target).to_string_lossy().trim_start_matches('/').to_owned();
        }
        let copy = self.work.path().join("file");
        // debugfs leaves an earlier copy in place.
        let _ = fs::remove_file(&copy);
        self.debugfs(&format!("dump /{path} {}", copy.display()))?;
        fs::read(&copy).with_context(|| format!("the image has no /{path}"))
    }

    /// Names in a folder.
    ///
    /// # Errors
    /// If debugfs is not here.
    pub fn names(&self, folder: &str) -> anyhow::Result<Vec<String>> {
        // Fields between slashes: inode, mode, user, group, name, length.
        let listed = self.debugfs(&format!("ls -p /{folder}"))?;
        let names = listed.lines().filter_map(|line| line.split('/').nth(5)).map(str::to_owned);
        Ok(names.filter(|name| !name.starts_with('.')).collect())
    }

    fn link(&self, path: &str) -> anyhow::Result<Option<String>> {
        let told = self.debugfs(&format!("stat /{path}"))?;
        let target = told.lines().find_map(|line| line.trim().strip_prefix("Fast link dest: "));
        Ok(target.map(|target| target.trim_matches('"').to_owned()))
    }

    fn debugfs(&self, request: &str) -> anyhow::Result<String> {
        let path = "/usr/sbin:/sbin:/usr/bin:/bin";
        output(Command::new("debugfs").args(["-R", request, &self.file_system]).env("PATH", path))
    }
}

impl<'a> Pi<'a> {
    /// A Pi with a few of the image's programs and drivers.
    ///
    /// # Errors
    /// If the image lacks one.
    pub fn new(image: &'a Image) -> anyhow::Result<Self> {
        let files = ImageFiles::of(&image.product())?;
        let mut pi = Self { image, files, archive: Archive::default(), added: BTreeSet::new() };
        pi.archive.add("init", INIT.as_bytes());
        pi.archive.add("words", WORDS.as_bytes());
        for tool in TOOLS {
            pi.add_program(tool)?;
        }
        // One program with many names.
        let kmod = pi.files.read("usr/bin/kmod")?;
        pi.archive.add("usr/bin/modprobe", &kmod);
        pi.add_drivers()?;
        Ok(pi)
    }

    /// With another program of the image, and the libraries that it needs.
    ///
    /// # Errors
    /// If it is not there.
    pub fn add_program(&mut self, path: &str) -> anyhow::Result<()> {
        if !self.added.insert(path.to_owned()) {
            return Ok(());
        }
        let bytes = self.files.read(path)?;
        for library in self.needed(&bytes)? {
            self.add_program(&format!("{LIBRARIES}/{library}"))?;
        }
        self.archive.add(path, &bytes);
        // Where the kernel looks for it. The rest is looked for in both places.
        if path.ends_with("/ld-linux-aarch64.so.1") {
            self.archive.add("lib/ld-linux-aarch64.so.1", &bytes);
        }
        Ok(())
    }

    /// With a file of this text.
    pub fn add_file(&mut self, path: &str, text: &str) {
        self.archive.add(path, text.as_bytes());
    }

    /// Libraries that a program names.
    fn needed(&self, program: &[u8]) -> anyhow::Result<Vec<String>> {
        let copy = self.files.work.path().join("program");
        fs::write(&copy, program)?;
        let told = output(Command::new("readelf").arg("-d").arg(&copy))?;
        let lines = told.lines().filter(|line| line.contains("(NEEDED)"));
        Ok(lines.filter_map(|line| line.split(['[', ']']).nth(1)).map(str::to_owned).collect())
    }

    fn add_drivers(&mut self) -> anyhow::Result<()> {
        let versions = self.files.names("usr/lib/modules")?;
        let version = versions.first().context("the image has no kernel modules")?;
        let folder = format!("usr/lib/modules/{version}");
        let index = String::from_utf8(self.files.read(&format!("{folder}/modules.dep"))?)?;
        for name in DRIVERS {
            let files = driver_files(&index, name).with_context(|| format!("the image has no driver {name}"))?;
            for file in files {
                self.add_module_file(version, file)?;
            }
        }
        for list in
            ["modules.dep", "modules.dep.bin", "modules.alias.bin", "modules.symbols.bin", "modules.builtin.bin"]
        {
            self.add_module_file(version, list)?;
        }
        Ok(())
    }

    /// A system of one file system has its modules below /usr; kmod knows /lib alone.
    fn add_module_file(&mut self, version: &str, file: &str) -> anyhow::Result<()> {
        let path = format!("lib/modules/{version}/{file}");
        self.archive.add(&path, &self.files.read(&format!("usr/{path}"))?);
        Ok(())
    }

    /// Switches it on, lets it run a script, and waits until it is off again. The receiver is at /dev/ttyS1, its mini UART.
    ///
    /// # Errors
    /// If it does not start, or hangs.
    pub fn run(mut self, script: &str, receiver: &Receiver) -> anyhow::Result<Console> {
        self.archive.add("script", script.as_bytes());
        let folder = TempDir::with_prefix("tide-pi-")?;
        let (initrd, port, errors) =
            (folder.path().join("initrd"), folder.path().join("gps"), folder.path().join("errors"));
        fs::write(&initrd, self.archive.into_bytes())?;
        let mut qemu = that_ends_with_us("qemu-system-aarch64");
        qemu.args(["-M", "raspi3b", "-nodefaults", "-display", "none", "-no-reboot", "-append", COMMAND_LINE]);
        qemu.args(["-rtc", "base=2000-01-01T00:00:00", "-device", "ds1338,bus=i2c-bus.1,address=0x68"]);
        qemu.arg("-kernel").arg(self.image.kernel()).arg("-dtb").arg(self.image.pi_device_tree());
        qemu.arg("-initrd").arg(initrd).args(["-serial", "stdio"]);
        qemu.args(["-serial", &format!("unix:{},server=on,wait=off", port.display())]);
        qemu.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&errors)?);
        let mut qemu = Running::start(&mut qemu)?;
        let seen =
            console::watch(qemu.take_stdout().context("QEMU has no output")?, LIMIT, || receiver.play_into(&port));
        let console =
            seen.with_context(|| format!("QEMU says: {:?}", fs::read_to_string(errors).unwrap_or_default()))?;
        ensure!(!console.text().contains("Kernel panic"), "the Pi's kernel panicked: {}", console.text());
        Ok(console)
    }
}

/// The files of a driver and of those that it needs, as `modules.dep` has them.
fn driver_files<'a>(index: &'a str, name: &str) -> anyhow::Result<Vec<&'a str>> {
    let wanted = name.replace('-', "_");
    for line in index.lines() {
        let Some((file, needs)) = line.split_once(':') else { continue };
        let stem = file.rsplit('/').next().and_then(|file| file.split('.').next()).unwrap_or_default();
        if stem.replace('-', "_") == wanted {
            return Ok([file].into_iter().chain(needs.split_whitespace()).collect());
        }
    }
    bail!("no line of modules.dep is about it")
}
