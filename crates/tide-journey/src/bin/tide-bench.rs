//! The server under load, beside what the same disk can do without it. Run it by `cargo xtask bench`, which builds for release.
//!
//! Ratios within one run count; absolute figures say more about the machine.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use futures_util::future::try_join_all;
use reqwest::{Client, StatusCode};
use tempfile::TempDir;
use tide_journey::upload::{jpeg, percentile};
use tide_journey::{TestServer, Upload};

/// Measures the server at several sizes and numbers of clients.
#[derive(Parser)]
struct Arguments {
    /// Photos in each run of 200 KB photos; a quarter as many of 2 MB.
    #[arg(long, default_value_t = 1_000)]
    photos: u32,
    /// Folder on the disk to measure; the system's temporary folder by default.
    #[arg(long)]
    disk: Option<std::path::PathBuf>,
}

/// Sizes of photos, in bytes.
const SIZES: [usize; 2] = [200_000, 2_000_000];

/// Clients at the same time.
const CLIENTS: [u32; 3] = [1, 8, 64];

fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = Arguments::parse();
    if let Some(disk) = &arguments.disk {
        // Every temporary folder of this program is made there.
        tempfile::env::override_temp_dir(disk).ok().context("the temporary folder is set already")?;
    }
    println!("photo   clients  connection   photos/s  of floor   p50 ms   p95 ms   p99 ms  CPU ms/photo  peak MiB");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for size in SIZES {
        for clients in CLIENTS {
            let photos = (arguments.photos * 200_000 / u32::try_from(size)?).max(clients * 4);
            let photos = if clients == 1 { photos / 4 } else { photos };
            let floor = floor_per_s(size, clients, photos)?;
            for is_fresh in [true, false] {
                let load = Load { size, clients, photos, is_fresh };
                runtime.block_on(load.run(floor))?;
            }
        }
    }
    Ok(())
}

/// Files per second that the disk takes when each is written, forced, renamed and its folder forced, by as many threads.
fn floor_per_s(size: usize, threads: u32, files: u32) -> anyhow::Result<f64> {
    let folder = TempDir::with_prefix("tide-floor-")?;
    let bytes = jpeg(size, 0);
    let began = Instant::now();
    std::thread::scope(|scope| {
        let work = |thread| {
            let (folder, bytes) = (folder.path(), &bytes);
            move || (0..files / threads).try_for_each(|file| keep(folder, &format!("{thread}-{file}"), bytes))
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(work(thread))).collect();
        running.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread has failed"))?)
    })?;
    Ok(f64::from(files / threads * threads) / began.elapsed().as_secs_f64())
}

fn keep(folder: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let (part, whole) = (folder.join(format!("{name}.part")), folder.join(name));
    let mut file = File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(part, whole)?;
    Ok(File::open(folder)?.sync_all()?)
}

/// One row of the table.
struct Load {
    size: usize,
    clients: u32,
    photos: u32,
    is_fresh: bool,
}

impl Load {
    async fn run(&self, floor_per_s: f64) -> anyhow::Result<()> {
        let server = TestServer::start()?;
        let token = server.add_station_token("bench")?;
        let next = Arc::new(AtomicU32::new(1));
        let (cpu_ms, began) = (server.cpu_ms()?, Instant::now());
        let workers = (0..self.clients).map(|_| {
            let worker = Worker { base: server.url(), token: token.clone(), next: Arc::clone(&next) };
            let client = server.client();
            let (photos, size, is_fresh) = (self.photos, self.size, self.is_fresh);
            tokio::spawn(async move { worker.work(client?, photos, size, is_fresh).await })
        });
        let mut waits = Vec::new();
        for worker in try_join_all(workers).await? {
            waits.extend(worker?);
        }
        let seconds = began.elapsed().as_secs_f64();
        let cpu_ms = server.cpu_ms()? - cpu_ms;
        waits.sort();
        let rate = waits.len() as f64 / seconds;
        println!(
            "{:>4} KB {:>8}  {:<11} {rate:>9.1} {:>9.2} {:>8.1} {:>8.1} {:>8.1} {:>13.2} {:>9.1}",
            self.size / 1_000,
            self.clients,
            if self.is_fresh { "fresh TLS" } else { "keep-alive" },
            rate / floor_per_s,
            percentile(&waits, 50),
            percentile(&waits, 95),
            percentile(&waits, 99),
            cpu_ms as f64 / waits.len() as f64,
            server.peak_memory_kib()? as f64 / 1_024.0,
        );
        Ok(())
    }
}

struct Worker {
    base: String,
    token: String,
    next: Arc<AtomicU32>,
}

impl Worker {
    /// Uploads photos until all are taken; how long each took.
    async fn work(self, client: Client, photos: u32, size: usize, is_fresh: bool) -> anyhow::Result<Vec<Duration>> {
        let mut waits = Vec::new();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number > photos {
                return Ok(waits);
            }
            let photo = Upload::made_up("bench", number, size)?;
            let began = Instant::now();
            self.put(&client, &photo, is_fresh).await?;
            waits.push(began.elapsed());
        }
    }

    async fn put(&self, client: &Client, photo: &Upload, is_fresh: bool) -> anyhow::Result<()> {
        let mut request = photo.request(client, &self.base, &self.token);
        if is_fresh {
            request = request.header("connection", "close");
        }
        let answer = request.send().await?;
        if answer.status() != StatusCode::CREATED {
            bail!("the server answered {}: {}", answer.status(), answer.text().await?);
        }
        Ok(())
    }
}
