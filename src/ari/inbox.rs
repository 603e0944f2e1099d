//! What has come from one Asterisk and was not told yet: a bounded queue between the tasks that read its sockets and the one
//! that tells. Readers never wait. When the queue is full it is thrown away, and a fresh snapshot takes its place.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::conn::Conn;
use super::event::{Event, Told};
use crate::config::limits::ari as limits;

/// An event, and how it came.
#[derive(Debug, PartialEq)]
pub(super) struct Heard {
    /// Over which connection.
    pub(super) conn: u64,
    /// By our clock.
    pub(super) received_us: i64,
    pub(super) told: Told,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Step {
    /// Tell it.
    Tell(Heard),
    /// The connection that was announced is gone; it was heard of until then, by our clock.
    Lost(Option<i64>),
    /// Take a snapshot over this connection.
    Meet {
        conn: Arc<Conn>,
        /// Events were thrown away.
        dropped: bool,
    },
    /// Nothing, until [`Inbox::changed`].
    Wait,
}

#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The connection that serves the application, and since when.
    main: Option<(Arc<Conn>, Instant)>,
    /// Connections for single calls.
    calls: HashMap<u64, Arc<Conn>>,
    events: VecDeque<Heard>,
    of_calls: VecDeque<Heard>,
    /// Some were thrown away.
    dropped: bool,
    /// Until when the connection before was heard.
    heard_us: i64,
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when something has changed since it was called last.
    pub(super) async fn changed(&self) {
        self.wake.notified().await;
    }

    /// A connection serves the application from now on, instead of the one that is returned.
    pub(super) fn enter(&self, conn: Arc<Conn>) -> Option<Arc<Conn>> {
        let mut state = self.state();
        let before = state.main.replace((conn, Instant::now())).map(|(before, _)| before);
        if let Some(before) = &before {
            state.heard_us = before.heard_us();
        }
        self.wake.notify_one();
        before
    }

    /// When the connection that serves the application may be replaced.
    pub(super) fn may_be_replaced(&self) -> Option<Instant> {
        self.state().main.as_ref().map(|(_, since)| *since + limits::TAKE_OVER_PAUSE)
    }

    /// A connection for a single call; `false` when there are too many.
    pub(super) fn enter_call(&self, conn: Arc<Conn>) -> bool {
        let mut state = self.state();
        let fits = state.calls.len() < limits::CALL_SOCKETS;
        if fits {
            state.calls.insert(conn.id, conn);
        }
        fits
    }

    /// A connection is gone.
    pub(super) fn leave(&self, conn: &Conn) {
        let mut state = self.state();
        state.calls.remove(&conn.id);
        if state.main.as_ref().is_some_and(|(main, _)| main.id == conn.id) {
            state.main = None;
            state.heard_us = conn.heard_us();
            self.wake.notify_one();
        }
    }

    /// Over which it can be asked.
    pub(super) fn conn(&self) -> Option<Arc<Conn>> {
        let state = self.state();
        let main = state.main.as_ref().map(|(conn, _)| conn);
        main.or_else(|| state.calls.values().next()).map(Arc::clone)
    }

    /// Puts an event in, or throws all away.
    pub(super) fn put(&self, heard: Heard) {
        let mut state = self.state();
        let of_call = state.calls.contains_key(&heard.conn);
        // The application hears of the call's channels as well; only these two it does not.
        let doubled = of_call
            && state.main.is_some()
            && !matches!(heard.told.event, Event::StasisStart { .. } | Event::StasisEnd { .. });
        if doubled {
            return;
        }
        if state.events.len() + state.of_calls.len() >= limits::QUEUE_EVENTS {
            // With their room: a queue is full once in a blue moon.
            state.events = VecDeque::new();
            state.of_calls = VecDeque::new();
            state.dropped = true;
        }
        if of_call {
            state.of_calls.push_back(heard)
        } else {
            state.events.push_back(heard)
        }
        self.wake.notify_one();
    }

    /// What comes next for whoever has announced the connection `at`, and could not meet `refused`.
    pub(super) fn step(&self, at: Option<u64>, refused: Option<u64>) -> Step {
        let mut state = self.state();
        if let Some(heard) = state.of_calls.pop_front() {
            return Step::Tell(heard);
        }
        let main = state.main.as_ref().map(|(conn, _)| Arc::clone(conn));
        let is_at = at.is_some() && main.as_ref().map(|conn| conn.id) == at;
        if is_at && !state.dropped {
            // Those of connections that ended before they were announced are among them.
            return state.events.pop_front().map_or(Step::Wait, Step::Tell);
        }
        if at.is_some() && !is_at {
            // First what came over it.
            if state.events.front().is_some_and(|heard| Some(heard.conn) == at)
                && let Some(heard) = state.events.pop_front()
            {
                return Step::Tell(heard);
            }
            // Behind what was thrown away nobody knows until when all was heard.
            return Step::Lost((!state.dropped).then_some(state.heard_us));
        }
        match main {
            Some(conn) if Some(conn.id) != refused => {
                Step::Meet { conn, dropped: std::mem::take(&mut state.dropped) }
            }
            _ => Step::Wait,
        }
    }
}
