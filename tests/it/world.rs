//! A router over a test's database, and short ways to fill it.

use std::sync::Arc;
use std::time::Duration;

use hookswitch::base::clock::Clock;
use hookswitch::base::ids::{Id, IdSource};
use hookswitch::base::metrics::{Metrics, Outcome};
use hookswitch::calls::live::Live;
use hookswitch::contacts::Names;
use hookswitch::db::{Db, Tx};
use hookswitch::endpoints::store::NewEndpoint;
use hookswitch::outgoing::{Client, Guard};
use hookswitch::queues::store::NewQueue;
use hookswitch::routing::memory::Memory;
use hookswitch::routing::schedule::Schedule;
use hookswitch::routing::store::write::{self, NewDid, NewMenu, NewWebhook, Role};
use hookswitch::routing::trace::Trace;
use hookswitch::routing::types::{Action, Inputs, RawDestination, State};
use hookswitch::routing::{CallIds, Mode, Paces, Router};
use hookswitch::tenants::{self, Tenant, TenantStatus};
use hookswitch::{endpoints, queues, voicemail};

use crate::support::{TestDb, name, number, tenant};

pub(crate) const SECRET: &str = "whsec_aG9va3N3aXRjaC1kZW1vLXdlYmhvb2stc2VjcmV0LTAx";
/// The number that most tests call; it belongs to `acme`.
pub(crate) const DID: &str = "+15550001000";
/// Who calls, unless a test says otherwise.
pub(crate) const CALLER: &str = "+15557770009";

/// A tenant without limits.
pub(crate) fn plain_tenant(id: &str) -> Tenant {
    Tenant {
        id: tenant(id),
        name: id.to_owned(),
        status: TenantStatus::Active,
        language: "en".into(),
        zone: "UTC".into(),
        max_agents: 0,
        max_dids: 0,
        max_concurrent_calls: 0,
        features: Vec::new(),
    }
}

/// `queue:support`, `hangup:17` …
pub(crate) fn to(text: &str) -> RawDestination {
    let (action, target) = text.split_once(':').unwrap_or((text, ""));
    RawDestination { action: action.into(), target: target.into(), ..RawDestination::default() }
}

/// A DID to be written; `Did::default()` is active and goes to `queue:support`.
#[derive(Clone, Debug)]
pub(crate) struct Did<'a> {
    pub(crate) number: &'a str,
    pub(crate) status: &'a str,
    pub(crate) route: RawDestination,
    pub(crate) plugin: &'a str,
    pub(crate) schedule: &'a str,
    pub(crate) record: bool,
    pub(crate) max_calls: u32,
    pub(crate) webhook: &'a str,
    /// Role, and where to.
    pub(crate) further: Vec<(&'a str, &'a str)>,
}

impl Default for Did<'_> {
    fn default() -> Self {
        Self {
            number: DID,
            status: "active",
            route: to("queue:support"),
            plugin: "",
            schedule: "",
            record: false,
            max_calls: 0,
            webhook: "",
            further: Vec::new(),
        }
    }
}

/// A router with everything around it.
pub(crate) struct World {
    pub(crate) test: Arc<TestDb>,
    pub(crate) clock: Clock,
    pub(crate) ids: IdSource,
    pub(crate) router: Router,
}

/// A router over a database, with a look-up deadline.
pub(crate) fn router(db: Db, clock: &Clock, deadline: Duration) -> Router {
    let metrics = Arc::new(Metrics::default());
    let plugins = hookswitch::plugins::Plugins::off(db.clone(), clock.clone());
    Router {
        plugins: Arc::clone(&plugins),
        names: Names::new(db.clone()),
        memory: Memory::new(db, Arc::clone(&metrics), plugins, 10_000, deadline),
        live: Arc::new(Live::default()),
        paces: Paces::default(),
        metrics,
        ids: IdSource::new(clock.clone()),
        clock: clock.clone(),
        client: Client::new(Guard::parse("127.0.0.0/8").unwrap()).unwrap(),
        unknown: None,
    }
}

impl World {
    /// With nothing in it.
    pub(crate) fn empty(test: &Arc<TestDb>) -> Self {
        let clock = crate::support::clock();
        let router = router(test.db.clone(), &clock, Duration::from_secs(20));
        Self { test: Arc::clone(test), ids: IdSource::new(clock.clone()), clock, router }
    }

