//! Rows of the queues' log as Asterisk writes them. Asterisk does not ask whether a row was taken and sends none again: while
//! the database is away they wait here, in their order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Parts;
use crate::base::ids::TenantId;
use crate::base::shutdown::Stopping;
use crate::config::limits::{queues, realtime as limits};
use crate::db;
use crate::queues::log::Row;
use crate::queues::log_store::{self, Written};

#[derive(Default)]
pub(super) struct QueueLog {
    waiting: Mutex<VecDeque<(TenantId, Row)>>,
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
    fn waiting(&self) -> MutexGuard<'_, VecDeque<(TenantId, Row)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a row. `false`: it is nobody's, or there is no room for it.
    pub(super) async fn write(&self, parts: &Parts, (tenant, row): (TenantId, Row)) -> sqlx::Result<bool> {
        self.skew.look(parts.clock.now_us(), row.at_us);
        if !self.waiting().is_empty() {
            // Behind what waits, so that the order stays.
            return Ok(self.wait((tenant, row)));
        }
        match tokio::time::timeout(limits::WRITE_TIME, Box::pin(write(parts, &tenant, &row))).await {
            Ok(Ok(is_somebodys)) => Ok(is_somebodys),
            Ok(Err(error)) if !db::is_unavailable(&error) => Err(error),
            // If it was written all the same, it is there once.
            _ => Ok(self.wait((tenant, row))),
        }
    }

    fn wait(&self, row: (TenantId, Row)) -> bool {
        let mut waiting = self.waiting();
        if waiting.len() >= queues::LOG_WAITING {
            tracing::error!(
                event = row.1.event,
                "a row of queue_log is lost: too many wait for the database"
            );
            return false;
        }
        if waiting.is_empty() {
            tracing::warn!("rows of queue_log wait in memory until the database is back");
        }
        waiting.push_back(row);
        true
    }

    /// Writes what waits, until `stopping`, and once more then.
    pub(super) async fn flush(&self, parts: &Parts, mut stopping: Stopping) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(limits::RETRY_TIME) => {}
                () = stopping.stopped() => break,
            }
            self.flush_once(parts).await;
        }
        self.flush_once(parts).await;
        let left = self.waiting().len();
        if left > 0 {
            tracing::error!(rows = left, "rows of queue_log are lost: the database is away at the end");
        }
    }

    async fn flush_once(&self, parts: &Parts) {
        loop {
            let Some((tenant, row)) = self.waiting().front().cloned() else { return };
            match write(parts, &tenant, &row).await {
                Ok(_) => {}
                Err(error) if db::is_unavailable(&error) => return,
                Err(error) => {
                    tracing::error!(%error, event = row.event, "a row of queue_log can't be written")
                }
            }
            let mut waiting = self.waiting();
            waiting.pop_front();
            if waiting.is_empty() {
                tracing::info!("rows of queue_log that waited are written");
            }
        }
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
