//! `GET /queues/report`: statistics by intervals.

use std::collections::HashSet;

use chrono_tz::Tz;
use serde_json::{Value, json};

use super::live::own_names;
use crate::api::check::{read_time, show_time};
use crate::api::{
    Action, Call, Doing, Fault, Field, Handler, Operation, Output, Parameter, Problem, Reply, Shape, rules,
};
use crate::base::ids::TenantId;
use crate::base::role::Roles;
use crate::config::limits::queues as limits;
use crate::db::{Db, db_read};
use crate::queues::log_store;
use crate::queues::report::{Agent, Ask, Interval, Queue, Slot, mean, report};
use crate::tenants;

static QUEUE_LINES: Shape = Shape {
    bytes: usize::MAX,
    check: |_, _| {},
    schema: include_str!("queue_lines.json"),
    example: r#"[{"from":"2026-11-22T23:00:00Z","to":"2026-11-23T23:00:00Z","queue":"support","offered":10,"answered":7,
        "answered_in_time":6,"transferred":1,"abandoned":1,"abandoned_short":1,"timed_out":1,"left_by_key":0,"left_empty":0,
        "unfinished":0,"service_level_s":20,"service_level_of_answered":85.71,"service_level_of_offered":66.67,
        "wait_average_ms":12000,"wait_longest_ms":61000,"answer_average_ms":9000,"talk_average_ms":95000,
        "talk_total_ms":665000}]"#,
};

static AGENT_LINES: Shape = Shape {
    bytes: usize::MAX,
    check: |_, _| {},
    schema: include_str!("agent_lines.json"),
    example: r#"[{"from":"2026-11-22T23:00:00Z","to":"2026-11-23T23:00:00Z","queue":"support","agent":"101","answered":7,
        "transferred":1,"missed":2,"talk_average_ms":95000,"talk_total_ms":665000}]"#,
};

const INTERVALS: &[&str] = &["15m", "30m", "1h", "1d", "all"];

static REPORT: &[Field] = &[
    Field::time("from", "Callers who entered from then on."),
    Field::time("to", "Callers who entered before then."),
    Field::one_of("interval", INTERVALS, "The length of the intervals."),
    Field::rule("zone", &rules::ZONE, "The tenant's time zone, in which days and hours begin."),
    Field::int(
        "short_abandon_s",
        0,
        limits::SHORT_ABANDON_MOST_S,
        "Who gave up before, in seconds, is counted apart.",
    ),
    Field::json(
        "queues",
        &QUEUE_LINES,
        "Lines by time and queue. Intervals in which nobody entered have none.",
    ),
    Field::json("agents", &AGENT_LINES, "Lines by time, queue and endpoint."),
];

pub(super) fn action() -> Action {
    let parameter = |field| Parameter { field, required: false };
    let from = Field::time("from", "Callers who entered from then on.").example("\"2026-11-23T00:00:00Z\"");
    let short = "Seconds; who gave up before is counted apart, as `abandoned_short`. 5 unless told.";
    Action {
        operation: Operation {
            doc: "Made of Asterisk's queue_log. A caller counts where the caller entered, with everything that came of it; \
                  one who enters again counts again. `offered` = `answered` + `abandoned` + `abandoned_short` + `timed_out` + \
                  `left_by_key` + `left_empty` + `unfinished` (those whose end is not known: they wait, or Asterisk stopped). \
                  Two service levels, in percent: `service_level_of_answered` is `answered_in_time` ÷ `answered`, which is \
                  app_queue's own; `service_level_of_offered` is `answered_in_time` ÷ (`offered` − `abandoned_short`). \
                  `answer_average_ms` is the average speed of answer (ASA): waits of answered calls ÷ `answered`. \
                  `wait_average_ms` and `wait_longest_ms` are of all who have left. `missed` is how often a phone rang in \
                  vain. Lines of agents are of the endpoint that answered; agents see only those of endpoints that they are \
                  members at."
                .into(),
            query: vec![
                Parameter { field: from, required: true },
                parameter(Field::time("to", "Callers who entered before then; now unless told.")),
                parameter(
                    Field::one_of("interval", INTERVALS, "The length of the intervals; `1d` unless told; `all`: one line for the whole time.")
                        .example("\"1h\""),
                ),
                parameter(Field::rule("queue", &rules::NAME, "Only this queue, by its name.").example("\"support\"")),
                parameter(
                    Field::text("agent", 1, limits::LOG_AGENT_CHARACTERS, "Only this endpoint's lines, by its name.")
                        .example("\"101\""),
                ),
                parameter(Field::int("short_abandon_s", 0, limits::SHORT_ABANDON_MOST_S, short).example("5")),
            ],
            output: Output::Object("QueueReport", REPORT, 200),
            deadline: limits::REPORT_TIME,
            ..Operation::new("queues.report", "GET", "/queues/report", "Read how queues did", Roles::ALL)
        },
        handler: Handler::read(show),
    }
}

async fn levels(db: &Db, tenant: &TenantId) -> sqlx::Result<Vec<(String, i64)>> {
    const SQL: &str = "SELECT name, service_level_s FROM queues WHERE tenant_id = ?";
    db_read!(db, |p| sqlx::query_as(SQL).bind(tenant.as_str()).fetch_all(p).await)
}

