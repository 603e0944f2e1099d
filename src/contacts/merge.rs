//! Contacts that are the same person: found by number and e-mail, and made one.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sqlx::AssertSqlSafe;

use super::api::CONTACTS;
use crate::api::store::{self, Scope};
use crate::api::{
    Action, Call, Field, Handler, Input, Operation, Output, Problem, Record, Reply, crud, rules,
};
use crate::base::role::Roles;
use crate::config::limits::contacts as limits;
use crate::db::{self, Tx, db_read, db_tx};

/// Every column that refers to a contact, but for those of the contact's own lists.
pub const REFERENCES: [(&str, &str); 5] = [
    ("tickets", "contact_id"),
    ("cdrs", "contact_id"),
    ("chat_sessions", "contact_id"),
    ("sms_messages", "contact_id"),
    ("voicemails", "contact_id"),
];

/// Fields that the kept contact takes over where it has nothing.
const FILLED: [&str; 10] = [
    "first_name",
    "last_name",
    "company",
    "job_title",
    "email",
    "phone",
    "assigned_to",
    "source",
    "language",
    "external_id",
];

const MERGE: &[Field] =
    &[Field::id("other_id", "The contact that goes: it is deleted, and what it had moves.")];

const GROUP: &[Field] = &[
    Field::one_of("by", &["phone", "email"], "What they share."),
    Field::text("value", 1, 254, "The number or address."),
    Field::texts("ids", limits::DUPLICATE_IDS, &rules::ID, "The contacts, the oldest first."),
];

/// `POST /contacts/{id}/merge`, `GET /contacts/duplicates`
pub(super) fn actions() -> Vec<Action> {
    vec![
        Action {
            operation: Operation {
                doc: "The contact of the path stays, and takes over numbers, tags, notes, metadata, what it lacks of the \
                      other's fields, and the other's tickets, calls, chats, messages and voicemails."
                    .into(),
                input: Input::New(MERGE, &[]),
                output: Output::Record(&CONTACTS, 200),
                own: None,
                once: &[],
                problems: &[(409, "too-many", "Together they have more numbers, tags or notes than one contact can.")],
                ..Operation::new("contacts.merge", "POST", "/contacts/{id}/merge", "Make one of two contacts", Roles::SUPERVISORS)
            },
            handler: Handler::write(|call, tx| Box::pin(merge(call, tx))),
        },
        Action {
            operation: Operation {
                doc: "Groups of contacts with the same number or the same e-mail address, at most 200 of each.".into(),
                output: Output::Objects("DuplicateContacts", GROUP),
                ..Operation::new(
                    "contacts.duplicates",
                    "GET",
                    "/contacts/duplicates",
                    "Find contacts that may be one",
                    Roles::ALL,
                )
            },
            handler: Handler::read(|call| Box::pin(duplicates(call))),
        },
    ]
}

async fn merge(call: &Call, tx: &mut Tx) -> Result<Reply, Problem> {
    let tenant = call.tenant()?;
    let (scope, other) = (Scope::tenant(tenant), call.text("other_id").to_owned());
    let id = call.part(crud::ID).to_owned();
    if other == id {
        return Err(Problem::invalid_field("other_id", "These are the same contact."));
    }
    // In one order, so that two that are merged crosswise wait for each other and not for ever.
    if other < id {
        store::get_locked(tx, &CONTACTS, &scope, &other).await?;
    }
    let kept = crud::current(call, tx, &CONTACTS, &scope).await?;
    let gone = store::get_locked(tx, &CONTACTS, &scope, &other).await?;
    let gone = gone.ok_or_else(|| Problem::invalid_field("other_id", "There is no such contact."))?;
    let values = together(&kept, &gone)?;
    store::update(tx, &CONTACTS, &scope, &id, &values, call.now_us()).await?;
    for (table, column) in REFERENCES {
        let sql = format!("UPDATE {table} SET {column} = ? WHERE tenant_id = ? AND {column} = ?");
        db_tx!(tx, |c| sqlx::query(AssertSqlSafe(sql))
            .bind(&id)
            .bind(tenant.as_str())
            .bind(&other)
            .execute(c)
            .await
            .map(drop))?;
    }
    const AUTHORS: &str = "UPDATE ticket_messages SET author_id = ? \
         WHERE tenant_id = ? AND author_kind = 'contact' AND author_id = ?";
    db_tx!(tx, |c| sqlx::query(AUTHORS)
        .bind(&id)
        .bind(tenant.as_str())
        .bind(&other)
        .execute(c)
        .await
        .map(drop))?;
    store::remove(tx, &CONTACTS, &scope, &other, call.now_us()).await?;
    let after = store::get_locked(tx, &CONTACTS, &scope, &id).await?;
    let after = after.ok_or_else(|| Problem::not_found(CONTACTS.one))?;
    let mut shown = after.clone();
    shown.insert("merged_from".into(), json!(other));
    Ok(Reply::record(after).audited(crud::line(&CONTACTS, "merge", id, kept, shown)).audited(crud::line(
        &CONTACTS,
        "delete",
        other,
        gone,
        Record::new(),
    )))
}

