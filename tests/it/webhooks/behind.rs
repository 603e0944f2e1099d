//! Endpoints that fall behind: nothing is kept for them but a position, and they get everything once when they are better.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use hookswitch::config::limits::webhooks as limits;
use hookswitch::webhooks::keep;
use serde_json::{Value, json};

use super::World;
use crate::support::both_databases;

/// Rows that an endpoint may get before it shows that it is dead: those under way, those in memory, one step of catching up.
const FEW: i64 = 8 + 8 + 64;
/// Longer than the first pause between probes and the first retry, and shorter than a silent process counts as alive.
const SOON: Duration = Duration::from_secs(15);

impl World {
    /// Everything sent to `/dead` fails until this is true.
    fn dies(&self) -> Arc<AtomicBool> {
        let works = Arc::new(AtomicBool::new(false));
        let is_up = Arc::clone(&works);
        self.sink.answers(move |taken| match taken.path != "/dead" || is_up.load(Ordering::SeqCst) {
            true => StatusCode::OK.into_response(),
            false => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        });
        works
    }

    /// An endpoint that is only probed: it got ten events, and failed.
    async fn dead(&self, more: Value) -> String {
        let made = self.webhook("/dead", more).await;
        self.happen(&keys("first", 10)).await;
        self.rows(1, "SELECT COUNT(*) FROM webhooks WHERE failures >= 5").await;
        self.until("nothing under way", |w| w.stats.in_flight.load(Ordering::Relaxed) == 0).await;
        made.id()
    }

    async fn count(&self, webhook: &str, what: &str) -> i64 {
        let sql =
            format!("SELECT COUNT(*) FROM webhook_deliveries WHERE webhook_id = '{webhook}' AND {what}");
        self.desk.app.test.number(&sql).await
    }

    /// Waits until so many events were handed out, or left for later.
    pub(super) async fn handed_out(&self) {
        self.rows(
            1,
            "SELECT COUNT(*) FROM webhook_cursors c JOIN event_heads h ON h.tenant_id = c.tenant_id \
                      WHERE c.position >= h.position AND c.tenant_id = 'acme'",
        )
        .await;
    }

    /// Checks that an endpoint has one delivery of each of so many events, and got each.
    async fn has_each_once(&self, webhook: &str, events: usize) {
        let sql =
            format!("SELECT COUNT(DISTINCT event_id) FROM webhook_deliveries WHERE webhook_id = '{webhook}'");
        let distinct = self.desk.app.test.number(&sql).await;
        assert_eq!((distinct, self.count(webhook, "1 = 1").await), (count(events), count(events)));
        assert_eq!(self.count(webhook, "status = 'delivered'").await, count(events));
        let came: HashSet<String> = self.sink.at("/dead").iter().map(|taken| taken.id().to_owned()).collect();
        assert_eq!(came.len(), events);
    }

    /// Checks that of every key nothing came before what lies before it.
    fn came_in_order(&self) {
        let mut last: BTreeMap<String, i64> = BTreeMap::new();
        for event in self.sink.at("/dead").iter().map(super::sink::Taken::json) {
            let (key, sequence) = (event["key"].to_string(), event["sequence"].as_i64().unwrap());
            let before = last.insert(key, sequence).unwrap_or(sequence);
            assert!(before <= sequence && sequence <= before + 1, "{event} after {before}");
        }
    }
}

fn keys(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("ticket:{name}{n}")).collect()
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap()
}

