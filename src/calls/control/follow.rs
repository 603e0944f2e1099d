//! What follows from what Asterisks tell: events, ends that nobody else told, channels that came to us, and those who were
//! left alone.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;

use super::parties::{self, Role, is_fresh};
use super::steward::{Act, waits_in_vain, what_now};
use super::{Control, LIVE, Refusal};
use crate::ari::Request;
use crate::base::ids::{Id, TenantId};
use crate::base::shutdown::Stopping;
use crate::calls::board::Item;
use crate::calls::open::{self, Made, OpenCall};
use crate::calls::table::{Change, Kind, Leg, Mode, Over, Place, Table};
use crate::calls::{Ended, Record, Seen, happened};
use crate::config::limits::live as limits;

/// Who hears what endpoints do: agents' states follow their phones.
pub trait Follow: Send + Sync {
    /// Called in order; must not wait for a database.
    fn phone(&self, change: &Change);

    /// An Asterisk was looked at as a whole, by its clock then; microseconds since 1970 UTC. All that the look changed was told
    /// before.
    fn looked(&self, at_us: i64);
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
                        if over.was_up && over.answered_us.is_none() {
                            // The books may be away.
                            self.beside(|this| async move { this.over_since_before(over).await });
                        } else {
                            self.over(over).await;
                        }
                    }
                }
                _ = slots.tick() => self.beside(|this| async move { this.look_around().await }),
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
                    Change::Over(over) => match ends.iter_mut().find(|(_, known)| known.call == over.call) {
                        // Of an end that a look found Asterisk says the cause after all.
                        Some((_, known)) => *known = over,
                        None => ends.push_back((tokio::time::Instant::now() + limits::GRACE, over)),
                    },
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
            Item::Whole { asterisk, at_us } => {
                phones.looked(at_us);
                if self.board.connected().contains_key(&asterisk) {
                    self.beside(|this| async move { this.found(&asterisk).await });
                }
            }
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

    /// As [`Control::over`], of a call that was answered before this process began: when, the process before it has told.
    async fn over_since_before(&self, over: Over) -> Result<(), Refusal> {
        let answered = self.answered(over.tenant.as_ref(), &over.call).await;
        self.over(Over { answered_us: answered.map(|(at_us, _)| at_us), ..over }).await;
        Ok(())
    }

    /// When somebody talked to a call's caller first, as it was told, and on which channel.
    async fn answered(&self, tenant: Option<&TenantId>, call: &Id) -> Option<(i64, String)> {
        open::answered(&self.db, tenant?, call).await.unwrap_or_else(|error| {
            tracing::warn!(%error, call.id = %call, "whether a call was answered can't be read");
            None
        })
    }

    /// An end that the dialplan has not told by now, as far as Asterisk's events know it.
    async fn over(&self, over: Over) {
        if !self.router.live.has(&over.call) {
            return;
        }
        let since = |us: i64| (over.at_us - us).max(0) / 1_000;
        let was_answered = over.was_up || !over.peer.is_empty();
        let disposition = if was_answered { "ANSWERED" } else { "NO ANSWER" };
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

    /// What is looked for now and then; one look at a time.
    async fn look_around(&self) -> Result<(), Refusal> {
        let Ok(_only) = self.looks.try_lock() else { return Ok(()) };
        self.look_into_slots().await?;
        self.sweep_bridges().await
    }

    /// A channel of a call in which we have others is gone, or one came to us.
    async fn tend(&self, linkedid: &str) -> Result<(), Refusal> {
        let _alone = self.alone(linkedid).await;
        self.look_after(linkedid).await
    }

    /// As [`Control::tend`], for whoever has the call's lock.
    async fn look_after(&self, linkedid: &str) -> Result<(), Refusal> {
        let found = {
            let table = self.board.table();
            match table.group(linkedid) {
                Some(call) => {
                    let asterisk = call.legs.iter().find_map(|leg| leg.seen_by.first().cloned());
                    let snoops: Vec<&Leg> = table.legs().filter(|leg| leg.kind == Kind::Snoop).collect();
                    asterisk.map(|asterisk| (asterisk, parties::bridge_of(&call), what_now(&call, &snoops)))
                }
                None => left_over(&table, linkedid),
            }
        };
        let Some((asterisk, bridge, acts)) = found else { return Ok(()) };
        if acts.iter().any(|act| matches!(act, Act::Join(_))) {
            self.bridge(&asterisk, &bridge).await?;
        }
        for act in acts {
            gone_is_fine(match act {
                Act::Join(leg) => self.join(&asterisk, &bridge, &leg, Place::Talk).await,
                Act::Keep(leg) => self.put(&asterisk, &leg, Place::Talk).await,
                Act::HangUp(leg) => self.hang_up_leg(&asterisk, &leg).await,
            })?;
        }
        Ok(())
    }

    /// A channel came to us.
    async fn came(&self, channel: &str, args: &[String]) -> Result<(), Refusal> {
        let words: Vec<&str> = args.iter().map(String::as_str).collect();
        let found = {
            let table = self.board.table();
            table.leg(channel).and_then(|leg| Some((leg.seen_by.first()?.clone(), leg.linkedid.clone())))
        };
        let Some((asterisk, linkedid)) = found else { return Ok(()) };
        let joined = match words.as_slice() {
            ["snoop", _, phone] => self.snooped(&asterisk, channel, phone).await,
            ["join", call, role @ ..] => match Id::parse(call) {
                Ok(call) => self.joined(&asterisk, channel, &call, role).await,
                Err(_) => Err(Refusal::NotLive),
            },
            _ => {
                // Whoever had it taken has done so by then, or given up.
                self.tend(&linkedid).await?;
                return self.stale(&asterisk, channel, limits::STALE_TIME).await;
            }
        };
        if joined.is_err() {
            // What it was called for is over.
            self.hang_up_leg(&asterisk, channel).await?;
        }
        joined
    }

    /// Who was called into a call has answered. Whom that was for may be gone by now: then it is called for nothing.
    async fn joined(&self, asterisk: &str, channel: &str, call: &Id, role: &[&str]) -> Result<(), Refusal> {
        let tenant = {
            let table = self.board.table();
            let mut calls = table.calls();
            let leg = calls.find(|(id, _)| *id == call).ok_or(Refusal::NotLive)?.1;
            leg.tenant.clone().ok_or(Refusal::NotLive)?
        };
        let here = self.enter((&tenant, call)).await?;
        let of = (&tenant, &here.id);
        let bridge = self.bridge_of(of)?;
        let talks = self.legs_of(of, |leg| leg.ours && leg.place == Place::Talk && !is_fresh(leg))?;
        let wanted = |is: bool| if is { Ok(()) } else { Err(Refusal::NotLive) };
        match role {
            ["asked"] => {
                let waits = self.legs_of(of, |leg| leg.place == Place::Waits)?;
                wanted(!waits.is_empty())?;
                self.bridge(asterisk, &bridge).await?;
                self.join(asterisk, &bridge, channel, Place::Asked).await?;
            }
            ["talk"] => {
                wanted(!talks.is_empty())?;
                self.join(asterisk, &bridge, channel, Place::Talk).await?;
            }
            ["pickup"] => {
                let parked = self.legs_of(of, |leg| leg.slot().is_some())?;
                wanted(!parked.is_empty())?;
                self.bridge(asterisk, &bridge).await?;
                for leg in std::iter::once(channel).chain(parked.iter().map(String::as_str)) {
                    self.join(asterisk, &bridge, leg, Place::Talk).await?;
                }
            }
            ["over", whom] => self.replace(of, asterisk, channel, whom).await?,
            [mode, target] => {
                let mode = Mode::parse(mode).ok_or(Refusal::NotLive)?;
                self.listen(&here.id, asterisk, channel, target, mode).await?;
            }
            _ => return Err(Refusal::NotLive),
        }
        // Whoever hung up meanwhile is looked after once it is known that this one is there.
        self.board
            .until(|table| table.leg(channel).is_none_or(|leg| leg.bridge.is_some()).then_some(()))
            .await;
        self.look_after(&here.linkedid).await
    }

    /// Sends a channel back to the dialplan that nobody asks for after some time, or that waits in vain for the other one that
    /// was to be taken with it.
    async fn stale(&self, asterisk: &str, channel: &str, after: Duration) -> Result<(), Refusal> {
        tokio::time::sleep(after).await;
        let linkedid = self.board.table().leg(channel).map(|leg| leg.linkedid.clone());
        let Some(linkedid) = linkedid else { return Ok(()) };
        let _alone = self.alone(&linkedid).await;
        let is_stale = {
            let table = self.board.table();
            table.leg(channel).is_some_and(|leg| {
                let in_vain = || table.group(&leg.linkedid).is_some_and(|call| waits_in_vain(&call, channel));
                leg.ours && leg.name.contains('/') && (leg.place == Place::Dialplan || in_vain())
            })
        };
        if !is_stale {
            return Ok(());
        }
        tracing::warn!(channel, "a channel that nobody asked for goes back to the dialplan");
        self.put(asterisk, channel, Place::Dialplan).await?;
        let request = Request::post("channels").part(channel).part("continue");
        let request = request.with("context", LIVE).with("extension", "stale").with("priority", 1);
        self.ask(asterisk, request).await.map(drop)
    }

    /// After an Asterisk was looked at as a whole: who was left alone meanwhile, whom nobody asks for, and whose end nobody
    /// saw.
    async fn found(&self, asterisk: &str) -> Result<(), Refusal> {
        let found = Found::of(&self.board.table(), asterisk);
        // One that can't be looked after must not keep the others from it.
        let told = |done: Result<(), Refusal>, what: &str| {
            if let Err(refusal) = gone_is_fine(done) {
                tracing::warn!(%refusal, asterisk, what, "what was found on an Asterisk can't be looked after");
            }
        };
        for linkedid in found.groups {
            told(self.tend(&linkedid).await, &linkedid);
        }
        tokio::time::sleep(limits::GRACE).await;
        for channel in found.stale {
            told(self.stale(asterisk, &channel, Duration::ZERO).await, &channel);
        }
        for channel in found.fresh {
            let is_fresh = self.board.table().leg(&channel).is_some_and(|leg| leg.ours && is_fresh(leg));
            if is_fresh {
                told(self.hang_up_leg(asterisk, &channel).await, &channel);
            }
        }
        self.sweep(asterisk).await
    }

    /// Ends calls that are in the books as living and that Asterisk does not have any more: they ended while this process was
    /// away. An Asterisk without a name of its own (`systemname`) can't be told from another.
    async fn sweep(&self, asterisk: &str) -> Result<(), Refusal> {
        let info = self.ask(asterisk, Request::get("asterisk/info").with("only", "config")).await?;
        let name = info.body["config"]["name"].as_str().unwrap_or_default().to_owned();
        self.sweep_of(asterisk, &name).await?;
        // Those that were too young.
        tokio::time::sleep(limits::YOUNG).await;
        self.sweep_of(asterisk, &name).await
    }

    async fn sweep_of(&self, asterisk: &str, name: &str) -> Result<(), Refusal> {
        let us = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let (open, is_alone, now_us) = loop {
            let now_us = self.clock.now_us();
            let read = async {
                let open = open::open_before(&self.db, now_us - us(limits::YOUNG)).await?;
                let since_us = now_us - us(limits::NODE_TIME);
                Ok::<_, sqlx::Error>((open, open::is_alone(&self.db, self.journal.node(), since_us).await?))
            };
            match read.await {
                Ok((open, is_alone)) => break (open, is_alone, now_us),
                Err(error) => tracing::warn!(%error, "ends that nobody saw can't be looked for"),
            }
            tokio::time::sleep(limits::GRACE).await;
            if !self.board.connected().contains_key(asterisk) {
                return Ok(());
            }
        };
        let are_all_known = is_alone && self.links.all().all(|one| self.board.knows(one.name()));
        let gone: Vec<OpenCall> = {
            let table = self.board.table();
            // A call may go on without the channel that began it.
            let living: HashSet<&str> = table.calls().map(|(call, _)| call.as_str()).collect();
            let lives =
                |call: &OpenCall| living.contains(call.id.as_str()) || table.leg(&call.uniqueid).is_some();
            let was_here = |call: &OpenCall| match open::made(&call.uniqueid, asterisk, name) {
                Made::Here => true,
                Made::Anywhere => are_all_known,
                Made::Elsewhere => false,
            };
            open.into_iter().filter(|call| was_here(call) && !lives(call)).collect()
        };
        for call in gone {
            self.unseen(call, now_us).await;
        }
        Ok(())
    }

    async fn unseen(&self, call: OpenCall, at_us: i64) {
        let Ok(id) = Id::parse(&call.id) else { return };
        let tenant = TenantId::parse(&call.tenant_id).ok();
        // Whether somebody answered while nobody was there, nobody knows.
        let answered = self.answered(tenant.as_ref(), &id).await;
        let disposition = if answered.is_some() { "ANSWERED" } else { "" };
        let (answered_us, answered_by) = answered.unzip();
        self.router.live.remove(&id);
        let ended = Ended {
            id: Some(id),
            uniqueid: call.uniqueid,
            linkedid: call.linkedid,
            at_us,
            by: "live".into(),
            disposition: disposition.into(),
            answered_us,
            answered_by: answered_by.unwrap_or_default(),
            duration_ms: Some((at_us - call.started_at).max(0) / 1_000),
            ..Ended::default()
        };
        self.write::<serde_json::Value>(&Record::Ended(ended)).await;
    }
}

