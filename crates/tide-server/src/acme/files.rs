//! What is kept of ACME, in `tls/acme` of the data folder: the account, the certificate together with its key in one file (so
//! that there is never one without the other), and when it was last tried in vain.

use std::io;
use std::path::PathBuf;

use anyhow::Context;
use instant_acme::AccountCredentials;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tide_durable::{Durable, IfExists};

use super::Authority;
use crate::data_folder;

/// A certificate from an authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeCertificate {
    /// Who issued it.
    pub directory: String,
    /// For whom.
    pub name: String,
    /// The chain.
    pub certificate_pem: String,
    /// Its key.
    pub key_pem: String,
}

#[derive(Serialize, Deserialize)]
struct Account {
    directory: String,
    credentials: AccountCredentials,
}

/// The folder `tls/acme`.
pub struct AcmeFiles {
    durable: Durable,
    folder: PathBuf,
}

impl AcmeFiles {
    /// Opens the folder, made if need be.
    ///
    /// # Errors
    /// If it cannot be made or closed to others.
    pub fn open(durable: &Durable) -> anyhow::Result<Self> {
        data_folder::private(durable, "tls")?;
        let folder = data_folder::private(durable, "tls/acme").context("failed to use the folder tls/acme")?;
        Ok(Self { durable: durable.clone(), folder })
    }

    /// Removes what an interruption left unfinished, which may hold a key. Call it before anything is written.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn sweep(&self) -> io::Result<usize> {
        self.durable.sweep(&self.folder)
    }

    /// The certificate that this authority has issued for this name.
    ///
    /// # Errors
    /// If it is there but cannot be read.
    pub fn issued(&self, authority: &Authority) -> anyhow::Result<Option<AcmeCertificate>> {
        let issued: Option<AcmeCertificate> = self.read("certificate.json")?;
        Ok(issued.filter(|issued| issued.directory == authority.directory && issued.name == authority.name))
    }

    /// Keeps a certificate in place of the one before; the attempts are over.
    pub(super) fn keep(&self, issued: &AcmeCertificate) -> anyhow::Result<()> {
        self.write("certificate.json", issued)?;
        self.remove("attempt.json")
    }

    /// When a certificate was last asked for, if none came of it.
    pub(super) fn last_attempt(&self) -> anyhow::Result<Option<Timestamp>> {
        self.read("attempt.json")
    }

    pub(super) fn note_attempt(&self, now: Timestamp) -> anyhow::Result<()> {
        self.write("attempt.json", &now)
    }

    /// The account with this authority.
    pub(super) fn account(&self, authority: &Authority) -> anyhow::Result<Option<AccountCredentials>> {
        let account: Option<Account> = self.read("account.json")?;
        Ok(account.filter(|account| account.directory == authority.directory).map(|account| account.credentials))
    }

    pub(super) fn keep_account(&self, authority: &Authority, credentials: AccountCredentials) -> anyhow::Result<()> {
        self.write("account.json", &Account { directory: authority.directory.clone(), credentials })
    }

    /// For an authority that does not know the account any more.
    pub(super) fn forget_account(&self) -> anyhow::Result<()> {
        self.remove("account.json")
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let path = self.folder.join(name);
        let bytes = match self.durable.read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.with_context(|| format!("failed to read {}", path.display()))?,
        };
        let value = serde_json::from_slice(&bytes);
        value.map(Some).with_context(|| format!("failed to read {}; remove it to have it made anew", path.display()))
    }

    fn write(&self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        self.durable
            .publish(&path, &serde_json::to_vec(value)?, IfExists::Replace)
            .with_context(|| format!("failed to write {}", path.display()))
    }

    fn remove(&self, name: &str) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        match self.durable.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("failed to remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(directory: &str, name: &str) -> Authority {
        Authority { directory: directory.to_owned(), contact: None, roots_pem: None, name: name.to_owned() }
    }

    #[test]
    fn a_certificate_is_good_for_its_authority_and_name_only() {
        let folder = tempfile::tempdir().unwrap();
        let files = AcmeFiles::open(&Durable::open(folder.path()).unwrap()).unwrap();
        let ours = authority("https://acme.example.org", "tide.example.org");
        assert_eq!(files.issued(&ours).unwrap(), None);
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        files.note_attempt(now).unwrap();
        assert_eq!(files.last_attempt().unwrap(), Some(now));

        let issued = AcmeCertificate {
            directory: ours.directory.clone(),
            name: ours.name.clone(),
            certificate_pem: "certificate".to_owned(),
            key_pem: "key".to_owned(),
        };
        files.keep(&issued).unwrap();
        assert_eq!(files.issued(&ours).unwrap(), Some(issued));
        assert_eq!(files.last_attempt().unwrap(), None, "it was not in vain");
        for other in [("https://acme.example.org", "other.example.org"), ("https://other", "tide.example.org")] {
            assert_eq!(files.issued(&authority(other.0, other.1)).unwrap(), None);
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let files = AcmeFiles::open(&Durable::open(folder.path()).unwrap()).unwrap();
        std::fs::write(files.folder.join("certificate.json"), "{").unwrap();
        let error = files.issued(&authority("https://a", "b")).unwrap_err().to_string();
        assert!(error.contains("certificate.json"), "{error}");
    }
}
