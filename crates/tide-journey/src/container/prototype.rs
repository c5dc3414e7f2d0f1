//! A prototype's folders, as its compose file mounted them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::programs::output;

/// What was put there.
pub struct OldFolder {
    /// Rows of the old database.
    pub rows: usize,
    /// Names of the photos that must come out of it, byte for byte.
    pub whole: Vec<String>,
    /// Rows whose photo is missing, empty, cut off, or named as no file can be.
    pub damaged: usize,
}

/// In every hundred rows these, one each: what years on a disk of a Pi do to files, and what the prototype let its clients name.
const DAMAGE: [&str; 5] = ["missing", "empty", "cut off", "text", "a name with a path"];

/// Makes `uploads/` with JPEGs and `data/photo_log.db` of the prototype's own schema, with this many rows.
///
/// # Errors
/// If files cannot be written, or Python has no SQLite.
pub fn make_prototype(folder: &Path, rows: usize) -> anyhow::Result<OldFolder> {
    let uploads = folder.join("uploads");
    fs::create_dir_all(&uploads)?;
    fs::create_dir_all(folder.join("data"))?;
    let mut old = OldFolder { rows, whole: Vec::new(), damaged: 0 };
    let mut log = String::new();
    for row in 0..rows {
        let taken = jiff::Timestamp::from_second(1_700_000_000 + i64::try_from(row)? * 30)?;
        let mut name = format!("{}_photo.jpg", taken.strftime("%Y%m%d_%H%M%S"));
        let bytes = jpeg(row)?;
        match DAMAGE.get(row % 100).copied() {
            None => {
                fs::write(uploads.join(&name), &bytes)?;
                old.whole.push(name.clone());
            }
            Some(damage) => {
                old.damaged += 1;
                match damage {
                    "empty" => fs::write(uploads.join(&name), [])?,
                    "cut off" => fs::write(uploads.join(&name), &bytes[..bytes.len() / 2])?,
                    "text" => fs::write(uploads.join(&name), "no photo")?,
                    "a name with a path" => name = format!("../../{name}"),
                    _ => (),
                }
            }
        }
        log.push_str(&format!("{name}\t{taken}\n"));
    }
    let script = "import sqlite3, sys\n\
                  log = sqlite3.connect(sys.argv[1])\n\
                  log.execute('CREATE TABLE photos (id INTEGER PRIMARY KEY AUTOINCREMENT, filename TEXT, timestamp TEXT)')\n\
                  rows = [line.split('\\t') for line in open(sys.argv[2]).read().splitlines()]\n\
                  log.executemany('INSERT INTO photos (filename, timestamp) VALUES (?, ?)', rows)\n\
                  log.commit()\n";
    let list = folder.join("rows");
    fs::write(&list, log)?;
    output(Command::new("python3").args(["-c", script]).arg(folder.join("data/photo_log.db")).arg(list))
        .context("the old database could not be made")?;
    Ok(old)
}

/// A small picture that no other row has: its number stands in a comment behind the first marker.
fn jpeg(row: usize) -> anyhow::Result<Vec<u8>> {
    let picture = image::GrayImage::from_fn(64, 48, |x, y| image::Luma([(x * y).to_le_bytes()[0]]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Jpeg)?;
    let mut bytes = bytes.into_inner();
    let number = u32::try_from(row)?.to_be_bytes();
    bytes.splice(2..2, [0xff, 0xfe, 0, 6].into_iter().chain(number));
    Ok(bytes)
}
