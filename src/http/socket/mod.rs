//! `GET /ws/v1`: a tenant's events as they happen, over a WebSocket. The protocol is in `src/app/events.md`, which is part
//! of the API's document; [`frames`] has every frame and every closing code.
//!
//! Invariants: nothing goes to a socket that `GET /events` would not show its owner; events go out in order, each once,
//! from a cursor on, or the client is told that some are gone; a socket waits for nobody but its own client and the
//! database, and costs one task and some KiB while nothing happens.

mod accept;
pub mod frames;
mod registry;
mod rows;
mod session;
mod store;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::frames::Closing;
use self::registry::Registry;
use self::rows::Rows;
use super::dispatch::Gate;
use crate::base::ids::Id;
use crate::base::shutdown::{self, Stopper, Stopping};
use crate::config::limits::{http, sockets as limits};
use crate::events::stream::Streams;

pub use accept::routes;

/// What tests and small machines have otherwise.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose rows are written.
    pub node: Id,
    /// Sockets at a time.
    pub places: usize,
    /// Of one user or key.
    pub of_one: usize,
    /// Of one tenant.
    pub of_tenant: usize,
    /// For the first frame.
    pub auth_time: Duration,
    /// For some KiB to leave.
    pub send_time: Duration,
    /// For a closing to reach the client.
    pub close_time: Duration,
    /// Between two looks at tokens.
    pub check_time: Duration,
    /// Between two looks at keys.
    pub keys_time: Duration,
}

impl Options {
    /// As the limits say, of a process that may have so many file descriptors.
    pub fn new(node: Id, descriptors: u64) -> Self {
        let fit = usize::try_from(descriptors / limits::DESCRIPTORS_PART).unwrap_or(usize::MAX);
        Self {
            node,
            places: limits::SOCKETS.min(fit),
            of_one: limits::SOCKETS_OF_ONE,
            of_tenant: limits::SOCKETS_OF_TENANT,
            auth_time: limits::AUTH_TIME,
            send_time: limits::SEND_TIME,
            close_time: limits::CLOSE_TIME,
            check_time: limits::CHECK_TIME,
            keys_time: limits::KEYS_TIME,
        }
    }
}

/// All sockets of a process.
pub struct Sockets {
    gate: Arc<Gate>,
    options: Options,
    places: Arc<Semaphore>,
    registry: Registry,
    rows: Rows,
    streams: Arc<Streams>,
    /// Says "stop" to those that have not said who they are.
    end: (Stopper, Stopping),
}

impl std::fmt::Debug for Sockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sockets").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Sockets {
    /// None yet.
    pub fn new(gate: &Arc<Gate>, options: Options) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(options.places)),
            registry: Registry::default(),
            rows: Rows::new(options.node.clone()),
            streams: Arc::new(Streams::new(
                gate.db.clone(),
                Arc::clone(&gate.cursors),
                gate.events.news.clone(),
            )),
            gate: Arc::clone(gate),
            options,
            end: shutdown::channel(),
        })
    }

    /// Starts what they share. At `stopping` they are closed, and the tasks end with the last of them.
    pub fn start(self: &Arc<Self>, stopping: &Stopping) -> Vec<JoinHandle<()>> {
        let (last, closed) = shutdown::channel();
        let (me, word) = (Arc::clone(self), stopping.clone());
        let streams = tokio::spawn(async move { me.streams.run(word).await });
        let (me, word) = (Arc::clone(self), stopping.clone());
        let keys = tokio::spawn(async move { me.watch_keys(word).await });
        let me = Arc::clone(self);
        let rows = tokio::spawn(async move { me.write_rows(closed).await });
        let (me, word) = (Arc::clone(self), stopping.clone());
        let watch = tokio::spawn(async move {
            me.watch(word).await;
            // Dropped: every row is complete, and can be written for the last time.
            drop(last);
        });
        vec![streams, keys, watch, rows]
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.options.places - self.places.available_permits()
    }

    async fn watch(&self, mut stopping: Stopping) {
        loop {
            tokio::select! {
                () = sleep(self.options.check_time) => {}
                () = stopping.stopped() => break,
            }
            self.registry.check(&self.gate.auth, self.gate.clock.now_us());
        }
        self.end.0.stop();
        // Again and again: one may just have said who it is.
        let all = u32::try_from(self.options.places).unwrap_or(u32::MAX);
        let gone = async {
            loop {
                self.registry.all().iter().for_each(|entry| entry.close(Closing::STOPPING));
                if timeout(limits::CLOSE_TIME / 10, self.places.acquire_many(all)).await.is_ok() {
                    return;
                }
            }
        };
        if timeout(http::DRAIN_TIME, gone).await.is_err() {
            tracing::info!(sockets = self.open(), "sockets whose clients do not answer were cut off");
        }
        self.places.close();
        for entry in self.registry.all() {
            self.left(&entry, Closing::STOPPING);
        }
    }

    /// Closes sockets of keys that were revoked, changed or have expired, here or elsewhere.
    async fn watch_keys(&self, mut stopping: Stopping) {
        loop {
            tokio::select! {
                () = sleep(self.options.keys_time) => {}
                () = stopping.stopped() => return,
            }
            for (text, entries) in self.registry.keys() {
                let found = match self.gate.auth.api_keys.find(&self.gate.db, text.expose()).await {
                    Ok(found) => found,
                    Err(error) => {
                        tracing::debug!(%error, "keys of sockets can't be looked up");
                        break;
                    }
                };
                let still = |entry: &registry::Entry| {
                    found.as_ref().is_some_and(|key| {
                        key.role == entry.caller.role && Some(&key.scopes) == entry.caller.scopes.as_ref()
                    })
                };
                entries.iter().filter(|e| !still(e)).for_each(|entry| entry.close(Closing::KEY_ENDED));
            }
        }
    }

    async fn write_rows(&self, mut closed: Stopping) {
        let now_us = || self.gate.clock.now_us();
        match self.rows.close_left(&self.gate.db, now_us()).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "sockets of the run before were put down as closed"),
            Err(error) => tracing::warn!(%error, "sockets of the run before can't be put down as closed"),
        }
        for round in 1_u64.. {
            let is_last = tokio::select! {
                () = sleep(limits::ROWS_TIME) => false,
                () = closed.stopped() => true,
            };
            if is_last || round.is_multiple_of(limits::SEEN_ROUNDS) {
                self.rows.seen(self.registry.fresh());
            }
            if let Err(error) = self.rows.flush(&self.gate.db, now_us()).await {
                tracing::debug!(%error, "rows of sockets can't be written yet");
            }
            if round.is_multiple_of(limits::CLEAN_ROUNDS)
                && let Err(error) = store::clean(&self.gate.db, now_us()).await
            {
                tracing::warn!(%error, "old rows of sockets can't be removed");
            }
            if is_last {
                return;
            }
        }
    }

    /// Takes a socket out, once.
    fn left(&self, entry: &registry::Entry, closing: Closing) {
        if self.registry.leave(entry) {
            self.rows.closed(&entry.id, closing, self.gate.clock.now_us());
            self.gate.routing.metrics.sockets.open.dec();
        }
    }
}
