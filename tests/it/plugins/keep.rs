//! What is not kept for ever.

use std::time::Duration;

use hookswitch::plugins::{keep, store};
use serde_json::json;

use super::{World, brief, wasm};
use crate::support::{both_databases, tenant};

both_databases! {
    /// Files of old versions go, and come back with an upload of the same file; those in use stay.
    async fn old_files_go(test) {
        let w = World::new(test).await;
        let path = w.router("vip-router", json!({})).await;
        for n in 0..24 {
            w.upload(&path, wasm::to_queue(&format!("queue-{n:02}"))).await.expect(201);
        }
        w.act(&format!("{path}/versions/1/activate")).await.expect(200);
        w.act(&format!("{path}/versions/2/activate")).await.expect(200);
        let now_us = w.desk.app.clock.now_us();
        assert_eq!(keep::purge(&w.held.plugins, now_us).await.unwrap(), 2);
        assert_eq!(keep::purge(&w.held.plugins, now_us).await.unwrap(), 0);
        for (number, has) in [(1, true), (2, true), (3, false), (4, false), (5, true), (24, true)] {
            let version = w.get(&format!("{path}/versions/{number}")).await.expect(200);
            assert_eq!(version.body["has_source"], has, "{number}");
        }
        assert_eq!(w.act(&format!("{path}/versions/3/activate")).await.expect(410).code(), "source-gone");
        assert_eq!(w.get(&format!("{path}/versions/3/source")).await.expect(410).code(), "source-gone");
        let again = w.upload(&path, wasm::to_queue("queue-02")).await.expect(200);
        assert_eq!((&again.body["number"], &again.body["has_source"]), (&json!(3), &json!(true)));
        w.act(&format!("{path}/versions/3/activate")).await.expect(200);
    }

    /// Runs go by age.
    async fn old_runs_go(test) {
        let w = World::new(test).await;
        let path = w.router("vip-router", json!({})).await;
        w.active(&path, wasm::to_queue("support")).await;
        let reply = w.ask("vip-router", "+15557770001").await;
        let now_us = w.desk.app.clock.now_us();
        let runs = [reply.clone().into_run(w.desk.app.gate.ids.next(), now_us, "a"), reply.clone().into_run(w.desk.app.gate.ids.next(), now_us + 60_000_000, "b")];
        let mut tx = w.held.db.begin().await.unwrap();
        store::insert_runs(&mut tx, &tenant("acme"), &runs).await.unwrap();
        tx.commit().await.unwrap();
        w.desk.app.wait(Duration::from_secs(30 * 86_400 + 30));
        assert_eq!(keep::purge(&w.held.plugins, w.desk.app.clock.now_us()).await.unwrap(), 1);
        assert_eq!(w.desk.app.test.texts("SELECT subject_id FROM plugin_runs").await, ["b"]);
    }

    /// Native code that was swept away is made again of the file, in this process or another.
    async fn native_code_is_made_again(test) {
        let w = World::new(std::sync::Arc::clone(&test)).await;
        let path = w.router("vip-router", json!({})).await;
        w.active(&path, wasm::to_queue("support")).await;
        let folder = test.folder().join("plugins");
        for file in std::fs::read_dir(&folder).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
        w.held.plugins.forget(&tenant("acme"));
        let plugin = w.setup("vip-router").id.clone();
        assert!(!w.held.plugins.is_loaded(&plugin, 1));
        assert_eq!(w.ask("vip-router", "+15557770001").await.report.text, "version 1 is not loaded");
        w.held.read().await;
        assert!(w.held.plugins.is_loaded(&plugin, 1));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }

    /// A restart reads no file of a plugin whose native code is on disk; native code that was touched is none.
    async fn native_code_needs_no_file(test) {
        let w = World::new(std::sync::Arc::clone(&test)).await;
        let path = w.router("vip-router", json!({})).await;
        w.active(&path, wasm::to_queue("support")).await;
        let folder = test.folder().join("plugins");
        let files = || std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
        let file = files().remove(0);
        let whole = std::fs::read(&file).unwrap();
        let touch = || {
            let mut bytes = whole.clone();
            bytes[whole.len() / 2] ^= 1;
            // A new file, as the old one may still be mapped.
            std::fs::remove_file(&file).unwrap();
            std::fs::write(&file, bytes).unwrap();
        };
        let start = async || {
            let again = World::over_again(&w).await;
            again.held.read().await;
            let reply = again.ask("vip-router", "+15557770001").await;
            brief(&reply)
        };
        touch();
        assert_eq!(start().await, "v1 support");
        assert!(std::fs::read(&file).unwrap() == whole, "it was made anew of the file");
        test.execute("DELETE FROM plugin_parts").await.unwrap();
        assert_eq!(start().await, "v1 support");
        touch();
        assert_eq!(start().await, "v1 not-loadable");
        assert!(files().is_empty());
    }

    /// A version that can't be loaded says why, and is no other's trouble.
    async fn what_can_not_be_loaded_says_why(test) {
        let w = World::new(test).await;
        let path = w.router("vip-router", json!({})).await;
        w.upload(&path, wasm::to_queue("support")).await.expect(201);
        w.act(&format!("{path}/versions/1/activate")).await.expect(200);
        w.desk.app.test.execute("DELETE FROM plugin_parts").await.unwrap();
        std::fs::remove_dir_all(w.desk.app.test.folder().join("plugins")).unwrap();
        w.held.plugins.forget(&tenant("acme"));
        w.held.read().await;
        let reply = w.ask("vip-router", "+15557770001").await;
        assert_eq!((reply.report.outcome.as_str(), reply.report.text.as_str()), ("not-loadable", "its file is not kept any more"));
    }
}
