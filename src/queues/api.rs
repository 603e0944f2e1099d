//! Queues and their members as collections; what they do now, and how they did.

mod callbacks;
mod live;
mod report;
mod wall;

use std::sync::Arc;

use serde_json::Value;

pub use callbacks::{CALLBACKS, kinds as callback_kinds};

use super::board::Wall;
use super::live::LiveQueues;
use super::seat::follow;
use super::{Autopause, QueueStatus, QueueStrategy};
use crate::api::{
    Action, Call, Change, Doing, Field, Hooks, May, Null, Parent, Problem, Resource, Rule, Tells, Verb, rules,
};
use crate::base::ids::{Name, Sound, TenantId, global_name};
use crate::base::role::Roles;
use crate::calls;
use crate::config::limits::{queues as limits, routing};
use crate::db::{Tx, db_tx};
use crate::endpoints::ENDPOINT;
use crate::routing::{Named, Router};
use crate::tenants::{Room, room_for};
use crate::users::MEMBER;

/// An extension as a phone dials it.
static EXTENSION: Rule = Rule {
    format: "extension",
    pattern: "^[0-9]{1,10}$",
    max: 10,
    check: |text| match !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => Err("This must be 1 to 10 digits.".into()),
    },
    example: "700",
};

/// A class of music on hold.
static MUSIC: Rule = Rule {
    format: "music-class",
    pattern: "^[A-Za-z0-9_-]{1,80}$",
    max: 80,
    check: |text| match !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    {
        true => Ok(text.to_owned()),
        false => Err("This must be letters, digits, '_' and '-'.".into()),
    },
    example: "default",
};

/// A sound, as long as app_queue's column.
static ANNOUNCE: Rule = Rule {
    format: "sound",
    pattern: "",
    max: 50,
    check: |text| Sound::parse(text).map(|s| s.to_string()).map_err(|e| format!("{e}.")),
    example: "custom/acme/please-hold",
};

/// What a caller hears before the end.
static CONFIRM: Rule = Rule { max: 120, ..ANNOUNCE };

/// A digit.
static KEY: Rule = Rule {
    format: "key",
    pattern: "^[0-9]$",
    max: 1,
    check: |text| match text.len() == 1 && text.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => Err("This must be one digit.".into()),
    },
    example: "1",
};

/// When callers may not join, or leave: app_queue's words.
static EMPTY: Rule = Rule {
    format: "queue-empty",
    pattern: "^(yes|no|strict|loose|(paused|penalty|inuse|ringing|unavailable|invalid|unknown|wrapup)(,(paused|penalty|inuse|ringing|unavailable|invalid|unknown|wrapup))*)$",
    max: 128,
    check: |text| {
        let states = ["paused", "penalty", "inuse", "ringing", "unavailable", "invalid", "unknown", "wrapup"];
        if ["yes", "no", "strict", "loose"].contains(&text)
            || text.split(',').all(|one| states.contains(&one))
        {
            Ok(text.to_owned())
        } else {
            Err(format!(
                "This must be yes, no, strict, loose, or a list of {} joined by commas.",
                states.join(", ")
            ))
        }
    },
    example: "yes",
};

const fn seconds(name: &'static str, doc: &'static str) -> Field {
    Field::int(name, 0, routing::WAIT_S as i64, doc)
}

