//! Puts the parts together and serves until told to stop.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use axum_server::tls_rustls::RustlsAcceptor;
use axum_server::{Handle, Server};
use indicatif::ProgressBar;
use jiff::Timestamp;
use tide_durable::{Alone, Durable};
use tokio::signal::unix::{SignalKind, signal};

use crate::acme::{Authority, Challenges};
use crate::app::{App, now};
use crate::catalog::{Catalog, PhotoWriter, Station};
use crate::certificate::CertificateFiles;
use crate::config::Settings;
use crate::connections::{Doorkeeper, Limits};
use crate::disk_guard::DiskGuard;
use crate::import::{DEFAULT_STATION, Imported, Prototype};
use crate::ingest::{Ingest, UploadSlots};
use crate::passwords::Passwords;
use crate::photo_store::PhotoStore;
use crate::thumbnails::Thumbnailer;
use crate::uploads::{self, Uploads};
use crate::{acme, certificate, data_folder, first_start, left_behind, router};

/// How long requests under way may take to end after the server was told to stop.
const FAREWELL: Duration = Duration::from_secs(10);

/// How long a new connection may take for its first request, after the TLS handshake (10 s).
const FIRST_REQUEST: Duration = Duration::from_secs(15);

/// How long a connection may wait between requests, and take for the headers of one. Stations take a photo every 30 s by
/// default, and need no new handshake for each.
const NEXT_REQUEST: Duration = Duration::from_secs(75);

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// If the data folder, the certificate or the address cannot be used.
pub async fn serve(settings: Settings) -> anyhow::Result<()> {
    let durable = open_data_folder(&settings)?;
    let _alone = claim(&durable)?;
    let catalog = open_catalog(&durable).await?;
    catalog.settle().await.context("failed to force the catalog to the disk")?;
    let app = build(&settings, durable.clone(), catalog.clone()).await?;
    let parts = app.clone();
    let service = router::router(app, settings.hsts_days).into_make_service_with_connect_info::<SocketAddr>();

    let authority = Authority::of(&settings)?;
    let challenges = authority.as_ref().map(|_| Challenges::default());
    // Before anybody can connect: whoever is answered at all is answered rightly.
    let tls = match settings.plain_http {
        true => None,
        false => {
            Some(CertificateFiles::load(&settings, &durable, Timestamp::now())?.server_config(challenges.as_ref())?)
        }
    };
    import_prototypes(&catalog, &durable, &settings);
    let listener = TcpListener::bind(settings.listen)
        .with_context(|| format!("failed to listen on {}; is another server running there?", settings.listen))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    first_start::ensure_operator(&catalog, &settings).await?;
    let limits = Limits::within_open_files(settings.max_connections, settings.max_connections_per_address);
    let doorkeeper = Doorkeeper::new(limits);
    let handle = Handle::new();
    tokio::spawn(stop_on_signal(handle.clone()));
    tokio::spawn(tidy_up(parts));
    // Without TLS too, where there is nothing to reload: unheard, SIGHUP would end the server.
    let reloads = signal(SignalKind::hangup()).context("failed to listen for SIGHUP")?;
    if let Some(tls) = tls {
        tokio::spawn(certificate::keep_fresh(
            tls.clone(),
            settings.clone(),
            durable.clone(),
            challenges.clone(),
            reloads,
        ));
        if let Some((authority, challenges)) = authority.zip(challenges) {
            tokio::spawn(acme::keep_certified(tls.clone(), durable.clone(), authority, challenges));
        }
        tracing::info!(address = %format_args!("https://{address}"), "serving");
        let acceptor = RustlsAcceptor::new(tls).acceptor(doorkeeper);
        limited(axum_server::from_tcp(listener)?.acceptor(acceptor)).handle(handle).serve(service).await?;
    } else {
        tracing::warn!(%address, "serving plain HTTP; only a proxy on this host that speaks HTTPS may reach this");
        limited(axum_server::from_tcp(listener)?.acceptor(doorkeeper)).handle(handle).serve(service).await?;
    }
    catalog.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Bytes that a connection reads ahead, which also bounds a request's headers: twice as many are refused for certain.
const CONNECTION_BYTES: usize = 32 * 1_024;

/// HTTP/1.1 only, which is all that stations and browsers need here, and every wait bounded.
fn limited<A>(server: Server<SocketAddr, A>) -> Server<SocketAddr, A> {
    let mut server = server.http1_only().first_request_timeout(FIRST_REQUEST);
    server.http_builder().http1().header_read_timeout(NEXT_REQUEST).max_buf_size(CONNECTION_BYTES);
    server
}

/// What an earlier server left half done, and then what expires.
async fn tidy_up(app: App) {
    app.uploads.finish_all(&app.ingest, &app.catalog, now()).await;
    left_behind::sweep_and_tell(app.store, app.catalog).await;
    uploads::keep_swept(app.uploads).await;
}

/// Two servers on one folder would sweep each other's uploads.
fn claim(durable: &Durable) -> anyhow::Result<Alone> {
    durable.claim_alone().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            anyhow!("another tide-server is using {}; stop it first", durable.root().display())
        }
        _ => anyhow::Error::from(error).context("failed to lock the data folder"),
    })
}

