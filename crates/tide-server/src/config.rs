//! The server's settings: one TOML file, then the environment. The environment is read here and nowhere else.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use config::{Config, File, FileFormat};
use serde::{Deserialize, Deserializer};
use tide_photo::StationName;

/// Where the settings are looked for unless `TIDE_CONFIG` says otherwise.
pub const DEFAULT_FILE: &str = "/etc/tide/server.toml";

/// Environment variables and the settings that they override. Those without `TIDE_` are the prototype's.
const VARIABLES: [(&str, &str); 11] = [
    ("TIDE_DATA_DIR", "data_dir"),
    ("TIDE_LISTEN", "listen"),
    ("TIDE_PUBLIC_NAME", "public_name"),
    ("TIDE_MAX_PHOTO_BYTES", "max_photo_bytes"),
    ("TIDE_ANONYMOUS_STATION", "anonymous_station"),
    ("TIDE_PLAIN_HTTP", "plain_http"),
    ("TIDE_LOG", "log"),
    ("SSL_CERT_PATH", "certificate"),
    ("SSL_KEY_PATH", "certificate_key"),
    ("ADMIN_USER", "admin_user"),
    ("ADMIN_PASS", "admin_password"),
];

/// Variables with our prefix that are no settings.
const NOT_SETTINGS: [&str; 1] = ["TIDE_CONFIG"];

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Folder that holds all state.
    pub data_dir: PathBuf,
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Name or address under which stations and operators reach this server, for the certificate and for `tide.toml`.
    pub public_name: Option<String>,
    /// Largest photo taken, in bytes.
    pub max_photo_bytes: u64,
    /// Station that takes the uploads of old devices which cannot send a token. None: such uploads are refused.
    #[serde(deserialize_with = "optional_station")]
    pub anonymous_station: Option<StationName>,
    /// Plain HTTP instead of HTTPS, for a server behind a proxy that speaks HTTPS.
    pub plain_http: bool,
    /// What to log, in `tracing`'s filter language.
    pub log: String,
    /// Own certificate chain (PEM), together with `certificate_key`. None: the server makes its own.
    pub certificate: Option<PathBuf>,
    /// Private key (PEM) of `certificate`.
    pub certificate_key: Option<PathBuf>,
    /// Name of the first operator.
    pub admin_user: String,
    /// Password of the first operator. None: a random one is printed once.
    pub admin_password: Option<Password>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/data"),
            listen: SocketAddr::from(([0, 0, 0, 0], 5000)),
            public_name: None,
            max_photo_bytes: 32 * 1_024 * 1_024,
            anonymous_station: None,
            plain_http: false,
            log: "info".to_owned(),
            certificate: None,
            certificate_key: None,
            admin_user: "admin".to_owned(),
            admin_password: None,
        }
    }
}

/// A password on its way to its hash. It has no text form, so that no log can hold it.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// The password itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Password")
    }
}

impl From<String> for Password {
    fn from(password: String) -> Self {
        Self(password)
    }
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
    /// Unknown key or wrong value.
    #[error("the settings in {path} cannot be used: {reason}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// Line, key and what is wrong with it.
        reason: String,
    },
    /// The same from the environment.
    #[error("the environment variable {name} cannot be used: {reason}")]
    Variable {
        /// Which variable.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Settings that need each other.
    #[error("{0}")]
    Combination(&'static str),
}

impl Settings {
    /// The settings of this process.
    ///
    /// # Errors
    /// If a key is unknown or a value wrong: the server refuses to start rather than guess.
    pub fn load() -> Result<Self, SettingsError> {
        Self::from_environment(&std::env::vars().collect())
    }

    /// The same from any environment.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn from_environment(environment: &BTreeMap<String, String>) -> Result<Self, SettingsError> {
        let mut builder = Config::builder();
        let path = PathBuf::from(environment.get("TIDE_CONFIG").map_or(DEFAULT_FILE, String::as_str));
        if let Some(text) = read_file(&path, environment.contains_key("TIDE_CONFIG"))? {
            // Checked alone first: only the parser of the file still knows the line.
            let content = |reason| SettingsError::Content { path: path.clone(), reason };
            toml::from_str::<Self>(&text).map_err(|error| content(error.to_string()))?;
            builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
        }
        for (key, value) in overrides(environment)? {
            builder = builder.set_override(key, value).map_err(|error| unusable("TIDE_...", &error))?;
        }
        let settings: Self = builder.build().and_then(Config::try_deserialize).map_err(|error| {
            let name = VARIABLES.iter().find(|(_, key)| error.to_string().contains(&format!("`{key}`")));
            unusable(name.map_or("TIDE_...", |(name, _)| name), &error)
        })?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), SettingsError> {
        if self.certificate.is_some() != self.certificate_key.is_some() {
            return Err(SettingsError::Combination(
                "an own certificate needs both SSL_CERT_PATH and SSL_KEY_PATH; set the missing one, or neither",
            ));
        }
        if self.admin_password.as_ref().is_some_and(|password| password.reveal().is_empty()) {
            return Err(SettingsError::Combination("ADMIN_PASS is empty; set a password, or leave it out to get one"));
        }
        Ok(())
    }
}

