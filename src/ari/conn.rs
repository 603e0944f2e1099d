//! One open socket: a task reads it and does nothing else that could wait, another writes, and whoever asks waits for the
//! answer alone. A socket on which nothing comes is asked whether it lives, and given up.
//!
//! Asterisk 22.10 has a weakness that shapes this: when it can't write what we asked for (an answer, a pong), its thread stays
//! with the dead socket for ever, and one that connects by itself never connects again. The first write to a socket that was
//! closed succeeds. So over a socket that Asterisk opened we ask one thing at a time, pings included, and one that is silent is
//! closed on our side only: a frozen Asterisk that goes on can write into it, reads our goodbye and comes back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::event::{self, Event, RestResponse, Told};
use super::pipe::Socket;
use super::rest::{self, Answer, AskError, Request};
use crate::base::clock::Clock;
use crate::base::shutdown::{self, Stopper, Stopping};
use crate::config::limits::ari as limits;

/// An answer, and when Asterisk gave it.
type Answered = (RestResponse, i64);

/// Who waits for an answer. Its place is free when the answer has come, however long he waited.
#[derive(Debug)]
struct Waiting {
    answered: oneshot::Sender<Answered>,
    since: Instant,
    _place: OwnedSemaphorePermit,
}

/// Why a socket is open no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// We closed it.
    Ours,
    /// Asterisk closed it, or the connection broke.
    Theirs(String),
    /// Nothing came, not even answers to our pings.
    Silent,
    /// Another connection has taken the application: nothing will come any more.
    Replaced,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ours => f.write_str("closed by the service"),
            Self::Theirs(why) => f.write_str(why),
            Self::Silent => f.write_str("nothing came in time, no answers to pings either"),
            Self::Replaced => f.write_str("another connection has taken the application"),
        }
    }
}

/// What others hold of an open socket.
#[derive(Debug)]
pub(super) struct Conn {
    /// Tells the connections of one Asterisk apart.
    pub(super) id: u64,
    /// Whether Asterisk opened it.
    pub(super) is_theirs: bool,
    out: mpsc::Sender<Message>,
    waiting: Mutex<HashMap<u64, Waiting>>,
    places: Arc<Semaphore>,
    asked: AtomicU64,
    /// When something came last, by our clock.
    heard_us: AtomicI64,
    end: (Stopper, Stopping),
    clock: Clock,
}

impl Conn {
    /// Asks, and says when Asterisk answered, by its own clock.
    pub(super) async fn ask(&self, request: &Request, time: Duration) -> Result<(Answer, i64), AskError> {
        timeout(time, self.exchange(request)).await.map_err(|_| AskError::Slow)?
    }

    async fn exchange(&self, request: &Request) -> Result<(Answer, i64), AskError> {
        let id = self.asked.fetch_add(1, Ordering::Relaxed);
        let frame = Message::text(request.frame(id)?);
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| AskError::NotConnected)?;
        let room = self.out.reserve().await.map_err(|_| AskError::NotConnected)?;
        let (answered, answer) = oneshot::channel();
        self.waiting().insert(id, Waiting { answered, since: Instant::now(), _place: place });
        room.send(frame);
        let (response, at_us) = answer.await.map_err(|_| AskError::Lost)?;
        Ok((rest::answer(&response)?, at_us))
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self, response: RestResponse, at_us: i64) {
        let asker = response.request_id.parse().ok().and_then(|id: u64| self.waiting().remove(&id));
        let late = asker.is_none_or(|asker| asker.answered.send((response, at_us)).is_err());
        if late {
            tracing::debug!("an answer of Asterisk's came too late");
        }
    }

    /// When something came last, by our clock.
    pub(super) fn heard_us(&self) -> i64 {
        self.heard_us.load(Ordering::Relaxed)
    }

    /// Ends it.
    pub(super) fn close(&self) {
        self.end.0.stop();
    }
}

/// The reading end, held by the connection's task.
pub(super) struct Open {
    pub(super) conn: Arc<Conn>,
    stream: SplitStream<Socket>,
    writer: JoinHandle<SplitSink<Socket, Message>>,
    pings: Interval,
    /// Pauses between pings since something came.
    silent: u32,
    /// The place of the ping under way, and since when.
    ping: Option<(OwnedSemaphorePermit, Instant)>,
    end: Stopping,
    complained: bool,
}

impl Open {
    /// Takes over a socket whose handshake is done.
    pub(super) fn new(socket: Socket, id: u64, is_theirs: bool, clock: Clock) -> Self {
        let (out, frames) = mpsc::channel(limits::OUT_FRAMES);
        let (sink, stream) = socket.split();
        let end = shutdown::channel();
        let stopping = end.1.clone();
        let conn = Arc::new(Conn {
            id,
            is_theirs,
            out,
            waiting: Mutex::default(),
            places: Arc::new(Semaphore::new(if is_theirs { 1 } else { limits::REQUESTS })),
            asked: AtomicU64::new(1),
            heard_us: AtomicI64::new(clock.now_us()),
            end,
            clock,
        });
        let writer = tokio::spawn(write(Arc::clone(&conn), frames, sink));
        // Not at once: what Asterisk 22.10 reads together with our answer to its handshake stays unread until more comes.
        let mut pings = interval_at(Instant::now() + limits::PING_TIME, limits::PING_TIME);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { conn, stream, writer, pings, silent: 0, ping: None, end: stopping, complained: false }
    }

