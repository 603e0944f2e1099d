//! SQL of the queues' log. A row is written once, with the events it makes.

use super::events;
use super::log::{Event, Row};
use super::visit::{self, How};
use crate::base::ids::{IdSource, TenantId};
use crate::config::limits::queues as limits;
use crate::db::{self, Db, Tx, db_read, db_tx, db_write};
use crate::events::{Draft, Events};
use crate::tenants;

/// What happens to a row that Asterisk delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is new. Its events go as far as this position, if it makes any.
    New(Option<i64>),
    /// It was there.
    Again,
    /// There is no such queue, or no such tenant.
    Nobodys,
}

/// Writes a row and what it tells.
///
/// # Errors
/// When the database is away, or a value does not fit its column.
pub async fn write(
    db: &Db,
    with: (&IdSource, &Events),
    when: (&TenantId, i64),
    row: &Row,
) -> sqlx::Result<Written> {
    let mut tx = db.begin().await?;
    let written = add(&mut tx, with, when, row).await?;
    if matches!(written, Written::New(_)) {
        tx.commit().await?;
    }
    Ok(written)
}

/// As [`write()`], as a part of a transaction.
///
/// # Errors
/// When the database is away, or a value does not fit its column.
pub async fn add(
    tx: &mut Tx,
    (ids, events): (&IdSource, &Events),
    (tenant, now_us): (&TenantId, i64),
    row: &Row,
) -> sqlx::Result<Written> {
    let Some(queue) = owner(tx, tenant, row).await? else { return Ok(Written::Nobodys) };
    let drafts = match queue {
        Some(queue) if visit::is_step(row) => told(tx, tenant, &queue, row).await?,
        _ => Vec::new(),
    };
    match insert(tx, tenant, row, now_us).await {
        Err(error) if db::is_unique_violation(&error) => return Ok(Written::Again),
        done => done?,
    }
    Ok(Written::New(events.write_after(tx, ids, (tenant, now_us), drafts, &[]).await?))
}

/// The id of the row's queue; `None` inside: it is about all queues of a member. `None`: nobody's.
async fn owner(tx: &mut Tx, tenant: &TenantId, row: &Row) -> sqlx::Result<Option<Option<String>>> {
    const QUEUE: &str = "SELECT id FROM queues WHERE tenant_id = ? AND name = ?";
    const MEMBER: &str = "SELECT id FROM endpoints WHERE tenant_id = ? AND name = ?";
    let (sql, name) = if row.queue.is_empty() { (MEMBER, &row.agent) } else { (QUEUE, &row.queue) };
    let found: Option<String> =
        db_tx!(tx, |c| sqlx::query_scalar(sql).bind(tenant.as_str()).bind(name).fetch_optional(c).await)?;
    Ok(found.map(|id| Some(id).filter(|_| !row.queue.is_empty())))
}

async fn insert(tx: &mut Tx, tenant: &TenantId, row: &Row, now_us: i64) -> sqlx::Result<()> {
    const SQL: &str = "INSERT INTO queue_log (tenant_id, at, call_id, queue, agent, event, data1, data2, data3, data4, data5, \
         created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    db_tx!(tx, |c| {
        let mut query = sqlx::query(SQL)
            .bind(tenant.as_str())
            .bind(row.at_us)
            .bind(&row.call)
            .bind(&row.queue)
            .bind(&row.agent)
            .bind(&row.event);
        for value in &row.data {
            query = query.bind(value);
        }
        query.bind(now_us).execute(c).await.map(drop)
    })
}

