//! F2: the power goes while clients upload and operators look.
//!
//! The server keeps its data on a file system in an image file. It is killed, and the file is copied at once: the copy holds
//! what the kernel had written to the disk by then, and nothing of what was still on its way, as a disk does after a power cut.
//! Server and clients go on with the copy.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::ensure;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tide_photo::Digest;
use tide_photo::jpeg::JpegCheck;

use super::fleet::{Fleet, listed, picture};
use super::image_disk::ImageDisk;
use super::{Fault, Plan, Seen};
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

/// Photos at most, for each cut.
const PHOTOS_PER_CUT: u32 = 200;

/// Photos looked at after each cut; the check reads all.
const SERVED: usize = 300;

fn run(plan: Plan) -> anyhow::Result<Seen> {
    let mut random = StdRng::seed_from_u64(plan.seed);
    let mut disk = ImageDisk::new()?;
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
        expect_intact(&disk, &acknowledged)?;
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

/// Fails unless what the disk holds is all that was acknowledged, and nothing under its final name is a part. A file of no
/// length, say, was renamed before its bytes were forced to the disk.
fn expect_intact(disk: &ImageDisk, acknowledged: &BTreeSet<Digest>) -> anyhow::Result<()> {
    let (mut intact, mut parts) = (BTreeSet::new(), Vec::new());
    for name in files_below(&disk.data())?.into_iter().filter(|name| name.ends_with(".jpg")) {
        let bytes = fs::read(disk.data().join(&name))?;
        match JpegCheck::of(&bytes) {
            Ok(_) => drop(intact.insert(Digest::of(&bytes))),
            Err(_) => parts.push(format!("{name} ({} bytes)", bytes.len())),
        }
    }
    let lost = acknowledged.difference(&intact).count();
    ensure!(
        lost == 0 && parts.is_empty(),
        "cut {}: {lost} of {} acknowledged photos are lost; {} files are no whole JPEG, the first is {:?}",
        disk.cuts(),
        acknowledged.len(),
        parts.len(),
        parts.first()
    );
    Ok(())
}
