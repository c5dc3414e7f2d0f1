//! The other programs judge the settings that are theirs.

use std::io;
use std::path::Path;

use tide_durable::{Durable, IfExists};

use crate::machine::{Judge, Machine};
use crate::settings::document::Document;
use crate::settings::{Fault, Place};

/// Where the files lie while they are judged.
const FOLDER: &str = "judged";

/// The files without their secrets, each line with its number.
pub(super) struct ToJudge<'f> {
    /// `tide.toml`, which may be empty.
    pub(super) toml: &'f str,
    /// The prototype's file.
    pub(super) env: Option<&'f str>,
}

/// What the programs say against the files, beyond what is known already.
pub(super) fn ask(run: &Durable, files: &ToJudge<'_>, machine: &dyn Machine, known: &[Fault]) -> Vec<Fault> {
    let folder = run.root().join(FOLDER);
    let path = folder.join("tide.toml");
    if let Err(error) = lay_out(run, files, &path) {
        return vec![Fault::missing(format!("the settings could not be judged: {error}"))];
    }
    let mut faults = Vec::new();
    for (judge, name) in [(Judge::Recorder, "tide-recorder"), (Judge::Timesync, "tide-timesync")] {
        let fault = match machine.ask(judge, &path) {
            Ok(None) => continue,
            Ok(Some(words)) => in_its_line(fault_in(&words, name, &path), files.toml),
            Err(error) => Fault::missing(format!("{name} could not judge the settings: {error}")),
        };
        let is_known = |other: &Fault| is_same(other, &fault);
        if !known.iter().any(is_known) && !faults.iter().any(is_known) {
            faults.push(fault);
        }
    }
    for name in ["tide.toml", ".env"] {
        // They hold no secret, and are written anew next time.
        drop(run.remove_lazily(&folder.join(name)));
    }
    faults
}

fn lay_out(run: &Durable, files: &ToJudge<'_>, path: &Path) -> io::Result<()> {
    // A comment of the prototype's file may hold anything.
    run.publish_private(path, files.toml.as_bytes(), IfExists::Replace)?;
    let env = path.with_file_name(".env");
    match files.env {
        Some(text) => run.publish_private(&env, text.as_bytes(), IfExists::Replace),
        None => match run.remove_lazily(&env) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        },
    }
}

/// One line has one fault: what we have said of it already is more to the point. What is missing is told by its key.
fn is_same(known: &Fault, other: &Fault) -> bool {
    let is_about_missing = other.line.is_none() && other.words.contains("missing");
    match known.line {
        Some(line) => other.place == known.place && other.line == Some(line),
        None => known.words == other.words || (is_about_missing && other.words.contains("`station`")),
    }
}

/// A program's sentence, for a person who knows the file by its name on the card.
fn fault_in(words: &str, program: &str, path: &Path) -> Fault {
    let words = words.lines().map(str::trim).collect::<Vec<_>>().join("; ");
    let words = words.strip_prefix(&format!("{program}: ")).unwrap_or(&words);
    let path = path.display();
    let words = words
        .replace(&format!("add it to {path}, or name another file with TIDE_CONFIG"), "add it to tide.toml")
        .replace(&format!("the settings in {path} cannot be used: "), "")
        .replace(&path.to_string(), "tide.toml");
    if let Some(rest) = words.strip_prefix("the environment variable ") {
        return Fault::in_env(None, rest.replacen(" cannot be used", "", 1));
    }
    let placed = words.strip_prefix("line ").and_then(|rest| {
        let end = rest.find([',', ':'])?;
        let (number, rest) = rest.split_at(end);
        Some(Fault::at(number.parse().ok()?, rest.trim_start_matches([',', ':', ' '])))
    });
    placed.unwrap_or_else(|| Fault::missing(words))
}

/// Programs that compare settings with each other have no line left, but name a key: "`server.url` must be ..." or "`gain` in
/// `[camera]` is ...".
fn in_its_line(fault: Fault, toml: &str) -> Fault {
    if fault.line.is_some() || fault.place != Place::Toml {
        return fault;
    }
    let line = Document::parse(toml.trim_start_matches('\u{feff}')).ok().and_then(|document| {
        let mut parts = fault.words.splitn(3, '`').skip(1);
        let (key, rest) = (parts.next()?, parts.next()?);
        let table = rest.strip_prefix(" in [").and_then(|rest| rest.split_once(']'));
        let path: Vec<&str> = table.map(|(table, _)| table).into_iter().chain(key.split('.')).collect();
        document.get(&path).map(|value| document.line(&value.span()))
    });
    Fault { line, ..fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_named_has_a_line() {
        let toml = "station = 'x'\n[server]\nurl = 'x'\n[camera]\nkind = 'usb'\ngain = 2\n";
        for (words, line) in [
            ("`server.url` must be an address like https://HOST:5000, not \"x\"", Some(3)),
            ("`gain` in [camera] is for `rpicam`, and the camera is `usb`; take it out", Some(6)),
            ("a setting is missing: missing field `token`; add it to tide.toml", None),
            ("the window `daylight` needs [position]", None),
        ] {
            assert_eq!(in_its_line(Fault::missing(words), toml), Fault { line, ..Fault::missing(words) });
        }
    }

    #[test]
    fn a_programs_sentence_becomes_a_line_of_the_card() {
        let path = Path::new("/run/tide/judged/tide.toml");
        let said = |words: &str| fault_in(words, "tide-recorder", path).to_string();
        for (words, line) in [
            (
                "tide-recorder: the settings in /run/tide/judged/tide.toml cannot be used: line 3, interval_s: the interval is 1 to 86400 seconds, not 0",
                "line 3: interval_s: the interval is 1 to 86400 seconds, not 0",
            ),
            (
                "tide-recorder: the settings in /run/tide/judged/tide.toml cannot be used: line 9: unknown field `tokn`\n",
                "line 9: unknown field `tokn`",
            ),
            (
                "tide-recorder: a setting is missing: missing field `url`; add it to /run/tide/judged/tide.toml, or name another file with TIDE_CONFIG",
                "a setting is missing: missing field `url`; add it to tide.toml",
            ),
            (
                "tide-recorder: the environment variable PHOTO_INTERVAL cannot be used: invalid type",
                ".env, PHOTO_INTERVAL: invalid type",
            ),
        ] {
            assert_eq!(said(words), line);
        }
    }
}
