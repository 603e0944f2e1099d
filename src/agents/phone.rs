//! What phones do, as far as it moves the agents who sit at them: who talks is busy, who has hung up rests or is free again
//! ([`super::standing`]). News comes in the order in which it happens at each phone; what comes twice or late changes nothing.

use super::api::AGENTS;
use super::change::{step, text};
use super::standing::Signal;
use super::{Parts, pop};
use crate::api::store::{self, Scope};
use crate::base::ids::{Id, Name, TenantId};
use crate::base::words::words;
use crate::config::limits::routing;
use crate::db::{Db, Tx, db_read, db_tx};

words! {
    /// What a phone does.
    pub enum PhoneState {
        /// Nothing.
        Idle = "idle",
        /// It rings.
        Ringing = "ringing",
        /// Somebody talks.
        Talking = "talking",
    }
}

/// A phone does something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneNews {
    /// Whose phone it is.
    pub tenant: TenantId,
    /// Its name within the tenant.
    pub endpoint: Name,
    /// What it does now. A phone that rings while somebody talks at it is told as ringing, and its talk goes on.
    pub state: PhoneState,
    /// The call; of an idle phone the one that is over.
    pub call_id: Option<Id>,
    /// The caller's number; empty: withheld.
    pub caller_number: String,
    /// The caller's name; empty: not told.
    pub caller_name: String,
    /// The queue that the call comes from.
    pub queue: Option<Name>,
    /// When it happened, microseconds since 1970 UTC.
    pub at_us: i64,
}

impl PhoneNews {
    fn call(&self) -> &str {
        self.call_id.as_ref().map_or("", Id::as_str)
    }

    fn queue(&self) -> &str {
        self.queue.as_ref().map_or("", Name::as_str)
    }
}

/// What was told of a phone last.
#[derive(Debug, sqlx::FromRow)]
struct Told {
    phone_state: String,
    phone_at: i64,
    phone_call_id: String,
    call_queue: String,
    endpoint_id: Option<String>,
}

impl Told {
    fn is_news(&self, news: &PhoneNews, now_us: i64) -> bool {
        let is_repeat = self.phone_state == news.state.as_str() && self.phone_call_id == news.call();
        // What was told in the future was told before our clock stepped back, and makes nothing late.
        let is_late = news.at_us < self.phone_at && self.phone_at <= now_us;
        !is_repeat && !is_late
    }
}

/// Moves the agent who sits at a phone, in one transaction, and shows who calls. Nobody sits there: nothing happens.
///
/// # Errors
/// When the database is away; then nothing has changed, and the same news may be told again.
pub async fn phone_changed(parts: &Parts, news: &PhoneNews) -> sqlx::Result<()> {
    let (tenant, now_us) = (&news.tenant, parts.clock.now_us());
    let Some((agent, endpoint)) = sitting(&parts.db, tenant, &news.endpoint).await? else { return Ok(()) };
    let mut tx = parts.db.begin().await?;
    let scope = Scope::tenant(tenant);
    let Some(before) = store::get_locked(&mut tx, &AGENTS, &scope, &agent).await? else { return Ok(()) };
    let told = told(&mut tx, tenant, &agent).await?;
    // Looked at again: the agent may have left meanwhile.
    if told.endpoint_id.as_ref() != Some(&endpoint) || !told.is_news(news, now_us) {
        return Ok(());
    }
    let user = text(&before, "user_id").to_owned();
    remember(&mut tx, &agent, (news, now_us), &told).await?;
    let signal = match news.state {
        PhoneState::Ringing => None,
        PhoneState::Talking => Some(Signal::Talk(news.call())),
        PhoneState::Idle => {
            let queue = if news.queue.is_some() { news.queue() } else { &told.call_queue };
            Some(Signal::HangUp(rest_s(&mut tx, tenant, queue).await?))
        }
    };
    let position = match signal {
        // Another node's clock may be ahead of ours; a state does not begin tomorrow.
        Some(signal) => {
            step(&mut tx, parts, (tenant, now_us), before, (signal, news.at_us.min(now_us))).await?
        }
        // The phone rings: no state, but shown with it, for the same news is not told again.
        None => pop::tell(&mut tx, parts, (tenant, now_us), &user).await?,
    };
    tx.commit().await?;
    if let Some(position) = position {
        parts.events.news.tell(tenant, position);
    }
    Ok(())
}

/// A phone that does something, as far as it was told.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct BusyPhone {
    /// Whose.
    pub tenant_id: String,
    /// The endpoint's name.
    pub name: String,
    /// The call; empty: none of ours.
    pub phone_call_id: String,
    /// Since when, microseconds since 1970 UTC.
    pub phone_at: i64,
}