both_databases! {
    /// What comes for an endpoint that is only probed makes no rows; it says so, and has each event once when it is better.
    async fn a_dead_endpoint_gets_no_rows_and_later_everything(test) {
        let world = World::new(test).await;
        let works = world.dies();
        world.webhook("/good", json!({})).await;
        let dead = world.dead(json!({})).await;
        for n in 0..6 {
            world.happen(&keys(&format!("{n}-"), 100)).await;
        }
        world.until("the good one's", |w| w.sink.at("/good").len() == 610).await;
        assert!(world.count(&dead, "1 = 1").await <= FEW);
        let state = world.state(&dead).await;
        assert!(state["behind_since"].is_string() && state["status"] == "active", "{state}");
        assert!(state.get("behind").is_none(), "positions are not shown");
        // Probes need rows, but few.
        for pause in [10, 20, 40] {
            let before = world.sink.at("/dead").len();
            world.wait(Duration::from_secs(pause));
            world.until("a probe", |w| w.sink.at("/dead").len() == before + 1).await;
            world.until("its result", |w| w.stats.in_flight.load(Ordering::Relaxed) == 0).await;
        }
        assert!(world.count(&dead, "1 = 1").await <= FEW + 12);
        works.store(true, Ordering::SeqCst);
        world.wait(Duration::from_secs(3_600));
        world.all_done().await;
        world.has_each_once(&dead, 610).await;
        assert_eq!(world.state(&dead).await["behind_since"], Value::Null);
        // And it gets what is new as ever.
        world.happen(&keys("new", 3)).await;
        world.until("what is new", |w| w.sink.at("/good").len() == 613).await;
        world.all_done().await;
        world.has_each_once(&dead, 613).await;
    }

    /// One that hangs has as many rows as places and as many in memory, and no more.
    async fn a_hanging_endpoint_gets_few_rows(test) {
        let world = World::new(test).await;
        world.sink.opens(false);
        let made = world.webhook("/hang", json!({"concurrency": 3, "timeout_s": 30})).await;
        world.webhook("/good", json!({})).await;
        for n in 0..10 {
            world.happen(&keys(&format!("{n}-"), 50)).await;
        }
        world.until("the good one's", |w| w.sink.at("/good").len() == 500).await;
        assert!(world.count(&made.id(), "1 = 1").await <= 16);
        world.sink.opens(true);
        world.all_done().await;
        assert_eq!((world.sink.at("/hang").len(), world.count(&made.id(), "status = 'delivered'").await), (500, 500));
    }

    /// Killed while an endpoint is behind, and again while it catches up: nothing is lost, each event has one row, each key
    /// its order.
    async fn a_kill_loses_nothing_of_what_is_behind(test) {
        let mut world = World::new(test).await;
        let works = world.dies();
        let dead = world.dead(json!({"ordered": true, "concurrency": 16})).await;
        let many: Vec<String> = (0..200).map(|n| format!("ticket:{}", n % 20)).collect();
        for _ in 0..3 {
            world.happen(&many).await;
        }
        world.handed_out().await;
        assert!(world.count(&dead, "1 = 1").await <= FEW);
        world.kill();
        world.happen(&many).await;
        works.store(true, Ordering::SeqCst);
        world.start();
        world.wait(SOON);
        for came in [60, 300, 500] {
            world.until("some of it", |w| w.sink.at("/dead").len() >= came).await;
            world.kill();
            world.start();
        }
        world.happen(&many).await;
        world.handed_out().await;
        world.all_done().await;
        world.has_each_once(&dead, 1_010).await;
        world.came_in_order();
    }

    /// Two processes hand out and catch up on one database: each event has one row, and each key its order.
    async fn two_processes_catch_up_once(test) {
        let world = World::new(test).await;
        let works = world.dies();
        let other = world.other();
        let dead = world.dead(json!({"ordered": true})).await;
        let many: Vec<String> = (0..100).map(|n| format!("ticket:{}", n % 10)).collect();
        for _ in 0..4 {
            world.happen(&many).await;
        }
        world.handed_out().await;
        assert!(world.count(&dead, "1 = 1").await <= 2 * FEW);
        works.store(true, Ordering::SeqCst);
        // What is new comes while both catch up.
        for _ in 0..4 {
            world.wait(SOON);
            world.happen(&many).await;
        }
        world.handed_out().await;
        let delivered = format!("SELECT COUNT(*) FROM webhook_deliveries WHERE status = 'delivered' AND webhook_id = '{dead}'");
        world.rows(810, &delivered).await;
        world.has_each_once(&dead, 810).await;
        world.came_in_order();
        other.stop().await;
    }

    /// Out of the stream it gets what it wants, and what it does not want leaves it where it is.
    async fn only_what_is_wanted_is_caught_up(test) {
        let world = World::new(test).await;
        let works = world.dies();
        let dead = world.dead(json!({"types": ["ticket.*"]})).await;
        let behind = "SELECT COUNT(*) FROM webhooks WHERE behind IS NOT NULL";
        if world.desk.app.test.number(behind).await > 0 {
            // Some of the ten were left: they are what it is probed with.
            world.wait(SOON);
            world.until("a probe", |w| w.stats.failed.load(Ordering::Relaxed) > 5).await;
        }
        for n in 0..30 {
            world.tag(&format!("t{n}")).await;
            if n % 3 == 0 {
                world.happen(&[format!("ticket:{n}")]).await;
            }
        }
        world.handed_out().await;
        assert_eq!(world.desk.app.test.number(behind).await, 1);
        works.store(true, Ordering::SeqCst);
        world.wait(Duration::from_secs(3_600));
        world.all_done().await;
        world.has_each_once(&dead, 20).await;
        assert_eq!(world.count(&dead, "event_type <> 'ticket.updated'").await, 0);
        // Nothing it wants, nothing it is behind.
        works.store(false, Ordering::SeqCst);
        world.tag("last").await;
        world.handed_out().await;
        assert_eq!(world.desk.app.test.number(behind).await, 0);
    }

    /// A key whose first event fails again and again: what waits behind it makes some rows for each probe, not all.
    async fn a_stuck_key_makes_few_rows(test) {
        let world = World::new(test).await;
        let works = world.dies();
        let made = world.webhook("/dead", json!({"ordered": true})).await;
        world.happen(&["ticket:1"]).await;
        for n in 1..=5_i64 {
            world.recorded(n).await;
            world.wait(Duration::from_micros(limits::PAUSES_US[usize::try_from(n - 1).unwrap()].unsigned_abs() * 5 / 4));
        }
        // The sixth attempt was one more probe: now it is left alone.
        world.recorded(6).await;
        for _ in 0..5 {
            world.happen(&["ticket:1"; 200]).await;
        }
        world.handed_out().await;
        assert_eq!(world.count(&made.id(), "1 = 1").await, 1);
        world.wait(Duration::from_micros(limits::PROBE_US.1.unsigned_abs()));
        world.rows(2, "SELECT COUNT(*) FROM webhook_deliveries").await;
        tokio::time::sleep(limits::TICK * 4).await;
        assert!(world.count(&made.id(), "1 = 1").await <= 1 + 64, "each tick made some");
        works.store(true, Ordering::SeqCst);
        world.wait(Duration::from_secs(86_400));
        world.all_done().await;
        world.has_each_once(&made.id(), 1_001).await;
        world.came_in_order();
    }

    /// What a disabled endpoint was behind can be had, and what it is behind is not sent again twice.
    async fn what_was_missed_can_be_recovered(test) {
        let world = World::new(test).await;
        let works = world.dies();
        let dead = world.dead(json!({"ordered": true})).await;
        world.happen(&keys("behind", 300)).await;
        world.handed_out().await;
        // What the stream holds for it comes of itself.
        let rows = world.count(&dead, "1 = 1").await;
        let recover = format!("/webhooks/{dead}/recover");
        let again = world.post(&recover, json!({"failed_only": false})).await.expect(202);
        assert_eq!(again.body["deliveries"], rows);
        world.wait(Duration::from_secs(5 * 86_400 + 3_600));
        world.rows(1, "SELECT COUNT(*) FROM webhooks WHERE status = 'disabled' AND behind IS NULL").await;
        world.happen(&keys("lost", 5)).await;
        world.handed_out().await;
        works.store(true, Ordering::SeqCst);
        world.patch(&format!("/webhooks/{dead}"), json!({"status": "active"})).await.expect(200);
        world.happen(&keys("new", 5)).await;
        world.until("what is new", |w| w.sink.at("/dead").iter().any(|t| t.json()["key"] == "ticket:new4")).await;
        world.all_done().await;
        assert_eq!(world.post(&recover, json!({})).await.expect(202).body["deliveries"], 310);
        world.all_done().await;
        let came: HashSet<String> = world.sink.at("/dead").iter().map(|t| t.json()["key"].to_string()).collect();
        assert_eq!(came.len(), 315, "all but what came while it was disabled");
        assert_eq!(world.post(&recover, json!({})).await.expect(202).body["deliveries"], 0);
    }

    /// What is not kept any more when an endpoint catches up is passed over, and the rest comes.
    async fn events_that_are_gone_are_passed_over(test) {
        let world = World::new(test).await;
        let works = world.dies();
        let made = world.webhook("/dead", json!({})).await;
        let path = format!("/webhooks/{}", made.id());
        world.patch(&path, json!({"status": "paused"})).await.expect(200);
        world.happen(&keys("old", 300)).await;
        world.happen(&keys("young", 300)).await;
        world.handed_out().await;
        // Paused: the stream is what waits.
        assert_eq!(world.count(&made.id(), "1 = 1").await, 0);
        let db = &world.desk.app.test;
        db.execute("DELETE FROM events WHERE event_key LIKE 'ticket:old%'").await.unwrap();
        keep::purge(&db.db, 0, world.desk.app.clock.now_us()).await.unwrap();
        works.store(true, Ordering::SeqCst);
        world.patch(&path, json!({"status": "active"})).await.expect(200);
        world.until("the rest", |w| w.sink.at("/dead").len() == 300).await;
        world.all_done().await;
        world.has_each_once(&made.id(), 300).await;
        assert_eq!(world.state(&made.id()).await["behind_since"], Value::Null);
    }
}
