//! `/cdrs/exports`: call detail records as a file.

use std::sync::Arc;

use serde_json::{Value, json};

use super::CDRS;
use crate::api::store::{self, Scope};
use crate::api::{
    Action, Audited, Body, Call, Doing, Fault, Field, Handler, Input, May, Null, Operation, Output, Problem,
    Record, Reply, Resource, Rule, Shape, Tells, crud,
};
use crate::base::ids::{Id, TenantId};
use crate::base::role::Roles;
use crate::calls::exports::{ExportStatus, Files, Job, filters, pages};
use crate::config::limits::calls as limits;
use crate::db::{Tx, db_tx};

/// `/cdrs/exports`
pub static EXPORTS: Resource = Resource {
    name: "cdr-exports",
    one: "export",
    path: "/cdrs/exports",
    doc: "Call detail records as CSV files, and how far each is. A file can be fetched for a day, from the node that made it; \
          to delete one gives it up, or removes it.",
    table: "cdr_exports",
    index: "cdr_exports_created",
    may: May {
        read: Roles::SUPERVISORS,
        create: Roles::NOBODY,
        update: Roles::NOBODY,
        remove: Roles::SUPERVISORS,
    },
    fields: &[
        Field::one_of("status", ExportStatus::WORDS, "How far it is.").server().filter(),
        Field::json("filters", &FILTERS, "The conditions, as parameters of the list have them.").server(),
        Field::texts("columns", CDR_COLUMNS.len(), &COLUMN, "The columns, in their order.").server(),
        Field::int("total", 0, i64::MAX, "Records that were there at the request.").server(),
        Field::int("done", 0, i64::MAX, "Records that are written.").server(),
        Field::int("bytes", 0, i64::MAX, "The file's length so far.").server(),
        Field::maybe("error", 200, "Why it failed.").server(),
        Field::id("created_by", "The user who asked for it.").nullable(Null::Null).server().filter(),
        Field::time("finished_at", "When it ended.").nullable(Null::Null).server(),
        Field::time("expires_at", "When it is removed.").server(),
    ],
    tells: Tells {
        noun: "export",
        also: &["created"],
        kinds: &[
            ("export.completed", "A file of call detail records is whole and can be fetched."),
            ("export.failed", "A file of call detail records can't be made; `error` says why."),
        ],
        which: Some(|line| match line.after.get("status").and_then(Value::as_str) {
            Some("completed") if !line.before.is_empty() => Some("export.completed"),
            Some("failed") if !line.before.is_empty() => Some("export.failed"),
            _ => None,
        }),
        ..Tells::USUAL
    },
    ..Resource::PLAIN
};

/// Every column there is, in the order of a file that names none.
const CDR_COLUMNS: [&str; 26] = [
    "id",
    "call_id",
    "linkedid",
    "uniqueid",
    "direction",
    "did",
    "caller_number",
    "caller_name",
    "destination",
    "channel",
    "dst_channel",
    "queue",
    "endpoint",
    "agent_id",
    "contact_id",
    "recording_id",
    "started_at",
    "answered_at",
    "ended_at",
    "duration_s",
    "billed_s",
    "talk_s",
    "transferred",
    "disposition",
    "cause",
    "created_at",
];

static COLUMN: Rule = Rule {
    format: "cdr-column",
    pattern: "^[a-z][a-z_]*$",
    max: 40,
    check: |text| match CDR_COLUMNS.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(format!("One of {}.", CDR_COLUMNS.join(", "))),
    },
    example: "started_at",
};

static FILTERS: Shape = Shape {
    bytes: limits::EXPORT_ASKED_BYTES,
    check: |value, found| match value.as_object() {
        None => found.push((String::new(), "This must be an object.".into())),
        Some(all) => found.extend(
            all.iter()
                .filter(|(_, value)| !value.is_string())
                .map(|(name, _)| (format!("/{name}"), "This must be a text, as in the list's query.".into())),
        ),
    },
    schema: r#"{"type":"object","additionalProperties":{"type":"string"}}"#,
    example: r#"{"started_at_from":"2026-11-01T00:00:00Z","started_at_before":"2026-12-01T00:00:00Z","queue":"support"}"#,
};

