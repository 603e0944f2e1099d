//! SQL of messages, as far as they have to do with Asterisk's spool.

use super::spool::{Found, Place};
use crate::base::ids::{Id, TenantId};
use crate::calls::fit;
use crate::config::limits::sound as limits;
use crate::db::{Db, Tx, db_read, db_tx, db_write};
use crate::storage::Kept;

/// A message's row, as the spool is compared with it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Row {
    pub id: String,
    pub spool_key: String,
    pub folder: String,
    pub spool_folder: String,
    pub storage_key: String,
    pub copy_tries: i64,
    pub copy_at: Option<i64>,
    pub deleted_at: i64,
}

impl Row {
    /// Asterisk's id.
    pub(super) fn message_id(&self) -> &str {
        self.spool_key.split_once('/').map_or("", |(_, id)| id)
    }
}

/// The mailbox that a message came into.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Mailbox {
    pub id: String,
    pub display_name: String,
    pub email: String,
    pub attach: bool,
    pub zone: String,
}

/// What names a message for good.
pub(super) fn spool_key(place: &Place, message_id: &str) -> String {
    format!("{}/{message_id}", place.mailbox)
}

/// The rows of a mailbox that should be in the spool.
pub(super) async fn rows(db: &Db, node: &Id, place: &Place) -> sqlx::Result<Vec<Row>> {
    const SQL: &str = "SELECT id, COALESCE(spool_key, '') AS spool_key, folder, spool_folder, storage_key, \
         CAST(copy_tries AS SIGNED) AS copy_tries, copy_at, deleted_at FROM voicemails \
         WHERE tenant_id = ? AND mailbox = ? AND node_id = ? AND spool_folder <> '' ORDER BY id";
    db_read!(db, |p| sqlx::query_as(SQL)
        .bind(place.tenant.as_str())
        .bind(place.mailbox.as_str())
        .bind(node.as_str())
        .fetch_all(p)
        .await)
}

/// Whether a message has a row, whatever became of it.
pub(super) async fn is_known(db: &Db, place: &Place, message_id: &str) -> sqlx::Result<bool> {
    const SQL: &str = "SELECT COUNT(*) FROM voicemails WHERE tenant_id = ? AND spool_key = ?";
    let known: i64 = db_read!(db, |p| sqlx::query_scalar(SQL)
        .bind(place.tenant.as_str())
        .bind(spool_key(place, message_id))
        .fetch_one(p)
        .await)?;
    Ok(known > 0)
}

/// Mailboxes with something that is due: a move, a removal, a copy.
pub(super) async fn due(db: &Db, node: &Id, now_us: i64) -> sqlx::Result<Vec<(String, String)>> {
    const SQL: &str = "SELECT DISTINCT tenant_id, mailbox FROM voicemails \
         WHERE copy_at <= ? AND node_id = ? AND spool_folder <> '' LIMIT ?";
    db_read!(db, |p| sqlx::query_as(SQL)
        .bind(now_us)
        .bind(node.as_str())
        .bind(limits::BATCH)
        .fetch_all(p)
        .await)
}

/// Whether the owner of a mailbox is in its menu: Asterisk knows messages by their numbers then.
pub(super) async fn is_open(db: &Db, place: &Place) -> sqlx::Result<bool> {
    const SQL: &str = "SELECT COUNT(*) FROM calls WHERE tenant_id = ? AND action = 'voicemail' \
         AND reason = 'voicemail-check' AND target = ? AND ended_at IS NULL";
    let open: i64 = db_read!(db, |p| sqlx::query_scalar(SQL)
        .bind(place.tenant.as_str())
        .bind(format!("{}@{}", place.mailbox, place.tenant))
        .fetch_one(p)
        .await)?;
    Ok(open > 0)
}

