//! What the disk can do with the same bytes, without network, TLS, catalog or server.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use tempfile::TempDir;
use tide_journey::upload::jpeg;

use crate::Kept;

/// Files per second when each is written, forced, renamed and its folder forced, by as many threads.
pub(crate) fn files_per_s(size: usize, threads: u32, files: u32, kept: &mut Kept) -> anyhow::Result<f64> {
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
    let rate = f64::from(files / threads * threads) / began.elapsed().as_secs_f64();
    kept.folders.push(folder);
    Ok(rate)
}

fn keep(folder: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let (part, whole) = (folder.join(format!("{name}.part")), folder.join(name));
    let mut file = File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(part, whole)?;
    Ok(File::open(folder)?.sync_all()?)
}
