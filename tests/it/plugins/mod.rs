//! Plugins over REST and in memory, on both databases. The plugins are made in the tests ([`wasm`]).

mod activate;
mod beside;
mod host;
mod keep;
mod kill;
mod park;
mod push;
mod reach;
mod replay;
mod rights;
mod runs;
mod ticketer;
mod upload;
mod wasm;

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::Request;
use hookswitch::api::Doing;
use hookswitch::base::ids::TenantId;
use hookswitch::base::role::Role;
use hookswitch::base::shutdown::{self, Stopper};
use hookswitch::plugins::work::{self, Reload};
use hookswitch::plugins::{Plugins, Reply, Setup, setups};
use hookswitch::sandbox::types::{Call, Decision, Party};
use serde_json::{Value, json};

use crate::api::app::{Answer, Person, TestApp};
use crate::api::telephony::Desk;
use crate::support::{TestDb, eventually, tenant};

/// A tenant with plugins.
struct World {
    desk: Desk,
    admin: Person,
    held: Arc<Held>,
}

/// What routing would hold: the tenant's plugins as they were read last.
struct Held {
    plugins: Arc<Plugins>,
    db: hookswitch::db::Db,
    setups: Mutex<Vec<Arc<Setup>>>,
    /// One at a time: what was read earlier must not take the place of what was read later.
    reading: tokio::sync::Mutex<()>,
}

impl Held {
    async fn read(&self) {
        let _alone = self.reading.lock().await;
        let acme = tenant("acme");
        let all = setups(&self.db, &acme).await.unwrap();
        self.plugins.prepare(&acme, &all).await;
        *self.setups.lock().unwrap() = all;
    }
}

impl Reload for Held {
    fn reload<'a>(&'a self, _: &'a TenantId) -> Doing<'a, ()> {
        Box::pin(self.read())
    }
}

impl World {
    async fn new(test: Arc<TestDb>) -> Self {
        Self::over(TestApp::new(test).await).await
    }

    async fn over(app: TestApp) -> Self {
        let desk = Desk::of(app).await;
        let admin = desk.app.user(Role::TenantAdmin, "acme").await;
        let held = Held {
            plugins: Arc::clone(&desk.app.plugins),
            db: desk.app.gate.db.clone(),
            setups: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        };
        Self { desk, admin, held: Arc::new(held) }
    }

    /// The same tenant in another process, as after a restart.
    async fn over_again(w: &Self) -> Self {
        let app = TestApp::new(Arc::clone(&w.desk.app.test)).await;
        let d = &w.desk;
        let (admin, other, viewer) = (d.admin.clone(), d.other.clone(), d.viewer.clone());
        let (supervisor, agent) = (d.supervisor.clone(), d.agent.clone());
        let held = Held {
            plugins: Arc::clone(&app.plugins),
            db: app.gate.db.clone(),
            setups: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        };
        let desk = Desk { app, admin, supervisor, agent, viewer, other };
        let admin = desk.app.user(Role::TenantAdmin, "acme").await;
        Self { desk, admin, held: Arc::new(held) }
    }

    /// Begins to do what plugins do in the background.
    fn work(&self) -> Stopper {
        let (stopper, stopping) = shutdown::channel();
        tokio::spawn(work::run(Arc::clone(&self.held.plugins), Arc::<Held>::clone(&self.held), stopping));
        stopper
    }

    fn token(&self) -> String {
        self.desk.app.fresh_token(&self.admin)
    }

    async fn get(&self, path: &str) -> Answer {
        self.desk.app.get(path, &self.token()).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.desk.app.post(path, &self.token(), body).await
    }

    /// Asks for something without a body.
    async fn act(&self, path: &str) -> Answer {
        self.desk.app.ask("POST", path, &self.token(), None, &[]).await
    }

    /// Makes a router; its path.
    async fn router(&self, name: &str, more: Value) -> String {
        let mut body = json!({"name": name, "kind": "router"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = self.post("/plugins", body).await.expect(201);
        format!("/plugins/{}", made.id())
    }

    /// Uploads a file as somebody.
    async fn upload_as(&self, path: &str, token: &str, kind: &str, file: Vec<u8>) -> Answer {
        let request = Request::post(format!("/api/v1{path}/versions"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", kind)
            .body(Body::from(file));
        self.desk.app.send(request.unwrap()).await
    }

    async fn upload(&self, path: &str, file: Vec<u8>) -> Answer {
        self.upload_as(path, &self.token(), "application/wasm", file).await
    }

    /// Uploads a file and activates it.
    async fn active(&self, path: &str, file: Vec<u8>) {
        let made = self.upload(path, file).await.expect(201);
        self.act(&format!("{path}/versions/{}/activate", made.body["number"])).await.expect(200);
        self.held.read().await;
    }

    /// What is known of a plugin.
    fn setup(&self, name: &str) -> Arc<Setup> {
        let all = self.held.setups.lock().unwrap();
        Arc::clone(all.iter().find(|setup| *setup.name == *name).unwrap())
    }

    /// Asks a plugin about a call from a number.
    async fn ask(&self, name: &str, caller: &str) -> Reply {
        self.ask_version(name, None, caller).await
    }

    async fn ask_version(&self, name: &str, version: Option<u32>, caller: &str) -> Reply {
        self.held.plugins.ask(&tenant("acme"), &self.setup(name), version, call(caller), None, &usable).await
    }

    /// Events of some types, the oldest first.
    async fn events(&self, types: &str) -> Vec<Value> {
        let list = self.get(&format!("/events?types={types}&limit=200")).await.expect(200);
        list.body["data"].as_array().unwrap().clone()
    }

    /// Waits until a plugin's record says so.
    async fn until(&self, path: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || async {
            let plugin = self.get(path).await.expect(200).body;
            is_so(&plugin).then_some(plugin)
        })
        .await
    }
}

/// As routing would judge: there is no queue `nobodys`.
fn usable(decision: &Decision) -> Result<(), String> {
    match decision {
        Decision::Route(plan) if plan.steps[0].target.name() == "nobodys" => {
            Err("there is no queue nobodys".into())
        }
        _ => Ok(()),
    }
}

/// A call from a number.
fn call(caller: &str) -> Call {
    Call {
        id: "01kb2x8v9q3d5s7f1g4h6j8k0m".into(),
        linked_id: "1.1".into(),
        caller: Party { number: Some(caller.into()), name: None },
        dialled: "+15550001006".into(),
        ..Call::default()
    }
}

/// Where a decision leads first; the outcome where there is none.
fn brief(reply: &Reply) -> String {
    match reply.report.decision() {
        Some(Decision::Route(plan)) => {
            format!("v{} {}", reply.version, plan.steps[0].target.name())
        }
        _ => format!("v{} {}", reply.version, reply.report.outcome.as_str()),
    }
}
