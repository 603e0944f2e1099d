//! What happens to a ticket: it gets its number, goes from one status to another by [`Ticket::move_to`], is given to
//! somebody.

use serde_json::{Value, json};

use super::api::TICKETS;
use super::{Ticket, TicketStatus, TransitionError};
use crate::agents::{FULL, Work, room};
use crate::api::{
    Action, Audited, Call, Change, Doing, Field, Handler, Input, Null, Operation, Output, Problem, Record,
    Reply, Verb, crud,
};
use crate::base::ids::TenantId;
use crate::base::role::Roles;
use crate::db::{Tx, db_tx};

/// The fields that a change of status writes.
const OF_STATUS: [&str; 4] = ["status", "resolved_at", "closed_at", "reopened_count"];

const WRONG_STATE: (u16, &str, &str) =
    (409, "wrong-state", "There is no way from the ticket's status to that.");

/// Before a ticket is written.
pub(super) fn before<'a>(
    call: &'a Call,
    tx: &'a mut Tx,
    change: &'a mut Change,
) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        let to = change.given.get("assigned_to").filter(|to| change.before.get("assigned_to") != Some(to));
        if let Some(to) = to.and_then(Value::as_str) {
            room(call, tx, (to, Work::Ticket), &change.id).await?;
        }
        match change.verb {
            Verb::Remove => {}
            Verb::Create => {
                if change.text("status") != TicketStatus::Open.as_str() {
                    change.fault("status", "A new ticket is open.");
                    return Ok(());
                }
                let creator = call.caller()?.user().map(|id| id.to_string());
                change.given.insert("created_by".into(), creator.into());
                let number = next_number(tx, call.tenant()?).await?;
                change.given.insert("number".into(), number.into());
            }
            Verb::Update => {
                let wanted = change.given.remove("status").and_then(|s| TicketStatus::parse(s.as_str()?));
                let was = change.before.get("status").and_then(Value::as_str);
                if let Some(to) = wanted.filter(|to| Some(to.as_str()) != was) {
                    let values = moved(&change.before, |ticket| ticket.move_to(to, call.now_us()))?;
                    change.given.extend(values);
                }
            }
        }
        Ok(())
    })
}

/// Holds the counter of a tenant's tickets until the transaction ends, and takes no number yet: whoever drafts a ticket
/// first looks whether it is there.
pub(super) async fn lock_numbers(tx: &mut Tx, tenant: &TenantId) -> sqlx::Result<()> {
    const SQLITE: &str = "INSERT INTO ticket_counters (tenant_id, number) VALUES (?, 0) \
         ON CONFLICT (tenant_id) DO UPDATE SET number = number";
    const MYSQL: &str = "INSERT INTO ticket_counters (tenant_id, number) VALUES (?, 0) \
         ON DUPLICATE KEY UPDATE number = number";
    let lock = tx.pick(SQLITE, MYSQL);
    db_tx!(tx, |c| sqlx::query(lock).bind(tenant.as_str()).execute(c).await.map(drop))
}

/// The next number of a tenant. Its row stays locked until the transaction ends, so numbers have no gaps.
pub(super) async fn next_number(tx: &mut Tx, tenant: &TenantId) -> sqlx::Result<i64> {
    const SQLITE: &str = "INSERT INTO ticket_counters (tenant_id, number) VALUES (?, 1) \
         ON CONFLICT (tenant_id) DO UPDATE SET number = number + 1";
    const MYSQL: &str = "INSERT INTO ticket_counters (tenant_id, number) VALUES (?, 1) \
         ON DUPLICATE KEY UPDATE number = number + 1";
    const READ: &str = "SELECT number FROM ticket_counters WHERE tenant_id = ?";
    let take = tx.pick(SQLITE, MYSQL);
    db_tx!(tx, |c| sqlx::query(take).bind(tenant.as_str()).execute(c).await.map(drop))?;
    db_tx!(tx, |c| sqlx::query_scalar(READ).bind(tenant.as_str()).fetch_one(c).await)
}

