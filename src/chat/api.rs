//! Widgets, conversations, messages, transfers and agents' settings as collections: the staff's side of the chat.

use serde_json::Value;

use super::{ChatMessageKind, ChatStatus, EndedBy, SenderKind, TransferStatus, act, hand_on, talk, widget};
use crate::api::{Action, Field, Hooks, May, Null, Own, Parent, Resource, Rule, Tells, rules};
use crate::base::role::Roles;
use crate::config::limits::chat as limits;
use crate::contacts::CONTACT;
use crate::users::MEMBER;

/// What an agent knows.
static SKILL: Rule = Rule {
    format: "skill",
    pattern: "^[a-z0-9_-]{1,40}$",
    max: 40,
    check: |text| {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
        if !text.is_empty() && text.bytes().all(good) {
            return Ok(text.to_owned());
        }
        Err("This must be 1 to 40 of a-z, 0-9, '_' and '-'.".into())
    },
    example: "billing",
};

/// `/chat/widgets`
pub static WIDGETS: Resource = Resource {
    name: "chat-widgets",
    one: "chat widget",
    path: "/chat/widgets",
    doc: "Chat windows on web pages. The page's script names the public key, which the service makes and which is no \
          secret.",
    table: "chat_widgets",
    index: "chat_widgets_created",
    soft: true,
    may: May::write(Roles::ADMINS),
    fields: &[
        Field::text("name", 1, 100, "Its name for people.").example("\"Home page\"").filter().sort().search(),
        Field::text("public_key", 1, 64, "What the page's script names.").server().filter(),
        Field::maybe("queue", 60, "The team that answers.").filter(),
        Field::rule(
            "schedule",
            &rules::NAME,
            "The schedule of when somebody is there, by name; null: always.",
        )
        .nullable(Null::Empty)
        .example("\"office\""),
        Field::json("settings", &widget::SETTINGS, "Looks and words.").default("{}"),
        Field::texts(
            "allowed_origins",
            limits::ORIGINS,
            &widget::ORIGIN,
            "Pages it may be on: https://www.example.com, https://*.example.com. None: any.",
        )
        .default("[]"),
        Field::flag("active", "Whether it works.").default("true").filter(),
        Field::metadata(),
    ],
    hooks: Hooks::before(widget::before),
    ..Resource::PLAIN
};

/// `/chat/sessions`
pub static SESSIONS: Resource = Resource {
    name: "chat-sessions",
    one: "chat session",
    path: "/chat/sessions",
    doc: "Conversations with visitors. Agents see their own and those that nobody has; they take one by setting \
          agent_id to themselves, up to their `max_chats` (409 `at-capacity`), and hand it on by a transfer. Supervisors may \
          give it to anybody, and back to the queue.",
    table: "chat_sessions",
    index: "chat_sessions_created",
    may: May { read: Roles::ALL, create: Roles::NOBODY, update: Roles::AGENTS, remove: Roles::NOBODY },
    own: Some(Own { roles: Roles::ONLY_AGENTS, columns: &["agent_id"], or_nobody: true }),
    fields: &[
        Field::id("widget_id", "The widget it came through.").server().filter(),
        Field::text("visitor_id", 1, 64, "The visitor, the same in later conversations.").server().filter(),
        Field::maybe("visitor_name", 200, "What the visitor is called.").server().search(),
        Field::maybe("visitor_email", 254, "Where the visitor gets mail.").server().search(),
        Field::to("contact_id", &CONTACT, "The contact the visitor is.").nullable(Null::Null).filter(),
        Field::one_of("status", ChatStatus::WORDS, "How far it is.").server().filter(),
        Field::maybe("queue", 60, "The team it waits for. Written by supervisors.").filter(),
        Field::to("agent_id", &MEMBER, "The user who answers; null: it waits.").nullable(Null::Null).filter(),
        moment("queued_at", "When it began to wait."),
        moment("assigned_at", "When an agent took it."),
        moment("first_reply_at", "When an agent first wrote."),
        moment("last_message_at", "When anybody last wrote."),
        moment("ended_at", "When it ended."),
        Field::one_of("ended_by", EndedBy::WORDS, "Who ended it.").nullable(Null::Empty).server(),
        count("last_seq", "The number of its last message."),
        count("visitor_read_seq", "The visitor has read up to here."),
        count("agent_read_seq", "The agent has read up to here."),
        Field::int("rating", 1, limits::RATING_MOST as i64, "The visitor's mark, 5 is best.")
            .nullable(Null::Null)
            .server()
            .filter(),
        Field::maybe("rating_comment", 1_000, "What the visitor said with it.").server(),
        Field::maybe("page_url", 2_048, "The page it began on.").server(),
        Field::maybe("locale", 20, "The visitor's language.").server(),
        Field::maybe("address", 45, "Where the visitor comes from.").server(),
        Field::maybe("user_agent", 255, "What the visitor's browser calls itself.").server(),
        Field::metadata(),
    ],
    hooks: Hooks::before(act::before),
    tells: Tells {
        noun: "chat.session",
        kinds: &[
            ("chat.session.started", "A visitor began a chat."),
            ("chat.session.queued", "A chat waits for an agent."),
            ("chat.session.assigned", "An agent got a chat."),
            ("chat.session.ended", "A chat ended."),
            ("chat.session.abandoned", "A visitor left before an agent had the chat."),
        ],
        which: Some(act::tells),
        ..Tells::USUAL
    },
    ..Resource::PLAIN
};

const fn moment(name: &'static str, doc: &'static str) -> Field {
    Field::time(name, doc).nullable(Null::Null).server()
}

const fn count(name: &'static str, doc: &'static str) -> Field {
    Field::int(name, 0, i64::MAX, doc).server()
}

