//! Moves records from the files into the database, in order, exactly once: the sink stores the records and the new
//! position in one transaction, so a crash between two batches repeats nothing and skips nothing.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Journal, Record, Shared, segments, writer};
use crate::base::clock::Stopwatch;
use crate::base::shutdown::Stopping;
use crate::config::limits::journal as limits;

/// Why a batch was not taken.
#[derive(Debug)]
pub enum SinkError {
    /// The database is away: try the same batch again later.
    Away(String),
    /// A record is not fit for the database; trying again would not help.
    Unfit(String),
}

/// Where records go.
pub trait Sink: Send + Sync + 'static {
    /// The last sequence of `node` that is in the database.
    fn position(&self, node: &str) -> impl Future<Output = Result<u64, SinkError>> + Send;

    /// Stores `records` and, as the node's new position, the last one's sequence, in one transaction.
    /// `from` is the position that must still hold; another value means that a second process moves the same journal.
    fn apply(
        &self,
        node: &str,
        from: u64,
        records: &[Record],
    ) -> impl Future<Output = Result<(), SinkError>> + Send;
}

/// Moves records until `stopping`, then whatever is left for at most [`limits::FLUSH_TIME`]. Returns how many
/// records still lie in the journal.
pub async fn run(journal: Journal, sink: impl Sink, mut stopping: Stopping) -> u64 {
    let shared = Arc::clone(&journal.shared);
    let mut written = shared.written.subscribe();
    let mut drain =
        Drain { shared, sink, position: None, reader: None, pause: limits::DRAIN_RETRY, rejected: 0 };
    loop {
        let until = *written.borrow_and_update();
        let took = Stopwatch::start();
        match drain.step(until).await {
            Ok(true) => tokio::select! {
                () = tokio::time::sleep(journal.shared.drain_rest(took, until)) => {}
                () = stopping.stopped() => break,
            },
            Ok(false) => tokio::select! {
                _ = written.changed() => {}
                () = stopping.stopped() => break,
            },
            Err(()) => tokio::select! {
                () = tokio::time::sleep(drain.longer_pause()) => {}
                () = stopping.stopped() => break,
            },
        }
        if stopping.is_stopping() {
            break;
        }
    }
    let last = journal.last_written();
    let flush = async { while drain.step(last).await == Ok(true) {} };
    // A database that is away at shutdown finds the rest at the next start.
    let _ = tokio::time::timeout(limits::FLUSH_TIME, flush).await;
    journal.last_written().saturating_sub(journal.drained())
}

impl Shared {
    /// How long the drain rests after a batch that began with `before` as the last sequence. Calls come first: a burst
    /// stays in the files until it is over. The fuller the files, the less rest: a tenth of the time is work, then a
    /// quarter, then half, then all of it. Without a burst there is nobody to make way for.
    fn drain_rest(&self, took: Stopwatch, before: u64) -> Duration {
        let (bytes, most) = (self.stats.bytes.load(Ordering::Relaxed), self.options.max_bytes);
        let came = self.written.borrow().saturating_sub(before);
        let times = match bytes {
            _ if bytes > most / 2 => return Duration::ZERO,
            _ if bytes > most / 4 || came < limits::DRAIN_BURST => 1,
            _ if bytes > most / 8 => 3,
            _ => 9,
        };
        let rest = Duration::from_nanos(took.elapsed_ns()) * times;
        let behind = self.written.borrow().saturating_sub(self.position.load(Ordering::Relaxed));
        if behind >= limits::DRAIN_BATCH as u64 {
            return rest.min(limits::DRAIN_REST_MOST);
        }
        rest.clamp(limits::DRAIN_REST, limits::DRAIN_REST_MOST)
    }
}

struct Drain<S> {
    shared: Arc<Shared>,
    sink: S,
    position: Option<u64>,
    reader: Option<segments::Reader>,
    pause: Duration,
    /// The last sequence that was put into `rejected.jsonl`: a retry must not put it there again.
    rejected: u64,
}

