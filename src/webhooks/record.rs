//! Results of attempts become rows: many in one transaction, because each transaction costs a sync. While the database
//! is away they wait; nothing new is sent then ([`crate::config::limits::webhooks::RESULTS_WAITING`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Map, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::api::WEBHOOKS;
use super::desk::Wake;
use super::endpoint::Endpoint;
use super::send::Attempt;
use super::{Delivery, DeliveryStatus, Parts, store};
use crate::api::store::{self as rows, Scope};
use crate::api::{Record, crud};
use crate::audit;
use crate::base::ids::{Id, TenantId};
use crate::config::limits::webhooks as limits;
use crate::db::{self, Tx, db_tx};

/// What became of an attempt.
#[derive(Debug)]
pub struct Outcome {
    /// The attempt's id.
    pub id: Id,
    /// The delivery.
    pub delivery: Delivery,
    /// The endpoint as it was sent to.
    pub endpoint: Arc<Endpoint>,
    /// The attempt.
    pub attempt: Attempt,
    /// When the next one is due; `None`: this was the last.
    pub next_at_us: Option<i64>,
    /// Why the endpoint is disabled by it; empty: it is not.
    pub disable: &'static str,
}

/// What a batch that lasts means for the desk.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Endpoints that have something due in the database, and when.
    pub due: Vec<(Id, i64)>,
}

/// Writes results until the desk is gone.
pub async fn run(parts: Parts, mut results: UnboundedReceiver<Outcome>, desk: UnboundedSender<Wake>) {
    let mut batch = Vec::with_capacity(limits::RESULTS);
    while results.recv_many(&mut batch, limits::RESULTS).await > 0 {
        let mut is_doubtful = false;
        loop {
            match write(&parts, &batch, is_doubtful).await {
                Ok(recorded) => {
                    parts.stats.unwritten.fetch_sub(batch.len() as u64, Ordering::Relaxed);
                    // The desk is gone when the service stops.
                    let _ = desk.send(Wake::Recorded(recorded));
                    break;
                }
                Err(error) => {
                    tracing::warn!(%error, results = batch.len(), "results of webhooks can't be written; they wait");
                    is_doubtful = true;
                    tokio::time::sleep(limits::AWAY_TIME).await;
                }
            }
        }
        batch.clear();
    }
}

/// `is_doubtful`: it was tried before, and may have lasted although the answer got lost.
async fn write(parts: &Parts, batch: &[Outcome], is_doubtful: bool) -> sqlx::Result<Recorded> {
    let mut tx = parts.db.begin().await?;
    let now_us = parts.clock.now_us();
    let ordered = ordered(&mut tx, batch).await?;
    if is_doubtful && is_written(&mut tx, batch).await? {
        let due = batch.iter().map(|outcome| (outcome.delivery.webhook.clone(), now_us)).collect();
        return Ok(Recorded { due });
    }
    insert_attempts(&mut tx, batch).await?;
    finish_delivered(&mut tx, batch, now_us).await?;
    let mut recorded = Recorded::default();
    for outcome in batch.iter().filter(|outcome| !outcome.attempt.is_ok()) {
        fail(&mut tx, outcome, now_us).await?;
        recorded.due.extend(outcome.next_at_us.map(|due| (outcome.delivery.webhook.clone(), due)));
    }
    let is_over = |outcome: &&Outcome| outcome.attempt.is_ok() || outcome.next_at_us.is_none();
    for outcome in batch.iter().filter(is_over) {
        if ordered.contains(&outcome.delivery.webhook.to_string())
            && promote(&mut tx, outcome.delivery.webhook.as_str(), &outcome.delivery.event.key, now_us)
                .await?
        {
            recorded.due.push((outcome.delivery.webhook.clone(), now_us));
        }
    }
    note(&mut tx, batch).await?;
    let mut told = Vec::new();
    let mut disabled = Vec::new();
    for outcome in batch.iter().filter(|outcome| !outcome.disable.is_empty()) {
        if !disabled.contains(&&outcome.endpoint.id) {
            disabled.push(&outcome.endpoint.id);
            told.extend(disable(&mut tx, parts, outcome, now_us).await?);
        }
    }
    tx.commit().await?;
    told.iter().for_each(|(tenant, position)| parts.events.news.tell(tenant, *position));
    Ok(recorded)
}

/// Whether a batch is in the database: all of it or nothing is.
async fn is_written(tx: &mut Tx, batch: &[Outcome]) -> sqlx::Result<bool> {
    const SQL: &str = "SELECT COUNT(*) FROM webhook_attempts WHERE id = ?";
    let Some(first) = batch.first() else { return Ok(true) };
    let found: i64 = db_tx!(tx, |c| sqlx::query_scalar(SQL).bind(first.id.as_str()).fetch_one(c).await)?;
    Ok(found > 0)
}

