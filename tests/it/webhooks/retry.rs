//! What becomes of deliveries that are not taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use hookswitch::config::limits::webhooks as limits;
use serde_json::{Value, json};

use super::World;
use crate::support::both_databases;

fn us(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap())
}

impl World {
    /// The first delivery that a statement's condition fits: when its next attempt is due, microseconds from now.
    async fn due_in(&self) -> i64 {
        let due = self
            .desk
            .app
            .test
            .number("SELECT MAX(next_at) FROM webhook_deliveries WHERE status = 'pending'")
            .await;
        due - self.desk.app.clock.now_us()
    }

    /// Lets so much time pass that everything pending is due.
    async fn until_due(&self) {
        let due = self.due_in().await;
        self.wait(us(due.max(0) + 1_000_000));
    }
}

both_databases! {
    /// Ten attempts at the times of Standard Webhooks, give or take a fifth; then it has failed, and can be had again.
    async fn ten_attempts_and_no_more(test) {
        let world = World::new(test).await;
        world.sink.says(500);
        let made = world.webhook("/hook", json!({})).await;
        world.tag("x").await;
        let mut ids = Vec::new();
        for n in 1..=10_usize {
            world.came(n).await;
            world.recorded(i64::try_from(n).unwrap()).await;
            ids.push(world.sink.taken()[n - 1].id().to_owned());
            if n < 10 {
                let (due, pause) = (world.due_in().await, limits::PAUSES_US[n - 1]);
                let fifth = pause / 5;
                assert!((pause - fifth..=pause + fifth).contains(&due), "attempt {n}: due in {due} us, pause {pause}");
                world.until_due().await;
            }
        }
        world.all_done().await;
        ids.dedup();
        assert_eq!(ids.len(), 1, "the webhook-id stays the same");
        let stamps: Vec<String> = world.sink.taken().iter().map(|t| t.headers["webhook-timestamp"].clone()).collect();
        assert_ne!(stamps[0], stamps[9], "the timestamp is the attempt's");
        let delivery = world.deliveries(&made.id()).await.remove(0);
        assert_eq!((&delivery["status"], &delivery["attempts"], &delivery["last_status"]), (&json!("failed"), &json!(10), &json!(500)));
        let attempts = world.attempts(&made.id()).await;
        let numbers: Vec<i64> = attempts.iter().map(|a| a["number"].as_i64().unwrap()).collect();
        assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
        let state = world.state(&made.id()).await;
        assert_eq!((&state["status"], &state["failures"]), (&json!("active"), &json!(10)));
        world.sink.says(200);
        // The endpoint is only probed by now: the next probe has to be due.
        world.wait(us(limits::PROBE_US.1));
        let recovered = world.post(&format!("/webhooks/{}/recover", made.id()), json!({})).await.expect(202);
        assert_eq!(recovered.body, json!({"deliveries": 1}));
        world.came(11).await;
        world.all_done().await;
        assert_eq!(world.sink.taken()[10].id(), ids[0]);
        let state = world.state(&made.id()).await;
        assert_eq!((&state["failures"], &state["failing_since"]), (&json!(0), &Value::Null));
    }

    /// A `Retry-After`, in seconds or as a date, makes the pause longer; nothing else is sent to the endpoint meanwhile.
    async fn retry_after_is_honoured(test) {
        let world = World::new(test).await;
        for path in ["/seconds", "/date"] {
            let date = (world.desk.app.clock.now() + Duration::from_secs(7_200)).to_rfc2822().replace("+0000", "GMT");
            let value = if path == "/seconds" { "3600".to_owned() } else { date };
            world.sink.clear();
            let made = world.webhook(path, json!({"types": ["ticket.updated"]})).await;
            world.sink.answers(move |_| (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", value.clone())]).into_response());
            world.happen(&["ticket:1"]).await;
            world.came(1).await;
            world.rows(1, "SELECT COUNT(*) FROM webhook_deliveries WHERE status = 'pending' AND attempts = 1 AND owner = ''").await;
            let due = world.due_in().await / 1_000_000;
            let asked = if path == "/seconds" { 3_600 } else { 7_200 };
            assert!((asked - 1..=asked + 1).contains(&due), "{path}: {due}");
            // It asked to be left alone: what is new waits as well.
            world.happen(&["ticket:2"]).await;
            world.handed_out().await;
            world.wait(Duration::from_secs(60));
            tokio::time::sleep(limits::TICK * 2).await;
            assert_eq!(world.sink.taken().len(), 1, "{path}");
            world.sink.says(200);
            world.wait(Duration::from_secs(asked.unsigned_abs() + 2));
            world.came(3).await;
            world.all_done().await;
            world.desk.app.delete(&format!("/webhooks/{}", made.id()), &world.token()).await.expect(204);
        }
    }

    /// 410 says that there is nobody any more: the endpoint is disabled at once, on record and with notice.
    async fn gone_disables(test) {
        let world = World::new(test).await;
        let made = world.webhook("/gone", json!({})).await;
        world.webhook("/watch", json!({"types": ["webhook.*"]})).await;
        world.sink.answers(|taken| match taken.path.as_str() {
            "/gone" => StatusCode::GONE.into_response(),
            _ => StatusCode::OK.into_response(),
        });
        world.tag("x").await;
        world.until("the notice", |w| w.sink.at("/watch").iter().any(|t| t.json()["type"] == "webhook.disabled")).await;
        let notice = world.sink.at("/watch").pop().unwrap().json();
        assert_eq!((&notice["data"]["status"], &notice["data"]["disabled_reason"]), (&json!("disabled"), &json!("gone")));
        assert!(notice["data"].get("secret").is_none() && notice["data"].get("headers_secret").is_none());
        let state = world.state(&made.id()).await;
        assert_eq!((&state["status"], &state["disabled_reason"]), (&json!("disabled"), &json!("gone")));
        let lines = world.get("/audit-logs?action=webhooks.disable").await.expect(200).body;
        assert_eq!(lines["data"][0]["object_id"], made.id());
        assert_eq!(lines["data"][0]["actor_kind"], "system");
        // It is kept nothing for, and can't be tested, until it is made active; then it begins with what is new.
        world.tag("lost").await;
        let test = world.act(&format!("/webhooks/{}/test", made.id())).await.expect(409);
        assert_eq!(test.code(), "webhook-disabled");
        world.sink.says(200);
        world.patch(&format!("/webhooks/{}", made.id()), json!({"status": "active"})).await.expect(200);
        world.tag("new").await;
        world.until("what is new", |w| w.sink.at("/gone").len() == 2).await;
        world.all_done().await;
        assert_eq!(world.sink.at("/gone")[1].json()["data"]["name"], "new");
        let state = world.state(&made.id()).await;
        assert_eq!((&state["status"], &state["disabled_reason"]), (&json!("active"), &Value::Null));
        let statuses: Vec<Value> = world.deliveries(&made.id()).await.iter().map(|d| d["status"].clone()).collect();
        assert_eq!(statuses, ["cancelled", "delivered"]);
        // What was cancelled can be had.
        world.post(&format!("/webhooks/{}/recover", made.id()), json!({})).await.expect(202);
        world.until("what was cancelled", |w| w.sink.at("/gone").len() == 3).await;
    }

    /// Five days of nothing but failures disable; one success in between begins the count again.
    async fn five_days_of_failure_disable(test) {
        let world = World::new(test).await;
        let made = world.webhook("/hook", json!({})).await;
        let fail = async |name: &str| {
            let before = world.desk.app.test.number("SELECT COUNT(*) FROM webhook_attempts").await;
            world.tag(name).await;
            world.recorded(before + 1).await;
        };
        let day = Duration::from_secs(86_400);
        world.sink.says(500);
        fail("first").await;
        world.sink.says(200);
        world.wait(day * 4);
        world.tag("good").await;
        world.came(3).await;
        world.all_done().await;
        world.wait(day);
        world.sink.says(500);
        fail("second").await;
        world.wait(day * 4);
        fail("third").await;
        let state = world.state(&made.id()).await;
        assert_eq!(state["status"], "active", "only four days");
        assert!(state["failing_since"].is_string());
        world.wait(day + Duration::from_secs(3_600));
        world.rows(1, "SELECT COUNT(*) FROM webhooks WHERE status = 'disabled' AND disabled_reason = 'failing'").await;
        world.all_done().await;
        world.rows(1, "SELECT COUNT(*) FROM events WHERE kind = 'webhook.disabled'").await;
    }

    /// A redirect is a failure, recorded as one, and its target gets nothing.
    async fn redirects_are_not_followed(test) {
        let world = World::new(test).await;
        let target = world.sink.url("/target");
        world.sink.answers(move |taken| match taken.path.as_str() {
            "/hook" => Redirect::temporary(&target).into_response(),
            _ => StatusCode::OK.into_response(),
        });
        let made = world.webhook("/hook", json!({})).await;
        world.tag("x").await;
        world.recorded(1).await;
        let attempt = world.attempts(&made.id()).await.remove(0);
        assert_eq!((&attempt["outcome"], &attempt["status_code"]), (&json!("redirect"), &json!(307)));
        assert!(world.sink.at("/target").is_empty());
    }

    /// A name that leads to a private address is refused when it is called.
    async fn names_of_private_addresses_are_refused(test) {
        let world = World::allowing(test, "10.0.0.0/8").await;
        let url = format!("http://localhost:{}/hook", world.sink.address.port());
        let made = world.webhook("/", json!({"url": url})).await;
        world.tag("x").await;
        world.recorded(1).await;
        let attempt = world.attempts(&made.id()).await.remove(0);
        assert_eq!((&attempt["outcome"], &attempt["status_code"]), (&json!("refused-address"), &Value::Null));
        assert!(attempt["detail"].as_str().unwrap().contains("loopback"), "{attempt}");
        assert!(world.sink.taken().is_empty());
    }

    /// After some failures in a row an endpoint is only probed, one request at a time; a success opens the way for all.
    async fn a_failing_endpoint_is_only_probed(test) {
        let world = World::new(test).await;
        let works = Arc::new(AtomicBool::new(false));
        let is_up = Arc::clone(&works);
        world.sink.answers(move |_| match is_up.load(Ordering::SeqCst) {
            true => StatusCode::OK.into_response(),
            false => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        });
        let made = world.webhook("/hook", json!({"concurrency": 4})).await;
        let keys: Vec<String> = (0..100).map(|n| format!("ticket:{n}")).collect();
        world.happen(&keys).await;
        world.until("the way to close", |w| w.stats.in_flight.load(Ordering::Relaxed) == 0 && w.sink.taken().len() >= 5).await;
        let burst = world.sink.taken().len();
        assert!((5..=9).contains(&burst), "{burst} requests before the endpoint was only probed");
        // However many failed together, the first probe comes after the first pause, and alone.
        for (probe, pause) in [(1, 10), (2, 20), (3, 40)] {
            tokio::time::sleep(limits::TICK * 2).await;
            assert_eq!(world.sink.taken().len(), burst + probe - 1);
            world.wait(Duration::from_secs(pause));
            world.came(burst + probe).await;
            world.until("its result", |w| w.stats.in_flight.load(Ordering::Relaxed) == 0).await;
        }
        tokio::time::sleep(limits::TICK * 2).await;
        assert_eq!(world.sink.taken().len(), burst + 3);
        let waiting = world.stats.waiting.load(Ordering::Relaxed);
        assert!(waiting <= limits::WAITING_LEAST as u64, "a dead endpoint keeps {waiting} in memory");
        works.store(true, Ordering::SeqCst);
        world.wait(Duration::from_secs(600));
        world.all_done().await;
        let delivered = world.deliveries(&made.id()).await.iter().filter(|d| d["status"] == "delivered").count();
        assert_eq!(delivered, 100);
    }

    /// A time that was written while the clock was wrong does not hold a delivery back for ever.
    async fn a_clock_that_jumps(test) {
        let world = World::new(test).await;
        world.sink.says(500);
        world.webhook("/hook", json!({})).await;
        let now = world.desk.app.clock.now();
        world.wait(Duration::from_secs(400 * 86_400));
        world.tag("x").await;
        world.recorded(1).await;
        world.desk.app.clock.set(now + Duration::from_secs(60));
        world.sink.says(200);
        world.came(2).await;
        world.all_done().await;
    }
}
