//! Living calls when things go wrong: somebody hangs up in the middle of a command, Asterisk dies, the service dies or
//! freezes. Nobody is left in the dark, no call is a ghost, every end is told.

use crate::service_live::{ANSWERS, CALLER, NUMBER, command, id, start, supervisor, wait_nobody, wait_state};
use crate::service_rest::Person;
use crate::support::asterisk::Pbx;
use crate::support::call::Call;
use crate::support::phone::Phone;
use crate::support::service::{Database, Service};
use crate::support::wait;
use serde_json::{Value, json};
use std::time::Duration;

on_both! {
    a_hang_up_races_every_command,
    an_asterisk_dies_with_its_calls,
    a_frozen_service_wakes_to_what_is,
    two_hundred_calls_outlive_the_service,
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

fn a_hang_up_races_every_command(database: Database) {
    let (service, pbx) = start(database);
    let person = supervisor(&service);
    let (_one, _two) = (Phone::start(&pbx, "acme-101", ANSWERS), Phone::start(&pbx, "acme-102", ANSWERS));
    let commands = [
        ("hold", json!({})),
        ("mute", json!({})),
        ("dtmf", json!({"digits": "1"})),
        ("record", json!({"action": "start"})),
        ("park", json!({})),
        ("transfer", json!({"to": "102"})),
        ("transfer", json!({"to": "102", "attended": true})),
        ("conference", json!({"to": "102"})),
        ("monitor", json!({"phone": "102"})),
        ("takeover", json!({"phone": "102"})),
        ("hangup", Value::Null),
    ];
    for (word, body) in &commands {
        // Before anything was asked of Asterisk, in the middle of it, and behind it; once the caller, once the phone.
        for (delay_ms, who) in [(0, 0), (2, 1), (12, 0), (300, 1)] {
            let calling = dial(&pbx);
            let call = wait_state(&person, "talking");
            let victim = channels(&call)[who].clone();
            let path = format!("/api/v1/calls/{}/{word}", id(&call));
            let text = if body.is_null() { String::new() } else { body.to_string() };
            let (status, answer) = std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(delay_ms));
                    pbx.cli(&format!("channel request hangup {victim}"));
                });
                service.ask("POST", &path, person.token(), &text)
            });
            let what = format!("{word} {body}, {victim} hangs up after {delay_ms} ms: {status} {answer}");
            assert!([200, 404, 409].contains(&status), "{what}");
            // A parked caller stays until somebody takes him.
            if word == &"park" && status == 200 {
                service.ask("POST", &path.replace("/park", "/hangup"), person.token(), "");
            }
            // Who was called by the command may stay with the other: that is a talk, and ends like one.
            std::thread::sleep(Duration::from_millis(700));
            pbx.cli("channel request hangup all");
            wait_nobody(&person);
            pbx.wait_idle();
            calling.finish();
            assert!(person.list("/calls/live").is_empty(), "{what}");
        }
    }
    wait::until("every end to be told", || {
        let open = person.list("/calls?ended_at=null");
        open.is_empty().then_some(())
    });
}

fn an_asterisk_dies_with_its_calls(database: Database) {
    let (service, mut pbx) = start(database);
    let person = supervisor(&service);
    let _one = Phone::start(&pbx, "acme-101", ANSWERS);
    let callings = [dial(&pbx), dial(&pbx), dial(&pbx)];
    let calls = wait::until("three to talk", || {
        let calls = person.list("/calls/live");
        (calls.len() == 3 && calls.iter().all(|call| call["state"] == "talking")).then_some(calls)
    });
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
    assert_eq!(row["ended_by"], "live", "{row}");
    let gaps = person.list("/events?types=call.gap");
    assert_eq!((gaps.len(), &gaps[0]["data"]["asterisk"]), (1, &json!("pbx")), "{gaps:?}");
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
