//! What `app_queue` asks about a queue: its settings under Asterisk's names, and its members.

use serde_json::{Value, json};

use super::api::MEMBERS;
use super::seat::{Presence, Seat};
use crate::api::store::{self as rows, Scope};
use crate::api::{Record, crud};
use crate::audit;
use crate::base::ids::{Id, IdSource, Name, TenantId, global_name};
use crate::config::limits::realtime as limits;
use crate::db::{Db, Tx, db_read};
use crate::endpoints::Row;
use crate::events::Events;
use crate::tenants::store::touch;

#[derive(sqlx::FromRow)]
struct Settings {
    name: String,
    strategy: String,
    timeout_s: i64,
    retry_s: i64,
    wrapup_s: i64,
    max_len: i64,
    service_level_s: i64,
    weight: i64,
    music_class: String,
    announce_frequency_s: i64,
    announce_position: String,
    announce_holdtime: String,
    periodic_announce: String,
    periodic_announce_frequency_s: i64,
    join_empty: String,
    leave_when_empty: String,
    ring_in_use: bool,
    autopause: String,
    callback_key: String,
}

impl Settings {
    fn row(self, tenant: &TenantId) -> Option<Row> {
        let name = Name::parse(&self.name).ok()?;
        let switch = |on: bool| if on { "yes" } else { "no" }.to_owned();
        let mut row: Row = vec![
            ("name", global_name(tenant, &name)),
            ("strategy", self.strategy),
            ("timeout", self.timeout_s.to_string()),
            ("retry", self.retry_s.to_string()),
            ("wrapuptime", self.wrapup_s.to_string()),
            ("maxlen", self.max_len.to_string()),
            ("servicelevel", self.service_level_s.to_string()),
            ("weight", self.weight.to_string()),
            ("announce_frequency", self.announce_frequency_s.to_string()),
            ("announce_position", self.announce_position),
            ("announce_holdtime", self.announce_holdtime),
            ("periodic_announce_frequency", self.periodic_announce_frequency_s.to_string()),
            ("joinempty", self.join_empty),
            ("leavewhenempty", self.leave_when_empty),
            ("ringinuse", switch(self.ring_in_use)),
            ("autopause", self.autopause),
            // Several members ring for several callers at once; without it each caller waits for the one before him.
            ("autofill", switch(true)),
            // Who answered is then known to the dialplan (MEMBERINTERFACE).
            ("setinterfacevar", switch(true)),
        ];
        // A key that this context has as an extension takes the caller out of the line, into it.
        let context = match self.callback_key.as_str() {
            "" => String::new(),
            key => format!("hookswitch-callback-{key}"),
        };
        for (column, value) in [
            ("musiconhold", self.music_class),
            ("periodic_announce", self.periodic_announce),
            ("context", context),
        ] {
            if !value.is_empty() {
                row.push((column, value));
            }
        }
        Some(row)
    }
}

/// A queue's settings; `None`: there is no such queue. One that is out of service stays there for callers who wait in it:
/// routing sends no more.
///
/// # Errors
/// When the database is away.
pub async fn row(db: &Db, tenant: &TenantId, name: &Name) -> sqlx::Result<Option<Row>> {
    const SQL: &str = "SELECT name, strategy, timeout_s, retry_s, wrapup_s, max_len, service_level_s, weight, music_class, \
         announce_frequency_s, announce_position, announce_holdtime, periodic_announce, periodic_announce_frequency_s, \
         join_empty, leave_when_empty, ring_in_use, autopause, callback_key FROM queues WHERE tenant_id = ? AND name = ?";
    let found: Option<Settings> = db_read!(db, |p| sqlx::query_as(SQL)
        .bind(tenant.as_str())
        .bind(name.as_str())
        .fetch_optional(p)
        .await)?;
    Ok(found.and_then(|settings| settings.row(tenant)))
}

/// Names of a tenant's queues behind a name, [`limits::PIECE`] at most.
///
/// # Errors
/// When the database is away.
pub async fn names_behind(db: &Db, tenant: &TenantId, after: &str) -> sqlx::Result<Vec<String>> {
    const SQL: &str = "SELECT name FROM queues WHERE tenant_id = ? AND name > ? ORDER BY name LIMIT ?";
    let most = i64::try_from(limits::PIECE).unwrap_or(i64::MAX);
    db_read!(db, |p| sqlx::query_scalar(SQL).bind(tenant.as_str()).bind(after).bind(most).fetch_all(p).await)
}

#[derive(sqlx::FromRow)]
struct Member {
    id: String,
    name: String,
    penalty: i64,
    #[sqlx(flatten)]
    seat: Seat,
}

