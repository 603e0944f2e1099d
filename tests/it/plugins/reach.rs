//! Whose calls a plugin is asked about: a number's, a whole tenant's; and scripts as destinations.

use serde_json::{Value, json};

use super::{World, wasm};
use crate::api::app::TestApp;
use crate::support::both_databases;

const NUMBER: &str = "+15550001000";

/// A number that leads to endpoint 101.
async fn number(w: &World) -> String {
    let made =
        w.post("/dids", json!({"number": NUMBER, "route_type": "endpoint", "route_target": "101"})).await;
    format!("/dids/{}", made.expect(201).id())
}

async fn defaults(w: &World, plugin: Value) {
    let body = json!({"plugin": plugin, "destinations": []});
    let set = w.desk.app.ask("PUT", "/routing/defaults", &w.token(), Some(body), &[]).await.expect(200);
    assert_eq!(set.body["plugin"], plugin);
}

both_databases! {
    /// The tenant's router is asked about numbers that name none; a number's own comes first, and `-` means none.
    async fn a_router_for_all_numbers(test) {
        let w = World::new(test).await;
        w.desk.furnish().await;
        let did = number(&w).await;
        assert_eq!(w.desk.call(NUMBER).await, "endpoint acme-101 static");
        let all = w.router("for-all", json!({})).await;
        w.active(&all, wasm::to_queue("support")).await;
        assert_eq!(w.get("/routing/defaults").await.expect(200).body["plugin"], Value::Null);
        defaults(&w, json!("for-all")).await;
        assert_eq!(w.get("/routing/defaults").await.expect(200).body["plugin"], "for-all");
        assert_eq!(w.desk.call(NUMBER).await, "queue acme-support plugin");
        let own = w.router("own", json!({})).await;
        w.active(&own, wasm::passes("1")).await;
        for (plugin, way) in [
            (json!("own"), "endpoint acme-101 static"),
            (Value::Null, "queue acme-support plugin"),
            (json!("-"), "endpoint acme-101 static"),
            (Value::Null, "queue acme-support plugin"),
        ] {
            w.desk.app.patch(&did, &w.token(), json!({"plugin": plugin})).await.expect(200);
            assert_eq!(w.desk.call(NUMBER).await, way, "{plugin}");
        }
        // One version of it, whatever is active later.
        defaults(&w, json!("for-all@1")).await;
        w.active(&all, wasm::fails("no list")).await;
        assert_eq!(w.desk.call(NUMBER).await, "queue acme-support plugin");
        let used = w.desk.app.delete(&all, &w.token()).await.expect(409).body;
        assert!(used["detail"].as_str().unwrap().contains("the routing defaults"), "{used}");
        defaults(&w, Value::Null).await;
        assert_eq!(w.desk.call(NUMBER).await, "endpoint acme-101 static");
        w.desk.app.delete(&all, &w.token()).await.expect(204);
    }

    /// Nobody is asked who is not there, not in that version, or of another kind; nor another tenant's.
    async fn who_cannot_be_asked(test) {
        let w = World::new(test).await;
        w.desk.furnish().await;
        let did = number(&w).await;
        w.desk.app.post("/plugins", &w.desk.other, json!({"name": "theirs", "kind": "router"})).await.expect(201);
        w.post("/plugins", json!({"name": "looks-on", "kind": "ticketer"})).await.expect(201);
        let mine = w.router("mine", json!({})).await;
        w.active(&mine, wasm::to_queue("support")).await;
        for (plugin, why) in [
            ("nobody", "There is no such plugin."),
            ("theirs", "There is no such plugin."),
            ("looks-on", "This plugin is of another kind."),
            ("mine@2", "The plugin has no such version."),
        ] {
            let refused = w.desk.app.patch(&did, &w.token(), json!({"plugin": plugin})).await.expect(422);
            assert_eq!(refused.pointers(), ["/plugin"], "{plugin}");
            assert!(refused.body.to_string().contains(why), "{}", refused.body);
            let body = json!({"plugin": plugin, "destinations": []});
            let refused = w.desk.app.ask("PUT", "/routing/defaults", &w.token(), Some(body), &[]).await.expect(422);
            assert_eq!(refused.pointers(), ["/plugin"], "{plugin}");
        }
        assert_eq!(w.desk.call(NUMBER).await, "endpoint acme-101 static");
        w.desk.app.patch(&did, &w.token(), json!({"plugin": "mine@1"})).await.expect(200);
        assert_eq!(w.desk.call(NUMBER).await, "queue acme-support plugin");
    }

    /// A call script is a destination like others: of a number, of its lists, of a menu, of the tenant.
    async fn a_script_as_a_destination(test) {
        let w = World::new(test).await;
        w.desk.furnish().await;
        let script = w.post("/plugins", json!({"name": "greets", "kind": "call-script"})).await.expect(201);
        let path = format!("/plugins/{}", script.id());
        w.active(&path, wasm::answers()).await;
        w.router("chooses", json!({})).await;
        let did = number(&w).await;
        let to = json!({"route_type": "script", "route_target": "greets"});
        w.desk.app.patch(&did, &w.token(), to).await.expect(200);
        assert_eq!(w.desk.call(NUMBER).await, "script greets static");
        for target in ["nobody", "chooses"] {
            let to = json!({"route_target": target});
            let refused = w.desk.app.patch(&did, &w.token(), to).await.expect(422);
            assert_eq!(refused.pointers(), ["/route_target"], "{target}");
        }
        let users = async |is: &[&str]| {
            let used = w.desk.app.delete(&path, &w.token()).await.expect(409).body;
            let detail = used["detail"].as_str().unwrap();
            assert!(is.iter().all(|user| detail.contains(user)), "{is:?}: {detail}");
        };
        users(&["number +15550001000"]).await;
        let lists = json!({
            "route_type": "hangup", "route_target": "16",
            "destinations": [{"role": "closed", "type": "script", "target": "greets"}]
        });
        w.desk.app.patch(&did, &w.token(), lists).await.expect(200);
        users(&["number +15550001000"]).await;
        w.desk.app.patch(&did, &w.token(), json!({"destinations": []})).await.expect(200);
        let menu = json!({"name": "main", "prompts": {"": "hello"},
                          "options": [{"digits": "1", "type": "script", "target": "greets"}]});
        let menu = w.post("/ivr-menus", menu).await.expect(201).id();
        let fallback = json!({"destinations": [{"role": "fallback", "type": "script", "target": "greets"}]});
        w.desk.app.ask("PUT", "/routing/defaults", &w.token(), Some(fallback), &[]).await.expect(200);
        users(&["menu main", "the routing defaults"]).await;
        w.desk.app.delete(&format!("/ivr-menus/{menu}"), &w.token()).await.expect(204);
        defaults(&w, Value::Null).await;
        w.desk.app.delete(&path, &w.token()).await.expect(204);
    }

    /// A router that is set up slowly needs the operator's leave; other kinds do not.
    async fn a_slow_router_needs_leave(test) {
        let w = World::new(test).await;
        let path = w.router("large", json!({})).await;
        let refused = w.upload(&path, wasm::padded(wasm::to_queue("support"), 4 << 20)).await.expect(422).body;
        assert_eq!(refused["code"], "slow-router", "{refused}");
        let made = w.upload(&path, wasm::to_queue("support")).await.expect(201).body;
        assert!(made["native_bytes"].as_u64().unwrap() > 1_000, "{made}");
        let script = w.post("/plugins", json!({"name": "greets", "kind": "call-script"})).await.expect(201);
        w.upload(&format!("/plugins/{}", script.id()), wasm::padded(wasm::answers(), 4 << 20)).await.expect(201);
    }

    /// Where the operator gives it, all may be large.
    async fn a_slow_router_with_leave(test) {
        let w = World::over(TestApp::with(test, false, &[("HOOKSWITCH_PLUGINS__SLOW_ROUTERS", "true")])).await;
        let path = w.router("large", json!({})).await;
        w.active(&path, wasm::padded(wasm::to_queue("support"), 4 << 20)).await;
        assert_eq!(w.ask("large", "+15557770001").await.report.outcome.as_str(), "ok");
    }
}
