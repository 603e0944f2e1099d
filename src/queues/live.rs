//! The tenants' callers and members in memory. A look reads what was written since the look before, by this node or another,
//! so that it is right at any time, after a restart too; tenants at whom nobody looks cost nothing.

use std::sync::Arc;

use moka::sync::Cache;
use tokio::sync::Mutex;

use super::log_store;
use super::state::State;
use crate::base::ids::TenantId;
use crate::config::limits::queues as limits;
use crate::db::Db;

/// All tenants.
pub struct LiveQueues {
    tenants: Cache<TenantId, Arc<Mutex<Known>>>,
    lost_us: i64,
}

#[derive(Default)]
struct Known {
    state: State,
    /// Up to when rows were written that are known, microseconds since 1970 UTC; `None`: nothing is.
    seen_us: Option<i64>,
}

impl std::fmt::Debug for LiveQueues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveQueues").finish_non_exhaustive()
    }
}

impl LiveQueues {
    /// Empty memory; a caller of whom nothing is heard for `lost_us` microseconds is gone.
    pub fn new(lost_us: i64) -> Self {
        Self { tenants: Cache::builder().max_capacity(limits::LIVE_TENANTS).build(), lost_us }
    }

    /// Looks at a tenant as it is now.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn look<T>(
        &self,
        db: &Db,
        (tenant, now_us): (&TenantId, i64),
        see: impl FnOnce(&State) -> T,
    ) -> sqlx::Result<T> {
        let known = self.tenants.get_with(tenant.clone(), Arc::default);
        let mut known = known.lock().await;
        // The longest rest after a talk is shown as well.
        let whole_us = now_us - limits::RING_S * 1_000_000;
        let rows = match known.seen_us {
            Some(seen) if seen > whole_us => {
                // Our clock may have stepped back.
                let since_us = seen.min(now_us) - limits::LIVE_OVERLAP_US;
                log_store::written_since(db, tenant, since_us).await?
            }
            _ => {
                // What happened since would be more than what matters now.
                known.state = State::default();
                log_store::alive(db, tenant, (now_us - self.lost_us, whole_us)).await?
            }
        };
        for (row, written_us) in rows {
            known.state.take(row, written_us);
        }
        end_gone(db, (tenant, now_us), &mut known.state).await?;
        known.state.forget(now_us, self.lost_us);
        known.seen_us = Some(now_us);
        Ok(see(&known.state))
    }
}

/// Drops callers and talks whose call is over by the books: an Asterisk that died, or whose row was lost, wrote no end into
/// the log.
///
/// # Errors
/// When the database is away.
pub(super) async fn end_gone(
    db: &Db,
    (tenant, now_us): (&TenantId, i64),
    state: &mut State,
) -> sqlx::Result<()> {
    let calls = state.unended(now_us);
    for call in log_store::ended_among(db, tenant, &calls, now_us - limits::LIVE_LATE_US).await? {
        state.end(&call);
    }
    Ok(())
}
