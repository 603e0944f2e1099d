//! What plugins are answered with: their own values and nobody else's, the tenant's contacts, and only hosts that were
//! granted and lie outside.

use std::sync::Arc;

use hookswitch::base::ids::{Id, IdSource};
use hookswitch::contacts::Names;
use hookswitch::outgoing::{Client, Guard};
use hookswitch::plugins::HostOf;
use hookswitch::plugins::host::{Hosts, Reach};
use hookswitch::sandbox::types::{Failure, Field, Request};
use hookswitch::sandbox::{Answer, Ask, Host};
use hookswitch::tickets::Desk;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::World;
use crate::support::{both_databases, tenant};

fn hosts(w: &World, allow: &str, reach: Reach) -> Hosts {
    let (db, clock) = (w.desk.app.test.db.clone(), w.desk.app.clock.clone());
    let names = Names::new(db.clone());
    let desk = Desk {
        db: db.clone(),
        clock: clock.clone(),
        ids: IdSource::new(clock.clone()),
        events: hookswitch::app::api::events(),
        names: names.clone(),
    };
    let client = Client::new(Guard::parse(allow).unwrap()).unwrap();
    Hosts::new(db, names, client, clock, Arc::new(desk), reach)
}

async fn plugin(w: &World, name: &str) -> Id {
    let path = w.router(name, json!({})).await;
    Id::parse(path.rsplit('/').next().unwrap()).unwrap()
}

fn set(key: &str, value: &str, ttl: Option<u32>) -> Ask {
    Ask::KvSet { key: key.into(), value: value.into(), ttl }
}

fn get(key: &str) -> Ask {
    Ask::KvGet { key: key.into() }
}

fn add(key: &str, by: i64) -> Ask {
    Ask::KvIncrement { key: key.into(), by, ttl: None }
}

fn text(value: &str) -> Result<Answer, Failure> {
    Ok(Answer::Text(Some(value.into())))
}

const NOTHING: Result<Answer, Failure> = Ok(Answer::Text(None));

