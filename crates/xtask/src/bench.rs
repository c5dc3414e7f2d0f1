//! `cargo xtask bench`: the release server under load, beside what the same disk can do.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::process;
use crate::workspace::Workspace;

/// Measure the server: rate, waits, processor time and memory at several sizes and numbers of clients.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Passed on; `-- --help` lists them.
    #[arg(trailing_var_arg = true)]
    options: Vec<String>,
}

/// Builds for release and runs the benchmark.
///
/// # Errors
/// If something cannot be built, or the server refuses a photo.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::load()?;
    let mut build = process::cargo(&["build", "--workspace", "--bins", "--release", "--locked"]);
    process::run(build.current_dir(&workspace.root))?;
    process::run(Command::new(workspace.target.join("release/tide-bench")).args(&arguments.options))
}
