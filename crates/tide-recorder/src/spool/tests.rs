//! The spool under power cuts: every photo that was accepted is delivered whole, none twice under another number.

mod amend;
mod overflow;
mod reading;
mod room;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tide_durable::testing::{CrashDisk, Outcome, search_cuts, search_cuts_after_kill};

use super::*;
use crate::shot::example as shot;

const ROOT: &str = "/data";

fn spool_on(disk: &CrashDisk) -> io::Result<(Spool, Found)> {
    Spool::open(Durable::on(Arc::new(disk.clone()), Path::new(ROOT)))
}

fn spool_within(disk: &CrashDisk, limits: Disk) -> Spool {
    Spool::open_within(Durable::on(Arc::new(disk.clone()), Path::new(ROOT)), limits).unwrap().0
}

/// What the archive holds, by name.
fn archived(disk: &CrashDisk) -> BTreeMap<String, Vec<u8>> {
    let below = |path: &Path| Some(path.strip_prefix("/data/archive").ok()?.to_str()?.to_owned());
    disk.files().into_iter().filter_map(|(path, bytes)| Some((below(&path)?, bytes))).collect()
}

/// As `accept`; only what is on the disk counts.
fn accept(spool: &Spool, shot: &Shot) -> io::Result<()> {
    match spool.accept(shot) {
        Ok(Accepted::OnDisk) => Ok(()),
        refused => Err(io::Error::other(format!("{refused:?}"))),
    }
}

fn standing(spool: &Spool, standing: Standing) -> Vec<u64> {
    spool.lock().index.numbers(standing).collect()
}

/// What happened before the cut, as the station's memory would tell.
#[derive(Default)]
struct Ledger {
    given: Vec<u64>,
    accepted: BTreeMap<u64, String>,
    release_began: Vec<u64>,
    released: Vec<u64>,
    parked: Vec<u64>,
}

/// Three photos are captured, one is delivered, one refused; then one more is captured. Stops at the cut.
fn a_while(disk: &CrashDisk, ledger: &mut Ledger) {
    let mut run = || -> io::Result<()> {
        let (spool, _) = spool_on(disk)?;
        let mut capture = |text: &str| -> io::Result<u64> {
            let sequence = spool.next_sequence();
            // Every photo has its own text, in two lives too.
            let text = format!("{text}, {sequence}");
            ledger.given.push(sequence);
            accept(&spool, &shot(sequence, &text))?;
            ledger.accepted.insert(sequence, text);
            Ok(sequence)
        };
        let (first, second) = (capture("the first photo")?, capture("the second photo")?);
        capture("the third photo")?;
        ledger.release_began.push(first);
        spool.release(first)?;
        // A disk that refuses at once is told later.
        if standing(&spool, Standing::Delivered).is_empty() {
            ledger.released.push(first);
        }
        spool.park(second, "not a JPEG")?;
        ledger.parked.push(second);
        let sequence = spool.next_sequence();
        ledger.given.push(sequence);
        accept(&spool, &shot(sequence, "the fourth photo"))?;
        ledger.accepted.insert(sequence, "the fourth photo".to_owned());
        Ok(())
    };
    let result = run();
    assert_eq!(result.is_err(), disk.is_cut(), "only the cut may fail: {result:?}");
}

