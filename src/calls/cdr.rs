//! Call detail records and recordings, as the API shows them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Direction;
use crate::base::ids::{Id, Name, TenantId};
use crate::base::words::words;

words! {
    /// How a call ended, in Asterisk's words.
    pub enum Disposition {
        /// Somebody answered.
        Answered = "ANSWERED",
        /// Nobody answered, or the caller gave up.
        NoAnswer = "NO ANSWER",
        /// The other side was busy.
        Busy = "BUSY",
        /// It could not be put through.
        Failed = "FAILED",
        /// The way was full.
        Congestion = "CONGESTION",
    }
}

/// One call, over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cdr {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The call, `HS_CALL_ID`.
    pub call_id: Id,
    /// Asterisk's linkedid: the same for all channels of a call.
    pub linkedid: String,
    /// Asterisk's uniqueid of the channel.
    pub uniqueid: String,
    /// How it came to us.
    pub direction: Direction,
    /// The number as dialled.
    pub did: Option<String>,
    /// The caller's number; `None`: withheld.
    pub caller_number: Option<String>,
    /// The caller's name.
    pub caller_name: Option<String>,
    /// Where it went.
    pub destination: Option<String>,
    /// The caller's channel.
    pub channel: Option<String>,
    /// The channel that answered.
    pub dst_channel: Option<String>,
    /// The queue it went through last.
    pub queue: Option<Name>,
    /// The endpoint that was on the phone last, or that was rung last.
    pub endpoint: Option<Name>,
    /// The user who answered.
    pub agent_id: Option<Id>,
    /// Who called, or was called.
    pub contact_id: Option<Id>,
    /// Its recording.
    pub recording_id: Option<Id>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it was answered.
    pub answered_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// Whole length in seconds.
    pub duration_s: u64,
    /// Answered length in seconds.
    pub billed_s: u64,
    /// Of these, seconds that somebody talked to the caller; `None`: not known.
    pub talk_s: Option<u64>,
    /// Whether it was handed on after somebody had answered.
    pub transferred: bool,
    /// How it ended.
    pub disposition: Disposition,
    /// Q.850 cause.
    pub cause: Option<u16>,
    /// Whatever the tenant keeps with it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When the record was made.
    pub created_at: DateTime<Utc>,
}

impl Cdr {
    /// Whether somebody answered.
    pub fn is_answered(&self) -> bool {
        self.disposition == Disposition::Answered
    }

    /// Whole length in minutes.
    pub fn duration_minutes(&self) -> f64 {
        // Exact up to 2^53 seconds.
        self.duration_s as f64 / 60.0
    }

    /// Minutes that a tariff by begun minutes counts.
    pub fn begun_minutes(&self) -> u64 {
        self.billed_s.div_ceil(60)
    }

    /// Seconds until somebody answered, or until the end when nobody did.
    pub fn ringing_s(&self) -> u64 {
        let until = self.answered_at.unwrap_or(self.ended_at);
        u64::try_from((until - self.started_at).num_seconds()).unwrap_or(0)
    }
}

words! {
    /// How far a recording is.
    pub enum RecordingStatus {
        /// Asterisk writes it.
        Recording = "recording",
        /// Whole and stored.
        Completed = "completed",
        /// Lost, or never begun.
        Failed = "failed",
        /// The sound is gone, what is known of it stays.
        Deleted = "deleted",
    }
}

impl RecordingStatus {
    /// Whether a recording may go from here to `to`.
    pub fn may_become(self, to: Self) -> bool {
        match self {
            Self::Recording => matches!(to, Self::Completed | Self::Failed),
            Self::Completed | Self::Failed => to == Self::Deleted,
            Self::Deleted => false,
        }
    }
}

/// A call's recorded sound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRecording {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The call.
    pub call_id: Id,
    /// Asterisk's linkedid.
    pub linkedid: Option<String>,
    /// The user who was on the phone.
    pub agent_id: Option<Id>,
    /// The queue the call came through.
    pub queue: Option<Name>,
    /// How far it is.
    pub status: RecordingStatus,
    /// File format, such as `wav`.
    pub format: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its length in milliseconds.
    pub duration_ms: u64,
    /// SHA-256 of the file, in hexadecimal digits.
    pub sha256: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Must not be deleted, whatever its age.
    pub legal_hold: bool,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// When it is deleted of itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whatever the tenant keeps with it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When the row was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

