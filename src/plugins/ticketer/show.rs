//! A ticketer's turn: it is shown the events behind its cursor that it listens to, one after another, for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono_tz::Tz;
use serde::Deserialize;

use super::cursor::{self, Held, Lease, Row};
use super::{Known, Next, Parts};
use crate::base::clock::Stopwatch;
use crate::base::ids::{Id, TenantId};
use crate::calls;
use crate::config::limits::plugins as limits;
use crate::db;
use crate::events::{self, Event, outbox};
use crate::plugins::{PluginStatus, Reply, Setup, store};
use crate::plugins::{seed, wall};
use crate::sandbox::types::{Event as Given, TicketDraft};
use crate::sandbox::{Outcome, Output};
use crate::tickets::{About, DraftError, Drafted, ORIGIN, SOURCE};

/// What a ticketer listens to that names no events.
const USUAL: &str = "call.missed";

pub(super) fn us(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// Gives a ticketer its turn. Returns what is left of its cursor, and when its next turn is.
pub(super) async fn turn(
    parts: &Parts,
    (tenant, plugin): (&TenantId, &Id),
    held: Option<Held>,
    stopped: &AtomicBool,
) -> (Option<Held>, Next) {
    let later = |time| Next::At(now_us(parts) + us(time));
    let known = match parts.source.look(tenant) {
        Some(known) => Some(known),
        None => parts.source.read(tenant).await,
    };
    let Some(Known { ticketers, zone }) = known else { return (held, later(limits::SHOW_LATER)) };
    let Some(setup) = ticketers.into_iter().find(|setup| setup.id == *plugin) else {
        return (None, Next::Gone);
    };
    let mut turn = Turn { parts, tenant, setup, zone, held, stopped };
    match turn.go().await {
        Ok(next) => (turn.held, next),
        Err(error) => {
            if db::is_unavailable(&error) {
                tracing::debug!(%error, tenant.id = %tenant, plugin.id = %plugin, "a ticketer can't be shown events now");
            } else {
                tracing::error!(%error, tenant.id = %tenant, plugin.id = %plugin, "a ticketer can't be shown events");
            }
            (None, later(limits::RETRY_TIME))
        }
    }
}

fn now_us(parts: &Parts) -> i64 {
    parts.plugins.parts.clock.now_us()
}

/// What became of an event.
enum Shown {
    /// It is done with.
    Done,
    /// It is to be shown again at that time.
    Again(i64),
    /// The cursor is not where it was: somebody else showed it.
    Lost,
}

struct Turn<'p> {
    parts: &'p Parts,
    tenant: &'p TenantId,
    setup: Arc<Setup>,
    zone: Tz,
    held: Option<Held>,
    stopped: &'p AtomicBool,
}

