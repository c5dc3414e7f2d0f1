//! The NMEA sentences that tell a time, read as far as the time needs.
//!
//! Splitting and checksum are the `nmea` crate's. The fields are read here, because the crate refuses a sentence whole for what
//! does not matter to the time (a leap second's `60`, a position with too few digits, a field of a later version).

use jiff::civil::{Date, Time};
use nmea::SentenceType;

/// A time of day as told, to the nanosecond; the second may be 60.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimeOfDay {
    hour: i8,
    minute: i8,
    second: i8,
    nanosecond: i32,
}

/// What a sentence says of the receiver's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// No fix.
    Void,
    /// A fix in at least two dimensions; whether three, the sentence does not say.
    Some,
    /// A fix in so many dimensions.
    Dimensions(u8),
}

/// What one sentence adds to what is known of its moment.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Telling {
    pub(super) kind: Kind,
    pub(super) time: Option<TimeOfDay>,
    pub(super) date: Option<Date>,
    pub(super) state: Option<State>,
    pub(super) estimated: bool,
    /// The receiver does not even know the time of day: what it said of the date no longer counts.
    pub(super) lost: bool,
    pub(super) satellites: Option<u8>,
    /// Degrees north and east.
    pub(super) position: Option<(f64, f64)>,
    pub(super) altitude_m: Option<f64>,
}

/// Which sentence.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rmc,
    Gga,
    Gll,
    Gns,
    Gsa,
    #[default]
    Zda,
}

impl TimeOfDay {
    /// `hhmmss` or `hhmmss.sss`.
    fn parse(field: &str) -> Option<Self> {
        let (whole, fraction) = field.split_once('.').unwrap_or((field, ""));
        let (hour, minute, second) = two_digits_thrice(whole)?;
        let nanosecond = nanoseconds(fraction)?;
        (hour < 24 && minute < 60 && second <= 60).then_some(Self { hour, minute, second, nanosecond })
    }

    /// 0 to 23.
    pub(super) fn hour(self) -> i8 {
        self.hour
    }

    /// Whether it is in a leap second.
    pub(super) fn is_leap_second(self) -> bool {
        self.second == 60
    }

    /// As a time of the clock, which has no second 60: the second before.
    pub(super) fn clock_time(self) -> Option<Time> {
        Time::new(self.hour, self.minute, self.second.min(59), self.nanosecond).ok()
    }
}

/// What a sentence tells, if it is one that tells a time or the state of the fix. Its checksum was right.
pub(super) fn parse(sentence: &str) -> Option<Telling> {
    let parsed = nmea::parse_nmea_sentence(sentence).ok()?;
    let fields = Fields(parsed.data.split(',').collect());
    match parsed.message_id {
        SentenceType::RMC => Some(rmc(&fields)),
        SentenceType::GGA => Some(gga(&fields, parsed.talker_id)),
        SentenceType::GLL => Some(gll(&fields)),
        SentenceType::GNS => Some(gns(&fields)),
        SentenceType::GSA => Some(gsa(&fields)),
        SentenceType::ZDA => Some(zda(&fields)),
        _ => None,
    }
}

/// A sentence's fields, counted from 1 as in the standard; one that is not there is empty.
struct Fields<'a>(Vec<&'a str>);