impl CallRecording {
    /// Whether it can be listened to.
    pub fn is_playable(&self) -> bool {
        self.status == RecordingStatus::Completed
    }

    /// Whether it may be deleted by hand.
    pub fn may_delete(&self) -> bool {
        !self.legal_hold && self.status.may_become(RecordingStatus::Deleted)
    }

    /// Whether its time is over, `now_us` microseconds after 1970 UTC.
    pub fn is_expired(&self, now_us: i64) -> bool {
        self.may_delete() && self.expires_at.is_some_and(|at| at.timestamp_micros() <= now_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::from_us;
    use serde_json::json;

    const ID: &str = "01arz3ndektsv4rrffq69g5fav";

    fn cdr() -> Cdr {
        serde_json::from_value(json!({
            "id": ID, "tenant_id": "acme", "call_id": ID, "linkedid": "1.1", "uniqueid": "1.1", "direction": "inbound",
            "did": "+15550001000", "caller_number": null, "caller_name": null, "destination": "queue support",
            "channel": null, "dst_channel": null, "queue": "support", "endpoint": null, "agent_id": null,
            "contact_id": null, "recording_id": null, "started_at": "2026-11-23T10:00:00Z",
            "answered_at": "2026-11-23T10:00:12Z", "ended_at": "2026-11-23T10:01:30Z", "duration_s": 90,
            "billed_s": 78, "talk_s": 70, "transferred": false, "disposition": "NO ANSWER", "cause": 16, "created_at": "2026-11-23T10:01:30Z"
        }))
        .unwrap()
    }

    #[test]
    fn lengths_and_dispositions() {
        let mut one = cdr();
        assert!(!one.is_answered());
        one.disposition = Disposition::Answered;
        assert!(one.is_answered());
        assert!((one.duration_minutes() - 1.5).abs() < 1e-9);
        assert_eq!((one.begun_minutes(), one.ringing_s()), (2, 12));
        one.answered_at = None;
        assert_eq!(one.ringing_s(), 90);
        one.ended_at = from_us(0);
        assert_eq!(one.ringing_s(), 0, "a clock that went back");
        one.billed_s = 60;
        assert_eq!(one.begun_minutes(), 1);
    }

    #[test]
    fn a_held_recording_is_never_deleted() {
        let mut one: CallRecording = serde_json::from_value(json!({
            "id": ID, "tenant_id": "acme", "call_id": ID, "linkedid": null, "agent_id": null, "queue": null,
            "status": "completed", "format": "wav", "bytes": 1, "duration_ms": 1, "sha256": null, "error": null,
            "legal_hold": false, "started_at": "2026-11-23T10:00:00Z", "ended_at": null,
            "expires_at": "1970-01-01T00:00:01Z", "created_at": "2026-11-23T10:00:00Z",
            "updated_at": "2026-11-23T10:00:00Z"
        }))
        .unwrap();
        assert!(one.is_playable() && one.may_delete());
        assert!(one.is_expired(1_000_000) && !one.is_expired(999_999));
        one.legal_hold = true;
        assert!(!one.may_delete() && !one.is_expired(i64::MAX));
        (one.legal_hold, one.status) = (false, RecordingStatus::Recording);
        assert!(!one.may_delete() && !one.is_playable() && !one.is_expired(i64::MAX));
    }

    #[test]
    fn a_recording_goes_forward_only() {
        use RecordingStatus::{Completed, Deleted, Failed, Recording};
        let all = [Recording, Completed, Failed, Deleted];
        let allowed = [(Recording, Completed), (Recording, Failed), (Completed, Deleted), (Failed, Deleted)];
        for from in all {
            for to in all {
                assert_eq!(from.may_become(to), allowed.contains(&(from, to)), "{from} -> {to}");
            }
        }
    }
}
