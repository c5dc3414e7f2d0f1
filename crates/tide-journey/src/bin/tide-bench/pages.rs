//! Pages at any size of the catalog. Its rows are recorded by the server's own writer, and every row has a file.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::StreamExt;
use tide_journey::upload::percentile;
use tide_journey::{Login, TestServer};
use tide_photo::{CapturedAt, ClockQuality, ClockSource, Digest};
use tide_server::catalog::{Catalog, NewPhoto, Origin, PhotoWriter, Station};
use tokio::runtime::Runtime;

use crate::{Kept, mib, ms};

/// Requests of each page; the median is shown.
const REQUESTS: usize = 60;

/// Names that one file's bytes may have: ext4 allows 65,000.
const NAMES_PER_FILE: u32 = 60_000;

/// Prints a table.
pub(crate) fn measure(runtime: &Runtime, most: u32, kept: &mut Kept) -> anyhow::Result<()> {
    println!("\nPages; median of {REQUESTS} requests over one connection.");
    println!(
        "  photos  first answer ms  gallery ms  gallery KB  middle ms  /photos first byte ms  /photos MB/s  grew MiB  \
         idle MiB"
    );
    for photos in [100, 10_000, 1_000_000].map(|photos| most.min(photos)) {
        let mut server = TestServer::start()?;
        server.add_station_token("bench")?;
        server.stop()?;
        runtime.block_on(fill(&server, photos))?;
        let first_answer = first_answer(runtime, &mut server)?;
        let idle = server.memory_kib()?;
        let seen = runtime.block_on(look(&server, photos))?;
        println!(
            "{photos:>8} {:>16.1} {:>11.2} {:>11.1} {:>10.2} {:>22.1} {:>13.1} {:>9.2} {:>9.1}",
            ms(first_answer),
            seen.gallery_ms,
            seen.gallery_bytes as f64 / 1_000.0,
            seen.middle_ms,
            ms(seen.list_first_byte),
            seen.list_mb_per_s,
            mib(seen.list_growth_kib),
            mib(idle),
        );
        server.stop()?;
        kept.servers.push(server);
    }
    Ok(())
}

/// Records photos of a station that takes one every 30 seconds.
async fn fill(server: &TestServer, photos: u32) -> anyhow::Result<()> {
    let catalog = Catalog::open(&server.data().join("catalog/tide.db")).await?;
    let station = catalog.stations().await?.into_iter().next().context("the station is there")?;
    let writer = PhotoWriter::start(&catalog);
    let bytes = tide_journey::upload::jpeg(1_000, 0);
    let mut file = server.data().join("photos/bench/first.jpg");
    for from in (0..photos).step_by(1_024) {
        let recorded = (from..photos.min(from + 1_024)).map(|number| {
            let (photo, writer) = (photo(&station, number), writer.clone());
            let path = server.data().join(photo.as_ref().map(|photo| photo.store_key.clone()).unwrap_or_default());
            let kept = keep(&path, &mut file, &bytes, number);
            async move {
                kept?;
                anyhow::Ok(writer.record(photo?).await?)
            }
        });
        futures_util::future::try_join_all(recorded).await?;
    }
    ensure!(catalog.photo_count().await? == u64::from(photos));
    drop(writer);
    catalog.close().await;
    Ok(())
}

/// Gives a photo its file: most are further names of one, or a million would take gigabytes.
fn keep(path: &Path, file: &mut std::path::PathBuf, bytes: &[u8], number: u32) -> anyhow::Result<()> {
    fs::create_dir_all(path.parent().context("a photo has a folder")?)?;
    if number.is_multiple_of(NAMES_PER_FILE) {
        fs::write(path, bytes)?;
        path.clone_into(file);
        return Ok(());
    }
    Ok(fs::hard_link(file, path)?)
}

