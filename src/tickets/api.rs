//! Tickets, their templates and service levels as collections; messages, files and what is done with a ticket stand
//! beside this file.

use serde_json::Value;

use super::{BodyFormat, MessageKind, TicketChannel, TicketPriority, TicketStatus, act, files, talk};
use crate::api::{
    Action, Call, Change, Doing, Field, Hooks, May, Null, Own, Parent, Part, Problem, Resource, Shape,
    Target, Tells, Verb, rules, store,
};
use crate::base::role::Roles;
use crate::config::limits::tickets as limits;
use crate::contacts::{CONTACT, TAG};
use crate::db::Tx;

/// Where references to schedules lead: to their names.
static SCHEDULE: Target = Target { one: "schedule", table: "schedules", column: "name", soft: false };

/// `/tickets`
pub static TICKETS: Resource = Resource {
    name: "tickets",
    one: "ticket",
    path: "/tickets",
    doc: "What somebody wants, and how far it is. Agents see their own and those that nobody has. A status changes by \
          PATCH or by the actions resolve, close and reopen; where there is no way from one to the other the answer is \
          409 `wrong-state`. A closed ticket stays closed.",
    table: "tickets",
    index: "tickets_created",
    soft: true,
    may: May { read: Roles::ALL, create: Roles::AGENTS, update: Roles::AGENTS, remove: Roles::SUPERVISORS },
    own: Some(Own { roles: Roles::ONLY_AGENTS, columns: &["assigned_to"], or_nobody: true }),
    fields: TICKET,
    parts: &[Part {
        name: "tags",
        doc: "Ids of its tags.",
        table: "ticket_tags",
        parent: "ticket_id",
        fixed: &[],
        position: "",
        fields: &[Field::to("tag_id", &TAG, "A tag.")],
        flat: true,
        stamped: true,
        items: limits::TAGS,
        unique: &[],
    }],
    hooks: Hooks::before(act::before),
    tells: Tells {
        kinds: &[
            ("ticket.resolved", "A ticket was resolved."),
            ("ticket.closed", "A ticket was closed."),
            ("ticket.reopened", "A ticket that was resolved was opened again."),
        ],
        which: Some(act::tells),
        ..Tells::USUAL
    },
    ..Resource::PLAIN
};

const TICKET: &[Field] = &[
    Field::int("number", 1, i64::MAX, "Its number for people, from 1 in each tenant.")
        .server()
        .filter()
        .sort(),
    Field::text("subject", 1, 200, "What it is about.").example("\"No dial tone\"").search(),
    Field::text("description", 0, limits::TEXT_CHARACTERS, "What it is about, at length.").default("\"\""),
    Field::one_of("status", TicketStatus::WORDS, "How far it is. A new ticket is open.")
        .default("\"open\"")
        .filter(),
    Field::one_of("priority", TicketPriority::WORDS, "How much it matters.").default("\"medium\"").filter(),
    Field::one_of("channel", TicketChannel::WORDS, "How it came.").default("\"web\"").once().filter(),
    Field::maybe("queue", 60, "The team it lies with.").filter(),
    Field::maybe("category", 60, "What kind of thing it is, in the tenant's words.").filter(),
    Field::to("contact_id", &CONTACT, "Who wants it.").nullable(Null::Null).filter(),
    Field::to("assigned_to", &crate::users::MEMBER, "The user who works on it.")
        .nullable(Null::Null)
        .filter(),
    Field::id("created_by", "The user who wrote it down.").nullable(Null::Null).server().filter(),
    Field::id("call_id", "The call it came from.").nullable(Null::Empty).once().filter(),
    Field::id("chat_session_id", "The chat it came from.").nullable(Null::Empty).once().filter(),
    Field::text("origin_key", 0, 190, "What made it, when no person did.").nullable(Null::Null).server(),
    Field::time("due_at", "When it should be done, as somebody promised.").nullable(Null::Null),
    moment("resolved_at", "When it was resolved."),
    moment("closed_at", "When it was closed."),
    Field::int("reopened_count", 0, i64::MAX, "How often it was opened again.").default("0").server(),
    moment("last_message_at", "When something was last said in it."),
    moment("waiting_since", "Since when the contact waits for an answer."),
    Field::id("sla_policy_id", "The service level it falls under.").nullable(Null::Null).server(),
    moment("first_response_at", "When the contact was first answered."),
    moment("first_response_due_at", "When it should be first answered."),
    moment("first_response_breached_at", "When that was missed."),
    moment("next_response_due_at", "When what the contact said last should be answered."),
    moment("next_response_breached_at", "When that was missed."),
    moment("resolution_due_at", "When it should be resolved."),
    moment("resolution_breached_at", "When that was missed."),
    moment("sla_paused_at", "Since when the clock of its resolution stands still."),
    Field::int(
        "sla_paused_total_s",
        0,
        i64::MAX,
        "For how long that clock stood still before, in working seconds.",
    )
    .default("0")
    .server(),
    Field::metadata(),
];

