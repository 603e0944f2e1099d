//! Queues, their members, agents' states, sockets.

use hookswitch::agents::{AgentState, WebSocketSession};
use hookswitch::base::role::Role;
use hookswitch::queues::{Queue, QueueMember};
use serde_json::json;

use super::telephony::Desk;
use crate::support::both_databases;

both_databases! {
    /// A queue with all of its settings; it can't go while calls are led to it.
    async fn a_queue_lives_and_goes(test) {
        let desk = Desk::new(test).await;
        let made = desk.make("/queues", json!({
            "name": "support", "display_name": "Support", "extension": "700", "strategy": "ringall", "max_wait_s": 60,
            "join_empty": "paused,unavailable", "leave_when_empty": "strict", "periodic_announce": "please-hold",
            "announce_position": "limit", "autopause": "all", "ring_in_use": true, "metadata": {"x": 1},
        })).await;
        let queue: Queue = serde_json::from_value(made.body.clone()).unwrap();
        assert!(queue.is_active() && queue.ring_in_use && queue.join_empty == "paused,unavailable");
        desk.stranger_sees_nothing("/queues", &made).await;
        desk.app.post("/queues", &desk.admin, json!({"name": "support"})).await.expect(409);
        // Names are each tenant's own.
        desk.app.post("/queues", &desk.other, json!({"name": "support", "extension": "700"})).await.expect(201);
        let same = desk.app.post("/queues", &desk.admin, json!({"name": "sales", "extension": "700"})).await.expect(422);
        assert_eq!(same.pointers(), ["/extension"]);
        let bad = desk.app.post("/queues", &desk.admin, json!({
            "name": "Sup port", "extension": "7a", "strategy": "nobody", "timeout_s": 0, "join_empty": "paused,asleep",
            "periodic_announce": "../x", "music_class": "a b", "autopause": "maybe", "nonsense": 1,
        })).await.expect(422);
        assert_eq!(bad.pointers(), [
            "/name", "/extension", "/strategy", "/timeout_s", "/music_class", "/periodic_announce", "/join_empty",
            "/autopause", "/nonsense",
        ]);
        let did = desk.make("/dids", json!({"number": "+15550001000", "route_type": "queue", "route_target": "support"})).await;
        for n in 0..6 {
            desk.make("/ivr-menus", json!({"name": format!("menu{n}"), "prompts": {"": "x"},
                "options": [{"digits": "1", "type": "queue", "target": "support"}]})).await;
        }
        let path = format!("/queues/{}", made.id());
        assert_eq!(desk.app.patch(&path, &desk.admin, json!({"name": "other"})).await.expect(422).pointers(), ["/name"]);
        let refused = desk.app.delete(&path, &desk.admin).await.expect(409);
        let detail = refused.body["detail"].as_str().unwrap();
        assert_eq!(refused.body["code"], "in-use");
        assert!(detail.contains("menu menu0") && detail.contains("and others"), "{detail}");
        assert_eq!(desk.call("+15550001000").await, "queue acme-support static");
        desk.app.patch(&path, &desk.admin, json!({"status": "inactive"})).await.expect(200);
        assert_eq!(desk.call("+15550001000").await, "hangup 41 no-destination");
        desk.app.delete(&format!("/dids/{}", did.id()), &desk.admin).await.expect(204);
        let menus = desk.app.get("/ivr-menus", &desk.admin).await.expect(200);
        for menu in menus.body["data"].as_array().unwrap() {
            desk.app.delete(&format!("/ivr-menus/{}", menu["id"].as_str().unwrap()), &desk.admin).await.expect(204);
        }
        // Whoever waits in it would wait for nobody; the other tenant's callers wait elsewhere.
        for (tenant, status) in [("acme", 409), ("globex", 204)] {
            let row = format!(
                "INSERT INTO calls (id, tenant_id, direction, did, caller_number, caller_name, channel, uniqueid, linkedid, \
                 language, action, target, reason, started_at) VALUES ('01kb2x8v9q3d5s7f1g4h6j8k0m', '{tenant}', 'inbound', \
                 '', '', '', '', '', '', '', 'queue', 'acme-support', 'static', 1)"
            );
            desk.app.test.execute(&row).await.unwrap();
            let answer = desk.app.delete(&path, &desk.admin).await.expect(status);
            if status == 409 {
                assert_eq!(answer.body["code"], "callers-inside");
                assert_eq!(desk.app.get(&path, &desk.admin).await.expect(200).body["status"], "inactive");
            }
            desk.app.test.execute("DELETE FROM calls").await.unwrap();
        }
        desk.app.test.execute("UPDATE tenants SET max_queues = 1 WHERE id = 'acme'").await.unwrap();
        desk.make("/queues", json!({"name": "a"})).await;
        assert_eq!(desk.app.post("/queues", &desk.admin, json!({"name": "b"})).await.expect(409).body["code"], "limit-reached");
    }

    /// While one deletes a queue, another leads a number to it: one of both is refused, whoever comes first.
    async fn nothing_is_led_to_what_goes(test) {
        let desk = Desk::new(test).await;
        let (mut refused, mut gone) = (0, 0);
        for n in 0..20 {
            let queue = desk.make("/queues", json!({"name": format!("q{n}")})).await;
            let body = json!({"number": format!("+15550002{n:03}"), "route_type": "queue", "route_target": format!("q{n}")});
            let path = format!("/queues/{}", queue.id());
            let (made, deleted) = if n % 2 == 0 {
                tokio::join!(desk.app.post("/dids", &desk.admin, body), desk.app.delete(&path, &desk.admin))
            } else {
                let (deleted, made) = tokio::join!(desk.app.delete(&path, &desk.admin), desk.app.post("/dids", &desk.admin, body));
                (made, deleted)
            };
            match (made.status.as_u16(), deleted.status.as_u16()) {
                (201, 409) => refused += 1,
                (422, 204) => gone += 1,
                // A deadlock is told as "try again".
                (201 | 503, 503) | (503, 204) => {}
                both => panic!("{both:?}"),
            }
        }
        let left = desk.app.test.number("SELECT COUNT(*) FROM dids d WHERE NOT EXISTS \
             (SELECT 1 FROM queues q WHERE q.tenant_id = d.tenant_id AND q.name = d.route_target)").await;
        assert_eq!(left, 0);
        assert!(refused + gone > 0);
    }

    /// Members are written by supervisors, and only of what is the tenant's.
    async fn members_of_a_queue(test) {
        let desk = Desk::new(test).await;
        desk.furnish().await;
        let person = desk.app.user(Role::Agent, "acme").await;
        let stranger = desk.app.user(Role::Agent, "globex").await;
        let queue = desk.app.get("/queues", &desk.admin).await.expect(200).body["data"][0]["id"].as_str().unwrap().to_owned();
        let endpoint = desk.app.get("/endpoints", &desk.admin).await.expect(200).body["data"][0]["id"].clone();
        let foreign = desk.app.post("/endpoints", &desk.other, json!({"name": "101"})).await.expect(201);
        let members = format!("/queues/{queue}/members");
        let body = json!({"endpoint_id": endpoint, "user_id": person.id.as_str(), "penalty": 2, "paused": true, "pause_reason": "tea"});
        desk.app.post(&members, &desk.agent, body.clone()).await.expect(403);
        let made = desk.app.post(&members, &desk.supervisor, body.clone()).await.expect(201);
        let member: QueueMember = serde_json::from_value(made.body.clone()).unwrap();
        assert!(!member.is_available() && member.queue_id.as_str() == queue);
        desk.app.post(&members, &desk.supervisor, body).await.expect(409);
        let bad = desk.app.post(&members, &desk.supervisor, json!({"endpoint_id": foreign.id(), "user_id": stranger.id.as_str(), "penalty": -1})).await.expect(422);
        assert_eq!(bad.pointers(), ["/penalty"]);
        let bad = desk.app.post(&members, &desk.supervisor, json!({"endpoint_id": foreign.id(), "user_id": stranger.id.as_str()})).await.expect(422);
        assert_eq!(bad.pointers(), ["/endpoint_id", "/user_id"]);
        let path = format!("{members}/{}", made.id());
        assert_eq!(made.header("location"), format!("/api/v1{path}"));
        let back = desk.app.patch(&path, &desk.supervisor, json!({"paused": false})).await.expect(200);
        assert_eq!((&back.body["paused"], &back.body["pause_reason"]), (&json!(false), &json!(null)));
        assert_eq!(desk.app.get(&members, &desk.viewer).await.expect(200).body["data"].as_array().unwrap().len(), 1);
        desk.app.get(&members, &desk.other).await.expect(404);
        desk.app.get(&path, &desk.other).await.expect(404);
        let elsewhere = desk.make("/queues", json!({"name": "sales"})).await;
        desk.app.get(&format!("/queues/{}/members/{}", elsewhere.id(), made.id()), &desk.admin).await.expect(404);
        desk.app.delete(&format!("/endpoints/{}", endpoint.as_str().unwrap()), &desk.admin).await.expect(409);
        desk.app.delete(&path, &desk.supervisor).await.expect(204);
        desk.app.delete(&format!("/endpoints/{}", endpoint.as_str().unwrap()), &desk.admin).await.expect(204);
    }

    /// An agent changes the own state and nobody else's.
    async fn states_of_agents(test) {
        let desk = Desk::new(test).await;
        desk.furnish().await;
        let (ann, ben) = (desk.app.user(Role::Agent, "acme").await, desk.app.user(Role::Agent, "acme").await);
        let endpoint = desk.app.get("/endpoints", &desk.admin).await.expect(200).body["data"][0]["id"].clone();
        desk.app.get("/agents/me", &ann.token).await.expect(404);
        let first = desk.app.patch("/agents/me", &ann.token, json!({"state": "away", "reason": "lunch", "endpoint_id": endpoint})).await.expect(200);
        let state: AgentState = serde_json::from_value(first.body.clone()).unwrap();
        assert_eq!((state.user_id.as_str(), state.extension.as_ref().unwrap().as_str()), (ann.id.as_str(), "101"));
        desk.stranger_sees_nothing("/agents", &first).await;
        desk.app.wait(std::time::Duration::from_secs(60));
        // A repeat is no new state; a new one is.
        let repeat = desk.app.patch("/agents/me", &ann.token, json!({"state": "away", "reason": "still"})).await.expect(200);
        assert_eq!((&repeat.body["since"], &repeat.body["id"]), (&first.body["since"], &first.body["id"]));
        let back = desk.app.patch("/agents/me", &ann.token, json!({"state": "available", "reason": null})).await.expect(200);
        assert_eq!((&back.body["since"], &back.body["reason"]), (&json!("2026-11-23T10:01:00Z"), &json!(null)));
        assert_eq!(desk.app.get("/agents/me", &ann.token).await.expect(200).body, back.body);
        let path = format!("/agents/{}", first.id());
        desk.app.patch(&path, &ben.token, json!({"state": "dnd"})).await.expect(403);
        desk.app.post("/agents", &ben.token, json!({"user_id": ann.id.as_str()})).await.expect(403);
        desk.app.patch(&path, &ann.token, json!({"state": "busy"})).await.expect(200);
        desk.app.patch(&path, &desk.supervisor, json!({"state": "offline", "endpoint_id": null})).await.expect(200);
        assert_eq!(desk.app.get(&path, &desk.viewer).await.expect(200).body["extension"], json!(null));
        desk.app.post("/agents", &desk.supervisor, json!({"user_id": ben.id.as_str(), "state": "break"})).await.expect(201);
        desk.app.post("/agents", &desk.supervisor, json!({"user_id": ben.id.as_str()})).await.expect(409);
        let foreign = desk.app.user(Role::Agent, "globex").await;
        assert_eq!(desk.app.post("/agents", &desk.supervisor, json!({"user_id": foreign.id.as_str()})).await.expect(422).pointers(), ["/user_id"]);
        assert_eq!(desk.app.patch("/agents/me", &ann.token, json!({"state": "asleep", "since": "x"})).await.expect(422).pointers(), ["/state", "/since"]);
        desk.app.patch("/agents/me", &desk.viewer, json!({"state": "busy"})).await.expect(403);
        assert_eq!(desk.app.get("/agents?state=break", &ann.token).await.expect(200).body["data"].as_array().unwrap().len(), 1);
        desk.app.delete(&path, &ann.token).await.expect(403);
        desk.app.delete(&path, &desk.supervisor).await.expect(204);
    }

    /// Sockets are listed for supervisors.
    async fn sockets_are_seen_by_supervisors(test) {
        let desk = Desk::new(test).await;
        let id = desk.app.gate.ids.next();
        desk.app.test.execute(&format!(
            "INSERT INTO websocket_sessions (id, tenant_id, node_id, subscriptions, connected_at, last_seen_at, created_at, updated_at) \
             VALUES ('{id}', 'acme', '{id}', '[\"call.*\"]', 5000000, 6000000, 5000000, 6000000)"
        )).await.unwrap();
        desk.app.get("/websocket-sessions", &desk.agent).await.expect(403);
        let list = desk.app.get("/websocket-sessions?disconnected_at=null", &desk.supervisor).await.expect(200);
        let session: WebSocketSession = serde_json::from_value(list.body["data"][0].clone()).unwrap();
        assert!(session.is_open() && session.wants("call.ended"));
        desk.app.get(&format!("/websocket-sessions/{id}"), &desk.supervisor).await.expect(200);
        desk.app.get(&format!("/websocket-sessions/{id}"), &desk.other).await.expect(404);
        desk.app.delete(&format!("/websocket-sessions/{id}"), &desk.admin).await.expect(405);
    }
}
