//! The operations: what is refused, what is never shown, what is limited.

use std::io::Read as _;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::World;
use crate::api::isolation::everything;
use crate::support::both_databases;

const OWN: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Every file of a zip archive, as text.
fn unzipped(bytes: &[u8]) -> String {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let mut all = String::new();
    for n in 0..archive.len() {
        archive.by_index(n).unwrap().read_to_string(&mut all).unwrap();
    }
    all
}

both_databases! {
    /// Everything that is wrong with a body is said at once, and nothing is made.
    async fn wrong_input_is_refused_with_all_faults(test) {
        let world = World::new(test).await;
        let wrong = json!({
            "name": "x".repeat(101), "url": "ftp://example.com", "types": ["Call.*", "call.*"], "signatures": ["v1", "v2"],
            "headers": {"Host": "a", "Webhook-Id": "b", "X Y": "c", "X-A": "a\r\nX-B: 1", "x-a": "d", "X-C": ""},
            "concurrency": 65, "timeout_s": 0, "ordered": "yes", "secret": "whsec_AAAA", "metadata": [], "status": "active",
        });
        let refused = world.post("/webhooks", wrong).await.expect(422);
        let mut pointers = refused.pointers();
        pointers.sort_unstable();
        let headers = ["/headers/Host", "/headers/Webhook-Id", "/headers/X Y", "/headers/X-A", "/headers/X-C", "/headers/x-a"];
        let mut expected = [
            "/concurrency", "/metadata", "/name", "/ordered", "/secret", "/signatures/1", "/status", "/timeout_s", "/types/0", "/url",
        ].to_vec();
        expected.extend(headers);
        expected.sort_unstable();
        assert_eq!(pointers, expected, "{:#}", refused.body);
        let both = world.post("/webhooks", json!({"url": "http://10.0.0.1/", "signatures": []})).await.expect(422);
        assert_eq!(both.pointers(), ["/url", "/signatures"]);
        world.post("/webhooks", json!({})).await.expect(422);
        for reserved in ["Content-Type", "content-length", "Transfer-Encoding", "connection", "Expect", "TE", "upgrade"] {
            let body = json!({"url": "https://example.com/", "headers": {reserved: "x"}});
            world.post("/webhooks", body).await.expect(422);
        }
        let many: Value = (0..21).map(|n| (format!("X-{n}"), json!("v"))).collect::<serde_json::Map<_, _>>().into();
        world.post("/webhooks", json!({"url": "https://example.com/", "headers": many})).await.expect(422);
        for url in [
            "http://10.0.0.1/", "http://169.254.169.254/latest", "http://0x0a000001/", "http://[::1]/", "http://[::ffff:10.0.0.1]/",
            "https://192.168.1.1:8443/x", "http://0/", "http://user:password@example.com/", "/relative", "javascript:alert(1)",
        ] {
            let refused = world.post("/webhooks", json!({"url": url})).await.expect(422);
            assert_eq!(refused.pointers(), ["/url"], "{url}");
        }
        let made = world.webhook("/hook", json!({})).await;
        let path = format!("/webhooks/{}", made.id());
        for body in [json!({"status": "disabled"}), json!({"secret": OWN}), json!({"signatures": []}), json!({"url": "http://10.0.0.1/"})] {
            world.patch(&path, body).await.expect(422);
        }
        for body in [json!({"overlap_s": -1}), json!({"overlap_s": 604_801}), json!({"secret": OWN})] {
            world.post(&format!("{path}/rotate-secret"), body).await.expect(422);
        }
        for body in [json!({"since": "yesterday"}), json!({"failed_only": 1}), json!({"webhook_id": made.id()})] {
            world.post(&format!("{path}/recover"), body).await.expect(422);
        }
        for nobody in ["01kb2x8v9q3d5s7f1g4h6j8k0m", "x", &"a".repeat(65)] {
            world.act(&format!("/webhooks/{nobody}/test")).await.expect(404);
            world.act(&format!("{path}/deliveries/{nobody}/resend")).await.expect(404);
            world.get(&format!("{path}/deliveries/{nobody}/payload")).await.expect(404);
        }
        let stale = world.desk.app.ask("PATCH", &path, &world.token(), Some(json!({"name": "y"})), &[("if-match", "\"old\"")]).await;
        assert_eq!(stale.status, 412);
        assert_eq!(world.get("/webhooks").await.expect(200).body["data"], json!([made.body_without_secret()]));
    }

    /// A secret is in the answer that makes it and nowhere else; in the database it lies sealed.
    async fn secrets_are_shown_once(test) {
        let world = World::new(test).await;
        let more = json!({"secret": OWN, "headers": {"Authorization": "Bearer hush-hush"}, "signatures": ["v1", "v1a"]});
        let key = [("idempotency-key", "one")];
        let mut body = json!({"url": world.sink.url("/hook"), "types": ["*"]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = world.desk.app.ask("POST", "/webhooks", &world.token(), Some(body.clone()), &key).await.expect(201);
        let again = world.desk.app.ask("POST", "/webhooks", &world.token(), Some(body), &key).await.expect(201);
        assert_eq!((again.id(), again.body.get("secret")), (made.id(), None));
        let path = format!("/webhooks/{}", made.id());
        let turned = world.post(&format!("{path}/rotate-secret"), json!({})).await.expect(200).text("secret");
        world.patch(&path, json!({"name": "CRM"})).await.expect(200);
        let tag = world.tag("x").await;
        world.came(3).await;
        world.all_done().await;
        let mut shown = String::new();
        for read in [
            path.clone(), "/webhooks".into(), "/events?limit=200".into(), "/audit-logs?limit=200".into(), format!("{path}/deliveries"),
            format!("{path}/attempts"), "/webhooks?q=hook".into(),
        ] {
            shown += &world.get(&read).await.expect(200).body.to_string();
        }
        let request = axum::http::Request::get("/api/v1/tenants/acme/export");
        let request = request.header("authorization", format!("Bearer {}", world.token())).body(axum::body::Body::empty()).unwrap();
        let answer = tower::ServiceExt::oneshot(world.desk.app.routes.clone(), request).await.unwrap();
        assert_eq!(answer.status(), 200);
        shown += &unzipped(&axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap());
        assert!(shown.contains(&made.id()) && shown.contains(&tag.id()) && shown.contains("[secret]"));
        let stored: String = everything(&world.desk.app.test, "acme").await.into_values().collect();
        assert!(stored.contains(&made.id()));
        let private = world.desk.app.test.texts("SELECT private_key FROM webhooks").await.remove(0);
        for secret in [OWN, &turned] {
            let bytes = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            for form in [&secret["whsec_".len()..], &hex, "hush-hush", &BASE64_STANDARD.encode("Bearer hush-hush")] {
                assert!(!shown.contains(form), "{form} is shown");
                assert!(!stored.contains(form), "{form} lies open in the database");
            }
        }
        assert!(!shown.contains(&private), "even sealed it is nobody's business");
        assert_eq!(world.state(&made.id()).await["header_names"], json!(["authorization"]));
        // Headers go with an empty object.
        world.patch(&path, json!({"headers": {}})).await.expect(200);
        world.sink.clear();
        world.tag("y").await;
        world.until("the tag", |w| w.sink.types().contains(&"tag.created".to_owned())).await;
        let taken = world.sink.taken().into_iter().rfind(|t| t.json()["type"] == "tag.created").unwrap();
        assert!(!taken.headers.contains_key("authorization"));
    }

    /// An API key gets through an endpoint only what its scopes let it read.
    async fn a_key_reads_no_more_through_an_endpoint(test) {
        let world = World::new(test).await;
        let key = json!({"name": "k", "role": "tenant_admin", "scopes": ["webhooks:write", "tags:read"]});
        let key = world.post("/api-keys", key).await.expect(201).text("key");
        let app = &world.desk.app;
        let make = async |types: Value| app.post("/webhooks", &key, json!({"url": world.sink.url("/key"), "types": types})).await;
        for types in [json!(["*"]), json!(["tag.*", "contact.created"]), json!(["ticket.*"])] {
            let refused = make(types.clone()).await.expect(403);
            assert_eq!(refused.code(), "forbidden", "{types}");
        }
        let made = make(json!(["tag.*", "webhook.*"])).await.expect(201);
        let path = format!("/webhooks/{}", made.id());
        app.patch(&path, &key, json!({"types": ["user.*"]})).await.expect(403);
        app.patch(&path, &key, json!({"name": "mine"})).await.expect(200);
        // One that somebody else made wants more: sent to another place it would tell the key.
        let wide = world.webhook("/wide", json!({"types": ["contact.*"]})).await;
        app.patch(&format!("/webhooks/{}", wide.id()), &key, json!({"url": world.sink.url("/key")})).await.expect(403);
        world.post("/contacts", json!({"first_name": "Ann"})).await.expect(201);
        world.until("the contact", |w| w.sink.at("/wide").len() == 1).await;
        world.all_done().await;
        let delivery = world.deliveries(&wide.id()).await.remove(0);
        let payload = format!("/webhooks/{}/deliveries/{}/payload", wide.id(), delivery["id"].as_str().unwrap());
        app.get(&payload, &key).await.expect(403);
        world.get(&payload).await.expect(200);
        // Nor is a delivery found below another endpoint.
        let crossed = payload.replace(&wide.id(), &made.id());
        world.get(&crossed).await.expect(404);
        world.act(&crossed.replace("/payload", "/resend")).await.expect(404);
    }

    /// Fifty and no more, also when several ask at the same time.
    async fn a_tenant_has_fifty_at_most(test) {
        let world = World::new(test).await;
        for n in 0..48 {
            world.webhook(&format!("/{n}"), json!({})).await;
        }
        let body = |n: usize| json!({"url": world.sink.url(&format!("/more{n}"))});
        let (a, b, c, d) = tokio::join!(
            world.post("/webhooks", body(1)), world.post("/webhooks", body(2)), world.post("/webhooks", body(3)), world.post("/webhooks", body(4)),
        );
        let made = [&a, &b, &c, &d].iter().filter(|answer| answer.status == 201).count();
        let refused = [&a, &b, &c, &d].iter().filter(|answer| answer.status == 409 && answer.code() == "limit").count();
        assert_eq!((made, refused), (2, 2), "{a:?} {b:?} {c:?} {d:?}");
        let first = world.get("/webhooks?limit=1").await.expect(200).body["data"][0]["id"].as_str().unwrap().to_owned();
        world.desk.app.delete(&format!("/webhooks/{first}"), &world.token()).await.expect(204);
        world.webhook("/room", json!({})).await;
    }

    /// Changes while events are handed out: whoever deletes, pauses or reorders an endpoint leaves nothing stuck.
    async fn changes_while_events_come_leave_nothing_stuck(test) {
        let world = World::new(test).await;
        let keys: Vec<String> = (0..30).map(|n| format!("ticket:{}", n % 3)).collect();
        let mut ids = Vec::new();
        for n in 0..4 {
            ids.push(world.webhook(&format!("/{n}"), json!({"ordered": n % 2 == 0})).await.id());
        }
        for round in 0..12 {
            let on = round % 2 == 0;
            let change = async |n: usize, body: Value| {
                // Busy is an answer too; wrong is not.
                let answer = world.patch(&format!("/webhooks/{}", ids[n]), body).await;
                assert!(matches!(answer.status.as_u16(), 200 | 503), "{answer:?}");
            };
            tokio::join!(
                world.happen(&keys),
                change(0, json!({"ordered": !on})),
                change(1, json!({"ordered": on})),
                change(2, json!({"status": if on { "paused" } else { "active" }})),
                change(3, json!({"concurrency": round + 1})),
            );
        }
        let (gone, kept) = (ids.remove(3), ids);
        let (answer, ()) = tokio::join!(
            async { world.desk.app.delete(&format!("/webhooks/{gone}"), &world.token()).await },
            world.happen(&keys),
        );
        answer.expect(204);
        for id in &kept {
            world.patch(&format!("/webhooks/{id}"), json!({"status": "active"})).await.expect(200);
        }
        world.all_done().await;
        for (n, _) in kept.iter().enumerate() {
            let came: std::collections::HashSet<String> = world.sink.at(&format!("/{n}")).iter().map(|t| t.id().to_owned()).collect();
            assert_eq!(came.len(), 13 * 30, "endpoint {n}");
        }
    }
}

impl crate::api::app::Answer {
    /// The record as it is read later.
    fn body_without_secret(&self) -> Value {
        let mut body = self.body.clone();
        body.as_object_mut().unwrap().remove("secret");
        body
    }
}
