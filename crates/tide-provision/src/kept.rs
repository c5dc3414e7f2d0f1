//! What the station keeps of what it was given: secrets, and which settings are in effect.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::settings::Secret;

/// The secrets, each with whose it is. One file, so that no power cut can part a secret from its owner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Secrets {
    /// The station whose token it is.
    pub station: Option<String>,
    /// Its token.
    pub token: Option<Secret>,
    /// The network whose password it is.
    pub network: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
}

impl Secrets {
    /// The token, if it is this station's.
    pub fn token_of(&self, station: &str) -> Option<&Secret> {
        self.token.as_ref().filter(|_| self.station.as_deref() == Some(station))
    }

    /// The password, if it is this network's.
    pub fn password_of(&self, network: &str) -> Option<&Secret> {
        self.password.as_ref().filter(|_| self.network.as_deref() == Some(network))
    }
}

/// Which settings are in effect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Applied {
    /// The version of the program that judged them.
    pub version: String,
    /// The station's name.
    pub station: String,
    /// SHA-256 of `tide.toml` as it was left on the card, without its secrets.
    pub toml: Option<String>,
    /// The same of `.env`.
    pub env: Option<String>,
}

/// SHA-256 in hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
