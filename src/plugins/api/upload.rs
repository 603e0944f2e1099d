//! A file becomes a version: read, checked, compiled and tried before the transaction that writes it.

use serde_json::{Value, json};

use super::act::handler;
use super::change::{plugin, prepared, seen};
use super::{NOTE, PLUGINS, Tools, VERSIONS, number, text};
use crate::api::store::{self as rows, Scope};
use crate::api::{Action, Call, Input, Operation, Output, Parameter, Problem, Record, Reply, crud};
use crate::base::role::Roles;
use crate::config::limits::plugins as limits;
use crate::db::{Db, Tx, db_read, db_tx};
use crate::plugins::check::{Bench, off, refused};
use crate::plugins::{Run, store};
use crate::sandbox::{Inspected, Language, World, inspect};

const TYPES: [&str; 2] = ["application/wasm", "text/javascript"];

/// The operations.
pub(super) fn actions(tools: &Tools) -> Vec<Action> {
    vec![Action {
        operation: Operation {
            doc: "The body is a component of the plugin's world (`application/wasm`), or an ES module that exports `routeCall`, \
                  `onEvent` or `handleCall` (`text/javascript`). It is checked, compiled, set up once, and runs the plugin's \
                  examples: `examples` of the answer says how they went. An example that fails does not refuse the upload; it \
                  refuses the activation. Nothing else changes until the version is activated."
                .into(),
            query: vec![Parameter { field: NOTE, required: false }],
            input: Input::Raw(&TYPES, limits::COMPONENT_BYTES),
            output: Output::Record(&VERSIONS, 201),
            deadline: limits::UPLOAD_TIME,
            again: "The plugin has a version of this very file already: this one.",
            problems: &[
                (422, "malformed", "The file is cut off or no WebAssembly."),
                (422, "not-a-component", "It is a core module."),
                (422, "wrong-import", "It imports what there is not; each is named, with what serves instead."),
                (422, "no-export", "It is of another world, or exports nothing that is asked."),
                (422, "wrong-type", "A function of it has another type than the interface."),
                (422, "invalid", "Its code is not valid."),
                (422, "syntax-error", "The script can't be read: line and column are told."),
                (422, "grant-missing", "It asks for what the operator or the plugin's `grants` do not allow."),
                (422, "slow-router", "It is a router of more than 4 MiB, which the operator does not allow."),
                (422, "not-loadable", "It can't be set up: its start fails."),
                (422, "compile-timeout", "It was not compiled in time."),
                (422, "no-javascript", "This service has no JavaScript engine."),
                (503, "compiler-busy", "Other files are being compiled."),
            ],
            ..Operation::new(
                "plugin-versions.upload",
                "POST",
                "/plugins/{plugin_id}/versions",
                "Upload a version",
                Roles::ADMINS,
            )
        },
        handler: handler(tools, |c, t| Box::pin(prepare(c, t)), |c, tx| Box::pin(take(c, tx))),
    }]
}

/// The version of a plugin that has this file: its id, and whether the file is kept.
async fn same(db: &Db, tenant: &str, plugin: &str, digest: &str) -> sqlx::Result<Option<(String, bool)>> {
    const SQL: &str =
        "SELECT id, has_source FROM plugin_versions WHERE tenant_id = ? AND plugin_id = ? AND digest = ?";
    db_read!(db, |p| sqlx::query_as(SQL).bind(tenant).bind(plugin).bind(digest).fetch_optional(p).await)
}

/// As [`same`], in the transaction that holds the plugin's row.
async fn same_locked(
    tx: &mut Tx,
    tenant: &str,
    plugin: &str,
    digest: &str,
) -> sqlx::Result<Option<(String, bool)>> {
    const SQLITE: &str =
        "SELECT id, has_source FROM plugin_versions WHERE tenant_id = ? AND plugin_id = ? AND digest = ?";
    // As it is now, and not as it was when the transaction began.
    const MYSQL: &str = "SELECT id, has_source FROM plugin_versions WHERE tenant_id = ? AND plugin_id = ? AND digest = ? \
         LOCK IN SHARE MODE";
    let sql = tx.pick(SQLITE, MYSQL);
    db_tx!(tx, |c| sqlx::query_as(sql).bind(tenant).bind(plugin).bind(digest).fetch_optional(c).await)
}

