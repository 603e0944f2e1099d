//! `kill -9` of the service while ticketers open tickets and while a broken router is parked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hookswitch::base::clock::Stopwatch;
use serde_json::{Value, json};

use super::{ticketer, wasm};
use crate::cli::{self, Place, Service};
use crate::killed::{Where, ask, asked, login, murder, number, seeded, send};
use crate::support::{TestDb, both_databases};

const KILLS: u64 = 30;
/// How often a broken version is activated.
const ROUNDS: usize = 6;
const NUMBER: &str = "+15550001999";

fn pairs<'e>(env: &'e [(&'static str, String)]) -> Vec<(&'e str, &'e str)> {
    env.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

fn start(data: &Place, env: &[(&str, &str)], place: &Where) -> Service {
    let service = Service::start(data, env);
    *place.lock().unwrap() = Some((service.agi, service.http));
    service
}

/// Uploads a version and returns its number.
fn upload(place: &Where, token: &str, plugin: &str, file: &[u8]) -> u64 {
    let http = place.lock().unwrap().unwrap().1;
    let path = format!("/plugins/{plugin}/versions");
    let (status, made) = send(http, ("POST", &path), token, "application/wasm", file).unwrap();
    assert_eq!(status, 201, "{made:#}");
    made["number"].as_u64().unwrap()
}

fn activate(place: &Where, token: &str, plugin: &str, version: u64) {
    asked(place, "POST", &format!("/plugins/{plugin}/versions/{version}/activate"), token, &json!({}));
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Stopwatch::start();
    while !is_so() {
        assert!(start.elapsed_us() < 60_000_000, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Makes contacts until told to stop; the ids of those that were answered.
fn make(place: &Where, token: &str, stop: &AtomicBool) -> Vec<String> {
    let mut answered = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let http = place.lock().unwrap().map(|(_, http)| http);
        let body = json!({"last_name": "x"});
        match http.and_then(|http| ask(http, "POST", "/contacts", token, &body)) {
            Some((201, made)) => answered.push(made["id"].as_str().unwrap().to_owned()),
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    answered
}

/// Each new contact is an event, and each event has one ticket.
fn tickets(test: &TestDb) {
    let (data, env) = seeded(test);
    let env = pairs(&env);
    let place: Where = Arc::default();
    let service = start(&data, &env, &place);
    let token = login(&place);
    let new = json!({"name": "desk", "kind": "ticketer", "events": ["contact.created"]});
    let plugin = asked(&place, "POST", "/plugins", &token, &new)["id"].as_str().unwrap().to_owned();
    let version = upload(&place, &token, &plugin, &ticketer::drafts());
    activate(&place, &token, &plugin, version);
    let before = number(&data, test, "SELECT COUNT(*) FROM tickets");
    service.kill();
    *place.lock().unwrap() = None;
    let stop = AtomicBool::new(false);
    let (service, answered) = std::thread::scope(|scope| {
        let making = scope.spawn(|| make(&place, &token, &stop));
        let service = murder(&data, &env, &place, KILLS);
        std::thread::sleep(Duration::from_millis(200));
        stop.store(true, Ordering::Relaxed);
        (service, making.join().unwrap())
    });
    assert!(answered.len() > 20, "{}", answered.len());
    const EVENTS: &str = "SELECT COUNT(*) FROM events e JOIN contacts c ON e.event_key = CONCAT('contact:', c.id) \
         WHERE e.kind = 'contact.created' AND c.source <> 'plugin' AND c.last_name = 'x'";
    const RUNS: &str = "SELECT COUNT(*) FROM plugin_runs WHERE outcome = 'ok' AND cause = 'event'";
    until("all events are shown", || number(&data, test, EVENTS) == number(&data, test, RUNS));
    service.kill();
    let events = number(&data, test, EVENTS);
    assert_eq!(number(&data, test, "SELECT COUNT(*) FROM tickets") - before, events);
    assert_eq!(
        number(&data, test, "SELECT COUNT(DISTINCT subject_id) FROM plugin_runs WHERE outcome = 'ok'"),
        events
    );
    for id in &answered {
        let sql = format!(
            "SELECT COUNT(*) FROM tickets WHERE origin_key = 'plugin:{plugin}:missed-call:contact:{id}'"
        );
        assert_eq!(number(&data, test, &sql), 1, "{id}");
    }
}

/// Routes calls until told to stop. Every answer leads to the plugin's queue or, when it failed, to the fallback.
fn call(place: &Where, stop: &AtomicBool) -> usize {
    let mut answered = 0;
    for n in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let agi = place.lock().unwrap().map(|(agi, _)| agi);
        let answer = agi.and_then(|agi| cli::route(agi, NUMBER, &format!("1790000000.{n}")).ok());
        match answer.filter(|text| text.ends_with('\n')) {
            Some(text) => {
                let leads = text.contains("acme-support") || text.contains("101@acme");
                assert!(leads, "a call led nowhere: {text}");
                answered += 1;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    answered
}

/// A broken version is activated again and again, and the service killed around the moment when it is parked.
fn parking(test: &TestDb) {
    let (data, env) = seeded(test);
    let env = pairs(&env);
    let place: Where = Arc::default();
    let mut service = start(&data, &env, &place);
    let token = login(&place);
    let new = json!({"name": "vip", "kind": "router"});
    let plugin = asked(&place, "POST", "/plugins", &token, &new)["id"].as_str().unwrap().to_owned();
    let good = upload(&place, &token, &plugin, &wasm::to_queue("support"));
    let broken = upload(&place, &token, &plugin, &wasm::fails("no list"));
    activate(&place, &token, &plugin, good);
    let did = json!({
        "number": NUMBER, "route_type": "endpoint", "route_target": "101", "plugin": "vip",
        "destinations": [{"role": "fallback", "type": "voicemail", "target": "101"}],
    });
    asked(&place, "POST", "/dids", &token, &did);
    const GOOD: &str = "SELECT COUNT(*) FROM plugin_runs WHERE outcome = 'ok'";
    let stop = AtomicBool::new(false);
    let service = std::thread::scope(|scope| {
        let calling = scope.spawn(|| call(&place, &stop));
        until("the good version ran well", || number(&data, test, GOOD) > 0);
        for round in 0..ROUNDS {
            activate(&place, &token, &plugin, broken);
            std::thread::sleep(Duration::from_millis(8 * u64::try_from(round * round).unwrap()));
            *place.lock().unwrap() = None;
            service.kill();
            service = start(&data, &env, &place);
            until("it is rolled back", || {
                asked(&place, "GET", &format!("/plugins/{plugin}"), &token, &Value::Null)["active_version"]
                    == good
            });
        }
        stop.store(true, Ordering::Relaxed);
        assert!(calling.join().unwrap() > 50);
        service
    });
    service.kill();
    let told =
        |kind: &str| number(&data, test, &format!("SELECT COUNT(*) FROM events WHERE kind = '{kind}'"));
    assert_eq!(told("plugin.parked"), i64::try_from(ROUNDS).unwrap());
    // By hand: the good one first, the broken one each time; and each time back.
    assert_eq!(told("plugin.activated"), i64::try_from(1 + 2 * ROUNDS).unwrap());
}

both_databases! {
    /// Thirty kills under load.
    async fn each_event_has_one_ticket(test) {
        tokio::task::spawn_blocking(move || tickets(&test)).await.unwrap();
    }

    /// Killed before, while and after it is parked: it is rolled back once, and every call is led somewhere.
    async fn a_broken_version_is_rolled_back_once(test) {
        tokio::task::spawn_blocking(move || parking(&test)).await.unwrap();
    }
}
