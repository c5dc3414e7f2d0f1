//! Where the spool's files are.

use std::path::{Path, PathBuf};

use super::index::FOLDER_PHOTOS;

/// The image.
pub(super) const IMAGE: &str = "jpg";
/// The manifest: the photo waits.
pub(super) const MANIFEST: &str = "json";
/// Why it could not be delivered.
pub(super) const PARKED: &str = "parked";
/// The manifest of a photo that was released.
pub(super) const DONE: &str = "done";
/// The manifest of a photo that was given up undelivered.
pub(super) const GONE: &str = "gone";

/// The names below one spool folder.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    folder: PathBuf,
}

impl Layout {
    /// The spool of a data folder.
    pub(super) fn of(root: &Path) -> Self {
        Self { folder: root.join("spool") }
    }

    /// The spool's own folder.
    pub(super) fn root(&self) -> &Path {
        &self.folder
    }

    /// A file of the spool itself.
    pub(super) fn own_file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder of a thousand photos.
    pub(super) fn folder(&self, number: u64) -> PathBuf {
        self.folder.join(folder_name(number))
    }

    /// A file of a photo.
    pub(super) fn file(&self, sequence: u64, kind: &str) -> PathBuf {
        self.folder(sequence / FOLDER_PHOTOS).join(format!("{sequence:010}.{kind}"))
    }
}

/// The number of a folder of photos; `None` if it is none of ours.
pub(super) fn folder_number(name: &Path) -> Option<u64> {
    let number = name.to_str()?.parse().ok()?;
    (Path::new(&folder_name(number)) == name).then_some(number)
}

/// The number and kind of a photo's file in the folder `number`; `None` if it is none of ours.
pub(super) fn photo_file(number: u64, name: &Path) -> Option<(u64, &str)> {
    let stem = name.file_stem()?.to_str()?;
    let sequence = stem.parse().ok()?;
    let is_ours = sequence / FOLDER_PHOTOS == number && format!("{sequence:010}") == stem;
    is_ours.then_some(sequence).zip(name.extension()?.to_str())
}

fn folder_name(number: u64) -> String {
    format!("{number:07}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_numbers_and_foreign_ones_nowhere() {
        let layout = Layout::of(Path::new("/data"));
        assert_eq!(layout.file(12_345, IMAGE), Path::new("/data/spool/0000012/0000012345.jpg"));
        assert_eq!(folder_number(Path::new("0000012")), Some(12));
        assert_eq!(photo_file(12, Path::new("0000012345.jpg")), Some((12_345, "jpg")));
        for foreign in ["12", "+000012", "lost+found", "0000012.old"] {
            assert_eq!(folder_number(Path::new(foreign)), None, "{foreign}");
        }
        for foreign in ["12345.jpg", "0000011345.jpg", "0000012345", "7-1.part"] {
            assert_eq!(photo_file(12, Path::new(foreign)), None, "{foreign}");
        }
    }
}
