//! From power-on with a fresh card to a photo in the server's list, and what the machine is then.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::bench::Bench;
use crate::standing;

/// It is looked for longer than it may take, so that a figure is there even when it is too late.
const TO_SEE: Duration = Duration::from_secs(600);

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<String> {
    bench.put_away();
    let (mut station, settings) = bench.fresh()?;
    let is_gps = |photo: &tide_journey::appliance::Photo| photo.source == "gps";
    let (photo, _) = station.until_photo(&bench.stand, "a photo by GPS is in the list", TO_SEE, is_gps)?;
    let (on_for, cpu) = (station.machine.on_for(), station.machine.cpu()?);
    let all = bench.stand.photos(&station.name)?;
    let first = all.last().context("there is a photo")?;
    station.wait_for_shell()?;
    // Where the machine has a way to the world, chrony might have asked a server there.
    let tracking = station.shell().output("chronyc -n tracking | head -1")?;
    ensure!(tracking.contains("GPS"), "chrony has the time from somewhere else: {tracking}");
    let booted = station.shell().output("systemd-analyze time | head -1")?;
    station.expect_clock_within(&photo)?;
    let standing = standing::expect(&mut station, &bench.image, &settings)?;
    let seen = format!(
        "{:.1} s from power-on to the first photo by GPS in the list (QEMU took {:.1} s of processor time; uncertainty {} ms), \
         {} photos then, the first by `{}`; {booted}; {standing}",
        on_for.as_secs_f64(),
        cpu.as_secs_f64(),
        photo.uncertainty_ms.unwrap_or_default(),
        all.len(),
        first.source,
    );
    bench.leave(station);
    ensure!(on_for <= bench.plan.first_photo, "too late: {seen}");
    Ok(seen)
}
