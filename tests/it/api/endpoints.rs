//! Endpoints with what Asterisk reads of them, mailboxes, voicemails, text messages.

use hookswitch::sms::SmsMessage;
use hookswitch::voicemail::Voicemail;
use serde_json::json;

use super::telephony::Desk;
use crate::support::both_databases;

both_databases! {
    /// An endpoint and Asterisk's rows live and go together; the password is shown when it is made.
    async fn an_endpoint_and_its_password(test) {
        let desk = Desk::new(test).await;
        let (app, texts) = (&desk.app, async |sql: &str| desk.app.test.texts(sql).await);
        desk.make("/mailboxes", json!({"name": "101", "email": "Ann@Acme.test"})).await;
        let made = desk.make("/endpoints", json!({"name": "101", "display_name": "Front \"desk\"", "mailbox": "101"})).await;
        let password = made.body["password"].as_str().unwrap().to_owned();
        assert_eq!((password.len(), &made.body["username"]), (32, &json!("acme-101")));
        assert_eq!(texts("SELECT CONCAT(id, ' ', username, ' ', password, ' ', auth_type) FROM ps_auths").await, [format!("acme-101 acme-101 {password} userpass")]);
        assert_eq!(
            texts("SELECT CONCAT(id, ' ', tenant_id, ' ', aors, ' ', auth, ' ', context, ' ', callerid, ' ', mailboxes) FROM ps_endpoints").await,
            ["acme-101 acme acme-101 acme-101 hookswitch-internal \"Front desk\" <101> 101@acme"]
        );
        assert_eq!(texts("SELECT CONCAT(id, ' ', max_contacts, ' ', remove_existing) FROM ps_aors").await, ["acme-101 1 yes"]);
        desk.stranger_sees_nothing("/endpoints", &made).await;
        let path = format!("/endpoints/{}", made.id());
        let read = app.get(&path, &desk.admin).await.expect(200);
        assert!(!read.body.to_string().contains(&password) && read.body["username"] == "acme-101");
        // Another tenant's 101 is another phone.
        let other = app.post("/endpoints", &desk.other, json!({"name": "101"})).await.expect(201);
        assert_eq!(other.body["username"], "globex-101");
        app.patch(&path, &desk.admin, json!({"display_name": "Hall", "mailbox": null, "ring_timeout_s": 10})).await.expect(200);
        assert_eq!(
            texts("SELECT CONCAT(id, ' ', callerid, ' ', COALESCE(mailboxes, '-')) FROM ps_endpoints ORDER BY id").await,
            ["acme-101 \"Hall\" <101> -", "globex-101 <101> -"]
        );
        let secret = format!("{path}/secret");
        app.ask("POST", &secret, &desk.supervisor, None, &[]).await.expect(403);
        app.ask("POST", &secret, &desk.other, None, &[]).await.expect(404);
        let new = app.ask("POST", &secret, &desk.admin, None, &[]).await.expect(200);
        let fresh = new.body["password"].as_str().unwrap().to_owned();
        assert!(fresh != password && new.body["username"] == "acme-101");
        assert_eq!(texts("SELECT password FROM ps_auths WHERE tenant_id = 'acme'").await, std::slice::from_ref(&fresh));
        let audit = texts("SELECT COALESCE(new_values, '') FROM audit_logs").await.concat();
        assert!(!audit.contains(&fresh) && !audit.contains(&password));
        for (id, tenant, expires) in [("acme-101;@1", "acme", 2_000_000_000), ("acme-101;@2", "acme", 1), ("globex-101;@1", "globex", 2_000_000_000)] {
            let endpoint = id.split(';').next().unwrap();
            app.test.execute(&format!(
                "INSERT INTO ps_contacts (id, tenant_id, uri, expiration_time, endpoint, via_addr, via_port, created_at, updated_at) \
                 VALUES ('{id}', '{tenant}', 'sip:x', {expires}, '{endpoint}', '192.0.2.1', 5060, 0, 0)"
            )).await.unwrap();
        }
        let found = app.get(&format!("{path}/registrations"), &desk.viewer).await.expect(200);
        assert_eq!(found.body["data"], json!([{
            "id": "acme-101;@1", "uri": "sip:x", "expires_at": "2033-05-18T03:33:20Z", "user_agent": null,
            "address": "192.0.2.1", "port": 5060, "server": null,
        }]));
        app.get(&format!("{path}/registrations"), &desk.other).await.expect(404);
        app.delete(&path, &desk.admin).await.expect(204);
        for table in ["ps_endpoints", "ps_auths", "ps_aors", "ps_contacts"] {
            assert_eq!(texts(&format!("SELECT DISTINCT tenant_id FROM {table}")).await, ["globex"], "{table}");
        }
    }

    /// Faults of endpoints and mailboxes, limits, and what is in use.
    async fn what_an_endpoint_may_not_be(test) {
        let desk = Desk::new(test).await;
        desk.furnish().await;
        let bad = desk.app.post("/endpoints", &desk.admin, json!({
            "name": "10 1", "status": "asleep", "mailbox": "A", "caller_number": "1", "ring_timeout_s": 0, "username": "x",
        })).await.expect(422);
        assert_eq!(bad.pointers(), ["/name", "/status", "/mailbox", "/caller_number", "/ring_timeout_s", "/username"]);
        let bad = desk.app.post("/endpoints", &desk.admin, json!({"name": "700", "mailbox": "102"})).await.expect(422);
        assert_eq!(bad.pointers(), ["/name", "/mailbox"]);
        let clash = desk.app.post("/queues", &desk.admin, json!({"name": "sales", "extension": "101"})).await.expect(422);
        assert_eq!(clash.pointers(), ["/extension"]);
        desk.make("/dids", json!({"number": "+15550001000", "route_type": "endpoint", "route_target": "101",
            "destinations": [{"role": "fallback", "type": "voicemail", "target": "101"}]})).await;
        let id = async |path: &str| desk.app.get(path, &desk.admin).await.expect(200).body["data"][0]["id"].as_str().unwrap().to_owned();
        let endpoint = format!("/endpoints/{}", id("/endpoints").await);
        let mailbox = format!("/mailboxes/{}", id("/mailboxes").await);
        let refused = desk.app.delete(&endpoint, &desk.admin).await.expect(409);
        assert!(refused.body["detail"].as_str().unwrap().contains("number +15550001000"));
        let refused = desk.app.delete(&mailbox, &desk.admin).await.expect(409);
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains("endpoint 101") && detail.contains("number +15550001000"), "{detail}");
        desk.app.test.execute("UPDATE tenants SET max_endpoints = 1 WHERE id = 'acme'").await.unwrap();
        assert_eq!(desk.app.post("/endpoints", &desk.admin, json!({"name": "102"})).await.expect(409).body["code"], "limit-reached");
        desk.app.patch(&endpoint, &desk.admin, json!({"status": "inactive"})).await.expect(200);
        assert_eq!(desk.call("+15550001000").await, "voicemail 101@acme fallback");
        let other = desk.make("/mailboxes", json!({"name": "sales", "display_name": "Sales"})).await;
        desk.stranger_sees_nothing("/mailboxes", &other).await;
        assert_eq!(desk.app.post("/mailboxes", &desk.admin, json!({"name": "x", "email": "nobody"})).await.expect(422).pointers(), ["/email"]);
        desk.app.delete(&format!("/mailboxes/{}", other.id()), &desk.admin).await.expect(204);
    }

    /// Reading a message moves it as Asterisk does; deleting hides it.
    async fn voicemails_are_read_and_hidden(test) {
        let desk = Desk::new(test).await;
        desk.furnish().await;
        let id = desk.app.gate.ids.next();
        desk.app.test.execute(&format!(
            "INSERT INTO voicemails (id, tenant_id, mailbox, folder, transcript, received_at, metadata, storage_key, created_at, updated_at) \
             VALUES ('{id}', 'acme', '101', 'INBOX', '', 5000000, '{{}}', 'secret/place', 5000000, 5000000)"
        )).await.unwrap();
        let path = format!("/voicemails/{id}");
        let read = desk.app.get(&path, &desk.viewer).await.expect(200);
        let model: Voicemail = serde_json::from_value(read.body.clone()).unwrap();
        assert!(!model.is_read && !read.body.to_string().contains("secret/place"));
        desk.stranger_sees_nothing("/voicemails", &read).await;
        let heard = desk.app.patch(&path, &desk.agent, json!({"is_read": true})).await.expect(200);
        assert_eq!((&heard.body["folder"], &heard.body["read_at"]), (&json!("Old"), &json!("2026-11-23T10:00:00Z")));
        desk.app.wait(std::time::Duration::from_secs(1));
        let again = desk.app.patch(&path, &desk.agent, json!({"is_read": true})).await.expect(200);
        assert_eq!(again.body["read_at"], heard.body["read_at"]);
        let new = desk.app.patch(&path, &desk.agent, json!({"is_read": false})).await.expect(200);
        assert_eq!((&new.body["folder"], &new.body["read_at"]), (&json!("INBOX"), &json!(null)));
        let kept = desk.app.patch(&path, &desk.agent, json!({"is_read": true, "folder": "Work"})).await.expect(200);
        assert_eq!(kept.body["folder"], "Work");
        let bad = desk.app.patch(&path, &desk.agent, json!({"is_read": 1, "folder": "../x", "transcript": "x"})).await.expect(422);
        assert_eq!(bad.pointers(), ["/folder", "/is_read", "/transcript"]);
        desk.app.patch(&path, &desk.viewer, json!({"is_read": false})).await.expect(403);
        desk.app.delete(&path, &desk.agent).await.expect(403);
        desk.app.delete(&path, &desk.supervisor).await.expect(204);
        desk.app.get(&path, &desk.admin).await.expect(404);
        assert_eq!(desk.app.test.number("SELECT COUNT(*) FROM voicemails WHERE deleted_at > 0").await, 1);
    }

    /// A posted message waits for its provider, its segments counted.
    async fn a_text_message_is_queued(test) {
        let desk = Desk::new(test).await;
        desk.make("/dids", json!({"number": "+15550001000", "route_type": "hangup", "route_target": "16"})).await;
        let body = json!({"from_number": "+15550001000", "to_number": "+15557770001", "body": "ж".repeat(71)});
        let made = desk.app.post("/sms", &desk.agent, body).await.expect(201);
        let sms: SmsMessage = serde_json::from_value(made.body.clone()).unwrap();
        assert_eq!((sms.segments, sms.attempts, sms.encoding.as_str(), sms.status.as_str()), (2, 0, "ucs2", "pending"));
        assert!(sms.user_id.is_some() && sms.next_attempt_at.is_some());
        desk.stranger_sees_nothing("/sms", &made).await;
        let bad = desk.app.post("/sms", &desk.agent, json!({"from_number": "x", "to_number": "101", "body": "", "status": "sent"})).await.expect(422);
        assert_eq!(bad.pointers(), ["/from_number", "/to_number", "/body", "/status"]);
        // Nobody sends in another's name.
        let stolen = desk.app.post("/sms", &desk.other, json!({"from_number": "+15550001000", "to_number": "+15557770001", "body": "Hi"})).await.expect(422);
        assert_eq!(stolen.pointers(), ["/from_number"]);
        desk.app.post("/sms", &desk.viewer, json!({})).await.expect(403);
        assert_eq!(desk.app.get("/sms?status=pending", &desk.viewer).await.expect(200).body["data"].as_array().unwrap().len(), 1);
    }
}
