//! One operation in the document: its parameters, its body, its answers.

use serde_json::{Map, Value, json};

use super::schema::{self, Schemas, body, object, pascal, type_name};
use super::{Data, Told};
use crate::api::call::{Action, Handler, Input, Operation, Output, Who};
use crate::api::field::{Field, Kind, Null};
use crate::api::list;
use crate::api::resource::Resource;
use crate::config::limits::api as limits;

/// Problems that have an answer of their own in the document: status, name, when.
const PROBLEMS: [(u16, &str, &str); 13] = [
    (400, "BadRequest", "The query or the body can't be read."),
    (401, "Unauthenticated", "There is no token, or it is not valid any more."),
    (403, "Forbidden", "The role, or the key's scopes, do not allow it."),
    (404, "NotFound", "There is no such record; or it is another tenant's."),
    (405, "MethodNotAllowed", "The path does not take this method."),
    (409, "Conflict", "The state of things does not allow it: a value is taken, a limit reached."),
    (410, "Gone", "It was there, and is not kept any more."),
    (412, "Stale", "It has changed since the `ETag` in `If-Match`."),
    (413, "TooLarge", "The body is too large."),
    (415, "WrongContentType", "The body is of a type that the operation does not take."),
    (422, "Invalid", "Values are wrong: every fault is told."),
    (429, "TooManyRequests", "Too fast; `Retry-After` tells when to come back."),
    (
        503,
        "Unavailable",
        "The database is away or the service is busy; `Retry-After` tells when to come back.",
    ),
];

/// The answers that problems give.
pub(super) fn problem_responses() -> Value {
    let mut all = Map::new();
    for (status, name, when) in PROBLEMS {
        let mut response = json!({
            "description": when,
            "headers": {"X-Request-Id": {"schema": {"type": "string"}}},
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        });
        if matches!(status, 429 | 503) {
            response["headers"]["Retry-After"] =
                json!({"description": "Seconds.", "schema": {"type": "integer"}});
        }
        all.insert(name.to_owned(), response);
    }
    Value::Object(all)
}

/// One operation's entry.
pub(super) fn entry(action: &Action, schemas: &mut Schemas) -> Value {
    let operation = &action.operation;
    let mut entry = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": description(operation),
        "parameters": parameters(action),
        "responses": responses(action, schemas),
    });
    if let Some(body) = request_body(operation, schemas) {
        entry["requestBody"] = body;
    }
    match operation.who {
        Who::Public => entry["security"] = json!([]),
        Who::SignedIn => {}
        Who::Roles(roles) => entry["x-roles"] = json!(roles.names()),
    }
    entry
}

fn description(operation: &Operation) -> String {
    let who = match operation.who {
        Who::Public => "Takes no token.".to_owned(),
        Who::SignedIn => "For whoever is signed in; not for API keys.".to_owned(),
        Who::Roles(roles) => format!("Roles: {}.", roles.names().join(", ")),
    };
    let own = operation.own.map_or_else(String::new, |own| {
        format!(
            " {} see only their own{}.",
            own.roles.names().join(", "),
            if own.or_nobody { " and what nobody has taken" } else { "" }
        )
    });
    let codes: String = operation
        .problems
        .iter()
        .map(|(status, code, when)| format!("\n- {status} `{code}`: {when}"))
        .collect();
    let doc = if operation.doc.is_empty() { String::new() } else { format!("{}\n\n", operation.doc) };
    let time = match operation.deadline {
        Operation::DEADLINE => String::new(),
        longer => format!(" May take up to {} s.", longer.as_secs()),
    };
    format!("{doc}{who}{own}{time}{codes}")
}

fn parameter(place: &str, name: &str, required: bool, doc: &str, schema: Value) -> Value {
    json!({"in": place, "name": name, "required": required, "description": doc, "schema": schema})
}

