//! A version that fails is parked at once, and what follows is written down.

use std::sync::Arc;
use std::time::Duration;

use hookswitch::plugins::{OnFailure, store};
use hookswitch::sandbox::types::Failure;
use hookswitch::sandbox::{Answering, Ask, Host, Outcome};
use serde_json::{Value, json};

use super::{World, brief, call, wasm};
use crate::support::{both_databases, tenant};

const NINE: &str = "+15557770009";
const OTHER: &str = "+15557770001";

/// Fails so often that the version is parked.
async fn fail(w: &World, name: &str) {
    for _ in 0..5 {
        assert_eq!(w.ask(name, NINE).await.report.outcome, Outcome::Panic);
    }
}

/// Keeps a run as the call's journal would.
async fn keep(w: &World, name: &str, caller: &str) {
    let reply = w.ask(name, caller).await;
    let run = reply.clone().into_run(w.desk.app.gate.ids.next(), w.desk.app.clock.now_us(), "c1");
    let mut tx = w.held.db.begin().await.unwrap();
    store::insert_runs(&mut tx, &tenant("acme"), &[run]).await.unwrap();
    tx.commit().await.unwrap();
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|e| e["type"].as_str().unwrap()).collect()
}

both_databases! {
    /// Without a version to go back to it is parked; a minute later one run tries it; a good one opens it again.
    async fn parked_and_tried_again(test) {
        let w = World::new(test).await;
        let stopper = w.work();
        let path = w.router("vip-router", json!({"on_failure": "reject"})).await;
        w.active(&path, wasm::fails_for_nines("support")).await;
        assert_eq!(w.setup("vip-router").on_failure, OnFailure::Reject);
        fail(&w, "vip-router").await;
        // In memory at once, for every caller.
        let reply = w.ask("vip-router", OTHER).await;
        assert_eq!((brief(&reply).as_str(), reply.report.cost.wall_us), ("v1 parked", 0));
        let parked = w.until(&path, "it is parked", |plugin| plugin["status"] == "parked").await;
        assert_eq!(parked["parked_at"], "2026-11-23T10:00:00Z");
        assert_eq!(parked["parked_until"], "2026-11-23T10:01:00Z");
        assert!(parked["parked_reason"].as_str().unwrap().starts_with("panic: "), "{parked:#}");
        let events = w.events("plugin.failed,plugin.parked").await;
        assert_eq!(kinds(&events), ["plugin.failed", "plugin.parked"]);
        let data = &events[1]["data"];
        assert_eq!((&data["failures"], &data["action"], &data["rolled_back_to"]), (&json!(5), &json!("parked"), &Value::Null));
        // A try that fails parks it for another minute.
        w.desk.app.wait(Duration::from_secs(61));
        assert_eq!(w.ask("vip-router", NINE).await.report.outcome, Outcome::Panic);
        assert_eq!(brief(&w.ask("vip-router", OTHER).await), "v1 parked");
        w.desk.app.wait(Duration::from_secs(61));
        assert_eq!(brief(&w.ask("vip-router", OTHER).await), "v1 support");
        w.until(&path, "it is asked again", |plugin| plugin["status"] == "active").await;
        assert_eq!(w.events("plugin.unparked").await[0]["data"]["cause"], "probe");
        assert_eq!(brief(&w.ask("vip-router", OTHER).await), "v1 support");
        stopper.stop();
    }

    /// A new version that fails goes, when the one before ran well.
    async fn a_new_version_is_rolled_back(test) {
        let w = World::new(test).await;
        let stopper = w.work();
        let path = w.router("vip-router", json!({})).await;
        w.active(&path, wasm::to_queue("support")).await;
        keep(&w, "vip-router", OTHER).await;
        w.desk.app.wait(Duration::from_secs(60));
        w.active(&path, wasm::fails_for_nines("sales")).await;
        fail(&w, "vip-router").await;
        let plugin = w.until(&path, "it is rolled back", |plugin| plugin["active_version"] == 1).await;
        assert_eq!((&plugin["status"], &plugin["previous_version"]), (&json!("active"), &Value::Null));
        let events = w.events("plugin.parked,plugin.activated").await;
        assert_eq!(kinds(&events), ["plugin.activated", "plugin.activated", "plugin.parked", "plugin.activated"]);
        assert_eq!(events[2]["data"]["rolled_back_to"], 1);
        assert_eq!((&events[3]["data"]["version"], &events[3]["data"]["cause"]), (&json!(1), &json!("automatic")));
        crate::support::eventually("routing knows", || async { w.ask("vip-router", NINE).await.report.decision().map(drop) }).await;
        assert_eq!(brief(&w.ask("vip-router", NINE).await), "v1 support");
        let audit = w.get("/audit-logs?action=plugins.roll-back").await.expect(200);
        assert_eq!(audit.body["data"][0]["actor_kind"], "system");
        stopper.stop();
    }

    /// The version before was never seen to work, or the new one is old: it is parked.
    async fn no_way_back_that_is_not_proven(test) {
        let w = World::new(test).await;
        let stopper = w.work();
        let path = w.router("unproven", json!({})).await;
        w.active(&path, wasm::to_queue("support")).await;
        w.active(&path, wasm::fails_for_nines("sales")).await;
        fail(&w, "unproven").await;
        let plugin = w.until(&path, "it is parked", |plugin| plugin["status"] == "parked").await;
        assert_eq!(plugin["active_version"], 2);
        let path = w.router("old", json!({})).await;
        w.active(&path, wasm::to_queue("support")).await;
        keep(&w, "old", OTHER).await;
        w.active(&path, wasm::fails_for_nines("sales")).await;
        w.desk.app.wait(Duration::from_secs(25 * 3600));
        fail(&w, "old").await;
        w.until(&path, "it is parked", |plugin| plugin["status"] == "parked").await;
        stopper.stop();
    }

    /// A canary that fails is withdrawn, and the active version goes on.
    async fn a_canary_is_withdrawn(test) {
        let w = World::new(test).await;
        let stopper = w.work();
        let path = w.router("vip-router", json!({})).await;
        w.active(&path, wasm::to_queue("support")).await;
        w.upload(&path, wasm::fails_for_nines("sales")).await.expect(201);
        w.post(&format!("{path}/canary"), json!({"version": 2, "numbers": [NINE, OTHER]})).await.expect(200);
        w.held.read().await;
        fail(&w, "vip-router").await;
        let plugin = w.until(&path, "it is withdrawn", |plugin| plugin["canary_version"].is_null()).await;
        assert_eq!((&plugin["status"], &plugin["active_version"]), (&json!("active"), &json!(1)));
        assert_eq!(w.events("plugin.parked").await[0]["data"]["action"], "withdrawn");
        crate::support::eventually("routing knows", || async { w.ask("vip-router", OTHER).await.report.decision().map(drop) }).await;
        assert_eq!(brief(&w.ask("vip-router", OTHER).await), "v1 support");
        stopper.stop();
    }

    /// Unparked by hand it is asked at once, on every node; and parked again when it goes on failing.
    async fn unparked_by_hand(test) {
        let w = World::new(test).await;
        let stopper = w.work();
        let path = w.router("vip-router", json!({})).await;
        w.active(&path, wasm::fails_for_nines("support")).await;
        fail(&w, "vip-router").await;
        w.until(&path, "it is parked", |plugin| plugin["status"] == "parked").await;
        w.desk.app.wait(Duration::from_secs(1));
        let open = w.act(&format!("{path}/unpark")).await.expect(200).body;
        assert_eq!((&open["status"], &open["parked_reason"]), (&json!("active"), &Value::Null));
        w.held.read().await;
        assert_eq!(brief(&w.ask("vip-router", OTHER).await), "v1 support");
        let events = w.events("plugin.unparked").await;
        assert_eq!(events[0]["data"]["cause"], "unpark");
        fail(&w, "vip-router").await;
        w.until(&path, "it is parked", |plugin| plugin["status"] == "parked").await;
        stopper.stop();
    }

    /// What the domain rejects counts as a failure; a caller who hangs up does not.
    async fn whose_fault_it_was(test) {
        let w = World::new(test).await;
        let path = w.router("vip-router", json!({})).await;
        w.active(&path, wasm::to_queue("nobodys")).await;
        let acme = tenant("acme");
        for _ in 0..5 {
            let report = w.ask("vip-router", OTHER).await.report;
            assert_eq!((report.outcome, report.output), (Outcome::RejectedOutput, None));
            assert_eq!(report.text, "there is no queue nobodys");
        }
        // Each run is counted once, as what it was.
        let metrics = w.desk.app.gate.routing.metrics.render().unwrap();
        assert!(metrics.contains(r#"hookswitch_plugin_runs_total{kind="router",outcome="rejected-output"} 5"#), "{metrics}");
        assert!(!metrics.contains(r#"hookswitch_plugin_runs_total{kind="router",outcome="ok"}"#), "{metrics}");
        assert_eq!(brief(&w.ask("vip-router", OTHER).await), "v1 parked");

        let script = w.post("/plugins", json!({"name": "script", "kind": "call-script"})).await.expect(201);
        w.active(&format!("/plugins/{}", script.id()), wasm::answers()).await;
        for _ in 0..6 {
            let gone: Arc<dyn Host> = Arc::new(Gone);
            let reply = w.held.plugins.ask(&acme, &w.setup("script"), None, call(OTHER), Some(gone), &|_| Ok(())).await;
            assert_eq!(reply.report.outcome, Outcome::Panic, "{}", reply.report.text);
        }
        // Nobody to speak to is a fault like any other.
        for _ in 0..5 {
            assert_eq!(w.ask("script", OTHER).await.report.outcome, Outcome::Panic);
        }
        assert_eq!(brief(&w.ask("script", OTHER).await), "v1 parked");
    }
}

/// A caller who has hung up.
struct Gone;

impl Host for Gone {
    fn ask<'a>(&'a self, _: &'a Ask) -> Answering<'a> {
        Box::pin(async { Err(Failure::HungUp) })
    }
}

/// While the database is away it stays parked in memory, and is written when the database is back.
#[test]
fn parked_while_the_database_is_away() {
    crate::support::run(crate::support::Kind::Sqlite, |test| async move {
        let w = World::new(test).await;
        let path = w.router("vip-router", json!({})).await;
        w.active(&path, wasm::fails_for_nines("support")).await;
        // A writer that holds SQLite's one place for a while.
        let tx = w.held.db.begin().await.unwrap();
        let stopper = w.work();
        fail(&w, "vip-router").await;
        assert_eq!(brief(&w.ask("vip-router", OTHER).await), "v1 parked");
        assert_eq!(w.get(&path).await.body["status"], "active");
        drop(tx);
        w.until(&path, "it is parked", |plugin| plugin["status"] == "parked").await;
        stopper.stop();
    });
}
