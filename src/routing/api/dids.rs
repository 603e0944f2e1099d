//! `/dids`: numbers and what they do.

use serde_json::{Value, json};

use super::destination::{self, MESSAGE, OPTIONS, TARGET, TIMEOUT, TYPES};
use super::named::Named;
use super::rules::{DID_PLUGIN, HOOK_SECRET, HOOK_URL, SOUND};
use crate::api::{Call, Change, Doing, Field, Hooks, Null, Part, Problem, Resource, Tells, Verb, rules};
use crate::config::limits::{routing as limits, webhook};
use crate::db::{Tx, db_tx};
use crate::plugins::{NO_PLUGIN, unusable};
use crate::routing::did::{DidStatus, RouteType};
use crate::routing::types::RawDestination;
use crate::sandbox::World;
use crate::tenants::{Room, room_for};
use crate::webhooks::sign::Secret;

/// The kinds of plugins that decide on calls.
pub(super) const ASKED: [World; 2] = [World::Router, World::CallScript];

/// `/dids`
pub static DIDS: Resource = Resource {
    name: "dids",
    one: "number",
    path: "/dids",
    doc: "Phone numbers and where their calls go. An inbound call is checked in this order: number in service, tenant in \
          service, limits, block list, allow list (skips opening hours), holidays, opening hours, plugin or webhook, the \
          route, overflow destinations in order, fallback, the tenant's fallback. A change counts from the next call on.",
    table: "dids",
    index: "dids_created",
    soft: true,
    routing: true,
    fields: &[
        Field::rule("number", &rules::NUMBER, "The number, E.164. It belongs to one tenant of the installation.")
            .once()
            .filter()
            .sort()
            .search(),
        Field::text("name", 0, 200, "Its name for people.").default("\"\"").example("\"Main line\"").sort().search(),
        Field::one_of("status", DidStatus::WORDS, "Whether it takes calls.").default("\"active\"").filter(),
        Field::one_of("route_type", RouteType::WORDS, "What it does with a call that nothing else stops.").filter(),
        Field::maybe(
            "route_target",
            120,
            "With whom: the name of a queue, endpoint, menu, call script (a plugin) or mailbox; a number in E.164; a sound; a Q.850 cause. Null \
             for a webhook.",
        )
        .example("\"support\"")
        .filter(),
        Field::int(
            "route_timeout_s",
            0,
            limits::WAIT_S as i64,
            "Seconds to wait or ring; 0: what the queue or endpoint says itself.",
        )
        .default("0"),
        Field::maybe("route_options", limits::OPTION_CHARS, "Options of the Asterisk application; see destinations.").example("\"tT\""),
        Field::rule("message", &SOUND, "A sound played first.").nullable(Null::Empty),
        Field::rule("plugin", &DID_PLUGIN, "The plugin that is asked first, name or name@version; null: the tenant's, of the routing defaults; `-`: none.")
            .nullable(Null::Empty)
            .filter(),
        Field::rule("schedule", &rules::NAME, "Name of its opening hours; null: always open.")
            .nullable(Null::Empty)
            .filter(),
        Field::rule("language", &rules::LANGUAGE, "Language of prompts; null: the tenant's.").nullable(Null::Empty),
        Field::flag("record", "Whether its calls are recorded.").default("false"),
        Field::int("max_concurrent_calls", 0, 1_000_000, "Calls at the same time at most; 0: no limit.").default("0"),
        Field::rule("webhook_url", &HOOK_URL, "Asked where a call goes, for route type webhook.").nullable(Null::Empty),
        Field::rule("webhook_second_url", &HOOK_URL, "Asked when the first gives no usable answer.")
            .nullable(Null::Empty),
        Field::rule(
            "webhook_secret",
            &HOOK_SECRET,
            "Signs what is sent to the URLs (Standard Webhooks). A webhook route without one gets one, shown in that answer \
             only; null makes a new one.",
        )
        .nullable(Null::Empty)
        .secret(),
        Field::int(
            "webhook_timeout_ms",
            webhook::ROUTE_MIN_MS as i64,
            webhook::ROUTE_MAX_MS as i64,
            "Milliseconds that both URLs get together; the caller hears silence meanwhile.",
        )
        .default("2000"),
        Field::metadata(),
    ],
    parts: &[Part {
        name: "destinations",
        doc: "Where calls go besides the route. overflow: in this order when the route reached nobody; fallback: after \
              those, and when plugin or webhook fail; closed: outside opening hours; holiday: on holidays (else closed); \
              limit: too many calls; inactive: the number is out of service.",
        table: "destinations",
        parent: "owner_id",
        fixed: &[("owner_kind", "did")],
        position: "position",
        fields: &[
            Field::one_of(
                "role",
                &["overflow", "fallback", "closed", "holiday", "limit", "inactive"],
                "When. overflow may be there more than once.",
            ),
            Field::one_of("type", TYPES, "What."),
            TARGET,
            TIMEOUT,
            OPTIONS,
            MESSAGE,
        ],
        flat: false,
        stamped: false,
        items: limits::DESTINATIONS,
        unique: &[],
    }],
    hooks: Hooks::before(before),
    tells: Tells::as_noun("did"),
    ..Resource::PLAIN
};

