//! The server's certificate: the operator's own, one from an ACME authority, or one that the server makes for itself and keeps.
//!
//! A certificate of our own making is signed by its own key. Stations trust exactly that subject and key, so a renewed
//! certificate with the same key reaches them all without anybody touching them.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum_server::tls_rustls::RustlsConfig;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tide_durable::{Durable, IfExists};
use tokio::signal::unix::Signal;

use crate::acme::{AcmeCertificate, AcmeFiles, Authority, Challenges};
use crate::config::Settings;
use crate::data_folder;

/// Life of a certificate in days: the longest that browsers on Apple systems accept from a private issuer.
const LIFE_DAYS: i64 = 825;

/// How long a new certificate may wait to be noticed.
const FRESHNESS: Duration = Duration::from_secs(60);

/// Days before its end at which a start of the server renews the certificate.
const RENEWAL_DAYS: i64 = 60;

/// Certificate chain and key, PEM.
pub struct CertificateFiles {
    /// What clients see and stations trust.
    pub certificate_pem: String,
    key_pem: String,
    /// The names in it, if we made it ourselves.
    own_names: Option<BTreeSet<String>>,
}

/// What our own certificate was made for, kept beside it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Issued {
    names: BTreeSet<String>,
    until: Date,
}

impl CertificateFiles {
    /// Reads the operator's certificate, or that of the ACME authority, or makes or renews our own. Ours changes only when it
    /// must: near its end, and when
    /// `public_name` is not in it. Addresses come and go, and old devices trust the very certificate that they were given.
    ///
    /// # Errors
    /// If files cannot be read or written.
    pub fn load(settings: &Settings, durable: &Durable, now: Timestamp) -> anyhow::Result<Self> {
        match (&settings.certificate, &settings.certificate_key) {
            (Some(certificate), Some(key)) => Self::read(certificate, key),
            _ => {
                if let Some(issued) = Self::issued(settings, durable)? {
                    return Ok(issued);
                }
                let wanted = settings.public_name.iter().cloned().collect();
                Self::own(durable, &wanted, &names_of_host(settings), now)
            }
        }
    }

    /// Whether it has this name, as far as we can tell: of the operator's own certificate we believe it.
    pub fn is_for(&self, host: &str) -> bool {
        self.own_names.as_ref().is_none_or(|names| names.contains(host))
    }

    /// The configuration for serving with this certificate: TLS 1.2 and 1.3, HTTP/1.1. With `challenges` it answers an ACME
    /// authority too.
    ///
    /// # Errors
    /// If the files hold no certificate or no key that fits.
    pub fn server_config(&self, challenges: Option<&Challenges>) -> anyhow::Result<RustlsConfig> {
        let chain = CertificateDer::pem_slice_iter(self.certificate_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .context("failed to read the certificate; it must be a PEM file")?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())
            .context("failed to read the certificate's key; it must be a PEM file")?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .context("the certificate and its key do not belong together")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if let Some(challenges) = challenges {
            challenges.answer_in(&mut config);
        }
        Ok(RustlsConfig::from_config(Arc::new(config)))
    }

    fn read(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .with_context(|| format!("failed to read the certificate file {}", path.display()))
        };
        Ok(Self { certificate_pem: read(certificate)?, key_pem: read(key)?, own_names: None })
    }

    /// What the ACME authority of the settings has issued, if it has.
    fn issued(settings: &Settings, durable: &Durable) -> anyhow::Result<Option<Self>> {
        let Some(authority) = Authority::of(settings)? else { return Ok(None) };
        let issued = AcmeFiles::open(durable)?.issued(&authority)?;
        Ok(issued.map(Self::from))
    }

    /// `wanted` are the names that it must have; `names` those that it gets when it has to be made.
    fn own(
        durable: &Durable,
        wanted: &BTreeSet<String>,
        names: &BTreeSet<String>,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let folder = data_folder::private(durable, "tls")?;
        durable.sweep(&folder)?;
        let read = |name: &str| read_if_there(durable, &folder.join(name));
        let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
        let issued = read("issued.json")?.and_then(|json| serde_json::from_str::<Issued>(&json).ok());
        let kept_key = read("key.pem")?;
        if let (Some(issued), Some(certificate_pem), Some(key_pem)) = (issued, read("certificate.pem")?, &kept_key)
            && wanted.is_subset(&issued.names)
            && issued.until > today + RENEWAL_DAYS.days()
        {
            return Ok(Self { certificate_pem, key_pem: key_pem.clone(), own_names: Some(issued.names) });
        }
        let key = match &kept_key {
            Some(pem) => {
                KeyPair::from_pem(pem).context("failed to read the kept key tls/key.pem; restore it from a backup")?
            }
            None => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
        };
        let until = today + LIFE_DAYS.days();
        let files = Self {
            certificate_pem: issue(&key, names, today, until)?,
            key_pem: key.serialize_pem(),
            own_names: Some(names.clone()),
        };
        if kept_key.is_none() {
            durable.publish(&folder.join("key.pem"), files.key_pem.as_bytes(), IfExists::Refuse)?;
        }
        durable.publish(&folder.join("certificate.pem"), files.certificate_pem.as_bytes(), IfExists::Replace)?;
        // Last: without it the next start makes the certificate anew.
        let issued = serde_json::to_vec(&Issued { names: names.clone(), until })?;
        durable.publish(&folder.join("issued.json"), &issued, IfExists::Replace)?;
        let list = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        tracing::info!(names = list, %until, "made a certificate for this server");
        Ok(files)
    }
}

