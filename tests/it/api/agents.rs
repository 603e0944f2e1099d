//! Agents whose phones move them: states, their log and report, hot desks, capacity, screen pops.

use std::time::Duration;

use hookswitch::agents::{self, AgentState, PhoneNews, PhoneState, phone_changed, wrapup};
use hookswitch::base::ids::Id;
use hookswitch::base::role::Role;
use serde_json::{Value, json};

use super::app::{Answer, Person};
use super::telephony::Desk;
use crate::support::{both_databases, name, tenant};

/// A desk with two agents, phones 101 and 102, and a queue with a rest of 30 s.
pub(crate) struct Floor {
    pub(crate) desk: Desk,
    pub(crate) ann: Person,
    pub(crate) ben: Person,
    pub(crate) queue: String,
    pub(crate) phones: [String; 2],
}

impl Floor {
    pub(crate) async fn new(test: std::sync::Arc<crate::support::TestDb>) -> Self {
        let desk = Desk::new(test).await;
        let queue = desk.make("/queues", json!({"name": "support", "wrapup_s": 30})).await.id();
        let phones = [
            desk.make("/endpoints", json!({"name": "101"})).await.id(),
            desk.make("/endpoints", json!({"name": "102"})).await.id(),
        ];
        let (ann, ben) = (desk.app.user(Role::Agent, "acme").await, desk.app.user(Role::Agent, "acme").await);
        Self { desk, ann, ben, queue, phones }
    }

    pub(crate) fn parts(&self) -> agents::Parts {
        let gate = &self.desk.app.gate;
        agents::Parts {
            db: gate.db.clone(),
            ids: gate.ids.clone(),
            clock: gate.clock.clone(),
            events: gate.events.clone(),
        }
    }

    pub(crate) async fn sit(&self, who: &Person, extension: &str) -> Answer {
        self.desk.app.post("/agents/me/login", &who.token, json!({"extension": extension})).await
    }

    pub(crate) fn news(&self, extension: &str, state: PhoneState, call: &str) -> PhoneNews {
        PhoneNews {
            tenant: tenant("acme"),
            endpoint: name(extension),
            state,
            call_id: Id::parse(call).ok(),
            caller_number: "+15557770001".into(),
            caller_name: String::new(),
            queue: Some(name("support")),
            at_us: self.desk.app.clock.now_us(),
        }
    }

    pub(crate) async fn phone(&self, extension: &str, state: PhoneState, call: &str) {
        phone_changed(&self.parts(), &self.news(extension, state, call)).await.unwrap();
    }

    pub(crate) async fn me(&self, who: &Person) -> Value {
        self.desk.app.get("/agents/me", &who.token).await.expect(200).body
    }

    async fn place(&self, who: &Person) -> String {
        let me = self.me(who).await;
        let text = |name: &str| me[name].as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", text("state"), text("phase"), text("reason"))
    }

    async fn set(&self, who: &Person, body: Value) -> Answer {
        self.desk.app.patch("/agents/me", &who.token, body).await
    }

    /// Types, old and new states of what was told of agents.
    async fn told(&self) -> Vec<String> {
        let list = self
            .desk
            .app
            .get("/events?types=agent.state_changed&limit=200", &self.desk.viewer)
            .await
            .expect(200)
            .body;
        let shown = |event: &Value| {
            let data = &event["data"];
            format!(
                "{} > {}",
                data["previous_state"].as_str().unwrap_or("-"),
                data["state"].as_str().unwrap()
            )
        };
        list["data"].as_array().unwrap().iter().map(shown).collect()
    }

    async fn log(&self, agent: &str) -> Vec<Value> {
        let path = format!("/agents/{agent}/states?sort=since&limit=200");
        self.desk.app.get(&path, &self.desk.viewer).await.expect(200).body["data"].as_array().unwrap().clone()
    }

    fn wait(&self, seconds: u64) {
        self.desk.app.wait(Duration::from_secs(seconds));
    }
}

pub(crate) const ONE: &str = "01kb2x8v9q3d5s7f1g4h6j8k0m";
pub(crate) const TWO: &str = "01kb2x8v9q3d5s7f1g4h6j8k0n";

