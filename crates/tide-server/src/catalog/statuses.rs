//! How the stations are: the latest status of each, and its latest photo.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tide_photo::CapturedAt;
use tide_photo::clock::DRIFT_PPM;
use tide_photo::status::StationStatus;

use super::photos::moment;
use super::stations::name_in;
use super::{Catalog, CatalogError, Station};

/// What is known of a station at this moment.
#[derive(Debug, Clone, PartialEq)]
pub struct StationOverview {
    /// Which.
    pub station: Station,
    /// Number and time of its latest photo.
    pub last_photo: Option<(i64, CapturedAt)>,
    /// What it last said of itself; `None` if it never has.
    pub heard: Option<Heard>,
}

/// A status that has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// The latest; `None` if this version cannot read it.
    pub status: Option<StationStatus>,
    /// When it came, by the server's clock.
    pub received_at: CapturedAt,
    /// When the first one came.
    pub first_received_at: CapturedAt,
}

impl Catalog {
    /// Takes a station's status in the place of the one before.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn record_status(
        &self,
        station: &Station,
        status: &StationStatus,
        now: CapturedAt,
    ) -> Result<(), CatalogError> {
        let json = serde_json::to_string(status).map_err(|_| CatalogError::Impossible("status"))?;
        sqlx::query(
            "insert into station_status (station_id, status, received_at, first_received_at) values ($1, $2, $3, $3) \
             on conflict (station_id) do update set status = excluded.status, received_at = excluded.received_at",
        )
        .bind(station.id)
        .bind(json)
        .bind(now.as_micros())
        .execute(&self.pool)
        .await
        .map_err(|error| if super::is_full(&error) { CatalogError::Full } else { error.into() })?;
        Ok(())
    }

    /// Finds the time of photos that came while their station's clock was not good: `status` says what the good clock and the
    /// clock that is never set show at one moment of the same boot. How many photos have their time now.
    ///
    /// The station does the same with photos that still wait in its spool, by the same rule.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn find_times(&self, station: &Station, status: &StationStatus) -> Result<u64, CatalogError> {
        let Some(uncertainty_ms) = status.clock.uncertainty_ms().filter(|_| !status.boot_id.is_empty()) else {
            return Ok(0);
        };
        // Microseconds times parts per million, in milliseconds, rounded up.
        let found = sqlx::query(
            "update photo set clock_said = captured_at, captured_at = $1 - ($2 - monotonic_us), clock_source = $3, \
             uncertainty_ms = $4 + coalesce(moment_ms, 0) + (($2 - monotonic_us) * $5 + 999999999) / 1000000000 \
             where station_id = $7 and boot_id = $8 and clock_source = 'unsynchronised' and clock_said is null \
             and monotonic_us <= $2 and $1 - ($2 - monotonic_us) >= 0 \
             and $4 + coalesce(moment_ms, 0) + (($2 - monotonic_us) * $5 + 999999999) / 1000000000 <= $6",
        )
        .bind(status.at.as_micros())
        .bind(i64::try_from(status.monotonic_us).map_err(|_| CatalogError::Impossible("time since a boot"))?)
        .bind(status.clock.source().as_str())
        .bind(uncertainty_ms)
        .bind(DRIFT_PPM)
        .bind(u32::MAX)
        .bind(station.id)
        .bind(&status.boot_id)
        .execute(&self.pool)
        .await
        .map_err(|error| if super::is_full(&error) { CatalogError::Full } else { error.into() })?;
        Ok(found.rows_affected())
    }

    /// Every station with what is known of it, by name.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn station_overviews(&self) -> Result<Vec<StationOverview>, CatalogError> {
        let rows = sqlx::query(
            "select station.id, station.name, station_status.*, photo.id as photo_id, photo.captured_at from station \
             left join station_status on station_status.station_id = station.id \
             left join photo on photo.id = (select latest.id from photo latest where latest.station_id = station.id \
             order by latest.captured_at desc, latest.id desc limit 1) order by station.name",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(overview_in).collect()
    }
}

fn overview_in(row: &SqliteRow) -> Result<StationOverview, CatalogError> {
    let station = Station { id: row.try_get("id")?, name: name_in(row.try_get("name")?)? };
    let last_photo = match row.try_get::<Option<i64>, _>("photo_id")? {
        Some(id) => Some((id, moment(row.try_get("captured_at")?)?)),
        None => None,
    };
    let heard = match row.try_get::<Option<String>, _>("status")? {
        Some(json) => Some(Heard {
            status: serde_json::from_str(&json).ok(),
            received_at: moment(row.try_get("received_at")?)?,
            first_received_at: moment(row.try_get("first_received_at")?)?,
        }),
        None => None,
    };
    Ok(StationOverview { station, last_photo, heard })
}

/// A status of nothing, for tests.
#[cfg(test)]
pub(super) fn example(station: &Station, monotonic_us: u64) -> StationStatus {
    let json = serde_json::json!({
        "version": 1, "station": station.name, "at": "1970-01-01T00:00:05Z", "clock": {"source": "unsynchronised"},
        "boot_id": "boot", "monotonic_us": monotonic_us, "software": "0.1.0", "spool": tide_photo::status::SpoolStatus::default(),
        "shots": {"taken": 0, "missed": 0}, "camera": {"kind": "usb", "failures_in_a_row": 0}, "temperature_c": 48.5,
    });
    serde_json::from_value(json).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn at(second: i64) -> CapturedAt {
        CapturedAt::from_micros(second * 1_000_000).unwrap()
    }

    #[tokio::test]
    async fn the_latest_status_takes_the_place_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("tide.db")).await.unwrap();
        let add = async |name: &str| {
            catalog.add_station(&name.parse().unwrap(), &Secret::random().hash(), at(0)).await.unwrap().unwrap()
        };
        let (pier, silent) = (add("pier-3").await, add("quay").await);
        for (monotonic_us, second) in [(10, 100), (70, 160)] {
            catalog.record_status(&pier, &example(&pier, monotonic_us), at(second)).await.unwrap();
        }
        let heard = Heard { status: Some(example(&pier, 70)), received_at: at(160), first_received_at: at(100) };
        let overviews = catalog.station_overviews().await.unwrap();
        let expected = [
            StationOverview { station: pier, last_photo: None, heard: Some(heard) },
            StationOverview { station: silent, last_photo: None, heard: None },
        ];
        assert_eq!(overviews, expected);
    }
}
