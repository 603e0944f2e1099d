//! SQL of events. Everything of a tenant is written under the lock of its head's row, which the transaction keeps until it
//! ends: positions become visible in their order, and a rolled-back one is given again.

use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;

use super::{Draft, Event};
use crate::base::ids::{IdSource, TenantId};
use crate::config::limits::events as limits;
use crate::db::{self, Db, Tx, db_read, db_tx, db_write};

/// Writes events of a tenant in their order and returns the position of the last one; 0 for none.
///
/// # Errors
/// When the database is away.
pub async fn append(
    tx: &mut Tx,
    ids: &IdSource,
    (tenant, now_us): (&TenantId, i64),
    drafts: &[Draft],
) -> sqlx::Result<i64> {
    if drafts.is_empty() {
        return Ok(0);
    }
    let position = take_positions(tx, tenant, drafts.len(), now_us).await?;
    let first = position - count(drafts.len()) + 1;
    let mut sequences = take_sequences(tx, tenant, drafts, now_us).await?;
    let mut rows = Vec::with_capacity(drafts.len());
    for (draft, position) in drafts.iter().zip(first..) {
        let sequence = sequences.entry(&draft.key).or_insert(0);
        *sequence += 1;
        rows.push((draft, position, *sequence));
    }
    insert(tx, ids, tenant, &rows).await?;
    Ok(position)
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Takes so many positions and returns the last of them.
async fn take_positions(tx: &mut Tx, tenant: &TenantId, n: usize, now_us: i64) -> sqlx::Result<i64> {
    const SQLITE: &str = "INSERT INTO event_heads (tenant_id, position, changed_at) VALUES (?, ?, ?) \
         ON CONFLICT (tenant_id) DO UPDATE SET position = position + excluded.position, \
         changed_at = CASE WHEN excluded.changed_at > changed_at THEN excluded.changed_at ELSE changed_at END";
    const MYSQL: &str = "INSERT INTO event_heads (tenant_id, position, changed_at) VALUES (?, ?, ?) \
         ON DUPLICATE KEY UPDATE position = position + VALUES(position), \
         changed_at = GREATEST(VALUES(changed_at), changed_at)";
    const READ: &str = "SELECT position FROM event_heads WHERE tenant_id = ?";
    let claim = tx.pick(SQLITE, MYSQL);
    db_tx!(&mut *tx, |c| sqlx::query(claim)
        .bind(tenant.as_str())
        .bind(count(n))
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))?;
    db_tx!(tx, |c| sqlx::query_scalar(READ).bind(tenant.as_str()).fetch_one(c).await)
}

/// Takes the next sequences of the drafts' keys, and returns those that they had reached before. Written first and read then:
/// MariaDB's plain read of a row that another has written meanwhile is older than that.
async fn take_sequences<'d>(
    tx: &mut Tx,
    tenant: &TenantId,
    drafts: &'d [Draft],
    now_us: i64,
) -> sqlx::Result<HashMap<&'d str, i64>> {
    const SQLITE: &str = "INSERT INTO event_sequences (tenant_id, event_key, sequence, changed_at) VALUES (?, ?, ?, ?) \
         ON CONFLICT (tenant_id, event_key) DO UPDATE SET sequence = sequence + excluded.sequence, \
         changed_at = excluded.changed_at";
    const MYSQL: &str = "INSERT INTO event_sequences (tenant_id, event_key, sequence, changed_at) VALUES (?, ?, ?, ?) \
         ON DUPLICATE KEY UPDATE sequence = sequence + VALUES(sequence), changed_at = VALUES(changed_at)";
    // In one order, so that nobody waits crosswise.
    let mut taken: BTreeMap<&str, i64> = BTreeMap::new();
    for draft in drafts {
        *taken.entry(&draft.key).or_default() += 1;
    }
    let all: Vec<(&str, i64)> = taken.into_iter().collect();
    let mut before = HashMap::with_capacity(all.len());
    for piece in db::pieces(all.len()).map(|piece| &all[piece]) {
        let sql = db::with_rows(tx.pick(SQLITE, MYSQL), piece.len());
        db_tx!(&mut *tx, |c| {
            let mut query = sqlx::query(sql);
            for (key, count) in piece {
                query = query.bind(tenant.as_str()).bind(*key).bind(*count).bind(now_us);
            }
            query.execute(c).await.map(drop)
        })?;
        let places = db::places(piece.len());
        let sql = format!(
            "SELECT event_key, sequence FROM event_sequences WHERE tenant_id = ? AND event_key IN ({places})"
        );
        let rows: Vec<(String, i64)> = db_tx!(&mut *tx, |c| {
            let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(tenant.as_str());
            for (key, _) in piece {
                query = query.bind(*key);
            }
            query.fetch_all(c).await
        })?;
        let reached: HashMap<&str, i64> = rows.iter().map(|(key, at)| (key.as_str(), *at)).collect();
        for (key, count) in piece {
            before.insert(*key, reached.get(key).copied().unwrap_or(*count) - count);
        }
    }
    Ok(before)
}

