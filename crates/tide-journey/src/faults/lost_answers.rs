//! F7: the link breaks at any byte, so that answers are lost and photos come again.

mod stations;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tide_photo::{Digest, Holding, Receipt};

use super::cutting_proxy::{Cut, CuttingProxy, Direction, Traffic};
use super::{Fault, Plan, Seen, wait_for};
use crate::needs::Need;
use crate::{TestServer, Upload};

pub(super) const FAULT: Fault = Fault {
    number: "F7",
    name: "lost-answers",
    need: Need::Nothing,
    about: "connections cut at random bytes in either direction: one row per photo, the same number on a repeat",
    long_rounds: 1_000,
    short_rounds: 80,
    run,
};

/// Stations that take a photo in the same second; the prototype kept one of four.
const STATIONS: u32 = 4;

/// Size of most photos, in bytes: small, so that cuts within the answer are frequent.
const SMALL_BYTES: usize = 700;

/// Size of every eighth photo, in bytes: more than the server keeps in memory.
const LARGE_BYTES: usize = 200_000;

/// Bytes at the end of a connection to the client among which the answer is.
const ANSWER_BYTES: u64 = 900;

/// Times that a photo is offered before it counts as never taken.
const TRIES: u32 = 200;

/// Requests for the same photo at once.
const AT_ONCE: usize = 4;

/// Added to a photo's number so that an old device's bytes are like no other's.
const OLD_DEVICES_SEEDS: u32 = 1_000_000;

fn run(plan: Plan) -> anyhow::Result<Seen> {
    let mut server = TestServer::start()?;
    let names: Vec<String> = (0..STATIONS).map(|number| format!("pier-{number}")).collect();
    let tokens = names.iter().map(|name| server.add_station_token(name)).collect::<anyhow::Result<Vec<_>>>()?;
    let tallies = wait_for(async {
        let mut senders = Vec::new();
        for (name, token) in names.iter().zip(&tokens) {
            for door in [Door::Photos, Door::Old] {
                let seed = plan.seed.wrapping_mul(100).wrapping_add(senders.len() as u64);
                let sender = Sender::new(&server, name, token, door, seed).await?;
                senders.push(tokio::spawn(sender.deliver(plan.rounds.div_ceil(STATIONS * 2))));
            }
        }
        try_join_all(senders).await?.into_iter().collect::<anyhow::Result<Vec<_>>>()
    })?;
    let stations = stations::cut_off(&server, plan.rounds, plan.seed)?;
    let all: Vec<&Tally> = tallies.iter().chain(&stations.tallies).collect();
    let photos: usize = all.iter().map(|tally| tally.held.len()).sum();
    server.stop()?;
    server.restart()?;
    server.expect_clean(photos as u64)?;
    wait_for(compare(&server, &all))?;

    let sum = |count: fn(&Tally) -> u32| tallies.iter().map(count).sum::<u32>();
    Ok(Seen(format!(
        "{} cuts ({} to the server, {} to the client), {} answers lost after the photo was stored, {} offers put off \
         while another was under way; {photos} photos, one row each; {} repeats had the same number; {} times other bytes \
         under the same digest were refused with 409; {} photos came {AT_ONCE} times at once; {} seconds shared by all \
         stations and both doors; {}",
        sum(|tally| tally.cuts.0) + sum(|tally| tally.cuts.1),
        sum(|tally| tally.cuts.0),
        sum(|tally| tally.cuts.1),
        sum(|tally| tally.answers_lost),
        sum(|tally| tally.put_off),
        sum(|tally| tally.repeats),
        sum(|tally| tally.other_bytes),
        sum(|tally| tally.at_once),
        tallies.iter().map(|tally| tally.held.len()).min().unwrap_or_default(),
        stations.text,
    )))
}

/// Which of the server's two doors for photos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// `PUT /api/v1/photos/{sha256}`.
    Photos,
    /// `POST /upload`.
    Old,
}

/// One client with a link that breaks.
struct Sender {
    server_certificate: Bytes,
    direct: String,
    proxy: CuttingProxy,
    station: String,
    token: String,
    door: Door,
    random: StdRng,
    tally: Tally,
}

/// What a client has seen.
#[derive(Default)]
struct Tally {
    /// Its station.
    station: String,
    /// The photos for which it has the server's word, with their numbers where the door tells them.
    held: Vec<(Digest, Option<i64>)>,
    /// Cuts on the way to the server, and to the client.
    cuts: (u32, u32),
    answers_lost: u32,
    put_off: u32,
    repeats: u32,
    other_bytes: u32,
    at_once: u32,
}

/// How an offer ended.
enum Offered {
    Held(Option<Receipt>),
    /// Another request has the same photo.
    PutOff,
    /// The connection broke before the whole answer was here.
    Lost,
}

impl Sender {
    async fn new(server: &TestServer, station: &str, token: &str, door: Door, seed: u64) -> anyhow::Result<Self> {
        Ok(Self {
            server_certificate: std::fs::read(server.certificate())?.into(),
            direct: server.url(),
            proxy: CuttingProxy::start(server.port()).await?,
            station: station.to_owned(),
            token: token.to_owned(),
            door,
            random: StdRng::seed_from_u64(seed),
            tally: Tally { station: station.to_owned(), ..Tally::default() },
        })
    }

