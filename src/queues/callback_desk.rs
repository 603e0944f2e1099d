//! What is done with callbacks: they are taken, dialled when it is their turn, and followed until the caller talks to a member.
//! Any node may dial; a callback is claimed with a lease before, and one whose lease ran out is taken up again.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::QueueStatus;
use super::callback::{self, CallbackState, DialError, Dialler, Due, Members, Stand, Wish};
use super::callback_store::{self as rows, Asked, Found, New, Open, Settings, Step, Takes};
use super::live::LiveQueues;
use super::state::State;
use super::visit::{How, Visit};
use crate::base::clock::Clock;
use crate::base::ids::{Id, IdSource, Name, Number, TenantId};
use crate::base::shutdown::Stopping;
use crate::config::limits::queues as limits;
use crate::db::{Db, Tx};
use crate::events::{Draft, Events};
use crate::routing::{MayCall, Router};

const SECOND_US: i64 = 1_000_000;

/// Everything that callbacks need.
#[derive(Debug)]
pub struct Callbacks {
    /// Where they are.
    pub db: Db,
    /// Time.
    pub clock: Clock,
    /// Makes ids.
    pub ids: IdSource,
    /// What changes tell.
    pub events: Arc<Events>,
    /// Knows opening hours, and what may be called.
    pub router: Arc<Router>,
    /// Who waits in the queues.
    pub live: Arc<LiveQueues>,
    /// What calls; `None`: this node calls nobody.
    pub dialler: Option<Arc<dyn Dialler>>,
    /// This node.
    pub node: Id,
    /// Callbacks whose calls this node counts against the limits on calls out, from the claim to the answer or the end.
    pub counted: Mutex<HashSet<Id>>,
}

/// A caller's wish to be called back.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The queue in which the caller waits.
    pub queue: &'a Name,
    /// Who is to be called.
    pub number: &'a Number,
    /// The caller's name; empty: not known.
    pub name: &'a str,
    /// The number that was called; empty: none.
    pub did: &'a str,
    /// The call; empty: none.
    pub call: &'a str,
    /// When the caller joined the line, microseconds since 1970 UTC.
    pub place_us: i64,
}

/// What one look at a queue shows.
struct Seen {
    callers: Vec<i64>,
    members: Members,
    /// The answered callbacks that the log knows, by id.
    answered: HashMap<String, InLine>,
}

/// What the log says of somebody who was called back.
#[derive(Clone, Copy)]
enum InLine {
    Waits,
    Talked,
    Left(&'static str),
}

impl Callbacks {
    /// Takes the wish of a caller in the line. A number that has an open callback in the queue keeps that one.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn ask(&self, tenant: &TenantId, wanted: Wanted<'_>) -> sqlx::Result<Option<Id>> {
        let settings = rows::settings(&self.db, tenant, wanted.queue.as_str()).await?;
        let Some(settings) = settings.filter(|queue| queue.status == QueueStatus::Active.as_str()) else {
            return Ok(None);
        };
        let (id, now_us) = (self.ids.next(), self.clock.now_us());
        let new = New {
            id: &id,
            queue: (&settings.id, wanted.queue.as_str()),
            number: wanted.number,
            name: wanted.name,
            asked_by: "keypad",
            did: wanted.did,
            call: wanted.call,
            // Nobody was in the line before the future.
            place_us: wanted.place_us.min(now_us),
            not_before_us: 0,
        };
        let mut tx = self.db.begin().await?;
        match rows::ask(&mut tx, (tenant, now_us), new, settings.callback_expires_s).await? {
            Asked::Full => Ok(None),
            Asked::Open(id) => {
                // Who was called back and asks again in that call waits again, at the old place.
                let back = Step {
                    next_us: now_us + limits::CALLBACK_AGAIN_S * SECOND_US,
                    expires_us: now_us + settings.callback_expires_s * SECOND_US,
                    attempts: -1,
                    of_call: wanted.call,
                    ..Step::new(CallbackState::Answered, CallbackState::Waiting)
                };
                if !wanted.call.is_empty()
                    && rows::step(&mut tx, (tenant, now_us), id.as_str(), back).await?.is_some()
                {
                    tx.commit().await?;
                }
                Ok(Some(id))
            }
            Asked::New(id, draft) => {
                self.commit(tx, (tenant, now_us), Some(draft)).await?;
                Ok(Some(id))
            }
        }
    }

