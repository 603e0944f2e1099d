//! One socket from its first frame to its closing: a loop that waits for its client, its stream and the word to close,
//! whichever comes first.

use std::future::{Future, pending};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::Sockets;
use super::frames::{self, After, Closing, Op, Refused};
use super::registry::{self, Entry, Proof};
use super::rows::Row;
use super::wire::{Came, Wire};
use crate::api::{Access, Caller, Problem, check};
use crate::base::ids::TenantId;
use crate::base::secret::Secret;
use crate::config::limits::sockets as limits;
use crate::events::stream::{Read, Shown, Stream, Taken};
use crate::events::{self, matches};
use crate::http::authenticate;

/// Where a socket comes from.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) address: IpAddr,
    pub(super) user_agent: String,
}

/// Serves a socket until its end.
pub(super) async fn run(sockets: &Arc<Sockets>, mut wire: Wire, origin: Origin) {
    let closing = match greet(sockets, &mut wire, &origin).await {
        Ok((entry, tenant)) => {
            let mut session = Session {
                sockets,
                wire: &mut wire,
                address: origin.address,
                entry,
                tenant,
                patterns: Vec::new(),
                feed: Feed::Off,
                stream: None,
                start: Start::Now,
                position: 0,
                told: 0,
                frames: (0, 0),
            };
            let closing = session.serve().await;
            if closing == Closing::SLOW {
                sockets.gate.routing.metrics.sockets.slow.inc();
            }
            sockets.left(&session.entry, closing);
            tracing::debug!(socket.id = %session.entry.id, code = closing.code, reason = closing.reason, "a socket was closed");
            closing
        }
        Err(closing) => closing,
    };
    wire.close(closing, sockets.options.close_time).await;
}

/// The first frame: who it is.
async fn greet(
    sockets: &Sockets,
    wire: &mut Wire,
    origin: &Origin,
) -> Result<(Arc<Entry>, TenantId), Closing> {
    let first = async {
        loop {
            if let Came::Text(text) = wire.next().await? {
                return Ok(text);
            }
        }
    };
    let mut end = sockets.end.1.clone();
    let first: Utf8Bytes = tokio::select! {
        first = timeout(sockets.options.auth_time, first) => first.map_err(|_| Closing::AUTH_TIMEOUT)??,
        () = end.stopped() => return Err(Closing::STOPPING),
    };
    let Ok(Op::Auth(token)) = frames::read(&first) else { return Err(Closing::BAD_FIRST) };
    let (caller, proof) = identify(sockets, token, origin.address).await?;
    let tenant = caller.tenant.clone().ok_or(Closing::NO_TENANT)?;
    let (gate, id) = (&sockets.gate, sockets.gate.ids.next());
    let row = Row {
        tenant: tenant.clone(),
        user: caller.user().cloned(),
        key: caller.user().is_none().then(|| caller.id().clone()),
        address: origin.address.to_string(),
        user_agent: origin.user_agent.clone(),
        subscriptions: "[]".to_owned(),
        connected_us: gate.clock.now_us(),
        ended: None,
    };
    let entry = sockets.registry.join(id, (caller, &tenant), proof, &sockets.options)?;
    gate.routing.metrics.sockets.open.inc();
    sockets.rows.opened(&entry.id, row);
    Ok((entry, tenant))
}

/// Who a token stands for, and what the socket stands on with it.
async fn identify(sockets: &Sockets, token: Secret, address: IpAddr) -> Result<(Caller, Proof), Closing> {
    let gate = &sockets.gate;
    let found = Box::pin(authenticate::until(&gate.auth, &gate.db, token.expose(), address)).await;
    let (caller, expires_s) = found.map_err(|problem| refusal(&problem))?;
    let may = |scopes: &crate::api::Scopes| scopes.allow(events::api::CHAPTER, Access::Read);
    if !caller.scopes.as_ref().is_none_or(may) {
        return Err(Closing::NO_SCOPE);
    }
    let proof = Proof::new(&caller, token, expires_s);
    Ok((caller, proof))
}