    /// Delivers photos until so many connections have been cut.
    async fn deliver(mut self, cuts: u32) -> anyhow::Result<Tally> {
        let calibration = self.photo(1)?;
        self.deliver_one(&calibration, None).await?;
        let usual = self.proxy.last_whole().await?;
        let mut number = 1;
        while self.cuts() < cuts {
            number += 1;
            let photo = self.photo(number)?;
            let usual = Traffic { to_server: usual.to_server - SMALL_BYTES as u64 + photo.image.len() as u64, ..usual };
            if number.is_multiple_of(5) {
                self.at_once(&photo).await?;
            }
            let receipt = self.deliver_one(&photo, Some(usual)).await?;
            self.repeat(&photo, receipt.as_ref()).await?;
            if number.is_multiple_of(3) && self.door == Door::Photos {
                self.offer_other_bytes(&photo).await?;
            }
            ensure!(number < TRIES + cuts * 10, "the proxy does not cut");
        }
        self.tally.cuts = self.proxy.cuts();
        Ok(self.tally)
    }

    fn cuts(&self) -> u32 {
        let (to_server, to_client) = self.proxy.cuts();
        to_server + to_client
    }

    /// A photo of the second `number`, which all stations share. On the new door all have the same bytes too.
    fn photo(&self, number: u32) -> anyhow::Result<Upload> {
        let size = if number.is_multiple_of(8) { LARGE_BYTES } else { SMALL_BYTES };
        let mut photo = Upload::made_up(&self.station, number, size)?;
        if self.door == Door::Old {
            photo.image = crate::upload::jpeg(size, u64::from(number + OLD_DEVICES_SEEDS)).into();
            photo.digest = Digest::of(&photo.image);
        }
        Ok(photo)
    }

