//! The database: SQLite embedded or MySQL/MariaDB, chosen at run time by the URL. The only place that names a driver.
//!
//! An enum of pools and the macros [`db_read!`], [`db_write!`] and [`db_tx!`] expand a body once per driver, so
//! that one SQL text with `?` serves both; [`Db::pick`] is for the few statements that must differ.
//! SQLite gets one writer connection and `BEGIN IMMEDIATE`, which is what keeps "database is locked" away.
//!
//! Rules that the dialects force on us (each has a test in `tests/it/dialects.rs`): ids are parsed types and columns
//! have binary collations; times are BIGINT microseconds from our clock, never the database's; sums are cast; no
//! `RETURNING`; claims are compare-and-set; unique violations are told by type.

mod migrate;
mod rows;

use std::str::FromStr;
use std::time::Duration;

use sqlx::Connection;
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::config::limits;

pub use migrate::{MigrateError, Schema, migrations};
pub use rows::{pieces, places, with_rows};

/// A handle on the database; cheap to clone.
#[derive(Clone, Debug)]
pub enum Db {
    /// Embedded: many readers, one writer.
    Sqlite {
        /// Connections that only read.
        reader: SqlitePool,
        /// The one connection that writes.
        writer: SqlitePool,
    },
    /// MySQL or MariaDB.
    MySql(MySqlPool),
}

/// A transaction on either; rolled back when dropped without [`Tx::commit`].
#[derive(Debug)]
pub enum Tx {
    /// On the embedded database; immediate, so it holds the write lock from its start.
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    /// On MySQL or MariaDB.
    MySql(sqlx::Transaction<'static, sqlx::MySql>),
}

/// Expands a body once per driver, with `$p` as the pool to read from.
#[macro_export]
macro_rules! db_read {
    ($db:expr, |$p:ident| $body:expr) => {
        match $db {
            $crate::db::Db::Sqlite { reader: $p, .. } => $body,
            $crate::db::Db::MySql($p) => $body,
        }
    };
}

/// Expands a body once per driver, with `$p` as the pool to write to.
#[macro_export]
macro_rules! db_write {
    ($db:expr, |$p:ident| $body:expr) => {
        match $db {
            $crate::db::Db::Sqlite { writer: $p, .. } => $body,
            $crate::db::Db::MySql($p) => $body,
        }
    };
}

/// Expands a body once per driver, with `$c` as the connection of a transaction.
#[macro_export]
macro_rules! db_tx {
    ($tx:expr, |$c:ident| $body:expr) => {
        match $tx {
            $crate::db::Tx::Sqlite(tx) => {
                let $c = &mut **tx;
                $body
            }
            $crate::db::Tx::MySql(tx) => {
                let $c = &mut **tx;
                $body
            }
        }
    };
}

pub use crate::{db_read, db_tx, db_write};

/// Whether an error means "the database is away" (try again later) rather than "this statement is wrong".
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        // 1040 too many connections, 1053 shutdown, 1205 lock wait, 1213 deadlock, 1290 read-only, 3100 shutting down;
        // SQLite: 5 busy, 6 locked, 10 I/O, 13 full, 14 can't open, and their extended forms in the low byte.
        sqlx::Error::Database(e) => match e.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
            Some(e) => matches!(
                e.number(),
                1040 | 1053 | 1077 | 1158..=1161 | 1205 | 1213 | 1290 | 3100 | 1021 | 1114
            ),
            None => e
                .code()
                .and_then(|code| code.parse::<u32>().ok())
                .is_some_and(|code| matches!(code & 0xff, 5 | 6 | 8 | 10 | 13 | 14)),
        },
        _ => false,
    }
}

/// Whether an error says that the values of a statement are at fault: the same statement would work with others.
pub fn is_data_error(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Encode(_) => true,
        sqlx::Error::Database(e) => match e.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
            // SQLSTATE classes: 22 data exception, 23 integrity constraint. 1366, a text that the column's character
            // set can't hold, has none of its own.
            Some(e) => {
                e.number() == 1366
                    || e.code().is_some_and(|state| state.starts_with("22") || state.starts_with("23"))
            }
            // SQLite: 18 too big, 19 constraint, 20 mismatch.
            None => e
                .code()
                .and_then(|code| code.parse::<u32>().ok())
                .is_some_and(|code| matches!(code & 0xff, 18..=20)),
        },
        _ => false,
    }
}