/// What a step of the model makes of a ticket's status and times.
fn moved(
    before: &Record,
    step: impl FnOnce(&mut Ticket) -> Result<(), TransitionError>,
) -> Result<Record, Problem> {
    let mut ticket: Ticket =
        serde_json::from_value(Value::Object(before.clone())).map_err(Problem::internal)?;
    step(&mut ticket).map_err(|why| wrong_state(&why))?;
    match serde_json::to_value(&ticket).map_err(Problem::internal)? {
        Value::Object(after) => {
            Ok(after.into_iter().filter(|(name, _)| OF_STATUS.contains(&name.as_str())).collect())
        }
        _ => Ok(Record::new()),
    }
}

/// The problem of a step that the status does not allow.
pub(super) fn wrong_state(why: &dyn std::fmt::Display) -> Problem {
    let why = why.to_string();
    let mut letters = why.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase()).into_iter();
    Problem::conflict("wrong-state", first.chain(letters).chain(['.']).collect::<String>())
}

const ASSIGN: &[Field] =
    &[Field::to("assigned_to", &crate::users::MEMBER, "The user who works on it; null: nobody.")
        .nullable(Null::Null)];

type Step = fn(&mut Ticket, i64) -> Result<(), TransitionError>;

/// `/tickets/{id}/resolve`, `close`, `reopen`, `assign`
pub(super) fn actions() -> Vec<Action> {
    let mut all = vec![
        step("tickets.resolve", "/tickets/{id}/resolve", "Say that a ticket is done", Ticket::resolve),
        step("tickets.close", "/tickets/{id}/close", "Close a ticket for good", Ticket::close),
        step("tickets.reopen", "/tickets/{id}/reopen", "Open a resolved ticket again", Ticket::reopen),
    ];
    all.push(Action {
        operation: Operation {
            doc: "An agent who gives a ticket to another no longer sees it.".into(),
            input: Input::New(ASSIGN, &[]),
            output: Output::Record(&TICKETS, 200),
            own: None,
            once: &[],
            problems: &[WRONG_STATE, FULL],
            ..Operation::new(
                "tickets.assign",
                "POST",
                "/tickets/{id}/assign",
                "Give a ticket to a user",
                Roles::AGENTS,
            )
        },
        handler: Handler::write(|call, tx| Box::pin(assign(call, tx))),
    });
    all
}

fn step(id: &'static str, path: &'static str, summary: &'static str, step: Step) -> Action {
    let word = id.rsplit('.').next().unwrap_or_default();
    Action {
        operation: Operation {
            output: Output::Record(&TICKETS, 200),
            own: None,
            once: &[],
            problems: &[WRONG_STATE],
            ..Operation::new(id, "POST", path, summary, Roles::AGENTS)
        },
        handler: Handler::write(move |call, tx| {
            Box::pin(async move {
                let make = |before: &Record| moved(before, |ticket| step(ticket, call.now_us()));
                crud::act(call, tx, &TICKETS, word, make).await
            })
        }),
    }
}

async fn assign(call: &Call, tx: &mut Tx) -> Result<Reply, Problem> {
    let to = call.body.get("assigned_to").cloned().unwrap_or_default();
    room(call, tx, (to.as_str().unwrap_or_default(), Work::Ticket), call.part(crud::ID)).await?;
    let make = |before: &Record| {
        if before.get("status").and_then(Value::as_str) == Some(TicketStatus::Closed.as_str()) {
            return Err(wrong_state(&"a ticket that is closed can't be assigned"));
        }
        Ok(Record::from_iter([("assigned_to".to_owned(), json!(to))]))
    };
    crud::act(call, tx, &TICKETS, "assign", make).await
}

/// What a change of a ticket tells beside that it was changed.
pub(super) fn tells(line: &Audited) -> Option<&'static str> {
    let status = |of: &Record| of.get("status").and_then(Value::as_str).and_then(TicketStatus::parse);
    match (status(&line.before)?, status(&line.after)?) {
        (before, after) if before == after => None,
        (_, TicketStatus::Resolved) => Some("ticket.resolved"),
        (_, TicketStatus::Closed) => Some("ticket.closed"),
        (TicketStatus::Resolved, _) => Some("ticket.reopened"),
        _ => None,
    }
}
