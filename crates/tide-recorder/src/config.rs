//! The station's settings. The environment is read here and nowhere else.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

mod camera;
mod clock;
mod disk;
mod flash;
mod position;
mod schedule;
mod status;
mod upload;
mod within;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use tide_photo::StationName;
use tide_settings::{FILE_VARIABLE, Hidden, SettingsError, Sources};

use self::camera::CAMERA_KINDS;
pub use self::camera::{Autofocus, Camera, CameraKind, ControlValue, Crop, OnFailure, Rotation};
pub use self::clock::Clock;
pub use self::disk::Disk;
pub use self::flash::{Flash, FlashDriver, FlashWhen};
pub use self::position::Position;
pub use self::schedule::{Hours, Schedule, Window};
pub use self::status::Status;
pub use self::upload::Upload;
pub use self::within::{Real, Whole};

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
        ("TIDE_CAMERA_PROGRAM", "camera.program"),
        ("TIDE_UPLOAD_MAX_PHOTOS_PER_S", "upload.max_photos_per_s"),
        ("PHOTO_INTERVAL", "interval_s"),
        ("SERVER_URL", "server.url"),
        ("FLASH_GPIO", "flash.gpio"),
    ],
};

/// The prototype's settings, understood beside the settings file.
const PROTOTYPES_FILE: &str = ".env";

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
    /// What takes them. It has no default: a station that nobody told of its camera must not make pictures up.
    pub camera: Camera,
    /// The light for it.
    #[serde(default)]
    pub flash: Flash,
    /// When photos are taken.
    #[serde(default)]
    pub schedule: Schedule,
    /// What is known of the clock.
    #[serde(default)]
    pub clock: Clock,
    /// Where the station stands; a GPS receiver knows better.
    pub position: Option<Position>,
    /// How much of the disk photos may take.
    #[serde(default)]
    pub disk: Disk,
    /// How photos are sent.
    #[serde(default)]
    pub upload: Upload,
    /// What the station tells of itself.
    #[serde(default)]
    pub status: Status,
    /// The receiver and the RTC are those of `tide-timesync`, which reads the same file.
    #[serde(rename = "gps")]
    _gps: Option<IgnoredAny>,
    #[serde(rename = "rtc")]
    _rtc: Option<IgnoredAny>,
    /// Network and system are `tide-provision`'s.
    #[serde(rename = "wifi")]
    _wifi: Option<IgnoredAny>,
    #[serde(rename = "system")]
    _system: Option<IgnoredAny>,
}

/// The server, and how both sides know each other.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// `https://HOST:PORT`; a path behind it, as the prototype's settings have, is not used.
    pub url: String,
    /// This station's secret.
    pub token: Hidden,
    /// The one certificate (or private CA), PEM, that is trusted; or the word `public`, for a server whose certificate comes
    /// from an authority that the system knows. There is no switch to trust another.
    pub certificate: String,
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
        let environment = readable(std::env::vars_os())?;
        let named = environment.get(FILE_VARIABLE).filter(|path| !path.is_empty());
        let beside = Path::new(named.map_or(SOURCES.default_file, String::as_str)).with_file_name(PROTOTYPES_FILE);
        let mut all = prototypes_file(&beside)?;
        all.extend(environment);
        Self::from_environment(&all)
    }

    /// The same from any environment.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn from_environment(environment: &BTreeMap<String, String>) -> Result<Self, SettingsError> {
        let settings: Self = SOURCES.load(environment).map_err(name_the_cameras)?;
        settings.camera.check().and_then(|()| settings.flash.check()).map_err(SettingsError::Combination)?;
        settings.check_schedule()?;
        Ok(settings)
    }

    fn check_schedule(&self) -> Result<(), SettingsError> {
        let refused = |reason: String| Err(SettingsError::Combination(reason));
        if self.schedule.window == Window::Daylight && self.position.is_none() {
            return refused(
                "the window `daylight` needs [position], because the sun does not stand alike everywhere".into(),
            );
        }
        if self.schedule.burst_ms() >= u64::from(self.interval_s) * 1_000 {
            let (ms, interval_s) = (self.schedule.burst_ms(), self.interval_s);
            return refused(format!("a burst of {ms} ms does not fit into an interval of {interval_s} seconds"));
        }
        Ok(())
    }
}

/// What a prototype's `.env` file says, as far as it is ours; nothing if there is none. The environment goes before it, as it
/// did with the prototype.
fn prototypes_file(path: &Path) -> Result<BTreeMap<String, String>, SettingsError> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(SettingsError::File { path: path.to_owned(), source }),
        Ok(text) => text,
    };
    // Windows editors put a byte order mark first.
    let lines: Result<Vec<_>, _> = dotenvy::from_read_iter(text.trim_start_matches('\u{feff}').as_bytes()).collect();
    let lines =
        lines.map_err(|error| SettingsError::Content { path: path.to_owned(), reason: without_value(&error) })?;
    Ok(lines.into_iter().filter(|(name, _)| is_ours(name)).collect())
}

