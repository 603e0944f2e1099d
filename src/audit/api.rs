//! The audit log as a collection that is only read, and the walk along its chain.

use serde_json::json;

use super::ActorKind;
use super::store::{Verdict, verify};
use crate::api::{
    Action, Call, Field, Handler, Kind, May, Null, Operation, Output, Problem, Reply, Resource, Write,
};
use crate::base::role::Roles;
use crate::config::limits::audit as limits;

/// `/audit-logs`
pub static LOGS: Resource = Resource {
    name: "audit-logs",
    one: "audit line",
    path: "/audit-logs",
    doc: "Who changed what, as one chain of hashes per tenant: a line that is changed, taken out or put in later breaks \
          it. Lines of the platform, which belong to no tenant, are read on the command line.",
    table: "audit_logs",
    // Every record says when it was made; here that is when it happened.
    source: "(SELECT id, tenant_id, sequence, at, actor_kind, actor_id, actor_name, role, address, user_agent, request_id, \
             action, object_type, object_id, old_values, new_values, prev_hash, hash, at AS created_at FROM audit_logs)",
    updated: false,
    order: "-at",
    may: May::only_read(Roles::ADMINS),
    fields: &[
        Field::int("sequence", 1, i64::MAX, "Its place in the chain, from 1, without gaps.")
            .server()
            .filter()
            .sort(),
        Field::time("at", "When it happened.").server().filter().sort(),
        Field::one_of("actor_kind", ActorKind::WORDS, "What kind of actor did it.").server().filter(),
        Field::maybe("actor_id", 26, "The user or key.").server().filter(),
        Field::maybe("actor_name", 254, "Its name at that time.").server().search(),
        Field::maybe("role", 20, "The role it had.").server(),
        Field::maybe("address", 45, "The address it came from.").server().filter(),
        Field::maybe("user_agent", 255, "What it called itself.").server(),
        Field::maybe("request_id", 64, "The request.").server().filter(),
        Field::text("action", 1, 80, "What was done.").server().filter().example("\"contacts.update\""),
        Field::maybe("object_type", 40, "The kind of thing it was done to.").server().filter(),
        Field::maybe("object_id", 128, "Which one.").server().filter(),
        values("old_values", "What was there before; of a change only what changed."),
        values("new_values", "What is there now; of a change only what changed."),
        Field::text("prev_hash", 64, 64, "The hash of the line before.").server(),
        Field::text("hash", 64, 64, "This line's hash.").server(),
    ],
    ..Resource::PLAIN
};

const fn values(name: &'static str, doc: &'static str) -> Field {
    Field {
        name,
        column: name,
        kind: Kind::Object(limits::VALUES_BYTES),
        doc,
        example: "{\"company\":\"Engines\"}",
        default: None,
        null: Null::Null,
        write: Write::Never,
        ..Field::metadata()
    }
}

const VERDICT: &[Field] = &[
    Field::flag("whole", "Whether every line is as it was written and in its place."),
    Field::int("lines", 0, i64::MAX, "Lines that were looked at and are whole."),
    Field::int(
        "broken",
        1,
        i64::MAX,
        "The place of the first line that is missing or is not as it was written.",
    )
    .nullable(Null::Null),
];

/// `GET /audit-logs/verify`
pub fn actions() -> Vec<Action> {
    vec![Action {
        operation: Operation {
            doc: "Walks along the tenant's chain from its first line to its last.".into(),
            output: Output::Object("AuditVerdict", VERDICT, 200),
            ..Operation::new(
                "audit-logs.verify",
                "GET",
                "/audit-logs/verify",
                "Check the audit log",
                Roles::ADMINS,
            )
        },
        handler: Handler::read(|call| Box::pin(walk(call))),
    }]
}

async fn walk(call: &Call) -> Result<Reply, Problem> {
    Ok(Reply::json(match verify(&call.db, call.tenant()?.as_str()).await? {
        Verdict::Whole(lines) => json!({"whole": true, "lines": lines, "broken": null}),
        Verdict::Broken(line) => json!({"whole": false, "lines": line.saturating_sub(1), "broken": line}),
    }))
}
