//! The registers of three RTC chips: Maxim DS3231 and DS1307, NXP PCF8523 (their datasheets, "Timekeeping Registers" and
//! "Register organization").
//!
//! All count in binary-coded decimals with two digits for the year, which mean 2000 to 2099, as for the drivers of Linux. The
//! DS3231's century bit is not looked at: it only says that the year has once overflowed, and drivers differ in what they set
//! it to.

use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tide_photo::CapturedAt;

/// Which chip it is. They cannot be told apart over the bus: all three answer at [`ADDRESS`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Chip {
    /// Maxim DS3231: within 2 ppm, with a thermometer.
    #[default]
    Ds3231,
    /// Maxim DS1307: a bare crystal, without a flag for a lost supply beyond its own halt bit.
    Ds1307,
    /// NXP PCF8523, whose battery takes over only once it has been told to.
    Pcf8523,
}

/// The I2C address of all three.
pub const ADDRESS: u16 = 0x68;

/// What the registers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The second they show.
    pub at: CapturedAt,
    /// The battery-low flag, of a chip that has one.
    pub battery_is_low: Option<bool>,
}

/// Why registers tell no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTime {
    /// The chip itself says that its time is not to be trusted.
    #[error("its oscillator has stopped, as it does when the battery is empty")]
    Stopped,
    /// No date, or no binary-coded decimals at all.
    #[error("its registers hold no date ({0})")]
    Impossible(String),
}

/// A time that the chips cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an RTC holds the years 2000 to 2099 only, not {0}")]
pub struct NotHeld(pub CapturedAt);

/// Bytes for a register and those after it, in one transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterWrite {
    /// The first register.
    pub register: u8,
    /// Its value and the next ones'.
    pub bytes: Vec<u8>,
}

/// `EOSC` in the DS3231's control register: the oscillator stops when the battery takes over.
const DS3231_EOSC: u8 = 0x80;
const DS3231_CONTROL: u8 = 0x0E;
/// `OSF` in the DS3231's status register: the oscillator has stopped at some time since this was last cleared.
const DS3231_OSF: u8 = 0x80;
const DS3231_STATUS: u8 = 0x0F;
const DS3231_TEMPERATURE: u8 = 0x11;
/// `CH` in the DS1307's seconds.
const DS1307_CLOCK_HALT: u8 = 0x80;
/// 12-hour mode, in the hours of the two Maxim chips.
const MAXIM_12_HOURS: u8 = 0x40;
const PCF8523_CONTROL_1: u8 = 0x00;
const PCF8523_CONTROL_3: u8 = 0x02;
const PCF8523_STOP: u8 = 0x20;
const PCF8523_12_HOURS: u8 = 0x08;
/// The bits of `Control_1` that a write must leave alone: the crystal's load, and which interrupts are wanted.
const PCF8523_CONTROL_1_KEPT: u8 = 0x87;
const PCF8523_BATTERY_LOW: u8 = 0x04;
/// `PM[2:0]`: 000 lets the battery take over and watches its voltage; 111, as the chip is delivered, does neither.
const PCF8523_POWER_MANAGEMENT: u8 = 0xE0;
/// `OS` in the PCF8523's seconds.
const PCF8523_OSCILLATOR_STOPPED: u8 = 0x80;
/// Afternoon, in the hours of all three in 12-hour mode.
const PM: u8 = 0x20;

