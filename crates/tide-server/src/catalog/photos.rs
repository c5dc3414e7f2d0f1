//! Photos: recorded once, found by number, file name or digest, paged by time.

use std::collections::HashSet;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, QueryBuilder, Row};
use tide_photo::jpeg::Dimensions;
use tide_photo::manifest::Repair;
use tide_photo::{CapturedAt, ClockQuality, ClockSource, Digest, StationName};

use super::stations::name_in;
use super::writer::Recorded;
use super::{Catalog, CatalogError, Station};

/// A photo whose bytes the photo store holds, to be recorded.
#[derive(Debug, Clone)]
pub struct NewPhoto {
    /// Whose.
    pub station: Station,
    /// Identity of its bytes.
    pub digest: Digest,
    /// Length in bytes.
    pub size_bytes: u64,
    /// Width and height.
    pub dimensions: Dimensions,
    /// Moment of exposure.
    pub captured_at: CapturedAt,
    /// How surely.
    pub clock: ClockQuality,
    /// When the server had it whole.
    pub received_at: CapturedAt,
    /// Where the photo store keeps it.
    pub store_key: String,
    /// The name under which `/uploads` serves it.
    pub file_name: String,
    /// Through which door it came, and what is known from there.
    pub origin: Origin,
}

/// What each door tells about a photo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A station's manifest.
    Manifest {
        /// The station's count of photos.
        sequence: u64,
        /// The kernel's id of the boot.
        boot_id: String,
        /// Microseconds since that boot.
        monotonic_us: u64,
        /// Kind of camera.
        camera: String,
        /// How far off the camera knew the moment, in milliseconds.
        moment_ms: Option<u32>,
        /// Set if the time was found later.
        repaired: Option<Repair>,
    },
    /// An old device's form.
    OldDoor(OldDoor),
    /// A prototype server's row and file, which stay where they are.
    Imported(OldDoor),
}

/// The old door tells nothing but a timestamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldDoor {
    /// The device's words, as they came.
    pub client_timestamp: Option<String>,
}

/// A photo in the catalog.
#[derive(Debug, Clone)]
pub struct PhotoRecord {
    /// Number in the catalog.
    pub id: i64,
    /// Everything recorded about it.
    pub photo: NewPhoto,
}

/// Which photos a page is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PhotoFilter {
    /// Only this station's (its number).
    pub station_id: Option<i64>,
}

/// Where a page begins. Photos are ordered by time of exposure, then number; newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// At the newest photo.
    Newest,
    /// Behind the photo of this number.
    OlderThan(i64),
    /// Before the photo of this number.
    NewerThan(i64),
}

/// Some photos, newest first.
#[derive(Debug)]
pub struct Page {
    /// At most as many as asked for.
    pub photos: Vec<PhotoRecord>,
    /// Whether there are newer ones.
    pub has_newer: bool,
    /// Whether there are older ones.
    pub has_older: bool,
}

/// Keys asked for in one statement.
const KEYS_AT_ONCE: usize = 500;

/// Every column that [`record_in`] reads.
const SELECT: &str = "select photo.*, station.name as station_name from photo \
                      join station on station.id = photo.station_id";

