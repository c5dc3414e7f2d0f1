//! Where everything is. A test says so for itself; on a station nothing is ever said.

use std::path::PathBuf;

use clap::Args;

/// Folders and programs of `tide-provision apply`.
#[derive(Debug, Clone, Args)]
pub struct Folders {
    /// The card's FAT partition.
    #[arg(long, hide = true, value_name = "DIR", default_value = "/boot/firmware")]
    pub boot: PathBuf,
    /// What is kept of the settings.
    #[arg(long, hide = true, value_name = "DIR", default_value = "/data/tide")]
    pub data: PathBuf,
    /// What holds until the next boot.
    #[arg(long, hide = true, value_name = "DIR", default_value = "/run/tide")]
    pub run: PathBuf,
    /// The system's time zones.
    #[arg(long, hide = true, value_name = "DIR", default_value = "/usr/share/zoneinfo")]
    pub zoneinfo: PathBuf,
    /// Where the kernel takes the name of the machine.
    #[arg(long, hide = true, value_name = "FILE", default_value = "/proc/sys/kernel/hostname")]
    pub hostname: PathBuf,
    /// Judges the recorder's settings.
    #[arg(long, hide = true, value_name = "FILE", default_value = "/usr/bin/tide-recorder")]
    pub recorder: PathBuf,
    /// Judges those of receiver and clock.
    #[arg(long, hide = true, value_name = "FILE", default_value = "/usr/bin/tide-timesync")]
    pub timesync: PathBuf,
    /// How long a program may take to judge, in seconds. Ours: both do it within a second on a computer, and a card may be slow.
    #[arg(long, hide = true, value_name = "SECONDS", default_value_t = 60)]
    pub limit_s: u64,
}

/// Folders of `tide-provision machine-id`.
#[derive(Debug, Clone, Args)]
pub struct MachineIdPlaces {
    /// What is kept of the settings.
    #[arg(long, hide = true, value_name = "DIR", default_value = "/data/tide")]
    pub data: PathBuf,
    /// The id that systemd gave the machine for this boot.
    #[arg(long, hide = true, value_name = "FILE", default_value = "/etc/machine-id")]
    pub transient: PathBuf,
    /// Where the kernel hands out random ones.
    #[arg(long, hide = true, value_name = "FILE", default_value = "/proc/sys/kernel/random/uuid")]
    pub random: PathBuf,
}
