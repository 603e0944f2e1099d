//! Users, their roles in a tenant, and API keys, as collections: data here and in `fields`, their code by subject below.

mod fields;
mod keys;
mod people;
mod roles;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::api::{Action, Audited, Field, Handler, Input, Operation, Output, Record, Resource, Who};
use crate::auth::Auth;
use crate::base::role::Roles;

pub use fields::{API_KEYS, MEMBER, PROFILE, ROLES, USERS};

/// Problems that an operation can have besides the common ones.
type Problems = &'static [(u16, &'static str, &'static str)];

const ROLE_PROBLEMS: Problems = &[
    (403, "not-home", "Profile, status and password belong to another tenant."),
    (409, "own-account", "Nobody takes a role, a right or the account from themselves."),
    (409, "last-admin", "The tenant would be left without an admin who may sign in."),
    (409, "limit-reached", "The tenant's max_agents is reached."),
    (409, "taken", "The email is taken, by whatever tenant's user."),
];

/// The operations on users, roles and keys that write. `chapters`: what scopes of keys can name beside these.
pub fn actions(auth: &Arc<Auth>, chapters: impl IntoIterator<Item = String>) -> Vec<Action> {
    let chapters: BTreeSet<String> =
        chapters.into_iter().chain(["users", "roles", "api-keys"].map(str::to_owned)).collect();
    let mut all = people::actions(auth);
    all.extend(roles::actions());
    all.extend(keys::actions(chapters));
    all
}

/// An operation that writes, for admins.
fn action(
    resource: &'static Resource,
    (verb, summary): (&str, &'static str),
    doc: &'static str,
    input: Option<&'static [Field]>,
    problems: Problems,
    handler: Handler,
) -> Action {
    let (method, path, output) = match verb {
        "create" => ("POST", resource.path.to_owned(), Output::Record(resource, 201)),
        "update" => ("PATCH", format!("{}/{{id}}", resource.path), Output::Record(resource, 200)),
        _ => ("DELETE", format!("{}/{{id}}", resource.path), Output::Empty),
    };
    let operation = Operation {
        id: format!("{}.{verb}", resource.name).into(),
        method,
        path: path.into(),
        tag: resource.name.to_owned(),
        summary: summary.into(),
        doc: doc.into(),
        // Who is a user of another tenant is the platform's to know.
        who: Who::Roles(if resource.name == ROLES.name && verb == "create" {
            Roles::PLATFORM
        } else {
            Roles::ADMINS
        }),
        query: Vec::new(),
        input: match (input, method) {
            (None, _) => Input::None,
            (Some(fields), "POST") => Input::New(fields, &[]),
            (Some(fields), _) => Input::Patch(fields, &[]),
        },
        output,
        own: None,
        once: &[],
        problems,
        again: "",
        deadline: Operation::DEADLINE,
    };
    Action { operation, handler }
}

/// The line of a change of one of these.
fn line(resource: &Resource, verb: &str, id: &str, before: Record, after: Record) -> Audited {
    Audited {
        action: format!("{}.{verb}", resource.name).into(),
        object_type: resource.name.into(),
        object_id: id.to_owned(),
        before,
        after,
    }
}