/// A time that the service writes, once it comes.
const fn moment(name: &'static str, doc: &'static str) -> Field {
    Field::time(name, doc).nullable(Null::Null).server()
}

/// `/tickets/{ticket_id}/messages`
pub static MESSAGES: Resource = Resource {
    name: "ticket-messages",
    one: "message",
    path: "/tickets/{ticket_id}/messages",
    doc: "What is said in a ticket: replies, which the contact sees; notes, which only agents see; and what the service \
          has to say. What was said stays as it is.",
    table: "ticket_messages",
    index: "ticket_messages_created",
    parent: Some(Parent { column: "ticket_id", of: &TICKETS }),
    order: "created_at",
    may: May::only_read(Roles::ALL),
    fields: &[
        Field::id("ticket_id", "The ticket.").server(),
        Field::one_of("kind", MessageKind::WORDS, "Reply, note, or the service's own.").server().filter(),
        Field::one_of("author_kind", super::AuthorKind::WORDS, "Who wrote it.").server().filter(),
        Field::maybe("author_id", 26, "The user, key, contact or plugin.").server(),
        Field::maybe("author_name", 254, "Its name at that time.").server(),
        Field::text("body", 1, limits::TEXT_CHARACTERS, "The text.").server(),
        Field::one_of("body_format", BodyFormat::WORDS, "How the text is written.").server(),
        Field::text("client_id", 1, 64, "The sender's own id of it.").nullable(Null::Null).server(),
        Field::metadata(),
    ],
    tells: Tells {
        noun: "ticket.message",
        key: ("ticket", "ticket_id"),
        kinds: &[
            ("ticket.replied", "Somebody wrote in a ticket what its contact sees."),
            ("ticket.noted", "Somebody wrote a note in a ticket."),
        ],
        which: Some(talk::tells),
        ..Tells::USUAL
    },
    ..Resource::PLAIN
};

/// `/tickets/{ticket_id}/attachments`
pub static ATTACHMENTS: Resource = Resource {
    name: "ticket-attachments",
    one: "attachment",
    path: "/tickets/{ticket_id}/attachments",
    doc: "Files of a ticket. A file is sent as it is, and comes back under `content`, always to be saved.",
    table: "ticket_attachments",
    index: "ticket_attachments_created",
    parent: Some(Parent { column: "ticket_id", of: &TICKETS }),
    may: May { read: Roles::ALL, create: Roles::NOBODY, update: Roles::NOBODY, remove: Roles::SUPERVISORS },
    fields: &[
        Field::id("ticket_id", "The ticket.").server(),
        Field::id("message_id", "The message it came with.").nullable(Null::Null).server().filter(),
        Field::text("file_name", 1, limits::FILE_NAME_CHARACTERS, "Its name as sent.").server(),
        Field::text("content_type", 1, 127, "Its type, which its first bytes agree with.").server(),
        Field::int("bytes", 0, i64::MAX, "Its length.").server(),
        Field::text("sha256", 64, 64, "SHA-256 in hexadecimal digits.").server(),
        Field::text("storage_key", 1, 255, "Where it lies.").server().secret(),
        Field::id("created_by", "The user who added it.").nullable(Null::Null).server(),
    ],
    tells: Tells {
        noun: "ticket.attachment",
        key: ("ticket", "ticket_id"),
        also: &["created"],
        ..Tells::USUAL
    },
    ..Resource::PLAIN
};

/// `/ticket-templates`
pub static TEMPLATES: Resource = Resource {
    name: "ticket-templates",
    one: "ticket template",
    path: "/ticket-templates",
    doc: "What a ticket or an answer can start from. `{{names}}` in subject and body are for the client to fill in.",
    table: "ticket_templates",
    index: "ticket_templates_created",
    soft: true,
    may: May::write(Roles::SUPERVISORS),
    fields: &[
        Field::text("name", 1, 100, "Its name; unique in the tenant.").filter().sort().search(),
        Field::maybe("category", 60, "Where it is listed.").filter(),
        Field::maybe("subject", 200, "The subject.").search(),
        Field::text("body", 1, limits::TEXT_CHARACTERS, "The text.").example("\"Hello {{name}}, ...\""),
        Field::one_of("priority", TicketPriority::WORDS, "The priority of a ticket made from it.")
            .default("\"medium\""),
        Field::texts("tags", limits::TAGS, &rules::ID, "Ids of the tags of a ticket made from it.")
            .default("[]"),
        Field::flag("active", "Whether it is offered.").default("true").filter(),
        Field::metadata(),
    ],
    hooks: Hooks::before(known_tags),
    ..Resource::PLAIN
};

