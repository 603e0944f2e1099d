//! Mailboxes and their messages as collections.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{INBOX, OLD, messages, store};
use crate::api::{
    Action, Call, Change, Doing, Field, Hooks, May, Null, Problem, Resource, Rule, Tells, Verb, check, rules,
};
use crate::base::role::Roles;
use crate::config::limits::voicemail as limits;
use crate::contacts::CONTACT;
use crate::db::Tx;
use crate::routing::Named;
use crate::storage::{self, Signer};

/// What is no collection.
pub fn actions(signer: &Arc<Signer>) -> Vec<Action> {
    vec![storage::api::action(&VOICEMAILS, signer, store::stored)]
}

/// A folder of a mailbox.
static FOLDER: Rule = Rule {
    format: "folder",
    pattern: "^[A-Za-z0-9]{1,20}$",
    max: limits::FOLDER_CHARACTERS,
    check: |text| match !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        true => Ok(text.to_owned()),
        false => Err("This must be letters and digits, such as INBOX, Old, Work, Family, Friends.".into()),
    },
    example: "INBOX",
};

/// What opens a mailbox by phone.
static PIN: Rule = Rule {
    format: "pin",
    pattern: "^[0-9]{4,10}$",
    max: 10,
    check: |text| match (4..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => Err("This must be 4 to 10 digits.".into()),
    },
    example: "4711",
};

/// `/mailboxes`
pub static MAILBOXES: Resource = Resource {
    name: "mailboxes",
    one: "mailbox",
    path: "/mailboxes",
    doc: "Where callers leave messages. In Asterisk the tenant is the voicemail context: 101@acme.",
    table: "mailboxes",
    index: "mailboxes_created",
    routing: true,
    fields: &[
        Field::rule("name", &rules::NAME, "Its name, by which endpoints, numbers and menus lead to it.")
            .example("\"101\"")
            .once()
            .filter()
            .sort()
            .search(),
        Field::text("display_name", 0, 200, "Its name for people.").default("\"\"").sort().search(),
        Field::rule("email", &rules::EMAIL, "Where new messages are told.").nullable(Null::Empty).search(),
        Field::flag("attach", "Whether that mail has the sound with it, unless it is large.").default("true"),
        Field::flag(
            "delete_after_mail",
            "Whether a message is deleted once a mail with its sound was taken by the mail server.",
        )
        .default("false"),
        Field::rule(
            "pin",
            &PIN,
            "4 to 10 digits that open it by phone; null: no PIN does. Its own endpoint needs none (*97).",
        )
        .nullable(Null::Empty)
        .secret(),
        Field::int(
            "max_messages",
            1,
            limits::MESSAGES,
            "Messages in one folder at most; then it takes no more.",
        )
        .default("100"),
        Field::int("max_message_s", 1, limits::MESSAGE_S, "Seconds of one message at most.").default("300"),
        Field::rule("language", &rules::LANGUAGE, "Language of its menu by phone; null: the call's.")
            .nullable(Null::Empty),
    ],
    hooks: Hooks::before(mailbox),
    ..Resource::PLAIN
};

/// `/voicemails`
pub static VOICEMAILS: Resource = Resource {
    name: "voicemails",
    one: "voicemail",
    path: "/voicemails",
    doc: "Messages that callers left. Marking one as read moves it from INBOX to Old, and back, as Asterisk does.",
    table: "voicemails",
    index: "voicemails_created",
    soft: true,
    may: May { read: Roles::ALL, create: Roles::NOBODY, update: Roles::AGENTS, remove: Roles::SUPERVISORS },
    fields: &[
        Field::id("mailbox_id", "Its mailbox; null: the mailbox is gone.")
            .nullable(Null::Null)
            .server()
            .filter(),
        Field::rule("mailbox", &rules::NAME, "Name of its mailbox.").server().filter(),
        Field::rule("folder", &FOLDER, "Its folder.").filter(),
        Field::maybe("caller_number", 80, "The caller's number; null: withheld.").server().filter().search(),
        Field::maybe("caller_name", 200, "The caller's name.").server().search(),
        Field::id("call_id", "The call.").nullable(Null::Empty).server().filter(),
        Field::to("contact_id", &CONTACT, "Who called.").nullable(Null::Null).filter(),
        Field::maybe("format", 10, "File format.").example("\"wav\"").server(),
        Field::int("bytes", 0, i64::MAX, "Length of the file in bytes.").server(),
        Field::int("duration_ms", 0, i64::MAX, "Its length in milliseconds.").server(),
        Field::maybe("sha256", 64, "SHA-256 of the file, in hexadecimal digits.").server(),
        Field::maybe("sound_error", 200, "Why its sound is not in the store yet; null: it is.").server(),
        Field::maybe("transcript", 60_000, "What was said.").server(),
        Field::flag("is_read", "Whether it was listened to.").filter(),
        Field::time("read_at", "When.").nullable(Null::Null).server(),
        Field::time("received_at", "When it was left.").server().filter().sort(),
        Field::metadata(),
    ],
    hooks: Hooks { before: Some(voicemail), after: Some(to_spool) },
    tells: Tells {
        kinds: &[("voicemail.received", "A caller left a message.")],
        which: Some(|line| (line.action == "voicemails.receive").then_some("voicemail.received")),
        ..Tells::USUAL
    },
    ..Resource::PLAIN
};

fn mailbox<'a>(call: &'a Call, tx: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        match change.verb {
            Verb::Remove => Named::Mailbox.unused(tx, call.tenant()?, change.text("name")).await,
            Verb::Create | Verb::Update => Ok(()),
        }
    })
}

/// Has Asterisk's files follow.
fn to_spool<'a>(call: &'a Call, tx: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move { Ok(messages::soon(tx, call.tenant()?, &change.id, call.now_us()).await?) })
}

/// As [`super::Voicemail::mark_read`], on what the API has of it.
fn voicemail<'a>(call: &'a Call, _: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        let before = change.before.get("is_read").and_then(Value::as_bool).unwrap_or(false);
        let Some(is_read) = change.given.get("is_read").and_then(Value::as_bool).filter(|now| *now != before)
        else {
            return Ok(());
        };
        let at = if is_read { json!(check::show_time(call.now_us())) } else { Value::Null };
        change.given.insert("read_at".into(), at);
        // Other folders are the owner's own sorting.
        if !change.given.contains_key("folder") && [INBOX, OLD].contains(&change.text("folder")) {
            change.given.insert("folder".into(), json!(if is_read { OLD } else { INBOX }));
        }
        Ok(())
    })
}
