//! What the guests are made of that some journeys boot: Debian's kernel and tools, unpacked into a folder that outlives the
//! run. They are not installed, because a kernel's installation changes what this machine boots.

use std::env::consts::ARCH;
use std::fs::{self, File};
use std::path::{self, Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::Session;
use crate::debian::{apt_get, is_debian, is_root};
use crate::process::{output, run};

/// Debian's name for whatever kernel is the newest. The smaller one for clouds has no I2C.
const KERNEL: &str = "linux-image-amd64";

/// The guest's shell and small programs. Unpacked like the kernel: installed, it would push out the other `busybox`.
const TOOLS: &str = "busybox-static";

/// What is taken out of the packages, as `tar` matches it.
const TAKEN: &[(&str, &[&str])] = &[
    (KERNEL, &["*/boot/vmlinuz-*", "*/lib/modules/*/drivers/i2c/*", "*/lib/modules/*/drivers/pps/*"]),
    (TOOLS, &["*/bin/busybox"]),
];

/// How a kernel may be packed: the first bytes, and the program that unpacks them.
const PACKINGS: &[(&[u8], &str)] = &[(b"\xFD7zXZ\0", "xz"), (b"\x28\xB5\x2F\xFD", "zstd")];

/// Where all this is, or would be.
///
/// # Errors
/// If there is no current folder.
pub(super) fn folder(session: &Session) -> Result<PathBuf> {
    let cache = session.config.cache.as_deref().unwrap_or(&session.workspace.target);
    Ok(path::absolute(cache)?.join("guest"))
}

/// Fetches it where it is missing. Where that cannot be, the journeys that boot a guest say that they did not run.
///
/// # Errors
/// If there is no current folder.
pub(super) fn prepare(session: &Session) -> Result<()> {
    let folder = folder(session)?;
    if folder.exists() {
        return Ok(());
    }
    if ARCH != "x86_64" || !is_debian() {
        println!("    no guest can be booted: that takes Debian on x86_64");
        return Ok(());
    }
    if let Err(error) = fetch(&folder) {
        println!("    no guest can be booted: {error:#}");
    }
    Ok(())
}

/// Unpacks beside, and renames what is whole.
fn fetch(folder: &Path) -> Result<()> {
    let cache = folder.parent().context("the cache has no folder")?;
    fs::create_dir_all(cache)?;
    let beside = tempfile::Builder::new().prefix("guest-").tempdir_in(cache)?;
    for (package, taken) in TAKEN {
        let archive = download(package, beside.path())?;
        take(&archive, taken, beside.path())?;
        fs::remove_dir_all(archive.parent().context("an archive lies in a folder")?)?;
    }
    let version = only_entry(&beside.path().join("lib/modules"))?;
    index_modules(beside.path(), &version)?;
    unpack_kernel(beside.path())?;
    let beside = beside.keep();
    fs::rename(&beside, folder).with_context(|| format!("failed to rename `{}`", beside.display()))
}

/// The archive of a package, downloaded.
fn download(package: &str, into: &Path) -> Result<PathBuf> {
    let folder = into.join("download");
    fs::create_dir_all(&folder)?;
    let attempt = || run(apt_get().args(["-q", "download", &named_by(package)?]).current_dir(&folder));
    if let Err(error) = attempt() {
        if !is_root()? {
            return Err(error);
        }
        // The list of packages may be older than what the archive keeps.
        run(apt_get().arg("update"))?;
        attempt()?;
    }
    Ok(folder.join(only_entry(&folder)?))
}

/// The package itself, or the one that is the newest kernel now.
fn named_by(package: &str) -> Result<String> {
    if package != KERNEL {
        return Ok(package.to_owned());
    }
    let depends = output(Command::new("apt-cache").args(["depends", KERNEL]))?;
    named_kernel(&depends).with_context(|| format!("{KERNEL} names no kernel"))
}

fn named_kernel(depends: &str) -> Option<String> {
    let names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.map(str::to_owned).find(|name| name.starts_with("linux-image-"))
}

/// Unpacks some of an archive's files; folders below `usr` land where older releases have them.
fn take(archive: &Path, taken: &[&str], into: &Path) -> Result<()> {
    let mut unpack = Command::new("dpkg-deb");
    let mut unpack = unpack.arg("--fsys-tarfile").arg(archive).stdout(Stdio::piped()).spawn()?;
    let files = unpack.stdout.take().context("dpkg-deb prints nothing")?;
    let mut tar = Command::new("tar");
    tar.args(["-x", "--no-same-owner", "--transform=s,^\\./usr/,./,", "--wildcards"]).args(taken);
    let outcome = run(tar.current_dir(into).stdin(files));
    let status = unpack.wait()?;
    outcome?;
    ensure!(status.success(), "`dpkg-deb` failed to read `{}` ({status})", archive.display());
    Ok(())
}

/// Modules as `modprobe` wants them: unpacked, for busybox reads no others, and listed with what each needs.
fn index_modules(folder: &Path, version: &str) -> Result<()> {
    run(Command::new("find").args(["lib", "-name", "*.xz", "-exec", "xz", "-d", "{}", "+"]).current_dir(folder))?;
    run(Command::new(folder.join("bin/busybox")).args(["depmod", "-b", ".", version]).current_dir(folder))
}

/// Leaves `vmlinux`: a kernel that unpacks itself spends ten seconds on it in an emulated processor.
fn unpack_kernel(folder: &Path) -> Result<()> {
    let boot = folder.join("boot");
    let image = fs::read(boot.join(only_entry(&boot)?))?;
    let (packed, program) = packed_kernel(&image).context("the kernel is packed in an unknown way")?;
    let file = boot.join("packed");
    fs::write(&file, packed)?;
    let kernel = File::create(folder.join("vmlinux"))?;
    run(Command::new(program).arg("-dc").stdin(File::open(file)?).stdout(kernel))?;
    Ok(fs::remove_dir_all(boot)?)
}

/// The packed kernel in a boot image, and what unpacks it: <https://docs.kernel.org/arch/x86/boot.html>
fn packed_kernel(image: &[u8]) -> Option<(&[u8], &'static str)> {
    let number = |at: usize| Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?) as usize);
    let setup_sectors = usize::from(*image.get(0x1F1)?);
    let (offset, length) = (number(0x248)?, number(0x24C)?);
    let begin = (setup_sectors + 1) * 512 + offset;
    // The last four bytes are the length of what is packed.
    let packed = image.get(begin..(begin + length).checked_sub(4)?)?;
    let (_, program) = PACKINGS.iter().find(|(magic, _)| packed.starts_with(magic))?;
    Some((packed, program))
}

