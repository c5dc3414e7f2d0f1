//! What the machine says of itself: memory, heat, supply, disk. All of it is optional: what cannot be read is not known.

use std::fs;
use std::path::{Path, PathBuf};

use tide_photo::status::Room;

/// The machine, as its kernel's files below `/proc` and `/sys` show it.
#[derive(Debug, Clone)]
pub struct Machine {
    root: PathBuf,
}

/// What the bits of the Pi's `get_throttled` mean (Raspberry Pi documentation, `vcgencmd get_throttled`).
const THROTTLING: [(u32, &str); 8] = [
    (0, "under-voltage now"),
    (1, "slowed down by the firmware now"),
    (2, "throttled now"),
    (3, "at its temperature limit now"),
    (16, "under-voltage since it was switched on"),
    (17, "slowed down by the firmware since it was switched on"),
    (18, "throttled since it was switched on"),
    (19, "at its temperature limit since it was switched on"),
];

impl Default for Machine {
    fn default() -> Self {
        Self { root: PathBuf::from("/") }
    }
}

impl Machine {
    /// Memory that programs can have without swapping, and all there is.
    pub fn memory(&self) -> Option<Room> {
        let text = fs::read_to_string(self.root.join("proc/meminfo")).ok()?;
        let bytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1_024)
        };
        Some(Room { free_bytes: bytes("MemAvailable")?, total_bytes: bytes("MemTotal")? })
    }

    /// The first thermal zone's temperature in degrees Celsius: the processor's, on a Pi.
    pub fn temperature_c(&self) -> Option<f32> {
        let text = fs::read_to_string(self.root.join("sys/class/thermal/thermal_zone0/temp")).ok()?;
        let thousandths: i32 = text.trim().parse().ok()?;
        // Outside this a sensor is broken, and far within it every degree has an exact f32.
        (-100_000..200_000).contains(&thousandths).then_some(thousandths as f32 / 1_000.0)
    }

    /// What the Pi's firmware says of supply and heat, in words; nothing on other machines.
    pub fn throttling(&self) -> Vec<String> {
        let bits = self.throttled_bits().unwrap_or_default();
        let set = THROTTLING.iter().filter(|(bit, _)| bits & (1 << bit) != 0);
        set.map(|(_, words)| (*words).to_owned()).collect()
    }

    /// The file lies at another place on each generation of the Pi, but always in a device named so.
    fn throttled_bits(&self) -> Option<u32> {
        let devices = fs::read_dir(self.root.join("sys/bus/platform/devices")).ok()?;
        let firmware = devices.flatten().find(|device| device.file_name().to_string_lossy().ends_with("firmware"))?;
        let text = fs::read_to_string(firmware.path().join("get_throttled")).ok()?;
        u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
    }
}

/// Room on the disk that holds `folder`, as far as users other than root may take it.
pub fn room_on_disk(folder: &Path) -> Option<Room> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    Some(Room { free_bytes: bytes(disk.f_bavail), total_bytes: bytes(disk.f_blocks) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let machine = Machine { root: folder.path().to_owned() };
        (folder, machine)
    }

    #[test]
    fn a_pi_tells_its_heat_its_memory_and_its_supply() {
        let (_folder, pi) = machine(&[
            ("proc/meminfo", "MemTotal:         948344 kB\nMemFree:  100 kB\nMemAvailable:     612345 kB\n"),
            ("sys/class/thermal/thermal_zone0/temp", "51121\n"),
            ("sys/bus/platform/devices/soc:firmware/get_throttled", "50005\n"),
            ("sys/bus/platform/devices/soc:gpiomem/modalias", "of:gpiomem\n"),
        ]);
        assert_eq!(pi.memory(), Some(Room { free_bytes: 612_345 * 1_024, total_bytes: 948_344 * 1_024 }));
        assert_eq!(pi.temperature_c(), Some(51.121));
        assert_eq!(
            pi.throttling(),
            [
                "under-voltage now",
                "throttled now",
                "under-voltage since it was switched on",
                "throttled since it was switched on"
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_known() {
        let (_folder, other) = machine(&[
            ("proc/meminfo", "MemTotal: much\n"),
            ("sys/class/thermal/thermal_zone0/temp", "-274000"),
            ("sys/bus/platform/devices/soc:firmware/get_throttled", "no"),
        ]);
        assert_eq!((other.memory(), other.temperature_c(), other.throttling()), (None, None, vec![]));
        let (_folder, bare) = machine(&[]);
        assert_eq!((bare.memory(), bare.temperature_c(), bare.throttling()), (None, None, vec![]));
    }

    #[test]
    fn this_machine_has_a_disk() {
        let room = room_on_disk(Path::new("/")).unwrap();
        assert!(room.total_bytes > 0 && room.free_bytes <= room.total_bytes, "{room:?}");
        assert_eq!(room_on_disk(Path::new("/nowhere")), None);
    }
}
