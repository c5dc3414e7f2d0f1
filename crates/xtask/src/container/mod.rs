//! `cargo xtask container`: the server's container, built for both architectures and tried as its users have it.

mod base;
#[cfg(test)]
mod claims;
mod engine;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::config::Config;
use crate::image;
use crate::process::{self, without_foreign_variables};
use crate::workspace::Workspace;
use engine::Engine;

/// Build the server's container for amd64 and arm64, and try it: one command puts it on this machine, a station delivers to it, a
/// browser looks at it. Needs a container engine; on Debian as root one is started for as long as this lasts.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Build only, for this architecture alone, and say what the image is called.
    #[arg(long, value_name = "amd64|arm64")]
    only_build: Option<String>,
    /// Try the command for Windows, too; needs PowerShell (`pwsh`).
    #[arg(long)]
    powershell: bool,
    /// Folder for a picture of the gallery.
    #[arg(long)]
    pictures: Option<PathBuf>,
}

/// What the images are called here: no release has these names.
const NAME: &str = "tide-under-test";

/// Builds, and tries.
///
/// # Errors
/// If something is missing, does not build, or does not hold.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (config, workspace) = (Config::from_environment(), Workspace::load()?);
    let engine = Engine::ensure(&config, &workspace)?;
    let base = base::ensure(&engine, &config, &workspace)?;
    if let Some(architecture) = &arguments.only_build {
        println!("{}", build(&engine, &workspace, &base, architecture, "server")?);
        return Ok(());
    }
    let own = build(&engine, &workspace, &base, "amd64", "server")?;
    let foreign = build(&engine, &workspace, &base, "arm64", "server")?;
    let film = build(&engine, &workspace, &base, "amd64", "film")?;
    image::run_foreign_programs()?;
    process::run(&mut process::cargo(&["build", "--workspace", "--bins", "--locked"]))?;
    let mut container = engine.command(workspace.target.join("debug/tide-container"));
    without_foreign_variables(&mut container).arg(own).arg("--foreign").arg(foreign).arg("--film").arg(film);
    if arguments.powershell {
        container.arg("--powershell");
    }
    if let Some(folder) = &arguments.pictures {
        container.arg("--pictures").arg(folder);
    }
    process::run(&mut container)
}

/// Builds one form for one architecture; the image's name.
fn build(engine: &Engine, workspace: &Workspace, base: &str, architecture: &str, form: &str) -> Result<String> {
    let name = format!("{NAME}-{form}:{architecture}");
    println!("==> building the container ({form}) for {architecture}; the first time this takes ten minutes or more");
    let mut docker = engine.command("docker");
    docker.args(["build", "--target", form, "--tag", &name]);
    let (platform, revision) = (format!("linux/{architecture}"), revision(&workspace.root)?);
    let mut variables =
        vec![("BASE_IMAGE", base), ("VERSION", env!("CARGO_PKG_VERSION")), ("REVISION", revision.trim())];
    if engine.has_buildkit() {
        docker.args(["--load", "--platform", &platform]);
    } else {
        // BuildKit knows these by itself; the classic builder has to be told, and cannot mix platforms otherwise.
        variables.extend([
            ("BUILDPLATFORM", "linux/amd64"),
            ("TARGETPLATFORM", &platform),
            ("TARGETARCH", architecture),
        ]);
    }
    for (variable, value) in variables {
        docker.arg("--build-arg").arg(format!("{variable}={value}"));
    }
    process::run(docker.arg(&workspace.root))?;
    Ok(name)
}

/// The commit.
fn revision(root: &Path) -> Result<String> {
    let said = process::output(Command::new("git").arg("-C").arg(root).args(["rev-parse", "HEAD"]));
    said.context("failed to ask git for the commit")
}
