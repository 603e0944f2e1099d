//! Reads: one row by id, and pages.

use sqlx::AssertSqlSafe;

use super::row::{columns, record};
use super::{Bind, Scope, Where, bind_all, parts};
use crate::api::field::{Field, Kind};
use crate::api::page::{Cursor, Position};
use crate::api::resource::{Record, Resource};
use crate::db::{Db, Tx, db_read, db_tx};

/// One condition of a list.
#[derive(Clone, Debug)]
pub struct Filter {
    /// On which field.
    pub field: &'static Field,
    /// `=`, `>=` or `<`.
    pub operator: &'static str,
    /// The value; NULL asks for what has none.
    pub value: Bind,
}

/// What a list is asked for.
#[derive(Clone, Debug)]
pub struct List<'a> {
    /// The field it is sorted by.
    pub sort: &'static Field,
    /// Largest first.
    pub descending: bool,
    /// Rows at most.
    pub limit: usize,
    /// Where the page before ended.
    pub after: Option<Cursor>,
    /// Conditions.
    pub filters: Vec<Filter>,
    /// A text that one of the searchable fields must hold.
    pub search: Option<&'a str>,
    /// Whether every page is read, one after the other: then the order's own index serves best, whatever the conditions.
    pub whole: bool,
}

/// A page, and whether more lies behind and before it.
#[derive(Clone, Debug)]
pub struct Page {
    /// The rows, in the order asked for.
    pub records: Vec<Record>,
    /// The sort field's value and the id of the first and the last row.
    pub ends: Option<(Cursor, Cursor)>,
    /// Whether rows follow.
    pub more: bool,
    /// Whether rows come before.
    pub before: bool,
}

fn shown(resource: &Resource) -> impl Iterator<Item = &'static Field> + use<> {
    resource.all_fields().filter(|field| !field.secret)
}

fn by_id(resource: &Resource, scope: &Scope<'_>, id: &str) -> (String, Vec<Bind>) {
    let mut condition = scope.condition(resource);
    condition.and("id = ?", [Bind::text(id)]);
    let sql =
        format!("SELECT {} FROM {} t WHERE {}", columns(shown(resource)), resource.from(), condition.sql);
    (sql, condition.binds)
}

/// One record, when the scope has it.
///
/// # Errors
/// When the database is away or the row holds what it should not.
pub async fn get(
    db: &Db,
    resource: &'static Resource,
    scope: &Scope<'_>,
    id: &str,
) -> sqlx::Result<Option<Record>> {
    let (sql, binds) = by_id(resource, scope, id);
    let found = db_read!(db, |p| {
        let query = bind_all!(sqlx::query(AssertSqlSafe(sql)), &binds);
        query.fetch_optional(p).await?.map(|row| record(&row, shown(resource))).transpose()?
    });
    let Some(mut found) = found else { return Ok(None) };
    if !resource.parts.is_empty() {
        db_read!(db, |p| {
            let mut connection = p.acquire().await?;
            parts::load!(&mut *connection, resource, scope, std::slice::from_mut(&mut found))
        });
    }
    Ok(Some(found))
}

/// One record by its number below the scope's parent, when the scope has it.
///
/// # Errors
/// When the database is away or the row holds what it should not.
pub async fn by_number(
    db: &Db,
    resource: &'static Resource,
    scope: &Scope<'_>,
    number: u32,
) -> sqlx::Result<Option<Record>> {
    let mut condition = scope.condition(resource);
    condition.and("number = ?", [Bind::Int(number.into())]);
    let sql = format!("SELECT id FROM {} t WHERE {}", resource.from(), condition.sql);
    let id: Option<String> = db_read!(db, |p| {
        bind_all!(sqlx::query_scalar(AssertSqlSafe(sql)), &condition.binds).fetch_optional(p).await?
    });
    match id {
        Some(id) => get(db, resource, scope, &id).await,
        None => Ok(None),
    }
}

/// As [`get`], inside a transaction, where the row then stays as it is until the end.
///
/// # Errors
/// When the database is away or the row holds what it should not.
pub async fn get_locked(
    tx: &mut Tx,
    resource: &'static Resource,
    scope: &Scope<'_>,
    id: &str,
) -> sqlx::Result<Option<Record>> {
    let (mut sql, binds) = by_id(resource, scope, id);
    sql.push_str(tx.pick("", " FOR UPDATE"));
    let found = db_tx!(tx, |c| {
        let query = bind_all!(sqlx::query(AssertSqlSafe(sql)), &binds);
        query.fetch_optional(c).await?.map(|row| record(&row, shown(resource))).transpose()?
    });
    let Some(mut found) = found else { return Ok(None) };
    if !resource.parts.is_empty() {
        db_tx!(tx, |c| parts::load!(c, resource, scope, std::slice::from_mut(&mut found)));
    }
    Ok(Some(found))
}

