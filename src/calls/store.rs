//! SQL of calls and their traces; [`Calls`] is the journal's sink.
//!
//! Rows are written so that a record that comes twice or in another order than life changes nothing for the worse:
//! a call is inserted once, an end is set once (a real end beats `lost`).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::base::clock::Clock;
use crate::base::ids::{Id, IdSource, Number, TenantId};
use crate::db::{self, Db, Tx, db_read, db_tx};
use crate::events::News;
use crate::journal;
use crate::journal::drain::{Sink, SinkError};
use crate::plugins;

use super::events::Tells;
use super::live::Live;
use super::recordings::{self, Sounds};
use super::records::{Closed, Ends};
use super::{CallAndDecision, Decided, Ended, Record, fit, records};

/// The tables of calls, as where the journal goes.
#[derive(Clone, Debug)]
pub struct Calls {
    /// Where.
    pub db: Db,
    /// Time.
    pub clock: Clock,
    /// Ids of calls that ended without ever having been decided here, and of events.
    pub ids: IdSource,
    /// The living: an end that names its call by uniqueid only is understood here and nowhere before.
    pub live: Arc<Live>,
    /// Who waits for events.
    pub news: News,
    /// What becomes of recordings and messages.
    pub sounds: Sounds,
}

/// Only a fault of the values is a fault of the record. Everything else (no right, no table, no disk, no server) is a
/// fault of the database: the records wait until it is mended.
pub fn sink_error(error: sqlx::Error) -> SinkError {
    if db::is_data_error(&error) {
        SinkError::Unfit(error.to_string())
    } else {
        SinkError::Away(error.to_string())
    }
}

/// The last sequence of a node's journal that is in the database.
///
/// # Errors
/// When the database is away.
pub async fn position(db: &Db, node: &Id) -> sqlx::Result<u64> {
    read_position(db, node.as_str()).await
}

/// As [`position`], by the node's name as a journal gives it.
///
/// # Errors
/// When the database is away.
pub async fn read_position(db: &Db, node: &str) -> sqlx::Result<u64> {
    const SQL: &str = "SELECT sequence FROM journal_positions WHERE node_id = ?";
    let found: Option<i64> = db_read!(db, |p| sqlx::query_scalar(SQL).bind(node).fetch_optional(p).await)?;
    Ok(found.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
}

/// When a node's journal moved last, microseconds since 1970 UTC; `None`: it never did. Before the node starts that is the
/// last that is known of it.
///
/// # Errors
/// When the database is away.
pub async fn moved_at(db: &Db, node: &Id) -> sqlx::Result<Option<i64>> {
    const SQL: &str = "SELECT updated_at FROM journal_positions WHERE node_id = ?";
    db_read!(db, |p| sqlx::query_scalar(SQL).bind(node.as_str()).fetch_optional(p).await)
}

/// Asterisk's linkedid of a tenant's call; `None`: there is no such call, or it has none.
///
/// # Errors
/// When the database is away.
pub async fn linkedid(db: &Db, tenant: &TenantId, call: &Id) -> sqlx::Result<Option<String>> {
    const SQL: &str = "SELECT linkedid FROM calls WHERE tenant_id = ? AND id = ?";
    let found: Option<String> = db_read!(db, |p| sqlx::query_scalar(SQL)
        .bind(tenant.as_str())
        .bind(call.as_str())
        .fetch_optional(p)
        .await)?;
    Ok(found.filter(|linkedid| !linkedid.is_empty()))
}

impl Sink for Calls {
    async fn position(&self, node: &str) -> Result<u64, SinkError> {
        read_position(&self.db, node).await.map_err(sink_error)
    }

    async fn apply(&self, node: &str, from: u64, records: &[journal::Record]) -> Result<(), SinkError> {
        let Some(last) = records.last() else { return Ok(()) };
        // Read before the transaction begins: meanwhile others may write.
        let mut parsed = Vec::with_capacity(records.len());
        for record in records.iter().filter(|r| !r.payload.is_empty()) {
            let value: Record = serde_json::from_slice(&record.payload)
                .map_err(|e| SinkError::Unfit(format!("record {}: {e}", record.sequence)))?;
            parsed.push((record.sequence, value));
        }
        let mut tx = self.db.begin().await.map_err(sink_error)?;
        advance(&mut tx, node, from, last.sequence, self.clock.now_us()).await?;
        let (found, told) = self.write(&mut tx, node, &parsed).await.map_err(sink_error)?;
        tx.commit().await.map_err(sink_error)?;
        if parsed.iter().any(|(_, record)| matches!(record, Record::Ended(_))) {
            self.sounds.ended.send_replace(());
        }
        found.iter().for_each(|id| self.live.remove(id));
        told.iter().for_each(|(tenant, position)| self.news.tell(tenant, *position));
        Ok(())
    }
}

/// Moves the node's position on, if it still stands where it was.
///
/// # Errors
/// When it stands elsewhere: another process moves the same journal; when the database is away.
pub async fn advance(tx: &mut Tx, node: &str, from: u64, to: u64, now_us: i64) -> Result<(), SinkError> {
    const UPDATE: &str =
        "UPDATE journal_positions SET sequence = ?, updated_at = ? WHERE node_id = ? AND sequence = ?";
    const INSERT: &str = "INSERT INTO journal_positions (sequence, updated_at, node_id) VALUES (?, ?, ?)";
    let (from, to) = (i64::try_from(from).unwrap_or(i64::MAX), i64::try_from(to).unwrap_or(i64::MAX));
    let moved = db_tx!(tx, |c| sqlx::query(UPDATE)
        .bind(to)
        .bind(now_us)
        .bind(node)
        .bind(from)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))
    .map_err(sink_error)?;
    match (moved, from) {
        (1, _) => Ok(()),
        (_, 0) => {
            let added = db_tx!(tx, |c| sqlx::query(INSERT)
                .bind(to)
                .bind(now_us)
                .bind(node)
                .execute(c)
                .await
                .map(drop));
            // A row that is there after all says that somebody was faster, not that a record is wrong.
            added.map_err(|e| if db::is_unique_violation(&e) { elsewhere(node) } else { sink_error(e) })
        }
        _ => Err(elsewhere(node)),
    }
}