/// What the kept contact becomes.
fn together(kept: &Record, gone: &Record) -> Result<Record, Problem> {
    let mut values = Record::new();
    let empty = |value: Option<&Value>| value.is_none_or(|v| v.is_null() || v.as_str() == Some(""));
    for name in FILLED {
        if empty(kept.get(name)) && !empty(gone.get(name)) {
            values.insert(name.to_owned(), gone.get(name).cloned().unwrap_or_default());
        }
    }
    let list = |record: &Record, name: &str| -> Vec<Value> {
        record.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let first = values.get("phone").or(kept.get("phone")).cloned().unwrap_or_default();
    let mut phones = list(kept, "phones");
    for number in gone.get("phone").cloned().into_iter().chain(list(gone, "phones")) {
        if !number.is_null() && number != first && !phones.contains(&number) {
            phones.push(number);
        }
    }
    let mut tags = list(kept, "tags");
    for tag in list(gone, "tags") {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    let text = |record: &Record| record.get("notes").and_then(Value::as_str).unwrap_or_default().to_owned();
    let notes =
        [text(kept), text(gone)].into_iter().filter(|n| !n.is_empty()).collect::<Vec<_>>().join("\n\n");
    let mut metadata = gone.get("metadata").and_then(Value::as_object).cloned().unwrap_or_else(Map::new);
    metadata.extend(kept.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default());
    let metadata = Value::Object(metadata);
    let too_many = |what: &str| Problem::conflict("too-many", format!("Together they have too many {what}."));
    if phones.len() > limits::PHONES {
        return Err(too_many("numbers"));
    }
    if tags.len() > limits::TAGS {
        return Err(too_many("tags"));
    }
    if notes.chars().count() > limits::NOTES_CHARACTERS {
        return Err(too_many("notes"));
    }
    if metadata.to_string().len() > crate::config::limits::api::METADATA_BYTES {
        return Err(too_many("bytes of metadata"));
    }
    values.insert("phones".into(), Value::Array(phones));
    values.insert("tags".into(), Value::Array(tags));
    values.insert("notes".into(), notes.into());
    values.insert("metadata".into(), metadata);
    Ok(values)
}

async fn duplicates(call: &Call) -> Result<Reply, Problem> {
    const PHONES: &str = "SELECT value, COUNT(DISTINCT id) FROM (\
         SELECT phone AS value, id FROM contacts WHERE tenant_id = ? AND phone <> '' AND deleted_at = 0 \
         UNION ALL SELECT p.number AS value, c.id AS id FROM contact_phones p JOIN contacts c ON c.id = p.contact_id \
         AND c.tenant_id = p.tenant_id WHERE p.tenant_id = ? AND c.deleted_at = 0) n \
         GROUP BY value HAVING COUNT(DISTINCT id) > 1 ORDER BY value LIMIT 200";
    const EMAILS: &str = "SELECT email AS value, COUNT(*) FROM contacts \
         WHERE tenant_id = ? AND email <> '' AND deleted_at = 0 \
         GROUP BY email HAVING COUNT(*) > 1 ORDER BY email LIMIT 200";
    let tenant = call.tenant()?.as_str();
    let phones: Vec<(String, i64)> =
        db_read!(&call.db, |p| sqlx::query_as(PHONES).bind(tenant).bind(tenant).fetch_all(p).await)?;
    let emails: Vec<(String, i64)> =
        db_read!(&call.db, |p| sqlx::query_as(EMAILS).bind(tenant).fetch_all(p).await)?;
    let mut groups = Vec::new();
    for (by, found) in [("phone", phones), ("email", emails)] {
        let values: Vec<String> = found.into_iter().map(|(value, _)| value).collect();
        let mut ids = members(call, by, &values).await?;
        for value in values {
            // What was merged meanwhile is no duplicate any more.
            let ids = ids.remove(&value).filter(|ids| ids.len() > 1);
            groups.extend(ids.map(|ids| json!({"by": by, "value": value, "ids": ids})));
        }
    }
    Ok(Reply::json(json!({"data": groups})))
}

/// The contacts that have one of some values.
async fn members(call: &Call, by: &str, values: &[String]) -> Result<BTreeMap<String, Vec<String>>, Problem> {
    let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if values.is_empty() {
        return Ok(members);
    }
    let (tenant, marks) = (call.tenant()?.as_str(), db::places(values.len()));
    let mut sql = format!(
        "SELECT {by} AS value, id, created_at FROM contacts WHERE tenant_id = ? AND deleted_at = 0 AND {by} IN ({marks})"
    );
    if by == "phone" {
        sql.push_str(&format!(
            " UNION SELECT p.number AS value, c.id, c.created_at FROM contact_phones p JOIN contacts c ON c.id = \
             p.contact_id AND c.tenant_id = p.tenant_id WHERE p.tenant_id = ? AND c.deleted_at = 0 AND p.number IN ({marks})"
        ));
    }
    sql.push_str(" ORDER BY created_at, id");
    let rows: Vec<(String, String, i64)> = db_read!(&call.db, |p| {
        let mut query = sqlx::query_as(AssertSqlSafe(sql)).bind(tenant);
        for value in values {
            query = query.bind(value);
        }
        if by == "phone" {
            query = query.bind(tenant);
            for value in values {
                query = query.bind(value);
            }
        }
        query.fetch_all(p).await?
    });
    for (value, id, _) in rows {
        let ids = members.entry(value).or_default();
        if ids.len() < limits::DUPLICATE_IDS {
            ids.push(id);
        }
    }
    Ok(members)
}
