//! `/queues/{queue_id}/callbacks`: who asked to be called back, in the order of the line.

use std::sync::Arc;

use serde_json::{Value, json};

use super::QUEUES;
use crate::api::check::read_time;
use crate::api::store::{self, Scope};
use crate::api::{
    Action, Call, Doing, Field, Handler, Input, May, Null, Operation, Output, Parent, Problem, Record, Reply,
    Resource, Tells, crud, rules,
};
use crate::base::ids::{Number, TenantId};
use crate::base::role::Roles;
use crate::calls::fit;
use crate::config::limits::{queues as limits, routing};
use crate::db::Tx;
use crate::events::{Data, Draft, Kind};
use crate::queues::callback::CallbackState;
use crate::queues::callback_store::{self as rows, Asked, New, Step};
use crate::routing::Router;

const NUMBER: Field = Field::rule("number", &rules::NUMBER, "Who is called.");
const NAME: Field = Field::maybe("name", routing::TEXT_CHARS, "The caller's name.").example("\"Nina\"");
const NOT_BEFORE: Field =
    Field::time("not_before", "Not to be called before; null: as soon as it is their turn.")
        .nullable(Null::Zero);

/// `/queues/{queue_id}/callbacks`
pub static CALLBACKS: Resource = Resource {
    name: "queues.callbacks",
    one: "callback",
    path: "/queues/{queue_id}/callbacks",
    doc: "Callers who left the line and keep their place in it, in the order of the line. One is called when nobody who joined \
          before still waits and a member is free, or, where somebody waits behind, would be next. Who answers stands in \
          front of the line, behind those who joined before and were called back too.",
    table: "queue_callbacks",
    parent: Some(Parent { column: "queue_id", of: &QUEUES }),
    may: May::only_read(Roles::ALL),
    order: "place_at",
    fields: &[
        Field::id("queue_id", "The queue.").server(),
        Field::rule("queue", &rules::NAME, "Its name.").server(),
        NUMBER.server().filter(),
        NAME.server(),
        Field::one_of("state", CallbackState::WORDS, "What has become of it.").server().filter(),
        Field::one_of("asked_by", &["keypad", "api"], "How it was asked for.").server().filter(),
        Field::rule("did", &rules::NUMBER, "The number that the caller had called; null: none.")
            .nullable(Null::Empty)
            .server(),
        Field::id("call_id", "The call in which it was asked for; null: none.")
            .nullable(Null::Empty)
            .server(),
        Field::time("place_at", "When the caller joined the line.").server().sort().filter(),
        NOT_BEFORE.server(),
        Field::time("expires_at", "When it is given up.").server(),
        Field::int(
            "attempts",
            0,
            i64::MAX,
            "How often the phone was called, but for calls in which the caller asked to be called once more.",
        )
        .server(),
        Field::id("called_call_id", "The call that it became; null: none.").nullable(Null::Empty).server(),
        Field::maybe("last_error", limits::CALLBACK_ERROR_CHARACTERS, "What went wrong last.").server(),
        Field::time("finished_at", "When it was over.").nullable(Null::Null).server(),
    ],
    tells: Tells::NOTHING,
    ..Resource::PLAIN
};

static NEW: [Field; 3] = [NUMBER, NAME, NOT_BEFORE];

/// The types of events about callbacks.
pub fn kinds() -> Vec<Kind> {
    let kind = |name: &'static str, doc: &'static str| Kind {
        name: name.into(),
        doc: doc.into(),
        key: "queue:<queue_id>".into(),
        data: Data::Record(&CALLBACKS),
        readers: CALLBACKS.may.read,
        own: None,
        chapter: "queues".into(),
    };
    vec![
        kind("queue.callback_requested", "Somebody is to be called back."),
        kind("queue.callback_dialled", "The phone of somebody who is to be called back is being called."),
        kind("queue.callback_done", "Somebody who was called back talks to a member."),
        kind(
            "queue.callback_failed",
            "Somebody is not called back any more: nobody answered as often as it is tried, the caller hung up before a member \
             came, it expired, or it was taken back (state).",
        ),
    ]
}

