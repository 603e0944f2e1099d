//! Agents before a real Asterisk: who sits down at another phone is called there, and who rests after a call is not.

use crate::service_realtime::{CALLER, NUMBER, Way, connected, furnish, newco, text};
use crate::service_rest::Person;
use crate::support::call::Call;
use crate::support::phone::{Phone, register};
use crate::support::ports;
use crate::support::scenario::Behaviour;
use crate::support::service::Database;
use crate::support::wait;
use serde_json::json;

const ANSWERS: Behaviour = Behaviour::Answers { after_ms: 100, hangs_up_after_ms: None };

on_both! { a_queue_calls_its_agent_at_any_desk_over_http, a_queue_calls_its_agent_at_any_desk_over_odbc }

fn a_queue_calls_its_agent_at_any_desk_over_http(database: Database) {
    a_queue_calls_its_agent_at_any_desk(Way::Http, database);
}

fn a_queue_calls_its_agent_at_any_desk_over_odbc(database: Database) {
    a_queue_calls_its_agent_at_any_desk(Way::Odbc, database);
}

fn a_queue_calls_its_agent_at_any_desk(way: Way, database: Database) {
    let (service, pbx) = connected(way, database);
    let root = newco(&service);
    let (_, password, queue, member) = furnish(&root);
    let other = text(&root.make("/endpoints", &json!({"name": "102"})), "password");
    let (email, secret) = ("nina@newco.test", "hookswitch-demo-1");
    let user =
        text(&root.make("/users", &json!({"email": email, "password": secret, "role": "agent"})), "id");
    root.ask("PATCH", &format!("/queues/{queue}/members/{member}"), &json!({"user_id": user}), 200);
    let nina = Person::sign_in(&service, email, secret);
    let [one, two] = ports::free();
    assert!(register(&pbx, ("newco-101", &password), one, 300));
    assert!(register(&pbx, ("newco-102", &other), two, 300));
    let phones = [Phone::at(one, "newco-101", ANSWERS), Phone::at(two, "newco-102", ANSWERS)];
    let answered = || (phones[0].answered(), phones[1].answered());
    // Asterisk gives a question half a second, and goes on with what it knew: on a starved machine one may be lost.
    let seen = || pbx.cli("queue show newco-support");
    let shown = |what: &[&str]| {
        wait::until(&what.join(" "), || what.iter().all(|what| seen().contains(what)).then_some(()));
    };
    let calls = || Call::to(NUMBER).from(CALLER).stay(1_500).expect_answered(&pbx);

    nina.ask("POST", "/agents/me/login", &json!({"extension": "101"}), 200);
    shown(&["newco-101", "(Not in use)"]);
    calls();
    assert_eq!(answered(), (1, 0), "{}", seen());
    nina.ask("POST", "/agents/me/login", &json!({"extension": "102"}), 200);
    shown(&["newco-102", "(Not in use)"]);
    assert!(!seen().contains("newco-101"), "{}", seen());

    // A talk and its rest, as ARI tells of her phone: left out by the queue until the rest is over, which the service ends by
    // itself. Set before her first call here: app_queue has the same rest, and counts it from the call before.
    let rests = |seconds| root.ask("PATCH", &format!("/queues/{queue}"), &json!({"wrapup_s": seconds}), 200);
    let state = |what: &str, value: &str| {
        wait::until(value, || (nina.get("/agents/me")[what] == value).then_some(()));
    };
    rests(3_600);
    calls();
    state("reason", "wrap-up");
    assert_eq!(answered(), (1, 1), "{}", seen());
    shown(&["(paused:wrap-up"]);
    Call::to(NUMBER).from(CALLER).patience(5_000).run(&pbx);
    assert_eq!(answered(), (1, 1), "{}", seen());
    rests(0);
    nina.ask("PATCH", "/agents/me", &json!({"state": "available"}), 200);
    shown(&["(Not in use)"]);
    rests(2);
    calls();
    state("reason", "wrap-up");
    state("state", "available");
    wait::until("the queue to have her back", || {
        let text = seen();
        (text.contains("(Not in use)") && !text.contains("paused")).then_some(())
    });
    rests(0);
    calls();
    assert_eq!(answered(), (1, 3), "{}", seen());

    nina.ask("POST", "/agents/me/logout", &json!({}), 200);
    shown(&["No Members"]);
    let told = root.list("/events?types=agent.state_changed");
    let reasons: Vec<&str> = told.iter().filter_map(|event| event["data"]["reason"].as_str()).collect();
    assert_eq!(reasons, ["wrap-up", "wrap-up"], "{told:?}");
}
