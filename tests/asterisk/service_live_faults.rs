//! Living calls when things go wrong: somebody hangs up in the middle of a command, Asterisk dies, the service dies or
//! freezes. Nobody is left in the dark, no call is a ghost, every end is told.

use crate::service_live::{ANSWERS, CALLER, NUMBER, command, id, start, supervisor, wait_nobody, wait_state};
use crate::service_rest::Person;
use crate::support::asterisk::{ARI_PASSWORD, ARI_USER, Pbx, PbxOptions};
use crate::support::call::Call;
use crate::support::phone::Phone;
use crate::support::service::{Database, Service, ServiceOptions};
use crate::support::{ports, wait};
use serde_json::{Value, json};
use std::time::Duration;

on_both! {
    a_hang_up_races_every_command,
    an_asterisk_dies_with_its_calls,
    a_frozen_service_wakes_to_what_is,
    two_hundred_calls_outlive_the_service,
    talks_outlive_the_service,
    one_call_through_two_asterisks,
}

/// What the service tells of ends, by call.
fn ended(person: &Person<'_>) -> Vec<String> {
    let events = person.list("/events?types=call.ended&limit=200");
    events.iter().map(|event| event["data"]["call_id"].as_str().unwrap().to_owned()).collect()
}

fn dial(pbx: &Pbx) -> crate::support::call::Calling {
    Call::to(NUMBER).from(CALLER).stay(60_000).start(pbx)
}

fn channels(call: &Value) -> Vec<String> {
    let legs = call["legs"].as_array().unwrap().iter();
    legs.map(|leg| leg["channel"].as_str().unwrap().to_owned()).collect()
}

/// A command that is given before, its body, and what the call is like then.
type Before = (&'static str, &'static str, fn(&Value) -> bool);

/// A command, and what is done before it.
struct Raced {
    word: &'static str,
    body: Value,
    before: &'static [Before],
}

fn talks(call: &Value) -> bool {
    call["state"] == "talking"
}

fn has(call: &Value, role: &str) -> bool {
    call["legs"].as_array().unwrap().iter().any(|leg| leg["role"] == role && leg["state"] == "up")
}

/// Whether everybody who is there talks with somebody, or is parked.
fn is_well(call: &Value) -> bool {
    let legs = call["legs"].as_array().unwrap().iter();
    let phones = legs.filter(|leg| leg["channel"].as_str().unwrap().starts_with("PJSIP/"));
    let (talk, alone): (Vec<&Value>, Vec<&Value>) = phones.partition(|leg| !leg["talking_since"].is_null());
    call["state"] == "parked" && alone.len() == 1 || alone.is_empty() && talk.len() > 1
}