impl Member {
    fn row(self, tenant: &TenantId, queue: &Name) -> Option<Row> {
        let (paused, reason) = match self.seat.presence() {
            Presence::LoggedOut => return None,
            Presence::Paused(reason) => ("1", reason),
            Presence::Ready => ("0", String::new()),
        };
        let endpoint = global_name(tenant, &Name::parse(&self.name).ok()?);
        Some(vec![
            ("queue_name", global_name(tenant, queue)),
            ("interface", format!("PJSIP/{endpoint}")),
            // What the queue's log says of who answered.
            ("membername", endpoint),
            ("penalty", self.penalty.to_string()),
            ("paused", paused.to_owned()),
            // Asterisk keeps it as text and gives it back when it writes.
            // A phone is not looked at again while that stays the same.
            (
                "uniqueid",
                match &self.seat.seat_id {
                    Some(seat) => format!("{}-{seat}", self.id),
                    None => self.id,
                },
            ),
            ("reason_paused", reason),
        ])
    }
}

/// The members of a queue whose endpoints are active and whose agents are not logged out, in the order in which they became
/// members.
///
/// # Errors
/// When the database is away.
pub async fn members(db: &Db, tenant: &TenantId, queue: &Name) -> sqlx::Result<Vec<Row>> {
    // By the queue's id: by the tenant both databases would look through the members of all its queues.
    const SQL: &str = "SELECT m.id, e.name, m.penalty, m.paused, m.pause_reason, a.seat_state AS state, \
         a.seat_reason AS reason, m.seat_id FROM queue_members m \
         JOIN endpoints e ON e.id = COALESCE(m.seat_id, m.endpoint_id) AND e.tenant_id = m.tenant_id AND e.status = 'active' \
         LEFT JOIN agent_states a ON a.tenant_id = m.tenant_id AND a.user_id = m.user_id \
         WHERE m.queue_id = (SELECT q.id FROM queues q WHERE q.tenant_id = ? AND q.name = ?) ORDER BY m.created_at, m.id";
    let found: Vec<Member> =
        db_read!(db, |p| sqlx::query_as(SQL).bind(tenant.as_str()).bind(queue.as_str()).fetch_all(p).await)?;
    Ok(found.into_iter().filter_map(|member| member.row(tenant, queue)).collect())
}

/// The member that Asterisk means by the `uniqueid` of its row.
pub fn member_of(uniqueid: &str) -> Option<Id> {
    Id::parse(uniqueid.split('-').next()?).ok()
}

/// Whose a member is.
///
/// # Errors
/// When the database is away.
pub async fn owner(db: &Db, member: &Id) -> sqlx::Result<Option<TenantId>> {
    const SQL: &str = "SELECT tenant_id FROM queue_members WHERE id = ?";
    let found: Option<String> =
        db_read!(db, |p| sqlx::query_scalar(SQL).bind(member.as_str()).fetch_optional(p).await)?;
    Ok(found.and_then(|id| TenantId::parse(&id).ok()))
}

/// What Asterisk writes of a member: that it was paused, or is no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paused {
    /// Whether.
    pub paused: Option<bool>,
    /// Why.
    pub reason: Option<String>,
    /// Its penalty.
    pub penalty: Option<i64>,
}

/// Writes what Asterisk says of a member, on record and with its event. Returns whether there is such a member.
///
/// # Errors
/// When the database is away.
pub async fn told(
    db: &Db,
    (ids, events): (&IdSource, &Events),
    when: (&TenantId, i64),
    member: &Id,
    told: Paused,
) -> sqlx::Result<bool> {
    let mut tx = db.begin().await?;
    let Some(position) = write(&mut tx, (ids, events), when, member, told).await? else { return Ok(false) };
    tx.commit().await?;
    if let Some(position) = position {
        events.news.tell(when.0, position);
    }
    Ok(true)
}

/// As [`told`], as a part of a transaction: how far the tenant's events go then, where there is a new one; `None`: there is
/// no such member.
///
/// # Errors
/// When the database is away.
pub async fn write(
    tx: &mut Tx,
    (ids, events): (&IdSource, &Events),
    when: (&TenantId, i64),
    member: &Id,
    told: Paused,
) -> sqlx::Result<Option<Option<i64>>> {
    let (scope, id) = (Scope::tenant(when.0), member.as_str());
    let Some(before) = rows::get_locked(tx, &MEMBERS, &scope, id).await? else { return Ok(None) };
    let mut given = Record::new();
    if let Some(paused) = told.paused {
        given.insert("paused".into(), json!(paused));
    }
    if let Some(reason) = told.reason {
        given.insert("pause_reason".into(), if reason.is_empty() { Value::Null } else { json!(reason) });
    }
    if let Some(penalty) = told.penalty {
        given.insert("penalty".into(), json!(penalty));
    }
    // What Asterisk was told by us it tells us again.
    given.retain(|name, value| before.get(name) != Some(value));
    if given.is_empty() {
        return Ok(Some(None));
    }
    rows::update(tx, &MEMBERS, &scope, id, &given, when.1).await?;
    let after = rows::get_locked(tx, &MEMBERS, &scope, id).await?.unwrap_or_default();
    let line = crud::line(&MEMBERS, "update", id.to_owned(), before, after);
    audit::append_system(tx, ids, when, &line).await?;
    let position = events.write(tx, ids, when, &[line]).await?;
    touch(tx, when.0).await?;
    Ok(Some(position))
}
