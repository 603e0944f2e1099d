//! What is not kept for ever: finished deliveries and their attempts go with the events of their time. A delivery whose
//! event is gone can't be sent any more, so it is given up.

use std::collections::BTreeSet;

use super::{record, store};
use crate::base::ids::TenantId;
use crate::config::limits::webhooks as limits;
use crate::db::{self, Db, db_read, db_tx, db_write};

/// Removes what was finished before then, and the attempts of that time. Returns how many rows.
///
/// # Errors
/// When the database is away.
pub async fn purge(db: &Db, before_us: i64, now_us: i64) -> sqlx::Result<u64> {
    let mut removed = 0;
    for tenant in tenants(db).await? {
        while give_up(db, &tenant, now_us).await? > 0 {}
        removed += remove(db, &tenant, before_us).await?;
    }
    Ok(removed)
}

/// Gives deliveries up whose events are gone, and lets those go that wait behind them. Returns how many.
async fn give_up(db: &Db, tenant: &TenantId, now_us: i64) -> sqlx::Result<u64> {
    const FIND: &str = "SELECT d.id, d.webhook_id, d.event_key FROM webhook_deliveries d \
         WHERE d.tenant_id = ? AND d.owner = '' AND d.status IN ('pending', 'waiting') AND NOT EXISTS \
         (SELECT 1 FROM events e WHERE e.tenant_id = d.tenant_id AND e.position = d.event_position) LIMIT ?";
    const FAIL: &str = "UPDATE webhook_deliveries SET status = 'failed', last_error = 'event-gone', finished_at = ? \
         WHERE id = ? AND owner = '' AND status IN ('pending', 'waiting')";
    let found: Vec<(String, String, String)> = db_read!(db, |p| sqlx::query_as(FIND)
        .bind(tenant.as_str())
        .bind(limits::GIVE_UP_ROWS)
        .fetch_all(p)
        .await)?;
    if found.is_empty() {
        return Ok(0);
    }
    let mut tx = db.begin().await?;
    let webhooks: BTreeSet<&String> = found.iter().map(|(_, webhook, _)| webhook).collect();
    for webhook in &webhooks {
        store::lock_endpoint(&mut tx, webhook).await?;
    }
    let mut given_up = 0;
    for (id, ..) in &found {
        given_up += db_tx!(&mut tx, |c| sqlx::query(FAIL)
            .bind(now_us)
            .bind(id)
            .execute(c)
            .await
            .map(|done| done.rows_affected()))?;
    }
    let keys: BTreeSet<(&String, &String)> = found.iter().map(|(_, webhook, key)| (webhook, key)).collect();
    for (webhook, key) in keys {
        record::promote(&mut tx, webhook, key, now_us).await?;
    }
    for webhook in webhooks {
        store::touch(&mut tx, webhook, now_us).await?;
    }
    tx.commit().await?;
    Ok(given_up)
}

/// Removes a tenant's deliveries that were finished before then, and the attempts of that time. Returns how many rows.
async fn remove(db: &Db, tenant: &TenantId, before_us: i64) -> sqlx::Result<u64> {
    const FIND: [(&str, &str); 2] = [
        (
            "SELECT id FROM webhook_deliveries WHERE tenant_id = ? AND created_at < ? AND finished_at < ? \
             ORDER BY created_at LIMIT ?",
            "DELETE FROM webhook_deliveries WHERE id IN ",
        ),
        (
            "SELECT id FROM webhook_attempts WHERE tenant_id = ? AND created_at < ? AND created_at < ? \
             ORDER BY created_at LIMIT ?",
            "DELETE FROM webhook_attempts WHERE id IN ",
        ),
    ];
    let mut removed = 0;
    for (find, delete) in FIND {
        loop {
            let ids: Vec<String> = db_read!(db, |p| sqlx::query_scalar(find)
                .bind(tenant.as_str())
                .bind(before_us)
                .bind(before_us)
                .bind(limits::PURGE_ROWS)
                .fetch_all(p)
                .await)?;
            if ids.is_empty() {
                break;
            }
            for piece in db::pieces(ids.len()).map(|piece| &ids[piece]) {
                let sql = format!("{delete}({})", db::places(piece.len()));
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
    Ok(removed)
}

/// Tenants that have, or had, endpoints.
async fn tenants(db: &Db) -> sqlx::Result<Vec<TenantId>> {
    const SQL: &str = "SELECT tenant_id FROM webhook_cursors";
    let found: Vec<String> = db_read!(db, |p| sqlx::query_scalar(SQL).fetch_all(p).await)?;
    Ok(found.iter().filter_map(|id| TenantId::parse(id).ok()).collect())
}
