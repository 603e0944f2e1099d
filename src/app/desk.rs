//! What is done beside the calls: contacts are read in, call detail records are written, files without a row are removed, and
//! agents' rests after calls end.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::App;
use crate::agents;
use crate::base::shutdown::Stopping;
use crate::calls::exports::Exporter;
use crate::config::limits::tickets as limits;
use crate::contacts::import::Importer;
use crate::tickets::files;

/// What moves agents beside the API.
pub(super) fn agents(app: &App) -> agents::Parts {
    agents::Parts {
        db: app.db.clone(),
        ids: app.router.ids.clone(),
        clock: app.clock.clone(),
        events: Arc::clone(&app.events),
    }
}

/// Starts all of it.
pub(super) fn background(app: &App, keep: &Stopping) -> Vec<JoinHandle<()>> {
    let importer = Importer {
        db: app.db.clone(),
        clock: app.clock.clone(),
        ids: app.router.ids.clone(),
        names: app.router.names.clone(),
        events: Arc::clone(&app.events),
        data_dir: app.config.data_dir.clone(),
    };
    let (db, clock, data_dir, mut stopping) =
        (app.db.clone(), app.clock.clone(), app.config.data_dir.clone(), keep.clone());
    let sweep = tokio::spawn(async move {
        loop {
            match files::sweep(&db, &data_dir, &clock).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(files = removed, "files of no ticket were removed"),
                Err(error) => tracing::warn!(%error, "files of no ticket can't be looked for"),
            }
            tokio::select! {
                () = tokio::time::sleep(limits::SWEEP_TIME) => {}
                () = stopping.stopped() => return,
            }
        }
    });
    let exporter = Exporter {
        db: app.db.clone(),
        clock: app.clock.clone(),
        ids: app.router.ids.clone(),
        events: Arc::clone(&app.events),
        data_dir: app.config.data_dir.clone(),
    };
    let rests = tokio::spawn(agents::wrapup::run(agents(app), keep.clone()));
    vec![tokio::spawn(importer.run(keep.clone())), sweep, tokio::spawn(exporter.run(keep.clone())), rests]
}
