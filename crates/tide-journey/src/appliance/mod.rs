//! A station's card, booted in QEMU as the machine of a station: `qemu-system-aarch64 -M virt` with a processor of the kind of a
//! Raspberry Pi 4, 512 MB of memory, an RTC that says 2000, a GPS receiver on USB, and a hardware watchdog. It reaches a real
//! server of ours on this machine, and nothing else of it.
//!
//! ```text
//! image     what `cargo xtask image` has built
//! card      a copy of it that a machine writes to; looked at while the machine is off
//! machine   QEMU: its plugs, its power, its console
//! shell     a root shell for the harness, which only the test variant of the image has (overlays/test)
//! receiver  the GPS receiver on USB
//! stand     the server, and what of it an operator sees
//! write_log what the card had written when the power went, and what it only meant to
//! pi        a Raspberry Pi 3 in QEMU, with programs from the image
//! ```

mod card;
mod image;
mod lines;
mod machine;
mod pi;
mod qmp;
mod receiver;
mod shell;
mod stand;
mod wait;
mod write_log;

pub use card::{Card, Partition, SpoolSeen};
pub use image::Image;
pub use machine::{Disk, Machine, Rtc, TO_BOOT, console_tail};
pub use pi::{ImageFiles, Pi};
pub use qmp::Qmp;
pub use receiver::Receiver;
pub use shell::{Answer, Shell};
pub use stand::{Photo, Stand};
pub use wait::until;
pub use write_log::{Seen, WriteLog};