/// `/queues`
pub static QUEUES: Resource = Resource {
    name: "queues",
    one: "queue",
    path: "/queues",
    doc: "Callers who wait for a member. In Asterisk a queue is called by tenant and name, such as acme-support.",
    table: "queues",
    index: "queues_created",
    routing: true,
    fields: &[
        Field::rule("name", &rules::NAME, "Its name, by which numbers and menus lead to it.")
            .once()
            .filter()
            .sort()
            .search(),
        Field::text("display_name", 0, 200, "Its name for people.")
            .default("\"\"")
            .example("\"Support\"")
            .sort()
            .search(),
        Field::rule(
            "extension",
            &EXTENSION,
            "The extension that reaches it inside; no other queue or endpoint has it.",
        )
        .nullable(Null::Empty)
        .filter(),
        Field::one_of("status", QueueStatus::WORDS, "Whether it takes callers.")
            .default("\"active\"")
            .filter(),
        Field::one_of("strategy", QueueStrategy::WORDS, "How members are chosen, in app_queue's words.")
            .default("\"rrmemory\"")
            .filter(),
        seconds("max_wait_s", "Seconds a caller waits at most; 0: no limit.").default("300"),
        Field::int("timeout_s", 1, limits::RING_S, "Seconds a member rings.").default("15"),
        Field::int("retry_s", 0, limits::RING_S, "Seconds before the next member rings.").default("5"),
        Field::int("wrapup_s", 0, limits::RING_S, "Seconds a member has after a call.").default("0"),
        Field::int("max_len", 0, limits::CALLERS, "Callers at the same time at most; 0: no limit.")
            .default("0"),
        seconds("service_level_s", "Seconds within which a call should be answered.").default("20"),
        Field::int(
            "weight",
            0,
            limits::WEIGHT,
            "Of two queues with the same member the one of more weight comes first.",
        )
        .default("0"),
        Field::rule("music_class", &MUSIC, "Music on hold; null: Asterisk's default.").nullable(Null::Empty),
        seconds("announce_frequency_s", "Seconds between two announcements of the caller's place; 0: none.")
            .default("0"),
        Field::one_of("announce_position", &["yes", "no", "limit", "more"], "Whether the place is told.")
            .default("\"no\""),
        Field::one_of("announce_holdtime", &["yes", "no", "once"], "Whether the expected wait is told.")
            .default("\"no\""),
        Field::rule("periodic_announce", &ANNOUNCE, "A sound played again and again.").nullable(Null::Empty),
        seconds("periodic_announce_frequency_s", "Seconds between two of these; 0: none.").default("0"),
        Field::rule("join_empty", &EMPTY, "Whether callers enter while no member can answer.")
            .default("\"yes\""),
        Field::rule("leave_when_empty", &EMPTY, "Whether callers leave then.").default("\"no\""),
        Field::flag("ring_in_use", "Whether a member who talks rings.").default("false"),
        Field::one_of("autopause", Autopause::WORDS, "Whether a member who does not answer is paused.")
            .default("\"no\""),
        Field::flag("record", "Whether its calls are recorded.").default("false"),
        Field::rule(
            "recording_announcement",
            &ANNOUNCE,
            "A sound that callers hear before they are recorded, once a call; null: the tenant's.",
        )
        .nullable(Null::Empty),
        Field::rule(
            "callback_key",
            &KEY,
            "The key with which a caller leaves the line to be called back; null: none. Asterisk's other keys do nothing then.",
        )
        .nullable(Null::Empty),
        Field::rule(
            "callback_schedule",
            &rules::NAME,
            "The schedule in which callers are called back; null: that of the number which they had called.",
        )
        .example("null")
        .nullable(Null::Empty),
        Field::rule(
            "callback_sound",
            &CONFIRM,
            "What a caller hears who will be called back, then the call ends; null: Asterisk's own words.",
        )
        .nullable(Null::Empty),
        Field::int("callback_attempts", 1, limits::CALLBACK_ATTEMPTS.0, "How often a caller is called.").default("3"),
        Field::int(
            "callback_retry_s",
            limits::CALLBACK_RETRY_S.0,
            limits::CALLBACK_RETRY_S.1,
            "Seconds between two attempts.",
        )
        .default("300"),
        Field::int(
            "callback_expires_s",
            limits::CALLBACK_EXPIRES_S.0,
            limits::CALLBACK_EXPIRES_S.1,
            "Seconds until a callback expires whose turn does not come.",
        )
        .default("28800"),
        Field::metadata(),
    ],
    hooks: Hooks::before(before),
    ..Resource::PLAIN
};

