//! Events of a key one after the other, where that is asked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use hookswitch::config::limits::webhooks as limits;
use serde_json::json;

use super::World;
use crate::support::both_databases;

/// Sequences of each key in the order in which they were first sent, and last.
fn of_each_key(world: &World) -> BTreeMap<String, Vec<i64>> {
    let mut all: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (key, sequence) in world.sink.sequences() {
        all.entry(key).or_default().push(sequence);
    }
    all
}

both_databases! {
    /// A head that fails holds back its own key and no other; when it is given up, the next goes.
    async fn a_failing_head_holds_back_its_own_key(test) {
        let world = World::new(test).await;
        world.sink.answers(|taken| {
            let event = taken.json();
            let is_bad = event["key"] == "ticket:bad" && event["sequence"] == 1;
            if is_bad { StatusCode::BAD_REQUEST } else { StatusCode::OK }.into_response()
        });
        let made = world.webhook("/hook", json!({"ordered": true})).await;
        world.happen(&["ticket:bad", "ticket:good", "ticket:bad", "ticket:good", "ticket:bad"]).await;
        world.came(3).await;
        world.recorded(3).await;
        assert_eq!(of_each_key(&world), BTreeMap::from([("ticket:bad".into(), vec![1]), ("ticket:good".into(), vec![1, 2])]));
        let waiting = "SELECT COUNT(*) FROM webhook_deliveries WHERE status = 'waiting'";
        assert_eq!(world.desk.app.test.number(waiting).await, 2);
        for n in 2..=10_i64 {
            world.wait(Duration::from_micros(u64::try_from(limits::PAUSES_US[usize::try_from(n).unwrap() - 2] * 5 / 4).unwrap()));
            world.recorded(n + 2).await;
        }
        // So many failures in a row: the endpoint is only probed by now.
        world.wait(Duration::from_micros(limits::PROBE_US.1.unsigned_abs()));
        world.all_done().await;
        let bad = of_each_key(&world).remove("ticket:bad").unwrap();
        assert_eq!(bad, [vec![1; 10], vec![2, 3]].concat());
        let states: Vec<_> = world.deliveries(&made.id()).await.iter().map(|d| d["status"].clone()).collect();
        assert_eq!(states.iter().filter(|s| **s == "failed").count(), 1);
        assert_eq!(states.iter().filter(|s| **s == "delivered").count(), 4);
    }

    /// Many events of some keys, a third of the requests refused once: each key's come in their order all the same.
    async fn order_holds_over_many_and_retries(test) {
        let world = World::new(test).await;
        let tried: Mutex<HashMap<String, u32>> = Mutex::default();
        world.sink.answers(move |taken| {
            let mut tried = tried.lock().unwrap();
            let count = tried.entry(taken.id().to_owned()).or_default();
            *count += 1;
            let refuse = *count == 1 && taken.json()["sequence"].as_i64().unwrap() % 3 == 1;
            if refuse { StatusCode::BAD_GATEWAY } else { StatusCode::OK }.into_response()
        });
        world.webhook("/hook", json!({"ordered": true, "concurrency": 16})).await;
        let keys: Vec<String> = (0..240).map(|n| format!("ticket:{}", n % 12)).collect();
        for piece in keys.chunks(60) {
            world.happen(piece).await;
        }
        let unfinished = "SELECT (SELECT COUNT(*) FROM webhook_deliveries WHERE status IN ('pending', 'waiting')) \
             + (SELECT COUNT(*) FROM webhooks WHERE behind IS NOT NULL)";
        world.handed_out().await;
        for _ in 0..400 {
            if world.desk.app.test.number(unfinished).await == 0 {
                break;
            }
            // Further than any pause between probes in a few steps.
            world.wait(Duration::from_secs(300));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        world.all_done().await;
        for (key, mut sequences) in of_each_key(&world) {
            assert!(sequences.is_sorted(), "{key}: {sequences:?}");
            sequences.dedup();
            assert_eq!(sequences, (1..=20).collect::<Vec<_>>(), "{key}");
        }
    }

    /// Whatever waits behind others goes when order is not wanted any more; it begins anew when it is wanted again.
    async fn switching_order_off_releases(test) {
        let world = World::new(test).await;
        world.sink.opens(false);
        let made = world.webhook("/hang", json!({"ordered": true, "concurrency": 16, "timeout_s": 30})).await;
        world.happen(&["ticket:1"; 10]).await;
        world.rows(9, "SELECT COUNT(*) FROM webhook_deliveries WHERE status = 'waiting'").await;
        world.came(1).await;
        world.patch(&format!("/webhooks/{}", made.id()), json!({"ordered": false})).await.expect(200);
        world.came(10).await;
        world.patch(&format!("/webhooks/{}", made.id()), json!({"ordered": true})).await.expect(200);
        world.happen(&["ticket:1"; 3]).await;
        world.rows(3, "SELECT COUNT(*) FROM webhook_deliveries WHERE status = 'waiting'").await;
        assert_eq!(world.sink.taken().len(), 10);
        world.sink.opens(true);
        world.all_done().await;
        let sequences: Vec<i64> = world.sink.sequences().into_iter().map(|(_, n)| n).collect();
        assert_eq!(sequences[10..], [11, 12, 13]);
    }

    /// A resent event of an ordered endpoint waits like any other of its key.
    async fn what_is_resent_takes_its_turn(test) {
        let world = World::new(test).await;
        world.sink.opens(false);
        let made = world.webhook("/hang", json!({"ordered": true})).await;
        world.happen(&["ticket:1", "ticket:1"]).await;
        world.came(1).await;
        world.rows(2, "SELECT COUNT(*) FROM webhook_deliveries").await;
        let first = world.deliveries(&made.id()).await.remove(0);
        let path = format!("/webhooks/{}/deliveries/{}/resend", made.id(), first["id"].as_str().unwrap());
        let again = world.act(&path).await.expect(201);
        assert_eq!(again.body["status"], "waiting");
        world.sink.opens(true);
        world.all_done().await;
        // The oldest first: the one that was resent goes before what is younger.
        let sequences: Vec<i64> = world.sink.sequences().into_iter().map(|(_, n)| n).collect();
        assert_eq!(sequences, [1, 1, 2]);
    }
}
