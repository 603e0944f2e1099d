//! Cursors: how far each ticketer was shown its tenant's events, how often it failed on the next one, and which process
//! shows them.

use crate::base::ids::{Id, TenantId};
use crate::db::{Db, Tx, db_read, db_tx, db_write};
use crate::events::outbox;

/// A cursor's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Row {
    /// The last event that is done with.
    pub(super) position: i64,
    /// How often the plugin failed on the next one that it listens to.
    pub(super) attempts: i64,
    /// When that one is shown again.
    pub(super) retry_at: i64,
}

/// A cursor that is this process's.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// As it is in the database.
    pub(super) row: Row,
    /// The last event that was looked at here: what the plugin does not listen to moves the row only now and then.
    pub(super) seen: i64,
    /// Until when it is this process's.
    pub(super) until_us: i64,
}

/// What became of a wish for a cursor.
#[derive(Debug)]
pub(super) enum Lease {
    /// It is ours.
    Ours(Held),
    /// It is another process's until then.
    Others(i64),
}

/// Every ticketer that has, or had, an active version.
pub(super) async fn ticketers(db: &Db) -> sqlx::Result<Vec<(TenantId, Id)>> {
    const SQL: &str = "SELECT tenant_id, id FROM plugins WHERE kind = 'ticketer' AND deleted_at = 0 \
         AND active_version IS NOT NULL ORDER BY tenant_id, id";
    let rows: Vec<(String, String)> = db_read!(db, |p| sqlx::query_as(SQL).fetch_all(p).await)?;
    let read = |(tenant, id): (String, String)| Some((TenantId::parse(&tenant).ok()?, Id::parse(&id).ok()?));
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Makes a ticketer's cursor, which stands behind every event there is, unless it has one.
pub(in crate::plugins) async fn begin(tx: &mut Tx, tenant: &TenantId, plugin: &str) -> sqlx::Result<()> {
    const HEAD: &str = "SELECT position FROM event_heads WHERE tenant_id = ?";
    let head: Option<i64> =
        db_tx!(&mut *tx, |c| sqlx::query_scalar(HEAD).bind(tenant.as_str()).fetch_optional(c).await)?;
    let sql = tx.pick(NEW_SQLITE, NEW_MYSQL);
    db_tx!(tx, |c| sqlx::query(sql)
        .bind(plugin)
        .bind(tenant.as_str())
        .bind(head.unwrap_or(0))
        .execute(c)
        .await
        .map(drop))
}

const NEW_SQLITE: &str = "INSERT INTO plugin_cursors (plugin_id, tenant_id, position, attempts, retry_at, node, leased_until) \
     VALUES (?, ?, ?, 0, 0, '', 0) ON CONFLICT (plugin_id) DO NOTHING";
const NEW_MYSQL: &str = "INSERT INTO plugin_cursors (plugin_id, tenant_id, position, attempts, retry_at, node, leased_until) \
     VALUES (?, ?, ?, 0, 0, '', 0) ON DUPLICATE KEY UPDATE plugin_id = plugin_id";

/// Takes a cursor for `node`, or keeps it, until `until_us`. One that is missing is made.
pub(super) async fn lease(
    db: &Db,
    (tenant, plugin): (&TenantId, &Id),
    node: &Id,
    (now_us, until_us): (i64, i64),
) -> sqlx::Result<Lease> {
    const TAKE: &str = "UPDATE plugin_cursors SET node = ?, leased_until = ? \
         WHERE plugin_id = ? AND tenant_id = ? AND (node = ? OR leased_until < ?)";
    const READ: &str = "SELECT node, leased_until, position, attempts, retry_at FROM plugin_cursors \
         WHERE plugin_id = ? AND tenant_id = ?";
    type Found = (String, i64, i64, i64, i64);
    for _ in 0..2 {
        db_write!(db, |p| sqlx::query(TAKE)
            .bind(node.as_str())
            .bind(until_us)
            .bind(plugin.as_str())
            .bind(tenant.as_str())
            .bind(node.as_str())
            .bind(now_us)
            .execute(p)
            .await
            .map(drop))?;
        let found: Option<Found> = db_read!(db, |p| sqlx::query_as(READ)
            .bind(plugin.as_str())
            .bind(tenant.as_str())
            .fetch_optional(p)
            .await)?;
        match found {
            Some((owner, _, position, attempts, retry_at)) if owner == node.as_str() => {
                let row = Row { position, attempts, retry_at };
                return Ok(Lease::Ours(Held { row, seen: position, until_us }));
            }
            Some((_, leased_until, ..)) => return Ok(Lease::Others(leased_until)),
            // Activated by a version of the service that showed no events.
            None => make(db, tenant, plugin).await?,
        }
    }
    Ok(Lease::Others(until_us))
}

async fn make(db: &Db, tenant: &TenantId, plugin: &Id) -> sqlx::Result<()> {
    let (_, head) = outbox::bounds(db, tenant).await?;
    db_write!(db, |p| sqlx::query(db.pick(NEW_SQLITE, NEW_MYSQL))
        .bind(plugin.as_str())
        .bind(tenant.as_str())
        .bind(head)
        .execute(p)
        .await
        .map(drop))
}

/// Moves a cursor over events that its plugin does not listen to, if it is where it was. Whatever it failed on is one of
/// them then.
pub(super) async fn pass(
    db: &Db,
    (tenant, plugin): (&TenantId, &Id),
    from: Row,
    to: i64,
) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE plugin_cursors SET position = ?, attempts = 0, retry_at = 0 \
         WHERE plugin_id = ? AND tenant_id = ? AND position = ? AND attempts = ?";
    db_write!(db, |p| sqlx::query(SQL)
        .bind(to)
        .bind(plugin.as_str())
        .bind(tenant.as_str())
        .bind(from.position)
        .bind(from.attempts)
        .execute(p)
        .await
        .map(drop))
}

