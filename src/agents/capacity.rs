//! How much an agent has and can take: calls, chats and tickets by one rule. Nothing here gives work to anybody; whoever does
//! asks here. What agents take or give by hand keeps within the limits ([`room`]); supervisors see them and decide.

use serde_json::{Value, json};

use super::api::AGENTS;
use super::standing::AgentPhase;
use super::{AgentStatus, PhoneState};
use crate::api::{Action, Call, Doing, Field, Handler, Operation, Output, Parameter, Problem, Reply, crud};
use crate::base::ids::TenantId;
use crate::base::role::Role;
use crate::base::words::words;
use crate::config::limits::agents as limits;
use crate::db::{Db, Tx, db_read, db_tx};

words! {
    /// Kinds of work.
    pub enum Work {
        /// A call.
        Call = "call",
        /// A conversation of chat.
        Chat = "chat",
        /// A ticket.
        Ticket = "ticket",
    }
}

/// What an agent has and may have.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Capacity {
    /// The agent's record.
    pub id: String,
    /// The user.
    pub user_id: String,
    /// What the agent does.
    pub state: String,
    /// What holds the agent.
    pub phase: String,
    /// The own choice.
    pub choice: String,
    /// Since when, microseconds since 1970 UTC.
    pub since: i64,
    /// What the phone does.
    pub phone_state: String,
    /// Whether a phone is registered where the agent sits.
    pub reachable: bool,
    /// Calls at most.
    pub max_calls: i64,
    /// Whether the agent wants chats.
    pub wants_chats: bool,
    /// Chats that are the agent's.
    pub chats: i64,
    /// Chats at most.
    pub max_chats: i64,
    /// Open tickets that are the agent's.
    pub tickets: i64,
    /// Open tickets at most.
    pub max_tickets: i64,
}

impl Capacity {
    /// How much of a kind the agent has, and may have.
    pub fn load(&self, work: Work) -> (i64, i64) {
        match work {
            // A call that rings is one.
            Work::Call => {
                let talks = self.phase == AgentPhase::Talking.as_str();
                let rings = self.phone_state == PhoneState::Ringing.as_str();
                (i64::from(talks) + i64::from(rings), self.max_calls)
            }
            Work::Chat => (self.chats, self.max_chats),
            Work::Ticket => (self.tickets, self.max_tickets),
        }
    }

    /// Whether one more fits. A call needs a phone and nobody who rests; a chat somebody whom no call holds; a ticket waits
    /// for whoever works today.
    pub fn takes(&self, work: Work) -> bool {
        let (has, most) = self.load(work);
        let phase = AgentPhase::parse(&self.phase);
        let choice = AgentStatus::parse(&self.choice);
        let ready = choice == Some(AgentStatus::Available);
        has < most
            && match work {
                Work::Call => ready && phase != Some(AgentPhase::Wrapup) && self.reachable,
                Work::Chat => ready && phase == Some(AgentPhase::Free) && self.wants_chats,
                Work::Ticket => choice.is_some_and(|choice| !choice.is_paused()),
            }
    }

    fn shown(&self) -> Value {
        let mut shown = json!({
            "agent_id": self.id, "user_id": self.user_id, "state": self.state, "reachable": self.reachable,
        });
        for work in [Work::Call, Work::Chat, Work::Ticket] {
            let (has, most) = self.load(work);
            shown[format!("{work}s")] = json!(has);
            shown[format!("max_{work}s")] = json!(most);
            shown[format!("takes_{work}")] = json!(self.takes(work));
        }
        shown
    }
}

static CAPACITY: &[Field] = &[
    Field::id("agent_id", "The agent."),
    Field::id("user_id", "The user."),
    Field::one_of("state", AgentStatus::WORDS, "What the agent does."),
    Field::flag("reachable", "Whether a phone is registered where the agent sits."),
    Field::int("calls", 0, i64::MAX, "Calls at the phone: one that is talked on, one that rings."),
    Field::int("max_calls", 0, i64::MAX, "Calls at most."),
    Field::flag("takes_call", "Available, reachable, not resting, and fewer calls than that."),
    Field::int("chats", 0, i64::MAX, "Chats that the agent answers."),
    Field::int("max_chats", 0, i64::MAX, "Chats at most, from /chat/agents."),
    Field::flag("takes_chat", "Available, held by no call, wants chats (/chat/agents), and fewer than that."),
    Field::int("tickets", 0, i64::MAX, "Open tickets that are the agent's."),
    Field::int("max_tickets", 0, i64::MAX, "Open tickets at most."),
    Field::flag("takes_ticket", "Available or busy, and fewer tickets than that."),
];

