//! Chat: widgets on web pages, conversations with visitors, the agents who answer them.

mod act;
pub mod api;
mod hand_on;
mod people;
mod talk;
mod widget;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::clock::from_us;
use crate::base::ids::{Id, Name, TenantId};
use crate::base::words::words;
use crate::config::limits::chat as limits;

pub use people::{ChatAgent, ChatTransfer, TransferStatus};

/// A chat window on somebody's web pages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatWidget {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its name for people.
    pub name: String,
    /// What the page's script names; no secret.
    pub public_key: String,
    /// The team that answers.
    pub queue: Option<String>,
    /// When somebody is there; `None`: always.
    pub schedule: Option<Name>,
    /// Looks and words.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// Pages it may be on: `https://www.example.com`, `https://*.example.com`. Empty: any.
    #[serde(default)]
    pub allowed_origins: Vec<String>,
    /// Whether it works.
    pub active: bool,
    /// Whatever the tenant keeps with it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

impl ChatWidget {
    /// Whether it may be used from an origin, as browsers send it. A `*.` stands for one or more names in front.
    pub fn allows(&self, origin: &str) -> bool {
        self.active
            && (self.allowed_origins.is_empty()
                || self.allowed_origins.iter().any(|allowed| match allowed.split_once("://*.") {
                    None => allowed == origin,
                    Some((scheme, domain)) => origin.split_once("://").is_some_and(|(by, host)| {
                        by == scheme
                            && host.strip_suffix(domain).is_some_and(|f| f.len() > 1 && f.ends_with('.'))
                    }),
                }))
    }
}

words! {
    /// How far a conversation is.
    pub enum ChatStatus {
        /// An agent answers.
        Active = "active",
        /// The visitor waits.
        Queued = "queued",
        /// It is over.
        Ended = "ended",
        /// The visitor left before anybody answered.
        Abandoned = "abandoned",
    }
}

words! {
    /// Who ended a conversation.
    pub enum EndedBy {
        /// The visitor.
        Visitor = "visitor",
        /// The agent.
        Agent = "agent",
        /// The service, after a long silence.
        System = "system",
    }
}

