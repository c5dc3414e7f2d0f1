//! Thumbnails of photos as a 12 megapixel camera takes them.

use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use reqwest::StatusCode;
use tide_journey::programs::until;
use tide_journey::server::files_below;
use tide_journey::{TestServer, Upload};
use tokio::runtime::Runtime;

use crate::{Kept, mib};

/// Width and height, in pixels: the Raspberry Pi's HQ camera.
const SIZE_PX: (u32, u32) = (4_056, 3_040);

/// Photos measured.
const PHOTOS: u32 = 60;

/// Prints what was seen.
pub(crate) fn measure(runtime: &Runtime, kept: &mut Kept) -> anyhow::Result<()> {
    println!("\nThumbnails");
    let picture = picture()?;
    let mut server = TestServer::start()?;
    let token = server.add_station_token("bench")?;
    runtime.block_on(async {
        let client = server.client()?;
        for number in 0..PHOTOS {
            // A comment makes each another photo.
            let comment = [&[0xFF, 0xFE, 0, 6], number.to_be_bytes().as_slice()].concat();
            let image = [&picture[..2], &comment, &picture[2..]].concat();
            let photo = Upload::of("bench", number, image)?;
            let answer = photo.request(&client, &server.url(), &token).send().await?;
            ensure!(answer.status() == StatusCode::CREATED, "the server answered {}", answer.status());
        }
        anyhow::Ok(())
    })?;
    let folder = server.data().join("thumbnails");
    until("all thumbnails are made", || Ok(files_below(&folder)?.len() == PHOTOS as usize))?;
    server.stop()?;
    // Again, with nothing else to do, as people look at them.
    fs::remove_dir_all(&folder)?;
    server.restart()?;
    let cpu_ms = runtime.block_on(async {
        let login = server.log_in().await?;
        let before = server.cpu_ms()?;
        for id in 1..=PHOTOS {
            let answer = login.get(&format!("/thumbnails/{id}")).await?;
            ensure!(answer.status() == StatusCode::OK, "the server answered {}", answer.status());
            answer.bytes().await.context("the thumbnail was cut off")?;
        }
        Ok(server.cpu_ms()? - before)
    })?;
    let each = Duration::from_millis(cpu_ms) / PHOTOS;
    println!(
        "{:.1} MP, {:.1} MB: {:.1} ms CPU each, {:.1} per second and core, peak memory {:.1} MiB",
        f64::from(SIZE_PX.0 * SIZE_PX.1) / 1e6,
        picture.len() as f64 / 1e6,
        crate::ms(each),
        1.0 / each.as_secs_f64(),
        mib(server.peak_memory_kib()?)
    );
    server.stop()?;
    kept.servers.push(server);
    Ok(())
}

/// Waves with a sensor's noise, which is what takes a JPEG's bytes.
fn picture() -> anyhow::Result<Vec<u8>> {
    let mut state = 1_u32;
    let picture = RgbImage::from_fn(SIZE_PX.0, SIZE_PX.1, |x, y| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let wave = (x % 180).abs_diff(90) + (y % 80).abs_diff(40);
        let noise = state >> 27;
        Rgb([60, 65, 70].map(|colour| u8::try_from(colour + wave + noise).unwrap_or(u8::MAX)))
    });
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 85).encode_image(&picture)?;
    Ok(jpeg)
}
