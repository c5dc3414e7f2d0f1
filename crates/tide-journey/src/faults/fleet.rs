//! Clients that offer each photo until its receipt comes, as stations do, and the ledger of all that they did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use image::codecs::jpeg::JpegEncoder;
use image::{GrayImage, Luma};
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, StatusCode};
use tide_photo::Digest;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::programs::until;
use crate::upload::jpeg;
use crate::{Login, TestServer, Upload};

/// Clients of a fleet.
const CLIENTS: usize = 8;

/// How long a client waits after a try that failed: next to nothing, so that a server that has just come back is busy.
const PATIENCE: Duration = Duration::from_millis(20);

/// Longest wait for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The station whose photos all clients bring.
pub(super) const STATION: &str = "pier-3";

/// Bytes of a [`picture`], without its own few thousand.
const PICTURE_BYTES: usize = 16_000;

/// Photo number N of the fleet.
pub(super) type Photos = fn(u32) -> anyhow::Result<Upload>;

/// Clients at work, each with one photo at a time.
pub(super) struct Fleet {
    /// Where the clients live.
    pub(super) runtime: Runtime,
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

/// What the clients have done and heard.
#[derive(Debug, Default, Clone)]
pub(super) struct Ledger {
    /// Every photo that a client has begun to offer.
    pub(super) begun: BTreeSet<Digest>,
    /// Those with a receipt.
    pub(super) acknowledged: BTreeSet<Digest>,
    /// Tries beyond each photo's first.
    pub(super) retries: u64,
    /// Receipts of a try that was not the first to arrive.
    pub(super) already_held: u64,
    /// Tries that ended without an answer.
    pub(super) cut_off: u64,
    /// Answers that were no receipt, by status.
    pub(super) put_off: BTreeMap<u16, u64>,
    /// Answers that no client should ever get; its photo is given up.
    pub(super) surprises: Vec<String>,
}

struct Shared {
    /// Clients begin photos with numbers below this one. Those that they have begun they see through in any case.
    gate: watch::Sender<u32>,
    ledger: Mutex<Ledger>,
    next: AtomicU32,
    under_way: AtomicUsize,
    photos: Photos,
    most_photos: u32,
    base: String,
    token: String,
}

impl Fleet {
    /// Eight clients in front of a closed gate, half of them with a new connection for each try.
    pub(super) fn new(server: &TestServer, photos: Photos, most_photos: u32) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let shared = Arc::new(Shared {
            gate: watch::Sender::new(0),
            ledger: Mutex::default(),
            next: AtomicU32::new(0),
            under_way: AtomicUsize::new(0),
            photos,
            most_photos,
            base: server.url(),
            token: server.add_station_token(STATION)?,
        });
        let client = |number| -> anyhow::Result<JoinHandle<()>> {
            let builder = server.client_builder()?.timeout(ANSWER_TIMEOUT);
            let client = if number % 2 == 0 { builder } else { builder.pool_max_idle_per_host(0) }.build()?;
            Ok(runtime.spawn(Arc::clone(&shared).work(client)))
        };
        let clients = (0..CLIENTS).map(client).collect::<anyhow::Result<_>>()?;
        Ok(Self { runtime, shared, clients })
    }

    /// From now on clients begin new photos.
    pub(super) fn open(&self) {
        self.shared.gate.send_replace(self.shared.most_photos);
    }

    /// They begin so many more.
    pub(super) fn open_for(&self, photos: u32) {
        self.shared.gate.send_replace(self.shared.next.load(Ordering::SeqCst) + photos);
    }

    /// From now on they see theirs through, and begin no other.
    pub(super) fn close(&self) {
        self.shared.gate.send_replace(0);
    }

    /// How many requests are waiting for an answer at this moment.
    pub(super) fn under_way(&self) -> usize {
        self.shared.under_way.load(Ordering::SeqCst)
    }

    /// The ledger so far.
    pub(super) fn ledger(&self) -> Ledger {
        self.shared.ledger().clone()
    }

    /// Waits until every photo has its receipt.
    pub(super) fn settle(&self) -> anyhow::Result<()> {
        self.close();
        until("every photo has its receipt", || {
            let ledger = self.shared.ledger();
            if let Some(surprise) = ledger.surprises.first() {
                bail!("{surprise}");
            }
            Ok(ledger.acknowledged.len() == ledger.begun.len())
        })
        .with_context(|| format!("tries put off so far, by status: {:?}", self.ledger().put_off))
    }

