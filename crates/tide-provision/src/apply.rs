//! `tide-provision apply`: what the card says is judged and put into effect, at every boot.
//!
//! The order decides what a power cut can do: secrets are on the data partition before they leave the card, and the station may
//! shoot only once everything else is in effect.

mod card;
mod check;
mod keep;

use anyhow::Context;
use tide_durable::{Durable, IfExists};

use self::card::{Change, Given};
use self::check::ToJudge;
use self::keep::{Keep, ToKeep};
use crate::blanking::{self, BlankedEnv};
use crate::config::Folders;
use crate::disk::DataState;
use crate::kept::{self, Applied};
use crate::machine::{Machine, RealMachine};
use crate::render;
use crate::settings::env_file::EnvFile;
use crate::settings::{self, Fault, Files, Secret, Wanted, Zoneinfo};
use crate::status;

/// Who reads it: systemd, for the recorder's unit.
const READY: &str = "ready";
const STATUS: &str = "tide-status.txt";
const HARDWARE: &str = "tide-hw.txt";

/// What the settings are that are kept, where all of them stand in a `.env`.
const ONLY_ENV: &str = "# The settings are those of the prototype's file .env beside this one.\n";

/// Whether the station may shoot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is good.
    Ready,
    /// A person has to do something first, and `tide-status.txt` says what.
    NotReady,
}

/// Where everything is.
pub struct Places {
    /// The card's FAT partition.
    pub card: Durable,
    /// What is kept of the settings.
    pub data: Durable,
    /// What holds until the next boot.
    pub run: Durable,
    /// The system's zones.
    pub zoneinfo: Zoneinfo,
    /// What a person should know of the data partition.
    pub notes: Vec<String>,
}

/// Does it on this machine.
///
/// # Errors
/// If a folder cannot be used.
pub fn apply(folders: &Folders) -> anyhow::Result<Outcome> {
    let open = |folder| Durable::open(folder).with_context(|| format!("failed to use the folder {}", folder.display()));
    let run = open(&folders.run)?;
    withdraw(&run)?;
    // A card that cannot be read stops nothing: the station goes on with what it has kept.
    let (card, machine) = (Durable::at(&folders.boot), RealMachine::new(folders));
    // Where another program cares for the data partition, nothing is known of it.
    let DataState { notes, problem, .. } = DataState::read(&folders.run).unwrap_or_default();
    match open(&folders.data) {
        Ok(data) => {
            let zoneinfo = Zoneinfo::new(&folders.zoneinfo);
            apply_to(&Places { card, data, run, zoneinfo, notes }, &machine)
        }
        Err(error) => {
            log(&format!("{error:#}"));
            tell(&card, &machine, &status::no_place(&problem.unwrap_or_else(|| format!("{error:#}"))));
            Ok(Outcome::NotReady)
        }
    }
}

/// Does it on any machine.
///
/// # Errors
/// If it cannot be said whether the station may shoot.
pub fn apply_to(places: &Places, machine: &dyn Machine) -> anyhow::Result<Outcome> {
    withdraw(&places.run)?;
    let keep = Keep { data: &places.data, machine };
    let given = card::read(&places.card);
    let source = choose(&given, &keep);
    let outcome = match &source {
        Source::Nothing { why } => {
            log(why);
            tell(&places.card, machine, &status::none(why));
            Outcome::NotReady
        }
        Source::Settings(settings) => match judge(places, &keep, settings) {
            Ok((wanted, blanked)) => put_into_effect(places, &keep, settings, &wanted, &blanked)?,
            Err(faults) => {
                for fault in &faults {
                    log(&format!("{}: {fault}", settings.name));
                }
                let notes = [places.notes.as_slice(), &settings.notes].concat();
                tell(&places.card, machine, &status::bad(settings.name, &faults, &notes));
                Outcome::NotReady
            }
        },
    };
    // The last name that was good is still this machine's.
    if let Some(name) = keep.hostname()
        && let Err(error) = machine.set_hostname(&name)
    {
        log(&format!("failed to call this machine {name}: {error}"));
    }
    Ok(outcome)
}

/// One step, for the journal.
fn log(sentence: &str) {
    eprintln!("tide-provision: {sentence}");
}

