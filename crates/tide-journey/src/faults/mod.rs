//! Fault tests: what a pier, a disk and a hostile stranger do to the server, done on purpose. The long forms run by
//! `cargo xtask faults`, a short form of each among the journeys.

mod cutting_proxy;
mod disk_full;
mod fleet;
mod hostile_uploads;
mod kill_loop;
mod lost_answers;
mod power_cut;
mod rotation;
mod server_away;

use std::fmt;

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
pub const FAULTS: [Fault; 7] = [
    kill_loop::FAULT,
    power_cut::FAULT,
    disk_full::FAULT,
    server_away::FAULT,
    lost_answers::FAULT,
    hostile_uploads::FAULT,
    rotation::FAULT,
];

/// Runs what waits for answers.
fn wait_for<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
