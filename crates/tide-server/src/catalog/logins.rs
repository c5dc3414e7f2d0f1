//! Logins that failed, and the record of who did what.

use sqlx::Row;
use tide_photo::CapturedAt;

use super::{Catalog, CatalogError};
use crate::throttle::Failures;

/// Lines of the audit log that are kept: years of an ordinary server's, and a bound for one under attack.
const AUDIT_LINES: i64 = 100_000;

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    /// When.
    pub at: CapturedAt,
    /// By whom: an operator's name, or `command line`.
    pub actor: String,
    /// What, for instance `logged in`.
    pub action: String,
    /// To whom or what; empty where the actor says it.
    pub subject: String,
    /// From where, if over the network.
    pub address: Option<String>,
}

impl Catalog {
    /// The failures noted under a key.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn login_failures(&self, key: &str) -> Result<Option<Failures>, CatalogError> {
        let row = sqlx::query("select failures, last_at from login_failure where subject = $1")
            .bind(key)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| {
            let last_at = CapturedAt::from_micros(row.try_get("last_at")?).ok_or(CatalogError::Impossible("time"))?;
            Ok(Failures { count: row.try_get("failures")?, last_at })
        })
        .transpose()
    }

    /// Notes one more failure under each key; those that are `forgotten_before` count no longer, and are removed.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn note_login_failure(
        &self,
        keys: &[String],
        now: CapturedAt,
        forgotten_before: CapturedAt,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.pool.begin_with("begin immediate").await?;
        sqlx::query("delete from login_failure where last_at <= $1")
            .bind(forgotten_before.as_micros())
            .execute(&mut *transaction)
            .await?;
        for key in keys {
            sqlx::query(
                "insert into login_failure (subject, failures, last_at) values ($1, 1, $2) \
                 on conflict (subject) do update set failures = login_failure.failures + 1, last_at = excluded.last_at",
            )
            .bind(key)
            .bind(now.as_micros())
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Forgets the failures under a key.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn forget_login_failures(&self, key: &str) -> Result<(), CatalogError> {
        sqlx::query("delete from login_failure where subject = $1").bind(key).execute(&self.pool).await?;
        Ok(())
    }

    /// Takes back one failure under a key: the login succeeded.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn undo_login_failure(&self, key: &str) -> Result<(), CatalogError> {
        sqlx::query("update login_failure set failures = failures - 1 where subject = $1 and failures > 0")
            .bind(key)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Adds a line to the audit log; the oldest beyond the bound go.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn note(&self, line: &AuditLine) -> Result<(), CatalogError> {
        let mut transaction = self.pool.begin_with("begin immediate").await?;
        sqlx::query("insert into audit (at, actor, action, subject, address) values ($1, $2, $3, $4, $5)")
            .bind(line.at.as_micros())
            .bind(&line.actor)
            .bind(&line.action)
            .bind(&line.subject)
            .bind(&line.address)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("delete from audit where id <= (select max(id) from audit) - $1")
            .bind(AUDIT_LINES)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The newest lines of the audit log, newest first.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn audit(&self, limit: u32) -> Result<Vec<AuditLine>, CatalogError> {
        let rows = sqlx::query("select at, actor, action, subject, address from audit order by id desc limit $1")
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        let line = |row: &sqlx::sqlite::SqliteRow| {
            Ok(AuditLine {
                at: CapturedAt::from_micros(row.try_get("at")?).ok_or(CatalogError::Impossible("time"))?,
                actor: row.try_get("actor")?,
                action: row.try_get("action")?,
                subject: row.try_get("subject")?,
                address: row.try_get("address")?,
            })
        };
        rows.iter().map(line).collect()
    }
}
