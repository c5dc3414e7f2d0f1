//! The u-blox packets that tell a time (u-blox 8 and M8 receiver description, chapter "UBX-NAV"; u-blox 6 for NAV-SOL).

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// What one packet adds to what is known of its moment.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Telling {
    /// Which navigation epoch it belongs to: milliseconds of the GPS week.
    pub(super) epoch_ms: u32,
    pub(super) time: Option<Timestamp>,
    pub(super) leap_second: bool,
    /// The receiver does not vouch for the seconds of UTC yet.
    pub(super) unresolved: bool,
    pub(super) mode: Option<u8>,
    pub(super) estimated: bool,
    pub(super) satellites: Option<u8>,
    pub(super) accuracy_ns: Option<u32>,
    pub(super) leap_seconds: Option<i8>,
    pub(super) position: Option<(f64, f64)>,
    pub(super) altitude_m: Option<f64>,
    /// A fix of its own, outside the navigation epochs (high rate).
    pub(super) alone: bool,
    /// It says all that there is to know, whatever comes after it.
    pub(super) whole: bool,
}

/// MON-HW and MON-RF come when an epoch is over.
pub(super) fn is_between_epochs(kind: (u8, u8)) -> bool {
    matches!(kind, (0x0A, 0x09 | 0x38))
}

/// Which navigation epoch a packet belongs to, in milliseconds of the GPS week; `None` for one that belongs to none.
pub(super) fn epoch_ms(kind: (u8, u8), payload: &[u8]) -> Option<u32> {
    let at = match kind {
        // These begin with a version: DAHEADING, HPPOSECEF, HPPOSLLH, RELPOSNED.
        (0x01, 0x13 | 0x14 | 0x3C | 0x40) => 4,
        // The time of ESF-ALG and ESF-STATUS.
        (0x10, 0x14 | 0x10) => 0,
        (0x10, 0x15) => 8,
        // The receiver's own odometer, surveyed position and geofence are told at any time.
        (0x01, 0x09 | 0x39 | 0x60) => return None,
        (0x01, _) => 0,
        _ => return None,
    };
    Payload(payload).u32(at)
}

/// What a packet tells; `None` if it tells nothing of the time. `leap_seconds` is GPS time less UTC, if the receiver
/// has told it.
pub(super) fn parse(kind: (u8, u8), payload: &[u8], leap_seconds: Option<i8>) -> Option<Telling> {
    let payload = Payload(payload);
    match kind {
        (0x01, 0x07) => nav_pvt(payload),
        (0x01, 0x21) => nav_timeutc(payload),
        (0x01, 0x20) => nav_timegps(payload, leap_seconds),
        (0x01, 0x06) => nav_sol(payload, leap_seconds),
        (0x01, 0x03) => nav_status(payload),
        (0x28, 0x00) => hnr_pvt(payload),
        _ => None,
    }
}

/// Little-endian fields at fixed places.
#[derive(Clone, Copy)]
struct Payload<'a>(&'a [u8]);

impl Payload<'_> {
    fn bytes<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..at + N)?.try_into().ok()
    }

    fn u8(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    fn u16(self, at: usize) -> Option<u16> {
        self.bytes(at).map(u16::from_le_bytes)
    }

    fn u32(self, at: usize) -> Option<u32> {
        self.bytes(at).map(u32::from_le_bytes)
    }

    fn i32(self, at: usize) -> Option<i32> {
        self.bytes(at).map(i32::from_le_bytes)
    }

    /// Year, month, day, hour, minute, second, and nanoseconds that may be negative.
    fn civil(self, at: usize, nanoseconds: i32) -> Option<(Timestamp, bool)> {
        let year = i16::try_from(self.u16(at)?).ok()?;
        let small = |offset: usize| i8::try_from(self.u8(at + offset)?).ok();
        let second = small(6)?;
        let civil = DateTime::new(year, small(2)?, small(3)?, small(4)?, small(5)?, second.min(59), 0).ok()?;
        let whole = civil.to_zoned(TimeZone::UTC).ok()?.timestamp();
        let leap = SignedDuration::from_secs(i64::from(second == 60));
        let time = whole.checked_add(leap).ok()?.checked_add(SignedDuration::from_nanos(nanoseconds.into())).ok()?;
        (second <= 60).then_some((time, second == 60))
    }

    /// Longitude, latitude in 10^-7 degrees, and 8 bytes later the height above mean sea level in millimetres.
    fn place(self, at: usize) -> Option<((f64, f64), f64)> {
        let degrees = |at: usize| Some(f64::from(self.i32(at)?) * 1e-7);
        Some(((degrees(at + 4)?, degrees(at)?), f64::from(self.i32(at + 12)?) * 1e-3))
    }
}

