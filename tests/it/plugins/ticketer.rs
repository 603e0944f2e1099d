//! Ticketers from the event to the ticket: shown once and again, by one process and by several, and never two tickets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hookswitch::api::Doing;
use hookswitch::base::ids::{Id, TenantId};
use hookswitch::base::role::Role;
use hookswitch::base::shutdown::{self, Stopper};
use hookswitch::config::limits::plugins as limits;
use hookswitch::contacts::Names;
use hookswitch::db::Db;
use hookswitch::events::{Draft, outbox};
use hookswitch::plugins::ticketer::{self, Known, Source};
use hookswitch::plugins::{self, Plugins, keep, setups};
use hookswitch::sandbox::types::{Failure, Priority};
use hookswitch::sandbox::{Grants, Nobody, Options, Sandbox};
use hookswitch::tickets::{Author, Desk};
use serde_json::{Map, Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use crate::api::app::TestApp;
use crate::support::{Kind, PATIENCE, TestDb, both_databases, eventually, number, root, tenant};

/// What the ticketer drafts for.
const CALLER: &str = "+15557770001";

/// A ticketer that fails on events whose type ends in `l`, has nothing to say about those in `p`, and drafts else.
pub(super) fn drafts() -> Vec<u8> {
    let text = |at: usize, from: usize, length: usize| {
        format!(
            "(i32.store (i32.const {at}) (i32.const {from})) (i32.store (i32.const {}) (i32.const {length}))",
            at + 4
        )
    };
    let draft = [
        text(1032, 64, 11),  // rule
        text(1040, 128, 9),  // subject
        text(1048, 192, 10), // body
        "(i32.store8 (i32.const 1056) (i32.const 2)) (i32.store8 (i32.const 1060) (i32.const 1))".into(),
        text(1064, 256, 12),  // contact
        text(1072, 1_200, 1), // tags: at 1200 the only one
        text(1080, 1_232, 1), // fields: at 1232 the only one
        text(1_200, 320, 8),
        text(1_232, 384, 4) + &text(1_240, 448, 3),
    ]
    .concat();
    let wat = format!(
        r#"(module
          (memory (export "memory") 4)
          (global $at (mut i32) (i32.const 8192))
          (data (i32.const 64) "missed-call") (data (i32.const 128) "Call back") (data (i32.const 192) "They rang.")
          (data (i32.const 256) "{CALLER}") (data (i32.const 320) "callback") (data (i32.const 384) "line")
          (data (i32.const 448) "one") (data (i32.const 512) "no idea")
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (local $p i32)
            (local.set $p (i32.and (i32.add (global.get $at) (i32.const 15)) (i32.const -16)))
            (global.set $at (i32.add (local.get $p) (local.get 3)))
            (local.get $p))
          (func (export "on-event") (param $event i32) (result i32)
            (local $last i32)
            (local.set $last (i32.load8_u (i32.sub
              (i32.add (i32.load offset=8 (local.get $event)) (i32.load offset=12 (local.get $event)))
              (i32.const 1))))
            (if (i32.eq (local.get $last) (i32.const 108)) (then
              (i32.store8 (i32.const 1024) (i32.const 1))
              (i32.store (i32.const 1028) (i32.const 512)) (i32.store (i32.const 1032) (i32.const 7))
              (return (i32.const 1024))))
            (i32.store8 (i32.const 1024) (i32.const 0))
            (if (i32.eq (local.get $last) (i32.const 112)) (then
              (i32.store8 (i32.const 1028) (i32.const 0))
              (return (i32.const 1024))))
            (i32.store8 (i32.const 1028) (i32.const 1))
            {draft}
            (i32.const 1024)))"#
    );
    let mut core = wat::parse_str(wat).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(root().join("wit/1.0.0")).unwrap();
    let world = resolve.select_world(&[package], Some("ticketer")).unwrap();
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&core).unwrap().validate(true).encode().unwrap()
}

/// Tenants `acme` and `globex`, and processes that show their ticketers events.
struct Scene {
    app: TestApp,
    sandbox: Arc<Sandbox>,
    known: Arc<Memory>,
}

/// What routing would hold.
#[derive(Default)]
struct Memory(Mutex<HashMap<TenantId, Known>>);

impl Source for Memory {
    fn look(&self, tenant: &TenantId) -> Option<Known> {
        self.0.lock().unwrap().get(tenant).cloned()
    }

