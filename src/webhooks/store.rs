//! SQL of deliveries: made, taken into memory, sent again, cancelled, removed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::value::RawValue;

use super::endpoint::Wish;
use super::{Body, Cause, Delivery, DeliveryStatus, catch_up, fan_out};
use crate::base::ids::{Id, IdSource, TenantId};
use crate::config::limits::webhooks as limits;
use crate::db::{self, Db, Tx, db_read, db_tx, db_write};
use crate::events::Event;

/// A delivery that is about to be written.
#[derive(Clone, Debug)]
pub struct New<'n> {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant: &'n TenantId,
    /// The endpoint.
    pub webhook: &'n str,
    /// Position, id, type and key of the event.
    pub event: (i64, &'n str, &'n str, &'n str),
    /// Pending or waiting.
    pub status: DeliveryStatus,
    /// Why.
    pub cause: Cause,
    /// The process that has it in memory; empty: none.
    pub owner: &'n str,
    /// When it is made, and due.
    pub at_us: i64,
}

/// Writes deliveries.
///
/// # Errors
/// When the database is away.
pub async fn insert(tx: &mut Tx, rows: &[New<'_>]) -> sqlx::Result<()> {
    const INSERT: &str = "INSERT INTO webhook_deliveries (id, tenant_id, webhook_id, event_position, event_id, \
         event_type, event_key, status, cause, attempts, next_at, owner, created_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?)";
    for piece in db::pieces(rows.len()).map(|piece| &rows[piece]) {
        db_tx!(&mut *tx, |c| {
            let mut query = sqlx::query(db::with_rows(INSERT, piece.len()));
            for row in piece {
                let (position, id, kind, key) = row.event;
                query = query
                    .bind(row.id.as_str())
                    .bind(row.tenant.as_str())
                    .bind(row.webhook)
                    .bind(position)
                    .bind(id)
                    .bind(kind)
                    .bind(key)
                    .bind(row.status.as_str())
                    .bind(row.cause.as_str())
                    .bind(row.at_us)
                    .bind(row.owner)
                    .bind(row.at_us);
            }
            query.execute(c).await.map(drop)
        })?;
    }
    Ok(())
}

/// Keeps an endpoint's row until the transaction ends. SQLite has one writer anyway.
///
/// # Errors
/// When the database is away.
pub async fn lock_endpoint(tx: &mut Tx, id: &str) -> sqlx::Result<()> {
    const SQLITE: &str = "SELECT id FROM webhooks WHERE id = ?";
    const MYSQL: &str = "SELECT id FROM webhooks WHERE id = ? FOR UPDATE";
    let sql = tx.pick(SQLITE, MYSQL);
    db_tx!(tx, |c| sqlx::query(sql).bind(id).fetch_optional(c).await.map(drop))
}

#[derive(sqlx::FromRow)]
struct Due {
    id: String,
    attempts: i64,
    tenant_id: String,
    position: i64,
    event_id: String,
    kind: String,
    event_key: String,
    sequence: i64,
    at: i64,
    data: String,
}

impl Due {
    fn delivery(self, webhook: &Id) -> Result<Delivery, String> {
        fn said(error: impl std::fmt::Display) -> String {
            error.to_string()
        }
        let event = Event {
            tenant: TenantId::parse(&self.tenant_id).map_err(said)?,
            position: self.position,
            id: self.event_id,
            kind: self.kind,
            key: self.event_key,
            sequence: self.sequence,
            at_us: self.at,
            owners: None,
            data: RawValue::from_string(self.data).map_err(said)?,
        };
        let id = Id::parse(&self.id).map_err(said)?;
        let attempts = u32::try_from(self.attempts).unwrap_or(u32::MAX);
        Ok(Delivery { id, webhook: webhook.clone(), event: Arc::new(fan_out::body(&event)), attempts })
    }
}

/// What is due of an endpoint and in nobody's hands, the oldest first, at most `limit`. What is due later than any pause
/// lasts was written while the clock was wrong: it is due too.
///
/// # Errors
/// When the database is away.
pub async fn due(db: &Db, webhook: &Id, now_us: i64, limit: usize) -> sqlx::Result<Vec<Delivery>> {
    const READ: &str = "SELECT d.id, d.attempts, e.tenant_id, e.position, e.id AS event_id, e.kind, e.event_key, \
         e.sequence, e.at, e.data FROM webhook_deliveries d \
         JOIN events e ON e.tenant_id = d.tenant_id AND e.position = d.event_position \
         WHERE d.webhook_id = ? AND d.status = 'pending' AND (d.next_at <= ? OR d.next_at > ?) AND d.owner = '' \
         ORDER BY d.next_at, d.event_position LIMIT ?";
    let rows: Vec<Due> = db_read!(db, |p| sqlx::query_as(READ)
        .bind(webhook.as_str())
        .bind(now_us)
        .bind(now_us + limits::NEXT_MOST_US)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(p)
        .await)?;
    let read = |row: Due| {
        row.delivery(webhook).inspect_err(|error| tracing::error!(error, "a delivery can't be read")).ok()
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Takes deliveries of an endpoint into this process's hands, and returns those that no other has taken meanwhile.
///
/// # Errors
/// When the database is away: they may be in this process's hands then.
pub async fn claim(
    db: &Db,
    node: &Id,
    webhook: &Id,
    mut deliveries: Vec<Delivery>,
) -> sqlx::Result<Vec<Delivery>> {
    let mut tx = db.begin().await?;
    lock_endpoint(&mut tx, webhook.as_str()).await?;
    let mut claimed: HashMap<String, i64> = HashMap::new();
    for piece in db::pieces(deliveries.len()).map(|piece| &deliveries[piece]) {
        let places = db::places(piece.len());
        let claim = format!(
            "UPDATE webhook_deliveries SET owner = ? WHERE id IN ({places}) AND status = 'pending' AND owner = ''"
        );
        let read =
            format!("SELECT id, attempts FROM webhook_deliveries WHERE id IN ({places}) AND owner = ?");
        let found: Vec<(String, i64)> = db_tx!(&mut tx, |c| {
            let mut query = sqlx::query(sqlx::AssertSqlSafe(claim)).bind(node.as_str());
            let mut reading = sqlx::query_as(sqlx::AssertSqlSafe(read));
            for delivery in piece {
                query = query.bind(delivery.id.as_str());
                reading = reading.bind(delivery.id.as_str());
            }
            query.execute(&mut *c).await?;
            reading.bind(node.as_str()).fetch_all(c).await
        })?;
        claimed.extend(found);
    }
    tx.commit().await?;
    deliveries.retain_mut(|delivery| match claimed.get(delivery.id.as_str()) {
        Some(attempts) => {
            delivery.attempts = u32::try_from(*attempts).unwrap_or(u32::MAX);
            true
        }
        None => false,
    });
    Ok(deliveries)
}

/// When, after now, the next delivery of an endpoint that is in nobody's hands is due.
///
/// # Errors
/// When the database is away.
pub async fn next_due(db: &Db, webhook: &Id, now_us: i64) -> sqlx::Result<Option<i64>> {
    const SQL: &str = "SELECT MIN(next_at) FROM webhook_deliveries \
         WHERE webhook_id = ? AND status = 'pending' AND next_at > ? AND owner = ''";
    db_read!(db, |p| sqlx::query_scalar(SQL).bind(webhook.as_str()).bind(now_us).fetch_one(p).await)
}

/// Takes deliveries out of this process's hands: they are not in its memory any more.
///
/// # Errors
/// When the database is away.
pub async fn give_back(db: &Db, node: &Id, ids: &[Id]) -> sqlx::Result<()> {
    for piece in db::pieces(ids.len()).map(|piece| &ids[piece]) {
        let places = db::places(piece.len());
        let sql = format!("UPDATE webhook_deliveries SET owner = '' WHERE owner = ? AND id IN ({places})");
        db_write!(db, |p| {
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(node.as_str());
            for id in piece {
                query = query.bind(id.as_str());
            }
            query.execute(p).await.map(drop)
        })?;
    }
    Ok(())
}

/// Says that this process lives.
///
/// # Errors
/// When the database is away.
pub async fn live(db: &Db, node: &Id, until_us: i64) -> sqlx::Result<()> {
    const SQLITE: &str = "INSERT INTO webhook_nodes (node_id, alive_until) VALUES (?, ?) \
         ON CONFLICT (node_id) DO UPDATE SET alive_until = excluded.alive_until";
    const MYSQL: &str = "INSERT INTO webhook_nodes (node_id, alive_until) VALUES (?, ?) \
         ON DUPLICATE KEY UPDATE alive_until = VALUES(alive_until)";
    let sql = db.pick(SQLITE, MYSQL);
    db_write!(db, |p| sqlx::query(sql).bind(node.as_str()).bind(until_us).execute(p).await.map(drop))
}

/// Takes everything out of the hands of a process that lives no more.
///
/// # Errors
/// When the database is away.
pub async fn release(db: &Db, node: &str) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE webhook_deliveries SET owner = '' WHERE owner = ? AND status = 'pending'";
    db_write!(db, |p| sqlx::query(SQL).bind(node).execute(p).await.map(drop))
}

/// Takes everything out of the hands of processes that died, and returns how many there were.
///
/// # Errors
/// When the database is away.
pub async fn take_over(db: &Db, now_us: i64) -> sqlx::Result<usize> {
    const DEAD: &str = "SELECT node_id FROM webhook_nodes WHERE alive_until < ?";
    const FORGET: &str = "DELETE FROM webhook_nodes WHERE node_id = ? AND alive_until < ?";
    let dead: Vec<String> = db_read!(db, |p| sqlx::query_scalar(DEAD).bind(now_us).fetch_all(p).await)?;
    for node in &dead {
        release(db, node).await?;
        db_write!(db, |p| sqlx::query(FORGET).bind(node).bind(now_us).execute(p).await.map(drop))?;
    }
    Ok(dead.len())
}

/// Begins to hand out a tenant's events, from behind `position`, if nobody has begun yet.
///
/// # Errors
/// When the database is away.
pub async fn begin_handing_out(tx: &mut Tx, tenant: &TenantId, position: i64) -> sqlx::Result<()> {
    const SQLITE: &str = "INSERT INTO webhook_cursors (tenant_id, position) VALUES (?, ?) \
         ON CONFLICT (tenant_id) DO NOTHING";
    const MYSQL: &str = "INSERT INTO webhook_cursors (tenant_id, position) VALUES (?, ?) \
         ON DUPLICATE KEY UPDATE position = position";
    let sql = tx.pick(SQLITE, MYSQL);
    db_tx!(tx, |c| sqlx::query(sql).bind(tenant.as_str()).bind(position).execute(c).await.map(drop))
}

/// Cancels whatever an endpoint has not got yet.
///
/// # Errors
/// When the database is away.
pub async fn cancel(tx: &mut Tx, webhook: &str, now_us: i64) -> sqlx::Result<u64> {
    const SQL: &str = "UPDATE webhook_deliveries SET status = 'cancelled', finished_at = ? \
         WHERE webhook_id = ? AND status IN ('pending', 'waiting')";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(now_us)
        .bind(webhook)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))
}

