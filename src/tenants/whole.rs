//! Everything of a tenant, found from the schema and not from a list that somebody forgets to extend: what an export
//! holds and a purge deletes.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Row};
use zip::write::SimpleFileOptions;

use crate::api::Problem;
use crate::base::ids::TenantId;
use crate::config::limits::tenants as limits;
use crate::db::{Db, Tx, db_read, db_tx};

/// Tables that outlive their tenant: the audit says what became of it.
const KEPT: [&str; 2] = ["audit_logs", "audit_heads"];
/// Tables that are no data of the tenant's (answers that are said again for a day, a counter), and pieces of files, which
/// are loaded down whole: `GET /plugins/{id}/versions/{n}/source`.
const NOT_EXPORTED: [&str; 3] = ["idempotency_keys", "routing_versions", "plugin_parts"];

/// A column of a table with `tenant_id`, as the database's own catalogue tells it.
#[derive(Clone, Debug, sqlx::FromRow)]
struct ColumnRow {
    tab: String,
    col: String,
    kind: String,
    in_key: i64,
}

/// A table with what an export needs to know of it.
#[derive(Clone, Debug, Default)]
struct Table {
    name: String,
    /// Its columns but secrets, and whether each is a whole number.
    shown: Vec<(String, bool)>,
    /// The columns of its primary key.
    key: Vec<String>,
}

const SQLITE: &str = "SELECT m.name AS tab, c.name AS col, c.type AS kind, c.pk AS in_key \
     FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND (m.name = 'tenants' \
     OR EXISTS (SELECT 1 FROM pragma_table_info(m.name) t WHERE t.name = 'tenant_id')) ORDER BY m.name, c.cid";
const MYSQL: &str = "SELECT CAST(c.table_name AS CHAR) AS tab, CAST(c.column_name AS CHAR) AS col, \
     CAST(c.data_type AS CHAR) AS kind, CAST(c.column_key = 'PRI' AS SIGNED) AS in_key FROM information_schema.columns c \
     WHERE c.table_schema = DATABASE() AND (c.table_name = 'tenants' OR EXISTS (SELECT 1 FROM information_schema.columns t \
     WHERE t.table_schema = c.table_schema AND t.table_name = c.table_name AND t.column_name = 'tenant_id')) \
     ORDER BY c.table_name, c.ordinal_position";

/// Whether a column is worth a login, or leads to one. By its name, so that a column of tomorrow is kept back rather
/// than given out.
fn is_secret(table: &str, column: &str) -> bool {
    if table == "audit_logs" || table == "audit_heads" {
        return false;
    }
    let parts = ["secret", "password", "token", "cred", "private"];
    parts.iter().any(|part| column.contains(part))
        || column == "hash"
        || column.ends_with("_hash")
        || column == "pin"
}

/// Every table with rows of tenants, the tenants' own among them.
async fn tables(db: &Db) -> sqlx::Result<Vec<Table>> {
    let sql = db.pick(SQLITE, MYSQL);
    let rows: Vec<ColumnRow> = db_read!(db, |p| sqlx::query_as(sql).fetch_all(p).await)?;
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    for row in rows {
        let table = tables.entry(row.tab.clone()).or_default();
        table.name.clone_from(&row.tab);
        if row.in_key > 0 {
            table.key.push(row.col.clone());
        }
        if !is_secret(&row.tab, &row.col) {
            table.shown.push((row.col, row.kind.to_ascii_lowercase().contains("int")));
        }
    }
    Ok(tables.into_values().collect())
}

impl Table {
    /// The column that holds the tenant's id.
    fn owner(&self) -> &'static str {
        if self.name == "tenants" { "id" } else { "tenant_id" }
    }

    /// Its rows of a tenant behind a key, some at a time: what an export shows, then the key, all as text.
    async fn rows(
        &self,
        db: &Db,
        tenant: &TenantId,
        after: &[String],
    ) -> sqlx::Result<Vec<Vec<Option<String>>>> {
        // In backquotes, which both take: Asterisk has a column `100rel`.
        let text = |column: &str| {
            db.pick(&format!("CAST(`{column}` AS TEXT)"), &format!("CAST(`{column}` AS CHAR)")).to_owned()
        };
        let key: Vec<String> = self.key.iter().map(|column| format!("`{column}`")).collect();
        let key = key.join(", ");
        let columns: Vec<String> =
            self.shown.iter().map(|(column, _)| column).chain(&self.key).map(|c| text(c)).collect();
        let behind = match after {
            [] => String::new(),
            _ => format!(" AND ({key}) > ({})", vec!["?"; after.len()].join(", ")),
        };
        let sql = format!(
            "SELECT {} FROM {} WHERE {} = ?{behind} ORDER BY {key} LIMIT {}",
            columns.join(", "),
            self.name,
            self.owner(),
            limits::EXPORT_ROWS
        );
        let width = columns.len();
        db_read!(db, |p| {
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(tenant.as_str());
            for value in after {
                query = query.bind(value);
            }
            let rows = query.fetch_all(p).await?;
            rows.iter().map(|row| (0..width).map(|n| row.try_get(n)).collect()).collect()
        })
    }

    /// A row as an export shows it.
    fn shown(&self, row: &[Option<String>]) -> Value {
        let value = |(is_number, text): (bool, &Option<String>)| match text {
            None => Value::Null,
            Some(text) if is_number => text.parse::<i64>().map_or_else(|_| text.as_str().into(), Value::from),
            Some(text) => text.as_str().into(),
        };
        let named = self.shown.iter().zip(row);
        Value::Object(
            named
                .map(|((name, is_number), text)| (name.clone(), value((*is_number, text))))
                .collect::<Map<_, _>>(),
        )
    }
}

