//! What Asterisk asks and writes over HTTP, on both databases: recorded questions, registrations from the first to the last
//! word, and what becomes of both while the database is away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookswitch::base::role::Role;
use hookswitch::base::secret::Secret;
use hookswitch::base::shutdown;
use hookswitch::calls::open::is_alone;
use hookswitch::calls::store::position;
use hookswitch::config::limits::journal::SEGMENT_BYTES;
use hookswitch::db::Tx;
use hookswitch::journal::{Folder, Journal, Options};
use hookswitch::realtime::{Parts, Realtime, routes};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::api::telephony::Desk;
use crate::support::{Kind, TestDb, both_databases, eventually};

pub(crate) const TOKEN: &str = "a token of tests";

pub(crate) struct Scene {
    pub(crate) desk: Desk,
    pub(crate) realtime: Arc<Realtime>,
    routes: Router,
    password: String,
    pub(crate) endpoint: String,
}

/// A service's end towards Asterisk; a second one is another node's.
pub(crate) fn node(desk: &Desk) -> Arc<Realtime> {
    with_journal(desk, None)
}

fn with_journal(desk: &Desk, kept: Option<Journal>) -> Arc<Realtime> {
    let gate = &desk.app.gate;
    Realtime::new(Parts {
        db: gate.db.clone(),
        router: Arc::clone(&gate.routing),
        clock: gate.clock.clone(),
        events: Arc::clone(&gate.events),
        token: Some(Secret::new(TOKEN.to_owned())),
        kept,
    })
}

/// The same with a journal for what Asterisk delivers while the database is away.
async fn keeping_node(desk: &Desk) -> Arc<Realtime> {
    let gate = &desk.app.gate;
    let options = Options {
        folder: desk.app.test.folder().join("journal-asterisk"),
        max_bytes: 1024 * 1024,
        segment_bytes: SEGMENT_BYTES,
        sync: Duration::from_millis(1),
        deadline: Duration::from_secs(20),
    };
    // The threads of the journal before it may still be ending: they hold the lock.
    let folder =
        eventually("the folder", async || Folder::take(options.clone(), || gate.ids.next()).ok()).await;
    let position = position(&desk.app.test.db, folder.node()).await.unwrap();
    with_journal(desk, Some(folder.open(position).unwrap()))
}

impl Scene {
    pub(crate) async fn new(test: Arc<TestDb>) -> Self {
        let desk = Desk::new(test).await;
        let realtime = keeping_node(&desk).await;
        desk.make("/mailboxes", json!({"name": "101", "display_name": "Nina"})).await;
        let made =
            desk.make("/endpoints", json!({"name": "101", "display_name": "Nina", "mailbox": "101"})).await;
        let (password, endpoint) = (made.text("password"), made.id());
        let routes = routes(Arc::clone(&realtime));
        Self { desk, realtime, routes, password, endpoint }
    }

    /// Moves what was kept into the database.
    async fn settle(&self) {
        let (stopper, keep) = shutdown::channel();
        stopper.stop();
        assert_eq!(self.realtime.move_kept(keep).await, 0);
    }

    /// Whoever holds this keeps everybody from writing what Asterisk delivers.
    async fn lock(&self) -> Tx {
        let mut tx = self.desk.app.test.db.begin().await.unwrap();
        if self.desk.app.test.kind == Kind::MySql {
            for sql in [
                "SELECT id FROM endpoints FOR UPDATE",
                "SELECT id FROM queues FOR UPDATE",
                "SELECT at FROM queue_log FOR UPDATE",
            ] {
                hookswitch::db::db_tx!(&mut tx, |c| sqlx::query(sql).fetch_all(c).await.map(drop)).unwrap();
            }
        }
        tx
    }

    /// The registrations of phone 101, with what each says of itself.
    async fn contacts(&self) -> BTreeMap<String, String> {
        let rows = self.ask("ps_contacts/multi", "id%20LIKE=acme-101%3B%40%25").await;
        let text = |row: &[(String, String)], column: &str| value(row, column).unwrap_or_default().to_owned();
        rows.iter().map(|row| (text(row, "id"), text(row, "user_agent"))).collect()
    }

