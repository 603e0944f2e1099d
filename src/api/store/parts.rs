//! Lists inside records, kept in tables of their own: read for a whole page at once, written as a whole.

use super::Bind;
use crate::api::field::Field;
use crate::api::resource::{Part, Record};
use serde_json::Value;

/// The statement that reads a part's rows of `n` records.
pub(super) fn select(part: &Part, n: usize) -> String {
    let mut columns = vec![part.parent];
    columns.extend(part.fields.iter().map(|f| f.column));
    let marks = crate::db::places(n);
    let mut sql = format!(
        "SELECT {} FROM {} WHERE tenant_id = ? AND {} IN ({marks})",
        columns.join(", "),
        part.table,
        part.parent
    );
    for (column, _) in part.fixed {
        sql.push_str(&format!(" AND {column} = ?"));
    }
    let order = match (part.position, part.fields.first()) {
        ("", Some(first)) => first.column,
        (position, _) => position,
    };
    sql.push_str(&format!(" ORDER BY {}, {order}", part.parent));
    sql
}

/// The values of [`select`].
pub(super) fn select_binds(part: &Part, tenant: &str, ids: &[String]) -> Vec<Bind> {
    let mut binds = vec![Bind::text(tenant)];
    binds.extend(ids.iter().map(Bind::text));
    binds.extend(part.fixed.iter().map(|(_, value)| Bind::text(*value)));
    binds
}

/// The columns of [`select`] as fields: the parent's id first.
pub(super) fn columns(part: &'static Part) -> impl Iterator<Item = &'static Field> {
    static PARENT: Field = Field::id("", "");
    std::iter::once(&PARENT).chain(part.fields)
}

/// Puts the rows of a part into the records they belong to.
pub(super) fn attach(part: &'static Part, records: &mut [Record], rows: Vec<Record>) {
    for record in records.iter_mut() {
        record.insert(part.name.to_owned(), Value::Array(Vec::new()));
    }
    for mut row in rows {
        let parent = row.remove("").unwrap_or_default();
        let Some(record) = records.iter_mut().find(|r| r.get("id") == Some(&parent)) else { continue };
        let item = match part.fields.first().filter(|_| part.flat) {
            Some(only) => row.remove(only.name).unwrap_or_default(),
            None => Value::Object(row),
        };
        if let Some(Value::Array(items)) = record.get_mut(part.name) {
            items.push(item);
        }
    }
}

/// The ids of records.
pub(super) fn ids(records: &[Record]) -> Vec<String> {
    records.iter().filter_map(|r| r.get("id").and_then(Value::as_str)).map(str::to_owned).collect()
}

/// Reads all parts of some records over a connection of either driver.
macro_rules! load {
    ($connection:expr, $resource:expr, $scope:expr, $records:expr) => {{
        let connection = $connection;
        let records: &mut [$crate::api::resource::Record] = $records;
        let ids = $crate::api::store::parts::ids(records);
        for part in $resource.parts {
            let sql = $crate::api::store::parts::select(part, ids.len());
            let binds = $crate::api::store::parts::select_binds(part, $scope.tenant_id(), &ids);
            let query = $crate::api::store::bind_all!(sqlx::query(sqlx::AssertSqlSafe(sql)), &binds);
            let rows = query.fetch_all(&mut *connection).await?;
            let rows = rows
                .iter()
                .map(|row| $crate::api::store::row::record(row, $crate::api::store::parts::columns(part)))
                .collect::<sqlx::Result<Vec<_>>>()?;
            $crate::api::store::parts::attach(part, records, rows);
        }
    }};
}
pub(super) use load;
