//! SQL of API keys.

use super::super::account::odd;
use super::{ApiKey, Scopes};
use crate::base::ids::{Id, TenantId};
use crate::base::role::Role;
use crate::base::secret::Secret;
use crate::db::{Db, Tx, db_read, db_tx};

use super::super::{AuthError, secret_text};
use super::text;

/// A key as it is asked for.
#[derive(Clone, Debug)]
pub struct NewApiKey<'a> {
    /// Its row.
    pub id: &'a Id,
    /// Its name for people.
    pub name: &'a str,
    /// What it may be at most; no [`Role::Superadmin`].
    pub role: Role,
    /// What it may do of that.
    pub scopes: &'a Scopes,
    /// Its end, microseconds.
    pub expires_us: Option<i64>,
    /// Who asked for it.
    pub created_by: Option<&'a Id>,
}

/// Adds a key and returns its text, which nobody sees again.
///
/// # Errors
/// When the database is away, the system has no randomness, or the role is none of a tenant's.
pub async fn insert(
    tx: &mut Tx,
    tenant: &TenantId,
    key: &NewApiKey<'_>,
    now_us: i64,
) -> Result<Secret, AuthError> {
    const SQL: &str = "INSERT INTO api_keys (id, tenant_id, name, prefix, hash, scopes, role, created_by, expires_at, \
         created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    if key.role == Role::Superadmin {
        return Err(AuthError::Internal("an API key can't be a superadmin"));
    }
    let text = text::make()?;
    let scopes = serde_json::to_string(key.scopes).map_err(|e| sqlx::Error::Encode(e.into()))?;
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(key.id.as_str())
        .bind(tenant.as_str())
        .bind(key.name)
        .bind(text::shown(&text))
        .bind(secret_text::hash(text.expose()))
        .bind(&scopes)
        .bind(key.role.as_str())
        .bind(key.created_by.map(Id::as_str))
        .bind(key.expires_us)
        .bind(now_us)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))?;
    Ok(text)
}

/// Ends a key. Returns whether it was one that lived; then [`super::ApiKeys::forget`] it once the transaction lasted.
///
/// # Errors
/// When the database is away.
pub async fn revoke(tx: &mut Tx, tenant: &TenantId, id: &Id, now_us: i64) -> sqlx::Result<bool> {
    const SQL: &str = "UPDATE api_keys SET revoked_at = ?, updated_at = ? WHERE tenant_id = ? AND id = ? AND revoked_at IS NULL";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(now_us)
        .bind(now_us)
        .bind(tenant.as_str())
        .bind(id.as_str())
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// The living keys of a tenant.
///
/// # Errors
/// When the database is away.
pub async fn of_tenant(tx: &mut Tx, tenant: &TenantId) -> sqlx::Result<Vec<Id>> {
    const SQL: &str = "SELECT id FROM api_keys WHERE tenant_id = ? AND revoked_at IS NULL";
    let ids: Vec<String> = db_tx!(tx, |c| sqlx::query_scalar(SQL).bind(tenant.as_str()).fetch_all(c).await)?;
    ids.iter().map(|id| Id::parse(id).map_err(|_| odd("api_keys: id"))).collect()
}

/// Notes the last use of a key, unless a later one is known.
pub(super) async fn used(
    tx: &mut Tx,
    tenant: &TenantId,
    id: &Id,
    (at_us, address): (i64, &str),
) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE api_keys SET last_used_at = ?, last_used_address = ? WHERE tenant_id = ? AND id = ? \
         AND (last_used_at IS NULL OR last_used_at < ?)";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(at_us)
        .bind(address)
        .bind(tenant.as_str())
        .bind(id.as_str())
        .bind(at_us)
        .execute(c)
        .await
        .map(drop))
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    tenant_id: String,
    name: String,
    role: String,
    scopes: String,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    last_used_at: Option<i64>,
}

/// The key of a hash, of whatever tenant: the key says which. A tenant that is deleted or has no calls has none.
pub(super) async fn by_hash(db: &Db, hash: &str) -> sqlx::Result<Option<ApiKey>> {
    const SQL: &str = "SELECT k.id, k.tenant_id, k.name, k.role, k.scopes, k.expires_at, k.revoked_at, k.last_used_at \
         FROM api_keys k JOIN tenants t ON t.id = k.tenant_id AND t.deleted_at = 0 AND t.status IN ('active', 'trial') \
         WHERE k.hash = ?";
    let row: Option<Row> = db_read!(db, |p| sqlx::query_as(SQL).bind(hash).fetch_optional(p).await)?;
    let Some(row) = row else { return Ok(None) };
    let role = Role::parse(&row.role).filter(|role| *role != Role::Superadmin);
    Ok(Some(ApiKey {
        id: Id::parse(&row.id).map_err(|_| odd("api_keys: id"))?,
        tenant: TenantId::parse(&row.tenant_id).map_err(|_| odd("api_keys: tenant_id"))?,
        name: row.name,
        role: role.ok_or_else(|| odd("api_keys: role"))?,
        scopes: serde_json::from_str(&row.scopes).map_err(|_| odd("api_keys: scopes"))?,
        expires_us: row.expires_at,
        revoked: row.revoked_at.is_some(),
        last_used_us: row.last_used_at.unwrap_or(0),
    }))
}
