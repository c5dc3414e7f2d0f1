//! Takes over a prototype server's data folder: every old photo stays visible under its old name, nothing of the old data is
//! changed, and a second import finds nothing left to do.
//!
//! Photos in the server's own data folder stay where they are, in `uploads/`; those of another folder are copied there.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use serde::Serialize;
use tide_durable::{Durable, IfExists};
use tide_photo::jpeg::{Dimensions, JpegCheck};
use tide_photo::{CapturedAt, ClockQuality, Digest, Hasher, StationName};

use crate::app::now;
use crate::catalog::{Catalog, LostPhoto, NewPhoto, OldDoor, Origin, PrototypeLog, Station};
use crate::disk_guard::DiskGuard;
use crate::photo_store::digest_of_file;

/// Rows in one commit.
const CHUNK_ROWS: u32 = 200;

/// Where the prototype's database may lie in its folder: as its scripts left it, as its container did, as Flask prefers.
const LOGS: [&str; 3] = ["photo_log.db", "data/photo_log.db", "instance/photo_log.db"];

/// The station that gets the photos unless another is named.
pub const DEFAULT_STATION: &str = "prototype";

/// What an import did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Photos taken over now.
    pub photos: u64,
    /// Those of them of which the old database knows nothing: it lay in a container that was made anew, most likely. Their file's
    /// name tells their time.
    pub without_row: u64,
    /// Photos that an earlier import had dealt with.
    pub known: u64,
    /// Rows whose photo is lost, now or still; noted with the reason, and tried again by the next import.
    pub lost: u64,
    /// Photos whose timestamp was no time; their file's name or date stands in.
    pub odd_timestamps: u64,
}

/// A prototype's data folder.
#[derive(Debug)]
pub struct Prototype {
    log: PathBuf,
    uploads: PathBuf,
}

impl Prototype {
    /// Looks for a prototype's data in a folder.
    pub fn find(folder: &Path) -> Option<Self> {
        let log = LOGS.map(|name| folder.join(name)).into_iter().find(|log| log.is_file())?;
        Some(Self { log, uploads: folder.join("uploads") })
    }

    /// Takes everything over that is not yet; `progress` counts rows.
    ///
    /// # Errors
    /// If the old database cannot be read or the new one not written. A lost photo is not an error.
    pub async fn import(
        &self,
        catalog: &Catalog,
        durable: &Durable,
        guard: &DiskGuard,
        station: &StationName,
        progress: &ProgressBar,
    ) -> anyhow::Result<Imported> {
        let log = PrototypeLog::open(&self.log).await;
        let log = log.with_context(|| format!("failed to open the old database {}", self.log.display()))?;
        progress.set_length(log.count().await.context("the old database has no table `photos`")?);
        let station = catalog.import_station(station, now()).await?;
        let mut imported = Imported::default();
        let mut listed = HashSet::new();
        let mut last_id = i64::MIN;
        loop {
            let rows = log.rows_after(last_id, CHUNK_ROWS).await?;
            let Some(last) = rows.last() else { break };
            last_id = last.id;
            let (mut photos, mut lost) = (Vec::new(), Vec::new());
            for row in rows {
                progress.inc(1);
                listed.insert(row.file_name.clone());
                let is_noted = catalog.is_noted_as_lost(&station, row.id).await?;
                let fate = match log.is_overwritten(&row).await? {
                    true => Fate::Lost("a later photo of the same second and name has taken its place".to_owned()),
                    false => {
                        self.take(catalog, (durable, guard), &station, &row.file_name, Some(&row.timestamp)).await?
                    }
                };
                match fate {
                    Fate::Known => imported.known += 1,
                    Fate::New { photo, has_odd_timestamp } => {
                        imported.odd_timestamps += u64::from(has_odd_timestamp);
                        photos.push((Some(row.id), *photo));
                    }
                    Fate::Lost(_) if is_noted => imported.lost += 1,
                    Fate::Lost(reason) => {
                        tracing::warn!(row = row.id, file = row.file_name, reason, "an old photo is lost");
                        imported.lost += 1;
                        lost.push(LostPhoto {
                            old_id: row.id,
                            file_name: row.file_name,
                            client_timestamp: row.timestamp,
                            reason,
                        });
                    }
                }
            }
            catalog.record_import(&station, &photos, &lost).await?;
            imported.photos += photos.len() as u64;
        }
        self.import_without_row(catalog, (durable, guard), &station, &listed, &mut imported).await?;
        Ok(imported)
    }