async fn insert(
    tx: &mut Tx,
    ids: &IdSource,
    tenant: &TenantId,
    rows: &[(&Draft, i64, i64)],
) -> sqlx::Result<()> {
    const INSERT: &str = "INSERT INTO events (tenant_id, position, id, kind, event_key, sequence, at, owners, data) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    for piece in db::pieces(rows.len()).map(|piece| &rows[piece]) {
        db_tx!(&mut *tx, |c| {
            let mut query = sqlx::query(db::with_rows(INSERT, piece.len()));
            for (draft, position, sequence) in piece {
                query = query
                    .bind(tenant.as_str())
                    .bind(*position)
                    .bind(format!("evt_{}", ids.next()))
                    .bind(&draft.kind)
                    .bind(&draft.key)
                    .bind(*sequence)
                    .bind(draft.at_us)
                    .bind(
                        draft
                            .owners
                            .as_ref()
                            .map(|o| serde_json::Value::from(o.clone()).to_string())
                            .unwrap_or_default(),
                    )
                    .bind(data(draft));
            }
            query.execute(c).await.map(drop)
        })?;
    }
    Ok(())
}

/// The data as it is kept. What is too large is told by its size: the record itself can be read over REST.
fn data(draft: &Draft) -> String {
    let text = serde_json::Value::Object(draft.data.clone()).to_string();
    if text.len() <= limits::DATA_BYTES {
        return text;
    }
    let id = draft.data.get("id").cloned().unwrap_or_default();
    serde_json::json!({"id": id, "truncated": true, "bytes": text.len()}).to_string()
}

#[derive(sqlx::FromRow)]
struct Row {
    position: i64,
    id: String,
    kind: String,
    event_key: String,
    sequence: i64,
    at: i64,
    owners: String,
    data: String,
}

impl Row {
    fn event(self, tenant: &TenantId) -> sqlx::Result<Event> {
        let wrong = |e: serde_json::Error| sqlx::Error::Decode(Box::new(e));
        let owners = match self.owners.as_str() {
            "" => None,
            list => Some(serde_json::from_str(list).map_err(wrong)?),
        };
        Ok(Event {
            tenant: tenant.clone(),
            position: self.position,
            id: self.id,
            kind: self.kind,
            key: self.event_key,
            sequence: self.sequence,
            at_us: self.at,
            owners,
            data: RawValue::from_string(self.data).map_err(wrong)?,
        })
    }
}

const READ: &str = "SELECT position, id, kind, event_key, sequence, at, owners, data FROM events \
     WHERE tenant_id = ? AND position > ? ORDER BY position LIMIT ?";

/// Events of a tenant behind a position, in order, at most `limit`.
///
/// # Errors
/// When the database is away.
pub async fn after(db: &Db, tenant: &TenantId, position: i64, limit: usize) -> sqlx::Result<Vec<Event>> {
    let rows: Vec<Row> = db_read!(db, |p| sqlx::query_as(READ)
        .bind(tenant.as_str())
        .bind(position)
        .bind(count(limit))
        .fetch_all(p)
        .await)?;
    rows.into_iter().map(|row| row.event(tenant)).collect()
}