fn elsewhere(node: &str) -> SinkError {
    SinkError::Away(format!("another process moves the journal of node {node}"))
}

impl Calls {
    /// Writes records as if one by one in their order, with few statements: calls that begin and traces are gathered
    /// and inserted many at a time. A gathered call is inserted before anything that may look for it. Returns calls whose
    /// end was told without their id, and how far the tenants' events go then.
    pub(super) async fn write(
        &self,
        tx: &mut Tx,
        node: &str,
        records: &[(u64, Record)],
    ) -> sqlx::Result<(Vec<Id>, Vec<(TenantId, i64)>)> {
        let (mut begun, mut traces, mut ends) = (Begun::default(), Vec::new(), Ends::default());
        let (mut tells, mut found, mut recorded) = (Tells::default(), Vec::new(), Vec::new());
        for (sequence, record) in records {
            match record {
                Record::Began(call) => {
                    begun.add(call);
                    tells.began(call);
                    traces.push((*sequence, &call.decided));
                }
                Record::Moved(decided) => {
                    begun.insert_before(tx, Some(&decided.id)).await?;
                    move_call(tx, decided).await?;
                    tells.routed(decided);
                    traces.push((*sequence, decided));
                }
                Record::Seen(seen) => tells.seen(seen),
                Record::Ended(ended) => {
                    begun.insert_before(tx, ended.id.as_ref()).await?;
                    let id = self.end(tx, ended, &mut ends).await?;
                    recorded.extend(id.clone().filter(|_| ended.recorded));
                    found.extend(id.filter(|_| ended.id.is_none()).and_then(|id| Id::parse(&id).ok()));
                }
            }
        }
        begun.insert(tx).await?;
        insert_traces(tx, node, &traces).await?;
        insert_runs(tx, traces.iter().map(|(_, decided)| *decided)).await?;
        let now_us = self.clock.now_us();
        if self.sounds.kept {
            let all = traces.iter().filter(|(_, decided)| decided.record);
            recorded.extend(all.map(|(_, decided)| decided.id.to_string()));
            recordings::begin(tx, node, &recorded, now_us).await?;
        }
        tells.ended(tx, ends.ids()).await?;
        ends.insert(tx, now_us).await?;
        Ok((found, tells.write(tx, &self.ids, now_us).await?))
    }

    /// Returns the call that ended, unless the report tells of none.
    async fn end(&self, tx: &mut Tx, ended: &Ended, ends: &mut Ends) -> sqlx::Result<Option<String>> {
        let id = match find(tx, ended).await? {
            Some(id) => id,
            None if ended.fallback.is_empty() && ended.did.is_empty() => return Ok(None),
            None => {
                let id = self.ids.next();
                insert_undecided(tx, &id, ended).await?;
                id.to_string()
            }
        };
        let closed = end_call(tx, &id, ended).await?;
        if closed != Closed::Before && ended.transferred {
            records::join_consultation(tx, &id).await?;
        }
        ends.add(&id, closed);
        Ok(Some(id))
    }
}

