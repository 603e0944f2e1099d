//! Endpoints, deliveries and attempts over REST.

mod act;
mod again;

use std::sync::Arc;

use hyper::header::{HeaderName, HeaderValue};
use serde_json::Value;

use super::{Cause, DeliveryStatus, WebhookStatus};
use crate::api::{
    Access, Action, Call, Field, Kind, May, Null, Parent, Problem, Resource, Rule, Shape, Tells,
};
use crate::auth::Auth;
use crate::base::role::Roles;
use crate::config::limits::{events, webhooks as limits};
use crate::events::{Events, PATTERN, matches};
use crate::outgoing::{Guard, OutgoingUrl};

/// `/webhooks`
pub static WEBHOOKS: Resource = Resource {
    name: "webhooks",
    one: "webhook",
    path: "/webhooks",
    doc: "Endpoints that get the tenant's events as signed requests (Standard Webhooks). Making one answers with `secret`, \
          which is shown then and never again. `types` are types of events or patterns such as `call.*`. With `ordered`, \
          events of one key come one after the other, each only when the one before was taken or given up. An endpoint \
          that answers 410, or only fails for five days, is disabled, which is told as `webhook.disabled`; set `status` \
          to `active` to begin again, and POST /webhooks/{id}/recover for what it missed.",
    table: "webhooks",
    index: "webhooks_created",
    soft: true,
    may: May { read: Roles::ADMINS, create: Roles::NOBODY, update: Roles::NOBODY, remove: Roles::NOBODY },
    tells: Tells {
        kinds: &[(
            "webhook.disabled",
            "An endpoint was disabled: it said 410, or only failed for five days.",
        )],
        which: Some(act::tells),
        ..Tells::by_actions("webhook")
    },
    fields: &[
        NAME,
        ADDRESS,
        TYPES,
        HEADERS,
        Field::texts("header_names", limits::HEADERS, &HEADER, "Names of these headers.").server(),
        SIGNATURES,
        Field::maybe("public_key", 60, "What verifies `v1a`.")
            .example("\"whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=\"")
            .server(),
        ORDERED,
        CONCURRENCY,
        TIMEOUT,
        Field::one_of("status", WebhookStatus::WORDS, "Whether it gets anything.").server().filter(),
        Field::maybe("disabled_reason", 40, "Why it is disabled: gone, failing.").server(),
        Field::time("old_secret_until", "Until when the secret before signs too.")
            .nullable(Null::Null)
            .server(),
        Field::time("failing_since", "Since when every attempt fails.").nullable(Null::Null).server(),
        Field::int("failures", 0, i64::MAX, "Failures in a row.").server(),
        Field::time(
            "behind_since",
            "Events from about this moment on wait in the stream and have no deliveries yet: it is paused or only probed, \
             or does not come after; null: none wait.",
        )
        .nullable(Null::Null)
        .server(),
        Field::time("last_success_at", "When something was last taken, to some seconds.")
            .nullable(Null::Null)
            .server(),
        Field::time("last_failure_at", "When an attempt last failed.").nullable(Null::Null).server(),
        Field::metadata(),
        hidden("secret"),
        hidden("old_secret"),
        hidden("private_key"),
        hidden("headers_secret"),
        Field::int("from_position", 0, i64::MAX, "Where it begins.").server().secret(),
    ],
    ..Resource::PLAIN
};

/// A sealed text, which nobody is shown.
const fn hidden(name: &'static str) -> Field {
    Field::text(name, 0, 30_000, "Sealed.").server().secret()
}

const NAME: Field =
    Field::text("name", 0, 100, "Its name, for people.").default("\"\"").example("\"CRM\"").sort().search();
const ADDRESS: Field =
    Field::rule("url", &URL, "Where requests go: http or https, no private address.").search();
const TYPES: Field =
    Field::texts("types", events::PATTERNS, &PATTERN, "Types of events, or patterns.").default("[\"*\"]");
/// In a column of its own, sealed.
const HEADERS: Field = Field::json(
    "headers",
    &HEADER_SHAPE,
    "Headers that every request gets, such as `Authorization`. Never shown again.",
)
.default("{}")
.secret()
.column("(headers)");
const SIGNATURES: Field = Field::texts(
    "signatures",
    2,
    &VERSION,
    "`v1`: HMAC-SHA256 with the secret; `v1a`: ed25519, verified with `public_key`.",
)
.default("[\"v1\"]");
const ORDERED: Field =
    Field::flag("ordered", "Whether events of one key come one after the other.").default("false");
const CONCURRENCY: Field =
    Field::int("concurrency", 1, limits::CONCURRENCY.1, "Requests at a time at most.").default("8");
const TIMEOUT: Field =
    Field::int("timeout_s", 1, limits::TIMEOUT_S.1, "Seconds for a request and its answer.").default("15");

