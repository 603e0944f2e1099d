//! Live calls: the connections to Asterisks, what they tell, and what follows from it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::App;
use crate::agents::{self, PhoneNews, PhoneState};
use crate::ari::{Links, Watch};
use crate::base::clock::Clock;
use crate::base::ids::{Id, Name, TenantId, split_global_name};
use crate::base::shutdown::Stopping;
use crate::calls;
use crate::calls::board::{Board, Item};
use crate::calls::control::{Control, Follow};
use crate::calls::table::Change;
use crate::config::limits::{live as limits, routing};
use crate::db::{self, Db};
use crate::journal::Journal;
use crate::routing::Router;

/// Built, and not connected yet.
#[derive(Debug)]
pub(super) struct LiveCalls {
    /// Acts on calls.
    pub(super) control: Arc<Control>,
    links: Links,
    board: Arc<Board>,
    items: Mutex<Option<mpsc::Receiver<Item>>>,
}

/// What is told of phones.
enum Word {
    /// One does something else.
    Changed(PhoneNews),
    /// An Asterisk was looked at as a whole, by its clock then; microseconds since 1970 UTC.
    Looked(i64),
}

/// What phones do, on its way to the states of the agents who sit at them.
struct Phones(mpsc::Sender<Word>);

impl Phones {
    fn tell(&self, word: Word) {
        if self.0.try_send(word).is_err() {
            tracing::error!("phones change faster than agents' states can be written; a change comes late");
        }
    }
}

impl Follow for Phones {
    fn phone(&self, change: &Change) {
        let (state, fact) = match change {
            Change::Ringing(fact) => (PhoneState::Ringing, fact),
            Change::Talks(fact) => (PhoneState::Talking, fact),
            Change::Idle(fact) => (PhoneState::Idle, fact),
            _ => return,
        };
        let Some((tenant, endpoint)) = fact.endpoint.clone() else { return };
        self.tell(Word::Changed(PhoneNews {
            endpoint,
            state,
            call_id: fact.call.clone(),
            caller_number: fact.other.0.clone(),
            caller_name: fact.other.1.clone(),
            queue: split_global_name(&fact.queue).ok().filter(|(of, _)| *of == tenant).map(|(_, name)| name),
            at_us: fact.at_us,
            tenant,
        }));
    }

    fn looked(&self, at_us: i64) {
        self.tell(Word::Looked(at_us));
    }
}

/// Writes agents' states.
struct Agents {
    parts: agents::Parts,
    board: Arc<Board>,
    asterisks: Vec<String>,
    node: Id,
    stopping: Stopping,
}

impl Agents {
    /// Until nobody tells any more: at the end of the process what was heard is written.
    async fn follow(mut self, mut words: mpsc::Receiver<Word>) {
        // By Asterisk's clock: what a phone does next is not older.
        let mut last_us = 0;
        let mut looks = tokio::time::interval(limits::PHONES_LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let word = tokio::select! {
                word = words.recv() => match word {
                    Some(word) => word,
                    None => return,
                },
                _ = looks.tick() => Word::Looked(last_us),
            };
            match word {
                Word::Changed(news) => {
                    last_us = news.at_us.max(last_us);
                    self.write(&news).await;
                }
                Word::Looked(at_us) => {
                    last_us = at_us.max(last_us);
                    self.compare(last_us).await;
                }
            }
        }
    }

    /// While the database is away it tries again: the order stays.
    async fn write(&mut self, news: &PhoneNews) {
        while let Err(error) = agents::phone_changed(&self.parts, news).await {
            if !self.is_to_try_again(&error).await {
                return tracing::error!(%error, tenant.id = %news.tenant, "an agent's state can't be written");
            }
        }
    }

