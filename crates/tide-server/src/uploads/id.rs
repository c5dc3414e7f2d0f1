//! The name of an upload: 128 random bits, which nobody guesses, and the digest of the photo that it brings, by which a finished
//! upload is recognised when nothing else is left of it.

use std::fmt;
use std::str::FromStr;

use tide_photo::Digest;

/// An upload's name; 32 hexadecimal digits, a hyphen, and the 64 of the digest in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UploadId {
    random: u128,
    /// Of the photo.
    pub digest: Digest,
}

/// Text that names no upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no name of an upload")]
pub struct NotAnUpload;

impl UploadId {
    /// The name made of these random bits.
    pub fn new(random: u128, digest: Digest) -> Self {
        Self { random, digest }
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}-{}", self.random, self.digest)
    }
}

impl FromStr for UploadId {
    type Err = NotAnUpload;

    /// Only in the form in which it was given away: it becomes a file's name.
    fn from_str(text: &str) -> Result<Self, NotAnUpload> {
        let (random, digest) = text.split_once('-').ok_or(NotAnUpload)?;
        let random = u128::from_str_radix(random, 16).map_err(|_| NotAnUpload)?;
        let id = Self { random, digest: digest.parse().map_err(|_| NotAnUpload)? };
        if id.to_string() == text { Ok(id) } else { Err(NotAnUpload) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_only_as_it_was_written() {
        let id = UploadId::new(7, Digest::of(b"abc"));
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        for bad in ["", "-", "../../etc/passwd", &text[1..], &text.to_uppercase(), &format!("+{}", &text[1..])] {
            assert_eq!(bad.parse::<UploadId>(), Err(NotAnUpload), "{bad}");
        }
    }
}
