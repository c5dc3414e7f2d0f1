//! A camera that takes the photos of a folder once more, in the order of their names.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use tide_photo::CapturedAt;
use tide_photo::jpeg::JpegCheck;

use crate::devices::camera::{Camera, CameraError, Frame, Moment};

/// Plays a folder of JPEGs from the first name to the last. Only the paths are held in memory.
#[derive(Debug)]
pub struct ReplayCamera {
    folder: PathBuf,
    waiting: VecDeque<PathBuf>,
}

impl ReplayCamera {
    /// Lists the files of a folder (not of folders within it) that end in `.jpg` or `.jpeg`, in upper or lower case.
    ///
    /// # Errors
    /// [`CameraError::Failed`] if the folder cannot be read or holds no such file.
    pub fn open(folder: &Path) -> Result<Self, CameraError> {
        let mut photos = list(folder).map_err(|error| CameraError::Failed {
            reason: format!("failed to list the replay folder `{}`: {error}", folder.display()),
        })?;
        if photos.is_empty() {
            let reason = format!("the replay folder `{}` has no .jpg or .jpeg file", folder.display());
            return Err(CameraError::Failed { reason });
        }
        photos.sort();
        Ok(Self { folder: folder.to_owned(), waiting: photos.into() })
    }

    /// How many photos have not been taken yet.
    pub fn remaining(&self) -> usize {
        self.waiting.len()
    }
}

impl Camera for ReplayCamera {
    /// The next file's bytes, unchanged. A file that cannot be read or is not one whole JPEG fails once and is passed over.
    fn expose(&mut self, now: CapturedAt) -> Result<Frame, CameraError> {
        let finished = || CameraError::Finished { folder: self.folder.display().to_string() };
        let path = self.waiting.pop_front().ok_or_else(finished)?;
        let failed = |what: &str, why: String| CameraError::Failed {
            reason: format!("{what} `{}`, which the replay passes over: {why}", path.display()),
        };
        let jpeg = fs::read(&path).map_err(|error| failed("failed to read", error.to_string()))?;
        JpegCheck::of(&jpeg).map_err(|error| failed("failed to use", error.to_string()))?;
        // Without a time in its name it is given the present one, but whenever it was taken, it was not now: no clock vouches.
        Ok(Frame { jpeg, moment: Moment::Told(time_in_name(&path).unwrap_or(now)) })
    }

    fn kind(&self) -> &'static str {
        "replay"
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut photos = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if is_jpeg_name(&path) && path.is_file() {
            photos.push(path);
        }
    }
    Ok(photos)
}

fn is_jpeg_name(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("jpg") || end.eq_ignore_ascii_case("jpeg"))
}

