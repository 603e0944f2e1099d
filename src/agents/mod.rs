//! Agents: what they do and can take, where they sit, what is shown to them, and the sockets that users hold open.
//!
//! [`standing`] is the machine of an agent's state; [`phone`], the API and the clock ([`wrapup`]) move it, and each move is
//! written with its event and its row of the [`log`].

pub mod api;
pub mod capacity;
mod change;
pub mod desk;
pub mod log;
pub mod phone;
pub mod pop;
pub mod report;
pub mod standing;
pub mod wrapup;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::clock::{Clock, from_us};
use crate::base::ids::{Id, IdSource, Name, TenantId};
use crate::base::words::words;
use crate::db::Db;
use crate::events::Events;
pub use api::AGENTS;
pub use capacity::{FULL, Work, room};
pub use desk::{clear, retire};
pub use phone::{BusyPhone, PhoneNews, PhoneState, busy_phones, phone_changed};
pub use standing::AgentPhase;

/// What moves agents beside the API.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The database.
    pub db: Db,
    /// Makes ids.
    pub ids: IdSource,
    /// The time.
    pub clock: Clock,
    /// What changes tell.
    pub events: Arc<Events>,
}

words! {
    /// What an agent does.
    pub enum AgentStatus {
        /// Waits for work.
        Available = "available",
        /// Talks, or writes down what was said.
        Busy = "busy",
        /// Is not at the desk.
        Away = "away",
        /// Has a break.
        Break = "break",
        /// Is not signed in.
        Offline = "offline",
        /// Does not want to be disturbed.
        Dnd = "dnd",
    }
}

impl AgentStatus {
    /// Whether the agent is signed in.
    pub fn is_online(self) -> bool {
        self != Self::Offline
    }

    /// Whether queues leave the agent out: app_queue's pause.
    pub fn is_paused(self) -> bool {
        !matches!(self, Self::Available | Self::Busy)
    }
}

/// An agent's state now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentState {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The user.
    pub user_id: Id,
    /// What the agent does.
    pub state: AgentStatus,
    /// Why, in the agent's words.
    pub reason: Option<String>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// The state before.
    #[serde(default)]
    pub previous_state: Option<AgentStatus>,
    /// What holds the agent beside the own choice.
    #[serde(default = "free")]
    pub phase: AgentPhase,
    /// The own choice; it comes true once the talk or the rest after it is over.
    #[serde(default)]
    pub choice: Option<AgentStatus>,
    /// Why.
    #[serde(default)]
    pub choice_reason: Option<String>,
    /// When the rest after a call ends.
    #[serde(default)]
    pub wrapup_until: Option<DateTime<Utc>>,
    /// The phone.
    pub endpoint_id: Option<Id>,
    /// The phone's extension.
    pub extension: Option<Name>,
    /// Since when the agent sits there.
    #[serde(default)]
    pub login_at: Option<DateTime<Utc>>,
    /// The call that is talked on.
    pub call_id: Option<Id>,
    /// Calls at the same time at most.
    pub max_calls: u32,
    /// Open tickets at most.
    #[serde(default)]
    pub max_tickets: u32,
    /// Whatever the tenant keeps with it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When the row was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

fn free() -> AgentPhase {
    AgentPhase::Free
}

impl AgentState {
    /// Whether one more call can be given to an agent who has `calls`.
    pub fn can_take_call(&self, calls: u32) -> bool {
        self.state == AgentStatus::Available && self.endpoint_id.is_some() && calls < self.max_calls
    }

    /// Seconds in this state, `now_us` microseconds after 1970 UTC.
    pub fn seconds_in_state(&self, now_us: i64) -> u64 {
        u64::try_from((from_us(now_us) - self.since).num_seconds()).unwrap_or(0)
    }
}

