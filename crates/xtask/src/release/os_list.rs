//! The list by which Raspberry Pi Imager offers our card images: <https://github.com/raspberrypi/rpi-imager/tree/main/doc>.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use jiff::civil::Date;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::file_name;

#[derive(Serialize)]
struct List {
    os_list: Vec<Entry>,
}

/// One card image, with the names that Imager has for its properties.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    description: &'static str,
    icon: String,
    url: String,
    extract_size: u64,
    extract_sha256: String,
    image_download_size: u64,
    image_download_sha256: String,
    release_date: String,
    /// Imager's own questions (Wi-Fi, user) would be asked in vain: a station is set up by `tide.toml`. Older releases of
    /// Imager know only the empty word for that.
    init_format: &'static str,
    devices: [&'static str; 1],
}

const DESCRIPTION: &str = "Photographs the water on time. Set it up by tide.toml on the card's boot partition.";

/// How a file's name ends, for whom that image is, and what Imager calls those boards.
const BOARDS: &[(&str, &str, &str)] = &[
    ("-pi3.img.xz", "Raspberry Pi 3 and Zero 2 W", "pi3-64bit"),
    ("-pi4.img.xz", "Raspberry Pi 4", "pi4-64bit"),
    ("-pi5.img.xz", "Raspberry Pi 5", "pi5-64bit"),
];

/// The picture beside the name, to lie in the same folder.
const ICON: &str = "tide-icon.svg";

/// The list of the folder's images, as JSON.
///
/// # Errors
/// If there is none, one is damaged, or its name tells no board.
pub(super) fn make(dir: &Path, base_url: &str, date: Date) -> Result<String> {
    let base_url = base_url.trim_end_matches('/');
    ensure!(dir.join(ICON).exists(), "`{}` has no {ICON}, which Imager shows: copy it there", dir.display());
    let images = images(dir)?;
    ensure!(!images.is_empty(), "`{}` holds no image: none has a name that ends in .img.xz", dir.display());
    let entries = images.iter().map(|image| entry(image, base_url, date)).collect::<Result<_>>()?;
    Ok(serde_json::to_string_pretty(&List { os_list: entries })?)
}

fn images(dir: &Path) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(dir).with_context(|| format!("failed to list `{}`", dir.display()))?;
    let files = files.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    let mut images: Vec<_> = files.into_iter().filter(|file| file_name(file).ends_with(".img.xz")).collect();
    images.sort();
    Ok(images)
}

fn entry(image: &Path, base_url: &str, date: Date) -> Result<Entry> {
    let file = file_name(image);
    let board = BOARDS.iter().find(|(ending, ..)| file.ends_with(ending));
    let (_, boards, device) = board.with_context(|| format!("`{file}` names no board: end it in -pi4.img.xz or so"))?;
    let compressed = Size::of(File::open(image).with_context(|| format!("failed to read `{}`", image.display()))?)?;
    let extracted = extracted(image)?;
    Ok(Entry {
        name: format!("Tide Recorder ({boards})"),
        description: DESCRIPTION,
        icon: format!("{base_url}/{ICON}"),
        url: format!("{base_url}/{file}"),
        extract_size: extracted.bytes,
        extract_sha256: extracted.sha256,
        image_download_size: compressed.bytes,
        image_download_sha256: compressed.sha256,
        release_date: date.to_string(),
        init_format: "",
        devices: [device],
    })
}

/// What is in the compressed file.
fn extracted(image: &Path) -> Result<Size> {
    let mut command = Command::new("xz");
    command.args(["--decompress", "--stdout"]).arg(image).stdout(Stdio::piped());
    let mut xz = command.spawn().context("failed to start `xz`")?;
    let size = Size::of(xz.stdout.take().context("failed to take the output of `xz`")?)?;
    ensure!(xz.wait()?.success(), "`{}` is damaged: xz cannot extract it", image.display());
    Ok(size)
}

struct Size {
    bytes: u64,
    sha256: String,
}

impl Size {
    fn of(mut content: impl Read) -> Result<Self> {
        let (mut bytes, mut hash, mut buffer) = (0, Sha256::new(), vec![0; 1 << 16]);
        loop {
            match content.read(&mut buffer)? {
                0 => break,
                read => {
                    bytes += u64::try_from(read)?;
                    hash.update(&buffer[..read]);
                }
            }
        }
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { bytes, sha256 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::run;
    use serde_json::Value;

    const DATE: Date = jiff::civil::date(2026, 11, 30);

    /// A folder with the icon and an image of 1 MiB of zeros, compressed.
    fn folder(image: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(ICON), "<svg/>").unwrap();
        let plain = dir.path().join(image);
        fs::write(&plain, vec![0; 1 << 20]).unwrap();
        run(Command::new("xz").arg(&plain)).unwrap();
        dir
    }

    #[test]
    fn imager_learns_what_it_downloads_and_what_that_becomes() {
        let dir = folder("tide-0.1.0-pi3.img");
        let list: Value =
            serde_json::from_str(&make(dir.path(), "https://example.org/v0.1.0/", DATE).unwrap()).unwrap();
        let entry = &list["os_list"][0];
        assert_eq!(entry["url"], "https://example.org/v0.1.0/tide-0.1.0-pi3.img.xz");
        assert_eq!(entry["icon"], "https://example.org/v0.1.0/tide-icon.svg");
        assert_eq!(entry["extract_size"], 1_048_576);
        // `head -c 1M /dev/zero | sha256sum`
        let zeros = "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58";
        assert_eq!(entry["extract_sha256"], zeros);
        let compressed = fs::read(dir.path().join("tide-0.1.0-pi3.img.xz")).unwrap();
        assert_eq!(entry["image_download_size"], compressed.len());
        let digest: String = Sha256::digest(&compressed).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(entry["image_download_sha256"], digest);
        assert_eq!(entry["release_date"], "2026-11-30");
        assert_eq!(entry["devices"], serde_json::json!(["pi3-64bit"]));
    }

    #[test]
    fn a_damaged_image_is_refused() {
        let dir = folder("tide-pi4.img");
        let image = dir.path().join("tide-pi4.img.xz");
        let bytes = fs::read(&image).unwrap();
        fs::write(&image, &bytes[..bytes.len() / 2]).unwrap();
        let error = make(dir.path(), "https://example.org", DATE).unwrap_err().to_string();
        assert!(error.contains("tide-pi4.img.xz` is damaged"), "{error}");
    }

    #[test]
    fn an_image_for_nobody_and_no_image_at_all_are_refused() {
        let dir = folder("tide-pi9.img");
        assert!(make(dir.path(), "u", DATE).unwrap_err().to_string().contains("names no board"));
        fs::remove_file(dir.path().join("tide-pi9.img.xz")).unwrap();
        assert!(make(dir.path(), "u", DATE).unwrap_err().to_string().contains("holds no image"));
    }
}
