//! `GET /events`: a tenant's stream by cursor.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Event, Events, PATTERN, Viewer, check_pattern, matches, outbox};
use crate::api::page::{Cursor, Position, fingerprint};
use crate::api::{
    Action, Call, Caller, Doing, Fault, Field, Handler, Kind, Operation, Output, Parameter, Problem, Reply,
    Rule, page,
};
use crate::base::ids::{Id, TenantId};
use crate::base::role::Roles;
use crate::config::limits::events as limits;

/// The id of an event.
pub static EVENT_ID: Rule = Rule {
    format: "event-id",
    pattern: "^evt_[0-9a-hjkmnp-tv-z]{26}$",
    max: 30,
    check: |text| match text.strip_prefix("evt_").map(Id::parse) {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err("This is no id of an event.".into()),
    },
    example: "evt_01kb2x8v9q3d5s7f1g4h6j8k0m",
};

/// An event as everybody outside gets it.
pub static ENVELOPE: [Field; 7] = [
    Field::rule("id", &EVENT_ID, "Its id; the same in every delivery of it.").server(),
    Field::rule("type", &PATTERN, "What happened.").example("\"call.ended\"").server(),
    Field::time("timestamp", "When it happened.").server(),
    Field::rule("tenant_id", &crate::api::rules::TENANT, "Whose it is.").server(),
    Field::text("key", 1, 120, "What it belongs to.").example("\"call:01kb2x8v9q3d5s7f1g4h6j8k0m\"").server(),
    Field::int("sequence", 1, i64::MAX, "Its number within the key, without gaps.").server(),
    DATA,
];

const DATA: Field = Field {
    name: "data",
    column: "data",
    doc: "What there is to say; by type, see the document's webhooks. `truncated` where it would be larger than 64 KiB.",
    kind: Kind::Object(limits::DATA_BYTES),
    example: "{}",
    ..Field::metadata()
}
.server();

/// What keys need a scope of to read events.
pub const CHAPTER: &str = "events";

/// `GET /events`
pub fn actions(events: &Arc<Events>) -> Vec<Action> {
    let parameter = |field| Parameter { field, required: false };
    let events = Arc::clone(events);
    vec![Action {
        operation: Operation {
            doc: "Everything that happened in the tenant and that the caller may see, in order. `page.next` is the cursor \
                  behind the last one looked at, for ?after=; it is there even when nothing is new, so that polling it \
                  misses nothing. Sockets take and give the same cursors. One that is too old gets 410 `cursor-too-old`: \
                  read afresh what you keep, and go on without `after`, from the first event still kept, or with \
                  ?after=latest."
                .into(),
            query: vec![
                parameter(Field::text("after", 1, 300, "The cursor of the page before; `latest`: what is new from now on.")),
                parameter(Field::int("limit", 1, limits::PAGE_MOST, "Events at most; 50 unless told.").example("50")),
                parameter(Field::text("types", 1, 2_000, "Types, such as `call.*,ticket.created`.").example("\"call.*\"")),
                parameter(Field::text("key", 1, 120, "Only what belongs to this.")),
            ],
            output: Output::Stream("Event", &ENVELOPE),
            own: None,
            problems: &[(410, "cursor-too-old", "Events behind the cursor are not kept any more.")],
            ..Operation::new("events.list", "GET", "/events", "List events", Roles::ALL)
        },
        handler: Handler::read(move |call| list(Arc::clone(&events), call)),
    }]
}

/// The text of a position in a tenant's stream.
pub fn seal(key: &page::Key, tenant: &TenantId, position: i64) -> String {
    key.seal(&Cursor {
        query: fingerprint(&["events", tenant.as_str()]),
        key: Position::Int(position),
        id: String::new(),
        back: false,
    })
}

/// The position that a cursor of a tenant's stream stands for.
///
/// # Errors
/// 400 when it is none.
pub fn open(key: &page::Key, tenant: &TenantId, text: &str) -> Result<i64, Problem> {
    match key.open(text, fingerprint(&["events", tenant.as_str()]))?.key {
        Position::Int(position) => Ok(position),
        Position::Text(_) => Err(Problem::bad_query(vec![Fault::parameter("after", "This is no cursor.")])),
    }
}

/// What a caller may see.
pub fn viewer(caller: &Caller) -> Viewer<'_> {
    Viewer { role: caller.role, id: caller.id().as_str(), scopes: caller.scopes.as_ref() }
}

/// A query, read.
struct Asked<'c> {
    limit: usize,
    patterns: Vec<&'c str>,
    key: Option<&'c str>,
}

impl Asked<'_> {
    fn wants(&self, event: &Event) -> bool {
        self.key.is_none_or(|key| key == event.key)
            && (self.patterns.is_empty() || self.patterns.iter().any(|p| matches(p, &event.kind)))
    }
}

fn read(call: &Call) -> Result<Asked<'_>, Problem> {
    let mut faults = Vec::new();
    let limit = call.parameter("limit").and_then(|text| text.parse().ok()).unwrap_or(limits::PAGE);
    let patterns: Vec<&str> =
        call.parameter("types").map(|text| text.split(',').collect()).unwrap_or_default();
    if patterns.len() > limits::PATTERNS {
        faults.push(Fault::parameter("types", format!("At most {} types.", limits::PATTERNS)));
    }
    faults.extend(
        patterns.iter().filter_map(|p| check_pattern(p).err()).map(|why| Fault::parameter("types", why)),
    );
    if faults.is_empty() {
        return Ok(Asked { limit, patterns, key: call.parameter("key") });
    }
    Err(Problem::bad_query(faults))
}

fn list(events: Arc<Events>, call: &Call) -> Doing<'_, Result<Reply, Problem>> {
    Box::pin(async move {
        let (tenant, asked) = (call.tenant()?, read(call)?);
        let viewer = viewer(call.caller()?);
        let (first, last) = outbox::bounds(&call.db, tenant).await?;
        let mut position = match call.parameter("after") {
            None => first - 1,
            Some("latest") => last,
            Some(text) => open(&call.cursors, tenant, text)?,
        };
        if position + 1 < first {
            return Err(Problem::new(
                410,
                "cursor-too-old",
                "Events behind this cursor are not kept any more: read afresh what you keep, and go on from ?after=latest.",
            ));
        }
        let (mut shown, mut looked_at): (Vec<Value>, usize) = (Vec::new(), 0);
        while shown.len() < asked.limit && looked_at < limits::LOOKED_AT {
            let some = outbox::after(&call.db, tenant, position, limits::READ).await?;
            let Some(end) = some.last().map(|event| event.position) else { break };
            looked_at += some.len();
            let mut seen =
                some.iter().filter(|event| asked.wants(event) && events.catalogue.sees(&viewer, event));
            for event in seen.by_ref().take(asked.limit - shown.len()) {
                shown.push(serde_json::from_str(&event.envelope()).map_err(Problem::internal)?);
                position = event.position;
            }
            if shown.len() < asked.limit {
                position = end;
            }
        }
        let next = seal(&call.cursors, tenant, position);
        Ok(Reply::json(json!({"data": shown, "page": {"next": next, "prev": null, "limit": asked.limit}})))
    })
}