/// Notes what a disabled endpoint, whose row the caller has locked, is behind as missed.
///
/// # Errors
/// When the database is away.
pub async fn miss(tx: &mut Tx, tenant: &TenantId, webhook: &str) -> sqlx::Result<()> {
    // What was missed before stays missed: the stretch becomes longer. MySQL and MariaDB set from left to right.
    const SQL: &str = "UPDATE webhooks SET missed_from = COALESCE(missed_from, behind), missed_until = ?, \
         behind = NULL, behind_since = NULL WHERE id = ? AND behind IS NOT NULL";
    let until = catch_up::cursor(tx, tenant).await?;
    db_tx!(tx, |c| sqlx::query(SQL).bind(until).bind(webhook).execute(c).await.map(drop))
}

/// Which deliveries are sent again.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// Events from this moment on.
    pub since_us: i64,
    /// Events before this moment.
    pub until_us: i64,
    /// Only those whose last delivery failed or was cancelled.
    pub failed_only: bool,
}

/// Makes deliveries of a tenant's past events to an endpoint once more, and returns how many: what failed, or everything
/// of a range that the endpoint wants.
///
/// # Errors
/// When the database is away.
pub async fn again(
    tx: &mut Tx,
    ids: &IdSource,
    (tenant, wish): (&TenantId, &Wish),
    range: Range,
    now_us: i64,
) -> sqlx::Result<usize> {
    // The key stands in the index.
    const FAILED: &str = "SELECT DISTINCT event_position, event_id, event_type, event_key FROM webhook_deliveries d \
         WHERE tenant_id = ? AND webhook_id = ? AND status IN ('failed', 'cancelled') AND NOT EXISTS \
         (SELECT 1 FROM webhook_deliveries o WHERE o.webhook_id = d.webhook_id AND o.event_key = d.event_key \
         AND o.event_id = d.event_id AND o.status IN ('pending', 'waiting', 'delivered')) AND EXISTS \
         (SELECT 1 FROM events e WHERE e.tenant_id = d.tenant_id AND e.position = d.event_position \
         AND e.at >= ? AND e.at < ?) ORDER BY event_position LIMIT ?";
    let found = if range.failed_only {
        let mut found: Vec<Past> = db_tx!(&mut *tx, |c| sqlx::query_as(FAILED)
            .bind(tenant.as_str())
            .bind(&wish.id)
            .bind(range.since_us)
            .bind(range.until_us)
            .bind(i64::try_from(limits::AGAIN).unwrap_or(i64::MAX))
            .fetch_all(c)
            .await)?;
        if let Some(missed) = wish.missed {
            found.extend(wanted(tx, (tenant, wish), range, missed).await?);
            found.sort_unstable_by_key(|(position, ..)| *position);
            found.truncate(limits::AGAIN);
        }
        found
    } else {
        // What it is behind comes of itself, and in order.
        wanted(tx, (tenant, wish), range, (0, wish.behind.unwrap_or(i64::MAX))).await?
    };
    once_more(tx, ids, (tenant, wish), (&found, Cause::Recover), now_us).await?;
    Ok(found.len())
}

