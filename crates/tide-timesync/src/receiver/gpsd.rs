//! What gpsd says, line by line (gpsd_json(5), protocol version 3).

use jiff::Timestamp;
use serde::Deserialize;

use super::{Fix, Origin};

/// The request that makes gpsd tell what it hears.
pub const WATCH: &[u8] = b"?WATCH={\"enable\":true,\"json\":true,\"pps\":true};\n";

/// Longest line that is read, in bytes: gpsd's own limit (`GPS_JSON_RESPONSE_MAX`, 10 KiB and more in later versions) and half again.
pub const MAX_LINE_BYTES: usize = 16_384;

/// One thing that gpsd says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// gpsd's version.
    Version(String),
    /// The state of one receiver, with the receiver's name.
    Fix(String, Fix),
    /// The state of one receiver that does not even know the time.
    NoTime(String),
    /// A receiver is there or gone.
    Devices(Vec<String>),
    /// When the clock showed what while a receiver's message or pulse said `real`; for a pulse, how exact that is.
    Time {
        /// The receiver's name.
        device: String,
        /// What the receiver says.
        real: Timestamp,
        /// What the clock showed then, in microseconds since 1970 UTC.
        clock_us: i64,
        /// Whether it was a pulse.
        is_pulse: bool,
    },
    /// gpsd refuses what was asked of it.
    Error(String),
}

/// Reads one line; `None` if it says nothing that we use, or is none of gpsd's.
pub fn parse(line: &[u8], heard_us: Option<u64>) -> Option<Said> {
    match serde_json::from_slice(line).ok()? {
        Line::Version { release } => Some(Said::Version(release)),
        Line::Error { message } => Some(Said::Error(message)),
        Line::Devices { devices } => Some(Said::Devices(devices.into_iter().map(|device| device.path).collect())),
        Line::Tpv(report) => Some(report.said(heard_us)),
        Line::Toff(offset) => offset.said(false),
        Line::Pps(offset) => offset.said(true),
        Line::Other => None,
    }
}

#[derive(Deserialize)]
#[serde(tag = "class")]
enum Line {
    #[serde(rename = "VERSION")]
    Version { release: String },
    #[serde(rename = "ERROR")]
    Error { message: String },
    #[serde(rename = "DEVICES")]
    Devices { devices: Vec<Device> },
    #[serde(rename = "TPV")]
    Tpv(Tpv),
    #[serde(rename = "TOFF")]
    Toff(Offset),
    #[serde(rename = "PPS")]
    Pps(Offset),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Device {
    #[serde(default)]
    path: String,
}

#[derive(Deserialize)]
struct Tpv {
    #[serde(default)]
    device: String,
    #[serde(default)]
    mode: u8,
    #[serde(default)]
    status: u8,
    time: Option<Timestamp>,
    ept: Option<f64>,
    leapseconds: Option<i8>,
    lat: Option<f64>,
    lon: Option<f64>,
    #[serde(rename = "altMSL")]
    altitude_m: Option<f64>,
    alt: Option<f64>,
}

/// gpsd's words for what is no measurement: dead reckoning, simulation (gpsd's `gps.h`, `STATUS_DR`, `STATUS_SIM`). Its `STATUS_TIME`
/// is a surveyed place, whose time is the best there is.
const ESTIMATED: [u8; 2] = [6, 8];

impl Tpv {
    fn said(self, heard_us: Option<u64>) -> Said {
        let Some(time) = self.time else { return Said::NoTime(self.device) };
        let fix = Fix {
            estimated: ESTIMATED.contains(&self.status),
            // gpsd's `ept` is a constant of 5 ms, and less where the receiver tells its own.
            accuracy_us: self.ept.filter(|ept_s| (0.0..1e6).contains(ept_s)).map(microseconds),
            leap_seconds: self.leapseconds,
            latitude: self.lat,
            longitude: self.lon,
            altitude_m: self.altitude_m.or(self.alt),
            heard_us,
            ..Fix::new(Origin::Gpsd, time, self.mode)
        };
        Said::Fix(self.device, fix)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the caller has seen to its range")]
fn microseconds(seconds: f64) -> u64 {
    (seconds * 1e6).ceil() as u64
}

#[derive(Deserialize)]
struct Offset {
    #[serde(default)]
    device: String,
    real_sec: i64,
    real_nsec: i32,
    clock_sec: i64,
    clock_nsec: i64,
}

impl Offset {
    fn said(self, is_pulse: bool) -> Option<Said> {
        let real = Timestamp::new(self.real_sec, self.real_nsec).ok()?;
        let clock_us = self.clock_sec.checked_mul(1_000_000)?.checked_add(self.clock_nsec / 1_000)?;
        Some(Said::Time { device: self.device, real, clock_us, is_pulse })
    }
}