/// Why a conversation does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chat that is {0} can't be {1}")]
pub struct ChatError(pub ChatStatus, pub &'static str);

/// A conversation with a visitor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatSession {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The widget it came through.
    pub widget_id: Id,
    /// The visitor, the same in later conversations.
    pub visitor_id: String,
    /// What the visitor is called.
    pub visitor_name: Option<String>,
    /// Where the visitor gets mail.
    pub visitor_email: Option<String>,
    /// The contact the visitor is.
    pub contact_id: Option<Id>,
    /// How far it is.
    pub status: ChatStatus,
    /// The team it waits for.
    pub queue: Option<String>,
    /// The user who answers.
    pub agent_id: Option<Id>,
    /// When it began to wait.
    pub queued_at: Option<DateTime<Utc>>,
    /// When an agent took it.
    pub assigned_at: Option<DateTime<Utc>>,
    /// When an agent first wrote.
    pub first_reply_at: Option<DateTime<Utc>>,
    /// When anybody last wrote.
    pub last_message_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Who ended it.
    pub ended_by: Option<EndedBy>,
    /// The number of its last message.
    pub last_seq: u64,
    /// The visitor has read up to here.
    pub visitor_read_seq: u64,
    /// The agent has read up to here.
    pub agent_read_seq: u64,
    /// The visitor's mark, 1 (bad) to [`limits::RATING_MOST`].
    pub rating: Option<u8>,
    /// What the visitor said with it.
    pub rating_comment: Option<String>,
    /// The page it began on.
    pub page_url: Option<String>,
    /// The visitor's language.
    pub locale: Option<String>,
    /// Where the visitor comes from.
    pub address: Option<String>,
    /// What the visitor's browser calls itself.
    pub user_agent: Option<String>,
    /// Whatever the tenant keeps with it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

impl ChatSession {
    /// Whether an agent answers.
    pub fn is_active(&self) -> bool {
        self.status == ChatStatus::Active
    }

    /// Whether it is over, answered or not.
    pub fn is_ended(&self) -> bool {
        matches!(self.status, ChatStatus::Ended | ChatStatus::Abandoned)
    }

    /// Minutes from its begin to its end, or to now.
    pub fn duration_minutes(&self, now_us: i64) -> f64 {
        let end = self.ended_at.map_or(now_us, |at| at.timestamp_micros());
        // Exact to the microsecond for 285 years.
        end.saturating_sub(self.created_at.timestamp_micros()).max(0) as f64 / 6e7
    }

    /// Seconds that the visitor waited for an agent, or waits; `None`: there was no waiting.
    pub fn waited_s(&self, now_us: i64) -> Option<u64> {
        let until = self.assigned_at.or(self.ended_at).unwrap_or(from_us(now_us));
        self.queued_at.map(|from| u64::try_from((until - from).num_seconds()).unwrap_or(0))
    }

    /// Gives it to an agent, also from one to another.
    ///
    /// # Errors
    /// When it is over.
    pub fn assign(&mut self, agent: Id, now_us: i64) -> Result<(), ChatError> {
        if self.is_ended() {
            return Err(ChatError(self.status, "assigned"));
        }
        let now = from_us(now_us);
        // How long the visitor waited is told by the first one.
        self.assigned_at = self.assigned_at.or(Some(now));
        (self.agent_id, self.status, self.updated_at) = (Some(agent), ChatStatus::Active, now);
        Ok(())
    }

    /// Ends it. Without an agent, the visitor's leaving and a long silence make it abandoned.
    ///
    /// # Errors
    /// When it is over already: who ended it first stays.
    pub fn end(&mut self, by: EndedBy, now_us: i64) -> Result<(), ChatError> {
        if self.is_ended() {
            return Err(ChatError(self.status, "ended"));
        }
        let unanswered = self.assigned_at.is_none() && by != EndedBy::Agent;
        self.status = if unanswered { ChatStatus::Abandoned } else { ChatStatus::Ended };
        self.ended_by = Some(by);
        (self.ended_at, self.updated_at) = (Some(from_us(now_us)), from_us(now_us));
        Ok(())
    }

    /// Takes the visitor's mark. Returns whether it is one, and the conversation had an agent.
    pub fn rate(&mut self, rating: u8, now_us: i64) -> bool {
        let may = (1..=limits::RATING_MOST).contains(&rating) && self.assigned_at.is_some();
        if may {
            (self.rating, self.updated_at) = (Some(rating), from_us(now_us));
        }
        may
    }
}

words! {
    /// Who wrote a message.
    pub enum SenderKind {
        /// The visitor.
        Visitor = "visitor",
        /// An agent.
        Agent = "agent",
        /// The service.
        System = "system",
        /// A plugin.
        Plugin = "plugin",
    }
}

words! {
    /// What a message is.
    pub enum ChatMessageKind {
        /// Words.
        Text = "text",
        /// A file; metadata says which.
        File = "file",
        /// Something that happened, such as a transfer.
        Event = "event",
        /// Words that only agents see.
        Note = "note",
    }
}

/// A message in a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The conversation.
    pub session_id: Id,
    /// Its number there, from 1, without gaps. Only this tells the order.
    pub seq: u64,
    /// The sender's own id of it: a repeat finds the first one.
    pub client_id: Option<String>,
    /// Who wrote it.
    pub sender_kind: SenderKind,
    /// The visitor, user or plugin.
    pub sender_id: Option<String>,
    /// Its name at that time.
    pub sender_name: Option<String>,
    /// What it is.
    pub kind: ChatMessageKind,
    /// The text.
    pub body: String,
    /// When the other side read it.
    pub read_at: Option<DateTime<Utc>>,
    /// Whatever belongs to it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

impl ChatMessage {
    /// Whether the visitor sees it.
    pub fn is_for_visitor(&self) -> bool {
        self.kind != ChatMessageKind::Note
    }

    /// Whether an agent answered the visitor with it.
    pub fn is_reply(&self) -> bool {
        self.sender_kind == SenderKind::Agent
            && matches!(self.kind, ChatMessageKind::Text | ChatMessageKind::File)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "01arz3ndektsv4rrffq69g5fav";

    fn session() -> ChatSession {
        serde_json::from_value(json!({
            "id": ID, "tenant_id": "acme", "widget_id": ID, "visitor_id": "v1", "status": "queued",
            "queued_at": "1970-01-01T00:00:10Z", "last_seq": 0, "visitor_read_seq": 0, "agent_read_seq": 0,
            "created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-01T00:00:00Z"
        }))
        .unwrap()
    }

    fn agent() -> Id {
        Id::parse(ID).unwrap()
    }

    #[test]
    fn a_conversation_is_taken_and_ended_once() {
        let mut one = session();
        assert_eq!(one.waited_s(25_000_000), Some(15));
        one.assign(agent(), 30_000_000).unwrap();
        one.assign(agent(), 50_000_000).unwrap();
        assert!(one.is_active() && !one.is_ended());
        assert_eq!(one.waited_s(i64::MAX), Some(20));
        assert!((one.duration_minutes(60_000_000) - 1.0).abs() < 1e-12);
        one.end(EndedBy::Agent, 90_000_000).unwrap();
        assert_eq!((one.status, one.ended_by), (ChatStatus::Ended, Some(EndedBy::Agent)));
        assert!((one.duration_minutes(i64::MAX) - 1.5).abs() < 1e-12);
        let before = one.clone();
        assert_eq!(one.end(EndedBy::Visitor, 91_000_000), Err(ChatError(ChatStatus::Ended, "ended")));
        assert!(one.assign(agent(), 92_000_000).is_err());
        assert_eq!(one, before);
    }

    #[test]
    fn who_leaves_before_an_agent_comes_abandons() {
        for (by, taken, status) in [
            (EndedBy::Visitor, false, ChatStatus::Abandoned),
            (EndedBy::System, false, ChatStatus::Abandoned),
            (EndedBy::Agent, false, ChatStatus::Ended),
            (EndedBy::Visitor, true, ChatStatus::Ended),
            (EndedBy::System, true, ChatStatus::Ended),
        ] {
            let mut one = session();
            if taken {
                one.assign(agent(), 1).unwrap();
            }
            one.end(by, 2).unwrap();
            assert_eq!(one.status, status, "{by} {taken}");
            assert!(one.is_ended() && !one.is_active());
        }
    }

    #[test]
    fn marks_are_for_agents() {
        let mut one = session();
        assert!(!one.rate(5, 1));
        one.assign(agent(), 1).unwrap();
        assert!(!one.rate(0, 2) && !one.rate(6, 2) && one.rating.is_none());
        assert!(one.rate(1, 2) && one.rate(5, 3));
        assert_eq!(one.rating, Some(5));
    }

    #[test]
    fn origins_are_compared_whole() {
        let mut one: ChatWidget = serde_json::from_value(json!({
            "id": ID, "tenant_id": "acme", "name": "Site", "public_key": "k", "queue": null, "schedule": null,
            "allowed_origins": ["https://acme.test", "https://*.acme.test"], "active": true,
            "created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-01T00:00:00Z"
        }))
        .unwrap();
        for (origin, allowed) in [
            ("https://acme.test", true),
            ("https://www.acme.test", true),
            ("https://a.b.acme.test", true),
            ("http://www.acme.test", false),
            ("https://evilacme.test", false),
            ("https://.acme.test", false),
            ("https://acme.test.evil.test", false),
            ("https://www.acme.test:8443", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(one.allows(origin), allowed, "{origin}");
        }
        one.allowed_origins.clear();
        assert!(one.allows("https://any.test"));
        one.active = false;
        assert!(!one.allows("https://any.test"));
    }

    #[test]
    fn notes_stay_inside_and_are_no_reply() {
        let mut one: ChatMessage = serde_json::from_value(json!({
            "id": ID, "tenant_id": "acme", "session_id": ID, "seq": 1, "client_id": null, "sender_kind": "agent",
            "sender_id": null, "sender_name": null, "kind": "text", "body": "Hi", "read_at": null,
            "created_at": "1970-01-01T00:00:00Z"
        }))
        .unwrap();
        assert!(one.is_for_visitor() && one.is_reply());
        one.kind = ChatMessageKind::Note;
        assert!(!one.is_for_visitor() && !one.is_reply());
        (one.kind, one.sender_kind) = (ChatMessageKind::Text, SenderKind::Plugin);
        assert!(one.is_for_visitor() && !one.is_reply());
    }
}
