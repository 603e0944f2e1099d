//! JSON that goes in and out: inputs as scripts see them, what is expected of them, what came of them.

use chrono::{Datelike as _, Offset as _, TimeZone as _, Timelike as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::api::Shape;
use crate::base::clock::from_us;
use crate::config::limits::plugins as limits;
use crate::sandbox::types::{Decision, TicketDraft, WallTime};
use crate::sandbox::{Asked, Input, Outcome, Output, Settings};

/// What is wrong with a value: pointers below it, with why.
type Wrong = Vec<(String, String)>;

/// What an example must give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::plugins) enum Expected {
    /// Of a router or call script.
    Decision(Decision),
    /// Of a ticketer.
    Draft(Option<TicketDraft>),
    /// Whatever it gives, it ends so.
    Outcome(Outcome),
}

impl Expected {
    /// Whether a run gave that.
    pub(in crate::plugins) fn is_met(&self, outcome: Outcome, output: Option<&Output>) -> bool {
        match (self, output) {
            (Self::Outcome(expected), _) => *expected == outcome,
            (Self::Decision(expected), Some(Output::Decision(given))) => expected == given,
            (Self::Draft(expected), Some(Output::Draft(given))) => expected == given,
            _ => false,
        }
    }
}

/// A moment as a clock on a wall in a time zone shows it.
pub fn wall(at_ms: u64, zone: chrono_tz::Tz) -> WallTime {
    let at = from_us(i64::try_from(at_ms).unwrap_or(0).saturating_mul(1_000));
    let local = zone.from_utc_datetime(&at.naive_utc());
    let small = |n: u32| u8::try_from(n).unwrap_or(0);
    WallTime {
        year: u16::try_from(local.year()).unwrap_or(0),
        month: small(local.month()),
        day: small(local.day()),
        weekday: small(local.weekday().number_from_monday()),
        hour: small(local.hour()),
        minute: small(local.minute()),
        second: small(local.second()),
        offset: i16::try_from(local.offset().fix().local_minus_utc() / 60).unwrap_or(0),
    }
}

/// An input of somebody's own making, with what was left out filled in.
///
/// # Errors
/// Where it is no call and no event, and why.
pub(in crate::plugins) fn input_of(
    value: &Value,
    at_ms: u64,
    zone: chrono_tz::Tz,
) -> Result<Input, (String, String)> {
    let Some(object) = value.as_object() else { return Err((String::new(), ONE_OF.into())) };
    let mut given = object.iter();
    let (Some((kind, inner)), None) = (given.next(), given.next()) else {
        return Err((String::new(), ONE_OF.into()));
    };
    let pointer = format!("/{kind}");
    let Some(mut inner) = inner.as_object().cloned() else {
        return Err((pointer, "This must be an object.".into()));
    };
    let at = inner.get("at").and_then(Value::as_u64).unwrap_or(at_ms);
    let fill = |inner: &mut Map<String, Value>, name: &str, value: Value| {
        inner.entry(name).or_insert(value);
    };
    fill(&mut inner, "at", json!(at));
    fill(&mut inner, "local", json!(wall(at, zone)));
    fill(&mut inner, "seed", json!(0));
    let wrong = |error: serde_json::Error| (pointer.clone(), format!("{error}."));
    match kind.as_str() {
        "call" => {
            fill(&mut inner, "id", json!("test"));
            let id = inner.get("id").cloned().unwrap_or_default();
            fill(&mut inner, "linkedId", id);
            fill(&mut inner, "direction", json!("inbound"));
            fill(&mut inner, "caller", json!({}));
            fill(&mut inner, "dialled", json!(""));
            serde_json::from_value(Value::Object(inner)).map(Input::Call).map_err(wrong)
        }
        "event" => {
            fill(&mut inner, "id", json!("evt_test"));
            fill(&mut inner, "key", json!("test"));
            fill(&mut inner, "sequence", json!(1));
            let data = inner.remove("data").unwrap_or_else(|| json!({}));
            // As it stands in an event, or as a plugin gets it.
            let text = data.as_str().map_or_else(|| data.to_string(), str::to_owned);
            inner.insert("data".into(), json!(text));
            serde_json::from_value(Value::Object(inner)).map(Input::Event).map_err(wrong)
        }
        _ => Err((pointer, ONE_OF.into())),
    }
}

