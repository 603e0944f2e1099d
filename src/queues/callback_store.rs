//! SQL of callbacks. A callback changes its state only from the one it was seen in, so that of two who would change it one does;
//! each change tells its event in the same transaction.

use serde_json::Value;

use super::api::CALLBACKS;
use super::callback::CallbackState;
use super::seat::{Presence, Seat};
use crate::api::Record;
use crate::api::store::{self, Scope};
use crate::base::ids::{Id, Name, Number, TenantId};
use crate::config::limits::queues as limits;
use crate::db::{self, Db, Tx, db_read, db_tx, db_write};
use crate::events::Draft;
use crate::tenants;

/// A callback as somebody asks for it.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// Its row, unless there is one.
    pub id: &'a Id,
    /// The queue: its id and its name.
    pub queue: (&'a str, &'a str),
    /// Who is to be called.
    pub number: &'a Number,
    /// The caller's name; empty: not known.
    pub name: &'a str,
    /// `keypad` or `api`.
    pub asked_by: &'static str,
    /// The number that was called; empty: none.
    pub did: &'a str,
    /// The call in which it was asked for; empty: none.
    pub call: &'a str,
    /// The place in the line, microseconds since 1970 UTC.
    pub place_us: i64,
    /// Not to be dialled before, microseconds since 1970 UTC; 0: at once.
    pub not_before_us: i64,
}

/// What came of asking.
#[derive(Debug)]
pub enum Asked {
    /// It is a new one, with its event.
    New(Id, Draft),
    /// The number has an open one in this queue.
    Open(Id),
    /// The queue has as many as it may have.
    Full,
}

/// A queue's settings for callbacks.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Settings {
    /// Its id.
    pub id: String,
    /// Whether it takes callers.
    pub status: String,
    /// How often a caller is called.
    pub callback_attempts: i64,
    /// Seconds between two attempts.
    pub callback_retry_s: i64,
    /// Seconds until it expires.
    pub callback_expires_s: i64,
    /// Seconds a member rests.
    pub wrapup_s: i64,
}

/// A queue's settings; `None`: there is no such queue.
///
/// # Errors
/// When the database is away.
pub async fn settings(db: &Db, tenant: &TenantId, queue: &str) -> sqlx::Result<Option<Settings>> {
    const SQL: &str = "SELECT id, status, callback_attempts, callback_retry_s, callback_expires_s, wrapup_s FROM queues \
         WHERE tenant_id = ? AND name = ?";
    db_read!(db, |p| sqlx::query_as(SQL).bind(tenant.as_str()).bind(queue).fetch_optional(p).await)
}

/// Adds a callback that expires so many seconds after it may be dialled first.
///
/// # Errors
/// When the database is away.
pub async fn ask(
    tx: &mut Tx,
    (tenant, now_us): (&TenantId, i64),
    new: New<'_>,
    expires_s: i64,
) -> sqlx::Result<Asked> {
    const OPEN: &str = "SELECT id FROM queue_callbacks WHERE tenant_id = ? AND queue_id = ? AND open_key = ?";
    const COUNT: &str = "SELECT COUNT(*) FROM queue_callbacks WHERE tenant_id = ? AND queue_id = ? \
         AND state IN ('waiting', 'dialling', 'answered')";
    const INSERT: &str = "INSERT INTO queue_callbacks (id, tenant_id, queue_id, queue, number, name, state, asked_by, did, \
         call_id, place_at, not_before, next_at, expires_at, attempts, called_call_id, last_error, open_key, created_at, \
         updated_at) VALUES (?, ?, ?, ?, ?, ?, 'waiting', ?, ?, ?, ?, ?, ?, ?, 0, '', '', ?, ?, ?)";
    let (queue, queue_name) = new.queue;
    let count: i64 =
        db_tx!(&mut *tx, |c| sqlx::query_scalar(COUNT).bind(tenant.as_str()).bind(queue).fetch_one(c).await)?;
    let first_us = new.not_before_us.max(now_us);
    let added = match count >= limits::CALLBACKS {
        true => Ok(false),
        false => db_tx!(&mut *tx, |c| sqlx::query(INSERT)
            .bind(new.id.as_str())
            .bind(tenant.as_str())
            .bind(queue)
            .bind(queue_name)
            .bind(new.number.as_str())
            .bind(new.name)
            .bind(new.asked_by)
            .bind(new.did)
            .bind(new.call)
            .bind(new.place_us)
            .bind(new.not_before_us)
            .bind(new.not_before_us)
            .bind(first_us + expires_s * 1_000_000)
            .bind(new.number.as_str())
            .bind(now_us)
            .bind(now_us)
            .execute(c)
            .await
            .map(|_| true)),
    };
    match added {
        Ok(true) => {
            let draft = told(tx, tenant, new.id.as_str(), ("queue.callback_requested", now_us)).await?;
            return Ok(Asked::New(new.id.clone(), draft));
        }
        Err(error) if !db::is_unique_violation(&error) => return Err(error),
        _ => {}
    }
    // A locking read: MariaDB's plain one may be older than the other's row.
    let open = format!("{OPEN}{}", tx.pick("", " LOCK IN SHARE MODE"));
    let found: Option<String> = db_tx!(&mut *tx, |c| sqlx::query_scalar(sqlx::AssertSqlSafe(open))
        .bind(tenant.as_str())
        .bind(queue)
        .bind(new.number.as_str())
        .fetch_optional(c)
        .await)?;
    Ok(found.and_then(|id| Id::parse(&id).ok()).map_or(Asked::Full, Asked::Open))
}