/// Which of the endpoints are ordered. The rows of all are locked, before anything else and in one order: nothing begins
/// to wait while it is looked for, and nobody waits crosswise.
async fn ordered(tx: &mut Tx, batch: &[Outcome]) -> sqlx::Result<Vec<String>> {
    let mut ids: Vec<&str> = batch.iter().map(|outcome| outcome.delivery.webhook.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut ordered = Vec::new();
    for piece in db::pieces(ids.len()).map(|piece| &ids[piece]) {
        let sql = format!(
            "SELECT id, ordered FROM webhooks WHERE id IN ({}) ORDER BY id{}",
            db::places(piece.len()),
            tx.pick("", " FOR UPDATE")
        );
        let found: Vec<(String, bool)> = db_tx!(&mut *tx, |c| {
            let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
            for id in piece {
                query = query.bind(*id);
            }
            query.fetch_all(c).await
        })?;
        ordered.extend(found.into_iter().filter_map(|(id, is_ordered)| is_ordered.then_some(id)));
    }
    Ok(ordered)
}

async fn insert_attempts(tx: &mut Tx, batch: &[Outcome]) -> sqlx::Result<()> {
    const INSERT: &str = "INSERT INTO webhook_attempts (id, tenant_id, webhook_id, delivery_id, event_id, number, \
         outcome, status_code, detail, duration_ms, url, peer, request_headers, response_headers, response_body, \
         created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    for piece in db::pieces(batch.len()).map(|piece| &batch[piece]) {
        db_tx!(&mut *tx, |c| {
            let mut query = sqlx::query(db::with_rows(INSERT, piece.len()));
            for Outcome { id, delivery, endpoint, attempt, .. } in piece {
                query = query
                    .bind(id.as_str())
                    .bind(endpoint.tenant.as_str())
                    .bind(endpoint.id.as_str())
                    .bind(delivery.id.as_str())
                    .bind(&delivery.event.id)
                    .bind(i64::from(delivery.attempts) + 1)
                    .bind(attempt.outcome)
                    .bind(attempt.status.map(i64::from))
                    .bind(&attempt.detail)
                    .bind(attempt.duration_ms)
                    .bind(endpoint.url.uri().to_string())
                    .bind(&attempt.peer)
                    .bind(&attempt.request_headers)
                    .bind(&attempt.response_headers)
                    .bind(&attempt.response_body)
                    .bind(attempt.at_us);
            }
            query.execute(c).await.map(drop)
        })?;
    }
    Ok(())
}

/// What was taken, many rows at a time: nearly all of them have the same status.
async fn finish_delivered(tx: &mut Tx, batch: &[Outcome], now_us: i64) -> sqlx::Result<()> {
    let mut by_status: BTreeMap<u16, Vec<&Id>> = BTreeMap::new();
    for outcome in batch.iter().filter(|outcome| outcome.attempt.is_ok()) {
        by_status.entry(outcome.attempt.status.unwrap_or(0)).or_default().push(&outcome.delivery.id);
    }
    for (status, ids) in by_status {
        for piece in db::pieces(ids.len()).map(|piece| &ids[piece]) {
            let places = db::places(piece.len());
            let sql = format!(
                "UPDATE webhook_deliveries SET status = 'delivered', attempts = attempts + 1, last_status = ?, \
                 last_error = '', finished_at = ?, owner = '' WHERE id IN ({places})"
            );
            db_tx!(&mut *tx, |c| {
                let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(i64::from(status)).bind(now_us);
                for id in piece {
                    query = query.bind(id.as_str());
                }
                query.execute(c).await.map(drop)
            })?;
        }
    }
    Ok(())
}

/// A cancelled delivery stays so, although an attempt of it was under way.
async fn fail(tx: &mut Tx, outcome: &Outcome, now_us: i64) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE webhook_deliveries SET status = ?, attempts = attempts + 1, last_status = ?, \
         last_error = ?, next_at = ?, owner = '', finished_at = ? WHERE id = ? AND status = 'pending'";
    let status = if outcome.next_at_us.is_some() { DeliveryStatus::Pending } else { DeliveryStatus::Failed };
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(status.as_str())
        .bind(outcome.attempt.status.map(i64::from))
        .bind(outcome.attempt.outcome)
        .bind(outcome.next_at_us.unwrap_or(now_us))
        .bind(outcome.next_at_us.is_none().then_some(now_us))
        .bind(outcome.delivery.id.as_str())
        .execute(c)
        .await
        .map(drop))
}

/// Lets the next of a key go. Returns whether there was one.
pub(super) async fn promote(tx: &mut Tx, webhook: &str, key: &str, now_us: i64) -> sqlx::Result<bool> {
    const FIND: &str = "SELECT id FROM webhook_deliveries WHERE webhook_id = ? AND event_key = ? \
         AND status = 'waiting' ORDER BY event_position, id LIMIT 1";
    const BUSY: &str = "SELECT COUNT(*) FROM webhook_deliveries WHERE webhook_id = ? AND event_key = ? \
         AND status = 'pending'";
    const GO: &str = "UPDATE webhook_deliveries SET status = 'pending', next_at = ?, owner = '' WHERE id = ?";
    let busy: i64 =
        db_tx!(&mut *tx, |c| sqlx::query_scalar(BUSY).bind(webhook).bind(key).fetch_one(c).await)?;
    if busy > 0 {
        return Ok(false);
    }
    let sql = sqlx::AssertSqlSafe(format!("{FIND}{}", tx.pick("", " FOR UPDATE")));
    let next: Option<String> =
        db_tx!(&mut *tx, |c| sqlx::query_scalar(sql).bind(webhook).bind(key).fetch_optional(c).await)?;
    let Some(next) = next else { return Ok(false) };
    db_tx!(tx, |c| sqlx::query(GO).bind(now_us).bind(&next).execute(c).await.map(drop))?;
    Ok(true)
}