const ONE_OF: &str = "This must be {\"call\": {...}} or {\"event\": {...}}.";

fn check_input(value: &Value, wrong: &mut Wrong) {
    wrong.extend(input_of(value, 0, chrono_tz::UTC).err());
}

fn check_expected(value: &Value, wrong: &mut Wrong) {
    if let Err(error) = serde_json::from_value::<Expected>(value.clone()) {
        wrong.push((String::new(), format!("{error}.")));
    }
}

fn check_answers(value: &Value, wrong: &mut Wrong) {
    if let Err(error) = serde_json::from_value::<Vec<Asked>>(value.clone()) {
        wrong.push((String::new(), format!("{error}.")));
    }
}

fn check_settings(value: &Value, wrong: &mut Wrong) {
    let Some(object) = value.as_object() else {
        return wrong.push((String::new(), "This must be an object of names and texts.".into()));
    };
    if object.len() > limits::SETTINGS {
        wrong.push((String::new(), format!("At most {} settings.", limits::SETTINGS)));
    }
    for (name, value) in object {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        if !(1..=limits::SETTING_NAME_CHARACTERS).contains(&name.chars().count()) {
            wrong.push((
                pointer.clone(),
                format!("A name has 1 to {} characters.", limits::SETTING_NAME_CHARACTERS),
            ));
        }
        let is_texts = |list: &Vec<Value>| list.iter().all(Value::is_string);
        if !(value.is_string() || value.as_array().is_some_and(is_texts)) {
            wrong.push((pointer, "This must be a text or a list of texts.".into()));
        }
    }
}

/// Settings out of a record: checked before they were kept.
pub(in crate::plugins) fn settings(value: &Value) -> Settings {
    serde_json::from_value(value.clone()).unwrap_or_default()
}

const NO_CHECK: fn(&Value, &mut Wrong) = |_, _| {};

pub(super) static SETTINGS: Shape = Shape {
    bytes: limits::SETTINGS_BYTES,
    check: check_settings,
    schema: r#"{"type":"object","maxProperties":100,"propertyNames":{"minLength":1,"maxLength":64},
        "additionalProperties":{"anyOf":[{"type":"string"},{"type":"array","items":{"type":"string"}}]}}"#,
    example: r#"{"vip_target":"101","vips":["+15557770001"]}"#,
};

pub(super) static INPUT: Shape = Shape {
    bytes: limits::INPUT_BYTES,
    check: check_input,
    schema: r#"{"type":"object","properties":{"call":{"type":"object"},"event":{"type":"object"}},
        "minProperties":1,"maxProperties":1,"additionalProperties":false}"#,
    example: r#"{"call":{"caller":{"number":"+15557770001"},"dialled":"+15550001006","at":1795428000000}}"#,
};

pub(super) static EXPECTED: Shape = Shape {
    bytes: limits::INPUT_BYTES,
    check: check_expected,
    schema: r#"{"type":"object","properties":{"decision":{"type":"object"},"draft":{"type":["object","null"]},
        "outcome":{"type":"string"}},"minProperties":1,"maxProperties":1,"additionalProperties":false}"#,
    example: r#"{"decision":{"tag":"route","val":{"steps":[{"target":{"tag":"endpoint","val":"101"}}]}}}"#,
};

/// As [`EXPECTED`], of what came out.
pub(super) static OUTPUT: Shape = Shape {
    bytes: limits::INPUT_BYTES,
    check: NO_CHECK,
    schema: r#"{"type":"object","properties":{"decision":{"type":"object"},"draft":{"type":["object","null"]}}}"#,
    example: r#"{"decision":{"tag":"route","val":{"steps":[{"target":{"tag":"endpoint","val":"101"},"timeout":30,"record":null}],"reason":"VIP","variables":[]}}}"#,
};

pub(super) static TRAIL: Shape = Shape {
    bytes: limits::ANSWERS_BYTES,
    check: check_answers,
    schema: r#"{"type":"array","items":{"type":"object","required":["ask","answer"],"properties":{"ask":{},
        "answer":{"type":"object","properties":{"Ok":{},"Err":{}}}}}}"#,
    example: r#"[{"ask":{"contact_by_number":{"number":"+15557770001"}},"answer":{"Ok":{"contact":null}}}]"#,
};

