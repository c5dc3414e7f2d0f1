//! What becomes of cards that are new, cut off, damaged, too small.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::SeekFrom;
use tide_provision::disk::DataState;

use super::card::{LoopCard, MIB, SYSTEM_END, output, read_at};
use super::noise::Noise;

/// A card with room for a spare.
const CARD_BYTES: u64 = 2_200 * MIB;

/// The first boot's partition on it, less its spare.
const DATA_BYTES: u64 = (2_200 - 52 - 512) * MIB;

pub(super) fn the_first_boot_makes_it_and_the_second_keeps_it() {
    let card = LoopCard::fresh(CARD_BYTES);
    let system = card.system_bytes();
    let state = card.boot();
    let expected = DataState {
        device: Some(card.node(3).into()),
        partition: Some(3),
        size_bytes: DATA_BYTES,
        was_made: true,
        ..DataState::default()
    };
    assert_eq!(state, expected);
    assert_eq!(card.table()[2..], [(SYSTEM_END / 512, DATA_BYTES / 512)]);
    assert_eq!(output("blkid", &["-p", "-o", "value", "-s", "LABEL", &card.node(3)]), "tide-data\n");
    card.in_data(|data| fs::write(data.join("one.jpg"), "photo").unwrap());

    let state = card.boot();
    assert_eq!(state, DataState { was_made: false, ..expected });
    card.in_data(|data| assert_eq!(fs::read(data.join("one.jpg")).unwrap(), b"photo"));
    assert!(card.system_bytes() == system, "the system was changed");
}

pub(super) fn a_cut_at_any_moment_of_the_first_boot_is_made_good() {
    let whole_boot = LoopCard::fresh(CARD_BYTES).time_boot();
    let mut noise = Noise::new(1);
    let (mut ended, mut entered) = (0, 0);
    for cut in 0..25 {
        let card = LoopCard::fresh(CARD_BYTES);
        let system = card.system_bytes();
        let after = whole_boot * u32::try_from(noise.below(1_000)).unwrap() / 900;
        let (has_ended, cut_card) = card.boot_and_cut(after);
        ended += u32::from(has_ended);
        // A cut of the power, and of the tool alone.
        for card in [cut_card, card] {
            let had_entry = card.table().len() == 3;
            entered += u32::from(had_entry);
            let state = card.boot();
            assert_eq!((state.partition, state.size_bytes, state.set_aside), (Some(3), DATA_BYTES, None), "cut {cut}");
            assert!(!had_entry || !state.was_made, "cut {cut}: an entry without a file system");
            assert!(state.details.is_empty(), "cut {cut}: {state:?}");
            assert_eq!(card.table().len(), 3, "cut {cut}");
            assert!(card.is_whole(3).0, "cut {cut}: {}", card.is_whole(3).1);
            assert!(card.system_bytes() == system, "cut {cut}: the system was changed");
        }
    }
    println!("a boot takes {whole_boot:?}; of 25 cuts {ended} came after its end; {entered} of 50 cards had the entry");
    assert!(ended < 15 && entered > 0, "{ended} cuts came after the end, {entered} after the entry");
}

pub(super) fn what_is_beyond_repair_is_set_aside_unchanged() {
    let card = card_with_photos(CARD_BYTES);
    let card = card.change(|image| {
        let mut noise = Noise::new(3);
        // Every place of a superblock: the begin of each group, and it alone.
        for group in 0..DATA_BYTES / (128 * MIB) + 1 {
            image.write_all_at(&noise.bytes(65_536), SYSTEM_END + group * 128 * MIB).unwrap();
        }
    });
    let system = card.system_bytes();
    let before = digest(&card);
    let state = card.boot();
    assert_eq!((state.partition, state.set_aside, state.was_made), (Some(4), Some(3), true));
    assert!(state.notes[0].contains("it was set aside as it is"), "{state:?}");
    card.in_data(|data| {
        assert!(fs::read_to_string(data.join("README-set-aside.txt")).unwrap().contains("partition 3"));
        fs::write(data.join("two.jpg"), "photo").unwrap();
    });
    let state = card.boot();
    assert_eq!((state.partition, state.set_aside, state.was_made), (Some(4), Some(3), false));
    card.in_data(|data| assert_eq!(fs::read(data.join("two.jpg")).unwrap(), b"photo"));
    assert_eq!(card.table().len(), 4);
    assert!(digest(&card) == before, "what was set aside was changed");
    assert!(card.system_bytes() == system, "the system was changed");
}

