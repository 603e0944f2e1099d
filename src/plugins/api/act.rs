//! A version becomes the active one, the canary or the shadow; a plugin is rolled back, unparked, switched off and on.

use serde_json::{Value, json};

use super::change::{apply, numbered, plugin, prepared, seen, unchanged, version, version_of};
use super::{PLUGINS, Tools, number, text};
use crate::api::check::show_time;
use crate::api::{
    Action, Call, Doing, Fault, Field, Handler, Input, Operation, Output, Parameter, Problem, Record, Reply,
    rules,
};
use crate::base::role::Roles;
use crate::config::limits::plugins as limits;
use crate::db::Tx;
use crate::plugins::check::{Bench, unloaded};
use crate::plugins::{PluginStatus, events, park, store, ticketer};
use crate::sandbox::{Grants, Language, World};

type Codes = &'static [(u16, &'static str, &'static str)];

const FAILED: (u16, &str, &str) =
    (409, "examples-failed", "Examples fail; `force=true` does it all the same.");
const GONE: (u16, &str, &str) =
    (410, "source-gone", "The version's file is not kept any more; upload it again.");
const MISSING: (u16, &str, &str) = (422, "grant-missing", "It asks for what the plugin may not use.");
const UNFIT: (u16, &str, &str) = (422, "not-loadable", "It can't be set up.");
static READY: Codes = &[FAILED, GONE, MISSING, UNFIT];
const IS_ACTIVE: (u16, &str, &str) = (409, "is-active", "The version is the active one.");
static LOADED: Codes = &[IS_ACTIVE, GONE, MISSING, UNFIT];
static CANARIES: Codes = &[FAILED, IS_ACTIVE, GONE, MISSING, UNFIT];
static BACK: Codes = &[
    (409, "no-previous", "There is no version to go back to."),
    (409, "changed", "Somebody else was faster; look and try again."),
    GONE,
    MISSING,
    UNFIT,
];

static CANARY: &[Field] = &[
    Field::int("version", 1, i64::MAX, "The version, by its number."),
    Field::int("percent", 0, 100, "Of a hundred callers so many; a caller always gets the same version.")
        .default("0")
        .example("5"),
    Field::texts("numbers", limits::CANARY_NUMBERS, &rules::NUMBER, "Callers that get it in any case.")
        .default("[]"),
];
static SHADOW: &[Field] = &[Field::int("version", 1, i64::MAX, "The version, by its number.")];

const FORCE: Parameter =
    Parameter { field: Field::flag("force", "Whether to do it although examples fail."), required: false };

/// What is made before the transaction.
type Prepare = for<'a> fn(&'a Call, &'a Tools) -> Doing<'a, Result<Record, Problem>>;
/// What writes.
type Write = for<'a> fn(&'a Call, &'a mut Tx) -> Doing<'a, Result<Reply, Problem>>;

/// A handler of both.
pub(super) fn handler(tools: &Tools, make: Prepare, write: Write) -> Handler {
    let tools = tools.clone();
    Handler::prepared(
        move |call| {
            let tools = tools.clone();
            Box::pin(async move { make(call, &tools).await })
        },
        write,
    )
}

