//! The newest events of each tenant that somebody listens to, in memory once for all who do, as the text that goes out.
//!
//! Listeners pull: each has a position, takes what lies behind it when [`Stream::newest`] moves, and reads the database
//! where memory does not reach back so far. So a slow one holds nobody up, and nothing is dropped without its knowing.
//!
//! Invariants: positions in a ring follow each other without gaps; a ring holds only what was read from the database,
//! and is filled by one task.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::time::{Instant, sleep};

use super::{Event, News, api, outbox};
use crate::api::page;
use crate::base::ids::TenantId;
use crate::base::shutdown::Stopping;
use crate::config::limits::{events, sockets as limits};
use crate::db::Db;

/// An event as it goes out.
#[derive(Debug)]
pub struct Shown {
    /// The event; its data is only in the text.
    pub event: Event,
    /// `{"op":"event","cursor":...}` with the envelope's fields.
    pub text: Bytes,
}

/// What lies behind a position.
#[derive(Debug)]
pub enum Taken {
    /// These, in order.
    Events(Vec<Arc<Shown>>),
    /// Nothing yet.
    UpToDate,
    /// More than is in memory: [`Stream::read`].
    Behind,
}

/// What the database has behind a position.
#[derive(Debug)]
pub enum Read {
    /// These, in order; none: nothing yet. The permit counts how many hold such a piece.
    Events(Vec<Arc<Shown>>, OwnedSemaphorePermit),
    /// Events between the position and what is kept are gone; the stream stands here now.
    TooOld(i64),
}

#[derive(Debug, Default)]
struct Ring {
    /// The position before the first one held.
    base: i64,
    held: VecDeque<(Arc<Shown>, Instant)>,
    bytes: usize,
}

impl Ring {
    fn last(&self) -> i64 {
        self.held.back().map_or(self.base, |(shown, _)| shown.event.position)
    }

    fn push(&mut self, shown: Arc<Shown>, now: Instant) {
        if shown.event.position != self.last() + 1 {
            (self.base, self.bytes) = (shown.event.position - 1, 0);
            self.held.clear();
        }
        self.bytes += shown.text.len();
        self.held.push_back((shown, now));
        while self.held.len() > 1
            && (self.held.len() > limits::RING_EVENTS || self.bytes > limits::RING_BYTES)
        {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((first, _)) = self.held.pop_front() {
            self.base = first.event.position;
            self.bytes -= first.text.len();
        }
    }

    fn take(&self, position: i64, most: usize) -> Taken {
        if position >= self.last() {
            return Taken::UpToDate;
        }
        match usize::try_from(position - self.base) {
            Ok(skip) => {
                let some = self.held.iter().skip(skip).take(most);
                Taken::Events(some.map(|(shown, _)| Arc::clone(shown)).collect())
            }
            Err(_) => Taken::Behind,
        }
    }
}

/// What all streams share.
#[derive(Debug)]
struct Source {
    db: Db,
    cursors: Arc<page::Key>,
    reads: Semaphore,
    resumes: Arc<Semaphore>,
}

impl Source {
    fn show(&self, mut event: Event) -> Arc<Shown> {
        let (cursor, envelope) = (self.seal(&event.tenant, event.position), event.envelope());
        // An envelope is an object and never empty.
        let rest = envelope.get(1..).unwrap_or("}");
        let text = Bytes::from(format!("{{\"op\":\"event\",\"cursor\":\"{cursor}\",{rest}"));
        event.data = RawValue::NULL.to_owned();
        Arc::new(Shown { event, text })
    }

    fn seal(&self, tenant: &TenantId, position: i64) -> String {
        api::seal(&self.cursors, tenant, position)
    }
}

/// One tenant's.
#[derive(Debug)]
pub struct Stream {
    tenant: TenantId,
    source: Arc<Source>,
    ring: RwLock<Ring>,
    /// The last position in memory.
    newest: watch::Sender<i64>,
    /// The last position that was told of.
    told: watch::Sender<i64>,
}

impl Stream {
    /// Whose.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The last position that is known of.
    pub fn head(&self) -> i64 {
        (*self.told.borrow()).max(*self.newest.borrow())
    }

    /// Tells the last position in memory, and when it moves.
    pub fn newest(&self) -> watch::Receiver<i64> {
        self.newest.subscribe()
    }

