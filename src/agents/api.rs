//! Agents' states and open sockets as collections. An agent changes only the own state; supervisors any.

use serde_json::{Value, json};

use super::AgentStatus;
use crate::api::{
    Action, Audited, Call, Change, Doing, Field, Handler, Hooks, Input, May, Null, Operation, Output,
    Problem, Record, Reply, Resource, Tells, Verb, Who, check, crud, rules, store,
};
use crate::base::ids::{Id, TenantId};
use crate::base::role::{Role, Roles};
use crate::config::limits::agents as limits;
use crate::db::{Tx, db_read, db_tx};
use crate::endpoints::ENDPOINT;
use crate::users::MEMBER;

/// `/agents`
pub static AGENTS: Resource = Resource {
    name: "agents",
    one: "agent",
    path: "/agents",
    doc: "What agents do: available, busy, away ... A user has a state once it was set: with POST /agents, or with \
          PATCH /agents/me for the own one. Queues in which the user is a member follow it with Asterisk's next question: \
          away, break and dnd are a pause, offline logs out.",
    table: "agent_states",
    index: "agent_states_created",
    may: May { read: Roles::ALL, create: Roles::AGENTS, update: Roles::AGENTS, remove: Roles::SUPERVISORS },
    fields: &[
        Field::to("user_id", &MEMBER, "The user; one state each.").once().filter(),
        STATE,
        REASON,
        Field::time("since", "Since when the agent is in this state.").server().sort(),
        PHONE,
        Field::rule("extension", &rules::NAME, "The phone's extension.")
            .nullable(Null::Empty)
            .server()
            .filter(),
        Field::id("call_id", "The call that is talked on.").nullable(Null::Empty).server(),
        CALLS,
        Field::metadata(),
    ],
    hooks: Hooks { before: Some(before), after: Some(after) },
    tells: Tells {
        kinds: &[("agent.state_changed", "An agent is in another state.")],
        which: Some(tells),
        ..Tells::USUAL
    },
    ..Resource::PLAIN
};

const STATE: Field =
    Field::one_of("state", AgentStatus::WORDS, "What the agent does.").default("\"available\"").filter();
const REASON: Field = Field::maybe("reason", 80, "Why, in the agent's words.").example("\"lunch\"");
const PHONE: Field = Field::to("endpoint_id", &ENDPOINT, "The phone.").nullable(Null::Null).filter();
const CALLS: Field =
    Field::int("max_calls", 1, limits::CALLS, "Calls at the same time at most.").default("1");

static MINE: &[Field] = &[STATE, REASON, PHONE, CALLS, Field::metadata()];

/// `/websocket-sessions`
pub static SOCKETS: Resource = Resource {
    name: "websocket-sessions",
    one: "socket",
    path: "/websocket-sessions",
    doc: "Sockets that users and keys hold or held open. ?disconnected_at=null lists the open ones.",
    table: "websocket_sessions",
    may: May::only_read(Roles::SUPERVISORS),
    order: "-connected_at",
    fields: &[
        Field::id("user_id", "The user; null: a key holds it.").nullable(Null::Null).server().filter(),
        Field::id("api_key_id", "The key; null: a user holds it.").nullable(Null::Empty).server().filter(),
        Field::id("node_id", "The process it is open to.").server().filter(),
        Field::maybe("address", 45, "Where it comes from.").server().filter(),
        Field::maybe("user_agent", 255, "What the other side calls itself.").server(),
        Field::texts("subscriptions", 100, &SUBSCRIPTION, "Types of events it wants.").server(),
        Field::time("connected_at", "When it was opened.").server().filter().sort(),
        Field::time("last_seen_at", "When the other side was heard last.").server().filter(),
        Field::time("disconnected_at", "When it was closed.").nullable(Null::Null).server().filter(),
        Field::int("close_code", 0, 65_535, "The code it was closed with.").nullable(Null::Null).server(),
        Field::maybe("close_reason", 123, "Why it was closed.").server(),
    ],
    ..Resource::PLAIN
};

static SUBSCRIPTION: crate::api::Rule = crate::api::Rule {
    format: "event-type",
    pattern: "",
    max: 100,
    check: |text| Ok(text.to_owned()),
    example: "call.*",
};

/// What is no collection.
pub fn actions() -> Vec<Action> {
    let operation = |id: &'static str, method, summary: &'static str, doc: &'static str, input| Operation {
        id: id.into(),
        method,
        path: "/agents/me".into(),
        tag: "agents".into(),
        summary: summary.into(),
        doc: doc.into(),
        who: Who::Roles(Roles::AGENTS),
        query: Vec::new(),
        input,
        output: Output::Record(&AGENTS, 200),
        own: None,
        once: &[],
        problems: &[(404, "not-found", "The state was never set.")],
        again: "",
        deadline: Operation::DEADLINE,
    };
    let get =
        operation("agents.me.get", "GET", "Read the own state", "404 until it was set once.", Input::None);
    let set = operation(
        "agents.me.update",
        "PATCH",
        "Change the own state",
        "What is not given stays; the first time it is as in a new record.",
        Input::Patch(MINE, &[]),
    );
    vec![
        Action { operation: get, handler: Handler::read(get_mine) },
        Action { operation: set, handler: Handler::write(set_mine) },
    ]
}

