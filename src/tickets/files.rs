//! Files of tickets. A file lies in the data directory under a name that the service makes, written before its row and
//! removed only after it: what has no row is swept away later.

use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::api::ATTACHMENTS;
use super::sniff;
use crate::api::store;
use crate::api::{
    Action, Body, Call, Field, Handler, Input, Operation, Output, Parameter, Problem, Record, Reply, crud,
};
use crate::base::clock::Clock;
use crate::base::ids::{Id, TenantId};
use crate::base::role::Roles;
use crate::config::limits::tickets as limits;
use crate::db::{Db, Tx, db_read, db_tx};

/// The folder of all tenants' files below the data directory; in it one for each tenant.
const FOLDER: &str = "attachments";

/// `POST /tickets/{ticket_id}/attachments`, `GET /tickets/{ticket_id}/attachments/{id}/content`
pub(super) fn actions() -> Vec<Action> {
    let name = Field::text("file_name", 1, limits::FILE_NAME_CHARACTERS, "The file's name, without folders.")
        .example("\"invoice.pdf\"");
    let message = Field::id("message_id", "A message of the ticket that it belongs to.");
    vec![
        Action {
            operation: Operation {
                doc: "The body is the file itself, `Content-Type` its type, which the first bytes must agree with."
                    .into(),
                query: vec![
                    Parameter { field: name, required: true },
                    Parameter { field: message, required: false },
                ],
                input: Input::Raw(sniff::TYPES, limits::FILE_BYTES),
                output: Output::Record(&ATTACHMENTS, 201),
                problems: &[
                    (415, "wrong-content", "The file is not of the type that it is sent as."),
                    (409, "too-many", "The ticket has as many files as it may."),
                ],
                ..Operation::new(
                    "ticket-attachments.create",
                    "POST",
                    "/tickets/{ticket_id}/attachments",
                    "Add a file to a ticket",
                    Roles::AGENTS,
                )
            },
            handler: Handler::write(|call, tx| Box::pin(add(call, tx))),
        },
        Action {
            operation: Operation {
                doc: "With `Content-Disposition: attachment`: a browser saves it and shows nothing of it.".into(),
                // As whoever attached it named it.
                output: Output::Bytes("*/*"),
                ..Operation::new(
                    "ticket-attachments.content",
                    "GET",
                    "/tickets/{ticket_id}/attachments/{id}/content",
                    "Get a file of a ticket",
                    Roles::ALL,
                )
            },
            handler: Handler::read(|call| Box::pin(content(call))),
        },
    ]
}

