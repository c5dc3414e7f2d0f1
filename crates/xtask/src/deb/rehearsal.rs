//! What an operator does to a package, done to it on a small Debian: install, configure, upgrade, go back, remove, purge.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::machine::Machine;
use super::{Compiled, base, prototype};
use crate::config::Config;
use crate::debian::{Wanted, is_debian, is_root};
use crate::process;
use crate::workspace::Workspace;

const TOOLS: Wanted = Wanted {
    purpose: "install the package on a Debian of its own",
    packages: &[
        "arch-test",
        "debian-archive-keyring",
        "lintian",
        "mmdebstrap",
        "qemu-user-static",
        "shellcheck",
        "systemd-container",
    ],
    suite: None,
};

/// What makes a version that comes after the one that is built.
const NEXT: &str = "+next";

/// The service. That of the clock may well fail here, where nobody tells the time.
const RECORDER: &str = "tide-recorder.service";

/// What is enabled.
const UNITS: &[&str] = &["gps-to-rtc.timer", "rtc-to-clock.service", RECORDER];

/// Where an installed package has photos, settings and state.
const PHOTOS: &str = "/data/tide-recorder";
const SETTINGS: &str = "/etc/tide/recorder.toml";
const STATE: &str = "/data/tide-timesync";

/// A station without a server: its photos wait in the spool.
const STATION: &str = "station = 'rehearsal'\ninterval_s = 1\n\
                       [server]\nurl = 'https://127.0.0.1:1'\ntoken = 'of nobody'\ncertificate = 'public'\n\
                       [camera]\nkind = 'synthetic'\nwidth = 320\nheight = 240\n\
                       [gps]\nsource = 'none'\n[rtc]\nkind = 'none'\n";

/// What an operator adds later.
const EDIT: &str = "# The harbour master's own.\n[position]\nlatitude = 37.94\nlongitude = 23.63\n";

/// Setting the clock is not allowed in a container: there is one clock, and it is not the container's.
const CLOCK_IS_NOT_OURS: &str = "[Service]\nAmbientCapabilities=\nCapabilityBoundingSet=\n";

/// What the service manager would do for the recorder, where there is none: its user, its groups, its settings, and nothing more.
const BY_HAND: &str = "setpriv --reuid tide-recorder --regid tide-recorder --init-groups --bounding-set -all --no-new-privs \
                       env TIDE_DATA_DIR=/data/tide-recorder /usr/bin/tide-recorder run";

/// Longest wait for the recorder, which an emulated processor may run.
const PATIENCE: Duration = Duration::from_secs(180);

/// Does all of it, and prints what was seen.
///
/// # Errors
/// At the first thing that is not as it has to be.
pub(super) fn run(config: &Config, workspace: &Workspace, programs: &Compiled, package: &Path) -> Result<()> {
    ensure!(is_debian() && is_root()?, "a package is tried out on Debian, as root: it has to be installed");
    TOOLS.ensure()?;
    let base = base::ensure(config, workspace, programs.arch)?;
    let folder = workspace.target.join("deb-rehearsal");
    let next = format!("{}{NEXT}", version(package)?);
    let newer = programs.pack(config, workspace, Some(&next), &folder)?;
    let machine = Machine::start(programs.arch, &base, &folder.join(programs.arch.name()))?;
    let mut rehearsal = Rehearsal { machine: &machine, seen: Vec::new() };
    let outcome = rehearsal.play(package, &newer);
    println!("\n    {} on Debian's {}, {}", programs.arch.name(), programs.arch.suite(), machine.how());
    rehearsal.seen.iter().for_each(|(step, seen)| println!("    {step:<26}{seen}"));
    println!();
    outcome.with_context(|| format!("its last words:\n{}", machine.last_words()))?;
    lint(workspace, package)
}

/// What Debian's own judges say, of packages and of shell scripts.
fn lint(workspace: &Workspace, package: &Path) -> Result<()> {
    let scripts = workspace.root.join("crates/tide-recorder/debian");
    process::run(Command::new("shellcheck").args(["postinst", "prerm", "postrm"].map(|name| scripts.join(name))))?;
    let mut lintian = Command::new("lintian");
    process::run(lintian.args(["--allow-root", "--tag-display-limit=0", "--fail-on=error,warning"]).arg(package))
}

/// As the package's file name says.
fn version(package: &Path) -> Result<String> {
    let name = package.file_name().and_then(|name| name.to_str()).context("a package has a name")?;
    Ok(name.split('_').nth(1).context("a package's name holds its version")?.to_owned())
}