/// Notes on the endpoints' rows how they do: successes now and then, the first one after a failure at once.
async fn note(tx: &mut Tx, batch: &[Outcome]) -> sqlx::Result<()> {
    const GOOD: &str = "UPDATE webhooks SET last_success_at = ?, failing_since = NULL, failures = 0 \
         WHERE id = ? AND (failing_since IS NOT NULL OR last_success_at IS NULL OR last_success_at < ?)";
    const BAD: &str = "UPDATE webhooks SET last_failure_at = ?, failures = failures + ?, \
         failing_since = CASE WHEN failing_since IS NULL THEN ? ELSE failing_since END WHERE id = ?";
    // In the order of the attempts, what lies before the last success of an endpoint does not count any more.
    let mut states: BTreeMap<&Id, (Option<i64>, i64, i64)> = BTreeMap::new();
    for outcome in batch {
        let at_us = outcome.attempt.at_us;
        let state = states.entry(&outcome.endpoint.id).or_default();
        *state = match outcome.attempt.is_ok() {
            true => (Some(at_us), 0, 0),
            false => (state.0, state.1 + 1, at_us),
        };
    }
    for (id, (good, bad, bad_us)) in states {
        if let Some(at_us) = good {
            db_tx!(&mut *tx, |c| sqlx::query(GOOD)
                .bind(at_us)
                .bind(id.as_str())
                .bind(at_us - limits::NOTE_US)
                .execute(c)
                .await
                .map(drop))?;
        }
        if bad > 0 {
            db_tx!(&mut *tx, |c| sqlx::query(BAD)
                .bind(bad_us)
                .bind(bad)
                .bind(bad_us)
                .bind(id.as_str())
                .execute(c)
                .await
                .map(drop))?;
        }
    }
    Ok(())
}

/// Disables an endpoint, on record and with notice. Returns how far the tenant's events go then.
async fn disable(
    tx: &mut Tx,
    parts: &Parts,
    outcome: &Outcome,
    now_us: i64,
) -> sqlx::Result<Option<(TenantId, i64)>> {
    // Another process may have had a success meanwhile.
    const SQL: &str = "UPDATE webhooks SET status = 'disabled', disabled_reason = ?, updated_at = ? \
         WHERE id = ? AND status <> 'disabled' AND deleted_at = 0 AND (? = 'gone' OR failing_since <= ?)";
    let Endpoint { id, tenant, .. } = &*outcome.endpoint;
    let scope = Scope::tenant(tenant);
    let before = rows::get_locked(tx, &WEBHOOKS, &scope, id.as_str()).await?.unwrap_or_default();
    let changed = db_tx!(&mut *tx, |c| sqlx::query(SQL)
        .bind(outcome.disable)
        .bind(now_us)
        .bind(id.as_str())
        .bind(outcome.disable)
        .bind(now_us - limits::DISABLE_US)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    if changed == 0 {
        return Ok(None);
    }
    store::cancel(tx, id.as_str(), now_us).await?;
    store::miss(tx, tenant, id.as_str()).await?;
    let after = rows::get_locked(tx, &WEBHOOKS, &scope, id.as_str()).await?.unwrap_or_default();
    put_on_record(tx, parts, (tenant, id), now_us, outcome.disable).await?;
    let line = crud::line(&WEBHOOKS, "disable", id.to_string(), before, after);
    let position = parts.events.write(tx, &parts.ids, (tenant, now_us), &[line]).await?;
    parts.stats.disabled.fetch_add(1, Ordering::Relaxed);
    tracing::warn!(tenant.id = %tenant, webhook.id = %id, reason = outcome.disable, "a webhook was disabled");
    Ok(position.map(|position| (tenant.clone(), position)))
}

async fn put_on_record(
    tx: &mut Tx,
    parts: &Parts,
    (tenant, id): (&TenantId, &Id),
    now_us: i64,
    reason: &str,
) -> sqlx::Result<()> {
    let one = |status: &str| -> Record { Map::from_iter([("status".to_owned(), json!(status))]) };
    let (before, mut after) = (one("active"), one("disabled"));
    after.insert("disabled_reason".into(), json!(reason));
    let entry = audit::Entry {
        tenant: tenant.as_str(),
        at_us: now_us,
        actor_kind: audit::ActorKind::System,
        actor_id: "",
        role: "",
        address: "",
        user_agent: "",
        request_id: "",
        action: "webhooks.disable",
        object_type: WEBHOOKS.name,
        object_id: id.as_str(),
        before: &before,
        after: &after,
    };
    audit::append(tx, &parts.ids, &entry).await
}
