//! Photos made up for load and fault tests, and how a station's client sends one: without a station, so that many fit on one
//! machine.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder};
use tide_photo::{Digest, wire};

/// A photo with what is said about it.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The photo: a JPEG in structure.
    pub image: Bytes,
    /// Its digest.
    pub digest: Digest,
    /// Its manifest, as JSON.
    pub manifest: String,
}

impl Upload {
    /// Photo `number` of a station, of about `size` bytes, unlike any other number's. One is taken each second.
    ///
    /// # Errors
    /// If the number is beyond what the calendar can hold.
    pub fn made_up(station: &str, number: u32, size: usize) -> anyhow::Result<Self> {
        Self::of(station, number, jpeg(size, u64::from(number)))
    }

    /// Photo `number` of a station, with these bytes.
    ///
    /// # Errors
    /// If the number is beyond what the calendar can hold.
    pub fn of(station: &str, number: u32, image: Vec<u8>) -> anyhow::Result<Self> {
        let digest = Digest::of(&image);
        // 2026-05-31T00:00:00Z
        let micros = (1_780_185_600 + i64::from(number)) * 1_000_000;
        let captured_at = tide_photo::CapturedAt::from_micros(micros).context("the number is too large")?;
        let manifest = serde_json::json!({
            "version": 1, "station": station, "sequence": number, "captured_at": captured_at.to_string(),
            "clock": {"source": "gps", "uncertainty_ms": 3}, "digest": digest.to_string(), "size_bytes": image.len(),
            "boot_id": "test", "monotonic_us": 0, "camera": "synthetic",
        });
        Ok(Self { image: image.into(), digest, manifest: manifest.to_string() })
    }

    /// The request that offers it to the server at `base`.
    pub fn request(&self, client: &Client, base: &str, token: &str) -> RequestBuilder {
        let length = self.image.len() as u64;
        let image = Part::stream_with_length(self.image.clone(), length).file_name("x.jpg");
        let form = Form::new().text(wire::MANIFEST_PART, self.manifest.clone()).part(wire::IMAGE_PART, image);
        client.put(format!("{base}{}", wire::photo_path(&self.digest))).bearer_auth(token).multipart(form)
    }
}

/// A JPEG in structure, of about this size, unlike any other seed's: comments in front of a small picture.
pub fn jpeg(size: usize, seed: u64) -> Vec<u8> {
    let mut jpeg = vec![0xFF, 0xD8];
    let mut state = seed + 1;
    while jpeg.len() + 65_000 < size {
        jpeg.extend([0xFF, 0xFE, 0xFD, 0xE8]);
        jpeg.extend(noise(&mut state, 64_998));
    }
    jpeg.extend([0xFF, 0xC0, 0, 11, 8, 0, 1, 0, 2, 1, 1, 0x11, 0]);
    jpeg.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0]);
    jpeg.extend(noise(&mut state, size.saturating_sub(jpeg.len() + 2)).map(|byte| byte & 0x7F));
    jpeg.extend([0xFF, 0xD9]);
    jpeg
}

/// Xorshift64 (Marsaglia, 2003), eight bytes at a time: bytes that no disk or link can make smaller.
fn noise(state: &mut u64, length: usize) -> impl Iterator<Item = u8> {
    let words = (0..length.div_ceil(8)).map(|_| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(length)
}

/// The wait, in milliseconds, that so many of a hundred do not exceed.
pub fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default().as_secs_f64() * 1_000.0
}
