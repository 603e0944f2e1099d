//! `/block-list`, `/allow-list` and `/outbound-rules`.

use serde_json::{Value, json};

use super::Named;
use super::rules::{PATTERN, PREFIX};
use crate::api::{Call, Change, Doing, Field, Hooks, May, Null, Problem, Resource, rules};
use crate::base::role::Roles;
use crate::db::Tx;

const KIND: Field = Field::one_of("kind", &["block", "allow"], "The list.").server();
const CALLERS: Field = Field::rule(
    "pattern",
    &PATTERN,
    "Which callers: a number (+15557770001), all numbers that begin so (+4930*), or anonymous for withheld ones.",
)
.filter()
.sort()
.search();
const NOTE: Field = Field::maybe("note", 200, "Why.").search();
const EXPIRES: Field = Field::time("expires_at", "Until when; null: for ever.").nullable(Null::Zero).filter();

/// `/block-list`
pub static BLOCK_LIST: Resource = Resource {
    name: "block-list",
    one: "blocked number",
    path: "/block-list",
    doc: "Callers that are never let in. They go where the routing defaults say, or hear that they are refused.",
    table: "number_rules",
    source: "(SELECT * FROM number_rules WHERE kind = 'block')",
    routing: true,
    may: May::write(Roles::SUPERVISORS),
    fields: &[KIND, CALLERS, NOTE, EXPIRES],
    hooks: Hooks::before(block),
    ..Resource::PLAIN
};

/// `/allow-list`
pub static ALLOW_LIST: Resource = Resource {
    name: "allow-list",
    one: "allowed number",
    path: "/allow-list",
    doc: "Callers for whom opening hours do not count.",
    table: "number_rules",
    source: "(SELECT * FROM number_rules WHERE kind = 'allow')",
    routing: true,
    may: May::write(Roles::SUPERVISORS),
    fields: &[KIND, CALLERS, NOTE, EXPIRES],
    hooks: Hooks::before(allow),
    ..Resource::PLAIN
};

/// `/outbound-rules`
pub static OUTBOUND_RULES: Resource = Resource {
    name: "outbound-rules",
    one: "outbound rule",
    path: "/outbound-rules",
    doc: "What the tenant's endpoints, plugins and webhooks may dial outside. The longest matching prefix decides; what \
          matches none is refused.",
    table: "outbound_rules",
    index: "outbound_rules_created",
    routing: true,
    fields: &[
        Field::rule(
            "prefix",
            &PREFIX,
            "The beginning of numbers, with '+'; '+' alone is every number. Or one short number.",
        )
        .filter()
        .sort()
        .search(),
        Field::flag("allowed", "Whether they may be dialled."),
        Field::rule(
            "trunk",
            &rules::NAME,
            "Name of an endpoint of template trunk that they go through; null: the operator's trunk.",
        )
        .example("null")
        .nullable(Null::Empty)
        .filter(),
    ],
    hooks: Hooks::before(outbound),
    ..Resource::PLAIN
};

fn outbound<'a>(call: &'a Call, tx: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        let trunk = change.given.get("trunk").and_then(Value::as_str).map(str::to_owned);
        if let Some(trunk) = trunk
            && !Named::Trunk.exists(tx, call.tenant()?, &trunk).await?
        {
            change.fault("trunk", "There is no endpoint of this name that is a trunk.");
        }
        Ok(())
    })
}

fn block<'a>(_: &'a Call, _: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    listed(change, "block")
}

fn allow<'a>(_: &'a Call, _: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    listed(change, "allow")
}

fn listed<'a>(change: &mut Change, kind: &str) -> Doing<'a, Result<(), Problem>> {
    change.given.insert("kind".into(), json!(kind));
    Box::pin(async { Ok(()) })
}
