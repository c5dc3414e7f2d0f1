//! Random secrets (station tokens, session cookies) and the hashes that stand for them in the catalog.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// How a secret begins: tools that search for leaked secrets know it by this, and no shell takes it for an option.
const PREFIX: &str = "tide_";

/// 256 random bits in text. Shown to whoever it is for and then forgotten.
pub struct Secret(String);

impl Secret {
    /// A new secret from the operating system's random numbers.
    pub fn random() -> Self {
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())))
    }

    /// The text to hand over.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the catalog keeps.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }
}

/// SHA-256 of a secret. A slow hash would add nothing to 256 random bits; and because the catalog is searched by this hash,
/// how long the search takes tells nothing about the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of what somebody presents.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// The 32 bytes, as the catalog stores them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A password that a person can read off a screen: four groups of five letters and digits, 100 random bits.
pub fn readable_password() -> String {
    // 32 characters, none of which looks like another.
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let groups: Vec<String> = rand::random::<[[u8; 5]; 4]>()
        .iter()
        .map(|group| group.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect())
        .collect();
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_by_its_hash_and_never_repeats() {
        let secret = Secret::random();
        assert_eq!(secret.reveal().len(), 48);
        assert_eq!(SecretHash::of(secret.reveal()), secret.hash());
        assert_ne!(Secret::random().hash(), secret.hash());
        assert_ne!(readable_password(), readable_password());
        assert_eq!(readable_password().len(), 23);
    }
}