    fn read<'a>(&'a self, _: &'a TenantId) -> Doing<'a, Option<Known>> {
        Box::pin(std::future::ready(None))
    }
}

/// A process that shows events, on a runtime of its own: with it every task and connection ends, as with a process.
struct Process {
    stopper: Stopper,
    running: JoinHandle<()>,
    runtime: Option<Runtime>,
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Process {
    /// Ends as a killed one does.
    fn kill(mut self) {
        let runtime = self.runtime.take().unwrap();
        // On a thread that may wait: nothing of it is left when this returns.
        std::thread::spawn(move || runtime.shutdown_timeout(PATIENCE)).join().unwrap();
    }

    async fn stop(mut self) {
        self.stopper.stop();
        (&mut self.running).await.unwrap();
    }
}

impl Scene {
    async fn new(test: Arc<TestDb>) -> Self {
        let options =
            Options { folder: test.folder().join("native"), key: [7; 32], js_engine: None, threads: 2 };
        let sandbox = Sandbox::open(options).unwrap();
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        app.tenant("globex").await;
        Self { app, sandbox, known: Arc::default() }
    }

    fn desk(&self, db: Db) -> Desk {
        let gate = &self.app.gate;
        Desk {
            names: Names::new(db.clone()),
            db,
            clock: gate.clock.clone(),
            ids: gate.ids.clone(),
            events: Arc::clone(&gate.events),
        }
    }

    /// A process's plugins.
    fn plugins(&self, db: Db) -> Arc<Plugins> {
        let gate = &self.app.gate;
        Plugins::new(plugins::Parts {
            sandbox: Some(Arc::clone(&self.sandbox)),
            db,
            clock: gate.clock.clone(),
            ids: gate.ids.clone(),
            events: Arc::clone(&gate.events),
            host: Arc::new(Nobody),
            grants: Grants::default(),
            http_hosts: Vec::new(),
            slow_routers: false,
            metrics: Arc::default(),
        })
    }

    async fn start(&self, node: &Id) -> Process {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let test = Arc::clone(&self.app.test);
        // Connections to MariaDB end with the runtime that made them; SQLite has threads of its own and one writer.
        let db = match test.kind {
            Kind::Sqlite => test.db.clone(),
            Kind::MySql => runtime.spawn(async move { test.again().await }).await.unwrap(),
        };
        let plugins = self.plugins(db.clone());
        for tenant in [tenant("acme"), tenant("globex")] {
            let all = setups(&self.app.gate.db, &tenant).await.unwrap();
            let known = Known::of(&all, chrono_tz::Europe::Berlin);
            self.known.0.lock().unwrap().insert(tenant.clone(), known);
            let plugins = Arc::clone(&plugins);
            runtime.spawn(async move { plugins.prepare(&tenant, &all).await }).await.unwrap();
        }
        let parts = ticketer::Parts {
            plugins,
            desk: Arc::new(self.desk(db)),
            source: Arc::<Memory>::clone(&self.known),
            node: node.clone(),
        };
        let (stopper, stopping) = shutdown::channel();
        Process { stopper, running: runtime.spawn(ticketer::run(parts, stopping)), runtime: Some(runtime) }
    }

    fn node(&self) -> Id {
        self.app.gate.ids.next()
    }

    /// Makes a ticketer that listens to these and activates it. Returns its path.
    async fn ticketer(&self, of: &str, events: &[&str]) -> String {
        let admin = self.app.user(Role::TenantAdmin, of).await;
        let new = json!({"name": "desk", "kind": "ticketer", "events": events});
        let path =
            format!("/plugins/{}", self.app.post("/plugins", &admin.token, new).await.expect(201).id());
        let upload = Request::post(format!("/api/v1{path}/versions"))
            .header("authorization", format!("Bearer {}", admin.token))
            .header("content-type", "application/wasm")
            .body(Body::from(drafts()));
        let made = self.app.send(upload.unwrap()).await.expect(201);
        let activate = format!("{path}/versions/{}/activate", made.body["number"]);
        self.app.ask("POST", &activate, &admin.token, None, &[]).await.expect(200);
        path
    }

