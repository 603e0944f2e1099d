//! How many of what a tenant may have, checked in the transaction that would make one more.

use super::store::number;
use crate::api::Problem;
use crate::base::ids::TenantId;
use crate::db::{Tx, db_tx};

/// What a tenant has a limited number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Numbers: `max_dids`.
    Dids,
    /// Endpoints: `max_endpoints`.
    Endpoints,
    /// Queues: `max_queues`.
    Queues,
    /// Users with the role agent: `max_agents`.
    Agents,
}

impl Room {
    /// The tenant's field that holds the limit.
    pub fn limit(self) -> &'static str {
        match self {
            Self::Dids => "max_dids",
            Self::Endpoints => "max_endpoints",
            Self::Queues => "max_queues",
            Self::Agents => "max_agents",
        }
    }

    /// What is counted, for people.
    fn many(self) -> &'static str {
        match self {
            Self::Dids => "numbers",
            Self::Endpoints => "endpoints",
            Self::Queues => "queues",
            Self::Agents => "agents",
        }
    }

    /// The statement that counts a tenant's.
    pub(super) fn count(self) -> &'static str {
        match self {
            Self::Dids => "SELECT COUNT(*) FROM dids WHERE tenant_id = ? AND deleted_at = 0",
            Self::Endpoints => "SELECT COUNT(*) FROM endpoints WHERE tenant_id = ?",
            Self::Queues => "SELECT COUNT(*) FROM queues WHERE tenant_id = ?",
            Self::Agents => "SELECT COUNT(*) FROM user_roles WHERE tenant_id = ? AND role = 'agent'",
        }
    }
}

/// Whether one more fits, called before the row is inserted: whoever asks for the same tenant stands in line until
/// this transaction ends, so that two at a time can't both take the last place.
///
/// # Errors
/// 409 `limit-reached`, naming the limit; 404 when there is no such tenant.
pub async fn room_for(tx: &mut Tx, tenant: &TenantId, room: Room) -> Result<(), Problem> {
    let limit = format!("SELECT {} FROM tenants WHERE id = ? AND deleted_at = 0", room.limit());
    let limit = tx.pick(&limit, &format!("{limit} FOR UPDATE")).to_owned();
    let limit: Option<i64> = db_tx!(&mut *tx, |c| sqlx::query_scalar(sqlx::AssertSqlSafe(limit))
        .bind(tenant.as_str())
        .fetch_optional(c)
        .await?);
    let limit = limit.ok_or_else(|| Problem::not_found("tenant"))?;
    if limit == 0 {
        return Ok(());
    }
    // A locking read: MariaDB's plain one may be older than the lock.
    let count = tx.pick(room.count(), &format!("{} LOCK IN SHARE MODE", room.count())).to_owned();
    if number(tx, count, tenant).await? < limit {
        return Ok(());
    }
    Err(Problem::conflict(
        "limit-reached",
        format!(
            "The tenant may have {limit} {} ({}); remove one, or ask for more.",
            room.many(),
            room.limit()
        ),
    ))
}
