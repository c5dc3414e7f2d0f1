//! Puts together what a receiver says of one moment in several messages.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::framer::Frame;
use super::sentence::{self, Kind, State, TimeOfDay};
use super::{Fix, Origin, ubx};

/// Gathers messages into fixes, one for each moment: as soon as the receiver has said all that it says of one.
#[derive(Debug)]
pub struct Epochs {
    sentences: Sentences,
    packets: Packets,
    /// The fix given last, so that none is given twice: its milliseconds, whether within a leap second, and whether it was one.
    last: Option<(i64, bool, bool)>,
}

impl Default for Epochs {
    fn default() -> Self {
        let packets = Packets { moment: None, last_of_epoch: None, last: None, leap_seconds: None };
        Self { sentences: Sentences::default(), packets, last: None }
    }
}

impl Epochs {
    /// Takes one message. Gives the fixes that it completes.
    pub fn take(&mut self, frame: Frame<'_>, heard_us: Option<u64>) -> Vec<Fix> {
        let fixes = match frame {
            Frame::Sentence(text) => {
                let telling = sentence::parse(text);
                // A receiver of both languages is followed by its packets; its sentences then wait for their own cycle.
                let knows_cycle = self.packets.last.is_some();
                let take = |telling| self.sentences.take(&telling, heard_us, knows_cycle);
                telling.and_then(take).into_iter().collect()
            }
            Frame::Packet { kind, payload } => self.packets.take(kind, payload, heard_us),
        };
        self.fresh(fixes)
    }

    /// A moment may be told twice, by packets and sentences, or with what came behind its end. Once is enough, but a fix is more
    /// than none. The second after a leap second has the same time, and is another moment.
    fn fresh(&mut self, mut fixes: Vec<Fix>) -> Vec<Fix> {
        fixes.retain(|fix| {
            let this = (fix.rounded_ms(), fix.leap_second, fix.mode >= 2);
            let is_fresh = self.last.is_none_or(|last| (last.0, last.1) != (this.0, this.1) || (this.2 && !last.2));
            if is_fresh {
                self.last = Some(this);
            }
            is_fresh
        });
        fixes
    }
}

/// What sentences have told.
#[derive(Debug, Default)]
struct Sentences {
    moment: Option<SentenceMoment>,
    /// The last full date, and the time of day that it came with.
    dated: Option<(Date, TimeOfDay)>,
    /// Carried from moment to moment: GSA comes before the first time of a cycle as often as after it.
    mode: u8,
    /// Which sentences have ended a moment. Until there is one, any may.
    enders: Vec<Kind>,
    /// Which sentence with a time came last.
    last: Option<Kind>,
}

#[derive(Debug)]
struct SentenceMoment {
    time: TimeOfDay,
    estimated: bool,
    satellites: Option<u8>,
    position: Option<(f64, f64)>,
    altitude_m: Option<f64>,
    heard_us: Option<u64>,
}

impl Sentences {
    fn take(&mut self, telling: &sentence::Telling, heard_us: Option<u64>, knows_cycle: bool) -> Option<Fix> {
        if telling.lost {
            (self.dated, self.enders) = (None, Vec::new());
        }
        let is_new = telling.time.is_some_and(|time| self.moment.as_ref().is_none_or(|moment| moment.time != time));
        if let Some(time) = telling.time.filter(|_| is_new) {
            self.enders.extend(self.last.filter(|last| !self.enders.contains(last)));
            self.moment = Some(SentenceMoment::new(time, heard_us));
        }
        self.mode = match telling.state {
            None => self.mode,
            Some(State::Void) => 0,
            Some(State::Some) => self.mode.max(2),
            Some(State::Dimensions(dimensions)) => dimensions,
        };
        let moment = self.moment.as_mut()?;
        moment.add(telling);
        if let Some(date) = telling.date {
            self.dated = Some((date, moment.time));
        }
        if telling.time.is_some() {
            self.last = Some(telling.kind);
        }
        let any_may_end = self.enders.is_empty() && !knows_cycle;
        let is_whole = any_may_end || self.last.is_some_and(|last| self.enders.contains(&last));
        if is_whole { self.fix() } else { None }
    }

    fn fix(&mut self) -> Option<Fix> {
        let moment = self.moment.as_ref()?;
        // Only RMC and ZDA have a date, and not every moment has one of them: the day goes on at midnight.
        let (date, at) = self.dated?;
        let is_next_day = at.hour() >= 12 + moment.time.hour();
        let date = if is_next_day { date.tomorrow().ok()? } else { date };
        self.dated = Some((date, moment.time));
        moment.fix(date, self.mode)
    }
}

impl SentenceMoment {
    fn new(time: TimeOfDay, heard_us: Option<u64>) -> Self {
        let (estimated, satellites, position, altitude_m) = (false, None, None, None);
        Self { time, estimated, satellites, position, altitude_m, heard_us }
    }

