//! Callbacks on both databases: asked for, dialled in order and by one node only, tried again, given up, taken back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hookswitch::agents::{Parts, PhoneNews, PhoneState, phone_changed};
use hookswitch::base::ids::{Id, Number};
use hookswitch::base::role::Role;
use hookswitch::queues::callback::{CallbackState, DialError, Dialler, Due};
use hookswitch::queues::callback_desk::{Callbacks, Wanted};
use hookswitch::queues::callback_store::{self, Step};
use hookswitch::queues::live::LiveQueues;
use hookswitch::queues::log::Row;
use hookswitch::queues::log_store;
use hookswitch::routing::Mode;
use hookswitch::routing::types::{Called, Inputs};
use serde_json::{Value, json};

use crate::api::app::TestApp;
use crate::support::{TestDb, both_databases, name, number, tenant};
use crate::world::{brief, sound};

const ANN: &str = "+15557770001";
const BOB: &str = "+15557770002";
const EVE: &str = "+15557770003";

/// What is dialled, and what comes of it: at once an error, or silence.
#[derive(Debug, Default)]
struct Phones {
    dialled: Mutex<Vec<String>>,
    broken: bool,
    hangs: bool,
    /// No Asterisk is connected: known before.
    away: bool,
    /// ... or found by dialling.
    lost: bool,
}

impl Dialler for Phones {
    fn is_ready(&self) -> bool {
        !self.away
    }

    fn dial<'a>(&'a self, due: &'a Due) -> BoxFuture<'a, Result<(), DialError>> {
        Box::pin(async move {
            self.dialled.lock().unwrap().push(due.number.to_string());
            if self.hangs {
                std::future::pending::<()>().await;
            }
            if self.lost {
                return Err(DialError::NotReady);
            }
            if self.broken { Err(DialError::Refused("the trunk is down".to_owned())) } else { Ok(()) }
        })
    }
}

impl Phones {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.dialled.lock().unwrap())
    }
}

/// Queue `support` of acme with endpoint 101 as its member; what begins with +1 may be called.
struct Scene {
    app: TestApp,
    admin: String,
    queue: String,
    phones: Arc<Phones>,
}