fn refusal(problem: &Problem) -> Closing {
    match (problem.status, problem.code) {
        (401, "token-expired") => Closing::EXPIRED,
        (401, "session-ended") => Closing::SESSION_ENDED,
        (401, _) => Closing::UNAUTHENTICATED,
        (503, _) => Closing::BUSY,
        _ => Closing::INTERNAL,
    }
}

type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Where a socket's events come from at the moment.
enum Feed {
    /// Not subscribed.
    Off,
    /// The stream is being opened, which takes as long as the database is away.
    Opening(Waiting<Arc<Stream>>),
    /// There may be more in memory.
    Due(watch::Receiver<i64>),
    /// Everything was handed out.
    Live(watch::Receiver<i64>),
    /// What memory does not have is being read.
    Reading(Waiting<Read>),
}

/// What a feed has.
enum Ready {
    Opened(Arc<Stream>),
    Moved,
    Read(Read),
}

impl Feed {
    /// Nothing is due any more.
    fn rest(&mut self) {
        *self = match std::mem::replace(self, Self::Off) {
            Self::Due(newest) => Self::Live(newest),
            other => other,
        };
    }

    /// It may be that more is due.
    fn due(&mut self) {
        *self = match std::mem::replace(self, Self::Off) {
            Self::Live(newest) => Self::Due(newest),
            other => other,
        };
    }

    /// May be dropped while it waits.
    async fn ready(&mut self) -> Ready {
        match self {
            Self::Off => pending().await,
            Self::Opening(stream) => Ready::Opened(stream.await),
            Self::Due(_) => Ready::Moved,
            Self::Live(newest) => match newest.changed().await {
                Ok(()) => Ready::Moved,
                // The stream is held by the socket itself.
                Err(_) => pending().await,
            },
            Self::Reading(read) => Ready::Read(read.await),
        }
    }
}

/// Where a subscription begins.
#[derive(Clone, Copy)]
enum Start {
    Now,
    Stay,
    At(i64),
}

/// What woke the loop.
enum Turn {
    Word(u8, Option<Closing>),
    Client(Came),
    Events(Ready),
}

struct Session<'s> {
    sockets: &'s Sockets,
    wire: &'s mut Wire,
    address: IpAddr,
    entry: Arc<Entry>,
    tenant: TenantId,
    patterns: Vec<String>,
    feed: Feed,
    stream: Option<Arc<Stream>>,
    start: Start,
    /// Everything up to here was looked at.
    position: i64,
    /// The last position that the client knows the cursor of.
    told: i64,
    /// The check at which frames were counted last, and how many came since.
    frames: (u64, u32),
}

