//! A real server with a data folder of its own.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use reqwest::{Client, ClientBuilder, Response};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::programs::{Running, output, program, until};

/// Password of the first operator in journeys.
pub const PASSWORD: &str = "a password for tests";

/// A server that is running, or was.
pub struct TestServer {
    folder: TempDir,
    data: PathBuf,
    port: u16,
    settings: Vec<(String, String)>,
    running: Option<Running>,
}

/// An operator's browser session, without the browser.
pub struct Login {
    client: Client,
    base: String,
    cookie: String,
}

impl TestServer {
    /// Starts a server on loopback.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&[("ADMIN_PASS", PASSWORD)])
    }

    /// Starts a server with these environment variables.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_with(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_on(free_port()?, settings)
    }

    /// The same on this port of loopback.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_on(port: u16, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tide-server-")?;
        let data = folder.path().join("data");
        Self::start_with_all(folder, data, port, settings)
    }

    /// Starts a server whose data folder is somebody else's: a disk of its own, for instance.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_in(data: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_with_all(TempDir::with_prefix("tide-server-")?, data.to_owned(), free_port()?, settings)
    }

    fn start_with_all(folder: TempDir, data: PathBuf, port: u16, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut server = Self { folder, data, port, settings, running: None };
        server.restart()?;
        Ok(server)
    }

    /// Starts it again, on the same port and data.
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        let starts = self.starts();
        self.begin_to_start()?;
        until("the server serves", || {
            if let Some(Err(error)) = self.running.as_mut().map(Running::expect_running) {
                bail!("{error}: {}", self.log());
            }
            Ok(self.starts() > starts)
        })
    }

    /// Starts it again without waiting until it serves.
    ///
    /// # Errors
    /// If there is no such program.
    pub fn begin_to_start(&mut self) -> anyhow::Result<()> {
        let log = fs::File::options().create(true).append(true).open(self.log_file())?;
        let first_words = fs::File::options().create(true).append(true).open(self.stdout_file())?;
        self.running = Some(Running::start(self.command()?.stdout(first_words).stderr(log))?);
        Ok(())
    }

    /// How often its log says that it serves.
    fn starts(&self) -> usize {
        self.log().lines().filter(|line| line.contains(" serving ")).count()
    }

    /// Ends it as a power cut does.
    ///
    /// # Errors
    /// If it was not running.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.running.take().context("the server is not running")?.kill()
    }

    /// Asks it to stop.
    ///
    /// # Errors
    /// If it does not.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.running.take().context("the server is not running")?.stop()
    }

    /// Asks it to take up its certificate anew.
    ///
    /// # Errors
    /// If it is not running.
    pub fn reload(&self) -> anyhow::Result<()> {
        self.signal(Signal::HUP)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it is not running.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.running.as_ref().context("the server is not running")?.signal(signal)
    }

    /// The program with this server's settings.
    ///
    /// # Errors
    /// If it has not been built.
    pub fn command(&self) -> anyhow::Result<Command> {
        let mut command = program("tide-server")?;
        command
            .env("TIDE_DATA_DIR", self.data())
            .env("TIDE_LISTEN", format!("127.0.0.1:{}", self.port))
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Makes a station known; its `tide.toml`.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn add_station(&self, name: &str) -> anyhow::Result<String> {
        output(self.command()?.args(["station", "add", name, "--config"]))
    }

    /// Makes a station known; its token.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn add_station_token(&self, name: &str) -> anyhow::Result<String> {
        Ok(output(self.command()?.args(["station", "add", name]))?.trim().to_owned())
    }

    /// What `tide-server check --read --json` finds.
    ///
    /// # Errors
    /// If it cannot be run. Findings are not an error.
    pub fn check(&self) -> anyhow::Result<Value> {
        let output = self.command()?.args(["check", "--read", "--json"]).output()?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("the check said: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Fails unless the check finds nothing wrong and `photos` photos.
    ///
    /// # Errors
    /// With what it found.
    pub fn expect_clean(&self, photos: u64) -> anyhow::Result<()> {
        let found = self.check()?;
        let clean = serde_json::json!({"photos": photos, "missing": [], "damaged": [], "unlisted": []});
        if found != clean {
            bail!("the check found {found}");
        }
        Ok(())
    }

    /// `https://localhost:PORT`.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// Its own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.data().join("tls/certificate.pem")
    }

    /// Everything logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Everything printed so far.
    pub fn stdout(&self) -> String {
        fs::read_to_string(self.stdout_file()).unwrap_or_default()
    }

    /// Most memory that it has used, in KiB, as nearly as the kernel counts: a later figure may be a few pages lower.
    ///
    /// # Errors
    /// If it is not running.
    pub fn peak_memory_kib(&self) -> anyhow::Result<u64> {
        self.running()?.peak_memory_kib()
    }

    /// Memory that it has now, in KiB.
    ///
    /// # Errors
    /// If it is not running.
    pub fn memory_kib(&self) -> anyhow::Result<u64> {
        self.running()?.memory_kib()
    }

    /// Processor time that it has used, user and system together, in milliseconds.
    ///
    /// # Errors
    /// If it is not running.
    pub fn cpu_ms(&self) -> anyhow::Result<u64> {
        self.running()?.cpu_ms()
    }

    fn running(&self) -> anyhow::Result<&Running> {
        self.running.as_ref().context("the server is not running")
    }

    /// A client that trusts this server alone.
    ///
    /// # Errors
    /// If the certificate cannot be read.
    pub fn client(&self) -> anyhow::Result<Client> {
        Ok(self.client_builder()?.build()?)
    }

    /// The same, to be made up further.
    ///
    /// # Errors
    /// If the certificate cannot be read.
    pub fn client_builder(&self) -> anyhow::Result<ClientBuilder> {
        let certificate = reqwest::Certificate::from_pem(&fs::read(self.certificate())?)?;
        // A connection that lies idle may be closed by the server in the moment in which it is used again.
        Ok(Client::builder()
            .pool_idle_timeout(Duration::from_secs(5))
            .tls_certs_only([certificate])
            .redirect(reqwest::redirect::Policy::none()))
    }

    /// Logs the first operator in.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn log_in(&self) -> anyhow::Result<Login> {
        self.log_in_as("admin", PASSWORD).await
    }

    /// Logs an operator in.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn log_in_as(&self, name: &str, password: &str) -> anyhow::Result<Login> {
        Login::at(&self.url(), || self.client_builder(), name, password).await
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn stdout_file(&self) -> PathBuf {
        self.folder.path().join("stdout")
    }
}

