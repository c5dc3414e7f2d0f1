//! The only place where a device is opened: one trait per device, one small adapter per kind.

pub mod auto_receiver;
pub mod boot_clock;
pub mod clock;
pub mod gpsd_receiver;
pub mod keepers;
pub mod kernel_clock;
mod pulse;
pub mod receiver;
pub mod rehearsed_clock;
pub mod rtc;
pub mod rtc_file;
pub mod rtc_i2c;
#[cfg(target_os = "linux")]
pub mod rtc_kernel;
pub mod serial_receiver;
