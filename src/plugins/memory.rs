//! Plugins in memory, for calls: programs ready to run, who of them is parked, each tenant's share.
//!
//! Asking touches no database and waits for nothing but the run itself. What has to be written because of a run is
//! handed to [`super::work`], without waiting.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::mpsc;

use super::breaker::{Admission, Breaker, Verdict};
use super::setup::{Setup, Version};
use super::shadow::Shadow;
use super::work::{Notice, Waiting};
use super::{Parts, PluginStatus, Reply, Trigger, choose, hosts, store};
use crate::base::clock::Clock;
use crate::base::ids::{Id, IdSource, TenantId};
use crate::base::metrics::RunLabels;
use crate::config::limits::plugins as limits;
use crate::db::Db;
use crate::events::{Events, News};
use crate::sandbox::types::{Call, Decision, Event, Failure};
use crate::sandbox::{
    Answering, Ask, Grants, Host, Input, Job, Nobody, Outcome, Program, Refusal, Report, Share, World,
};

/// All plugins of the process.
pub struct Plugins {
    pub(super) parts: Parts,
    seats: RwLock<HashMap<Id, Arc<Seat>>>,
    shares: RwLock<HashMap<TenantId, Arc<Share>>>,
    /// Of uploads and tests: they take no places from calls.
    pub(super) desk: Arc<Share>,
    /// Of shadows.
    pub(super) aside: Arc<Share>,
    notices: mpsc::Sender<Notice>,
    shadows: mpsc::Sender<Shadow>,
    pub(super) waiting: Mutex<Option<Waiting>>,
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugins").field("parts", &self.parts).finish_non_exhaustive()
    }
}

/// What is known of one plugin.
struct Seat {
    tenant: TenantId,
    programs: RwLock<HashMap<u32, Loaded>>,
    breakers: Mutex<HashMap<u32, Breaker>>,
    host: Mutex<Option<HostFor>>,
}

/// Who answers a plugin, made once for each setup.
type HostFor = (Arc<Setup>, Arc<dyn Host>);

/// Says what is wrong with a decision.
pub type Usable<'u> = &'u (dyn Fn(&Decision) -> Result<(), String> + Sync);

/// A version on the shelf.
#[derive(Clone)]
enum Loaded {
    Ready(Arc<Program>),
    /// It can't be run, and why; whether that may change by itself.
    Not(Arc<str>, bool),
}

