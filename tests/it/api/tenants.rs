//! Tenants over the API: their life from the first admin to the purge.

use std::io::Read;

use axum::body::Body;
use axum::http::Request;
use hookswitch::audit::store::{Verdict, verify};
use hookswitch::base::role::Role;
use hookswitch::tenants::TenantRecord;
use serde_json::{Value, json};
use sha2::Digest;

use super::app::{PASSWORD, TestApp};
use crate::support::both_databases;

/// Tables of tenants that this test's own list knows; a purge finds its own in the schema.
const SOME: [&str; 5] = ["contacts", "tags", "contact_tags", "user_roles", "api_keys"];

async fn rows(app: &TestApp, table: &str, tenant: &str) -> i64 {
    app.test.number(&format!("SELECT COUNT(*) FROM {table} WHERE tenant_id = '{tenant}'")).await
}

/// A zip's files by name.
async fn zip(app: &TestApp, path: &str, token: &str) -> Vec<(String, Vec<u8>)> {
    use tower::ServiceExt;
    let request = Request::get(format!("/api/v1{path}"))
        .header("authorization", format!("Bearer {token}"))
        .body(Body::empty())
        .unwrap();
    let answer = app.routes.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let bytes = axum::body::to_bytes(answer.into_body(), 1 << 26).await.unwrap();
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let names: Vec<String> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
    let read = |name: String| {
        let mut bytes = Vec::new();
        zip.by_name(&name).unwrap().read_to_end(&mut bytes).unwrap();
        (name, bytes)
    };
    names.into_iter().map(read).collect()
}

