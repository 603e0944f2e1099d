//! A DID as the API shows it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::ids::{Id, Name, Number, TenantId};
use crate::base::words::words;

words! {
    /// Whether a number takes calls.
    pub enum DidStatus {
        /// It does.
        Active = "active",
        /// It does not.
        Inactive = "inactive",
        /// The carrier has not handed it over yet.
        Pending = "pending",
    }
}

words! {
    /// What a number does with a call that nothing else stops.
    pub enum RouteType {
        /// To a queue.
        Queue = "queue",
        /// To an endpoint.
        Endpoint = "endpoint",
        /// To a menu.
        Ivr = "ivr",
        /// To a plugin that talks to the caller.
        Script = "script",
        /// To whatever the tenant's URL answers.
        Webhook = "webhook",
        /// To a number outside.
        External = "external",
        /// To a mailbox.
        Voicemail = "voicemail",
        /// To an announcement, then the end.
        Playback = "playback",
        /// To the end.
        Hangup = "hangup",
    }
}

/// A phone number of a tenant and what it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Did {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The number.
    pub number: Number,
    /// Its name for people.
    pub name: String,
    /// Whether it takes calls.
    pub status: DidStatus,
    /// What it does.
    pub route_type: RouteType,
    /// With whom: a name of the tenant, a number; empty for a webhook.
    pub route_target: Option<String>,
    /// Seconds to ring or wait; 0: the target's own.
    pub route_timeout_s: u32,
    /// Options of the Asterisk application.
    pub route_options: Option<String>,
    /// A sound played first.
    pub message: Option<String>,
    /// The plugin that is asked first, `name` or `name@version`; `None`: the tenant's; `-`: none.
    pub plugin: Option<String>,
    /// Its opening hours.
    pub schedule: Option<Name>,
    /// Language of prompts; `None`: the tenant's.
    pub language: Option<String>,
    /// Whether its calls are recorded.
    pub record: bool,
    /// Calls at the same time at most; 0: no limit.
    pub max_concurrent_calls: u32,
    /// Asked where a call goes, for route type webhook.
    #[serde(default)]
    pub webhook_url: Option<String>,
    /// Asked when the first gives no usable answer.
    #[serde(default)]
    pub webhook_second_url: Option<String>,
    /// Milliseconds that both get together.
    #[serde(default)]
    pub webhook_timeout_ms: u32,
    /// Where calls go besides the route.
    #[serde(default)]
    pub destinations: Vec<DidDestination>,
    /// Whatever the tenant keeps with it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// A destination besides the route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DidDestination {
    /// When: `overflow`, `fallback`, `closed`, `holiday`, `limit`, `inactive`.
    pub role: String,
    /// What.
    pub r#type: RouteType,
    /// Where.
    pub target: String,
    /// Seconds to wait or ring; 0: the target's own.
    pub timeout_s: u32,
    /// Options of the Asterisk application.
    pub options: Option<String>,
    /// A sound played first.
    pub message: Option<String>,
}

impl Did {
    /// Whether it takes calls.
    pub fn is_active(&self) -> bool {
        self.status == DidStatus::Active
    }

    /// Whether one more call fits beside `calls`.
    pub fn can_take_call(&self, calls: u32) -> bool {
        self.is_active() && (self.max_concurrent_calls == 0 || calls < self.max_concurrent_calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_active_number_with_room_takes_calls() {
        let mut one: Did = serde_json::from_value(serde_json::json!({
            "id": "01arz3ndektsv4rrffq69g5fav", "tenant_id": "acme", "number": "+15550001000", "name": "Main",
            "status": "active", "route_type": "queue", "route_target": "support", "route_timeout_s": 0,
            "route_options": null, "message": null, "plugin": null, "schedule": null, "language": null, "record": false,
            "max_concurrent_calls": 2, "created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-01T00:00:00Z"
        }))
        .unwrap();
        assert!(one.can_take_call(1) && !one.can_take_call(2));
        one.max_concurrent_calls = 0;
        assert!(one.can_take_call(u32::MAX));
        for status in [DidStatus::Inactive, DidStatus::Pending] {
            one.status = status;
            assert!(!one.is_active() && !one.can_take_call(0));
        }
    }
}