    /// Takes over the photos that are not `listed` in the old database.
    async fn import_without_row(
        &self,
        catalog: &Catalog,
        disk: (&Durable, &DiskGuard),
        station: &Station,
        listed: &HashSet<String>,
        imported: &mut Imported,
    ) -> anyhow::Result<()> {
        let names = unlisted(&self.uploads, listed);
        let names = names.with_context(|| format!("failed to read the folder {}", self.uploads.display()))?;
        for names in names.chunks(CHUNK_ROWS as usize) {
            let mut photos = Vec::new();
            for name in names {
                match self.take(catalog, disk, station, name, None).await? {
                    Fate::Known => imported.known += 1,
                    Fate::New { photo, .. } => photos.push((None, *photo)),
                    Fate::Lost(reason) => {
                        tracing::warn!(
                            file = name,
                            reason,
                            "a file of the old server's is no photo that can be taken over"
                        );
                    }
                }
            }
            catalog.record_import(station, &photos, &[]).await?;
            imported.photos += photos.len() as u64;
            imported.without_row += photos.len() as u64;
        }
        Ok(())
    }

    /// What becomes of the photo of this name, of which a row of the old database tells the time, or none.
    async fn take(
        &self,
        catalog: &Catalog,
        (durable, guard): (&Durable, &DiskGuard),
        station: &Station,
        old_name: &str,
        timestamp: Option<&str>,
    ) -> anyhow::Result<Fate> {
        let path = match self.path(old_name) {
            Ok(path) => path,
            Err(reason) => return Ok(Fate::Lost(reason)),
        };
        // Two prototypes may have given the same name to different photos: the second then gets its station's in front.
        for file_name in [old_name.to_owned(), format!("{}_{old_name}", station.name)] {
            let Some(held) = catalog.photo_named(&file_name).await? else {
                return match Found::read(&path) {
                    Ok(found) => new_photo((durable, guard), station, (old_name, timestamp), &found, file_name),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        Ok(Fate::Lost("its file is missing".to_owned()))
                    }
                    Err(error) => Ok(Fate::Lost(format!("its file cannot be used: {error}"))),
                };
            };
            if is_held(durable, &path, &held.photo) {
                return Ok(Fate::Known);
            }
        }
        Ok(Fate::Lost("other photos have its name already".to_owned()))
    }

    fn path(&self, file_name: &str) -> Result<PathBuf, String> {
        // The prototype joined a client's words to its folder's path.
        let is_one_name =
            !file_name.is_empty() && ![".", ".."].contains(&file_name) && !file_name.contains(['/', '\\', '\0']);
        if !is_one_name {
            return Err("its name is no file name".to_owned());
        }
        Ok(self.uploads.join(file_name))
    }
}

