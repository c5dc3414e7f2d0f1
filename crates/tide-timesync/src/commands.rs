//! What a person or a timer types.

mod fixes;
mod status;
mod sync;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use fixes::fixes;
pub use status::status;
pub use sync::sync;

use crate::config::Settings;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "tide-timesync", version, about = "Sets the station's clock and its battery-backed clock from GPS")]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set the system clock and the battery-backed clock from GPS, once; without a fix, the system clock from the battery-backed one
    ///
    /// Ends with 0 if that was done, 1 if the battery-backed clock cannot be read, 2 if it cannot be written, 3 if the system clock
    /// cannot be set.
    Sync(SyncOptions),
    /// Print one line of JSON for each fix of the receiver, or of a recording of one
    Fixes(FixesOptions),
    /// Say how well the clock is kept, and what the last run found
    Status(StatusOptions),
    /// Say whether the settings can be used, and change nothing
    Settings,
}

/// Says that the settings can be used.
///
/// # Errors
/// If they cannot.
pub fn settings() -> anyhow::Result<()> {
    Settings::load()?;
    println!("The settings of receiver, RTC and clock can be used.");
    Ok(())
}

/// Of `sync`.
#[derive(Debug, Args)]
pub struct SyncOptions {
    /// Touch neither the machine's clock nor its battery-backed one: use a clock and a chip that are kept in files of this folder
    #[arg(long, value_name = "DIR")]
    pub rehearse: Option<PathBuf>,
    /// Do not wait for GPS: set the system clock from the battery-backed one, as at the boot
    #[arg(long)]
    pub from_rtc: bool,
}

/// Of `fixes`.
#[derive(Debug, Args)]
pub struct FixesOptions {
    /// A recording, as it came from the receiver (NMEA, UBX, or both); `-` for standard input. The receiver of the settings if absent
    pub file: Option<PathBuf>,
    /// Also the moments of which the receiver knew the time, but had no fix
    #[arg(long)]
    pub all: bool,
}

/// Of `status`.
#[derive(Debug, Args)]
pub struct StatusOptions {
    /// For programs: report and last run as JSON
    #[arg(long)]
    pub json: bool,
}
