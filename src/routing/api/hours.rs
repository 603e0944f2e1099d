//! `/schedules`: opening hours, every fault in them told at its place.

use serde_json::Value;

use super::named::Named;
use crate::api::{Call, Change, Doing, Field, Hooks, Problem, Resource, Shape, Verb, rules};
use crate::db::Tx;
use crate::routing::schedule::{HolidaySpec, Schedule, ScheduleError, ScheduleSpec, WeeklySpec};

static DEFINITION: Shape = Shape {
    bytes: 128 * 1024,
    check: faults,
    schema: r#"{"type":"object","required":["zone"],"additionalProperties":false,"properties":{"zone":{"type":"string","format":"time-zone"},"weekly":{"type":"array","items":{"type":"object","required":["day","from","to"],"additionalProperties":false,"properties":{"day":{"enum":["mon","tue","wed","thu","fri","sat","sun"]},"from":{"type":"string","pattern":"^[0-9]{2}:[0-5][0-9]$"},"to":{"type":"string","pattern":"^[0-9]{2}:[0-5][0-9]$"}}}},"holidays":{"type":"array","items":{"type":"object","required":["name"],"additionalProperties":false,"properties":{"name":{"type":"string"},"date":{"type":"string","format":"date"},"yearly":{"type":"string","pattern":"^[0-9]{2}-[0-9]{2}$"},"hours":{"type":"array","items":{"type":"object","required":["from","to"],"additionalProperties":false,"properties":{"from":{"type":"string"},"to":{"type":"string"}}}},"key":{"type":"string"}}}}}}"#,
    example: r#"{"zone":"Europe/Berlin","weekly":[{"day":"mon","from":"09:00","to":"17:00"}],"holidays":[{"name":"Christmas","yearly":"12-25"}]}"#,
};

/// `/schedules`
pub static SCHEDULES: Resource = Resource {
    name: "schedules",
    one: "schedule",
    path: "/schedules",
    doc: "Opening hours, which numbers name: weekly hours in a time zone, and holidays with hours of their own or none.",
    table: "schedules",
    index: "schedules_created",
    routing: true,
    fields: &[
        Field::rule("name", &rules::NAME, "Its name, by which numbers have it.")
            .once()
            .filter()
            .sort()
            .search(),
        Field::json(
            "definition",
            &DEFINITION,
            "Time zone, weekly hours, holidays. Times are HH:MM; a `to` before `from` is on the next day; a whole day is \
             00:00 to 24:00. A holiday has a date (YYYY-MM-DD) or comes yearly (MM-DD); without hours it is closed.",
        ),
    ],
    hooks: Hooks::before(before),
    ..Resource::PLAIN
};

fn before<'a>(call: &'a Call, tx: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        match change.verb {
            Verb::Remove => Named::Schedule.unused(tx, call.tenant()?, change.text("name")).await,
            Verb::Create | Verb::Update => Ok(()),
        }
    })
}

/// A place such as `weekly[2].to` as a JSON pointer, with `index` for the first number.
fn pointer(place: &str, index: Option<usize>) -> String {
    let mut at = String::new();
    let mut index = index;
    for part in place.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
        let number = index.filter(|_| part.parse::<usize>().is_ok());
        match number {
            Some(number) => {
                at.push_str(&format!("/{number}"));
                index = None;
            }
            None => at.push_str(&format!("/{part}")),
        }
    }
    at
}

/// The place of an error and what it says of it.
fn told(error: &ScheduleError, index: Option<usize>) -> (String, String) {
    let text = error.to_string();
    let (place, why) = text.split_once(": ").unwrap_or(("", &text));
    (pointer(place, index), format!("{why}."))
}

/// Every fault of a definition: each entry is checked alone, then all together.
fn faults(value: &Value, found: &mut Vec<(String, String)>) {
    let zone = value.get("zone").and_then(Value::as_str).unwrap_or_default();
    let alone = |weekly, holidays| ScheduleSpec { zone: "UTC".into(), weekly, holidays };
    let mut check = |n: usize, list: &str, spec: Result<ScheduleSpec, serde_json::Error>| match spec {
        Err(error) => found.push((format!("/{list}/{n}"), format!("{error}."))),
        Ok(spec) => {
            if let Err(error) = Schedule::try_from(spec) {
                found.push(told(&error, Some(n)));
            }
        }
    };
    for (n, item) in value.get("weekly").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let item = serde_json::from_value::<WeeklySpec>(item.clone());
        check(n, "weekly", item.map(|one| alone(vec![one], Vec::new())));
    }
    for (n, item) in value.get("holidays").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let item = serde_json::from_value::<HolidaySpec>(item.clone());
        check(n, "holidays", item.map(|one| alone(Vec::new(), vec![one])));
    }
    let entries_are_good = found.is_empty();
    if value.get("zone").is_some_and(Value::is_string)
        && let Err(why) = (rules::ZONE.check)(zone)
    {
        found.push(("/zone".into(), why));
    }
    if entries_are_good && found.is_empty() {
        match serde_json::from_value::<ScheduleSpec>(value.clone()).map(Schedule::try_from) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => found.push(told(&error, None)),
            Err(error) => found.push((String::new(), format!("{error}."))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn places(value: Value) -> Vec<String> {
        let mut found = Vec::new();
        faults(&value, &mut found);
        found.into_iter().map(|(at, _)| at).collect()
    }

    #[test]
    fn every_fault_has_its_place() {
        assert_eq!(places(serde_json::from_str(DEFINITION.example).unwrap()), [""; 0]);
        let bad = json!({
            "zone": "Mars/Olympus",
            "weekly": [
                {"day": "mon", "from": "09:00", "to": "17:00"}, {"day": "mon", "from": "9:00", "to": "17:00"},
                {"day": "tue", "from": "09:00", "to": "09:00"}, {"day": "noday", "from": "09:00", "to": "10:00"},
            ],
            "holidays": [
                {"name": "x", "yearly": "12-25"}, {"name": "y", "yearly": "13-25"}, {"name": "z"},
                {"name": "h", "date": "2026-06-30", "hours": [{"from": "10:00", "to": "14:00"}, {"from": "25:00", "to": "1"}]},
                {"name": "", "yearly": "01-01"},
            ],
        });
        assert_eq!(
            places(bad),
            [
                "/weekly/1/from",
                "/weekly/2",
                "/weekly/3",
                "/holidays/1/yearly",
                "/holidays/2",
                "/holidays/3/hours/1/from",
                "/holidays/4/name",
                "/zone"
            ]
        );
        let twice = json!({"zone": "UTC", "holidays": [{"name": "a", "yearly": "12-25"}, {"name": "b", "yearly": "12-25"}]});
        assert_eq!(places(twice), ["/holidays/1"]);
        assert_eq!(places(json!({"zone": "UTC", "hours": []})), [""]);
        for bad in [json!([]), json!(1), json!({}), json!({"zone": 1})] {
            assert_eq!(places(bad), [""]);
        }
    }
}
