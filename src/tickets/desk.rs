//! What plugins do with tickets: see those of a caller, leave a note, open one.
//!
//! A ticket is opened once for each plugin, rule and linked id: `origin_key` says for which, is unique in the tenant, and
//! stays with a ticket that somebody deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::api::{MESSAGES, TICKETS};
use super::{AuthorKind, BodyFormat, MessageKind, TicketChannel, TicketPriority, TicketStatus, act};
use crate::api::check::{self, show_time};
use crate::api::store::{self, Scope};
use crate::api::{Record, Resource, crud};
use crate::audit;
use crate::base::clock::Clock;
use crate::base::hex::hex;
use crate::base::ids::{Id, IdSource, Number, TenantId};
use crate::config::limits::plugins as limits;
use crate::contacts::{self, Names};
use crate::db::{self, Db, Tx, db_read, db_tx};
use crate::events::Events;
use crate::sandbox::types::{Failure, Priority, Ticket, TicketDraft};

/// What `source` says of a contact that came with a plugin's ticket.
pub const SOURCE: &str = "plugin";

/// The desk at which plugins ask.
#[derive(Debug)]
pub struct Desk {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Makes ids.
    pub ids: IdSource,
    /// What changes tell.
    pub events: Arc<Events>,
    /// What callers are called, which a new contact changes.
    pub names: Names,
}

/// A ticket that was drafted.
#[derive(Clone, Debug)]
pub struct Drafted {
    /// Its id.
    pub ticket: String,
    /// Whether it was made now; else it was there.
    pub is_new: bool,
    /// How far the tenant's events go then.
    position: Option<i64>,
    /// The number of a contact that came with it.
    number: Option<Number>,
}

/// Why a ticket was not drafted.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// The draft breaks a rule; the text is for the plugin's author.
    #[error("{0}")]
    Invalid(String),
    /// Nothing was done.
    #[error(transparent)]
    Away(#[from] sqlx::Error),
}

/// What a ticket is drafted for.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// What has one ticket for each plugin and rule.
    pub linked_id: &'a str,
    /// The call, if it is one.
    pub call: Option<&'a Id>,
}

/// The beginning of every origin that is a plugin's: `plugin:<plugin id>:<rule>:<linked id>`.
pub const ORIGIN: &str = "plugin:";

/// What names the origin of a plugin's ticket. A linked id that is long, or that a database could take for another one (of
/// two texts that end in different spaces, say), goes in by its hash.
fn origin_key(plugin: &Id, rule: &str, linked_id: &str) -> String {
    let is_plain =
        linked_id.len() <= limits::LINKED_BYTES && linked_id.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain {
        return format!("{ORIGIN}{plugin}:{rule}:{linked_id}");
    }
    format!("{ORIGIN}{plugin}:{rule}:sha256:{}", hex(&Sha256::digest(linked_id)))
}