/// Where the settings come from.
enum Source {
    Settings(Found),
    Nothing { why: &'static str },
}

/// Settings that were found.
struct Found {
    /// The name by which a person knows them.
    name: &'static str,
    files: Files,
    /// Whether they are those that a person put on the card, and not what was kept of them.
    are_on_card: bool,
    /// What else the person is told.
    notes: Vec<String>,
}

/// A card without settings does not stop a station that has kept good ones: the file may be lost, or the card worn out.
fn choose(given: &Given, keep: &Keep<'_>) -> Source {
    let applied = keep.applied();
    let why = match given.toml {
        card::Found::Nothing => "there is no tide.toml on the card",
        card::Found::Empty => "tide.toml on the card is empty",
        card::Found::Unreadable => "tide.toml on the card cannot be read",
        card::Found::Bytes(_) => "the prototype's .env on the card cannot be read",
    };
    let env_is_lost = given.env == card::Found::Unreadable && applied.as_ref().is_some_and(|kept| kept.env.is_some());
    let env_counts = given.env.bytes().is_some_and(|env| is_new_and_ours(env, applied.as_ref()));
    if (given.toml.bytes().is_some() && !env_is_lost) || (given.toml.bytes().is_none() && env_counts) {
        let files = Files { toml: given.toml.bytes().map(<[u8]>::to_vec), env: given.env.bytes().map(<[u8]>::to_vec) };
        let double = "There is a tide.toml.txt, too. It is not used; take it off the card.";
        let notes = given.has_double.then(|| double.to_owned()).into_iter().collect();
        return Source::Settings(Found { name: given.name, files, are_on_card: true, notes });
    }
    if applied.is_none() {
        return Source::Nothing { why };
    }
    log(&format!("{why}, so the station goes on with the settings that it has kept"));
    let notes = vec![format!("Note: {why}, so the station goes on with the settings that it has kept.")];
    Source::Settings(Found { name: card::TOML, files: keep.files(), are_on_card: false, notes })
}

/// Whether a `.env` without a `tide.toml` says anything that was not put into effect already.
fn is_new_and_ours(env: &[u8], applied: Option<&Applied>) -> bool {
    let Ok(text) = std::str::from_utf8(env) else { return true };
    let blanked = match blanking::blank_env(text) {
        BlankedEnv::Without(blanked) => blanked,
        _ => text.to_owned(),
    };
    let is_applied = applied.and_then(|kept| kept.env.as_ref()) == Some(&kept::digest(blanked.as_bytes()));
    let is_foreign = EnvFile::parse(text.trim_start_matches('\u{feff}')).is_ok_and(|variables| variables.is_empty());
    !is_applied && !is_foreign
}

/// The files without their secrets.
struct Blanked {
    toml: Option<String>,
    env: Option<String>,
}

impl Blanked {
    fn applied(&self, wanted: &Wanted) -> Applied {
        let digest = |text: &Option<String>| text.as_ref().map(|text| kept::digest(text.as_bytes()));
        Applied {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            station: wanted.station.as_str().to_owned(),
            toml: digest(&self.toml),
            env: digest(&self.env),
        }
    }
}

/// Judges the settings, and has other programs judge them unless they are in effect already.
fn judge(places: &Places, keep: &Keep<'_>, found: &Found) -> Result<(Wanted, Blanked), Vec<Fault>> {
    let judgement = settings::judge(&found.files, &keep.secrets(), &places.zoneinfo);
    let mut faults = judgement.faults;
    if !judgement.is_readable {
        return Err(faults);
    }
    let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let (toml, env) = (text(&found.files.toml), text(&found.files.env));
    let env = env.map(|text| match blanking::blank_env(&text) {
        BlankedEnv::AsItWas => text,
        BlankedEnv::Without(blanked) => blanked,
        BlankedEnv::Impossible => {
            let words = "the token cannot be found in the file; write it in one line, TIDE_TOKEN=...";
            faults.push(Fault::in_env(settings::env_file::line_with(&text, settings::env_file::TOKEN), words));
            String::new()
        }
    });
    // Also one that the station has kept already: it may stand in a comment.
    let secrets: Vec<&str> = judgement.wanted.iter().flat_map(secrets_of).collect();
    let clean = |text: String| secrets.iter().fold(text, |text, secret| blanking::without_in_comments(text, secret));
    let blank = |text: &String| clean(blanking::blank_toml(text).unwrap_or_else(|| text.clone()));
    let blanked = Blanked { toml: toml.as_ref().map(blank), env };
    let applied = keep.applied();
    let is_in_effect = judgement.wanted.as_ref().is_some_and(|wanted| {
        let now = blanked.applied(wanted);
        applied.is_some_and(|kept| if found.are_on_card { kept == now } else { kept.version == now.version })
    });
    if !is_in_effect {
        let text = toml.unwrap_or_default();
        let by_line = clean(blanking::blank_toml_line_by_line(&text).unwrap_or(text));
        let files = ToJudge { toml: &by_line, env: blanked.env.as_deref() };
        faults.extend(check::ask(&places.run, &files, keep.machine, &faults));
    }
    match judgement.wanted {
        Some(wanted) if faults.is_empty() => Ok((wanted, blanked)),
        _ => Err(settings::in_order(faults)),
    }
}

fn secrets_of(wanted: &Wanted) -> impl Iterator<Item = &str> {
    let password = wanted.wifi.as_ref().and_then(|wifi| wifi.password.as_ref());
    std::iter::once(&wanted.token).chain(password).map(Secret::reveal)
}

fn put_into_effect(
    places: &Places,
    keep: &Keep<'_>,
    found: &Found,
    wanted: &Wanted,
    blanked: &Blanked,
) -> anyhow::Result<Outcome> {
    let machine = keep.machine;
    let mut applied = blanked.applied(wanted);
    if let Some(before) = keep.applied().filter(|_| !found.are_on_card) {
        // What is on the card may come back as it was.
        (applied.toml, applied.env) = (before.toml, before.env);
    }
    let toml = blanked.toml.as_deref().unwrap_or(ONLY_ENV);
    if let Err(error) = keep.store(&ToKeep { wanted, toml, applied: &applied }, &places.zoneinfo) {
        let sentence = format!("failed to keep the settings: {error}");
        log(&sentence);
        tell(&places.card, machine, &status::not_kept(&sentence));
        return Ok(Outcome::NotReady);
    }
    let mut notes = [places.notes.as_slice(), &found.notes].concat();
    if [&blanked.toml, &blanked.env].into_iter().flatten().any(|text| text.contains(wanted.token.reveal())) {
        // In another setting, or in a comment of the prototype's file. Nobody would look for it there.
        notes.push("Note: the token stands in the file a second time. Take it out there.".to_owned());
    }
    let status = status::good(wanted, keep.host_key().filter(|_| !wanted.local.ssh_keys.is_empty()).as_deref(), &notes);
    let hardware = render::hardware(wanted.outline.flash);
    let mut changes = Vec::new();
    if found.are_on_card {
        let secret = |name, text| Change { name, text, was_secret: true };
        changes.extend(blanked.toml.as_deref().map(|text| secret(found.name, text)));
        changes.extend(blanked.env.as_deref().map(|text| secret(card::ENV, text)));
    }
    changes.push(Change { name: HARDWARE, text: &hardware, was_secret: false });
    changes.push(Change { name: STATUS, text: &status, was_secret: false });
    card::change(&places.card, machine, &changes);
    let ready = places.run.root().join(READY);
    let name = format!("{}\n", wanted.station);
    places
        .run
        .publish(&ready, name.as_bytes(), IfExists::Replace)
        .context("failed to say that the station is ready")?;
    log(&format!("the station {} is ready", wanted.station));
    Ok(Outcome::Ready)
}

/// Tells the person, and changes nothing else on the card.
fn tell(card: &Durable, machine: &dyn Machine, text: &str) {
    card::change(card, machine, &[Change { name: STATUS, text, was_secret: false }]);
}

/// Nobody shoots before it is known under which name.
fn withdraw(run: &Durable) -> anyhow::Result<()> {
    match run.remove_lazily(&run.root().join(READY)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context("failed to take back that the station is ready")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
