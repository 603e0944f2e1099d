//! `GET /calls/{id}/legs`: Asterisk's own records of a call.

use serde_json::{Value, json};

use super::CALLS;
use crate::api::check::show_time;
use crate::api::{Action, Call, Doing, Field, Handler, Null, Operation, Output, Problem, Reply, crud, store};
use crate::base::ids::Id;
use crate::base::role::Roles;
use crate::calls::cdr::Disposition;
use crate::calls::legs::time_us;
use crate::calls::legs_store::{self, Shown};

static LEG: &[Field] = &[
    Field::id(
        "call_id",
        "The call whose channel called; null: a channel that was called, and went on with another.",
    )
    .nullable(Null::Null),
    Field::text("uniqueid", 0, 150, "Asterisk's uniqueid of the channel that called."),
    Field::text("linkedid", 0, 150, "Asterisk's linkedid."),
    Field::int("sequence", 0, i64::MAX, "Asterisk's count of such records."),
    Field::text("channel", 0, 120, "The channel that called."),
    Field::maybe("dst_channel", 120, "The channel that was called."),
    Field::maybe("dst", 80, "The number as dialled; of a call that was transferred, the one it went to."),
    Field::maybe("application", 80, "What the channel did: Dial, Queue, VoiceMail ..."),
    Field::maybe("queue", 150, "The queue it went through last, as Asterisk names it."),
    Field::time("started_at", "When it began. Asterisk keeps whole seconds."),
    Field::time("answered_at", "When the channel that called was answered.").nullable(Null::Null),
    Field::time("ended_at", "When it ended."),
    Field::int("duration_s", 0, i64::MAX, "Its length in seconds."),
    Field::int("billed_s", 0, i64::MAX, "Its answered length in seconds."),
    Field::one_of("disposition", Disposition::WORDS, "How it ended."),
    Field::int("cause", 0, i64::MAX, "Q.850 cause, in the last leg of a call.").nullable(Null::Null),
];

pub(super) fn action() -> Action {
    Action {
        operation: Operation {
            doc: "Asterisk's own call records, where it writes them into the service's database (`cdr_adaptive_odbc`): one for \
                  each pair of channels, with those of calls that came together with this one. Of a call without any the list \
                  is empty. They come some seconds after the end of the call."
                .into(),
            output: Output::Objects("CallLeg", LEG),
            ..Operation::new("calls.legs", "GET", "/calls/{id}/legs", "Read the legs of a call", Roles::NO_AGENTS)
        },
        handler: Handler::read(show),
    }
}

fn show(call: &Call) -> Doing<'_, Result<Reply, Problem>> {
    Box::pin(async move {
        let (tenant, id) = (call.tenant()?, call.part(crud::ID));
        let found = store::get(&call.db, &CALLS, &store::Scope::tenant(tenant), id).await?;
        let record = found.ok_or_else(|| Problem::not_found(CALLS.one))?;
        let id = Id::parse(id).map_err(Problem::internal)?;
        let linkedid = record.get("linkedid").and_then(Value::as_str);
        let legs = legs_store::shown(&call.db, tenant, &id, linkedid).await?;
        Ok(Reply::json(json!({"data": legs.iter().map(leg).collect::<Vec<Value>>()})))
    })
}

fn leg(leg: &Shown) -> Value {
    let some = |text: &str| Some(text).filter(|text| !text.is_empty()).map(str::to_owned);
    let time = |text: &str| time_us(text).map(show_time);
    json!({
        "call_id": some(&leg.call_id), "uniqueid": leg.uniqueid, "linkedid": leg.linkedid, "sequence": leg.sequence,
        "channel": leg.channel, "dst_channel": some(&leg.dstchannel), "dst": some(&leg.dst),
        "application": some(&leg.lastapp), "queue": some(&leg.queue), "started_at": time(&leg.start),
        "answered_at": leg.answer.as_deref().and_then(time), "ended_at": time(&leg.end), "duration_s": leg.duration,
        "billed_s": leg.billsec, "disposition": leg.disposition, "cause": leg.cause,
    })
}