/// The query, but for what the tenant has to say.
fn asked(call: &Call) -> Result<Ask, Problem> {
    let time = |name: &str| call.parameter(name).and_then(read_time);
    let interval = match call.parameter("interval") {
        Some("all") => None,
        given => Some(given.and_then(Interval::parse).unwrap_or(Interval::Day)),
    };
    let (from_us, to_us) = (time("from").unwrap_or_default(), time("to").unwrap_or_else(|| call.now_us()));
    if to_us <= from_us {
        return Err(Problem::bad_query(vec![Fault::parameter("to", "This must be behind `from`.")]));
    }
    let length_us = interval.map(|interval| i64::from(interval.minutes()) * 60_000_000);
    if length_us.is_some_and(|length_us| (to_us - from_us) / length_us >= limits::REPORT_INTERVALS) {
        let why = format!("At most {} intervals; take longer ones, or less time.", limits::REPORT_INTERVALS);
        return Err(Problem::bad_query(vec![Fault::parameter("interval", why)]));
    }
    let short_s = call.parameter("short_abandon_s").and_then(|text| text.parse().ok());
    let short_us = short_s.unwrap_or(limits::SHORT_ABANDON_S) * 1_000_000;
    Ok(Ask { from_us, to_us, interval, zone: Tz::UTC, short_us, levels: Default::default() })
}

fn show(call: &Call) -> Doing<'_, Result<Reply, Problem>> {
    Box::pin(async move {
        let (tenant, caller, mut ask) = (call.tenant()?, call.caller()?, asked(call)?);
        let zone = tenants::store::get(&call.db, tenant).await?.map(|tenant| tenant.zone);
        ask.zone = zone.and_then(|zone| zone.parse().ok()).unwrap_or(Tz::UTC);
        ask.levels = levels(&call.db, tenant).await?.into_iter().collect();
        let own = match Roles::ONLY_AGENTS.has(caller.role) {
            true => Some(own_names(&call.db, tenant, caller.user()).await?),
            false => None,
        };
        let around = (ask.from_us - limits::REPORT_AROUND_US, ask.to_us + limits::REPORT_AROUND_US);
        let queue = call.parameter("queue").unwrap_or_default();
        let rows = log_store::between(&call.db, tenant, queue, around).await?;
        if i64::try_from(rows.len()).unwrap_or(i64::MAX) > limits::REPORT_ROWS {
            let why = "Too much has happened in this time; ask for less of it, or for one queue.";
            return Err(Problem::bad_query(vec![Fault::parameter("to", why)]));
        }
        // Counting may take longer than others should wait for this thread.
        let count = tokio::task::spawn_blocking(move || (report(&rows, &ask), ask));
        let (report, ask) = count.await.map_err(Problem::internal)?;
        let queues: Vec<Value> =
            report.queues.iter().map(|(slot, did)| queue_line(slot, did, &ask)).collect();
        let agents = report
            .agents
            .iter()
            .filter(|(slot, _)| is_shown(&slot.agent, call.parameter("agent"), own.as_ref()));
        Ok(Reply::json(json!({
            "from": show_time(ask.from_us), "to": show_time(ask.to_us), "interval": ask.interval.map_or("all", Interval::as_str),
            "zone": ask.zone.name(), "short_abandon_s": ask.short_us / 1_000_000, "queues": queues,
            "agents": agents.map(|(slot, did)| agent_line(slot, did)).collect::<Vec<Value>>(),
        })))
    })
}

fn is_shown(agent: &str, wanted: Option<&str>, own: Option<&HashSet<String>>) -> bool {
    wanted.is_none_or(|wanted| wanted == agent) && own.is_none_or(|own| own.contains(agent))
}

fn ms(us: Option<i64>) -> Option<i64> {
    us.map(|us| us / 1_000)
}

fn queue_line(slot: &Slot, did: &Queue, ask: &Ask) -> Value {
    json!({
        "from": show_time(slot.from_us), "to": show_time(slot.to_us), "queue": slot.queue,
        "offered": did.offered, "answered": did.answered, "answered_in_time": did.in_time,
        "transferred": did.transferred, "abandoned": did.abandoned, "abandoned_short": did.abandoned_short,
        "timed_out": did.timed_out, "left_by_key": did.left_by_key, "left_empty": did.left_empty,
        "unfinished": did.unfinished,
        "service_level_s": ask.levels.get(&slot.queue).copied().unwrap_or(limits::SERVICE_LEVEL_S),
        "service_level_of_answered": did.level_of_answered(),
        "service_level_of_offered": did.level_of_offered(),
        "wait_average_ms": ms(mean(did.wait_us, did.left())),
        "wait_longest_ms": did.longest_us / 1_000,
        "answer_average_ms": ms(mean(did.answered_wait_us, did.answered)),
        "talk_average_ms": ms(mean(did.talks.1, did.talks.0)), "talk_total_ms": did.talks.1 / 1_000,
    })
}

fn agent_line(slot: &Slot, did: &Agent) -> Value {
    json!({
        "from": show_time(slot.from_us), "to": show_time(slot.to_us), "queue": slot.queue, "agent": slot.agent,
        "answered": did.answered, "transferred": did.transferred, "missed": did.missed,
        "talk_average_ms": ms(mean(did.talks.1, did.talks.0)), "talk_total_ms": did.talks.1 / 1_000,
    })
}
