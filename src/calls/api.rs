//! Calls, their traces, detail records and recordings over REST. All but a recording's legal hold is written by the
//! service alone.

mod control;
mod exports;
mod legs;
mod live;
mod stats;

pub use exports::EXPORTS;

use std::sync::Arc;

use serde_json::{Value, json};

use super::cdr::{Disposition, RecordingStatus};
use super::control::Control;
use super::recordings;
use crate::api::{
    Action, Call, Change, Doing, Field, Handler, Hooks, Input, May, Null, Operation, Output, Own, Problem,
    Reply, Resource, Shape, Tells, Verb, Who, check, crud, rules, store,
};
use crate::base::ids::TenantId;
use crate::base::role::Roles;
use crate::db::{Tx, db_read, db_tx};
use crate::storage::{self, Signer};

const DIRECTIONS: &[&str] = &["inbound", "internal", "outbound"];

const fn told(name: &'static str, max: usize, doc: &'static str) -> Field {
    Field::maybe(name, max, doc).server()
}

const fn length(name: &'static str, doc: &'static str) -> Field {
    Field::int(name, 0, i64::MAX, doc).nullable(Null::Null).server()
}

const fn moment(name: &'static str, doc: &'static str) -> Field {
    Field::time(name, doc).nullable(Null::Null).server()
}

/// Sees only what is the own.
const OWN: Option<Own> = Some(Own { roles: Roles::ONLY_AGENTS, columns: &["agent_id"], or_nobody: false });

/// `/calls`
pub static CALLS: Resource = Resource {
    name: "calls",
    one: "call",
    path: "/calls",
    doc: "Every call, with what was decided last and how it ended. ?ended_at=null lists the living ones. A call is here \
          some hundred milliseconds after it was decided.",
    table: "calls",
    source: "(SELECT calls.*, started_at AS created_at FROM calls)",
    updated: false,
    order: "-started_at",
    may: May::only_read(Roles::NO_AGENTS),
    fields: &[
        Field::one_of("direction", DIRECTIONS, "How it came to us.").server().filter(),
        told("did", 80, "The number as dialled.").filter().search(),
        told("caller_number", 80, "The caller's number; null: withheld.").filter().search(),
        told("caller_name", 200, "The caller's name.").search(),
        told("channel", 120, "Asterisk's channel."),
        told("uniqueid", 150, "Asterisk's uniqueid of the channel.").filter(),
        told("linkedid", 150, "Asterisk's linkedid: the same for all channels of a call.").filter(),
        told("language", 20, "Language of the channel."),
        told(
            "action",
            20,
            "What it did last: queue, endpoint, ivr, script, external, voicemail, playback, hangup, \
              fallback.",
        )
        .filter(),
        told("target", 150, "To what, as Asterisk names it.").filter(),
        told("reason", 40, "Why: a short stable code, such as static, closed, blocked.").filter(),
        Field::time("started_at", "When it began.").server().filter().sort(),
        moment("answered_at", "When it was answered.").filter(),
        moment("ended_at", "When it ended; null: it lives.").filter(),
        told(
            "ended_by",
            20,
            "Who told of the end: hook; late (kept by Asterisk while the service was away); legs (Asterisk's own \
             records); lost (nobody).",
        ),
        length("cause", "Q.850 cause."),
        told("disposition", 20, "How it ended, in Asterisk's words.").filter(),
        length("duration_ms", "Whole length in milliseconds."),
        length("billed_ms", "Answered length in milliseconds."),
        told("answered_by", 120, "The channel that talked to the caller last, or was called last."),
        length("talk_ms", "How long somebody talked to the caller, in milliseconds; null: not known."),
        Field::flag("transferred", "Whether it was handed on after somebody had answered.").server(),
        told("queue", 150, "The queue it went through last, as Asterisk names it."),
        told("dial_status", 30, "Asterisk's DIALSTATUS."),
        told("queue_status", 30, "Asterisk's QUEUESTATUS."),
        told("voicemail_status", 30, "Asterisk's VMSTATUS."),
        told("fallback", 40, "Why the dialplan took the operator's fallback."),
    ],
    ..Resource::PLAIN
};

