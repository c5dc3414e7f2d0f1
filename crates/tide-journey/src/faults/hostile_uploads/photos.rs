//! Bytes that are no photo, or more than one thing at once, and words that are no words.

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use reqwest::Client;
use reqwest::multipart::{Form, Part};
use tide_photo::Digest;

use crate::hand::{Hand, manifest, with_comment};
use crate::programs::failure;
use crate::{Login, TestServer};

/// Requests at the same time, of those that are many.
const AT_ONCE: usize = 4;

/// What a browser would run if it took it for a page.
const SCRIPT: &str = "<script>alert(1)</script>";

/// A station's hands at both doors.
pub(super) struct Doors<'a> {
    pub(super) server: &'a TestServer,
    pub(super) hand: Hand,
    pub(super) client: Client,
    pub(super) station: &'static str,
    pub(super) token: String,
    pub(super) jpeg: Vec<u8>,
}

impl Doors<'_> {
    /// The status for an image at `PUT /api/v1/photos`, with a true manifest.
    async fn put(&self, image: &[u8]) -> anyhow::Result<u16> {
        let photo = manifest(self.station, image).to_string();
        Ok(self.hand.put(&Digest::of(image).to_string(), photo, image.to_vec()).await?.status.as_u16())
    }

    /// The status for an image at `POST /upload`.
    async fn upload(&self, image: &[u8], timestamp: &str, file_name: &str) -> anyhow::Result<u16> {
        let image = Part::bytes(image.to_vec()).file_name(file_name.to_owned());
        let form = Form::new().part("image", image).text("timestamp", timestamp.to_owned());
        let request = self.client.post(format!("{}/upload", self.server.url()));
        let answer = request.basic_auth("station", Some(&self.token)).multipart(form).send().await?;
        let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        ensure!(kind.starts_with("text/plain"), "the old door answers as {kind}");
        Ok(answer.status().as_u16())
    }

    /// The photo cut at `count` lengths, or at every one if it has no more, through both doors; how many that were.
    pub(super) async fn cut_everywhere(&self, count: usize, seed: u64) -> anyhow::Result<usize> {
        let mut lengths: Vec<usize> = (0..self.jpeg.len()).collect();
        lengths.shuffle(&mut StdRng::seed_from_u64(seed));
        lengths.truncate(count);
        let refuse = async |lengths: &[usize]| {
            for length in lengths {
                let cut = &self.jpeg[..*length];
                let statuses = [self.put(cut).await?, self.upload(cut, "2026-05-31T18:00:00Z", "x.jpg").await?];
                ensure!(statuses == [415, 415], "a JPEG cut after {length} bytes: {statuses:?}");
            }
            Ok(())
        };
        try_join_all(lengths.chunks(lengths.len().div_ceil(AT_ONCE).max(1)).map(refuse)).await?;
        Ok(lengths.len())
    }

    /// What is no JPEG, or not only one; how many there are.
    pub(super) async fn offer_what_is_no_photo(&self, seed: u64) -> anyhow::Result<usize> {
        let jpeg = self.jpeg.as_slice();
        let sized = |width: u16, height: u16| {
            let (width, height) = (width.to_be_bytes(), height.to_be_bytes());
            let frame = [0xFF, 0xC0, 0, 11, 8, height[0], height[1], width[0], width[1], 1, 1, 0x11, 0];
            [&[0xFF, 0xD8], frame.as_slice(), &[0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 1, 2, 3, 0xFF, 0xD9]].concat()
        };
        let mut random = StdRng::seed_from_u64(seed);
        let noise: Vec<u8> = (0..5_000).map(|_| random.random()).collect();
        let cases: [(&str, Vec<u8>); 18] = [
            ("nothing", Vec::new()),
            ("HTML", format!("<!doctype html><html><body>{SCRIPT}</body></html>").into_bytes()),
            ("SVG with script", format!("<svg xmlns=\"http://www.w3.org/2000/svg\">{SCRIPT}</svg>").into_bytes()),
            ("a GIF that is JavaScript", b"GIF89a=1;alert(1);//".to_vec()),
            ("a GIF in front of a JPEG", [b"GIF89a/*", jpeg, b"*/=1"].concat()),
            ("HTML in front of a JPEG", [SCRIPT.as_bytes(), jpeg].concat()),
            ("a JPEG with HTML behind it", [jpeg, SCRIPT.as_bytes()].concat()),
            ("a JPEG with an archive behind it", [jpeg, b"PK\x03\x04"].concat()),
            ("a JPEG with one byte behind it", [jpeg, b"\0"].concat()),
            ("two JPEGs", [jpeg, jpeg].concat()),
            ("a PNG", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0\0\0\x01\0\x08\x02\0\0\0".to_vec()),
            ("a PDF", b"%PDF-1.7\n%%EOF".to_vec()),
            ("noise", noise),
            ("beginning and end alone", vec![0xFF, 0xD8, 0xFF, 0xD9]),
            ("65535 by 65535 pixels", sized(65_535, 65_535)),
            ("no pixels", sized(0, 0)),
            ("no rows", sized(640, 0)),
            ("a comment longer than the file", [&[0xFF, 0xD8, 0xFF, 0xFE, 0xFF, 0xFF], SCRIPT.as_bytes()].concat()),
        ];
        for (what, image) in &cases {
            let statuses = [self.put(image).await?, self.upload(image, "2026-05-31T18:00:00Z", "x.jpg").await?];
            ensure!(statuses == [415, 415], "{what}: {statuses:?}");
        }
        Ok(cases.len())
    }

    /// Photos that are something else too are photos, and served as nothing else; how many were stored.
    pub(super) async fn offer_polyglots(&self, login: &Login) -> anyhow::Result<usize> {
        let comments = [
            format!("<!doctype html><html><body>{SCRIPT}</body></html>"),
            "*/=alert(1);/*".to_owned(),
            "GIF89a=1;alert(1);//".to_owned(),
            "<?php system($_GET[0]); ?>".to_owned(),
        ];
        for comment in &comments {
            let polyglot = with_comment(&self.jpeg, comment.as_bytes())?;
            let status = self.put(&polyglot).await?;
            ensure!(status == 201, "a photo with the comment {comment}: {status}");
            let photos = login.photos().await?;
            let digest = Digest::of(&polyglot).to_string();
            let photo = photos.iter().find(|photo| photo["digest"] == digest).context("a stored photo is listed")?;
            let name = photo["filename"].as_str().unwrap_or_default();
            for path in [format!("/uploads/{name}"), format!("/thumbnails/{}", photo["id"])] {
                let answer = login.get(&path).await?.error_for_status()?;
                let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
                let served = (header("content-type"), header("x-content-type-options"));
                ensure!(served == (Some("image/jpeg"), Some("nosniff")), "{path} is served as {served:?}");
            }
        }
        Ok(comments.len())
    }

    /// Script wherever a text may stand: refused, or kept and shown as text; how many photos were stored.
    pub(super) async fn write_scripts(&self, login: &Login) -> anyhow::Result<usize> {
        let said = failure(self.server.command()?.args(["station", "add", SCRIPT]))?;
        ensure!(said.contains("station name"), "{said}");
        let digest = Digest::of(&self.jpeg).to_string();
        let fields = [
            "/station",
            "/captured_at",
            "/clock/source",
            "/clock/uncertainty_ms",
            "/digest",
            "/size_bytes",
            "/version",
            "/sequence",
            "/monotonic_us",
        ];
        for field in fields {
            let mut json = manifest(self.station, &self.jpeg);
            *json.pointer_mut(field).context("a manifest has this field")? = SCRIPT.into();
            let answer = self.hand.put(&digest, json.to_string(), self.jpeg.clone()).await?;
            ensure!(answer.status == 422, "script as {field}: {answer:?}");
        }
        // Any printable text is a boot's or a camera's name.
        let image = with_comment(&self.jpeg, b"words")?;
        let mut json = manifest(self.station, &image);
        for field in ["boot_id", "camera"] {
            json[field] = SCRIPT.into();
        }
        let part = Part::bytes(image.clone()).file_name(format!("\"><img src=x onerror=alert(1)>{SCRIPT}"));
        let form = Form::new().text("manifest", json.to_string()).part("image", part);
        let answer = self.hand.put_form(&Digest::of(&image).to_string(), form).await?;
        ensure!(answer.status == 201, "script as a camera's name: {answer:?}");

        let stamps =
            [SCRIPT, "\"><img src=x onerror=alert(1)>", "2026-05-31T18:00:00Z<script>", "\u{202e}\u{0}'--", ""];
        for (number, stamp) in stamps.iter().enumerate() {
            let image = with_comment(&self.jpeg, format!("stamp {number}").as_bytes())?;
            let status = self.upload(&image, stamp, &format!("../../{SCRIPT}.html")).await?;
            ensure!(status == 200, "the timestamp {stamp:?}: {status}");
        }
        let mut pages = vec!["/gallery".to_owned()];
        pages.extend(login.photos().await?.iter().map(|photo| format!("/photo/{}", photo["id"])));
        for page in pages {
            let answer = login.get(&page).await?.error_for_status()?;
            let text = answer.text().await?;
            ensure!(
                !text.contains("<script") && !text.contains("<img src=x"),
                "{page} has the words as they came: {text}"
            );
        }
        let list = login.get("/photos").await?;
        let kind = list.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        ensure!(kind == "application/json", "the list is served as {kind}");
        Ok(1 + stamps.len())
    }
}
