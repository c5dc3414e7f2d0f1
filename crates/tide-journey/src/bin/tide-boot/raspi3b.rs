//! What only a Raspberry Pi has: its name, its pins, its DS3231 on I2C, its watchdog. QEMU's model has a DS1338 there, whose
//! registers of time are the same, and whose memory reads as zero where a DS3231 has its status.

use anyhow::{Context, ensure};
use jiff::{Timestamp, ToSpan};
use tide_journey::appliance::Pi;
use tide_journey::guest::{Console, Receiver};
use tide_journey::spoken::{self, State};

use crate::bench::Bench;

/// The recorder's and the verifier's.
const SETTINGS: &str = r#"station = "pi"
data_dir = "/data/tide-recorder"
[server]
url = "https://tide.example.org:5000"
token = "none"
certificate = "public"
[camera]
kind = "synthetic"
width = 320
height = 240
[flash]
gpio = 5
active_low = true
[gps]
source = "serial"
device = "/dev/ttyS1"
wait_s = 60
[rtc]
kind = "i2c"
"#;

const SCRIPT: &str = "
export TIDE_CONFIG=/tide.toml NO_COLOR=1
mkdir -p /data/tide-recorder /data/tide-timesync /run/tide-timesync
show model cat /proc/device-tree/model
show drivers load_drivers
show watchdog cat /sys/class/watchdog/watchdog0/identity
show shoot tide-recorder shoot
receiver_on
show sync tide-timesync sync
show clock date -u +%s
date -u -s 2001-01-01 >/run/output
show from-rtc tide-timesync sync --from-rtc
show clock-again date -u +%s
";

/// Seconds by which a time may be off that was read from a console, or from a chip that has whole seconds only.
const ALLOWED_S: i64 = 2;

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<String> {
    let mut pi = Pi::new(&bench.image)?;
    pi.add_program("usr/bin/tide-recorder")?;
    pi.add_program("usr/bin/tide-timesync")?;
    pi.add_file("tide.toml", SETTINGS);
    // Any full second after the programs were built.
    let begins = Timestamp::from_second(Timestamp::now().as_second())? + 1.hours();
    let receiver = Receiver::new(begins, |time| spoken::cycle(time, State::Fix).concat());
    let began = std::time::Instant::now();
    let console = pi.run(SCRIPT, &receiver)?;
    let took = began.elapsed();
    let model = console.shown("model")?.text;
    ensure!(model.starts_with("Raspberry Pi 3"), "the machine is {model:?}");
    expect_success(&console, "drivers")?;
    let watchdog = console.shown("watchdog")?.text;
    ensure!(watchdog.contains("BCM2835") || watchdog.contains("Broadcom"), "the watchdog is {watchdog:?}");
    let shoot = expect_success(&console, "shoot")?;
    ensure!(!shoot.contains("pin 5"), "the flash was not switched by the Pi's registers: {shoot}");
    let sync = expect_success(&console, "sync")?;
    expect_time(&console, "clock")?;
    expect_success(&console, "from-rtc")?;
    expect_time(&console, "clock-again")?;
    Ok(format!(
        "{} in {:.0} s from power-on to power-off; flash by its registers, {watchdog}, RTC written from GPS and read back: {}",
        model.trim_end_matches('\0'),
        took.as_secs_f64(),
        sync.lines().last().unwrap_or_default()
    ))
}

fn expect_success(console: &Console, name: &str) -> anyhow::Result<String> {
    let shown = console.shown(name)?;
    ensure!(shown.code == 0, "`{name}` ended with {}: {}", shown.code, shown.text);
    Ok(shown.text)
}

/// Fails unless the clock shows what the receiver's showed at that moment.
fn expect_time(console: &Console, name: &str) -> anyhow::Result<()> {
    let shown = console.shown(name)?;
    let said: i64 = shown.text.parse().with_context(|| format!("`date` said {:?}", shown.text))?;
    let told = shown.ended.context("the receiver was on")?.as_second();
    ensure!((said - told).abs() <= ALLOWED_S, "`{name}`: the clock shows {said}, the receiver {told}");
    Ok(())
}
