//! Chat for the staff: widgets, who takes which conversation, numbered messages, transfers, agents' settings.

use hookswitch::base::role::Role;
use hookswitch::chat::{ChatAgent, ChatMessage, ChatSession, ChatTransfer, ChatWidget};
use serde_json::json;

use super::app::TestApp;
use crate::support::both_databases;

/// A conversation that waits, as the visitor's side makes it.
async fn session(app: &TestApp, tenant: &str, widget: &str) -> String {
    let (id, now) = (app.gate.ids.next(), app.clock.now_us());
    let sql = format!(
        "INSERT INTO chat_sessions (id, tenant_id, widget_id, visitor_id, visitor_name, token_hash, status, queue, queued_at, \
         metadata, created_at, updated_at) VALUES ('{id}', '{tenant}', '{widget}', 'v1', 'Vic', 'secret', 'queued', \
         'support', {now}, '{{}}', {now}, {now})"
    );
    assert_eq!(app.test.execute(&sql).await.unwrap(), 1);
    id.to_string()
}

async fn widget(app: &TestApp, admin: &str) -> String {
    app.post("/chat/widgets", admin, json!({"name": "Home"})).await.expect(201).id()
}

both_databases! {
    /// The service makes the key; looks and pages are checked.
    async fn widgets_are_checked(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let (admin, boss) = (app.token(Role::TenantAdmin, "acme").await, app.token(Role::Supervisor, "acme").await);
        app.post("/chat/widgets", &boss, json!({"name": "x"})).await.expect(403);
        let bad = json!({"name": "x", "public_key": "mine", "settings": {"color": "red"}, "allowed_origins": ["https://x.test/path"]});
        let mut pointers = app.post("/chat/widgets", &admin, bad).await.expect(422);
        pointers.body["errors"].as_array_mut().unwrap().sort_by_key(|e| e["pointer"].to_string());
        assert_eq!(pointers.pointers(), ["/allowed_origins/0", "/public_key", "/settings/color"]);
        assert_eq!(app.post("/chat/widgets", &admin, json!({"name": "x", "schedule": "none"})).await.expect(422).pointers(), ["/schedule"]);
        let good = json!({"name": "x", "settings": {"color": "#00ff00"}, "allowed_origins": ["https://*.Acme.test"]});
        let one = app.post("/chat/widgets", &admin, good.clone()).await.expect(201);
        let two = app.post("/chat/widgets", &admin, good).await.expect(201);
        let model: ChatWidget = serde_json::from_value(one.body.clone()).unwrap();
        assert!(model.allows("https://www.acme.test") && model.public_key.len() == 35);
        assert_ne!(one.body["public_key"], two.body["public_key"]);
        let found = app.get(&format!("/chat/widgets?public_key={}", model.public_key), &boss).await.expect(200);
        assert_eq!(found.body["data"].as_array().unwrap().len(), 1);
    }

    /// An agent takes a waiting conversation and ends it; others do not see it meanwhile.
    async fn a_conversation_is_taken_and_ended(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        app.tenant("globex").await;
        let (ann, bob) = (app.user(Role::Agent, "acme").await, app.user(Role::Agent, "acme").await);
        let (admin, boss) = (app.token(Role::TenantAdmin, "acme").await, app.token(Role::Supervisor, "acme").await);
        let other = app.token(Role::TenantAdmin, "globex").await;
        let id = session(&app, "acme", &widget(&app, &admin).await).await;
        let path = format!("/chat/sessions/{id}");
        let read = app.get(&path, &ann.token).await.expect(200);
        assert!(read.body.get("token_hash").is_none() && !read.body.to_string().contains("secret"));
        serde_json::from_value::<ChatSession>(read.body.clone()).unwrap();
        app.get(&path, &other).await.expect(404);
        app.post("/chat/sessions", &admin, json!({})).await.expect(405);
        app.patch(&path, &ann.token, json!({"agent_id": bob.id})).await.expect(403);
        app.patch(&path, &ann.token, json!({"queue": "sales"})).await.expect(403);
        app.patch(&path, &ann.token, json!({"status": "ended"})).await.expect(422);
        app.wait(std::time::Duration::from_secs(9));
        let taken = app.patch(&path, &ann.token, json!({"agent_id": ann.id, "metadata": {"a": 1}})).await.expect(200);
        assert_eq!((&taken.body["status"], &taken.body["assigned_at"]), (&json!("active"), &json!("2026-11-23T10:00:09Z")));
        let model: ChatSession = serde_json::from_value(taken.body).unwrap();
        assert_eq!(model.waited_s(0), Some(9));
        app.get(&path, &bob.token).await.expect(404);
        app.patch(&path, &bob.token, json!({"agent_id": bob.id})).await.expect(404);
        let back = app.patch(&path, &boss, json!({"agent_id": null})).await.expect(200);
        assert_eq!((&back.body["status"], &back.body["agent_id"]), (&json!("queued"), &json!(null)));
        app.patch(&path, &boss, json!({"agent_id": bob.id, "queue": "sales"})).await.expect(200);
        app.ask("POST", &format!("{path}/end"), &ann.token, None, &[]).await.expect(404);
        let ended = app.ask("POST", &format!("{path}/end"), &bob.token, None, &[]).await.expect(200);
        assert_eq!((&ended.body["status"], &ended.body["ended_by"]), (&json!("ended"), &json!("agent")));
        app.ask("POST", &format!("{path}/end"), &boss, None, &[]).await.expect(409);
        app.patch(&path, &boss, json!({"agent_id": ann.id})).await.expect(409);
        app.patch(&path, &boss, json!({"agent_id": null})).await.expect(409);
        app.post(&format!("{path}/messages"), &boss, json!({"body": "x"})).await.expect(409);
    }

    /// Many messages at once: each has its own number, and none is left out.
    async fn messages_are_numbered_without_gaps(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let ann = app.user(Role::Agent, "acme").await;
        let (admin, boss) = (app.token(Role::TenantAdmin, "acme").await, app.user(Role::Supervisor, "acme").await);
        let id = session(&app, "acme", &widget(&app, &admin).await).await;
        let path = format!("/chat/sessions/{id}/messages");
        app.post(&path, &ann.token, json!({"body": "too early"})).await.expect(409);
        app.post(&path, &ann.token, json!({"kind": "note", "body": "Looks angry."})).await.expect(201);
        app.patch(&format!("/chat/sessions/{id}"), &ann.token, json!({"agent_id": ann.id})).await.expect(200);
        app.post("/chat/agents", &boss.token, json!({"user_id": ann.id, "display_name": "Annie"})).await.expect(201);
        let say = async |n: usize| app.post(&path, &ann.token, json!({"body": format!("m{n}"), "client_id": format!("c{}", n % 4)})).await;
        let all = tokio::join!(say(0), say(1), say(2), say(3), say(4), say(5), say(6), say(7));
        let mut made = 0;
        for answer in [all.0, all.1, all.2, all.3, all.4, all.5, all.6, all.7] {
            made += usize::from(answer.status == 201);
            assert!(answer.status == 201 || answer.status == 200, "{answer:?}");
            let message: ChatMessage = serde_json::from_value(answer.body).unwrap();
            assert!(message.is_reply() && message.sender_name.as_deref() == Some("Annie"));
        }
        assert_eq!(made, 4);
        assert_eq!(app.post(&path, &boss.token, json!({"body": "x", "client_id": "c1"})).await.expect(409).body["code"], "taken");
        app.post(&path, &boss.token, json!({"body": "x", "kind": "event"})).await.expect(422);
        // What fails takes no number.
        app.post(&path, &boss.token, json!({"body": "last", "client_id": "z"})).await.expect(201);
        let list = app.get(&path, &ann.token).await.expect(200);
        let seqs: Vec<_> = list.body["data"].as_array().unwrap().iter().map(|m| m["seq"].as_i64().unwrap()).collect();
        assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
        let page = app.get(&format!("{path}?seq_from=3&limit=2"), &ann.token).await.expect(200);
        assert_eq!(page.body["data"][0]["seq"], 3);
        let read = app.get(&format!("/chat/sessions/{id}"), &ann.token).await.expect(200);
        assert_eq!((&read.body["last_seq"], &read.body["first_reply_at"]), (&json!(6), &json!("2026-11-23T10:00:00Z")));
    }

    /// A transfer is for its addressee; the first answer counts, and only then the conversation moves.
    async fn transfers_move_when_accepted(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let (ann, bob, cid) = (app.user(Role::Agent, "acme").await, app.user(Role::Agent, "acme").await, app.user(Role::Agent, "acme").await);
        let (admin, boss) = (app.token(Role::TenantAdmin, "acme").await, app.token(Role::Supervisor, "acme").await);
        let id = session(&app, "acme", &widget(&app, &admin).await).await;
        let (chat, path) = (format!("/chat/sessions/{id}"), format!("/chat/sessions/{id}/transfers"));
        app.post(&path, &ann.token, json!({"to_agent_id": bob.id})).await.expect(409);
        app.patch(&chat, &ann.token, json!({"agent_id": ann.id})).await.expect(200);
        app.post("/chat/agents", &boss, json!({"user_id": cid.id, "accepts_transfers": false})).await.expect(201);
        for bad in [json!({}), json!({"to_agent_id": bob.id, "to_queue": "sales"}), json!({"to_agent_id": ann.id}), json!({"to_agent_id": cid.id})] {
            app.post(&path, &ann.token, bad).await.expect(422);
        }
        app.post(&path, &bob.token, json!({"to_agent_id": bob.id})).await.expect(404);
        let made = app.post(&path, &ann.token, json!({"to_agent_id": bob.id, "note": "speaks French"})).await.expect(201);
        let model: ChatTransfer = serde_json::from_value(made.body.clone()).unwrap();
        assert!(model.is_waiting() && model.from_agent_id.as_ref() == Some(&ann.id));
        app.post(&path, &ann.token, json!({"to_queue": "sales"})).await.expect(409);
        let offers = app.get("/chat/transfers?status=requested", &bob.token).await.expect(200);
        assert_eq!(offers.body["data"][0]["id"], made.body["id"]);
        assert_eq!(app.get("/chat/transfers", &cid.token).await.expect(200).body["data"], json!([]));
        let answer = async |word: &str, token: &str, status: u16| {
            app.ask("POST", &format!("/chat/transfers/{}/{word}", made.id()), token, None, &[]).await.expect(status)
        };
        answer("accept", &cid.token, 404).await;
        answer("accept", &ann.token, 403).await;
        assert_eq!(answer("accept", &bob.token, 200).await.body["status"], "accepted");
        answer("refuse", &bob.token, 409).await;
        app.get(&chat, &ann.token).await.expect(404);
        assert_eq!(app.get(&chat, &bob.token).await.expect(200).body["agent_id"], json!(bob.id));
        // To a team: whoever comes first; an ended conversation goes nowhere.
        let team = app.post(&path, &bob.token, json!({"to_queue": "sales"})).await.expect(201);
        let take = app.ask("POST", &format!("/chat/transfers/{}/accept", team.id()), &cid.token, None, &[]).await;
        take.expect(200);
        let moved = app.get(&chat, &cid.token).await.expect(200);
        assert_eq!((&moved.body["queue"], &moved.body["agent_id"]), (&json!("sales"), &json!(cid.id)));
        let late = app.post(&path, &cid.token, json!({"to_agent_id": ann.id})).await.expect(201);
        app.ask("POST", &format!("{chat}/end"), &cid.token, None, &[]).await.expect(200);
        app.ask("POST", &format!("/chat/transfers/{}/accept", late.id()), &ann.token, None, &[]).await.expect(409);
        assert_eq!(app.get(&format!("{path}/{}", late.id()), &boss).await.expect(200).body["status"], "expired");
    }

    /// Agents change their own settings and nobody else's.
    async fn agents_have_their_own_settings(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let (ann, bob) = (app.user(Role::Agent, "acme").await, app.user(Role::Agent, "acme").await);
        let boss = app.token(Role::Supervisor, "acme").await;
        app.post("/chat/agents", &ann.token, json!({"user_id": ann.id})).await.expect(403);
        let made = app.post("/chat/agents", &boss, json!({"user_id": ann.id, "skills": ["es"]})).await.expect(201);
        serde_json::from_value::<ChatAgent>(made.body.clone()).unwrap();
        app.post("/chat/agents", &boss, json!({"user_id": ann.id})).await.expect(409);
        let path = format!("/chat/agents/{}", made.id());
        app.patch(&path, &bob.token, json!({"is_available": true})).await.expect(403);
        assert_eq!(app.patch(&path, &ann.token, json!({"is_available": true})).await.expect(200).body["is_available"], true);
        app.patch(&path, &ann.token, json!({"user_id": bob.id})).await.expect(422);
        app.patch(&path, &ann.token, json!({"skills": ["Español"]})).await.expect(422);
        app.delete(&path, &ann.token).await.expect(403);
        app.delete(&path, &boss).await.expect(204);
    }
}