    pub(crate) async fn send(&self, path: &str, body: &str, who: &str) -> (StatusCode, String) {
        let request = Request::post(format!("/asterisk/realtime/{path}"))
            .header(header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(who)))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body.to_owned()))
            .unwrap();
        let answer = self.routes.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// The lines of an answer, as columns.
    pub(crate) async fn ask(&self, path: &str, body: &str) -> Vec<Vec<(String, String)>> {
        let (status, text) = self.send(path, body, &format!("asterisk:{TOKEN}")).await;
        assert_eq!(status, StatusCode::OK, "{path} {body}: {text}");
        text.lines().map(|line| url::form_urlencoded::parse(line.as_bytes()).into_owned().collect()).collect()
    }

    pub(crate) async fn told(&self, path: &str, body: &str) -> String {
        let (status, text) = self.send(path, body, &format!("asterisk:{TOKEN}")).await;
        assert_eq!(status, StatusCode::OK, "{path} {body}: {text}");
        text
    }

    /// As Asterisk writes a registration that runs out then.
    pub(crate) async fn register(&self, hash: &str, seconds: i64) -> String {
        let until = self.desk.app.clock.now_us() / 1_000_000 + seconds;
        let body = format!(
            "id=acme-101%3B%40{hash}&via_addr=127.0.0.1&qualify_timeout=3.000000&qualify_2xx_only=false&\
             call_id=1-10215%40127.0.0.1&reg_server=labpbx&prune_on_boot=no&path=&endpoint=acme-101&via_port=15301&\
             authenticate_qualify=no&uri=sip%3Aacme-101%40127.0.0.1%3A15600&qualify_frequency=60&user_agent=sipp-phone&\
             expiration_time={until}&outbound_proxy="
        );
        self.told("ps_contacts/store", &body).await
    }

    pub(crate) async fn shown(&self) -> Value {
        self.desk.app.get(&format!("/endpoints/{}", self.endpoint), &self.desk.viewer).await.expect(200).body
    }

    pub(crate) async fn events(&self) -> Vec<String> {
        let list = self
            .desk
            .app
            .get("/events?types=endpoint.registered,endpoint.unregistered", &self.desk.viewer)
            .await;
        let list = list.expect(200).body;
        list["data"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap().to_owned()).collect()
    }
}

fn value<'r>(row: &'r [(String, String)], column: &str) -> Option<&'r str> {
    row.iter().find(|(name, _)| name == column).map(|(_, value)| value.as_str())
}

