//! Programs that the verbs need, each at one version, so that every machine judges alike: built from crates.io, or installed from
//! PyPI, where they are missing.

use std::fs;
use std::path::{self, Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::config::Config;
use crate::process;
use crate::workspace::Workspace;

/// A crate with one program of the same name.
pub(crate) struct Tool {
    /// The name of both.
    pub(crate) name: &'static str,
    /// The only version that will do.
    pub(crate) version: &'static str,
}

/// A program from PyPI, which gets a folder of its own. Python must have `venv`.
pub(crate) struct PythonTool {
    /// What PyPI calls it.
    pub(crate) package: &'static str,
    /// The only version that will do.
    pub(crate) version: &'static str,
    /// The program's name.
    pub(crate) program: &'static str,
}

impl PythonTool {
    /// The program: from the cache, or installed now.
    ///
    /// # Errors
    /// If it cannot be installed.
    pub(crate) fn ensure(&self, config: &Config, workspace: &Workspace) -> Result<PathBuf> {
        let Self { package, version, program } = self;
        let folder = folder(config, workspace)?.join(format!("{package}-{version}"));
        let path = folder.join("bin").join(program);
        if !path.exists() {
            process::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
            let mut pip = Command::new(folder.join("bin/pip"));
            let wanted = format!("{package}=={version}");
            process::run(pip.args(["install", "--quiet", "--disable-pip-version-check", &wanted]))?;
        }
        Ok(path)
    }
}

/// Where tools lie, and stay.
fn folder(config: &Config, workspace: &Workspace) -> Result<PathBuf> {
    Ok(path::absolute(config.cache.as_deref().unwrap_or(&workspace.target))?.join("tools"))
}

impl Tool {
    /// The program: from the cache, from the `PATH`, or built now.
    ///
    /// # Errors
    /// If it cannot be built.
    pub(crate) fn ensure(&self, config: &Config, workspace: &Workspace) -> Result<PathBuf> {
        let folder = folder(config, workspace)?;
        let cached = folder.join("bin").join(self.name);
        let installed = [cached.clone(), PathBuf::from(self.name)];
        if let Some(program) = installed.into_iter().find(|program| self.is_at(program)) {
            return Ok(program);
        }
        println!(
            "    building {} {} once, into {}; this takes a minute or two",
            self.name,
            self.version,
            folder.display()
        );
        self.install(&folder)?;
        Ok(cached)
    }

    fn is_at(&self, program: &Path) -> bool {
        let output = Command::new(program).arg("--version").stderr(Stdio::null()).output();
        output.is_ok_and(|output| self.calls_itself(&output.stdout))
    }

    fn calls_itself(&self, version: &[u8]) -> bool {
        version.trim_ascii() == format!("{} {}", self.name, self.version).as_bytes()
    }

    /// Without optimisation and debug information: it runs for a second, and is built on every new machine. What is
    /// done stays until all is done, so that an interrupted build goes on where it stopped.
    fn install(&self, folder: &Path) -> Result<()> {
        let build = folder.join("build");
        let mut command = process::cargo(&["install", "--locked", "--debug", "--force", self.name]);
        command.args(["--version", self.version, "--root"]).arg(folder);
        command.env("CARGO_TARGET_DIR", &build).env("CARGO_PROFILE_DEV_DEBUG", "false");
        process::run(&mut command)?;
        fs::remove_dir_all(&build).with_context(|| format!("failed to remove `{}`", build.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOL: Tool = Tool { name: "cargo-deny", version: "0.20.2" };

    #[test]
    fn only_the_exact_version_will_do() {
        assert!(TOOL.calls_itself(b"cargo-deny 0.20.2\n"));
        assert!(!TOOL.calls_itself(b"cargo-deny 0.20.20\n"));
        assert!(!TOOL.calls_itself(b""));
    }

    #[test]
    fn a_tool_that_is_nowhere_is_missing() {
        assert!(!TOOL.is_at(Path::new("/nowhere/bin/cargo-deny")));
    }
}
