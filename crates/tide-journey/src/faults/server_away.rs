//! F6: the server is away for three days, and then all stations want it at once.
//!
//! Time is virtual. The stations' uploaders, agendas, back-off, watch of the way and spools are the real ones; their disks are in
//! memory, and the server and the way to it are a model.

mod memory_disk;
mod model;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use tide_durable::Durable;
use tide_photo::manifest::MANIFEST_VERSION;
use tide_photo::{CapturedAt, ClockQuality, Digest, Manifest, StationName};
use tide_recorder::config::{Disk, Upload};
use tide_recorder::shot::Shot;
use tide_recorder::spool::Spool;
use tide_recorder::uploader::Uploader;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use self::memory_disk::MemoryDisk;
use self::model::{Chance, ModelLink, Server};
use super::{Fault, Plan, Seen};
use crate::needs::Need;

pub(super) const FAULT: Fault = Fault {
    number: "F6",
    name: "server-away",
    need: Need::Nothing,
    about: "the server is away while 50 stations take so many photos each, then comes back (virtual time): every photo \
            arrives once, new ones within a minute, no stampede",
    long_rounds: 8_640,
    short_rounds: 120,
    run,
};

const STATIONS: usize = 50;

/// Time between two photos of a station; all take theirs at the same moment, as real ones do.
const INTERVAL: Duration = Duration::from_secs(30);

/// How late a photo may be that was taken after the server came back.
const LATEST: Duration = Duration::from_secs(60);

/// Longest wait between two tries: five minutes, and the moment that a try takes.
const LONGEST_GAP: Duration = Duration::from_secs(301);

/// Stations that may come back within the same second.
const MOST_IN_A_SECOND: usize = 10;

/// Photos for the run that has no chance in it.
const CONTROL_ROUNDS: u32 = 20;

fn run(plan: Plan) -> anyhow::Result<Seen> {
    let control = in_virtual_time(simulate(CONTROL_ROUNDS, plan.seed, false))?;
    ensure!(
        control.came_in_one_second > MOST_IN_A_SECOND,
        "without chance only {} stations came back in one second: this test would not see a stampede",
        control.came_in_one_second
    );
    let found = in_virtual_time(simulate(plan.rounds, plan.seed, true))?;
    found.judge().with_context(|| found.to_string())?;
    Ok(Seen(format!("{found}; without chance {} stations come back in one second", control.came_in_one_second)))
}

fn in_virtual_time<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?.block_on(work)
}

/// Photos that were taken, each with the time.
type Taken = Arc<Mutex<HashMap<Digest, Duration>>>;

/// What was found, of one run.
struct Findings {
    queued_each: u32,
    photos: usize,
    repeats: u32,
    latest: Duration,
    drained_in: Duration,
    tries_while_away: usize,
    longest_gap: Duration,
    peak_per_s: u32,
    in_first_second: u32,
    came_in_one_second: usize,
    turned_away: u32,
    answers_lost: u32,
    most_under_way: usize,
}

/// Has the stations photograph while the server is away, and until everything is delivered after its return.
async fn simulate(rounds: u32, seed: u64, has_chance: bool) -> anyhow::Result<Findings> {
    let back_after = INTERVAL * rounds;
    let server = Server::new(back_after, seed);
    let taken = Taken::default();
    let mut stations = Vec::new();
    for number in 0..STATIONS {
        let chance = || Chance::seeded(seed.wrapping_mul(1_000).wrapping_add(number as u64));
        let chance = if has_chance { chance() } else { Chance::None };
        stations.push(Station::start(number, &server, &taken, chance)?);
    }
    sleep(back_after).await;
    let queued: Vec<usize> = stations.iter().map(|station| station.spool.len()).collect();
    ensure!(queued.iter().all(|queued| *queued + 2 >= rounds as usize), "photos are lost already: {queued:?}");
    while stations.iter().any(|station| station.spool.len() > 1) {
        sleep(INTERVAL / 6).await;
    }
    let drained_in = server.now() - back_after;
    // New photos still arrive as they are taken.
    sleep(INTERVAL * 20).await;
    for station in &stations {
        station.taking.abort();
    }
    sleep(LATEST).await;
    for station in stations {
        station.uploading.abort();
        ensure!(station.spool.is_empty(), "a station keeps {} photos", station.spool.len());
        ensure!(station.disk.files() < 10, "a station's disk keeps {} files", station.disk.files());
    }
    let taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
    findings(&server, &taken, rounds, back_after, drained_in)
}

/// One station: it takes photos into its spool, and uploads.
struct Station {
    spool: Arc<Spool>,
    disk: MemoryDisk,
    taking: JoinHandle<()>,
    uploading: JoinHandle<()>,
}

