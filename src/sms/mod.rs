//! Text messages, and the segments that one is sent in.

pub mod api;
pub mod segments;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::clock::from_us;
use crate::base::ids::{Id, TenantId};
use crate::base::words::words;

words! {
    /// Which way a message goes.
    pub enum SmsDirection {
        /// To us.
        Inbound = "inbound",
        /// From us.
        Outbound = "outbound",
    }
}

words! {
    /// How far a message is.
    pub enum SmsStatus {
        /// Written down.
        Pending = "pending",
        /// Waits for its turn.
        Queued = "queued",
        /// The provider has it.
        Sent = "sent",
        /// The phone has it.
        Delivered = "delivered",
        /// It never arrives.
        Failed = "failed",
        /// It came to us.
        Received = "received",
    }
}

impl SmsStatus {
    /// Whether nothing comes after it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Failed | Self::Received)
    }

    /// Whether a message may go from here to `to`. Reports of providers come late, twice and in any order: what is not
    /// allowed here is a report to be passed over.
    pub fn may_become(self, to: Self) -> bool {
        match self {
            Self::Pending => matches!(to, Self::Queued | Self::Sent | Self::Delivered | Self::Failed),
            Self::Queued => matches!(to, Self::Sent | Self::Delivered | Self::Failed),
            Self::Sent => matches!(to, Self::Delivered | Self::Failed),
            Self::Delivered | Self::Failed | Self::Received => false,
        }
    }
}

/// A text message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SmsMessage {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Which way it goes.
    pub direction: SmsDirection,
    /// Who sends: a number, a short code or a name.
    pub from_number: String,
    /// Who gets it: a number or a short code.
    pub to_number: String,
    /// Its text.
    pub body: String,
    /// How far it is.
    pub status: SmsStatus,
    /// How its text is written.
    pub encoding: segments::Encoding,
    /// Segments it is sent in.
    pub segments: u32,
    /// Who carries it.
    pub provider: Option<String>,
    /// Its id there.
    pub provider_id: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried (again).
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When the provider took it.
    pub sent_at: Option<DateTime<Utc>>,
    /// When the phone had it.
    pub delivered_at: Option<DateTime<Utc>>,
    /// The contact on the other side.
    pub contact_id: Option<Id>,
    /// The user who wrote it.
    pub user_id: Option<Id>,
    /// Whatever the tenant keeps with it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

impl SmsMessage {
    /// Takes a provider's report. Returns whether it told anything new.
    pub fn report(&mut self, status: SmsStatus, error: Option<String>, now_us: i64) -> bool {
        if !self.status.may_become(status) {
            return false;
        }
        let now = from_us(now_us);
        match status {
            SmsStatus::Sent => self.sent_at = Some(now),
            SmsStatus::Delivered => {
                self.sent_at = self.sent_at.or(Some(now));
                self.delivered_at = Some(now);
            }
            SmsStatus::Failed => self.error = error,
            SmsStatus::Pending | SmsStatus::Queued | SmsStatus::Received => {}
        }
        if status != SmsStatus::Queued {
            self.next_attempt_at = None;
        }
        (self.status, self.updated_at) = (status, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message() -> SmsMessage {
        serde_json::from_value(json!({
            "id": "01arz3ndektsv4rrffq69g5fav", "tenant_id": "acme", "direction": "outbound", "from_number": "+15550001000",
            "to_number": "+15557770001", "body": "Hi", "status": "queued", "encoding": "gsm7", "segments": 1,
            "provider": null, "provider_id": null, "error": null, "attempts": 0,
            "next_attempt_at": "1970-01-01T00:00:00Z", "sent_at": null, "delivered_at": null, "contact_id": null,
            "user_id": null, "created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-01T00:00:00Z"
        }))
        .unwrap()
    }

    #[test]
    fn reports_in_any_order_leave_one_truth() {
        let mut one = message();
        assert!(one.report(SmsStatus::Delivered, None, 5));
        assert_eq!((one.sent_at, one.delivered_at), (Some(from_us(5)), Some(from_us(5))));
        assert_eq!(one.next_attempt_at, None);
        assert!(!one.report(SmsStatus::Sent, None, 6) && !one.report(SmsStatus::Failed, Some("x".into()), 7));
        assert_eq!((one.status, one.error, one.updated_at), (SmsStatus::Delivered, None, from_us(5)));

        let mut two = message();
        assert!(
            two.report(SmsStatus::Sent, None, 1) && two.report(SmsStatus::Failed, Some("blocked".into()), 2)
        );
        assert_eq!((two.error.as_deref(), two.sent_at), (Some("blocked"), Some(from_us(1))));
    }

    #[test]
    fn nothing_comes_after_the_end() {
        for from in SmsStatus::WORDS.iter().filter_map(|w| SmsStatus::parse(w)) {
            let on =
                SmsStatus::WORDS.iter().filter_map(|w| SmsStatus::parse(w)).any(|to| from.may_become(to));
            assert_eq!(from.is_final(), !on, "{from}");
            assert!(!from.may_become(from) && !from.may_become(SmsStatus::Received));
        }
    }
}
