//! The desk: what is due, who is sent to next. One task owns all of it; sending, reading and writing happen beside it and
//! report back.
//!
//! - **Lanes.** Requests to endpoints that work and requests to troubled or slow ones have places of their own, so that
//!   dead endpoints never hold a fresh event up. A request that takes longer than a second gives its fresh place back.
//! - **Shares.** Endpoints take turns, each with its own number of requests at a time.
//! - **Memory** is bounded: what does not fit waits in the database and is read when there is room.

mod state;
mod work;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::endpoint::Endpoint;
use super::fan_out::Handed;
use super::record::{self, Outcome, Recorded};
use super::schedule::Pause;
use super::send::Attempt;
use super::{Delivery, Parts, WebhookStatus, schedule};
use crate::base::ids::Id;
use crate::base::shutdown::Stopping;
use crate::config::limits::webhooks as limits;

use state::{Lane, State};

/// What is counted; read by `/metrics`.
#[derive(Debug, Default)]
pub struct Stats {
    /// Attempts that were taken.
    pub delivered: AtomicU64,
    /// Attempts that failed.
    pub failed: AtomicU64,
    /// Endpoints that were disabled.
    pub disabled: AtomicU64,
    /// Requests under way.
    pub in_flight: AtomicU64,
    /// Deliveries that wait in memory.
    pub waiting: AtomicU64,
    /// Results that are not in the database yet.
    pub unwritten: AtomicU64,
}

/// What the desk is told.
#[derive(Debug)]
pub enum Wake {
    /// Events were handed out.
    Handed(Handed),
    /// An attempt is over.
    Done(Box<Done>),
    /// A request to this endpoint takes long: it gives its fresh place back.
    Slow(Id),
    /// Deliveries of an endpoint were read.
    Loaded(Loaded),
    /// Results last.
    Recorded(Recorded),
    /// Endpoints as they are now.
    Endpoints(Vec<Arc<Endpoint>>),
    /// The database has something more for an endpoint.
    Nudged(Id),
    /// An endpoint is not there, or can't be read.
    Unusable(Id),
    /// A process died: whatever it had, and whatever it waited for, is anybody's now.
    Orphaned,
}

/// An attempt that is over.
#[derive(Debug)]
pub struct Done {
    delivery: Delivery,
    endpoint: Arc<Endpoint>,
    attempt: Attempt,
    lane: Lane,
}

/// What was read of an endpoint, and made.
#[derive(Debug)]
pub struct Loaded {
    webhook: Id,
    deliveries: Vec<Delivery>,
    /// Whether there is more that is due.
    more: bool,
    /// Whether the endpoint is still behind.
    behind: bool,
    /// Whether new deliveries were made and none of them may be sent.
    stuck: bool,
    /// When the next one is.
    next_us: Option<i64>,
}

/// How many deliveries more each endpoint takes; shared with who hands events out.
#[derive(Debug, Default)]
pub(super) struct Room {
    left: Mutex<HashMap<Id, usize>>,
}

impl Room {
    fn lock(&self) -> MutexGuard<'_, HashMap<Id, usize>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of one that the desk does not know yet, few.
    fn left(&self, stats: &Stats, webhook: &str) -> usize {
        if stats.waiting.load(Ordering::Relaxed) >= limits::WAITING_ALL as u64 {
            return 0;
        }
        self.lock().get(webhook).copied().unwrap_or(limits::WAITING_LEAST)
    }

    fn set(&self, webhook: &Id, left: usize) {
        let mut all = self.lock();
        match all.get_mut(webhook) {
            Some(known) => *known = left,
            None => drop(all.insert(webhook.clone(), left)),
        }
    }

    /// One was handed out, of which the desk has not heard yet.
    fn take(&self, webhook: &Id) {
        if let Some(left) = self.lock().get_mut(webhook) {
            *left = left.saturating_sub(1);
        }
    }

    fn forget(&self, webhook: &Id) {
        self.lock().remove(webhook);
    }
}

/// The desk.
struct Desk {
    parts: Parts,
    wake: UnboundedSender<Wake>,
    results: UnboundedSender<Outcome>,
    room: Arc<Room>,
    states: HashMap<Id, State>,
    /// Endpoints that may be sent to, in turn.
    ring: VecDeque<Id>,
    /// Endpoints that wait for a place in a lane.
    crowd: VecDeque<Id>,
    /// Endpoints that wait to be read.
    turn: VecDeque<Id>,
    fresh: i64,
    slow: i64,
    loading: usize,
}

