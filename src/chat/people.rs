//! Agents' settings for chat, and conversations handed from one to another.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::clock::from_us;
use crate::base::ids::{Id, TenantId};
use crate::base::words::words;

words! {
    /// How far a transfer is.
    pub enum TransferStatus {
        /// The other side has not answered.
        Requested = "requested",
        /// The other side took it.
        Accepted = "accepted",
        /// The other side does not want it.
        Refused = "refused",
        /// Nobody answered, or the conversation ended.
        Expired = "expired",
    }
}

/// A conversation on its way to another agent or team.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatTransfer {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The conversation.
    pub session_id: Id,
    /// The user who gives it away.
    pub from_agent_id: Option<Id>,
    /// The user who should take it.
    pub to_agent_id: Option<Id>,
    /// The team that should take it.
    pub to_queue: Option<String>,
    /// How far it is.
    pub status: TransferStatus,
    /// What the other side should know.
    pub note: Option<String>,
    /// When the other side answered.
    pub answered_at: Option<DateTime<Utc>>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

impl ChatTransfer {
    /// Whether nobody has answered yet.
    pub fn is_waiting(&self) -> bool {
        self.status == TransferStatus::Requested
    }

    /// Answers it. Returns whether it was still waiting: of two answers the first one counts.
    pub fn answer(&mut self, status: TransferStatus, now_us: i64) -> bool {
        if !self.is_waiting() || status == TransferStatus::Requested {
            return false;
        }
        (self.status, self.answered_at) = (status, Some(from_us(now_us)));
        self.updated_at = from_us(now_us);
        true
    }
}

/// How a user chats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatAgent {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The user.
    pub user_id: Id,
    /// The name that visitors see.
    pub display_name: Option<String>,
    /// Conversations at the same time at most.
    pub max_chats: u32,
    /// Whether new ones are wanted.
    pub is_available: bool,
    /// Whether other agents may hand theirs over.
    pub accepts_transfers: bool,
    /// What the agent knows, such as `billing` or `es`.
    #[serde(default)]
    pub skills: Vec<String>,
    /// When the last conversation was given: of equals the one who waits longest gets the next.
    pub last_assigned_at: Option<DateTime<Utc>>,
    /// Whatever the tenant keeps with it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

impl ChatAgent {
    /// Whether one more conversation fits beside `chats`.
    pub fn can_take(&self, chats: u32) -> bool {
        self.is_available && chats < self.max_chats
    }

    /// Whether another agent's conversation fits beside `chats`.
    pub fn can_take_transfer(&self, chats: u32) -> bool {
        self.accepts_transfers && self.can_take(chats)
    }

    /// Whether the agent knows all that is asked for.
    pub fn has_skills(&self, wanted: &[String]) -> bool {
        wanted.iter().all(|skill| self.skills.contains(skill))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "01arz3ndektsv4rrffq69g5fav";

    #[test]
    fn an_agent_takes_what_fits() {
        let mut one: ChatAgent = serde_json::from_value(json!({
            "id": ID, "tenant_id": "acme", "user_id": ID, "display_name": null, "max_chats": 2, "is_available": true,
            "accepts_transfers": true, "skills": ["es"], "last_assigned_at": null,
            "created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-01T00:00:00Z"
        }))
        .unwrap();
        assert!(one.can_take(1) && !one.can_take(2) && one.can_take_transfer(1));
        assert!(one.has_skills(&[]) && one.has_skills(&["es".into()]));
        assert!(!one.has_skills(&["es".into(), "fr".into()]));
        one.accepts_transfers = false;
        assert!(one.can_take(1) && !one.can_take_transfer(1));
        (one.is_available, one.accepts_transfers) = (false, true);
        assert!(!one.can_take(0) && !one.can_take_transfer(0));
    }

    #[test]
    fn the_first_answer_counts() {
        let mut one: ChatTransfer = serde_json::from_value(json!({
            "id": ID, "tenant_id": "acme", "session_id": ID, "status": "requested",
            "created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-01T00:00:00Z"
        }))
        .unwrap();
        assert!(!one.answer(TransferStatus::Requested, 1));
        assert!(one.answer(TransferStatus::Accepted, 2));
        assert!(!one.answer(TransferStatus::Refused, 3));
        assert_eq!((one.status, one.answered_at), (TransferStatus::Accepted, Some(from_us(2))));
        assert!(!one.is_waiting());
    }
}
