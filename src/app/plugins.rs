//! Tenants' plugins, built of the settings, and what they do in the background.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::{App, Error};
use crate::api::Doing;
use crate::auth::derive;
use crate::base::ids::TenantId;
use crate::base::shutdown::Stopping;
use crate::config::Config;
use crate::config::limits::tenants as limits;
use crate::plugins::ticketer::{self, Known, Source};
use crate::plugins::work::{self, Reload};
use crate::plugins::{hosts, keep};
use crate::routing::Router;
use crate::routing::memory::Found;
use crate::sandbox::{Options, Sandbox};
use crate::tickets::Desk;

/// Settings that only plugins can check.
pub(super) fn check(config: &Config) -> Vec<String> {
    let wrong = config.plugins.http_hosts.iter().filter_map(|host| {
        hosts::check(host).err().map(|_| {
            format!("plugins.http_hosts: {host:?} is not a host such as api.example.com, *.example.com or *")
        })
    });
    wrong.collect()
}

/// What runs plugins. Where this machine can't, calls go on without them.
///
/// # Errors
/// When the JavaScript engine's file can't be read.
pub fn sandbox(config: &Config) -> Result<Option<Arc<Sandbox>>, Error> {
    let js_engine = match &config.plugins.js_engine {
        None => crate::sandbox::js_engine(),
        Some(path) => Some(Bytes::from(
            std::fs::read(path)
                .map_err(|error| Error::Said(format!("plugins.js_engine: {}: {error}", path.display())))?,
        )),
    };
    let options = Options {
        folder: config.plugins.folder.clone(),
        key: *derive::key(&config.secret()?, "plugins:native").bytes(),
        js_engine,
        threads: config.plugins.threads,
    };
    Ok(Sandbox::open(options)
        .inspect_err(|error| {
            tracing::error!(error, "plugins can't run on this machine; calls go on without them")
        })
        .ok())
}

/// Routing holds what plugins are.
struct Routing(Arc<Router>);

impl Reload for Routing {
    fn reload<'a>(&'a self, tenant: &'a TenantId) -> Doing<'a, ()> {
        Box::pin(async move {
            if let Err(error) = self.0.memory.reload(tenant).await {
                tracing::warn!(%error, tenant.id = %tenant, "routing reads a changed tenant with its next refresh");
            }
        })
    }
}

impl Source for Routing {
    fn look(&self, tenant: &TenantId) -> Option<Known> {
        self.0.memory.look(tenant).map(|rules| Known::of(rules.plugins.values(), rules.zone))
    }

    fn read<'a>(&'a self, tenant: &'a TenantId) -> Doing<'a, Option<Known>> {
        Box::pin(async move {
            match self.0.memory.by_tenant(tenant).await {
                Found::Rules(rules) => Some(Known::of(rules.plugins.values(), rules.zone)),
                Found::Nobody | Found::Unavailable => None,
            }
        })
    }
}

/// Starts what runs beside calls.
pub(super) fn background(app: &App, keep: &Stopping) -> Vec<JoinHandle<()>> {
    let routing = Arc::new(Routing(Arc::clone(&app.router)));
    let work =
        tokio::spawn(work::run(Arc::clone(&app.plugins), Arc::<Routing>::clone(&routing), keep.clone()));
    let desk = Desk {
        db: app.db.clone(),
        clock: app.clock.clone(),
        ids: app.router.ids.clone(),
        events: Arc::clone(&app.events),
        names: app.router.names.clone(),
    };
    let parts = ticketer::Parts {
        plugins: Arc::clone(&app.plugins),
        desk: Arc::new(desk),
        source: routing,
        node: app.journal.node().clone(),
    };
    let show = tokio::spawn(ticketer::run(parts, keep.clone()));
    let (plugins, clock, mut stopping) = (Arc::clone(&app.plugins), app.clock.clone(), keep.clone());
    let sweep = tokio::spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(limits::HOUSEKEEPING_TIME) => {}
                () = stopping.stopped() => return,
            }
            match keep::purge(&plugins, clock.now_us()).await {
                Ok(0) => {}
                Ok(rows) => tracing::info!(rows, "old runs and files of plugins were removed"),
                Err(error) => tracing::warn!(%error, "old runs and files of plugins can't be removed"),
            }
        }
    });
    vec![work, show, sweep]
}
