//! The server on this machine that stations in QEMU deliver to, and what an operator sees there.

use anyhow::{Context, ensure};
use jiff::Timestamp;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::programs::output;
use crate::server::PASSWORD;
use crate::{Login, TestServer};

/// Where QEMU's network has this machine.
const HOST: &str = "10.0.2.2";

/// What every station's settings say of its camera: the kernel's virtual one has none of fswebcam's default size.
const CAMERA: &str = "[camera]\nkind = \"usb\"\nwidth = 640\nheight = 360\n";

/// Photos of all stations in one look.
const PAGE_PHOTOS: usize = 1_000;

/// A server, and an operator who is logged in.
pub struct Stand {
    server: TestServer,
    login: Login,
    runtime: Runtime,
}

/// A photo as an operator's list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    /// When it was taken.
    pub at: Timestamp,
    /// Where the clock had its time from: `gps`, `ntp`, `rtc`, `unsynchronised`.
    pub source: String,
    /// How far the time may be off; `None` if nobody knows.
    pub uncertainty_ms: Option<u64>,
    /// When the server had it.
    pub received_at: Timestamp,
    /// Its digest.
    pub digest: String,
}

impl Stand {
    /// A server with no photo yet.
    ///
    /// # Errors
    /// If it does not start.
    pub fn new() -> anyhow::Result<Self> {
        let server = TestServer::start_with(&[("ADMIN_PASS", PASSWORD), ("TIDE_PUBLIC_NAME", HOST)])?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let login = runtime.block_on(server.log_in())?;
        Ok(Self { server, login, runtime })
    }

    /// The server.
    pub fn server(&self) -> &TestServer {
        &self.server
    }

    /// Makes a station known; its `tide.toml`, as its owner would complete it.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn add_station(&self, name: &str, interval_s: u32) -> anyhow::Result<String> {
        let settings = self.server.add_station(name)?;
        // A key of the file itself comes before all tables.
        Ok(format!("interval_s = {interval_s}\n{settings}\n{CAMERA}\n[system]\nzone = \"Europe/Athens\"\n"))
    }

    /// A further token of a station.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn add_token(&self, name: &str) -> anyhow::Result<String> {
        Ok(output(self.server.command()?.args(["station", "token", name]))?.trim().to_owned())
    }

    /// The newest photos of a station, the newest first.
    ///
    /// # Errors
    /// If the list is none.
    pub fn newest(&self, station: &str) -> anyhow::Result<Vec<Photo>> {
        self.list(station, &format!("/photos?limit={PAGE_PHOTOS}"))
    }

    /// All photos of a station, the newest first.
    ///
    /// # Errors
    /// If the list is none.
    pub fn photos(&self, station: &str) -> anyhow::Result<Vec<Photo>> {
        self.list(station, "/photos")
    }

    /// All photos of all stations.
    ///
    /// # Errors
    /// If the list is none.
    pub fn everybodys_photos(&self) -> anyhow::Result<usize> {
        Ok(self.rows("/photos")?.len())
    }

    /// Fails unless every photo in the list has its intact bytes, and the reverse; how many there are.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn expect_intact(&self) -> anyhow::Result<u64> {
        let found = self.server.check()?;
        let photos = found["photos"].as_u64().context("the check counts photos")?;
        self.server.expect_clean(photos)?;
        let listed = self.everybodys_photos()?;
        ensure!(listed as u64 == photos, "the list has {listed} photos, the check {photos}");
        Ok(photos)
    }

    fn list(&self, station: &str, path: &str) -> anyhow::Result<Vec<Photo>> {
        let rows = self.rows(path)?;
        let of_station = rows.iter().filter(|row| row["station"] == station);
        of_station.map(|row| photo(row).with_context(|| format!("the list has the row {row}"))).collect()
    }

    fn rows(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        self.runtime.block_on(async { Ok(self.login.get(path).await?.error_for_status()?.json().await?) })
    }
}

fn photo(row: &Value) -> anyhow::Result<Photo> {
    let text = |key: &str| row[key].as_str().with_context(|| format!("no `{key}`"));
    Ok(Photo {
        at: text("timestamp")?.parse()?,
        source: text("clock_source")?.to_owned(),
        uncertainty_ms: row["uncertainty_ms"].as_u64(),
        received_at: text("received_at")?.parse()?,
        digest: text("digest")?.to_owned(),
    })
}
