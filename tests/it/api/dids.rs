//! Numbers and the tenant's defaults: what is taken is routed at once, what can't be routed is refused.

use hookswitch::routing::did::Did;
use serde_json::json;

use super::app::Answer;
use super::telephony::Desk;
use crate::support::both_databases;

const NUMBER: &str = "+15550001000";

both_databases! {
    /// From the answer of each request on calls go the new way, without waiting.
    async fn a_number_is_routed_from_its_first_moment(test) {
        let desk = Desk::new(test).await;
        desk.furnish().await;
        assert_eq!(desk.call(NUMBER).await, "hangup 1 unknown-did");
        let made = desk.make("/dids", json!({
            "number": NUMBER, "name": "Main", "route_type": "queue", "route_target": "support", "route_options": "tT",
            "message": "hello", "language": "de", "metadata": {"a": 1},
            "destinations": [
                {"role": "overflow", "type": "endpoint", "target": "101", "timeout_s": 20},
                {"role": "inactive", "type": "playback", "target": "gone"},
                {"role": "overflow", "type": "voicemail", "target": "101", "options": "u"},
            ],
        })).await;
        assert_eq!(desk.call(NUMBER).await, "queue acme-support static");
        let did: Did = serde_json::from_value(made.body.clone()).unwrap();
        assert!(did.is_active() && did.destinations.len() == 3);
        assert_eq!(made.body["destinations"][2], json!({
            "role": "overflow", "type": "voicemail", "target": "101", "timeout_s": 0, "options": "u", "message": null
        }));
        assert!(made.body.get("webhook_secret").is_none());
        desk.stranger_sees_nothing("/dids", &made).await;
        let path = format!("/dids/{}", made.id());
        for (role, status) in [(&desk.viewer, 403), (&desk.agent, 403), (&desk.supervisor, 403)] {
            desk.app.patch(&path, role, json!({"name": "x"})).await.expect(status);
        }
        // Without a version it fails whenever it is asked.
        desk.make("/plugins", json!({"name": "vip-router", "kind": "router"})).await;
        for (change, way) in [
            (json!({"status": "inactive"}), "playback gone inactive-did"),
            (json!({"status": "active", "route_type": "endpoint", "route_target": "101"}), "endpoint acme-101 static"),
            (json!({"route_type": "hangup", "route_target": "17", "route_options": null}), "hangup 17 static"),
            (json!({"route_type": "external", "route_target": "+15559990000"}), "external +15559990000 static"),
            (json!({"plugin": "vip-router"}), "external +15559990000 plugin-failed"),
            (json!({"plugin": null}), "external +15559990000 static"),
        ] {
            desk.app.patch(&path, &desk.admin, change.clone()).await.expect(200);
            assert_eq!(desk.call(NUMBER).await, way, "{change}");
        }
        assert_eq!(desk.app.get("/dids?route_type=external&q=main", &desk.viewer).await.expect(200).body["data"].as_array().unwrap().len(), 1);
        desk.app.delete(&path, &desk.admin).await.expect(204);
        assert_eq!(desk.call(NUMBER).await, "hangup 1 unknown-did");
        desk.app.get(&path, &desk.admin).await.expect(404);
        // The number is free again, for anybody.
        let body = json!({"number": NUMBER, "route_type": "hangup", "route_target": "21"});
        desk.app.post("/dids", &desk.other, body.clone()).await.expect(201);
        assert_eq!(desk.call(NUMBER).await, "hangup 21 static");
        let taken = desk.app.post("/dids", &desk.admin, body).await.expect(409);
        assert_eq!(taken.body["code"], "taken");
        assert!(!taken.body.to_string().contains("globex"));
    }

    /// Every fault at once, each at its place; and nothing is led to that is not the tenant's.
    async fn what_cannot_be_routed_is_refused(test) {
        let desk = Desk::new(test).await;
        desk.furnish().await;
        desk.app.post("/queues", &desk.other, json!({"name": "sales"})).await.expect(201);
        let form = desk.app.post("/dids", &desk.admin, json!({
            "number": "15550001000", "route_type": "scripted", "message": "../x", "plugin": "Bad", "schedule": "A",
            "max_concurrent_calls": -1, "webhook_url": "ftp://x", "webhook_secret": "hunter2", "webhook_timeout_ms": 5,
            "destinations": [{"role": "never", "type": "queue", "target": ""}, 7, {"role": "closed", "kind": "x"}],
        })).await.expect(422);
        assert_eq!(form.pointers(), [
            "/number", "/route_type", "/message", "/plugin", "/schedule", "/max_concurrent_calls", "/webhook_url",
            "/webhook_secret", "/webhook_timeout_ms", "/destinations/0/role", "/destinations/0/target",
            "/destinations/1", "/destinations/2/type", "/destinations/2/target", "/destinations/2/kind",
        ]);
        let meaning = desk.app.post("/dids", &desk.admin, json!({
            "number": NUMBER, "route_type": "queue", "route_target": "sales", "route_options": "tG", "schedule": "office",
            "destinations": [
                {"role": "fallback", "type": "external", "target": "911", "options": "q"},
                {"role": "fallback", "type": "hangup", "target": "200"},
                {"role": "overflow", "type": "voicemail", "target": "102"},
                {"role": "overflow", "type": "ivr", "target": "main"},
                {"role": "overflow", "type": "endpoint", "target": "101", "options": "tT"},
            ],
        })).await.expect(422);
        let mut pointers = meaning.pointers();
        pointers.sort_unstable();
        assert_eq!(pointers, [
            "/destinations/0/options", "/destinations/0/target", "/destinations/1/role", "/destinations/1/target",
            "/destinations/2/target", "/destinations/3/target", "/route_options", "/route_target", "/schedule",
        ]);
        assert_eq!(desk.app.test.number("SELECT COUNT(*) FROM dids").await, 0);
        let many: Vec<_> = (0..17).map(|_| json!({"role": "overflow", "type": "endpoint", "target": "101"})).collect();
        let answer = desk.app.post("/dids", &desk.admin, json!({
            "number": NUMBER, "route_type": "queue", "route_target": "support", "destinations": many
        })).await.expect(422);
        assert_eq!(answer.pointers(), ["/destinations/16/role"]);
        let made = desk.make("/dids", json!({"number": NUMBER, "route_type": "queue", "route_target": "support"})).await;
        let path = format!("/dids/{}", made.id());
        // A change is checked together with what stays.
        for (change, pointer) in [
            (json!({"route_type": "endpoint"}), "/route_target"),
            (json!({"route_target": "sales"}), "/route_target"),
            (json!({"route_type": "webhook"}), "/webhook_url"),
            (json!({"number": "+15550001001"}), "/number"),
            (json!({"schedule": "office"}), "/schedule"),
        ] {
            assert_eq!(desk.app.patch(&path, &desk.admin, change).await.expect(422).pointers(), [pointer]);
        }
        assert_eq!(desk.call(NUMBER).await, "queue acme-support static");
    }

    /// A webhook's secret is made when there is none, shown in that answer and never again.
    async fn a_webhooks_secret_is_shown_once(test) {
        let desk = Desk::new(test).await;
        let shown = |answer: &Answer| answer.body["webhook_secret"].as_str().map(str::to_owned);
        let made = desk.make("/dids", json!({"number": NUMBER, "route_type": "webhook", "webhook_url": "https://example.com/r"})).await;
        let first = shown(&made).unwrap();
        assert!(first.starts_with("whsec_"));
        let kept = async || desk.app.test.texts("SELECT webhook_secret FROM dids").await.remove(0);
        assert_eq!(kept().await, first);
        let path = format!("/dids/{}", made.id());
        for read in [&path, "/dids"] {
            assert!(!desk.app.get(read, &desk.admin).await.expect(200).body.to_string().contains("whsec_"));
        }
        let same = desk.app.patch(&path, &desk.admin, json!({"webhook_timeout_ms": 500})).await.expect(200);
        assert_eq!((shown(&same), kept().await), (None, first.clone()));
        let own = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
        let set = desk.app.patch(&path, &desk.admin, json!({"webhook_secret": own})).await.expect(200);
        assert_eq!((shown(&set), kept().await.as_str()), (None, own));
        let new = shown(&desk.app.patch(&path, &desk.admin, json!({"webhook_secret": null})).await.expect(200)).unwrap();
        assert!(new != first && new != own && kept().await == new);
        let audit = desk.app.test.texts("SELECT CONCAT(COALESCE(old_values, ''), COALESCE(new_values, '')) FROM audit_logs").await.concat();
        assert!(!audit.contains("whsec_") && audit.contains("[secret]"));
        // A route that was something else before.
        let other = desk.make("/dids", json!({"number": "+15550001001", "route_type": "hangup", "route_target": "16"})).await;
        assert_eq!(shown(&other), None);
        let turned = desk.app.patch(&format!("/dids/{}", other.id()), &desk.admin,
            json!({"route_type": "webhook", "webhook_url": "https://example.com/r"})).await.expect(200);
        assert!(shown(&turned).is_some() && turned.body["route_target"].is_null());
        let answer = desk.app.post("/dids", &desk.admin, json!({
            "number": "+15550001002", "route_type": "webhook", "webhook_url": "https://example.com/r", "route_target": "support"
        })).await.expect(422);
        assert_eq!(answer.pointers(), ["/route_target"]);
    }

    /// The tenant's own destinations.
    async fn defaults_are_set_as_a_whole(test) {
        let desk = Desk::new(test).await;
        desk.furnish().await;
        let path = "/routing/defaults";
        assert_eq!(desk.app.get(path, &desk.viewer).await.expect(200).body, json!({"plugin": null, "destinations": []}));
        desk.make("/dids", json!({"number": NUMBER, "route_type": "queue", "route_target": "support"})).await;
        let queue = desk.app.get("/queues?name=support", &desk.admin).await.expect(200).body["data"][0]["id"].clone();
        let queue = format!("/queues/{}", queue.as_str().unwrap());
        desk.app.patch(&queue, &desk.admin, json!({"status": "inactive"})).await.expect(200);
        assert_eq!(desk.call(NUMBER).await, "hangup 41 no-destination");
        let put = async |token: &str, body| desk.app.ask("PUT", path, token, Some(body), &[]).await;
        let wanted = json!({"plugin": null, "destinations": [
            {"role": "blocked", "type": "playback", "target": "go-away", "timeout_s": 0, "options": null, "message": null},
            {"role": "fallback", "type": "voicemail", "target": "101", "timeout_s": 0, "options": "u", "message": "sorry"},
        ]});
        put(&desk.supervisor, wanted.clone()).await.expect(403);
        assert_eq!(put(&desk.admin, wanted.clone()).await.expect(200).body, wanted);
        assert_eq!(desk.call(NUMBER).await, "voicemail 101@acme fallback");
        assert_eq!(desk.app.get(path, &desk.other).await.expect(200).body, json!({"plugin": null, "destinations": []}));
        let bad = json!({"destinations": [{"role": "closed", "type": "queue", "target": "support"}]});
        assert_eq!(put(&desk.admin, bad).await.expect(422).pointers(), ["/destinations/0/role"]);
        let bad = json!({"destinations": [{"role": "fallback", "type": "queue", "target": "sales"}]});
        assert_eq!(put(&desk.admin, bad).await.expect(422).pointers(), ["/destinations/0/target"]);
        assert_eq!(desk.app.get(path, &desk.viewer).await.expect(200).body, wanted);
        put(&desk.admin, json!({"destinations": []})).await.expect(200);
        assert_eq!(desk.call(NUMBER).await, "hangup 41 no-destination");
        assert_eq!(desk.app.test.number("SELECT COUNT(*) FROM audit_logs WHERE action = 'routing.defaults.set'").await, 2);
    }

    /// The number of numbers is limited by the tenant.
    async fn a_tenant_has_no_more_numbers_than_its_limit(test) {
        let desk = Desk::new(test).await;
        desk.app.test.execute("UPDATE tenants SET max_dids = 1 WHERE id = 'acme'").await.unwrap();
        let body = |n| json!({"number": format!("+1555000100{n}"), "route_type": "hangup", "route_target": "16"});
        let first = desk.make("/dids", body(0)).await;
        let full = desk.app.post("/dids", &desk.admin, body(1)).await.expect(409);
        assert_eq!(full.body["code"], "limit-reached");
        desk.app.delete(&format!("/dids/{}", first.id()), &desk.admin).await.expect(204);
        desk.make("/dids", body(1)).await;
    }
}
