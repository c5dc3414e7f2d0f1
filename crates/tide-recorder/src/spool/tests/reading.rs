//! Starts: what is read when, and what is damaged.

use super::*;

#[test]
fn a_start_reads_the_newest_folder_and_the_others_later() {
    let disk = empty_disk();
    let (spool, _) = spool_on(&disk).unwrap();
    for sequence in [3, 1_003, 1_004, 2_003] {
        accept(&spool, &shot(sequence, "photo")).unwrap();
    }
    spool.park(1_004, "not a JPEG").unwrap();
    let (spool, found) = spool_on(&disk).unwrap();
    assert_eq!((found.waiting, spool.choose(|waiting| waiting.oldest(&|_| false))), (1, Some(2_003)));
    let found = spool.read_rest();
    assert_eq!((found.waiting, found.parked), (3, 1));
    assert_eq!(spool.choose(|waiting| waiting.oldest(&|_| false)), Some(3));
    assert_eq!(spool.read_rest(), found, "once");
}

#[test]
fn a_folder_is_put_right_before_anything_is_written_in_it() {
    let disk = empty_disk();
    let (spool, _) = spool_on(&disk).unwrap();
    accept(&spool, &shot(1_000, "photo")).unwrap();
    spool.durable.publish(&spool.layout.file(5, IMAGE), b"no manifest", IfExists::Refuse).unwrap();
    let (spool, found) = spool_on(&disk).unwrap();
    assert_eq!(found.incomplete, 0, "not read yet");
    accept(&spool, &shot(5, "photo")).unwrap();
    assert_eq!((spool.status().incomplete, spool.load(5).unwrap().jpeg), (1, b"photo".to_vec()));
}

#[test]
fn what_is_damaged_or_foreign_never_keeps_the_spool_from_opening() {
    let disk = empty_disk();
    let (spool, _) = spool_on(&disk).unwrap();
    for sequence in 1..=3 {
        accept(&spool, &shot(sequence, "photo")).unwrap();
    }
    let put = |name: &str, bytes: &[u8]| {
        spool.durable.publish(&Path::new("/data/spool").join(name), bytes, IfExists::Replace).unwrap();
    };
    spool.durable.remove(&spool.layout.file(1, IMAGE)).unwrap();
    put("0000000/0000000002.json", b"");
    for (foreign, bytes) in [
        ("sequence", &b"\0\0\0"[..]),
        ("dropped", b"many"),
        ("lost+found/0000000009.json", b"{}"),
        ("0000000.old/0000000009.json", b"{}"),
        ("0000000/0000001009.json", b"{}"),
        ("0000000/9.json", b"{}"),
        ("0000000/notes.txt", b"hello"),
        ("notes.txt", b"hello"),
    ] {
        put(foreign, bytes);
    }
    let (spool, _) = spool_on(&disk).unwrap();
    let found = spool.read_rest();
    assert_eq!((found.waiting, found.parked), (2, 1), "the one without its image is parked");
    assert_eq!(spool.load(2).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(spool.load(3).unwrap().jpeg, b"photo");
    assert_eq!(spool.next_sequence(), 1_000, "behind the newest folder");
}

#[test]
fn a_later_versions_manifest_is_left_alone_until_a_recorder_comes_that_reads_it() {
    let disk = empty_disk();
    let (spool, _) = spool_on(&disk).unwrap();
    accept(&spool, &shot(1, "photo")).unwrap();
    let later = br#"{"version": 2, "captured_at": "2026-06-01T12:00:00Z", "digest": "in other words"}"#;
    spool.durable.publish(&spool.layout.file(1, MANIFEST), later, IfExists::Replace).unwrap();
    let error = spool.load(1).unwrap_err();
    assert!(error.kind() == io::ErrorKind::InvalidData && error.to_string().contains("version 2"), "{error}");
    spool.park(1, &error.to_string()).unwrap();
    let (spool, found) = spool_on(&disk).unwrap();
    assert_eq!((found.parked, spool.offer_parked_again().unwrap()), (1, 1));
    assert_eq!(disk.files()[&spool.layout.file(1, MANIFEST)], later);
}

#[test]
fn a_status_tells_since_when_the_oldest_waits() {
    let disk = empty_disk();
    let (spool, _) = spool_on(&disk).unwrap();
    assert_eq!(spool.status(), SpoolStatus::default());
    for sequence in 1..=2 {
        let mut shot = shot(sequence, "photo");
        shot.manifest.captured_at = CapturedAt::from_micros(i64::try_from(sequence).unwrap()).unwrap();
        accept(&spool, &shot).unwrap();
    }
    assert_eq!(spool.status().oldest_at, CapturedAt::from_micros(1));
    spool.release(1).unwrap();
    assert_eq!((spool.status().oldest_at, spool.status().waiting), (CapturedAt::from_micros(2), 1));
}
