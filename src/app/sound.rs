//! Sounds: what takes them out of Asterisk's spool, and the URLs under which they are heard.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::{App, Error};
use crate::auth::derive;
use crate::base::clock::Clock;
use crate::base::shutdown::Stopping;
use crate::calls::recordings::{self, Recorder};
use crate::calls::retention as recordings_over;
use crate::config::Config;
use crate::config::limits::sound as limits;
use crate::db::Db;
use crate::http::dispatch::Gate;
use crate::http::media::{self, Media};
use crate::mail::{self, Mailer};
use crate::storage::{Lookup, Signer, Storage};
use crate::tenants;
use crate::voicemail::{self, keep::Keeper};

/// Settings of sounds that only their parts can check.
pub(super) fn check(config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    // A folder is made when the service starts, not when somebody checks.
    if !config.storage.url.is_empty() {
        problems.extend(Storage::open(&config.storage).err().map(|e| format!("storage.url: {e}")));
    }
    problems.extend(Mailer::open(&config.mail).err().filter(|_| !config.mail.from.is_empty()));
    problems
}

/// Signs URLs with a key of the installation's secret.
///
/// # Errors
/// When the secret can't be read.
pub fn signer(config: &Config) -> Result<Signer, Error> {
    let key = derive::key(&config.secret()?, "media-url:v1");
    Ok(Signer::new(*key.bytes(), &config.public_url))
}

/// Where sounds are heard.
pub fn media(gate: &Arc<Gate>, storage: &Storage, signer: &Arc<Signer>) -> Arc<Media> {
    let kinds: [(&str, Lookup); 2] = [("recordings", recordings::stored), ("voicemails", voicemail::stored)];
    Arc::new(Media {
        gate: Arc::clone(gate),
        storage: storage.clone(),
        signer: Arc::clone(signer),
        kinds: HashMap::from(kinds),
    })
}

pub(super) fn routes(app: &App, gate: &Arc<Gate>) -> axum::Router {
    media::routes(&media(gate, &app.storage, &app.signer))
}

/// What sends mail, and what takes sounds over; neither where it is not set up.
pub(super) fn background(app: &App, keep: &Stopping) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    let mailer = app.mailer.clone();
    let has_mail = mailer.is_some();
    if let Some(mailer) = mailer {
        let desk = mail::Desk {
            db: app.db.clone(),
            clock: app.clock.clone(),
            storage: app.storage.clone(),
            mailer,
            give_up: app.config.mail.give_up,
        };
        tasks.push(tokio::spawn(desk.run(keep.clone())));
    }
    tasks.push(tokio::spawn(sweep(app.db.clone(), app.clock.clone(), app.storage.clone(), keep.clone())));
    let recorder = Recorder {
        db: app.db.clone(),
        clock: app.clock.clone(),
        ids: app.router.ids.clone(),
        events: Arc::clone(&app.events),
        storage: app.storage.clone(),
        spool: app.config.spool.clone().unwrap_or_default(),
        node: app.journal.node().clone(),
    };
    let keeper = Keeper {
        db: app.db.clone(),
        clock: app.clock.clone(),
        ids: app.router.ids.clone(),
        events: Arc::clone(&app.events),
        storage: app.storage.clone(),
        spool: recorder.spool.clone(),
        node: app.journal.node().clone(),
        mails: has_mail,
        seen: HashMap::new(),
    };
    let ended = &app.sounds.ended;
    tasks.push(tokio::spawn(expire(recorder.clone(), keeper.clone(), keep.clone())));
    // Without a spool there is nothing to take over; what was taken over has its time all the same.
    let Some(spool) = &app.config.spool else { return tasks };
    if !spool.is_dir() {
        tracing::warn!(asterisk.spool = %spool.display(), "Asterisk's spool is no folder that is there: no sound comes until it is");
    }
    tasks.push(tokio::spawn(recorder.run(ended.subscribe(), keep.clone())));
    tasks.push(tokio::spawn(keeper.run(ended.subscribe(), keep.clone())));
    tasks
}

/// Deletes what is older than its tenant keeps it.
async fn expire(recorder: Recorder, keeper: Keeper, mut stopping: Stopping) {
    loop {
        for (what, done) in [("recordings", recorder.expire().await), ("voicemails", keeper.expire().await)] {
            match done {
                Ok(0) => {}
                Ok(sounds) => tracing::info!(what, sounds, "old sounds were deleted"),
                Err(error) => tracing::warn!(what, %error, "old sounds can't be looked for"),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(limits::EXPIRE_TIME) => {}
            () = stopping.stopped() => return,
        }
    }
}

/// Removes the sounds of what was deleted, all of tenants that were destroyed, and old mail.
async fn sweep(db: Db, clock: Clock, storage: Storage, mut stopping: Stopping) {
    let mut rounds = 0_u64;
    loop {
        let removed = [
            recordings_over::remove_sounds(&db, &clock, &storage).await,
            voicemail::retention::remove_sounds(&db, &clock, &storage).await,
        ];
        for error in removed.into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "deleted sounds can't be looked for");
        }
        if rounds.is_multiple_of(limits::SWEEPS_FOR_TENANTS) {
            destroyed(&db, &storage).await;
            match mail::outbox::purge(&db, clock.now_us() - limits::MAIL_KEPT_US).await {
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "old mail can't be removed"),
            }
        }
        rounds += 1;
        tokio::select! {
            () = tokio::time::sleep(limits::SWEEP_TIME) => {}
            () = stopping.stopped() => return,
        }
    }
}

/// Clears the sounds of tenants that the audit says were destroyed; a tenant that this database never knew keeps its own.
async fn destroyed(db: &Db, storage: &Storage) {
    let tenants = match storage.tenants().await {
        Ok(tenants) => tenants,
        Err(error) => return tracing::warn!(%error, "the store can't be looked through"),
    };
    for tenant in tenants {
        let was_purged = async {
            let mut tx = db.begin().await?;
            tenants::was_purged(&mut tx, &tenant).await
        };
        match was_purged.await {
            Ok(false) => {}
            Ok(true) => match storage.clear(&tenant).await {
                Ok(sounds) => {
                    tracing::info!(tenant.id = %tenant, sounds, "a destroyed tenant's sounds were removed")
                }
                Err(error) => {
                    tracing::warn!(tenant.id = %tenant, %error, "a destroyed tenant's sounds stay for now")
                }
            },
            Err(error) => tracing::warn!(%error, "destroyed tenants can't be looked for"),
        }
    }
}
