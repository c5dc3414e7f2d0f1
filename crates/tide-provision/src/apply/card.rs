//! The card's FAT partition, as a person left it and as we leave it.

use std::io;

use tide_durable::{Durable, IfExists, PART_SUFFIX};

use super::log;
use crate::machine::{Machine, OldBytes};

/// The name that the settings have on the card.
pub(super) const TOML: &str = "tide.toml";
/// The name that Windows gives them where it hides the end of names.
const TOML_OF_WINDOWS: &str = "tide.toml.txt";
/// The prototype's settings.
pub(super) const ENV: &str = ".env";

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
    let (toml, of_windows) = (find(card, TOML), find(card, TOML_OF_WINDOWS));
    let env = find(card, ENV);
    if toml == Found::Nothing && of_windows != Found::Nothing {
        return Given { name: TOML_OF_WINDOWS, toml: of_windows, env, has_double: false };
    }
    let has_double = toml != Found::Nothing && of_windows != Found::Nothing;
    Given { name: TOML, toml, env, has_double }
}

/// One file.
pub(super) fn find(card: &Durable, name: &str) -> Found {
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
    let needed: Vec<&Change<'_>> = changes.iter().filter(|change| !is_done(card, change)).collect();
    let is_part = |name: &std::ffi::OsStr| name.as_encoded_bytes().ends_with(PART_SUFFIX.as_bytes());
    let has_parts = card.list(card.root()).is_ok_and(|entries| entries.iter().any(|entry| is_part(&entry.name)));
    if needed.is_empty() && !has_parts {
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
    for change in needed {
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
    let path = card.root().join(change.name);
    // Before the rename: afterwards nothing leads to the old bytes any more, and they would lie in the card's free room.
    let old = if change.was_secret { Some(machine.old_bytes(&path)?) } else { None };
    card.publish(&path, change.text.as_bytes(), IfExists::Replace)?;
    old.map_or(Ok(()), OldBytes::overwrite)
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
