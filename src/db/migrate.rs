//! The schema, upgraded by numbered files that exist once per dialect with the same numbers and names.

use sqlx::migrate::Migrator;

use super::{Db, db_read, is_missing_table};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static MYSQL: Migrator = sqlx::migrate!("migrations/mysql");

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A file failed, or the database is newer than this program.
    #[error(
        "schema: {0}; restore the backup taken before the upgrade, or run the program that made this schema"
    )]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

/// How the database's schema compares with this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// Nothing to do.
    Current,
    /// So many files are missing.
    Behind(usize),
    /// Made by a newer program.
    Ahead,
}

/// Numbers and names of the migrations of each dialect, for the test that pairs them.
pub fn migrations() -> [Vec<(i64, String)>; 2] {
    [&SQLITE, &MYSQL].map(|m| m.iter().map(|one| (one.version, one.description.to_string())).collect())
}

impl Db {
    /// Creates or upgrades the schema.
    ///
    /// # Errors
    /// When a file fails or the database is away. SQLite undoes a failed file; MySQL can't undo DDL.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        match self {
            Self::Sqlite { writer, .. } => SQLITE.run(writer).await?,
            Self::MySql(pool) => MYSQL.run(pool).await?,
        }
        Ok(())
    }

    /// Compares the schema with what this program needs.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn schema(&self) -> sqlx::Result<Schema> {
        const SQL: &str = "SELECT version FROM _sqlx_migrations WHERE success = TRUE";
        let done: Result<Vec<i64>, sqlx::Error> =
            db_read!(self, |p| sqlx::query_scalar(SQL).fetch_all(p).await);
        let done = match done {
            Ok(done) => done,
            // No such table: nothing has been done yet.
            Err(error) if is_missing_table(&error) => Vec::new(),
            Err(e) => return Err(e),
        };
        let ours = if matches!(self, Self::Sqlite { .. }) { &SQLITE } else { &MYSQL };
        let newest = ours.iter().map(|m| m.version).max().unwrap_or(0);
        if done.iter().any(|v| *v > newest) {
            return Ok(Schema::Ahead);
        }
        let missing = ours.iter().filter(|m| !done.contains(&m.version)).count();
        Ok(if missing == 0 { Schema::Current } else { Schema::Behind(missing) })
    }
}
