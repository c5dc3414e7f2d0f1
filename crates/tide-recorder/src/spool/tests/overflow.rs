//! A disk that takes nothing for a while.

use super::*;

#[test]
fn while_the_disk_takes_none_photos_wait_in_memory_are_delivered_from_there_and_move_back() {
    let disk = empty_disk();
    let (spool, _) = spool_on(&disk).unwrap();
    let take = |text: &str| {
        let sequence = spool.next_sequence();
        spool.accept(&shot(sequence, text)).unwrap()
    };
    assert_eq!(take("before"), Accepted::OnDisk);
    disk.set_read_only(true);
    // More than were reserved.
    for _ in 0..RESERVED_NUMBERS {
        assert_eq!(take("during"), Accepted::InMemory);
    }
    assert_eq!((spool.len(), spool.status().in_memory), (101, 100));
    spool.release(1).unwrap();
    spool.park(2, "not a JPEG").unwrap();
    assert_eq!(spool.load(3).unwrap().jpeg, b"during");
    disk.set_read_only(false);
    spool.retry_disk();
    assert_eq!((spool.len(), spool.status().in_memory, spool.status().parked), (99, 0, 1));
    let (again, found) = spool_on(&disk).unwrap();
    assert_eq!((found.waiting, found.parked, found.incomplete), (99, 1, 0), "they survive a restart now");
    for sequence in standing(&again, Standing::Waiting) {
        again.release(sequence).unwrap();
    }
    let (again, _) = spool_on(&disk).unwrap();
    assert!(again.next_sequence() > 100, "and no number comes twice, by the counter alone");
}

#[test]
fn a_photo_that_memory_has_no_room_for_is_given_up_and_counted() {
    let disk = empty_disk();
    let spool = spool_within(&disk, Disk { memory_bytes: 3_000, min_free_bytes: 0, ..Disk::default() });
    disk.set_read_only(true);
    let accepted = (0..5).map(|_| spool.accept(&shot(spool.next_sequence(), "photo"))).filter(Result::is_ok).count();
    assert_eq!((accepted, spool.status().dropped), (2, 3));
    let left = Left { lost: 2, uncounted: 5 };
    assert_eq!((spool.close(), spool.status().dropped), (left, 5), "what is in memory at the end is lost");
    disk.set_read_only(false);
    spool.retry_disk();
    assert_eq!(spool_on(&disk).unwrap().0.status().dropped, 5);
}

#[test]
fn a_delivery_that_the_disk_cannot_be_told_of_is_not_made_again() {
    let disk = empty_disk();
    let (spool, _) = spool_on(&disk).unwrap();
    accept(&spool, &shot(0, "photo")).unwrap();
    disk.set_read_only(true);
    spool.release(0).unwrap();
    assert!(spool.is_empty() && archived(&disk).is_empty());
    spool.retry_disk();
    disk.set_read_only(false);
    spool.retry_disk();
    assert_eq!(archived(&disk).len(), 1);
    assert_eq!(spool_on(&disk).unwrap().1, Found::default());
}

#[test]
fn a_start_on_a_disk_that_takes_no_writes_offers_what_is_there() {
    let disk = empty_disk();
    let (spool, _) = spool_on(&disk).unwrap();
    accept(&spool, &shot(spool.next_sequence(), "photo")).unwrap();
    disk.set_read_only(true);
    let (spool, found) = spool_on(&disk).unwrap();
    assert_eq!(found.waiting, 1);
    let sequence = spool.next_sequence();
    assert!(sequence > 0);
    assert_eq!(spool.accept(&shot(sequence, "photo")).unwrap(), Accepted::InMemory);
    disk.set_read_only(false);
    assert_eq!(spool.accept(&shot(spool.next_sequence(), "photo")).unwrap(), Accepted::OnDisk);
    assert_eq!(spool_on(&disk).unwrap().1.waiting, 3);
}