impl Desk {
    /// Tickets of whoever has a number that are not closed, the newest first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn open_for(&self, tenant: &TenantId, number: &Number) -> Result<Vec<Ticket>, Failure> {
        let mut found = read_open(&self.db, tenant, number).await.map_err(|error| away(&error))?;
        let ids: Vec<&str> = found.iter().map(|row| row.id.as_str()).collect();
        let mut tags = read_tags(&self.db, tenant, &ids).await.map_err(|error| away(&error))?;
        let shown = found.drain(..).map(|row| Ticket {
            tags: tags.remove(&row.id).unwrap_or_default(),
            id: row.id,
            subject: row.subject,
            status: row.status,
            priority: shown(&row.priority),
            created: u64::try_from(row.created_at / 1_000).unwrap_or_default(),
        });
        Ok(shown.collect())
    }

    /// Leaves a note in a ticket, in a plugin's name. The same text about the same call or event is left once, however often
    /// the plugin's run is repeated.
    ///
    /// # Errors
    /// When there is no such ticket of the tenant's, the text is none that can be kept, or the database is away.
    pub async fn comment(
        &self,
        tenant: &TenantId,
        by: Author<'_>,
        ticket: &str,
        text: &str,
    ) -> Result<(), Failure> {
        let ticket = Id::parse(ticket).map_err(|_| Failure::NotFound)?;
        if text.len() > limits::NOTE_BYTES {
            return Err(Failure::Invalid(format!("a note has up to {} bytes", limits::NOTE_BYTES)));
        }
        let body = checked(&MESSAGES, "body", text.into()).map_err(Failure::Invalid)?;
        match self.note(tenant, by, &ticket, body).await.map_err(|error| away(&error))? {
            Some(position) => {
                position.into_iter().for_each(|position| self.events.news.tell(tenant, position));
                Ok(())
            }
            None => Err(Failure::NotFound),
        }
    }

    /// Writes a note and returns how far the tenant's events go then; `None`: there is no such ticket.
    async fn note(
        &self,
        tenant: &TenantId,
        by: Author<'_>,
        ticket: &Id,
        body: Value,
    ) -> sqlx::Result<Option<Option<i64>>> {
        let (now_us, whole) = (self.clock.now_us(), Scope::tenant(tenant));
        let mut tx = self.db.begin().await?;
        if store::get_locked(&mut tx, &TICKETS, &whole, ticket.as_str()).await?.is_none() {
            return Ok(None);
        }
        let metadata = match by.subject {
            "" => json!({}),
            subject => json!({"about": subject}),
        };
        if !by.subject.is_empty() && is_noted(&mut tx, tenant, ticket, by.plugin, (&body, &metadata)).await? {
            return Ok(Some(None));
        }
        let (id, scope) = (self.ids.next().to_string(), whole.clone().below("ticket_id", ticket.as_str()));
        let values = record([
            ("kind", json!(MessageKind::Note.as_str())),
            ("author_kind", json!(AuthorKind::Plugin.as_str())),
            ("author_id", json!(by.plugin.as_str())),
            ("author_name", json!(by.name)),
            ("body", body),
            ("body_format", json!(BodyFormat::Text.as_str())),
            ("metadata", metadata),
        ]);
        store::insert(&mut tx, &MESSAGES, &scope, &id, &values, now_us).await?;
        let news = record([("last_message_at", json!(show_time(now_us)))]);
        store::update(&mut tx, &TICKETS, &whole, ticket.as_str(), &news, now_us).await?;
        let made = store::get_locked(&mut tx, &MESSAGES, &scope, &id).await?.unwrap_or_default();
        let line = crud::line(&MESSAGES, "create", id, Record::new(), made);
        audit::append_system(&mut tx, &self.ids, (tenant, now_us), &line).await?;
        let position = self.events.write(&mut tx, &self.ids, (tenant, now_us), &[line]).await?;
        tx.commit().await?;
        Ok(Some(position))
    }

    /// Opens a ticket that a plugin drafted, with its line in the audit and its event, unless it is there. Afterwards
    /// [`Desk::told`] is called.
    ///
    /// # Errors
    /// When the draft breaks a rule or the database is away; nothing of the transaction may last then.
    pub async fn draft(
        &self,
        tx: &mut Tx,
        tenant: &TenantId,
        plugin: &Id,
        about: About<'_>,
        draft: &TicketDraft,
    ) -> Result<Drafted, DraftError> {
        let Kept { mut values, tags, number } = Kept::of(draft).map_err(DraftError::Invalid)?;
        let when = (tenant, self.clock.now_us());
        let key = origin_key(plugin, &draft.rule, about.linked_id);
        // First the lock, then the looks: MariaDB shows what was there at the first look. It also keeps two drafts from
        // making a contact or a tag each.
        act::lock_numbers(tx, tenant).await?;
        if let Some(ticket) = by_origin(tx, tenant, &key).await? {
            return Ok(Drafted { ticket, is_new: false, position: None, number: None });
        }
        let (mut lines, mut came) = (Vec::new(), None);
        if let Some(number) = number {
            let met = contacts::meet(tx, &self.ids, when, &number, SOURCE).await?;
            values.insert("contact_id".into(), json!(met.id));
            came = met.made.is_some().then_some(number);
            lines.extend(met.made);
        }
        let mut tag_ids = Vec::new();
        for tag in &tags {
            tag_ids.push(json!(contacts::tag(tx, &self.ids, when, tag).await?));
        }
        values.insert("tags".into(), Value::Array(tag_ids));
        values.insert("origin_key".into(), json!(key));
        values.insert("call_id".into(), about.call.map_or(Value::Null, |id| json!(id.as_str())));
        values.insert("number".into(), act::next_number(tx, tenant).await?.into());
        let (id, scope) = (self.ids.next().to_string(), Scope::tenant(tenant));
        store::insert(tx, &TICKETS, &scope, &id, &values, when.1).await?;
        let made = store::get_locked(tx, &TICKETS, &scope, &id).await?.unwrap_or_default();
        lines.push(crud::line(&TICKETS, "create", id.clone(), Record::new(), made));
        for line in &lines {
            audit::append_system(tx, &self.ids, when, line).await?;
        }
        let position = self.events.write(tx, &self.ids, when, &lines).await?;
        Ok(Drafted { ticket: id, is_new: true, position, number: came })
    }

    /// Wakes who waits for events, and forgets that nobody has a number, once a draft lasts.
    pub fn told(&self, tenant: &TenantId, drafted: &Drafted) {
        if let Some(position) = drafted.position {
            self.events.news.tell(tenant, position);
        }
        self.names.forget(tenant, drafted.number.iter().map(Number::as_str));
    }
}

