//! The schema, upgraded by numbered files that exist once per dialect with the same numbers and names.

use sqlx::migrate::Migrator;
use sqlx::mysql::{MySqlConnection, MySqlDatabaseError, MySqlPool};
use sqlx::sqlite::SqlitePool;

use super::{Db, db_read, is_missing_table};
use crate::config::limits::db as limits;

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
    /// Another process has been at it for so many seconds.
    #[error("schema: another process has been changing it for {0} s; wait for it, then try again")]
    Busy(u64),
    /// The schema has triggers, and this user may make none.
    #[error(
        "schema: the server keeps a binary log and lets this user make no triggers; as its administrator SET GLOBAL \
         log_bin_trust_function_creators = 1, then try again; nothing was changed"
    )]
    Triggers,
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

/// Under a lock of the server's; it goes with its connection, should this process die.
async fn migrate_mysql(pool: &MySqlPool) -> Result<(), MigrateError> {
    const MYSQL_LOCK: &str = "SELECT GET_LOCK(CONCAT('hookswitch.', MD5(DATABASE())), ?)";
    const MYSQL_UNLOCK: &str = "SELECT RELEASE_LOCK(CONCAT('hookswitch.', MD5(DATABASE())))";
    let failed = sqlx::migrate::MigrateError::Execute;
    let mut connection = pool.acquire().await.map_err(failed)?;
    let wait = limits::MIGRATE_TIME.as_secs();
    let got: Option<i64> =
        sqlx::query_scalar(MYSQL_LOCK).bind(wait).fetch_one(&mut *connection).await.map_err(failed)?;
    if got != Some(1) {
        return Err(MigrateError::Busy(wait));
    }
    let done = match may_make_triggers(&mut connection).await {
        // Not `run`: its bounds can't be met by a borrowed connection in a future that is sent between threads.
        Ok(true) => MYSQL.run_direct(None, &mut *connection, false).await.map_err(MigrateError::from),
        Ok(false) => Err(MigrateError::Triggers),
        Err(error) => Err(failed(error).into()),
    };
    sqlx::query(MYSQL_UNLOCK).execute(&mut *connection).await.map_err(failed)?;
    done
}

/// Whether triggers can be made, tried out where the server may refuse them: a file that fails half way can't be undone.
async fn may_make_triggers(connection: &mut MySqlConnection) -> sqlx::Result<bool> {
    // With those that we have already there is nothing to ask.
    const MYSQL_MISTRUSTS: &str = "SELECT @@log_bin = 1 AND @@log_bin_trust_function_creators = 0 AND NOT EXISTS (SELECT 1 \
         FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND trigger_name = 'ara_ps_contacts_insert')";
    const MYSQL_TABLE: &str = "CREATE TABLE IF NOT EXISTS hookswitch_probe (id INT)";
    const MYSQL_TRIGGER: &str =
        "CREATE TRIGGER hookswitch_probe BEFORE INSERT ON hookswitch_probe FOR EACH ROW SET NEW.id = NEW.id";
    const MYSQL_GONE: &str = "DROP TABLE hookswitch_probe";
    if !sqlx::query_scalar(MYSQL_MISTRUSTS).fetch_one(&mut *connection).await? {
        return Ok(true);
    }
    sqlx::raw_sql(MYSQL_TABLE).execute(&mut *connection).await?;
    let made = sqlx::raw_sql(MYSQL_TRIGGER).execute(&mut *connection).await;
    sqlx::raw_sql(MYSQL_GONE).execute(&mut *connection).await?;
    match made {
        Ok(_) => Ok(true),
        // ER_BINLOG_CREATE_ROUTINE_NEED_SUPER
        Err(sqlx::Error::Database(error))
            if error.try_downcast_ref::<MySqlDatabaseError>().is_some_and(|error| error.number() == 1419) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

impl Db {
    /// Creates or upgrades the schema. Several processes may do it at once: sqlx's own lock does not hold on MariaDB,
    /// where a wait without end is refused, and does not exist for SQLite.
    ///
    /// # Errors
    /// When a file fails or the database is away. SQLite undoes a failed file; MySQL can't undo DDL.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        match self {
            Self::Sqlite { writer, .. } => self.migrate_sqlite(writer).await,
            Self::MySql(pool) => migrate_mysql(pool).await,
        }
    }

    /// A file that another process applied at the same time fails here and is undone: then the rest is tried again.
    async fn migrate_sqlite(&self, writer: &SqlitePool) -> Result<(), MigrateError> {
        let mut before = self.schema().await.map_err(sqlx::migrate::MigrateError::Execute)?;
        while let Err(error) = SQLITE.run(writer).await {
            let now = self.schema().await.map_err(sqlx::migrate::MigrateError::Execute)?;
            if now == before {
                return Err(error.into());
            }
            before = now;
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
