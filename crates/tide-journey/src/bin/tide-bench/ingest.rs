//! Uploads at several sizes and numbers of clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use futures_util::future::try_join_all;
use reqwest::{Client, StatusCode};
use tide_journey::upload::percentile;
use tide_journey::{TestServer, Upload};
use tokio::runtime::Runtime;

use crate::{Kept, floor, mib};

/// Sizes of photos, in bytes.
const SIZES: [usize; 2] = [200_000, 2_000_000];

/// Clients at the same time.
const CLIENTS: [u32; 3] = [1, 8, 64];

/// How long ext4 keeps away from the inodes of deleted files (`recently_deleted` in its `ialloc.c`).
const DELETED: Duration = Duration::from_secs(6);

/// Prints a table.
pub(crate) fn measure(runtime: &Runtime, photos: u32) -> anyhow::Result<()> {
    println!("Uploads; the floor is write, fsync, rename and fsync of the folder, by as many threads.");
    println!(
        "photo   clients  connection    floor/s  photos/s  of floor   p50 ms   p95 ms   p99 ms  CPU ms/photo  peak MiB"
    );
    for size in SIZES {
        // Some gigabytes: the next size gets their place on the disk.
        let mut kept = Kept::default();
        for clients in CLIENTS {
            let photos = (photos * 200_000 / u32::try_from(size)?).max(clients * 4);
            let photos = if clients == 1 { photos / 4 } else { photos };
            for is_fresh in [true, false] {
                let floor = floor::files_per_s(size, clients, photos, &mut kept)?;
                let load = Load { size, clients, photos, is_fresh };
                kept.servers.push(runtime.block_on(load.run(floor))?);
            }
        }
        drop(kept);
        std::thread::sleep(DELETED);
    }
    Ok(())
}

/// One row of the table.
struct Load {
    size: usize,
    clients: u32,
    photos: u32,
    is_fresh: bool,
}

impl Load {
    async fn run(&self, floor_per_s: f64) -> anyhow::Result<TestServer> {
        let mut server = TestServer::start()?;
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
            "{:>4} KB {:>8}  {:<11} {floor_per_s:>9.1} {rate:>9.1} {:>9.2} {:>8.1} {:>8.1} {:>8.1} {:>13.2} {:>9.1}",
            self.size / 1_000,
            self.clients,
            if self.is_fresh { "fresh TLS" } else { "keep-alive" },
            rate / floor_per_s,
            percentile(&waits, 50),
            percentile(&waits, 95),
            percentile(&waits, 99),
            cpu_ms as f64 / waits.len() as f64,
            mib(server.peak_memory_kib()?),
        );
        server.stop()?;
        Ok(server)
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
