//! Rows of the queues' log as Asterisk writes them. While the database is away they are kept, in their order.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Parts;
use super::kept::{self, Kept};
use crate::base::ids::TenantId;
use crate::config::limits::{queues, realtime as limits};
use crate::db;
use crate::queues::log::Row;
use crate::queues::log_store::{self, Written};

#[derive(Default)]
pub(super) struct QueueLog {
    pub(super) skew: Skew,
}

/// Whether Asterisk's times are ours.
#[derive(Debug, Default)]
pub(super) struct Skew {
    is_told: AtomicBool,
}

impl Skew {
    /// Tells once when a row's time is far from now: it is not GMT.
    pub(super) fn look(&self, now_us: i64, at_us: i64) {
        let skew_us = (now_us - at_us).abs();
        if skew_us > queues::LOG_SKEW_US && !self.is_told.swap(true, Ordering::Relaxed) {
            let seconds = skew_us / 1_000_000;
            tracing::warn!(
                seconds,
                "queue_log's time is not ours: queue_log_realtime_use_gmt in logger.conf, or a clock"
            );
        }
    }
}

impl QueueLog {
    /// Takes a row. `false`: it is nobody's, or it can't be kept.
    pub(super) async fn write(&self, parts: &Parts, (tenant, row): (TenantId, Row)) -> sqlx::Result<bool> {
        self.skew.look(parts.clock.now_us(), row.at_us);
        if !kept::has_some(parts) {
            match tokio::time::timeout(limits::WRITE_TIME, Box::pin(write(parts, &tenant, &row))).await {
                Ok(Ok(is_somebodys)) => return Ok(is_somebodys),
                Ok(Err(error)) if !db::is_unavailable(&error) => return Err(error),
                // If it was written all the same, it is there once.
                _ => {}
            }
        }
        Ok(kept::keep(parts, &Kept::QueueLog(tenant, row)).await.is_some())
    }
}

/// Whether it is somebody's.
async fn write(parts: &Parts, tenant: &TenantId, row: &Row) -> sqlx::Result<bool> {
    let with = (&parts.router.ids, &*parts.events);
    match log_store::write(&parts.db, with, (tenant, parts.clock.now_us()), row).await? {
        Written::New(position) => {
            if let Some(position) = position {
                parts.events.news.tell(tenant, position);
            }
            Ok(true)
        }
        Written::Again => Ok(true),
        Written::Nobodys => Ok(false),
    }
}
