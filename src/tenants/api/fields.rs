//! What tenants look like.

use serde_json::Value;

use crate::api::rules::{self, COUNTRY};
use crate::api::{Field, Kind, Null, Resource, Rule, Shape, Tells};
use crate::base::ids::Sound;
use crate::config::limits::{api, outbound, queues, sound, tenants as limits};

/// The name of a feature.
static FEATURE: Rule = Rule {
    format: "feature",
    pattern: "^[a-z][a-z0-9_-]{0,39}$",
    max: 40,
    check: |text| {
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        let rest = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
        if first && rest {
            Ok(text.to_owned())
        } else {
            Err("This must be a word of a-z, 0-9, '-' and '_'.".into())
        }
    },
    example: "sms",
};

static SOUND: Rule = Rule {
    format: "sound",
    pattern: "",
    max: 120,
    check: |text| Sound::parse(text).map(|s| s.to_string()).map_err(|e| format!("{e}.")),
    example: "custom/acme/this-call-is-recorded",
};

const MOST: i64 = 1_000_000;
const LIMIT_NOTE: &str = "0";

const NAME: Field = Field::text("name", 1, 200, "Its name for people.").example("\"Acme Corporation\"");

const fn limit(name: &'static str, doc: &'static str) -> Field {
    Field::int(name, 0, MOST, doc).default(LIMIT_NOTE)
}

const fn kept(name: &'static str, doc: &'static str) -> Field {
    Field::int(name, 1, sound::DAYS_MOST, doc).nullable(Null::Null)
}

const fn object(name: &'static str, bytes: usize, doc: &'static str) -> Field {
    // `metadata` is the one object that the engine names itself.
    let mut field = Field::metadata();
    field.name = name;
    field.column = name;
    field.kind = Kind::Object(bytes);
    field.doc = doc;
    field.example = "{}";
    field
}

/// Fields that an admin of the tenant may change; the others are the operator's.
pub(super) const OWN: [&str; 9] = [
    "name",
    "language",
    "zone",
    "contact_email",
    "settings",
    "voicemail_days",
    "recording_days",
    "recording_announcement",
    "wrapup_s",
];

/// A tenant's fields.
pub(super) const FIELDS: &[Field] = &[
    NAME.filter().sort().search(),
    Field::one_of(
        "status",
        &["active", "trial", "suspended", "inactive"],
        "Whether it may have calls: active and trial do.",
    )
    .server()
    .filter(),
    Field::rule("language", &rules::LANGUAGE, "Language of prompts where nothing else names one.")
        .default("\"en\""),
    Field::rule("zone", &rules::ZONE, "IANA time zone of its reports and of schedules that name none.")
        .default("\"UTC\""),
    Field::rule("contact_email", &rules::EMAIL, "Whom the operator writes to.")
        .nullable(Null::Empty)
        .filter()
        .search(),
    object("settings", limits::SETTINGS_BYTES, "Settings of its own; a JSON object."),
    Field::maybe("plan", 40, "What it pays for, in the operator's words.").filter(),
    limit("max_agents", "Users with the role agent at most; 0: no limit."),
    limit("max_dids", "Numbers at most; 0: no limit."),
    limit("max_endpoints", "Endpoints at most; 0: no limit."),
    limit("max_queues", "Queues at most; 0: no limit."),
    limit("max_concurrent_calls", "Calls at the same time at most; 0: no limit."),
    limit("max_storage_mib", "MiB of recordings, voicemails and attachments at most; 0: no limit."),
    Field::texts("features", limits::FEATURES, &FEATURE, "Names of the features that are switched on.")
        .default("[]"),
    Field::time("trial_ends_at", "When its trial ends; it is suspended then.").nullable(Null::Null),
    Field::maybe("suspended_reason", 500, "Why it was suspended.").server(),
    Field::time("deletion_requested_at", "When somebody asked to have it deleted.")
        .nullable(Null::Null)
        .server(),
    kept("voicemail_days", "Days that voicemails are kept; null: for ever."),
    kept("recording_days", "Days that recordings are kept but under legal hold; null: for ever."),
    Field::rule(
        "recording_announcement",
        &SOUND,
        "A sound that callers hear before they are recorded, once a call.",
    )
    .nullable(Null::Empty),
    Field::int(
        "wrapup_s",
        0,
        queues::RING_S,
        "Seconds an agent has after a call that came by no queue; 0: none.",
    )
    .default("0"),
    object("metadata", api::METADATA_BYTES, "What the operator keeps with it; its own people can read it."),
    limit("max_outbound_calls", "Calls out at the same time at most; 0: no limit."),
    Field::int(
        "max_outbound_rate",
        0,
        outbound::RATE_MOST,
        "Calls out in a second at most, on each node of the service; 0: no limit.",
    )
    .default("10"),
    Field::rule("country", &COUNTRY, "Its country, whose emergency numbers hold for it too.")
        .nullable(Null::Empty),
];