impl<S: Sink> Drain<S> {
    fn longer_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(limits::DRAIN_RETRY_MOST);
        pause
    }

    /// Moves one batch. `Ok(true)`: there may be more; `Ok(false)`: nothing to do; `Err`: pause, then again.
    async fn step(&mut self, until: u64) -> Result<bool, ()> {
        let node = self.shared.node.clone();
        let position = match self.position {
            Some(position) => position,
            None => self.start(node.as_str()).await?,
        };
        let Some(mut reader) = self.reader.take() else { return Err(()) };
        let read = tokio::task::spawn_blocking(move || {
            let records = reader.next(until);
            (reader, records)
        });
        let records = match read.await {
            Ok((reader, Ok(records))) => {
                self.shared.stats.damaged_bytes.store(reader.damaged_bytes, Ordering::Relaxed);
                self.reader = Some(reader);
                records
            }
            Ok((_, Err(error))) => return self.begin_anew(&format!("the journal can't be read: {error}")),
            Err(error) => return self.begin_anew(&format!("reading the journal failed: {error}")),
        };
        let Some(last) = records.last().map(|r| r.sequence) else { return Ok(false) };
        match self.sink.apply(node.as_str(), position, &records).await {
            Ok(()) => {}
            Err(SinkError::Away(error)) => return self.begin_anew(&error),
            Err(SinkError::Unfit(error)) => {
                tracing::error!(
                    error,
                    records = records.len(),
                    "the database refused a batch; trying one by one"
                );
                self.one_by_one(node.as_str(), position, &records).await?;
            }
        }
        self.position = Some(last);
        self.shared.position.store(last, Ordering::Relaxed);
        self.pause = limits::DRAIN_RETRY;
        self.shared.stats.drained.fetch_add(records.len() as u64, Ordering::Relaxed);
        self.remove_done(last);
        Ok(true)
    }

    fn remove_done(&self, position: u64) {
        match segments::remove_done(&self.shared.options.folder, position) {
            Ok(freed) => drop(self.shared.stats.bytes.fetch_sub(freed, Ordering::Relaxed)),
            Err(error) => tracing::warn!(%error, "a journal file that is done can't be removed"),
        }
    }

    /// Asks the database how far this journal is in.
    async fn start(&mut self, node: &str) -> Result<u64, ()> {
        match self.sink.position(node).await {
            Ok(position) => {
                self.position = Some(position);
                self.shared.position.store(position, Ordering::Relaxed);
                self.reader = Some(segments::Reader::new(&self.shared.options.folder, position));
                self.remove_done(position);
                Ok(position)
            }
            Err(SinkError::Away(error) | SinkError::Unfit(error)) => {
                self.begin_anew(&error)?;
                Err(())
            }
        }
    }

    /// After any failure the position is asked again: a commit whose answer was lost must not be repeated.
    fn begin_anew(&mut self, why: &str) -> Result<bool, ()> {
        if self.pause == limits::DRAIN_RETRY {
            tracing::warn!(error = why, "the journal can't move into the database; it waits and tries again");
        }
        self.position = None;
        self.reader = None;
        Err(())
    }

    async fn one_by_one(&mut self, node: &str, mut position: u64, records: &[Record]) -> Result<(), ()> {
        for record in records {
            match self.sink.apply(node, position, std::slice::from_ref(record)).await {
                Ok(()) => {}
                Err(SinkError::Away(error)) => return self.begin_anew(&error).map(drop),
                Err(SinkError::Unfit(error)) => {
                    tracing::error!(
                        error,
                        sequence = record.sequence,
                        "the database refused a record; it is kept in rejected.jsonl"
                    );
                    if self.rejected < record.sequence {
                        if let Err(error) = writer::keep_rejected(&self.shared, &record.payload) {
                            return self
                                .begin_anew(&format!("rejected.jsonl can't be written: {error}"))
                                .map(drop);
                        }
                        self.rejected = record.sequence;
                        self.shared.stats.rejected.fetch_add(1, Ordering::Relaxed);
                    }
                    let skip = Record { sequence: record.sequence, payload: Vec::new() };
                    if let Err(SinkError::Away(error) | SinkError::Unfit(error)) =
                        self.sink.apply(node, position, &[skip]).await
                    {
                        return self.begin_anew(&error).map(drop);
                    }
                }
            }
            position = record.sequence;
        }
        Ok(())
    }
}