/// Whether the tenant is there, and its mailbox.
pub(super) async fn mailbox(db: &Db, place: &Place) -> sqlx::Result<Option<Option<Mailbox>>> {
    const TENANT: &str = "SELECT COUNT(*) FROM tenants WHERE id = ? AND deleted_at = 0";
    const SQL: &str = "SELECT b.id, b.display_name, b.email, b.attach, t.zone FROM mailboxes b \
         JOIN tenants t ON t.id = b.tenant_id WHERE b.tenant_id = ? AND b.name = ?";
    let tenant = place.tenant.as_str();
    let known: i64 = db_read!(db, |p| sqlx::query_scalar(TENANT).bind(tenant).fetch_one(p).await)?;
    if known == 0 {
        return Ok(None);
    }
    let found = db_read!(db, |p| sqlx::query_as(SQL)
        .bind(tenant)
        .bind(place.mailbox.as_str())
        .fetch_optional(p)
        .await)?;
    Ok(Some(found))
}

/// Whether a message is to be deleted once it was mailed.
pub(super) async fn goes_by_mail(db: &Db, tenant: &TenantId, id: &str) -> sqlx::Result<bool> {
    const SQL: &str = "SELECT COUNT(*) FROM voicemails v JOIN mailboxes b ON b.id = v.mailbox_id \
         WHERE v.tenant_id = ? AND v.id = ? AND v.deleted_at = 0 AND b.delete_after_mail = 1";
    let found: i64 =
        db_read!(db, |p| sqlx::query_scalar(SQL).bind(tenant.as_str()).bind(id).fetch_one(p).await)?;
    Ok(found > 0)
}

/// A new message.
pub(super) struct New<'a> {
    pub id: &'a Id,
    pub node: &'a Id,
    pub place: &'a Place,
    pub mailbox: Option<&'a Mailbox>,
    pub found: &'a Found,
    /// What was kept, or why not yet and when it is tried again.
    pub sound: &'a Result<Kept, (String, i64)>,
    pub duration_ms: i64,
    pub now_us: i64,
}

pub(super) async fn insert(tx: &mut Tx, new: &New<'_>) -> sqlx::Result<()> {
    const SQL: &str = "INSERT INTO voicemails (id, tenant_id, mailbox_id, mailbox, folder, caller_number, caller_name, \
         call_id, message_id, storage_key, format, bytes, duration_ms, sha256, transcript, is_read, read_at, received_at, \
         metadata, node_id, spool_key, spool_folder, sound_error, copy_tries, copy_at, created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?, '{}', ?, ?, ?, ?, ?, ?, ?, ?)";
    let New { id, node, place, mailbox, found, sound, duration_ms, now_us } = *new;
    let kept = sound.as_ref().ok();
    let later = sound.as_ref().err();
    let call = Id::parse(&found.call).map(|id| id.to_string()).unwrap_or_default();
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(id.as_str())
        .bind(place.tenant.as_str())
        .bind(mailbox.map(|mailbox| mailbox.id.as_str()))
        .bind(place.mailbox.as_str())
        .bind(&found.folder)
        .bind(fit(&found.number, 80))
        .bind(fit(&found.name, 200))
        .bind(&call)
        .bind(&found.message_id)
        .bind(kept.map_or("", |kept| kept.key.as_str()))
        .bind(found.format())
        .bind(kept.map_or(0, |kept| i64::try_from(kept.bytes).unwrap_or(i64::MAX)))
        .bind(duration_ms)
        .bind(kept.map_or("", |kept| kept.sha256.as_str()))
        .bind(found.is_read())
        .bind(Some(now_us).filter(|_| found.is_read()))
        .bind(if found.at_s > 0 { found.at_s * 1_000_000 } else { now_us })
        .bind(node.as_str())
        .bind(spool_key(place, &found.message_id))
        .bind(&found.folder)
        .bind(later.map_or_else(String::new, |(why, _)| fit(why, limits::REASON_CHARACTERS)))
        .bind(i64::from(later.is_some()))
        .bind(later.map(|(_, at_us)| *at_us))
        .bind(now_us)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))
}

