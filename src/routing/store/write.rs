//! Writes the parts of a tenant's routing data. Every function raises the tenant's version in the same transaction, so
//! that memory, here and in other processes, reads the tenant anew.

use crate::base::ids::{Id, Name, Number, TenantId};
use crate::db::{Tx, db_tx};
use crate::routing::schedule::Schedule;
use crate::routing::types::RawDestination;
use crate::tenants::store::touch;

/// A DID as it is written.
#[derive(Clone, Debug)]
pub struct NewDid<'a> {
    /// Its row.
    pub id: &'a Id,
    /// The number.
    pub number: &'a Number,
    /// Its name for people.
    pub name: &'a str,
    /// `active`, `inactive` or `pending`.
    pub status: &'a str,
    /// The static route; its action may also be `webhook`.
    pub route: RawDestination,
    /// Name of a plugin; empty: none.
    pub plugin: &'a str,
    /// Name of a schedule; empty: always open.
    pub schedule: &'a str,
    /// Whether calls are recorded.
    pub record: bool,
    /// Calls at the same time at most; 0: no limit.
    pub max_calls: u32,
    /// The route webhook, for route type `webhook`.
    pub webhook: Option<NewWebhook<'a>>,
}

/// A DID's webhook as it is written.
#[derive(Clone, Copy, Debug)]
pub struct NewWebhook<'a> {
    /// Asked first.
    pub url: &'a str,
    /// Asked second; empty: none.
    pub second_url: &'a str,
    /// `whsec_…`.
    pub secret: &'a str,
    /// Milliseconds for both together.
    pub timeout_ms: u32,
}

/// Adds a DID.
///
/// # Errors
/// A unique violation when the number is somebody's already.
pub async fn did(tx: &mut Tx, tenant: &TenantId, did: &NewDid<'_>, now_us: i64) -> sqlx::Result<()> {
    const SQL: &str = "INSERT INTO dids (id, tenant_id, number, name, status, route_type, route_target, \
         route_timeout_s, route_options, message, plugin, schedule, record, max_concurrent_calls, webhook_url, \
         webhook_second_url, webhook_secret, webhook_timeout_ms, metadata, created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '{}', ?, ?)";
    let none = NewWebhook { url: "", second_url: "", secret: "", timeout_ms: 2_000 };
    let webhook = did.webhook.unwrap_or(none);
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(did.id.as_str())
        .bind(tenant.as_str())
        .bind(did.number.as_str())
        .bind(did.name)
        .bind(did.status)
        .bind(&did.route.action)
        .bind(&did.route.target)
        .bind(i64::from(did.route.timeout_s))
        .bind(&did.route.options)
        .bind(&did.route.message)
        .bind(did.plugin)
        .bind(did.schedule)
        .bind(did.record)
        .bind(i64::from(did.max_calls))
        .bind(webhook.url)
        .bind(webhook.second_url)
        .bind(webhook.secret)
        .bind(i64::from(webhook.timeout_ms))
        .bind(now_us)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))?;
    touch(tx, tenant).await
}

/// Sets a DID's status. Returns whether the tenant has that number.
///
/// # Errors
/// When the database is away.
pub async fn did_status(
    tx: &mut Tx,
    tenant: &TenantId,
    number: &Number,
    status: &str,
    now_us: i64,
) -> sqlx::Result<bool> {
    const SQL: &str =
        "UPDATE dids SET status = ?, updated_at = ? WHERE tenant_id = ? AND number = ? AND deleted_at = 0";
    let changed = db_tx!(tx, |c| sqlx::query(SQL)
        .bind(status)
        .bind(now_us)
        .bind(tenant.as_str())
        .bind(number.as_str())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    touch(tx, tenant).await?;
    Ok(changed == 1)
}

/// Sets the URL of a DID's webhook. Returns whether the tenant has that number.
///
/// # Errors
/// When the database is away.
pub async fn did_webhook(
    tx: &mut Tx,
    tenant: &TenantId,
    number: &Number,
    webhook: NewWebhook<'_>,
    now_us: i64,
) -> sqlx::Result<bool> {
    const SQL: &str = "UPDATE dids SET webhook_url = ?, webhook_second_url = ?, webhook_secret = ?, \
         webhook_timeout_ms = ?, updated_at = ? WHERE tenant_id = ? AND number = ? AND deleted_at = 0";
    let changed = db_tx!(tx, |c| sqlx::query(SQL)
        .bind(webhook.url)
        .bind(webhook.second_url)
        .bind(webhook.secret)
        .bind(i64::from(webhook.timeout_ms))
        .bind(now_us)
        .bind(tenant.as_str())
        .bind(number.as_str())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    touch(tx, tenant).await?;
    Ok(changed == 1)
}

/// Whose destination it is, and in which role.
#[derive(Clone, Copy, Debug)]
pub struct Role<'a> {
    /// `tenant` or `did`.
    pub owner_kind: &'a str,
    /// The id of that row.
    pub owner_id: &'a str,
    /// `overflow`, `fallback`, `closed`, `holiday`, `blocked`, `limit` or `inactive`.
    pub role: &'a str,
    /// Place among those of the same role, from 0.
    pub position: u32,
}

/// Adds a destination besides the static route.
///
/// # Errors
/// A unique violation when that place is taken.
pub async fn destination(
    tx: &mut Tx,
    tenant: &TenantId,
    role: Role<'_>,
    to: &RawDestination,
) -> sqlx::Result<()> {
    const SQL: &str = "INSERT INTO destinations (tenant_id, owner_kind, owner_id, role, position, type, target, \
         timeout_s, options, message) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(tenant.as_str())
        .bind(role.owner_kind)
        .bind(role.owner_id)
        .bind(role.role)
        .bind(i64::from(role.position))
        .bind(&to.action)
        .bind(&to.target)
        .bind(i64::from(to.timeout_s))
        .bind(&to.options)
        .bind(&to.message)
        .execute(c)
        .await
        .map(drop))?;
    touch(tx, tenant).await
}

