//! Passwords that were forgotten: a token sent by mail, good for an hour and once.
//!
//! Nothing here sends mail: [`request`] hands the token to the caller. Whether there was a user must not show in the
//! answer, nor in its time: answer first, send afterwards.

use super::account;
use super::policy::{self, Weakness};
use super::session::{self, Why};
use super::{Auth, AuthError, secret_text};
use crate::base::ids::Id;
use crate::base::secret::Secret;
use crate::config::limits::auth as limits;
use crate::db::{Db, db_read, db_tx};
use crate::users::{Email, UserStatus};

const PREFIX: &str = "hsp_";

/// What became of a reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The new password is in force and every session of the user has ended. A second factor stays.
    Done {
        /// The user.
        user: Id,
    },
    /// No token of ours, used, or too old; or its user may not log in.
    Refused,
    /// The new password is not taken; the token stays good.
    Weak(Weakness),
}

/// Makes a token for the active user of this email; those made before end. `None`: there is no such user. Opens a
/// transaction of its own.
///
/// # Errors
/// When the database is away or the system has no randomness.
pub async fn request(auth: &Auth, db: &Db, email: &Email) -> Result<Option<(Id, Secret)>, AuthError> {
    const REMOVE: &str = "DELETE FROM password_resets WHERE user_id = ?";
    const INSERT: &str =
        "INSERT INTO password_resets (hash, user_id, created_at, expires_at) VALUES (?, ?, ?, ?)";
    let account = account::by_email(db, email).await?.filter(|a| a.status == UserStatus::Active);
    let Some(account) = account else { return Ok(None) };
    let token = secret_text::random(PREFIX)?;
    let now_us = auth.clock.now_us();
    let mut tx = db.begin().await?;
    // In line with every other change of this user.
    if account::lock(&mut tx, &account.id).await?.is_none() {
        return Ok(None);
    }
    db_tx!(&mut tx, |c| sqlx::query(REMOVE).bind(account.id.as_str()).execute(c).await.map(drop))?;
    db_tx!(&mut tx, |c| sqlx::query(INSERT)
        .bind(secret_text::hash(token.expose()))
        .bind(account.id.as_str())
        .bind(now_us)
        .bind(now_us + limits::RESET_US)
        .execute(c)
        .await
        .map(drop))?;
    tx.commit().await?;
    Ok(Some((account.id, token)))
}

/// Uses a token. Opens a transaction of its own.
///
/// # Errors
/// [`AuthError::Busy`] when too many passwords are being hashed; when the database is away.
pub async fn reset(auth: &Auth, db: &Db, token: &Secret, new: &Secret) -> Result<Reset, AuthError> {
    const FIND: &str =
        "SELECT user_id FROM password_resets WHERE hash = ? AND used_at IS NULL AND expires_at > ?";
    const USE: &str =
        "UPDATE password_resets SET used_at = ? WHERE hash = ? AND used_at IS NULL AND expires_at > ?";
    if !secret_text::is_form(PREFIX, token.expose()) {
        return Ok(Reset::Refused);
    }
    let hash = secret_text::hash(token.expose());
    let found: Option<String> = db_read!(db, |p| sqlx::query_scalar(FIND)
        .bind(&hash)
        .bind(auth.clock.now_us())
        .fetch_optional(p)
        .await)?;
    let Some(user) = found.and_then(|id| Id::parse(&id).ok()) else { return Ok(Reset::Refused) };
    let Some(account) = account::by_id(db, &user).await? else { return Ok(Reset::Refused) };
    if let Err(weakness) = policy::check(new.expose(), &account.email) {
        return Ok(Reset::Weak(weakness));
    }
    let password = auth.hasher.hash(new).await?;
    let mut tx = db.begin().await?;
    let account = account::lock(&mut tx, &user).await?;
    if account.is_none_or(|a| a.status != UserStatus::Active) {
        return Ok(Reset::Refused);
    }
    let now_us = auth.clock.now_us();
    let used = db_tx!(&mut tx, |c| sqlx::query(USE)
        .bind(now_us)
        .bind(&hash)
        .bind(now_us)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    if used != 1 {
        return Ok(Reset::Refused);
    }
    account::set_password(&mut tx, &user, &password, now_us).await?;
    let ended = session::revoke_all(&mut tx, &user, None, Why::Password, now_us).await?;
    tx.commit().await?;
    auth.revoked.add(&ended, now_us);
    Ok(Reset::Done { user })
}

/// Removes tokens whose time is over. Called now and then. Returns how many.
///
/// # Errors
/// When the database is away.
pub async fn clean(db: &Db, now_us: i64) -> sqlx::Result<u64> {
    const SQL: &str = "DELETE FROM password_resets WHERE expires_at < ?";
    crate::db::db_write!(db, |p| sqlx::query(SQL)
        .bind(now_us)
        .execute(p)
        .await
        .map(|done| done.rows_affected()))
}