    /// With tenant `acme`: queue `support` (extension 600), endpoint and mailbox `101`, and `did` if there is one.
    pub(crate) async fn acme(test: &Arc<TestDb>, did: Option<Did<'_>>) -> Self {
        let world = Self::empty(test);
        world.tenant(&plain_tenant("acme")).await;
        world.targets("acme").await;
        if let Some(did) = did {
            world.did("acme", &did).await;
        }
        world
    }

    async fn write(&self, f: impl AsyncFnOnce(&mut Tx) -> sqlx::Result<()>) {
        let mut tx = self.test.db.begin().await.unwrap();
        f(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    fn now(&self) -> i64 {
        self.clock.now_us()
    }

    pub(crate) async fn tenant(&self, new: &Tenant) {
        self.write(async |tx| tenants::store::insert(tx, new, self.now()).await).await;
    }

    pub(crate) async fn status(&self, id: &str, status: TenantStatus) {
        let (id, now) = (tenant(id), self.now());
        self.write(async |tx| {
            tenants::store::set_status(tx, &id, status, now).await.map(|found| assert!(found))
        })
        .await;
    }

    pub(crate) async fn targets(&self, owner: &str) {
        self.queue(owner, "support", "600").await;
        self.endpoint(owner, "101").await;
    }

    pub(crate) async fn queue(&self, owner: &str, queue: &str, extension: &str) -> Id {
        let (id, owner, queue) = (self.ids.next(), tenant(owner), name(queue));
        let new = NewQueue {
            id: &id,
            name: &queue,
            display_name: "Queue",
            extension,
            strategy: "rrmemory",
            max_wait_s: 20,
        };
        self.write(async |tx| queues::store::insert(tx, &owner, &new, self.now()).await).await;
        id
    }

    /// An endpoint with a mailbox of the same name.
    pub(crate) async fn endpoint(&self, owner: &str, endpoint: &str) -> Id {
        let (id, mailbox, owner, extension) =
            (self.ids.next(), self.ids.next(), tenant(owner), name(endpoint));
        let new = NewEndpoint {
            id: &id,
            name: &extension,
            display_name: "Phone",
            mailbox: endpoint,
            ring_timeout_s: 25,
        };
        self.write(async |tx| {
            voicemail::store::insert(tx, &owner, &mailbox, &extension, "Box", self.now()).await?;
            endpoints::store::insert(tx, &owner, &new, self.now()).await
        })
        .await;
        id
    }

    pub(crate) async fn member(&self, owner: &str, queue: &Id, endpoint: &Id) -> bool {
        let (id, owner) = (self.ids.next(), tenant(owner));
        let mut tx = self.test.db.begin().await.unwrap();
        let added =
            queues::store::insert_member(&mut tx, &owner, &id, (queue, endpoint), 0, self.now()).await;
        tx.commit().await.unwrap();
        added.unwrap()
    }

    pub(crate) async fn did(&self, owner: &str, did: &Did<'_>) -> Id {
        let (id, owner, number) = (self.ids.next(), tenant(owner), number(did.number));
        let webhook = NewWebhook { url: did.webhook, second_url: "", secret: SECRET, timeout_ms: 2_000 };
        let new = NewDid {
            id: &id,
            number: &number,
            name: "Test",
            status: did.status,
            route: did.route.clone(),
            plugin: did.plugin,
            schedule: did.schedule,
            record: did.record,
            max_calls: did.max_calls,
            webhook: Some(webhook).filter(|w| !w.url.is_empty()),
        };
        self.write(async |tx| {
            write::did(tx, &owner, &new, self.now()).await?;
            for (n, (role, place)) in (0..).zip(&did.further) {
                let role = Role { owner_kind: "did", owner_id: id.as_str(), role, position: n };
                write::destination(tx, &owner, role, &to(place)).await?;
            }
            Ok(())
        })
        .await;
        id
    }

    /// A destination of the tenant itself: `fallback` or `blocked`.
    pub(crate) async fn tenant_destination(&self, owner: &str, role: &str, place: &str) {
        let owner = tenant(owner);
        let role = Role { owner_kind: "tenant", owner_id: owner.as_str(), role, position: 0 };
        self.write(async |tx| write::destination(tx, &owner, role, &to(place)).await).await;
    }

    pub(crate) async fn schedule(&self, owner: &str, schedule: &str, json: &str) {
        let (id, owner, schedule) = (self.ids.next(), tenant(owner), name(schedule));
        let parsed: Schedule = serde_json::from_str(json).unwrap();
        self.write(async |tx| write::schedule(tx, &owner, &id, &schedule, &parsed, self.now()).await).await;
    }

    pub(crate) async fn listed(&self, owner: &str, kind: &str, pattern: &str, expires_us: i64) {
        let (id, owner) = (self.ids.next(), tenant(owner));
        let rule = (kind, pattern);
        self.write(async |tx| write::number_rule(tx, &owner, &id, rule, expires_us, self.now()).await).await;
    }

    pub(crate) async fn outbound(&self, owner: &str, prefix: &str, allowed: bool) {
        let (id, owner) = (self.ids.next(), tenant(owner));
        self.write(async |tx| write::outbound_rule(tx, &owner, &id, prefix, allowed, self.now()).await).await;
    }

    /// A menu of three tries without direct dial; `change` changes it.
    pub(crate) async fn menu(
        &self,
        owner: &str,
        menu: &str,
        options: &[(&str, &str)],
        change: impl FnOnce(&mut NewMenu<'_>),
    ) {
        let (id, owner, menu) = (self.ids.next(), tenant(owner), name(menu));
        let prompts = format!(r#"{{"":"{menu}","de":"{menu}-de"}}"#);
        let mut new = NewMenu {
            id: &id,
            name: &menu,
            prompts: &prompts,
            invalid_prompt: "invalid",
            goodbye_prompt: "goodbye",
            first_digit_ms: 5_000,
            inter_digit_ms: 2_000,
            max_tries: 3,
            direct_dial: false,
            options: options.iter().map(|(digits, place)| (*digits, to(place))).collect(),
        };
        change(&mut new);
        self.write(async |tx| write::menu(tx, &owner, &new, self.now()).await).await;
    }

    /// A statement and the tenant's new version in one go, as every change is made.
    pub(crate) async fn change(&self, owner: &str, sql: &str) {
        assert!(self.test.execute(sql).await.unwrap() > 0, "{sql} changes nothing");
        let owner = tenant(owner);
        self.write(async |tx| tenants::store::touch(tx, &owner).await).await;
        self.router.memory.reload(&owner).await.unwrap();
    }

    pub(crate) fn inputs(&self, did: &str) -> Inputs {
        Inputs { at_us: self.now(), dialled: did.into(), caller: CALLER.into(), ..Inputs::default() }
    }

    pub(crate) fn call(&self) -> CallIds {
        CallIds { id: self.ids.next(), uniqueid: "1.1".into(), linkedid: "1.0".into() }
    }

    pub(crate) async fn route(&self, did: &str) -> Trace {
        self.route_with(self.inputs(did), Mode::Live).await
    }

    pub(crate) async fn route_with(&self, inputs: Inputs, mode: Mode) -> Trace {
        let trace = self.router.route(&self.call(), inputs, mode).await;
        sound(&trace);
        trace
    }

    pub(crate) async fn next(&self, state: &str) -> Trace {
        let trace = self.router.next(None, state, self.inputs("")).await;
        sound(&trace);
        trace
    }

    pub(crate) fn lookups(&self, outcome: &'static str) -> u64 {
        self.router.metrics.lookups.get_or_create(&Outcome { outcome }).get()
    }
}

/// What holds for every trace: a reason, a state that can be read, and a decision that says what it needs.
pub(crate) fn sound(trace: &Trace) {
    let d = &trace.decision;
    assert!(!d.reason.is_empty() && !trace.steps.is_empty(), "{trace:#?}");
    assert!(d.state.is_empty() || State::parse(&d.state).is_some(), "{trace:#?}");
    match d.action {
        Action::Fallback => assert!(d.target.is_empty()),
        Action::Hangup => assert!(d.target.parse::<u8>().is_ok_and(|c| (1..=127).contains(&c)), "{trace:#?}"),
        _ => assert!(!d.target.is_empty(), "{trace:#?}"),
    }
    // A trace is stored as JSON and read back by replay: nothing may get lost.
    let text = serde_json::to_string(trace).unwrap();
    assert_eq!(&serde_json::from_str::<Trace>(&text).unwrap(), trace);
}

/// `action target reason`, which is what most tests are about.
pub(crate) fn brief(trace: &Trace) -> String {
    let d = &trace.decision;
    format!("{} {} {}", d.action.as_str(), d.target, d.reason)
}

/// `check=outcome` of each step.
pub(crate) fn steps(trace: &Trace) -> Vec<String> {
    trace.steps.iter().map(|s| format!("{}={}", s.check, s.outcome)).collect()
}
