//! Wallboards: the snapshot, what is told behind it, and that both are the same in the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hookswitch::agents::PhoneState;
use hookswitch::base::role::Role;
use hookswitch::endpoints::registrations::{self, Told, With};
use hookswitch::queues::board::Wall;
use hookswitch::queues::{log::Row, log_store};
use serde_json::{Value, json};

use super::agents::{Floor, ONE, TWO};
use crate::support::{both_databases, tenant};

impl Floor {
    async fn row(&self, call: &str, agent: &str, event: &str, data: &str) {
        let mut values = data.split('|').map(str::to_owned);
        let row = Row {
            at_us: self.desk.app.clock.now_us(),
            call: call.into(),
            queue: "support".into(),
            agent: agent.into(),
            event: event.into(),
            data: std::array::from_fn(|_| values.next().unwrap_or_default()),
        };
        let (gate, acme) = (&self.desk.app.gate, tenant("acme"));
        let when = (&acme, self.desk.app.clock.now_us());
        log_store::write(&gate.db, (&gate.ids, &gate.events), when, &row).await.unwrap();
    }

    async fn registered(&self, extension: &str, is_there: bool) {
        let gate = &self.desk.app.gate;
        let now_us = self.desk.app.clock.now_us();
        let until = (now_us / 1_000_000 + 86_400).to_string();
        let columns = [("expiration_time", until), ("endpoint", format!("acme-{extension}"))];
        let columns =
            columns.into_iter().filter(|_| is_there).map(|(name, value)| (name.to_owned(), value)).collect();
        let told = Told { id: format!("acme-{extension};@a"), columns };
        let mut tx = gate.db.begin().await.unwrap();
        let with = With { ids: &gate.ids, events: &gate.events, now_us };
        registrations::write(&mut tx, with, &told).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Whose token is new: the clock goes on for hours.
    async fn viewer(&self) -> String {
        self.desk.app.token(Role::Viewer, "acme").await
    }

    async fn board(&self) -> Value {
        self.desk.app.get("/queues/live", &self.viewer().await).await.expect(200).body
    }

    async fn round(&self) -> usize {
        self.desk.app.wall.round(&self.parts()).await.unwrap()
    }

    /// Numbers of queue `support`, as they were told last.
    async fn told_last(&self) -> Value {
        let path = "/events?types=queue.stats&limit=200";
        let list = self.desk.app.get(path, &self.viewer().await).await.expect(200).body;
        list["data"].as_array().unwrap().last().map(|event| event["data"].clone()).unwrap_or_default()
    }

    async fn members(&self) {
        for (phone, person) in [(0, Some(&self.ann)), (1, Some(&self.ben))] {
            let user = person.map(|person| person.id.as_str());
            let body = json!({"endpoint_id": self.phones[phone], "user_id": user});
            self.desk.make(&format!("/queues/{}/members", self.queue), body).await;
        }
    }
}

/// A page that keeps what it was shown, and follows the events.
struct Page {
    cursor: String,
    queues: BTreeMap<String, Value>,
    agents: BTreeMap<String, Value>,
}

impl Page {
    fn new(board: &Value) -> Self {
        let by = |list: &str, id: &str| {
            let all = board[list].as_array().unwrap().iter();
            all.map(|one| (one[id].as_str().unwrap().to_owned(), one.clone())).collect()
        };
        Self {
            cursor: board["cursor"].as_str().unwrap().to_owned(),
            queues: by("queues", "queue_id"),
            agents: by("agents", "id"),
        }
    }

    async fn follow(&mut self, f: &Floor) {
        loop {
            let path = format!("/events?limit=200&after={}", self.cursor);
            let page = f.desk.app.get(&path, &f.desk.admin).await.expect(200).body;
            self.cursor = page["page"]["next"].as_str().unwrap().to_owned();
            let events = page["data"].as_array().unwrap();
            events.iter().for_each(|event| self.take(event["type"].as_str().unwrap(), &event["data"]));
            if events.is_empty() {
                return;
            }
        }
    }

