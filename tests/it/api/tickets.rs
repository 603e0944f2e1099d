//! Tickets: numbers, statuses, who sees what, messages, files, templates, service levels.

use axum::body::Body;
use axum::http::Request;
use hookswitch::base::role::Role;
use hookswitch::config::limits::tickets as limits;
use hookswitch::tickets::{Ticket, TicketAttachment, TicketMessage, TicketSla, TicketTemplate, files};
use serde_json::{Value, json};

use super::app::{Answer, TestApp};
use crate::support::both_databases;

/// Sends a file to a ticket.
async fn upload(
    app: &TestApp,
    ticket: &str,
    token: &str,
    (query, kind): (&str, &str),
    bytes: &[u8],
) -> Answer {
    let request = Request::post(format!("/api/v1/tickets/{ticket}/attachments?{query}"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", kind)
        .body(Body::from(bytes.to_vec()))
        .unwrap();
    app.send(request).await
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and more";

both_databases! {
    /// Numbers count from 1 in each tenant, also when many come at once; a failed one leaves no gap.
    async fn numbers_have_no_gaps(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        app.tenant("globex").await;
        let (agent, other) = (app.token(Role::Agent, "acme").await, app.token(Role::Agent, "globex").await);
        let make = async |n: usize| {
            let mut answer = app.post("/tickets", &agent, json!({"subject": format!("t{n}")})).await;
            // The first two of a tenant may meet each other: the client tries again.
            while answer.status == 503 {
                answer = app.post("/tickets", &agent, json!({"subject": format!("t{n}")})).await;
            }
            answer.expect(201)
        };
        let made = tokio::join!(make(1), make(2), make(3), make(4), make(5));
        let mut numbers: Vec<i64> =
            [made.0, made.1, made.2, made.3, made.4].iter().map(|a| a.body["number"].as_i64().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
        app.post("/tickets", &agent, json!({"subject": "x", "assigned_to": "01arz3ndektsv4rrffq69g5fav"})).await.expect(422);
        app.post("/tickets", &agent, json!({"subject": "x", "status": "closed"})).await.expect(422);
        assert_eq!(make(6).await.body["number"], 6);
        assert_eq!(app.post("/tickets", &other, json!({"subject": "x"})).await.expect(201).body["number"], 1);
    }

    /// A status goes only where the model lets it, by PATCH and by the actions alike.
    async fn statuses_follow_the_model(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let agent = app.user(Role::Agent, "acme").await;
        let viewer = app.token(Role::Viewer, "acme").await;
        let tag = app.post("/tags", &app.token(Role::Supervisor, "acme").await, json!({"name": "vip"})).await.expect(201);
        let body = json!({"subject": "No tone", "description": "None at all.", "priority": "high", "queue": "support",
            "due_at": "2026-11-24T10:00:00Z", "metadata": {"a": 1}, "tags": [tag.id()]});
        let made = app.post("/tickets", &agent.token, body).await.expect(201);
        let ticket: Ticket = serde_json::from_value(made.body.clone()).unwrap();
        assert_eq!((ticket.created_by.as_ref(), ticket.tags.len()), (Some(&agent.id), 1));
        let path = format!("/tickets/{}", made.id());
        app.patch(&path, &viewer, json!({"status": "pending"})).await.expect(403);
        app.post(&format!("{path}/resolve"), &viewer, Value::Null).await.expect(403);
        let step = async |action: &str, status: u16| {
            app.ask("POST", &format!("{path}/{action}"), &agent.token, None, &[]).await.expect(status)
        };
        assert_eq!(step("reopen", 409).await.body["code"], "wrong-state");
        let pending = app.patch(&path, &agent.token, json!({"status": "pending", "subject": "Tone"})).await.expect(200);
        assert_eq!((&pending.body["status"], &pending.body["subject"]), (&json!("pending"), &json!("Tone")));
        app.wait(std::time::Duration::from_secs(60));
        let resolved = step("resolve", 200).await;
        assert_eq!(resolved.body["resolved_at"], "2026-11-23T10:01:00Z");
        assert_eq!(resolved.body["tags"], made.body["tags"]);
        step("resolve", 409).await;
        // The status it has already is no change.
        app.patch(&path, &agent.token, json!({"status": "resolved"})).await.expect(200);
        app.patch(&path, &agent.token, json!({"status": "pending"})).await.expect(409);
        let again = step("reopen", 200).await;
        assert_eq!((&again.body["resolved_at"], &again.body["reopened_count"]), (&json!(null), &json!(1)));
        let closed = app.patch(&path, &agent.token, json!({"status": "closed"})).await.expect(200);
        assert_eq!(closed.body["closed_at"], closed.body["resolved_at"]);
        for action in ["close", "resolve", "reopen"] {
            step(action, 409).await;
        }
        app.post(&format!("{path}/assign"), &agent.token, json!({"assigned_to": null})).await.expect(409);
        let lines = app.test.texts("SELECT action FROM audit_logs WHERE object_type = 'tickets' ORDER BY sequence").await;
        assert_eq!(lines, ["tickets.create", "tickets.update", "tickets.resolve", "tickets.update", "tickets.reopen", "tickets.update"]);
    }

    /// Agents see their own tickets and those that nobody has, with all that hangs on them; handing one on loses it.
    async fn agents_see_their_own(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let (ann, bob) = (app.user(Role::Agent, "acme").await, app.user(Role::Agent, "acme").await);
        let boss = app.token(Role::Supervisor, "acme").await;
        app.tenant("globex").await;
        let stranger = app.user(Role::TenantAdmin, "globex").await;
        let made = app.post("/tickets", &ann.token, json!({"subject": "x"})).await.expect(201);
        let path = format!("/tickets/{}", made.id());
        app.get(&path, &bob.token).await.expect(200);
        for to in [stranger.id.as_str(), "01arz3ndektsv4rrffq69g5fav"] {
            let answer = app.post(&format!("{path}/assign"), &ann.token, json!({"assigned_to": to})).await.expect(422);
            assert_eq!(answer.pointers(), ["/assigned_to"]);
        }
        let given = app.post(&format!("{path}/assign"), &ann.token, json!({"assigned_to": bob.id})).await.expect(200);
        assert_eq!(given.body["assigned_to"], json!(bob.id));
        for below in ["", "/messages", "/attachments"] {
            app.get(&format!("{path}{below}"), &ann.token).await.expect(404);
            app.get(&format!("{path}{below}"), &stranger.token).await.expect(404);
            app.get(&format!("{path}{below}"), &bob.token).await.expect(200);
            app.get(&format!("{path}{below}"), &boss).await.expect(200);
        }
        app.post(&format!("{path}/messages"), &ann.token, json!({"kind": "note", "body": "x"})).await.expect(404);
        upload(&app, &made.id(), &ann.token, ("file_name=a.png", "image/png"), PNG).await.expect(404);
        assert_eq!(app.get("/tickets", &ann.token).await.body["data"], json!([]));
        app.delete(&path, &bob.token).await.expect(403);
        app.delete(&path, &boss).await.expect(204);
        app.get(&format!("{path}/messages"), &boss).await.expect(404);
    }

    /// A message is written once however often it is sent, in the name of who sends it.
    async fn messages_come_once(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let (ann, bob) = (app.user(Role::Agent, "acme").await, app.user(Role::Agent, "acme").await);
        let ticket = app.post("/tickets", &ann.token, json!({"subject": "x"})).await.expect(201).id();
        let path = format!("/tickets/{ticket}/messages");
        let body = json!({"kind": "reply", "body": "Hello", "client_id": "c1"});
        let (one, two) = tokio::join!(app.post(&path, &ann.token, body.clone()), app.post(&path, &ann.token, body.clone()));
        let mut statuses = [one.status.as_u16(), two.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!((statuses, one.id()), ([200, 201], two.id()));
        let message: TicketMessage = serde_json::from_value(one.body.clone()).unwrap();
        assert_eq!((message.author_id.as_deref(), message.author_name.as_deref()), (Some(ann.id.as_str()), Some("Test agent")));
        assert_eq!(app.post(&path, &bob.token, body).await.expect(409).body["code"], "taken");
        app.wait(std::time::Duration::from_secs(5));
        app.post(&path, &bob.token, json!({"kind": "note", "body": "Hm"})).await.expect(201);
        for bad in [
            json!({"kind": "system", "body": "x"}), json!({"kind": "reply", "body": " "}), json!({"kind": "reply"}),
            json!({"kind": "reply", "body": "x", "author_kind": "contact"}), json!({"kind": "reply", "body": "x", "body_format": "html"}),
        ] {
            app.post(&path, &ann.token, bad).await.expect(422);
        }
        let all = app.get(&path, &ann.token).await.expect(200);
        let bodies: Vec<_> = all.body["data"].as_array().unwrap().iter().map(|m| m["body"].as_str().unwrap()).collect();
        assert_eq!(bodies, ["Hello", "Hm"]);
        let read = app.get(&format!("/tickets/{ticket}"), &ann.token).await.expect(200);
        assert_eq!((&read.body["first_response_at"], &read.body["last_message_at"]), (&json!("2026-11-23T10:00:00Z"), &json!("2026-11-23T10:00:05Z")));
        app.ask("POST", &format!("/tickets/{ticket}/close"), &ann.token, None, &[]).await.expect(200);
        app.post(&path, &ann.token, json!({"kind": "reply", "body": "x"})).await.expect(409);
        app.post(&path, &ann.token, json!({"kind": "note", "body": "x"})).await.expect(201);
        assert_eq!(app.test.number("SELECT COUNT(*) FROM audit_logs WHERE object_type = 'ticket-messages'").await, 3);
    }

    /// A file comes back as it was sent, under its own name and to be saved; what is not what it says is refused.
    async fn files_come_back_as_they_were(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        app.tenant("globex").await;
        let agent = app.user(Role::Agent, "acme").await;
        let (boss, other) = (app.user(Role::Supervisor, "acme").await, app.token(Role::TenantAdmin, "globex").await);
        let ticket = app.post("/tickets", &agent.token, json!({"subject": "x"})).await.expect(201).id();
        let name = "file_name=..%2F..%2Fetc%2Fpasswd";
        upload(&app, &ticket, &agent.token, (name, "image/png"), PNG).await.expect(400);
        upload(&app, &ticket, &agent.token, ("", "image/png"), PNG).await.expect(400);
        upload(&app, &ticket, &agent.token, ("file_name=x&message_id=01arz3ndektsv4rrffq69g5fav", "image/png"), PNG).await.expect(400);
        for kind in ["image/jpeg", "text/html", "image/svg+xml", "application/x-msdownload", "text/plain", ""] {
            upload(&app, &ticket, &agent.token, ("file_name=x", kind), PNG).await.expect(415);
        }
        upload(&app, &ticket, &agent.token, ("file_name=x", "text/plain"), &vec![b'x'; limits::FILE_BYTES + 1]).await.expect(413);
        assert_eq!(app.test.number("SELECT COUNT(*) FROM ticket_attachments").await, 0);
        let made = upload(&app, &ticket, &agent.token, ("file_name=Gr%C3%BC%C3%9Fe%22.png", "image/png"), PNG).await.expect(201);
        assert!(made.body.get("storage_key").is_none());
        let file: TicketAttachment = serde_json::from_value(made.body.clone()).unwrap();
        assert_eq!((file.file_name.as_str(), file.bytes, file.created_by.as_ref()), ("Grüße\".png", PNG.len() as u64, Some(&agent.id)));
        let path = format!("/api/v1/tickets/{ticket}/attachments/{}/content", made.id());
        let get = async |token: &str| {
            let request = Request::get(&path).header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap();
            tower::ServiceExt::oneshot(app.routes.clone(), request).await.unwrap()
        };
        let (parts, body) = get(&agent.token).await.into_parts();
        let header = |name: &str| parts.headers[name].to_str().unwrap().to_owned();
        assert_eq!((header("content-type").as_str(), header("x-content-type-options").as_str()), ("image/png", "nosniff"));
        assert!(header("content-disposition").starts_with("attachment; filename=\"Gr__e_.png\"; filename*=UTF-8''Gr%C3%BC"));
        assert_eq!(axum::body::to_bytes(body, 1_000).await.unwrap(), PNG);
        assert_eq!(get(&other).await.status(), 404);
        // A file without a row goes, but not before any request for it can have ended.
        let data = app.test.folder();
        assert_eq!(files::sweep(&app.test.db, data, &app.clock).await.unwrap(), 0);
        app.delete(&format!("/tickets/{ticket}/attachments/{}", made.id()), &agent.token).await.expect(403);
        app.wait(limits::FILE_WITHOUT_ROW_TIME * 2);
        assert_eq!(files::sweep(&app.test.db, data, &app.clock).await.unwrap(), 0);
        // The token has grown old meanwhile.
        let boss = app.fresh_token(&boss);
        app.delete(&format!("/tickets/{ticket}/attachments/{}", made.id()), &boss).await.expect(204);
        assert_eq!(files::sweep(&app.test.db, data, &app.clock).await.unwrap(), 1);
        let folder = std::fs::read_dir(data.join("attachments/acme")).unwrap();
        assert_eq!(folder.count(), 0);
    }

    /// Templates and service levels refer only to what there is, and are what the models read.
    async fn templates_and_service_levels(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        app.tenant("globex").await;
        let (admin, agent) = (app.token(Role::TenantAdmin, "acme").await, app.token(Role::Agent, "acme").await);
        let other = app.token(Role::TenantAdmin, "globex").await;
        let tag = app.post("/tags", &other, json!({"name": "theirs"})).await.expect(201).id();
        let bad = app.post("/ticket-templates", &admin, json!({"name": "a", "body": "x", "tags": [tag]})).await.expect(422);
        assert_eq!(bad.pointers(), ["/tags/0"]);
        let own = app.post("/tags", &admin, json!({"name": "ours"})).await.expect(201).id();
        app.post("/ticket-templates", &agent, json!({"name": "a", "body": "x"})).await.expect(403);
        let made = app.post("/ticket-templates", &admin, json!({"name": "a", "body": "Hi {{name}}", "tags": [own]})).await.expect(201);
        let template: TicketTemplate = serde_json::from_value(made.body.clone()).unwrap();
        assert_eq!(template.fill(|_| Some("Ann".into())).1, "Hi Ann");
        app.post("/ticket-templates", &admin, json!({"name": "a", "body": "x"})).await.expect(409);
        app.delete(&format!("/ticket-templates/{}", made.id()), &admin).await.expect(204);
        app.post("/ticket-templates", &admin, json!({"name": "a", "body": "x"})).await.expect(201);

        let bad = json!({"name": "gold", "schedule": "none", "conditions": {"priorities": ["urgent"]}, "targets": {"high": {"first_response_s": 0}}});
        let answer = app.post("/sla-policies", &admin, bad).await.expect(422);
        assert_eq!(answer.pointers(), ["/conditions/priorities/0", "/targets/high/first_response_s"]);
        assert_eq!(app.post("/sla-policies", &admin, json!({"name": "gold", "schedule": "none", "targets": {}})).await.expect(422).pointers(), ["/schedule"]);
        let good = json!({"name": "gold", "conditions": {"priorities": ["high"]}, "targets": {"high": {"first_response_s": 900}}});
        let made = app.post("/sla-policies", &admin, good).await.expect(201);
        let policy: TicketSla = serde_json::from_value(made.body).unwrap();
        let ticket = app.post("/tickets", &agent, json!({"subject": "x", "priority": "high"})).await.expect(201);
        assert!(policy.fits(&serde_json::from_value(ticket.body).unwrap()));
    }
}
