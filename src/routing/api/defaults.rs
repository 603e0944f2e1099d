//! `/routing/defaults`: who is asked about a tenant's calls, where they go when everything else has failed, and its
//! blocked callers.

use serde_json::{Value, json};

use super::destination::{self, LIST, MESSAGE, OPTIONS, TARGET, TIMEOUT, TYPES};
use super::dids;
use super::rules::PLUGIN;
use crate::api::{
    Action, Audited, Call, Doing, Fault, Field, Handler, Input, May, Null, Operation, Output, Part, Problem,
    Record, Reply, Resource, Tells, Who,
};
use crate::base::ids::TenantId;
use crate::base::role::Roles;
use crate::db::{Tx, db_read, db_tx};
use crate::plugins::unusable;
use crate::routing::store::write::{self, Role};

const KIND: &str = "tenant";

static GIVEN: &[Part] = &[Part {
    name: "destinations",
    doc: "fallback: when everything else has failed; blocked: callers of the block list.",
    table: "destinations",
    parent: "owner_id",
    fixed: &[("owner_kind", KIND)],
    position: "position",
    fields: &[
        Field::one_of("role", &["fallback", "blocked"], "When."),
        Field::one_of("type", TYPES, "What."),
        TARGET,
        TIMEOUT,
        OPTIONS,
        MESSAGE,
    ],
    flat: false,
    stamped: false,
    items: 2,
    unique: &["role"],
}];
/// What a change of them tells.
pub(super) static DEFAULTS: Resource = Resource {
    name: "routing",
    one: "tenant's default destinations",
    path: "/routing/defaults",
    fields: SHOWN,
    tells: Tells { noun: "routing.defaults", single: true, also: &["updated"], ..Tells::USUAL },
    may: May::only_read(Roles::ALL),
    ..Resource::PLAIN
};

const ASKED: Field = Field::rule(
    "plugin",
    &PLUGIN,
    "The router or call script that is asked first about calls to numbers that name none, name or name@version.",
)
.nullable(Null::Empty);
static ASKS: &[Field] = &[ASKED];
static SHOWN: &[Field] =
    &[ASKED, Field::json("destinations", &LIST, "Where those calls go; what is not listed hangs up.")];

pub(super) fn actions() -> Vec<Action> {
    let operation = |id: &'static str, method, who, summary: &'static str, input| {
        Operation {
        id: id.into(),
        method,
        path: "/routing/defaults".into(),
        tag: "routing".into(),
        summary: summary.into(),
        doc: "The plugin that is asked about calls to all numbers that name none (plugin), where calls go when their \
              number's own destinations have failed (fallback), and where blocked callers go (blocked). Setting them \
              replaces all three."
            .into(),
        who: Who::Roles(who),
        query: Vec::new(),
        input,
        output: Output::Object("RoutingDefaults", SHOWN, 200),
        own: None,
        once: &[],
        problems: &[],
        again: "",
        deadline: Operation::DEADLINE,
    }
    };
    vec![
        Action {
            operation: operation(
                "routing.defaults.get",
                "GET",
                Roles::ALL,
                "Read the routing defaults",
                Input::None,
            ),
            handler: Handler::read(get),
        },
        Action {
            operation: operation(
                "routing.defaults.set",
                "PUT",
                Roles::ADMINS,
                "Set the routing defaults",
                Input::New(ASKS, GIVEN),
            ),
            handler: Handler::write(set),
        },
    ]
}

type Row = (String, String, String, i64, String, String);

const SELECT: &str = "SELECT role, type, target, timeout_s, options, message FROM destinations \
     WHERE tenant_id = ? AND owner_kind = 'tenant' AND owner_id = ? ORDER BY role, position";

const PLUGIN_OF: &str = "SELECT plugin FROM tenants WHERE id = ?";

fn shown(plugin: Option<String>, rows: Vec<Row>) -> Record {
    let maybe = |text: String| if text.is_empty() { Value::Null } else { Value::String(text) };
    let list: Vec<Value> = rows
        .into_iter()
        .map(|(role, kind, target, timeout_s, options, message)| {
            json!({"role": role, "type": kind, "target": target, "timeout_s": timeout_s,
                   "options": maybe(options), "message": maybe(message)})
        })
        .collect();
    Record::from_iter([
        ("plugin".to_owned(), maybe(plugin.unwrap_or_default())),
        ("destinations".to_owned(), Value::Array(list)),
    ])
}

fn get(call: &Call) -> Doing<'_, Result<Reply, Problem>> {
    Box::pin(async move {
        let tenant = call.tenant()?.as_str();
        let rows: Vec<Row> =
            db_read!(&call.db, |p| sqlx::query_as(SELECT).bind(tenant).bind(tenant).fetch_all(p).await?);
        let plugin: Option<String> =
            db_read!(&call.db, |p| sqlx::query_scalar(PLUGIN_OF).bind(tenant).fetch_optional(p).await?);
        Ok(Reply::record(shown(plugin, rows)))
    })
}

async fn now(tx: &mut Tx, tenant: &TenantId) -> sqlx::Result<Record> {
    let id = tenant.as_str();
    let rows: Vec<Row> = db_tx!(tx, |c| sqlx::query_as(SELECT).bind(id).bind(id).fetch_all(c).await?);
    let plugin: Option<String> =
        db_tx!(tx, |c| sqlx::query_scalar(PLUGIN_OF).bind(id).fetch_optional(c).await?);
    Ok(shown(plugin, rows))
}

fn set<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    const CLEAR: &str =
        "DELETE FROM destinations WHERE tenant_id = ? AND owner_kind = 'tenant' AND owner_id = ?";
    const SET: &str = "UPDATE tenants SET plugin = ? WHERE id = ?";
    Box::pin(async move {
        let tenant = call.tenant()?;
        let before = now(tx, tenant).await?;
        let empty = Vec::new();
        let list = call.body.get("destinations").and_then(Value::as_array).unwrap_or(&empty);
        let mut faults = destination::check_list(tx, tenant, list, "").await?;
        let plugin = call.body.get("plugin").and_then(Value::as_str).unwrap_or_default();
        if !plugin.is_empty()
            && let Some(why) = unusable(tx, tenant, plugin, &dids::ASKED).await?
        {
            faults.push(Fault::at("plugin", why));
        }
        if !faults.is_empty() {
            return Err(Problem::invalid(faults));
        }
        let id = tenant.as_str();
        db_tx!(&mut *tx, |c| sqlx::query(CLEAR).bind(id).bind(id).execute(c).await.map(drop)?);
        db_tx!(&mut *tx, |c| sqlx::query(SET).bind(plugin).bind(id).execute(c).await.map(drop)?);
        for item in list {
            let role = item.get("role").and_then(Value::as_str).unwrap_or_default();
            let place = Role { owner_kind: KIND, owner_id: id, role, position: 0 };
            write::destination(tx, tenant, place, &destination::raw(item)).await?;
        }
        let after = now(tx, tenant).await?;
        let mut reply = Reply::record(after.clone());
        reply.routing = true;
        Ok(reply.audited(Audited {
            action: "routing.defaults.set".into(),
            object_type: "routing".into(),
            object_id: "defaults".into(),
            before,
            after,
        }))
    })
}
