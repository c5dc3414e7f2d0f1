//! `cargo xtask boot`: the Debian flavour of the card image, booted in QEMU.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::config::Config;
use crate::cross;
use crate::debian::Wanted;
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

/// QEMU of 2024 or later: an older one has no I2C in its Raspberry Pi.
const QEMU: Wanted = Wanted { purpose: "boot a card image", packages: &["qemu-system-arm"], suite: None };

/// Builds what is needed, and boots.
///
/// # Errors
/// If something cannot be built, or a scenario fails.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (config, workspace) = (Config::from_environment(), Workspace::load()?);
    run_in(&config, &workspace, &arguments.options)
}

/// The same in a workspace that is known already.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_in(config: &Config, workspace: &Workspace, options: &[String]) -> Result<()> {
    QEMU.ensure()?;
    let programs = cross::build(config, workspace, None)?;
    let folder = workspace.target.join("image-debian");
    std::fs::create_dir_all(&folder)?;
    image::build_debian(config, workspace, &programs, &folder)?;
    process::run(&mut process::cargo(&["build", "--workspace", "--bins", "--locked"]))?;
    let mut boot = Command::new(workspace.target.join("debug/tide-boot"));
    process::run(without_foreign_variables(&mut boot).arg("--image").arg(&folder).args(options))
}