pub(super) static LOG: Shape = Shape {
    bytes: limits::INPUT_BYTES,
    check: NO_CHECK,
    schema: r#"{"type":"array","items":{"type":"object","required":["level","message"],
        "properties":{"level":{"type":"string"},"message":{"type":"string"}}}}"#,
    example: r#"[{"level":"info","message":"a VIP"}]"#,
};

pub(super) static PASSED: Shape = Shape {
    bytes: limits::ANSWERS_BYTES,
    check: NO_CHECK,
    schema: r#"{"type":"array","items":{"type":"object","required":["name","passed","outcome","detail"],
        "properties":{"name":{"type":"string"},"passed":{"type":"boolean"},"outcome":{"type":"string"},
        "detail":{"type":"string"}}}}"#,
    example: r#"[{"name":"a VIP goes to 101","passed":true,"outcome":"ok","detail":""}]"#,
};

pub(super) static LIMITS: Shape = Shape {
    bytes: 1_000,
    check: NO_CHECK,
    schema: r#"{"type":"object","additionalProperties":{"type":"integer"}}"#,
    example: r#"{"cpu_ms":20,"wall_ms":250,"fuel":10000000,"memory_bytes":33554432,"host_calls":64}"#,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(shape: &Shape, value: &Value) -> Wrong {
        let mut wrong = Vec::new();
        (shape.check)(value, &mut wrong);
        wrong
    }

    #[test]
    fn what_is_left_out_of_an_input_is_filled_in() {
        let input = input_of(
            &json!({"call": {"caller": {"number": "+15557770001"}}}),
            1_795_428_000_000,
            chrono_tz::UTC,
        );
        let Ok(Input::Call(call)) = input else { panic!("{input:?}") };
        assert_eq!((call.id.as_str(), call.linked_id.as_str(), call.at), ("test", "test", 1_795_428_000_000));
        assert_eq!((call.local.year, call.local.month, call.local.weekday), (2026, 11, 1));
        let input = input_of(&json!({"event": {"kind": "call.missed", "data": {"a": 1}}}), 5, chrono_tz::UTC);
        let Ok(Input::Event(event)) = input else { panic!("{input:?}") };
        assert_eq!((event.data.as_str(), event.at), (r#"{"a":1}"#, 5));
        for bad in [
            json!(1),
            json!({}),
            json!({"call": 1}),
            json!({"call": {}, "event": {}}),
            json!({"x": {}}),
            json!({"event": {}}),
            json!({"call": {"caller": 3}}),
        ] {
            assert_eq!(faults(&INPUT, &bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_wall_shows_the_zone() {
        // 2026-07-01T12:00:00Z
        let wall = wall(1_782_907_200_000, chrono_tz::Europe::Berlin);
        assert_eq!((wall.hour, wall.offset, wall.weekday, wall.day), (14, 120, 3, 1));
    }

    #[test]
    fn shapes_refuse_what_no_run_could_take() {
        for (shape, good) in [(&SETTINGS, true), (&INPUT, true), (&EXPECTED, true), (&TRAIL, true)] {
            let example = serde_json::from_str(shape.example).unwrap();
            assert_eq!(faults(shape, &example).is_empty(), good);
        }
        for bad in [json!([]), json!({"a": 1}), json!({"": "x"}), json!({"a": ["x", 1]})] {
            assert_eq!(faults(&SETTINGS, &bad).len(), 1, "{bad}");
        }
        for bad in [json!({}), json!({"decision": 1}), json!({"outcome": "great"}), json!({"x": 1})] {
            assert_eq!(faults(&EXPECTED, &bad).len(), 1, "{bad}");
        }
        assert!(faults(&EXPECTED, &json!({"draft": null})).is_empty());
        assert_eq!(faults(&TRAIL, &json!([{"ask": "now"}])).len(), 1);
    }

    #[test]
    fn an_example_is_met_by_what_it_says() {
        let expected: Expected = serde_json::from_value(json!({"draft": null})).unwrap();
        assert!(expected.is_met(Outcome::Pass, Some(&Output::Draft(None))));
        assert!(!expected.is_met(Outcome::Panic, None));
        assert!(Expected::Outcome(Outcome::Panic).is_met(Outcome::Panic, None));
    }
}
