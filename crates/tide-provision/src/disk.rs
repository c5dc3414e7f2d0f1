//! The data partition: made in the card's free room at the first boot, checked at every boot, set aside if it is beyond repair.
//!
//! An entry in the card's table means a whole file system, since the entry is written last. So whatever moment of the first boot
//! the power goes at, the next boot begins again; and a file system that is damaged later is never taken for one not yet made.

mod card;
mod health;
mod layout;
mod programs;
mod real_card;
mod state;
mod system;
#[cfg(test)]
mod testing;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use rustix::fs::{FlockOperation, flock};

use card::{Card, Contents, FileForPeople, MADE_ANEW, SET_ASIDE, Trial};
use layout::{DATA, Partition, SECOND, Step, Table, Verdict};
use real_card::RealCard;
pub use state::{DataState, FILE_NAME as STATE_FILE_NAME};
use system::Device;

use crate::second_copy;

/// The partition of firmware and settings.
const BOOT: u32 = 1;

/// The link in `/run/tide` to the whole card, for the second copy of the secrets; there only if the card has the image's layout.
pub const CARD_LINK: &str = "card";

const BAD_CARD: &str = "the card does not keep the file system that was just made on it; replace the card";

/// What may be told on the command line.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The disk, if it is not the one that `/` is on
    #[arg(long, value_name = "DEVICE")]
    pub disk: Option<PathBuf>,
    /// Where `data`, the link to the partition, and `data-state` are put
    #[arg(long, value_name = "FOLDER", default_value = "/run/tide")]
    pub run_dir: PathBuf,
}

/// Makes it or checks it, and links `data` to its device.
///
/// # Errors
/// If the station has no place for photos. Why is in the state file too.
pub fn prepare(options: &Options) -> anyhow::Result<()> {
    let run = &options.run_dir;
    fs::create_dir_all(run).with_context(|| format!("failed to make {}", run.display()))?;
    let _alone = claim_alone(run)?;
    let mut state = DataState::default();
    let outcome = prepare_on_disk(options, &mut state);
    if let Err(error) = &outcome {
        (state.device, state.problem) = (None, Some(format!("{error:#}")));
        // What an earlier run linked is not to be mounted.
        drop(fs::remove_file(run.join("data")));
    }
    state.write(run).with_context(|| format!("failed to write {}", run.join(STATE_FILE_NAME).display()))?;
    outcome
}

/// Two at once would make the same partition.
fn claim_alone(run: &Path) -> anyhow::Result<File> {
    let file = run.join("disk.lock");
    let lock = File::create(&file).with_context(|| format!("failed to make {}", file.display()))?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).context("another `tide-provision disk` is at work")?;
    Ok(lock)
}

fn prepare_on_disk(options: &Options, state: &mut DataState) -> anyhow::Result<()> {
    let disk = match &options.disk {
        Some(node) => Device::of_node(node)?,
        None => Device::of_root()?,
    };
    say(&format!("the card is {}, {}", disk.node.display(), gigabytes(disk.size_bytes)));
    // First of all: whatever else is wrong is told there.
    if let Some((boot, _)) = disk.partition(BOOT)? {
        link(&boot.node, &options.run_dir.join("boot"))?;
    }
    let node = disk.node.clone();
    let mut card = RealCard::new(disk, &options.run_dir);
    let starts = card.table()?.partitions.iter().map(|partition| partition.start_bytes).collect::<Vec<_>>();
    if starts.iter().all(|start| *start >= second_copy::FREE_UP_TO_BYTES) {
        link(&node, &options.run_dir.join(CARD_LINK))?;
    }
    let partition = settle(&mut card, state)?;
    let device = card.device(partition)?.node;
    link(&device, &options.run_dir.join("data"))?;
    say(&format!("photos go to {}, {}", device.display(), gigabytes(partition.size_bytes)));
    state.device = Some(device);
    Ok(())
}

