//! A machine whose clocks `tide-timesync sync --rehearse` sets: a system clock and a battery-backed clock, kept in files.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tide_timesync::devices::boot_clock;
use tide_timesync::devices::clock::SystemClock;
use tide_timesync::devices::rehearsed_clock::RehearsedClock;
use tide_timesync::devices::rtc::{MachineTimer, Rtc, write_on_the_second};
use tide_timesync::devices::rtc_file::RegisterFile;
use tide_timesync::devices::rtc_i2c::I2cRtc;
use tide_timesync::rtc::chip::Chip;

use crate::programs::{Running, program};
use crate::receiver::TrueTime;

/// The machine, and the settings of the program.
pub struct Rehearsal {
    folder: TempDir,
}

/// A run that has ended.
#[derive(Debug)]
pub struct Synced {
    /// 0 to 3, as the prototype's; 4 if it could not begin.
    pub exit_code: i32,
    /// What it logged.
    pub log: String,
    /// What it tells the recorder.
    pub report: Value,
    /// How long it took.
    pub took: Duration,
}

/// How long a run may take beyond what it waits for GPS: it reads the RTC and writes it on the second, on a busy machine.
pub const BESIDE_GPS: Duration = Duration::from_secs(10);

impl Rehearsal {
    /// A machine whose clock shows what this machine's does, whose RTC has no time, and a program with these settings.
    ///
    /// # Errors
    /// If its folder cannot be made.
    pub fn new(settings: &str) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tide-rehearsal-")?;
        fs::write(folder.path().join("tide.toml"), settings)?;
        fs::create_dir(folder.path().join("clocks"))?;
        Ok(Self { folder })
    }

    /// The same with a clock that shows this, in microseconds since 1970 UTC.
    ///
    /// # Errors
    /// If the clock cannot be written.
    pub fn with_clock_at(self, shows_us: i64) -> anyhow::Result<Self> {
        let mut clock = RehearsedClock::open(&self.clocks(), Arc::new(boot_clock::monotonic_us), shows_us)?;
        // Which writes its file.
        clock.disown()?;
        Ok(self)
    }

    /// The same with an RTC that shows the true time.
    ///
    /// # Errors
    /// If the RTC cannot be written.
    pub fn with_rtc_at(self, time: TrueTime) -> anyhow::Result<Self> {
        write_on_the_second(self.rtc()?.as_mut(), || time.now_us(), thread::sleep)?;
        Ok(self)
    }

    /// The program with these settings.
    ///
    /// # Errors
    /// If it has not been built.
    pub fn command(&self) -> anyhow::Result<Command> {
        let mut command = program("tide-timesync")?;
        command.env("TIDE_CONFIG", self.folder.path().join("tide.toml"));
        Ok(command)
    }

    /// Runs `sync` to its end.
    ///
    /// # Errors
    /// If it does not end within this time, or leaves no report.
    pub fn sync(&self, within: Duration) -> anyhow::Result<Synced> {
        let log_file = self.folder.path().join("log");
        let began = Instant::now();
        let mut command = self.command()?;
        command.args(["sync", "--rehearse"]).arg(self.clocks()).stderr(File::create(&log_file)?);
        let outcome = Running::start(&mut command)?.exit_code_within(within);
        let (took, log) = (began.elapsed(), fs::read_to_string(log_file)?);
        let exit_code = outcome.with_context(|| format!("its log: {log}"))?;
        for line in log.lines() {
            ensure!(line.starts_with("[GPS-RTC SYNC] 20") && line.contains(" - ["), "not the prototype's form: {line}");
        }
        let report = fs::read(self.clocks().join("report.json")).with_context(|| format!("its log: {log}"))?;
        Ok(Synced { exit_code, log, report: serde_json::from_slice(&report)?, took })
    }

    /// How far the clock is off, in microseconds: what it shows less the true time.
    ///
    /// # Errors
    /// If there is no clock, or it is being slewed.
    pub fn clock_error_us(&self, time: TrueTime) -> anyhow::Result<i64> {
        let clock: Value = serde_json::from_slice(&fs::read(self.clocks().join("clock.json"))?)?;
        ensure!(clock["slewing_ns"] == 0 && clock["oscillator_ppb"] == 0, "the clock is being slewed: {clock}");
        Ok(clock["boot_at_us"].as_i64().context("a clock has a boot")? - time.of_boot_us())
    }

    /// How far the RTC is off, in microseconds: what it shows less the true time.
    ///
    /// # Errors
    /// If it has no time.
    pub fn rtc_error_us(&self, time: TrueTime) -> anyhow::Result<i64> {
        let reading = self.rtc()?.read()?;
        Ok(reading.at.as_micros() - time.now_us())
    }

    /// The lines of the history.
    ///
    /// # Errors
    /// If there is none.
    pub fn history(&self) -> anyhow::Result<Vec<Value>> {
        let history = fs::read_to_string(self.clocks().join("history.jsonl"))?;
        Ok(history.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }

    fn rtc(&self) -> anyhow::Result<Box<dyn Rtc>> {
        let file = RegisterFile::open_by_wall_clock(&self.clocks().join("rtc.json"), Chip::default())?;
        Ok(Box::new(I2cRtc::on(file, Chip::default(), "the test".to_owned(), Arc::new(MachineTimer::default()))))
    }

    fn clocks(&self) -> PathBuf {
        self.folder.path().join("clocks")
    }
}

impl Synced {
    /// Fails, with all of it, unless it ended with this exit code, and found the clock's time there (`gps`, `rtc`, ...).
    ///
    /// # Errors
    /// As said.
    pub fn expect(&self, exit_code: i32, source: &str) -> anyhow::Result<()> {
        let is_right = self.exit_code == exit_code && self.report["source"] == source;
        ensure!(is_right, "not exit code {exit_code} with the time from {source}: {self:?}");
        Ok(())
    }

    /// Fails, with all of it, unless the log says this.
    ///
    /// # Errors
    /// As said.
    pub fn expect_said(&self, text: &str) -> anyhow::Result<()> {
        ensure!(self.log.contains(text), "the log does not say `{text}`: {self:?}");
        Ok(())
    }

    /// How far the clock may be off, as it says, in microseconds.
    ///
    /// # Errors
    /// If it does not say.
    pub fn uncertainty_us(&self) -> anyhow::Result<u64> {
        Ok(self.report["uncertainty_ms"].as_u64().context("a report has an uncertainty")? * 1_000)
    }
}
