//! Hot desks: an agent signs in at any phone of the tenant, and the queues' members that are the agent's ring there. One
//! agent sits at a phone; a supervisor may take it over.

use serde_json::{Value, json};

use super::AgentStatus;
use super::api::{AGENTS, TAKEN, mine, new_state, user, write};
use super::change::{put, standing_of, text};
use super::standing::{AgentPhase, Signal};
use crate::api::store::{self, Scope};
use crate::api::{
    Action, Audited, Call, Change, Doing, Field, Handler, Input, Null, Operation, Output, Problem, Record,
    Reply, Verb, crud, rules,
};
use crate::base::ids::Id;
use crate::base::role::{Role, Roles};
use crate::config::limits::agents as limits;
use crate::db::{Tx, db_tx};
use crate::endpoints::ENDPOINT;

static LOGIN: &[Field] = &[
    Field::to("endpoint_id", &ENDPOINT, "The phone.").nullable(Null::Null),
    Field::rule("extension", &rules::NAME, "The phone by its extension instead.").nullable(Null::Null),
    Field::flag("take_over", "Whether whoever sits there is signed out; supervisors and admins alone.")
        .default("false"),
];

static EXTEND: &[Field] =
    &[Field::int("extend_s", 1, limits::EXTEND_S, "Seconds that the rest is made longer.").default("60")];

const WRONG_STATE: (u16, &str, &str) = (409, "wrong-state", "There is no rest after a call.");

/// `/agents/me/login`, `/logout`, `/wrapup`, and the last two of others.
pub(super) fn actions() -> Vec<Action> {
    let operation = |id, path, summary, doc: &'static str| Operation {
        doc: doc.into(),
        output: Output::Record(&AGENTS, 200),
        ..Operation::new(id, "POST", path, summary, Roles::AGENTS)
    };
    let logout =
        "The agent is offline, at once, and sits nowhere. A talk goes on, but is not followed any more.";
    let wrapup = "The rest may end four hours ahead at most. Setting a state ends it early.";
    let login = Operation {
        input: Input::New(LOGIN, &[]),
        problems: &[TAKEN],
        ..operation(
            "agents.me.login",
            "/agents/me/login",
            "Sit down at a phone",
            "Queues' members that are the agent's ring there with Asterisk's next question; of two in one queue the older one. \
             Whoever was offline is available. Signing in elsewhere leaves the phone before. Another agent who sits there \
             makes it 409 `endpoint-taken`, unless that one is offline; a supervisor takes the phone over with `take_over`, and \
             the other one is offline.",
        )
    };
    let extend = |operation: Operation| Operation {
        input: Input::New(EXTEND, &[]),
        problems: &[WRONG_STATE],
        ..operation
    };
    vec![
        Action { operation: login, handler: Handler::write(|call, tx| sign_in(call, tx)) },
        Action {
            operation: Operation {
                problems: &[NEVER],
                ..operation("agents.me.logout", "/agents/me/logout", "Leave the phone and go offline", logout)
            },
            handler: Handler::write(|call, tx| sign_out(call, tx)),
        },
        Action {
            operation: operation("agents.logout", "/agents/{id}/logout", "Sign an agent out", logout),
            handler: Handler::write(|call, tx| sign_out(call, tx)),
        },
        Action {
            operation: Operation {
                problems: &[WRONG_STATE, NEVER],
                ..extend(operation(
                    "agents.me.wrapup",
                    "/agents/me/wrapup",
                    "Rest longer after a call",
                    wrapup,
                ))
            },
            handler: Handler::write(|call, tx| rest_longer(call, tx)),
        },
        Action {
            operation: extend(operation(
                "agents.wrapup",
                "/agents/{id}/wrapup",
                "Let an agent rest longer after a call",
                wrapup,
            )),
            handler: Handler::write(|call, tx| rest_longer(call, tx)),
        },
    ]
}

/// Who has no state leaves nothing.
const NEVER: (u16, &str, &str) = (404, "not-found", "The state was never set.");

/// The agent whom the path names, locked.
async fn whom(call: &Call, tx: &mut Tx) -> Result<Record, Problem> {
    if !call.part(crud::ID).is_empty() {
        return crud::current(call, tx, &AGENTS, &Scope::tenant(call.tenant()?)).await;
    }
    mine(call, tx).await?.ok_or_else(|| Problem::not_found("state of yours yet"))
}

fn sign_in<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let endpoint = endpoint(call, tx).await?;
        let takes_over = call.body.get("take_over") == Some(&Value::Bool(true));
        if takes_over && call.caller()?.role == Role::Agent {
            return Err(Problem::not_yours("Only a supervisor takes a phone over."));
        }
        let displaced = displace(call, tx, (&endpoint, takes_over)).await?;
        let before = mine(call, tx).await?.unwrap_or_default();
        let is_off = standing_of(&before, call.now_us()).state() == AgentStatus::Offline;
        let mut given = if before.is_empty() { new_state(call, user(call)?) } else { Record::new() };
        given.insert("endpoint_id".into(), json!(endpoint));
        if is_off {
            given.insert("state".into(), json!(AgentStatus::Available));
            given.insert("reason".into(), Value::Null);
        }
        let mut reply = write(call, tx, before, given).await?;
        if let Some(other) = displaced {
            reply.routing |= other.routing;
            reply.audit.splice(0..0, other.audit);
        }
        Ok(reply)
    })
}

