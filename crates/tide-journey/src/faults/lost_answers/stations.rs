//! The real station's side of F7: its link, and the whole program, over connections that are cut at any byte.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tide_photo::{Manifest, Receipt};
use tide_recorder::config;
use tide_recorder::server_link::{Link, Offer, ServerLink};
use tide_recorder::shot::Shot;

use super::super::cutting_proxy::{Cut, CuttingProxy, Direction};
use super::super::wait_for;
use super::{TRIES, Tally};
use crate::{TestServer, TestStation, Upload};

/// Sizes of photos in turn, in bytes: two that go in one request, one that goes resumably once it was cut off, and two that always
/// do.
const SIZES: [usize; 5] = [700, 40_000, 200_000, 700_000, 1_500_000];

/// Larger photos go resumably at once; the station's default.
const RESUMED_ABOVE_BYTES: usize = 512 * 1_024;

/// What a resumed upload may send twice, in bytes.
const SENT_TWICE_BYTES: u64 = 64 * 1_024;

/// What a connection carries to the server beside the photo, in bytes: TLS's handshake, a manifest, and the requests' headers.
const BESIDE_BYTES: u64 = 4 * 1_024;

/// TLS and HTTP add less than this part of what they carry.
const WRAPPING: u64 = 100;

/// What a connection carries back at most, in bytes, and so where it may be cut in that direction.
const ANSWERS_BYTES: u64 = 5_000;

/// How long to wait after a cut. The whole station waits half a second at least; the server needs a moment to read what has
/// arrived, and gives up the old connection when the same upload goes on over a new one.
const AFTER_CUT: Duration = Duration::from_millis(100);

/// Cuts of the link for each of the whole program, which waits after each.
const LINK_CUTS_PER_STATION_CUT: u32 = 40;

/// Photos for the whole program.
const STATION_PHOTOS: usize = 15;

/// What was seen.
pub(super) struct Found {
    pub(super) tallies: Vec<Tally>,
    pub(super) text: String,
}

/// Cuts the real station off so many times.
pub(super) fn cut_off(server: &TestServer, cuts: u32, seed: u64) -> anyhow::Result<Found> {
    let token = server.add_station_token("pier-link")?;
    let link = wait_for(async {
        let link = CutLink::new(server, &token, seed).await?;
        link.deliver(cuts).await
    })?;
    let (station, station_cuts) = whole_program(server, cuts.div_ceil(LINK_CUTS_PER_STATION_CUT), seed)?;
    let text = format!(
        "the station's own link: {} cuts over {} photos, {} resumed uploads, of which one sent at most {} bytes twice for a cut; \
         the whole station: {} cuts over {} photos",
        link.tally.cuts.0 + link.tally.cuts.1,
        link.tally.held.len(),
        link.resumed,
        link.most_sent_twice,
        station_cuts,
        station.held.len(),
    );
    Ok(Found { tallies: vec![link.tally, station], text })
}

/// The real station's link, through a proxy that cuts.
struct CutLink {
    proxy: CuttingProxy,
    server: config::Server,
    random: StdRng,
    tally: Tally,
    resumed: u32,
    most_sent_twice: u64,
}

impl CutLink {
    async fn new(server: &TestServer, token: &str, seed: u64) -> anyhow::Result<Self> {
        let proxy = CuttingProxy::start(server.port()).await?;
        let settings = serde_json::json!({
            "url": format!("https://localhost:{}", proxy.port()),
            "token": token,
            "certificate": std::fs::read_to_string(server.certificate())?,
        });
        Ok(Self {
            proxy,
            server: serde_json::from_value(settings)?,
            random: StdRng::seed_from_u64(seed),
            tally: Tally { station: "pier-link".to_owned(), ..Tally::default() },
            resumed: 0,
            most_sent_twice: 0,
        })
    }

    async fn deliver(mut self, cuts: u32) -> anyhow::Result<Self> {
        for number in 1.. {
            let (to_server, to_client) = self.proxy.cuts();
            self.tally.cuts = (to_server, to_client);
            if to_server + to_client >= cuts {
                break;
            }
            ensure!(number < TRIES + cuts * 10, "the proxy does not cut");
            self.deliver_one(number).await?;
        }
        Ok(self)
    }

