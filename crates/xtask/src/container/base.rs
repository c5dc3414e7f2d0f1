//! The base image: the one that the Dockerfile pins, or the same Debian made here, where no registry is reached.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::engine::Engine;
use crate::config::Config;
use crate::process::{output, run};
use crate::workspace::Workspace;

/// Debian's release that the Dockerfile names.
const SUITE: &str = "trixie";

/// What it is called if it was made here.
const OWN: &str = "tide-base:trixie";

/// Where Debian keeps the certificate authorities of a machine's owner: of a proxy, for instance, that looks into everything.
const AUTHORITIES: &str = "/usr/local/share/ca-certificates";

/// The name of an image that is there.
///
/// # Errors
/// If it can neither be pulled nor made.
pub(super) fn ensure(engine: &Engine, config: &Config, workspace: &Workspace) -> Result<String> {
    let pinned = pinned(&workspace.root)?;
    for (verb, name) in [(["image", "inspect"].as_slice(), OWN), (&["pull", "--quiet"], &pinned)] {
        if output(engine.command("docker").args(verb).arg(name)).is_ok() {
            println!("    base image: {name}");
            return Ok(name.to_owned());
        }
    }
    println!("    {pinned} cannot be pulled: Debian {SUITE} is put together here instead, once");
    make(engine, config, workspace)?;
    Ok(OWN.to_owned())
}

/// As the Dockerfile has it.
fn pinned(root: &Path) -> Result<String> {
    let file = root.join("Dockerfile");
    let text = fs::read_to_string(&file).with_context(|| format!("failed to read `{}`", file.display()))?;
    let value = text.lines().find_map(|line| line.strip_prefix("ARG BASE_IMAGE="));
    Ok(value.context("the Dockerfile has no ARG BASE_IMAGE")?.to_owned())
}

fn make(engine: &Engine, config: &Config, workspace: &Workspace) -> Result<()> {
    let folder = std::path::absolute(config.cache.as_deref().unwrap_or(&workspace.target))?;
    fs::create_dir_all(&folder).with_context(|| format!("failed to make the folder `{}`", folder.display()))?;
    let archive = folder.join("debian.tar");
    let mut mmdebstrap = engine.command("mmdebstrap");
    mmdebstrap.args(["--variant=minbase", "--include=ca-certificates"]);
    if Path::new(AUTHORITIES).is_dir() {
        mmdebstrap.arg(format!("--customize-hook=copy-in {AUTHORITIES} /usr/local/share"));
        mmdebstrap.arg("--customize-hook=chroot \"$1\" update-ca-certificates");
    }
    mmdebstrap.arg(SUITE).arg(&archive).args([
        format!("deb http://deb.debian.org/debian {SUITE} main"),
        format!("deb http://deb.debian.org/debian {SUITE}-updates main"),
        format!("deb http://deb.debian.org/debian-security {SUITE}-security main"),
    ]);
    run(&mut mmdebstrap)?;
    run(engine.command("docker").arg("import").arg(&archive).arg(OWN))?;
    fs::remove_file(&archive).with_context(|| format!("failed to remove `{}`", archive.display()))
}