/// What makes one.
static NEW: &[Field] = &[
    NAME,
    ADDRESS,
    TYPES,
    HEADERS,
    SIGNATURES,
    ORDERED,
    CONCURRENCY,
    TIMEOUT,
    Field::rule("secret", &SECRET, "A secret of your own; null: one is made and shown once.")
        .nullable(Null::Empty)
        .secret(),
    Field::metadata(),
];

/// What changes one.
static CHANGED: &[Field] = &[
    NAME,
    ADDRESS,
    TYPES,
    HEADERS,
    SIGNATURES,
    ORDERED,
    CONCURRENCY,
    TIMEOUT,
    Field::one_of(
        "status",
        &["active", "paused"],
        "Whether it gets anything; what comes while it is paused waits in the stream.",
    ),
    Field::metadata(),
];

static MADE: &[Field] = &[Field::rule("secret", &SECRET, "What signs; shown in this answer only.")];

static URL: Rule = Rule {
    format: "uri",
    pattern: "^https?://.+$",
    max: crate::config::limits::outgoing::URL_CHARS,
    check: |text| {
        text.parse::<OutgoingUrl>().map(String::from).map_err(|why| format!("{}.", capital(&why.to_string())))
    },
    // A name that nobody has: whoever tries the examples sends nothing to a stranger.
    example: "https://hooks.example.com/hookswitch",
};

static VERSION: Rule = Rule {
    format: "signature-version",
    pattern: "^v1a?$",
    max: 3,
    check: |text| match text {
        "v1" | "v1a" => Ok(text.to_owned()),
        _ => Err("This must be v1 or v1a.".into()),
    },
    example: "v1",
};

static SECRET: Rule = Rule {
    format: "webhook-secret",
    pattern: "^whsec_[A-Za-z0-9+/]{32,88}={0,2}$",
    max: 100,
    check: |text| {
        text.parse::<super::sign::Secret>()
            .map(|secret| secret.expose())
            .map_err(|why| format!("{}.", capital(&why.to_string())))
    },
    example: "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
};

static HEADER: Rule = Rule {
    format: "header-name",
    pattern: "",
    max: limits::HEADER_NAME_CHARACTERS,
    check: |text| Ok(text.to_owned()),
    example: "authorization",
};

static HEADER_SHAPE: Shape = Shape {
    bytes: limits::HEADERS_BYTES,
    check: check_headers,
    schema: r#"{"type":"object","maxProperties":20,"propertyNames":{"pattern":"^(?![Ww][Ee][Bb][Hh][Oo][Oo][Kk]-)[A-Za-z0-9-]{1,64}$"},
        "additionalProperties":{"type":"string","pattern":"^[!-~]([ -~]{0,1998}[!-~])?$"}}"#,
    example: r#"{"X-Token":"s3cret"}"#,
};

/// Headers that belong to the request itself.
const RESERVED: [&str; 12] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "connection",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "keep-alive",
    "proxy-connection",
];

