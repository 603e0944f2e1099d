//! The contact that has a number and the tag that has a name, found or made on the way, for whatever else a transaction does.

use serde_json::{Value, json};

use super::api::{CONTACTS, TAGS};
use crate::api::check;
use crate::api::store::{self, Scope};
use crate::api::{Audited, Record, crud};
use crate::base::ids::{IdSource, Number, TenantId};
use crate::db::{Tx, db_tx};

/// A contact that has a number.
#[derive(Clone, Debug)]
pub struct Met {
    /// Its id.
    pub id: String,
    /// What is to be put on record and told, when it was made just now.
    pub made: Option<Audited>,
}

/// The contact whose first number it is, else one whose further number it is, of several the oldest; where nobody has
/// it, a new one. Whoever calls holds a lock of the tenant's, or two of them make two.
///
/// # Errors
/// When the database is away.
pub async fn meet(
    tx: &mut Tx,
    ids: &IdSource,
    (tenant, now_us): (&TenantId, i64),
    number: &Number,
    source: &str,
) -> sqlx::Result<Met> {
    const FIND: &str = "SELECT id, 0 AS place, created_at FROM contacts \
         WHERE tenant_id = ? AND phone = ? AND deleted_at = 0 \
         UNION ALL SELECT c.id, 1 AS place, c.created_at FROM contact_phones p \
         JOIN contacts c ON c.id = p.contact_id AND c.tenant_id = p.tenant_id \
         WHERE p.tenant_id = ? AND p.number = ? AND c.deleted_at = 0 ORDER BY place, created_at, id LIMIT 1";
    let found: Option<(String, i64, i64)> = db_tx!(&mut *tx, |c| sqlx::query_as(FIND)
        .bind(tenant.as_str())
        .bind(number.as_str())
        .bind(tenant.as_str())
        .bind(number.as_str())
        .fetch_optional(c)
        .await)?;
    if let Some((id, ..)) = found {
        return Ok(Met { id, made: None });
    }
    let values = Record::from_iter([
        ("phone".to_owned(), json!(number.as_str())),
        ("source".to_owned(), json!(source)),
        ("notes".to_owned(), json!("")),
        ("metadata".to_owned(), json!({})),
    ]);
    let (id, scope) = (ids.next().to_string(), Scope::tenant(tenant));
    store::insert(tx, &CONTACTS, &scope, &id, &values, now_us).await?;
    let after = store::get_locked(tx, &CONTACTS, &scope, &id).await?.unwrap_or_default();
    Ok(Met { made: Some(crud::line(&CONTACTS, "create", id.clone(), Record::new(), after)), id })
}

/// Checks a tag's name as the API does, and returns it as it is kept.
///
/// # Errors
/// What is wrong with it.
pub fn check_tag(name: &str) -> Result<String, String> {
    let Some(field) = TAGS.fields.iter().find(|field| field.name == "name") else { return Ok(name.into()) };
    match check::one(&Value::from(name), field) {
        Ok(Value::String(name)) => Ok(name),
        Ok(_) => Err("This must be a text.".into()),
        Err(wrong) => Err(wrong.into_iter().map(|(_, why)| why).collect::<Vec<_>>().join(" ")),
    }
}

/// The id of the tag of a name, which is made when there is none.
///
/// # Errors
/// When the database is away.
pub async fn tag(
    tx: &mut Tx,
    ids: &IdSource,
    (tenant, now_us): (&TenantId, i64),
    name: &str,
) -> sqlx::Result<String> {
    const FIND: &str = "SELECT id FROM tags WHERE tenant_id = ? AND name = ?";
    let found: Option<String> = db_tx!(&mut *tx, |c| sqlx::query_scalar(FIND)
        .bind(tenant.as_str())
        .bind(name)
        .fetch_optional(c)
        .await)?;
    if let Some(id) = found {
        return Ok(id);
    }
    let id = ids.next().to_string();
    let values = Record::from_iter([("name".to_owned(), json!(name))]);
    store::insert(tx, &TAGS, &Scope::tenant(tenant), &id, &values, now_us).await?;
    Ok(id)
}
