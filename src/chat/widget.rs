//! What a widget may look like and where it may be; its key is made here.

use serde_json::Value;

use crate::api::{Call, Change, Doing, Problem, Rule, Shape, Target, Verb, rules, store};
use crate::config::limits::chat as limits;
use crate::db::Tx;

/// Where references to schedules lead: to their names.
static SCHEDULE: Target = Target { one: "schedule", table: "schedules", column: "name", soft: false };

/// A page's origin, as browsers send it; `*.` stands for one or more names in front.
pub(super) static ORIGIN: Rule =
    Rule { format: "origin", pattern: "", max: 255, check: origin, example: "https://www.example.com" };

fn origin(text: &str) -> Result<String, String> {
    let wrong =
        || Err("This must be an origin such as https://www.example.com or https://*.example.com.".to_owned());
    let lower = text.trim_end_matches('/').to_ascii_lowercase();
    // Read with a name in the star's place: what is a URL then is an origin with a star.
    let starless = lower.replacen("://*.", "://star.", 1);
    let Ok(url) = url::Url::parse(&starless) else { return wrong() };
    if starless.contains('*') || !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return wrong();
    }
    let back = url.origin().ascii_serialization();
    let back = if lower.contains("://*.") { back.replacen("://star.", "://*.", 1) } else { back };
    // Whatever else it has - a path, a user, a port that is the usual one - no browser would send.
    if back == lower { Ok(back) } else { wrong() }
}

/// Looks and words of a widget.
pub(super) static SETTINGS: Shape = Shape {
    bytes: limits::SETTINGS_BYTES,
    check: settings,
    schema: r##"{"type":"object","additionalProperties":false,"properties":{
        "title":{"type":"string","maxLength":500},"subtitle":{"type":"string","maxLength":500},
        "greeting":{"type":"string","maxLength":500},"offline_message":{"type":"string","maxLength":500},
        "button_text":{"type":"string","maxLength":500},"color":{"type":"string","pattern":"^#[0-9a-fA-F]{6}$"},
        "position":{"enum":["left","right"]},"language":{"type":"string"},
        "ask_name":{"type":"boolean"},"ask_email":{"type":"boolean"},"show_agent_names":{"type":"boolean"}}}"##,
    example: r##"{"title":"Ask us","greeting":"Hello! How can we help?","color":"#0055aa","position":"right"}"##,
};

fn settings(value: &Value, wrong: &mut Vec<(String, String)>) {
    let Some(object) = value.as_object() else {
        return wrong.push((String::new(), "This must be a JSON object.".into()));
    };
    for (name, value) in object {
        let text = value.as_str();
        let why = match name.as_str() {
            "title" | "subtitle" | "greeting" | "offline_message" | "button_text" => {
                let fits = text.is_some_and(|t| {
                    t.chars().count() <= limits::SETTING_CHARACTERS
                        && !t.chars().any(|c| c.is_control() && c != '\n')
                });
                (!fits).then(|| {
                    format!("This must be a text of at most {} characters.", limits::SETTING_CHARACTERS)
                })
            }
            "color" => {
                let digits = text.and_then(|t| t.strip_prefix('#'));
                let fits = digits.is_some_and(|d| d.len() == 6 && d.bytes().all(|b| b.is_ascii_hexdigit()));
                (!fits).then(|| "This must be a colour such as #ff8800.".to_owned())
            }
            "position" if matches!(text, Some("left" | "right")) => None,
            "position" => Some("This must be left or right.".to_owned()),
            "language" => match text {
                Some(text) => (rules::LANGUAGE.check)(text).err(),
                None => Some("This must be a language tag such as en.".to_owned()),
            },
            "ask_name" | "ask_email" | "show_agent_names" => {
                (!value.is_boolean()).then(|| "This must be true or false.".to_owned())
            }
            _ => Some("There is no such setting.".to_owned()),
        };
        if let Some(why) = why {
            let name = name.chars().take(100).collect::<String>().replace('~', "~0").replace('/', "~1");
            wrong.push((format!("/{name}"), why));
        }
    }
}

/// Before a widget is written.
pub(super) fn before<'a>(
    call: &'a Call,
    tx: &'a mut Tx,
    change: &'a mut Change,
) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        if change.verb == Verb::Create {
            let mut bytes = [0_u8; 16];
            getrandom::fill(&mut bytes).map_err(Problem::internal)?;
            let key: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            change.given.insert("public_key".into(), format!("cw_{key}").into());
        }
        let schedule = change.given.get("schedule").and_then(Value::as_str).map(str::to_owned);
        if let Some(name) = schedule
            && !store::exists(tx, &SCHEDULE, call.tenant()?, &name).await?
        {
            change.fault("schedule", "There is no such schedule.");
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn origins_are_what_browsers_send() {
        for (given, kept) in [
            ("https://www.example.com", "https://www.example.com"),
            ("https://*.Example.com", "https://*.example.com"),
            ("http://localhost:3000/", "http://localhost:3000"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(origin(given).as_deref(), Ok(kept));
        }
        for bad in [
            "example.com",
            "https://",
            "https://*",
            "https://*.*.x.y",
            "https://a.*.x.y",
            "https://x.y/path",
            "https://u@x.y",
            "https://x.y:443",
            "ftp://x.y",
            "null",
            "*",
            "",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_are_known_ones() {
        let found = |value: Value| {
            let mut wrong = Vec::new();
            settings(&value, &mut wrong);
            wrong.into_iter().map(|(at, _)| at).collect::<Vec<_>>()
        };
        assert_eq!(found(serde_json::from_str(SETTINGS.example).unwrap()), [""; 0]);
        assert!(serde_json::from_str::<Value>(SETTINGS.schema).unwrap().is_object());
        let bad = json!({"title": 1, "color": "red", "position": "top", "ask_name": "yes", "language": "x", "a/b": 1});
        let mut wrong = found(bad);
        wrong.sort();
        assert_eq!(wrong, ["/ask_name", "/a~1b", "/color", "/language", "/position", "/title"]);
        assert_eq!(found(json!([])), [""]);
    }
}