/// The events of a range, behind one position and up to another, that an endpoint wants, the oldest first; where only what
/// failed is sent again, those of which it has no delivery.
async fn wanted(
    tx: &mut Tx,
    (tenant, wish): (&TenantId, &Wish),
    range: Range,
    (mut position, until): (i64, i64),
) -> sqlx::Result<Vec<Past>> {
    const SQL: &str = "SELECT position, id, kind, event_key FROM events e \
         WHERE tenant_id = ? AND position > ? AND position <= ? AND at >= ? AND at < ? AND (? = 0 OR NOT EXISTS \
         (SELECT 1 FROM webhook_deliveries d WHERE d.webhook_id = ? AND d.event_key = e.event_key \
         AND d.event_id = e.id)) ORDER BY position LIMIT ?";
    let mut found: Vec<Past> = Vec::new();
    while found.len() < limits::AGAIN {
        let some: Vec<Past> = db_tx!(&mut *tx, |c| sqlx::query_as(SQL)
            .bind(tenant.as_str())
            .bind(position)
            .bind(until)
            .bind(range.since_us)
            .bind(range.until_us)
            .bind(range.failed_only)
            .bind(&wish.id)
            .bind(limits::AGAIN_READ)
            .fetch_all(c)
            .await)?;
        let Some(last) = some.last().map(|(position, ..)| *position) else { break };
        position = last;
        found.extend(some.into_iter().filter(|(_, _, kind, _)| wish.wants_kind(kind)));
    }
    found.truncate(limits::AGAIN);
    Ok(found)
}

