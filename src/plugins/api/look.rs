//! A version is tried on an input, its file is loaded down, a shadow is compared with what decided.

use serde_json::{Value, json};

use super::act::handler;
use super::change::{prepared, seen, version, version_of};
use super::{
    CPU, FUEL, HOST_CALLS, LOG, LOG_CUT, MEMORY, OUTCOME, OUTPUT, RUNS, TEXT, TRAIL, TRAIL_CUT, Tools,
    VERSIONS, WALL, number, shapes, text,
};
use crate::api::store::{self as rows, Filter, List, Scope};
use crate::api::{
    Action, Audited, Body, Call, Field, Handler, Input, Null, Operation, Output, Problem, Record, Reply,
};
use crate::base::role::Roles;
use crate::config::limits::plugins as limits;
use crate::db::{Tx, db_read};
use crate::plugins::check::{Bench, unloaded};
use crate::plugins::{Run, Trigger, store};
use crate::sandbox::Limits;

static GIVEN: &[Field] = &[
    Field::json("input", &shapes::INPUT, "The call or event, as scripts see it. What is left out is filled in."),
    Field::json("settings", &shapes::SETTINGS, "Settings that differ from the plugin's.").default("{}"),
    Field::json("answers", &shapes::TRAIL, "What the host answers, in the shape of a run's `trail`.").default("[]"),
    Field::flag(
        "live",
        "Whether what `answers` does not answer is asked in earnest: the tenant's contacts are read, what is stored is \
         stored, requests are sent.",
    )
    .default("false"),
];

static REPORT: &[Field] = &[
    Field::id("run_id", "The run, among the plugin's runs.").server(),
    Field::int("version", 1, i64::MAX, "The version.").server(),
    OUTCOME,
    TEXT,
    OUTPUT,
    LOG,
    LOG_CUT,
    TRAIL,
    TRAIL_CUT,
    WALL,
    CPU,
    FUEL,
    MEMORY,
    HOST_CALLS,
    Field::json("limits", &shapes::LIMITS, "What a run may use.").server(),
];

const fn count(name: &'static str, doc: &'static str) -> Field {
    Field::int(name, 0, i64::MAX, doc).server()
}

static COMPARED: &[Field] = &[
    Field::int("version", 1, i64::MAX, "The shadow.").nullable(Null::Null).server(),
    Field::time("since", "Since when.").nullable(Null::Null).server(),
    count("compared", "Runs that were compared, of those that are kept."),
    count("differing", "How many of them differ."),
    count(
        "wall_us",
        "Microseconds of a shadow's run on average, waits not included: its answers are there already.",
    ),
    count("cpu_us", "Microseconds of a processor of a shadow's run on average."),
    count("fuel", "Instructions of a shadow's run on average."),
    count("other_wall_us", "Microseconds of the runs that decided, on average."),
    count("other_cpu_us", "Microseconds of a processor of the runs that decided, on average."),
    count("other_fuel", "Instructions of the runs that decided, on average."),
    Field::json("differences", &DIFFERENCES, "The last 20 that differ, as the plugin's runs show them.")
        .server(),
];

static DIFFERENCES: crate::api::Shape = crate::api::Shape {
    bytes: limits::ANSWERS_BYTES,
    check: |_, _| {},
    schema: r##"{"type":"array","items":{"$ref":"#/components/schemas/PluginRun"}}"##,
    example: "[]",
};

