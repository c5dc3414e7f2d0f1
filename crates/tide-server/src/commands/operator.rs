//! `tide-server operator ...`

use std::io::{self, BufRead, IsTerminal};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};

use super::ACTOR;
use crate::app::now;
use crate::catalog::{Catalog, Role};
use crate::config::{MAX_CREDENTIAL_BYTES, Settings};
use crate::login::note;
use crate::passwords;
use crate::serve::{open_catalog, open_data_folder, open_existing_data_folder};

/// Shortest password taken, in characters (NIST SP 800-63B, 3.1.1.2, for a password beside nothing else, asks for 15 and allows
/// 8 where logins are throttled, as here).
const MIN_PASSWORD_CHARACTERS: usize = 8;

/// What can be done with operators.
#[derive(Subcommand)]
pub enum OperatorCommand {
    /// Add an operator; the password is read from standard input.
    Add(AddOperator),
    /// Give an operator another password, read from standard input, and end all of the operator's sessions.
    Password(NamedOperator),
    /// Remove an operator and end all of the operator's sessions.
    Remove(NamedOperator),
    /// Show every operator with the role.
    List,
}

/// The new operator.
#[derive(Args)]
pub struct AddOperator {
    /// Name at login.
    name: String,
    /// What the operator may do.
    #[arg(long)]
    role: RoleWord,
}

/// One operator.
#[derive(Args)]
pub struct NamedOperator {
    /// Name at login.
    name: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum RoleWord {
    Admin,
    Viewer,
}

/// Runs an operator command beside a running server or alone.
///
/// # Errors
/// If there is no such operator, or the name is taken, or the data folder cannot be used.
pub async fn operator(settings: &Settings, command: OperatorCommand) -> anyhow::Result<()> {
    let durable = match command {
        OperatorCommand::Add(_) => open_data_folder(settings)?,
        _ => open_existing_data_folder(settings)?,
    };
    let catalog = open_catalog(&durable).await?;
    match command {
        OperatorCommand::Add(operator) => add(&catalog, &operator).await?,
        OperatorCommand::Password(operator) => change_password(&catalog, &operator.name).await?,
        OperatorCommand::Remove(operator) => remove(&catalog, &operator.name).await?,
        OperatorCommand::List => {
            for operator in catalog.operators().await? {
                println!("{} {}", operator.name, operator.role.as_str());
            }
        }
    }
    catalog.close().await;
    Ok(())
}

async fn add(catalog: &Catalog, AddOperator { name, role }: &AddOperator) -> anyhow::Result<()> {
    ensure!((1..=MAX_CREDENTIAL_BYTES).contains(&name.len()), "a name is 1 to {MAX_CREDENTIAL_BYTES} bytes long");
    let role = match role {
        RoleWord::Admin => Role::Admin,
        RoleWord::Viewer => Role::Viewer,
    };
    let hash = passwords::hash(&read_password()?)?;
    if catalog.add_operator(name, role, &hash, now()).await?.is_none() {
        bail!(
            "there is already an operator named {name}; choose another name, or use `tide-server operator password {name}`"
        );
    }
    Ok(note(catalog, ACTOR, "added the operator", name, None, now()).await?)
}

async fn change_password(catalog: &Catalog, name: &str) -> anyhow::Result<()> {
    let hash = passwords::hash(&read_password()?)?;
    ensure!(catalog.change_password(name, &hash).await?, unknown(name));
    Ok(note(catalog, ACTOR, "changed the password of", name, None, now()).await?)
}

async fn remove(catalog: &Catalog, name: &str) -> anyhow::Result<()> {
    ensure!(catalog.remove_operator(name).await?, unknown(name));
    if catalog.has_no_operator().await? {
        eprintln!("tide-server: nobody can log in now; the next start of the server makes a new first operator");
    }
    Ok(note(catalog, ACTOR, "removed the operator", name, None, now()).await?)
}

fn unknown(name: &str) -> String {
    format!("there is no operator named {name}; `tide-server operator list` shows all")
}

/// One line of standard input. A password on the command line would be in the history and in `ps`.
fn read_password() -> anyhow::Result<String> {
    if io::stdin().is_terminal() {
        eprintln!("Password (it will be seen as you type; pipe it in to avoid that):");
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("failed to read the password from standard input")?;
    // PowerShell may put a byte order mark first.
    let password = line.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
    ensure!(
        password.chars().count() >= MIN_PASSWORD_CHARACTERS && password.len() <= MAX_CREDENTIAL_BYTES,
        "a password has at least {MIN_PASSWORD_CHARACTERS} characters and at most {MAX_CREDENTIAL_BYTES} bytes"
    );
    Ok(password.to_owned())
}
