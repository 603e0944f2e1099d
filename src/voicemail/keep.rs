//! Keeps rows and Asterisk's spool the same, in both directions.
//!
//! A new message becomes a row and an event in one transaction, once for each of Asterisk's ids. What the API changed is
//! done to the files; what the owner did by phone comes into the rows. `folder` is where a message should be,
//! `spool_folder` where it was seen last: what differs tells who changed it, over any death of this process.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::api::VOICEMAILS;
use super::messages::{self, New, Row};
use super::notice;
use super::spool::{self, Found, Listing, Place};
use crate::api::store::{self, Scope};
use crate::api::{Record, crud};
use crate::base::clock::Clock;
use crate::base::ids::{Id, IdSource, Name, TenantId};
use crate::base::shutdown::Stopping;
use crate::config::limits::sound as limits;
use crate::db::{self, Db, Tx};
use crate::events::Events;
use crate::mail;
use crate::storage::{self, Kept, Storage, wav};
use crate::tenants;

/// Takes messages over and keeps them the same.
#[derive(Clone, Debug)]
pub struct Keeper {
    /// The database.
    pub db: Db,
    /// Time.
    pub clock: Clock,
    /// Ids of messages and events.
    pub ids: IdSource,
    /// What changes tell.
    pub events: Arc<Events>,
    /// Where sounds go.
    pub storage: Storage,
    /// Asterisk's spool.
    pub spool: PathBuf,
    /// Whose messages: this node's Asterisk has the files.
    pub node: Id,
    /// Whether mail leaves: only then is one written.
    pub mails: bool,
    /// What was seen of each mailbox when it was looked at last.
    pub seen: HashMap<Place, u128>,
}

/// Why a mailbox could not be looked at.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error("the spool: {0}")]
    Spool(#[from] std::io::Error),
}

/// Runs something that waits for files on a thread that may wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