/// The operations.
pub(super) fn actions(tools: &Tools) -> Vec<Action> {
    vec![
        Action {
            operation: Operation {
                doc: "Runs a version once, within the limits of its kind, and says everything there is to say. Counts for \
                      nothing: it is not parked by that."
                    .into(),
                input: Input::New(GIVEN, &[]),
                output: Output::Object("PluginReport", REPORT, 200),
                deadline: limits::UPLOAD_TIME,
                problems: &[
                    (410, "source-gone", "The version's file is not kept any more; upload it again."),
                    (503, "plugins-off", "Plugins can't run on this machine."),
                ],
                ..Operation::new(
                    "plugin-versions.test",
                    "POST",
                    "/plugins/{plugin_id}/versions/{id}/test",
                    "Try a version",
                    Roles::ADMINS,
                )
            },
            handler: handler(tools, |c, t| Box::pin(try_out(c, t)), |c, tx| Box::pin(tried(c, tx))),
        },
        Action {
            operation: Operation {
                output: Output::Bytes("application/octet-stream"),
                problems: &[(410, "source-gone", "The version's file is not kept any more.")],
                ..Operation::new(
                    "plugin-versions.source",
                    "GET",
                    "/plugins/{plugin_id}/versions/{id}/source",
                    "Load a version's file down",
                    Roles::SUPERVISORS,
                )
            },
            handler: Handler::read(|call| Box::pin(source(call))),
        },
        Action {
            operation: Operation {
                output: Output::Object("PluginShadow", COMPARED, 200),
                ..Operation::new(
                    "plugins.shadow",
                    "GET",
                    "/plugins/{id}/shadow",
                    "Compare the shadow with what decided",
                    Roles::SUPERVISORS,
                )
            },
            handler: Handler::read(|call| Box::pin(shadow(call))),
        },
    ]
}

async fn try_out(call: &Call, tools: &Tools) -> Result<Record, Problem> {
    let (plugins, tenant) = (tools.plugins()?, call.tenant()?);
    let version = version_of(&version(call).await?)?;
    let plugin = seen(call, call.part("plugin_id")).await?;
    let bench = Bench::of(plugins, tenant, &plugin).await?;
    let value = |name: &str| call.body.get(name).unwrap_or(&Value::Null);
    let input = bench.input(value("input"), call.now_us())?;
    let program =
        plugins.program(tenant, (&bench.setup.id, bench.setup.kind), &version).await.map_err(unloaded)?;
    let host = bench.answers(value("answers"), value("live") == &Value::Bool(true));
    let report = bench.run(&program, input, Some(value("settings")), host).await?;
    let run = bench.kept(version.number, Trigger::Test, report, value("input").clone());
    let limits = json!(limits_of(&bench.setup.kind.limits()));
    Ok(Record::from_iter([("run".to_owned(), json!(run)), ("limits".to_owned(), limits)]))
}

fn limits_of(limits: &Limits) -> Value {
    let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    json!({"cpu_ms": ms(limits.cpu), "wall_ms": ms(limits.wall), "fuel": limits.fuel, "memory_bytes": limits.memory,
        "host_calls": limits.host_calls})
}

async fn tried(call: &Call, tx: &mut Tx) -> Result<Reply, Problem> {
    let run: Run = serde_json::from_value(prepared(call, "run").clone()).map_err(Problem::internal)?;
    store::insert_runs(tx, call.tenant()?, std::slice::from_ref(&run)).await?;
    let (report, cost) = (&run.report, &run.report.cost);
    let shown = json!({
        "run_id": run.id, "version": run.version, "outcome": report.outcome, "text": report.text, "output": report.output,
        "log": report.log, "log_cut": report.log_cut, "trail": report.trail, "trail_cut": report.trail_cut,
        "wall_us": cost.wall_us, "cpu_us": cost.cpu_us, "fuel": cost.fuel, "memory_bytes": cost.memory_bytes,
        "host_calls": cost.host_calls, "limits": prepared(call, "limits"),
    });
    let after = Record::from_iter([
        ("version".to_owned(), json!(run.version)),
        ("run_id".to_owned(), json!(run.id)),
        ("outcome".to_owned(), json!(report.outcome)),
    ]);
    Ok(Reply::json(shown).audited(Audited {
        action: "plugin-versions.test".into(),
        object_type: VERSIONS.name.into(),
        object_id: call.part("id").to_owned(),
        before: Record::new(),
        after,
    }))
}

