//! A TOML file whose values still know where they stand.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Fault;

/// A text, and the line that it is in.
pub(crate) type Located<T> = (T, usize);

/// A whole file.
pub(crate) struct Document<'t> {
    text: &'t str,
    root: DeTable<'t>,
}

impl<'t> Document<'t> {
    /// Reads a file's text.
    ///
    /// # Errors
    /// All places that are no TOML.
    pub(crate) fn parse(text: &'t str) -> Result<Self, Vec<Fault>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Self { text, root: root.into_inner() });
        }
        let fault = |error: &toml::de::Error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            // Never the line itself, which may hold a secret.
            Fault::at(line, format!("this is no TOML: {}", error.message().trim_end().replace('\n', ", ")))
        };
        let mut faults: Vec<Fault> = errors.iter().map(fault).collect();
        // One quote that is missing is found again at each word behind it.
        faults.dedup_by_key(|fault| fault.line);
        Err(faults)
    }

    /// The value at a path of keys, and where it stands.
    pub(crate) fn get(&self, path: &[&str]) -> Option<&Spanned<DeValue<'t>>> {
        let (first, rest) = path.split_first()?;
        let mut value = find(&self.root, first)?.1;
        for key in rest {
            value = find(value.get_ref().as_table()?, key)?.1;
        }
        Some(value)
    }

    /// The text at a path of keys, if it is one.
    pub(crate) fn text(&self, path: &[&str]) -> Option<Located<&str>> {
        let value = self.get(path)?;
        Some((value.get_ref().as_str()?, self.line(&value.span())))
    }

    /// The line in which something begins.
    pub(crate) fn line(&self, span: &Range<usize>) -> usize {
        line_of(self.text, span.start)
    }

    /// One table of ours, to be read key by key.
    pub(crate) fn table<'d>(&'d self, name: &'static str, faults: &mut Vec<Fault>) -> Option<Table<'d, 't>> {
        let value = self.get(&[name])?;
        let line = self.line(&value.span());
        let Some(keys) = value.get_ref().as_table() else {
            faults
                .push(Fault::at(line, format!("`{name}` is a table of settings: write [{name}] in a line of its own")));
            return None;
        };
        Some(Table { document: self, name, keys, line })
    }
}

/// A table of the file.
pub(crate) struct Table<'d, 't> {
    document: &'d Document<'t>,
    name: &'static str,
    keys: &'d DeTable<'t>,
    /// Where it begins.
    pub(crate) line: usize,
}

impl<'d, 't> Table<'d, 't> {
    /// Names every key that is not among `known`; `slips` says what was meant by some.
    pub(crate) fn refuse_unknown(&self, known: &[&str], slips: &[(&str, &str)], faults: &mut Vec<Fault>) {
        for key in self.keys.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let word = key.get_ref();
            let plain = word.to_lowercase().replace('-', "_");
            let meant = known.iter().find(|known| **known == plain).copied();
            let meant = meant.or_else(|| slips.iter().find(|(slip, _)| *slip == plain).map(|(_, meant)| *meant));
            let list = known.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
            let advice = meant.map_or(format!("it knows {list}"), |meant| format!("did you mean `{meant}`?"));
            let line = self.document.line(&key.span());
            faults.push(Fault::at(line, format!("[{}] has no setting `{word}`; {advice}", self.name)));
        }
    }

    /// The text of a key; a fault if it is something else.
    pub(crate) fn text(&self, key: &str, faults: &mut Vec<Fault>) -> Option<Located<&'d str>> {
        let (value, line) = self.value(key)?;
        match value.as_str() {
            Some(text) => Some((text, line)),
            None => {
                faults.push(Fault::at(line, format!("`{key}` is a text: put it between quotes")));
                None
            }
        }
    }

    /// The yes or no of a key; a fault if it is something else.
    pub(crate) fn flag(&self, key: &str, faults: &mut Vec<Fault>) -> Option<bool> {
        let (value, line) = self.value(key)?;
        if value.as_bool().is_none() {
            faults.push(Fault::at(line, format!("`{key}` is true or false, without quotes")));
        }
        value.as_bool()
    }

    /// The list of texts of a key; a fault for each that is none.
    pub(crate) fn texts(&self, key: &str, example: &str, faults: &mut Vec<Fault>) -> Vec<Located<&'d str>> {
        let Some((value, line)) = self.value(key) else { return Vec::new() };
        let Some(list) = value.as_array() else {
            faults.push(Fault::at(line, format!("`{key}` is a list of texts: {example}")));
            return Vec::new();
        };
        let mut texts = Vec::new();
        for value in list {
            let line = self.document.line(&value.span());
            match value.get_ref().as_str() {
                Some(text) => texts.push((text, line)),
                None => faults.push(Fault::at(line, format!("`{key}` is a list of texts: {example}"))),
            }
        }
        texts
    }

    /// Whether the key is there at all.
    pub(crate) fn has(&self, key: &str) -> bool {
        find(self.keys, key).is_some()
    }

    fn value(&self, key: &str) -> Option<Located<&'d DeValue<'t>>> {
        let (_, value) = find(self.keys, key)?;
        Some((value.get_ref(), self.document.line(&value.span())))
    }
}

type Entry<'d, 't> = (&'d Spanned<toml::de::DeString<'t>>, &'d Spanned<DeValue<'t>>);

fn find<'d, 't>(table: &'d DeTable<'t>, key: &str) -> Option<Entry<'d, 't>> {
    table.iter().find(|(name, _)| name.get_ref() == key)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}
