//! SQL of tenants, and the version that tells other processes to read a tenant's routing data again.

use crate::api::Problem;
use crate::base::ids::TenantId;
use crate::db::{Db, Tx, db_read, db_tx};

use super::{NewTenant, Tenant, TenantStatus};

#[derive(sqlx::FromRow)]
struct TenantRow {
    id: String,
    name: String,
    status: String,
    language: String,
    zone: String,
    max_agents: i64,
    max_dids: i64,
    max_concurrent_calls: i64,
    features: String,
}

impl TenantRow {
    fn into_tenant(self) -> sqlx::Result<Tenant> {
        let wrong = |what: String| sqlx::Error::Decode(format!("tenants {}: {what}", self.id).into());
        Ok(Tenant {
            id: TenantId::parse(&self.id).map_err(|e| wrong(e.to_string()))?,
            status: TenantStatus::parse(&self.status)
                .ok_or_else(|| wrong(format!("status {:?}", self.status)))?,
            features: serde_json::from_str(&self.features).map_err(|e| wrong(format!("features: {e}")))?,
            max_agents: u32::try_from(self.max_agents).unwrap_or(u32::MAX),
            max_dids: u32::try_from(self.max_dids).unwrap_or(u32::MAX),
            max_concurrent_calls: u32::try_from(self.max_concurrent_calls).unwrap_or(u32::MAX),
            name: self.name,
            language: self.language,
            zone: self.zone,
        })
    }
}

/// One tenant, unless it is deleted or unknown.
///
/// # Errors
/// When the database is away or holds what no tenant can be.
pub async fn get(db: &Db, id: &TenantId) -> sqlx::Result<Option<Tenant>> {
    const SQL: &str = "SELECT id, name, status, language, zone, max_agents, max_dids, max_concurrent_calls, features \
         FROM tenants WHERE id = ? AND deleted_at = 0";
    let row: Option<TenantRow> =
        db_read!(db, |p| sqlx::query_as(SQL).bind(id.as_str()).fetch_optional(p).await)?;
    row.map(TenantRow::into_tenant).transpose()
}

/// Adds a tenant.
///
/// # Errors
/// A unique violation when the id is taken.
pub async fn insert(tx: &mut Tx, tenant: &Tenant, now_us: i64) -> sqlx::Result<()> {
    const SQL: &str = "INSERT INTO tenants (id, name, status, language, zone, max_agents, max_dids, \
         max_concurrent_calls, features, metadata, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '{}', ?, ?)";
    let features = serde_json::to_string(&tenant.features).map_err(|e| sqlx::Error::Encode(e.into()))?;
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(tenant.id.as_str())
        .bind(&tenant.name)
        .bind(tenant.status.as_str())
        .bind(&tenant.language)
        .bind(&tenant.zone)
        .bind(i64::from(tenant.max_agents))
        .bind(i64::from(tenant.max_dids))
        .bind(i64::from(tenant.max_concurrent_calls))
        .bind(&features)
        .bind(now_us)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))?;
    touch(tx, &tenant.id).await
}

/// Adds a tenant with everything that routing does not need.
///
/// # Errors
/// A unique violation when the id is taken, also by one that was deleted and not yet purged.
pub async fn insert_whole(tx: &mut Tx, new: &NewTenant, now_us: i64) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE tenants SET plan = ?, contact_email = ?, max_endpoints = ?, max_queues = ?, \
         max_storage_mib = ?, trial_ends_at = ? WHERE id = ?";
    insert(tx, &new.tenant, now_us).await?;
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(&new.plan)
        .bind(&new.contact_email)
        .bind(i64::from(new.limits.max_endpoints))
        .bind(i64::from(new.limits.max_queues))
        .bind(i64::from(new.limits.max_storage_mib))
        .bind(new.trial_ends_us)
        .bind(new.tenant.id.as_str())
        .execute(c)
        .await
        .map(drop))
}

/// Sets whether a tenant may have calls. Returns whether there is such a tenant.
///
/// # Errors
/// When the database is away.
pub async fn set_status(tx: &mut Tx, id: &TenantId, status: TenantStatus, now_us: i64) -> sqlx::Result<bool> {
    const SQL: &str = "UPDATE tenants SET status = ?, updated_at = ? WHERE id = ? AND deleted_at = 0";
    let changed = db_tx!(tx, |c| sqlx::query(SQL)
        .bind(status.as_str())
        .bind(now_us)
        .bind(id.as_str())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    if changed == 1 {
        touch(tx, id).await?;
    }
    Ok(changed == 1)
}

/// Says why a tenant is suspended; empty: it is not.
///
/// # Errors
/// When the database is away.
pub async fn set_suspended_reason(tx: &mut Tx, id: &TenantId, why: &str) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE tenants SET suspended_reason = ? WHERE id = ?";
    db_tx!(tx, |c| sqlx::query(SQL).bind(why).bind(id.as_str()).execute(c).await.map(drop))
}

/// Tenants whose trial is over and who are not suspended yet.
///
/// # Errors
/// When the database is away.
pub async fn trials_over(db: &Db, now_us: i64) -> sqlx::Result<Vec<TenantId>> {
    const SQL: &str =
        "SELECT id FROM tenants WHERE status = 'trial' AND deleted_at = 0 AND trial_ends_at <= ? ORDER BY id";
    let ids: Vec<String> = db_read!(db, |p| sqlx::query_scalar(SQL).bind(now_us).fetch_all(p).await)?;
    Ok(ids.iter().filter_map(|id| TenantId::parse(id).ok()).collect())
}