    /// The text of a position.
    pub fn seal(&self, position: i64) -> String {
        self.source.seal(&self.tenant, position)
    }

    /// What is in memory behind a position.
    pub fn take(&self, position: i64, most: usize) -> Taken {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).take(position, most)
    }

    /// What the database has behind a position. Stands in line with others, and waits for a database that is away.
    pub async fn read(&self, position: i64) -> Read {
        loop {
            match self.try_read(position).await {
                Ok(read) => return read,
                Err(error) => {
                    tracing::debug!(%error, tenant.id = %self.tenant, "missed events can't be read yet")
                }
            }
            sleep(limits::RETRY_TIME).await;
        }
    }

    async fn try_read(&self, position: i64) -> sqlx::Result<Read> {
        let closed = |_| sqlx::Error::PoolClosed;
        // First a place for what is read, then one for the reading: a client that takes its time holds only the former.
        let place = Arc::clone(&self.source.resumes).acquire_owned().await.map_err(closed)?;
        let _turn = self.source.reads.acquire().await.map_err(closed)?;
        // Twice: where the first look finds nothing, something may have come since.
        for _ in 0..2 {
            let some = outbox::after(&self.source.db, &self.tenant, position, events::READ).await?;
            match some.first() {
                Some(event) if event.position == position + 1 => {
                    let shown = some.into_iter().map(|event| self.source.show(event)).collect();
                    return Ok(Read::Events(shown, place));
                }
                Some(_) => break,
                None if outbox::bounds(&self.source.db, &self.tenant).await?.1 == position => {
                    return Ok(Read::Events(Vec::new(), place));
                }
                None => {}
            }
        }
        // Before what is kept; or of the future: the database was put back, and the past has changed.
        Ok(Read::TooOld(outbox::bounds(&self.source.db, &self.tenant).await?.1))
    }

    fn tell(&self, position: i64) {
        self.told.send_if_modified(|told| {
            let is_new = position > *told;
            *told = position.max(*told);
            is_new
        });
    }

    fn push(&self, some: Vec<Event>) {
        let shown: Vec<Arc<Shown>> = some.into_iter().map(|event| self.source.show(event)).collect();
        let now = Instant::now();
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        shown.into_iter().for_each(|one| ring.push(one, now));
        let last = ring.last();
        drop(ring);
        self.newest.send_replace(last);
    }

    fn sweep(&self, now: Instant) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        while ring.held.front().is_some_and(|(_, since)| now.duration_since(*since) > limits::RING_TIME) {
            ring.drop_first();
        }
        if ring.held.is_empty() {
            ring.held.shrink_to_fit();
        }
    }
}

/// Reads what a stream is told of, until nobody listens any more.
async fn fill(stream: Weak<Stream>, source: Arc<Source>, tenant: TenantId, mut told: watch::Receiver<i64>) {
    loop {
        let head = *told.borrow_and_update();
        let Some(last) = stream.upgrade().map(|stream| *stream.newest.borrow()) else { return };
        if head > last {
            match outbox::after(&source.db, &tenant, last, events::READ).await {
                Ok(some) if !some.is_empty() => {
                    let Some(stream) = stream.upgrade() else { return };
                    stream.push(some);
                    continue;
                }
                // Told and not there: this node of a cluster is a little late.
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, tenant.id = %tenant, "new events can't be read yet"),
            }
            sleep(limits::RETRY_TIME).await;
            continue;
        }
        if told.changed().await.is_err() {
            return;
        }
    }
}

/// The streams of all tenants that somebody listens to.
#[derive(Debug)]
pub struct Streams {
    source: Arc<Source>,
    news: News,
    open: Mutex<HashMap<TenantId, Weak<Stream>>>,
}

impl Streams {
    /// None yet.
    pub fn new(db: Db, cursors: Arc<page::Key>, news: News) -> Self {
        let (reads, resumes) = (Semaphore::new(limits::READS), Arc::new(Semaphore::new(limits::RESUMES)));
        Self { source: Arc::new(Source { db, cursors, reads, resumes }), news, open: Mutex::default() }
    }

