//! Our own programs, as cargo built them.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take for anything that is not measured here.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One of our programs, with nothing of the caller's environment but the path.
///
/// # Errors
/// If it has not been built.
pub fn program(name: &str) -> anyhow::Result<Command> {
    // Tests lie in `deps/`, the benchmark beside the programs.
    let me = std::env::current_exe()?;
    let folder = me.parent().context("this program has no folder")?;
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let path: PathBuf = folder.join(name);
    if !path.exists() {
        bail!("{} is missing; run `cargo build --workspace --bins` first", path.display());
    }
    let mut command = Command::new(path);
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).stdin(Stdio::null());
    Ok(command)
}

/// A program of the system's that ends with this one even if this one is killed: an emulator takes a processor as long as it lives.
pub fn that_ends_with_us(name: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", name]);
    command
}

/// Runs a program to its end; its output, or an error with what it said.
///
/// # Errors
/// If it cannot be run or fails.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("failed to run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a program that must fail; what it said.
///
/// # Errors
/// If it cannot be run or succeeds.
pub fn failure(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("failed to run {command:?}"))?;
    if output.status.success() {
        bail!("{command:?} succeeded");
    }
    Ok(String::from_utf8(output.stderr)?)
}

/// A started program that ends with this value, at the latest.
pub struct Running(Child);

impl Running {
    /// Starts a program.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        Ok(Self(command.spawn().with_context(|| format!("failed to start {command:?}"))?))
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Its standard output, if that was piped.
    pub fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.0.stdout.take()
    }

    /// Fails if it has ended.
    ///
    /// # Errors
    /// With its exit status.
    pub fn expect_running(&mut self) -> anyhow::Result<()> {
        match self.0.try_wait()? {
            Some(status) => bail!("a program ended by itself with {status}"),
            None => Ok(()),
        }
    }

    /// Waits until it has ended by itself; its exit code.
    ///
    /// # Errors
    /// If it does not end within this time, or a signal has ended it.
    pub fn exit_code_within(&mut self, patience: Duration) -> anyhow::Result<i32> {
        let began = Instant::now();
        while began.elapsed() < patience {
            if let Some(status) = self.0.try_wait()? {
                return status.code().with_context(|| format!("a program ended with {status}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("a program has not ended after {patience:?}")
    }

    /// Ends it at once, as a power cut does.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).context("a program has a number")?;
        Ok(kill_process(id, signal)?)
    }

    /// Most memory that it has used, in KiB, as nearly as the kernel counts: a later figure may be a few pages lower.
    ///
    /// # Errors
    /// If it has ended.
    pub fn peak_memory_kib(&self) -> anyhow::Result<u64> {
        self.status_kib("VmHWM:")
    }

    /// Memory that it has now, in KiB.
    ///
    /// # Errors
    /// If it has ended.
    pub fn memory_kib(&self) -> anyhow::Result<u64> {
        self.status_kib("VmRSS:")
    }

    fn status_kib(&self, key: &str) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix(key)).context("the kernel says nothing of memory")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Processor time that it has used, user and system together, without that of programs that it runs, in milliseconds.
    ///
    /// # Errors
    /// If it has ended.
    pub fn cpu_ms(&self) -> anyhow::Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        // Fields 14 and 15 of proc(5), counted behind the name in parentheses, in clock ticks of 10 ms.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
        let (user, system) = ticks(11).zip(ticks(12)).context("the kernel says no processor time")?;
        Ok((user + system) * 10)
    }

    /// Asks it to end and waits until it has.
    ///
    /// # Errors
    /// If it does not end, or ends with a failure.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if let Some(status) = self.0.try_wait()? {
                if !status.success() {
                    bail!("a program that was asked to stop ended with {status}");
                }
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("a program does not stop")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `condition` holds.
///
/// # Errors
/// If it fails, or does not hold after [`PATIENCE`].
pub fn until(what: &str, mut condition: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let started = Instant::now();
    while !condition()? {
        if started.elapsed() > PATIENCE {
            bail!("waited in vain until {what}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
