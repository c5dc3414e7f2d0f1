//! How the boot tests look at a card while its machine is off.

use std::fs;
use std::path::Path;

use anyhow::ensure;
use libtest_mimic::Trial;
use tide_journey::appliance::{Card, Partition, WriteLog};
use tide_journey::needs::{Need, journey};

pub(crate) fn journeys() -> Vec<Trial> {
    vec![
        journey("bytes_are_found_wherever_they_lie_in_a_partition", Need::Nothing, found),
        journey("what_follows_the_last_flush_of_a_card_is_lost", Need::Nothing, lost),
    ]
}

fn found() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("card");
    let mut bytes = vec![0; 446 + 8];
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(4_096_u32.to_le_bytes());
    bytes.resize(512 * 4_097, 0);
    // Across the end of what is read at a time.
    bytes[512 + 1_048_570..][..11].copy_from_slice(b"tide_secret");
    fs::write(&path, bytes)?;
    let card = Card::in_file(&path);
    ensure!(card.holds(1, b"tide_secret")?, "the secret was not found");
    ensure!(!card.holds(1, b"tide_secrets")?, "what is not there was found");
    ensure!(card.partition(1)? == Some(Partition { start_bytes: 512, bytes: 4_096 * 512 }));
    ensure!(card.partition(2)?.is_none());
    Ok(())
}

const FLUSH: u64 = 1;

fn lost() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (path, card) = (folder.path().join("log"), folder.path().join("card"));
    let mut bytes = log(&[(1, Some(7), 0), (0, None, FLUSH), (2, Some(8), 0), (0, None, FLUSH), (1, Some(9), 0)]);
    // The power went in the middle of an entry.
    bytes.extend([0; 700]);
    fs::write(&path, bytes)?;
    for (flush, seed, expected) in [(1, None, [0, 7, 8]), (0, None, [0, 7, 0])] {
        fs::write(&card, [0; 3 * 512])?;
        let log = WriteLog::read(&path)?;
        ensure!(log.flushes() == 2, "{} flushes", log.flushes());
        let seen = log.play(&card, flush, seed)?;
        ensure!(seen.lost == 1, "{seen:?}");
        ensure!(sectors(&card)? == expected, "{:?}", sectors(&card)?);
    }
    Ok(())
}

/// The first byte of each sector.
fn sectors(card: &Path) -> anyhow::Result<Vec<u8>> {
    Ok(fs::read(card)?.chunks(512).map(|sector| sector[0]).collect())
}

/// A log of entries: first sector, the byte that fills it if there is one, flags.
fn log(entries: &[(u64, Option<u8>, u64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [0x006a_7366_7773_6872, 1, entries.len() as u64] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(512_u32.to_le_bytes());
    bytes.resize(512, 0);
    for (sector, fill, flags) in entries {
        let end = bytes.len() + 512;
        for number in [*sector, u64::from(fill.is_some()), *flags, 0] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.resize(end, 0);
        bytes.extend(fill.iter().flat_map(|fill| [*fill; 512]));
    }
    bytes
}
