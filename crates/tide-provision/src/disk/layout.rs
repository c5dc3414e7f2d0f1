//! What to do next with a card, told from its table alone and from what this boot has found out. Pure.

use std::collections::BTreeMap;

/// Where partitions begin and end: a multiple of the erase blocks of the cards that we know of, as in Raspberry Pi OS's images.
const ALIGNMENT_BYTES: u64 = 4 * MIB;

/// No data partition is smaller. The recorder leaves 256 MiB of it free, the journal takes up to 64 MiB and the file system some 30:
/// in less than this, photos would find little room or none, and wait in memory, where no power cut spares them.
pub(super) const MIN_DATA_BYTES: u64 = 512 * MIB;

/// Cards from this size on keep a spare.
const MIN_CARD_WITH_SPARE_BYTES: u64 = 2 * GIB;

/// The spare's part of the card, between these limits. Our choice: it need only keep a station going until somebody comes.
const SPARE_PART: u64 = 8;
const MIN_SPARE_BYTES: u64 = MIN_DATA_BYTES;
const MAX_SPARE_BYTES: u64 = 4 * GIB;

const MIB: u64 = 1_024 * 1_024;
const GIB: u64 = 1_024 * MIB;

/// The partition that is made at the first boot.
pub(super) const DATA: u32 = 3;

/// The one that takes its place once it is beyond repair.
pub(super) const SECOND: u32 = 4;

/// A place on a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Partition {
    /// Its number in the table, from 1.
    pub(super) number: u32,
    /// Where it begins.
    pub(super) start_bytes: u64,
    /// How long it is.
    pub(super) size_bytes: u64,
}

impl Partition {
    fn end_bytes(self) -> u64 {
        self.start_bytes + self.size_bytes
    }
}

/// A card, as its table describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    /// The whole card.
    pub(super) disk_bytes: u64,
    /// The unit in which the table counts.
    pub(super) sector_bytes: u64,
    /// Its partitions, in any order.
    pub(super) partitions: Vec<Partition>,
}

impl Table {
    /// The partition of this number.
    pub(super) fn get(&self, number: u32) -> Option<Partition> {
        self.partitions.iter().copied().find(|partition| partition.number == number)
    }

    /// The aligned room behind the last partition.
    pub(super) fn room_bytes(&self) -> u64 {
        self.room().1 - self.room().0
    }

    /// Whether there is more room behind the last partition than the spare that was left there.
    pub(super) fn has_grown(&self) -> bool {
        self.room_bytes() > (self.disk_bytes / SPARE_PART).min(MAX_SPARE_BYTES) + MIN_DATA_BYTES
    }

    fn room(&self) -> (u64, u64) {
        // A table of this kind counts sectors in 32 bits.
        let countable = self.disk_bytes.min(u64::from(u32::MAX) * self.sector_bytes);
        let start = self.partitions.iter().map(|partition| partition.end_bytes()).max().unwrap_or(0);
        let (start, end) = (start.next_multiple_of(ALIGNMENT_BYTES), countable - countable % ALIGNMENT_BYTES);
        (start, end.max(start))
    }

    fn spare_bytes(&self) -> u64 {
        if self.disk_bytes < MIN_CARD_WITH_SPARE_BYTES {
            return 0;
        }
        let spare = (self.disk_bytes / SPARE_PART).clamp(MIN_SPARE_BYTES, MAX_SPARE_BYTES);
        let spare = spare.next_multiple_of(ALIGNMENT_BYTES);
        // Where a spare would be the larger half, photos need the room more.
        if spare > self.room_bytes() / 2 { 0 } else { spare }
    }
}

/// What this boot knows of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It can be used.
    Sound,
    /// Its file system cannot, and a check has found it wrong.
    BeyondRepair,
    /// It cannot be used, and no check has found anything wrong with it: something else may stand in the way.
    Unclear,
    /// Not even the file system that was just made in it.
    Useless,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Make a partition and its file system in free room.
    Make(Partition),
    /// Check the file system in a partition.
    Check(Partition),
    /// Make the file system in a partition anew. What it held is lost.
    MakeAnew(Partition),
    /// This is the one.
    Use(Partition),
    /// There is too little room for any.
    RefuseSmallCard {
        /// What there is.
        room_bytes: u64,
    },
    /// The card does not keep what is written to it.
    RefuseBadCard,
    /// A partition that may be whole cannot be used now.
    RefuseUnclear(Partition),
}

/// The next step. The highest of the two data partitions counts: the second exists only if the first was given up, and that is
/// for good.
pub(super) fn next(table: &Table, known: &BTreeMap<u32, Verdict>) -> Step {
    let Some(current) = table.get(SECOND).or(table.get(DATA)) else {
        return make(table, DATA, table.spare_bytes());
    };
    match known.get(&current.number) {
        None => Step::Check(current),
        Some(Verdict::Sound) => Step::Use(current),
        Some(Verdict::Useless) => Step::RefuseBadCard,
        Some(Verdict::BeyondRepair | Verdict::Unclear)
            if current.number == DATA && table.room_bytes() >= MIN_DATA_BYTES =>
        {
            make(table, SECOND, 0)
        }
        // A station that goes on is worth more than a file system that nothing can read.
        Some(Verdict::BeyondRepair) => Step::MakeAnew(current),
        // What may be whole is never made over.
        Some(Verdict::Unclear) => Step::RefuseUnclear(current),
    }
}

