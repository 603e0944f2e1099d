//! The OpenAPI 3.1 document, made from the same descriptions that the router serves from.

mod operation;
mod schema;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::call::{Action, Who};
use super::field::Field;
use super::resource::Resource;
use crate::base::role::Role;

pub use schema::{example, field as field_schema};

/// Where the API lies.
pub const BASE: &str = "/api/v1";

/// What an event's data is.
#[derive(Clone, Copy, Debug)]
pub enum Data {
    /// A record of a collection, as the API shows it.
    Record(&'static Resource),
    /// An object of these fields, under a name.
    Fields(&'static str, &'static [Field]),
}

/// One type of events as the document shows it.
#[derive(Clone, Debug)]
pub struct Told<'t> {
    /// Its name: `call.ended`.
    pub name: &'t str,
    /// What happened.
    pub doc: &'t str,
    /// The form of its key.
    pub key: &'t str,
    /// What comes with it.
    pub data: Data,
    /// Who sees it.
    pub readers: Vec<&'static str>,
}

/// The whole document.
///
/// `models`: a table in Markdown of what is kept where; `chapters`: further text for the introduction; `envelope`: the
/// fields that all events have.
pub fn document(
    actions: &[Action],
    models: &str,
    chapters: &str,
    (events, envelope): (&[Told<'_>], &'static [Field]),
) -> Value {
    let mut schemas = schema::Schemas::default();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for action in actions {
        let path = format!("{BASE}{}", action.operation.path);
        let entry = operation::entry(action, &mut schemas);
        paths.entry(path).or_default().insert(action.operation.method.to_ascii_lowercase(), entry);
    }
    let told =
        events.iter().map(|event| (event.name.to_owned(), operation::told(event, envelope, &mut schemas)));
    let told: BTreeMap<String, Value> = told.collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hookswitch",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Decides what happens to every call, and gives the people around it what they need.",
            "description": introduction(actions, models, chapters),
        },
        "servers": [{"url": "/", "description": "This service."}],
        "security": [{"bearer": []}],
        "tags": tags(actions),
        "paths": paths,
        "webhooks": told,
        "components": {
            "securitySchemes": {"bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "An access token from POST /api/v1/auth/login, or an API key.",
            }},
            "schemas": schemas.into_all(),
            "responses": operation::problem_responses(),
        },
    })
}

/// The chapters, in the order in which they first come.
fn tags(actions: &[Action]) -> Vec<Value> {
    let mut seen: Vec<&str> = Vec::new();
    for action in actions {
        if !seen.contains(&action.operation.tag.as_str()) {
            seen.push(&action.operation.tag);
        }
    }
    seen.into_iter().map(|tag| json!({"name": tag})).collect()
}

const INTRODUCTION: &str = include_str!("introduction.md");

/// What a newcomer reads first, with the table of roles at its end.
fn introduction(actions: &[Action], models: &str, chapters: &str) -> String {
    format!("{INTRODUCTION}\n{}\n## Models\n\n{models}\n{chapters}", role_table(actions))
}

/// The table role x operation, as Markdown.
pub fn role_table(actions: &[Action]) -> String {
    let mut table = String::from("| operation | ");
    table.push_str(&Role::ALL.map(Role::as_str).join(" | "));
    table.push_str(" |\n|---|---|---|---|---|---|\n");
    for action in actions {
        let operation = &action.operation;
        let cells = Role::ALL.map(|role| match operation.who {
            Who::Public => "all",
            Who::SignedIn => "yes",
            Who::Roles(roles) if roles.has(role) => match operation.own.filter(|own| own.roles.has(role)) {
                Some(_) => "own",
                None => "yes",
            },
            Who::Roles(_) => "",
        });
        table.push_str(&format!("| `{}` | {} |\n", operation.id, cells.join(" | ")));
    }
    table
}