impl<'a> Fields<'a> {
    fn get(&self, number: usize) -> &'a str {
        number.checked_sub(1).and_then(|index| self.0.get(index)).copied().unwrap_or_default()
    }

    fn first_letter(&self, number: usize) -> Option<char> {
        self.get(number).chars().next()
    }

    fn number<T: std::str::FromStr>(&self, number: usize) -> Option<T> {
        self.get(number).trim().parse().ok()
    }

    /// Four fields: latitude, N or S, longitude, E or W.
    fn position(&self, first: usize) -> Option<(f64, f64)> {
        let degrees = |value: &str, direction: &str, positive: &str, negative: &str, most: f64| {
            let point = value.find('.').unwrap_or(value.len());
            let (degrees, minutes) = value.split_at_checked(point.checked_sub(2)?)?;
            let degrees = if degrees.is_empty() { 0.0 } else { degrees.parse::<f64>().ok()? };
            let sign = [(positive, 1.0), (negative, -1.0)].into_iter().find(|(word, _)| *word == direction)?.1;
            let value = degrees + minutes.parse::<f64>().ok()? / 60.0;
            (0.0..=most).contains(&value).then_some(sign * value)
        };
        let latitude = degrees(self.get(first), self.get(first + 1), "N", "S", 90.0)?;
        let longitude = degrees(self.get(first + 2), self.get(first + 3), "E", "W", 180.0)?;
        Some((latitude, longitude))
    }
}

/// Time, status and date: the one sentence that nearly every receiver sends.
fn rmc(fields: &Fields) -> Telling {
    let telling = Telling { kind: Kind::Rmc, ..Telling::default() };
    if fields.get(2) != "A" {
        // Some receivers send any time along with the warning (MTK 3301).
        let lost = fields.get(1).is_empty() || fields.get(9).is_empty();
        return Telling { state: Some(State::Void), lost, ..telling };
    }
    let position = fields.position(3);
    let date = short_date(fields.get(9));
    Telling {
        time: date.and_then(|_| TimeOfDay::parse(fields.get(1))),
        date,
        state: Some(if position.is_some() { State::Some } else { State::Void }),
        estimated: is_estimate(fields.first_letter(12)),
        position,
        ..telling
    }
}

fn gga(fields: &Fields, talker: &str) -> Telling {
    let quality = fields.number::<u8>(6);
    let satellites = fields.number::<u8>(7);
    let position = fields.position(2);
    let altitude_m = fields.number::<f64>(9).filter(|metres| metres.is_finite());
    // A sentence for one of several systems says how many satellites of that system are used: none may be well.
    let too_few = ["GP", "GN"].contains(&talker) && satellites.unwrap_or_default() < 3;
    let state = match position {
        None => State::Void,
        Some(_) if quality == Some(0) || too_few => State::Void,
        Some(_) if altitude_m.is_some() && satellites.is_some_and(|count| count >= 4) => State::Dimensions(3),
        Some(_) => State::Dimensions(2),
    };
    Telling {
        kind: Kind::Gga,
        time: TimeOfDay::parse(fields.get(1)),
        state: Some(state),
        // 6 estimated, 7 entered by hand, 8 simulated.
        estimated: matches!(quality, Some(6..=8)),
        lost: quality == Some(0) && fields.get(1).is_empty(),
        satellites,
        position,
        altitude_m,
        ..Telling::default()
    }
}

fn gll(fields: &Fields) -> Telling {
    let position = fields.position(1);
    let is_good = fields.get(6) == "A" && fields.get(7) != "N" && position.is_some();
    Telling {
        kind: Kind::Gll,
        time: TimeOfDay::parse(fields.get(5)),
        state: Some(if is_good { State::Some } else { State::Void }),
        estimated: is_estimate(fields.first_letter(7)),
        position,
        ..Telling::default()
    }
}

fn gns(fields: &Fields) -> Telling {
    let position = fields.position(2);
    let altitude_m = fields.number::<f64>(9).filter(|metres| metres.is_finite());
    let satellites = fields.number::<u8>(7);
    let mode = fields.first_letter(6);
    let state = match mode {
        None | Some('N') => Some(State::Void),
        // U: unsafe, V: not for navigation; the time may be good all the same, as another sentence will say.
        Some(_) if ["U", "V"].contains(&fields.get(13)) => None,
        Some(_) if position.is_none() => Some(State::Void),
        Some(_) if altitude_m.is_some() && satellites.is_some_and(|count| count >= 4) => Some(State::Dimensions(3)),
        Some(_) => Some(State::Dimensions(2)),
    };
    Telling {
        kind: Kind::Gns,
        time: TimeOfDay::parse(fields.get(1)),
        state,
        estimated: is_estimate(mode),
        satellites,
        position,
        altitude_m,
        ..Telling::default()
    }
}

