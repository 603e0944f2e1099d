//! Messages are added to a ticket: once each, in the name of who sends them.

use serde_json::{Value, json};

use super::act::wrong_state;
use super::api::{MESSAGES, TICKETS};
use super::{AuthorKind, MessageKind, TicketStatus};
use crate::api::check::show_time;
use crate::api::store::{self, Scope};
use crate::api::{
    Action, Audited, Call, Field, Handler, Input, Null, Operation, Output, Problem, Record, Reply, crud,
};
use crate::base::role::Roles;
use crate::config::limits::tickets as limits;
use crate::db::{Tx, db_tx};

const NEW: &[Field] = &[
    Field::one_of("kind", &["reply", "note"], "A reply is seen by the contact, a note by agents only."),
    Field::text("body", 1, limits::TEXT_CHARACTERS, "The text."),
    Field::one_of("body_format", &["text", "markdown"], "How the text is written.").default("\"text\""),
    Field::text("client_id", 1, 64, "An id of your own: a repeat gets the first message.")
        .nullable(Null::Null),
    Field::metadata(),
];

/// `POST /tickets/{ticket_id}/messages`
pub(super) fn actions() -> Vec<Action> {
    vec![Action {
        operation: Operation {
            doc: "The author is who asks. With a `client_id` a message is written once, however often it is sent; a \
                  repeat gets 200 and the first one."
                .into(),
            input: Input::New(NEW, &[]),
            output: Output::Record(&MESSAGES, 201),
            problems: &[
                (409, "wrong-state", "The ticket is closed: nobody reads a reply in it."),
                (409, "taken", "Somebody else has used this client_id in this ticket."),
            ],
            ..Operation::new(
                "ticket-messages.create",
                "POST",
                "/tickets/{ticket_id}/messages",
                "Say something in a ticket",
                Roles::AGENTS,
            )
        },
        handler: Handler::write(|call, tx| Box::pin(say(call, tx))),
    }]
}

async fn say(call: &Call, tx: &mut Tx) -> Result<Reply, Problem> {
    let (caller, tenant) = (call.caller()?, call.tenant()?);
    let scope = crud::scope(call, &MESSAGES).await?;
    let (ticket_id, whole) = (call.part("ticket_id"), Scope::tenant(tenant));
    // Locked: of two repeats the second sees the first.
    let ticket = store::get_locked(tx, &TICKETS, &whole, ticket_id).await?;
    let ticket = ticket.ok_or_else(|| Problem::not_found(TICKETS.one))?;
    if let Some(first) = said_before(tx, call, ticket_id).await? {
        let found = store::get_locked(tx, &MESSAGES, &scope, &first).await?.unwrap_or_default();
        if found.get("author_id").and_then(Value::as_str) != Some(caller.id().as_str()) {
            return Err(Problem::conflict("taken", "Somebody else has used this client_id in this ticket."));
        }
        return Ok(Reply { unchanged: true, ..Reply::record(found) });
    }
    let is_reply = call.text("kind") == MessageKind::Reply.as_str();
    if is_reply && ticket.get("status").and_then(Value::as_str) == Some(TicketStatus::Closed.as_str()) {
        return Err(wrong_state(&"a ticket that is closed takes no reply"));
    }
    let id = call.ids.next().to_string();
    let mut values = call.body.clone();
    values.insert("author_kind".into(), AuthorKind::User.as_str().into());
    values.insert("author_id".into(), caller.id().as_str().into());
    let name = crate::users::User::name_of(tx, tenant, &caller.actor).await?;
    values.insert("author_name".into(), name.chars().take(254).collect::<String>().into());
    store::insert(tx, &MESSAGES, &scope, &id, &values, call.now_us()).await?;

    let now = json!(show_time(call.now_us()));
    let mut news = Record::from_iter([("last_message_at".to_owned(), now.clone())]);
    if is_reply {
        news.insert("waiting_since".into(), Value::Null);
        if ticket.get("first_response_at").is_none_or(Value::is_null) {
            news.insert("first_response_at".into(), now);
        }
    }
    store::update(tx, &TICKETS, &whole, ticket_id, &news, call.now_us()).await?;
    let made = store::get_locked(tx, &MESSAGES, &scope, &id).await?.unwrap_or_default();
    let place = format!("/api/v1/tickets/{ticket_id}/messages/{id}");
    let line = crud::line(&MESSAGES, "create", id, Record::new(), made.clone());
    Ok(Reply::created(made, place).audited(line))
}

/// The message that came with this client's id before.
async fn said_before(tx: &mut Tx, call: &Call, ticket_id: &str) -> Result<Option<String>, Problem> {
    const SQL: &str = "SELECT id FROM ticket_messages WHERE tenant_id = ? AND ticket_id = ? AND author_kind = ? \
         AND client_id = ?";
    let (tenant, client_id) = (call.tenant()?.as_str(), call.text("client_id"));
    if client_id.is_empty() {
        return Ok(None);
    }
    Ok(db_tx!(tx, |c| sqlx::query_scalar(SQL)
        .bind(tenant)
        .bind(ticket_id)
        .bind(AuthorKind::User.as_str())
        .bind(client_id)
        .fetch_optional(c)
        .await)?)
}

/// What a message tells: a reply or a note.
pub(super) fn tells(line: &Audited) -> Option<&'static str> {
    let kind = line.after.get("kind").and_then(Value::as_str)?;
    Some(if kind == MessageKind::Note.as_str() { "ticket.noted" } else { "ticket.replied" })
}
