//! From email and password (and code) to a session with its tokens; on to another tenant.
//!
//! Unknown, wrong and delayed look alike from outside, in answer and in time, but for what [`Login::Delayed`] says; and
//! that is said of emails that nobody has as well. What is known to be right stays unsaid while the delay lasts: also to
//! guesses that were on their way when it began.

use super::account::{self, Account};
use super::lockout::retry_after_s;
use super::password::Verdict;
use super::session::{self, Origin, Session, Why};
use super::token::Subject;
use super::{Auth, AuthError, totp};
use crate::base::ids::{Id, TenantId};
use crate::base::role::Role;
use crate::base::secret::Secret;
use crate::config::limits::auth as limits;
use crate::db::{Db, Tx};
use crate::users::{Email, UserStatus};

/// One attempt to log in.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// Who it says it is.
    pub email: &'a Email,
    /// Its password.
    pub password: &'a Secret,
    /// A code of its app or a recovery code, when it has a second factor.
    pub code: Option<&'a str>,
    /// Where it wants to act; `None`: in its own tenant, or the first that it has a role in.
    pub tenant: Option<&'a TenantId>,
    /// Where it comes from.
    pub origin: Origin<'a>,
}

/// A session with its tokens.
#[derive(Debug)]
pub struct Opened {
    /// The session.
    pub session: Session,
    /// For requests.
    pub access_token: Secret,
    /// For the next access token.
    pub refresh_token: Secret,
    /// Seconds that the access token lives.
    pub expires_in_s: i64,
}

/// What became of an attempt.
#[derive(Debug)]
pub enum Login {
    /// It is in.
    Opened(Opened),
    /// Email, password or code is wrong.
    Refused,
    /// As [`Login::Refused`], and for so many seconds nothing is tried.
    Delayed {
        /// Seconds.
        retry_after_s: u64,
    },
    /// The password is right, and a code has to come with it in the same request.
    NeedsCode,
    /// Everything is right, but the user may not log in.
    NotActive(UserStatus),
    /// Everything is right, but the user has no role in that tenant, or in none.
    NoTenant,
}

/// Tries to log in. Opens transactions of its own.
///
/// # Errors
/// [`AuthError::Busy`] when too many passwords are being hashed; when the database is away.
pub async fn login(auth: &Auth, db: &Db, attempt: &Attempt<'_>) -> Result<Login, AuthError> {
    let account = account::by_email(db, attempt.email).await?;
    let now_us = auth.clock.now_us();
    let wait = match &account {
        Some(account) => account.failures.wait_us(now_us),
        None => auth.unknown.wait_us(attempt.email, now_us),
    };
    if let Some(wait_us) = wait {
        return Ok(delayed(wait_us));
    }
    let hash = account.as_ref().map(|account| account.password_hash.as_str());
    let verdict = auth.hasher.verify(attempt.password, hash).await?;
    let Some(account) = account else {
        let wait = auth.unknown.fail(attempt.email, auth.clock.now_us());
        return Ok(wait.map_or(Login::Refused, delayed));
    };
    let done = conclude(auth, db, attempt, &account, verdict).await?;
    if verdict == Verdict::RightButOld && matches!(done, Login::Opened(_)) {
        rehash(auth, db, &account, attempt.password).await;
    }
    Ok(done)
}

fn delayed(wait_us: i64) -> Login {
    Login::Delayed { retry_after_s: retry_after_s(wait_us) }
}

/// Everything after the hash, in one transaction that begins by taking the user's row: attempts stand in line.
async fn conclude(
    auth: &Auth,
    db: &Db,
    attempt: &Attempt<'_>,
    seen: &Account,
    verdict: Verdict,
) -> Result<Login, AuthError> {
    let mut tx = db.begin().await?;
    let Some(account) = account::lock(&mut tx, &seen.id).await? else { return Ok(Login::Refused) };
    let now_us = auth.clock.now_us();
    if let Some(wait_us) = account.failures.wait_us(now_us) {
        return Ok(delayed(wait_us));
    }
    // Changed while the old one was being hashed: the old one is right no more.
    let mut right = verdict != Verdict::Wrong && account.password_hash == seen.password_hash;
    if right && account.totp_enabled {
        // Says that the password is right, which the code's own request would say anyway. Resets nothing.
        let Some(code) = attempt.code else { return Ok(Login::NeedsCode) };
        right = totp::accept(auth, &mut tx, &account, code, now_us).await?;
    }
    if !right {
        account::set_failures(&mut tx, &account.id, account.failures.and_one(now_us)).await?;
        tx.commit().await?;
        return Ok(Login::Refused);
    }
    let answer = admit(auth, &mut tx, &account, attempt).await?;
    tx.commit().await?;
    Ok(answer)
}

