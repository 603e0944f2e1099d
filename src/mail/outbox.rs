//! SQL of mail that is to leave.

use crate::base::ids::{Id, TenantId};
use crate::config::limits::sound as limits;
use crate::db::{Db, Tx, db_read, db_tx, db_write};

/// A mail that is about to be written.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// What it is about: there is one mail for each.
    pub reference: &'a str,
    /// To whom.
    pub to: &'a str,
    /// What it is about, for people.
    pub subject: &'a str,
    /// Its text.
    pub body: &'a str,
    /// The key of a sound that goes with it, and the name it has then.
    pub attachment: Option<(&'a str, &'a str)>,
}

/// A mail that is due.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Due {
    /// Its id.
    pub id: String,
    /// Whose.
    pub tenant_id: String,
    /// To whom.
    pub recipient: String,
    /// What it is about.
    pub subject: String,
    /// Its text.
    pub body: String,
    /// A sound that goes with it; empty: none.
    pub attachment_key: String,
    /// The sound's name.
    pub attachment_name: String,
    /// How often it was tried.
    pub tries: i64,
    /// When it was to be tried.
    pub next_at: i64,
    /// When it was written.
    pub created_at: i64,
}

/// Writes a mail.
///
/// # Errors
/// A unique violation when there is one about the same.
pub async fn insert(
    tx: &mut Tx,
    tenant: &TenantId,
    id: &Id,
    draft: &Draft<'_>,
    now_us: i64,
) -> sqlx::Result<()> {
    const SQL: &str = "INSERT INTO mail_outbox (id, tenant_id, reference, recipient, subject, body, attachment_key, \
         attachment_name, status, next_at, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?, ?, ?)";
    let (key, name) = draft.attachment.unwrap_or_default();
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(id.as_str())
        .bind(tenant.as_str())
        .bind(draft.reference)
        .bind(draft.to)
        .bind(draft.subject)
        .bind(draft.body)
        .bind(key)
        .bind(name)
        .bind(now_us)
        .bind(now_us)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))
}

/// Mail that is due.
///
/// # Errors
/// When the database is away.
pub async fn due(db: &Db, now_us: i64) -> sqlx::Result<Vec<Due>> {
    const SQL: &str = "SELECT id, tenant_id, recipient, subject, body, attachment_key, attachment_name, \
         CAST(tries AS SIGNED) AS tries, next_at, created_at FROM mail_outbox \
         WHERE next_at <= ? AND status = 'waiting' ORDER BY next_at LIMIT ?";
    db_read!(db, |p| sqlx::query_as(SQL).bind(now_us).bind(limits::BATCH).fetch_all(p).await)
}

/// Takes a mail in hand until `until_us`: whoever else looks finds it taken. Returns whether nobody was faster.
///
/// # Errors
/// When the database is away.
pub async fn take(db: &Db, due: &Due, until_us: i64) -> sqlx::Result<bool> {
    const SQL: &str = "UPDATE mail_outbox SET next_at = ?, tries = tries + 1 \
         WHERE id = ? AND tenant_id = ? AND status = 'waiting' AND next_at = ?";
    db_write!(db, |p| sqlx::query(SQL)
        .bind(until_us)
        .bind(&due.id)
        .bind(&due.tenant_id)
        .bind(due.next_at)
        .execute(p)
        .await
        .map(|done| done.rows_affected() > 0))
}

/// What became of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Became {
    /// The server has it; whether the sound went with it.
    Sent(bool),
    /// It is tried again then.
    Later(String, i64),
    /// It is given up.
    Failed(String),
}

/// Writes down what became of a mail. One that was sent with its sound keeps a time: whoever wants to do something then
/// finds it by [`sent`].
///
/// # Errors
/// When the database is away.
pub async fn finish(db: &Db, due: &Due, became: &Became, now_us: i64) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE mail_outbox SET status = ?, error = ?, attached = ?, next_at = ?, updated_at = ? \
         WHERE id = ? AND tenant_id = ?";
    let (status, error, attached, next_at) = match became {
        Became::Sent(attached) => ("sent", "", *attached, Some(now_us).filter(|_| *attached)),
        Became::Later(why, at_us) => ("waiting", why.as_str(), false, Some(*at_us)),
        Became::Failed(why) => ("failed", why.as_str(), false, None),
    };
    let error: String = error.chars().filter(|c| !c.is_control()).take(limits::REASON_CHARACTERS).collect();
    db_write!(db, |p| sqlx::query(SQL)
        .bind(status)
        .bind(error)
        .bind(attached)
        .bind(next_at)
        .bind(now_us)
        .bind(&due.id)
        .bind(&due.tenant_id)
        .execute(p)
        .await
        .map(drop))
}

/// Mail that was sent with its sound and that nobody has looked at since: its id, whose, and what it was about.
///
/// # Errors
/// When the database is away.
pub async fn sent(db: &Db) -> sqlx::Result<Vec<(String, String, String)>> {
    const SQL: &str = "SELECT id, tenant_id, reference FROM mail_outbox \
         WHERE next_at IS NOT NULL AND status = 'sent' ORDER BY next_at LIMIT ?";
    db_read!(db, |p| sqlx::query_as(SQL).bind(limits::BATCH).fetch_all(p).await)
}

/// Nothing more is to be done about a mail.
///
/// # Errors
/// When the database is away.
pub async fn close(tx: &mut Tx, tenant: &TenantId, id: &str) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE mail_outbox SET next_at = NULL WHERE id = ? AND tenant_id = ?";
    db_tx!(tx, |c| sqlx::query(SQL).bind(id).bind(tenant.as_str()).execute(c).await.map(drop))
}

/// Removes mail that is older and done with. Returns how many.
///
/// # Errors
/// When the database is away.
pub async fn purge(db: &Db, before_us: i64) -> sqlx::Result<u64> {
    const SQL: &str = "DELETE FROM mail_outbox WHERE created_at < ? AND next_at IS NULL";
    db_write!(db, |p| sqlx::query(SQL).bind(before_us).execute(p).await.map(|done| done.rows_affected()))
}