/// The events that a step of a visit makes. Of several steps that say that the caller is no longer in the line the first to
/// come tells it.
async fn told(tx: &mut Tx, tenant: &TenantId, queue: &str, row: &Row) -> sqlx::Result<Vec<Draft>> {
    const ENTERED: &str = "SELECT MAX(at) FROM queue_log WHERE tenant_id = ? AND call_id = ? AND queue = ? AND at <= ? \
         AND event = 'ENTERQUEUE'";
    const LEFT: &str = "SELECT COUNT(*) FROM queue_log WHERE tenant_id = ? AND call_id = ? AND queue = ? AND at >= ? \
         AND event IN ('CONNECT', 'COMPLETEAGENT', 'COMPLETECALLER', 'BLINDTRANSFER', 'ATTENDEDTRANSFER', 'ABANDON', \
         'EXITWITHTIMEOUT', 'EXITWITHKEY', 'EXITEMPTY')";
    let which = (queue, row.queue.as_str());
    if let Event::Entered { number, position } = row.told() {
        return Ok(vec![events::joined(which, &row.call, row.at_us, (number, position))]);
    }
    let entered: Option<i64> = db_tx!(&mut *tx, |c| sqlx::query_scalar(ENTERED)
        .bind(tenant.as_str())
        .bind(&row.call)
        .bind(&row.queue)
        .bind(row.at_us + limits::LOG_REORDER_US)
        .fetch_one(c)
        .await)?;
    let before: i64 = db_tx!(&mut *tx, |c| sqlx::query_scalar(LEFT)
        .bind(tenant.as_str())
        .bind(&row.call)
        .bind(&row.queue)
        .bind(entered.unwrap_or(i64::MIN))
        .fetch_one(c)
        .await)?;
    // By itself: what the row says of the wait serves where the caller's entering is not known.
    let alone = visit::of_call([row]);
    let Some(one) = alone.first().filter(|_| before == 0) else { return Ok(Vec::new()) };
    let how = one.how().unwrap_or(How::Answered);
    let at_us = one.answered_us().unwrap_or(row.at_us);
    let wait_us = (at_us - entered.unwrap_or_else(|| one.entered_us())).max(0);
    Ok(vec![events::left(which, &row.call, at_us, (how, wait_us, &one.agent))])
}

type Columns = (i64, String, String, String, String, String, String, String, String, String, i64);

/// A row and when it was written, microseconds since 1970 UTC.
fn row((at_us, call, queue, agent, event, one, two, three, four, five, written_us): Columns) -> (Row, i64) {
    (Row { at_us, call, queue, agent, event, data: [one, two, three, four, five] }, written_us)
}

/// Rows of a time, of one queue or (empty) all, by time; one more than may be: there are too many.
///
/// # Errors
/// When the database is away.
pub async fn between(
    db: &Db,
    tenant: &TenantId,
    queue: &str,
    (from_us, to_us): (i64, i64),
) -> sqlx::Result<Vec<Row>> {
    const SQL: &str = "SELECT at, call_id, queue, agent, event, data1, data2, data3, data4, data5, created_at \
         FROM queue_log WHERE tenant_id = ? AND at >= ? AND at < ? AND (? = '' OR queue = ?) ORDER BY at LIMIT ?";
    let rows: Vec<Columns> = db_read!(db, |p| sqlx::query_as(SQL)
        .bind(tenant.as_str())
        .bind(from_us)
        .bind(to_us)
        .bind(queue)
        .bind(queue)
        .bind(limits::REPORT_ROWS + 1)
        .fetch_all(p)
        .await)?;
    Ok(rows.into_iter().map(|columns| row(columns).0).collect())
}

/// Rows that were written since then, each with its time of writing.
///
/// # Errors
/// When the database is away.
pub async fn written_since(db: &Db, tenant: &TenantId, since_us: i64) -> sqlx::Result<Vec<(Row, i64)>> {
    const SQL: &str = "SELECT at, call_id, queue, agent, event, data1, data2, data3, data4, data5, created_at \
         FROM queue_log WHERE tenant_id = ? AND created_at >= ? ORDER BY created_at DESC LIMIT ?";
    let rows: Vec<Columns> = db_read!(db, |p| sqlx::query_as(SQL)
        .bind(tenant.as_str())
        .bind(since_us)
        .bind(limits::LIVE_ROWS)
        .fetch_all(p)
        .await)?;
    Ok(rows.into_iter().map(row).collect())
}

