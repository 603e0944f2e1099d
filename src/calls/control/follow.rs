//! What follows from what Asterisks tell: events, ends that nobody else told, channels that came to us, and those who were
//! left alone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;

use super::call_out::clicked;
use super::steward::{Act, what_now};
use super::{Control, LIVE, Refusal, bridge_of};
use crate::ari::Request;
use crate::base::ids::Id;
use crate::base::shutdown::Stopping;
use crate::calls::board::Item;
use crate::calls::open::{self, OpenCall};
use crate::calls::table::{Change, Mode, Over, Place, Table};
use crate::calls::{Ended, Record, Seen, happened};
use crate::config::limits::live as limits;

/// Who hears what endpoints do: agents' states follow their phones.
pub trait Follow: Send + Sync {
    /// Called in order; must not wait for a database.
    fn phone(&self, change: &Change);
}

impl Control {
    /// Puts a record into the journal; a call goes on without.
    pub(super) async fn write<T: Serialize>(&self, record: &Record<T>) {
        let payload = match serde_json::to_vec(record) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(%error, "what happened to a call can't be written");
                return;
            }
        };
        if let Err(error) = self.journal.append(payload).await {
            tracing::error!(%error, "a call goes on without its record");
        }
    }

    /// Puts an event into the journal.
    pub(super) async fn write_down(&self, seen: Seen) {
        self.write::<serde_json::Value>(&Record::Seen(seen)).await;
    }

    /// Works until `stopping`.
    pub async fn follow(
        self: Arc<Self>,
        mut items: mpsc::Receiver<Item>,
        phones: Arc<dyn Follow>,
        mut stopping: Stopping,
    ) {
        let mut ends: VecDeque<(tokio::time::Instant, Over)> = VecDeque::new();
        let mut slots = tokio::time::interval(limits::PARKED_LOOK);
        slots.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let due =
                ends.front().map_or_else(|| tokio::time::Instant::now() + limits::STALE_TIME, |(at, _)| *at);
            tokio::select! {
                item = items.recv() => match item {
                    Some(item) => self.heed(item, &*phones, &mut ends).await,
                    None => return,
                },
                () = tokio::time::sleep_until(due) => {
                    let now = tokio::time::Instant::now();
                    while let Some((_, over)) = ends.pop_front_if(|(at, _)| *at <= now) {
                        self.over(over).await;
                    }
                }
                _ = slots.tick() => self.beside(|this| async move { this.look_into_slots().await }),
                () = stopping.stopped() => break,
            }
        }
        // What has been heard is written down before the journal is closed.
        while let Ok(item) = items.try_recv() {
            self.heed(item, &*phones, &mut ends).await;
        }
        for (_, over) in ends {
            self.over(over).await;
        }
    }

    async fn heed(
        self: &Arc<Self>,
        item: Item,
        phones: &dyn Follow,
        ends: &mut VecDeque<(tokio::time::Instant, Over)>,
    ) {
        match item {
            Item::Change(change) => {
                phones.phone(&change);
                if let Some(seen) = happened::of(&change) {
                    self.write_down(seen).await;
                }
                match change {
                    Change::Over(over) => ends.push_back((tokio::time::Instant::now() + limits::GRACE, over)),
                    Change::Bereft(linkedid) => self.beside(|this| async move { this.tend(&linkedid).await }),
                    _ => {}
                }
            }
            Item::Came { channel, args } => {
                self.beside(|this| async move { this.came(&channel, &args).await });
            }
            Item::Gap { asterisk, from_us, to_us, tenants } => {
                for tenant in tenants {
                    self.write_down(happened::gap(&tenant, &asterisk, (from_us, to_us))).await;
                }
            }
            Item::Whole(asterisk) => self.beside(|this| async move { this.found(&asterisk).await }),
        }
    }

    /// Does something that may wait for Asterisk, beside the stream of changes.
    fn beside<F>(self: &Arc<Self>, what: impl FnOnce(Arc<Self>) -> F)
    where
        F: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        let doing = what(Arc::clone(self));
        tokio::spawn(async move {
            match doing.await {
                Ok(()) | Err(Refusal::Gone | Refusal::NotLive) => {}
                Err(error) => tracing::warn!(%error, "a channel can't be looked after"),
            }
        });
    }

    /// An end that the dialplan has not told by now, as far as Asterisk's events know it.
    async fn over(&self, over: Over) {
        if !self.router.live.has(&over.call) {
            return;
        }
        let since = |us: i64| (over.at_us - us).max(0) / 1_000;
        let disposition = if over.answered_us.is_some() { "ANSWERED" } else { "NO ANSWER" };
        let ended = Ended {
            id: Some(over.call.clone()),
            uniqueid: over.uniqueid,
            channel: over.channel,
            linkedid: over.linkedid,
            at_us: over.at_us,
            by: "live".into(),
            cause: over.cause,
            disposition: disposition.into(),
            answered_us: over.answered_us,
            duration_ms: Some(since(over.created_us)),
            billed_ms: over.answered_us.map(since),
            answered_by: over.peer,
            ..Ended::default()
        };
        self.write::<serde_json::Value>(&Record::Ended(ended)).await;
        self.router.live.remove(&over.call);
    }

    /// A channel of a call in which we have others is gone.
    async fn tend(&self, linkedid: &str) -> Result<(), Refusal> {
        let _alone = self.alone(linkedid).await;
        let found = {
            let table = self.board.table();
            table.group(linkedid).map(|call| {
                let asterisk = call.legs.iter().find_map(|leg| leg.seen_by.first().cloned());
                (call.id.clone(), asterisk, what_now(&call))
            })
        };
        let Some((call, Some(asterisk), acts)) = found else { return Ok(()) };
        for act in acts {
            let done = match act {
                Act::Join(leg) => self.join(&asterisk, &bridge_of(&call), &leg, Place::Talk).await,
                Act::HangUp(leg) => self.hang_up_leg(&asterisk, &leg).await,
            };
            match done {
                Ok(()) | Err(Refusal::Gone) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A channel came to us.
    async fn came(&self, channel: &str, args: &[String]) -> Result<(), Refusal> {
        let words: Vec<&str> = args.iter().map(String::as_str).collect();
        let asterisk = self.board.table().leg(channel).and_then(|leg| leg.seen_by.first().cloned());
        let Some(asterisk) = asterisk else { return Ok(()) };
        let joined = match words.as_slice() {
            ["snoop", _, phone] => self.snooped(&asterisk, channel, phone).await,
            ["join", call, role @ ..] => match Id::parse(call) {
                Ok(call) => self.joined(&asterisk, channel, &call, role).await,
                Err(_) => Err(Refusal::NotLive),
            },
            _ => return self.stale(&asterisk, channel, limits::STALE_TIME).await,
        };
        if joined.is_err() {
            // What it was called for is over.
            self.hang_up_leg(&asterisk, channel).await?;
        }
        joined
    }

    async fn joined(&self, asterisk: &str, channel: &str, call: &Id, role: &[&str]) -> Result<(), Refusal> {
        let tenant = {
            let table = self.board.table();
            let mut calls = table.calls();
            let leg = calls.find(|(id, _)| *id == call).ok_or(Refusal::NotLive)?.1;
            leg.tenant.clone().ok_or(Refusal::NotLive)?
        };
        let of = (&tenant, call);
        let bridge = bridge_of(call);
        match role {
            ["asked"] => self.join(asterisk, &bridge, channel, Place::Asked).await,
            ["talk"] => {
                self.bridge(asterisk, &bridge).await?;
                self.join(asterisk, &bridge, channel, Place::Talk).await?;
                for leg in self.legs_of(of, |place| matches!(place, Place::Parked(_)))? {
                    self.join(asterisk, &bridge, &leg, Place::Talk).await?;
                }
                Ok(())
            }
            ["over", whom] => self.replace(of, asterisk, channel, whom).await,
            [mode, target] => match Mode::parse(mode) {
                Some(mode) => self.listen(call, asterisk, channel, target, mode).await,
                None => Err(Refusal::NotLive),
            },
            _ => Err(Refusal::NotLive),
        }
    }

    /// Sends a channel that nobody asks for back to the dialplan, after some time.
    async fn stale(&self, asterisk: &str, channel: &str, after: Duration) -> Result<(), Refusal> {
        tokio::time::sleep(after).await;
        let is_stale = (self.board.table().leg(channel))
            .is_some_and(|leg| leg.ours && leg.place == Place::Dialplan && leg.name.contains('/'));
        if !is_stale {
            return Ok(());
        }
        tracing::warn!(channel, "a channel that nobody asked for goes back to the dialplan");
        let request = Request::post("channels").part(channel).part("continue");
        let request = request.with("context", LIVE).with("extension", "stale").with("priority", 1);
        self.ask(asterisk, request).await.map(drop)
    }

    /// After an Asterisk was looked at as a whole: who was left alone meanwhile, whom nobody asks for, and whose end nobody
    /// saw.
    async fn found(&self, asterisk: &str) -> Result<(), Refusal> {
        let found = Found::of(&self.board.table(), asterisk);
        for (leg, call) in found.apart {
            self.bridge(asterisk, &bridge_of(&call)).await?;
            gone_is_fine(self.join(asterisk, &bridge_of(&call), &leg, Place::Talk).await)?;
        }
        for linkedid in found.groups {
            gone_is_fine(self.tend(&linkedid).await)?;
        }
        tokio::time::sleep(limits::GRACE).await;
        for channel in found.stale {
            gone_is_fine(self.stale(asterisk, &channel, Duration::ZERO).await)?;
        }
        self.sweep(asterisk).await
    }

    /// Ends calls that are in the books as living and that Asterisk does not have any more: they ended while this process was
    /// away. An Asterisk without a name of its own (`systemname`) can't be told from another.
    async fn sweep(&self, asterisk: &str) -> Result<(), Refusal> {
        let info = self.ask(asterisk, Request::get("asterisk/info").with("only", "config")).await?;
        let name = info.body["config"]["name"].as_str().unwrap_or_default().to_owned();
        let now_us = self.clock.now_us();
        let before_us = now_us - i64::try_from(limits::YOUNG.as_micros()).unwrap_or(i64::MAX);
        let prefixes = [clicked(asterisk, ""), format!("{name}-")];
        for prefix in prefixes.iter().take(if name.is_empty() { 1 } else { 2 }) {
            let open = match open::open_on(&self.db, prefix, before_us).await {
                Ok(open) => open,
                Err(error) => {
                    tracing::warn!(%error, "ends that nobody saw can't be looked for");
                    return Ok(());
                }
            };
            let gone: Vec<OpenCall> = {
                let table = self.board.table();
                open.into_iter().filter(|call| table.leg(&call.uniqueid).is_none()).collect()
            };
            for call in gone {
                self.unseen(call, now_us).await;
            }
        }
        Ok(())
    }

    async fn unseen(&self, call: OpenCall, at_us: i64) {
        let Ok(id) = Id::parse(&call.id) else { return };
        self.router.live.remove(&id);
        let ended = Ended {
            id: Some(id),
            uniqueid: call.uniqueid,
            linkedid: call.linkedid,
            at_us,
            by: "live".into(),
            duration_ms: Some((at_us - call.started_at).max(0) / 1_000),
            ..Ended::default()
        };
        self.write::<serde_json::Value>(&Record::Ended(ended)).await;
    }
}

fn gone_is_fine(done: Result<(), Refusal>) -> Result<(), Refusal> {
    match done {
        Err(Refusal::Gone) => Ok(()),
        other => other,
    }
}

/// What needs looking after on an Asterisk.
struct Found {
    /// Linkedids of calls in which channels are ours.
    groups: Vec<String>,
    /// Channels that nobody asked for.
    stale: Vec<String>,
    /// Channels that talk and are in no bridge, and their calls: one that was sent through a piece of the dialplan came back
    /// to nobody.
    apart: Vec<(String, Id)>,
}

impl Found {
    fn of(table: &Table, asterisk: &str) -> Self {
        let ours = || table.legs().filter(|leg| leg.ours && leg.seen_by.iter().any(|name| name == asterisk));
        let mut groups: Vec<String> = ours().map(|leg| leg.linkedid.clone()).collect();
        groups.sort();
        groups.dedup();
        let stale = ours().filter(|leg| leg.place == Place::Dialplan);
        let apart = ours().filter(|leg| leg.place == Place::Talk && leg.bridge.is_none());
        Self {
            groups,
            stale: stale.map(|leg| leg.id.clone()).collect(),
            apart: apart.filter_map(|leg| Some((leg.id.clone(), table.group(&leg.linkedid)?.id))).collect(),
        }
    }
}
