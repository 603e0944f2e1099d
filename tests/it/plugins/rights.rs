//! Who may do what, what is put on record, what is told.

use serde_json::{Value, json};

use super::{World, wasm};
use crate::support::both_databases;

both_databases! {
    /// Another tenant's admin finds nothing, whatever is asked; with a version and everything around it in place.
    async fn strangers_find_nothing(test) {
        let w = World::new(test).await;
        let path = w.router("vip-router", json!({})).await;
        w.active(&path, wasm::to_queue("support")).await;
        w.upload(&path, wasm::to_queue("sales")).await.expect(201);
        let input = json!({"call": {}});
        let example = json!({"name": "x", "input": input, "expected": {"outcome": "ok"}});
        let example = w.post(&format!("{path}/examples"), example).await.expect(201);
        let run = w.post(&format!("{path}/versions/1/test"), json!({"input": input})).await.expect(200);
        let before = crate::api::isolation::everything(&w.desk.app.test, "acme").await;
        let file = wasm::to_queue("other");
        let answer = w.upload_as(&path, &w.desk.other, "application/wasm", file).await;
        assert_eq!(answer.status, 404);
        for (method, below, body) in [
            ("GET", String::new(), None),
            ("PATCH", String::new(), Some(json!({"description": "x"}))),
            ("DELETE", String::new(), None),
            ("GET", "/versions".into(), None),
            ("GET", "/versions/1".into(), None),
            ("GET", "/versions/1/source".into(), None),
            ("POST", "/versions/2/activate".into(), None),
            ("POST", "/versions/2/test".into(), Some(json!({"input": input}))),
            ("POST", "/rollback".into(), None),
            ("POST", "/canary".into(), Some(json!({"version": 2, "percent": 5}))),
            ("DELETE", "/canary".into(), None),
            ("POST", "/shadow".into(), Some(json!({"version": 2}))),
            ("DELETE", "/shadow".into(), None),
            ("GET", "/shadow".into(), None),
            ("POST", "/unpark".into(), None),
            ("POST", "/disable".into(), None),
            ("POST", "/enable".into(), None),
            ("GET", "/examples".into(), None),
            ("GET", format!("/examples/{}", example.id()), None),
            ("PATCH", format!("/examples/{}", example.id()), Some(json!({"name": "y"}))),
            ("DELETE", format!("/examples/{}", example.id()), None),
            ("POST", "/examples".into(), Some(json!({"name": "z", "input": input, "expected": {"outcome": "ok"}}))),
            ("GET", "/runs".into(), None),
            ("GET", format!("/runs/{}", run.text("run_id")), None),
        ] {
            let answer = w.desk.app.ask(method, &format!("{path}{below}"), &w.desk.other, body, &[]).await;
            assert_eq!(answer.status, 404, "{method} {below}: {:#}", answer.body);
        }
        assert_eq!(crate::api::isolation::everything(&w.desk.app.test, "acme").await, before);
        // Its plugin of the same name is its own.
        let own = w.desk.app.post("/plugins", &w.desk.other, json!({"name": "vip-router", "kind": "router"})).await.expect(201);
        assert_ne!(format!("/plugins/{}", own.id()), path);
        // And a version of one plugin is none of another's.
        let second = w.router("second", json!({})).await;
        w.get(&format!("{second}/versions/1")).await.expect(404);
        let id = w.get(&format!("{path}/versions/1")).await.expect(200).id();
        w.get(&format!("{second}/versions/{id}")).await.expect(404);
        w.act(&format!("{second}/versions/{id}/activate")).await.expect(404);
    }

    /// Supervisors look, agents and viewers do not even that.
    async fn roles(test) {
        let w = World::new(test).await;
        let path = w.router("vip-router", json!({})).await;
        w.active(&path, wasm::to_queue("support")).await;
        let app = &w.desk.app;
        for below in ["", "/versions", "/versions/1", "/versions/1/source", "/runs", "/examples", "/shadow"] {
            app.get(&format!("{path}{below}"), &w.desk.supervisor).await.expect(200);
            for token in [&w.desk.agent, &w.desk.viewer] {
                app.get(&format!("{path}{below}"), token).await.expect(403);
            }
        }
        for below in ["/versions/1/activate", "/rollback", "/unpark", "/disable", "/enable"] {
            for token in [&w.desk.supervisor, &w.desk.agent, &w.desk.viewer] {
                app.ask("POST", &format!("{path}{below}"), token, None, &[]).await.expect(403);
            }
        }
        w.upload_as(&path, &w.desk.supervisor, "application/wasm", wasm::passes("x")).await.expect(403);
        w.upload_as(&path, "", "application/wasm", wasm::passes("x")).await.expect(401);
    }

    /// Everything is on record and told, in the order in which it happened; old values are refused.
    async fn on_record_and_told(test) {
        let w = World::new(test).await;
        let path = w.router("vip-router", json!({})).await;
        let first = w.get(&path).await;
        let stale = first.header("etag").to_owned();
        w.upload(&path, wasm::to_queue("support")).await.expect(201);
        w.act(&format!("{path}/versions/1/activate")).await.expect(200);
        w.upload(&path, wasm::to_queue("sales")).await.expect(201);
        w.post(&format!("{path}/versions/1/test"), json!({"input": {"call": {}}})).await.expect(200);
        w.post(&format!("{path}/canary"), json!({"version": 2, "percent": 5})).await.expect(200);
        w.desk.app.delete(&format!("{path}/canary"), &w.token()).await.expect(204);
        w.post(&format!("{path}/shadow"), json!({"version": 2})).await.expect(200);
        w.act(&format!("{path}/disable")).await.expect(200);
        let answer = w.desk.app.ask("PATCH", &path, &w.token(), Some(json!({"description": "x"})), &[("if-match", &stale)]).await;
        assert_eq!(answer.status, 412);
        w.desk.app.patch(&path, &w.token(), json!({"settings": {"a": ["b"]}})).await.expect(200);
        w.desk.app.delete(&path, &w.token()).await.expect(204);
        let log = w.get("/audit-logs?sort=sequence&limit=200").await.expect(200);
        let actions: Vec<&str> = log.body["data"].as_array().unwrap().iter()
            .map(|line| line["action"].as_str().unwrap()).filter(|a| a.starts_with("plugin")).collect();
        assert_eq!(actions, [
            "plugins.create", "plugin-versions.upload", "plugins.activate", "plugin-versions.upload", "plugin-versions.test",
            "plugins.set-canary", "plugins.clear-canary", "plugins.set-shadow", "plugins.disable", "plugins.update",
            "plugins.delete",
        ]);
        let events = w.events("plugin.*").await;
        let told: Vec<&str> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
        assert_eq!(told, [
            "plugin.created", "plugin.version_uploaded", "plugin.activated", "plugin.updated", "plugin.version_uploaded",
            "plugin.updated", "plugin.updated", "plugin.updated", "plugin.updated", "plugin.updated", "plugin.deleted",
        ]);
        // One key, numbered without gaps; nothing in it that nobody may see.
        let sequences: Vec<i64> = events.iter().map(|e| e["sequence"].as_i64().unwrap()).collect();
        assert_eq!(sequences, (1..=11).collect::<Vec<_>>());
        assert!(events.iter().all(|e| e["key"] == events[0]["key"] && e["data"].get("counts_from").is_none()));
        assert_eq!(events[1]["data"]["number"], 1);
        assert_eq!(events[2]["data"], json!({"plugin_id": path.rsplit('/').next(), "name": "vip-router", "kind": "router",
            "version": 1, "previous": Value::Null, "cause": "activate"}));
    }
}
