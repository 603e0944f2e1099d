//! `GET /queues/{id}/live`: who waits, who talks, what members do.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::QUEUES;
use crate::api::check::show_time;
use crate::api::{
    Action, Call, Doing, Field, Handler, Operation, Output, Problem, Reply, Shape, crud, rules, store,
};
use crate::base::ids::{Id, TenantId};
use crate::base::role::Roles;
use crate::config::limits::queues as limits;
use crate::db::{Db, db_read};
use crate::queues::live::LiveQueues;
use crate::queues::seat::{Presence, Seat};
use crate::queues::state::{Line, State};
use crate::queues::visit::Visit;

static WAITING: Shape = Shape {
    bytes: usize::MAX,
    check: |_, _| {},
    schema: r#"{"type":"array","items":{"type":"object","additionalProperties":false,
        "required":["position","uniqueid","caller_number","joined_at","wait_ms"],"properties":{
        "position":{"type":"integer","minimum":1,"description":"The place in the line."},
        "uniqueid":{"type":"string","description":"Asterisk's uniqueid of the caller's channel."},
        "caller_number":{"type":["string","null"],"description":"The caller's number; null: withheld."},
        "joined_at":{"type":"string","format":"date-time","description":"Since when."},
        "wait_ms":{"type":"integer","minimum":0,"description":"For how long, in milliseconds."}}}}"#,
    example: r#"[{"position":1,"uniqueid":"pbx-1795346497.33","caller_number":"+15557770001",
        "joined_at":"2026-11-22T11:21:37.537288Z","wait_ms":7200}]"#,
};

static TALKING: Shape = Shape {
    bytes: usize::MAX,
    check: |_, _| {},
    schema: r#"{"type":"array","items":{"type":"object","additionalProperties":false,
        "required":["agent","uniqueid","caller_number","since","wait_ms","talk_ms"],"properties":{
        "agent":{"type":"string","description":"The endpoint that answered."},
        "uniqueid":{"type":["string","null"],"description":"Asterisk's uniqueid of the caller's channel."},
        "caller_number":{"type":["string","null"],"description":"The caller's number; null: withheld."},
        "since":{"type":"string","format":"date-time","description":"Since when."},
        "wait_ms":{"type":"integer","minimum":0,"description":"How long the caller had waited, in milliseconds."},
        "talk_ms":{"type":"integer","minimum":0,"description":"For how long they talk, in milliseconds."}}}}"#,
    example: r#"[{"agent":"101","uniqueid":"pbx-1795346497.33","caller_number":"+15557770001",
        "since":"2026-11-22T11:21:44Z","wait_ms":7200,"talk_ms":61000}]"#,
};

static MEMBERS: Shape = Shape {
    bytes: usize::MAX,
    check: |_, _| {},
    schema: r#"{"type":"array","items":{"type":"object","additionalProperties":false,
        "required":["id","endpoint_id","name","user_id","state","since","until","queue","paused","pause_reason"],
        "properties":{
        "id":{"type":"string","description":"The member."},
        "endpoint_id":{"type":"string","description":"Its endpoint."},
        "name":{"type":"string","description":"The endpoint's name."},
        "user_id":{"type":["string","null"],"description":"The user at it."},
        "state":{"enum":["talking","wrapup","paused","offline","idle"],
            "description":"Talks with a caller of a queue; rests after a talk; is left out; is logged out; none of these."},
        "since":{"type":["string","null"],"format":"date-time","description":"Since when, where that is known."},
        "until":{"type":["string","null"],"format":"date-time","description":"When the rest ends."},
        "queue":{"type":["string","null"],"description":"Whose caller is talked with: this queue's or another's."},
        "paused":{"type":"boolean","description":"Whether it is left out: one may still talk."},
        "pause_reason":{"type":["string","null"],"description":"Why."}}}}"#,
    example: r#"[{"id":"01kb2x8v9q3d5s7f1g4h6j8k0m","endpoint_id":"01kb2x8v9q3d5s7f1g4h6j8k0m","name":"101",
        "user_id":null,"state":"talking","since":"2026-11-22T11:21:44Z","until":null,"queue":"support","paused":false,
        "pause_reason":null}]"#,
};

