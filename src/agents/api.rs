//! Agents' states and open sockets as collections. An agent changes only the own state; supervisors any.

use serde_json::{Value, json};

use super::change::{put, settle, standing_of, text};
use super::standing::Signal;
use super::{AgentPhase, AgentStatus};
use crate::api::{
    Action, Audited, Call, Change, Doing, Field, Handler, Hooks, Input, May, Null, Operation, Output,
    Problem, Record, Reply, Resource, Tells, Verb, Who, check, crud, rules, store,
};
use crate::base::ids::{Id, TenantId};
use crate::base::role::{Role, Roles};
use crate::config::limits::agents as limits;
use crate::db::{Tx, db_read, db_tx};
use crate::endpoints::{ENDPOINT, Template};
use crate::users::MEMBER;

/// `/agents`
pub static AGENTS: Resource = Resource {
    name: "agents",
    one: "agent",
    path: "/agents",
    doc: "What agents do: available, busy, away ... A user has a state once it was set: with POST /agents, or with \
          PATCH /agents/me for the own one. Queues in which the user is a member follow it with Asterisk's next question: \
          away, break and dnd are a pause, offline logs out; and the user's members ring where the user sits. While the phone \
          at which the agent sits talks, the agent is busy (`phase` talking); a state that is set meanwhile is the `choice`, \
          which comes true after the talk. Where the queue or the tenant has `wrapup_s`, an agent who works is busy with \
          reason `wrap-up` until `wrapup_until` and left out by queues; setting a state ends it early. Who signs in while the \
          phone talks is busy with that call. Whose phone is deleted, or who may not sign in or act as an agent any more, is \
          signed out; with a user's role in the tenant goes the agent.",
    table: "agent_states",
    index: "agent_states_created",
    may: May { read: Roles::ALL, create: Roles::AGENTS, update: Roles::AGENTS, remove: Roles::SUPERVISORS },
    fields: &[
        Field::to("user_id", &MEMBER, "The user; one state each.").once().filter(),
        STATE,
        REASON,
        Field::time("since", "Since when the agent is in this state.").server().sort(),
        Field::one_of("previous_state", AgentStatus::WORDS, "The state before.")
            .nullable(Null::Empty)
            .server(),
        Field::one_of("phase", AgentPhase::WORDS, "What holds the agent beside the own choice.")
            .server()
            .filter(),
        Field::one_of(
            "choice",
            AgentStatus::WORDS,
            "The agent's own choice; the state, unless the agent is held.",
        )
        .server(),
        Field::maybe("choice_reason", 80, "Why.").server(),
        Field::time("wrapup_until", "When the rest after a call ends.").nullable(Null::Null).server(),
        PHONE,
        Field::rule("extension", &rules::NAME, "The phone's extension.")
            .nullable(Null::Empty)
            .server()
            .filter(),
        Field::flag("reachable", "Whether a phone is registered where the agent sits.")
            .column(REACHABLE)
            .server(),
        Field::time("login_at", "Since when the agent sits there.").nullable(Null::Null).server(),
        Field::id("call_id", "The call that is talked on, or that the rest follows.")
            .nullable(Null::Empty)
            .server(),
        CALLS,
        TICKETS,
        Field::metadata(),
    ],
    hooks: Hooks { before: Some(before), after: Some(after) },
    tells: Tells {
        kinds: &[(
            "agent.state_changed",
            "An agent is in another state; `previous_state` is the one before.",
        )],
        which: Some(tells),
        ..Tells::USUAL
    },
    ..Resource::PLAIN
};

const REACHABLE: &str = "(SELECT COUNT(*) > 0 FROM endpoints e WHERE e.tenant_id = t.tenant_id AND e.id = t.endpoint_id AND e.registered)";
const STATE: Field =
    Field::one_of("state", AgentStatus::WORDS, "What the agent does.").default("\"available\"").filter();
const REASON: Field = Field::maybe("reason", 80, "Why, in the agent's words.").example("\"lunch\"");
const PHONE: Field =
    Field::to("endpoint_id", &ENDPOINT, "The phone at which the agent sits; nobody else does meanwhile.")
        .nullable(Null::Null)
        .filter();
const CALLS: Field =
    Field::int("max_calls", 1, limits::CALLS, "Calls at the same time at most.").default("1");