/// The operations.
pub(super) fn actions(tools: &Tools) -> Vec<Action> {
    let base = |id, method, path, summary| Operation {
        output: Output::Record(&PLUGINS, 200),
        ..Operation::new(id, method, path, summary, Roles::ADMINS)
    };
    let plain = |id, path, summary, doc: &'static str, problems: Codes, write: Write| Action {
        operation: Operation { doc: doc.into(), problems, ..base(id, "POST", path, summary) },
        handler: Handler::write(write),
    };
    let mut all = vec![
        Action {
            operation: Operation {
                doc: "It is loaded, set up, and runs the plugin's examples first; then every call from then on gets it. A \
                      parked plugin is asked again. If it fails again and again within a day, and the version before ran \
                      well, the service goes back by itself."
                    .into(),
                query: vec![FORCE],
                problems: READY,
                deadline: limits::UPLOAD_TIME,
                ..base(
                    "plugin-versions.activate",
                    "POST",
                    "/plugins/{plugin_id}/versions/{id}/activate",
                    "Activate a version",
                )
            },
            handler: handler(tools, |c, t| Box::pin(ready(c, t)), |c, tx| Box::pin(activate(c, tx))),
        },
        Action {
            operation: Operation {
                doc: "Activates the version that was active before. Examples do not hold it up.".into(),
                problems: BACK,
                deadline: limits::UPLOAD_TIME,
                ..base("plugins.rollback", "POST", "/plugins/{id}/rollback", "Roll a plugin back")
            },
            handler: handler(tools, |c, t| Box::pin(back(c, t)), |c, tx| Box::pin(roll_back(c, tx))),
        },
    ];
    all.extend(beside(tools, &base));
    all.extend([
        plain(
            "plugins.unpark",
            "/plugins/{id}/unpark",
            "Ask a parked plugin again",
            "On every node, at once. It is parked again when it goes on failing.",
            &[(409, "not-active", "It is a draft or disabled.")],
            |call, tx| Box::pin(unpark(call, tx)),
        ),
        plain(
            "plugins.disable",
            "/plugins/{id}/disable",
            "Switch a plugin off",
            "It is not asked any more; its calls go on as when it fails.",
            &[],
            |call, tx| Box::pin(switch(call, tx, true)),
        ),
        plain(
            "plugins.enable",
            "/plugins/{id}/enable",
            "Switch a plugin on",
            "It is asked again, once it has an active version.",
            &[],
            |call, tx| Box::pin(switch(call, tx, false)),
        ),
    ]);
    all
}

/// Operations of versions that run beside the active one.
fn beside(
    tools: &Tools,
    base: &dyn Fn(&'static str, &'static str, &'static str, &'static str) -> Operation,
) -> Vec<Action> {
    let remove = |id, path, summary, write: Write| Action {
        operation: Operation { output: Output::Empty, ..base(id, "DELETE", path, summary) },
        handler: Handler::write(write),
    };
    vec![
        Action {
            operation: Operation {
                doc: "Some callers get this version instead of the active one. If it fails again and again it is withdrawn."
                    .into(),
                query: vec![FORCE],
                input: Input::New(CANARY, &[]),
                problems: CANARIES,
                deadline: limits::UPLOAD_TIME,
                ..base("plugins.set-canary", "POST", "/plugins/{id}/canary", "Set the canary")
            },
            handler: handler(tools, |c, t| Box::pin(canary_ready(c, t)), |c, tx| Box::pin(set_canary(c, tx))),
        },
        remove("plugins.clear-canary", "/plugins/{id}/canary", "Withdraw the canary", |call, tx| {
            Box::pin(clear(call, tx, "canary_version", "clear-canary", park::no_canary))
        }),
        Action {
            operation: Operation {
                doc: "Every run of another version is repeated by this one, with the same input and the same answers from the \
                      host, and compared. Nothing it does has an effect, and no call waits for it."
                    .into(),
                input: Input::New(SHADOW, &[]),
                problems: LOADED,
                deadline: limits::UPLOAD_TIME,
                ..base("plugins.set-shadow", "POST", "/plugins/{id}/shadow", "Set the shadow")
            },
            handler: handler(tools, |c, t| Box::pin(shadow_ready(c, t)), |c, tx| Box::pin(set_shadow(c, tx))),
        },
        remove("plugins.clear-shadow", "/plugins/{id}/shadow", "End the shadow", |call, tx| {
            Box::pin(clear(call, tx, "shadow_version", "clear-shadow", no_shadow))
        }),
    ]
}

/// Loads the path's version, and has it pass the plugin's examples.
async fn ready(call: &Call, tools: &Tools) -> Result<Record, Problem> {
    let version = version(call).await?;
    load(call, tools, &seen(call, call.part("plugin_id")).await?, &version, true).await
}

async fn canary_ready(call: &Call, tools: &Tools) -> Result<Record, Problem> {
    beside_ready(call, tools, true).await
}

async fn shadow_ready(call: &Call, tools: &Tools) -> Result<Record, Problem> {
    beside_ready(call, tools, false).await
}

