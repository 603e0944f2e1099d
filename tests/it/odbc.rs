//! Asterisk in the database itself, on both of them: it reads what it would get over HTTP, and what it writes reaches the
//! product as over HTTP, once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hookswitch::base::clock::from_us;
use hookswitch::base::role::Role;
use serde_json::json;

use crate::realtime::{Scene, node};
use crate::support::{Kind, TestDb, both_databases};

type Row = BTreeMap<String, String>;

/// As `res_config_odbc` reads a value.
fn decode(value: &str) -> String {
    value.replace("^00", "").replace("^3B", ";").replace("^5E", "^")
}

/// Asterisk, and the service that it shares a database with.
struct Odbc {
    test: Arc<TestDb>,
    scene: Scene,
}

impl Odbc {
    async fn new(test: Arc<TestDb>) -> Self {
        Self { scene: Scene::new(Arc::clone(&test)).await, test }
    }

    /// What is set in the rows of a view or table, as Asterisk understands it.
    async fn rows(&self, table: &str) -> Vec<Row> {
        let names = self.test.columns(table).await;
        let shown: Vec<String> =
            names.iter().map(|n| format!("COALESCE(CAST({} AS CHAR), '#')", self.test.quoted(n))).collect();
        // A control character between two values.
        let all = shown.join(", ");
        let sql = format!("SELECT CONCAT_WS('\u{1}', {all}) FROM {table}");
        let row = |text: String| -> Row {
            let set = names.iter().zip(text.split('\u{1}')).filter(|(_, value)| *value != "#");
            set.map(|(name, value)| (name.clone(), decode(value))).collect()
        };
        let mut rows: Vec<Row> = self.test.texts(&sql).await.into_iter().map(row).collect();
        rows.sort();
        rows
    }

    /// What it gets over HTTP.
    async fn http(&self, path: &str, body: &str) -> Vec<Row> {
        let mut rows: Vec<Row> =
            self.scene.ask(path, body).await.into_iter().map(|row| row.into_iter().collect()).collect();
        rows.sort();
        rows
    }

    /// Registers as Asterisk does, until so many seconds from now.
    async fn add_contact(&self, id: &str, seconds: i64) -> sqlx::Result<u64> {
        let until = self.scene.desk.app.clock.now_us() / 1_000_000 + seconds;
        self.test
            .execute(&format!(
                "INSERT INTO ara_ps_contacts (id, uri, expiration_time, user_agent, via_addr, via_port, reg_server, path, \
                 endpoint, qualify_timeout) VALUES ('{id}', 'sip:101@127.0.0.1:5101^3Btransport=tcp', '{until}', 'phone^5E1', \
                 '127.0.0.1', '5101', 'labpbx', '', 'acme-101', '3.000000')"
            ))
            .await
    }

    async fn waiting(&self) -> i64 {
        self.test.number("SELECT COUNT(*) FROM ara_inbox").await
    }

    async fn take(&self) {
        self.scene.realtime.take_notes().await;
        assert_eq!(self.waiting().await, 0, "something is left");
    }

    /// A row of queue `support`'s log, so many milliseconds after the start, with `data1` to `data3`.
    async fn log(&self, at_ms: i64, call: &str, agent: &str, event: &str, data: [&str; 3]) {
        let now_us = self.scene.desk.app.clock.now_us();
        let time = from_us(now_us + at_ms * 1_000).format("%Y-%m-%d %H:%M:%S%.6f");
        let [one, two, three] = data;
        self.test
            .execute(&format!(
                "INSERT INTO ara_queue_log (time, callid, queuename, agent, event, data1, data2, data3, data4, data5) \
                 VALUES ('{time}', '{call}', 'acme-support', '{agent}', '{event}', '{one}', '{two}', '{three}', '', '')"
            ))
            .await
            .unwrap();
    }

