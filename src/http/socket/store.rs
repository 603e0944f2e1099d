//! SQL of `websocket_sessions`: whole batches, never a statement for one socket.

use super::rows::Row;
use crate::base::ids::Id;
use crate::config::limits::sockets as limits;
use crate::db::{self, Db, db_write};

use super::frames::Closing;

/// Adds rows.
pub(super) async fn insert(db: &Db, node: &Id, rows: &[(Id, Row)]) -> sqlx::Result<()> {
    const INSERT: &str = "INSERT INTO websocket_sessions (id, tenant_id, user_id, api_key_id, node_id, address, user_agent, \
         subscriptions, connected_at, last_seen_at, disconnected_at, close_code, close_reason, created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    db_write!(db, |p| {
        let mut query = sqlx::query(db::with_rows(INSERT, rows.len()));
        for (id, row) in rows {
            let (ended_us, closing) = row.ended.unzip();
            query = query
                .bind(id.as_str())
                .bind(row.tenant.as_str())
                .bind(row.user.as_ref().map(Id::as_str))
                .bind(row.key.as_ref().map_or("", Id::as_str))
                .bind(node.as_str())
                .bind(&row.address)
                .bind(&row.user_agent)
                .bind(&row.subscriptions)
                .bind(row.connected_us)
                .bind(ended_us.unwrap_or(row.connected_us))
                .bind(ended_us)
                .bind(closing.map(|closing: Closing| i64::from(closing.code)))
                .bind(closing.map_or("", |closing| closing.reason))
                .bind(row.connected_us)
                .bind(ended_us.unwrap_or(row.connected_us));
        }
        query.execute(p).await.map(drop)
    })
}

/// Changes sockets by id, some at a time; `set` has one `?` for each text or number of `values`.
async fn update(db: &Db, set: &str, values: &[Value<'_>], ids: &[Id]) -> sqlx::Result<()> {
    for piece in ids.chunks(limits::ROWS_BATCH) {
        let places = db::places(piece.len());
        let sql = format!("UPDATE websocket_sessions SET {set} WHERE id IN ({places})");
        db_write!(db, |p| {
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
            for value in values {
                query = match *value {
                    Value::Int(n) => query.bind(n),
                    Value::Text(text) => query.bind(text),
                };
            }
            for id in piece {
                query = query.bind(id.as_str());
            }
            query.execute(p).await.map(drop)
        })?;
    }
    Ok(())
}

/// A value of [`update`].
enum Value<'v> {
    Int(i64),
    Text(&'v str),
}

/// Says that sockets want these types now.
pub(super) async fn subscribed(db: &Db, types: &str, ids: &[Id], now_us: i64) -> sqlx::Result<()> {
    update(db, "subscriptions = ?, updated_at = ?", &[Value::Text(types), Value::Int(now_us)], ids).await
}

/// Says that the clients of sockets were heard.
pub(super) async fn seen(db: &Db, ids: &[Id], now_us: i64) -> sqlx::Result<()> {
    update(db, "last_seen_at = ?, updated_at = ?", &[Value::Int(now_us), Value::Int(now_us)], ids).await
}

/// Says that sockets were closed.
pub(super) async fn closed(db: &Db, closing: Closing, ids: &[Id], now_us: i64) -> sqlx::Result<()> {
    const SET: &str = "disconnected_at = ?, close_code = ?, close_reason = ?, updated_at = ?";
    let (now, code) = (Value::Int(now_us), Value::Int(closing.code.into()));
    update(db, SET, &[now, code, Value::Text(closing.reason), Value::Int(now_us)], ids).await
}

/// Closes what the run before this one left open, or a node that is gone. Returns how many.
pub(super) async fn close_left(db: &Db, node: &Id, now_us: i64) -> sqlx::Result<u64> {
    const SQL: &str = "UPDATE websocket_sessions SET disconnected_at = ?, close_code = ?, close_reason = ?, updated_at = ? \
         WHERE disconnected_at IS NULL AND (node_id = ? OR last_seen_at < ?)";
    db_write!(db, |p| sqlx::query(SQL)
        .bind(now_us)
        .bind(i64::from(Closing::KILLED.code))
        .bind(Closing::KILLED.reason)
        .bind(now_us)
        .bind(node.as_str())
        .bind(now_us - limits::LOST_US)
        .execute(p)
        .await
        .map(|done| done.rows_affected()))
}

/// Closes what nodes that are gone left open, and removes old rows.
pub(super) async fn clean(db: &Db, now_us: i64) -> sqlx::Result<()> {
    const LOST: &str = "UPDATE websocket_sessions SET disconnected_at = ?, close_code = ?, close_reason = ?, updated_at = ? \
         WHERE disconnected_at IS NULL AND last_seen_at < ?";
    const OLD: &str = "DELETE FROM websocket_sessions WHERE last_seen_at < ? AND disconnected_at IS NOT NULL";
    db_write!(db, |p| sqlx::query(LOST)
        .bind(now_us)
        .bind(i64::from(Closing::KILLED.code))
        .bind(Closing::KILLED.reason)
        .bind(now_us)
        .bind(now_us - limits::LOST_US)
        .execute(p)
        .await
        .map(drop))?;
    db_write!(db, |p| sqlx::query(OLD).bind(now_us - limits::KEPT_US).execute(p).await.map(drop))
}
