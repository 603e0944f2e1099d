//! What is not kept for ever: runs that are old or too many, files of versions that nobody goes back to, native code of
//! what is not asked any more, cursors of ticketers that are gone.

use std::collections::HashSet;
use std::sync::Arc;

use super::Plugins;
use crate::base::ids::Id;
use crate::config::limits::plugins as limits;
use crate::db::{Db, db_read, db_tx, db_write};

/// Removes all of that. Returns how many runs and files.
///
/// # Errors
/// When the database is away.
pub async fn purge(plugins: &Arc<Plugins>, now_us: i64) -> sqlx::Result<u64> {
    const ALL: &str = "SELECT id, tenant_id, deleted_at FROM plugins ORDER BY id";
    let db = &plugins.parts.db;
    let all: Vec<(String, String, i64)> = db_read!(db, |p| sqlx::query_as(ALL).fetch_all(p).await)?;
    let mut removed = 0;
    for (id, tenant, deleted_at) in &all {
        removed += old_runs(db, id, now_us - limits::RUNS_US).await?;
        removed += many_runs(db, id).await?;
        let kept = if *deleted_at == 0 { limits::VERSIONS_KEPT } else { 0 };
        removed += files(db, (tenant, id), kept).await?;
    }
    removed += super::kv::purge(db, now_us).await?;
    removed += super::ticketer::cursor::purge(db).await?;
    native_code(plugins, now_us).await?;
    Ok(removed)
}

async fn old_runs(db: &Db, plugin: &str, before_us: i64) -> sqlx::Result<u64> {
    const FIND: &str =
        "SELECT id FROM plugin_runs WHERE plugin_id = ? AND created_at < ? ORDER BY created_at LIMIT ?";
    let mut removed = 0;
    loop {
        let ids: Vec<String> = db_read!(db, |p| sqlx::query_scalar(FIND)
            .bind(plugin)
            .bind(before_us)
            .bind(limits::PURGE_ROWS)
            .fetch_all(p)
            .await)?;
        if ids.is_empty() {
            return Ok(removed);
        }
        for piece in crate::db::pieces(ids.len()).map(|piece| &ids[piece]) {
            let sql = format!("DELETE FROM plugin_runs WHERE id IN ({})", crate::db::places(piece.len()));
            removed += db_write!(db, |p| {
                let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
                for id in piece {
                    query = query.bind(id);
                }
                query.execute(p).await.map(|done| done.rows_affected())
            })?;
        }
    }
}

/// Removes what lies behind as many runs as are kept.
async fn many_runs(db: &Db, plugin: &str) -> sqlx::Result<u64> {
    const LAST: &str = "SELECT created_at FROM plugin_runs WHERE plugin_id = ? ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET ?";
    let last: Option<i64> = db_read!(db, |p| sqlx::query_scalar(LAST)
        .bind(plugin)
        .bind(limits::RUNS_KEPT - 1)
        .fetch_optional(p)
        .await)?;
    match last {
        Some(at_us) => old_runs(db, plugin, at_us).await,
        None => Ok(0),
    }
}

/// Removes files of versions that are neither in use nor among the last `kept` besides.
async fn files(db: &Db, (tenant, plugin): (&str, &str), kept: usize) -> sqlx::Result<u64> {
    const LOCK: &str = "UPDATE plugins SET last_version = last_version WHERE tenant_id = ? AND id = ?";
    const FIND: &str = "SELECT v.id FROM plugin_versions v JOIN plugins p ON p.id = v.plugin_id \
         WHERE v.tenant_id = ? AND v.plugin_id = ? AND v.has_source = TRUE AND (p.deleted_at <> 0 OR NOT \
         (v.number = COALESCE(p.active_version, 0) OR v.number = COALESCE(p.previous_version, 0) \
         OR v.number = COALESCE(p.canary_version, 0) OR v.number = COALESCE(p.shadow_version, 0) \
         OR EXISTS (SELECT 1 FROM dids d WHERE d.tenant_id = p.tenant_id AND d.deleted_at = 0 \
         AND d.plugin = CONCAT(p.name, '@', v.number)))) ORDER BY v.number DESC";
    const PARTS: &str = "DELETE FROM plugin_parts WHERE tenant_id = ? AND version_id = ?";
    const MARK: &str = "UPDATE plugin_versions SET has_source = FALSE WHERE tenant_id = ? AND id = ?";
    let find = || async {
        let found: sqlx::Result<Vec<String>> =
            db_read!(db, |p| sqlx::query_scalar(FIND).bind(tenant).bind(plugin).fetch_all(p).await);
        found.map(|all| all.into_iter().skip(kept).collect::<Vec<_>>())
    };
    if find().await?.is_empty() {
        return Ok(0);
    }
    let mut tx = db.begin().await?;
    // Whoever activates one of them stands in line.
    db_tx!(&mut tx, |c| sqlx::query(LOCK).bind(tenant).bind(plugin).execute(c).await.map(drop))?;
    let old: Vec<String> =
        db_tx!(&mut tx, |c| sqlx::query_scalar(FIND).bind(tenant).bind(plugin).fetch_all(c).await)?;
    let mut removed = 0;
    for version in old.into_iter().skip(kept) {
        db_tx!(&mut tx, |c| {
            sqlx::query(PARTS).bind(tenant).bind(&version).execute(&mut *c).await?;
            sqlx::query(MARK).bind(tenant).bind(&version).execute(c).await.map(drop)
        })?;
        removed += 1;
    }
    tx.commit().await?;
    Ok(removed)
}

/// Removes native code of what is in no use, and was not uploaded lately: that may be activated in a moment.
async fn native_code(plugins: &Arc<Plugins>, now_us: i64) -> sqlx::Result<()> {
    const USED: &str = "SELECT v.digest FROM plugin_versions v JOIN plugins p ON p.id = v.plugin_id \
         WHERE v.created_at > ? OR p.deleted_at = 0 AND (v.number = p.active_version OR v.number = p.previous_version \
         OR v.number = p.canary_version OR v.number = p.shadow_version)";
    let Some(sandbox) = plugins.parts.sandbox.clone() else { return Ok(()) };
    let fresh_us = now_us - i64::try_from(limits::ROLLBACK_TIME.as_micros()).unwrap_or(i64::MAX);
    let used: Vec<String> =
        db_read!(&plugins.parts.db, |p| sqlx::query_scalar(USED).bind(fresh_us).fetch_all(p).await)?;
    let (used, on_shelf): (HashSet<String>, HashSet<String>) =
        (used.into_iter().collect(), plugins.digests());
    let swept = tokio::task::spawn_blocking(move || {
        sandbox.sweep(&|digest| used.contains(digest) || on_shelf.contains(digest));
    });
    if let Err(error) = swept.await {
        tracing::error!(%error, "native code can't be swept");
    }
    Ok(())
}

impl Plugins {
    /// The files of what is ready to run.
    fn digests(&self) -> HashSet<String> {
        self.programs().into_iter().map(|(_, program)| program.digest.clone()).collect()
    }

    /// Whether a version is ready to run here.
    pub fn is_loaded(&self, plugin: &Id, version: u32) -> bool {
        self.on_shelf(plugin, version).is_some()
    }
}
