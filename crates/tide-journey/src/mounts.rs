//! File systems of their own, mounted for as long as a value lives. That needs root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::programs::output;

/// A mounted file system.
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    /// A disk in memory of this many bytes.
    ///
    /// # Errors
    /// If it cannot be mounted.
    pub fn tmpfs(at: &Path, bytes: u64) -> anyhow::Result<Self> {
        let options = format!("size={bytes}");
        output(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at))?;
        Ok(Self { at: at.to_owned() })
    }

    /// The file system in an image file, through a loop device that goes with the mount.
    ///
    /// # Errors
    /// If it cannot be mounted.
    pub fn image(image: &Path, at: &Path) -> anyhow::Result<Self> {
        output(Command::new("mount").args(["-o", "loop"]).arg(image).arg(at))?;
        Ok(Self { at: at.to_owned() })
    }

    /// Lets it take writes, or none, while programs use it.
    ///
    /// # Errors
    /// If it cannot be changed: a file is open for writing, for instance.
    pub fn set_read_only(&self, is_read_only: bool) -> anyhow::Result<()> {
        let options = if is_read_only { "remount,ro" } else { "remount,rw" };
        output(Command::new("mount").args(["-o", options]).arg(&self.at)).map(drop)
    }

    /// Where it is.
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// Writes to its block device that are done, and those on their way.
    ///
    /// # Errors
    /// If it has no block device.
    pub fn writes(&self) -> anyhow::Result<(u64, u64)> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let at = self.at.to_str().context("the mount's path is no text")?;
        let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let line = lines.find(|fields| fields.get(1) == Some(&at)).with_context(|| format!("{at} is not mounted"))?;
        let device = line[0].trim_start_matches("/dev/");
        let stat = fs::read_to_string(format!("/sys/block/{device}/stat"))?;
        // The fifth and ninth field, https://docs.kernel.org/block/stat.html
        let field = |index| stat.split_whitespace().nth(index).and_then(|field| field.parse().ok());
        field(4).zip(field(8)).with_context(|| format!("the kernel counts no writes of {device}"))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmount = |options: &[&str]| Command::new("umount").args(options).arg(&self.at).output();
        let is_done = unmount(&[]).is_ok_and(|output| output.status.success());
        if !is_done {
            // Somebody still uses it: it goes when they do.
            drop(unmount(&["--lazy"]));
        }
    }
}

/// Makes an image file with an empty ext4 file system. What holds nothing takes no room.
///
/// # Errors
/// If it cannot be made.
pub fn make_ext4(image: &Path, bytes: u64) -> anyhow::Result<()> {
    fs::File::create(image)?.set_len(bytes)?;
    // No work is left for a thread of the kernel's that would write while a test counts writes.
    let at_once = ["-q", "-F", "-N", "32768", "-J", "size=8", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
    output(Command::new("mkfs.ext4").args(at_once).arg(image)).map(drop)
}

/// Copies an image file, without the holes in it.
///
/// # Errors
/// If it cannot be copied.
pub fn copy_image(from: &Path, to: &Path) -> anyhow::Result<()> {
    output(Command::new("cp").args(["--sparse=always", "--reflink=auto"]).arg(from).arg(to)).map(drop)
}

/// Fails where file systems cannot be mounted.
///
/// # Errors
/// If this is not root, or root may not.
pub fn may_mount(with_images: bool) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("only root may mount");
    }
    let folder = tempfile::tempdir()?;
    let at = folder.path().join("mount");
    fs::create_dir(&at)?;
    if !with_images {
        return Mount::tmpfs(&at, 1_024 * 1_024).map(drop);
    }
    let image = folder.path().join("image");
    make_ext4(&image, 64 * 1_024 * 1_024)?;
    Mount::image(&image, &at).map(drop)
}
