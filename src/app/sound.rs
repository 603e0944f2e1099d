//! Sounds: what takes them out of Asterisk's spool, and the URLs under which they are heard.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::{App, Error};
use crate::auth::derive;
use crate::base::shutdown::Stopping;
use crate::calls::recordings::{self, Recorder};
use crate::config::Config;
use crate::http::dispatch::Gate;
use crate::http::media::{self, Media};
use crate::mail::{self, Mailer};
use crate::storage::{Lookup, Signer, Storage};
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
    let Some(spool) = &app.config.spool else { return tasks };
    let recorder = Recorder {
        db: app.db.clone(),
        clock: app.clock.clone(),
        ids: app.router.ids.clone(),
        events: Arc::clone(&app.events),
        storage: app.storage.clone(),
        spool: spool.clone(),
        node: app.journal.node().clone(),
    };
    let keeper = Keeper {
        db: app.db.clone(),
        clock: app.clock.clone(),
        ids: app.router.ids.clone(),
        events: Arc::clone(&app.events),
        storage: app.storage.clone(),
        spool: spool.clone(),
        node: app.journal.node().clone(),
        mails: has_mail,
        seen: HashMap::new(),
    };
    let ended = &app.sounds.ended;
    tasks.push(tokio::spawn(recorder.run(ended.subscribe(), keep.clone())));
    tasks.push(tokio::spawn(keeper.run(ended.subscribe(), keep.clone())));
    tasks
}