    fn known(&self, tenant: &TenantId) -> Option<Arc<Stream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(tenant)?.upgrade()
    }

    /// A tenant's stream; it lives as long as somebody holds it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn open(&self, tenant: &TenantId) -> sqlx::Result<Arc<Stream>> {
        if let Some(known) = self.known(tenant) {
            return Ok(known);
        }
        let (first, last) = outbox::bounds(&self.source.db, tenant).await?;
        let base = (last - limits::RING_FIRST).max(first - 1);
        let some = outbox::after(&self.source.db, tenant, base, events::READ).await?;
        let stream = Arc::new(Stream {
            tenant: tenant.clone(),
            source: Arc::clone(&self.source),
            ring: RwLock::new(Ring { base, ..Ring::default() }),
            newest: watch::Sender::new(base),
            told: watch::Sender::new(last),
        });
        stream.push(some);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else was faster: theirs it is.
        if let Some(known) = open.get(tenant).and_then(Weak::upgrade) {
            return Ok(known);
        }
        open.insert(tenant.clone(), Arc::downgrade(&stream));
        drop(open);
        // What was told between the look at the database and now.
        stream.tell(self.news.position(tenant));
        let (weak, told) = (Arc::downgrade(&stream), stream.told.subscribe());
        tokio::spawn(fill(weak, Arc::clone(&self.source), tenant.clone(), told));
        Ok(stream)
    }

    /// Hands on what is told, until `stopping`.
    pub async fn run(&self, mut stopping: Stopping) {
        let mut heard = self.news.listen();
        let mut sweep = tokio::time::interval(limits::RING_SWEEP);
        loop {
            tokio::select! {
                newer = heard.recv() => match newer {
                    Ok(newer) => self.tell(&newer.tenant, newer.position),
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        self.news.known().iter().for_each(|newer| self.tell(&newer.tenant, newer.position));
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                _ = sweep.tick() => self.sweep(),
                () = stopping.stopped() => return,
            }
        }
    }

    fn tell(&self, tenant: &TenantId, position: i64) {
        if let Some(stream) = self.known(tenant) {
            stream.tell(position);
        }
    }

    fn sweep(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        open.retain(|_, stream| {
            stream.upgrade().is_some_and(|stream| {
                stream.sweep(now);
                true
            })
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(position: i64, bytes: usize) -> Arc<Shown> {
        let event = Event {
            tenant: TenantId::parse("acme").unwrap(),
            position,
            id: String::new(),
            kind: "tag.created".into(),
            key: String::new(),
            sequence: 1,
            at_us: 0,
            owners: None,
            data: RawValue::NULL.to_owned(),
        };
        Arc::new(Shown { event, text: Bytes::from(vec![b'x'; bytes]) })
    }

    fn taken(ring: &Ring, position: i64, most: usize) -> String {
        match ring.take(position, most) {
            Taken::Events(some) => {
                some.iter().map(|one| one.event.position.to_string()).collect::<Vec<_>>().join(" ")
            }
            Taken::UpToDate => "up to date".into(),
            Taken::Behind => "behind".into(),
        }
    }

    #[tokio::test]
    async fn a_ring_has_the_newest_without_gaps() {
        let (mut ring, now) = (Ring { base: 4, ..Ring::default() }, Instant::now());
        assert_eq!((taken(&ring, 4, 9), taken(&ring, 3, 9)), ("up to date".into(), "behind".into()));
        (5..=8).for_each(|n| ring.push(shown(n, 10), now));
        for (position, what) in
            [(3, "behind"), (4, "5 6"), (6, "7 8"), (7, "8"), (8, "up to date"), (99, "up to date")]
        {
            assert_eq!(taken(&ring, position, 2), what, "{position}");
        }
        // What is before a gap is worth nothing.
        ring.push(shown(20, 10), now);
        assert_eq!((taken(&ring, 8, 9), taken(&ring, 19, 9), ring.bytes), ("behind".into(), "20".into(), 10));
        // By number, and by size: the last one stays however large.
        (21..=20 + limits::RING_EVENTS as i64).for_each(|n| ring.push(shown(n, 1), now));
        assert_eq!((taken(&ring, 19, 1), taken(&ring, 20, 1)), ("behind".into(), "21".into()));
        ring.push(shown(ring.last() + 1, limits::RING_BYTES + 1), now);
        assert_eq!((ring.held.len(), ring.bytes), (1, limits::RING_BYTES + 1));
    }
}