/// `/cdrs`
pub static CDRS: Resource = Resource {
    name: "cdrs",
    one: "call detail record",
    path: "/cdrs",
    doc: "One record for each call that is over. It has the id of its call. A call that was transferred is one call from its \
          begin to its end: it tells where it went last and who was on the phone last, and its lengths are those of all parts. \
          A phone that asks the other one first makes a call of its own for that; `linkedid` joins both. A phone that \
          hands on whom it called itself ends its call with that. Agents see the calls they answered or made.",
    table: "cdrs",
    index: "cdrs_started",
    updated: false,
    order: "-started_at",
    may: May::only_read(Roles::ALL),
    own: OWN,
    fields: &[
        Field::id("call_id", "The call.").server().filter(),
        Field::text("linkedid", 0, 150, "Asterisk's linkedid.").server().filter(),
        Field::text("uniqueid", 0, 150, "Asterisk's uniqueid of the channel.").server().filter(),
        Field::one_of("direction", DIRECTIONS, "How it came to us.").server().filter(),
        told("did", 80, "The number as dialled.").filter().search(),
        told("caller_number", 80, "The caller's number; null: withheld.").filter().search(),
        told("caller_name", 200, "The caller's name.").search(),
        told("destination", 150, "Where it went last: the action and its target.")
            .example("\"queue support\""),
        told("channel", 120, "The caller's channel."),
        told("dst_channel", 120, "The channel that talked to the caller last; null: nobody did."),
        told("queue", 19, "The queue it went through last.").filter(),
        told(
            "endpoint",
            19,
            "The endpoint that talked to the caller last; of a call to the outside the one that dialled; where nobody \
             answered the one it went to last.",
        )
        .filter(),
        Field::id("agent_id", "The user of that endpoint, as a queue has it.").nullable(Null::Null).server().filter(),
        Field::id("contact_id", "Who called, or was called.").nullable(Null::Null).server().filter(),
        Field::id("recording_id", "Its recording.").nullable(Null::Null).server().filter(),
        Field::time("started_at", "When it began.").server().filter().sort(),
        moment("answered_at", "When it was answered.").filter(),
        Field::time("ended_at", "When it ended.").server().filter(),
        Field::int("duration_s", 0, i64::MAX, "Whole length in seconds.").server().filter(),
        Field::int("billed_s", 0, i64::MAX, "Answered length in seconds: from the first answer, a queue's music included.")
            .server()
            .filter(),
        length("talk_s", "Seconds that somebody talked to the caller, all parts together; null: not known."),
        Field::flag("transferred", "Whether it was handed on after somebody had answered.").server().filter(),
        Field::one_of("disposition", Disposition::WORDS, "How it ended.").server().filter(),
        length("cause", "Q.850 cause."),
        Field::metadata().server(),
    ],
    ..Resource::PLAIN
};

/// `/recordings`
pub static RECORDINGS: Resource = Resource {
    name: "recordings",
    one: "recording",
    path: "/recordings",
    doc: "Recorded calls. Reading one is put on record. One under legal hold can't be deleted. Agents see their own.",
    table: "call_recordings",
    index: "call_recordings_created",
    soft: true,
    reads_audited: true,
    may: May { read: Roles::ALL, create: Roles::NOBODY, update: Roles::ADMINS, remove: Roles::ADMINS },
    own: OWN,
    fields: &[
        Field::id("call_id", "The call.").server().filter(),
        told("linkedid", 150, "Asterisk's linkedid.").filter(),
        Field::id("agent_id", "The user who was on the phone.").nullable(Null::Null).server().filter(),
        Field::rule("queue", &rules::NAME, "The queue the call came through.")
            .nullable(Null::Empty)
            .server()
            .filter(),
        Field::one_of("status", RecordingStatus::WORDS, "How far it is.").server().filter(),
        Field::text("format", 0, 10, "File format.").example("\"wav\"").server(),
        Field::int("bytes", 0, i64::MAX, "Its length in bytes.").server(),
        Field::int("duration_ms", 0, i64::MAX, "Its length in milliseconds.").server(),
        told("sha256", 64, "SHA-256 of the file, in hexadecimal digits."),
        told("error", 200, "Why it failed."),
        Field::flag("legal_hold", "Must not be deleted, whatever its age.").filter(),
        Field::time("started_at", "When it began.").server().filter().sort(),
        moment("ended_at", "When it ended."),
        moment("expires_at", "When it is deleted of itself."),
        Field::metadata(),
    ],
    hooks: Hooks { before: Some(recording), after: Some(gone) },
    tells: Tells {
        key: ("call", "call_id"),
        kinds: &[
            ("call.recording.ready", "A call's recording is in the store."),
            (
                "call.recording.failed",
                "A call was to be recorded, and there is no recording of it; the reason is in error.",
            ),
        ],
        which: Some(|line| match &*line.action {
            "recordings.complete" => Some("call.recording.ready"),
            "recordings.fail" => Some("call.recording.failed"),
            _ => None,
        }),
        ..Tells::USUAL
    },
    ..Resource::PLAIN
};

