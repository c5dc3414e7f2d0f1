//! Settings of a program: one TOML file, then the environment. An unknown key or a bad value is refused and named, with its
//! line where there is one. The environment comes in as a map, so that each program reads it in one place and tests in none.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use config::{Config, File, FileFormat};
use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer};

/// The environment variable that names the file.
pub const FILE_VARIABLE: &str = "TIDE_CONFIG";

/// Variables that begin so are ours: one that is no setting is a mistake.
const OUR_PREFIX: &str = "TIDE_";

/// What a variable's name ends in if its value is the path of a file that holds the value (a Docker secret).
const FILE_SUFFIX: &str = "_FILE";

/// Where a program's settings come from.
#[derive(Debug, Clone, Copy)]
pub struct Sources {
    /// Read if it exists and [`FILE_VARIABLE`] names no other.
    pub default_file: &'static str,
    /// Environment variables, each with the key that it overrides (`server.url` for a key in a table). For each `NAME`,
    /// `NAME_FILE` is understood too.
    pub variables: &'static [(&'static str, &'static str)],
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file is there but cannot be read.
    #[error("failed to read the settings in {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Unknown key or bad value in the file.
    #[error("the settings in {path} cannot be used: {reason}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// Line, key and what is wrong with it.
        reason: String,
    },
    /// Unknown name or bad value in the environment.
    #[error("the environment variable {name} cannot be used: {reason}")]
    Variable {
        /// Which variable.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting that is needed and has no default.
    #[error("a setting is missing: {reason}; add it to {path}, or name another file with TIDE_CONFIG")]
    Missing {
        /// Which file.
        path: PathBuf,
        /// Which setting.
        reason: String,
    },
    /// Settings that do not go together.
    #[error("{0}")]
    Combination(String),
}

impl Sources {
    /// The settings in the file and in `environment`. `T` denies unknown fields.
    ///
    /// # Errors
    /// At the first key or value that cannot be used: a program refuses to start rather than guess.
    pub fn load<T: DeserializeOwned>(&self, environment: &BTreeMap<String, String>) -> Result<T, SettingsError> {
        let named = environment.get(FILE_VARIABLE).filter(|path| !path.is_empty());
        let path = PathBuf::from(named.map_or(self.default_file, String::as_str));
        let overrides = self.overrides(environment)?;
        let mut builder = Config::builder();
        if let Some(text) = read_file(&path, named.is_some())? {
            // Checked alone first: only the parser of the file still knows the line.
            if let Err(error) = toml::from_str::<T>(&text)
                && !is_missing(error.message())
            {
                return Err(SettingsError::Content { path, reason: place_and_reason(&text, &error) });
            }
            builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
        }
        for (name, key, value) in overrides {
            let set = builder.set_override(key, value);
            builder = set.map_err(|error| SettingsError::Variable { name, reason: error.to_string() })?;
        }
        builder.build().and_then(Config::try_deserialize).map_err(|error| self.blame(&error.to_string(), path))
    }

    /// The keys that the environment sets: variable, key, value.
    fn overrides(
        &self,
        environment: &BTreeMap<String, String>,
    ) -> Result<Vec<(String, &'static str, String)>, SettingsError> {
        let mut overrides = Vec::new();
        // A compose file passes on a variable that nobody has set as an empty one.
        for (name, value) in environment.iter().filter(|(_, value)| !value.is_empty()) {
            match self.key_of(name) {
                Some((key, false)) => overrides.push((name.clone(), key, value.clone())),
                Some((key, true)) => overrides.push((name.clone(), key, read_secret(name, value)?)),
                None if name.starts_with(OUR_PREFIX) && name != FILE_VARIABLE => {
                    let reason = "there is no such setting; check the spelling".to_owned();
                    return Err(SettingsError::Variable { name: name.clone(), reason });
                }
                None => (),
            }
        }
        Ok(overrides)
    }

    /// The key that a variable sets, and whether its value is a file's path.
    fn key_of(&self, name: &str) -> Option<(&'static str, bool)> {
        let key = |wanted: &str| self.variables.iter().find(|(name, _)| *name == wanted).map(|(_, key)| *key);
        // A variable may be named `..._FILE` itself.
        key(name).map(|key| (key, false)).or_else(|| Some((key(name.strip_suffix(FILE_SUFFIX)?)?, true)))
    }

