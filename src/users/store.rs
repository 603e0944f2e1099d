//! SQL of users and their roles. A user is platform-wide, so these statements name the tenant only for roles; who may
//! see a user is decided by whoever asks.

use crate::base::ids::{Id, TenantId};
use crate::base::role::Role;
use crate::db::{Tx, db_tx};

use super::{Email, UserStatus};

/// A user as it is written.
#[derive(Clone, Debug)]
pub struct NewUser<'a> {
    /// Its row.
    pub id: &'a Id,
    /// The tenant it belongs to; `None` for the platform's own people.
    pub tenant: Option<&'a TenantId>,
    /// Its name at the login.
    pub email: &'a Email,
    /// What `auth::password` made of its password.
    pub password_hash: &'a str,
    /// Whether it runs the platform.
    pub is_superadmin: bool,
    /// Given name.
    pub first_name: &'a str,
    /// Family name.
    pub last_name: &'a str,
    /// Language of its pages.
    pub language: &'a str,
    /// IANA time zone of its pages.
    pub zone: &'a str,
}

/// Adds an active user without a role.
///
/// # Errors
/// A unique violation when the email is taken, by whatever tenant's user.
pub async fn insert(tx: &mut Tx, user: &NewUser<'_>, now_us: i64) -> sqlx::Result<()> {
    const SQL: &str = "INSERT INTO users (id, tenant_id, email, password_hash, is_superadmin, first_name, last_name, \
         status, language, zone, password_changed_at, metadata, created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '{}', ?, ?)";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(user.id.as_str())
        .bind(user.tenant.map(TenantId::as_str))
        .bind(user.email.as_str())
        .bind(user.password_hash)
        .bind(user.is_superadmin)
        .bind(user.first_name)
        .bind(user.last_name)
        .bind(UserStatus::Active.as_str())
        .bind(user.language)
        .bind(user.zone)
        .bind(now_us)
        .bind(now_us)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))
}

/// Sets whether a user may log in. Returns whether there is such a user. Its sessions are `auth::session`'s to revoke.
///
/// # Errors
/// When the database is away.
pub async fn set_status(tx: &mut Tx, user: &Id, status: UserStatus, now_us: i64) -> sqlx::Result<bool> {
    const SQL: &str = "UPDATE users SET status = ?, updated_at = ? WHERE id = ? AND deleted_at = 0";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(status.as_str())
        .bind(now_us)
        .bind(user.as_str())
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// Gives a user a role in a tenant, in place of the one it had there. Its sessions are `auth::session`'s to revoke.
///
/// # Errors
/// When the database is away, when user or tenant does not exist, or for [`Role::Superadmin`], which is no role of a tenant.
pub async fn set_role(
    tx: &mut Tx,
    tenant: &TenantId,
    user: &Id,
    (id, role): (&Id, Role),
    now_us: i64,
) -> sqlx::Result<()> {
    const UPDATE: &str = "UPDATE user_roles SET role = ?, updated_at = ? WHERE tenant_id = ? AND user_id = ?";
    const INSERT: &str = "INSERT INTO user_roles (id, tenant_id, user_id, role, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)";
    if role == Role::Superadmin {
        return Err(sqlx::Error::Encode("superadmin is no role of a tenant".into()));
    }
    let changed = db_tx!(tx, |c| sqlx::query(UPDATE)
        .bind(role.as_str())
        .bind(now_us)
        .bind(tenant.as_str())
        .bind(user.as_str())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    if changed == 1 {
        return Ok(());
    }
    db_tx!(tx, |c| sqlx::query(INSERT)
        .bind(id.as_str())
        .bind(tenant.as_str())
        .bind(user.as_str())
        .bind(role.as_str())
        .bind(now_us)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))
}

/// Takes a user's role in a tenant. Returns whether there was one. Its sessions are `auth::session`'s to revoke.
///
/// # Errors
/// When the database is away.
pub async fn remove_role(tx: &mut Tx, tenant: &TenantId, user: &Id) -> sqlx::Result<bool> {
    const SQL: &str = "DELETE FROM user_roles WHERE tenant_id = ? AND user_id = ?";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(tenant.as_str())
        .bind(user.as_str())
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// How many others than `user` can run a tenant: admins who may sign in. The caller holds the tenant's lock.
///
/// # Errors
/// When the database is away.
pub async fn other_admins(tx: &mut Tx, tenant: &TenantId, user: &Id) -> sqlx::Result<i64> {
    const PLAIN: &str = "SELECT COUNT(*) FROM user_roles r JOIN users u ON u.id = r.user_id AND u.deleted_at = 0 \
         AND u.status = 'active' WHERE r.tenant_id = ? AND r.role = 'tenant_admin' AND r.user_id <> ?";
    // A locking read: MariaDB's plain one may be older than the lock.
    let sql = tx.pick(PLAIN, &format!("{PLAIN} LOCK IN SHARE MODE")).to_owned();
    db_tx!(tx, |c| sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(tenant.as_str())
        .bind(user.as_str())
        .fetch_one(c)
        .await)
}

/// Whether there is a user of that id, whatever its tenant.
///
/// # Errors
/// When the database is away.
pub async fn exists(tx: &mut Tx, user: &Id) -> sqlx::Result<bool> {
    const SQL: &str = "SELECT COUNT(*) FROM users WHERE id = ? AND deleted_at = 0";
    let count: i64 = db_tx!(tx, |c| sqlx::query_scalar(SQL).bind(user.as_str()).fetch_one(c).await)?;
    Ok(count == 1)
}

/// Whether a user has a role in another tenant than this.
///
/// # Errors
/// When the database is away.
pub async fn acts_elsewhere(tx: &mut Tx, tenant: &TenantId, user: &Id) -> sqlx::Result<bool> {
    const SQL: &str = "SELECT COUNT(*) FROM user_roles WHERE user_id = ? AND tenant_id <> ?";
    let count: i64 =
        db_tx!(tx, |c| sqlx::query_scalar(SQL).bind(user.as_str()).bind(tenant.as_str()).fetch_one(c).await)?;
    Ok(count > 0)
}

/// The row of a user's role in a tenant.
///
/// # Errors
/// When the database is away.
pub async fn role_id(tx: &mut Tx, tenant: &TenantId, user: &Id) -> sqlx::Result<Option<String>> {
    const SQL: &str = "SELECT id FROM user_roles WHERE tenant_id = ? AND user_id = ?";
    db_tx!(tx, |c| sqlx::query_scalar(SQL).bind(tenant.as_str()).bind(user.as_str()).fetch_optional(c).await)
}

/// Marks a user as deleted and takes its roles in every tenant. Its sessions are `auth::session`'s to revoke.
///
/// # Errors
/// When the database is away.
pub async fn remove(tx: &mut Tx, user: &Id, now_us: i64) -> sqlx::Result<()> {
    const ROLES: &str = "DELETE FROM user_roles WHERE user_id = ?";
    const USER: &str = "UPDATE users SET deleted_at = ?, updated_at = ? WHERE id = ? AND deleted_at = 0";
    db_tx!(&mut *tx, |c| sqlx::query(ROLES).bind(user.as_str()).execute(c).await.map(drop))?;
    db_tx!(tx, |c| sqlx::query(USER).bind(now_us).bind(now_us).bind(user.as_str()).execute(c).await.map(drop))
}
