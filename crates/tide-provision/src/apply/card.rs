//! The card's FAT partition, as a person left it and as we leave it.

use std::io;

use tide_durable::{Durable, IfExists, PART_SUFFIX};

use super::log;
use crate::machine::Machine;

/// The name that the settings have on the card.
pub(super) const TOML: &str = "tide.toml";
/// The name that Windows gives them where it hides the end of names.
const TOML_OF_WINDOWS: &str = "tide.toml.txt";
/// The prototype's settings.
pub(super) const ENV: &str = ".env";

/// With this behind its name, a copy without secrets stands beside a file while that one's bytes are overwritten.
const CLEAN: &str = ".without-secrets";

/// What was found under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Something to read.
    Bytes(Vec<u8>),
    /// No such file.
    Nothing,
    /// A file that holds nothing, or nothing but zeros, as a power cut leaves it.
    Empty,
    /// The card does not give it.
    Unreadable,
}

impl Found {
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// What a person put on the card.
pub(super) struct Given {
    /// The name of the settings.
    pub(super) name: &'static str,
    /// The settings.
    pub(super) toml: Found,
    /// The prototype's.
    pub(super) env: Found,
    /// Whether there is a file that somebody may take for the settings.
    pub(super) has_double: bool,
}

/// Reads it.
pub(super) fn read(card: &Durable) -> Given {
    let [toml, of_windows, env] = [TOML, TOML_OF_WINDOWS, ENV].map(|name| find_whole(card, name));
    if toml == Found::Nothing && of_windows != Found::Nothing {
        return Given { name: TOML_OF_WINDOWS, toml: of_windows, env, has_double: false };
    }
    let has_double = toml != Found::Nothing && of_windows != Found::Nothing;
    Given { name: TOML, toml, env, has_double }
}

/// One file; its copy without secrets, if the power went while it was overwritten.
fn find_whole(card: &Durable, name: &str) -> Found {
    let found = find(card, name);
    if is_whole(&found) {
        return found;
    }
    let copy = find(card, &clean(name));
    if is_whole(&copy) { copy } else { found }
}

fn find(card: &Durable, name: &str) -> Found {
    match card.read(&card.root().join(name)) {
        Ok(bytes) if bytes.iter().all(|byte| *byte == 0 || byte.is_ascii_whitespace()) => Found::Empty,
        Ok(bytes) => Found::Bytes(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
        Err(error) => {
            log(&format!("failed to read {name} on the card: {error}"));
            Found::Unreadable
        }
    }
}

/// Whether it is what somebody wrote: no text holds a zero, but for those that Windows wrote in two bytes a letter.
fn is_whole(found: &Found) -> bool {
    found.bytes().is_some_and(|bytes| !bytes.contains(&0) || matches!(bytes, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]))
}

fn clean(name: &str) -> String {
    format!("{name}{CLEAN}")
}

/// A file that is to be another.
pub(super) struct Change<'c> {
    /// Its name.
    pub(super) name: &'c str,
    /// What it is to hold.
    pub(super) text: &'c str,
    /// Whether what it holds now must not be found on the card any more.
    pub(super) was_secret: bool,
}

/// Makes the changes that are none yet, while the card takes writes for as long as that needs. The station does not depend on
/// it: what fails is told, and tried again at the next boot.
pub(super) fn change(card: &Durable, machine: &dyn Machine, changes: &[Change<'_>]) {
    let is_left = |name: &std::ffi::OsStr| {
        [PART_SUFFIX, CLEAN].iter().any(|end| name.as_encoded_bytes().ends_with(end.as_bytes()))
    };
    let has_leftovers = card.list(card.root()).is_ok_and(|entries| entries.iter().any(|entry| is_left(&entry.name)));
    if !has_leftovers && changes.iter().all(|change| is_done(card, change)) {
        return;
    }
    if let Err(error) = machine.open_card() {
        log(&format!("the card takes no writes, so it stays as it is, secrets too: {error}"));
        return;
    }
    let _closing = Closing(machine);
    if let Err(error) = card.sweep(card.root()) {
        log(&format!("failed to remove an unfinished file from the card: {error}"));
    }
    for name in [TOML, TOML_OF_WINDOWS, ENV] {
        if let Err(error) = finish(card, machine, name) {
            log(&format!("failed to take the secrets out of {name} on the card: {error}"));
        }
    }
    for change in changes.iter().filter(|change| !is_done(card, change)) {
        match replace(card, machine, change) {
            Ok(()) if change.was_secret => log(&format!("took the secrets out of {} on the card", change.name)),
            Ok(()) => log(&format!("wrote {} on the card", change.name)),
            Err(error) => log(&format!("failed to write {} on the card: {error}", change.name)),
        }
    }
}

fn is_done(card: &Durable, change: &Change<'_>) -> bool {
    card.read(&card.root().join(change.name)).is_ok_and(|bytes| bytes == change.text.as_bytes())
}

fn replace(card: &Durable, machine: &dyn Machine, change: &Change<'_>) -> io::Result<()> {
    if change.was_secret {
        return take_out(card, machine, change.name, change.text.as_bytes());
    }
    card.publish(&card.root().join(change.name), change.text.as_bytes(), IfExists::Replace)
}

/// Takes the secrets out of a file. Their bytes are overwritten while they still have a name, or they would lie in the card's free
/// room after a power cut, where nobody finds them to do it again; and before that, the copy is safe.
fn take_out(card: &Durable, machine: &dyn Machine, name: &str, text: &[u8]) -> io::Result<()> {
    let [path, copy] = [name, &clean(name)].map(|name| card.root().join(name));
    card.publish(&copy, text, IfExists::Replace)?;
    machine.overwrite(&path)?;
    card.publish(&path, text, IfExists::Replace)?;
    card.remove(&copy)
}

/// Ends what a power cut has interrupted.
fn finish(card: &Durable, machine: &dyn Machine, name: &str) -> io::Result<()> {
    match find(card, &clean(name)) {
        Found::Nothing | Found::Unreadable => Ok(()),
        Found::Bytes(text) if !is_whole(&find(card, name)) => take_out(card, machine, name, &text),
        // It was not begun, or nearly done; or the file is another by now.
        _ => card.remove(&card.root().join(clean(name))),
    }
}

/// The card takes no more writes once this is dropped.
struct Closing<'m>(&'m dyn Machine);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.close_card() {
            log(&format!("the card still takes writes: {error}"));
        }
    }
}
