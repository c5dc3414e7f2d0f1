//! A public key, as `ssh-keygen` writes it: type, bytes, comment.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};

/// Types that sshd takes by default.
const TYPES: &[&str] = &[
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKey {
    /// A line of `authorized_keys`.
    pub line: String,
    /// As `ssh-keygen -l` shows it.
    pub fingerprint: String,
}

/// Reads one key. Options before the type are refused: what they allow or forbid is nothing that a file on a card should say.
///
/// # Errors
/// A sentence that says what is expected.
pub(crate) fn parse(text: &str) -> Result<SshKey, String> {
    if text.contains("PRIVATE KEY") {
        return Err(
            "this is a private key, which must never leave its computer; take it out, and put in the one line of the file that ends in .pub"
                .to_owned(),
        );
    }
    let line = text.trim();
    if line.chars().any(char::is_control) {
        return Err("an SSH key is one line; copy the one line of the file that ends in .pub".to_owned());
    }
    let mut words = line.split_ascii_whitespace();
    let (Some(kind), Some(encoded)) = (words.next(), words.next()) else { return Err(no_key()) };
    if !TYPES.contains(&kind) {
        return Err(no_key());
    }
    let bytes = STANDARD.decode(encoded).map_err(|_| cut(kind))?;
    if name_within(&bytes) != Some(kind.as_bytes()) || bytes.len() < 4 + kind.len() + 4 + 32 {
        return Err(cut(kind));
    }
    Ok(SshKey { line: line.to_owned(), fingerprint: fingerprint(&bytes) })
}

/// The fingerprint of the first key in a `.pub` file.
pub(crate) fn fingerprint_of(public: &str) -> Option<String> {
    parse(public.lines().next()?).ok().map(|key| key.fingerprint)
}

fn fingerprint(bytes: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(bytes)))
}

/// The first field, a name with its length before it (RFC 4253, 6.6).
fn name_within(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

fn no_key() -> String {
    format!(
        "an SSH key begins with its type ({} or another); copy the one line of the file that ends in .pub",
        TYPES[0]
    )
}

fn cut(kind: &str) -> String {
    format!("this is no whole SSH key of the type {kind}; copy the one line of the file that ends in .pub")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ maria@office";

    #[test]
    fn a_key_is_known_by_its_fingerprint() {
        let key = parse(&format!(" {KEY} ")).unwrap();
        assert_eq!(key.line, KEY);
        // As `ssh-keygen -l` says.
        assert_eq!(key.fingerprint, "SHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE");
        assert_eq!(fingerprint_of(&format!("{KEY}\n")), Some(key.fingerprint));
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        for (text, words) in [
            ("", "begins with its type"),
            ("ssh-ed25519", "begins with its type"),
            ("ssh-dss AAAAB3NzaC1kc3M= x", "begins with its type"),
            (&format!("command=\"reboot\" {KEY}"), "begins with its type"),
            (&KEY.replace("AAAAC3", "AAAC3"), "no whole SSH key"),
            (&KEY.replace("ssh-ed25519 ", "ssh-rsa "), "no whole SSH key of the type ssh-rsa"),
            (&KEY[..40], "no whole SSH key"),
            (&format!("{KEY}\nssh-rsa AAAA"), "one line"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz", "private key"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
