//! `cargo xtask scan`: strangers' tools look for holes in a release server. Not part of `cargo verify`: it takes minutes, and
//! what the tools find depends on their version.

use std::path::{self, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::config::Config;
use crate::workspace::Workspace;
use crate::{process, release_run};

/// A program from PyPI at one version, so that every machine judges alike; in a folder of its own, because the two want different
/// versions of what they share.
struct Tool {
    package: &'static str,
    version: &'static str,
    program: &'static str,
}

const WAPITI: Tool = Tool { package: "wapiti3", version: "3.2.3", program: "wapiti" };

const SCHEMATHESIS: Tool = Tool { package: "schemathesis", version: "4.32.5", program: "schemathesis" };

/// Scan a release server for holes (wapiti) and fuzz its interface (schemathesis); takes about ten minutes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Longest time for each of the four scans, in seconds.
    #[arg(long, default_value_t = 150)]
    seconds: u32,
}

/// Installs the tools where they are missing, builds for release, and scans.
///
/// # Errors
/// If a tool cannot be installed, or the scan finds something.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::load()?;
    let config = Config::from_environment();
    let (wapiti, schemathesis) = (WAPITI.ensure(&config, &workspace)?, SCHEMATHESIS.ensure(&config, &workspace)?);
    let seconds = arguments.seconds.to_string();
    let (wapiti, schemathesis) = (wapiti.display().to_string(), schemathesis.display().to_string());
    let options = ["--wapiti", &wapiti, "--schemathesis", &schemathesis, "--seconds", &seconds].map(str::to_owned);
    release_run::run_in(&workspace, "tide-scan", &options)
}

impl Tool {
    /// The program, installed now if it is missing.
    fn ensure(&self, config: &Config, workspace: &Workspace) -> Result<PathBuf> {
        let Self { package, version, program } = self;
        let folder = path::absolute(config.cache.as_deref().unwrap_or(&workspace.target))?;
        let folder = folder.join("tools").join(format!("{package}-{version}"));
        let path = folder.join("bin").join(program);
        if !path.exists() {
            process::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
            let mut pip = Command::new(folder.join("bin/pip"));
            let wanted = format!("{package}=={version}");
            process::run(pip.args(["install", "--quiet", "--disable-pip-version-check", &wanted]))?;
        }
        Ok(path)
    }
}
