//! A disk in an image file, whose power can be cut: the file is copied while a program is dead, and the copy holds what the
//! kernel had written to the disk by then.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::mounts::{Mount, copy_image, make_ext4};

/// Size of the disk. What holds nothing takes no room on the real one.
const DISK_BYTES: u64 = 1_024 * 1_024 * 1_024;

/// Tries to copy a disk on which nothing is written meanwhile.
const COPIES: u32 = 50;

/// A disk whose power can be cut. Whatever happens, it is unmounted in the end.
pub(super) struct ImageDisk {
    mount: Option<Mount>,
    folder: TempDir,
    image: PathBuf,
    cuts: u32,
}

impl ImageDisk {
    /// An empty disk, mounted.
    pub(super) fn new() -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tide-disk-")?;
        let image = folder.path().join("image-0");
        make_ext4(&image, DISK_BYTES)?;
        let mut disk = Self { mount: None, folder, image, cuts: 0 };
        fs::create_dir(disk.at())?;
        disk.mount = Some(Mount::image(&disk.image, &disk.at())?);
        Ok(disk)
    }

    fn at(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    /// A folder on it.
    pub(super) fn data(&self) -> PathBuf {
        self.at().join("data")
    }

    /// How often its power was cut.
    pub(super) fn cuts(&self) -> u32 {
        self.cuts
    }

    /// Leaves the disk as it is, takes a copy, and goes on with that.
    pub(super) fn cut_power(&mut self) -> anyhow::Result<()> {
        self.cuts += 1;
        let copy = self.folder.path().join(format!("image-{}", self.cuts));
        self.copy_of_one_instant(&copy)?;
        // What the kernel writes now goes to the old image, and is gone with it.
        self.mount = None;
        fs::remove_file(&self.image)?;
        self.image = copy;
        self.mount = Some(Mount::image(&self.image, &self.at())?);
        Ok(())
    }

    /// A file system writes when it pleases; a copy during which it did would be of no instant at all.
    fn copy_of_one_instant(&self, copy: &Path) -> anyhow::Result<()> {
        let mount = self.mount.as_ref().context("the disk is not mounted")?;
        for _ in 0..COPIES {
            let before = mount.writes()?;
            copy_image(&self.image, copy)?;
            if before.1 == 0 && mount.writes()? == before {
                return Ok(());
            }
        }
        bail!("the disk is never quiet enough to be copied")
    }
}
