//! SQL of endpoints.

use crate::base::ids::{Id, Name, TenantId};
use crate::db::{Tx, db_tx};
use crate::tenants::store::touch;

/// An endpoint as it is written.
#[derive(Clone, Debug)]
pub struct NewEndpoint<'a> {
    /// Its row.
    pub id: &'a Id,
    /// Its name, which is its extension too.
    pub name: &'a Name,
    /// Its name for people.
    pub display_name: &'a str,
    /// Where its unanswered calls go; empty: nowhere.
    pub mailbox: &'a str,
    /// Seconds it rings.
    pub ring_timeout_s: u32,
}

/// Adds an endpoint in service.
///
/// # Errors
/// A unique violation when the tenant has one of that name.
pub async fn insert(
    tx: &mut Tx,
    tenant: &TenantId,
    endpoint: &NewEndpoint<'_>,
    now_us: i64,
) -> sqlx::Result<()> {
    const SQL: &str = "INSERT INTO endpoints (id, tenant_id, name, display_name, status, mailbox, ring_timeout_s, \
         created_at, updated_at) VALUES (?, ?, ?, ?, 'active', ?, ?, ?, ?)";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(endpoint.id.as_str())
        .bind(tenant.as_str())
        .bind(endpoint.name.as_str())
        .bind(endpoint.display_name)
        .bind(endpoint.mailbox)
        .bind(i64::from(endpoint.ring_timeout_s))
        .bind(now_us)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))?;
    touch(tx, tenant).await
}
