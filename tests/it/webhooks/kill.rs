//! `kill -9` at a hundred random moments under load: whatever was answered reaches its consumers, in order where that was
//! promised, and a repeat has the same `webhook-id`.

#![expect(clippy::print_stdout, reason = "the table of what came")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookswitch::base::clock::Stopwatch;
use serde_json::{Value, json};

use super::Sink;
use super::sink::Taken;
use crate::cli::{self, Place, Service, ok};
use crate::support::{Kind, PATIENCE, TestDb, both_databases};

const KILLS: u64 = 100;
/// Contacts that are changed again and again: keys with many events.
const CONTACTS: usize = 3;

/// Where the service listens at the moment.
type Where = Arc<Mutex<Option<(SocketAddr, SocketAddr)>>>;

/// Sends a request; `None`: the service did not answer it whole.
fn ask(http: SocketAddr, method: &str, path: &str, token: &str, body: &Value) -> Option<(u16, Value)> {
    let mut socket = TcpStream::connect(http).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    let text = body.to_string();
    let head = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        text.len()
    );
    socket.write_all((head + &text).as_bytes()).ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, serde_json::from_str(body).ok()?))
}

/// Asks until it is served.
fn asked(place: &Where, method: &str, path: &str, token: &str, body: &Value) -> Value {
    let start = Stopwatch::start();
    loop {
        let http = place.lock().unwrap().map(|(_, http)| http);
        match http.and_then(|http| ask(http, method, path, token, body)) {
            Some((200 | 201, answer)) => return answer,
            other => assert!(start.elapsed_us() < 30_000_000, "{method} {path}: {other:?}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What was answered, and so must arrive.
#[derive(Default)]
struct Answered {
    changes: Vec<(String, u64)>,
    calls: Vec<String>,
}

/// Changes contacts until told to stop.
fn change(place: &Where, token: &str, contacts: &[String], stop: &AtomicBool) -> Vec<(String, u64)> {
    let mut answered = Vec::new();
    for n in 1_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = &contacts[usize::try_from(n).unwrap() % contacts.len()];
        let http = place.lock().unwrap().map(|(_, http)| http);
        let body = json!({"metadata": {"n": n}});
        match http.and_then(|http| ask(http, "PATCH", &format!("/contacts/{id}"), token, &body)) {
            Some((200, _)) => answered.push((id.clone(), n)),
            // The database was busy, or the service is away: this change was not promised.
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    answered
}

/// Routes calls until told to stop; returns the ids of those whose answer came whole.
fn call(place: &Where, stop: &AtomicBool) -> Vec<String> {
    let mut answered = Vec::new();
    for n in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let agi = place.lock().unwrap().map(|(agi, _)| agi);
        let answer = agi.and_then(|agi| cli::route(agi, "+15550001000", &format!("1790000000.{n}")).ok());
        let id = answer
            .as_deref()
            .and_then(|text| text.split("HS_CALL_ID=").nth(1))
            .and_then(|text| text.get(..26));
        match id {
            Some(id) => answered.push(id.to_owned()),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    answered
}

/// Runs the service and kills it, again and again.
fn murder(data: &Place, env: &[(&str, &str)], place: &Where, seed: u64) -> Service {
    let mut chance = seed;
    for _ in 0..KILLS {
        let service = Service::start(data, env);
        *place.lock().unwrap() = Some((service.agi, service.http));
        // xorshift: random enough for moments, and the same in each run.
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        std::thread::sleep(Duration::from_millis(5 + chance % 220));
        *place.lock().unwrap() = None;
        service.kill();
    }
    let service = Service::start(data, env);
    *place.lock().unwrap() = Some((service.agi, service.http));
    service
}

/// What arrived at one endpoint: first arrivals by `webhook-id` in order, and how many came again.
fn firsts(taken: &[Taken], path: &str) -> (Vec<Value>, usize) {
    let (mut seen, mut all): (HashMap<String, Vec<u8>>, Vec<Value>) = (HashMap::new(), Vec::new());
    let mut again = 0;
    for one in taken.iter().filter(|one| one.path == path) {
        match seen.get(one.id()) {
            Some(before) => {
                again += 1;
                assert_eq!(*before, one.body.to_vec(), "a repeat is the same to the byte");
            }
            None => {
                seen.insert(one.id().to_owned(), one.body.to_vec());
                all.push(one.json());
                assert_eq!(one.json()["id"], one.id());
            }
        }
    }
    (all, again)
}

/// What of `answered` did not arrive.
fn missing(events: &[Value], answered: &Answered) -> usize {
    let changes: HashSet<(&str, u64)> = events
        .iter()
        .filter(|e| e["type"] == "contact.updated")
        .filter_map(|e| Some((e["data"]["id"].as_str()?, e["data"]["metadata"]["n"].as_u64()?)))
        .collect();
    let calls: HashSet<&str> = events
        .iter()
        .filter(|e| e["type"] == "call.started")
        .filter_map(|e| e["data"]["call_id"].as_str())
        .collect();
    answered.changes.iter().filter(|(id, n)| !changes.contains(&(id.as_str(), *n))).count()
        + answered.calls.iter().filter(|id| !calls.contains(id.as_str())).count()
}

/// Keys whose sequences arrived with a gap or out of order.
fn out_of_order(events: &[Value]) -> usize {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    let mut wrong = HashSet::new();
    for event in events {
        let (key, sequence) = (event["key"].as_str().unwrap(), event["sequence"].as_i64().unwrap());
        // The contacts were made before the endpoints: their own first event is not among these.
        let before = last.insert(key, sequence);
        if before.is_some_and(|before| sequence != before + 1) {
            wrong.insert(key);
        }
    }
    wrong.len()
}

fn scene(test: &TestDb, sink: &Sink) {
    let data = Place::new();
    let mut env = vec![
        ("HOOKSWITCH_OUTGOING_ALLOW", "127.0.0.0/8"),
        ("HOOKSWITCH_HTTP__REQUESTS_PER_SECOND_ADDRESS", "0"),
    ];
    env.extend([
        ("HOOKSWITCH_HTTP__REQUESTS_PER_SECOND_ACTOR", "0"),
        ("HOOKSWITCH_HTTP__REQUESTS_PER_SECOND_TENANT", "0"),
    ]);
    if test.kind == Kind::MySql {
        env.push(("HOOKSWITCH_DATABASE_URL", &test.url));
    }
    ok(&data.run(&["seed", "demo"], &env));
    let place: Where = Arc::default();
    let service = Service::start(&data, &env);
    *place.lock().unwrap() = Some((service.agi, service.http));
    let login = json!({"email": "admin@acme.test", "password": "hookswitch-demo-1"});
    let token =
        asked(&place, "POST", "/auth/login", "-", &login)["access_token"].as_str().unwrap().to_owned();
    let contact = |n: usize| {
        asked(&place, "POST", "/contacts", &token, &json!({"last_name": format!("c{n}")}))["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let contacts: Vec<String> = (0..CONTACTS).map(contact).collect();
    for (path, ordered) in [("/plain", false), ("/ordered", true)] {
        let body = json!({"url": sink.url(path), "types": ["contact.*", "call.*"], "ordered": ordered, "concurrency": 16});
        asked(&place, "POST", "/webhooks", &token, &body);
    }
    service.kill();
    *place.lock().unwrap() = None;
    let stop = AtomicBool::new(false);
    let (service, answered) = std::thread::scope(|scope| {
        let changing = scope.spawn(|| change(&place, &token, &contacts, &stop));
        let calling = scope.spawn(|| call(&place, &stop));
        let service = murder(&data, &env, &place, 0x9e37_79b9_7f4a_7c15);
        std::thread::sleep(Duration::from_millis(200));
        stop.store(true, Ordering::Relaxed);
        (service, Answered { changes: changing.join().unwrap(), calls: calling.join().unwrap() })
    });
    assert!(
        answered.changes.len() > 20 && answered.calls.len() > 100,
        "{} {}",
        answered.changes.len(),
        answered.calls.len()
    );
    let start = Stopwatch::start();
    loop {
        let taken = sink.taken();
        let lost: usize =
            ["/plain", "/ordered"].iter().map(|path| missing(&firsts(&taken, path).0, &answered)).sum();
        if lost == 0 {
            break;
        }
        assert!(start.elapsed_us() < 60_000_000, "{lost} of what was answered never came");
        std::thread::sleep(Duration::from_millis(100));
    }
    let taken = sink.taken();
    println!(
        "| endpoint | kills | changes answered | calls answered | events that came | again | lost | keys out of order |"
    );
    for path in ["/plain", "/ordered"] {
        let (events, again) = firsts(&taken, path);
        let wrong = out_of_order(&events);
        println!(
            "| {path} | {KILLS} | {} | {} | {} | {again} | {} | {wrong} |",
            answered.changes.len(),
            answered.calls.len(),
            events.len(),
            missing(&events, &answered)
        );
        assert!(path == "/plain" || wrong == 0, "{wrong} keys came out of order");
    }
    service.kill();
}

both_databases! {
    /// A hundred kills under load.
    async fn a_hundred_kills_lose_nothing(test) {
        let sink = Sink::start().await;
        tokio::task::spawn_blocking(move || scene(&test, &sink)).await.unwrap();
    }
}
