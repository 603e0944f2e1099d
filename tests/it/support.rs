//! Databases for tests, each test its own, and patience with a busy machine.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hookswitch::base::clock::{Clock, Stopwatch};
use hookswitch::base::ids::{Name, Number, TenantId};
use hookswitch::db::Db;
use sqlx::AssertSqlSafe;

/// How long a condition may take before a test fails: far more than it needs anywhere.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    MySql,
}

/// A database of one test's own: a temporary file, or a database on the server that the environment names.
pub(crate) struct TestDb {
    pub(crate) db: Db,
    pub(crate) url: String,
    pub(crate) kind: Kind,
    folder: tempfile::TempDir,
}

/// The server for the tests on MariaDB.
fn server() -> String {
    let url = std::env::var("HOOKSWITCH_TEST_MYSQL_URL");
    let url =
        url.expect("HOOKSWITCH_TEST_MYSQL_URL is not set: run scripts/test, which starts a MariaDB for it");
    url.rsplit_once('/').expect("mysql://USER@HOST:PORT/NAME").0.to_owned()
}

impl TestDb {
    /// A database without a table.
    pub(crate) async fn empty(kind: Kind) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().unwrap();
        let url = match kind {
            Kind::Sqlite => format!("sqlite://{}", folder.path().join("test.db").display()),
            Kind::MySql => {
                let name =
                    format!("hs_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
                // The server's own collation, on purpose: our tables must not depend on it.
                admin(&format!("DROP DATABASE IF EXISTS {name}")).await;
                admin(&format!("CREATE DATABASE {name}")).await;
                format!("{}/{name}", server())
            }
        };
        let db = Db::connect(&url, 8).await.unwrap();
        Self { db, url, kind, folder }
    }

    /// A database with our schema.
    pub(crate) async fn new(kind: Kind) -> Self {
        let test = Self::empty(kind).await;
        test.db.migrate().await.unwrap();
        test
    }

    /// Connects once more, as another process would.
    pub(crate) async fn again(&self) -> Db {
        Db::connect(&self.url, 8).await.unwrap()
    }

    /// A folder that lives as long as the database.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a statement as it stands. Tests write it themselves, so it is safe.
    pub(crate) async fn execute(&self, sql: &str) -> sqlx::Result<u64> {
        let sql = AssertSqlSafe(sql.to_owned());
        hookswitch::db::db_write!(&self.db, |p| sqlx::query(sql)
            .execute(p)
            .await
            .map(|done| done.rows_affected()))
    }

    /// The number that a statement finds.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        hookswitch::db::db_read!(&self.db, |p| sqlx::query_scalar(sql).fetch_one(p).await).unwrap()
    }

    /// The texts that a statement finds.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        hookswitch::db::db_read!(&self.db, |p| sqlx::query_scalar(sql).fetch_all(p).await).unwrap()
    }

    /// What an `EXPLAIN` of a statement with one value says: the last column of each row.
    pub(crate) async fn plan(&self, sql: &str, value: &str) -> String {
        use sqlx::Row as _;
        let sql = AssertSqlSafe(sql.to_owned());
        hookswitch::db::db_read!(&self.db, |p| {
            let rows = sqlx::query(sql).bind(value).fetch_all(p).await.unwrap();
            rows.iter().map(|row| row.get::<String, _>(row.len() - 1)).collect::<Vec<_>>().join("\n")
        })
    }

    /// The same database over another URL.
    pub(crate) async fn through(&self, url: &str) -> Self {
        let db = Db::connect(url, 4).await.unwrap();
        Self { db, url: url.to_owned(), kind: self.kind, folder: tempfile::tempdir().unwrap() }
    }

    /// A column's name as this database wants it quoted.
    pub(crate) fn quoted(&self, column: &str) -> String {
        match self.kind {
            Kind::Sqlite => format!("\"{column}\""),
            Kind::MySql => format!("`{column}`"),
        }
    }

    /// The columns of a table.
    pub(crate) async fn columns(&self, table: &str) -> Vec<String> {
        let sql = match self.kind {
            Kind::Sqlite => format!("SELECT name FROM pragma_table_info('{table}') ORDER BY name"),
            Kind::MySql => format!(
                "SELECT CAST(column_name AS CHAR) FROM information_schema.columns \
                 WHERE table_schema = DATABASE() AND table_name = '{table}' ORDER BY column_name"
            ),
        };
        self.texts(&sql).await
    }

    /// The tables that have a column.
    pub(crate) async fn tables_with(&self, column: &str) -> Vec<String> {
        let sql = match self.kind {
            Kind::Sqlite => format!(
                "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c ON c.name = '{column}' \
                 WHERE m.type = 'table' ORDER BY m.name"
            ),
            Kind::MySql => format!(
                "SELECT CAST(table_name AS CHAR) FROM information_schema.columns \
                 WHERE table_schema = DATABASE() AND column_name = '{column}' ORDER BY table_name"
            ),
        };
        self.texts(&sql).await
    }

    /// Closes and removes it.
    pub(crate) async fn remove(&self) {
        self.db.close().await;
        if self.kind == Kind::MySql {
            let name = self.url.rsplit_once('/').unwrap().1;
            admin(&format!("DROP DATABASE IF EXISTS {name}")).await;
        }
    }
}

async fn admin(sql: &str) {
    let Db::MySql(pool) = Db::connect(&format!("{}/", server()), 1).await.unwrap() else { unreachable!() };
    // Unprepared: MySQL can't prepare every statement about databases.
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&pool).await.unwrap();
    pool.close().await;
}

/// Runs a test's body on a database and removes the database afterwards, whatever happened.
pub(crate) fn run<F: Future<Output = ()> + Send + 'static>(kind: Kind, body: impl FnOnce(Arc<TestDb>) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let test = Arc::new(TestDb::new(kind).await);
        let done = tokio::spawn(body(Arc::clone(&test))).await;
        test.remove().await;
        if let Err(error) = done {
            std::panic::resume_unwind(error.into_panic());
        }
    });
}

/// Makes a test of each function, once on SQLite and once on MariaDB.
macro_rules! both_databases {
    ($($(#[doc = $doc:literal])* async fn $name:ident($test:ident) $body:block)*) => {$(
        $(#[doc = $doc])*
        mod $name {
            use super::*;

            async fn body($test: std::sync::Arc<crate::support::TestDb>) $body

            #[test]
            fn on_sqlite() {
                crate::support::run(crate::support::Kind::Sqlite, body);
            }

            #[test]
            fn on_mysql() {
                crate::support::run(crate::support::Kind::MySql, body);
            }
        }
    )*};
}
pub(crate) use both_databases;

/// Waits until `probe` finds something.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    let start = Stopwatch::start();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(u128::from(start.elapsed_us()) < PATIENCE.as_micros(), "waited {PATIENCE:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A Monday, 10:00 UTC.
pub(crate) fn monday() -> DateTime<Utc> {
    "2026-11-23T10:00:00Z".parse().unwrap()
}

/// A clock that stands on that Monday.
pub(crate) fn clock() -> Clock {
    Clock::manual(monday())
}

pub(crate) fn tenant(text: &str) -> TenantId {
    TenantId::parse(text).unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn number(text: &str) -> Number {
    Number::parse(text).unwrap()
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
