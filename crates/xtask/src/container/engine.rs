//! A container engine: the machine's own, or one that lives as long as the verb.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::config::Config;
use crate::debian::{Wanted, is_debian, is_root};
use crate::process::output;
use crate::workspace::Workspace;

/// Debian's engine, with its older compose, which is a program of its own.
const DEBIANS: Wanted = Wanted {
    purpose: "run containers",
    packages: &["docker-compose", "docker.io", "iptables", "mmdebstrap", "qemu-user-static"],
    suite: None,
};

/// How long an engine may take to start.
const TO_START: Duration = Duration::from_secs(60);

/// An engine that answers.
pub(super) struct Engine {
    /// Ours, if the machine had none.
    own: Option<Own>,
}

struct Own {
    socket: PathBuf,
    daemon: Child,
}

impl Engine {
    /// The machine's engine, or one of Debian's, started now; its images stay in the cache.
    ///
    /// # Errors
    /// If there is none, and none can be started.
    pub(super) fn ensure(config: &Config, workspace: &Workspace) -> Result<Self> {
        if answers(Command::new("docker").arg("info")) {
            return Ok(Self { own: None });
        }
        if !is_debian() || !is_root()? {
            bail!("no container engine answers: start Docker, and see that `docker info` works for this user");
        }
        DEBIANS.ensure()?;
        let folder = std::path::absolute(config.cache.as_deref().unwrap_or(&workspace.target))?.join("docker");
        fs::create_dir_all(&folder).with_context(|| format!("failed to make the folder `{}`", folder.display()))?;
        Ok(Self { own: Some(Own::start(&folder)?) })
    }

    /// Whether `docker build` is BuildKit's.
    pub(super) fn has_buildkit(&self) -> bool {
        answers(self.command("docker").args(["buildx", "version"]))
    }

    /// A program that speaks to this engine.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some(own) = &self.own {
            command.env("DOCKER_HOST", own.host());
        }
        command
    }
}

impl Own {
    fn start(folder: &Path) -> Result<Self> {
        let (socket, log) = (folder.join("socket"), folder.join("log"));
        // It ends with us, however we end; setpriv is in every Debian.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "dockerd"]);
        command.arg("--data-root").arg(folder.join("data")).arg("--exec-root").arg(folder.join("exec"));
        command.arg("--pidfile").arg(folder.join("pid"));
        command.arg("--host").arg(format!("unix://{}", socket.display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log)?);
        // Ctrl-C is for us: the daemon is told to stop when we end.
        let daemon = command.process_group(0).spawn().context("failed to start `dockerd`")?;
        let mut own = Self { socket, daemon };
        let began = Instant::now();
        while !answers(Command::new("docker").arg("info").env("DOCKER_HOST", own.host())) {
            if began.elapsed() > TO_START || own.daemon.try_wait()?.is_some() {
                bail!("Docker's daemon does not start; its log is {}", log.display());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(own)
    }

    fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // It ends its containers and unmounts what it has mounted.
        drop(output(Command::new("kill").arg(self.daemon.id().to_string())));
        drop(self.daemon.wait());
    }
}

fn answers(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
