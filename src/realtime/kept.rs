//! What Asterisk delivers while the database is away. Asterisk asks for no receipt and sends nothing again, so it lies in a
//! journal of its own, and moves from there into the database in its order, also after a restart.

use serde::{Deserialize, Serialize};

use super::Parts;
use crate::base::ids::TenantId;
use crate::calls::store;
use crate::endpoints::registrations::{self, Told, With};
use crate::journal;
use crate::journal::drain::{Sink, SinkError};
use crate::queues::log::Row;
use crate::queues::log_store::{self, Written};

/// A delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kept {
    /// What it says of a registration.
    Registration(Told),
    /// A row of the queues' log.
    QueueLog(TenantId, Row),
}

/// Whether something lies there: what comes now goes behind it, so that the last word stays the last.
pub(super) fn has_some(parts: &Parts) -> bool {
    parts.kept.as_ref().is_some_and(|journal| journal.drained() < journal.last_written())
}

/// How far the database is, by numbers of [`keep`].
pub(super) fn moved(parts: &Parts) -> u64 {
    parts.kept.as_ref().map_or(0, journal::Journal::drained)
}

/// Keeps a delivery. Returns its number; `None`: it can't be kept, which has been logged.
pub(super) async fn keep(parts: &Parts, delivery: &Kept) -> Option<u64> {
    let journal = parts.kept.as_ref()?;
    if !has_some(parts) {
        tracing::warn!("what Asterisk delivers is kept in a file until the database is back");
    }
    let appended = match serde_json::to_vec(delivery) {
        Ok(payload) => journal.append(payload).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match appended {
        Ok(number) => Some(number),
        Err(error) => {
            tracing::error!(
                error,
                "what Asterisk delivers is lost: the database is away, and it can't be kept"
            );
            None
        }
    }
}

/// Where the journal goes.
pub(super) struct Database(pub(super) Parts);

impl Sink for Database {
    async fn position(&self, node: &str) -> Result<u64, SinkError> {
        store::read_position(&self.0.db, node).await.map_err(store::sink_error)
    }

    async fn apply(&self, node: &str, from: u64, records: &[journal::Record]) -> Result<(), SinkError> {
        let Some(last) = records.last() else { return Ok(()) };
        let parts = &self.0;
        let with = With { ids: &parts.router.ids, events: &parts.events, now_us: parts.clock.now_us() };
        let mut told = Vec::new();
        let mut tx = parts.db.begin().await.map_err(store::sink_error)?;
        // No time: whoever looks which other processes write calls must not take this journal for one.
        store::advance(&mut tx, node, from, last.sequence, 0).await?;
        for record in records.iter().filter(|record| !record.payload.is_empty()) {
            let delivery = serde_json::from_slice(&record.payload)
                .map_err(|error| SinkError::Unfit(format!("record {}: {error}", record.sequence)))?;
            match delivery {
                // A phone or queue that is gone meanwhile is nobody's.
                Kept::Registration(word) => {
                    let written = registrations::write(&mut tx, with, &word).await;
                    if let Some((tenant, Some(position))) = written.map_err(store::sink_error)? {
                        told.push((tenant, position));
                    }
                }
                Kept::QueueLog(tenant, row) => {
                    let written =
                        log_store::add(&mut tx, (with.ids, with.events), (&tenant, with.now_us), &row).await;
                    if let Written::New(Some(position)) = written.map_err(store::sink_error)? {
                        told.push((tenant, position));
                    }
                }
            }
        }
        tx.commit().await.map_err(store::sink_error)?;
        told.iter().for_each(|(tenant, position)| parts.events.news.tell(tenant, *position));
        Ok(())
    }
}
