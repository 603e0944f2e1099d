//! Shows events to ticketers, and opens the tickets that they draft.
//!
//! Each ticketer has a cursor (`cursor`): how far it was shown its tenant's events. A run stands outside any
//! transaction; what came of it (ticket, run, the cursor's move) is one transaction, which holds the cursor's row and
//! drops the result when the cursor is not where it was (`show`). So a process that dies anywhere shows an event again,
//! and there is never a second ticket: the move and the ticket last together, and the ticket's origin is unique besides.
//!
//! One task knows all ticketers and whose turn it is; turns run beside it, some at a time, and a tenant has a share of
//! them. A lease in the cursor's row keeps the nodes from doing each other's work; what is exact does not rest on it.

pub(super) mod cursor;
mod show;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono_tz::Tz;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::task::{self, JoinSet};

use super::{Plugins, Setup};
use crate::api::Doing;
use crate::base::ids::{Id, TenantId};
use crate::base::shutdown::Stopping;
use crate::config::limits::plugins as limits;
use crate::sandbox::World;
use crate::tickets::Desk;

use cursor::Held;

pub(super) use show::given;

/// A tenant's ticketers, as they are now.
#[derive(Clone, Debug)]
pub struct Known {
    /// Plugins that have an active version.
    pub ticketers: Vec<Arc<Setup>>,
    /// Where its wall clocks hang.
    pub zone: Tz,
}

impl Known {
    /// Of all of a tenant's plugins.
    pub fn of<'s>(plugins: impl IntoIterator<Item = &'s Arc<Setup>>, zone: Tz) -> Self {
        let is_one = |setup: &&Arc<Setup>| setup.kind == World::Ticketer && setup.active.is_some();
        Self { ticketers: plugins.into_iter().filter(is_one).map(Arc::clone).collect(), zone }
    }
}

/// Whoever knows what plugins tenants have.
pub trait Source: Send + Sync {
    /// What is in memory; asked with every event of every tenant.
    fn look(&self, tenant: &TenantId) -> Option<Known>;
    /// Reads what is not; `None`: there is no such tenant, or it can't be read now.
    fn read<'a>(&'a self, tenant: &'a TenantId) -> Doing<'a, Option<Known>>;
}

/// What showing needs.
#[derive(Clone)]
pub struct Parts {
    /// Runs them.
    pub plugins: Arc<Plugins>,
    /// Opens tickets.
    pub desk: Arc<Desk>,
    /// Knows them.
    pub source: Arc<dyn Source>,
    /// This process.
    pub node: Id,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("node", &self.node).finish_non_exhaustive()
    }
}

/// What a turn ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Everything was shown.
    Idle,
    /// There is more.
    More,
    /// There is more at that time.
    At(i64),
    /// It is no ticketer any more.
    Gone,
}

/// What is known of a ticketer here.
#[derive(Debug)]
struct State {
    tenant: TenantId,
    /// The cursor, while it is this process's.
    held: Option<Held>,
    /// Nothing is to be done before.
    due_us: i64,
    /// Whether there may be something to do.
    news: bool,
    lined_up: bool,
    working: bool,
}

impl State {
    fn may_line_up(&self, now_us: i64) -> bool {
        self.news && !self.lined_up && !self.working && self.due_us <= now_us
    }
}

/// A turn that is over.
struct Done {
    plugin: Id,
    held: Option<Held>,
    next: Next,
}

/// Whoever gives the turns.
struct Turns {
    parts: Parts,
    states: HashMap<Id, State>,
    line: VecDeque<Id>,
    working: JoinSet<Done>,
    tasks: HashMap<task::Id, Id>,
    /// Turns of each tenant under way.
    at_work: HashMap<TenantId, usize>,
    /// Whether every turn ends with the event that it is at.
    stopped: Arc<AtomicBool>,
}

/// Shows until `stopping`, and finishes what is under way then if that is quick. The rest is shown again by whoever comes
/// next.
pub async fn run(parts: Parts, mut stopping: Stopping) {
    let mut news = parts.plugins.parts.events.news.listen();
    let (lists, mut listed) = mpsc::channel(1);
    let looking = tokio::spawn(look(parts.clone(), lists, stopping.clone()));
    let mut tick = tokio::time::interval(limits::SHOW_TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut turns = Turns {
        parts: parts.clone(),
        states: HashMap::new(),
        line: VecDeque::new(),
        working: JoinSet::new(),
        tasks: HashMap::new(),
        at_work: HashMap::new(),
        stopped: Arc::default(),
    };
    loop {
        tokio::select! {
            biased;
            () = stopping.stopped() => break,
            Some(done) = turns.working.join_next_with_id(), if !turns.working.is_empty() => turns.done(done),
            Some(list) = listed.recv() => turns.listed(list),
            heard = news.recv() => match heard {
                Ok(newer) => turns.hear(&newer.tenant),
                // Some were missed.
                Err(RecvError::Lagged(_)) => turns.hear_all(),
                Err(RecvError::Closed) => break,
            },
            _ = tick.tick() => turns.line_all_up(),
        }
        turns.start();
    }
    looking.abort();
    turns.stopped.store(true, Ordering::Relaxed);
    let left = async {
        while let Some(done) = turns.working.join_next_with_id().await {
            turns.done(done);
        }
        cursor::release(&parts.plugins.parts.db, &parts.node).await
    };
    match tokio::time::timeout(limits::SHOW_DRAIN, left).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::info!(%error, "ticketers can't be left to other processes; they wait for the leases");
        }
        Err(_) => {
            tracing::info!("ticketers are not left to other processes in time; they wait for the leases");
        }
    }
}

