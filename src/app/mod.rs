//! Puts the parts together: builds each once, in order, before the first listener accepts; starts them; drains them.

mod agi;
pub mod api;
mod callbacks;
mod collect;
mod desk;
mod error;
pub mod keep;
mod live;
pub mod models;
pub mod plugins;
pub mod sound;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::ari::Links;
use crate::auth::Auth;
use crate::base::clock::Clock;
use crate::base::descriptors;
use crate::base::ids::{Id, IdSource, Number};
use crate::base::metrics::{Metrics, Outcome};
use crate::base::shutdown::{self, Stopping};
use crate::calls;
use crate::calls::live::Live;
use crate::calls::recordings::Sounds;
use crate::calls::store::Calls;
use crate::config::{Config, limits};
use crate::contacts::Names;
use crate::db::{Db, Schema};
use crate::events::Events;
use crate::http;
use crate::http::health::{self, Health};
use crate::journal::{self, Journal};
use crate::mail::Mailer;
use crate::outgoing::{Client, Guard};
use crate::plugins::host::{Hosts, Reach};
use crate::plugins::{HostOf, Parts, Plugins};
use crate::queues::board::Wall;
use crate::queues::callback_desk::Callbacks;
use crate::realtime::{self, Realtime};
use crate::routing::memory::Memory;
use crate::routing::types::{Destination, Place, RawDestination, reason};
use crate::routing::{Paces, Router, outgoing};
use crate::storage::{Signer, Storage};
use crate::tickets::Desk;
use crate::webhooks;

use agi::AgiThread;
pub use error::Error;

