//! `tide-timesync sync`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tide_durable::{Alone, Durable, IfExists};
use tide_photo::clock_report::ClockReport;

use super::SyncOptions;
use crate::config::{Gps, GpsSource, RtcKind, Settings};
use crate::devices::auto_receiver::AutoReceiver;
use crate::devices::boot_clock;
use crate::devices::clock::SystemClock;
use crate::devices::gpsd_receiver::GpsdReceiver;
use crate::devices::keepers;
use crate::devices::kernel_clock::KernelClock;
use crate::devices::receiver::Receiver;
use crate::devices::rehearsed_clock::RehearsedClock;
use crate::devices::rtc::{MachineTimer, Rtc, RtcError};
use crate::devices::rtc_file::RegisterFile;
use crate::devices::rtc_i2c::I2cRtc;
use crate::devices::rtc_kernel::KernelRtc;
use crate::devices::serial_receiver::SerialReceiver;
use crate::journal::Journal;
use crate::kept::Kept;
use crate::sync::{Tools, run};

/// How often an RTC that is not there yet is looked for at the boot, and how long apart: 3 s in all. Ours.
const TRIES: u32 = 6;
const BETWEEN_TRIES: Duration = Duration::from_millis(500);

/// When this program was built, in seconds since 1970 UTC, as `build.rs` found it.
const BUILT_S: &str = env!("TIDE_BUILT_S");

/// Runs once, and gives the prototype's exit code.
///
/// # Errors
/// If the settings cannot be used, or another run is under way.
pub fn sync(options: &SyncOptions) -> anyhow::Result<u8> {
    let mut settings = Settings::load()?;
    if options.from_rtc {
        settings.gps.source = GpsSource::None;
    }
    let rehearsal = options.rehearse.as_deref().map(rehearsal_folder).transpose()?;
    let rehearsal = rehearsal.as_deref();
    let folder = rehearsal.unwrap_or(&settings.clock.folder);
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mut journal = match rehearsal {
        Some(_) => Journal::default(),
        None => Journal::open(&settings.clock.log_file),
    };
    let _alone = alone(folder, &mut journal)?;
    let report = rehearsal.map_or_else(|| settings.clock.report.clone(), |folder| folder.join("report.json"));
    let beside_report = report.parent().unwrap_or(folder).to_owned();
    let mut kept = Kept::read(&[&beside_report, folder], boot_id.trim());
    let mut clock = open_clock(rehearsal)?;
    let daemons =
        || if rehearsal.is_some() { Vec::new() } else { keepers::running(Path::new("/proc")).unwrap_or_default() };
    let mut tools = Tools {
        clock: clock.as_mut(),
        rtc: if options.from_rtc { soon(|| open_rtc(&settings, rehearsal)) } else { open_rtc(&settings, rehearsal) },
        receivers: receivers(&settings.gps),
        daemons: &daemons,
        is_steered_by_receiver: &|daemon| rehearsal.is_none() && keepers::is_steered_by_receiver(daemon),
        publish: &mut |written, kept| {
            // Both are written again at the end, and then it is said if they cannot be.
            drop(kept.write_for_this_boot(&beside_report));
            drop(write_report(&report, written));
        },
        timer: &MachineTimer::default(),
        journal: &mut journal,
        built: built()?,
    };
    let outcome = run(&mut tools, &settings, &mut kept);
    if let Err(error) = kept.write(folder, &outcome.run) {
        journal.warn(format_args!("failed to keep what was found in {}: {error}", folder.display()));
    }
    if let Err(error) = kept.write_for_this_boot(&beside_report) {
        journal.warn(format_args!("failed to keep what was found in {}: {error}", beside_report.display()));
    }
    if let Err(error) = write_report(&report, &outcome.report) {
        journal.warn(format_args!("failed to write the report {}: {error}", report.display()));
    }
    Ok(outcome.run.exit_code)
}

/// The receivers of the settings. Nothing is opened yet.
pub(super) fn receivers(gps: &Gps) -> Vec<Box<dyn Receiver>> {
    let gpsd = || Box::new(GpsdReceiver::new(&gps.gpsd));
    let serial = || Box::new(SerialReceiver::new(&gps.device, gps.baud, &gps.pulse));
    match gps.source {
        GpsSource::Auto => {
            let now = || Duration::from_micros(boot_clock::monotonic_us());
            vec![Box::new(AutoReceiver::new(gpsd(), serial(), Box::new(now)))]
        }
        GpsSource::Gpsd => vec![gpsd()],
        GpsSource::Serial => vec![serial()],
        GpsSource::None => Vec::new(),
    }
}