fn only_entry(folder: &Path) -> Result<String> {
    let names: Vec<_> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>()?;
    match names.as_slice() {
        [name] => Ok(name.to_string_lossy().into_owned()),
        _ => bail!("`{}` should hold one thing, not {}", folder.display(), names.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_the_one_that_is_depended_on() {
        let depends = "linux-image-amd64\n  Depends: linux-image-6.1.0-56-amd64\n  Suggests: linux-doc\n";
        assert_eq!(named_kernel(depends).as_deref(), Some("linux-image-6.1.0-56-amd64"));
        assert_eq!(named_kernel("linux-image-amd64\n"), None);
    }

    #[test]
    fn the_packed_kernel_is_found_behind_the_setup() {
        let mut image = vec![0; 2 * 512 + 8];
        image[0x1F1] = 1;
        image[0x248..0x250].copy_from_slice(&[8, 0, 0, 0, 12, 0, 0, 0]);
        image.extend(b"\xFD7zXZ\0..size, and more");
        assert_eq!(packed_kernel(&image), Some((b"\xFD7zXZ\0..".as_slice(), "xz")));
        image.truncate(2 * 512 + 8 + 7);
        assert_eq!(packed_kernel(&image), None);
        assert_eq!(packed_kernel(b""), None);
    }
}