/// Everything of a tenant as a zip: a file of JSON lines per table, as stored, without secrets, and `manifest.json`
/// with the count and SHA-256 of each. Not one moment's state: tables are read one after another.
///
/// # Errors
/// 409 when it is larger than the limit.
pub async fn export(db: &Db, tenant: &TenantId, at: &str) -> Result<Vec<u8>, Problem> {
    let failed = |error: zip::result::ZipError| Problem::internal(format!("an export: {error}"));
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    let (mut files, mut bytes) = (Vec::new(), 0_usize);
    for table in tables(db).await?.iter().filter(|t| !NOT_EXPORTED.contains(&t.name.as_str())) {
        let name = format!("{}.jsonl", table.name);
        zip.start_file(&name, options).map_err(failed)?;
        let (mut hash, mut count, mut after) = (Sha256::new(), 0_usize, Vec::new());
        loop {
            let rows = table.rows(db, tenant, &after).await?;
            let mut lines = String::new();
            for row in &rows {
                lines.push_str(&table.shown(row).to_string());
                lines.push('\n');
            }
            bytes += lines.len();
            if bytes > limits::EXPORT_BYTES {
                return Err(Problem::conflict(
                    "export-too-large",
                    format!(
                        "The tenant has more than {} MiB; take a backup of the database.",
                        limits::EXPORT_BYTES >> 20
                    ),
                ));
            }
            hash.update(lines.as_bytes());
            zip.write_all(lines.as_bytes()).map_err(|e| failed(e.into()))?;
            count += rows.len();
            match rows.last().filter(|_| i64::try_from(rows.len()) == Ok(limits::EXPORT_ROWS)) {
                Some(last) => {
                    after =
                        last.iter().skip(table.shown.len()).map(|v| v.clone().unwrap_or_default()).collect();
                }
                None => break,
            }
        }
        let sha256: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        files.push(json!({"file": name, "rows": count, "sha256": sha256}));
    }
    zip.start_file("manifest.json", options).map_err(failed)?;
    let manifest = json!({"tenant": tenant, "exported_at": at, "files": files});
    zip.write_all(format!("{manifest:#}\n").as_bytes()).map_err(|e| failed(e.into()))?;
    Ok(zip.finish().map_err(failed)?.into_inner())
}

/// Tables that a purge empties, read before its transaction: a catalogue is the same inside and outside.
///
/// # Errors
/// When the database is away.
pub async fn purged_tables(db: &Db) -> sqlx::Result<Vec<String>> {
    let all = tables(db).await?.into_iter().map(|table| table.name);
    Ok(all.filter(|name| name != "tenants" && !KEPT.contains(&name.as_str())).collect())
}

/// Deletes every row of a tenant that was deleted before, but its audit. Returns how many rows each table had.
///
/// # Errors
/// 404 for a tenant that does not exist, 409 for one that lives.
pub async fn purge(tx: &mut Tx, tables: &[String], tenant: &TenantId) -> Result<Map<String, Value>, Problem> {
    // People of the platform may have their home in a tenant; they stay.
    const FREE: &str = "UPDATE users SET tenant_id = NULL WHERE tenant_id = ? AND is_superadmin = TRUE";
    const LIVES: &str = "SELECT deleted_at FROM tenants WHERE id = ?";
    const GONE: &str = "DELETE FROM tenants WHERE id = ? AND deleted_at <> 0";
    super::store::lock(tx, tenant).await?;
    let deleted: Option<i64> =
        db_tx!(&mut *tx, |c| sqlx::query_scalar(LIVES).bind(tenant.as_str()).fetch_optional(c).await)?;
    match deleted {
        None => return Err(Problem::not_found("tenant")),
        Some(0) => {
            return Err(Problem::conflict(
                "not-deleted",
                "The tenant lives; delete it first (DELETE /tenants/{id}).",
            ));
        }
        Some(_) => {}
    }
    db_tx!(&mut *tx, |c| sqlx::query(FREE).bind(tenant.as_str()).execute(c).await.map(drop))?;
    let mut counts = Map::new();
    for table in tables {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE tenant_id = ?");
        counts.insert(table.clone(), super::store::number(tx, sql, tenant).await?.into());
    }
    for table in tables {
        let sql = format!("DELETE FROM {table} WHERE tenant_id = ?");
        db_tx!(&mut *tx, |c| sqlx::query(AssertSqlSafe(sql))
            .bind(tenant.as_str())
            .execute(c)
            .await
            .map(drop))?;
    }
    db_tx!(&mut *tx, |c| sqlx::query(GONE).bind(tenant.as_str()).execute(c).await.map(drop))?;
    for table in tables {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE tenant_id = ?");
        if super::store::number(tx, sql, tenant).await? != 0 {
            return Err(Problem::internal(format!("a purge left rows in {table}")));
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_a_door_is_kept_back() {
        for (table, column) in [
            ("api_keys", "hash"),
            ("users", "password_hash"),
            ("users", "totp_secret"),
            ("dids", "webhook_secret"),
            ("ps_auths", "md5_cred"),
            ("chat_sessions", "token_hash"),
        ] {
            assert!(is_secret(table, column), "{table}.{column}");
        }
        assert!(!is_secret("audit_logs", "hash") && !is_secret("contacts", "phone"));
    }
}