/// Whether an error says that there is no such table.
fn is_missing_table(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(e) = error else { return false };
    match e.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        Some(e) => e.number() == 1146,
        // SQLITE_ERROR: a statement that can't be prepared; ours is right, so the table is not there.
        None => e.code().is_some_and(|code| code == "1"),
    }
}

/// Whether an error is a violated unique key.
pub fn is_unique_violation(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(e) if e.is_unique_violation())
}

impl Db {
    /// Checks what can be known of a URL without connecting.
    ///
    /// # Errors
    /// What is wrong, without the password.
    pub fn check_url(url: &str) -> sqlx::Result<()> {
        if url.starts_with("sqlite:") {
            return SqliteConnectOptions::from_str(url).map(drop);
        }
        MySqlConnectOptions::from_str(url).map(drop)
    }

    /// Connects to `url` with at most `connections` connections (SQLite: that many readers and one writer). The
    /// SQLite file and its folder are made when missing.
    ///
    /// # Errors
    /// When the URL is wrong or the database does not answer.
    pub async fn connect(url: &str, connections: u32) -> sqlx::Result<Self> {
        if url.starts_with("sqlite:") {
            return Self::connect_sqlite(url, connections).await;
        }
        let options = MySqlConnectOptions::from_str(url)?.charset("utf8mb4").collation("utf8mb4_bin");
        let pool = MySqlPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(limits::db::ACQUIRE_TIME)
            .max_lifetime(limits::db::CONNECTION_LIFE)
            .connect_with(options)
            .await?;
        Ok(Self::MySql(pool))
    }

    async fn connect_sqlite(url: &str, connections: u32) -> sqlx::Result<Self> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // What the journal has handed over is deleted there: it must be on the disk here.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(limits::db::BUSY_TIME);
        if let Some(folder) = options.get_filename().parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let pool = |most: u32| {
            SqlitePoolOptions::new()
                .max_connections(most)
                .acquire_timeout(limits::db::ACQUIRE_TIME)
                .idle_timeout(None)
        };
        // With the disk full SQLite undoes a transaction by itself; the driver's own ROLLBACK then fails, and it would refuse
        // to begin another on that connection for ever.
        let writer = pool(1)
            .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
            .connect_with(options.clone())
            .await?;
        let reader = pool(connections).connect_with(options.create_if_missing(false).read_only(true)).await?;
        Ok(Self::Sqlite { reader, writer })
    }

    /// The only place where the two dialects may differ.
    pub fn pick<'s>(&self, sqlite: &'s str, mysql: &'s str) -> &'s str {
        match self {
            Self::Sqlite { .. } => sqlite,
            Self::MySql(_) => mysql,
        }
    }

    /// `sqlite` or `mysql`, for log lines and `/readyz`.
    pub fn kind(&self) -> &'static str {
        self.pick("sqlite", "mysql")
    }

    /// Starts a transaction that writes.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin(&self) -> sqlx::Result<Tx> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Self::MySql(pool) => Tx::MySql(pool.begin().await?),
        })
    }

    /// Asks the database for an answer within `limit`.
    pub async fn is_up(&self, limit: Duration) -> bool {
        let ask = async { db_read!(self, |p| sqlx::query("SELECT 1").execute(p).await.map(drop)) };
        matches!(tokio::time::timeout(limit, ask).await, Ok(Ok(())))
    }

    /// Closes every connection; SQLite folds its write-ahead log back into the file.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { reader, writer } => {
                reader.close().await;
                writer.close().await;
            }
            Self::MySql(pool) => pool.close().await,
        }
    }
}

impl Tx {
    /// Makes the changes last.
    ///
    /// # Errors
    /// When the database is away; the changes may or may not have lasted then.
    pub async fn commit(self) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::MySql(tx) => tx.commit().await,
        }
    }

    /// As [`Db::pick`].
    pub fn pick<'s>(&self, sqlite: &'s str, mysql: &'s str) -> &'s str {
        match self {
            Self::Sqlite(_) => sqlite,
            Self::MySql(_) => mysql,
        }
    }
}