impl Catalog {
    /// The photo of a station with that digest.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn held_photo(&self, station: &Station, digest: &Digest) -> Result<Option<Recorded>, CatalogError> {
        let mut connection = self.pool.acquire().await?;
        held(&mut connection, station.id, digest).await
    }

    /// The photo of that number.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn photo(&self, id: i64) -> Result<Option<PhotoRecord>, CatalogError> {
        let sql = AssertSqlSafe(format!("{SELECT} where photo.id = $1"));
        let row = sqlx::query(sql).bind(id).fetch_optional(&self.pool).await?;
        row.map(|row| record_in(&row)).transpose()
    }

    /// The photo that `/uploads` serves under that name.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn photo_named(&self, file_name: &str) -> Result<Option<PhotoRecord>, CatalogError> {
        let sql = AssertSqlSafe(format!("{SELECT} where photo.file_name = $1"));
        let row = sqlx::query(sql).bind(file_name).fetch_optional(&self.pool).await?;
        row.map(|row| record_in(&row)).transpose()
    }

    /// Those of the keys that have a row, which points at their bytes in the photo store.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn known_store_keys(&self, store_keys: &[String]) -> Result<HashSet<String>, CatalogError> {
        let mut known = HashSet::new();
        for keys in store_keys.chunks(KEYS_AT_ONCE) {
            let mut query = QueryBuilder::new("select store_key from photo where store_key in (");
            let mut list = query.separated(", ");
            keys.iter().for_each(|key| {
                list.push_bind(key);
            });
            query.push(")");
            known.extend(query.build_query_scalar::<String>().fetch_all(&self.pool).await?);
        }
        Ok(known)
    }

    /// How many photos there are.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn photo_count(&self) -> Result<u64, CatalogError> {
        let count: i64 = sqlx::query_scalar("select count(*) from photo").fetch_one(&self.pool).await?;
        u64::try_from(count).map_err(|_| CatalogError::Impossible("count"))
    }

    /// At most `limit` photos with numbers above `after`, by number: for going through all of them.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn photos_after(&self, after: i64, limit: u32) -> Result<Vec<PhotoRecord>, CatalogError> {
        let sql = AssertSqlSafe(format!("{SELECT} where photo.id > $1 order by photo.id limit $2"));
        let rows = sqlx::query(sql).bind(after).bind(limit).fetch_all(&self.pool).await?;
        rows.iter().map(record_in).collect()
    }

    /// One page of at most `limit` photos. `None` if the photo to turn from does not exist.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn photo_page(&self, filter: PhotoFilter, turn: Turn, limit: u32) -> Result<Option<Page>, CatalogError> {
        let (anchor, towards_newer) = match turn {
            Turn::Newest => (None, false),
            Turn::OlderThan(id) => (Some(id), false),
            Turn::NewerThan(id) => (Some(id), true),
        };
        let position = match anchor {
            None => None,
            Some(id) => match self.position(id).await? {
                Some(position) => Some(position),
                None => return Ok(None),
            },
        };
        // One more than asked for tells whether there is a further page.
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut photos = self.photos_from(filter, position, towards_newer, limit.saturating_add(1)).await?;
        let has_more = photos.len() > wanted;
        photos.truncate(wanted);
        if towards_newer {
            photos.reverse();
            return Ok(Some(Page { photos, has_newer: has_more, has_older: true }));
        }
        let has_newer = match photos.first() {
            Some(first) if position.is_some() => {
                let first = Position { captured_at: first.photo.captured_at.as_micros(), id: first.id };
                !self.photos_from(filter, Some(first), true, 1).await?.is_empty()
            }
            _ => position.is_some(),
        };
        Ok(Some(Page { photos, has_newer, has_older: has_more }))
    }

    async fn position(&self, id: i64) -> Result<Option<Position>, CatalogError> {
        let captured_at: Option<i64> = sqlx::query_scalar("select captured_at from photo where id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(captured_at.map(|captured_at| Position { captured_at, id }))
    }

    async fn photos_from(
        &self,
        filter: PhotoFilter,
        from: Option<Position>,
        towards_newer: bool,
        limit: u32,
    ) -> Result<Vec<PhotoRecord>, CatalogError> {
        let (comparison, order) = if towards_newer { (">", "asc") } else { ("<", "desc") };
        // Without a station the index of all photos is walked, with one that station's: a condition that serves both would
        // serve neither.
        let of_station = if filter.station_id.is_some() { "photo.station_id = $4 and" } else { "" };
        let start = if towards_newer { Position::FIRST } else { Position::LAST };
        let from = from.unwrap_or(start);
        let sql = AssertSqlSafe(format!(
            "{SELECT} where {of_station} (photo.captured_at, photo.id) {comparison} ($1, $2) \
             order by photo.captured_at {order}, photo.id {order} limit $3"
        ));
        let query = sqlx::query(sql).bind(from.captured_at).bind(from.id).bind(limit);
        let query = match filter.station_id {
            Some(station_id) => query.bind(station_id),
            None => query,
        };
        query.fetch_all(&self.pool).await?.iter().map(record_in).collect()
    }
}

/// A place in the order of photos.
#[derive(Debug, Clone, Copy)]
struct Position {
    captured_at: i64,
    id: i64,
}

impl Position {
    const FIRST: Self = Self { captured_at: i64::MIN, id: i64::MIN };
    const LAST: Self = Self { captured_at: i64::MAX, id: i64::MAX };
}

/// Records a photo, or finds the record that a repeat means.
pub(super) async fn record(connection: &mut SqliteConnection, new: &NewPhoto) -> Result<Recorded, CatalogError> {
    if let Some(id) = insert(connection, new).await? {
        return Ok(Recorded { id, received_at: new.received_at, is_new: true });
    }
    let recorded = held(connection, new.station.id, &new.digest).await?;
    recorded.ok_or(CatalogError::Impossible("repeat"))
}

async fn held(
    connection: &mut SqliteConnection,
    station_id: i64,
    digest: &Digest,
) -> Result<Option<Recorded>, CatalogError> {
    let row =
        sqlx::query("select id, received_at from photo where station_id = $1 and digest = $2 and is_imported = 0")
            .bind(station_id)
            .bind(digest.as_bytes().as_slice())
            .fetch_optional(connection)
            .await?;
    row.map(|row| {
        Ok(Recorded { id: row.try_get("id")?, received_at: moment(row.try_get("received_at")?)?, is_new: false })
    })
    .transpose()
}

