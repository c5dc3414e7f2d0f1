//! F1: the server is killed again and again while clients upload.

use std::time::{Duration, Instant};

use anyhow::ensure;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::fleet::{Fleet, STATION};
use super::{Fault, Plan, Seen};
use crate::needs::Need;
use crate::server::files_below;
use crate::{TestServer, Upload};

pub(super) const FAULT: Fault = Fault {
    number: "F1",
    name: "kill-loop",
    need: Need::Nothing,
    about: "SIGKILL at random while 8 clients upload: every acknowledged photo is there once, byte for byte",
    long_rounds: 200,
    short_rounds: 5,
    run,
};

/// How long the server lives after it began to serve.
const LIFE_MS: std::ops::RangeInclusive<u64> = 200..=2_000;

/// The end of each life, in which clients begin new photos: the kill comes in the middle of their work. Before it they see
/// through what the last kill interrupted.
const RUSH: Duration = Duration::from_millis(120);

/// Photos at most, for each kill.
const PHOTOS_PER_KILL: u32 = 50;

/// Bytes of a photo.
const SIZE: usize = 100_000;

/// How long a restart may take, in the long form.
const LONGEST_RESTART: Duration = Duration::from_secs(1);

fn run(plan: Plan) -> anyhow::Result<Seen> {
    let mut random = StdRng::seed_from_u64(plan.seed);
    let mut server = TestServer::start()?;
    let photo = |number| Upload::made_up(STATION, number, SIZE);
    let fleet = Fleet::new(&server, photo, plan.rounds.saturating_mul(PHOTOS_PER_KILL))?;
    let (mut longest, mut interrupting) = (Duration::ZERO, 0);
    for _ in 0..plan.rounds {
        let life = Duration::from_millis(random.random_range(LIFE_MS));
        std::thread::sleep(life.saturating_sub(RUSH));
        fleet.open();
        std::thread::sleep(RUSH);
        interrupting += u32::from(fleet.under_way() > 0);
        server.kill()?;
        fleet.close();
        longest = longest.max(restart(&mut server, &fleet)?);
    }
    fleet.settle()?;
    fleet.compare(&server, usize::MAX)?;
    let is_long = plan.rounds >= FAULT.long_rounds && !cfg!(debug_assertions);
    ensure!(!is_long || longest <= LONGEST_RESTART, "a restart took {longest:?}");
    let aside = files_below(&server.data().join("photos/.unlisted")).map(|files| files.len()).unwrap_or_default();
    let ledger = fleet.end();
    Ok(Seen(format!(
        "{} kills, {interrupting} of them in the middle of uploads; {} photos, each there once; {} retries, {} answered \
         `already held`; {aside} files set aside; longest restart {} ms",
        plan.rounds,
        ledger.acknowledged.len(),
        ledger.retries,
        ledger.already_held,
        longest.as_millis()
    )))
}

/// Starts the server again; the time until its first answer.
fn restart(server: &mut TestServer, fleet: &Fleet) -> anyhow::Result<Duration> {
    let began = Instant::now();
    server.restart()?;
    let client = server.client()?;
    let health = client.get(format!("{}/health", server.url()));
    fleet.runtime.block_on(health.send())?.error_for_status()?;
    Ok(began.elapsed())
}
