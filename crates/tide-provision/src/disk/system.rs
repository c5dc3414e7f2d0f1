//! Which disk the system is on, and what the kernel knows of disks. All of it is read from `/proc` and `/sys`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The unit of sizes in `/sys`, whatever the disk's own sectors are.
const KERNEL_SECTOR_BYTES: u64 = 512;

/// A block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    /// Its folder in `/sys`.
    folder: PathBuf,
    /// Its node in `/dev`.
    pub(super) node: PathBuf,
    /// `MAJOR:MINOR`.
    pub(super) number: String,
    /// How large it is.
    pub(super) size_bytes: u64,
}

impl Device {
    /// The disk with the partition that is mounted as `/`.
    pub(super) fn of_root() -> anyhow::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("failed to read /proc/self/mountinfo")?;
        let number = mounted_at(&mounts, "/").context("nothing is mounted as /")?;
        let folder = fs::canonicalize(format!("/sys/dev/block/{number}")).with_context(|| {
            format!("what is mounted as / ({number}) is no partition of a disk; name the disk by --disk")
        })?;
        match folder.parent() {
            Some(disk) if folder.join("partition").exists() => Self::read(disk),
            _ => bail!("{} is mounted as / and is no partition; name the disk by --disk", folder.display()),
        }
    }

    /// The device of a node.
    pub(super) fn of_node(node: &Path) -> anyhow::Result<Self> {
        let node = node.canonicalize().with_context(|| format!("there is no {}", node.display()))?;
        let name = node.file_name().context("a disk has a name")?;
        Self::read(&Path::new("/sys/class/block").join(name)).with_context(|| format!("{} is no disk", node.display()))
    }

    fn read(folder: &Path) -> anyhow::Result<Self> {
        let uevent = read(&folder.join("uevent"))?;
        let name = uevent.lines().find_map(|line| line.strip_prefix("DEVNAME="));
        let node = Path::new("/dev").join(name.with_context(|| format!("{} has no node", folder.display()))?);
        let size_bytes = number(&folder.join("size"))? * KERNEL_SECTOR_BYTES;
        Ok(Self { folder: folder.to_owned(), node, number: read(&folder.join("dev"))?, size_bytes })
    }

    /// The partition of this number that the kernel knows, and where it begins.
    pub(super) fn partition(&self, wanted: u32) -> anyhow::Result<Option<(Self, u64)>> {
        let entries =
            fs::read_dir(&self.folder).with_context(|| format!("failed to read {}", self.folder.display()))?;
        for entry in entries {
            let folder = entry?.path();
            if folder.join("partition").exists() && number(&folder.join("partition"))? == u64::from(wanted) {
                let start_bytes = number(&folder.join("start"))? * KERNEL_SECTOR_BYTES;
                return Ok(Some((Self::read(&folder)?, start_bytes)));
            }
        }
        Ok(None)
    }

    /// Where it is mounted.
    pub(super) fn mounted_at(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("failed to read /proc/self/mountinfo")?;
        let is_ours = |line: &&str| line.split(' ').nth(2) == Some(&self.number);
        Ok(mounts.lines().filter(is_ours).filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect())
    }
}

/// The `MAJOR:MINOR` of what is mounted there: the last line counts, since one may be mounted over another.
fn mounted_at<'a>(mounts: &'a str, place: &str) -> Option<&'a str> {
    let mut lines = mounts.lines().rev().map(|line| line.split(' '));
    lines.find(|fields| fields.clone().nth(4) == Some(place))?.nth(2)
}

fn number(file: &Path) -> anyhow::Result<u64> {
    read(file)?.parse().with_context(|| format!("{} holds no number", file.display()))
}

fn read(file: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_what_was_mounted_last() {
        let mounts = "1 1 0:2 / / rw - rootfs rootfs rw\n\
                      24 1 179:2 / / ro,relatime shared:1 - ext4 /dev/root ro\n\
                      30 24 179:1 / /boot/firmware ro - vfat /dev/mmcblk0p1 ro\n";
        assert_eq!(mounted_at(mounts, "/"), Some("179:2"));
        assert_eq!(mounted_at(mounts, "/boot/firmware"), Some("179:1"));
        assert_eq!(mounted_at(mounts, "/data"), None);
    }
}
