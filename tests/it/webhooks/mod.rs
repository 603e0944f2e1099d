//! Webhooks from the change to the consumer: real requests to a consumer on loopback, on both databases.

mod api;
mod away;
mod behind;
mod clock;
mod deliver;
mod faults;
mod kill;
mod many;
mod order;
mod retry;
mod sink;

use std::sync::Arc;
use std::time::Duration;

use hookswitch::base::ids::Id;
use hookswitch::base::role::Role;
use hookswitch::base::shutdown::{self, Stopper};
use hookswitch::events::{Draft, outbox};
use hookswitch::outgoing::{Client, Guard};
use hookswitch::webhooks::{Parts, desk};
use serde_json::{Map, Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::api::app::{Answer, Person};
use crate::api::telephony::Desk;
use crate::support::{Kind, PATIENCE, TestDb, tenant};

pub(crate) use sink::Sink;

/// A tenant with an API, and whatever delivers its events.
pub(crate) struct World {
    pub(crate) desk: Desk,
    pub(crate) sink: Sink,
    pub(crate) stats: Arc<desk::Stats>,
    admin: Person,
    node: Id,
    allow: &'static str,
    running: Option<Running>,
}

/// Whatever delivers, on a runtime of its own: with it every task ends, as with a process.
struct Running {
    stopper: Stopper,
    task: JoinHandle<()>,
    runtime: Runtime,
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.runtime.shutdown_background();
        }
    }
}

/// A process beside it on the same database.
pub(crate) struct Other {
    stopper: Stopper,
    running: JoinHandle<()>,
}

impl Other {
    /// Ends in order.
    pub(crate) async fn stop(self) {
        self.stopper.stop();
        self.running.await.unwrap();
    }

    /// Ends as a killed process does.
    pub(crate) fn kill(self) {
        self.running.abort();
    }
}

impl World {
    pub(crate) async fn new(test: Arc<TestDb>) -> Self {
        Self::allowing(test, "127.0.0.0/8").await
    }

    /// With these networks allowed.
    pub(crate) async fn allowing(test: Arc<TestDb>, allow: &'static str) -> Self {
        let desk = Desk::new(test).await;
        let admin = desk.app.user(Role::TenantAdmin, "acme").await;
        let node = desk.app.gate.ids.next();
        let stats = Arc::default();
        let mut world = Self { desk, sink: Sink::start().await, stats, admin, node, allow, running: None };
        world.start();
        world
    }

    /// Everything that delivering needs.
    pub(crate) fn parts(&self) -> Parts {
        let gate = &self.desk.app.gate;
        let guard = Guard::parse(self.allow).unwrap();
        Parts {
            db: gate.db.clone(),
            clock: gate.clock.clone(),
            ids: gate.ids.clone(),
            auth: Arc::clone(&gate.auth),
            events: Arc::clone(&gate.events),
            client: Client::new(guard).unwrap(),
            node: self.node.clone(),
            stats: Arc::clone(&self.stats),
        }
    }

    /// Begins to deliver.
    pub(crate) fn start(&mut self) {
        let (stopper, stopping) = shutdown::channel();
        self.stats = Arc::default();
        let (parts, test) = (self.parts(), Arc::clone(&self.desk.app.test));
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let task = runtime.spawn(async move {
            // Connections to MariaDB end with the runtime that made them; SQLite has threads of its own and one writer.
            let db = match test.kind {
                Kind::Sqlite => parts.db.clone(),
                Kind::MySql => test.again().await,
            };
            desk::run(Parts { db, ..parts }, stopping).await;
        });
        self.running = Some(Running { stopper, task, runtime });
    }

    /// Ends in order.
    pub(crate) async fn stop(&mut self) {
        let Running { stopper, task, runtime } = self.running.take().unwrap();
        stopper.stop();
        task.await.unwrap();
        runtime.shutdown_background();
    }

    /// Ends as a killed process does.
    pub(crate) fn kill(&mut self) {
        let running = self.running.take().unwrap();
        // On a thread that may wait: nothing of it is left when this returns.
        std::thread::spawn(move || running.runtime.shutdown_timeout(PATIENCE)).join().unwrap();
    }

    /// Begins to deliver in another process.
    pub(crate) fn other(&self) -> Other {
        let (stopper, stopping) = shutdown::channel();
        let parts = Parts { node: self.desk.app.gate.ids.next(), stats: Arc::default(), ..self.parts() };
        Other { stopper, running: tokio::spawn(desk::run(parts, stopping)) }
    }

    /// Lets time pass.
    pub(crate) fn wait(&self, time: Duration) {
        self.desk.app.wait(time);
    }