/// `/chat/sessions/{session_id}/messages`
pub static MESSAGES: Resource = Resource {
    name: "chat-messages",
    one: "chat message",
    path: "/chat/sessions/{session_id}/messages",
    doc: "What was said, numbered from 1 without gaps. Only `seq` tells the order.",
    table: "chat_messages",
    index: "chat_messages_created",
    updated: false,
    parent: Some(Parent { column: "session_id", of: &SESSIONS }),
    order: "seq",
    may: May::only_read(Roles::ALL),
    fields: &[
        Field::id("session_id", "The conversation.").server(),
        Field::int("seq", 1, i64::MAX, "Its number in the conversation.").server().filter().sort(),
        Field::text("client_id", 1, 64, "The sender's own id of it.").nullable(Null::Null).server(),
        Field::one_of("sender_kind", SenderKind::WORDS, "Who wrote it.").server().filter(),
        Field::maybe("sender_id", 64, "The visitor, user, key or plugin.").server(),
        Field::maybe("sender_name", 200, "Its name at that time.").server(),
        Field::one_of("kind", ChatMessageKind::WORDS, "What it is; a note is seen by agents only.")
            .server()
            .filter(),
        Field::text("body", 1, limits::MESSAGE_CHARACTERS, "The text.").server(),
        moment("read_at", "When the other side read it."),
        Field::metadata(),
    ],
    tells: Tells {
        noun: "chat.message",
        key: ("chat.session", "session_id"),
        also: &["created"],
        ..Tells::USUAL
    },
    ..Resource::PLAIN
};

const TRANSFER: &[Field] = &[
    Field::id("session_id", "The conversation.").server().filter(),
    Field::to("from_agent_id", &MEMBER, "The user who gives it away.").nullable(Null::Null).server().filter(),
    Field::to("to_agent_id", &MEMBER, "The user who should take it; or give to_queue.")
        .nullable(Null::Null)
        .once()
        .filter(),
    Field::maybe("to_queue", 60, "The team that should take it; or give to_agent_id.").once().filter(),
    Field::one_of("status", TransferStatus::WORDS, "How far it is.").server().filter(),
    Field::maybe("note", 500, "What the other side should know.").once(),
    Field::time("answered_at", "When the other side answered.").nullable(Null::Null).server(),
];

/// `/chat/sessions/{session_id}/transfers`
pub static TRANSFERS: Resource = Resource {
    name: "chat-session-transfers",
    one: "transfer",
    path: "/chat/sessions/{session_id}/transfers",
    doc: "A conversation on its way to another agent or team. It stays with its agent until the other side accepts.",
    table: "chat_transfers",
    index: "chat_transfers_created",
    parent: Some(Parent { column: "session_id", of: &SESSIONS }),
    may: May { read: Roles::ALL, create: Roles::AGENTS, update: Roles::NOBODY, remove: Roles::NOBODY },
    fields: TRANSFER,
    hooks: Hooks::before(hand_on::before),
    tells: Tells { noun: "chat.transfer", key: ("chat.session", "session_id"), ..Tells::USUAL },
    ..Resource::PLAIN
};

/// `/chat/transfers`: what an agent is offered, whose conversations are not the agent's yet.
pub static OFFERS: Resource = Resource {
    name: "chat-transfers",
    one: "transfer",
    path: "/chat/transfers",
    doc: "Transfers of all conversations. Agents see those from and to themselves, and those to teams.",
    table: "chat_transfers",
    index: "chat_transfers_created",
    may: May::only_read(Roles::ALL),
    own: Some(Own { roles: Roles::ONLY_AGENTS, columns: &["to_agent_id", "from_agent_id"], or_nobody: true }),
    fields: TRANSFER,
    tells: Tells {
        noun: "chat.transfer",
        key: ("chat.session", "session_id"),
        also: &["updated"],
        kinds: &[("chat.session.transferred", "A chat was handed on: the other side accepted.")],
        which: Some(hand_on::tells),
        ..Tells::USUAL
    },
    ..Resource::PLAIN
};

/// `/chat/agents`
pub static AGENTS: Resource = Resource {
    name: "chat-agents",
    one: "chat agent",
    path: "/chat/agents",
    doc: "How users chat. Agents change their own settings, supervisors everybody's.",
    table: "chat_agents",
    index: "chat_agents_created",
    may: May {
        read: Roles::ALL,
        create: Roles::SUPERVISORS,
        update: Roles::AGENTS,
        remove: Roles::SUPERVISORS,
    },
    fields: &[
        Field::to("user_id", &MEMBER, "The user.").once().filter(),
        Field::maybe("display_name", 100, "The name that visitors see.").search(),
        Field::int("max_chats", 1, limits::CHATS_MOST, "Conversations at the same time at most.")
            .default("3"),
        Field::flag("is_available", "Whether new ones are wanted.").default("false").filter(),
        Field::flag("accepts_transfers", "Whether others may hand theirs over.").default("true").filter(),
        Field::texts("skills", limits::SKILLS, &SKILL, "What the agent knows.").default("[]"),
        moment("last_assigned_at", "When the last conversation was given."),
        Field::metadata(),
    ],
    hooks: Hooks::before(act::own_settings),
    ..Resource::PLAIN
};

/// Every operation beside the usual five.
pub fn actions() -> Vec<Action> {
    let mut all = act::actions();
    all.extend(talk::actions());
    all.extend(hand_on::actions());
    all
}

/// The text of a field; empty when it has none.
pub(super) fn text<'r>(record: &'r crate::api::Record, name: &str) -> &'r str {
    record.get(name).and_then(Value::as_str).unwrap_or_default()
}
