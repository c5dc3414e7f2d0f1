//! Puts the parts together and serves until told to stop.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum_server::Handle;
use jiff::Timestamp;
use tide_durable::Durable;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{App, now};
use crate::catalog::{Catalog, PhotoWriter, Station};
use crate::certificate::CertificateFiles;
use crate::config::Settings;
use crate::ingest::Ingest;
use crate::passwords::Passwords;
use crate::photo_store::PhotoStore;
use crate::thumbnails::Thumbnailer;
use crate::{data_folder, first_start, router};

/// How long requests under way may take to end after the server was told to stop.
const FAREWELL: Duration = Duration::from_secs(10);

/// How long a connection may take to say anything: TLS handshake and first request.
const FIRST_REQUEST: Duration = Duration::from_secs(15);

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// If the data folder, the certificate or the address cannot be used.
pub async fn serve(settings: Settings) -> anyhow::Result<()> {
    let durable = open_data_folder(&settings)?;
    let _alone = durable
        .claim_alone()
        .with_context(|| format!("another tide-server is using {}; stop it first", settings.data_dir.display()))?;
    let catalog = open_catalog(&durable).await?;
    first_start::ensure_operator(&catalog, &settings).await?;
    let app = build(&settings, durable.clone(), catalog.clone()).await?;
    let service = router::router(app).into_make_service();

    // Before anybody can connect: whoever is answered at all is answered rightly.
    let tls = match settings.plain_http {
        true => None,
        false => Some(CertificateFiles::load(&settings, &durable, Timestamp::now())?.server_config()?),
    };
    let listener = TcpListener::bind(settings.listen)
        .with_context(|| format!("failed to listen on {}; is another server running there?", settings.listen))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let handle = Handle::new();
    tokio::spawn(stop_on_signal(handle.clone()));
    if let Some(tls) = tls {
        tracing::info!(address = %format_args!("https://{address}"), "serving");
        let server = axum_server::from_tcp_rustls(listener, tls)?.handle(handle);
        server.first_request_timeout(FIRST_REQUEST).serve(service).await?;
    } else {
        tracing::warn!(%address, "serving plain HTTP; only a proxy on this host that speaks HTTPS may reach this");
        let server = axum_server::from_tcp(listener)?.handle(handle);
        server.first_request_timeout(FIRST_REQUEST).serve(service).await?;
    }
    catalog.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Opens the folder that holds all state.
///
/// # Errors
/// If it cannot be created or written.
pub fn open_data_folder(settings: &Settings) -> anyhow::Result<Durable> {
    Durable::open(&settings.data_dir).with_context(|| {
        format!(
            "failed to use the data folder {}; set TIDE_DATA_DIR to one that may be written",
            settings.data_dir.display()
        )
    })
}

/// Opens the catalog in a data folder.
///
/// # Errors
/// If it is no catalog of this or an earlier version.
pub async fn open_catalog(durable: &Durable) -> anyhow::Result<Catalog> {
    let folder = data_folder::private(durable, "catalog").context("failed to use the catalog's folder")?;
    Ok(Catalog::open(&folder.join("tide.db")).await?)
}

async fn build(settings: &Settings, durable: Durable, catalog: Catalog) -> anyhow::Result<App> {
    let anonymous_station = anonymous_station(settings, &catalog).await?;
    let store = PhotoStore::open(durable.clone()).context("failed to open the photo store")?;
    let thumbnailer = Thumbnailer::start(store.clone(), durable);
    let writer = PhotoWriter::start(&catalog);
    let ingest = Ingest::new(store.clone(), catalog.clone(), writer, thumbnailer.clone(), settings.max_photo_bytes);
    let passwords = Arc::new(Passwords::new()?);
    Ok(App { catalog, store, ingest, thumbnailer, passwords, anonymous_station })
}

async fn anonymous_station(settings: &Settings, catalog: &Catalog) -> anyhow::Result<Option<Station>> {
    let Some(name) = &settings.anonymous_station else { return Ok(None) };
    let station = catalog.anonymous_station(name, now()).await?;
    let station = station.with_context(|| {
        format!("TIDE_ANONYMOUS_STATION is {name}, which is a station with a token; choose a name that no station has")
    })?;
    tracing::warn!(station = %name, "old devices may upload without a token");
    Ok(Some(station))
}

async fn stop_on_signal(handle: Handle<std::net::SocketAddr>) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::error!("failed to listen for signals; stop the server with SIGKILL, it loses nothing");
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => (),
        _ = terminate.recv() => (),
    }
    tracing::info!("stopping");
    handle.graceful_shutdown(Some(FAREWELL));
}
