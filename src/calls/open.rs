//! Calls that have no end in the books.

use super::events::Tells;
use super::records::{Closed, Ends};
use super::store::Calls;
use crate::base::ids::{Id, TenantId};
use crate::config::limits::routing::LIVE_CALLS;
use crate::db::{self, Db, db_read, db_tx};

/// Calls that have no end: id, tenant, number.
///
/// # Errors
/// When the database is away.
pub async fn open_calls(db: &Db) -> sqlx::Result<Vec<(Id, Option<TenantId>, String)>> {
    const SQL: &str = "SELECT id, tenant_id, did FROM calls WHERE ended_at IS NULL ORDER BY id LIMIT ?";
    let most = i64::try_from(LIVE_CALLS).unwrap_or(i64::MAX);
    let rows: Vec<(String, String, String)> =
        db_read!(db, |p| sqlx::query_as(SQL).bind(most).fetch_all(p).await)?;
    Ok(rows
        .into_iter()
        .filter_map(|(id, tenant, did)| Some((Id::parse(&id).ok()?, TenantId::parse(&tenant).ok(), did)))
        .collect())
}

/// A call that has no end in the books.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct OpenCall {
    /// Its id.
    pub id: String,
    /// Asterisk's uniqueid of its channel.
    pub uniqueid: String,
    /// Asterisk's linkedid.
    pub linkedid: String,
    /// When it began, microseconds since 1970 UTC.
    pub started_at: i64,
}

/// Calls that began before `before_us` on the Asterisk whose uniqueids begin with `prefix`, and that have no end. Of all
/// tenants: a channel is looked for, and nobody is shown it.
///
/// # Errors
/// When the database is away.
pub async fn open_on(db: &Db, prefix: &str, before_us: i64) -> sqlx::Result<Vec<OpenCall>> {
    const SQL: &str = "SELECT id, uniqueid, linkedid, started_at FROM calls WHERE ended_at IS NULL AND started_at < ? \
         AND SUBSTR(uniqueid, 1, ?) = ? ORDER BY id LIMIT ?";
    let most = i64::try_from(LIVE_CALLS).unwrap_or(i64::MAX);
    let length = i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX);
    db_read!(db, |p| sqlx::query_as(SQL)
        .bind(before_us)
        .bind(length)
        .bind(prefix)
        .bind(most)
        .fetch_all(p)
        .await)
}

/// Which of `ids` have an end.
///
/// # Errors
/// When the database is away.
pub async fn ended_among(db: &Db, ids: &[Id]) -> sqlx::Result<Vec<Id>> {
    let mut ended = Vec::new();
    for piece in db::pieces(ids.len()).map(|piece| &ids[piece]) {
        let places = db::places(piece.len());
        let sql = format!("SELECT id FROM calls WHERE id IN ({places}) AND ended_at IS NOT NULL");
        let found: Vec<String> = db_read!(db, |p| {
            let mut query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
            for id in piece {
                query = query.bind(id.as_str());
            }
            query.fetch_all(p).await
        })?;
        ended.extend(found.iter().filter_map(|id| Id::parse(id).ok()));
    }
    Ok(ended)
}

/// Closes calls that began before `before_us` and have no end, at most `most`. Returns their ids.
///
/// # Errors
/// When the database is away.
pub async fn close_lost(calls: &Calls, before_us: i64, now_us: i64, most: u32) -> sqlx::Result<Vec<Id>> {
    const FIND: &str = "SELECT id FROM calls WHERE ended_at IS NULL AND started_at < ? ORDER BY id LIMIT ?";
    const CLOSE: &str = "UPDATE calls SET ended_at = ?, ended_by = 'lost' WHERE id = ? AND ended_at IS NULL";
    let ids: Vec<String> = db_read!(&calls.db, |p| sqlx::query_scalar(FIND)
        .bind(before_us)
        .bind(i64::from(most))
        .fetch_all(p)
        .await)?;
    let mut closed = Vec::with_capacity(ids.len());
    if ids.is_empty() {
        return Ok(closed);
    }
    let mut tx = calls.db.begin().await?;
    let mut ends = Ends::default();
    for id in ids {
        let done = db_tx!(&mut tx, |c| sqlx::query(CLOSE)
            .bind(now_us)
            .bind(&id)
            .execute(c)
            .await
            .map(|done| done.rows_affected()))?;
        ends.add(&id, if done > 0 { Closed::Now } else { Closed::Before });
        closed.extend(Id::parse(&id).ok());
    }
    let mut tells = Tells::default();
    tells.ended(&mut tx, ends.ids()).await?;
    ends.insert(&mut tx, now_us).await?;
    let told = tells.write(&mut tx, &calls.ids, now_us).await?;
    tx.commit().await?;
    told.iter().for_each(|(tenant, position)| calls.news.tell(tenant, *position));
    Ok(closed)
}