fn photo(station: &Station, number: u32) -> anyhow::Result<NewPhoto> {
    // From 2026-01-01T00:00:00Z.
    let micros = (1_767_225_600 + 30 * i64::from(number)) * 1_000_000;
    let captured_at = CapturedAt::from_micros(micros).context("the calendar ends")?;
    let digest = Digest::of(&number.to_be_bytes());
    let (day, time) = (captured_at.format_utc("%Y/%m/%d"), captured_at.format_utc("%H%M%S.%3f"));
    Ok(NewPhoto {
        station: station.clone(),
        digest,
        size_bytes: 200_000,
        dimensions: tide_photo::jpeg::Dimensions { width: 4_056, height: 3_040 },
        captured_at,
        clock: ClockQuality::synchronised(ClockSource::Gps, 3).context("a clock quality")?,
        received_at: captured_at,
        store_key: format!("photos/{}/{day}/{time}Z_{}.jpg", station.name, digest.short()),
        file_name: format!("{}_{time}Z_{}_{}.jpg", day.replace('/', ""), station.name, digest.short()),
        origin: Origin::Manifest {
            sequence: u64::from(number),
            boot_id: "bench".to_owned(),
            monotonic_us: 0,
            camera: "synthetic".to_owned(),
            moment_ms: None,
            repaired: None,
        },
    })
}

/// From the start of the program to the first answer over HTTPS.
fn first_answer(runtime: &Runtime, server: &mut TestServer) -> anyhow::Result<Duration> {
    let mut waits = Vec::new();
    for _ in 0..5 {
        let (client, url) = (server.client()?, server.url());
        let began = Instant::now();
        server.begin_to_start()?;
        let wait = runtime.block_on(async {
            while began.elapsed() < Duration::from_secs(60) {
                if client.get(format!("{url}/health")).send().await.is_ok_and(|answer| answer.status().is_success()) {
                    return Ok(began.elapsed());
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            anyhow::bail!("the server does not answer")
        })?;
        waits.push(wait);
        std::thread::sleep(Duration::from_secs(1));
        if waits.len() < 5 {
            server.stop()?;
        }
    }
    waits.sort();
    waits.get(2).copied().context("five starts")
}

struct Seen {
    gallery_ms: f64,
    gallery_bytes: usize,
    middle_ms: f64,
    list_first_byte: Duration,
    list_mb_per_s: f64,
    list_growth_kib: u64,
}

async fn look(server: &TestServer, photos: u32) -> anyhow::Result<Seen> {
    let login = server.log_in().await?;
    let (gallery_ms, gallery_bytes) = page(&login, "/gallery").await?;
    let (middle_ms, _) = page(&login, &format!("/gallery?before={}", photos / 2)).await?;
    // The login's 19 MiB of argon2 are the peak so far; the list must be seen beside what is in memory now.
    let before = server.memory_kib()?;
    let began = Instant::now();
    let mut list = login.get("/photos").await?.error_for_status()?.bytes_stream();
    let mut first_byte = None;
    let (mut bytes, mut most) = (0, before);
    while let Some(piece) = list.next().await {
        first_byte.get_or_insert_with(|| began.elapsed());
        bytes += piece?.len();
        most = most.max(server.memory_kib()?);
    }
    Ok(Seen {
        gallery_ms,
        gallery_bytes,
        middle_ms,
        list_first_byte: first_byte.context("the list has a first byte")?,
        list_mb_per_s: bytes as f64 / 1e6 / began.elapsed().as_secs_f64(),
        list_growth_kib: most.saturating_sub(before),
    })
}

/// The median time of a page, and its length in bytes.
async fn page(login: &Login, path: &str) -> anyhow::Result<(f64, usize)> {
    let mut waits = Vec::new();
    let mut length = 0;
    for _ in 0..REQUESTS {
        let began = Instant::now();
        length = login.get(path).await?.error_for_status()?.bytes().await?.len();
        waits.push(began.elapsed());
    }
    waits.sort();
    Ok((percentile(&waits, 50), length))
}