/// The user who asks; keys have no state.
fn user(call: &Call) -> Result<&Id, Problem> {
    call.caller()?.user().ok_or_else(|| Problem::forbidden("A key has no state; name a user: POST /agents."))
}

fn before<'a>(call: &'a Call, tx: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    const EXTENSION: &str = "SELECT name FROM endpoints WHERE tenant_id = ? AND id = ?";
    Box::pin(async move {
        if call.caller()?.role == Role::Agent && change.text("user_id") != user(call)?.as_str() {
            return Err(Problem::not_yours("An agent changes only the own state."));
        }
        if change.verb == Verb::Remove {
            return Ok(());
        }
        let state = change.given.get("state").and_then(Value::as_str);
        // A repeat does not start the time anew.
        if state.is_some_and(|state| change.before.get("state").and_then(Value::as_str) != Some(state)) {
            change.given.insert("since".into(), json!(check::show_time(call.now_us())));
        }
        if let Some(endpoint) = change.given.get("endpoint_id").cloned() {
            let name: Option<String> = match endpoint.as_str() {
                Some(id) => db_tx!(tx, |c| sqlx::query_scalar(EXTENSION)
                    .bind(call.tenant()?.as_str())
                    .bind(id)
                    .fetch_optional(c)
                    .await?),
                None => None,
            };
            change.given.insert("extension".into(), name.map_or(Value::Null, Value::String));
        }
        Ok(())
    })
}

/// Queues leave out who is away, and do not know who is offline: Asterisk is told with its next question.
fn after<'a>(_: &'a Call, _: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        // A state that was never set is that of somebody who works.
        let seen = |record: &Record| {
            let text = |name: &str| record.get(name).and_then(Value::as_str);
            let state = text("state").and_then(AgentStatus::parse).unwrap_or(AgentStatus::Available);
            (state.is_online(), state.is_paused().then(|| (state, text("reason").map(str::to_owned))))
        };
        change.routing = seen(&change.before) != seen(&change.after);
        Ok(())
    })
}

const FIND: &str = "SELECT id FROM agent_states WHERE tenant_id = ? AND user_id = ?";

fn get_mine(call: &Call) -> Doing<'_, Result<Reply, Problem>> {
    Box::pin(async move {
        let (tenant, user): (&TenantId, &Id) = (call.tenant()?, user(call)?);
        let found: Option<String> = db_read!(&call.db, |p| sqlx::query_scalar(FIND)
            .bind(tenant.as_str())
            .bind(user.as_str())
            .fetch_optional(p)
            .await?);
        let found = match found {
            Some(id) => store::get(&call.db, &AGENTS, &store::Scope::tenant(tenant), &id).await?,
            None => None,
        };
        found.map(Reply::record).ok_or_else(|| Problem::not_found("state of yours yet"))
    })
}

fn set_mine<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let tenant: &TenantId = call.tenant()?;
        let user = user(call)?;
        let found: Option<String> = db_tx!(&mut *tx, |c| sqlx::query_scalar(FIND)
            .bind(tenant.as_str())
            .bind(user.as_str())
            .fetch_optional(c)
            .await?);
        let scope = store::Scope::tenant(tenant);
        let (verb, id, before, given) = match found {
            Some(id) => {
                let before = store::get_locked(tx, &AGENTS, &scope, &id).await?.unwrap_or_default();
                (Verb::Update, id, before, call.body.clone())
            }
            None => (Verb::Create, call.ids.next().to_string(), Record::new(), new_state(call, user)),
        };
        let mut change = Change::new(verb, id, before, given);
        crud::apply(call, tx, &AGENTS, &scope, &mut change).await?;
        let word = if verb == Verb::Create { "agents.create" } else { "agents.update" };
        let mut reply = Reply::record(change.after.clone());
        reply.routing = change.routing;
        Ok(reply.audited(Audited {
            action: word.into(),
            object_type: AGENTS.name.into(),
            object_id: change.id,
            before: change.before,
            after: change.after,
        }))
    })
}

/// The body, with the defaults of what it does not give.
fn new_state(call: &Call, user: &Id) -> Record {
    let mut given = Record::from_iter([("user_id".to_owned(), json!(user.as_str()))]);
    for field in MINE {
        let default = field.default.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
        given.insert(field.name.to_owned(), call.body.get(field.name).cloned().unwrap_or(default));
    }
    given
}

/// What a change of an agent tells beside that it was changed.
fn tells(line: &Audited) -> Option<&'static str> {
    let is_other = line.before.get("state") != line.after.get("state");
    (is_other && !line.after.is_empty()).then_some("agent.state_changed")
}