/// Now and then looks at all ticketers: for events that other nodes wrote, and for what was missed.
async fn look(parts: Parts, lists: mpsc::Sender<Vec<(TenantId, Id)>>, mut stopping: Stopping) {
    loop {
        let pause = match cursor::ticketers(&parts.plugins.parts.db).await {
            Ok(list) => {
                if lists.send(list).await.is_err() {
                    return;
                }
                limits::SHOW_LOOK
            }
            Err(error) => {
                tracing::debug!(%error, "ticketers can't be looked for");
                limits::RETRY_TIME
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopping.stopped() => return,
        }
    }
}

impl Turns {
    /// A tenant has news.
    fn hear(&mut self, tenant: &TenantId) {
        match self.parts.source.look(tenant) {
            Some(known) => known.ticketers.iter().for_each(|setup| self.wake(&setup.id, tenant)),
            // It made room for others in memory.
            None => {
                let of_tenant = self.states.iter().filter(|(_, state)| state.tenant == *tenant);
                let all: Vec<Id> = of_tenant.map(|(id, _)| id.clone()).collect();
                all.iter().for_each(|id| self.wake(id, tenant));
            }
        }
    }

    fn hear_all(&mut self) {
        self.states.values_mut().for_each(|state| state.news = true);
        self.line_all_up();
    }

    /// All ticketers there are.
    fn listed(&mut self, list: Vec<(TenantId, Id)>) {
        let ids: HashSet<&Id> = list.iter().map(|(_, id)| id).collect();
        self.states.retain(|id, state| state.working || ids.contains(id));
        for (tenant, id) in &list {
            self.wake(id, tenant);
        }
    }

    fn wake(&mut self, plugin: &Id, tenant: &TenantId) {
        let state = self.states.entry(plugin.clone()).or_insert_with(|| State {
            tenant: tenant.clone(),
            held: None,
            due_us: 0,
            news: false,
            lined_up: false,
            working: false,
        });
        state.news = true;
        self.line_up(plugin);
    }

    fn line_up(&mut self, plugin: &Id) {
        let now_us = self.parts.plugins.parts.clock.now_us();
        let Some(state) = self.states.get_mut(plugin) else { return };
        if state.may_line_up(now_us) {
            state.lined_up = true;
            self.line.push_back(plugin.clone());
        }
    }

    /// What time alone changes: pauses end, and leases of processes that died.
    fn line_all_up(&mut self) {
        let now_us = self.parts.plugins.parts.clock.now_us();
        let due = self.states.iter().filter(|(_, state)| state.may_line_up(now_us));
        let due: Vec<Id> = due.map(|(id, _)| id.clone()).collect();
        due.iter().for_each(|id| self.line_up(id));
    }

    /// Gives turns to those at the head of the line; who has its tenant's share already waits.
    fn start(&mut self) {
        for _ in 0..self.line.len() {
            if self.working.len() >= limits::SHOWN_TO {
                return;
            }
            let Some(plugin) = self.line.pop_front() else { return };
            // One that was dropped and came again meanwhile may stand in line twice.
            let waits = self.states.get(&plugin).filter(|state| state.lined_up);
            let Some(tenant) = waits.map(|state| state.tenant.clone()) else { continue };
            let same = self.at_work.entry(tenant.clone()).or_insert(0);
            if *same >= limits::SHOWN_TO_TENANT {
                self.line.push_back(plugin);
                continue;
            }
            let Some(state) = self.states.get_mut(&plugin) else { continue };
            *same += 1;
            // Whatever is told from here on may come too late for this turn.
            (state.lined_up, state.working, state.news) = (false, true, false);
            let (parts, held, id) = (self.parts.clone(), state.held.take(), plugin.clone());
            let stopped = Arc::clone(&self.stopped);
            let task = self.working.spawn(async move {
                let (held, next) = show::turn(&parts, (&tenant, &id), held, &stopped).await;
                Done { plugin: id, held, next }
            });
            self.tasks.insert(task.id(), plugin);
        }
    }

    fn done(&mut self, done: Result<(task::Id, Done), task::JoinError>) {
        let now_us = self.parts.plugins.parts.clock.now_us();
        let (plugin, held, next) = match done {
            Ok((task, done)) => {
                self.tasks.remove(&task);
                (done.plugin, done.held, done.next)
            }
            Err(error) => {
                tracing::error!(%error, "showing an event ended in a panic of the service's own code");
                let Some(plugin) = self.tasks.remove(&error.id()) else { return };
                (plugin, None, Next::At(now_us + show::us(limits::RETRY_TIME)))
            }
        };
        let Some(state) = self.states.get_mut(&plugin) else { return };
        (state.working, state.held) = (false, held);
        match self.at_work.get_mut(&state.tenant) {
            Some(n) if *n > 1 => *n -= 1,
            _ => drop(self.at_work.remove(&state.tenant)),
        }
        match next {
            Next::Idle => state.due_us = 0,
            Next::More => (state.due_us, state.news) = (0, true),
            Next::At(due_us) => (state.due_us, state.news) = (due_us, true),
            Next::Gone => {
                self.states.remove(&plugin);
                return;
            }
        }
        self.line_up(&plugin);
    }
}
