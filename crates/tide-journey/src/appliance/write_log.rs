//! Everything that a machine wrote to its card, in order, and when it had the card make sure of it: QEMU's driver `blklogwrites`
//! writes this log in the format of the kernel's dm-log-writes,
//! <https://docs.kernel.org/admin-guide/device-mapper/log-writes.html> (the structures are in drivers/md/dm-log-writes.c).
//!
//! A card may keep what was written since the last flush in its own memory, and write it in any order; when the power goes, any
//! part of that may be lost. A log can be played onto a copy of the card as it was, up to such a moment.
//!
//! ```text
//! sector 0   magic, version, number of entries, bytes of a sector           u64 u64 u64 u32, little-endian
//! then each  first sector, number of sectors, flags, bytes of data          u64 u64 u64 u64, in a sector of its own;
//!            the sectors, unless it is a discard
//! ```

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// As dm-log-writes has it.
const MAGIC: u64 = 0x006a_7366_7773_6872;

const FLUSH: u64 = 1;
const DISCARD: u64 = 1 << 2;
const MARK: u64 = 1 << 3;

/// A log, read to the last flush that QEMU has written down.
pub struct WriteLog {
    file: File,
    sector_bytes: u64,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    sector: u64,
    sectors: u64,
    flags: u64,
    /// Where its sectors are in the log.
    data_at: u64,
}

/// What was played onto a card.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Writes that are on the card.
    pub written: usize,
    /// Writes after the last flush that are not.
    pub lost: usize,
}

impl WriteLog {
    /// Reads a log; its machine is off.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
        let mut head = [0; 28];
        file.read_exact_at(&mut head, 0)?;
        ensure!(word(&head, 0) == MAGIC && word(&head, 1) == 1, "{} is no log of writes", path.display());
        let sector_bytes = u64::from(u32::from_le_bytes([head[24], head[25], head[26], head[27]]));
        let mut log = Self { file, sector_bytes, entries: Vec::new() };
        log.read_entries()?;
        let (read, counted) = (log.entries.len() as u64, word(&head, 2));
        ensure!(read >= counted, "{} has a gap: {read} of {counted} entries are whole", path.display());
        Ok(log)
    }

    /// QEMU counts the entries anew at each flush only, so what follows is read as far as it is whole.
    fn read_entries(&mut self) -> anyhow::Result<()> {
        let (end, mut at) = (self.file.metadata()?.len(), self.sector_bytes);
        let mut head = [0; 32];
        while at + self.sector_bytes <= end {
            self.file.read_exact_at(&mut head, at)?;
            let [sector, sectors, flags, _] = [0, 1, 2, 3].map(|index| word(&head, index));
            // Where a log ends in the middle of an entry there is nothing yet.
            let is_whole = flags & (FLUSH | DISCARD | MARK) != 0 || sectors > 0;
            let data_at = at + self.sector_bytes;
            let data_sectors = if flags & (DISCARD | MARK) == 0 { sectors } else { 0 };
            at = data_at.saturating_add(data_sectors.saturating_mul(self.sector_bytes));
            if !is_whole || at > end {
                break;
            }
            self.entries.push(Entry { sector, sectors, flags, data_at });
        }
        Ok(())
    }

    /// How often the machine had the card make sure of what was written.
    pub fn flushes(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_flush()).count()
    }

    /// Plays all that was written up to a flush, counted from 0, onto the card as it was when the log began; and of what followed
    /// until the next one, each write or not, as chance decides. Without a seed, none.
    ///
    /// # Errors
    /// If there is no such flush, or the card cannot be written.
    pub fn play(&self, card: &Path, flush: usize, seed: Option<u64>) -> anyhow::Result<Seen> {
        let card = File::options().write(true).open(card)?;
        let end = self.entries.iter().enumerate().filter(|(_, entry)| entry.is_flush()).nth(flush);
        let (end, _) = end.with_context(|| format!("the log has no flush {flush}"))?;
        let (sure, open) = self.entries.split_at(end + 1);
        let mut seen = Seen { written: 0, lost: 0 };
        for entry in sure.iter().filter(|entry| entry.is_write()) {
            self.write(*entry, &card)?;
            seen.written += 1;
        }
        let mut random = seed.map(StdRng::seed_from_u64);
        for entry in open.iter().take_while(|entry| !entry.is_flush()).filter(|entry| entry.is_write()) {
            if random.as_mut().is_some_and(|random| random.random_bool(0.5)) {
                self.write(*entry, &card)?;
                seen.written += 1;
            } else {
                seen.lost += 1;
            }
        }
        Ok(seen)
    }

    fn write(&self, entry: Entry, card: &File) -> anyhow::Result<()> {
        let mut data = vec![0; usize::try_from(entry.sectors * self.sector_bytes)?];
        self.file.read_exact_at(&mut data, entry.data_at)?;
        Ok(card.write_all_at(&data, entry.sector * self.sector_bytes)?)
    }
}

impl Entry {
    fn is_flush(self) -> bool {
        self.flags & FLUSH != 0
    }

    /// A discard says that the sectors may hold anything: they stay as they are.
    fn is_write(self) -> bool {
        self.flags & (DISCARD | MARK) == 0 && self.sectors > 0
    }
}

fn word(bytes: &[u8], index: usize) -> u64 {
    bytes[index * 8..][..8].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}
