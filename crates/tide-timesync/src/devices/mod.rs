//! The only place where a device is opened: one trait per device, one small adapter per kind.

pub mod clock;
pub mod keepers;
pub mod kernel_clock;
pub mod rehearsed_clock;
