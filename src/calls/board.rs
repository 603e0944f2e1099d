//! Live calls of every Asterisk, kept by what they tell: the table, who waits for it to change, and what becomes of each
//! change. What happened goes into the journal and from there into the stream of events; nothing here waits for a database.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::watch;

use super::table::{Change, Table};
use crate::ari::{Asterisk, Event, News, Snapshot, Told, Watch};
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
    Whole {
        /// The Asterisk.
        asterisk: String,
        /// When, by its clock, microseconds since 1970 UTC.
        at_us: i64,
    },
}

/// The connection to an Asterisk. One that was never there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// It is there, since then; microseconds since 1970 UTC.
    There(i64),
    /// It is lost, since then.
    Lost(i64),
    /// It was away for so long that its calls are taken for ended.
    GivenUp,
}

/// The live calls.
#[derive(Debug)]
pub struct Board {
    table: Mutex<Table>,
    /// Counts changes, for whoever waits for one.
    changed: watch::Sender<u64>,
    items: mpsc::Sender<Item>,
    links: Mutex<HashMap<String, Link>>,
    started_us: i64,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// Until when the process before this one is known to have heard, microseconds since 1970 UTC; `None`: there was none.
    before_us: Option<i64>,
    /// Whose calls were alive then, as far as the books say.
    before: OnceLock<BTreeSet<TenantId>>,
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
            links: Mutex::default(),
            started_us: clock.now_us(),
            clock,
            metrics,
            before_us,
            before: OnceLock::new(),
        };
        (Arc::new(board), receiver)
    }

    /// The calls as they are now. Hold it for a moment only.
    pub fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> MutexGuard<'_, HashMap<String, Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which Asterisks are connected, and since when (microseconds since 1970 UTC).
    pub fn connected(&self) -> HashMap<String, i64> {
        let since = |(name, link): (&String, &Link)| match link {
            Link::There(since_us) => Some((name.clone(), *since_us)),
            Link::Lost(_) | Link::GivenUp => None,
        };
        self.links().iter().filter_map(since).collect()
    }

    /// Whether it is known what is on an Asterisk, or was when it was heard of last.
    pub fn knows(&self, asterisk: &str) -> bool {
        self.links().contains_key(asterisk)
    }

    /// Whose calls are alive, as far as the books say, when this process begins. Once.
    pub fn found(&self, tenants: BTreeSet<TenantId>) {
        let _ = self.before.set(tenants);
    }

    /// Takes calls for ended that were on Asterisks which have not been heard of since `before_us` (microseconds since 1970 UTC).
    pub fn give_up<'a>(&self, asterisks: impl Iterator<Item = &'a str>, before_us: i64) {
        for asterisk in asterisks {
            let is_away = {
                let mut links = self.links();
                let lost_us = match links.get(asterisk) {
                    Some(Link::Lost(lost_us)) => *lost_us,
                    None => self.started_us,
                    Some(Link::There(_) | Link::GivenUp) => continue,
                };
                lost_us < before_us && links.insert(asterisk.to_owned(), Link::GivenUp) != Some(Link::GivenUp)
            };
            if is_away {
                tracing::error!(
                    ari.asterisk = asterisk,
                    "nothing was heard of an Asterisk for long; its calls are taken for ended"
                );
                let at_us = self.clock.now_us();
                let changes = self.table().gone(asterisk, at_us);
                self.tell(changes);
                self.pass_on(Item::Whole { asterisk: asterisk.to_owned(), at_us });
            }
        }
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
        match self.items.try_send(item) {
            Ok(()) => {}
            // The process ends: the next one finds what there is.
            Err(TrySendError::Closed(_)) => {}
            // The table is right all the same; an event of it is missing, and an end is found by the look for lost calls.
            Err(TrySendError::Full(_)) => {
                tracing::error!("more happens to calls than can be written down; an event of a call is lost");
            }
        }
    }

    /// The table has changed.
    fn tell(&self, changes: Vec<Change>) {
        self.metrics.live.legs.set(i64::try_from(self.table().len()).unwrap_or(i64::MAX));
        changes.into_iter().for_each(|change| self.pass_on(Item::Change(change)));
        self.touch();
    }

    fn whole(&self, from: &Asterisk, snapshot: &Snapshot, gap: Option<(i64, i64)>) {
        let asterisk = from.name();
        let (changes, mut tenants) = {
            let mut table = self.table();
            let mut tenants = tenants(&table, asterisk);
            let changes = table.whole(asterisk, snapshot);
            tenants.extend(self::tenants(&table, asterisk));
            (changes, tenants)
        };
        let now_us = self.clock.now_us();
        let link = self.links().insert(asterisk.to_owned(), Link::There(now_us));
        let is_first = matches!(link, None | Some(Link::GivenUp));
        let gap = match (gap, self.before_us) {
            // The first look of this process: nobody heard since the one before it, and what ended meanwhile is in no table.
            (None, Some(before_us)) if is_first => {
                tenants.extend(self.before.get().into_iter().flatten().cloned());
                Some((before_us, now_us))
            }
            (gap, _) => gap,
        };
        let asterisk = asterisk.to_owned();
        if let Some((from_us, to_us)) = gap {
            self.pass_on(Item::Gap { asterisk: asterisk.clone(), from_us, to_us, tenants });
        }
        self.tell(changes);
        self.pass_on(Item::Whole { asterisk, at_us: snapshot.at_us });
    }

    fn told(&self, from: &Asterisk, told: Told) {
        let changes = self.table().take(from.name(), &told);
        if told.at_us > 0 {
            // Below 2^53: exact.
            let lag_us = (self.clock.now_us() - told.at_us).max(0);
            let lag = std::time::Duration::from_micros(lag_us.unsigned_abs());
            self.metrics.live.lag_seconds.observe(lag.as_secs_f64());
        }
        self.tell(changes);
        if let Event::StasisStart { args, channel, .. } = told.event {
            self.pass_on(Item::Came { channel: channel.id, args });
        }
    }
}

