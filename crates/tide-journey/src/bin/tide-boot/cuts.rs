//! The power goes while the station shoots and delivers, or boots.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tide_journey::appliance::{Card, Disk, Rtc, SpoolSeen, Stand, WriteLog};

use crate::bench::Bench;
use crate::station::Station;

/// As often as an emulated processor manages: there is always a photo in hand.
const INTERVAL_S: u32 = 2;

/// Some photos' time without network.
const TO_WAIT: Duration = Duration::from_secs(20);

const ROOT: u64 = 2;
const DATA: u64 = 3;

const TO_SHOOT: Duration = Duration::from_secs(480);
const TO_DELIVER: Duration = Duration::from_secs(600);

/// When the power goes: after power-on, in the boots that do not end; after a photo has arrived, in the others.
const IN_BOOT_MS: std::ops::RangeInclusive<u64> = 4_000..=50_000;
const AT_WORK_MS: std::ops::RangeInclusive<u64> = 500..=15_000;

/// How many boots do not end.
const CUT_BOOTS: f64 = 0.25;

/// How often the network goes first, so that photos wait when the power does: delivery is faster than an emulated camera.
const CUT_CABLES: f64 = 0.5;

/// Cuts at work of which some must have met photos that waited.
const SOME: u32 = 8;

/// Moments of a log that are looked at beside the last one.
const EARLIER: usize = 6;

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<String> {
    let mut random = StdRng::seed_from_u64(bench.plan.seed);
    let flashed = Card::in_file(&bench.image.test_variant()).digest(ROOT)?;
    // One that is at work already saves a boot; a fresh one has a first boot that can be cut.
    let (mut on, name, card) = match bench.running() {
        Some(station) => (Some(station.machine), station.name, station.card),
        None => bench.card(INTERVAL_S).map(|(name, card, _)| (None, name, card))?,
    };
    let (mut card, mut is_new) = (card, on.is_none());
    let work = folder_of(&card)?;
    let (mut at_work, mut most_waiting, mut waiting, mut had_data) = (0_u32, 0, BTreeSet::new(), false);
    for cut in 0..bench.plan.cuts {
        let mut station = match on.take() {
            Some(machine) => Station { name: name.clone(), card, machine },
            None => {
                let rtc = if at_work == 0 && is_new { Rtc::Year2000 } else { Rtc::Set };
                bench.switch_on(&name, card, rtc, Disk::Plain)?
            }
        };
        // The very first boot makes the data partition and moves the secrets: it is cut, too.
        if std::mem::take(&mut is_new) || (cut > 0 && random.random_bool(CUT_BOOTS)) {
            std::thread::sleep(Duration::from_millis(random.random_range(IN_BOOT_MS)));
        } else {
            station.until_new_photo(&bench.stand, "the station boots and shoots after a cut", TO_SHOOT)?;
            at_work += 1;
            if random.random_bool(CUT_CABLES) {
                station.machine.set_network(false)?;
            }
            std::thread::sleep(Duration::from_millis(random.random_range(AT_WORK_MS)));
        }
        station.machine.cut_power()?;
        card = station.card;
        let seen = expect_sound(&card, &bench.stand, &name, &work).with_context(|| format!("after cut {}", cut + 1))?;
        let has_data = card.partition(DATA)?.is_some();
        ensure!(has_data || !had_data, "after cut {}: the data partition has gone from the table", cut + 1);
        had_data |= has_data;
        most_waiting = most_waiting.max(seen.waiting.len());
        println!("    cut {} of {}: {} photos wait, all whole", cut + 1, bench.plan.cuts, seen.waiting.len());
        // Those of every cut, for what waited once must be on the server in the end.
        waiting.extend(seen.waiting);
    }
    ensure!(
        !waiting.is_empty() || at_work < SOME,
        "no photo ever waited when the power went, so nothing is proven of them"
    );
    let mut station = bench.switch_on(&name, card, Rtc::Set, Disk::Plain)?;
    let photos = expect_all_delivered(&mut station, &bench.stand, &waiting)?;
    station.machine.switch_off()?;
    ensure!(station.card.digest(ROOT)? == flashed, "the root partition has changed");
    station.card.expect_clean(ROOT)?;
    Ok(format!(
        "{} cuts, {at_work} of them at work; {photos} photos, each on the server once and intact; {} had waited at a cut, \
         {most_waiting} at once, all whole; the root partition is as it was flashed",
        bench.plan.cuts,
        waiting.len()
    ))
}

