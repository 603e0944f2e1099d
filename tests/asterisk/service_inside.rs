//! What phones dial with the real service: inside, outside, feature codes, and never into another tenant. Also what a
//! caller writes into SIP.

use crate::service_rest::Person;
use crate::support::call::Call;
use crate::support::phone::Phone;
use crate::support::scenario::Behaviour;
use crate::support::service::{Database, ServiceOptions};
use crate::support::world::World;
use serde_json::json;

const ANSWERS: Behaviour = Behaviour::Answers { after_ms: 100, hangs_up_after_ms: None };

on_both! {
    phones_dial,
    phones_are_refused,
    a_busy_number_outside_is_busy,
    help_is_called_by_a_suspended_tenant,
    calls_out_have_a_pace,
    tenants_are_apart,
    a_hostile_caller_is_filtered,
    a_forged_environment_is_dropped,
}

fn world(database: Database) -> World {
    World::start(&ServiceOptions::new(database))
}

fn phones_dial(database: Database) {
    let world = world(database);
    let names = ["acme-101", "acme-102", "carrier"];
    let phones = names.map(|name| Phone::start(&world.pbx, name, ANSWERS));
    for (known, (from, to, reached, direction, decision)) in [
        ("acme-102", "101", Some("acme-101"), "internal", ("endpoint", "acme-101", "extension")),
        ("acme-101", "600", Some("acme-102"), "internal", ("queue", "acme-support", "extension")),
        ("acme-101", "*97", None, "internal", ("voicemail", "101@acme", "voicemail-check")),
        ("acme-102", "+15559990000", Some("carrier"), "outbound", ("external", "+15559990000", "outbound")),
        ("acme-102", "0015559990000", Some("carrier"), "outbound", ("external", "+15559990000", "outbound")),
    ]
    .into_iter()
    .enumerate()
    {
        let before: Vec<usize> = phones.iter().map(Phone::answered).collect();
        let call = Call::to(to).by_phone(from).stay(1_500).expect_answered(&world.pbx);
        assert!(!call.hung_up_by_pbx, "{to}: {call:?}");
        let expected: Vec<usize> =
            names.iter().zip(&before).map(|(name, n)| n + usize::from(Some(*name) == reached)).collect();
        assert_eq!(phones.iter().map(Phone::answered).collect::<Vec<_>>(), expected, "{to}");
        let booked = world.newest(known);
        let row = &booked.row;
        assert_eq!((row.action.as_str(), row.target.as_str(), row.reason.as_str()), decision);
        assert_eq!(
            (row.direction.as_str(), row.tenant_id.as_str(), row.did.as_str()),
            (direction, "acme", to)
        );
        assert_eq!(booked.traces[0].inputs.from_endpoint, from);
    }
    // Who it is has been proved by SIP: no PIN is asked for.
    assert!(
        world.pbx.log().contains("Playing 'vm-youhave") && !world.pbx.log().contains("Playing 'vm-password")
    );
}

fn phones_are_refused(database: Database) {
    let world = world(database);
    let carrier = Phone::start(&world.pbx, "carrier", ANSWERS);
    for (known, (from, to, status, reason)) in [
        ("acme-102", "+442079460000", 403, "outbound-denied"),
        ("globex-101", "+15559990000", 403, "outbound-denied"),
        ("acme-102", "*97", 404, "unknown-extension"),
        ("acme-102", "777", 404, "unknown-extension"),
    ]
    .into_iter()
    .enumerate()
    {
        Call::to(to).by_phone(from).expect_refused(&world.pbx, status);
        let booked = world.newest(known);
        assert_eq!((booked.row.action.as_str(), booked.row.reason.as_str()), ("hangup", reason));
    }
    assert_eq!(carrier.rang(), 0);
}

fn a_busy_number_outside_is_busy(database: Database) {
    let world = world(database);
    let _carrier = Phone::start(&world.pbx, "carrier", Behaviour::Rejects(486));
    Call::to("+15559990000").by_phone("acme-102").expect_refused(&world.pbx, 486);
    let booked = world.newest(0);
    assert_eq!((booked.row.tenant_id.as_str(), booked.row.reason.as_str()), ("acme", "no-destination"));
    assert_eq!(booked.traces[1].inputs.ended, "external BUSY");
}

fn help_is_called_by_a_suspended_tenant(database: Database) {
    let options = ServiceOptions::new(database)
        .change("UPDATE tenants SET status = 'suspended', max_concurrent_calls = 1 WHERE id = 'acme'")
        .change("DELETE FROM outbound_rules");
    let world = World::start(&options);
    let carrier = Phone::start(&world.pbx, "carrier", ANSWERS);
    Call::to("+15559990000").by_phone("acme-102").expect_refused(&world.pbx, 403);
    assert_eq!(carrier.rang(), 0);
    Call::to("112").by_phone("acme-102").stay(500).expect_answered(&world.pbx);
    assert_eq!(carrier.answered(), 1);
    let booked = world.newest(1);
    let row = &booked.row;
    assert_eq!(
        (row.action.as_str(), row.target.as_str(), row.reason.as_str()),
        ("external", "112", "emergency")
    );
    assert_eq!((row.tenant_id.as_str(), row.direction.as_str()), ("acme", "outbound"));
    let root = Person::sign_in(&world.service, "root@hookswitch.test", "hookswitch-demo-1").switch("acme");
    let told = root.list("/events?types=call.emergency");
    assert_eq!(
        (told.len(), &told[0]["data"]["target"], &told[0]["data"]["call_id"]),
        (1, &json!("112"), &json!(row.id))
    );
}