fn raced() -> Vec<Raced> {
    const ASKED: Before = ("transfer", r#"{"to":"102","attended":true}"#, |call| has(call, "asked"));
    const HELD: Before = ("hold", "{}", |call| call["state"] == "held");
    const RECORDED: Before = ("record", r#"{"action":"start"}"#, talks);
    const HEARD: Before = ("monitor", r#"{"phone":"102"}"#, |call| has(call, "listen"));
    const PARKED: Before = ("park", "{}", |call| is_well(call) && !talks(call));
    let record = |action: &str| json!({"action": action});
    let one = |word, body, before| Raced { word, body, before };
    vec![
        one("hold", json!({}), &[]),
        one("unhold", Value::Null, &[HELD]),
        one("mute", json!({}), &[]),
        one("dtmf", json!({"digits": "1"}), &[]),
        one("record", record("start"), &[]),
        one("record", record("pause"), &[RECORDED]),
        one("record", record("resume"), &[RECORDED]),
        one("record", record("stop"), &[RECORDED]),
        one("park", json!({}), &[]),
        one("pickup", json!({"phone": "102"}), &[PARKED]),
        one("transfer", json!({"to": "102"}), &[]),
        one("transfer", json!({"to": "102", "attended": true}), &[]),
        one("transfer/complete", Value::Null, &[ASKED]),
        one("transfer/cancel", Value::Null, &[ASKED]),
        one("conference", json!({"to": "102"}), &[]),
        one("monitor", json!({"phone": "102"}), &[]),
        one("monitor", json!({"phone": "102", "mode": "whisper"}), &[HEARD]),
        one("monitor", json!({"phone": "102", "mode": "stop"}), &[HEARD]),
        one("takeover", json!({"phone": "102"}), &[]),
        one("hangup", Value::Null, &[]),
        one("", json!({"from": "102", "to": "101"}), &[]),
    ]
}

/// Whoever hangs up in the middle of a command: the others have ended or talk with somebody within moments, nobody hears the
/// operator's apology, and each end is told once.
fn a_hang_up_races_every_command(database: Database) {
    let (service, pbx) = start(database);
    let person = supervisor(&service);
    let (_one, _two) = (Phone::start(&pbx, "acme-101", ANSWERS), Phone::start(&pbx, "acme-102", ANSWERS));
    let mut calls = Vec::new();
    for (n, raced) in raced().iter().enumerate() {
        // Before anything was asked of Asterisk, in the middle of it, and behind it; the caller, or the phone.
        let delays = if n % 2 == 0 { [(0, 0), (12, 1)] } else { [(3, 1), (25, 0)] };
        for (delay_ms, who) in delays {
            calls.push((raced.word, race(&service, &pbx, &person, raced, delay_ms, who)));
        }
    }
    wait::until("every end to be told", || person.list("/calls?ended_at=null").is_empty().then_some(()));
    let told = ended(&person);
    for (word, call) in &calls {
        let row = person.get(&format!("/calls/{call}"));
        // Who hangs up while the service is asked where to reports nothing to it then.
        let is_asking = word == &"transfer" && row["ended_by"] == "live";
        assert!(row["fallback"].is_null() && (row["ended_by"] == "hook" || is_asking), "{word}: {row}");
        assert_eq!(told.iter().filter(|told| *told == call).count(), 1, "{word}: {row}");
    }
}

fn race(
    service: &Service,
    pbx: &Pbx,
    person: &Person<'_>,
    Raced { word, body, before }: &Raced,
    delay_ms: u64,
    who: usize,
) -> String {
    let calling = dial(pbx);
    let call = wait_state(person, "talking");
    let victim = channels(&call)[who].clone();
    for (word, body, like) in *before {
        let body: Value = serde_json::from_str(body).unwrap();
        command(person, &call, word, &body);
        wait::until(word, || person.list("/calls/live").first().is_some_and(like).then_some(()));
    }
    let path = format!("/api/v1/calls/{}/{word}", id(&call));
    let path = if word.is_empty() { "/api/v1/calls" } else { &path };
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let (status, answer) = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(delay_ms));
            pbx.cli(&format!("channel request hangup {victim}"));
        });
        service.ask("POST", path, person.token(), &text)
    });
    let what = format!("{word} {body}, {victim} hangs up after {delay_ms} ms: {status} {answer}");
    assert!([200, 201, 404, 409].contains(&status), "{what}");
    let start = wait::now();
    loop {
        let now = person.list("/calls/live");
        if now.iter().all(|call| is_well(call) && !channels(call).contains(&victim)) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(2), "{what}: somebody is left alone: {now:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    pbx.hang_up_all();
    wait_nobody(person);
    pbx.wait_idle();
    calling.finish();
    id(&call)
}