pub(super) fn without_a_spare_it_is_made_anew() {
    let card = card_with_photos(600 * MIB);
    assert_eq!(card.state().size_bytes, 548 * MIB);
    let card = card.change(|image| {
        for group in 0..5 {
            image.write_all_at(&Noise::new(4).bytes(65_536), SYSTEM_END + group * 128 * MIB).unwrap();
        }
    });
    let state = card.boot();
    assert_eq!((state.partition, state.set_aside, state.was_made_anew), (Some(3), None, true));
    assert!(state.notes[0].contains("photos were LOST"), "{state:?}");
    // Told until somebody has read it.
    assert!(card.boot().was_made_anew);
    card.in_data(|data| fs::remove_file(data.join("MADE-ANEW.txt")).unwrap());
    assert_eq!(card.boot().notes, [""; 0]);
}

pub(super) fn a_spoilt_superblock_alone_is_repaired() {
    let card = card_with_photos(CARD_BYTES);
    let card = card.change(|image| image.write_all_at(&Noise::new(5).bytes(4_096), SYSTEM_END).unwrap());
    let state = card.boot();
    assert_eq!((state.partition, state.was_repaired), (Some(3), true), "{state:?}");
    card.in_data(|data| assert_eq!(count_photos(data), PHOTOS));
}

pub(super) fn small_damage_is_repaired_or_set_aside() {
    let original = card_with_photos(CARD_BYTES);
    let mut tally = [0; 4];
    for case in 0..30 {
        let mut noise = Noise::new(100 + case);
        let card = original.after_power_cut().change(|image| damage(image, &mut noise));
        let start = Instant::now();
        let state = card.boot();
        assert!(start.elapsed() < Duration::from_secs(60), "case {case}: took {:?}", start.elapsed());
        let number = state.partition.unwrap();
        assert!(card.is_whole(number).0, "case {case}: {}", card.is_whole(number).1);
        if number == 4 {
            tally[3] += 1;
            continue;
        }
        let photos = card.in_data(count_photos);
        let is_told = state.was_repaired && !state.notes.is_empty();
        assert!(photos == PHOTOS || is_told, "case {case}: {photos} photos, quietly: {state:?}");
        tally[if photos < PHOTOS { 2 } else { usize::from(state.was_repaired) }] += 1;
        // Nothing is left for a later boot to find.
        let state = card.boot();
        assert!(!state.was_repaired && state.partition == Some(3), "case {case}: {state:?}");
    }
    let [harmless, whole, poorer, set_aside] = tally;
    println!(
        "of 30 damaged: {harmless} needed no repair, {whole} whole again, {poorer} told of losses, {set_aside} set aside"
    );
    assert!(whole + poorer + set_aside > 10, "the damage was too small to test anything");
}

pub(super) fn a_cut_repair_is_begun_again() {
    let original = card_with_photos(CARD_BYTES);
    let mut noise = Noise::new(7);
    for cut in 0..10 {
        let mut card = original.after_power_cut().change(|image| {
            for _ in 0..5 {
                damage(image, &mut noise);
            }
        });
        for _ in 0..3 {
            card = card.boot_and_cut(Duration::from_millis(noise.below(100))).1;
        }
        let number = card.boot().partition.unwrap();
        assert!(card.is_whole(number).0, "cut {cut}: {}", card.is_whole(number).1);
    }
}

pub(super) fn what_is_mounted_is_left_alone() {
    let card = card_with_photos(CARD_BYTES);
    let before = card.state();
    card.in_data(|data| {
        let state = card.boot();
        assert_eq!((state.partition, state.device), (Some(3), before.device));
        assert_eq!(count_photos(data), PHOTOS);
    });
    assert_eq!(card.table().len(), 3);
}