async fn source(call: &Call) -> Result<Reply, Problem> {
    let (record, plugin) = (version(call).await?, seen(call, call.part("plugin_id")).await?);
    let version = version_of(&record)?;
    let bytes = store::source(&call.db, call.tenant()?, &version.id).await?;
    let bytes =
        bytes.ok_or_else(|| Problem::new(410, "source-gone", "The version's file is not kept any more."))?;
    let (kind, end) = match version.language {
        crate::sandbox::Language::Component => ("application/wasm", "wasm"),
        crate::sandbox::Language::JavaScript => ("text/javascript; charset=utf-8", "js"),
    };
    let name = format!("{}-{}.{end}", text(&plugin, "name"), version.number);
    let mut reply = Reply::empty();
    (reply.status, reply.body) = (200, Body::Bytes(kind.into(), Some(name), bytes.into()));
    Ok(reply)
}

#[derive(sqlx::FromRow)]
struct Sums {
    compared: i64,
    differing: i64,
    wall_us: i64,
    cpu_us: i64,
    fuel: i64,
    other_wall_us: i64,
    other_cpu_us: i64,
    other_fuel: i64,
}

async fn shadow(call: &Call) -> Result<Reply, Problem> {
    const SQL: &str = "SELECT COUNT(*) AS compared, CAST(COALESCE(SUM(differs), 0) AS SIGNED) AS differing, \
         CAST(COALESCE(SUM(wall_us), 0) AS SIGNED) AS wall_us, CAST(COALESCE(SUM(cpu_us), 0) AS SIGNED) AS cpu_us, \
         CAST(COALESCE(SUM(fuel), 0) AS SIGNED) AS fuel, \
         CAST(COALESCE(SUM(other_wall_us), 0) AS SIGNED) AS other_wall_us, \
         CAST(COALESCE(SUM(other_cpu_us), 0) AS SIGNED) AS other_cpu_us, \
         CAST(COALESCE(SUM(other_fuel), 0) AS SIGNED) AS other_fuel FROM plugin_runs \
         WHERE tenant_id = ? AND plugin_id = ? AND cause = 'shadow' AND version = ? AND created_at >= ?";
    let tenant = call.tenant()?;
    let plugin = seen(call, call.part("id")).await?;
    let (id, version) = (text(&plugin, "id"), number(&plugin, "shadow_version"));
    let since_us = crate::api::check::read_time(text(&plugin, "shadow_since")).unwrap_or(0);
    let sums: Sums = db_read!(&call.db, |p| sqlx::query_as(SQL)
        .bind(tenant.as_str())
        .bind(id)
        .bind(i64::from(version.unwrap_or(0)))
        .bind(since_us)
        .fetch_one(p)
        .await)?;
    let average = |sum: i64| sum / sums.compared.max(1);
    Ok(Reply::json(json!({
        "version": version,
        "since": plugin.get("shadow_since"),
        "compared": sums.compared,
        "differing": sums.differing,
        "wall_us": average(sums.wall_us),
        "cpu_us": average(sums.cpu_us),
        "fuel": average(sums.fuel),
        "other_wall_us": average(sums.other_wall_us),
        "other_cpu_us": average(sums.other_cpu_us),
        "other_fuel": average(sums.other_fuel),
        "differences": differences(call, id, version.unwrap_or(0), since_us).await?,
    })))
}

/// The last runs of a shadow that differ.
async fn differences(call: &Call, plugin: &str, version: u32, since_us: i64) -> Result<Vec<Record>, Problem> {
    let filter =
        |name: &str, operator, value| RUNS.field(name).map(|field| Filter { field, operator, value });
    let filters = [
        filter("trigger", "=", rows::Bind::text("shadow")),
        filter("version", "=", rows::Bind::Int(version.into())),
        filter("differs", "=", rows::Bind::Flag(true)),
        filter("created_at", ">=", rows::Bind::Int(since_us)),
    ];
    let sort = RUNS.field("created_at").ok_or_else(|| Problem::internal("runs have no time"))?;
    let list = List {
        sort,
        descending: true,
        limit: usize::try_from(limits::DIFFERENCES).unwrap_or(1),
        after: None,
        filters: filters.into_iter().flatten().collect(),
        search: None,
        whole: false,
    };
    let scope = Scope::tenant(call.tenant()?).below("plugin_id", plugin);
    Ok(rows::list(&call.db, &RUNS, &scope, &list).await?.records)
}
