//! `tide-timesync` on a real kernel, in a machine of its own: its clock is set, slewed and vouched for, and its RTC is written.

use anyhow::{Context, ensure};
use jiff::{SignedDuration, Timestamp, Unit};
use libtest_mimic::Trial;
use serde_json::Value;
use tide_journey::Guest;
use tide_journey::guest::{Console, Receiver, fix};
use tide_journey::needs::{Need, journey};

pub(crate) fn journeys() -> Vec<Trial> {
    vec![
        journey("a_real_kernels_clock_and_rtc_are_set_from_gps", Need::Guest, from_gps),
        journey("a_real_kernels_clock_is_set_from_the_rtc", Need::Guest, from_rtc),
        journey("a_chip_on_a_real_bus_is_written_without_a_driver", Need::Guest, on_the_bus),
    ]
}

/// Settings of the station in a guest; its receiver answers within so many milliseconds.
fn settings(max_latency_ms: u32, rtc: &str) -> String {
    format!(
        "[gps]\nsource = 'serial'\ndevice = '/dev/ttyS1'\nwait_s = 30\nmax_latency_ms = {max_latency_ms}\n\
         [rtc]\n{rtc}\n[clock]\nfolder = '/data'\nlog_file = '/log'\n"
    )
}

/// The receiver's clock is a day ahead of ours, and so later than this program was built.
fn tomorrow() -> anyhow::Result<Timestamp> {
    Ok(Timestamp::now().round(Unit::Second)?.checked_add(SignedDuration::from_hours(24))?)
}

/// A number of busybox's `adjtimex`, whose lines may begin with the option that sets it.
fn number(text: &str, key: &str) -> anyhow::Result<i64> {
    let value = |line: &str| line.split_once(key)?.1.strip_prefix(':').map(str::to_owned);
    let value = text.lines().find_map(value).with_context(|| format!("adjtimex says no {key}: {text}"))?;
    Ok(value.split_whitespace().next().context("a number")?.parse()?)
}

/// `STA_NANO`, with which the kernel tells nanoseconds.
fn is_in_nanoseconds(text: &str) -> anyhow::Result<bool> {
    Ok(number(text, "status")? & 0x2000 != 0)
}

/// The kernel's account of its clock, in microseconds: largest error, and what is being slewed; `None` if nobody vouches for it.
fn account(console: &Console, name: &str) -> anyhow::Result<Option<(i64, i64)>> {
    let text = console.shown(name)?.text;
    if text.contains("UNSYNC") {
        return Ok(None);
    }
    let unit = if is_in_nanoseconds(&text)? { 1_000 } else { 1 };
    Ok(Some((number(&text, "maxerror")?, number(&text, "offset")? / unit)))
}

/// How far the guest's clock was ahead of its receiver's, in microseconds, when `adjtimex` showed it.
fn ahead_us(console: &Console, name: &str) -> anyhow::Result<i64> {
    let shown = console.shown(name)?;
    let decimals = number(&shown.text, "time.tv_usec")?;
    let nanoseconds = if is_in_nanoseconds(&shown.text)? { decimals } else { decimals * 1_000 };
    let clock = Timestamp::new(number(&shown.text, "time.tv_sec")?, nanoseconds.try_into()?)?;
    let (began, ended) = (shown.began.context("the receiver is on")?, shown.ended.context("the receiver is on")?);
    let truth = began.checked_add(ended.duration_since(began) / 2)?;
    Ok(clock.duration_since(truth).as_micros().try_into()?)
}

/// From a clock that is shown in the guest to its line here, in microseconds: the way over the console, on a busy machine.
const CONSOLE_US: i64 = 150_000;

