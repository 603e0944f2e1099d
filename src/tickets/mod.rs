//! Tickets: what somebody wants and how far it is. [`Ticket::move_to`] is the only way from one status to another.

mod act;
pub mod api;
mod desk;
pub mod files;
pub mod sla;
mod sniff;
mod talk;
mod thread;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::clock::from_us;
use crate::base::ids::{Id, TenantId};
use crate::base::words::words;

pub use desk::{About, Author, Desk, DraftError, Drafted, ORIGIN, SOURCE};
pub use sla::TicketSla;
pub use thread::{
    AuthorKind, BodyFormat, MessageKind, TicketAttachment, TicketMessage, TicketTag, TicketTemplate,
};

words! {
    /// How far a ticket is.
    pub enum TicketStatus {
        /// Nobody works on it.
        Open = "open",
        /// Somebody works on it.
        InProgress = "in_progress",
        /// It waits for the person who wants something.
        Pending = "pending",
        /// Done, as we see it; an answer opens it again.
        Resolved = "resolved",
        /// Done for good; an answer makes a new ticket.
        Closed = "closed",
    }
}

impl TicketStatus {
    /// Whether there is still something to do.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::InProgress | Self::Pending)
    }

    /// Whether a ticket may go from here to `to`.
    pub fn may_become(self, to: Self) -> bool {
        match self {
            Self::Open | Self::InProgress | Self::Pending => to != self,
            Self::Resolved => matches!(to, Self::Open | Self::InProgress | Self::Closed),
            Self::Closed => false,
        }
    }
}

words! {
    /// How much it matters.
    pub enum TicketPriority {
        /// Can wait.
        Low = "low",
        /// As most.
        Medium = "medium",
        /// Before most.
        High = "high",
        /// Before all.
        Critical = "critical",
    }
}

words! {
    /// How it came.
    pub enum TicketChannel {
        /// An agent wrote it.
        Web = "web",
        /// By a call.
        Phone = "phone",
        /// By a message on a mailbox.
        Voicemail = "voicemail",
        /// By mail.
        Email = "email",
        /// From a chat.
        Chat = "chat",
        /// By a text message.
        Sms = "sms",
        /// By a program.
        Api = "api",
        /// By a plugin.
        Plugin = "plugin",
    }
}

/// Why a ticket does not change its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a ticket that is {from} can't become {to}")]
pub struct TransitionError {
    /// What it is.
    pub from: TicketStatus,
    /// What it should become.
    pub to: TicketStatus,
}

/// Something that somebody wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its number for people, from 1 in each tenant.
    pub number: u64,
    /// What it is about.
    pub subject: String,
    /// What it is about, at length.
    pub description: Option<String>,
    /// How far it is.
    pub status: TicketStatus,
    /// How much it matters.
    pub priority: TicketPriority,
    /// How it came.
    pub channel: TicketChannel,
    /// The team it lies with.
    pub queue: Option<String>,
    /// What kind of thing it is, in the tenant's words.
    pub category: Option<String>,
    /// Who wants it.
    pub contact_id: Option<Id>,
    /// The user who works on it.
    pub assigned_to: Option<Id>,
    /// The user who wrote it down.
    pub created_by: Option<Id>,
    /// The call it came from.
    pub call_id: Option<Id>,
    /// The chat it came from.
    pub chat_session_id: Option<Id>,
    /// What made it, so that it is made once; `None`: a person did.
    pub origin_key: Option<String>,
    /// When it should be done, as somebody promised.
    pub due_at: Option<DateTime<Utc>>,
    /// When it was resolved.
    pub resolved_at: Option<DateTime<Utc>>,
    /// When it was closed.
    pub closed_at: Option<DateTime<Utc>>,
    /// How often it was opened again.
    pub reopened_count: u32,
    /// When something was last said in it.
    pub last_message_at: Option<DateTime<Utc>>,
    /// Since when the contact waits for an answer.
    pub waiting_since: Option<DateTime<Utc>>,
    /// The service level it falls under.
    pub sla_policy_id: Option<Id>,
    /// When it was first answered.
    pub first_response_at: Option<DateTime<Utc>>,
    /// When it should be first answered.
    pub first_response_due_at: Option<DateTime<Utc>>,
    /// When that was missed.
    pub first_response_breached_at: Option<DateTime<Utc>>,
    /// When what the contact said last should be answered.
    pub next_response_due_at: Option<DateTime<Utc>>,
    /// When that was missed.
    pub next_response_breached_at: Option<DateTime<Utc>>,
    /// When it should be resolved.
    pub resolution_due_at: Option<DateTime<Utc>>,
    /// When that was missed.
    pub resolution_breached_at: Option<DateTime<Utc>>,
    /// Since when the clock of its resolution stands still.
    pub sla_paused_at: Option<DateTime<Utc>>,
    /// For how long that clock has stood still before, in working seconds.
    pub sla_paused_total_s: u64,
    /// Ids of its tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whatever the tenant keeps with it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

