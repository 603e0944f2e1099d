//! SQL of mailboxes.

use crate::api::Doing;
use crate::base::ids::{Id, Name, TenantId};
use crate::db::{Db, Tx, db_read, db_tx};
use crate::endpoints::Row;
use crate::storage::Stored;
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

/// A message's sound; `None`: there is no such message.
pub fn stored<'a>(db: &'a Db, tenant: &'a TenantId, id: &'a Id) -> Doing<'a, sqlx::Result<Option<Stored>>> {
    const SQL: &str = "SELECT storage_key, format, sha256 FROM voicemails \
         WHERE tenant_id = ? AND id = ? AND deleted_at = 0";
    Box::pin(async move {
        let found: Option<(String, String, String)> = db_read!(db, |p| sqlx::query_as(SQL)
            .bind(tenant.as_str())
            .bind(id.as_str())
            .fetch_optional(p)
            .await)?;
        Ok(found.map(|(key, format, sha256)| Stored { key, format, sha256 }))
    })
}

/// What `app_voicemail` asks of a mailbox; `None`: there is none. Nobody is told by Asterisk itself: notices are the
/// service's.
///
/// # Errors
/// When the database is away.
pub async fn row(db: &Db, tenant: &TenantId, name: &Name) -> sqlx::Result<Option<Row>> {
    const SQL: &str = "SELECT id, display_name, pin, CAST(max_messages AS SIGNED), CAST(max_message_s AS SIGNED), \
         language FROM mailboxes WHERE tenant_id = ? AND name = ?";
    type Found = (String, String, String, i64, i64, String);
    let found: Option<Found> = db_read!(db, |p| sqlx::query_as(SQL)
        .bind(tenant.as_str())
        .bind(name.as_str())
        .fetch_optional(p)
        .await)?;
    Ok(found.map(|(id, display_name, pin, messages, seconds, language)| {
        // Asterisk opens a mailbox without a password for everybody. Nobody can dial an `x`; and behind a `-` the owner
        // can't change it by phone, for nobody writes that back.
        let password = if pin.is_empty() { "-x".to_owned() } else { format!("-{pin}") };
        let mut row = vec![
            ("uniqueid", id),
            ("context", tenant.to_string()),
            ("mailbox", name.to_string()),
            ("password", password),
            ("fullname", display_name),
            ("attach", "no".to_owned()),
            ("maxmsg", messages.to_string()),
            ("maxsecs", seconds.to_string()),
        ];
        if !language.is_empty() {
            row.push(("language", language));
        }
        row
    }))
}