    /// Phones that were told to ring or talk, and have no channel: that ended when nobody heard it. Only where each Asterisk is
    /// known: the channel may be on any. What the table shows is later than all that waits to be written; so a phone that has
    /// none now is idle, whatever of it comes yet.
    async fn compare(&mut self, at_us: i64) {
        if self.asterisks.is_empty() || !self.asterisks.iter().all(|name| self.board.knows(name)) {
            return;
        }
        let busy = match self.busy().await {
            Ok(busy) => busy,
            Err(error) => return tracing::warn!(%error, "agents' phones can't be compared with Asterisk's"),
        };
        for phone in busy {
            let (Ok(tenant), Ok(endpoint)) = (TenantId::parse(&phone.tenant_id), Name::parse(&phone.name))
            else {
                continue;
            };
            if self.board.table().has_phone(&tenant, &endpoint) {
                continue;
            }
            let news = PhoneNews {
                tenant,
                endpoint,
                state: PhoneState::Idle,
                call_id: Id::parse(&phone.phone_call_id).ok(),
                caller_number: String::new(),
                caller_name: String::new(),
                queue: None,
                at_us: at_us.max(phone.phone_at),
            };
            self.write(&news).await;
        }
    }

    /// Another process may watch other Asterisks: then only what is over in the books is no talk of its.
    async fn busy(&self) -> sqlx::Result<Vec<agents::BusyPhone>> {
        let time_us = i64::try_from(limits::NODE_TIME.as_micros()).unwrap_or(i64::MAX);
        let since_us = self.parts.clock.now_us() - time_us;
        let is_alone = calls::open::is_alone(&self.parts.db, &self.node, since_us).await?;
        agents::busy_phones(&self.parts.db, is_alone).await
    }

    async fn is_to_try_again(&mut self, error: &sqlx::Error) -> bool {
        if !db::is_unavailable(error) || self.stopping.is_stopping() {
            return false;
        }
        tokio::select! {
            () = tokio::time::sleep(limits::GRACE) => {}
            () = self.stopping.stopped() => {}
        }
        true
    }
}

/// Gives up what was on Asterisks that do not come back.
async fn give_up(
    board: Arc<Board>,
    asterisks: Vec<String>,
    (clock, lost_us): (Clock, i64),
    mut stopping: Stopping,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(routing::REAP_TIME) => {}
            () = stopping.stopped() => return,
        }
        board.give_up(asterisks.iter().map(String::as_str), clock.now_us() - lost_us);
    }
}

impl LiveCalls {
    pub(super) fn new(
        links: &Links,
        router: &Arc<Router>,
        (journal, db): (&Journal, &Db),
        (clock, parked_s, before_us): (&Clock, i64, Option<i64>),
    ) -> Self {
        let (board, items) = Board::new(clock.clone(), Arc::clone(&router.metrics), before_us);
        let control = Control::new(
            Arc::clone(&board),
            links.clone(),
            Arc::clone(router),
            (journal.clone(), db.clone()),
            (clock.clone(), parked_s),
        );
        Self { control, links: links.clone(), board, items: Mutex::new(Some(items)) }
    }

    /// Connects, and follows until `keep` ends. Once.
    pub(super) fn start(&self, app: &App, keep: &Stopping) -> Vec<JoinHandle<()>> {
        let items = self.items.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(items) = items else { return Vec::new() };
        let parts = agents::Parts {
            db: app.db.clone(),
            ids: app.router.ids.clone(),
            clock: app.clock.clone(),
            events: Arc::clone(&app.events),
        };
        self.board.found(app.router.live.tenants());
        let asterisks: Vec<String> = self.links.all().map(|asterisk| asterisk.name().to_owned()).collect();
        let (words, told) = mpsc::channel(limits::ITEMS);
        let agents = Agents {
            parts,
            board: Arc::clone(&self.board),
            asterisks: asterisks.clone(),
            node: app.journal.node().clone(),
            stopping: keep.clone(),
        };
        let follow = Arc::clone(&self.control).follow(items, Arc::new(Phones(words)), keep.clone());
        let lost_us = i64::try_from(app.config.lost_call.as_micros()).unwrap_or(i64::MAX);
        let give_up = give_up(Arc::clone(&self.board), asterisks, (app.clock.clone(), lost_us), keep.clone());
        let watch: Arc<dyn Watch> = Arc::<Board>::clone(&self.board);
        let mut tasks = self.links.start(&watch, keep);
        tasks.extend([tokio::spawn(follow), tokio::spawn(agents.follow(told)), tokio::spawn(give_up)]);
        tasks
    }
}
