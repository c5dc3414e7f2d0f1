//! How a station is: what it tells the server every few minutes, and a person at its console.

use serde::{Deserialize, Serialize};

use crate::{CapturedAt, ClockQuality, StationName};

/// The version of the status that this build writes.
pub const STATUS_VERSION: u32 = 1;

/// Largest status that a server reads, in bytes.
pub const MAX_STATUS_BYTES: usize = 16 * 1_024;

/// Longest sentence in a status, in characters.
pub const MAX_SENTENCE: usize = 500;

/// One station at one moment. Fields that a later version adds are ignored by an earlier server; what a station does not know
/// (a temperature, say) is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StationStatus {
    /// 1.
    pub version: u32,
    /// Whose.
    pub station: StationName,
    /// When, by the station's clock.
    pub at: CapturedAt,
    /// How good that clock is.
    pub clock: ClockQuality,
    /// The kernel's id of this boot.
    pub boot_id: String,
    /// Microseconds since the station was switched on, at the moment of `at`: with it the server finds the time of photos of this
    /// boot that came while the clock was not good.
    pub monotonic_us: u64,
    /// Version of `tide-recorder`.
    pub software: String,
    /// What waits for the server.
    pub spool: SpoolStatus,
    /// The schedule's shots since the recorder started.
    pub shots: ShotStatus,
    /// The camera.
    pub camera: CameraStatus,
    /// The disk of the data folder.
    pub disk: Option<Room>,
    /// The machine's memory.
    pub memory: Option<Room>,
    /// The processor's temperature in degrees Celsius.
    pub temperature_c: Option<f32>,
    /// What the Pi's firmware reports of its supply and heat, in words (`under-voltage now`); empty if all is well.
    #[serde(default)]
    pub throttling: Vec<String>,
    /// The GPS receiver, if there is one.
    pub gps: Option<GpsStatus>,
    /// The last thing that went wrong and was not put right since.
    pub last_error: Option<Mishap>,
}

/// What waits for the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolStatus {
    /// Photos that wait.
    pub waiting: u64,
    /// Of these, how many are held in memory alone, because the disk takes none.
    pub in_memory: u64,
    /// Photos that the server refused, or that could not be read; kept.
    pub parked: u64,
    /// When the oldest of those that wait was taken.
    pub oldest_at: Option<CapturedAt>,
    /// Photos taken and given up undelivered, ever: for want of room.
    pub dropped: u64,
    /// Captures that an interruption cut off before they were whole, ever.
    pub incomplete: u64,
    /// Photos delivered since the recorder started.
    pub delivered: u64,
    /// When the server last gave a receipt.
    pub delivered_at: Option<CapturedAt>,
    /// Why nothing is delivered at the moment, if so.
    pub trouble: Option<String>,
}

/// The schedule's shots since the recorder started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShotStatus {
    /// Taken into the spool.
    pub taken: u64,
    /// Due, but not taken: the camera failed, or the one before took too long.
    pub missed: u64,
    /// When the last one was taken.
    pub last_at: Option<CapturedAt>,
}

/// The camera.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraStatus {
    /// `rpicam`, `usb`, `replay`, `synthetic`.
    pub kind: String,
    /// Failures in a row up to now.
    pub failures_in_a_row: u32,
    /// Why the last shot failed, if it did.
    pub trouble: Option<String>,
}

/// Room of a disk or a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Bytes that can be used.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// The GPS receiver, as whoever reads it last reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpsStatus {
    /// 0 or 1 no fix, 2 in two dimensions, 3 in three.
    pub mode: u8,
    /// Satellites used.
    pub satellites: Option<u8>,
    /// When it last had a fix.
    pub fix_at: Option<CapturedAt>,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mishap {
    /// When, by the station's clock.
    pub at: CapturedAt,
    /// One sentence.
    pub what: String,
}
