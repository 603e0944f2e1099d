//! Events: written with what they tell of, numbered without gaps, read by cursor, seen only by who may.

use hookswitch::agents::{PhoneState, busy_phones};
use hookswitch::base::role::Role;
use hookswitch::calls::open::{self, close_lost};
use hookswitch::calls::{Ended, Record, Seen};
use hookswitch::events::{matches, outbox};
use serde_json::{Value, json};

use super::agents::Floor;
use super::app::TestApp;
use super::calls::{Drain, began, end, ended};
use super::telephony::Desk;
use crate::support::{both_databases, tenant};

/// Types, keys and sequences of a list's events.
fn brief(list: &Value) -> Vec<String> {
    let all = list["data"].as_array().unwrap().iter();
    all.map(|e| {
        let key = e["key"].as_str().unwrap();
        format!("{} {} {}", e["type"].as_str().unwrap(), key.split(':').next().unwrap(), e["sequence"])
    })
    .collect()
}

fn types(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect()
}

both_databases! {
    /// Every change over the API tells, in its own transaction: what fails tells nothing.
    async fn changes_are_told(test) {
        let desk = Desk::new(test).await;
        let contact = desk.make("/contacts", json!({"last_name": "Lovelace", "phone": "+15557770002"})).await;
        let path = format!("/contacts/{}", contact.id());
        desk.app.patch(&path, &desk.admin, json!({"first_name": "Ada"})).await.expect(200);
        desk.app.patch(&path, &desk.admin, json!({"phone": "no"})).await.expect(422);
        desk.app.patch(&path, &desk.viewer, json!({"first_name": "X"})).await.expect(403);
        desk.app.delete(&path, &desk.admin).await.expect(204);
        desk.app.get("/contacts/export", &desk.admin).await.expect(200);
        let list = desk.app.get("/events", &desk.admin).await.expect(200).body;
        assert_eq!(brief(&list), ["contact.created contact 1", "contact.updated contact 2", "contact.deleted contact 3"]);
        let first = &list["data"][0];
        assert_eq!(first["tenant_id"], "acme");
        assert_eq!(first["data"], contact.body);
        assert_eq!(first["key"], format!("contact:{}", contact.id()));
        assert_eq!(list["data"][1]["data"]["first_name"], "Ada");
        assert!(first["id"].as_str().unwrap().starts_with("evt_"));
        // Another tenant has none of it.
        assert_eq!(desk.app.get("/events", &desk.other).await.expect(200).body["data"], json!([]));
    }

    /// What is not done leaves no gap in a sequence, and what comes at once is numbered all the same.
    async fn sequences_have_no_gaps(test) {
        let desk = Desk::new(test).await;
        let ticket = desk.make("/tickets", json!({"subject": "x"})).await;
        let path = format!("/tickets/{}", ticket.id());
        let change = async |n: usize| {
            for _ in 0..5 {
                let mut answer = desk.app.patch(&path, &desk.admin, json!({"subject": format!("s{n}")})).await;
                while answer.status == 503 {
                    answer = desk.app.patch(&path, &desk.admin, json!({"subject": format!("s{n}")})).await;
                }
                answer.expect(200);
                desk.app.patch(&path, &desk.admin, json!({"assigned_to": "01arz3ndektsv4rrffq69g5fav"})).await.expect(422);
            }
        };
        tokio::join!(change(1), change(2), change(3), change(4));
        let list = desk.app.get("/events?limit=200", &desk.admin).await.expect(200).body;
        let sequences: Vec<i64> = list["data"].as_array().unwrap().iter().map(|e| e["sequence"].as_i64().unwrap()).collect();
        assert_eq!(sequences, (1..=21).collect::<Vec<_>>());
        let tenant = tenant("acme");
        let stored = outbox::after(&desk.app.test.db, &tenant, 0, 100).await.unwrap();
        assert_eq!(stored.iter().map(|e| e.position).collect::<Vec<_>>(), (1..=21).collect::<Vec<_>>());
    }

    /// Special types of tickets, chats and agents.
    async fn what_happened_has_its_own_type(test) {
        let desk = Desk::new(test).await;
        let ticket = desk.make("/tickets", json!({"subject": "x"})).await;
        let path = format!("/tickets/{}", ticket.id());
        for (kind, body) in [("note", "n"), ("reply", "r")] {
            desk.app.post(&format!("{path}/messages"), &desk.admin, json!({"kind": kind, "body": body})).await.expect(201);
        }
        for action in ["resolve", "reopen"] {
            desk.app.post(&format!("{path}/{action}"), &desk.admin, json!({})).await.expect(200);
        }
        desk.app.patch(&path, &desk.admin, json!({"status": "resolved"})).await.expect(200);
        for state in ["busy", "busy", "away"] {
            desk.app.patch("/agents/me", &desk.agent, json!({"state": state})).await.expect(200);
        }
        let list = desk.app.get("/events", &desk.admin).await.expect(200).body;
        let told: Vec<&str> = types(&list);
        let told: Vec<&str> = told.into_iter().filter(|t| *t != "ticket.updated").collect();
        assert_eq!(told, [
            "ticket.created", "ticket.noted", "ticket.replied", "ticket.resolved", "ticket.reopened", "ticket.resolved",
            "agent.state_changed", "agent.updated", "agent.state_changed",
        ]);
        let keys: Vec<&Value> = list["data"].as_array().unwrap().iter().map(|e| &e["key"]).collect();
        assert!(keys[..6].iter().all(|key| **key == format!("ticket:{}", ticket.id())), "{keys:?}");
    }

    /// Agents see events of their own tickets and of those that nobody has, and of nothing they could not read.
    async fn agents_see_what_is_theirs(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, "acme").await;
        let (ann, bob) = (app.user(Role::Agent, "acme").await, app.user(Role::Agent, "acme").await);
        let ticket = async |body: Value| app.post("/tickets", &admin, body).await.expect(201).id();
        let anns = ticket(json!({"subject": "ann", "assigned_to": ann.id.as_str()})).await;
        ticket(json!({"subject": "free"})).await;
        app.post(&format!("/tickets/{anns}/messages"), &admin, json!({"kind": "note", "body": "secret of ann"})).await.expect(201);
        let scopes = json!(["contacts:read"]);
        let key = app.post("/api-keys", &admin, json!({"name": "k", "role": "viewer", "scopes": scopes})).await.expect(201).text("key");
        let seen = async |token: &str| app.get("/events", token).await.expect(200).body;
        assert_eq!(types(&seen(&ann.token).await), ["ticket.created", "ticket.created", "ticket.noted"]);
        let bobs = seen(&bob.token).await;
        assert_eq!(types(&bobs), ["ticket.created"]);
        assert_eq!(bobs["data"][0]["data"]["subject"], "free");
        let all = seen(&admin).await;
        assert!(types(&all).contains(&"api_key.created"), "{:?}", types(&all));
        assert!(!all.to_string().contains(&key), "no event carries a secret");
        let viewer = app.token(Role::Viewer, "acme").await;
        assert!(!types(&seen(&viewer).await).contains(&"api_key.created"));
        // Handed to bob, it is bob's, and its further events are.
        app.patch(&format!("/tickets/{anns}"), &admin, json!({"assigned_to": bob.id.as_str()})).await.expect(200);
        assert_eq!(types(&seen(&ann.token).await).len(), 3);
        assert_eq!(types(&seen(&bob.token).await), ["ticket.created", "ticket.updated"]);
    }

    /// A key gets what its scopes let it read.
    async fn keys_see_what_their_scopes_say(test) {
        let desk = Desk::new(test).await;
        desk.make("/contacts", json!({"last_name": "A"})).await;
        desk.make("/tickets", json!({"subject": "x"})).await;
        let key = desk.make("/api-keys", json!({"name": "k", "role": "tenant_admin", "scopes": ["events:read", "tickets:read"]})).await;
        let list = desk.app.get("/events", &key.text("key")).await.expect(200).body;
        assert_eq!(types(&list), ["ticket.created"]);
        let blind = desk.make("/api-keys", json!({"name": "l", "role": "viewer", "scopes": ["tickets:read"]})).await;
        desk.app.get("/events", &blind.text("key")).await.expect(403);
    }

    /// Cursors lead on without loss, filters filter, and what is wrong is told.
    async fn a_stream_is_read_by_cursor(test) {
        let desk = Desk::new(test).await;
        for n in 0..7 {
            desk.make("/contacts", json!({"last_name": format!("c{n}")})).await;
            desk.make("/tags", json!({"name": format!("t{n}")})).await;
        }
        let get = async |query: &str| desk.app.get(&format!("/events{query}"), &desk.admin).await;
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = get(&format!("?limit=3{cursor}")).await.expect(200).body;
            if page["data"] == json!([]) {
                break;
            }
            all.extend(page["data"].as_array().unwrap().clone());
            cursor = format!("&after={}", page["page"]["next"].as_str().unwrap());
        }
        assert_eq!(all.len(), 14);
        let tags = get("?types=tag.*&limit=5").await.expect(200).body;
        assert_eq!(types(&tags), ["tag.created"; 5]);
        let rest = get(&format!("?types=tag.*&after={}", tags["page"]["next"].as_str().unwrap())).await.expect(200).body;
        assert_eq!(types(&rest), ["tag.created"; 2]);
        let one = get(&format!("?key={}", all[2]["key"].as_str().unwrap())).await.expect(200).body;
        assert_eq!(one["data"], json!([all[2]]));
        let latest = get("?after=latest").await.expect(200).body;
        assert_eq!(latest["data"], json!([]));
        desk.make("/tags", json!({"name": "new"})).await;
        let news = get(&format!("?after={}", latest["page"]["next"].as_str().unwrap())).await.expect(200).body;
        assert_eq!(types(&news), ["tag.created"]);
        for bad in ["?limit=0", "?limit=201", "?types=Call", "?types=", "?after=x", "?nothing=1"] {
            assert_eq!(get(bad).await.expect(400).code(), "bad-query", "{bad}");
        }
        // Another tenant's cursor is none here.
        let others = desk.app.get("/events", &desk.other).await.expect(200).body;
        get(&format!("?after={}", others["page"]["next"].as_str().unwrap())).await.expect(400);
    }

    /// Old events go, from the start of each stream; who comes for them is told.
    async fn old_events_go(test) {
        let desk = Desk::new(test).await;
        let start = desk.app.get("/events", &desk.admin).await.expect(200).body["page"]["next"].as_str().unwrap().to_owned();
        desk.make("/tags", json!({"name": "old"})).await;
        let ticket = desk.make("/tickets", json!({"subject": "young"})).await;
        desk.make("/tags", json!({"name": "old, but behind a young one"})).await;
        desk.app.test.execute("UPDATE events SET at = 1 WHERE kind = 'tag.created'").await.unwrap();
        assert_eq!(outbox::purge(&desk.app.test.db, 2).await.unwrap(), 1);
        assert_eq!(outbox::purge(&desk.app.test.db, 2).await.unwrap(), 0);
        let left = desk.app.get("/events?types=ticket.*", &desk.admin).await.expect(200).body;
        assert_eq!(brief(&left), ["ticket.created ticket 1"]);
        assert_eq!(left["data"][0]["data"]["id"], ticket.id());
        let gone = desk.app.get(&format!("/events?after={start}"), &desk.admin).await.expect(410);
        assert_eq!(gone.code(), "cursor-too-old");
    }

    /// Calls tell what happens to them out of the journal: once, in order; nobody's and purged tenants' calls tell nothing.
    async fn calls_are_told(test) {
        let desk = Desk::new(test).await;
        let mut drain = Drain::new(&desk);
        let ids: Vec<_> = (0..5).map(|_| desk.app.gate.ids.next()).collect();
        let mut heard = desk.app.gate.events.news.listen();
        let missed = Ended { disposition: "NO ANSWER".into(), answered_us: None, billed_ms: None, ..end(&ids[1]) };
        drain.apply(vec![
            began(&ids[0], "acme", "queue", "acme-support"), ended(end(&ids[0])),
            began(&ids[1], "acme", "endpoint", "acme-101"),
            began(&ids[2], "nobody", "endpoint", "acme-101"), ended(end(&ids[2])),
            began(&ids[3], "acme", "queue", "acme-support"),
        ]).await;
        assert_eq!(heard.try_recv().unwrap().position, 7);
        drain.apply(vec![ended(missed), ended(end(&ids[0]))]).await;
        let of = async |id: &hookswitch::base::ids::Id| {
            desk.app.get(&format!("/events?key=call:{id}"), &desk.viewer).await.expect(200).body
        };
        let list = of(&ids[0]).await;
        assert_eq!(brief(&list), ["call.started call 1", "call.routed call 2", "call.ended call 3"]);
        let data = &list["data"][2]["data"];
        assert_eq!((&data["call_id"], &data["disposition"]), (&json!(ids[0].as_str()), &json!("ANSWERED")));
        assert_eq!(types(&of(&ids[1]).await), ["call.started", "call.routed", "call.ended", "call.missed"]);
        assert_eq!(types(&of(&ids[3]).await), ["call.started", "call.routed"]);
        // Given up as lost, and ended after all.
        close_lost(&drain.sink, i64::MAX, desk.app.clock.now_us(), 10).await.unwrap();
        drain.apply(vec![ended(end(&ids[3]))]).await;
        let list = of(&ids[3]).await;
        let ends: Vec<&Value> = list["data"].as_array().unwrap().iter().filter(|e| e["type"] == "call.ended").map(|e| &e["data"]["ended_by"]).collect();
        assert_eq!(ends, ["lost", "hook"]);
        assert_eq!(desk.app.test.number("SELECT COUNT(*) FROM events WHERE tenant_id NOT IN ('acme', 'globex')").await, 0);
        // Agents do not see calls over REST, nor here.
        assert_eq!(desk.app.get("/events?types=call.*", &desk.agent).await.expect(200).body["data"], json!([]));
    }

    /// Of an end that nobody saw nobody knows whether the call was missed; what was told of an answer is found again. Phones
    /// that were told to talk are looked for, those of calls that live in the books apart.
    async fn ends_that_nobody_saw(test) {
        let floor = Floor::new(test).await;
        let desk = &floor.desk;
        let mut drain = Drain::new(desk);
        let ids: Vec<_> = (0..3).map(|_| desk.app.gate.ids.next()).collect();
        let db = &desk.app.gate.db;
        let (acme, node) = (tenant("acme"), desk.app.gate.ids.next());
        drain.apply(ids.iter().map(|id| began(id, "acme", "endpoint", "acme-101")).collect()).await;
        let seen = Seen {
            tenant: acme.clone(),
            key: format!("call:{}", ids[0]),
            kind: "call.answered".into(),
            at_us: 77,
            data: [("channel".to_owned(), json!("PJSIP/acme-101-00000001"))].into_iter().collect(),
        };
        drain.apply(vec![serde_json::to_vec(&Record::<Value>::Seen(seen)).unwrap()]).await;
        let answered = async |id| open::answered(db, &acme, id).await.unwrap();
        assert_eq!(answered(&ids[0]).await, Some((77, "PJSIP/acme-101-00000001".to_owned())));
        assert_eq!(answered(&ids[1]).await, None);
        assert_eq!(open::answered(db, &tenant("globex"), &ids[0]).await.unwrap(), None);

        floor.sit(&floor.ann, "101").await.expect(200);
        floor.phone("101", PhoneState::Talking, ids[1].as_str()).await;
        let busy = async |any| busy_phones(db, any).await.unwrap();
        assert_eq!((busy(true).await.len(), busy(false).await.len()), (1, 0));
        assert_eq!(open::open_before(db, i64::MAX).await.unwrap().len(), 3);
        let unseen = |id| Ended {
            by: "live".into(),
            disposition: String::new(),
            answered_us: None,
            billed_ms: None,
            answered_by: String::new(),
            cause: None,
            ..end(id)
        };
        // Answered, though not told when.
        let answered = Ended { disposition: "ANSWERED".into(), ..unseen(&ids[2]) };
        drain.apply(vec![ended(unseen(&ids[1])), ended(answered)]).await;
        for id in &ids[1..] {
            let list = desk.app.get(&format!("/events?key=call:{id}"), &desk.viewer).await.expect(200).body;
            assert_eq!(types(&list), ["call.started", "call.routed", "call.ended"]);
        }
        let cdr = async |id| desk.app.get(&format!("/cdrs/{id}"), &desk.viewer).await.expect(200).body["disposition"].clone();
        assert_eq!((cdr(&ids[1]).await, cdr(&ids[2]).await), (json!("FAILED"), json!("ANSWERED")));
        let busy = busy(false).await;
        assert_eq!((busy.len(), busy[0].name.as_str(), busy[0].phone_call_id.as_str()), (1, "101", ids[1].as_str()));
        assert!(!open::is_alone(db, &node, 0).await.unwrap(), "the drain of this test is another");
        assert!(open::is_alone(db, &node, i64::MAX).await.unwrap());
    }

    /// A record that is too large is told by its id.
    async fn what_is_too_large_is_told_by_its_id(test) {
        let desk = Desk::new(test).await;
        let long = "ä".repeat(50_000);
        let ticket = desk.make("/tickets", json!({"subject": "x", "description": long})).await;
        let list = desk.app.get("/events", &desk.admin).await.expect(200).body;
        let data = &list["data"][0]["data"];
        assert_eq!((&data["id"], &data["truncated"]), (&json!(ticket.id()), &json!(true)));
    }

    /// What happens to a tenant as a whole is told to it.
    async fn tenants_are_told(test) {
        let app = TestApp::new(test).await;
        let root = app.token(Role::Superadmin, "").await;
        app.post("/tenants", &root, json!({"id": "newco", "name": "New"})).await.expect(201);
        app.patch("/tenants/newco", &root, json!({"name": "Newer"})).await.expect(200);
        let admin = app.token(Role::TenantAdmin, "newco").await;
        let list = app.get("/events", &admin).await.expect(200).body;
        assert_eq!(types(&list), ["tenant.created", "tenant.updated"]);
        assert_eq!(list["data"][1]["data"]["name"], "Newer");
    }
}

