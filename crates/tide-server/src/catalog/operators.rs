//! Operators, their roles and their sessions.

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tide_photo::CapturedAt;

use super::{Catalog, CatalogError};
use crate::secret::SecretHash;

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Look.
    Viewer,
}

impl Role {
    /// The word used in the catalog and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Viewer => "viewer",
        }
    }
}

/// A person who logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Number in the catalog.
    pub id: i64,
    /// Name at login.
    pub name: String,
    /// What the operator may do.
    pub role: Role,
}

/// An operator with the password's argon2 hash, in PHC string form.
#[derive(Debug)]
pub struct StoredPassword {
    /// Whose.
    pub operator: Operator,
    /// `$argon2id$...`.
    pub password_hash: String,
}

impl Catalog {
    /// Whether nobody can log in yet.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn has_no_operator(&self) -> Result<bool, CatalogError> {
        let any: Option<i64> = sqlx::query_scalar("select id from operator limit 1").fetch_optional(&self.pool).await?;
        Ok(any.is_none())
    }

    /// Adds an operator; `None` if the name is taken.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn add_operator(
        &self,
        name: &str,
        role: Role,
        password_hash: &str,
        now: CapturedAt,
    ) -> Result<Option<i64>, CatalogError> {
        let id = sqlx::query_scalar(
            "insert into operator (name, role, password_hash, created_at) values ($1, $2, $3, $4) \
             on conflict (name) do nothing returning id",
        )
        .bind(name)
        .bind(role.as_str())
        .bind(password_hash)
        .bind(now.as_micros())
        .fetch_optional(&self.pool)
        .await?;
        Ok(id)
    }

    /// The operator of that name, for checking the password.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn stored_password(&self, name: &str) -> Result<Option<StoredPassword>, CatalogError> {
        let row = sqlx::query("select id, name, role, password_hash from operator where name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| Ok(StoredPassword { operator: operator_in(&row)?, password_hash: row.try_get("password_hash")? }))
            .transpose()
    }

    /// Every operator, by name.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn operators(&self) -> Result<Vec<Operator>, CatalogError> {
        let rows = sqlx::query("select id, name, role from operator order by name").fetch_all(&self.pool).await?;
        rows.iter().map(operator_in).collect()
    }

    /// Gives an operator another password and ends all of the operator's sessions; `false` if there is no such operator.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn change_password(&self, name: &str, password_hash: &str) -> Result<bool, CatalogError> {
        let mut transaction = self.pool.begin_with("begin immediate").await?;
        end_sessions(&mut transaction, name).await?;
        let changed = sqlx::query("update operator set password_hash = $2 where name = $1")
            .bind(name)
            .bind(password_hash)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(changed.rows_affected() > 0)
    }

    /// Removes an operator with all sessions; `false` if there is no such operator.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn remove_operator(&self, name: &str) -> Result<bool, CatalogError> {
        let mut transaction = self.pool.begin_with("begin immediate").await?;
        end_sessions(&mut transaction, name).await?;
        let removed = sqlx::query("delete from operator where name = $1").bind(name).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(removed.rows_affected() > 0)
    }

    /// Opens a session until `expires_at`, and forgets those that have expired.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn open_session(
        &self,
        session: &SecretHash,
        operator: &Operator,
        now: CapturedAt,
        expires_at: CapturedAt,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("delete from session where expires_at <= $1")
            .bind(now.as_micros())
            .execute(&mut *transaction)
            .await?;
        sqlx::query("insert into session (hash, operator_id, created_at, expires_at) values ($1, $2, $3, $4)")
            .bind(session.as_bytes())
            .bind(operator.id)
            .bind(now.as_micros())
            .bind(expires_at.as_micros())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Whose session this is, if it has not expired.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn session_operator(
        &self,
        session: &SecretHash,
        now: CapturedAt,
    ) -> Result<Option<Operator>, CatalogError> {
        let row = sqlx::query(
            "select operator.id, operator.name, operator.role from session \
             join operator on operator.id = session.operator_id \
             where session.hash = $1 and session.expires_at > $2",
        )
        .bind(session.as_bytes())
        .bind(now.as_micros())
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| operator_in(&row)).transpose()
    }

    /// Ends a session; one that is over already is as good.
    ///
    /// # Errors
    /// If the catalog cannot answer.
    pub async fn close_session(&self, session: &SecretHash) -> Result<(), CatalogError> {
        sqlx::query("delete from session where hash = $1").bind(session.as_bytes()).execute(&self.pool).await?;
        Ok(())
    }
}

async fn end_sessions(connection: &mut SqliteConnection, name: &str) -> Result<(), CatalogError> {
    sqlx::query("delete from session where operator_id = (select id from operator where name = $1)")
        .bind(name)
        .execute(connection)
        .await?;
    Ok(())
}

fn operator_in(row: &SqliteRow) -> Result<Operator, CatalogError> {
    let role = match row.try_get("role")? {
        "admin" => Role::Admin,
        "viewer" => Role::Viewer,
        _ => return Err(CatalogError::Impossible("role")),
    };
    Ok(Operator { id: row.try_get("id")?, name: row.try_get("name")?, role })
}
