//! What is done with callbacks: they are taken, dialled when it is their turn, and followed until the caller talks to a member.
//! Any node may dial; a callback is claimed with a lease before, and one whose lease ran out is taken up again.

use std::collections::HashSet;
use std::sync::Arc;

use super::QueueStatus;
use super::callback::{self, CallbackState, Dialler, Due, Members, Stand, Wish};
use super::callback_store::{self as rows, Asked, Found, New, Open, Settings, Step};
use super::live::LiveQueues;
use super::state::State;
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
    /// The answered callbacks that are over, and how: talked, or why not.
    over: Vec<(String, Result<(), &'static str>)>,
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
            Asked::Open(id) => Ok(Some(id)),
            Asked::New(id, draft) => {
                self.commit(tx, (tenant, now_us), Some(draft)).await?;
                Ok(Some(id))
            }
        }
    }

    /// The place in Asterisk's line of a caller who joined then: behind those who joined before, from 1.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn position(&self, tenant: &TenantId, queue: &Name, place_us: i64) -> sqlx::Result<u32> {
        let before = |state: &State| {
            let waiting = state.line(queue.as_str()).waiting;
            waiting.iter().filter(|visit| visit.entered_us() < place_us).count()
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
        let (tenant, now_us) = (found.0.clone(), self.clock.now_us());
        // One that nobody believed to be dialled any more is answered all the same.
        for from in [CallbackState::Dialling, CallbackState::Waiting] {
            let step = Step {
                lease_us: now_us + limits::CALLBACK_CALL_US,
                call: (uniqueid, call.as_str()),
                ..Step::new(from, CallbackState::Answered)
            };
            if self.change((&tenant, now_us), id.as_str(), step).await? {
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
        let Some((_, queue, ..)) = rows::find(&self.db, id).await?.filter(|found| found.0 == *tenant) else {
            return Ok(false);
        };
        let Some(settings) = rows::settings(&self.db, tenant, queue.as_str()).await? else {
            return Ok(false);
        };
        let open = rows::open(&self.db, tenant, &queue).await?;
        match open.iter().find(|row| row.id == id.as_str()) {
            Some(row) => self.missed(tenant, row, &settings, why).await,
            None => Ok(false),
        }
    }

    /// Whose a callback is; `None`: there is none.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn whose(&self, id: &Id) -> sqlx::Result<Option<TenantId>> {
        Ok(rows::find(&self.db, id).await?.map(|found: Found| found.0))
    }

    async fn missed(
        &self,
        tenant: &TenantId,
        row: &Open,
        settings: &Settings,
        why: &str,
    ) -> sqlx::Result<bool> {
        let now_us = self.clock.now_us();
        let to = match row.attempts >= settings.callback_attempts {
            true => CallbackState::Failed,
            false => CallbackState::Waiting,
        };
        let next_us = now_us + settings.callback_retry_s * SECOND_US;
        let step = Step { next_us, error: why, ..Step::new(CallbackState::Dialling, to) };
        self.change((tenant, now_us), &row.id, step).await
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
        let mut is_told = self.dialler.is_some();
        loop {
            tokio::select! {
                () = tokio::time::sleep(limits::CALLBACK_TIME) => {}
                () = stopping.stopped() => return,
            }
            match self.round().await {
                Ok(queues) if queues > 0 && !is_told => {
                    is_told = true;
                    tracing::warn!(
                        "callbacks wait: this node is connected to no Asterisk over ARI that could dial"
                    );
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "callbacks can't be looked after"),
            }
        }
    }

    /// Looks after every open callback once. Returns how many queues have one.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn round(&self) -> sqlx::Result<usize> {
        let queues = rows::queues(&self.db).await?;
        for (tenant, queue) in &queues {
            self.queue(tenant, queue).await?;
        }
        Ok(queues.len())
    }

    async fn queue(&self, tenant: &TenantId, queue: &Name) -> sqlx::Result<()> {
        let settings = rows::settings(&self.db, tenant, queue.as_str()).await?;
        let open = rows::open(&self.db, tenant, queue).await?;
        let now_us = self.clock.now_us();
        let mut wishes = Vec::new();
        for row in &open {
            if !self.is_settled(tenant, row, settings.as_ref(), now_us).await? {
                wishes.push(row);
            }
        }
        let Some(settings) = settings else { return Ok(()) };
        let seen = self.look(tenant, queue, &settings, &wishes).await?;
        for (id, how) in &seen.over {
            let (to, error) = match how {
                Ok(()) => (CallbackState::Done, ""),
                Err(why) => (CallbackState::Failed, *why),
            };
            let step = Step { error, ..Step::new(CallbackState::Answered, to) };
            self.change((tenant, now_us), id, step).await?;
        }
        let Some(dialler) = &self.dialler else { return Ok(()) };
        let is_over = |row: &&&Open| !seen.over.iter().any(|(id, _)| *id == row.id);
        let wishes: Vec<&Open> = wishes.iter().filter(is_over).copied().collect();
        let stands: Vec<Wish> = wishes.iter().filter_map(|row| wish(row)).collect();
        for id in callback::due(now_us, &seen.callers, &stands, seen.members) {
            let Some(row) = wishes.iter().find(|row| row.id == id.as_str()) else { continue };
            self.dial(&**dialler, (tenant, queue), row, &settings).await?;
        }
        Ok(())
    }

    /// Ends what has waited too long, and takes up what nobody looks after any more. Returns whether it did.
    async fn is_settled(
        &self,
        tenant: &TenantId,
        row: &Open,
        settings: Option<&Settings>,
        now_us: i64,
    ) -> sqlx::Result<bool> {
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
                self.missed(tenant, row, settings, "nobody told what became of it").await
            }
            // The log knows nothing of it: the call was answered, and is long over.
            (Some(CallbackState::Answered), _) if row.lease_at <= now_us => {
                let step = Step::new(CallbackState::Answered, CallbackState::Done);
                self.change((tenant, now_us), &row.id, step).await
            }
            _ => Ok(false),
        }
    }

    async fn look(
        &self,
        tenant: &TenantId,
        queue: &Name,
        settings: &Settings,
        wishes: &[&Open],
    ) -> sqlx::Result<Seen> {
        let present = rows::members(&self.db, tenant, &settings.id).await?;
        let now_us = self.clock.now_us();
        let answered: Vec<&&Open> =
            wishes.iter().filter(|row| row.state == CallbackState::Answered.as_str()).collect();
        let see = |state: &State| {
            let (line, talks, ends) = (state.line(queue.as_str()), state.talks(), state.ends(queue.as_str()));
            let own: HashSet<&str> = answered.iter().map(|row| row.uniqueid.as_str()).collect();
            let rests =
                |name: &str| ends.get(name).is_some_and(|at| now_us - at < settings.wrapup_s * SECOND_US);
            let free = present.iter().filter(|name| !talks.contains_key(*name) && !rests(name)).count();
            let over = answered.iter().filter_map(|row| {
                let visit = state.visit(&row.uniqueid, queue.as_str())?;
                match (visit.answered_us(), visit.how()) {
                    (Some(_), _) => Some((row.id.clone(), Ok(()))),
                    (None, Some(how)) => Some((row.id.clone(), Err(how.as_str()))),
                    (None, None) => None,
                }
            });
            let others = line.waiting.iter().filter(|visit| !own.contains(visit.call.as_str()));
            Seen {
                callers: others.map(super::visit::Visit::entered_us).collect(),
                members: Members { free, present: present.len() },
                over: over.collect(),
            }
        };
        self.live.look(&self.db, (tenant, now_us), see).await
    }

    async fn dial(
        &self,
        dialler: &dyn Dialler,
        (tenant, queue): (&TenantId, &Name),
        row: &Open,
        settings: &Settings,
    ) -> sqlx::Result<()> {
        let (Ok(id), Ok(number)) = (Id::parse(&row.id), Number::parse(&row.number)) else { return Ok(()) };
        let now_us = self.clock.now_us();
        match self.router.may_call_back((tenant, queue), &number, &row.did, now_us).await {
            MayCall::Yes => {}
            MayCall::Later(_) => return Ok(()),
            MayCall::Never(why) => {
                let step = Step { error: why, ..Step::new(CallbackState::Waiting, CallbackState::Failed) };
                return self.change((tenant, now_us), &row.id, step).await.map(drop);
            }
        }
        let claim = Step {
            lease_us: now_us + limits::CALLBACK_LEASE_US,
            node: self.node.as_str(),
            ..Step::new(CallbackState::Waiting, CallbackState::Dialling)
        };
        if !self.change((tenant, now_us), &row.id, claim).await? {
            // Another node was faster.
            return Ok(());
        }
        let due = Due {
            tenant: tenant.clone(),
            id,
            queue: queue.clone(),
            number,
            name: row.name.clone(),
            place_us: row.place_at,
        };
        let dialled = tokio::time::timeout(limits::CALLBACK_DIAL_TIME, dialler.dial(&due)).await;
        if let Err(why) = dialled.unwrap_or_else(|_| Err("the Asterisk did not answer in time".to_owned())) {
            tracing::warn!(tenant.id = %tenant, callback.id = %due.id, error = %why, "a callback can't be dialled");
            let row = Open { attempts: row.attempts + 1, ..row.clone() };
            self.missed(tenant, &row, settings, &why).await?;
        }
        Ok(())
    }
}

fn wish(row: &Open) -> Option<Wish> {
    let stand = match CallbackState::parse(&row.state)? {
        CallbackState::Waiting => Stand::Waiting(row.next_at),
        CallbackState::Dialling | CallbackState::Answered => Stand::Called,
        _ => return None,
    };
    Some(Wish { id: Id::parse(&row.id).ok()?, place_us: row.place_at, stand })
}