/// The phone that is asked for.
async fn endpoint(call: &Call, tx: &mut Tx) -> Result<String, Problem> {
    const SQL: &str = "SELECT id FROM endpoints WHERE tenant_id = ? AND name = ?";
    let (id, extension) = (call.text("endpoint_id"), call.text("extension"));
    let fault = |detail: &str| Problem::invalid(vec![crate::api::Fault::at("extension", detail)]);
    if id.is_empty() == extension.is_empty() {
        return Err(fault("Give endpoint_id or extension, and not both."));
    }
    if !id.is_empty() {
        return Ok(id.to_owned());
    }
    let found: Option<String> = db_tx!(tx, |c| sqlx::query_scalar(SQL)
        .bind(call.tenant()?.as_str())
        .bind(extension)
        .fetch_optional(c)
        .await?);
    found.ok_or_else(|| fault("There is no such extension."))
}

/// Signs out whoever else sits at a phone, where it is taken over. Who is offline gives it up to anybody.
async fn displace(
    call: &Call,
    tx: &mut Tx,
    (endpoint, takes_over): (&str, bool),
) -> Result<Option<Reply>, Problem> {
    const SQL: &str = "SELECT id FROM agent_states WHERE tenant_id = ? AND endpoint_id = ? AND user_id <> ?";
    let tenant = call.tenant()?;
    let user = user(call)?;
    let found: Option<String> = db_tx!(&mut *tx, |c| sqlx::query_scalar(SQL)
        .bind(tenant.as_str())
        .bind(endpoint)
        .bind(user.as_str())
        .fetch_optional(c)
        .await?);
    let Some(id) = found else { return Ok(None) };
    match store::get_locked(tx, &AGENTS, &Scope::tenant(tenant), &id).await? {
        Some(other) if text(&other, "state") == AgentStatus::Offline.as_str() => {
            let nowhere = Record::from_iter([("endpoint_id".to_owned(), Value::Null)]);
            Ok(Some(write(call, tx, other, nowhere).await?))
        }
        Some(other) if takes_over => Ok(Some(leave(call, tx, other).await?)),
        _ => Ok(None),
    }
}

fn sign_out<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let before = whom(call, tx).await?;
        leave(call, tx, before).await
    })
}

/// A user works here no more: signed out, with what they leave in `reply`. With the role goes the record too (`is_gone`).
///
/// # Errors
/// When the database is away.
pub async fn retire(
    call: &Call,
    tx: &mut Tx,
    (user, is_gone): (&Id, bool),
    reply: &mut Reply,
) -> Result<(), Problem> {
    const SQL: &str = "SELECT id FROM agent_states WHERE tenant_id = ? AND user_id = ?";
    let Some(before) = agent_of(call, tx, SQL, user.as_str()).await? else { return Ok(()) };
    let id = text(&before, "id").to_owned();
    let left = leave(call, tx, before).await?;
    reply.routing |= left.routing;
    reply.audit.extend(left.audit);
    if !is_gone {
        return Ok(());
    }
    let scope = Scope::tenant(call.tenant()?);
    let Some(before) = store::get_locked(tx, &AGENTS, &scope, &id).await? else { return Ok(()) };
    let mut change = Change::new(Verb::Remove, id, before, Record::new());
    crud::apply(call, tx, &AGENTS, &scope, &mut change).await?;
    reply.routing |= change.routing;
    reply.audit.push(crud::line(&AGENTS, "delete", change.id, change.before, Record::new()));
    Ok(())
}

/// Signs out whoever sits at a phone that is deleted. Returns what is to be told of it, and whether queues see it.
///
/// # Errors
/// When the database is away.
pub async fn clear(call: &Call, tx: &mut Tx, endpoint: &str) -> Result<(Vec<Audited>, bool), Problem> {
    const SQL: &str = "SELECT id FROM agent_states WHERE tenant_id = ? AND endpoint_id = ?";
    match agent_of(call, tx, SQL, endpoint).await? {
        Some(before) => leave(call, tx, before).await.map(|left| (left.audit, left.routing)),
        None => Ok((Vec::new(), false)),
    }
}

/// The record of an agent that `sql` finds, locked.
async fn agent_of(call: &Call, tx: &mut Tx, sql: &'static str, of: &str) -> Result<Option<Record>, Problem> {
    let tenant = call.tenant()?;
    let found: Option<String> = db_tx!(&mut *tx, |c| sqlx::query_scalar(sql)
        .bind(tenant.as_str())
        .bind(of)
        .fetch_optional(c)
        .await?);
    match found {
        Some(id) => Ok(store::get_locked(tx, &AGENTS, &Scope::tenant(tenant), &id).await?),
        None => Ok(None),
    }
}

/// Nobody sits there any more.
async fn leave(call: &Call, tx: &mut Tx, before: Record) -> Result<Reply, Problem> {
    let offline = json!(AgentStatus::Offline);
    let given = Record::from_iter([
        ("endpoint_id".to_owned(), Value::Null),
        ("state".to_owned(), offline),
        ("reason".to_owned(), Value::Null),
    ]);
    write(call, tx, before, given).await
}

fn rest_longer<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let (before, now_us) = (whom(call, tx).await?, call.now_us());
        let standing = standing_of(&before, now_us);
        if standing.phase != AgentPhase::Wrapup {
            return Err(Problem::conflict(WRONG_STATE.1, WRONG_STATE.2));
        }
        let by_s = call.body.get("extend_s").and_then(Value::as_i64).unwrap_or_default();
        let mut given = Record::new();
        put(&standing.next(Signal::Extend(by_s), now_us), &mut given);
        given.retain(|name, _| name == "wrapup_until");
        write(call, tx, before, given).await
    })
}
