//! Which times messages with a right checksum have told lately: a reading of its own, which finds too many rather than too few.

use std::collections::VecDeque;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// How many of the last are remembered. A date and a time count until the next ones.
const REMEMBERED: usize = 64;

/// Largest message, in bytes.
const LARGEST_BYTES: usize = 2_600;

/// Longest sentence, in bytes.
const LONGEST_SENTENCE_BYTES: usize = 120;

const DAY_MS: i64 = 86_400_000;

#[derive(Default)]
pub(super) struct Told {
    /// The end of what came before.
    tail: Vec<u8>,
    /// Times of day, in milliseconds; 86,400,000 and more in a leap second.
    times_ms: VecDeque<i64>,
    /// Midnights, in milliseconds since 1970 UTC.
    dates_ms: VecDeque<i64>,
    /// Whether a message has said that the receiver knows no time any more.
    is_lost: bool,
    /// Whether the last bytes have completed a packet that began before them.
    is_completed: bool,
    /// Whole moments, in milliseconds since 1970 UTC.
    moments_ms: VecDeque<i64>,
}

impl Told {
    /// Hears what comes next.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        let mut all = std::mem::take(&mut self.tail);
        let new_from = all.len();
        self.is_completed = false;
        all.extend_from_slice(bytes);
        for star in new_from.saturating_sub(2)..all.len() {
            match all[star] {
                b'*' if star + 2 < all.len() && star + 2 >= new_from => self.sentence(&all, star),
                _ => (),
            }
        }
        for start in 0..all.len().saturating_sub(1) {
            if all[start] == 0xB5 && all[start + 1] == 0x62 {
                self.packet(&all[start..], new_from.saturating_sub(start));
            }
        }
        self.tail = all.split_off(all.len().saturating_sub(LARGEST_BYTES));
    }

    /// Whether a message has said since the last call that the receiver knows no time any more. Two flipped bits in one column, which
    /// the checksum does not show, can turn a comma into something else, and a field is then empty.
    pub(super) fn take_loss(&mut self) -> bool {
        std::mem::take(&mut self.is_lost)
    }

    /// Whether the bytes heard last have completed a packet that began before them: by chance the dollar sign of a sentence can be
    /// the last byte of a packet that was cut, and is then not missed there.
    pub(super) fn is_completed(&self) -> bool {
        self.is_completed
    }

    /// Whether such a moment was told, in milliseconds since 1970 UTC. A receiver that tells no date for days may be days further.
    pub(super) fn has_told(&self, ms: i64) -> bool {
        let is_near = |told_ms: i64| told_ms.abs_diff(ms) <= 1;
        let days = || (0..=3).map(|days| days * DAY_MS);
        self.moments_ms.iter().any(|moment_ms| is_near(*moment_ms))
            || self.dates_ms.iter().any(|date_ms| {
                days().any(|days_ms| self.times_ms.iter().any(|time_ms| is_near(date_ms + days_ms + time_ms)))
            })
    }

    fn sentence(&mut self, all: &[u8], star: usize) {
        let window = &all[star.saturating_sub(LONGEST_SENTENCE_BYTES)..star];
        let Some(dollar) = window.iter().rposition(|byte| *byte == b'$') else { return };
        let body = &window[dollar + 1..];
        let counted = format!("{:02X}", body.iter().fold(0, |sum, byte| sum ^ byte));
        let Ok(text) = str::from_utf8(body) else { return };
        if !all[star + 1..star + 3].eq_ignore_ascii_case(counted.as_bytes()) {
            return;
        }
        let fields: Vec<&str> = text.split(',').collect();
        let field = |number: usize| fields.get(number).copied().unwrap_or_default();
        self.is_lost |= match field(0).get(2..) {
            Some("RMC") => field(2) != "A" && (field(1).is_empty() || field(9).is_empty()),
            Some("GGA") => field(6).trim() == "0" && field(1).is_empty(),
            _ => false,
        };
        let time = if field(0).ends_with("GLL") { field(5) } else { field(1) };
        remember(&mut self.times_ms, time_ms(time));
        remember(&mut self.dates_ms, short_date(field(9)));
        let number = |at: usize| field(at).trim().parse::<i16>().unwrap_or_default();
        let [day, month] = [2, 3].map(|at| i8::try_from(number(at)).unwrap_or_default());
        remember(&mut self.dates_ms, midnight_ms(Date::new(number(4), month, day).ok()));
    }

    /// `old_bytes` of it were heard before.
    fn packet(&mut self, bytes: &[u8], old_bytes: usize) {
        let Some([_, _, class, id, low, high]) = bytes.first_chunk() else { return };
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let Some(whole) = bytes.get(..length + 8).filter(|whole| whole.len() > old_bytes) else { return };
        let sums = whole[2..length + 6].iter().fold([0_u8; 2], |[a, b], byte| {
            let a = a.wrapping_add(*byte);
            [a, b.wrapping_add(a)]
        });
        if whole[length + 6..] != sums {
            return;
        }
        self.is_completed |= old_bytes > 0;
        if (*class, *id) == (0x01, 0x07) && length >= 92 {
            remember(&mut self.moments_ms, pvt_ms(&whole[6..]));
        }
    }
}

fn remember(list: &mut VecDeque<i64>, told: Option<i64>) {
    if let Some(told) = told {
        list.retain(|before| *before != told);
        list.truncate(REMEMBERED - 1);
        list.push_front(told);
    }
}

/// `hhmmss.sss`, whose seconds may be 60.
fn time_ms(field: &str) -> Option<i64> {
    let pair = |at: usize| field.get(at..at + 2)?.parse::<i64>().ok();
    let part =
        field.get(6..).filter(|part| !part.is_empty()).map_or(Some(0.0), |part| format!("0{part}").parse().ok())?;
    #[expect(clippy::cast_possible_truncation, reason = "a second has few milliseconds")]
    let part_ms = (part * 1_000.0_f64).round() as i64;
    Some(((pair(0)? * 60 + pair(2)?) * 60 + pair(4)?) * 1_000 + part_ms)
}

/// `ddmmyy`.
fn short_date(field: &str) -> Option<i64> {
    let pair = |at: usize| field.get(at..at + 2)?.parse::<i8>().ok();
    let year = i16::from(pair(4)?);
    midnight_ms(Date::new(if year >= 80 { 1_900 } else { 2_000 } + year, pair(2)?, pair(0)?).ok())
}

fn midnight_ms(date: Option<Date>) -> Option<i64> {
    Some(date?.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

fn pvt_ms(payload: &[u8]) -> Option<i64> {
    let year = i16::try_from(u16::from_le_bytes([payload[4], payload[5]])).ok()?;
    let [month, day, hour, minute, second] = [6, 7, 8, 9, 10].map(|at| payload[at].cast_signed());
    let civil = DateTime::new(year, month, day, hour, minute, second.min(59), 0).ok()?;
    let whole: Timestamp = civil.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let nanoseconds = i32::from_le_bytes([payload[16], payload[17], payload[18], payload[19]]);
    let leap_ms = if second == 60 { 1_000 } else { 0 };
    Some(whole.as_millisecond() + leap_ms + i64::from(nanoseconds).div_euclid(1_000_000))
}