/// Calls that began and are not inserted yet.
#[derive(Default)]
struct Begun<'a> {
    calls: Vec<&'a CallAndDecision>,
    ids: HashSet<&'a Id>,
}

impl<'a> Begun<'a> {
    fn add(&mut self, call: &'a CallAndDecision) {
        self.calls.push(call);
        self.ids.insert(&call.started.id);
    }

    /// Inserts what is gathered if the call `id`, or any call (`None`), may be among it.
    async fn insert_before(&mut self, tx: &mut Tx, id: Option<&Id>) -> sqlx::Result<()> {
        if id.is_none_or(|id| self.ids.contains(id)) { self.insert(tx).await } else { Ok(()) }
    }

    async fn insert(&mut self, tx: &mut Tx) -> sqlx::Result<()> {
        insert_calls(tx, &self.calls).await?;
        self.calls.clear();
        self.ids.clear();
        Ok(())
    }
}

/// A call that the operator's fallback took because we were not there, or whose caller had left when we died over the
/// decision: it belongs to whoever owns the number.
async fn insert_undecided(tx: &mut Tx, id: &Id, ended: &Ended) -> sqlx::Result<()> {
    const OWNER: &str = "SELECT tenant_id FROM dids WHERE number = ? AND deleted_at = 0";
    const SQL: &str = "INSERT INTO calls (id, tenant_id, direction, did, caller_number, caller_name, channel, uniqueid, \
         linkedid, language, action, target, reason, started_at) \
         VALUES (?, ?, 'inbound', ?, ?, '', '', ?, ?, '', ?, '', ?, ?)";
    let (action, reason) = match ended.fallback.as_str() {
        "" => ("hangup", "caller-gone"),
        fallback => ("fallback", fallback),
    };
    let tenant: Option<String> = match Number::from_dialled(&ended.did) {
        Ok(number) => {
            db_tx!(tx, |c| sqlx::query_scalar(OWNER).bind(number.as_str()).fetch_optional(c).await)?
        }
        Err(_) => None,
    };
    let started = ended.at_us - ended.duration_ms.unwrap_or(0) * 1_000;
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(id.as_str())
        .bind(tenant.unwrap_or_default())
        .bind(fit(&ended.did, 80))
        .bind(fit(&ended.caller, 80))
        .bind(fit(&ended.uniqueid, 150))
        .bind(fit(&ended.linkedid, 150))
        .bind(action)
        .bind(fit(reason, 40))
        .bind(started)
        .execute(c)
        .await
        .map(drop))
}

fn tenant(decided: &Decided) -> &str {
    decided.tenant.as_ref().map(TenantId::as_str).unwrap_or_default()
}

/// The queue that a decision leads to; empty: it leads elsewhere.
fn queue(decided: &Decided) -> String {
    if decided.action == "queue" { fit(&decided.target, 150) } else { String::new() }
}

async fn insert_calls(tx: &mut Tx, calls: &[&CallAndDecision]) -> sqlx::Result<()> {
    const INSERT: &str = "INSERT INTO calls (id, tenant_id, direction, did, caller_number, caller_name, channel, \
         uniqueid, linkedid, language, action, target, reason, queue, started_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    for piece in db::pieces(calls.len()) {
        let piece = &calls[piece];
        db_tx!(tx, |c| {
            let mut query = sqlx::query(db::with_rows(INSERT, piece.len()));
            for call in piece {
                let (s, d) = (&call.started, &call.decided);
                query = query
                    .bind(s.id.as_str())
                    .bind(tenant(d))
                    .bind(s.direction.as_str())
                    .bind(fit(&s.did, 80))
                    .bind(fit(&s.caller, 80))
                    .bind(fit(&s.caller_name, 200))
                    .bind(fit(&s.channel, 120))
                    .bind(fit(&s.uniqueid, 150))
                    .bind(fit(&s.linkedid, 150))
                    .bind(fit(&s.language, 20))
                    .bind(fit(&d.action, 20))
                    .bind(fit(&d.target, 150))
                    .bind(fit(&d.reason, 40))
                    .bind(queue(d))
                    .bind(s.at_us);
            }
            query.execute(c).await.map(drop)
        })?;
    }
    Ok(())
}

