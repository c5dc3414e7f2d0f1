//! An RTC chip that is a file: for rehearsals, which touch nothing of the machine, and for tests.
//!
//! The file holds the registers and the moment at which they were right; whoever opens it again later finds that its time has
//! gone on, as with a battery.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use i2cdev::core::I2CDevice;
use serde::{Deserialize, Serialize};
use tide_durable::{Durable, IfExists};
use tide_photo::CapturedAt;

use crate::rtc::chip::Chip;
use crate::rtc::second::SECOND_US;

/// A clock in microseconds since 1970 by which the chip ticks.
pub type TicksBy = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A chip in a file, as it is on a bus.
pub struct RegisterFile {
    path: PathBuf,
    folder: Durable,
    state: State,
    ticks_by: TicksBy,
    /// Which register is read next.
    pointer: u8,
    /// What is broken about it.
    pub faults: Faults,
}

/// What can be broken about a chip.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Faults {
    /// It does not answer.
    pub is_dead: bool,
    /// It answers, and keeps nothing that is written.
    pub forgets: bool,
    /// It gains this many microseconds in a second.
    pub drift_ppm: f64,
    /// Its next burst has the seconds of before a carry, and all else of after it.
    pub tears: bool,
}

/// How many registers there are.
const REGISTERS: usize = 32;

/// What is kept in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    chip: Chip,
    registers: [u8; REGISTERS],
    /// When the second in the registers began, by the clock that the chip ticks by.
    began_us: i64,
}

/// How long after the PCF8523 is started it first ticks (its datasheet, "STOP bit function").
const PCF8523_FIRST_TICK_US: i64 = 500_000;

impl RegisterFile {
    /// The chip in the file `path`; a new one, whose oscillator has never run, if there is none.
    ///
    /// # Errors
    /// If the file cannot be read or made, holds something else, or is of another chip.
    pub fn open(path: &Path, chip: Chip, ticks_by: TicksBy) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let folder = Durable::open(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
        let path = folder.root().join(name);
        let state = match fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::new(chip, ticks_by()),
            Err(error) => return Err(error),
        };
        if state.chip != chip {
            let message = format!("{} is a {}, not a {}", path.display(), state.chip.name(), chip.name());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let file = Self { path, folder, state, ticks_by, pointer: 0, faults: Faults::default() };
        file.save()?;
        Ok(file)
    }

    /// As [`open`](Self::open), ticking by the clock of the machine.
    ///
    /// # Errors
    /// As above.
    pub fn open_by_wall_clock(path: &Path, chip: Chip) -> io::Result<Self> {
        Self::open(path, chip, Arc::new(|| jiff::Timestamp::now().as_microsecond()))
    }

    /// Lets the battery run out: the chip has no time until it is written again.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn lose_power(&mut self) -> io::Result<()> {
        self.state = State::new(self.state.chip, (self.ticks_by)());
        self.save()
    }

    fn save(&self) -> io::Result<()> {
        self.folder.publish(&self.path, &serde_json::to_vec_pretty(&self.state)?, IfExists::Replace)
    }

    fn answer(&mut self) -> io::Result<()> {
        if self.faults.is_dead {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.state.go_on((self.ticks_by)(), self.faults.drift_ppm);
        Ok(())
    }

    fn read_from(&mut self, register: u8, count: usize) -> io::Result<Vec<u8>> {
        self.answer()?;
        let mut registers = self.state.registers;
        if std::mem::take(&mut self.faults.tears) {
            let seconds = usize::from(self.state.chip.seconds_register());
            self.state.advance(1);
            self.state.began_us += SECOND_US;
            let torn = registers[seconds];
            registers = self.state.registers;
            registers[seconds] = torn;
        }
        let first = usize::from(register);
        Ok((first..first + count).map(|index| registers[index % REGISTERS]).collect())
    }
}

impl I2CDevice for RegisterFile {
    type Error = io::Error;

    fn read(&mut self, data: &mut [u8]) -> io::Result<()> {
        let bytes = self.read_from(self.pointer, data.len())?;
        data.copy_from_slice(&bytes);
        Ok(())
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.answer()?;
        let Some((register, bytes)) = data.split_first() else { return Ok(()) };
        self.pointer = *register;
        if bytes.is_empty() || self.faults.forgets {
            return Ok(());
        }
        self.state.write(*register, bytes, (self.ticks_by)());
        self.save()
    }

    fn smbus_read_i2c_block_data(&mut self, register: u8, len: u8) -> io::Result<Vec<u8>> {
        self.read_from(register, usize::from(len))
    }