    /// The place in Asterisk's line of a caller who joined then: behind those who joined before, from 1. Who was called back
    /// joined when the callback says so.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn position(&self, tenant: &TenantId, queue: &Name, place_us: i64) -> sqlx::Result<u32> {
        let open = rows::open(&self.db, tenant, queue).await?;
        let places: HashMap<&str, i64> =
            open.iter().filter(is_answered).map(|row| (row.uniqueid.as_str(), row.place_at)).collect();
        let before = |state: &State| {
            let place =
                |visit: &Visit| places.get(visit.call.as_str()).copied().unwrap_or(visit.entered_us());
            state.line(queue.as_str()).waiting.iter().filter(|visit| place(visit) < place_us).count()
        };
        let before = self.live.look(&self.db, (tenant, self.clock.now_us()), before).await?;
        Ok(u32::try_from(before + 1).unwrap_or(u32::MAX))
    }

    /// The caller has answered: with this call, which Asterisk knows by that uniqueid. `None`: there is no such callback, or it
    /// is over.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn answered(&self, id: &Id, (uniqueid, call): (&str, &Id)) -> sqlx::Result<Option<Found>> {
        let Some(found) = rows::find(&self.db, id).await? else { return Ok(None) };
        let (tenant, now_us) = (found.tenant.clone(), self.clock.now_us());
        // One that nobody believed to be dialled any more is answered all the same.
        for from in [CallbackState::Dialling, CallbackState::Waiting] {
            let step = Step {
                lease_us: now_us + limits::CALLBACK_CALL_US,
                call: (uniqueid, call.as_str()),
                ..Step::new(from, CallbackState::Answered)
            };
            if self.change((&tenant, now_us), id.as_str(), step).await? {
                // Its call counts from now on.
                self.uncount(id);
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The caller could not be reached: why. Another attempt follows after a pause, unless this was the last. Returns whether
    /// the callback was being dialled.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn failed(&self, tenant: &TenantId, id: &Id, why: &str) -> sqlx::Result<bool> {
        let Some(found) = rows::find(&self.db, id).await?.filter(|found| found.tenant == *tenant) else {
            return Ok(false);
        };
        let Some(settings) = rows::settings(&self.db, tenant, found.queue.as_str()).await? else {
            return Ok(false);
        };
        let open = rows::open(&self.db, tenant, &found.queue).await?;
        match open.iter().find(|row| row.id == id.as_str()) {
            Some(row) => self.missed(tenant, row, &settings, (CallbackState::Dialling, why)).await,
            None => Ok(false),
        }
    }

    /// Whose a callback is; `None`: there is none.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn whose(&self, id: &Id) -> sqlx::Result<Option<TenantId>> {
        Ok(rows::find(&self.db, id).await?.map(|found| found.tenant))
    }

    /// An attempt that came to nothing.
    async fn missed(
        &self,
        tenant: &TenantId,
        row: &Open,
        settings: &Settings,
        (from, why): (CallbackState, &str),
    ) -> sqlx::Result<bool> {
        let now_us = self.clock.now_us();
        let to = match row.attempts >= settings.callback_attempts {
            true => CallbackState::Failed,
            false => CallbackState::Waiting,
        };
        let next_us = now_us + settings.callback_retry_s * SECOND_US;
        let step = Step { next_us, error: why, ..Step::new(from, to) };
        let changed = self.change((tenant, now_us), &row.id, step).await?;
        if let Ok(id) = Id::parse(&row.id) {
            self.uncount(&id);
        }
        Ok(changed)
    }

    fn counted(&self) -> MutexGuard<'_, HashSet<Id>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A callback is no call out any more.
    fn uncount(&self, id: &Id) {
        self.counted().remove(id);
        self.router.come_back(id);
    }

    async fn change(&self, when: (&TenantId, i64), id: &str, step: Step<'_>) -> sqlx::Result<bool> {
        let mut tx = self.db.begin().await?;
        let Some(draft) = rows::step(&mut tx, when, id, step).await? else { return Ok(false) };
        self.commit(tx, when, draft).await?;
        Ok(true)
    }

    async fn commit(&self, mut tx: Tx, when: (&TenantId, i64), draft: Option<Draft>) -> sqlx::Result<()> {
        let drafts = draft.into_iter().collect();
        let position = self.events.write_after(&mut tx, &self.ids, when, drafts, &[]).await?;
        tx.commit().await?;
        if let Some(position) = position {
            self.events.news.tell(when.0, position);
        }
        Ok(())
    }

    /// Looks after callbacks until `stopping`.
    pub async fn run(self: Arc<Self>, mut stopping: Stopping) {
        let mut is_told = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(limits::CALLBACK_TIME) => {}
                () = stopping.stopped() => return,
            }
            match self.round().await {
                Ok(queues) if queues > 0 && self.ready().is_none() => {
                    if !is_told {
                        tracing::warn!(
                            "callbacks wait: this node is connected to no Asterisk over ARI that could dial"
                        );
                    }
                    is_told = true;
                }
                Ok(_) => is_told = false,
                Err(error) => tracing::warn!(%error, "callbacks can't be looked after"),
            }
        }
    }

    /// What dials, where it can.
    fn ready(&self) -> Option<&dyn Dialler> {
        self.dialler.as_deref().filter(|dialler| dialler.is_ready())
    }

    /// Looks after every open callback once. Returns how many queues have one.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn round(&self) -> sqlx::Result<usize> {
        let queues = rows::queues(&self.db).await?;
        let mut rings = HashSet::new();
        for (tenant, queue) in &queues {
            rings.extend(self.queue(tenant, queue).await?);
        }
        // What another node was told of, or whose queue is gone.
        let over: Vec<Id> = self.counted().difference(&rings).cloned().collect();
        over.iter().for_each(|id| self.uncount(id));
        Ok(queues.len())
    }

    /// Looks after a queue's callbacks. Returns those that are being dialled.
    async fn queue(&self, tenant: &TenantId, queue: &Name) -> sqlx::Result<Vec<Id>> {
        let settings = rows::settings(&self.db, tenant, queue.as_str()).await?;
        let open = rows::open(&self.db, tenant, queue).await?;
        let seen = self.look(tenant, queue, settings.as_ref(), &open).await?;
        let mut stay = Vec::new();
        for row in &open {
            if !self.is_settled(tenant, row, settings.as_ref(), &seen).await? {
                stay.push(row);
            }
        }
        let is_dialling = |row: &&&Open| row.state == CallbackState::Dialling.as_str();
        let mut rings: Vec<Id> =
            stay.iter().filter(is_dialling).filter_map(|row| Id::parse(&row.id).ok()).collect();
        let (Some(settings), Some(dialler)) = (settings, self.ready()) else { return Ok(rings) };
        let wishes = self.wishes((tenant, queue), &stay).await?;
        for id in callback::due(self.clock.now_us(), &seen.callers, &wishes, seen.members) {
            let Some(row) = stay.iter().find(|row| row.id == id.as_str()) else { continue };
            if self.router.count_callback(tenant, &id).await.is_err() {
                // It waits for a call to end, and those behind it too.
                break;
            }
            self.counted().insert(id.clone());
            rings.push(id);
            self.dial(dialler, (tenant, queue), row, &settings).await?;
        }
        Ok(rings)
    }

    /// The callbacks that are planned: without those that may not be dialled now, which hold up nobody behind them. One that
    /// may not be dialled at all is given up.
    async fn wishes(&self, of: (&TenantId, &Name), rows: &[&Open]) -> sqlx::Result<Vec<Wish>> {
        let (now_us, mut wishes) = (self.clock.now_us(), Vec::new());
        for row in rows {
            let Some(wish) = wish(row) else { continue };
            if matches!(wish.stand, Stand::Waiting(from_us) if from_us <= now_us) {
                let Ok(number) = Number::parse(&row.number) else { continue };
                match self.router.may_call_back(of, &number, &row.did, now_us).await {
                    MayCall::Yes => {}
                    MayCall::Later(_) => continue,
                    MayCall::Never(why) => {
                        let step =
                            Step { error: why, ..Step::new(CallbackState::Waiting, CallbackState::Failed) };
                        self.change((of.0, now_us), &row.id, step).await?;
                        continue;
                    }
                }
            }
            wishes.push(wish);
        }
        Ok(wishes)
    }

    /// Ends what has waited too long or is over, and takes up what nobody looks after any more. Returns whether it did.
    async fn is_settled(
        &self,
        tenant: &TenantId,
        row: &Open,
        settings: Option<&Settings>,
        seen: &Seen,
    ) -> sqlx::Result<bool> {
        let now_us = self.clock.now_us();
        match (CallbackState::parse(&row.state), settings) {
            (Some(CallbackState::Waiting), _) if row.expires_at <= now_us => {
                let step = Step {
                    error: if row.attempts == 0 {
                        "its turn did not come in time"
                    } else {
                        "no attempt reached the caller"
                    },
                    ..Step::new(CallbackState::Waiting, CallbackState::Expired)
                };
                self.change((tenant, now_us), &row.id, step).await
            }
            (Some(CallbackState::Dialling), Some(settings)) if row.lease_at <= now_us => {
                let why = (CallbackState::Dialling, "nobody told what became of it");
                self.missed(tenant, row, settings, why).await
            }
            (Some(CallbackState::Answered), _) => match seen.answered.get(&row.id) {
                Some(InLine::Waits) => Ok(false),
                Some(InLine::Talked) => self.over(tenant, row, Ok(())).await,
                // Whoever pressed the key may be on the way back into the line, or about to be called back once more.
                Some(InLine::Left(how)) if *how == How::Key.as_str() => {
                    let now_us = self.clock.now_us();
                    let ended = match rows::became(&self.db, tenant, &row.called_call_id).await? {
                        Some(call) => call.ended_at.is_some_and(|at| at + limits::LIVE_LATE_US <= now_us),
                        None => row.lease_at <= now_us,
                    };
                    if ended { self.over(tenant, row, Err(how)).await } else { Ok(false) }
                }
                Some(InLine::Left(how)) => self.over(tenant, row, Err(how)).await,
                None => self.has_ended(tenant, row, settings).await,
            },
            _ => Ok(false),
        }
    }

    /// The end of a call that is in no line as far as the log knows. Returns whether it was settled.
    async fn has_ended(
        &self,
        tenant: &TenantId,
        row: &Open,
        settings: Option<&Settings>,
    ) -> sqlx::Result<bool> {
        let now_us = self.clock.now_us();
        match (rows::became(&self.db, tenant, &row.called_call_id).await?, settings) {
            (None, _) if row.lease_at <= now_us => {
                self.over(tenant, row, Err("nothing is known of the call")).await
            }
            (Some(call), _) if call.ended_at.is_none_or(|at| at + limits::LIVE_LATE_US > now_us) => Ok(false),
            // No log, or not its last row.
            (Some(call), _) if call.talked => self.over(tenant, row, Ok(())).await,
            (Some(call), Some(settings)) if !call.queue_status.is_empty() => {
                let why = (CallbackState::Answered, "the queue took no caller");
                self.missed(tenant, row, settings, why).await
            }
            (Some(_), _) => self.over(tenant, row, Err("the caller hung up before the queue")).await,
            (None, _) => Ok(false),
        }
    }

    /// The caller has talked to a member, or not: why.
    async fn over(&self, tenant: &TenantId, row: &Open, how: Result<(), &str>) -> sqlx::Result<bool> {
        let to = if how.is_ok() { CallbackState::Done } else { CallbackState::Failed };
        let step = Step { error: how.err().unwrap_or_default(), ..Step::new(CallbackState::Answered, to) };
        self.change((tenant, self.clock.now_us()), &row.id, step).await
    }

    async fn look(
        &self,
        tenant: &TenantId,
        queue: &Name,
        settings: Option<&Settings>,
        open: &[Open],
    ) -> sqlx::Result<Seen> {
        let (mut present, mut others) = (Vec::new(), Vec::new());
        if let Some(settings) = settings {
            present = rows::members(&self.db, tenant, &settings.id).await?;
            for (other, called) in rows::called_elsewhere(&self.db, tenant, &settings.id).await? {
                others.push((called, rows::members(&self.db, tenant, &other).await?));
            }
        }
        let (now_us, rest_us) =
            (self.clock.now_us(), settings.map_or(0, |settings| settings.wrapup_s * SECOND_US));
        let answered: Vec<&Open> = open.iter().filter(is_answered).collect();
        let see = |state: &State| {
            let (line, talks, ends) = (state.line(queue.as_str()), state.talks(), state.ends(queue.as_str()));
            let own: HashSet<&str> = answered.iter().map(|row| row.uniqueid.as_str()).collect();
            let rests = |name: &str| ends.get(name).is_some_and(|at| now_us - at < rest_us);
            let is_free = |one: &&Takes| one.is_idle && !talks.contains_key(&one.name);
            let free: HashSet<&str> = present
                .iter()
                .filter(|one| is_free(one) && !rests(&one.name))
                .map(|one| one.name.as_str())
                .collect();
            let known = |row: &&Open| {
                let how = in_line(&state.visit(&row.uniqueid, queue.as_str())?);
                Some((row.id.clone(), how))
            };
            let elsewhere = others.iter().map(|(called, members)| {
                let free_there = members.iter().filter(is_free).map(|one| one.name.as_str());
                taken(*called, free_there, &free)
            });
            let callers = line.waiting.iter().filter(|visit| !own.contains(visit.call.as_str()));
            Seen {
                callers: callers.map(Visit::entered_us).collect(),
                members: Members { free: free.len().saturating_sub(elsewhere.sum()), present: present.len() },
                answered: answered.iter().filter_map(known).collect(),
            }
        };
        self.live.look(&self.db, (tenant, now_us), see).await
    }

    /// Claims a callback that is counted already, and dials it.
    async fn dial(
        &self,
        dialler: &dyn Dialler,
        (tenant, queue): (&TenantId, &Name),
        row: &Open,
        settings: &Settings,
    ) -> sqlx::Result<()> {
        let (Ok(id), Ok(number)) = (Id::parse(&row.id), Number::parse(&row.number)) else { return Ok(()) };
        let now_us = self.clock.now_us();
        let claim = Step::claim(row.attempts, self.node.as_str(), now_us + limits::CALLBACK_LEASE_US);
        if !self.change((tenant, now_us), &row.id, claim).await? {
            // Another node was faster.
            self.uncount(&id);
            return Ok(());
        }
        let due = Due {
            tenant: tenant.clone(),
            id,
            queue: queue.clone(),
            number,
            name: row.name.clone(),
            shows: self.router.shown_to_called((tenant, queue), &row.did).await,
            place_us: row.place_at,
        };
        let dialled = tokio::time::timeout(limits::CALLBACK_DIAL_TIME, dialler.dial(&due)).await;
        let slow = || Err(DialError::Unknown("the Asterisk did not answer in time".to_owned()));
        let Err(why) = dialled.unwrap_or_else(|_| slow()) else { return Ok(()) };
        tracing::warn!(tenant.id = %tenant, callback.id = %due.id, error = %why, "a callback can't be dialled");
        match why {
            // It may ring: its claim runs out, unless somebody answers.
            DialError::Unknown(_) => {}
            DialError::NotReady => {
                let error = why.to_string();
                let back = Step {
                    next_us: row.next_at,
                    attempts: -1,
                    error: &error,
                    ..Step::new(CallbackState::Dialling, CallbackState::Waiting)
                };
                self.change((tenant, now_us), &row.id, back).await?;
                self.uncount(&due.id);
            }
            DialError::Refused(why) => {
                let row = Open { attempts: row.attempts + 1, ..row.clone() };
                self.missed(tenant, &row, settings, (CallbackState::Dialling, &why)).await?;
            }
        }
        Ok(())
    }
}