fn check_headers(value: &Value, wrong: &mut Vec<(String, String)>) {
    let Some(object) = value.as_object() else {
        return wrong.push((String::new(), "This must be an object of names and values.".into()));
    };
    if object.len() > limits::HEADERS {
        wrong.push((String::new(), format!("At most {} headers.", limits::HEADERS)));
    }
    let mut seen = Vec::new();
    for (name, value) in object {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        let lower = name.to_ascii_lowercase();
        let plain = name.len() <= limits::HEADER_NAME_CHARACTERS
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && HeaderName::from_bytes(name.as_bytes()).is_ok();
        if !plain
            || lower.starts_with("webhook-")
            || RESERVED.contains(&lower.as_str())
            || seen.contains(&lower)
        {
            wrong.push((pointer.clone(), "This is no name of a header that can be set here.".into()));
        }
        seen.push(lower);
        let fits = value.as_str().is_some_and(|text| {
            (1..=limits::HEADER_VALUE_CHARACTERS).contains(&text.len())
                && text.trim() == text
                && text.bytes().all(|b| (b' '..0x7f).contains(&b))
                && HeaderValue::from_str(text).is_ok()
        });
        if !fits {
            wrong.push((pointer, "This must be 1 to 2000 visible ASCII characters.".into()));
        }
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// `/webhooks/{webhook_id}/deliveries`
pub static DELIVERIES: Resource = Resource {
    name: "webhook-deliveries",
    one: "delivery",
    path: "/webhooks/{webhook_id}/deliveries",
    doc: "What was, is or will be sent to an endpoint, and how far it is. Finished ones are kept as long as events.",
    table: "webhook_deliveries",
    index: "webhook_deliveries_created",
    updated: false,
    parent: Some(Parent { column: "webhook_id", of: &WEBHOOKS }),
    may: May::only_read(Roles::ADMINS),
    tells: Tells::NOTHING,
    fields: &[
        Field::id("webhook_id", "The endpoint.").server(),
        Field::rule("event_id", &crate::events::api::EVENT_ID, "The event, and the request's `webhook-id`.")
            .server()
            .filter(),
        Field::rule("event_type", &PATTERN, "Its type.").example("\"call.ended\"").server().filter(),
        Field::text("event_key", 1, 120, "Its key.")
            .example("\"call:01kb2x8v9q3d5s7f1g4h6j8k0m\"")
            .server()
            .filter(),
        Field::one_of("status", DeliveryStatus::WORDS, "How far it is.").server().filter(),
        Field::one_of("cause", Cause::WORDS, "Why it was made.").server().filter(),
        Field::int("attempts", 0, i64::MAX, "Attempts that were made.").server(),
        Field::time("next_attempt_at", "When the next one is due, or was.")
            .column("next_at")
            .server()
            .filter(),
        Field::int("last_status", 0, 999, "The last answer's status.").nullable(Null::Null).server().filter(),
        Field::maybe("last_error", 40, "What was wrong with the last attempt: status, timeout, connect ...")
            .server()
            .filter(),
        Field::time("finished_at", "When it was finished.").nullable(Null::Null).server().filter(),
    ],
    ..Resource::PLAIN
};

/// `/webhooks/{webhook_id}/attempts`
pub static ATTEMPTS: Resource = Resource {
    name: "webhook-attempts",
    one: "attempt",
    path: "/webhooks/{webhook_id}/attempts",
    doc: "Every request that was sent, with its answer (the first 20,000 bytes). The body is the delivery's payload: \
          GET /webhooks/{webhook_id}/deliveries/{id}/payload.",
    table: "webhook_attempts",
    index: "webhook_attempts_created",
    updated: false,
    parent: Some(Parent { column: "webhook_id", of: &WEBHOOKS }),
    may: May::only_read(Roles::ADMINS),
    tells: Tells::NOTHING,
    fields: &[
        Field::id("webhook_id", "The endpoint.").server(),
        Field::id("delivery_id", "The delivery.").server().filter(),
        Field::rule("event_id", &crate::events::api::EVENT_ID, "The event.").server().filter(),
        Field::int("number", 1, i64::MAX, "The first, second ... attempt of the delivery.").server(),
        Field::text("outcome", 1, 40, "`ok`; `status`: an answer that is no 2xx; else why there was none: timeout, connect, tls, resolve, refused-address, redirect, exchange, unsigned.").example("\"ok\"").server().filter(),
        Field::int("status_code", 0, 999, "The answer's status.").nullable(Null::Null).server().filter(),
        Field::maybe("detail", 300, "An error's own words.").server(),
        Field::int("duration_ms", 0, i64::MAX, "How long it took.").server(),
        Field::text("url", 1, 2_048, "Where it went.").example("\"https://hooks.example.com/hookswitch\"").server(),
        Field::maybe("peer", 60, "The address that answered.").server(),
        Field { kind: Kind::Object(8 * 1024), ..heads("request_headers", "The request's headers; your own are masked.") },
        Field { kind: Kind::Object(8 * 1024), ..heads("response_headers", "The answer's headers.") },
        Field::text("response_body", 0, limits::ANSWER_BYTES, "The answer's first bytes.").server(),
    ],
    ..Resource::PLAIN
};

const fn heads(name: &'static str, doc: &'static str) -> Field {
    let mut field = Field::metadata().example("{\"content-type\":\"application/json\"}").server();
    (field.name, field.column, field.doc) = (name, name, doc);
    field
}

/// What is no plain collection.
pub fn actions(auth: &Arc<Auth>, guard: &Arc<Guard>, events: &Arc<Events>) -> Vec<Action> {
    let tools = Tools { auth: Arc::clone(auth), guard: Arc::clone(guard), events: Arc::clone(events) };
    let mut all = act::actions(&tools);
    all.extend(again::actions(&tools));
    all
}

/// What operations need besides their request.
#[derive(Clone)]
struct Tools {
    /// Seals secrets.
    auth: Arc<Auth>,
    /// Which addresses may be reached.
    guard: Arc<Guard>,
    /// Which types of events there are.
    events: Arc<Events>,
}

impl Tools {
    /// Whether an API key may read every type that is meant: an endpoint of its own would show it what its scopes don't.
    fn readable(&self, call: &Call, patterns: &[&str]) -> Result<(), Problem> {
        let Some(scopes) = &call.caller()?.scopes else { return Ok(()) };
        let is_meant = |kind: &&crate::events::Kind| patterns.iter().any(|p| matches(p, &kind.name));
        let mut meant = self.events.catalogue.kinds().iter().filter(is_meant);
        match meant.find(|kind| !scopes.allow(&kind.chapter, Access::Read)) {
            None => Ok(()),
            Some(kind) => Err(Problem::forbidden(format!(
                "The key lacks the scope {}:read, which {} takes.",
                kind.chapter, kind.name
            ))),
        }
    }
}
