//! New events become deliveries. The tenant's cursor moves in the same transaction, so an event is handed out once,
//! whoever does it and however it ends.

use std::collections::HashSet;
use std::sync::Arc;

use super::endpoint::{self, Wish};
use super::store::{self, New};
use super::{Body, Cause, Delivery, DeliveryStatus, Parts};
use crate::base::ids::{Id, TenantId};
use crate::config::limits::webhooks as limits;
use crate::db::{self, Tx, db_tx};
use crate::events::{Event, outbox};

/// What was handed out.
#[derive(Debug, Default)]
pub struct Handed {
    /// Deliveries that this process keeps in memory.
    pub kept: Vec<Delivery>,
    /// Endpoints that have more in the database.
    pub more: HashSet<Id>,
    /// Whether endpoints of the tenant were changed.
    pub changed: bool,
    /// Whether there may be more events.
    pub unfinished: bool,
}

/// Why events were not handed out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was done.
    #[error(transparent)]
    Away(#[from] sqlx::Error),
    /// The answer to the commit got lost: these may be in the database, in this process's name.
    #[error("whether events were handed out is not known: {1}")]
    Doubt(Vec<Delivery>, #[source] sqlx::Error),
}

/// Hands out some events of a tenant. `room` says whether the memory takes one more delivery to an endpoint.
///
/// # Errors
/// When the database is away.
pub async fn step(
    parts: &Parts,
    tenant: &TenantId,
    room: &(dyn Fn(&str) -> bool + Send + Sync),
) -> Result<Handed, Error> {
    let mut tx = parts.db.begin().await?;
    let Some(position) = cursor(&mut tx, tenant).await? else { return Ok(Handed::default()) };
    // First the locks, then the reads: what MariaDB shows is as old as the first read.
    let wishes = endpoint::wishes(&mut tx, tenant).await?;
    let events = outbox::after_in(&mut tx, tenant, position, limits::FAN_OUT).await?;
    let Some(last) = events.last().map(|event| event.position) else { return Ok(Handed::default()) };
    let mut handed = Handed {
        changed: events.iter().any(|event| event.kind.starts_with("webhook.")),
        unfinished: events.len() == limits::FAN_OUT,
        ..Handed::default()
    };
    let mut rows = Vec::new();
    for wish in &wishes {
        let wanted: Vec<&Event> = events.iter().filter(|event| wish.wants(event)).collect();
        let mut busy = match wish.ordered {
            true => busy_keys(&mut tx, wish, wanted.iter().map(|event| event.key.as_str())).await?,
            false => HashSet::new(),
        };
        for event in wanted {
            // Of an ordered endpoint only the first of a key may be sent; what follows waits for it.
            let waits = wish.ordered && !busy.insert(event.key.clone());
            rows.push((wish, event, waits));
        }
    }
    let bodies: std::collections::HashMap<i64, Arc<Body>> =
        rows.iter().map(|(_, event, _)| (event.position, Arc::new(body(event)))).collect();
    let now_us = parts.clock.now_us();
    let mut new = Vec::with_capacity(rows.len());
    for (wish, event, waits) in rows {
        let kept = !waits && !wish.paused && room(&wish.id);
        let (Ok(webhook), Some(body)) = (Id::parse(&wish.id), bodies.get(&event.position)) else { continue };
        let row = New {
            id: parts.ids.next(),
            tenant,
            webhook: &wish.id,
            event: (event.position, &event.id, &event.kind, &event.key),
            status: if waits { DeliveryStatus::Waiting } else { DeliveryStatus::Pending },
            cause: Cause::Event,
            owner: if kept { parts.node.as_str() } else { "" },
            at_us: now_us,
        };
        if kept {
            let event = Arc::clone(body);
            handed.kept.push(Delivery { id: row.id.clone(), webhook, event, attempts: 0 });
        } else if !waits {
            handed.more.insert(webhook);
        }
        new.push(row);
    }
    store::insert(&mut tx, &new).await?;
    move_cursor(&mut tx, tenant, last).await?;
    match tx.commit().await {
        Ok(()) => Ok(handed),
        Err(error) => Err(Error::Doubt(handed.kept, error)),
    }
}

/// An event as it is sent.
pub fn body(event: &Event) -> Body {
    Body { id: event.id.clone(), key: event.key.clone(), bytes: event.envelope().into() }
}

/// How far a tenant's events were handed out, its row locked; `None`: the tenant has no endpoints and needs none.
async fn cursor(tx: &mut Tx, tenant: &TenantId) -> sqlx::Result<Option<i64>> {
    const READ: &str = "SELECT position FROM webhook_cursors WHERE tenant_id = ?";
    const READ_MYSQL: &str = "SELECT position FROM webhook_cursors WHERE tenant_id = ? FOR UPDATE";
    let read = tx.pick(READ, READ_MYSQL);
    db_tx!(tx, |c| sqlx::query_scalar(read).bind(tenant.as_str()).fetch_optional(c).await)
}

async fn move_cursor(tx: &mut Tx, tenant: &TenantId, position: i64) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE webhook_cursors SET position = ? WHERE tenant_id = ?";
    db_tx!(tx, |c| sqlx::query(SQL).bind(position).bind(tenant.as_str()).execute(c).await.map(drop))
}

/// Those of these keys that have an unfinished delivery to an ordered endpoint, whose row the caller has locked. They are
/// read as they are now: whoever finished the last one meanwhile would leave what comes behind it waiting for ever.
pub(super) async fn busy_keys(
    tx: &mut Tx,
    wish: &Wish,
    keys: impl Iterator<Item = &str>,
) -> sqlx::Result<HashSet<String>> {
    let mut keys: Vec<&str> = keys.collect();
    keys.sort_unstable();
    keys.dedup();
    let mut busy = HashSet::new();
    for piece in db::pieces(keys.len()).map(|piece| &keys[piece]) {
        let sql = format!(
            "SELECT event_key FROM webhook_deliveries WHERE webhook_id = ? AND status IN ('pending', 'waiting') \
             AND event_key IN ({}){}",
            db::places(piece.len()),
            tx.pick("", " FOR UPDATE")
        );
        let found: Vec<String> = db_tx!(&mut *tx, |c| {
            let mut query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(&wish.id);
            for key in piece {
                query = query.bind(*key);
            }
            query.fetch_all(c).await
        })?;
        busy.extend(found);
    }
    Ok(busy)
}
