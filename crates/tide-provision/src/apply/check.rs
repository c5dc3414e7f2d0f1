//! The other programs judge the settings that are theirs.

use std::io;
use std::path::Path;

use tide_durable::{Durable, IfExists};

use crate::machine::{Judge, Machine};
use crate::settings::Fault;

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
            Ok(Some(words)) => fault_in(&words, name, &path),
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
    run.publish(path, files.toml.as_bytes(), IfExists::Replace)?;
    let env = path.with_file_name(".env");
    match files.env {
        Some(text) => run.publish(&env, text.as_bytes(), IfExists::Replace),
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

#[cfg(test)]
mod tests {
    use super::*;

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