/// Takes one step after the other until there is a partition to use.
fn settle(card: &mut dyn Card, state: &mut DataState) -> anyhow::Result<Partition> {
    let mut known = BTreeMap::new();
    loop {
        let table = card.table()?;
        match layout::next(&table, &known) {
            Step::Use(partition) => {
                describe(&table, partition, state);
                return Ok(partition);
            }
            Step::Check(partition) => {
                known.insert(partition.number, check(card, partition, state)?);
            }
            Step::Make(partition) => {
                let file = (partition.number == SECOND).then_some(&SET_ASIDE);
                let verdict = make(card, partition, file, state)?;
                if verdict != Verdict::Sound {
                    bail!(BAD_CARD);
                }
                // Only now: an entry means a whole file system.
                card.enter(partition)?;
                known.insert(partition.number, verdict);
            }
            Step::MakeAnew(partition) => {
                say(&format!("partition {} is made anew: WHAT IT HELD IS LOST", partition.number));
                known.insert(partition.number, make(card, partition, Some(&MADE_ANEW), state)?);
            }
            Step::RefuseSmallCard { room_bytes } => bail!(
                "the card has {} free behind the system, and photos need at least {}; use a larger card (8 GB or more)",
                megabytes(room_bytes),
                megabytes(layout::MIN_DATA_BYTES)
            ),
            Step::RefuseBadCard => bail!(BAD_CARD),
            Step::RefuseUnclear(partition) => bail!(
                "partition {} cannot be used, and nothing was found wrong with it, so what it holds is left alone; switch the \
                 station off and on again",
                partition.number
            ),
        }
    }
}

fn check(card: &mut dyn Card, partition: Partition, state: &mut DataState) -> anyhow::Result<Verdict> {
    card.attach(partition)?;
    if card.is_in_use(partition)? {
        say(&format!("partition {} is in use already, and is left alone", partition.number));
        return Ok(Verdict::Sound);
    }
    say(&format!("checking partition {}, {}", partition.number, gigabytes(partition.size_bytes)));
    let health = health::examine(card, partition);
    health.notes.iter().for_each(|note| say(note));
    state.details.extend(health.notes);
    // A check that could not be ended still holds it, and nothing can be said of it.
    if health.verdict != Verdict::Sound && card.is_in_use(partition)? {
        bail!("partition {} is still held by its check; switch the station off and on again", partition.number);
    }
    if health.verdict == Verdict::Sound {
        state.was_repaired = health.was_repaired;
        take_in(health.contents, state);
    }
    Ok(health.verdict)
}

fn make(
    card: &mut dyn Card,
    partition: Partition,
    file: Option<&FileForPeople>,
    state: &mut DataState,
) -> anyhow::Result<Verdict> {
    let (number, size) = (partition.number, gigabytes(partition.size_bytes));
    card.attach(partition)?;
    if card.is_in_use(partition)? {
        bail!("something else uses the place of partition {number}; stop it, or start the station again");
    }
    say(&format!("making the data partition {number}, {size}; this takes some seconds"));
    card.make(partition, file)?;
    state.was_made = true;
    match card.trial(partition) {
        Trial::Works(contents) => {
            take_in(contents, state);
            Ok(Verdict::Sound)
        }
        Trial::Fails(why) => {
            say(&format!("partition {number} was made, but {why}"));
            state.details.push(why);
            Ok(Verdict::Useless)
        }
    }
}

fn take_in(contents: Contents, state: &mut DataState) {
    state.lost_and_found = contents.lost_and_found;
    state.was_made_anew = contents.says_made_anew;
}

/// What the operator should know.
fn describe(table: &Table, partition: Partition, state: &mut DataState) {
    (state.partition, state.size_bytes) = (Some(partition.number), partition.size_bytes);
    state.set_aside = (partition.number == SECOND && table.get(DATA).is_some()).then_some(DATA);
    let mut note = |is_so: bool, words: String| {
        if is_so {
            say(&words);
            state.notes.push(words);
        }
    };
    note(
        state.set_aside.is_some(),
        format!(
            "the file system on the card's partition 3 was beyond repair: it was set aside as it is, photos may still be on it, \
             and the station goes on with partition 4 ({}); replace the card soon, and keep the old one",
            gigabytes(partition.size_bytes)
        ),
    );
    note(
        state.was_made_anew,
        format!(
            "photos were LOST: the file system on partition {} was beyond repair and was made anew; replace the card soon, or \
             delete {} on it to end this message",
            partition.number, MADE_ANEW.name
        ),
    );
    note(
        state.lost_and_found > 0,
        format!(
            "{} files or folders lie in lost+found of the data partition: a repair could not find their names again, and \
             photos may be among them",
            state.lost_and_found
        ),
    );
    note(
        state.was_repaired,
        "the data partition was damaged and was repaired; if this comes again, replace the card".to_owned(),
    );
    note(
        partition.number == DATA && table.has_grown(),
        format!(
            "{} of the card are not used: the data partition was made for a smaller card",
            gigabytes(table.room_bytes())
        ),
    );
}

/// At once, whole, whatever was there.
fn link(device: &Path, place: &Path) -> anyhow::Result<()> {
    let beside = place.with_extension("part");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => (),
    }
    symlink(device, &beside)
        .and_then(|()| fs::rename(&beside, place))
        .with_context(|| format!("failed to link {}", place.display()))
}