both_databases! {
    /// Who runs the platform makes and changes all of them; an admin sees and changes little of one.
    async fn the_operator_makes_tenants(test) {
        let app = TestApp::new(test).await;
        let root = app.token(Role::Superadmin, "").await;
        let body = json!({"id": "acme", "name": "Acme", "plan": "gold", "max_agents": 5, "features": ["sms"], "settings": {"a": 1},
            "admin_email": "ann@acme.test", "zone": "Europe/Berlin"});
        let made = app.post("/tenants", &root, body.clone()).await.expect(201);
        let record: TenantRecord = serde_json::from_value(made.body.clone()).unwrap();
        assert_eq!((record.tenant.id.as_str(), record.tenant.max_agents, record.plan.as_deref()), ("acme", 5, Some("gold")));
        assert_eq!(made.header("location"), "/api/v1/tenants/acme");
        assert_eq!(app.post("/tenants", &root, body).await.expect(409).code(), "taken");
        let twice = json!({"id": "other", "name": "x", "admin_email": "ann@acme.test"});
        app.post("/tenants", &root, twice).await.expect(409);
        assert_eq!(app.test.number("SELECT COUNT(*) FROM tenants").await, 1);
        let login = json!({"email": "ann@acme.test", "password": made.text("admin_password")});
        let admin = app.post("/auth/login", "", login).await.expect(200).text("access_token");
        let bad = app.post("/tenants", &root, json!({"id": "A-b", "name": "", "zone": "Mars", "max_dids": -1, "status": "gone"})).await.expect(422);
        assert_eq!(bad.body["errors"].as_array().unwrap().len(), 5, "{:#}", bad.body);

        app.post("/tenants", &root, json!({"id": "globex", "name": "Globex"})).await.expect(201);
        let names = |body: &Value| body["data"].as_array().unwrap().iter().map(|t| t["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&app.get("/tenants?sort=name", &root).await.expect(200).body), ["acme", "globex"]);
        assert_eq!(names(&app.get("/tenants?q=GLOB", &root).await.expect(200).body), ["globex"]);
        assert_eq!(names(&app.get("/tenants", &admin).await.expect(200).body), ["acme"]);
        for (method, path, body) in [("GET", "", None), ("PATCH", "", Some(json!({"name": "x"}))), ("GET", "/usage", None), ("GET", "/export", None)] {
            app.ask(method, &format!("/tenants/globex{path}"), &admin, body, &[]).await.expect(404);
        }
        app.post("/tenants", &admin, json!({"id": "mine", "name": "x"})).await.expect(403);
        let refused = app.patch("/tenants/acme", &admin, json!({"name": "x", "max_agents": 0, "plan": "free"})).await.expect(403);
        assert_eq!((refused.code(), refused.pointers()), ("operator-only", vec!["/max_agents", "/plan"]));
        app.patch("/tenants/acme", &admin, json!({"status": "active"})).await.expect(422);
        let changed = app.patch("/tenants/acme", &admin, json!({"name": "Acme 2", "settings": {}})).await.expect(200);
        assert_eq!((&changed.body["name"], &changed.body["max_agents"]), (&json!("Acme 2"), &json!(5)));
        let stale = app.ask("PATCH", "/tenants/acme", &root, Some(json!({"plan": "x"})), &[("if-match", made.header("etag"))]).await;
        assert_eq!(stale.expect(412).code(), "stale");
        app.patch("/tenants/acme", &root, json!({"max_agents": 7, "trial_ends_at": "2027-01-01T00:00:00Z"})).await.expect(200);
        let usage = app.get("/tenants/acme/usage", &admin).await.expect(200);
        assert_eq!((&usage.body["users"], &usage.body["agents"], &usage.body["limits"]["max_agents"], &usage.body["storage_bytes"]), (&json!(1), &json!(0), &json!(7), &json!(0)));
        let lines = app.test.texts("SELECT action FROM audit_logs WHERE tenant_id = 'acme' AND action LIKE 'tenants%' ORDER BY sequence").await;
        assert_eq!(lines, ["tenants.create", "tenants.update", "tenants.update"]);
    }

    /// A suspended tenant: no calls, nobody signed in, keys shut, people may come back and look.
    async fn a_suspended_tenant_stands_still(test) {
        let app = TestApp::new(test).await;
        let acme = app.tenant("acme").await;
        let (root, admin) = (app.token(Role::Superadmin, "").await, app.user(Role::TenantAdmin, "acme").await);
        let email = app.with_password(&admin).await;
        let new = json!({"name": "k", "scopes": ["*:write"], "role": "agent"});
        let key = app.post("/api-keys", &admin.token, new).await.expect(201).text("key");
        app.get("/contacts", &key).await.expect(200);
        app.gate.routing.memory.refresh().await.unwrap();
        app.post("/tenants/acme/suspend", &admin.token, json!({})).await.expect(403);
        app.post("/tenants/nowhere/suspend", &root, json!({})).await.expect(404);
        let done = app.post("/tenants/acme/suspend", &root, json!({"reason": "unpaid"})).await.expect(200);
        assert_eq!((&done.body["status"], &done.body["suspended_reason"]), (&json!("suspended"), &json!("unpaid")));
        let rules = app.gate.routing.memory.reload(&acme).await.unwrap().unwrap();
        assert!(!rules.status.has_calls());
        assert_eq!(app.post("/tenants/acme/suspend", &root, json!({})).await.expect(409).code(), "suspended");
        assert_eq!(app.get("/contacts", &admin.token).await.expect(401).code(), "session-ended");
        app.get("/contacts", &key).await.expect(401);
        let token = app.login(&email).await.expect(200).text("access_token");
        app.get("/contacts", &token).await.expect(200);
        for (method, path) in [("POST", "/contacts"), ("PATCH", "/tenants/acme")] {
            let body = json!({"name": "x"});
            let body = if method == "POST" { json!({"first_name": "x"}) } else { body };
            assert_eq!(app.ask(method, path, &token, Some(body), &[]).await.expect(403).code(), "tenant-suspended");
        }
        app.post("/tenants/acme/activate", &root, json!({})).await.expect(200);
        app.post("/contacts", &token, json!({"first_name": "x"})).await.expect(201);
        app.get("/contacts", &key).await.expect(200);
        assert!(app.gate.routing.memory.reload(&acme).await.unwrap().unwrap().status.has_calls());
    }

    /// A trial ends by itself, once, on record; nobody else's does.
    async fn a_trial_ends(test) {
        let app = TestApp::new(test).await;
        let root = app.token(Role::Superadmin, "").await;
        let end = json!("2026-11-24T10:00:00Z");
        for (id, status, end) in [("acme", "trial", end.clone()), ("globex", "trial", json!(null)), ("initech", "active", end)] {
            let body = json!({"id": id, "name": id, "status": status, "trial_ends_at": end});
            app.post("/tenants", &root, body).await.expect(201);
        }
        let admin = app.user(Role::TenantAdmin, "acme").await;
        let over = async || hookswitch::app::keep::end_trials(&app.test.db, &app.gate.auth, &app.gate.events, app.clock.now_us()).await.unwrap();
        app.wait(std::time::Duration::from_secs(24 * 3_600 - 1));
        assert_eq!(over().await, []);
        app.wait(std::time::Duration::from_secs(1));
        let token = app.fresh_token(&admin);
        app.get("/contacts", &token).await.expect(200);
        assert_eq!(over().await, [crate::support::tenant("acme")]);
        assert_eq!(over().await, []);
        app.get("/contacts", &token).await.expect(401);
        let statuses = app.test.texts("SELECT status FROM tenants ORDER BY id").await;
        assert_eq!(statuses, ["suspended", "trial", "active"]);
        assert_eq!(app.test.number("SELECT COUNT(*) FROM audit_logs WHERE tenant_id = 'acme' AND action = 'tenants.suspend'").await, 1);
    }

    /// An export holds every row and no secret; its manifest says what is in it.
    async fn an_export_is_whole_and_without_secrets(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        app.tenant("globex").await;
        let (admin, other) = (app.user(Role::TenantAdmin, "acme").await, app.token(Role::TenantAdmin, "globex").await);
        app.with_password(&admin).await;
        let key = app.post("/api-keys", &admin.token, json!({"name": "k", "scopes": ["*:read"], "role": "viewer"})).await.expect(201).text("key");
        // More than one page.
        let mut tx = app.test.db.begin().await.unwrap();
        const TAG: &str = "INSERT INTO tags (id, tenant_id, name, created_at, updated_at) VALUES (?, 'acme', ?, 1, 1)";
        for n in 0..1_003 {
            let (id, name) = (app.gate.ids.next(), format!("tag {n}"));
            hookswitch::db::db_tx!(&mut tx, |c| sqlx::query(TAG).bind(id.as_str()).bind(&name).execute(c).await.map(drop)).unwrap();
        }
        tx.commit().await.unwrap();
        app.post("/contacts", &other, json!({"first_name": "Foreign"})).await.expect(201);
        app.post("/contacts", &admin.token, json!({"first_name": "Own \"quoted\"", "notes": "two\nlines", "phones": ["+15557770002"]})).await.expect(201);
        let files = zip(&app, "/tenants/acme/export", &admin.token).await;
        let file = |name: &str| files.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("{name}")).1.clone();
        let manifest: Value = serde_json::from_slice(&file("manifest.json")).unwrap();
        for entry in manifest["files"].as_array().unwrap() {
            let bytes = file(entry["file"].as_str().unwrap());
            let text = std::str::from_utf8(&bytes).unwrap();
            assert_eq!(entry["rows"], text.lines().count());
            let hex: String = sha2::Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(entry["sha256"], hex);
            assert!(!text.contains("argon2") && !text.contains(&key) && !text.contains("Foreign"), "{entry}");
            for line in text.lines() {
                let row: Value = serde_json::from_str(line).unwrap();
                assert!(row["tenant_id"] == "acme" || row["id"] == "acme", "{row}");
            }
        }
        let tags = String::from_utf8(file("tags.jsonl")).unwrap();
        let mut names: Vec<String> = tags.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["name"].to_string()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 1_003);
        let contacts = String::from_utf8(file("contacts.jsonl")).unwrap();
        let contact: Value = serde_json::from_str(contacts.lines().next().unwrap()).unwrap();
        assert_eq!((&contact["first_name"], &contact["deleted_at"]), (&json!("Own \"quoted\""), &json!(0)));
        assert_eq!(String::from_utf8(file("contact_phones.jsonl")).unwrap().lines().count(), 1);
        let keys = String::from_utf8(file("api_keys.jsonl")).unwrap();
        assert!(keys.contains("hsk_live_") && !keys.contains("\"hash\""));
        app.get("/tenants/acme/export", &app.token(Role::Supervisor, "acme").await).await.expect(403);
    }

    /// Deleted: gone for everybody. Purged: gone from every table, with proof, and nobody else's row with it.
    async fn a_purge_destroys_one_tenant_and_proves_it(test) {
        let app = TestApp::new(test).await;
        let acme = app.tenant("acme").await;
        app.tenant("globex").await;
        let root = app.user(Role::Superadmin, "acme").await;
        let (admin, other) = (app.user(Role::TenantAdmin, "acme").await, app.token(Role::TenantAdmin, "globex").await);
        let email = app.with_password(&admin).await;
        for token in [&admin.token, &other] {
            let tag = app.post("/tags", token, json!({"name": "vip"})).await.expect(201).id();
            app.post("/contacts", token, json!({"first_name": "x", "tags": [tag]})).await.expect(201);
            app.post("/api-keys", token, json!({"name": "k", "scopes": ["*:read"], "role": "viewer"})).await.expect(201);
        }
        let confirm = json!({"confirm": "acme"});
        assert_eq!(app.post("/tenants/acme/purge", &root.token, confirm.clone()).await.expect(409).code(), "not-deleted");
        app.delete("/tenants/acme", &admin.token).await.expect(403);
        app.delete("/tenants/acme", &root.token).await.expect(204);
        app.delete("/tenants/acme", &root.token).await.expect(404);
        app.get("/tenants/acme", &root.token).await.expect(404);
        app.get("/contacts", &admin.token).await.expect(401);
        assert_eq!(app.login(&email).await.expect(403).code(), "no-role");
        assert!(app.gate.routing.memory.reload(&acme).await.unwrap().is_none());
        assert_eq!(rows(&app, "contacts", "acme").await, 1, "deletion keeps the data");
        assert_eq!(app.post("/tenants/acme/purge", &root.token, json!({"confirm": "globex"})).await.expect(422).pointers(), ["/confirm"]);
        app.post("/tenants/globex/purge", &root.token, json!({"confirm": "globex"})).await.expect(409);
        let before = app.test.number("SELECT COUNT(*) FROM audit_logs WHERE tenant_id = 'acme'").await;
        let done = app.post("/tenants/acme/purge", &root.token, confirm.clone()).await.expect(200);
        for table in SOME {
            assert!(done.body["rows"][table].as_i64().unwrap() >= 1, "{table}: {:#}", done.body);
            assert_eq!(rows(&app, table, "acme").await, 0, "{table}");
            assert!(rows(&app, table, "globex").await >= 1, "{table}");
        }
        for table in ["users", "sessions"] {
            assert_eq!(rows(&app, table, "acme").await, 0, "{table}");
        }
        app.post("/tenants/acme/purge", &root.token, confirm).await.expect(404);
        assert_eq!(app.test.number("SELECT COUNT(*) FROM tenants WHERE id = 'acme'").await, 0);
        assert_eq!(app.test.number(&format!("SELECT COUNT(*) FROM users WHERE id = '{}'", root.id)).await, 1, "the platform's people stay");
        assert_eq!(app.test.number("SELECT COUNT(*) FROM audit_logs WHERE tenant_id = 'acme'").await, before, "the audit stays");
        let proof = app.test.texts("SELECT new_values FROM audit_logs WHERE tenant_id = '' AND action = 'tenants.purge' AND object_id = 'acme'").await;
        let proof: Value = serde_json::from_str(&proof[0]).unwrap();
        assert_eq!((&proof["rows"], &proof["total"]), (&done.body["rows"], &done.body["total"]));
        for chain in ["", "acme", "globex"] {
            assert!(matches!(verify(&app.test.db, chain).await.unwrap(), Verdict::Whole(n) if n > 0), "{chain}");
        }
        // The id stays taken: the audit under it is nobody else's to read.
        let anew = json!({"id": "acme", "name": "Acme"});
        let root = app.token(Role::Superadmin, "globex").await;
        app.post("/tenants", &root, anew).await.expect(409);
        let other = json!({"id": "acme_2", "name": "Acme", "admin_email": email, "admin_password": PASSWORD});
        app.post("/tenants", &root, other).await.expect(201);
        app.login(&email).await.expect(200);
    }
}