    /// Offers a photo, over connections that are cut a few times, until the server has given its word.
    async fn deliver_one(&mut self, photo: &Upload, usual: Option<Traffic>) -> anyhow::Result<Option<Receipt>> {
        let mut cuts = if usual.is_some() { self.random.random_range(1..=4) } else { 0 };
        let mut was_lost = false;
        for _ in 0..TRIES {
            if let Some(usual) = usual.filter(|_| cuts > 0) {
                let cut = self.cut_within(usual);
                self.proxy.cut_next(cut);
                cuts -= 1;
            }
            let through_proxy = format!("https://localhost:{}", self.proxy.port());
            match self.offer(photo, &through_proxy).await? {
                Offered::Lost => was_lost = true,
                Offered::PutOff => {
                    self.tally.put_off += 1;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Offered::Held(receipt) => {
                    let is_held_before =
                        receipt.as_ref().is_some_and(|receipt| receipt.holding == Holding::AlreadyHeld);
                    let is_new_to_us = !self.tally.held.iter().any(|(digest, _)| *digest == photo.digest);
                    if is_new_to_us {
                        self.tally.answers_lost += u32::from(was_lost && is_held_before);
                        self.tally.held.push((photo.digest, receipt.as_ref().map(|receipt| receipt.id)));
                    }
                    return Ok(receipt);
                }
            }
        }
        bail!("{}: a photo was not taken in {TRIES} tries", self.station)
    }

    /// Anywhere on the way to the server, anywhere on the way back, and within the answer: a third each.
    fn cut_within(&mut self, usual: Traffic) -> Cut {
        let (direction, bytes) = match self.random.random_range(0..3) {
            0 => (Direction::ToServer, 0..usual.to_server),
            1 => (Direction::ToClient, 0..usual.to_client),
            _ => (Direction::ToClient, usual.to_client.saturating_sub(ANSWER_BYTES)..usual.to_client),
        };
        Cut { direction, after_bytes: self.random.random_range(bytes) }
    }

    /// Sends the photo again: the same receipt comes, but for saying that the photo was held.
    async fn repeat(&mut self, photo: &Upload, first: Option<&Receipt>) -> anyhow::Result<()> {
        let Offered::Held(again) = self.offer(photo, &self.direct).await? else {
            bail!("{}: a repeat of a photo that is held was not answered", self.station);
        };
        let expected = first.cloned().map(|first| Receipt { holding: Holding::AlreadyHeld, ..first });
        ensure!(again == expected, "{}: the receipt was {first:?}, and {again:?} on a repeat", self.station);
        self.tally.repeats += 1;
        Ok(())
    }

    /// Sends other bytes of the same length under the photo's digest.
    async fn offer_other_bytes(&mut self, photo: &Upload) -> anyhow::Result<()> {
        let mut other = photo.clone();
        let mut bytes = other.image.to_vec();
        // A byte of the scan, which stays below 0x80 and so begins no marker.
        let changed = bytes.len() - 3;
        bytes[changed] ^= 1;
        other.image = bytes.into();
        let answer = self.request(&other, &self.direct)?.send().await?;
        let (status, words) = (answer.status(), answer.text().await?);
        ensure!(
            status == StatusCode::CONFLICT && words.contains("other_bytes"),
            "{}: other bytes under the same digest were answered with {status}: {words}",
            self.station
        );
        self.tally.other_bytes += 1;
        Ok(())
    }

    /// Sends the photo several times at once, until each has its answer: all name the same photo, stored at most once.
    async fn at_once(&mut self, photo: &Upload) -> anyhow::Result<()> {
        let insist = async || {
            for tried in 0..TRIES {
                match self.offer(photo, &self.direct).await? {
                    Offered::Held(receipt) => return Ok((receipt, tried)),
                    Offered::PutOff => tokio::time::sleep(Duration::from_millis(5)).await,
                    Offered::Lost => bail!("{}: a connection broke that nobody cut", self.station),
                }
            }
            bail!("{}: a photo sent several times at once was not taken in {TRIES} tries", self.station)
        };
        let answers = try_join_all((0..AT_ONCE).map(|_| insist())).await?;
        let receipts: Vec<&Receipt> = answers.iter().filter_map(|(receipt, _)| receipt.as_ref()).collect();
        let stored = receipts.iter().filter(|receipt| receipt.holding == Holding::Stored).count();
        let is_one = receipts.windows(2).all(|pair| pair[0].id == pair[1].id);
        let is_told = self.door == Door::Photos;
        ensure!(
            is_one && stored == usize::from(is_told),
            "{}: {AT_ONCE} requests at once for one photo got {receipts:?}",
            self.station
        );
        self.tally.at_once += 1;
        self.tally.held.push((photo.digest, receipts.first().map(|receipt| receipt.id)));
        self.tally.put_off += answers.iter().map(|(_, put_off)| put_off).sum::<u32>();
        Ok(())
    }

    async fn offer(&self, photo: &Upload, base: &str) -> anyhow::Result<Offered> {
        match self.request(photo, base)?.send().await {
            Ok(answer) => self.judge(photo, answer).await,
            Err(error) if error.is_timeout() => Err(error).context("the server does not answer"),
            Err(_) => Ok(Offered::Lost),
        }
    }

    async fn judge(&self, photo: &Upload, answer: Response) -> anyhow::Result<Offered> {
        let status = answer.status();
        // Half an answer is none.
        let Ok(words) = answer.bytes().await else { return Ok(Offered::Lost) };
        match (status, self.door) {
            (StatusCode::SERVICE_UNAVAILABLE, _) => Ok(Offered::PutOff),
            (StatusCode::OK, Door::Old) if words == "Uploaded" => Ok(Offered::Held(None)),
            (StatusCode::OK | StatusCode::CREATED, Door::Photos) => {
                let receipt: Receipt = serde_json::from_slice(&words)?;
                ensure!(
                    receipt.releases(&self.station.parse()?, &photo.digest),
                    "{}: a receipt for another photo: {receipt:?}",
                    self.station
                );
                Ok(Offered::Held(Some(receipt)))
            }
            _ => bail!("{}: answered with {status}: {}", self.station, String::from_utf8_lossy(&words)),
        }
    }

    /// A request over a connection of its own, so that every byte of a handshake may be the last.
    fn request(&self, photo: &Upload, base: &str) -> anyhow::Result<RequestBuilder> {
        let certificate = reqwest::Certificate::from_pem(&self.server_certificate)?;
        let builder = Client::builder().tls_certs_only([certificate]).pool_max_idle_per_host(0);
        let client = builder.timeout(Duration::from_secs(30)).build()?;
        if self.door == Door::Photos {
            return Ok(photo.request(&client, base, &self.token));
        }
        let captured_at: serde_json::Value = serde_json::from_str(&photo.manifest)?;
        let timestamp = captured_at["captured_at"].as_str().context("a manifest has a time")?.to_owned();
        let length = photo.image.len() as u64;
        // Every old device calls every photo the same.
        let image = Part::stream_with_length(photo.image.clone(), length).file_name("photo.jpg");
        let form = Form::new().part("image", image).text("timestamp", timestamp);
        Ok(client.post(format!("{base}/upload")).basic_auth("station", Some(&self.token)).multipart(form))
    }
}

/// Every photo for which a client has the server's word is in the list once, under its number, and nothing else is.
async fn compare(server: &TestServer, tallies: &[&Tally]) -> anyhow::Result<()> {
    let mut listed: BTreeMap<(String, String), Vec<i64>> = BTreeMap::new();
    for photo in server.log_in().await?.photos().await? {
        let [station, digest] = ["station", "digest"].map(|field| photo[field].as_str().unwrap_or_default().to_owned());
        listed.entry((station, digest)).or_default().push(photo["id"].as_i64().context("a photo has a number")?);
    }
    for tally in tallies {
        for (digest, id) in &tally.held {
            let ids = listed.remove(&(tally.station.clone(), digest.to_string())).unwrap_or_default();
            ensure!(
                ids.len() == 1 && id.is_none_or(|id| ids == [id]),
                "{}: the photo {digest} is listed under {ids:?}, and its receipt said {id:?}",
                tally.station
            );
        }
    }
    ensure!(listed.is_empty(), "listed, but nobody has a receipt: {listed:?}");
    Ok(())
}
