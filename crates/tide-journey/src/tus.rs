//! Uploads that resume (tus 1.0), by hand.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use reqwest::{Client, Method, Response};
use serde_json::Value;
use tide_photo::{Digest, wire};

use crate::TestServer;
use crate::raw::{RawConnection, tls_config};
use crate::upload::Upload;

/// A hand with a station's token.
pub struct TusHand {
    client: Client,
    base: String,
    token: String,
    port: u16,
    certificate: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct TusAnswer {
    /// Its status.
    pub status: u16,
    /// Its headers, under names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its JSON; null if it is none.
    pub body: Value,
}

impl TusAnswer {
    async fn of(answer: Response) -> anyhow::Result<Self> {
        let status = answer.status().as_u16();
        let text = |value: &reqwest::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let headers = answer.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        Ok(Self { status, headers, body: serde_json::from_slice(&answer.bytes().await?).unwrap_or(Value::Null) })
    }

    /// A header's value, empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Where the upload stands; `None` if the answer does not say.
    pub fn offset(&self) -> Option<usize> {
        self.header("upload-offset").parse().ok()
    }
}

impl TusHand {
    /// A hand for a server.
    ///
    /// # Errors
    /// If the server's certificate cannot be read.
    pub fn new(server: &TestServer, token: &str) -> anyhow::Result<Self> {
        let certificate = std::fs::read(server.certificate())?;
        // A new connection each time: journeys restart the server.
        let client = server.client_builder()?.pool_max_idle_per_host(0).build()?;
        let (base, port) = (server.url(), server.port());
        Ok(Self { client, base, token: token.to_owned(), port, certificate })
    }

    /// Sends any request with these headers beside token and version; an empty value takes one of those away.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> anyhow::Result<TusAnswer> {
        let bearer = format!("Bearer {}", self.token);
        let mut all = BTreeMap::from([("authorization", bearer.as_str()), ("tus-resumable", "1.0.0")]);
        all.extend(headers.iter().copied());
        let request = self.client.request(Method::from_bytes(method.as_bytes())?, format!("{}{path}", self.base));
        let request = all
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .fold(request, |request, (name, value)| request.header(name, value));
        TusAnswer::of(request.body(body).send().await?).await
    }

    /// Creates an upload; its address.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn create(&self, upload: &Upload) -> anyhow::Result<String> {
        let (length, metadata) = (upload.image.len().to_string(), metadata(&upload.manifest));
        let headers = [("upload-length", length.as_str()), ("upload-metadata", &metadata)];
        let answer = self.send("POST", wire::UPLOADS_PATH, &headers, Vec::new()).await?;
        ensure!(answer.status == 201 && answer.header("upload-expires").ends_with(" GMT"), "{answer:?}");
        Ok(answer.header("location").to_owned())
    }

    /// Asks where an upload stands.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn head(&self, address: &str) -> anyhow::Result<TusAnswer> {
        self.send("HEAD", address, &[], Vec::new()).await
    }

    /// Sends bytes that go on at `offset`.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn patch(&self, address: &str, offset: usize, bytes: &[u8]) -> anyhow::Result<TusAnswer> {
        self.patch_with(address, offset, bytes, &[]).await
    }

    /// The same with further headers.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn patch_with(
        &self,
        address: &str,
        offset: usize,
        bytes: &[u8],
        headers: &[(&str, &str)],
    ) -> anyhow::Result<TusAnswer> {
        let offset = offset.to_string();
        let own = [("content-type", "application/offset+octet-stream"), ("upload-offset", offset.as_str())];
        self.send("PATCH", address, &[&own, headers].concat(), bytes.to_vec()).await
    }

    /// Begins to send all bytes from `offset` on, over a connection of its own, but stops before byte `until`.
    ///
    /// # Errors
    /// If there is no connection.
    pub async fn begin_patch(
        &self,
        address: &str,
        image: &[u8],
        offset: usize,
        until: usize,
        headers: &str,
    ) -> anyhow::Result<RawConnection> {
        let mut connection = RawConnection::open(self.port, tls_config(&self.certificate)?).await?;
        let head = format!(
            "PATCH {address} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ntus-resumable: 1.0.0\r\n\
             content-type: application/offset+octet-stream\r\nupload-offset: {offset}\r\ncontent-length: {}\r\n{headers}\r\n",
            self.token,
            image.len() - offset
        );
        connection.send(head.as_bytes()).await?;
        connection.send(image.get(offset..until).context("no such bytes")?).await?;
        Ok(connection)
    }

    /// The status of the question whether the server holds this photo, and its answer.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn receipt(&self, digest: &Digest) -> anyhow::Result<(u16, Value)> {
        let answer = self.send("GET", &wire::receipt_path(digest), &[("tus-resumable", "")], Vec::new()).await?;
        Ok((answer.status, answer.body))
    }
}

/// The header that brings a manifest.
pub fn metadata(manifest: &str) -> String {
    format!("{} {}", wire::MANIFEST_METADATA, base64(manifest.as_bytes()))
}

/// RFC 4648, section 4.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = three.iter().chain(&[0, 0]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        let digit = |place: usize| char::from(DIGITS[bits >> (18 - 6 * place) & 63]);
        (0..4).map(move |place| if place <= three.len() { digit(place) } else { '=' }).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}
