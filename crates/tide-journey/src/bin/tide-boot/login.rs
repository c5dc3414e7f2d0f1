//! A key and a Wi-Fi network are put into tide.toml later: the next boot takes them up. The holder of that key comes in, and
//! nobody else.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use tide_journey::appliance::until;
use tide_journey::programs::{failure, output};
use tide_journey::server::free_port;

use crate::bench::Bench;
use crate::station::Station;

/// An emulated processor takes seconds for a key exchange.
const TO_ANSWER: Duration = Duration::from_secs(120);

const TO_SHOOT: Duration = Duration::from_secs(300);

const WIFI_PASSWORD: &str = "a long way to the pier";

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<String> {
    let mut station = bench.at_work()?;
    let folder = station.card.path().parent().context("a card has a folder")?.to_owned();
    let (key, foreign) = (make_key(&folder, "key")?, make_key(&folder, "foreign")?);
    let port = forward(&mut station)?;
    ensure!(ssh(port, &folder, &key, "true", None).is_err(), "somebody comes in before a key was given");

    let settings = station.card.read_fat("tide.toml")?.context("there is no tide.toml")?;
    let public = fs::read_to_string(key.with_extension("pub"))?;
    let wifi = format!("\n[wifi]\nnetwork = \"pier\"\npassword = \"{WIFI_PASSWORD}\"\ncountry = \"GR\"\n");
    let with_key = settings.replace("[system]\n", &format!("[system]\nssh_keys = [\"{}\"]\n", public.trim()));
    ensure!(with_key != settings, "the settings have no table [system]");
    station.put_settings(&format!("{with_key}{wifi}"))?;
    station.machine.boot_by("systemctl reboot")?;

    let (_, took) =
        until("the holder of the key comes in", TO_ANSWER, || Ok(ssh(port, &folder, &key, "true", None).ok()))?;
    let who = ssh(port, &folder, &key, "id -un; sudo -n id -u", None)?;
    ensure!(who.split_whitespace().eq(["tide", "0"]), "who came in is {who}");
    failure(&mut command(port, &folder, &foreign, "true", None)).context("a foreign key was let in")?;
    for method in ["password", "keyboard-interactive"] {
        failure(&mut command(port, &folder, &key, "true", Some(method)))
            .with_context(|| format!("{method} was let in"))?;
    }
    expect_wifi(&mut station)?;
    // The settings that were there before still hold.
    station.until_new_photo(&bench.stand, "it shoots with the new settings", TO_SHOOT)?;

    // The host key is the station's own, and stays: the client would refuse another one.
    station.machine.boot_by("systemctl reboot")?;
    until("the same host answers after another boot", TO_ANSWER, || Ok(ssh(port, &folder, &key, "true", None).ok()))?;
    bench.leave(station);
    Ok(format!(
        "no port before; a boot after the key was put there its holder comes in as `tide` (after {:.0} s) and may use sudo; a \
         foreign key, a password and a dialogue are refused; the host key outlives a boot; the Wi-Fi password has left the FAT",
        took.as_secs_f64()
    ))
}

fn make_key(folder: &Path, name: &str) -> anyhow::Result<std::path::PathBuf> {
    let key = folder.join(name);
    output(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "maria@office", "-f"]).arg(&key))?;
    Ok(key)
}

/// A port of this machine that leads to the station's.
fn forward(station: &mut Station) -> anyhow::Result<u16> {
    let port = free_port()?;
    let line = format!("hostfwd_add net tcp:127.0.0.1:{port}-:22");
    let said = station.machine.qmp().execute("human-monitor-command", &json!({"command-line": line}))?;
    ensure!(said.as_str().is_none_or(str::is_empty), "QEMU says: {said}");
    Ok(port)
}

fn ssh(port: u16, folder: &Path, key: &Path, remote: &str, method: Option<&str>) -> anyhow::Result<String> {
    output(&mut command(port, folder, key, remote, method))
}

/// A client that believes the host it meets first, and no other after that.
fn command(port: u16, folder: &Path, key: &Path, remote: &str, method: Option<&str>) -> Command {
    let mut ssh = Command::new("ssh");
    ssh.args([
        "-F",
        "none",
        "-o",
        "StrictHostKeyChecking=accept-new",
        "-o",
        "BatchMode=yes",
        "-o",
        "IdentitiesOnly=yes",
    ]);
    ssh.args(["-o", "ConnectTimeout=30"])
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", folder.join("hosts").display()));
    if let Some(method) = method {
        ssh.arg("-o").arg(format!("PreferredAuthentications={method}"));
    }
    ssh.arg("-p").arg(port.to_string()).arg("-i").arg(key).args(["tide@127.0.0.1", remote]);
    ssh
}

fn expect_wifi(station: &mut Station) -> anyhow::Result<()> {
    let kept = station.shell().output("stat -c '%a %U' /data/tide/secrets/wpa_supplicant.conf")?;
    ensure!(kept == "600 root", "the Wi-Fi settings are {kept}");
    let has = station.shell().output("grep -c 'country=GR' /data/tide/secrets/wpa_supplicant.conf")?;
    ensure!(has == "1", "the Wi-Fi settings lack the country");
    let settings = station.card.read_fat("tide.toml")?.unwrap_or_default();
    ensure!(settings.contains("network = \"pier\"") && !settings.contains(WIFI_PASSWORD), "the password is on the FAT");
    let failed = station.shell().output("systemctl --failed --plain --no-legend")?;
    ensure!(failed.is_empty(), "units have failed: {failed}");
    Ok(())
}
