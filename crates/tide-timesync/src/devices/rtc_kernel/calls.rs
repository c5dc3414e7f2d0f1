//! The three calls of `linux/rtc.h` that are needed, which no maintained crate wraps.

use std::fs::File;
use std::io;

use rustix::ioctl::{self, Getter, Opcode, Setter, opcode};

/// `struct rtc_time`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RtcTime {
    pub(super) tm_sec: i32,
    pub(super) tm_min: i32,
    pub(super) tm_hour: i32,
    pub(super) tm_mday: i32,
    pub(super) tm_mon: i32,
    pub(super) tm_year: i32,
    pub(super) tm_wday: i32,
    pub(super) tm_yday: i32,
    pub(super) tm_isdst: i32,
}

const RTC_RD_TIME: Opcode = opcode::read::<RtcTime>(b'p', 0x09);
const RTC_SET_TIME: Opcode = opcode::write::<RtcTime>(b'p', 0x0A);
const RTC_VL_READ: Opcode = opcode::read::<u32>(b'p', 0x13);

/// What the RTC shows.
pub(super) fn read_time(device: &File) -> io::Result<RtcTime> {
    // SAFETY: RTC_RD_TIME fills in one `struct rtc_time`, which `RtcTime` is.
    #[expect(unsafe_code, reason = "see the module")]
    let time = unsafe { ioctl::ioctl(device, Getter::<RTC_RD_TIME, RtcTime>::new()) };
    Ok(time?)
}

/// Makes the RTC show this.
pub(super) fn set_time(device: &File, time: RtcTime) -> io::Result<()> {
    // SAFETY: RTC_SET_TIME reads one `struct rtc_time`, which `RtcTime` is.
    #[expect(unsafe_code, reason = "see the module")]
    let set = unsafe { ioctl::ioctl(device, Setter::<RTC_SET_TIME, RtcTime>::new(time)) };
    Ok(set?)
}

/// The bits that tell of a low voltage, from a driver that has them.
pub(super) fn low_voltage(device: &File) -> io::Result<u32> {
    // SAFETY: RTC_VL_READ fills in one unsigned int.
    #[expect(unsafe_code, reason = "see the module")]
    let bits = unsafe { ioctl::ioctl(device, Getter::<RTC_VL_READ, u32>::new()) };
    Ok(bits?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_have_the_kernels_numbers() {
        // As the macros of `linux/rtc.h` make them on x86-64 and arm64.
        assert_eq!((RTC_RD_TIME, RTC_SET_TIME), (0x8024_7009, 0x4024_700A));
        assert_eq!(RTC_VL_READ, 0x8004_7013);
    }

    #[test]
    fn what_is_no_rtc_does_not_answer() {
        let file = tempfile::tempfile().unwrap();
        assert!(read_time(&file).is_err() && low_voltage(&file).is_err());
        assert!(set_time(&file, RtcTime::default()).is_err());
    }
}