impl Scene {
    async fn new(test: Arc<TestDb>) -> Self {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, "acme").await;
        let queue = json!({"name": "support", "wrapup_s": 30, "callback_key": "1", "callback_retry_s": 60, "callback_attempts": 2});
        let queue = app.post("/queues", &admin, queue).await.expect(201).id();
        let scene = Self { app, admin, queue, phones: Arc::default() };
        scene.member("101").await;
        scene
            .app
            .post("/outbound-rules", &scene.admin, json!({"prefix": "+1", "allowed": true}))
            .await
            .expect(201);
        scene
    }

    async fn member(&self, endpoint: &str) {
        let id = self.app.post("/endpoints", &self.admin, json!({"name": endpoint})).await.expect(201).id();
        let path = format!("/queues/{}/members", self.queue);
        self.app.post(&path, &self.admin, json!({"endpoint_id": id})).await.expect(201);
    }

    /// A node that looks after callbacks.
    fn node(&self, dialler: &Arc<Phones>) -> Callbacks {
        let gate = &self.app.gate;
        Callbacks {
            db: gate.db.clone(),
            clock: gate.clock.clone(),
            ids: gate.ids.clone(),
            events: Arc::clone(&gate.events),
            router: Arc::clone(&gate.routing),
            live: Arc::new(LiveQueues::new(3_600_000_000)),
            dialler: Some(Arc::<Phones>::clone(dialler)),
            node: gate.ids.next(),
            counted: Mutex::default(),
        }
    }

    /// Somebody who was called back answers: a call of its own, which stands in the books.
    async fn answered(&self, id: &str, uniqueid: &str) -> Id {
        let (id, call) = (Id::parse(id).unwrap(), self.app.gate.ids.next());
        let found = self.node(&self.phones).answered(&id, (uniqueid, &call)).await.unwrap();
        assert!(found.is_some());
        self.call(&call, uniqueid).await;
        call
    }

    async fn call(&self, call: &Id, uniqueid: &str) {
        let sql = format!(
            "INSERT INTO calls (id, tenant_id, direction, did, caller_number, caller_name, channel, uniqueid, linkedid, language, \
             action, target, reason, started_at) VALUES ('{call}', 'acme', 'outbound', '', '', '', '', '{uniqueid}', '', '', \
             'queue', '', 'callback', 1)"
        );
        self.app.test.execute(&sql).await.unwrap();
    }

    /// Its call is over, and what the log may have to say is said.
    async fn ended(&self, call: &Id, more: &str) {
        let at = self.app.clock.now_us();
        self.app
            .test
            .execute(&format!("UPDATE calls SET ended_at = {at}{more} WHERE id = '{call}'"))
            .await
            .unwrap();
        assert_eq!(self.round().await, [""; 0], "rows of the log may be on their way");
        self.app.wait(Duration::from_secs(4));
    }

    async fn round(&self) -> Vec<String> {
        self.node(&self.phones).round().await.unwrap();
        self.phones.take()
    }

    fn path(&self) -> String {
        format!("/queues/{}/callbacks", self.queue)
    }

    async fn ask(&self, number: &str) -> String {
        let agent = self.app.token(Role::Agent, "acme").await;
        let id = self.app.post(&self.path(), &agent, json!({"number": number})).await.expect(201).id();
        self.app.wait(Duration::from_secs(1));
        id
    }

    async fn one(&self, id: &str) -> Value {
        self.app.get(&format!("{}/{id}", self.path()), &self.viewer().await).await.expect(200).body
    }

    /// Whose token is new: the clock goes on for hours.
    async fn viewer(&self) -> String {
        self.app.token(Role::Viewer, "acme").await
    }

    async fn states(&self) -> Vec<String> {
        let list = self.app.get(&self.path(), &self.admin).await.expect(200).body;
        let text = |one: &Value| {
            format!("{} {}", &one["number"].as_str().unwrap()[8..], one["state"].as_str().unwrap())
        };
        list["data"].as_array().unwrap().iter().map(text).collect()
    }

    /// A row of the queue's log, now.
    async fn log(&self, call: &str, agent: &str, event: &str, data: [&str; 3]) {
        let now_us = self.app.clock.now_us();
        let [a, b, c] = data.map(str::to_owned);
        let row = Row {
            at_us: now_us,
            call: call.into(),
            queue: "support".into(),
            agent: agent.into(),
            event: event.into(),
            data: [a, b, c, String::new(), String::new()],
        };
        let with = (&self.app.gate.ids, &*self.app.gate.events);
        log_store::write(&self.app.gate.db, with, (&tenant("acme"), now_us), &row).await.unwrap();
        self.app.wait(Duration::from_millis(10));
    }

    async fn told(&self) -> Vec<String> {
        let path = "/events?types=queue.callback_requested,queue.callback_dialled,queue.callback_done,queue.callback_failed";
        let list = self.app.get(path, &self.viewer().await).await.expect(200).body;
        let text = |event: &Value| {
            let kind = event["type"].as_str().unwrap().trim_start_matches("queue.callback_").to_owned();
            format!("{kind} {} {}", event["data"]["state"].as_str().unwrap(), event["data"]["attempts"])
        };
        list["data"].as_array().unwrap().iter().map(text).collect()
    }
}