/// The new row's number; `None` if the station's photo of that digest has its row. Imported photos always get one.
pub(super) async fn insert(connection: &mut SqliteConnection, new: &NewPhoto) -> Result<Option<i64>, CatalogError> {
    let (manifest, client_timestamp) = match &new.origin {
        Origin::Manifest { sequence, boot_id, monotonic_us, camera, moment_ms, repaired } => {
            let found_later = (*moment_ms, repaired.map(|repair| repair.clock_said.as_micros()));
            (Some((signed(*sequence)?, boot_id, signed(*monotonic_us)?, camera, found_later)), None)
        }
        Origin::OldDoor(old) | Origin::Imported(old) => (None, old.client_timestamp.as_deref()),
    };
    let id = sqlx::query_scalar(
        "insert into photo (station_id, digest, size_bytes, width, height, captured_at, clock_source, uncertainty_ms, \
         received_at, store_key, file_name, sequence, boot_id, monotonic_us, camera, client_timestamp, \
         is_imported, clock_said, moment_ms) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) \
         on conflict (station_id, digest) where is_imported = 0 do nothing returning id",
    )
    .bind(new.station.id)
    .bind(new.digest.as_bytes().as_slice())
    .bind(signed(new.size_bytes)?)
    .bind(new.dimensions.width)
    .bind(new.dimensions.height)
    .bind(new.captured_at.as_micros())
    .bind(new.clock.source().as_str())
    .bind(new.clock.uncertainty_ms())
    .bind(new.received_at.as_micros())
    .bind(&new.store_key)
    .bind(&new.file_name)
    .bind(manifest.map(|(sequence, ..)| sequence))
    .bind(manifest.map(|(_, boot_id, ..)| boot_id))
    .bind(manifest.map(|(.., monotonic_us, _, _)| monotonic_us))
    .bind(manifest.map(|(.., camera, _)| camera))
    .bind(client_timestamp)
    .bind(matches!(new.origin, Origin::Imported(_)))
    .bind(manifest.and_then(|(.., (_, clock_said))| clock_said))
    .bind(manifest.and_then(|(.., (moment_ms, _))| moment_ms))
    .fetch_optional(connection)
    .await
    .map_err(|error| if super::is_full(&error) { CatalogError::Full } else { error.into() })?;
    Ok(id)
}

fn record_in(row: &SqliteRow) -> Result<PhotoRecord, CatalogError> {
    let station = Station { id: row.try_get("station_id")?, name: station_name_in(row)? };
    let digest: &[u8] = row.try_get("digest")?;
    let photo = NewPhoto {
        station,
        digest: digest.try_into().map_err(|_| CatalogError::Impossible("digest"))?,
        size_bytes: unsigned(row.try_get("size_bytes")?)?,
        dimensions: Dimensions { width: row.try_get("width")?, height: row.try_get("height")? },
        captured_at: moment(row.try_get("captured_at")?)?,
        clock: clock_in(row)?,
        received_at: moment(row.try_get("received_at")?)?,
        store_key: row.try_get("store_key")?,
        file_name: row.try_get("file_name")?,
        origin: origin_in(row)?,
    };
    Ok(PhotoRecord { id: row.try_get("id")?, photo })
}

fn station_name_in(row: &SqliteRow) -> Result<StationName, CatalogError> {
    name_in(row.try_get("station_name")?)
}

fn clock_in(row: &SqliteRow) -> Result<ClockQuality, CatalogError> {
    let source = ClockSource::from_word(row.try_get("clock_source")?);
    let uncertainty_ms: Option<u32> = row.try_get("uncertainty_ms")?;
    match (source, uncertainty_ms) {
        (Some(ClockSource::Unsynchronised), None) => Some(ClockQuality::unsynchronised()),
        (Some(source), Some(ms)) => ClockQuality::synchronised(source, ms),
        _ => None,
    }
    .ok_or(CatalogError::Impossible("clock quality"))
}

fn origin_in(row: &SqliteRow) -> Result<Origin, CatalogError> {
    let Some(sequence) = row.try_get("sequence")? else {
        let old = OldDoor { client_timestamp: row.try_get("client_timestamp")? };
        return Ok(if row.try_get("is_imported")? { Origin::Imported(old) } else { Origin::OldDoor(old) });
    };
    Ok(Origin::Manifest {
        sequence: unsigned(sequence)?,
        boot_id: row.try_get("boot_id")?,
        monotonic_us: unsigned(row.try_get("monotonic_us")?)?,
        camera: row.try_get("camera")?,
        moment_ms: row.try_get("moment_ms")?,
        repaired: repair_in(row)?,
    })
}

fn repair_in(row: &SqliteRow) -> Result<Option<Repair>, CatalogError> {
    let clock_said: Option<i64> = row.try_get("clock_said")?;
    clock_said.map(|micros| Ok(Repair { clock_said: moment(micros)? })).transpose()
}

pub(super) fn moment(micros: i64) -> Result<CapturedAt, CatalogError> {
    CapturedAt::from_micros(micros).ok_or(CatalogError::Impossible("time"))
}

fn signed(number: u64) -> Result<i64, CatalogError> {
    i64::try_from(number).map_err(|_| CatalogError::Impossible("number"))
}

fn unsigned(number: i64) -> Result<u64, CatalogError> {
    u64::try_from(number).map_err(|_| CatalogError::Impossible("number"))
}
