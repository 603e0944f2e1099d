//! The order of checks and every way through it, over a database; that every path ends; that tenants never see each
//! other's targets.

use std::sync::Arc;

use hookswitch::routing::Mode;
use hookswitch::routing::types::{Action, Hook, Inputs, RawDestination, WebhookReply};
use hookswitch::tenants::TenantStatus;
use proptest::prelude::*;

use crate::support::{both_databases, monday, tenant};
use crate::world::{CALLER, DID, Did, World, brief, plain_tenant, sound, steps, to};

const NEVER: &str = r#"{"zone":"UTC","weekly":[],"holidays":[]}"#;
const OFFICE: &str = r#"{"zone":"UTC","weekly":[{"day":"mon","from":"09:00","to":"17:00"}],
    "holidays":[{"name":"Founding day","date":"2026-11-30"},
                {"name":"Inventory","date":"2026-12-07","hours":[{"from":"10:00","to":"12:00"}]}]}"#;

/// What every usual call passes before its destination.
const PASSED: [&str; 7] = [
    "did=known",
    "did=active",
    "tenant=active",
    "limits=pass",
    "block-list=pass",
    "allow-list=pass",
    "hours=always-open",
];

fn reply(json: &str) -> Option<WebhookReply> {
    Some(WebhookReply::Answer(serde_json::from_str(json).unwrap()))
}

