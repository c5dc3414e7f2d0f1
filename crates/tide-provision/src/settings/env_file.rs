//! The prototype's `.env`: what in it is a setting of ours.

use std::collections::BTreeMap;

use super::fault::Fault;

/// The prototype's own names.
const PROTOTYPES: &[&str] = &["FLASH_GPIO", "PHOTO_INTERVAL", "SERVER_URL"];

/// The variable of the station's secret.
pub(crate) const TOKEN: &str = "TIDE_TOKEN";

/// The variables of the file that are ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvFile(BTreeMap<String, String>);

impl EnvFile {
    /// Reads the file's text.
    ///
    /// # Errors
    /// At the first line that cannot be read.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let mut variables = BTreeMap::new();
        for pair in dotenvy::from_read_iter(text.as_bytes()) {
            let (name, value) = pair.map_err(|error| unreadable(text, &error))?;
            if name.starts_with("TIDE_") || PROTOTYPES.contains(&name.as_str()) {
                variables.insert(name, value);
            }
        }
        Ok(Self(variables))
    }

    /// The value of the last of these names that is set: as the recorder has it, for names of one setting in alphabetic order.
    pub fn last(&self, names: &[&str]) -> Option<&str> {
        let set = |name: &&str| self.0.get(*name).map(String::as_str).filter(|value| !value.is_empty());
        names.iter().rev().find_map(set)
    }

    /// Whether anything in it is ours.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text of a file with these variables and no other, and without the token.
    pub fn without_token(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.0.iter().filter(|(name, _)| *name != TOKEN) {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$").replace('\n', "\\n");
            text.push_str(&format!("{name}=\"{quoted}\"\n"));
        }
        text
    }

    /// What may not stand there.
    pub(super) fn faults(&self, text: &str) -> Vec<Fault> {
        let by_file = ["TIDE_TOKEN_FILE", "TIDE_STATION_FILE", "TIDE_CONFIG"];
        let set = by_file.iter().filter(|name| self.0.contains_key(**name));
        set.map(|name| {
            let words = format!("{name} cannot be used on a card; write the setting itself, into tide.toml");
            Fault::in_env(line_with(text, name), words)
        })
        .collect()
    }
}

/// The line in which a name or a piece of the text stands first.
pub(crate) fn line_with(text: &str, piece: &str) -> Option<usize> {
    let offset = text.find(piece.trim())?;
    text.get(..offset).map(|before| before.matches('\n').count() + 1)
}

/// dotenvy's error repeats the line, which may hold a secret.
fn unreadable(text: &str, error: &dotenvy::Error) -> Fault {
    let line = match error {
        dotenvy::Error::LineParse(line, _) => line_with(text, line),
        _ => None,
    };
    Fault::in_env(line, "this is not NAME=VALUE; a value with spaces stands between quotes")
}