static ID: Field = Field::rule("id", &rules::TENANT, "Its id.").server();

/// `/tenants`
pub static TENANTS: Resource = Resource {
    name: "tenants",
    one: "tenant",
    path: "/tenants",
    doc: "Businesses that use the service.",
    id: &ID,
    table: "tenants",
    source: "(SELECT s.*, s.id AS tenant_id FROM tenants s)",
    soft: true,
    fields: FIELDS,
    tells: Tells::by_actions("tenant"),
    ..Resource::PLAIN
};

/// The body of a new tenant.
pub(super) static NEW: [Field; 27] = [
    Field::rule("id", &rules::TENANT, "Its id, for good; a part of every name towards Asterisk."),
    NAME,
    Field::one_of("status", &["active", "trial"], "Whether it pays or tries.").default("\"active\""),
    FIELDS[2],
    FIELDS[3],
    FIELDS[4],
    FIELDS[5],
    FIELDS[6],
    FIELDS[7],
    FIELDS[8],
    FIELDS[9],
    FIELDS[10],
    FIELDS[11],
    FIELDS[12],
    FIELDS[13],
    FIELDS[14],
    FIELDS[17],
    FIELDS[18],
    FIELDS[19],
    FIELDS[20],
    FIELDS[21],
    FIELDS[22],
    FIELDS[23],
    FIELDS[24],
    Field::rule("admin_email", &rules::EMAIL, "The first admin's login name; null: none is made.")
        .nullable(Null::Empty),
    Field::maybe(
        "admin_password",
        crate::config::limits::auth::PASSWORD_MAX_CHARS,
        "Their password; null: one is made up and shown once.",
    )
    .example("\"correct-horse-battery\"")
    .secret(),
    Field::maybe("admin_name", 100, "Their family name."),
];

pub(super) static REASON: [Field; 1] = [Field::maybe("reason", 500, "Why, for the tenant's people to read.")];
pub(super) static CONFIRM: [Field; 1] =
    [Field::rule("confirm", &rules::TENANT, "The tenant's id once more: this can't be undone.")];

static COUNTS: Shape = Shape {
    bytes: 64 * 1024,
    check: |_: &Value, _: &mut Vec<(String, String)>| {},
    schema: r#"{"type":"object","additionalProperties":{"type":"integer"}}"#,
    example: r#"{"contacts":120,"dids":3}"#,
};

pub(super) static PURGED: [Field; 2] = [
    Field::int("total", 0, i64::MAX, "Rows that were destroyed."),
    Field::json("rows", &COUNTS, "The same by table."),
];

const fn count(name: &'static str, doc: &'static str) -> Field {
    Field::int(name, 0, i64::MAX, doc)
}

/// Answer of `/tenants/{id}/usage`.
pub(super) static USAGE: [Field; 11] = [
    count("users", "Users with a role."),
    count("agents", "Of these, agents."),
    count("dids", "Numbers."),
    count("endpoints", "Endpoints."),
    count("queues", "Queues."),
    count("contacts", "Contacts."),
    count("open_tickets", "Tickets that are neither resolved nor closed."),
    count("calls_today", "Calls since midnight in the tenant's zone."),
    count("live_calls", "Calls without an end, on every node."),
    count("storage_bytes", "Bytes of recordings, voicemails and attachments."),
    Field::json("limits", &COUNTS, "The tenant's limits by their names; 0: no limit."),
];
