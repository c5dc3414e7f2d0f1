//! `cargo xtask scan`: strangers' tools look for holes in a release server. Not part of `cargo verify`: it takes minutes, and
//! what the tools find depends on their version.

use anyhow::Result;
use clap::Args;

use crate::config::Config;
use crate::release_run;
use crate::tools::PythonTool;
use crate::workspace::Workspace;

// In a folder of its own each, because the two want different versions of what they share.
const WAPITI: PythonTool = PythonTool { package: "wapiti3", version: "3.2.3", program: "wapiti" };

const SCHEMATHESIS: PythonTool = PythonTool { package: "schemathesis", version: "4.32.5", program: "schemathesis" };

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