fn an_asterisk_dies_with_its_calls(database: Database) {
    let (mut service, mut pbx) = start(database);
    let _one = Phone::start(&pbx, "acme-101", ANSWERS);
    let callings = [dial(&pbx), dial(&pbx), dial(&pbx)];
    let three = |service: &Service| {
        let person = supervisor(service);
        wait::until("three to talk", || {
            let calls = person.list("/calls/live");
            (calls.len() == 3 && calls.iter().all(|call| call["state"] == "talking")).then_some(calls)
        })
    };
    three(&service);
    {
        let person = supervisor(&service);
        wait::until("it to be told", || {
            (person.list("/events?types=call.answered").len() == 3).then_some(())
        });
    }
    // Another process saw them answered.
    service.kill();
    service.start_again();
    let calls = three(&service);
    let person = supervisor(&service);
    command(&person, &calls[0], "hold", &json!({}));
    pbx.kill();
    // Whether they live nobody knows: what was known is shown, and that Asterisk is not heard of.
    wait::until("the loss to be noticed", || {
        (person.list("/asterisks")[0]["connected"] == false).then_some(())
    });
    let refused = person.ask("POST", &format!("/calls/{}/unhold", id(&calls[0])), &Value::Null, 409);
    assert_eq!(refused["code"], "no-pbx", "{refused}");
    pbx.start_again();
    wait_nobody(&person);
    wait::until("every end to be told", || {
        let told = ended(&person);
        calls.iter().all(|call| told.contains(&id(call))).then_some(())
    });
    let row = person.get(&format!("/calls/{}", id(&calls[0])));
    assert_eq!((&row["ended_by"], &row["disposition"]), (&json!("live"), &json!("ANSWERED")), "{row}");
    assert!(!row["answered_at"].is_null(), "{row}");
    assert!(person.list("/events?types=call.missed").is_empty());
    let gaps = person.list("/events?types=call.gap");
    assert_eq!((gaps.len(), &gaps[1]["data"]["asterisk"]), (2, &json!("pbx")), "{gaps:?}");
    // The callers' phones have lost the other side; what they say of it is not the point here.
    drop(callings);
    let _calling = dial(&pbx);
    wait_state(&person, "talking");
}

fn a_frozen_service_wakes_to_what_is(database: Database) {
    let (service, pbx) = start(database);
    let person = supervisor(&service);
    let _one = Phone::start(&pbx, "acme-101", ANSWERS);
    let calling = dial(&pbx);
    let call = wait_state(&person, "talking");
    service.freeze();
    pbx.hang_up_all();
    // Asterisk waits for the report of the end, and gives up.
    std::thread::sleep(Duration::from_secs(6));
    service.thaw();
    wait_nobody(&person);
    wait::until("the end to be told", || ended(&person).contains(&id(&call)).then_some(()));
    calling.finish();
    let calling = dial(&pbx);
    let call = wait_state(&person, "talking");
    command(&person, &call, "hangup", &Value::Null);
    wait_nobody(&person);
    calling.finish();
}

fn live_count(service: &Service, person: &Person<'_>) -> usize {
    let (status, answer) = service.ask("GET", "/api/v1/calls/live", person.token(), "");
    let answer: Value = if status == 200 { serde_json::from_str(&answer).unwrap() } else { Value::Null };
    answer["data"].as_array().map_or(0, Vec::len)
}

fn two_hundred_calls_outlive_the_service(database: Database) {
    const CALLS: usize = 200;
    let (mut service, pbx) = start(database);
    // Nobody rings: each attempt would take ports of sound, of which there are not many more than for the callers.
    pbx.cli("queue pause member PJSIP/acme-102 queue acme-support");
    let calling = Call::to("+15550001000").from(CALLER).stay(90_000).times(200, 50).start(&pbx);
    {
        let person = supervisor(&service);
        wait::until("all to wait in the queue", || (live_count(&service, &person) == CALLS).then_some(()));
    }
    service.kill();
    service.start_again();
    let person = supervisor(&service);
    wait::until("all to be known again", || (live_count(&service, &person) == CALLS).then_some(()));
    assert!(person.list("/calls/live").iter().all(|call| call["state"] == "waiting"));
    pbx.hang_up_all();
    wait_nobody(&person);
    pbx.wait_idle();
    wait::until("every end to be in the books", || {
        person.list("/calls?ended_at=null").is_empty().then_some(())
    });
    calling.finish();
    let cdrs = person.list("/cdrs?limit=200");
    assert_eq!(cdrs.len(), CALLS);
}

