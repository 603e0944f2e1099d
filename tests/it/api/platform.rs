//! What the operator says of numbers for all tenants, over REST.

use hookswitch::base::role::Role;
use serde_json::json;

use super::app::TestApp;
use crate::support::both_databases;

both_databases! {
    async fn the_operator_keeps_two_lists(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let root = app.token(Role::Superadmin, "").await;
        let known = app.get("/emergency-numbers", &root).await.expect(200).body;
        assert_eq!((&known["data"][0]["number"], &known["data"][1]["number"]), (&json!("112"), &json!("911")));
        let before = app.test.number("SELECT version FROM platform_versions").await;
        let made = app.post("/blocked-destinations", &root, json!({"pattern": "+252*", "note": "fraud"})).await.expect(201);
        assert_eq!(made.body["note"], "fraud");
        assert_eq!(made.header("location"), format!("/api/v1/blocked-destinations/{}", made.id()));
        assert_eq!(app.post("/blocked-destinations", &root, json!({"pattern": "+252*"})).await.expect(409).code(), "taken");
        for bad in ["+*", "anonymous", "5551234567", "+1", ""] {
            app.post("/blocked-destinations", &root, json!({"pattern": bad})).await.expect(422);
        }
        let help = app.post("/emergency-numbers", &root, json!({"number": "110", "country": "DE"})).await.expect(201);
        app.post("/emergency-numbers", &root, json!({"number": "110"})).await.expect(201);
        app.post("/emergency-numbers", &root, json!({"number": "110", "country": "DE"})).await.expect(409);
        app.post("/emergency-numbers", &root, json!({"number": "+112", "country": "de"})).await.expect(422);
        app.gate.routing.memory.refresh().await.unwrap();
        let lists = app.gate.routing.memory.platform.lists();
        assert!(lists.blocks(&crate::support::number("+25261234567")).is_some() && lists.is_emergency("110", "DE"));
        // Three that were taken; those that were refused left nothing.
        assert_eq!(app.test.number("SELECT version FROM platform_versions").await, before + 3);
        for (path, id) in [("blocked-destinations", made.id()), ("emergency-numbers", help.id())] {
            for role in [Role::TenantAdmin, Role::Supervisor, Role::Agent, Role::Viewer] {
                let token = app.token(role, "acme").await;
                app.get(&format!("/{path}"), &token).await.expect(403);
                app.delete(&format!("/{path}/{id}"), &token).await.expect(403);
            }
            app.delete(&format!("/{path}/{id}"), &root).await.expect(204);
            app.delete(&format!("/{path}/{id}"), &root).await.expect(404);
        }
        assert_eq!(app.get("/blocked-destinations", &root).await.expect(200).body, json!({"data": []}));
        // On record with the platform, wherever the operator acts.
        let inside = app.token(Role::Superadmin, "acme").await;
        app.post("/blocked-destinations", &inside, json!({"pattern": "118"})).await.expect(201);
        let lines = app.test.texts("SELECT CONCAT(tenant_id, action) FROM audit_logs WHERE action LIKE 'blocked%' ORDER BY id").await;
        assert_eq!(lines, ["blocked-destinations.create", "blocked-destinations.delete", "blocked-destinations.create"]);
    }

    async fn the_operator_sets_a_tenant_s_limits(test) {
        let app = TestApp::new(test).await;
        let root = app.token(Role::Superadmin, "").await;
        let made = app.post("/tenants", &root, json!({"id": "acme", "name": "Acme", "max_outbound_rate": 3, "country": "DE"})).await.expect(201);
        assert_eq!((&made.body["max_outbound_rate"], &made.body["country"], &made.body["max_outbound_calls"]), (&json!(3), &json!("DE"), &json!(0)));
        app.patch("/tenants/acme", &root, json!({"max_outbound_calls": 2})).await.expect(200);
        let rules = app.gate.routing.memory.look(&crate::support::tenant("acme")).unwrap();
        assert_eq!((rules.max_outbound_rate, rules.max_outbound_calls, rules.country.as_str()), (3, 2, "DE"));
        let admin = app.token(Role::TenantAdmin, "acme").await;
        assert_eq!(app.patch("/tenants/acme", &admin, json!({"max_outbound_rate": 0})).await.expect(403).code(), "operator-only");
        for bad in [json!({"max_outbound_rate": 1_001}), json!({"country": "Germany"})] {
            app.patch("/tenants/acme", &root, bad).await.expect(422);
        }
    }
}
