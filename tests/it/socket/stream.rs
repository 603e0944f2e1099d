//! What a socket shows: to whom, which types, and what else is said.

use hookswitch::base::role::Role;
use serde_json::{Value, json};

use super::{Client, Live, cursor};
use crate::support::both_databases;

both_databases! {
    /// Each role sees what REST would show it, and nobody another tenant's.
    async fn everybody_sees_their_own(test) {
        let live = Live::new(test).await;
        let admin = live.admin().await;
        let (ann, bob) = (live.app.user(Role::Agent, "acme").await, live.app.user(Role::Agent, "acme").await);
        let (contacts, _) = (live.key(&admin, &["events:read", "contacts:read"]).await.1, ());
        let viewer = live.app.token(Role::Viewer, "acme").await;
        let other = live.app.token(Role::TenantAdmin, "globex").await;
        let mut seen: Vec<(&str, Client, Vec<Value>)> = Vec::new();
        for (who, token) in [("admin", &admin), ("ann", &ann.token), ("bob", &bob.token), ("key", &contacts), ("viewer", &viewer), ("other", &other)] {
            seen.push((who, live.listen(token, &["*"]).await, Vec::new()));
        }
        let ticket = async |body: Value| live.app.post("/tickets", &admin, body).await.expect(201).id();
        ticket(json!({"subject": "of ann", "assigned_to": ann.id.as_str()})).await;
        ticket(json!({"subject": "of nobody"})).await;
        live.app.post("/contacts", &admin, json!({"last_name": "Lovelace"})).await.expect(201);
        live.app.post("/api-keys", &admin, json!({"name": "k", "role": "viewer", "scopes": ["*:read"]})).await.expect(201);
        live.tag(&admin, "last of acme").await;
        live.tag(&other, "last of globex").await;
        for (who, client, all) in &mut seen {
            let last = if *who == "other" { "last of globex" } else { "last of acme" };
            // The key may not see tags: a contact is the last that it sees.
            while all.last().is_none_or(|event| event["data"]["name"] != last && !(*who == "key" && event["type"] == "contact.created")) {
                all.push(client.event().await);
            }
            assert!(client.is_quiet().await);
        }
        let shown = |all: &[Value]| all.iter().map(|e| format!("{} {}", e["type"].as_str().unwrap(), e["data"]["subject"].as_str().unwrap_or(""))).collect::<Vec<_>>();
        let all = ["ticket.created of ann", "ticket.created of nobody", "contact.created ", "api_key.created ", "tag.created "];
        for (who, _, got) in &seen {
            let expected: Vec<&str> = match *who {
                "admin" => all.to_vec(),
                "ann" => vec![all[0], all[1], all[2], all[4]],
                "bob" => vec![all[1], all[2], all[4]],
                "key" => vec![all[2]],
                "viewer" => vec![all[0], all[1], all[2], all[4]],
                _ => vec![all[4]],
            };
            assert_eq!(shown(got), expected, "{who}");
            // The same as REST.
            let token = match *who { "admin" => &admin, "ann" => &ann.token, "bob" => &bob.token, "key" => &contacts, "viewer" => &viewer, _ => &other };
            let list = live.app.get("/events?types=ticket.*,contact.*,api_key.created,tag.*&limit=200", token).await.expect(200).body;
            let rest: Vec<&Value> = list["data"].as_array().unwrap().iter().collect();
            let ids = |e: &Value| e["id"].clone();
            assert!(got.iter().all(|e| rest.iter().any(|r| ids(r) == ids(e))), "{who}");
        }
        let event = &seen[0].2[0];
        let mut envelope = event.clone();
        envelope.as_object_mut().unwrap().retain(|name, _| !["op", "cursor"].contains(&name.as_str()));
        let list = live.app.get("/events?types=ticket.*", &admin).await.expect(200).body;
        assert_eq!(envelope, list["data"][0], "an event is the envelope, with op and cursor beside");
        live.stop().await;
    }

    /// Types are chosen, changed and given up; what can't be done is said and harms nothing.
    async fn subscriptions_change(test) {
        let live = Live::new(test).await;
        let admin = live.admin().await;
        let mut client = live.enter(&admin).await;
        live.tag(&admin, "before").await;
        assert!(client.is_quiet().await);
        client.subscribe(json!({"op": "subscribe", "types": ["tag.created"]})).await;
        live.app.post("/contacts", &admin, json!({"last_name": "Nobody"})).await.expect(201);
        live.tag(&admin, "one").await;
        assert_eq!(client.event().await["data"]["name"], "one");
        for (frame, code) in [
            (json!({"op": "dance"}), "unknown-op"),
            (json!({"op": "subscribe", "types": ["Tag"]}), "bad-pattern"),
            (json!({"op": "subscribe", "types": vec!["a"; 51]}), "too-many-patterns"),
            (json!({"op": "subscribe", "after": "x"}), "bad-cursor"),
            (json!(7), "bad-frame"),
        ] {
            client.send(frame).await;
            let answer = client.next().await;
            assert_eq!((&answer["op"], &answer["code"]), (&json!("error"), &json!(code)));
        }
        let others = live.app.get("/events?after=latest", &live.app.token(Role::Viewer, "globex").await).await.expect(200).body;
        client.send(json!({"op": "subscribe", "after": others["page"]["next"]})).await;
        assert_eq!(client.next().await["code"], "bad-cursor");
        live.tag(&admin, "two").await;
        assert_eq!(client.event().await["data"]["name"], "two");
        client.subscribe(json!({"op": "subscribe", "types": ["contact.*"]})).await;
        live.tag(&admin, "three").await;
        live.app.post("/contacts", &admin, json!({"last_name": "Somebody"})).await.expect(201);
        assert_eq!(client.event().await["type"], "contact.created");
        client.send(json!({"op": "unsubscribe"})).await;
        assert_eq!(client.next().await, json!({"op": "unsubscribed"}));
        live.tag(&admin, "four").await;
        client.send(json!({"op": "ping"})).await;
        assert_eq!(client.next().await, json!({"op": "pong", "cursor": null}));
        client.subscribe(json!({"op": "subscribe", "after": "latest"})).await;
        live.tag(&admin, "five").await;
        assert_eq!(client.event().await["data"]["name"], "five");
        live.stop().await;
    }

    /// What another process wrote comes too, and a long event comes whole.
    async fn events_of_other_processes_and_long_ones_come(test) {
        let live = Live::new(test).await;
        let admin = live.admin().await;
        let mut client = live.listen(&admin, &["*"]).await;
        live.write("tag.created", 5, 1).await;
        assert_eq!(client.event().await["data"]["n"], 5);
        let long = "ä😀 ".repeat(8_000);
        live.app.post("/tickets", &admin, json!({"subject": "x", "description": long.trim()})).await.expect(201);
        assert_eq!(client.event().await["data"]["description"], long.trim());
        live.stop().await;
    }

    /// A client of rare events gets cursors all the same, so that its own does not grow too old.
    async fn cursors_move_on_while_nothing_is_sent(test) {
        let live = Live::new(test).await;
        let admin = live.admin().await;
        let mut client = live.enter(&admin).await;
        let start = client.subscribe(json!({"op": "subscribe", "types": ["voicemail.received"]})).await;
        live.tag(&admin, "wakes").await;
        let after_one = loop {
            client.send(json!({"op": "ping"})).await;
            let pong = cursor(&client.next().await);
            if pong != start {
                break pong;
            }
            // No flood.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        };
        for n in 0..3 {
            live.write("tag.created", n * 500, 500).await;
        }
        let told = client.next().await;
        assert_eq!(told["op"], "cursor");
        assert_ne!(cursor(&told), after_one);
        live.stop().await;
    }
}
