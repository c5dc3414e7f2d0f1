//! The programs for one kind of machine, in one archive.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::name;
use crate::config::Config;
use crate::cross;
use crate::process::run;
use crate::workspace::Workspace;

/// A kind of machine, by Debian's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Arch {
    /// 64-bit PCs
    Amd64,
    /// 64-bit Raspberry Pi
    Arm64,
}

impl Arch {
    fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    fn triple(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => cross::TARGET,
        }
    }
}

/// What comes with the programs.
const PAPERS: &[&str] = &["CHANGELOG.md", "LICENSE", "README.md"];

/// Compiles, and returns the archive.
///
/// # Errors
/// If something does not compile, or cannot be written.
pub(super) fn make(config: &Config, workspace: &Workspace, arch: Arch, out: &Path) -> Result<PathBuf> {
    let programs = cross::with_cross(config, workspace, arch.triple(), cross::ALL)?;
    pack(&workspace.root, &programs, &name(arch.name()), out)
}

/// All lies in a folder of the archive's name. Who has packed it is nobody's business.
fn pack(root: &Path, programs: &Path, name: &str, out: &Path) -> Result<PathBuf> {
    let scratch = tempfile::tempdir().context("failed to make a temporary folder")?;
    let folder = scratch.path().join(name);
    for made in [&folder, out] {
        fs::create_dir_all(made).with_context(|| format!("failed to make the folder `{}`", made.display()))?;
    }
    let files =
        cross::ALL.iter().map(|program| programs.join(program)).chain(PAPERS.iter().map(|paper| root.join(paper)));
    for file in files {
        let copy = folder.join(super::file_name(&file));
        fs::copy(&file, copy).with_context(|| format!("failed to copy `{}`", file.display()))?;
    }
    let archive = std::path::absolute(out.join(format!("{name}.tar.xz")))?;
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--create", "--xz", "--file"]).arg(&archive);
    run(tar.arg("--directory").arg(scratch.path()).arg(name))?;
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::output;

    #[test]
    fn an_archive_unpacks_into_one_folder() {
        let folder = tempfile::tempdir().unwrap();
        for file in cross::ALL.iter().chain(PAPERS) {
            fs::write(folder.path().join(file), file).unwrap();
        }
        let archive = pack(folder.path(), folder.path(), "tide-1.0.0-arm64", &folder.path().join("out")).unwrap();
        let list = output(Command::new("tar").arg("--list").arg("--file").arg(&archive)).unwrap();
        let expected = "tide-1.0.0-arm64/\ntide-1.0.0-arm64/CHANGELOG.md\ntide-1.0.0-arm64/LICENSE\n\
                        tide-1.0.0-arm64/README.md\ntide-1.0.0-arm64/tide-provision\ntide-1.0.0-arm64/tide-recorder\n\
                        tide-1.0.0-arm64/tide-server\ntide-1.0.0-arm64/tide-timesync\n";
        assert_eq!(list, expected);
    }

    #[test]
    fn cross_is_told_the_container_of_every_kind() {
        let settings = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cross.toml")).unwrap();
        for arch in Arch::value_variants() {
            let image = format!("image = \"ghcr.io/cross-rs/{}:0.2.5@sha256:", arch.triple());
            assert!(settings.contains(&image), "{image}");
        }
    }
}
