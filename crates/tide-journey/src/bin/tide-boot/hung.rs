//! What hangs is restarted: a recorder by systemd, a kernel by the hardware.

use std::time::Duration;

use anyhow::{Context, ensure};
use tide_journey::appliance::until;

use crate::bench::Bench;

/// The unit's own 90 seconds, and what systemd needs to end it and to start it again.
const TO_RESTART: Duration = Duration::from_secs(240);

/// systemd feeds the hardware within every 15 seconds.
const TO_RESET: Duration = Duration::from_secs(90);

const TO_SHOOT: Duration = Duration::from_secs(600);

/// A recorder that is stopped answers to nothing.
pub(crate) fn recorder(bench: &mut Bench) -> anyhow::Result<String> {
    let mut station = bench.at_work()?;
    let before = station.recorder()?;
    station.shell().output(&format!("kill -STOP {}", before.process))?;
    let (_, took) = until("systemd restarts the recorder", TO_RESTART, || {
        let now = station.recorder()?;
        Ok((now.process != 0 && now.process != before.process).then_some(()))
    })?;
    let why =
        station.shell().output("journalctl -b -u tide-recorder.service --no-pager | grep -i watchdog | tail -1")?;
    ensure!(!why.is_empty(), "the recorder was restarted, but not by the watchdog");
    let (_, shot) = station.until_new_photo(&bench.stand, "photos go on", TO_SHOOT)?;
    bench.leave(station);
    Ok(format!("restarted {:.0} s after it hung, and a photo {:.0} s later", took.as_secs_f64(), shot.as_secs_f64()))
}

/// A kernel that panics and stays there.
pub(crate) fn kernel(bench: &mut Bench) -> anyhow::Result<String> {
    let mut station = bench.at_work()?;
    let (boot, set) = (station.machine.boot_id()?, station.shell().output("cat /proc/sys/kernel/panic")?);
    ensure!(set != "0", "kernel.panic is 0: a kernel that panics would stay so");
    let fed = station.shell().run("cat /sys/class/watchdog/watchdog0/identity /sys/class/watchdog/watchdog0/state")?;
    ensure!(fed.text.contains("active") && !fed.text.contains("inactive"), "nobody feeds the watchdog: {}", fed.text);
    station.machine.qmp().forget_events();
    station.shell().output("sysctl -q kernel.panic=0")?;
    let began = std::time::Instant::now();
    station.shell().send("echo c >/proc/sysrq-trigger")?;
    let event = station.machine.qmp().event("WATCHDOG", TO_RESET).context("the hardware watchdog did nothing")?;
    let bitten = began.elapsed();
    ensure!(event["data"]["action"] == "reset", "the watchdog did something else: {event}");
    station.machine.until_booted_after(&boot)?;
    let (_, shot) = station.until_new_photo(&bench.stand, "photos go on", TO_SHOOT)?;
    bench.leave(station);
    Ok(format!(
        "kernel.panic is {set}; with 0 the watchdog reset the machine {:.0} s after it hung; a photo {:.0} s after it had booted",
        bitten.as_secs_f64(),
        shot.as_secs_f64()
    ))
}
