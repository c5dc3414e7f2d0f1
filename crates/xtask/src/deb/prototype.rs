//! A prototype as its users have it on a Pi, and what has to be left of it: everything, and nothing of it runs.

use anyhow::{Result, ensure};

use super::machine::Machine;

/// Its settings, beside its scripts, where its README has them.
pub(super) const SETTINGS: &str = "/usr/local/bin/.env";

/// What the package says to have them.
pub(super) const COME_OVER: &str = "install -m 0640 -g tide-recorder '/usr/local/bin/.env' /etc/tide/.env";

/// What its recorder says with them.
pub(super) const IN_USE: &str = "interval_s=2";

/// Its units that have the names of ours.
const UNITS: &[&str] = &["gps-to-rtc.timer", "gps-to-rtc.service"];

/// Started by systemd, as its README proposes without saying how.
const PHOTOGRAPHER: &str = "photo-logger.service";

/// Others start it with cron.
const CRON: &str = "/etc/cron.d/photos";

/// There if its way to set the clock has run.
const HAS_SET_THE_CLOCK: &str = "/run/prototype-has-set-the-clock";

/// An operator's own unit in place of ours, which names what it is no part of.
const OWN: &str = "# No gps_to_rtc_sync.sh any more.\n[Timer]\nOnBootSec=5min\n[Install]\nWantedBy=timers.target\n";

const FILES: &[(&str, &str)] = &[
    (SETTINGS, "FLASH_GPIO=5\nPHOTO_INTERVAL=2\nSERVER_URL=https://old.example:5000/upload\n"),
    ("/usr/local/bin/gps_to_rtc_sync.sh", "#!/bin/sh\ntouch /run/prototype-has-set-the-clock\n"),
    ("/usr/local/bin/photo_logger.py", "exec sleep infinity\n"),
    (
        "/etc/systemd/system/gps-to-rtc.timer",
        "[Unit]\nDescription=Run GPS to RTC sync every 6 hours\n[Timer]\nOnBootSec=2min\nOnUnitActiveSec=6h\n\
         [Install]\nWantedBy=timers.target\n",
    ),
    (
        "/etc/systemd/system/gps-to-rtc.service",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/local/bin/gps_to_rtc_sync.sh\n\
         [Install]\nWantedBy=multi-user.target\n",
    ),
    (
        "/etc/systemd/system/photo-logger.service",
        "[Service]\nExecStart=/bin/sh /usr/local/bin/photo_logger.py\n[Install]\nWantedBy=multi-user.target\n",
    ),
    (CRON, "# Photos.\n@reboot root python3 /usr/local/bin/photo_logger.py\n0 3 * * * root true\n"),
];

/// Puts it there, running where there is a systemd.
pub(super) fn put(machine: &Machine) -> Result<()> {
    for (path, text) in FILES {
        machine.write(path, text)?;
    }
    machine.sh("chmod +x /usr/local/bin/gps_to_rtc_sync.sh")?;
    let units = format!("{} {PHOTOGRAPHER}", UNITS.join(" "));
    machine.sh(&format!("systemctl enable {units}"))?;
    if machine.is_booted() {
        machine.sh(&format!("systemctl daemon-reload && systemctl start {units} && rm {HAS_SET_THE_CLOCK}"))?;
    }
    Ok(())
}

/// Ours has taken its place, and has said so.
pub(super) fn expect_replaced(machine: &Machine, said: &str) -> Result<()> {
    for part in [COME_OVER, PHOTOGRAPHER, CRON, "gps-to-rtc.timer.prototype", "gps-to-rtc.service.prototype"] {
        ensure!(said.contains(part), "nothing is said of {part}:\n{said}");
    }
    expect_aside(machine)?;
    let cron = machine.sh(&format!("grep -v '^#' {CRON}"))?;
    ensure!(cron == "0 3 * * * root true", "cron's jobs are {cron}");
    for (unit, state) in [("gps-to-rtc.timer", "enabled"), ("gps-to-rtc.service", "static"), (PHOTOGRAPHER, "disabled")]
    {
        let is = machine.sh(&format!("systemctl is-enabled {unit} || true"))?;
        ensure!(is == state, "{unit} is {is}");
    }
    if machine.is_booted() { expect_ours_is_loaded(machine) } else { Ok(()) }
}

fn expect_ours_is_loaded(machine: &Machine) -> Result<()> {
    for unit in UNITS {
        let path = machine.sh(&format!("systemctl show -P FragmentPath {unit}"))?;
        ensure!(path.ends_with(&format!("/lib/systemd/system/{unit}")), "systemd has {unit} from {path}");
    }
    for (unit, state) in
        [("gps-to-rtc.timer", "active"), ("gps-to-rtc.service", "inactive"), (PHOTOGRAPHER, "inactive")]
    {
        let is = machine.sh(&format!("systemctl show -P ActiveState {unit}"))?;
        ensure!(is == state, "{unit} is {is}");
    }
    machine.sh(&format!("systemctl start gps-to-rtc.service && test ! -e {HAS_SET_THE_CLOCK}"))?;
    Ok(())
}

/// Its files are all there, its units beside their old places and once each, whatever has become of the package.
pub(super) fn expect_aside(machine: &Machine) -> Result<()> {
    for (path, text) in FILES.iter().filter(|(path, _)| *path != CRON) {
        let is_ours = UNITS.iter().any(|unit| path.ends_with(&format!("/{unit}")));
        let aside = if is_ours { format!("{path}.prototype") } else { (*path).to_owned() };
        let is = machine.sh(&format!("cat {aside}"))?;
        ensure!(is == text.trim(), "{aside} holds {is}");
    }
    let all = machine.sh("ls -d /etc/systemd/system/gps-to-rtc.*prototype* | wc -l")?;
    ensure!(all == UNITS.len().to_string(), "{all} units lie aside");
    machine.sh("! grep -lr gps_to_rtc_sync /etc/systemd/system --include='*.service' --include='*.timer'")?;
    Ok(())
}

/// Does it again with an operator's own unit in the place of ours, and of the prototype's.
pub(super) fn expect_own_unit_is_left(machine: &Machine, install: impl FnOnce() -> Result<String>) -> Result<()> {
    let path = "/etc/systemd/system/gps-to-rtc.timer";
    machine.write(path, OWN)?;
    let said = install()?;
    let is = machine.sh(&format!("cat {path} && rm {path}"))?;
    ensure!(is == OWN.trim() && said.contains(path), "the operator's own unit is {is}, or it is not said:\n{said}");
    if machine.is_booted() {
        machine.sh("systemctl daemon-reload")?;
    }
    expect_aside(machine)
}
