//! Mailboxes: where callers leave messages; and the messages.

pub mod api;
pub mod keep;
mod messages;
mod notice;
pub mod retention;
pub mod spool;
pub mod store;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::clock::from_us;
use crate::base::ids::{Id, Name, TenantId};

pub use store::stored;

/// The folder that new messages come into, in Asterisk's words.
pub const INBOX: &str = "INBOX";
/// The folder of messages that were listened to.
pub const OLD: &str = "Old";

/// A message in a mailbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Voicemail {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its mailbox; `None`: the mailbox is gone.
    pub mailbox_id: Option<Id>,
    /// Name of the mailbox, such as `101`.
    pub mailbox: Name,
    /// Its folder, in Asterisk's words.
    pub folder: String,
    /// The caller's number; `None`: withheld.
    pub caller_number: Option<String>,
    /// The caller's name.
    pub caller_name: Option<String>,
    /// The call.
    pub call_id: Option<Id>,
    /// The contact who called.
    pub contact_id: Option<Id>,
    /// File format, such as `wav`.
    pub format: Option<String>,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Its length in milliseconds.
    pub duration_ms: u64,
    /// SHA-256 of the file, in hexadecimal digits.
    pub sha256: Option<String>,
    /// Why its sound is not in the store yet; `None`: it is.
    pub sound_error: Option<String>,
    /// What was said.
    pub transcript: Option<String>,
    /// Whether it was listened to.
    pub is_read: bool,
    /// When.
    pub read_at: Option<DateTime<Utc>>,
    /// When it was left.
    pub received_at: DateTime<Utc>,
    /// Whatever the tenant keeps with it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When the row was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

impl Voicemail {
    /// Length in whole seconds, a begun one counts.
    pub fn duration_s(&self) -> u64 {
        self.duration_ms.div_ceil(1_000)
    }

    /// Marks it as listened to, or as new again. Returns whether anything changed.
    pub fn mark_read(&mut self, is_read: bool, now_us: i64) -> bool {
        if self.is_read == is_read {
            return false;
        }
        self.is_read = is_read;
        self.read_at = is_read.then(|| from_us(now_us));
        // Other folders are the owner's own sorting.
        if self.folder == INBOX || self.folder == OLD {
            self.folder = if is_read { OLD } else { INBOX }.to_owned();
        }
        self.updated_at = from_us(now_us);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_moves_a_message_as_asterisk_does() {
        let mut one: Voicemail = serde_json::from_value(serde_json::json!({
            "id": "01arz3ndektsv4rrffq69g5fav", "tenant_id": "acme", "mailbox_id": null, "mailbox": "101",
            "folder": "INBOX", "caller_number": null, "caller_name": null, "call_id": null, "contact_id": null,
            "format": null, "bytes": 0, "duration_ms": 1_001, "transcript": null, "is_read": false, "read_at": null,
            "received_at": "1970-01-01T00:00:00Z", "created_at": "1970-01-01T00:00:00Z",
            "updated_at": "1970-01-01T00:00:00Z"
        }))
        .unwrap();
        assert_eq!(one.duration_s(), 2);
        assert!(!one.mark_read(false, 1));
        assert!(one.mark_read(true, 2));
        assert_eq!((one.folder.as_str(), one.read_at), (OLD, Some(from_us(2))));
        assert!(!one.mark_read(true, 3));
        assert_eq!(one.read_at, Some(from_us(2)));
        assert!(one.mark_read(false, 4));
        assert_eq!((one.folder.as_str(), one.read_at), (INBOX, None));
        one.folder = "Family".into();
        assert!(one.mark_read(true, 5));
        assert_eq!(one.folder, "Family");
    }
}
