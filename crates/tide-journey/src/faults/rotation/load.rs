//! Stations that upload all the while, with a token that may be replaced under their hands.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use anyhow::bail;
use futures_util::future::try_join_all;
use reqwest::{Client, StatusCode};
use tokio::task::JoinHandle;

use crate::Upload;

/// Clients at the same time.
const CLIENTS: u32 = 4;

/// Size of a photo, in bytes.
const PHOTO_BYTES: usize = 20_000;

/// Times that a photo is offered with a token that is refused.
const TRIES: u32 = 2_000;

/// Uploads under way until they are told to stop.
pub(super) struct Load {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// What all clients share.
struct Shared {
    base: String,
    station: String,
    token: RwLock<String>,
    is_over: AtomicBool,
    next_number: AtomicU32,
    stored: AtomicU32,
    refused: AtomicU32,
    failure: OnceLock<String>,
}

impl Load {
    /// Sets the clients of a station to work, beginning with a photo's number. Every other request opens a connection of its own.
    pub(super) fn start(client: &Client, base: &str, station: &str, token: &str, first_number: u32) -> Self {
        let shared = Arc::new(Shared {
            base: base.to_owned(),
            station: station.to_owned(),
            token: RwLock::new(token.to_owned()),
            is_over: AtomicBool::new(false),
            next_number: AtomicU32::new(first_number),
            stored: AtomicU32::new(0),
            refused: AtomicU32::new(0),
            failure: OnceLock::new(),
        });
        let work = |_| tokio::spawn(work(client.clone(), Arc::clone(&shared)));
        Self { workers: (0..CLIENTS).map(work).collect(), shared }
    }

    /// Photos stored so far.
    pub(super) fn stored(&self) -> u32 {
        self.shared.stored.load(Ordering::SeqCst)
    }

    /// Offers refused so far because of their token.
    pub(super) fn refused(&self) -> u32 {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// Gives the clients another token.
    pub(super) fn use_token(&self, token: &str) {
        // A text cannot be left half changed.
        token.clone_into(&mut self.shared.token.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Fails with the first upload that has failed.
    pub(super) fn expect_running(&self) -> anyhow::Result<()> {
        match self.shared.failure.get() {
            Some(failure) => bail!("an upload failed: {failure}"),
            None => Ok(()),
        }
    }

    /// Lets the clients finish what they are about; fails if any upload has failed.
    pub(super) async fn stop(mut self) -> anyhow::Result<(u32, u32)> {
        self.shared.is_over.store(true, Ordering::SeqCst);
        try_join_all(self.workers.drain(..)).await?;
        self.expect_running()?;
        Ok((self.shared.stored.load(Ordering::SeqCst), self.shared.refused.load(Ordering::SeqCst)))
    }
}

async fn work(client: Client, shared: Arc<Shared>) {
    if let Err(error) = deliver_all(&client, &shared).await {
        // The first is told; others most likely have the same reason.
        let _ = shared.failure.set(format!("{error:#}"));
    }
}

async fn deliver_all(client: &Client, shared: &Shared) -> anyhow::Result<()> {
    while !shared.is_over.load(Ordering::SeqCst) {
        let number = shared.next_number.fetch_add(1, Ordering::SeqCst);
        let photo = Upload::made_up(&shared.station, number, PHOTO_BYTES)?;
        deliver(client, shared, &photo, number.is_multiple_of(2)).await?;
        shared.stored.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

/// Offers a photo until it is stored. Only a refused token is a reason to offer it again.
async fn deliver(client: &Client, shared: &Shared, photo: &Upload, is_fresh: bool) -> anyhow::Result<()> {
    for _ in 0..TRIES {
        let token = shared.token.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut request = photo.request(client, &shared.base, &token);
        if is_fresh {
            request = request.header("connection", "close");
        }
        let answer = request.send().await?;
        match answer.status() {
            StatusCode::CREATED => return Ok(()),
            StatusCode::UNAUTHORIZED => shared.refused.fetch_add(1, Ordering::SeqCst),
            status => bail!("an upload was answered with {status}: {}", answer.text().await?),
        };
    }
    bail!("a photo was refused {TRIES} times for its token")
}