/// A line for the journal.
fn say(line: &str) {
    println!("{line}");
}

/// As it is printed on cards.
fn gigabytes(bytes: u64) -> String {
    const TENTH: u64 = 100_000_000;
    format!("{}.{} GB", bytes / TENTH / 10, bytes / TENTH % 10)
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::testing::{FakeCard, code};
    use super::*;

    fn settled(card: &mut FakeCard) -> (u32, DataState) {
        let mut state = DataState::default();
        let partition = settle(card, &mut state).unwrap();
        (partition.number, state)
    }

    #[test]
    fn the_entry_comes_last() {
        let mut card = FakeCard::fresh();
        let (number, state) = settled(&mut card);
        assert_eq!(card.calls, ["attach 3", "make 3", "trial 3", "enter 3"]);
        assert!(number == DATA && state.was_made && state.notes.is_empty(), "{state:?}");
    }

    #[test]
    fn a_first_boot_that_is_cut_begins_again() {
        for calls in 0..4 {
            let mut card = FakeCard::fresh();
            card.calls_until_cut = Some(calls);
            settle(&mut card, &mut DataState::default()).unwrap_err();
            assert_eq!(card.table().unwrap().get(DATA), None, "an entry without a file system");
            card.calls_until_cut = None;
            assert_eq!(settled(&mut card).0, DATA);
        }
    }

    #[test]
    fn a_sound_one_is_kept() {
        let mut card = FakeCard::with_data();
        let (number, state) = settled(&mut card);
        assert_eq!((number, &card.calls[..]), (DATA, &["attach 3", "check 3", "trial 3"].map(str::to_owned)[..]));
        assert!(!state.was_made && state.notes.is_empty() && state.details.is_empty(), "{state:?}");
    }

    #[test]
    fn one_that_is_beyond_repair_is_set_aside() {
        let mut card = FakeCard::with_data();
        card.checks = [8; 6].map(code).into();
        card.mounts = [false, false].into();
        let (number, state) = settled(&mut card);
        assert_eq!((number, state.set_aside, state.notes.len()), (SECOND, Some(DATA), 1));
        assert_eq!(card.calls[9..], ["attach 4", "make 4", "trial 4", "enter 4"]);
        // For good.
        card.calls.clear();
        let (number, state) = settled(&mut card);
        assert_eq!((number, state.set_aside, state.notes.len()), (SECOND, Some(DATA), 1));
        assert_eq!(card.calls, ["attach 4", "check 4", "trial 4"]);
    }

    #[test]
    fn without_room_it_is_made_anew_and_the_loss_is_told() {
        let mut card = FakeCard::with_data();
        card.fill();
        card.checks = [12; 6].map(code).into();
        let (number, state) = settled(&mut card);
        assert_eq!((number, state.was_made_anew), (DATA, true));
        assert!(state.notes[0].contains("photos were LOST"), "{state:?}");
        assert_eq!(card.calls[7..], ["attach 3", "make 3", "trial 3"]);
    }

    #[test]
    fn a_card_that_keeps_nothing_is_refused() {
        let mut card = FakeCard::fresh();
        card.mounts = [false].into();
        let error = settle(&mut card, &mut DataState::default()).unwrap_err().to_string();
        assert_eq!((error.as_str(), card.calls.len()), (BAD_CARD, 3));
    }

    #[test]
    fn what_may_be_whole_is_not_made_over() {
        let mut card = FakeCard::with_data();
        card.fill();
        card.mounts = [false; 3].into();
        let error = settle(&mut card, &mut DataState::default()).unwrap_err().to_string();
        assert!(error.contains("is left alone"), "{error}");
        assert!(!card.calls.iter().any(|call| call.starts_with("make")), "{:?}", card.calls);
    }

    #[test]
    fn what_is_in_use_is_left_alone() {
        let mut card = FakeCard::with_data();
        card.in_use = true;
        assert_eq!(settled(&mut card).0, DATA);
        assert_eq!(card.calls, ["attach 3"]);
        let mut card = FakeCard::fresh();
        card.in_use = true;
        settle(&mut card, &mut DataState::default()).unwrap_err();
        assert_eq!(card.calls, ["attach 3"]);
    }

    #[test]
    fn room_that_a_larger_card_brings_is_told() {
        let mut card = FakeCard::with_data();
        card.table.disk_bytes *= 2;
        let (_, state) = settled(&mut card);
        assert_eq!(state.notes.len(), 1, "{state:?}");
        assert!(state.notes[0].starts_with("9.2 GB of the card are not used"), "{state:?}");
    }
}