static ASKED: [Field; 2] = [
    Field::json(
        "filters",
        &FILTERS,
        "The conditions, named as the list's parameters; all records unless told.",
    )
    .default("{}"),
    Field::texts("columns", CDR_COLUMNS.len(), &COLUMN, "The columns, in their order; all unless told.")
        .default("[]"),
];

pub(super) fn actions() -> Vec<Action> {
    let make = Operation {
        doc: "The records that the filters find now are written to a CSV file in the background: UTF-8, lines and quotes as in \
              RFC 4180, times in UTC, the oldest call first. A cell that begins with =, +, -, @ or a tab has an apostrophe in \
              front: no spreadsheet reads it as a formula. `GET /cdrs/exports/{id}` shows how far it is, \
              `GET /cdrs/exports/{id}/content` is the file; `export.completed` tells when."
            .into(),
        input: Input::New(&ASKED, &[]),
        output: Output::Record(&EXPORTS, 202),
        problems: &[
            (409, "too-many", "Two files are being made already, or too many are kept: wait, or delete some."),
            (409, "too-large", "The filters find more records than a file may hold: ask for less time."),
        ],
        ..Operation::new("cdrs.export", "POST", "/cdrs/exports", "Write records to a file", Roles::SUPERVISORS)
    };
    let fetch = Operation {
        doc: "The CSV file. Fetching it is put on record.".into(),
        output: Output::Bytes("text/csv"),
        problems: &[
            (409, "not-ready", "The file is not whole yet, or failed."),
            (409, "elsewhere", "The file lies on another node, or is gone."),
        ],
        ..Operation::new(
            "cdr-exports.content",
            "GET",
            "/cdrs/exports/{id}/content",
            "Fetch a file of records",
            Roles::SUPERVISORS,
        )
    };
    vec![
        Action {
            operation: make,
            handler: Handler::Prepared(
                Arc::new(|call| Box::pin(prepare(call))),
                Arc::new(|call, tx| Box::pin(take(call, tx))),
            ),
        },
        Action { operation: fetch, handler: Handler::read(content) },
    ]
}

/// Counts, and makes the empty file before the transaction: a file without a row is swept away, a row without a file would
/// wait for ever.
async fn prepare(call: &Call) -> Result<Record, Problem> {
    let (tenant, now_us) = (call.tenant()?, call.now_us());
    let asked = call.body.get("filters").and_then(Value::as_object).cloned().unwrap_or_default();
    let filters = filters(&asked, now_us)
        .map_err(|(name, why)| Problem::invalid(vec![Fault::at(&format!("filters/{name}"), why)]))?;
    let list = pages(filters, None).ok_or_else(|| Problem::internal("call records have no begin"))?;
    let total =
        store::count(&call.db, &CDRS, &Scope::tenant(tenant), &list, limits::EXPORT_ROWS.saturating_add(1))
            .await?;
    if total > limits::EXPORT_ROWS {
        let why = format!("More than {} records: ask for less time.", limits::EXPORT_ROWS);
        return Err(Problem::conflict("too-large", why));
    }
    let job = Job { tenant: tenant.clone(), id: call.ids.next() };
    let (files, made) = (Files::of(&call.data_dir), job.clone());
    let creating =
        tokio::task::spawn_blocking(move || files.create(&made)).await.map_err(Problem::internal)?;
    creating.map_err(Problem::internal)?;
    Ok(Record::from_iter([("id".to_owned(), json!(job.id)), ("total".to_owned(), json!(total))]))
}

