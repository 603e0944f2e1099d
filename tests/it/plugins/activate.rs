//! Versions become active, examples stand before that, and there is a way back.

use serde_json::{Value, json};

use super::{World, brief, wasm};
use crate::support::both_databases;

fn leads_to(queue: &str) -> Value {
    json!({"decision": {"tag": "route", "val": {"steps": [{"target": {"tag": "queue", "val": queue}}]}}})
}

both_databases! {
    /// A call gets the active version, at once after a change; the way back leads to the version before.
    async fn activate_and_roll_back(test) {
        let w = World::new(test).await;
        let path = w.router("vip-router", json!({})).await;
        w.upload(&path, wasm::to_queue("support")).await.expect(201);
        w.upload(&path, wasm::to_queue("sales")).await.expect(201);
        assert_eq!(w.get(&path).await.body["status"], "draft");
        w.held.read().await;
        let reply = w.ask("vip-router", "+15557770001").await;
        assert_eq!((brief(&reply).as_str(), reply.report.text.as_str()), ("v0 not-loadable", "it has no active version"));
        assert_eq!(w.act(&format!("{path}/rollback")).await.expect(409).code(), "no-previous");

        let version = w.desk.app.test.number("SELECT version FROM routing_versions WHERE tenant_id = 'acme'").await;
        let made = w.act(&format!("{path}/versions/1/activate")).await.expect(200);
        assert_eq!((&made.body["status"], &made.body["active_version"]), (&json!("active"), &json!(1)));
        let now = w.desk.app.test.number("SELECT version FROM routing_versions WHERE tenant_id = 'acme'").await;
        assert_eq!(now, version + 1);
        w.held.read().await;
        assert_eq!(brief(&w.ask("vip-router", "+15557770001").await), "v1 support");
        // Once more changes nothing.
        assert_eq!(w.act(&format!("{path}/versions/1/activate")).await.expect(200).body, made.body);

        w.act(&format!("{path}/versions/2/activate")).await.expect(200);
        w.held.read().await;
        assert_eq!(brief(&w.ask("vip-router", "+15557770001").await), "v2 sales");
        let back = w.act(&format!("{path}/rollback")).await.expect(200);
        assert_eq!((&back.body["active_version"], &back.body["previous_version"]), (&json!(1), &json!(2)));
        w.held.read().await;
        assert_eq!(brief(&w.ask("vip-router", "+15557770001").await), "v1 support");
        let told: Vec<Value> = w.events("plugin.activated").await.into_iter().map(|e| e["data"].clone()).collect();
        let causes: Vec<_> = told.iter().map(|d| (d["version"].clone(), d["previous"].clone(), d["cause"].clone())).collect();
        assert_eq!(causes, [
            (json!(1), Value::Null, json!("activate")),
            (json!(2), json!(1), json!("activate")),
            (json!(1), json!(2), json!("rollback")),
        ]);
        w.act(&format!("{path}/versions/9/activate")).await.expect(404);
    }

    /// Switched off it is not asked; deleted it is gone, unless a number still asks it.
    async fn switched_off_and_deleted(test) {
        let w = World::new(test).await;
        let path = w.router("vip-router", json!({})).await;
        w.active(&path, wasm::to_queue("support")).await;
        assert_eq!(w.act(&format!("{path}/disable")).await.expect(200).body["status"], "disabled");
        w.held.read().await;
        assert_eq!(w.ask("vip-router", "+15557770001").await.report.text, "it is disabled");
        assert_eq!(w.act(&format!("{path}/unpark")).await.expect(409).code(), "not-active");
        // An activation does not switch it on.
        w.upload(&path, wasm::to_queue("sales")).await.expect(201);
        assert_eq!(w.act(&format!("{path}/versions/2/activate")).await.expect(200).body["status"], "disabled");
        assert_eq!(w.act(&format!("{path}/enable")).await.expect(200).body["status"], "active");
        w.held.read().await;
        assert_eq!(brief(&w.ask("vip-router", "+15557770001").await), "v2 sales");
        w.desk.furnish().await;
        let did = json!({"number": "+15550001006", "route_type": "queue", "route_target": "support", "plugin": "vip-router@1"});
        let did = w.post("/dids", did).await.expect(201).id();
        assert_eq!(w.desk.app.delete(&path, &w.token()).await.expect(409).code(), "in-use");
        w.held.read().await;
        assert_eq!(brief(&w.ask_version("vip-router", Some(1), "+1").await), "v1 support");
        assert_eq!(brief(&w.ask_version("vip-router", Some(7), "+1").await), "v0 not-loadable");
        w.desk.app.delete(&format!("/dids/{did}"), &w.token()).await.expect(204);
        w.desk.app.delete(&path, &w.token()).await.expect(204);
        w.held.read().await;
        assert!(w.held.setups.lock().unwrap().is_empty());
        w.get(&path).await.expect(404);
        // The name is free again.
        w.router("vip-router", json!({})).await;
        w.post("/plugins", json!({"name": "vip-router", "kind": "router"})).await.expect(409);
    }

    /// An example that fails lets a version in and keeps it from calls, unless somebody insists.
    async fn examples_stand_before_activation(test) {
        let w = World::new(test).await;
        let path = w.router("vip-router", json!({"grants": ["contacts"]})).await;
        let contact = json!({"id": "1", "name": "Ada", "numbers": ["+15557770001"]});
        let answers = json!([{"ask": {"contact_by_number": {"number": "+15557770001"}}, "answer": {"Ok": {"contact": contact}}}]);
        let input = json!({"call": {"caller": {"number": "+15557770001"}}});
        let to_101 = json!({"decision": {"tag": "route", "val": {"steps": [{"target": {"tag": "endpoint", "val": "101"}}]}}});
        let known = json!({"name": "a contact", "input": input, "answers": answers, "expected": to_101});
        let example = w.post(&format!("{path}/examples"), known).await.expect(201);
        let stranger = json!({"name": "a stranger", "input": input, "expected": leads_to("support")});
        w.post(&format!("{path}/examples"), stranger).await.expect(201);
        let good = w.upload(&path, wasm::looks_up()).await.expect(201);
        assert_eq!(good.body["examples"], json!([
            {"name": "a contact", "passed": true, "outcome": "ok", "detail": ""},
            {"name": "a stranger", "passed": true, "outcome": "ok", "detail": ""},
        ]));
        let bad = w.upload(&path, wasm::to_queue("support")).await.expect(201);
        assert_eq!(bad.body["examples"][0]["passed"], false);
        assert!(bad.body["examples"][0]["detail"].as_str().unwrap().contains("instead of"));
        w.act(&format!("{path}/versions/1/activate")).await.expect(200);
        let refused = w.act(&format!("{path}/versions/2/activate")).await.expect(409);
        assert_eq!((refused.code(), refused.body["errors"].as_array().unwrap().len()), ("examples-failed", 1));
        w.act(&format!("{path}/versions/2/activate?force=true")).await.expect(200);
        // Their runs are in the log, with what they were given.
        let runs = w.get(&format!("{path}/runs?trigger=example&version=2")).await.expect(200);
        assert_eq!(runs.body["data"].as_array().unwrap().len(), 2);
        assert!(runs.body["data"].as_array().unwrap().iter().any(|run| run["subject_id"] == example.body["id"]));
        // Wrong ones are refused with the place.
        for (wrong, pointer) in [
            (json!({"name": "x", "input": {"event": {"kind": "a.b"}}, "expected": leads_to("a")}), "/input"),
            (json!({"name": "x", "input": input, "expected": {"draft": null}}), "/expected"),
            (json!({"name": "x", "input": {"call": {"caller": 1}}, "expected": leads_to("a")}), "/input/call"),
            (json!({"name": "x", "input": input, "expected": {"outcome": "fine"}}), "/expected"),
            (json!({"name": "x", "input": input, "expected": leads_to("a"), "answers": [1]}), "/answers"),
        ] {
            let answer = w.post(&format!("{path}/examples"), wrong).await.expect(422);
            assert_eq!(answer.pointers(), [pointer], "{:#}", answer.body);
        }
    }

    /// A test shows everything and has no effect.
    async fn a_version_is_tried(test) {
        let w = World::new(test).await;
        let path = w.router("vip-router", json!({"grants": ["contacts"]})).await;
        w.upload(&path, wasm::looks_up()).await.expect(201);
        let input = json!({"input": {"call": {"caller": {"number": "+15557770009"}}}});
        let report = w.post(&format!("{path}/versions/1/test"), input).await.expect(200).body;
        assert_eq!(report["outcome"], "ok");
        assert_eq!(report["output"]["decision"]["val"]["steps"][0]["target"]["val"], "support");
        assert_eq!(report["trail"][0]["ask"], json!({"contact_by_number": {"number": "+15557770001"}}));
        assert_eq!((&report["host_calls"], &report["limits"]["cpu_ms"]), (&json!(1), &json!(20)));
        assert!(report["fuel"].as_u64().unwrap() > 0);
        let run = w.get(&format!("{path}/runs/{}", report["run_id"].as_str().unwrap())).await.expect(200).body;
        assert_eq!((&run["trigger"], &run["fuel"]), (&json!("test"), &report["fuel"]));
        assert_eq!(run["input"], json!({"call": {"caller": {"number": "+15557770009"}}}));
        let wrong = json!({"input": {"event": {"kind": "a.b"}}});
        assert_eq!(w.post(&format!("{path}/versions/1/test"), wrong).await.expect(422).pointers(), ["/input"]);
    }
}
