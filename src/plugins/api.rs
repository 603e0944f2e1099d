//! Plugins, their versions, examples and runs over REST.

mod act;
mod change;
mod given;
mod look;
mod shapes;
mod upload;

use std::sync::Arc;

use serde_json::{Value, json};

use super::{OnFailure, PluginStatus, Plugins, Trigger, hosts};
use crate::api::{
    Action, Call, Change, Doing, Field, Hooks, May, Null, Parent, Problem, Record, Resource, Rule, Tells,
    Verb,
};
use crate::base::ids::TenantId;
use crate::base::role::Roles;
use crate::config::limits::plugins as limits;
use crate::db::{Tx, db_tx};
use crate::events::PATTERN;
use crate::sandbox::{Grant, Grants};
use crate::tenants;

pub use shapes::wall;
pub(super) use shapes::{Expected, input_of, settings as settings_of};

/// The kinds of plugins.
pub const KINDS: &[&str] = &["router", "ticketer", "call-script"];
/// How runs end.
pub const OUTCOMES: &[&str] = &[
    "ok",
    "pass",
    "rejected-output",
    "plugin-error",
    "panic",
    "cpu-limit",
    "time-limit",
    "memory-limit",
    "stack-limit",
    "output-limit",
    "host-call-limit",
    "capability-denied",
    "busy",
    "parked",
    "not-loadable",
];
/// Characters of why a plugin is parked.
pub(super) const REASON_CHARACTERS: usize = 300;

/// A plugin's name, as numbers refer to it.
pub static NAME_RULE: Rule = Rule {
    format: "plugin-name",
    pattern: "^[a-z0-9][a-z0-9-]{0,39}$",
    max: 40,
    check: |text| {
        let fits = (1..=40).contains(&text.len())
            && !text.starts_with('-')
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        match fits {
            true => Ok(text.to_owned()),
            false => Err("This must be 1 to 40 of a-z, 0-9 and -, such as vip-router.".into()),
        }
    },
    example: "vip-router",
};

static GRANT: Rule = Rule {
    format: "grant",
    pattern: "^(kv|contacts|http|tickets)$",
    max: 20,
    check: |text| match Grant::parse(text) {
        Some(grant) => Ok(grant.as_str().to_owned()),
        None => Err(format!("This must be one of {}.", Grants::all())),
    },
    example: "contacts",
};

/// `/plugins`
pub static PLUGINS: Resource = Resource {
    name: "plugins",
    one: "plugin",
    path: "/plugins",
    doc: "Code of the tenant's own. A `router` chooses where calls of its numbers go, a `ticketer` looks at events and \
          drafts tickets, a `call-script` talks to the caller. Make one, upload a version (POST \
          /plugins/{plugin_id}/versions), activate it, and name the plugin at a number. It may use only what `grants` \
          allows, of what the operator allows. Settings are shown to whoever may read plugins: a place for secrets is the \
          service that the plugin asks.",
    table: "plugins",
    index: "plugins_created",
    soft: true,
    routing: true,
    may: May { read: Roles::SUPERVISORS, create: Roles::ADMINS, update: Roles::ADMINS, remove: Roles::ADMINS },
    fields: &[
        Field::rule("name", &NAME_RULE, "Its name, as numbers refer to it (`vip-router`, or `vip-router@3` for one version).")
            .once()
            .filter()
            .sort()
            .search(),
        Field::one_of("kind", KINDS, "What it does.").once().filter(),
        Field::text("description", 0, 1_000, "What it is for.").default("\"\"").example("\"VIPs go to 101\"").search(),
        Field::one_of(
            "status",
            PluginStatus::WORDS,
            "Whether it is asked: draft (no version is active yet), active, parked (it failed too often, and is tried again \
             once a minute), disabled.",
        )
        .server()
        .filter(),
        Field::one_of("on_failure", OnFailure::WORDS, "What becomes of a call when it fails.").default("\"fallback\""),
        Field::json("settings", &shapes::SETTINGS, "What it reads by `settings`: texts, or lists of texts.").default("{}"),
        Field::texts("grants", Grant::ALL.len(), &GRANT, "What it may use.").default("[]"),
        Field::texts("http_hosts", limits::HTTP_HOSTS, &hosts::HOST, "Hosts that it may ask with the grant http.")
            .default("[]"),
        Field::texts(
            "events",
            limits::EVENT_PATTERNS,
            &PATTERN,
            "Types of events that a ticketer is shown, or patterns; empty: call.missed. What plugins made themselves \
             (tickets, notes, contacts) is shown to none, so that nothing goes round in circles.",
        )
            .default("[]")
            .example("[]"),
        version("active_version", "The version that is asked."),
        version("previous_version", "The version that was active before; POST /plugins/{id}/rollback goes back to it."),
        Field::time("activated_at", "When the active version became it.").nullable(Null::Null).server(),
        version("canary_version", "The version that some callers get instead."),
        Field::int("canary_percent", 0, 100, "Of a hundred callers so many.").server(),
        Field::texts("canary_numbers", limits::CANARY_NUMBERS, &crate::api::rules::NUMBER, "Callers that get it in any case.")
            .server(),
        version("shadow_version", "The version that runs beside the active one, to be compared."),
        Field::time("shadow_since", "Since when.").nullable(Null::Null).server(),
        Field::int("last_version", 0, i64::MAX, "The highest number of its versions.").server(),
        Field::time("parked_at", "When it was parked.").nullable(Null::Null).server(),
        Field::time("parked_until", "When it is tried again.").nullable(Null::Null).server(),
        Field::maybe("parked_reason", REASON_CHARACTERS, "Why.").server(),
        Field::metadata(),
        Field::flag("previous_proven", "Whether the version before ran well.").server().secret(),
        Field::int("counts_from", 0, i64::MAX, "Failures before this moment do not count.").server().secret(),
    ],
    hooks: Hooks::before(before),
    ..Resource::PLAIN
};

