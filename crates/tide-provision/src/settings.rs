//! The settings as the person on the pier wrote them: read, and judged as far as they are ours. Nothing is changed here.

pub(crate) mod document;
pub(crate) mod env_file;
mod fault;
mod local;
mod outline;
mod secret;
pub(crate) mod ssh_key;
mod wifi;
mod zoneinfo;

use tide_photo::StationName;

use self::document::Document;
use self::env_file::EnvFile;
pub use self::fault::{Fault, Place};
pub use self::local::Local;
pub use self::outline::{Flash, Outline};
pub use self::secret::Secret;
pub use self::ssh_key::SshKey;
pub use self::wifi::Wifi;
pub use self::zoneinfo::Zoneinfo;
use crate::kept::Secrets;

/// The files, as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// `tide.toml`.
    pub toml: Option<Vec<u8>>,
    /// The prototype's `.env`.
    pub env: Option<Vec<u8>>,
}

/// Settings that can be put into effect, as far as they are ours to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The name under which the server knows this station.
    pub station: StationName,
    /// Its secret.
    pub token: Secret,
    /// The network that it is to join.
    pub wifi: Option<Wifi>,
    /// Zone and logins.
    pub local: Local,
    /// What else is told to the person.
    pub outline: Outline,
    /// The prototype's variables.
    pub env: EnvFile,
}

/// What became of the files.
#[derive(Debug)]
pub struct Judgement {
    /// None if there is a fault.
    pub wanted: Option<Wanted>,
    /// All that we found.
    pub faults: Vec<Fault>,
    /// Whether the files are TOML and NAME=VALUE at all, so that other programs can say more.
    pub is_readable: bool,
}

impl Judgement {
    fn unreadable(faults: Vec<Fault>) -> Self {
        Self { wanted: None, faults, is_readable: false }
    }
}

/// Judges what is in the files, with what the station has kept of earlier ones.
pub fn judge(files: &Files, kept: &Secrets, zoneinfo: &Zoneinfo) -> Judgement {
    let (toml, env) = match (text(files.toml.as_deref(), Place::Toml), text(files.env.as_deref(), Place::Env)) {
        (Ok(toml), Ok(env)) => (toml, env),
        (toml, env) => return Judgement::unreadable(toml.err().into_iter().chain(env.err()).collect()),
    };
    let (document, variables) = match (Document::parse(toml), EnvFile::parse(env)) {
        (Ok(document), Ok(variables)) => (document, variables),
        (document, variables) => {
            let faults = document.err().into_iter().flatten().chain(variables.err());
            return Judgement::unreadable(in_order(faults.collect()));
        }
    };
    let mut faults = variables.faults(env);
    let station = station(&document, &variables, env, &mut faults);
    let token = token(&document, &variables, kept, station.as_ref(), &mut faults);
    let wifi = wifi::read(&document, kept, zoneinfo, &mut faults);
    let local = local::read(&document, zoneinfo, &mut faults);
    let outline = Outline::of(&document, &variables);
    let wanted = station.zip(token).filter(|_| faults.is_empty());
    let wanted = wanted.map(|(station, token)| Wanted { station, token, wifi, local, outline, env: variables });
    Judgement { wanted, faults: in_order(faults), is_readable: true }
}

/// As the lines stand in the files; what is missing altogether comes last.
pub(crate) fn in_order(mut faults: Vec<Fault>) -> Vec<Fault> {
    faults.sort_by_key(|fault| (fault.place, fault.line.unwrap_or(usize::MAX)));
    faults
}

/// The text of a file, nothing if there is none, without the byte order mark that Windows editors put first.
fn text(bytes: Option<&[u8]>, place: Place) -> Result<&str, Fault> {
    let Some(bytes) = bytes else { return Ok("") };
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        let words = "the file is UTF-16; save it as UTF-8 (in Notepad: Save As, Encoding: UTF-8)".to_owned();
        return Err(Fault { place, line: None, words });
    }
    std::str::from_utf8(bytes).map(|text| text.trim_start_matches('\u{feff}')).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        let words = "a character here is not UTF-8; save the file as UTF-8 (in Notepad: Save As, Encoding: UTF-8)";
        Fault { place, line: Some(line), words: words.to_owned() }
    })
}

fn station(document: &Document<'_>, variables: &EnvFile, env: &str, faults: &mut Vec<Fault>) -> Option<StationName> {
    if let Some(name) = variables.last(&["TIDE_STATION"]) {
        let line = env_file::line_with(env, "TIDE_STATION");
        return name.parse().map_err(|error| faults.push(Fault::in_env(line, format!("{error}")))).ok();
    }
    let Some(value) = document.get(&["station"]) else {
        faults.push(Fault::missing(
            "the station's name is missing; write it in a line at the top, for instance station = \"pier-3\"",
        ));
        return None;
    };
    let line = document.line(&value.span());
    let Some(name) = value.get_ref().as_str() else {
        faults.push(Fault::at(line, "`station` is a text: put it between quotes"));
        return None;
    };
    name.parse().map_err(|error| faults.push(Fault::at(line, format!("{error}")))).ok()
}

fn token(
    document: &Document<'_>,
    variables: &EnvFile,
    kept: &Secrets,
    station: Option<&StationName>,
    faults: &mut Vec<Fault>,
) -> Option<Secret> {
    let value = document.get(&["server", "token"]);
    let line = value.map(|value| document.line(&value.span()));
    if let (Some(line), Some(value)) = (line, value)
        && !value.get_ref().is_str()
    {
        faults.push(Fault::at(line, "`token` is a text: put it between quotes"));
        return None;
    }
    let in_file = value.and_then(|value| value.get_ref().as_str()).filter(|token| !token.is_empty());
    if let Some(token) = variables.last(&[env_file::TOKEN]).or(in_file) {
        // It is sent in a header of HTTP, where nothing else may stand.
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let words = "the token holds a character that no token has; copy it again from the server's output";
            faults.push(Fault { place: Place::Toml, line, words: words.to_owned() });
        }
        return Some(Secret::new(token));
    }
    let station = station?;
    let secret = kept.token_of(station.as_str());
    if secret.is_none() {
        let words = match kept.station.as_deref().filter(|_| kept.token.is_some()) {
            Some(other) => format!(
                "the station is called {station} now, but the token that it has kept is that of {other}; {station} needs its own"
            ),
            None => "the token is missing, by which the server knows the station".to_owned(),
        };
        let advice = format!(
            "`tide-server station token {station} --config` on the server prints a tide.toml with one \
             (`tide-server station add {station} --config` if the server does not know the station yet)"
        );
        faults.push(Fault { place: Place::Toml, line, words: format!("{words}; {advice}") });
    }
    secret.cloned()
}

#[cfg(test)]
mod tests;
