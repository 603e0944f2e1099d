//! What happens to plugins, as events, beside their creation, change and deletion.

use serde_json::{Value, json};

use super::api::PLUGINS;
use crate::api::{Field, Null, Record};
use crate::config::limits::plugins as limits;
use crate::events::{Data, Draft, Kind};

const PLUGIN: Field = Field::id("plugin_id", "The plugin.").server();
const NAME: Field = Field::rule("name", &super::api::NAME_RULE, "Its name.").server();
const KIND: Field = Field::one_of("kind", super::api::KINDS, "Its kind.").server();
const VERSION: Field = Field::int("version", 1, i64::MAX, "The version.").server();
const OUTCOME: Field = Field::one_of("outcome", super::api::OUTCOMES, "How its last run ended.").server();
const TEXT: Field = Field::text("text", 0, limits::TEXT_CHARACTERS, "Why, for the plugin's author.").server();

const fn maybe(name: &'static str, doc: &'static str) -> Field {
    Field::int(name, 1, i64::MAX, doc).nullable(Null::Null).server()
}

static ACTIVATED: [Field; 6] = [
    PLUGIN,
    NAME,
    KIND,
    VERSION,
    maybe("previous", "The version that was active before."),
    Field::one_of(
        "cause",
        &["activate", "rollback", "automatic"],
        "Who did it: somebody who activated it or rolled back; or the service, because the version before failed.",
    )
    .server(),
];
static FAILED: [Field; 6] = [PLUGIN, NAME, KIND, VERSION, OUTCOME, TEXT];
static PARKED: [Field; 9] = [
    PLUGIN,
    NAME,
    KIND,
    VERSION,
    OUTCOME,
    TEXT,
    Field::int("failures", 1, i64::MAX, "How often it failed within half a minute.").server(),
    Field::one_of(
        "action",
        &["parked", "rolled-back", "withdrawn"],
        "What was done: it is not asked for a while; the version before is active again; it was a canary, and is none now.",
    )
    .server(),
    maybe("rolled_back_to", "The version that is active instead."),
];
static UNPARKED: [Field; 5] = [
    PLUGIN,
    NAME,
    KIND,
    VERSION,
    Field::one_of("cause", &["unpark", "probe"], "Somebody unparked it; or a run that tried it went well.")
        .server(),
];

/// The types of events beside those that the collections tell.
pub fn kinds() -> Vec<Kind> {
    let kind = |name: &'static str, doc: &'static str, data| Kind {
        name: name.into(),
        doc: doc.into(),
        key: "plugin:<plugin_id>".into(),
        data,
        readers: PLUGINS.may.read,
        own: None,
        chapter: "plugins".into(),
    };
    vec![
        kind(
            "plugin.activated",
            "Another version of a plugin is asked from now on.",
            Data::Fields("PluginActivated", &ACTIVATED),
        ),
        kind(
            "plugin.failed",
            "A run of a plugin failed by the plugin's fault. Told once for a version within an hour, by each process.",
            Data::Fields("PluginFailed", &FAILED),
        ),
        kind(
            "plugin.parked",
            "A version failed again and again, and calls go on without it.",
            Data::Fields("PluginParked", &PARKED),
        ),
        kind("plugin.unparked", "A parked plugin is asked again.", Data::Fields("PluginUnparked", &UNPARKED)),
    ]
}

/// An event about a plugin, as its record shows it.
pub(super) fn draft(kind: &'static str, plugin: &Record, at_us: i64, more: Value) -> Draft {
    let id = plugin.get("id").and_then(Value::as_str).unwrap_or_default();
    let mut data = Record::from_iter([("plugin_id".to_owned(), json!(id))]);
    for name in ["name", "kind"] {
        data.insert(name.into(), plugin.get(name).cloned().unwrap_or_default());
    }
    if let Value::Object(more) = more {
        data.extend(more);
    }
    Draft { kind: kind.into(), key: format!("plugin:{id}"), at_us, owners: None, data }
}

#[cfg(test)]
mod tests {
    use super::super::api::{KINDS, OUTCOMES};
    use crate::sandbox::{Outcome, World};

    #[test]
    fn words_are_those_of_the_sandbox() {
        assert_eq!(World::ALL.map(World::as_str).as_slice(), KINDS);
        assert_eq!(Outcome::ALL.map(Outcome::as_str).as_slice(), OUTCOMES);
    }
}
