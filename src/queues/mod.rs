//! Queues and their members, and what Asterisk's log says of them.

pub mod api;
pub mod asterisk;
pub mod board;
pub mod callback;
pub mod callback_desk;
pub mod callback_store;
mod day;
pub mod events;
pub mod live;
pub mod log;
pub mod log_store;
pub mod report;
pub mod seat;
pub mod state;
pub mod store;
pub mod visit;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::ids::{Id, Name, TenantId, global_name};
use crate::base::words::words;

pub use seat::{follow, free_seats};

words! {
    /// Whether a queue takes callers.
    pub enum QueueStatus {
        /// It does.
        Active = "active",
        /// It does not.
        Inactive = "inactive",
    }
}

words! {
    /// How members are chosen, in app_queue's words.
    pub enum QueueStrategy {
        /// All at once.
        Ringall = "ringall",
        /// Whose last call is longest ago.
        Leastrecent = "leastrecent",
        /// Who had the fewest calls.
        Fewestcalls = "fewestcalls",
        /// Anyone.
        Random = "random",
        /// One after the other, going on where the last call left off.
        Rrmemory = "rrmemory",
        /// One after the other, always from the first.
        Linear = "linear",
        /// Anyone, those with a low penalty rather.
        Wrandom = "wrandom",
        /// As `rrmemory`, in the order of the members' list.
        Rrordered = "rrordered",
    }
}

words! {
    /// Whether a member who does not answer is paused, and where.
    pub enum Autopause {
        /// Nowhere.
        No = "no",
        /// In this queue.
        Yes = "yes",
        /// In all queues.
        All = "all",
    }
}

/// Callers who wait for a member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its name.
    pub name: Name,
    /// Its name for people.
    pub display_name: String,
    /// The extension that reaches it inside.
    pub extension: Option<String>,
    /// Whether it takes callers.
    pub status: QueueStatus,
    /// How members are chosen.
    pub strategy: QueueStrategy,
    /// Seconds a caller waits at most; 0: no limit.
    pub max_wait_s: u32,
    /// Seconds a member rings.
    pub timeout_s: u32,
    /// Seconds before the next member rings.
    pub retry_s: u32,
    /// Seconds a member has after a call.
    pub wrapup_s: u32,
    /// Callers at the same time at most; 0: no limit.
    pub max_len: u32,
    /// Seconds within which a call should be answered.
    pub service_level_s: u32,
    /// A queue of more weight has its calls answered first.
    pub weight: u32,
    /// Music; `None`: Asterisk's default.
    pub music_class: Option<String>,
    /// Seconds between two announcements of the place; 0: none.
    pub announce_frequency_s: u32,
    /// `yes`, `no`, `limit` or `more`.
    pub announce_position: String,
    /// `yes`, `no` or `once`.
    pub announce_holdtime: String,
    /// A sound played again and again.
    pub periodic_announce: Option<String>,
    /// Seconds between two of these; 0: none.
    pub periodic_announce_frequency_s: u32,
    /// Whether callers enter while no member can answer, in app_queue's words.
    pub join_empty: String,
    /// Whether callers leave then, in app_queue's words.
    pub leave_when_empty: String,
    /// Whether a member who talks rings.
    pub ring_in_use: bool,
    /// Whether a member who does not answer is paused.
    pub autopause: Autopause,
    /// Whether its calls are recorded.
    pub record: bool,
    /// The sound before that; `None`: the tenant's.
    pub recording_announcement: Option<String>,
    /// The key with which callers ask to be called back; `None`: none does.
    pub callback_key: Option<String>,
    /// When they are called; `None`: as the number is open that they had called.
    pub callback_schedule: Option<String>,
    /// What they hear then; `None`: Asterisk's own words.
    pub callback_sound: Option<String>,
    /// How often a caller is called.
    pub callback_attempts: u32,
    /// Seconds between two attempts.
    pub callback_retry_s: u32,
    /// Seconds until a callback expires.
    pub callback_expires_s: u32,
    /// Whatever the tenant keeps with it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

impl Queue {
    /// Whether it takes callers.
    pub fn is_active(&self) -> bool {
        self.status == QueueStatus::Active
    }

    /// Whether one more caller may wait beside `waiting`.
    pub fn has_room(&self, waiting: u32) -> bool {
        self.is_active() && (self.max_len == 0 || waiting < self.max_len)
    }

    /// Its name in Asterisk.
    pub fn asterisk_name(&self) -> String {
        global_name(&self.tenant_id, &self.name)
    }

    /// Whether a caller who waited so long was answered in time.
    pub fn is_in_time(&self, waited_s: u32) -> bool {
        waited_s <= self.service_level_s
    }
}

/// An endpoint that answers a queue's calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueMember {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The queue.
    pub queue_id: Id,
    /// The endpoint.
    pub endpoint_id: Id,
    /// The user at it.
    pub user_id: Option<Id>,
    /// Members of a lower penalty ring first.
    pub penalty: u32,
    /// Whether it is left out for now.
    pub paused: bool,
    /// Why.
    pub pause_reason: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

impl QueueMember {
    /// Whether it gets calls.
    pub fn is_available(&self) -> bool {
        !self.paused
    }

    /// What app_queue dials for the endpoint of that name.
    pub fn interface(&self, endpoint: &Name) -> String {
        format!("PJSIP/{}", global_name(&self.tenant_id, endpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "01arz3ndektsv4rrffq69g5fav";

    #[test]
    fn a_queue_has_room_while_it_is_in_service() {
        let mut one: Queue = serde_json::from_value(json!({
            "id": ID, "tenant_id": "acme", "name": "support", "display_name": "Support", "extension": null,
            "status": "active", "strategy": "rrmemory", "max_wait_s": 300, "timeout_s": 15, "retry_s": 5, "wrapup_s": 0,
            "max_len": 2, "service_level_s": 20, "weight": 0, "music_class": null, "announce_frequency_s": 0,
            "announce_position": "no", "announce_holdtime": "no", "periodic_announce": null,
            "periodic_announce_frequency_s": 0, "join_empty": "yes", "leave_when_empty": "no", "ring_in_use": false,
            "autopause": "no", "record": false, "callback_key": null, "callback_schedule": null, "callback_sound": null,
            "callback_attempts": 3, "callback_retry_s": 300, "callback_expires_s": 28800, "created_at": "1970-01-01T00:00:00Z",
            "updated_at": "1970-01-01T00:00:00Z"
        }))
        .unwrap();
        assert!(one.has_room(1) && !one.has_room(2));
        assert!(one.is_in_time(20) && !one.is_in_time(21));
        assert_eq!(one.asterisk_name(), "acme-support");
        one.max_len = 0;
        assert!(one.has_room(u32::MAX));
        one.status = QueueStatus::Inactive;
        assert!(!one.has_room(0));
    }

    #[test]
    fn a_members_interface_fits_asterisks_column() {
        let one: QueueMember = serde_json::from_value(json!({
            "id": ID, "tenant_id": "a2345678901234567890", "queue_id": ID, "endpoint_id": ID, "user_id": null,
            "penalty": 0, "paused": true, "pause_reason": "tea", "created_at": "1970-01-01T00:00:00Z",
            "updated_at": "1970-01-01T00:00:00Z"
        }))
        .unwrap();
        let name = Name::parse("b234567890123456789").unwrap();
        assert_eq!(one.interface(&name), "PJSIP/a2345678901234567890-b234567890123456789");
        // queue_members.interface has 80.
        assert!(one.interface(&name).len() <= 80 && !one.is_available());
    }
}
