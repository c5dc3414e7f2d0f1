//! A small Debian in a container, gone when the value goes. One of this machine's own kind boots its systemd; a foreign one, whose
//! programs QEMU runs, does not.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Arch;
use crate::process::{output, run};

/// Longest time for what systemd does before it takes orders.
const BOOT: Duration = Duration::from_secs(180);

/// Longest time for one command: an installation in an emulated processor.
const COMMAND_S: &str = "1500";

/// A running container.
pub(super) struct Machine {
    /// What it is.
    pub(super) arch: Arch,
    root: PathBuf,
    console: PathBuf,
    container: Child,
    /// Its first process, as this machine numbers it.
    leader: u32,
}

impl Machine {
    /// Unpacks the archive into the folder, and starts what is in it.
    ///
    /// # Errors
    /// If it does not start.
    pub(super) fn start(arch: Arch, archive: &Path, root: &Path) -> Result<Self> {
        remove(root)?;
        fs::create_dir_all(root).with_context(|| format!("failed to make the folder `{}`", root.display()))?;
        let mut unpack = Command::new("tar");
        unpack.args(["--numeric-owner", "--exclude=./dev/*", "-xpf"]).arg(archive).arg("-C").arg(root);
        run(&mut unpack)?;
        let console = root.with_extension("log");
        let log = File::create(&console).with_context(|| format!("failed to write `{}`", console.display()))?;
        let mut start = Command::new("systemd-nspawn");
        start
            .args(["--quiet", "--register=no", "--console=pipe", "--resolv-conf=replace-host", "--directory"])
            .arg(root);
        if !Path::new("/run/systemd/system").exists() {
            // There is nobody to ask for a control group.
            start.arg("--keep-unit");
        }
        if arch.is_ours() {
            start.arg("--boot");
        } else {
            start.args(["--as-pid2", "sleep", "infinity"]);
        }
        start.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let container = start.spawn().context("failed to start `systemd-nspawn`")?;
        let mut machine = Self { arch, root: root.to_owned(), console, container, leader: 0 };
        machine.wait_until_up().with_context(|| format!("a container does not start: {}", machine.last_words()))?;
        Ok(machine)
    }

    fn wait_until_up(&mut self) -> Result<()> {
        let begin = Instant::now();
        let is_up = if self.is_booted() { "systemctl is-system-running | grep -E 'running|degraded'" } else { "true" };
        loop {
            ensure!(self.container.try_wait()?.is_none(), "it has ended by itself");
            self.leader = first_child(self.container.id()).unwrap_or_default();
            let why = match self.sh(is_up) {
                Ok(_) => return Ok(()),
                Err(why) => why,
            };
            if begin.elapsed() > BOOT {
                return Err(why);
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// Whether its own systemd runs it.
    pub(super) fn is_booted(&self) -> bool {
        self.arch.is_ours()
    }

    /// How it runs, for people.
    pub(super) fn how(&self) -> &'static str {
        if self.is_booted() {
            "booted with its systemd"
        } else {
            "in an emulated processor and without systemd: services started by hand"
        }
    }

    /// Where this machine has a file of the container.
    pub(super) fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    /// Writes a file in it, and makes the folders that it is in.
    ///
    /// # Errors
    /// If there is no room, or something else in the way.
    pub(super) fn write(&self, inside: &str, text: &str) -> Result<()> {
        let path = self.path(inside);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("failed to make `{}`", folder.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("failed to write `{}`", path.display()))
    }

    /// Runs a line of shell in it as root, and returns what it says.
    ///
    /// # Errors
    /// If it does not succeed; the message holds all that was said.
    pub(super) fn sh(&self, line: &str) -> Result<String> {
        ensure!(self.leader != 0, "nothing runs in the container");
        let mut enter = Command::new("nsenter");
        enter.arg("--target").arg(self.leader.to_string()).args(["--mount", "--uts", "--ipc", "--pid", "--"]);
        enter.args(["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"]);
        enter.args(["DEBIAN_FRONTEND=noninteractive", "timeout", COMMAND_S, "sh", "-euc", line]).stdin(Stdio::null());
        let said = enter.output().context("failed to start `nsenter`")?;
        let text = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        if !said.status.success() {
            bail!("`{line}` failed ({}): {text}\n{}", said.status, String::from_utf8_lossy(&said.stderr).trim());
        }
        Ok(text)
    }

    /// The end of what it said on its console, and of what the recorder said.
    pub(super) fn last_words(&self) -> String {
        let console = fs::read(&self.console).unwrap_or_default();
        let console = String::from_utf8_lossy(&console);
        let lines: Vec<&str> = console.lines().collect();
        let journal = "journalctl --no-pager -n 40 2>/dev/null || tail -n 40 /var/log/tide-recorder.log";
        format!("{}\n{}", lines[lines.len().saturating_sub(20)..].join("\n"), self.sh(journal).unwrap_or_default())
    }

    fn end(&mut self) -> Result<()> {
        if self.leader != 0 {
            // The kernel ends whatever the first process of a container leaves behind.
            output(Command::new("kill").args(["-KILL", &self.leader.to_string()]))?;
        } else {
            self.container.kill()?;
        }
        self.container.wait()?;
        remove(&self.root)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("failed to end the container in `{}`: {error:#}", self.root.display());
        }
    }
}

fn first_child(parent: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove `{}`", folder.display()))
        }
        _ => Ok(()),
    }
}
