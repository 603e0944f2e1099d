//! SQL of versions' files and of runs; the rest is the API's own, made from the collections' descriptions.

use super::Run;
use crate::base::ids::{Id, TenantId};
use crate::config::limits::plugins as limits;
use crate::db::{self, Db, Tx, db_read, db_tx};
use crate::sandbox::Asked;

/// The file of a tenant's version; `None`: it is not kept any more.
///
/// # Errors
/// When the database is away.
pub async fn source(db: &Db, tenant: &TenantId, version: &Id) -> sqlx::Result<Option<Vec<u8>>> {
    const SQL: &str = "SELECT bytes FROM plugin_parts WHERE tenant_id = ? AND version_id = ? ORDER BY part";
    let parts: Vec<Vec<u8>> = db_read!(db, |p| sqlx::query_scalar(SQL)
        .bind(tenant.as_str())
        .bind(version.as_str())
        .fetch_all(p)
        .await)?;
    Ok(Some(parts.concat()).filter(|bytes| !bytes.is_empty()))
}

/// A plugin's name; empty when the tenant has no such plugin.
///
/// # Errors
/// When the database is away.
pub async fn name(db: &Db, tenant: &TenantId, plugin: &Id) -> sqlx::Result<String> {
    const SQL: &str = "SELECT name FROM plugins WHERE tenant_id = ? AND id = ?";
    let found: Option<String> = db_read!(db, |p| sqlx::query_scalar(SQL)
        .bind(tenant.as_str())
        .bind(plugin.as_str())
        .fetch_optional(p)
        .await)?;
    Ok(found.unwrap_or_default())
}

/// Keeps a version's file, in pieces.
///
/// # Errors
/// When the database is away.
pub async fn insert_source(tx: &mut Tx, tenant: &TenantId, version: &str, bytes: &[u8]) -> sqlx::Result<()> {
    const SQL: &str = "INSERT INTO plugin_parts (tenant_id, version_id, part, bytes) VALUES (?, ?, ?, ?)";
    for (part, piece) in (0_i64..).zip(bytes.chunks(limits::PART_BYTES)) {
        db_tx!(&mut *tx, |c| sqlx::query(SQL)
            .bind(tenant.as_str())
            .bind(version)
            .bind(part)
            .bind(piece)
            .execute(c)
            .await
            .map(drop))?;
    }
    Ok(())
}

/// What plugins were answered that ran for a call at that moment, in the order they asked.
///
/// # Errors
/// When the database is away.
pub async fn answers(db: &Db, tenant: &TenantId, call: &Id, at_us: i64) -> sqlx::Result<Vec<Asked>> {
    const SQL: &str = "SELECT trail FROM plugin_runs WHERE tenant_id = ? AND created_at = ? AND subject_id = ? \
         AND cause = 'call' AND trail IS NOT NULL ORDER BY id";
    let trails: Vec<String> = db_read!(db, |p| sqlx::query_scalar(SQL)
        .bind(tenant.as_str())
        .bind(at_us)
        .bind(call.as_str())
        .fetch_all(p)
        .await)?;
    let read = |trail: &String| serde_json::from_str::<Vec<Asked>>(trail);
    let trails = trails.iter().map(read).collect::<Result<Vec<_>, _>>();
    trails.map(|all| all.concat()).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Whether a version decided on something well while it was asked in earnest.
///
/// # Errors
/// When the database is away.
pub async fn is_proven(tx: &mut Tx, plugin: &str, version: i64) -> sqlx::Result<bool> {
    const SQL: &str = "SELECT id FROM plugin_runs WHERE plugin_id = ? AND cause IN ('call', 'event') AND version = ? \
         AND outcome IN ('ok', 'pass') LIMIT 1";
    let found: Option<String> =
        db_tx!(tx, |c| sqlx::query_scalar(SQL).bind(plugin).bind(version).fetch_optional(c).await)?;
    Ok(found.is_some())
}

/// Keeps runs of a tenant's plugins. One that is there already stays as it is.
///
/// # Errors
/// When the database is away.
pub async fn insert_runs(tx: &mut Tx, tenant: &TenantId, runs: &[Run]) -> sqlx::Result<()> {
    const SQLITE: &str = "INSERT INTO plugin_runs (id, tenant_id, plugin_id, version, cause, subject_id, outcome, text, \
         output, log, log_cut, trail, trail_cut, wall_us, cpu_us, fuel, memory_bytes, host_calls, input, differs, \
         other_version, other_outcome, other_output, other_wall_us, other_cpu_us, other_fuel, created_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (id) DO NOTHING";
    const MYSQL: &str = "INSERT INTO plugin_runs (id, tenant_id, plugin_id, version, cause, subject_id, outcome, text, \
         output, log, log_cut, trail, trail_cut, wall_us, cpu_us, fuel, memory_bytes, host_calls, input, differs, \
         other_version, other_outcome, other_output, other_wall_us, other_cpu_us, other_fuel, created_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON DUPLICATE KEY UPDATE id = id";
    let sql = tx.pick(SQLITE, MYSQL);
    for piece in db::pieces(runs.len()).map(|piece| &runs[piece]) {
        let rows: Vec<Row> = piece.iter().map(Row::of).collect::<Result<_, _>>()?;
        db_tx!(&mut *tx, |c| {
            let mut query = sqlx::query(db::with_rows(sql, piece.len()));
            for (run, row) in piece.iter().zip(&rows) {
                let (report, cost) = (&run.report, &run.report.cost);
                let compared = run.compared.as_ref();
                query = query
                    .bind(run.id.as_str())
                    .bind(tenant.as_str())
                    .bind(run.plugin.as_str())
                    .bind(i64::from(run.version))
                    .bind(run.trigger.as_str())
                    .bind(&run.subject)
                    .bind(report.outcome.as_str())
                    .bind(&report.text)
                    .bind(&row.output)
                    .bind(&row.log)
                    .bind(report.log_cut)
                    .bind(&row.trail)
                    .bind(report.trail_cut)
                    .bind(whole(cost.wall_us))
                    .bind(whole(cost.cpu_us))
                    .bind(whole(cost.fuel))
                    .bind(whole(cost.memory_bytes))
                    .bind(i64::from(cost.host_calls))
                    .bind(&row.input)
                    .bind(compared.map(|c| c.differs))
                    .bind(compared.map(|c| i64::from(c.version)))
                    .bind(compared.map_or("", |c| c.outcome.as_str()))
                    .bind(&row.other)
                    .bind(compared.map(|c| whole(c.cost.wall_us)))
                    .bind(compared.map(|c| whole(c.cost.cpu_us)))
                    .bind(compared.map(|c| whole(c.cost.fuel)))
                    .bind(run.at_us);
            }
            query.execute(c).await.map(drop)
        })?;
    }
    Ok(())
}

/// The columns of a run that hold JSON.
struct Row {
    output: Option<String>,
    log: Option<String>,
    trail: Option<String>,
    input: Option<String>,
    other: Option<String>,
}

impl Row {
    fn of(run: &Run) -> sqlx::Result<Self> {
        let report = &run.report;
        Ok(Self {
            output: report.output.as_ref().map(json).transpose()?,
            log: Some(&report.log).filter(|log| !log.is_empty()).map(json).transpose()?,
            trail: Some(&report.trail).filter(|trail| !trail.is_empty()).map(json).transpose()?,
            input: run.input.as_ref().map(json).transpose()?,
            other: run.compared.as_ref().and_then(|c| c.output.as_ref()).map(json).transpose()?,
        })
    }
}

fn json<T: serde::Serialize>(value: &T) -> sqlx::Result<String> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
