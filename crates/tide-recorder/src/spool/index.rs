//! Which photos there are, by number: three bits for each, so that a year of photos (a million) takes about 400 kB.

use std::collections::BTreeMap;

use crate::agenda::Waiting;

/// Photos in one folder: what a card's file system lists quickly.
pub(super) const FOLDER_PHOTOS: u64 = 1_000;

const WORD_BITS: u64 = 64;

/// Words for the bits of a folder.
const WORDS: usize = 16;

/// How a photo stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It waits for the server.
    Waiting,
    /// It could not be delivered, and is not offered.
    Parked,
    /// It was delivered, but the disk could not yet be told so.
    Delivered,
}

/// One bit for each photo of a folder.
#[derive(Debug, Default, Clone, Copy)]
struct Bits([u64; WORDS]);

#[derive(Debug, Default, Clone, Copy)]
struct Folder {
    waiting: Bits,
    parked: Bits,
    delivered: Bits,
}

/// The photos of a spool. Only those that wait are seen through [`Waiting`].
#[derive(Debug, Default)]
pub(super) struct Index {
    folders: BTreeMap<u64, Folder>,
    waiting: usize,
    parked: usize,
    delivered: usize,
}

impl Index {
    /// From now on this photo stands so.
    pub(super) fn set(&mut self, sequence: u64, standing: Standing) {
        self.remove(sequence);
        let folder = self.folders.entry(sequence / FOLDER_PHOTOS).or_default();
        folder.bits_mut(standing).set(sequence % FOLDER_PHOTOS, true);
        *self.count_mut(standing) += 1;
    }

    /// There is no such photo any more.
    pub(super) fn remove(&mut self, sequence: u64) {
        let Some(standing) = self.standing(sequence) else { return };
        let number = sequence / FOLDER_PHOTOS;
        if let Some(folder) = self.folders.get_mut(&number) {
            folder.bits_mut(standing).set(sequence % FOLDER_PHOTOS, false);
            if folder.is_empty() {
                self.folders.remove(&number);
            }
        }
        *self.count_mut(standing) -= 1;
    }

    /// How a photo stands; `None` if there is none.
    pub(super) fn standing(&self, sequence: u64) -> Option<Standing> {
        let folder = self.folders.get(&(sequence / FOLDER_PHOTOS))?;
        let all = [Standing::Waiting, Standing::Parked, Standing::Delivered];
        all.into_iter().find(|standing| folder.bits(*standing).get(sequence % FOLDER_PHOTOS))
    }

    /// How many stand so.
    pub(super) fn count(&self, standing: Standing) -> usize {
        match standing {
            Standing::Waiting => self.waiting,
            Standing::Parked => self.parked,
            Standing::Delivered => self.delivered,
        }
    }

    /// The lowest number that stands so.
    pub(super) fn first(&self, standing: Standing) -> Option<u64> {
        self.numbers(standing).next()
    }

    /// The numbers of one folder that wait or are parked, highest first.
    pub(super) fn undelivered_in(&self, folder: u64) -> Vec<u64> {
        let Some(found) = self.folders.get(&folder) else { return Vec::new() };
        let mut numbers: Vec<u64> = found.waiting.ones().chain(found.parked.ones()).collect();
        numbers.sort_unstable_by(|one, other| other.cmp(one));
        numbers.into_iter().map(|bit| folder * FOLDER_PHOTOS + bit).collect()
    }

    /// The folders that hold photos, highest first.
    pub(super) fn folders(&self) -> Vec<u64> {
        self.folders.keys().rev().copied().collect()
    }

    /// The numbers that stand so, lowest first.
    pub(super) fn numbers(&self, standing: Standing) -> impl DoubleEndedIterator<Item = u64> + '_ {
        let folders = if self.count(standing) == 0 { self.folders.range(..0) } else { self.folders.range(..) };
        folders
            .flat_map(move |(number, folder)| folder.bits(standing).ones().map(move |bit| number * FOLDER_PHOTOS + bit))
    }

    fn count_mut(&mut self, standing: Standing) -> &mut usize {
        match standing {
            Standing::Waiting => &mut self.waiting,
            Standing::Parked => &mut self.parked,
            Standing::Delivered => &mut self.delivered,
        }
    }
}

impl Waiting for Index {
    fn len(&self) -> usize {
        self.waiting
    }

    fn contains(&self, sequence: u64) -> bool {
        self.standing(sequence) == Some(Standing::Waiting)
    }

    fn newest(&self, skip: &dyn Fn(u64) -> bool) -> Option<u64> {
        self.numbers(Standing::Waiting).rev().find(|sequence| !skip(*sequence))
    }

    fn oldest(&self, skip: &dyn Fn(u64) -> bool) -> Option<u64> {
        self.numbers(Standing::Waiting).find(|sequence| !skip(*sequence))
    }
}

impl Folder {
    fn bits(&self, standing: Standing) -> Bits {
        match standing {
            Standing::Waiting => self.waiting,
            Standing::Parked => self.parked,
            Standing::Delivered => self.delivered,
        }
    }

    fn bits_mut(&mut self, standing: Standing) -> &mut Bits {
        match standing {
            Standing::Waiting => &mut self.waiting,
            Standing::Parked => &mut self.parked,
            Standing::Delivered => &mut self.delivered,
        }
    }

    fn is_empty(&self) -> bool {
        [self.waiting, self.parked, self.delivered].iter().all(|bits| bits.0.iter().all(|word| *word == 0))
    }
}

impl Bits {
    fn get(&self, bit: u64) -> bool {
        self.0[word(bit)] >> (bit % WORD_BITS) & 1 == 1
    }

    fn set(&mut self, bit: u64, value: bool) {
        let mask = 1 << (bit % WORD_BITS);
        if value {
            self.0[word(bit)] |= mask;
        } else {
            self.0[word(bit)] &= !mask;
        }
    }

    /// The bits that are set, lowest first.
    fn ones(self) -> impl DoubleEndedIterator<Item = u64> {
        let words = self.0.into_iter().enumerate().filter(|(_, word)| *word != 0);
        words.flat_map(|(index, word)| {
            let first = index as u64 * WORD_BITS;
            (0..WORD_BITS).filter(move |bit| word >> bit & 1 == 1).map(move |bit| first + bit)
        })
    }
}

/// The index of a bit's word.
fn word(bit: u64) -> usize {
    (bit / WORD_BITS) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_index_is_a_set_of_numbers_in_their_order() {
        let (mut index, mut set) = (Index::default(), BTreeSet::new());
        for number in [0, 63, 64, 999, 1_000, 5_123_456_789] {
            index.set(number, Standing::Waiting);
            set.insert(number);
        }
        index.set(64, Standing::Parked);
        set.remove(&64);
        index.remove(7);
        assert_eq!((Waiting::len(&index), index.count(Standing::Parked)), (5, 1));
        for without in [&[][..], &[0], &[0, 63, 5_123_456_789], &[0, 63, 999, 1_000, 5_123_456_789]] {
            let skip = |number| without.contains(&number);
            assert_eq!((index.newest(&skip), index.oldest(&skip)), (set.newest(&skip), set.oldest(&skip)));
        }
        assert_eq!(index.undelivered_in(0), [999, 64, 63, 0]);
        assert_eq!(index.folders(), [5_123_456, 1, 0]);
    }

    #[test]
    fn an_empty_folder_takes_no_memory() {
        let mut index = Index::default();
        for number in 0..2_000 {
            index.set(number, Standing::Waiting);
            index.set(number, Standing::Delivered);
            index.remove(number);
        }
        assert!(index.folders.is_empty() && index.count(Standing::Delivered) == 0);
    }
}
