//! SQL of Asterisk's own records: each is looked at once, in the transaction that ends its call if nobody has told its end.

use std::collections::BTreeSet;

use super::legs::{Leg, fold};
use super::store::Calls;
use super::{Ended, Record, fit};
use crate::base::ids::{Id, TenantId};
use crate::base::shutdown::Stopping;
use crate::config::limits::calls as limits;
use crate::db::{self, Db, Tx, db_read, db_tx, db_write};

/// Looks at what Asterisk wrote, until `stopping`.
pub async fn run(calls: Calls, mut stopping: Stopping) {
    let mut seen = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(limits::LEGS_TIME) => {}
            () = stopping.stopped() => return,
        }
        if let Err(error) = round(&calls, &mut seen).await {
            tracing::warn!(%error, "Asterisk's call records can't be looked at; they wait");
        }
    }
}

/// Looks at the records that were there at the round before: a channel writes all of its own within moments, and the report
/// of its end comes before them. Returns how many.
///
/// # Errors
/// When the database is away; the records then wait.
pub async fn round(calls: &Calls, seen: &mut i64) -> sqlx::Result<usize> {
    const NEWEST: &str = "SELECT MAX(id) FROM cdr WHERE drained_at = 0";
    let newest: Option<i64> = db_read!(&calls.db, |p| sqlx::query_scalar(NEWEST).fetch_one(p).await)?;
    let Some(newest) = newest else {
        // SQLite may begin anew with its numbers.
        *seen = 0;
        return Ok(0);
    };
    let mut done = 0;
    loop {
        let batch = batch(calls, *seen).await?;
        done += batch;
        if batch < limits::LEGS_BATCH {
            break;
        }
    }
    *seen = newest;
    Ok(done)
}

/// A call as its legs name it: `HS_CALL_ID`, and the uniqueid of the channel that calls.
type Named = (String, String);

async fn batch(calls: &Calls, until: i64) -> sqlx::Result<usize> {
    const NEW: &str =
        "SELECT call_id, uniqueid FROM cdr WHERE drained_at = 0 AND id <= ? ORDER BY id LIMIT ?";
    let most = i64::try_from(limits::LEGS_BATCH).unwrap_or(i64::MAX);
    let new: Vec<Named> =
        db_read!(&calls.db, |p| sqlx::query_as(NEW).bind(until).bind(most).fetch_all(p).await)?;
    let named: BTreeSet<Named> = new.into_iter().collect();
    match drain(calls, named.iter()).await {
        Err(error) if db::is_data_error(&error) => {}
        done => return done,
    }
    // One of them can't be written: it must not hold up the others.
    let mut done = 0;
    for one in &named {
        done += match drain(calls, std::iter::once(one)).await {
            Err(error) if db::is_data_error(&error) => {
                tracing::error!(%error, call.id = one.0, "Asterisk's records of a call can't be used");
                let mut tx = calls.db.begin().await?;
                let legs = of_call(&mut tx, one).await?;
                let marked = mark(&mut tx, &legs, calls.clock.now_us()).await?;
                tx.commit().await?;
                marked
            }
            done => done?,
        };
    }
    Ok(done)
}

/// Looks at the legs of calls in one transaction. Returns how many legs were new.
async fn drain(calls: &Calls, named: impl ExactSizeIterator<Item = &Named>) -> sqlx::Result<usize> {
    if named.len() == 0 {
        return Ok(0);
    }
    let now_us = calls.clock.now_us();
    let mut tx = calls.db.begin().await?;
    let (mut marked, mut ends) = (0, Vec::new());
    for one in named {
        let legs = of_call(&mut tx, one).await?;
        let undone = mark(&mut tx, &legs, now_us).await?;
        marked += undone;
        // Otherwise another node was faster.
        if undone > 0 {
            // One that goes on without its first channel is ended by the channel that carries it on.
            let carried_on = |ended: &Ended| ended.id.as_ref().is_some_and(|id| calls.live.is_carried_on(id));
            ends.extend(fold(&legs).into_iter().filter(|ended| !carried_on(ended)));
        }
    }
    // A call that was handed on finds the one that was made to ask only when that has ended.
    ends.sort_by_key(|ended| (ended.at_us, ended.transferred));
    let ended: Vec<Id> = ends.iter().filter_map(|ended| ended.id.clone()).collect();
    let ends: Vec<(u64, Record)> = ends.into_iter().map(|ended| (0, Record::Ended(ended))).collect();
    let (found, told) = calls.write(&mut tx, "", &ends).await?;
    tx.commit().await?;
    ended.iter().chain(&found).for_each(|id| calls.live.remove(id));
    told.iter().for_each(|(tenant, position)| calls.news.tell(tenant, *position));
    Ok(marked)
}

