//! Conversations are handed on: asked for by who has them, and moved when the other side accepts.

use serde_json::{Value, json};

use super::act::{WRONG_STATE, now, stepped, wrong_state};
use super::api::{OFFERS, SESSIONS, text};
use super::{ChatStatus, ChatTransfer, TransferStatus};
use crate::agents::{FULL, Work, room};
use crate::api::store::{self, Scope};
use crate::api::{
    Action, Actor, Audited, Call, Change, Doing, Handler, Operation, Output, Problem, Record, Reply, crud,
};
use crate::base::role::{Role, Roles};
use crate::db::{Tx, db_tx};

/// Before a transfer is asked for.
pub(super) fn before<'a>(
    call: &'a Call,
    tx: &'a mut Tx,
    change: &'a mut Change,
) -> Doing<'a, Result<(), Problem>> {
    const OPEN: &str =
        "SELECT COUNT(*) FROM chat_transfers WHERE tenant_id = ? AND session_id = ? AND status = ?";
    const TAKES: &str = "SELECT accepts_transfers FROM chat_agents WHERE tenant_id = ? AND user_id = ?";
    Box::pin(async move {
        let (tenant, session_id) = (call.tenant()?, call.part("session_id"));
        let agent = change.text("to_agent_id").to_owned();
        if agent.is_empty() == change.text("to_queue").is_empty() {
            change.fault("", "Give to_agent_id or to_queue, and not both.");
            return Ok(());
        }
        // Locked: of two transfers of one conversation the second sees the first.
        let session = store::get_locked(tx, &SESSIONS, &Scope::tenant(tenant), session_id).await?;
        let session = session.ok_or_else(|| Problem::not_found(SESSIONS.one))?;
        if text(&session, "status") != ChatStatus::Active.as_str() {
            return Err(wrong_state("a chat that no agent has can't be handed on"));
        }
        let open: i64 = db_tx!(tx, |c| sqlx::query_scalar(OPEN)
            .bind(tenant.as_str())
            .bind(session_id)
            .bind(TransferStatus::Requested.as_str())
            .fetch_one(c)
            .await)?;
        if open > 0 {
            return Err(wrong_state("a transfer of this chat waits for its answer already"));
        }
        if text(&session, "agent_id") == agent {
            change.fault("to_agent_id", "This user has the chat already.");
        }
        let takes: Option<bool> = db_tx!(tx, |c| sqlx::query_scalar(TAKES)
            .bind(tenant.as_str())
            .bind(&agent)
            .fetch_optional(c)
            .await)?;
        if takes == Some(false) {
            change.fault("to_agent_id", "This user takes no transfers.");
        }
        let from = session.get("agent_id").cloned().unwrap_or_default();
        change.given.insert("from_agent_id".into(), from);
        change.given.insert("status".into(), TransferStatus::Requested.as_str().into());
        Ok(())
    })
}

/// `/chat/transfers/{id}/accept`, `refuse`
pub(super) fn actions() -> Vec<Action> {
    let action = |id, path, summary, status| {
        Action {
        operation: Operation {
            doc: "By the agent it is for; of a team's, by any agent; and by supervisors. The first answer counts.".into(),
            output: Output::Record(&OFFERS, 200),
            own: None,
            once: &[],
            problems: if status == TransferStatus::Accepted { &[WRONG_STATE, FULL] } else { &[WRONG_STATE] },
            ..Operation::new(id, "POST", path, summary, Roles::AGENTS)
        },
        handler: Handler::write(move |call, tx| Box::pin(answer(call, tx, status))),
    }
    };
    vec![
        action(
            "chat-transfers.accept",
            "/chat/transfers/{id}/accept",
            "Take a chat that is handed on",
            TransferStatus::Accepted,
        ),
        action(
            "chat-transfers.refuse",
            "/chat/transfers/{id}/refuse",
            "Refuse a chat that is handed on",
            TransferStatus::Refused,
        ),
    ]
}

async fn answer(call: &Call, tx: &mut Tx, status: TransferStatus) -> Result<Reply, Problem> {
    let (caller, whole) = (call.caller()?, Scope::tenant(call.tenant()?));
    let scope = crud::scope(call, &OFFERS).await?;
    let seen = store::get_locked(tx, &OFFERS, &scope, call.part(crud::ID)).await?;
    let seen = seen.ok_or_else(|| Problem::not_found(OFFERS.one))?;
    let to = text(&seen, "to_agent_id");
    if caller.role == Role::Agent && !to.is_empty() && to != caller.id().as_str() {
        return Err(Problem::not_yours("This transfer is for somebody else."));
    }
    let session_id = text(&seen, "session_id").to_owned();
    if status == TransferStatus::Accepted {
        // An API key is nobody who could answer: it accepts for the agent the transfer is for.
        let me = match &caller.actor {
            _ if !to.is_empty() => to.to_owned(),
            Actor::User(id) => id.to_string(),
            Actor::Key(_) => return Err(Problem::forbidden("Only a person can take a chat for a team.")),
        };
        let agent = crate::base::ids::Id::parse(&me).map_err(Problem::internal)?;
        room(call, tx, (&me, Work::Chat), &session_id).await?;
        let session = store::get_locked(tx, &SESSIONS, &whole, &session_id).await?;
        let session = session.ok_or_else(|| Problem::not_found(SESSIONS.one))?;
        let mut values = stepped(&session, |session| session.assign(agent, call.now_us()))?;
        if !text(&seen, "to_queue").is_empty() {
            values.insert("queue".into(), json!(text(&seen, "to_queue")));
        }
        store::update(tx, &SESSIONS, &whole, &session_id, &values, call.now_us()).await?;
    }
    let at = now(call);
    crud::act(call, tx, &OFFERS, status.as_str(), |before: &Record| {
        let mut transfer: ChatTransfer =
            serde_json::from_value(Value::Object(before.clone())).map_err(Problem::internal)?;
        if !transfer.answer(status, call.now_us()) {
            return Err(wrong_state("a transfer is answered once"));
        }
        Ok(Record::from_iter([
            ("status".to_owned(), json!(transfer.status.as_str())),
            ("answered_at".to_owned(), at),
        ]))
    })
    .await
}

/// What the answer to a transfer tells.
pub(super) fn tells(line: &Audited) -> Option<&'static str> {
    (text(&line.after, "status") == TransferStatus::Accepted.as_str()).then_some("chat.session.transferred")
}