/// The same with a card that keeps what it was not asked to make sure of in its own memory.
pub(crate) fn run_with_lost_writes(bench: &mut Bench) -> anyhow::Result<String> {
    bench.put_away();
    let mut random = StdRng::seed_from_u64(bench.plan.seed);
    let (name, card, _) = bench.card(INTERVAL_S)?;
    let work = folder_of(&card)?;
    let mut station = bench.switch_on(&name, card, Rtc::Year2000, Disk::Plain)?;
    station.until_new_photo(&bench.stand, "a fresh card shoots", TO_SHOOT)?;
    station.wait_for_shell()?;
    station.machine.switch_off()?;
    let before = station.card.copy_to(&work.join("before"))?;
    let log = work.join("writes");
    std::fs::File::create(&log)?;
    let mut station = bench.switch_on(&name, station.card, Rtc::Set, Disk::Logged(&log))?;
    station.until_new_photo(&bench.stand, "the station shoots while its writes are logged", TO_SHOOT)?;
    // So that photos wait, and the last writes are theirs.
    station.machine.set_network(false)?;
    std::thread::sleep(TO_WAIT);
    std::thread::sleep(Duration::from_millis(random.random_range(AT_WORK_MS)));
    station.machine.cut_power()?;
    let log = WriteLog::read(&log)?;
    ensure!(log.flushes() > EARLIER, "the card was asked {} times to make sure", log.flushes());
    let mut lost = 0;
    for _ in 0..EARLIER {
        let (flush, seed) = (random.random_range(0..log.flushes()), random.random());
        let then = before.copy_to(&work.join("then"))?;
        let played = log.play(then.path(), flush, Some(seed))?;
        lost += played.lost;
        expect_sound(&then, &bench.stand, &name, &work)
            .with_context(|| format!("with {} writes lost after flush {flush} of {}", played.lost, log.flushes()))?;
    }
    // The harshest: nothing at all of what followed the last flush.
    let played = log.play(before.path(), log.flushes() - 1, None)?;
    let seen = expect_sound(&before, &bench.stand, &name, &work).context("after the last flush")?;
    // A card has its folder, and its name there does not matter.
    let mut station = bench.switch_on(&name, before, Rtc::Set, Disk::Plain)?;
    let photos = expect_all_delivered(&mut station, &bench.stand, &seen.waiting)?;
    station.machine.switch_off()?;
    Ok(format!(
        "{} flushes; {EARLIER} moments with {lost} writes lost at random, and the last with all {} lost ({} photos waited): all \
         sound, the last one booted; {photos} photos, each on the server once and intact",
        log.flushes(),
        played.lost,
        seen.waiting.len()
    ))
}

fn folder_of(card: &Card) -> anyhow::Result<std::path::PathBuf> {
    Ok(card.path().parent().context("a card has a folder")?.to_owned())
}

/// Fails unless the card's file systems mend themselves, each photo in the spool is whole, and each that was released is on the
/// server.
fn expect_sound(card: &Card, stand: &Stand, name: &str, work: &Path) -> anyhow::Result<SpoolSeen> {
    card.expect_clean(ROOT)?;
    ensure!(card.read_fat("tide.toml")?.is_some_and(|text| text.contains("[server]")), "tide.toml is damaged");
    if card.partition(DATA)?.is_none() {
        // It went before there was a data partition.
        return Ok(SpoolSeen::default());
    }
    let seen = card.spool(DATA, work)?;
    let listed = digests(stand, name)?;
    let lost = seen.released.iter().filter(|digest| !listed.contains(&digest.to_string())).count();
    ensure!(lost == 0, "{lost} of {} released photos are not on the server", seen.released.len());
    Ok(seen)
}

/// Fails unless the station delivers all that waited, and the server has every photo once; how many.
fn expect_all_delivered(
    station: &mut Station,
    stand: &Stand,
    waiting: &BTreeSet<tide_photo::Digest>,
) -> anyhow::Result<u64> {
    station.until_new_photo(stand, "the station boots and shoots after the last cut", TO_SHOOT)?;
    station.wait_for_shell()?;
    station.until_delivered(TO_DELIVER)?;
    let listed = digests(stand, &station.name)?;
    let missing = waiting.iter().filter(|digest| !listed.contains(&digest.to_string())).count();
    ensure!(missing == 0, "{missing} of the {} photos that waited at the last cut never arrived", waiting.len());
    ensure!(listed.len() == stand.photos(&station.name)?.len(), "a photo is in the list twice");
    let status = station.status()?;
    ensure!(
        status["spool"]["dropped"] == 0 && status["spool"]["parked"] == 0,
        "photos were given up: {}",
        status["spool"]
    );
    stand.expect_intact()
}

fn digests(stand: &Stand, name: &str) -> anyhow::Result<BTreeSet<String>> {
    Ok(stand.photos(name)?.into_iter().map(|photo| photo.digest).collect())
}
