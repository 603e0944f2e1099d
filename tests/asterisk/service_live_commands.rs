//! Commands on living calls in the order in which people give them: one after another, twice, at the same time, by the one who
//! called, and on a call that was handed on before.

use crate::service_live::{ANSWERS, CALLER, NUMBER, command, id, start, supervisor, wait_nobody};
use crate::service_rest::Person;
use crate::support::asterisk::Pbx;
use crate::support::call::{Call, Calling};
use crate::support::phone::Phone;
use crate::support::scenario::Behaviour;
use crate::support::service::{Database, Service};
use crate::support::wait;
use serde_json::{Value, json};
use std::time::Duration;

on_both! {
    a_call_that_was_handed_on_takes_every_command,
    a_call_lives_in_the_books_while_somebody_talks,
    asked_twice_nobody_is_called_twice,
    two_at_once_do_not_meet,
    what_nobody_waits_for_rings_no_more,
    a_click_that_is_late_is_taken_back,
}

const SLOW: Behaviour = Behaviour::Answers { after_ms: 1_500, hangs_up_after_ms: None };

fn dial(pbx: &Pbx) -> Calling {
    Call::to(NUMBER).from(CALLER).stay(60_000).start(pbx)
}

/// The only living call, once it is like this.
fn wait_call(person: &Person<'_>, what: &str, like: impl Fn(&Value) -> bool) -> Value {
    wait::until(what, || {
        let calls = person.list("/calls/live");
        calls.first().filter(|call| calls.len() == 1 && like(call)).cloned()
    })
}

fn legs(call: &Value) -> impl Iterator<Item = &Value> {
    call["legs"].as_array().unwrap().iter()
}

/// Endpoints that talk, and lines outside as `-`.
fn talkers(call: &Value) -> Vec<String> {
    let talk = legs(call).filter(|leg| {
        leg["channel"].as_str().unwrap().starts_with("PJSIP/") && !leg["talking_since"].is_null()
    });
    let mut talk: Vec<String> = talk.map(|leg| leg["endpoint"].as_str().unwrap_or("-").to_owned()).collect();
    talk.sort();
    talk
}

fn wait_talk(person: &Person<'_>, who: &[&str]) -> Value {
    wait_call(person, &format!("{who:?} to talk"), |call| call["state"] == "talking" && talkers(call) == who)
}

fn ask(person: &Person<'_>, call: &Value, to: &str) {
    command(person, call, "transfer", &json!({"to": to, "attended": true}));
    wait_call(person, "who was asked to be there", |call| {
        legs(call).any(|leg| leg["role"] == "asked" && !leg["talking_since"].is_null())
    });
}

fn hand_on(person: &Person<'_>, call: &Value, to: &str) {
    ask(person, call, to);
    command(person, call, "transfer/complete", &Value::Null);
}

fn end(person: &Person<'_>, pbx: &Pbx, call: &Value, calling: Calling) {
    command(person, call, "hangup", &Value::Null);
    wait_nobody(person);
    calling.finish();
    pbx.wait_idle();
}