const fn version(name: &'static str, doc: &'static str) -> Field {
    Field::int(name, 1, i64::MAX, doc).nullable(Null::Null).server()
}

/// `/plugins/{plugin_id}/versions`
pub static VERSIONS: Resource = Resource {
    name: "plugin-versions",
    one: "plugin version",
    path: "/plugins/{plugin_id}/versions",
    doc: "Versions never change and are numbered without gaps. A path takes the number or the id. Files are kept of those in \
          use and of the last 20 beside them.",
    table: "plugin_versions",
    index: "plugin_versions_created",
    updated: false,
    numbered: true,
    parent: Some(Parent { column: "plugin_id", of: &PLUGINS }),
    may: May::only_read(Roles::SUPERVISORS),
    tells: Tells {
        kinds: &[("plugin.version_uploaded", "A plugin has a new version.")],
        which: Some(|_| Some("plugin.version_uploaded")),
        key: ("plugin", "plugin_id"),
        ..Tells::as_noun("plugin_version")
    },
    fields: &[
        Field::id("plugin_id", "The plugin.").server(),
        Field::int("number", 1, i64::MAX, "Its number within the plugin.").server().filter().sort(),
        Field::text("digest", 64, 64, "SHA-256 of its file.")
            .example("\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"")
            .server()
            .filter(),
        Field::one_of("language", &["component", "javascript"], "What the file is.").server().filter(),
        Field::int("size", 1, i64::MAX, "Bytes of the file.").server(),
        Field::int(
            "native_bytes",
            0,
            i64::MAX,
            "Bytes of memory that its native code takes on each node; a script's byte code.",
        )
        .server(),
        Field::maybe("sdk", 80, "The kit that made it.")
            .example("\"hookswitch-plugin 1.0.0 (rust)\"")
            .server(),
        Field::texts(
            "asked",
            Grant::ALL.len(),
            &GRANT,
            "The grants that it imports; JavaScript does not say and has all.",
        )
        .server(),
        NOTE.server(),
        Field::json("examples", &shapes::PASSED, "How the plugin's examples went when it was uploaded.")
            .server(),
        Field::flag("has_source", "Whether its file is kept.").server(),
        Field::id("created_by", "Who uploaded it: a user, or an API key.").nullable(Null::Null).server(),
    ],
    ..Resource::PLAIN
};

const NOTE: Field = Field::maybe("note", 500, "What is new in it.").example("\"VIPs from abroad too\"");

/// `/plugins/{plugin_id}/examples`
pub static EXAMPLES: Resource = Resource {
    name: "plugin-examples",
    one: "plugin example",
    path: "/plugins/{plugin_id}/examples",
    doc: "What a version must give for a call or event before it can be activated. Host calls are answered from `answers`, \
          which has the shape of a run's `trail`; others find nobody.",
    table: "plugin_examples",
    index: "plugin_examples_created",
    parent: Some(Parent { column: "plugin_id", of: &PLUGINS }),
    may: May {
        read: Roles::SUPERVISORS,
        create: Roles::ADMINS,
        update: Roles::ADMINS,
        remove: Roles::ADMINS,
    },
    tells: Tells::as_noun("plugin_example"),
    fields: &[
        Field::id("plugin_id", "The plugin.").server(),
        Field::text("name", 1, 100, "Its name.").example("\"a VIP goes to 101\"").filter().sort(),
        Field::json(
            "input",
            &shapes::INPUT,
            "The call or event, as scripts see it. What is left out is filled in.",
        ),
        Field::json("settings", &shapes::SETTINGS, "Settings that differ from the plugin's.").default("{}"),
        Field::json("answers", &shapes::TRAIL, "What the host answers.").default("[]"),
        Field::json("expected", &shapes::EXPECTED, "What is right: a decision, a draft or an outcome."),
    ],
    hooks: Hooks::before(before_example),
    ..Resource::PLAIN
};

/// `/plugins/{plugin_id}/runs`
pub static RUNS: Resource = Resource {
    name: "plugin-runs",
    one: "plugin run",
    path: "/plugins/{plugin_id}/runs",
    doc: "What a plugin did, with its cost. The last 10,000 of a plugin are kept, for 30 days. Of a shadow's run, output, log and \
          trail are kept where it differs.",
    table: "plugin_runs",
    // That of the parent, which a path always names: a tenant's other plugins may have many runs.
    index: "plugin_runs_plugin",
    updated: false,
    parent: Some(Parent { column: "plugin_id", of: &PLUGINS }),
    may: May::only_read(Roles::SUPERVISORS),
    tells: Tells::NOTHING,
    fields: &[
        Field::id("plugin_id", "The plugin.").server(),
        Field::int("version", 0, i64::MAX, "The version; 0: none could be asked.").server().filter(),
        Field::one_of("trigger", Trigger::WORDS, "Why it ran.").column("cause").server().filter(),
        Field::maybe("subject_id", 120, "The call or event.").server().filter(),
        OUTCOME.filter(),
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
        Field::json(
            "input",
            &shapes::INPUT,
            "What it was given, where that is not kept with the call or event; `/input` below it always shows it.",
        )
        .nullable(Null::Null)
        .server(),
        Field::flag("differs", "Whether a shadow's run ended otherwise than the one that decided.")
            .nullable(Null::Null)
            .server()
            .filter(),
        version("other_version", "The version that decided."),
        Field::one_of("other_outcome", OUTCOMES, "How that ended.").nullable(Null::Empty).server(),
        Field::json("other_output", &shapes::OUTPUT, "What that gave.").nullable(Null::Null).server(),
        cost("other_wall_us", "What that took."),
        cost("other_cpu_us", "What that used."),
        cost("other_fuel", "Its instructions."),
    ],
    ..Resource::PLAIN
};

const fn cost(name: &'static str, doc: &'static str) -> Field {
    Field::int(name, 0, i64::MAX, doc).nullable(Null::Null).server()
}

const OUTCOME: Field = Field::one_of("outcome", OUTCOMES, "How it ended.").server();
const TEXT: Field = Field::text("text", 0, limits::TEXT_CHARACTERS, "Why, for the plugin's author.").server();
const OUTPUT: Field = Field::json("output", &shapes::OUTPUT, "What it gave.").nullable(Null::Null).server();
const LOG: Field = Field::json("log", &shapes::LOG, "What it wrote.").nullable(Null::Null).server();
const LOG_CUT: Field = Field::flag("log_cut", "Whether lines are missing.").server();
const TRAIL: Field = Field::json("trail", &shapes::TRAIL, "What it asked the host, with the answers.")
    .nullable(Null::Null)
    .server();
const TRAIL_CUT: Field = Field::flag("trail_cut", "Whether answers are missing.").server();
const WALL: Field = Field::int("wall_us", 0, i64::MAX, "Microseconds it took, waits included.").server();
const CPU: Field = Field::int("cpu_us", 0, i64::MAX, "Microseconds of a processor.").server();
const FUEL: Field = Field::int("fuel", 0, i64::MAX, "Instructions: the same on every machine.").server();
const MEMORY: Field = Field::int("memory_bytes", 0, i64::MAX, "Bytes of memory at its largest.").server();
const HOST_CALLS: Field =
    Field::int("host_calls", 0, i64::MAX, "Host calls; log and settings do not count.").server();

/// Every collection.
pub fn resources() -> [&'static Resource; 4] {
    [&PLUGINS, &VERSIONS, &EXAMPLES, &RUNS]
}

/// What is no plain collection. Without plugins the operations are only described.
pub fn actions(plugins: Option<&Arc<Plugins>>) -> Vec<Action> {
    let tools = Tools { plugins: plugins.cloned() };
    let mut all = upload::actions(&tools);
    all.extend(act::actions(&tools));
    all.extend(look::actions(&tools));
    all.extend(given::actions());
    all
}

/// What operations need besides their request.
#[derive(Clone)]
struct Tools {
    plugins: Option<Arc<Plugins>>,
}

impl Tools {
    fn plugins(&self) -> Result<&Arc<Plugins>, Problem> {
        self.plugins.as_ref().ok_or_else(|| Problem::internal("this operation is only described"))
    }
}

/// A number of a record.
pub(super) fn number(record: &Record, name: &str) -> Option<u32> {
    record.get(name).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok())
}

