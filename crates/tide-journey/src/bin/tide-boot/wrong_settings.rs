//! What a person gets wrong in tide.toml. The first mistake is there when the card is flashed and the station boots with it; the
//! others are written by the test shell in place of a person's PC, and `tide-provision` runs again, as a boot would run it: each
//! boot would take a minute more.

use std::time::Duration;

use anyhow::{Context, ensure};
use tide_journey::appliance::{Card, Disk, Rtc, Stand, until};

use crate::bench::Bench;
use crate::standing::token;
use crate::station::Station;

/// A mistake, and what the words about it must hold.
struct Mistake {
    name: &'static str,
    settings: String,
    words: Vec<String>,
}

/// A boot, with all that is made at the first one.
const TO_TELL: Duration = Duration::from_secs(300);

const TO_SHOOT: Duration = Duration::from_secs(300);

/// Shortest time in which a station that should not shoot would have: two intervals.
const WATCHED: Duration = Duration::from_secs(10);

const INTERVAL_S: u32 = 5;

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<String> {
    // Nobody else may deliver meanwhile.
    bench.put_away();
    let before = bench.stand.everybodys_photos()?;
    let (name, card, good) = bench.card(INTERVAL_S)?;
    let [first, others @ ..] = mistakes(&good)?;
    card.write_fat("tide.toml", &first.settings)?;
    let mut station = bench.switch_on(&name, card, Rtc::Year2000, Disk::Plain)?;
    let mut told = vec![expect_told(&station.card, &first)?];
    station.wait_for_shell()?;
    expect_no_photo(&mut station, &bench.stand, before)?;
    for mistake in others {
        rewrite(&mut station, &mistake.settings)?;
        told.push(expect_told(&station.card, &mistake)?);
        expect_no_photo(&mut station, &bench.stand, before)?;
    }
    rewrite(&mut station, &good)?;
    station.shell().output("systemctl start tide-recorder.service")?;
    let (_, took) = station.until_photo(&bench.stand, "put right, the station shoots", TO_SHOOT, |_| true)?;
    Ok(format!(
        "4 mistakes, no photo; put right, a photo arrived {:.0} s later. tide-status.txt: {}",
        took.as_secs_f64(),
        told.join(" | ")
    ))
}

fn mistakes(good: &str) -> anyhow::Result<[Mistake; 4]> {
    let line = |text: &str, start: &str| -> anyhow::Result<usize> {
        Ok(text.lines().position(|line| line.starts_with(start)).with_context(|| format!("no line {start}"))? + 1)
    };
    let key = good.replace("interval_s =", "intervall_s =");
    let toml = good.replace("kind = \"usb\"", "kind = \"usb");
    let zone = good.replace("Europe/Athens", "Europe/Atlantis");
    let no_token = good.replace(token(good)?, "");
    Ok([
        Mistake {
            name: "a bad key",
            words: vec!["intervall_s".to_owned(), format!("line {}", line(&key, "intervall_s")?)],
            settings: key,
        },
        Mistake { name: "bad TOML", words: vec![format!("line {}", line(&toml, "kind")?)], settings: toml },
        Mistake { name: "no token", words: vec!["token".to_owned()], settings: no_token },
        Mistake {
            name: "an unknown zone",
            words: vec!["Europe/Atlantis".to_owned(), format!("line {}", line(&zone, "zone")?)],
            settings: zone,
        },
    ])
}

/// Waits until tide-status.txt has the words; its line with the last of them.
fn expect_told(card: &Card, mistake: &Mistake) -> anyhow::Result<String> {
    let has_all = |status: &String| mistake.words.iter().all(|word| status.contains(word));
    let told =
        until("tide-status.txt says what is wrong", TO_TELL, || Ok(card.read_fat("tide-status.txt")?.filter(has_all)));
    let (status, _) = told.with_context(|| {
        let now = card.read_fat("tide-status.txt").ok().flatten().unwrap_or_default();
        format!("{} should be told by {:?}; tide-status.txt: {now}", mistake.name, mistake.words)
    })?;
    let said = status.lines().find(|line| mistake.words.last().is_some_and(|word| line.contains(word.as_str())));
    Ok(said.unwrap_or_default().trim().to_owned())
}

fn expect_no_photo(station: &mut Station, stand: &Stand, before: usize) -> anyhow::Result<()> {
    ensure!(station.shell().run("test -e /run/tide/ready")?.code != 0, "the station counts as ready");
    // systemd would start it if it could.
    station.shell().run("systemctl start tide-recorder.service")?;
    let until_then = std::time::Instant::now() + WATCHED;
    while std::time::Instant::now() < until_then {
        let state = station.shell().run("systemctl is-active tide-recorder.service")?.text;
        ensure!(state != "active" && state != "activating", "the recorder is {state}");
        std::thread::sleep(Duration::from_secs(2));
    }
    let files = station.shell().output("find /data/tide-recorder -name '*.jpg' | wc -l")?;
    ensure!(files == "0", "{files} photos were taken");
    let photos = stand.everybodys_photos()?;
    ensure!(photos == before, "{} photos arrived, under whatever name", photos - before);
    Ok(())
}

fn rewrite(station: &mut Station, settings: &str) -> anyhow::Result<()> {
    station.put_settings(settings)?;
    // It may end with a failure: the settings are wrong.
    station.shell().run("systemctl restart tide-provision.service").map(drop)
}
