//! Writes: one row, with the lists inside it. References are looked up in the same transaction and must be the tenant's.

use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::row::bind_of;
use super::{Bind, Scope, bind_all};
use crate::api::field::{Field, Kind, Target};
use crate::api::problem::Fault;
use crate::api::resource::{Part, Record, Resource};
use crate::base::ids::TenantId;
use crate::db::{self, Tx, db_tx};

/// Adds a record. Values of fields that are no columns are skipped.
///
/// # Errors
/// A unique violation when it is there already.
pub async fn insert(
    tx: &mut Tx,
    resource: &'static Resource,
    scope: &Scope<'_>,
    id: &str,
    values: &Record,
    now_us: i64,
) -> sqlx::Result<()> {
    let mut columns = vec!["id", "tenant_id"];
    let mut binds = vec![Bind::text(id), Bind::text(scope.tenant_id())];
    if let Some((column, parent)) = scope.parent {
        columns.push(column);
        binds.push(Bind::text(parent));
    }
    for (field, value) in given(resource.fields, values) {
        columns.push(field.column);
        binds.push(bind_of(field, value));
    }
    columns.push("created_at");
    binds.push(Bind::Int(now_us));
    if resource.updated {
        columns.push("updated_at");
        binds.push(Bind::Int(now_us));
    }
    let marks = db::places(columns.len());
    run(tx, format!("INSERT INTO {} ({}) VALUES ({marks})", resource.table, columns.join(", ")), &binds)
        .await?;
    write_parts(tx, resource, scope.tenant_id(), id, values, now_us).await
}

/// Changes what is given of a record. Returns whether the scope has it.
///
/// # Errors
/// A unique violation when another has such values already.
pub async fn update(
    tx: &mut Tx,
    resource: &'static Resource,
    scope: &Scope<'_>,
    id: &str,
    values: &Record,
    now_us: i64,
) -> sqlx::Result<bool> {
    let (mut sets, mut binds) = (Vec::new(), Vec::new());
    for (field, value) in given(resource.fields, values) {
        sets.push(format!("{} = ?", field.column));
        binds.push(bind_of(field, value));
    }
    if resource.updated {
        sets.push("updated_at = ?".to_owned());
        binds.push(Bind::Int(now_us));
    }
    if !sets.is_empty() {
        let mut condition = scope.condition(resource);
        condition.and("id = ?", [Bind::text(id)]);
        binds.extend(condition.binds);
        let sql = format!("UPDATE {} SET {} WHERE {}", resource.table, sets.join(", "), condition.sql);
        // MariaDB counts changed rows, not found ones; updated_at moves with every change.
        if run(tx, sql, &binds).await? == 0 && resource.updated {
            return Ok(false);
        }
    }
    write_parts(tx, resource, scope.tenant_id(), id, values, now_us).await?;
    Ok(true)
}

/// Deletes a record, or marks it deleted. Returns whether the scope had it.
///
/// # Errors
/// When the database is away.
pub async fn remove(
    tx: &mut Tx,
    resource: &'static Resource,
    scope: &Scope<'_>,
    id: &str,
    now_us: i64,
) -> sqlx::Result<bool> {
    let mut condition = scope.condition(resource);
    condition.and("id = ?", [Bind::text(id)]);
    if resource.soft {
        let mut binds = vec![Bind::Int(now_us), Bind::Int(now_us)];
        binds.extend(condition.binds);
        let sql =
            format!("UPDATE {} SET deleted_at = ?, updated_at = ? WHERE {}", resource.table, condition.sql);
        return Ok(run(tx, sql, &binds).await? == 1);
    }
    for part in resource.parts {
        clear_part(tx, part, scope.tenant_id(), id).await?;
    }
    let sql = format!("DELETE FROM {} WHERE {}", resource.table, condition.sql);
    Ok(run(tx, sql, &condition.binds).await? == 1)
}