/// Lets in whoever has shown everything.
async fn admit(
    auth: &Auth,
    tx: &mut Tx,
    account: &Account,
    attempt: &Attempt<'_>,
) -> Result<Login, AuthError> {
    if account.status != UserStatus::Active {
        return Ok(Login::NotActive(account.status));
    }
    let Some((tenant, role)) = place(tx, account, attempt.tenant).await? else { return Ok(Login::NoTenant) };
    account::logged_in(tx, &account.id, auth.clock.now_us()).await?;
    let (session, refresh) =
        session::start(auth, tx, (&account.id, tenant.as_ref(), role), attempt.origin, None).await?;
    Ok(Login::Opened(opened(auth, session, refresh)?))
}

/// An access token beside a refresh token, for a session that was started or renewed.
///
/// # Errors
/// When it can't be signed.
pub fn opened(auth: &Auth, session: Session, refresh_token: Secret) -> Result<Opened, AuthError> {
    let subject = Subject {
        user: &session.user,
        tenant: session.tenant.as_ref(),
        role: session.role,
        session: &session.id,
    };
    let access_token = auth.tokens.issue(&subject, auth.ids.next())?;
    Ok(Opened { session, access_token, refresh_token, expires_in_s: limits::ACCESS_S })
}

/// Where a user acts and as what: the tenant it asks for, else its own, else the first it has a role in; superadmins
/// anywhere, and nowhere unless they ask.
async fn place(
    tx: &mut Tx,
    account: &Account,
    wanted: Option<&TenantId>,
) -> sqlx::Result<Option<(Option<TenantId>, Role)>> {
    if account.is_superadmin {
        return Ok(match wanted {
            None => Some((None, Role::Superadmin)),
            Some(tenant) if account::is_tenant(tx, tenant).await? => {
                Some((Some(tenant.clone()), Role::Superadmin))
            }
            Some(_) => None,
        });
    }
    let roles = account::roles_tx(tx, &account.id).await?;
    let find = |tenant: &TenantId| roles.iter().find(|(id, _)| id == tenant);
    let found = match wanted {
        Some(tenant) => find(tenant),
        None => account.tenant.as_ref().and_then(find).or_else(|| roles.first()),
    };
    Ok(found.map(|(tenant, role)| (Some(tenant.clone()), *role)))
}

/// Goes on in another tenant: the session ends and another one begins, which ends no later than the first would have.
/// `None`: no role there, or the session or its user is no more. Opens a transaction of its own.
///
/// # Errors
/// When the database is away.
pub async fn switch(
    auth: &Auth,
    db: &Db,
    (user, session): (&Id, &Id),
    tenant: Option<&TenantId>,
    origin: Origin<'_>,
) -> Result<Option<Opened>, AuthError> {
    let mut tx = db.begin().await?;
    let account = account::lock(&mut tx, user).await?.filter(|a| a.status == UserStatus::Active);
    let Some(account) = account else { return Ok(None) };
    let Some((place, role)) = place(&mut tx, &account, tenant).await? else { return Ok(None) };
    let now_us = auth.clock.now_us();
    let Some(end_us) = session::end_of(&mut tx, user, session, now_us).await? else { return Ok(None) };
    let ended = session::revoke(&mut tx, user, session, Why::Switched, now_us).await?;
    if ended.is_empty() {
        return Ok(None);
    }
    let (next, refresh) =
        session::start(auth, &mut tx, (user, place.as_ref(), role), origin, Some(end_us)).await?;
    let opened = opened(auth, next, refresh)?;
    tx.commit().await?;
    auth.revoked.add(&ended, now_us);
    Ok(Some(opened))
}

/// Puts a hash of today in place of an old one. The login has succeeded: a failure here waits for the next one.
async fn rehash(auth: &Auth, db: &Db, account: &Account, password: &Secret) {
    let done = async {
        let hash = auth.hasher.hash(password).await?;
        let mut tx = db.begin().await?;
        account::rehash(&mut tx, &account.id, &account.password_hash, &hash).await?;
        tx.commit().await?;
        Ok::<(), AuthError>(())
    };
    if let Err(error) = done.await {
        tracing::warn!(user.id = %account.id, %error, "an old password hash stays until the next login");
    }
}
