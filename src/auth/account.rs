//! A user as the login sees one: credentials, failures, second factor. Platform-wide: an email is one person's,
//! whatever the tenant.

use crate::base::ids::{Id, TenantId};
use crate::base::role::Role;
use crate::db::{Db, Tx, db_read, db_tx};
use crate::users::{Email, UserStatus};

use super::lockout::Failures;

/// The columns of `users` that decide about a login.
#[derive(Clone, Debug)]
pub struct Account {
    /// The user.
    pub id: Id,
    /// The tenant it belongs to.
    pub tenant: Option<TenantId>,
    /// Its name at the login.
    pub email: Email,
    /// Whether it may log in.
    pub status: UserStatus,
    /// Whether it runs the platform.
    pub is_superadmin: bool,
    /// Whether a code is asked for.
    pub totp_enabled: bool,
    pub(super) password_hash: String,
    pub(super) failures: Failures,
    pub(super) totp_secret: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    tenant_id: Option<String>,
    email: String,
    status: String,
    is_superadmin: bool,
    totp_enabled: bool,
    password_hash: String,
    failed_logins: i64,
    locked_until: Option<i64>,
    totp_secret: String,
}

/// A value that none of ours can be.
pub(super) fn odd(what: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}

impl Row {
    fn into_account(self) -> sqlx::Result<Account> {
        Ok(Account {
            id: Id::parse(&self.id).map_err(|_| odd("users: id"))?,
            tenant: parse_tenant(self.tenant_id.as_deref())?,
            email: Email::parse(&self.email).map_err(|_| odd("users: email"))?,
            status: UserStatus::parse(&self.status).ok_or_else(|| odd("users: status"))?,
            is_superadmin: self.is_superadmin,
            totp_enabled: self.totp_enabled,
            password_hash: self.password_hash,
            failures: Failures {
                count: u32::try_from(self.failed_logins).unwrap_or(u32::MAX),
                until_us: self.locked_until.unwrap_or(0),
            },
            totp_secret: self.totp_secret,
        })
    }
}

pub(super) fn parse_tenant(text: Option<&str>) -> sqlx::Result<Option<TenantId>> {
    text.map(TenantId::parse).transpose().map_err(|_| odd("a tenant's id"))
}

/// The user of an email, unless it is deleted or unknown.
///
/// # Errors
/// When the database is away.
pub async fn by_email(db: &Db, email: &Email) -> sqlx::Result<Option<Account>> {
    const SQL: &str = "SELECT id, tenant_id, email, status, is_superadmin, totp_enabled, password_hash, failed_logins, \
         locked_until, totp_secret FROM users WHERE email = ? AND deleted_at = 0";
    let row: Option<Row> =
        db_read!(db, |p| sqlx::query_as(SQL).bind(email.as_str()).fetch_optional(p).await)?;
    row.map(Row::into_account).transpose()
}

/// The user of an id, unless it is deleted or unknown.
///
/// # Errors
/// When the database is away.
pub async fn by_id(db: &Db, user: &Id) -> sqlx::Result<Option<Account>> {
    const SQL: &str = "SELECT id, tenant_id, email, status, is_superadmin, totp_enabled, password_hash, failed_logins, \
         locked_until, totp_secret FROM users WHERE id = ? AND deleted_at = 0";
    let row: Option<Row> = db_read!(db, |p| sqlx::query_as(SQL).bind(user.as_str()).fetch_optional(p).await)?;
    row.map(Row::into_account).transpose()
}

/// The user of an id, and nobody else's to change until the transaction ends. The first statement of a transaction:
/// on MariaDB what is read afterwards is then as new as the lock.
///
/// # Errors
/// When the database is away.
pub async fn lock(tx: &mut Tx, user: &Id) -> sqlx::Result<Option<Account>> {
    // Changes nothing; takes the row's lock on both databases.
    const LOCK: &str = "UPDATE users SET failed_logins = failed_logins WHERE id = ? AND deleted_at = 0";
    const SQL: &str = "SELECT id, tenant_id, email, status, is_superadmin, totp_enabled, password_hash, failed_logins, \
         locked_until, totp_secret FROM users WHERE id = ? AND deleted_at = 0";
    db_tx!(tx, |c| sqlx::query(LOCK).bind(user.as_str()).execute(c).await.map(drop))?;
    let row: Option<Row> = db_tx!(tx, |c| sqlx::query_as(SQL).bind(user.as_str()).fetch_optional(c).await)?;
    row.map(Row::into_account).transpose()
}