/// Locks a cursor, and says whether it is where it was and still `node`'s.
pub(super) async fn lock(
    tx: &mut Tx,
    (tenant, plugin): (&TenantId, &Id),
    node: &Id,
    expected: Row,
) -> sqlx::Result<bool> {
    const SQL: &str =
        "SELECT node, position, attempts, retry_at FROM plugin_cursors WHERE plugin_id = ? AND tenant_id = ?";
    const SQL_MYSQL: &str = "SELECT node, position, attempts, retry_at FROM plugin_cursors \
         WHERE plugin_id = ? AND tenant_id = ? FOR UPDATE";
    let sql = tx.pick(SQL, SQL_MYSQL);
    let found: Option<(String, i64, i64, i64)> = db_tx!(tx, |c| sqlx::query_as(sql)
        .bind(plugin.as_str())
        .bind(tenant.as_str())
        .fetch_optional(c)
        .await)?;
    Ok(found.is_some_and(|(owner, position, attempts, retry_at)| {
        owner == node.as_str() && Row { position, attempts, retry_at } == expected
    }))
}

/// Moves a cursor that is locked, and keeps it until `until_us`.
pub(super) async fn put(
    tx: &mut Tx,
    (tenant, plugin): (&TenantId, &Id),
    row: Row,
    until_us: i64,
) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE plugin_cursors SET position = ?, attempts = ?, retry_at = ?, leased_until = ? \
         WHERE plugin_id = ? AND tenant_id = ?";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(row.position)
        .bind(row.attempts)
        .bind(row.retry_at)
        .bind(until_us)
        .bind(plugin.as_str())
        .bind(tenant.as_str())
        .execute(c)
        .await
        .map(drop))
}

/// Leaves all cursors of a process to others.
pub(super) async fn release(db: &Db, node: &Id) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE plugin_cursors SET leased_until = 0 WHERE node = ?";
    db_write!(db, |p| sqlx::query(SQL).bind(node.as_str()).execute(p).await.map(drop))
}

/// Removes cursors of plugins that are gone. Returns how many.
pub(in crate::plugins) async fn purge(db: &Db) -> sqlx::Result<u64> {
    const SQL: &str = "DELETE FROM plugin_cursors \
         WHERE NOT EXISTS (SELECT 1 FROM plugins p WHERE p.id = plugin_cursors.plugin_id AND p.deleted_at = 0)";
    db_write!(db, |p| sqlx::query(SQL).execute(p).await.map(|done| done.rows_affected()))
}