impl Turn<'_> {
    async fn go(&mut self) -> sqlx::Result<Next> {
        let db = &self.parts.plugins.parts.db;
        let begun = Stopwatch::start();
        let mut held = match self.keep().await? {
            Ok(held) => held,
            Err(until_us) => return Ok(Next::At(until_us)),
        };
        let batch = outbox::after(db, self.tenant, held.seen, limits::SHOW_EVENTS).await?;
        for event in &batch {
            if !wants(&self.setup, event) {
                held.seen = event.position;
                if held.row.attempts > 0 {
                    // It failed on this one and listens to it no more: the next one has all its attempts.
                    cursor::pass(db, (self.tenant, &self.setup.id), held.row, held.seen).await?;
                    held.row = Row { position: held.seen, attempts: 0, retry_at: 0 };
                }
                continue;
            }
            let is_over =
                begun.elapsed_us() > u64::try_from(limits::SHOW_TURN.as_micros()).unwrap_or(u64::MAX);
            if is_over || self.stopped.load(Ordering::Relaxed) {
                self.held = Some(held);
                return Ok(Next::More);
            }
            if held.row.retry_at > now_us(self.parts) {
                let retry_at = held.row.retry_at;
                self.held = Some(held);
                return Ok(Next::At(retry_at));
            }
            self.held = Some(held);
            held = match self.keep().await? {
                Ok(held) => held,
                Err(until_us) => return Ok(Next::At(until_us)),
            };
            match self.show(&mut held, event).await? {
                Shown::Done => {}
                Shown::Again(due_us) => {
                    self.held = Some(held);
                    return Ok(Next::At(due_us));
                }
                Shown::Lost => return Ok(Next::More),
            }
        }
        self.held = Some(held);
        Ok(if batch.len() < limits::SHOW_EVENTS { Next::Idle } else { Next::More })
    }

    /// The cursor, ours for some time yet; else until when it is somebody else's. Now and then this writes down how far the
    /// plugin had nothing to listen to: so that costs no write for each event, and a process that takes over looks at
    /// few of them again.
    async fn keep(&mut self) -> sqlx::Result<Result<Held, i64>> {
        let (now_us, lease_us) = (now_us(self.parts), us(limits::SHOW_LEASE));
        let held = self.held.take();
        let seen = held.as_ref().map_or(0, |held| held.seen);
        if let Some(held) = held {
            if held.until_us - now_us > lease_us / 2 {
                return Ok(Ok(held));
            }
            if held.seen > held.row.position {
                let of = (self.tenant, &self.setup.id);
                cursor::pass(&self.parts.plugins.parts.db, of, held.row, held.seen).await?;
            }
        }
        let of = (self.tenant, &self.setup.id);
        let times = (now_us, now_us + lease_us);
        Ok(match cursor::lease(&self.parts.plugins.parts.db, of, &self.parts.node, times).await? {
            Lease::Ours(held) => Ok(Held { seen: held.seen.max(seen), ..held }),
            // A moment later it is free, if nobody keeps it.
            Lease::Others(until_us) => Err(until_us + 1),
        })
    }

    /// Shows an event, and writes down what came of it.
    async fn show(&self, held: &mut Held, event: &Event) -> sqlx::Result<Shown> {
        let plugins = &self.parts.plugins;
        let given = given(event, self.zone);
        let mut reply = plugins.show(self.tenant, &self.setup, given).await;
        // These say nothing about the event.
        let pause = match reply.report.outcome {
            Outcome::Busy => Some(limits::SHOW_PAUSES[0]),
            Outcome::Parked | Outcome::NotLoadable => Some(limits::SHOW_LATER),
            _ => None,
        };
        if let Some(pause) = pause {
            plugins.count(&self.setup, &reply);
            return Ok(Shown::Again(now_us(self.parts) + us(pause)));
        }
        if reply.report.outcome.is_success() {
            let why = match self.settle(held, event, &reply).await {
                Ok(shown) => {
                    plugins.count(&self.setup, &reply);
                    return Ok(shown);
                }
                Err(DraftError::Away(error)) if db::is_unavailable(&error) => return Err(error),
                Err(DraftError::Invalid(why)) => {
                    plugins.rejected(self.tenant, &self.setup, &mut reply, &why);
                    None
                }
                Err(DraftError::Away(error)) => Some(error),
            };
            if let Some(error) = why {
                // No fault of the plugin's, and yet none to try for ever.
                tracing::error!(
                    %error, tenant.id = %self.tenant, plugin.name = %self.setup.name, event.id = %event.id,
                    "what a ticketer drafted can't be written"
                );
                reply.report.outcome = Outcome::RejectedOutput;
                reply.report.text =
                    "the service can't write this ticket; its operator finds the cause in the log".into();
            }
        }
        plugins.count(&self.setup, &reply);
        self.failed(held, event, &reply).await
    }

    /// The ticket, the run and the move, or nothing of them.
    async fn settle(&self, held: &mut Held, event: &Event, reply: &Reply) -> Result<Shown, DraftError> {
        let draft = match &reply.report.output {
            Some(Output::Draft(Some(draft))) => Some((draft, self.about(event).await?)),
            _ => None,
        };
        let row = Row { position: event.position, attempts: 0, retry_at: 0 };
        let mut drafted = None;
        let shown = self
            .write(held, event, reply, row, async |tx| {
                if let Some((draft, about)) = &draft {
                    drafted = Some(self.open(tx, draft, about).await?);
                }
                Ok(())
            })
            .await?;
        if let (true, Some(drafted)) = (shown, &drafted) {
            self.parts.desk.told(self.tenant, drafted);
        }
        Ok(if shown { Shown::Done } else { Shown::Lost })
    }

    async fn open(
        &self,
        tx: &mut db::Tx,
        draft: &TicketDraft,
        linked: &Linked,
    ) -> Result<Drafted, DraftError> {
        let about = About { linked_id: &linked.id, call: linked.call.as_ref() };
        self.parts.desk.draft(tx, self.tenant, &self.setup.id, about, draft).await
    }

    /// Writes a failure down: the event comes again after a pause, or is passed over.
    async fn failed(&self, held: &mut Held, event: &Event, reply: &Reply) -> sqlx::Result<Shown> {
        let failures = usize::try_from(held.row.attempts).unwrap_or(usize::MAX);
        let retry = limits::SHOW_PAUSES.get(failures).map(|pause| now_us(self.parts) + us(*pause));
        let row = match retry {
            Some(retry_at) => Row { position: event.position - 1, attempts: held.row.attempts + 1, retry_at },
            None => {
                tracing::warn!(
                    tenant.id = %self.tenant, plugin.name = %self.setup.name, event.id = %event.id,
                    outcome = reply.report.outcome.as_str(), "a ticketer failed on an event again and again and is shown the next"
                );
                Row { position: event.position, attempts: 0, retry_at: 0 }
            }
        };
        let written = self.write(held, event, reply, row, async |_| Ok(())).await;
        match written {
            Ok(false) => Ok(Shown::Lost),
            Ok(true) => Ok(retry.map_or(Shown::Done, Shown::Again)),
            Err(DraftError::Away(error)) => Err(error),
            Err(DraftError::Invalid(why)) => Err(sqlx::Error::Protocol(why)),
        }
    }

    /// One transaction: the cursor's row is held, `what` is done, the run kept, the cursor moved. Returns whether the cursor
    /// was where it should be; else nothing was done.
    async fn write(
        &self,
        held: &mut Held,
        event: &Event,
        reply: &Reply,
        row: Row,
        what: impl AsyncFnOnce(&mut db::Tx) -> Result<(), DraftError>,
    ) -> Result<bool, DraftError> {
        let parts = &self.parts.plugins.parts;
        let (of, now_us) = ((self.tenant, &self.setup.id), parts.clock.now_us());
        let until_us = now_us + us(limits::SHOW_LEASE);
        let mut tx = parts.db.begin().await?;
        if !cursor::lock(&mut tx, of, &self.parts.node, held.row).await? {
            return Ok(false);
        }
        what(&mut tx).await?;
        let run = reply.clone().into_run(parts.ids.next(), now_us, &event.id);
        store::insert_runs(&mut tx, self.tenant, &[run]).await?;
        cursor::put(&mut tx, of, row, until_us).await?;
        tx.commit().await?;
        *held = Held { row, seen: row.position, until_us };
        Ok(true)
    }

    /// What an event belongs to.
    async fn about(&self, event: &Event) -> sqlx::Result<Linked> {
        let data = Told::of(event);
        let named = event.key.strip_prefix("call:").or(data.call_id.as_deref());
        let call = named.and_then(|id| Id::parse(id).ok());
        let linkedid = match (data.linkedid.filter(|id| !id.is_empty()), &call) {
            (Some(linkedid), _) => Some(linkedid),
            // Not every event about a call carries it.
            (None, Some(call)) => calls::linkedid(&self.parts.plugins.parts.db, self.tenant, call).await?,
            (None, None) => None,
        };
        Ok(Linked { id: linkedid.unwrap_or_else(|| event.key.clone()), call })
    }
}

