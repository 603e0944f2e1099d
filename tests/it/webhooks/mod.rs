//! Webhooks from the change to the consumer: real requests to a consumer on loopback, on both databases.

mod deliver;
mod kill;
mod sink;

use std::sync::Arc;

use hookswitch::base::ids::Id;
use hookswitch::base::shutdown::{self, Stopper};
use hookswitch::outgoing::{Client, Guard};
use hookswitch::webhooks::{Parts, desk};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::api::app::Answer;
use crate::api::telephony::Desk;
use crate::support::{PATIENCE, TestDb};

pub(crate) use sink::Sink;

/// A tenant with an API, and whatever delivers its events.
pub(crate) struct World {
    pub(crate) desk: Desk,
    pub(crate) sink: Sink,
    pub(crate) stats: Arc<desk::Stats>,
    node: Id,
    running: Option<(Stopper, JoinHandle<()>)>,
}

impl World {
    pub(crate) async fn new(test: Arc<TestDb>) -> Self {
        let desk = Desk::new(test).await;
        let node = desk.app.gate.ids.next();
        let mut world = Self { desk, sink: Sink::start().await, stats: Arc::default(), node, running: None };
        world.start();
        world
    }

    /// Everything that delivering needs.
    pub(crate) fn parts(&self) -> Parts {
        let gate = &self.desk.app.gate;
        let guard = Guard::parse("127.0.0.0/8").unwrap();
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
        let running = tokio::spawn(desk::run(self.parts(), stopping));
        self.running = Some((stopper, running));
    }

    /// Ends in order.
    pub(crate) async fn stop(&mut self) {
        let (stopper, running) = self.running.take().unwrap();
        stopper.stop();
        running.await.unwrap();
    }

    /// Ends as a killed process does.
    pub(crate) fn kill(&mut self) {
        let (_stopper, running) = self.running.take().unwrap();
        running.abort();
    }

    /// Makes an endpoint at the sink, with these fields beside its address.
    pub(crate) async fn webhook(&self, path: &str, more: Value) -> Answer {
        let mut body = json!({"url": self.sink.url(path), "types": ["contact.*", "tag.*", "ticket.*"]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.desk.app.post("/webhooks", &self.desk.admin, body).await.expect(201)
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !is_so(self) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        });
        if waited.await.is_err() {
            panic!("{what}: {:?} {:?}", self.sink.types(), self.stats);
        }
    }

    /// Waits until the consumer got so many requests.
    pub(crate) async fn came(&self, count: usize) {
        self.until(&format!("{count} requests"), |w| w.sink.taken().len() >= count).await;
    }

    /// Waits until so many results are in the database.
    pub(crate) async fn recorded(&self, count: i64) {
        let db = &self.desk.app.test;
        let waited = tokio::time::timeout(PATIENCE, async {
            while db.number("SELECT COUNT(*) FROM webhook_attempts").await < count {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        });
        assert!(waited.await.is_ok(), "{count} results: {:?}", self.stats);
    }

    /// Fields of the deliveries of an endpoint, the oldest first.
    pub(crate) async fn deliveries(&self, webhook: &str) -> Vec<Value> {
        let path = format!("/webhooks/{webhook}/deliveries?limit=200&sort=created_at");
        let list = self.desk.app.get(&path, &self.desk.admin).await.expect(200).body;
        list["data"].as_array().unwrap().clone()
    }

    /// Makes a tag: one event.
    pub(crate) async fn tag(&self, name: &str) -> Answer {
        self.desk.make("/tags", json!({"name": name})).await
    }
}
