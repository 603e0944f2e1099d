//! Call detail records are made of the calls' own rows, in the transaction that ends the call. A record has its call's
//! id: there can't be two, however often an end is told.

use crate::db::{self, Tx, db_tx};

/// Names lose what makes them global in Asterisk (`acme-support`, `101@acme`). Lengths are whole seconds; the division
/// is exact, because the databases round differently. A call of a tenant that is gone has no record.
///
/// `phone` is the channel of whoever was on the phone: of a call to the outside who dialled, else who talked to the caller
/// last. Such channels are called `PJSIP/<tenant>-<endpoint>-<8 digits>`; one of a trunk is nobody's. The user is the
/// endpoint's in the call's queue, else in any.
const INSERT: &str = "INSERT INTO cdrs (id, tenant_id, call_id, linkedid, uniqueid, direction, did, caller_number, \
     caller_name, destination, channel, dst_channel, queue, endpoint, agent_id, started_at, answered_at, ended_at, \
     duration_s, billed_s, talk_s, transferred, disposition, cause, metadata, created_at) \
     SELECT c.id, c.tenant_id, c.id, c.linkedid, c.uniqueid, c.direction, c.did, c.caller_number, c.caller_name, \
     SUBSTR(CONCAT(c.action, ' ', CASE WHEN c.action = 'endpoint' AND c.transferred AND c.direction <> 'outbound' \
     AND e.name IS NOT NULL THEN e.name \
     WHEN c.action IN ('queue', 'endpoint') THEN SUBSTR(c.target, LENGTH(c.tenant_id) + 2) \
     WHEN c.action = 'voicemail' THEN SUBSTR(c.target, 1, LENGTH(c.target) - LENGTH(c.tenant_id) - 1) \
     ELSE c.target END), 1, 150), c.channel, \
     CASE WHEN c.disposition = 'ANSWERED' THEN c.answered_by ELSE '' END, \
     SUBSTR(c.queue, LENGTH(c.tenant_id) + 2, 19), \
     CASE WHEN e.name IS NOT NULL THEN e.name \
     WHEN c.action = 'endpoint' THEN SUBSTR(c.target, LENGTH(c.tenant_id) + 2, 19) ELSE '' END, \
     (SELECT COALESCE(MIN(CASE WHEN q.name = SUBSTR(c.queue, LENGTH(c.tenant_id) + 2) THEN m.user_id END), \
     MIN(m.user_id)) FROM queue_members m JOIN queues q ON q.id = m.queue_id WHERE m.tenant_id = c.tenant_id \
     AND m.endpoint_id = e.id), \
     c.started_at, c.answered_at, c.ended_at, \
     CASE WHEN c.duration_ms IS NOT NULL THEN (c.duration_ms - c.duration_ms % 1000) / 1000 \
     WHEN c.ended_at > c.started_at THEN (c.ended_at - c.started_at - (c.ended_at - c.started_at) % 1000000) / 1000000 \
     ELSE 0 END, \
     CASE WHEN c.billed_ms IS NOT NULL THEN (c.billed_ms - c.billed_ms % 1000) / 1000 ELSE 0 END, \
     (c.talk_ms - c.talk_ms % 1000) / 1000, c.transferred, \
     CASE WHEN c.disposition IN ('ANSWERED', 'NO ANSWER', 'BUSY', 'FAILED', 'CONGESTION') THEN c.disposition \
     WHEN c.answered_at IS NOT NULL THEN 'ANSWERED' \
     WHEN c.dial_status IN ('BUSY', 'CONGESTION') THEN c.dial_status \
     WHEN c.dial_status = 'CHANUNAVAIL' OR c.ended_by IN ('lost', 'live') THEN 'FAILED' ELSE 'NO ANSWER' END, \
     c.cause, '{}', ? \
     FROM (SELECT calls.*, CASE WHEN direction = 'outbound' THEN channel WHEN disposition = 'ANSWERED' THEN answered_by \
     ELSE '' END AS phone FROM calls WHERE ended_at IS NOT NULL AND id IN (?)) c \
     JOIN tenants t ON t.id = c.tenant_id \
     LEFT JOIN endpoints e ON e.tenant_id = c.tenant_id \
     AND SUBSTR(c.phone, 1, LENGTH(c.tenant_id) + 7) = CONCAT('PJSIP/', c.tenant_id, '-') \
     AND e.name = SUBSTR(c.phone, LENGTH(c.tenant_id) + 8, LENGTH(c.phone) - LENGTH(c.tenant_id) - 16)";