/// `/queues/{queue_id}/members`
pub static MEMBERS: Resource = Resource {
    name: "queues.members",
    one: "member",
    path: "/queues/{queue_id}/members",
    doc: "The endpoints that answer a queue's calls.",
    table: "queue_members",
    index: "queue_members_created",
    // Asterisk is told with its next question.
    routing: true,
    parent: Some(Parent { column: "queue_id", of: &QUEUES }),
    may: May::write(Roles::SUPERVISORS),
    fields: &[
        Field::id("queue_id", "The queue.").server(),
        Field::to("endpoint_id", &ENDPOINT, "The endpoint; once in a queue.").once().filter(),
        Field::to("user_id", &MEMBER, "The user at it.").nullable(Null::Null).filter(),
        Field::int("penalty", 0, limits::PENALTY, "Members of a lower penalty ring first.")
            .default("0")
            .sort(),
        Field::flag("paused", "Whether it is left out for now.").default("false").filter(),
        Field::maybe("pause_reason", 80, "Why; forgotten with the pause."),
    ],
    hooks: Hooks { before: Some(member), after: Some(seated) },
    tells: Tells::as_noun("queue_member"),
    ..Resource::PLAIN
};

/// What is no collection.
pub fn actions(live: &Arc<LiveQueues>, wall: &Arc<Wall>, router: Option<&Arc<Router>>) -> Vec<Action> {
    let mut all = vec![live::action(live), report::action(), wall::action(wall)];
    all.extend(callbacks::actions(router));
    all
}

fn before<'a>(call: &'a Call, tx: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    const TAKEN: &str = "SELECT COUNT(*) FROM queues WHERE tenant_id = ? AND extension = ? AND id <> ?";
    Box::pin(async move {
        let tenant = call.tenant()?;
        match change.verb {
            Verb::Remove => {
                Named::Queue.unused(tx, tenant, change.text("name")).await?;
                return nobody_inside(tx, tenant, change.text("name")).await;
            }
            Verb::Create => room_for(tx, tenant, Room::Queues).await?,
            Verb::Update => {}
        }
        let schedule = change.given.get("callback_schedule").and_then(Value::as_str).map(str::to_owned);
        if let Some(schedule) = schedule
            && !Named::Schedule.exists(tx, tenant, &schedule).await?
        {
            change.fault("callback_schedule", "There is no such schedule.");
        }
        let extension = change.given.get("extension").and_then(Value::as_str).map(str::to_owned);
        let Some(extension) = extension else { return Ok(()) };
        // A locking read: MariaDB's plain one may be older than another's change.
        let taken = format!("{TAKEN}{}", tx.pick("", " LOCK IN SHARE MODE"));
        let others: i64 = db_tx!(&mut *tx, |c| sqlx::query_scalar(sqlx::AssertSqlSafe(taken))
            .bind(tenant.as_str())
            .bind(&extension)
            .bind(&change.id)
            .fetch_one(c)
            .await?);
        if others > 0 {
            change.fault("extension", "Another queue has this extension.");
        } else if Named::Endpoint.exists(tx, tenant, &extension).await? {
            change.fault("extension", "An endpoint has this name, which is its extension.");
        }
        Ok(())
    })
}

/// With the queue its members would go, and whoever waits in it would wait for nobody.
async fn nobody_inside(tx: &mut Tx, tenant: &TenantId, name: &str) -> Result<(), Problem> {
    let name = Name::parse(name).map_err(Problem::internal)?;
    match calls::living_at(tx, tenant, "queue", &global_name(tenant, &name)).await? {
        0 => Ok(()),
        n => Err(Problem::conflict(
            "callers-inside",
            format!(
                "{n} callers are in the queue. Take it out of service (status inactive), and delete it when they have left."
            ),
        )),
    }
}

fn member<'a>(_: &'a Call, _: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        if change.given.get("paused") == Some(&Value::Bool(false)) && change.verb == Verb::Update {
            change.given.insert("pause_reason".into(), Value::Null);
        }
        Ok(())
    })
}

/// A member rings where its user sits, and others of the queue give way to it.
fn seated<'a>(call: &'a Call, tx: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        for record in [&change.before, &change.after] {
            let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
            follow(tx, call.tenant()?, text("user_id"), [text("endpoint_id"), ""]).await?;
        }
        Ok(())
    })
}