/// One package's life on one machine.
struct Rehearsal<'a> {
    machine: &'a Machine,
    seen: Vec<(&'static str, String)>,
}

/// What must not be lost.
struct Treasure {
    settings: String,
    photos: BTreeSet<String>,
}

impl Rehearsal<'_> {
    fn play(&mut self, package: &Path, newer: &Path) -> Result<()> {
        self.step("installed", |on| on.install_without_settings(package))?;
        self.step("settings put in place", Self::configure)?;
        self.step("a prototype's come over", Self::take_over)?;
        self.step("settings edited", Self::edit)?;
        self.step("upgraded", |on| on.change_version(newer, ""))?;
        self.step("one version back", |on| on.change_version(package, "--allow-downgrades"))?;
        self.step("an operator's own unit", |on| on.install_beside_own_unit(package))?;
        self.step("disabled, then upgraded", |on| on.upgrade_disabled(newer))?;
        self.step("removed", Self::remove)?;
        self.step("installed again", |on| on.install_again(package))?;
        self.step("purged", Self::purge)?;
        self.step("purged with its photos", |on| on.purge_with_photos(package))
    }

    fn step(&mut self, name: &'static str, act: impl FnOnce(&Self) -> Result<String>) -> Result<()> {
        println!("    {}: {name} ...", self.machine.arch.name());
        let seen = act(self).with_context(|| format!("{}: {name}: not as it has to be", self.machine.arch.name()))?;
        self.seen.push((name, seen));
        Ok(())
    }

    fn install_without_settings(&self, package: &Path) -> Result<String> {
        self.machine.write("/etc/systemd/system/gps-to-rtc.service.d/container.conf", CLOCK_IS_NOT_OURS)?;
        prototype::put(self.machine)?;
        self.sh("apt-get update")?;
        let said = self.install(package, "")?;
        ensure!(said.contains(SETTINGS), "what to do next is not said:\n{said}");
        let version = version(package)?;
        let programs = self.sh("tide-recorder --version; tide-timesync --version; command -v fswebcam")?;
        ensure!(programs.starts_with(&format!("tide-recorder {version}\ntide-timesync {version}\n")), "{programs}");
        let groups = self.sh("id -nG tide-recorder; id -nG tide-timesync")?;
        let belong = ["video", "gpio", "tide-recorder"].iter().all(|group| groups.contains(group));
        ensure!(belong && groups.ends_with("tide-recorder"), "the users' groups are {groups}");
        for unit in UNITS {
            self.sh(&format!("systemctl is-enabled {unit}"))?;
        }
        ensure!(!self.is_running()?, "it runs without settings");
        prototype::expect_replaced(self.machine, &said)?;
        if self.machine.is_booted() {
            for (property, value) in [("ConditionResult", "no"), ("NRestarts", "0")] {
                let is = self.sh(&format!("systemctl show -P {property} tide-recorder.service"))?;
                ensure!(is == value, "it does not wait for its settings: {property} is {is}");
            }
            self.nothing_failed("'tide*' '*gps*' '*rtc*'")?;
        }
        Ok(format!("{version}, in a prototype's place; enabled; waits for its settings, and says so"))
    }

    /// As a person does it who knows nothing of owners and modes.
    fn configure(&self) -> Result<String> {
        self.machine.write("/root/tide.toml", STATION)?;
        self.sh(&format!("chmod 0600 /root/tide.toml && cp /root/tide.toml {SETTINGS}"))?;
        self.restart()?;
        let count = self.wait_for_photos_beyond(1)?;
        let rights = self.sh(&format!("stat -c '%a %U:%G' {SETTINGS}"))?;
        ensure!(rights == "640 root:tide-recorder", "the settings are {rights}");
        self.sh("setpriv --reuid tide-timesync --regid tide-timesync --init-groups tide-timesync settings")?;
        self.sh(&format!("! setpriv --reuid nobody --regid nogroup --clear-groups cat {SETTINGS}"))?;
        if self.machine.is_booted() {
            let reports = || Ok(self.sh("test -s /run/tide-timesync/report.json").is_ok());
            self.until("tide-timesync reports", reports)?;
            self.sh("systemctl is-active tide-recorder.service gps-to-rtc.timer")?;
        }
        Ok(format!("{count} photos wait in the spool; only the two programs can read the settings"))
    }

    fn take_over(&self) -> Result<String> {
        self.sh(prototype::COME_OVER)?;
        self.restart()?;
        let logs = "journalctl -u tide-recorder || true; cat /var/log/tide-recorder.log";
        let in_use = format!("({logs}) 2>/dev/null | grep {}", prototype::IN_USE);
        self.until("a prototype's settings are in use", || Ok(self.sh(&in_use).is_ok()))?;
        let count = self.wait_for_photos_beyond(self.photos()?.len())?;
        Ok(format!("{} is in use; {count} photos wait", prototype::SETTINGS))
    }

    fn edit(&self) -> Result<String> {
        self.sh(&format!("cat >>{SETTINGS} <<'END'\n{EDIT}END"))?;
        self.restart()?;
        let count = self.wait_for_photos_beyond(self.photos()?.len())?;
        Ok(format!("taken up; {count} photos wait"))
    }

    fn change_version(&self, package: &Path, option: &str) -> Result<String> {
        let (before, old) = (self.treasure()?, self.pid()?);
        self.install(package, option)?;
        self.expect_version(package)?;
        self.expect_kept(&before)?;
        if self.machine.is_booted() {
            self.until("the new program runs", || Ok(self.pid().is_ok_and(|pid| pid != old)))?;
            let runs = self.sh(&format!("readlink /proc/{}/exe", self.pid()?))?;
            ensure!(runs == "/usr/bin/tide-recorder", "what runs is {runs}");
            self.nothing_failed(RECORDER)?;
        } else {
            self.restart()?;
        }
        let count = self.wait_for_photos_beyond(self.photos()?.len())?;
        Ok(format!("{} runs; settings and {} photos as they were, {count} now", version(package)?, before.photos.len()))
    }

    fn install_beside_own_unit(&self, package: &Path) -> Result<String> {
        prototype::expect_own_unit_is_left(self.machine, || self.install(package, "--reinstall"))?;
        if !self.machine.is_booted() {
            self.restart()?;
        }
        Ok("stayed, and it says so; a prototype's stay where they were put".to_owned())
    }

    fn upgrade_disabled(&self, package: &Path) -> Result<String> {
        let before = self.treasure()?;
        self.sh("systemctl disable tide-recorder.service")?;
        self.stop()?;
        self.install(package, "")?;
        self.expect_version(package)?;
        let is_enabled = self.sh("systemctl is-enabled tide-recorder.service || true")?;
        ensure!(is_enabled == "disabled" && !self.is_running()?, "it is {is_enabled}, or runs");
        self.expect_kept(&before)?;
        self.sh("systemctl enable tide-recorder.service")?;
        self.restart()?;
        self.wait_for_photos_beyond(self.photos()?.len())?;
        Ok("stayed disabled".to_owned())
    }

    fn remove(&self) -> Result<String> {
        if !self.machine.is_booted() {
            self.stop()?;
        }
        let before = self.treasure()?;
        self.sh("apt-get remove -y tide-recorder")?;
        ensure!(!self.is_running()? && !self.machine.path("/usr/bin/tide-recorder").exists(), "it is still there");
        self.expect_kept(&before)?;
        self.sh("id tide-recorder && id tide-timesync")?;
        Ok(format!("stopped; settings, {} photos and users are there", before.photos.len()))
    }

    fn install_again(&self, package: &Path) -> Result<String> {
        let before = self.treasure()?;
        self.install(package, "")?;
        self.expect_kept(&before)?;
        if !self.machine.is_booted() {
            self.restart()?;
        }
        let count = self.wait_for_photos_beyond(before.photos.len())?;
        Ok(format!("goes on by itself, {count} photos"))
    }

    fn purge(&self) -> Result<String> {
        self.stop()?;
        let before = self.photos()?;
        let said = self.sh("apt-get purge -y tide-recorder 2>&1")?;
        ensure!(said.contains(PHOTOS), "where the photos are is not said:\n{said}");
        ensure!(self.photos()? == before && !before.is_empty(), "photos are gone");
        self.expect_no_trace()?;
        Ok(format!("settings and state are gone; {} photos are there, and it says where", before.len()))
    }

    fn purge_with_photos(&self, package: &Path) -> Result<String> {
        self.install(package, "")?;
        self.configure()?;
        self.stop()?;
        let count = self.photos()?.len();
        self.sh("echo tide-recorder tide-recorder/purge-photos boolean true | debconf-set-selections")?;
        self.sh("apt-get purge -y tide-recorder")?;
        self.expect_no_trace()?;
        ensure!(!self.machine.path(PHOTOS).exists(), "photos are left");
        Ok(format!("asked for by debconf: {count} photos are gone, too"))
    }

    fn expect_version(&self, package: &Path) -> Result<()> {
        let installed = self.sh("dpkg-query -W -f '${Version}' tide-recorder")?;
        ensure!(installed == version(package)?, "{installed} is installed");
        Ok(())
    }

    fn expect_kept(&self, before: &Treasure) -> Result<()> {
        let now = self.treasure()?;
        ensure!(now.settings == before.settings, "the settings were {}, and are {}", before.settings, now.settings);
        let lost = before.photos.difference(&now.photos).count();
        ensure!(lost == 0, "{lost} of {} photos are gone, or changed", before.photos.len());
        Ok(())
    }

    fn expect_no_trace(&self) -> Result<()> {
        let units = UNITS.iter().map(|unit| format!("/etc/systemd/system/{unit}"));
        let wants = "/etc/systemd/system/multi-user.target.wants/tide-recorder.service".to_owned();
        for path in units.chain([wants, "/etc/tide".to_owned(), STATE.to_owned()]) {
            ensure!(self.machine.path(&path).symlink_metadata().is_err(), "{path} is left");
        }
        prototype::expect_aside(self.machine)?;
        self.sh("id tide-recorder && id tide-timesync")?;
        if self.machine.is_booted() { self.nothing_failed(RECORDER) } else { Ok(()) }
    }

    fn nothing_failed(&self, units: &str) -> Result<()> {
        let failed = self.sh(&format!("systemctl list-units --failed --plain --no-legend {units}"))?;
        ensure!(failed.is_empty(), "{failed}");
        Ok(())
    }

    fn treasure(&self) -> Result<Treasure> {
        let settings = self.sh(&format!("sha256sum {SETTINGS}; stat -c '%a %U:%G' {SETTINGS}"))?;
        Ok(Treasure { settings, photos: self.photos()? })
    }

    /// Every photo in the spool, with its digest.
    fn photos(&self) -> Result<BTreeSet<String>> {
        let list = self.sh(&format!("find {PHOTOS}/spool -name '*.jpg' -exec sha256sum {{}} +"))?;
        Ok(list.lines().map(str::to_owned).collect())
    }

    fn wait_for_photos_beyond(&self, count: usize) -> Result<usize> {
        self.until("new photos", || Ok(self.photos().is_ok_and(|photos| photos.len() > count)))?;
        Ok(self.photos()?.len())
    }

    fn install(&self, package: &Path, option: &str) -> Result<String> {
        let name = package.file_name().and_then(|name| name.to_str()).context("a package has a name")?;
        let there = self.machine.path("/srv").join(name);
        fs::copy(package, &there).with_context(|| format!("failed to copy to `{}`", there.display()))?;
        self.sh(&format!("apt-get install -y -o APT::Install-Recommends=true {option} /srv/{name} 2>&1"))
    }

    fn restart(&self) -> Result<String> {
        if self.machine.is_booted() {
            return self.sh("systemctl restart tide-recorder");
        }
        self.stop()?;
        self.sh("systemd-tmpfiles --create --prefix=/etc/tide")?;
        self.sh(&format!("setsid {BY_HAND} >>/var/log/tide-recorder.log 2>&1 </dev/null & echo $! >/run/recorder.pid"))
    }

    fn stop(&self) -> Result<String> {
        if self.machine.is_booted() {
            return self.sh("systemctl stop tide-recorder.service");
        }
        if !self.is_running()? {
            return Ok(String::new());
        }
        self.sh("kill $(cat /run/recorder.pid)")?;
        self.until("it stops", || Ok(!self.is_running()?))?;
        Ok(String::new())
    }

    fn is_running(&self) -> Result<bool> {
        if self.machine.is_booted() {
            let state = self.sh("systemctl show -P ActiveState tide-recorder.service")?;
            return Ok(!["inactive", "failed"].contains(&state.as_str()));
        }
        Ok(self.sh("kill -0 $(cat /run/recorder.pid)").is_ok())
    }

    fn pid(&self) -> Result<String> {
        let ask = "systemctl show -P MainPID tide-recorder.service";
        self.sh(if self.machine.is_booted() { ask } else { "cat /run/recorder.pid" })
    }

    fn sh(&self, line: &str) -> Result<String> {
        self.machine.sh(line)
    }

    fn until(&self, what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
        let begin = Instant::now();
        while !is_so()? {
            if begin.elapsed() > PATIENCE {
                bail!("{what}: not within {} s", PATIENCE.as_secs());
            }
            thread::sleep(Duration::from_millis(500));
        }
        Ok(())
    }
}
