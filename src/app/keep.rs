//! What runs beside the requests: sessions that ended elsewhere, last uses of keys, trials that are over, old rows.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, json};
use tokio::task::JoinHandle;

use crate::agents;
use crate::api::store::{self, Scope};
use crate::api::{Audited, Doing};
use crate::audit::{self, ActorKind};
use crate::auth::{Auth, Why, keys_of, reset, revoke_tenant, session};
use crate::base::ids::TenantId;
use crate::base::shutdown::Stopping;
use crate::calls;
use crate::config::limits::{api, auth as limits, tenants as tenant_limits};
use crate::db::{Db, Tx};
use crate::events::{Events, outbox};
use crate::http::dispatch::Gate;
use crate::http::idempotency;
use crate::queues;
use crate::tenants::{self, api::TENANTS};
use crate::webhooks;

/// One round of something.
type Round = for<'a> fn(&'a Gate) -> Doing<'a, ()>;

/// Does something each `time` until `stopping`, and once more then if it should not be lost.
async fn every(gate: Arc<Gate>, time: Duration, mut stopping: Stopping, round: Round, last: bool) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = stopping.stopped() => break,
        }
        round(&gate).await;
    }
    if last {
        round(&gate).await;
    }
}

/// Starts all of it.
pub(super) fn start(gate: &Arc<Gate>, events_kept: Duration, keep: &Stopping) -> Vec<JoinHandle<()>> {
    let rounds: [(Duration, Round, bool); 4] = [
        (limits::REVOKED_TIME, |gate| Box::pin(revoked(gate)), false),
        (limits::KEY_FLUSH_TIME, |gate| Box::pin(flush(gate)), true),
        (api::SWEEP_TIME, |gate| Box::pin(async { gate.limiter.sweep() }), false),
        (tenant_limits::HOUSEKEEPING_TIME, |gate| Box::pin(housekeeping(gate)), false),
    ];
    let spawn = |(time, round, last)| tokio::spawn(every(Arc::clone(gate), time, keep.clone(), round, last));
    let mut tasks: Vec<JoinHandle<()>> = rounds.into_iter().map(spawn).collect();
    tasks.push(tokio::spawn(forget_events(Arc::clone(gate), events_kept, keep.clone())));
    tasks
}

/// Removes events that are older than they are kept.
async fn forget_events(gate: Arc<Gate>, kept: Duration, mut stopping: Stopping) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(tenant_limits::HOUSEKEEPING_TIME) => {}
            () = stopping.stopped() => return,
        }
        let now_us = gate.clock.now_us();
        let before = now_us - i64::try_from(kept.as_micros()).unwrap_or(i64::MAX);
        match outbox::purge(&gate.db, before).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "old events were removed"),
            Err(error) => tracing::warn!(%error, "old events can't be removed"),
        }
        match webhooks::keep::purge(&gate.db, before, now_us).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "old deliveries were removed"),
            Err(error) => tracing::warn!(%error, "old deliveries can't be removed"),
        }
    }
}

async fn revoked(gate: &Gate) {
    if let Err(error) = gate.auth.revoked.refresh(&gate.db, gate.clock.now_us()).await {
        tracing::debug!(%error, "ended sessions can't be looked for");
    }
}

async fn flush(gate: &Gate) {
    if let Err(error) = gate.auth.api_keys.flush(&gate.db).await {
        tracing::debug!(%error, "last uses of API keys can't be written yet");
    }
}

async fn housekeeping(gate: &Gate) {
    let (db, now_us) = (&gate.db, gate.clock.now_us());
    let told = |what: &str, done: sqlx::Result<u64>| match done {
        Ok(0) => {}
        Ok(rows) => tracing::info!(what, rows, "old rows were removed"),
        Err(error) => tracing::warn!(what, %error, "old rows can't be removed"),
    };
    told("sessions", session::clean(db, now_us).await);
    told("password resets", reset::clean(db, now_us).await);
    told("kept answers", idempotency::purge(db, now_us).await);
    told("calls' legs", calls::legs_store::purge(db, now_us).await);
    told("callbacks", queues::callback_store::purge(db, now_us).await);
    told("queue log", queues::log_store::purge(db, now_us).await);
    told("agents' states", agents::log::purge(db, now_us).await);
    match end_trials(db, &gate.auth, &gate.events, now_us).await {
        Ok(ended) => {
            for tenant in ended {
                tracing::info!(tenant.id = %tenant, "a trial is over and the tenant suspended");
                if let Err(error) = gate.routing.memory.reload(&tenant).await {
                    tracing::warn!(%error, "routing reads a changed tenant with its next refresh");
                }
            }
        }
        Err(error) => tracing::warn!(%error, "trials that are over can't be looked for"),
    }
}

/// Suspends tenants whose trial is over, each on record. Returns them.
///
/// # Errors
/// When the database is away.
pub async fn end_trials(db: &Db, auth: &Auth, events: &Events, now_us: i64) -> sqlx::Result<Vec<TenantId>> {
    const REASON: &str = "The trial is over.";
    let due = tenants::store::trials_over(db, now_us).await?;
    let mut done = Vec::new();
    for tenant in due {
        let mut tx = db.begin().await?;
        if !tenants::store::end_trial(&mut tx, &tenant, REASON, now_us).await? {
            // Another node was faster.
            continue;
        }
        let ended = revoke_tenant(&mut tx, &tenant, Why::Suspended, now_us).await?;
        let keys = keys_of(&mut tx, &tenant).await?;
        let status = |status: &str| Map::from_iter([("status".to_owned(), json!(status))]);
        let (before, mut after) = (status("trial"), status("suspended"));
        after.insert("suspended_reason".to_owned(), json!(REASON));
        let entry = system(tenant.as_str(), now_us, "tenants.suspend", (tenant.as_str(), &before, &after));
        audit::store::append(&mut tx, &auth.ids, &entry).await?;
        let position = tell_suspended(&mut tx, auth, events, &tenant, now_us).await?;
        tx.commit().await?;
        events.news.tell(&tenant, position);
        auth.revoked.add(&ended, now_us);
        keys.iter().for_each(|key| auth.api_keys.forget(key));
        done.push(tenant);
    }
    Ok(done)
}

/// Tells that a tenant was changed, and returns the event's position.
async fn tell_suspended(
    tx: &mut Tx,
    auth: &Auth,
    events: &Events,
    tenant: &TenantId,
    now_us: i64,
) -> sqlx::Result<i64> {
    let record =
        store::get_locked(tx, &TENANTS, &Scope::platform(), tenant.as_str()).await?.unwrap_or_default();
    let line = Audited {
        action: "tenants.suspend".into(),
        object_type: TENANTS.name.into(),
        object_id: tenant.to_string(),
        before: record.clone(),
        after: record,
    };
    Ok(events.write(tx, &auth.ids, (tenant, now_us), &[line]).await?.unwrap_or(0))
}

/// A line about what the service, or whoever sits at its machine, did to a tenant or user.
pub fn system<'a>(
    tenant: &'a str,
    at_us: i64,
    action: &'a str,
    (object_id, before, after): (
        &'a str,
        &'a Map<String, serde_json::Value>,
        &'a Map<String, serde_json::Value>,
    ),
) -> audit::store::Entry<'a> {
    audit::store::Entry {
        tenant,
        at_us,
        actor_kind: ActorKind::System,
        actor_id: "",
        role: "",
        address: "",
        user_agent: "",
        request_id: "",
        action,
        object_type: action.split('.').next().unwrap_or_default(),
        object_id,
        before,
        after,
    }
}
