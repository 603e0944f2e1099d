//! One endpoint at the desk. No I/O.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::config::limits::webhooks as limits;
use crate::webhooks::endpoint::Endpoint;
use crate::webhooks::schedule::{Breaker, Pause};
use crate::webhooks::send::Attempt;
use crate::webhooks::{Delivery, WebhookStatus};

/// Which places a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Those of endpoints that work.
    Fresh,
    /// Those of troubled and slow ones.
    Slow,
}

/// An endpoint and what waits for it.
#[derive(Debug, Default)]
pub(super) struct State {
    /// As it was read last; `None`: not yet.
    pub(super) endpoint: Option<Arc<Endpoint>>,
    /// Whether it is being read for the first time.
    pub(super) asked: bool,
    /// What is due, in order.
    pub(super) queue: VecDeque<Delivery>,
    /// Requests under way.
    pub(super) in_flight: usize,
    /// Whether it works.
    pub(super) breaker: Breaker,
    /// Since when it only fails.
    pub(super) failing_since_us: Option<i64>,
    /// It asked to be left alone until then.
    pub(super) quiet: Pause,
    /// Whether it stands in the ring or in the crowd.
    pub(super) lined_up: bool,
    /// Whether it takes no more into memory.
    pub(super) full: bool,
    /// Whether the database may have more that is due than was read, or is being read.
    pub(super) more: bool,
    /// Whether it may be behind: then the stream has more for it.
    pub(super) behind: bool,
    /// Whether it took the last request that ended, and none takes long: until then nobody knows how much it can take.
    pub(super) proven: bool,
    /// Whether that is being read.
    pub(super) loading: bool,
    /// Whether it waits for its turn to be read.
    pub(super) in_turn: bool,
    /// When the database will have more.
    pub(super) next_us: Option<i64>,
}

impl State {
    /// How many requests may be under way.
    fn allowed(&self, now_us: i64) -> usize {
        let Some(endpoint) = self.endpoint.as_ref().filter(|e| e.status == WebhookStatus::Active) else {
            return 0;
        };
        if self.quiet.holds(now_us) { 0 } else { self.breaker.allowed(now_us, endpoint.concurrency) }
    }

    /// Whether anything may be sent to it at this moment, however much is under way.
    pub(super) fn may_be_sent_to(&self, now_us: i64) -> bool {
        self.allowed(now_us) > 0
    }

    /// How many deliveries may wait in memory: of an endpoint that is only probed, few.
    pub(super) fn room(&self) -> usize {
        if self.breaker.is_probing() { limits::WAITING_LEAST } else { limits::WAITING }
    }

    /// How many new deliveries may wait in memory: of an endpoint that has not proven itself as many as may be under way,
    /// so that one that hangs has few when that shows.
    pub(super) fn wanted(&self) -> usize {
        match &self.endpoint {
            _ if self.breaker.is_probing() => limits::WAITING_LEAST,
            _ if self.proven => limits::WAITING,
            Some(endpoint) => endpoint.concurrency.max(limits::WAITING_LEAST),
            None => limits::WAITING_LEAST,
        }
    }

    /// How many deliveries more it takes of new events. One that is only probed takes what it is probed with when it is.
    pub(super) fn left(&self) -> usize {
        if self.full || self.breaker.is_probing() {
            0
        } else {
            self.wanted().saturating_sub(self.queue.len())
        }
    }

    /// How many deliveries may be read, of those that are due and of new ones, while `most` may wait: none before half of
    /// them are gone.
    pub(super) fn to_read(&self, most: usize) -> (usize, usize) {
        let room = |is_there: bool, most: usize| match is_there && self.queue.len() < most / 2 {
            true => most - self.queue.len(),
            false => 0,
        };
        (room(self.more, most.min(self.room())), room(self.behind, most.min(self.wanted())))
    }

    /// Notes when the database has something due.
    pub(super) fn due_at(&mut self, due_us: i64) {
        self.next_us = Some(self.next_us.map_or(due_us, |next| next.min(due_us)));
    }

    /// Whether something in the database has become due. So has what is later than any pause lasts: it was noted while
    /// the clock was wrong.
    pub(super) fn is_due(&self, now_us: i64) -> bool {
        self.next_us.is_some_and(|next| next <= now_us || next > now_us + limits::NEXT_MOST_US)
    }

    /// Whether there is nothing to remember of it: it is disabled or deleted, and nothing of it is under way.
    pub(super) fn is_over(&self) -> bool {
        let is_disabled = self.endpoint.as_ref().is_some_and(|e| e.status == WebhookStatus::Disabled);
        let is_busy = self.in_flight > 0 || self.loading || self.in_turn || self.lined_up;
        is_disabled && !is_busy && self.queue.is_empty()
    }

    /// Which place the next request takes; `None`: there is none to send now.
    pub(super) fn lane(&self, now_us: i64) -> Option<Lane> {
        if self.queue.is_empty() || self.in_flight >= self.allowed(now_us) {
            return None;
        }
        Some(if self.breaker.is_troubled() { Lane::Slow } else { Lane::Fresh })
    }

    /// Takes the next delivery.
    pub(super) fn begin(&mut self) -> Option<(Arc<Endpoint>, Delivery)> {
        let endpoint = self.endpoint.clone()?;
        let delivery = self.queue.pop_front()?;
        self.in_flight += 1;
        Some((endpoint, delivery))
    }

    /// What an attempt says of the endpoint. Returns why it is disabled; empty: it is not.
    pub(super) fn judge(&mut self, attempt: &Attempt, now_us: i64) -> &'static str {
        if attempt.is_ok() {
            self.breaker.succeeded();
            self.failing_since_us = None;
            self.proven = true;
            return "";
        }
        self.proven = false;
        self.breaker.failed(now_us);
        if matches!(attempt.status, Some(429 | 502..=504)) {
            let asked = attempt.retry_after_us.unwrap_or(0).min(limits::RETRY_AFTER_MOST_US);
            self.quiet = self.quiet.or_longer(Pause::new(now_us, asked));
        }
        let since = *self.failing_since_us.get_or_insert(now_us);
        match attempt.is_gone() {
            true => "gone",
            false if now_us - since >= limits::DISABLE_US => "failing",
            false => "",
        }
    }
}
