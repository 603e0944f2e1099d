//! Deliveries are sent once more, tested, and looked at.

use serde_json::{Map, Value, json};

use super::{DELIVERIES, Tools, WEBHOOKS};
use crate::api::check::read_time;
use crate::api::store::{self as rows, Scope};
use crate::api::{
    Action, Audited, Body, Call, Field, Handler, Input, Null, Operation, Output, Problem, Record, Reply, crud,
};
use crate::base::ids::Id;
use crate::base::role::Roles;
use crate::db::{Tx, db_read, db_tx};
use crate::events::api::ENVELOPE;
use crate::events::{Draft, outbox};
use crate::webhooks::store::{self, Past, Range};
use crate::webhooks::{Cause, endpoint};

static RANGE: &[Field] = &[
    Field::time("since", "Events from this moment on; null: all that are kept.").nullable(Null::Null),
    Field::time("until", "Events before this moment; null: until now.").nullable(Null::Null),
    Field::flag("failed_only", "Only what failed, was cancelled or missed and has not been delivered since; else everything the endpoint wants.")
        .default("true"),
];
static COUNT: &[Field] = &[Field::int("deliveries", 0, i64::MAX, "How many were made.")];

const TOO_OLD: (u16, &str, &str) = (410, "event-gone", "The event is not kept any more.");
const DISABLED: (u16, &str, &str) =
    (409, "webhook-disabled", "The endpoint is disabled; make it active first.");

/// The operations.
pub(super) fn actions(tools: &Tools) -> Vec<Action> {
    let tools = tools.clone();
    let base = |id, method, path, summary| Operation::new(id, method, path, summary, Roles::ADMINS);
    vec![
        Action {
            operation: Operation {
                doc: "Sends an event of type `webhook.test` to this endpoint, whatever it wants. GET the delivery to see what \
                      became of it."
                    .into(),
                output: Output::Record(&DELIVERIES, 201),
                problems: &[DISABLED],
                ..base("webhooks.test", "POST", "/webhooks/{webhook_id}/test", "Test a webhook")
            },
            handler: Handler::write(|call, tx| Box::pin(test(call, tx))),
        },
        Action {
            operation: Operation {
                doc: "Makes a new delivery of the same event, with the same `webhook-id`.".into(),
                output: Output::Record(&DELIVERIES, 201),
                problems: &[TOO_OLD, DISABLED],
                ..base(
                    "webhook-deliveries.resend",
                    "POST",
                    "/webhooks/{webhook_id}/deliveries/{id}/resend",
                    "Send a delivery again",
                )
            },
            handler: Handler::write(|call, tx| Box::pin(resend(call, tx))),
        },
        Action {
            operation: Operation {
                doc: "Sends again what failed, was cancelled, or was behind when the endpoint was disabled; or everything of a stretch of \
                      time that it is not behind on. 10,000 at most in one go, the oldest first."
                    .into(),
                input: Input::New(RANGE, &[]),
                output: Output::Object("RecoverCount", COUNT, 202),
                problems: &[DISABLED],
                ..base("webhooks.recover", "POST", "/webhooks/{webhook_id}/recover", "Send again what failed, or a range")
            },
            handler: Handler::write(|call, tx| Box::pin(recover(call, tx))),
        },
        Action {
            operation: Operation {
                doc: "Byte for byte what is signed and sent.".into(),
                output: Output::Object("Event", &ENVELOPE, 200),
                problems: &[TOO_OLD],
                ..base(
                    "webhook-deliveries.payload",
                    "GET",
                    "/webhooks/{webhook_id}/deliveries/{id}/payload",
                    "Read a delivery's body",
                )
            },
            handler: Handler::read(move |call| {
                let tools = tools.clone();
                Box::pin(async move { payload(call, &tools).await })
            }),
        },
    ]
}

/// What is wished of the path's endpoint.
async fn wish(call: &Call, tx: &mut Tx) -> Result<endpoint::Wish, Problem> {
    let (tenant, id) = (call.tenant()?, call.part("webhook_id"));
    if rows::get_locked(tx, &WEBHOOKS, &Scope::tenant(tenant), id).await?.is_none() {
        return Err(Problem::not_found(WEBHOOKS.one));
    }
    let wish = endpoint::wish_of(tx, tenant, id).await?;
    wish.ok_or_else(|| Problem::conflict(DISABLED.1, DISABLED.2))
}

/// A new delivery as an answer, on record.
async fn made(
    call: &Call,
    tx: &mut Tx,
    wish: &endpoint::Wish,
    event: Past,
    cause: Cause,
) -> Result<Reply, Problem> {
    let tenant = call.tenant()?;
    let made = store::once_more(tx, &call.ids, (tenant, wish), (&[event], cause), call.now_us()).await?;
    let id = made.first().map(ToString::to_string).unwrap_or_default();
    let after = rows::get_locked(tx, &DELIVERIES, &Scope::tenant(tenant), &id).await?.unwrap_or_default();
    let place = format!("/api/v1/webhooks/{}/deliveries/{id}", wish.id);
    let line = crud::line(&DELIVERIES, cause.as_str(), id, Record::new(), after.clone());
    let mut reply = Reply::created(after, place).audited(line);
    reply.nudged.extend(Id::parse(&wish.id));
    Ok(reply)
}

