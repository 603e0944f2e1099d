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
#[expect(clippy::large_enum_variant, reason = "nearly all are events")]
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
    /// The connection for a single call is gone for good.
    CallLeft(String),
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
    /// Connections for single calls, and their applications.
    calls: HashMap<u64, (Arc<Conn>, String)>,
    events: VecDeque<Heard>,
    of_calls: VecDeque<Heard>,
    /// Applications of single calls whose connections are gone for good.
    left: VecDeque<String>,
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
    pub(super) fn enter_call(&self, conn: Arc<Conn>, application: &str) -> bool {
        let mut state = self.state();
        let fits = state.calls.len() < limits::CALL_SOCKETS;
        if fits {
            state.calls.insert(conn.id, (conn, application.to_owned()));
        }
        fits
    }

    /// The connection for a single call has not come again, unless it has.
    pub(super) fn leave_call(&self, application: String) {
        let mut state = self.state();
        if !state.calls.values().any(|(_, of)| *of == application) {
            state.left.push_back(application);
            self.wake.notify_one();
        }
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
        main.or_else(|| state.calls.values().next().map(|(conn, _)| conn)).map(Arc::clone)
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
        if let Some(application) = state.left.pop_front() {
            return Step::CallLeft(application);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ari::conn::Open;
    use crate::ari::pipe::{Bytes, Socket};
    use crate::base::clock::Clock;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;

    /// A connection whose other end is nobody.
    async fn conn(id: u64) -> Arc<Conn> {
        let (ours, _) = tokio::io::duplex(64);
        let stream: Box<dyn Bytes> = Box::new(ours);
        let socket: Socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        Arc::clone(&Open::new(socket, id, true, Clock::system()).conn)
    }

    fn heard(conn: u64, at_us: i64) -> Heard {
        let event = Event::ApplicationReplaced {};
        let told = Told { application: "a".into(), asterisk_id: "b".into(), at_us, event };
        Heard { conn, received_us: at_us, told }
    }

    fn tells(step: Step) -> Option<(u64, i64)> {
        match step {
            Step::Tell(heard) => Some((heard.conn, heard.received_us)),
            _ => None,
        }
    }

    #[tokio::test]
    async fn events_wait_for_the_snapshot_and_come_before_the_loss() {
        let inbox = Inbox::default();
        assert!(matches!(inbox.step(None, None), Step::Wait));
        let first = conn(1).await;
        inbox.enter(Arc::clone(&first));
        inbox.put(heard(1, 10));
        inbox.put(heard(1, 11));
        assert!(matches!(inbox.step(None, None), Step::Meet { conn, dropped: false } if conn.id == 1));
        assert!(matches!(inbox.step(None, Some(1)), Step::Wait), "one that could not be met is left alone");
        assert_eq!(tells(inbox.step(Some(1), None)), Some((1, 10)));
        // Another takes its place, and says something before the first one's last word is told.
        assert_eq!(inbox.enter(conn(2).await).unwrap().id, 1);
        inbox.put(heard(2, 12));
        assert_eq!(tells(inbox.step(Some(1), None)), Some((1, 11)));
        assert!(matches!(inbox.step(Some(1), None), Step::Lost(Some(_))));
        assert!(matches!(inbox.step(None, None), Step::Meet { conn, .. } if conn.id == 2));
        assert_eq!(tells(inbox.step(Some(2), None)), Some((2, 12)));
        assert!(matches!(inbox.step(Some(2), None), Step::Wait));
        inbox.leave(&first);
        assert!(inbox.conn().is_some(), "the first one's end is not the second one's");
    }

    /// What Asterisk had kept goes with a connection that broke before it was announced; it is told after the next.
    #[tokio::test]
    async fn what_came_over_a_connection_that_was_never_announced_is_told() {
        let inbox = Inbox::default();
        let first = conn(1).await;
        inbox.enter(Arc::clone(&first));
        inbox.put(heard(1, 10));
        inbox.leave(&first);
        assert!(matches!(inbox.step(None, None), Step::Wait));
        inbox.enter(conn(2).await);
        assert!(matches!(inbox.step(None, None), Step::Meet { .. }));
        assert_eq!(tells(inbox.step(Some(2), None)), Some((1, 10)));
    }

    #[tokio::test]
    async fn a_full_queue_is_thrown_away_for_a_snapshot() {
        let inbox = Inbox::default();
        inbox.enter(conn(1).await);
        for n in 0..=limits::QUEUE_EVENTS {
            inbox.put(heard(1, i64::try_from(n).unwrap()));
        }
        assert!(matches!(inbox.step(Some(1), None), Step::Meet { dropped: true, .. }));
        let last = i64::try_from(limits::QUEUE_EVENTS).unwrap();
        assert_eq!(tells(inbox.step(Some(1), None)), Some((1, last)));
        assert!(matches!(inbox.step(Some(1), None), Step::Wait));
    }

    #[tokio::test]
    async fn a_calls_own_connection_tells_what_the_application_does_not_hear() {
        let inbox = Inbox::default();
        assert!(inbox.enter_call(conn(7).await, "a:7"));
        inbox.put(heard(7, 1));
        assert_eq!(tells(inbox.step(None, None)), Some((7, 1)));
        inbox.enter(conn(1).await);
        inbox.put(heard(7, 2));
        assert_eq!(tells(inbox.step(Some(1), None)), None, "the application hears of it too");
        let mut start = heard(7, 3);
        start.told.event = Event::StasisEnd { channel: crate::ari::Channel::default() };
        inbox.put(start);
        assert_eq!(tells(inbox.step(Some(1), None)), Some((7, 3)));
    }
}
