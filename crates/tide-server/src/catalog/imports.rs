//! Photos that were a prototype server's.

use tide_photo::{CapturedAt, StationName};

use super::photos::{self, NewPhoto};
use super::{Catalog, CatalogError, Station};

/// A row of a prototype server whose photo is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostPhoto {
    /// The prototype's number.
    pub old_id: i64,
    /// Its file name.
    pub file_name: String,
    /// Its timestamp, in its words.
    pub client_timestamp: String,
    /// What became of it.
    pub reason: String,
}

impl Catalog {
    /// The station that gets the photos of a prototype, made without a token if need be.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn import_station(&self, name: &StationName, now: CapturedAt) -> Result<Station, CatalogError> {
        sqlx::query("insert into station (name, created_at) values ($1, $2) on conflict (name) do nothing")
            .bind(name.as_str())
            .bind(now.as_micros())
            .execute(&self.pool)
            .await?;
        let id = sqlx::query_scalar("select id from station where name = $1")
            .bind(name.as_str())
            .fetch_one(&self.pool)
            .await?;
        Ok(Station { id, name: name.clone() })
    }

    /// Whether that row of a prototype has been noted as lost.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn is_noted_as_lost(&self, station: &Station, old_id: i64) -> Result<bool, CatalogError> {
        let id: Option<i64> = sqlx::query_scalar("select id from lost_photo where station_id = $1 and old_id = $2")
            .bind(station.id)
            .bind(old_id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(id.is_some())
    }

    /// Records photos (each with the prototype's number, if it has one) and losses of a prototype, all or none of them. A photo
    /// that was noted as lost is so no longer.
    ///
    /// # Errors
    /// If the catalog cannot commit them.
    pub async fn record_import(
        &self,
        station: &Station,
        photos: &[(Option<i64>, NewPhoto)],
        lost: &[LostPhoto],
    ) -> Result<(), CatalogError> {
        let mut transaction = self.pool.begin_with("begin immediate").await?;
        for (old_id, photo) in photos {
            photos::insert(&mut transaction, photo).await?;
            sqlx::query("delete from lost_photo where station_id = $1 and old_id = $2")
                .bind(station.id)
                .bind(old_id)
                .execute(&mut *transaction)
                .await?;
        }
        for lost in lost {
            sqlx::query(
                "insert into lost_photo (station_id, old_id, file_name, client_timestamp, reason) \
                 values ($1, $2, $3, $4, $5) on conflict (station_id, old_id) do nothing",
            )
            .bind(station.id)
            .bind(lost.old_id)
            .bind(&lost.file_name)
            .bind(&lost.client_timestamp)
            .bind(&lost.reason)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}