fn is_answered(row: &&Open) -> bool {
    row.state == CallbackState::Answered.as_str()
}

fn in_line(visit: &Visit) -> InLine {
    match (visit.answered_us(), visit.how()) {
        (Some(_), _) => InLine::Talked,
        (None, Some(how)) => InLine::Left(how.as_str()),
        (None, None) => InLine::Waits,
    }
}

/// How many of a queue's free members the callers take who are called back in another queue, with these free members: those
/// for whom it has no other.
fn taken<'m>(called: i64, there: impl Iterator<Item = &'m str>, here: &HashSet<&str>) -> usize {
    let (shared, alone): (Vec<&str>, Vec<&str>) = there.partition(|name| here.contains(name));
    usize::try_from(called).unwrap_or(0).saturating_sub(alone.len()).min(shared.len())
}

fn wish(row: &Open) -> Option<Wish> {
    let stand = match CallbackState::parse(&row.state)? {
        CallbackState::Waiting => Stand::Waiting(row.next_at),
        CallbackState::Dialling | CallbackState::Answered => Stand::Called,
        _ => return None,
    };
    Some(Wish { id: Id::parse(&row.id).ok()?, place_us: row.place_at, stand })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_member_is_free_for_one_queue() {
        let here = HashSet::from(["101", "102"]);
        let taken = |called, there: &[&str]| taken(called, there.iter().copied(), &here);
        assert_eq!((taken(1, &["101"]), taken(1, &["103"]), taken(0, &["101"])), (1, 0, 0));
        assert_eq!(
            (taken(1, &["101", "103"]), taken(2, &["101", "103"]), taken(9, &["101", "102"])),
            (0, 1, 2)
        );
    }
}
