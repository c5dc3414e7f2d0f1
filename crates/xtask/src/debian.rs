//! Debian's packages: what a verb needs is installed where that is ours to do, and named where it is not.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::{output, run};

/// What a verb asks of the machine.
pub(crate) struct Wanted<'a> {
    /// What the packages are for, as a sentence goes on after "to".
    pub(crate) purpose: &'a str,
    /// Their names; one of another architecture ends in `:arm64` or the like.
    pub(crate) packages: &'a [&'a str],
    /// Where they come from, if not from the release itself: a suite such as `bookworm-backports`.
    pub(crate) suite: Option<&'a str>,
}

impl Wanted<'_> {
    /// Installs what is missing.
    ///
    /// # Errors
    /// If this is no Debian, or not root's shell: the message then holds the line that installs them.
    pub(crate) fn ensure(&self) -> Result<()> {
        let missing: Vec<&str> = self.packages.iter().copied().filter(|package| !is_installed(package)).collect();
        if missing.is_empty() { Ok(()) } else { self.install_these(&missing) }
    }

    /// Installs all of it, or a newer version of what is there.
    ///
    /// # Errors
    /// As [`Wanted::ensure`].
    pub(crate) fn install(&self) -> Result<()> {
        self.install_these(self.packages)
    }

    fn install_these(&self, missing: &[&str]) -> Result<()> {
        let foreign: Vec<&str> = missing.iter().filter_map(|package| Some(package.split_once(':')?.1)).collect();
        if !is_debian() || !is_root()? {
            bail!("{}", self.advice(missing, foreign.first().copied()));
        }
        println!("    missing, to {}: {}", self.purpose, missing.join(" "));
        for architecture in foreign {
            run(Command::new("dpkg").args(["--add-architecture", architecture]))?;
        }
        if let Some(suite) = self.suite {
            add_suite(suite)?;
        }
        run(apt_get().arg("update"))?;
        run(apt_get().args(["install", "-y", "--no-install-recommends"]).args(self.suite_option()).args(missing))
    }

    fn suite_option(&self) -> impl Iterator<Item = &str> {
        self.suite.into_iter().flat_map(|suite| ["-t", suite])
    }

    fn advice(&self, missing: &[&str], foreign: Option<&str>) -> String {
        let before = foreign.map_or_else(String::new, |foreign| format!("sudo dpkg --add-architecture {foreign} && "));
        let suite = self.suite.map_or_else(String::new, |suite| format!("-t {suite} "));
        format!(
            "packages are missing to {}. On Debian this installs them:\n\
             {before}sudo apt-get update && sudo apt-get install -y --no-install-recommends {suite}{}",
            self.purpose,
            missing.join(" ")
        )
    }
}

fn is_installed(package: &str) -> bool {
    let status =
        Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status}\n", package]).stderr(Stdio::null()).output();
    status.is_ok_and(|status| status.stdout.starts_with(b"installed"))
}

/// Makes a suite of Debian's known to apt; nothing is taken from backports unless it is asked for.
fn add_suite(suite: &str) -> Result<()> {
    let file = Path::new("/etc/apt/sources.list.d").join(format!("{suite}.sources"));
    let lines = format!(
        "Types: deb\nURIs: http://deb.debian.org/debian\nSuites: {suite}\nComponents: main\n\
         Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    );
    fs::write(&file, lines).with_context(|| format!("failed to write `{}`", file.display()))
}

/// The name of this machine's release.
///
/// # Errors
/// If it does not say.
pub(crate) fn codename() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").context("failed to read `/etc/os-release`")?;
    let name = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name.context("`/etc/os-release` names no release")?.to_owned())
}

/// Whether this machine is a Debian.
pub(crate) fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists()
}

/// Whether packages are ours to install.
///
/// # Errors
/// If nobody says who we are.
pub(crate) fn is_root() -> Result<bool> {
    Ok(output(Command::new("id").arg("-u"))?.trim() == "0")
}

/// `apt-get` that asks nothing.
pub(crate) fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_is_one_line_to_paste() {
        let wanted = Wanted { purpose: "compile for a Pi", packages: &[], suite: Some("bookworm-backports") };
        let advice = wanted.advice(&["gcc", "libc6:arm64"], Some("arm64"));
        let line = "sudo dpkg --add-architecture arm64 && sudo apt-get update && sudo apt-get install -y \
                    --no-install-recommends -t bookworm-backports gcc libc6:arm64";
        assert!(advice.ends_with(line), "{advice}");
    }
}
