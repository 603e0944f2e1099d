//! `GET /cdrs/stats`: how calls went, by intervals.

use chrono_tz::Tz;
use serde_json::{Map, Value, json};

use super::DIRECTIONS;
use crate::api::check::{read_time, show_time};
use crate::api::{
    Action, Call, Doing, Fault, Field, Handler, Null, Operation, Output, Parameter, Problem, Reply, Shape,
    rules,
};
use crate::base::ids::Id;
use crate::base::report::Interval;
use crate::base::role::Roles;
use crate::calls::stats::{Group, Sums};
use crate::calls::stats_store::{Ask, Slot, lines};
use crate::config::limits::calls as limits;
use crate::tenants;

static TOTAL: Shape = Shape {
    bytes: usize::MAX,
    check: |_, _| {},
    schema: include_str!("stats_total.json"),
    example: r#"{"calls":12,"answered":7,"unattended":1,"no_answer":2,"busy":1,"failed":1,"transferred":1,
        "asr_percent":58.33,"acd_s":95,"duration_total_s":840,"billed_total_s":730,"talk_total_s":665,"minutes":12.17}"#,
};

static LINES: Shape = Shape {
    bytes: usize::MAX,
    check: |_, _| {},
    schema: include_str!("stats_lines.json"),
    example: r#"[{"from":"2026-11-22T23:00:00Z","to":"2026-11-23T23:00:00Z","part":"support","calls":12,"answered":7,
        "unattended":1,"no_answer":2,"busy":1,"failed":1,"transferred":1,"asr_percent":58.33,"acd_s":95,
        "duration_total_s":840,"billed_total_s":730,"talk_total_s":665,"minutes":12.17}]"#,
};

static STATS: &[Field] = &[
    Field::time("from", "Calls that began from then on."),
    Field::time("to", "Calls that began before then."),
    Field::one_of("interval", Interval::WORDS, "The length of the intervals."),
    Field::rule("zone", &rules::ZONE, "The tenant's time zone, in which days and hours begin."),
    Field::one_of("group", Group::WORDS, "By what lines are parted, beside time.").nullable(Null::Null),
    Field::json("total", &TOTAL, "All lines together."),
    Field::json("lines", &LINES, "Lines by time and part. Intervals in which no call began have none."),
];

pub(super) fn action() -> Action {
    let parameter = |field| Parameter { field, required: false };
    let from = Field::time("from", "Calls that began from then on.").example("\"2026-11-23T00:00:00Z\"");
    Action {
        operation: Operation {
            doc: "Made of the call detail records; a call counts where it began. `calls` = `answered` (somebody talked to the \
                  caller) + `unattended` (voicemail, a menu, a message) + `no_answer` + `busy` + `failed`. `asr_percent`, the \
                  answer-seizure ratio, is `answered` ÷ `calls`. `acd_s`, the average call duration, is talk ÷ `answered`; \
                  where the talk of a call is not known, its answered length counts. `minutes` are those of the answered \
                  lengths. Agents see the calls they answered or made."
                .into(),
            query: vec![
                Parameter { field: from, required: true },
                parameter(Field::time("to", "Calls that began before then; now unless told.")),
                parameter(
                    Field::one_of("interval", Interval::WORDS, "The length of the intervals; `1d` unless told.")
                        .example("\"1h\""),
                ),
                parameter(
                    Field::one_of("group", Group::WORDS, "By what lines are parted, beside time; nothing unless told.")
                        .example("\"queue\""),
                ),
                parameter(
                    Field::one_of("direction", DIRECTIONS, "Only calls that came so.").example("\"inbound\""),
                ),
                parameter(Field::text("did", 1, 80, "Only calls to this number, as dialled.").example("\"+15550001000\"")),
                parameter(Field::rule("queue", &rules::NAME, "Only this queue, by its name.").example("\"support\"")),
                parameter(Field::rule("endpoint", &rules::NAME, "Only this endpoint, by its name.").example("\"101\"")),
                parameter(Field::id("agent", "Only this user.").example("\"01arz3ndektsv4rrffq69g5fav\"")),
            ],
            output: Output::Object("CdrStats", STATS, 200),
            deadline: limits::STATS_TIME,
            ..Operation::new("cdrs.stats", "GET", "/cdrs/stats", "Read how calls went", Roles::ALL)
        },
        handler: Handler::read(show),
    }
}

