//! Contacts: the people who call and write, their numbers, their tags. A VIP is a contact with a tag.

pub mod api;
mod cards;
mod export;
pub mod import;
mod meet;
pub mod merge;
pub mod names;
pub mod phone;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::ids::{Id, Number, TenantId};

pub use api::{CONTACT, TAG};
pub use cards::{Card, card_of};
pub use meet::{Met, check_tag, meet, tag};
pub use names::{Named, Names};

/// A person outside, known to a tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Company.
    pub company: Option<String>,
    /// What the person does there.
    pub job_title: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// The number that is called first.
    pub phone: Option<Number>,
    /// Further numbers, in order.
    #[serde(default)]
    pub phones: Vec<Number>,
    /// What agents wrote down.
    pub notes: Option<String>,
    /// The user who looks after the contact.
    pub assigned_to: Option<Id>,
    /// Where the contact came from: `import`, `call`, `chat` ...
    pub source: Option<String>,
    /// The language the person speaks, such as `en`.
    pub language: Option<String>,
    /// The person's id in a system outside.
    pub external_id: Option<String>,
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

impl Contact {
    /// The name for people: both names, else the company, the e-mail address, the number, the id.
    pub fn display_name(&self) -> String {
        let names: Vec<&str> = [&self.first_name, &self.last_name]
            .into_iter()
            .filter_map(|name| name.as_deref().map(str::trim).filter(|name| !name.is_empty()))
            .collect();
        if !names.is_empty() {
            return names.join(" ");
        }
        let other = self.company.as_deref().or(self.email.as_deref());
        other.or(self.phone.as_ref().map(Number::as_str)).unwrap_or(self.id.as_str()).to_owned()
    }

    /// Whether a number is one of the contact's.
    pub fn has_number(&self, number: &Number) -> bool {
        self.phone.as_ref() == Some(number) || self.phones.contains(number)
    }

    /// Whether the contact has a tag of that name.
    pub fn has_tag(&self, name: &str) -> bool {
        self.tags.iter().any(|tag| tag == name)
    }
}

/// A word that contacts and tickets are sorted by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its name, unique in the tenant.
    pub name: String,
    /// `#rrggbb`.
    pub color: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// A tag on a contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactTag {
    /// The contact.
    pub contact_id: Id,
    /// The tag.
    pub tag_id: Id,
    /// Whose both are.
    pub tenant_id: TenantId,
    /// When it was put on.
    pub created_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact() -> Contact {
        serde_json::from_value(serde_json::json!({
            "id": "01arz3ndektsv4rrffq69g5fav", "tenant_id": "acme", "first_name": "Ann", "last_name": "Lee",
            "company": "Lee Ltd", "job_title": null, "email": "ann@lee.test", "phone": "+15557770001",
            "phones": ["+15557770002"], "notes": null, "assigned_to": null, "source": null, "language": null,
            "external_id": null, "tags": ["vip"], "metadata": {"a": 1},
            "created_at": "2026-11-23T10:00:00Z", "updated_at": "2026-11-23T10:00:00.000001Z"
        }))
        .unwrap()
    }

    #[test]
    fn a_contact_always_has_a_name() {
        let mut one = contact();
        assert_eq!(one.display_name(), "Ann Lee");
        one.first_name = Some(" ".into());
        assert_eq!(one.display_name(), "Lee");
        one.last_name = None;
        assert_eq!(one.display_name(), "Lee Ltd");
        one.company = None;
        assert_eq!(one.display_name(), "ann@lee.test");
        one.email = None;
        assert_eq!(one.display_name(), "+15557770001");
        one.phone = None;
        assert_eq!(one.display_name(), "01arz3ndektsv4rrffq69g5fav");
    }

    #[test]
    fn numbers_and_tags_are_found() {
        let one = contact();
        for (number, has) in [("+15557770001", true), ("+15557770002", true), ("+15557770003", false)] {
            assert_eq!(one.has_number(&Number::parse(number).unwrap()), has, "{number}");
        }
        assert!(one.has_tag("vip") && !one.has_tag("VIP"));
    }

    #[test]
    fn json_comes_back_to_the_microsecond() {
        let one = contact();
        let text = serde_json::to_string(&one).unwrap();
        assert!(text.contains("\"updated_at\":\"2026-11-23T10:00:00.000001Z\""), "{text}");
        assert_eq!(serde_json::from_str::<Contact>(&text).unwrap(), one);
    }
}
