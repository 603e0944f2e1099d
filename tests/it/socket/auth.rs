//! Who a socket is for: the first frame, new tokens, and ends of sessions and keys.

use std::time::Duration;

use hookswitch::base::role::Role;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::Live;
use crate::support::{both_databases, eventually};

/// How a first frame is answered.
async fn first(live: &Live, message: Message) -> Result<Value, (u16, String)> {
    let mut client = live.connect().await;
    client.raw(message).await;
    client.come().await
}

fn auth(token: &str) -> Message {
    Message::text(json!({"op": "auth", "token": token}).to_string())
}

fn refused(code: u16, reason: &str) -> Result<Value, (u16, String)> {
    Err((code, reason.to_owned()))
}

both_databases! {
    /// Every way to begin wrong has its code; users and keys are welcome.
    async fn the_first_frame_says_who_it_is(test) {
        let live = Live::with(test, |options| options.auth_time = Duration::from_millis(300)).await;
        let admin = live.admin().await;
        for wrong in ["", "nonsense", "{}", r#"{"op":"ping"}"#, r#"{"op":"subscribe"}"#, r#"{"op":"auth"}"#] {
            assert_eq!(first(&live, Message::text(wrong)).await, refused(4400, "bad-first-frame"), "{wrong}");
        }
        for (token, code, reason) in [
            ("", 4401, "unauthenticated"),
            ("x.y.z", 4401, "unauthenticated"),
            (&admin[..admin.len() - 2], 4401, "unauthenticated"),
            (&live.app.token(Role::Superadmin, "").await, 4404, "no-tenant"),
            (&live.key(&admin, &["tickets:read"]).await.1, 4403, "missing-scope"),
        ] {
            assert_eq!(first(&live, auth(token)).await, refused(code, reason), "{token}");
        }
        assert_eq!(first(&live, Message::binary(vec![1])).await, refused(1003, "binary-frame"));
        assert_eq!(live.connect().await.closed().await, (4408, "auth-timeout".into()));
        let gone = live.app.user(Role::Agent, "acme").await;
        live.app.ask("POST", "/auth/logout", &gone.token, None, &[]).await.expect(204);
        assert_eq!(first(&live, auth(&gone.token)).await, refused(4440, "session-ended"));
        let ready = first(&live, auth(&admin)).await.unwrap();
        let shown = (&ready["op"], &ready["role"], &ready["tenant_id"], &ready["expires_at"]);
        assert_eq!(shown, (&json!("ready"), &json!("tenant_admin"), &json!("acme"), &json!("2026-11-23T10:10:00Z")));
        let ready = first(&live, auth(&live.key(&admin, &["events:read"]).await.1)).await.unwrap();
        assert_eq!((&ready["op"], &ready["expires_at"]), (&json!("ready"), &Value::Null));
        // A superadmin in a tenant is one of its people here.
        assert_eq!(first(&live, auth(&live.app.token(Role::Superadmin, "acme").await)).await.unwrap()["role"], "superadmin");
        live.app.wait(Duration::from_secs(606));
        assert_eq!(first(&live, auth(&admin)).await, refused(4419, "token-expired"));
        live.stop().await;
    }

    /// The end of a session closes its sockets, whoever ended it: itself, an admin, another process.
    async fn an_ended_session_closes_its_sockets(test) {
        let live = Live::new(test).await;
        let admin = live.admin().await;
        let person = async || live.app.user(Role::Agent, "acme").await;
        let (out, suspended, moved, elsewhere, stays) = (person().await, person().await, person().await, person().await, person().await);
        let mut sockets = Vec::new();
        for one in [&out, &suspended, &moved, &elsewhere, &stays] {
            sockets.push(live.listen(&one.token, &["tag.*"]).await);
        }
        live.app.ask("POST", "/auth/logout", &out.token, None, &[]).await.expect(204);
        assert_eq!(sockets[0].closed().await, (4440, "session-ended".into()));
        live.app.patch(&format!("/users/{}", suspended.id), &admin, json!({"status": "suspended"})).await.expect(200);
        assert_eq!(sockets[1].closed().await, (4440, "session-ended".into()));
        let row = live.app.test.texts(&format!("SELECT id FROM user_roles WHERE user_id = '{}'", moved.id)).await.remove(0);
        live.app.patch(&format!("/roles/{row}"), &admin, json!({"role": "viewer"})).await.expect(200);
        assert_eq!(sockets[2].closed().await, (4440, "session-ended".into()));
        let now_us = live.app.clock.now_us();
        live.app.test.execute(&format!("UPDATE sessions SET revoked_at = {now_us} WHERE id = '{}'", elsewhere.session)).await.unwrap();
        live.app.gate.auth.revoked.refresh(&live.app.gate.db, now_us).await.unwrap();
        assert_eq!(sockets[3].closed().await, (4440, "session-ended".into()));
        live.tag(&admin, "still").await;
        assert_eq!(sockets[4].event().await["type"], "tag.created");
        live.stop().await;
    }

    /// A key that is revoked, changed or expired takes its sockets with it.
    async fn an_ended_key_closes_its_sockets(test) {
        let live = Live::new(test).await;
        let admin = live.admin().await;
        let (revoked, changed, stays) = (live.key(&admin, &["*:read"]).await, live.key(&admin, &["*:read"]).await, live.key(&admin, &["*:read"]).await);
        let (mut one, mut two, mut three) = (live.enter(&revoked.1).await, live.enter(&changed.1).await, live.enter(&stays.1).await);
        live.app.delete(&format!("/api-keys/{}", revoked.0), &admin).await.expect(204);
        assert_eq!(one.closed().await, (4441, "key-ended".into()));
        // As another process would; known here once what is in memory is too old.
        let sql = format!("UPDATE api_keys SET scopes = '[\"events:read\"]' WHERE id = '{}'", changed.0);
        live.app.test.execute(&sql).await.unwrap();
        live.app.wait(Duration::from_secs(11));
        assert_eq!(two.closed().await, (4441, "key-ended".into()));
        assert!(three.is_quiet().await);
        live.stop().await;
    }

    /// Before its end a token is asked for; a new one of the same person keeps the socket open, another's closes it.
    async fn a_new_token_keeps_a_socket_open(test) {
        let live = Live::new(test).await;
        let person = live.app.user(Role::Supervisor, "acme").await;
        let mut kept = live.listen(&person.token, &["tag.*"]).await;
        let mut lost = live.enter(&person.token).await;
        assert!(kept.is_quiet().await);
        live.app.wait(Duration::from_secs(545));
        for client in [&mut kept, &mut lost] {
            let told = client.next().await;
            assert_eq!(told, json!({"op": "expiring", "expires_at": "2026-11-23T10:10:00Z"}));
        }
        kept.send(json!({"op": "auth", "token": live.app.fresh_token(&person)})).await;
        let ready = kept.next().await;
        assert_eq!((&ready["op"], &ready["expires_at"]), (&json!("ready"), &json!("2026-11-23T10:19:05Z")));
        live.app.wait(Duration::from_secs(60));
        assert_eq!(lost.closed().await, (4419, "token-expired".into()));
        let admin = live.admin().await;
        live.tag(&admin, "after").await;
        assert_eq!(kept.event().await["data"]["name"], "after");
        for other in [admin, live.app.token(Role::Supervisor, "acme").await, live.app.token(Role::Supervisor, "globex").await] {
            let mut client = live.enter(&live.app.fresh_token(&person)).await;
            client.send(json!({"op": "auth", "token": other})).await;
            assert_eq!(client.closed().await, (4409, "identity-changed".into()));
        }
        kept.send(json!({"op": "auth", "token": "nonsense"})).await;
        assert_eq!(kept.closed().await, (4401, "unauthenticated".into()));
        live.stop().await;
    }

    /// So many for one person and for one tenant; who leaves makes room.
    async fn sockets_are_counted_by_person_and_tenant(test) {
        let live = Live::with(test, |options| (options.of_one, options.of_tenant) = (2, 3)).await;
        let (ann, bob) = (live.admin().await, live.admin().await);
        let (one, _two) = (live.enter(&ann).await, live.enter(&ann).await);
        assert_eq!(first(&live, auth(&ann)).await, refused(4429, "too-many-sockets"));
        let _three = live.enter(&bob).await;
        assert_eq!(first(&live, auth(&bob)).await, refused(4430, "too-many-sockets-of-tenant"));
        let _other = live.enter(&live.app.token(Role::Viewer, "globex").await).await;
        drop(one);
        eventually("room", async || first(&live, auth(&ann)).await.ok()).await;
        eventually("those that left", async || (live.app.gate.routing.metrics.sockets.open.get() == 3).then_some(())).await;
        live.stop().await;
    }
}