/// Bits of `valid` in NAV-PVT: date, time. gpsd asks for these two.
const VALID_DATE_AND_TIME: u8 = 0b11;

/// The third: UTC's seconds are known, without any doubt as to leap seconds.
const FULLY_RESOLVED: u8 = 0b100;

fn nav_pvt(payload: Payload) -> Option<Telling> {
    let is_valid = payload.u8(11)? & VALID_DATE_AND_TIME == VALID_DATE_AND_TIME;
    let told = payload.civil(4, payload.i32(16)?).filter(|_| is_valid);
    let (mode, estimated) = mode(payload.u8(20)?);
    let (position, altitude_m) = payload.place(24)?;
    // u-blox 7 sends 84 bytes, 8 and later 92.
    payload.u8(83)?;
    Some(Telling {
        epoch_ms: payload.u32(0)?,
        time: told.map(|told| told.0),
        leap_second: told.is_some_and(|told| told.1),
        unresolved: payload.u8(11)? & FULLY_RESOLVED == 0,
        mode: Some(mode),
        estimated,
        satellites: payload.u8(23),
        accuracy_ns: payload.u32(12),
        position: Some(position),
        altitude_m: Some(altitude_m),
        ..Telling::default()
    })
}

/// A fix between two epochs, at a high rate, from receivers with sensors of their own.
fn hnr_pvt(payload: Payload) -> Option<Telling> {
    let is_valid = payload.u8(11)? & VALID_DATE_AND_TIME == VALID_DATE_AND_TIME;
    let told = payload.civil(4, payload.i32(12)?).filter(|_| is_valid)?;
    let (mode, estimated) = mode(payload.u8(16)?);
    let (position, altitude_m) = payload.place(20)?;
    payload.u8(71)?;
    Some(Telling {
        epoch_ms: payload.u32(0)?,
        time: Some(told.0),
        leap_second: told.1,
        unresolved: payload.u8(11)? & FULLY_RESOLVED == 0,
        mode: Some(mode),
        estimated,
        position: Some(position),
        altitude_m: Some(altitude_m),
        alone: true,
        ..Telling::default()
    })
}

fn nav_timeutc(payload: Payload) -> Option<Telling> {
    // Bit 2: UTC is valid, its leap seconds known.
    let is_valid = payload.u8(19)? & 0b100 != 0;
    let (time, leap_second) = payload.civil(12, payload.i32(8)?).filter(|_| is_valid)?;
    let accuracy_ns = payload.u32(4);
    Some(Telling { epoch_ms: payload.u32(0)?, time: Some(time), leap_second, accuracy_ns, ..Telling::default() })
}

fn nav_timegps(payload: Payload, known: Option<i8>) -> Option<Telling> {
    let valid = payload.u8(11)?;
    let told = payload.u8(10)?.cast_signed();
    let accuracy_ns = payload.u32(12)?;
    // Bit 2: the leap seconds are valid; bits 0 and 1: time of week, week.
    let leap_seconds = (valid & 0b100 != 0).then_some(told);
    let known = leap_seconds.or(known);
    let time = || gps_time(payload, known.unwrap_or(LEAP_SECONDS));
    Some(Telling {
        epoch_ms: payload.u32(0)?,
        time: (valid & 0b11 == 0b11).then(time).flatten(),
        unresolved: known.is_none(),
        accuracy_ns: (valid & 0b11 == 0b11).then_some(accuracy_ns),
        leap_seconds,
        ..Telling::default()
    })
}

