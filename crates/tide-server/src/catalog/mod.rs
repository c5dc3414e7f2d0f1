//! What the server knows, in SQL: photos, stations, operators, sessions. No SQL stands outside this folder.
//!
//! All share a few connections; photos are written by one writer that commits many at once.

mod imports;
mod logins;
mod operators;
mod photos;
mod prototype;
mod stations;
mod statuses;
mod writer;

use std::path::Path;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

pub use imports::LostPhoto;
pub use logins::AuditLine;
pub use operators::{Operator, Role, StoredPassword};
pub use photos::{NewPhoto, OldDoor, Origin, Page, PhotoFilter, PhotoRecord, Turn};
pub use prototype::{PrototypeLog, PrototypeRow};
pub use stations::{Station, StationTaken};
pub use statuses::{Heard, StationOverview};
pub use writer::{PhotoWriter, Recorded};

/// Connections, for reading and writing. More only wait for the same two to four cores of a small server.
const CONNECTIONS: u32 = 4;

/// Memory for pages of the file in each connection. What is not there comes from the system's cache, at a fraction of what a
/// page of ours costs.
const CACHE_KIB: u32 = 256;

/// How long a statement waits for another process's write (a command line beside a running server).
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The catalog could not answer.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The database refused, or is out of reach.
    #[error("failed to use the catalog")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("failed to bring the catalog's tables up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A value that no version of this program writes.
    #[error("the catalog holds an impossible {0}; restore it from a backup")]
    Impossible(&'static str),
    /// The disk has no room for the catalog.
    #[error("the disk of the catalog is full")]
    Full,
    /// A commit failed, for every photo in it.
    #[error("failed to commit to the catalog: {0}")]
    Commit(String),
    /// The writer has stopped.
    #[error("the catalog's writer has stopped")]
    WriterStopped,
}

impl CatalogError {
    /// Whether it comes from an orderly stop.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::PoolClosed))
    }

    /// What an error of a whole transaction means for each photo in it.
    fn of_commit(error: &sqlx::Error) -> Self {
        if is_full(error) { Self::Full } else { Self::Commit(error.to_string()) }
    }
}

/// SQLITE_FULL, <https://sqlite.org/rescode.html#full>.
fn is_full(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| code == "13")
}

/// The catalog of one server. Clones share its connections.
#[derive(Clone)]
pub struct Catalog {
    pool: SqlitePool,
}

impl Catalog {
    /// Opens the catalog in `file`, creating it or bringing its tables up to date.
    ///
    /// # Errors
    /// If the file cannot be opened or is no catalog of this or an earlier version.
    pub async fn open(file: &Path) -> Result<Self, CatalogError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A receipt is a promise: a commit must be on the disk, not only in the kernel.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .pragma("cache_size", format!("-{CACHE_KIB}"))
            // What a commit of many photos has changed stays in memory until it is written once, to the log.
            .pragma("cache_spill", "false")
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        // SQLite takes some transactions back by itself, when the disk is full for instance. To sqlx they are open still, and no
        // other can begin on that connection: it is closed, and a new one takes its place.
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            // A connection to a file does not break while nobody uses it: asking each time whether it still answers would
            // double the messages to its thread.
            .test_before_acquire(false)
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect_with(options)
            .await?;
        // A newer server may have been here. What it has added does no harm, so an operator can go back one version; a change that
        // would do harm waits until the version before it knows of it, too.
        let mut known = sqlx::migrate!("./migrations");
        known.set_ignore_missing(true).run(&pool).await?;
        let newest = known.iter().map(|migration| migration.version).max().unwrap_or_default();
        let newer: i64 = sqlx::query_scalar("select count(*) from _sqlx_migrations where version > $1")
            .bind(newest)
            .fetch_one(&pool)
            .await?;
        if newer > 0 {
            tracing::warn!(
                newer,
                "a newer server has changed this catalog; this one works with it, but do not go back further"
            );
        }
        Ok(Self { pool })
    }

    /// Forces to the disk what an earlier process has committed: it may have been killed after its commit was visible and before
    /// it was durable, and a repeat is answered from what is visible.
    ///
    /// # Errors
    /// If the disk refuses.
    pub async fn settle(&self) -> Result<(), CatalogError> {
        sqlx::query("pragma wal_checkpoint(truncate)").execute(&self.pool).await?;
        Ok(())
    }

    /// Whether the catalog can be read and written at this moment.
    ///
    /// # Errors
    /// If it cannot.
    pub async fn answers(&self) -> Result<(), CatalogError> {
        // Asks for the right to write and gives it back: a catalog that can only be read takes no photos.
        self.pool.begin_with("begin immediate").await?.rollback().await?;
        Ok(())
    }

    /// What is wrong inside the catalog's own file; nothing, if it is whole.
    ///
    /// # Errors
    /// If it cannot be read at all.
    pub async fn damage(&self) -> Result<Vec<String>, CatalogError> {
        let found: Vec<String> = sqlx::query_scalar("pragma integrity_check").fetch_all(&self.pool).await?;
        Ok(found.into_iter().filter(|line| line != "ok").collect())
    }

    /// Closes every connection, folding the write-ahead log into the file.
    pub async fn close(&self) {
        // Connections that close at the same time may each leave it to the other. What stays in the log is not lost.
        drop(self.settle().await);
        self.pool.close().await;
    }
}

#[cfg(test)]
mod tests {
    use tide_photo::CapturedAt;

    use super::*;

    #[tokio::test]
    async fn a_transaction_that_sqlite_took_back_spoils_no_connection() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("tide.db")).await.unwrap();
        let mut transaction = catalog.pool.begin_with("begin immediate").await.unwrap();
        // As SQLite does by itself when a commit finds the disk full.
        sqlx::raw_sql("rollback").execute(&mut *transaction).await.unwrap();
        assert!(transaction.commit().await.is_err());
        for _ in 0..=CONNECTIONS {
            catalog.answers().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_newer_server_may_have_been_here() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tide.db");
        let catalog = Catalog::open(&file).await.unwrap();
        sqlx::raw_sql(
            "alter table station add column colour text;
             insert into _sqlx_migrations (version, description, success, checksum, execution_time)
             values (99999, 'colour', true, x'00', 0)",
        )
        .execute(&catalog.pool)
        .await
        .unwrap();
        catalog.close().await;
        let older = Catalog::open(&file).await.unwrap();
        older.import_station(&"pier-3".parse().unwrap(), CapturedAt::EPOCH).await.unwrap();
        assert_eq!(older.stations().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn damage_to_the_file_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tide.db");
        let catalog = Catalog::open(&file).await.unwrap();
        assert_eq!(catalog.damage().await.unwrap(), Vec::<String>::new());
        catalog.import_station(&"pier-3".parse().unwrap(), CapturedAt::EPOCH).await.unwrap();
        catalog.close().await;

        let mut bytes = std::fs::read(&file).unwrap();
        let name = bytes.windows(6).rposition(|window| window == b"pier-3").unwrap();
        // The table says another name than its index.
        bytes[name] = b'P';
        std::fs::write(&file, bytes).unwrap();
        assert!(!Catalog::open(&file).await.unwrap().damage().await.unwrap().is_empty());
    }
}
