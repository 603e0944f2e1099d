//! `/ivr-menus`: what callers hear and press.

use serde_json::Value;

use super::destination::{self, MESSAGE, OPTIONS, TIMEOUT};
use super::named::Named;
use super::rules::{KEYS, SOUND};
use crate::api::{
    Call, Change, Doing, Fault, Field, Hooks, Null, Part, Problem, Resource, Shape, Tells, Verb, rules,
};
use crate::config::limits::ivr as limits;
use crate::db::Tx;

/// What a choice does besides leading to a destination.
const WORDS: [&str; 3] = ["repeat", "back", "goodbye"];

/// Sounds by language.
static PROMPTS: Shape = Shape {
    bytes: 16 * 1024,
    check: |value, found| {
        let Some(all) = value.as_object().filter(|all| !all.is_empty()) else {
            found.push((
                String::new(),
                "This must be an object of sounds by language, with one at least.".into(),
            ));
            return;
        };
        for (language, sound) in all {
            let at = format!("/{}", language.replace('~', "~0").replace('/', "~1"));
            if !language.is_empty()
                && let Err(why) = (rules::LANGUAGE.check)(language)
            {
                found.push((at.clone(), why));
            }
            if let Err(why) = sound.as_str().ok_or("This must be a text.".into()).and_then(SOUND.check) {
                found.push((at, why));
            }
        }
    },
    schema: r#"{"type":"object","minProperties":1,"additionalProperties":{"type":"string"}}"#,
    example: r#"{"":"custom/acme/menu","de":"custom/acme/menu-de"}"#,
};

/// `/ivr-menus`
pub static MENUS: Resource = Resource {
    name: "ivr-menus",
    one: "menu",
    path: "/ivr-menus",
    doc: "Menus: a prompt, and what each key does. A caller who presses nothing usable in all tries goes on to what comes \
          after the menu: overflow, fallback.",
    table: "ivr_menus",
    index: "ivr_menus_created",
    routing: true,
    fields: &[
        Field::rule("name", &rules::NAME, "Its name, by which numbers and other menus lead to it.")
            .once()
            .filter()
            .sort()
            .search(),
        Field::json(
            "prompts",
            &PROMPTS,
            "What is said, by language; the one of the empty language serves all others.",
        ),
        Field::rule("invalid_prompt", &SOUND, "Said after a wrong choice.").nullable(Null::Empty),
        Field::rule("goodbye_prompt", &SOUND, "Said before the call ends here.").nullable(Null::Empty),
        Field::int(
            "first_digit_ms",
            limits::WAIT_MS.0 as i64,
            limits::WAIT_MS.2 as i64,
            "Milliseconds to press the first key once the prompt is over.",
        )
        .default("5000"),
        Field::int(
            "inter_digit_ms",
            limits::WAIT_MS.0 as i64,
            limits::WAIT_MS.2 as i64,
            "Milliseconds to press the next key while more than one choice is possible.",
        )
        .default("5000"),
        Field::int("max_tries", 1, limits::TRIES_MOST as i64, "How often the menu asks.").default("3"),
        Field::flag("direct_dial", "Whether extensions of the tenant can be dialled.").default("false"),
        Field::metadata(),
    ],
    parts: &[Part {
        name: "options",
        doc: "What each choice does.",
        table: "ivr_options",
        parent: "menu_id",
        fixed: &[],
        position: "",
        fields: &[
            Field::rule("digits", &KEYS, "The keys that make the choice."),
            Field::one_of(
                "type",
                &[
                    "queue",
                    "endpoint",
                    "ivr",
                    "script",
                    "external",
                    "voicemail",
                    "playback",
                    "hangup",
                    "repeat",
                    "back",
                    "goodbye",
                ],
                "Where it leads; or repeat: says the prompt again; back: to the menu before; goodbye: the end.",
            ),
            Field::maybe("target", 120, "As for destinations of numbers; null for repeat, back and goodbye.")
                .example("\"support\""),
            TIMEOUT,
            OPTIONS,
            MESSAGE,
        ],
        flat: false,
        stamped: false,
        items: limits::OPTIONS,
        unique: &["digits"],
    }],
    hooks: Hooks::before(before),
    tells: Tells::as_noun("ivr_menu"),
    ..Resource::PLAIN
};

fn before<'a>(call: &'a Call, tx: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        let tenant = call.tenant()?;
        let name = change.text("name").to_owned();
        if change.verb == Verb::Remove {
            return Named::Menu.unused(tx, tenant, &name).await;
        }
        let Some(Value::Array(options)) = change.given.get("options") else { return Ok(()) };
        let mut faults = Vec::new();
        for (n, item) in options.iter().enumerate() {
            let to = destination::raw(item);
            let (target, letters) = (format!("options/{n}/target"), format!("options/{n}/options"));
            if WORDS.contains(&to.action.as_str()) {
                for (at, value) in [(target, &to.target), (letters, &to.options)] {
                    if !value.is_empty() {
                        faults.push(Fault::at(&at, format!("A choice of type {} has none.", to.action)));
                    }
                }
            } else {
                faults.extend(destination::check(tx, tenant, &to, (&target, &letters), &name).await?);
            }
        }
        change.faults.extend(faults);
        Ok(())
    })
}