/// A phone that asks whom it hands a call to calls there itself: a call of its own, which Asterisk never joins with the
/// first. The channel that both were answered by tells that they belong together; the first one's linkedid is both's.
///
/// # Errors
/// When the database is away.
pub(super) async fn join_consultation(tx: &mut Tx, id: &str) -> sqlx::Result<()> {
    const CALL: &str =
        "SELECT tenant_id, linkedid, answered_by, started_at, ended_at FROM calls WHERE id = ?";
    const CALLS: &str = "UPDATE calls SET linkedid = ? WHERE tenant_id = ? AND started_at >= ? AND started_at < ? \
         AND answered_by = ? AND direction <> 'inbound' AND id <> ?";
    const CDRS: &str = "UPDATE cdrs SET linkedid = ? WHERE tenant_id = ? AND started_at >= ? AND started_at < ? \
         AND dst_channel = ? AND direction <> 'inbound' AND id <> ?";
    let found: Option<(String, String, String, i64, Option<i64>)> =
        db_tx!(&mut *tx, |c| sqlx::query_as(CALL).bind(id).fetch_optional(c).await)?;
    let Some((tenant, linkedid, channel, from_us, to_us)) = found else { return Ok(()) };
    if tenant.is_empty() || linkedid.is_empty() || channel.is_empty() {
        return Ok(());
    }
    for sql in [CALLS, CDRS] {
        db_tx!(&mut *tx, |c| sqlx::query(sql)
            .bind(&linkedid)
            .bind(&tenant)
            .bind(from_us)
            .bind(to_us)
            .bind(&channel)
            .bind(id)
            .execute(c)
            .await
            .map(drop))?;
    }
    Ok(())
}

/// What the end of a call changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// It had this end, or another real one, already.
    Before,
    /// It is over now.
    Now,
    /// It had been given up as lost, and has its real end now.
    AfterAll,
}

/// Calls that ended and have no record yet.
#[derive(Debug, Default)]
pub(super) struct Ends {
    ids: Vec<String>,
    again: Vec<String>,
}

impl Ends {
    pub(super) fn add(&mut self, id: &str, closed: Closed) {
        match closed {
            Closed::Before => {}
            Closed::Now => self.ids.push(id.to_owned()),
            Closed::AfterAll => {
                // Both in one batch: the record is made once, of the last state.
                if !self.ids.iter().chain(&self.again).any(|known| known == id) {
                    self.ids.push(id.to_owned());
                    self.again.push(id.to_owned());
                }
            }
        }
    }

    /// The calls whose end changed.
    pub(super) fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Makes the records.
    pub(super) async fn insert(self, tx: &mut Tx, now_us: i64) -> sqlx::Result<()> {
        // Only what is there is deleted: on MariaDB a search in vain would lock the gap where others insert.
        for piece in db::pieces(self.again.len()).map(|piece| &self.again[piece]) {
            let sql = format!("DELETE FROM cdrs WHERE id IN {}", places(piece.len()));
            run(tx, sql, None, piece).await?;
        }
        for piece in db::pieces(self.ids.len()).map(|piece| &self.ids[piece]) {
            run(tx, INSERT.replace("(?)", &places(piece.len())), Some(now_us), piece).await?;
        }
        Ok(())
    }
}

fn places(n: usize) -> String {
    format!("({})", db::places(n))
}

async fn run(tx: &mut Tx, sql: String, first: Option<i64>, ids: &[String]) -> sqlx::Result<()> {
    db_tx!(tx, |c| {
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
        if let Some(first) = first {
            query = query.bind(first);
        }
        for id in ids {
            query = query.bind(id);
        }
        query.execute(c).await.map(drop)
    })
}
