//! A second copy of the secrets, outside of every file system: the first is on the data partition, and a station has to go on when
//! that is beyond repair. It lies in the room that the image leaves between the card's table and its first partition, where only root
//! reads. Writing the image to the card again takes it away.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// Where it begins on the card: behind what boot loaders of other makes use, far before the first partition, which the layout puts
/// at 4 MiB.
const AT_BYTES: u64 = 1_024 * 1_024;

/// The layout's beginning of the first partition. A card on which anything begins sooner is not ours, and is not written to.
pub const FREE_UP_TO_BYTES: u64 = 4 * 1_024 * 1_024;

/// How it begins.
const MAGIC: &[u8; 16] = b"tide-secrets-1\r\n";

/// The largest that is believed.
const MOST_BYTES: usize = 64 * 1_024;

const HEAD_BYTES: usize = MAGIC.len() + 4 + 32;

/// What is written: the magic, the length, the SHA-256, the text.
fn seal(text: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(text.len()).ok().filter(|_| text.len() <= MOST_BYTES)?;
    let digest = Sha256::digest(text);
    Some([MAGIC.as_slice(), &length.to_le_bytes(), digest.as_slice(), text].concat())
}

/// The text, if what was read is whole.
fn unseal(bytes: &[u8]) -> Option<Vec<u8>> {
    let rest = bytes.strip_prefix(MAGIC.as_slice())?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (digest, rest) = rest.split_first_chunk::<32>()?;
    let text = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    (Sha256::digest(text).as_slice() == digest).then(|| text.to_vec())
}

/// Reads it from the card; none if there is none, or it is not whole.
///
/// # Errors
/// If the card does not give it.
pub fn read(card: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; HEAD_BYTES + MOST_BYTES];
    File::open(card)?.read_exact_at(&mut bytes, AT_BYTES)?;
    Ok(unseal(&bytes))
}

/// Writes it to the card, for good, unless it is there already.
///
/// # Errors
/// If the card does not take it.
pub fn write(card: &Path, text: &[u8]) -> io::Result<()> {
    if read(card)?.as_deref() == Some(text) {
        return Ok(());
    }
    let bytes = seal(text).ok_or(io::ErrorKind::InvalidInput)?;
    let card = OpenOptions::new().write(true).open(card)?;
    // A longer one before it shall not be left behind the end.
    let mut whole = vec![0; HEAD_BYTES + MOST_BYTES];
    whole[..bytes.len()].copy_from_slice(&bytes);
    card.write_all_at(&whole, AT_BYTES)?;
    card.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_the_rest_of_the_card_stays() {
        let card = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(card.path(), vec![7; 5 * 1_024 * 1_024]).unwrap();
        assert_eq!(read(card.path()).unwrap(), None);
        for text in [b"a longer text".as_slice(), b"short", b""] {
            write(card.path(), text).unwrap();
            assert_eq!(read(card.path()).unwrap().as_deref(), Some(text));
        }
        let bytes = std::fs::read(card.path()).unwrap();
        let free = usize::try_from(FREE_UP_TO_BYTES).unwrap();
        assert!(bytes[..1_024 * 1_024].iter().chain(&bytes[free..]).all(|byte| *byte == 7));
        assert!(!bytes.windows(6).any(|window| window == b"longer"));
    }

    #[test]
    fn half_of_one_is_none() {
        let whole = seal(b"secrets").unwrap();
        assert_eq!(unseal(&whole).as_deref(), Some(b"secrets".as_slice()));
        for cut in 0..whole.len() {
            assert_eq!(unseal(&whole[..cut]), None);
            let mut other = whole.clone();
            other[cut] ^= 1;
            assert_eq!(unseal(&other), None);
        }
        assert_eq!(seal(&vec![0; MOST_BYTES + 1]), None);
    }
}