/// Files in the folder of uploads that are called photos and are not `listed`, by name.
fn unlisted(uploads: &Path, listed: &HashSet<String>) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(uploads) {
        // The rows, if there are any, have told so.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        let is_called_a_photo = Path::new(&name)
            .extension()
            .is_some_and(|end| ["jpg", "jpeg"].iter().any(|known| end.eq_ignore_ascii_case(known)));
        if is_called_a_photo && !listed.contains(&name) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// What becomes of a photo.
enum Fate {
    /// It is taken over now.
    New {
        /// The photo, its bytes in our `uploads/`.
        photo: Box<NewPhoto>,
        /// Its timestamp is no time.
        has_odd_timestamp: bool,
    },
    /// An earlier import has taken it over.
    Known,
    /// There is nothing to take over, for this reason.
    Lost(String),
}

fn new_photo(
    (durable, guard): (&Durable, &DiskGuard),
    station: &Station,
    (old_name, timestamp): (&str, Option<&str>),
    found: &Found,
    file_name: String,
) -> anyhow::Result<Fate> {
    let store_key = format!("uploads/{file_name}");
    keep(durable, guard, &found.path, &store_key)?;
    let told = timestamp.and_then(|timestamp| CapturedAt::parse_lenient(timestamp).ok());
    let has_odd_timestamp = timestamp.is_some() && told.is_none();
    let photo = NewPhoto {
        station: station.clone(),
        digest: found.digest,
        size_bytes: found.size_bytes,
        dimensions: found.dimensions,
        captured_at: told.or_else(|| time_in_name(old_name)).unwrap_or(found.modified_at),
        clock: ClockQuality::unsynchronised(),
        received_at: found.modified_at,
        store_key,
        file_name,
        origin: Origin::Imported(OldDoor { client_timestamp: timestamp.map(str::to_owned) }),
    };
    Ok(Fate::New { photo: Box::new(photo), has_odd_timestamp })
}

/// Whether a photo in the catalog is the one in this file. One that lies where it always was is not read again; one whose file
/// is gone meanwhile was taken over before.
fn is_held(durable: &Durable, file: &Path, held: &NewPhoto) -> bool {
    let place = durable.root().join(&held.store_key);
    match (file.canonicalize(), place.canonicalize()) {
        (Err(_), _) => true,
        (Ok(file), Ok(place)) if file == place => true,
        (Ok(file), _) => {
            let has_its_length = fs::metadata(&file).is_ok_and(|about| about.len() == held.size_bytes);
            has_its_length && digest_of_file(&file).is_ok_and(|digest| digest == held.digest)
        }
    }
}

/// A whole JPEG of the prototype.
struct Found {
    path: PathBuf,
    digest: Digest,
    size_bytes: u64,
    dimensions: Dimensions,
    modified_at: CapturedAt,
}

impl Found {
    fn read(path: &Path) -> io::Result<Self> {
        let about = fs::symlink_metadata(path)?;
        if !about.is_file() {
            return Err(io::Error::other("it is no ordinary file"));
        }
        if about.len() == 0 {
            return Err(io::Error::other("it is empty"));
        }
        let (mut hasher, mut check) = (Hasher::default(), JpegCheck::default());
        let mut file = fs::File::open(path)?;
        let mut piece = vec![0; 64 * 1_024];
        loop {
            match file.read(&mut piece)? {
                0 => break,
                length => {
                    hasher.update(&piece[..length]);
                    check.update(&piece[..length]).map_err(io::Error::other)?;
                }
            }
        }
        let modified_us = jiff::Timestamp::try_from(about.modified()?).map_err(io::Error::other)?.as_microsecond();
        Ok(Self {
            path: path.to_owned(),
            digest: hasher.finish(),
            size_bytes: about.len(),
            dimensions: check.finish().map_err(io::Error::other)?,
            modified_at: CapturedAt::from_micros(modified_us).unwrap_or(CapturedAt::EPOCH),
        })
    }
}

/// Makes sure that the photo is in our own `uploads/` and stays there.
fn keep(durable: &Durable, guard: &DiskGuard, found: &Path, store_key: &str) -> anyhow::Result<()> {
    let place = durable.root().join(store_key);
    if found.canonicalize().ok() == place.canonicalize().ok() {
        // The prototype never forced its files to the disk.
        return durable.settle(&place).with_context(|| format!("failed to settle {}", place.display()));
    }
    // Stations' photos need room, too.
    guard.check().context(
        "the disk has no room for the old photos beyond what min_free_bytes leaves free; make room and start again: what is done is done",
    )?;
    match durable.publish(&place, &fs::read(found)?, IfExists::Refuse) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && same_bytes(found, &place)? => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            bail!("{} exists with other bytes; nothing is overwritten, so move it away first", place.display())
        }
        result => result.with_context(|| format!("failed to copy {} to {}", found.display(), place.display())),
    }
}

fn same_bytes(one: &Path, other: &Path) -> io::Result<bool> {
    Ok(fs::read(one)? == fs::read(other)?)
}

