//! An RTC that a driver of the kernel has: `/dev/rtcN`, chosen by its driver's or its chip's name, since the number depends on
//! which driver came first.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use tide_photo::CapturedAt;

use super::rtc::{MachineTimer, Rtc, RtcError, Timer};
use crate::rtc::RtcReading;
use crate::rtc::chip::{NoTime, NotHeld};
use crate::rtc::second::wait_for_tick;

mod calls;

/// An RTC as sysfs describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    /// `rtc0`.
    device: String,
    /// The driver and its device: `rtc-ds1307 1-0068`.
    name: String,
    /// The chip, where it is on a bus: `ds3231`.
    chip: Option<String>,
    kernel_may_write_it: bool,
    /// Where a driver with a thermometer shows it.
    folder: PathBuf,
}

/// Chips with a battery of their own, by their names or their drivers'.
const WITH_BATTERY: [&str; 14] = [
    "abx80x", "ds1307", "ds1338", "ds1339", "ds3231", "ds3232", "m41t80", "mcp794", "pcf2127", "pcf8523", "pcf85063",
    "pcf8563", "rv3028", "rv8803",
];

/// Clocks of the board itself: on a Pi 5 the battery is an extra that most lack; on a PC or a virtual machine there is no other.
const OF_THE_BOARD: [&str; 4] = ["rpi-rtc", "rtc_cmos", "rtc-pl031", "rtc-efi"];

/// Where chips and drivers start to count from when they have lost their time: 1970, 2000 or some way on. Nothing of ours ran
/// before this, 2020-01-01. The DS3231's driver itself clears the flag that tells of it, so that the time has to.
const LOST_BEFORE_US: i64 = 1_577_836_800_000_000;

/// How long the kernel takes to hand a time to a chip over a bus (its own guess, in `drivers/rtc/class.c`).
const TRANSPORT_US: i64 = 5_000;

/// How long a second has been over for a chip that first ticks half a second after it is set.
const HALF_A_SECOND_US: i64 = 500_000;

/// `RTC_VL_DATA_INVALID`, and what says that the battery is low or empty (`linux/rtc.h`).
const VL_DATA_INVALID: u32 = 0x01;
const VL_BACKUP: u32 = 0x06;

/// An RTC with a driver in the kernel. Its device is open only while it is used, so that `hwclock` can have it too.
pub struct KernelRtc {
    found: Found,
    device: PathBuf,
    timer: Arc<dyn Timer>,
}

impl KernelRtc {
    /// The RTC among those below `sysfs` (`/sys`) that `wanted` names, or else the likeliest to have a battery; its device is in
    /// `dev` (`/dev`).
    ///
    /// # Errors
    /// If there is none, or several of that name.
    pub fn choose(sysfs: &Path, dev: &Path, wanted: Option<&str>) -> Result<Self, RtcError> {
        let found = choose(list(&sysfs.join("class/rtc")), wanted)?;
        Ok(Self { device: dev.join(&found.device), found, timer: Arc::new(MachineTimer::default()) })
    }

    fn shown(&self, device: &File) -> Result<CapturedAt, RtcError> {
        self.judge(&calls::read_time(device).map_err(|source| self.explain(source))?)
    }

    fn judge(&self, fields: &calls::RtcTime) -> Result<CapturedAt, RtcError> {
        let Some(at) = moment(fields) else {
            let reason = NoTime::Impossible(format!("{fields:?}"));
            return Err(RtcError::NoTime { name: self.name(), reason });
        };
        if at.as_micros() < LOST_BEFORE_US {
            return Err(RtcError::LostTime { name: self.name(), at });
        }
        Ok(at)
    }

    /// Drivers answer EINVAL when the chip says that it has stopped, or holds no date.
    fn explain(&self, source: io::Error) -> RtcError {
        let name = self.name();
        match source.raw_os_error() {
            Some(libc::EINVAL) => RtcError::NoTime { name, reason: NoTime::Stopped },
            Some(libc::ENXIO | libc::EREMOTEIO | libc::ENODEV) => RtcError::Absent(format!("{name} does not answer")),
            _ => RtcError::Unreadable { name, source },
        }
    }
}

impl Rtc for KernelRtc {
    fn name(&self) -> String {
        let Found { name, chip, .. } = &self.found;
        let what = chip.as_ref().map_or_else(|| name.clone(), |chip| format!("{chip} with {name}"));
        format!("{what} ({})", self.device.display())
    }

