//! The system packages that the journeys need: a browser to look through, an ACME authority, a reader of photos' descriptions, a
//! clock that can be set, a daemon that hears GPS receivers, a tracer that kills at a system call, a machine to boot, the
//! prototype's and strangers' clients, and what checks shell scripts.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Result, bail};

use super::{Session, guest};
use crate::config::Config;
use crate::debian::{apt_get, is_debian, is_root};
use crate::process::run;

/// Each program that must be on the `PATH`, and the Debian package that brings it.
const PROGRAMS: &[(&str, &str)] = &[
    ("chromium", "chromium"),
    ("chromedriver", "chromium-driver"),
    ("curl", "curl"),
    ("exiftool", "libimage-exiftool-perl"),
    ("faketime", "faketime"),
    ("fswebcam", "fswebcam"),
    ("git", "git"),
    // Where systemd runs, Debian starts it for receivers that are plugged in; the journeys start their own, on other ports.
    ("gpsd", "gpsd"),
    ("gpsfake", "gpsd-clients"),
    ("pebble", "pebble"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("shellcheck", "shellcheck"),
    ("strace", "strace"),
    ("systemd-analyze", "systemd"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
];

/// Each module that Python must have, and the Debian package that brings it: tools from PyPI get their folders by `ensurepip`, the
/// prototype's stations upload with `requests`, and a stranger's client for uploads that resume (tus) with `tusclient`.
const PYTHON_MODULES: &[(&str, &str)] =
    &[("ensurepip", "python3-venv"), ("requests", "python3-requests"), ("tusclient", "python3-tuspy")];

/// Where Debian keeps daemons, which only root has on the `PATH`.
const DAEMONS: &str = "/usr/sbin";

/// Debian's own Python first: the first on the `PATH` may be one that cannot see Debian's packages.
const PYTHONS: &[&str] = &["/usr/bin/python3", "python3"];

/// Installs what is missing where that is ours to do, and says how where it is not.
pub(super) fn check(session: &mut Session) -> Result<()> {
    check_installed(session)?;
    guest::prepare(session)
}

fn check_installed(session: &Session) -> Result<()> {
    let missing = missing_packages(&session.config);
    if missing.is_empty() {
        return Ok(());
    }
    if !(is_debian() && is_root()?) {
        bail!("{}", advice(&missing));
    }
    println!("    missing: {}", missing.join(" "));
    install(&missing)?;
    match missing_packages(&session.config) {
        still if still.is_empty() => Ok(()),
        still => bail!("installed, yet still not found: {}", still.join(" ")),
    }
}

fn missing_packages(config: &Config) -> Vec<&'static str> {
    let mut missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !is_on_path(program, config)).map(|(_, package)| *package).collect();
    let has = |module: &str| PYTHONS.iter().any(|python| has_module(python, module));
    missing.extend(PYTHON_MODULES.iter().filter(|(module, _)| !has(module)).map(|(_, package)| *package));
    missing
}

fn is_on_path(program: &str, config: &Config) -> bool {
    env::split_paths(&config.path).chain([DAEMONS.into()]).any(|folder| {
        fs::metadata(folder.join(program)).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    })
}

fn has_module(python: &str, module: &str) -> bool {
    Command::new(python).args(["-c", &format!("import {module}")]).output().is_ok_and(|output| output.status.success())
}

fn install(packages: &[&str]) -> Result<()> {
    run(apt_get().arg("update"))?;
    run(apt_get().args(["install", "-y", "--no-install-recommends"]).args(packages))
}

fn advice(missing: &[&str]) -> String {
    let packages = missing.join(" ");
    format!(
        "programs that the tests drive are missing. On Debian this installs them (elsewhere, install their like):\n\
         sudo apt-get update && sudo apt-get install -y --no-install-recommends {packages}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_an_empty_path_every_program_is_missing() {
        let missing = missing_packages(&Config::default());
        assert!(["chromium", "chromium-driver", "curl", "git"].iter().all(|package| missing.contains(package)));
    }

    #[test]
    fn a_program_on_the_path_is_found() {
        let config = Config { path: "/nowhere:/usr/bin:/bin".into(), ..Config::default() };
        assert!(is_on_path("sh", &config));
        assert!(!is_on_path("no-such-program", &config));
    }

    #[test]
    fn the_advice_is_one_line_to_paste() {
        let advice = advice(&["chromium", "python3-requests"]);
        assert!(advice.ends_with("install -y --no-install-recommends chromium python3-requests"));
    }
}