fn broken_promises(found: &CrashDisk, ledger: &Ledger) -> Vec<String> {
    let spool = match spool_on(found) {
        Ok((spool, _)) => spool,
        Err(error) => return vec![format!("the spool does not open: {error}")],
    };
    let mut broken = Vec::new();
    for sequence in standing(&spool, Standing::Waiting) {
        if let Err(error) = spool.load(sequence) {
            broken.push(format!("photo {sequence} waits but cannot be sent: {error}"));
        }
    }
    for (sequence, text) in &ledger.accepted {
        let waits = spool.load(*sequence).is_ok_and(|shot| shot.jpeg == text.as_bytes());
        if !waits && !ledger.release_began.contains(sequence) {
            broken.push(format!("photo {sequence} was accepted and is lost"));
        }
    }
    let (mut in_spool, mut in_archive) = (Vec::new(), Vec::new());
    for (path, bytes) in found.files().into_iter().filter(|(path, _)| path.extension() == Some("jpg".as_ref())) {
        if path.starts_with("/data/archive") { in_archive.push(bytes) } else { in_spool.push(bytes) }
    }
    for sequence in &ledger.release_began {
        let text = ledger.accepted[sequence].as_bytes();
        let (is_in_spool, is_archived) = (in_spool.iter().any(|it| it == text), in_archive.iter().any(|it| it == text));
        if is_in_spool && is_archived || ledger.released.contains(sequence) && !is_archived {
            broken.push(format!("photo {sequence} was released and is {:?}", found.files().keys()));
        }
    }
    for sequence in &ledger.parked {
        if standing(&spool, Standing::Waiting).contains(sequence) {
            broken.push(format!("photo {sequence} was parked and is offered again"));
        }
    }
    let next = spool.next_sequence();
    if ledger.given.contains(&next) && spool.durable.read(&spool.layout.file(next, "jpg")).is_ok() {
        broken.push(format!("number {next} is given away twice"));
    }
    if ledger.accepted.keys().any(|accepted| *accepted >= next) {
        broken.push(format!("number {next} comes after a photo that was taken before"));
    }
    broken
}

fn empty_disk() -> CrashDisk {
    CrashDisk::with_folder(Path::new(ROOT))
}

