//! Lines become contacts: each is matched with one that is there, or makes a new one.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::rows::{Row, Wrong};
use crate::api::store::{self, Scope};
use crate::api::{Audited, Fault, Problem, Record, crud};
use crate::base::ids::{IdSource, TenantId};
use crate::config::limits::contacts as limits;
use crate::contacts::{self, api::CONTACTS};
use crate::db::{Tx, db_tx};

/// What became of some lines.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) failed: i64,
    pub(super) wrong: Vec<Wrong>,
    /// Contacts before and after.
    pub(super) changes: Vec<(Record, Record)>,
    /// The same for whoever listens.
    pub(super) told: Vec<Audited>,
}

/// Applies lines one after another.
pub(super) struct Apply<'a> {
    pub(super) tx: &'a mut Tx,
    pub(super) tenant: &'a TenantId,
    pub(super) ids: &'a IdSource,
    pub(super) now_us: i64,
    /// Ids of tags that this batch has met, by name.
    pub(super) tags: HashMap<String, String>,
    pub(super) applied: Applied,
}

impl Apply<'_> {
    /// Applies one line, or says why not.
    pub(super) async fn line(&mut self, line: u64, row: Result<Row, Vec<Wrong>>) -> sqlx::Result<()> {
        let faults = match row {
            Err(faults) => faults,
            Ok(row) => match self.row(row).await? {
                Ok(()) => return Ok(()),
                Err(fault) => {
                    let field = fault.pointer.trim_start_matches('/').to_owned();
                    vec![Wrong { line, field, detail: fault.detail }]
                }
            },
        };
        self.applied.failed += 1;
        self.applied.wrong.extend(faults);
        Ok(())
    }

    async fn row(&mut self, row: Row) -> sqlx::Result<Result<(), Fault>> {
        let (scope, Row { mut values, tags }) = (Scope::tenant(self.tenant), row);
        let found = self.find(&values).await?;
        let before = match &found {
            Some(id) => store::get_locked(self.tx, &CONTACTS, &scope, id).await?,
            None => None,
        };
        let Some(before) = before else {
            let named = ["first_name", "last_name", "company", "email", "phone"];
            if !named.iter().any(|name| values.contains_key(*name)) {
                let why =
                    "A new contact has at least one of first_name, last_name, company, email and phone.";
                return Ok(Err(Fault::at("", why)));
            }
            return self.create(values, tags).await.map(Ok);
        };
        if !tags.is_empty() {
            let mut all: Vec<Value> =
                before.get("tags").and_then(Value::as_array).cloned().unwrap_or_default();
            for tag in tags {
                let id = json!(self.tag(tag).await?);
                if !all.contains(&id) {
                    all.push(id);
                }
            }
            if all.len() > limits::TAGS {
                return Ok(Err(Fault::at("tags", format!("A contact has at most {} tags.", limits::TAGS))));
            }
            values.insert("tags".into(), Value::Array(all));
        }
        let id = found.unwrap_or_default();
        store::update(self.tx, &CONTACTS, &scope, &id, &values, self.now_us).await?;
        self.changed(&id, before).await?;
        self.applied.updated += 1;
        Ok(Ok(()))
    }

    async fn create(&mut self, mut values: Record, tags: Vec<String>) -> sqlx::Result<()> {
        let mut ids = Vec::with_capacity(tags.len());
        for tag in tags {
            ids.push(json!(self.tag(tag).await?));
        }
        values.insert("tags".into(), Value::Array(ids));
        for (name, value) in [("source", json!("import")), ("notes", json!("")), ("metadata", json!({}))] {
            values.entry(name).or_insert(value);
        }
        let id = self.ids.next();
        store::insert(self.tx, &CONTACTS, &Scope::tenant(self.tenant), id.as_str(), &values, self.now_us)
            .await?;
        self.changed(id.as_str(), Record::new()).await?;
        self.applied.created += 1;
        Ok(())
    }

    /// Notes what became of a contact.
    async fn changed(&mut self, id: &str, before: Record) -> sqlx::Result<()> {
        let after = store::get_locked(self.tx, &CONTACTS, &Scope::tenant(self.tenant), id).await?;
        let after = after.unwrap_or_default();
        self.applied.told.push(crud::line(&CONTACTS, "import", id.to_owned(), before.clone(), after.clone()));
        self.applied.changes.push((before, after));
        Ok(())
    }

    /// The contact that a line means: by its id outside, then by number, then by e-mail; of several the oldest. One
    /// that has another id outside is another one.
    async fn find(&mut self, values: &Record) -> sqlx::Result<Option<String>> {
        const BY_ID: &str = "SELECT id FROM contacts WHERE tenant_id = ? AND external_id = ? AND deleted_at = 0 \
             ORDER BY created_at, id LIMIT 1";
        const BY_PHONE: &str = "SELECT id, external_id, created_at FROM contacts \
             WHERE tenant_id = ? AND phone = ? AND deleted_at = 0 \
             UNION SELECT c.id, c.external_id, c.created_at FROM contact_phones p JOIN contacts c \
             ON c.id = p.contact_id AND c.tenant_id = p.tenant_id \
             WHERE p.tenant_id = ? AND p.number = ? AND c.deleted_at = 0 ORDER BY created_at, id";
        const BY_EMAIL: &str = "SELECT id, external_id, created_at FROM contacts \
             WHERE tenant_id = ? AND email = ? AND deleted_at = 0 ORDER BY created_at, id";
        let text = |name: &str| values.get(name).and_then(Value::as_str).filter(|t| !t.is_empty());
        let tenant = self.tenant.as_str();
        let outside = text("external_id");
        if let Some(outside) = outside {
            let found: Option<String> = db_tx!(&mut *self.tx, |c| sqlx::query_scalar(BY_ID)
                .bind(tenant)
                .bind(outside)
                .fetch_optional(c)
                .await)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        let same = |rows: Vec<(String, String, i64)>| {
            let fits = |other: &str| outside.is_none_or(|own| other.is_empty() || own == other);
            rows.into_iter().find(|(_, other, _)| fits(other)).map(|(id, ..)| id)
        };
        if let Some(phone) = text("phone") {
            let rows = db_tx!(&mut *self.tx, |c| sqlx::query_as(BY_PHONE)
                .bind(tenant)
                .bind(phone)
                .bind(tenant)
                .bind(phone)
                .fetch_all(c)
                .await)?;
            if let Some(id) = same(rows) {
                return Ok(Some(id));
            }
        }
        match text("email") {
            Some(email) => {
                let rows = db_tx!(&mut *self.tx, |c| sqlx::query_as(BY_EMAIL)
                    .bind(tenant)
                    .bind(email)
                    .fetch_all(c)
                    .await)?;
                Ok(same(rows))
            }
            None => Ok(None),
        }
    }

    /// The id of a tag, which is made when there is none of that name.
    async fn tag(&mut self, name: String) -> sqlx::Result<String> {
        if let Some(id) = self.tags.get(&name) {
            return Ok(id.clone());
        }
        let id = contacts::tag(self.tx, self.ids, (self.tenant, self.now_us), &name).await?;
        self.tags.insert(name, id.clone());
        Ok(id)
    }
}

/// Faults of a file as those of a request.
pub(super) fn refused(faults: Vec<Wrong>) -> Problem {
    let one = |w: Wrong| Fault::parameter(&format!("line {} {}", w.line, w.field), w.detail);
    Problem::invalid(faults.into_iter().map(one).collect())
}