/// What has one ticket for each rule.
struct Linked {
    id: String,
    call: Option<Id>,
}

/// What counts here of an event's data.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    linkedid: Option<String>,
    call_id: Option<String>,
    origin_key: Option<String>,
    author_kind: Option<String>,
    source: Option<String>,
}

impl Told {
    /// Of an event; nothing where its data has another form.
    fn of(event: &Event) -> Self {
        serde_json::from_str(event.data.get()).unwrap_or_default()
    }
}

/// Whether a plugin listens to an event. One that is disabled listens to nothing, and hears nothing of it later.
fn wants(setup: &Setup, event: &Event) -> bool {
    let listens = match setup.events.as_slice() {
        [] => event.kind == USUAL,
        patterns => patterns.iter().any(|pattern| events::matches(pattern, &event.kind)),
    };
    listens && setup.status != PluginStatus::Disabled && !is_made_by_plugin(setup, event)
}

/// Whether plugins caused an event. Nobody is shown such a one, whichever plugin it was: one that drafts a ticket for each
/// new ticket would go on for ever by itself, and two would by turns. What a draft or a note makes is a ticket, a note and
/// a contact; their events are told whole, since drafts and notes are short. What people do with them later is shown. Of
/// its own failures and versions a plugin hears nothing either, since it could fail on hearing of them.
fn is_made_by_plugin(setup: &Setup, event: &Event) -> bool {
    match event.kind.as_str() {
        "ticket.created" => Told::of(event).origin_key.is_some_and(|key| key.starts_with(ORIGIN)),
        "ticket.noted" => Told::of(event).author_kind.as_deref() == Some("plugin"),
        "contact.created" => Told::of(event).source.as_deref() == Some(SOURCE),
        _ => event.key.strip_prefix("plugin:") == Some(setup.id.as_str()),
    }
}

/// An event as plugins get it.
pub(in crate::plugins) fn given(event: &Event, zone: Tz) -> Given {
    let at = u64::try_from(event.at_us / 1_000).unwrap_or_default();
    Given {
        id: event.id.clone(),
        kind: event.kind.clone(),
        at,
        local: wall(at, zone),
        key: event.key.clone(),
        sequence: u64::try_from(event.sequence).unwrap_or_default(),
        seed: seed(&event.id),
        data: event.data.get().to_owned(),
    }
}
