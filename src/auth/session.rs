//! Sessions: a login and the refresh tokens that follow from it, each used once, and the end of it all.
//!
//! Every change of a session's tokens begins by changing the session's row, so that two refreshes of one session
//! stand in line on both databases. A used token that comes back means one of three things:
//!
//! 1. within seconds: a double click or two tabs. It gets the same successor (derived from it, so nothing is stored that
//!    could be read): whichever answer a browser keeps is the right one.
//! 2. within a minute, and the successor was never used: the answer was lost. The successor is withdrawn, another made.
//! 3. otherwise it was copied: the session ends for everybody who has a token of it.

use super::account::{odd, parse_tenant};
use super::{Auth, AuthError, secret_text};
use crate::base::ids::{Id, TenantId};
use crate::base::role::Role;
use crate::base::secret::Secret;
use crate::config::limits::auth as limits;
use crate::db::{Db, Tx, db_read, db_tx};
use crate::users::UserStatus;

const PREFIX: &str = "hsr_";

/// Why a session ended, as kept in its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its user logged out.
    Logout,
    /// A used refresh token came back.
    Reuse,
    /// The user has a new password.
    Password,
    /// The user has another role in the tenant, or none.
    Role,
    /// The user may not log in any more.
    Suspended,
    /// An admin ended it.
    Admin,
    /// The user went on in another tenant.
    Switched,
}

impl Why {
    /// The text kept in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Reuse => "reuse",
            Self::Password => "password",
            Self::Role => "role",
            Self::Suspended => "suspended",
            Self::Admin => "admin",
            Self::Switched => "switched",
        }
    }
}

/// Where a request came from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'a> {
    /// The program, as it names itself.
    pub user_agent: &'a str,
    /// The address.
    pub address: &'a str,
}

/// Whom a session belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its row.
    pub id: Id,
    /// The user.
    pub user: Id,
    /// The tenant it acts in; `None`: a superadmin in none.
    pub tenant: Option<TenantId>,
    /// What it is there.
    pub role: Role,
    /// Its end, whatever happens; microseconds.
    pub expires_us: i64,
}

/// What became of a refresh token.
#[derive(Debug)]
pub enum Refreshed {
    /// It was used; here is the next one.
    Renewed {
        /// Whose it is.
        session: Session,
        /// The next one.
        token: Secret,
    },
    /// No token of ours, or its time or its session's is over, or its user may not log in.
    Refused,
    /// It came back after its use: the session has ended. Worth an entry in the audit log and a word to the user.
    Reused {
        /// Whose it was.
        session: Session,
    },
}

/// Starts a session, in the transaction that decided so. `not_after_us` keeps a switch of tenants from living longer
/// than the login it came from.
///
/// # Errors
/// When the database is away or the system has no randomness.
pub async fn start(
    auth: &Auth,
    tx: &mut Tx,
    (user, tenant, role): (&Id, Option<&TenantId>, Role),
    origin: Origin<'_>,
    not_after_us: Option<i64>,
) -> Result<(Session, Secret), AuthError> {
    const SQL: &str = "INSERT INTO sessions (id, user_id, tenant_id, role, created_at, used_at, expires_at, user_agent, address) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let now_us = auth.clock.now_us();
    let end_us = now_us + limits::SESSION_US;
    let session = Session {
        id: auth.ids.next(),
        user: user.clone(),
        tenant: tenant.cloned(),
        role,
        expires_us: not_after_us.map_or(end_us, |us| us.min(end_us)),
    };
    let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(session.id.as_str())
        .bind(user.as_str())
        .bind(tenant.map(TenantId::as_str))
        .bind(role.as_str())
        .bind(now_us)
        .bind(now_us)
        .bind(session.expires_us)
        .bind(cut(origin.user_agent, limits::USER_AGENT_CHARS))
        .bind(cut(origin.address, 45))
        .execute(c)
        .await
        .map(drop))?;
    let token = secret_text::random(PREFIX)?;
    insert_token(tx, &session, &token, now_us).await?;
    Ok((session, token))
}

