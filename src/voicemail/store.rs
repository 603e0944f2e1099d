//! SQL of mailboxes.

use crate::base::ids::{Id, Name, TenantId};
use crate::db::{Db, Tx, db_read, db_tx};
use crate::endpoints::Row;
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

/// What `app_voicemail` asks of a mailbox; `None`: there is none. Nobody is told by Asterisk itself: notices are the
/// service's.
///
/// # Errors
/// When the database is away.
pub async fn row(db: &Db, tenant: &TenantId, name: &Name) -> sqlx::Result<Option<Row>> {
    const SQL: &str = "SELECT id, display_name FROM mailboxes WHERE tenant_id = ? AND name = ?";
    let found: Option<(String, String)> = db_read!(db, |p| sqlx::query_as(SQL)
        .bind(tenant.as_str())
        .bind(name.as_str())
        .fetch_optional(p)
        .await)?;
    Ok(found.map(|(id, display_name)| {
        vec![
            ("uniqueid", id),
            ("context", tenant.to_string()),
            ("mailbox", name.to_string()),
            ("fullname", display_name),
            ("attach", "no".to_owned()),
        ]
    }))
}