async fn insert_traces(tx: &mut Tx, node: &str, traces: &[(u64, &Decided)]) -> sqlx::Result<()> {
    const INSERT: &str = "INSERT INTO call_traces (call_id, node_id, sequence, tenant_id, hook, at, trace) \
         VALUES (?, ?, ?, ?, ?, ?, ?)";
    for piece in db::pieces(traces.len()) {
        let piece = &traces[piece];
        db_tx!(tx, |c| {
            let mut query = sqlx::query(db::with_rows(INSERT, piece.len()));
            for (sequence, decided) in piece {
                query = query
                    .bind(decided.id.as_str())
                    .bind(node)
                    .bind(i64::try_from(*sequence).unwrap_or(i64::MAX))
                    .bind(tenant(decided))
                    .bind(fit(&decided.hook, 10))
                    .bind(decided.at_us)
                    .bind(decided.trace.get());
            }
            query.execute(c).await.map(drop)
        })?;
    }
    Ok(())
}

/// Runs of plugins, each tenant's in one go.
async fn insert_runs(tx: &mut Tx, decided: impl Iterator<Item = &Decided>) -> sqlx::Result<()> {
    let mut all: BTreeMap<&TenantId, Vec<plugins::Run>> = BTreeMap::new();
    for decided in decided.filter(|decided| !decided.runs.is_empty()) {
        if let Some(tenant) = &decided.tenant {
            all.entry(tenant).or_default().extend(decided.runs.iter().cloned());
        }
    }
    for (tenant, runs) in all {
        plugins::insert_runs(tx, tenant, &runs).await?;
    }
    Ok(())
}

async fn move_call(tx: &mut Tx, decided: &Decided) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE calls SET action = ?, target = ?, reason = ?, \
         queue = CASE WHEN ? = '' THEN queue ELSE ? END WHERE id = ?";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(fit(&decided.action, 20))
        .bind(fit(&decided.target, 150))
        .bind(fit(&decided.reason, 40))
        .bind(queue(decided))
        .bind(queue(decided))
        .bind(decided.id.as_str())
        .execute(c)
        .await
        .map(drop))
}

/// Sets a call's end, unless it has a real one.
async fn end_call(tx: &mut Tx, id: &str, ended: &Ended) -> sqlx::Result<Closed> {
    // Who told of the end before: nobody, the look for lost calls, or Asterisk's own records or events, which a report says
    // more than.
    const ENDS: [(&str, Closed); 4] = [
        ("", Closed::Now),
        ("lost", Closed::AfterAll),
        ("legs", Closed::AfterAll),
        ("live", Closed::AfterAll),
    ];
    for (by, closed) in ENDS {
        // Events say less than anybody else.
        if ended.by == "live" && !by.is_empty() {
            break;
        }
        if set_end(tx, id, ended, by).await? > 0 {
            return Ok(closed);
        }
    }
    Ok(Closed::Before)
}

async fn set_end(tx: &mut Tx, id: &str, ended: &Ended, before: &str) -> sqlx::Result<u64> {
    const SQL: &str = "UPDATE calls SET ended_at = ?, ended_by = ?, cause = ?, disposition = ?, answered_at = ?, \
         duration_ms = ?, billed_ms = ?, answered_by = ?, dial_status = ?, queue_status = ?, voicemail_status = ?, \
         fallback = ?, talk_ms = ?, transferred = ?, \
         channel = CASE WHEN channel = '' THEN ? ELSE channel END, started_at = CASE WHEN started_at > ? THEN ? ELSE started_at END \
         WHERE id = ? AND ended_by = ?";
    // A decision that came when the caller had long left (this process was frozen) began no call after its end.
    let started = ended.at_us - ended.duration_ms.unwrap_or(0) * 1_000;
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(ended.at_us)
        .bind(fit(&ended.by, 20))
        .bind(ended.cause)
        .bind(fit(&ended.disposition, 20))
        .bind(ended.answered_us)
        .bind(ended.duration_ms)
        .bind(ended.billed_ms)
        .bind(fit(&ended.answered_by, 120))
        .bind(fit(&ended.dial_status, 30))
        .bind(fit(&ended.queue_status, 30))
        .bind(fit(&ended.voicemail_status, 30))
        .bind(fit(&ended.fallback, 40))
        .bind(ended.talk_ms)
        .bind(ended.transferred)
        .bind(fit(&ended.channel, 120))
        .bind(ended.at_us)
        .bind(started)
        .bind(id)
        .bind(before)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))
}