async fn insert_token(tx: &mut Tx, session: &Session, token: &Secret, now_us: i64) -> sqlx::Result<()> {
    const SQL: &str =
        "INSERT INTO refresh_tokens (hash, session_id, created_at, expires_at) VALUES (?, ?, ?, ?)";
    let expires_us = (now_us + limits::SESSION_IDLE_US).min(session.expires_us);
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(secret_text::hash(token.expose()))
        .bind(session.id.as_str())
        .bind(now_us)
        .bind(expires_us)
        .execute(c)
        .await
        .map(drop))
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    user_id: String,
    tenant_id: Option<String>,
    role: String,
    session_expires_at: i64,
    expires_at: i64,
    consumed_at: Option<i64>,
    successor: Option<String>,
    status: String,
    deleted_at: i64,
    tenant_deleted_at: i64,
}

impl TokenRow {
    fn session(&self, id: &Id) -> sqlx::Result<Session> {
        Ok(Session {
            id: id.clone(),
            user: Id::parse(&self.user_id).map_err(|_| odd("sessions: user_id"))?,
            tenant: parse_tenant(self.tenant_id.as_deref())?,
            role: Role::parse(&self.role).ok_or_else(|| odd("sessions: role"))?,
            expires_us: self.session_expires_at,
        })
    }
}

/// Uses a refresh token, in a transaction of its own: a refusal may have ended the session, and that must last.
///
/// # Errors
/// When the database is away (then nothing was used) or the system has no randomness.
pub async fn refresh(auth: &Auth, db: &Db, token: &Secret) -> Result<Refreshed, AuthError> {
    const FIND: &str = "SELECT session_id FROM refresh_tokens WHERE hash = ?";
    const LOCK: &str =
        "UPDATE sessions SET used_at = ? WHERE id = ? AND revoked_at IS NULL AND expires_at > ?";
    const READ: &str = "SELECT s.user_id, s.tenant_id, s.role, s.expires_at AS session_expires_at, r.expires_at, \
         r.consumed_at, r.successor, u.status, u.deleted_at, COALESCE(t.deleted_at, 0) AS tenant_deleted_at \
         FROM refresh_tokens r JOIN sessions s ON s.id = r.session_id JOIN users u ON u.id = s.user_id \
         LEFT JOIN tenants t ON t.id = s.tenant_id WHERE r.hash = ? AND r.session_id = ?";
    if !secret_text::is_form(PREFIX, token.expose()) {
        return Ok(Refreshed::Refused);
    }
    let hash = secret_text::hash(token.expose());
    let found: Option<String> =
        db_read!(db, |p| sqlx::query_scalar(FIND).bind(&hash).fetch_optional(p).await)?;
    let Some(id) = found.and_then(|id| Id::parse(&id).ok()) else { return Ok(Refreshed::Refused) };
    let now_us = auth.clock.now_us();
    let mut tx = db.begin().await?;
    let lives = db_tx!(&mut tx, |c| sqlx::query(LOCK)
        .bind(now_us)
        .bind(id.as_str())
        .bind(now_us)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    if lives == 0 {
        return Ok(Refreshed::Refused);
    }
    let row: Option<TokenRow> =
        db_tx!(&mut tx, |c| sqlx::query_as(READ).bind(&hash).bind(id.as_str()).fetch_optional(c).await)?;
    // Withdrawn or cleaned away since it was found.
    let Some(row) = row else { return Ok(Refreshed::Refused) };
    let may = row.status == UserStatus::Active.as_str() && row.deleted_at == 0 && row.tenant_deleted_at == 0;
    if !may || row.expires_at <= now_us {
        return Ok(Refreshed::Refused);
    }
    let session = row.session(&id)?;
    let Some(next) = next_token(auth, &mut tx, &session, (token, &hash), &row, now_us).await? else {
        let ended = revoke(&mut tx, &session.user, &session.id, Why::Reuse, now_us).await?;
        tx.commit().await?;
        auth.revoked.add(&ended, now_us);
        return Ok(Refreshed::Reused { session });
    };
    tx.commit().await?;
    Ok(Refreshed::Renewed { session, token: next })
}

/// The successor of a token; `None` when the token was stolen. The caller holds the session's lock.
async fn next_token(
    auth: &Auth,
    tx: &mut Tx,
    session: &Session,
    (token, hash): (&Secret, &str),
    row: &TokenRow,
    now_us: i64,
) -> Result<Option<Secret>, AuthError> {
    const UNUSED: &str =
        "SELECT COUNT(*) FROM refresh_tokens WHERE hash = ? AND session_id = ? AND consumed_at IS NULL";
    const WITHDRAW: &str =
        "DELETE FROM refresh_tokens WHERE hash = ? AND session_id = ? AND consumed_at IS NULL";
    let first = secret_text::with_bytes(PREFIX, &auth.successors.mac(token.expose().as_bytes()));
    let Some(consumed_us) = row.consumed_at else {
        insert_token(tx, session, &first, now_us).await?;
        set_successor(tx, hash, &first, now_us).await?;
        return Ok(Some(first));
    };
    let Some(successor) = &row.successor else { return Ok(None) };
    let unused: i64 = db_tx!(&mut *tx, |c| sqlx::query_scalar(UNUSED)
        .bind(successor)
        .bind(session.id.as_str())
        .fetch_one(c)
        .await)?;
    let age_us = now_us - consumed_us;
    if unused == 0 || age_us > limits::REFRESH_GRACE_US {
        return Ok(None);
    }
    if age_us <= limits::REFRESH_TWICE_US && *successor == secret_text::hash(first.expose()) {
        return Ok(Some(first));
    }
    db_tx!(&mut *tx, |c| sqlx::query(WITHDRAW)
        .bind(successor)
        .bind(session.id.as_str())
        .execute(c)
        .await
        .map(drop))?;
    let other = secret_text::random(PREFIX)?;
    insert_token(tx, session, &other, now_us).await?;
    // The time of the first use stays: the grace does not grow with each repeat.
    set_successor(tx, hash, &other, consumed_us).await?;
    Ok(Some(other))
}

async fn set_successor(tx: &mut Tx, hash: &str, successor: &Secret, consumed_us: i64) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE refresh_tokens SET consumed_at = ?, successor = ? WHERE hash = ?";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(consumed_us)
        .bind(secret_text::hash(successor.expose()))
        .bind(hash)
        .execute(c)
        .await
        .map(drop))
}