impl Station {
    fn start(number: usize, server: &Arc<Server>, taken: &Taken, chance: Chance) -> anyhow::Result<Self> {
        let root = Path::new("/data");
        let disk = MemoryDisk::with_folder(root);
        let limits = Disk { min_free_bytes: 0, archive_max_bytes: Some(0), ..Disk::default() };
        let (spool, _) = Spool::open_within(Durable::on(Arc::new(disk.clone()), root), limits)?;
        let spool = Arc::new(spool);
        let name: StationName = format!("pier-{number}").parse().context("a station's name")?;
        let link = ModelLink { server: Arc::clone(server), chance: chance.clone() };
        let uploader = Uploader::new(Arc::clone(&spool), link, Arc::default(), &Upload::default());
        let uploader = uploader.with_chance(move || chance.draw());
        let taking = tokio::spawn(take_photos(name, Arc::clone(&spool), Arc::clone(server), Arc::clone(taken)));
        Ok(Self { spool, disk, taking, uploading: tokio::spawn(uploader.run()) })
    }
}

async fn take_photos(station: StationName, spool: Arc<Spool>, server: Arc<Server>, taken: Taken) {
    let began = Instant::now();
    for number in 0.. {
        sleep_until(began + INTERVAL * number).await;
        let shot = shot(&station, spool.next_sequence());
        taken.lock().unwrap_or_else(PoisonError::into_inner).insert(shot.manifest.digest, server.now());
        // A spool in memory does not refuse; if it did, the photo would be missing at the end.
        drop(spool.accept(&shot));
    }
}

fn shot(station: &StationName, sequence: u64) -> Shot {
    let jpeg = format!("{station} {sequence}").into_bytes();
    let manifest = Manifest {
        version: MANIFEST_VERSION,
        station: station.clone(),
        sequence,
        captured_at: CapturedAt::EPOCH,
        clock: ClockQuality::unsynchronised(),
        digest: Digest::of(&jpeg),
        size_bytes: jpeg.len() as u64,
        boot_id: "boot".to_owned(),
        monotonic_us: 0,
        camera: "synthetic".to_owned(),
        moment_ms: None,
        repaired: None,
    };
    Shot { manifest, jpeg }
}

/// Compares what was taken with what the server holds, and counts.
fn findings(
    server: &Server,
    taken: &HashMap<Digest, Duration>,
    queued_each: u32,
    back_after: Duration,
    drained_in: Duration,
) -> anyhow::Result<Findings> {
    server.with_log(|log| {
        let lost = taken.keys().filter(|digest| !log.held.contains_key(digest)).count();
        ensure!(
            lost == 0 && log.held.len() == taken.len(),
            "{lost} photos are lost, the server holds {}",
            log.held.len()
        );
        let late = taken.iter().filter(|(_, at)| **at >= back_after);
        let late = late.filter_map(|(digest, at)| Some(log.held.get(digest)?.0.saturating_sub(*at)));
        let gaps = log.tries_while_away.values().flat_map(|tries| tries.windows(2).map(|pair| pair[1] - pair[0]));
        let mut came: HashMap<u64, usize> = HashMap::new();
        for first in log.first_requests.values() {
            *came.entry(first.as_secs()).or_default() += 1;
        }
        Ok(Findings {
            queued_each,
            photos: taken.len(),
            repeats: log.held.values().map(|(_, repeats)| repeats).sum(),
            latest: late.max().unwrap_or_default(),
            drained_in,
            tries_while_away: log.tries_while_away.values().map(Vec::len).sum(),
            longest_gap: gaps.max().unwrap_or_default(),
            peak_per_s: log.requests.values().copied().max().unwrap_or_default(),
            in_first_second: log.requests.get(&0).copied().unwrap_or_default(),
            came_in_one_second: came.values().copied().max().unwrap_or_default(),
            turned_away: log.turned_away,
            answers_lost: log.answers_lost,
            most_under_way: log.most_under_way,
        })
    })
}

impl Findings {
    fn judge(&self) -> anyhow::Result<()> {
        let settings = Upload::default();
        let limit_per_s = STATIONS as f64 * settings.max_photos_per_s;
        ensure!(self.latest <= LATEST, "a photo taken after the return was {:?} late", self.latest);
        ensure!(self.longest_gap <= LONGEST_GAP, "a station waited {:?} before its next try", self.longest_gap);
        ensure!(f64::from(self.peak_per_s) <= limit_per_s, "{} requests came in one second", self.peak_per_s);
        ensure!(
            self.came_in_one_second <= MOST_IN_A_SECOND,
            "{} stations came back in one second",
            self.came_in_one_second
        );
        ensure!(
            self.most_under_way <= STATIONS * settings.parallel,
            "{} photos were in memory at once",
            self.most_under_way
        );
        Ok(())
    }
}

impl std::fmt::Display for Findings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{STATIONS} stations with {} photos each, {} in all, every one there once; {} tries while the server was away, \
             at most {:.0} s apart; after its return at most {} requests in a second ({} in the first), at most {} stations came \
             back in the same second, {} offers turned away, {} answers lost and {} repeats; new photos at most {:.1} s late; \
             drained in {:.0} s; at most {} photos in memory at once (real uploaders and spools on disks in memory, server and \
             link modelled)",
            self.queued_each,
            self.photos,
            self.tries_while_away,
            self.longest_gap.as_secs_f64(),
            self.peak_per_s,
            self.in_first_second,
            self.came_in_one_second,
            self.turned_away,
            self.answers_lost,
            self.repeats,
            self.latest.as_secs_f64(),
            self.drained_in.as_secs_f64(),
            self.most_under_way,
        )
    }
}
