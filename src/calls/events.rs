//! What happens to calls, as events. They are made of the journal's records, in the transaction that moves these into the
//! database: exactly once, and in the order of each call.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{CallAndDecision, Decided, Seen, happened};
use crate::api::check::show_time;
use crate::api::{Field, Null, Record};
use crate::base::ids::{IdSource, TenantId};
use crate::base::role::Roles;
use crate::db::{self, Tx, db_tx};
use crate::events::{Data, Draft, Kind, outbox};

pub(super) const CALL: Field = Field::id("call_id", "The call.").server();
const DIRECTION: Field =
    Field::one_of("direction", &["inbound", "internal", "outbound"], "How it came to us.").server();
const DID: Field = told("did", 80, "The number as dialled.");
const CALLER: Field = told("caller_number", 80, "The caller's number; null: withheld.");
const NAME: Field = told("caller_name", 200, "The caller's name.");
const UNIQUEID: Field = told("uniqueid", 150, "Asterisk's uniqueid of the channel.");
const LINKEDID: Field = told("linkedid", 150, "Asterisk's linkedid: the same for all channels of a call.");
const ACTION: Field =
    told("action", 20, "What it does: queue, endpoint, ivr, external, voicemail, hangup ...");
const TARGET: Field = told("target", 150, "To what, as Asterisk names it.");
const REASON: Field = told("reason", 40, "Why: a short stable code, such as static, closed, blocked.");
const STARTED: Field = Field::time("started_at", "When it began.").server();

pub(super) const fn told(name: &'static str, max: usize, doc: &'static str) -> Field {
    Field::maybe(name, max, doc).server()
}

const fn length(name: &'static str, doc: &'static str) -> Field {
    Field::int(name, 0, i64::MAX, doc).nullable(Null::Null).server()
}

static CALL_STARTED: [Field; 8] = [CALL, DIRECTION, DID, CALLER, NAME, UNIQUEID, LINKEDID, STARTED];
static CALL_ROUTED: [Field; 6] = [
    CALL,
    told(
        "hook",
        10,
        "Which question of the dialplan this answers: route, next, ivr, script, internal, callback.",
    ),
    ACTION,
    TARGET,
    REASON,
    Field::time("decided_at", "When.").server(),
];
static CALL_ENDED: [Field; 22] = [
    CALL,
    DIRECTION,
    DID,
    CALLER,
    NAME,
    UNIQUEID,
    LINKEDID,
    ACTION,
    TARGET,
    REASON,
    STARTED,
    Field::time("answered_at", "When it was answered.").nullable(Null::Null).server(),
    Field::time("ended_at", "When it ended.").nullable(Null::Null).server(),
    told(
        "ended_by",
        20,
        "Who told of the end: hook; late (kept by Asterisk while the service was away); legs (Asterisk's own records); \
         live (Asterisk's events); lost (nobody).",
    ),
    length("cause", "Q.850 cause."),
    told("disposition", 20, "How it ended, in Asterisk's words; null: nobody saw it."),
    length("duration_ms", "Whole length in milliseconds."),
    length("billed_ms", "Answered length in milliseconds."),
    told("answered_by", 120, "The channel that talked to the caller last, or was called last."),
    told("dial_status", 30, "Asterisk's DIALSTATUS."),
    told("queue_status", 30, "Asterisk's QUEUESTATUS."),
    told("voicemail_status", 30, "Asterisk's VMSTATUS."),
];

