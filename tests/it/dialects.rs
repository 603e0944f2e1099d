//! The traps between SQLite and MariaDB, each as a test through our own layer; and the schema's life.

use std::sync::Arc;
use std::time::Duration;

use hookswitch::base::clock::Clock;
use hookswitch::base::ids::{Id, IdSource, Name, Number, TenantId};
use hookswitch::db::{self, Db, Schema, db_read, db_tx, db_write};
use hookswitch::tenants::{self, Tenant, TenantStatus};
use sqlx::{AssertSqlSafe, Executor};

use crate::support::{Kind, TestDb, both_databases, root, tenant};
use crate::world::plain_tenant;

async fn add_tenant(db: &Db, tenant: &Tenant) -> sqlx::Result<()> {
    let mut tx = db.begin().await?;
    tenants::store::insert(&mut tx, tenant, 1).await?;
    tx.commit().await
}

async fn version(db: &Db, id: &TenantId) -> i64 {
    tenants::store::versions(db).await.unwrap().into_iter().find(|(t, _)| t == id).unwrap().1
}

both_databases! {
    /// MariaDB's default collation takes `T1` for `t1`: a hole between tenants.
    async fn case_tells_tenants_apart(t) {
        assert!(TenantId::parse("T1").is_err() && Name::parse("Support").is_err());
        add_tenant(&t.db, &plain_tenant("t1")).await.unwrap();
        assert_eq!(t.number("SELECT COUNT(*) FROM tenants WHERE id = 't1'").await, 1);
        assert_eq!(t.number("SELECT COUNT(*) FROM tenants WHERE id = 'T1'").await, 0);
        // A bound value takes the connection's collation: it must not beat the column's.
        let bound: i64 = db_read!(&t.db, |p| sqlx::query_scalar("SELECT COUNT(*) FROM tenants WHERE id = ?")
            .bind("T1").fetch_one(p).await).unwrap();
        assert_eq!(bound, 0);
        // And both may exist side by side.
        t.execute("INSERT INTO routing_versions (tenant_id, version) VALUES ('T1', 1)").await.unwrap_err();
    }

    /// Every text column of ours compares byte by byte, whatever the server's default.
    async fn every_text_column_is_binary(t) {
        if t.kind == Kind::MySql {
            let odd = t.texts("SELECT CONCAT(table_name, '.', column_name, ' ', collation_name) FROM information_schema.columns \
                WHERE table_schema = DATABASE() AND collation_name IS NOT NULL AND collation_name <> 'utf8mb4_bin' \
                AND table_name <> '_sqlx_migrations'").await;
            assert!(odd.is_empty(), "{odd:?}");
            assert!(t.number("SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() \
                AND collation_name = 'utf8mb4_bin'").await > 50);
        } else {
            // Asterisk's ODBC driver wants widths in ara_inbox, which a strict table can't have. LIKE wants the one index, which
            // decides what is read and not what is equal.
            let odd = t.texts("SELECT name FROM sqlite_schema WHERE (sql LIKE '%COLLATE%' AND name <> 'ara_ps_contacts_of') OR (type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\' \
                AND name NOT LIKE 'sqlite%' AND name <> 'ara_inbox' AND sql NOT LIKE '%STRICT')").await;
            assert!(odd.is_empty(), "{odd:?}");
        }
    }

    /// MariaDB pads: `'a ' = 'a'` even with a binary collation. Only parsed types keep such values out.
    async fn trailing_spaces_are_kept_out_by_types(t) {
        add_tenant(&t.db, &plain_tenant("acme")).await.unwrap();
        let padded = t.number("SELECT COUNT(*) FROM tenants WHERE id = 'acme '").await;
        assert_eq!(padded, if t.kind == Kind::MySql { 1 } else { 0 });
        for bad in ["acme ", " acme", "acme\t", "acme\u{a0}"] {
            assert!(TenantId::parse(bad).is_err() && Name::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Number::parse("+15550001000 ").is_err() && Id::parse("01k00000000000000000000000 ").is_err());
    }

    /// Times are BIGINT microseconds: what is read back equals what was written.
    async fn times_come_back_to_the_microsecond(t) {
        let now = Clock::system().now_us();
        for us in [0, 1, now, now | 1, 253_402_300_799_999_999, i64::MAX] {
            t.execute("DELETE FROM journal_positions").await.unwrap();
            db_write!(&t.db, |p| sqlx::query("INSERT INTO journal_positions (node_id, sequence, updated_at) VALUES ('n', 1, ?)")
                .bind(us).execute(p).await.map(drop)).unwrap();
            assert_eq!(t.number("SELECT updated_at FROM journal_positions").await, us);
        }
    }

    /// A sum is a DECIMAL on MariaDB, which does not decode: cast it.
    async fn sums_are_cast(t) {
        t.execute("INSERT INTO journal_positions (node_id, sequence, updated_at) VALUES ('a', 2, 0), ('b', 40, 0)").await.unwrap();
        assert_eq!(t.number("SELECT CAST(SUM(sequence) AS SIGNED) FROM journal_positions").await, 42);
        let plain: Result<i64, _> =
            db_read!(&t.db, |p| sqlx::query_scalar("SELECT SUM(sequence) FROM journal_positions").fetch_one(p).await);
        assert_eq!(plain.is_err(), t.kind == Kind::MySql, "{plain:?}");
    }

    /// The one upsert we have counts up, also when two raise it at once.
    async fn an_upsert_counts_every_time(t) {
        let acme = tenant("acme");
        add_tenant(&t.db, &plain_tenant("acme")).await.unwrap();
        let before = version(&t.db, &acme).await;
        let mut tasks = Vec::new();
        for _ in 0..10 {
            let (db, acme) = (t.db.clone(), acme.clone());
            tasks.push(tokio::spawn(async move {
                let mut tx = db.begin().await.unwrap();
                tenants::store::touch(&mut tx, &acme).await.unwrap();
                tx.commit().await.unwrap();
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(version(&t.db, &acme).await, before + 10);
    }

    /// A taken key is told by type, not by text; and it is a fault of the values, not of the database.
    async fn unique_violations_are_told_by_type(t) {
        add_tenant(&t.db, &plain_tenant("acme")).await.unwrap();
        let error = add_tenant(&t.db, &plain_tenant("acme")).await.unwrap_err();
        assert!(db::is_unique_violation(&error) && db::is_data_error(&error) && !db::is_unavailable(&error), "{error}");
        let other = t.execute("INSERT INTO nowhere (id) VALUES (1)").await.unwrap_err();
        assert!(!db::is_unique_violation(&other) && !db::is_data_error(&other) && !db::is_unavailable(&other), "{other}");
        let foreign = t.execute("INSERT INTO routing_versions (tenant_id, version) VALUES ('none', 1)").await.unwrap_err();
        assert!(!db::is_unique_violation(&foreign) && db::is_data_error(&foreign), "{foreign}");
        let null = t.execute("INSERT INTO journal_positions (node_id, sequence, updated_at) VALUES (NULL, 1, 1)").await.unwrap_err();
        assert!(db::is_data_error(&null) && !db::is_unavailable(&null), "{null}");
        let wrong = t.execute("INSERT INTO journal_positions (node_id, sequence, updated_at) VALUES ('n', 'x', 1)").await.unwrap_err();
        assert!(db::is_data_error(&wrong) && !db::is_unavailable(&wrong), "{wrong}");
    }

    /// A statement that changes nothing still says that it found the row: compare-and-set may rely on it.
    async fn an_update_without_change_finds_its_row(t) {
        add_tenant(&t.db, &plain_tenant("acme")).await.unwrap();
        for _ in 0..2 {
            let mut tx = t.db.begin().await.unwrap();
            assert!(tenants::store::set_status(&mut tx, &tenant("acme"), TenantStatus::Active, 1).await.unwrap());
            assert!(!tenants::store::set_status(&mut tx, &tenant("none"), TenantStatus::Active, 1).await.unwrap());
            tx.commit().await.unwrap();
        }
    }

    /// `LIMIT ?` takes a bound number.
    async fn limits_can_be_bound(t) {
        t.execute("INSERT INTO journal_positions (node_id, sequence, updated_at) VALUES ('a', 1, 0), ('b', 2, 0), ('c', 3, 0)").await.unwrap();
        let found: Vec<String> = db_read!(&t.db, |p| sqlx::query_scalar("SELECT node_id FROM journal_positions ORDER BY node_id LIMIT ? OFFSET ?")
            .bind(1_i64).bind(1_i64).fetch_all(p).await).unwrap();
        assert_eq!(found, ["b"]);
    }

    /// Claims without `SKIP LOCKED`: of many that try, each thing goes to exactly one.
    async fn claims_are_compare_and_set(t) {
        t.execute("INSERT INTO journal_positions (node_id, sequence, updated_at) VALUES ('a', 0, 0)").await.unwrap();
        let mut tasks = Vec::new();
        for _ in 0..8 {
            let db = t.db.clone();
            tasks.push(tokio::spawn(async move {
                let mut tx = db.begin().await.unwrap();
                let claimed = db_tx!(&mut tx, |c| sqlx::query("UPDATE journal_positions SET sequence = 1 WHERE node_id = \
                    (SELECT node_id FROM (SELECT node_id FROM journal_positions WHERE sequence = 0 ORDER BY node_id LIMIT 1) x) \
                    AND sequence = 0").execute(c).await.map(|d| d.rows_affected()));
                // A deadlock is an answer that asks to try again, never a double claim.
                let claimed = claimed.unwrap_or_else(|e| if db::is_unavailable(&e) { 0 } else { panic!("{e}") });
                tx.commit().await.unwrap();
                claimed
            }));
        }
        let mut claims = 0;
        for task in tasks {
            claims += task.await.unwrap();
        }
        assert_eq!(claims, 1);
    }

    /// JSON is text to the database, and comes back byte for byte, whatever is in it.
    async fn json_is_text(t) {
        let mut acme = plain_tenant("acme");
        acme.features = vec!["sms".into(), "quote \" back \\ slash".into(), "añ🦀".into()];
        acme.name = "Acmé 🦀 \"Ltd\" 'x' -- ; DROP".into();
        add_tenant(&t.db, &acme).await.unwrap();
        assert_eq!(tenants::store::get(&t.db, &acme.id).await.unwrap(), Some(acme));
    }

    /// Many writers in two processes: nobody hears "database is locked".
    async fn nobody_hears_that_the_database_is_locked(t) {
        add_tenant(&t.db, &plain_tenant("acme")).await.unwrap();
        let before = version(&t.db, &tenant("acme")).await;
        let mut tasks = Vec::new();
        for db in [t.again().await, t.db.clone()] {
            for _ in 0..8 {
                let db = db.clone();
                tasks.push(tokio::spawn(async move {
                    for _ in 0..5 {
                        let mut tx = db.begin().await.unwrap();
                        // Reads before it writes: what makes a deferred transaction fail.
                        let _: i64 = db_tx!(&mut tx, |c| sqlx::query_scalar("SELECT COUNT(*) FROM tenants").fetch_one(c).await).unwrap();
                        tenants::store::touch(&mut tx, &tenant("acme")).await.unwrap();
                        tx.commit().await.unwrap();
                        tenants::store::versions(&db).await.unwrap();
                    }
                }));
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(version(&t.db, &tenant("acme")).await, before + 80);
    }

    /// A transaction that is dropped has not happened.
    async fn a_dropped_transaction_is_undone(t) {
        let mut tx = t.db.begin().await.unwrap();
        tenants::store::insert(&mut tx, &plain_tenant("acme"), 1).await.unwrap();
        drop(tx);
        assert_eq!(tenants::store::get(&t.db, &tenant("acme")).await.unwrap(), None);
        add_tenant(&t.db, &plain_tenant("acme")).await.unwrap();
    }

    /// "The database is away" is told from "this statement is wrong".
    async fn away_is_told_from_wrong(t) {
        let other = t.again().await;
        other.close().await;
        let closed = tenants::store::versions(&other).await.unwrap_err();
        assert!(db::is_unavailable(&closed) && !db::is_data_error(&closed), "{closed}");
        assert!(!other.is_up(Duration::from_secs(1)).await && t.db.is_up(Duration::from_secs(5)).await);
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = match t.kind {
            Kind::Sqlite => format!("sqlite://{}", t.folder().join("not-a-folder").display()),
            Kind::MySql => format!("mysql://hookswitch@127.0.0.1:{port}/x"),
        };
        if t.kind == Kind::Sqlite {
            std::fs::create_dir(t.folder().join("not-a-folder")).unwrap();
        }
        let refused = Db::connect(&url, 1).await.unwrap_err();
        assert!(db::is_unavailable(&refused) && !db::is_data_error(&refused), "{refused:?}");
    }

    /// Every SQL text in the source can be prepared on the database it is meant for.
    async fn every_statement_can_be_prepared(t) {
        let mut seen = 0;
        for (place, name, sql) in statements() {
            let other = match t.kind { Kind::Sqlite => "MYSQL", Kind::MySql => "SQLITE" };
            if name.contains(other) {
                continue;
            }
            seen += 1;
            let text = AssertSqlSafe(sql.clone());
            let prepared = db_write!(&t.db, |p| p.prepare(sqlx::SqlSafeStr::into_sql_str(text)).await.map(drop));
            assert!(prepared.is_ok(), "{place} {name}: {}\n{sql}", prepared.unwrap_err());
        }
        assert!(seen > 35, "only {seen} statements were found");
    }

    /// The life of a schema: behind, current, current again, ahead.
    async fn a_schema_is_behind_current_or_ahead(t) {
        assert_eq!(t.db.schema().await.unwrap(), Schema::Current);
        t.db.migrate().await.unwrap();
        let empty = TestDb::empty(t.kind).await;
        let all = db::migrations()[0].len();
        assert_eq!(empty.db.schema().await.unwrap(), Schema::Behind(all));
        let two = (empty.again().await, empty.again().await);
        // Two processes that start at once.
        let (one, other) = tokio::join!(two.0.migrate(), two.1.migrate());
        one.unwrap();
        other.unwrap();
        assert_eq!(empty.db.schema().await.unwrap(), Schema::Current);
        assert_eq!(empty.number("SELECT COUNT(*) FROM _sqlx_migrations").await, i64::try_from(all).unwrap());
        empty.execute("UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1").await.unwrap();
        assert_eq!(empty.db.schema().await.unwrap(), Schema::Ahead);
        empty.execute("DELETE FROM _sqlx_migrations WHERE version = 9999").await.unwrap();
        assert_eq!(empty.db.schema().await.unwrap(), Schema::Behind(1));
        empty.db.close().await;
        let closed = empty.db.schema().await.unwrap_err();
        assert!(db::is_unavailable(&closed), "away is not behind: {closed}");
        for db in [two.0, two.1] {
            db.close().await;
        }
        empty.remove().await;
    }
}

#[test]
fn migrations_come_in_pairs() {
    let [sqlite, mysql] = db::migrations();
    assert_eq!(sqlite, mysql);
    let numbers: Vec<i64> = sqlite.iter().map(|(n, _)| *n).collect();
    assert_eq!(numbers, (1..=i64::try_from(numbers.len()).unwrap()).collect::<Vec<_>>());
}

/// What a statement finds in the schema of a database of that kind.
fn schema_texts(kind: Kind, sql: &'static str) -> Vec<String> {
    let found = Arc::new(std::sync::Mutex::new(Vec::new()));
    let into = Arc::clone(&found);
    crate::support::run(kind, move |t| async move {
        let rows = t.texts(sql).await;
        *into.lock().unwrap() = rows;
    });
    let rows: Vec<String> = found.lock().unwrap().clone();
    rows
}

/// Both dialects have the same tables with the same columns, in the same order, equally allowed to be empty. Generated columns
/// stand in no list of SQLite's.
#[test]
fn both_schemas_have_the_same_columns() {
    let columns = |kind: Kind, sql: &'static str| {
        let mut rows = schema_texts(kind, sql);
        // The databases sort names differently; within a table the order stays.
        rows.sort_by_key(|row| row.split('.').next().unwrap().to_owned());
        rows
    };
    let sqlite = columns(
        Kind::Sqlite,
        "SELECT s.name || '.' || c.name || CASE c.\"notnull\" WHEN 1 THEN '' ELSE ' null' END || \
         CASE WHEN c.dflt_value IS NULL THEN '' ELSE ' default' END FROM sqlite_schema s, pragma_table_info(s.name) c \
         WHERE s.type = 'table' AND s.name NOT IN ('_sqlx_migrations', 'sqlite_sequence') ORDER BY s.name, c.cid",
    );
    let mysql = columns(
        Kind::MySql,
        // MariaDB tells NULL as the default of a column that may be NULL.
        "SELECT CONCAT(table_name, '.', column_name, IF(is_nullable = 'YES', ' null', ''), \
         IF(column_default IS NULL OR column_default = 'NULL', '', ' default')) FROM information_schema.columns \
         WHERE table_schema = DATABASE() AND table_name <> '_sqlx_migrations' AND is_generated = 'NEVER' AND table_name NOT IN \
         (SELECT v.table_name FROM information_schema.views v WHERE v.table_schema = DATABASE()) \
         ORDER BY table_name, ordinal_position",
    );
    assert!(sqlite.len() > 600, "{}", sqlite.len());
    assert_eq!(sqlite, mysql);
}

const SQLITE_INDEXES: &str = "SELECT s.name || CASE i.\"unique\" WHEN 1 THEN ' unique ' ELSE ' ' END || \
     (SELECT group_concat(c.name, ',') FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno) c) \
     FROM sqlite_schema s, pragma_index_list(s.name) i WHERE s.type = 'table' AND s.name <> '_sqlx_migrations'";
const SQLITE_FOREIGN: &str = "SELECT s.name || ' ' || f.\"from\" || ' -> ' || f.\"table\" || '.' || f.\"to\" || ' ' || f.on_delete \
     FROM sqlite_schema s, pragma_foreign_key_list(s.name) f WHERE s.type = 'table'";

/// Both dialects have the same indexes and foreign keys. An index that only one has is a list that is slow on the other. A key
/// that counts up has none of its own in SQLite.
#[test]
fn both_schemas_have_the_same_indexes() {
    let sorted = |kind: Kind, sql: &'static str| {
        let mut rows = schema_texts(kind, sql);
        rows.sort();
        rows
    };
    let sqlite = sorted(Kind::Sqlite, SQLITE_INDEXES);
    // LIKE knows no case in SQLite and wants an index of its own; elsewhere the primary key serves.
    let (own, sqlite): (Vec<_>, Vec<_>) = sqlite.into_iter().partition(|row| row == "ara_ps_contacts id");
    assert_eq!(own.len(), 1);
    let mysql = sorted(
        Kind::MySql,
        "SELECT CONCAT(table_name, IF(MIN(non_unique) = 0, ' unique ', ' '), \
         GROUP_CONCAT(column_name ORDER BY seq_in_index SEPARATOR ',')) FROM information_schema.statistics \
         WHERE table_schema = DATABASE() AND table_name <> '_sqlx_migrations' \
         AND NOT (table_name = 'ara_inbox' AND index_name = 'PRIMARY') GROUP BY table_name, index_name",
    );
    assert!(sqlite.len() > 100, "{}", sqlite.len());
    // SQLite's own row numbers need no index.
    let mysql: Vec<String> = mysql.into_iter().filter(|row| row != "cdr unique id").collect();
    assert_eq!(sqlite, mysql);
    let sqlite = sorted(Kind::Sqlite, SQLITE_FOREIGN);
    let mysql = sorted(
        Kind::MySql,
        "SELECT CONCAT(k.table_name, ' ', k.column_name, ' -> ', k.referenced_table_name, '.', k.referenced_column_name, ' ', \
         r.delete_rule) FROM information_schema.key_column_usage k JOIN information_schema.referential_constraints r \
         ON r.constraint_schema = k.table_schema AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name \
         WHERE k.table_schema = DATABASE() AND k.referenced_table_name IS NOT NULL",
    );
    assert!(sqlite.len() > 60, "{}", sqlite.len());
    assert_eq!(sqlite, mysql);
}

/// Without an index a parent's deletion reads the whole child table; MariaDB makes one in silence, SQLite does not. And
/// whatever a tenant can list, it lists in order of creation.
#[test]
fn foreign_keys_and_lists_are_indexed() {
    let indexes: std::collections::BTreeSet<String> = schema_texts(Kind::Sqlite, SQLITE_INDEXES)
        .iter()
        .map(|row| row.replace(" unique ", " ") + ",")
        .collect();
    let bare: Vec<String> = schema_texts(Kind::Sqlite, SQLITE_FOREIGN)
        .iter()
        .map(|row| row.split(" -> ").next().unwrap().to_owned() + ",")
        .filter(|key| !indexes.iter().any(|index| index.starts_with(key)))
        .collect();
    assert_eq!(bare, [""; 0]);
    let lists = schema_texts(
        Kind::Sqlite,
        "SELECT s.name FROM sqlite_schema s WHERE s.type = 'table' AND 3 = (SELECT COUNT(*) FROM pragma_table_info(s.name) c \
         WHERE c.name IN ('tenant_id', 'id', 'created_at'))",
    );
    assert!(lists.len() > 20, "{lists:?}");
    let slow: Vec<&String> = lists
        .iter()
        .filter(|table| {
            // Some are listed by another time.
            let order = match table.as_str() {
                "cdrs" => "started_at",
                "agent_state_log" => "since",
                "queue_callbacks" => "place_at",
                _ => "created_at",
            };
            !indexes.contains(&format!("{table} tenant_id,{order},id,"))
        })
        .collect();
    assert!(slow.is_empty(), "{slow:?}");
}

#[test]
fn ids_made_at_once_differ() {
    let ids = IdSource::new(crate::support::clock());
    let made: std::collections::BTreeSet<Id> = (0..10_000).map(|_| ids.next()).collect();
    assert_eq!(made.len(), 10_000);
}

/// Every `const NAME: &str = "…"` of the source whose text is SQL: file, name, text.
pub(crate) fn statements() -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for part in text.split("const ").skip(1) {
                let Some((name, rest)) = part.split_once(": &str =") else { continue };
                let Some(rest) = rest.trim_start().strip_prefix('"') else { continue };
                let Some((sql, _)) = rest.split_once("\";") else { continue };
                let lines: Vec<&str> = sql.split("\\\n").map(str::trim_start).collect();
                let sql = lines.concat();
                let verb = sql.split(' ').next().unwrap_or_default();
                if ["SELECT", "INSERT", "UPDATE", "DELETE"].contains(&verb) {
                    found.push((path.display().to_string(), name.to_owned(), sql));
                }
            }
        }
    }
    found
}
