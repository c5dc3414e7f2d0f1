//! A server that `tide-server init` has put on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::engine::{compose, container_facts, docker};
use crate::programs::output;
use crate::server::{Login, free_port};

/// As the compose file calls it: the prototype's name for it.
const CONTAINER: &str = "tide-recorder-server-https";

/// How long an engine may take until it calls a container healthy or unhealthy: a check every 30 s, three of them, and then some.
const VERDICT: Duration = Duration::from_secs(180);

/// The shell that runs what `tide-server init` prints.
#[derive(Debug, Clone, Copy)]
pub enum Shell {
    /// Of Linux and macOS.
    Posix,
    /// Of Windows, which GitHub's Linux machines have, too.
    PowerShell,
}

impl Shell {
    /// The command of the README for this image.
    fn runs_init_of(self, image: &str) -> anyhow::Result<Command> {
        let mut command;
        match self {
            Self::Posix => {
                command = Command::new("sh");
                command.arg("-c").arg(docker(&["run", "--rm", image, "init", "--image", image])?);
            }
            Self::PowerShell => {
                command = Command::new("pwsh");
                command.args(["-NoProfile", "-NonInteractive", "-Command"]);
                command.arg(format!("iex (docker run --rm {image} init --powershell --image {image} | Out-String)"));
            }
        }
        Ok(command)
    }
}

/// The deployment, which goes with this value, and its volume too.
pub struct Deployment {
    shell: Shell,
    folder: TempDir,
    port: u16,
    password: String,
}

impl Deployment {
    /// Runs the command of the README for this image, with nobody to answer questions. `overrides` is a compose file that is
    /// laid over, as a person lays one there; `chosen` a password that is chosen beforehand.
    ///
    /// # Errors
    /// If it fails, or such a container exists.
    pub fn of(image: &str, overrides: Option<&str>, chosen: Option<&str>) -> anyhow::Result<Self> {
        Self::by(Shell::Posix, image, overrides, chosen)
    }

    /// The same in another shell.
    ///
    /// # Errors
    /// As [`Deployment::of`].
    pub fn by(shell: Shell, image: &str, overrides: Option<&str>, chosen: Option<&str>) -> anyhow::Result<Self> {
        ensure!(
            container_facts(CONTAINER).is_err(),
            "there is a container {CONTAINER} on this machine already, and the test would end it; remove it first"
        );
        let folder = TempDir::with_prefix("tide-container-")?;
        let mut deployment = Self { shell, folder, port: free_port()?, password: String::new() };
        if let Some(text) = overrides {
            fs::create_dir_all(deployment.folder())?;
            fs::write(deployment.folder().join("docker-compose.override.yml"), text)?;
        }
        let printed = deployment.init_with(image, chosen)?;
        if let Some(chosen) = chosen {
            ensure!(!printed.contains(chosen), "a password is printed that was chosen beforehand");
            ensure!(!deployment.facts()?.to_string().contains(chosen), "the container's settings hold the password");
            chosen.clone_into(&mut deployment.password);
            return Ok(deployment);
        }
        let password = printed.lines().find_map(|line| line.trim().strip_prefix("Password  "));
        password
            .with_context(|| format!("no password was printed, but: {printed}"))?
            .clone_into(&mut deployment.password);
        Ok(deployment)
    }

    /// Runs that command, the first time or again; what it printed.
    ///
    /// # Errors
    /// If it fails.
    pub fn init(&self, image: &str) -> anyhow::Result<String> {
        self.init_with(image, None)
    }

    /// Runs it in another folder, by somebody who has forgotten where the server lies; what it printed.
    ///
    /// # Errors
    /// If it fails, or puts anything there.
    pub fn init_elsewhere(&self, image: &str) -> anyhow::Result<String> {
        let elsewhere = TempDir::with_prefix("tide-elsewhere-")?;
        let mut command = self.shell.runs_init_of(image)?;
        let printed = output(command.stdin(Stdio::null()).current_dir(elsewhere.path()))?;
        let strays = fs::read_dir(elsewhere.path())?.count();
        ensure!(strays == 0, "{strays} files or folders were put where no server lies");
        Ok(printed)
    }

    fn init_with(&self, image: &str, chosen: Option<&str>) -> anyhow::Result<String> {
        let mut command = self.shell.runs_init_of(image)?;
        command.stdin(Stdio::null());
        command.env("TIDE_FOLDER", self.folder()).env("TIDE_PUBLIC_NAME", "127.0.0.1");
        command.env("TIDE_PORT", self.port.to_string()).env_remove("ADMIN_PASS");
        command.envs(chosen.map(|chosen| ("ADMIN_PASS", chosen)));
        output(&mut command)
    }

    /// Where its compose file is.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("tide-recorder")
    }

    /// Where its pages are.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The first operator's password, as it was printed.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Runs compose with these arguments; what it printed.
    ///
    /// # Errors
    /// If it fails.
    pub fn compose(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let words = compose()?;
        output(Command::new(words[0]).args(&words[1..]).args(arguments).current_dir(self.folder()))
    }

    /// Runs `tide-server` in the container.
    ///
    /// # Errors
    /// If it fails.
    pub fn tide_server(&self, arguments: &[&str]) -> anyhow::Result<String> {
        docker(&[["exec", CONTAINER, "tide-server"].as_slice(), arguments].concat())
    }

    /// What the engine knows of the container.
    ///
    /// # Errors
    /// If there is none.
    pub fn facts(&self) -> anyhow::Result<Value> {
        container_facts(CONTAINER)
    }

    /// The server's certificate (PEM), out of the volume.
    ///
    /// # Errors
    /// If it has none.
    pub fn certificate(&self) -> anyhow::Result<Vec<u8>> {
        let file = self.folder.path().join("certificate.pem");
        docker(&["cp", &format!("{CONTAINER}:/data/tls/certificate.pem"), path(&file)?])?;
        Ok(fs::read(file)?)
    }

    /// Logs the first operator in, over TLS that trusts this certificate alone.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn log_in(&self) -> anyhow::Result<Login> {
        let trusted = reqwest::Certificate::from_pem(&self.certificate()?)?;
        let builder = || Ok(reqwest::Client::builder().tls_certs_only([trusted.clone()]));
        Login::at(&self.url(), builder, "admin", &self.password).await
    }

    /// Waits until the server answers again, after a start.
    ///
    /// # Errors
    /// If it does not.
    pub fn until_serving(&self) -> anyhow::Result<()> {
        crate::programs::until("the server in the container serves", || Ok(self.tide_server(&["healthcheck"]).is_ok()))
    }

    /// Waits until the engine calls the container `healthy` or `unhealthy`, as wanted; how long that took.
    ///
    /// # Errors
    /// If it does not.
    pub fn until_engine_says(&self, wanted: &str) -> anyhow::Result<Duration> {
        let began = Instant::now();
        loop {
            let facts = self.facts()?;
            let health = &facts["State"]["Health"];
            if health["Status"] == wanted {
                return Ok(began.elapsed());
            }
            if began.elapsed() > VERDICT {
                bail!("the container should be {wanted}, but the engine says {health}");
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// What `tide-server check` says of the volume, which must be that nothing is wrong.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn check(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.tide_server(&["check", "--read", "--json"])?)?)
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        // A failure before may have left nothing to end.
        drop(self.compose(&["down", "--volumes"]));
    }
}

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path is no text")
}