static LIVE: &[Field] = &[
    Field::id("queue_id", "The queue."),
    Field::rule("queue", &rules::NAME, "Its name."),
    Field::time("at", "The moment that is shown."),
    Field::int("waiting_count", 0, i64::MAX, "Callers who wait."),
    Field::int("talking_count", 0, i64::MAX, "Callers who talk with a member."),
    Field::json("waiting", &WAITING, "Who waits, in the order of the line; the first 500."),
    Field::json("talking", &TALKING, "Who talks with whom, the longest first; 500 of them."),
    Field::json("members", &MEMBERS, "What its members do, by name."),
];

pub(super) fn action(live: &Arc<LiveQueues>) -> Action {
    let live = Arc::clone(live);
    Action {
        operation: Operation {
            doc: "As Asterisk's queue_log has it, some hundred milliseconds after it happens, so Asterisk must write that to \
                  the service (asterisk/README.md). A caller of whom nothing more is heard is taken for gone after \
                  `routing.lost_call_hours`. Whether a phone rings Asterisk does not say. Agents see who waits and what \
                  members do, and of callers who talk only their own."
                .into(),
            output: Output::Object("QueueLive", LIVE, 200),
            ..Operation::new(
                "queues.live",
                "GET",
                "/queues/{id}/live",
                "See who waits in a queue and what its members do",
                Roles::ALL,
            )
        },
        handler: Handler::read(move |call| show(Arc::clone(&live), call)),
    }
}

#[derive(sqlx::FromRow)]
struct Member {
    id: String,
    endpoint_id: String,
    name: String,
    user_id: Option<String>,
    #[sqlx(flatten)]
    seat: Seat,
    updated_at: i64,
    /// When the agent's state began.
    state_since: Option<i64>,
    /// When the agent's rest after a call ends.
    wrapup_until: Option<i64>,
}

async fn members(db: &Db, tenant: &TenantId, queue: &str) -> sqlx::Result<Vec<Member>> {
    const SQL: &str = "SELECT m.id, e.id AS endpoint_id, e.name, m.user_id, m.paused, m.pause_reason, m.updated_at, \
         a.seat_state AS state, a.seat_reason AS reason, m.seat_id, a.since AS state_since, a.wrapup_until FROM queue_members m \
         JOIN endpoints e ON e.id = COALESCE(NULLIF(m.seat_id, ''), m.endpoint_id) AND e.tenant_id = m.tenant_id \
         LEFT JOIN agent_states a ON a.tenant_id = m.tenant_id AND a.user_id = m.user_id \
         WHERE m.tenant_id = ? AND m.queue_id = ? ORDER BY e.name";
    db_read!(db, |p| sqlx::query_as(SQL).bind(tenant.as_str()).bind(queue).fetch_all(p).await)
}

/// Names of the endpoints at which a user answers queues' calls.
///
/// # Errors
/// When the database is away.
pub(super) async fn own_names(
    db: &Db,
    tenant: &TenantId,
    user: Option<&Id>,
) -> sqlx::Result<HashSet<String>> {
    const SQL: &str = "SELECT e.name FROM queue_members m JOIN endpoints e \
         ON e.id = COALESCE(NULLIF(m.seat_id, ''), m.endpoint_id) AND e.tenant_id = m.tenant_id \
         WHERE m.tenant_id = ? AND m.user_id = ?";
    let Some(user) = user else { return Ok(HashSet::new()) };
    let names: Vec<String> = db_read!(db, |p| sqlx::query_scalar(SQL)
        .bind(tenant.as_str())
        .bind(user.as_str())
        .fetch_all(p)
        .await)?;
    Ok(names.into_iter().collect())
}

