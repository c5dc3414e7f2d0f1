//! A real browser: Debian's Chromium, driven over the WebDriver protocol.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::Context;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{CapabilitiesHelper, ChromiumLikeCapabilities, DesiredCapabilities, WebDriver};

use crate::programs::Running;

/// A browser window that knows nothing of earlier ones.
pub struct Browser {
    /// What is done in it.
    pub window: WebDriver,
    driver_url: String,
    _driver: Running,
    _profile: TempDir,
}

/// Without these, Chromium calls its maker at every start.
const QUIET: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
];

impl Browser {
    /// Opens a window that takes any certificate: whether ours is trusted is for the person to say.
    ///
    /// # Errors
    /// If driver or browser do not start.
    pub async fn open() -> anyhow::Result<Self> {
        let mut command = Command::new("chromedriver");
        let mut driver = Running::start(command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()))?;
        let port = port_in(driver.take_stdout().context("chromedriver prints nothing")?)?;
        let driver_url = format!("http://127.0.0.1:{port}");
        let profile = TempDir::with_prefix("tide-browser-")?;
        let mut wishes = DesiredCapabilities::chrome();
        for argument in QUIET {
            wishes.add_arg(argument)?;
        }
        wishes.add_arg(&format!("--user-data-dir={}", profile.path().display()))?;
        wishes.accept_insecure_certs(true)?;
        wishes.set("goog:loggingPrefs", json!({"browser": "ALL", "performance": "ALL"}))?;
        let window = WebDriver::new(&driver_url, wishes).await?;
        Ok(Self { window, driver_url, _driver: driver, _profile: profile })
    }

    /// What pages have written to the console since the last call.
    ///
    /// # Errors
    /// If the driver does not answer.
    pub async fn console(&self) -> anyhow::Result<Vec<String>> {
        let entries = self.log("browser").await?;
        Ok(entries.iter().map(|entry| format!("{}: {}", entry["level"], entry["message"])).collect())
    }

    /// Every address that pages have asked for since the last call, without those that never leave the browser.
    ///
    /// # Errors
    /// If the driver does not answer.
    pub async fn requests(&self) -> anyhow::Result<Vec<String>> {
        let mut addresses = Vec::new();
        for entry in self.log("performance").await? {
            let event: Value = serde_json::from_str(entry["message"].as_str().unwrap_or_default())?;
            let message = &event["message"];
            if message["method"] == "Network.requestWillBeSent"
                && let Some(address) = message["params"]["request"]["url"].as_str()
                && ["http:", "https:", "ws:", "wss:"].iter().any(|scheme| address.starts_with(scheme))
            {
                addresses.push(address.to_owned());
            }
        }
        Ok(addresses)
    }

    /// Closes the window.
    ///
    /// # Errors
    /// If the driver does not answer.
    pub async fn close(self) -> anyhow::Result<()> {
        Ok(self.window.quit().await?)
    }

    /// Chromedriver's own command, which the protocol does not have.
    async fn log(&self, kind: &str) -> anyhow::Result<Vec<Value>> {
        let address = format!("{}/session/{}/se/log", self.driver_url, self.window.session_id());
        let client = reqwest::Client::builder().build()?;
        let answer: Value = client.post(address).json(&json!({"type": kind})).send().await?.json().await?;
        Ok(answer["value"].as_array().cloned().unwrap_or_default())
    }
}

/// Chromedriver chooses a port and prints it: `... started successfully on port 40123.`
fn port_in(output: impl std::io::Read) -> anyhow::Result<u16> {
    for line in BufReader::new(output).lines() {
        let line = line?;
        if let Some((_, port)) = line.split_once("successfully on port ") {
            return port.trim().trim_end_matches('.').parse().context("chromedriver names no port");
        }
    }
    anyhow::bail!("chromedriver does not start")
}
