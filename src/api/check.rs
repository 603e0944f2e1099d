//! Checks values against their fields: a body is right, or every fault in it is told with its pointer.

use serde_json::{Map, Value};

use super::field::{Field, Kind, Null, Write};
use super::problem::Fault;
use super::resource::{Part, Record};
use crate::base::clock::from_us;
use crate::base::ids::Id;
use crate::config::limits::api as limits;

/// Checks a body. A new record gets the defaults of what is not given; a change only what is given.
///
/// # Errors
/// Every fault.
pub fn body(
    value: &Value,
    fields: &'static [Field],
    parts: &'static [Part],
    is_new: bool,
) -> Result<Record, Vec<Fault>> {
    let Some(object) = value.as_object() else {
        return Err(vec![Fault::at("", "The body must be a JSON object.")]);
    };
    let mut faults = Vec::new();
    let mut checked = object_of(object, fields, is_new, "", &mut faults);
    for part in parts {
        match object.get(part.name) {
            Some(list) => {
                let items = items(list, part, &mut faults);
                checked.insert(part.name.into(), Value::Array(items));
            }
            None if is_new => {
                checked.insert(part.name.into(), Value::Array(Vec::new()));
            }
            None => {}
        }
    }
    let is_known = |name: &str| {
        parts.iter().any(|p| p.name == name)
            || fields.iter().any(|f| f.name == name && f.write != Write::Never)
    };
    for name in object.keys().filter(|name| !is_known(name)) {
        let why = match fields.iter().any(|f| f.name == *name) || is_stamp(name) {
            true => "The service sets this; leave it out.",
            false => "There is no such field.",
        };
        faults.push(Fault::at(&escape(name), why));
    }
    if faults.is_empty() { Ok(checked) } else { Err(faults) }
}

fn is_stamp(name: &str) -> bool {
    matches!(name, "id" | "tenant_id" | "created_at" | "updated_at")
}

/// A name as part of a JSON pointer, cut to what a reader needs.
fn escape(name: &str) -> String {
    name.chars().take(100).collect::<String>().replace('~', "~0").replace('/', "~1")
}

fn object_of(
    object: &Map<String, Value>,
    fields: &'static [Field],
    is_new: bool,
    at: &str,
    faults: &mut Vec<Fault>,
) -> Record {
    let mut checked = Record::new();
    for field in fields.iter().filter(|f| f.write != Write::Never) {
        let pointer = if at.is_empty() { field.name.to_owned() } else { format!("{at}/{}", field.name) };
        match object.get(field.name) {
            Some(_) if !is_new && field.write == Write::Once => {
                faults.push(Fault::at(&pointer, "This is set when the record is made, and stays."));
            }
            Some(value) => match one(value, field) {
                Ok(value) => {
                    checked.insert(field.name.into(), value);
                }
                Err(found) => faults.extend(
                    found.into_iter().map(|(below, why)| Fault::at(&(pointer.clone() + &below), why)),
                ),
            },
            None if !is_new => {}
            None => match field.default.map(serde_json::from_str) {
                Some(Ok(value)) => {
                    checked.insert(field.name.into(), value);
                }
                // A default that is no JSON is a mistake of ours that a test looks for.
                Some(Err(_)) | None => faults.push(Fault::at(&pointer, "This must be given.")),
            },
        }
    }
    checked
}

fn items(list: &Value, part: &'static Part, faults: &mut Vec<Fault>) -> Vec<Value> {
    let Some(list) = list.as_array() else {
        faults.push(Fault::at(part.name, "This must be a list."));
        return Vec::new();
    };
    if list.len() > part.items {
        faults.push(Fault::at(part.name, format!("At most {} items.", part.items)));
        return Vec::new();
    }
    let mut checked = Vec::with_capacity(list.len());
    for (n, item) in list.iter().enumerate() {
        let at = format!("{}/{n}", part.name);
        if part.flat {
            match part.fields.first().map(|field| one(item, field)) {
                Some(Ok(value)) => checked.push(value),
                Some(Err(found)) => faults
                    .extend(found.into_iter().map(|(below, why)| Fault::at(&(at.clone() + &below), why))),
                None => {}
            }
            continue;
        }
        let Some(object) = item.as_object() else {
            faults.push(Fault::at(&at, "Each item must be a JSON object."));
            continue;
        };
        checked.push(Value::Object(object_of(object, part.fields, true, &at, faults)));
        for name in object.keys().filter(|name| part.fields.iter().all(|f| f.name != **name)) {
            faults.push(Fault::at(&format!("{at}/{}", escape(name)), "There is no such field."));
        }
    }
    twice(&checked, part, faults);
    checked
}

/// Finds items that share what must be unique.
fn twice(items: &[Value], part: &'static Part, faults: &mut Vec<Fault>) {
    let key = |item: &Value| -> Option<String> {
        match (part.flat, part.unique) {
            (true, _) => Some(item.to_string()),
            (false, []) => None,
            (false, names) => Some(
                names.iter().map(|n| item.get(n).map_or_else(String::new, Value::to_string) + "\n").collect(),
            ),
        }
    };
    let mut seen = std::collections::HashSet::new();
    for (n, item) in items.iter().enumerate() {
        if key(item).is_some_and(|key| !seen.insert(key)) {
            faults.push(Fault::at(&format!("{}/{n}", part.name), "This item is there already."));
        }
    }
}

