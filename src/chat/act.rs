//! Conversations are given to somebody and ended, by the model's rules; agents change their own settings.

use serde_json::{Value, json};

use super::api::{SESSIONS, text};
use super::{ChatError, ChatSession, ChatStatus, EndedBy};
use crate::agents::{Work, room};
use crate::api::check::show_time;
use crate::api::{
    Action, Audited, Call, Change, Doing, Handler, Operation, Output, Problem, Record, Reply, Verb, crud,
};
use crate::base::ids::Id;
use crate::base::role::{Role, Roles};
use crate::db::{Tx, db_tx};

pub(super) const WRONG_STATE: (u16, &str, &str) =
    (409, "wrong-state", "The conversation's state does not allow it.");

/// The fields that a step of the model writes.
const OF_STEP: [&str; 5] = ["status", "agent_id", "assigned_at", "ended_at", "ended_by"];

/// What a step of the model makes of a conversation.
pub(super) fn stepped(
    before: &Record,
    step: impl FnOnce(&mut ChatSession) -> Result<(), ChatError>,
) -> Result<Record, Problem> {
    let mut session: ChatSession =
        serde_json::from_value(Value::Object(before.clone())).map_err(Problem::internal)?;
    step(&mut session).map_err(|why| wrong_state(&why.to_string()))?;
    match serde_json::to_value(&session).map_err(Problem::internal)? {
        Value::Object(after) => {
            Ok(after.into_iter().filter(|(name, _)| OF_STEP.contains(&name.as_str())).collect())
        }
        _ => Ok(Record::new()),
    }
}

/// The problem of a step that the state does not allow.
pub(super) fn wrong_state(why: &str) -> Problem {
    let mut letters = why.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase()).into_iter();
    Problem::conflict("wrong-state", first.chain(letters).chain(['.']).collect::<String>())
}

/// Before a conversation is changed: who answers goes by the model's rules, and agents take only for themselves.
pub(super) fn before<'a>(
    call: &'a Call,
    tx: &'a mut Tx,
    change: &'a mut Change,
) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        let caller = call.caller()?;
        if caller.role == Role::Agent {
            let other = change.given.get("agent_id").filter(|to| to.as_str() != Some(caller.id().as_str()));
            let other = other.filter(|to| change.before.get("agent_id") != Some(to));
            if other.is_some() || change.given.contains_key("queue") {
                return Err(Problem::forbidden("An agent takes a chat, or hands it on by a transfer."));
            }
        }
        let Some(to) = change.given.remove("agent_id").filter(|to| change.before.get("agent_id") != Some(to))
        else {
            return Ok(());
        };
        let values = match to.as_str().map(Id::parse) {
            Some(agent) => {
                let agent = agent.map_err(Problem::internal)?;
                room(call, tx, (agent.as_str(), Work::Chat), &change.id).await?;
                stepped(&change.before, |session| session.assign(agent, call.now_us()))?
            }
            None if matches!(text(&change.before, "status"), "ended" | "abandoned") => {
                return Err(wrong_state("a chat that is over can't be given back"));
            }
            None => Record::from_iter([
                ("agent_id".to_owned(), Value::Null),
                ("status".to_owned(), ChatStatus::Queued.as_str().into()),
                ("queued_at".to_owned(), show_time(call.now_us()).into()),
            ]),
        };
        change.given.extend(values);
        Ok(())
    })
}

/// Before an agent's settings are changed.
pub(super) fn own_settings<'a>(
    call: &'a Call,
    _: &'a mut Tx,
    change: &'a mut Change,
) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        let caller = call.caller()?;
        let own = text(&change.before, "user_id") == caller.id().as_str();
        if change.verb == Verb::Update && caller.role == Role::Agent && !own {
            return Err(Problem::not_yours("These are somebody else's settings."));
        }
        Ok(())
    })
}

/// `/chat/sessions/{id}/end`
pub(super) fn actions() -> Vec<Action> {
    vec![Action {
        operation: Operation {
            doc: "Transfers that nobody has answered end with it.".into(),
            output: Output::Record(&SESSIONS, 200),
            own: None,
            once: &[],
            problems: &[WRONG_STATE],
            ..Operation::new(
                "chat-sessions.end",
                "POST",
                "/chat/sessions/{id}/end",
                "End a chat",
                Roles::AGENTS,
            )
        },
        handler: Handler::write(|call, tx| Box::pin(end(call, tx))),
    }]
}

async fn end(call: &Call, tx: &mut Tx) -> Result<Reply, Problem> {
    const EXPIRE: &str = "UPDATE chat_transfers SET status = ?, answered_at = ?, updated_at = ? \
         WHERE tenant_id = ? AND session_id = ? AND status = ?";
    let now_us = call.now_us();
    let make = |before: &Record| stepped(before, |session| session.end(EndedBy::Agent, now_us));
    let reply = crud::act(call, tx, &SESSIONS, "end", make).await?;
    db_tx!(tx, |c| sqlx::query(EXPIRE)
        .bind(super::TransferStatus::Expired.as_str())
        .bind(now_us)
        .bind(now_us)
        .bind(call.tenant()?.as_str())
        .bind(call.part(crud::ID))
        .bind(super::TransferStatus::Requested.as_str())
        .execute(c)
        .await
        .map(drop))?;
    Ok(reply)
}

/// The time of a request as a value.
pub(super) fn now(call: &Call) -> Value {
    json!(show_time(call.now_us()))
}

/// What a change of a conversation tells beside that it was changed.
pub(super) fn tells(line: &Audited) -> Option<&'static str> {
    if line.before.is_empty() {
        return Some("chat.session.started");
    }
    let (was, is) = (text(&line.before, "status"), text(&line.after, "status"));
    if was != is && is == ChatStatus::Ended.as_str() {
        return Some("chat.session.ended");
    }
    if was != is && is == ChatStatus::Abandoned.as_str() {
        return Some("chat.session.abandoned");
    }
    match text(&line.after, "agent_id") {
        agent if agent == text(&line.before, "agent_id") => None,
        "" => Some("chat.session.queued"),
        _ => Some("chat.session.assigned"),
    }
}
