//! The receiver is pulled out, the station boots without it, and it is plugged in again.

use std::time::Duration;

use anyhow::{Context, ensure};
use jiff::Timestamp;
use tide_journey::appliance::until;

use crate::bench::Bench;

const TO_GO: Duration = Duration::from_secs(30);

/// A boot, and a photo.
const TO_SHOOT: Duration = Duration::from_secs(300);

/// From the plug to a photo by it: the verifier has to hear of it, and to believe it.
const TO_BELIEVE: Duration = Duration::from_secs(420);

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<String> {
    let mut station = bench.at_work()?;
    station.machine.unplug_receiver();
    until("the receiver's device is gone", TO_GO, || {
        Ok((station.shell().run("test -e /dev/tide-gps")?.code != 0).then_some(()))
    })?;
    // The RTC goes on: QEMU does.
    let rebooting = Timestamp::now();
    station.machine.boot_by("systemctl reboot")?;
    let (by_rtc, took) = station.until_photo(&bench.stand, "photos go on by the RTC", TO_SHOOT, |photo| {
        photo.at > rebooting && photo.source == "rtc"
    })?;
    let uncertainty_ms = by_rtc.uncertainty_ms.context("a photo by the RTC says nothing of its uncertainty")?;
    station.expect_clock_within(&by_rtc)?;
    let error_ms = station.clock_error_ms()?;
    let others: Vec<_> = bench.stand.newest(&station.name)?;
    let others = others.iter().filter(|photo| photo.at > by_rtc.at && photo.source != "rtc").count();
    ensure!(others == 0, "{others} photos without a receiver are not by the RTC");
    let plugged = Timestamp::now();
    station.machine.plug_receiver_in()?;
    let (by_gps, back) = station.until_photo(&bench.stand, "photos are by GPS again", TO_BELIEVE, |photo| {
        photo.at > plugged && photo.source == "gps"
    })?;
    bench.leave(station);
    Ok(format!(
        "the first photo by the RTC {:.0} s after the boot began to answer, {uncertainty_ms} ms claimed, the clock was {error_ms} ms \
         off or more; by GPS {:.0} s after the plug, {} ms claimed",
        took.as_secs_f64(),
        back.as_secs_f64(),
        by_gps.uncertainty_ms.unwrap_or_default()
    ))
}
