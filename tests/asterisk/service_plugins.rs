//! The demo's plugins with real calls: the router in Rust, the call script in JavaScript, the ticketer in Python, and what
//! becomes of calls when a version is broken.

use crate::service_rest::Person;
use crate::support::call::Call;
use crate::support::phone::Phone;
use crate::support::scenario::Behaviour;
use crate::support::service::{Database, ServiceOptions};
use crate::support::wait;
use crate::support::world::World;
use serde_json::{Value, json};

const ANSWERS: Behaviour = Behaviour::Answers { after_ms: 100, hangs_up_after_ms: None };
const VIP: &str = "+15557770001";
const OTHER: &str = "+15557770002";
const ROUTED: &str = "+15550001006";
const SCRIPTED: &str = "+15550001007";

on_both! {
    a_vip_goes_to_the_endpoint_and_others_to_the_queue,
    a_script_talks_to_the_caller,
    a_missed_call_makes_one_ticket,
    a_broken_version_is_rolled_back_without_a_lost_call,
}

fn world(database: Database) -> World {
    World::start(&ServiceOptions::new(database).with_plugins())
}

fn admin(world: &World) -> Person<'_> {
    Person::sign_in(&world.service, "admin@acme.test", "hookswitch-demo-1")
}

fn id_of(admin: &Person<'_>, name: &str) -> String {
    let all = admin.list("/plugins");
    let one = all.iter().find(|plugin| plugin["name"] == name).unwrap();
    one["id"].as_str().unwrap().to_owned()
}

fn a_vip_goes_to_the_endpoint_and_others_to_the_queue(database: Database) {
    let world = world(database);
    let endpoint = Phone::start(&world.pbx, "acme-101", ANSWERS);
    let queue = Phone::start(&world.pbx, "acme-102", ANSWERS);
    Call::to(ROUTED).from(VIP).stay(500).expect_answered(&world.pbx);
    assert_eq!((endpoint.answered(), queue.answered()), (1, 0));
    let booked = world.newest(0);
    assert_eq!((booked.row.target.as_str(), booked.row.reason.as_str()), ("acme-101", "plugin"));
    let step = booked.traces[0].steps.iter().find(|step| step.check == "plugin").unwrap();
    assert!(step.outcome == "ok" && step.detail.starts_with("vip-router@1"), "{step:?}");
    Call::to(ROUTED).from(OTHER).stay(500).expect_answered(&world.pbx);
    assert_eq!((endpoint.answered(), queue.answered()), (1, 1));
    assert_eq!(world.newest(1).row.target, "acme-support");
    // Both runs are in the log, with what they cost.
    let admin = admin(&world);
    let runs = admin.wait_list(&format!("/plugins/{}/runs", id_of(&admin, "vip-router")), 2);
    assert!(runs.iter().all(|run| run["outcome"] == "ok" && run["fuel"].as_i64() > Some(0)), "{runs:#?}");
}

fn a_script_talks_to_the_caller(database: Database) {
    let world = world(database);
    let queue = Phone::start(&world.pbx, "acme-102", ANSWERS);
    // A delayed order: somebody talks about it.
    Call::to(SCRIPTED).from(OTHER).digits("4712#", 1_500).stay(22_000).expect_answered(&world.pbx);
    let booked = world.newest(0);
    assert_eq!((booked.row.target.as_str(), booked.row.reason.as_str()), ("acme-support", "plugin"));
    assert_eq!(queue.answered(), 1);
    assert_eq!(booked.traces.len(), 2, "{:#?}", booked.traces);
    assert_eq!(booked.traces[0].decision.action.as_str(), "script");
    // A shipped one: told, and goodbye.
    let call = Call::to(SCRIPTED).from(OTHER).digits("4711#", 1_500).stay(30_000).start(&world.pbx);
    wait::until("the goodbye", || world.pbx.log().contains("Playing 'vm-goodbye").then_some(()));
    let ended = &call.finish()[0];
    assert!(ended.answered_after.is_some());
    let booked = world.newest(1);
    assert_eq!((booked.row.action.as_str(), booked.row.reason.as_str()), ("hangup", "plugin"));
    // One who leaves in the middle.
    Call::to(SCRIPTED).from(OTHER).stay(1_000).expect_answered(&world.pbx);
    let booked = world.newest(2);
    assert_eq!(booked.traces.len(), 2);
    let reply = booked.traces[1].inputs.plugin.as_ref().unwrap();
    assert_eq!(reply.outcome.as_str(), "pass", "{reply:?}");
}

fn a_missed_call_makes_one_ticket(database: Database) {
    let world = world(database);
    let _rings = Phone::start(&world.pbx, "acme-101", Behaviour::NeverAnswers);
    let missed = |caller| {
        let call = Call::to("+15550001001").from(caller).patience(1_500).run(&world.pbx);
        assert!(call.answered_after.is_none());
    };
    missed(OTHER);
    let admin = admin(&world);
    let tickets = admin.wait_list("/tickets", 1);
    assert_eq!(tickets[0]["channel"], "plugin", "{tickets:#?}");
    let runs = format!("/plugins/{}/runs", id_of(&admin, "missed-call-ticket"));
    admin.wait_list(&runs, 1);
    missed(VIP);
    admin.wait_list("/tickets", 2);
    let created: Vec<Value> = admin
        .list("/events?types=ticket.created")
        .into_iter()
        .filter(|e| e["type"] == "ticket.created")
        .collect();
    assert_eq!(created.len(), 2, "{created:#?}");
}

fn a_broken_version_is_rolled_back_without_a_lost_call(database: Database) {
    let world = world(database);
    let endpoint = Phone::start(&world.pbx, "acme-101", ANSWERS);
    let queue = Phone::start(&world.pbx, "acme-102", ANSWERS);
    let admin = admin(&world);
    let plugin = id_of(&admin, "vip-router");
    let call = || {
        Call::to(ROUTED).from(VIP).stay(300).expect_answered(&world.pbx);
    };
    call();
    admin.wait_list(&format!("/plugins/{plugin}/runs"), 1);
    let broken = "export function routeCall(call) { return call.nobody.number; }";
    let made = admin.upload(&format!("/plugins/{plugin}/versions"), "text/javascript", broken);
    assert_eq!(made["number"], 2, "{made}");
    admin.ask("POST", &format!("/plugins/{plugin}/versions/2/activate"), &json!({}), 200);
    // Each of them gets through, to the number's fallback.
    for _ in 0..5 {
        call();
    }
    assert_eq!((endpoint.answered(), queue.answered()), (1, 5));
    let shown = wait::until("the roll-back", || {
        let shown = admin.get(&format!("/plugins/{plugin}"));
        (shown["active_version"] == 1).then_some(shown)
    });
    assert_eq!(shown["status"], "active", "{shown}");
    wait::until("calls to take the version before", || {
        call();
        (endpoint.answered() > 1).then_some(())
    });
    let events = admin.list("/events?types=plugin.*");
    let count = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    assert_eq!((count("plugin.parked"), count("plugin.failed")), (1, 1), "{events:#?}");
    // Not one call of all was lost.
    let calls = world.books();
    assert!(calls.iter().all(|booked| booked.row.action == "queue" || booked.row.action == "endpoint"));
}
