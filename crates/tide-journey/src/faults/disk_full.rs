//! F4: a disk fills up while clients upload, and is freed again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::StatusCode;
use tempfile::TempDir;

use super::fleet::{Fleet, Ledger, listed, picture, serves};
use super::{Fault, Plan, Seen};
use crate::mounts::Mount;
use crate::needs::Need;
use crate::programs::until;
use crate::server::{PASSWORD, files_below};
use crate::{Login, TestServer};

pub(super) const FAULT: Fault = Fault {
    number: "F4",
    name: "disk-full",
    need: Need::Mounts,
    about: "the disk of photos, catalog or thumbnails is full: photos are put off, not lost, and old ones still served",
    long_rounds: 4,
    short_rounds: 1,
    run,
};

/// Size of the small disk.
const DISK_BYTES: u64 = 3 * 1_024 * 1_024;

/// Photos before each filling, and photos that find the disk full.
const PHOTOS: u32 = 8;

/// Tries that are put off before the disk is freed.
const PUT_OFF: u64 = 60;

/// How long the server may take to accept photos again.
const BACK: Duration = Duration::from_secs(10);

/// What has a small disk of its own.
struct Place {
    folder: &'static str,
    /// Free bytes below which the server takes no photo by itself.
    min_free_bytes: &'static str,
    /// What is left free when the disk is called full.
    left_bytes: u64,
    /// Whether photos can still be taken in.
    takes_photos: bool,
}

const PLACES: [Place; 4] = [
    Place { folder: "photos", min_free_bytes: "0", left_bytes: 0, takes_photos: false },
    Place { folder: "photos", min_free_bytes: "1000000", left_bytes: 500_000, takes_photos: false },
    Place { folder: "catalog", min_free_bytes: "0", left_bytes: 0, takes_photos: false },
    Place { folder: "thumbnails", min_free_bytes: "0", left_bytes: 0, takes_photos: true },
];

fn run(plan: Plan) -> anyhow::Result<Seen> {
    let seen: Vec<String> = PLACES
        .iter()
        .map(|place| place.fill_and_free(plan.rounds).with_context(|| format!("the disk of {} was full", place.folder)))
        .collect::<anyhow::Result<_>>()?;
    Ok(Seen(seen.join("; ")))
}

impl Place {
    fn fill_and_free(&self, rounds: u32) -> anyhow::Result<String> {
        let folder = TempDir::with_prefix("tide-disk-")?;
        let data = folder.path().join("data");
        let at = data.join(self.folder);
        fs::create_dir_all(&at)?;
        let disk = SmallDisk { mount: Mount::tmpfs(&at, DISK_BYTES)? };
        let settings = [("ADMIN_PASS", PASSWORD), ("TIDE_MIN_FREE_BYTES", self.min_free_bytes)];
        let server = TestServer::start_in(&data, &settings)?;
        let fleet = Fleet::new(&server, picture, u32::MAX)?;
        let login = fleet.runtime.block_on(server.log_in())?;
        let mut longest = Duration::ZERO;
        for _ in 0..rounds {
            more_photos(&fleet)?;
            let old = fleet.runtime.block_on(listed(&login))?;
            disk.fill(self.left_bytes)?;
            self.upload_in_vain(&fleet)?;
            fleet.runtime.block_on(self.expect_service(&server, &login, &old))?;
            let parts = parts(&server)?;
            ensure!(parts <= 8, "{parts} files are left of uploads that the disk refused");
            disk.free()?;
            let freed = Instant::now();
            fleet.settle()?;
            longest = longest.max(freed.elapsed());
            ensure!(longest <= BACK, "photos were accepted again only after {longest:?}");
            // A thumbnail may be under way.
            until("no file is left of an upload that the disk refused", || Ok(self::parts(&server)? == 0))?;
        }
        fleet.compare(&server, usize::MAX)?;
        let Ledger { acknowledged, put_off, .. } = fleet.end();
        let (name, photos) = (self.folder, acknowledged.len());
        Ok(format!(
            "{name}: {photos} photos, all held; put off {put_off:?}; accepted again after {} ms",
            longest.as_millis()
        ))
    }

    /// Clients upload until enough tries were put off, or enough photos taken where that is possible.
    fn upload_in_vain(&self, fleet: &Fleet) -> anyhow::Result<()> {
        if self.takes_photos {
            return more_photos(fleet);
        }
        let before: u64 = fleet.ledger().put_off.values().sum();
        fleet.open_for(PHOTOS);
        until("the server puts photos off", || Ok(fleet.ledger().put_off.values().sum::<u64>() >= before + PUT_OFF))
    }

    /// What must go on while the disk is full.
    async fn expect_service(
        &self,
        server: &TestServer,
        login: &Login,
        old: &[(tide_photo::Digest, String)],
    ) -> anyhow::Result<()> {
        serves(login, old).await?;
        let pages: Vec<serde_json::Value> = login.get("/photos?limit=1").await?.json().await?;
        let id = &pages.first().context("no photo is listed")?["id"];
        for page in ["/gallery", "/photos", &format!("/photo/{id}"), &format!("/thumbnails/{id}"), "/login"] {
            let status = login.get(page).await?.status();
            ensure!(status.is_success() || status.is_redirection(), "{page} answers {status}");
        }
        let form = format!("username=admin&password={}", PASSWORD.replace(' ', "+"));
        let request = server.client()?.post(format!("{}/login", server.url())).body(form);
        let status = request.header("content-type", "application/x-www-form-urlencoded").send().await?.status();
        let is_right = status.is_redirection() || self.folder == "catalog" && status == StatusCode::SERVICE_UNAVAILABLE;
        ensure!(is_right, "a login answers {status}");
        Ok(())
    }
}

/// Lets the clients bring some more photos, and see them through.
fn more_photos(fleet: &Fleet) -> anyhow::Result<()> {
    let wanted = fleet.ledger().acknowledged.len() + PHOTOS as usize;
    fleet.open_for(PHOTOS);
    until("some photos are held", || Ok(fleet.ledger().acknowledged.len() >= wanted))
}

fn parts(server: &TestServer) -> anyhow::Result<usize> {
    Ok(files_below(&server.data())?.iter().filter(|name| name.ends_with(".part")).count())
}

/// A disk in memory that something else fills.
struct SmallDisk {
    mount: Mount,
}

impl SmallDisk {
    /// Fills it, down to so many free bytes.
    fn fill(&self, left_bytes: u64) -> anyhow::Result<()> {
        let free = rustix::fs::statvfs(self.mount.at())?;
        let free_bytes = (free.f_bavail * free.f_frsize).saturating_sub(left_bytes);
        let mut file = File::create(self.ballast())?;
        match file.write_all(&vec![0; usize::try_from(free_bytes)?]) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
            result => Ok(result?),
        }
    }

    fn free(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        // No photo, and in nobody's way.
        self.mount.at().join(".ballast")
    }
}
