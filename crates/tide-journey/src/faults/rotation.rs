//! F12: certificates and tokens are exchanged while stations upload.

mod load;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use reqwest::{Client, StatusCode};
use rustls::ClientConfig;
use tempfile::TempDir;
use tide_photo::wire;

use self::load::Load;
use super::{Fault, Plan, Seen, wait_for};
use crate::authority::{Authority, Pair};
use crate::needs::Need;
use crate::programs::{output, until};
use crate::raw::{self, BOUNDARY, RawConnection, part};
use crate::server::PASSWORD;
use crate::{TestServer, TestStation, Upload};

pub(super) const FAULT: Fault = Fault {
    number: "F12",
    name: "rotation",
    need: Need::Nothing,
    about: "certificates and tokens exchanged under load: no upload fails, a bad pair changes nothing, a station trusts none",
    long_rounds: 100,
    short_rounds: 8,
    run,
};

/// What the server logs when it goes over to another certificate, and when it cannot.
const TAKEN: &str = "serving with another certificate";
const ALARM: &str = "the certificate stays the one before";

/// Photos of the load, of those that span a swap, and of the token's part have numbers of their own.
const SPANNING_NUMBERS: u32 = 1_000_000;
const TOKEN_NUMBERS: u32 = 2_000_000;

fn run(plan: Plan) -> anyhow::Result<Seen> {
    let site = Site::new()?;
    let (swaps, stored) = wait_for(site.swap_under_load(plan.rounds))?;
    let distrusted = site.show_what_must_not_be_trusted()?;
    let (tokens, with_tokens) = wait_for(site.replace_tokens_under_load(plan.rounds.div_ceil(10)))?;
    site.server.expect_clean(u64::from(stored) + u64::from(with_tokens) + DISTRUSTED.len() as u64)?;
    Ok(Seen(format!("{swaps}; {distrusted}; {tokens}; all {} photos intact", stored + with_tokens + 3)))
}

/// A server with an operator's own certificate.
struct Site {
    authority: Authority,
    files: Files,
    server: TestServer,
    tls: Arc<ClientConfig>,
}

/// Where the operator keeps certificate and key.
struct Files {
    folder: TempDir,
}

impl Files {
    fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// Writes both as `cp` does: one after the other, and over what is there.
    fn put(&self, certificate_pem: &str, key_pem: &str) -> anyhow::Result<()> {
        fs::write(self.key(), key_pem)?;
        Ok(fs::write(self.certificate(), certificate_pem)?)
    }
}

/// What the server shows, and the word with which a station must say why it refuses it.
const DISTRUSTED: [(&str, &str); 3] = [
    ("expired", "certificate has expired on"),
    ("for another name", "is for another address"),
    ("of an unknown authority", "is not the one that this station trusts"),
];

impl Site {
    fn new() -> anyhow::Result<Self> {
        let authority = Authority::new("a private authority")?;
        let files = Files { folder: TempDir::with_prefix("tide-certificate-")? };
        let pair = authority.pair_for("localhost")?;
        files.put(&pair.certificate_pem, &pair.key_pem)?;
        let [certificate, key] = [files.certificate(), files.key()].map(|path| path.display().to_string());
        let settings = [("ADMIN_PASS", PASSWORD), ("SSL_CERT_PATH", &certificate), ("SSL_KEY_PATH", &key)];
        let server = TestServer::start_with(&settings)?;
        let tls = raw::tls_config(authority.certificate_pem.as_bytes())?;
        Ok(Self { authority, files, server, tls })
    }

    /// A client that trusts the authority alone.
    fn client(&self) -> anyhow::Result<Client> {
        let trusted = reqwest::Certificate::from_pem(self.authority.certificate_pem.as_bytes())?;
        Ok(Client::builder().tls_certs_only([trusted]).timeout(Duration::from_secs(30)).build()?)
    }

    fn logged(&self, words: &str) -> usize {
        self.server.log().matches(words).count()
    }

    /// Puts files in place, asks for a reload, and waits until the log has the words once more.
    fn reload_with(&self, certificate_pem: &str, key_pem: &str, words: &str) -> anyhow::Result<()> {
        let before = self.logged(words);
        self.files.put(certificate_pem, key_pem)?;
        self.server.reload()?;
        until(&format!("the log says `{words}`"), || Ok(self.logged(words) > before))
    }

    /// The certificate that a new connection is shown.
    async fn shown(&self) -> anyhow::Result<Vec<u8>> {
        let opening = RawConnection::open(self.server.port(), Arc::clone(&self.tls)).await;
        let connection = opening.context("a new connection was broken, or not trusted")?;
        Ok(connection.certificate().context("the server shows no certificate")?.to_vec())
    }

