//! How the stations are: the latest status of each, and its latest photo.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tide_photo::CapturedAt;
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

#[cfg(test)]
mod tests {
    use tide_photo::ClockQuality;
    use tide_photo::status::{CameraStatus, STATUS_VERSION, ShotStatus, SpoolStatus};

    use super::*;
    use crate::secret::Secret;

    fn at(second: i64) -> CapturedAt {
        CapturedAt::from_micros(second * 1_000_000).unwrap()
    }

    fn status(station: &Station, uptime_s: u64) -> StationStatus {
        StationStatus {
            version: STATUS_VERSION,
            station: station.name.clone(),
            at: at(5),
            clock: ClockQuality::unsynchronised(),
            boot_id: "boot".to_owned(),
            uptime_s,
            software: "0.1.0".to_owned(),
            spool: SpoolStatus::default(),
            shots: ShotStatus::default(),
            camera: CameraStatus::default(),
            disk: None,
            memory: None,
            temperature_c: Some(48.5),
            throttling: Vec::new(),
            gps: None,
            last_error: None,
        }
    }

    #[tokio::test]
    async fn the_latest_status_takes_the_place_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("tide.db")).await.unwrap();
        let add = async |name: &str| {
            catalog.add_station(&name.parse().unwrap(), &Secret::random().hash(), at(0)).await.unwrap().unwrap()
        };
        let (pier, silent) = (add("pier-3").await, add("quay").await);
        for (uptime_s, second) in [(10, 100), (70, 160)] {
            catalog.record_status(&pier, &status(&pier, uptime_s), at(second)).await.unwrap();
        }
        let heard = Heard { status: Some(status(&pier, 70)), received_at: at(160), first_received_at: at(100) };
        let overviews = catalog.station_overviews().await.unwrap();
        let expected = [
            StationOverview { station: pier, last_photo: None, heard: Some(heard) },
            StationOverview { station: silent, last_photo: None, heard: None },
        ];
        assert_eq!(overviews, expected);
    }
}
