//! Archive and limits.

use super::*;

/// What a photo of a few bytes takes: a block each for image and manifest.
const PHOTO_BYTES: u64 = 8_192;

fn at(sequence: u64, time: &str) -> Shot {
    let mut shot = shot(sequence, &format!("photo {sequence}"));
    shot.manifest.captured_at = time.parse().unwrap();
    shot
}

fn deliver(spool: &Spool, shot: &Shot) {
    accept(spool, shot).unwrap();
    spool.release(shot.manifest.sequence).unwrap();
}

#[test]
fn a_delivered_photo_is_archived_under_its_time_and_overwrites_nothing() {
    let disk = empty_disk();
    let (spool, _) = spool_on(&disk).unwrap();
    for (sequence, time) in
        [(1, "2026-05-31T20:00:00+02:00"), (2, "2026-05-31T18:00:00.7Z"), (3, "2026-06-01T00:00:00Z")]
    {
        deliver(&spool, &at(sequence, time));
    }
    let expected = [
        ("2026-05-31/20260531_180000.jpg", "photo 1"),
        ("2026-05-31/20260531_180000_2.jpg", "photo 2"),
        ("2026-06-01/20260601_000000.jpg", "photo 3"),
    ];
    let expected = expected.map(|(name, photo)| (name.to_owned(), photo.as_bytes().to_vec()));
    assert_eq!(archived(&disk), BTreeMap::from(expected));
}

#[test]
fn an_archive_that_takes_nothing_does_not_hold_up_a_release() {
    let disk = empty_disk();
    let (spool, _) = spool_on(&disk).unwrap();
    accept(&spool, &shot(0, "photo")).unwrap();
    // A file in the place of its folder.
    spool.durable.publish(Path::new("/data/archive"), b"", IfExists::Refuse).unwrap();
    spool.release(0).unwrap();
    assert!(spool.is_empty() && !disk.files().contains_key(&spool.layout.file(0, IMAGE)));
}

#[test]
fn the_archive_keeps_within_its_limit_and_the_oldest_go_first() {
    let disk = empty_disk();
    let limits = Disk { archive_max_bytes: Some(3 * 4_096), min_free_bytes: 0, ..Disk::default() };
    let spool = spool_within(&disk, limits);
    for day in 1..=6 {
        deliver(&spool, &at(day, &format!("2026-06-0{day}T12:00:00Z")));
    }
    let kept = ["2026-06-04/20260604_120000.jpg", "2026-06-05/20260605_120000.jpg", "2026-06-06/20260606_120000.jpg"];
    assert!(archived(&disk).keys().eq(kept), "{:?}", archived(&disk).keys());
    let smaller = spool_within(&disk, Disk { archive_max_bytes: Some(4_096), ..limits });
    smaller.read_rest();
    assert!(archived(&disk).keys().eq(&kept[2..]), "a start counts what is there: {:?}", archived(&disk).keys());
}

#[test]
fn delivered_photos_make_room_for_new_ones() {
    let disk = empty_disk();
    let spool = spool_within(&disk, Disk { max_bytes: Some(4 * PHOTO_BYTES), min_free_bytes: 0, ..Disk::default() });
    for sequence in 0..4 {
        deliver(&spool, &at(sequence, &format!("2026-06-01T12:00:0{sequence}Z")));
    }
    for sequence in 4..8 {
        accept(&spool, &shot(sequence, "new")).unwrap();
    }
    assert_eq!((archived(&disk).len(), spool.len()), (0, 4));
    let status = spool.status();
    assert_eq!(spool.accept(&shot(8, "one more")).unwrap(), Accepted::InMemory);
    assert_eq!((status.dropped, spool.len()), (0, 5), "nobody allowed that undelivered photos go");
}

#[test]
fn the_reserve_of_the_system_stays_free() {
    let disk = empty_disk().with_capacity(100_000);
    let spool = spool_within(&disk, Disk { min_free_bytes: 50_000, ..Disk::default() });
    for sequence in 0..20 {
        spool.accept(&shot(sequence, &"x".repeat(5_000))).unwrap();
    }
    assert!(spool.durable.free_bytes().unwrap() >= 50_000);
    assert_eq!(spool.len(), 20, "the others wait in memory");
    assert!(spool.status().in_memory >= 10);
}

