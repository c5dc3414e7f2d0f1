//! F4: a disk fills up while clients upload, and is freed again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::StatusCode;
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE};
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

/// Tries that are put off before the disk is freed.
const PUT_OFF: u64 = 60;

/// How long the server may take to accept photos again.
const BACK: Duration = Duration::from_secs(10);

/// What has a small disk of its own.
struct Place {
    name: &'static str,
    folder: &'static str,
    disk_bytes: u64,
    /// Free bytes below which the server takes no photo by itself.
    min_free_bytes: &'static str,
    /// What is left free when the disk is called full.
    left_bytes: u64,
    /// Photos before each filling.
    before: u32,
    /// Photos that may be begun on the full disk.
    during: u32,
    /// Whether they can all be taken in.
    takes_photos: bool,
}

/// A disk of 3 MB for photos, without the server's own guard.
const PHOTOS: Place = Place {
    name: "photos",
    folder: "photos",
    disk_bytes: 3 * 1_024 * 1_024,
    min_free_bytes: "0",
    left_bytes: 0,
    before: 8,
    during: 8,
    takes_photos: false,
};

const PLACES: [Place; 5] = [
    PHOTOS,
    Place { name: "photos, guarded", min_free_bytes: "1000000", left_bytes: 500_000, ..PHOTOS },
    // Its log cannot grow. What a connection has failed at closes it, and where that is the last one, SQLite folds the log into
    // the table's file and removes it: there is room for a few photos again, so that more must come than fit.
    Place { name: "catalog", folder: "catalog", during: 2_000, ..PHOTOS },
    // Its log has had its full length of 4 MB, and is written from its beginning again; the table's file cannot grow.
    Place {
        name: "catalog, later",
        folder: "catalog",
        disk_bytes: 12 * 1_024 * 1_024,
        before: 250,
        during: 2_000,
        ..PHOTOS
    },
    Place { name: "thumbnails", folder: "thumbnails", takes_photos: true, ..PHOTOS },
];

fn run(plan: Plan) -> anyhow::Result<Seen> {
    let seen: Vec<String> = PLACES
        .iter()
        .map(|place| place.fill_and_free(plan.rounds).with_context(|| format!("the disk of {} was full", place.name)))
        .collect::<anyhow::Result<_>>()?;
    Ok(Seen(seen.join("; ")))
}

impl Place {
    fn fill_and_free(&self, rounds: u32) -> anyhow::Result<String> {
        let folder = TempDir::with_prefix("tide-disk-")?;
        let data = folder.path().join("data");
        let at = data.join(self.folder);
        fs::create_dir_all(&at)?;
        let disk = SmallDisk { mount: Mount::tmpfs(&at, self.disk_bytes)? };
        let settings = [("ADMIN_PASS", PASSWORD), ("TIDE_MIN_FREE_BYTES", self.min_free_bytes)];
        let server = TestServer::start_in(&data, &settings)?;
        let fleet = Fleet::new(&server, picture, u32::MAX)?;
        let login = fleet.runtime.block_on(server.log_in())?;
        let mut longest = Duration::ZERO;
        for _ in 0..rounds {
            more_photos(&fleet, self.before)?;
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
        fleet.runtime.block_on(expect_thumbnails(&login))?;
        let Ledger { acknowledged, put_off, .. } = fleet.end();
        let (name, photos) = (self.name, acknowledged.len());
        Ok(format!(
            "{name}: {photos} photos, all held; put off {put_off:?}; accepted again after {} ms",
            longest.as_millis()
        ))
    }

    /// Clients upload until enough tries were put off, or enough photos taken where that is possible.
    fn upload_in_vain(&self, fleet: &Fleet) -> anyhow::Result<()> {
        if self.takes_photos {
            return more_photos(fleet, self.during);
        }
        let before: u64 = fleet.ledger().put_off.values().sum();
        fleet.open_for(self.during);
        until("the server puts photos off", || Ok(fleet.ledger().put_off.values().sum::<u64>() >= before + PUT_OFF))
            .with_context(|| {
                let Ledger { begun, acknowledged, put_off, cut_off, .. } = fleet.ledger();
                let (begun, acknowledged) = (begun.len(), acknowledged.len());
                format!("begun {begun}, acknowledged {acknowledged}, put off {put_off:?}, cut off {cut_off}")
            })
    }

    /// What must go on while the disk is full: pages, old photos, and logins where the catalog has room for them.
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
        let thumbnail = login.get(&format!("/thumbnails/{id}")).await?;
        if self.folder == "thumbnails" {
            let kept = thumbnail.headers().get(CACHE_CONTROL);
            ensure!(kept.is_some_and(|kept| kept == "no-store"), "a missing thumbnail is kept by browsers: {kept:?}");
        }
        let form = format!("username=admin&password={}", PASSWORD.replace(' ', "+"));
        let request = server.client()?.post(format!("{}/login", server.url())).body(form);
        let status = request.header("content-type", "application/x-www-form-urlencoded").send().await?.status();
        let is_right = status.is_redirection() || self.folder == "catalog" && status == StatusCode::SERVICE_UNAVAILABLE;
        ensure!(is_right, "a login answers {status}");
        Ok(())
    }
}

/// With room for them, there are thumbnails of the photos that came while there was none.
async fn expect_thumbnails(login: &Login) -> anyhow::Result<()> {
    let photos: Vec<serde_json::Value> = login.get("/photos?limit=20").await?.json().await?;
    for photo in photos {
        let answer = login.get(&format!("/thumbnails/{}", photo["id"])).await?;
        let kind = answer.headers().get(CONTENT_TYPE).cloned();
        ensure!(
            kind.as_ref().is_some_and(|kind| kind == "image/jpeg"),
            "photo {} has no thumbnail: {kind:?}",
            photo["id"]
        );
    }
    Ok(())
}

/// Lets the clients bring some more photos, and see them through.
fn more_photos(fleet: &Fleet, photos: u32) -> anyhow::Result<()> {
    let wanted = fleet.ledger().acknowledged.len() + photos as usize;
    fleet.open_for(photos);
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
