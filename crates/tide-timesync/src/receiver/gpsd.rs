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
    /// How many satellites a receiver uses.
    Satellites(String, u8),
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
        Line::Sky { device, used } => Some(Said::Satellites(device, used?)),
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
    #[serde(rename = "SKY")]
    Sky {
        #[serde(default)]
        device: String,
        #[serde(rename = "uSat")]
        used: Option<u8>,
    },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gpsd_says_is_understood() {
        let line = br#"{"class":"TPV","device":"/dev/ttyAMA0","status":2,"mode":3,"time":"2017-12-01T17:22:38.000Z","leapseconds":18,"ept":0.005,"lat":45.2,"lon":5.8,"altHAE":278.9,"altMSL":230.2,"alt":230.2}"#;
        let Some(Said::Fix(device, fix)) = parse(line, Some(7)) else { panic!("no fix") };
        assert_eq!((device.as_str(), fix.mode, fix.estimated), ("/dev/ttyAMA0", 3, false));
        assert_eq!((fix.time, fix.heard_us), ("2017-12-01T17:22:38Z".parse().unwrap(), Some(7)));
        assert_eq!((fix.accuracy_us, fix.leap_seconds, fix.altitude_m), (Some(5_000), Some(18), Some(230.2)));
        let version = br#"{"class":"VERSION","release":"3.22","rev":"3.22","proto_major":3,"proto_minor":14}"#;
        assert_eq!(parse(version, None), Some(Said::Version("3.22".to_owned())));
        let none = br#"{"class":"DEVICES","devices":[]}"#;
        assert_eq!(parse(none, None), Some(Said::Devices(Vec::new())));
        let pulse = br#"{"class":"PPS","device":"/dev/pps0","real_sec":1330212592,"real_nsec":0,"clock_sec":1330212592,"clock_nsec":343182,"precision":-20}"#;
        let real = Timestamp::from_second(1_330_212_592).unwrap();
        let expected =
            Said::Time { device: "/dev/pps0".to_owned(), real, clock_us: 1_330_212_592_000_343, is_pulse: true };
        assert_eq!(parse(pulse, None), Some(expected));
    }

    #[test]
    fn dead_reckoning_and_simulation_are_estimates() {
        for (status, estimated) in [(0, false), (1, false), (5, false), (6, true), (7, false), (8, true), (9, false)] {
            let line = format!(r#"{{"class":"TPV","mode":3,"status":{status},"time":"2017-12-01T17:22:38.000Z"}}"#);
            let Some(Said::Fix(_, fix)) = parse(line.as_bytes(), None) else { panic!("{status}") };
            assert_eq!(fix.estimated, estimated, "{status}");
        }
    }

    #[test]
    fn what_is_no_line_of_gpsds_says_nothing() {
        let whole = br#"{"class":"TPV","mode":3,"time":"2017-12-01T17:22:38.000Z"}"#;
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length], None), None, "{length}");
        }
        let sky = br#"{"class":"SKY","device":"x","nSat":12,"uSat":9,"satellites":[]}"#;
        assert_eq!(parse(sky, None), Some(Said::Satellites("x".to_owned(), 9)));
        for other in [
            r#"{"class":"TPV","mode":3,"time":"yesterday"}"#,
            r#"{"class":"SKY","satellites":[]}"#,
            r#"{"class":"TPV","mode":-1,"time":"2017-12-01T17:22:38.000Z"}"#,
            r#"{"class":"TOFF","device":"x","real_sec":9223372036854775807,"real_nsec":0,"clock_sec":9223372036854775807,"clock_nsec":0}"#,
            "$GPGGA,,,",
            "null",
            "[]",
        ] {
            assert_eq!(parse(other.as_bytes(), None), None, "{other}");
        }
    }
}