/// Why a version was not loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unloaded {
    #[error("the database is away: {0}")]
    Away(#[from] sqlx::Error),
    #[error("its file is not kept any more")]
    Gone,
    #[error("plugins can't run on this machine")]
    Off,
    #[error("{} ({})", .0.text, .0.code)]
    Refused(#[from] Refusal),
}

impl Unloaded {
    /// Whether it may go better later.
    fn may_change(&self) -> bool {
        match self {
            Self::Away(_) => true,
            Self::Gone | Self::Off => false,
            Self::Refused(refusal) => {
                matches!(refusal.code, "compiler-busy" | "compiler-failed" | "compile-timeout")
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Plugins {
    /// Without any plugin yet.
    pub fn new(parts: Parts) -> Arc<Self> {
        let (notices, told) = mpsc::channel(limits::NOTICES);
        let (shadows, made) = mpsc::channel(limits::SHADOWS_WAITING);
        Arc::new(Self {
            parts,
            seats: RwLock::default(),
            shares: RwLock::default(),
            desk: Arc::default(),
            aside: Arc::default(),
            notices,
            shadows,
            waiting: Mutex::new(Some(Waiting { notices: told, shadows: made })),
        })
    }

    /// Plugins that nobody runs, for a part of the service that stands alone, as in tests.
    pub fn off(db: Db, clock: Clock) -> Arc<Self> {
        Self::new(Parts {
            sandbox: None,
            db,
            ids: IdSource::new(clock.clone()),
            clock,
            events: Events::new([], [], News::default()),
            host: Arc::new(Nobody),
            grants: Grants::default(),
            http_hosts: Vec::new(),
            slow_routers: false,
            metrics: Arc::default(),
        })
    }

    /// Loads the programs of a tenant's plugins before they are needed, and forgets those of plugins that are no more.
    /// What can't be loaded is said once and remembered; where that may change, it is tried again by itself.
    pub async fn prepare(&self, tenant: &TenantId, setups: &[Arc<Setup>]) {
        self.forget_but(tenant, setups);
        for setup in setups {
            self.seat(tenant, &setup.id).keep_only(setup);
            if !self.load_missing(tenant, setup).await {
                self.tell(Notice::Load { tenant: tenant.clone(), setup: Arc::clone(setup) });
            }
        }
    }

    /// Forgets a tenant.
    pub fn forget(&self, tenant: &TenantId) {
        self.forget_but(tenant, &[]);
        self.shares.write().unwrap_or_else(PoisonError::into_inner).remove(tenant);
    }

    fn forget_but(&self, tenant: &TenantId, setups: &[Arc<Setup>]) {
        let mut seats = self.seats.write().unwrap_or_else(PoisonError::into_inner);
        seats.retain(|id, seat| seat.tenant != *tenant || setups.iter().any(|setup| setup.id == *id));
    }

    /// Loads what is missing of one plugin. Returns whether nothing is left to try again.
    pub(super) async fn load_missing(&self, tenant: &TenantId, setup: &Setup) -> bool {
        let seat = self.seat(tenant, &setup.id);
        let mut done = true;
        for version in setup.versions() {
            let before =
                seat.programs.read().unwrap_or_else(PoisonError::into_inner).get(&version.number).cloned();
            if matches!(before, Some(Loaded::Ready(_) | Loaded::Not(_, false))) {
                continue;
            }
            let loaded = match self.load(tenant, version, setup.kind).await {
                Ok(program) => Loaded::Ready(program),
                Err(error) => {
                    if before.is_none() {
                        tracing::error!(
                            tenant.id = %tenant, plugin.name = %setup.name, plugin.version = version.number, %error,
                            "a plugin can't be loaded"
                        );
                    }
                    done &= !error.may_change();
                    Loaded::Not(error.to_string().into(), error.may_change())
                }
            };
            seat.shelf().insert(version.number, loaded);
        }
        done
    }

    /// The program of a version in use: of its native code, or of its file where that is not on this machine's disk.
    async fn load(
        &self,
        tenant: &TenantId,
        version: &Version,
        kind: World,
    ) -> Result<Arc<Program>, Unloaded> {
        let sandbox = self.parts.sandbox.as_ref().ok_or(Unloaded::Off)?;
        match sandbox.kept(&version.digest, version.language, kind).await {
            Some(program) => Ok(program),
            None => self.make(tenant, version, kind).await,
        }
    }

    /// Makes a program of a version's file.
    async fn make(
        &self,
        tenant: &TenantId,
        version: &Version,
        kind: World,
    ) -> Result<Arc<Program>, Unloaded> {
        let sandbox = self.parts.sandbox.as_ref().ok_or(Unloaded::Off)?;
        let source = store::source(&self.parts.db, tenant, &version.id).await?.ok_or(Unloaded::Gone)?;
        Ok(sandbox.load(source.into(), version.language, kind).await?)
    }

    /// A version's program, from the shelf or made now of its file: what is to be used must have one, since native code is
    /// this machine's and this build's.
    pub(super) async fn program(
        &self,
        tenant: &TenantId,
        (plugin, kind): (&Id, World),
        version: &Version,
    ) -> Result<Arc<Program>, Unloaded> {
        match self.known(plugin).map(|seat| seat.program(version.number)) {
            Some(Ok(program)) => Ok(program),
            _ => self.make(tenant, version, kind).await,
        }
    }

    fn known(&self, plugin: &Id) -> Option<Arc<Seat>> {
        self.seats.read().unwrap_or_else(PoisonError::into_inner).get(plugin).cloned()
    }

    fn seat(&self, tenant: &TenantId, plugin: &Id) -> Arc<Seat> {
        if let Some(seat) = self.known(plugin) {
            return seat;
        }
        let mut seats = self.seats.write().unwrap_or_else(PoisonError::into_inner);
        let seat = seats.entry(plugin.clone()).or_insert_with(|| {
            Arc::new(Seat {
                tenant: tenant.clone(),
                programs: RwLock::default(),
                breakers: Mutex::default(),
                host: Mutex::default(),
            })
        });
        Arc::clone(seat)
    }

    fn share(&self, tenant: &TenantId) -> Arc<Share> {
        if let Some(share) = self.shares.read().unwrap_or_else(PoisonError::into_inner).get(tenant) {
            return Arc::clone(share);
        }
        let mut shares = self.shares.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(shares.entry(tenant.clone()).or_default())
    }

    /// Asks a plugin about a call. `version` is what a number names (`name@2`); `control` speaks to the caller, in call
    /// scripts. `usable` says what is wrong with a decision, such as a target that is not the tenant's: that is a failure
    /// of the plugin's like others. Never fails and never waits for anything but the run.
    pub async fn ask(
        &self,
        tenant: &TenantId,
        setup: &Arc<Setup>,
        version: Option<u32>,
        call: Call,
        control: Option<Arc<dyn Host>>,
        usable: Usable<'_>,
    ) -> Reply {
        let reply = self.answer(tenant, setup, version, Input::Call(Box::new(call)), control, usable).await;
        self.count(setup, &reply);
        reply
    }

    /// Shows a ticketer an event. Whoever asks says with [`Plugins::count`] how it ended.
    pub async fn show(&self, tenant: &TenantId, setup: &Arc<Setup>, event: Event) -> Reply {
        self.answer(tenant, setup, None, Input::Event(Box::new(event)), None, &|_| Ok(())).await
    }

    async fn answer(
        &self,
        tenant: &TenantId,
        setup: &Arc<Setup>,
        named: Option<u32>,
        input: Input,
        control: Option<Arc<dyn Host>>,
        usable: Usable<'_>,
    ) -> Reply {
        let trigger = if matches!(input, Input::Event(_)) { Trigger::Event } else { Trigger::Call };
        let (version, report) = match pick(setup, named, &input) {
            Ok(version) => {
                let report = self.run(tenant, setup, version, input, control, usable).await;
                (version.number, report)
            }
            Err(why) => (0, Report::not_run(Outcome::NotLoadable, why)),
        };
        Reply { plugin: setup.id.clone(), name: Arc::clone(&setup.name), version, trigger, report }
    }

    /// Counts a run that is over.
    pub fn count(&self, setup: &Setup, reply: &Reply) {
        let (kind, report) = (setup.kind, &reply.report);
        let metrics = &self.parts.metrics.plugins;
        let labels = RunLabels { kind: kind.as_str(), outcome: report.outcome.as_str() };
        metrics.runs.get_or_create(&labels).inc();
        if kind != World::CallScript && report.cost.wall_us > 0 {
            #[expect(clippy::cast_precision_loss, reason = "microseconds of a run fit")]
            metrics.seconds.observe(report.cost.wall_us as f64 / 1e6);
        }
    }

    async fn run(
        &self,
        tenant: &TenantId,
        setup: &Arc<Setup>,
        version: &Version,
        input: Input,
        control: Option<Arc<dyn Host>>,
        usable: Usable<'_>,
    ) -> Report {
        let seat = self.seat(tenant, &setup.id);
        let (sandbox, program) = match (&self.parts.sandbox, seat.program(version.number)) {
            (Some(sandbox), Ok(program)) => (sandbox, program),
            (None, _) => return Report::not_run(Outcome::NotLoadable, Unloaded::Off.to_string()),
            (_, Err(why)) => return Report::not_run(Outcome::NotLoadable, why),
        };
        let Some(turn) = Turn::take(&seat, setup, version.number, self.parts.clock.now_us()) else {
            return Report::not_run(
                Outcome::Parked,
                "it failed too often lately and is not asked for a while",
            );
        };
        let shadow = self.shadow_of(setup, version).map(|shadow| (shadow, input.clone()));
        let host = Arc::new(Split {
            control,
            other: self.host(&seat, tenant, setup),
            subject: input.subject().to_owned(),
            hung_up: AtomicBool::new(false),
        });
        let job = Job {
            input,
            settings: Arc::clone(&setup.settings),
            grants: self.grants(setup),
            limits: setup.kind.limits(),
            host: Arc::<Split>::clone(&host),
            share: self.share(tenant),
        };
        let mut report = sandbox.run(&program, job).await;
        if let Some(why) = report.decision().and_then(|decision| usable(decision).err()) {
            reject(&mut report, &why);
        }
        // Whoever hung up made the script end as it did.
        let failed = report.outcome.is_plugins_fault() && !host.hung_up.load(Ordering::Relaxed);
        let verdict = turn.ended(self.parts.clock.now_us(), failed);
        self.follow(tenant, setup, version.number, &report, verdict);
        if let Some((shadow, input)) = shadow.filter(|_| !report.trail_cut && ran(&report)) {
            self.offer(tenant, setup, version.number, (shadow, input), &report);
        }
        report
    }

    /// What the tenant allows, of what the operator allows.
    pub fn grants(&self, setup: &Setup) -> Grants {
        setup.grants.and(self.parts.grants)
    }

    fn host(&self, seat: &Seat, tenant: &TenantId, setup: &Arc<Setup>) -> Arc<dyn Host> {
        let mut host = locked(&seat.host);
        match &*host {
            Some((of, host)) if Arc::ptr_eq(of, setup) => Arc::clone(host),
            _ => {
                let made = self.host_of(tenant, setup);
                *host = Some((Arc::clone(setup), Arc::clone(&made)));
                made
            }
        }
    }

    /// Whoever answers a plugin.
    pub(super) fn host_of(&self, tenant: &TenantId, setup: &Setup) -> Arc<dyn Host> {
        let allowed = hosts::both(&setup.http_hosts, &self.parts.http_hosts);
        self.parts.host.of(tenant, &setup.id, &allowed)
    }

    /// Says that what a ticketer drafted can't be kept. Counts as a failure of its own.
    pub fn rejected(&self, tenant: &TenantId, setup: &Setup, reply: &mut Reply, why: &str) {
        reject(&mut reply.report, why);
        let seat = self.seat(tenant, &setup.id);
        let now_us = self.parts.clock.now_us();
        let verdict =
            locked(&seat.breakers).entry(reply.version).or_default().ended(now_us, Admission::Run, true);
        self.follow(tenant, setup, reply.version, &reply.report, verdict);
    }

    fn follow(&self, tenant: &TenantId, setup: &Setup, version: u32, report: &Report, verdict: Verdict) {
        if verdict == Verdict::default() {
            return;
        }
        let of = super::work::Of {
            tenant: tenant.clone(),
            plugin: setup.id.clone(),
            version,
            at_us: self.parts.clock.now_us(),
        };
        let (outcome, text) = (report.outcome, report.text.clone());
        if verdict.tell {
            self.tell(Notice::Failed { of: of.clone(), outcome, text: text.clone() });
        }
        if let Some(failures) = verdict.park {
            tracing::warn!(
                tenant.id = %tenant, plugin.name = %setup.name, plugin.version = version,
                outcome = outcome.as_str(), failures, "a plugin failed too often and is parked"
            );
            self.tell(Notice::Parked { of: of.clone(), outcome, text, failures });
        }
        if verdict.well {
            self.tell(Notice::Well { of });
        }
    }

    fn tell(&self, notice: Notice) {
        if self.notices.try_send(notice).is_err() {
            self.parts.metrics.plugins.untold.inc();
            tracing::warn!("what happened to a plugin can't be told: too much waits for the database");
        }
    }

    /// The shadow to be compared with a run of this version.
    fn shadow_of(&self, setup: &Setup, version: &Version) -> Option<Version> {
        setup.shadow.clone().filter(|shadow| shadow.number != version.number)
    }

    fn offer(
        &self,
        tenant: &TenantId,
        setup: &Arc<Setup>,
        version: u32,
        (shadow, input): (Version, Input),
        report: &Report,
    ) {
        let shadow = Shadow::of(
            (tenant, Arc::clone(setup)),
            (shadow, input),
            version,
            self.parts.clock.now_us(),
            report,
        );
        if self.shadows.try_send(shadow).is_err() {
            super::shadow::dropped(&self.parts);
        }
    }

    /// Everything that is ready to run, with its plugin.
    pub(super) fn programs(&self) -> Vec<(Id, Arc<Program>)> {
        let seats = self.seats.read().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::new();
        for (id, seat) in seats.iter() {
            let programs = seat.programs.read().unwrap_or_else(PoisonError::into_inner);
            let ready = programs.values().filter_map(|loaded| match loaded {
                Loaded::Ready(program) => Some((id.clone(), Arc::clone(program))),
                Loaded::Not(..) => None,
            });
            all.extend(ready);
        }
        all
    }

    /// A version's program on the shelf, for shadows.
    pub(super) fn on_shelf(&self, plugin: &Id, version: u32) -> Option<Arc<Program>> {
        self.known(plugin)?.program(version).ok()
    }
}

fn reject(report: &mut Report, why: &str) {
    report.outcome = Outcome::RejectedOutput;
    report.text = why.chars().take(limits::TEXT_CHARACTERS).collect();
    report.output = None;
}

/// Whether a run happened at all.
fn ran(report: &Report) -> bool {
    !matches!(report.outcome, Outcome::Busy | Outcome::Parked | Outcome::NotLoadable)
}

/// The version that is asked, or why there is none.
fn pick<'s>(setup: &'s Setup, named: Option<u32>, input: &Input) -> Result<&'s Version, String> {
    let is_event = matches!(input, Input::Event(_));
    if is_event != (setup.kind == World::Ticketer) {
        return Err(format!("it is a {}", setup.kind.as_str()));
    }
    match setup.status {
        PluginStatus::Disabled => return Err("it is disabled".into()),
        PluginStatus::Draft if named.is_none() => return Err("it has no active version".into()),
        _ => {}
    }
    let (caller, who) = match input {
        Input::Call(call) => (call.caller.number.as_deref(), call.id.as_str()),
        Input::Event(event) => (None, event.key.as_str()),
        Input::Trial => (None, ""),
    };
    choose::version(setup, named, caller, who).ok_or_else(|| match named {
        Some(number) => format!("it has no version {number}"),
        None => "it has no active version".into(),
    })
}

impl Seat {
    fn shelf(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<u32, Loaded>> {
        self.programs.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops versions that are not asked any more.
    fn keep_only(&self, setup: &Setup) {
        let is_wanted = |number: &u32| setup.versions().any(|version| version.number == *number);
        self.shelf().retain(|number, _| is_wanted(number));
        locked(&self.breakers).retain(|number, _| is_wanted(number));
    }

    fn program(&self, version: u32) -> Result<Arc<Program>, String> {
        match self.programs.read().unwrap_or_else(PoisonError::into_inner).get(&version) {
            Some(Loaded::Ready(program)) => Ok(Arc::clone(program)),
            Some(Loaded::Not(why, _)) => Err(why.to_string()),
            None => Err(format!("version {version} is not loaded")),
        }
    }
}

/// A run that was let in. Dropped without an end (whoever asked is gone), it lets the next one probe.
struct Turn<'s> {
    seat: &'s Seat,
    version: u32,
    admission: Admission,
    over: bool,
}

impl<'s> Turn<'s> {
    /// `None`: the version is parked.
    fn take(seat: &'s Seat, setup: &Setup, version: u32, now_us: i64) -> Option<Self> {
        // What the database says of the plugin is said of its active version.
        let parked = setup.parked_us.filter(|_| setup.active.as_ref().is_some_and(|v| v.number == version));
        let admission =
            locked(&seat.breakers).entry(version).or_default().admit(now_us, parked, setup.counts_from_us);
        (admission != Admission::Parked).then_some(Self { seat, version, admission, over: false })
    }

    fn ended(mut self, now_us: i64, failed: bool) -> Verdict {
        self.over = true;
        locked(&self.seat.breakers).entry(self.version).or_default().ended(now_us, self.admission, failed)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.over {
            locked(&self.seat.breakers).entry(self.version).or_default().gave_up(self.admission);
        }
    }
}

/// Two that answer: whoever speaks to the caller, and whoever answers everything else.
struct Split {
    control: Option<Arc<dyn Host>>,
    other: Arc<dyn Host>,
    /// What the run is about.
    subject: String,
    hung_up: AtomicBool,
}

impl Host for Split {
    fn ask<'a>(&'a self, ask: &'a Ask) -> Answering<'a> {
        if !ask.is_control() {
            return self.other.ask_about(ask, &self.subject);
        }
        let Some(control) = &self.control else { return Nobody.ask(ask) };
        Box::pin(async {
            let answer = control.ask(ask).await;
            if answer == Err(Failure::HungUp) {
                self.hung_up.store(true, Ordering::Relaxed);
            }
            answer
        })
    }
}