fn a_call_that_was_handed_on_takes_every_command(database: Database) {
    let (service, pbx) = start(database);
    let person = supervisor(&service);
    let (_one, _two) = (Phone::start(&pbx, "acme-101", ANSWERS), Phone::start(&pbx, "acme-102", ANSWERS));
    let calling = dial(&pbx);
    let call = wait_talk(&person, &["-", "101"]);
    hand_on(&person, &call, "102");
    wait_talk(&person, &["-", "102"]);
    let done = command(&person, &call, "hold", &json!({"endpoint": "102"}));
    assert_eq!(done["state"], "held", "{done}");
    command(&person, &call, "unhold", &Value::Null);
    wait_talk(&person, &["-", "102"]);
    command(&person, &call, "mute", &json!({}));
    command(&person, &call, "mute", &json!({"on": false}));
    command(&person, &call, "dtmf", &json!({"digits": "1"}));
    for action in ["start", "pause", "resume", "stop"] {
        command(&person, &call, "record", &json!({"action": action}));
        wait_talk(&person, &["-", "102"]);
    }
    // The consultation is a call of its own, and its id names the same talk.
    let consulted = person.list("/calls").into_iter().find(|row| row["direction"] == "internal").unwrap();
    let consulted = consulted["id"].as_str().unwrap().to_owned();
    let hold = json!({"call_id": consulted});
    let done = command(&person, &hold, "hold", &json!({}));
    assert_eq!((&done["call_id"], &done["state"]), (&call["call_id"], &json!("held")), "{done}");
    command(&person, &hold, "unhold", &Value::Null);
    wait_talk(&person, &["-", "102"]);
    let done = command(&person, &hold, "park", &json!({}));
    assert_eq!((&done["call_id"], &done["state"]), (&call["call_id"], &json!("parked")), "{done}");
    command(&person, &call, "pickup", &json!({"phone": "102"}));
    wait_talk(&person, &["-", "102"]);
    hand_on(&person, &call, "101");
    wait_talk(&person, &["-", "101"]);
    command(&person, &call, "takeover", &json!({"phone": "102"}));
    wait_talk(&person, &["-", "102"]);
    hand_on(&person, &call, "101");
    command(&person, &call, "transfer", &json!({"to": "102"}));
    wait_talk(&person, &["-", "102"]);
    // Hold and a third party do not get stuck.
    command(&person, &call, "hold", &json!({}));
    command(&person, &call, "conference", &json!({"to": "101"}));
    wait_call(&person, "the third party to talk", |call| talkers(call) == ["101", "102"]);
    command(&person, &call, "unhold", &Value::Null);
    wait_call(&person, "three to talk", |call| talkers(call) == ["-", "101", "102"]);
    end(&person, &pbx, &call, calling);
    // Who listened to a phone that handed the call on hears nothing any more, and is free.
    let calling = dial(&pbx);
    let call = wait_talk(&person, &["-", "101"]);
    command(&person, &call, "monitor", &json!({"phone": "102"}));
    wait_call(&person, "who listens to be there", |call| {
        legs(call).any(|leg| leg["role"] == "listen" && leg["state"] == "up")
    });
    command(&person, &call, "transfer", &json!({"to": "102"}));
    wait_call(&person, "the listener to be gone", |call| {
        talkers(call) == ["-", "102"] && !legs(call).any(|leg| leg["role"] == "listen")
    });
    end(&person, &pbx, &call, calling);
    let bridges = wait::until("the bridges to be gone", || {
        let bridges = pbx.cli("bridge show all");
        (!bridges.contains("hs-")).then_some(bridges)
    });
    assert!(!bridges.is_empty());
    assert_eq!(pbx.log().matches("did not decide the call").count(), 0, "somebody heard the apology");
}

fn outbound(pbx: &Pbx) -> Calling {
    Call::to("+15559990000").by_phone("acme-101").stay(60_000).start(pbx)
}

