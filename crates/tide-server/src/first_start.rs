//! The first operator. There is never a default password.

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
    let added = catalog.add_operator(&settings.admin_user, Role::Admin, &passwords::hash(&password)?, now()).await?;
    if added.is_some() && given.is_none() {
        // To the terminal (or `docker compose logs`) and nowhere else: the log does not get it.
        println!(
            "\n  This server's first operator, shown only this once:\n\n      user name  {}\n      password   {password}\n",
            settings.admin_user
        );
    }
    Ok(())
}
