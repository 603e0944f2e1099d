//! `kill -9` at a hundred random moments under load: whatever was answered reaches its consumers, in order where that was
//! promised, and a repeat has the same `webhook-id`.

#![expect(clippy::print_stdout, reason = "the table of what came")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hookswitch::base::clock::Stopwatch;
use serde_json::{Value, json};

use super::Sink;
use super::sink::Taken;
use crate::cli::{self, Service};
use crate::killed::{Where, ask, asked, login, murder, seeded};
use crate::support::{TestDb, both_databases};

const KILLS: u64 = 100;
/// Contacts that are changed again and again: keys with many events.
const CONTACTS: usize = 3;

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
    let (data, env) = seeded(test);
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let place: Where = Arc::default();
    let service = Service::start(&data, &env);
    *place.lock().unwrap() = Some((service.agi, service.http));
    let token = login(&place);
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
        let service = murder(&data, &env, &place, KILLS);
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
