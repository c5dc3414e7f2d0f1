//! A real ACME authority for tests: Pebble, which looks at every name, on loopback.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context;
use reqwest::{Certificate, Client};
use serde_json::json;
use tempfile::TempDir;

use crate::programs::{Running, until};
use crate::server::free_port;

/// An authority that is running, or was.
pub struct Pebble {
    folder: TempDir,
    port: u16,
    running: Running,
    issuing_root: String,
}

impl Pebble {
    /// Starts an authority whose certificates live for so many seconds, and which looks for servers at this port.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(looks_at: u16, life_s: u32) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tide-pebble-")?;
        let file = |name: &str| folder.path().join(name);
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        fs::write(file("certificate.pem"), made.cert.pem())?;
        fs::write(file("key.pem"), made.signing_key.serialize_pem())?;
        let (port, management) = (free_port()?, free_port()?);
        let settings = json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": file("certificate.pem"),
            "privateKey": file("key.pem"),
            "httpPort": free_port()?,
            "tlsPort": looks_at,
            "certificateValidityPeriod": life_s,
        }});
        fs::write(file("settings.json"), settings.to_string())?;
        let log = fs::File::create(file("log"))?;
        let mut command = std::process::Command::new("pebble");
        command
            .env_clear()
            // No waiting, and a look at the name for every order.
            .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_AUTHZREUSE", "0")])
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .args(["-strict", "-config"])
            .arg(file("settings.json"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut running = Running::start(&mut command)?;
        until("the authority listens", || {
            running.expect_running()?;
            Ok(fs::read_to_string(file("log"))?.contains("ACME directory available"))
        })?;
        let own = Certificate::from_pem(made.cert.pem().as_bytes())?;
        let client = Client::builder().tls_certs_only([own]).build()?;
        let issuing_root = client.get(format!("https://localhost:{management}/roots/0")).send().await?;
        let issuing_root = issuing_root.error_for_status()?.text().await.context("the authority shows its root")?;
        fs::write(file("roots.pem"), format!("{}{issuing_root}", made.cert.pem()))?;
        fs::write(file("issuing_root.pem"), &issuing_root)?;
        Ok(Self { folder, port, running, issuing_root })
    }

    /// Where its directory is.
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// File of the roots of its directory and of its certificates.
    pub fn roots_file(&self) -> PathBuf {
        self.folder.path().join("roots.pem")
    }

    /// File of the root of its certificates alone.
    pub fn issuing_root_file(&self) -> PathBuf {
        self.folder.path().join("issuing_root.pem")
    }

    /// A client that trusts its certificates alone, and makes a connection for each request.
    ///
    /// # Errors
    /// If its root cannot be used.
    pub fn client(&self) -> anyhow::Result<Client> {
        let root = Certificate::from_pem(self.issuing_root.as_bytes())?;
        Ok(Client::builder().tls_certs_only([root]).pool_max_idle_per_host(0).build()?)
    }

    /// How many certificates it was asked for.
    ///
    /// # Errors
    /// If its log cannot be read.
    pub fn orders(&self) -> anyhow::Result<usize> {
        Ok(self.log()?.matches("POST /order-plz").count())
    }

    /// Everything logged so far.
    ///
    /// # Errors
    /// If that cannot be read.
    pub fn log(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("log"))?)
    }

    /// Ends it.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.running.kill()
    }
}
