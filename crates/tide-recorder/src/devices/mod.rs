//! The only place where a device is opened: one trait per device, one small adapter per kind.

mod adjtimex;
pub mod camera;
pub mod clock;
pub mod replay;
pub mod synthetic;
mod timesync_report;