fn a_call_lives_in_the_books_while_somebody_talks(database: Database) {
    let (service, pbx) = start(database);
    let person = supervisor(&service);
    let (_one, _two) = (Phone::start(&pbx, "acme-101", ANSWERS), Phone::start(&pbx, "acme-102", ANSWERS));
    let carrier = Phone::start(&pbx, "carrier", ANSWERS);
    let own = json!({"endpoint": "101"});
    type How = fn(&Person<'_>, &Pbx, &Value);
    let ways: [(&str, How); 4] = [
        ("parked", |person, _, call| {
            command(person, call, "park", &json!({"endpoint": "101"}));
            command(person, call, "pickup", &json!({"phone": "102"}));
        }),
        ("handed on at once", |person, _, call| {
            command(person, call, "transfer", &json!({"endpoint": "101", "to": "102"}));
        }),
        ("handed on after asking", |person, _, call| hand_on(person, call, "102")),
        ("handed on by hanging up", |person, pbx, call| {
            ask(person, call, "102");
            let phone = legs(call).find(|leg| leg["endpoint"] == "101").unwrap()["channel"].as_str().unwrap();
            pbx.cli(&format!("channel request hangup {phone}"));
        }),
    ];
    for (n, (how, hands_on)) in ways.iter().enumerate() {
        let calling = outbound(&pbx);
        carrier.wait_answered(n);
        let call = wait_talk(&person, &["-", "101"]);
        hands_on(&person, &pbx, &call);
        let now = wait_talk(&person, &["-", "102"]);
        assert_eq!(id(&now), id(&call), "{how}: {now}");
        std::thread::sleep(Duration::from_millis(1_200));
        calling.finish();
        let row = person.get(&format!("/calls/{}", id(&call)));
        assert_eq!(row["ended_at"], Value::Null, "{how}: {row}");
        let told = person.list("/events?types=call.ended&limit=200");
        assert!(!told.iter().any(|event| event["data"]["call_id"] == id(&call)), "{how}: {told:?}");
        command(&person, &call, "hangup", &Value::Null);
        wait_nobody(&person);
        pbx.wait_idle();
        let cdr = wait::until("the record", || {
            let (status, cdr) = person.try_ask("GET", &format!("/cdrs/{}", id(&call)));
            (status == 200).then(|| serde_json::from_str::<Value>(&cdr).unwrap())
        });
        assert_eq!(
            (&cdr["disposition"], &cdr["endpoint"]),
            (&json!("ANSWERED"), &own["endpoint"]),
            "{how}: {cdr}"
        );
        let whole_s = cdr["duration_s"].as_i64().unwrap();
        assert!((1..10).contains(&whole_s) && cdr["talk_s"].as_i64().unwrap() >= 1, "{how}: {cdr}");
        let row = person.get(&format!("/calls/{}", id(&call)));
        assert_eq!(row["ended_by"], "hook", "{how}: {row}");
    }
    drop(service);
}

fn asked_twice_nobody_is_called_twice(database: Database) {
    let (service, pbx) = start(database);
    let person = supervisor(&service);
    let _one = Phone::start(&pbx, "acme-101", ANSWERS);
    let two = Phone::start(&pbx, "acme-102", SLOW);
    let again = |word: &str, body: &Value| {
        let calling = dial(&pbx);
        let call = wait_talk(&person, &["-", "101"]);
        if word == "pickup" {
            command(&person, &call, "park", &json!({}));
        }
        let (rang, answered) = (two.rang(), two.answered());
        command(&person, &call, word, body);
        command(&person, &call, word, body);
        two.wait_answered(answered);
        wait_call(&person, "102 to be there", |call| {
            legs(call).any(|leg| leg["endpoint"] == "102" && leg["state"] == "up")
        });
        // And once more when it is there.
        command(&person, &call, word, body);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(two.rang(), rang + 1, "{word}");
        end(&person, &pbx, &call, calling);
    };
    again("transfer", &json!({"to": "102", "attended": true}));
    again("conference", &json!({"to": "102"}));
    again("takeover", &json!({"phone": "102"}));
    again("pickup", &json!({"phone": "102"}));
    again("monitor", &json!({"phone": "102"}));
}

/// Does two things at the same time.
fn both(service: &Service, person: &Person<'_>, asked: [(String, Value); 2]) -> Vec<(u16, Value)> {
    std::thread::scope(|scope| {
        let ask = |(path, body): (String, Value)| {
            scope.spawn(move || {
                let (status, answer) = service.ask("POST", &path, person.token(), &body.to_string());
                (status, serde_json::from_str(&answer).unwrap_or_default())
            })
        };
        asked.map(ask).into_iter().map(|done| done.join().unwrap()).collect()
    })
}

fn two_at_once_do_not_meet(database: Database) {
    let (service, pbx) = start(database);
    let person = supervisor(&service);
    let (_one, two) = (Phone::start(&pbx, "acme-101", ANSWERS), Phone::start(&pbx, "acme-102", ANSWERS));
    let path = |call: &Value, word: &str| format!("/api/v1/calls/{}/{word}", id(call));
    // One phone answers first: whoever answers then talks to nobody.
    let calling = dial(&pbx);
    let call = wait_talk(&person, &["-", "101"]);
    command(&person, &call, "park", &json!({}));
    let pickup = |phone: &str| (path(&call, "pickup"), json!({"phone": phone}));
    both(&service, &person, [pickup("101"), pickup("102")]);
    two.wait_answered(0);
    let talk = wait_call(&person, "one of them to talk", |call| {
        call["state"] == "talking" && legs(call).filter(|leg| !leg["endpoint"].is_null()).count() == 1
    });
    assert_eq!(talkers(&talk).len(), 2, "{talk}");
    end(&person, &pbx, &call, calling);
    // Two callers never get one slot.
    let callings = [dial(&pbx), dial(&pbx)];
    let calls = wait::until("two to talk", || {
        let calls = person.list("/calls/live");
        (calls.len() == 2 && calls.iter().all(|call| call["state"] == "talking")).then_some(calls)
    });
    let park = |call: &Value| (path(call, "park"), json!({}));
    let parked = both(&service, &person, [park(&calls[0]), park(&calls[1])]);
    let mut slots: Vec<&Value> = parked.iter().map(|(_, done)| &done["slot"]).collect();
    slots.sort_by_key(|slot| slot.as_i64());
    assert_eq!(slots, [&json!(701), &json!(702)], "{parked:?}");
    pbx.hang_up_all();
    wait_nobody(&person);
    callings.into_iter().for_each(|calling| drop(calling.finish()));
}

fn what_nobody_waits_for_rings_no_more(database: Database) {
    let (service, pbx) = start(database);
    let person = supervisor(&service);
    let _one = Phone::start(&pbx, "acme-101", ANSWERS);
    let two = Phone::start(&pbx, "acme-102", Behaviour::NeverAnswers);
    for (word, body) in [
        ("transfer", json!({"to": "102", "attended": true})),
        ("conference", json!({"to": "102"})),
        ("takeover", json!({"phone": "102"})),
        ("monitor", json!({"phone": "102"})),
    ] {
        let calling = dial(&pbx);
        let call = wait_talk(&person, &["-", "101"]);
        let rang = two.rang();
        command(&person, &call, word, &body);
        wait::until("102 to ring", || (two.rang() > rang).then_some(()));
        let phones: Vec<&str> = legs(&call).map(|leg| leg["channel"].as_str().unwrap()).collect();
        phones.iter().for_each(|phone| drop(pbx.cli(&format!("channel request hangup {phone}"))));
        wait::within(Duration::from_secs(1), &format!("{word}: 102 to be left in peace"), || {
            pbx.cli("core show channels count").contains("0 active channels").then_some(())
        });
        calling.finish();
        wait_nobody(&person);
    }
    // A phone that only would listen keeps nobody waiting.
    let calling = dial(&pbx);
    let call = wait_talk(&person, &["-", "101"]);
    command(&person, &call, "hold", &json!({}));
    command(&person, &call, "unhold", &Value::Null);
    command(&person, &call, "monitor", &json!({"phone": "102"}));
    let phone = legs(&call).find(|leg| leg["endpoint"] == "101").unwrap()["channel"].as_str().unwrap();
    pbx.cli(&format!("channel request hangup {phone}"));
    wait::within(Duration::from_secs(1), "the caller to be let go", || {
        person.list("/calls/live").is_empty().then_some(())
    });
    assert!(calling.finish()[0].hung_up_by_pbx);
}

fn a_click_that_is_late_is_taken_back(database: Database) {
    let (service, pbx) = start(database);
    let person = supervisor(&service);
    let one = Phone::start(&pbx, "acme-101", Behaviour::NeverAnswers);
    pbx.freeze();
    let answer = person.ask("POST", "/calls", &json!({"from": "101", "to": "102"}), 504);
    assert_eq!(answer["code"], "pbx-silent", "{answer}");
    let row = person.wait_list("/calls", 1).remove(0);
    assert_eq!(row["ended_at"], Value::Null, "nobody knows: {row}");
    pbx.thaw();
    let row = wait::until("the call to be over", || {
        Some(person.get(&format!("/calls/{}", row["id"].as_str().unwrap())))
            .filter(|row| !row["ended_at"].is_null())
    });
    assert_eq!(row["ended_by"], "live", "{row}");
    pbx.wait_idle();
    assert_eq!(one.answered(), 0);
    wait_nobody(&person);
    let rang = one.rang();
    person.make("/calls", &json!({"from": "101", "to": "102"}));
    wait::until("the next one to ring", || (one.rang() > rang).then_some(()));
}
