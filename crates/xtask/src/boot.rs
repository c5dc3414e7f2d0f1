//! `cargo xtask boot`: the Debian flavour of the card image, booted in QEMU.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::config::Config;
use crate::cross;
use crate::debian::{Wanted, codename, is_debian};
use crate::image;
use crate::process::{self, without_foreign_variables};
use crate::workspace::Workspace;

/// Boot the card image in QEMU and do to it what happens on a pier: `[SCENARIO...] [--cuts N] [--seed S]`; `list` lists them.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Passed on; `-- --help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// The emulator.
const QEMU: &str = "qemu-system-aarch64";

/// The first with I2C in its Raspberry Pi, of 2024.
const QEMU_AT_LEAST: u32 = 9;

/// Where Debian has it, beginning with release 13.
const FROM_RELEASE: Wanted = Wanted { purpose: "boot a card image", packages: &["qemu-system-arm"], suite: None };

/// The same for release 12.
const FROM_BACKPORTS: Wanted = Wanted { suite: Some("bookworm-backports"), ..FROM_RELEASE };

/// Builds what is needed, and boots.
///
/// # Errors
/// If something cannot be built, or a scenario fails.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (config, workspace) = (Config::from_environment(), Workspace::load()?);
    if arguments.options.iter().any(|option| option == "list" || option == "--help") {
        // Whoever asks what there is has not asked for half an hour of building.
        return process::run(process::cargo(&["run", "--quiet", "--bin", "tide-boot", "--"]).args(&arguments.options));
    }
    run_in(&config, &workspace, &arguments.options)
}

/// The same in a workspace that is known already.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_in(config: &Config, workspace: &Workspace, options: &[String]) -> Result<()> {
    ensure_qemu()?;
    let folder = build_in(config, workspace)?;
    process::run(&mut process::cargo(&["build", "--workspace", "--bins", "--locked"]))?;
    let mut boot = Command::new(workspace.target.join("debug/tide-boot"));
    process::run(without_foreign_variables(&mut boot).arg("--image").arg(&folder).args(options))
}

/// Builds the card image that is booted, and returns its folder.
///
/// # Errors
/// If something is missing, does not compile, or a layer is wrong.
pub(crate) fn build_in(config: &Config, workspace: &Workspace) -> Result<PathBuf> {
    // Where there is Debian's compiler: `cross` has rustup fetch a toolchain, and may change the one that this very build runs with.
    let with = is_debian().then_some(cross::With::Debian);
    let programs = cross::build(config, workspace, with, cross::STATION)?;
    let folder = workspace.target.join("image-debian");
    std::fs::create_dir_all(&folder)?;
    image::build_debian(config, workspace, &programs, &folder)?;
    Ok(folder)
}

fn ensure_qemu() -> Result<()> {
    if qemu_release().is_some_and(|release| release >= QEMU_AT_LEAST) {
        return Ok(());
    }
    let wanted = if is_debian() && codename()? == "bookworm" { FROM_BACKPORTS } else { FROM_RELEASE };
    wanted.install()?;
    match qemu_release() {
        Some(release) if release >= QEMU_AT_LEAST => Ok(()),
        found => bail!("{QEMU} has to be of release {QEMU_AT_LEAST} or later, and is of {found:?}"),
    }
}

fn qemu_release() -> Option<u32> {
    let said = Command::new(QEMU).arg("--version").output().ok()?;
    release_in(&String::from_utf8_lossy(&said.stdout))
}

/// "QEMU emulator version 10.0.2 (Debian ...)".
fn release_in(version: &str) -> Option<u32> {
    version.split_once("version ")?.1.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_read_from_what_qemu_says() {
        assert_eq!(release_in("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\n"), Some(10));
        assert_eq!(release_in("QEMU emulator version 7.2.19\n"), Some(7));
        assert_eq!(release_in("no such program"), None);
    }
}
