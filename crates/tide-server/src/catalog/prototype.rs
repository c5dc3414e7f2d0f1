//! The prototype's own database, only read.

use std::path::Path;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use super::CatalogError;

/// The prototype's `photo_log.db`.
pub struct PrototypeLog {
    pool: SqlitePool,
}

/// One row of it, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrototypeRow {
    /// Its number.
    pub id: i64,
    /// File name below `uploads`.
    pub file_name: String,
    /// What the device sent.
    pub timestamp: String,
}

impl PrototypeLog {
    /// Opens it without changing it.
    ///
    /// # Errors
    /// If it is no such database.
    pub async fn open(file: &Path) -> Result<Self, CatalogError> {
        let options = SqliteConnectOptions::new().filename(file).read_only(true);
        Ok(Self { pool: SqlitePoolOptions::new().max_connections(1).connect_with(options).await? })
    }

    /// How many rows it has.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn count(&self) -> Result<u64, CatalogError> {
        let count: i64 = sqlx::query_scalar("select count(*) from photos").fetch_one(&self.pool).await?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Whether a later row has the same file name: then its photo took the place of the earlier one's.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn is_overwritten(&self, row: &PrototypeRow) -> Result<bool, CatalogError> {
        let later: Option<i64> = sqlx::query_scalar("select id from photos where filename = $1 and id > $2 limit 1")
            .bind(&row.file_name)
            .bind(row.id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(later.is_some())
    }

    /// At most `limit` rows with numbers above `after`, by number.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn rows_after(&self, after: i64, limit: u32) -> Result<Vec<PrototypeRow>, CatalogError> {
        // Old rows may lack a value, or hold a number where text belongs.
        let rows = sqlx::query(
            "select id, cast(coalesce(filename, '') as text) as filename, \
             cast(coalesce(timestamp, '') as text) as timestamp from photos where id > $1 order by id limit $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let row = |row: &sqlx::sqlite::SqliteRow| {
            Ok(PrototypeRow {
                id: row.try_get("id")?,
                file_name: row.try_get("filename")?,
                timestamp: row.try_get("timestamp")?,
            })
        };
        rows.iter().map(row).collect()
    }
}

#[cfg(test)]
impl PrototypeLog {
    /// Writes such a database as the prototype does.
    pub(crate) async fn write(file: &Path, rows: &[(i64, &str, &str)]) {
        let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        sqlx::query("create table photos (id integer primary key autoincrement, filename text, timestamp text)")
            .execute(&pool)
            .await
            .unwrap();
        for (id, file_name, timestamp) in rows {
            let insert = sqlx::query("insert into photos (id, filename, timestamp) values ($1, $2, $3)");
            insert.bind(id).bind(file_name).bind(timestamp).execute(&pool).await.unwrap();
        }
        pool.close().await;
    }
}