const TICKETS: Field =
    Field::int("max_tickets", 0, limits::TICKETS, "Open tickets at most that the agent is given.")
        .default("20");

static MINE: &[Field] = &[STATE, REASON, PHONE, CALLS, TICKETS, Field::metadata()];

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
        problems: &[(404, "not-found", "The state was never set."), TAKEN],
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
    let mut all = vec![
        Action { operation: get, handler: Handler::read(get_mine) },
        Action { operation: set, handler: Handler::write(set_mine) },
        super::report::action(),
        super::pop::action(),
    ];
    all.extend(super::desk::actions());
    all.extend(super::capacity::actions());
    all
}

pub(super) const TAKEN: (u16, &str, &str) = (409, "endpoint-taken", "Another agent sits at this phone.");

/// The user who asks; keys have no state.
pub(super) fn user(call: &Call) -> Result<&Id, Problem> {
    call.caller()?.user().ok_or_else(|| Problem::forbidden("A key has no state; name a user: POST /agents."))
}

fn before<'a>(call: &'a Call, tx: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        if call.caller()?.role == Role::Agent
            && change.text("user_id") != user(call)?.as_str()
            && !is_given_up(call, change)
        {
            return Err(Problem::not_yours("An agent changes only the own state."));
        }
        if change.verb == Verb::Remove {
            return Ok(());
        }
        let now_us = call.now_us();
        let was = standing_of(&change.before, now_us);
        let mut standing = was.clone();
        if let Some(endpoint) = change.given.get("endpoint_id").cloned()
            && (change.before.get("endpoint_id") != Some(&endpoint) || change.verb == Verb::Create)
        {
            sit(call, tx, change, endpoint.as_str().unwrap_or_default()).await?;
            standing = standing.next(Signal::Leave, now_us);
        }
        // Of a phone that is nobody's any more nothing is heard.
        if change.value("endpoint_id").is_null() {
            standing = standing.next(Signal::Leave, now_us);
        }
        let state = change.given.get("state").and_then(Value::as_str).and_then(AgentStatus::parse);
        // Who is held is shown as busy; whoever writes that back has chosen nothing.
        let is_shown = standing.phase != AgentPhase::Free && state == Some(standing.state());
        if let Some(state) = state.filter(|_| !is_shown) {
            let reason = change.given.get("reason").or_else(|| change.before.get("choice_reason"));
            let reason = reason.and_then(Value::as_str).unwrap_or_default().to_owned();
            standing = standing.next(Signal::Choose(state, &reason), now_us);
            if let Some(talk) = talk(call, tx, change).await?.filter(|_| state.is_online()) {
                standing = standing.next(Signal::Talk(&talk), now_us);
            }
        } else if standing.phase == AgentPhase::Free && change.given.contains_key("reason") {
            let reason = change.text("reason").to_owned();
            standing = standing.next(Signal::Choose(standing.choice, &reason), now_us);
        }
        // Several things may have happened in one step.
        standing.previous = if standing.state() == was.state() { was.previous } else { Some(was.state()) };
        change.given.remove("reason");
        if standing != was || change.verb == Verb::Create {
            put(&standing, &mut change.given);
        } else {
            change.given.remove("state");
        }
        Ok(())
    })
}

/// Whether somebody who signs in at a phone takes it from one who is offline, and nothing else.
fn is_given_up(call: &Call, change: &Change) -> bool {
    let is_login = call.body.contains_key("take_over");
    let is_all = change.given.len() == 1 && change.given.get("endpoint_id") == Some(&Value::Null);
    is_login && is_all && text(&change.before, "state") == AgentStatus::Offline.as_str()
}

/// The call on which an agent's phone talks while the agent is offline; `None`: it does not talk.
async fn talk(call: &Call, tx: &mut Tx, change: &Change) -> Result<Option<String>, Problem> {
    const SQL: &str = "SELECT phone_call_id FROM agent_states WHERE tenant_id = ? AND id = ? AND phone_state = 'talking' \
         AND phase = 'free'";
    let tenant = call.tenant()?.as_str();
    Ok(db_tx!(tx, |c| sqlx::query_scalar(SQL).bind(tenant).bind(&change.id).fetch_optional(c).await?))
}

