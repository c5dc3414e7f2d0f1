//! The link against a small server on loopback that knows PUT, and tus if it is told to.

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tide_photo::{ClockQuality, ClockSource, Digest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::shot::example;

/// What the server does otherwise than usual, once, when a request of this method comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mishap {
    /// It hangs up after so many bytes of the body, which it keeps.
    CutAfter(usize),
    /// It does all that was asked, and hangs up before it answers.
    LoseAnswer,
    /// It answers with this status, and this word.
    Say(u16, &'static str),
}

/// A server of one photo.
#[derive(Default)]
struct FakeServer {
    knows_tus: bool,
    mishaps: VecDeque<(&'static str, Mishap)>,
    /// Number and bytes of the upload, if there is one.
    upload: Option<(u32, Vec<u8>)>,
    created: u32,
    /// What the upload was created with.
    manifest: Option<Manifest>,
    held: Option<Vec<u8>>,
    /// Method and path of each request.
    asked: Vec<String>,
    connections: usize,
    image_bytes: usize,
}

struct Request {
    method: String,
    path: String,
    headers: String,
    body: Vec<u8>,
    is_whole: bool,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        let line = self.headers.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:")))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }
}

impl FakeServer {
    fn answer(&mut self, request: &Request, digest: &Digest) -> (u16, String, String) {
        let path = request.path.as_str();
        let is_upload = self.upload.as_ref().is_some_and(|(id, _)| path == format!("{}/{id}", wire::UPLOADS_PATH));
        match request.method.as_str() {
            "GET" if self.held.is_some() => (200, String::new(), receipt(digest, "already_held")),
            "PUT" if request.is_whole => {
                self.held = Some(image_in(&request.body));
                (201, String::new(), receipt(digest, "stored"))
            }
            "POST" if self.knows_tus => {
                let metadata = request.header("upload-metadata").unwrap().strip_prefix("manifest ").unwrap();
                self.manifest = Some(Manifest::from_json(&STANDARD.decode(metadata).unwrap()).unwrap());
                self.created += 1;
                self.upload = Some((self.created, Vec::new()));
                let address = format!("location: https://elsewhere.example{}/{}\r\n", wire::UPLOADS_PATH, self.created);
                (201, address, String::new())
            }
            "HEAD" if is_upload => (200, self.offset(), String::new()),
            "PATCH" if is_upload => {
                let (_, bytes) = self.upload.as_mut().unwrap();
                if request.header("upload-offset").unwrap() != bytes.len().to_string() {
                    return (409, String::new(), refusal("other_offset"));
                }
                bytes.extend_from_slice(&request.body);
                let answer = (204, self.offset(), String::new());
                let (_, bytes) = self.upload.as_ref().unwrap();
                if Digest::of(bytes) == *digest {
                    self.held = self.upload.take().map(|(_, bytes)| bytes);
                }
                answer
            }
            _ => (404, String::new(), refusal("not_here")),
        }
    }

    fn offset(&self) -> String {
        let length = self.upload.as_ref().map_or(0, |(_, bytes)| bytes.len());
        format!("upload-offset: {length}\r\n")
    }

    fn mishap(&mut self, method: &str) -> Option<Mishap> {
        let is_next = self.mishaps.front().is_some_and(|(next, _)| *next == method);
        is_next.then(|| self.mishaps.pop_front()).flatten().map(|(_, mishap)| mishap)
    }
}

fn refusal(word: &str) -> String {
    format!(r#"{{"error":"{word}","message":"as the test wants"}}"#)
}

/// The last part of a form.
fn image_in(form: &[u8]) -> Vec<u8> {
    let ends = |mark: &[u8]| form.windows(mark.len()).rposition(|bytes| bytes == mark).unwrap();
    form[ends(b"image/jpeg\r\n\r\n") + 14..ends(b"\r\n--")].to_vec()
}

fn receipt(digest: &Digest, holding: &str) -> String {
    let receipt = serde_json::json!({
        "digest": digest, "station": "pier-3", "id": 7, "holding": holding, "received_at": "2026-05-31T18:00:00Z",
    });
    receipt.to_string()
}

async fn serve(listener: TcpListener, server: Arc<Mutex<FakeServer>>, digest: Digest) {
    while let Ok((stream, _)) = listener.accept().await {
        server.lock().unwrap().connections += 1;
        let server = Arc::clone(&server);
        tokio::spawn(async move { drop(converse(stream, &server, &digest).await) });
    }
}

/// Answers the requests of one connection until one end has had enough.
async fn converse(mut stream: TcpStream, server: &Mutex<FakeServer>, digest: &Digest) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        let end = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        let headers = String::from_utf8(bytes.drain(..end).collect()).unwrap();
        let mut first = headers.split(' ').map(str::to_owned);
        let (method, path) = (first.next().unwrap(), first.next().unwrap());
        let mut request = Request { method, path, headers, body: Vec::new(), is_whole: true };
        assert_eq!(request.header("authorization"), Some("Bearer tide_secret"));
        let mishap = server.lock().unwrap().mishap(&request.method);
        let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
        let wanted = if let Some(Mishap::CutAfter(cut)) = mishap { cut.min(length) } else { length };
        while bytes.len() < wanted {
            if stream.read_buf(&mut bytes).await? == 0 {
                break;
            }
        }
        request.body = bytes.drain(..wanted.min(bytes.len())).collect();
        request.is_whole = request.body.len() == length;
        let (status, more, body) = {
            let mut server = server.lock().unwrap();
            server.asked.push(request.method.clone());
            server.image_bytes += request.body.len();
            match mishap {
                Some(Mishap::Say(status, word)) => (status, String::new(), refusal(word)),
                _ => server.answer(&request, digest),
            }
        };
        if let Some(Mishap::CutAfter(_) | Mishap::LoseAnswer) = mishap {
            return Ok(());
        }
        let length = if request.method == "HEAD" || status == 204 { 0 } else { body.len() };
        let answer = format!("HTTP/1.1 {status} Status\r\ncontent-length: {length}\r\n{more}\r\n");
        stream.write_all(answer.as_bytes()).await?;
        stream.write_all(&body.as_bytes()[..length]).await?;
    }
}

/// A station's link to a server of its own, and one photo.
struct Bench {
    server: Arc<Mutex<FakeServer>>,
    link: ServerLink,
    shot: Shot,
    serving: JoinHandle<()>,
}

impl Bench {
    async fn new(size_bytes: usize, knows_tus: bool, mishaps: &[(&'static str, Mishap)]) -> Self {
        let shot = example(7, &"water".repeat(size_bytes / 5));
        let server = FakeServer { knows_tus, mishaps: mishaps.iter().copied().collect(), ..FakeServer::default() };
        let server = Arc::new(Mutex::new(server));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let serving = tokio::spawn(serve(listener, Arc::clone(&server), shot.manifest.digest));
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let token = serde_json::from_str("\"tide_secret\"").unwrap();
        Self { server, link: ServerLink::over(client, base, token, &Upload::default()), shot, serving }
    }

    async fn offer(&self) -> Offer {
        self.link.offer(self.shot.clone()).await
    }

    async fn expect_held(&self) {
        let offer = self.offer().await;
        assert!(matches!(offer, Offer::Held(_)), "{offer:?}");
        assert!(self.server.lock().unwrap().held.as_ref() == Some(&self.shot.jpeg), "the server has other bytes");
    }

    async fn expect_cut_off(&self) {
        let offer = self.offer().await;
        assert!(matches!(offer, Offer::CutOff { .. }), "{offer:?}");
    }

    /// What was asked since the last time.
    fn asked(&self) -> String {
        self.server.lock().unwrap().asked.drain(..).collect::<Vec<_>>().join(" ")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

const SMALL: usize = 50_000;
const MEDIUM: usize = 300_000;
const LARGE: usize = 2_000_000;

#[tokio::test]
async fn a_small_photo_goes_in_one_request_and_keeps_its_connection() {
    let bench = Bench::new(SMALL, true, &[]).await;
    for _ in 0..5 {
        assert!(matches!(bench.offer().await, Offer::Held(_)));
    }
    assert_eq!(bench.asked(), "PUT PUT PUT PUT PUT");
    assert_eq!(bench.server.lock().unwrap().connections, 1);
}

#[tokio::test]
async fn a_large_photo_is_resumed_where_it_was_cut_off() {
    let cuts =
        [("PATCH", Mishap::CutAfter(700_001)), ("PATCH", Mishap::CutAfter(900_000)), ("HEAD", Mishap::LoseAnswer)];
    let bench = Bench::new(LARGE, true, &cuts).await;
    bench.expect_cut_off().await;
    bench.expect_cut_off().await;
    bench.expect_cut_off().await;
    bench.expect_held().await;
    assert_eq!(bench.asked(), "GET POST PATCH GET HEAD PATCH GET HEAD GET HEAD PATCH GET");
    assert_eq!(bench.server.lock().unwrap().image_bytes, LARGE, "no byte was received twice");
}

#[tokio::test]
async fn a_lost_answer_is_found_by_its_receipt() {
    let bench = Bench::new(LARGE, true, &[("PATCH", Mishap::LoseAnswer)]).await;
    bench.expect_cut_off().await;
    bench.expect_held().await;
    assert_eq!(bench.asked(), "GET POST PATCH GET");
}

#[tokio::test]
async fn an_upload_that_the_server_has_forgotten_is_created_anew() {
    let bench = Bench::new(LARGE, true, &[("PATCH", Mishap::CutAfter(500_000))]).await;
    bench.expect_cut_off().await;
    bench.server.lock().unwrap().upload = None;
    bench.expect_held().await;
    assert_eq!(bench.asked(), "GET POST PATCH GET HEAD POST PATCH GET");
}

#[tokio::test]
async fn an_upload_with_a_manifest_that_was_amended_since_is_created_anew() {
    let mut bench = Bench::new(LARGE, true, &[("PATCH", Mishap::CutAfter(500_000))]).await;
    bench.expect_cut_off().await;
    bench.shot.manifest.clock = ClockQuality::synchronised(ClockSource::Ntp, 7).unwrap();
    bench.expect_held().await;
    assert_eq!(bench.asked(), "GET POST PATCH GET POST PATCH GET");
    assert_eq!(bench.server.lock().unwrap().manifest.as_ref(), Some(&bench.shot.manifest));
}

#[tokio::test]
async fn when_they_disagree_how_far_it_has_come_the_server_is_asked() {
    let bench =
        Bench::new(LARGE, true, &[("PATCH", Mishap::CutAfter(500_000)), ("PATCH", Mishap::Say(409, "other_offset"))]);
    let bench = bench.await;
    bench.expect_cut_off().await;
    bench.expect_held().await;
    assert_eq!(bench.asked(), "GET POST PATCH GET HEAD PATCH HEAD PATCH GET");
}

#[tokio::test]
async fn a_server_without_tus_gets_the_photo_in_one_request() {
    let bench = Bench::new(LARGE, false, &[]).await;
    bench.expect_held().await;
    assert_eq!(bench.asked(), "GET POST PUT");
}

#[tokio::test]
async fn a_photo_that_was_cut_off_goes_resumably_if_it_is_worth_it() {
    let bench =
        Bench::new(MEDIUM, true, &[("PUT", Mishap::CutAfter(200_000)), ("PATCH", Mishap::CutAfter(100_000))]).await;
    bench.expect_cut_off().await;
    bench.expect_cut_off().await;
    bench.expect_held().await;
    assert_eq!(bench.asked(), "PUT GET POST PATCH GET HEAD PATCH GET");
    let bench = Bench::new(SMALL, true, &[("PUT", Mishap::CutAfter(20_000))]).await;
    bench.expect_cut_off().await;
    bench.expect_held().await;
    assert_eq!(bench.asked(), "PUT PUT");
}

#[tokio::test]
async fn what_the_server_says_of_the_photo_at_the_end_of_an_upload_is_final() {
    for (status, word) in [(409, "other_bytes"), (415, "not_a_jpeg"), (422, "bad_manifest")] {
        let bench = Bench::new(LARGE, true, &[("PATCH", Mishap::Say(status, word))]).await;
        assert!(matches!(bench.offer().await, Offer::Refused { .. }), "{status}");
    }
    for method in ["GET", "POST", "PATCH"] {
        let bench = Bench::new(LARGE, true, &[(method, Mishap::Say(401, "no_token"))]).await;
        assert!(matches!(bench.offer().await, Offer::Distrusted { .. }), "{method}");
        let bench = Bench::new(LARGE, true, &[(method, Mishap::Say(503, "busy"))]).await;
        assert!(matches!(bench.offer().await, Offer::Busy { .. }), "{method}");
        bench.expect_held().await;
    }
}
