//! Manifests written anew.

use super::*;

fn of_boot(sequence: u64, boot_id: &str) -> Shot {
    let mut shot = shot(sequence, &format!("photo {sequence}"));
    shot.manifest.boot_id = boot_id.to_owned();
    shot
}

fn later(manifest: &Manifest) -> Option<Manifest> {
    Some(Manifest { captured_at: "2026-06-01T12:00:00Z".parse().unwrap(), ..manifest.clone() })
}

fn amended(spool: &Spool) -> Vec<u64> {
    spool.read_rest();
    let all = standing(spool, Standing::Waiting).into_iter().chain(standing(spool, Standing::Parked));
    all.filter(|sequence| spool.load(*sequence).unwrap().manifest.captured_at != CapturedAt::EPOCH).collect()
}

#[test]
fn the_photos_of_a_boot_are_amended_wherever_they_are() {
    let disk = empty_disk();
    let (spool, _) = spool_on(&disk).unwrap();
    for (sequence, boot_id) in [(1, "this"), (1_001, "before"), (2_001, "before"), (2_002, "this"), (3_001, "this")] {
        accept(&spool, &of_boot(sequence, boot_id)).unwrap();
    }
    spool.park(2_002, "not a JPEG").unwrap();
    let (spool, _) = spool_on(&disk).unwrap();
    disk.set_read_only(true);
    spool.accept(&of_boot(3_002, "this")).unwrap();
    disk.set_read_only(false);
    assert_eq!(spool.amend("this", later).unwrap(), 3);
    assert_eq!(amended(&spool), [3_001, 3_002, 2_002], "a folder without any of this boot ends it");
    spool.retry_disk();
    assert_eq!(amended(&spool_on(&disk).unwrap().0), [3_001, 3_002, 2_002], "for good");
}

#[test]
fn a_released_photo_does_not_come_back_and_another_photo_is_no_amendment() {
    let (spool, _) = spool_on(&empty_disk()).unwrap();
    accept(&spool, &of_boot(1, "this")).unwrap();
    let other = |manifest: &Manifest| Some(Manifest { sequence: 7, ..manifest.clone() });
    assert_eq!(spool.amend("this", other).unwrap(), 0);
    spool.release(1).unwrap();
    assert_eq!(spool.amend("this", later).unwrap(), 0);
    assert!(spool.is_missing(&spool.layout.file(1, MANIFEST)));
}

#[test]
fn no_cut_leaves_a_manifest_that_cannot_be_read() {
    let work = |disk: &CrashDisk, accepted: &mut BTreeMap<u64, String>| {
        let Ok((spool, _)) = spool_on(disk) else { return };
        if accept(&spool, &of_boot(1, "this")).is_ok() {
            accepted.insert(1, "photo 1".to_owned());
        }
        drop(spool.amend("this", later));
    };
    let judge = |found: &CrashDisk, accepted: &BTreeMap<u64, String>| {
        let (spool, opened) = spool_on(found).unwrap();
        let is_lost = |sequence: &u64| spool.load(*sequence).is_err();
        let mut broken: Vec<String> =
            accepted.keys().filter(|sequence| is_lost(sequence)).map(|lost| format!("{lost} is lost")).collect();
        if !accepted.is_empty() && opened.incomplete > 0 {
            broken.push("an amendment is taken for a capture that was cut off".to_owned());
        }
        broken
    };
    let found = search_cuts(empty_disk, work, judge);
    assert!(found.is_empty(), "{}", found.join("\n"));
}