    /// A token that is good at this moment.
    pub(crate) fn token(&self) -> String {
        self.desk.app.fresh_token(&self.admin)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.desk.app.get(path, &self.token()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.desk.app.post(path, &self.token(), body).await
    }

    /// Asks for something without a body.
    pub(crate) async fn act(&self, path: &str) -> Answer {
        self.desk.app.ask("POST", path, &self.token(), None, &[]).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.desk.app.patch(path, &self.token(), body).await
    }

    /// Makes an endpoint at the sink, with these fields beside its address.
    pub(crate) async fn webhook(&self, path: &str, more: Value) -> Answer {
        let mut body = json!({"url": self.sink.url(path), "types": ["contact.*", "tag.*", "ticket.*"]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.post("/webhooks", body).await.expect(201)
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        if waited.await.is_err() {
            let came = self.sink.taken().len();
            panic!("{what}: {came} came, {:?}", self.stats);
        }
    }

    /// Waits until the consumer got so many requests.
    pub(crate) async fn came(&self, count: usize) {
        self.until(&format!("{count} requests"), |w| w.sink.taken().len() >= count).await;
    }

    /// Waits until so many results are in the database.
    pub(crate) async fn recorded(&self, count: i64) {
        self.rows(count, "SELECT COUNT(*) FROM webhook_attempts").await;
    }

    /// Waits until a statement counts so many rows at least.
    pub(crate) async fn rows(&self, count: i64, sql: &str) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while self.desk.app.test.number(sql).await < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        if waited.await.is_err() {
            let states = "SELECT CONCAT(status, ' ', owner, ' ', attempts) FROM webhook_deliveries LIMIT 5";
            panic!("{count} of {sql}: {:?} {:?}", self.stats, self.desk.app.test.texts(states).await);
        }
    }

    /// Waits until everything that was handed out is finished, and fails when that leaves something in memory.
    pub(crate) async fn all_done(&self) {
        let sql = "SELECT (SELECT COUNT(*) FROM webhook_deliveries WHERE status IN ('pending', 'waiting')) \
             + (SELECT COUNT(*) FROM webhooks WHERE behind IS NOT NULL AND deleted_at = 0)";
        let waited = tokio::time::timeout(PATIENCE, async {
            while self.desk.app.test.number(sql).await > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(waited.await.is_ok(), "not finished: {:?}", self.stats);
        let read = |n: &std::sync::atomic::AtomicU64| n.load(std::sync::atomic::Ordering::Relaxed);
        self.until("nothing left in memory", |w| {
            read(&w.stats.in_flight) == 0 && read(&w.stats.waiting) == 0 && read(&w.stats.unwritten) == 0
        })
        .await;
    }

    /// Fields of the deliveries of an endpoint, the oldest first.
    pub(crate) async fn deliveries(&self, webhook: &str) -> Vec<Value> {
        let path = format!("/webhooks/{webhook}/deliveries?limit=200&sort=created_at");
        self.get(&path).await.expect(200).body["data"].as_array().unwrap().clone()
    }

    /// Fields of the attempts of an endpoint, the oldest first.
    pub(crate) async fn attempts(&self, webhook: &str) -> Vec<Value> {
        let path = format!("/webhooks/{webhook}/attempts?limit=200&sort=created_at");
        self.get(&path).await.expect(200).body["data"].as_array().unwrap().clone()
    }

    /// An endpoint as it is.
    pub(crate) async fn state(&self, webhook: &str) -> Value {
        self.get(&format!("/webhooks/{webhook}")).await.expect(200).body
    }

    /// Makes a tag: one event.
    pub(crate) async fn tag(&self, name: &str) -> Answer {
        self.post("/tags", json!({"name": name})).await.expect(201)
    }

    /// Writes an event `ticket.updated` for each of these keys, in one transaction.
    pub(crate) async fn happen<K: AsRef<str>>(&self, keys: &[K]) {
        let gate = &self.desk.app.gate;
        let (acme, now_us) = (tenant("acme"), gate.clock.now_us());
        let draft = |(n, key): (usize, &K)| Draft {
            kind: "ticket.updated".into(),
            key: key.as_ref().to_owned(),
            at_us: now_us,
            owners: None,
            data: Map::from_iter([("n".to_owned(), json!(n))]),
        };
        let drafts: Vec<Draft> = keys.iter().enumerate().map(draft).collect();
        let mut tx = gate.db.begin().await.unwrap();
        let position = outbox::append(&mut tx, &gate.ids, (&acme, now_us), &drafts).await.unwrap();
        tx.commit().await.unwrap();
        gate.events.news.tell(&acme, position);
    }
}