    /// Writes an event. Whoever waits for it is not told, unless `aloud`.
    async fn tell(&self, of: &str, kind: &str, (key, data): (&str, Value), aloud: bool) {
        let gate = &self.app.gate;
        let Value::Object(data) = data else { panic!("an object") };
        let draft =
            Draft { kind: kind.into(), key: key.into(), at_us: gate.clock.now_us(), owners: None, data };
        let (of, mut tx) = (tenant(of), gate.db.begin().await.unwrap());
        let position =
            outbox::append(&mut tx, &gate.ids, (&of, gate.clock.now_us()), &[draft]).await.unwrap();
        tx.commit().await.unwrap();
        if aloud {
            gate.events.news.tell(&of, position);
        }
    }

    async fn missed(&self, linkedid: &str) {
        let call = self.app.gate.ids.next();
        let data = json!({"call_id": call.as_str(), "linkedid": linkedid, "direction": "inbound"});
        self.tell("acme", "call.missed", (&format!("call:{call}"), data), true).await;
    }

    async fn count(&self, sql: &str) -> i64 {
        self.app.test.number(sql).await
    }

    /// Waits until a statement finds this number.
    async fn until(&self, sql: &str, n: i64) {
        eventually(&format!("{n} = {sql}"), || async { (self.count(sql).await == n).then_some(()) }).await;
    }