    /// The file alone was fine, so what is wrong is missing, or came from the environment.
    fn blame(&self, error: &str, path: PathBuf) -> SettingsError {
        if is_missing(error) {
            return SettingsError::Missing { path, reason: error.to_owned() };
        }
        let named = self.variables.iter().find(|(_, key)| error.contains(&format!("`{key}`")));
        let name = named.map_or("TIDE_...", |(name, _)| name).to_owned();
        SettingsError::Variable { name, reason: error.to_owned() }
    }
}

/// Where in the file, and what is wrong; never the line itself, which may hold a secret.
fn place_and_reason(text: &str, error: &toml::de::Error) -> String {
    let reason = error.message().trim_end();
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return reason.to_owned() };
    let number = before.matches('\n').count() + 1;
    let line = text.lines().nth(number - 1).unwrap_or_default();
    let key = line.split_once('=').map(|(key, _)| key.trim()).filter(|key| !key.is_empty());
    match key {
        Some(key) if !reason.contains(key) => format!("line {number}, {key}: {reason}"),
        _ => format!("line {number}: {reason}"),
    }
}

/// This process's environment. What is not UTF-8 is none of our settings, unless its name says so.
///
/// # Errors
/// If one of our own variables has a value that is no text.
pub fn environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<String, String>, SettingsError> {
    let mut environment = BTreeMap::new();
    for (name, value) in variables {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => drop(environment.insert(name, value)),
            Err(_) if name.starts_with(OUR_PREFIX) => {
                return Err(SettingsError::Variable { name, reason: "its value is not UTF-8 text".to_owned() });
            }
            Err(_) => (),
        }
    }
    Ok(environment)
}

/// serde's words for a field without default: the environment may still supply it.
fn is_missing(error: &str) -> bool {
    error.contains("missing field") || error.contains("missing configuration field")
}

