//! A small Debian to install the package on, kept under the hash of what it is made of.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::Arch;
use crate::config::Config;
use crate::image::run_foreign_programs;
use crate::process::run;
use crate::workspace::Workspace;

/// What a Raspberry Pi OS has, too, before anything of ours.
const PACKAGES: &[&str] = &["ca-certificates", "dbus", "systemd", "systemd-sysv", "udev"];

/// What is left out, to be quicker.
const WITHOUT: &[&str] = &["info", "locale", "man"];

impl Arch {
    /// The older and the newer of the two releases that Raspberry Pi OS is found with.
    pub(super) fn suite(self) -> &'static str {
        match self {
            Self::Amd64 => "bookworm",
            Self::Arm64 => "trixie",
        }
    }
}

/// The archive that holds the root file system, made now if it is not there.
///
/// # Errors
/// If a package cannot be had.
pub(super) fn ensure(config: &Config, workspace: &Workspace, arch: Arch) -> Result<PathBuf> {
    if arch == Arch::Arm64 {
        run_foreign_programs()?;
    }
    let folder = std::path::absolute(config.cache.as_deref().unwrap_or(&workspace.target))?.join("deb");
    let archive = folder.join(format!("{}-{}-{}.tar", arch.suite(), arch.name(), &fingerprint(arch)[..16]));
    if archive.exists() {
        return Ok(archive);
    }
    fs::create_dir_all(&folder).with_context(|| format!("failed to make the folder `{}`", folder.display()))?;
    println!("    building a Debian {} for {} once; this takes some minutes", arch.suite(), arch.name());
    let draft = folder.join(format!("part-{}.tar", arch.name()));
    make(arch, &draft)?;
    fs::rename(&draft, &archive).with_context(|| format!("failed to rename `{}`", draft.display()))?;
    Ok(archive)
}

fn fingerprint(arch: Arch) -> String {
    let parts = [&[arch.suite(), arch.name()], PACKAGES, WITHOUT].map(|part| part.join(" "));
    Sha256::digest(parts.join("\n")).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn make(arch: Arch, draft: &Path) -> Result<()> {
    let (suite, mut command) = (arch.suite(), Command::new("mmdebstrap"));
    command.args(["--variant=minbase", "--components=main", "--aptopt=APT::Install-Recommends \"false\""]);
    command.arg(format!("--architectures={}", arch.name())).arg(format!("--include={}", PACKAGES.join(",")));
    command.args(WITHOUT.iter().map(|folder| format!("--dpkgopt=path-exclude=/usr/share/{folder}/*")));
    command.arg(suite).arg(draft);
    command.args([
        format!("deb http://deb.debian.org/debian {suite} main"),
        format!("deb http://deb.debian.org/debian {suite}-updates main"),
        format!("deb http://deb.debian.org/debian-security {suite}-security main"),
    ]);
    run(&mut command)
}