    fn add(&mut self, telling: &sentence::Telling) {
        self.estimated |= telling.estimated;
        self.satellites = telling.satellites.or(self.satellites);
        self.position = telling.position.or(self.position);
        self.altitude_m = telling.altitude_m.or(self.altitude_m);
    }

    fn fix(&self, date: Date, mode: u8) -> Option<Fix> {
        let civil = DateTime::from_parts(date, self.time.clock_time()?);
        let time = civil.to_zoned(TimeZone::UTC).ok()?.timestamp();
        let leap_second = self.time.is_leap_second();
        let time = time.checked_add(SignedDuration::from_secs(leap_second.into())).ok()?;
        Some(Fix {
            estimated: self.estimated,
            leap_second,
            satellites: self.satellites,
            latitude: self.position.map(|position| position.0),
            longitude: self.position.map(|position| position.1),
            altitude_m: self.altitude_m,
            heard_us: self.heard_us,
            ..Fix::new(Origin::Nmea, time, mode)
        })
    }
}

/// What packets have told.
#[derive(Debug)]
struct Packets {
    moment: Option<PacketMoment>,
    /// Which packet ends an epoch, as the one before has shown.
    last_of_epoch: Option<(u8, u8)>,
    /// Which packet came last.
    last: Option<(u8, u8)>,
    /// GPS time less UTC, in seconds, once the receiver has told it.
    leap_seconds: Option<i8>,
}

#[derive(Debug)]
struct PacketMoment {
    epoch_ms: u32,
    time: Option<Timestamp>,
    fix: Fix,
}

/// Within one epoch packets differ by less, in milliseconds (gpsd's measurement; the fastest receivers make 40 epochs a second).
const SAME_EPOCH_MS: u32 = 10;

impl Packets {
    fn take(&mut self, kind: (u8, u8), payload: &[u8], heard_us: Option<u64>) -> Vec<Fix> {
        let telling = ubx::parse(kind, payload, self.leap_seconds);
        self.leap_seconds = telling.as_ref().and_then(|telling| telling.leap_seconds).or(self.leap_seconds);
        let new = |epoch_ms| PacketMoment::new(epoch_ms, heard_us);
        if let Some(telling) = telling.as_ref().filter(|telling| telling.alone) {
            return new(telling.epoch_ms).with(telling).fix().into_iter().collect();
        }
        let Some(epoch_ms) = ubx::epoch_ms(kind, payload) else {
            // Between two epochs a receiver tells how its hardware is.
            let moment = self.moment.as_ref().filter(|_| ubx::is_between_epochs(kind));
            return moment.and_then(PacketMoment::fix).into_iter().collect();
        };
        if self.moment.as_ref().is_none_or(|moment| moment.epoch_ms.abs_diff(epoch_ms) > SAME_EPOCH_MS) {
            // What the epoch before was without its last packet, or the first one in hand, may be half of one: it is let go.
            self.last_of_epoch = self.last;
            self.moment = Some(new(epoch_ms));
        }
        self.last = Some(kind);
        let Some(moment) = &mut self.moment else { return Vec::new() };
        if let Some(telling) = &telling {
            moment.add(telling);
        }
        let is_whole = self.last_of_epoch == Some(kind) || telling.is_some_and(|telling| telling.whole);
        if is_whole { moment.fix().into_iter().collect() } else { Vec::new() }
    }
}

impl PacketMoment {
    fn new(epoch_ms: u32, heard_us: Option<u64>) -> Self {
        let fix = Fix { heard_us, ..Fix::new(Origin::Ubx, Timestamp::UNIX_EPOCH, 0) };
        Self { epoch_ms, time: None, fix }
    }

    fn with(mut self, telling: &ubx::Telling) -> Self {
        self.add(telling);
        self
    }

    fn add(&mut self, telling: &ubx::Telling) {
        if telling.time.is_some() {
            self.time = telling.time;
            self.fix.unresolved = telling.unresolved;
        }
        let fix = &mut self.fix;
        fix.mode = telling.mode.unwrap_or(fix.mode);
        fix.estimated |= telling.estimated;
        fix.leap_second |= telling.leap_second;
        fix.satellites = telling.satellites.or(fix.satellites);
        fix.accuracy_us = telling.accuracy_ns.map(|ns| u64::from(ns.div_ceil(1_000))).or(fix.accuracy_us);
        fix.leap_seconds = telling.leap_seconds.or(fix.leap_seconds);
        fix.latitude = telling.position.map(|position| position.0).or(fix.latitude);
        fix.longitude = telling.position.map(|position| position.1).or(fix.longitude);
        fix.altitude_m = telling.altitude_m.or(fix.altitude_m);
    }