/// The owner moved a message by phone.
pub(super) async fn moved(
    tx: &mut Tx,
    tenant: &TenantId,
    row: &Row,
    to: &Found,
    now_us: i64,
) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE voicemails SET folder = ?, spool_folder = ?, is_read = ?, \
         read_at = CASE WHEN ? THEN COALESCE(read_at, ?) ELSE NULL END, updated_at = ? WHERE tenant_id = ? AND id = ?";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(&to.folder)
        .bind(&to.folder)
        .bind(to.is_read())
        .bind(to.is_read())
        .bind(now_us)
        .bind(now_us)
        .bind(tenant.as_str())
        .bind(&row.id)
        .execute(c)
        .await
        .map(drop))
}

/// The owner deleted it, by phone or by having it mailed.
pub(super) async fn delete(tx: &mut Tx, tenant: &TenantId, id: &str, now_us: i64) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE voicemails SET deleted_at = ?, copy_at = ?, remove_at = ?, updated_at = ? \
         WHERE tenant_id = ? AND id = ? AND deleted_at = 0";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(now_us)
        .bind(now_us)
        .bind(now_us)
        .bind(now_us)
        .bind(tenant.as_str())
        .bind(id)
        .execute(c)
        .await
        .map(drop))
}

/// Where the message lies in the spool now; empty: nowhere.
pub(super) async fn lies_in(db: &Db, tenant: &TenantId, id: &str, folder: &str) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE voicemails SET spool_folder = ?, \
         copy_at = CASE WHEN storage_key = '' AND ? <> '' THEN copy_at ELSE NULL END WHERE tenant_id = ? AND id = ?";
    db_write!(db, |p| sqlx::query(SQL)
        .bind(folder)
        .bind(folder)
        .bind(tenant.as_str())
        .bind(id)
        .execute(p)
        .await
        .map(drop))
}

/// The message's sound is in the store.
pub(super) async fn kept(
    tx: &mut Tx,
    tenant: &TenantId,
    id: &str,
    kept: &Kept,
    now_us: i64,
) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE voicemails SET storage_key = ?, bytes = ?, sha256 = ?, sound_error = '', copy_at = NULL, \
         remove_at = CASE WHEN deleted_at > 0 THEN ? ELSE NULL END, updated_at = ? WHERE tenant_id = ? AND id = ?";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(&kept.key)
        .bind(i64::try_from(kept.bytes).unwrap_or(i64::MAX))
        .bind(&kept.sha256)
        .bind(now_us)
        .bind(now_us)
        .bind(tenant.as_str())
        .bind(id)
        .execute(c)
        .await
        .map(drop))
}

/// When a message is looked at again; with a reason another try is counted.
pub(super) async fn later(
    db: &Db,
    tenant: &TenantId,
    id: &str,
    (why, at_us): (Option<&str>, i64),
) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE voicemails SET copy_tries = copy_tries + ?, copy_at = ?, \
         sound_error = CASE WHEN ? = '' THEN sound_error ELSE ? END WHERE tenant_id = ? AND id = ?";
    let why = fit(why.unwrap_or_default(), limits::REASON_CHARACTERS);
    db_write!(db, |p| sqlx::query(SQL)
        .bind(i64::from(!why.is_empty()))
        .bind(at_us)
        .bind(&why)
        .bind(&why)
        .bind(tenant.as_str())
        .bind(id)
        .execute(p)
        .await
        .map(drop))
}

/// Has a message looked at soon: somebody changed it over the API.
pub(super) async fn soon(tx: &mut Tx, tenant: &TenantId, id: &str, now_us: i64) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE voicemails SET copy_at = CASE WHEN spool_folder <> '' THEN ? ELSE copy_at END, \
         remove_at = CASE WHEN deleted_at > 0 THEN ? ELSE remove_at END WHERE tenant_id = ? AND id = ?";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(now_us)
        .bind(now_us)
        .bind(tenant.as_str())
        .bind(id)
        .execute(c)
        .await
        .map(drop))
}
