//! May this person in? The password, the throttle in front of it, and the record behind it.

use std::net::IpAddr;
use std::time::Duration;

use tide_photo::CapturedAt;

use crate::app::App;
use crate::catalog::{AuditLine, Catalog, CatalogError, Operator};
use crate::config::MAX_CREDENTIAL_BYTES;
use crate::throttle::{MEMORY, Subject};

/// What became of a login.
#[derive(Debug)]
pub enum Verdict {
    /// Welcome.
    In(Operator),
    /// Wrong name or password; which of the two is nobody's business.
    Refused,
    /// Too many failures before; not even looked at.
    Wait(Duration),
}

/// Why a login could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The catalog does not answer.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The password cannot be checked now.
    #[error("failed to check a password")]
    Check(#[from] std::io::Error),
}

/// Judges a login from `address`.
///
/// # Errors
/// If it cannot be judged now.
pub async fn judge(
    app: &App,
    name: &str,
    password: String,
    address: IpAddr,
    now: CapturedAt,
) -> Result<Verdict, LoginError> {
    if name.len() > MAX_CREDENTIAL_BYTES || password.len() > MAX_CREDENTIAL_BYTES {
        return Ok(Verdict::Refused);
    }
    let subjects = [(Subject::Account, format!("account {name}")), (Subject::Address, format!("address {address}"))];
    for (subject, key) in &subjects {
        let failures = app.catalog.login_failures(key).await?;
        if let Some(wait) = failures.and_then(|failures| failures.wait(*subject, now)) {
            return Ok(Verdict::Wait(wait));
        }
    }
    // Counted before it is checked, so that many tries at the same time count as many.
    let keys = subjects.map(|(_, key)| key);
    app.catalog.note_login_failure(&keys, now, earlier(now, MEMORY)).await?;
    let (operator, hash) = match app.catalog.stored_password(name).await? {
        Some(stored) => (Some(stored.operator), Some(stored.password_hash)),
        None => (None, None),
    };
    let matches = app.passwords.matches(password, hash).await?;
    let known_name = operator.as_ref().map(|operator| operator.name.clone());
    if let Some(operator) = operator.filter(|_| matches) {
        let [account, address_key] = &keys;
        app.catalog.forget_login_failures(account).await?;
        app.catalog.undo_login_failure(address_key).await?;
        note(&app.catalog, &operator.name, "logged in", "", Some(address), now).await?;
        return Ok(Verdict::In(operator));
    }
    // A name that nobody has is not written down: people type their password there.
    let name = known_name.as_deref().unwrap_or("(unknown)");
    note(&app.catalog, name, "was refused a login", "", Some(address), now).await?;
    Ok(Verdict::Refused)
}

/// Writes a line of the audit log, and of the program's.
///
/// # Errors
/// If the catalog does not answer.
pub async fn note(
    catalog: &Catalog,
    actor: &str,
    action: &str,
    subject: &str,
    address: Option<IpAddr>,
    now: CapturedAt,
) -> Result<(), CatalogError> {
    let address = address.map(|address| address.to_string());
    tracing::info!(actor, action, subject, address, "audit");
    let (actor, action, subject) = (actor.to_owned(), action.to_owned(), subject.to_owned());
    catalog.note(&AuditLine { at: now, actor, action, subject, address }).await
}

fn earlier(now: CapturedAt, by: Duration) -> CapturedAt {
    let by_us = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    CapturedAt::from_micros(now.as_micros().saturating_sub(by_us)).unwrap_or(CapturedAt::EPOCH)
}
