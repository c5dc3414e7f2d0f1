//! Stations and their tokens.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use tide_photo::{CapturedAt, StationName};

use super::{Catalog, CatalogError};
use crate::secret::SecretHash;

/// A station as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Station {
    /// Number in the catalog.
    pub id: i64,
    /// Its name.
    pub name: StationName,
}

/// The name is in use.
#[derive(Debug, thiserror::Error)]
#[error("there is already a station named {0}; choose another name")]
pub struct StationTaken(pub StationName);

impl Catalog {
    /// Adds a station with its first token; `None` if the name is taken.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn add_station(
        &self,
        name: &StationName,
        token: &SecretHash,
        now: CapturedAt,
    ) -> Result<Option<Station>, CatalogError> {
        let mut transaction = self.pool.begin().await?;
        let id: Option<i64> = sqlx::query_scalar(
            "insert into station (name, created_at) values ($1, $2) on conflict (name) do nothing returning id",
        )
        .bind(name.as_str())
        .bind(now.as_micros())
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(id) = id else { return Ok(None) };
        add_token(&mut transaction, id, token, now).await?;
        transaction.commit().await?;
        Ok(Some(Station { id, name: name.clone() }))
    }

    /// Gives a station a further token; with `only`, the earlier ones are no longer known. `false` if there is no such station,
    /// or it takes uploads without a token.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn add_token(
        &self,
        name: &StationName,
        token: &SecretHash,
        only: bool,
        now: CapturedAt,
    ) -> Result<bool, CatalogError> {
        let mut transaction = self.pool.begin_with("begin immediate").await?;
        let id: Option<i64> = sqlx::query_scalar("select id from station where name = $1 and is_anonymous = 0")
            .bind(name.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(id) = id else { return Ok(false) };
        if only {
            sqlx::query("delete from station_token where station_id = $1").bind(id).execute(&mut *transaction).await?;
        }
        add_token(&mut transaction, id, token, now).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// The station that takes uploads without a token, made if need be. `None` if a station with tokens has that name.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn anonymous_station(
        &self,
        name: &StationName,
        now: CapturedAt,
    ) -> Result<Option<Station>, CatalogError> {
        sqlx::query(
            "insert into station (name, is_anonymous, created_at) values ($1, 1, $2) on conflict (name) do nothing",
        )
        .bind(name.as_str())
        .bind(now.as_micros())
        .execute(&self.pool)
        .await?;
        let id: Option<i64> = sqlx::query_scalar("select id from station where name = $1 and is_anonymous = 1")
            .bind(name.as_str())
            .fetch_optional(&self.pool)
            .await?;
        Ok(id.map(|id| Station { id, name: name.clone() }))
    }

    /// The station that holds this token.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn station_with_token(&self, token: &SecretHash) -> Result<Option<Station>, CatalogError> {
        let row = sqlx::query(
            "select station.id, station.name from station_token \
             join station on station.id = station_token.station_id where station_token.hash = $1",
        )
        .bind(token.as_bytes())
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| Ok(Station { id: row.try_get("id")?, name: name_in(row.try_get("name")?)? })).transpose()
    }

    /// Every station, by name.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn stations(&self) -> Result<Vec<Station>, CatalogError> {
        let rows = sqlx::query("select id, name from station order by name").fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|row| Ok(Station { id: row.try_get("id")?, name: name_in(row.try_get("name")?)? }))
            .collect()
    }
}

async fn add_token(
    connection: &mut SqliteConnection,
    station_id: i64,
    token: &SecretHash,
    now: CapturedAt,
) -> Result<(), CatalogError> {
    sqlx::query("insert into station_token (hash, station_id, created_at) values ($1, $2, $3)")
        .bind(token.as_bytes())
        .bind(station_id)
        .bind(now.as_micros())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) fn name_in(text: &str) -> Result<StationName, CatalogError> {
    text.parse().map_err(|_| CatalogError::Impossible("station name"))
}
