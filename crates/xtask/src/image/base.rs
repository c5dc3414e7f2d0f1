//! The base system of the Debian flavour: packages and kernel, without anything of ours. It takes minutes of emulated
//! installing, so it is kept, under the hash of what it is made of.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::can_run_aarch64;
use super::layers::Layers;
use crate::config::Config;
use crate::debian::is_root;
use crate::process::run;
use crate::workspace::Workspace;

/// Debian's release: the one that Raspberry Pi OS is based on, too.
const SUITE: &str = "trixie";

const COMPONENTS: &str = "main non-free-firmware";

/// Where a kernel keeps what runs programs of other machines.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// How Debian says that QEMU runs those of aarch64.
const BINFMT_RULE: &str = "/usr/lib/binfmt.d/qemu-aarch64.conf";

/// The archive that holds the base system of these layers, made now if it is not there.
///
/// # Errors
/// If a package cannot be had, or the device's hooks fail.
pub(crate) fn ensure(config: &Config, workspace: &Workspace, layers: &Layers) -> Result<PathBuf> {
    let folder = std::path::absolute(config.cache.as_deref().unwrap_or(&workspace.target))?.join("card");
    let archive = folder.join(format!("base-{}.tar", &fingerprint(layers)[..16]));
    if archive.exists() {
        println!("    base system: {}", archive.display());
        return Ok(archive);
    }
    fs::create_dir_all(&folder).with_context(|| format!("failed to make the folder `{}`", folder.display()))?;
    run_foreign_programs()?;
    println!("    building the base system once, in an emulated processor; this takes ten minutes or more");
    let draft = folder.join("base.part.tar");
    make(layers, &draft)?;
    remove_older(&folder)?;
    fs::rename(&draft, &archive).with_context(|| format!("failed to rename `{}`", draft.display()))?;
    Ok(archive)
}

/// Of all that decides what is in it: the command that makes it, and the device's layer, whose variables its hooks read.
fn fingerprint(layers: &Layers) -> String {
    let mut hash = Sha256::new();
    // Not where it is put.
    let command = mmdebstrap(layers, Path::new(""));
    for part in command.get_args().map(OsStr::as_encoded_bytes).chain([layers.device_text().as_bytes()]) {
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn make(layers: &Layers, draft: &Path) -> Result<()> {
    let mut command = mmdebstrap(layers, draft);
    layers.export(&mut command);
    // The device's layer makes the kernel's first file system itself, once instead of at each package.
    command.env("INITRD", "No");
    run(&mut command)
}

fn mmdebstrap(layers: &Layers, draft: &Path) -> Command {
    let mut command = Command::new("mmdebstrap");
    command.args(["--variant=minbase", "--architectures=arm64", "--aptopt=APT::Install-Recommends \"false\""]);
    command.arg(format!("--components={}", COMPONENTS.replace(' ', ",")));
    for folder in ["doc", "info", "locale", "man"] {
        command.arg(format!("--dpkgopt=path-exclude=/usr/share/{folder}/*"));
    }
    // The licences go with what they are for.
    command.arg("--dpkgopt=path-include=/usr/share/doc/*/copyright");
    command.arg(format!("--include={}", layers.packages().join(",")));
    command.args(layers.device_hooks().iter().map(|hook| format!("--customize-hook={hook}")));
    command.arg(SUITE).arg(draft);
    command.args([
        format!("deb http://deb.debian.org/debian {SUITE} {COMPONENTS}"),
        format!("deb http://deb.debian.org/debian {SUITE}-updates {COMPONENTS}"),
        format!("deb http://deb.debian.org/debian-security {SUITE}-security {COMPONENTS}"),
    ]);
    command
}

/// Debian registers QEMU where systemd runs; a container has to do it by hand.
///
/// # Errors
/// If that is not ours to do, or does not help.
pub(crate) fn run_foreign_programs() -> Result<()> {
    if can_run_aarch64() {
        return Ok(());
    }
    if !is_root()? {
        bail!("programs of aarch64 do not run here: as root, `systemctl restart systemd-binfmt` sees to that");
    }
    if !Path::new(BINFMT).join("register").exists() {
        run(Command::new("mount").args(["-t", "binfmt_misc", "binfmt_misc", BINFMT]))?;
    }
    let rule = fs::read(BINFMT_RULE).with_context(|| format!("failed to read `{BINFMT_RULE}`"))?;
    let register = Path::new(BINFMT).join("register");
    fs::write(&register, rule).with_context(|| format!("failed to write `{}`", register.display()))?;
    if !can_run_aarch64() {
        bail!("programs of aarch64 do not run here, although QEMU is registered for them");
    }
    Ok(())
}

/// One is 500 MB: those of other package lists go.
fn remove_older(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("base-") {
            fs::remove_file(&file).with_context(|| format!("failed to remove `{}`", file.display()))?;
        }
    }
    Ok(())
}
