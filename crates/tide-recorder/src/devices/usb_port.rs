//! A USB device taken off its port and put back by the kernel, as if somebody had pulled its plug: for cameras that have hung
//! themselves up. It needs the right to write to sysfs, that is root, or a udev rule that gives the station's user the file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Where the kernel lists its devices.
pub(super) const SYSFS: &str = "/sys";

/// How long the device stays off. Ours: drivers let go of it meanwhile.
const OFF: Duration = Duration::from_millis(500);

/// The switch of the USB device that owns a video device (`/dev/video0`, or a link to it): its file `authorized` in sysfs
/// (kernel documentation, usb/authorization).
///
/// # Errors
/// If there is no such video device, or it is on no USB port.
pub(super) fn switch_of(video: &Path, sysfs: &Path) -> io::Result<PathBuf> {
    let video = fs::canonicalize(video)?;
    let name = video.file_name().ok_or(io::ErrorKind::NotFound)?;
    let mut folder = fs::canonicalize(sysfs.join("class/video4linux").join(name).join("device"))?;
    // The interfaces within a device have an `authorized` too; only the device has a vendor.
    while !(folder.join("idVendor").exists() && folder.join("authorized").exists()) {
        folder =
            folder.parent().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it is on no USB port"))?.to_owned();
    }
    Ok(folder.join("authorized"))
}

/// Off and on again.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn off_and_on(switch: &Path) -> io::Result<()> {
    fs::write(switch, "0")?;
    thread::sleep(OFF);
    fs::write(switch, "1")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A machine with a camera on port 1-1: its `/sys`, and its video device by a name of its own.
    fn machine() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let (sysfs, dev) = (root.path().join("sys"), root.path().join("dev"));
        let port = sysfs.join("devices/usb1/1-1");
        let interface = port.join("1-1:1.0");
        for folder in [&interface.join("video4linux/video0"), &sysfs.join("class/video4linux"), &dev.join("by-id")] {
            fs::create_dir_all(folder).unwrap();
        }
        for file in [port.join("idVendor"), port.join("authorized"), interface.join("authorized"), dev.join("video0")] {
            fs::write(file, "1").unwrap();
        }
        symlink(&interface, interface.join("video4linux/video0/device")).unwrap();
        symlink(interface.join("video4linux/video0"), sysfs.join("class/video4linux/video0")).unwrap();
        symlink(dev.join("video0"), dev.join("by-id/camera")).unwrap();
        (root, sysfs, dev)
    }

    #[test]
    fn the_device_is_switched_and_not_one_of_its_interfaces() {
        let (_root, sysfs, dev) = machine();
        for name in ["video0", "by-id/camera"] {
            let switch = switch_of(&dev.join(name), &sysfs).unwrap();
            assert!(switch.ends_with("usb1/1-1/authorized"), "{}", switch.display());
        }
    }

    #[test]
    fn what_is_on_no_port_is_not_switched() {
        let (_root, sysfs, dev) = machine();
        assert_eq!(switch_of(&dev.join("video1"), &sysfs).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::remove_file(sysfs.join("devices/usb1/1-1/idVendor")).unwrap();
        assert!(switch_of(&dev.join("video0"), &sysfs).unwrap_err().to_string().contains("no USB port"));
    }

    #[test]
    fn a_switch_that_was_off_is_on_again() {
        let (_root, sysfs, dev) = machine();
        let switch = switch_of(&dev.join("video0"), &sysfs).unwrap();
        fs::write(&switch, "0").unwrap();
        off_and_on(&switch).unwrap();
        assert_eq!(fs::read_to_string(&switch).unwrap(), "1");
    }
}
