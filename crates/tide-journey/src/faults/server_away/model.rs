//! A server that is away, comes back, and then has time for so many photos a second; and the way to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tide_photo::{CapturedAt, Digest, Holding, Receipt};
use tide_recorder::server_link::watch::{Way, until_returned};
use tide_recorder::server_link::{Link, Offer};
use tide_recorder::shot::Shot;
use tokio::time::{Instant, sleep};

/// Photos that the server takes within one second; it says 503 to the others. Fewer than the stations may bring.
const CAPACITY_PER_S: u32 = 60;

/// What the real server says beside 503.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// One answer in so many is lost on its way, after the photo was stored.
const LOST_ONE_IN: u32 = 200;

/// The server, as all stations share it.
pub(super) struct Server {
    began: Instant,
    back_after: Duration,
    state: Mutex<State>,
}

struct State {
    random: StdRng,
    log: Log,
    under_way: usize,
}

/// What the server has seen.
#[derive(Default)]
pub(super) struct Log {
    /// When each photo was stored, and how often it came after that.
    pub(super) held: HashMap<Digest, (Duration, u32)>,
    /// Requests in each second after the return.
    pub(super) requests: BTreeMap<u64, u32>,
    pub(super) turned_away: u32,
    pub(super) answers_lost: u32,
    /// For each station, when it tried while the server was away.
    pub(super) tries_while_away: HashMap<String, Vec<Duration>>,
    /// For each station, when it first came after the return.
    pub(super) first_requests: HashMap<String, Duration>,
    /// Photos that were in memory at the same time, of all stations.
    pub(super) most_under_way: usize,
}

impl Server {
    /// A server that is away for so long from now.
    pub(super) fn new(back_after: Duration, seed: u64) -> Arc<Self> {
        let state = State { random: StdRng::seed_from_u64(seed), log: Log::default(), under_way: 0 };
        Arc::new(Self { began: Instant::now(), back_after, state: Mutex::new(state) })
    }

    /// Time since the beginning.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// What it has seen so far.
    pub(super) fn with_log<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        look(&self.lock().log)
    }

    fn is_back(&self) -> bool {
        self.now() >= self.back_after
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic within a test ends the test.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A station tries while the server is away.
    fn miss(&self, station: &str) {
        let now = self.now();
        self.lock().log.tries_while_away.entry(station.to_owned()).or_default().push(now);
    }

    /// Notes a request, and says whether there is time for it.
    fn admits(&self, station: &str) -> bool {
        let now = self.now();
        let mut state = self.lock();
        state.log.first_requests.entry(station.to_owned()).or_insert(now);
        let requests = state.log.requests.entry((now - self.back_after).as_secs()).or_default();
        *requests += 1;
        let has_time = *requests <= CAPACITY_PER_S;
        state.log.turned_away += u32::from(!has_time);
        has_time
    }

    /// Stores a photo; whether its answer arrives.
    fn store(&self, digest: Digest) -> (bool, Holding) {
        let now = self.now();
        let mut state = self.lock();
        state.under_way -= 1;
        let is_new = !state.log.held.contains_key(&digest);
        state.log.held.entry(digest).and_modify(|(_, repeats)| *repeats += 1).or_insert((now, 0));
        let is_lost = state.random.random_ratio(1, LOST_ONE_IN);
        state.log.answers_lost += u32::from(is_lost);
        (!is_lost, if is_new { Holding::Stored } else { Holding::AlreadyHeld })
    }

    /// A photo is on its way; how long it takes.
    fn begin(&self) -> Duration {
        let mut state = self.lock();
        state.under_way += 1;
        state.log.most_under_way = state.log.most_under_way.max(state.under_way);
        Duration::from_millis(state.random.random_range(20..200))
    }
}

/// One station's numbers between 0 and 1.
#[derive(Clone)]
pub(super) enum Chance {
    Seeded(Arc<Mutex<StdRng>>),
    /// Always the same, so that all stations do everything in the same moment: what the test must be able to see.
    None,
}

impl Chance {
    /// Numbers decided by a seed.
    pub(super) fn seeded(seed: u64) -> Self {
        Self::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// The next number.
    pub(super) fn draw(&self) -> f64 {
        match self {
            Self::Seeded(random) => random.lock().unwrap_or_else(PoisonError::into_inner).random(),
            Self::None => 0.5,
        }
    }
}

/// One station's link.
pub(super) struct ModelLink {
    pub(super) server: Arc<Server>,
    pub(super) chance: Chance,
}

impl Link for ModelLink {
    async fn offer(&self, shot: Shot) -> Offer {
        let (server, manifest) = (&self.server, &shot.manifest);
        if !server.is_back() {
            server.miss(manifest.station.as_str());
            return Offer::Unreachable { reason: "connection refused".to_owned() };
        }
        if !server.admits(manifest.station.as_str()) {
            return Offer::Busy { reason: "503: busy".to_owned(), after: Some(RETRY_AFTER) };
        }
        let takes = server.begin();
        sleep(takes).await;
        let (arrives, holding) = server.store(manifest.digest);
        if !arrives {
            return Offer::CutOff { reason: "connection reset".to_owned() };
        }
        let (digest, station) = (manifest.digest, manifest.station.clone());
        Offer::Held(Receipt { digest, station, id: 1, holding, received_at: CapturedAt::EPOCH })
    }

    async fn returned(&self) {
        until_returned(self, || self.chance.draw()).await;
    }
}

impl Way for ModelLink {
    async fn has_route(&self) -> bool {
        true
    }

    async fn takes_a_connection(&self) -> bool {
        self.server.is_back()
    }

    /// Its clock is right all the time.
    fn clock_offset_s(&self) -> i64 {
        0
    }
}