impl Session<'_> {
    async fn serve(&mut self) -> Closing {
        if let Err(closing) = self.welcome().await {
            return closing;
        }
        loop {
            let turn = tokio::select! {
                biased;
                (what, closing) = self.entry.woken() => Turn::Word(what, closing),
                came = self.wire.next() => match came {
                    Ok(came) => Turn::Client(came),
                    Err(closing) => return closing,
                },
                ready = self.feed.ready() => Turn::Events(ready),
            };
            let done = match turn {
                Turn::Word(_, Some(closing)) => Err(closing),
                Turn::Word(what, None) => self.asked(what).await,
                Turn::Client(came) => self.client(came).await,
                Turn::Events(Ready::Opened(stream)) => self.opened(stream).await,
                Turn::Events(Ready::Moved) => self.moved().await,
                Turn::Events(Ready::Read(read)) => self.read(read).await,
            };
            if let Err(closing) = done {
                return closing;
            }
        }
    }

    async fn say(&mut self, frame: serde_json::Value) -> Result<(), Closing> {
        self.wire.say(frame.to_string()).await
    }

    async fn welcome(&mut self) -> Result<(), Closing> {
        let caller = &self.entry.caller;
        self.say(json!({
            "op": "ready",
            "session_id": self.entry.id.as_str(),
            "role": caller.role.as_str(),
            "tenant_id": self.tenant.as_str(),
            "expires_at": self.entry.expires_us().map(check::show_time),
        }))
        .await
    }

    /// What the registry wants told.
    async fn asked(&mut self, what: u8) -> Result<(), Closing> {
        if what & registry::EXPIRING != 0 {
            let end = self.entry.expires_us().map(check::show_time);
            self.say(json!({"op": "expiring", "expires_at": end})).await?;
        }
        if what & registry::PING != 0 {
            self.wire.ping().await?;
        }
        Ok(())
    }

    /// A frame of the client's.
    async fn client(&mut self, came: Came) -> Result<(), Closing> {
        let number = self.sockets.registry.number();
        self.sockets.registry.heard(&self.entry);
        self.frames = if self.frames.0 == number { (number, self.frames.1 + 1) } else { (number, 1) };
        if self.frames.1 > limits::FRAMES_PER_CHECK {
            return Err(Closing::TOO_MANY_FRAMES);
        }
        let Came::Text(text) = came else { return Ok(()) };
        let done = match frames::read(&text) {
            Ok(Op::Auth(token)) => return self.renew(token).await,
            Ok(Op::Subscribe(patterns, after)) => self.subscribe(patterns, after),
            Ok(Op::Unsubscribe) => {
                (self.feed, self.stream, self.start) = (Feed::Off, None, Start::Now);
                self.record("[]".to_owned());
                return self.say(json!({"op": "unsubscribed"})).await;
            }
            Ok(Op::Ping) => return self.pong().await,
            Err(refused) => Err(refused),
        };
        match done {
            Ok(Some(stream)) => self.opened(stream).await,
            Ok(None) => Ok(()),
            Err(refused) => self.wire.say(refused.frame()).await,
        }
    }

    /// With a cursor, so that one of rare events does not grow too old.
    async fn pong(&mut self) -> Result<(), Closing> {
        let cursor = self.stream.as_ref().map(|stream| stream.seal(self.position));
        self.told = self.position;
        self.say(json!({"op": "pong", "cursor": cursor})).await
    }

    /// Another token of the same user or key, in the same tenant and role.
    async fn renew(&mut self, token: Secret) -> Result<(), Closing> {
        let (caller, proof) = identify(self.sockets, token, self.address).await?;
        let before = &self.entry.caller;
        let is_same = (&caller.actor, &caller.tenant, caller.role, &caller.scopes)
            == (&before.actor, &before.tenant, before.role, &before.scopes);
        if !is_same {
            return Err(Closing::OTHER_IDENTITY);
        }
        self.entry.renew(proof);
        self.welcome().await
    }

    /// Takes a subscription down; what it begins with, when the stream is open already.
    fn subscribe(&mut self, patterns: Vec<String>, after: After) -> Result<Option<Arc<Stream>>, Refused> {
        let start = match (after, &self.feed) {
            (After::Here, Feed::Opening(_)) => self.start,
            (After::Here, Feed::Off) => Start::Now,
            (After::Here, _) => Start::Stay,
            (After::Cursor(text), _) if text == "latest" => Start::Now,
            (After::Cursor(text), _) => {
                let cursors = &self.sockets.gate.cursors;
                let opened = events::api::open(cursors, &self.tenant, &text);
                Start::At(opened.map_err(|problem| Refused::new("bad-cursor", problem.detail))?)
            }
        };
        self.record(json!(patterns).to_string());
        (self.patterns, self.start) = (patterns, start);
        if self.stream.is_none() && !matches!(self.feed, Feed::Opening(_)) {
            let (streams, tenant) = (Arc::clone(&self.sockets.streams), self.tenant.clone());
            self.feed = Feed::Opening(Box::pin(async move {
                loop {
                    match streams.open(&tenant).await {
                        Ok(stream) => return stream,
                        Err(error) => {
                            tracing::debug!(%error, tenant.id = %tenant, "a stream can't be opened yet")
                        }
                    }
                    sleep(limits::RETRY_TIME).await;
                }
            }));
        }
        Ok(self.stream.clone())
    }

    fn record(&self, types: String) {
        self.sockets.rows.subscribed(&self.entry.id, types);
    }

    /// The stream is there: the subscription begins.
    async fn opened(&mut self, stream: Arc<Stream>) -> Result<(), Closing> {
        let head = stream.head();
        self.position = match self.start {
            Start::Now => head,
            Start::Stay => self.position,
            Start::At(position) => position,
        };
        self.told = self.position;
        let cursor = stream.seal(self.position);
        // Beyond what is known of, only the database can say what it means.
        let is_reading = matches!(self.feed, Feed::Reading(_)) && matches!(self.start, Start::Stay);
        if self.position > head {
            self.look(&stream);
        } else if !is_reading {
            self.feed = Feed::Due(stream.newest());
        }
        self.stream = Some(stream);
        self.say(json!({"op": "subscribed", "types": self.patterns, "cursor": cursor})).await
    }

    /// Has the database read behind the position.
    fn look(&mut self, stream: &Arc<Stream>) {
        let (stream, position) = (Arc::clone(stream), self.position);
        self.feed = Feed::Reading(Box::pin(async move { stream.read(position).await }));
    }

    /// There is, or may be, something new in memory.
    async fn moved(&mut self) -> Result<(), Closing> {
        let Some(stream) = self.stream.clone() else { return Ok(()) };
        let (Feed::Due(newest) | Feed::Live(newest)) = &mut self.feed else { return Ok(()) };
        newest.borrow_and_update();
        match stream.take(self.position, limits::BATCH) {
            Taken::Events(some) => {
                // Fewer than asked for were all there was; what came since moves `newest`, which was marked before.
                if some.len() == limits::BATCH {
                    self.feed.due()
                } else {
                    self.feed.rest()
                }
                self.hand_out(&stream, &some).await?;
            }
            Taken::UpToDate => self.feed.rest(),
            Taken::Behind => self.look(&stream),
        }
        Ok(())
    }

    /// The database was read.
    async fn read(&mut self, read: Read) -> Result<(), Closing> {
        let Some(stream) = self.stream.clone() else { return Ok(()) };
        self.feed = Feed::Due(stream.newest());
        match read {
            Read::Events(some, _place) => self.hand_out(&stream, &some).await,
            Read::TooOld(position) => {
                self.sockets.gate.routing.metrics.sockets.resyncs.inc();
                (self.position, self.told) = (position, position);
                self.say(json!({"op": "resync", "cursor": stream.seal(position)})).await
            }
        }
    }

    /// Sends what the client wants and may see of some events, and moves behind them.
    async fn hand_out(&mut self, stream: &Stream, some: &[Arc<Shown>]) -> Result<(), Closing> {
        let mut sent = 0;
        for shown in some {
            if self.wants(shown) {
                self.wire.text(shown.text.clone()).await?;
                sent += 1;
                self.told = shown.event.position;
                if let Some(closing) = self.entry.closing() {
                    return Err(closing);
                }
            }
            self.position = shown.event.position;
        }
        if self.position - self.told >= limits::PASSED_OVER {
            self.told = self.position;
            let cursor = json!({"op": "cursor", "cursor": stream.seal(self.position)});
            self.wire.text(cursor.to_string().into()).await?;
        }
        self.sockets.gate.routing.metrics.sockets.events.inc_by(sent);
        self.wire.flush().await
    }

    fn wants(&self, shown: &Shown) -> bool {
        let viewer = events::api::viewer(&self.entry.caller);
        self.patterns.iter().any(|pattern| matches(pattern, &shown.event.kind))
            && self.sockets.gate.events.catalogue.sees(&viewer, &shown.event)
    }
}
