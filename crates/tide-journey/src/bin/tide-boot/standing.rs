//! What a station is once it is at work: read-only where it must be, closed to the network, small, and without its secret where a
//! PC would show it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use tide_journey::appliance::{Image, until};

use crate::station::Station;

/// The issue's: all that a card holds before it was on.
const MAX_IMAGE_BYTES: u64 = 700_000_000;

/// The issue's: recorder and timesync together.
const MAX_RESIDENT_KIB: u64 = 30 * 1_024;

/// The verifier writes the RTC before it reports, but a whole second's boundary is waited for.
const TO_WRITE_RTC: Duration = Duration::from_secs(60);

/// DHCP clients, which take only answers to their own questions.
const DHCP_PORTS: [&str; 2] = ["68", "546"];

/// Checks all of it; figures for a person.
pub(crate) fn expect(station: &mut Station, image: &Image, settings: &str) -> anyhow::Result<String> {
    expect_rtc(station)?;
    expect_mounts(station)?;
    expect_secret_is_away(station, settings)?;
    expect_status(station)?;
    let ports = expect_closed(station)?;
    let failed = station.shell().output("systemctl --failed --plain --no-legend")?;
    ensure!(failed.is_empty(), "units have failed: {failed}");
    let memory = memory(station)?;
    let sizes = sizes(station, image)?;
    Ok(format!("{ports}; {memory}; {sizes}"))
}

fn expect_rtc(station: &mut Station) -> anyhow::Result<()> {
    let written = until("the RTC shows the time", TO_WRITE_RTC, || {
        let said: i64 = station.shell().output("cat /sys/class/rtc/rtc0/since_epoch")?.parse()?;
        Ok((said - Timestamp::now().as_second()).abs().le(&2).then_some(()))
    });
    written.map(drop)
}

fn expect_mounts(station: &mut Station) -> anyhow::Result<()> {
    let mut mounted = |at: &str| station.shell().output(&format!("findmnt -no FSTYPE,OPTIONS {at}"));
    for (at, kind, option) in [
        ("/", "ext4", "ro"),
        ("/boot/firmware", "vfat", "ro"),
        ("/data", "ext4", "rw"),
        ("/var", "tmpfs", "rw"),
        ("/tmp", "tmpfs", "rw"),
    ] {
        let said = mounted(at)?;
        let (is, options) = said.split_once(char::is_whitespace).with_context(|| format!("{at} is mounted: {said}"))?;
        let has = options.trim().split(',').any(|is| is == option);
        ensure!(is == kind && has, "{at} is {said}, and not {kind} with {option}");
    }
    for at in ["/", "/etc", "/usr/bin", "/boot/firmware"] {
        let tried = station.shell().run(&format!("touch {at}/tide-test"))?;
        ensure!(tried.code != 0 && tried.text.contains("Read-only"), "{at} can be written to: {}", tried.text);
    }
    Ok(())
}

/// The token is for root and the recorder, and no longer where the card's FAT shows it; not even where it was.
fn expect_secret_is_away(station: &mut Station, settings: &str) -> anyhow::Result<()> {
    let token = token(settings)?;
    let kept = station.shell().output("stat -c '%a %U' /data/tide/secrets/token && cat /data/tide/secrets/token")?;
    ensure!(kept.lines().next() == Some("600 root"), "the token is for others too: {:?}", kept.lines().next());
    ensure!(kept.lines().nth(1).map(str::trim) == Some(token), "the token that is kept is another");
    ensure!(!station.card.holds(1, token.as_bytes())?, "the token is still somewhere on the FAT partition");
    let blanked = station.card.read_fat("tide.toml")?.context("tide.toml is gone")?;
    ensure!(blanked.contains("token = \"\""), "tide.toml has no blank token");
    Ok(())
}

pub(crate) fn token(settings: &str) -> anyhow::Result<&str> {
    let line = settings.lines().find_map(|line| line.strip_prefix("token = "));
    Ok(line.context("the settings have a token")?.trim_matches('"'))
}

fn expect_status(station: &Station) -> anyhow::Result<()> {
    let status = station.card.read_fat("tide-status.txt")?.context("there is no tide-status.txt")?;
    ensure!(status.to_lowercase().contains("ready"), "tide-status.txt does not say that it is ready: {status}");
    Ok(())
}

/// Nobody may come in: no key was given.
fn expect_closed(station: &mut Station) -> anyhow::Result<String> {
    let listening = station.shell().output("ss -Hlntu")?;
    let mut inside = 0;
    for line in listening.lines() {
        // Kind, state, two queues, then the address.
        let local = line.split_whitespace().nth(4).with_context(|| format!("ss said {line}"))?;
        let (address, port) = local.rsplit_once(':').with_context(|| format!("ss said {line}"))?;
        let is_inside = address.starts_with("127.") || address.starts_with("[::1]") || address.ends_with("%lo");
        if !is_inside && !DHCP_PORTS.contains(&port) {
            bail!("somebody listens at {local}: {}", station.shell().output("ss -Hlntup")?);
        }
        inside += u32::from(is_inside);
    }
    Ok(format!("no open port, {inside} inside"))
}

fn memory(station: &mut Station) -> anyhow::Result<String> {
    let recorder = station.recorder()?.process;
    // It ends within seconds, so it is run for its memory's sake.
    let sync = "TIDE_CONFIG=/data/tide/settings.toml tide-timesync sync --rehearse /run/tide-test-rehearsal >/dev/null 2>&1 & \
                sleep 5; grep VmHWM /proc/$!/status; kill $!";
    let resident = [format!("grep VmRSS /proc/{recorder}/status"), sync.to_owned()].map(|command| {
        let said = station.shell().output(&command)?;
        let kib = said.split_whitespace().nth(1).with_context(|| format!("the kernel said {said:?}"))?;
        anyhow::Ok(kib.parse::<u64>()?)
    });
    let [recorder, timesync] = resident;
    let (recorder, timesync) = (recorder?, timesync?);
    let total = station.shell().output("grep -E 'MemTotal|MemAvailable' /proc/meminfo | tr -s ' ' | tr '\\n' ' '")?;
    ensure!(recorder + timesync < MAX_RESIDENT_KIB, "recorder {recorder} KiB, timesync {timesync} KiB");
    Ok(format!("recorder {recorder} KiB and timesync {timesync} KiB resident; {total}"))
}

fn sizes(station: &mut Station, image: &Image) -> anyhow::Result<String> {
    let used = station.shell().output("df -B1 --output=used / /boot/firmware | tail -n +2")?;
    let used = used.split_whitespace().map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    let length = fs::metadata(image.product())?.len();
    ensure!(used.max(length) <= MAX_IMAGE_BYTES, "boot and root hold {used} bytes, the image file {length}");
    Ok(format!("{:.0} MB on the card's boot and root, the image file is {:.0} MB", mega(used), mega(length)))
}

#[expect(clippy::cast_precision_loss, reason = "for a person")]
fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