fn from_gps() -> anyhow::Result<()> {
    let begins = tomorrow()?;
    let guest = Guest::new()?
        .with_program("tide-timesync")?
        .with_file("etc/tide/timesync.toml", &settings(300, "name = 'rtc_cmos'"))
        .with_file("sooner.toml", &settings(100, "name = 'rtc_cmos'"))
        .with_receiver(Receiver::new(begins, fix));
    let console = guest.run(
        "show before adjtimex
         receiver_on
         show sync tide-timesync sync
         show kernel adjtimex
         show report cat /run/tide-timesync/report.json
         show rtc hwclock -u -r
         export TIDE_CONFIG=/sooner.toml
         show again tide-timesync sync
         show slewing adjtimex
         sleep 20
         show slewed adjtimex
         show status tide-timesync status
         show log cat /log
         show history cat /data/history.jsonl",
    )?;
    let text = |name: &str| Ok::<_, anyhow::Error>(console.shown(name)?.text);
    ensure!(account(&console, "before")?.is_none(), "a kernel that has just booted vouches for its clock");

    let sync = console.shown("sync")?;
    ensure!(sync.code == 0 && sync.text.contains("shows a time that cannot be"), "{}", console.text());
    let report: Value = serde_json::from_str(&text("report")?)?;
    let uncertainty_us = report["uncertainty_ms"].as_i64().context("an uncertainty")? * 1_000;
    ensure!(report["source"] == "gps" && uncertainty_us <= 160_000, "{report}");
    let off_us = ahead_us(&console, "kernel")?;
    ensure!(off_us.abs() <= uncertainty_us + CONSOLE_US, "{off_us} us off: {}", console.text());
    let (max_error_us, _) = account(&console, "kernel")?.context("nobody vouches for a clock that was set")?;
    // Since it was set the bound has grown by 500 us each second.
    ensure!((uncertainty_us - 1_000..=uncertainty_us + 10_000).contains(&max_error_us), "{}", text("kernel")?);
    ensure!(text("rtc")?.contains(&format!(" {} ", begins.strftime("%Y"))), "{}", text("rtc")?);

    // The first time the messages may have been 300 ms old, now only 100: the middle moves by 100 ms.
    let again = console.shown("again")?;
    ensure!(again.code == 0 && again.text.contains("and is slewed"), "{}", again.text);
    let (bound_us, slewing_us) = account(&console, "slewing")?.context("nobody vouches for a clock that is slewed")?;
    ensure!(slewing_us.abs() > 40_000 && bound_us < 70_000, "{}", text("slewing")?);
    let off_us = ahead_us(&console, "slewing")?;
    ensure!((off_us + slewing_us).abs() <= bound_us + CONSOLE_US, "{off_us} us off: {}", console.text());
    let (_, left_us) = account(&console, "slewed")?.context("nobody vouches for a clock that was slewed")?;
    // A 256th of what is left goes each second.
    let gone = 1.0 - left_us as f64 / slewing_us as f64;
    ensure!((0.04..0.2).contains(&gone), "{gone} of {slewing_us} us is gone after 20 s");

    let status = text("status")?;
    ensure!(status.starts_with("clock     gps ± ") && status.contains("synchronised, within"), "{status}");
    ensure!(text("log")?.lines().all(|line| line.starts_with("[GPS-RTC SYNC] 20")), "{}", text("log")?);
    ensure!(text("history")?.lines().count() == 2, "{}", text("history")?);
    Ok(())
}

fn from_rtc() -> anyhow::Result<()> {
    let guest = Guest::new()?
        .with_program("tide-timesync")?
        .with_file("etc/tide/timesync.toml", &settings(300, "name = 'rtc_cmos'"));
    let year = tomorrow()?.strftime("%Y").to_string();
    // The clock is set for the RTC's sake, and then lost again.
    let console = guest.run(&format!(
        "show lost tide-timesync sync --from-rtc
         date -u -s '{} 10:00:00' > /dev/null
         hwclock -u -w
         date -u -s '2001-01-01 00:00:00' > /dev/null
         show sync tide-timesync sync --from-rtc
         show clock date -u +%Y
         show kernel adjtimex
         show report cat /run/tide-timesync/report.json",
        tomorrow()?.strftime("%Y-%m-%d")
    ))?;
    let lost = console.shown("lost")?;
    ensure!(lost.code == 1 && lost.text.contains("has lost its time"), "an RTC in 2000 is none: {}", lost.text);
    let sync = console.shown("sync")?;
    ensure!(sync.code == 0 && sync.text.contains("has its time from rtc_cmos"), "{}", console.text());
    ensure!(console.shown("clock")?.text.trim() == year, "{}", console.text());
    let report: Value = serde_json::from_str(&console.shown("report")?.text)?;
    ensure!(report["source"] == "rtc" && report["uncertainty_ms"].as_u64() >= Some(1_000), "{report}");
    // The kernel would copy it to the RTC, which is the better clock of the two.
    ensure!(account(&console, "kernel")?.is_none(), "{}", console.shown("kernel")?.text);
    Ok(())
}

/// The kernel's test adapter for I2C keeps what is written, but its registers do not count: the chip stands still, which the
/// program has to notice.
fn on_the_bus() -> anyhow::Result<()> {
    let begins = tomorrow()?;
    let rtc = "kind = 'i2c'\nbus = '/dev/i2c-0'\nchip = 'ds3231'";
    let guest = Guest::new()?
        .with_program("tide-timesync")?
        .with_file("etc/tide/timesync.toml", &settings(300, rtc))
        .with_receiver(Receiver::new(begins, fix));
    let console = guest.run(
        "i2c_chip 0x68
         i2cset -y 0 0x68 0x0f 0x80
         receiver_on
         show sync tide-timesync sync
         show year i2cget -y 0 0x68 0x06
         show day i2cget -y 0 0x68 0x04
         show flag i2cget -y 0 0x68 0x0f",
    )?;
    let sync = console.shown("sync")?;
    ensure!(sync.text.contains("its oscillator has stopped"), "{}", console.text());
    ensure!(sync.code == 1 && sync.text.contains("stands still"), "{}", console.text());
    let shown = |name: &str| Ok::<_, anyhow::Error>(console.shown(name)?.text.trim().to_owned());
    // BCD, as the datasheet has it.
    ensure!(shown("year")? == format!("0x{}", begins.strftime("%y")), "{}", console.text());
    ensure!(shown("day")? == format!("0x{}", begins.strftime("%d")), "{}", console.text());
    ensure!(shown("flag")? == "0x00", "the flag of the stopped oscillator is cleared: {}", console.text());
    Ok(())
}
