//! Contacts and tags as collections.

use crate::api::{Change, Doing, Field, Hooks, May, Null, Part, Problem, Resource, Rule, Target, rules};
use crate::base::role::Roles;
use crate::config::limits::contacts as limits;
use crate::db::Tx;

/// Where references to contacts lead.
pub static CONTACT: Target = Target { one: "contact", table: "contacts", column: "id", soft: true };
/// Where references to tags lead.
pub static TAG: Target = Target { one: "tag", table: "tags", column: "id", soft: false };

/// A colour as in HTML.
static COLOR: Rule = Rule {
    format: "color",
    pattern: "^#[0-9a-f]{6}$",
    max: 7,
    check: |text| {
        let lower = text.to_ascii_lowercase();
        let digits =
            lower.strip_prefix('#').filter(|d| d.len() == 6 && d.bytes().all(|b| b.is_ascii_hexdigit()));
        if digits.is_some() { Ok(lower) } else { Err("This must be a colour such as #ff8800.".into()) }
    },
    example: "#ff8800",
};

/// `/contacts`
pub static CONTACTS: Resource = Resource {
    name: "contacts",
    one: "contact",
    path: "/contacts",
    doc: "People and companies that call, write and chat. A call from one of their numbers shows their name.",
    table: "contacts",
    index: "contacts_created",
    soft: true,
    may: May { read: Roles::ALL, create: Roles::AGENTS, update: Roles::AGENTS, remove: Roles::SUPERVISORS },
    fields: &[
        Field::maybe("first_name", 100, "Given name.").example("\"Ada\"").search(),
        Field::maybe("last_name", 100, "Family name.").example("\"Lovelace\"").search(),
        Field::maybe("company", 200, "Who they work for.")
            .example("\"Analytical Engines\"")
            .filter()
            .search(),
        Field::maybe("job_title", 100, "As what."),
        Field::rule("email", &rules::EMAIL, "Where they get mail.").nullable(Null::Empty).filter().search(),
        Field::rule("phone", &rules::NUMBER, "Their first number, E.164.")
            .nullable(Null::Empty)
            .filter()
            .search(),
        Field::text("notes", 0, limits::NOTES_CHARACTERS, "What agents should know.").default("\"\""),
        Field::to("assigned_to", &crate::users::MEMBER, "The user who looks after them.")
            .nullable(Null::Null)
            .filter(),
        Field::maybe("source", 40, "Where they came from.").filter(),
        Field::rule("language", &rules::LANGUAGE, "What they speak.").nullable(Null::Empty),
        Field::maybe("external_id", 100, "Their id in another system.").filter(),
        Field::metadata(),
    ],
    parts: &[
        Part {
            name: "phones",
            doc: "Further numbers, E.164.",
            table: "contact_phones",
            parent: "contact_id",
            fixed: &[],
            position: "position",
            fields: &[Field::rule("number", &rules::NUMBER, "A number, E.164.")],
            flat: true,
            stamped: false,
            items: limits::PHONES,
            unique: &[],
        },
        Part {
            name: "tags",
            doc: "Ids of their tags.",
            table: "contact_tags",
            parent: "contact_id",
            fixed: &[],
            position: "",
            fields: &[Field::to("tag_id", &TAG, "A tag.")],
            flat: true,
            stamped: true,
            items: limits::TAGS,
            unique: &[],
        },
    ],
    hooks: Hooks::before(tell_apart),
    ..Resource::PLAIN
};

/// `/tags`
pub static TAGS: Resource = Resource {
    name: "tags",
    one: "tag",
    path: "/tags",
    doc: "Words that sort contacts and tickets.",
    table: "tags",
    index: "tags_created",
    may: May::write(Roles::SUPERVISORS),
    fields: &[
        Field::text("name", 1, 50, "The word; unique in the tenant.")
            .example("\"vip\"")
            .filter()
            .sort()
            .search(),
        Field::rule("color", &COLOR, "How it is shown.").nullable(Null::Empty),
        Field::maybe("description", 200, "When to use it."),
    ],
    ..Resource::PLAIN
};

/// Every operation beside the usual five.
pub fn actions() -> Vec<crate::api::Action> {
    let mut all = super::merge::actions();
    all.extend(super::export::actions());
    all.extend(super::import::api::actions());
    all
}

/// A contact without a name, a company, an address and a number can't be told from another.
fn tell_apart<'a>(
    _: &'a crate::api::Call,
    _: &'a mut Tx,
    change: &'a mut Change,
) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        let named = ["first_name", "last_name", "company", "email", "phone"];
        if change.verb != crate::api::Verb::Remove
            && named.iter().all(|name| change.text(name).trim().is_empty())
        {
            change.fault("", "Give at least one of first_name, last_name, company, email and phone.");
        }
        Ok(())
    })
}