fn parameters(action: &Action) -> Vec<Value> {
    let operation = &action.operation;
    let mut all = Vec::new();
    for part in operation.path.split('/').filter_map(|p| p.strip_prefix('{')?.strip_suffix('}')) {
        let schema =
            json!({"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9_.+-]+$"});
        all.push(parameter("path", part, true, "An id.", schema));
    }
    match operation.output {
        Output::Page(resource) => all.extend(list_parameters(operation, resource)),
        _ => all.extend(
            operation
                .query
                .iter()
                .map(|p| parameter("query", p.field.name, p.required, p.field.doc, bare(&p.field))),
        ),
    }
    let writes = matches!(action.handler, Handler::Write(_) | Handler::Prepared(..));
    if operation.method == "POST" && writes {
        let schema = json!({"type": "string", "minLength": 1, "maxLength": limits::IDEMPOTENCY_CHARACTERS, "pattern": "^[!-~]+$"});
        all.push(parameter(
            "header",
            "Idempotency-Key",
            false,
            "The same key and request give the first answer again.",
            schema,
        ));
    }
    let tagged = matches!(operation.method, "PATCH" | "DELETE") && operation.path.ends_with("{id}");
    if tagged && writes {
        all.push(parameter(
            "header",
            "If-Match",
            false,
            "The record's `ETag`, so that nobody's change is lost.",
            json!({"type": "string"}),
        ));
    }
    all
}

/// A field's schema as a parameter: it has neither default nor null.
fn bare(field: &Field) -> Value {
    let mut plain = *field;
    (plain.default, plain.null, plain.write) = (None, Null::Never, crate::api::Write::Always);
    let mut schema = schema::field(&plain);
    if let Value::Object(schema) = &mut schema {
        schema.remove("description");
    }
    schema
}

fn list_parameters(operation: &Operation, resource: &'static Resource) -> Vec<Value> {
    let sorts: Vec<String> = resource
        .all_fields()
        .filter(|f| f.sort)
        .flat_map(|f| [f.name.to_owned(), format!("-{}", f.name)])
        .collect();
    let limit =
        json!({"type": "integer", "minimum": 1, "maximum": limits::PAGE_MOST, "default": limits::PAGE});
    let mut all = vec![
        parameter("query", "limit", false, "Records in a page at most.", limit),
        parameter(
            "query",
            "after",
            false,
            "`page.next` or `page.prev` of another page.",
            json!({"type": "string"}),
        ),
        parameter(
            "query",
            "sort",
            false,
            "The order.",
            json!({"type": "string", "enum": sorts, "default": resource.order}),
        ),
    ];
    if resource.fields.iter().any(|f| f.search) {
        let names: Vec<&str> = resource.fields.iter().filter(|f| f.search).map(|f| f.name).collect();
        let schema = json!({"type": "string", "maxLength": limits::SEARCH_CHARACTERS});
        all.push(parameter("query", "q", false, &format!("A text in {}.", names.join(", ")), schema));
    }
    for p in &operation.query {
        let field = &p.field;
        let mut schema = bare(field);
        if field.null != Null::Never {
            schema = json!({"anyOf": [schema, {"type": "string", "const": "null"}]});
        }
        all.push(parameter("query", field.name, false, &format!("Only these. {}", field.doc), schema));
        if list::has_range(field) {
            all.push(parameter(
                "query",
                &format!("{}_from", field.name),
                false,
                "At least this.",
                bare(field),
            ));
            all.push(parameter(
                "query",
                &format!("{}_before", field.name),
                false,
                "Below this.",
                bare(field),
            ));
        }
    }
    all
}

