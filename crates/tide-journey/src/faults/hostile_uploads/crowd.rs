//! Connections that stall and bodies that trickle, beside clients that want their photos taken.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures_util::future::try_join_all;
use reqwest::StatusCode;
use rustls::ClientConfig;
use tide_photo::{Digest, wire};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::raw::{self, BOUNDARY, RawConnection, part};
use crate::upload::percentile;
use crate::{TestServer, Upload};

/// Where attackers come from; honest clients come from 127.0.0.1.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Honest clients.
const CLIENTS: u32 = 8;

/// Size of their photos, in bytes.
const PHOTO_BYTES: usize = 50_000;

/// Phases of peace, and of attack, in turn.
const PHASES: u32 = 3;

/// Time between two bytes of a body that trickles.
const TRICKLE: Duration = Duration::from_millis(500);

/// What honest clients may have to wait at most, compared with peace.
const WORST_RATIO: f64 = 2.0;

/// Runs in which the ratio may be worse, because other work was done on the machine.
const RETRIES: u32 = 2;

/// Most memory that the server may use, in KiB.
const MEMORY_KIB: u64 = 64 * 1_024;

/// How many attack, and how many of them the server lets in.
#[derive(Clone, Copy)]
pub(super) struct Crowd {
    pub(super) stalled: u32,
    pub(super) trickling: u32,
    /// Connections from one address that the server's settings allow.
    pub(super) allowed: u32,
    /// Photos that each honest client delivers in one phase.
    pub(super) photos: u32,
}

/// Connections that are held open until this is dropped.
struct Attack {
    silent: Vec<TcpStream>,
    half_asked: Vec<RawConnection>,
    trickling: JoinSet<()>,
    turned_away: u32,
}

impl Crowd {
    /// Lets the crowd loose on a server of its own; what was seen. Times and memory are judged in a release build only.
    pub(super) async fn besiege(self) -> anyhow::Result<String> {
        for _ in 0..RETRIES {
            let siege = self.once().await?;
            if siege.ratio() <= WORST_RATIO || cfg!(debug_assertions) {
                return siege.judge();
            }
        }
        self.once().await?.judge()
    }

    async fn once(self) -> anyhow::Result<Siege> {
        let allowed = self.allowed.to_string();
        let server = TestServer::start_with(&[
            ("ADMIN_PASS", crate::server::PASSWORD),
            ("TIDE_MAX_CONNECTIONS", "8192"),
            ("TIDE_MAX_CONNECTIONS_PER_ADDRESS", &allowed),
        ])?;
        let tls = raw::tls_config(&std::fs::read(server.certificate())?)?;
        let honest = server.add_station_token("pier-1")?;
        let stolen = server.add_station_token("pier-2")?;
        let mut siege = Siege { crowd: self, peace: Vec::new(), attack: Vec::new(), let_in: 0, peak_kib: 0 };
        let mut first = 1;
        let mut photos = || {
            let begin = first;
            first += CLIENTS * self.photos;
            begin
        };
        // Nobody is measured while the server touches its memory for the first time.
        self.deliver(&server, &honest, photos()).await?;
        for _ in 0..PHASES {
            siege.peace.extend(self.deliver(&server, &honest, photos()).await?);
            let attack = Attack::begin(self, &server, &tls, &stolen).await?;
            let let_in = self.stalled + self.trickling - attack.turned_away;
            siege.attack.extend(self.deliver(&server, &honest, photos()).await.context("beside the attack")?);
            siege.let_in = siege.let_in.max(let_in);
            drop(attack);
        }
        siege.peak_kib = server.peak_memory_kib()?;
        let is_crowded = self.allowed < self.stalled + self.trickling;
        ensure!(
            server.log().contains("too many connections") == is_crowded,
            "the limit of {} connections from one address {}",
            self.allowed,
            if is_crowded { "turned nobody away" } else { "turned somebody away" }
        );
        server.expect_clean(u64::from(first - 1))?;
        Ok(siege)
    }

    /// Photos of all honest clients, every other over a connection of its own; how long each took.
    async fn deliver(self, server: &TestServer, token: &str, first_number: u32) -> anyhow::Result<Vec<Duration>> {
        let deliver = async |client_number: u32| {
            let client = server.client_builder()?.timeout(Duration::from_secs(30)).build()?;
            let mut waits = Vec::new();
            for number in 0..self.photos {
                let photo =
                    Upload::made_up("pier-1", first_number + client_number * self.photos + number, PHOTO_BYTES)?;
                let mut request = photo.request(&client, &server.url(), token);
                if number.is_multiple_of(2) {
                    request = request.header("connection", "close");
                }
                let began = Instant::now();
                let answer = request.send().await.context("an honest upload")?;
                if answer.status() != StatusCode::CREATED {
                    bail!("an honest upload was answered with {}", answer.status());
                }
                waits.push(began.elapsed());
            }
            Ok(waits)
        };
        let waits: Vec<Vec<Duration>> = try_join_all((0..CLIENTS).map(deliver)).await?;
        Ok(waits.concat())
    }
}