pub(super) fn a_card_without_room_is_refused() {
    let card = LoopCard::fresh(100 * MIB);
    let (is_fine, text) = card.try_boot();
    let expected =
        "the card has 50 MB free behind the system, and photos need at least 536 MB; use a larger card (8 GB or more)";
    assert!(!is_fine && text.contains(expected), "{text}");
    assert_eq!(card.state().problem.as_deref(), Some(expected));
    assert_eq!(card.table().len(), 2);
}

pub(super) fn the_smallest_has_room_for_photos() {
    /// `disk.min_free_bytes` of a recorder that is told nothing else, and `SystemMaxUse` of the image's journal.
    const TAKEN_BYTES: u64 = (256 + 64) * MIB;
    let card = LoopCard::fresh(SYSTEM_END + 512 * MIB);
    assert_eq!(card.boot().size_bytes, 512 * MIB);
    let room = card.in_data(|data| rustix::fs::statvfs(data).map(|found| found.f_bavail * found.f_frsize).unwrap());
    assert!(room >= TAKEN_BYTES + 128 * MIB, "{} MiB", room / MIB);
}

const PHOTOS: usize = 400;

/// A card after its first day. The photos are empty space, so that each block that is not empty is the file system's.
fn card_with_photos(size_bytes: u64) -> LoopCard {
    let card = LoopCard::fresh(size_bytes);
    card.boot();
    card.in_data(|data| {
        for number in 0..PHOTOS {
            let folder = data.join(format!("spool/pier-{}", number % 5));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("{number}.jpg")), vec![0; 5_000 + number * 40]).unwrap();
        }
    });
    card
}

fn count_photos(data: &Path) -> usize {
    let is_right = |number: &usize| {
        let file = data.join(format!("spool/pier-{}/{number}.jpg", number % 5));
        fs::metadata(file).is_ok_and(|metadata| metadata.len() == 5_000 + *number as u64 * 40)
    };
    (0..PHOTOS).filter(is_right).count()
}

/// Spoils one to four blocks of the file system's own.
fn damage(image: &mut File, noise: &mut Noise) {
    let blocks = blocks_in_use(image);
    for _ in 0..=noise.below(4) {
        let place = blocks[usize::try_from(noise.below(blocks.len() as u64)).unwrap()];
        let mut block = read_at(image, place, 4_096);
        match noise.below(3) {
            0 => block.fill(0),
            1 => block = noise.bytes(4_096),
            _ => {
                for _ in 0..=noise.below(8) {
                    block[usize::try_from(noise.below(4_096)).unwrap()] ^= 1 << noise.below(8);
                }
            }
        }
        image.write_all_at(&block, place).unwrap();
    }
}

/// Without the image's holes, which take long to read.
fn blocks_in_use(image: &mut File) -> Vec<u64> {
    let (mut blocks, mut start, end) = (Vec::new(), SYSTEM_END, SYSTEM_END + DATA_BYTES);
    while let Some(hole) = next_data(image, &mut start, end) {
        let bytes = read_at(image, start, hole - start);
        let used = bytes.chunks(4_096).enumerate().filter(|(_, block)| block.iter().any(|&byte| byte != 0));
        blocks.extend(used.map(|(index, _)| start + index as u64 * 4_096));
        start = hole;
    }
    blocks
}

/// Moves on to the next bytes that are no hole, and tells where they end.
fn next_data(image: &File, start: &mut u64, end: u64) -> Option<u64> {
    *start = rustix::fs::seek(image, SeekFrom::Data(*start)).ok().filter(|&data| data < end)?;
    rustix::fs::seek(image, SeekFrom::Hole(*start)).ok().map(|hole| hole.min(end))
}

/// Of all that is in the place of partition 3, on the card itself.
fn digest(card: &LoopCard) -> String {
    let (skip, count) = (SYSTEM_END / (4 * MIB), DATA_BYTES / (4 * MIB));
    let image = card.image();
    let read = format!("dd if={} bs=4M skip={skip} count={count} status=none | sha256sum", image.display());
    output("sh", &["-c", &read])
}