async fn prepare(call: &Call, tools: &Tools) -> Result<Record, Problem> {
    let (plugins, tenant) = (tools.plugins()?, call.tenant()?);
    let plugin = seen(call, call.part("plugin_id")).await?;
    let bench = Bench::of(plugins, tenant, &plugin).await?;
    let language = match call.content_type.as_str() {
        "text/javascript" => Language::JavaScript,
        _ => Language::Component,
    };
    let inspected = read(call, language, bench.setup.kind).await?;
    let mut made = Record::from_iter([
        ("digest".to_owned(), json!(inspected.digest)),
        ("language".to_owned(), json!(language.as_str())),
        ("sdk".to_owned(), json!(inspected.sdk)),
        ("asked".to_owned(), json!(inspected.asked)),
        ("examples".to_owned(), json!([])),
        ("native_bytes".to_owned(), json!(0)),
    ]);
    let known = same(&call.db, tenant.as_str(), text(&plugin, "id"), &inspected.digest).await?;
    if matches!(known, Some((_, true))) {
        return Ok(made);
    }
    if language == Language::Component {
        // A script does not say; what it is not allowed is refused when it asks.
        bench.allowed(inspected.asked)?;
        bench.quick(call.raw.len())?;
    }
    let sandbox = plugins.parts.sandbox.as_ref().ok_or_else(off)?;
    let program = sandbox
        .load(call.raw.clone(), language, bench.setup.kind)
        .await
        .map_err(|refusal| refused(&refusal, language))?;
    made.insert("native_bytes".into(), json!(program.native_bytes()));
    bench.trial(&program).await?;
    let next = number(&plugin, "last_version").unwrap_or(0) + 1;
    let went = bench.examples(&program, next).await?;
    made.insert("examples".into(), went.iter().map(|one| one.shown.clone()).collect());
    made.insert("runs".into(), went.iter().map(|one| json!(one.run)).collect());
    Ok(made)
}

/// Looks into a file, not on a thread that serves others: it has up to 32 MiB.
async fn read(call: &Call, language: Language, kind: World) -> Result<Inspected, Problem> {
    let file = call.raw.clone();
    let looked = tokio::task::spawn_blocking(move || inspect(&file, language, kind));
    looked.await.map_err(Problem::internal)?.map_err(|refusal| refused(&refusal, language))
}

async fn take(call: &Call, tx: &mut Tx) -> Result<Reply, Problem> {
    let tenant = call.tenant()?;
    // Its row is held until the end: numbers are given one after the other.
    let plugin = plugin(call, tx, call.part("plugin_id")).await?;
    let id = text(&plugin, "id");
    let scope = Scope::tenant(tenant).below("plugin_id", id);
    let digest = text(&call.prepared, "digest");
    if let Some((version, has_source)) = same_locked(tx, tenant.as_str(), id, digest).await? {
        return again(call, tx, &scope, (&version, has_source)).await;
    }
    let next = number(&plugin, "last_version").unwrap_or(0) + 1;
    let version = call.ids.next().to_string();
    let mut values: Record = call.prepared.clone();
    values.remove("runs");
    values.insert("number".into(), json!(next));
    values.insert("size".into(), json!(call.raw.len()));
    values.insert("note".into(), json!(call.parameter("note")));
    values.insert("has_source".into(), json!(true));
    values.insert("created_by".into(), json!(call.caller()?.id()));
    rows::insert(tx, &VERSIONS, &scope, &version, &values, call.now_us()).await?;
    store::insert_source(tx, tenant, &version, &call.raw).await?;
    keep_runs(call, tx, next).await?;
    let counted = Record::from_iter([("last_version".to_owned(), json!(next))]);
    rows::update(tx, &PLUGINS, &Scope::tenant(tenant), id, &counted, call.now_us()).await?;
    let made = rows::get_locked(tx, &VERSIONS, &scope, &version).await?.unwrap_or_default();
    let place = format!("/api/v1/plugins/{id}/versions/{next}");
    let line = crud::line(&VERSIONS, "upload", version, Record::new(), made.clone());
    Ok(Reply::created(made, place).audited(line))
}

/// Keeps the runs of the examples, under the number that the version got.
async fn keep_runs(call: &Call, tx: &mut Tx, version: u32) -> Result<(), Problem> {
    let runs = prepared(call, "runs").as_array().cloned().unwrap_or_default();
    let runs: Result<Vec<Run>, _> = runs.into_iter().map(serde_json::from_value).collect();
    let runs: Vec<Run> =
        runs.map_err(Problem::internal)?.into_iter().map(|run| Run { version, ..run }).collect();
    Ok(store::insert_runs(tx, call.tenant()?, &runs).await?)
}

/// The version that has this file already; its file is kept again where it had gone.
async fn again(
    call: &Call,
    tx: &mut Tx,
    scope: &Scope<'_>,
    (version, has_source): (&str, bool),
) -> Result<Reply, Problem> {
    let before = rows::get_locked(tx, &VERSIONS, scope, version).await?.unwrap_or_default();
    if has_source {
        return Ok(Reply { unchanged: true, ..Reply::record(before) });
    }
    store::insert_source(tx, call.tenant()?, version, &call.raw).await?;
    let kept = Record::from_iter([("has_source".to_owned(), Value::Bool(true))]);
    rows::update(tx, &VERSIONS, scope, version, &kept, call.now_us()).await?;
    let after = rows::get_locked(tx, &VERSIONS, scope, version).await?.unwrap_or_default();
    let line = crud::line(&VERSIONS, "restore", version.to_owned(), before, after.clone());
    Ok(Reply::record(after).audited(line))
}
