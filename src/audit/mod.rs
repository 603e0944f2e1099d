//! The audit log: who changed what, as one chain of hashes per tenant. An entry that is changed, taken out or put in
//! later breaks the chain at its place.

pub mod api;
pub mod store;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::base::ids::Id;
use crate::base::words::words;

pub use store::{Entry, append, append_system};

/// What stands before the first entry of a chain.
pub const FIRST_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

words! {
    /// Who did it.
    pub enum ActorKind {
        /// A person who signed in.
        User = "user",
        /// A program with a key of the tenant's.
        ApiKey = "api_key",
        /// The service itself.
        System = "system",
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditLog {
    /// Its id.
    pub id: Id,
    /// Whose chain; `None`: the platform's.
    pub tenant_id: Option<String>,
    /// Its place in the chain, from 1, without gaps.
    pub sequence: u64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What kind of actor did it.
    pub actor_kind: ActorKind,
    /// The user or key.
    pub actor_id: Option<String>,
    /// Its name at that time: users come and go.
    pub actor_name: Option<String>,
    /// The role it had.
    pub role: Option<String>,
    /// The address it came from.
    pub address: Option<String>,
    /// What it called itself.
    pub user_agent: Option<String>,
    /// The request.
    pub request_id: Option<String>,
    /// What was done, such as `contacts.update`.
    pub action: String,
    /// The kind of thing it was done to.
    pub object_type: Option<String>,
    /// Which one.
    pub object_id: Option<String>,
    /// What was there before; of an update only what changed.
    pub old_values: Option<Value>,
    /// What is there now; of an update only what changed.
    pub new_values: Option<Value>,
    /// The hash of the entry before, [`FIRST_HASH`] for the first.
    pub prev_hash: String,
    /// This entry's hash: [`AuditLog::computed_hash`].
    pub hash: String,
}

impl AuditLog {
    /// SHA-256, in hexadecimal digits, over everything but the hash itself. Each field goes in with its length, so
    /// that no text can pass for two fields; JSON goes in with its keys sorted, so that it may be stored as it likes.
    pub fn computed_hash(&self) -> String {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let json = |value: &Option<Value>| value.as_ref().map(sorted).unwrap_or_default();
        let fields = [
            self.prev_hash.clone(),
            self.id.to_string(),
            text(&self.tenant_id),
            self.sequence.to_string(),
            self.at.timestamp_micros().to_string(),
            self.actor_kind.to_string(),
            text(&self.actor_id),
            text(&self.actor_name),
            text(&self.role),
            text(&self.address),
            text(&self.user_agent),
            text(&self.request_id),
            self.action.clone(),
            text(&self.object_type),
            text(&self.object_id),
            json(&self.old_values),
            json(&self.new_values),
        ];
        let mut hash = Sha256::new();
        for field in fields {
            hash.update((field.len() as u64).to_be_bytes());
            hash.update(field.as_bytes());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether the entry is as it was written.
    pub fn is_intact(&self) -> bool {
        self.hash == self.computed_hash()
    }

    /// Whether the entry comes right after another.
    pub fn follows(&self, before: &Self) -> bool {
        self.tenant_id == before.tenant_id
            && self.sequence == before.sequence + 1
            && self.prev_hash == before.hash
    }
}

/// The first entry of `entries`, which stand in order, that is not as it was written or not in its place. What comes
/// before the first is not looked at, so a part of a chain can be checked.
pub fn first_broken(entries: &[AuditLog]) -> Option<&AuditLog> {
    entries.iter().enumerate().find_map(|(n, entry)| {
        let in_place = n.checked_sub(1).and_then(|n| entries.get(n)).is_none_or(|b| entry.follows(b));
        let begins = entry.sequence != 1 || entry.prev_hash == FIRST_HASH;
        (!entry.is_intact() || !in_place || !begins).then_some(entry)
    })
}

/// JSON with sorted keys, whatever map serde_json was built with.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let parts: Vec<String> = keys
                .into_iter()
                .map(|key| format!("{}:{}", Value::from(key.as_str()), sorted(&map[key])))
                .collect();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(",")),
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::from_us;

    fn chain(length: u64) -> Vec<AuditLog> {
        let mut entries: Vec<AuditLog> = Vec::new();
        for sequence in 1..=length {
            let mut entry = AuditLog {
                id: Id::parse("01arz3ndektsv4rrffq69g5fav").unwrap(),
                tenant_id: Some("acme".into()),
                sequence,
                at: from_us(1_700_000_000_000_001),
                actor_kind: ActorKind::User,
                actor_id: None,
                actor_name: Some("Ann".into()),
                role: Some("agent".into()),
                address: Some("192.0.2.1".into()),
                user_agent: None,
                request_id: None,
                action: "contacts.update".into(),
                object_type: Some("contacts".into()),
                object_id: None,
                old_values: Some(serde_json::json!({"b": [1, {"y": 1, "x": 2}], "a": "\"q\""})),
                new_values: None,
                prev_hash: entries.last().map_or(FIRST_HASH.to_owned(), |e| e.hash.clone()),
                hash: String::new(),
            };
            entry.hash = entry.computed_hash();
            entries.push(entry);
        }
        entries
    }

    #[test]
    fn a_chain_is_whole_and_so_is_a_part_of_it() {
        let entries = chain(5);
        assert_eq!(first_broken(&entries), None);
        assert_eq!(first_broken(&entries[2..]), None);
        let back: Vec<AuditLog> = serde_json::from_str(&serde_json::to_string(&entries).unwrap()).unwrap();
        assert_eq!(first_broken(&back), None);
    }

    #[test]
    fn every_tampering_breaks_it_at_its_place() {
        let broken = |change: &dyn Fn(&mut Vec<AuditLog>)| {
            let mut entries = chain(5);
            change(&mut entries);
            first_broken(&entries).map(|entry| entry.sequence)
        };
        assert_eq!(broken(&|e| e[2].action = "contacts.remove".into()), Some(3));
        assert_eq!(broken(&|e| e[2].old_values = None), Some(3));
        assert_eq!(broken(&|e| e[2].at = from_us(1)), Some(3));
        assert_eq!(broken(&|e| drop(e.remove(2))), Some(4));
        assert_eq!(broken(&|e| e.swap(1, 2)), Some(3));
        // Made anew with a right hash of its own, it no longer fits the next one.
        assert_eq!(
            broken(&|e| {
                e[2].role = Some("viewer".into());
                e[2].hash = e[2].computed_hash();
            }),
            Some(4)
        );
        assert_eq!(
            broken(&|e| {
                e[0].prev_hash = "f".repeat(64);
                e[0].hash = e[0].computed_hash();
            }),
            Some(1)
        );
    }

    #[test]
    fn a_text_can_not_move_into_the_next_field() {
        let mut one = chain(1).remove(0);
        let mut other = one.clone();
        (one.object_type, one.object_id) = (Some("ab".into()), Some("c".into()));
        (other.object_type, other.object_id) = (Some("a".into()), Some("bc".into()));
        assert_ne!(one.computed_hash(), other.computed_hash());
    }

    #[test]
    fn the_order_of_keys_does_not_matter() {
        let one: Value = serde_json::from_str(r#"{"a":1,"b":{"d":2,"c":[3]}}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"b":{"c":[3],"d":2},"a":1}"#).unwrap();
        assert_eq!(sorted(&one), sorted(&other));
        assert_eq!(sorted(&one), r#"{"a":1,"b":{"c":[3],"d":2}}"#);
    }
}
