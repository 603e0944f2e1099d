//! The connection to each Asterisk's REST interface (ARI): its events, and requests to it. An engine: it knows calls as
//! Asterisk's channels and bridges, and nothing of tenants.
//!
//! Where the settings give a URL the service dials it, without one Asterisk connects to `/asterisk/ari`. Requests and answers
//! go over the same socket as the events, so either way is enough: some 0.3 ms each (`pipe` says at what cost).
//!
//! # What a reader relies on
//!
//! * [`News::Connected`] comes first, with how things stand, and again whenever events may be missing: after a lost connection,
//!   and when the reader was so slow that what waited for it was thrown away. Its gap says from when to when.
//! * [`News::Told`] comes in Asterisk's order. An event with `told.at_us < snapshot.at_us` is older than the snapshot, which has
//!   all that came of it: it tells what happened (why a call ended in the gap), and must not undo what the snapshot says. One
//!   that is not older may be in the snapshot or not; events carry whole channels and bridges, so taking each as it comes ends
//!   where Asterisk stands, if the end of a channel that is not known is passed over.
//! * A lasting connection that Asterisk opens brings what waited in Asterisk while it was down, however long that was: a
//!   `StasisStart` by its own time, half a minute late, of a caller who may still be there. The snapshot says.
//! * A call with a connection of its own is told with `application` `<app>:<channel name>`. Where the application has a lasting
//!   connection too, only its `StasisStart` and `StasisEnd` come that way; the order between the two connections is not kept.
//!   Such a connection may break and come again in the middle of a call: what is known of a call goes by its channel's id. It
//!   does not tell of the channel's end, only that it left the application; [`News::CallLeft`] says when it is gone for good.
//! * Asterisk never waits for the reader: sockets are read by tasks of their own.

mod accept;
mod conn;
mod dial;
pub mod event;
mod inbox;
mod pipe;
pub mod rest;
mod tell;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use event::{Bridge, Channel, Event, Told};
pub use rest::{Answer, AskError, Request};
pub use tell::WANTED;

use self::conn::{Conn, End};
use self::inbox::{Heard, Inbox};
use crate::base::clock::Clock;
use crate::base::shutdown::{self, Stopper, Stopping};
use crate::config;
use crate::config::limits::ari as limits;

/// What is wrong with the settings, one sentence each.
pub fn check(settings: &BTreeMap<String, config::Ari>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut waiting = BTreeMap::new();
    for (name, one) in settings {
        if one.app.contains([':', ',']) || one.app.contains(char::is_whitespace) {
            problems.push(format!("ari.{name}.app: {:?} has a colon, a comma or a blank", one.app));
        }
        if one.username.contains(':') {
            problems.push(format!("ari.{name}.username: a colon ends it"));
        }
        match &one.url {
            Some(url) => {
                let wrong = dial::events_url(url, &one.app).err();
                problems.extend(wrong.map(|why| format!("ari.{name}.url: {url:?}: {why}")));
            }
            None => {
                let other = waiting.insert((one.username.clone(), one.app.clone()), name);
                problems.extend(other.map(|other| {
                    format!("ari.{name}: username and app are those of ari.{other}; who connects can't be told apart")
                }));
            }
        }
    }
    problems
}

/// One configured Asterisk.
#[derive(Debug)]
pub struct Asterisk {
    name: String,
    settings: config::Ari,
    clock: Clock,
    inbox: Inbox,
    ids: AtomicU64,
}

impl Asterisk {
    /// The name of its group in the settings.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The application's name.
    pub fn app(&self) -> &str {
        &self.settings.app
    }

    /// Whether it can be asked now.
    pub fn is_connected(&self) -> bool {
        self.inbox.conn().is_some()
    }

    /// Asks over the socket, within [`limits::ANSWER_TIME`]; may be called from anywhere, at most
    /// [`limits::REQUESTS`] are under way at a time.
    ///
    /// # Errors
    /// When there is no connection or no answer; a refusal is an answer.
    pub async fn ask(&self, request: Request) -> Result<Answer, AskError> {
        let conn = self.inbox.conn().ok_or(AskError::NotConnected)?;
        conn.ask(&request, limits::ANSWER_TIME).await.map(|(answer, _)| answer)
    }

    /// Takes in what came over a connection.
    fn put(&self, conn: &Conn, mut told: Told) {
        // What Asterisk was asked not to send comes until it has heard that; what nobody knows yet is kept.
        let is_known = event::KINDS.contains(&told.event.kind());
        if is_known && !WANTED.contains(&told.event.kind()) {
            return;
        }
        told.at_us = self.or_now(told.at_us);
        self.inbox.put(Heard { conn: conn.id, received_us: conn.heard_us(), told });
    }

    /// The connection that served the application has ended.
    fn left(&self, conn: &Conn, end: &End) {
        self.inbox.leave(conn);
        match end {
            End::Ours => tracing::debug!(ari.asterisk = self.name(), "the connection to Asterisk was closed"),
            End::Replaced => tracing::error!(
                ari.asterisk = self.name(),
                ari.application = self.app(),
                "another program has taken this ARI application: nothing is heard of this Asterisk, and it is tried again \
                 after minutes; give each service an ari.NAME.app of its own"
            ),
            End::Theirs(_) | End::Silent => {
                tracing::warn!(ari.asterisk = self.name(), reason = %end, "the connection to Asterisk is lost");
            }
        }
    }