/// Who leaves a note.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// The plugin.
    pub plugin: &'a Id,
    /// Its name.
    pub name: &'a str,
    /// The call or event that its run is about; empty: none.
    pub subject: &'a str,
}

/// Whether a plugin has left this very note already. The ticket's row is held, so nobody leaves it meanwhile.
async fn is_noted(
    tx: &mut Tx,
    tenant: &TenantId,
    ticket: &Id,
    plugin: &Id,
    (body, metadata): (&Value, &Value),
) -> sqlx::Result<bool> {
    const SQL: &str = "SELECT COUNT(*) FROM ticket_messages WHERE tenant_id = ? AND ticket_id = ? \
         AND author_kind = 'plugin' AND author_id = ? AND metadata = ? AND body = ?";
    let (body, metadata) = (body.as_str().unwrap_or_default(), metadata.to_string());
    let count: i64 = db_tx!(tx, |c| sqlx::query_scalar(SQL)
        .bind(tenant.as_str())
        .bind(ticket.as_str())
        .bind(plugin.as_str())
        .bind(&metadata)
        .bind(body)
        .fetch_one(c)
        .await)?;
    Ok(count > 0)
}

/// A draft as it is kept.
struct Kept {
    values: Record,
    tags: Vec<String>,
    number: Option<Number>,
}