/// The fix of u-blox 4 to 7.
fn nav_sol(payload: Payload, leap_seconds: Option<i8>) -> Option<Telling> {
    // Bits 2 and 3: week, time of week.
    let is_valid = payload.u8(11)? & 0b1100 == 0b1100;
    let (mode, estimated) = mode(payload.u8(10)?);
    Some(Telling {
        epoch_ms: payload.u32(0)?,
        time: is_valid.then(|| gps_time(payload, leap_seconds.unwrap_or(LEAP_SECONDS))).flatten(),
        unresolved: leap_seconds.is_none(),
        mode: Some(mode),
        estimated,
        satellites: Some(payload.u8(47)?),
        whole: true,
        ..Telling::default()
    })
}

/// The state of the fix alone.
fn nav_status(payload: Payload) -> Option<Telling> {
    let (mode, estimated) = if payload.u8(5)? & 1 == 0 { (0, false) } else { mode(payload.u8(4)?) };
    Some(Telling { epoch_ms: payload.u32(0)?, mode: Some(mode), estimated, ..Telling::default() })
}

/// Milliseconds of the week, nanoseconds beside them, week: at the same places in NAV-SOL and NAV-TIMEGPS.
fn gps_time(payload: Payload, leap_seconds: i8) -> Option<Timestamp> {
    let week = SignedDuration::from_hours(i64::from(payload.u16(8)?) * 7 * 24);
    let of_week = SignedDuration::from_millis(payload.u32(0)?.into());
    let beside = SignedDuration::from_nanos(payload.i32(4)?.into());
    let gps = [week, of_week, beside].into_iter().try_fold(GPS_EPOCH, |time, part| time.checked_add(part).ok())?;
    gps.checked_sub(SignedDuration::from_secs(leap_seconds.into())).ok()
}

/// GPS time less UTC, in seconds, since 2017-01-01 (IERS Bulletin C 52): for as long as the receiver has not told it.
const LEAP_SECONDS: i8 = 18;

/// 1980-01-06T00:00:00Z, when GPS time was UTC (IS-GPS-200, 3.3.4).
const GPS_EPOCH: Timestamp = Timestamp::constant(315_964_800, 0);

