//! Everything that happens, as one stream of events for each tenant, written in the transaction of what it tells of.
//!
//! An engine: it knows no domain. A collection says with its [`crate::api::Resource::tells`] what its changes tell
//! ([`changes`]); what is no change of a record says so itself. [`outbox`] gives positions and sequences and keeps the
//! rows; [`news`] wakes who waits for them. Consumers (webhooks, sockets, `GET /events`) read by position: nothing is
//! handed to them that is not in the database, so nothing is lost with a process.
//!
//! Invariants: positions count without gaps within a tenant, and sequences within a key; whoever sees position n sees
//! every one before it.

pub mod api;
pub mod catalogue;
pub mod changes;
pub mod news;
pub mod outbox;
pub mod stream;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::api::{Record, check};
use crate::base::ids::TenantId;

pub use crate::api::openapi::Data;
pub use catalogue::{Catalogue, Kind, Viewer};
pub use changes::Events;
pub use news::News;

/// An event that is about to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Its type, such as `call.ended`.
    pub kind: String,
    /// What it belongs to: `call:<id>`. Events of one key are numbered, and can be delivered in order.
    pub key: String,
    /// When it happened, microseconds since 1970 UTC.
    pub at_us: i64,
    /// Whose own it is, by user id; `None` where the question does not arise.
    pub owners: Option<Vec<String>>,
    /// What there is to say.
    pub data: Record,
}

/// An event as it is kept.
#[derive(Clone, Debug)]
pub struct Event {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its place in the tenant's stream, from 1.
    pub position: i64,
    /// Its id, `evt_...`; also the `webhook-id` of its deliveries.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// What it belongs to.
    pub key: String,
    /// Its number within the key, from 1.
    pub sequence: i64,
    /// When it happened, microseconds since 1970 UTC.
    pub at_us: i64,
    /// Whose own it is; `None` where the question does not arise.
    pub owners: Option<Vec<String>>,
    /// What there is to say, as JSON.
    pub data: Box<RawValue>,
}

/// The event as everybody outside gets it.
#[derive(Serialize)]
struct Envelope<'e> {
    id: &'e str,
    #[serde(rename = "type")]
    kind: &'e str,
    timestamp: String,
    tenant_id: &'e str,
    key: &'e str,
    sequence: i64,
    data: &'e RawValue,
}

impl Event {
    /// The event as JSON: what a webhook's body is, a socket's frame holds and a list shows.
    pub fn envelope(&self) -> String {
        let envelope = Envelope {
            id: &self.id,
            kind: &self.kind,
            timestamp: check::show_time(self.at_us),
            tenant_id: self.tenant.as_str(),
            key: &self.key,
            sequence: self.sequence,
            data: &self.data,
        };
        // Texts, a number and JSON that was read from our own table: there is nothing in it that can fail.
        serde_json::to_string(&envelope).unwrap_or_default()
    }
}

/// Whether a type is meant by a pattern: the type itself, `call.*` for all that begin with `call.`, or `*`.
pub fn matches(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => kind.starts_with(start),
        None => pattern == kind,
    }
}

/// Checks a pattern: dotted words of `a-z`, `0-9` and `_`, the last of which may be `*`.
///
/// # Errors
/// What is wrong with it.
pub fn check_pattern(text: &str) -> Result<String, String> {
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let parts: Vec<&str> = text.split('.').collect();
    let fine = match parts.split_last() {
        Some((last, before)) => before.iter().all(|part| word(part)) && (*last == "*" || word(last)),
        None => false,
    };
    if fine && text.len() <= PATTERN_CHARACTERS {
        return Ok(text.to_owned());
    }
    Err("This must be a type of events such as call.ended, or call.* or *.".into())
}

const PATTERN_CHARACTERS: usize = crate::config::limits::events::KIND_CHARACTERS;

/// A pattern as a field's rule.
pub static PATTERN: crate::api::Rule = crate::api::Rule {
    format: "event-type",
    pattern: r"^([a-z0-9_]+\.)*([a-z0-9_]+|\*)$",
    max: PATTERN_CHARACTERS,
    check: check_pattern,
    example: "call.*",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_they_say() {
        for (pattern, kind, yes) in [
            ("*", "call.ended", true),
            ("call.*", "call.ended", true),
            ("call.*", "call.recording.ready", true),
            ("call.recording.*", "call.ended", false),
            ("call.ended", "call.ended", true),
            ("call.ended", "call.ended2", false),
            ("call.*", "callback.made", false),
        ] {
            assert_eq!(matches(pattern, kind), yes, "{pattern} {kind}");
        }
        for good in ["*", "a", "call.*", "chat.session.ended", "a_b.c1"] {
            assert_eq!(check_pattern(good), Ok(good.to_owned()));
        }
        for bad in ["", ".", "call.", "*.ended", "call.**", "Call.ended", "call ended", "c*", &"a".repeat(81)]
        {
            check_pattern(bad).unwrap_err();
        }
    }

    #[test]
    fn an_envelope_is_what_the_contract_says() {
        let event = Event {
            tenant: TenantId::parse("acme").unwrap(),
            position: 4,
            id: "evt_01kb2x8v9q3d5s7f1g4h6j8k0m".into(),
            kind: "call.ended".into(),
            key: "call:1".into(),
            sequence: 3,
            at_us: 1_700_000_000_000_000,
            owners: None,
            data: RawValue::from_string(r#"{"a":1}"#.into()).unwrap(),
        };
        assert_eq!(
            event.envelope(),
            r#"{"id":"evt_01kb2x8v9q3d5s7f1g4h6j8k0m","type":"call.ended","timestamp":"2023-11-14T22:13:20Z","tenant_id":"acme","key":"call:1","sequence":3,"data":{"a":1}}"#
        );
    }
}