/// Adds a schedule.
///
/// # Errors
/// A unique violation when the tenant has one of that name.
pub async fn schedule(
    tx: &mut Tx,
    tenant: &TenantId,
    id: &Id,
    name: &Name,
    schedule: &Schedule,
    now_us: i64,
) -> sqlx::Result<()> {
    const SQL: &str = "INSERT INTO schedules (id, tenant_id, name, definition, created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?)";
    let definition = serde_json::to_string(schedule).map_err(|e| sqlx::Error::Encode(e.into()))?;
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(id.as_str())
        .bind(tenant.as_str())
        .bind(name.as_str())
        .bind(&definition)
        .bind(now_us)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))?;
    touch(tx, tenant).await
}

/// Adds a pattern to a tenant's block (`block`) or allow (`allow`) list, valid until `expires_us` (0: for ever).
///
/// # Errors
/// A unique violation when the pattern is listed already.
pub async fn number_rule(
    tx: &mut Tx,
    tenant: &TenantId,
    id: &Id,
    (kind, pattern): (&str, &str),
    expires_us: i64,
    now_us: i64,
) -> sqlx::Result<()> {
    const SQL: &str = "INSERT INTO number_rules (id, tenant_id, kind, pattern, note, expires_at, created_at, \
         updated_at) VALUES (?, ?, ?, ?, '', ?, ?, ?)";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(id.as_str())
        .bind(tenant.as_str())
        .bind(kind)
        .bind(pattern)
        .bind(expires_us)
        .bind(now_us)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))?;
    touch(tx, tenant).await
}

/// A menu as it is written.
#[derive(Clone, Debug)]
pub struct NewMenu<'a> {
    /// Its row.
    pub id: &'a Id,
    /// Its name.
    pub name: &'a Name,
    /// Prompts by language, as JSON; the empty language serves all others.
    pub prompts: &'a str,
    /// Said after a wrong choice; empty: nothing.
    pub invalid_prompt: &'a str,
    /// Said before the call ends; empty: nothing.
    pub goodbye_prompt: &'a str,
    /// Milliseconds to press the first digit.
    pub first_digit_ms: u32,
    /// Milliseconds to press the next one.
    pub inter_digit_ms: u32,
    /// How often it asks.
    pub max_tries: u32,
    /// Whether extensions can be dialled.
    pub direct_dial: bool,
    /// Choices: digits, and a destination or `repeat`, `back`, `goodbye` as action.
    pub options: Vec<(&'a str, RawDestination)>,
}

/// Adds a menu with its choices.
///
/// # Errors
/// A unique violation when the tenant has one of that name, or two choices have the same digits.
pub async fn menu(tx: &mut Tx, tenant: &TenantId, menu: &NewMenu<'_>, now_us: i64) -> sqlx::Result<()> {
    const MENU: &str = "INSERT INTO ivr_menus (id, tenant_id, name, prompts, invalid_prompt, goodbye_prompt, \
         first_digit_ms, inter_digit_ms, max_tries, direct_dial, metadata, created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '{}', ?, ?)";
    const OPTION: &str = "INSERT INTO ivr_options (tenant_id, menu_id, digits, type, target, timeout_s, options, message) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    db_tx!(tx, |c| sqlx::query(MENU)
        .bind(menu.id.as_str())
        .bind(tenant.as_str())
        .bind(menu.name.as_str())
        .bind(menu.prompts)
        .bind(menu.invalid_prompt)
        .bind(menu.goodbye_prompt)
        .bind(i64::from(menu.first_digit_ms))
        .bind(i64::from(menu.inter_digit_ms))
        .bind(i64::from(menu.max_tries))
        .bind(menu.direct_dial)
        .bind(now_us)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))?;
    for (digits, to) in &menu.options {
        db_tx!(tx, |c| sqlx::query(OPTION)
            .bind(tenant.as_str())
            .bind(menu.id.as_str())
            .bind(*digits)
            .bind(&to.action)
            .bind(&to.target)
            .bind(i64::from(to.timeout_s))
            .bind(&to.options)
            .bind(&to.message)
            .execute(c)
            .await
            .map(drop))?;
    }
    touch(tx, tenant).await
}

/// Allows or forbids numbers outside that begin with `prefix` (with `+`), or one short number such as `112` (without).
///
/// # Errors
/// A unique violation when the prefix has a rule already.
pub async fn outbound_rule(
    tx: &mut Tx,
    tenant: &TenantId,
    id: &Id,
    prefix: &str,
    allowed: bool,
    now_us: i64,
) -> sqlx::Result<()> {
    const SQL: &str = "INSERT INTO outbound_rules (id, tenant_id, prefix, allowed, created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?)";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(id.as_str())
        .bind(tenant.as_str())
        .bind(prefix)
        .bind(allowed)
        .bind(now_us)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))?;
    touch(tx, tenant).await
}
