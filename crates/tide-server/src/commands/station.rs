//! `tide-server station ...`

use anyhow::{bail, ensure};
use clap::{Args, Subcommand};
use tide_durable::Durable;
use tide_photo::StationName;

use super::ACTOR;
use crate::acme::Authority;
use crate::app::now;
use crate::catalog::StationTaken;
use crate::certificate::{CertificateFiles, own_addresses};
use crate::config::{Settings, is_container};
use crate::login::note;
use crate::secret::Secret;
use crate::serve::{open_catalog, open_data_folder, open_existing_data_folder};

/// What a station's `certificate` says, in TOML, to trust the authorities that its system knows.
const PUBLIC: &str = "\"public\"";

/// What can be done with stations.
#[derive(Subcommand)]
pub enum StationCommand {
    /// Add a station and print its token. The token is shown only this once.
    Add(NamedStation),
    /// Print a further token for a station. Earlier ones stay good until `--only`, so that no photo is refused meanwhile.
    Token(StationToken),
    /// Show every station.
    List,
}

/// One station, and what to print for it.
#[derive(Args)]
pub struct NamedStation {
    /// Its name: lower-case letters, digits and hyphens.
    name: StationName,
    /// Print a ready `tide.toml` for the station instead of the bare token.
    #[arg(long)]
    config: bool,
}

/// A further token.
#[derive(Args)]
pub struct StationToken {
    #[command(flatten)]
    station: NamedStation,
    /// Refuse all earlier tokens of the station from now on.
    #[arg(long)]
    only: bool,
}

/// Runs a station command beside a running server or alone.
///
/// # Errors
/// If the name is taken or unknown, or the data folder cannot be used.
pub async fn station(settings: &Settings, command: StationCommand) -> anyhow::Result<()> {
    let is_config = match &command {
        StationCommand::Add(station) | StationCommand::Token(StationToken { station, .. }) => station.config,
        StationCommand::List => false,
    };
    ensure!(
        !is_config || settings.public_name.is_some() || !is_container(),
        "stations do not reach a container by its own address: write TIDE_PUBLIC_NAME=, and the name or address of this machine, \
         into the file .env beside docker-compose.yml, run `docker compose up -d`, then this again"
    );
    let durable = match command {
        StationCommand::Add(_) => open_data_folder(settings)?,
        _ => open_existing_data_folder(settings)?,
    };
    let catalog = open_catalog(&durable).await?;
    match command {
        StationCommand::Add(station) => {
            // Before the name is taken: a certificate that cannot be used must not cost the station its name.
            let trust = Trust::of_server(settings, &durable)?;
            let token = Secret::random();
            if catalog.add_station(&station.name, &token.hash(), now()).await?.is_none() {
                bail!(StationTaken(station.name));
            }
            note(&catalog, ACTOR, "added the station", station.name.as_str(), None, now()).await?;
            trust.print(&station, &token);
        }
        StationCommand::Token(StationToken { station, only }) => {
            let trust = Trust::of_server(settings, &durable)?;
            let token = Secret::random();
            let name = &station.name;
            ensure!(
                catalog.add_token(name, &token.hash(), only, now()).await?,
                "there is no station named {name} that has tokens; `tide-server station list` shows all"
            );
            let action = if only { "replaced the tokens of" } else { "added a token of" };
            note(&catalog, ACTOR, action, name.as_str(), None, now()).await?;
            trust.print(&station, &token);
        }
        StationCommand::List => {
            for station in catalog.stations().await? {
                println!("{}", station.name);
            }
        }
    }
    catalog.close().await;
    Ok(())
}

/// How stations reach and know this server.
struct Trust {
    url: String,
    /// The value of the key `certificate`, in TOML.
    certificate: String,
}

impl Trust {
    fn of_server(settings: &Settings, durable: &Durable) -> anyhow::Result<Self> {
        let host = host(settings);
        if settings.plain_http {
            // The proxy in front has the ordinary port, and a certificate that we cannot know.
            let certificate = in_lines("(put the certificate of the proxy here, or that of its issuer, in PEM form)");
            return Ok(Self { url: format!("https://{}", in_url(&host)), certificate });
        }
        if let Some(authority) = Authority::of(settings)? {
            // Its certificates come and go; who vouches for them stays. The authority reaches this server as port 443.
            let certificate = authority.roots_pem.map_or_else(|| PUBLIC.to_owned(), |pem| in_lines(&pem));
            return Ok(Self { url: format!("https://{host}"), certificate });
        }
        let files = CertificateFiles::load(settings, durable, jiff::Timestamp::now())?;
        if !files.is_for(&host) {
            eprintln!(
                "tide-server: the certificate does not have the name {host}, so stations will refuse it; \
                 set TIDE_PUBLIC_NAME to the name or address under which they reach this server"
            );
        }
        let url = format!("https://{}:{}", in_url(&host), settings.listen.port());
        Ok(Self { url, certificate: in_lines(&files.certificate_pem) })
    }

    fn print(&self, station: &NamedStation, token: &Secret) {
        let token = token.reveal();
        if !station.config {
            println!("{token}");
            return;
        }
        let Self { url, certificate } = self;
        println!(
            "station = \"{}\"\n\n[server]\nurl = \"{url}\"\ntoken = \"{token}\"\ncertificate = {certificate}\n\n\
             # Choose the camera by taking away the two signs below: \"rpicam\" for one on a Pi's ribbon cable, \"usb\", or\n\
             # \"synthetic\" for pictures that are made up.\n\
             # [camera]\n# kind = \"rpicam\"",
            station.name,
        );
    }
}

/// Where stations reach this server: its public name, else an address of its own.
fn host(settings: &Settings) -> String {
    match &settings.public_name {
        Some(name) => name.clone(),
        None if settings.listen.ip().is_loopback() => "localhost".to_owned(),
        None if !settings.listen.ip().is_unspecified() => settings.listen.ip().to_string(),
        None => own_addresses().first().map_or("localhost".to_owned(), ToString::to_string),
    }
}

/// A text of several lines in TOML.
fn in_lines(text: &str) -> String {
    format!("\"\"\"\n{}\n\"\"\"", text.trim_end())
}

fn in_url(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}