impl Keeper {
    /// Works until `stopping`: all mailboxes when a call has ended and now and then, changed ones at once.
    pub async fn run(mut self, mut ended: watch::Receiver<()>, mut stopping: Stopping) {
        let mut look = tokio::time::interval(limits::LOOK_TIME);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick() => self.look().await,
                Ok(()) = ended.changed() => {
                    tokio::time::sleep(limits::SETTLE_TIME).await;
                    self.look().await;
                }
                () = tokio::time::sleep(limits::DUE_TIME) => self.due().await,
                () = stopping.stopped() => return,
            }
        }
    }

    /// Looks at every mailbox in which something came, went or moved.
    pub async fn look(&mut self) {
        let spool = self.spool.clone();
        let places = match blocking(move || spool::places(&spool)).await {
            Ok(places) => places,
            Err(error) => return tracing::warn!(%error, "Asterisk's messages can't be looked for"),
        };
        // A mailbox whose folder is gone is looked at once more.
        let mut changed: Vec<(Place, u128)> =
            places.iter().filter(|(place, stamp)| self.seen.get(place) != Some(stamp)).cloned().collect();
        let gone = self.seen.keys().filter(|place| places.iter().all(|(there, _)| there != *place));
        changed.extend(gone.map(|place| (place.clone(), 0)));
        for (place, stamp) in changed {
            match self.reconcile(&place).await {
                Ok(()) => drop(self.seen.insert(place, stamp)),
                Err(error) => told(&place, &error),
            }
        }
        self.seen.retain(|place, _| places.iter().any(|(there, _)| there == place));
    }

    /// Deletes messages whose owner has them by mail and wants no more of them.
    async fn mailed(&self) -> sqlx::Result<()> {
        for (mail, tenant, reference) in mail::outbox::sent(&self.db).await? {
            let Ok(tenant) = TenantId::parse(&tenant) else { continue };
            let id = notice::message(&reference);
            if messages::goes_by_mail(&self.db, &tenant, id).await? {
                let now_us = self.clock.now_us();
                self.change(&tenant, id, "delete", async |tx: &mut Tx| {
                    messages::delete(tx, &tenant, id, now_us).await
                })
                .await?;
            }
            // A process that dies before this finds a message that is deleted already.
            let mut tx = self.db.begin().await?;
            mail::outbox::close(&mut tx, &tenant, &mail).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Looks at mailboxes with something that is due.
    pub async fn due(&mut self) {
        if let Err(error) = self.mailed().await {
            tracing::debug!(%error, "messages that were mailed can't be looked for");
        }
        let due = match messages::due(&self.db, &self.node, self.clock.now_us()).await {
            Ok(due) => due,
            Err(error) => return tracing::debug!(%error, "messages that are due can't be read"),
        };
        for (tenant, mailbox) in due {
            let (Ok(tenant), Ok(mailbox)) = (TenantId::parse(&tenant), Name::parse(&mailbox)) else {
                continue;
            };
            let path = self.spool.join("voicemail").join(tenant.as_str()).join(mailbox.as_str());
            let place = Place { tenant, mailbox, path };
            if let Err(error) = self.reconcile(&place).await {
                told(&place, &error);
            }
        }
    }

    async fn list(&self, place: &Place) -> std::io::Result<Listing> {
        let place = place.clone();
        blocking(move || spool::list(&place)).await
    }

    /// Makes one mailbox's rows and files the same.
    async fn reconcile(&self, place: &Place) -> Result<(), Wrong> {
        let mut listing = self.list(place).await?;
        let rows = messages::rows(&self.db, &self.node, place).await?;
        if !listing.twice.is_empty() {
            self.settle(place, &listing, &rows).await?;
            listing = self.list(place).await?;
        }
        let is_missing = |listing: &Listing| {
            rows.iter().any(|row| row.deleted_at == 0 && !listing.messages.contains_key(row.message_id()))
        };
        for _ in 1..limits::LOOKS {
            if !is_missing(&listing) {
                break;
            }
            tokio::time::sleep(limits::LOOKS_REST).await;
            let again = self.list(place).await?;
            // What was seen in any of them is there.
            listing.messages.extend(again.messages);
        }
        let mut may_move = None;
        for row in &rows {
            match listing.messages.remove(row.message_id()) {
                Some(found) => {
                    let asks = row.deleted_at > 0 || row.folder != row.spool_folder;
                    if asks && may_move.is_none() {
                        may_move = Some(!messages::is_open(&self.db, place).await?);
                    }
                    self.same(place, row, found, may_move != Some(false)).await?;
                }
                None => self.gone(place, row).await?,
            }
        }
        for found in listing.messages.into_values() {
            if !messages::is_known(&self.db, place, &found.message_id).await? {
                self.take(place, &found).await?;
            }
        }
        Ok(())
    }

    async fn settle(&self, place: &Place, listing: &Listing, rows: &[Row]) -> Result<(), Wrong> {
        for second in &listing.twice {
            let Some(first) = listing.messages.get(&second.message_id) else { continue };
            let row = rows.iter().find(|row| row.message_id() == second.message_id);
            let keep = row.map_or_else(|| first.folder.clone(), |row| row.folder.clone());
            let (place, first, second) = (place.clone(), first.clone(), second.clone());
            blocking(move || spool::settle(&place, &first, &second, &keep)).await?;
        }
        Ok(())
    }

    /// A message with its row.
    async fn same(&self, place: &Place, row: &Row, found: Found, may_move: bool) -> Result<(), Wrong> {
        let tenant = &place.tenant;
        if row.deleted_at > 0 || row.folder != row.spool_folder {
            if !may_move {
                // The owner is in the menu, where Asterisk counts on its numbers.
                let at_us = self.clock.now_us() + 1_000_000;
                return Ok(messages::later(&self.db, tenant, &row.id, (None, at_us)).await?);
            }
            let (to, there) = (row.folder.clone(), place.clone());
            let is_gone = row.deleted_at > 0;
            if is_gone {
                blocking(move || spool::remove(&there, &found)).await?;
            } else if found.folder != to {
                blocking(move || spool::shift(&there, &found, &to)).await?;
            }
            let now_in = if is_gone { "" } else { row.folder.as_str() };
            return Ok(messages::lies_in(&self.db, tenant, &row.id, now_in).await?);
        }
        if found.folder != row.folder {
            let now_us = self.clock.now_us();
            self.change(tenant, &row.id, "move", async |tx: &mut Tx| {
                messages::moved(tx, tenant, row, &found, now_us).await
            })
            .await?;
        }
        if row.storage_key.is_empty() && row.copy_at.is_some_and(|at| at <= self.clock.now_us()) {
            self.copy_again(place, row, &found).await?;
        } else if !row.storage_key.is_empty() && row.copy_at.is_some() {
            messages::lies_in(&self.db, tenant, &row.id, &found.folder).await?;
        }
        Ok(())
    }

    /// A row whose message is not in the spool any more: its owner deleted it, or we did.
    async fn gone(&self, place: &Place, row: &Row) -> Result<(), Wrong> {
        let tenant = &place.tenant;
        if row.deleted_at == 0 {
            let now_us = self.clock.now_us();
            self.change(tenant, &row.id, "delete", async |tx: &mut Tx| {
                messages::delete(tx, tenant, &row.id, now_us).await
            })
            .await?;
        }
        Ok(messages::lies_in(&self.db, tenant, &row.id, "").await?)
    }

    /// Changes a row and tells of it, in one transaction.
    pub(super) async fn change(
        &self,
        tenant: &TenantId,
        id: &str,
        word: &str,
        change: impl AsyncFnOnce(&mut Tx) -> sqlx::Result<()>,
    ) -> sqlx::Result<()> {
        let (scope, now_us) = (Scope::tenant(tenant), self.clock.now_us());
        let mut tx = self.db.begin().await?;
        let before = store::get_locked(&mut tx, &VOICEMAILS, &scope, id).await?.unwrap_or_default();
        change(&mut tx).await?;
        let after = store::get_locked(&mut tx, &VOICEMAILS, &scope, id).await?.unwrap_or_default();
        let line = crud::line(&VOICEMAILS, word, id.to_owned(), before, after);
        let position = self.events.write(&mut tx, &self.ids, (tenant, now_us), &[line]).await?;
        tx.commit().await?;
        if let Some(position) = position {
            self.events.news.tell(tenant, position);
        }
        Ok(())
    }

    /// Copies a message's sound; else why not, and when it is tried again.
    async fn copy(
        &self,
        place: &Place,
        found: &Found,
        tries: i64,
        time: std::time::Duration,
    ) -> sqlx::Result<Result<Kept, (String, i64)>> {
        let later = |why: String, seconds: i64| Ok(Err((why, self.clock.now_us() + seconds * 1_000_000)));
        let Some(file) = &found.sound else {
            return later("Asterisk left no sound.".into(), limits::COPY_WAIT_MOST_S);
        };
        let bytes = match tokio::fs::metadata(file).await {
            Ok(meta) => meta.len(),
            Err(error) => {
                return later(format!("The sound can't be read: {error}"), limits::wait_s(tries + 1));
            }
        };
        if !tenants::has_space(&self.db, &place.tenant, bytes).await? {
            let why = "The tenant's storage is full (max_storage_mib).";
            return later(why.into(), limits::COPY_WAIT_MOST_S);
        }
        let name = format!("{}-{}.{}", place.mailbox, found.message_id, found.format());
        let key = storage::key(&place.tenant, "voicemails", &name);
        let copying = self.storage.keep(&key, file, limits::SOUND_BYTES);
        match tokio::time::timeout(time, copying).await {
            Ok(Ok(kept)) => Ok(Ok(kept)),
            Ok(Err(error)) => later(error.to_string(), limits::wait_s(tries + 1)),
            Err(_) => later("The store took too long.".into(), limits::wait_s(tries + 1)),
        }
    }

    async fn copy_again(&self, place: &Place, row: &Row, found: &Found) -> Result<(), Wrong> {
        let tenant = &place.tenant;
        match self.copy(place, found, row.copy_tries, limits::LATER_COPY_TIME).await? {
            Ok(kept) => {
                let now_us = self.clock.now_us();
                self.change(tenant, &row.id, "store", async |tx: &mut Tx| {
                    messages::kept(tx, tenant, &row.id, &kept, now_us).await
                })
                .await?;
            }
            Err((why, at_us)) => messages::later(&self.db, tenant, &row.id, (Some(&why), at_us)).await?,
        }
        Ok(())
    }

    /// A message that nobody knows yet.
    async fn take(&self, place: &Place, found: &Found) -> Result<(), Wrong> {
        let Some(mailbox) = messages::mailbox(&self.db, place).await? else { return Ok(()) };
        let sound = self.copy(place, found, 0, limits::FIRST_COPY_TIME).await?;
        if let Err((why, _)) = &sound {
            tracing::warn!(tenant.id = %place.tenant, mailbox = %place.mailbox, why, "a message's sound waits");
        }
        let length = match &found.sound {
            Some(file) => wav::look(file).await.ok().map(|wav| wav.duration_ms).filter(|ms| *ms > 0),
            None => None,
        };
        let duration_ms = length.map_or(found.duration_s * 1_000, |ms| i64::try_from(ms).unwrap_or(i64::MAX));
        let (id, now_us) = (self.ids.next(), self.clock.now_us());
        let new = New {
            id: &id,
            node: &self.node,
            place,
            mailbox: mailbox.as_ref(),
            found,
            sound: &sound,
            duration_ms,
            now_us,
        };
        match self.insert(&new).await {
            Ok(position) => {
                if let Some(position) = position {
                    self.events.news.tell(&place.tenant, position);
                }
                Ok(())
            }
            // Another process was faster.
            Err(error) if db::is_unique_violation(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn insert(&self, new: &New<'_>) -> sqlx::Result<Option<i64>> {
        let (tenant, id) = (&new.place.tenant, new.id.as_str());
        let mut tx = self.db.begin().await?;
        messages::insert(&mut tx, new).await?;
        let after =
            store::get_locked(&mut tx, &VOICEMAILS, &Scope::tenant(tenant), id).await?.unwrap_or_default();
        let line = crud::line(&VOICEMAILS, "receive", id.to_owned(), Record::new(), after);
        let position = self.events.write(&mut tx, &self.ids, (tenant, new.now_us), &[line]).await?;
        if let Some(mailbox) = new.mailbox.filter(|mailbox| self.mails && !mailbox.email.is_empty()) {
            notice::write(&mut tx, &self.ids, new, mailbox).await?;
        }
        tx.commit().await?;
        Ok(position)
    }
}

fn told(place: &Place, error: &Wrong) {
    match error {
        // Asterisk is at work there; the next look does it.
        Wrong::Spool(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            tracing::debug!(%error, mailbox = %place.path.display(), "a mailbox is looked at later");
        }
        error => tracing::warn!(%error, mailbox = %place.path.display(), "a mailbox can't be kept the same"),
    }
}