/// The types of events about calls.
pub fn kinds() -> Vec<Kind> {
    let kind = |name: &'static str, doc: &'static str, data| Kind {
        name: name.into(),
        doc: doc.into(),
        key: "call:<call_id>".into(),
        data,
        readers: Roles::NO_AGENTS,
        own: None,
        chapter: "calls".into(),
    };
    let mut all = vec![
        kind(
            "call.started",
            "A call came in, or a phone dialled.",
            Data::Fields("CallStarted", &CALL_STARTED),
        ),
        kind(
            "call.routed",
            "It was decided where a call goes: first, and after each destination that reached nobody.",
            Data::Fields("CallRouted", &CALL_ROUTED),
        ),
        kind(
            "call.emergency",
            "Somebody dials an emergency number, which is the target; beside call.routed.",
            Data::Fields("CallRouted", &CALL_ROUTED),
        ),
        kind(
            "call.ended",
            "A call is over. Told again with what is true when a call that had been given up as lost ended otherwise.",
            Data::Fields("CallEnded", &CALL_ENDED),
        ),
        kind(
            "call.missed",
            "A call from outside is over and nobody answered it; beside call.ended. Not told where nobody saw whether it was \
             answered.",
            Data::Fields("CallEnded", &CALL_ENDED),
        ),
    ];
    all.extend(happened::kinds(kind));
    all
}

/// Events of one batch of records, tenant by tenant.
#[derive(Debug, Default)]
pub(super) struct Tells {
    drafts: BTreeMap<TenantId, Vec<Draft>>,
}

/// A call as [`CALL_ENDED`] tells it.
#[derive(sqlx::FromRow)]
struct Over {
    id: String,
    tenant_id: String,
    direction: String,
    did: String,
    caller_number: String,
    caller_name: String,
    uniqueid: String,
    linkedid: String,
    action: String,
    target: String,
    reason: String,
    started_at: i64,
    answered_at: Option<i64>,
    ended_at: Option<i64>,
    ended_by: String,
    cause: Option<i64>,
    disposition: String,
    duration_ms: Option<i64>,
    billed_ms: Option<i64>,
    answered_by: String,
    dial_status: String,
    queue_status: String,
    voicemail_status: String,
}