/// Faults of references that lead to nothing of the tenant's.
///
/// # Errors
/// When the database is away.
pub async fn dangling(
    tx: &mut Tx,
    resource: &'static Resource,
    tenant: &TenantId,
    values: &Record,
) -> sqlx::Result<Vec<Fault>> {
    let mut wanted: Vec<(String, &Target, &str)> = Vec::new();
    for (field, value) in given(resource.fields, values) {
        if let (Kind::Ref(target), Some(id)) = (field.kind, value.as_str()) {
            wanted.push((field.name.to_owned(), target, id));
        }
    }
    for part in resource.parts {
        let Some(Value::Array(items)) = values.get(part.name) else { continue };
        for (n, item) in items.iter().enumerate() {
            for field in part.fields {
                let value = if part.flat { Some(item) } else { item.get(field.name) };
                if let (Kind::Ref(target), Some(id)) = (field.kind, value.and_then(Value::as_str)) {
                    let at = if part.flat {
                        format!("{}/{n}", part.name)
                    } else {
                        format!("{}/{n}/{}", part.name, field.name)
                    };
                    wanted.push((at, target, id));
                }
            }
        }
    }
    let mut faults = Vec::new();
    for (at, target, id) in wanted {
        if !exists(tx, target, tenant, id).await? {
            faults.push(Fault::at(&at, format!("There is no such {}.", target.one)));
        }
    }
    Ok(faults)
}

/// Whether a tenant has what a reference leads to.
///
/// # Errors
/// When the database is away.
pub async fn exists(tx: &mut Tx, target: &Target, tenant: &TenantId, id: &str) -> sqlx::Result<bool> {
    let living = if target.soft { " AND deleted_at = 0" } else { "" };
    let sql = format!("SELECT 1 FROM {} WHERE tenant_id = ? AND {} = ?{living}", target.table, target.column);
    let found: Option<i64> = db_tx!(tx, |c| sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(tenant.as_str())
        .bind(id)
        .fetch_optional(c)
        .await?);
    Ok(found.is_some())
}

/// Fields that are columns and have a value.
fn given<'v>(
    fields: &'static [Field],
    values: &'v Record,
) -> impl Iterator<Item = (&'static Field, &'v Value)> {
    let is_column = |field: &&Field| !field.column.contains(['(', ' ']);
    fields.iter().filter(is_column).filter_map(|field| Some((field, values.get(field.name)?)))
}

async fn write_parts(
    tx: &mut Tx,
    resource: &'static Resource,
    tenant: &str,
    id: &str,
    values: &Record,
    now_us: i64,
) -> sqlx::Result<()> {
    for part in resource.parts {
        let Some(Value::Array(items)) = values.get(part.name) else { continue };
        clear_part(tx, part, tenant, id).await?;
        for (n, item) in items.iter().enumerate() {
            insert_item(tx, part, (tenant, id), (n, item), now_us).await?;
        }
    }
    Ok(())
}

async fn clear_part(tx: &mut Tx, part: &Part, tenant: &str, id: &str) -> sqlx::Result<()> {
    let mut sql = format!("DELETE FROM {} WHERE tenant_id = ? AND {} = ?", part.table, part.parent);
    let mut binds = vec![Bind::text(tenant), Bind::text(id)];
    for (column, value) in part.fixed {
        sql.push_str(&format!(" AND {column} = ?"));
        binds.push(Bind::text(*value));
    }
    run(tx, sql, &binds).await.map(drop)
}

async fn insert_item(
    tx: &mut Tx,
    part: &'static Part,
    (tenant, id): (&str, &str),
    (n, item): (usize, &Value),
    now_us: i64,
) -> sqlx::Result<()> {
    let mut columns = vec!["tenant_id", part.parent];
    let mut binds = vec![Bind::text(tenant), Bind::text(id)];
    for (column, value) in part.fixed {
        columns.push(column);
        binds.push(Bind::text(*value));
    }
    if !part.position.is_empty() {
        columns.push(part.position);
        binds.push(Bind::Int(i64::try_from(n).unwrap_or(i64::MAX)));
    }
    for field in part.fields {
        let value = if part.flat { item } else { item.get(field.name).unwrap_or(&Value::Null) };
        columns.push(field.column);
        binds.push(bind_of(field, value));
    }
    if part.stamped {
        columns.push("created_at");
        binds.push(Bind::Int(now_us));
    }
    let marks = db::places(columns.len());
    run(tx, format!("INSERT INTO {} ({}) VALUES ({marks})", part.table, columns.join(", ")), &binds)
        .await
        .map(drop)
}

async fn run(tx: &mut Tx, sql: String, binds: &[Bind]) -> sqlx::Result<u64> {
    db_tx!(tx, |c| {
        let query = bind_all!(sqlx::query(AssertSqlSafe(sql)), binds);
        query.execute(c).await.map(|done| done.rows_affected())
    })
}