pub(super) fn gone_is_fine(done: Result<(), Refusal>) -> Result<(), Refusal> {
    match done {
        Err(Refusal::Gone) => Ok(()),
        other => other,
    }
}

/// What is left of a call that no dialplan runs any more: nobody is there for those who are alone, or whose phones ring.
fn left_over(table: &Table, linkedid: &str) -> Option<(String, String, Vec<Act>)> {
    let left = || {
        let of_it = table.legs().filter(|leg| leg.linkedid == linkedid);
        of_it.filter(|leg| leg.ours || Role::of(&leg.id).is_some() || leg.place != Place::Dialplan)
    };
    if left().filter(|leg| leg.talks_us.is_some() && leg.place == Place::Talk).count() > 1 {
        return None;
    }
    let asterisk = left().find_map(|leg| leg.seen_by.first().cloned())?;
    Some((asterisk, String::new(), left().map(|leg| Act::HangUp(leg.id.clone())).collect()))
}

/// What needs looking after on an Asterisk.
struct Found {
    /// Linkedids of calls in which channels are ours.
    groups: Vec<String>,
    /// Channels that nobody asked for.
    stale: Vec<String>,
    /// Who answered what a command asked, and nobody heard it.
    fresh: Vec<String>,
}

impl Found {
    fn of(table: &Table, asterisk: &str) -> Self {
        let ours = || table.legs().filter(|leg| leg.ours && leg.seen_by.iter().any(|name| name == asterisk));
        let mut groups: Vec<String> = ours().map(|leg| leg.linkedid.clone()).collect();
        groups.sort();
        groups.dedup();
        let stale = ours().filter(|leg| leg.place == Place::Dialplan);
        let fresh = ours().filter(|leg| is_fresh(leg));
        Self {
            groups,
            stale: stale.map(|leg| leg.id.clone()).collect(),
            fresh: fresh.map(|leg| leg.id.clone()).collect(),
        }
    }
}