    async fn event_types(&self, types: &str) -> Vec<String> {
        let desk = &self.scene.desk;
        let list = desk.app.get(&format!("/events?types={types}"), &desk.viewer).await.expect(200).body;
        list["data"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap().to_owned()).collect()
    }
}

both_databases! {
    /// Asterisk writes of each member that it reads that it was added: nobody needs to know.
    async fn members_that_asterisk_reads_are_no_news(test) {
        let s = Odbc::new(test).await;
        s.scene.desk.make("/queues", json!({"name": "support"})).await;
        for n in 0..70 {
            s.log(n, "REALTIME", "PJSIP/acme-101", "ADDMEMBER", ["", "", ""]).await;
        }
        s.log(70, "REALTIME", "PJSIP/acme-101", "PAUSE", ["", "", ""]).await;
        s.log(71, "1.1", "NONE", "ENTERQUEUE", ["", "5551000", "1"]).await;
        assert_eq!(s.waiting().await, if s.test.kind == Kind::Sqlite { 1 } else { 72 });
        s.take().await;
        assert_eq!(s.test.texts("SELECT event FROM queue_log").await, ["ENTERQUEUE"]);
    }

    /// A phone's registrations are found among all others' without reading those.
    async fn registrations_are_found_by_their_phone(test) {
        let s = Odbc::new(test).await;
        for n in 0..200 {
            s.test.execute(&format!("INSERT INTO ps_endpoints (id, tenant_id, created_at, updated_at) VALUES ('acme-9{n}', 'acme', 1, 1)")).await.unwrap();
            s.add_contact(&format!("acme-9{n}^3B@a"), 60).await.unwrap();
        }
        let plan = match s.test.kind {
            Kind::Sqlite => "EXPLAIN QUERY PLAN SELECT * FROM ara_ps_contacts WHERE id LIKE ? ORDER BY id",
            Kind::MySql => "EXPLAIN FORMAT=JSON SELECT * FROM ara_ps_contacts WHERE id LIKE ? ORDER BY id",
        };
        // Asterisk binds what it looks for.
        let plan = s.test.plan(plan, "acme-9101^3B@%").await;
        assert!(plan.contains("SEARCH ara_ps_contacts") || plan.contains("\"range\""), "{plan}");
    }

    /// Names with what ODBC splits at, settings, an endpoint out of service, another tenant, registrations.
    async fn both_ways_give_the_same_rows(test) {
        let s = Odbc::new(test).await;
        let desk = &s.scene.desk;
        desk.app.post("/endpoints", &desk.other, json!({"name": "101"})).await.expect(201);
        let made = desk.make("/endpoints", json!({"name": "102", "display_name": "Nora; ^3B ^", "template": "webrtc"})).await;
        let gone = desk.make("/endpoints", json!({"name": "103"})).await.id();
        desk.make("/mailboxes", json!({"name": "102", "display_name": "Nora; ^5E"})).await;
        let queue = desk.make("/queues", json!({"name": "support", "strategy": "leastrecent", "timeout_s": 7, "retry_s": 2,
            "wrapup_s": 3, "max_len": 4, "service_level_s": 5, "weight": 6, "music_class": "calm", "announce_frequency_s": 30,
            "announce_position": "limit", "announce_holdtime": "once", "periodic_announce": "patience",
            "periodic_announce_frequency_s": 60, "join_empty": "strict", "leave_when_empty": "loose", "ring_in_use": true,
            "autopause": "all"})).await.id();
        desk.make("/queues", json!({"name": "plain", "status": "inactive"})).await;
        let members = format!("/queues/{queue}/members");
        for body in [
            json!({"endpoint_id": s.scene.endpoint, "penalty": 2}),
            json!({"endpoint_id": made.id(), "paused": true, "pause_reason": "lunch; tea ^"}),
            json!({"endpoint_id": gone}),
        ] {
            desk.make(&members, body).await;
        }
        desk.app.patch(&format!("/endpoints/{gone}"), &desk.admin, json!({"status": "inactive"})).await.expect(200);
        s.scene.register("a", 60).await;
        s.add_contact("acme-101^3B@b", 300).await.unwrap();

        for (table, body, rows) in [
            ("ps_endpoints", "id%20LIKE=%25", 3),
            ("ps_auths", "id%20LIKE=%25", 3),
            ("ps_aors", "id%20LIKE=%25", 3),
            ("ps_contacts", "id%20LIKE=%25", 2),
            ("queues", "name%20LIKE=%25", 2),
            ("queue_members", "interface%20LIKE=%25&queue_name%20LIKE=%25", 2),
        ] {
            let over_http = s.http(&format!("{table}/multi"), body).await;
            assert_eq!(over_http.len(), rows, "{table}: {over_http:?}");
            let mut in_base = s.rows(&format!("ara_{table}")).await;
            if table == "ps_contacts" {
                // Asterisk writes an empty path, which says nothing, neither to us nor to it.
                in_base.iter_mut().for_each(|row| row.retain(|_, value| !value.is_empty()));
            }
            assert_eq!(over_http, in_base, "{table}");
        }
        let mut boxes = s.http("voicemail/single", "mailbox=101&context=acme").await;
        boxes.extend(s.http("voicemail/single", "mailbox=102&context=acme").await);
        boxes.sort();
        assert_eq!(boxes, s.rows("ara_voicemail").await);
        assert_eq!(boxes.len(), 2);

        // What is in the database is shown with the next question, without a word to Asterisk.
        desk.app.patch(&members_path(&s, &members).await, &desk.admin, json!({"paused": true})).await.expect(200);
        assert!(s.rows("ara_queue_members").await.iter().all(|row| row["paused"] == "1"));
        desk.app.patch(&format!("/endpoints/{}", made.id()), &desk.admin, json!({"status": "inactive"})).await.expect(200);
        assert_eq!((s.rows("ara_queue_members").await.len(), s.rows("ara_ps_auths").await.len()), (1, 2));
    }

    /// Agents' states and trunks' addresses, as over HTTP; a member's own pause stays its own.
    async fn agents_and_trunks_are_the_same_on_both_ways(test) {
        let s = Odbc::new(test).await;
        let desk = &s.scene.desk;
        let queue = desk.make("/queues", json!({"name": "support"})).await.id();
        let members = format!("/queues/{queue}/members");
        let me = desk.app.get("/auth/me", &desk.agent).await.expect(200).body["user"]["id"].clone();
        // One who has a state already, when the member is made.
        desk.app.patch("/agents/me", &desk.agent, json!({"state": "break", "reason": "lunch; ^"})).await.expect(200);
        let member = desk.make(&members, json!({"endpoint_id": s.scene.endpoint, "user_id": me})).await.id();
        let member = format!("{members}/{member}");
        let same = async |rows: usize, seen: &str| {
            let over_http = s.http("queue_members/multi", "interface%20LIKE=%25&queue_name%20LIKE=%25").await;
            let in_base = s.rows("ara_queue_members").await;
            let shown: Vec<String> =
                over_http.iter().map(|row| format!("{} {}", row["paused"], row["reason_paused"])).collect();
            assert_eq!((over_http.len(), shown.join(", ").as_str()), (rows, seen));
            assert_eq!(over_http, in_base, "{seen}");
        };
        same(1, "1 lunch; ^").await;
        for (state, reason, rows, seen) in [
            ("offline", json!(null), 0, ""),
            ("available", json!(null), 1, "0 "),
            ("dnd", json!(null), 1, "1 dnd"),
            ("away", json!("out"), 1, "1 out"),
        ] {
            desk.app.patch("/agents/me", &desk.agent, json!({"state": state, "reason": reason})).await.expect(200);
            same(rows, seen).await;
        }
        desk.app.patch(&member, &desk.admin, json!({"paused": true, "pause_reason": "training"})).await.expect(200);
        same(1, "1 training").await;
        desk.app.patch(&member, &desk.admin, json!({"paused": false})).await.expect(200);
        same(1, "1 out").await;
        // What Asterisk changes is told alone: the agent's pause does not become the member's.
        s.test.execute("UPDATE ara_queue_members SET penalty = 3").await.unwrap();
        s.take().await;
        let shown = desk.app.get(&member, &desk.admin).await.expect(200).body;
        assert_eq!((&shown["penalty"], &shown["paused"], &shown["pause_reason"]), (&json!(3), &json!(false), &json!(null)));
        same(1, "1 out").await;
        // Somebody else sits there, then nobody.
        let other = desk.app.get("/auth/me", &desk.supervisor).await.expect(200).body["user"]["id"].clone();
        desk.app.patch(&member, &desk.admin, json!({"user_id": other})).await.expect(200);
        same(1, "0 ").await;
        desk.app.patch(&member, &desk.admin, json!({"user_id": me})).await.expect(200);
        same(1, "1 out").await;
        let agents = desk.app.get("/agents", &desk.supervisor).await.expect(200).body;
        let id = agents["data"][0]["id"].as_str().unwrap().to_owned();
        desk.app.delete(&format!("/agents/{id}"), &desk.supervisor).await.expect(204);
        same(1, "0 ").await;
        assert_eq!(s.waiting().await, 0, "none of it was Asterisk's");

        let root = desk.app.token(Role::Superadmin, "acme").await;
        let trunk = json!({"name": "carrier", "template": "trunk", "addresses": ["198.51.100.7", "2001:db8::/64"]});
        let trunk = desk.app.post("/endpoints", &root, trunk).await.expect(201).id();
        let trunks = async || {
            let over_http = s.http("ps_endpoint_id_ips/multi", "id%20LIKE=%25").await;
            assert_eq!(over_http, s.rows("ara_ps_endpoint_id_ips").await);
            over_http.len()
        };
        assert_eq!(trunks().await, 2);
        desk.app.patch(&format!("/endpoints/{trunk}"), &root, json!({"status": "inactive"})).await.expect(200);
        desk.app.wait(Duration::from_millis(1_001));
        assert_eq!(trunks().await, 0);
    }

    /// Registrations: told in their order, each once, and never for whom there is not.
    async fn registrations_are_taken_in_their_order(test) {
        let s = Odbc::new(test).await;
        assert_eq!(s.add_contact("acme-101^3B@a", 300).await.unwrap(), 1);
        // Known to the other way at once; the product hears of it a moment later.
        let row = s.http("ps_contacts/single", "id=acme-101%3B%40a").await.remove(0);
        assert_eq!((row["uri"].as_str(), row["user_agent"].as_str()), ("sip:101@127.0.0.1:5101;transport=tcp", "phone^1"));
        assert_eq!((s.scene.shown().await["registered"].clone(), s.waiting().await), (json!(false), 1));
        s.take().await;
        assert_eq!(s.scene.shown().await["registered"], true);
        s.take().await;
        assert_eq!(s.scene.events().await, ["endpoint.registered"]);

        // Renewals are no news, and however many come while nobody takes them, one is noted.
        for seconds in [310, 320, 330] {
            let until = s.scene.desk.app.clock.now_us() / 1_000_000 + seconds;
            let renew = format!("UPDATE ara_ps_contacts SET expiration_time = '{until}' WHERE id = 'acme-101^3B@a'");
            assert_eq!(s.test.execute(&renew).await.unwrap(), 1);
        }
        assert_eq!(s.waiting().await, 1);
        s.take().await;
        s.scene.desk.app.wait(Duration::from_secs(325));
        s.scene.realtime.expire().await;
        assert_eq!(s.scene.shown().await["registered"], true, "it has renewed");

        // Off, on, off again before anybody looks.
        let off = "DELETE FROM ara_ps_contacts WHERE id = 'acme-101^3B@a'";
        assert_eq!(s.test.execute(off).await.unwrap(), 1);
        s.add_contact("acme-101^3B@a", 300).await.unwrap();
        s.test.execute(off).await.unwrap();
        assert!(s.http("ps_contacts/multi", "id%20LIKE=acme-101%3B%40%25").await.is_empty());
        s.take().await;
        assert_eq!(s.scene.shown().await["registered"], false);
        let (on, off) = ("endpoint.registered", "endpoint.unregistered");
        assert_eq!(s.scene.events().await, [on, off, on, off]);

        // One of two is gone: still registered. What ran out while nobody looked never was.
        s.add_contact("acme-101^3B@a", 300).await.unwrap();
        s.add_contact("acme-101^3B@b", 300).await.unwrap();
        s.test.execute("DELETE FROM ara_ps_contacts WHERE id = 'acme-101^3B@b'").await.unwrap();
        s.take().await;
        assert_eq!((s.scene.shown().await["registered"].clone(), s.scene.events().await.len()), (json!(true), 5));

        s.add_contact("nobody-101^3B@a", 300).await.unwrap_err();
        assert_eq!((s.test.number("SELECT COUNT(*) FROM ara_ps_contacts").await, s.waiting().await), (1, 0));
    }

    /// What the service writes itself, because another Asterisk asks it over HTTP, is no news to it.
    async fn what_the_service_writes_is_no_note(test) {
        let s = Odbc::new(test).await;
        s.scene.register("a", 60).await;
        s.scene.register("a", 90).await;
        let ids = s.test.texts("SELECT id FROM ara_ps_contacts").await;
        assert_eq!((ids, s.waiting().await), (vec!["acme-101^3B@a".to_owned()], 0));
        // It goes with its endpoint.
        let path = format!("/endpoints/{}", s.scene.endpoint);
        s.scene.desk.app.delete(&path, &s.scene.desk.admin).await.expect(204);
        assert_eq!((s.test.number("SELECT COUNT(*) FROM ara_ps_contacts").await, s.waiting().await), (0, 0));
    }

    /// Members ring where their agents sit, as over HTTP; each phone for one, and with another name for Asterisk than at home.
    async fn members_follow_their_agents(test) {
        let s = Odbc::new(test).await;
        let desk = &s.scene.desk;
        let queue = desk.make("/queues", json!({"name": "support"})).await.id();
        let sales = desk.make("/queues", json!({"name": "sales"})).await.id();
        let members = format!("/queues/{queue}/members");
        let phone = desk.make("/endpoints", json!({"name": "102"})).await.id();
        let (ann, ben) = (desk.app.user(Role::Agent, "acme").await, desk.app.user(Role::Agent, "acme").await);
        let make = async |path: &str, endpoint: &str, user: Option<&str>| {
            desk.make(path, json!({"endpoint_id": endpoint, "user_id": user})).await.id()
        };
        let anns = make(&members, &s.scene.endpoint, Some(ann.id.as_str())).await;
        make(&format!("/queues/{sales}/members"), &phone, None).await;
        let same = async |seen: &[&str]| {
            let mut over_http = s.http("queue_members/multi", "interface%20LIKE=%25&queue_name%20LIKE=%25").await;
            let mut in_base = s.rows("ara_queue_members").await;
            let mut shown: Vec<String> = over_http
                .iter()
                .map(|row| {
                    let (queue, phone) = (row["queue_name"].replace("acme-", ""), row["interface"].replace("PJSIP/acme-", ""));
                    format!("{queue} {phone} {}", row["uniqueid"].len())
                })
                .collect();
            shown.sort();
            assert_eq!(shown, seen);
            over_http.sort();
            in_base.sort();
            assert_eq!(over_http, in_base);
        };
        let sit = async |who: &str, extension: &str| {
            desk.app.post("/agents/me/login", who, json!({"extension": extension})).await.expect(200)
        };
        same(&["sales 102 26", "support 101 26"]).await;
        sit(&ann.token, "102").await;
        same(&["sales 102 26", "support 102 53"]).await;
        // Asterisk's word about her counts where she sits.
        let uniqueid = s.rows("ara_queue_members").await.into_iter().find(|row| row["queue_name"] == "acme-support").unwrap()["uniqueid"].clone();
        let sql = format!("UPDATE ara_queue_members SET paused = '1', reason_paused = 'tea' WHERE uniqueid = '{uniqueid}'");
        s.test.execute(&sql).await.unwrap();
        s.take().await;
        assert_eq!(desk.app.get(&format!("{members}/{anns}"), &desk.viewer).await.expect(200).body["pause_reason"], "tea");
        desk.app.patch(&format!("{members}/{anns}"), &desk.admin, json!({"paused": false})).await.expect(200);
        // A second member of hers in the queue does not ring twice, and nobody's gives way to hers.
        let second = make(&members, &phone, Some(ann.id.as_str())).await;
        same(&["sales 102 26", "support 102 53"]).await;
        let hers = make(&format!("/queues/{sales}/members"), &s.scene.endpoint, Some(ann.id.as_str())).await;
        same(&["sales 102 53", "support 102 53"]).await;
        desk.app.delete(&format!("/queues/{sales}/members/{hers}"), &desk.admin).await.expect(204);
        desk.app.delete(&format!("{members}/{second}"), &desk.admin).await.expect(204);
        // Somebody else at her phone: it is his.
        sit(&ben.token, "101").await;
        same(&["sales 102 26", "support 102 53"]).await;
        desk.app.post("/agents/me/logout", &ann.token, json!({})).await.expect(200);
        same(&["sales 102 26"]).await;
        desk.app.patch("/agents/me", &ann.token, json!({"state": "available"})).await.expect(200);
        same(&["sales 102 26"]).await;
        desk.app.post("/agents/me/logout", &ben.token, json!({})).await.expect(200);
        same(&["sales 102 26", "support 101 26"]).await;
        // A user who is gone leaves the phone, without a word to anybody.
        sit(&ann.token, "102").await;
        s.test.execute(&format!("DELETE FROM users WHERE id = '{}'", ann.id)).await.unwrap();
        assert_eq!(hookswitch::queues::free_seats(&s.test.db, 10).await.unwrap(), 1);
        assert_eq!(hookswitch::queues::free_seats(&s.test.db, 10).await.unwrap(), 0);
        desk.app.gate.routing.memory.reload(&crate::support::tenant("acme")).await.unwrap();
        same(&["sales 102 26", "support 101 26"]).await;
    }

    /// A member is paused for Asterisk at once, for the product with the note; the last word counts on both sides.
    async fn pauses_are_taken(test) {
        let s = Odbc::new(test).await;
        let desk = &s.scene.desk;
        let queue = desk.make("/queues", json!({"name": "support"})).await.id();
        let members = format!("/queues/{queue}/members");
        let member = desk.make(&members, json!({"endpoint_id": s.scene.endpoint})).await.id();
        let path = format!("{members}/{member}");
        let pause = async |paused: i32, reason: &str| {
            let sql = format!("UPDATE ara_queue_members SET paused = '{paused}', reason_paused = '{reason}' WHERE uniqueid = '{member}'");
            s.test.execute(&sql).await.unwrap();
        };
        pause(1, "a^3Bb").await;
        let row = s.rows("ara_queue_members").await.remove(0);
        assert_eq!((row["paused"].as_str(), row["reason_paused"].as_str(), s.waiting().await), ("1", "a;b", 1));
        assert_eq!(desk.app.get(&path, &desk.viewer).await.expect(200).body["paused"], false);
        s.take().await;
        let shown = desk.app.get(&path, &desk.viewer).await.expect(200).body;
        assert_eq!((&shown["paused"], &shown["pause_reason"]), (&json!(true), &json!("a;b")));
        pause(1, "a^3Bb").await;
        assert_eq!(s.waiting().await, 0, "nothing new");
        // On and off again before anybody looks: both are told.
        pause(0, "").await;
        pause(1, "tea").await;
        s.take().await;
        assert_eq!(s.event_types("queue_member.updated").await.len(), 3);
        let row = s.rows("ara_queue_members").await.remove(0);
        assert_eq!((row["paused"].as_str(), row["reason_paused"].as_str()), ("1", "tea"));
        // The API's word is Asterisk's with its next question, and no note.
        desk.app.patch(&path, &desk.admin, json!({"paused": false, "penalty": 4})).await.expect(200);
        let row = s.rows("ara_queue_members").await.remove(0);
        let seen = (row["paused"].as_str(), row["reason_paused"].as_str(), row["penalty"].as_str());
        assert_eq!((seen, s.waiting().await), (("0", "", "4"), 0));
        s.test.execute("UPDATE ara_queue_members SET penalty = '9' WHERE uniqueid = 'nobody'").await.unwrap();
        assert_eq!(s.waiting().await, 0);
    }

    /// Rows of the log: each once, however often it comes, whoever takes it; what can't be read holds nobody up.
    async fn the_log_is_taken_once(test) {
        let s = Odbc::new(test).await;
        let desk = &s.scene.desk;
        let queue = desk.make("/queues", json!({"name": "support"})).await.id();
        s.log(0, "1.1", "NONE", "ENTERQUEUE", ["", "5551000", "1"]).await;
        s.test.execute("INSERT INTO ara_queue_log (time, event, queuename) VALUES ('soon', 'CONNECT', 'acme-support')").await.unwrap();
        s.test.execute("INSERT INTO ara_queue_log (time, event, queuename) VALUES ('2026-11-23 10:00:00', 'QUEUESTART', 'NONE')").await.unwrap();
        s.log(0, "1.1", "NONE", "ENTERQUEUE", ["", "5551000", "1"]).await;
        s.take().await;
        let live = desk.app.get(&format!("/queues/{queue}/live"), &desk.viewer).await.expect(200).body;
        assert_eq!((&live["waiting_count"], &live["waiting"][0]["caller_number"]), (&json!(1), &json!("5551000")));

        // Two nodes at once, more than one look takes.
        for n in 0..60 {
            s.log(n, &format!("2.{n}"), "NONE", "ENTERQUEUE", ["", "5551000", "1"]).await;
            s.log(n + 500, &format!("2.{n}"), "NONE", "ABANDON", ["1", "1", "0"]).await;
        }
        for _ in 0..20 {
            s.add_contact("acme-101^3B@a", 300).await.unwrap();
            s.test.execute("DELETE FROM ara_ps_contacts").await.unwrap();
        }
        let other = node(desk);
        tokio::join!(s.scene.realtime.take_notes(), other.take_notes());
        s.take().await;
        assert_eq!(s.test.number("SELECT COUNT(*) FROM queue_log").await, 121);
        assert_eq!(s.test.number("SELECT COUNT(*) FROM events WHERE kind = 'queue.caller_left'").await, 60);
        assert_eq!(s.test.number("SELECT COUNT(*) FROM events WHERE kind = 'queue.caller_joined'").await, 61);
        let (on, off) = ("endpoint.registered", "endpoint.unregistered");
        assert_eq!(s.scene.events().await, [on, off].repeat(20));
    }
}

/// The path of the member that is not paused.
async fn members_path(s: &Odbc, members: &str) -> String {
    let row = s.rows("ara_queue_members").await.into_iter().find(|row| row["paused"] == "0").unwrap();
    format!("{members}/{}", row["uniqueid"])
}
