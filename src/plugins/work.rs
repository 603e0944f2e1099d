//! What plugins do in the background: what runs showed is written down, as soon as the database takes it; shadows run.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use tokio::sync::mpsc;

use super::setup::Setup;
use super::shadow::{self, Shadow};
use super::{Plugins, park};
use crate::api::Doing;
use crate::base::ids::{Id, TenantId};
use crate::base::shutdown::Stopping;
use crate::config::limits::plugins as limits;
use crate::db;
use crate::sandbox::Outcome;

/// Whoever holds setups in memory, and reads a tenant's anew after a change that the service made by itself.
pub trait Reload: Send + Sync {
    /// Reads a tenant anew.
    fn reload<'a>(&'a self, tenant: &'a TenantId) -> Doing<'a, ()>;
}

/// Which version something is said of, and when it was so.
#[derive(Clone, Debug)]
pub(super) struct Of {
    pub(super) tenant: TenantId,
    pub(super) plugin: Id,
    pub(super) version: u32,
    pub(super) at_us: i64,
}

/// What is to be done because of a run.
#[derive(Debug)]
pub(super) enum Notice {
    /// A version failed, for the first time in a while.
    Failed { of: Of, outcome: Outcome, text: String },
    /// It failed too often.
    Parked { of: Of, outcome: Outcome, text: String, failures: usize },
    /// It is well again.
    Well { of: Of },
    /// Versions of a plugin could not be loaded yet.
    Load { tenant: TenantId, setup: Arc<Setup> },
}

/// What waits to be done.
pub(super) struct Waiting {
    pub(super) notices: mpsc::Receiver<Notice>,
    pub(super) shadows: mpsc::Receiver<Shadow>,
}

/// Works until `stopping`. Only the first call does.
pub async fn run(plugins: Arc<Plugins>, reload: Arc<dyn Reload>, stopping: Stopping) {
    let waiting = plugins.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(waiting) = waiting else { return };
    let shadows = shadow::work(Arc::clone(&plugins), waiting.shadows, stopping.clone());
    tokio::join!(shadows, notices(plugins, reload, waiting.notices, stopping));
}

async fn notices(
    plugins: Arc<Plugins>,
    reload: Arc<dyn Reload>,
    mut waiting: mpsc::Receiver<Notice>,
    mut stopping: Stopping,
) {
    let mut pending: VecDeque<Notice> = VecDeque::new();
    loop {
        let retry = !pending.is_empty();
        let room = pending.len() < limits::NOTICES;
        let is_last = tokio::select! {
            notice = waiting.recv(), if room => {
                pending.extend(notice);
                false
            }
            () = tokio::time::sleep(limits::RETRY_TIME), if retry => false,
            () = stopping.stopped() => true,
        };
        while let Ok(notice) = waiting.try_recv() {
            pending.push_back(notice);
        }
        // In their order; what the database does not take waits for the next round.
        for notice in std::mem::take(&mut pending) {
            if !done(&plugins, &*reload, &notice).await {
                pending.push_back(notice);
            }
        }
        if is_last {
            return;
        }
    }
}

/// Does it; `false`: it is to be tried again.
async fn done(plugins: &Plugins, reload: &dyn Reload, notice: &Notice) -> bool {
    let parts = &plugins.parts;
    let (of, written) = match notice {
        Notice::Load { tenant, setup } => return plugins.load_missing(tenant, setup).await,
        Notice::Failed { of, outcome, text } => {
            (of, park::failed(parts, of, *outcome, text).await.map(|()| false))
        }
        Notice::Parked { of, outcome, text, failures } => {
            (of, park::parked(parts, of, (*outcome, text), *failures).await)
        }
        Notice::Well { of } => (of, park::well(parts, of).await),
    };
    match written {
        Ok(true) => {
            reload.reload(&of.tenant).await;
            true
        }
        Ok(false) => true,
        Err(error) if db::is_unavailable(&error) => {
            tracing::debug!(%error, plugin.id = %of.plugin, "what happened to a plugin can't be written yet");
            false
        }
        Err(error) => {
            parts.metrics.plugins.untold.inc();
            tracing::error!(%error, plugin.id = %of.plugin, "what happened to a plugin can't be written");
            true
        }
    }
}
