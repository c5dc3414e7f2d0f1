//! A card: a copy of the image, as large as a small card is. While its machine is off its partitions can be looked at: the FAT
//! with mtools, the rest with the tools of ext4. Nothing is mounted, so nobody needs to be root.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tide_photo::jpeg::JpegCheck;
use tide_photo::{Digest, Manifest};

use crate::mounts::copy_image;
use crate::programs::output;
use crate::server::files_below;

/// A card that is sold as 2 GB: large enough for the image, a data partition, and room beside it.
const CARD_BYTES: u64 = 2 * 1_024 * 1_024 * 1_024;

const SECTOR_BYTES: u64 = 512;

/// A block group of an ext4 file system of this size: some begin with a copy of its superblock.
const GROUP_BYTES: u64 = 128 * 1_024 * 1_024;

/// What is read or copied at a time.
const CHUNK_BYTES: usize = 1_024 * 1_024;

/// A card in a file.
#[derive(Debug, Clone)]
pub struct Card {
    path: PathBuf,
}

/// An entry of a card's partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Where it begins.
    pub start_bytes: u64,
    /// Its length.
    pub bytes: u64,
}

/// The station's data, as a card holds them.
#[derive(Debug, Default)]
pub struct SpoolSeen {
    /// Photos that wait, each whole and as its manifest says.
    pub waiting: BTreeSet<Digest>,
    /// Photos that were released by a receipt and are kept.
    pub released: BTreeSet<Digest>,
}

impl Card {
    /// Flashes a card.
    ///
    /// # Errors
    /// If there is no room.
    pub fn flash(image: &Path, path: &Path) -> anyhow::Result<Self> {
        copy_image(image, path)?;
        let file = File::options().write(true).open(path)?;
        ensure!(file.metadata()?.len() < CARD_BYTES, "the image is larger than a card of {CARD_BYTES} bytes");
        file.set_len(CARD_BYTES)?;
        Ok(Self { path: path.to_owned() })
    }