/// The event of a callback as it is now.
async fn told(
    tx: &mut Tx,
    tenant: &TenantId,
    id: &str,
    (kind, at_us): (&'static str, i64),
) -> sqlx::Result<Draft> {
    let record = store::get_locked(tx, &CALLBACKS, &Scope::tenant(tenant), id).await?.unwrap_or_default();
    let queue = record.get("queue_id").and_then(Value::as_str).unwrap_or_default();
    Ok(Draft { kind: kind.into(), key: format!("queue:{queue}"), at_us, owners: None, data: record })
}

/// A change of a callback's state.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// From.
    pub from: CallbackState,
    /// To.
    pub to: CallbackState,
    /// When it may be dialled next, microseconds since 1970 UTC.
    pub next_us: i64,
    /// Until when whoever dials it, or the call that it became, is believed to live; microseconds since 1970 UTC.
    pub lease_us: i64,
    /// The node that dials it.
    pub node: &'a str,
    /// Asterisk's uniqueid of the call that it became, and its id.
    pub call: (&'a str, &'a str),
    /// What went wrong; empty: nothing.
    pub error: &'a str,
    /// By how much the attempts change.
    pub attempts: i64,
    /// It does not expire before; microseconds since 1970 UTC.
    pub expires_us: i64,
    /// Only while it is that call; empty: whatever it is.
    pub of_call: &'a str,
    /// Only while it was dialled so often, may be dialled now and has not expired.
    pub seen: Option<i64>,
}

impl<'a> Step<'a> {
    /// A change that says no more than that.
    pub fn new(from: CallbackState, to: CallbackState) -> Self {
        let (next_us, lease_us, attempts, expires_us) = (0, 0, 0, 0);
        let (node, call, error, of_call) = ("", ("", ""), "", "");
        Self { from, to, next_us, lease_us, node, call, error, attempts, expires_us, of_call, seen: None }
    }

    /// A node begins to dial what it saw to have been dialled `attempts` times.
    pub fn claim(attempts: i64, node: &'a str, lease_us: i64) -> Self {
        let step = Self::new(CallbackState::Waiting, CallbackState::Dialling);
        Self { attempts: 1, seen: Some(attempts), node, lease_us, ..step }
    }
}

