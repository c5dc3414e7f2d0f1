//! Settings: the tables `[gps]`, `[rtc]` and `[clock]` of the station's one file. What the recorder reads there is left to it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};
use tide_settings::{SettingsError, Sources};

use crate::rtc::chip::{self, Chip};
use crate::steering::Limits;

/// Everything that can be set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The receiver.
    pub gps: Gps,
    /// The battery-backed clock.
    pub rtc: Rtc,
    /// The system clock, and what is told of it.
    pub clock: Clock,
    station: Option<IgnoredAny>,
    data_dir: Option<IgnoredAny>,
    interval_s: Option<IgnoredAny>,
    log: Option<IgnoredAny>,
    server: Option<IgnoredAny>,
    position: Option<IgnoredAny>,
    camera: Option<IgnoredAny>,
    flash: Option<IgnoredAny>,
    schedule: Option<IgnoredAny>,
    disk: Option<IgnoredAny>,
    upload: Option<IgnoredAny>,
    status: Option<IgnoredAny>,
    wifi: Option<IgnoredAny>,
    system: Option<IgnoredAny>,
}

/// Which way a receiver is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GpsSource {
    /// By gpsd; and by the device itself once gpsd has been silent for a while.
    #[default]
    Auto,
    /// By gpsd alone.
    Gpsd,
    /// By the device alone.
    Serial,
    /// There is none.
    None,
}

/// The receiver.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gps {
    /// Which way it is heard.
    pub source: GpsSource,
    /// Where gpsd listens.
    pub gpsd: String,
    /// Its device.
    pub device: PathBuf,
    /// Its speed in bits per second; found by trying if it is not set.
    #[serde(deserialize_with = "speed")]
    pub baud: Option<u32>,
    /// The kernel's folder for its pulse per second; there need not be one.
    pub pulse: PathBuf,
    /// How many fixes in a row have to agree.
    #[serde(deserialize_with = "fixes")]
    pub fixes: u8,
    /// How long a fix is waited for, in seconds.
    #[serde(deserialize_with = "wait_s")]
    pub wait_s: u32,
    /// Longest time from a moment until its first message has arrived, in milliseconds.
    #[serde(deserialize_with = "latency_ms")]
    pub max_latency_ms: u32,
}

impl Default for Gps {
    fn default() -> Self {
        Self {
            source: GpsSource::default(),
            gpsd: "127.0.0.1:2947".to_owned(),
            device: PathBuf::from("/dev/tide-gps"),
            baud: None,
            pulse: PathBuf::from("/sys/class/pps/pps0"),
            // Ours: the prototype believed one.
            fixes: 5,
            // The prototype's.
            wait_s: 600,
            // Ours, not measured on a receiver: an RMC of 70 bytes takes 73 ms at 9600 bits per second and 146 at 4800, and the rest
            // is for the receiver to work out its position.
            max_latency_ms: 500,
        }
    }
}

/// Which battery-backed clock there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RtcKind {
    /// The kernel's, or, if it has none, the chip on the bus.
    #[default]
    Auto,
    /// The kernel's.
    Kernel,
    /// The chip on the bus, which no driver of the kernel's holds.
    I2c,
    /// There is none.
    None,
}

/// The battery-backed clock.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rtc {
    /// Which.
    pub kind: RtcKind,
    /// The kernel's by part of its name (`ds3231`); the external one if it is not set.
    pub name: Option<String>,
    /// The bus of the chip.
    pub bus: PathBuf,
    /// Its address there.
    #[serde(deserialize_with = "address")]
    pub address: u16,
    /// What chip it is.
    pub chip: Chip,
}

impl Default for Rtc {
    fn default() -> Self {
        let (kind, name, chip) = (RtcKind::default(), None, Chip::default());
        Self { kind, name, bus: PathBuf::from("/dev/i2c-1"), address: chip::ADDRESS, chip }
    }
}

/// The system clock, and what is told of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clock {
    /// Where the recorder finds the last report.
    pub report: PathBuf,
    /// The folder of the history, and of what is known from one run to the next.
    pub folder: PathBuf,
    /// Every line of the log, in the prototype's form, once more.
    pub log_file: PathBuf,
    /// How far the clock may be set.
    pub limits: Limits,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            report: PathBuf::from("/run/tide-timesync/report.json"),
            folder: PathBuf::from("/data/tide-timesync"),
            // The prototype's.
            log_file: PathBuf::from("/var/log/gps_rtc_sync.log"),
            limits: Limits::default(),
        }
    }
}