/// Delivers until `stopping`, then finishes what is under way.
pub async fn run(parts: Parts, mut stopping: Stopping) {
    let (wake, mut wakes) = unbounded_channel();
    let (results, written) = unbounded_channel();
    let recorder = tokio::spawn(record::run(parts.clone(), written, wake.clone()));
    let room = Arc::new(Room::default());
    // What a run before this one had in its hands is nobody's now.
    work::begin(&parts, &mut stopping).await;
    let helpers = work::start(&parts, &wake, &room, &stopping);
    let mut desk = Desk {
        parts,
        wake,
        results,
        room,
        states: HashMap::new(),
        ring: VecDeque::new(),
        crowd: VecDeque::new(),
        turn: VecDeque::new(),
        fresh: limits::FRESH,
        slow: limits::SLOW,
        loading: 0,
    };
    let mut tick = tokio::time::interval(limits::TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stopping.stopped() => break,
            told = wakes.recv() => {
                let Some(told) = told else { break };
                desk.hear(told);
                // Whatever else was told meanwhile, before anything is sent.
                while let Ok(told) = wakes.try_recv() {
                    desk.hear(told);
                }
            }
            _ = tick.tick() => desk.look_around(),
        }
        desk.pump();
    }
    desk.drain(&mut wakes, helpers).await;
    let parts = desk.parts.clone();
    drop(desk);
    let last = async {
        // The recorder ends when the last result is written.
        let _ = recorder.await;
        work::end(&parts).await;
    };
    // The database may be away for longer than anybody waits.
    let _ = tokio::time::timeout(limits::DRAIN_TIME, last).await;
}

impl Desk {
    fn state(&mut self, webhook: &Id) -> &mut State {
        self.states.entry(webhook.clone()).or_default()
    }

    fn hear(&mut self, told: Wake) {
        match told {
            Wake::Handed(handed) => {
                for delivery in handed.kept {
                    self.add(delivery);
                }
                for webhook in handed.behind {
                    self.state(&webhook).behind = true;
                    self.ask(&webhook);
                    self.load(&webhook);
                }
            }
            Wake::Done(done) => self.done(*done),
            Wake::Slow(webhook) => {
                self.fresh += 1;
                self.slow -= 1;
                self.state(&webhook).proven = false;
                self.tell_room(&webhook);
                self.call_crowd();
            }
            Wake::Loaded(loaded) => self.loaded(loaded),
            Wake::Recorded(recorded) => {
                let now_us = self.parts.clock.now_us();
                for (webhook, due_us) in recorded.due {
                    self.state(&webhook).due_at(due_us);
                    self.look_at(&webhook, now_us);
                }
            }
            Wake::Nudged(webhook) => self.nudged(&webhook),
            Wake::Endpoints(endpoints) => endpoints.into_iter().for_each(|endpoint| self.change(endpoint)),
            Wake::Unusable(webhook) => {
                self.state(&webhook).asked = false;
                self.empty(&webhook, 0);
            }
            Wake::Orphaned => {
                let all: Vec<Id> = self.states.keys().cloned().collect();
                all.iter().for_each(|webhook| self.nudged(webhook));
            }
        }
    }

    /// The database has something for an endpoint.
    fn nudged(&mut self, webhook: &Id) {
        let state = self.state(webhook);
        (state.more, state.behind) = (true, true);
        self.ask(webhook);
        self.load(webhook);
    }

    /// Has an endpoint read that the desk does not know.
    fn ask(&mut self, webhook: &Id) {
        let state = self.state(webhook);
        if state.endpoint.is_none() && !std::mem::replace(&mut state.asked, true) {
            work::ask(&self.parts, &self.wake, webhook.clone());
        }
    }

    fn add(&mut self, delivery: Delivery) {
        let webhook = delivery.webhook.clone();
        let state = self.state(&webhook);
        state.queue.push_back(delivery);
        let is_full = state.queue.len() >= state.room();
        self.ask(&webhook);
        self.parts.stats.waiting.fetch_add(1, Ordering::Relaxed);
        if is_full {
            self.state(&webhook).full = true;
        }
        self.tell_room(&webhook);
        self.line_up(&webhook);
    }

    /// Says whether an endpoint takes no more into memory.
    fn close(&mut self, webhook: &Id, is_full: bool) {
        self.state(webhook).full = is_full;
        self.tell_room(webhook);
    }

    /// Says how many deliveries more an endpoint takes.
    fn tell_room(&self, webhook: &Id) {
        if let Some(state) = self.states.get(webhook) {
            self.room.set(webhook, state.left());
        }
    }

