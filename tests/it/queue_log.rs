//! The queues' log on both databases: from what Asterisk writes to who is seen waiting, to events and reports.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use hookswitch::base::clock::from_us;
use hookswitch::base::role::Role;
use hookswitch::base::shutdown;
use hookswitch::queues::log_store;
use serde_json::{Value, json};

use crate::api::app::TestApp;
use crate::realtime::{Scene, TOKEN};
use crate::support::{Kind, TestDb, both_databases, eventually};

/// Queue `support` with endpoint 101 as its member, and Asterisk that writes its log.
struct Log {
    scene: Scene,
    queue: String,
    member: String,
    start_us: i64,
}

impl Log {
    async fn new(test: Arc<TestDb>) -> Self {
        let scene = Scene::new(test).await;
        let queue = scene
            .desk
            .make("/queues", json!({"name": "support", "wrapup_s": 30, "service_level_s": 10}))
            .await
            .id();
        let member = scene
            .desk
            .make(&format!("/queues/{queue}/members"), json!({"endpoint_id": scene.endpoint}))
            .await
            .id();
        let start_us = scene.desk.app.clock.now_us();
        Self { scene, queue, member, start_us }
    }

    /// A row as Asterisk sends it, so many milliseconds after the start.
    fn form(
        &self,
        at_ms: i64,
        (queue, call): (&str, &str),
        agent: &str,
        event: &str,
        data: &[&str],
    ) -> String {
        let time = from_us(self.start_us + at_ms * 1_000).format("%Y-%m-%d %H:%M:%S%.6f").to_string();
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("time", &time);
        for n in (0..5).rev() {
            form.append_pair(&format!("data{}", n + 1), data.get(n).unwrap_or(&""));
        }
        form.append_pair("event", event).append_pair("agent", agent);
        form.append_pair("queuename", queue).append_pair("callid", call).finish().replace('+', "%20")
    }

    async fn store(&self, form: &str) {
        assert_eq!(self.scene.told("queue_log/store", form).await, "1", "{form}");
    }

    /// A row of queue `support`.
    async fn row(&self, at_ms: i64, call: &str, agent: &str, event: &str, data: &[&str]) {
        self.store(&self.form(at_ms, ("acme-support", call), agent, event, data)).await;
    }

    /// So many milliseconds after the start.
    fn now_is(&self, ms: i64) {
        self.scene.desk.app.clock.set(from_us(self.start_us + ms * 1_000));
    }

    async fn live_for(&self, token: &str) -> Value {
        let path = format!("/queues/{}/live", self.queue);
        self.scene.desk.app.get(&path, token).await.expect(200).body
    }

    async fn live(&self) -> Value {
        self.live_for(&self.scene.desk.viewer).await
    }

    async fn report(&self, query: &str) -> Value {
        let path = format!("/queues/report?from=2026-11-23T10:00:00Z&{query}");
        self.scene.desk.app.get(&path, &self.scene.desk.viewer).await.expect(200).body
    }

    async fn events(&self) -> Vec<Value> {
        let list = self
            .scene
            .desk
            .app
            .get("/events?types=queue.caller_joined,queue.caller_left", &self.scene.desk.viewer);
        let mut list = list.await.expect(200).body;
        list["data"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .map(|event| {
                json!([
                    event["type"],
                    event["data"]["uniqueid"],
                    event["data"]["how"],
                    event["data"]["wait_ms"]
                ])
            })
            .collect()
    }

    async fn rows(&self) -> i64 {
        self.scene.desk.app.test.number("SELECT COUNT(*) FROM queue_log").await
    }
}

fn texts<'v>(list: &'v Value, field: &str) -> Vec<&'v str> {
    list.as_array().unwrap().iter().map(|one| one[field].as_str().unwrap_or("-")).collect()
}

