//! Every demo number with the real service: it ends where it should, and the books agree.

use crate::support::asterisk::Pbx;
use crate::support::call::Call;
use crate::support::phone::Phone;
use crate::support::scenario::Behaviour;
use crate::support::service::{Database, ServiceOptions};
use crate::support::wait;
use crate::support::webhook::{Answer, Webhook};
use crate::support::world::{Booked, World};
use hookswitch::base::ids::TenantId;
use hookswitch::tenants::{self, TenantStatus};

const ANSWERS: Behaviour = Behaviour::Answers { after_ms: 100, hangs_up_after_ms: None };

on_both! {
    people_are_reached,
    a_caller_who_is_known_has_a_name,
    numbers_that_are_refused,
    voicemail_is_left,
    the_webhook_decides,
    a_slow_webhook_gets_its_time,
    a_bad_webhook_leads_to_the_fallback,
    overflow,
    a_tenant_has_a_limit,
    a_suspended_tenant_has_no_calls,
}

fn world(database: Database) -> World {
    World::start(&ServiceOptions::new(database))
}

fn decided(booked: &Booked) -> (&str, &str, &str) {
    let row = &booked.row;
    (row.action.as_str(), row.target.as_str(), row.reason.as_str())
}

fn messages(pbx: &Pbx) -> Vec<u64> {
    let folder = pbx.path("spool/voicemail/acme/101/INBOX");
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sounds = files.filter(|file| file.path().extension().is_some_and(|e| e == "wav"));
    sounds.map(|file| file.metadata().unwrap().len()).collect()
}

fn people_are_reached(database: Database) {
    let world = world(database);
    let names = ["acme-101", "acme-102", "globex-101", "globex-102", "carrier"];
    let phones = names.map(|name| Phone::start(&world.pbx, name, ANSWERS));
    for (known, (number, phone, decision)) in [
        ("+15550001000", "acme-102", ("queue", "acme-support", "static")),
        ("+15550001001", "acme-101", ("endpoint", "acme-101", "static")),
        ("+15550001004", "carrier", ("external", "+15559990000", "static")),
        ("+15550001006", "acme-102", ("queue", "acme-support", "plugin-failed")),
        ("+15550001007", "acme-102", ("queue", "acme-support", "plugin-failed")),
        ("+15550002000", "globex-102", ("queue", "globex-support", "static")),
    ]
    .into_iter()
    .enumerate()
    {
        let before: Vec<usize> = phones.iter().map(Phone::rang).collect();
        let call = Call::to(number).from("+15557770001").stay(20_000).start(&world.pbx);
        let expected: Vec<usize> =
            names.iter().zip(&before).map(|(name, rang)| rang + usize::from(*name == phone)).collect();
        let answering = names.iter().position(|name| *name == phone).unwrap();
        phones[answering].wait_answered(before[answering]);
        wait::until("the call to be bridged", || {
            world.pbx.cli("bridge show all").contains("basic").then_some(())
        });
        world.pbx.hang_up_all();
        assert!(call.finish()[0].answered_after.is_some());
        assert_eq!(phones.iter().map(Phone::rang).collect::<Vec<_>>(), expected, "{number}");

        let booked = world.newest(known);
        assert_eq!(decided(&booked), decision);
        assert_eq!((booked.row.did.as_str(), booked.row.caller_number.as_str()), (number, "+15557770001"));
        assert_eq!(booked.traces.len(), 1);
        assert!(booked.row.answered_by.starts_with(&format!("PJSIP/{phone}-")), "{booked:?}");
        assert!(booked.row.answered_at.is_some() && booked.row.billed_ms.is_some(), "{booked:?}");
        assert_eq!((booked.row.ended_by.as_str(), booked.row.fallback.as_str()), ("hook", ""));
    }
    assert!(world.pbx.kept_reports().is_empty());
}

fn a_caller_who_is_known_has_a_name(database: Database) {
    let world = world(database);
    let phone = Phone::start(&world.pbx, "acme-101", ANSWERS);
    let from = |known: usize| {
        Call::to("+15550001001").from("+15557770005").name("Carrier").expect_answered(&world.pbx);
        world.newest(known);
        phone.invites().pop().unwrap()
    };
    assert!(from(0).contains("Carrier"), "{:?}", phone.invites());
    // The first call has been told that nobody has this number: only an API of the same process would say more.
    world.service.sql(
        "INSERT INTO contacts (id, tenant_id, first_name, last_name, phone, notes, metadata, created_at, updated_at) VALUES \
         ('01arz3ndektsv4rrffq69g5fav', 'acme', 'Ada', 'Lovelace, ${EXTEN}', '+15557770002', '', '{}', 1, 1)",
    );
    Call::to("+15550001001").from("+15557770002").name("Carrier").expect_answered(&world.pbx);
    let booked = world.newest(1);
    let invite = phone.invites().pop().unwrap();
    assert!(invite.contains("\"Ada Lovelace EXTEN\"") && invite.contains("+15557770002"), "{invite}");
    assert_eq!(booked.traces[0].inputs.contact, "Ada Lovelace EXTEN");
    assert_eq!(world.pbx.complaints(), [""; 0]);
}