/// u-blox's `fixType`: mode, and whether it is no measurement.
fn mode(fix_type: u8) -> (u8, bool) {
    match fix_type {
        1 => (2, true),
        2 => (2, false),
        // 3 in three dimensions, 4 with dead reckoning beside it, 5 the time alone, at a known place.
        3..=5 => (3, false),
        _ => (0, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NAV-PVT of 2017-07-19 08:50:01 less 250 ns, as u-blox's protocol description lays it out.
    fn nav_pvt(valid: u8, fix_type: u8) -> [u8; 92] {
        let mut payload = [0; 92];
        payload[0..4].copy_from_slice(&291_019_000_u32.to_le_bytes());
        payload[4..11].copy_from_slice(&[0xE1, 0x07, 7, 19, 8, 50, 1]);
        payload[11] = valid;
        payload[12..16].copy_from_slice(&30_u32.to_le_bytes());
        payload[16..20].copy_from_slice(&(-250_i32).to_le_bytes());
        (payload[20], payload[23]) = (fix_type, 11);
        payload[24..28].copy_from_slice(&1_386_081_199_i32.to_le_bytes());
        payload[28..32].copy_from_slice(&(-349_062_266_i32).to_le_bytes());
        payload[36..40].copy_from_slice(&28_849_i32.to_le_bytes());
        payload
    }

    fn read(kind: (u8, u8), payload: &[u8]) -> Telling {
        parse(kind, payload, Some(18)).unwrap()
    }

    #[test]
    fn nanoseconds_may_be_negative() {
        let told = read((1, 7), &nav_pvt(0x37, 3));
        assert_eq!(told.time, "2017-07-19T08:50:00.99999975Z".parse().ok());
        assert_eq!((told.mode, told.satellites, told.accuracy_ns), (Some(3), Some(11), Some(30)));
        assert_eq!((told.altitude_m, told.unresolved), (Some(28.849), false));
        assert!(read((1, 7), &nav_pvt(0x33, 3)).unresolved, "leap seconds are not known yet");
        assert!(told.position.is_some_and(|(latitude, _)| (latitude + 34.906_226_6).abs() < 1e-9));
    }

    #[test]
    fn a_time_counts_only_while_date_and_time_are_valid() {
        for valid in [0x00, 0x01, 0x02, 0x04] {
            assert_eq!(read((1, 7), &nav_pvt(valid, 3)).time, None, "{valid}");
        }
        for (fix_type, mode, estimated) in
            [(0, 0, false), (1, 2, true), (2, 2, false), (4, 3, false), (5, 3, false), (9, 0, false)]
        {
            let told = read((1, 7), &nav_pvt(0x03, fix_type));
            assert_eq!((told.mode, told.estimated), (Some(mode), estimated), "{fix_type}");
        }
        let mut impossible = nav_pvt(0x07, 3);
        impossible[6] = 13;
        assert_eq!(read((1, 7), &impossible).time, None);
    }

    #[test]
    fn a_leap_second_is_marked() {
        let mut payload = [0; 20];
        payload[4..8].copy_from_slice(&21_u32.to_le_bytes());
        payload[12..19].copy_from_slice(&[0xE0, 0x07, 12, 31, 23, 59, 60]);
        payload[19] = 0x07;
        let told = read((1, 0x21), &payload);
        assert_eq!((told.time, told.leap_second), ("2017-01-01T00:00:00Z".parse().ok(), true));
        payload[19] = 0x03;
        assert_eq!(parse((1, 0x21), &payload, Some(18)), None, "UTC is not valid");
    }

    #[test]
    fn gps_time_becomes_utc_by_the_leap_seconds_that_are_known() {
        let mut payload = [0; 52];
        payload[0..4].copy_from_slice(&495_775_000_u32.to_le_bytes());
        payload[8..10].copy_from_slice(&1_977_u16.to_le_bytes());
        (payload[10], payload[11], payload[47]) = (3, 0x0F, 8);
        // From gpsd's account of a real receiver: ublox-8-time.
        assert_eq!(read((1, 6), &payload).time, "2017-12-01T17:42:37Z".parse().ok());
        let before = parse((1, 6), &payload, None).unwrap();
        assert!(before.unresolved && before.time.is_some());
        payload[11] = 0x03;
        assert_eq!(read((1, 6), &payload).time, None, "neither week nor time of week is valid");
        let mut timegps = [0; 16];
        timegps[0..10].copy_from_slice(&payload[0..10]);
        (timegps[10], timegps[11]) = (17, 0x07);
        let told = read((1, 0x20), &timegps);
        assert_eq!((told.time, told.leap_seconds), ("2017-12-01T17:42:38Z".parse().ok(), Some(17)));
    }

    #[test]
    fn a_runt_tells_nothing() {
        for (kind, whole) in
            [((1, 7), 84), ((1, 0x21), 20), ((1, 0x20), 16), ((1, 6), 48), ((1, 3), 16), ((0x28, 0), 72)]
        {
            for length in 0..whole {
                let told = parse(kind, &vec![0xFF; length], None);
                assert!(told.is_none_or(|told| told.time.is_none()), "{kind:?} {length}");
            }
        }
    }
}
