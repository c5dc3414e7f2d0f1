//! The data partition is beyond repair.

use std::time::Duration;

use anyhow::{Context, ensure};
use tide_journey::appliance::{Card, Disk, Rtc, until};

use crate::bench::Bench;
use crate::station::Station;

const TO_SHOOT: Duration = Duration::from_secs(400);

const TO_PROVISION: Duration = Duration::from_secs(120);

/// Where the data are, and where they go on.
const DATA: u64 = 3;
const SPARE: u64 = 4;

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<String> {
    let station = bench.at_work()?;
    let (name, card) = (station.name, station.card);
    station.machine.switch_off()?;
    ensure!(card.partition(SPARE)?.is_none(), "there is a fourth partition already");
    card.ruin(DATA, bench.plan.seed)?;
    let ruined = card.digest(DATA)?;
    let mut station = bench.switch_on(&name, card, Rtc::Set, Disk::Plain)?;
    station.wait_for_shell()?;
    let (is_ready, _) = until("tide-provision has ended", TO_PROVISION, || judged(&mut station))?;
    let at = station.shell().output("findmnt -no SOURCE /data")?;
    ensure!(at.ends_with("vda4"), "/data is {at}, and not the fourth partition");
    let status = status(&station.card)?;
    ensure!(status.to_lowercase().contains("partition"), "tide-status.txt says nothing of it: {status}");
    // With the second copy of its secrets, for the card's tide.toml holds none.
    ensure!(is_ready, "the station does not shoot: {status}");
    station.until_new_photo(&bench.stand, "photos go on", TO_SHOOT)?;
    let spare = station.card.partition(SPARE)?.context("there is no fourth partition")?;
    ensure!(station.card.digest(DATA)? == ruined, "the ruined partition was written to");
    station.wait_for_shell()?;
    station.machine.switch_off()?;
    Ok(format!(
        "photos went on by themselves; /data is {at} of {} MiB, the ruined one is untouched; tide-status.txt: {}",
        spare.bytes / 1_048_576,
        status.lines().find(|line| line.to_lowercase().contains("partition")).unwrap_or_default().trim()
    ))
}

fn status(card: &Card) -> anyhow::Result<String> {
    card.read_fat("tide-status.txt")?.context("there is no tide-status.txt")
}

/// Whether the station may shoot; `None` while that is not known yet.
fn judged(station: &mut Station) -> anyhow::Result<Option<bool>> {
    let state = station.shell().output("systemctl show --value -p ActiveState tide-provision.service")?;
    let is_ready = station.shell().run("test -e /run/tide/ready")?.code == 0;
    Ok(["active", "failed"].contains(&state.as_str()).then_some(is_ready))
}