fn gsa(fields: &Fields) -> Telling {
    let state = match fields.get(2) {
        "1" => Some(State::Void),
        "2" | "E" => Some(State::Dimensions(2)),
        "3" => Some(State::Dimensions(3)),
        _ => None,
    };
    Telling { kind: Kind::Gsa, state, estimated: fields.get(2) == "E", ..Telling::default() }
}

fn zda(fields: &Fields) -> Telling {
    let date = || Date::new(fields.number(4)?, fields.number(3)?, fields.number(2)?).ok();
    let date = date().filter(|date| (1_980..=9_998).contains(&date.year()));
    // Without a date it is none: receivers without a signal leave fields empty (u-blox 4).
    let time = date.and_then(|_| TimeOfDay::parse(fields.get(1)));
    Telling { kind: Kind::Zda, time, date, ..Telling::default() }
}

/// The mode letters of NMEA 2.3 and later for what is no measurement: dead reckoning, entered by hand, simulated.
fn is_estimate(mode: Option<char>) -> bool {
    matches!(mode, Some('E' | 'M' | 'S'))
}

/// `ddmmyy`. Receivers begin in 1980 when they know nothing, and no GPS time is before that.
fn short_date(field: &str) -> Option<Date> {
    let (day, month, year) = two_digits_thrice(field)?;
    let century = if year >= 80 { 1_900 } else { 2_000 };
    Date::new(century + i16::from(year), month, day).ok()
}

fn two_digits_thrice(field: &str) -> Option<(i8, i8, i8)> {
    let is_six_digits = field.len() == 6 && field.bytes().all(|byte| byte.is_ascii_digit());
    let pair = |at: usize| field.get(at..at + 2)?.parse().ok();
    is_six_digits.then(|| Some((pair(0)?, pair(2)?, pair(4)?))).flatten()
}