/// The folder of a rehearsal, made if need be, by its full name.
fn rehearsal_folder(folder: &Path) -> anyhow::Result<PathBuf> {
    let made = fs::create_dir_all(folder).and_then(|()| folder.canonicalize());
    made.with_context(|| format!("failed to make the folder {}", folder.display()))
}

/// Two runs at the same time would set the clock twice.
fn alone(folder: &Path, journal: &mut Journal) -> anyhow::Result<Option<Alone>> {
    match Durable::open(folder).and_then(|folder| folder.claim_alone()) {
        Ok(alone) => Ok(Some(alone)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            anyhow::bail!("another run of `tide-timesync sync` is under way (it holds {})", folder.display())
        }
        // A disk that takes no writes is no reason to leave the clock wrong.
        Err(error) => {
            journal.warn(format_args!("failed to use the folder {}: {error}", folder.display()));
            Ok(None)
        }
    }
}

fn open_clock(rehearsal: Option<&Path>) -> anyhow::Result<Box<dyn SystemClock>> {
    let Some(folder) = rehearsal else { return Ok(Box::new(KernelClock)) };
    let now_us = KernelClock.reading().real_us;
    Ok(Box::new(RehearsedClock::open(folder, Arc::new(boot_clock::monotonic_us), now_us)?))
}

/// At the boot the chip's driver may be a moment behind.
fn soon(open: impl Fn() -> Option<Result<Box<dyn Rtc>, RtcError>>) -> Option<Result<Box<dyn Rtc>, RtcError>> {
    for _ in 0..TRIES {
        let found = open();
        if !matches!(found, Some(Err(RtcError::Absent(_)))) {
            return found;
        }
        std::thread::sleep(BETWEEN_TRIES);
    }
    open()
}

fn open_rtc(settings: &Settings, rehearsal: Option<&Path>) -> Option<Result<Box<dyn Rtc>, RtcError>> {
    let rtc = &settings.rtc;
    if rtc.kind == RtcKind::None {
        return None;
    }
    if let Some(folder) = rehearsal {
        return Some(rehearsed_rtc(folder, settings));
    }
    let kernel = || KernelRtc::choose(Path::new("/sys"), Path::new("/dev"), rtc.name.as_deref());
    let i2c = || I2cRtc::open(&rtc.bus, rtc.address, rtc.chip);
    Some(match rtc.kind {
        RtcKind::I2c => i2c().map(|rtc| Box::new(rtc) as Box<dyn Rtc>),
        RtcKind::Auto if rtc.name.is_none() && rtc.bus.exists() => match kernel() {
            Err(RtcError::Absent(_)) => i2c().map(|rtc| Box::new(rtc) as Box<dyn Rtc>),
            found => found.map(|rtc| Box::new(rtc) as Box<dyn Rtc>),
        },
        RtcKind::Auto | RtcKind::Kernel | RtcKind::None => kernel().map(|rtc| Box::new(rtc) as Box<dyn Rtc>),
    })
}

fn rehearsed_rtc(folder: &Path, settings: &Settings) -> Result<Box<dyn Rtc>, RtcError> {
    let path = folder.join("rtc.json");
    let place = path.display().to_string();
    let chip = settings.rtc.chip;
    let file = RegisterFile::open_by_wall_clock(&path, chip)
        .map_err(|source| RtcError::Unreadable { name: format!("the rehearsed {} in {place}", chip.name()), source })?;
    Ok(Box::new(I2cRtc::on(file, chip, place, Arc::new(MachineTimer::default()))))
}

fn write_report(path: &Path, report: &ClockReport) -> anyhow::Result<()> {
    let folder = Durable::open(path.parent().context("the report has no folder")?)?;
    let name = path.file_name().context("the report has no name")?;
    Ok(folder.publish(&folder.root().join(name), &report.to_json(), IfExists::Replace)?)
}

fn built() -> anyhow::Result<Timestamp> {
    Ok(Timestamp::from_second(BUILT_S.parse().context("this program does not know when it was built")?)?)
}
