//! A user's own new password, and the question for the password before something dangerous.

use super::account::{self, Account};
use super::lockout::retry_after_s;
use super::password::Verdict;
use super::policy::{self, Weakness};
use super::session::{self, Why};
use super::{Auth, AuthError};
use crate::base::ids::Id;
use crate::base::secret::Secret;
use crate::db::Db;
use crate::users::UserStatus;

/// What the present password was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is the user's.
    Right,
    /// It is not; counted as a failed login.
    Wrong,
    /// As wrong, and for so many seconds nothing is tried.
    Delayed {
        /// Seconds.
        retry_after_s: u64,
    },
}

/// What became of a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is in force; every other session of the user has ended.
    Done,
    /// The present one was wrong; nothing changed.
    Refused(Asked),
    /// The new one is not taken.
    Weak(Weakness),
}

/// Asks a logged-in user for its password (before the second factor goes, for example). Opens a transaction of its own.
///
/// # Errors
/// [`AuthError::Busy`] when too many passwords are being hashed; when the database is away.
pub async fn is_password(auth: &Auth, db: &Db, user: &Id, password: &Secret) -> Result<Asked, AuthError> {
    Ok(match ask(auth, db, user, password).await? {
        Ok(_) => Asked::Right,
        Err(asked) => asked,
    })
}

/// The account whose password this is, failures counted as at a login.
async fn ask(
    auth: &Auth,
    db: &Db,
    user: &Id,
    password: &Secret,
) -> Result<Result<Account, Asked>, AuthError> {
    let delayed = |wait_us| Ok(Err(Asked::Delayed { retry_after_s: retry_after_s(wait_us) }));
    let account = account::by_id(db, user).await?.filter(|a| a.status == UserStatus::Active);
    let Some(account) = account else { return Ok(Err(Asked::Wrong)) };
    if let Some(wait_us) = account.failures.wait_us(auth.clock.now_us()) {
        return delayed(wait_us);
    }
    let verdict = auth.hasher.verify(password, Some(&account.password_hash)).await?;
    let mut tx = db.begin().await?;
    let Some(fresh) = account::lock(&mut tx, user).await? else { return Ok(Err(Asked::Wrong)) };
    let now_us = auth.clock.now_us();
    if let Some(wait_us) = fresh.failures.wait_us(now_us) {
        return delayed(wait_us);
    }
    if verdict == Verdict::Wrong || fresh.password_hash != account.password_hash {
        account::set_failures(&mut tx, user, fresh.failures.and_one(now_us)).await?;
        tx.commit().await?;
        return Ok(Err(Asked::Wrong));
    }
    Ok(Ok(fresh))
}

/// Gives a logged-in user a new password; the session it does so in goes on, all others end. Opens transactions of its
/// own.
///
/// # Errors
/// [`AuthError::Busy`] when too many passwords are being hashed; when the database is away.
pub async fn change(
    auth: &Auth,
    db: &Db,
    (user, session): (&Id, &Id),
    present: &Secret,
    new: &Secret,
) -> Result<Changed, AuthError> {
    let account = match ask(auth, db, user, present).await? {
        Ok(account) => account,
        Err(asked) => return Ok(Changed::Refused(asked)),
    };
    if let Err(weakness) = policy::check(new.expose(), &account.email) {
        return Ok(Changed::Weak(weakness));
    }
    let hash = auth.hasher.hash(new).await?;
    let mut tx = db.begin().await?;
    let fresh = account::lock(&mut tx, user).await?;
    // Somebody else changed it meanwhile: what was shown is right no more.
    if fresh.is_none_or(|fresh| fresh.password_hash != account.password_hash) {
        return Ok(Changed::Refused(Asked::Wrong));
    }
    let now_us = auth.clock.now_us();
    account::set_password(&mut tx, user, &hash, now_us).await?;
    let ended = session::revoke_all(&mut tx, user, Some(session), Why::Password, now_us).await?;
    tx.commit().await?;
    auth.revoked.add(&ended, now_us);
    Ok(Changed::Done)
}
