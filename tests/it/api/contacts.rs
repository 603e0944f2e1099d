//! Contacts and tags; with them, what every collection does.

use hookswitch::base::role::Role;
use serde_json::json;

use super::app::TestApp;
use crate::support::both_databases;

both_databases! {
    /// Made, read, changed, listed, deleted; nobody else sees any of it.
    async fn a_contact_lives_and_goes(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        app.tenant("globex").await;
        let (agent, admin) = (app.token(Role::Agent, "acme").await, app.token(Role::TenantAdmin, "acme").await);
        let other = app.token(Role::TenantAdmin, "globex").await;
        let tag = app.post("/tags", &admin, json!({"name": "vip", "color": "#FF8800"})).await.expect(201);
        assert_eq!(tag.body["color"], "#ff8800");
        let made = app
            .post("/contacts", &agent, json!({"first_name": "Ada", "phone": "+15557770001", "phones": ["+15557770002"], "tags": [tag.id()]}))
            .await
            .expect(201);
        let path = format!("/contacts/{}", made.id());
        assert_eq!(made.header("location"), format!("/api/v1{path}"));
        assert_eq!(made.body["tags"], json!([tag.id()]));
        assert_eq!(made.body["last_name"], json!(null));
        let read = app.get(&path, &agent).await.expect(200);
        assert_eq!(read.body, made.body);
        assert_eq!(read.header("etag"), made.header("etag"));
        for (method, body) in [("GET", None), ("PATCH", Some(json!({"company": "X"}))), ("DELETE", None)] {
            app.ask(method, &path, &other, body, &[]).await.expect(404);
        }
        // Another tenant's tag can't be given.
        let foreign = app.post("/contacts", &other, json!({"first_name": "Eve", "tags": [tag.id()]})).await.expect(422);
        assert_eq!(foreign.pointers(), ["/tags/0"]);
        let stale = app.ask("PATCH", &path, &agent, Some(json!({"company": "X"})), &[("if-match", "\"0\"")]).await;
        assert_eq!(stale.expect(412).body["code"], "stale");
        let changed = app
            .ask("PATCH", &path, &agent, Some(json!({"company": "Engines", "phones": []})), &[("if-match", made.header("etag"))])
            .await
            .expect(200);
        assert_eq!((&changed.body["company"], &changed.body["phones"]), (&json!("Engines"), &json!([])));
        assert_eq!(changed.body["tags"], made.body["tags"]);
        app.patch(&path, &agent, json!({"job_title": "Countess"})).await.expect(200);
        app.delete(&path, &agent).await.expect(403);
        app.delete(&path, &admin).await.expect(204);
        app.get(&path, &admin).await.expect(404);
        assert_eq!(app.get("/contacts", &admin).await.expect(200).body["data"], json!([]));
        let lines = app.test.texts("SELECT action FROM audit_logs WHERE tenant_id = 'acme' ORDER BY sequence").await;
        assert_eq!(lines, ["tags.create", "contacts.create", "contacts.update", "contacts.update", "contacts.delete"]);
    }

    /// A bad body changes nothing and hears of every fault at once.
    async fn every_fault_is_told_at_once(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let token = app.token(Role::Agent, "acme").await;
        let bad = json!({
            "first_name": 1, "email": "nobody", "phone": "123", "assigned_to": "me", "language": "english",
            "metadata": [], "phones": ["+15557770001", "+15557770001", "x"], "tags": {}, "id": "x", "nonsense/~": 1,
        });
        let answer = app.post("/contacts", &token, bad).await.expect(422);
        let mut pointers = answer.pointers();
        pointers.sort_unstable();
        assert_eq!(
            pointers,
            ["/assigned_to", "/email", "/first_name", "/id", "/language", "/metadata", "/nonsense~1~0", "/phone", "/phones/1", "/phones/2", "/tags"]
        );
        assert_eq!(app.post("/contacts", &token, json!({"notes": "who?"})).await.expect(422).pointers(), [""; 0]);
        assert_eq!(app.post("/contacts", &token, json!([])).await.expect(422).body["code"], "invalid");
        assert_eq!(app.test.number("SELECT COUNT(*) FROM contacts").await, 0);
        assert_eq!(app.test.number("SELECT COUNT(*) FROM audit_logs").await, 0);
    }

    /// Pages follow each other forwards and backwards without holes, whatever the order.
    async fn pages_have_no_holes(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        app.tenant("globex").await;
        let (admin, other) = (app.token(Role::TenantAdmin, "acme").await, app.token(Role::TenantAdmin, "globex").await);
        for n in 0..25 {
            // Two at the same microsecond: the id decides.
            if n % 2 == 0 {
                app.wait(std::time::Duration::from_secs(1));
            }
            app.post("/tags", &admin, json!({"name": format!("tag{:02}", (n * 7) % 25)})).await.expect(201);
        }
        app.post("/tags", &other, json!({"name": "foreign"})).await.expect(201);
        for sort in ["-created_at", "created_at", "name", "-name", "updated_at"] {
            let (mut seen, mut path) = (Vec::new(), format!("/tags?limit=4&sort={sort}"));
            let mut last;
            loop {
                let page = app.get(&path, &admin).await.expect(200);
                let data = page.body["data"].as_array().unwrap().clone();
                seen.extend(data.iter().map(|r| r["name"].as_str().unwrap().to_owned()));
                let next = page.body["page"]["next"].as_str().map(str::to_owned);
                last = Some(page);
                match next {
                    Some(next) => path = format!("/tags?limit=4&sort={sort}&after={next}"),
                    None => break,
                }
            }
            assert_eq!(seen.len(), 25, "{sort}");
            let mut unique = seen.clone();
            unique.sort();
            unique.dedup();
            assert_eq!(unique.len(), 25, "{sort}");
            if sort.ends_with("name") {
                let mut sorted = unique;
                if sort == "-name" {
                    sorted.reverse();
                }
                assert_eq!(seen, sorted);
            }
            // And back from the last page to the first.
            let mut back = Vec::new();
            while let Some(page) = last.take() {
                let names = page.body["data"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap().to_owned());
                back.splice(0..0, names.collect::<Vec<_>>());
                if let Some(prev) = page.body["page"]["prev"].as_str() {
                    last = Some(app.get(&format!("/tags?limit=4&sort={sort}&after={prev}"), &admin).await.expect(200));
                }
            }
            assert_eq!(back, seen, "{sort}");
        }
        let first = app.get("/tags?limit=4", &admin).await.expect(200);
        let next = first.body["page"]["next"].as_str().unwrap().to_owned();
        // A cursor is worth nothing to another tenant, to another order, or changed.
        app.get(&format!("/tags?limit=4&after={next}"), &other).await.expect(400);
        app.get(&format!("/tags?limit=4&sort=name&after={next}"), &admin).await.expect(400);
        app.get(&format!("/tags?limit=4&after={next}A"), &admin).await.expect(400);
        for bad in ["limit=0", "limit=201", "limit=x", "sort=color", "nonsense=1", "name_from=a", "limit=1&limit=2"] {
            assert_eq!(app.get(&format!("/tags?{bad}"), &admin).await.expect(400).body["code"], "bad-query", "{bad}");
        }
        let one = app.get("/tags?name=tag07", &admin).await.expect(200);
        assert_eq!(one.body["data"].as_array().unwrap().len(), 1);
        let found = app.get("/tags?q=AG1", &admin).await.expect(200);
        assert_eq!(found.body["data"].as_array().unwrap().len(), 10);
    }

    /// The same key and body is the same request; another body is another; secrets aside, the first answer comes again.
    async fn a_repeated_post_happens_once(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let admin = app.user(Role::TenantAdmin, "acme").await;
        let ask = async |key: &str, name: &str| {
            let token = app.fresh_token(&admin);
            app.ask("POST", "/tags", &token, Some(json!({"name": name})), &[("idempotency-key", key)]).await
        };
        let first = ask("k1", "a").await.expect(201);
        let again = ask("k1", "a").await.expect(201);
        assert_eq!((&first.body, first.header("location"), first.header("etag")), (&again.body, again.header("location"), again.header("etag")));
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(ask("k1", "b").await.expect(422).body["code"], "idempotency-key-reused");
        ask("", "c").await.expect(400);
        ask(&"k".repeat(256), "c").await.expect(400);
        // A failed request is not kept: the next one counts.
        ask("k2", "a").await.expect(409);
        ask("k2", "d").await.expect(201);
        let (one, two) = tokio::join!(ask("k3", "e"), ask("k3", "e"));
        let mut statuses = [one.status.as_u16(), two.status.as_u16()];
        statuses.sort_unstable();
        assert!(statuses == [201, 201] || statuses == [201, 409], "{statuses:?}");
        app.wait(hookswitch::config::limits::api::IDEMPOTENCY_TIME);
        ask("k1", "f").await.expect(201);
        assert_eq!(app.test.number("SELECT COUNT(*) FROM tags").await, 4);
    }

    /// What is no request of ours gets its problem, with an id to ask about.
    async fn bad_requests_are_told_why(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let token = app.token(Role::TenantAdmin, "acme").await;
        for (method, path, status) in [
            ("GET", "/nothing", 404), ("GET", "/tags/x%20", 404), ("GET", "/tags/x/y/z", 404),
            ("PUT", "/tags", 405), ("PATCH", "/tags", 405),
        ] {
            let answer = app.ask(method, path, &token, None, &[("x-request-id", "mine-1")]).await.expect(status);
            assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
            assert_eq!(answer.body["request_id"], "mine-1", "{path}");
        }
        for token in ["", "nonsense", "agent:acme"] {
            let answer = app.get("/tags", token).await.expect(401);
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
        }
        let send = async |kind: &str, body: Vec<u8>| {
            let request = axum::http::Request::post("/api/v1/tags")
                .header("authorization", format!("Bearer {token}"))
                .header("content-type", kind)
                .body(axum::body::Body::from(body))
                .unwrap();
            app.send(request).await
        };
        send("text/plain", b"{}".to_vec()).await.expect(415);
        send("application/json; charset=utf-8", b"{\"name\":".to_vec()).await.expect(400);
        send("application/json", vec![b'['; 100_000]).await.expect(400);
        send("application/json", vec![b' '; 10 * 1024 * 1024]).await.expect(413);
        send("application/json", b"{\"name\":\"\xff\"}".to_vec()).await.expect(400);
        assert_eq!(app.test.number("SELECT COUNT(*) FROM tags").await, 0);
    }
}