    /// Leaves what waits for an endpoint to the database, but for the first ones.
    fn empty(&mut self, webhook: &Id, keep: usize) {
        let state = self.state(webhook);
        let rest = state.queue.split_off(keep.min(state.queue.len()));
        state.more = true;
        self.parts.stats.waiting.fetch_sub(rest.len() as u64, Ordering::Relaxed);
        self.close(webhook, true);
        work::give_back(&self.parts, &self.wake, rest.into());
    }

    /// Puts an endpoint into the ring, if it has something to send and is not there.
    fn line_up(&mut self, webhook: &Id) {
        let Some(state) = self.states.get_mut(webhook) else { return };
        if !state.queue.is_empty() && !state.lined_up && state.endpoint.is_some() {
            state.lined_up = true;
            self.ring.push_back(webhook.clone());
        }
    }

    fn call_crowd(&mut self) {
        for _ in 0..self.crowd.len().min(limits::CALLED) {
            if let Some(webhook) = self.crowd.pop_front() {
                if let Some(state) = self.states.get_mut(&webhook) {
                    state.lined_up = false;
                }
                self.line_up(&webhook);
            }
        }
    }

    /// Sends what may be sent.
    fn pump(&mut self) {
        if self.parts.stats.unwritten.load(Ordering::Relaxed) > limits::RESULTS_WAITING as u64 {
            return;
        }
        let now_us = self.parts.clock.now_us();
        while let Some(webhook) = self.ring.pop_front() {
            let (fresh, slow) = (self.fresh, self.slow);
            let Some(state) = self.states.get_mut(&webhook) else { continue };
            match state.lane(now_us) {
                None => state.lined_up = false,
                Some(Lane::Fresh) if fresh <= 0 => self.crowd.push_back(webhook),
                Some(Lane::Slow) if slow <= 0 => self.crowd.push_back(webhook),
                Some(lane) => {
                    if let Some((endpoint, delivery)) = state.begin() {
                        self.send(endpoint, delivery, lane);
                    }
                    self.ring.push_back(webhook.clone());
                    self.refill(&webhook);
                }
            }
        }
    }

    /// Reads on where the memory of an endpoint has become half empty.
    fn refill(&mut self, webhook: &Id) {
        let Some(state) = self.states.get_mut(webhook) else { return };
        if state.queue.len() < state.room() / 2 {
            if !state.more && !state.loading {
                state.full = false;
            }
            self.load(webhook);
        }
        self.tell_room(webhook);
    }

    fn send(&mut self, endpoint: Arc<Endpoint>, delivery: Delivery, lane: Lane) {
        match lane {
            Lane::Fresh => self.fresh -= 1,
            Lane::Slow => self.slow -= 1,
        }
        self.parts.stats.waiting.fetch_sub(1, Ordering::Relaxed);
        self.parts.stats.in_flight.fetch_add(1, Ordering::Relaxed);
        work::send(&self.parts, &self.wake, endpoint, delivery, lane);
    }