fn show(live: Arc<LiveQueues>, call: &Call) -> Doing<'_, Result<Reply, Problem>> {
    Box::pin(async move {
        let (tenant, caller, now_us) = (call.tenant()?, call.caller()?, call.now_us());
        let found = store::get(&call.db, &QUEUES, &store::Scope::tenant(tenant), call.part(crud::ID)).await?;
        let found = found.ok_or_else(|| Problem::not_found(QUEUES.one))?;
        let text = |name: &str| found.get(name).and_then(Value::as_str).unwrap_or_default();
        let (id, name) = (text("id"), text("name"));
        let rest_us = 1_000_000 * found.get("wrapup_s").and_then(Value::as_i64).unwrap_or_default();
        let own = match Roles::ONLY_AGENTS.has(caller.role) {
            true => Some(own_names(&call.db, tenant, caller.user()).await?),
            false => None,
        };
        let members = members(&call.db, tenant, id).await?;
        let see = |state: &State| {
            let line = state.line(name);
            let (talks, ends) = (state.talks(), state.ends(name));
            let members: Vec<Value> = members
                .iter()
                .map(|member| {
                    let rests_from = ends.get(&member.name).filter(|at| now_us - **at < rest_us);
                    let rest = rests_from.map(|at| (*at, *at + rest_us));
                    let pause = state.pause(name, &member.name).map(|pause| pause.since_us);
                    shown_member(member, talks.get(&member.name), rest, pause)
                })
                .collect();
            (line, members)
        };
        let (line, members) = live.look(&call.db, (tenant, now_us), see).await?;
        let mut shown = json!({"queue_id": id, "queue": name, "at": show_time(now_us), "members": members});
        shown_line(&mut shown, &line, now_us, own.as_ref());
        Ok(Reply::json(shown))
    })
}

fn shown_member(
    member: &Member,
    talk: Option<&Visit>,
    rest: Option<(i64, i64)>,
    paused_us: Option<i64>,
) -> Value {
    let presence = member.seat.presence();
    let (state, since, until) = match (talk, &presence, rest) {
        (Some(talk), ..) => ("talking", talk.answered_us(), None),
        (_, Presence::LoggedOut, _) => ("offline", member.state_since, None),
        // The log may not know of a pause that somebody made over REST.
        (_, Presence::Paused(_), _) if member.seat.paused => {
            ("paused", Some(paused_us.unwrap_or(member.updated_at)), None)
        }
        (_, Presence::Paused(_), _) if member.wrapup_until.is_some() => {
            ("wrapup", member.state_since, member.wrapup_until)
        }
        (_, Presence::Paused(_), _) => ("paused", member.state_since, None),
        (_, Presence::Ready, Some((since, until))) => ("wrapup", Some(since), Some(until)),
        _ => ("idle", None, None),
    };
    let (paused, why) = match presence {
        Presence::Paused(why) => (true, why),
        Presence::LoggedOut | Presence::Ready => (false, String::new()),
    };
    json!({
        "id": member.id, "endpoint_id": member.endpoint_id, "name": member.name, "user_id": member.user_id,
        "state": state, "since": since.map(show_time), "until": until.map(show_time),
        "queue": talk.map(|talk| &talk.queue), "paused": paused,
        "pause_reason": Some(why).filter(|why| !why.is_empty()),
    })
}

fn shown_line(shown: &mut Value, line: &Line, now_us: i64, own: Option<&HashSet<String>>) {
    let ms = |us: i64| us.max(0) / 1_000;
    let number = |visit: &Visit| Some(visit.number.clone()).filter(|number| !number.is_empty());
    let waiting = line.waiting.iter().take(limits::LIVE_SHOWN).enumerate().map(|(n, visit)| {
        json!({"position": n + 1, "uniqueid": visit.call, "caller_number": number(visit),
               "joined_at": show_time(visit.entered_us()), "wait_ms": ms(now_us - visit.entered_us())})
    });
    let talking = line.talking.iter().take(limits::LIVE_SHOWN).map(|visit| {
        let since = visit.answered_us().unwrap_or(now_us);
        let sees = own.is_none_or(|own| own.contains(&visit.agent));
        json!({"agent": visit.agent, "uniqueid": sees.then_some(&visit.call),
               "caller_number": number(visit).filter(|_| sees), "since": show_time(since),
               "wait_ms": ms(visit.wait_us().unwrap_or_default()), "talk_ms": ms(now_us - since)})
    });
    (shown["waiting"], shown["talking"]) = (waiting.collect(), talking.collect());
    shown["waiting_count"] = line.waiting.len().into();
    shown["talking_count"] = line.talking.len().into();
}
