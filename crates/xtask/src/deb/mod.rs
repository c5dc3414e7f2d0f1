//! `cargo xtask deb`: the package for stations that run Raspberry Pi OS already, or Debian.

mod base;
mod glibc;
mod machine;
mod prototype;
mod rehearsal;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::config::Config;
use crate::cross::{self, With};
use crate::debian::is_debian;
use crate::process::{cargo, output, run, without_foreign_variables};
use crate::tools::Tool;
use crate::workspace::Workspace;

/// Build the package for Raspberry Pi OS and Debian.
#[derive(Args)]
pub(crate) struct Arguments {
    /// For which machines; without this, for both
    #[arg(long, value_enum)]
    arch: Vec<Arch>,
    /// Where it lands; without this, `deb` in the target folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What compiles for arm64, as in `cargo xtask cross`; without this, Debian's compiler where this is Debian
    #[arg(long, value_enum)]
    with: Option<With>,
    /// The folder of programs that are compiled already, for the one `--arch`
    #[arg(long, value_name = "DIR", conflicts_with = "with")]
    programs: Option<PathBuf>,
    /// Also lint it, install it on a Debian of its own, upgrade, go back, remove, purge: as root, on Debian
    #[arg(long)]
    test: bool,
}

/// What a package is for, as Debian names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Arch {
    /// 64-bit PCs
    Amd64,
    /// 64-bit Raspberry Pi
    Arm64,
}

impl Arch {
    /// Debian's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// For amd64 there is no cross compiler here.
    fn can_be_built(self) -> bool {
        self == Self::Arm64 || self.is_ours()
    }

    /// Whether this machine is one.
    fn is_ours(self) -> bool {
        match self {
            Self::Amd64 => cfg!(target_arch = "x86_64"),
            Self::Arm64 => cfg!(target_arch = "aarch64"),
        }
    }
}

/// The package's name, and that of the crate whose `Cargo.toml` says what is in it.
const PACKAGE: &str = "tide-recorder";

/// The programs in it: those of a station, without the one that makes a card.
const PROGRAMS: &[&str] = &["tide-recorder", "tide-timesync"];

/// Where packages land in the target folder.
const FOLDER: &str = "deb";

const CARGO_DEB: Tool = Tool { name: "cargo-deb", version: "3.8.0" };

/// Builds, and tests where that is asked for.
///
/// # Errors
/// If something does not compile, would not run on Debian 12, or does not behave as an installed package has to.
pub(crate) fn run_verb(arguments: &Arguments) -> Result<()> {
    let (config, workspace) = (Config::from_environment(), Workspace::load()?);
    let out = arguments.out.clone().unwrap_or_else(|| workspace.target.join(FOLDER));
    let all = Arch::value_variants();
    let archs = if arguments.arch.is_empty() { all } else { &arguments.arch[..] };
    ensure!(arguments.programs.is_none() || archs.len() == 1, "programs are for one machine: say which with --arch");
    for arch in archs {
        let programs = match &arguments.programs {
            Some(folder) => Compiled::taken_from(folder, &workspace, *arch)?,
            None => Compiled::new(&config, &workspace, *arch, arguments.with)?,
        };
        make(&config, &workspace, &programs, &out, arguments.test)?;
    }
    Ok(())
}

/// The packages that this machine can make, in a workspace that is known already; `is_tested` as with `--test`.
///
/// # Errors
/// As [`run_verb`].
pub(crate) fn run_in(config: &Config, workspace: &Workspace, is_tested: bool) -> Result<()> {
    for arch in Arch::value_variants().iter().filter(|arch| arch.can_be_built()) {
        let programs = Compiled::new(config, workspace, *arch, None)?;
        make(config, workspace, &programs, &workspace.target.join(FOLDER), is_tested)?;
    }
    Ok(())
}