both_databases! {
    async fn numbers_that_are_nobodys(t) {
        let mut world = World::acme(&t, None).await;
        for (dialled, expected, step) in [
            ("+15550009999", "hangup 1 unknown-did", "did=unknown"),
            ("15550009999", "hangup 1 unknown-did", "did=unknown"),
            ("s", "hangup 1 malformed-did", "did=malformed"),
            ("", "hangup 1 malformed-did", "did=malformed"),
            ("+1555'; DROP TABLE dids --", "hangup 1 malformed-did", "did=malformed"),
        ] {
            let trace = world.route(dialled).await;
            assert_eq!((brief(&trace).as_str(), steps(&trace)), (expected, vec![step.to_owned()]), "{dialled:?}");
            assert!(trace.decision.tenant.is_none() && trace.decision.state.is_empty());
        }
        let operators = |text: &str| hookswitch::routing::types::Destination::check(&to(text)).unwrap();
        for (given, expected) in [
            ("playback:custom/nobody", "playback custom/nobody unknown-did"),
            ("external:+15559990000", "external +15559990000 unknown-did"),
            ("hangup:34", "hangup 34 unknown-did"),
            ("queue:support", "hangup 1 unknown-did"),
        ] {
            world.router.unknown = Some(operators(given));
            assert_eq!(brief(&world.route("+15550009999").await), expected);
        }
    }

    /// Each check in its turn: what comes first wins, although everything after it would refuse the call too.
    async fn checks_come_in_the_promised_order(t) {
        let did = Did { status: "inactive", max_calls: 1, schedule: "never", ..Did::default() };
        let world = World::acme(&t, Some(did)).await;
        world.schedule("acme", "never", NEVER).await;
        world.listed("acme", "block", CALLER, 0).await;
        world.status("acme", TenantStatus::Suspended).await;
        world.change("acme", "UPDATE tenants SET max_concurrent_calls = 1").await;
        let full = Inputs { tenant_calls: 1, did_calls: 1, ..world.inputs(DID) };
        let mut seen = vec!["did=known".to_owned()];
        for (mend, expected, last, passed) in [
            ("", "hangup 1 inactive-did", "did=inactive", "did=active"),
            ("UPDATE dids SET status = 'active'", "hangup 21 suspended-tenant", "tenant=suspended", "tenant=active"),
            ("UPDATE tenants SET status = 'active' WHERE id = 'acme'", "hangup 17 tenant-limit", "limits=tenant-limit", ""),
            ("UPDATE tenants SET max_concurrent_calls = 2", "hangup 17 did-limit", "limits=did-limit", "limits=pass"),
            ("UPDATE dids SET max_concurrent_calls = 0", "hangup 21 blocked", "block-list=blocked", "block-list=pass"),
            ("DELETE FROM number_rules", "hangup 20 closed", "hours=closed", ""),
        ] {
            if !mend.is_empty() {
                world.change("acme", mend).await;
            }
            let trace = world.route_with(full.clone(), Mode::Replay).await;
            assert_eq!(brief(&trace), expected);
            let all = steps(&trace);
            assert_eq!(all[..seen.len()], seen[..], "{mend}");
            assert!(all[seen.len()..].contains(&last.to_owned()), "{all:?}");
            seen.extend(Some(passed.to_owned()).filter(|p| !p.is_empty()));
        }
        world.change("acme", "UPDATE dids SET schedule = ''").await;
        let trace = world.route_with(full, Mode::Replay).await;
        assert_eq!(steps(&trace)[..PASSED.len()], PASSED);
        assert_eq!(brief(&trace), "queue acme-support static");
    }

    async fn each_refusal_has_its_own_destination(t) {
        let did = Did {
            schedule: "office", max_calls: 1, record: true,
            further: vec![("inactive", "playback:inactive"), ("limit", "playback:busy"), ("closed", "voicemail:101"),
                ("holiday", "playback:holiday"), ("overflow", "endpoint:101"), ("fallback", "external:+15559990000")],
            ..Did::default()
        };
        let world = World::acme(&t, Some(did)).await;
        world.schedule("acme", "office", OFFICE).await;
        world.tenant_destination("acme", "blocked", "playback:blocked").await;
        let at = |text: &str| Inputs { at_us: text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp_micros(), ..world.inputs(DID) };
        for (inputs, expected) in [
            (at("2026-11-23T10:00:00Z"), "queue acme-support static"),
            (Inputs { did_calls: 1, ..at("2026-11-23T10:00:00Z") }, "playback busy did-limit"),
            (at("2026-11-23T08:59:59Z"), "voicemail 101@acme closed"),
            (at("2026-11-23T17:00:00Z"), "voicemail 101@acme closed"),
            (at("2026-11-30T10:00:00Z"), "playback holiday holiday"),
            (at("2026-12-07T10:00:00Z"), "queue acme-support static"),
            (at("2026-12-07T13:00:00Z"), "playback holiday holiday"),
        ] {
            assert_eq!(brief(&world.route_with(inputs.clone(), Mode::Replay).await), expected, "{inputs:?}");
        }
        // After a refusal nothing follows; after a closed destination only the fallback does.
        let busy = world.route_with(Inputs { did_calls: 1, ..at("2026-11-23T10:00:00Z") }, Mode::Replay).await;
        assert_eq!(brief(&world.next(&busy.decision.state).await), "hangup 41 no-destination");
        let closed = world.route_with(at("2026-11-23T08:00:00Z"), Mode::Replay).await;
        assert_eq!(brief(&world.next(&closed.decision.state).await), "external +15559990000 fallback");
        // Record only what can be recorded.
        assert!(world.route_with(at("2026-11-23T10:00:00Z"), Mode::Replay).await.decision.record && !closed.decision.record);
        world.listed("acme", "block", CALLER, 0).await;
        world.change("acme", "UPDATE dids SET language = 'de'").await;
        let blocked = world.route_with(at("2026-11-23T10:00:00Z"), Mode::Replay).await;
        assert_eq!(brief(&blocked), "playback blocked blocked");
        assert_eq!(blocked.decision.language, "de");
        world.change("acme", "DELETE FROM destinations WHERE role = 'holiday'").await;
        world.change("acme", "DELETE FROM number_rules").await;
        assert_eq!(brief(&world.route_with(at("2026-11-30T10:00:00Z"), Mode::Replay).await), "voicemail 101@acme holiday");
        world.change("acme", "UPDATE dids SET status = 'inactive'").await;
        assert_eq!(brief(&world.route(DID).await), "playback inactive inactive-did");
    }

    async fn a_closed_number_without_a_closed_destination_takes_the_fallbacks(t) {
        let world = World::acme(&t, Some(Did { schedule: "never", further: vec![("overflow", "endpoint:101")], ..Did::default() })).await;
        world.schedule("acme", "never", NEVER).await;
        assert_eq!(brief(&world.route(DID).await), "hangup 20 closed");
        world.tenant_destination("acme", "fallback", "voicemail:101").await;
        world.router.memory.refresh().await.unwrap();
        assert_eq!(brief(&world.route(DID).await), "voicemail 101@acme closed");
        world.change("acme", "UPDATE dids SET schedule = 'gone'").await;
        let trace = world.route(DID).await;
        assert_eq!(brief(&trace), "voicemail 101@acme closed");
        assert!(steps(&trace).contains(&"hours=schedule-missing".to_owned()));
    }

    async fn block_and_allow_lists(t) {
        let world = World::acme(&t, Some(Did { schedule: "never", ..Did::default() })).await;
        world.schedule("acme", "never", NEVER).await;
        let now = monday().timestamp_micros();
        for (kind, pattern, expires) in [
            ("block", "+15551110000", 0), ("block", "+49*", 0), ("block", "anonymous", 0), ("block", "+15552220000", now),
            ("block", "+15553330000", now + 1), ("allow", "+1555444*", 0), ("allow", "+15551110000", 0),
        ] {
            world.listed("acme", kind, pattern, expires).await;
        }
        for (caller, expected) in [
            ("+15551110000", "hangup 21 blocked"),
            ("15551110000", "hangup 21 blocked"),
            ("00493012345678", "hangup 21 blocked"),
            ("", "hangup 21 blocked"),
            ("anonymous", "hangup 21 blocked"),
            ("+15552220000", "hangup 20 closed"),
            ("+15553330000", "hangup 21 blocked"),
            ("+15554441234", "queue acme-support static"),
            ("+15555551234", "hangup 20 closed"),
        ] {
            let inputs = Inputs { caller: caller.into(), ..world.inputs(DID) };
            assert_eq!(brief(&world.route_with(inputs, Mode::Live).await), expected, "{caller:?}");
        }
    }

    async fn limits_count_living_calls(t) {
        let world = World::acme(&t, Some(Did { max_calls: 2, ..Did::default() })).await;
        world.change("acme", "UPDATE tenants SET max_concurrent_calls = 3").await;
        // A decision takes its place at once: two calls that come together can't both have the last one.
        assert_eq!(brief(&world.route(DID).await), "queue acme-support static");
        assert_eq!(brief(&world.route(DID).await), "queue acme-support static");
        let trace = world.route(DID).await;
        assert_eq!(brief(&trace), "hangup 17 did-limit");
        assert_eq!((trace.inputs.tenant_calls, trace.inputs.did_calls), (2, 2));
        // Whoever was refused takes no place, however long he listens to the busy announcement.
        assert_eq!(brief(&world.route(DID).await), "hangup 17 did-limit");
        assert_eq!(world.router.live.counts(&tenant("acme"), DID), (2, 2));
        // Decided again from its inputs, it is the same although the calls are gone.
        assert_eq!(world.router.live.expire(i64::MAX), 4);
        assert_eq!(brief(&world.route_with(trace.inputs.clone(), Mode::Replay).await), "hangup 17 did-limit");
        assert_eq!(brief(&world.route(DID).await), "queue acme-support static");
    }

    /// A transferred call comes in again under its id: it must not be refused because of itself.
    async fn a_call_that_comes_in_again_is_counted_once(t) {
        let world = World::acme(&t, Some(Did { max_calls: 1, ..Did::default() })).await;
        world.change("acme", "UPDATE tenants SET max_concurrent_calls = 1").await;
        let call = world.call();
        for _ in 0..2 {
            let trace = world.router.route(&call, world.inputs(DID), Mode::Live).await;
            assert_eq!(brief(&trace), "queue acme-support static");
        }
        let inputs = Inputs { from_endpoint: "acme-101".into(), ..world.inputs("101") };
        let inside = world.router.internal(&call.id, inputs.clone(), Mode::Live).await;
        assert_eq!(brief(&inside), "endpoint acme-101 extension");
        let other = world.router.internal(&world.ids.next(), inputs, Mode::Live).await;
        assert_eq!(brief(&other), "hangup 17 tenant-limit");
    }

    /// What the caller's side is told when nobody was reached: a busy line is busy.
    async fn the_last_status_becomes_the_cause(t) {
        let world = World::acme(&t, Some(Did { route: to("endpoint:101"), ..Did::default() })).await;
        world.outbound("acme", "+1", true).await;
        world.router.memory.refresh().await.unwrap();
        let inbound = world.route(DID).await.decision;
        let inputs = Inputs { from_endpoint: "acme-101".into(), ..world.inputs("+15559990000") };
        let outbound = world.router.internal(&world.ids.next(), inputs, Mode::Live).await.decision;
        for (ended, cause) in [("BUSY", 17), ("NOANSWER", 19), ("CHANUNAVAIL", 20), ("CONGESTION", 41), ("", 41)] {
            for (action, decision) in [("endpoint", &inbound), ("external", &outbound)] {
                let inputs = Inputs { ended: format!("{action} {ended}"), ..world.inputs("") };
                let trace = world.router.next(None, &decision.state, inputs).await;
                assert_eq!(brief(&trace), format!("hangup {cause} no-destination"));
                assert_eq!(trace.decision.tenant, Some(tenant("acme")));
            }
        }
    }

    async fn a_plugin_that_is_not_there_is_a_fallback(t) {
        let world = World::acme(&t, Some(Did { plugin: "vip-router", ..Did::default() })).await;
        assert_eq!(brief(&world.route(DID).await), "queue acme-support plugin-failed");
        world.did("acme", &Did { number: "+15550001001", plugin: "vip-router", further: vec![("fallback", "voicemail:101")], ..Did::default() }).await;
        world.router.memory.refresh().await.unwrap();
        let trace = world.route("+15550001001").await;
        assert_eq!(brief(&trace), "voicemail 101@acme plugin-failed");
        assert!(steps(&trace).contains(&"plugin=not-loadable".to_owned()));
    }

    async fn what_a_webhook_may_answer(t) {
        let did = Did { route: to("webhook"), webhook: "http://127.0.0.1:1/", further: vec![("fallback", "voicemail:101")], ..Did::default() };
        let world = World::acme(&t, Some(did)).await;
        world.menu("acme", "main", &[("1", "queue:support")], |_| {}).await;
        world.outbound("acme", "+1555", true).await;
        world.outbound("acme", "+1555000", false).await;
        world.tenant(&plain_tenant("globex")).await;
        world.queue("globex", "sales", "").await;
        world.router.memory.refresh().await.unwrap();
        for (answer, expected) in [
            (r#"{"action":"queue","target":"support","timeout_s":7,"options":"t"}"#, "queue acme-support webhook"),
            (r#"{"action":"endpoint","target":"101"}"#, "endpoint acme-101 webhook"),
            (r#"{"action":"ivr","target":"main"}"#, "ivr main webhook"),
            (r#"{"action":"voicemail","target":"101"}"#, "voicemail 101@acme webhook"),
            (r#"{"action":"playback","target":"custom/hello"}"#, "playback custom/hello webhook"),
            (r#"{"action":"hangup","target":"21"}"#, "hangup 21 webhook"),
            (r#"{"action":"external","target":"+15551234567"}"#, "external +15551234567 webhook"),
            (r#"{"action":"external","target":"+15550001234"}"#, "voicemail 101@acme webhook-failed"),
            (r#"{"action":"external","target":"+4930123456"}"#, "voicemail 101@acme webhook-failed"),
            (r#"{"action":"queue","target":"sales"}"#, "voicemail 101@acme webhook-failed"),
            (r#"{"action":"queue","target":"globex-sales"}"#, "voicemail 101@acme webhook-failed"),
            (r#"{"action":"voicemail","target":"101@globex"}"#, "voicemail 101@acme webhook-failed"),
            (r#"{"action":"queue","target":"SUPPORT"}"#, "voicemail 101@acme webhook-failed"),
            (r#"{"action":"queue","target":"support","options":"t,U(evil)"}"#, "voicemail 101@acme webhook-failed"),
            (r#"{"action":"shell","target":"rm"}"#, "voicemail 101@acme webhook-failed"),
            (r#"{"action":"hangup","target":"0"}"#, "voicemail 101@acme webhook-failed"),
        ] {
            let inputs = Inputs { webhook: reply(answer), ..world.inputs(DID) };
            let trace = world.route_with(inputs, Mode::Replay).await;
            assert_eq!(brief(&trace), expected, "{answer}");
            if answer.contains("timeout_s") {
                assert_eq!((trace.decision.timeout_s, trace.decision.options.as_str()), (7, "t"));
            }
        }
        for inputs in [Inputs { webhook: Some(WebhookReply::Failed("webhook-timeout".into())), ..world.inputs(DID) }, world.inputs(DID)] {
            let trace = world.route_with(inputs, Mode::Replay).await;
            assert_eq!(brief(&trace), "voicemail 101@acme webhook-failed");
        }
    }

    async fn a_living_webhook_is_asked_and_replayed(t) {
        let (url, bodies) = webhook(r#"{"action":"endpoint","target":"101","timeout":9}"#).await;
        let did = Did { route: to("webhook"), webhook: &url, further: vec![("overflow", "queue:support"), ("fallback", "voicemail:101")], ..Did::default() };
        let world = World::acme(&t, Some(did)).await;
        let live = world.route(DID).await;
        assert_eq!(brief(&live), "endpoint acme-101 webhook");
        assert_eq!(live.decision.timeout_s, 9);
        assert!(steps(&live).contains(&"webhook=answered".to_owned()));
        let body: serde_json::Value = serde_json::from_str(&bodies.lock().unwrap()[0]).unwrap();
        assert_eq!((&body["tenant_id"], &body["did"], &body["caller"]["number"]), (&"acme".into(), &DID.into(), &CALLER.into()));
        // The same inputs decide the same without asking, and the endpoint that does not answer overflows.
        let again = world.route_with(live.inputs.clone(), Mode::Replay).await;
        assert!(!hookswitch::routing::differs(&live.decision, &again.decision));
        assert_eq!(bodies.lock().unwrap().len(), 1);
        assert_eq!(brief(&world.next(&live.decision.state).await), "queue acme-support overflow");
        world.change("acme", "UPDATE dids SET webhook_url = 'http://127.0.0.1:1/'").await;
        let failed = world.route(DID).await;
        assert_eq!(brief(&failed), "voicemail 101@acme webhook-failed");
        assert!(steps(&failed).contains(&"webhook=webhook-connect".to_owned()), "{:?}", steps(&failed));
    }

    /// A hang-up needs no target; a text for people is no sound.
    async fn a_webhook_may_hang_up_without_a_cause(t) {
        let (url, _) = webhook(r#"{"action":"hangup"}"#).await;
        let did = Did { route: to("webhook"), webhook: &url, further: vec![("fallback", "voicemail:101")], ..Did::default() };
        let world = World::acme(&t, Some(did)).await;
        assert_eq!(brief(&world.route(DID).await), "hangup 16 webhook");
    }

    async fn overflow_goes_on_until_it_is_used_up(t) {
        let did = Did {
            route: RawDestination { timeout_s: 15, ..to("endpoint:101") },
            further: vec![("overflow", "queue:support"), ("overflow", "external:+15559990000"), ("fallback", "voicemail:101")],
            ..Did::default()
        };
        let world = World::acme(&t, Some(did)).await;
        world.tenant_destination("acme", "fallback", "playback:sorry").await;
        let mut trace = world.route(DID).await;
        assert_eq!(trace.decision.timeout_s, 15);
        let mut seen = vec![brief(&trace)];
        while !trace.decision.state.is_empty() {
            trace = world.next(&trace.decision.state).await;
            assert_eq!(trace.hook, Hook::Next);
            seen.push(brief(&trace));
        }
        assert_eq!(seen, [
            "endpoint acme-101 static", "queue acme-support overflow", "external +15559990000 overflow",
            "voicemail 101@acme fallback", "playback sorry fallback", "hangup 41 no-destination",
        ]);
    }

    async fn what_is_out_of_service_is_passed_over_with_a_step(t) {
        let did = Did { further: vec![("overflow", "endpoint:101"), ("overflow", "ivr:gone"), ("overflow", "voicemail:999"),
            ("overflow", "queue:none"), ("overflow", "endpoint:none")], ..Did::default() };
        let world = World::acme(&t, Some(did)).await;
        world.change("acme", "UPDATE queues SET status = 'inactive'").await;
        world.change("acme", "UPDATE endpoints SET status = 'inactive'").await;
        let trace = world.route(DID).await;
        assert_eq!(brief(&trace), "hangup 41 no-destination");
        assert_eq!(steps(&trace)[PASSED.len()..], ["static=queue-inactive", "overflow=endpoint-inactive", "overflow=no-such-menu",
            "overflow=no-such-mailbox", "overflow=no-such-queue", "overflow=no-such-endpoint", "destinations=exhausted"]);
    }

    async fn states_that_lead_nowhere_end_the_call(t) {
        let world = World::acme(&t, Some(Did::default())).await;
        for (state, expected) in [
            ("", "hangup 41 bad-state"),
            ("d:acme:+15550001000:x", "hangup 41 bad-state"),
            ("d:acme:+15550009999:p", "hangup 41 no-destination"),
            ("d:nobody:+15550001000:p", "hangup 41 unknown-did"),
            ("d:acme:+15550001000:o200", "hangup 41 no-destination"),
            ("d:acme:+15550001000:t", "hangup 41 no-destination"),
            ("i:none:101:p", "hangup 41 unknown-did"),
            ("i:acme:none:p", "hangup 41 no-destination"),
            ("i:acme:101:p", "voicemail 101@acme overflow"),
            ("i:acme:101:f", "hangup 41 no-destination"),
        ] {
            assert_eq!(brief(&world.next(state).await), expected, "{state}");
        }
    }

    /// The number goes to another tenant while a call to it waits: the call stays with the tenant it came to.
    async fn a_call_stays_with_its_tenant(t) {
        let world = World::acme(&t, Some(Did { further: vec![("overflow", "voicemail:101")], ..Did::default() })).await;
        world.tenant(&plain_tenant("globex")).await;
        let state = world.route(DID).await.decision.state;
        assert_eq!(brief(&world.next(&state).await), "voicemail 101@acme overflow");
        world.change("globex", "UPDATE dids SET tenant_id = 'globex'").await;
        world.change("acme", "UPDATE tenants SET name = 'Acme'").await;
        assert_eq!(world.route(DID).await.decision.tenant, Some(tenant("globex")));
        let trace = world.next(&state).await;
        assert_eq!((brief(&trace).as_str(), trace.decision.tenant), ("hangup 41 no-destination", Some(tenant("acme"))));
    }

    /// The demo on purpose, and every tenant: the same names, never each other's.
    async fn tenants_with_the_same_names_never_meet(t) {
        let world = World::acme(&t, Some(Did { further: vec![("overflow", "endpoint:101"), ("overflow", "queue:only-globex")], ..Did::default() })).await;
        world.tenant(&plain_tenant("globex")).await;
        world.targets("globex").await;
        world.queue("globex", "only-globex", "").await;
        world.did("globex", &Did { number: "+15550002000", further: vec![("overflow", "endpoint:101")], ..Did::default() }).await;
        world.listed("globex", "block", CALLER, 0).await;
        let mut state = world.route(DID).await.decision.state;
        while !state.is_empty() {
            let trace = world.next(&state).await;
            assert!(!trace.decision.target.contains("globex"), "{trace:#?}");
            state = trace.decision.state;
        }
        assert_eq!(brief(&world.route("+15550002000").await), "hangup 21 blocked");
        assert_eq!(brief(&world.route(DID).await), "queue acme-support static");
        // Extensions inside: acme's 101 reaches acme's, and a name of globex' is no extension of acme's.
        for (from, dialled, expected) in [
            ("acme-101", "101", "endpoint acme-101 extension"),
            ("globex-101", "101", "endpoint globex-101 extension"),
            ("acme-101", "600", "queue acme-support extension"),
            ("acme-101", "only-globex", "hangup 1 unknown-extension"),
            ("acme-101", "globex-101", "hangup 1 unknown-extension"),
            ("acme-101", "*97", "voicemail 101@acme voicemail-check"),
            ("acme-999", "101", "hangup 21 unknown-endpoint"),
            ("nobody-101", "101", "hangup 21 unknown-endpoint"),
            ("ACME-101", "101", "hangup 21 unknown-endpoint"),
            ("acme-101", "+15551234567", "hangup 21 outbound-denied"),
        ] {
            let inputs = Inputs { from_endpoint: from.into(), ..world.inputs(dialled) };
            let trace = world.router.internal(&world.ids.next(), inputs, Mode::Live).await;
            sound(&trace);
            assert_eq!(brief(&trace), expected, "{from} dials {dialled}");
        }
        // A number belongs to one tenant: nobody can take it as well.
        let id = world.ids.next();
        let number = crate::support::number(DID);
        let new = hookswitch::routing::store::write::NewDid {
            id: &id, number: &number, name: "", status: "active", route: to("queue:support"), plugin: "", schedule: "",
            record: false, max_calls: 0, webhook: None,
        };
        let mut tx = t.db.begin().await.unwrap();
        let taken = hookswitch::routing::store::write::did(&mut tx, &tenant("globex"), &new, 0).await.unwrap_err();
        assert!(hookswitch::db::is_unique_violation(&taken));
    }

    /// A queue of one tenant takes no endpoint of another, and no write reaches into another tenant.
    async fn writes_stay_inside_their_tenant(t) {
        let world = World::empty(&t);
        for id in ["acme", "globex"] {
            world.tenant(&plain_tenant(id)).await;
        }
        let (ours, theirs) = (world.queue("acme", "support", "").await, world.queue("globex", "support", "").await);
        let phone = world.endpoint("acme", "101").await;
        assert!(world.member("acme", &ours, &phone).await);
        assert!(!world.member("acme", &theirs, &phone).await && !world.member("globex", &theirs, &phone).await);
        assert_eq!(t.number("SELECT COUNT(*) FROM queue_members").await, 1);
        world.did("acme", &Did::default()).await;
        let mut tx = t.db.begin().await.unwrap();
        use hookswitch::routing::store::write::{NewWebhook, did_status, did_webhook};
        let number = crate::support::number(DID);
        assert!(!did_status(&mut tx, &tenant("globex"), &number, "inactive", 1).await.unwrap());
        let webhook = NewWebhook { url: "http://evil.test/", second_url: "", secret: crate::world::SECRET, timeout_ms: 100 };
        assert!(!did_webhook(&mut tx, &tenant("globex"), &number, webhook, 1).await.unwrap());
        assert!(did_status(&mut tx, &tenant("acme"), &number, "pending", 1).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(t.texts("SELECT CONCAT(status, webhook_url) FROM dids").await, ["pending"]);
    }

    async fn outbound_rules_go_by_the_longest_prefix(t) {
        let world = World::acme(&t, None).await;
        for (prefix, allowed) in [("+1", true), ("+1900", false), ("+19005550", true), ("+49", false)] {
            world.outbound("acme", prefix, allowed).await;
        }
        world.router.memory.refresh().await.unwrap();
        for (dialled, allowed) in [("+15551234567", true), ("0015551234567", true), ("+19001234567", false),
            ("+19005550123", true), ("+4930123456", false), ("+33123456789", false)] {
            let inputs = Inputs { from_endpoint: "acme-101".into(), ..world.inputs(dialled) };
            let trace = world.router.internal(&world.ids.next(), inputs, Mode::Live).await;
            assert_eq!(trace.decision.action == Action::External, allowed, "{dialled}: {}", brief(&trace));
        }
        world.status("acme", TenantStatus::Suspended).await;
        world.router.memory.refresh().await.unwrap();
        let inputs = Inputs { from_endpoint: "acme-101".into(), ..world.inputs("101") };
        assert_eq!(brief(&world.router.internal(&world.ids.next(), inputs, Mode::Live).await), "hangup 21 suspended-tenant");
    }
}

/// A server on the loopback that answers every question alike and keeps the questions.
async fn webhook(answer: &'static str) -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
    let bodies = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = Arc::clone(&bodies);
    let app = axum::Router::new().route(
        "/route",
        axum::routing::post(move |body: String| async move {
            kept.lock().unwrap().push(body);
            answer
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/route", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, bodies)
}

/// Any destination, usable or not, ours or (by name) theirs.
fn any_place() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "queue:support",
        "queue:off",
        "queue:gone",
        "endpoint:101",
        "endpoint:off",
        "endpoint:gone",
        "voicemail:101",
        "voicemail:gone",
        "ivr:main",
        "ivr:gone",
        "external:+15559990000",
        "playback:hello",
        "hangup:17",
        "queue:only-globex",
    ])
}

fn any_further() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let role = prop::sample::select(vec![
        "overflow", "overflow", "fallback", "closed", "holiday", "limit", "inactive",
    ]);
    prop::collection::vec((role, any_place()), 0..12)
}

/// Every path of every configuration ends, moves only on, and names nobody else's target. One world, many numbers.
#[test]
fn every_path_ends() {
    crate::support::run(crate::support::Kind::Sqlite, |t| async move {
        let world = World::acme(&t, None).await;
        world.tenant(&plain_tenant("globex")).await;
        world.queue("globex", "only-globex", "").await;
        world.queue("acme", "off", "").await;
        world.endpoint("acme", "off").await;
        world.change("acme", "UPDATE queues SET status = 'inactive' WHERE name = 'off'").await;
        world.change("acme", "UPDATE endpoints SET status = 'inactive' WHERE name = 'off'").await;
        world.menu("acme", "main", &[("1", "queue:support")], |_| {}).await;
        world.schedule("acme", "never", NEVER).await;
        world.tenant_destination("acme", "fallback", "voicemail:101").await;
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::default());
        let shape =
            (any_place(), any_further(), any::<(bool, bool, bool)>(), prop::sample::select(vec!["", "vip"]));
        let mut ends = std::collections::BTreeSet::new();
        for n in 0..150 {
            use proptest::strategy::ValueTree;
            let (route, further, (inactive, closed, full), plugin) =
                shape.new_tree(&mut runner).unwrap().current();
            let number = format!("+1555100{n:04}");
            let did = Did {
                number: &number,
                route: to(route),
                plugin,
                max_calls: 1,
                status: if inactive && n % 3 == 0 { "inactive" } else { "active" },
                schedule: if closed { "never" } else { "" },
                further: further.clone(),
                ..Did::default()
            };
            world.did("acme", &did).await;
            world.router.memory.reload(&tenant("acme")).await.unwrap();
            let inputs = Inputs { did_calls: u32::from(full && n % 2 == 0), ..world.inputs(&number) };
            let mut trace = world.route_with(inputs, Mode::Replay).await;
            let mut states = Vec::new();
            loop {
                let decision = &trace.decision;
                assert!(!decision.target.contains("globex"), "{did:?}: {trace:#?}");
                assert_eq!(decision.tenant, Some(tenant("acme")));
                ends.insert(decision.reason.to_string());
                if decision.state.is_empty() {
                    break;
                }
                assert!(!states.contains(&decision.state), "{did:?} comes back to {}", decision.state);
                states.push(decision.state.clone());
                assert!(states.len() <= 20, "{did:?} goes on for ever: {states:?}");
                trace = world.next(states.last().unwrap()).await;
            }
            assert_eq!(trace.decision.action, Action::Hangup, "{did:?}");
        }
        for reason in [
            "static",
            "overflow",
            "fallback",
            "closed",
            "did-limit",
            "inactive-did",
            "plugin-failed",
            "no-destination",
        ] {
            assert!(ends.contains(reason), "{reason} never came: {ends:?}");
        }
    });
}
