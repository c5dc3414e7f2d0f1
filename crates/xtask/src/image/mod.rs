//! `cargo xtask image`: a card image from the layers in `image/` and the files in `overlays/`.
//!
//! The release's flavours are built by rpi-image-gen, called by `image/build.sh`. The Debian flavour is built here from the very
//! same layer files, with Debian's mmdebstrap and genimage, so that it can be booted in QEMU by `cargo xtask boot`.

mod base;
mod layers;
mod root;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::config::Config;
use crate::cross::{self, With};
use crate::debian::{Wanted, is_root};
use crate::process::{output, run};
use crate::workspace::Workspace;
pub(crate) use base::run_foreign_programs;
use layers::Layers;
use root::Root;

/// Build a card image.
#[derive(Args)]
pub(crate) struct Arguments {
    /// For what
    #[arg(long, value_enum, default_value = "debian")]
    flavour: Flavour,
    /// Where it lands; without this, `image-FLAVOUR` in the target folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What compiles the programs, as in `cargo xtask cross`
    #[arg(long, value_enum)]
    with: Option<With>,
}

/// What a card is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Flavour {
    /// Plain Debian: boots in QEMU
    Debian,
    /// Raspberry Pi OS for a Pi 3 or Zero 2 W; needs podman and rpi-image-gen, and no root
    Pi3,
    /// Raspberry Pi OS for a Pi 4
    Pi4,
    /// Raspberry Pi OS for a Pi 5
    Pi5,
}

impl Flavour {
    fn name(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Pi3 => "pi3",
            Self::Pi4 => "pi4",
            Self::Pi5 => "pi5",
        }
    }

    /// The file in `image/config`, without its ending.
    fn config(self) -> &'static str {
        match self {
            Self::Debian => DEBIANS_CONFIG,
            Self::Pi3 => "release-pi3",
            Self::Pi4 => "release-pi4",
            Self::Pi5 => "release-pi5",
        }
    }
}

const DEBIANS_CONFIG: &str = "ci-debian";

/// The Debian flavour's name in the output folder, before `.img`.
const DEBIANS_NAME: &str = "tide-debian-arm64";

/// The device layer's kernel and what it loads first, in `/boot` with a version behind the name: QEMU takes them from outside of the
/// image, without the version.
const KERNEL_FILES: &[&str] = &["vmlinuz", "initrd.img"];

/// For QEMU's Pi.
const DEVICE_TREE: &str = "bcm2837-rpi-3-b.dtb";

const TOOLS: Wanted = Wanted {
    purpose: "build a card image",
    packages: &[
        "arch-test",
        "debian-archive-keyring",
        "dosfstools",
        "e2fsprogs",
        "genimage",
        "libc6:arm64",
        "mmdebstrap",
        "mtools",
        "qemu-user-static",
        "uidmap",
        "zstd",
    ],
    suite: None,
};

/// Builds, and says what came of it.
///
/// # Errors
/// If something is missing, does not compile, or a layer is wrong.
pub(crate) fn run_verb(arguments: &Arguments) -> Result<()> {
    let (config, workspace) = (Config::from_environment(), Workspace::load()?);
    let programs = cross::build(&config, &workspace, arguments.with, cross::STATION)?;
    let out =
        arguments.out.clone().unwrap_or_else(|| workspace.target.join(format!("image-{}", arguments.flavour.name())));
    let out = std::path::absolute(out)?;
    fs::create_dir_all(&out).with_context(|| format!("failed to make the folder `{}`", out.display()))?;
    if arguments.flavour != Flavour::Debian {
        let mut build = Command::new(workspace.root.join("image/build.sh"));
        return run(build.env("WORK", &out).arg(arguments.flavour.config()).arg(&programs));
    }
    build_debian(&config, &workspace, &programs, &out)?;
    for name in [format!("{DEBIANS_NAME}.img"), format!("{DEBIANS_NAME}-test.img")] {
        let file = out.join(&name);
        println!("{:>8} MiB  {}", file.metadata()?.len() >> 20, file.display());
    }
    Ok(())
}