    async fn swap_under_load(&self, swaps: u32) -> anyhow::Result<(String, u32)> {
        let token = self.server.add_station_token("pier-1")?;
        let load = Load::start(&self.client()?, &self.server.url(), "pier-1", &token, 1);
        let mut slowest = Duration::ZERO;
        let mut spanning = 0;
        let mut pair = self.authority.pair_for("localhost")?;
        for swap in 0..swaps {
            let photo = Upload::made_up("pier-1", SPANNING_NUMBERS + swap, 30_000)?;
            let connection = RawConnection::open(self.server.port(), Arc::clone(&self.tls)).await?;
            let upload = SpanningUpload::begin(connection, &photo, &token).await?;
            pair = self.authority.pair_for("localhost")?;
            slowest = slowest.max(self.swap(&pair).await?);
            upload.finish().await.with_context(|| format!("swap {swap}"))?;
            spanning += 1;
            load.expect_running()?;
        }
        let bad_pairs = self.put_bad_pairs(&pair, &load).await?;
        let during = load.stored();
        let (stored, refused) = load.stop().await?;
        ensure!(refused == 0, "{refused} uploads were refused for their token");
        ensure!(during >= swaps, "only {during} uploads during {swaps} swaps are no load");
        let seen = format!(
            "{swaps} swaps under {stored} uploads from 4 clients and {spanning} that began before a swap and ended after it, \
             none failed; the new certificate was shown after {} ms at most; {bad_pairs} bad pairs: the old one kept, an \
             alarm each",
            slowest.as_millis()
        );
        Ok((seen, stored + spanning))
    }