fn make(config: &Config, workspace: &Workspace, programs: &Compiled, out: &Path, is_tested: bool) -> Result<()> {
    for program in PROGRAMS {
        glibc::check(&programs.folder().join(program))?;
    }
    let package = programs.pack(config, workspace, None, out)?;
    println!("{:>8} KiB  {}", package.metadata()?.len() / 1_024, package.display());
    if is_tested { rehearsal::run(config, workspace, programs, &package) } else { Ok(()) }
}

/// The programs, compiled.
pub(super) struct Compiled {
    /// For which machines.
    pub(super) arch: Arch,
    /// Cargo's target folder.
    target: PathBuf,
    /// What is in the target folder's path if cargo was told for which machine.
    triple: Option<&'static str>,
}

impl Compiled {
    fn new(config: &Config, workspace: &Workspace, arch: Arch, with: Option<With>) -> Result<Self> {
        match arch {
            Arch::Amd64 => Self::for_this_machine(workspace),
            Arch::Arm64 => Self::for_a_pi(config, workspace, with),
        }
    }

    /// Copied to where cargo would have put them: cargo-deb looks nowhere else.
    fn taken_from(programs: &Path, workspace: &Workspace, arch: Arch) -> Result<Self> {
        let triple = match arch {
            Arch::Amd64 => "x86_64-unknown-linux-gnu",
            Arch::Arm64 => cross::TARGET,
        };
        let compiled = Self { arch, target: workspace.target.join("deb-programs"), triple: Some(triple) };
        let folder = compiled.folder();
        fs::create_dir_all(&folder).with_context(|| format!("failed to make the folder `{}`", folder.display()))?;
        for program in PROGRAMS {
            let from = programs.join(program);
            fs::copy(&from, folder.join(program)).with_context(|| format!("failed to copy `{}`", from.display()))?;
        }
        Ok(compiled)
    }

    fn for_this_machine(workspace: &Workspace) -> Result<Self> {
        ensure!(Arch::Amd64.can_be_built(), "the package for amd64 is built on a machine of that kind");
        let mut build = cargo(&["build", "--release", "--locked", "--target-dir"]);
        build.arg(&workspace.target).args(PROGRAMS.iter().flat_map(|program| ["--package", program]));
        run(build.current_dir(&workspace.root))?;
        Ok(Self { arch: Arch::Amd64, target: workspace.target.clone(), triple: None })
    }

    fn for_a_pi(config: &Config, workspace: &Workspace, with: Option<With>) -> Result<Self> {
        let with = with.or_else(|| is_debian().then_some(With::Debian));
        let folder = cross::build(config, workspace, with, PROGRAMS)?;
        let target = folder.ancestors().nth(2).context("the programs for a Pi are in no target folder")?.to_owned();
        Ok(Self { arch: Arch::Arm64, target, triple: Some(cross::TARGET) })
    }

    fn folder(&self) -> PathBuf {
        self.triple.map_or_else(|| self.target.clone(), |triple| self.target.join(triple)).join("release")
    }

    /// Makes the package, of the workspace's version or, quickly and for tests, of another.
    ///
    /// # Errors
    /// If a file that belongs into it is missing.
    pub(super) fn pack(
        &self,
        config: &Config,
        workspace: &Workspace,
        version: Option<&str>,
        out: &Path,
    ) -> Result<PathBuf> {
        let out = std::path::absolute(out)?;
        fs::create_dir_all(&out).with_context(|| format!("failed to make the folder `{}`", out.display()))?;
        let mut pack = Command::new(CARGO_DEB.ensure(config, workspace)?);
        without_foreign_variables(&mut pack).current_dir(&workspace.root).env("CARGO_TARGET_DIR", &self.target);
        pack.args(["--package", PACKAGE, "--no-build", "--no-strip", "--locked", "--quiet", "--compress-system"]);
        pack.args(self.triple.iter().flat_map(|triple| ["--target", triple]));
        pack.args(version.iter().flat_map(|version| ["--fast", "--deb-version", version]));
        let said = output(pack.arg("--output").arg(out))?;
        let package = PathBuf::from(said.trim());
        ensure!(package.is_file(), "cargo-deb names no package, but says `{}`", said.trim());
        Ok(package)
    }
}
