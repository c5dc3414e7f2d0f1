//! `cargo xtask bench` and `cargo xtask faults`, and what `cargo xtask scan` shares with them: programs of the journeys, built
//! for release and run.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::process;
use crate::workspace::Workspace;

/// Measure the server: rate, waits, processor time and memory at several sizes and numbers of clients.
#[derive(Args)]
pub(crate) struct Bench {
    /// Passed on; `-- --help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// Do to the server what a pier, a disk and a hostile stranger do: `[NAME] [--rounds N] [--seed S]`.
#[derive(Args)]
pub(crate) struct Faults {
    /// Passed on; `list` lists the faults.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// Builds for release and runs the benchmark.
///
/// # Errors
/// If something cannot be built, or the server refuses a photo.
pub(crate) fn bench(arguments: &Bench) -> Result<()> {
    run("tide-bench", &arguments.options)
}

/// Builds for release and runs the fault tests.
///
/// # Errors
/// If something cannot be built, or a fault did harm.
pub(crate) fn faults(arguments: &Faults) -> Result<()> {
    run("tide-faults", &arguments.options)
}

fn run(program: &str, options: &[String]) -> Result<()> {
    run_in(&Workspace::load()?, program, options)
}

/// Builds for release and runs a program of the journeys.
///
/// # Errors
/// If something cannot be built, or the program fails.
pub(crate) fn run_in(workspace: &Workspace, program: &str, options: &[String]) -> Result<()> {
    let mut build = process::cargo(&["build", "--workspace", "--bins", "--release", "--locked"]);
    process::run(build.current_dir(&workspace.root))?;
    process::run(Command::new(workspace.target.join("release").join(program)).args(options))
}
