//! The machine that other journeys boot: what they rely on is there, and none of it is this machine's.

use std::time::Duration;

use anyhow::{Context, ensure};
use jiff::Timestamp;
use libtest_mimic::Trial;
use tide_journey::Guest;
use tide_journey::guest::{Receiver, fix, sentence};
use tide_journey::needs::{Need, journey};

pub(crate) fn journeys() -> Vec<Trial> {
    vec![
        journey("a_guest_has_a_clock_an_rtc_and_a_receiver_of_its_own", Need::Guest, whole_machine),
        journey("a_guest_that_hangs_is_switched_off", Need::Guest, hanging),
    ]
}

fn whole_machine() -> anyhow::Result<()> {
    let begins: Timestamp = "2026-11-22T10:00:00Z".parse()?;
    let guest = Guest::new()?
        .with_program("tide-recorder")?
        .with_file("etc/greeting", "no end of line")
        .with_receiver(Receiver::new(begins, fix));
    let console = guest.run(
        "show year date -u +%Y
         show kernel adjtimex
         show rtc hwclock -u -r
         show driver cat /sys/class/rtc/rtc0/name
         show program tide-recorder --version
         show file cat /etc/greeting
         show failure false
         i2c_chip 0x68
         i2cset -y 0 0x68 0x0f 0x80
         show chip i2cget -y 0 0x68 0x0f
         stty -F /dev/ttyS1 raw -echo
         receiver_on
         show sentences head -n 6 /dev/ttyS1
         date -u -s '2026-11-22 10:00:00' > /dev/null
         hwclock -u -w
         show rtc-set hwclock -u -r",
    )?;
    let shown = |name: &str| console.shown(name);
    ensure!(shown("year")?.text == "2000", "{}", console.text());
    let kernel = shown("kernel")?.text;
    // STA_UNSYNC, as `adjtimex` has it at every boot.
    ensure!(kernel.contains("64 (UNSYNC)") && kernel.contains("maxerror:     16000000"), "{kernel}");
    ensure!(shown("rtc")?.text.contains(" 2000 "), "{:?}", shown("rtc")?);
    ensure!(shown("driver")?.text.starts_with("rtc_cmos"), "{:?}", shown("driver")?);
    ensure!(shown("program")?.text.starts_with("tide-recorder "), "{:?}", shown("program")?);
    ensure!(shown("file")?.text == "no end of line" && shown("failure")?.code == 1, "{}", console.text());
    ensure!(shown("chip")?.text == "0x80", "{:?}", shown("chip")?);
    ensure!(shown("rtc-set")?.text.contains(" 2026 "), "{:?}", shown("rtc-set")?);

    let sentences = shown("sentences")?;
    let expected: String = (2..5)
        .map(|second| Ok(fix(begins.checked_add(Duration::from_secs(second))?)))
        .collect::<anyhow::Result<_>>()?;
    ensure!(sentences.text.replace('\n', "\r\n") == expected.trim_end(), "{:?}", sentences.text);
    let known = sentence("GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,");
    ensure!(known.ends_with(",,*47\r\n"), "the example of every text on NMEA: {known}");
    // They came when the receiver's clock showed what they say.
    let ended = sentences.ended.context("the receiver is on")?.duration_since(begins);
    ensure!((4.0..6.0).contains(&ended.as_secs_f64()), "{ended:?}");
    console.shown("never").err().context("what was not shown is an error").map(drop)
}

fn hanging() -> anyhow::Result<()> {
    let limit = Duration::from_secs(1);
    let error = Guest::new()?.with_limit(limit).run("sleep 1000").err().context("it is never off")?;
    ensure!(format!("{error:#}").contains("not off after 1s"), "{error:#}");
    Ok(())
}