    /// Puts a good pair in place; how long it took until new connections were shown it.
    async fn swap(&self, pair: &Pair) -> anyhow::Result<Duration> {
        self.files.put(&pair.certificate_pem, &pair.key_pem)?;
        let asked = Instant::now();
        self.server.reload()?;
        while asked.elapsed() < Duration::from_secs(20) {
            if self.shown().await? == pair.certificate_der {
                return Ok(asked.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bail!("a new certificate was not taken up within 20 s; the log: {}", self.server.log())
    }

    /// Everything that can go wrong while an operator copies two files; how many that is. `good` is what is shown all the while.
    async fn put_bad_pairs(&self, good: &Pair, load: &Load) -> anyhow::Result<usize> {
        let next = self.authority.pair_for("localhost")?;
        let half = |pem: &str| pem[..pem.len() / 2].to_owned();
        let (certificate, key) = (&next.certificate_pem, &next.key_pem);
        let other_key = self.authority.pair_for("localhost")?.key_pem;
        let cases = [
            ("a half-written key", certificate.clone(), half(key)),
            ("an empty key", certificate.clone(), String::new()),
            ("a key of another certificate", certificate.clone(), other_key),
            ("the old certificate with the new key", good.certificate_pem.clone(), key.clone()),
            ("the new certificate with the old key", certificate.clone(), good.key_pem.clone()),
            ("a half-written certificate", half(certificate), key.clone()),
            ("an empty certificate", String::new(), key.clone()),
            ("key and certificate exchanged", key.clone(), certificate.clone()),
            ("no PEM at all", "<html>404</html>".to_owned(), "\0\0\0".to_owned()),
        ];
        for (what, certificate_pem, key_pem) in &cases {
            let stored = load.stored();
            self.reload_with(certificate_pem, key_pem, ALARM).with_context(|| (*what).to_owned())?;
            ensure!(self.shown().await? == good.certificate_der, "{what}: another certificate is shown");
            until("uploads go on", || load.expect_running().map(|()| load.stored() > stored + 4))
                .with_context(|| (*what).to_owned())?;
        }
        let before = self.logged(ALARM);
        fs::remove_file(self.files.key())?;
        self.server.reload()?;
        until("a missing key is noticed", || Ok(self.logged(ALARM) > before))?;
        ensure!(self.shown().await? == good.certificate_der, "no key: another certificate is shown");
        self.swap(&next).await.context("after the bad pairs")?;
        Ok(cases.len() + 1)
    }

    /// A real station meets certificates that it must not trust, keeps its photo, says why, and delivers after the repair.
    fn show_what_must_not_be_trusted(&self) -> anyhow::Result<String> {
        let stranger = Authority::new("another authority")?;
        let settings = self.server.add_station("pier-2")?;
        let mut station = TestStation::new(&settings)?.with("TIDE_CERTIFICATE", self.authority.certificate_pem.clone());
        for (what, why) in DISTRUSTED {
            let bad = match what {
                "expired" => self.authority.expired_pair_for("localhost")?,
                "for another name" => self.authority.pair_for("elsewhere.example.org")?,
                _ => stranger.pair_for("localhost")?,
            };
            self.reload_with(&bad.certificate_pem, &bad.key_pem, TAKEN)?;
            station.shoot(&[])?;
            let said_before = station.log().len();
            station.run()?;
            until(&format!("a station says why it refuses a certificate {what}"), || {
                Ok(station.log().get(said_before..).is_some_and(|said| said.contains(why)))
            })
            .with_context(|| format!("its log: {}", station.log()))?;
            ensure!(station.waiting()? == 1, "{what}: the photo is not in the spool any more");
            let good = self.authority.pair_for("localhost")?;
            self.reload_with(&good.certificate_pem, &good.key_pem, TAKEN)?;
            station.until_delivered().with_context(|| format!("{what}, after the repair"))?;
            station.stop()?;
        }
        Ok("a station refused a certificate that was expired, for another name, and of an unknown authority, said so, and \
            delivered after each repair"
            .to_owned())
    }

    /// Every other time the old token is revoked at once, and otherwise both are good for a while.
    async fn replace_tokens_under_load(&self, times: u32) -> anyhow::Result<(String, u32)> {
        let mut token = self.server.add_station_token("pier-3")?;
        let load = Load::start(&self.client()?, &self.server.url(), "pier-3", &token, TOKEN_NUMBERS);
        let some_more = |load: &Load| {
            let stored = load.stored();
            until("uploads go on", || load.expect_running().map(|()| load.stored() > stored + 8))
        };
        for _ in 0..times {
            some_more(&load)?;
            let refused = load.refused();
            let second = self.new_token(&[])?;
            some_more(&load)?;
            load.use_token(&second);
            some_more(&load)?;
            ensure!(load.refused() == refused, "an upload was refused though both tokens are good");
            let third = self.new_token(&["--only"])?;
            until("the revoked token is refused", || Ok(load.refused() > refused))?;
            load.use_token(&third);
            some_more(&load)?;
            for old in [&token, &second] {
                let photo = Upload::made_up("pier-3", TOKEN_NUMBERS - 1, 1_000)?;
                let answer = photo.request(&self.client()?, &self.server.url(), old).send().await?;
                ensure!(answer.status() == StatusCode::UNAUTHORIZED, "a revoked token: {}", answer.status());
            }
            let log = self.server.log();
            ensure!([&token, &second, &third].iter().all(|token| !log.contains(*token)), "a token is in the log");
            token = third;
        }
        let (stored, refused) = load.stop().await?;
        let seen = format!(
            "{times} times a token was added and then all but the newest revoked under {stored} uploads: {refused} offers were \
             refused meanwhile, and stored when repeated with the new token; the old tokens were refused"
        );
        Ok((seen, stored))
    }

    fn new_token(&self, options: &[&str]) -> anyhow::Result<String> {
        let printed = output(self.server.command()?.args(["station", "token", "pier-3"]).args(options))?;
        Ok(printed.trim().to_owned())
    }
}

/// An upload of which a half is sent before a swap, and a half after it.
struct SpanningUpload {
    connection: RawConnection,
    rest: Vec<u8>,
}

impl SpanningUpload {
    async fn begin(mut connection: RawConnection, photo: &Upload, token: &str) -> anyhow::Result<Self> {
        let form = raw::form(&[
            (&part(wire::MANIFEST_PART), photo.manifest.as_bytes()),
            (&part(wire::IMAGE_PART), &photo.image),
        ]);
        let mut request = format!(
            "PUT {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\
             Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n",
            wire::photo_path(&photo.digest),
            form.len()
        )
        .into_bytes();
        request.extend(form);
        let rest = request.split_off(request.len() / 2);
        connection.send(&request).await?;
        Ok(Self { connection, rest })
    }

    /// Sends the rest, and then another request over the same connection.
    async fn finish(mut self) -> anyhow::Result<()> {
        self.connection.send(&self.rest).await?;
        let answer = self.connection.answer().await?.context("the connection was broken in the middle of an upload")?;
        ensure!(answer.status == 201, "an upload across a swap: {answer:?}");
        self.connection.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        let answer = self.connection.answer().await?.context("the connection was broken after an upload")?;
        ensure!(answer.status == 200, "a second request across a swap: {answer:?}");
        Ok(())
    }
}
