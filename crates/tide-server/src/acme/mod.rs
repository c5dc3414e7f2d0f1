//! The certificate from an ACME authority (RFC 8555), for instance Let's Encrypt: asked for at the first start, renewed at two
//! thirds of its life, exchanged without a break. Until there is one, the server's self-made certificate serves; while a renewal
//! fails, the one before stays.
//!
//! The authority makes sure of the name by a connection to this server's own HTTPS port (TLS-ALPN-01, RFC 8737), which it
//! reaches as port 443 of the name: no second port, and no proxy that ends TLS in between.

mod challenge;
mod files;
mod order;
mod schedule;
mod web;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use axum_server::tls_rustls::RustlsConfig;
use jiff::Timestamp;
use tide_durable::Durable;

pub use challenge::Challenges;
pub use files::{AcmeCertificate, AcmeFiles};
use schedule::{Attempts, Life};

use crate::certificate::CertificateFiles;
use crate::config::Settings;

/// How often the clock is looked at: it may be set while a renewal is waited for.
const LOOK: Duration = Duration::from_secs(60);

/// Who issues the certificate, and for whom.
#[derive(Debug, Clone)]
pub struct Authority {
    /// Where its directory is.
    pub directory: String,
    /// Whom it may write to.
    pub contact: Option<String>,
    /// Its roots, PEM, if the system does not know them.
    pub roots_pem: Option<String>,
    /// The name in the certificate.
    pub name: String,
}

impl Authority {
    /// The one that the settings name, if they do.
    ///
    /// # Errors
    /// If its roots cannot be read.
    pub fn of(settings: &Settings) -> anyhow::Result<Option<Self>> {
        let (Some(directory), Some(name)) = (&settings.acme_directory, &settings.public_name) else { return Ok(None) };
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path)
                .with_context(|| format!("failed to read the roots of the ACME authority {}", path.display()))
        };
        Ok(Some(Self {
            directory: directory.clone(),
            contact: settings.acme_contact.clone(),
            roots_pem: settings.acme_root.as_ref().map(read).transpose()?,
            name: name.to_ascii_lowercase(),
        }))
    }
}

/// Keeps the server in a certificate from the authority.
pub async fn keep_certified(serving: RustlsConfig, durable: Durable, authority: Authority, challenges: Challenges) {
    if let Err(error) = AcmeFiles::open(&durable).and_then(|files| Ok(files.sweep()?)) {
        tracing::warn!("failed to remove unfinished files of ACME: {error:#}");
    }
    let keeper = Keeper { serving, durable, authority, challenges };
    keeper.announce();
    let mut failures = 0;
    loop {
        match keeper.look(failures, whole_second(Timestamp::now())).await {
            Ok(Look::NotYet(wait)) => tokio::time::sleep(wait.min(LOOK)).await,
            Ok(Look::Renewed) => failures = 0,
            Ok(Look::Failed) => failures += 1,
            Err(error) => {
                tracing::error!("failed to keep the certificate from ACME: {error:#}");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// For the log.
fn whole_second(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

struct Keeper {
    serving: RustlsConfig,
    durable: Durable,
    authority: Authority,
    challenges: Challenges,
}

enum Look {
    NotYet(Duration),
    Renewed,
    Failed,
}

impl Keeper {
    /// Says it if the authority's certificate is still to come.
    fn announce(&self) {
        let issued = AcmeFiles::open(&self.durable).and_then(|files| files.issued(&self.authority));
        if let Ok(None) = issued {
            let Authority { directory, name, .. } = &self.authority;
            tracing::warn!("serving with a self-made certificate until {directory} has issued one for {name}");
        }
    }

    /// Asks for a certificate if one is due.
    async fn look(&self, failures: u32, now: Timestamp) -> anyhow::Result<Look> {
        let files = AcmeFiles::open(&self.durable)?;
        let life = files.issued(&self.authority)?.map(|issued| Life::of(&issued.certificate_pem)).transpose()?;
        let attempts = Attempts { last: files.last_attempt()?, failures };
        let due = schedule::next_attempt(life, attempts, now);
        if due > now {
            return Ok(Look::NotYet(Duration::try_from(now.duration_until(due)).unwrap_or(LOOK)));
        }
        // Before it is made: an attempt that ends in a crash counts as well.
        files.note_attempt(now)?;
        match self.exchange(&files).await {
            Ok(life) => {
                let (name, until, renewal) = (&self.authority.name, life.until, life.renew_at());
                tracing::info!(%until, %renewal, "obtained a certificate for {name} from {}", self.authority.directory);
                Ok(Look::Renewed)
            }
            Err(error) => {
                self.lament(life, failures + 1, now, &error);
                Ok(Look::Failed)
            }
        }
    }

    /// Obtains a certificate, keeps it, and serves with it.
    async fn exchange(&self, files: &AcmeFiles) -> anyhow::Result<Life> {
        let issued = order::obtain(&self.authority, files, &self.challenges).await?;
        let life = Life::of(&issued.certificate_pem)?;
        // Before it takes the place of one that does serve.
        let config = CertificateFiles::from(issued.clone()).server_config(Some(&self.challenges))?;
        files.keep(&issued)?;
        self.serving.reload_from_config(config.get_inner());
        Ok(life)
    }

    /// Says what failed, what serves meanwhile, and when it is tried again.
    fn lament(&self, life: Option<Life>, failures: u32, now: Timestamp, error: &anyhow::Error) {
        let Authority { directory, name, .. } = &self.authority;
        let again = schedule::next_attempt(life, Attempts { last: Some(now), failures }, now);
        let stays = if life.is_some() { "the certificate before stays" } else { "the self-made certificate stays" };
        match life.filter(|life| life.is_ending(now)) {
            Some(Life { until, .. }) => tracing::error!(
                "the certificate of {name} ends at {until}, and {directory} issues no other: {error:#}; \
                 tried again at {again}"
            ),
            None => tracing::warn!(
                "failed to obtain a certificate for {name} from {directory}: {error:#}; {stays}, tried again at {again}"
            ),
        }
    }
}