    fn take(&mut self, kind: &str, data: &Value) {
        let id = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
        match kind {
            "queue.stats" => drop(self.queues.insert(id("queue_id"), data.clone())),
            "queue.deleted" => drop(self.queues.remove(&id("id"))),
            "agent.created" | "agent.updated" | "agent.state_changed" => {
                self.agents.insert(id("id"), data.clone());
            }
            "agent.deleted" => drop(self.agents.remove(&id("id"))),
            "endpoint.registered" | "endpoint.unregistered" => {
                for agent in
                    self.agents.values_mut().filter(|agent| agent["endpoint_id"] == data["endpoint_id"])
                {
                    agent["reachable"] = json!(kind == "endpoint.registered");
                }
            }
            _ => {}
        }
    }
}

both_databases! {
    /// The numbers of a queue, from the first caller to midnight.
    async fn the_numbers_of_a_queue(test) {
        let f = Floor::new(test).await;
        f.members().await;
        f.desk.app.test.execute("UPDATE tenants SET zone = 'Europe/Berlin' WHERE id = 'acme'").await.unwrap();
        f.round().await;
        let stats = async || {
            f.desk.app.wait(Duration::from_secs(1));
            f.round().await;
            let (told, board) = (f.told_last().await, f.board().await);
            assert_eq!(told, board["queues"][0], "what is told is what is shown");
            told
        };
        let staff = |stats: &Value| ["available", "busy", "paused", "offline"].map(|what| stats[format!("agents_{what}")].as_i64().unwrap());
        let first = stats().await;
        assert_eq!((staff(&first), &first["day"], &first["service_level"]), ([0, 0, 0, 2], &json!("2026-11-22T23:00:00Z"), &json!(null)));
        f.registered("101", true).await;
        f.registered("102", true).await;
        assert_eq!(staff(&stats().await), [2, 0, 0, 0]);
        f.sit(&f.ann, "101").await.expect(200);
        f.sit(&f.ben, "102").await.expect(200);
        f.desk.app.patch("/agents/me", &f.ben.token, json!({"state": "break"})).await.expect(200);
        assert_eq!(staff(&stats().await), [1, 0, 1, 0]);
        f.row("a", "", "ENTERQUEUE", "|5551000|1").await;
        let since = hookswitch::api::check::show_time(f.desk.app.clock.now_us());
        let now = stats().await;
        assert_eq!((&now["waiting"], &now["longest_wait_since"], &now["offered"]), (&json!(1), &json!(since), &json!(1)));
        f.desk.app.wait(Duration::from_secs(5));
        f.row("a", "101", "CONNECT", "6|x|1").await;
        let now = stats().await;
        assert_eq!((&now["waiting"], &now["talking"], &now["answered"], &now["answer_average_ms"]), (&json!(0), &json!(1), &json!(1), &json!(6_000)));
        assert_eq!((staff(&now), &now["service_level"]), ([0, 1, 1, 0], &json!(100.0)));
        f.row("a", "101", "COMPLETECALLER", "6|2|1").await;
        let now = stats().await;
        assert_eq!((&now["talking"], staff(&now)), (&json!(0), [0, 1, 1, 0]), "app_queue's rest after a talk");
        f.desk.app.wait(Duration::from_secs(30));
        assert_eq!(staff(&stats().await), [1, 0, 1, 0], "it ends by itself");
        f.phone("101", PhoneState::Talking, ONE).await;
        assert_eq!(staff(&stats().await), [0, 1, 1, 0]);
        f.row("b", "", "ENTERQUEUE", "|5551000|1").await;
        f.desk.app.wait(Duration::from_secs(20));
        f.row("b", "", "ABANDON", "1|1|20").await;
        let now = stats().await;
        assert_eq!((&now["offered"], &now["abandoned"], &now["service_level"]), (&json!(2), &json!(1), &json!(50.0)));
        // Nothing happens: nothing is told.
        f.desk.app.wait(Duration::from_secs(60));
        assert_eq!((f.round().await, f.round().await), (0, 0));
        f.registered("101", false).await;
        f.desk.app.patch("/agents/me", &f.ben.token, json!({"state": "offline"})).await.expect(200);
        f.phone("101", PhoneState::Idle, ONE).await;
        f.desk.app.patch("/agents/me", &f.ann.token, json!({"state": "available"})).await.expect(200);
        assert_eq!(staff(&stats().await), [0, 0, 0, 2]);
        // A new day in Berlin.
        f.desk.app.wait(Duration::from_secs(13 * 3_600));
        let now = stats().await;
        assert_eq!((&now["day"], &now["offered"], &now["answer_average_ms"]), (&json!("2026-11-23T23:00:00Z"), &json!(0), &json!(null)));
        let stranger = f.desk.app.token(Role::TenantAdmin, "globex").await;
        let other = f.desk.app.get("/queues/live", &stranger).await.expect(200).body;
        assert_eq!((&other["queues"], &other["agents"]), (&json!([]), &json!([])));
        f.desk.app.get("/queues/live", "").await.expect(401);
    }

    /// Two nodes look: each change is told once, and no queue more than once a second.
    async fn each_change_is_told_once(test) {
        let f = Floor::new(test).await;
        f.members().await;
        let (parts, other) = (f.parts(), Arc::new(Wall::new(3_600_000_000)));
        let (mut told, mut changes) = (0, 0);
        for n in 0..10 {
            f.row(&format!("c{n}"), "", "ENTERQUEUE", "|5551000|1").await;
            changes += 1;
            f.desk.app.wait(Duration::from_secs(1));
            let both = tokio::join!(f.desk.app.wall.round(&parts), other.round(&parts));
            // A deadlock is tried again with the next round.
            told += both.0.unwrap_or_default() + both.1.unwrap_or_default();
            // Within the same second nothing more is told.
            f.row(&format!("c{n}"), "", "ABANDON", "1|1|1").await;
            assert_eq!((f.round().await, other.round(&parts).await.unwrap()), (0, 0));
            changes += 1;
            f.desk.app.wait(Duration::from_secs(1));
            told += f.round().await + other.round(&parts).await.unwrap();
        }
        assert_eq!((told, changes), (20, 20));
        let events = f.desk.app.test.number("SELECT COUNT(*) FROM events WHERE kind = 'queue.stats'").await;
        assert_eq!(events, 20);
        assert_eq!(f.told_last().await["abandoned_short"], 10);
    }

    /// Whatever happens: a page that took the snapshot at any time and followed the events shows what a new snapshot does.
    async fn a_page_is_right_without_reading_anew(test) {
        let f = Floor::new(test).await;
        f.members().await;
        let (mut pages, mut dice) = (Vec::new(), 7_u64);
        let mut roll = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        for n in 0..80 {
            let (call, extension) = (format!("c{}", roll(12)), ["101", "102"][roll(2) as usize]);
            let who = [&f.ann, &f.ben][roll(2) as usize];
            match roll(12) {
                0 | 1 => f.row(&call, "", "ENTERQUEUE", "|5551000|1").await,
                2 => f.row(&call, extension, "CONNECT", "3|x|1").await,
                3 => f.row(&call, extension, "COMPLETEAGENT", "3|9|1").await,
                4 => f.row(&call, "", "ABANDON", "1|1|9").await,
                5 => {
                    let state = ["available", "break", "offline", "away"][roll(4) as usize];
                    f.desk.app.patch("/agents/me", &who.token, json!({"state": state})).await.expect(200);
                }
                6 => drop(f.sit(who, extension).await),
                7 => drop(f.desk.app.post("/agents/me/logout", &who.token, json!({})).await),
                8 => f.registered(extension, roll(2) == 0).await,
                9 => f.phone(extension, [PhoneState::Talking, PhoneState::Idle][roll(2) as usize], [ONE, TWO][roll(2) as usize]).await,
                10 => {
                    let name = format!("q{n}");
                    f.desk.make("/queues", json!({"name": name})).await;
                }
                _ => {
                    hookswitch::agents::wrapup::end_due(&f.parts()).await.unwrap();
                }
            }
            if roll(8) == 0 {
                pages.push(Page::new(&f.board().await));
            }
            f.desk.app.wait(Duration::from_millis(300 + 1_000 * roll(8)));
            if roll(3) == 0 {
                f.round().await;
            }
        }
        f.desk.app.wait(Duration::from_secs(2));
        f.round().await;
        let end = Page::new(&f.board().await);
        assert!(pages.len() > 3 && end.queues.len() > 1 && !end.agents.is_empty());
        for page in &mut pages {
            page.follow(&f).await;
            assert_eq!((&page.queues, &page.agents), (&end.queues, &end.agents));
        }
    }

    /// A caller whose call is over by the books is off the wall, though the log has no end of the wait.
    async fn a_caller_without_an_end_leaves_the_wall(test) {
        let f = Floor::new(test).await;
        f.members().await;
        f.round().await;
        f.row("ghost", "", "ENTERQUEUE", "|5551000|1").await;
        f.desk.app.wait(Duration::from_secs(1));
        f.round().await;
        assert_eq!(f.told_last().await["waiting"], 1);
        let sql = format!(
            "INSERT INTO calls (id, tenant_id, direction, did, caller_number, caller_name, channel, uniqueid, linkedid, language, \
             action, target, reason, started_at, ended_at) VALUES ('{ONE}', 'acme', 'inbound', '', '', '', '', 'ghost', '', '', \
             'queue', '', '', 1, {})", f.desk.app.clock.now_us()
        );
        f.desk.app.test.execute(&sql).await.unwrap();
        // Nothing else happens, and it is told.
        f.desk.app.wait(Duration::from_secs(6));
        assert_eq!(f.round().await, 1);
        assert_eq!((&f.told_last().await["waiting"], &f.board().await["queues"][0]["waiting"]), (&json!(0), &json!(0)));
        // An end of the log that comes after all changes nothing of it.
        f.row("ghost", "", "ABANDON", "1|1|7").await;
        f.desk.app.wait(Duration::from_secs(1));
        f.round().await;
        assert_eq!((&f.told_last().await["waiting"], &f.told_last().await["abandoned"]), (&json!(0), &json!(1)));
    }

    async fn a_clock_that_steps_back_does_not_silence_it(test) {
        let f = Floor::new(test).await;
        f.row("a", "", "ENTERQUEUE", "|5551000|1").await;
        f.round().await;
        f.desk.app.wait(Duration::from_secs(1));
        f.round().await;
        f.desk.app.clock.set(f.desk.app.clock.now() - Duration::from_secs(3_600));
        f.row("b", "", "ENTERQUEUE", "|5551000|2").await;
        assert_eq!(f.round().await, 1);
        assert_eq!(f.told_last().await["waiting"], 2);
    }

    /// An error in the middle of looking loses no change.
    async fn what_could_not_be_looked_at_is_looked_at_again(test) {
        let f = Floor::new(test).await;
        let app = &f.desk.app;
        f.round().await;
        app.wait(Duration::from_secs(1));
        // A tenant of whom nothing was known stands before one of whom something was.
        app.tenant("abel").await;
        let abel = app.token(Role::TenantAdmin, "abel").await;
        app.post("/queues", &abel, json!({"name": "first"})).await.expect(201);
        f.desk.make("/queues", json!({"name": "second"})).await;
        app.test.execute("ALTER TABLE events RENAME TO events_away").await.unwrap();
        app.wall.round(&f.parts()).await.unwrap_err();
        app.test.execute("ALTER TABLE events_away RENAME TO events").await.unwrap();
        assert_eq!(f.round().await, 2);
    }
}
