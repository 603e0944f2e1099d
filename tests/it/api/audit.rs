//! The audit log is read by admins, each tenant's own, and its chain can be walked.

use hookswitch::audit::AuditLog;
use hookswitch::base::role::Role;
use serde_json::json;

use super::app::TestApp;
use crate::support::both_databases;

both_databases! {
    async fn admins_read_their_own_chain(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        app.tenant("globex").await;
        let admin = app.user(Role::TenantAdmin, "acme").await;
        let (boss, other) = (app.token(Role::Supervisor, "acme").await, app.token(Role::TenantAdmin, "globex").await);
        app.get("/audit-logs", &boss).await.expect(403);
        app.get("/audit-logs/verify", &boss).await.expect(403);
        assert_eq!(app.get("/audit-logs/verify", &admin.token).await.expect(200).body, json!({"whole": true, "lines": 0, "broken": null}));
        let tag = app.post("/tags", &admin.token, json!({"name": "a"})).await.expect(201).id();
        app.wait(std::time::Duration::from_secs(60));
        app.patch(&format!("/tags/{tag}"), &boss, json!({"name": "b"})).await.expect(200);
        app.wait(std::time::Duration::from_secs(60));
        app.delete(&format!("/tags/{tag}"), &admin.token).await.expect(204);
        app.post("/tags", &other, json!({"name": "theirs"})).await.expect(201);
        let all = app.get("/audit-logs", &admin.token).await.expect(200);
        let lines: Vec<AuditLog> = serde_json::from_value(all.body["data"].clone()).unwrap();
        assert_eq!(lines.iter().map(|l| l.action.as_str()).collect::<Vec<_>>(), ["tags.delete", "tags.update", "tags.create"]);
        assert!(lines.iter().all(AuditLog::is_intact), "the API shows a line as it was written");
        for (filter, count) in [
            ("action=tags.update".to_owned(), 1),
            (format!("object_type=tags&object_id={tag}"), 3),
            (format!("actor_id={}", admin.id), 2),
            ("at_from=2026-11-23T10:01:00Z&at_before=2026-11-23T10:02:00Z".to_owned(), 1),
            ("sort=at&limit=2".to_owned(), 2),
        ] {
            let page = app.get(&format!("/audit-logs?{filter}"), &admin.token).await.expect(200);
            assert_eq!(page.body["data"].as_array().unwrap().len(), count, "{filter}");
        }
        let one = all.body["data"][0]["id"].as_str().unwrap();
        app.get(&format!("/audit-logs/{one}"), &admin.token).await.expect(200);
        app.get(&format!("/audit-logs/{one}"), &other).await.expect(404);
        app.delete(&format!("/audit-logs/{one}"), &admin.token).await.expect(405);
        let root = app.token(Role::Superadmin, "").await;
        assert_eq!(app.get("/audit-logs", &root).await.expect(403).body["code"], "no-tenant");
        assert_eq!(app.get("/audit-logs/verify", &admin.token).await.expect(200).body["lines"], 3);
        app.test.execute("UPDATE audit_logs SET action = 'tags.read' WHERE tenant_id = 'acme' AND sequence = 2").await.unwrap();
        assert_eq!(app.get("/audit-logs/verify", &admin.token).await.expect(200).body, json!({"whole": false, "lines": 1, "broken": 2}));
        assert_eq!(app.get("/audit-logs/verify", &other).await.expect(200).body["whole"], true);
    }
}