impl Chip {
    /// The name of the chip, as in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ds3231 => "ds3231",
            Self::Ds1307 => "ds1307",
            Self::Pcf8523 => "pcf8523",
        }
    }

    /// How many registers, from the first, are to be read in one burst for the functions below.
    pub fn register_count(self) -> u8 {
        match self {
            Self::Ds3231 => 0x13,
            Self::Ds1307 => 0x07,
            Self::Pcf8523 => 0x0A,
        }
    }

    /// The register of the seconds, with which the six others of the time begin.
    pub fn seconds_register(self) -> u8 {
        match self {
            Self::Ds3231 | Self::Ds1307 => 0x00,
            Self::Pcf8523 => 0x03,
        }
    }

    /// The time in a burst of registers.
    ///
    /// # Errors
    /// If the oscillator has stopped, or the registers hold no date.
    pub fn decode(self, registers: &[u8]) -> Result<Shown, NoTime> {
        let impossible = || NoTime::Impossible(Hexadecimal(registers).to_string());
        // A bus that nobody drives reads as ones.
        if registers.len() < usize::from(self.register_count()) || registers.iter().all(|byte| *byte == 0xFF) {
            return Err(impossible());
        }
        if self.is_stopped(registers) {
            return Err(NoTime::Stopped);
        }
        let at = self.time(registers).ok_or_else(impossible)?;
        let battery_is_low =
            (self == Self::Pcf8523).then(|| at_register(registers, PCF8523_CONTROL_3) & PCF8523_BATTERY_LOW != 0);
        Ok(Shown { at, battery_is_low })
    }

    /// The time in the registers, whether or not the oscillator has stopped meanwhile.
    pub(crate) fn time(self, registers: &[u8]) -> Option<CapturedAt> {
        let first = self.seconds_register();
        let field = |offset: u8, mask: u8| decimal(at_register(registers, first + offset) & mask);
        let calendar = |offset: u8, mask: u8| i8::try_from(field(offset, mask)?).ok();
        let day = calendar(if self == Self::Pcf8523 { 3 } else { 4 }, 0x3F)?;
        let hour = hour(at_register(registers, first + 2), self.counts_to_12(registers))?;
        let year = i16::from(field(6, 0xFF)?) + 2000;
        let time =
            DateTime::new(year, calendar(5, 0x1F)?, day, hour, calendar(1, 0x7F)?, calendar(0, 0x7F)?, 0).ok()?;
        let instant = TimeZone::UTC.to_timestamp(time);
        CapturedAt::from_micros(instant.ok()?.as_microsecond())
    }

    /// The registers to write, in this order, so that the chip shows the second of `at` and goes on from there; given what a
    /// burst read from it just now.
    ///
    /// What makes the time trustworthy comes last, so that a power cut on the way leaves a chip that says it has no time: the
    /// DS3231's flag is cleared after its time is set, and the PCF8523 is started after its time is set. (The DS1307 has its
    /// only bit in the first byte of its time.) Writing the seconds restarts the divider of the Maxim chips.
    ///
    /// # Errors
    /// If the year does not fit.
    pub fn writes(self, registers: &[u8], at: CapturedAt) -> Result<Vec<RegisterWrite>, NotHeld> {
        let time = RegisterWrite { register: self.seconds_register(), bytes: self.time_bytes(at).ok_or(NotHeld(at))? };
        let one = |register: u8, byte: u8| RegisterWrite { register, bytes: vec![byte] };
        Ok(match self {
            Self::Ds3231 => {
                let control = at_register(registers, DS3231_CONTROL);
                let status = at_register(registers, DS3231_STATUS);
                let keeps_on = (control & DS3231_EOSC != 0).then(|| one(DS3231_CONTROL, control & !DS3231_EOSC));
                let trusted = (status & DS3231_OSF != 0).then(|| one(DS3231_STATUS, status & !DS3231_OSF));
                keeps_on.into_iter().chain([time]).chain(trusted).collect()
            }
            Self::Ds1307 => vec![time],
            Self::Pcf8523 => {
                let control_1 = at_register(registers, PCF8523_CONTROL_1) & PCF8523_CONTROL_1_KEPT;
                let control_3 = at_register(registers, PCF8523_CONTROL_3) & !PCF8523_POWER_MANAGEMENT;
                vec![
                    one(PCF8523_CONTROL_3, control_3),
                    one(PCF8523_CONTROL_1, control_1 | PCF8523_STOP),
                    time,
                    one(PCF8523_CONTROL_1, control_1),
                ]
            }
        })
    }

    /// How long before a second begins its writing must begin, in microseconds; negative if after.
    ///
    /// A millisecond or three are for the transfers before the one that counts, at the bus's usual 100 kHz. The PCF8523 first
    /// ticks half a second after it is started (datasheet, "STOP bit function").
    pub fn write_lead_us(self) -> i64 {
        match self {
            Self::Ds3231 => 3_000,
            Self::Ds1307 => 1_500,
            Self::Pcf8523 => -497_000,
        }
    }

    /// The chip's own temperature in degrees Celsius, of a DS3231: a whole number and quarters.
    pub fn temperature_c(self, registers: &[u8]) -> Option<f32> {
        if self != Self::Ds3231 || registers.len() < usize::from(self.register_count()) {
            return None;
        }
        let high = at_register(registers, DS3231_TEMPERATURE);
        let low = at_register(registers, DS3231_TEMPERATURE + 1);
        Some(f32::from(i16::from_be_bytes([high, low]) >> 6) / 4.0)
    }

    fn is_stopped(self, registers: &[u8]) -> bool {
        let seconds = at_register(registers, self.seconds_register());
        match self {
            Self::Ds3231 => at_register(registers, DS3231_STATUS) & DS3231_OSF != 0,
            Self::Ds1307 => seconds & DS1307_CLOCK_HALT != 0,
            Self::Pcf8523 => seconds & PCF8523_OSCILLATOR_STOPPED != 0 || !self.counts(registers),
        }
    }

    /// Whether the seconds advance: nothing holds the divider.
    pub(crate) fn counts(self, registers: &[u8]) -> bool {
        match self {
            Self::Ds3231 => true,
            Self::Ds1307 => at_register(registers, 0x00) & DS1307_CLOCK_HALT == 0,
            Self::Pcf8523 => at_register(registers, PCF8523_CONTROL_1) & PCF8523_STOP == 0,
        }
    }

    fn counts_to_12(self, registers: &[u8]) -> bool {
        match self {
            Self::Ds3231 | Self::Ds1307 => at_register(registers, 0x02) & MAXIM_12_HOURS != 0,
            Self::Pcf8523 => at_register(registers, PCF8523_CONTROL_1) & PCF8523_12_HOURS != 0,
        }
    }

    /// The seven registers of the time, in 24-hour mode and with every flag clear; `None` outside 2000 to 2099.
    pub(crate) fn time_bytes(self, at: CapturedAt) -> Option<Vec<u8>> {
        let time: DateTime = TimeZone::UTC.to_datetime(jiff::Timestamp::from_microsecond(at.as_micros()).ok()?);
        let year = (2000..2100).contains(&time.year()).then(|| u8::try_from(time.year() - 2000).ok()).flatten()?;
        let field = |value: i8| u8::try_from(value).ok().map(binary_coded);
        let (second, minute, hour) = (field(time.second())?, field(time.minute())?, field(time.hour())?);
        let (day, month) = (field(time.day())?, field(time.month())?);
        Some(match self {
            Self::Ds3231 | Self::Ds1307 => {
                let weekday = field(time.weekday().to_sunday_one_offset())?;
                vec![second, minute, hour, weekday, day, month, binary_coded(year)]
            }
            Self::Pcf8523 => {
                let weekday = field(time.weekday().to_sunday_zero_offset())?;
                vec![second, minute, hour, day, weekday, month, binary_coded(year)]
            }
        })
    }
}

