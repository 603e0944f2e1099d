//! Hostile use: floods of logins, ids that a database would take for others, bodies that are too much.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hookswitch::base::role::Role;
use serde_json::json;

use super::app::TestApp;
use crate::support::both_databases;

both_databases! {
    /// 2,000 logins at once: each gets an answer, most of them "busy" at once, and others are served meanwhile.
    async fn a_flood_of_logins_leaves_others_served(test) {
        let app = Arc::new(TestApp::new(test).await);
        app.tenant("acme").await;
        let token = app.token(Role::TenantAdmin, "acme").await;
        let flooding = Arc::new(AtomicBool::new(true));
        let others = tokio::spawn({
            let (app, flooding) = (Arc::clone(&app), Arc::clone(&flooding));
            async move {
                let mut served = 0;
                while flooding.load(Ordering::SeqCst) {
                    app.get("/tags", &token).await.expect(200);
                    served += 1;
                }
                served
            }
        });
        let mut logins = tokio::task::JoinSet::new();
        for n in 0..2_000 {
            let app = Arc::clone(&app);
            logins.spawn(async move {
                let body = json!({"email": format!("nobody{n}@flood.test"), "password": "a-wrong-password-1"});
                app.post("/auth/login", "", body).await.status.as_u16()
            });
        }
        let answers = logins.join_all().await;
        flooding.store(false, Ordering::SeqCst);
        let count = |status| answers.iter().filter(|s| **s == status).count();
        assert_eq!(count(401) + count(503), 2_000, "{:?}", answers.iter().take(20).collect::<Vec<_>>());
        assert!(count(401) > 0 && count(503) > 0, "{} and {}", count(401), count(503));
        assert!(others.await.unwrap() > 0);
    }

    /// An id in other letters, with a space behind it or with look-alikes is no id.
    async fn look_alike_ids_are_nobodys(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let token = app.token(Role::TenantAdmin, "acme").await;
        let id = app.post("/tags", &token, json!({"name": "vip"})).await.expect(201).id();
        app.get(&format!("/tags/{id}"), &token).await.expect(200);
        let upper = id.to_ascii_uppercase();
        for other in [upper.as_str(), &format!("{id}%20"), &format!("%20{id}"), &format!("{id}%00"), &format!("{id}%E2%80%8B"), &id.replacen('0', "%EF%BC%90", 1)] {
            app.get(&format!("/tags/{other}"), &token).await.expect(404);
            app.delete(&format!("/tags/{other}"), &token).await.expect(404);
        }
        // Names are told apart by their case.
        app.post("/tags", &token, json!({"name": "VIP"})).await.expect(201);
        // Spaces around a name are no part of it.
        app.post("/tags", &token, json!({"name": " vip "})).await.expect(409);
        app.post("/tags", &token, json!({"name": "v\nip"})).await.expect(422);
        assert_eq!(app.get("/tags?name=vip", &token).await.expect(200).body["data"].as_array().unwrap().len(), 1);
    }

    /// Bodies that are too large, too deep or of another kind change nothing.
    async fn bodies_that_are_too_much(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let token = app.token(Role::TenantAdmin, "acme").await;
        let send = async |body: String| {
            let request = axum::http::Request::post("/api/v1/contacts")
                .header("authorization", format!("Bearer {token}"))
                .header("content-type", "application/json")
                .body(axum::body::Body::from(body))
                .unwrap();
            app.send(request).await.status.as_u16()
        };
        let deep = format!("{{\"first_name\":\"x\",\"metadata\":{}1{}}}", "{\"a\":".repeat(500), "}".repeat(500));
        assert_eq!(send(deep).await, 400);
        assert_eq!(send(format!("{{\"first_name\":\"{}\"}}", "x".repeat(10 * 1024 * 1024))).await, 413);
        assert_eq!(send(format!("{{\"first_name\":\"x\",\"metadata\":{{\"a\":\"{}\"}}}}", "x".repeat(20 * 1024))).await, 422);
        let many: Vec<String> = (0..50_000).map(|n| format!("\"f{n}\":1")).collect();
        assert_eq!(send(format!("{{{}}}", many.join(","))).await, 422);
        assert_eq!(app.test.number("SELECT COUNT(*) FROM contacts").await, 0);
    }
}

both_databases! {
    /// A key makes no people and reads no export, whatever its scopes; a destroyed tenant's name is nobody's again.
    async fn keys_and_names_do_not_lead_up(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        app.tenant("globex").await;
        let admin = app.token(Role::TenantAdmin, "acme").await;
        let ask = json!({"name": "all", "role": "tenant_admin", "scopes": ["*:write"]});
        let key = app.post("/api-keys", &admin, ask).await.expect(201).body["key"].as_str().unwrap().to_owned();
        app.get("/users", &key).await.expect(200);
        let person = json!({"email": "eve@acme.test", "role": "tenant_admin", "password": "a long pass phrase"});
        assert_eq!(app.post("/users", &key, person).await.expect(403).body["code"], "not-yours");
        let agent = app.user(Role::Agent, "acme").await;
        let path = format!("/users/{}", agent.id);
        assert_eq!(app.patch(&path, &key, json!({"role": "tenant_admin"})).await.expect(403).body["code"], "not-yours");
        assert_eq!(app.get("/tenants/acme/export", &key).await.expect(403).body["code"], "not-yours");
        // Whoever acts in another tenant too is not the home tenant's to take over.
        let root = app.token(Role::Superadmin, "globex").await;
        app.post("/roles", &root, json!({"user_id": agent.id, "role": "supervisor"})).await.expect(201);
        let taken = app.patch(&path, &admin, json!({"password": "a long pass phrase"})).await.expect(403);
        assert_eq!(taken.body["code"], "not-home");
        app.delete(&path, &admin).await.expect(204);
        assert_eq!(app.test.number("SELECT COUNT(*) FROM users WHERE last_name = 'agent' AND deleted_at = 0").await, 1);
        app.post("/tags", &admin, json!({"name": "x"})).await.expect(201);
        app.delete("/tenants/acme", &root).await.expect(204);
        app.post("/tenants/acme/purge", &root, json!({"confirm": "acme"})).await.expect(200);
        let again = app.post("/tenants", &root, json!({"id": "acme", "name": "Another"})).await.expect(409);
        assert_eq!(again.body["code"], "taken");
    }

    /// A header of nothing but commas is refused before each of them gets a fault.
    async fn a_file_of_commas_is_refused(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let token = app.token(Role::Supervisor, "acme").await;
        let request = axum::http::Request::post("/api/v1/contacts/import")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "text/csv")
            .body(axum::body::Body::from(",".repeat(1_000_000)))
            .unwrap();
        let answer = app.send(request).await;
        assert!(answer.status.is_client_error() && answer.body["errors"].as_array().unwrap().len() == 1, "{answer:?}");
    }
}
