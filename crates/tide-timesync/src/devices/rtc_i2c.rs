//! An RTC chip straight on the I2C bus, where no driver of the kernel holds it.

use std::io;
#[cfg(target_os = "linux")]
use std::path::Path;
use std::sync::Arc;

use i2cdev::core::I2CDevice;
#[cfg(target_os = "linux")]
use i2cdev::linux::LinuxI2CDevice;
use tide_photo::CapturedAt;

#[cfg(target_os = "linux")]
use super::rtc::MachineTimer;
use super::rtc::{Rtc, RtcError, Timer};
use crate::rtc::RtcReading;
use crate::rtc::chip::{Chip, Shown};
use crate::rtc::second::wait_for_tick;

/// How often a burst is read again whose seconds changed meanwhile. Ours: once is enough for a clock that ticks once a second.
const BURSTS: usize = 3;

/// What Linux says of an address that is not acknowledged, with some buses' drivers; the others say ENXIO.
const EREMOTEIO: i32 = 121;

/// A chip and the way to it.
pub struct I2cRtc<D> {
    chip: Chip,
    device: D,
    place: String,
    timer: Arc<dyn Timer>,
}

#[cfg(target_os = "linux")]
impl I2cRtc<LinuxI2CDevice> {
    /// The chip at `address` on a bus such as `/dev/i2c-1`. Which chip it is cannot be seen from outside: the settings say so.
    ///
    /// # Errors
    /// If there is no such bus, it may not be opened, or a driver of the kernel has the chip.
    pub fn open(bus: &Path, address: u16, chip: Chip) -> Result<Self, RtcError> {
        let place = format!("{} at {address:#04x}", bus.display());
        let device = LinuxI2CDevice::new(bus, address).map_err(|error| {
            let source = io::Error::from(error);
            match source.raw_os_error() {
                Some(libc::EBUSY) => RtcError::HeldByKernel { bus: bus.to_owned(), address },
                Some(libc::ENOENT | libc::ENXIO | libc::ENODEV) => RtcError::Absent(format!(
                    "{} does not exist (on a Raspberry Pi, `dtparam=i2c_arm=on` makes it)",
                    bus.display()
                )),
                _ => RtcError::Unreadable { name: name(chip, &place), source },
            }
        })?;
        Ok(Self::on(device, chip, place, Arc::new(MachineTimer::default())))
    }
}