/// Suspends a tenant on trial. Returns whether it was one.
///
/// # Errors
/// When the database is away.
pub async fn end_trial(tx: &mut Tx, id: &TenantId, why: &str, now_us: i64) -> sqlx::Result<bool> {
    const SQL: &str = "UPDATE tenants SET status = 'suspended', suspended_reason = ?, updated_at = ? \
         WHERE id = ? AND status = 'trial' AND deleted_at = 0";
    let ended = db_tx!(&mut *tx, |c| sqlx::query(SQL)
        .bind(why)
        .bind(now_us)
        .bind(id.as_str())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    if ended == 1 {
        touch(tx, id).await?;
    }
    Ok(ended == 1)
}

/// Marks a tenant as deleted: nothing of it is seen or routed any more.
///
/// # Errors
/// When the database is away.
pub async fn remove(tx: &mut Tx, id: &TenantId, now_us: i64) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE tenants SET deleted_at = ?, updated_at = ?, deletion_requested_at = \
         COALESCE(deletion_requested_at, ?) WHERE id = ? AND deleted_at = 0";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(now_us)
        .bind(now_us)
        .bind(now_us)
        .bind(id.as_str())
        .execute(c)
        .await
        .map(drop))
}

/// Whether a tenant of that id was destroyed: its audit stays under its name, which nobody else gets.
///
/// # Errors
/// When the database is away.
pub async fn was_purged(tx: &mut Tx, id: &TenantId) -> sqlx::Result<bool> {
    const SQL: &str = "SELECT (SELECT COUNT(*) FROM audit_heads WHERE tenant_id = ?) \
         - (SELECT COUNT(*) FROM tenants WHERE id = ?)";
    let left: i64 =
        db_tx!(tx, |c| sqlx::query_scalar(SQL).bind(id.as_str()).bind(id.as_str()).fetch_one(c).await)?;
    Ok(left > 0)
}

/// Raises the version of a tenant's routing data. Every change that routing can see calls this in its transaction.
///
/// # Errors
/// When the database is away.
pub async fn touch(tx: &mut Tx, id: &TenantId) -> sqlx::Result<()> {
    const SQLITE: &str = "INSERT INTO routing_versions (tenant_id, version) VALUES (?, 1) \
         ON CONFLICT (tenant_id) DO UPDATE SET version = version + 1";
    const MYSQL: &str = "INSERT INTO routing_versions (tenant_id, version) VALUES (?, 1) \
         ON DUPLICATE KEY UPDATE version = version + 1";
    let sql = tx.pick(SQLITE, MYSQL);
    db_tx!(tx, |c| sqlx::query(sql).bind(id.as_str()).execute(c).await.map(drop))
}

/// The version of every tenant's routing data.
///
/// # Errors
/// When the database is away.
pub async fn versions(db: &Db) -> sqlx::Result<Vec<(TenantId, i64)>> {
    const SQL: &str = "SELECT v.tenant_id, v.version FROM routing_versions v \
         JOIN tenants t ON t.id = v.tenant_id AND t.deleted_at = 0 ORDER BY v.tenant_id";
    let rows: Vec<(String, i64)> = db_read!(db, |p| sqlx::query_as(SQL).fetch_all(p).await)?;
    // A row that is no tenant id was not written by us: it can't be routed, and must not stop the others.
    Ok(rows.into_iter().filter_map(|(id, v)| Some((TenantId::parse(&id).ok()?, v))).collect())
}

/// Whether a tenant's people and keys may change anything.
///
/// # Errors
/// 403 `tenant-suspended`; 404 when it is gone.
pub async fn may_write(db: &Db, id: &TenantId) -> Result<(), Problem> {
    const SQL: &str = "SELECT status FROM tenants WHERE id = ? AND deleted_at = 0";
    let status: Option<String> =
        db_read!(db, |p| sqlx::query_scalar(SQL).bind(id.as_str()).fetch_optional(p).await)?;
    match status.as_deref().map(TenantStatus::parse) {
        Some(Some(status)) if status.has_calls() => Ok(()),
        Some(_) => Err(Problem::new(
            403,
            "tenant-suspended",
            "The tenant is suspended: everything can be read and nothing changed. Ask the operator.",
        )),
        None => Err(Problem::not_found("tenant")),
    }
}

/// Takes a tenant's row, so that changes which must see each other stand in line. The first statement of such a
/// transaction: on MariaDB what is read afterwards is then as new as the lock.
///
/// # Errors
/// When the database is away.
pub async fn lock(tx: &mut Tx, id: &TenantId) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE tenants SET status = status WHERE id = ?";
    db_tx!(tx, |c| sqlx::query(SQL).bind(id.as_str()).execute(c).await.map(drop))
}

/// What a statement of ours counts for a tenant, which is its only parameter.
pub(super) async fn number(tx: &mut Tx, sql: String, tenant: &TenantId) -> sqlx::Result<i64> {
    db_tx!(tx, |c| sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(tenant.as_str()).fetch_one(c).await)
}