/// A page of records.
///
/// # Errors
/// When the database is away or a row holds what it should not.
pub async fn list(
    db: &Db,
    resource: &'static Resource,
    scope: &Scope<'_>,
    list: &List<'_>,
) -> sqlx::Result<Page> {
    let mut condition = scope.condition(resource);
    filter(&mut condition, resource, list);
    let back = list.after.as_ref().is_some_and(|cursor| cursor.back);
    let descending = list.descending != back;
    if let Some(cursor) = &list.after {
        behind(&mut condition, list.sort, cursor, descending);
    }
    let order = if descending { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT {} FROM {} t{} WHERE {} ORDER BY {} {order}, id {order} LIMIT {}",
        columns(shown(resource)),
        resource.from(),
        db.pick("", &walked(resource, list)),
        condition.sql,
        list.sort.column,
        list.limit + 1
    );
    let mut records: Vec<Record> = db_read!(db, |p| {
        let query = bind_all!(sqlx::query(AssertSqlSafe(sql)), &condition.binds);
        let rows = query.fetch_all(p).await?;
        rows.iter().map(|row| record(row, shown(resource))).collect::<sqlx::Result<_>>()?
    });
    let over = records.len() > list.limit;
    records.truncate(list.limit);
    if back {
        records.reverse();
    }
    if !resource.parts.is_empty() && !records.is_empty() {
        db_read!(db, |p| {
            let mut connection = p.acquire().await?;
            parts::load!(&mut *connection, resource, scope, records.as_mut_slice())
        });
    }
    let ends = records
        .first()
        .zip(records.last())
        .map(|(first, last)| (end(list.sort, first), end(list.sort, last)));
    let (more, before) = if back { (true, over) } else { (over, list.after.is_some()) };
    Ok(Page { records, ends, more, before })
}

/// How many records a list has in all its pages, counted up to `most`.
///
/// # Errors
/// When the database is away.
pub async fn count(
    db: &Db,
    resource: &'static Resource,
    scope: &Scope<'_>,
    list: &List<'_>,
    most: i64,
) -> sqlx::Result<i64> {
    let mut condition = scope.condition(resource);
    filter(&mut condition, resource, list);
    let sql = format!(
        "SELECT COUNT(*) FROM (SELECT 1 FROM {} t WHERE {} LIMIT ?) u",
        resource.from(),
        condition.sql
    );
    condition.binds.push(Bind::Int(most));
    db_read!(db, |p| bind_all!(sqlx::query_scalar(AssertSqlSafe(sql)), &condition.binds).fetch_one(p).await)
}

fn filter(condition: &mut Where, resource: &Resource, list: &List<'_>) {
    for Filter { field, operator, value } in &list.filters {
        match value {
            Bind::Null => condition.and(&format!("{} IS NULL", field.column), []),
            value => condition.and(&format!("{} {operator} ?", field.column), [value.clone()]),
        }
    }
    if let Some(text) = list.search {
        let pattern = format!("%{}%", text.replace('!', "!!").replace('%', "!%").replace('_', "!_"));
        let columns: Vec<&str> = resource.fields.iter().filter(|f| f.search).map(|f| f.column).collect();
        let any: Vec<String> = columns.iter().map(|c| format!("LOWER({c}) LIKE ? ESCAPE '!'")).collect();
        if !any.is_empty() {
            let pattern = pattern.to_lowercase();
            condition.and(&format!("({})", any.join(" OR ")), columns.iter().map(|_| Bind::text(&pattern)));
        }
    }
}

/// The index that MariaDB has to be told of for pages behind a cursor: by itself it looks the tenant up and passes over
/// every row before the cursor (20,050 rows read for 51 in a table of 300,000; with it 51). With filters other indexes
/// may serve better, so there it chooses.
fn walked(resource: &Resource, list: &List<'_>) -> String {
    let is_usual = list.sort.name == resource.order.trim_start_matches('-');
    let is_plain = list.after.is_some() && list.filters.is_empty() && list.search.is_none();
    match resource.index {
        index if !index.is_empty() && is_usual && (is_plain || list.whole) => {
            format!(" FORCE INDEX ({index})")
        }
        _ => String::new(),
    }
}

/// Rows behind a cursor. Written so that both databases can walk the index (tenant_id, sort, id) from there: they can not
/// for a comparison of pairs.
fn behind(condition: &mut Where, sort: &Field, cursor: &Cursor, descending: bool) {
    let key = match &cursor.key {
        Position::Int(n) => Bind::Int(*n),
        Position::Text(text) => Bind::text(text),
    };
    let sign = if descending { '<' } else { '>' };
    let column = sort.column;
    condition.and(
        &format!("{column} {sign}= ? AND ({column} {sign} ? OR id {sign} ?)"),
        [key.clone(), key, Bind::text(&cursor.id)],
    );
}

/// Where a record stands in the order.
fn end(sort: &Field, record: &Record) -> Cursor {
    let value = record.get(sort.name);
    let key = match sort.kind {
        Kind::Time => Position::Int(
            value.and_then(|v| v.as_str()).and_then(crate::api::check::read_time).unwrap_or_default(),
        ),
        Kind::Int { .. } => Position::Int(value.and_then(serde_json::Value::as_i64).unwrap_or_default()),
        _ => Position::Text(value.and_then(|v| v.as_str()).unwrap_or_default().to_owned()),
    };
    let id = record.get("id").and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    Cursor { query: 0, key, id, back: false }
}