    /// Waits until acme's ticketer has seen everything; `each` is done meanwhile, time after time.
    async fn all_shown(&self, runs: i64, each: impl Fn()) {
        eventually(&format!("{runs} events shown"), || async {
            each();
            (self.count(SHOWN).await == runs).then_some(())
        })
        .await;
    }
}

const TICKETS: &str = "SELECT COUNT(*) FROM tickets";
const RUNS: &str = "SELECT COUNT(*) FROM plugin_runs";
const SHOWN: &str =
    "SELECT COUNT(DISTINCT subject_id) FROM plugin_runs WHERE outcome IN ('ok', 'pass') AND cause = 'event'";

both_databases! {
    /// From the event to the ticket with everything that belongs to it; repeats make no second one.
    async fn a_ticket_for_each_rule_and_linked_id(test) {
        let scene = Scene::new(test).await;
        scene.missed("old").await;
        let path = scene.ticketer("acme", &["call.missed", "ticket.*", "contact.*", "tag.*", "plugin.*"]).await;
        let process = scene.start(&scene.node()).await;
        for linkedid in ["1.1", "1.1", "1.2", "1.1"] {
            scene.missed(linkedid).await;
        }
        scene.all_shown(4, || ()).await;
        assert_eq!(scene.count(TICKETS).await, 2);
        assert_eq!(scene.count("SELECT COUNT(*) FROM contacts").await, 1, "the second ticket's contact is there");
        assert_eq!(scene.count("SELECT COUNT(*) FROM tags").await, 1);

        let admin = scene.app.user(Role::TenantAdmin, "acme").await;
        let list = scene.app.get("/tickets?sort=created_at", &admin.token).await.expect(200);
        let ticket = &list.body["data"][0];
        let plugin = path.trim_start_matches("/plugins/");
        for (name, expected) in [
            ("number", json!(1)),
            ("subject", json!("Call back")),
            ("description", json!("They rang.")),
            ("status", json!("open")),
            ("priority", json!("high")),
            ("channel", json!("plugin")),
            ("origin_key", json!(format!("plugin:{plugin}:missed-call:1.1"))),
            ("metadata", json!({"line": "one"})),
            ("created_by", Value::Null),
        ] {
            assert_eq!(ticket[name], expected, "{name}: {ticket:#}");
        }
        assert_eq!(list.body["data"][1]["number"], json!(2), "numbers have no gaps");
        let contact = format!("/contacts/{}", ticket["contact_id"].as_str().unwrap());
        let contact = scene.app.get(&contact, &admin.token).await.expect(200).body;
        assert_eq!((&contact["phone"], &contact["source"]), (&json!(CALLER), &json!("plugin")));
        let tag = scene.app.get(&format!("/tags/{}", ticket["tags"][0].as_str().unwrap()), &admin.token).await;
        assert_eq!(tag.expect(200).body["name"], json!("callback"));
        let told = scene.app.get("/events?types=ticket.created,contact.created", &admin.token).await.expect(200);
        assert_eq!(told.body["data"].as_array().unwrap().len(), 3, "{:#}", told.body);
        let calls = "SELECT COUNT(*) FROM events WHERE kind = 'call.missed' AND event_key = CONCAT('call:', \
             (SELECT call_id FROM tickets WHERE number = 1))";
        assert_eq!(scene.count(calls).await, 1, "the ticket's call is the event's");
        let lines = "SELECT COUNT(*) FROM audit_logs WHERE actor_kind = 'system' \
             AND action IN ('tickets.create', 'contacts.create')";
        assert_eq!(scene.count(lines).await, 3);

        // What the drafts made is shown to nobody; what people do with it is.
        let id = ticket["id"].as_str().unwrap();
        scene.app.patch(&format!("/tickets/{id}"), &admin.token, json!({"subject": "Call them"})).await.expect(200);
        scene.all_shown(5, || ()).await;
        scene.missed("1.2").await;
        scene.all_shown(6, || ()).await;
        assert_eq!(scene.count(RUNS).await, 6, "nothing that it made was shown");
        assert_eq!(scene.count(TICKETS).await, 3, "a ticket for the ticket that somebody changed, by its key");

        // A deleted ticket does not come again.
        scene.app.delete(&format!("/tickets/{id}"), &admin.token).await.expect(204);
        scene.all_shown(7, || ()).await;
        scene.missed("1.1").await;
        scene.all_shown(8, || ()).await;
        assert_eq!(scene.count(TICKETS).await, 3);
        process.stop().await;
    }

    /// Killed wherever it is, and started anew.
    async fn a_kill_shows_again_and_makes_no_second_ticket(test) {
        let scene = Scene::new(test).await;
        scene.ticketer("acme", &[]).await;
        let node = scene.node();
        let mut process = scene.start(&node).await;
        for n in 0..24_i64 {
            scene.missed(&format!("1.{}", n % 6)).await;
            if n % 3 == 2 {
                // At whatever point of its work.
                eventually("most are shown", || async { (scene.count(SHOWN).await >= n - 2).then_some(()) }).await;
                process.kill();
                process = scene.start(&node).await;
            }
        }
        scene.all_shown(24, || ()).await;
        assert_eq!(scene.count(RUNS).await, 24, "each run is written with its move, and once");
        assert_eq!(scene.count(TICKETS).await, 6);
        assert_eq!(scene.count("SELECT MAX(number) FROM tickets").await, 6);
        // Another node takes over once the lease of the dead one is over.
        process.kill();
        let other = scene.start(&scene.node()).await;
        scene.missed("2.1").await;
        scene.all_shown(25, || scene.app.wait(limits::SHOW_LEASE / 8)).await;
        assert_eq!(scene.count(TICKETS).await, 7);
        // At once after one that ended in order.
        other.stop().await;
        let third = scene.start(&scene.node()).await;
        scene.missed("2.2").await;
        scene.all_shown(26, || ()).await;
        third.stop().await;
    }

    /// Two that both hold the cursor for theirs, and one that does not.
    async fn processes_at_once_make_one_ticket(test) {
        let scene = Scene::new(test).await;
        scene.ticketer("acme", &["call.*"]).await;
        let node = scene.node();
        let all = [scene.start(&node).await, scene.start(&node).await, scene.start(&scene.node()).await];
        for n in 0..30_i64 {
            scene.missed(&format!("1.{}", n % 5)).await;
        }
        scene.all_shown(30, || scene.app.wait(Duration::from_millis(100))).await;
        assert_eq!(scene.count(RUNS).await, 30, "a result that came second is dropped");
        assert_eq!((scene.count(TICKETS).await, scene.count("SELECT COUNT(*) FROM contacts").await), (5, 1));
        let twice = "SELECT COUNT(*) FROM events WHERE kind = 'ticket.created'";
        assert_eq!(scene.count(twice).await, 5);
        for process in all {
            process.stop().await;
        }
    }

    /// Five times, with longer and longer pauses; then the next event has its turn.
    async fn a_failure_is_shown_again_and_then_passed_over(test) {
        let scene = Scene::new(test).await;
        scene.ticketer("acme", &["test.*", "call.missed"]).await;
        let process = scene.start(&scene.node()).await;
        scene.tell("acme", "test.skip", ("test:1", json!({})), true).await;
        scene.tell("acme", "test.fail", ("test:2", json!({})), true).await;
        scene.missed("1.1").await;
        const FAILED: &str = "SELECT COUNT(*) FROM plugin_runs WHERE outcome = 'plugin-error'";
        for (n, pause) in (1..).zip(limits::SHOW_PAUSES) {
            scene.until(FAILED, n).await;
            // The run and the pause were written together.
            assert_eq!(scene.count("SELECT attempts FROM plugin_cursors").await, n);
            let retry_at = scene.count("SELECT retry_at FROM plugin_cursors").await;
            assert_eq!(retry_at - scene.app.clock.now_us(), i64::try_from(pause.as_micros()).unwrap());
            assert_eq!(scene.count(SHOWN).await, 1, "what comes behind it waits");
            scene.app.wait(pause);
        }
        scene.until(FAILED, 5).await;
        assert_eq!(scene.count("SELECT attempts FROM plugin_cursors").await, 0);
        // It failed five times within half a minute: it is parked, and that is no attempt.
        scene.all_shown(2, || scene.app.wait(Duration::from_secs(1))).await;
        assert_eq!((scene.count(FAILED).await, scene.count(RUNS).await), (5, 7));
        assert_eq!(scene.count(TICKETS).await, 1);
        assert_eq!(scene.count("SELECT COUNT(*) FROM plugin_runs WHERE text = 'no idea'").await, 5);
        process.stop().await;
    }

    /// Each tenant's ticketer sees its tenant's events, from its activation on, while it is enabled.
    async fn only_its_own_tenants_events_are_shown(test) {
        let scene = Scene::new(test).await;
        let missed = |linkedid: &str| ("test:1", json!({"linkedid": linkedid}));
        scene.tell("acme", "call.missed", missed("before"), true).await;
        let path = scene.ticketer("acme", &["call.*"]).await;
        let process = scene.start(&scene.node()).await;
        scene.tell("globex", "call.missed", missed("theirs"), true).await;
        scene.tell("acme", "call.missed", missed("ours"), true).await;
        scene.all_shown(1, || ()).await;
        scene.ticketer("globex", &["call.*"]).await;
        process.stop().await;
        // Nobody tells of this one: a look at all ticketers finds it.
        scene.tell("globex", "call.missed", missed("theirs-too"), false).await;
        let process = scene.start(&scene.node()).await;
        scene.all_shown(2, || ()).await;
        let keys = "SELECT CONCAT(tenant_id, ' ', SUBSTR(origin_key, 47)) FROM tickets ORDER BY tenant_id";
        assert_eq!(scene.app.test.texts(keys).await, ["acme ours", "globex theirs-too"]);
        process.stop().await;

        let admin = scene.app.user(Role::TenantAdmin, "acme").await;
        scene.app.ask("POST", &format!("{path}/disable"), &admin.token, None, &[]).await.expect(200);
        scene.tell("acme", "call.missed", missed("while disabled"), true).await;
        let process = scene.start(&scene.node()).await;
        scene.tell("globex", "call.missed", missed("last"), true).await;
        scene.all_shown(3, || ()).await;
        assert_eq!(scene.count("SELECT COUNT(*) FROM plugin_runs WHERE tenant_id = 'acme'").await, 1);
        // Its cursor goes with it.
        scene.app.delete(&path, &admin.token).await.expect(204);
        keep::purge(&scene.app.plugins, scene.app.clock.now_us()).await.unwrap();
        assert_eq!(scene.count("SELECT COUNT(*) FROM plugin_cursors WHERE tenant_id = 'acme'").await, 0);
        assert_eq!(scene.count("SELECT COUNT(*) FROM plugin_cursors").await, 1);
        process.stop().await;
    }

    /// An event about a call that does not carry its linkedid: the call does.
    async fn a_calls_linkedid_is_looked_up(test) {
        let scene = Scene::new(test).await;
        scene.ticketer("acme", &["call.*"]).await;
        let call = scene.app.gate.ids.next();
        let sql = format!(
            "INSERT INTO calls (id, tenant_id, direction, did, caller_number, caller_name, channel, uniqueid, linkedid, \
             language, action, target, reason, started_at) \
             VALUES ('{call}', 'acme', 'inbound', '', '', '', '', '7.1', '7.0', 'en', '', '', '', 1)"
        );
        scene.app.test.execute(&sql).await.unwrap();
        let process = scene.start(&scene.node()).await;
        scene.tell("acme", "call.routed", (&format!("call:{call}"), json!({"call_id": call.as_str()})), true).await;
        scene.missed("7.0").await;
        scene.all_shown(2, || ()).await;
        assert_eq!(scene.count(TICKETS).await, 1);
        process.stop().await;
    }

    /// What plugins may do beside drafting.
    async fn a_comment_is_a_note_and_open_tickets_are_seen(test) {
        let scene = Scene::new(test).await;
        let (acme, globex, desk) = (tenant("acme"), tenant("globex"), scene.desk(scene.app.gate.db.clone()));
        let admin = scene.app.user(Role::TenantAdmin, "acme").await;
        let post = async |path: &str, body: Value| scene.app.post(path, &admin.token, body).await.expect(201).id();
        let tag = post("/tags", json!({"name": "vip"})).await;
        let contact = post("/contacts", json!({"phone": "+15557770002", "phones": [CALLER]})).await;
        let first = json!({"subject": "First", "contact_id": contact, "priority": "critical", "tags": [tag]});
        let first = post("/tickets", first).await;
        scene.app.wait(Duration::from_secs(1));
        let second = post("/tickets", json!({"subject": "Second", "contact_id": contact})).await;
        let third = post("/tickets", json!({"subject": "Third", "contact_id": contact})).await;
        scene.app.ask("POST", &format!("/tickets/{third}/close"), &admin.token, None, &[]).await.expect(200);
        for asked in [CALLER, "+15557770002"] {
            let open = desk.open_for(&acme, &number(asked)).await.unwrap();
            let ids: Vec<&str> = open.iter().map(|ticket| ticket.id.as_str()).collect();
            assert_eq!(ids, [second.as_str(), first.as_str()], "{asked}");
            assert_eq!((open[0].priority, open[1].priority), (Priority::Normal, Priority::Urgent));
            assert_eq!((&open[1].tags, &open[0].tags), (&vec!["vip".to_owned()], &Vec::new()));
            assert_eq!(open[0].created, u64::try_from(scene.app.clock.now_us() / 1_000).unwrap());
        }
        assert_eq!(desk.open_for(&acme, &number("+15557770003")).await, Ok(Vec::new()));
        assert_eq!(desk.open_for(&globex, &number(CALLER)).await, Ok(Vec::new()));

        let plugin = scene.node();
        let by = Author { plugin: &plugin, name: "vip-desk", subject: "" };
        assert_eq!(desk.comment(&acme, by, &first, "They rang again.").await, Ok(()));
        assert_eq!(desk.comment(&globex, by, &first, "x").await, Err(Failure::NotFound));
        assert_eq!(desk.comment(&acme, by, "nonsense", "x").await, Err(Failure::NotFound));
        for wrong in ["", "\u{0}", &"x".repeat(limits::NOTE_BYTES + 1)] {
            let refused = desk.comment(&acme, by, &first, wrong).await;
            assert!(matches!(refused, Err(Failure::Invalid(_))), "{refused:?}");
        }
        let messages = async || scene.app.get(&format!("/tickets/{first}/messages"), &admin.token).await.expect(200).body;
        let said = messages().await;
        assert_eq!(said["data"].as_array().unwrap().len(), 1);
        let expected: Map<String, Value> = serde_json::from_value(json!({
            "kind": "note", "author_kind": "plugin", "author_id": plugin.as_str(), "author_name": "vip-desk",
            "body": "They rang again.", "body_format": "text"
        })).unwrap();
        for (name, value) in expected {
            assert_eq!(said["data"][0][&name], value, "{name}");
        }
        let told = scene.app.get("/events?types=ticket.noted", &admin.token).await.expect(200);
        assert_eq!(told.body["data"][0]["data"]["author_kind"], json!("plugin"));
        let lines = "SELECT COUNT(*) FROM audit_logs WHERE actor_kind = 'system' AND action = 'ticket-messages.create'";
        assert_eq!(scene.count(lines).await, 1);

        // A run that is repeated leaves its note once; about another call, or in other words, it is another note.
        let (one, other) = (Author { subject: "evt_1", ..by }, Author { subject: "evt_2", ..by });
        for (by, text) in [(one, "Rang."), (one, "Rang."), (other, "Rang."), (one, "Rang!"), (other, "Rang."), (one, "Rang.")] {
            assert_eq!(desk.comment(&acme, by, &first, text).await, Ok(()));
        }
        let said = messages().await;
        let told: Vec<_> = said["data"].as_array().unwrap().iter().filter(|m| m["metadata"]["about"].is_string()).collect();
        assert_eq!(told.len(), 3, "{told:#?}");
    }
}