/// One event of a tenant's. Looks through all of them: for people, not for programs that go on.
///
/// # Errors
/// When the database is away.
pub async fn find(db: &Db, tenant: &TenantId, id: &str) -> sqlx::Result<Option<Event>> {
    const SQL: &str = "SELECT position, id, kind, event_key, sequence, at, owners, data FROM events \
         WHERE tenant_id = ? AND id = ?";
    let row: Option<Row> =
        db_read!(db, |p| sqlx::query_as(SQL).bind(tenant.as_str()).bind(id).fetch_optional(p).await)?;
    row.map(|row| row.event(tenant)).transpose()
}

/// As [`after`], inside a transaction.
///
/// # Errors
/// When the database is away.
pub async fn after_in(
    tx: &mut Tx,
    tenant: &TenantId,
    position: i64,
    limit: usize,
) -> sqlx::Result<Vec<Event>> {
    let rows: Vec<Row> = db_tx!(tx, |c| sqlx::query_as(READ)
        .bind(tenant.as_str())
        .bind(position)
        .bind(count(limit))
        .fetch_all(c)
        .await)?;
    rows.into_iter().map(|row| row.event(tenant)).collect()
}

/// The first and the last position that a tenant's stream still has: `(last + 1, last)` when it is empty.
///
/// # Errors
/// When the database is away.
pub async fn bounds(db: &Db, tenant: &TenantId) -> sqlx::Result<(i64, i64)> {
    const HEAD: &str = "SELECT position FROM event_heads WHERE tenant_id = ?";
    const FIRST: &str = "SELECT MIN(position) FROM events WHERE tenant_id = ?";
    // The first one first: what is appended in between is behind it.
    let first: Option<i64> =
        db_read!(db, |p| sqlx::query_scalar(FIRST).bind(tenant.as_str()).fetch_one(p).await)?;
    let last: Option<i64> =
        db_read!(db, |p| sqlx::query_scalar(HEAD).bind(tenant.as_str()).fetch_optional(p).await)?;
    let last = last.unwrap_or(0);
    Ok((first.unwrap_or(last + 1), last))
}

/// Heads of the tenants whose streams changed since then.
///
/// # Errors
/// When the database is away.
pub async fn heads(db: &Db, since_us: i64) -> sqlx::Result<Vec<super::news::Newer>> {
    const SQL: &str = "SELECT tenant_id, position FROM event_heads WHERE changed_at >= ?";
    let rows: Vec<(String, i64)> = db_read!(db, |p| sqlx::query_as(SQL).bind(since_us).fetch_all(p).await)?;
    let newer = |(tenant, position): (String, i64)| {
        Some(super::news::Newer { tenant: TenantId::parse(&tenant).ok()?, position })
    };
    Ok(rows.into_iter().filter_map(newer).collect())
}

/// Removes what lies before the first event that is as young as that, tenant by tenant, and the counters of calls that told
/// nothing since: nothing comes under such a key again. Returns how many events it were.
///
/// # Errors
/// When the database is away.
pub async fn purge(db: &Db, before_us: i64) -> sqlx::Result<u64> {
    const YOUNG: &str =
        "SELECT position FROM events WHERE tenant_id = ? AND at >= ? ORDER BY position LIMIT 1";
    const DELETE: &str = "DELETE FROM events WHERE tenant_id = ? AND position >= ? AND position < ?";
    const KEYS: &str = "DELETE FROM event_sequences WHERE changed_at < ? AND event_key LIKE 'call:%'";
    let mut removed = 0;
    for head in heads(db, i64::MIN).await? {
        let (mut first, last) = bounds(db, &head.tenant).await?;
        let tenant = head.tenant.as_str();
        let young: Option<i64> =
            db_read!(db, |p| sqlx::query_scalar(YOUNG).bind(tenant).bind(before_us).fetch_optional(p).await)?;
        let end = young.unwrap_or(last + 1);
        // In pieces, so that others get their turn.
        while first < end {
            let piece = end.min(first + limits::PURGE_ROWS);
            removed += db_write!(db, |p| sqlx::query(DELETE)
                .bind(tenant)
                .bind(first)
                .bind(piece)
                .execute(p)
                .await
                .map(|done| done.rows_affected()))?;
            first = piece;
        }
    }
    db_write!(db, |p| sqlx::query(KEYS).bind(before_us).execute(p).await.map(drop))?;
    Ok(removed)
}