/// `/sla-policies`
pub static POLICIES: Resource = Resource {
    name: "sla-policies",
    one: "service level",
    path: "/sla-policies",
    doc: "What is promised for which tickets. The first active policy by position whose conditions hold is a ticket's.",
    table: "ticket_slas",
    index: "ticket_slas_created",
    may: May::write(Roles::ADMINS),
    fields: &[
        Field::text("name", 1, 100, "Its name; unique in the tenant.").filter().sort().search(),
        Field::maybe("description", 500, "What it is for."),
        Field::int("position", 0, limits::POSITION_MOST, "Its place among the others.").default("0").sort(),
        Field::flag("active", "Whether new tickets fall under it.").default("true").filter(),
        Field::json("conditions", &CONDITIONS, "Every list that is given must hold the ticket's value.")
            .default("{}"),
        Field::json(
            "targets",
            &TARGETS,
            "By priority: working seconds to the first answer, to each later one, and to \
                                          the end; null or left out: no promise.",
        ),
        Field::rule("schedule", &rules::NAME, "The schedule of working hours, by name; null: always.")
            .nullable(Null::Empty)
            .example("\"office\""),
        Field::int(
            "warn_before_s",
            0,
            limits::WARN_MOST_S,
            "Seconds before a due time at which somebody is warned; 0: \
                                                             nobody.",
        )
        .default("0"),
        Field::metadata(),
    ],
    hooks: Hooks::before(known_schedule),
    tells: Tells::as_noun("sla_policy"),
    ..Resource::PLAIN
};

static CONDITIONS: Shape = Shape {
    bytes: limits::SHAPE_BYTES,
    check: conditions,
    schema: r#"{"type":"object","additionalProperties":false,"properties":{
        "priorities":{"type":"array","items":{"enum":["low","medium","high","critical"]}},
        "channels":{"type":"array","items":{"enum":["web","phone","voicemail","email","chat","sms","api","plugin"]}},
        "queues":{"type":"array","items":{"type":"string"}},
        "categories":{"type":"array","items":{"type":"string"}},
        "tags":{"type":"array","items":{"type":"string"},"description":"Ids of tags, of which the ticket has one."}}}"#,
    example: r#"{"priorities":["high","critical"],"channels":["phone"]}"#,
};

static TARGETS: Shape = Shape {
    bytes: limits::SHAPE_BYTES,
    check: targets,
    schema: r#"{"type":"object","propertyNames":{"enum":["low","medium","high","critical"]},"additionalProperties":{
        "type":"object","additionalProperties":false,"properties":{
        "first_response_s":{"type":["integer","null"],"minimum":1},
        "next_response_s":{"type":["integer","null"],"minimum":1},
        "resolution_s":{"type":["integer","null"],"minimum":1}}}}"#,
    example: r#"{"high":{"first_response_s":900,"resolution_s":14400}}"#,
};

type Wrong = Vec<(String, String)>;

fn conditions(value: &Value, wrong: &mut Wrong) {
    let Some(object) = value.as_object() else {
        return wrong.push((String::new(), "This must be a JSON object.".into()));
    };
    for (name, list) in object {
        let words: Option<&[&str]> = match name.as_str() {
            "priorities" => Some(TicketPriority::WORDS),
            "channels" => Some(TicketChannel::WORDS),
            "queues" | "categories" | "tags" => None,
            _ => {
                wrong.push((pointer(name), "There is no such condition.".into()));
                continue;
            }
        };
        let Some(items) = list.as_array().filter(|items| items.len() <= limits::CONDITION_ITEMS) else {
            wrong.push((
                pointer(name),
                format!("This must be a list of at most {}.", limits::CONDITION_ITEMS),
            ));
            continue;
        };
        for (n, item) in items.iter().enumerate() {
            let fits = |text: &str| match words {
                Some(words) => words.contains(&text),
                None => (1..=60).contains(&text.chars().count()),
            };
            if !item.as_str().is_some_and(fits) {
                let why = words.map_or_else(
                    || "This must be a text of 1 to 60 characters.".to_owned(),
                    |words| format!("This must be one of: {}.", words.join(", ")),
                );
                wrong.push((format!("/{name}/{n}"), why));
            }
        }
    }
}