fn read_file(path: &Path, must_exist: bool) -> Result<Option<String>, SettingsError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => Ok(None),
        Err(source) => Err(SettingsError::File { path: path.to_owned(), source }),
    }
}

/// The settings that the environment names, by key.
fn overrides(environment: &BTreeMap<String, String>) -> Result<Vec<(&'static str, String)>, SettingsError> {
    let mut overrides = Vec::new();
    for (name, value) in environment {
        let (plain, from_file) = match name.strip_suffix("_FILE") {
            Some(plain) => (plain, true),
            None => (name.as_str(), false),
        };
        let Some((_, key)) = VARIABLES.iter().find(|(variable, _)| *variable == plain) else {
            if name.starts_with("TIDE_") && !NOT_SETTINGS.contains(&name.as_str()) {
                let reason = "there is no such setting; check the spelling".to_owned();
                return Err(SettingsError::Variable { name: name.clone(), reason });
            }
            continue;
        };
        let value = if from_file { read_secret(name, value)? } else { value.clone() };
        overrides.push((*key, value));
    }
    Ok(overrides)
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

fn unusable(name: &str, error: &config::ConfigError) -> SettingsError {
    SettingsError::Variable { name: name.to_owned(), reason: error.to_string() }
}

/// An empty name, as an unset variable of a compose file gives, is none.
fn optional_station<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<StationName>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Settings from a file's text and variables.
    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let mut environment = BTreeMap::from([("TIDE_CONFIG".to_owned(), file.path().display().to_string())]);
        environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Settings::from_environment(&environment).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
        let settings = load("listen = '127.0.0.1:1'\npublic_name = 'tide.example.org'", &[("TIDE_LISTEN", "[::1]:2")]);
        let settings = settings.unwrap();
        assert_eq!(settings.listen.to_string(), "[::1]:2");
        assert_eq!(settings.public_name.as_deref(), Some("tide.example.org"));
        assert_eq!(settings.data_dir, Path::new("/data"));
        assert_eq!(Settings::from_environment(&BTreeMap::new()).unwrap().listen.to_string(), "0.0.0.0:5000");
    }

    #[test]
    fn numbers_and_switches_may_come_from_the_environment() {
        let settings = load("", &[("TIDE_MAX_PHOTO_BYTES", "1000"), ("TIDE_PLAIN_HTTP", "true")]).unwrap();
        assert_eq!((settings.max_photo_bytes, settings.plain_http), (1_000, true));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = load("listen = '127.0.0.1:1'\nmax_foto_bytes = 3", &[]).unwrap_err();
        assert!(error.contains("line 2") && error.contains("max_foto_bytes"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line() {
        let error = load("\n\nlisten = 'everywhere'", &[]).unwrap_err();
        assert!(error.contains("line 3") && error.contains("listen"), "{error}");
        let error = load("anonymous_station = 'Old Devices'", &[]).unwrap_err();
        assert!(error.contains("line 1") && error.contains("station name"), "{error}");
    }

    #[test]
    fn a_wrong_variable_is_named() {
        for (name, value) in [("TIDE_LISTN", "127.0.0.1:1"), ("TIDE_LISTEN", "everywhere"), ("TIDE_PLAIN_HTTP", "ja")] {
            let error = load("", &[(name, value)]).unwrap_err();
            assert!(error.contains(name), "{name}: {error}");
        }
    }

    #[test]
    fn a_docker_secret_is_read_without_mark_and_line_end() {
        let mut secret = tempfile::NamedTempFile::new().unwrap();
        secret.write_all("\u{feff}correct horse\r\n".as_bytes()).unwrap();
        let settings = load("", &[("ADMIN_PASS_FILE", secret.path().to_str().unwrap()), ("ADMIN_USER", "maria")]).unwrap();
        assert_eq!(settings.admin_password.as_ref().map(Password::reveal), Some("correct horse"));
        assert_eq!(settings.admin_user, "maria");
        assert!(!format!("{settings:?}").contains("horse"), "a log never holds the password");
        assert!(load("", &[("ADMIN_PASS_FILE", "/absent")]).unwrap_err().contains("ADMIN_PASS_FILE"));
    }

    #[test]
    fn half_a_certificate_and_an_empty_password_are_refused() {
        assert!(load("certificate = '/x.pem'", &[]).unwrap_err().contains("SSL_KEY_PATH"));
        assert!(load("", &[("ADMIN_PASS", "")]).unwrap_err().contains("ADMIN_PASS"));
    }
}