/// Stores how often the user failed.
pub(super) async fn set_failures(tx: &mut Tx, user: &Id, failures: Failures) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE users SET failed_logins = ?, locked_until = ? WHERE id = ?";
    let until = Some(failures.until_us).filter(|us| *us != 0);
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(i64::from(failures.count))
        .bind(until)
        .bind(user.as_str())
        .execute(c)
        .await
        .map(drop))
}

/// Notes a login that succeeded.
pub(super) async fn logged_in(tx: &mut Tx, user: &Id, now_us: i64) -> sqlx::Result<()> {
    const SQL: &str =
        "UPDATE users SET failed_logins = 0, locked_until = NULL, last_login_at = ? WHERE id = ?";
    db_tx!(tx, |c| sqlx::query(SQL).bind(now_us).bind(user.as_str()).execute(c).await.map(drop))
}

/// Stores a new password's hash. Failures are forgotten.
pub(super) async fn set_password(tx: &mut Tx, user: &Id, hash: &str, now_us: i64) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE users SET password_hash = ?, password_changed_at = ?, updated_at = ?, failed_logins = 0, \
         locked_until = NULL WHERE id = ? AND deleted_at = 0";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(hash)
        .bind(now_us)
        .bind(now_us)
        .bind(user.as_str())
        .execute(c)
        .await
        .map(drop))
}

/// Puts a hash of today in place of an old one of the same password, unless the password was changed meanwhile.
pub(super) async fn rehash(tx: &mut Tx, user: &Id, old: &str, new: &str) -> sqlx::Result<bool> {
    const SQL: &str = "UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(new)
        .bind(user.as_str())
        .bind(old)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// What a user may be: tenant (living ones only) and role, the first given first. A superadmin's is not among them.
///
/// # Errors
/// When the database is away.
pub async fn roles(db: &Db, user: &Id) -> sqlx::Result<Vec<(TenantId, Role)>> {
    const SQL: &str = "SELECT r.tenant_id, r.role FROM user_roles r JOIN tenants t ON t.id = r.tenant_id AND t.deleted_at = 0 \
         WHERE r.user_id = ? ORDER BY r.created_at, r.id";
    let rows: Vec<(String, String)> =
        db_read!(db, |p| sqlx::query_as(SQL).bind(user.as_str()).fetch_all(p).await)?;
    rows.iter().map(|(tenant, role)| parse_role(tenant, role)).collect()
}

fn parse_role(tenant: &str, role: &str) -> sqlx::Result<(TenantId, Role)> {
    let role = Role::parse(role).filter(|r| *r != Role::Superadmin);
    let tenant = TenantId::parse(tenant).map_err(|_| odd("user_roles: tenant_id"))?;
    Ok((tenant, role.ok_or_else(|| odd("user_roles: role"))?))
}

/// Whether there is a living tenant of that id.
pub(super) async fn is_tenant(tx: &mut Tx, tenant: &TenantId) -> sqlx::Result<bool> {
    const SQL: &str = "SELECT COUNT(*) FROM tenants WHERE id = ? AND deleted_at = 0";
    let count: i64 = db_tx!(tx, |c| sqlx::query_scalar(SQL).bind(tenant.as_str()).fetch_one(c).await)?;
    Ok(count == 1)
}

/// As [`roles`], inside a transaction.
pub(super) async fn roles_tx(tx: &mut Tx, user: &Id) -> sqlx::Result<Vec<(TenantId, Role)>> {
    const SQL: &str = "SELECT r.tenant_id, r.role FROM user_roles r JOIN tenants t ON t.id = r.tenant_id AND t.deleted_at = 0 \
         WHERE r.user_id = ? ORDER BY r.created_at, r.id";
    let rows: Vec<(String, String)> =
        db_tx!(tx, |c| sqlx::query_as(SQL).bind(user.as_str()).fetch_all(c).await)?;
    rows.iter().map(|(tenant, role)| parse_role(tenant, role)).collect()
}