/// A text of a record.
pub(super) fn text<'r>(record: &'r Record, name: &str) -> &'r str {
    record.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn before<'a>(call: &'a Call, tx: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        let tenant = call.tenant()?;
        match change.verb {
            Verb::Create => {
                room(tx, tenant).await?;
                change.given.insert("status".into(), json!(PluginStatus::Draft.as_str()));
                change.given.insert("canary_numbers".into(), json!([]));
            }
            Verb::Remove => return unused(tx, tenant, change.text("name")).await,
            Verb::Update => {}
        }
        let listens = change.value("events").as_array().is_some_and(|events| !events.is_empty());
        if listens && change.text("kind") != "ticketer" {
            change.fault("events", "Only a ticketer looks at events.");
        }
        Ok(())
    })
}

/// Whether the tenant may have one more.
async fn room(tx: &mut Tx, tenant: &TenantId) -> Result<(), Problem> {
    const COUNT: &str = "SELECT COUNT(*) FROM plugins WHERE tenant_id = ? AND deleted_at = 0";
    tenants::lock_tenant(tx, tenant).await?;
    let count: i64 = db_tx!(tx, |c| sqlx::query_scalar(COUNT).bind(tenant.as_str()).fetch_one(c).await)?;
    if count < limits::PLUGINS {
        return Ok(());
    }
    Err(Problem::conflict("limit-reached", format!("A tenant has at most {} plugins.", limits::PLUGINS)))
}