    /// Asterisk's time, or ours where it says none.
    fn or_now(&self, at_us: i64) -> i64 {
        if at_us == 0 { self.clock.now_us() } else { at_us }
    }

    fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }
}

/// How things stand on an Asterisk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Every channel.
    pub channels: Vec<Channel>,
    /// Every bridge.
    pub bridges: Vec<Bridge>,
    /// Ids of the channels that are in our application.
    pub channel_ids: HashSet<String>,
    /// By Asterisk's clock, microseconds since 1970 UTC: all that happened before is in it.
    pub at_us: i64,
}

/// What a [`Watch`] hears.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are events")]
pub enum News {
    /// It is connected, or some events were lost: from here on things stand like this.
    Connected {
        /// How things stand.
        snapshot: Snapshot,
        /// From when to when events may be missing, by our clock, microseconds since 1970 UTC; `None` at first.
        gap: Option<(i64, i64)>,
    },
    /// An event.
    Told(Told),
    /// The connection is lost.
    Lost,
    /// The connection for a single call is lost, and did not come again: the application that [`Told`] names.
    CallLeft(String),
}

/// Who hears of all of it.
pub trait Watch: Send + Sync {
    /// Called in order, from one task for each Asterisk. Must be fast and must not wait.
    fn hear(&self, from: &Arc<Asterisk>, news: News);
}

/// All of them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Links {
    all: Arc<BTreeMap<String, Arc<Asterisk>>>,
    clock: Clock,
    /// When somebody was refused who connected, as it was logged last.
    refused_us: Arc<AtomicI64>,
    /// For connections that Asterisks open.
    places: Arc<Semaphore>,
    /// Says "stop" to those.
    end: Arc<(Stopper, Stopping)>,
}

impl Links {
    /// As the settings say; nothing is connected yet.
    pub fn new(settings: &BTreeMap<String, config::Ari>, clock: Clock) -> Self {
        let one = |(name, settings): (&String, &config::Ari)| {
            let one = Asterisk {
                name: name.clone(),
                settings: settings.clone(),
                clock: clock.clone(),
                inbox: Inbox::default(),
                ids: AtomicU64::new(1),
            };
            (name.clone(), Arc::new(one))
        };
        Self {
            all: Arc::new(settings.iter().map(one).collect()),
            clock,
            refused_us: Arc::new(AtomicI64::new(i64::MIN / 2)),
            places: Arc::new(Semaphore::new(limits::SOCKETS)),
            end: Arc::new(shutdown::channel()),
        }
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Asterisk>> {
        self.all.get(name)
    }

    /// All, by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Asterisk>> {
        self.all.values()
    }

    /// Connects, and stays connected until `stopping`.
    pub fn start(&self, watch: &Arc<dyn Watch>, stopping: &Stopping) -> Vec<JoinHandle<()>> {
        let mut tasks = Vec::new();
        for asterisk in self.all() {
            let tell = tell::run(Arc::clone(asterisk), Arc::clone(watch), stopping.clone());
            tasks.push(tokio::spawn(tell));
            if let Some(url) = asterisk.settings.url.clone() {
                tasks.push(tokio::spawn(dial::run(Arc::clone(asterisk), url, stopping.clone())));
            }
        }
        tasks.push(tokio::spawn(self.clone().close(stopping.clone())));
        tasks
    }

    /// Closes what Asterisks have opened.
    async fn close(self, mut stopping: Stopping) {
        stopping.stopped().await;
        self.end.0.stop();
        let all = self.places.acquire_many(u32::try_from(limits::SOCKETS).unwrap_or(u32::MAX));
        if timeout(2 * limits::CLOSE_TIME, all).await.is_err() {
            tracing::info!("connections of Asterisks were cut off");
        }
    }

    /// `/asterisk/ari`, where Asterisks connect.
    pub fn routes(&self) -> axum::Router {
        accept::routes(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;

    fn group(url: Option<&str>, username: &str, app: &str) -> config::Ari {
        let (url, password) = (url.map(str::to_owned), Secret::new("x"));
        config::Ari { url, username: username.into(), password, app: app.into() }
    }

    #[test]
    fn settings_that_can_not_work_are_refused_with_their_names() {
        let good = [
            ("a".to_owned(), group(Some("http://pbx:8088"), "hs", "hs")),
            ("b".to_owned(), group(None, "hs", "hs")),
            ("c".to_owned(), group(None, "hs", "hs-2")),
        ];
        assert_eq!(check(&good.into()), Vec::<String>::new());
        let bad = [
            ("a".to_owned(), group(Some("http://pbx?x"), "hs", "hs")),
            ("b".to_owned(), group(None, "h:s", "a:b")),
            ("c".to_owned(), group(None, "hs", "hs")),
            ("d".to_owned(), group(None, "hs", "hs")),
        ];
        let problems = check(&bad.into());
        let about: Vec<&str> = problems.iter().map(|problem| problem.split(':').next().unwrap()).collect();
        assert_eq!(about, ["ari.a.url", "ari.b.app", "ari.b.username", "ari.d"], "{problems:?}");
    }
}