impl Ticket {
    /// Whether there is still something to do.
    pub fn is_open(&self) -> bool {
        self.status.is_open()
    }

    /// Whether it is done for good.
    pub fn is_closed(&self) -> bool {
        self.status == TicketStatus::Closed
    }

    /// Whether it should be done by now, by promise or by service level, and is not.
    pub fn is_overdue(&self, now_us: i64) -> bool {
        let due = [self.due_at, self.resolution_due_at].into_iter().flatten().min();
        self.is_open() && due.is_some_and(|due| due.timestamp_micros() <= now_us)
    }

    /// Hours since it was made.
    pub fn age_hours(&self, now_us: i64) -> f64 {
        let us = now_us.saturating_sub(self.created_at.timestamp_micros()).max(0);
        // Exact to the microsecond for 285 years.
        us as f64 / 3.6e9
    }

    /// Whether any of its service levels was missed.
    pub fn is_breached(&self) -> bool {
        self.first_response_breached_at
            .or(self.next_response_breached_at)
            .or(self.resolution_breached_at)
            .is_some()
    }

    /// The next moment at which a service level is missed; `None`: nothing runs.
    pub fn next_sla_due(&self) -> Option<DateTime<Utc>> {
        if !self.is_open() {
            return None;
        }
        let first = self.first_response_due_at.filter(|_| self.first_response_at.is_none());
        let resolution = self.resolution_due_at.filter(|_| self.sla_paused_at.is_none());
        [first, self.next_response_due_at, resolution].into_iter().flatten().min()
    }

    /// Goes to another status, with the times that belong to it. Service levels are the clocks' business.
    ///
    /// # Errors
    /// When there is no such way: nothing is changed then.
    pub fn move_to(&mut self, to: TicketStatus, now_us: i64) -> Result<(), TransitionError> {
        let from = self.status;
        if !from.may_become(to) {
            return Err(TransitionError { from, to });
        }
        let now = from_us(now_us);
        match to {
            TicketStatus::Resolved => self.resolved_at = Some(now),
            TicketStatus::Closed => {
                self.resolved_at = self.resolved_at.or(Some(now));
                self.closed_at = Some(now);
            }
            TicketStatus::Open | TicketStatus::InProgress | TicketStatus::Pending => {
                if from == TicketStatus::Resolved {
                    self.resolved_at = None;
                    self.reopened_count = self.reopened_count.saturating_add(1);
                }
            }
        }
        (self.status, self.updated_at) = (to, now);
        Ok(())
    }

    /// Closes it for good.
    ///
    /// # Errors
    /// When it is closed already.
    pub fn close(&mut self, now_us: i64) -> Result<(), TransitionError> {
        self.move_to(TicketStatus::Closed, now_us)
    }

    /// Says that it is done.
    ///
    /// # Errors
    /// When it is resolved or closed already.
    pub fn resolve(&mut self, now_us: i64) -> Result<(), TransitionError> {
        self.move_to(TicketStatus::Resolved, now_us)
    }