fn request_body(operation: &Operation, schemas: &mut Schemas) -> Option<Value> {
    let (schema, types) = match operation.input {
        Input::None => return None,
        Input::New(fields, parts) => {
            let name = format!("{}Body", operation_name(operation));
            let schema = schemas.add(&name, || body(fields, parts, true));
            let example = example_body(fields, parts);
            return Some(json!({
                "required": true,
                "content": {"application/json": {"schema": schema, "example": example}},
            }));
        }
        Input::Patch(fields, parts) => {
            let name = format!("{}Body", operation_name(operation));
            (
                schemas.add(&name, || body(fields, parts, false)),
                vec!["application/json", "application/merge-patch+json"],
            )
        }
        Input::Raw(types, most) => {
            let kind = json!({"type": "string", "format": "binary", "maxLength": most});
            (kind, types.to_vec())
        }
    };
    let content: Map<String, Value> =
        types.into_iter().map(|t| (t.to_owned(), json!({"schema": schema}))).collect();
    Some(json!({"required": true, "content": content}))
}

/// An example of a new record: what must be given, and what has an example of its own. Ids of other records are left
/// out: no example of them could be true.
fn example_body(fields: &'static [Field], parts: &'static [crate::api::Part]) -> Value {
    let mut object = Map::new();
    for field in fields.iter().filter(|f| f.write != crate::api::Write::Never) {
        let is_free = !matches!(field.kind, Kind::Ref(_) | Kind::Id);
        if field.default.is_none() || !field.example.is_empty() && is_free {
            object.insert(field.name.to_owned(), schema::example(field));
        }
    }
    let _ = parts;
    Value::Object(object)
}

/// `contacts.create` as a name: `ContactsCreate`.
fn operation_name(operation: &Operation) -> String {
    pascal(&operation.id)
}

fn responses(action: &Action, schemas: &mut Schemas) -> Value {
    let operation = &action.operation;
    let mut all = Map::new();
    let headers = |names: &[&str]| -> Value {
        let all: Map<String, Value> =
            names.iter().map(|n| ((*n).to_owned(), json!({"schema": {"type": "string"}}))).collect();
        Value::Object(all)
    };
    let json_answer = |schema: Value, names: &[&str], doc: &str| json!({"description": doc, "headers": headers(names), "content": {"application/json": {"schema": schema}}});
    match operation.output {
        Output::Empty => {
            all.insert("204".into(), json!({"description": "Done.", "headers": headers(&["X-Request-Id"])}));
        }
        Output::Record(resource, status) => {
            let names: &[&str] =
                if status == 201 { &["X-Request-Id", "ETag", "Location"] } else { &["X-Request-Id", "ETag"] };
            let doc = if status == 201 { "Made." } else { "The record." };
            let schema = schemas.record(resource);
            let schema = once(operation, resource, schema, schemas);
            let repeats = matches!(operation.input, Input::New(fields, _) if fields.iter().any(|f| f.name == "client_id"));
            if status == 201 && (repeats || !operation.again.is_empty()) {
                let doc = match operation.again {
                    "" => "It was made before, by a request with the same `client_id`.",
                    again => again,
                };
                all.insert("200".into(), json_answer(schema.clone(), &["X-Request-Id", "ETag"], doc));
            }
            all.insert(status.to_string(), json_answer(schema, names, doc));
        }
        Output::Page(resource) => {
            let schema = schemas.page(resource);
            all.insert("200".into(), json_answer(schema, &["X-Request-Id"], "A page."));
        }
        Output::Object(name, fields, status) => {
            let schema = schemas.add(name, || object(&fields.iter().collect::<Vec<_>>(), &[], true, false));
            all.insert(status.to_string(), json_answer(schema, &["X-Request-Id"], "Done."));
        }
        Output::Objects(name, fields) => {
            let schema = schemas.add(name, || object(&fields.iter().collect::<Vec<_>>(), &[], true, false));
            let schema = json!({"type": "object", "required": ["data"], "properties": {"data": {"type": "array", "items": schema}}});
            all.insert("200".into(), json_answer(schema, &["X-Request-Id"], "All of them."));
        }
        Output::Stream(name, fields) => {
            let schema = schemas.add(name, || object(&fields.iter().collect::<Vec<_>>(), &[], true, false));
            let page = schemas.add("Page", schema::page);
            let schema = json!({"type": "object", "required": ["data", "page"], "properties": {"data": {"type": "array", "items": schema}, "page": page}});
            all.insert("200".into(), json_answer(schema, &["X-Request-Id"], "A page."));
        }
        Output::Bytes(kind) => {
            let content = json!({kind: {"schema": {"type": "string", "format": "binary"}}});
            all.insert("200".into(), json!({"description": "The file.", "headers": headers(&["X-Request-Id"]), "content": content}));
        }
    }
    for (status, name) in possible(action) {
        all.insert(status.to_string(), json!({"$ref": format!("#/components/responses/{name}")}));
    }
    Value::Object(all)
}