/// Settings that only the parts themselves can check.
///
/// # Errors
/// Every problem, one sentence each.
pub fn check(config: &Config) -> Result<(), Vec<String>> {
    let mut problems = Vec::new();
    problems.extend(unknown_destination(config).err());
    problems.extend(guard(config).err());
    problems.extend(plugins::check(config));
    problems.extend(sound::check(config));
    problems.extend(crate::ari::check(&config.ari));
    problems.extend(Db::check_url(config.database_url.expose()).err().map(|e| format!("database.url: {e}")));
    let listeners = [("http.listen", Some(config.http_listen)), ("metrics.listen", config.metrics_listen)];
    for (name, address) in listeners {
        if address.is_some_and(|a| a.port() != 0 && a == config.agi_listen) {
            problems.push(format!("{name}: {} is agi.listen too", config.agi_listen));
        }
    }
    if config.metrics_listen.is_some_and(|a| a.port() != 0 && a == config.http_listen) {
        problems.push(format!("metrics.listen: {} is http.listen too", config.http_listen));
    }
    if tracing_subscriber::EnvFilter::try_new(&config.log_filter).is_err() {
        problems.push(format!("log.filter: {:?} is not a tracing filter such as info", config.log_filter));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn guard(config: &Config) -> Result<Guard, String> {
    let list: Vec<String> = config.outgoing_allow.iter().map(ToString::to_string).collect();
    let guard = Guard::parse(&list.join(",")).map_err(|e| format!("outgoing.allow: {e}"))?;
    Ok(if config.outgoing_public { guard } else { guard.closed() })
}

/// Where calls to nobody's numbers go: `playback:SOUND`, `hangup:CAUSE` or `external:+NUMBER`.
fn unknown_destination(config: &Config) -> Result<Option<Destination>, String> {
    let text = &config.unknown_did;
    if text.is_empty() {
        return Ok(None);
    }
    let (action, target) = text.split_once(':').unwrap_or((text, ""));
    let raw = RawDestination { action: action.into(), target: target.into(), ..RawDestination::default() };
    let to = Destination::check(&raw).map_err(|e| format!("routing.unknown_did: {e}"))?;
    match to.place {
        Place::Playback(_) | Place::Hangup(_) | Place::External(_) => Ok(Some(to)),
        _ => Err("routing.unknown_did: only playback, hangup and external belong to no tenant".into()),
    }
}

/// What decides, without anything that serves; also for `simulate` and `replay`.
///
/// # Errors
/// When a setting is wrong that only this part can check.
pub fn router(config: &Config, db: Db, clock: Clock) -> Result<Router, Error> {
    // Nobody hears of what a simulation or a replay would have changed.
    routes(config, db, clock, api::events(), Reach::Reads)
}

/// As [`router`]; this host answers plugins, and nobody else.
///
/// # Errors
/// When a setting is wrong that only this part can check.
pub fn router_answered_by(
    config: &Config,
    db: Db,
    clock: Clock,
    host: Arc<dyn HostOf>,
) -> Result<Router, Error> {
    let names = Names::new(db.clone());
    built(config, (db, clock), api::events(), names, host)
}

/// As [`router`], for a service: what its plugins may do is done, and told.
///
/// # Errors
/// When a setting is wrong that only this part can check.
pub fn routes(
    config: &Config,
    db: Db,
    clock: Clock,
    events: Arc<Events>,
    reach: Reach,
) -> Result<Router, Error> {
    let names = Names::new(db.clone());
    let desk = Desk {
        db: db.clone(),
        clock: clock.clone(),
        ids: IdSource::new(clock.clone()),
        events: Arc::clone(&events),
        names: names.clone(),
    };
    let hosts = Hosts::new(db.clone(), names.clone(), client(config)?, clock.clone(), Arc::new(desk), reach);
    built(config, (db, clock), events, names, Arc::new(hosts))
}

fn built(
    config: &Config,
    (db, clock): (Db, Clock),
    events: Arc<Events>,
    names: Names,
    host: Arc<dyn HostOf>,
) -> Result<Router, Error> {
    let metrics = Arc::new(Metrics::default());
    let ids = IdSource::new(clock.clone());
    let plugins = Plugins::new(Parts {
        sandbox: plugins::sandbox(config)?,
        db: db.clone(),
        clock: clock.clone(),
        ids: ids.clone(),
        events,
        host,
        grants: config.plugins.grants,
        http_hosts: config.plugins.http_hosts.clone(),
        slow_routers: config.plugins.slow_routers,
        metrics: Arc::clone(&metrics),
    });
    Ok(Router {
        plugins: Arc::clone(&plugins),
        names,
        memory: Memory::new(db, Arc::clone(&metrics), plugins, config.cached_dids, config.lookup_deadline),
        live: Arc::new(Live::default()),
        paces: Paces::default(),
        metrics,
        ids,
        clock,
        client: client(config)?,
        unknown: unknown_destination(config).map_err(Error::Said)?,
    })
}

/// A way out to tenants' URLs, with connections and look-ups of names of its own.
fn client(config: &Config) -> Result<Client, Error> {
    let guard = guard(config).map_err(Error::Said)?;
    Client::new(guard).map_err(|e| Error::Said(format!("TLS: {e}")))
}

/// The service, built and not yet listening.
#[derive(Debug)]
pub struct App {
    config: Config,
    clock: Clock,
    db: Db,
    journal: Journal,
    /// What Asterisk delivers over realtime while the database is away.
    kept: Option<Journal>,
    router: Arc<Router>,
    auth: Arc<Auth>,
    events: Arc<Events>,
    callbacks: Arc<Callbacks>,
    webhooks: Arc<webhooks::desk::Stats>,
    plugins: Arc<Plugins>,
    storage: Storage,
    mailer: Option<Mailer>,
    signer: Arc<Signer>,
    sounds: Sounds,
    links: Links,
    live: live::LiveCalls,
    /// Not the one that calls wait for: a name that hangs must not keep a route webhook from its look-up.
    outgoing: Client,
}

/// Addresses the service listens on, once it does.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// FastAGI.
    pub agi: SocketAddr,
    /// HTTP.
    pub http: SocketAddr,
    /// Metrics, when they have a listener of their own.
    pub metrics: Option<SocketAddr>,
}

/// How a journal is kept.
fn kept_in(config: &Config, folder: &str, max_bytes: u64) -> journal::Options {
    journal::Options {
        folder: config.data_dir.join(folder),
        max_bytes,
        segment_bytes: limits::journal::SEGMENT_BYTES,
        sync: config.journal_sync,
        deadline: config.journal_deadline,
    }
}

impl App {
    /// Opens database and journal and reads what the call path needs.
    ///
    /// # Errors
    /// When the database is away, its schema is not current, or the data directory can't be used.
    pub async fn build(config: Config, clock: Clock) -> Result<Self, Error> {
        check(&config).map_err(|problems| Error::Config(crate::config::ConfigError(problems)))?;
        config.secret()?;
        // On a thread of the runtime, which gives way to calls: SQLite's own threads inherit that from who starts them.
        let (url, connections) = (config.database_url.clone(), config.database_connections);
        let connecting = tokio::spawn(async move { Db::connect(url.expose(), connections).await });
        let db = connecting.await.map_err(io::Error::other)??;
        match db.schema().await? {
            Schema::Current => {}
            Schema::Behind(_) if config.auto_migrate => db.migrate().await?,
            Schema::Behind(n) => {
                return Err(Error::Said(format!(
                    "the schema lacks {n} migration(s); run `hookswitch migrate`"
                )));
            }
            Schema::Ahead => {
                return Err(Error::Said("the schema was made by a newer hookswitch; run that one".into()));
            }
        }
        let events = api::events();
        let router =
            Arc::new(routes(&config, db.clone(), clock.clone(), Arc::clone(&events), Reach::Everything)?);
        let folder =
            journal::Folder::take(kept_in(&config, "journal", config.journal_bytes), || router.ids.next())?;
        let position = calls::store::position(&db, folder.node()).await?;
        let before_us = calls::store::moved_at(&db, folder.node()).await?;
        let journal = folder.open(position)?;
        let kept = match config.realtime_token {
            Some(_) => {
                let options = kept_in(&config, "journal-asterisk", limits::realtime::KEPT_BYTES);
                let folder = journal::Folder::take(options, || router.ids.next())?;
                let position = calls::store::position(&db, folder.node()).await?;
                Some(folder.open(position)?)
            }
            None => None,
        };
        let auth = Auth::new(&config.secret()?, clock.clone(), router.ids.clone())
            .map_err(|e| Error::Said(format!("keys can't be made of the secret: {e}")))?;
        let links = Links::new(&config.ari, clock.clone());
        let live =
            live::LiveCalls::new(&links, &router, (&journal, &db), (&clock, config.parked_s, before_us));
        let parts = (&router, &live.control);
        let callbacks = callbacks::desk(&config, (&db, &clock), &events, parts, journal.node());
        Ok(Self {
            outgoing: client(&config)?,
            storage: Storage::open(&config.storage).map_err(|e| Error::Said(format!("storage.url: {e}")))?,
            mailer: Mailer::open(&config.mail).map_err(Error::Said)?,
            signer: Arc::new(sound::signer(&config)?),
            sounds: Sounds { kept: config.spool.is_some(), ..Sounds::default() },
            links,
            live,
            callbacks,
            config,
            clock,
            db,
            journal,
            kept,
            plugins: Arc::clone(&router.plugins),
            router,
            auth: Arc::new(auth),
            events,
            webhooks: Arc::default(),
        })
    }

    /// Serves until SIGTERM or SIGINT, then drains.
    ///
    /// # Errors
    /// When a listener can't be opened.
    pub async fn serve(self) -> Result<(), Error> {
        self.serve_until(
            |addresses| {
                tracing::info!(agi = %addresses.agi, http = %addresses.http, "ready for calls");
            },
            async {
                match shutdown::signal().await {
                    Ok(name) => tracing::info!(signal = name, "stopping: no new calls, running ones finish"),
                    Err(error) => tracing::error!(%error, "signals can't be heard; stopping"),
                }
            },
        )
        .await
    }

    /// Serves until `stop` returns; says the addresses once all listeners are open.
    ///
    /// # Errors
    /// When a listener can't be opened.
    pub async fn serve_until(
        self,
        ready: impl FnOnce(Addresses),
        stop: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let read = self.router.memory.refresh().await?;
        tracing::info!(tenants = read, "routing data is in memory");
        // Before the first request: a session that ended elsewhere stays ended after a restart here.
        self.auth.revoked.refresh(&self.db, self.clock.now_us()).await?;
        let (keepers, keep) = shutdown::channel();
        let (drainer, drain) = shutdown::channel();
        let draining = tokio::spawn(journal::drain::run(self.journal.clone(), self.calls(), drain));
        self.count_live_calls().await?;

        let http = TcpListener::bind(self.config.http_listen)
            .await
            .map_err(|e| at("http.listen", self.config.http_listen, &e))?;
        let metrics = match self.config.metrics_listen {
            Some(address) => {
                Some(TcpListener::bind(address).await.map_err(|e| at("metrics.listen", address, &e))?)
            }
            None => None,
        };
        let agi = AgiThread::start(&self)?;
        collect::register(&self, agi.stats.clone());
        let addresses = Addresses {
            agi: agi.address,
            http: http.local_addr()?,
            metrics: metrics.as_ref().map(TcpListener::local_addr).transpose()?,
        };
        let mut background = self.background(&keep);
        background.extend(self.http(http, metrics, &keep)?);
        background.extend(self.live.start(&self, &keep));
        ready(addresses);
        stop.await;

        // Off the event loop: the thread may take as long as its calls.
        let report = tokio::task::spawn_blocking(move || agi.stop()).await;
        match report {
            Ok(Some(report)) => {
                tracing::info!(finished = report.finished, aborted = report.aborted, "AGI is drained")
            }
            _ => tracing::error!("the AGI thread ended badly"),
        }
        keepers.stop();
        for mut task in background {
            // A panic in a background task has been logged by the panic hook. A client that began a request and never
            // ends it must not keep the journal from the database.
            if tokio::time::timeout(2 * limits::http::DRAIN_TIME, &mut task).await.is_err() {
                task.abort();
            }
        }
        drainer.stop();
        let left = draining.await.unwrap_or_default();
        if left > 0 {
            tracing::warn!(records = left, "records stay in the journal until the next start");
        }
        self.db.close().await;
        tracing::info!("stopped");
        Ok(())
    }

    /// Where calls are kept.
    fn calls(&self) -> Calls {
        Calls {
            db: self.db.clone(),
            clock: self.clock.clone(),
            ids: self.router.ids.clone(),
            live: Arc::clone(&self.router.live),
            news: self.events.news.clone(),
            sounds: self.sounds.clone(),
        }
    }

    /// Lets the journal of the run before reach the database, as far as that is quick, and counts calls without end.
    async fn count_live_calls(&self) -> Result<(), Error> {
        let last = self.journal.last_written();
        let caught_up = async {
            while self.journal.drained() < last {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(limits::journal::FLUSH_TIME, caught_up).await.is_err() {
            tracing::warn!("the journal of the run before is long; calls in it are not counted as alive yet");
        }
        for (id, tenant, did) in calls::open::open_calls(&self.db).await? {
            // As the router counts it, however the carrier wrote it.
            let number = Number::from_dialled(&did).map_or(did, |number| number.to_string());
            self.router.live.add(&id, tenant.as_ref(), &number);
        }
        for (id, tenant, why) in outgoing::under_way(&self.db).await? {
            match why.as_str() {
                reason::EMERGENCY => self.router.live.give_back(&id),
                _ => drop(self.router.live.go_out(&id, &tenant)),
            }
        }
        Ok(())
    }

    fn background(&self, keep: &Stopping) -> Vec<tokio::task::JoinHandle<()>> {
        let (router, every, stopping) = (Arc::clone(&self.router), self.config.refresh, keep.clone());
        let fresh = tokio::spawn(async move { router.memory.keep_fresh(every, stopping).await });
        let (router, calls, age, stopping) =
            (Arc::clone(&self.router), self.calls(), self.config.lost_call, keep.clone());
        let reap = tokio::spawn(async move { reap(&router, &calls, age, stopping).await });
        let news = self.events.news.clone();
        let watch = tokio::spawn(news.watch(self.db.clone(), self.clock.clone(), keep.clone()));
        let mut tasks = desk::background(self, keep);
        let parts = webhooks::Parts {
            db: self.db.clone(),
            clock: self.clock.clone(),
            ids: self.router.ids.clone(),
            auth: Arc::clone(&self.auth),
            events: Arc::clone(&self.events),
            client: self.outgoing.clone(),
            node: self.journal.node().clone(),
            stats: Arc::clone(&self.webhooks),
        };
        let deliver = tokio::spawn(webhooks::desk::run(parts, keep.clone()));
        let legs = tokio::spawn(calls::legs_store::run(self.calls(), keep.clone()));
        tasks.extend([fresh, reap, watch, deliver, legs]);
        tasks.push(callbacks::background(&self.callbacks, keep));
        tasks.extend(plugins::background(self, keep));
        tasks.extend(sound::background(self, keep));
        tasks
    }

    fn http(
        &self,
        listener: TcpListener,
        metrics: Option<TcpListener>,
        keep: &Stopping,
    ) -> Result<Vec<tokio::task::JoinHandle<()>>, Error> {
        let health = Health { db: self.db.clone(), router: Arc::clone(&self.router) };
        let counters = health::metrics_routes(Arc::clone(&self.router.metrics));
        let (routing, auth) = (Arc::clone(&self.router), Arc::clone(&self.auth));
        let lost_us = i64::try_from(self.config.lost_call.as_micros()).unwrap_or(i64::MAX);
        let wall = Arc::new(Wall::new(lost_us));
        let parts = api::Parts {
            auth: Arc::clone(&auth),
            registration: self.config.registration,
            events: Arc::clone(&self.events),
            guard: Arc::new(guard(&self.config).map_err(Error::Said)?),
            signer: Arc::clone(&self.signer),
            plugins: Some(Arc::clone(&self.plugins)),
            live: Arc::clone(&self.callbacks.live),
            routing: Some(Arc::clone(&self.router)),
            control: Some(Arc::clone(&self.live.control)),
            wall: Arc::clone(&wall),
        };
        let events = Arc::clone(&self.events);
        let gate = api::gate(&self.config, self.db.clone(), self.clock.clone(), routing, auth, events)?;
        let api =
            http::router::routes(&gate, api::actions(&parts), &api::document()?, &self.config.http_origins);
        let node = self.journal.node().clone();
        let sockets =
            http::socket::Sockets::new(&gate, http::socket::Options::new(node, descriptors::raise_limit()));
        let realtime = Realtime::new(realtime::Parts {
            db: self.db.clone(),
            router: Arc::clone(&self.router),
            clock: self.clock.clone(),
            events: Arc::clone(&self.events),
            token: self.config.realtime_token.clone(),
            kept: self.kept.clone(),
        });
        let mut routes = health::routes(health).merge(api).merge(http::socket::routes(&sockets));
        routes = routes.merge(sound::routes(self, &gate));
        routes = routes.merge(realtime::routes(Arc::clone(&realtime))).merge(self.links.routes());
        let mut tasks = keep::start(&gate, self.config.events_kept, keep);
        tasks.extend(realtime.start(keep));
        tasks.push(tokio::spawn(wall.run(desk::agents(self), keep.clone())));
        tasks.extend(sockets.start(keep));
        match metrics {
            Some(metrics) => tasks.push(tokio::spawn(http::serve::serve(metrics, counters, keep.clone()))),
            None => routes = routes.merge(counters),
        }
        tasks.push(tokio::spawn(http::serve::serve(listener, routes, keep.clone())));
        Ok(tasks)
    }
}

fn at(setting: &str, address: SocketAddr, error: &io::Error) -> Error {
    Error::Said(format!("{setting} = {address}: {error}; is another process using it?"))
}

/// Closes calls whose end nobody told us.
async fn reap(router: &Router, calls: &Calls, age: Duration, mut stopping: Stopping) {
    let mut checked = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(limits::routing::REAP_TIME) => {}
            () = stopping.stopped() => return,
        }
        let now = router.clock.now_us();
        let before = now - i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        match calls::open::close_lost(calls, before, now, limits::routing::REAP_BATCH).await {
            Ok(closed) => {
                for id in closed {
                    router.live.remove(&id);
                    router.metrics.ended.get_or_create(&Outcome { outcome: "lost" }).inc();
                    tracing::warn!(call.id = %id, "a call had no end and was closed");
                }
            }
            Err(error) => tracing::warn!(%error, "calls without an end can't be looked for"),
        }
        router.live.expire(before);
        checked = forget_ended(router, &calls.db, checked).await;
    }
}

/// Takes calls out of the live ones that have an end in the database which this process never heard of: told by
/// uniqueid only, or to another node. Looks at a stretch of them behind `after`, and returns where to go on.
async fn forget_ended(router: &Router, db: &Db, after: Option<Id>) -> Option<Id> {
    let most = limits::routing::REAP_BATCH as usize;
    let some = router.live.some_after(after.as_ref(), most);
    match calls::open::ended_among(db, &some).await {
        Ok(ended) => ended.iter().for_each(|id| router.live.remove(id)),
        Err(error) => tracing::warn!(%error, "live calls can't be compared with the database"),
    }
    some.last().filter(|_| some.len() == most).cloned()
}