fn targets(value: &Value, wrong: &mut Wrong) {
    let Some(object) = value.as_object() else {
        return wrong.push((String::new(), "This must be a JSON object.".into()));
    };
    for (priority, target) in object {
        if TicketPriority::parse(priority).is_none() {
            wrong.push((
                pointer(priority),
                format!("A priority is one of: {}.", TicketPriority::WORDS.join(", ")),
            ));
            continue;
        }
        let Some(target) = target.as_object() else {
            wrong.push((format!("/{priority}"), "This must be a JSON object.".into()));
            continue;
        };
        for (clock, seconds) in target {
            if !["first_response_s", "next_response_s", "resolution_s"].contains(&clock.as_str()) {
                wrong.push((format!("/{priority}{}", pointer(clock)), "There is no such clock.".into()));
            } else if !seconds.is_null()
                && !seconds.as_i64().is_some_and(|s| (1..=limits::TARGET_MOST_S).contains(&s))
            {
                let why = format!("This must be null or a whole number from 1 to {}.", limits::TARGET_MOST_S);
                wrong.push((format!("/{priority}/{clock}"), why));
            }
        }
    }
}

/// A name that somebody made up, as part of a JSON pointer.
fn pointer(name: &str) -> String {
    format!("/{}", name.chars().take(100).collect::<String>().replace('~', "~0").replace('/', "~1"))
}

fn known_tags<'a>(call: &'a Call, tx: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        let tags: Vec<String> = match change.given.get("tags").and_then(Value::as_array) {
            Some(tags) => tags.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            None => return Ok(()),
        };
        for (n, tag) in tags.iter().enumerate() {
            if !store::exists(tx, &TAG, call.tenant()?, tag).await? {
                change.fault(&format!("tags/{n}"), "There is no such tag.");
            }
        }
        Ok(())
    })
}

fn known_schedule<'a>(
    call: &'a Call,
    tx: &'a mut Tx,
    change: &'a mut Change,
) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        let given = change.given.get("schedule").and_then(Value::as_str).map(str::to_owned);
        if change.verb != Verb::Remove
            && let Some(name) = given
            && !store::exists(tx, &SCHEDULE, call.tenant()?, &name).await?
        {
            change.fault("schedule", "There is no such schedule.");
        }
        Ok(())
    })
}

/// Every operation beside the usual five.
pub fn actions() -> Vec<Action> {
    let mut all = act::actions();
    all.extend(talk::actions());
    all.extend(files::actions());
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tickets::TicketSla;
    use serde_json::json;

    fn found(shape: &Shape, value: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        (shape.check)(value, &mut wrong);
        wrong.into_iter().map(|(at, _)| at).collect()
    }

    #[test]
    fn what_passes_is_what_the_clocks_can_read() {
        for value in [json!({}), json!({"priorities": ["low"], "tags": ["x"], "queues": []})] {
            assert_eq!(found(&CONDITIONS, &value), [""; 0], "{value}");
            assert!(serde_json::from_value::<crate::tickets::sla::SlaConditions>(value).is_ok());
        }
        let targets = json!({"high": {"first_response_s": 1, "next_response_s": null}, "low": {}});
        assert_eq!(found(&TARGETS, &targets), [""; 0]);
        let policy: Result<TicketSla, _> = serde_json::from_value(json!({
            "id": "01arz3ndektsv4rrffq69g5fav", "tenant_id": "acme", "name": "x", "position": 0, "active": true,
            "conditions": {}, "targets": targets, "warn_before_s": 0,
            "created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-01T00:00:00Z"
        }));
        assert!(policy.is_ok(), "{policy:?}");
        for shape in [&CONDITIONS, &TARGETS] {
            let example: Value = serde_json::from_str(shape.example).unwrap();
            assert_eq!(found(shape, &example), [""; 0]);
            assert!(serde_json::from_str::<Value>(shape.schema).unwrap().is_object());
        }
    }

    #[test]
    fn every_fault_has_its_place() {
        let value = json!({"priorities": ["low", "x"], "a/b": [], "tags": [""], "queues": 1});
        let mut wrong = found(&CONDITIONS, &value);
        wrong.sort();
        assert_eq!(wrong, ["/a~1b", "/priorities/1", "/queues", "/tags/0"]);
        assert_eq!(found(&CONDITIONS, &json!([])), [""]);
        let value = json!({"urgent": {}, "low": {"first_response_s": 0, "x": 1}, "high": []});
        let mut wrong = found(&TARGETS, &value);
        wrong.sort();
        assert_eq!(wrong, ["/high", "/low/first_response_s", "/low/x", "/urgent"]);
    }
}
