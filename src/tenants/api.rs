//! Tenants as a collection: data here, their code below. Who runs the platform sees and changes every tenant, everybody
//! else sees their own.

mod change;
mod fields;
mod read;

use std::sync::Arc;

use crate::api::{Action, Doing, Handler, Input, Operation, Output, Problem, Reply, Who, list};
use crate::auth::Auth;
use crate::base::role::Roles;

pub use fields::TENANTS;

/// Problems that an operation can have besides the common ones.
type Problems = &'static [(u16, &'static str, &'static str)];

const TAKEN: Problems = &[(409, "taken", "The id, or the first admin's email, is taken.")];
const OPERATOR: Problems = &[(403, "operator-only", "A field is the operator's to change.")];
const SUSPENDED: Problems = &[(409, "suspended", "It is suspended already.")];
const ACTIVE: Problems = &[(409, "active", "It is active already.")];
const LARGE: Problems = &[(409, "export-too-large", "Larger than an export may be: take a backup.")];
const PURGE: Problems = &[(409, "not-deleted", "Delete it first.")];

fn action(
    (method, path, verb): (&'static str, &'static str, &'static str),
    who: Roles,
    (summary, doc): (&'static str, &'static str),
    (input, output): (Input, Output),
    problems: Problems,
    handler: Handler,
) -> Action {
    let is_list = matches!(output, Output::Page(_));
    let operation = Operation {
        id: format!("tenants.{verb}").into(),
        method,
        path: path.into(),
        tag: "tenants".to_owned(),
        summary: summary.into(),
        doc: doc.into(),
        who: Who::Roles(who),
        query: if is_list { list::parameters(&TENANTS) } else { Vec::new() },
        input,
        output,
        own: None,
        once: &[],
        problems,
        again: "",
        deadline: Operation::DEADLINE,
    };
    Action { operation, handler }
}

/// The operations.
pub fn actions(auth: &Arc<Auth>) -> Vec<Action> {
    let mut all = reads();
    all.extend(writes(auth));
    all.extend(ends());
    all
}

fn reads() -> Vec<Action> {
    let seen = "Who runs the platform sees every tenant, everybody else their own.";
    vec![
        action(
            ("GET", "/tenants", "list"),
            Roles::ALL,
            ("List tenants", seen),
            (Input::None, Output::Page(&TENANTS)),
            &[],
            Handler::read(read::list),
        ),
        action(
            ("GET", "/tenants/{id}", "get"),
            Roles::ALL,
            ("Read a tenant", seen),
            (Input::None, Output::Record(&TENANTS, 200)),
            &[],
            Handler::read(read::get),
        ),
        action(
            ("GET", "/tenants/{id}/usage", "usage"),
            Roles::SUPERVISORS,
            ("How much a tenant uses", "Counts beside the limits of the tenant; 0 of a limit means none."),
            (Input::None, Output::Object("Usage", &fields::USAGE, 200)),
            &[],
            Handler::read(read::usage),
        ),
        action(
            ("GET", "/tenants/{id}/export", "export"),
            Roles::ADMINS,
            (
                "Everything of a tenant",
                "A zip: a file of JSON lines per table, as stored, without secrets, and `manifest.json` with the rows and \
                 the SHA-256 of each. Files of recordings, voicemails and attachments are not in it.",
            ),
            (Input::None, Output::Bytes("application/zip")),
            LARGE,
            Handler::read(read::export),
        ),
    ]
}

fn writes(auth: &Arc<Auth>) -> Vec<Action> {
    let auth = Arc::clone(auth);
    let create = Handler::Prepared(
        Arc::new(move |call| {
            let auth = Arc::clone(&auth);
            Box::pin(async move { change::prepare(&auth, call).await })
        }),
        Arc::new(change::create),
    );
    vec![
        action(
            ("POST", "/tenants", "create"),
            Roles::PLATFORM,
            (
                "Make a tenant",
                "With `admin_email` also its first admin; without `admin_password` one is made up and shown once, in the \
                 field `admin_password` of the answer.",
            ),
            (Input::New(&fields::NEW, &[]), Output::Record(&TENANTS, 201)),
            TAKEN,
            create,
        ),
        action(
            ("PATCH", "/tenants/{id}", "update"),
            Roles::ADMINS,
            (
                "Change a tenant",
                "Admins of the tenant change name, language, zone, contact_email and settings; the rest is the operator's.",
            ),
            (Input::Patch(fields::FIELDS, &[]), Output::Record(&TENANTS, 200)),
            OPERATOR,
            Handler::write(change::update),
        ),
    ]
}

fn ends() -> Vec<Action> {
    let record = Output::Record(&TENANTS, 200);
    let reason = Input::New(&fields::REASON, &[]);
    let platform = |path, verb, texts, shapes, problems, run: WriteRun| {
        let method = if verb == "delete" { "DELETE" } else { "POST" };
        action((method, path, verb), Roles::PLATFORM, texts, shapes, problems, Handler::write(run))
    };
    vec![
        platform(
            "/tenants/{id}/suspend",
            "suspend",
            (
                "Suspend a tenant",
                "New calls are refused, everybody but the platform's superadmins is signed out and API keys open nothing. People may sign in again and read; \
                 whatever would change something is refused (403 `tenant-suspended`).",
            ),
            (reason, record),
            SUSPENDED,
            change::suspend,
        ),
        platform(
            "/tenants/{id}/activate",
            "activate",
            ("Put a tenant into service", "After a suspension, or from trial to paying."),
            (reason, record),
            ACTIVE,
            change::activate,
        ),
        platform(
            "/tenants/{id}",
            "delete",
            (
                "Delete a tenant",
                "Its calls stop, everybody is signed out, API keys open nothing, and nobody sees it any more. The data stays \
                 until it is purged.",
            ),
            (Input::None, Output::Empty),
            &[],
            change::remove,
        ),
        action(
            ("POST", "/tenants/{id}/purge", "purge"),
            Roles::PLATFORM,
            (
                "Destroy a deleted tenant's data",
                "Every row of every table but the audit. What was destroyed is put on record in the platform's audit, by table.",
            ),
            (Input::New(&fields::CONFIRM, &[]), Output::Object("Purged", &fields::PURGED, 200)),
            PURGE,
            Handler::Prepared(Arc::new(change::tables), Arc::new(change::purge)),
        ),
    ]
}

/// The code of an operation that writes.
type WriteRun = for<'a> fn(&'a crate::api::Call, &'a mut crate::db::Tx) -> Doing<'a, Result<Reply, Problem>>;