/// Checks that nothing asks it or leads to it any more, before it is deleted.
async fn unused(tx: &mut Tx, tenant: &TenantId, name: &str) -> Result<(), Problem> {
    const SQL: &str = "SELECT CONCAT('number ', number) AS who FROM dids WHERE tenant_id = ? AND deleted_at = 0 \
         AND (plugin = ? OR plugin LIKE ? OR route_type = 'script' AND route_target = ?) \
         UNION SELECT CONCAT('number ', d.number) FROM destinations x JOIN dids d ON d.id = x.owner_id \
         AND d.tenant_id = x.tenant_id WHERE x.tenant_id = ? AND x.owner_kind = 'did' AND x.type = 'script' \
         AND x.target = ? AND d.deleted_at = 0 \
         UNION SELECT 'the routing defaults' FROM destinations WHERE tenant_id = ? AND owner_kind = 'tenant' \
         AND type = 'script' AND target = ? \
         UNION SELECT 'the routing defaults' FROM tenants WHERE id = ? AND (plugin = ? OR plugin LIKE ?) \
         UNION SELECT CONCAT('menu ', m.name) FROM ivr_options o JOIN ivr_menus m ON m.id = o.menu_id \
         WHERE o.tenant_id = ? AND o.type = 'script' AND o.target = ? ORDER BY who LIMIT 4";
    let (tenant, version) = (tenant.as_str(), format!("{name}@%"));
    let binds =
        [tenant, name, &version, name, tenant, name, tenant, name, tenant, name, &version, tenant, name];
    let users: Vec<String> = db_tx!(tx, |c| {
        let query = binds.iter().fold(sqlx::query_scalar(SQL), |query, value| query.bind(*value));
        query.fetch_all(c).await
    })?;
    if users.is_empty() {
        return Ok(());
    }
    let why = format!("The plugin is still used by {}; lead them elsewhere first.", users.join(", "));
    Err(Problem::conflict("in-use", why))
}

fn before_example<'a>(
    call: &'a Call,
    tx: &'a mut Tx,
    change: &'a mut Change,
) -> Doing<'a, Result<(), Problem>> {
    const COUNT: &str = "SELECT COUNT(*) FROM plugin_examples WHERE tenant_id = ? AND plugin_id = ?";
    Box::pin(async move {
        if change.verb == Verb::Remove {
            return Ok(());
        }
        let (tenant, id) = (call.tenant()?, call.part("plugin_id"));
        let plugin = change::plugin(call, tx, id).await?;
        if change.verb == Verb::Create {
            let count: i64 =
                db_tx!(tx, |c| sqlx::query_scalar(COUNT).bind(tenant.as_str()).bind(id).fetch_one(c).await)?;
            if count >= limits::EXAMPLES {
                let why = format!("A plugin has at most {} examples.", limits::EXAMPLES);
                return Err(Problem::conflict("limit-reached", why));
            }
        }
        let is_ticketer = text(&plugin, "kind") == "ticketer";
        let given = change.value("input");
        if given.get("event").is_some() != is_ticketer {
            change.fault("input", if is_ticketer { "A ticketer gets an event." } else { "It gets a call." });
        }
        let expected = change.value("expected");
        if expected.get(if is_ticketer { "decision" } else { "draft" }).is_some() {
            change.fault(
                "expected",
                if is_ticketer { "A ticketer gives a draft." } else { "It gives a decision." },
            );
        }
        Ok(())
    })
}