fn numbers_that_are_refused(database: Database) {
    let world = world(database);
    for (known, (number, caller, status, tenant, reason, cause)) in [
        ("+15550001009", "+15557770009", 404, "acme", "inactive-did", 1),
        ("+15550009999", "+15557770009", 404, "", "unknown-did", 1),
        ("12", "+15557770009", 404, "", "malformed-did", 1),
        ("+15550001000", "+15558880000", 403, "acme", "blocked", 21),
        ("+15550001005", "0015558880000", 403, "acme", "blocked", 21),
    ]
    .into_iter()
    .enumerate()
    {
        Call::to(number).from(caller).expect_refused(&world.pbx, status);
        let booked = world.newest(known);
        assert_eq!(decided(&booked), ("hangup", cause.to_string().as_str(), reason));
        assert_eq!((booked.row.tenant_id.as_str(), booked.row.cause), (tenant, Some(cause)));
        assert_eq!((booked.row.answered_at, booked.row.answered_by.as_str()), (None, ""));
    }
}

fn voicemail_is_left(database: Database) {
    let world = world(database);
    for (known, (number, reason)) in
        [("+15550001005", "static"), ("+15550001008", "closed")].into_iter().enumerate()
    {
        // Until after the greeting, the instructions and the tone.
        let call = Call::to(number).digits("#", 1_000).stay(2_500).expect_answered(&world.pbx);
        assert!(!call.hung_up_by_pbx);
        let booked = world.newest(known);
        assert_eq!(decided(&booked), ("voicemail", "101@acme", reason));
        assert_eq!((booked.row.voicemail_status.as_str(), booked.row.answered_by.as_str()), ("SUCCESS", ""));
        let left = messages(&world.pbx);
        assert_eq!(left.len(), known + 1, "{left:?}");
        assert!(left.iter().all(|bytes| *bytes > 16_000), "{left:?}");
    }
}