async fn add(call: &Call, tx: &mut Tx) -> Result<Reply, Problem> {
    const COUNT: &str = "SELECT COUNT(*) FROM ticket_attachments WHERE tenant_id = ? AND ticket_id = ?";
    const MESSAGE: &str = "SELECT id FROM ticket_messages WHERE tenant_id = ? AND ticket_id = ? AND id = ?";
    let scope = crud::scope(call, &ATTACHMENTS).await?;
    let (tenant, ticket) = (call.tenant()?, call.part("ticket_id"));
    let name = call.parameter("file_name").unwrap_or_default();
    if name.contains(['/', '\\'])
        || name.chars().any(char::is_control)
        || name.trim_matches(['.', ' ']).is_empty()
    {
        let why = "A file's name without folders and control characters.";
        return Err(Problem::bad_query(vec![crate::api::Fault::parameter("file_name", why)]));
    }
    if !sniff::fits(&call.content_type, &call.raw) {
        let why = format!("The file does not begin as {} does.", call.content_type);
        return Err(Problem::new(415, "wrong-content", why));
    }
    let message = call.parameter("message_id");
    if let Some(message) = message {
        let found: Option<String> = db_tx!(tx, |c| sqlx::query_scalar(MESSAGE)
            .bind(tenant.as_str())
            .bind(ticket)
            .bind(message)
            .fetch_optional(c)
            .await)?;
        if found.is_none() {
            let why = "The ticket has no such message.";
            return Err(Problem::bad_query(vec![crate::api::Fault::parameter("message_id", why)]));
        }
    }
    let count: i64 =
        db_tx!(tx, |c| sqlx::query_scalar(COUNT).bind(tenant.as_str()).bind(ticket).fetch_one(c).await)?;
    if count >= limits::FILES {
        return Err(Problem::conflict("too-many", format!("A ticket has at most {} files.", limits::FILES)));
    }
    let id = call.ids.next();
    write(&call.data_dir, tenant, &id, &call.raw).await.map_err(Problem::internal)?;
    let values = Record::from_iter([
        ("message_id".to_owned(), json!(message)),
        ("file_name".to_owned(), json!(name)),
        ("content_type".to_owned(), json!(call.content_type)),
        ("bytes".to_owned(), json!(call.raw.len())),
        ("sha256".to_owned(), json!(hex(&Sha256::digest(&call.raw)))),
        ("storage_key".to_owned(), json!(format!("{tenant}/{id}"))),
        ("created_by".to_owned(), json!(call.caller()?.user().map(Id::as_str))),
    ]);
    let id = id.to_string();
    store::insert(tx, &ATTACHMENTS, &scope, &id, &values, call.now_us()).await?;
    let made = store::get_locked(tx, &ATTACHMENTS, &scope, &id).await?.unwrap_or_default();
    let place = format!("/api/v1/tickets/{ticket}/attachments/{id}");
    let line = crud::line(&ATTACHMENTS, "create", id, Record::new(), made.clone());
    Ok(Reply::created(made, place).audited(line))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn path(data_dir: &Path, tenant: &TenantId, id: &Id) -> PathBuf {
    data_dir.join(FOLDER).join(tenant.as_str()).join(id.as_str())
}

/// Writes a file, and returns when it is on the disk.
async fn write(data_dir: &Path, tenant: &TenantId, id: &Id, bytes: &[u8]) -> std::io::Result<()> {
    let path = path(data_dir, tenant, id);
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let mut file = tokio::fs::File::create_new(&path).await?;
    file.write_all(bytes).await?;
    file.sync_all().await
}

async fn content(call: &Call) -> Result<Reply, Problem> {
    let scope = crud::scope(call, &ATTACHMENTS).await?;
    let found = store::get(&call.db, &ATTACHMENTS, &scope, call.part(crud::ID)).await?;
    let found = found.ok_or_else(|| Problem::not_found(ATTACHMENTS.one))?;
    let text = |name: &str| found.get(name).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let id = Id::parse(&text("id")).map_err(Problem::internal)?;
    let bytes = tokio::fs::read(path(&call.data_dir, call.tenant()?, &id)).await.map_err(|error| {
        tracing::error!(%error, attachment.id = %id, "a file of a ticket can't be read");
        Problem::new(404, "file-missing", "The file is not on this machine.")
    })?;
    let mut reply = Reply::empty();
    (reply.status, reply.body) = (200, Body::Bytes(text("content_type").into(), None, bytes.into()));
    reply.headers.push(("content-disposition", disposition(&text("file_name"))));
    Ok(reply)
}

/// `Content-Disposition` for a name of any letters (RFC 6266): a plain one for old clients, and the true one.
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if (c.is_ascii_graphic() || c == ' ') && !"\"\\%;".contains(c) { c } else { '_' })
        .collect();
    let mut coded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            coded.push(char::from(byte));
        } else {
            coded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{coded}")
}

/// Removes files that have had no row for longer than any request takes. Returns how many.
///
/// # Errors
/// When the database is away or the folder can't be read.
pub async fn sweep(db: &Db, data_dir: &Path, clock: &Clock) -> std::io::Result<usize> {
    const SQL: &str = "SELECT id FROM ticket_attachments WHERE tenant_id = ? AND id = ?";
    let mut removed = 0;
    let mut tenants = match tokio::fs::read_dir(data_dir.join(FOLDER)).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        other => other?,
    };
    while let Some(folder) = tenants.next_entry().await? {
        let Ok(tenant) = TenantId::parse(&folder.file_name().to_string_lossy()) else { continue };
        let mut files = tokio::fs::read_dir(folder.path()).await?;
        while let Some(file) = files.next_entry().await? {
            let Ok(id) = Id::parse(&file.file_name().to_string_lossy()) else { continue };
            let age_us = clock.now_us() - id.made_us();
            if u128::try_from(age_us).unwrap_or(0) < limits::FILE_WITHOUT_ROW_TIME.as_micros() {
                continue;
            }
            let row: Result<Option<String>, sqlx::Error> = async {
                Ok(db_read!(db, |p| sqlx::query_scalar(SQL)
                    .bind(tenant.as_str())
                    .bind(id.as_str())
                    .fetch_optional(p)
                    .await?))
            }
            .await;
            if row.map_err(std::io::Error::other)?.is_none() {
                tokio::fs::remove_file(file.path()).await?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_not_break_the_header() {
        for (name, expected) in [
            ("a b.pdf", "attachment; filename=\"a b.pdf\"; filename*=UTF-8''a%20b.pdf"),
            (
                "x\";y=\r\n.txt",
                "attachment; filename=\"x__y=__.txt\"; filename*=UTF-8''x%22%3By%3D%0D%0A.txt",
            ),
            ("Grüße.png", "attachment; filename=\"Gr__e.png\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe.png"),
        ] {
            assert_eq!(disposition(name), expected);
        }
    }
}