impl Login {
    /// Logs an operator in to a server that is somewhere.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn at(
        base: &str,
        builder: impl Fn() -> anyhow::Result<ClientBuilder>,
        name: &str,
        password: &str,
    ) -> anyhow::Result<Self> {
        let builder = || Ok::<_, anyhow::Error>(builder()?.redirect(reqwest::redirect::Policy::none()));
        let body = format!("username={name}&password={}", password.replace(' ', "+"));
        let request = builder()?.build()?.post(format!("{base}/login")).body(body);
        let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await?;
        let cookie = answer.headers().get(SET_COOKIE).with_context(|| format!("no cookie, but {}", answer.status()))?;
        let cookie = cookie.to_str()?.split(';').next().unwrap_or_default();
        let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(cookie)?)]);
        let client = builder()?.default_headers(headers).build()?;
        Ok(Self { client, base: base.to_owned(), cookie: cookie.to_owned() })
    }

    /// The session's cookie, as a browser sends it.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Opens an address of the server.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Response> {
        Ok(self.client.get(format!("{}{path}", self.base)).send().await?)
    }

    /// The list of all photos, newest first.
    ///
    /// # Errors
    /// If it is no list.
    pub async fn photos(&self) -> anyhow::Result<Vec<Value>> {
        Ok(self.get("/photos").await?.error_for_status()?.json().await?)
    }
}

/// A port of loopback that nobody uses now.
///
/// # Errors
/// If there is none.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Every file below a folder, without the folder's own path.
///
/// # Errors
/// If it cannot be read.
pub fn files_below(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder)?.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}