/// The moment in a file's name, in UTC. The rule: take all ASCII digits before the extension; 14 of them are
/// `YYYYmmddHHMMSS`, 12 are `YYYYmmddHHMM`, 10 are `yymmddHHMM` in this century. Any other count, and any date that the
/// calendar does not have, is no time.
fn time_in_name(path: &Path) -> Option<CapturedAt> {
    let digits: String = path.file_stem()?.to_str()?.chars().filter(char::is_ascii_digit).collect();
    let digits = match digits.len() {
        14 => digits,
        12 => format!("{digits}00"),
        10 => format!("20{digits}00"),
        _ => return None,
    };
    let number = |from: usize, to: usize| digits[from..to].parse::<i8>().ok();
    let year = digits[..4].parse().ok()?;
    let (month, day) = (number(4, 6)?, number(6, 8)?);
    let civil = DateTime::new(year, month, day, number(8, 10)?, number(10, 12)?, number(12, 14)?, 0).ok()?;
    let instant = civil.to_zoned(TimeZone::UTC).ok()?.timestamp();
    CapturedAt::from_micros(instant.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> CapturedAt {
        "2026-05-31T18:00:00Z".parse().unwrap()
    }

    /// A 1 x 1 JPEG in structure, with one byte of its own.
    fn jpeg(mark: u8) -> Vec<u8> {
        let mut jpeg = vec![0xFF, 0xD8, 0xFF, 0xC0, 0, 11, 8, 0, 1, 0, 1, 1, 1, 0x11, 0];
        jpeg.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, mark, 0xFF, 0xD9]);
        jpeg
    }

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    #[test]
    fn every_photo_is_taken_once_in_the_order_of_names() {
        let folder = folder(&[
            ("NRmarshDN-12-05-31-18-00.jpg", &jpeg(2)),
            ("20250601_100000.JPEG", &jpeg(1)),
            ("shore.Jpg", &jpeg(3)),
            ("notes.txt", b"no photo"),
        ]);
        fs::create_dir(folder.path().join("folder.jpg")).unwrap();
        let mut camera = ReplayCamera::open(folder.path()).unwrap();
        assert!(camera.is_simulated());
        let expected = [(1, "2025-06-01T10:00:00Z"), (2, "2012-05-31T18:00:00Z"), (3, "2026-05-31T18:00:00Z")];
        for (at, (mark, time)) in expected.into_iter().enumerate() {
            assert_eq!(camera.remaining(), expected.len() - at);
            let frame = camera.expose(now()).unwrap();
            let moment = Moment::Told(time.parse().unwrap());
            assert_eq!(
                frame,
                Frame { jpeg: jpeg(mark), moment },
                "never a moment that the station's clock vouches for"
            );
        }
        for _ in 0..2 {
            assert!(matches!(camera.expose(now()), Err(CameraError::Finished { .. })));
        }
    }

    #[test]
    fn a_broken_photo_is_named_and_passed_over() {
        let whole = jpeg(7);
        let folder = folder(&[("a.jpg", &whole[..whole.len() - 1]), ("b.jpg", b"<html></html>"), ("c.jpg", &whole)]);
        let mut camera = ReplayCamera::open(folder.path()).unwrap();
        for (name, why) in [("a.jpg", "cut off"), ("b.jpg", "not a JPEG")] {
            let sentence = camera.expose(now()).unwrap_err().to_string();
            assert!(sentence.contains(name) && sentence.contains(why), "{sentence}");
        }
        assert_eq!(camera.expose(now()).unwrap().jpeg, whole);
    }

    #[test]
    fn a_photo_that_has_gone_is_named_and_passed_over() {
        let folder = folder(&[("a.jpg", &jpeg(1)), ("b.jpg", &jpeg(2))]);
        let mut camera = ReplayCamera::open(folder.path()).unwrap();
        fs::remove_file(folder.path().join("a.jpg")).unwrap();
        let sentence = camera.expose(now()).unwrap_err().to_string();
        assert!(sentence.contains("a.jpg"), "{sentence}");
        assert_eq!(camera.expose(now()).unwrap().jpeg, jpeg(2));
    }

    #[test]
    fn a_folder_without_photos_is_refused_by_name() {
        let folder = folder(&[("notes.txt", b"no photo")]);
        let missing = folder.path().join("missing");
        for (path, why) in [(folder.path(), "no .jpg"), (missing.as_path(), "failed to list")] {
            let sentence = ReplayCamera::open(path).unwrap_err().to_string();
            assert!(sentence.contains(why) && sentence.contains(&path.display().to_string()), "{sentence}");
        }
    }

    #[test]
    fn the_time_is_read_from_the_digits_of_the_name() {
        let cases = [
            ("20250601_100000.jpg", Some("2025-06-01T10:00:00Z")),
            ("pier 2025-06-01T10:00:59.jpg", Some("2025-06-01T10:00:59Z")),
            ("202506011030.jpg", Some("2025-06-01T10:30:00Z")),
            ("NRmarshDN-12-05-31-18-00.jpg", Some("2012-05-31T18:00:00Z")),
            ("20240229_235959.jpeg", Some("2024-02-29T23:59:59Z")),
            ("20250229_120000.jpg", None),
            ("20250601_240000.jpg", None),
            ("19691231_235959.jpg", None),
            ("20250601.jpg", None),
            ("pier-3_20250601_100000.jpg", None),
            ("pier.jpg", None),
            ("٢٠٢٥٠٦٠١١٠٠٠٠٠.jpg", None),
        ];
        for (name, time) in cases {
            assert_eq!(time_in_name(Path::new(name)), time.map(|time| time.parse().unwrap()), "{name}");
        }
    }
}