/// What may still matter now: every row since `whole_us`, and from `from_us` on those of callers who have not left, and
/// pauses.
///
/// # Errors
/// When the database is away.
pub async fn alive(
    db: &Db,
    tenant: &TenantId,
    (from_us, whole_us): (i64, i64),
) -> sqlx::Result<Vec<(Row, i64)>> {
    const SQL: &str = "SELECT l.at, l.call_id, l.queue, l.agent, l.event, l.data1, l.data2, l.data3, l.data4, l.data5, \
         l.created_at FROM queue_log l WHERE l.tenant_id = ? AND l.at >= ? AND (l.at >= ? \
         OR l.event IN ('PAUSE', 'UNPAUSE', 'PAUSEALL', 'UNPAUSEALL') \
         OR (l.event IN ('ENTERQUEUE', 'CONNECT') AND NOT EXISTS (SELECT 1 FROM queue_log e \
         WHERE e.tenant_id = l.tenant_id AND e.call_id = l.call_id AND e.queue = l.queue AND e.at >= l.at \
         AND e.event IN ('COMPLETEAGENT', 'COMPLETECALLER', 'BLINDTRANSFER', 'ATTENDEDTRANSFER', 'ABANDON', \
         'EXITWITHTIMEOUT', 'EXITWITHKEY', 'EXITEMPTY')))) ORDER BY l.at DESC LIMIT ?";
    let rows: Vec<Columns> = db_read!(db, |p| sqlx::query_as(SQL)
        .bind(tenant.as_str())
        .bind(from_us)
        .bind(whole_us)
        .bind(limits::LIVE_ROWS)
        .fetch_all(p)
        .await)?;
    Ok(rows.into_iter().map(row).collect())
}

/// Which of these calls, by Asterisk's uniqueids, the books have an end of before `before_us`.
///
/// # Errors
/// When the database is away.
pub async fn ended_among(
    db: &Db,
    tenant: &TenantId,
    calls: &[String],
    before_us: i64,
) -> sqlx::Result<Vec<String>> {
    let mut ended = Vec::new();
    for piece in db::pieces(calls.len()).map(|piece| &calls[piece]) {
        let places = db::places(piece.len());
        // A channel that came in again may stand there twice.
        let sql = format!(
            "SELECT uniqueid FROM calls WHERE tenant_id = ? AND uniqueid IN ({places}) GROUP BY uniqueid \
             HAVING COUNT(ended_at) = COUNT(*) AND MAX(ended_at) < ?"
        );
        let found: Vec<String> = db_read!(db, |p| {
            let mut query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(tenant.as_str());
            for call in piece {
                query = query.bind(call);
            }
            query.bind(before_us).fetch_all(p).await
        })?;
        ended.extend(found);
    }
    Ok(ended)
}

/// Removes rows that are older than they are kept, tenant by tenant. Returns how many.
///
/// # Errors
/// When the database is away.
pub async fn purge(db: &Db, now_us: i64) -> sqlx::Result<u64> {
    const END: &str =
        "SELECT MAX(at) FROM (SELECT at FROM queue_log WHERE tenant_id = ? AND at < ? ORDER BY at LIMIT ?) t";
    const DELETE: &str = "DELETE FROM queue_log WHERE tenant_id = ? AND at <= ?";
    let (mut removed, before_us) = (0, now_us - limits::LOG_KEPT_US);
    for (tenant, _) in tenants::store::versions(db).await? {
        // In pieces, so that others get their turn.
        loop {
            let end: Option<i64> = db_read!(db, |p| sqlx::query_scalar(END)
                .bind(tenant.as_str())
                .bind(before_us)
                .bind(limits::LOG_PURGE_ROWS)
                .fetch_one(p)
                .await)?;
            let Some(end) = end else { break };
            removed += db_write!(db, |p| sqlx::query(DELETE)
                .bind(tenant.as_str())
                .bind(end)
                .execute(p)
                .await
                .map(|done| done.rows_affected()))?;
        }
    }
    Ok(removed)
}
