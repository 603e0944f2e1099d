//! The log of runs.

use hookswitch::plugins::{Run, Trigger, store};
use serde_json::{Value, json};

use super::{World, wasm};
use crate::support::{both_databases, tenant};

both_databases! {
    /// Runs are kept once, however often they are written; the list filters and reads on.
    async fn runs_are_kept_once(test) {
        let w = World::new(test).await;
        let path = w.router("vip-router", json!({})).await;
        w.active(&path, wasm::to_queue("support")).await;
        let mut runs: Vec<Run> = Vec::new();
        for n in 0..5 {
            let reply = w.ask("vip-router", "+15557770001").await;
            runs.push(reply.clone().into_run(w.desk.app.gate.ids.next(), w.desk.app.clock.now_us() + n, &format!("call-{n}")));
        }
        w.active(&path, wasm::fails("no list")).await;
        let reply = w.ask("vip-router", "+15557770001").await;
        runs.push(reply.clone().into_run(w.desk.app.gate.ids.next(), w.desk.app.clock.now_us() + 9, "call-9"));
        for _ in 0..2 {
            let mut tx = w.held.db.begin().await.unwrap();
            store::insert_runs(&mut tx, &tenant("acme"), &runs).await.unwrap();
            tx.commit().await.unwrap();
        }
        let page = w.get(&format!("{path}/runs?limit=4")).await.expect(200).body;
        let subjects = |page: &Value| -> Vec<String> {
            page["data"].as_array().unwrap().iter().map(|run| run["subject_id"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(subjects(&page), ["call-9", "call-4", "call-3", "call-2"]);
        let after = page["page"]["next"].as_str().unwrap();
        let page = w.get(&format!("{path}/runs?limit=4&after={after}")).await.expect(200).body;
        assert_eq!(subjects(&page), ["call-1", "call-0"]);
        let failed = w.get(&format!("{path}/runs?outcome=plugin-error")).await.expect(200).body;
        assert_eq!(subjects(&failed), ["call-9"]);
        let run = &failed["data"][0];
        assert_eq!((&run["text"], &run["version"], &run["trigger"]), (&json!("no list"), &json!(2), &json!("call")));
        assert_eq!((&run["output"], &run["differs"], &run["other_version"]), (&Value::Null, &Value::Null, &Value::Null));
        let one = w.get(&format!("{path}/runs?version=1&trigger=call&subject_id=call-3")).await.expect(200).body;
        assert_eq!(one["data"][0]["output"]["decision"]["tag"], "route");
        assert_eq!(runs[0].trigger, Trigger::Call);
    }

    /// Ticketers are shown events; a call is none, and the other way round.
    async fn each_kind_gets_its_own(test) {
        let w = World::new(test).await;
        let made = w.post("/plugins", json!({"name": "idle", "kind": "ticketer", "events": ["call.*"]})).await.expect(201);
        w.active(&format!("/plugins/{}", made.id()), wasm::idle_ticketer()).await;
        let setup = w.setup("idle");
        assert_eq!(setup.events, ["call.*"]);
        let event = hookswitch::sandbox::types::Event { id: "evt_1".into(), kind: "call.missed".into(), ..Default::default() };
        let reply = w.held.plugins.show(&tenant("acme"), &setup, event).await;
        w.held.plugins.count(&setup, &reply);
        assert_eq!((reply.report.outcome.as_str(), reply.trigger), ("pass", Trigger::Event));
        assert_eq!(w.ask("idle", "+15557770001").await.report.text, "it is a ticketer");
        let metrics = w.desk.app.gate.routing.metrics.render().unwrap();
        assert!(metrics.contains(r#"hookswitch_plugin_runs_total{kind="ticketer",outcome="pass"} 1"#), "{metrics}");
        assert!(metrics.contains(r#"hookswitch_plugin_runs_total{kind="ticketer",outcome="not-loadable"} 1"#));
    }
}