fn make(table: &Table, number: u32, spare_bytes: u64) -> Step {
    let (start_bytes, end_bytes) = table.room();
    let size_bytes = end_bytes - start_bytes - spare_bytes;
    if size_bytes < MIN_DATA_BYTES {
        return Step::RefuseSmallCard { room_bytes: size_bytes };
    }
    Step::Make(Partition { number, start_bytes, size_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(disk_bytes: u64, more: &[(u32, u64, u64)]) -> Table {
        let system = [(1, 8 * MIB, 256 * MIB), (2, 264 * MIB, 444 * MIB - 512)];
        let partition = |&(number, start_bytes, size_bytes): &_| Partition { number, start_bytes, size_bytes };
        let partitions = system.iter().chain(more).map(partition).collect();
        Table { disk_bytes, sector_bytes: 512, partitions }
    }

    fn made(disk_bytes: u64) -> (u64, u64, u64) {
        let table = card(disk_bytes, &[]);
        let Step::Make(partition) = next(&table, &BTreeMap::new()) else { panic!("nothing is made") };
        assert_eq!(partition.number, DATA);
        (partition.start_bytes / MIB, partition.size_bytes / MIB, (disk_bytes - partition.end_bytes()) / MIB)
    }

    #[test]
    fn the_first_boot_takes_the_room_less_a_spare() {
        assert_eq!(made(1_536 * MIB), (708, 828, 0));
        assert_eq!(made(2_048 * MIB), (708, 828, 512));
        assert_eq!(made(8_000 * MIB), (708, 6_292, 1_000));
        assert_eq!(made(29 * GIB + 5_000_000), (708, 25_276, 3_716));
        assert_eq!(made(128 * GIB), (708, 126_268, 4_096));
        // What a table of 32 bits cannot name stays unused.
        assert_eq!(made(4_096 * GIB).2, (4_096 - 2_048 + 4) * 1_024 + 4);
    }

    #[test]
    fn a_card_without_room_is_refused() {
        for (size, room_bytes) in [(100, 0), (708, 0), (1_219, 508 * MIB)] {
            assert_eq!(next(&card(size * MIB, &[]), &BTreeMap::new()), Step::RefuseSmallCard { room_bytes });
        }
        assert_eq!(made(1_220 * MIB), (708, 512, 0));
    }

    #[test]
    fn what_is_sound_is_used_and_what_is_not_is_set_aside() {
        let table = card(8_000 * MIB, &[(3, 708 * MIB, 6_292 * MIB)]);
        let data = table.get(DATA).unwrap();
        assert_eq!(next(&table, &BTreeMap::new()), Step::Check(data));
        assert_eq!(next(&table, &[(3, Verdict::Sound)].into()), Step::Use(data));
        let second = Partition { number: SECOND, start_bytes: 7_000 * MIB, size_bytes: 1_000 * MIB };
        assert_eq!(next(&table, &[(3, Verdict::BeyondRepair)].into()), Step::Make(second));
        assert_eq!(next(&table, &[(3, Verdict::Useless)].into()), Step::RefuseBadCard);
    }

    #[test]
    fn the_second_is_not_left_again() {
        let table = card(8_000 * MIB, &[(3, 708 * MIB, 6_292 * MIB), (4, 7_000 * MIB, 1_000 * MIB)]);
        let second = table.get(SECOND).unwrap();
        assert_eq!(next(&table, &[(3, Verdict::Sound)].into()), Step::Check(second));
        assert_eq!(next(&table, &[(4, Verdict::BeyondRepair)].into()), Step::MakeAnew(second));
        assert_eq!(next(&table, &[(4, Verdict::Unclear)].into()), Step::RefuseUnclear(second));
        assert_eq!(next(&table, &[(4, Verdict::Useless)].into()), Step::RefuseBadCard);
    }

    #[test]
    fn a_spare_that_is_left_is_large_enough_to_be_used() {
        for size in (1_220..40_000).step_by(4) {
            let (start, data, spare) = made(size * MIB);
            assert!(spare == 0 || spare >= MIN_DATA_BYTES / MIB, "{size}: {spare}");
            let table = card(size * MIB, &[(3, start * MIB, data * MIB)]);
            assert!(!table.has_grown(), "{size}");
            let next = next(&table, &[(3, Verdict::BeyondRepair)].into());
            assert_eq!(matches!(next, Step::Make(_)), spare > 0, "{size}: {next:?}");
        }
    }

    #[test]
    fn without_a_spare_the_first_is_made_anew() {
        let table = card(1_536 * MIB, &[(3, 708 * MIB, 828 * MIB)]);
        assert_eq!(next(&table, &[(3, Verdict::BeyondRepair)].into()), Step::MakeAnew(table.get(DATA).unwrap()));
    }
}