    /// Fails unless the server has exactly the ledger's photos, each listed once, its check finds nothing wrong once what was
    /// left behind is set aside, and the newest of them, as many as said, are served byte for byte.
    pub(super) fn compare(&self, server: &TestServer, served: usize) -> anyhow::Result<()> {
        let ledger = self.ledger();
        let login = self.runtime.block_on(server.log_in())?;
        let listed = self.runtime.block_on(listed(&login))?;
        let held: BTreeSet<Digest> = listed.iter().map(|(digest, _)| *digest).collect();
        ensure!(listed.len() == held.len(), "{} rows for {} photos", listed.len(), held.len());
        ensure!(ledger.acknowledged.is_subset(&held), "{}", lost(&ledger.acknowledged, &held));
        ensure!(held.is_subset(&ledger.begun), "photos are listed that nobody sent");
        until("the server has set aside what was left behind", || {
            Ok(server.check()?["unlisted"].as_array().is_some_and(Vec::is_empty))
        })?;
        server.expect_clean(listed.len() as u64)?;
        self.runtime.block_on(serves(&login, &listed[..listed.len().min(served)]))
    }

    /// Ends the clients.
    pub(super) fn end(self) -> Ledger {
        self.clients.iter().for_each(JoinHandle::abort);
        self.ledger()
    }
}

impl Shared {
    async fn work(self: Arc<Self>, client: Client) {
        let mut gate = self.gate.subscribe();
        while gate.wait_for(|below| self.next.load(Ordering::SeqCst) < *below).await.is_ok() {
            let below = *gate.borrow();
            let next = |number| (number < below).then_some(number + 1);
            let Ok(number) = self.next.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) else { continue };
            if let Err(surprise) = self.see_through(&client, number).await {
                return self.ledger().surprises.push(format!("photo {number}: {surprise:#}"));
            }
        }
    }

    /// Offers a photo until its receipt comes.
    async fn see_through(&self, client: &Client, number: u32) -> anyhow::Result<()> {
        let upload = (self.photos)(number)?;
        self.ledger().begun.insert(upload.digest);
        while !self.offer(client, &upload).await? {
            self.ledger().retries += 1;
            tokio::time::sleep(PATIENCE).await;
        }
        Ok(())
    }

    /// One try; whether it brought the receipt.
    async fn offer(&self, client: &Client, upload: &Upload) -> anyhow::Result<bool> {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let answer = upload.request(client, &self.base, &self.token).send().await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        let Ok(answer) = answer else {
            self.ledger().cut_off += 1;
            return Ok(false);
        };
        let status = answer.status();
        match status {
            StatusCode::CREATED | StatusCode::OK => {
                let mut ledger = self.ledger();
                ledger.already_held += u64::from(status == StatusCode::OK);
                ledger.acknowledged.insert(upload.digest);
                Ok(true)
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE => {
                ensure!(answer.headers().contains_key(RETRY_AFTER), "{status} without Retry-After");
                *self.ledger().put_off.entry(status.as_u16()).or_default() += 1;
                Ok(false)
            }
            _ => bail!("{status}: {}", answer.text().await.unwrap_or_default()),
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Each change is one call.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every photo that the server lists, with the address of its bytes.
pub(super) async fn listed(login: &Login) -> anyhow::Result<Vec<(Digest, String)>> {
    let row = |photo: &serde_json::Value| {
        let digest = photo["digest"].as_str()?.parse().ok()?;
        Some((digest, format!("/uploads/{}", photo["filename"].as_str()?)))
    };
    let photos = login.photos().await?;
    photos.iter().map(|photo| row(photo).with_context(|| format!("a row is no photo: {photo}"))).collect()
}

/// Fails unless the server serves each of these photos byte for byte.
pub(super) async fn serves(login: &Login, photos: &[(Digest, String)]) -> anyhow::Result<()> {
    let look = async |(digest, address): &(Digest, String)| {
        let bytes = login.get(address).await?.error_for_status()?.bytes().await?;
        ensure!(Digest::of(&bytes) == *digest, "{address} is served as {} other bytes", bytes.len());
        Ok(())
    };
    stream::iter(photos).map(look).buffer_unordered(CLIENTS).try_collect().await
}

/// What is said of acknowledged photos that are not held.
pub(super) fn lost(acknowledged: &BTreeSet<Digest>, held: &BTreeSet<Digest>) -> String {
    let lost: Vec<&Digest> = acknowledged.difference(held).collect();
    format!("{} of {} acknowledged photos are lost, the first is {:?}", lost.len(), acknowledged.len(), lost.first())
}

/// A picture of which thumbnails can be made, made another one for each number by a comment in front.
pub(super) fn picture(number: u32) -> anyhow::Result<Upload> {
    static PICTURE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let picture = GrayImage::from_fn(320, 240, |x, y| Luma([((x + y) >> 2).to_le_bytes()[0]]));
        let mut bytes = Vec::new();
        // An encoder that writes to memory has nothing to fail at.
        picture.write_with_encoder(JpegEncoder::new(&mut bytes)).map(|()| bytes).unwrap_or_default()
    });
    let noise = &jpeg(PICTURE_BYTES, u64::from(number))[25..];
    let length = u16::try_from(noise.len() + 2)?.to_be_bytes();
    let [start, rest] = [PICTURE.get(..2), PICTURE.get(2..)].map(Option::unwrap_or_default);
    Upload::of(STATION, number, [start, &[0xFF, 0xFE], &length, noise, rest].concat())
}