/// The prototype's names begin with the server's local time of the upload: `YYYYmmdd_HHMMSS_`.
fn time_in_name(file_name: &str) -> Option<CapturedAt> {
    let (day, rest) = (file_name.get(..8)?, file_name.get(8..)?);
    let time = rest.strip_prefix('_')?.get(..6)?;
    let all_digits = day.bytes().chain(time.bytes()).all(|byte| byte.is_ascii_digit());
    if !all_digits {
        return None;
    }
    let text = format!("{}-{}-{}T{}:{}:{}Z", &day[..4], &day[4..6], &day[6..8], &time[..2], &time[2..4], &time[4..6]);
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::catalog::{PhotoFilter, Turn};

    /// A JPEG in structure, told from others by one byte of comment.
    fn jpeg(mark: u8) -> Vec<u8> {
        let frame = [0xFF, 0xC0, 0, 11, 8, 0, 1, 0, 2, 1, 1, 0x11, 0];
        let scan = [0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 0x12, 0xFF, 0xD9];
        [&[0xFF, 0xD8, 0xFF, 0xFE, 0, 3, mark], frame.as_slice(), &scan].concat()
    }

    /// A prototype's folder as one finds it after some power cuts.
    async fn prototype(folder: &Path) -> Vec<(&'static str, Vec<u8>)> {
        let files = vec![
            ("20250601_100000_a.jpg", jpeg(1)),
            ("20250601_100001_twice.jpg", jpeg(2)),
            ("20250601_100002_empty.jpg", Vec::new()),
            ("20250601_100003_half.jpg", jpeg(3)[..20].to_vec()),
            ("20250601_100004_script.jpg", jpeg(4)),
            ("20250601_100005_same_bytes.jpg", jpeg(1)),
        ];
        fs::create_dir_all(folder.join("uploads")).unwrap();
        for (name, bytes) in &files {
            fs::write(folder.join("uploads").join(name), bytes).unwrap();
        }
        let rows = [
            (1, "20250601_100000_a.jpg", "2025-06-01 09:59:58.5+03:00"),
            (2, "20250601_100001_twice.jpg", "2025-06-01T10:00:01"),
            (3, "20250601_100001_twice.jpg", "2025-06-01T10:00:01"),
            (4, "20250601_100009_gone.jpg", "2025-06-01T10:00:09"),
            (5, "20250601_100002_empty.jpg", "2025-06-01T10:00:02"),
            (6, "20250601_100003_half.jpg", "2025-06-01T10:00:03"),
            (7, "20250601_100004_script.jpg", "<script>alert(1)</script>"),
            (8, "../../../etc/passwd", "2025-06-01T10:00:05"),
            (9, "20250601_100005_same_bytes.jpg", "2025-06-01T10:00:05"),
        ];
        PrototypeLog::write(&folder.join("photo_log.db"), &rows).await;
        files
    }

    /// Imports `from` into the server's folder `to`.
    async fn import(from: &Path, to: &Path) -> (Imported, Catalog) {
        let durable = Durable::open(to).unwrap();
        let catalog = Catalog::open(&to.join("tide.db")).await.unwrap();
        let found = Prototype::find(from).unwrap();
        let name = DEFAULT_STATION.parse().unwrap();
        let guard = DiskGuard::new(vec![durable.root().to_owned()], 0);
        let imported = found.import(&catalog, &durable, &guard, &name, &ProgressBar::hidden()).await.unwrap();
        (imported, catalog)
    }

    async fn photos(catalog: &Catalog) -> BTreeMap<String, String> {
        let page = catalog.photo_page(PhotoFilter::default(), Turn::Newest, 100).await.unwrap().unwrap();
        let photos = page.photos.into_iter().map(|record| record.photo);
        photos.map(|photo| (photo.file_name, photo.captured_at.to_string())).collect()
    }

    #[tokio::test]
    async fn what_can_be_saved_is_visible_under_its_old_name_and_the_rest_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let files = prototype(folder.path()).await;
        let (imported, catalog) = import(folder.path(), folder.path()).await;
        assert_eq!(imported, Imported { photos: 4, without_row: 0, known: 0, lost: 5, odd_timestamps: 1 });
        let expected = [
            ("20250601_100000_a.jpg", "2025-06-01T06:59:58.500Z"),
            ("20250601_100001_twice.jpg", "2025-06-01T10:00:01.000Z"),
            ("20250601_100004_script.jpg", "2025-06-01T10:00:04.000Z"),
            ("20250601_100005_same_bytes.jpg", "2025-06-01T10:00:05.000Z"),
        ];
        assert_eq!(photos(&catalog).await, expected.map(|(name, at)| (name.to_owned(), at.to_owned())).into());
        for (name, bytes) in files {
            assert_eq!(fs::read(folder.path().join("uploads").join(name)).unwrap(), bytes, "{name} is unchanged");
        }
    }

    #[tokio::test]
    async fn twice_is_once() {
        let folder = tempfile::tempdir().unwrap();
        prototype(folder.path()).await;
        import(folder.path(), folder.path()).await.1.close().await;
        let (again, catalog) = import(folder.path(), folder.path()).await;
        assert_eq!(again, Imported { known: 4, lost: 5, ..Imported::default() });
        assert_eq!(photos(&catalog).await.len(), 4);
    }

    #[tokio::test]
    async fn a_lost_photo_that_comes_back_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        prototype(folder.path()).await;
        import(folder.path(), folder.path()).await.1.close().await;
        fs::write(folder.path().join("uploads/20250601_100009_gone.jpg"), jpeg(9)).unwrap();
        let (again, catalog) = import(folder.path(), folder.path()).await;
        assert_eq!(again, Imported { photos: 1, known: 4, lost: 4, ..Imported::default() });
        catalog.close().await;
        let (third, _) = import(folder.path(), folder.path()).await;
        assert_eq!(third, Imported { known: 5, lost: 4, ..Imported::default() });
    }

    #[tokio::test]
    async fn another_photo_of_the_same_name_is_kept_beside_the_first() {
        let (one, two, new) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = "20250601_100000_a.jpg";
        for (folder, mark) in [(&one, 1), (&two, 2)] {
            fs::create_dir_all(folder.path().join("uploads")).unwrap();
            fs::write(folder.path().join("uploads").join(name), jpeg(mark)).unwrap();
            PrototypeLog::write(&folder.path().join("photo_log.db"), &[(1, name, "2025-06-01T10:00:00")]).await;
        }
        for folder in [&one, &two] {
            let (imported, catalog) = import(folder.path(), new.path()).await;
            assert_eq!(imported.photos, 1);
            catalog.close().await;
        }
        for folder in [&one, &two] {
            let (again, catalog) = import(folder.path(), new.path()).await;
            assert_eq!((again.photos, again.known), (0, 1));
            catalog.close().await;
        }
        assert_eq!(fs::read(new.path().join("uploads").join(name)).unwrap(), jpeg(1));
        assert_eq!(fs::read(new.path().join(format!("uploads/prototype_{name}"))).unwrap(), jpeg(2));
    }

    #[tokio::test]
    async fn photos_that_the_old_database_has_forgotten_come_too() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        prototype(old.path()).await;
        for (name, bytes) in [
            ("20250401_080000_forgotten.JPG", jpeg(11)),
            ("odd name.jpeg", jpeg(12)),
            ("20250401_080001_half.jpg", jpeg(13)[..20].to_vec()),
            (".gitkeep", Vec::new()),
        ] {
            fs::write(old.path().join("uploads").join(name), bytes).unwrap();
        }
        for folder in [new.path(), old.path()] {
            let (imported, catalog) = import(old.path(), folder).await;
            assert_eq!(imported, Imported { photos: 6, without_row: 2, known: 0, lost: 5, odd_timestamps: 1 });
            let photos = photos(&catalog).await;
            assert_eq!(photos["20250401_080000_forgotten.JPG"], "2025-04-01T08:00:00.000Z");
            assert!(photos.contains_key("odd name.jpeg") && !photos.contains_key("20250401_080001_half.jpg"));
            catalog.close().await;
            let (again, _) = import(old.path(), folder).await;
            assert_eq!(again, Imported { known: 6, lost: 5, ..Imported::default() });
        }
        assert_eq!(fs::read(new.path().join("uploads/20250401_080000_forgotten.JPG")).unwrap(), jpeg(11));
    }

    #[tokio::test]
    async fn another_folder_is_copied_and_left_alone() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        prototype(old.path()).await;
        let (imported, _) = import(old.path(), new.path()).await;
        assert_eq!(imported.photos, 4);
        let copy = new.path().join("uploads/20250601_100000_a.jpg");
        assert_eq!(fs::read(copy).unwrap(), jpeg(1));
        assert_eq!(fs::read_dir(old.path().join("uploads")).unwrap().count(), 6);
    }
}
