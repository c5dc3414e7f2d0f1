//! Photos put to the server by hand, as a station puts them or as it never would.

use anyhow::Context;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tide_journey::{TestServer, TestStation};
use tide_photo::{Digest, wire};

/// A hand that puts photos to a server.
pub(crate) struct Hand {
    client: Client,
    base: String,
    token: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Hand {
    pub(crate) fn new(server: &TestServer, token: &str) -> anyhow::Result<Self> {
        Ok(Self { client: server.client()?, base: server.url(), token: token.to_owned() })
    }

    /// Puts a manifest and an image under a digest.
    pub(crate) async fn put(&self, digest: &str, manifest: String, image: Vec<u8>) -> anyhow::Result<Answer> {
        let image = Part::bytes(image).file_name("x.jpg");
        self.put_form(digest, Form::new().text(wire::MANIFEST_PART, manifest).part(wire::IMAGE_PART, image)).await
    }

    pub(crate) async fn put_form(&self, digest: &str, form: Form) -> anyhow::Result<Answer> {
        Self::answer(self.request(digest).multipart(form)).await
    }

    pub(crate) async fn put_body(&self, digest: &str, kind: &str, body: Body) -> anyhow::Result<Answer> {
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
pub(crate) fn manifest(station: &str, image: &[u8]) -> Value {
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
pub(crate) fn jpeg() -> anyhow::Result<Vec<u8>> {
    let nowhere =
        "station = \"nowhere\"\n[server]\nurl = \"https://localhost:1\"\ntoken = \"x\"\ncertificate = \"x\"\n";
    let station = TestStation::new(nowhere)?;
    station.shoot(&[])?;
    let photo = station.files("jpg")?.pop().context("no photo was taken")?;
    Ok(std::fs::read(station.data().join("spool").join(photo))?)
}
