//! A caller's whole contact, for plugins on the call path: warm without the database, like the names beside it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value};

use super::Names;
use super::names::{Key, digits};
use crate::base::ids::TenantId;
use crate::db::{Db, db_read};

/// A contact as a plugin sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// Its id.
    pub id: String,
    /// Both names; empty: none.
    pub name: String,
    /// Company; empty: none.
    pub company: String,
    /// Numbers, E.164, the first one first.
    pub numbers: Vec<String>,
    /// Names of its tags.
    pub tags: Vec<String>,
    /// The texts of its metadata, by name.
    pub fields: Vec<(String, String)>,
}

impl Names {
    /// The contact that has a number; `None`: nobody has it, or it is no number.
    ///
    /// # Errors
    /// When it is not warm and the database is away.
    pub async fn card(&self, tenant: &TenantId, number: &str) -> sqlx::Result<Option<Arc<Card>>> {
        let Some(digits) = digits(number) else { return Ok(None) };
        let key = (tenant.clone(), digits);
        if let Some(card) = self.0.cards.get(&key) {
            return Ok(card);
        }
        let before = self.0.changes.load(Ordering::SeqCst);
        let card = read(&self.0.db, &key).await?.map(Arc::new);
        if self.0.changes.load(Ordering::SeqCst) == before {
            self.0.cards.insert(key.clone(), card.clone());
            // A change between the look and the insert has found nothing to forget.
            if self.0.changes.load(Ordering::SeqCst) != before {
                self.0.cards.invalidate(&key);
            }
        }
        Ok(card)
    }
}

/// The contact that has a number, read anew; `None`: nobody has it, or it is no number.
///
/// # Errors
/// When the database is away.
pub async fn card_of(db: &Db, tenant: &TenantId, number: &str) -> sqlx::Result<Option<Card>> {
    match digits(number) {
        Some(digits) => read(db, &(tenant.clone(), digits)).await,
        None => Ok(None),
    }
}

/// The contact whose first number it is, else one whose further number it is; of several the oldest.
async fn read(db: &Db, (tenant, digits): &Key) -> sqlx::Result<Option<Card>> {
    const SQL: &str = "SELECT id, first_name, last_name, company, phone, metadata, 0 AS place, created_at FROM contacts \
         WHERE tenant_id = ? AND phone = ? AND deleted_at = 0 \
         UNION ALL SELECT c.id, c.first_name, c.last_name, c.company, c.phone, c.metadata, 1 AS place, c.created_at \
         FROM contact_phones p JOIN contacts c ON c.id = p.contact_id AND c.tenant_id = p.tenant_id \
         WHERE p.tenant_id = ? AND p.number = ? AND c.deleted_at = 0 \
         ORDER BY place, created_at, id LIMIT 1";
    const PHONES: &str =
        "SELECT number FROM contact_phones WHERE tenant_id = ? AND contact_id = ? ORDER BY position";
    const TAGS: &str = "SELECT t.name FROM contact_tags ct JOIN tags t ON t.id = ct.tag_id \
         WHERE ct.tenant_id = ? AND ct.contact_id = ? ORDER BY t.name";
    type Row = (String, String, String, String, String, String, i64, i64);
    let number = format!("+{digits}");
    let row: Option<Row> = db_read!(db, |p| sqlx::query_as(SQL)
        .bind(tenant.as_str())
        .bind(&number)
        .bind(tenant.as_str())
        .bind(&number)
        .fetch_optional(p)
        .await)?;
    let Some((id, first, last, company, phone, metadata, ..)) = row else { return Ok(None) };
    let further: Vec<String> =
        db_read!(db, |p| sqlx::query_scalar(PHONES).bind(tenant.as_str()).bind(&id).fetch_all(p).await)?;
    let tags: Vec<String> =
        db_read!(db, |p| sqlx::query_scalar(TAGS).bind(tenant.as_str()).bind(&id).fetch_all(p).await)?;
    let metadata: Map<String, Value> = serde_json::from_str(&metadata).unwrap_or_default();
    let texts = metadata.into_iter().filter_map(|(name, value)| match value {
        Value::String(text) => Some((name, text)),
        Value::Number(_) | Value::Bool(_) => Some((name, value.to_string())),
        _ => None,
    });
    Ok(Some(Card {
        id,
        name: format!("{first} {last}").trim().to_owned(),
        company,
        numbers: std::iter::once(phone).filter(|phone| !phone.is_empty()).chain(further).collect(),
        tags,
        fields: texts.collect(),
    }))
}
