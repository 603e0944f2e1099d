//! Rests after calls that are over, and members whose agent has gone. Both are looked for, not waited for, so nothing of it
//! is lost with a process: a rest that ran out while the service was down ends at its start.

use super::Parts;
use super::api::AGENTS;
use super::change::step;
use super::standing::Signal;
use crate::api::store::{self, Scope};
use crate::base::ids::TenantId;
use crate::base::shutdown::Stopping;
use crate::config::limits::agents as limits;
use crate::db::{Db, db_read};
use crate::queues;

/// Looks until `stopping`.
pub async fn run(parts: Parts, mut stopping: Stopping) {
    loop {
        match end_due(&parts).await {
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "rests that are over can't be ended yet"),
        }
        match queues::free_seats(&parts.db, limits::SEAT_ROWS).await {
            Ok(0) => {}
            Ok(members) => tracing::info!(members, "members are back at their own endpoints"),
            Err(error) => tracing::debug!(%error, "members whose agent has gone can't be looked for"),
        }
        tokio::select! {
            () = tokio::time::sleep(limits::WRAPUP_TIME) => {}
            () = stopping.stopped() => return,
        }
    }
}

/// Ends the rests that are over, each in a transaction of its own. Returns how many; of several nodes one ends each.
///
/// # Errors
/// When the database is away; those before are done.
pub async fn end_due(parts: &Parts) -> sqlx::Result<usize> {
    let now_us = parts.clock.now_us();
    let mut ended = 0;
    for (tenant, id) in due(&parts.db, now_us).await? {
        let Ok(tenant) = TenantId::parse(&tenant) else { continue };
        let mut tx = parts.db.begin().await?;
        let Some(before) = store::get_locked(&mut tx, &AGENTS, &Scope::tenant(&tenant), &id).await? else {
            continue;
        };
        let done = step(&mut tx, parts, (&tenant, now_us), before, (Signal::TimeIsUp, now_us)).await?;
        tx.commit().await?;
        if let Some(position) = done {
            parts.events.news.tell(&tenant, position);
            ended += 1;
        }
    }
    Ok(ended)
}

async fn due(db: &Db, now_us: i64) -> sqlx::Result<Vec<(String, String)>> {
    const SQL: &str =
        "SELECT tenant_id, id FROM agent_states WHERE wrapup_until <= ? ORDER BY wrapup_until LIMIT ?";
    db_read!(db, |p| sqlx::query_as(SQL).bind(now_us).bind(limits::WRAPUP_ROWS).fetch_all(p).await)
}