/// Refuses one more than there may be. The tenant's row is locked: of two requests at once the second sees the first.
async fn room(tx: &mut Tx, tenant: &TenantId) -> Result<(), Problem> {
    const COUNT: &str = "SELECT COUNT(*), COUNT(CASE WHEN finished_at IS NULL THEN 1 END) FROM cdr_exports WHERE tenant_id = ?";
    let lock = tx
        .pick("SELECT id FROM tenants WHERE id = ?", "SELECT id FROM tenants WHERE id = ? FOR UPDATE")
        .to_owned();
    let _: Option<String> = db_tx!(&mut *tx, |c| sqlx::query_scalar(sqlx::AssertSqlSafe(lock))
        .bind(tenant.as_str())
        .fetch_optional(c)
        .await?);
    let (all, open): (i64, i64) =
        db_tx!(&mut *tx, |c| sqlx::query_as(COUNT).bind(tenant.as_str()).fetch_one(c).await?);
    if open >= limits::EXPORTS {
        let why = format!("{open} files are being made already; wait for one, or delete it.");
        return Err(Problem::conflict("too-many", why));
    }
    if all >= limits::EXPORTS_KEPT {
        return Err(Problem::conflict("too-many", format!("{all} files are kept already; delete one.")));
    }
    Ok(())
}

async fn take(call: &Call, tx: &mut Tx) -> Result<Reply, Problem> {
    let (tenant, now_us) = (call.tenant()?, call.now_us());
    room(tx, tenant).await?;
    let id = call.prepared.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let asked =
        |name: &str| call.body.get(name).filter(|v| v.as_array().is_none_or(|all| !all.is_empty())).cloned();
    let values = Record::from_iter([
        ("status".to_owned(), json!(ExportStatus::Queued.as_str())),
        ("filters".to_owned(), asked("filters").unwrap_or_else(|| json!({}))),
        ("columns".to_owned(), asked("columns").unwrap_or_else(|| json!(CDR_COLUMNS))),
        ("total".to_owned(), call.prepared.get("total").cloned().unwrap_or_default()),
        ("created_by".to_owned(), json!(call.caller()?.user().map(Id::as_str))),
        ("expires_at".to_owned(), json!(crate::api::check::show_time(now_us + limits::EXPORT_KEPT_US))),
    ]);
    let scope = Scope::tenant(tenant);
    store::insert(tx, &EXPORTS, &scope, &id, &values, now_us).await?;
    let made = store::get_locked(tx, &EXPORTS, &scope, &id).await?.unwrap_or_default();
    let mut reply = Reply::created(made.clone(), format!("/api/v1/cdrs/exports/{id}"));
    reply.status = 202;
    Ok(reply.audited(crud::line(&EXPORTS, "create", id, Record::new(), made)))
}

fn content(call: &Call) -> Doing<'_, Result<Reply, Problem>> {
    Box::pin(async move {
        let (tenant, id) = (call.tenant()?, call.part(crud::ID));
        let found = store::get(&call.db, &EXPORTS, &Scope::tenant(tenant), id).await?;
        let record = found.ok_or_else(|| Problem::not_found(EXPORTS.one))?;
        if record.get("status").and_then(Value::as_str) != Some(ExportStatus::Completed.as_str()) {
            return Err(Problem::conflict("not-ready", "The file is not whole; look at its status."));
        }
        let bytes = record.get("bytes").and_then(Value::as_u64).unwrap_or(0);
        let job = Job { tenant: tenant.clone(), id: Id::parse(id).map_err(Problem::internal)? };
        let files = Files::of(&call.data_dir);
        let opening =
            tokio::task::spawn_blocking(move || files.open(&job, bytes)).await.map_err(Problem::internal)?;
        let file = opening.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Problem::conflict("elsewhere", "The file lies on another node, or is gone.")
            }
            _ => Problem::internal(error),
        })?;
        let mut reply = Reply::empty();
        reply.status = 200;
        reply.body = Body::File("text/csv; charset=utf-8", format!("cdrs-{id}.csv"), file);
        Ok(reply.audited(Audited {
            action: "cdr-exports.content".into(),
            object_type: EXPORTS.name.into(),
            object_id: id.to_owned(),
            before: Record::new(),
            after: Record::from_iter([("bytes".to_owned(), bytes.into())]),
        }))
    })
}
