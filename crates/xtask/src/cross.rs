//! `cargo xtask cross`: the programs, compiled here for a Raspberry Pi.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::config::Config;
use crate::debian::{Wanted, is_debian};
use crate::process::{output, run, without_foreign_variables};
use crate::tools::Tool;
use crate::workspace::Workspace;

/// Compile the programs for a Raspberry Pi (aarch64, 64-bit systems).
#[derive(Args)]
pub(crate) struct Arguments {
    /// What compiles; without this, `cross` where a container engine answers, and Debian's cross compiler elsewhere
    #[arg(long, value_enum)]
    with: Option<With>,
}

/// What compiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum With {
    /// `cross`, in the container that Cross.toml names
    Cross,
    /// Debian's packages: compiler, standard library and linker, on x86_64
    Debian,
}

/// The Pi's architecture, as Rust names it.
pub(crate) const TARGET: &str = "aarch64-unknown-linux-gnu";

/// The programs of a station.
pub(crate) const STATION: &[&str] = &["tide-provision", "tide-recorder", "tide-timesync"];

/// A Pi may be the server, too.
pub(crate) const ALL: &[&str] = &["tide-provision", "tide-recorder", "tide-server", "tide-timesync"];

/// The last release, of 2023; its images are those that Cross.toml pins.
const CROSS: Tool = Tool { name: "cross", version: "0.2.5" };

/// Debian's own Rust, because rustup's standard library for another architecture comes from a host that not everybody reaches.
const DEBIANS: Wanted = Wanted {
    purpose: "compile for a Raspberry Pi",
    packages: &[
        "cargo-web",
        "gcc-aarch64-linux-gnu",
        "libc6-dev-arm64-cross",
        "libstd-rust-web-dev:arm64",
        "rustc-web",
    ],
    suite: None,
};

/// Compiles, and says where the programs are.
///
/// # Errors
/// If something is missing or does not compile.
pub(crate) fn run_verb(arguments: &Arguments) -> Result<()> {
    let folder = build(&Config::from_environment(), &Workspace::load()?, arguments.with, ALL)?;
    for program in ALL {
        let file = folder.join(program);
        let kib = file.metadata().with_context(|| format!("failed to read `{}`", file.display()))?.len() / 1_024;
        println!("{kib:>8} KiB  {}", file.display());
    }
    Ok(())
}

/// Compiles, and returns the folder that holds the programs.
///
/// # Errors
/// As [`run_verb`].
pub(crate) fn build(config: &Config, workspace: &Workspace, with: Option<With>, programs: &[&str]) -> Result<PathBuf> {
    if with.unwrap_or_else(chosen) == With::Cross {
        return with_cross(config, workspace, TARGET, programs);
    }
    let target = cache(config, workspace)?.join("cross");
    run(with_programs(&mut debians(&target)?, workspace, TARGET, programs))?;
    Ok(target.join(TARGET).join("release"))
}

/// The same with `cross` and for an architecture of which Cross.toml names the container.
///
/// # Errors
/// As [`run_verb`].
pub(crate) fn with_cross(config: &Config, workspace: &Workspace, triple: &str, programs: &[&str]) -> Result<PathBuf> {
    let target = cache(config, workspace)?.join("cross-container");
    run(with_programs(&mut cross(config, workspace, &target)?, workspace, triple, programs))?;
    Ok(target.join(triple).join("release"))
}

/// Where both compilers build, in a folder each: they are of different versions and would throw each other's work away.
fn cache(config: &Config, workspace: &Workspace) -> Result<PathBuf> {
    Ok(std::path::absolute(config.cache.as_deref().unwrap_or(&workspace.target))?)
}

/// `cross` is the customer's choice, wherever it can run.
fn chosen() -> With {
    if is_debian() && !has_container_engine() { With::Debian } else { With::Cross }
}

/// Whether the engine that `cross` would take answers: docker where it is installed, running or not, else podman.
fn has_container_engine() -> bool {
    let asked =
        |engine: &&str| Command::new(engine).arg("info").stdout(Stdio::null()).stderr(Stdio::null()).status().ok();
    ["docker", "podman"].iter().find_map(asked).is_some_and(|status| status.success())
}

fn cross(config: &Config, workspace: &Workspace, target: &Path) -> Result<Command> {
    let mut command = Command::new(CROSS.ensure(config, workspace)?);
    without_foreign_variables(&mut command);
    command.args(["build", "--target-dir"]).arg(target);
    Ok(command)
}

fn debians(target: &Path) -> Result<Command> {
    DEBIANS.ensure()?;
    let version = output(Command::new("/usr/bin/rustc").arg("--version"))?;
    ensure!(version.contains("rustc "), "/usr/bin/rustc is not Debian's: it says `{}`", version.trim());
    // By its path, and without what `cargo xtask` has set for itself: rustup's would look for a toolchain of its own.
    let mut command = Command::new("/usr/bin/cargo");
    without_foreign_variables(&mut command);
    for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTUP_HOME", "RUSTC_WRAPPER"] {
        command.env_remove(name);
    }
    command.env("RUSTC", "/usr/bin/rustc").env("CARGO_TARGET_DIR", target).arg("build");
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
    command.env("CC_aarch64_unknown_linux_gnu", "aarch64-linux-gnu-gcc");
    command.env("AR_aarch64_unknown_linux_gnu", "aarch64-linux-gnu-ar");
    Ok(command)
}

fn with_programs<'a>(
    command: &'a mut Command,
    workspace: &Workspace,
    triple: &str,
    programs: &[&str],
) -> &'a mut Command {
    command.current_dir(&workspace.root).args(["--locked", "--release", "--target", triple]);
    command.args(programs.iter().flat_map(|program| ["--package", program]))
}