/// Who has calls on an Asterisk.
fn tenants(table: &Table, asterisk: &str) -> BTreeSet<TenantId> {
    let legs = table.legs().filter(|leg| leg.seen_by.iter().any(|name| name == asterisk));
    legs.filter_map(|leg| leg.tenant.clone()).collect()
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
                self.links().insert(from.name().to_owned(), Link::Lost(self.clock.now_us()));
                self.table().lost(from.name());
                self.touch();
            }
            News::CallLeft(application) => {
                let changes = self.table().left(&application, self.clock.now_us());
                self.tell(changes);
            }
            News::Told(told) => self.told(from, told),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ari::{Channel, Links};
    use crate::base::clock::from_us;
    use crate::base::secret::Secret;
    use crate::config;

    const START_US: i64 = 1_700_000_000_000_000;

    /// A board of one process with two Asterisks; nobody heard since a minute before its start.
    fn board() -> (Clock, Links, Arc<Board>, mpsc::Receiver<Item>) {
        let clock = Clock::manual(from_us(START_US));
        let group = || config::Ari {
            url: Some("http://pbx".into()),
            username: "hs".into(),
            password: Secret::new("x"),
            app: "hs".into(),
        };
        let links = Links::new(&[("one".into(), group()), ("two".into(), group())].into(), clock.clone());
        let (board, items) = Board::new(clock.clone(), Arc::default(), Some(START_US - 60_000_000));
        (clock, links, board, items)
    }

    fn tenants(names: &[&str]) -> BTreeSet<TenantId> {
        names.iter().map(|name| TenantId::parse(name).unwrap()).collect()
    }

    /// An Asterisk on which one tenant has a call, or none.
    fn connected(tenant: Option<&str>, gap: Option<(i64, i64)>) -> News {
        let channel = |tenant: &str| Channel {
            id: tenant.to_owned(),
            state: "Up".into(),
            channelvars: [
                ("HS_TENANT".to_owned(), tenant.to_owned()),
                ("HS_CALL_ID".to_owned(), "01arz3ndektsv4rrffq69g5fav".to_owned()),
            ]
            .into(),
            ..Channel::default()
        };
        let channels = tenant.into_iter().map(channel).collect();
        News::Connected { snapshot: Snapshot { channels, at_us: START_US, ..Snapshot::default() }, gap }
    }

    fn gaps(items: &mut mpsc::Receiver<Item>) -> Vec<(String, BTreeSet<TenantId>)> {
        std::iter::from_fn(|| items.try_recv().ok())
            .filter_map(|item| match item {
                Item::Gap { asterisk, tenants, .. } => Some((asterisk, tenants)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_gap_is_told_to_those_whose_calls_it_concerns() {
        let (_, links, board, mut items) = board();
        board.found(tenants(&["globex"]));
        let (one, two) = (links.get("one").unwrap(), links.get("two").unwrap());
        // What ended while nobody was there is in no table.
        board.hear(one, connected(Some("acme"), None));
        board.hear(two, connected(None, None));
        let told = gaps(&mut items);
        assert_eq!(
            told,
            [("one".into(), tenants(&["acme", "globex"])), ("two".into(), tenants(&["globex"]))]
        );
        // Later it is the Asterisk's own calls.
        board.hear(two, connected(None, Some((1, 2))));
        board.hear(one, connected(None, Some((1, 2))));
        assert_eq!(gaps(&mut items), [("two".into(), tenants(&[])), ("one".into(), tenants(&["acme"]))]);
    }

    #[test]
    fn an_asterisk_that_stays_away_is_given_up() {
        const HOUR_US: i64 = 3_600_000_000;
        let (clock, links, board, mut items) = board();
        let names = || links.all().map(|asterisk| asterisk.name());
        let one = links.get("one").unwrap();
        board.hear(one, connected(Some("acme"), None));
        board.hear(one, News::Lost);
        assert!(board.knows("one") && !board.knows("two"));
        clock.set(from_us(START_US + HOUR_US));
        board.give_up(names(), START_US);
        assert_eq!((board.table().len(), board.knows("two")), (1, false));
        while items.try_recv().is_ok() {}
        board.give_up(names(), START_US + 1);
        assert!(board.table().is_empty() && board.knows("two"));
        let over = std::iter::from_fn(|| items.try_recv().ok());
        assert_eq!(over.filter(|item| matches!(item, Item::Change(Change::Over(_)))).count(), 1);
        board.give_up(names(), START_US + 1);
        assert!(items.try_recv().is_err(), "once");
        board.hear(one, connected(Some("acme"), None));
        assert_eq!((board.table().len(), board.connected().len()), (1, 1));
    }
}
