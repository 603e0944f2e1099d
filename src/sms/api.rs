//! Text messages as a collection: who posts one queues it; carrying it is another's work.

use serde_json::{Value, json};

use super::segments::{self, Encoding};
use super::{SmsDirection, SmsStatus};
use crate::api::{Call, Change, Doing, Field, Hooks, May, Null, Problem, Resource, Verb, check, rules};
use crate::base::role::Roles;
use crate::config::limits::sms as limits;
use crate::contacts::CONTACT;
use crate::db::{Tx, db_tx};

/// `/sms`
pub static SMS: Resource = Resource {
    name: "sms",
    one: "text message",
    path: "/sms",
    doc: "Text messages, those that came and those that go out. A new one waits (pending) until a provider takes it.",
    table: "sms_messages",
    index: "sms_messages_created",
    may: May { read: Roles::ALL, create: Roles::AGENTS, update: Roles::NOBODY, remove: Roles::NOBODY },
    fields: &[
        Field::one_of("direction", SmsDirection::WORDS, "Which way it goes.").server().filter(),
        Field::rule("from_number", &rules::NUMBER, "Who sends: one of the tenant's numbers in service.")
            .filter()
            .search(),
        Field::rule("to_number", &rules::NUMBER, "Who gets it, E.164.")
            .example("\"+15557770001\"")
            .filter()
            .search(),
        Field::text("body", 1, limits::BODY_CHARACTERS, "Its text.")
            .example("\"Your parcel is there.\"")
            .search(),
        Field::one_of("status", SmsStatus::WORDS, "How far it is.").server().filter(),
        Field::one_of("encoding", Encoding::WORDS, "How its text is written on the way.").server(),
        Field::int("segments", 1, 1_000, "Segments it is sent in, which is what providers charge.").server(),
        Field::maybe("provider", 40, "Who carries it.").server().filter(),
        Field::maybe("provider_id", 128, "Its id there.").server().filter(),
        Field::maybe("error", 200, "Why it failed.").server(),
        Field::int("attempts", 0, 1_000, "How often it was tried.").server(),
        Field::time("next_attempt_at", "When it is tried (again).").nullable(Null::Null).server(),
        Field::time("sent_at", "When the provider took it.").nullable(Null::Null).server().filter(),
        Field::time("delivered_at", "When the phone had it.").nullable(Null::Null).server().filter(),
        Field::to("contact_id", &CONTACT, "The contact on the other side.").nullable(Null::Null).filter(),
        Field::id("user_id", "The user who wrote it.").nullable(Null::Null).server().filter(),
        Field::metadata(),
    ],
    hooks: Hooks::before(before),
    ..Resource::PLAIN
};

fn before<'a>(call: &'a Call, tx: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    const OURS: &str = "SELECT COUNT(*) FROM dids WHERE tenant_id = ? AND number = ? AND status = 'active' AND deleted_at = 0";
    Box::pin(async move {
        if change.verb != Verb::Create {
            return Ok(());
        }
        let tenant = call.tenant()?;
        let from = change.text("from_number").to_owned();
        let ours: i64 =
            db_tx!(tx, |c| sqlx::query_scalar(OURS).bind(tenant.as_str()).bind(&from).fetch_one(c).await?);
        if ours == 0 {
            change.fault("from_number", "This is none of the tenant's numbers in service.");
        }
        let (encoding, parts) = segments::split(change.text("body"));
        let (encoding, count) = (encoding.as_str(), parts.len());
        let user = call.caller()?.user().map_or(Value::Null, |id| json!(id.as_str()));
        for (name, value) in [
            ("direction", json!(SmsDirection::Outbound)),
            ("status", json!(SmsStatus::Pending)),
            ("encoding", json!(encoding)),
            ("segments", json!(count)),
            ("next_attempt_at", json!(check::show_time(call.now_us()))),
            ("user_id", user),
        ] {
            change.given.insert(name.into(), value);
        }
        Ok(())
    })
}