    fn read(&mut self) -> Result<RtcReading, RtcError> {
        let device = File::open(&self.device).map_err(|source| self.explain(source))?;
        let voltage = calls::low_voltage(&device).ok();
        if voltage.is_some_and(|bits| bits & VL_DATA_INVALID != 0) {
            return Err(RtcError::NoTime { name: self.name(), reason: NoTime::Stopped });
        }
        let first = self.shown(&device)?;
        let tick = wait_for_tick(|| self.shown(&device), || self.timer.elapsed(), |span| self.timer.sleep(span))?;
        let (at, uncertainty) = tick.ok_or_else(|| RtcError::StandsStill { name: self.name(), at: first })?;
        Ok(RtcReading { at, uncertainty, battery_is_low: voltage.map(|bits| bits & VL_BACKUP != 0) })
    }

    fn write(&mut self, at: CapturedAt) -> Result<(), RtcError> {
        let unwritable = |source| RtcError::Unwritable { name: self.name(), source };
        let fields = fields(at).ok_or_else(|| RtcError::NotHeld { name: self.name(), reason: NotHeld(at) })?;
        let device = File::open(&self.device).map_err(unwritable)?;
        calls::set_time(&device, fields).map_err(unwritable)
    }

    fn write_lead_us(&self) -> i64 {
        lead_us(&self.found.name)
    }

    fn temperature_c(&mut self) -> Option<f32> {
        temperature_c(&self.found.folder)
    }

    fn kernel_may_write_it(&self) -> bool {
        self.found.kernel_may_write_it
    }
}