/// An open or past socket of a user or a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WebSocketSession {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The user; `None`: a key holds it.
    pub user_id: Option<Id>,
    /// The key; `None`: a user holds it.
    pub api_key_id: Option<Id>,
    /// The process it is open to.
    pub node_id: Id,
    /// Where it comes from.
    pub address: Option<String>,
    /// What the other side calls itself.
    pub user_agent: Option<String>,
    /// Types of events it wants, such as `call.*`.
    #[serde(default)]
    pub subscriptions: Vec<String>,
    /// When it was opened.
    pub connected_at: DateTime<Utc>,
    /// When the other side was heard last.
    pub last_seen_at: DateTime<Utc>,
    /// When it was closed.
    pub disconnected_at: Option<DateTime<Utc>>,
    /// The code it was closed with.
    pub close_code: Option<u16>,
    /// Why it was closed.
    pub close_reason: Option<String>,
    /// When the row was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

impl WebSocketSession {
    /// Whether it was not closed.
    pub fn is_open(&self) -> bool {
        self.disconnected_at.is_none()
    }

    /// Whether it is open and was silent for longer than `limit_us` microseconds: its process has died.
    pub fn is_stale(&self, now_us: i64, limit_us: i64) -> bool {
        self.is_open() && now_us.saturating_sub(self.last_seen_at.timestamp_micros()) > limit_us
    }

    /// Whether events of a type are wanted: the type itself, all of a family (`call.*`), or all (`*`).
    pub fn wants(&self, event: &str) -> bool {
        self.subscriptions.iter().any(|wanted| match wanted.strip_suffix('*') {
            Some("") => true,
            Some(family) => family.ends_with('.') && event.starts_with(family),
            None => wanted == event,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "01arz3ndektsv4rrffq69g5fav";

    fn agent() -> AgentState {
        serde_json::from_value(json!({
            "id": ID, "tenant_id": "acme", "user_id": ID, "state": "available", "reason": null,
            "since": "1970-01-01T00:00:10Z", "endpoint_id": ID, "extension": "101", "call_id": null, "max_calls": 2,
            "created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-01T00:00:00Z"
        }))
        .unwrap()
    }

    #[test]
    fn only_an_available_agent_with_a_phone_gets_calls() {
        let mut one = agent();
        assert!(one.can_take_call(1) && !one.can_take_call(2));
        one.endpoint_id = None;
        assert!(!one.can_take_call(0));
        one.endpoint_id = Some(Id::parse(ID).unwrap());
        for word in AgentStatus::WORDS {
            one.state = AgentStatus::parse(word).unwrap();
            assert_eq!(one.can_take_call(0), *word == "available", "{word}");
            assert_eq!(one.state.is_online(), *word != "offline", "{word}");
            assert_eq!(one.state.is_paused(), !["available", "busy"].contains(word), "{word}");
        }
    }

    #[test]
    fn time_in_a_state_is_never_less_than_none() {
        let one = agent();
        assert_eq!((one.seconds_in_state(70_000_000), one.seconds_in_state(0)), (60, 0));
    }

    #[test]
    fn a_socket_wants_what_it_asked_for() {
        let mut one: WebSocketSession = serde_json::from_value(json!({
            "id": ID, "tenant_id": "acme", "user_id": ID, "api_key_id": null, "node_id": ID, "address": null,
            "user_agent": null, "subscriptions": ["call.*", "agent.state_changed", "tick*"],
            "connected_at": "1970-01-01T00:00:00Z", "last_seen_at": "1970-01-01T00:00:10Z", "disconnected_at": null,
            "close_code": null, "close_reason": null, "created_at": "1970-01-01T00:00:00Z",
            "updated_at": "1970-01-01T00:00:00Z"
        }))
        .unwrap();
        for (event, wanted) in [
            ("call.ended", true),
            ("call.recording.ready", true),
            ("callx.ended", false),
            ("agent.state_changed", true),
            ("agent.x", false),
            ("ticket.created", false),
        ] {
            assert_eq!(one.wants(event), wanted, "{event}");
        }
        assert!(one.is_open() && one.is_stale(15_000_001, 5_000_000) && !one.is_stale(15_000_000, 5_000_000));
        one.subscriptions = vec!["*".into()];
        assert!(one.wants("ticket.created"));
        one.disconnected_at = Some(one.connected_at);
        assert!(!one.is_open() && !one.is_stale(i64::MAX, 0));
    }
}
