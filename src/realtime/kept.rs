//! What Asterisk delivers while the database is away. Asterisk asks for no receipt and sends nothing again, so it lies in a
//! journal of its own, and moves from there into the database in its order, also after a restart.

use serde::{Deserialize, Serialize};

use super::Parts;
use crate::base::ids::TenantId;
use crate::calls::store;
use crate::config::limits::realtime as limits;
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
        let mut position = from;
        for piece in pieces(records) {
            let last = match piece {
                Ok(piece) => self.write(node, position, &piece).await.map(|()| piece.last),
                Err(error) => Err(error),
            };
            position = match last {
                Ok(last) => last,
                // The drain looks where it is, and begins with this one.
                Err(SinkError::Unfit(why)) if position != from => return Err(SinkError::Away(why)),
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }
}

/// Deliveries that go in one transaction.
struct Piece {
    last: u64,
    deliveries: Vec<Kept>,
}

impl Piece {
    /// Whether one more goes with these. Only rows of one tenant's log do: whoever locks endpoints and tenants one after the
    /// other meets others who do so in another order, and what it reads is old by then.
    fn takes(&self, delivery: &Kept) -> bool {
        let Kept::QueueLog(tenant, _) = delivery else { return false };
        let is_theirs = |other: &Kept| matches!(other, Kept::QueueLog(owner, _) if owner == tenant);
        (1..limits::KEPT_ROWS).contains(&self.deliveries.len()) && self.deliveries.iter().all(is_theirs)
    }
}

/// Records in their order. One that can't be read is a piece of its own.
fn pieces(records: &[journal::Record]) -> Vec<Result<Piece, SinkError>> {
    let mut all: Vec<Result<Piece, SinkError>> = Vec::new();
    for record in records {
        let last = record.sequence;
        // Empty: the drain skips what was here.
        if record.payload.is_empty() {
            all.push(Ok(Piece { last, deliveries: Vec::new() }));
            continue;
        }
        let delivery = match serde_json::from_slice::<Kept>(&record.payload) {
            Ok(delivery) => delivery,
            Err(error) => {
                all.push(Err(SinkError::Unfit(format!("record {last}: {error}"))));
                continue;
            }
        };
        if let Some(Ok(piece)) = all.last_mut()
            && piece.takes(&delivery)
        {
            piece.last = last;
            piece.deliveries.push(delivery);
            continue;
        }
        all.push(Ok(Piece { last, deliveries: vec![delivery] }));
    }
    all
}

impl Database {
    async fn write(&self, node: &str, from: u64, piece: &Piece) -> Result<(), SinkError> {
        let parts = &self.0;
        let mut told = Vec::new();
        let mut tx = parts.db.begin().await.map_err(store::sink_error)?;
        // What shows the last seconds must not miss rows that a wait for the database made older.
        let with = With { ids: &parts.router.ids, events: &parts.events, now_us: parts.clock.now_us() };
        // No time: whoever looks which other processes write calls must not take this journal for one.
        store::advance(&mut tx, node, from, piece.last, 0).await?;
        for delivery in &piece.deliveries {
            match delivery {
                // A phone or queue that is gone meanwhile is nobody's.
                Kept::Registration(word) => {
                    let written = registrations::write(&mut tx, with, word).await;
                    if let Some((tenant, Some(position))) = written.map_err(store::sink_error)? {
                        told.push((tenant, position));
                    }
                }
                Kept::QueueLog(tenant, row) => {
                    let written =
                        log_store::add(&mut tx, (with.ids, with.events), (tenant, with.now_us), row).await;
                    if let Written::New(Some(position)) = written.map_err(store::sink_error)? {
                        told.push((tenant.clone(), position));
                    }
                }
            }
        }
        tx.commit().await.map_err(store::sink_error)?;
        told.iter().for_each(|(tenant, position)| parts.events.news.tell(tenant, *position));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_tenants_log_go_together_and_nothing_else() {
        let row = |tenant: &str| {
            let columns = [("time", "2026-11-22 11:21:37.5"), ("event", "ENTERQUEUE"), ("callid", "1.1")];
            let queue = format!("{tenant}-support");
            let columns = columns.iter().copied().chain([("queuename", queue.as_str())]);
            let columns: Vec<_> = columns.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let (tenant, row) = crate::queues::log::read(&columns).unwrap().unwrap();
            serde_json::to_vec(&Kept::QueueLog(tenant, row)).unwrap()
        };
        let phone = || {
            let told = Told { id: "acme-101;@a".into(), columns: Vec::new() };
            serde_json::to_vec(&Kept::Registration(told)).unwrap()
        };
        let mut payloads = vec![phone(), phone(), row("acme"), row("acme"), row("globex"), phone()];
        payloads.extend([b"{".to_vec(), Vec::new(), row("acme"), b"{".to_vec()]);
        payloads.extend(std::iter::repeat_with(|| row("acme")).take(limits::KEPT_ROWS + 1));
        let records: Vec<journal::Record> =
            (1..).zip(payloads).map(|(sequence, payload)| journal::Record { sequence, payload }).collect();
        let seen: Vec<(u64, Option<usize>)> = pieces(&records)
            .into_iter()
            .map(|piece| piece.map_or((0, None), |piece| (piece.last, Some(piece.deliveries.len()))))
            .collect();
        let expected = [
            (1, Some(1)),
            (2, Some(1)),
            (4, Some(2)),
            (5, Some(1)),
            (6, Some(1)),
            (0, None),
            (8, Some(0)),
            (9, Some(1)),
            (0, None),
            (74, Some(limits::KEPT_ROWS)),
            (75, Some(1)),
        ];
        assert_eq!(seen, expected);
    }
}