pub(super) fn actions(router: Option<&Arc<Router>>) -> [Action; 2] {
    let router = router.map(Arc::clone);
    [
        Action {
            operation: Operation {
                id: "queues.callbacks.create".into(),
                doc: "Whoever asks gets the last place in the line. A number that has an open callback in this queue keeps it. \
                      It is called by a node of the service that is connected to an Asterisk over ARI; until then it waits."
                    .into(),
                input: Input::New(&NEW, &[]),
                output: Output::Record(&CALLBACKS, 201),
                problems: &[
                    (409, "queue-inactive", "The queue takes no callers."),
                    (409, "limit-reached", "The queue has as many open callbacks as it may have."),
                ],
                again: "The number has an open callback in this queue: this one.",
                ..Operation::new("", "POST", CALLBACKS.path, "Ask for a callback", Roles::AGENTS)
            },
            handler: Handler::write(move |call, tx| create(call, tx, router.clone())),
        },
        Action {
            operation: Operation {
                id: "queues.callbacks.delete".into(),
                doc: "It stays in the list, with state cancelled.".into(),
                problems: &[(409, "not-waiting", "It is being called, or over.")],
                ..Operation::new(
                    "",
                    "DELETE",
                    "/queues/{queue_id}/callbacks/{id}",
                    "Take a callback back",
                    Roles::AGENTS,
                )
            },
            handler: Handler::write(cancel),
        },
    ]
}

fn reply(mut reply: Reply, verb: &str, draft: Draft, (before, after): (Record, Record)) -> Reply {
    let id = draft.data.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    reply.tells.push(draft);
    reply.audited(crud::line(&CALLBACKS, verb, id, before, after))
}

async fn may_call(router: Option<&Arc<Router>>, tenant: &TenantId, number: &Number) -> Result<(), Problem> {
    let Some(router) = router else { return Ok(()) };
    match router.denies(tenant, number).await {
        Some(why) => {
            Err(Problem::invalid_field("number", format!("The tenant may not call this number ({why}).")))
        }
        None => Ok(()),
    }
}

fn create<'a>(
    call: &'a Call,
    tx: &'a mut Tx,
    router: Option<Arc<Router>>,
) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let (tenant, now_us) = (call.tenant()?, call.now_us());
        let number = Number::parse(call.text("number"))
            .map_err(|error| Problem::invalid_field("number", error.to_string()))?;
        let not_before_us =
            call.body.get("not_before").and_then(Value::as_str).and_then(read_time).unwrap_or(0);
        if not_before_us > now_us + limits::CALLBACK_AHEAD_US {
            return Err(Problem::invalid_field("not_before", "This is more than 30 days ahead."));
        }
        let queue_id = call.part("queue_id");
        let queue = store::get(&call.db, &QUEUES, &Scope::tenant(tenant), queue_id).await?;
        let queue = queue.ok_or_else(|| Problem::not_found(QUEUES.one))?;
        let text = |name: &str| queue.get(name).and_then(Value::as_str).unwrap_or_default();
        may_call(router.as_ref(), tenant, &number).await?;
        if text("status") != "active" {
            return Err(Problem::conflict("queue-inactive", "The queue is out of service."));
        }
        let (id, name) = (call.ids.next(), fit(call.text("name"), routing::TEXT_CHARS));
        let new = New {
            id: &id,
            queue: (queue_id, text("name")),
            number: &number,
            name: &name,
            asked_by: "api",
            did: "",
            call: "",
            place_us: now_us,
            not_before_us,
        };
        let expires_s = queue.get("callback_expires_s").and_then(Value::as_i64).unwrap_or_default();
        match rows::ask(tx, (tenant, now_us), new, expires_s).await? {
            Asked::New(id, draft) => {
                let record = draft.data.clone();
                let place = CALLBACKS.path.replace("{queue_id}", queue_id);
                let created = Reply::created(record.clone(), format!("/api/v1{place}/{id}"));
                Ok(reply(created, "create", draft, (Record::new(), record)))
            }
            Asked::Open(id) => {
                let record = rows::record(tx, tenant, id.as_str()).await?;
                let record = record.ok_or_else(|| Problem::not_found(CALLBACKS.one))?;
                Ok(Reply { unchanged: true, ..Reply::record(record) })
            }
            Asked::Full => Err(Problem::conflict(
                "limit-reached",
                format!("The queue has {} open callbacks already.", limits::CALLBACKS),
            )),
        }
    })
}

fn cancel<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let (tenant, now_us) = (call.tenant()?, call.now_us());
        let scope = crud::scope(call, &CALLBACKS).await?;
        let before = crud::current(call, tx, &CALLBACKS, &scope).await?;
        let step = Step::new(CallbackState::Waiting, CallbackState::Cancelled);
        match rows::step(tx, (tenant, now_us), call.part(crud::ID), step).await? {
            Some(Some(draft)) => {
                let after = draft.data.clone();
                Ok(reply(Reply::empty(), "delete", draft, (before, after)))
            }
            _ => {
                let state = before.get("state").cloned().unwrap_or_else(|| json!(""));
                Err(Problem::conflict(
                    "not-waiting",
                    format!("Its state is {state}: it can't be taken back."),
                ))
            }
        }
    })
}
