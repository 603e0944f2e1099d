//! `Idempotency-Key`: the first answer to a POST is kept in the transaction of what it did, and given again to whoever
//! asks the same again. Secrets that were shown once are not kept.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::api::{Body, Problem, Reply};
use crate::config::limits::api as limits;
use crate::db::{Db, Tx, db_tx, db_write, is_unique_violation};

/// One request's key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The tenant; empty without one.
    pub tenant: String,
    /// The user or API key.
    pub actor: String,
    /// The client's text.
    pub text: String,
}

/// Keys whose requests are running in this process.
#[derive(Debug, Default)]
pub struct Running(Mutex<HashSet<Key>>);

/// A key that is running until this is dropped.
#[derive(Debug)]
pub struct Held<'a>(&'a Running, Key);

impl Running {
    /// Takes a key.
    ///
    /// # Errors
    /// 409 while another request has it.
    pub fn take(&self, key: Key) -> Result<Held<'_>, Problem> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.insert(key.clone()) { Ok(Held(self, key)) } else { Err(still_running()) }
    }
}

impl Held<'_> {
    /// The key.
    pub fn key(&self) -> &Key {
        &self.1
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

fn still_running() -> Problem {
    Problem::conflict(
        "still-running",
        "A request with this Idempotency-Key is still running; ask again in a moment.",
    )
}

/// Checks a client's key.
///
/// # Errors
/// 400 when it is empty, too long or not printable ASCII.
pub fn check(text: &str) -> Result<(), Problem> {
    let fits = (1..=limits::IDEMPOTENCY_CHARACTERS).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic());
    if fits {
        return Ok(());
    }
    let most = limits::IDEMPOTENCY_CHARACTERS;
    let fault = crate::api::Fault::parameter(
        "Idempotency-Key",
        format!("1 to {most} printable ASCII characters without spaces."),
    );
    Err(Problem::bad_query(vec![fault]))
}

/// A fingerprint of a request.
pub fn fingerprint(method: &str, path: &str, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [method.as_bytes(), path.as_bytes(), body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The answer that was given before to the same request.
///
/// # Errors
/// 422 when the key came with another request.
pub async fn find(tx: &mut Tx, key: &Key, fingerprint: &str, now_us: i64) -> Result<Option<Reply>, Problem> {
    const READ: &str = "SELECT request_hash, status, location, body, created_at FROM idempotency_keys \
         WHERE tenant_id = ? AND actor_id = ? AND key_text = ?";
    const DROP: &str = "DELETE FROM idempotency_keys WHERE tenant_id = ? AND actor_id = ? AND key_text = ?";
    let found: Option<(String, i64, String, String, i64)> = db_tx!(tx, |c| sqlx::query_as(READ)
        .bind(&key.tenant)
        .bind(&key.actor)
        .bind(&key.text)
        .fetch_optional(c)
        .await?);
    let Some((hash, status, location, body, at)) = found else { return Ok(None) };
    if at + limits::IDEMPOTENCY_TIME.as_micros() as i64 <= now_us {
        db_tx!(tx, |c| sqlx::query(DROP)
            .bind(&key.tenant)
            .bind(&key.actor)
            .bind(&key.text)
            .execute(c)
            .await
            .map(drop)?);
        return Ok(None);
    }
    if hash != fingerprint {
        return Err(Problem::new(
            422,
            "idempotency-key-reused",
            "This Idempotency-Key came with another request.",
        ));
    }
    let value: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
    let body = if value.is_null() { Body::Empty } else { Body::Json(value.clone()) };
    let tagged = value.get("id").is_some();
    let status = u16::try_from(status).unwrap_or(200);
    let headers = vec![("idempotency-replayed", "true".to_owned())];
    Ok(Some(Reply {
        status,
        body,
        tagged,
        headers,
        location: Some(location).filter(|l| !l.is_empty()),
        ..Reply::empty()
    }))
}

/// Keeps an answer.
///
/// # Errors
/// 409 when another node was faster.
pub async fn keep(
    tx: &mut Tx,
    key: &Key,
    (method, path, fingerprint): (&str, &str, &str),
    reply: &Reply,
    now_us: i64,
) -> Result<(), Problem> {
    const SQL: &str = "INSERT INTO idempotency_keys (tenant_id, actor_id, key_text, method, path, request_hash, status, \
         location, body, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let body = match &reply.body {
        Body::Json(value) => value.to_string(),
        Body::Empty | Body::Bytes(..) | Body::File(..) => "null".to_owned(),
    };
    let kept = db_tx!(tx, |c| sqlx::query(SQL)
        .bind(&key.tenant)
        .bind(&key.actor)
        .bind(&key.text)
        .bind(method)
        .bind(path)
        .bind(fingerprint)
        .bind(i64::from(reply.status))
        .bind(reply.location.as_deref().unwrap_or_default())
        .bind(&body)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop));
    match kept {
        Ok(()) => Ok(()),
        Err(error) if is_unique_violation(&error) => Err(still_running()),
        Err(error) => Err(error.into()),
    }
}

/// Forgets keys that are older than they are kept.
///
/// # Errors
/// When the database is away.
pub async fn purge(db: &Db, now_us: i64) -> sqlx::Result<u64> {
    const SQL: &str = "DELETE FROM idempotency_keys WHERE created_at < ?";
    let before = now_us - limits::IDEMPOTENCY_TIME.as_micros() as i64;
    db_write!(db, |p| sqlx::query(SQL).bind(before).execute(p).await.map(|done| done.rows_affected()))
}
