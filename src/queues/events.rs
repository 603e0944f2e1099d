//! Callers who come into a queue and leave it, as events.

use serde_json::json;

use super::api::QUEUES;
use super::visit::How;
use crate::api::check::show_time;
use crate::api::{Field, Null, Record, rules};
use crate::config::limits::{queues as limits, routing};
use crate::events::{Data, Draft, Kind};

const QUEUE: Field = Field::id("queue_id", "The queue.").server();
const NAME: Field = Field::rule("queue", &rules::NAME, "Its name.").server();
const CALL: Field =
    Field::text("uniqueid", 0, limits::LOG_CALL_CHARACTERS, "Asterisk's uniqueid of the caller's channel.")
        .example("\"pbx-1795346497.33\"")
        .server();

static JOINED: [Field; 6] = [
    QUEUE,
    NAME,
    CALL,
    Field::maybe("caller_number", routing::TEXT_CHARS, "The caller's number; null: withheld.").server(),
    Field::int("position", 0, i64::MAX, "The caller's place in the line, from 1.").server(),
    Field::time("joined_at", "When.").server(),
];
static LEFT: [Field; 7] = [
    QUEUE,
    NAME,
    CALL,
    Field::one_of(
        "how",
        How::WORDS,
        "A member answered; the caller hung up; the wait was as long as it may be; the caller pressed a key; no member was \
         left to answer.",
    )
    .server(),
    Field::int("wait_ms", 0, i64::MAX, "How long the caller waited, in milliseconds.").server(),
    Field::maybe("agent", limits::LOG_AGENT_CHARACTERS, "The endpoint that answered.").example("\"101\"").server(),
    Field::time("left_at", "When.").nullable(Null::Null).server(),
];

/// The types of events about who waits.
pub fn kinds() -> Vec<Kind> {
    let kind = |name: &'static str, doc: &'static str, data| Kind {
        name: name.into(),
        doc: doc.into(),
        key: "queue:<queue_id>".into(),
        data,
        readers: QUEUES.may.read,
        own: None,
        chapter: "queues".into(),
    };
    vec![
        kind("queue.caller_joined", "A caller waits in a queue.", Data::Fields("QueueCallerJoined", &JOINED)),
        kind(
            "queue.caller_left",
            "A caller does not wait in a queue any more: told once, when answered or when the caller is gone.",
            Data::Fields("QueueCallerLeft", &LEFT),
        ),
    ]
}

/// A queue: its id and its name.
pub(super) type Which<'q> = (&'q str, &'q str);

fn draft(kind: &'static str, (id, name): Which<'_>, call: &str, at_us: i64, more: Record) -> Draft {
    let mut data = Record::from_iter([
        ("queue_id".to_owned(), json!(id)),
        ("queue".to_owned(), json!(name)),
        ("uniqueid".to_owned(), json!(call)),
    ]);
    data.extend(more);
    Draft { kind: kind.into(), key: format!("queue:{id}"), at_us, owners: None, data }
}

/// A caller has entered.
pub(super) fn joined(queue: Which<'_>, call: &str, at_us: i64, (number, position): (&str, i64)) -> Draft {
    let number: String = number.chars().take(routing::TEXT_CHARS).collect();
    let more = Record::from_iter([
        ("caller_number".to_owned(), json!(Some(number).filter(|number| !number.is_empty()))),
        ("position".to_owned(), json!(position)),
        ("joined_at".to_owned(), json!(show_time(at_us))),
    ]);
    draft("queue.caller_joined", queue, call, at_us, more)
}

/// A caller has left the line, after so many microseconds.
pub(super) fn left(
    queue: Which<'_>,
    call: &str,
    at_us: i64,
    (how, wait_us, agent): (How, i64, &str),
) -> Draft {
    let more = Record::from_iter([
        ("how".to_owned(), json!(how)),
        ("wait_ms".to_owned(), json!(wait_us / 1_000)),
        ("agent".to_owned(), json!(Some(agent).filter(|agent| !agent.is_empty()))),
        ("left_at".to_owned(), json!(show_time(at_us))),
    ]);
    draft("queue.caller_left", queue, call, at_us, more)
}
