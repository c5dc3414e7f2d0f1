//! What is wrong with the settings, in words for the person who edits them.

use std::fmt;

/// Which file a fault is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The settings file.
    Toml,
    /// The prototype's `.env`.
    Env,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// In which file.
    pub place: Place,
    /// In which line, counted from 1; none if something is missing altogether.
    pub line: Option<usize>,
    /// What is wrong, and what to write instead. Never a secret.
    pub words: String,
}

impl Fault {
    /// In a line of the settings file.
    pub fn at(line: usize, words: impl Into<String>) -> Self {
        Self { place: Place::Toml, line: Some(line), words: words.into() }
    }

    /// Of the settings file as a whole.
    pub fn missing(words: impl Into<String>) -> Self {
        Self { place: Place::Toml, line: None, words: words.into() }
    }

    /// In the prototype's file.
    pub fn in_env(line: Option<usize>, words: impl Into<String>) -> Self {
        Self { place: Place::Env, line, words: words.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place == Place::Env {
            out.write_str(".env, ")?;
        }
        match self.line {
            Some(line) => write!(out, "line {line}: {}", self.words),
            None => out.write_str(&self.words),
        }
    }
}