both_databases! {
    async fn asked_for_over_rest(test) {
        let scene = Scene::new(test).await;
        let (app, path) = (&scene.app, scene.path());
        let made = app.post(&path, &scene.admin, json!({"number": ANN, "name": "Ann"})).await.expect(201);
        assert_eq!((&made.body["state"], &made.body["asked_by"], &made.body["attempts"]), (&json!("waiting"), &json!("api"), &json!(0)));
        assert_eq!(made.header("location"), format!("/api/v1{path}/{}", made.id()));
        // Asking again is the same one; after it was taken back it is another.
        assert_eq!(app.post(&path, &scene.admin, json!({"number": ANN})).await.expect(200).id(), made.id());
        app.wait(Duration::from_secs(1));
        let agent = app.token(Role::Agent, "acme").await;
        let second = app.post(&path, &agent, json!({"number": BOB, "not_before": "2026-11-23T12:00:00Z"})).await.expect(201);
        assert_eq!(second.body["not_before"], "2026-11-23T12:00:00Z");
        assert_eq!(scene.states().await, ["0001 waiting", "0002 waiting"]);
        let one = format!("{path}/{}", made.id());
        app.delete(&one, &agent).await.expect(204);
        assert_eq!(app.delete(&one, &agent).await.expect(409).code(), "not-waiting");
        assert_ne!(app.post(&path, &scene.admin, json!({"number": ANN})).await.expect(201).id(), made.id());
        assert_eq!(scene.one(&made.id()).await["state"], "cancelled");
        for bad in [json!({"number": "911"}), json!({"number": "+4930123456"}), json!({"number": ANN, "not_before": "2027-11-23T12:00:00Z"}), json!({})] {
            app.post(&path, &scene.admin, bad).await.expect(422);
        }
        let viewer = app.token(Role::Viewer, "acme").await;
        app.post(&path, &viewer, json!({"number": EVE})).await.expect(403);
        app.tenant("globex").await;
        let other = app.token(Role::TenantAdmin, "globex").await;
        app.post(&path, &other, json!({"number": EVE})).await.expect(404);
        app.delete(&one, &other).await.expect(404);
        app.patch(&format!("/queues/{}", scene.queue), &scene.admin, json!({"status": "inactive"})).await.expect(200);
        assert_eq!(app.post(&path, &scene.admin, json!({"number": EVE})).await.expect(409).code(), "queue-inactive");
        assert_eq!(scene.told().await, ["requested waiting 0", "requested waiting 0", "failed cancelled 0", "requested waiting 0"]);
    }

    /// One member: the first is called, the second when the first is through. Who answers, waits and talks is followed.
    async fn one_after_the_other_as_members_are_free(test) {
        let scene = Scene::new(test).await;
        let (ann, _bob) = (scene.ask(ANN).await, scene.ask(BOB).await);
        assert_eq!(scene.round().await, [ANN]);
        assert_eq!(scene.round().await, [""; 0], "the member is for the first");
        let node = scene.node(&scene.phones);
        let (id, call) = (Id::parse(&ann).unwrap(), scene.app.gate.ids.next());
        let found = node.answered(&id, ("u-ann", &call)).await.unwrap().unwrap();
        assert_eq!((found.tenant, found.queue, found.number), (tenant("acme"), name("support"), number(ANN)));
        assert_eq!(scene.one(&ann).await["called_call_id"], json!(call.as_str()));
        scene.log("u-ann", "", "ENTERQUEUE", ["", ANN, "1"]).await;
        assert_eq!(scene.round().await, [""; 0]);
        assert_eq!(scene.states().await, ["0001 answered", "0002 waiting"]);
        scene.log("u-ann", "101", "CONNECT", ["1", "x", "1"]).await;
        assert_eq!(scene.round().await, [""; 0], "the member talks");
        assert_eq!(scene.states().await, ["0001 done", "0002 waiting"]);
        scene.log("u-ann", "101", "COMPLETEAGENT", ["1", "5", "1"]).await;
        assert_eq!(scene.round().await, [""; 0], "the member rests");
        scene.app.wait(Duration::from_secs(31));
        assert_eq!(scene.round().await, [BOB]);
        assert_eq!(scene.told().await[2..], ["dialled dialling 1", "done done 1", "dialled dialling 1"]);
        // Out of service a queue calls nobody, and what was being called is taken up all the same.
        let queue = format!("/queues/{}", scene.queue);
        scene.app.patch(&queue, &scene.admin, json!({"status": "inactive"})).await.expect(200);
        scene.app.wait(Duration::from_secs(61));
        assert_eq!(scene.round().await, [""; 0]);
        scene.app.wait(Duration::from_secs(61));
        assert_eq!((scene.round().await, scene.states().await), (Vec::new(), vec!["0001 done".to_owned(), "0002 waiting".to_owned()]));
        // Answered twice is answered once; one that is over is none.
        assert!(node.answered(&id, ("u-again", &call)).await.unwrap().is_none());
    }

    async fn nobody_who_joined_before_is_overtaken(test) {
        let scene = Scene::new(test).await;
        scene.log("u-eve", "", "ENTERQUEUE", ["", EVE, "1"]).await;
        scene.ask(ANN).await;
        assert_eq!(scene.round().await, [""; 0], "somebody waits who joined before");
        scene.log("u-eve", "101", "CONNECT", ["1", "x", "1"]).await;
        assert_eq!(scene.round().await, [""; 0], "nobody is free, and nobody behind");
        scene.log("u-bob", "", "ENTERQUEUE", ["", BOB, "1"]).await;
        assert_eq!(scene.round().await, [ANN], "else whoever joined later would be next");
        let node = scene.node(&scene.phones);
        let (acme, support) = (tenant("acme"), name("support"));
        let now = scene.app.clock.now_us();
        assert_eq!(node.position(&acme, &support, now).await.unwrap(), 2);
        assert_eq!(node.position(&acme, &support, now - 60_000_000).await.unwrap(), 1);
    }

    async fn who_is_not_reached_is_tried_again_after_a_pause(test) {
        let scene = Scene::new(test).await;
        let ann = scene.ask(ANN).await;
        assert_eq!(scene.round().await, [ANN]);
        let (node, id) = (scene.node(&scene.phones), Id::parse(&ann).unwrap());
        assert!(!node.failed(&tenant("globex"), &id, "busy").await.unwrap());
        assert!(node.failed(&tenant("acme"), &id, "busy").await.unwrap());
        assert!(!node.failed(&tenant("acme"), &id, "busy").await.unwrap(), "it is not being called any more");
        assert_eq!((scene.one(&ann).await["state"].clone(), scene.one(&ann).await["last_error"].clone()), (json!("waiting"), json!("busy")));
        assert_eq!(scene.round().await, [""; 0]);
        scene.app.wait(Duration::from_secs(61));
        assert_eq!(scene.round().await, [ANN]);
        node.failed(&tenant("acme"), &id, "nobody answered").await.unwrap();
        let over = scene.one(&ann).await;
        assert_eq!((&over["state"], &over["attempts"], &over["last_error"]), (&json!("failed"), &json!(2), &json!("nobody answered")));
        assert_eq!(scene.told().await, ["requested waiting 0", "dialled dialling 1", "dialled dialling 2", "failed failed 2"]);
        // What refuses to dial is an attempt too.
        let broken = Arc::new(Phones { broken: true, ..Phones::default() });
        let bob = scene.ask(BOB).await;
        scene.node(&broken).round().await.unwrap();
        assert_eq!(scene.one(&bob).await["last_error"], "the trunk is down");
        scene.app.wait(Duration::from_secs(8 * 3_600));
        assert_eq!(scene.round().await, [""; 0]);
        assert_eq!(scene.app.test.texts(&format!("SELECT state FROM queue_callbacks WHERE id = '{bob}'")).await, ["expired"]);
        // What is over is kept for a while.
        let (db, now_us) = (&scene.app.gate.db, scene.app.clock.now_us());
        assert_eq!(callback_store::purge(db, now_us).await.unwrap(), 0);
        assert_eq!(callback_store::purge(db, now_us + 91 * 86_400_000_000).await.unwrap(), 2);
    }

    /// Nodes that look at the same moment; one that was killed between the claim and the call; no node that could call.
    async fn exactly_one_node_dials(test) {
        let scene = Scene::new(test).await;
        // The nodes of this test share one pace.
        let root = scene.app.token(Role::Superadmin, "").await;
        scene.app.patch("/tenants/acme", &root, json!({"max_outbound_rate": 0})).await.expect(200);
        for endpoint in ["102", "103", "104"] {
            scene.member(endpoint).await;
        }
        let asked = [scene.ask(ANN).await, scene.ask(BOB).await, scene.ask(EVE).await];
        let nodes: Vec<Callbacks> = (0..4).map(|_| scene.node(&scene.phones)).collect();
        let rounds = futures_util::future::join_all(nodes.iter().map(Callbacks::round)).await;
        rounds.into_iter().for_each(|round| assert_eq!(round.unwrap(), 1));
        let mut dialled = scene.phones.take();
        dialled.sort();
        assert_eq!(dialled, [ANN, BOB, EVE]);
        for id in &asked {
            let (node, id) = (&nodes[0], Id::parse(id).unwrap());
            node.answered(&id, (id.as_str(), &id)).await.unwrap().unwrap();
        }
        let hangs = Arc::new(Phones { hangs: true, ..Phones::default() });
        let last = scene.ask("+15557770004").await;
        let killed = tokio::time::timeout(Duration::from_millis(500), scene.node(&hangs).round()).await;
        assert!(killed.is_err() && hangs.take() == ["+15557770004"]);
        assert_eq!(scene.round().await, [""; 0], "it may still be calling");
        scene.app.wait(Duration::from_secs(61));
        assert_eq!(scene.round().await, [""; 0], "taken up, it has its pause");
        assert_eq!(scene.one(&last).await["state"], "waiting");
        scene.app.wait(Duration::from_secs(61));
        let nobody = Callbacks { dialler: None, ..scene.node(&scene.phones) };
        nobody.round().await.unwrap();
        assert_eq!(scene.round().await, ["+15557770004"]);
        assert_eq!(scene.one(&last).await["attempts"], 2);
    }

    async fn opening_hours_blocks_limits_and_times_hold(test) {
        let scene = Scene::new(test).await;
        let (app, admin) = (&scene.app, &scene.admin);
        let late = app.post(&scene.path(), admin, json!({"number": BOB, "not_before": "2026-11-23T11:00:00Z"})).await.expect(201);
        assert_eq!(scene.round().await, [""; 0], "not before eleven");
        app.delete(&format!("{}/{}", scene.path(), late.id()), admin).await.expect(204);
        let never = json!({"name": "never", "definition": {"zone": "UTC", "weekly": [], "holidays": []}});
        let schedule = app.post("/schedules", admin, never).await;
        let queue = format!("/queues/{}", scene.queue);
        app.patch(&queue, admin, json!({"callback_schedule": "gone"})).await.expect(422);
        if schedule.status == 201 {
            app.patch(&queue, admin, json!({"callback_schedule": "never"})).await.expect(200);
            scene.ask(ANN).await;
            assert_eq!(scene.round().await, [""; 0], "closed");
            assert_eq!(app.delete(&format!("/schedules/{}", schedule.id()), admin).await.expect(409).code(), "in-use");
            app.patch(&queue, admin, json!({"callback_schedule": null})).await.expect(200);
        } else {
            panic!("{schedule:?}");
        }
        // The tenant has no call left, then the number is blocked.
        app.gate.routing.called_back(&app.gate.ids.next(), &tenant("acme"));
        let root = app.token(Role::Superadmin, "").await;
        app.patch("/tenants/acme", &root, json!({"max_outbound_calls": 1})).await.expect(200);
        assert_eq!(scene.round().await, [""; 0], "no call out is left");
        app.patch("/tenants/acme", &root, json!({"max_outbound_calls": 0})).await.expect(200);
        app.post("/blocked-destinations", &root, json!({"pattern": ANN})).await.expect(201);
        app.gate.routing.memory.refresh().await.unwrap();
        assert_eq!(scene.round().await, [""; 0]);
        let list = app.get(&format!("{}?state=failed", scene.path()), admin).await.expect(200).body;
        assert_eq!(list["data"][0]["last_error"], "blocked-destination", "{list}");
        app.post(&scene.path(), admin, json!({"number": ANN})).await.expect(422);
    }

    /// What the dialplan is answered, by the key and by the phone.
    async fn the_dialplan_asks(test) {
        let scene = Scene::new(test).await;
        let (app, acme, support) = (&scene.app, tenant("acme"), name("support"));
        let router = &app.gate.routing;
        let offered = async |caller: &str| router.callback_number((&acme, &support), caller).await;
        assert_eq!(offered("15557770001").await, Ok(Number::parse(ANN).unwrap()));
        assert_eq!(offered("").await, Err("withheld"));
        assert_eq!(offered("anonymous").await, Err("withheld"));
        assert_eq!(offered("+4930123456").await, Err("outbound-denied"));
        let node = scene.node(&scene.phones);
        let (queue, ann) = (name("support"), number(ANN));
        let wanted = Wanted { queue: &queue, number: &ann, name: "Ann", did: "+15550001000", call: "", place_us: 5 };
        let id = node.ask(&acme, wanted).await.unwrap().unwrap();
        assert_eq!(node.ask(&acme, Wanted { place_us: 9, ..wanted }).await.unwrap(), Some(id.clone()));
        let one = scene.one(id.as_str()).await;
        assert_eq!((&one["asked_by"], &one["place_at"], &one["did"]), (&json!("keypad"), &json!("1970-01-01T00:00:00.000005Z"), &json!("+15550001000")));
        let called = |outcome: &str, position, state: &str| Inputs {
            at_us: app.clock.now_us(),
            called: Some(Called { queue: "acme-support".into(), outcome: outcome.into(), position, state: state.into() }),
            ..Inputs::default()
        };
        for (inputs, expected, position) in [
            (called("taken", 0, ""), "playback queue-thankyou&vm-goodbye callback-taken", 0),
            (called("withheld", 3, "d:acme:+15550001000:p"), "queue acme-support callback-refused", 3),
            (called("answered", 1, "d:acme:+15550001000:p"), "queue acme-support callback", 1),
            (Inputs::default(), "hangup 16 callback-gone", 0),
        ] {
            let trace = router.callback(inputs.clone(), Mode::Live).await;
            sound(&trace);
            assert_eq!((brief(&trace).as_str(), trace.decision.position), (expected, position));
            // Decided again from its inputs, it is the same.
            assert_eq!(router.callback(trace.inputs.clone(), Mode::Replay).await.decision, trace.decision);
        }
        app.patch(&format!("/queues/{}", scene.queue), &scene.admin, json!({"callback_key": null, "callback_sound": "custom/acme/bye"})).await.expect(200);
        assert_eq!(offered(ANN).await, Err("not-offered"));
        assert_eq!(brief(&router.callback(called("taken", 0, ""), Mode::Live).await), "playback custom/acme/bye callback-taken");
    }

    /// Answered and never in the line: the books say what became of the call. Nobody else waits for that.
    async fn a_call_that_ends_before_the_line_is_over(test) {
        let scene = Scene::new(test).await;
        let (ann, bob) = (scene.ask(ANN).await, scene.ask(BOB).await);
        assert_eq!(scene.round().await, [ANN]);
        let call = scene.answered(&ann, "u-ann").await;
        assert_eq!(scene.round().await, [""; 0]);
        scene.ended(&call, "").await;
        assert_eq!(scene.round().await, [BOB]);
        let over = scene.one(&ann).await;
        assert_eq!((&over["state"], &over["last_error"]), (&json!("failed"), &json!("the caller hung up before the queue")));
        // The queue took nobody: that is another attempt.
        let call = scene.answered(&bob, "u-bob").await;
        scene.ended(&call, ", queue_status = 'FULL'").await;
        assert_eq!(scene.round().await, [""; 0]);
        let again = scene.one(&bob).await;
        assert_eq!((&again["state"], &again["attempts"], &again["last_error"]), (&json!("waiting"), &json!(1), &json!("the queue took no caller")));
        // Without a log of the queues somebody talked all the same; with one that has no end of it too.
        scene.app.wait(Duration::from_secs(61));
        assert_eq!(scene.round().await, [BOB]);
        let call = scene.answered(&bob, "u-bob2").await;
        scene.ended(&call, ", disposition = 'ANSWERED', answered_by = 'PJSIP/acme-101-1'").await;
        scene.round().await;
        assert_eq!(scene.one(&bob).await["state"], "done");
        let eve = scene.ask(EVE).await;
        assert_eq!(scene.round().await, [EVE]);
        let call = scene.answered(&eve, "u-eve").await;
        scene.log("u-eve", "", "ENTERQUEUE", ["", EVE, "1"]).await;
        scene.app.wait(Duration::from_secs(400));
        assert_eq!((scene.round().await, scene.one(&eve).await["state"].clone()), (Vec::new(), json!("answered")), "still in the line");
        scene.ended(&call, "").await;
        scene.app.wait(Duration::from_secs(5));
        scene.round().await;
        assert_eq!(scene.one(&eve).await["state"], "failed");
        // The process died before it wrote the call down.
        let ann = scene.ask(ANN).await;
        assert_eq!(scene.round().await, [ANN]);
        scene.node(&scene.phones).answered(&Id::parse(&ann).unwrap(), ("u", &scene.app.gate.ids.next())).await.unwrap();
        scene.app.wait(Duration::from_secs(301));
        scene.round().await;
        assert_eq!(scene.one(&ann).await["last_error"], "nothing is known of the call");
        assert!(scene.told().await.iter().filter(|told| told.starts_with("done")).count() == 1);
    }

    /// While no Asterisk is connected callbacks wait; it costs no attempt.
    async fn who_can_not_dial_lets_them_wait(test) {
        let scene = Scene::new(test).await;
        let ann = scene.ask(ANN).await;
        let away = Arc::new(Phones { away: true, ..Phones::default() });
        scene.node(&away).round().await.unwrap();
        let lost = Arc::new(Phones { lost: true, ..Phones::default() });
        let node = scene.node(&lost);
        for _ in 0..3 {
            node.round().await.unwrap();
        }
        assert_eq!((away.take().len(), lost.take().len()), (0, 3));
        let one = scene.one(&ann).await;
        assert_eq!((&one["state"], &one["attempts"]), (&json!("waiting"), &json!(0)));
        assert!(node.counted.lock().unwrap().is_empty());
        assert_eq!(scene.round().await, [ANN], "at once");
    }

    /// Asterisk died with a caller in the line: the log never has an end of it.
    async fn a_caller_whose_call_is_over_waits_no_more(test) {
        let scene = Scene::new(test).await;
        let call = scene.app.gate.ids.next();
        scene.call(&call, "u-ghost").await;
        scene.log("u-ghost", "", "ENTERQUEUE", ["", EVE, "1"]).await;
        scene.log("u-talks", "101", "CONNECT", ["1", "x", "1"]).await;
        scene.ask(ANN).await;
        let node = scene.node(&scene.phones);
        node.round().await.unwrap();
        assert_eq!(scene.phones.take(), [""; 0]);
        let talk = scene.app.gate.ids.next();
        scene.call(&talk, "u-talks").await;
        scene.app.test.execute(&format!("UPDATE calls SET ended_at = {}", scene.app.clock.now_us())).await.unwrap();
        scene.app.wait(Duration::from_secs(6));
        node.round().await.unwrap();
        assert_eq!(scene.phones.take(), [ANN]);
    }

    /// One that may not be dialled now holds up nobody behind it.
    async fn who_is_closed_holds_up_nobody(test) {
        let scene = Scene::new(test).await;
        let (app, admin) = (&scene.app, &scene.admin);
        let never = json!({"name": "never", "definition": {"zone": "UTC", "weekly": [], "holidays": []}});
        app.post("/schedules", admin, never).await.expect(201);
        let did = json!({"number": "+15550001000", "route_type": "queue", "route_target": "support", "schedule": "never"});
        app.post("/dids", admin, did).await.expect(201);
        app.gate.routing.memory.refresh().await.unwrap();
        let (queue, ann) = (name("support"), number(ANN));
        let wanted = Wanted { queue: &queue, number: &ann, name: "", did: "+15550001000", call: "", place_us: 5 };
        let first = scene.node(&scene.phones).ask(&tenant("acme"), wanted).await.unwrap().unwrap();
        scene.ask(BOB).await;
        assert_eq!(scene.round().await, [BOB]);
        assert_eq!(scene.one(first.as_str()).await["state"], "waiting");
        // What somebody sees who is called.
        let router = &app.gate.routing;
        for (did, shown) in [("+15550001000", "+15550001000"), ("", "+15550001000"), ("+15559999999", "+15550001000")] {
            assert_eq!(router.shown_to_called((&tenant("acme"), &queue), did).await, shown);
        }
    }

    /// Who was called back and presses the key again keeps the place, and is called once more.
    async fn who_asks_again_in_the_line_is_called_again(test) {
        let scene = Scene::new(test).await;
        let ann = scene.ask(ANN).await;
        let place = scene.one(&ann).await["place_at"].clone();
        assert_eq!(scene.round().await, [ANN]);
        let call = scene.answered(&ann, "u-ann").await;
        scene.log("u-ann", "", "ENTERQUEUE", ["", ANN, "1"]).await;
        let (queue, to) = (name("support"), number(ANN));
        let wanted = Wanted { queue: &queue, number: &to, name: "", did: "", call: "", place_us: scene.app.clock.now_us() };
        let node = scene.node(&scene.phones);
        // In another call it is the same callback, which goes on.
        assert_eq!(node.ask(&tenant("acme"), wanted).await.unwrap().unwrap().as_str(), ann);
        assert_eq!(scene.one(&ann).await["state"], "answered");
        assert_eq!(node.ask(&tenant("acme"), Wanted { call: call.as_str(), ..wanted }).await.unwrap().unwrap().as_str(), ann);
        scene.log("u-ann", "", "EXITWITHKEY", ["1", "1", "1"]).await;
        assert_eq!(scene.round().await, [""; 0], "the goodbye is heard");
        let one = scene.one(&ann).await;
        assert_eq!((&one["state"], &one["attempts"], &one["place_at"]), (&json!("waiting"), &json!(0), &place));
        scene.app.wait(Duration::from_secs(11));
        assert_eq!(scene.round().await, [ANN]);
    }

    /// A member who talks or rings outside the queue takes nobody, and one member is free for one queue.
    async fn a_member_is_free_for_one(test) {
        let scene = Scene::new(test).await;
        let (app, admin) = (&scene.app, &scene.admin);
        let agent = app.user(Role::Agent, "acme").await;
        app.post("/agents/me/login", &agent.token, json!({"extension": "101"})).await.expect(200);
        let gate = &app.gate;
        let parts = Parts { db: gate.db.clone(), ids: gate.ids.clone(), clock: gate.clock.clone(), events: gate.events.clone() };
        let phone = async |state: PhoneState| {
            let news = PhoneNews {
                tenant: tenant("acme"), endpoint: name("101"), state, call_id: None, caller_number: String::new(),
                caller_name: String::new(), queue: None, at_us: app.clock.now_us(),
            };
            phone_changed(&parts, &news).await.unwrap();
            app.wait(Duration::from_secs(1));
        };
        let ann = scene.ask(ANN).await;
        for state in [PhoneState::Ringing, PhoneState::Talking] {
            phone(state).await;
            assert_eq!(scene.round().await, [""; 0], "{state:?}");
        }
        phone(PhoneState::Idle).await;
        let sales = app.post("/queues", admin, json!({"name": "sales"})).await.expect(201).id();
        let member = app.get(&format!("/queues/{}/members", scene.queue), admin).await.expect(200).body["data"][0]["endpoint_id"].clone();
        app.post(&format!("/queues/{sales}/members"), admin, json!({"endpoint_id": member})).await.expect(201);
        app.post(&format!("/queues/{sales}/callbacks"), admin, json!({"number": BOB})).await.expect(201);
        app.wait(Duration::from_secs(1));
        let dialled = scene.round().await;
        assert_eq!(dialled.len(), 1, "{dialled:?}");
        assert_eq!(scene.round().await, [""; 0]);
        scene.member("102").await;
        if dialled == [BOB] {
            assert_eq!(scene.round().await, [ANN], "102 is this queue's alone");
        } else {
            // 102 is for Ann's queue, so 101 may be for the other: who comes first.
            assert_eq!((scene.round().await, scene.one(&ann).await["state"].clone()), (vec![BOB.to_owned()], json!("dialling")));
        }
    }

    /// Who answers stands behind those who were called back before and joined before.
    async fn who_answers_first_does_not_overtake(test) {
        let scene = Scene::new(test).await;
        for endpoint in ["102", "103"] {
            scene.member(endpoint).await;
        }
        let asked = [scene.ask(ANN).await, scene.ask(BOB).await, scene.ask(EVE).await];
        assert_eq!(scene.round().await, [ANN, BOB, EVE]);
        scene.log("u-late", "", "ENTERQUEUE", ["", "", "1"]).await;
        let node = scene.node(&scene.phones);
        let (acme, support) = (tenant("acme"), name("support"));
        for (n, position) in [(1, 1), (2, 2), (0, 1)] {
            let (id, uniqueid) = (Id::parse(&asked[n]).unwrap(), format!("u-{n}"));
            let found = node.answered(&id, (&uniqueid, &scene.app.gate.ids.next())).await.unwrap().unwrap();
            assert_eq!(node.position(&acme, &support, found.place_us).await.unwrap(), position, "{n}");
            scene.log(&uniqueid, "", "ENTERQUEUE", ["", "", "1"]).await;
        }
        assert_eq!(node.position(&acme, &support, scene.app.clock.now_us()).await.unwrap(), 5);
    }

    /// A node that looked before the last attempt failed does not dial within the pause.
    async fn a_stale_view_claims_nothing(test) {
        let scene = Scene::new(test).await;
        let ann = scene.ask(ANN).await;
        assert_eq!(scene.round().await, [ANN]);
        let acme = tenant("acme");
        assert!(scene.node(&scene.phones).failed(&acme, &Id::parse(&ann).unwrap(), "busy").await.unwrap());
        let claim = async |attempts: i64| {
            let now_us = scene.app.clock.now_us();
            let mut tx = scene.app.gate.db.begin().await.unwrap();
            let step = Step::claim(attempts, "n", now_us + 1);
            callback_store::step(&mut tx, (&acme, now_us), &ann, step).await.unwrap().is_some()
        };
        assert!(!claim(0).await && !claim(1).await, "it has its pause");
        scene.app.wait(Duration::from_secs(61));
        assert!(!claim(0).await && claim(1).await);
        scene.app.wait(Duration::from_secs(8 * 3_600));
        assert!(!claim(1).await, "it has expired");
        let now_us = scene.app.clock.now_us();
        let mut tx = scene.app.gate.db.begin().await.unwrap();
        let step = Step::new(CallbackState::Waiting, CallbackState::Expired);
        assert!(callback_store::step(&mut tx, (&acme, now_us), &ann, step).await.unwrap().is_some());
    }

    /// A callback that rings is a call out.
    async fn callbacks_that_ring_count_as_calls_out(test) {
        let scene = Scene::new(test).await;
        scene.member("102").await;
        let root = scene.app.token(Role::Superadmin, "").await;
        scene.app.patch("/tenants/acme", &root, json!({"max_outbound_calls": 1})).await.expect(200);
        let (ann, bob) = (scene.ask(ANN).await, scene.ask(BOB).await);
        let (node, acme) = (scene.node(&scene.phones), tenant("acme"));
        node.round().await.unwrap();
        node.round().await.unwrap();
        assert_eq!(scene.phones.take(), [ANN]);
        let outside = || scene.app.gate.routing.live.outside(&acme);
        assert_eq!(outside(), 1);
        assert!(node.failed(&acme, &Id::parse(&ann).unwrap(), "busy").await.unwrap());
        assert_eq!(outside(), 0);
        node.round().await.unwrap();
        assert_eq!((scene.phones.take(), outside()), (vec![BOB.to_owned()], 1));
        // Told to another node, it is found out.
        let other = scene.node(&scene.phones);
        scene.app.gate.routing.live.go_out(&scene.app.gate.ids.next(), &acme);
        assert!(callback_failed(&scene, &bob).await);
        other.round().await.unwrap();
        assert_eq!(outside(), 2);
        node.round().await.unwrap();
        assert_eq!((outside(), scene.phones.take()), (1, Vec::new()));
    }
}

/// As another node writes it.
async fn callback_failed(scene: &Scene, id: &str) -> bool {
    let (acme, now_us) = (tenant("acme"), scene.app.clock.now_us());
    let mut tx = scene.app.gate.db.begin().await.unwrap();
    let step = Step::new(CallbackState::Dialling, CallbackState::Failed);
    let done = callback_store::step(&mut tx, (&acme, now_us), id, step).await.unwrap().is_some();
    tx.commit().await.unwrap();
    done
}
