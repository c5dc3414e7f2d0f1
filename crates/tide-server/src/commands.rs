//! The command line.

use anyhow::bail;
use clap::{Args, Parser, Subcommand};
use tide_durable::Durable;
use tide_photo::StationName;

use crate::app::now;
use crate::catalog::StationTaken;
use crate::certificate::{CertificateFiles, own_addresses};
use crate::check::CheckOptions;
use crate::config::Settings;
use crate::secret::Secret;
use crate::serve::{open_catalog, open_data_folder};

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
    /// Check that every photo of the catalog has its bytes, and the reverse. Exit status 1 if not.
    Check(CheckOptions),
}

/// What can be done with stations.
#[derive(Subcommand)]
pub enum StationCommand {
    /// Add a station and print its token. The token is shown only this once.
    Add(AddStation),
}

/// The new station.
#[derive(Args)]
pub struct AddStation {
    /// Its name: lower-case letters, digits and hyphens.
    name: StationName,
    /// Print a ready `tide.toml` for the station instead of the bare token.
    #[arg(long)]
    config: bool,
}

/// Runs a station command beside a running server or alone.
///
/// # Errors
/// If the name is taken, or the data folder cannot be used.
pub async fn station(settings: &Settings, command: StationCommand) -> anyhow::Result<()> {
    let StationCommand::Add(AddStation { name, config }) = command;
    let durable = open_data_folder(settings)?;
    let catalog = open_catalog(&durable).await?;
    // Before the name is taken: a certificate that cannot be used must not cost the station its name.
    let certificate = trusted_certificate(settings, &durable)?;
    let token = Secret::random();
    if catalog.add_station(&name, &token.hash(), now()).await?.is_none() {
        bail!(StationTaken(name));
    }
    if config {
        println!("{}", station_toml(&name, &server_url(settings), &token, &certificate));
    } else {
        println!("{}", token.reveal());
    }
    catalog.close().await;
    Ok(())
}

/// What stations are to trust: this server's certificate, or a reminder of the proxy's, which we cannot know.
fn trusted_certificate(settings: &Settings, durable: &Durable) -> anyhow::Result<String> {
    if settings.plain_http {
        return Ok("(put the certificate of the proxy here, or that of its issuer, in PEM form)".to_owned());
    }
    Ok(CertificateFiles::load(settings, durable, jiff::Timestamp::now())?.certificate_pem)
}

/// Settings for a station, ready to be put on its card.
fn station_toml(name: &StationName, url: &str, token: &Secret, certificate_pem: &str) -> String {
    format!(
        "station = \"{name}\"\n\n[server]\nurl = \"{url}\"\ntoken = \"{}\"\ncertificate = \"\"\"\n{}\n\"\"\"",
        token.reveal(),
        certificate_pem.trim_end()
    )
}

/// Where stations reach this server: its public name, else an address of its own.
fn server_url(settings: &Settings) -> String {
    let host = match &settings.public_name {
        Some(name) => name.clone(),
        None if !settings.listen.ip().is_unspecified() => settings.listen.ip().to_string(),
        None => own_addresses().first().map_or("localhost".to_owned(), ToString::to_string),
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    // A proxy in front of plain HTTP has the ordinary port.
    if settings.plain_http { format!("https://{host}") } else { format!("https://{host}:{}", settings.listen.port()) }
}
