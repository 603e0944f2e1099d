//! Gathers the records of one turn of the caller's event loop, so that a crowd of calls costs one message to the writing
//! thread and one wake-up back, not one of each per call.
//!
//! A task on the caller's runtime, the flusher, runs while records wait: it lets every session that is ready add its
//! record, hands all of them over, and tells the sessions when they are written. Should its runtime end, the next
//! append starts another.

use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::AppendError;
use crate::config::limits::journal as limits;

/// Records for one write, and who waits for it. The answer is the sequence of the first.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) records: Vec<Vec<u8>>,
    pub(super) done: oneshot::Sender<Result<u64, AppendError>>,
}

#[derive(Debug)]
struct Waiting {
    payload: Vec<u8>,
    done: oneshot::Sender<Result<u64, AppendError>>,
}

#[derive(Debug, Default)]
struct Pending {
    waiting: Vec<Waiting>,
    flushing: bool,
}

/// The way to the writing thread.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pending: Arc<Mutex<Pending>>,
    queue: SyncSender<Batch>,
}

impl Gate {
    pub(super) fn new(queue: SyncSender<Batch>) -> Self {
        Self { pending: Arc::default(), queue }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a record; the receiver hears its sequence once it is in the file.
    pub(super) fn add(
        &self,
        payload: Vec<u8>,
    ) -> Result<oneshot::Receiver<Result<u64, AppendError>>, AppendError> {
        let (done, answer) = oneshot::channel();
        let mut pending = self.pending();
        if pending.waiting.len() >= limits::WAITING {
            return Err(AppendError::Late);
        }
        pending.waiting.push(Waiting { payload, done });
        if !std::mem::replace(&mut pending.flushing, true) {
            drop(pending);
            tokio::spawn(Flusher { gate: self.clone(), ended: false }.run());
        }
        Ok(answer)
    }
}

/// The flusher's turn. Should its runtime end in the middle, the next append may begin another.
struct Flusher {
    gate: Gate,
    ended: bool,
}

impl Drop for Flusher {
    fn drop(&mut self) {
        if !self.ended {
            self.gate.pending().flushing = false;
        }
    }
}

impl Flusher {
    async fn run(mut self) {
        loop {
            // Every session that is ready now comes first.
            tokio::task::yield_now().await;
            let mut batch: Vec<Waiting> = {
                let mut pending = self.gate.pending();
                if pending.waiting.is_empty() {
                    // Under the lock: whoever adds after this starts another flusher.
                    pending.flushing = false;
                    self.ended = true;
                    return;
                }
                let most = pending.waiting.len().min(limits::WRITE_BATCH);
                pending.waiting.drain(..most).collect()
            };
            let records = batch.iter_mut().map(|one| std::mem::take(&mut one.payload)).collect();
            let result = self.write(records).await;
            for (n, one) in (0..).zip(batch) {
                // Nobody waits any more when the deadline has passed; the record is written all the same.
                let _ = one.done.send(result.map(|first| first + n));
            }
        }
    }

    async fn write(&self, records: Vec<Vec<u8>>) -> Result<u64, AppendError> {
        let (done, written) = oneshot::channel();
        match self.gate.queue.try_send(Batch { records, done }) {
            Ok(()) => written.await.unwrap_or(Err(AppendError::Disk)),
            Err(TrySendError::Full(_)) => Err(AppendError::Late),
            Err(TrySendError::Disconnected(_)) => Err(AppendError::Disk),
        }
    }
}