    /// Delivers one photo with a few cuts, and counts what was sent twice.
    async fn deliver_one(&mut self, number: u32) -> anyhow::Result<()> {
        let size = SIZES.get(number as usize % SIZES.len()).copied().unwrap_or_default();
        let photo = Upload::made_up("pier-link", number, size)?;
        let manifest = Manifest::from_json(photo.manifest.as_bytes())?;
        let shot = Shot { manifest, jpeg: photo.image.to_vec() };
        // A new one has no connection left over from the photo before.
        let link = ServerLink::new(&self.server, &config::Upload::default())?;
        let (sent_before, cuts_before) = (self.proxy.sent_to_server(), self.cuts());
        let (receipt, offers) = self.insist(&link, &shot).await?;
        self.tally.held.push((photo.digest, Some(receipt.id)));
        let cuts = u64::from(self.cuts() - cuts_before);
        if size > RESUMED_ABOVE_BYTES && cuts > 0 {
            let sent = self.proxy.sent_to_server() - sent_before;
            let once = photo.image.len() as u64;
            let twice = sent.saturating_sub(once + sent / WRAPPING + BESIDE_BYTES * offers) / cuts;
            ensure!(
                twice <= SENT_TWICE_BYTES,
                "{twice} bytes were sent twice for each of {cuts} cuts of a photo of {once}"
            );
            self.most_sent_twice = self.most_sent_twice.max(twice);
            self.resumed += 1;
        }
        Ok(())
    }

    /// Offers a photo until it is held; the receipt, and how many offers that took.
    async fn insist(&mut self, link: &ServerLink, shot: &Shot) -> anyhow::Result<(Receipt, u64)> {
        let mut cuts = self.random.random_range(1..=3);
        for offers in 1..=u64::from(TRIES) {
            if cuts > 0 {
                let cut = random_cut(&mut self.random, shot.jpeg.len() as u64);
                self.proxy.cut_next(cut);
                cuts -= 1;
            }
            match link.offer(shot.clone()).await {
                Offer::Held(receipt) => return Ok((receipt, offers)),
                Offer::CutOff { .. } | Offer::Unreachable { .. } => tokio::time::sleep(AFTER_CUT).await,
                // The request that was cut off is still being dealt with.
                Offer::Busy { .. } => tokio::time::sleep(Duration::from_millis(10)).await,
                other => bail!("a photo of {} bytes was answered with {other:?}", shot.jpeg.len()),
            }
        }
        bail!("a photo of {} bytes was not taken in {TRIES} tries", shot.jpeg.len())
    }

    fn cuts(&self) -> u32 {
        let (to_server, to_client) = self.proxy.cuts();
        to_server + to_client
    }
}

/// Two of three on the way to the server, because only there can bytes of the photo be lost.
fn random_cut(random: &mut StdRng, size_bytes: u64) -> Cut {
    let (direction, bytes) = match random.random_range(0..3) {
        0 => (Direction::ToClient, ANSWERS_BYTES),
        _ => (Direction::ToServer, size_bytes + BESIDE_BYTES),
    };
    Cut { direction, after_bytes: random.random_range(0..bytes) }
}

/// A whole station with a backlog, of which so many connections are cut; and how many were.
fn whole_program(server: &TestServer, cuts: u32, seed: u64) -> anyhow::Result<(Tally, u32)> {
    let folder = tempfile::TempDir::with_prefix("tide-photos-")?;
    for (number, size) in SIZES.iter().cycle().take(STATION_PHOTOS).enumerate() {
        let jpeg = crate::upload::jpeg(*size, seed.wrapping_add(5_000_000 + number as u64));
        std::fs::write(folder.path().join(format!("{number:03}.jpg")), jpeg)?;
    }
    let settings = server.add_station("pier-cut")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let proxy = runtime.block_on(CuttingProxy::start(server.port()))?;
    let mut random = StdRng::seed_from_u64(seed);
    // A connection carries photo after photo, and should break before all are through.
    proxy.cut_following((0..cuts).map(|_| random_cut(&mut random, SIZES[2] as u64)));
    let through_proxy = format!("https://localhost:{}", proxy.port());
    let mut station = TestStation::new(&settings)?.with_replay(folder.path()).with("TIDE_SERVER_URL", through_proxy);
    let taken = station.shoot(&["--count", &STATION_PHOTOS.to_string()])?;
    station.run()?;
    // Waits double after each cut, as long as nothing goes through between them.
    let delivered = (0..10).any(|_| station.until_delivered().is_ok());
    ensure!(delivered, "the station does not deliver; its log: {}", station.log());
    station.stop()?;
    let digest = |line: &String| {
        line.split(' ').nth(1).context("a line for a photo names its digest")?.parse().map_err(anyhow::Error::from)
    };
    let held = taken.iter().map(|line| Ok((digest(line)?, None))).collect::<anyhow::Result<_>>()?;
    let (to_server, to_client) = proxy.cuts();
    Ok((Tally { station: "pier-cut".to_owned(), held, ..Tally::default() }, to_server + to_client))
}
