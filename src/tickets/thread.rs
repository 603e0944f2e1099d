//! What belongs to a ticket: messages, attachments, tags; and the templates that one starts from.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::TicketPriority;
use crate::base::ids::{Id, TenantId};
use crate::base::words::words;

words! {
    /// What a message is.
    pub enum MessageKind {
        /// The contact sees it.
        Reply = "reply",
        /// Only agents see it.
        Note = "note",
        /// The service says what happened; only agents see it.
        System = "system",
    }
}

words! {
    /// Who wrote a message.
    pub enum AuthorKind {
        /// A user.
        User = "user",
        /// The contact.
        Contact = "contact",
        /// The service.
        System = "system",
        /// A plugin.
        Plugin = "plugin",
    }
}

words! {
    /// How a message's text is written.
    pub enum BodyFormat {
        /// As it stands.
        Text = "text",
        /// Markdown.
        Markdown = "markdown",
        /// HTML, cleaned.
        Html = "html",
    }
}

/// A message in a ticket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TicketMessage {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The ticket.
    pub ticket_id: Id,
    /// What it is.
    pub kind: MessageKind,
    /// Who wrote it.
    pub author_kind: AuthorKind,
    /// The user, contact or plugin.
    pub author_id: Option<String>,
    /// Its name at that time.
    pub author_name: Option<String>,
    /// The text.
    pub body: String,
    /// How the text is written.
    pub body_format: BodyFormat,
    /// The sender's own id of it: a repeat finds the first one.
    pub client_id: Option<String>,
    /// Whatever the tenant keeps with it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

impl TicketMessage {
    /// Whether the contact sees it.
    pub fn is_public(&self) -> bool {
        self.kind == MessageKind::Reply
    }

    /// Whether it is an answer that a service level waits for: a person's, seen by the contact. A plugin's or the
    /// service's own is not.
    pub fn is_response(&self) -> bool {
        self.is_public() && self.author_kind == AuthorKind::User
    }

    /// Whether the contact now waits for an answer.
    pub fn asks(&self) -> bool {
        self.is_public() && self.author_kind == AuthorKind::Contact
    }
}

/// A file in a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketAttachment {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The ticket.
    pub ticket_id: Id,
    /// The message it came with.
    pub message_id: Option<Id>,
    /// Its name as sent.
    pub file_name: String,
    /// Its type as sent; its first bytes agree with it, and no more is known.
    pub content_type: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// The user who added it.
    pub created_by: Option<Id>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

impl TicketAttachment {
    /// Whether a browser may show it in its window: pictures of pixels. Everything else is offered for saving, since
    /// HTML and SVG run scripts in our name.
    pub fn is_shown_inline(&self) -> bool {
        matches!(self.content_type.as_str(), "image/png" | "image/jpeg" | "image/gif" | "image/webp")
    }
}

/// A tag on a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketTag {
    /// The ticket.
    pub ticket_id: Id,
    /// The tag, of those that contacts have too.
    pub tag_id: Id,
    /// Whose both are.
    pub tenant_id: TenantId,
    /// When it was put on.
    pub created_at: DateTime<Utc>,
}

/// What a ticket or an answer can start from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TicketTemplate {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its name.
    pub name: String,
    /// Where it is listed.
    pub category: Option<String>,
    /// The subject, with `{{names}}` to be filled in.
    pub subject: Option<String>,
    /// The text, with `{{names}}` to be filled in.
    pub body: String,
    /// The priority of a ticket made from it.
    pub priority: TicketPriority,
    /// Ids of the tags of a ticket made from it.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether it is offered.
    pub active: bool,
    /// Whatever the tenant keeps with it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

impl TicketTemplate {
    /// Its subject and text with the names filled in; a name that `value` does not know stays as it is, so that the
    /// agent sees the gap. What is filled in is not looked at again.
    pub fn fill(&self, value: impl Fn(&str) -> Option<String>) -> (String, String) {
        (fill(self.subject.as_deref().unwrap_or_default(), &value), fill(&self.body, &value))
    }
}

fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let (mut filled, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        let known = after.split_once("}}").and_then(|(name, left)| Some((value(name.trim())?, left)));
        match known {
            Some((found, left)) => {
                filled.push_str(&found);
                rest = left;
            }
            None => {
                filled.push_str("{{");
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "01arz3ndektsv4rrffq69g5fav";

    #[test]
    fn only_a_persons_reply_is_a_response() {
        for (kind, author, public, response, asks) in [
            ("reply", "user", true, true, false),
            ("reply", "contact", true, false, true),
            ("reply", "plugin", true, false, false),
            ("reply", "system", true, false, false),
            ("note", "user", false, false, false),
            ("note", "contact", false, false, false),
            ("system", "system", false, false, false),
        ] {
            let one: TicketMessage = serde_json::from_value(json!({
                "id": ID, "tenant_id": "acme", "ticket_id": ID, "kind": kind, "author_kind": author, "author_id": null,
                "author_name": null, "body": "x", "body_format": "text", "client_id": null,
                "created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-01T00:00:00Z"
            }))
            .unwrap();
            assert_eq!(
                (one.is_public(), one.is_response(), one.asks()),
                (public, response, asks),
                "{kind} {author}"
            );
        }
    }

    #[test]
    fn a_template_is_filled_once() {
        let one: TicketTemplate = serde_json::from_value(json!({
            "id": ID, "tenant_id": "acme", "name": "t", "category": null, "subject": "Hi {{ name }}",
            "body": "{{a}}{{b}} {{missing}} {{a", "priority": "low", "tags": [], "active": true,
            "created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-01T00:00:00Z"
        }))
        .unwrap();
        let known = |name: &str| match name {
            "name" => Some("Ann".to_owned()),
            "a" => Some("{{b}}".to_owned()),
            "b" => Some("B".to_owned()),
            _ => None,
        };
        assert_eq!(one.fill(known), ("Hi Ann".to_owned(), "{{b}}B {{missing}} {{a".to_owned()));
        assert_eq!(fill("{{{{a}}", known), "{{{{b}}");
    }

    #[test]
    fn what_runs_scripts_is_not_shown() {
        let mut one: TicketAttachment = serde_json::from_value(json!({
            "id": ID, "tenant_id": "acme", "ticket_id": ID, "message_id": null, "file_name": "a.png",
            "content_type": "image/png", "bytes": 1, "sha256": "", "created_by": null,
            "created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-01T00:00:00Z"
        }))
        .unwrap();
        assert!(one.is_shown_inline());
        for odd in ["image/svg+xml", "text/html", "application/pdf", "image/png; charset=x"] {
            one.content_type = odd.into();
            assert!(!one.is_shown_inline(), "{odd}");
        }
    }
}