async fn test(call: &Call, tx: &mut Tx) -> Result<Reply, Problem> {
    let tenant = call.tenant()?;
    let wish = wish(call, tx).await?;
    let draft = Draft {
        kind: "webhook.test".into(),
        key: format!("webhook:{}", wish.id),
        at_us: call.now_us(),
        owners: None,
        data: Map::from_iter([("webhook_id".to_owned(), json!(wish.id))]),
    };
    let position = outbox::append(tx, &call.ids, (tenant, call.now_us()), &[draft]).await?;
    let event = outbox::after_in(tx, tenant, position - 1, 1).await?.pop();
    let event = event.ok_or_else(|| Problem::internal("an event just written is not there"))?;
    made(call, tx, &wish, (position, event.id, event.kind, event.key), Cause::Test).await
}

async fn resend(call: &Call, tx: &mut Tx) -> Result<Reply, Problem> {
    const FIND: &str = "SELECT e.position, e.id, e.kind, e.event_key FROM webhook_deliveries d \
         JOIN events e ON e.tenant_id = d.tenant_id AND e.position = d.event_position \
         WHERE d.tenant_id = ? AND d.webhook_id = ? AND d.id = ?";
    const KNOWN: &str =
        "SELECT COUNT(*) FROM webhook_deliveries WHERE tenant_id = ? AND webhook_id = ? AND id = ?";
    let tenant = call.tenant()?.as_str();
    let wish = wish(call, tx).await?;
    let known: i64 = db_tx!(&mut *tx, |c| sqlx::query_scalar(KNOWN)
        .bind(tenant)
        .bind(&wish.id)
        .bind(call.part(crud::ID))
        .fetch_one(c)
        .await)?;
    if known == 0 {
        return Err(Problem::not_found(DELIVERIES.one));
    }
    let event: Option<Past> = db_tx!(&mut *tx, |c| sqlx::query_as(FIND)
        .bind(tenant)
        .bind(&wish.id)
        .bind(call.part(crud::ID))
        .fetch_optional(c)
        .await)?;
    let event = event.ok_or_else(|| Problem::new(TOO_OLD.0, TOO_OLD.1, TOO_OLD.2))?;
    made(call, tx, &wish, event, Cause::Resend).await
}

async fn recover(call: &Call, tx: &mut Tx) -> Result<Reply, Problem> {
    let tenant = call.tenant()?;
    let wish = wish(call, tx).await?;
    let time = |name: &str| call.body.get(name).and_then(Value::as_str).and_then(read_time);
    let range = Range {
        since_us: time("since").unwrap_or(0),
        until_us: time("until").unwrap_or_else(|| call.now_us() + 1),
        failed_only: call.body.get("failed_only").and_then(Value::as_bool).unwrap_or(true),
    };
    let count = store::again(tx, &call.ids, (tenant, &wish), range, call.now_us()).await?;
    let after = Map::from_iter([("deliveries".to_owned(), json!(count))]);
    let mut reply = Reply::json(json!({"deliveries": count}));
    reply.status = 202;
    reply.nudged.extend(Id::parse(&wish.id));
    Ok(reply.audited(Audited {
        action: "webhooks.recover".into(),
        object_type: WEBHOOKS.name.into(),
        object_id: wish.id,
        before: Record::new(),
        after,
    }))
}

async fn payload(call: &Call, tools: &Tools) -> Result<Reply, Problem> {
    const FIND: &str = "SELECT event_position, event_type FROM webhook_deliveries \
         WHERE tenant_id = ? AND webhook_id = ? AND id = ?";
    let tenant = call.tenant()?;
    crud::scope(call, &DELIVERIES).await?;
    let found: Option<(i64, String)> = db_read!(&call.db, |p| sqlx::query_as(FIND)
        .bind(tenant.as_str())
        .bind(call.part("webhook_id"))
        .bind(call.part(crud::ID))
        .fetch_optional(p)
        .await)?;
    let (position, kind) = found.ok_or_else(|| Problem::not_found(DELIVERIES.one))?;
    tools.readable(call, &[&kind])?;
    let body = store::payload(&call.db, tenant, position).await?;
    let body = body.ok_or_else(|| Problem::new(TOO_OLD.0, TOO_OLD.1, TOO_OLD.2))?;
    let mut reply = Reply::empty();
    (reply.status, reply.body) = (200, Body::Bytes("application/json".into(), None, body.bytes));
    Ok(reply)
}
