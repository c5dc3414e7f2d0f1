//! `cargo xtask release`: what the release workflow does, so that each part can be tried here.

mod binaries;
mod changelog;
mod os_list;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};

use crate::config::Config;
use crate::process;
use crate::tools::Tool;
use crate::workspace::Workspace;
use binaries::Arch;
use changelog::Section;

/// The parts of a release: notes, archives of programs, what these are made of, the list for Raspberry Pi Imager.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Print what CHANGELOG.md says of the workspace's version
    Notes {
        /// Refuse unless this tag is the version's, and the section has the day of the release
        #[arg(long)]
        tag: Option<String>,
    },
    /// Compile with `cross`, in the containers that Cross.toml names, and pack the programs
    Binaries {
        /// For which machines
        #[arg(long, value_enum)]
        arch: Arch,
        /// Where the archive lands
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Write down which crates the programs are made of, at which version and under which licence (SPDX 2.3)
    Parts {
        /// Where the list lands
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Print the list by which Raspberry Pi Imager offers the compressed card images of a folder
    OsList {
        /// Where the folder's files will be downloaded from
        #[arg(long, value_name = "URL")]
        base_url: String,
        /// The folder
        dir: PathBuf,
    },
}

/// Reads Cargo.lock and each crate's licence.
const SBOM: Tool = Tool { name: "cargo-sbom", version: "0.10.0" };

/// The version of all that is released: every crate has the workspace's.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Does the part that was asked for.
///
/// # Errors
/// If it is not ready for a release; the message says what is missing.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::load()?;
    let section = Section::read(&workspace.root.join("CHANGELOG.md"), VERSION);
    match &arguments.part {
        Part::Notes { tag } => {
            let section = section?;
            if let Some(tag) = tag {
                check_tag(tag)?;
                section.date()?;
            }
            println!("{}", section.text());
        }
        Part::Binaries { arch, out } => {
            let archive = binaries::make(&Config::from_environment(), &workspace, *arch, out)?;
            println!("{:>8} KiB  {}", archive.metadata()?.len() / 1_024, archive.display());
        }
        Part::Parts { out } => {
            let sbom = SBOM.ensure(&Config::from_environment(), &workspace)?;
            let mut command = Command::new(sbom);
            command.args(["--output-format", "spdx_json_2_3", "--project-directory"]).arg(&workspace.root);
            let file = out.join(format!("tide-{VERSION}-programs.spdx.json"));
            fs::create_dir_all(out).with_context(|| format!("failed to make the folder `{}`", out.display()))?;
            fs::write(&file, process::output(&mut command)?)
                .with_context(|| format!("failed to write `{}`", file.display()))?;
            println!("{}", file.display());
        }
        Part::OsList { base_url, dir } => println!("{}", os_list::make(dir, base_url, section?.date()?)?),
    }
    Ok(())
}

fn check_tag(tag: &str) -> Result<()> {
    ensure!(
        tag.strip_prefix('v') == Some(VERSION),
        "the tag `{tag}` is not that of version {VERSION}: change the version in Cargo.toml, or tag as `v{VERSION}`"
    );
    Ok(())
}

/// The name of a released file, without its ending.
fn name(what: &str) -> String {
    format!("tide-{VERSION}-{what}")
}

/// A file's name as text.
fn file_name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_versions_own_tag_will_do() {
        assert!(check_tag(&format!("v{VERSION}")).is_ok());
        for tag in [VERSION, "v", "v99.0.0", "latest"] {
            assert!(check_tag(tag).unwrap_err().to_string().contains(VERSION), "{tag}");
        }
    }
}
