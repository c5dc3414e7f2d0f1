//! `tide-provision apply`, the program itself, on real folders and a real file system. What needs root, mounts or ssh-keygen is
//! reported as ignored where that is absent, and fails instead with `TIDE_TEST_ALL` set.

mod config;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, bail, ensure};
use libtest_mimic::{Arguments, Failed, Trial};

const TOKEN: &str = "tide_s3cret_of_the_pier";
const PASSWORD: &str = "p4ssw0rd of the harbour";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ maria@office";

fn main() {
    // A station's card is FAT. Some kernels of containers and emulators lack it; `cargo xtask boot` looks at a real one then.
    let card = [FAT, EXT2].into_iter().find(|file_system| may_mount(*file_system));
    let is_possible = card.is_some();
    let card = card.unwrap_or(EXT2);
    let keygen = answers("ssh-keygen", &["-?"]);
    let tests = vec![
        trial("settings_are_kept_with_the_right_modes", keygen, settings_are_kept_with_the_right_modes),
        trial("a_program_that_hangs_is_ended", true, a_program_that_hangs_is_ended),
        trial("a_card_that_cannot_be_read_stops_nothing", true, a_card_that_cannot_be_read_stops_nothing),
        trial("no_secret_is_left_on_a_card", is_possible, move || no_secret_is_left_on(card)),
        trial("a_secret_stays_on_a_card_if_the_file_is_wrong", is_possible, move || {
            a_secret_stays_if_the_file_is_wrong(card)
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

fn trial(name: &str, is_possible: bool, test: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> Trial {
    let everything = config::everything();
    let run = move || {
        if !is_possible {
            return Err(Failed::from("TIDE_TEST_ALL is set, but root, the file system or ssh-keygen is not here"));
        }
        test().map_err(|error| Failed::from(format!("{error:?}")))
    };
    Trial::test(name, run).with_ignored_flag(!everything && !is_possible)
}

/// A station's folders below one that goes away.
struct Station {
    folder: tempfile::TempDir,
    recorder: PathBuf,
}

impl Station {
    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        for name in ["boot", "zoneinfo/Europe"] {
            fs::create_dir_all(folder.path().join(name))?;
        }
        fs::write(folder.path().join("zoneinfo/Europe/Athens"), "TZif2")?;
        Ok(Self { folder, recorder: PathBuf::from("/bin/true") })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn apply(&self) -> anyhow::Result<Output> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tide-provision"));
        command.args(["apply", "--limit-s", "2", "--timesync", "/bin/true"]).arg("--recorder").arg(&self.recorder);
        for name in ["boot", "data", "run", "zoneinfo", "hostname"] {
            command.arg(format!("--{name}")).arg(self.at(name));
        }
        Ok(command.output()?)
    }

    fn status(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.at("boot/tide-status.txt"))?)
    }
}

fn settings() -> String {
    format!(
        "station = \"pier-3\"\n[server]\nurl = \"https://tide.example.org:5000\"\ntoken = \"{TOKEN}\"\n[wifi]\nnetwork = \"Harbour\"\n\
         password = \"{PASSWORD}\"\ncountry = \"GR\"\n[system]\nzone = \"Europe/Athens\"\nssh_keys = [\"{KEY}\"]\n"
    )
}

fn settings_are_kept_with_the_right_modes() -> anyhow::Result<()> {
    let station = Station::new()?;
    fs::write(station.at("boot/tide.toml"), settings())?;
    let output = station.apply()?;
    ensure!(output.status.success(), "{output:?}");
    for (name, mode) in [
        ("secrets", 0o700),
        ("secrets/kept.json", 0o600),
        ("secrets/token", 0o600),
        ("secrets/wpa_supplicant.conf", 0o600),
        ("settings.toml", 0o644),
        ("ssh", 0o755),
        ("ssh/ssh_host_ed25519_key", 0o600),
        ("ssh/authorized_keys", 0o644),
    ] {
        let path = station.at("data").join(name);
        let found = fs::metadata(&path).with_context(|| path.display().to_string())?.permissions().mode() & 0o777;
        ensure!(found == mode, "{name} has the mode {found:o}");
    }
    ensure!(fs::read_link(station.at("data/localtime"))? == station.at("zoneinfo/Europe/Athens"));
    ensure!(fs::read_to_string(station.at("hostname"))? == "pier-3");
    ensure!(station.at("run/ready").exists());
    let (key, status) = (fs::read(station.at("data/ssh/ssh_host_ed25519_key"))?, station.status()?);
    ensure!(status.contains("The station shows itself by SHA256:"), "{status}");
    let again = station.apply()?;
    ensure!(again.status.success() && fs::read(station.at("data/ssh/ssh_host_ed25519_key"))? == key);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    ensure!(said == "tide-provision: the station pier-3 is ready\n", "{said}");
    ensure!(no_parts(station.folder.path())?, "an unfinished file is left");
    Ok(())
}

fn a_program_that_hangs_is_ended() -> anyhow::Result<()> {
    let mut station = Station::new()?;
    fs::write(station.at("boot/tide.toml"), settings())?;
    station.recorder = station.at("hangs");
    fs::write(&station.recorder, "#!/bin/sh\nexec sleep 60\n")?;
    fs::set_permissions(&station.recorder, fs::Permissions::from_mode(0o755))?;
    ensure!(!station.apply()?.status.success());
    let status = station.status()?;
    ensure!(status.contains("tide-recorder could not judge the settings") && status.contains("after 2 s"), "{status}");
    ensure!(!station.at("run/ready").exists());
    Ok(())
}

fn a_card_that_cannot_be_read_stops_nothing() -> anyhow::Result<()> {
    let station = Station::new()?;
    fs::write(station.at("boot/tide.toml"), settings())?;
    ensure!(station.apply()?.status.success());
    // Nothing can be made below it, nor read.
    fs::remove_dir_all(station.at("boot"))?;
    fs::write(station.at("boot"), "")?;
    let output = station.apply()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && station.at("run/ready").exists(), "{output:?}");
    ensure!(said.contains("cannot be read, so the station goes on with the settings that it has kept"), "{said}");
    ensure!(said.contains("the card takes no writes") || said.contains("failed to write"), "{said}");
    Ok(())
}

fn no_secret_is_left_on(file_system: FileSystem) -> anyhow::Result<()> {
    let (station, image) = on_card(file_system, &settings())?;
    ensure!(count(&image, TOKEN)? == 1 && count(&image, PASSWORD)? == 1, "the card does not hold them to begin with");
    let mount = Mount::new(&image, &station.at("boot"), "ro")?;
    let output = station.apply()?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(mount.is_read_only()?, "the card still takes writes");
    ensure!(station.status()?.starts_with("The station pier-3 is ready"));
    ensure!(fs::read_to_string(station.at("boot/tide.toml"))? == settings().replace(TOKEN, "").replace(PASSWORD, ""));
    ensure!(fs::read_to_string(station.at("data/secrets/token"))? == TOKEN);
    drop(mount);
    for secret in [TOKEN, PASSWORD] {
        ensure!(count(&image, secret)? == 0, "{secret} is still on the card");
    }
    let [check, options @ ..] = file_system.check;
    run(Command::new(check).args(options).arg(&image))
}

fn a_secret_stays_if_the_file_is_wrong(file_system: FileSystem) -> anyhow::Result<()> {
    let (station, image) = on_card(file_system, &settings().replace("Europe/Athens", "Atlantis"))?;
    let mount = Mount::new(&image, &station.at("boot"), "ro")?;
    ensure!(!station.apply()?.status.success());
    let status = station.status()?;
    ensure!(status.contains("\r\nline 10: there is no time zone `Atlantis`"), "{status}");
    ensure!(mount.is_read_only()?, "the card still takes writes");
    drop(mount);
    ensure!(count(&image, TOKEN)? == 1, "the only copy is gone");
    Ok(())
}

/// What the card is made and checked with.
#[derive(Clone, Copy)]
struct FileSystem {
    make: [&'static str; 4],
    check: [&'static str; 3],
}

/// A station's.
const FAT: FileSystem = FileSystem { make: ["mkfs.vfat", "-F32", "-n", "TIDE"], check: ["fsck.vfat", "-n", "-v"] };

/// For kernels without FAT: it has no journal either, and writes in place.
const EXT2: FileSystem = FileSystem { make: ["mkfs.ext2", "-q", "-L", "TIDE"], check: ["fsck.ext2", "-n", "-f"] };

/// A card with these settings, as a person's computer writes it.
fn on_card(file_system: FileSystem, settings: &str) -> anyhow::Result<(Station, PathBuf)> {
    let station = Station::new()?;
    let image = station.at("image");
    make(file_system, &image)?;
    let mount = Mount::new(&image, &station.at("boot"), "rw")?;
    fs::write(station.at("boot/tide.toml"), settings)?;
    drop(mount);
    Ok((station, image))
}

fn make(file_system: FileSystem, image: &Path) -> anyhow::Result<()> {
    fs::File::create(image)?.set_len(64 * 1_024 * 1_024)?;
    let [make, options @ ..] = file_system.make;
    run(Command::new(make).args(options).arg(image))
}

struct Mount(PathBuf);

impl Mount {
    fn new(image: &Path, at: &Path, how: &str) -> anyhow::Result<Self> {
        // A loop device that began without the right to write would never get it.
        run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(at))?;
        let mount = Self(at.to_owned());
        run(Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(at))?;
        Ok(mount)
    }

    fn is_read_only(&self) -> anyhow::Result<bool> {
        Ok(rustix::fs::statvfs(&self.0)?.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.0).output());
    }
}

/// How often a text stands anywhere in an image.
fn count(image: &Path, text: &str) -> anyhow::Result<usize> {
    let bytes = fs::read(image)?;
    Ok(bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count())
}

fn no_parts(folder: &Path) -> anyhow::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_part = entry.file_name().to_string_lossy().contains(".part");
        if is_part || (entry.file_type()?.is_dir() && !no_parts(&entry.path())?) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn may_mount(file_system: FileSystem) -> bool {
    let tried = || -> anyhow::Result<()> {
        ensure!(rustix::process::geteuid().is_root());
        let folder = tempfile::tempdir()?;
        let (image, at) = (folder.path().join("image"), folder.path().join("at"));
        fs::create_dir(&at)?;
        make(file_system, &image)?;
        Mount::new(&image, &at, "rw").map(drop)
    };
    tried().is_ok()
}

fn answers(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok()
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {output:?}");
    }
    Ok(())
}