impl Kept {
    /// Checks a draft as the API does, or says what is wrong.
    fn of(draft: &TicketDraft) -> Result<Self, String> {
        let number = draft.contact.as_deref().and_then(|text| Number::from_dialled(text).ok());
        let mut fields = fields(draft);
        // A carrier's "anonymous" is no reason to lose the ticket.
        if let Some(text) = draft.contact.as_ref().filter(|text| number.is_none() && !text.is_empty()) {
            fields.entry("contact").or_insert_with(|| json!(text));
        }
        let mut tags: Vec<String> = Vec::with_capacity(draft.tags.len());
        for tag in &draft.tags {
            let tag = contacts::check_tag(tag).map_err(|why| format!("tag {tag:?}: {why}"))?;
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        let values = record([
            ("subject", checked(&TICKETS, "subject", json!(draft.subject))?),
            ("description", checked(&TICKETS, "description", json!(draft.body))?),
            ("metadata", checked(&TICKETS, "metadata", Value::Object(fields))?),
            ("status", json!(TicketStatus::Open.as_str())),
            ("priority", json!(kept(draft.priority).as_str())),
            ("channel", json!(TicketChannel::Plugin.as_str())),
        ]);
        Ok(Self { values, tags, number })
    }
}

/// Custom fields; a name that comes more than once has a list.
fn fields(draft: &TicketDraft) -> Map<String, Value> {
    let mut all = Map::new();
    for field in &draft.fields {
        let value = json!(field.value);
        match all.get_mut(&field.name) {
            None => drop(all.insert(field.name.clone(), value)),
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    all
}

fn record<const N: usize>(of: [(&str, Value); N]) -> Record {
    of.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A value as the API would take it.
fn checked(resource: &Resource, name: &str, value: Value) -> Result<Value, String> {
    let Some(field) = resource.fields.iter().find(|field| field.name == name) else { return Ok(value) };
    check::one(&value, field).map_err(|wrong| {
        let why: Vec<String> = wrong.into_iter().map(|(_, why)| why).collect();
        format!("{name}: {}", why.join(" "))
    })
}

fn kept(priority: Priority) -> TicketPriority {
    match priority {
        Priority::Low => TicketPriority::Low,
        Priority::Normal => TicketPriority::Medium,
        Priority::High => TicketPriority::High,
        Priority::Urgent => TicketPriority::Critical,
    }
}

fn shown(priority: &str) -> Priority {
    match TicketPriority::parse(priority) {
        Some(TicketPriority::Low) => Priority::Low,
        Some(TicketPriority::Medium) | None => Priority::Normal,
        Some(TicketPriority::High) => Priority::High,
        Some(TicketPriority::Critical) => Priority::Urgent,
    }
}

/// The ticket of an origin, deleted or not: what somebody deleted does not come again.
async fn by_origin(tx: &mut Tx, tenant: &TenantId, key: &str) -> sqlx::Result<Option<String>> {
    const SQL: &str = "SELECT id FROM tickets WHERE tenant_id = ? AND origin_key = ?";
    db_tx!(tx, |c| sqlx::query_scalar(SQL).bind(tenant.as_str()).bind(key).fetch_optional(c).await)
}

#[derive(sqlx::FromRow)]
struct Open {
    id: String,
    subject: String,
    status: String,
    priority: String,
    created_at: i64,
}

async fn read_open(db: &Db, tenant: &TenantId, number: &Number) -> sqlx::Result<Vec<Open>> {
    const SQL: &str = "SELECT t.id AS id, t.subject AS subject, t.status AS status, t.priority AS priority, \
         t.created_at AS created_at FROM contacts c \
         JOIN tickets t ON t.contact_id = c.id AND t.tenant_id = c.tenant_id \
         WHERE c.tenant_id = ? AND c.phone = ? AND c.deleted_at = 0 AND t.status <> 'closed' AND t.deleted_at = 0 \
         UNION SELECT t.id, t.subject, t.status, t.priority, t.created_at FROM contact_phones p \
         JOIN contacts c ON c.id = p.contact_id AND c.tenant_id = p.tenant_id \
         JOIN tickets t ON t.contact_id = c.id AND t.tenant_id = c.tenant_id \
         WHERE p.tenant_id = ? AND p.number = ? AND c.deleted_at = 0 AND t.status <> 'closed' AND t.deleted_at = 0 \
         ORDER BY created_at DESC, id DESC LIMIT ?";
    db_read!(db, |p| sqlx::query_as(SQL)
        .bind(tenant.as_str())
        .bind(number.as_str())
        .bind(tenant.as_str())
        .bind(number.as_str())
        .bind(limits::TICKETS_SHOWN)
        .fetch_all(p)
        .await)
}

/// Names of tags by ticket.
async fn read_tags(
    db: &Db,
    tenant: &TenantId,
    tickets: &[&str],
) -> sqlx::Result<BTreeMap<String, Vec<String>>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for piece in db::pieces(tickets.len()).map(|piece| &tickets[piece]) {
        let sql = format!(
            "SELECT x.ticket_id, g.name FROM ticket_tags x JOIN tags g ON g.id = x.tag_id \
             WHERE x.tenant_id = ? AND x.ticket_id IN ({}) ORDER BY g.name",
            db::places(piece.len())
        );
        let rows: Vec<(String, String)> = db_read!(db, |p| {
            let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(tenant.as_str());
            for id in piece {
                query = query.bind(*id);
            }
            query.fetch_all(p).await
        })?;
        for (ticket, name) in rows {
            all.entry(ticket).or_default().push(name);
        }
    }
    Ok(all)
}

/// The database did not answer; the cause is for the operator alone.
fn away(error: &sqlx::Error) -> Failure {
    tracing::warn!(%error, "a plugin's question about tickets can't be answered");
    Failure::Other(("unavailable".into(), "tickets can't be reached now".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::types::Field;

    fn draft() -> TicketDraft {
        TicketDraft {
            rule: "missed-call".into(),
            subject: "Call back".into(),
            body: String::new(),
            priority: Priority::Urgent,
            contact: None,
            tags: Vec::new(),
            fields: Vec::new(),
        }
    }

    #[test]
    fn an_origin_fits_its_column_and_tells_linked_ids_apart() {
        let plugin = Id::parse("01kb2x8v9q3d5s7f1g4h6j8k0m").unwrap();
        let rule = "x".repeat(40);
        assert_eq!(origin_key(&plugin, "a", "1732.5"), format!("plugin:{plugin}:a:1732.5"));
        let long = "1".repeat(150);
        let all: Vec<String> = [&long, &"1".repeat(149), "a ", "a", "A", "a\u{e9}", "ae"]
            .iter()
            .map(|linked| origin_key(&plugin, &rule, linked))
            .collect();
        assert!(
            all.iter().all(|key| key.len() <= 190 && key.bytes().all(|b| b.is_ascii_graphic())),
            "{all:?}"
        );
        let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn a_draft_is_kept_as_the_api_would_keep_it() {
        let field = |name: &str, value: &str| Field { name: name.into(), value: value.into() };
        let given = TicketDraft {
            subject: "  Call back  ".into(),
            contact: Some("anonymous".into()),
            tags: vec!["vip".into(), " vip".into()],
            fields: vec![field("a", "1"), field("b", "2"), field("a", "3"), field("a", "4")],
            ..draft()
        };
        let kept = Kept::of(&given).unwrap();
        assert_eq!(kept.values["subject"], json!("Call back"));
        assert_eq!(kept.values["metadata"], json!({"a": ["1", "3", "4"], "b": "2", "contact": "anonymous"}));
        assert_eq!(kept.values["priority"], json!("critical"));
        assert_eq!((kept.tags, kept.number), (vec!["vip".to_owned()], None));
        let kept = Kept::of(&TicketDraft { contact: Some("0015557770001".into()), ..draft() }).unwrap();
        assert_eq!(kept.number.unwrap().as_str(), "+15557770001");
        for wrong in [
            TicketDraft { subject: "two\nlines".into(), ..draft() },
            TicketDraft { body: "\u{0}".into(), ..draft() },
            TicketDraft { tags: vec![" ".into()], ..draft() },
            TicketDraft { fields: vec![field("a", &"x".repeat(20_000))], ..draft() },
        ] {
            assert!(Kept::of(&wrong).is_err(), "{wrong:?}");
        }
    }
}