/// The Debian flavour: the product's image, and one with the test hooks of `overlays/test` over it.
///
/// # Errors
/// As [`run_verb`].
pub(crate) fn build_debian(config: &Config, workspace: &Workspace, programs: &Path, out: &Path) -> Result<()> {
    TOOLS.ensure()?;
    let image = workspace.root.join("image");
    let mut layers = Layers::read(&image, DEBIANS_CONFIG)?;
    layers.set("IGconf_tide_bindir", programs.display().to_string());
    let base = base::ensure(config, workspace, &layers)?;
    let root = Root::unpack(&base, &out.join("root"))?;
    layers.lay(&root)?;
    root.run_script(&image.join("bdebstrap/customize90-assert"), &layers)?;
    export_kernel(&root, out)?;
    make_card(&root, &layers, &image, out, DEBIANS_NAME)?;
    root.lay_over(&workspace.root.join("overlays/test"))?;
    make_card(&root, &layers, &image, out, &format!("{DEBIANS_NAME}-test"))?;
    root.remove()
}

fn export_kernel(root: &Root, out: &Path) -> Result<()> {
    for name in KERNEL_FILES {
        let found = newest(&root.path().join("boot"), &format!("{name}-"))?;
        root.run(Command::new("install").args(["-m", "0644"]).arg(&found).arg(out.join(name)))?;
    }
    let trees = newest(&root.path().join("usr/lib"), "linux-image-")?;
    root.run(Command::new("install").args(["-m", "0644"]).arg(trees.join("broadcom").join(DEVICE_TREE)).arg(out))
}

fn newest(folder: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("failed to list `{}`", folder.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let name = names.filter(|name| name.starts_with(prefix)).max();
    Ok(folder.join(name.with_context(|| format!("`{}` holds no `{prefix}...`", folder.display()))?))
}

/// One image file of the root folder, by the layout that both flavours share.
fn make_card(root: &Root, layers: &Layers, image: &Path, out: &Path, name: &str) -> Result<()> {
    let layout = image.join("image/tide-sd");
    let work = out.join("work");
    root.run(Command::new("rm").arg("-rf").arg(&work))?;
    fs::create_dir_all(work.join("empty"))?;
    let mut fill = Command::new(layout.join("pre-image.sh"));
    layers.export(&mut fill);
    fill.env("IGconf_image_name", name).env("IGconf_image_suffix", "img").env("IGconf_image_outputdir", &work);
    run(fill.current_dir(&layout).arg(root.path()).arg(&work))?;
    let mut genimage = Command::new("genimage");
    layers.export(&mut genimage);
    genimage.arg("--config").arg(work.join("genimage.cfg")).arg("--rootpath").arg(root.path());
    genimage
        .arg("--inputpath")
        .arg(work.join("empty"))
        .arg("--outputpath")
        .arg(out)
        .arg("--tmppath")
        .arg(work.join("tmp"));
    root.run_quietly(&mut genimage)?;
    root.run(Command::new("rm").arg("-rf").arg(&work))?;
    for part in ["boot.vfat", "root.ext4", "boot.vfat.sparse", "root.ext4.sparse", &format!("{name}.img.sparse")] {
        root.run(Command::new("rm").arg("-f").arg(out.join(part)))?;
    }
    ensure!(out.join(format!("{name}.img")).exists(), "genimage has made no {name}.img");
    Ok(())
}

/// Programs as root, or as somebody whom a name space of their own takes for root.
fn as_root() -> Result<Option<Vec<&'static str>>> {
    Ok(if is_root()? { None } else { Some(vec!["unshare", "--map-root-user", "--map-auto", "--"]) })
}

/// Whether the machine can run the Pi's programs.
fn can_run_aarch64() -> bool {
    output(Command::new("arch-test").arg("arm64")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flavour_has_its_configuration() {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../image/config");
        for flavour in Flavour::value_variants() {
            let file = configs.join(format!("{}.yaml", flavour.config()));
            assert!(file.exists(), "{} is missing", file.display());
        }
    }
}
