//! SQL of mailboxes.

use crate::base::ids::{Id, Name, TenantId};
use crate::db::{Tx, db_tx};
use crate::tenants::store::touch;

/// Adds a mailbox.
///
/// # Errors
/// A unique violation when the tenant has one of that name.
pub async fn insert(
    tx: &mut Tx,
    tenant: &TenantId,
    id: &Id,
    name: &Name,
    display_name: &str,
    now_us: i64,
) -> sqlx::Result<()> {
    const SQL: &str = "INSERT INTO mailboxes (id, tenant_id, name, display_name, email, created_at, updated_at) \
         VALUES (?, ?, ?, ?, '', ?, ?)";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(id.as_str())
        .bind(tenant.as_str())
        .bind(name.as_str())
        .bind(display_name)
        .bind(now_us)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))?;
    touch(tx, tenant).await
}
