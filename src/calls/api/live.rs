//! `GET /calls/live`: what living calls do now; `GET /asterisks`: which Asterisks tell of them.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::check::show_time;
use crate::api::{
    Action, Call, Doing, Field, Handler, Null, Operation, Output, Problem, Reply, Shape, rules,
};
use crate::base::ids::{Name, TenantId};
use crate::base::role::{Role, Roles};
use crate::calls::control::Control;
use crate::calls::table::State;
use crate::db::db_read;

static LEGS: Shape = Shape {
    bytes: usize::MAX,
    check: |_, _| {},
    schema: r#"{"type":"array","items":{"type":"object","additionalProperties":false,
        "required":["channel","uniqueid","endpoint","number","state","role","slot","since","answered_at","talking_since",
        "holding_since","asterisk"],"properties":{
        "channel":{"type":"string","description":"Asterisk's name of the channel."},
        "uniqueid":{"type":"string","description":"Asterisk's uniqueid."},
        "endpoint":{"type":["string","null"],"description":"The tenant's endpoint; null: a line of the carrier's."},
        "number":{"type":["string","null"],"description":"Its number."},
        "state":{"type":"string","description":"As Asterisk has it, in small letters: down, ring, ringing, up ..."},
        "role":{"enum":["caller","called","held","parked","asked","listen","whisper","barge"],
            "description":"What it is to the call."},
        "slot":{"type":["integer","null"],"description":"The slot it is parked in."},
        "since":{"type":"string","format":"date-time","description":"When it came to be."},
        "answered_at":{"type":["string","null"],"format":"date-time","description":"When it was answered, where that was seen."},
        "talking_since":{"type":["string","null"],"format":"date-time","description":"Since when it talks."},
        "holding_since":{"type":["string","null"],"format":"date-time","description":"Since when its phone holds the other side."},
        "asterisk":{"type":["string","null"],"description":"The Asterisk it is on."}}}}"#,
    example: r#"[{"channel":"PJSIP/acme-101-00000002","uniqueid":"pbx-1795346497.34","endpoint":"101","number":"101",
        "state":"up","role":"called","slot":null,"since":"2026-11-22T11:21:40Z","answered_at":"2026-11-22T11:21:44Z",
        "talking_since":"2026-11-22T11:21:44Z","holding_since":null,"asterisk":"main"}]"#,
};

static LIVE: &[Field] = &[
    Field::id("call_id", "The call; the first of several that were joined."),
    Field::maybe("linkedid", 150, "Asterisk's linkedid."),
    Field::one_of("state", State::WORDS, "What it does."),
    Field::maybe("did", 80, "The number as dialled."),
    Field::maybe("caller_number", 80, "The caller's number; null: withheld."),
    Field::maybe("caller_name", 200, "The caller's name."),
    Field::maybe("queue", 150, "The queue it waits or waited in."),
    Field::time("started_at", "When it began."),
    Field::time("answered_at", "When it was answered, where that was seen.").nullable(Null::Null),
    Field::time("talking_since", "Since when somebody talks to the caller.").nullable(Null::Null),
    Field::json("legs", &LEGS, "Its channels, in the order of their making."),
];

static ASTERISKS: &[Field] = &[
    Field::rule("name", &rules::NAME, "As the settings name it."),
    Field::flag("connected", "Whether it is connected."),
    Field::time("since", "Since when.").nullable(Null::Null),
];

/// Both; without a control they are only described.
pub(super) fn actions(control: Option<&Arc<Control>>) -> Vec<Action> {
    let mut live = Operation::new("calls.live", "GET", "/calls/live", "Read the living calls", Roles::ALL);
    live.doc = "Every living call with its channels, as Asterisks tell it over ARI, the oldest first. Of an \
                Asterisk that is not connected the calls are shown as they were known last, until it is back, or away for \
                lost_call_hours. Agents see the calls in which their own phone is, and those that are parked. With the events \
                call.* of GET /events or a socket a page keeps it up to date."
        .into();
    live.output = Output::Objects("LiveCall", LIVE);
    let mut asterisks = Operation::new(
        "asterisks.list",
        "GET",
        "/asterisks",
        "Read which Asterisks are connected",
        Roles::SUPERVISORS,
    );
    asterisks.doc = "Over ARI, to this process.".into();
    asterisks.output = Output::Objects("AsteriskConnection", ASTERISKS);
    let (one, other) = (control.cloned(), control.cloned());
    vec![
        Action {
            operation: live,
            handler: Handler::read(move |call| {
                let control = one.clone();
                Box::pin(async move { show(call, control.as_deref()).await })
            }),
        },
        Action {
            operation: asterisks,
            handler: Handler::read(move |_: &Call| -> Doing<'_, Result<Reply, Problem>> {
                let control = other.clone();
                Box::pin(async move { Ok(connections(control.as_deref())) })
            }),
        },
    ]
}

async fn show(call: &Call, control: Option<&Control>) -> Result<Reply, Problem> {
    let tenant: &TenantId = call.tenant()?;
    let own = match call.caller()?.role {
        Role::Agent => Some(own_endpoints(call).await?),
        _ => None,
    };
    let Some(control) = control else { return Ok(Reply::json(json!({ "data": [] }))) };
    let table = control.board.table();
    let mut calls = table.of_tenant(tenant);
    if let Some(own) = own {
        calls.retain(|call| {
            call.state == State::Parked || call.endpoints().any(|(_, name)| own.contains(name))
        });
    }
    let data: Vec<Value> = calls.iter().map(super::super::table::Call::show).collect();
    Ok(Reply::json(json!({ "data": data })))
}

fn connections(control: Option<&Control>) -> Reply {
    let data: Vec<Value> = control.map(Control::connections).unwrap_or_default().into_iter().map(|(name, since)| {
        json!({ "name": name, "connected": since.is_some(), "since": since.map(show_time) })
    }).collect();
    Reply::json(json!({ "data": data }))
}

/// The endpoints of the user who asks: where the agent is signed in, and where queues have the user.
pub(super) async fn own_endpoints(call: &Call) -> Result<Vec<Name>, Problem> {
    const SQL: &str = "SELECT e.name FROM endpoints e WHERE e.tenant_id = ? AND (e.id IN (SELECT s.endpoint_id FROM \
         agent_states s WHERE s.tenant_id = ? AND s.user_id = ?) OR e.id IN (SELECT COALESCE(m.seat_id, m.endpoint_id) FROM queue_members m \
         WHERE m.tenant_id = ? AND m.user_id = ?)) ORDER BY e.name";
    let Some(user) = call.caller()?.user() else { return Ok(Vec::new()) };
    let tenant = call.tenant()?;
    let names: Vec<String> = db_read!(&call.db, |p| sqlx::query_scalar(SQL)
        .bind(tenant.as_str())
        .bind(tenant.as_str())
        .bind(user.as_str())
        .bind(tenant.as_str())
        .bind(user.as_str())
        .fetch_all(p)
        .await?);
    names.iter().map(|name| Name::parse(name).map_err(Problem::internal)).collect()
}