/// The same of the version that the body names.
async fn beside_ready(call: &Call, tools: &Tools, examples: bool) -> Result<Record, Problem> {
    let plugin = seen(call, call.part("id")).await?;
    let wanted = number(&call.body, "version").unwrap_or(0);
    if number(&plugin, "active_version") == Some(wanted) {
        return Err(Problem::conflict(IS_ACTIVE.1, IS_ACTIVE.2));
    }
    let named = number(&call.body, "percent").unwrap_or(0) > 0
        || call.body.get("numbers").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
    if examples && !named {
        return Err(Problem::invalid_field("percent", "Say which callers: a percentage, or numbers."));
    }
    let version = numbered(call, text(&plugin, "id"), wanted).await?;
    let version = version.ok_or_else(|| Problem::invalid_field("version", "There is no such version."))?;
    load(call, tools, &plugin, &version, examples).await
}

async fn back(call: &Call, tools: &Tools) -> Result<Record, Problem> {
    let plugin = seen(call, call.part("id")).await?;
    let Some(previous) = number(&plugin, "previous_version") else {
        return Err(Problem::conflict(BACK[0].1, BACK[0].2));
    };
    let version = numbered(call, text(&plugin, "id"), previous).await?;
    let version = version.ok_or_else(|| Problem::conflict(BACK[0].1, BACK[0].2))?;
    load(call, tools, &plugin, &version, false).await
}

/// Loads a version, sets it up once, and runs the examples where they count.
async fn load(
    call: &Call,
    tools: &Tools,
    plugin: &Record,
    version: &Record,
    examples: bool,
) -> Result<Record, Problem> {
    let (plugins, tenant) = (tools.plugins()?, call.tenant()?);
    let bench = Bench::of(plugins, tenant, plugin).await?;
    let known = version_of(version)?;
    if known.language == Language::Component {
        let asked = version.get("asked").cloned().and_then(|asked| serde_json::from_value(asked).ok());
        bench.allowed(asked.unwrap_or_else(Grants::all))?;
    }
    let program =
        plugins.program(tenant, (&bench.setup.id, bench.setup.kind), &known).await.map_err(unloaded)?;
    bench.trial(&program).await?;
    if examples && call.parameter("force") != Some("true") {
        let went = bench.examples(&program, known.number).await?;
        let failed: Vec<Fault> = went.iter().filter(|one| !one.passed).map(|one| fault(&one.shown)).collect();
        if !failed.is_empty() {
            let detail = format!("{} of {} examples fail.", failed.len(), went.len());
            return Err(Problem { errors: failed, ..Problem::conflict(FAILED.1, detail) });
        }
    }
    Ok(Record::from_iter([("version".to_owned(), json!(known.number))]))
}

/// An example that failed, for whoever wanted to activate.
fn fault(shown: &Value) -> Fault {
    let text = |name: &str| shown.get(name).and_then(Value::as_str).unwrap_or_default();
    Fault::at("", format!("{}: {} ({})", text("name"), text("detail"), text("outcome")))
}

async fn activate(call: &Call, tx: &mut Tx) -> Result<Reply, Problem> {
    let plugin = plugin(call, tx, call.part("plugin_id")).await?;
    let version = number(&call.prepared, "version").unwrap_or(0);
    let is_active = number(&plugin, "active_version") == Some(version);
    if is_active && text(&plugin, "status") != PluginStatus::Parked.as_str() {
        return Ok(unchanged(plugin));
    }
    make_active(call, tx, plugin, version, "activate").await
}

async fn roll_back(call: &Call, tx: &mut Tx) -> Result<Reply, Problem> {
    let plugin = plugin(call, tx, call.part("id")).await?;
    let version = number(&call.prepared, "version").unwrap_or(0);
    if number(&plugin, "previous_version") != Some(version) {
        return Err(Problem::conflict(BACK[1].1, BACK[1].2));
    }
    make_active(call, tx, plugin, version, "rollback").await
}