/// A type of events: what a consumer's endpoint gets.
pub(super) fn told(event: &Told<'_>, envelope: &'static [Field], schemas: &mut Schemas) -> Value {
    let fields: Vec<&Field> = envelope.iter().collect();
    let base = schemas.add("Event", || object(&fields, &[], true, false));
    let data = match event.data {
        Data::Record(resource) => schemas.record(resource),
        Data::Fields(name, fields) => {
            schemas.add(name, || object(&fields.iter().collect::<Vec<_>>(), &[], true, false))
        }
    };
    let schema = json!({"allOf": [base, {"properties": {"type": {"const": event.name}, "data": data}}]});
    json!({"post": {
        "operationId": format!("event.{}", event.name),
        "tags": ["webhooks"],
        "summary": event.doc,
        "description": format!("Key: `{}`. Seen by: {}.", event.key, event.readers.join(", ")),
        "requestBody": {"required": true, "content": {"application/json": {
            "schema": schema, "example": example_event(event, envelope)}}},
        "responses": {"2XX": {"description": "Taken. Anything else is tried again."}},
    }})
}

/// An example of an event: true in its form, made up in its values.
fn example_event(event: &Told<'_>, envelope: &[Field]) -> Value {
    let shown = |fields: &mut dyn Iterator<Item = &Field>| -> Map<String, Value> {
        fields.filter(|f| !f.secret).map(|f| (f.name.to_owned(), schema::example(f))).collect()
    };
    let mut whole = shown(&mut envelope.iter());
    let data = match event.data {
        Data::Record(resource) => shown(&mut resource.all_fields()),
        Data::Fields(_, fields) => shown(&mut fields.iter()),
    };
    whole.insert("type".into(), event.name.into());
    whole.insert("data".into(), Value::Object(data));
    Value::Object(whole)
}

/// A record's schema with what is shown in this answer only.
fn once(operation: &Operation, resource: &'static Resource, record: Value, schemas: &mut Schemas) -> Value {
    if operation.once.is_empty() {
        return record;
    }
    let name = format!("{}{}", type_name(resource), "Made");
    schemas.add(&name, || {
        let mut extra = object(&operation.once.iter().collect::<Vec<_>>(), &[], true, false);
        // A repeated answer does not have them.
        extra["required"] = json!([]);
        json!({"allOf": [record, extra]})
    })
}

/// Problems that an operation can have.
fn possible(action: &Action) -> Vec<(u16, &'static str)> {
    let operation = &action.operation;
    let has_body = !matches!(operation.input, Input::None);
    let writes = operation.method != "GET";
    let can = |status: u16| match status {
        400 => true,
        401 => operation.who != Who::Public || operation.problems.iter().any(|p| p.0 == 401),
        403 => operation.who != Who::Public || operation.problems.iter().any(|p| p.0 == 403),
        404 => operation.path.contains('{') || operation.problems.iter().any(|p| p.0 == 404),
        405 => false,
        410 => operation.problems.iter().any(|p| p.0 == 410),
        409 => writes || operation.problems.iter().any(|p| p.0 == 409),
        412 => matches!(operation.method, "PATCH" | "DELETE"),
        413 | 415 => has_body,
        422 => writes,
        _ => true,
    };
    PROBLEMS.into_iter().filter(|(status, ..)| can(*status)).map(|(status, name, _)| (status, name)).collect()
}
