//! From a cursor on: nothing is missed, nothing comes twice, whatever happens meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hookswitch::events::outbox;
use serde_json::{Value, json};

use super::{Client, Live, acme, cursor};
use crate::support::{both_databases, eventually};

async fn numbers(client: &mut Client, many: usize) -> (Vec<u64>, String) {
    let (mut all, mut last) = (Vec::new(), String::new());
    while all.len() < many {
        let event = client.event().await;
        all.push(event["data"]["n"].as_u64().unwrap());
        last = cursor(&event);
    }
    (all, last)
}

both_databases! {
    /// A socket goes on where a list ended, and a list where a socket ended.
    async fn sockets_and_lists_have_the_same_cursors(test) {
        let live = Live::new(test).await;
        let admin = live.admin().await;
        live.write("tag.created", 0, 10).await;
        let list = live.app.get("/events?limit=4", &admin).await.expect(200).body;
        let mut client = live.enter(&admin).await;
        client.subscribe(json!({"op": "subscribe", "types": ["*"], "after": list["page"]["next"]})).await;
        let (all, last) = numbers(&mut client, 3).await;
        assert_eq!(all, [4, 5, 6]);
        let list = live.app.get(&format!("/events?after={last}"), &admin).await.expect(200).body;
        let rest: Vec<&Value> = list["data"].as_array().unwrap().iter().map(|e| &e["data"]["n"]).collect();
        assert_eq!(rest, [7, 8, 9]);
        live.stop().await;
    }

    /// Far behind, so that the database is read, then what is in memory, then what is new: while all the time more is
    /// written, by this process and by another.
    async fn each_event_comes_once_and_in_order(test) {
        let live = Arc::new(Live::new(test).await);
        let admin = live.admin().await;
        let first = live.app.get("/events?after=latest", &admin).await.expect(200).body["page"]["next"].as_str().unwrap().to_owned();
        live.write("tag.created", 0, 900).await;
        const ALL: usize = 1_500;
        let is_done = Arc::new(AtomicBool::new(false));
        let writer = {
            let (live, is_done) = (Arc::clone(&live), Arc::clone(&is_done));
            tokio::spawn(async move {
                for n in (900..ALL).step_by(3) {
                    let position = live.write("tag.created", n, 3).await;
                    if n % 2 == 0 {
                        live.app.gate.events.news.tell(&acme(), position);
                    }
                }
                is_done.store(true, Ordering::SeqCst);
            })
        };
        let (mut got, mut at, mut lives) = (Vec::new(), first, 0);
        while got.len() < ALL {
            // Leaves again and again, in the middle of what is behind and of what is new.
            let mut client = live.enter(&admin).await;
            client.subscribe(json!({"op": "subscribe", "types": ["tag.created"], "after": at})).await;
            let many = (37 + 61 * lives % 220).min(ALL - got.len());
            let (some, last) = numbers(&mut client, many).await;
            got.extend(some);
            (at, lives) = (last, lives + 1);
        }
        writer.await.unwrap();
        assert!(is_done.load(Ordering::SeqCst) && lives > 5);
        assert_eq!(got, (0..ALL as u64).collect::<Vec<_>>());
        let mut client = live.enter(&admin).await;
        client.subscribe(json!({"op": "subscribe", "after": at})).await;
        assert!(client.is_quiet().await, "nothing comes after the last");
        Arc::into_inner(live).unwrap().stop().await;
    }

    /// Who comes for events that are gone is told, and goes on with what is new; so is who comes from a future that the
    /// database does not have.
    async fn a_cursor_that_is_too_old_is_told(test) {
        let live = Live::new(test).await;
        let admin = live.admin().await;
        let start = live.app.get("/events?after=latest", &admin).await.expect(200).body["page"]["next"].as_str().unwrap().to_owned();
        live.write("tag.created", 0, 500).await;
        let future = live.app.get("/events?after=latest", &admin).await.expect(200).body["page"]["next"].as_str().unwrap().to_owned();
        assert!(outbox::purge(&live.app.gate.db, i64::MAX).await.unwrap() > 400);
        live.write("tag.created", 500, 1).await;
        let mut client = live.enter(&admin).await;
        client.subscribe(json!({"op": "subscribe", "after": start})).await;
        let resync = client.next().await;
        assert_eq!(resync["op"], "resync");
        assert!(client.is_quiet().await);
        live.tag(&admin, "new").await;
        assert_eq!(client.event().await["data"]["name"], "new");
        let list = live.app.get(&format!("/events?after={}", cursor(&resync)), &admin).await.expect(200).body;
        assert_eq!(list["data"].as_array().unwrap().len(), 1);
        assert_eq!(live.app.gate.routing.metrics.sockets.resyncs.get(), 1);
        // The database is put back to before.
        live.app.test.execute("UPDATE event_heads SET position = 3").await.unwrap();
        live.app.test.execute("DELETE FROM events").await.unwrap();
        let other = Live::of(crate::api::app::TestApp::new(Arc::clone(&live.app.test)).await, |_| {}).await;
        let mut client = other.enter(&admin).await;
        client.subscribe(json!({"op": "subscribe", "after": future})).await;
        assert_eq!(client.next().await["op"], "resync");
        other.stop().await;
        live.stop().await;
    }

    /// While the database can't be read a socket waits, and answers its client; then it goes on.
    async fn a_socket_waits_for_its_database(test) {
        let live = Live::new(test).await;
        let admin = live.admin().await;
        let start = live.app.get("/events?after=latest", &admin).await.expect(200).body["page"]["next"].as_str().unwrap().to_owned();
        live.write("tag.created", 0, 300).await;
        live.app.test.execute("ALTER TABLE events RENAME TO events_away").await.unwrap();
        let mut client = live.enter(&admin).await;
        client.send(json!({"op": "subscribe", "types": ["tag.*"], "after": start})).await;
        assert!(client.is_quiet().await);
        live.app.test.execute("ALTER TABLE events_away RENAME TO events").await.unwrap();
        assert_eq!(client.next().await["op"], "subscribed");
        let (all, _) = numbers(&mut client, 300).await;
        assert_eq!(all, (0..300).collect::<Vec<_>>());
        // Away again in the middle of it: what is new waits too.
        live.app.test.execute("ALTER TABLE events RENAME TO events_away").await.unwrap();
        live.app.gate.events.news.tell(&acme(), 301);
        assert!(client.is_quiet().await);
        live.app.test.execute("ALTER TABLE events_away RENAME TO events").await.unwrap();
        live.write("tag.created", 300, 1).await;
        assert_eq!(client.event().await["data"]["n"], 300);
        live.stop().await;
    }

    /// A client that does not read is closed with its code, and misses nothing when it comes back.
    async fn a_slow_reader_is_closed_and_resumes(test) {
        use std::time::Duration;
        let live = Live::with(test, |options| {
            (options.send_time, options.close_time) = (Duration::from_millis(500), Duration::from_secs(20));
        }).await;
        let admin = live.admin().await;
        let mut client = Client::narrow(live.address).await;
        client.send(json!({"op": "auth", "token": admin})).await;
        client.next().await;
        let mut at = client.subscribe(json!({"op": "subscribe", "types": ["tag.*"]})).await;
        let mut quick = live.listen(&admin, &["tag.*"]).await;
        for n in 0..8 {
            let position = live.write("tag.created", n * 500, 500).await;
            live.app.gate.events.news.tell(&acme(), position);
            assert_eq!(numbers(&mut quick, 500).await.0.len(), 500, "others go on");
        }
        // The socket is given up, and only then is it read.
        eventually("the slow one to be given up", async || (live.app.gate.routing.metrics.sockets.slow.get() == 1).then_some(())).await;
        let mut got = Vec::new();
        let closed = loop {
            match client.come().await {
                Ok(event) => {
                    got.push(event["data"]["n"].as_u64().unwrap());
                    at = cursor(&event);
                }
                Err(closed) => break closed,
            }
        };
        assert_eq!(closed, (4431, "slow-reader".into()));
        assert!(got.len() < 4_000, "it was not slow");
        let mut client = live.enter(&admin).await;
        client.subscribe(json!({"op": "subscribe", "types": ["tag.*"], "after": at})).await;
        got.extend(numbers(&mut client, 4_000 - got.len()).await.0);
        assert_eq!(got, (0..4_000).collect::<Vec<_>>());
        live.stop().await;
    }
}
