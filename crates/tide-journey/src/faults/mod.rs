//! Fault tests: what a pier, a disk and a hostile stranger do to server and station, done on purpose. The long forms run by
//! `cargo xtask faults`, a short form of each among the journeys.

mod clock_jumps;
mod cutting_proxy;
mod disk_full;
mod fleet;
mod gps_dates;
mod gps_noise;
mod hostile_uploads;
mod image_disk;
mod kill_loop;
mod lost_answers;
mod power_cut;
mod rotation;
mod server_away;
mod spool_cut;
mod spool_full;

use std::fmt;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context;

use crate::needs::Need;

/// How much of a fault to make, and which.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How often; what is counted is the fault's own (kills, cuts, connections).
    pub rounds: u32,
    /// Decides every random choice; the same seed makes the same choices.
    pub seed: u64,
}

/// One fault test.
pub struct Fault {
    /// Number and name, as `F1` and `kill-loop`.
    pub number: &'static str,
    /// What a person types.
    pub name: &'static str,
    /// What it takes beside our own programs.
    pub need: Need,
    /// What is done, and what must hold.
    pub about: &'static str,
    /// Rounds of the long form.
    pub long_rounds: u32,
    /// Rounds of the form among the journeys.
    pub short_rounds: u32,
    /// Does it; the text says what was seen, with figures.
    pub run: fn(Plan) -> anyhow::Result<Seen>,
}

/// What was seen, in one line with figures.
pub struct Seen(pub String);

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// All of them.
pub const FAULTS: [Fault; 12] = [
    kill_loop::FAULT,
    power_cut::FAULT,
    spool_cut::FAULT,
    disk_full::FAULT,
    spool_full::FAULT,
    server_away::FAULT,
    lost_answers::FAULT,
    clock_jumps::FAULT,
    gps_dates::FAULT,
    gps_noise::FAULT,
    hostile_uploads::FAULT,
    rotation::FAULT,
];

/// What a program ends with that tells how many of its tests failed, or why it could not do them.
pub fn exit_code(harmful: anyhow::Result<usize>) -> ExitCode {
    match harmful {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Random choices that are others each time.
///
/// # Errors
/// If the clock is before 1970.
pub fn seed_of_now() -> anyhow::Result<u64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(now.as_secs())
}

/// Runs what waits for answers.
fn wait_for<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