/// The call an end belongs to: by id, or, when the answer with the id never reached Asterisk, by uniqueid. A call of
/// that uniqueid that has an end already is the same report coming twice.
async fn find(tx: &mut Tx, ended: &Ended) -> sqlx::Result<Option<String>> {
    const SQL: &str =
        "SELECT id FROM calls WHERE uniqueid = ? ORDER BY ended_at IS NOT NULL, started_at DESC LIMIT 1";
    match &ended.id {
        Some(id) => Ok(Some(id.to_string())),
        None => {
            let uniqueid = fit(&ended.uniqueid, 150);
            db_tx!(tx, |c| sqlx::query_scalar(SQL).bind(uniqueid).fetch_optional(c).await)
        }
    }
}

/// How many living calls are at such an action, such as `queue` and `acme-support`, as far as they are written down.
///
/// # Errors
/// When the database is away.
pub async fn living_at(tx: &mut Tx, tenant: &TenantId, action: &str, target: &str) -> sqlx::Result<i64> {
    // Through the living calls, which are few, and not through all that the tenant ever had: no index knows a CONCAT.
    const SQL: &str = "SELECT COUNT(*) FROM calls \
         WHERE ended_at IS NULL AND CONCAT(tenant_id, '') = ? AND action = ? AND target = ?";
    db_tx!(tx, |c| sqlx::query_scalar(SQL).bind(tenant.as_str()).bind(action).bind(target).fetch_one(c).await)
}

/// One call's row as the command line and the tests look at it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow, serde::Serialize)]
pub struct CallRow {
    /// Its id.
    pub id: String,
    /// Its tenant; empty: nobody's.
    pub tenant_id: String,
    /// `inbound`, `internal` or `outbound`.
    pub direction: String,
    /// The number as dialled.
    pub did: String,
    /// The caller's number.
    pub caller_number: String,
    /// Asterisk's uniqueid.
    pub uniqueid: String,
    /// Asterisk's linkedid.
    pub linkedid: String,
    /// What it did last.
    pub action: String,
    /// To what.
    pub target: String,
    /// Why.
    pub reason: String,
    /// Microseconds since 1970 UTC.
    pub started_at: i64,
    /// When it was answered.
    pub answered_at: Option<i64>,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// Who told of the end.
    pub ended_by: String,
    /// Q.850 cause.
    pub cause: Option<i64>,
    /// ANSWERED, NO ANSWER ...
    pub disposition: String,
    /// Whole length.
    pub duration_ms: Option<i64>,
    /// Answered length.
    pub billed_ms: Option<i64>,
    /// The channel that answered.
    pub answered_by: String,
    /// DIALSTATUS.
    pub dial_status: String,
    /// QUEUESTATUS.
    pub queue_status: String,
    /// VMSTATUS.
    pub voicemail_status: String,
    /// Why the dialplan took the operator's fallback.
    pub fallback: String,
}

/// One call of a tenant; with `None` for the operator's view over all.
///
/// # Errors
/// When the database is away.
pub async fn get(db: &Db, tenant: Option<&TenantId>, id: &Id) -> sqlx::Result<Option<CallRow>> {
    const SQL: &str = "SELECT id, tenant_id, direction, did, caller_number, uniqueid, linkedid, action, target, reason, \
         started_at, answered_at, ended_at, ended_by, cause, disposition, duration_ms, billed_ms, answered_by, \
         dial_status, queue_status, voicemail_status, fallback FROM calls WHERE id = ? AND (? = '' OR tenant_id = ?)";
    let tenant = tenant.map(TenantId::as_str).unwrap_or_default();
    db_read!(db, |p| sqlx::query_as(SQL).bind(id.as_str()).bind(tenant).bind(tenant).fetch_optional(p).await)
}

/// The traces of a call in the order they were made, as JSON.
///
/// # Errors
/// When the database is away.
pub async fn traces(db: &Db, tenant: Option<&TenantId>, id: &Id) -> sqlx::Result<Vec<String>> {
    const SQL: &str = "SELECT trace FROM call_traces WHERE call_id = ? AND (? = '' OR tenant_id = ?) \
         ORDER BY at, node_id, sequence";
    let tenant = tenant.map(TenantId::as_str).unwrap_or_default();
    db_read!(db, |p| sqlx::query_scalar(SQL).bind(id.as_str()).bind(tenant).bind(tenant).fetch_all(p).await)
}