/// Position, id, type and key of an event.
pub type Past = (i64, String, String, String);

/// Makes deliveries of these events to an endpoint, behind what waits there already. Returns their ids.
///
/// # Errors
/// When the database is away.
pub async fn once_more(
    tx: &mut Tx,
    ids: &IdSource,
    (tenant, wish): (&TenantId, &Wish),
    (events, cause): (&[Past], Cause),
    now_us: i64,
) -> sqlx::Result<Vec<Id>> {
    let mut busy = match wish.ordered {
        true => fan_out::busy_keys(tx, wish, events.iter().map(|(_, _, _, key)| key.as_str())).await?,
        false => HashSet::new(),
    };
    let mut rows = Vec::with_capacity(events.len());
    for (position, id, kind, key) in events {
        let waits = wish.ordered && !busy.insert(key.clone());
        rows.push(New {
            id: ids.next(),
            tenant,
            webhook: &wish.id,
            event: (*position, id, kind, key),
            status: if waits { DeliveryStatus::Waiting } else { DeliveryStatus::Pending },
            cause,
            owner: "",
            at_us: now_us,
        });
    }
    insert(tx, &rows).await?;
    touch(tx, &wish.id, now_us).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Makes every process look at an endpoint: they look for those that were changed.
///
/// # Errors
/// When the database is away.
pub async fn touch(tx: &mut Tx, webhook: &str, now_us: i64) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE webhooks SET updated_at = ? WHERE id = ?";
    db_tx!(tx, |c| sqlx::query(SQL).bind(now_us).bind(webhook).execute(c).await.map(drop))
}

/// The body of a tenant's delivery, byte for byte as it is sent; `None`: its event is not kept any more.
///
/// # Errors
/// When the database is away.
pub async fn payload(db: &Db, tenant: &TenantId, position: i64) -> sqlx::Result<Option<Body>> {
    let found = crate::events::outbox::after(db, tenant, position - 1, 1).await?;
    Ok(found.first().filter(|event| event.position == position).map(fan_out::body))
}
