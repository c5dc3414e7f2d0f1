//! What all scenarios share: the image, the server, and a station that goes from one to the next.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;
use tide_journey::appliance::{Card, Disk, Image, Machine, Rtc, Stand, console_tail};

use crate::station::Station;

/// How much of everything, and which.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) cuts: u32,
    pub(crate) offline: Duration,
    pub(crate) first_photo: Duration,
}

/// Seconds from photo to photo: an emulated processor encodes and encrypts each within two.
const INTERVAL_S: u32 = 5;

/// How long a fresh card may take until a photo by GPS is delivered, in a scenario that is about something else.
const TO_BEGIN: Duration = Duration::from_secs(600);

/// What all scenarios share.
pub(crate) struct Bench {
    pub(crate) image: Image,
    pub(crate) stand: Stand,
    pub(crate) plan: Plan,
    folder: Folder,
    running: Option<Station>,
    cards: u32,
    /// Of the machine that was on last.
    last: Option<PathBuf>,
}

/// One that goes in the end, or one that stays.
enum Folder {
    Passing(TempDir),
    Kept(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Passing(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }
}

impl Bench {
    pub(crate) fn new(image: Image, plan: Plan, keep: Option<&Path>) -> anyhow::Result<Self> {
        let folder = match keep {
            None => Folder::Passing(TempDir::with_prefix("tide-boot-")?),
            Some(path) => {
                fs::create_dir_all(path)?;
                // QEMU's sockets have names of 107 characters at most.
                Folder::Kept(path.canonicalize()?)
            }
        };
        Ok(Self { image, stand: Stand::new()?, plan, folder, running: None, cards: 0, last: None })
    }

    /// A folder for a card and its machine; the name is the station's.
    pub(crate) fn new_folder(&mut self) -> anyhow::Result<(String, PathBuf)> {
        self.cards += 1;
        let name = format!("pier-{}", self.cards);
        let folder = self.folder.path().join(&name);
        fs::create_dir_all(&folder)?;
        Ok((name, folder))
    }

    /// A flashed card, with its settings as a person puts them there; for a station of its own.
    pub(crate) fn card(&mut self, interval_s: u32) -> anyhow::Result<(String, Card, String)> {
        let (name, folder) = self.new_folder()?;
        let card = Card::flash(&self.image.test_variant(), &folder.join("card"))?;
        let settings = self.stand.add_station(&name, interval_s)?;
        card.write_fat("tide.toml", &settings)?;
        Ok((name, card, settings))
    }

    /// A machine that is switched on with this card.
    pub(crate) fn switch_on(&mut self, name: &str, card: Card, rtc: Rtc, disk: Disk) -> anyhow::Result<Station> {
        let folder = card.path().parent().context("a card has a folder")?.to_owned();
        self.last = Some(folder.clone());
        let machine = Machine::switch_on(&self.image, &card, &folder, rtc, disk)?;
        Ok(Station { name: name.to_owned(), card, machine })
    }

    /// A station with a fresh card, switched on just now.
    pub(crate) fn fresh(&mut self) -> anyhow::Result<(Station, String)> {
        let (name, card, settings) = self.card(INTERVAL_S)?;
        Ok((self.switch_on(&name, card, Rtc::Year2000, Disk::Plain)?, settings))
    }

    /// The station that an earlier scenario left at work, or a new one once it is.
    pub(crate) fn at_work(&mut self) -> anyhow::Result<Station> {
        if let Some(station) = self.running() {
            return Ok(station);
        }
        let (mut station, _) = self.fresh()?;
        station.until_photo(&self.stand, "a photo by GPS is delivered", TO_BEGIN, |photo| photo.source == "gps")?;
        station.wait_for_shell()?;
        Ok(station)
    }

    /// The station that an earlier scenario left at work.
    pub(crate) fn running(&mut self) -> Option<Station> {
        self.running.take()
    }

    /// Leaves a station at work for the next scenario.
    pub(crate) fn leave(&mut self, station: Station) {
        self.running = Some(station);
    }

    /// Ends the station that an earlier scenario left.
    pub(crate) fn put_away(&mut self) {
        self.running = None;
    }

    /// What the last machine's console has said, for a person.
    pub(crate) fn last_words(&self) -> String {
        let tail = self.last.as_deref().map(console_tail);
        match tail {
            Some(Ok(tail)) => format!("the console's last lines:\n{tail}"),
            _ => "there is no console".to_owned(),
        }
    }

    /// Seconds from photo to photo of the stations that go from one scenario to the next.
    pub(crate) fn interval() -> Duration {
        Duration::from_secs(INTERVAL_S.into())
    }
}