    /// A card, or an image, that is there.
    pub fn in_file(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// A copy of it as it is.
    ///
    /// # Errors
    /// If there is no room.
    pub fn copy_to(&self, path: &Path) -> anyhow::Result<Self> {
        copy_image(&self.path, path)?;
        Ok(Self { path: path.to_owned() })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A primary partition, by its number from 1 on; `None` if there is none.
    ///
    /// # Errors
    /// If the card cannot be read.
    pub fn partition(&self, number: u64) -> anyhow::Result<Option<Partition>> {
        // The table is at 446, each entry of 16 bytes ends with first sector and number of sectors.
        let mut entry = [0; 8];
        File::open(&self.path)?.read_exact_at(&mut entry, 446 + (number - 1) * 16 + 8)?;
        let [start, length] =
            [0, 4].map(|at| u64::from(u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]])));
        let partition = Partition { start_bytes: start * SECTOR_BYTES, bytes: length * SECTOR_BYTES };
        Ok((length > 0).then_some(partition))
    }

    fn expect_partition(&self, number: u64) -> anyhow::Result<Partition> {
        self.partition(number)?.with_context(|| format!("{} has no partition {number}", self.path.display()))
    }

    /// A file of the FAT partition; `None` if there is none of this name.
    ///
    /// # Errors
    /// If mtools is not here.
    pub fn read_fat(&self, name: &str) -> anyhow::Result<Option<String>> {
        let read = self.mtool("mtype")?.arg(format!("::{name}")).output().context("mtools is not here")?;
        Ok(read.status.success().then(|| String::from_utf8_lossy(&read.stdout).into_owned()))
    }

    /// Writes a file of the FAT partition, as a person's PC does.
    ///
    /// # Errors
    /// If mtools is not here, or refuses.
    pub fn write_fat(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let mut command = self.mtool("mcopy")?;
        command.args(["-o", "-", &format!("::{name}")]).stdin(Stdio::piped());
        let mut writing = command.spawn().context("mtools is not here")?;
        writing.stdin.take().context("mcopy reads")?.write_all(text.as_bytes())?;
        ensure!(writing.wait()?.success(), "mcopy did not write {name}");
        Ok(())
    }

    fn mtool(&self, name: &str) -> anyhow::Result<Command> {
        let fat = self.expect_partition(1)?;
        let mut command = Command::new(name);
        command.arg("-i").arg(format!("{}@@{}", self.path.display(), fat.start_bytes));
        Ok(command)
    }

    /// Whether these bytes are anywhere in a partition, in a file or where one was.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn holds(&self, number: u64, wanted: &[u8]) -> anyhow::Result<bool> {
        let mut reading = self.read_partition(number)?;
        let mut seen = Vec::with_capacity(CHUNK_BYTES + wanted.len());
        loop {
            let read = reading.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut seen)?;
            if seen.windows(wanted.len()).any(|window| window == wanted) {
                return Ok(true);
            }
            if read == 0 {
                return Ok(false);
            }
            seen.drain(..seen.len().saturating_sub(wanted.len()));
        }
    }

    /// The digest of all bytes of a partition.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn digest(&self, number: u64) -> anyhow::Result<Digest> {
        let mut digester = tide_photo::Hasher::default();
        let (reading, mut chunk) = (self.read_partition(number)?, vec![0; CHUNK_BYTES]);
        // An image may end before its last partition does; on a card the rest is there.
        let mut reading = reading.chain(io::repeat(0)).take(self.expect_partition(number)?.bytes);
        loop {
            match reading.read(&mut chunk)? {
                0 => return Ok(digester.finish()),
                read => digester.update(&chunk[..read]),
            }
        }
    }

    fn read_partition(&self, number: u64) -> anyhow::Result<impl Read + use<>> {
        let Partition { start_bytes, bytes } = self.expect_partition(number)?;
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(start_bytes))?;
        Ok(BufReader::with_capacity(CHUNK_BYTES, file).take(bytes))
    }

    /// Copies a partition into a file of its own, without the holes in it.
    ///
    /// # Errors
    /// If there is no room.
    pub fn extract(&self, number: u64, to: &Path) -> anyhow::Result<()> {
        let (mut reading, file) = (self.read_partition(number)?, File::create(to)?);
        let (mut chunk, mut at) = (vec![0; 64 * 1_024], 0);
        loop {
            let read = reading.read(&mut chunk)?;
            if read == 0 {
                return Ok(file.set_len(at)?);
            }
            if chunk[..read].iter().any(|byte| *byte != 0) {
                file.write_all_at(&chunk[..read], at)?;
            }
            at += read as u64;
        }
    }

    /// Writes noise over the superblock of a partition, over each copy of it, and over what describes its first files.
    ///
    /// # Errors
    /// If the card cannot be written.
    pub fn ruin(&self, number: u64, seed: u64) -> anyhow::Result<()> {
        let Partition { start_bytes, bytes } = self.expect_partition(number)?;
        let file = File::options().write(true).open(&self.path)?;
        let mut noise = vec![0; CHUNK_BYTES];
        StdRng::seed_from_u64(seed).fill_bytes(&mut noise);
        for group in 0..bytes / GROUP_BYTES + 1 {
            let at = group * GROUP_BYTES;
            let length = noise.len().min(usize::try_from(bytes - at)?);
            file.write_all_at(&noise[..length], start_bytes + at)?;
        }
        Ok(())
    }

    /// Fails unless an ext4 partition is sound as it lies there, before anybody mended it.
    ///
    /// # Errors
    /// With what e2fsck says.
    pub fn expect_clean(&self, number: u64) -> anyhow::Result<()> {
        let partition = self.expect_partition(number)?;
        let at = format!("{}?offset={}", self.path.display(), partition.start_bytes);
        output(Command::new("e2fsck").args(["-fn", &at]).env("PATH", SYSTEM_PATH)).map(drop)
    }

    /// What the data partition holds, once its journal has been played back as at a boot; `work` is a folder for copies.
    ///
    /// # Errors
    /// If the file system is not sound then, or a photo in the spool is not whole.
    pub fn spool(&self, number: u64, work: &Path) -> anyhow::Result<SpoolSeen> {
        let (copy, files) = (work.join("data.ext4"), work.join("files"));
        self.extract(number, &copy)?;
        play_journal_back(&copy)?;
        if files.exists() {
            fs::remove_dir_all(&files)?;
        }
        fs::create_dir_all(&files)?;
        let dump = format!("rdump /tide-recorder {}", files.display());
        output(Command::new("debugfs").args(["-R", &dump]).arg(&copy).env("PATH", SYSTEM_PATH))?;
        fs::remove_file(&copy)?;
        let seen = look(&files.join("tide-recorder"));
        fs::remove_dir_all(&files)?;
        seen
    }
}

/// Debian has the tools of file systems where only root looks.
const SYSTEM_PATH: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

fn play_journal_back(copy: &Path) -> anyhow::Result<()> {
    let mended = Command::new("e2fsck").arg("-p").arg(copy).env("PATH", SYSTEM_PATH).output()?;
    // 1: something was put right, as after every power cut.
    if !matches!(mended.status.code(), Some(0 | 1)) {
        bail!("e2fsck -p ended with {}: {}", mended.status, String::from_utf8_lossy(&mended.stdout));
    }
    output(Command::new("e2fsck").arg("-fn").arg(copy).env("PATH", SYSTEM_PATH)).map(drop)
}

/// The photos below the recorder's folder.
fn look(folder: &Path) -> anyhow::Result<SpoolSeen> {
    let mut seen = SpoolSeen::default();
    if !folder.exists() {
        return Ok(seen);
    }
    for name in files_below(folder)? {
        let path = folder.join(&name);
        if name.starts_with("spool/") && name.ends_with(".json") {
            let manifest = Manifest::from_json(&fs::read(&path)?).with_context(|| format!("{name} is no manifest"))?;
            let image = fs::read(path.with_extension("jpg")).with_context(|| format!("{name} has no photo"))?;
            JpegCheck::of(&image).with_context(|| format!("the photo of {name} is not whole"))?;
            ensure!(Digest::of(&image) == manifest.digest, "the photo of {name} is another than its manifest says");
            seen.waiting.insert(manifest.digest);
        } else if name.starts_with("archive/") && name.ends_with(".jpg") {
            seen.released.insert(Digest::of(&fs::read(&path)?));
        }
    }
    Ok(seen)
}