/// As many talks as have ports of sound: the next service knows them all and tells none anew, and those that end while none is
/// there end in the books, once each.
fn talks_outlive_the_service(database: Database) {
    const CALLS: usize = 100;
    let (mut service, pbx) = start(database);
    let _one = Phone::start(&pbx, "acme-101", ANSWERS);
    let calling = Call::to(NUMBER).from(CALLER).stay(90_000).times(100, 50).start(&pbx);
    let talking = |person: &Person<'_>| {
        let calls = person.list("/calls/live");
        calls.iter().filter(|call| call["state"] == "talking").count() == CALLS
    };
    let told =
        |person: &Person<'_>, kind: &str| person.list(&format!("/events?types={kind}&limit=200")).len();
    {
        let person = supervisor(&service);
        wait::until("all to talk", || talking(&person).then_some(()));
        wait::until("it to be told", || (told(&person, "call.answered") == CALLS).then_some(()));
    }
    service.kill();
    service.start_again();
    {
        let person = supervisor(&service);
        wait::until("all to be known again", || talking(&person).then_some(()));
    }
    service.kill();
    pbx.hang_up_all();
    pbx.wait_idle();
    calling.finish();
    service.start_again();
    let person = supervisor(&service);
    wait::until("every end to be told", || (ended(&person).len() == CALLS).then_some(()));
    assert_eq!(told(&person, "call.answered"), CALLS);
    assert_eq!(told(&person, "call.missed"), 0);
    assert!(person.list("/calls/live").is_empty());
    let cdrs = person.list("/cdrs?limit=200");
    assert!(cdrs.len() == CALLS && cdrs.iter().all(|cdr| cdr["disposition"] == "ANSWERED"), "{cdrs:?}");
}

/// A call goes out of one Asterisk and comes in at the other: two calls, each with its own legs and its own end.
fn one_call_through_two_asterisks(database: Database) {
    let [one, two] = ports::free();
    let url = |port: u16| -> &'static str { Box::leak(format!("http://127.0.0.1:{port}").into_boxed_str()) };
    let options = ServiceOptions::new(database)
        .set("HOOKSWITCH_ARI__ONE__URL", url(one))
        .set("HOOKSWITCH_ARI__ONE__USERNAME", ARI_USER)
        .set("HOOKSWITCH_ARI__ONE__PASSWORD", ARI_PASSWORD)
        .set("HOOKSWITCH_ARI__ONE__APP", "hookswitch")
        .set("HOOKSWITCH_ARI__TWO__URL", url(two))
        .set("HOOKSWITCH_ARI__TWO__USERNAME", ARI_USER)
        .set("HOOKSWITCH_ARI__TWO__PASSWORD", ARI_PASSWORD)
        .set("HOOKSWITCH_ARI__TWO__APP", "hookswitch");
    let mut service = Service::start(&options);
    let pbx = |name, port| PbxOptions::new(service.agi()).named(name).dialled_at(port);
    let far = Pbx::start(&pbx("two", two));
    let near = Pbx::start(&pbx("one", one).carrier(&far));
    let _phones = [Phone::start(&near, "acme-101", ANSWERS), Phone::start(&far, "acme-101", ANSWERS)];
    let both = |service: &Service| {
        let person = supervisor(service);
        wait::until("both calls to talk", || {
            let calls = person.list("/calls/live");
            (calls.len() == 2 && calls.iter().all(|call| call["state"] == "talking")).then_some(calls)
        })
    };
    {
        let person = supervisor(&service);
        wait::until("both to be connected", || {
            let connected = |one: &Value| one["connected"] == true;
            person.list("/asterisks").iter().all(connected).then_some(())
        });
        person.make("/calls", &json!({"from": "101", "to": NUMBER}));
    }
    let calls = both(&service);
    wait::until("the answers to be told", || {
        (supervisor(&service).list("/events?types=call.answered").len() == 2).then_some(())
    });
    for (call, asterisk) in calls.iter().zip(["one", "two"]) {
        let legs = call["legs"].as_array().unwrap();
        assert!(legs.len() == 2 && legs.iter().all(|leg| leg["asterisk"] == asterisk), "{call}");
    }
    service.kill();
    service.start_again();
    assert_eq!(both(&service).iter().map(id).collect::<Vec<_>>(), calls.iter().map(id).collect::<Vec<_>>());
    let person = supervisor(&service);
    near.hang_up_all();
    wait_nobody(&person);
    wait::until("both ends to be told", || (ended(&person).len() == 2).then_some(()));
    near.wait_idle();
    far.wait_idle();
    let mut told = ended(&person);
    told.sort();
    assert_eq!(told, calls.iter().map(id).collect::<Vec<_>>());
    for call in &calls {
        let events = person.list(&format!("/events?types=call.answered&key=call:{}", id(call)));
        assert_eq!(events.len(), 1, "{events:?}");
    }
}
