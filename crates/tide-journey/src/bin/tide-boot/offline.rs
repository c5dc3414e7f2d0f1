//! No network for a while.

use std::time::{Duration, Instant};

use anyhow::ensure;
use jiff::{SignedDuration, Timestamp};

use crate::bench::Bench;

/// An emulated machine encrypts slowly, and a station does not hurry.
const TO_DELIVER: Duration = Duration::from_secs(900);

/// A shot that is missed now and then, because the emulated processor did not come to it, is no loss of the network's.
const MOST_INTERVALS: u32 = 2;

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<String> {
    let mut station = bench.at_work()?;
    station.machine.set_network(false)?;
    let (from, began) = (Timestamp::now(), Instant::now());
    // There is nothing to wait for but the time itself; the station must go on for all of it.
    while began.elapsed() < bench.plan.offline {
        let left = bench.plan.offline.saturating_sub(began.elapsed());
        std::thread::sleep(left.min(Duration::from_secs(30)));
        station.uptime_s()?;
    }
    let to = Timestamp::now();
    let waiting = station.status()?["spool"]["waiting"].as_u64().unwrap_or_default();
    let held = bench.stand.photos(&station.name)?.iter().filter(|photo| photo.received_at > from).count();
    station.machine.set_network(true)?;
    let (_, back) = station.until_new_photo(&bench.stand, "photos arrive again", TO_DELIVER)?;
    let delivered = station.until_delivered(TO_DELIVER)?;
    let mut times: Vec<Timestamp> = bench.stand.photos(&station.name)?.iter().map(|photo| photo.at).collect();
    times.retain(|at| (from..=to).contains(at));
    times.sort();
    let arrived = u64::try_from(times.len())?;
    // One more may have been on its way when the cable was pulled.
    ensure!(arrived + 1 >= waiting && arrived > 0, "{waiting} photos waited, {arrived} of that time have arrived");
    let largest = gaps(&times, from, to).max().unwrap_or_default();
    let allowed = SignedDuration::try_from(Bench::interval() * MOST_INTERVALS)? + SignedDuration::from_secs(2);
    ensure!(largest <= allowed, "a gap of {largest:#} among the photos of that time, more than {allowed:#}");
    bench.leave(station);
    Ok(format!(
        "{} s without network: {waiting} photos waited, {held} had come by before; the first new one {:.0} s after it was back, \
         all {arrived} of that time {:.0} s later; largest gap {largest:#}",
        bench.plan.offline.as_secs(),
        back.as_secs_f64(),
        delivered.as_secs_f64()
    ))
}

/// Between photos, and at both ends.
fn gaps(times: &[Timestamp], from: Timestamp, to: Timestamp) -> impl Iterator<Item = SignedDuration> {
    let starts = [from].into_iter().chain(times.iter().copied());
    let ends = times.iter().copied().chain([to]);
    starts.zip(ends).map(|(start, end)| end.duration_since(start)).collect::<Vec<_>>().into_iter()
}