    fn fix(&self) -> Option<Fix> {
        Some(Fix { time: self.time?, ..self.fix.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fixes of these sentences, which need no checksum here: time and mode.
    fn fixes(sentences: &[&str]) -> Vec<(String, u8)> {
        let mut epochs = Epochs::default();
        let with_checksum: Vec<String> = sentences.iter().map(|text| format!("${text}*00")).collect();
        let all = with_checksum.iter().flat_map(|text| epochs.take(Frame::Sentence(text), None));
        all.map(|fix| (fix.time.to_string(), fix.mode)).collect()
    }

    fn rmc(time: &str, date: &str) -> String {
        format!("GPRMC,{time},A,4807.038,N,01131.000,E,0.0,0.0,{date},,,A")
    }

    fn gga(time: &str) -> String {
        format!("GPGGA,{time},4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,")
    }

    fn at(texts: &[(&str, u8)]) -> Vec<(String, u8)> {
        texts.iter().map(|(time, mode)| ((*time).to_owned(), *mode)).collect()
    }

    #[test]
    fn a_moment_is_told_once_by_whatever_sentences() {
        let told = [
            rmc("120000", "250526"),
            gga("120000"),
            rmc("120001", "250526"),
            gga("120001"),
            rmc("120002", "250526"),
            gga("120002"),
        ];
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        // The first sentence of all may be the last of its moment; from the second moment on the cycle is known.
        assert_eq!(
            fixes(&told),
            at(&[("2026-05-25T12:00:00Z", 2), ("2026-05-25T12:00:01Z", 3), ("2026-05-25T12:00:02Z", 3)])
        );
    }

    #[test]
    fn no_time_without_a_date() {
        assert_eq!(fixes(&[&gga("120000"), &gga("120001"), &gga("120002")]), at(&[]));
        let late = [gga("120000"), gga("120001"), rmc("120001", "250526"), gga("120002"), rmc("120002", "250526")];
        let late: Vec<&str> = late.iter().map(String::as_str).collect();
        // Its first date came behind what had been the end of a moment before.
        assert_eq!(fixes(&late), at(&[("2026-05-25T12:00:02Z", 3)]));
    }

    #[test]
    fn the_day_goes_on_at_midnight_before_the_next_date_comes() {
        let night = [rmc("235959", "311226"), gga("235959"), gga("000000"), rmc("000000", "010127")];
        let night: Vec<&str> = night.iter().map(String::as_str).collect();
        assert_eq!(fixes(&night), at(&[("2026-12-31T23:59:59Z", 2), ("2027-01-01T00:00:00Z", 3)]));
        // A receiver that repeats itself has not lived through a day.
        let back = [rmc("120005", "250526"), gga("120005"), gga("120001")];
        let back: Vec<&str> = back.iter().map(String::as_str).collect();
        assert_eq!(fixes(&back)[1..], at(&[("2026-05-25T12:00:01Z", 3)]));
    }

    #[test]
    fn a_leap_second_is_marked() {
        let mut epochs = Epochs::default();
        let text = format!("${}*00", rmc("235960", "311216"));
        let fix = epochs.take(Frame::Sentence(&text), None).pop().unwrap();
        assert_eq!((fix.time.to_string().as_str(), fix.leap_second), ("2017-01-01T00:00:00Z", true));
    }

    #[test]
    fn a_receiver_that_has_lost_the_time_has_lost_the_date() {
        let lost = [rmc("120000", "250526"), gga("120000"), "GPRMC,,V,,,,,,,,,,N".to_owned(), gga("120001")];
        let lost: Vec<&str> = lost.iter().map(String::as_str).collect();
        assert_eq!(fixes(&lost).last().unwrap().0, "2026-05-25T12:00:00Z");
    }

    #[test]
    fn packets_tell_a_moment_when_its_last_one_has_come() {
        let mut epochs = Epochs::default();
        let pvt = |second: u8| {
            let mut payload = [0; 92];
            payload[0..4].copy_from_slice(&(u32::from(second) * 1_000).to_le_bytes());
            payload[4..11].copy_from_slice(&[0xEA, 0x07, 5, 25, 12, 0, second]);
            (payload[11], payload[20]) = (0x07, 3);
            payload
        };
        let mut take = |kind: (u8, u8), payload: &[u8]| epochs.take(Frame::Packet { kind, payload }, None).len();
        // NAV-PVT, then NAV-DOP. The first moment shows what the last packet is.
        let seen = [take((1, 7), &pvt(1)), take((1, 4), &1_000_u32.to_le_bytes())];
        assert_eq!(seen, [0, 0]);
        let seen = [take((1, 7), &pvt(2)), take((1, 4), &2_000_u32.to_le_bytes())];
        assert_eq!(seen, [0, 1]);
        let seen = [take((1, 7), &pvt(3)), take((1, 7), &pvt(4)), take((1, 4), &4_000_u32.to_le_bytes())];
        assert_eq!(seen, [0, 1, 0], "a moment without its last packet changes what is the last one");
    }
}