/// Phones of agents that ring or talk, as far as it was told; without those of calls that are alive in the books, unless
/// `any`. Of all tenants: they are compared with what Asterisk has.
///
/// # Errors
/// When the database is away.
pub async fn busy_phones(db: &Db, any: bool) -> sqlx::Result<Vec<BusyPhone>> {
    const SQL: &str = "SELECT e.tenant_id, e.name, a.phone_call_id, a.phone_at FROM agent_states a \
         JOIN endpoints e ON e.id = a.endpoint_id AND e.tenant_id = a.tenant_id WHERE a.phone_state <> 'idle' \
         AND (? OR NOT EXISTS (SELECT 1 FROM calls c WHERE c.id = a.phone_call_id AND c.tenant_id = a.tenant_id \
         AND c.ended_at IS NULL)) ORDER BY a.id LIMIT ?";
    let most = i64::try_from(routing::LIVE_CALLS).unwrap_or(i64::MAX);
    db_read!(db, |p| sqlx::query_as(SQL).bind(any).bind(most).fetch_all(p).await)
}

/// The agent who sits at a phone, and the phone's id.
async fn sitting(db: &Db, tenant: &TenantId, name: &Name) -> sqlx::Result<Option<(String, String)>> {
    const SQL: &str = "SELECT a.id, e.id FROM endpoints e \
         JOIN agent_states a ON a.endpoint_id = e.id AND a.tenant_id = e.tenant_id WHERE e.tenant_id = ? AND e.name = ?";
    db_read!(db, |p| sqlx::query_as(SQL).bind(tenant.as_str()).bind(name.as_str()).fetch_optional(p).await)
}

async fn told(tx: &mut Tx, tenant: &TenantId, agent: &str) -> sqlx::Result<Told> {
    const SQLITE: &str = "SELECT phone_state, phone_at, phone_call_id, call_queue, endpoint_id FROM agent_states \
         WHERE tenant_id = ? AND id = ?";
    const MYSQL: &str = "SELECT phone_state, phone_at, phone_call_id, call_queue, endpoint_id FROM agent_states \
         WHERE tenant_id = ? AND id = ? FOR UPDATE";
    let sql = tx.pick(SQLITE, MYSQL);
    db_tx!(tx, |c| sqlx::query_as(sql).bind(tenant.as_str()).bind(agent).fetch_one(c).await)
}

async fn remember(
    tx: &mut Tx,
    agent: &str,
    (news, now_us): (&PhoneNews, i64),
    told: &Told,
) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE agent_states SET phone_state = ?, phone_at = ?, phone_call_id = ?, phone_number = ?, \
         phone_name = ?, phone_queue = ?, call_queue = ? WHERE tenant_id = ? AND id = ?";
    // Of a call that only knocks the talk's queue is not taken.
    let call_queue = if news.state == PhoneState::Talking { news.queue() } else { &told.call_queue };
    let cut = |text: &str, most: usize| -> String { text.chars().take(most).collect() };
    let (number, name) = match news.state {
        PhoneState::Idle => (String::new(), String::new()),
        _ => (cut(&news.caller_number, routing::TEXT_CHARS), cut(&news.caller_name, routing::TEXT_CHARS)),
    };
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(news.state.as_str())
        // By Asterisk's clock, which may be ahead of ours and step back.
        .bind(news.at_us.min(now_us))
        .bind(news.call())
        .bind(number)
        .bind(name)
        .bind(news.queue())
        .bind(call_queue)
        .bind(news.tenant.as_str())
        .bind(agent)
        .execute(c)
        .await
        .map(drop))
}

/// Seconds of rest after a call: the queue's, else the tenant's.
async fn rest_s(tx: &mut Tx, tenant: &TenantId, queue: &str) -> sqlx::Result<i64> {
    const QUEUE: &str = "SELECT wrapup_s FROM queues WHERE tenant_id = ? AND name = ?";
    const TENANT: &str = "SELECT wrapup_s FROM tenants WHERE id = ?";
    if !queue.is_empty() {
        let found: Option<i64> = db_tx!(&mut *tx, |c| sqlx::query_scalar(QUEUE)
            .bind(tenant.as_str())
            .bind(queue)
            .fetch_optional(c)
            .await)?;
        if let Some(rest_s) = found {
            return Ok(rest_s);
        }
    }
    let found: Option<i64> =
        db_tx!(tx, |c| sqlx::query_scalar(TENANT).bind(tenant.as_str()).fetch_optional(c).await)?;
    Ok(found.unwrap_or_default())
}
