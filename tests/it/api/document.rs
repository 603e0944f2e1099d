//! The OpenAPI document says what is so: its references lead somewhere, its examples pass the service's own checks, and
//! the TypeScript client is made of it.

use std::collections::BTreeSet;

use hookswitch::api::page::{Cursor, Position};
use hookswitch::api::store::{self, List, Scope};
use hookswitch::api::{Field, Input, Null, check, openapi};
use hookswitch::app;
use serde_json::Value;

use crate::support::{both_databases, root, tenant};

fn walk<'v>(value: &'v Value, visit: &mut impl FnMut(&'v str, &'v Value)) {
    match value {
        Value::Object(object) => {
            for (name, inner) in object {
                visit(name, inner);
                walk(inner, visit);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_operation_has_its_own_name() {
    let document = app::api::document().unwrap();
    let (mut references, mut names, mut twice) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    walk(&document, &mut |name, value| {
        if name == "$ref" {
            references.insert(value.as_str().unwrap());
        }
        if name == "operationId" && !names.insert(value.as_str().unwrap()) {
            twice.push(value.as_str().unwrap());
        }
    });
    assert!(twice.is_empty(), "{twice:?}");
    assert!(references.len() > 20 && names.len() > 50, "{} {}", references.len(), names.len());
    for reference in references {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

fn all_fields() -> Vec<(String, &'static Field)> {
    let mut all = Vec::new();
    for resource in app::api::resources() {
        all.extend(resource.fields.iter().map(|f| (format!("{}.{}", resource.name, f.name), f)));
        for part in resource.parts {
            all.extend(
                part.fields.iter().map(|f| (format!("{}.{}.{}", resource.name, part.name, f.name), f)),
            );
        }
    }
    for operation in app::api::operations().unwrap() {
        if let Input::New(fields, _) | Input::Patch(fields, _) = operation.input {
            all.extend(fields.iter().map(|f| (format!("{} {}", operation.id, f.name), f)));
        }
    }
    all
}

#[test]
fn every_example_and_default_passes_the_check() {
    let mut wrong = Vec::new();
    for (place, field) in all_fields() {
        let example = openapi::example(field);
        if let Err(why) = check::one(&example, field) {
            wrong.push(format!("{place}: example {example}: {why:?}"));
        }
        if let Some(text) = field.default {
            match serde_json::from_str::<Value>(text) {
                Ok(default) => match check::one(&default, field) {
                    Ok(kept) if kept == default => {}
                    other => wrong.push(format!("{place}: default {default}: {other:?}")),
                },
                Err(why) => wrong.push(format!("{place}: default {text:?}: {why}")),
            }
        }
        if !field.example.is_empty() && serde_json::from_str::<Value>(field.example).is_err() {
            wrong.push(format!("{place}: example {} is no JSON", field.example));
        }
        if field.sort && field.null != Null::Never {
            wrong.push(format!("{place}: sorted by what may be null"));
        }
        if field.doc.is_empty() || !field.doc.ends_with('.') {
            wrong.push(format!("{place}: says {:?}", field.doc));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_example_body_passes_the_check() {
    let document = app::api::document().unwrap();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for operation in app::api::operations().unwrap() {
        let Input::New(fields, parts) = operation.input else { continue };
        let path = format!("/paths/{}", format!("/api/v1{}", operation.path).replace('/', "~1"));
        let pointer = format!(
            "{path}/{}/requestBody/content/application~1json/example",
            operation.method.to_lowercase()
        );
        let example = document.pointer(&pointer).unwrap_or_else(|| panic!("{pointer}"));
        seen += 1;
        if let Err(faults) = check::body(example, fields, parts, true) {
            wrong.push(format!("{}: {example}: {faults:?}", operation.id));
        }
    }
    assert!(seen > 15 && wrong.is_empty(), "{seen} {wrong:#?}");
}

#[test]
fn the_client_is_made_of_this_document() {
    let kept = std::fs::read_to_string(root().join("clients/typescript/openapi.json")).unwrap();
    let now = serde_json::to_string_pretty(&app::api::document().unwrap()).unwrap() + "\n";
    assert!(kept == now, "the API has changed: run scripts/generate-client");
}

both_databases! {
    /// Every model of the table is a table of the database and a path of the document.
    async fn every_model_is_kept_and_shown(test) {
        let document = app::api::document().unwrap();
        for (model, table, path) in app::models::MODELS {
            assert!(!test.columns(table).await.is_empty(), "{model}: {table}");
            let pointer = format!("/paths/{}", format!("/api/v1{path}").replace('/', "~1"));
            assert!(document.pointer(&pointer).is_some(), "{model}: {path}");
        }
    }

    /// Every field that is a column is one on both databases.
    async fn every_field_has_its_column(test) {
        let mut missing = Vec::new();
        for resource in app::api::resources().into_iter().filter(|r| r.source.is_empty()) {
            let columns = test.columns(resource.table).await;
            let plain = resource.all_fields().filter(|f| !f.column.contains(['(', ' ']));
            missing.extend(plain.filter(|f| !columns.contains(&f.column.to_owned())).map(|f| format!("{}.{}", resource.table, f.column)));
        }
        assert!(missing.is_empty(), "{missing:?}");
    }

    /// Every collection can be read on behind a cursor, by the index that it names.
    async fn every_collection_reads_on(test) {
        let (acme, mut with_index) = (tenant("acme"), 0);
        for resource in app::api::resources().into_iter().filter(|r| r.table != "tenants") {
            let sort = resource.field(resource.order.trim_start_matches('-')).unwrap();
            let after = Cursor { query: 0, key: Position::Int(1), id: "x".into(), back: false };
            let list = List { sort, descending: true, limit: 5, after: Some(after), filters: Vec::new(), search: None, whole: false };
            let page = store::list(&test.db, resource, &Scope::tenant(&acme), &list).await;
            assert!(page.is_ok(), "{}: {}", resource.name, page.unwrap_err());
            with_index += usize::from(!resource.index.is_empty());
        }
        assert!(with_index > 15, "{with_index}");
    }
}
