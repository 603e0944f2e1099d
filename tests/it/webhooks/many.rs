//! Many endpoints, many events, several processes, a database that is away.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hookswitch::base::clock::Stopwatch;
use hookswitch::config::limits::webhooks as limits;
use hookswitch::webhooks::keep;
use serde_json::json;

use super::World;
use crate::support::{Kind, both_databases};

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("ticket:{n}")).collect()
}

/// Ids of what came, and how many times something came that had come before.
fn distinct(world: &World, path: &str) -> (usize, usize) {
    let all = world.sink.at(path);
    let ids: HashSet<&str> = all.iter().map(|taken| taken.id()).collect();
    (ids.len(), all.len() - ids.len())
}

both_databases! {
    /// Nine endpoints that hang beside a good one, each with as many requests as it may have: the good one does not wait.
    async fn dead_endpoints_starve_nobody(test) {
        let world = World::new(test).await;
        world.sink.opens(false);
        for n in 0..9 {
            world.webhook(&format!("/hang{n}"), json!({"concurrency": 64, "timeout_s": 30})).await;
        }
        world.webhook("/good", json!({"concurrency": 4})).await;
        world.happen(&keys(100)).await;
        let took = Stopwatch::start();
        world.until("the first hundred", |w| w.sink.at("/good").len() == 100).await;
        // All places are taken at first; each comes back within a second.
        assert!(took.elapsed_us() < 10_000_000, "{} us", took.elapsed_us());
        world.until("the others to hang", |w| w.sink.busy.0.load(Ordering::SeqCst) == 9 * 64).await;
        let took = Stopwatch::start();
        world.happen(&keys(100)).await;
        world.until("the second hundred", |w| w.sink.at("/good").len() == 200).await;
        assert!(took.elapsed_us() < 5_000_000, "{} us", took.elapsed_us());
        assert_eq!(distinct(&world, "/good"), (200, 0));
        world.sink.opens(true);
        world.all_done().await;
    }

    /// No more requests at a time than the endpoint may have.
    async fn an_endpoint_has_its_share_and_no_more(test) {
        let world = World::new(test).await;
        world.sink.opens(false);
        world.webhook("/hang", json!({"concurrency": 3, "timeout_s": 30})).await;
        world.happen(&keys(50)).await;
        world.came(3).await;
        tokio::time::sleep(limits::TICK * 2).await;
        assert_eq!(world.sink.taken().len(), 3);
        world.sink.opens(true);
        world.all_done().await;
        assert_eq!((world.sink.busy.1.load(Ordering::SeqCst) <= 3, distinct(&world, "/hang")), (true, (50, 0)));
    }

    /// More than memory holds waits in the stream, and all of it comes, once.
    async fn more_than_memory_holds(test) {
        let world = World::new(test).await;
        world.sink.opens(false);
        world.webhook("/hang", json!({"concurrency": 32, "timeout_s": 30})).await;
        for _ in 0..3 {
            world.happen(&keys(500)).await;
        }
        world.handed_out().await;
        let waiting = world.stats.waiting.load(Ordering::Relaxed);
        assert!(waiting < 200, "{waiting} in memory");
        assert!(world.desk.app.test.number("SELECT COUNT(*) FROM webhook_deliveries").await < 200);
        world.sink.opens(true);
        world.all_done().await;
        assert_eq!(distinct(&world, "/hang"), (1_500, 0));
    }

    /// The same after a kill: nothing is lost, and only what was under way comes twice.
    async fn a_killed_process_loses_nothing(test) {
        let mut world = World::new(test).await;
        world.sink.opens(false);
        world.webhook("/hang", json!({"concurrency": 8, "timeout_s": 30})).await;
        world.webhook("/ordered", json!({"ordered": true})).await;
        world.happen(&[keys(300), keys(300)].concat()).await;
        world.until("some requests", |w| w.sink.at("/hang").len() == 8 && w.sink.at("/ordered").len() > 50).await;
        world.kill();
        world.happen(&keys(100)).await;
        world.sink.opens(true);
        world.start();
        world.rows(1_400, "SELECT COUNT(*) FROM webhook_deliveries").await;
        world.all_done().await;
        let (came, twice) = distinct(&world, "/hang");
        assert!(came == 700 && twice <= 8, "{came} came, {twice} twice");
        // Whatever was taken and not yet on record comes again.
        assert_eq!(distinct(&world, "/ordered").0, 700);
        let mut sequences = std::collections::BTreeMap::<String, Vec<i64>>::new();
        for taken in world.sink.at("/ordered") {
            let event = taken.json();
            sequences.entry(event["key"].as_str().unwrap().to_owned()).or_default().push(event["sequence"].as_i64().unwrap());
        }
        assert!(sequences.values().all(|all| all.is_sorted()), "{sequences:?}");
    }

    /// An orderly end leaves what it has to the next process at once.
    async fn an_orderly_end_leaves_nothing_behind(test) {
        let mut world = World::new(test).await;
        world.sink.opens(false);
        world.webhook("/hang", json!({"concurrency": 2, "timeout_s": 30})).await;
        world.happen(&keys(20)).await;
        world.came(2).await;
        let (stopped, open) = (world.stop(), Duration::from_millis(300));
        tokio::join!(stopped, tokio::time::sleep(open));
        let held = world.desk.app.test.number("SELECT COUNT(*) FROM webhook_deliveries WHERE owner <> ''").await;
        assert_eq!(held, 0);
        let other = world.other();
        world.sink.opens(true);
        world.rows(20, "SELECT COUNT(*) FROM webhook_deliveries WHERE status = 'delivered'").await;
        other.stop().await;
        assert_eq!(distinct(&world, "/hang").0, 20);
    }

    /// Two processes share the work: each event comes once to each endpoint, in order where asked.
    async fn two_processes_send_each_event_once(test) {
        let world = World::new(test).await;
        let other = world.other();
        world.webhook("/one", json!({})).await;
        world.webhook("/two", json!({"ordered": true})).await;
        for _ in 0..10 {
            world.happen(&keys(50)).await;
        }
        world.until("all of it", |w| distinct(w, "/one").0 == 500 && distinct(w, "/two").0 == 500).await;
        world.rows(1_000, "SELECT COUNT(*) FROM webhook_deliveries WHERE status = 'delivered'").await;
        assert_eq!((distinct(&world, "/one").1, distinct(&world, "/two").1), (0, 0));
        let mut last = std::collections::HashMap::new();
        for taken in world.sink.at("/two") {
            let event = taken.json();
            let (key, sequence) = (event["key"].to_string(), event["sequence"].as_i64().unwrap());
            assert!(last.insert(key, sequence).is_none_or(|before| before < sequence), "{event}");
        }
        other.stop().await;
    }

    /// What a dead process had in its hands is taken over, retries included.
    async fn a_dead_process_is_taken_over(test) {
        let mut world = World::new(test).await;
        world.sink.opens(false);
        world.webhook("/hang", json!({"concurrency": 1, "timeout_s": 30})).await;
        let failing = world.webhook("/failing", json!({})).await;
        world.sink.answers(|taken| match taken.path.as_str() {
            "/failing" => axum::response::IntoResponse::into_response(axum::http::StatusCode::BAD_REQUEST),
            _ => axum::response::IntoResponse::into_response("ok"),
        });
        world.happen(&keys(3)).await;
        world.until("a request of each", |w| w.sink.at("/hang").len() == 1 && w.sink.at("/failing").len() == 3).await;
        world.rows(3, "SELECT COUNT(*) FROM webhook_deliveries WHERE attempts = 1").await;
        let other = world.other();
        world.kill();
        world.sink.says(200);
        world.sink.opens(true);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(world.sink.at("/hang").len(), 1, "it counts as alive for a minute");
        // The other one says again that it lives within ten seconds.
        world.wait(Duration::from_micros(limits::ALIVE_US.unsigned_abs() + 1_000_000));
        world.rows(6, "SELECT COUNT(*) FROM webhook_deliveries WHERE status = 'delivered'").await;
        assert_eq!((distinct(&world, "/hang").0, distinct(&world, "/failing").0), (3, 3));
        assert_eq!(world.state(&failing.id()).await["failures"], 0);
        other.kill();
    }

    /// An endpoint whose secret can't be opened gets nothing; the others do, and memory is given back.
    async fn an_unusable_endpoint_harms_nobody(test) {
        let world = World::new(test).await;
        let broken = world.webhook("/broken", json!({})).await;
        let secret = world.desk.app.test.texts(&format!("SELECT secret FROM webhooks WHERE id = '{}'", broken.id())).await.remove(0);
        world.desk.app.test.execute(&format!("UPDATE webhooks SET secret = 'xx' WHERE id = '{}'", broken.id())).await.unwrap();
        world.webhook("/good", json!({})).await;
        let mut world = world;
        world.stop().await;
        world.start();
        world.happen(&keys(40)).await;
        world.until("the good one's", |w| w.sink.at("/good").len() == 40).await;
        world.until("nothing in memory", |w| w.stats.waiting.load(Ordering::Relaxed) == 0).await;
        assert!(world.sink.at("/broken").is_empty());
        // Nothing was lost for it.
        world.stop().await;
        world.desk.app.test.execute(&format!("UPDATE webhooks SET secret = '{secret}' WHERE id = '{}'", broken.id())).await.unwrap();
        world.start();
        world.until("all of it", |w| distinct(w, "/broken").0 == 40).await;
    }

    /// A delivery whose event is not kept any more is given up, and what waits behind it goes.
    async fn what_is_too_old_is_given_up(test) {
        let world = World::new(test).await;
        let made = world.webhook("/hook", json!({"ordered": true})).await;
        world.sink.says(500);
        world.happen(&["ticket:1"; 3]).await;
        world.recorded(1).await;
        let db = &world.desk.app.test;
        db.execute("DELETE FROM events WHERE kind = 'ticket.updated' AND sequence < 3").await.unwrap();
        keep::purge(&db.db, 0, world.desk.app.clock.now_us()).await.unwrap();
        world.sink.says(200);
        world.patch(&format!("/webhooks/{}", made.id()), json!({"name": "again"})).await.expect(200);
        world.came(2).await;
        world.all_done().await;
        assert_eq!(world.sink.sequences(), [("ticket:1".to_owned(), 1), ("ticket:1".to_owned(), 3)]);
        let deliveries = world.deliveries(&made.id()).await;
        assert_eq!((&deliveries[0]["status"], &deliveries[0]["last_error"]), (&json!("failed"), &json!("event-gone")));
        let id = deliveries[0]["id"].as_str().unwrap();
        for (method, path) in [("GET", "payload"), ("POST", "resend")] {
            let path = format!("/webhooks/{}/deliveries/{id}/{path}", made.id());
            let answer = world.desk.app.ask(method, &path, &world.token(), None, &[]).await.expect(410);
            assert_eq!(answer.code(), "event-gone");
        }
        // And the finished ones go when they are old.
        let removed = keep::purge(&db.db, world.desk.app.clock.now_us() + 1, world.desk.app.clock.now_us()).await.unwrap();
        assert_eq!((removed, world.deliveries(&made.id()).await.len()), (3 + 2, 0));
    }

    /// While the database can't be written to, results wait and nothing is forgotten.
    async fn results_wait_for_the_database(test) {
        let world = World::new(Arc::clone(&test)).await;
        world.sink.opens(false);
        world.webhook("/hang", json!({"concurrency": 16, "timeout_s": 30})).await;
        world.happen(&keys(16)).await;
        world.came(16).await;
        // SQLite has one writer; on MariaDB the endpoint's row is what results need.
        let away = test.again().await;
        let mut tx = away.begin().await.unwrap();
        if test.kind == Kind::MySql {
            hookswitch::db::db_tx!(&mut tx, |c| sqlx::query("UPDATE webhooks SET name = 'held'").execute(c).await.map(drop)).unwrap();
        }
        world.sink.opens(true);
        world.until("all results", |w| w.stats.unwritten.load(Ordering::Relaxed) == 16).await;
        tokio::time::sleep(hookswitch::config::limits::db::BUSY_TIME + Duration::from_secs(1)).await;
        assert_eq!(world.stats.unwritten.load(Ordering::Relaxed), 16);
        drop(tx);
        world.recorded(16).await;
        world.all_done().await;
        assert_eq!(distinct(&world, "/hang"), (16, 0));
        away.close().await;
    }
}
