//! What `cargo xtask image` has built.

use std::path::{Path, PathBuf};

use anyhow::ensure;

/// A folder with an image, and what QEMU needs beside it.
#[derive(Debug, Clone)]
pub struct Image {
    folder: PathBuf,
}

impl Image {
    /// The folder's.
    ///
    /// # Errors
    /// If something is missing there.
    pub fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        let image = Self { folder: folder.to_owned() };
        for file in [image.product(), image.test_variant(), image.kernel(), image.initrd(), image.pi_device_tree()] {
            ensure!(file.exists(), "{} is missing; run `cargo xtask image --flavour debian`", file.display());
        }
        Ok(image)
    }

    /// The card image that people flash.
    pub fn product(&self) -> PathBuf {
        self.folder.join("tide-debian-arm64.img")
    }

    /// The same with the hooks of `overlays/test`.
    pub fn test_variant(&self) -> PathBuf {
        self.folder.join("tide-debian-arm64-test.img")
    }

    /// Debian's kernel.
    pub fn kernel(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// What boots from the card.
    pub fn initrd(&self) -> PathBuf {
        self.folder.join("initrd.img")
    }

    /// What tells the kernel that it runs on a Raspberry Pi 3.
    pub fn pi_device_tree(&self) -> PathBuf {
        self.folder.join("bcm2837-rpi-3-b.dtb")
    }
}
