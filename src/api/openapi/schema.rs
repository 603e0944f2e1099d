//! JSON Schemas of fields, records and bodies.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::api::field::{Field, Kind, Null, Rule, Write};
use crate::api::resource::{Part, Resource};
use crate::config::limits::api as limits;

/// Every named schema of the document.
#[derive(Debug, Default)]
pub(super) struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// Adds a schema under its name and returns the reference to it.
    pub(super) fn add(&mut self, name: &str, schema: impl FnOnce() -> Value) -> Value {
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), schema());
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// A collection's record.
    pub(super) fn record(&mut self, resource: &'static Resource) -> Value {
        self.add(&type_name(resource), || {
            let fields: Vec<&Field> = resource.all_fields().filter(|f| !f.secret).collect();
            let mut schema = object(&fields, resource.parts, true, false);
            schema["description"] = resource.doc.into();
            schema
        })
    }

    /// A page of them.
    pub(super) fn page(&mut self, resource: &'static Resource) -> Value {
        let record = self.record(resource);
        let page = self.add("Page", page);
        let name = format!("{}Page", type_name(resource));
        self.add(&name, || {
            json!({
                "type": "object",
                "required": ["data", "page"],
                "properties": {"data": {"type": "array", "items": record}, "page": page},
            })
        })
    }

    pub(super) fn into_all(mut self) -> BTreeMap<String, Value> {
        self.add("Problem", problem);
        self.0
    }
}

/// `contact` as a type: `Contact`; `chat session` as `ChatSession`.
pub(super) fn type_name(resource: &Resource) -> String {
    pascal(resource.one)
}

/// Words as one name.
pub(super) fn pascal(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
    words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect()
}

/// An object of fields and parts. As an answer everything is there; as a new record what has no default; as a change
/// nothing must be.
pub(super) fn object(fields: &[&Field], parts: &'static [Part], is_answer: bool, is_patch: bool) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in fields {
        let mut schema = self::field(field);
        if is_answer {
            if let Value::Object(schema) = &mut schema {
                schema.remove("default");
            }
            required.push(field.name);
        } else if !is_patch && field.default.is_none() {
            required.push(field.name);
        }
        if is_patch && let Value::Object(schema) = &mut schema {
            schema.remove("default");
        }
        properties.insert(field.name.to_owned(), schema);
    }
    for part in parts {
        properties.insert(part.name.to_owned(), list(part, is_answer));
        if is_answer {
            required.push(part.name);
        }
    }
    let mut schema = json!({"type": "object", "properties": properties, "required": required});
    if !is_answer {
        schema["additionalProperties"] = false.into();
    }
    schema
}

/// A body: what a client may write.
pub(super) fn body(fields: &'static [Field], parts: &'static [Part], is_new: bool) -> Value {
    let writable = |f: &&Field| f.write == Write::Always || is_new && f.write == Write::Once;
    let fields: Vec<&Field> = fields.iter().filter(writable).collect();
    object(&fields, parts, false, !is_new)
}

/// Where a page stands among the others.
pub(super) fn page() -> Value {
    json!({
        "type": "object",
        "required": ["next", "prev", "limit"],
        "properties": {
            "next": {"type": ["string", "null"], "description": "For ?after=: the page behind this one; null at the end."},
            "prev": {"type": ["string", "null"], "description": "For ?after=: the page before this one; null at the start."},
            "limit": {"type": "integer", "description": "Records in a page at most."},
        },
    })
}

fn list(part: &'static Part, is_answer: bool) -> Value {
    let items = match part.fields.first().filter(|_| part.flat) {
        Some(only) => field(only),
        None => object(&part.fields.iter().collect::<Vec<_>>(), &[], is_answer, false),
    };
    let mut schema = json!({"type": "array", "description": part.doc, "items": items});
    if !is_answer {
        schema["maxItems"] = part.items.into();
        if part.flat {
            schema["uniqueItems"] = true.into();
        }
    }
    schema
}

