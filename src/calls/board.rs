//! Live calls of every Asterisk, kept by what they tell: the table, who waits for it to change, and what becomes of each
//! change. What happened goes into the journal and from there into the stream of events; nothing here waits for a database.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use super::table::{Change, Table};
use crate::ari::{Asterisk, Event, News, Watch};
use crate::base::clock::Clock;
use crate::base::ids::TenantId;
use crate::base::metrics::Metrics;
use crate::config::limits::live as limits;

/// What a connection brought.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A change of the table.
    Change(Change),
    /// A channel came to us from the dialplan; what its `Stasis()` says.
    Came {
        /// Its id.
        channel: String,
        /// Such as `live`, or `join`, a call and a role.
        args: Vec<String>,
    },
    /// Nothing was heard of an Asterisk for a while: what happened meanwhile is known only by what is there now.
    Gap {
        /// The Asterisk.
        asterisk: String,
        /// Since when, microseconds since 1970 UTC.
        from_us: i64,
        /// Until when, microseconds since 1970 UTC.
        to_us: i64,
        /// Whose calls it may concern.
        tenants: BTreeSet<TenantId>,
    },
    /// An Asterisk was looked at as a whole: channels that are ours and that nobody knows go back to the dialplan.
    Whole(String),
}

/// The live calls.
#[derive(Debug)]
pub struct Board {
    table: Mutex<Table>,
    /// Counts changes, for whoever waits for one.
    changed: watch::Sender<u64>,
    items: mpsc::Sender<Item>,
    /// When each Asterisk was connected, microseconds since 1970 UTC; those that are not connected are not in it.
    connected: Mutex<HashMap<String, i64>>,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// Until when the process before this one is known to have heard, microseconds since 1970 UTC; `None`: there was none.
    before_us: Option<i64>,
}

impl Board {
    /// Without calls; what is to be done about changes comes out of the receiver.
    pub fn new(
        clock: Clock,
        metrics: Arc<Metrics>,
        before_us: Option<i64>,
    ) -> (Arc<Self>, mpsc::Receiver<Item>) {
        let (items, receiver) = mpsc::channel(limits::ITEMS);
        let board = Self {
            table: Mutex::default(),
            changed: watch::Sender::new(0),
            items,
            connected: Mutex::default(),
            clock,
            metrics,
            before_us,
        };
        (Arc::new(board), receiver)
    }

    /// The calls as they are now. Hold it for a moment only.
    pub fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which Asterisks are connected, and since when (microseconds since 1970 UTC).
    pub fn connected(&self) -> HashMap<String, i64> {
        self.connections().clone()
    }

    /// Waits until the table shows something; `None`: not within [`limits::WAIT_TIME`].
    pub async fn until<T>(&self, see: impl Fn(&Table) -> Option<T>) -> Option<T> {
        let mut changed = self.changed.subscribe();
        let wait = async {
            loop {
                changed.borrow_and_update();
                if let Some(seen) = see(&self.table()) {
                    return Some(seen);
                }
                changed.changed().await.ok()?;
            }
        };
        tokio::time::timeout(limits::WAIT_TIME, wait).await.ok().flatten()
    }

    /// Says that the table has changed otherwise than by news.
    pub fn touch(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    fn pass_on(&self, item: Item) {
        if self.items.try_send(item).is_err() {
            // The table is right all the same; an event of it is missing, and an end is found by the look for lost calls.
            tracing::error!("more happens to calls than can be written down; an event of a call is lost");
        }
    }

    fn whole(&self, from: &Asterisk, snapshot: &crate::ari::Snapshot, gap: Option<(i64, i64)>) {
        let (changes, tenants) = {
            let mut table = self.table();
            let mut tenants: BTreeSet<TenantId> = table.legs().filter_map(|leg| leg.tenant.clone()).collect();
            let changes = table.whole(from.name(), snapshot);
            tenants.extend(table.legs().filter_map(|leg| leg.tenant.clone()));
            (changes, tenants)
        };
        self.connections().insert(from.name().to_owned(), self.clock.now_us());
        self.touch();
        // The first look of this process: nobody heard since the one before it.
        let gap = gap.or_else(|| Some((self.before_us?, self.clock.now_us())));
        if let Some((from_us, to_us)) = gap {
            self.pass_on(Item::Gap { asterisk: from.name().to_owned(), from_us, to_us, tenants });
        }
        changes.into_iter().for_each(|change| self.pass_on(Item::Change(change)));
        self.pass_on(Item::Whole(from.name().to_owned()));
    }
}

impl Watch for Board {
    fn hear(&self, from: &Arc<Asterisk>, news: News) {
        match news {
            News::Connected { snapshot, gap } => {
                let gap_ms = gap.map(|(from_us, to_us)| (to_us - from_us) / 1_000);
                let channels = snapshot.channels.len();
                tracing::info!(ari.asterisk = from.name(), channels, gap_ms, "an Asterisk's calls are known");
                self.whole(from, &snapshot, gap);
            }
            News::Lost => {
                tracing::warn!(ari.asterisk = from.name(), "an Asterisk is no longer heard of");
                self.connections().remove(from.name());
                self.table().lost(from.name());
                self.touch();
            }
            News::Told(told) => {
                let changes = {
                    let mut table = self.table();
                    let changes = table.take(from.name(), &told);
                    self.metrics.live.legs.set(i64::try_from(table.len()).unwrap_or(i64::MAX));
                    changes
                };
                if told.at_us > 0 {
                    // Below 2^53: exact.
                    let lag_us = (self.clock.now_us() - told.at_us).max(0);
                    self.metrics
                        .live
                        .lag_seconds
                        .observe(std::time::Duration::from_micros(lag_us.unsigned_abs()).as_secs_f64());
                }
                changes.into_iter().for_each(|change| self.pass_on(Item::Change(change)));
                if let Event::StasisStart { args, channel, .. } = told.event {
                    self.pass_on(Item::Came { channel: channel.id, args });
                }
                self.touch();
            }
        }
    }
}