/// 0 to 23. In 12-hour mode 12 AM is midnight and 12 PM is noon.
fn hour(register: u8, counts_to_12: bool) -> Option<i8> {
    let hour = if counts_to_12 {
        let hour = decimal(register & 0x1F).filter(|hour| (1..=12).contains(hour))?;
        hour % 12 + if register & PM == 0 { 0 } else { 12 }
    } else {
        decimal(register & 0x3F).filter(|hour| *hour < 24)?
    };
    i8::try_from(hour).ok()
}

fn decimal(coded: u8) -> Option<u8> {
    let (tens, ones) = (coded >> 4, coded & 0x0F);
    (tens < 10 && ones < 10).then(|| tens * 10 + ones)
}

fn binary_coded(value: u8) -> u8 {
    value / 10 * 16 + value % 10
}

/// Absent registers are zero; whether all are there is asked before.
fn at_register(registers: &[u8], register: u8) -> u8 {
    registers.get(usize::from(register)).copied().unwrap_or_default()
}

/// Bytes for people: `"59 59 23"`.
struct Hexadecimal<'a>(&'a [u8]);

impl fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            write!(out, "{}{byte:02x}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> CapturedAt {
        text.parse().unwrap()
    }

    /// All registers of a chip: those of the time, and then the others that matter.
    fn dump(chip: Chip, time: [u8; 7], others: &[(u8, u8)]) -> Vec<u8> {
        let mut registers = vec![0; usize::from(chip.register_count())];
        let first = usize::from(chip.seconds_register());
        registers[first..first + 7].copy_from_slice(&time);
        for (register, byte) in others {
            registers[usize::from(*register)] = *byte;
        }
        registers
    }

    fn check(chip: Chip, time: [u8; 7], others: &[(u8, u8)], expected: Result<&str, NoTime>) {
        let shown = chip.decode(&dump(chip, time, others)).map(|shown| shown.at);
        assert_eq!(shown, expected.map(at), "{chip:?} {time:02x?} {others:02x?}");
    }

    #[test]
    fn the_maxim_chips_tell_the_time_in_both_modes() {
        for chip in [Chip::Ds3231, Chip::Ds1307] {
            let same_day = |hours: u8, expected: &str| {
                check(chip, [0x45, 0x59, hours, 0x04, 0x19, 0x07, 0x17], &[], Ok(expected));
            };
            same_day(0x00, "2017-07-19T00:59:45Z");
            same_day(0x08, "2017-07-19T08:59:45Z");
            same_day(0x23, "2017-07-19T23:59:45Z");
            same_day(0x40 | 0x12, "2017-07-19T00:59:45Z");
            same_day(0x40 | 0x01, "2017-07-19T01:59:45Z");
            same_day(0x40 | 0x11, "2017-07-19T11:59:45Z");
            same_day(0x60 | 0x12, "2017-07-19T12:59:45Z");
            same_day(0x60 | 0x01, "2017-07-19T13:59:45Z");
            same_day(0x60 | 0x11, "2017-07-19T23:59:45Z");
            check(chip, [0x00, 0x00, 0x00, 0x01, 0x01, 0x01, 0x00], &[], Ok("2000-01-01T00:00:00Z"));
            check(chip, [0x59, 0x59, 0x23, 0x05, 0x31, 0x12, 0x99], &[], Ok("2099-12-31T23:59:59Z"));
            check(chip, [0x00, 0x00, 0x12, 0x05, 0x29, 0x02, 0x24], &[], Ok("2024-02-29T12:00:00Z"));
        }
    }

    #[test]
    fn a_ds3231_tells_whether_it_has_stopped_and_no_century() {
        let time = [0x00, 0x30, 0x14, 0x03, 0x26, 0x05, 0x26];
        // Control and status as they are after power comes: 1C and 88.
        check(Chip::Ds3231, time, &[(0x0E, 0x1C), (0x0F, 0x88)], Err(NoTime::Stopped));
        check(Chip::Ds3231, time, &[(0x0E, 0x1C), (0x0F, 0x08)], Ok("2026-05-26T14:30:00Z"));
        let with_century = [0x00, 0x30, 0x14, 0x03, 0x26, 0x85, 0x26];
        check(Chip::Ds3231, with_century, &[], Ok("2026-05-26T14:30:00Z"));
    }

    #[test]
    fn a_halted_ds1307_tells_no_time() {
        // As it is when its battery is first connected.
        check(Chip::Ds1307, [0x80, 0x00, 0x00, 0x01, 0x01, 0x01, 0x00], &[], Err(NoTime::Stopped));
    }

    #[test]
    fn a_pcf8523_tells_the_time_in_both_modes() {
        let same_day = |hours: u8, control_1: u8, expected: &str| {
            check(Chip::Pcf8523, [0x45, 0x59, hours, 0x19, 0x03, 0x07, 0x17], &[(0x00, control_1)], Ok(expected));
        };
        same_day(0x23, 0x80, "2017-07-19T23:59:45Z");
        same_day(0x12, 0x88, "2017-07-19T00:59:45Z");
        same_day(0x32, 0x88, "2017-07-19T12:59:45Z");
        same_day(0x31, 0x88, "2017-07-19T23:59:45Z");
        let time = [0x45, 0x59, 0x23, 0x19, 0x03, 0x07, 0x17];
        check(Chip::Pcf8523, time, &[(0x00, 0x20)], Err(NoTime::Stopped));
        // As it is when power comes.
        check(Chip::Pcf8523, [0x80, 0x00, 0x00, 0x01, 0x06, 0x01, 0x00], &[(0x02, 0xE0)], Err(NoTime::Stopped));
    }

    #[test]
    fn a_pcf8523_tells_of_a_low_battery() {
        let is_low = |control_3: u8| {
            let registers = dump(Chip::Pcf8523, [0x00, 0x00, 0x00, 0x01, 0x06, 0x01, 0x00], &[(0x02, control_3)]);
            Chip::Pcf8523.decode(&registers).unwrap().battery_is_low
        };
        assert_eq!((is_low(0x04), is_low(0x00)), (Some(true), Some(false)));
    }

    #[test]
    fn garbage_is_no_time() {
        for chip in [Chip::Ds3231, Chip::Ds1307, Chip::Pcf8523] {
            let count = usize::from(chip.register_count());
            for nobody in [vec![0xFF; count], vec![0x00; count], vec![0x00; count - 1], vec![]] {
                assert!(matches!(chip.decode(&nobody), Err(NoTime::Impossible(_))), "{chip:?} {nobody:02x?}");
            }
            let maxim = chip != Chip::Pcf8523;
            for [second, minute, hour, day, month, year] in [
                [0x60, 0x00, 0x00, 0x01, 0x01, 0x00],
                [0x0A, 0x00, 0x00, 0x01, 0x01, 0x00],
                [0x00, 0x60, 0x00, 0x01, 0x01, 0x00],
                [0x00, 0x00, 0x24, 0x01, 0x01, 0x00],
                [0x00, 0x00, 0x00, 0x00, 0x01, 0x00],
                [0x00, 0x00, 0x00, 0x32, 0x01, 0x00],
                [0x00, 0x00, 0x00, 0x31, 0x04, 0x00],
                [0x00, 0x00, 0x00, 0x29, 0x02, 0x23],
                [0x00, 0x00, 0x00, 0x01, 0x13, 0x00],
                [0x00, 0x00, 0x00, 0x01, 0x00, 0x00],
                [0x00, 0x00, 0x00, 0x01, 0x01, 0xA0],
            ] {
                let (fourth, fifth) = if maxim { (0x01, day) } else { (day, 0x01) };
                let registers = dump(chip, [second, minute, hour, fourth, fifth, month, year], &[]);
                assert!(matches!(chip.decode(&registers), Err(NoTime::Impossible(_))), "{chip:?} {registers:02x?}");
            }
        }
        for hours in [0x40, 0x53, 0x60] {
            let registers = dump(Chip::Ds1307, [0x00, 0x00, hours, 0x01, 0x01, 0x01, 0x00], &[]);
            let error = Chip::Ds1307.decode(&registers).unwrap_err();
            assert_eq!(error.to_string(), format!("its registers hold no date (00 00 {hours:02x} 01 01 01 00)"));
        }
    }

    /// The writes that set a chip to Wednesday 2017-07-19T08:50:01, as it was read.
    fn writes(chip: Chip, others: &[(u8, u8)]) -> Vec<(u8, Vec<u8>)> {
        let registers = dump(chip, [0xFF; 7], others);
        let writes = chip.writes(&registers, at("2017-07-19T08:50:01Z")).unwrap();
        writes.into_iter().map(|write| (write.register, write.bytes)).collect()
    }

    #[test]
    fn a_chip_is_trusted_and_started_last() {
        let maxim = (0x00, vec![0x01, 0x50, 0x08, 0x04, 0x19, 0x07, 0x17]);
        assert_eq!(writes(Chip::Ds1307, &[]), std::slice::from_ref(&maxim));
        assert_eq!(writes(Chip::Ds3231, &[(0x0E, 0x1C), (0x0F, 0x08)]), std::slice::from_ref(&maxim));
        let lost = writes(Chip::Ds3231, &[(0x0E, 0x9C), (0x0F, 0x8B)]);
        assert_eq!(lost, [(0x0E, vec![0x1C]), maxim, (0x0F, vec![0x0B])]);
        // 12-hour mode, a test bit and a half-done reset are taken back; the crystal's load and the interrupts stay.
        let nxp = (0x03, vec![0x01, 0x50, 0x08, 0x19, 0x03, 0x07, 0x17]);
        assert_eq!(
            writes(Chip::Pcf8523, &[(0x00, 0xDA), (0x02, 0xE3)]),
            [(0x02, vec![0x03]), (0x00, vec![0xA2]), nxp, (0x00, vec![0x82])]
        );
    }

    #[test]
    fn a_power_cut_between_two_transfers_leaves_no_time() {
        // Both have lost their time before; what a cut leaves of a PCF8523 that ran is no time either.
        let lost = dump(Chip::Ds3231, [0x00, 0x00, 0x00, 0x01, 0x01, 0x01, 0x00], &[(0x0E, 0x9C), (0x0F, 0x88)]);
        let ran = dump(Chip::Pcf8523, [0x00, 0x00, 0x00, 0x01, 0x06, 0x01, 0x00], &[(0x02, 0x00)]);
        for (chip, mut registers, first_cut) in [(Chip::Ds3231, lost, 0), (Chip::Pcf8523, ran, 2)] {
            let writes = chip.writes(&registers, at("2017-07-19T08:50:01Z")).unwrap();
            for (done, write) in writes.iter().enumerate() {
                if done >= first_cut {
                    assert_eq!(chip.decode(&registers), Err(NoTime::Stopped), "{chip:?} after {done}");
                }
                let first = usize::from(write.register);
                registers[first..first + write.bytes.len()].copy_from_slice(&write.bytes);
            }
            assert_eq!(chip.decode(&registers).map(|shown| shown.at), Ok(at("2017-07-19T08:50:01Z")), "{chip:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for chip in [Chip::Ds3231, Chip::Ds1307, Chip::Pcf8523] {
            for text in [
                "2000-01-01T00:00:00Z",
                "2000-02-29T23:59:59Z",
                "2024-02-29T12:00:00Z",
                "2026-09-30T09:10:19Z",
                "2038-01-19T03:14:08Z",
                "2099-12-31T23:59:59Z",
            ] {
                // Before, the chip counted to 12, its oscillator had stopped, and it was held.
                let mut registers = dump(chip, [0xFF; 7], &[]);
                registers.fill(0xFE);
                for write in chip.writes(&registers, at(text)).unwrap() {
                    let first = usize::from(write.register);
                    registers[first..first + write.bytes.len()].copy_from_slice(&write.bytes);
                }
                assert_eq!(chip.decode(&registers).map(|shown| shown.at), Ok(at(text)), "{chip:?}");
            }
            for text in ["1999-12-31T23:59:59Z", "2100-01-01T00:00:00Z"] {
                assert_eq!(chip.writes(&dump(chip, [0; 7], &[]), at(text)), Err(NotHeld(at(text))), "{chip:?}");
            }
        }
    }

    #[test]
    fn a_ds3231_has_a_thermometer() {
        let check = |high: u8, low: u8, expected: f32| {
            let registers = dump(Chip::Ds3231, [0; 7], &[(0x11, high), (0x12, low)]);
            assert_eq!(Chip::Ds3231.temperature_c(&registers), Some(expected));
        };
        // The datasheet's example.
        check(0x19, 0x40, 25.25);
        check(0x00, 0x00, 0.0);
        check(0xFF, 0xC0, -0.25);
        check(0xF6, 0x80, -9.5);
        assert_eq!(Chip::Ds1307.temperature_c(&[0; 32]), None);
        assert_eq!(Chip::Ds3231.temperature_c(&[0; 7]), None);
    }
}
