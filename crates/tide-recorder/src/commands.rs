//! The command line.

use anyhow::bail;
use clap::{Args, Parser, Subcommand};
use jiff::{SignedDuration, Timestamp};
use tide_photo::CapturedAt;

use crate::config::Settings;
use crate::shot::Shot;
use crate::station::{Station, is_finished};

/// Photographs the water on time, and keeps every photo until the server says that it holds it.
///
/// Settings come from the file that TIDE_CONFIG names (default /etc/tide/recorder.toml) and from the environment.
#[derive(Parser)]
#[command(version)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Subcommand)]
pub enum Command {
    /// Take photos on schedule and deliver them, until told to stop.
    Run,
    /// Take photos into the spool now and print a line for each; `run` delivers them.
    Shoot(Shoot),
}

/// How many photos, and of when.
#[derive(Args)]
pub struct Shoot {
    /// How many photos to take, one after the other.
    #[arg(long, default_value_t = 1)]
    count: u32,
    /// Simulated cameras only: pretend that the first photo is taken at this time (RFC 3339) ...
    #[arg(long, requires = "every")]
    from: Option<CapturedAt>,
    /// ... and each further one this many seconds later.
    #[arg(long, value_name = "SECONDS", requires = "from", value_parser = clap::value_parser!(u32).range(1..))]
    every: Option<u32>,
}

/// Takes photos into the spool.
///
/// # Errors
/// If none could be taken, or the disk fails.
pub fn shoot(settings: &Settings, options: &Shoot) -> anyhow::Result<()> {
    let mut settings = settings.clone();
    // This program ends soon: what waited in its memory would be lost.
    settings.disk.memory_bytes = 0;
    let mut station = Station::open(&settings)?;
    if settings.disk.max_bytes.is_some() {
        station.read_rest();
    }
    let mut failed = 0;
    for number in 0..options.count {
        let shot = match moment(options, number)? {
            Some(pretended) => station.pretend(pretended),
            None => station.shoot(),
        };
        match shot {
            Ok(shot) => print(&shot),
            Err(error) if is_finished(&error) && number > 0 => break,
            // One photo of a replay that is damaged does not hold back the others.
            Err(error) => {
                eprintln!("tide-recorder: {error:#}");
                failed += 1;
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} photos could not be taken", options.count);
    }
    Ok(())
}

/// The pretended moment of a photo; `None` for now.
fn moment(options: &Shoot, number: u32) -> anyhow::Result<Option<CapturedAt>> {
    let (Some(from), Some(every)) = (options.from, options.every) else { return Ok(None) };
    let later = SignedDuration::from_secs(i64::from(every) * i64::from(number));
    let at = Timestamp::from_microsecond(from.as_micros()).and_then(|from| from.checked_add(later));
    match at.ok().and_then(|at| CapturedAt::from_micros(at.as_microsecond())) {
        Some(at) => Ok(Some(at)),
        None => bail!("photo {number} would lie beyond the calendar; take fewer, or begin earlier"),
    }
}

fn print(Shot { manifest, .. }: &Shot) {
    println!("{} {} {} bytes, {}", manifest.captured_at, manifest.digest, manifest.size_bytes, manifest.clock);
}