/// Decimals of a second; what is behind the ninth is dropped.
fn nanoseconds(decimals: &str) -> Option<i32> {
    let digits: String = decimals.chars().chain("000000000".chars()).take(9).collect();
    (decimals.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a sentence of this text tells; its checksum does not matter here.
    fn read(text: &str) -> Telling {
        parse(&format!("${text}*00")).unwrap()
    }

    fn time(text: &str) -> TimeOfDay {
        TimeOfDay::parse(text).unwrap()
    }

    #[test]
    fn an_rmc_tells_time_and_date_only_while_it_is_valid() {
        let good = read("GNRMC,000941.00,A,4404.13387,N,12118.85628,W,0.029,,100117,,,A");
        assert_eq!((good.time, good.date), (Some(time("000941.00")), Date::new(2017, 1, 10).ok()));
        assert_eq!((good.state, good.estimated), (Some(State::Some), false));
        let (latitude, longitude) = good.position.unwrap();
        assert!((latitude - 44.068_897_83).abs() < 1e-8 && (longitude + 121.314_271_33).abs() < 1e-8);
        for void in ["GPRMC,142818.299,V,,,,,,,180708,,,N", "GPRMC,,V,,,,,,,,,,N", "GPRMC,120000,,,,,,,,180708,,"] {
            let void = read(void);
            assert_eq!((void.time, void.date, void.state), (None, None, Some(State::Void)));
        }
        assert!(read("GPRMC,,V,,,,,,,,,,N").lost && !read("GPRMC,142818.299,V,,,,,,,180708,,,N").lost);
        assert!(read("GNRMC,000941.00,A,4404.1,N,12118.8,W,0,,100117,,,E").estimated, "dead reckoning");
    }

    #[test]
    fn a_date_is_one_of_the_calendar_and_of_gps() {
        let date = |field: &str| short_date(field).map(|date| date.to_string());
        assert_eq!(date("060180").as_deref(), Some("1980-01-06"));
        assert_eq!(date("311299").as_deref(), Some("1999-12-31"));
        assert_eq!(date("211138").as_deref(), Some("2038-11-21"));
        assert_eq!(date("290224").as_deref(), Some("2024-02-29"));
        for bad in ["000000", "290223", "321299", "011300", "01019", "0101999", "-10199", "", "01 199", "０10199"] {
            assert_eq!(date(bad), None, "{bad}");
        }
        assert_eq!(read("GPZDA,160012.71,11,03,2004,-1,00").date, Date::new(2004, 3, 11).ok());
        for bad in ["GPZDA,160012.71,,,,,", "GPZDA,160012.71,31,02,2004,,", "GPZDA,160012.71,11,03,1979,,"] {
            assert_eq!((read(bad).date, read(bad).time), (None, None), "{bad}");
        }
    }

    #[test]
    fn a_time_of_day_may_be_a_leap_second() {
        assert!(time("235960").is_leap_second());
        assert_eq!(time("235960.5").clock_time(), Time::new(23, 59, 59, 500_000_000).ok());
        assert_eq!(time("123519.2").clock_time(), Time::new(12, 35, 19, 200_000_000).ok());
        assert_eq!(time("123519.1234567891").clock_time(), Time::new(12, 35, 19, 123_456_789).ok());
        for bad in ["", "12351", "240000", "126000", "235961", "1235x9", "123519.x", "-23519", "123519.-5"] {
            assert_eq!(TimeOfDay::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_state_of_a_fix_is_what_each_sentence_says_of_it() {
        for (text, state) in [
            ("GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,", Some(State::Dimensions(3))),
            ("GPGGA,123519,4807.038,N,01131.000,E,1,03,0.9,545.4,M,46.9,M,,", Some(State::Dimensions(2))),
            ("GPGGA,123519,4807.038,N,01131.000,E,0,04,,35.8,M,47.2,M,,", Some(State::Void)),
            ("GPGGA,123519,4807.038,N,01131.000,E,1,00,0.9,545.4,M,46.9,M,,", Some(State::Void)),
            ("GLGGA,123519,4807.038,N,01131.000,E,1,00,0.9,545.4,M,46.9,M,,", Some(State::Dimensions(2))),
            ("GPGGA,123519,,,,,0,00,,,M,,M,,", Some(State::Void)),
            ("GPGLL,4916.45,N,12311.12,W,225444,A,A", Some(State::Some)),
            ("GPGLL,4916.45,N,12311.12,W,225444,A,N", Some(State::Void)),
            ("GPGLL,,,,,225444,V,N", Some(State::Void)),
            ("GNGNS,224749.00,3333.42683,N,11153.35382,W,AN,19,0.6,406.1,-26.2,,,", Some(State::Dimensions(3))),
            ("GNGNS,224749.00,3333.42683,N,11153.35382,W,NN,19,0.6,406.1,-26.2,,,", Some(State::Void)),
            ("GNGNS,224749.00,3333.42683,N,11153.35382,W,AN,19,0.6,406.1,-26.2,,,V", None),
            ("GPGSA,A,1,,,,,,,,,,,,,,,", Some(State::Void)),
            ("GPGSA,A,3,,,,,,,,,,,,,3.6,2.1,2.2", Some(State::Dimensions(3))),
            ("GPGSA,A,,,,,", None),
        ] {
            assert_eq!(read(text).state, state, "{text}");
        }
        for estimate in ["GPGGA,123519,4807.038,N,01131.000,E,6,08,0.9,5,M,46.9,M,,", "GPGSA,A,E,,,,"] {
            assert!(read(estimate).estimated, "{estimate}");
        }
    }

    #[test]
    fn other_sentences_tell_nothing() {
        for other in ["$GPGSV,3,1,12,01,02,083,00*00", "$PUBX,00,1*00", "$GPRMC*00", "$*00", "", "$GPXXX,1*00"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