fn the_webhook_decides(database: Database) {
    let webhook = Webhook::start(Answer::Json(r#"{"action":"endpoint","target":"101","timeout_s":9}"#));
    let options = ServiceOptions { webhook_url: webhook.url(), ..ServiceOptions::new(database) };
    let world = World::start(&options);
    let phone = Phone::start(&world.pbx, "acme-101", ANSWERS);
    Call::to("+15550001003").from("+15557770001").name("Ann Example").expect_answered(&world.pbx);
    assert_eq!(phone.answered(), 1);
    let booked = world.newest(0);
    assert_eq!(decided(&booked), ("endpoint", "acme-101", "webhook"));
    let asked = webhook.asked();
    assert_eq!(asked.len(), 1);
    for (key, value) in [
        ("call_id", booked.row.id.as_str()),
        ("tenant_id", "acme"),
        ("did", "+15550001003"),
        ("linkedid", &booked.row.linkedid),
    ] {
        assert_eq!(asked[0][key], value, "{asked:?}");
    }
    assert_eq!(asked[0]["caller"]["number"], "+15557770001");
    assert_eq!(asked[0]["caller"]["name"], "Ann Example");

    // Another tenant's things are out of reach, whatever the webhook says.
    webhook.answer(Answer::Json(r#"{"action":"endpoint","target":"globex-101"}"#));
    let foreign = Phone::start(&world.pbx, "globex-101", ANSWERS);
    Call::to("+15550001003").expect_answered(&world.pbx);
    assert_eq!(foreign.rang(), 0);
    assert_eq!(decided(&world.newest(1)), ("voicemail", "101@acme", "webhook-failed"));
}

/// A tenant may give its webhook up to 10 s: longer than the dialplan waits for a usual decision.
fn a_slow_webhook_gets_its_time(database: Database) {
    let webhook = Webhook::start(Answer::After(3_500, r#"{"action":"hangup","target":"17"}"#));
    let options = ServiceOptions { webhook_url: webhook.url(), ..ServiceOptions::new(database) }
        .change("UPDATE dids SET webhook_timeout_ms = 5000 WHERE number = '+15550001003'");
    let world = World::start(&options);
    Call::to("+15550001003").expect_refused(&world.pbx, 486);
    assert_eq!(decided(&world.newest(0)), ("hangup", "17", "webhook"));
}

fn a_bad_webhook_leads_to_the_fallback(database: Database) {
    let webhook = Webhook::start(Answer::Silence);
    let options = ServiceOptions { webhook_url: webhook.url(), ..ServiceOptions::new(database) };
    let world = World::start(&options);
    let mut known = 0;
    let mut fails = |code: &str| {
        let call = Call::to("+15550001003").expect_answered(&world.pbx);
        assert!(call.answered_after.unwrap().as_millis() < 3_000, "{call:?}");
        let booked = world.newest(known);
        known += 1;
        assert_eq!(decided(&booked), ("voicemail", "101@acme", "webhook-failed"), "{code}");
        let seen = |outcome: &str| {
            booked.traces[0].steps.iter().any(|s| s.check == "webhook" && s.outcome == outcome)
        };
        assert!(seen(code), "{code}: {:#?}", booked.traces);
    };
    fails("webhook-timeout");
    webhook.answer(Answer::Redirect);
    fails("webhook-redirect");
    webhook.answer(Answer::Huge);
    fails("webhook-too-large");
    webhook.answer(Answer::Json("not JSON"));
    fails("webhook-bad-answer");
    assert_eq!(webhook.asked().len(), 4);
    drop(webhook);
    fails("webhook-connect");
}

fn overflow(database: Database) {
    let options =
        ServiceOptions::new(database).change("UPDATE queues SET max_wait_s = 2 WHERE tenant_id = 'acme'");
    let world = World::start(&options);
    let busy = Phone::start(&world.pbx, "acme-101", Behaviour::Rejects(486));
    let absent = Phone::start(&world.pbx, "acme-102", Behaviour::NeverAnswers);
    Call::to("+15550001000").digits("#", 4_000).stay(2_500).expect_answered(&world.pbx);
    let booked = world.newest(0);
    assert_eq!(absent.rang(), 1);
    assert_eq!(decided(&booked), ("voicemail", "101@acme", "overflow"));
    assert_eq!(booked.traces.len(), 2);
    assert_eq!(booked.traces[1].inputs.ended, "queue TIMEOUT");
    assert_eq!(messages(&world.pbx).len(), 1);
    drop(absent);

    let agent = Phone::start(&world.pbx, "acme-102", ANSWERS);
    Call::to("+15550001001").stay(2_000).expect_answered(&world.pbx);
    let booked = world.newest(1);
    assert_eq!((busy.rang(), agent.answered()), (1, 1));
    assert_eq!(decided(&booked), ("queue", "acme-support", "overflow"));
    assert_eq!(booked.traces[1].inputs.ended, "endpoint BUSY");
    assert!(booked.row.answered_by.starts_with("PJSIP/acme-102-"));
}

fn a_tenant_has_a_limit(database: Database) {
    let options =
        ServiceOptions::new(database).change("UPDATE tenants SET max_concurrent_calls = 1 WHERE id = 'acme'");
    let world = World::start(&options);
    let phone = Phone::start(&world.pbx, "acme-101", ANSWERS);
    let first = Call::to("+15550001001").stay(20_000).start(&world.pbx);
    phone.wait_answered(0);
    Call::to("+15550001000").expect_refused(&world.pbx, 486);
    // The other tenant has none.
    let other = Phone::start(&world.pbx, "globex-102", ANSWERS);
    Call::to("+15550002000").expect_answered(&world.pbx);
    assert_eq!(other.answered(), 1);
    world.pbx.hang_up_all();
    first.finish();
    let booked = world.books();
    assert_eq!(booked.len(), 3);
    assert_eq!(decided(&booked[1]), ("hangup", "17", "tenant-limit"));
    assert_eq!(booked[1].traces[0].inputs.tenant_calls, 1);
    // An ended call counts no more.
    Call::to("+15550001001").expect_answered(&world.pbx);
    assert_eq!(phone.answered(), 2);
}

fn a_suspended_tenant_has_no_calls(database: Database) {
    let world = world(database);
    let phone = Phone::start(&world.pbx, "acme-101", ANSWERS);
    Call::to("+15550001001").stay(200).expect_answered(&world.pbx);
    let set = |status: TenantStatus| {
        world.service.on_db(async |db| {
            let mut tx = db.begin().await.unwrap();
            let acme = TenantId::parse("acme").unwrap();
            assert!(tenants::store::set_status(&mut tx, &acme, status, 1).await.unwrap());
            tx.commit().await.unwrap();
        });
    };
    set(TenantStatus::Suspended);
    let refused = || Call::to("+15550001001").stay(200).run(&world.pbx).refused;
    wait::until("the service to notice", || (refused() == Some(403)).then_some(()));
    let booked = world.books();
    assert_eq!(decided(booked.last().unwrap()), ("hangup", "21", "suspended-tenant"));
    set(TenantStatus::Active);
    wait::until("the service to notice", || refused().is_none().then_some(()));
    assert!(phone.answered() >= 2);
    world.books();
}
