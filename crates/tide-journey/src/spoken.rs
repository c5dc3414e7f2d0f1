//! What a GPS receiver says, with right checksums: NMEA 0183 sentences, and u-blox packets.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Whether a receiver knows where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does.
    Fix,
    /// It does not, but has a time.
    Void,
}

/// A sentence with its checksum and its line's end: `body` is what lies between dollar sign and star.
pub fn sentence(body: &str) -> String {
    let checksum = body.bytes().fold(0, |sum, byte| sum ^ byte);
    format!("${body}*{checksum:02X}\r\n")
}

/// Time, status and date.
pub fn rmc(told: Timestamp, state: State) -> String {
    rmc_dated(told, &date(told), state)
}

/// The same with whatever a receiver may take for the date.
pub fn rmc_dated(told: Timestamp, date: &str, state: State) -> String {
    let time = time_of_day(told);
    sentence(&match state {
        State::Fix => format!("GNRMC,{time},A,3531.12340,N,02401.56780,E,0.010,,{date},,,A"),
        State::Void => format!("GNRMC,{time},V,,,,,,,{date},,,N"),
    })
}

/// Time, place and satellites.
pub fn gga(told: Timestamp, state: State) -> String {
    let time = time_of_day(told);
    sentence(&match state {
        State::Fix => format!("GNGGA,{time},3531.12340,N,02401.56780,E,1,09,0.90,12.3,M,20.1,M,,"),
        State::Void => format!("GNGGA,{time},,,,,0,00,99.99,,,,,,"),
    })
}

/// Dimensions of the fix, and which satellites are used.
pub fn gsa(state: State) -> String {
    sentence(match state {
        State::Fix => "GNGSA,A,3,02,05,07,09,13,14,20,28,30,,,,1.60,0.90,1.32",
        State::Void => "GNGSA,A,1,,,,,,,,,,,,,99.99,99.99,99.99",
    })
}

/// What most receivers say in each second.
pub fn cycle(told: Timestamp, state: State) -> [String; 3] {
    [rmc(told, state), gga(told, state), gsa(state)]
}

/// RMC and GGA of a leap second, 23:59:60 of that day.
pub fn leap_second(day: Timestamp) -> [String; 2] {
    let told = "235960.00";
    [
        sentence(&format!("GNRMC,{told},A,3531.12340,N,02401.56780,E,0.010,,{},,,A", date(day))),
        sentence(&format!("GNGGA,{told},3531.12340,N,02401.56780,E,1,09,0.90,12.3,M,20.1,M,,")),
    ]
}

/// u-blox's NAV-PVT, which says all of it.
pub fn nav_pvt(told: Timestamp, state: State) -> Vec<u8> {
    // Milliseconds of the GPS week, 18 leap seconds ahead of UTC; the week begins with Sunday, 1970 with a Thursday.
    let week_ms = (told.as_millisecond() + 18_000 + 4 * 86_400_000).rem_euclid(7 * 86_400_000);
    let civil = told.to_zoned(TimeZone::UTC).datetime();
    let small = [civil.month(), civil.day(), civil.hour(), civil.minute(), civil.second()];
    let mut payload = [0; 92];
    let mut put = |at: usize, bytes: &[u8]| payload[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &u32::try_from(week_ms).unwrap_or_default().to_le_bytes());
    put(4, &civil.year().to_le_bytes());
    put(6, &small.map(i8::cast_unsigned));
    // Date and time are valid, and resolved to the full second.
    put(11, &[0b111]);
    // Exact to 25 ns.
    put(12, &25_u32.to_le_bytes());
    put(16, &civil.subsec_nanosecond().to_le_bytes());
    put(20, &if state == State::Fix { [3, 1, 0, 9] } else { [0, 0, 0, 0] });
    put(24, &240_261_300_i32.to_le_bytes());
    put(28, &355_187_233_i32.to_le_bytes());
    put(36, &12_300_i32.to_le_bytes());
    packet((0x01, 0x07), &payload)
}

/// A u-blox packet with its checksum.
pub fn packet(kind: (u8, u8), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_le_bytes();
    let body = [&[kind.0, kind.1], &length[..], payload].concat();
    let checksum = body.iter().fold([0_u8; 2], |[a, b], byte| {
        let a = a.wrapping_add(*byte);
        [a, b.wrapping_add(a)]
    });
    [&[0xB5, 0x62], &body[..], &checksum].concat()
}

fn time_of_day(told: Timestamp) -> String {
    told.to_zoned(TimeZone::UTC).strftime("%H%M%S.00").to_string()
}

fn date(told: Timestamp) -> String {
    told.to_zoned(TimeZone::UTC).strftime("%d%m%y").to_string()
}
