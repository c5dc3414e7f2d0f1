//! Whole runs, on a disk in memory and a machine that is none.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tide_durable::testing::{CrashDisk, search_cuts};
use tide_durable::{Disk, Durable, IfExists};

use super::*;
use crate::machine::Judge;

const ROOT: &str = "/station";
const GOOD: &str = "station = \"pier-3\" # on the pier\r\n[server]\r\nurl = \"https://tide.example.org:5000\"\r\ntoken = \"tide_s3cret\"\r\n\
                    [wifi]\r\nnetwork = \"Harbour\"\r\npassword = \"p4ssw0rd\"\r\ncountry = \"GR\"\r\n";

/// A machine that does nothing but take notes.
struct FakeMachine {
    disk: CrashDisk,
    says: Option<(Judge, &'static str)>,
    takes_no_writes: bool,
    is_open: Cell<bool>,
    opened: Cell<usize>,
    asked: Cell<usize>,
    hostname: RefCell<String>,
    links: RefCell<BTreeMap<PathBuf, PathBuf>>,
    overwritten: RefCell<Vec<PathBuf>>,
    second_copy: RefCell<Option<Vec<u8>>>,
}

impl FakeMachine {
    fn on(disk: &CrashDisk) -> Self {
        Self {
            disk: disk.clone(),
            says: None,
            takes_no_writes: false,
            is_open: Cell::default(),
            opened: Cell::default(),
            asked: Cell::default(),
            hostname: RefCell::default(),
            links: RefCell::default(),
            overwritten: RefCell::default(),
            second_copy: RefCell::default(),
        }
    }
}

impl Machine for FakeMachine {
    fn open_card(&self) -> io::Result<()> {
        if self.takes_no_writes {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        self.opened.set(self.opened.get() + 1);
        assert!(!self.is_open.replace(true));
        Ok(())
    }

    fn close_card(&self) -> io::Result<()> {
        assert!(self.is_open.replace(false));
        Ok(())
    }

    fn ask(&self, judge: Judge, settings: &Path) -> io::Result<Option<String>> {
        self.asked.set(self.asked.get() + 1);
        let text = String::from_utf8(self.disk.files()[settings].clone()).unwrap();
        assert!(!text.contains("s3cret") && !text.contains("p4ss"), "{text}");
        Ok(self.says.filter(|(who, _)| *who == judge).map(|(_, words)| words.to_owned()))
    }

    fn overwrite(&self, path: &Path) -> io::Result<()> {
        assert!(self.is_open.get());
        self.overwritten.borrow_mut().push(path.to_owned());
        match self.disk.overwrite(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn second_copy(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.second_copy.borrow().clone())
    }

    fn keep_second_copy(&self, text: &[u8]) -> io::Result<()> {
        self.second_copy.replace(Some(text.to_vec()));
        Ok(())
    }

    fn make_host_key(&self, path: &Path) -> io::Result<()> {
        Durable::on(Arc::new(self.disk.clone()), Path::new(ROOT)).publish_private(path, b"key", IfExists::Refuse)
    }

    fn set_link(&self, link: &Path, target: Option<&Path>) -> io::Result<()> {
        match target {
            Some(target) => self.links.borrow_mut().insert(link.to_owned(), target.to_owned()),
            None => self.links.borrow_mut().remove(link),
        };
        Ok(())
    }

    fn set_mode(&self, _: &Path, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn set_hostname(&self, name: &str) -> io::Result<()> {
        name.clone_into(&mut self.hostname.borrow_mut());
        Ok(())
    }
}

/// A station with these files on its card.
struct Station {
    disk: CrashDisk,
    machine: FakeMachine,
}

impl Station {
    fn with(files: &[(&str, &str)]) -> Self {
        Self::of(disk_with(files))
    }

    fn of(disk: CrashDisk) -> Self {
        let machine = FakeMachine::on(&disk);
        Self { disk, machine }
    }

    fn apply(&self) -> Outcome {
        let outcome = apply_to(&places(&self.disk), &self.machine).unwrap();
        assert!(!self.machine.is_open.get(), "the card still takes writes");
        assert_eq!(outcome == Outcome::Ready, self.get("run/ready").is_some());
        outcome
    }

    fn get(&self, name: &str) -> Option<String> {
        let bytes = self.disk.files().remove(&Path::new(ROOT).join(name))?;
        Some(String::from_utf8(bytes).unwrap())
    }

    fn status(&self) -> String {
        let status = self.get("boot/tide-status.txt").unwrap();
        assert!(status.is_ascii() && status.lines().count() == status.matches("\r\n").count(), "{status}");
        assert!(!status.contains("s3cret") && !status.contains("p4ss"), "{status}");
        status.replace("\r\n", "\n")
    }

    fn put(&self, name: &str, text: &str) {
        put(&self.disk, name, text);
    }

    fn remove(&self, name: &str) {
        self.disk.remove(&Path::new(ROOT).join(name)).unwrap();
    }
}

fn places(disk: &CrashDisk) -> Places {
    let at = |name: &str| Durable::on(Arc::new(disk.clone()), &Path::new(ROOT).join(name));
    Places {
        card: at("boot"),
        data: at("data"),
        run: at("run"),
        zoneinfo: Zoneinfo::new(Path::new("/usr/share/zoneinfo")),
        notes: Vec::new(),
    }
}

fn put(disk: &CrashDisk, name: &str, text: &str) {
    let durable = Durable::on(Arc::new(disk.clone()), Path::new(ROOT));
    durable.publish(&Path::new(ROOT).join(name), text.as_bytes(), IfExists::Replace).unwrap();
}

fn disk_with(files: &[(&str, &str)]) -> CrashDisk {
    let disk = CrashDisk::with_folder(Path::new(ROOT));
    let durable = Durable::on(Arc::new(disk.clone()), Path::new(ROOT));
    for folder in ["boot", "data", "run"] {
        durable.ensure_folder(&Path::new(ROOT).join(folder)).unwrap();
    }
    for (name, text) in files {
        put(&disk, &format!("boot/{name}"), text);
    }
    // Steps are counted from here.
    disk.after_kill()
}

#[test]
fn a_card_with_one_file_becomes_a_station() {
    let station = Station::with(&[("tide.toml", GOOD)]);
    assert_eq!(station.apply(), Outcome::Ready);
    let blanked = GOOD.replace("tide_s3cret", "").replace("p4ssw0rd", "");
    assert_eq!(station.get("boot/tide.toml").unwrap(), blanked);
    assert_eq!(station.get("data/settings.toml").unwrap(), blanked);
    assert_eq!(station.get("data/secrets/token").unwrap(), "tide_s3cret");
    assert!(station.get("data/secrets/wpa_supplicant.conf").unwrap().contains("psk=\"p4ssw0rd\""));
    assert_eq!(station.get("data/hostname").unwrap(), "pier-3\n");
    assert_eq!(*station.machine.hostname.borrow(), "pier-3");
    assert_eq!(station.get("data/ssh/authorized_keys"), None);
    assert_eq!(*station.machine.overwritten.borrow(), [Path::new(ROOT).join("boot/tide.toml")]);
    let status = station.status();
    assert!(status.starts_with(
        "The station pier-3 is ready: it takes a photo every 30 seconds and sends them to https://tide.example.org:5000.\n"
    ));
    assert!(status.contains("Wi-Fi    network \"Harbour\", country GR\n"), "{status}");
}

#[test]
fn a_copy_of_the_token_goes_or_is_told() {
    let comment = "# token = \"tide_s3cret\"\r\n";
    let station = Station::with(&[("tide.toml", &format!("{GOOD}{comment}"))]);
    assert_eq!(station.apply(), Outcome::Ready);
    let blanked = station.get("boot/tide.toml").unwrap();
    assert!(blanked.ends_with("# token = \"\"\r\n"));
    station.put("boot/tide.toml", &format!("{blanked}{comment}"));
    assert_eq!(station.apply(), Outcome::Ready);
    for name in ["boot/tide.toml", "data/settings.toml"] {
        assert!(station.get(name).unwrap().ends_with("# token = \"\"\r\n# token = \"\"\r\n"));
    }
    station.put("boot/.env", "# TIDE_TOKEN=tide_s3cret\nFLASH_GPIO=5\n");
    assert_eq!(station.apply(), Outcome::Ready);
    assert!(station.status().contains("the token stands in the file a second time"), "{}", station.status());
}

#[test]
fn a_second_boot_changes_nothing_and_asks_nobody() {
    let station = Station::with(&[("tide.toml", GOOD)]);
    station.apply();
    let before = station.disk.files();
    let again = Station::of(station.disk.clone());
    assert_eq!(again.apply(), Outcome::Ready);
    assert_eq!(again.disk.files(), before);
    assert_eq!((again.machine.asked.get(), again.machine.opened.get()), (0, 0));
    assert_eq!(*again.machine.hostname.borrow(), "pier-3");
}

#[test]
fn a_changed_file_is_put_into_effect_with_the_secrets_that_were_kept() {
    let station = Station::with(&[("tide.toml", GOOD)]);
    station.apply();
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ maria@office";
    let changed =
        format!("interval_s = 60\n{}[system]\nssh_keys = ['{key}']\n", station.get("boot/tide.toml").unwrap());
    station.put("boot/tide.toml", &changed);
    assert_eq!(station.apply(), Outcome::Ready);
    assert_eq!(station.get("data/secrets/token").unwrap(), "tide_s3cret");
    assert!(station.get("data/secrets/wpa_supplicant.conf").unwrap().contains("psk=\"p4ssw0rd\""));
    assert_eq!(station.get("data/ssh/authorized_keys").unwrap(), format!("{key}\n"));
    assert!(station.status().contains("every 60 seconds") && station.status().contains("1 key may log in"));
    station
        .put("boot/tide.toml", &station.get("boot/tide.toml").unwrap().replace(key, "").replace("ssh_keys = ['']", ""));
    assert_eq!(station.apply(), Outcome::Ready);
    assert_eq!(station.get("data/ssh/authorized_keys"), None);
    assert!(station.get("data/ssh/ssh_host_ed25519_key").is_some(), "the station's own key stays");
}

#[test]
fn a_wrong_file_stops_the_station_and_keeps_everything() {
    let station = Station::with(&[("tide.toml", GOOD)]);
    station.apply();
    let before = station.get("data/settings.toml");
    let wrong = "station = \"pier-4\"\n[server]\ntoken = \"tide_s3cret2\"\n[system]\nzone = \"Atlantis\"\n[wifi]\nssid = \"x\"\n";
    station.put("boot/tide.toml", wrong);
    assert_eq!(station.apply(), Outcome::NotReady);
    assert_eq!(station.get("boot/tide.toml").unwrap(), wrong, "what is wrong is mended by a person");
    assert_eq!(station.get("data/settings.toml"), before);
    let status = station.status();
    assert!(
        status.starts_with("tide.toml cannot be used; the station takes no photos until it is mended.\n\nline 5: ")
    );
    assert!(
        status.contains("\nline 6: [wifi] needs") && status.contains("\nline 7: [wifi] has no setting `ssid`"),
        "{status}"
    );
    assert_eq!(*station.machine.hostname.borrow(), "pier-3");
}

#[test]
fn what_the_programs_say_stands_in_its_line() {
    let mut station = Station::with(&[("tide.toml", GOOD)]);
    let said =
        "tide-recorder: the settings in /station/run/judged/tide.toml cannot be used: line 2, camera: no such camera";
    station.machine.says = Some((Judge::Recorder, said));
    assert_eq!(station.apply(), Outcome::NotReady);
    assert!(station.status().contains("\nline 2: camera: no such camera\n"), "{}", station.status());
    assert_eq!(station.get("boot/tide.toml").unwrap(), GOOD);
    assert_eq!(station.get("data/secrets/token"), None);
}

#[test]
fn a_new_name_needs_a_token_of_its_own() {
    let station = Station::with(&[("tide.toml", GOOD)]);
    station.apply();
    station.put("boot/tide.toml", &station.get("boot/tide.toml").unwrap().replace("pier-3", "pier-4"));
    assert_eq!(station.apply(), Outcome::NotReady);
    assert!(station.status().contains("line 4: ") && station.status().contains("station token pier-4 --config"));
    assert_eq!(station.get("data/secrets/token").unwrap(), "tide_s3cret", "the old one is not lost");
}

#[test]
fn a_card_without_its_file_goes_on_with_what_was_kept() {
    let station = Station::with(&[("tide.toml", GOOD)]);
    station.apply();
    for empty in ["", "\0\0\0\0", " \r\n"] {
        station.put("boot/tide.toml", empty);
        assert_eq!(station.apply(), Outcome::Ready);
        assert!(station.status().contains("tide.toml on the card is empty, so the station goes on"));
        assert_eq!(station.get("boot/tide.toml").unwrap(), empty);
    }
    station.remove("boot/tide.toml");
    assert_eq!(station.apply(), Outcome::Ready);
    assert!(station.status().contains("there is no tide.toml on the card, so the station goes on"));
    let blanked = station.get("data/settings.toml").unwrap();
    station.put("boot/tide.toml", &blanked);
    let asked = station.machine.asked.get();
    assert_eq!(station.apply(), Outcome::Ready);
    assert_eq!(station.machine.asked.get(), asked, "it is the file that is in effect");
}

#[test]
fn a_card_with_nothing_says_what_to_do() {
    let station = Station::with(&[]);
    assert_eq!(station.apply(), Outcome::NotReady);
    assert!(station.status().starts_with("There is no tide.toml on the card; the station takes no photos until"));
    assert!(station.status().contains("station add NAME --config"));
}

#[test]
fn the_name_that_windows_gives_is_understood() {
    let station = Station::with(&[("tide.toml.txt", GOOD)]);
    assert_eq!(station.apply(), Outcome::Ready);
    assert!(!station.get("boot/tide.toml.txt").unwrap().contains("s3cret"));
    station.put("boot/tide.toml", GOOD);
    station.apply();
    assert!(station.status().contains("There is a tide.toml.txt, too."));
}

#[test]
fn a_prototypes_file_alone_makes_a_station() {
    let env = "# old pier\r\nTIDE_STATION=old-pier\r\nTIDE_TOKEN=tide_s3cret\r\nSERVER_URL=https://a:5000/upload\r\nADMIN_PASS=p4ss\r\n";
    let station = Station::with(&[(".env", env)]);
    assert_eq!(station.apply(), Outcome::Ready);
    assert_eq!(station.get("boot/.env").unwrap(), env.replace("tide_s3cret", ""));
    assert_eq!(station.get("data/.env").unwrap(), "SERVER_URL=\"https://a:5000/upload\"\nTIDE_STATION=\"old-pier\"\n");
    assert_eq!(station.get("data/secrets/token").unwrap(), "tide_s3cret");
    assert!(station.get("data/settings.toml").is_some());
    assert_eq!(station.apply(), Outcome::Ready);
    station.remove("boot/.env");
    assert_eq!(station.apply(), Outcome::Ready);
    assert_eq!(station.get("data/.env").unwrap(), "SERVER_URL=\"https://a:5000/upload\"\nTIDE_STATION=\"old-pier\"\n");
}

#[test]
fn a_card_that_takes_no_writes_stops_nothing() {
    let mut station = Station::with(&[("tide.toml", GOOD)]);
    station.machine.takes_no_writes = true;
    assert_eq!(station.apply(), Outcome::Ready);
    assert_eq!(station.get("boot/tide.toml").unwrap(), GOOD);
    assert_eq!(station.get("data/secrets/token").unwrap(), "tide_s3cret");
    let later = Station::of(station.disk.clone());
    assert_eq!(later.apply(), Outcome::Ready);
    assert!(!later.get("boot/tide.toml").unwrap().contains("s3cret"));
}

/// Where a secret still is.
fn holders(disk: &CrashDisk, secret: &str) -> Vec<String> {
    let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    let files = disk.files();
    files.iter().filter(|(_, bytes)| holds(bytes)).map(|(path, _)| path.display().to_string()).collect()
}

/// What a power cut has broken, and what the next boot does not mend.
fn lost(found: &CrashDisk) -> Vec<String> {
    let mut lost = Vec::new();
    for secret in ["tide_s3cret", "p4ssw0rd"] {
        let holders = holders(found, secret);
        let is_source =
            |path: &String| ["/station/boot/tide.toml", "/station/data/secrets/kept.json"].contains(&path.as_str());
        if !holders.iter().any(is_source) {
            lost.push(format!("{secret} is nowhere: {holders:?}"));
        }
    }
    // What holds until the next boot does not outlive a power cut; a disk without it is as the next boot finds it.
    drop(found.remove(&Path::new(ROOT).join("run/ready")));
    let next = Station::of(found.after_kill());
    let outcome = apply_to(&places(&next.disk), &next.machine);
    if !matches!(outcome, Ok(Outcome::Ready)) {
        lost.push(format!("the next boot is not ready: {outcome:?}, {:?}", next.get("boot/tide-status.txt")));
    }
    for secret in ["tide_s3cret", "p4ssw0rd"] {
        let open: Vec<_> = holders(&next.disk, secret).into_iter().filter(|path| !path.contains("/secrets/")).collect();
        if !open.is_empty() {
            lost.push(format!("{secret} is still in {open:?}"));
        }
    }
    // As the card's file has them; those of the data partition have other words before them.
    for secret in ["token = \"tide_s3cret", "password = \"p4ssw0rd"] {
        let holds = |bytes: &Vec<u8>| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        if next.disk.nameless().iter().any(holds) {
            lost.push(format!("{secret} is still in the card's free room"));
        }
    }
    if next.get("boot/tide.toml") != next.get("data/settings.toml") {
        lost.push(format!("tide.toml is another: {:?}", next.get("boot/tide.toml")));
    }
    if next.get("data/secrets/token").as_deref() != Some("tide_s3cret") {
        lost.push("the recorder has no token".to_owned());
    }
    lost
}

fn boot(disk: &CrashDisk, _: &mut ()) {
    // It stops at the cut, at the latest.
    drop(apply_to(&places(disk), &FakeMachine::on(disk)));
}

#[test]
fn no_power_cut_loses_a_secret_or_leaves_it_on_the_card() {
    let found = search_cuts(|| disk_with(&[("tide.toml", GOOD)]), boot, |disk, ()| lost(disk));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_file_that_was_half_overwritten_is_whole_again() {
    let station = Station::with(&[("tide.toml", GOOD)]);
    station.apply();
    let blanked = station.get("boot/tide.toml").unwrap();
    let half = format!("{}{}", "\0".repeat(64), GOOD.get(64..).unwrap());
    for (left, kept) in [(half.as_str(), blanked.as_str()), ("", &blanked), (&blanked, ""), (GOOD, &blanked)] {
        station.put("boot/tide.toml", left);
        station.put("boot/tide.toml.without-secrets", kept);
        assert_eq!(station.apply(), Outcome::Ready);
        assert_eq!(station.get("boot/tide.toml").as_ref(), Some(&blanked));
        assert_eq!(station.get("boot/tide.toml.without-secrets"), None);
    }
    let edited = format!("interval_s = 60\n{blanked}");
    station.put("boot/tide.toml", &edited);
    station.put("boot/tide.toml.without-secrets", &blanked);
    assert_eq!(station.apply(), Outcome::Ready);
    assert_eq!(station.get("boot/tide.toml"), Some(edited), "what a person wrote since then counts");
    assert_eq!(station.get("boot/tide.toml.without-secrets"), None);
}

#[test]
fn a_new_token_takes_the_place_of_an_old_one_at_one_instant() {
    let old = || {
        let station =
            Station::with(&[("tide.toml", &GOOD.replace("pier-3", "pier-2").replace("tide_s3cret", "tide_old"))]);
        station.apply();
        station.put("boot/tide.toml", GOOD);
        station.disk.after_kill()
    };
    let found = search_cuts(old, boot, |disk, ()| lost(disk));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn secrets_that_are_not_forced_to_the_disk_are_missed() {
    let whole = disk_with(&[("tide.toml", GOOD)]);
    boot(&whole, &mut ());
    let is_noticed = |sync: usize| {
        let disk = || disk_with(&[("tide.toml", GOOD)]).skip_sync(sync);
        !search_cuts(disk, boot, |disk, ()| lost(disk)).is_empty()
    };
    assert!((0..whole.syncs()).any(is_noticed), "no sync of {} is needed", whole.syncs());
}

#[test]
fn what_happened_to_the_data_partition_is_told_with_good_and_bad_settings() {
    let note = "The data partition was beyond repair and was set aside.";
    for (settings, first) in [(GOOD, "The station pier-3 is ready"), ("station = 5", "tide.toml cannot be used")] {
        let station = Station::with(&[("tide.toml", settings)]);
        let told = Places { notes: vec![note.to_owned()], ..places(&station.disk) };
        apply_to(&told, &station.machine).unwrap();
        let status = station.status();
        assert!(status.starts_with(first) && status.contains(note), "{status}");
    }
}

#[test]
fn a_station_whose_data_partition_was_set_aside_goes_on_with_the_secrets_that_it_has() {
    let first = Station::with(&[("tide.toml", GOOD)]);
    assert_eq!(first.apply(), Outcome::Ready);
    let on_card = first.get("boot/tide.toml").unwrap();
    assert!(!on_card.contains("s3cret"));
    // Another data partition, with nothing on it.
    let second = Station::with(&[("tide.toml", &on_card)]);
    assert_eq!(second.apply(), Outcome::NotReady);
    second.machine.second_copy.replace(first.machine.second_copy.take());
    assert_eq!(second.apply(), Outcome::Ready);
    assert_eq!(second.get("data/secrets/token").as_deref(), Some("tide_s3cret"));
    assert!(second.get("data/secrets/wpa_supplicant.conf").unwrap().contains("p4ssw0rd"));
}
