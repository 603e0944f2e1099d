//! Contacts as a CSV file that a spreadsheet opens without running anything of it.

use std::collections::HashMap;

use serde_json::Value;

use super::api::CONTACTS;
use crate::api::page::Cursor;
use crate::api::store::{self, Filter, List, Scope};
use crate::api::{
    Action, Audited, Body, Call, Field, Handler, Operation, Output, Parameter, Problem, Record, Reply,
};
use crate::base::role::Roles;
use crate::config::limits::contacts as limits;
use crate::db::db_read;

/// What a spreadsheet takes for the beginning of a formula.
pub(super) const FORMULA: [char; 4] = ['=', '+', '-', '@'];

const COLUMNS: [&str; 15] = [
    "id",
    "external_id",
    "first_name",
    "last_name",
    "company",
    "job_title",
    "email",
    "phone",
    "phones",
    "notes",
    "language",
    "source",
    "tags",
    "created_at",
    "updated_at",
];

/// `GET /contacts/export`
pub(super) fn actions() -> Vec<Action> {
    let bound = |name, doc| Parameter { field: Field::time(name, doc), required: false };
    vec![Action {
        operation: Operation {
            doc: "CSV in UTF-8, with the columns that an import takes and id, created_at and updated_at. A cell that \
                  begins with =, +, - or @ has an apostrophe in front, which an import takes off again: no spreadsheet \
                  reads it as a formula."
                .into(),
            query: vec![
                bound("created_at_from", "Contacts made at this time or later."),
                bound("created_at_before", "Contacts made before this time."),
            ],
            output: Output::Bytes("text/csv"),
            own: None,
            once: &[],
            problems: &[(409, "too-large", "The file would be too large: ask in parts, by created_at.")],
            ..Operation::new("contacts.export", "GET", "/contacts/export", "Get contacts as CSV", Roles::SUPERVISORS)
        },
        handler: Handler::read(|call| Box::pin(export(call))),
    }]
}

async fn export(call: &Call) -> Result<Reply, Problem> {
    let tenant = call.tenant()?;
    let sort =
        CONTACTS.field("created_at").ok_or_else(|| Problem::internal("contacts have no created_at"))?;
    let mut filters = Vec::new();
    for (name, operator) in [("created_at_from", ">="), ("created_at_before", "<")] {
        if let Some(text) = call.parameter(name) {
            filters.push(Filter { field: sort, operator, value: store::bind_of(sort, &Value::from(text)) });
        }
    }
    let tags = tags(call).await?;
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(COLUMNS).map_err(Problem::internal)?;
    let (mut after, mut count, mut bytes): (Option<Cursor>, usize, usize) = (None, 0, 0);
    loop {
        let list = List {
            sort,
            descending: false,
            limit: limits::EXPORT_PAGE,
            after,
            filters: filters.clone(),
            search: None,
            whole: false,
        };
        let page = store::list(&call.db, &CONTACTS, &Scope::tenant(tenant), &list).await?;
        for record in &page.records {
            let cells = COLUMNS.map(|column| cell(record, column, &tags));
            bytes += cells.iter().map(|c| c.len() + 1).sum::<usize>();
            csv.write_record(&cells).map_err(Problem::internal)?;
        }
        if bytes > limits::EXPORT_BYTES {
            let why = format!(
                "More than {} bytes: ask in parts, by created_at_from and created_at_before.",
                limits::EXPORT_BYTES
            );
            return Err(Problem::conflict("too-large", why));
        }
        count += page.records.len();
        after = page.ends.filter(|_| page.more).map(|(_, last)| last);
        if after.is_none() {
            break;
        }
    }
    let file = csv.into_inner().map_err(Problem::internal)?;
    let mut reply = Reply::empty();
    reply.status = 200;
    reply.body = Body::Bytes("text/csv; charset=utf-8".into(), Some("contacts.csv".to_owned()), file.into());
    Ok(reply.audited(Audited {
        action: "contacts.export".into(),
        object_type: CONTACTS.name.into(),
        object_id: String::new(),
        before: Record::new(),
        after: Record::from_iter([("count".to_owned(), count.into())]),
    }))
}

/// Names of the tenant's tags by id.
async fn tags(call: &Call) -> Result<HashMap<String, String>, Problem> {
    const SQL: &str = "SELECT id, name FROM tags WHERE tenant_id = ?";
    let rows: Vec<(String, String)> =
        db_read!(&call.db, |p| sqlx::query_as(SQL).bind(call.tenant()?.as_str()).fetch_all(p).await)?;
    Ok(rows.into_iter().collect())
}

fn cell(record: &Record, column: &str, tags: &HashMap<String, String>) -> String {
    let text = match record.get(column) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            let items = items.iter().filter_map(Value::as_str);
            let named = |id| if column == "tags" { tags.get(id).map_or(id, String::as_str) } else { id };
            items.map(named).collect::<Vec<_>>().join(";")
        }
        _ => String::new(),
    };
    guarded(text)
}

/// A cell that no spreadsheet reads as a formula, whatever white space stands in front.
fn guarded(text: String) -> String {
    if text.trim_start().starts_with(FORMULA) { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("+15557770001", "'+15557770001"),
            ("-2", "'-2"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            (" \r\n=1", "' \r\n=1"),
            ("Ada", "Ada"),
            ("1=1", "1=1"),
            ("", ""),
        ] {
            assert_eq!(guarded(text.to_owned()), cell);
        }
    }
}
