//! The server under load, beside what the same disk can do without it, and the station at work and at rest. Run it by `cargo xtask bench`, which builds for release.
//!
//! Ratios within one run count; absolute figures say more about the machine. All folders stay until the end: ext4 takes its time
//! with the inodes of files that were deleted in the last seconds, and what one measurement removes would slow down the next.

mod floor;
mod ingest;
mod limits;
mod pages;
mod station;
mod thumbnails;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use tempfile::TempDir;
use tide_journey::TestServer;

/// Measures server and station.
#[derive(Parser)]
struct Arguments {
    /// What to measure; everything if nothing is named.
    #[arg(value_enum)]
    what: Vec<What>,
    /// Photos in each run of 200 KB photos; a tenth as many of 2 MB.
    #[arg(long, default_value_t = 2_000)]
    photos: u32,
    /// Photos in the largest catalog.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u32,
    /// Photos that wait in the spool of the station whose start is measured; each takes 8 KiB of disk.
    #[arg(long, default_value_t = 500_000)]
    waiting: u32,
    /// Folder on the disk to measure; the system's temporary folder by default.
    #[arg(long)]
    disk: Option<PathBuf>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Uploads of 200 KB and 2 MB by 1, 8 and 64 clients.
    Ingest,
    /// An idle server, bodies over the limit, a burst of clients.
    Limits,
    /// Thumbnails of 12 megapixel photos.
    Thumbnails,
    /// The gallery and the list at 100, 10,000 and 1,000,000 photos.
    Pages,
    /// A station that takes and delivers photos of 200 KB, one that waits, and one that starts while 500,000 photos wait.
    Station,
}

/// What every measurement leaves for the end.
#[derive(Default)]
struct Kept {
    servers: Vec<TestServer>,
    folders: Vec<TempDir>,
}

fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = Arguments::parse();
    if let Some(disk) = &arguments.disk {
        // Every temporary folder of this program is made there.
        tempfile::env::override_temp_dir(disk).ok().context("the temporary folder is set already")?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut kept = Kept::default();
    let is_wanted = |what| arguments.what.is_empty() || arguments.what.contains(&what);
    if is_wanted(What::Ingest) {
        ingest::measure(&runtime, arguments.photos)?;
    }
    if is_wanted(What::Limits) {
        limits::measure(&runtime, &mut kept)?;
    }
    if is_wanted(What::Thumbnails) {
        thumbnails::measure(&runtime, &mut kept)?;
    }
    if is_wanted(What::Pages) {
        pages::measure(&runtime, arguments.rows, &mut kept)?;
    }
    if is_wanted(What::Station) {
        station::measure(arguments.photos / 10, arguments.waiting)?;
    }
    Ok(())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1_024.0
}