/// Changes a callback. Returns the event that tells of it, where one does, or that it was not in that state any more.
///
/// # Errors
/// When the database is away.
pub async fn step(
    tx: &mut Tx,
    (tenant, now_us): (&TenantId, i64),
    id: &str,
    step: Step<'_>,
) -> sqlx::Result<Option<Option<Draft>>> {
    const SQL: &str = "UPDATE queue_callbacks SET state = ?, attempts = attempts + ?, next_at = ?, lease_at = ?, node = ?, \
         uniqueid = CASE WHEN ? = '' THEN uniqueid ELSE ? END, \
         called_call_id = CASE WHEN ? = '' THEN called_call_id ELSE ? END, last_error = ?, \
         expires_at = CASE WHEN expires_at < ? THEN ? ELSE expires_at END, \
         open_key = CASE WHEN ? THEN id ELSE open_key END, finished_at = CASE WHEN ? THEN ? END, updated_at = ? \
         WHERE tenant_id = ? AND id = ? AND state = ? AND (? = '' OR called_call_id = ?) \
         AND (? < 0 OR (attempts = ? AND next_at <= ? AND expires_at > ?))";
    use CallbackState::{Answered, Cancelled, Dialling, Done, Expired, Failed, Waiting};
    let is_over = matches!(step.to, Done | Failed | Cancelled | Expired);
    let seen = step.seen.unwrap_or(-1);
    let error: String = step.error.chars().take(limits::CALLBACK_ERROR_CHARACTERS).collect();
    let changed = db_tx!(&mut *tx, |c| sqlx::query(SQL)
        .bind(step.to.as_str())
        .bind(step.attempts)
        .bind(step.next_us)
        .bind(step.lease_us)
        .bind(step.node)
        .bind(step.call.0)
        .bind(step.call.0)
        .bind(step.call.1)
        .bind(step.call.1)
        .bind(&error)
        .bind(step.expires_us)
        .bind(step.expires_us)
        .bind(is_over)
        .bind(is_over)
        .bind(now_us)
        .bind(now_us)
        .bind(tenant.as_str())
        .bind(id)
        .bind(step.from.as_str())
        .bind(step.of_call)
        .bind(step.of_call)
        .bind(seen)
        .bind(seen)
        .bind(now_us)
        .bind(now_us)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    if changed == 0 {
        return Ok(None);
    }
    let kind = match step.to {
        Dialling => "queue.callback_dialled",
        Done => "queue.callback_done",
        Failed | Cancelled | Expired => "queue.callback_failed",
        Waiting | Answered => return Ok(Some(None)),
    };
    Ok(Some(Some(told(tx, tenant, id, (kind, now_us)).await?)))
}

/// An open callback.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Open {
    /// Its id.
    pub id: String,
    /// Who is to be called.
    pub number: String,
    /// The caller's name.
    pub name: String,
    /// Its state.
    pub state: String,
    /// The number that was called.
    pub did: String,
    /// Its place, microseconds since 1970 UTC.
    pub place_at: i64,
    /// When it may be dialled next, microseconds since 1970 UTC.
    pub next_at: i64,
    /// When it expires, microseconds since 1970 UTC.
    pub expires_at: i64,
    /// Until when whoever dials it is believed to live, microseconds since 1970 UTC.
    pub lease_at: i64,
    /// How often it was dialled.
    pub attempts: i64,
    /// Asterisk's uniqueid of the call that it became.
    pub uniqueid: String,
    /// The id of that call.
    pub called_call_id: String,
}

/// The queues that have open callbacks.
///
/// # Errors
/// When the database is away.
pub async fn queues(db: &Db) -> sqlx::Result<Vec<(TenantId, Name)>> {
    const SQL: &str = "SELECT DISTINCT c.tenant_id, c.queue FROM queue_callbacks c \
         JOIN tenants t ON t.id = c.tenant_id AND t.deleted_at = 0 \
         WHERE c.state IN ('waiting', 'dialling', 'answered') ORDER BY c.tenant_id, c.queue";
    let rows: Vec<(String, String)> = db_read!(db, |p| sqlx::query_as(SQL).fetch_all(p).await)?;
    let parse =
        |(tenant, queue): (String, String)| Some((TenantId::parse(&tenant).ok()?, Name::parse(&queue).ok()?));
    Ok(rows.into_iter().filter_map(parse).collect())
}

/// A queue's open callbacks, by their places.
///
/// # Errors
/// When the database is away.
pub async fn open(db: &Db, tenant: &TenantId, queue: &Name) -> sqlx::Result<Vec<Open>> {
    const SQL: &str = "SELECT id, number, name, state, did, place_at, next_at, expires_at, lease_at, attempts, uniqueid, \
         called_call_id FROM queue_callbacks WHERE tenant_id = ? AND queue = ? AND state IN ('waiting', 'dialling', 'answered') \
         ORDER BY place_at, id";
    db_read!(db, |p| sqlx::query_as(SQL).bind(tenant.as_str()).bind(queue.as_str()).fetch_all(p).await)
}

/// A callback, as whoever answers it needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whose it is.
    pub tenant: TenantId,
    /// The queue.
    pub queue: Name,
    /// Who is called.
    pub number: Number,
    /// The caller's name; empty: not known.
    pub name: String,
    /// The number that was called; empty: none.
    pub did: String,
    /// When the caller joined the line, microseconds since 1970 UTC.
    pub place_us: i64,
}

/// A callback by its id alone, as the dialplan knows it.
///
/// # Errors
/// When the database is away.
pub async fn find(db: &Db, id: &Id) -> sqlx::Result<Option<Found>> {
    const SQL: &str =
        "SELECT tenant_id, queue, number, name, did, place_at FROM queue_callbacks WHERE id = ?";
    let row: Option<(String, String, String, String, String, i64)> =
        db_read!(db, |p| sqlx::query_as(SQL).bind(id.as_str()).fetch_optional(p).await)?;
    Ok(row.and_then(|(tenant, queue, number, name, did, place_us)| {
        let (tenant, queue) = (TenantId::parse(&tenant).ok()?, Name::parse(&queue).ok()?);
        Some(Found { tenant, queue, number: Number::parse(&number).ok()?, name, did, place_us })
    }))
}

