//! The command line.

mod healthcheck;
mod import;
mod init;
mod operator;
mod station;

use clap::{Args, Parser, Subcommand};

use crate::check::CheckOptions;
use crate::config::Settings;
use crate::serve::{open_catalog, open_existing_data_folder};

pub use healthcheck::healthcheck;
pub use import::{ImportOptions, import};
pub use init::{InitOptions, init};
pub use operator::{OperatorCommand, operator};
pub use station::{StationCommand, station};

/// Whom the audit log names for what is done here.
const ACTOR: &str = "command line";

/// Receives photos of the water from stations, keeps them, and shows them.
///
/// Settings come from the file that TIDE_CONFIG names (default /etc/tide/server.toml) and from the environment, for instance
/// TIDE_DATA_DIR and TIDE_LISTEN.
#[derive(Parser)]
#[command(version)]
pub struct CommandLine {
    /// What to do; `serve` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program can do.
#[derive(Subcommand)]
pub enum Command {
    /// Serve until told to stop.
    Serve,
    /// Make stations known to this server.
    #[command(subcommand)]
    Station(StationCommand),
    /// Say who may log in.
    #[command(subcommand)]
    Operator(OperatorCommand),
    /// Show who logged in, who was refused, and what was changed, newest first.
    Audit(AuditOptions),
    /// Take over the photos of a prototype server.
    Import(ImportOptions),
    /// Check that every photo of the catalog has its bytes, and the reverse. Exit status 1 if not.
    Check(CheckOptions),
    /// Ask the server on this machine whether it is well. Exit status 1 if not.
    Healthcheck,
    /// Print a script that puts a server in a container on this machine, by the one command that the README shows.
    Init(InitOptions),
}

/// How much of the audit log.
#[derive(Args)]
pub struct AuditOptions {
    /// How many lines.
    #[arg(long, default_value_t = 50)]
    lines: u32,
}

/// Prints the audit log, beside a running server or alone.
///
/// # Errors
/// If the data folder cannot be used.
pub async fn audit(settings: &Settings, options: &AuditOptions) -> anyhow::Result<()> {
    let catalog = open_catalog(&open_existing_data_folder(settings)?).await?;
    for line in catalog.audit(options.lines).await? {
        let from = line.address.map(|address| format!(" from {address}")).unwrap_or_default();
        let subject = if line.subject.is_empty() { String::new() } else { format!(" {}", line.subject) };
        println!("{} {} {}{subject}{from}", line.at, line.actor, line.action);
    }
    catalog.close().await;
    Ok(())
}
