//! The demo's menu with the real service: keys, silence, wrong keys, a caller who leaves.

use crate::support::call::Call;
use crate::support::phone::Phone;
use crate::support::scenario::Behaviour;
use crate::support::service::{Database, ServiceOptions};
use crate::support::wait;
use crate::support::world::World;

const ANSWERS: Behaviour = Behaviour::Answers { after_ms: 100, hangs_up_after_ms: None };

on_both! {
    keys_lead_on,
    silence_and_wrong_keys,
    a_caller_who_leaves_in_the_prompt,
}

fn keys_lead_on(database: Database) {
    let world = World::start(&ServiceOptions::new(database));
    let queue = Phone::start(&world.pbx, "acme-102", ANSWERS);
    let endpoint = Phone::start(&world.pbx, "acme-101", ANSWERS);
    for (known, (key, action, target)) in
        [("1", "queue", "acme-support"), ("2", "endpoint", "acme-101"), ("9", "voicemail", "101@acme")]
            .into_iter()
            .enumerate()
    {
        Call::to("+15550001002").digits(key, 700).stay(2_000).expect_answered(&world.pbx);
        let booked = world.newest(known);
        let row = &booked.row;
        assert_eq!((row.action.as_str(), row.target.as_str(), row.reason.as_str()), (action, target, "ivr"));
        assert_eq!(booked.traces.len(), 2);
        assert_eq!(booked.traces[0].decision.target, "main");
        assert_eq!(booked.traces[1].inputs.digits, key);
        assert!(row.answered_at.is_some());
    }
    assert_eq!((queue.answered(), endpoint.answered()), (1, 1));
}

fn silence_and_wrong_keys(database: Database) {
    let options = ServiceOptions::new(database)
        .change("UPDATE ivr_menus SET first_digit_ms = 1200, max_tries = 2 WHERE name = 'main'");
    let world = World::start(&options);
    // No key at all: the tenant's fallback.
    let silent = Call::to("+15550001002").stay(20_000).start(&world.pbx);
    let heard = |what: &str, times: usize| (world.pbx.log().matches(what).count() >= times).then_some(());
    wait::until("the mailbox's greeting", || heard("Playing 'vm-intro", 1));
    world.pbx.hang_up_all();
    silent.finish();
    let booked = world.newest(0);
    let row = &booked.row;
    assert_eq!((row.action.as_str(), row.target.as_str()), ("voicemail", "101@acme"));
    assert_eq!((row.reason.as_str(), booked.traces[1].inputs.digits.as_str()), ("ivr-no-input", "----"));

    // A wrong key, then a right one.
    let phone = Phone::start(&world.pbx, "acme-101", ANSWERS);
    let call = Call::to("+15550001002").digits("7", 500).stay(20_000).start(&world.pbx);
    wait::until("the menu to complain", || heard("Playing 'pbx-invalid", 1));
    world.pbx.hang_up_all();
    call.finish();
    let booked = world.newest(1);
    assert_eq!(booked.row.reason, "caller-gone");
    let steps = &booked.traces[1].steps;
    assert!(steps.iter().any(|step| step.check == "ivr" && step.outcome == "invalid"), "{steps:?}");
    Call::to("+15550001002").digits("7", 500).digits("2", 6_000).stay(1_000).expect_answered(&world.pbx);
    assert_eq!(phone.answered(), 1);
    let booked = world.newest(2);
    assert_eq!((booked.row.action.as_str(), booked.row.reason.as_str()), ("endpoint", "ivr"));
}

fn a_caller_who_leaves_in_the_prompt(database: Database) {
    let world = World::start(&ServiceOptions::new(database));
    let call = Call::to("+15550001002").stay(700).expect_answered(&world.pbx);
    assert!(!call.hung_up_by_pbx);
    let booked = world.newest(0);
    assert_eq!((booked.row.action.as_str(), booked.row.reason.as_str()), ("hangup", "caller-gone"));
    assert_eq!(booked.traces[1].inputs.digits, "!");
    wait::until("the connection to be closed", || {
        (world.service.metric(&["hookswitch_agi_open"]) == 0.0).then_some(())
    });
    assert_eq!(world.service.metric(&["hookswitch_live_calls"]), 0.0);
    assert!(world.pbx.kept_reports().is_empty());
}
