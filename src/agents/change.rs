//! A step of an agent, written: the record, what queues see of it, the log.

use serde_json::{Value, json};

use super::api::AGENTS;
use super::log;
use super::standing::{AgentPhase, Signal, Standing};
use super::{AgentStatus, Parts};
use crate::api::check::{read_time, show_time};
use crate::api::store::{self, Scope};
use crate::api::{Record, crud};
use crate::base::ids::{IdSource, TenantId};
use crate::db::{Tx, db_tx};
use crate::queues;
use crate::tenants::store::touch;

/// A text of a record; empty when it has none.
pub(super) fn text<'r>(record: &'r Record, name: &str) -> &'r str {
    record.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A moment of a record, microseconds since 1970 UTC.
pub(super) fn moment(record: &Record, name: &str) -> Option<i64> {
    record.get(name).and_then(Value::as_str).and_then(read_time)
}

/// A record's place in the machine; of none: somebody who is not signed in.
pub(super) fn standing_of(record: &Record, now_us: i64) -> Standing {
    let state = |name: &str| AgentStatus::parse(text(record, name));
    let choice = state("choice").or_else(|| state("state")).unwrap_or(AgentStatus::Offline);
    Standing {
        phase: AgentPhase::parse(text(record, "phase")).unwrap_or(AgentPhase::Free),
        choice,
        choice_reason: text(record, "choice_reason").to_owned(),
        until_us: moment(record, "wrapup_until"),
        call: text(record, "call_id").to_owned(),
        since_us: moment(record, "since").unwrap_or(now_us),
        previous: state("previous_state"),
    }
}

/// Writes a place into the values of a record.
pub(super) fn put(standing: &Standing, given: &mut Record) {
    let some = |text: &str| Some(text).filter(|text| !text.is_empty()).map_or(Value::Null, Value::from);
    let values = [
        ("state", json!(standing.state())),
        ("reason", some(standing.reason())),
        ("since", json!(show_time(standing.since_us))),
        ("previous_state", json!(standing.previous)),
        ("phase", json!(standing.phase)),
        ("choice", json!(standing.choice)),
        ("choice_reason", some(&standing.choice_reason)),
        ("wrapup_until", json!(standing.until_us.map(show_time))),
        ("call_id", some(&standing.call)),
    ];
    given.extend(values.map(|(name, value)| (name.to_owned(), value)));
}

/// What queues see of a record; `None`: nothing, as of somebody who works.
fn seen(record: &Record) -> Option<(AgentStatus, String)> {
    let standing = standing_of(record, 0);
    let (state, reason) = standing.seat();
    // Whether somebody talks is Asterisk's own business.
    let state = if state.is_paused() { state } else { AgentStatus::Available };
    let reason = if state.is_paused() && state.is_online() { reason } else { "" };
    (!record.is_empty()).then(|| (state, reason.to_owned()))
}

/// What follows from a change of an agent's record, in its transaction. Returns whether queues see something else.
///
/// # Errors
/// When the database is away.
pub(super) async fn settle(
    tx: &mut Tx,
    ids: &IdSource,
    (tenant, now_us): (&TenantId, i64),
    before: &Record,
    after: &Record,
) -> sqlx::Result<bool> {
    const SEAT: &str =
        "UPDATE agent_states SET seat_state = ?, seat_reason = ? WHERE tenant_id = ? AND id = ?";
    log::note(tx, ids, (tenant, now_us), before, after).await?;
    let (old, new) = (seen(before), seen(after));
    if let Some((state, reason)) = new.as_ref().filter(|_| old != new || before.is_empty()) {
        db_tx!(&mut *tx, |c| sqlx::query(SEAT)
            .bind(state.as_str())
            .bind(reason)
            .bind(tenant.as_str())
            .bind(text(after, "id"))
            .execute(c)
            .await
            .map(drop))?;
    }
    let working = |seen: &Option<(AgentStatus, String)>| {
        seen.clone().unwrap_or((AgentStatus::Available, String::new()))
    };
    let mut is_seen = working(&old) != working(&new);
    let (left, taken) = (text(before, "endpoint_id"), text(after, "endpoint_id"));
    if left != taken {
        let user = text(if after.is_empty() { before } else { after }, "user_id");
        is_seen |= queues::follow(tx, tenant, user, [left, taken]).await? > 0;
    }
    Ok(is_seen)
}

/// What happens to an agent beside the API: one step, with its event. Returns the position of the event; `None`: nothing
/// changed, or there is no such agent.
///
/// # Errors
/// When the database is away.
pub(super) async fn step(
    tx: &mut Tx,
    parts: &Parts,
    (tenant, now_us): (&TenantId, i64),
    before: Record,
    (signal, at_us): (Signal<'_>, i64),
) -> sqlx::Result<Option<i64>> {
    let (scope, id) = (Scope::tenant(tenant), text(&before, "id").to_owned());
    let standing = standing_of(&before, now_us);
    let next = standing.next(signal, at_us);
    if next == standing {
        return Ok(None);
    }
    let mut given = Record::new();
    put(&next, &mut given);
    store::update(tx, &AGENTS, &scope, &id, &given, now_us).await?;
    let after = store::get_locked(tx, &AGENTS, &scope, &id).await?.unwrap_or_default();
    if settle(tx, &parts.ids, (tenant, now_us), &before, &after).await? {
        touch(tx, tenant).await?;
    }
    let line = crud::line(&AGENTS, "update", id, before, after);
    parts.events.write(tx, &parts.ids, (tenant, now_us), &[line]).await
}