/// What the books say of the call that a callback became.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Became {
    /// When it ended, microseconds since 1970 UTC; `None`: it lasts.
    pub ended_at: Option<i64>,
    /// Whether somebody talked to the caller.
    pub talked: bool,
    /// Why the queue let go of the caller; empty: the caller left, or somebody answered.
    pub queue_status: String,
}

/// The call that a callback became; `None`: the books do not know it yet.
///
/// # Errors
/// When the database is away.
pub async fn became(db: &Db, tenant: &TenantId, call: &str) -> sqlx::Result<Option<Became>> {
    const SQL: &str = "SELECT ended_at, (disposition = 'ANSWERED' AND answered_by <> '') AS talked, queue_status FROM calls \
         WHERE tenant_id = ? AND id = ?";
    db_read!(db, |p| sqlx::query_as(SQL).bind(tenant.as_str()).bind(call).fetch_optional(p).await)
}

/// How many callers of other queues are called back now, each of whom will take a member: by the queues' ids.
///
/// # Errors
/// When the database is away.
pub async fn called_elsewhere(db: &Db, tenant: &TenantId, queue: &str) -> sqlx::Result<Vec<(String, i64)>> {
    const SQL: &str = "SELECT queue_id, COUNT(*) FROM queue_callbacks WHERE tenant_id = ? AND state IN ('dialling', 'answered') \
         AND queue_id <> ? GROUP BY queue_id";
    db_read!(db, |p| sqlx::query_as(SQL).bind(tenant.as_str()).bind(queue).fetch_all(p).await)
}

/// A member who takes calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Takes {
    /// The name of the endpoint that rings.
    pub name: String,
    /// Whether that phone neither rings nor talks, as far as its agent's state tells.
    pub is_idle: bool,
}

#[derive(sqlx::FromRow)]
struct MemberRow {
    name: String,
    #[sqlx(flatten)]
    seat: Seat,
    registered: bool,
    registers: i64,
    is_idle: bool,
}

/// A queue's members who take calls. A phone that is not registered takes none, where the tenant's phones register with the
/// service at all.
///
/// # Errors
/// When the database is away.
pub async fn members(db: &Db, tenant: &TenantId, queue: &str) -> sqlx::Result<Vec<Takes>> {
    const SQL: &str = "SELECT e.name, m.paused, m.pause_reason, a.seat_state AS state, a.seat_reason AS reason, m.seat_id, e.registered, \
         (SELECT COUNT(*) FROM endpoints x WHERE x.tenant_id = m.tenant_id AND x.registered) AS registers, \
         (COALESCE(h.phase, 'free') = 'free' AND COALESCE(h.phone_state, 'idle') = 'idle') AS is_idle \
         FROM queue_members m JOIN endpoints e ON e.id = COALESCE(m.seat_id, m.endpoint_id) AND e.tenant_id = m.tenant_id AND e.status = 'active' \
         LEFT JOIN agent_states a ON a.tenant_id = m.tenant_id AND a.user_id = m.user_id \
         LEFT JOIN agent_states h ON h.tenant_id = m.tenant_id AND h.endpoint_id = e.id \
         WHERE m.tenant_id = ? AND m.queue_id = ?";
    let rows: Vec<MemberRow> =
        db_read!(db, |p| sqlx::query_as(SQL).bind(tenant.as_str()).bind(queue).fetch_all(p).await)?;
    let takes =
        |row: &MemberRow| row.seat.presence() == Presence::Ready && (row.registered || row.registers == 0);
    let shown = |row: MemberRow| Takes { name: row.name, is_idle: row.is_idle };
    Ok(rows.into_iter().filter(takes).map(shown).collect())
}

/// The record as the API shows it, locked.
///
/// # Errors
/// When the database is away.
pub async fn record(tx: &mut Tx, tenant: &TenantId, id: &str) -> sqlx::Result<Option<Record>> {
    store::get_locked(tx, &CALLBACKS, &Scope::tenant(tenant), id).await
}

/// Removes callbacks that were over before they are kept, tenant by tenant. Returns how many.
///
/// # Errors
/// When the database is away.
pub async fn purge(db: &Db, now_us: i64) -> sqlx::Result<u64> {
    const SQL: &str = "DELETE FROM queue_callbacks WHERE tenant_id = ? AND finished_at < ?";
    let (mut removed, before_us) = (0, now_us - limits::CALLBACKS_KEPT_US);
    for (tenant, _) in tenants::store::versions(db).await? {
        removed += db_write!(db, |p| sqlx::query(SQL)
            .bind(tenant.as_str())
            .bind(before_us)
            .execute(p)
            .await
            .map(|done| done.rows_affected()))?;
    }
    Ok(removed)
}