fn calls_out_have_a_pace(database: Database) {
    let world =
        World::start(&ServiceOptions::new(database).change("UPDATE tenants SET max_outbound_rate = 1"));
    let carrier = Phone::start(&world.pbx, "carrier", ANSWERS);
    let calls = Call::to("+15559990000").by_phone("acme-102").stay(2_000).times(3, 50).run_all(&world.pbx);
    let refused = calls.iter().filter(|call| call.refused == Some(503)).count();
    assert_eq!((refused, carrier.answered()), (2, 1), "{calls:?}");
    let reasons: Vec<String> = world.books().into_iter().map(|booked| booked.row.reason).collect();
    assert_eq!(reasons.iter().filter(|why| *why == "rate-limit").count(), 2, "{reasons:?}");
    // A second later the next one goes.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    Call::to("+15559990000").by_phone("acme-102").stay(500).expect_answered(&world.pbx);
    assert_eq!(carrier.answered(), 2);
}

fn tenants_are_apart(database: Database) {
    let world = world(database);
    let acme = ["acme-101", "acme-102"].map(|name| Phone::start(&world.pbx, name, ANSWERS));
    let own = Phone::start(&world.pbx, "globex-101", ANSWERS);
    let agent = Phone::start(&world.pbx, "globex-102", ANSWERS);
    // The same extension and the same queue mean each tenant's own.
    Call::to("101").by_phone("globex-102").expect_answered(&world.pbx);
    assert_eq!(own.answered(), 1);
    Call::to("600").by_phone("globex-101").expect_answered(&world.pbx);
    assert_eq!(agent.answered(), 1);
    // No spelling reaches the other's; what is left of this one is an extension of the caller's own tenant.
    Call::to("101%40acme").by_phone("globex-102").expect_answered(&world.pbx);
    assert_eq!(own.answered(), 2);
    for to in ["acme-101", "acme-support"] {
        Call::to(to).by_phone("globex-101").expect_refused(&world.pbx, 404);
    }
    let rows = world.books();
    assert!(rows.iter().all(|b| b.row.tenant_id == "globex" && !b.row.target.contains("acme")), "{rows:#?}");
    assert!(acme.iter().all(|phone| phone.rang() == 0));
}

fn a_hostile_caller_is_filtered(database: Database) {
    let world = world(database);
    let forging = "%0Aagi_callerid%3A%20+15557770001%0A%0AHACK";
    let name = "Ann %0Aagi_extension: +15550001000";
    let call = Call::to(&format!("+15550001009{}", forging.replace("+15557770001", "")));
    call.from(&format!("+15558880000{forging}")).name(name).expect_refused(&world.pbx, 404);
    let booked = world.newest(0);
    let row = &booked.row;
    assert_eq!((row.did.as_str(), row.reason.as_str()), ("+15550001009", "inactive-did"));
    assert_eq!(row.caller_number, "+15558880000agi_callerid+15557770001HACK");
    assert_eq!(world.service.metric(&["hookswitch_agi_environment_forged"]), 0.0);
}

fn a_forged_environment_is_dropped(database: Database) {
    // A dialplan of the operator's own, without the guard.
    let unguarded = "
[hookswitch-inbound]
exten => _8!,1,AGI(agi://${HS_AGI}/route?did=+15550001001)
 same => n,GotoIf($[${LEN(${HS_ACTION})} > 0]?decided)
 same => n,MSet(HS_DID=unguarded,HS_REASON=forged)
 same => n,Goto(hookswitch-fallback,s,1)
 same => n(decided),Hangup(21)
";
    let world = World::with_dialplan(&ServiceOptions::new(database), unguarded);
    Call::to("85550100").from("555%0Aagi_injected%3A%20yes%0A%0AHACK").stay(200).expect_answered(&world.pbx);
    assert!(world.pbx.log().contains("Hookswitch did not decide the call to unguarded: forged"));
    assert_eq!(world.service.metric(&["hookswitch_agi_environment_forged"]), 1.0);
    assert!(world.service.calls().is_empty());
    // The same line without the forgery is answered: it was the forgery that was refused.
    Call::to("85550100").from("5550100").expect_refused(&world.pbx, 403);
    assert_eq!(world.service.metric(&["hookswitch_agi_environment_forged"]), 1.0);
}