/// Ends one session of a user. Returns what to hand to [`super::revoked::Revoked::add`] once the transaction lasted.
///
/// # Errors
/// When the database is away.
pub async fn revoke(tx: &mut Tx, user: &Id, session: &Id, why: Why, now_us: i64) -> sqlx::Result<Vec<Id>> {
    const END: &str = "UPDATE sessions SET revoked_at = ?, revoked_why = ? WHERE user_id = ? AND id = ? AND revoked_at IS NULL";
    let ended = db_tx!(tx, |c| sqlx::query(END)
        .bind(now_us)
        .bind(why.as_str())
        .bind(user.as_str())
        .bind(session.as_str())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(if ended == 1 { vec![session.clone()] } else { Vec::new() })
}

/// Ends every session of a user but `keep` (the one that changes its own password). Returns what to hand to
/// [`super::revoked::Revoked::add`] once the transaction lasted.
///
/// # Errors
/// When the database is away.
pub async fn revoke_all(
    tx: &mut Tx,
    user: &Id,
    keep: Option<&Id>,
    why: Why,
    now_us: i64,
) -> sqlx::Result<Vec<Id>> {
    const END: &str = "UPDATE sessions SET revoked_at = ?, revoked_why = ? WHERE user_id = ? AND id <> ? AND revoked_at IS NULL";
    db_tx!(&mut *tx, |c| sqlx::query(END)
        .bind(now_us)
        .bind(why.as_str())
        .bind(user.as_str())
        .bind(keep.map_or("", Id::as_str))
        .execute(c)
        .await
        .map(drop))?;
    ended_at(tx, user, now_us).await
}

/// Ends every session of a user in a tenant: its role there changed. Returns what to hand to
/// [`super::revoked::Revoked::add`] once the transaction lasted.
///
/// # Errors
/// When the database is away.
pub async fn revoke_in_tenant(
    tx: &mut Tx,
    tenant: &TenantId,
    user: &Id,
    why: Why,
    now_us: i64,
) -> sqlx::Result<Vec<Id>> {
    const END: &str = "UPDATE sessions SET revoked_at = ?, revoked_why = ? WHERE tenant_id = ? AND user_id = ? \
         AND revoked_at IS NULL";
    db_tx!(&mut *tx, |c| sqlx::query(END)
        .bind(now_us)
        .bind(why.as_str())
        .bind(tenant.as_str())
        .bind(user.as_str())
        .execute(c)
        .await
        .map(drop))?;
    ended_at(tx, user, now_us).await
}

/// Ends every session in a tenant, whosever they are: it was suspended or deleted. Returns what to hand to
/// [`super::revoked::Revoked::add`] once the transaction lasted.
///
/// # Errors
/// When the database is away.
pub async fn revoke_tenant(tx: &mut Tx, tenant: &TenantId, why: Why, now_us: i64) -> sqlx::Result<Vec<Id>> {
    const END: &str = "UPDATE sessions SET revoked_at = ?, revoked_why = ? WHERE tenant_id = ? AND revoked_at IS NULL \
         AND role <> 'superadmin'";
    const ENDED: &str = "SELECT id FROM sessions WHERE tenant_id = ? AND revoked_at = ?";
    db_tx!(&mut *tx, |c| sqlx::query(END)
        .bind(now_us)
        .bind(why.as_str())
        .bind(tenant.as_str())
        .execute(c)
        .await
        .map(drop))?;
    let ids: Vec<String> =
        db_tx!(tx, |c| sqlx::query_scalar(ENDED).bind(tenant.as_str()).bind(now_us).fetch_all(c).await)?;
    ids.iter().map(|id| Id::parse(id).map_err(|_| odd("sessions: id"))).collect()
}

/// What ended at that moment. One that another transaction ended at the same microsecond does no harm in the list.
async fn ended_at(tx: &mut Tx, user: &Id, now_us: i64) -> sqlx::Result<Vec<Id>> {
    const SQL: &str = "SELECT id FROM sessions WHERE user_id = ? AND revoked_at = ?";
    let ids: Vec<String> =
        db_tx!(tx, |c| sqlx::query_scalar(SQL).bind(user.as_str()).bind(now_us).fetch_all(c).await)?;
    ids.iter().map(|id| Id::parse(id).map_err(|_| odd("sessions: id"))).collect()
}

/// A living session as its user sees it. Times are microseconds.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Living {
    /// Its row.
    pub id: String,
    /// Where it acts.
    pub tenant_id: Option<String>,
    /// What it is there.
    pub role: String,
    /// When it began.
    pub created_at: i64,
    /// When a token of it was last renewed.
    pub used_at: i64,
    /// When it ends at the latest.
    pub expires_at: i64,
    /// The program that signed in.
    pub user_agent: String,
    /// From where.
    pub address: String,
}