/// A text as the API shows it: nothing is null.
pub(super) fn some(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

pub(super) fn fields<const N: usize>(of: [(&str, Value); N]) -> Record {
    of.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl Tells {
    fn add(&mut self, tenant: Option<&TenantId>, id: &str, (kind, at_us): (&str, i64), data: Record) {
        // Calls to nobody's numbers tell nobody.
        let Some(tenant) = tenant else { return };
        let draft = Draft { kind: kind.to_owned(), key: format!("call:{id}"), at_us, owners: None, data };
        self.drafts.entry(tenant.clone()).or_default().push(draft);
    }

    pub(super) fn began(&mut self, call: &CallAndDecision) {
        let s = &call.started;
        let data = fields([
            ("call_id", s.id.as_str().into()),
            ("direction", s.direction.as_str().into()),
            ("did", some(&s.did)),
            ("caller_number", some(&s.caller)),
            ("caller_name", some(&s.caller_name)),
            ("uniqueid", some(&s.uniqueid)),
            ("linkedid", some(&s.linkedid)),
            ("started_at", show_time(s.at_us).into()),
        ]);
        self.add(call.decided.tenant.as_ref(), s.id.as_str(), ("call.started", s.at_us), data);
        self.routed(&call.decided);
    }

    pub(super) fn routed(&mut self, decided: &Decided) {
        let data = fields([
            ("call_id", decided.id.as_str().into()),
            ("hook", some(&decided.hook)),
            ("action", some(&decided.action)),
            ("target", some(&decided.target)),
            ("reason", some(&decided.reason)),
            ("decided_at", show_time(decided.at_us).into()),
        ]);
        let (tenant, id) = (decided.tenant.as_ref(), decided.id.as_str());
        if decided.reason == "emergency" {
            self.add(tenant, id, ("call.emergency", decided.at_us), data.clone());
        }
        self.add(tenant, id, ("call.routed", decided.at_us), data);
    }

    pub(super) fn seen(&mut self, seen: &Seen) {
        let draft = Draft {
            kind: seen.kind.clone(),
            key: seen.key.clone(),
            at_us: seen.at_us,
            owners: None,
            data: seen.data.clone(),
        };
        self.drafts.entry(seen.tenant.clone()).or_default().push(draft);
    }

    /// Calls whose end changed: their rows are read, for an end says little of its call.
    pub(super) async fn ended(&mut self, tx: &mut Tx, ids: &[String]) -> sqlx::Result<()> {
        const READ: &str = "SELECT id, tenant_id, direction, did, caller_number, caller_name, uniqueid, linkedid, \
             action, target, reason, started_at, answered_at, ended_at, ended_by, cause, disposition, duration_ms, \
             billed_ms, answered_by, dial_status, queue_status, voicemail_status FROM calls";
        for piece in db::pieces(ids.len()).map(|piece| &ids[piece]) {
            let sql = format!("{READ} WHERE id IN ({}) ORDER BY id", db::places(piece.len()));
            let rows: Vec<Over> = db_tx!(&mut *tx, |c| {
                let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
                for id in piece {
                    query = query.bind(id);
                }
                query.fetch_all(c).await
            })?;
            rows.iter().for_each(|row| self.over(row));
        }
        Ok(())
    }

    fn over(&mut self, row: &Over) {
        let time = |us: Option<i64>| us.map_or(Value::Null, |us| show_time(us).into());
        let data = fields([
            ("call_id", row.id.as_str().into()),
            ("direction", row.direction.as_str().into()),
            ("did", some(&row.did)),
            ("caller_number", some(&row.caller_number)),
            ("caller_name", some(&row.caller_name)),
            ("uniqueid", some(&row.uniqueid)),
            ("linkedid", some(&row.linkedid)),
            ("action", some(&row.action)),
            ("target", some(&row.target)),
            ("reason", some(&row.reason)),
            ("started_at", show_time(row.started_at).into()),
            ("answered_at", time(row.answered_at)),
            ("ended_at", time(row.ended_at)),
            ("ended_by", some(&row.ended_by)),
            ("cause", json!(row.cause)),
            ("disposition", some(&row.disposition)),
            ("duration_ms", json!(row.duration_ms)),
            ("billed_ms", json!(row.billed_ms)),
            ("answered_by", some(&row.answered_by)),
            ("dial_status", some(&row.dial_status)),
            ("queue_status", some(&row.queue_status)),
            ("voicemail_status", some(&row.voicemail_status)),
        ]);
        let tenant = TenantId::parse(&row.tenant_id).ok();
        let at_us = row.ended_at.unwrap_or(row.started_at);
        let was_answered = row.answered_at.is_some() || row.disposition == "ANSWERED";
        // An end that nobody saw, of a call of which nobody knows whether it was answered.
        let is_unknown = row.disposition.is_empty() && matches!(row.ended_by.as_str(), "live" | "lost");
        let is_missed = row.direction == "inbound" && !was_answered && !is_unknown;
        self.add(tenant.as_ref(), &row.id, ("call.ended", at_us), data.clone());
        if is_missed {
            self.add(tenant.as_ref(), &row.id, ("call.missed", at_us), data);
        }
    }

    /// Writes them, and returns how far the tenants' events go then. A tenant that was purged has none any more.
    pub(super) async fn write(
        self,
        tx: &mut Tx,
        ids: &IdSource,
        now_us: i64,
    ) -> sqlx::Result<Vec<(TenantId, i64)>> {
        let mut told = Vec::with_capacity(self.drafts.len());
        let tenants: Vec<&TenantId> = self.drafts.keys().collect();
        let mut living = Vec::new();
        for piece in db::pieces(tenants.len()).map(|piece| &tenants[piece]) {
            let sql = format!("SELECT id FROM tenants WHERE id IN ({})", db::places(piece.len()));
            let found: Vec<String> = db_tx!(&mut *tx, |c| {
                let mut query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
                for tenant in piece {
                    query = query.bind(tenant.as_str());
                }
                query.fetch_all(c).await
            })?;
            living.extend(found);
        }
        // In the order of the tenants, so that two processes never wait for each other crosswise.
        for (tenant, drafts) in
            self.drafts.iter().filter(|(tenant, _)| living.iter().any(|id| id == tenant.as_str()))
        {
            let position = outbox::append(tx, ids, (tenant, now_us), drafts).await?;
            told.push((tenant.clone(), position));
        }
        Ok(told)
    }
}