both_databases! {
    /// A talk, its rest, and being free again: told, logged, counted. What comes twice or late changes nothing.
    async fn a_phone_moves_its_agent(test) {
        let f = Floor::new(test).await;
        let sat = f.sit(&f.ann, "101").await.expect(200);
        let agent: AgentState = serde_json::from_value(sat.body.clone()).unwrap();
        assert_eq!((agent.extension.as_ref().unwrap().as_str(), sat.body["reachable"].clone()), ("101", json!(false)));
        f.desk.app.test.execute("UPDATE endpoints SET registered = 1 WHERE name = '101'").await.unwrap();
        assert_eq!(f.me(&f.ann).await["reachable"], true);
        f.wait(10);
        f.phone("101", PhoneState::Ringing, ONE).await;
        assert_eq!(f.place(&f.ann).await, "available free -");
        f.wait(5);
        let talks = f.news("101", PhoneState::Talking, ONE);
        phone_changed(&f.parts(), &talks).await.unwrap();
        phone_changed(&f.parts(), &talks).await.unwrap();
        assert_eq!(f.place(&f.ann).await, "busy talking -");
        assert_eq!(f.me(&f.ann).await["call_id"], ONE);
        f.wait(20);
        f.phone("101", PhoneState::Idle, ONE).await;
        // The same talk again, from a slow line.
        phone_changed(&f.parts(), &talks).await.unwrap();
        assert_eq!(f.place(&f.ann).await, "busy wrapup wrap-up");
        assert_eq!(f.me(&f.ann).await["wrapup_until"], "2026-11-23T10:01:05Z");
        f.wait(29);
        assert_eq!(wrapup::end_due(&f.parts()).await.unwrap(), 0);
        // Nobody looked for a minute, as if the service had been down.
        f.wait(60);
        let parts = f.parts();
        let both = tokio::join!(wrapup::end_due(&parts), wrapup::end_due(&parts));
        assert_eq!(both.0.unwrap() + both.1.unwrap(), 1, "one of two nodes");
        let me = f.me(&f.ann).await;
        assert_eq!((&me["state"], &me["since"], &me["call_id"]), (&json!("available"), &json!("2026-11-23T10:01:05Z"), &json!(null)));
        assert_eq!(f.told().await, ["offline > available", "available > busy", "available > busy", "busy > available"]);

        let log = f.log(agent.id.as_str()).await;
        let shown: Vec<Value> = log.iter().map(|row| json!([row["state"], row["phase"], row["since"], row["until"], row["is_login"]])).collect();
        assert_eq!(json!(shown), json!([
            ["available", "free", "2026-11-23T10:00:00Z", "2026-11-23T10:00:15Z", true],
            ["busy", "talking", "2026-11-23T10:00:15Z", "2026-11-23T10:00:35Z", false],
            ["busy", "wrapup", "2026-11-23T10:00:35Z", "2026-11-23T10:01:05Z", false],
            ["available", "free", "2026-11-23T10:01:05Z", null, false],
        ]));
        let some = format!("/agents/{}/states?since_from=2026-11-23T10:00:15Z&since_before=2026-11-23T10:01:05Z&limit=1", agent.id);
        let page = f.desk.app.get(&some, &f.desk.supervisor).await.expect(200).body;
        assert_eq!((&page["data"][0]["phase"], page["page"]["next"].is_string()), (&json!("wrapup"), true));
        let report = "/agents/report?from=2026-11-23T10:00:00Z&to=2026-11-23T10:01:15Z";
        let line = f.desk.app.get(report, &f.desk.viewer).await.expect(200).body["agents"][0].clone();
        assert_eq!(line, json!({
            "user_id": f.ann.id.as_str(), "available_s": 25, "busy_s": 50, "away_s": 0, "break_s": 0, "offline_s": 0, "dnd_s": 0,
            "talking_s": 20, "wrapup_s": 30, "breaks": [], "talks": 1, "logins": 1,
        }));
    }

    /// What an agent chooses during a call comes true after it; the rest can be made longer, and ended.
    async fn a_choice_during_a_call(test) {
        let f = Floor::new(test).await;
        let id = f.sit(&f.ann, "101").await.expect(200).id();
        f.phone("101", PhoneState::Talking, ONE).await;
        f.wait(5);
        let set = f.set(&f.ann, json!({"state": "break", "reason": "tea"})).await.expect(200);
        assert_eq!((&set.body["state"], &set.body["choice"], &set.body["reason"]), (&json!("busy"), &json!("break"), &json!(null)));
        // Who writes back what is shown chooses nothing.
        f.set(&f.ann, json!({"state": "busy", "max_calls": 2})).await.expect(200);
        f.wait(5);
        f.phone("101", PhoneState::Idle, ONE).await;
        assert_eq!(f.place(&f.ann).await, "break free tea");
        // The phone of one who has a break talks as well; it is a break again behind it, without a rest.
        f.wait(5);
        f.phone("101", PhoneState::Talking, TWO).await;
        assert_eq!(f.place(&f.ann).await, "busy talking -");
        f.wait(5);
        f.phone("101", PhoneState::Idle, TWO).await;
        assert_eq!(f.place(&f.ann).await, "break free tea");
        f.wait(5);
        f.set(&f.ann, json!({"state": "available", "reason": null})).await.expect(200);
        f.desk.app.post("/agents/me/wrapup", &f.ann.token, json!({})).await.expect(409);
        f.phone("101", PhoneState::Talking, ONE).await;
        f.wait(5);
        f.phone("101", PhoneState::Idle, ONE).await;
        let until = f.me(&f.ann).await["wrapup_until"].clone();
        assert_eq!(until, "2026-11-23T10:01:00Z");
        let longer = f.desk.app.post("/agents/me/wrapup", &f.ann.token, json!({"extend_s": 60})).await.expect(200);
        assert_eq!(longer.body["wrapup_until"], "2026-11-23T10:02:00Z");
        let path = format!("/agents/{id}/wrapup");
        f.desk.app.post(&path, &f.ben.token, json!({})).await.expect(403);
        f.desk.app.post(&path, &f.desk.other, json!({})).await.expect(404);
        f.desk.app.post(&path, &f.desk.viewer, json!({})).await.expect(403);
        f.desk.app.post(&path, &f.ann.token, json!({"extend_s": 0})).await.expect(422);
        let longer = f.desk.app.post(&path, &f.desk.supervisor, json!({"extend_s": 1})).await.expect(200);
        assert_eq!(longer.body["wrapup_until"], "2026-11-23T10:02:01Z");
        // A call within the rest ends it, and the next rest is whole.
        f.phone("101", PhoneState::Talking, TWO).await;
        assert_eq!(f.me(&f.ann).await["wrapup_until"], json!(null));
        f.wait(1);
        f.phone("101", PhoneState::Idle, TWO).await;
        f.set(&f.ann, json!({"state": "available"})).await.expect(200);
        assert_eq!(f.place(&f.ann).await, "available free -");
        // Offline during a call: true after it.
        f.phone("101", PhoneState::Talking, ONE).await;
        f.set(&f.ann, json!({"state": "offline"})).await.expect(200);
        assert_eq!(f.place(&f.ann).await, "busy talking -");
        f.wait(1);
        f.phone("101", PhoneState::Idle, ONE).await;
        assert_eq!(f.place(&f.ann).await, "offline free -");
        // Whoever is offline is not moved.
        f.wait(1);
        f.phone("101", PhoneState::Talking, TWO).await;
        assert_eq!(f.place(&f.ann).await, "offline free -");
        // Nobody sits there; no such phone; somebody else's.
        f.phone("102", PhoneState::Talking, ONE).await;
        f.phone("109", PhoneState::Talking, ONE).await;
        let mut foreign = f.news("101", PhoneState::Idle, ONE);
        foreign.tenant = tenant("globex");
        phone_changed(&f.parts(), &foreign).await.unwrap();
        assert_eq!(f.place(&f.ann).await, "offline free -");
    }

    /// The tenant's rest counts where no queue has a say.
    async fn a_rest_without_a_queue(test) {
        let f = Floor::new(test).await;
        f.sit(&f.ann, "101").await.expect(200);
        f.desk.app.test.execute("UPDATE tenants SET wrapup_s = 7 WHERE id = 'acme'").await.unwrap();
        for (queue, until) in [(None, json!("2026-11-23T10:00:07Z")), (Some("support"), json!("2026-11-23T10:00:30Z"))] {
            for state in [PhoneState::Talking, PhoneState::Idle] {
                let mut news = f.news("101", state, ONE);
                // That it is over says nothing of the queue.
                news.queue = queue.filter(|_| state == PhoneState::Talking).map(name);
                phone_changed(&f.parts(), &news).await.unwrap();
            }
            assert_eq!(f.me(&f.ann).await["wrapup_until"], until, "{queue:?}");
        }
    }

    /// Who may see and change what of agents.
    async fn roles_and_tenants(test) {
        let f = Floor::new(test).await;
        let id = f.sit(&f.ann, "101").await.expect(200).id();
        f.sit(&f.ben, "102").await.expect(200);
        f.wait(10);
        let app = &f.desk.app;
        let states = format!("/agents/{id}/states");
        assert_eq!(app.get(&states, &f.ann.token).await.expect(200).body["data"].as_array().unwrap().len(), 1);
        assert_eq!(app.get(&states, &f.ben.token).await.expect(200).body["data"], json!([]));
        app.get(&states, &f.desk.other).await.expect(404);
        let report = async |token: &str, more: &str| {
            let path = format!("/agents/report?from=2026-11-23T10:00:00Z{more}");
            app.get(&path, token).await.expect(200).body["agents"].as_array().unwrap().len()
        };
        assert_eq!((report(&f.desk.viewer, "").await, report(&f.ann.token, "").await, report(&f.desk.other, "").await), (2, 1, 0));
        let only = format!("&user_id={}", f.ben.id);
        assert_eq!((report(&f.desk.viewer, &only).await, report(&f.ann.token, &only).await), (1, 0));
        app.get("/agents/report?from=2026-11-23T10:00:00Z&to=2026-11-23T10:00:00Z", &f.desk.viewer).await.expect(400);
        app.get("/agents/report", &f.desk.viewer).await.expect(400);
        for (path, body) in [("login", json!({"extension": "101"})), ("logout", json!({})), ("wrapup", json!({}))] {
            app.post(&format!("/agents/me/{path}"), &f.desk.viewer, body).await.expect(403);
        }
        let out = format!("/agents/{id}/logout");
        app.post(&out, &f.ben.token, json!({})).await.expect(403);
        app.post(&out, &f.desk.other, json!({})).await.expect(404);
        app.post(&out, &f.desk.supervisor, json!({})).await.expect(200);
        assert_eq!(f.place(&f.ann).await, "offline free -");
        // The log outlives its agent's record, and its last row ends with it.
        f.wait(5);
        app.delete(&format!("/agents/{id}"), &f.desk.supervisor).await.expect(204);
        app.get(&states, &f.desk.viewer).await.expect(404);
        assert_eq!(app.test.number("SELECT COUNT(*) FROM agent_state_log WHERE until IS NULL").await, 1);
        let sum = "SELECT SUM(until - since) FROM agent_state_log WHERE until IS NOT NULL";
        let cast = format!("SELECT CAST(({sum}) AS SIGNED)");
        assert_eq!(app.test.number(app.test.db.pick(sum, &cast)).await, 15_000_000);
        // Kept for 400 days.
        assert_eq!(agents::log::purge(&app.test.db, app.clock.now_us()).await.unwrap(), 0);
        f.wait(401 * 86_400);
        assert_eq!(agents::log::purge(&app.test.db, app.clock.now_us()).await.unwrap(), 2);
    }

    /// An agent sits down at any phone; nobody else does meanwhile, unless a supervisor takes it over.
    async fn desks_are_shared(test) {
        let f = Floor::new(test).await;
        let app = &f.desk.app;
        let login = "/agents/me/login";
        for (body, pointers) in [
            (json!({}), vec!["/extension"]),
            (json!({"extension": "101", "endpoint_id": f.phones[0]}), vec!["/extension"]),
            (json!({"extension": "109"}), vec!["/extension"]),
            (json!({"endpoint_id": ONE}), vec!["/endpoint_id"]),
        ] {
            assert_eq!(app.post(login, &f.ann.token, body.clone()).await.expect(422).pointers(), pointers, "{body}");
        }
        let root = app.token(Role::Superadmin, "acme").await;
        app.post("/endpoints", &root, json!({"name": "carrier", "template": "trunk"})).await.expect(201);
        assert_eq!(f.sit(&f.ann, "carrier").await.expect(422).pointers(), ["/endpoint_id"]);
        app.get("/agents/me", &f.ann.token).await.expect(404);
        let foreign = app.post("/endpoints", &f.desk.other, json!({"name": "200"})).await.expect(201).id();
        app.post(login, &f.ann.token, json!({"endpoint_id": foreign})).await.expect(422);

        f.sit(&f.ann, "101").await.expect(200);
        let me = f.me(&f.ann).await;
        assert_eq!((&me["extension"], &me["state"], &me["login_at"]), (&json!("101"), &json!("available"), &json!("2026-11-23T10:00:00Z")));
        let taken = f.sit(&f.ben, "101").await.expect(409);
        assert_eq!(taken.code(), "endpoint-taken");
        assert_eq!(f.set(&f.ben, json!({"endpoint_id": f.phones[0]})).await.expect(409).code(), "endpoint-taken");
        app.post(login, &f.ben.token, json!({"extension": "101", "take_over": true})).await.expect(403);
        // Elsewhere: the phone before is free.
        f.phone("101", PhoneState::Talking, ONE).await;
        f.sit(&f.ann, "102").await.expect(200);
        assert_eq!(f.place(&f.ann).await, "available free -", "the talk is not followed any more");
        f.phone("101", PhoneState::Idle, ONE).await;
        f.sit(&f.ben, "101").await.expect(200);
        // A break goes along.
        f.set(&f.ben, json!({"state": "break"})).await.expect(200);
        f.sit(&f.ben, "101").await.expect(200);
        assert_eq!(f.place(&f.ben).await, "break free -");
        let boss = app.user(Role::Supervisor, "acme").await;
        app.post(login, &boss.token, json!({"extension": "101"})).await.expect(409);
        let took = app.post(login, &boss.token, json!({"extension": "101", "take_over": true})).await.expect(200);
        assert_eq!(took.body["extension"], "101");
        let ben = f.me(&f.ben).await;
        assert_eq!((&ben["state"], &ben["endpoint_id"], &ben["extension"], &ben["login_at"]), (&json!("offline"), &json!(null), &json!(null), &json!(null)));
        app.post("/agents/me/logout", &boss.token, json!({})).await.expect(200);
        assert_eq!(f.place(&boss).await, "offline free -");
        // Who is offline gives the phone up to whoever comes, and may be changed by no other agent otherwise.
        f.sit(&f.ben, "101").await.expect(200);
        let ben = f.set(&f.ben, json!({"state": "offline"})).await.expect(200).id();
        app.patch(&format!("/agents/{ben}"), &f.ann.token, json!({"endpoint_id": null})).await.expect(403);
        assert_eq!(f.me(&f.ben).await["extension"], "101");
        f.sit(&boss, "101").await.expect(200);
        assert_eq!(f.me(&f.ben).await["extension"], json!(null));
        f.set(&boss, json!({"state": "offline"})).await.expect(200);
        f.sit(&f.ben, "101").await.expect(200);
        assert_eq!(f.me(&boss).await["endpoint_id"], json!(null));
        app.post("/agents/me/logout", &f.ben.token, json!({})).await.expect(200);
        // Two at once: one of them sits.
        let both = tokio::join!(f.sit(&boss, "101"), f.sit(&f.ben, "101"));
        let mut both = [both.0.status.as_u16(), both.1.status.as_u16()];
        both.sort_unstable();
        assert!(both[0] == 200 && [409, 503].contains(&both[1]), "{both:?}");
        // A phone that is deleted leaves its agent without one.
        app.delete(&format!("/endpoints/{}", f.phones[1]), &f.desk.admin).await.expect(204);
        assert_eq!((f.me(&f.ann).await["endpoint_id"].clone(), f.me(&f.ann).await["reachable"].clone()), (json!(null), json!(false)));
    }

    /// What an agent has and can take, by one rule.
    async fn what_agents_can_take(test) {
        let f = Floor::new(test).await;
        let app = &f.desk.app;
        let (ann, ben) = (f.sit(&f.ann, "101").await.expect(200).id(), f.sit(&f.ben, "102").await.expect(200).id());
        let able = async |kind: &str| {
            let list = app.get(&format!("/agents/available?kind={kind}"), &f.desk.viewer).await.expect(200).body;
            let ids = list["data"].as_array().unwrap().iter().map(|one| one["agent_id"].as_str().unwrap().to_owned());
            ids.collect::<Vec<_>>()
        };
        assert!(able("call").await.is_empty(), "no phone is registered");
        app.test.execute("UPDATE endpoints SET registered = 1").await.unwrap();
        f.wait(1);
        assert_eq!((able("call").await, able("ticket").await), (vec![ann.clone(), ben.clone()], vec![ann.clone(), ben.clone()]));
        assert!(able("chat").await.is_empty(), "nobody wants chats");
        f.phone("101", PhoneState::Ringing, ONE).await;
        assert_eq!(able("call").await, [ben.as_str()]);
        for who in [&f.ann, &f.ben] {
            let body = json!({"user_id": who.id.as_str(), "is_available": true, "max_chats": 1});
            app.post("/chat/agents", &f.desk.supervisor, body).await.expect(201);
        }
        f.set(&f.ann, json!({"max_tickets": 2})).await.expect(200);
        for n in 0..2 {
            let ticket = f.desk.make("/tickets", json!({"subject": format!("t{n}")})).await.id();
            let body = json!({"assigned_to": f.ann.id.as_str()});
            app.post(&format!("/tickets/{ticket}/assign"), &f.desk.admin, body).await.expect(200);
            // The smaller share of the own limit comes first.
            assert_eq!(able("ticket").await, if n == 0 { vec![ben.clone(), ann.clone()] } else { vec![ben.clone()] });
        }
        assert_eq!(able("chat").await, [ann.clone(), ben.clone()]);
        let widget = f.desk.make("/chat/widgets", json!({"name": "w"})).await.id();
        let sql = format!(
            "INSERT INTO chat_sessions (id, tenant_id, widget_id, visitor_id, status, agent_id, metadata, created_at, updated_at) \
             VALUES ('{ONE}', 'acme', '{widget}', '{TWO}', 'active', '{}', '{{}}', 1, 1)", f.ben.id
        );
        app.test.execute(&sql).await.unwrap();
        assert_eq!(able("chat").await, [ann.as_str()]);
        let shown = app.get(&format!("/agents/{ann}/capacity"), &f.ben.token).await.expect(200).body;
        assert_eq!(shown, json!({
            "agent_id": ann, "user_id": f.ann.id.as_str(), "state": "available", "reachable": true,
            "calls": 1, "max_calls": 1, "takes_call": false, "chats": 0, "max_chats": 1, "takes_chat": true,
            "tickets": 2, "max_tickets": 2, "takes_ticket": false,
        }));
        // Agents keep within the limits, their own and another's; supervisors decide.
        let ticket = f.desk.make("/tickets", json!({"subject": "t2"})).await.id();
        let assign = format!("/tickets/{ticket}/assign");
        let hers = json!({"assigned_to": f.ann.id.as_str()});
        for who in [&f.ann, &f.ben] {
            assert_eq!(app.post(&assign, &who.token, hers.clone()).await.expect(409).code(), "at-capacity");
            assert_eq!(app.patch(&format!("/tickets/{ticket}"), &who.token, hers.clone()).await.expect(409).code(), "at-capacity");
        }
        app.post(&assign, &f.desk.supervisor, hers.clone()).await.expect(200);
        app.post(&assign, &f.ann.token, hers).await.expect(409);
        app.test.execute(&sql.replace(ONE, TWO).replace("'active'", "'queued'").replace(&format!("'{}'", f.ben.id), "NULL")).await.unwrap();
        let chat = format!("/chat/sessions/{TWO}");
        assert_eq!(app.patch(&chat, &f.ben.token, json!({"agent_id": f.ben.id.as_str()})).await.expect(409).code(), "at-capacity");
        app.patch(&chat, &f.ann.token, json!({"agent_id": f.ann.id.as_str()})).await.expect(200);
        // Handed on, he can't accept it; a supervisor gives it to him.
        let offer = app.post(&format!("{chat}/transfers"), &f.ann.token, json!({"to_agent_id": f.ben.id.as_str()})).await.expect(201).id();
        let accept = format!("/chat/transfers/{offer}/accept");
        assert_eq!(app.post(&accept, &f.ben.token, json!({})).await.expect(409).code(), "at-capacity");
        app.patch(&chat, &f.desk.supervisor, json!({"agent_id": f.ben.id.as_str()})).await.expect(200);
        app.get(&format!("/agents/{ann}/capacity"), &f.desk.other).await.expect(404);
        assert_eq!(app.get("/agents/available?kind=call", &f.desk.other).await.expect(200).body["data"], json!([]));
        app.get("/agents/available", &f.desk.viewer).await.expect(400);
        app.get("/agents/available?kind=fax", &f.desk.viewer).await.expect(400);
    }

    /// Who calls is shown to whose phone rings, and to nobody else but those who run the floor.
    async fn who_calls_is_shown(test) {
        let f = Floor::new(test).await;
        let app = &f.desk.app;
        f.sit(&f.ann, "101").await.expect(200);
        f.sit(&f.ben, "102").await.expect(200);
        let pop = "/agents/me/screen-pop";
        app.get(pop, &f.ann.token).await.expect(404);
        let vera = f.desk.make("/contacts", json!({"first_name": "Vera", "last_name": "Vip", "phone": "+15557770001"})).await.id();
        let ticket = async |subject: &str, who: Option<&Person>| {
            let body = json!({"subject": subject, "contact_id": vera, "assigned_to": who.map(|who| who.id.as_str())});
            f.desk.make("/tickets", body).await.id()
        };
        ticket("hers", Some(&f.ann)).await;
        ticket("nobody's", None).await;
        ticket("his", Some(&f.ben)).await;
        let done = ticket("done", None).await;
        app.post(&format!("/tickets/{done}/resolve"), &f.desk.admin, json!({})).await.expect(200);
        for n in 0..7 {
            let id = app.gate.ids.next();
            let sql = format!(
                "INSERT INTO cdrs (id, tenant_id, call_id, linkedid, uniqueid, direction, caller_number, queue, started_at, ended_at, \
                 duration_s, billed_s, disposition, metadata, created_at) VALUES ('{id}', 'acme', '{id}', 'l', 'u', 'inbound', \
                 '+15557770001', 'support', {n}000000, {n}000001, 1, {n}, 'ANSWERED', '{{}}', 1)"
            );
            app.test.execute(&sql).await.unwrap();
        }
        let mut rings = f.news("101", PhoneState::Ringing, ONE);
        // As a carrier writes it.
        rings.caller_number = "0015557770001".into();
        phone_changed(&f.parts(), &rings).await.unwrap();
        phone_changed(&f.parts(), &rings).await.unwrap();
        let told = async |token: &str| {
            let list = app.get("/events?types=agent.screen_pop", token).await.expect(200).body;
            list["data"].as_array().unwrap().clone()
        };
        let seen = told(&f.ann.token).await;
        assert_eq!((seen.len(), told(&f.ben.token).await.len(), told(&f.desk.supervisor).await.len()), (1, 0, 1));
        assert_eq!((told(&f.desk.viewer).await.len(), told(&f.desk.other).await.len()), (0, 0));
        let data = &seen[0]["data"];
        let shown = app.get(pop, &f.ann.token).await.expect(200).body;
        assert_eq!(*data, shown);
        app.get(pop, &f.ben.token).await.expect(404);
        app.get(pop, &f.desk.viewer).await.expect(403);
        assert_eq!((&data["call_id"], &data["queue"], &data["extension"]), (&json!(ONE), &json!("support"), &json!("101")));
        assert_eq!(data["contact"], json!({"id": vera, "name": "Vera Vip", "company": null, "tags": []}));
        let calls: Vec<i64> = data["calls"].as_array().unwrap().iter().map(|call| call["billed_s"].as_i64().unwrap()).collect();
        assert_eq!(calls, [6, 5, 4, 3, 2]);
        let mut subjects: Vec<&str> = data["tickets"].as_array().unwrap().iter().map(|one| one["subject"].as_str().unwrap()).collect();
        subjects.sort_unstable();
        assert_eq!((subjects, &data["open_tickets"]), (vec!["hers", "nobody's"], &json!(3)));
        // To the end of the talk; somebody who withholds the number is nobody's contact.
        f.wait(1);
        f.phone("101", PhoneState::Talking, ONE).await;
        assert_eq!(app.get(pop, &f.ann.token).await.expect(200).body["phone_state"], "talking");
        f.wait(1);
        f.phone("101", PhoneState::Idle, ONE).await;
        app.get(pop, &f.ann.token).await.expect(404);
        let mut rings = f.news("102", PhoneState::Ringing, TWO);
        (rings.caller_number, rings.queue) = (String::new(), None);
        phone_changed(&f.parts(), &rings).await.unwrap();
        let shown = app.get(pop, &f.ben.token).await.expect(200).body;
        assert_eq!((&shown["caller_number"], &shown["contact"], &shown["calls"], &shown["queue"]), (&json!(null), &json!(null), &json!([]), &json!(null)));
    }

    /// Whose account or role is gone is no agent any more, and rings nowhere; whose is suspended is signed out.
    async fn who_works_here_no_more_is_no_agent(test) {
        let f = Floor::new(test).await;
        let (app, admin) = (&f.desk.app, f.desk.admin.as_str());
        for (phone, who) in [(0, &f.ann), (1, &f.ben)] {
            let body = json!({"endpoint_id": f.phones[phone], "user_id": who.id.as_str()});
            f.desk.make(&format!("/queues/{}/members", f.queue), body).await;
        }
        // Crosswise, so that both members ring elsewhere.
        let (ann, ben) = (f.sit(&f.ann, "102").await.expect(200).id(), f.sit(&f.ben, "101").await.expect(200).id());
        let seats = async || app.test.number("SELECT COUNT(*) FROM queue_members WHERE seat_id IS NOT NULL").await;
        let open = async || app.test.number("SELECT COUNT(*) FROM agent_state_log WHERE until IS NULL").await;
        assert_eq!((seats().await, open().await), (2, 2));
        f.phone("102", PhoneState::Talking, ONE).await;
        f.wait(5);
        app.delete(&format!("/users/{}", f.ann.id), admin).await.expect(204);
        app.get(&format!("/agents/{ann}"), admin).await.expect(404);
        assert_eq!((open().await, f.told().await.last().unwrap().as_str()), (1, "busy > offline"));
        let deleted = app.get("/events?types=agent.deleted", admin).await.expect(200).body["data"].clone();
        assert_eq!(deleted[0]["data"]["id"], json!(ann), "{deleted}");
        // Her member has no seat but its own, where he sits: nowhere.
        assert_eq!(app.test.texts("SELECT seat_id FROM queue_members WHERE seat_id IS NOT NULL ORDER BY seat_id").await, ["", f.phones[0].as_str()]);
        let role = app.get(&format!("/roles?user_id={}", f.ben.id), admin).await.expect(200).body["data"][0]["id"].as_str().unwrap().to_owned();
        app.delete(&format!("/roles/{role}"), admin).await.expect(204);
        app.get(&format!("/agents/{ben}"), admin).await.expect(404);
        assert_eq!((seats().await, open().await), (0, 0));
        // Who looks on from now on, or may not sign in, is offline.
        for body in [json!({"role": "viewer"}), json!({"status": "suspended"})] {
            let one = app.user(Role::Agent, "acme").await;
            let id = f.sit(&one, "101").await.expect(200).id();
            app.patch(&format!("/users/{}", one.id), admin, body.clone()).await.expect(200);
            let now = app.get(&format!("/agents/{id}"), admin).await.expect(200).body;
            assert_eq!((&now["state"], &now["endpoint_id"]), (&json!("offline"), &json!(null)), "{body}");
        }
    }

    /// A phone that is deleted during a talk signs its agent out; who had one before it was so is let go by the next change.
    async fn a_phone_that_is_deleted_holds_nobody(test) {
        let f = Floor::new(test).await;
        f.sit(&f.ann, "101").await.expect(200);
        f.sit(&f.ben, "102").await.expect(200);
        for phone in ["101", "102"] {
            f.phone(phone, PhoneState::Talking, ONE).await;
        }
        f.wait(5);
        f.desk.app.delete(&format!("/endpoints/{}", f.phones[0]), &f.desk.admin).await.expect(204);
        let me = f.me(&f.ann).await;
        assert_eq!((&me["state"], &me["phase"], &me["endpoint_id"], &me["extension"]), (&json!("offline"), &json!("free"), &json!(null), &json!(null)));
        assert_eq!(f.told().await.last().unwrap(), "busy > offline");
        f.desk.app.test.execute("UPDATE agent_states SET endpoint_id = NULL").await.unwrap();
        f.set(&f.ben, json!({"max_calls": 2})).await.expect(200);
        assert_eq!(f.place(&f.ben).await, "available free -");
        f.desk.app.test.execute("UPDATE agent_states SET phase = 'talking', state = 'busy'").await.unwrap();
        f.desk.app.post("/agents/me/logout", &f.ben.token, json!({})).await.expect(200);
        assert_eq!(f.place(&f.ben).await, "offline free -");
    }

    /// Who signs in while the phone talks is busy with that call.
    async fn who_comes_on_during_a_call_talks(test) {
        let f = Floor::new(test).await;
        f.sit(&f.ann, "101").await.expect(200);
        f.set(&f.ann, json!({"state": "offline"})).await.expect(200);
        f.phone("101", PhoneState::Talking, ONE).await;
        assert_eq!(f.place(&f.ann).await, "offline free -");
        f.wait(5);
        f.set(&f.ann, json!({"state": "available"})).await.expect(200);
        assert_eq!((f.place(&f.ann).await, f.me(&f.ann).await["call_id"].clone()), ("busy talking -".to_owned(), json!(ONE)));
        f.wait(5);
        f.phone("101", PhoneState::Idle, ONE).await;
        assert_eq!(f.place(&f.ann).await, "busy wrapup wrap-up");
        // Signed in at the same phone again it is the same.
        f.set(&f.ann, json!({"state": "offline"})).await.expect(200);
        f.phone("101", PhoneState::Talking, TWO).await;
        f.sit(&f.ann, "101").await.expect(200);
        assert_eq!(f.place(&f.ann).await, "busy talking -");
    }

    /// An Asterisk whose clock was ahead, and ours.
    async fn clocks_that_step_back_silence_no_phone(test) {
        let f = Floor::new(test).await;
        f.sit(&f.ann, "101").await.expect(200);
        let mut early = f.news("101", PhoneState::Talking, ONE);
        early.at_us += 3_600_000_000;
        phone_changed(&f.parts(), &early).await.unwrap();
        assert_eq!(f.place(&f.ann).await, "busy talking -");
        f.wait(1);
        f.phone("101", PhoneState::Idle, ONE).await;
        assert_eq!(f.place(&f.ann).await, "busy wrapup wrap-up");
        f.desk.app.clock.set(f.desk.app.clock.now() - Duration::from_secs(600));
        f.phone("101", PhoneState::Talking, TWO).await;
        assert_eq!(f.desk.app.test.texts("SELECT phase FROM agent_states").await, ["talking"]);
    }

    /// What the database could not show is shown when the same news comes again.
    async fn a_screen_pop_is_not_lost(test) {
        let f = Floor::new(test).await;
        f.sit(&f.ann, "101").await.expect(200);
        let rings = f.news("101", PhoneState::Ringing, ONE);
        f.desk.app.test.execute("ALTER TABLE cdrs RENAME TO cdrs_away").await.unwrap();
        phone_changed(&f.parts(), &rings).await.unwrap_err();
        f.desk.app.test.execute("ALTER TABLE cdrs_away RENAME TO cdrs").await.unwrap();
        for _ in 0..2 {
            phone_changed(&f.parts(), &rings).await.unwrap();
        }
        let told = f.desk.app.get("/events?types=agent.screen_pop", &f.ann.token).await.expect(200).body;
        assert_eq!(told["data"].as_array().unwrap().len(), 1, "{told}");
    }

    /// Agents who have long been offline hide nobody who works.
    async fn who_works_is_found_among_many_who_do_not(test) {
        let f = Floor::new(test).await;
        let app = &f.desk.app;
        let many = |to: &str| format!("INSERT INTO {to} WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)");
        // MariaDB goes no deeper than a thousand.
        for round in ["a", "b", "c"] {
            let id = app.test.db.pick("'{r}' || i", "CONCAT('{r}', i)").replace("{r}", round);
            let users = format!(
                "{} SELECT {id}, 'acme', {id}, '', 0, '', '', 'active', 'en', 'UTC', 1, '{{}}', 1, 1 FROM n",
                many("users (id, tenant_id, email, password_hash, is_superadmin, first_name, last_name, status, language, zone, \
                      password_changed_at, metadata, created_at, updated_at)")
            );
            app.test.execute(&users).await.unwrap();
            let agents = format!(
                "{} SELECT {id}, 'acme', {id}, 'offline', 'offline', 1, '{{}}', 1, 1 FROM n",
                many("agent_states (id, tenant_id, user_id, state, choice, since, metadata, created_at, updated_at)")
            );
            app.test.execute(&agents).await.unwrap();
        }
        f.sit(&f.ann, "101").await.expect(200);
        let list = app.get("/agents/available?kind=ticket", &f.desk.viewer).await.expect(200).body;
        assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list}");
    }

    /// Two transactions tell of one agent, and the later one has looked around before the other was there.
    async fn events_of_one_agent_are_told_one_after_the_other(test) {
        let f = Floor::new(test).await;
        let (gate, acme) = (&f.desk.app.gate, tenant("acme"));
        let now_us = f.desk.app.clock.now_us();
        let draft = || hookswitch::events::Draft {
            kind: "agent.updated".into(), key: "agent:x".into(), at_us: now_us, owners: None, data: serde_json::Map::new(),
        };
        let write = async |tx: &mut hookswitch::db::Tx| {
            let (when, two) = ((&acme, now_us), vec![draft(), draft()]);
            gate.events.write_after(tx, &gate.ids, when, two, &[]).await.unwrap();
        };
        // SQLite lets one in at a time.
        let is_alone = gate.db.pick("sqlite", "mysql") == "sqlite";
        let mut late = None;
        if !is_alone {
            let mut tx = gate.db.begin().await.unwrap();
            let sql = "SELECT COUNT(*) FROM event_sequences";
            let _: i64 = hookswitch::db::db_tx!(&mut tx, |c| sqlx::query_scalar(sql).fetch_one(c).await).unwrap();
            late = Some(tx);
        }
        let mut early = gate.db.begin().await.unwrap();
        write(&mut early).await;
        early.commit().await.unwrap();
        let mut tx = match late {
            Some(tx) => tx,
            None => gate.db.begin().await.unwrap(),
        };
        write(&mut tx).await;
        tx.commit().await.unwrap();
        let sql = "SELECT sequence FROM events WHERE event_key = 'agent:x' AND position > 0 ORDER BY position";
        let text = gate.db.pick("CAST(sequence AS TEXT)", "CAST(sequence AS CHAR)");
        assert_eq!(f.desk.app.test.texts(&sql.replace("SELECT sequence", &format!("SELECT {text}"))).await, ["1", "2", "3", "4"]);
    }
}