fn read_file(path: &Path, must_exist: bool) -> Result<Option<String>, SettingsError> {
    match fs::read_to_string(path) {
        // Windows editors put a byte order mark first.
        Ok(text) => Ok(Some(text.trim_start_matches('\u{feff}').to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => Ok(None),
        Err(source) => Err(SettingsError::File { path: path.to_owned(), source }),
    }
}

/// A Docker secret: the file's text without the byte order mark that Windows tools put first and the line end that editors
/// put last.
fn read_secret(name: &str, path: &str) -> Result<String, SettingsError> {
    let text = fs::read_to_string(path).map_err(|error| SettingsError::Variable {
        name: name.to_owned(),
        reason: format!("failed to read the file {path}: {error}"),
    })?;
    Ok(text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']).to_owned())
}

/// A password or token. It has no text form, so that no log can hold it.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HiddenVisitor)
    }
}

/// serde's own words about a value of the wrong type repeat the value, so every type is met here.
struct HiddenVisitor;

impl HiddenVisitor {
    fn refuse<E: serde::de::Error>() -> Result<Hidden, E> {
        Err(E::custom("a secret is text, between quotes"))
    }
}

impl Visitor<'_> for HiddenVisitor {
    type Value = Hidden;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("text, between quotes")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Hidden, E> {
        Ok(Hidden(text.to_owned()))
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Hidden, E> {
        Self::refuse()
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Hidden, E> {
        Self::refuse()
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Hidden, E> {
        Self::refuse()
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Hidden, E> {
        Self::refuse()
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const SOURCES: Sources = Sources {
        default_file: "/absent/tide.toml",
        variables: &[
            ("TIDE_LISTEN", "listen"),
            ("TIDE_PLAIN_HTTP", "plain_http"),
            ("TIDE_TOKEN", "server.token"),
            ("PHOTO_INTERVAL", "interval_s"),
        ],
    };

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        listen: std::net::SocketAddr,
        #[serde(default)]
        plain_http: bool,
        #[serde(default)]
        interval_s: u32,
        server: Option<Server>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Server {
        token: Hidden,
    }

    /// Settings from a file's text and variables, or the whole message.
    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let mut environment = BTreeMap::from([(FILE_VARIABLE.to_owned(), file.path().display().to_string())]);
        environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        SOURCES.load(&environment).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let text = "listen = '127.0.0.1:1'\n[server]\ntoken = 'a'";
        let settings =
            load(text, &[("TIDE_LISTEN", "[::1]:2"), ("TIDE_TOKEN", "b"), ("PHOTO_INTERVAL", "30"), ("PATH", "/bin")]);
        let settings = settings.unwrap();
        assert_eq!((settings.listen.to_string().as_str(), settings.interval_s), ("[::1]:2", 30));
        assert_eq!(settings.server.unwrap().token.reveal(), "b");
        assert!(load("", &[("TIDE_LISTEN", "[::1]:2"), ("TIDE_PLAIN_HTTP", "true")]).unwrap().plain_http);
    }

    #[test]
    fn an_unknown_key_or_bad_value_is_named_with_its_line() {
        for (text, words) in [
            ("listen = '127.0.0.1:1'\nplain_htpp = true", ["line 2", "plain_htpp"]),
            ("\n\nlisten = 'everywhere'", ["line 3", "listen"]),
            ("listen = '127.0.0.1:1'\n[server]\ntokn = 'a'", ["line 3", "tokn"]),
            ("listen = ", ["line 1", "listen"]),
            ("listen = '127.0.0.1:1'\ninterval_s = 'often'", ["line 2", "interval_s"]),
        ] {
            let error = load(text, &[]).unwrap_err();
            assert!(words.iter().all(|word| error.contains(word)), "{text}: {error}");
        }
    }

    #[test]
    fn a_bad_or_unknown_variable_is_named() {
        for (name, value) in [("TIDE_LISTN", "[::1]:2"), ("TIDE_LISTEN", "everywhere"), ("TIDE_PLAIN_HTTP", "ja")] {
            let error = load("listen = '127.0.0.1:1'", &[(name, value)]).unwrap_err();
            assert!(error.contains(name), "{name}: {error}");
        }
        assert!(load("listen = '127.0.0.1:1'", &[("PHOTO_INTERVAL", "often")]).unwrap_err().contains("PHOTO_INTERVAL"));
    }

    #[test]
    fn a_mistake_beside_a_secret_does_not_show_the_secret() {
        for text in [
            "listen = '127.0.0.1:1'\n[server]\ntoken = 48151623",
            "listen = '127.0.0.1:1'\n[server]\ntoken = '48151623",
        ] {
            let error = load(text, &[]).unwrap_err();
            assert!(error.contains("line 3") && !error.contains("48151623"), "{error}");
        }
    }

    #[test]
    fn an_empty_variable_is_as_good_as_none() {
        assert_eq!(load("listen = '127.0.0.1:1'", &[("TIDE_LISTEN", "")]).unwrap().listen.port(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_not_text_is_refused_only_where_it_is_ours() {
        use std::os::unix::ffi::OsStringExt;
        let pair = |name: &str| [(OsString::from(name), OsString::from_vec(vec![0xFF]))].into_iter();
        assert!(environment(pair("OTHER")).unwrap().is_empty());
        assert!(environment(pair("TIDE_LISTEN")).unwrap_err().to_string().contains("TIDE_LISTEN"));
    }

    #[test]
    fn what_is_missing_is_said() {
        let error = load("plain_http = true", &[]).unwrap_err();
        assert!(error.contains("missing") && error.contains("listen"), "{error}");
        let absent = BTreeMap::from([(FILE_VARIABLE.to_owned(), "/absent/other.toml".to_owned())]);
        assert!(SOURCES.load::<Settings>(&absent).unwrap_err().to_string().contains("/absent/other.toml"));
        assert!(matches!(SOURCES.load::<Settings>(&BTreeMap::new()), Err(SettingsError::Missing { .. })));
    }

    #[test]
    fn a_secret_from_a_file_loses_mark_and_line_end_and_never_shows() {
        let mut secret = tempfile::NamedTempFile::new().unwrap();
        secret.write_all("\u{feff}correct horse\r\n".as_bytes()).unwrap();
        let path = secret.path().to_str().unwrap();
        let settings = load("listen = '127.0.0.1:1'", &[("TIDE_TOKEN_FILE", path)]).unwrap();
        assert!(!format!("{settings:?}").contains("horse"));
        assert_eq!(settings.server.unwrap().token.reveal(), "correct horse");
        assert!(load("", &[("TIDE_TOKEN_FILE", "/absent")]).unwrap_err().contains("TIDE_TOKEN_FILE"));
    }
}
