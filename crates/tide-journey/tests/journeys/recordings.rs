//! Recordings of real receivers: `tide-timesync fixes` finds the times in them that gpsd found.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::thread;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tide_journey::needs::{self, Need, journey};
use tide_journey::programs::{output, program};
use tide_journey::recordings::{gpsds_times, printed_times};

pub(crate) fn journeys() -> Vec<Trial> {
    vec![
        journey("recordings_tell_the_times_that_gpsd_found", Need::GpsRecordings, whole),
        journey("recordings_in_pieces_tell_the_same_times", Need::GpsRecordings, in_pieces),
    ]
}

fn whole() -> anyhow::Result<()> {
    for recording in needs::gps_recordings()? {
        let printed = output(program("tide-timesync")?.arg("fixes").arg(&recording))?;
        expect_gpsds_times(&recording, &printed)?;
    }
    Ok(())
}

fn in_pieces() -> anyhow::Result<()> {
    for recording in needs::gps_recordings()? {
        let printed = read_from_a_pipe(&recording)?;
        expect_gpsds_times(&recording, &printed)?;
    }
    Ok(())
}

/// None missing, none invented, in gpsd's order.
fn expect_gpsds_times(recording: &Path, printed: &str) -> anyhow::Result<()> {
    let (ours, theirs) = (printed_times(printed)?, gpsds_times(recording)?);
    let missing: Vec<_> = theirs.iter().filter(|time| !ours.contains(time)).collect();
    let invented: Vec<_> = ours.iter().filter(|time| !theirs.contains(time)).collect();
    let name = recording.display();
    ensure!(!theirs.is_empty(), "{name}: gpsd found no time");
    ensure!(missing.is_empty() && invented.is_empty(), "{name}: missing {missing:?}, invented {invented:?}");
    ensure!(ours == theirs, "{name}: in another order: {ours:?}, not {theirs:?}");
    println!("{name}: {} times", ours.len());
    Ok(())
}

/// What is printed of a recording that comes in pieces as small as a receiver's.
fn read_from_a_pipe(recording: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(recording)?;
    let mut command = program("tide-timesync")?;
    let mut child = command.args(["fixes", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut pipe = child.stdin.take().context("it has an input")?;
    let writer = thread::spawn(move || -> std::io::Result<()> {
        let mut random = StdRng::seed_from_u64(bytes.len() as u64);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(random.random_range(1..=97).min(rest.len()));
            pipe.write_all(piece)?;
            rest = later;
        }
        Ok(())
    });
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    ensure!(output.status.success(), "it ended with {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}