both_databases! {
    /// Two callers: one talks, rests the member, the other gives up; each step is seen.
    async fn from_the_line_to_the_report(test) {
        let log = Log::new(test).await;
        log.row(0, "pbx-1.1", "NONE", "ENTERQUEUE", &["", "+15557770001", "1"]).await;
        log.row(2_000, "pbx-1.2", "NONE", "ENTERQUEUE", &["", "", "2"]).await;
        log.now_is(5_000);
        let live = log.live().await;
        assert_eq!(live["waiting"], json!([
            {"position": 1, "uniqueid": "pbx-1.1", "caller_number": "+15557770001", "joined_at": "2026-11-23T10:00:00Z", "wait_ms": 5_000},
            {"position": 2, "uniqueid": "pbx-1.2", "caller_number": null, "joined_at": "2026-11-23T10:00:02Z", "wait_ms": 3_000},
        ]));
        assert_eq!((&live["waiting_count"], &live["talking"], &live["members"][0]["state"]), (&json!(2), &json!([]), &json!("idle")));
        log.row(7_500, "pbx-1.1", "acme-101", "CONNECT", &["7", "pbx-1.5", "2"]).await;
        log.now_is(17_500);
        let live = log.live().await;
        assert_eq!((texts(&live["waiting"], "uniqueid"), &live["waiting"][0]["position"]), (vec!["pbx-1.2"], &json!(1)));
        assert_eq!(live["talking"], json!([
            {"agent": "101", "uniqueid": "pbx-1.1", "caller_number": "+15557770001", "since": "2026-11-23T10:00:07.500000Z", "wait_ms": 7_500, "talk_ms": 10_000},
        ]));
        assert_eq!(live["members"], json!([
            {"id": log.member, "endpoint_id": log.scene.endpoint, "name": "101", "user_id": null, "state": "talking", "since": "2026-11-23T10:00:07.500000Z",
             "until": null, "queue": "support", "paused": false, "pause_reason": null},
        ]));
        // An agent sees who waits; of others' talks only that there are some.
        let agent = log.live_for(&log.scene.desk.agent).await;
        assert_eq!((&agent["talking"][0]["uniqueid"], &agent["talking"][0]["caller_number"]), (&Value::Null, &Value::Null));
        assert_eq!(texts(&agent["talking"], "agent"), ["101"]);
        log.row(20_000, "pbx-1.2", "NONE", "ABANDON", &["1", "2", "18"]).await;
        log.row(67_500, "pbx-1.1", "acme-101", "COMPLETECALLER", &["7", "60", "1"]).await;
        log.now_is(70_000);
        let live = log.live().await;
        assert_eq!((&live["waiting"], &live["talking"]), (&json!([]), &json!([])));
        let member = &live["members"][0];
        assert_eq!((&member["state"], &member["since"], &member["until"]), (&json!("wrapup"), &json!("2026-11-23T10:01:07.500000Z"), &json!("2026-11-23T10:01:37.500000Z")));
        log.now_is(98_000);
        assert_eq!(log.live().await["members"][0]["state"], "idle");
        assert_eq!(log.events().await, [
            json!(["queue.caller_joined", "pbx-1.1", null, null]), json!(["queue.caller_joined", "pbx-1.2", null, null]),
            json!(["queue.caller_left", "pbx-1.1", "answered", 7_500]), json!(["queue.caller_left", "pbx-1.2", "abandoned", 18_000]),
        ]);
        let report = log.report("interval=15m").await;
        assert_eq!(report["queues"], json!([{
            "from": "2026-11-23T10:00:00Z", "to": "2026-11-23T10:15:00Z", "queue": "support", "offered": 2, "answered": 1, "answered_in_time": 1,
            "transferred": 0, "abandoned": 1, "abandoned_short": 0, "timed_out": 0, "left_by_key": 0, "left_empty": 0, "unfinished": 0,
            "service_level_s": 10, "service_level_of_answered": 100.0, "service_level_of_offered": 50.0, "wait_average_ms": 12_750,
            "wait_longest_ms": 18_000, "answer_average_ms": 7_500, "talk_average_ms": 60_000, "talk_total_ms": 60_000,
        }]));
        assert_eq!(report["agents"], json!([{
            "from": "2026-11-23T10:00:00Z", "to": "2026-11-23T10:15:00Z", "queue": "support", "agent": "101", "answered": 1, "transferred": 0,
            "missed": 0, "talk_average_ms": 60_000, "talk_total_ms": 60_000,
        }]));
        let short = log.report("short_abandon_s=20").await;
        assert_eq!((&short["queues"][0]["abandoned"], &short["queues"][0]["service_level_of_offered"]), (&json!(0), &json!(100.0)));
    }

    /// What comes twice, too late or in another order, and what is nobody's.
    async fn rows_come_as_they_come(test) {
        let log = Log::new(test).await;
        log.now_is(90_000);
        let rows = [
            log.form(60_000, ("acme-support", "a"), "acme-101", "COMPLETEAGENT", &["7", "53", "1"]),
            log.form(7_000, ("acme-support", "a"), "acme-101", "CONNECT", &["7", "b", "1"]),
            log.form(0, ("acme-support", "a"), "NONE", "ENTERQUEUE", &["", "5551000", "1"]),
            log.form(3_000, ("acme-support", "a"), "acme-101", "RINGNOANSWER", &["1000"]),
        ];
        for form in rows.iter().chain(&rows) {
            log.store(form).await;
        }
        assert_eq!(log.rows().await, 4);
        assert_eq!(log.events().await, [
            json!(["queue.caller_left", "a", "answered", 7_000]), json!(["queue.caller_joined", "a", null, null]),
        ]);
        let report = log.report("").await;
        assert_eq!((&report["queues"][0]["offered"], &report["queues"][0]["talk_total_ms"], &report["agents"][0]["missed"]), (&json!(1), &json!(53_000), &json!(1)));
        let live = log.live().await;
        assert_eq!((&live["waiting_count"], &live["talking_count"]), (&json!(0), &json!(0)));
        for form in [
            log.form(0, ("NONE", "NONE"), "NONE", "QUEUESTART", &[]),
            log.form(0, ("nobody-support", "x"), "NONE", "ENTERQUEUE", &["", "1", "1"]),
            log.form(0, ("acme-sales", "x"), "NONE", "ENTERQUEUE", &["", "1", "1"]),
            log.form(0, ("NONE", "NONE"), "PJSIP/acme-999", "PAUSEALL", &[]),
            log.form(0, ("support", "x"), "NONE", "ENTERQUEUE", &["", "1", "1"]),
        ] {
            log.store(&form).await;
        }
        assert_eq!(log.rows().await, 4);
        for form in ["", "time=now&event=CONNECT&queuename=acme-support", "time=2026-11-23%2010%3A00%3A00&queuename=acme-support"] {
            let (status, _) = log.scene.send("queue_log/store", form, &format!("asterisk:{TOKEN}")).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{form}");
        }
        // Longer than any column; and what no number is.
        let long = "x".repeat(5_000);
        log.row(80_000, &long, &long, "ENTERQUEUE", &[&long, &long, &long, &long, &long]).await;
        log.row(81_000, "b", "", "CONNECT", &["-1", "", "99999999999999999999"]).await;
        assert_eq!(log.rows().await, 6);
        assert_eq!(log.live().await["waiting"][0]["uniqueid"], "x".repeat(150));
        // Times of a call's own are kept apart by the queue they are of.
        log.scene.desk.make("/queues", json!({"name": "sales"})).await;
        log.store(&log.form(85_000, ("acme-sales", &"x".repeat(150)), "NONE", "ENTERQUEUE", &["", "1", "1"])).await;
        assert_eq!(log.live().await["waiting"], json!([]), "who entered another queue has left this one");
    }

    /// Each way out, and pauses of one queue and of all.
    async fn ways_out_and_pauses(test) {
        let log = Log::new(test).await;
        for (n, (event, data)) in [
            ("EXITWITHTIMEOUT", &["1", "1", "4"][..]), ("EXITWITHKEY", &["5", "1", "1", "4"]), ("EXITEMPTY", &["1", "1", "4"]),
            ("ABANDON", &["1", "1", "4"]),
        ].into_iter().enumerate() {
            let call = format!("c{n}");
            log.row(1_000, &call, "NONE", "ENTERQUEUE", &["", "1", "1"]).await;
            log.row(5_000, &call, "NONE", event, data).await;
        }
        log.row(6_000, "c9", "acme-101", "ATTENDEDTRANSFER", &["LINK", "a", "b", "1", "2|1"]).await;
        let left: Vec<Value> = log.events().await.into_iter().filter(|e| e[0] == "queue.caller_left").map(|e| e[2].clone()).collect();
        assert_eq!(left, ["timeout", "key", "empty", "abandoned", "answered"]);
        log.now_is(10_000);
        let report = log.report("interval=1h&queue=support&agent=101").await;
        let line = &report["queues"][0];
        for (field, number) in [("offered", 5), ("answered", 1), ("transferred", 1), ("timed_out", 1), ("left_by_key", 1), ("left_empty", 1), ("abandoned_short", 1), ("abandoned", 0)] {
            assert_eq!(line[field], number, "{field}");
        }
        assert_eq!(log.report("queue=sales").await["queues"], json!([]));
        assert_eq!(log.report("agent=102").await["agents"], json!([]));
        // As Asterisk does it: the member's row, and the log's.
        let update = format!("queue_members/update?uniqueid={}", log.member);
        assert_eq!(log.scene.told(&update, "paused=1&reason_paused=tea").await, "1");
        log.row(8_000, "NONE", "acme-101", "PAUSE", &["tea"]).await;
        let member = log.live().await["members"][0].clone();
        assert_eq!((&member["state"], &member["since"], &member["pause_reason"]), (&json!("paused"), &json!("2026-11-23T10:00:08Z"), &json!("tea")));
        log.store(&log.form(9_000, ("NONE", "NONE"), "PJSIP/acme-101", "PAUSEALL", &["fire"])).await;
        assert_eq!(log.live().await["members"][0]["since"], "2026-11-23T10:00:09Z");
        assert_eq!(log.scene.told(&update, "paused=0&reason_paused=").await, "1");
        log.row(9_500, "NONE", "acme-101", "UNPAUSE", &[]).await;
        assert_eq!(log.live().await["members"][0]["paused"], false);
    }

    /// Another tenant sees nothing of it, and an agent nothing of other agents' numbers.
    async fn nothing_is_anothers(test) {
        let log = Log::new(test).await;
        let (desk, app) = (&log.scene.desk, &log.scene.desk.app);
        let ann = app.user(Role::Agent, "acme").await;
        log.row(0, "a", "NONE", "ENTERQUEUE", &["", "5551000", "1"]).await;
        log.row(1_000, "a", "acme-101", "CONNECT", &["1", "b", "1"]).await;
        // A tenant has a queue of the same name.
        desk.app.post("/queues", &desk.other, json!({"name": "support"})).await.expect(201);
        log.now_is(2_000);
        let path = format!("/queues/{}/live", log.queue);
        app.get(&path, &desk.other).await.expect(404);
        let report = "/queues/report?from=2026-11-23T00:00:00Z";
        let theirs = app.get(report, &desk.other).await.expect(200).body;
        assert_eq!((&theirs["queues"], &theirs["agents"]), (&json!([]), &json!([])));
        assert_eq!(app.get("/events?types=queue.caller_joined,queue.caller_left", &desk.other).await.expect(200).body["data"], json!([]));
        let hers = app.get(report, &ann.token).await.expect(200).body;
        assert_eq!((hers["queues"].as_array().unwrap().len(), &hers["agents"]), (1, &json!([])));
        app.patch(&format!("/queues/{}/members/{}", log.queue, log.member), &desk.admin, json!({"user_id": ann.id})).await.expect(200);
        let hers = app.get(report, &ann.token).await.expect(200).body;
        assert_eq!(texts(&hers["agents"], "agent"), ["101"]);
        let live = log.live_for(&ann.token).await;
        assert_eq!((&live["talking"][0]["uniqueid"], &live["talking"][0]["caller_number"]), (&json!("a"), &json!("5551000")));
        for query in ["", "?from=yesterday", "?from=2026-11-23T00:00:00Z&to=2026-11-22T00:00:00Z", "?from=2020-11-23T00:00:00Z&interval=15m",
            "?from=2026-11-23T00:00:00Z&interval=1w", "?from=2026-11-23T00:00:00Z&short_abandon_s=-1"] {
            app.get(&format!("/queues/report{query}"), &desk.viewer).await.expect(400);
        }
    }

    /// A process that has just started knows who waits, and hears what others write; nobody waits for ever.
    async fn another_process_knows_the_same(test) {
        let log = Log::new(test).await;
        log.row(0, "a", "NONE", "ENTERQUEUE", &["", "1", "1"]).await;
        log.row(1_000, "b", "NONE", "ENTERQUEUE", &["", "2", "2"]).await;
        log.row(2_000, "c", "NONE", "ENTERQUEUE", &["", "3", "3"]).await;
        log.row(3_000, "b", "acme-101", "CONNECT", &["2", "x", "1"]).await;
        log.row(4_000, "c", "NONE", "ABANDON", &["2", "3", "2"]).await;
        // More than an hour later everything else is not looked at any more.
        let after = 2 * 3_600 * 1_000;
        log.now_is(after);
        let app = TestApp::new(Arc::clone(&log.scene.desk.app.test)).await;
        app.clock.set(log.scene.desk.app.clock.now());
        let viewer = app.token(Role::Viewer, "acme").await;
        let path = format!("/queues/{}/live", log.queue);
        let live = app.get(&path, &viewer).await.expect(200).body;
        assert_eq!((texts(&live["waiting"], "uniqueid"), texts(&live["talking"], "uniqueid")), (vec!["a"], vec!["b"]));
        log.row(after, "b", "acme-101", "COMPLETEAGENT", &["2", "7197", "1"]).await;
        log.row(after, "d", "NONE", "ENTERQUEUE", &["", "4", "2"]).await;
        let live = app.get(&path, &viewer).await.expect(200).body;
        assert_eq!((texts(&live["waiting"], "uniqueid"), texts(&live["talking"], "uniqueid")), (vec!["a", "d"], vec![]));
        assert_eq!(live["members"][0]["state"], "wrapup");
        // 12 hours are the lost call's age.
        app.wait(Duration::from_secs(10 * 3_600));
        let viewer = app.token(Role::Viewer, "acme").await;
        let live = app.get(&path, &viewer).await.expect(200).body;
        assert_eq!(texts(&live["waiting"], "uniqueid"), ["d"]);
    }

    /// While the database does not answer rows wait, and come into it in their order when it does.
    async fn rows_wait_for_the_database(test) {
        let log = Log::new(test).await;
        let (stopper, keep) = shutdown::channel();
        let tasks = log.scene.realtime.start(&keep);
        log.row(0, "a", "NONE", "ENTERQUEUE", &["", "1", "1"]).await;
        // Whoever holds this keeps everybody from writing.
        let mut tx = log.scene.desk.app.test.db.begin().await.unwrap();
        if log.scene.desk.app.test.kind == Kind::MySql {
            hookswitch::db::db_tx!(&mut tx, |c| sqlx::query("SELECT at FROM queue_log FOR UPDATE").fetch_all(c).await.map(drop)).unwrap();
        }
        log.row(1_000, "a", "acme-101", "CONNECT", &["1", "x", "1"]).await;
        log.row(2_000, "b", "NONE", "ENTERQUEUE", &["", "1", "1"]).await;
        log.row(2_000, "b", "NONE", "ENTERQUEUE", &["", "1", "1"]).await;
        log.row(3_000, "b", "NONE", "ABANDON", &["1", "1", "1"]).await;
        assert_eq!(log.rows().await, 1);
        drop(tx);
        eventually("the rows that waited", async || (log.rows().await == 4).then_some(())).await;
        log.row(4_000, "a", "acme-101", "COMPLETEAGENT", &["1", "3", "1"]).await;
        eventually("the row behind them", async || (log.rows().await == 5).then_some(())).await;
        let events: Vec<Value> = log.events().await.into_iter().map(|event| json!([event[0], event[1]])).collect();
        assert_eq!(events, [
            json!(["queue.caller_joined", "a"]), json!(["queue.caller_left", "a"]),
            json!(["queue.caller_joined", "b"]), json!(["queue.caller_left", "b"]),
        ]);
        stopper.stop();
        for task in tasks {
            task.await.unwrap();
        }
    }

    /// Rows are kept for a year and some weeks.
    async fn old_rows_go(test) {
        let log = Log::new(test).await;
        for n in 0..3 {
            log.row(n * 86_400_000, &format!("c{n}"), "NONE", "ENTERQUEUE", &["", "1", "1"]).await;
        }
        let (db, year_us) = (log.scene.desk.app.test.db.clone(), 400 * 86_400 * 1_000_000);
        assert_eq!(log_store::purge(&db, log.start_us + year_us).await.unwrap(), 0);
        assert_eq!(log_store::purge(&db, log.start_us + year_us + 86_400_001_000).await.unwrap(), 2);
        assert_eq!(log.scene.desk.app.test.texts("SELECT call_id FROM queue_log").await, ["c2"]);
    }
}