/// dotenvy's error repeats the line, which may hold a secret.
fn without_value(error: &dotenvy::Error) -> String {
    match error {
        dotenvy::Error::LineParse(_, at) => format!("a line is not NAME=VALUE, near its character {at}"),
        _ => "it is no list of lines NAME=VALUE".to_owned(),
    }
}

/// The environment without what is not UTF-8, which no setting of ours is.
fn readable(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<BTreeMap<String, String>, SettingsError> {
    let mut environment = BTreeMap::new();
    for (name, value) in variables {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => drop(environment.insert(name, value)),
            Err(_) if is_ours(&name) => {
                return Err(SettingsError::Variable { name, reason: "its value is not UTF-8".to_owned() });
            }
            Err(_) => (),
        }
    }
    Ok(environment)
}

fn is_ours(name: &str) -> bool {
    name.starts_with("TIDE_") || SOURCES.variables.iter().any(|(ours, _)| name == *ours)
}

/// serde says only that a field is missing; the camera is what a new station's owner has to choose.
fn name_the_cameras(error: SettingsError) -> SettingsError {
    match error {
        SettingsError::Missing { path, reason } if reason.contains("camera") => {
            let reason = format!("no camera is chosen; `kind` in [camera] is {CAMERA_KINDS} (or set TIDE_CAMERA)");
            SettingsError::Missing { path, reason }
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

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

    const FOUR: &str = "`rpicam`, `usb`, `replay` or `synthetic`";

    const CAMERA: (&str, &str) = ("TIDE_CAMERA", "synthetic");

    #[test]
    fn the_prototypes_variables_are_understood() {
        let settings = load(&[CAMERA, ("PHOTO_INTERVAL", "60"), ("FLASH_GPIO", "5")]).unwrap();
        assert_eq!((settings.interval_s, settings.camera.kind), (60, CameraKind::Synthetic));
        assert_eq!(settings.flash.gpio, Some(Whole(5)));
        let settings = load(&[CAMERA]).unwrap();
        assert_eq!((settings.interval_s, settings.flash.gpio), (30, None));
        assert!(load(&[CAMERA, ("FLASH_GPIO", "the fifth")]).unwrap_err().contains("FLASH_GPIO"));
    }

    #[test]
    fn a_camera_is_chosen_and_never_assumed() {
        for variables in [&[][..], &[("TIDE_CAMERA_FOLDER", "/photos")]] {
            let error = load(variables).unwrap_err();
            assert!(error.contains("no camera is chosen") && error.contains(FOUR), "{error}");
        }
        let error = load(&[("TIDE_CAMERA", "webcam")]).unwrap_err();
        assert!(error.contains(&format!("a camera is {FOUR}, not `webcam`")), "{error}");
        assert!(error.contains("TIDE_") && !error.contains("variant"), "{error}");
    }

    #[test]
    fn a_files_bad_camera_is_named_with_its_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "station = 'pier-3'\n[camera]\nkind = 'webcam'").unwrap();
        let error = load(&[("TIDE_CONFIG", file.path().to_str().unwrap())]).unwrap_err();
        assert!(error.contains("line 3") && error.contains("not `webcam`"), "{error}");
        std::fs::write(file.path(), "[camera]\nwidth = 320").unwrap();
        let error = load(&[("TIDE_CONFIG", file.path().to_str().unwrap())]).unwrap_err();
        assert!(error.contains("no camera is chosen"), "{error}");
    }

    /// The settings in a file with this [camera] table.
    fn camera(table: &str) -> Result<Camera, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("[camera]\n{table}")).unwrap();
        load(&[("TIDE_CONFIG", file.path().to_str().unwrap())]).map(|settings| settings.camera)
    }

    #[test]
    fn each_camera_has_the_defaults_that_its_users_know() {
        for (kind, size, limit_s) in
            [("rpicam", (640, 480), 10), ("usb", (1_280, 640), 5), ("synthetic", (1_280, 720), 5)]
        {
            let camera = camera(&format!("kind = '{kind}'")).unwrap();
            assert_eq!((camera.width_px(), camera.height_px()), size, "{kind}");
            assert_eq!(camera.limit().as_secs(), limit_s);
        }
        let settings = "kind = 'usb'\ncontrols = { 'White Balance' = 4000, brightness = '50%' }";
        let text = |text: &str| ControlValue(text.to_owned());
        let controls = [("White Balance".to_owned(), text("4000")), ("brightness".to_owned(), text("50%"))];
        assert_eq!(camera(settings).unwrap().controls, BTreeMap::from(controls));
    }

    #[test]
    fn a_key_for_another_camera_is_refused_by_name() {
        for (table, key) in [
            ("kind = 'usb'\ngain = 2", "`gain` in [camera] is for `rpicam`, and the camera is `usb`"),
            ("kind = 'rpicam'\ndevice = '/dev/video0'", "`device`"),
            ("kind = 'synthetic'\nlimit_s = 3", "`limit_s` in [camera] is for `rpicam` and `usb`"),
            ("kind = 'rpicam'\non_failure = 'usb-reset'", "usb-reset"),
            ("kind = 'usb'\non_failure = 'command'", "failure_command"),
            ("kind = 'rpicam'\nshutter_us = 9_000_000", "raise it"),
        ] {
            let error = camera(table).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn a_number_out_of_bounds_is_named_with_its_line() {
        for (line, why) in [
            ("quality = 101", "1 to 100, not 101"),
            ("width = -1", "16 to 16384, not -1"),
            ("ev = -10.5", "-10 to 10, not -10.5"),
            ("lens_position = nan", "not NaN"),
            ("rotation = 90", "0 or 180 degrees, not 90"),
            ("crop = { x = 0.5, y = 0, width = 0.6, height = 1 }", "within the picture"),
            ("shutter = 5", "unknown field `shutter`"),
        ] {
            let error = camera(&format!("kind = 'rpicam'\n{line}")).unwrap_err();
            assert!(error.contains(why) && error.contains("line 3"), "{error}");
        }
    }

    #[test]
    fn what_is_not_utf_8_matters_only_in_a_variable_of_ours() {
        let bad = || OsString::from_vec(b"caf\xe9".to_vec());
        let from = |name: OsString| readable([(name, bad()), ("A".into(), "b".into())].into_iter());
        let kept = BTreeMap::from([("A".to_owned(), "b".to_owned())]);
        assert_eq!(from("LESSCHARSET".into()).unwrap(), kept);
        assert_eq!(from(bad()).unwrap(), kept);
        for name in ["TIDE_TOKEN", "SERVER_URL"] {
            let error = from(name.into()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("UTF-8"), "{error}");
        }
    }

    #[test]
    fn what_other_programs_read_in_the_same_file_is_left_to_them() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let tables = "[gps]\nsource = 'serial'\n[rtc]\nkind = 'none'\n[clock]\nfolder = '/x'\nlimits = { single_s = 5 }\n\
                      [wifi]\nnetwork = 'Harbour'\n[system]\nzone = 'Europe/Athens'";
        std::fs::write(file.path(), tables).unwrap();
        let settings = load(&[CAMERA, ("TIDE_CONFIG", file.path().to_str().unwrap())]).unwrap();
        assert_eq!(settings.clock.report, PathBuf::from("/run/tide-timesync/report.json"));
    }

    #[test]
    fn a_prototypes_file_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        assert_eq!(prototypes_file(&path).unwrap(), BTreeMap::new());
        let text = "\u{feff}# the pier\r\nexport PHOTO_INTERVAL = '60'\r\nSERVER_URL=\"https://a.example:5000/upload\" # old\r\n\
                    PYTHONUNBUFFERED=1\r\n";
        std::fs::write(&path, text).unwrap();
        let expected = [("PHOTO_INTERVAL", "60"), ("SERVER_URL", "https://a.example:5000/upload")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(prototypes_file(&path).unwrap(), BTreeMap::from(expected));
        std::fs::write(&path, "TIDE_TOKEN='tide_secret").unwrap();
        let error = prototypes_file(&path).unwrap_err().to_string();
        assert!(error.contains(".env") && error.contains("NAME=VALUE") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        assert!(load(&[CAMERA, ("PHOTO_INTERVAL", "0")]).unwrap_err().contains("1 to 86400 seconds"));
        assert!(load(&[("TIDE_CAMERA", "pinhole")]).unwrap_err().contains("pinhole"));
        assert!(load(&[("TIDE_CAMERA", "replay")]).unwrap_err().contains("folder"));
        let nothing = Settings::from_environment(&BTreeMap::new()).unwrap_err().to_string();
        assert!(nothing.contains("station") && nothing.contains("recorder.toml"), "{nothing}");
    }

    #[test]
    fn a_schedule_that_cannot_be_kept_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let with = |text: &str| {
            std::fs::write(file.path(), format!("interval_s = 30\n{text}")).unwrap();
            load(&[CAMERA, ("TIDE_CONFIG", file.path().to_str().unwrap())])
        };
        assert!(with("[schedule]\nwindow = 'daylight'").unwrap_err().contains("needs [position]"));
        assert!(with("[schedule]\nwindow = 'dusk'").unwrap_err().contains("`always` or `daylight`"));
        assert!(with("[schedule]\nhours = ['6-20']").unwrap_err().contains("06:00-20:00"));
        assert!(with("[schedule]\nzone = 'Europe/Atlantis'").unwrap_err().contains("Europe/Athens"));
        assert!(with("[schedule]\nburst_frames = 0").unwrap_err().contains("1 to 60"));
        assert!(with("[schedule]\nburst_frames = 31").unwrap_err().contains("does not fit"));
        let good = with("[schedule]\nwindow = 'daylight'\n[position]\nlatitude = 35.5\nlongitude = 24.0").unwrap();
        assert_eq!((good.schedule.window, good.schedule.sun_above_deg), (Window::Daylight, -6.0));
    }

    #[test]
    fn the_token_never_shows() {
        assert!(!format!("{:?}", load(&[CAMERA]).unwrap()).contains("tide_secret"));
    }
}