/// Every RTC in the folder, in the order of their names; none if the folder cannot be read.
fn list(class: &Path) -> Vec<Found> {
    let entries = fs::read_dir(class).into_iter().flatten().flatten();
    let mut all: Vec<Found> = entries.filter_map(|entry| describe(&entry.path())).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

fn describe(folder: &Path) -> Option<Found> {
    let text = |file: &str| Some(fs::read_to_string(folder.join(file)).ok()?.trim().to_owned());
    let device = folder.file_name()?.to_str()?.to_owned();
    // `hctosys` tells which RTC the clock was set from at boot. The one that is set from the clock is `rtc0`, unless the
    // kernel was built otherwise; that of a Pi is built without the former, and has the latter.
    let kernel_may_write_it = device == "rtc0" || text("hctosys").as_deref() == Some("1");
    Some(Found {
        device,
        name: text("name")?,
        chip: text("device/name"),
        kernel_may_write_it,
        folder: folder.to_owned(),
    })
}

fn choose(all: Vec<Found>, wanted: Option<&str>) -> Result<Found, RtcError> {
    let Some(wanted) = wanted else {
        let best = all.into_iter().min_by_key(rank);
        return best.ok_or_else(|| RtcError::Absent("the kernel has a driver for none".to_owned()));
    };
    let names: Vec<String> = all.iter().map(|found| found.name.clone()).collect();
    let mut fitting = all.into_iter().filter(|found| is_called(found, wanted));
    match (fitting.next(), fitting.next()) {
        (Some(found), None) => Ok(found),
        (Some(first), Some(second)) => {
            let names = [first, second].into_iter().chain(fitting).map(|found| format!("`{}`", found.name)).collect();
            Err(RtcError::Ambiguous { wanted: wanted.to_owned(), names })
        }
        (None, _) if names.is_empty() => Err(RtcError::Absent("the kernel has a driver for none".to_owned())),
        (None, _) => Err(RtcError::Absent(format!("none is called `{wanted}`, only {}", names.join(", ")))),
    }
}

fn is_called(found: &Found, wanted: &str) -> bool {
    let wanted = wanted.to_lowercase();
    [Some(&found.name), found.chip.as_ref()].into_iter().flatten().any(|name| name.to_lowercase().contains(&wanted))
}

/// The likelier to have a battery, the lower.
fn rank(found: &Found) -> u8 {
    let is_one_of = |names: &[&str]| names.iter().any(|name| is_called(found, name));
    if is_one_of(&WITH_BATTERY) {
        0
    } else if is_one_of(&OF_THE_BOARD) {
        2
    } else {
        1
    }
}

/// A PC's clock ticks half a second after it is set, and so do the chips that are held while they are set (their datasheets,
/// "STOP bit function"); with all others a second begins when it is written.
fn lead_us(name: &str) -> i64 {
    if name.starts_with("rtc_cmos") {
        -HALF_A_SECOND_US
    } else if ["rtc-pcf8523", "rtc-pcf85063"].iter().any(|driver| name.starts_with(driver)) {
        TRANSPORT_US - HALF_A_SECOND_US
    } else {
        TRANSPORT_US
    }
}

fn temperature_c(folder: &Path) -> Option<f32> {
    let mut monitors = fs::read_dir(folder.join("device/hwmon")).ok()?.flatten();
    let text = monitors.find_map(|monitor| fs::read_to_string(monitor.path().join("temp1_input")).ok())?;
    let thousandths: i32 = text.trim().parse().ok()?;
    // Outside this a sensor is broken, and far within it every degree has an exact f32.
    (-100_000..200_000).contains(&thousandths).then_some(thousandths as f32 / 1_000.0)
}

/// The kernel counts months from 0 and years from 1900.
fn moment(fields: &calls::RtcTime) -> Option<CapturedAt> {
    let small = |value: i32| i8::try_from(value).ok();
    let year = i16::try_from(fields.tm_year.checked_add(1900)?).ok()?;
    let (month, day) = (small(fields.tm_mon.checked_add(1)?)?, small(fields.tm_mday)?);
    let (hour, minute, second) = (small(fields.tm_hour)?, small(fields.tm_min)?, small(fields.tm_sec)?);
    let time = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    CapturedAt::from_micros(TimeZone::UTC.to_timestamp(time).ok()?.as_microsecond())
}

fn fields(at: CapturedAt) -> Option<calls::RtcTime> {
    let time = TimeZone::UTC.to_datetime(jiff::Timestamp::from_microsecond(at.as_micros()).ok()?);
    Some(calls::RtcTime {
        tm_sec: time.second().into(),
        tm_min: time.minute().into(),
        tm_hour: time.hour().into(),
        tm_mday: time.day().into(),
        tm_mon: i32::from(time.month()) - 1,
        tm_year: i32::from(time.year()) - 1900,
        tm_wday: time.weekday().to_sunday_zero_offset().into(),
        ..calls::RtcTime::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine's RTCs: number, driver and device, chip, `hctosys`.
    type Machine = [(u32, &'static str, Option<&'static str>, bool)];

    const PI_5: &Machine = &[(0, "rpi-rtc soc:rpi_rtc", None, false), (1, "rtc-ds1307 1-0068", Some("ds3231"), false)];
    const PC: &Machine = &[(0, "rtc_cmos rtc_cmos", None, true)];
    const TWO_ALIKE: &Machine =
        &[(0, "rtc-ds1307 3-0068", Some("ds1307"), false), (1, "rtc-ds1307 1-0068", Some("ds3231"), true)];

    fn chosen(machine: &Machine, wanted: Option<&str>) -> Result<String, String> {
        let root = tempfile::tempdir().unwrap();
        for (number, name, chip, hctosys) in machine {
            let folder = root.path().join(format!("class/rtc/rtc{number}"));
            fs::create_dir_all(folder.join("device/hwmon/hwmon2")).unwrap();
            fs::write(folder.join("name"), format!("{name}\n")).unwrap();
            fs::write(folder.join("hctosys"), format!("{}\n", u8::from(*hctosys))).unwrap();
            if let Some(chip) = chip {
                fs::write(folder.join("device/name"), format!("{chip}\n")).unwrap();
                fs::write(folder.join("device/hwmon/hwmon2/temp1_input"), "-9500\n").unwrap();
            }
        }
        let mut rtc = KernelRtc::choose(root.path(), Path::new("/dev"), wanted).map_err(|error| error.to_string())?;
        let kernel = if rtc.kernel_may_write_it() { ", kernel" } else { "" };
        let warm = rtc.temperature_c().map(|celsius| format!(", {celsius}")).unwrap_or_default();
        Ok(format!("{}, {} ms{kernel}{warm}", rtc.name(), rtc.write_lead_us() / 1_000))
    }

    fn check(machine: &Machine, wanted: Option<&str>, expected: &str) {
        assert_eq!(chosen(machine, wanted).unwrap_or_else(|error| error), expected, "{wanted:?}");
    }

    #[test]
    fn the_likeliest_to_have_a_battery_is_chosen() {
        check(PI_5, None, "ds3231 with rtc-ds1307 1-0068 (/dev/rtc1), 5 ms, -9.5");
        check(PC, None, "rtc_cmos rtc_cmos (/dev/rtc0), -500 ms, kernel");
        check(TWO_ALIKE, None, "ds3231 with rtc-ds1307 1-0068 (/dev/rtc1), 5 ms, kernel, -9.5");
        check(&[], None, "there is no RTC: the kernel has a driver for none");
        let unknown = [(0, "rtc_cmos rtc_cmos", None, false), (1, "rtc-new 1-0051", Some("new"), false)];
        check(&unknown, None, "new with rtc-new 1-0051 (/dev/rtc1), 5 ms, -9.5");
        let held = [(1, "rtc-pcf8523 1-0068", Some("pcf8523"), false)];
        check(&held, None, "pcf8523 with rtc-pcf8523 1-0068 (/dev/rtc1), -495 ms, -9.5");
    }

    #[test]
    fn the_settings_choose_by_name() {
        check(PI_5, Some("rpi-rtc"), "rpi-rtc soc:rpi_rtc (/dev/rtc0), 5 ms, kernel");
        for name in ["DS3231", "rtc-ds1307", "1-0068"] {
            check(PI_5, Some(name), "ds3231 with rtc-ds1307 1-0068 (/dev/rtc1), 5 ms, -9.5");
        }
        check(PC, Some("ds3231"), "there is no RTC: none is called `ds3231`, only rtc_cmos rtc_cmos");
        check(&[], Some("ds3231"), "there is no RTC: the kernel has a driver for none");
        check(
            TWO_ALIKE,
            Some("rtc-ds1307"),
            "more than one RTC is called `rtc-ds1307`: set `name` in [rtc] to one of `rtc-ds1307 1-0068`, `rtc-ds1307 3-0068`",
        );
        check(TWO_ALIKE, Some("3-0068"), "ds1307 with rtc-ds1307 3-0068 (/dev/rtc0), 5 ms, kernel, -9.5");
    }

    #[test]
    fn the_kernels_fields_are_a_moment() {
        for text in ["2000-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "2026-06-01T12:00:00Z", "2099-12-31T23:59:59Z"] {
            let at: CapturedAt = text.parse().unwrap();
            assert_eq!(moment(&fields(at).unwrap()), Some(at));
        }
        // A Wednesday.
        let fields = fields("2017-07-19T08:50:01Z".parse().unwrap()).unwrap();
        assert_eq!((fields.tm_year, fields.tm_mon, fields.tm_mday, fields.tm_wday), (117, 6, 19, 3));
        assert_eq!((fields.tm_hour, fields.tm_min, fields.tm_sec), (8, 50, 1));
        for impossible in [
            calls::RtcTime { tm_mday: 32, ..fields },
            calls::RtcTime { tm_mon: 12, ..fields },
            calls::RtcTime { tm_sec: 60, ..fields },
            calls::RtcTime { tm_year: i32::MAX, ..fields },
            calls::RtcTime { tm_year: -1, ..fields },
        ] {
            assert_eq!(moment(&impossible), None, "{impossible:?}");
        }
    }

    fn pcf8523(device: &Path) -> KernelRtc {
        let found = Found {
            device: "rtc0".to_owned(),
            name: "rtc-pcf8523 1-0068".to_owned(),
            chip: None,
            kernel_may_write_it: true,
            folder: PathBuf::new(),
        };
        KernelRtc { found, device: device.to_owned(), timer: Arc::new(MachineTimer::default()) }
    }

    #[test]
    fn a_clock_that_began_anew_has_lost_its_time() {
        let rtc = pcf8523(Path::new("/dev/rtc0"));
        let judged = |text: &str| {
            let at = text.parse().unwrap();
            rtc.judge(&fields(at).unwrap()).map(|at| at.to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(judged("2020-01-01T00:00:00Z").as_deref(), Ok("2020-01-01T00:00:00.000Z"));
        for text in ["1970-01-01T00:00:42.000Z", "2000-01-01T00:01:07.000Z", "2019-12-31T23:59:59.000Z"] {
            let expected = format!("the RTC rtc-pcf8523 1-0068 (/dev/rtc0) has lost its time: it says {text}");
            assert_eq!(judged(text), Err(expected));
        }
        let error = rtc.judge(&calls::RtcTime::default()).unwrap_err();
        assert!(matches!(error, RtcError::NoTime { reason: NoTime::Impossible(_), .. }), "{error}");
    }

    #[test]
    fn what_the_kernel_answers_is_explained() {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("rtc0");
        let mut rtc = pcf8523(&device);
        let explained = |code: i32| rtc.explain(io::Error::from_raw_os_error(code)).to_string();
        assert!(explained(libc::EINVAL).contains("has no time: its oscillator has stopped"));
        assert!(explained(libc::EREMOTEIO).contains("there is no RTC: rtc-pcf8523 1-0068"));
        assert!(explained(libc::EBUSY).starts_with("failed to read the RTC rtc-pcf8523 1-0068"));
        // No device, and then a file that is none.
        for _ in 0..2 {
            assert!(matches!(rtc.read(), Err(RtcError::Unreadable { .. })));
            let at = CapturedAt::from_micros(LOST_BEFORE_US).unwrap();
            assert!(matches!(rtc.write(at), Err(RtcError::Unwritable { .. })));
            fs::write(&device, "").unwrap();
        }
    }
}