/// Takes over what a prototype has left in the data folder, or in a folder of its own, while the server already serves: many
/// photos take their time. On a thread of its own, because it waits for the disk; the server does not wait for it when it stops,
/// as it can go on next time.
fn import_prototypes(catalog: &Catalog, durable: &Durable, settings: &Settings) {
    let elsewhere = settings.prototype_dir.as_deref();
    if let Some(folder) = elsewhere.filter(|folder| folder.exists() && Prototype::find(folder).is_none()) {
        tracing::error!(
            "there is no photo_log.db to read in {}, nor in its folder `data`, so no photos are taken over; check which folders are \
             mounted there, and that this server's user may read them",
            folder.display()
        );
    }
    let folders = std::iter::once(durable.root()).chain(elsewhere);
    let prototypes: Vec<Prototype> = folders.filter_map(Prototype::find).collect();
    let guard = DiskGuard::new(vec![durable.root().to_owned()], settings.min_free_bytes);
    if prototypes.is_empty() {
        return;
    }
    let (catalog, durable) = (catalog.clone(), durable.clone());
    let runtime = tokio::runtime::Handle::current();
    let import = async move {
        let station = match DEFAULT_STATION.parse() {
            Ok(station) => station,
            Err(error) => return tracing::error!("{error}"),
        };
        for prototype in prototypes {
            match prototype.import(&catalog, &durable, &guard, &station, &ProgressBar::hidden()).await {
                Ok(Imported { photos, without_row, known, lost, odd_timestamps }) => {
                    tracing::info!(photos, without_row, known, lost, odd_timestamps, "took over a prototype's photos");
                }
                Err(error) => tracing::error!("failed to take over a prototype's photos: {error:#}"),
            }
        }
    };
    std::thread::spawn(move || runtime.block_on(import));
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

/// Opens the folder that holds all state, if there is one already: a mistyped path must not look like an empty server.
///
/// # Errors
/// If no server has ever used it.
pub fn open_existing_data_folder(settings: &Settings) -> anyhow::Result<Durable> {
    if !settings.data_dir.join("catalog").is_dir() {
        bail!("there is no data of a tide-server in {}; set TIDE_DATA_DIR to where it is", settings.data_dir.display());
    }
    open_data_folder(settings)
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
    for folder in ["photos", "thumbnails"] {
        data_folder::private(&durable, folder).with_context(|| format!("failed to use the folder {folder}"))?;
    }
    let store = PhotoStore::open(durable.clone()).context("failed to open the photo store")?;
    let slots = UploadSlots::new();
    let thumbnailer = Thumbnailer::start(store.clone(), durable.clone(), slots.clone());
    let writer = PhotoWriter::start(&catalog);
    let guard = DiskGuard::new(vec![store.folder(), durable.root().join("catalog")], settings.min_free_bytes);
    let ingest = Ingest::new(
        store.clone(),
        catalog.clone(),
        writer,
        thumbnailer.clone(),
        guard,
        slots,
        settings.max_photo_bytes,
    );
    let uploads = Uploads::open(durable, store.clone(), settings.max_photo_bytes);
    let uploads = uploads.context("failed to use the folder of unfinished uploads")?;
    let passwords = Arc::new(Passwords::new());
    let trusted_proxies = settings.trusted_proxies.clone().into();
    Ok(App { catalog, store, ingest, uploads, thumbnailer, passwords, trusted_proxies, anonymous_station })
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

async fn stop_on_signal(handle: Handle<SocketAddr>) {
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