/// `/agents/{id}/capacity`, `/agents/available`
pub(super) fn actions() -> Vec<Action> {
    let one = Operation {
        doc: "Limits and what counts towards them, as of now.".into(),
        output: Output::Object("AgentCapacity", CAPACITY, 200),
        ..Operation::new(
            "agents.capacity",
            "GET",
            "/agents/{id}/capacity",
            "Read how much an agent has and can take",
            AGENTS.may.read,
        )
    };
    let kind = Field::one_of("kind", Work::WORDS, "The kind of work.").example("\"call\"");
    let all = Operation {
        doc: "Whoever has the smallest share of the own limit first, of equals who waits longest; 500 at most. Work is given by \
              hand (POST /tickets/{id}/assign, `agent_id` of PATCH /chat/sessions/{id}) and by Asterisk's queues: this says to \
              whom it can be. An agent who takes or gives a chat or ticket beyond the limit gets 409 `at-capacity`; supervisors, \
              admins and their keys may go beyond it."
            .into(),
        query: vec![Parameter { field: kind, required: true }],
        output: Output::Objects("AgentCapacity", CAPACITY),
        ..Operation::new(
            "agents.available",
            "GET",
            "/agents/available",
            "List agents who can take a call, chat or ticket",
            AGENTS.may.read,
        )
    };
    vec![
        Action { operation: one, handler: Handler::read(show) },
        Action { operation: all, handler: Handler::read(list) },
    ]
}

/// Agents of a tenant with what they have; one of them, or (empty) all who work.
///
/// # Errors
/// When the database is away.
pub async fn of(db: &Db, tenant: &TenantId, agent: &str) -> sqlx::Result<Vec<Capacity>> {
    const SQL: &str = "SELECT a.id, a.user_id, a.state, a.phase, a.choice, a.since, a.phone_state, \
         (SELECT COUNT(*) > 0 FROM endpoints e WHERE e.tenant_id = a.tenant_id AND e.id = a.endpoint_id AND e.registered) AS reachable, \
         a.max_calls, COALESCE(c.is_available, 0) > 0 AS wants_chats, \
         (SELECT COUNT(*) FROM chat_sessions s WHERE s.tenant_id = a.tenant_id AND s.agent_id = a.user_id AND s.status = 'active') AS chats, \
         COALESCE(c.max_chats, ?) AS max_chats, \
         (SELECT COUNT(*) FROM tickets t WHERE t.tenant_id = a.tenant_id AND t.assigned_to = a.user_id \
         AND t.status IN ('open', 'in_progress', 'pending') AND t.deleted_at = 0) AS tickets, a.max_tickets \
         FROM agent_states a LEFT JOIN chat_agents c ON c.tenant_id = a.tenant_id AND c.user_id = a.user_id \
         WHERE a.tenant_id = ? AND (a.id = ? OR (? = '' AND a.choice IN ('available', 'busy'))) ORDER BY a.since, a.id LIMIT ?";
    db_read!(db, |p| sqlx::query_as(SQL)
        .bind(limits::CHATS_UNTOLD)
        .bind(tenant.as_str())
        .bind(agent)
        .bind(agent)
        .bind(limits::WALL_AGENTS)
        .fetch_all(p)
        .await)
}

/// What an agent is told who takes or gives more than fits.
pub const FULL: (u16, &str, &str) =
    (409, "at-capacity", "The agent has as many as the limit says; supervisors may go beyond it.");

