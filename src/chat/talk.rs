//! Agents write in a conversation: once each, numbered without gaps under the lock of the conversation's row.

use serde_json::{Value, json};

use super::act::{WRONG_STATE, now, wrong_state};
use super::api::{MESSAGES, SESSIONS, text};
use super::{ChatMessageKind, ChatStatus, SenderKind};
use crate::api::store::{self, Scope};
use crate::api::{
    Action, Call, Field, Handler, Input, Null, Operation, Output, Problem, Record, Reply, crud,
};
use crate::base::role::Roles;
use crate::config::limits::chat as limits;
use crate::db::{Tx, db_tx};

const NEW: &[Field] = &[
    Field::one_of("kind", &["text", "note"], "A note is seen by agents only.").default("\"text\""),
    Field::text("body", 1, limits::MESSAGE_CHARACTERS, "The text."),
    Field::text("client_id", 1, 64, "An id of your own: a repeat gets the first message.")
        .nullable(Null::Null),
    Field::metadata(),
];

/// `POST /chat/sessions/{session_id}/messages`
pub(super) fn actions() -> Vec<Action> {
    vec![Action {
        operation: Operation {
            doc: "Words take a conversation that an agent has; a note can be written at any time. With a `client_id` a \
                  message is written once, however often it is sent; a repeat gets 200 and the first one."
                .into(),
            input: Input::New(NEW, &[]),
            output: Output::Record(&MESSAGES, 201),
            own: None,
            once: &[],
            problems: &[WRONG_STATE, (409, "taken", "Somebody else has used this client_id in this chat.")],
            ..Operation::new(
                "chat-messages.create",
                "POST",
                "/chat/sessions/{session_id}/messages",
                "Write in a chat",
                Roles::AGENTS,
            )
        },
        handler: Handler::write(|call, tx| Box::pin(write(call, tx))),
    }]
}

async fn write(call: &Call, tx: &mut Tx) -> Result<Reply, Problem> {
    let (caller, tenant) = (call.caller()?, call.tenant()?);
    let scope = crud::scope(call, &MESSAGES).await?;
    let (session_id, whole) = (call.part("session_id"), Scope::tenant(tenant));
    let session = store::get_locked(tx, &SESSIONS, &whole, session_id).await?;
    let session = session.ok_or_else(|| Problem::not_found(SESSIONS.one))?;
    if let Some(first) = written_before(tx, call, session_id).await? {
        let found = store::get_locked(tx, &MESSAGES, &scope, &first).await?.unwrap_or_default();
        if text(&found, "sender_id") != caller.id().as_str() {
            return Err(Problem::conflict("taken", "Somebody else has used this client_id in this chat."));
        }
        return Ok(Reply { unchanged: true, ..Reply::record(found) });
    }
    let is_text = call.text("kind") == ChatMessageKind::Text.as_str();
    if is_text && text(&session, "status") != ChatStatus::Active.as_str() {
        return Err(wrong_state(&format!(
            "a chat that is {} takes no words of agents",
            text(&session, "status")
        )));
    }
    let seq = session.get("last_seq").and_then(Value::as_i64).unwrap_or_default() + 1;
    let name = sender_name(tx, call).await?;
    let mut values = call.body.clone();
    values.insert("seq".into(), json!(seq));
    values.insert("sender_kind".into(), SenderKind::Agent.as_str().into());
    values.insert("sender_id".into(), caller.id().as_str().into());
    values.insert("sender_name".into(), name.chars().take(200).collect::<String>().into());
    let id = call.ids.next().to_string();
    store::insert(tx, &MESSAGES, &scope, &id, &values, call.now_us()).await?;

    let mut news =
        Record::from_iter([("last_seq".to_owned(), json!(seq)), ("last_message_at".to_owned(), now(call))]);
    if is_text && session.get("first_reply_at").is_none_or(Value::is_null) {
        news.insert("first_reply_at".into(), now(call));
    }
    store::update(tx, &SESSIONS, &whole, session_id, &news, call.now_us()).await?;
    let made = store::get_locked(tx, &MESSAGES, &scope, &id).await?.unwrap_or_default();
    let place = format!("/api/v1/chat/sessions/{session_id}/messages/{id}");
    let line = crud::line(&MESSAGES, "create", id, Record::new(), made.clone());
    Ok(Reply::created(made, place).audited(line))
}

/// The name that visitors see, else the user's.
async fn sender_name(tx: &mut Tx, call: &Call) -> Result<String, Problem> {
    const SQL: &str = "SELECT display_name FROM chat_agents WHERE tenant_id = ? AND user_id = ?";
    let (caller, tenant) = (call.caller()?, call.tenant()?);
    let shown: Option<String> = db_tx!(tx, |c| sqlx::query_scalar(SQL)
        .bind(tenant.as_str())
        .bind(caller.id().as_str())
        .fetch_optional(c)
        .await)?;
    match shown.filter(|name| !name.is_empty()) {
        Some(name) => Ok(name),
        None => Ok(crate::users::User::name_of(tx, tenant, &caller.actor).await?),
    }
}

/// The message that came with this client's id before.
async fn written_before(tx: &mut Tx, call: &Call, session_id: &str) -> Result<Option<String>, Problem> {
    const SQL: &str = "SELECT id FROM chat_messages WHERE tenant_id = ? AND session_id = ? AND sender_kind = ? \
         AND client_id = ?";
    let (tenant, client_id) = (call.tenant()?.as_str(), call.text("client_id"));
    if client_id.is_empty() {
        return Ok(None);
    }
    Ok(db_tx!(tx, |c| sqlx::query_scalar(SQL)
        .bind(tenant)
        .bind(session_id)
        .bind(SenderKind::Agent.as_str())
        .bind(client_id)
        .fetch_optional(c)
        .await)?)
}