const ROUTE: [&str; 5] = ["route_type", "route_target", "route_timeout_s", "route_options", "message"];

fn before<'a>(call: &'a Call, tx: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        let tenant = call.tenant()?;
        if change.verb == Verb::Remove {
            return Ok(());
        }
        if change.verb == Verb::Create {
            room_for(tx, tenant, Room::Dids).await?;
        }
        let is_webhook = change.text("route_type") == RouteType::Webhook.as_str();
        // Who turns a route into a webhook need not say that it has no target any more.
        if is_webhook && change.given.contains_key("route_type") && !change.given.contains_key("route_target")
        {
            change.given.insert("route_target".into(), Value::Null);
        }
        if ROUTE.iter().any(|name| change.given.contains_key(*name)) {
            if is_webhook {
                no_target(change);
            } else {
                let to = route(change);
                change.faults.extend(
                    destination::check(tx, tenant, &to, ("route_target", "route_options"), "").await?,
                );
            }
        }
        if is_webhook {
            webhook_route(call, tx, change).await?;
        }
        let schedule = change.given.get("schedule").and_then(Value::as_str).map(str::to_owned);
        if let Some(name) = schedule
            && !Named::Schedule.exists(tx, tenant, &name).await?
        {
            change.fault("schedule", "There is no such schedule.");
        }
        let asked = change.given.get("plugin").and_then(Value::as_str).filter(|name| *name != NO_PLUGIN);
        if let Some(asked) = asked.map(str::to_owned)
            && let Some(why) = unusable(tx, tenant, &asked, &ASKED).await?
        {
            change.fault("plugin", why);
        }
        if let Some(Value::Array(list)) = change.given.get("destinations") {
            change.faults.extend(destination::check_list(tx, tenant, list, "overflow").await?);
        }
        Ok(())
    })
}

fn no_target(change: &mut Change) {
    for name in ["route_target", "route_options"] {
        if !change.text(name).is_empty() {
            change.fault(name, "A webhook has none: its answer says so for each call.");
        }
    }
}

fn route(change: &Change) -> RawDestination {
    let seconds = change.value("route_timeout_s").as_u64().and_then(|n| u32::try_from(n).ok());
    RawDestination {
        action: change.text("route_type").to_owned(),
        target: change.text("route_target").to_owned(),
        timeout_s: seconds.unwrap_or(0),
        options: change.text("route_options").to_owned(),
        message: change.text("message").to_owned(),
    }
}

/// A webhook needs a URL and a secret; who has no secret gets one.
async fn webhook_route(call: &Call, tx: &mut Tx, change: &mut Change) -> Result<(), Problem> {
    const KEPT: &str = "SELECT webhook_secret FROM dids WHERE tenant_id = ? AND id = ?";
    if change.text("webhook_url").is_empty() {
        change.fault("webhook_url", "A route of type webhook needs a URL.");
    }
    let wanted = match change.given.get("webhook_secret") {
        Some(value) => value.is_null(),
        None => {
            let tenant = call.tenant()?;
            let kept: Option<String> = db_tx!(tx, |c| sqlx::query_scalar(KEPT)
                .bind(tenant.as_str())
                .bind(&change.id)
                .fetch_optional(c)
                .await?);
            kept.is_none_or(|secret| secret.is_empty())
        }
    };
    if wanted {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).map_err(Problem::internal)?;
        let secret = Secret::from_bytes(&bytes).map_err(Problem::internal)?.expose();
        change.given.insert("webhook_secret".into(), json!(secret));
        change.once.insert("webhook_secret".into(), json!(secret));
    }
    Ok(())
}
