//! Service levels: which one a ticket falls under, and what it promises.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Ticket, TicketChannel, TicketPriority};
use crate::base::ids::{Id, Name, TenantId};

/// Which tickets a policy is for: every list that is not empty must hold the ticket's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SlaConditions {
    /// Priorities.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub priorities: Vec<TicketPriority>,
    /// Ways tickets come.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<TicketChannel>,
    /// Teams.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<String>,
    /// Categories.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Ids of tags, of which the ticket has at least one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl SlaConditions {
    /// Whether a ticket is one of those.
    pub fn hold(&self, ticket: &Ticket) -> bool {
        let text = |list: &[String], value: &Option<String>| {
            list.is_empty() || value.as_ref().is_some_and(|value| list.contains(value))
        };
        (self.priorities.is_empty() || self.priorities.contains(&ticket.priority))
            && (self.channels.is_empty() || self.channels.contains(&ticket.channel))
            && text(&self.queues, &ticket.queue)
            && text(&self.categories, &ticket.category)
            && (self.tags.is_empty() || self.tags.iter().any(|tag| ticket.tags.contains(tag)))
    }
}

/// What is promised for one priority, in working seconds; `None`: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SlaTarget {
    /// To the first answer.
    pub first_response_s: Option<u32>,
    /// To each later one.
    pub next_response_s: Option<u32>,
    /// To the end.
    pub resolution_s: Option<u32>,
}

/// A service level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TicketSla {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Its place: the first one that fits is a ticket's.
    pub position: i64,
    /// Whether new tickets fall under it.
    pub active: bool,
    /// Which tickets it is for.
    pub conditions: SlaConditions,
    /// What it promises, by priority.
    pub targets: BTreeMap<TicketPriority, SlaTarget>,
    /// The working hours; `None`: always.
    pub schedule: Option<Name>,
    /// Seconds before a due time at which somebody is warned; 0: nobody.
    pub warn_before_s: u32,
    /// Whatever the tenant keeps with it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

impl TicketSla {
    /// Whether a ticket falls under it.
    pub fn fits(&self, ticket: &Ticket) -> bool {
        self.active && self.conditions.hold(ticket)
    }

    /// What it promises for a priority.
    pub fn target(&self, priority: TicketPriority) -> SlaTarget {
        self.targets.get(&priority).copied().unwrap_or_default()
    }
}

/// The policy that a ticket falls under: the first by position, then by id, that fits.
pub fn choose<'p>(policies: &'p [TicketSla], ticket: &Ticket) -> Option<&'p TicketSla> {
    policies
        .iter()
        .filter(|policy| policy.tenant_id == ticket.tenant_id && policy.fits(ticket))
        .min_by_key(|policy| (policy.position, &policy.id))
}

#[cfg(test)]
mod tests {
    use super::super::tests::ticket;
    use super::*;
    use serde_json::json;

    fn policy(position: i64, conditions: Value) -> TicketSla {
        serde_json::from_value(json!({
            "id": "01arz3ndektsv4rrffq69g5fav", "tenant_id": "acme", "name": "gold", "description": null,
            "position": position, "active": true, "conditions": conditions,
            "targets": {"high": {"first_response_s": 900, "resolution_s": 14_400}}, "schedule": null,
            "warn_before_s": 300, "created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-01T00:00:00Z"
        }))
        .unwrap()
    }

    #[test]
    fn every_condition_must_hold() {
        let mut one = ticket();
        one.tags = vec!["vip".into(), "eu".into()];
        for (conditions, holds) in [
            (json!({}), true),
            (json!({"priorities": ["high", "critical"]}), true),
            (json!({"priorities": ["low"]}), false),
            (json!({"channels": ["phone"], "queues": ["support"]}), true),
            (json!({"channels": ["phone"], "queues": ["sales"]}), false),
            (json!({"categories": ["billing"]}), false),
            (json!({"tags": ["x", "vip"]}), true),
            (json!({"tags": ["x"]}), false),
        ] {
            assert_eq!(policy(1, conditions.clone()).fits(&one), holds, "{conditions}");
        }
        assert!(serde_json::from_value::<SlaConditions>(json!({"priority": ["low"]})).is_err(), "a typo");
    }

    #[test]
    fn the_first_that_fits_is_chosen() {
        let one = ticket();
        let mut policies =
            vec![policy(3, json!({})), policy(2, json!({})), policy(1, json!({"priorities": ["low"]}))];
        assert_eq!(choose(&policies, &one).map(|p| p.position), Some(2));
        policies[1].active = false;
        assert_eq!(choose(&policies, &one).map(|p| p.position), Some(3));
        policies[0].tenant_id = TenantId::parse("globex").unwrap();
        assert_eq!(choose(&policies, &one), None);
    }

    #[test]
    fn targets_are_by_priority() {
        let one = policy(1, json!({}));
        assert_eq!(one.target(TicketPriority::High).first_response_s, Some(900));
        assert_eq!(one.target(TicketPriority::High).next_response_s, None);
        assert_eq!(one.target(TicketPriority::Low), SlaTarget::default());
        let text = serde_json::to_string(&one).unwrap();
        assert!(text.contains("\"targets\":{\"high\":{") && text.contains("\"conditions\":{}"), "{text}");
    }
}
