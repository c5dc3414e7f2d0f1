//! The only place where a device is opened: one trait per device, one small adapter per kind.

pub mod rtc;
pub mod rtc_file;
pub mod rtc_i2c;
#[cfg(target_os = "linux")]
pub mod rtc_kernel;
pub mod boot_clock;
pub mod gpsd_receiver;
mod pulse;
pub mod receiver;
pub mod serial_receiver;