/// Sits an agent down at a phone, or nowhere (empty).
async fn sit(call: &Call, tx: &mut Tx, change: &mut Change, endpoint: &str) -> Result<(), Problem> {
    const PHONE: &str = "SELECT name, template FROM endpoints WHERE tenant_id = ? AND id = ?";
    const HOLDER: &str =
        "SELECT COUNT(*) FROM agent_states WHERE tenant_id = ? AND endpoint_id = ? AND id <> ?";
    const LEFT: &str = "UPDATE agent_states SET phone_state = 'idle', phone_at = 0, phone_call_id = '', call_queue = '' \
         WHERE tenant_id = ? AND id = ?";
    let tenant = call.tenant()?.as_str();
    let phone: Option<(String, String)> =
        db_tx!(&mut *tx, |c| sqlx::query_as(PHONE).bind(tenant).bind(endpoint).fetch_optional(c).await?);
    let holders: i64 = db_tx!(&mut *tx, |c| sqlx::query_scalar(HOLDER)
        .bind(tenant)
        .bind(endpoint)
        .bind(&change.id)
        .fetch_one(c)
        .await?);
    if holders > 0 {
        return Err(Problem::conflict(TAKEN.1, "Another agent sits at this phone."));
    }
    // What was told of the phone before says nothing of this one.
    db_tx!(&mut *tx, |c| sqlx::query(LEFT).bind(tenant).bind(&change.id).execute(c).await.map(drop)?);
    if phone.as_ref().is_some_and(|(_, template)| template == Template::Trunk.as_str()) {
        change.fault("endpoint_id", "A trunk is no phone.");
    }
    let since = phone.is_some().then(|| check::show_time(call.now_us()));
    change.given.insert("extension".into(), phone.map_or(Value::Null, |(name, _)| Value::String(name)));
    change.given.insert("login_at".into(), json!(since));
    Ok(())
}

/// Queues leave out who is away, do not know who is offline, and ring where the agent sits: Asterisk is told with its next
/// question.
fn after<'a>(call: &'a Call, tx: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        let when = (call.tenant()?, call.now_us());
        change.routing |= settle(tx, &call.ids, when, &change.before, &change.after).await?;
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
        let user = user(call)?;
        let given = match mine(call, tx).await? {
            Some(before) => return write(call, tx, before, call.body.clone()).await,
            None => new_state(call, user),
        };
        write(call, tx, Record::new(), given).await
    })
}

/// The own record, locked; `None`: the state was never set.
pub(super) async fn mine(call: &Call, tx: &mut Tx) -> Result<Option<Record>, Problem> {
    let tenant = call.tenant()?;
    let user = user(call)?;
    let found: Option<String> = db_tx!(&mut *tx, |c| sqlx::query_scalar(FIND)
        .bind(tenant.as_str())
        .bind(user.as_str())
        .fetch_optional(c)
        .await?);
    match found {
        Some(id) => Ok(store::get_locked(tx, &AGENTS, &store::Scope::tenant(tenant), &id).await?),
        None => Ok(None),
    }
}

/// Changes an agent's record, or makes it where there was none.
pub(super) async fn write(call: &Call, tx: &mut Tx, before: Record, given: Record) -> Result<Reply, Problem> {
    let scope = store::Scope::tenant(call.tenant()?);
    let (verb, id) = match text(&before, "id") {
        "" => (Verb::Create, call.ids.next().to_string()),
        id => (Verb::Update, id.to_owned()),
    };
    let mut change = Change::new(verb, id, before, given);
    crud::apply(call, tx, &AGENTS, &scope, &mut change).await?;
    let word = if verb == Verb::Create { "create" } else { "update" };
    let mut reply = Reply::record(change.after.clone());
    reply.routing = change.routing;
    Ok(reply.audited(crud::line(&AGENTS, word, change.id, change.before, change.after)))
}

/// The body, with the defaults of what it does not give.
pub(super) fn new_state(call: &Call, user: &Id) -> Record {
    let mut given = Record::from_iter([("user_id".to_owned(), json!(user.as_str()))]);
    for field in MINE {
        let default = field.default.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
        given.insert(field.name.to_owned(), call.body.get(field.name).cloned().unwrap_or(default));
    }
    given
}

/// What a change of an agent tells beside that it was changed.
fn tells(line: &Audited) -> Option<&'static str> {
    let is_other = |name: &str| line.before.get(name) != line.after.get(name);
    ((is_other("state") || is_other("phase")) && !line.after.is_empty()).then_some("agent.state_changed")
}
