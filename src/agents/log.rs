//! The log of states: a row for each, written with the change. A row ends where the next one begins, so the rows of an agent
//! cover the time without gaps from the first state to the record's end.

use super::AgentStatus;
use super::api::AGENTS;
use super::change::{moment, text};
use super::standing::AgentPhase;
use crate::api::{Field, May, Null, Own, Parent, Record, Resource, Tells};
use crate::base::ids::{IdSource, TenantId};
use crate::base::role::Roles;
use crate::config::limits::agents as limits;
use crate::db::{Db, Tx, db_read, db_tx, db_write};
use crate::tenants;

/// `/agents/{agent_id}/states`
pub static STATES: Resource = Resource {
    name: "agents.states",
    one: "state",
    path: "/agents/{agent_id}/states",
    doc: "Every state that the agent was in, with its begin and end; ?since_from= and ?since_before= limit the time. A row ends \
          where the next one begins. Kept for 400 days. Agents see their own.",
    table: "agent_state_log",
    parent: Some(Parent { column: "agent_id", of: &AGENTS }),
    may: May::only_read(Roles::ALL),
    own: Some(Own { roles: Roles::ONLY_AGENTS, columns: &["user_id"], or_nobody: false }),
    order: "-since",
    updated: false,
    tells: Tells::NOTHING,
    fields: &[
        Field::id("agent_id", "The agent's record.").server(),
        Field::id("user_id", "The user.").server(),
        Field::one_of("state", AgentStatus::WORDS, "What the agent did.").server().filter(),
        Field::maybe("reason", 80, "Why, in the agent's words; `wrap-up`: the rest after a call.").server(),
        Field::one_of("phase", AgentPhase::WORDS, "What held the agent beside the own choice.")
            .server()
            .filter(),
        Field::flag("is_login", "Whether the agent came on with it.").server().filter(),
        Field::time("since", "When it began.").server().filter().sort(),
        Field::time("until", "When it ended; null: it lasts.").nullable(Null::Null).server(),
        Field::id("call_id", "The call that was talked on.").nullable(Null::Empty).server().filter(),
    ],
    ..Resource::PLAIN
};

/// Writes what a change of an agent's record means for the log.
///
/// # Errors
/// When the database is away.
pub(super) async fn note(
    tx: &mut Tx,
    ids: &IdSource,
    (tenant, now_us): (&TenantId, i64),
    before: &Record,
    after: &Record,
) -> sqlx::Result<()> {
    const END: &str =
        "UPDATE agent_state_log SET until = ? WHERE tenant_id = ? AND agent_id = ? AND until IS NULL";
    const BEGIN: &str = "INSERT INTO agent_state_log (id, tenant_id, agent_id, user_id, state, reason, phase, is_login, since, \
         call_id, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let what =
        |record: &Record| ["state", "reason", "phase", "call_id"].map(|name| text(record, name).to_owned());
    if !before.is_empty() && !after.is_empty() && what(before) == what(after) {
        return Ok(());
    }
    // Where only the reason is another, the state itself goes on.
    let began = moment(after, "since").filter(|since| moment(before, "since") != Some(*since));
    let at_us = began.unwrap_or(now_us).max(moment(before, "since").unwrap_or(i64::MIN));
    let agent = text(if after.is_empty() { before } else { after }, "id");
    if !before.is_empty() {
        db_tx!(&mut *tx, |c| sqlx::query(END)
            .bind(at_us)
            .bind(tenant.as_str())
            .bind(agent)
            .execute(c)
            .await
            .map(drop))?;
    }
    if after.is_empty() {
        return Ok(());
    }
    let is_off =
        |record: &Record| record.is_empty() || text(record, "state") == AgentStatus::Offline.as_str();
    db_tx!(tx, |c| sqlx::query(BEGIN)
        .bind(ids.next().as_str())
        .bind(tenant.as_str())
        .bind(agent)
        .bind(text(after, "user_id"))
        .bind(text(after, "state"))
        .bind(text(after, "reason"))
        .bind(text(after, "phase"))
        .bind(is_off(before) && !is_off(after))
        .bind(at_us)
        .bind(text(after, "call_id"))
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))
}

/// Removes rows that ended before they are kept for, tenant by tenant. Returns how many.
///
/// # Errors
/// When the database is away.
pub async fn purge(db: &Db, now_us: i64) -> sqlx::Result<u64> {
    const END: &str = "SELECT MAX(until) FROM (SELECT until FROM agent_state_log \
         WHERE tenant_id = ? AND until < ? ORDER BY until LIMIT ?) t";
    const DELETE: &str = "DELETE FROM agent_state_log WHERE tenant_id = ? AND until <= ?";
    let (mut removed, before_us) = (0, now_us - limits::LOG_KEPT_US);
    for (tenant, _) in tenants::store::versions(db).await? {
        // In pieces, so that others get their turn.
        loop {
            let end: Option<i64> = db_read!(db, |p| sqlx::query_scalar(END)
                .bind(tenant.as_str())
                .bind(before_us)
                .bind(limits::LOG_PURGE_ROWS)
                .fetch_one(p)
                .await)?;
            let Some(end) = end else { break };
            removed += db_write!(db, |p| sqlx::query(DELETE)
                .bind(tenant.as_str())
                .bind(end)
                .execute(p)
                .await
                .map(|done| done.rows_affected()))?;
        }
    }
    Ok(removed)
}

/// A row of the log, for reports.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    /// The user.
    pub user_id: String,
    /// The agent's record.
    pub agent_id: String,
    /// What the agent did.
    pub state: String,
    /// Why; empty: not told.
    pub reason: String,
    /// What held the agent.
    pub phase: String,
    /// Whether the agent came on with it.
    pub is_login: bool,
    /// When it began, microseconds since 1970 UTC.
    pub since: i64,
    /// When it ended; `None`: it lasts.
    pub until: Option<i64>,
}

/// Rows that lie in a time, wholly or in part, by user and time; one more than may be: there are too many.
///
/// # Errors
/// When the database is away.
pub async fn between(
    db: &Db,
    tenant: &TenantId,
    user: &str,
    (from_us, to_us): (i64, i64),
) -> sqlx::Result<Vec<Row>> {
    const SQL: &str = "SELECT user_id, agent_id, state, reason, phase, is_login, since, until FROM agent_state_log \
         WHERE tenant_id = ? AND since < ? AND (until > ? OR until IS NULL) AND (? = '' OR user_id = ?) \
         ORDER BY user_id, since, id LIMIT ?";
    db_read!(db, |p| sqlx::query_as(SQL)
        .bind(tenant.as_str())
        .bind(to_us)
        .bind(from_us)
        .bind(user)
        .bind(user)
        .bind(limits::REPORT_ROWS + 1)
        .fetch_all(p)
        .await)
}