/// The schema of one field.
pub fn field(field: &Field) -> Value {
    let mut schema = match field.kind {
        Kind::Text { min, max } => text(min, max),
        Kind::Enum(all) => json!({"type": "string", "enum": all}),
        Kind::Rule(rule) => ruled(rule),
        Kind::Int { min, max } => {
            json!({"type": "integer", "format": "int64", "minimum": min, "maximum": max})
        }
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Time => json!({"type": "string", "format": "date-time"}),
        Kind::Id | Kind::Ref(_) => json!({"type": "string", "pattern": "^[0-9a-hjkmnp-tv-z]{26}$"}),
        Kind::Object(_) => json!({"type": "object", "additionalProperties": true}),
        Kind::Json(shape) => serde_json::from_str(shape.schema).unwrap_or_else(|_| json!({})),
        Kind::Texts { items, rule } => json!({"type": "array", "maxItems": items, "items": ruled(rule)}),
    };
    if let Value::Object(schema) = &mut schema {
        schema.insert("description".into(), field.doc.into());
        schema.insert("examples".into(), json!([example(field)]));
        if let Some(default) = field.default.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
            schema.insert("default".into(), default);
        }
        if field.null != Null::Never {
            nullable(schema);
        }
        if field.write == Write::Never {
            schema.insert("readOnly".into(), true.into());
        }
        if field.secret {
            schema.insert("writeOnly".into(), true.into());
        }
    }
    schema
}

fn nullable(schema: &mut Map<String, Value>) {
    match schema.get("type").cloned() {
        Some(kind @ Value::String(_)) => {
            schema.insert("type".into(), json!([kind, "null"]));
        }
        _ => {
            let inner = Value::Object(std::mem::take(schema));
            schema.insert("anyOf".into(), json!([inner, {"type": "null"}]));
        }
    }
    if let Some(Value::Array(all)) = schema.get_mut("enum") {
        all.push(Value::Null);
    }
}

fn text(min: usize, max: usize) -> Value {
    // Control characters are refused but tab, line feed and carriage return; what must be given can't be blank.
    const PLAIN: &str = r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*";
    let mut schema = json!({"type": "string", "maxLength": max});
    schema["pattern"] = match min {
        0 => format!("^{PLAIN}$"),
        _ => format!(r"^{PLAIN}[^\s\x00-\x1f\x7f-\x9f]{PLAIN}$"),
    }
    .into();
    if min > 0 {
        schema["minLength"] = min.into();
    }
    schema
}

fn ruled(rule: &Rule) -> Value {
    let mut schema = json!({"type": "string", "format": rule.format, "maxLength": rule.max});
    if !rule.pattern.is_empty() {
        schema["pattern"] = rule.pattern.into();
    }
    schema
}

/// A true example of a field: its own, or one of its kind.
pub fn example(field: &Field) -> Value {
    if let Ok(own) = serde_json::from_str(field.example) {
        return own;
    }
    match field.kind {
        Kind::Text { min, .. } => Value::from("text ".repeat(min.div_ceil(5).max(1)).trim_end()),
        Kind::Enum(all) => all.first().copied().into(),
        Kind::Rule(rule) => rule.example.into(),
        Kind::Int { min, max } => {
            let default = field.default.and_then(|text| serde_json::from_str::<i64>(text).ok());
            default.unwrap_or(min.max(1).min(max)).into()
        }
        Kind::Bool => field.default.is_some_and(|text| text == "true").into(),
        Kind::Time => "2026-11-23T08:00:00Z".into(),
        Kind::Id | Kind::Ref(_) => "01kb2x8v9q3d5s7f1g4h6j8k0m".into(),
        Kind::Object(_) => json!({}),
        Kind::Json(shape) => serde_json::from_str(shape.example).unwrap_or_default(),
        Kind::Texts { rule, .. } => json!([rule.example]),
    }
}

fn problem() -> Value {
    let text = |doc: &str| json!({"type": "string", "description": doc});
    json!({
        "type": "object",
        "description": "Why a request was not served (RFC 9457).",
        "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
        "properties": {
            "type": text("Where the code is explained."),
            "title": text("The status in words."),
            "status": {"type": "integer", "description": "The HTTP status."},
            "detail": text("What happened and what to do."),
            "instance": text("The path that was asked for."),
            "code": text("A stable name for programs."),
            "request_id": text("The id of the request, as in X-Request-Id."),
            "errors": {
                "type": "array",
                "description": "Everything that is wrong with the request.",
                "maxItems": limits::BODY_BYTES,
                "items": {
                    "type": "object",
                    "required": ["detail"],
                    "properties": {
                        "pointer": text("JSON pointer into the body."),
                        "parameter": text("The query parameter or header."),
                        "detail": text("What is wrong, and what would be right."),
                    },
                },
            },
        },
    })
}