fn asked(call: &Call) -> Result<Ask<'_>, Problem> {
    let time = |name: &str| call.parameter(name).and_then(read_time);
    let interval = call.parameter("interval").and_then(Interval::parse).unwrap_or(Interval::Day);
    let (from_us, to_us) = (time("from").unwrap_or_default(), time("to").unwrap_or_else(|| call.now_us()));
    if to_us <= from_us {
        return Err(Problem::bad_query(vec![Fault::parameter("to", "This must be behind `from`.")]));
    }
    let length_us = i64::from(interval.minutes()) * 60_000_000;
    if from_us < 0 || (to_us - from_us) / length_us >= limits::STATS_INTERVALS {
        let why = format!("At most {} intervals; take longer ones, or less time.", limits::STATS_INTERVALS);
        return Err(Problem::bad_query(vec![Fault::parameter("interval", why)]));
    }
    let group = call.parameter("group").and_then(Group::parse);
    let named = [Group::Direction, Group::Did, Group::Queue, Group::Endpoint, Group::Agent];
    let only = named.into_iter().filter_map(|group| Some((group, call.parameter(group.as_str())?))).collect();
    Ok(Ask { from_us, to_us, interval, zone: Tz::UTC, group, only })
}

fn show(call: &Call) -> Doing<'_, Result<Reply, Problem>> {
    Box::pin(async move {
        let (tenant, caller, mut ask) = (call.tenant()?, call.caller()?, asked(call)?);
        let zone = tenants::store::get(&call.db, tenant).await?.map(|tenant| tenant.zone);
        ask.zone = zone.and_then(|zone| zone.parse().ok()).unwrap_or(Tz::UTC);
        if Roles::ONLY_AGENTS.has(caller.role) {
            // A key is nobody's.
            ask.only.push((Group::Agent, caller.user().map_or("", Id::as_str)));
        }
        let lines = lines(&call.db, tenant, &ask).await?;
        if lines.len() > limits::STATS_LINES {
            let why =
                format!("More than {} lines; take longer intervals, or less time.", limits::STATS_LINES);
            return Err(Problem::bad_query(vec![Fault::parameter("interval", why)]));
        }
        let mut total = Sums::default();
        lines.values().for_each(|sums| total.join(sums));
        Ok(Reply::json(json!({
            "from": show_time(ask.from_us), "to": show_time(ask.to_us), "interval": ask.interval,
            "zone": ask.zone.name(), "group": ask.group, "total": sums(&total),
            "lines": lines.iter().map(|(slot, sums)| line(slot, sums, &ask)).collect::<Vec<Value>>(),
        })))
    })
}

fn line((from_us, to_us, part): &Slot, of: &Sums, ask: &Ask<'_>) -> Value {
    let mut line = sums(of);
    let part = ask.group.map(|_| part).filter(|part| !part.is_empty());
    line.insert("from".to_owned(), show_time(*from_us).into());
    line.insert("to".to_owned(), show_time(*to_us).into());
    line.insert("part".to_owned(), json!(part));
    line.into()
}

fn sums(sums: &Sums) -> Map<String, Value> {
    let counts = [
        ("calls", sums.calls),
        ("answered", sums.answered),
        ("unattended", sums.unattended),
        ("no_answer", sums.no_answer),
        ("busy", sums.busy),
        ("failed", sums.failed),
        ("transferred", sums.transferred),
        ("duration_total_s", sums.duration_s),
        ("billed_total_s", sums.billed_s),
        ("talk_total_s", sums.talk_s),
    ];
    let mut line: Map<String, Value> =
        counts.into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
    line.insert("asr_percent".to_owned(), json!(sums.asr()));
    line.insert("acd_s".to_owned(), json!(sums.acd_s()));
    line.insert("minutes".to_owned(), json!(sums.minutes()));
    line
}
