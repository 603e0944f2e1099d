//! SQL of queues and their members.

use crate::base::ids::{Id, Name, TenantId};
use crate::db::{Tx, db_tx};
use crate::tenants::store::touch;

/// A queue as it is written.
#[derive(Clone, Debug)]
pub struct NewQueue<'a> {
    /// Its row.
    pub id: &'a Id,
    /// Its name.
    pub name: &'a Name,
    /// Its name for people.
    pub display_name: &'a str,
    /// The extension that reaches it inside; empty: none.
    pub extension: &'a str,
    /// How members are chosen, in app_queue's words.
    pub strategy: &'a str,
    /// Seconds a caller waits at most; 0: no limit.
    pub max_wait_s: u32,
}

/// Adds a queue in service.
///
/// # Errors
/// A unique violation when the tenant has one of that name.
pub async fn insert(tx: &mut Tx, tenant: &TenantId, queue: &NewQueue<'_>, now_us: i64) -> sqlx::Result<()> {
    const SQL: &str = "INSERT INTO queues (id, tenant_id, name, display_name, extension, status, strategy, max_wait_s, \
         metadata, created_at, updated_at) VALUES (?, ?, ?, ?, ?, 'active', ?, ?, '{}', ?, ?)";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(queue.id.as_str())
        .bind(tenant.as_str())
        .bind(queue.name.as_str())
        .bind(queue.display_name)
        .bind(queue.extension)
        .bind(queue.strategy)
        .bind(i64::from(queue.max_wait_s))
        .bind(now_us)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))?;
    touch(tx, tenant).await
}

/// Adds an endpoint to a queue; both must be the tenant's. Returns whether they are.
///
/// # Errors
/// A unique violation when it is a member already.
pub async fn insert_member(
    tx: &mut Tx,
    tenant: &TenantId,
    id: &Id,
    (queue, endpoint): (&Id, &Id),
    penalty: u32,
    now_us: i64,
) -> sqlx::Result<bool> {
    const SQL: &str = "INSERT INTO queue_members (id, tenant_id, queue_id, endpoint_id, penalty, created_at, updated_at) \
         SELECT ?, q.tenant_id, q.id, e.id, ?, ?, ? FROM queues q JOIN endpoints e ON e.tenant_id = q.tenant_id \
         WHERE q.tenant_id = ? AND q.id = ? AND e.id = ?";
    let added = db_tx!(tx, |c| sqlx::query(SQL)
        .bind(id.as_str())
        .bind(i64::from(penalty))
        .bind(now_us)
        .bind(now_us)
        .bind(tenant.as_str())
        .bind(queue.as_str())
        .bind(endpoint.as_str())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    touch(tx, tenant).await?;
    Ok(added == 1)
}
