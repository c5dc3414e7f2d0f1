//! The command line.

mod readable;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use jiff::{SignedDuration, Timestamp};
use tide_photo::CapturedAt;

use crate::config::Settings;
use crate::console;
use crate::server_link::ServerLink;
use crate::shot::Shot;
use crate::spool::Left;
use crate::station::{Station, is_finished, is_given_up};

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
    /// Say how the recorder that runs on this machine is; ends with status 1 if none does.
    Status(StatusOptions),
    /// Say whether the settings can be used, and change nothing.
    Settings,
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

/// In which form.
#[derive(Args)]
pub struct StatusOptions {
    /// As JSON, as it is sent to the server.
    #[arg(long)]
    json: bool,
}

/// Prints the status of the recorder that uses the data folder.
///
/// # Errors
/// If none does, or it does not answer.
pub fn status(settings: &Settings, options: &StatusOptions) -> anyhow::Result<()> {
    let folder = settings.data_dir.display();
    let answer = console::ask(&settings.data_dir);
    let Some(status) = answer.with_context(|| format!("failed to ask the recorder that uses {folder}"))? else {
        bail!(
            "no tide-recorder is running on {folder}; start one with `tide-recorder run`, or `systemctl start tide-recorder`"
        );
    };
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&status)?),
        false => print!("{}", readable::page(&status)),
    }
    Ok(())
}

/// Says that the settings, which are loaded, can be used: address, certificate and token, too.
///
/// # Errors
/// If `run` would refuse the server's address, its certificate or the token.
pub fn settings(settings: &Settings) -> anyhow::Result<()> {
    ServerLink::new(&settings.server, &settings.upload)?;
    println!("The recorder's settings for the station {} can be used.", settings.station);
    Ok(())
}

/// Takes photos into the spool.
///
/// # Errors
/// If one could not be taken, or the disk had no room for it; the others are in the spool.
pub fn shoot(settings: &Settings, options: &Shoot) -> anyhow::Result<()> {
    let mut settings = settings.clone();
    // This program ends soon: what waited in its memory would be lost.
    settings.disk.memory_bytes = 0;
    let mut station = Station::open(&settings)?;
    if settings.disk.max_bytes.is_some() {
        station.read_rest();
    }
    let (mut failed, mut given_up) = (0, 0);
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
                *(if is_given_up(&error) { &mut given_up } else { &mut failed }) += 1;
            }
        }
    }
    let left = station.close();
    match shortfall(options.count, failed, given_up + left.lost, left) {
        sentence if sentence.is_empty() => Ok(()),
        sentence => bail!(sentence),
    }
}

/// What became of the photos that are not in the spool; empty if all are.
fn shortfall(count: u32, failed: usize, given_up: usize, left: Left) -> String {
    let mut parts = Vec::new();
    if failed > 0 {
        parts.push(format!("{failed} of {count} photos could not be taken"));
    }
    if given_up > 0 {
        parts.push(format!(
            "{given_up} of {count} photos were given up, because the disk takes no more; make room on it, or see [disk]"
        ));
    }
    if left.uncounted > 0 {
        parts.push(format!("the disk did not take the count of {} photos given up", left.uncounted));
    }
    parts.join("; ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_told_of_every_photo_that_is_not_in_the_spool() {
        let all_counted = Left { lost: 0, uncounted: 0 };
        assert_eq!(shortfall(5, 0, 0, all_counted), "");
        assert_eq!(shortfall(5, 1, 0, all_counted), "1 of 5 photos could not be taken");
        let said = shortfall(5, 1, 2, Left { lost: 0, uncounted: 2 });
        for part in ["1 of 5 photos could not be taken", "2 of 5 photos were given up", "the count of 2 photos"] {
            assert!(said.contains(part), "{said}");
        }
    }
}