/// All legs of a call, the new ones first. One that the service never named is known by its channel.
async fn of_call(tx: &mut Tx, (call, uniqueid): &Named) -> sqlx::Result<Vec<Leg>> {
    const BY_CALL: &str = "SELECT id, call_id, uniqueid, linkedid, sequence, dstchannel, start, answer, end, disposition, \
         cause, talk FROM cdr WHERE call_id = ? ORDER BY drained_at, id LIMIT ?";
    const BY_CHANNEL: &str = "SELECT id, call_id, uniqueid, linkedid, sequence, dstchannel, start, answer, end, disposition, \
         cause, talk FROM cdr WHERE call_id = '' AND drained_at = 0 AND uniqueid = ? ORDER BY id LIMIT ?";
    let (sql, key) = if call.is_empty() { (BY_CHANNEL, uniqueid) } else { (BY_CALL, call) };
    db_tx!(tx, |c| sqlx::query_as(sql).bind(key).bind(limits::LEGS_OF_CALL).fetch_all(c).await)
}

/// Marks legs as looked at. Returns how many were not.
async fn mark(tx: &mut Tx, legs: &[Leg], now_us: i64) -> sqlx::Result<usize> {
    let mut marked = 0;
    for piece in db::pieces(legs.len()).map(|piece| &legs[piece]) {
        let sql = format!(
            "UPDATE cdr SET drained_at = ? WHERE drained_at = 0 AND id IN ({})",
            db::places(piece.len())
        );
        marked += db_tx!(&mut *tx, |c| {
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(now_us);
            for leg in piece {
                query = query.bind(leg.id);
            }
            query.execute(c).await.map(|done| done.rows_affected())
        })?;
    }
    Ok(usize::try_from(marked).unwrap_or(usize::MAX))
}

/// A leg as the API shows it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Shown {
    /// `HS_CALL_ID` of the call it is of.
    pub call_id: String,
    /// Of the channel that calls.
    pub uniqueid: String,
    /// The same for all channels that came together.
    pub linkedid: String,
    /// Rises with each record that begins.
    pub sequence: i64,
    /// The channel that calls.
    pub channel: String,
    /// The channel that was called.
    pub dstchannel: String,
    /// The number as dialled.
    pub dst: String,
    /// The application.
    pub lastapp: String,
    /// The queue.
    pub queue: String,
    /// When it began.
    pub start: String,
    /// When it was answered.
    pub answer: Option<String>,
    /// When it ended.
    pub end: String,
    /// Asterisk's whole length in seconds.
    pub duration: i64,
    /// Asterisk's answered length in seconds.
    pub billsec: i64,
    /// Asterisk's word.
    pub disposition: String,
    /// Q.850 cause.
    pub cause: Option<i64>,
}

/// The legs of a tenant's call, and those that came together with it, in their order.
///
/// # Errors
/// When the database is away.
pub async fn shown(
    db: &Db,
    tenant: &TenantId,
    call: &Id,
    linkedid: Option<&str>,
) -> sqlx::Result<Vec<Shown>> {
    const SQL: &str = "SELECT call_id, uniqueid, linkedid, sequence, channel, dstchannel, dst, lastapp, queue, start, answer, \
         end, duration, billsec, disposition, cause FROM cdr WHERE tenant_id = ? AND (call_id = ? OR linkedid = ?) \
         ORDER BY start, sequence, id LIMIT ?";
    db_read!(db, |p| sqlx::query_as(SQL)
        .bind(tenant.as_str())
        .bind(call.as_str())
        .bind(fit(linkedid.unwrap_or(call.as_str()), 150))
        .bind(limits::LEGS_OF_CALL)
        .fetch_all(p)
        .await)
}

/// Removes legs that are older than they are kept, and those of tenants that are gone. Returns how many.
///
/// # Errors
/// When the database is away.
pub async fn purge(db: &Db, now_us: i64) -> sqlx::Result<u64> {
    const END: &str = "SELECT MAX(drained_at) FROM (SELECT drained_at FROM cdr WHERE drained_at > 0 AND drained_at < ? \
         ORDER BY drained_at LIMIT ?) t";
    const DELETE: &str = "DELETE FROM cdr WHERE drained_at > 0 AND drained_at <= ?";
    const NOBODYS: &str = "DELETE FROM cdr WHERE drained_at > 0 AND drained_at <= ? AND tenant_id <> '' \
         AND tenant_id NOT IN (SELECT id FROM tenants)";
    // A tenant that is made anew under its old name must not find what was before.
    let mut removed = db_write!(db, |p| sqlx::query(NOBODYS)
        .bind(now_us)
        .execute(p)
        .await
        .map(|done| done.rows_affected()))?;
    loop {
        let end: Option<i64> = db_read!(db, |p| sqlx::query_scalar(END)
            .bind(now_us - limits::LEGS_KEPT_US)
            .bind(limits::LEGS_PURGE_ROWS)
            .fetch_one(p)
            .await)?;
        let Some(end) = end else { return Ok(removed) };
        removed += db_write!(db, |p| sqlx::query(DELETE)
            .bind(end)
            .execute(p)
            .await
            .map(|done| done.rows_affected()))?;
    }
}
