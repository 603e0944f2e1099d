//! Reads of tenants.

use chrono::{Offset, TimeZone};
use serde_json::{Map, Value, json};

use super::TENANTS;
use crate::api::store::{self, Scope};
use crate::api::{Body, Call, Doing, Problem, Record, Reply, crud, list as lists};
use crate::base::clock::from_us;
use crate::base::ids::TenantId;
use crate::base::role::Role;
use crate::db::db_read;
use crate::tenants::whole;

/// The tenants that a request can see.
pub(super) fn scope(call: &Call) -> Result<Scope<'_>, Problem> {
    if call.caller()?.role == Role::Superadmin {
        Ok(Scope::platform())
    } else {
        Ok(Scope::tenant(call.tenant()?))
    }
}

/// The tenant of the path, when the request can see it.
pub(super) async fn named(call: &Call) -> Result<(TenantId, Record), Problem> {
    let found = store::get(&call.db, &TENANTS, &scope(call)?, call.part(crud::ID)).await?;
    let found = found.ok_or_else(|| Problem::not_found(TENANTS.one))?;
    let id = TenantId::parse(call.part(crud::ID)).map_err(|_| Problem::not_found(TENANTS.one))?;
    Ok((id, found))
}

pub(super) fn list<'a>(call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move { lists::run_in(call, &TENANTS, &scope(call)?).await })
}

pub(super) fn get<'a>(call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move { Ok(Reply::record(named(call).await?.1)) })
}

/// What is counted for a tenant.
const COUNTS: [(&str, &str); 9] = [
    (
        "users",
        "SELECT COUNT(*) FROM user_roles r JOIN users u ON u.id = r.user_id AND u.deleted_at = 0 WHERE r.tenant_id = ?",
    ),
    ("agents", "SELECT COUNT(*) FROM user_roles WHERE tenant_id = ? AND role = 'agent'"),
    ("dids", "SELECT COUNT(*) FROM dids WHERE tenant_id = ? AND deleted_at = 0"),
    ("endpoints", "SELECT COUNT(*) FROM endpoints WHERE tenant_id = ?"),
    ("queues", "SELECT COUNT(*) FROM queues WHERE tenant_id = ?"),
    ("contacts", "SELECT COUNT(*) FROM contacts WHERE tenant_id = ? AND deleted_at = 0"),
    (
        "open_tickets",
        "SELECT COUNT(*) FROM tickets WHERE tenant_id = ? AND deleted_at = 0 AND status NOT IN ('resolved', 'closed')",
    ),
    ("live_calls", "SELECT COUNT(*) FROM calls WHERE tenant_id = ? AND ended_at IS NULL"),
    (
        "storage_bytes",
        "SELECT CAST(COALESCE(SUM(bytes), 0) AS SIGNED) FROM (SELECT tenant_id, bytes FROM call_recordings \
         UNION ALL SELECT tenant_id, bytes FROM voicemails UNION ALL SELECT tenant_id, bytes FROM ticket_attachments) f \
         WHERE tenant_id = ?",
    ),
];

pub(super) fn usage<'a>(call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let (tenant, record) = named(call).await?;
        let mut usage = Map::new();
        for (name, sql) in COUNTS {
            let count: i64 =
                db_read!(&call.db, |p| sqlx::query_scalar(sql).bind(tenant.as_str()).fetch_one(p).await)?;
            usage.insert(name.to_owned(), count.into());
        }
        const TODAY: &str = "SELECT COUNT(*) FROM calls WHERE tenant_id = ? AND started_at >= ?";
        let zone = record.get("zone").and_then(Value::as_str).unwrap_or("UTC");
        let midnight_us = midnight(zone, call.now_us());
        let today: i64 = db_read!(&call.db, |p| sqlx::query_scalar(TODAY)
            .bind(tenant.as_str())
            .bind(midnight_us)
            .fetch_one(p)
            .await)?;
        usage.insert("calls_today".to_owned(), today.into());
        let limits: Map<String, Value> = record
            .iter()
            .filter(|(name, _)| name.starts_with("max_"))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        usage.insert("limits".to_owned(), Value::Object(limits));
        Ok(Reply::json(json!(usage)))
    })
}

/// When the day began in a zone, microseconds. Where the clock jumps over midnight, the offset of now counts.
fn midnight(zone: &str, now_us: i64) -> i64 {
    let zone: chrono_tz::Tz = zone.parse().unwrap_or(chrono_tz::UTC);
    let local = from_us(now_us).with_timezone(&zone);
    let start = local.date_naive().and_time(chrono::NaiveTime::MIN);
    match zone.from_local_datetime(&start).earliest() {
        Some(start) => start.timestamp_micros(),
        None => {
            start.and_utc().timestamp_micros() - i64::from(local.offset().fix().local_minus_utc()) * 1_000_000
        }
    }
}

pub(super) fn export<'a>(call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        if call.caller()?.user().is_none() {
            let why = "This is for people: an export holds what no scope of a key names.";
            return Err(Problem::not_yours(why));
        }
        let (tenant, _) = named(call).await?;
        let at = crate::api::check::show_time(call.now_us());
        let zip = whole::export(&call.db, &tenant, &at).await?;
        let name = format!("{tenant}-{}.zip", &at[..10]);
        let body = Body::Bytes("application/zip".into(), Some(name), zip.into());
        let mut reply = Reply { body, ..Reply::json(Value::Null) }.audited(crate::api::Audited {
            action: "tenants.export".into(),
            object_type: "tenants".into(),
            object_id: tenant.to_string(),
            before: Record::new(),
            after: Record::new(),
        });
        reply.whose = Some(tenant);
        Ok(reply)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_where_the_tenant_is() {
        let us = |text: &str| text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp_micros();
        for (zone, now, start) in [
            ("UTC", "2026-11-23T10:00:00Z", "2026-11-23T00:00:00Z"),
            ("Asia/Tokyo", "2026-11-23T16:00:00Z", "2026-11-23T15:00:00Z"),
            ("America/New_York", "2026-11-23T02:00:00Z", "2026-11-22T05:00:00Z"),
            // Chile's clocks went from 24:00 to 01:00 that night.
            ("America/Santiago", "2026-09-06T12:00:00Z", "2026-09-06T03:00:00Z"),
            ("nowhere", "2026-11-23T10:00:00Z", "2026-11-23T00:00:00Z"),
        ] {
            assert_eq!(midnight(zone, us(now)), us(start), "{zone}");
        }
    }
}