    fn smbus_write_i2c_block_data(&mut self, register: u8, values: &[u8]) -> io::Result<()> {
        let bytes: Vec<u8> = std::iter::once(register).chain(values.iter().copied()).collect();
        self.write(&bytes)
    }

    fn smbus_write_quick(&mut self, _bit: bool) -> io::Result<()> {
        self.answer()
    }

    fn smbus_read_block_data(&mut self, _register: u8) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn smbus_write_block_data(&mut self, _register: u8, _values: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn smbus_process_block(&mut self, _register: u8, _values: &[u8]) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl State {
    /// What the datasheets say that a chip holds when power first comes.
    fn new(chip: Chip, now_us: i64) -> Self {
        let mut registers = [0; REGISTERS];
        let set: &[(usize, u8)] = match chip {
            Chip::Ds3231 => &[(0x03, 1), (0x04, 1), (0x05, 1), (0x0E, 0x1C), (0x0F, 0x88), (0x11, 0x19)],
            Chip::Ds1307 => &[(0x00, 0x80), (0x03, 1), (0x04, 1), (0x05, 1)],
            Chip::Pcf8523 => &[(0x02, 0xE0), (0x03, 0x80), (0x06, 1), (0x07, 6), (0x08, 1)],
        };
        for (register, byte) in set {
            registers[*register] = *byte;
        }
        Self { chip, registers, began_us: now_us }
    }

    /// Brings the registers up to now.
    fn go_on(&mut self, now_us: i64, drift_ppm: f64) {
        if !self.chip.counts(&self.registers) {
            self.began_us = now_us;
            return;
        }
        let length_us = SECOND_US as f64 / (1.0 + drift_ppm / 1e6);
        let seconds = whole((now_us - self.began_us) as f64 / length_us);
        if seconds > 0 {
            self.advance(seconds);
            self.began_us += whole(seconds as f64 * length_us);
        }
    }

    /// Whatever is no date does not advance, and neither does the last second of the century. The flags stay.
    fn advance(&mut self, seconds: i64) {
        let shown = self.chip.time(&self.registers).map(CapturedAt::as_micros);
        let later = shown.and_then(|us| CapturedAt::from_micros(us.saturating_add(seconds.saturating_mul(SECOND_US))));
        let Some(time) = later.and_then(|at| self.chip.time_bytes(at)) else { return };
        let first = usize::from(self.chip.seconds_register());
        let flag = self.registers[first] & 0x80;
        self.registers[first..first + time.len()].copy_from_slice(&time);
        self.registers[first] |= flag;
    }

    fn write(&mut self, register: u8, bytes: &[u8], now_us: i64) {
        let counted = self.chip.counts(&self.registers);
        for (index, byte) in (usize::from(register)..).zip(bytes) {
            self.registers[index % REGISTERS] = *byte;
        }
        let seconds = self.chip.seconds_register();
        let has_seconds = (usize::from(register)..usize::from(register) + bytes.len()).contains(&usize::from(seconds));
        match self.chip {
            Chip::Ds3231 | Chip::Ds1307 if has_seconds => self.began_us = now_us,
            Chip::Pcf8523 if !counted && self.chip.counts(&self.registers) => {
                self.began_us = now_us - (SECOND_US - PCF8523_FIRST_TICK_US);
            }
            _ => (),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a span in a test or a rehearsal, far below 2^53")]
fn whole(value: f64) -> i64 {
    value.floor() as i64
}

/// Time that passes only when somebody waits.
#[cfg(test)]
pub(crate) mod testing {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use super::super::rtc::Timer;
    use super::*;

    #[derive(Clone)]
    pub(crate) struct VirtualTime(Arc<AtomicI64>);

    impl VirtualTime {
        pub(crate) fn at(text: &str) -> Self {
            let start: CapturedAt = text.parse().unwrap();
            Self(Arc::new(AtomicI64::new(start.as_micros())))
        }

        pub(crate) fn now_us(&self) -> i64 {
            self.0.load(Ordering::SeqCst)
        }

        pub(crate) fn pass(&self, span: Duration) {
            self.0.fetch_add(i64::try_from(span.as_micros()).unwrap(), Ordering::SeqCst);
        }

        /// A chip in the folder that ticks by this time.
        pub(crate) fn chip(&self, folder: &Path, chip: Chip) -> RegisterFile {
            let time = self.clone();
            RegisterFile::open(&folder.join("rtc.json"), chip, Arc::new(move || time.now_us())).unwrap()
        }
    }

    impl Timer for VirtualTime {
        fn elapsed(&self) -> Duration {
            Duration::from_micros(u64::try_from(self.now_us()).unwrap())
        }

        fn sleep(&self, span: Duration) {
            self.pass(span);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::testing::VirtualTime;
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    /// The three bytes of the time of day in a DS3231.
    fn time_of_day(file: &mut RegisterFile) -> [u8; 3] {
        file.smbus_read_i2c_block_data(0x00, 3).unwrap().try_into().unwrap()
    }

    #[test]
    fn it_goes_on_while_it_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let time = VirtualTime::at("2026-06-01T00:00:00.250Z");
        let mut file = time.chip(folder.path(), Chip::Ds3231);
        file.write(&[0x00, 0x58, 0x59, 0x23, 0x02, 0x31, 0x12, 0x26]).unwrap();
        time.pass(Duration::from_millis(999));
        assert_eq!(time_of_day(&mut file), [0x58, 0x59, 0x23], "writing began the second anew");
        drop(file);
        time.pass(Duration::from_millis(1_001));
        let mut file = time.chip(folder.path(), Chip::Ds3231);
        let after = file.smbus_read_i2c_block_data(0x00, 7).unwrap();
        assert_eq!(after, [0x00, 0x00, 0x00, 0x06, 0x01, 0x01, 0x27], "New Year's day is a Friday");
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let time = VirtualTime::at("2026-06-01T00:00:00Z");
        drop(time.chip(folder.path(), Chip::Ds3231));
        let path = folder.path().join("rtc.json");
        let error = RegisterFile::open_by_wall_clock(&path, Chip::Ds1307).err().unwrap();
        assert!(error.to_string().ends_with("is a ds3231, not a ds1307"), "{error}");
        fs::write(&path, "{}").unwrap();
        assert!(RegisterFile::open_by_wall_clock(&path, Chip::Ds3231).is_err());
    }

    #[test]
    fn it_drifts_as_told() {
        let folder = tempfile::tempdir().unwrap();
        for (drift_ppm, expected) in
            [(0.0, [0x00, 0x00, 0x00]), (20.0, [0x01, 0x00, 0x00]), (-20.0, [0x58, 0x59, 0x23])]
        {
            let time = VirtualTime::at("2026-06-01T00:00:00Z");
            let mut file = time.chip(folder.path(), Chip::Ds3231);
            file.write(&[0x00, 0x00, 0x00, 0x00, 0x02, 0x01, 0x06, 0x26]).unwrap();
            file.faults.drift_ppm = drift_ppm;
            // 20 ppm are 1.728 s in a day, however often it is looked at.
            for _ in 0..24 {
                time.pass(DAY / 24);
                time_of_day(&mut file);
            }
            assert_eq!(time_of_day(&mut file), expected, "{drift_ppm}");
        }
    }

    #[test]
    fn a_pcf8523_first_ticks_half_a_second_after_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let time = VirtualTime::at("2026-06-01T00:00:00Z");
        let mut file = time.chip(folder.path(), Chip::Pcf8523);
        let seconds = |file: &mut RegisterFile| file.smbus_read_i2c_block_data(0x03, 1).unwrap()[0];
        file.write(&[0x00, 0x20]).unwrap();
        file.write(&[0x03, 0x10]).unwrap();
        time.pass(DAY);
        assert_eq!(seconds(&mut file), 0x10, "it is held");
        file.write(&[0x00, 0x00]).unwrap();
        time.pass(Duration::from_millis(499));
        assert_eq!(seconds(&mut file), 0x10);
        time.pass(Duration::from_millis(1));
        assert_eq!(seconds(&mut file), 0x11);
        time.pass(Duration::from_millis(1_000));
        assert_eq!(seconds(&mut file), 0x12);
    }

    #[test]
    fn it_can_be_dead_or_empty() {
        let folder = tempfile::tempdir().unwrap();
        let time = VirtualTime::at("2026-06-01T00:00:00Z");
        let mut file = time.chip(folder.path(), Chip::Ds3231);
        file.write(&[0x0F, 0x00]).unwrap();
        file.lose_power().unwrap();
        let mut status = [0];
        file.write(&[0x0F]).unwrap();
        file.read(&mut status).unwrap();
        assert_eq!(status, [0x88]);
        file.faults.is_dead = true;
        assert!(file.write(&[0x0F]).is_err() && file.read(&mut status).is_err());
    }
}