    fn done(&mut self, done: Done) {
        let Done { delivery, endpoint, attempt, lane } = done;
        let now_us = self.parts.clock.now_us();
        self.parts.stats.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.parts.stats.unwritten.fetch_add(1, Ordering::Relaxed);
        let state = self.state(&delivery.webhook);
        state.in_flight = state.in_flight.saturating_sub(1);
        let disable = state.judge(&attempt, now_us);
        if !disable.is_empty() {
            state.quiet = Pause::new(now_us, limits::LEFT_ALONE_US);
        }
        let is_too_full = state.queue.len() > state.room();
        match lane {
            Lane::Fresh => self.fresh += 1,
            Lane::Slow => self.slow += 1,
        }
        let counter = if attempt.is_ok() { &self.parts.stats.delivered } else { &self.parts.stats.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        let next_at_us = if attempt.is_ok() {
            None
        } else {
            let chance = chance(&delivery);
            schedule::next_us(delivery.attempts + 1, now_us, attempt.retry_after_us, chance)
        };
        let (id, webhook) = (self.parts.ids.next(), delivery.webhook.clone());
        // The recorder outlives the desk.
        let _ = self.results.send(Outcome { id, delivery, endpoint, attempt, next_at_us, disable });
        if is_too_full {
            // Dead endpoints keep no memory that others need.
            self.empty(&webhook, limits::WAITING_LEAST);
        }
        self.tell_room(&webhook);
        self.line_up(&webhook);
        self.load(&webhook);
        self.call_crowd();
    }

    /// An endpoint as it is now. One that gets nothing for the time being leaves what it has to the database.
    fn change(&mut self, endpoint: Arc<Endpoint>) {
        let webhook = endpoint.id.clone();
        let state = self.state(&webhook);
        let was_active = state.endpoint.as_ref().is_some_and(|e| e.status == WebhookStatus::Active);
        let is_active = endpoint.status == WebhookStatus::Active;
        if !was_active {
            state.breaker = schedule::Breaker::after(endpoint.failures);
            state.failing_since_us = endpoint.failing_since_us;
            // Somebody made it active again: whatever it asked for before counts no more.
            state.quiet = Pause::default();
        }
        state.endpoint = Some(endpoint);
        state.asked = false;
        if is_active {
            (state.more, state.behind) = (true, true);
            self.tell_room(&webhook);
            self.line_up(&webhook);
            self.load(&webhook);
            return;
        }
        self.empty(&webhook, 0);
    }

    /// Reads what is due of an endpoint, and what it is behind, when there is more, it may be sent to and has room; in turn,
    /// when many want that.
    fn load(&mut self, webhook: &Id) {
        let now_us = self.parts.clock.now_us();
        let is_crowded = self.parts.stats.waiting.load(Ordering::Relaxed) >= limits::WAITING_ALL as u64;
        let Some(state) = self.states.get_mut(webhook) else { return };
        let to_read = state.to_read(if is_crowded { limits::WAITING_LEAST } else { limits::WAITING });
        if to_read == (0, 0) || state.loading || !state.may_be_sent_to(now_us) {
            return;
        }
        if self.loading >= limits::LOADS {
            if !std::mem::replace(&mut state.in_turn, true) {
                self.turn.push_back(webhook.clone());
            }
            return;
        }
        // Whatever is told from here on may come too late for what is read now.
        state.loading = true;
        if to_read.0 > 0 {
            (state.more, state.next_us) = (false, None);
        }
        if to_read.1 > 0 {
            state.behind = false;
        }
        self.loading += 1;
        work::load(&self.parts, &self.wake, webhook.clone(), to_read);
    }

    fn loaded(&mut self, loaded: Loaded) {
        let Loaded { webhook, deliveries, more, behind, stuck, next_us } = loaded;
        self.loading -= 1;
        let now_us = self.parts.clock.now_us();
        let state = self.state(&webhook);
        state.loading = false;
        state.more |= more;
        state.behind |= behind;
        if stuck && deliveries.is_empty() && state.breaker.is_probing() {
            state.breaker.skipped(now_us);
        }
        next_us.into_iter().for_each(|next| state.due_at(next));
        let is_active = state.endpoint.as_ref().is_some_and(|e| e.status == WebhookStatus::Active);
        if is_active {
            let is_full = state.more || state.queue.len() + deliveries.len() >= state.room();
            for delivery in deliveries {
                self.add(delivery);
            }
            self.close(&webhook, is_full);
            self.load(&webhook);
        } else {
            work::give_back(&self.parts, &self.wake, deliveries);
        }
        while self.loading < limits::LOADS {
            let Some(next) = self.turn.pop_front() else { break };
            self.state(&next).in_turn = false;
            self.load(&next);
        }
    }

    /// Reads on, if something of an endpoint's has become due.
    fn look_at(&mut self, webhook: &Id, now_us: i64) {
        let Some(state) = self.states.get_mut(webhook) else { return };
        if state.is_due(now_us) {
            state.next_us = None;
            state.more = true;
        }
        self.load(webhook);
        self.line_up(webhook);
    }

    /// What time alone changes: retries become due, probes may go out.
    fn look_around(&mut self) {
        let now_us = self.parts.clock.now_us();
        let all: Vec<Id> = self.states.keys().cloned().collect();
        for webhook in all {
            self.look_at(&webhook, now_us);
            if self.states.get(&webhook).is_some_and(State::is_over) {
                self.states.remove(&webhook);
                self.room.forget(&webhook);
            }
        }
        self.call_crowd();
    }

    /// Waits for what is under way and sends what is in memory, for a short time; the rest is in the database.
    async fn drain(&mut self, wakes: &mut UnboundedReceiver<Wake>, helpers: Vec<JoinHandle<()>>) {
        helpers.iter().for_each(JoinHandle::abort);
        let finish = async {
            while self.parts.stats.in_flight.load(Ordering::Relaxed) > 0 {
                let Some(told) = wakes.recv().await else { return };
                if let Wake::Done(done) = told {
                    self.done(*done);
                }
                self.pump();
            }
        };
        if tokio::time::timeout(limits::DRAIN_TIME, finish).await.is_err() {
            tracing::info!("webhooks that are under way are sent again after the next start");
        }
    }
}

/// A number that differs from delivery to delivery and attempt to attempt.
fn chance(delivery: &Delivery) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ u64::from(delivery.attempts);
    // FNV-1a: the ends of ids made together differ.
    delivery
        .id
        .as_str()
        .bytes()
        .fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
