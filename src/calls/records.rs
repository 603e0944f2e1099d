//! Call detail records are made of the calls' own rows, in the transaction that ends the call. A record has its call's
//! id: there can't be two, however often an end is told.

use crate::db::{self, Tx, db_tx};

/// Names lose what makes them global in Asterisk (`acme-support`, `101@acme`). Lengths are whole seconds; the division
/// is exact, because the databases round differently. A call of a tenant that is gone has no record.
const INSERT: &str = "INSERT INTO cdrs (id, tenant_id, call_id, linkedid, uniqueid, direction, did, caller_number, \
     caller_name, destination, channel, dst_channel, queue, endpoint, started_at, answered_at, ended_at, duration_s, \
     billed_s, disposition, cause, metadata, created_at) \
     SELECT c.id, c.tenant_id, c.id, c.linkedid, c.uniqueid, c.direction, c.did, c.caller_number, c.caller_name, \
     SUBSTR(CONCAT(c.action, ' ', CASE WHEN c.action IN ('queue', 'endpoint') THEN SUBSTR(c.target, LENGTH(c.tenant_id) + 2) \
     WHEN c.action = 'voicemail' THEN SUBSTR(c.target, 1, LENGTH(c.target) - LENGTH(c.tenant_id) - 1) \
     ELSE c.target END), 1, 150), c.channel, c.answered_by, \
     CASE WHEN c.action = 'queue' THEN SUBSTR(c.target, LENGTH(c.tenant_id) + 2, 19) ELSE '' END, \
     CASE WHEN c.action = 'endpoint' THEN SUBSTR(c.target, LENGTH(c.tenant_id) + 2, 19) ELSE '' END, \
     c.started_at, c.answered_at, c.ended_at, \
     CASE WHEN c.duration_ms IS NOT NULL THEN (c.duration_ms - c.duration_ms % 1000) / 1000 \
     WHEN c.ended_at > c.started_at THEN (c.ended_at - c.started_at - (c.ended_at - c.started_at) % 1000000) / 1000000 \
     ELSE 0 END, \
     CASE WHEN c.billed_ms IS NOT NULL THEN (c.billed_ms - c.billed_ms % 1000) / 1000 ELSE 0 END, \
     CASE WHEN c.disposition IN ('ANSWERED', 'NO ANSWER', 'BUSY', 'FAILED', 'CONGESTION') THEN c.disposition \
     WHEN c.answered_at IS NOT NULL THEN 'ANSWERED' \
     WHEN c.dial_status IN ('BUSY', 'CONGESTION') THEN c.dial_status \
     WHEN c.dial_status = 'CHANUNAVAIL' OR c.ended_by = 'lost' THEN 'FAILED' ELSE 'NO ANSWER' END, \
     c.cause, '{}', ? FROM calls c JOIN tenants t ON t.id = c.tenant_id WHERE c.ended_at IS NOT NULL AND c.id IN (?)";

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
