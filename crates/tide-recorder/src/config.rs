//! The station's settings. The environment is read here and nowhere else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};
use tide_photo::StationName;
use tide_settings::{Hidden, SettingsError, Sources};

/// Those without `TIDE_` are the prototype's.
const SOURCES: Sources = Sources {
    default_file: "/etc/tide/recorder.toml",
    variables: &[
        ("TIDE_STATION", "station"),
        ("TIDE_DATA_DIR", "data_dir"),
        ("TIDE_INTERVAL_S", "interval_s"),
        ("TIDE_LOG", "log"),
        ("TIDE_SERVER_URL", "server.url"),
        ("TIDE_TOKEN", "server.token"),
        ("TIDE_CERTIFICATE", "server.certificate"),
        ("TIDE_CAMERA", "camera.kind"),
        ("TIDE_CAMERA_FOLDER", "camera.folder"),
        ("PHOTO_INTERVAL", "interval_s"),
        ("SERVER_URL", "server.url"),
    ],
};

/// Longest interval between photos, in seconds: a day.
const MAX_INTERVAL_S: u32 = 86_400;

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The name under which the server knows this station.
    pub station: StationName,
    /// Folder that holds the spool.
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    /// Seconds from photo to photo.
    #[serde(default = "default_interval_s", deserialize_with = "interval_s")]
    pub interval_s: u32,
    /// What to log, in `tracing`'s filter language.
    #[serde(default = "default_log")]
    pub log: String,
    /// Where the photos go.
    pub server: Server,
    /// What takes them.
    #[serde(default)]
    pub camera: Camera,
}

/// The server, and how both sides know each other.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// `https://HOST:PORT`; a path behind it, as the prototype's settings have, is not used.
    pub url: String,
    /// This station's secret.
    pub token: Hidden,
    /// The one certificate (or private CA), PEM, that is trusted. There is no switch to trust another.
    pub certificate: String,
}

/// The camera.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Camera {
    /// Which kind.
    pub kind: CameraKind,
    /// Folder of JPEGs to play, for `replay`.
    pub folder: Option<PathBuf>,
    /// Width of the picture in pixels, for `synthetic`.
    pub width: u32,
    /// Height of the picture in pixels, for `synthetic`.
    pub height: u32,
}

impl Default for Camera {
    fn default() -> Self {
        Self { kind: CameraKind::Synthetic, folder: None, width: 1_280, height: 720 }
    }
}

/// Kinds of camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CameraKind {
    /// Plays a folder of JPEGs.
    Replay,
    /// Renders a tide scene with a known level.
    Synthetic,
}

fn default_data_dir() -> PathBuf {
    PathBuf::from("/data/tide-recorder")
}

/// The prototype's.
fn default_interval_s() -> u32 {
    30
}

fn default_log() -> String {
    "info".to_owned()
}

fn interval_s<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let seconds = u32::deserialize(deserializer)?;
    if (1..=MAX_INTERVAL_S).contains(&seconds) {
        return Ok(seconds);
    }
    Err(serde::de::Error::custom(format!("the interval is 1 to {MAX_INTERVAL_S} seconds, not {seconds}")))
}

impl Settings {
    /// The settings of this process.
    ///
    /// # Errors
    /// If a key is unknown, missing or wrong: the recorder refuses to start rather than guess.
    pub fn load() -> Result<Self, SettingsError> {
        Self::from_environment(&std::env::vars().collect())
    }

    /// The same from any environment.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn from_environment(environment: &BTreeMap<String, String>) -> Result<Self, SettingsError> {
        let settings: Self = SOURCES.load(environment)?;
        if settings.camera.kind == CameraKind::Replay && settings.camera.folder.is_none() {
            let reason = "the camera `replay` needs `folder` in [camera], a folder of JPEGs (or TIDE_CAMERA_FOLDER)";
            return Err(SettingsError::Combination(reason.to_owned()));
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let needed = [
            ("TIDE_STATION", "pier-3"),
            ("SERVER_URL", "https://tide.example.org:5000/upload"),
            ("TIDE_TOKEN", "tide_secret"),
            ("TIDE_CERTIFICATE", "-----BEGIN CERTIFICATE-----"),
        ];
        let all = needed.iter().chain(variables);
        let environment = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::from_environment(&environment).map_err(|error| error.to_string())
    }

    #[test]
    fn the_prototypes_variables_are_understood() {
        let settings = load(&[("PHOTO_INTERVAL", "60"), ("FLASH_GPIO", "5")]).unwrap();
        assert_eq!((settings.interval_s, settings.camera.kind), (60, CameraKind::Synthetic));
        assert_eq!(load(&[]).unwrap().interval_s, 30);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        assert!(load(&[("PHOTO_INTERVAL", "0")]).unwrap_err().contains("1 to 86400 seconds"));
        assert!(load(&[("TIDE_CAMERA", "pinhole")]).unwrap_err().contains("pinhole"));
        assert!(load(&[("TIDE_CAMERA", "replay")]).unwrap_err().contains("folder"));
        let nothing = Settings::from_environment(&BTreeMap::new()).unwrap_err().to_string();
        assert!(nothing.contains("station") && nothing.contains("recorder.toml"), "{nothing}");
    }

    #[test]
    fn the_token_never_shows() {
        assert!(!format!("{:?}", load(&[]).unwrap()).contains("tide_secret"));
    }
}