fn dropping(photos: u64) -> Disk {
    Disk { max_bytes: Some(photos * PHOTO_BYTES), drop_undelivered: true, min_free_bytes: 0, ..Disk::default() }
}

#[test]
fn undelivered_photos_go_where_that_is_allowed_oldest_first_and_counted() {
    let disk = empty_disk();
    let spool = spool_within(&disk, dropping(3));
    for sequence in 0..3 {
        accept(&spool, &shot(sequence, "photo")).unwrap();
    }
    spool.park(1, "not a JPEG").unwrap();
    for sequence in 3..5 {
        accept(&spool, &shot(sequence, "photo")).unwrap();
    }
    assert_eq!((standing(&spool, Standing::Waiting), spool.status().dropped), (vec![2, 3, 4], 2));
    // What the uploader had in hand meanwhile does no harm.
    spool.release(0).unwrap();
    spool.park(1, "not a JPEG").unwrap();
    let again = spool_within(&disk, dropping(3));
    assert_eq!((standing(&again, Standing::Waiting), again.status().dropped), (vec![2, 3, 4], 2));
    assert_eq!(again.status().incomplete, 0);
}

#[test]
fn the_oldest_of_all_folders_goes_although_a_start_reads_the_newest() {
    let disk = empty_disk();
    let spool = spool_within(&disk, dropping(3));
    for sequence in [5, 1_005, 2_005] {
        accept(&spool, &shot(sequence, "photo")).unwrap();
    }
    let spool = spool_within(&disk, dropping(2));
    accept(&spool, &shot(2_006, "photo")).unwrap();
    assert_eq!(standing(&spool, Standing::Waiting), [2_005, 2_006], "the others are not known yet");
    accept(&spool, &shot(2_007, "photo")).unwrap();
    let again = spool_within(&disk, dropping(2));
    again.read_rest();
    assert_eq!((standing(&again, Standing::Waiting), again.status().dropped), (vec![2_006, 2_007], 3));
}

/// Photos are dropped for new ones. Stops at the cut.
fn a_while_of_dropping(disk: &CrashDisk, accepted: &mut BTreeMap<u64, String>) {
    let Ok((spool, _)) = Spool::open_within(Durable::on(Arc::new(disk.clone()), Path::new(ROOT)), dropping(2)) else {
        return;
    };
    for _ in 0..4 {
        let sequence = spool.next_sequence();
        if accept(&spool, &shot(sequence, "photo")).is_err() {
            return;
        }
        accepted.insert(sequence, "photo".to_owned());
    }
}

/// Each photo is there, or counted; at most one too many for each life.
fn miscounted(found: &CrashDisk, accepted: &BTreeMap<u64, String>, lives: u64) -> Vec<String> {
    let spool = spool_within(found, dropping(2));
    spool.read_rest();
    let there = standing(&spool, Standing::Waiting);
    let unreadable = there.iter().filter(|sequence| spool.load(**sequence).is_err()).count();
    let missing = accepted.keys().filter(|sequence| !there.contains(sequence)).count() as u64;
    let dropped = spool.status().dropped;
    let is_right = unreadable == 0 && (missing..=missing + lives).contains(&dropped);
    if is_right {
        Vec::new()
    } else {
        vec![format!("{missing} missing, {dropped} counted, {unreadable} cannot be read")]
    }
}

#[test]
fn no_cut_drops_a_photo_without_counting_it() {
    let judge = |found: &CrashDisk, accepted: &BTreeMap<u64, String>| miscounted(found, accepted, 1);
    let found = search_cuts(empty_disk, a_while_of_dropping, judge);
    assert!(found.is_empty(), "{} broken, such as\n{}", found.len(), found[..found.len().min(10)].join("\n"));
    let judge = |found: &CrashDisk, accepted: &BTreeMap<u64, String>| miscounted(found, accepted, 2);
    let found = search_cuts_after_kill(empty_disk, a_while_of_dropping, judge);
    assert!(found.is_empty(), "{} broken, such as\n{}", found.len(), found[..found.len().min(10)].join("\n"));
}
