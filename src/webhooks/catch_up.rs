//! An endpoint that is behind gets its deliveries out of the stream: some at a time, from its own position on, until it has
//! come to the tenant's cursor.
//!
//! The endpoint's row is locked first. Whoever hands events out needs that lock too, so the cursor stands still meanwhile,
//! and what is behind it falls to this step, what is before it to the other: nothing is skipped, nothing is made twice.

use super::fan_out::{self, Error, Share};
use super::{Delivery, Parts, endpoint, store};
use crate::base::ids::{Id, TenantId};
use crate::config::limits::webhooks as limits;
use crate::db::{Tx, db_read, db_tx};
use crate::events::outbox;

/// What became of a step.
#[derive(Debug, Default)]
pub struct Caught {
    /// Deliveries that this process keeps in memory.
    pub kept: Vec<Delivery>,
    /// Whether the endpoint is still behind.
    pub behind: bool,
    /// Whether deliveries were made and every one waits behind another of its key.
    pub stuck: bool,
}

/// Makes some deliveries to an endpoint that is behind, at most `most`.
///
/// # Errors
/// When the database is away.
pub async fn step(parts: &Parts, webhook: &Id, most: usize) -> Result<Caught, Error> {
    let Some(tenant) = tenant_if_behind(parts, webhook).await? else { return Ok(Caught::default()) };
    let mut tx = parts.db.begin().await?;
    // First the lock, then the reads: what MariaDB shows is as old as the first read.
    let wish = endpoint::wish_of(&mut tx, &tenant, webhook.as_str()).await?.filter(|wish| !wish.paused);
    let Some((wish, behind)) = wish.and_then(|wish| wish.behind.map(|behind| (wish, behind))) else {
        return Ok(Caught::default());
    };
    let end = cursor(&mut tx, &tenant).await?;
    let mut events = outbox::after_in(&mut tx, &tenant, behind, limits::FAN_OUT).await?;
    events.retain(|event| event.position <= end);
    let first = events.first().map_or(end + 1, |event| event.position);
    let mut rows = Vec::new();
    let mut share = Share::new(parts, &tenant, &events);
    let dealt = share.deal(&mut tx, &wish, most.min(limits::CATCH_UP), &mut rows).await?;
    let Some(dealt) = dealt else { return Ok(Caught::default()) };
    let last = events.last().filter(|last| events.len() == limits::FAN_OUT && last.position < end);
    let now_behind = match (dealt.left, last) {
        (Some(left), _) => Some((left.position - 1, left.at_us)),
        (None, Some(last)) => Some((last.position, last.at_us)),
        (None, None) => None,
    };
    store::insert(&mut tx, &rows).await?;
    fan_out::fall_behind(&mut tx, &wish.id, now_behind).await?;
    let caught = Caught {
        stuck: dealt.made > 0 && dealt.kept.is_empty(),
        kept: dealt.kept,
        behind: now_behind.is_some(),
    };
    if let Err(error) = tx.commit().await {
        let handed = fan_out::Handed { kept: caught.kept, ..fan_out::Handed::default() };
        return Err(Error::Doubt(Box::new(handed), error));
    }
    if first > behind + 1 {
        tracing::warn!(webhook.id = %webhook, tenant.id = %tenant, events = first - behind - 1,
            "an endpoint was behind for longer than events are kept: it never gets these");
    }
    Ok(caught)
}

/// Whose an endpoint is, if it is behind: most are not, and the writer is not asked for them.
async fn tenant_if_behind(parts: &Parts, webhook: &Id) -> sqlx::Result<Option<TenantId>> {
    const SQL: &str = "SELECT tenant_id FROM webhooks WHERE id = ? AND behind IS NOT NULL";
    let found: Option<String> =
        db_read!(&parts.db, |p| sqlx::query_scalar(SQL).bind(webhook.as_str()).fetch_optional(p).await)?;
    Ok(found.and_then(|tenant| TenantId::parse(&tenant).ok()))
}

/// How far the tenant's events were handed out. It is read without a lock, by which two would wait crosswise; the lock of
/// the endpoint's row holds it.
pub(super) async fn cursor(tx: &mut Tx, tenant: &TenantId) -> sqlx::Result<i64> {
    const SQL: &str = "SELECT position FROM webhook_cursors WHERE tenant_id = ?";
    let found: Option<i64> =
        db_tx!(tx, |c| sqlx::query_scalar(SQL).bind(tenant.as_str()).fetch_optional(c).await)?;
    Ok(found.unwrap_or(0))
}