#[test]
fn no_cut_loses_a_photo() {
    let found = search_cuts(empty_disk, a_while, broken_promises);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_cut_after_a_kill_loses_a_photo() {
    let found = search_cuts_after_kill(empty_disk, a_while, broken_promises);
    assert!(found.is_empty(), "{} broken, such as\n{}", found.len(), found[..found.len().min(10)].join("\n"));
}

#[test]
fn a_capture_that_finds_the_disk_full_leaves_nothing_behind() {
    let prepared = empty_disk();
    let next = spool_on(&prepared).unwrap().0.next_sequence();
    let whole = prepared.after_kill();
    spool_on(&whole).unwrap().0.accept(&shot(next, "photo")).unwrap();
    for step in 0..whole.steps() {
        let full = prepared.after_kill();
        let Ok((spool, _)) = spool_on(&full) else { continue };
        let files = full.files();
        let full = full.fail_at(step);
        if accept(&spool, &shot(next, "photo")).is_ok() {
            continue;
        }
        assert_eq!(full.files(), files, "after step {step} failed");
        assert_eq!(spool.status().in_memory, 1, "the photo waits in memory");
        spool.retry_disk();
        assert_eq!(spool.status().in_memory, 0, "after step {step} failed");
        assert!(full.files().contains_key(&spool.layout.file(next, MANIFEST)), "it is on the disk");
        assert_eq!(spool.load(next).unwrap().jpeg, b"photo", "the same number can be used");
    }
}

#[test]
fn whatever_fails_in_a_release_the_photo_is_whole_or_gone() {
    for archive_max_bytes in [None, Some(0)] {
        let limits = Disk { archive_max_bytes, min_free_bytes: 0, ..Disk::default() };
        let prepared = empty_disk();
        accept(&spool_within(&prepared, limits), &shot(0, "photo")).unwrap();
        let mut failures = 0;
        // One step fails; the power goes soon after it, or not before all is done.
        for (step, cut) in (0..20).flat_map(|step| [(step, step + 2), (step, usize::MAX)]) {
            let disk = prepared.after_kill();
            let spool = spool_within(&disk, limits);
            let failing = disk.fail_at(step).cut_before(cut);
            if spool.release(0).is_err() || !standing(&spool, Standing::Delivered).is_empty() {
                failures += 1;
            }
            assert!(spool.is_empty() || spool.load(0).is_ok(), "step {step}: it waits and cannot be read");
            for outcome in Outcome::all() {
                expect_whole_or_gone(&failing.after_power_cut(outcome), limits, &format!("step {step}, {outcome:?}"));
            }
        }
        assert!(failures >= 4, "only {failures} steps of a release can fail");
    }
}

fn expect_whole_or_gone(found: &CrashDisk, limits: Disk, place: &str) {
    let spool = spool_within(found, limits);
    assert!(spool.is_empty() || spool.load(0).is_ok(), "{place}: it waits and cannot be read");
    let is_left = |path: &PathBuf| path.starts_with("/data/spool/0000000");
    assert!(!spool.is_empty() || !found.files().keys().any(is_left), "{place}: {:?}", found.files().keys());
    assert!(archived(found).values().all(|photo| photo == b"photo"), "{place}: a part is in the archive");
}

#[test]
fn a_parked_photo_is_offered_again_after_a_restart_that_asks_for_it() {
    let disk = empty_disk();
    let (spool, _) = spool_on(&disk).unwrap();
    spool.accept(&shot(7, "photo")).unwrap();
    spool.park(7, "not a JPEG").unwrap();
    assert!(spool.is_empty());
    let (spool, found) = spool_on(&disk).unwrap();
    assert_eq!((found.waiting, found.parked), (0, 1));
    assert_eq!((spool.offer_parked_again().unwrap(), spool.len()), (1, 1));
    assert_eq!(spool_on(&disk).unwrap().1, Found { waiting: 1, ..Found::default() });
    assert_eq!(spool.offer_parked_again().unwrap(), 0, "once");
}

#[test]
fn a_marker_without_its_photo_is_removed() {
    let disk = empty_disk();
    let (spool, _) = spool_on(&disk).unwrap();
    spool.durable.publish(&spool.layout.file(7, "parked"), b"came back after a power cut", IfExists::Replace).unwrap();
    assert_eq!(spool_on(&disk).unwrap().1, Found::default());
    assert!(disk.files().is_empty());
}

#[test]
fn the_search_sees_a_missing_sync() {
    let whole = empty_disk();
    a_while(&whole, &mut Ledger::default());
    let breaks = |sync| !search_cuts(|| empty_disk().skip_sync(sync), a_while, broken_promises).is_empty();
    let seen = (0..whole.syncs()).filter(|sync| breaks(*sync)).count();
    assert!(seen >= 10, "leaving out a sync is noticed for only {seen} of {}", whole.syncs());
}

#[test]
fn a_restart_finds_what_waits_and_counts_on() {
    let disk = empty_disk();
    let mut ledger = Ledger::default();
    a_while(&disk, &mut ledger);
    let (spool, found) = spool_on(&disk).unwrap();
    assert_eq!(found, Found { waiting: 2, parked: 1, incomplete: 0 });
    assert!(spool.next_sequence() > *ledger.given.iter().max().unwrap());
    assert_eq!(disk.files().keys().filter(|path| path.to_string_lossy().ends_with(".done")).count(), 0);
}

#[test]
fn a_capture_that_was_cut_off_is_counted_and_removed() {
    let disk = empty_disk();
    let (spool, _) = spool_on(&disk).unwrap();
    spool.durable.publish(&spool.layout.file(5, "jpg"), b"no manifest", IfExists::Refuse).unwrap();
    for _ in 0..2 {
        assert_eq!(spool_on(&disk).unwrap().1, Found { incomplete: 1, ..Found::default() }, "once, and for ever");
    }
    assert!(!disk.files().keys().any(|path| path.starts_with("/data/spool/0000000")));
}

#[test]
fn a_flipped_bit_is_never_sent() {
    let disk = empty_disk();
    let (spool, _) = spool_on(&disk).unwrap();
    spool.accept(&shot(0, "photo")).unwrap();
    spool.durable.publish(&spool.layout.file(0, "jpg"), b"phoTo", IfExists::Replace).unwrap();
    assert_eq!(spool.load(0).unwrap_err().kind(), io::ErrorKind::InvalidData);
}