impl<D> I2cRtc<D>
where
    D: I2CDevice + Send,
    D::Error: Into<io::Error>,
{
    /// A chip on any device; `place` says where, for people.
    pub fn on(device: D, chip: Chip, place: String, timer: Arc<dyn Timer>) -> Self {
        Self { chip, device, place, timer }
    }

    /// All registers, in one burst during which the seconds did not change.
    fn registers(&mut self) -> Result<Vec<u8>, RtcError> {
        let (count, seconds) = (self.chip.register_count(), self.chip.seconds_register());
        for _ in 0..BURSTS {
            let burst = self.burst(0, count)?;
            let again = self.burst(seconds, 1)?;
            if burst.get(usize::from(seconds)) == again.first() {
                return Ok(burst);
            }
        }
        Err(self.unreadable(io::Error::new(io::ErrorKind::InvalidData, "its seconds change with every reading")))
    }

    fn burst(&mut self, register: u8, count: u8) -> Result<Vec<u8>, RtcError> {
        let bytes = self.device.smbus_read_i2c_block_data(register, count);
        let bytes = bytes.map_err(|error| self.unreadable(error.into()))?;
        if bytes.len() != usize::from(count) {
            return Err(self.unreadable(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(bytes)
    }

    fn shown(&mut self) -> Result<Shown, RtcError> {
        let registers = self.registers()?;
        self.chip.decode(&registers).map_err(|reason| RtcError::NoTime { name: self.name(), reason })
    }

    /// A chip that does not answer is not there: the address is not acknowledged.
    fn unreadable(&self, source: io::Error) -> RtcError {
        match source.raw_os_error() {
            Some(libc::ENXIO | EREMOTEIO) => RtcError::Absent(format!("nothing answers on {}", self.place)),
            _ => RtcError::Unreadable { name: self.name(), source },
        }
    }
}

impl<D> Rtc for I2cRtc<D>
where
    D: I2CDevice + Send,
    D::Error: Into<io::Error>,
{
    fn name(&self) -> String {
        name(self.chip, &self.place)
    }

    fn read(&mut self) -> Result<RtcReading, RtcError> {
        let first = self.shown()?;
        let timer = Arc::clone(&self.timer);
        let tick = wait_for_tick(|| Ok(self.shown()?.at), || timer.elapsed(), |span| timer.sleep(span));
        let (at, uncertainty) = tick?.ok_or_else(|| RtcError::StandsStill { name: self.name(), at: first.at })?;
        Ok(RtcReading { at, uncertainty, battery_is_low: first.battery_is_low })
    }

    fn write(&mut self, at: CapturedAt) -> Result<(), RtcError> {
        let registers = self.burst(0, self.chip.register_count())?;
        let writes = self.chip.writes(&registers, at);
        for write in writes.map_err(|reason| RtcError::NotHeld { name: self.name(), reason })? {
            // On the wire the same as a plain write of register and bytes; this form every adapter knows.
            let written = self.device.smbus_write_i2c_block_data(write.register, &write.bytes);
            written.map_err(|error| RtcError::Unwritable { name: self.name(), source: error.into() })?;
        }
        Ok(())
    }

    fn write_lead_us(&self) -> i64 {
        self.chip.write_lead_us()
    }

    fn temperature_c(&mut self) -> Option<f32> {
        let registers = self.registers().ok()?;
        self.chip.temperature_c(&registers)
    }
}

fn name(chip: Chip, place: &str) -> String {
    format!("{} on {place}", chip.name())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::rtc::{Written, write_on_the_second};
    use super::super::rtc_file::RegisterFile;
    use super::super::rtc_file::testing::VirtualTime;
    use super::*;
    use crate::rtc::chip::ADDRESS;
    use crate::rtc::drift::{Compared, SetRight, drift};

    const CHIPS: [Chip; 3] = [Chip::Ds3231, Chip::Ds1307, Chip::Pcf8523];

    /// A chip in a file, the time it ticks by, and the way to it.
    struct Bench {
        _folder: tempfile::TempDir,
        time: VirtualTime,
        rtc: I2cRtc<RegisterFile>,
    }

    impl Bench {
        /// One whose battery has never been there.
        fn empty(chip: Chip, start: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let time = VirtualTime::at(start);
            let device = time.chip(folder.path(), chip);
            let rtc = I2cRtc::on(device, chip, "a bench".to_owned(), Arc::new(time.clone()));
            Self { _folder: folder, time, rtc }
        }

        /// One that was set right.
        fn right(chip: Chip, start: &str) -> Self {
            let mut bench = Self::empty(chip, start);
            bench.set().unwrap();
            bench
        }

        fn set(&mut self) -> Result<Written, RtcError> {
            write_on_the_second(&mut self.rtc, || self.time.now_us(), |span| self.time.pass(span))
        }

        fn error(&mut self) -> String {
            self.rtc.read().unwrap_err().to_string()
        }
    }

    #[test]
    fn an_empty_chip_has_no_time_until_it_is_set_right() {
        for chip in CHIPS {
            let mut bench = Bench::empty(chip, "2026-12-31T23:59:57.300Z");
            let stopped = "its oscillator has stopped, as it does when the battery is empty";
            assert_eq!(bench.error(), format!("the RTC {} on a bench has no time: {stopped}", chip.name()));
            let written = bench.set().unwrap();
            assert!(written.ahead_us.abs() <= 10_000, "{chip:?} {written:?}");
            bench.time.pass(Duration::from_secs(86_400));
            let reading = bench.rtc.read().unwrap();
            assert!(reading.uncertainty <= Duration::from_millis(8), "{chip:?} {reading:?}");
            let behind_us = bench.time.now_us() - reading.at.as_micros();
            assert!((-5_000..15_000).contains(&behind_us), "{chip:?} {behind_us}");
        }
    }

    #[test]
    fn a_reading_ends_with_the_tick() {
        let mut bench = Bench::right(Chip::Ds3231, "2026-06-01T12:00:00.100Z");
        for wait_ms in [0, 1, 250, 990] {
            bench.time.pass(Duration::from_millis(wait_ms));
            let reading = bench.rtc.read().unwrap();
            let age_us = bench.time.now_us() - reading.at.as_micros();
            assert!((-3_000..=8_000).contains(&age_us), "{age_us} {reading:?}");
        }
    }

    #[test]
    fn ten_days_tell_how_fast_a_chip_runs() {
        for drift_ppm in [2.0, -35.0] {
            let mut bench = Bench::empty(Chip::Ds3231, "2026-06-01T12:00:00.100Z");
            let written = bench.set().unwrap();
            bench.rtc.device.faults.drift_ppm = drift_ppm;
            bench.time.pass(Duration::from_secs(10 * 86_400));
            let reading = bench.rtc.read().unwrap();
            let set = SetRight { at: written.at, uncertainty: Duration::from_millis(10) };
            let now = CapturedAt::from_micros(bench.time.now_us()).unwrap();
            let compared = Compared { at: now, shown: reading.at, uncertainty: reading.uncertainty };
            let told = drift(set, compared, false).unwrap();
            assert!((told.ppm - drift_ppm).abs() <= told.uncertainty_ppm, "{drift_ppm} {told:?}");
            assert!(told.uncertainty_ppm < 0.03, "{told:?}");
        }
    }

    #[test]
    fn a_dead_chip_cannot_be_read_or_written() {
        let mut bench = Bench::right(Chip::Ds3231, "2026-06-01T12:00:00Z");
        bench.rtc.device.faults.is_dead = true;
        assert_eq!(bench.error(), "failed to read the RTC ds3231 on a bench");
        assert!(matches!(bench.set(), Err(RtcError::Unreadable { .. })));
        assert_eq!(bench.rtc.temperature_c(), None);
    }

    #[test]
    fn a_chip_that_keeps_nothing_is_found_out() {
        let mut bench = Bench::right(Chip::Ds3231, "2026-06-01T12:00:00Z");
        bench.time.pass(Duration::from_secs(60));
        // Its time is right, and the clock goes wrong by an hour: what is read back is not what was written.
        bench.rtc.device.faults.forgets = true;
        let ahead_us = 3_600_000_000;
        let set = write_on_the_second(&mut bench.rtc, || bench.time.now_us() + ahead_us, |span| bench.time.pass(span));
        let error = set.unwrap_err().to_string();
        assert!(
            error.starts_with("the RTC ds3231 on a bench did not keep what was written: 2026-06-01T13:"),
            "{error}"
        );
        let mut empty = Bench::empty(Chip::Ds1307, "2026-06-01T12:00:00Z");
        empty.rtc.device.faults.forgets = true;
        assert!(matches!(empty.set(), Err(RtcError::NoTime { .. })));
    }

    #[test]
    fn a_burst_that_spans_a_carry_is_read_again() {
        for chip in CHIPS {
            let mut bench = Bench::right(chip, "2026-12-31T23:59:50Z");
            while bench.rtc.read().unwrap().at.as_micros() % 60_000_000 != 59_000_000 {}
            bench.rtc.device.faults.tears = true;
            let shown = bench.rtc.shown().unwrap().at.to_string();
            assert_eq!(shown, "2027-01-01T00:00:00.000Z", "and not a minute earlier or later: {chip:?}");
        }
    }

    #[test]
    fn a_chip_that_ticks_no_more_stands_still() {
        let mut bench = Bench::right(Chip::Ds3231, "2026-06-01T12:00:00Z");
        // Its crystal has come off: a second lasts a million.
        bench.rtc.device.faults.drift_ppm = -999_999.0;
        let error = bench.error();
        assert!(error.starts_with("the RTC ds3231 on a bench stands still at 2026-06-01T12:00:0"), "{error}");
    }

    #[test]
    fn what_an_rtc_cannot_hold_is_not_written() {
        let mut bench = Bench::empty(Chip::Ds3231, "2100-01-01T00:00:00Z");
        let error = bench.set().unwrap_err().to_string();
        assert!(error.ends_with("an RTC holds the years 2000 to 2099 only, not 2100-01-01T00:00:01.000Z"), "{error}");
    }

    #[test]
    fn only_a_ds3231_has_a_thermometer() {
        let temperatures = CHIPS.map(|chip| Bench::empty(chip, "2026-06-01T12:00:00Z").rtc.temperature_c());
        assert_eq!(temperatures, [Some(25.0), None, None]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_bus_that_is_not_there_is_named() {
        let error = I2cRtc::open(Path::new("/nowhere/i2c-1"), ADDRESS, Chip::Ds3231).err().unwrap();
        assert!(error.to_string().starts_with("there is no RTC: /nowhere/i2c-1 does not exist"), "{error}");
        let held = RtcError::HeldByKernel { bus: "/dev/i2c-1".into(), address: ADDRESS };
        assert!(held.to_string().starts_with("a kernel driver holds the RTC at 0x68 on /dev/i2c-1"), "{held}");
    }
}
