//! What happens to living calls, as events: made of what Asterisks tell, and of commands.

use serde_json::{Value, json};

use super::Seen;
use super::events::{CALL, fields, some, told};
use super::table::{Change, Fact};
use crate::api::check::show_time;
use crate::api::{Field, Null, Record, rules};
use crate::base::ids::{Id, Name, TenantId};
use crate::events::{Data, Kind};

const ENDPOINT: Field = Field::rule("endpoint", &rules::NAME, "The endpoint; null: a line of the carrier's.")
    .nullable(Null::Null)
    .server();
const CHANNEL: Field = told("channel", 120, "Its channel.");
const NUMBER: Field = told("caller_number", 80, "The number of who is at the other end; null: withheld.");
const NAME: Field = told("caller_name", 200, "The name of who is at the other end.");
const QUEUE: Field = told("queue", 150, "The queue the call waits or waited in.");
const AT: Field = Field::time("at", "When, by Asterisk's clock.").server();

static PHONE: [Field; 7] = [CALL, ENDPOINT, CHANNEL, NUMBER, NAME, QUEUE, AT];
static TRANSFERRED: [Field; 9] = [
    CALL,
    ENDPOINT,
    CHANNEL,
    NUMBER,
    NAME,
    QUEUE,
    AT,
    told("to", 150, "To whom: the number or extension, or the channel of who was asked first."),
    Field::flag("attended", "Whether who is called was asked first.").server(),
];
static PARKED: [Field; 3] = [CALL, Field::int("slot", 0, 9_999, "The slot.").server(), AT];
static GAP: [Field; 3] = [
    told("asterisk", 64, "The Asterisk, as the settings name it."),
    Field::time("from", "Since when nothing was heard of it.").server(),
    Field::time("to", "Until when.").server(),
];

/// Their types; `kind` makes one of a name, a text and its data.
pub(super) fn kinds(kind: impl Fn(&'static str, &'static str, Data) -> Kind) -> Vec<Kind> {
    let phone = || Data::Fields("CallPhone", &PHONE);
    let mut gap = kind(
        "call.gap",
        "Nothing was heard of an Asterisk for a while: what happened to its calls in between is told by where they are now, \
         and ends that nobody saw by call.ended. Whether a phone holds is not known then until it is next put on hold or taken back.",
        Data::Fields("CallGap", &GAP),
    );
    gap.key = "asterisk:<name>".into();
    vec![
        kind("call.ringing", "A phone rings for a call. Told for each phone.", phone()),
        kind("call.answered", "Somebody talks to the caller for the first time.", phone()),
        kind("call.held", "A phone holds the other side, or a command does for it.", phone()),
        kind("call.unheld", "It takes the other side back.", phone()),
        kind(
            "call.transferred",
            "A call was handed on: by a phone, or by a command.",
            Data::Fields("CallTransferred", &TRANSFERRED),
        ),
        kind(
            "call.parked",
            "A call hears music in a slot until somebody takes it.",
            Data::Fields("CallParked", &PARKED),
        ),
        gap,
    ]
}

fn seen(call: &Id, tenant: &TenantId, kind: &str, at_us: i64, data: Record) -> Seen {
    Seen { tenant: tenant.clone(), key: format!("call:{call}"), kind: kind.into(), at_us, data }
}

fn phone(fact: &Fact, call: &Id, tenant: &TenantId) -> Record {
    let queue = fact.queue.strip_prefix(&format!("{tenant}-")).unwrap_or(&fact.queue);
    fields([
        ("call_id", call.as_str().into()),
        ("endpoint", json!(fact.endpoint.as_ref().filter(|(of, _)| of == tenant).map(|(_, name)| name))),
        ("channel", some(&fact.channel)),
        ("caller_number", some(&fact.other.0)),
        ("caller_name", some(&fact.other.1)),
        ("queue", some(queue)),
        ("at", show_time(fact.at_us).into()),
    ])
}

/// What a change tells; `None`: nothing, or it is nobody's call, or nothing happened now.
pub fn of(change: &Change) -> Option<Seen> {
    let (kind, fact) = match change {
        Change::Ringing(fact) => ("call.ringing", fact),
        Change::Answered(fact) => ("call.answered", fact),
        Change::Held(fact) => ("call.held", fact),
        Change::Unheld(fact) => ("call.unheld", fact),
        Change::Transferred { fact, .. } => ("call.transferred", fact),
        Change::Talks(_) | Change::Idle(_) | Change::Bereft(_) | Change::Over(_) => return None,
    };
    if fact.stands {
        return None;
    }
    let (call, tenant) = (fact.call.as_ref()?, fact.tenant.as_ref()?);
    let mut data = phone(fact, call, tenant);
    if let Change::Transferred { to, attended, .. } = change {
        data.insert("to".into(), some(to));
        data.insert("attended".into(), (*attended).into());
    }
    Some(seen(call, tenant, kind, fact.at_us, data))
}

/// A call went into a slot.
pub fn parked(call: &Id, tenant: &TenantId, slot: u16, at_us: i64) -> Seen {
    let data =
        fields([("call_id", call.as_str().into()), ("slot", slot.into()), ("at", show_time(at_us).into())]);
    seen(call, tenant, "call.parked", at_us, data)
}

/// Nothing was heard of an Asterisk between two times, microseconds since 1970 UTC.
pub fn gap(tenant: &TenantId, asterisk: &str, (from_us, to_us): (i64, i64)) -> Seen {
    let data = fields([
        ("asterisk", asterisk.into()),
        ("from", show_time(from_us).into()),
        ("to", show_time(to_us).into()),
    ]);
    Seen {
        tenant: tenant.clone(),
        key: format!("asterisk:{asterisk}"),
        kind: "call.gap".into(),
        at_us: to_us,
        data,
    }
}

fn command(of: (&TenantId, &Id), endpoint: Option<&str>, channel: &str, at_us: i64) -> Record {
    fields([
        ("call_id", of.1.as_str().into()),
        ("endpoint", json!(endpoint)),
        ("channel", some(channel)),
        ("caller_number", Value::Null),
        ("caller_name", Value::Null),
        ("queue", Value::Null),
        ("at", show_time(at_us).into()),
    ])
}

/// A command holds the other side for an endpoint and its channel, or takes it back.
pub fn held(
    of: (&TenantId, &Id),
    (endpoint, channel): (Option<&Name>, &str),
    holds: bool,
    at_us: i64,
) -> Seen {
    let data = command(of, endpoint.map(Name::as_str), channel, at_us);
    seen(of.1, of.0, if holds { "call.held" } else { "call.unheld" }, at_us, data)
}

/// A command handed the call on: by an endpoint and its channel, to a number or extension.
pub fn transferred(
    of: (&TenantId, &Id),
    (endpoint, channel): (Option<&Name>, &str),
    (to, attended): (&str, bool),
    at_us: i64,
) -> Seen {
    let mut data = command(of, endpoint.map(Name::as_str), channel, at_us);
    data.insert("to".into(), some(to));
    data.insert("attended".into(), attended.into());
    seen(of.1, of.0, "call.transferred", at_us, data)
}