both_databases! {
    /// Who has not the password gets nothing; what there is not is nobody's, and no error.
    async fn who_may_ask_what(test) {
        let s = Scene::new(test).await;
        for who in ["asterisk:wrong", "root:a token of tests", "", "asterisk:a token of tests "] {
            let (status, text) = s.send("ps_auths/single", "id=acme-101", who).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{who}");
            assert!(!text.contains(&s.password));
        }
        for (path, body) in [
            ("ps_endpoints/single", "id=acme-101%40127.0.0.1"),
            ("ps_endpoints/single", "id=5551000"),
            ("ps_endpoints/single", "id=globex-101"),
            ("ps_endpoints/single", "id=nobody-101"),
            ("ps_endpoints/single", "id=acme-101%27%20OR%20%271%27%3D%271"),
            ("ps_contacts/multi", "id%20LIKE=phone1%3B%40%25"),
            ("voicemail/single", "mailbox=101"),
            ("queues/single", "name=acme-support"),
            ("musiconhold/single", "name=default"),
        ] {
            assert!(s.ask(path, body).await.is_empty(), "{path} {body}");
        }
        assert_eq!(s.told("queue_members/require", "paused=integer1%3A1&uniqueid=uinteger2%3A5").await, "0");
        assert_eq!(s.told("queue_log/require", "time=datetime%3A26&data1=char%3A20").await, "-1");
        for (path, body, status) in [
            ("users/single", "id=1", StatusCode::NOT_FOUND),
            ("ps_auths/update", "password=x", StatusCode::NOT_FOUND),
            ("ps_auths/destroy", "id=acme-101", StatusCode::NOT_FOUND),
            ("ps_endpoints/multi", "id%20BETWEEN=1", StatusCode::BAD_REQUEST),
            ("ps_contacts/store", "uri=sip%3Ax", StatusCode::BAD_REQUEST),
            ("ps_contacts/store", "id=acme-101%3B%401&expiration_time=soon", StatusCode::BAD_REQUEST),
        ] {
            let (answered, text) = s.send(path, body, &format!("asterisk:{TOKEN}")).await;
            assert_eq!(answered, status, "{path} {body}: {text}");
        }
        assert_eq!(s.told("ps_contacts/store", "id=nobody-101%3B%401&uri=sip%3Ax&expiration_time=1").await, "0");
    }

    /// An endpoint's three rows, a mailbox's and a queue's, each as new as the last change.
    async fn rows_are_as_new_as_the_last_change(test) {
        let s = Scene::new(test).await;
        let auth = s.ask("ps_auths/single", "id=acme-101").await.remove(0);
        assert_eq!(value(&auth, "password"), Some(s.password.as_str()));
        let phone = s.ask("ps_endpoints/single", "id=acme-101").await.remove(0);
        assert_eq!(value(&phone, "callerid"), Some("\"Nina\" <101>"));
        assert_eq!((value(&phone, "mailboxes"), value(&phone, "rewrite_contact")), (Some("101@acme"), Some("yes")));
        assert_eq!(value(&phone, "tenant_id"), None, "what is ours alone");
        assert_eq!(value(&phone, "transport"), None, "what is not set");
        let aor = s.ask("ps_aors/single", "id=acme-101").await.remove(0);
        assert_eq!((value(&aor, "max_contacts"), value(&aor, "qualify_frequency")), (Some("1"), Some("60")));
        let mailbox = s.ask("voicemail/single", "mailbox=101&context=acme").await.remove(0);
        assert_eq!(value(&mailbox, "fullname"), Some("Nina"));
        assert!(s.ask("voicemail/single", "mailbox=101&context=globex").await.is_empty());

        let desk = &s.desk;
        let secret = desk.app.post(&format!("/endpoints/{}/secret", s.endpoint), &desk.admin, json!({})).await;
        let auth = s.ask("ps_auths/single", "id=acme-101").await.remove(0);
        assert_eq!(value(&auth, "password"), Some(secret.expect(200).text("password").as_str()));
        let path = format!("/endpoints/{}", s.endpoint);
        desk.app.patch(&path, &desk.admin, json!({"display_name": "Nora"})).await.expect(200);
        let phone = s.ask("ps_endpoints/single", "id=acme-101").await.remove(0);
        assert_eq!(value(&phone, "callerid"), Some("\"Nora\" <101>"));

        let queue = desk.make("/queues", json!({"name": "support", "timeout_s": 7, "join_empty": "strict"})).await;
        let row = s.ask("queues/single", "name=acme-support").await.remove(0);
        assert_eq!((value(&row, "timeout"), value(&row, "joinempty")), (Some("7"), Some("strict")));
        assert!(s.ask("queue_members/multi", "interface%20LIKE=%25&queue_name=acme-support").await.is_empty());
        let members = format!("/queues/{}/members", queue.id());
        let member = desk.make(&members, json!({"endpoint_id": s.endpoint, "penalty": 2})).await;
        let row = s.ask("queue_members/multi", "interface%20LIKE=%25&queue_name=acme-support").await.remove(0);
        assert_eq!((value(&row, "interface"), value(&row, "penalty")), (Some("PJSIP/acme-101"), Some("2")));
        assert_eq!((value(&row, "paused"), value(&row, "uniqueid")), (Some("0"), Some(member.id().as_str())));
        assert_eq!(s.ask("queue_members/multi", "interface%20LIKE=%25&queue_name%20LIKE=%25").await.len(), 1);

        // Asterisk pauses a member and says why; nobody else's.
        let update = format!("queue_members/update?uniqueid={}", member.id());
        assert_eq!(s.told(&update, "paused=1&reason_paused=wrap-up").await, "1");
        let path = format!("{members}/{}", member.id());
        let shown = desk.app.get(&path, &desk.viewer).await.expect(200).body;
        assert_eq!((&shown["paused"], &shown["pause_reason"]), (&json!(true), &json!("wrap-up")));
        let row = s.ask("queue_members/multi", "interface%20LIKE=%25&queue_name=acme-support").await.remove(0);
        assert_eq!((value(&row, "paused"), value(&row, "reason_paused")), (Some("1"), Some("wrap-up")));
        assert_eq!(s.told("queue_members/update?uniqueid=01kb2x8v9q3d5s7f1g4h6j8k0m", "paused=1").await, "0");

        // Out of service it is not there any more, and no member.
        desk.app.patch(&format!("/endpoints/{}", s.endpoint), &desk.admin, json!({"status": "inactive"})).await.expect(200);
        for table in ["ps_endpoints", "ps_auths", "ps_aors"] {
            assert!(s.ask(&format!("{table}/single"), "id=acme-101").await.is_empty(), "{table}");
        }
        assert!(s.ask("queue_members/multi", "interface%20LIKE=%25&queue_name=acme-support").await.is_empty());
    }

    /// An agent who has a break is paused in the queues, one who logs out is no member, one who is back rings.
    async fn queues_follow_their_agents(test) {
        let s = Scene::new(test).await;
        let desk = &s.desk;
        let queue = desk.make("/queues", json!({"name": "support"})).await;
        let members = format!("/queues/{}/members", queue.id());
        let me = desk.app.get("/auth/me", &desk.agent).await.expect(200);
        let user = me.body["user"]["id"].as_str().unwrap().to_owned();
        let member = desk.make(&members, json!({"endpoint_id": s.endpoint, "user_id": user})).await;
        let asked = async || {
            let rows = s.ask("queue_members/multi", "interface%20LIKE=%25&queue_name=acme-support").await;
            rows.first().map(|row| (value(row, "paused").unwrap().to_owned(), value(row, "reason_paused").unwrap_or_default().to_owned()))
        };
        let shown = async || {
            let live = desk.app.get(&format!("/queues/{}/live", queue.id()), &desk.viewer).await.expect(200).body;
            live["members"][0].clone()
        };
        let is = |paused: &str, why: &str| Some((paused.to_owned(), why.to_owned()));
        assert_eq!(asked().await, is("0", ""));
        for (given, row, state) in [
            (json!({"state": "break"}), is("1", "break"), "paused"),
            (json!({"reason": "lunch"}), is("1", "lunch"), "paused"),
            (json!({"state": "offline"}), None, "offline"),
            (json!({"state": "available"}), is("0", ""), "idle"),
            (json!({"state": "dnd", "reason": null}), is("1", "dnd"), "paused"),
            (json!({"state": "busy"}), is("0", ""), "idle"),
        ] {
            desk.app.patch("/agents/me", &desk.agent, given.clone()).await.expect(200);
            assert_eq!(asked().await, row, "{given}");
            assert_eq!(shown().await["state"], state, "{given}");
        }
        // The member's own pause is another thing, and stays.
        desk.app.patch(&format!("{members}/{}", member.id()), &desk.supervisor, json!({"paused": true, "pause_reason": "training"})).await.expect(200);
        assert_eq!(asked().await, is("1", "training"));
        desk.app.patch("/agents/me", &desk.agent, json!({"state": "away"})).await.expect(200);
        assert_eq!(asked().await, is("1", "training"));
        desk.app.patch(&format!("{members}/{}", member.id()), &desk.supervisor, json!({"paused": false})).await.expect(200);
        assert_eq!(asked().await, is("1", "away"));
        assert_eq!(shown().await["pause_reason"], "away");
        // Whoever has no state works.
        let agents = desk.app.get("/agents", &desk.supervisor).await.expect(200).body;
        let id = agents["data"][0]["id"].as_str().unwrap().to_owned();
        desk.app.delete(&format!("/agents/{id}"), &desk.supervisor).await.expect(204);
        assert_eq!(asked().await, is("0", ""));
    }

    /// A browser is set up as one; several phones may share an endpoint.
    async fn what_an_endpoint_is_made_as(test) {
        let s = Scene::new(test).await;
        let desk = &s.desk;
        let body = json!({"name": "102", "template": "webrtc", "max_registrations": 3});
        let made = desk.make("/endpoints", body).await;
        let phone = s.ask("ps_endpoints/single", "id=acme-102").await.remove(0);
        assert_eq!((value(&phone, "webrtc"), value(&phone, "dtls_auto_generate_cert")), (Some("yes"), Some("yes")));
        let contacts = async |id: &str| {
            let aor = s.ask("ps_aors/single", &format!("id={id}")).await.remove(0);
            value(&aor, "max_contacts").unwrap().to_owned()
        };
        assert_eq!(contacts("acme-102").await, "3");
        let path = format!("/endpoints/{}", made.id());
        desk.app.patch(&path, &desk.admin, json!({"max_registrations": 2})).await.expect(200);
        assert_eq!(contacts("acme-102").await, "2");
        desk.app.patch(&path, &desk.admin, json!({"template": "desk"})).await.expect(422);
        desk.app.patch(&path, &desk.admin, json!({"max_registrations": 11})).await.expect(422);
        let phone = s.ask("ps_endpoints/single", "id=acme-101").await.remove(0);
        assert_eq!(value(&phone, "webrtc"), None);
        assert_eq!(contacts("acme-101").await, "1");
    }

    /// Addresses are one trunk's on the whole platform, and given by who runs it alone.
    async fn a_trunk_is_known_by_its_addresses(test) {
        let s = Scene::new(test).await;
        let desk = &s.desk;
        let root = desk.app.token(Role::Superadmin, "acme").await;
        let there = desk.app.token(Role::Superadmin, "globex").await;
        let known = async || {
            let rows = s.ask("ps_endpoint_id_ips/multi", "id%20LIKE=%25").await;
            rows.iter().map(|row| format!("{} {}", value(row, "endpoint").unwrap(), value(row, "match").unwrap())).collect::<Vec<_>>()
        };
        let later = || desk.app.wait(Duration::from_millis(1_001));
        let trunk = |addresses: Value| json!({"name": "carrier", "template": "trunk", "addresses": addresses});
        desk.app.post("/endpoints", &desk.admin, trunk(json!(["198.51.100.7"]))).await.expect(422);
        desk.app.post("/endpoints", &root, json!({"name": "9", "addresses": ["198.51.100.7"]})).await.expect(422);
        desk.app.post("/endpoints", &root, trunk(json!(["198.51.100.7", "198.51.100.0/28"]))).await.expect(422);
        assert!(known().await.is_empty());
        let made = desk.app.post("/endpoints", &root, trunk(json!(["198.51.100.7/28", "2001:db8::1"]))).await.expect(201);
        assert_eq!(made.body["addresses"], json!(["198.51.100.0/28", "2001:db8::1/128"]));
        assert!(known().await.is_empty(), "as new as a second ago");
        later();
        assert_eq!(known().await, ["acme-carrier 198.51.100.0/28", "acme-carrier 2001:db8::1/128"]);
        let row = s.ask("ps_endpoints/single", "id=acme-carrier").await.remove(0);
        assert_eq!((value(&row, "context"), value(&row, "callerid")), (Some("hookswitch-inbound"), None));
        assert_eq!((value(&row, "identify_by"), value(&row, "auth")), (Some("ip"), None), "nobody else can be it");
        // Nobody else gets them, nor a part of them, nor what holds them.
        for taken in ["198.51.100.7", "198.51.100.0/24", "2001:db8::1"] {
            desk.app.post("/endpoints", &there, trunk(json!([taken]))).await.expect(422);
        }
        desk.app.post("/endpoints", &there, trunk(json!(["203.0.113.5"]))).await.expect(201);
        // The tenant may do everything else with it, and keep or give up its addresses.
        let path = format!("/endpoints/{}", made.id());
        desk.app.patch(&path, &desk.admin, json!({"display_name": "Carrier", "addresses": ["198.51.100.0/28", "2001:db8::1/128"]})).await.expect(200);
        desk.app.patch(&path, &desk.admin, json!({"addresses": ["198.51.100.0/29"]})).await.expect(422);
        desk.app.patch(&path, &root, json!({"addresses": ["198.51.100.0/29"]})).await.expect(200);
        later();
        assert_eq!(known().await, ["acme-carrier 198.51.100.0/29", "globex-carrier 203.0.113.5/32"]);
        desk.app.patch(&path, &desk.admin, json!({"status": "inactive"})).await.expect(200);
        later();
        assert_eq!(known().await, ["globex-carrier 203.0.113.5/32"]);
        desk.app.patch(&path, &desk.admin, json!({"status": "active"})).await.expect(200);
        desk.app.patch(&path, &desk.admin, json!({"contact": "sip:198.51.100.1"})).await.expect(422);
        desk.app.patch(&path, &root, json!({"contact": "sip:198.51.100.1;transport=tls"})).await.expect(422);
        desk.app.patch(&path, &root, json!({"contact": "sip:198.51.100.1"})).await.expect(200);
        let aor = s.ask("ps_aors/single", "id=acme-carrier").await.remove(0);
        assert_eq!(value(&aor, "contact"), Some("sip:198.51.100.1"));
        // Without addresses it signs in.
        desk.app.patch(&path, &desk.admin, json!({"addresses": []})).await.expect(200);
        let row = s.ask("ps_endpoints/single", "id=acme-carrier").await.remove(0);
        assert_eq!((value(&row, "identify_by"), value(&row, "auth")), (Some("auth_username,username"), Some("acme-carrier")));
        later();
        assert_eq!(known().await, ["globex-carrier 203.0.113.5/32"]);

        // Numbers outside go through it.
        let rule = |trunk: &str| json!({"prefix": "+4930", "allowed": true, "trunk": trunk});
        desk.app.post("/outbound-rules", &desk.admin, rule("nothing")).await.expect(422);
        desk.app.post("/outbound-rules", &desk.admin, rule("101")).await.expect(422);
        let rule = desk.app.post("/outbound-rules", &desk.admin, rule("carrier")).await.expect(201);
        desk.app.delete(&path, &desk.admin).await.expect(409);
        let rule = format!("/outbound-rules/{}", rule.id());
        desk.app.patch(&rule, &desk.admin, json!({"trunk": null})).await.expect(200);
        desk.app.delete(&path, &desk.admin).await.expect(204);
        desk.app.post("/endpoints", &there, json!({"name": "other", "template": "trunk", "addresses": ["198.51.100.0/29"]})).await.expect(201);
    }

    /// Asterisk asks for all when it starts.
    async fn everything_at_once(test) {
        let s = Scene::new(test).await;
        s.desk.app.post("/endpoints", &s.desk.other, json!({"name": "101"})).await.expect(201);
        s.desk.make("/endpoints", json!({"name": "102"})).await;
        let all = s.ask("ps_endpoints/multi", "id%20LIKE=%25").await;
        let ids: Vec<_> = all.iter().map(|row| value(row, "id").unwrap()).collect();
        assert_eq!(ids, ["acme-101", "acme-102", "globex-101"]);
        assert_eq!(s.ask("ps_aors/multi", "id%20LIKE=%25").await.len(), 3);
        let lamps = s.ask("ps_endpoints/multi", "mailboxes%20!%3D=").await;
        assert_eq!(lamps.iter().map(|row| value(row, "id").unwrap()).collect::<Vec<_>>(), ["acme-101"]);
        assert_eq!(s.ask("ps_endpoints/multi", "id%20LIKE=globex-%25").await.len(), 1);
    }

    /// Registered, renewed, registered elsewhere, signed off, run out: told when it begins and when it ends.
    async fn a_registration_from_the_first_to_the_last_word(test) {
        let s = Scene::new(test).await;
        assert_eq!((s.shown().await["registered"].clone(), s.events().await.len()), (json!(false), 0));
        assert_eq!(s.register("a", 60).await, "1");
        let shown = s.shown().await;
        assert_eq!((&shown["registered"], &shown["registered_since"]), (&json!(true), &json!("2026-11-23T10:00:00Z")));
        let of = "id%20LIKE=acme-101%3B%40%25";
        let row = s.ask("ps_contacts/multi", of).await.remove(0);
        assert_eq!((value(&row, "id"), value(&row, "via_port")), (Some("acme-101;@a"), Some("15301")));
        assert_eq!(value(&row, "outbound_proxy"), None);
        s.desk.app.wait(Duration::from_secs(30));
        let until = s.desk.app.clock.now_us() / 1_000_000 + 60;
        assert_eq!(s.told("ps_contacts/update?id=acme-101%3B%40a", &format!("expiration_time={until}")).await, "1");
        let row = s.ask("ps_contacts/multi", of).await.remove(0);
        assert_eq!(value(&row, "uri"), Some("sip:acme-101@127.0.0.1:15600"), "what was not told stays");
        assert_eq!(s.register("b", 300).await, "1");
        assert_eq!(s.ask("ps_contacts/multi", of).await.len(), 2);
        assert_eq!(s.ask("ps_contacts/multi", "id%20LIKE=%25").await.len(), 2);
        assert_eq!(s.ask("ps_contacts/single", "id=acme-101%3B%40b").await.len(), 1);
        assert_eq!(s.shown().await["registered_since"], "2026-11-23T10:00:00Z");
        assert_eq!(s.told("ps_contacts/destroy", "id=acme-101%3B%40b&").await, "1");
        assert_eq!((s.shown().await["registered"].clone(), s.events().await.len()), (json!(true), 1));
        // The one that is left runs out; whoever renews just in time stays.
        s.desk.app.wait(Duration::from_secs(59));
        s.realtime.expire().await;
        assert_eq!(s.shown().await["registered"], true);
        s.desk.app.wait(Duration::from_secs(2));
        s.realtime.expire().await;
        let shown = s.shown().await;
        assert_eq!((&shown["registered"], &shown["registered_since"]), (&json!(false), &Value::Null));
        s.realtime.expire().await;
        assert_eq!(s.events().await, ["endpoint.registered", "endpoint.unregistered"]);
        assert_eq!(s.register("a", 60).await, "1");
        // Gone with the endpoint.
        s.desk.app.delete(&format!("/endpoints/{}", s.endpoint), &s.desk.admin).await.expect(204);
        assert!(s.ask("ps_contacts/multi", of).await.is_empty());
        assert_eq!(s.register("a", 60).await, "0");
    }

    /// What was asked before is answered without the database; what Asterisk writes waits, and is answered too.
    async fn while_the_database_is_away(test) {
        let s = Scene::new(test).await;
        s.desk.make("/queues", json!({"name": "support"})).await;
        let asked = [
            ("ps_endpoints/single", "id=acme-101"),
            ("ps_auths/single", "id=acme-101"),
            ("ps_aors/single", "id=acme-101"),
            ("queues/single", "name=acme-support"),
            ("voicemail/single", "mailbox=101&context=acme"),
            ("ps_contacts/multi", "id%20LIKE=acme-101%3B%40%25"),
        ];
        s.register("a", 60).await;
        let mut before = Vec::new();
        for (path, body) in asked {
            before.push(s.ask(path, body).await);
        }
        s.desk.app.gate.db.close().await;
        for ((path, body), before) in asked.iter().zip(&before) {
            assert_eq!(s.ask(path, body).await, *before, "{path}");
        }
        assert_eq!(s.register("b", 60).await, "1");
        assert_eq!(s.told("ps_contacts/destroy", "id=acme-101%3B%40a").await, "1");
        let rows = s.ask("ps_contacts/multi", "id%20LIKE=acme-101%3B%40%25").await;
        assert_eq!(rows.iter().map(|row| value(row, "id").unwrap()).collect::<Vec<_>>(), ["acme-101;@b"]);
        // What nobody asked before can't be told.
        let (status, _) = s.send("ps_endpoints/multi", "id%20LIKE=%25", &format!("asterisk:{TOKEN}")).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }

    /// What Asterisk said last is what it is told, whether it is in the database, waits, or is just moving there.
    async fn the_last_word_on_a_registration_counts(test) {
        let s = Scene::new(test).await;
        let mut is = BTreeMap::new();
        for step in 0_u64..64 {
            let tx = if step % 16 < 8 { Some(s.lock().await) } else { None };
            for part in 0..2 {
                // Any order that is the same each time.
                let dice = ((step * 2 + part) * 2_654_435_761) >> 7;
                let (hash, agent) = (["a", "b", "c"][(dice % 3) as usize], format!("phone {step} {part}"));
                let (id, told) = (format!("acme-101;@{hash}"), agent.replace(' ', "%20"));
                match (dice / 3) % 3 {
                    0 => {
                        assert_eq!(s.told("ps_contacts/destroy", &format!("id=acme-101%3B%40{hash}&")).await, "1");
                        is.remove(&id);
                    }
                    1 if is.contains_key(&id) => {
                        let path = format!("ps_contacts/update?id=acme-101%3B%40{hash}");
                        assert_eq!(s.told(&path, &format!("user_agent={told}")).await, "1");
                        is.insert(id, agent);
                    }
                    _ => {
                        let body = format!("id=acme-101%3B%40{hash}&uri=sip%3Ax&expiration_time=4000000000&user_agent={told}");
                        assert_eq!(s.told("ps_contacts/store", &body).await, "1");
                        is.insert(id, agent);
                    }
                }
                assert_eq!(s.contacts().await, is, "in step {step}");
            }
            drop(tx);
            if step % 4 == 3 {
                let asking = async {
                    for _ in 0..10 {
                        assert_eq!(s.contacts().await, is, "while it moves, after step {step}");
                    }
                };
                tokio::join!(s.settle(), asking);
            }
        }
        s.settle().await;
        let ids: Vec<String> = is.keys().cloned().collect();
        assert_eq!(s.desk.app.test.texts("SELECT id FROM ps_contacts ORDER BY id").await, ids);
        assert_eq!(s.shown().await["registered"], !is.is_empty());
        s.desk.app.gate.db.close().await;
        assert_eq!(s.contacts().await, is, "what moved is known without the database");
    }

    /// A phone renews while nothing can be written: nobody takes its registration for one that ran out, neither Asterisk, which
    /// looks for those by itself, nor the service.
    async fn whoever_renewed_in_time_stays(test) {
        let s = Scene::new(test).await;
        s.register("a", 60).await;
        s.register("c", 60).await;
        let tx = s.lock().await;
        let until = s.desk.app.clock.now_us() / 1_000_000 + 3_600;
        assert_eq!(s.told("ps_contacts/update?id=acme-101%3B%40a", &format!("expiration_time={until}")).await, "1");
        assert_eq!(s.register("b", 3_600).await, "1");
        assert_eq!(s.told("ps_contacts/destroy", "id=acme-101%3B%40c&").await, "1");
        s.desk.app.wait(Duration::from_secs(100));
        let now = s.desk.app.clock.now_us() / 1_000_000;
        let over = async || s.ask("ps_contacts/multi", &format!("expiration_time%20%3C%3D={now}")).await.len();
        assert_eq!(over().await, 0);
        let all = s.ask("ps_contacts/multi", "id%20LIKE=%25").await;
        let shown: Vec<_> = all.iter().map(|row| (value(row, "id").unwrap(), value(row, "expiration_time").unwrap(), value(row, "via_port"))).collect();
        let until = until.to_string();
        assert_eq!(shown, [("acme-101;@a", until.as_str(), Some("15301")), ("acme-101;@b", until.as_str(), Some("15301"))]);
        drop(tx);
        s.realtime.expire().await;
        assert_eq!((s.shown().await["registered"].clone(), s.events().await.len()), (json!(true), 1));
        s.settle().await;
        s.realtime.expire().await;
        assert_eq!((s.shown().await["registered"].clone(), s.events().await.len(), over().await), (json!(true), 1, 0));
        assert_eq!(s.desk.app.test.texts("SELECT id FROM ps_contacts ORDER BY id").await, ["acme-101;@a", "acme-101;@b"]);
    }

    /// The process dies while the database is away: what Asterisk had delivered comes into it after all, in its order, and
    /// what comes meanwhile goes behind it.
    async fn what_asterisk_delivered_outlives_the_process(test) {
        let mut s = Scene::new(test).await;
        s.desk.make("/queues", json!({"name": "support"})).await;
        s.register("a", 60).await;
        s.ask("ps_contacts/multi", "id%20LIKE=acme-101%3B%40%25").await;
        let tx = s.lock().await;
        let log = |event: &str, call: &str| {
            format!("time=2026-11-22%2011%3A21%3A37.5&event={event}&agent=NONE&queuename=acme-support&callid={call}&data1=&data2=5551000&data3=1")
        };
        assert_eq!(s.register("b", 60).await, "1");
        assert_eq!(s.told("ps_contacts/destroy", "id=acme-101%3B%40a").await, "1");
        assert_eq!(s.told("queue_log/store", &log("ENTERQUEUE", "one")).await, "1");
        assert_eq!(s.told("ps_contacts/update?id=acme-101%3B%40b", "user_agent=another").await, "1");
        let rows = s.ask("ps_contacts/multi", "id%20LIKE=acme-101%3B%40%25").await;
        assert_eq!(rows.len(), 1);
        assert_eq!((value(&rows[0], "id"), value(&rows[0], "user_agent"), value(&rows[0], "via_port")), (Some("acme-101;@b"), Some("another"), Some("15301")));
        assert_eq!(s.desk.app.test.texts("SELECT id FROM ps_contacts").await, ["acme-101;@a"]);
        // Killed, and started again while the database is still away.
        s.routes = Router::new();
        s.realtime = node(&s.desk);
        s.realtime = keeping_node(&s.desk).await;
        s.routes = routes(Arc::clone(&s.realtime));
        let (stopper, keep) = shutdown::channel();
        let tasks = s.realtime.start(&keep);
        assert_eq!(s.told("queue_log/store", &log("ABANDON", "one")).await, "1");
        assert_eq!(s.desk.app.test.texts("SELECT event FROM queue_log").await, [""; 0]);
        drop(tx);
        let test = &s.desk.app.test;
        eventually("what was delivered", async || (test.number("SELECT COUNT(*) FROM queue_log").await == 2).then_some(())).await;
        assert_eq!(test.texts("SELECT id FROM ps_contacts").await, ["acme-101;@b"]);
        assert_eq!(test.texts("SELECT user_agent FROM ps_contacts").await, ["another"]);
        assert_eq!(test.texts("SELECT event FROM queue_log ORDER BY created_at, event DESC").await, ["ENTERQUEUE", "ABANDON"]);
        assert_eq!(s.events().await, ["endpoint.registered"], "it was registered all the time");
        assert_eq!(test.number("SELECT COUNT(*) FROM journal_positions WHERE sequence > 0").await, 1);
        assert!(is_alone(&test.db, &s.desk.app.gate.ids.next(), 1).await.unwrap(), "its journal is no other process");
        assert_eq!(s.register("b", 0).await, "1");
        stopper.stop();
        for task in tasks {
            task.await.unwrap();
        }
    }
}
