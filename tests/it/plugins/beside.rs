//! Versions beside the active one: the canary for some callers, the shadow for nobody.

use hookswitch::plugins::Run;
use serde_json::{Value, json};

use super::{World, brief, wasm};
use crate::support::{both_databases, eventually};

both_databases! {
    /// Callers by number and by percentage get the canary, the same ones each time.
    async fn a_canary_gets_its_callers(test) {
        let w = World::new(test).await;
        let path = w.router("vip-router", json!({})).await;
        w.active(&path, wasm::to_queue("support")).await;
        w.upload(&path, wasm::to_queue("sales")).await.expect(201);
        let canary = format!("{path}/canary");
        assert_eq!(w.post(&canary, json!({"version": 1, "percent": 5})).await.expect(409).code(), "is-active");
        assert_eq!(w.post(&canary, json!({"version": 2})).await.expect(422).pointers(), ["/percent"]);
        assert_eq!(w.post(&canary, json!({"version": 9, "percent": 1})).await.expect(422).pointers(), ["/version"]);
        w.post(&canary, json!({"version": 2, "numbers": ["+15557770001"]})).await.expect(200);
        w.held.read().await;
        assert_eq!(brief(&w.ask("vip-router", "+15557770001").await), "v2 sales");
        assert_eq!(brief(&w.ask("vip-router", "+15557770002").await), "v1 support");

        w.post(&canary, json!({"version": 2, "percent": 30})).await.expect(200);
        w.held.read().await;
        let mut got = 0;
        for n in 0..200 {
            let caller = format!("+1555777{n:04}");
            let first = brief(&w.ask("vip-router", &caller).await);
            assert_eq!(brief(&w.ask("vip-router", &caller).await), first);
            got += u32::from(first == "v2 sales");
        }
        assert!((30..90).contains(&got), "{got} of 200");
        w.desk.app.delete(&canary, &w.token()).await.expect(204);
        w.desk.app.delete(&canary, &w.token()).await.expect(204);
        w.held.read().await;
        assert_eq!(brief(&w.ask("vip-router", "+15557770001").await), "v1 support");
        // Activated, it is no canary any more.
        let (body, key) = (json!({"version": 2, "percent": 100}), [("idempotency-key", "k")]);
        let set = w.desk.app.ask("POST", &canary, &w.token(), Some(body.clone()), &key).await.expect(200);
        let active = w.act(&format!("{path}/versions/2/activate")).await.expect(200).body;
        assert_eq!((&active["canary_version"], &active["canary_percent"]), (&Value::Null, &json!(0)));
        // What was answered is not looked at again.
        let again = w.desk.app.ask("POST", &canary, &w.token(), Some(body), &key).await.expect(200);
        assert_eq!((again.body, again.headers.contains_key("idempotency-replayed")), (set.body, true));
    }

    /// A shadow runs with the same answers and without effect; what differs is told.
    async fn a_shadow_is_compared(test) {
        let w = World::new(test).await;
        let stopper = w.work();
        let path = w.router("vip-router", json!({"grants": ["contacts"]})).await;
        w.active(&path, wasm::looks_up()).await;
        w.upload(&path, wasm::to_queue("support")).await.expect(201);
        w.upload(&path, wasm::to_queue("sales")).await.expect(201);
        let shadow = format!("{path}/shadow");
        w.post(&shadow, json!({"version": 2})).await.expect(200);
        w.held.read().await;
        // Nobody answers: both take the queue.
        for _ in 0..3 {
            assert_eq!(brief(&w.ask("vip-router", "+15557770001").await), "v1 support");
        }
        let same = report(&w, &shadow, 3).await;
        assert_eq!((&same["version"], &same["differing"], &same["differences"]), (&json!(2), &json!(0), &json!([])));
        assert!(same["fuel"].as_i64().unwrap() > 0 && same["other_fuel"].as_i64() > same["fuel"].as_i64(), "{same:#}");

        w.desk.app.wait(std::time::Duration::from_secs(1));
        w.post(&shadow, json!({"version": 3})).await.expect(200);
        w.held.read().await;
        assert_eq!(brief(&w.ask("vip-router", "+15557770001").await), "v1 support");
        let other = report(&w, &shadow, 1).await;
        assert_eq!(other["differing"], 1);
        let difference = &other["differences"][0];
        assert_eq!(difference["output"]["decision"]["val"]["steps"][0]["target"]["val"], "sales");
        assert_eq!(difference["other_output"]["decision"]["val"]["steps"][0]["target"]["val"], "support");
        assert_eq!(difference["input"]["call"]["caller"]["number"], "+15557770001");
        w.desk.app.delete(&shadow, &w.token()).await.expect(204);
        assert_eq!(w.get(&shadow).await.expect(200).body["version"], Value::Null);
        stopper.stop();
    }

    /// A shadow that asks more than the real run did is denied, and nothing else happens.
    async fn a_shadow_asks_nobody(test) {
        let w = World::new(test).await;
        let stopper = w.work();
        let path = w.router("vip-router", json!({"grants": ["contacts"]})).await;
        w.active(&path, wasm::to_queue("sales")).await;
        w.upload(&path, wasm::looks_up()).await.expect(201);
        w.post(&format!("{path}/shadow"), json!({"version": 2})).await.expect(200);
        w.held.read().await;
        w.ask("vip-router", "+15557770001").await;
        let told = report(&w, &format!("{path}/shadow"), 1).await;
        let denied = json!({"Err": {"tag": "denied", "val": "a shadow is answered only what the real run asked"}});
        assert_eq!(told["differences"][0]["trail"][0]["answer"], denied);
        stopper.stop();
    }
}

/// The shadow's report, once so many runs were compared.
async fn report(w: &World, path: &str, count: i64) -> Value {
    eventually("the shadow's report", || async {
        let report = w.get(path).await.expect(200).body;
        (report["compared"] == count).then_some(report)
    })
    .await
}

/// What the call's journal holds of a run comes back as it was.
#[test]
fn a_run_goes_through_json() {
    crate::support::run(crate::support::Kind::Sqlite, |test| async move {
        let w = World::new(test).await;
        let path = w.router("vip-router", json!({})).await;
        w.active(&path, wasm::to_queue("support")).await;
        let reply = w.ask("vip-router", "+15557770001").await;
        let run = reply.clone().into_run(w.desk.app.gate.ids.next(), 5, "01kb2x8v9q3d5s7f1g4h6j8k0m");
        let text = serde_json::to_string(&run).unwrap();
        assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), run);
    });
}