    /// The next event. Answers go to who waits for them. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Told, End> {
        loop {
            let message = tokio::select! {
                message = self.stream.next() => message,
                _ = self.pings.tick() => {
                    self.ping()?;
                    continue;
                }
                () = self.end.stopped() => return Err(End::Ours),
            };
            self.silent = 0;
            self.conn.heard_us.store(self.conn.clock.now_us(), Ordering::Relaxed);
            let text = match message {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(frame))) => return Err(End::Theirs(said(frame.as_ref()))),
                Some(Ok(Message::Pong(_))) => {
                    self.ping = None;
                    continue;
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Err(End::Theirs(error.to_string())),
                None => return Err(End::Theirs("the connection ended".to_owned())),
            };
            match event::parse(&text) {
                Ok(Told { event: Event::RESTResponse { answer }, at_us, .. }) => {
                    self.conn.answered(answer, at_us);
                }
                Ok(told) => return Ok(told),
                // Once: a kind that can't be read comes again and again.
                Err(error) if !self.complained => {
                    self.complained = true;
                    tracing::warn!(%error, "an event of Asterisk's can't be read");
                }
                Err(error) => tracing::debug!(%error, "an event of Asterisk's can't be read"),
            }
        }
    }

    /// Counts pauses instead of seconds: a process that stood still itself has not listened.
    fn ping(&mut self) -> Result<(), End> {
        let oldest = self.conn.waiting().values().map(|one| one.since).min();
        let oldest = oldest.into_iter().chain(self.ping.as_ref().map(|(_, since)| *since)).min();
        let is_stuck = oldest.is_some_and(|since| since.elapsed() > limits::UNANSWERED_TIME);
        if self.silent >= limits::SILENT_PINGS || is_stuck {
            return Err(End::Silent);
        }
        self.silent += 1;
        if self.ping.is_none() {
            // No place or no room: what is under way asks whether it lives as well.
            let place = Arc::clone(&self.conn.places).try_acquire_owned().ok();
            let sent =
                |_: &OwnedSemaphorePermit| self.conn.out.try_send(Message::Ping(Vec::new().into())).is_ok();
            self.ping = place.filter(sent).map(|place| (place, Instant::now()));
        }
        Ok(())
    }

    /// Closes it, and whoever waits for an answer hears so. Asterisk has `time` to close its side.
    pub(super) async fn close(self, time: Duration, stopping: &mut Stopping) {
        self.conn.places.close();
        self.conn.close();
        let written = self.writer.await;
        // Behind the writer, who ended the channel: nobody comes any more.
        self.conn.waiting().clear();
        let socket = match written {
            Ok(sink) => self.stream.reunite(sink),
            Err(error) => return tracing::error!(%error, "a socket's writer ended badly"),
        };
        let Ok(socket) = socket else { return };
        let time = if stopping.is_stopping() { limits::CLOSE_TIME } else { time };
        tokio::select! {
            _ = timeout(time, farewell(socket)) => {}
            () = stopping.stopped(), if !stopping.is_stopping() => {}
        }
    }
}

fn said(frame: Option<&CloseFrame>) -> String {
    match frame {
        Some(frame) => format!("Asterisk closed the connection ({} {})", frame.code, frame.reason),
        None => "Asterisk closed the connection".to_owned(),
    }
}

/// Closes our side, and waits for Asterisk to close its own.
async fn farewell(mut socket: Socket) -> std::io::Result<()> {
    let stream = socket.get_mut();
    stream.shutdown().await?;
    let mut scratch = vec![0; limits::READ_BYTES];
    while stream.read(&mut scratch).await? > 0 {}
    Ok(())
}

async fn write(
    conn: Arc<Conn>,
    mut frames: mpsc::Receiver<Message>,
    mut sink: SplitSink<Socket, Message>,
) -> SplitSink<Socket, Message> {
    let mut end = conn.end.1.clone();
    loop {
        let frame = tokio::select! {
            frame = frames.recv() => frame,
            () = end.stopped() => None,
        };
        let Some(frame) = frame else { break };
        if !matches!(timeout(limits::WRITE_TIME, sink.send(frame)).await, Ok(Ok(()))) {
            // The reader says what is wrong with the connection, or finds it silent.
            conn.close();
            break;
        }
    }
    let bye = CloseFrame { code: CloseCode::Away, reason: "".into() };
    // Nobody is left to be told what goes wrong here.
    let _ = timeout(limits::CLOSE_TIME, sink.send(Message::Close(Some(bye)))).await;
    sink
}
