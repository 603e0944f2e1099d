//! New events become deliveries. The tenant's cursor moves in the same transaction, so an event is handed out once,
//! whoever does it and however it ends.
//!
//! An endpoint that takes no more (it is paused or only probed, or does not come after) gets none: its row says from where
//! on it is behind, and the stream itself is what waits. A dead endpoint so costs nothing for each event.

use std::collections::{HashMap, HashSet};
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
    /// Endpoints that fell behind.
    pub behind: HashSet<Id>,
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
    /// The answer to the commit got lost: it may have lasted, with these deliveries in this process's name.
    #[error("whether events were handed out is not known: {1}")]
    Doubt(Box<Handed>, #[source] sqlx::Error),
}

/// Hands out some events of a tenant. `room` says how many deliveries more an endpoint takes: one that takes no more falls
/// behind, and [`super::catch_up`] makes the rest of its deliveries when it does again.
///
/// # Errors
/// When the database is away.
pub async fn step(
    parts: &Parts,
    tenant: &TenantId,
    room: &(dyn Fn(&str) -> usize + Send + Sync),
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
    let (mut share, mut rows) = (Share::new(parts, tenant, &events), Vec::new());
    // Those that are behind stay so, and cost nothing here.
    for wish in wishes.iter().filter(|wish| wish.behind.is_none()) {
        let most = if wish.paused { 0 } else { room(&wish.id) };
        let Some(dealt) = share.deal(&mut tx, wish, most, &mut rows).await? else { continue };
        handed.kept.extend(dealt.kept);
        if let Some(left) = dealt.left {
            fall_behind(&mut tx, &wish.id, Some((left.position - 1, left.at_us))).await?;
            handed.behind.extend(Id::parse(&wish.id));
        }
    }
    store::insert(&mut tx, &rows).await?;
    move_cursor(&mut tx, tenant, last).await?;
    match tx.commit().await {
        Ok(()) => Ok(handed),
        Err(error) => Err(Error::Doubt(Box::new(handed), error)),
    }
}

/// Events that are made into deliveries.
pub(super) struct Share<'e> {
    parts: &'e Parts,
    tenant: &'e TenantId,
    events: &'e [Event],
    /// As they are sent: the same for every endpoint.
    bodies: HashMap<i64, Arc<Body>>,
}

/// What one endpoint got.
pub(super) struct Dealt<'e> {
    /// What is in this process's hands.
    pub(super) kept: Vec<Delivery>,
    /// How many deliveries were made.
    pub(super) made: usize,
    /// The first event that it wants and there was no room for.
    pub(super) left: Option<&'e Event>,
}

impl<'e> Share<'e> {
    pub(super) fn new(parts: &'e Parts, tenant: &'e TenantId, events: &'e [Event]) -> Self {
        Self { parts, tenant, events, bodies: HashMap::new() }
    }

    /// Adds deliveries to an endpoint, whose row the caller has locked, to `rows`: at most `most`, in the order of the
    /// events. `None`: its id is none.
    pub(super) async fn deal<'r>(
        &mut self,
        tx: &mut Tx,
        wish: &'r Wish,
        most: usize,
        rows: &mut Vec<New<'r>>,
    ) -> sqlx::Result<Option<Dealt<'e>>>
    where
        'e: 'r,
    {
        let Ok(webhook) = Id::parse(&wish.id) else { return Ok(None) };
        let mut wanted = self.events.iter().filter(|event| wish.wants(event));
        let chosen: Vec<&'e Event> = wanted.by_ref().take(most).collect();
        let mut dealt = Dealt { kept: Vec::new(), made: chosen.len(), left: wanted.next() };
        let mut busy = match wish.ordered {
            true => busy_keys(tx, wish, chosen.iter().map(|event| event.key.as_str())).await?,
            false => HashSet::new(),
        };
        let now_us = self.parts.clock.now_us();
        for event in chosen {
            // Of an ordered endpoint only the first of a key may be sent; what follows waits for it.
            let waits = wish.ordered && !busy.insert(event.key.clone());
            let id = self.parts.ids.next();
            rows.push(New {
                id: id.clone(),
                tenant: self.tenant,
                webhook: &wish.id,
                event: (event.position, &event.id, &event.kind, &event.key),
                status: if waits { DeliveryStatus::Waiting } else { DeliveryStatus::Pending },
                cause: Cause::Event,
                owner: if waits { "" } else { self.parts.node.as_str() },
                at_us: now_us,
            });
            if !waits {
                let body = self.bodies.entry(event.position).or_insert_with(|| Arc::new(body(event)));
                let event = Arc::clone(body);
                dealt.kept.push(Delivery { id, webhook: webhook.clone(), event, attempts: 0 });
            }
        }
        Ok(Some(dealt))
    }
}

/// Notes after which position an endpoint has no deliveries, and from when on; `None`: it has all.
pub(super) async fn fall_behind(tx: &mut Tx, webhook: &str, behind: Option<(i64, i64)>) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE webhooks SET behind = ?, behind_since = ? WHERE id = ?";
    let (position, since_us) = behind.unzip();
    db_tx!(tx, |c| sqlx::query(SQL).bind(position).bind(since_us).bind(webhook).execute(c).await.map(drop))
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
