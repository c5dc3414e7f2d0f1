//! Photos put to the server by hand, as a station puts them or as it never would.

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures_util::stream;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tide_photo::{Digest, wire};

use crate::{TestServer, TestStation};

/// A hand that puts photos to a server.
pub struct Hand {
    client: Client,
    base: String,
    token: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its JSON; null if it is none.
    pub body: Value,
}

impl Hand {
    /// A hand with a station's token.
    ///
    /// # Errors
    /// If the server's certificate cannot be read.
    pub fn new(server: &TestServer, token: &str) -> anyhow::Result<Self> {
        Ok(Self { client: server.client()?, base: server.url(), token: token.to_owned() })
    }

    /// Puts a manifest and an image under a digest.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn put(&self, digest: &str, manifest: String, image: Vec<u8>) -> anyhow::Result<Answer> {
        let image = Part::bytes(image).file_name("x.jpg");
        self.put_form(digest, Form::new().text(wire::MANIFEST_PART, manifest).part(wire::IMAGE_PART, image)).await
    }

    /// Puts any form under a digest.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn put_form(&self, digest: &str, form: Form) -> anyhow::Result<Answer> {
        Self::answer(self.request(digest).multipart(form)).await
    }

    /// Puts any body, said to be of a kind, under a digest.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn put_body(&self, digest: &str, kind: &str, body: Body) -> anyhow::Result<Answer> {
        Self::answer(self.request(digest).header("content-type", kind).body(body)).await
    }

    fn request(&self, digest: &str) -> RequestBuilder {
        self.client.put(format!("{}/api/v1/photos/{digest}", self.base)).bearer_auth(&self.token)
    }

    async fn answer(request: RequestBuilder) -> anyhow::Result<Answer> {
        let answer = request.send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        Ok(Answer { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
    }
}

/// A true manifest for an image.
pub fn manifest(station: &str, image: &[u8]) -> Value {
    json!({
        "version": 1,
        "station": station,
        "sequence": 1,
        "captured_at": "2026-05-31T18:00:00.250Z",
        "clock": {"source": "gps", "uncertainty_ms": 3},
        "digest": Digest::of(image).to_string(),
        "size_bytes": image.len(),
        "boot_id": "8f0c1f2e-2f8f-4a5b-9f0e-0d7c3d2b1a00",
        "monotonic_us": 1_000_000,
        "camera": "synthetic",
    })
}

/// A real JPEG from a real station's camera.
///
/// # Errors
/// If the camera fails.
pub fn jpeg() -> anyhow::Result<Vec<u8>> {
    let nowhere =
        "station = \"nowhere\"\n[server]\nurl = \"https://localhost:1\"\ntoken = \"x\"\ncertificate = \"x\"\n";
    let station = TestStation::new(nowhere)?;
    station.shoot(&[])?;
    let photo = station.files("jpg")?.pop().context("no photo was taken")?;
    Ok(std::fs::read(station.data().join("spool").join(photo))?)
}

/// The JPEG with a comment in front of everything else.
///
/// # Errors
/// If the comment is too long for one.
pub fn with_comment(jpeg: &[u8], comment: &[u8]) -> anyhow::Result<Vec<u8>> {
    let length = u16::try_from(comment.len() + 2).context("a comment has at most 65533 bytes")?.to_be_bytes();
    let (start, rest) = jpeg.split_at_checked(2).context("a JPEG begins with two bytes")?;
    Ok([start, &[0xFF, 0xFE], &length, comment, rest].concat())
}

/// Everything that can be too long in an upload, one after the other, each by so many mebibytes.
///
/// # Errors
/// If one is not refused as too large.
pub async fn refuse_bodies_of(mebibytes: usize, hand: &Hand) -> anyhow::Result<()> {
    let (digest, photo) = (Digest::of(b"x").to_string(), manifest("pier-3", b"x").to_string());
    let body = |opening| endless(opening, mebibytes);
    // With its length told and untold.
    let length = (mebibytes * 1_024 * 1_024 + ENDLESS_JPEG.len()) as u64;
    for part in [Part::stream_with_length(body(ENDLESS_JPEG), length), Part::stream(body(ENDLESS_JPEG))] {
        let form = Form::new().text("manifest", photo.clone()).part("image", part.file_name("x.jpg"));
        let answer = hand.put_form(&digest, form).await?;
        ensure!(answer.status == StatusCode::PAYLOAD_TOO_LARGE, "{answer:?}");
    }
    let answer = hand.put_form(&digest, Form::new().part("manifest", Part::stream(body(b"{")))).await?;
    ensure!(answer.status == StatusCode::PAYLOAD_TOO_LARGE, "{answer:?}");
    let endless_header = body(b"--b\r\nContent-Disposition: form-data; name=\"manifest\"; x=\"");
    let answer = hand.put_body(&digest, "multipart/form-data; boundary=b", endless_header).await?;
    ensure!(answer.status == StatusCode::PAYLOAD_TOO_LARGE, "{answer:?}");
    Ok(())
}

/// How a JPEG begins that goes on and on.
pub const ENDLESS_JPEG: &[u8] = &[0xFF, 0xD8, 0xFF, 0xC0, 0, 11, 8, 0, 9, 0, 9, 1, 1, 17, 0, 0xFF, 0xDA, 0, 2];

/// A body that begins somehow and goes on for so many mebibytes, its length untold.
pub fn endless(opening: &'static [u8], mebibytes: usize) -> Body {
    let filling = std::iter::repeat_n(Bytes::from(vec![b'x'; 1_024 * 1_024]), mebibytes);
    let pieces = std::iter::once(Bytes::from_static(opening)).chain(filling);
    Body::wrap_stream(stream::iter(pieces.map(Ok::<_, std::io::Error>)))
}
