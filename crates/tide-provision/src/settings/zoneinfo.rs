//! What the system knows of time zones and countries.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// What every file of a zone begins with (RFC 9636, 3.1).
const MAGIC: &[u8] = b"TZif";

/// The folder of the zones.
#[derive(Debug, Clone)]
pub struct Zoneinfo {
    folder: PathBuf,
}

impl Zoneinfo {
    /// The zones in a folder.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The file of a zone, by its plain name: one that leads out of the folder is none.
    pub fn file_of(&self, zone: &str) -> Option<PathBuf> {
        let is_plain =
            |part: Component<'_>| matches!(part, Component::Normal(name) if name != "right" && name != "posix");
        let is_written_plainly = zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte));
        if zone.is_empty() || !is_written_plainly || !Path::new(zone).components().all(is_plain) {
            return None;
        }
        let path = self.folder.join(zone);
        let mut magic = [0; MAGIC.len()];
        File::open(&path).and_then(|mut file| file.read_exact(&mut magic)).ok()?;
        (magic == MAGIC).then_some(path)
    }

    /// Whether there is a country of this code (ISO 3166-1 alpha-2); without the system's list any two capitals are one.
    pub fn has_country(&self, code: &str) -> bool {
        let is_code = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        let Ok(list) = fs::read_to_string(self.folder.join("iso3166.tab")) else { return is_code };
        is_code && list.lines().any(|line| line.split('\t').next() == Some(code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_a_file_of_the_folder_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let zones = folder.path().join("zones");
        fs::create_dir_all(zones.join("Europe")).unwrap();
        fs::create_dir_all(zones.join("right/Europe")).unwrap();
        for name in ["Europe/Athens", "UTC", "right/Europe/Athens", "../outside"] {
            fs::write(zones.join(name), "TZif2").unwrap();
        }
        fs::write(zones.join("iso3166.tab"), "#code\tname\nGR\tGreece\nGB\tBritain (UK)\n").unwrap();
        let zoneinfo = Zoneinfo::new(&zones);
        for good in ["Europe/Athens", "UTC"] {
            assert_eq!(zoneinfo.file_of(good), Some(zones.join(good)));
        }
        let absolute = zones.join("UTC");
        let absolute = absolute.to_str().unwrap();
        for bad in
            ["", "../outside", "Europe/../../outside", "Europe", "right/Europe/Athens", "iso3166.tab", "utc", absolute]
        {
            assert_eq!(zoneinfo.file_of(bad), None, "{bad}");
        }
        assert!(zoneinfo.has_country("GR") && !zoneinfo.has_country("UK") && !zoneinfo.has_country("gr"));
        assert!(Zoneinfo::new(folder.path()).has_country("UK"), "nobody knows better");
    }
}
