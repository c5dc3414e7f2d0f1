//! The only place where a device is opened: one trait per device, one small adapter per kind.

mod adjtimex;
pub mod camera;
pub mod clock;
pub mod flash;
pub mod hurry;
pub mod machine;
mod program;
mod program_photo;
pub mod replay;
pub mod rescue;
pub mod rpicam;
pub mod synthetic;
mod timesync_report;
pub mod usb;
mod usb_port;