static TRACE: Shape = Shape {
    bytes: usize::MAX,
    check: |_, _| {},
    schema: r#"{"type":"object"}"#,
    example: r#"{"hook":"route","steps":[{"check":"did","outcome":"known"}]}"#,
};
static TRACED: &[Field] = &[
    Field::text("hook", 1, 10, "Who asked: route, next, ivr, script, internal."),
    Field::time("at", "When."),
    Field::json("trace", &TRACE, "What was known, every check with its outcome, and the decision."),
];

/// What is no collection.
pub fn actions(signer: &Arc<Signer>, control: Option<&Arc<Control>>) -> Vec<Action> {
    let operation = Operation {
        id: "calls.trace".into(),
        method: "GET",
        path: "/calls/{id}/trace".into(),
        tag: "calls".into(),
        summary: "Read why a call went where it went".into(),
        doc: "Every decision about the call in its order, with every check that led to it.".into(),
        who: Who::Roles(Roles::NO_AGENTS),
        query: Vec::new(),
        input: Input::None,
        output: Output::Objects("CallTrace", TRACED),
        own: None,
        once: &[],
        problems: &[],
        again: "",
        deadline: Operation::DEADLINE,
    };
    let mut all = vec![
        Action { operation, handler: Handler::read(trace) },
        storage::api::action(&RECORDINGS, signer, recordings::stored),
        legs::action(),
        stats::action(),
    ];
    all.extend(exports::actions());
    all.extend(live::actions(control));
    all.extend(control::actions(control));
    all
}

fn trace(call: &Call) -> Doing<'_, Result<Reply, Problem>> {
    const SQL: &str = "SELECT hook, at, trace FROM call_traces WHERE call_id = ? AND tenant_id = ? \
         ORDER BY at, node_id, sequence";
    Box::pin(async move {
        let (tenant, id): (&TenantId, &str) = (call.tenant()?, call.part(crud::ID));
        if store::get(&call.db, &CALLS, &store::Scope::tenant(tenant), id).await?.is_none() {
            return Err(Problem::not_found(CALLS.one));
        }
        let rows: Vec<(String, i64, String)> =
            db_read!(&call.db, |p| sqlx::query_as(SQL).bind(id).bind(tenant.as_str()).fetch_all(p).await?);
        let data = rows
            .into_iter()
            .map(|(hook, at, trace)| {
                let trace: Value = serde_json::from_str(&trace).map_err(Problem::internal)?;
                Ok(json!({"hook": hook, "at": check::show_time(at), "trace": trace}))
            })
            .collect::<Result<Vec<Value>, Problem>>()?;
        Ok(Reply::json(json!({"data": data})))
    })
}

/// Has the sound of a deleted recording removed.
fn gone<'a>(call: &'a Call, tx: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    const SQL: &str = "UPDATE call_recordings SET remove_at = ? WHERE tenant_id = ? AND id = ?";
    Box::pin(async move {
        if change.verb == Verb::Remove {
            db_tx!(tx, |c| sqlx::query(SQL)
                .bind(call.now_us())
                .bind(call.tenant()?.as_str())
                .bind(&change.id)
                .execute(c)
                .await
                .map(drop)?);
        }
        Ok(())
    })
}

/// As [`super::cdr::CallRecording::may_delete`], on what the API has of it.
fn recording<'a>(_: &'a Call, _: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        if change.verb != Verb::Remove {
            return Ok(());
        }
        if change.before.get("legal_hold") == Some(&Value::Bool(true)) {
            return Err(Problem::conflict(
                "legal-hold",
                "The recording is under legal hold; it can't be deleted.",
            ));
        }
        if change.text("status") == RecordingStatus::Recording.as_str() {
            return Err(Problem::conflict(
                "still-recording",
                "The call is still being recorded; delete it afterwards.",
            ));
        }
        Ok(())
    })
}