/// The living sessions of a user, the last used first.
///
/// # Errors
/// When the database is away.
pub async fn living(db: &Db, user: &Id, now_us: i64) -> sqlx::Result<Vec<Living>> {
    // One that nobody can refresh any more is over, whatever its row says.
    const SQL: &str = "SELECT id, tenant_id, role, created_at, used_at, expires_at, user_agent, address FROM sessions \
         WHERE user_id = ? AND revoked_at IS NULL AND expires_at > ? AND used_at > ? ORDER BY used_at DESC, id DESC LIMIT ?";
    db_read!(db, |p| sqlx::query_as(SQL)
        .bind(user.as_str())
        .bind(now_us)
        .bind(now_us - limits::SESSION_IDLE_US)
        .bind(limits::SESSIONS_SHOWN)
        .fetch_all(p)
        .await)
}

/// When a living session of a user ends; `None`: it is over.
pub(super) async fn end_of(tx: &mut Tx, user: &Id, session: &Id, now_us: i64) -> sqlx::Result<Option<i64>> {
    const SQL: &str = "SELECT expires_at FROM sessions WHERE id = ? AND user_id = ? AND revoked_at IS NULL AND expires_at > ?";
    db_tx!(tx, |c| sqlx::query_scalar(SQL)
        .bind(session.as_str())
        .bind(user.as_str())
        .bind(now_us)
        .fetch_optional(c)
        .await)
}

/// Removes what nobody will ask for: used tokens, and sessions that ended or expired, after the times of the limits.
/// Called now and then. Returns how many sessions went.
///
/// # Errors
/// When the database is away.
pub async fn clean(db: &Db, now_us: i64) -> sqlx::Result<u64> {
    const TOKENS: &str = "DELETE FROM refresh_tokens WHERE consumed_at < ?";
    const SESSIONS: &str = "DELETE FROM sessions WHERE revoked_at < ? OR expires_at < ?";
    let mut tx = db.begin().await?;
    let old_us = now_us - limits::ENDED_KEPT_US;
    db_tx!(&mut tx, |c| sqlx::query(TOKENS)
        .bind(now_us - limits::CONSUMED_KEPT_US)
        .execute(c)
        .await
        .map(drop))?;
    let gone = db_tx!(&mut tx, |c| sqlx::query(SESSIONS)
        .bind(old_us)
        .bind(old_us)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    tx.commit().await?;
    Ok(gone)
}