impl From<AcmeCertificate> for CertificateFiles {
    fn from(AcmeCertificate { certificate_pem, key_pem, .. }: AcmeCertificate) -> Self {
        Self { certificate_pem, key_pem, own_names: None }
    }
}

/// Looks every minute, and at each of `reloads`, whether the certificate has to change or the operator has put another in its
/// place, and goes over to it without breaking a connection. A pair of files that cannot be used changes nothing: the old one
/// serves on.
pub async fn keep_fresh(
    serving: RustlsConfig,
    settings: Settings,
    durable: Durable,
    challenges: Option<Challenges>,
    mut reloads: Signal,
) {
    let mut known = String::new();
    loop {
        let loaded = CertificateFiles::load(&settings, &durable, Timestamp::now());
        match loaded.and_then(|files| Ok((files.server_config(challenges.as_ref())?, files.certificate_pem))) {
            Ok((_, pem)) if pem == known => (),
            Ok((config, pem)) => {
                serving.reload_from_config(config.get_inner());
                if !known.is_empty() {
                    tracing::info!("serving with another certificate");
                }
                known = pem;
            }
            Err(error) => tracing::error!("the certificate stays the one before: {error:#}"),
        }
        tokio::select! {
            () = tokio::time::sleep(FRESHNESS) => (),
            Some(()) = reloads.recv() => (),
        }
    }
}

/// A certificate for these names, signed by its own key.
fn issue(key: &KeyPair, names: &BTreeSet<String>, today: Date, until: Date) -> anyhow::Result<String> {
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    params.distinguished_name = DistinguishedName::new();
    // The subject never changes: stations know the certificate by its subject and key.
    params.distinguished_name.push(DnType::CommonName, "Tide Recorder server");
    // From yesterday, for stations whose clock is a little behind.
    let (year, month, day) = ymd(today - 1.days())?;
    params.not_before = date_time_ymd(year, month, day);
    let (year, month, day) = ymd(until)?;
    params.not_after = date_time_ymd(year, month, day);
    Ok(params.self_signed(key)?.pem())
}

fn ymd(date: Date) -> anyhow::Result<(i32, u8, u8)> {
    Ok((date.year().into(), date.month().try_into()?, date.day().try_into()?))
}

/// Names and addresses under which this host is likely to be reached.
fn names_of_host(settings: &Settings) -> BTreeSet<String> {
    let mut names = BTreeSet::from(["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()]);
    names.extend(settings.public_name.clone());
    names.extend(gethostname::gethostname().into_string().ok().filter(|name| !name.is_empty()));
    names.extend(own_addresses().iter().map(ToString::to_string));
    names
}

/// Addresses of this host's interfaces, without loopback and link-local ones, which no station can use.
pub fn own_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces
        .iter()
        .filter(|found| !found.is_loopback() && !found.is_link_local())
        .map(if_addrs::Interface::ip)
        .collect()
}

fn read_if_there(durable: &Durable, path: &Path) -> anyhow::Result<Option<String>> {
    match durable.read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8(bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("failed to read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(folder: &Path, names: &[&str], now: &str) -> CertificateFiles {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        CertificateFiles::own(&Durable::open(folder).unwrap(), &names, &names, now.parse().unwrap()).unwrap()
    }

    #[test]
    fn the_certificate_stays_until_it_must_change_and_the_key_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let first = own(folder.path(), &["localhost"], "2026-01-01T00:00:00Z");
        assert!(first.server_config(None).is_ok());

        let again = own(folder.path(), &["localhost"], "2027-01-01T00:00:00Z");
        assert_eq!(again.certificate_pem, first.certificate_pem, "a restart changes nothing");

        let renewed = own(folder.path(), &["localhost"], "2028-03-01T00:00:00Z");
        assert_ne!(renewed.certificate_pem, first.certificate_pem, "renewed before its end");
        let named = own(folder.path(), &["localhost", "tide.example.org"], "2028-03-01T00:00:00Z");
        assert_ne!(named.certificate_pem, renewed.certificate_pem, "made anew for a new name");
        assert_eq!([&again, &renewed, &named].map(|files| &files.key_pem), [&first.key_pem; 3]);
        assert!(named.server_config(None).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_on_the_machine_reads_the_key() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        own(folder.path(), &["localhost"], "2026-01-01T00:00:00Z");
        let mode = std::fs::metadata(folder.path().join("tls")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn an_own_certificate_without_its_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let first = own(&folder.path().join("a"), &["localhost"], "2026-01-01T00:00:00Z");
        let other = own(&folder.path().join("b"), &["localhost"], "2026-01-01T00:00:00Z");
        let mixed =
            CertificateFiles { certificate_pem: first.certificate_pem, key_pem: other.key_pem, own_names: None };
        assert!(mixed.server_config(None).is_err());
        let nothing = CertificateFiles { certificate_pem: String::new(), key_pem: String::new(), own_names: None };
        assert!(nothing.server_config(None).is_err());
    }
}
