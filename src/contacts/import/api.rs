//! Imports over REST: a file is taken, and its progress shown.

use std::sync::Arc;

use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::apply::refused;
use super::rows::Rows;
use super::{ImportStatus, Job, folder};
use crate::api::store::{self, Scope};
use crate::api::{
    Action, Audited, Call, Fault, Field, Handler, Input, May, Null, Operation, Output, Parameter, Problem,
    Record, Reply, Resource, Shape, Tells,
};
use crate::base::ids::Id;
use crate::base::role::Roles;
use crate::config::limits::contacts as limits;
use crate::contacts::phone;
use crate::db::Tx;

/// `/imports`
pub static IMPORTS: Resource = Resource {
    name: "imports",
    one: "import",
    path: "/imports",
    doc: "Files that were sent to be read in, and how far each is.",
    table: "imports",
    index: "imports_created",
    may: May::only_read(Roles::SUPERVISORS),
    fields: &[
        Field::one_of("kind", &["contacts"], "What is read in.").server().filter(),
        Field::one_of("status", ImportStatus::WORDS, "How far it is.").server().filter(),
        Field::maybe("file_name", 255, "The file's name as sent.").server(),
        Field::int("total", 0, i64::MAX, "Lines beside the header.").server(),
        Field::int("done", 0, i64::MAX, "Lines that were read.").server(),
        Field::int("created_count", 0, i64::MAX, "Records that were made.").server(),
        Field::int("updated_count", 0, i64::MAX, "Records that were changed.").server(),
        Field::int("failed_count", 0, i64::MAX, "Lines that could not be taken.").server(),
        Field::json("report", &REPORT, "What was wrong, as far as it fits.").server(),
        Field::id("created_by", "The user who sent it.").nullable(Null::Null).server().filter(),
        Field::time("finished_at", "When it ended.").nullable(Null::Null).server(),
    ],
    tells: Tells {
        noun: "contact_import",
        also: &["created"],
        kinds: &[(
            "contact_import.finished",
            "A file was read in, or given up; its contacts were told one by one.",
        )],
        which: Some(|line| (!line.before.is_empty()).then_some("contact_import.finished")),
        ..Tells::USUAL
    },
    ..Resource::PLAIN
};

static REPORT: Shape = Shape {
    bytes: limits::REPORT_BYTES,
    // Written by the service only.
    check: |_, _| {},
    schema: r#"{"type":"array","items":{"type":"object","properties":{"line":{"type":"integer"},
        "field":{"type":"string"},"detail":{"type":"string"}}}}"#,
    example: r#"[{"line":3,"field":"email","detail":"This must be an e-mail address such as ada@example.com."}]"#,
};

/// `POST /contacts/import`
pub fn actions() -> Vec<Action> {
    let region =
        Field::text("region", 2, 2, "The country whose spelling numbers without '+' have.").example("\"DE\"");
    let name =
        Field::text("file_name", 1, 255, "The file's name, to find it again.").example("\"customers.csv\"");
    let optional = |field| Parameter { field, required: false };
    vec![Action {
        operation: Operation {
            doc: "The body is a CSV file in UTF-8, parted by comma, semicolon or tab, whose first line names the columns: \
                  external_id, first_name, last_name, company, job_title, email, phone, phones, notes, language, source, \
                  tags. Several phones or tags in a cell are parted by ';' or '|'; tags are names, and made when new. A \
                  line is matched with a contact by external_id, then by phone, then by email: that contact is changed, \
                  where a cell is not empty; else a new one is made. The lines are read in the background: \
                  `GET /imports/{id}` shows how far it is, and what was wrong with which line."
                .into(),
            query: vec![optional(region), optional(name)],
            input: Input::Raw(&["text/csv"], limits::IMPORT_BYTES),
            output: Output::Record(&IMPORTS, 202),
            ..Operation::new("contacts.import", "POST", "/contacts/import", "Read contacts in", Roles::SUPERVISORS)
        },
        handler: Handler::Prepared(
            Arc::new(|call| Box::pin(prepare(call))),
            Arc::new(|call, tx| Box::pin(take(call, tx))),
        ),
    }]
}

/// Looks at the file and writes it down before the transaction: some 20 MB are parsed here, and other writers wait for
/// nothing of it. Before its row: a file without a row is swept away, a row without a file would wait for ever.
async fn prepare(call: &Call) -> Result<Record, Problem> {
    let tenant = call.tenant()?;
    let (file, wanted) = (call.raw.clone(), call.parameter("region").map(str::to_owned));
    // Not on a thread that serves others; the first region brings the spelling of all countries into memory.
    let looked = tokio::task::spawn_blocking(move || {
        let region = match wanted {
            None => None,
            Some(text) => Some(phone::region(&text).ok_or_else(|| {
                Problem::bad_query(vec![Fault::parameter("region", "A country such as DE or US (ISO 3166).")])
            })?),
        };
        let total = Rows::new(&file, region).map(Rows::count).map_err(refused)?;
        Ok::<_, Problem>((region, total))
    });
    let (region, total) = looked.await.map_err(Problem::internal)??;
    if total > limits::IMPORT_LINES {
        let why = format!("A file can have {} lines; send several.", limits::IMPORT_LINES);
        return Err(Problem::new(413, "too-large", why));
    }
    let job = Job {
        tenant: tenant.clone(),
        id: call.ids.next(),
        region: region.map(|r| format!("{r:?}")).unwrap_or_default(),
    };
    write(&folder(&call.data_dir), &job, &call.raw).await.map_err(Problem::internal)?;
    Ok(Record::from_iter([("id".to_owned(), json!(job.id)), ("total".to_owned(), json!(total))]))
}

async fn take(call: &Call, tx: &mut Tx) -> Result<Reply, Problem> {
    let tenant = call.tenant()?;
    let id = call.prepared.get("id").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let values = Record::from_iter([
        ("kind".to_owned(), json!("contacts")),
        ("status".to_owned(), json!(ImportStatus::Queued.as_str())),
        ("file_name".to_owned(), json!(call.parameter("file_name"))),
        ("total".to_owned(), call.prepared.get("total").cloned().unwrap_or_default()),
        ("report".to_owned(), json!([])),
        ("created_by".to_owned(), json!(call.caller()?.user().map(Id::as_str))),
    ]);
    let scope = Scope::tenant(tenant);
    store::insert(tx, &IMPORTS, &scope, &id, &values, call.now_us()).await?;
    let made = store::get_locked(tx, &IMPORTS, &scope, &id).await?.unwrap_or_default();
    let mut reply = Reply::created(made.clone(), format!("/api/v1/imports/{id}"));
    reply.status = 202;
    Ok(reply.audited(Audited {
        action: "contacts.import".into(),
        object_type: IMPORTS.name.into(),
        object_id: id,
        before: Record::new(),
        after: made,
    }))
}

/// Writes a file under a name that nobody looks for, and gives it its own when it is on the disk.
async fn write(folder: &std::path::Path, job: &Job, bytes: &[u8]) -> std::io::Result<()> {
    tokio::fs::create_dir_all(folder).await?;
    let path = folder.join(job.file_name());
    let part = path.with_extension("part");
    let mut file = tokio::fs::File::create(&part).await?;
    file.write_all(bytes).await?;
    file.sync_all().await?;
    tokio::fs::rename(&part, &path).await
}
