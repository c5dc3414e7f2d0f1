//! F2: the power goes while clients upload and operators look.
//!
//! The server keeps its data on a file system in an image file. It is killed, and the file is copied at once: the copy holds
//! what the kernel had written to the disk by then, and nothing of what was still on its way, as a disk does after a power cut.
//! Server and clients go on with the copy.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tide_photo::Digest;
use tide_photo::jpeg::JpegCheck;

use super::fleet::{Fleet, listed, picture};
use super::{Fault, Plan, Seen};
use crate::mounts::{Mount, copy_image, make_ext4};
use crate::needs::Need;
use crate::server::files_below;
use crate::{Login, TestServer};

pub(super) const FAULT: Fault = Fault {
    number: "F2",
    name: "power-cut",
    need: Need::LoopDevice,
    about: "the power goes at random while photos and thumbnails are written: every acknowledged photo is intact",
    long_rounds: 100,
    short_rounds: 3,
    run,
};

/// When the power goes, from the first upload on.
const INSTANT_MS: std::ops::RangeInclusive<u64> = 30..=700;

/// Size of the disk. What holds nothing takes no room on the real one.
const DISK_BYTES: u64 = 1_024 * 1_024 * 1_024;

/// Photos at most, for each cut.
const PHOTOS_PER_CUT: u32 = 200;

/// Photos looked at after each cut; the check reads all.
const SERVED: usize = 300;

/// Tries to copy a disk on which nothing is written meanwhile.
const COPIES: u32 = 50;

fn run(plan: Plan) -> anyhow::Result<Seen> {
    let mut random = StdRng::seed_from_u64(plan.seed);
    let mut disk = Disk::new()?;
    let mut server = TestServer::start_in(&disk.data(), &[("ADMIN_PASS", crate::server::PASSWORD)])?;
    let fleet = Fleet::new(&server, picture, plan.rounds.saturating_mul(PHOTOS_PER_CUT))?;
    let mut in_the_middle = 0;
    for _ in 0..plan.rounds {
        let login = fleet.runtime.block_on(server.log_in())?;
        let looking = fleet.runtime.spawn(look(login));
        fleet.open();
        std::thread::sleep(Duration::from_millis(random.random_range(INSTANT_MS)));
        in_the_middle += u32::from(fleet.under_way() > 0);
        server.kill()?;
        let acknowledged = fleet.ledger().acknowledged;
        disk.cut_power()?;
        fleet.close();
        looking.abort();
        disk.expect_intact(&acknowledged)?;
        server.restart()?;
        fleet.settle()?;
        fleet.compare(&server, SERVED)?;
    }
    let thumbnails = files_below(&server.data().join("thumbnails"))?.len();
    let aside = files_below(&server.data().join("photos/.unlisted")).map(|files| files.len()).unwrap_or_default();
    let ledger = fleet.end();
    Ok(Seen(format!(
        "{} cuts, {in_the_middle} of them in the middle of uploads; {} photos acknowledged, all intact; {} retries, {} \
         answered `already held`; {thumbnails} thumbnails, all whole; {aside} files set aside",
        plan.rounds,
        ledger.acknowledged.len(),
        ledger.retries,
        ledger.already_held,
    )))
}

/// An operator who looks at the newest photos, so that thumbnails are made; until the power goes.
async fn look(login: Login) -> anyhow::Result<()> {
    loop {
        let photos: Vec<serde_json::Value> = login.get("/photos?limit=20").await?.json().await?;
        for photo in photos {
            login.get(&format!("/thumbnails/{}", photo["id"])).await?.bytes().await?;
        }
        listed(&login).await?;
    }
}

/// The disk of the server. Whatever happens, it is unmounted in the end.
struct Disk {
    mount: Option<Mount>,
    folder: TempDir,
    image: PathBuf,
    cuts: u32,
}

impl Disk {
    fn new() -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tide-disk-")?;
        let image = folder.path().join("image-0");
        make_ext4(&image, DISK_BYTES)?;
        let mut disk = Self { mount: None, folder, image, cuts: 0 };
        fs::create_dir(disk.at())?;
        disk.mount = Some(Mount::image(&disk.image, &disk.at())?);
        Ok(disk)
    }

    fn at(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    fn data(&self) -> PathBuf {
        self.at().join("data")
    }

    /// Leaves the disk as it is, takes a copy, and goes on with that.
    fn cut_power(&mut self) -> anyhow::Result<()> {
        self.cuts += 1;
        let copy = self.folder.path().join(format!("image-{}", self.cuts));
        self.copy_of_one_instant(&copy)?;
        // What the kernel writes now goes to the old image, and is gone with it.
        self.mount = None;
        fs::remove_file(&self.image)?;
        self.image = copy;
        self.mount = Some(Mount::image(&self.image, &self.at())?);
        Ok(())
    }

    /// A file system writes when it pleases; a copy during which it did would be of no instant at all.
    fn copy_of_one_instant(&self, copy: &Path) -> anyhow::Result<()> {
        let mount = self.mount.as_ref().context("the disk is not mounted")?;
        for _ in 0..COPIES {
            let before = mount.writes()?;
            copy_image(&self.image, copy)?;
            if before.1 == 0 && mount.writes()? == before {
                return Ok(());
            }
        }
        bail!("the disk is never quiet enough to be copied")
    }

    /// Fails unless what the disk holds is all that was acknowledged, and nothing under its final name is a part. A file of no
    /// length, say, was renamed before its bytes were forced to the disk.
    fn expect_intact(&self, acknowledged: &BTreeSet<Digest>) -> anyhow::Result<()> {
        let (mut intact, mut parts) = (BTreeSet::new(), Vec::new());
        for name in files_below(&self.data())?.into_iter().filter(|name| name.ends_with(".jpg")) {
            let bytes = fs::read(self.data().join(&name))?;
            match JpegCheck::of(&bytes) {
                Ok(_) => drop(intact.insert(Digest::of(&bytes))),
                Err(_) => parts.push(format!("{name} ({} bytes)", bytes.len())),
            }
        }
        let lost = acknowledged.difference(&intact).count();
        ensure!(
            lost == 0 && parts.is_empty(),
            "cut {}: {lost} of {} acknowledged photos are lost; {} files are no whole JPEG, the first is {:?}",
            self.cuts,
            acknowledged.len(),
            parts.len(),
            parts.first()
        );
        Ok(())
    }
}