#[test]
fn every_type_is_well_formed_and_documented_once() {
    let events = hookswitch::app::api::events();
    let kinds = events.catalogue.kinds();
    assert!(kinds.len() > 80, "{}", kinds.len());
    for kind in kinds {
        hookswitch::events::check_pattern(&kind.name).unwrap();
        assert!(kind.doc.ends_with('.') && !kind.key.is_empty(), "{}", kind.name);
        assert!(!kind.readers.is_empty() && matches("*", &kind.name), "{}", kind.name);
    }
    let document = hookswitch::app::api::document().unwrap();
    for name in [
        "call.started",
        "call.routed",
        "call.ended",
        "call.missed",
        "ticket.created",
        "ticket.replied",
        "chat.session.assigned",
        "tenant.updated",
    ] {
        let told = &document["webhooks"][name]["post"]["requestBody"]["content"]["application/json"];
        assert_eq!(told["example"]["type"], name);
    }
    assert_eq!(document["webhooks"].as_object().unwrap().len(), kinds.len());
}

/// With the disk full a change is refused with a clear word, leaves nothing behind, and what is there can be read; with
/// room again it goes on. SQLite says that its file may not grow any more; MariaDB has no such switch for one database, so
/// this is about SQLite alone.
#[test]
fn a_full_disk_refuses_what_it_can_not_keep() {
    crate::support::run(crate::support::Kind::Sqlite, |test| async move {
        let desk = Desk::new(test).await;
        desk.make("/tags", json!({"name": "before"})).await;
        // Of the one connection that writes.
        let pages = desk.app.test.number("PRAGMA page_count").await;
        let full = format!("PRAGMA max_page_count = {pages}");
        let long = "x".repeat(50_000);
        let (mut refused, mut made) = (0, 0);
        for n in 0..20 {
            // Each time anew: a connection that met the end of the disk is replaced.
            desk.app.test.execute(&full).await.unwrap();
            let answer = desk
                .app
                .post("/tickets", &desk.admin, json!({"subject": format!("t{n}"), "description": long}))
                .await;
            match answer.status.as_u16() {
                201 => made += 1,
                503 => {
                    refused += 1;
                    assert!(!answer.header("retry-after").is_empty(), "{:?}", answer.body);
                }
                other => panic!("{other}: {:?}", answer.body),
            }
        }
        assert!(refused > 10, "{refused} refused, {made} made");
        let kept = desk.app.get("/events?types=ticket.*", &desk.admin).await.expect(200).body;
        assert_eq!(types(&kept).len(), made);
        assert_eq!(
            desk.app.get("/tickets", &desk.admin).await.expect(200).body["data"].as_array().unwrap().len(),
            made
        );
        desk.app.test.execute("PRAGMA max_page_count = 1073741823").await.unwrap();
        desk.make("/tickets", json!({"subject": "room again"})).await;
        let all = desk.app.get("/events?types=ticket.*", &desk.admin).await.expect(200).body;
        assert_eq!(types(&all).len(), made + 1);
        let sequences: Vec<&Value> = all["data"].as_array().unwrap().iter().map(|e| &e["sequence"]).collect();
        assert!(sequences.iter().all(|sequence| **sequence == 1), "{sequences:?}");
    });
}
