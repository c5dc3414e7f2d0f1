//! The camera goes away, and comes back.

use std::time::Duration;

use anyhow::ensure;
use jiff::{Timestamp, ToSpan};
use tide_journey::appliance::until;

use crate::bench::Bench;

/// The kernel's own way to take a device from its driver: its nodes go, as with a plug that is pulled.
const DRIVER: &str = "/sys/bus/platform/drivers/vivid";

/// What the recorder needs to notice, and to find it again: it waits longer after each failure.
const TO_NOTICE: Duration = Duration::from_secs(120);
const TO_RECOVER: Duration = Duration::from_secs(240);

/// A shot in hand may still end.
const IN_HAND_S: i64 = 12;

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<String> {
    let mut station = bench.at_work()?;
    let before = station.recorder()?;
    station.shell().output(&format!("echo vivid.0 >{DRIVER}/unbind"))?;
    let gone = Timestamp::now();
    let (failures, noticed) = until("the recorder says that its camera fails", TO_NOTICE, || {
        Ok(station.status()?["camera"]["failures_in_a_row"].as_u64().filter(|failures| *failures >= 3))
    })?;
    station.shell().output(&format!("echo vivid.0 >{DRIVER}/bind"))?;
    let back = Timestamp::now();
    let (_, took) = station.until_new_photo(&bench.stand, "photos go on", TO_RECOVER)?;
    ensure!(station.recorder()? == before, "the recorder was restarted: {before:?}, {:?}", station.recorder()?);
    let photos = bench.stand.newest(&station.name)?;
    let impossible = photos.iter().filter(|photo| photo.at > gone + IN_HAND_S.seconds() && photo.at < back).count();
    ensure!(impossible == 0, "{impossible} photos are of a time without a camera");
    bench.leave(station);
    Ok(format!(
        "{failures} failures in {:.0} s without a camera; the next photo {:.0} s after it was back, by the same process",
        noticed.as_secs_f64(),
        took.as_secs_f64()
    ))
}