/// Makes a version the active one; the one before it becomes the previous.
async fn make_active(
    call: &Call,
    tx: &mut Tx,
    plugin: Record,
    version: u32,
    cause: &'static str,
) -> Result<Reply, Problem> {
    let (now_us, previous) = (call.now_us(), number(&plugin, "active_version").filter(|n| *n != version));
    let mut given = park::not_parked(now_us);
    if let Some(previous) = previous {
        let proven = store::is_proven(tx, text(&plugin, "id"), previous.into()).await?;
        given.insert("previous_version".into(), json!(previous));
        given.insert("previous_proven".into(), json!(proven));
    }
    given.insert("active_version".into(), json!(version));
    given.insert("activated_at".into(), json!(show_time(now_us)));
    if text(&plugin, "status") != PluginStatus::Disabled.as_str() {
        given.insert("status".into(), json!(PluginStatus::Active.as_str()));
    }
    if number(&plugin, "canary_version") == Some(version) {
        given.extend(park::no_canary());
    }
    if number(&plugin, "shadow_version") == Some(version) {
        given.extend(no_shadow());
    }
    if text(&plugin, "kind") == World::Ticketer.as_str() {
        ticketer::cursor::begin(tx, call.tenant()?, text(&plugin, "id")).await?;
    }
    let more = json!({"version": version, "previous": previous, "cause": cause});
    let tells = vec![events::draft("plugin.activated", &plugin, now_us, more)];
    apply(call, tx, cause, (plugin, given), tells).await
}

async fn set_canary(call: &Call, tx: &mut Tx) -> Result<Reply, Problem> {
    let plugin = plugin(call, tx, call.part("id")).await?;
    let given = Record::from_iter([
        ("canary_version".to_owned(), prepared(call, "version").clone()),
        ("canary_percent".to_owned(), call.body.get("percent").cloned().unwrap_or_default()),
        ("canary_numbers".to_owned(), call.body.get("numbers").cloned().unwrap_or_default()),
    ]);
    apply(call, tx, "set-canary", (plugin, given), Vec::new()).await
}

async fn set_shadow(call: &Call, tx: &mut Tx) -> Result<Reply, Problem> {
    let plugin = plugin(call, tx, call.part("id")).await?;
    let given = Record::from_iter([
        ("shadow_version".to_owned(), prepared(call, "version").clone()),
        ("shadow_since".to_owned(), json!(show_time(call.now_us()))),
    ]);
    apply(call, tx, "set-shadow", (plugin, given), Vec::new()).await
}

fn no_shadow() -> Record {
    Record::from_iter([("shadow_version".to_owned(), Value::Null), ("shadow_since".to_owned(), Value::Null)])
}

/// Takes the canary or the shadow away.
async fn clear(
    call: &Call,
    tx: &mut Tx,
    column: &str,
    word: &str,
    none: fn() -> Record,
) -> Result<Reply, Problem> {
    let plugin = plugin(call, tx, call.part("id")).await?;
    if number(&plugin, column).is_none() {
        return Ok(Reply { unchanged: true, ..Reply::empty() });
    }
    let changed = apply(call, tx, word, (plugin, none()), Vec::new()).await?;
    Ok(Reply { status: 204, body: crate::api::Body::Empty, tagged: false, ..changed })
}

/// Also of a plugin that only some nodes hold for parked: what failed before does not count any more.
async fn unpark(call: &Call, tx: &mut Tx) -> Result<Reply, Problem> {
    let plugin = plugin(call, tx, call.part("id")).await?;
    let is_parked = text(&plugin, "status") == PluginStatus::Parked.as_str();
    if !is_parked && text(&plugin, "status") != PluginStatus::Active.as_str() {
        return Err(Problem::conflict("not-active", "The plugin is a draft or disabled."));
    }
    let more = json!({"version": plugin.get("active_version"), "cause": "unpark"});
    let told = events::draft("plugin.unparked", &plugin, call.now_us(), more);
    let tells = if is_parked { vec![told] } else { Vec::new() };
    apply(call, tx, "unpark", (plugin, park::unparked(call.now_us())), tells).await
}

async fn switch(call: &Call, tx: &mut Tx, off: bool) -> Result<Reply, Problem> {
    let plugin = plugin(call, tx, call.part("id")).await?;
    let is_off = text(&plugin, "status") == PluginStatus::Disabled.as_str();
    if is_off == off {
        return Ok(unchanged(plugin));
    }
    let status = match (off, number(&plugin, "active_version")) {
        (true, _) => PluginStatus::Disabled,
        (false, Some(_)) => PluginStatus::Active,
        (false, None) => PluginStatus::Draft,
    };
    let mut given = park::not_parked(call.now_us());
    given.insert("status".into(), json!(status.as_str()));
    apply(call, tx, if off { "disable" } else { "enable" }, (plugin, given), Vec::new()).await
}
