//! The first operator. There is never a default password.

use std::io::{self, Write};

use anyhow::Context;

use crate::app::now;
use crate::catalog::{Catalog, Role};
use crate::config::Settings;
use crate::{passwords, secret};

/// Makes the first admin if nobody can log in yet, with the password of the settings or a random one that is printed once.
///
/// # Errors
/// If the catalog cannot answer.
pub async fn ensure_operator(catalog: &Catalog, settings: &Settings) -> anyhow::Result<()> {
    if !catalog.has_no_operator().await? {
        if settings.admin_password.is_some() {
            tracing::info!("ADMIN_PASS is not used: the first operator exists already");
        }
        return Ok(());
    }
    let given = settings.admin_password.as_ref().map(|password| password.reveal().to_owned());
    let password = given.clone().unwrap_or_else(secret::readable_password);
    if given.is_none() {
        // Shown before it is kept: a password that is kept but was never seen would lock everybody out.
        show(&settings.admin_user, &password).context("failed to print the first operator's password")?;
    }
    catalog.add_operator(&settings.admin_user, Role::Admin, &passwords::hash(&password)?, now()).await?;
    Ok(())
}

/// To the terminal (or `docker compose logs`) and nowhere else: the log does not get it.
fn show(name: &str, password: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "\n  This server's first operator, shown only this once:\n")?;
    writeln!(out, "      user name  {name}\n      password   {password}\n")?;
    out.flush()
}