both_databases! {
    async fn values_stay_and_are_a_plugins_own(test) {
        let w = World::new(test).await;
        let (mine, theirs) = (plugin(&w, "mine").await, plugin(&w, "theirs").await);
        let all = hosts(&w, "", Reach::Everything);
        let (mine, theirs) = (all.of(&tenant("acme"), &mine, &[]), all.of(&tenant("acme"), &theirs, &[]));
        assert_eq!(mine.ask(&get("k")).await, NOTHING);
        assert_eq!(mine.ask(&set("k", "v", None)).await, Ok(Answer::Nothing));
        assert_eq!(mine.ask(&set("k", "w", Some(10))).await, Ok(Answer::Nothing));
        assert_eq!(mine.ask(&get("k")).await, text("w"));
        assert_eq!(mine.ask(&get("K")).await, NOTHING);
        assert_eq!(theirs.ask(&get("k")).await, NOTHING);
        assert_eq!(theirs.ask(&Ask::KvDelete { key: "k".into() }).await, Ok(Answer::Flag(false)));
        // Its time is over.
        w.desk.app.clock.set(w.desk.app.clock.now() + chrono::TimeDelta::seconds(11));
        assert_eq!(mine.ask(&get("k")).await, NOTHING);
        assert_eq!(mine.ask(&Ask::KvDelete { key: "k".into() }).await, Ok(Answer::Flag(false)));
        // Numbers.
        assert_eq!(mine.ask(&add("n", 3)).await, Ok(Answer::Number(3)));
        assert_eq!(mine.ask(&add("n", -5)).await, Ok(Answer::Number(-2)));
        assert_eq!(mine.ask(&get("n")).await, text("-2"));
        assert_eq!(mine.ask(&set("s", "text", None)).await, Ok(Answer::Nothing));
        for wrong in [add("s", 1), get(""), get(&"k".repeat(101)), set("k", &"v".repeat(16_385), None), set("k", "v", Some(0))] {
            let answer = mine.ask(&wrong).await;
            assert!(matches!(answer, Err(Failure::Invalid(_))), "{wrong:?}: {answer:?}");
        }
        assert_eq!(mine.ask(&set("max", &i64::MAX.to_string(), None)).await, Ok(Answer::Nothing));
        assert!(matches!(mine.ask(&add("max", 1)).await, Err(Failure::Invalid(_))));
    }

    async fn increments_at_once_are_all_counted(test) {
        let w = World::new(test).await;
        let id = plugin(&w, "counter").await;
        let all = hosts(&w, "", Reach::Everything);
        let adds = (0..20).map(|_| {
            let host = all.of(&tenant("acme"), &id, &[]);
            tokio::spawn(async move { host.ask(&add("n", 1)).await })
        });
        for one in adds.collect::<Vec<_>>() {
            assert!(one.await.unwrap().is_ok());
        }
        assert_eq!(all.of(&tenant("acme"), &id, &[]).ask(&get("n")).await, text("20"));
    }

    async fn a_contact_is_the_tenants_own(test) {
        let w = World::new(test).await;
        let id = plugin(&w, "finder").await;
        let tag = w.post("/tags", json!({"name": "vip"})).await.expect(201).id();
        let contact = json!({"first_name": "Ada", "company": "Engines", "phone": "+15557770001", "phones": ["+15557770002"],
            "tags": [tag], "metadata": {"level": "gold", "seats": 3, "deep": {}}});
        w.post("/contacts", contact).await.expect(201);
        let all = hosts(&w, "", Reach::Everything);
        let ask = |number: &str| Ask::ContactByNumber { number: number.into() };
        let host = all.of(&tenant("acme"), &id, &[]);
        for number in ["+15557770001", "+15557770002"] {
            let Ok(Answer::Contact(Some(found))) = host.ask(&ask(number)).await else { panic!("{number}") };
            assert_eq!((found.name.as_str(), found.company.as_deref()), ("Ada", Some("Engines")));
            assert_eq!(found.tags, ["vip"]);
            assert_eq!(found.numbers, ["+15557770001", "+15557770002"]);
            assert_eq!(found.fields.len(), 2, "{:?}", found.fields);
        }
        assert_eq!(host.ask(&ask("+15557770003")).await, Ok(Answer::Contact(None)));
        assert_eq!(host.ask(&ask("nonsense")).await, Ok(Answer::Contact(None)));
        let foreign = all.of(&tenant("globex"), &id, &[]);
        assert_eq!(foreign.ask(&ask("+15557770001")).await, Ok(Answer::Contact(None)));
    }

    /// The way out: granted hosts, outside addresses, no redirects; and nothing at all in a simulation.
    async fn requests_go_where_they_may(test) {
        let w = World::new(test).await;
        let id = plugin(&w, "caller").await;
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = server.accept().await {
                let mut head = [0; 4_096];
                let read = stream.read(&mut head).await.unwrap_or(0);
                let answer = if head[..read].starts_with(b"GET /away") {
                    "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
                } else {
                    "HTTP/1.1 200 OK\r\nX-Kind: test\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
                };
                // A client that has gone hears nothing.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let request = |url: &str, header: &str| {
            Ask::HttpSend(Request {
                method: "GET".into(),
                url: url.into(),
                headers: vec![Field { name: header.into(), value: "1".into() }],
                body: None,
                timeout: Some(2_000),
            })
        };
        let granted = vec!["127.0.0.1".to_owned()];
        let (open, closed) = (hosts(&w, "127.0.0.0/8", Reach::Everything), hosts(&w, "", Reach::Everything));
        let (inside, away) = (format!("http://127.0.0.1:{port}/"), format!("http://127.0.0.1:{port}/away"));
        let host = open.of(&tenant("acme"), &id, &granted);
        let Ok(Answer::Response(answer)) = host.ask(&request(&inside, "x-mine")).await else { panic!() };
        assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
        assert!(answer.headers.iter().any(|field| field.name == "x-kind" && field.value == "test"));
        assert!(matches!(host.ask(&request(&away, "x-mine")).await, Err(Failure::Other((code, _))) if code == "redirect"));
        assert!(matches!(host.ask(&request(&inside, "Host")).await, Err(Failure::Invalid(_))));
        assert!(matches!(host.ask(&request("ftp://127.0.0.1/", "x-mine")).await, Err(Failure::Invalid(_))));
        assert!(matches!(host.ask(&request("http://user:pw@127.0.0.1/", "x-mine")).await, Err(Failure::Invalid(_))));
        // Another host than granted, however it is written.
        for url in ["http://localhost/", "http://127.0.0.2/", "http://2130706434/"] {
            assert!(matches!(host.ask(&request(url, "x-mine")).await, Err(Failure::Denied(_))), "{url}");
        }
        // Granted, and yet inside.
        let host = closed.of(&tenant("acme"), &id, &granted);
        assert!(matches!(host.ask(&request(&inside, "x-mine")).await, Err(Failure::Denied(_))));
        let any = closed.of(&tenant("acme"), &id, &["*".to_owned()]);
        for url in ["http://10.0.0.1/", "http://[::1]/", "http://169.254.169.254/", "http://localhost:1/"] {
            assert!(matches!(any.ask(&request(url, "x-mine")).await, Err(Failure::Denied(_))), "{url}");
        }
        let simulated = hosts(&w, "127.0.0.0/8", Reach::Reads).of(&tenant("acme"), &id, &granted);
        for change in [request(&inside, "x-mine"), set("k", "v", None), add("n", 1)] {
            assert!(matches!(simulated.ask(&change).await, Err(Failure::Other((code, _))) if code == "simulated"));
        }
        assert_eq!(simulated.ask(&get("k")).await, NOTHING);
    }
}