const SOURCES: Sources = Sources {
    default_file: "/etc/tide/timesync.toml",
    variables: &[
        ("TIDE_GPS_DEVICE", "gps.device"),
        ("TIDE_CLOCK_FOLDER", "clock.folder"),
        // The recorder's, whose environment may be the same.
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
    ],
};

impl Settings {
    /// From the file that `TIDE_CONFIG` names, and this process's environment.
    ///
    /// # Errors
    /// At the first key or value that cannot be used.
    pub fn load() -> Result<Self, SettingsError> {
        Self::from_environment(&tide_settings::environment(std::env::vars_os())?)
    }

    fn from_environment(environment: &BTreeMap<String, String>) -> Result<Self, SettingsError> {
        SOURCES.load(environment)
    }
}

fn speed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    within(deserializer, "bits per second", 1_200, 4_000_000).map(Some)
}

fn fixes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    // One is never believed.
    within(deserializer, "fixes", 2, 60).map(|count| u8::try_from(count).unwrap_or(u8::MAX))
}

fn wait_s<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    within(deserializer, "seconds", 5, 3_600)
}

fn latency_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    // From a second on nobody could tell which second a message is about.
    within(deserializer, "milliseconds", 1, 990)
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    // The addresses of I2C's seven bits that are not reserved.
    within(deserializer, "the address", 0x08, 0x77).map(|address| u16::try_from(address).unwrap_or(u16::MAX))
}

fn within<'de, D: Deserializer<'de>>(deserializer: D, what: &str, low: u32, high: u32) -> Result<u32, D::Error> {
    let value = i64::deserialize(deserializer)?;
    let refusal = || D::Error::custom(format!("{what}: {low} to {high}, not {value}"));
    u32::try_from(value).ok().filter(|value| (low..=high).contains(value)).ok_or_else(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings in a file with this text, or the whole message.
    fn load(text: &str) -> Result<Settings, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let variables = [("TIDE_CONFIG", file.path().to_str().unwrap()), ("TIDE_STATION", "pier-3")];
        let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Settings::from_environment(&BTreeMap::from(environment)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_other_programs_read_in_the_same_file_is_left_to_them() {
        let text = "station = 'pier-3'\ninterval_s = 30\n[server]\nurl = 'https://a'\ntoken = 'x'\n[camera]\nkind = 'usb'\n\
                    [gps]\nsource = 'serial'\nbaud = 9600\n[rtc]\nkind = 'i2c'\nchip = 'pcf8523'\n[clock.limits]\nsingle_s = 60\n\
                    [wifi]\nnetwork = 'Harbour'\n[system]\nzone = 'Europe/Athens'\n";
        let settings = load(text).unwrap();
        assert_eq!((settings.gps.source, settings.gps.baud), (GpsSource::Serial, Some(9_600)));
        assert_eq!((settings.rtc.kind, settings.rtc.chip), (RtcKind::I2c, Chip::Pcf8523));
        assert_eq!(settings.clock.limits.single_s, 60);
    }

    #[test]
    fn what_cannot_be_is_named_with_its_line() {
        for (text, why) in [
            ("[gps]\nfixes = 1", "2 to 60, not 1"),
            ("[gps]\nmax_latency_ms = 1000", "1 to 990, not 1000"),
            ("[gps]\nwait = 5", "unknown field `wait`"),
            ("[gps]\nsource = 'usb'", "unknown variant `usb`"),
            ("[rtc]\naddress = 0x80", "8 to 119, not 128"),
            ("[rtc]\nchip = 'ds1302'", "unknown variant `ds1302`"),
            ("[clock]\nsingle_s = 5", "unknown field `single_s`"),
            ("\nstations = 'x'", "unknown field `stations`"),
        ] {
            let error = load(text).unwrap_err();
            assert!(error.contains(why) && error.contains("line 2"), "{text}: {error}");
        }
    }

    #[test]
    fn without_a_file_everything_has_a_default() {
        let settings = load("").unwrap();
        assert_eq!((settings.gps.fixes, settings.gps.wait_s, settings.rtc.address), (5, 600, 0x68));
    }
}