/// What is wrong with one value: where below it, and why.
type Wrong = Vec<(String, String)>;

fn wrong<T>(why: impl Into<String>) -> Result<T, Wrong> {
    Err(vec![(String::new(), why.into())])
}

/// Checks one value, and returns it as it is kept.
///
/// # Errors
/// Why not.
pub fn one(value: &Value, field: &Field) -> Result<Value, Wrong> {
    if value.is_null() {
        return if field.null == Null::Never { wrong("This can't be null.") } else { Ok(Value::Null) };
    }
    match field.kind {
        Kind::Text { min, max } => string(value).and_then(|text| plain(text, min, max)).map(Value::String),
        Kind::Rule(rule) => string(value).and_then(|text| ruled(text, rule)).map(Value::String),
        Kind::Enum(all) => match string(value)? {
            text if all.contains(&text) => Ok(value.clone()),
            _ => wrong(format!("This must be one of: {}.", all.join(", "))),
        },
        Kind::Int { min, max } => match value.as_i64() {
            Some(n) if (min..=max).contains(&n) => Ok(Value::from(n)),
            _ => wrong(format!("This must be a whole number from {min} to {max}.")),
        },
        Kind::Bool if value.is_boolean() => Ok(value.clone()),
        Kind::Bool => wrong("This must be true or false."),
        Kind::Time => match chrono::DateTime::parse_from_rfc3339(string(value)?) {
            Ok(time) if (0..=limits::LAST_TIME_US).contains(&time.timestamp_micros()) => {
                Ok(Value::String(show_time(time.timestamp_micros())))
            }
            Ok(_) => wrong("This must lie between 1970 and 9999."),
            Err(_) => wrong("This must be a time such as 2026-11-23T08:00:00Z (RFC 3339)."),
        },
        Kind::Id | Kind::Ref(_) => match Id::parse(string(value)?) {
            Ok(id) => Ok(Value::String(id.to_string())),
            Err(_) => wrong("This must be an id: 26 of 0-9 and a-z."),
        },
        Kind::Object(most) => match value.is_object() {
            true if value.to_string().len() <= most => Ok(value.clone()),
            true => wrong(format!("This takes more than {most} bytes.")),
            false => wrong("This must be a JSON object."),
        },
        Kind::Json(shape) => {
            if value.to_string().len() > shape.bytes {
                return wrong(format!("This takes more than {} bytes.", shape.bytes));
            }
            let mut found = Vec::new();
            (shape.check)(value, &mut found);
            if found.is_empty() { Ok(value.clone()) } else { Err(found) }
        }
        Kind::Texts { items, rule } => texts(value, items, rule),
    }
}

fn string(value: &Value) -> Result<&str, Wrong> {
    match value.as_str() {
        Some(text) => Ok(text),
        None => wrong("This must be a text."),
    }
}

fn texts(value: &Value, most: usize, rule: &super::field::Rule) -> Result<Value, Wrong> {
    let Some(list) = value.as_array() else { return wrong("This must be a list of texts.") };
    if list.len() > most {
        return wrong(format!("At most {most} items."));
    }
    let (mut checked, mut found) = (Vec::with_capacity(list.len()), Vec::new());
    for (n, item) in list.iter().enumerate() {
        match string(item).and_then(|text| ruled(text, rule)) {
            Ok(text) => checked.push(Value::String(text)),
            Err(why) => found.extend(why.into_iter().map(|(_, why)| (format!("/{n}"), why))),
        }
    }
    if found.is_empty() { Ok(Value::Array(checked)) } else { Err(found) }
}

/// Text without what would hide in a log, a mail header or an Asterisk variable. One line, without spaces around it,
/// unless it may be long.
fn plain(text: &str, min: usize, max: usize) -> Result<String, Wrong> {
    let is_line = max <= limits::LINE_CHARACTERS;
    let fits = |c: char| !c.is_control() || !is_line && matches!(c, '\n' | '\t' | '\r');
    if !text.chars().all(fits) {
        return wrong(if is_line {
            "This has line feeds or other control characters."
        } else {
            "This has control characters."
        });
    }
    let text = if is_line { text.trim() } else { text };
    let length = text.chars().count();
    if length < min || min > 0 && text.trim().is_empty() {
        return wrong(match min {
            1 => "This can't be empty.".to_owned(),
            _ => format!("This must have at least {min} characters."),
        });
    }
    if length > max {
        return wrong(format!("This can have at most {max} characters."));
    }
    Ok(text.to_owned())
}

fn ruled(text: &str, rule: &super::field::Rule) -> Result<String, Wrong> {
    if text.chars().count() > rule.max {
        return wrong(format!("This can have at most {} characters.", rule.max));
    }
    (rule.check)(text).or_else(wrong)
}

/// A time as the API shows it: RFC 3339, UTC, with microseconds only where there are any.
pub fn show_time(us: i64) -> String {
    let time = from_us(us);
    let fraction = if us.rem_euclid(1_000_000) == 0 {
        chrono::SecondsFormat::Secs
    } else {
        chrono::SecondsFormat::Micros
    };
    time.to_rfc3339_opts(fraction, true)
}

/// The microseconds that a time shown by [`show_time`] stands for.
pub fn read_time(text: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
}
