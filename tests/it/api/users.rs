//! Users, roles and API keys over the API.

use hookswitch::base::role::Role;
use hookswitch::users::{User, UserRole};
use serde_json::{Value, json};

use super::app::{PASSWORD, Person, TestApp};
use crate::support::both_databases;

/// Gives somebody another role in a tenant, past the API.
async fn role(app: &TestApp, person: &Person, tenant: &str, role: &str) {
    let row = format!(
        "INSERT INTO user_roles (id, tenant_id, user_id, role, created_at, updated_at) \
         VALUES ('{}', '{tenant}', '{}', '{role}', 2, 2)",
        app.gate.ids.next(),
        person.id
    );
    app.test.execute(&row).await.unwrap();
}

fn ids(body: &Value) -> Vec<&str> {
    body["data"].as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap()).collect()
}

both_databases! {
    /// Made with a password shown once, changed, deleted; nobody else's tenant sees any of it.
    async fn a_user_comes_works_and_goes(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        app.tenant("globex").await;
        let (admin, other) = (app.token(Role::TenantAdmin, "acme").await, app.token(Role::TenantAdmin, "globex").await);
        let new = json!({"email": "Ann@Acme.test", "role": "agent", "first_name": "Ann", "phone": "12", "metadata": {"desk": 7}});
        let made = app.ask("POST", "/users", &admin, Some(new.clone()), &[("idempotency-key", "one")]).await.expect(201);
        let password = made.text("password");
        let user: User = serde_json::from_value(made.body.clone()).unwrap();
        assert_eq!((user.email.as_str(), user.phone.as_deref(), user.metadata["desk"].as_u64()), ("ann@acme.test", Some("12"), Some(7)));
        let again = app.ask("POST", "/users", &admin, Some(new.clone()), &[("idempotency-key", "one")]).await.expect(201);
        assert_eq!((again.id(), &again.body["password"]), (made.id(), &json!(null)), "shown once");
        let path = format!("/users/{}", made.id());
        let signed_in = app.post("/auth/login", "", json!({"email": "ann@acme.test", "password": password})).await.expect(200);
        let token = signed_in.text("access_token");
        app.post("/users", &token, new.clone()).await.expect(403);
        assert_eq!(app.post("/users", &other, new).await.expect(409).code(), "taken");
        for (method, body) in [("GET", None), ("PATCH", Some(json!({"role": "viewer"}))), ("DELETE", None)] {
            app.ask(method, &path, &other, body, &[]).await.expect(404);
        }
        let bad = app.post("/users", &admin, json!({"email": "x", "role": "superadmin", "password": "short", "status": "active"})).await.expect(422);
        assert_eq!(bad.body["errors"].as_array().unwrap().len(), 3, "{:#}", bad.body);
        let weak = json!({"email": "bob@acme.test", "role": "agent", "password": "short"});
        assert_eq!(app.post("/users", &admin, weak).await.expect(422).pointers(), ["/password"]);

        let read = app.get(&path, &admin).await.expect(200);
        // Another role: the token of the old one is worth nothing.
        let changed = app.ask("PATCH", &path, &admin, Some(json!({"role": "viewer", "last_name": "Bell"})), &[("if-match", read.header("etag"))]).await.expect(200);
        assert_eq!((&changed.body["role"], &changed.body["last_name"]), (&json!("viewer"), &json!("Bell")));
        app.ask("PATCH", &path, &admin, Some(json!({"role": "agent"})), &[("if-match", read.header("etag"))]).await.expect(412);
        app.get("/contacts", &token).await.expect(401);
        app.patch(&path, &admin, json!({"password": PASSWORD})).await.expect(200);
        let token = app.login("ann@acme.test").await.expect(200).text("access_token");
        app.patch(&path, &admin, json!({"status": "suspended"})).await.expect(200);
        app.get("/contacts", &token).await.expect(401);
        assert_eq!(app.login("ann@acme.test").await.expect(403).code(), "inactive");
        app.delete(&path, &admin).await.expect(204);
        app.get(&path, &admin).await.expect(404);
        app.login("ann@acme.test").await.expect(401);
        // The address is free again.
        app.post("/users", &admin, json!({"email": "ann@acme.test", "role": "viewer"})).await.expect(201);
        let lines = app.test.texts("SELECT COALESCE(new_values, '') FROM audit_logs").await;
        assert!(lines.iter().all(|l| !l.contains(&password) && !l.contains(PASSWORD) && !l.contains("argon2")), "{lines:?}");
    }

    /// Nobody locks the tenant or themselves out.
    async fn an_admin_stays(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let (ann, bob) = (app.user(Role::TenantAdmin, "acme").await, app.user(Role::TenantAdmin, "acme").await);
        let root = app.token(Role::Superadmin, "acme").await;
        let (own, his) = (format!("/users/{}", ann.id), format!("/users/{}", bob.id));
        for body in [json!({"role": "viewer"}), json!({"status": "inactive"}), json!({"password": PASSWORD})] {
            assert_eq!(app.patch(&own, &ann.token, body).await.expect(409).code(), "own-account");
        }
        assert_eq!(app.delete(&own, &ann.token).await.expect(409).code(), "own-account");
        app.patch(&own, &ann.token, json!({"first_name": "Ann", "role": "tenant_admin"})).await.expect(200);
        app.patch(&his, &ann.token, json!({"role": "supervisor"})).await.expect(200);
        // Ann is the last one now, for whoever asks.
        for (method, body) in [("PATCH", Some(json!({"role": "viewer"}))), ("PATCH", Some(json!({"status": "suspended"}))), ("DELETE", None)] {
            assert_eq!(app.ask(method, &own, &root, body, &[]).await.expect(409).code(), "last-admin");
        }
        let row = app.test.texts(&format!("SELECT id FROM user_roles WHERE user_id = '{}'", ann.id)).await.remove(0);
        assert_eq!(app.delete(&format!("/roles/{row}"), &root).await.expect(409).code(), "last-admin");
        assert_eq!(app.patch(&format!("/roles/{row}"), &root, json!({"role": "agent"})).await.expect(409).code(), "last-admin");
        // One who may not sign in does not count.
        app.patch(&his, &ann.token, json!({"role": "tenant_admin", "status": "inactive"})).await.expect(200);
        assert_eq!(app.patch(&own, &root, json!({"role": "viewer"})).await.expect(409).code(), "last-admin");
        app.patch(&his, &ann.token, json!({"status": "active"})).await.expect(200);
        app.patch(&own, &root, json!({"role": "viewer"})).await.expect(200);
    }

    /// Two admins who demote each other at the same moment: one of them stays.
    async fn two_admins_do_not_demote_each_other(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        for _ in 0..5 {
            let (ann, bob) = (app.user(Role::TenantAdmin, "acme").await, app.user(Role::TenantAdmin, "acme").await);
            let body = json!({"role": "viewer"});
            let (his, hers) = (format!("/users/{}", bob.id), format!("/users/{}", ann.id));
            tokio::join!(app.patch(&his, &ann.token, body.clone()), app.patch(&hers, &bob.token, body));
            let left = app.test.number("SELECT COUNT(*) FROM user_roles WHERE role = 'tenant_admin'").await;
            assert_eq!(left, 1);
            app.test.execute("DELETE FROM user_roles").await.unwrap();
        }
    }

    /// A guest from another tenant has a role here and nothing else that this tenant could touch.
    async fn guests_keep_their_accounts(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        app.tenant("globex").await;
        let (acme, globex) = (app.token(Role::TenantAdmin, "acme").await, app.user(Role::TenantAdmin, "globex").await);
        let (guest, root) = (app.user(Role::Agent, "globex").await, app.token(Role::Superadmin, "acme").await);
        let ask = json!({"user_id": guest.id, "role": "supervisor"});
        app.post("/roles", &acme, ask.clone()).await.expect(403);
        assert_eq!(app.post("/roles", &root, json!({"user_id": app.gate.ids.next(), "role": "agent"})).await.expect(422).pointers(), ["/user_id"]);
        let made = app.post("/roles", &root, ask).await.expect(201);
        let row: UserRole = serde_json::from_value(made.body.clone()).unwrap();
        assert_eq!((row.user_id.clone(), row.role), (guest.id.clone(), Role::Supervisor));
        app.post("/roles", &root, json!({"user_id": guest.id, "role": "viewer"})).await.expect(409);
        let path = format!("/users/{}", guest.id);
        for body in [json!({"password": PASSWORD}), json!({"email": "x@y.test"}), json!({"status": "inactive"}), json!({"first_name": "x"})] {
            assert_eq!(app.patch(&path, &acme, body).await.expect(403).code(), "not-home");
        }
        app.patch(&path, &acme, json!({"role": "agent"})).await.expect(200);
        // Who runs the platform is nobody's to change, guest or not.
        let boss = app.user(Role::Superadmin, "acme").await;
        role(&app, &boss, "acme", "viewer").await;
        assert_eq!(app.patch(&format!("/users/{}", boss.id), &acme, json!({"password": PASSWORD})).await.expect(403).code(), "not-home");
        app.delete(&path, &acme).await.expect(204);
        app.get(&path, &acme).await.expect(404);
        let stays = app.get(&path, &globex.token).await.expect(200);
        assert_eq!(stays.body["role"], "agent");
        app.delete(&format!("/roles/{}", row.id), &acme).await.expect(404);
    }

    /// The list is the tenant's, searched and filtered; agents have a limit.
    async fn lists_and_limits(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        app.tenant("globex").await;
        let (admin, viewer) = (app.user(Role::TenantAdmin, "acme").await, app.user(Role::Viewer, "acme").await);
        app.user(Role::Agent, "globex").await;
        app.test.execute("UPDATE tenants SET max_agents = 2").await.unwrap();
        let token = admin.token.as_str();
        let new = |n: usize| json!({"email": format!("agent{n}@acme.test"), "role": "agent", "password": PASSWORD});
        let made = app.post("/users", token, new(0)).await.expect(201);
        app.post("/users", token, new(1)).await.expect(201);
        assert_eq!(app.post("/users", token, new(2)).await.expect(409).code(), "limit-reached");
        assert_eq!(app.test.number("SELECT COUNT(*) FROM users WHERE email = 'agent2@acme.test'").await, 0);
        let path = format!("/users/{}", viewer.id);
        assert_eq!(app.patch(&path, token, json!({"role": "agent"})).await.expect(409).code(), "limit-reached");
        app.delete(&format!("/users/{}", made.id()), token).await.expect(204);
        app.patch(&path, token, json!({"role": "agent"})).await.expect(200);
        let agents = app.get("/users?role=agent&sort=created_at", token).await.expect(200);
        assert_eq!(ids(&agents.body).len(), 2);
        assert_eq!(ids(&app.get("/users?q=AGENT1", token).await.expect(200).body).len(), 1);
        assert_eq!(ids(&app.get("/users", token).await.expect(200).body).len(), 3);
        assert_eq!(ids(&app.get("/roles", token).await.expect(200).body).len(), 3);
        app.get("/roles", &app.token(Role::Supervisor, "acme").await).await.expect(403);
    }

    /// Of two agents made at the same moment for the last place one is refused.
    async fn the_last_place_is_taken_once(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        app.test.execute("UPDATE tenants SET max_agents = 1").await.unwrap();
        let admin = app.token(Role::TenantAdmin, "acme").await;
        let new = async |n: usize| {
            let key = format!("key-{n}");
            let body = json!({"email": format!("a{n}@acme.test"), "role": "agent", "password": PASSWORD});
            app.ask("POST", "/users", &admin, Some(body), &[("idempotency-key", &key)]).await.status.as_u16()
        };
        let (one, two, three) = tokio::join!(new(1), new(2), new(3));
        let mut statuses = [one, two, three];
        statuses.sort_unstable();
        assert_eq!(statuses[0], 201, "{statuses:?}");
        assert_eq!(app.test.number("SELECT COUNT(*) FROM user_roles WHERE role = 'agent'").await, 1, "{statuses:?}");
    }

    /// A key does what its role and scopes say until it is revoked; its text is shown once.
    async fn a_key_opens_what_it_says(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        app.tenant("globex").await;
        let admin = app.token(Role::TenantAdmin, "acme").await;
        let other = app.token(Role::TenantAdmin, "globex").await;
        let new = |scopes: Value, role: &str| json!({"name": "CRM", "scopes": scopes, "role": role});
        let bad = app.post("/api-keys", &admin, new(json!(["contacts:read", "nonsense:read", "x"]), "agent")).await.expect(422);
        assert_eq!(bad.pointers(), ["/scopes/2"]);
        let bad = app.post("/api-keys", &admin, new(json!(["contacts:read", "nonsense:read"]), "agent")).await.expect(422);
        assert_eq!(bad.pointers(), ["/scopes/1"]);
        app.post("/api-keys", &admin, new(json!([]), "agent")).await.expect(422);
        app.post("/api-keys", &admin, new(json!(["*:read"]), "superadmin")).await.expect(422);
        let mut past = new(json!(["*:read"]), "agent");
        past["expires_at"] = json!("2020-01-01T00:00:00Z");
        assert_eq!(app.post("/api-keys", &admin, past).await.expect(422).pointers(), ["/expires_at"]);
        let made = app.post("/api-keys", &admin, new(json!(["contacts:write"]), "agent")).await.expect(201);
        let key = made.text("key");
        assert_eq!(made.body["scopes"], json!(["contacts:write"]));
        app.post("/contacts", &key, json!({"first_name": "x"})).await.expect(201);
        app.get("/contacts", &key).await.expect(200);
        app.get("/tags", &key).await.expect(403);
        app.get("/auth/me", &key).await.expect(403);
        let path = format!("/api-keys/{}", made.id());
        let shown = app.get(&path, &admin).await.expect(200);
        assert!(!shown.body.to_string().contains(&key) && key.starts_with(shown.body["prefix"].as_str().unwrap()));
        app.delete(&path, &other).await.expect(404);
        // A key with every scope makes no other.
        let mighty = app.post("/api-keys", &admin, new(json!(["*:write"]), "tenant_admin")).await.expect(201).text("key");
        app.post("/api-keys", &mighty, new(json!(["*:read"]), "agent")).await.expect(403);
        app.delete(&path, &admin).await.expect(204);
        app.get("/contacts", &key).await.expect(401);
        assert_eq!(app.delete(&path, &admin).await.expect(409).code(), "revoked");
        assert!(app.get(&path, &admin).await.expect(200).body["revoked_at"].is_string());
        let lines = app.test.texts("SELECT COALESCE(new_values, '') FROM audit_logs").await;
        assert!(lines.iter().all(|l| !l.contains(&key)));
    }
}