/// What was measured.
struct Siege {
    crowd: Crowd,
    peace: Vec<Duration>,
    attack: Vec<Duration>,
    let_in: u32,
    peak_kib: u64,
}

impl Siege {
    fn p99s(&self) -> [f64; 2] {
        [&self.peace, &self.attack].map(|waits| {
            let mut waits = waits.clone();
            waits.sort();
            percentile(&waits, 99)
        })
    }

    fn ratio(&self) -> f64 {
        let [peace, attack] = self.p99s();
        attack / peace
    }

    fn judge(self) -> anyhow::Result<String> {
        let [peace, attack] = self.p99s();
        let (ratio, peak_mib) = (self.ratio(), self.peak_kib as f64 / 1_024.0);
        let seen = format!(
            "{} stalled connections and {} trickling bodies, of which {} were let in by a limit of {}: p99 of {} honest \
             uploads {attack:.1} ms, {peace:.1} ms without ({ratio:.2} times); the server used {peak_mib:.1} MiB at most",
            self.crowd.stalled,
            self.crowd.trickling,
            self.let_in,
            self.crowd.allowed,
            self.attack.len()
        );
        if !cfg!(debug_assertions) {
            ensure!(ratio <= WORST_RATIO, "{seen}: too slow");
            ensure!(self.peak_kib <= MEMORY_KIB, "{seen}: too much memory");
        }
        Ok(seen)
    }
}

impl Attack {
    async fn begin(crowd: Crowd, server: &TestServer, tls: &Arc<ClientConfig>, token: &str) -> anyhow::Result<Self> {
        let port = server.port();
        let mut attack = Self { silent: Vec::new(), half_asked: Vec::new(), trickling: JoinSet::new(), turned_away: 0 };
        for number in 0..crowd.trickling {
            if let Some(connection) = attack.unless_turned_away(begin_body(port, tls, token, number).await)? {
                attack.trickling.spawn(trickle(connection));
            }
        }
        let half_asked = crowd.stalled / 3;
        for _ in 0..half_asked {
            if let Some(connection) = attack.unless_turned_away(begin_head(port, tls).await)? {
                attack.half_asked.push(connection);
            }
        }
        // Last, because the server ends a silent one after 10 s.
        for number in half_asked..crowd.stalled {
            let mut connection = raw::connect_from(ATTACKER, port).await?;
            if number.is_multiple_of(2) {
                // The beginning of a ClientHello (RFC 8446, 4.1.2) that announces 508 bytes more.
                let _ = connection.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3, 7, 7, 7]).await;
            }
            attack.silent.push(connection);
        }
        if attack.turned_away > 0 {
            // Places were full before the silent ones came.
            attack.turned_away += u32::try_from(attack.silent.len())?;
        }
        Ok(attack)
    }

    /// Counts a connection that was closed at the door; a server that does not even do that is not what is looked for.
    fn unless_turned_away(&mut self, opened: anyhow::Result<RawConnection>) -> anyhow::Result<Option<RawConnection>> {
        match opened {
            Ok(connection) => Ok(Some(connection)),
            Err(error) if error.is::<std::io::Error>() => {
                self.turned_away += 1;
                Ok(None)
            }
            Err(error) => Err(error.context("an attacker waits for its handshake")),
        }
    }
}

/// A request that stops in the middle of its head.
async fn begin_head(port: u16, tls: &Arc<ClientConfig>) -> anyhow::Result<RawConnection> {
    let mut connection = RawConnection::open_from(ATTACKER, port, Arc::clone(tls)).await?;
    connection.send(b"PUT /api/v1/photos/0000 HTTP/1.1\r\nHost: local").await?;
    Ok(connection)
}

/// An upload that has come as far as the beginning of its photo.
async fn begin_body(port: u16, tls: &Arc<ClientConfig>, token: &str, number: u32) -> anyhow::Result<RawConnection> {
    let photo = Upload::made_up("pier-2", number, PHOTO_BYTES)?;
    let parts = [(part(wire::MANIFEST_PART), photo.manifest.as_bytes()), (part(wire::IMAGE_PART), &photo.image)];
    let form = raw::form(&parts.each_ref().map(|(header, content)| (header.as_str(), *content)));
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n",
        wire::photo_path(&Digest::of(&photo.image)),
        form.len()
    );
    let mut connection = RawConnection::open_from(ATTACKER, port, Arc::clone(tls)).await?;
    connection.send(head.as_bytes()).await?;
    connection.send(form.get(..2_000).context("a form is longer")?).await?;
    Ok(connection)
}

/// A byte now and then, until the server has had enough.
async fn trickle(mut connection: RawConnection) {
    while connection.send(&[0]).await.is_ok() {
        tokio::time::sleep(TRICKLE).await;
    }
}
