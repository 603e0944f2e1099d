//! Live calls: the connections to Asterisks, what they tell, and what follows from it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::App;
use crate::agents::{self, PhoneNews, PhoneState};
use crate::ari::{Links, Watch};
use crate::base::clock::Clock;
use crate::base::ids::split_global_name;
use crate::base::shutdown::Stopping;
use crate::calls::board::{Board, Item};
use crate::calls::control::{Control, Follow};
use crate::calls::table::Change;
use crate::config::limits::live as limits;
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

/// What phones do, on its way to the states of the agents who sit at them.
struct Phones(mpsc::Sender<PhoneNews>);

impl Follow for Phones {
    fn phone(&self, change: &Change) {
        let (state, fact) = match change {
            Change::Ringing(fact) => (PhoneState::Ringing, fact),
            Change::Talks(fact) => (PhoneState::Talking, fact),
            Change::Idle(fact) => (PhoneState::Idle, fact),
            _ => return,
        };
        let Some((tenant, endpoint)) = fact.endpoint.clone() else { return };
        let news = PhoneNews {
            endpoint,
            state,
            call_id: fact.call.clone(),
            caller_number: fact.other.0.clone(),
            caller_name: fact.other.1.clone(),
            queue: split_global_name(&fact.queue).ok().filter(|(of, _)| *of == tenant).map(|(_, name)| name),
            at_us: fact.at_us,
            tenant,
        };
        if self.0.try_send(news).is_err() {
            tracing::error!("phones change faster than agents' states can be written; a change is lost");
        }
    }
}

/// Writes agents' states. While the database is away it tries again: the order stays.
async fn agents(parts: agents::Parts, mut news: mpsc::Receiver<PhoneNews>, mut stopping: Stopping) {
    loop {
        let one = tokio::select! {
            one = news.recv() => one,
            () = stopping.stopped() => return,
        };
        let Some(one) = one else { return };
        while let Err(error) = agents::phone_changed(&parts, &one).await {
            if !db::is_unavailable(&error) {
                tracing::error!(%error, tenant.id = %one.tenant, "an agent's state can't be written");
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(limits::GRACE) => {}
                () = stopping.stopped() => return,
            }
        }
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
        let (news, receiver) = mpsc::channel(limits::ITEMS);
        let follow = Arc::clone(&self.control).follow(items, Arc::new(Phones(news)), keep.clone());
        let watch: Arc<dyn Watch> = Arc::<Board>::clone(&self.board);
        let mut tasks = self.links.start(&watch, keep);
        tasks.extend([tokio::spawn(follow), tokio::spawn(agents(parts, receiver, keep.clone()))]);
        tasks
    }
}