/// Whether one more chat or ticket, `id`, fits to a user, where it is an agent who takes or gives it.
///
/// # Errors
/// 409 when it does not.
pub async fn room(call: &Call, tx: &mut Tx, (user, work): (&str, Work), id: &str) -> Result<(), Problem> {
    const CHATS: &str = "SELECT (SELECT COUNT(*) FROM chat_sessions WHERE tenant_id = ? AND agent_id = ? AND status = 'active' \
         AND id <> ?), COALESCE((SELECT max_chats FROM chat_agents WHERE tenant_id = ? AND user_id = ?), ?)";
    const TICKETS: &str = "SELECT (SELECT COUNT(*) FROM tickets WHERE tenant_id = ? AND assigned_to = ? \
         AND status IN ('open', 'in_progress', 'pending') AND deleted_at = 0 AND id <> ?), \
         COALESCE((SELECT max_tickets FROM agent_states WHERE tenant_id = ? AND user_id = ?), ?)";
    let (sql, untold) = match work {
        Work::Chat => (CHATS, limits::CHATS_UNTOLD),
        Work::Ticket => (TICKETS, limits::TICKETS_UNTOLD),
        // Asterisk gives calls.
        Work::Call => return Ok(()),
    };
    if call.caller()?.role != Role::Agent || user.is_empty() {
        return Ok(());
    }
    let tenant = call.tenant()?.as_str();
    let (has, most): (i64, i64) = db_tx!(tx, |c| sqlx::query_as(sql)
        .bind(tenant)
        .bind(user)
        .bind(id)
        .bind(tenant)
        .bind(user)
        .bind(untold)
        .fetch_one(c)
        .await?);
    if has < most { Ok(()) } else { Err(Problem::conflict(FULL.1, FULL.2)) }
}

fn show(call: &Call) -> Doing<'_, Result<Reply, Problem>> {
    Box::pin(async move {
        let id = call.part(crud::ID);
        let found = of(&call.db, call.tenant()?, id).await?;
        let one = found.first().filter(|one| one.id == id);
        one.map(|one| Reply::json(one.shown())).ok_or_else(|| Problem::not_found(AGENTS.one))
    })
}

fn list(call: &Call) -> Doing<'_, Result<Reply, Problem>> {
    Box::pin(async move {
        let work = call.parameter("kind").and_then(Work::parse).unwrap_or(Work::Call);
        let mut able = of(&call.db, call.tenant()?, "").await?;
        able.retain(|one| one.takes(work));
        // has / most of two, without dividing; they came by who waits longest.
        able.sort_by(|a, b| {
            let ((a_has, a_most), (b_has, b_most)) = (a.load(work), b.load(work));
            (a_has * b_most).cmp(&(b_has * a_most))
        });
        let shown = able.iter().take(limits::AVAILABLE_SHOWN).map(Capacity::shown);
        Ok(Reply::json(json!({"data": shown.collect::<Vec<Value>>()})))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(choice: &str, phase: &str) -> Capacity {
        Capacity {
            id: String::new(),
            user_id: String::new(),
            state: choice.into(),
            phase: phase.into(),
            choice: choice.into(),
            since: 0,
            phone_state: "idle".into(),
            reachable: true,
            max_calls: 1,
            wants_chats: true,
            chats: 1,
            max_chats: 2,
            tickets: 1,
            max_tickets: 2,
        }
    }

    #[test]
    fn who_can_take_what() {
        let takes = |one: &Capacity| [Work::Call, Work::Chat, Work::Ticket].map(|work| one.takes(work));
        for (choice, phase, able) in [
            ("available", "free", [true, true, true]),
            ("available", "talking", [false, false, true]),
            ("available", "wrapup", [false, false, true]),
            ("busy", "free", [false, false, true]),
            ("break", "free", [false, false, false]),
            ("away", "talking", [false, false, false]),
            ("dnd", "free", [false, false, false]),
            ("offline", "free", [false, false, false]),
        ] {
            assert_eq!(takes(&one(choice, phase)), able, "{choice} {phase}");
        }
        let ready = one("available", "free");
        for (able, other) in [
            ([false, true, true], Capacity { reachable: false, ..ready.clone() }),
            ([false, true, true], Capacity { phone_state: "ringing".into(), ..ready.clone() }),
            ([true, false, true], Capacity { wants_chats: false, ..ready.clone() }),
            ([true, false, true], Capacity { chats: 2, ..ready.clone() }),
            ([true, true, false], Capacity { tickets: 2, ..ready.clone() }),
            ([true, false, true], Capacity { max_calls: 2, phase: "talking".into(), ..ready.clone() }),
        ] {
            assert_eq!(takes(&other), able, "{other:?}");
        }
    }

    #[test]
    fn untold_limits_are_what_new_records_have() {
        let default = |resource: &crate::api::Resource, name: &str| {
            resource.field(name).and_then(|field| field.default).and_then(|text| text.parse::<i64>().ok())
        };
        assert_eq!(default(&AGENTS, "max_tickets"), Some(limits::TICKETS_UNTOLD));
    }
}