    /// Opens a resolved one again.
    ///
    /// # Errors
    /// When it is not resolved.
    pub fn reopen(&mut self, now_us: i64) -> Result<(), TransitionError> {
        if self.status != TicketStatus::Resolved {
            return Err(TransitionError { from: self.status, to: TicketStatus::Open });
        }
        self.move_to(TicketStatus::Open, now_us)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn ticket() -> Ticket {
        let mut json = json!({
            "id": "01arz3ndektsv4rrffq69g5fav", "tenant_id": "acme", "number": 1, "subject": "Help", "status": "open",
            "priority": "high", "channel": "phone", "reopened_count": 0, "sla_paused_total_s": 0,
            "created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-01T00:00:00Z"
        });
        json["queue"] = "support".into();
        serde_json::from_value(json).unwrap()
    }

    fn all() -> impl Iterator<Item = TicketStatus> {
        TicketStatus::WORDS.iter().filter_map(|word| TicketStatus::parse(word))
    }

    #[test]
    fn every_way_between_statuses() {
        let refused = [
            ("resolved", "pending"),
            ("closed", "open"),
            ("closed", "in_progress"),
            ("closed", "pending"),
            ("closed", "resolved"),
        ];
        for from in all() {
            for to in all() {
                let mut one = Ticket { status: from, ..ticket() };
                let before = one.clone();
                let may = from != to && !refused.contains(&(from.as_str(), to.as_str()));
                assert_eq!(one.move_to(to, 7), if may { Ok(()) } else { Err(TransitionError { from, to }) });
                assert_eq!(one == before, !may, "{from} -> {to}");
                assert!(!one.is_open() || !one.is_closed());
            }
        }
    }

    #[test]
    fn times_follow_the_status() {
        let mut one = ticket();
        one.resolve(1).unwrap();
        assert_eq!((one.resolved_at, one.closed_at, one.is_open()), (Some(from_us(1)), None, false));
        one.reopen(2).unwrap();
        assert_eq!((one.resolved_at, one.reopened_count, one.is_open()), (None, 1, true));
        assert!(one.reopen(3).is_err());
        one.close(4).unwrap();
        assert_eq!((one.resolved_at, one.closed_at), (Some(from_us(4)), Some(from_us(4))));
        assert!(one.is_closed() && one.close(5).is_err() && one.resolve(5).is_err());
        assert_eq!(one.updated_at, from_us(4));

        let mut two = ticket();
        two.resolve(1).unwrap();
        two.close(9).unwrap();
        assert_eq!((two.resolved_at, two.closed_at), (Some(from_us(1)), Some(from_us(9))));
    }

    #[test]
    fn overdue_by_promise_or_service_level_while_open() {
        let mut one = ticket();
        assert!(!one.is_overdue(i64::MAX));
        one.resolution_due_at = Some(from_us(20));
        assert!(one.is_overdue(20) && !one.is_overdue(19));
        one.due_at = Some(from_us(10));
        assert!(one.is_overdue(10) && !one.is_overdue(9));
        one.resolve(11).unwrap();
        assert!(!one.is_overdue(i64::MAX));
    }

    #[test]
    fn age_is_in_hours_and_never_negative() {
        let one = ticket();
        assert!((one.age_hours(5_400_000_000) - 1.5).abs() < 1e-12);
        assert!(one.age_hours(-1).abs() < 1e-12);
    }

    #[test]
    fn the_next_due_time_is_of_a_clock_that_runs() {
        let mut one = ticket();
        assert_eq!((one.next_sla_due(), one.is_breached()), (None, false));
        one.first_response_due_at = Some(from_us(10));
        one.next_response_due_at = Some(from_us(30));
        one.resolution_due_at = Some(from_us(20));
        assert_eq!(one.next_sla_due(), Some(from_us(10)));
        one.first_response_at = Some(from_us(5));
        assert_eq!(one.next_sla_due(), Some(from_us(20)));
        one.sla_paused_at = Some(from_us(6));
        assert_eq!(one.next_sla_due(), Some(from_us(30)));
        one.next_response_breached_at = Some(from_us(30));
        assert!(one.is_breached());
        one.close(40).unwrap();
        assert_eq!(one.next_sla_due(), None);
    }
}
