//! Calls out: emergency numbers that nothing holds up, destinations that the operator blocks, and how many and how fast.

use std::sync::Arc;

use hookswitch::base::ids::Name;
use hookswitch::routing::trace::Trace;
use hookswitch::routing::types::{Action, Inputs, WebhookReply};
use hookswitch::routing::{Mode, Router, Way};
use hookswitch::tenants::TenantStatus;

use crate::support::{both_databases, tenant};
use crate::world::{DID, Did, World, brief, sound, steps, to};

const OUT: &str = "+15559990000";

/// `acme` with endpoint 101, which may call what begins with +1.
async fn world(t: &Arc<crate::support::TestDb>, did: Option<Did<'_>>) -> World {
    let world = World::acme(t, did).await;
    world.outbound("acme", "+1", true).await;
    world.router.memory.refresh().await.unwrap();
    world
}

async fn dial(world: &World, dialled: &str) -> Trace {
    let inputs = Inputs { from_endpoint: "acme-101".into(), ..world.inputs(dialled) };
    let trace = world.router.internal(&world.ids.next(), inputs, Mode::Live).await;
    sound(&trace);
    trace
}

/// A change of the operator's lists.
async fn lists(world: &World, sql: &str) {
    assert!(world.test.execute(sql).await.unwrap() > 0, "{sql}");
    world.test.execute("UPDATE platform_versions SET version = version + 1").await.unwrap();
    world.router.memory.refresh().await.unwrap();
}

fn block(pattern: &str) -> String {
    format!(
        "INSERT INTO blocked_destinations (id, pattern, note, created_at) VALUES ('{pattern}', '{pattern}', '', 0)"
    )
}

both_databases! {
    /// Neither a suspension nor limits, a rule, a block, a trunk of the tenant's or an extension of the same digits.
    async fn an_emergency_call_goes_out_whatever_there_is(t) {
        let world = world(&t, None).await;
        assert_eq!(brief(&dial(&world, "112").await), "external 112 emergency");
        world.endpoint("acme", "112").await;
        world.outbound("acme", "112", false).await;
        world.outbound("acme", "911", true).await;
        world.change("acme", "UPDATE outbound_rules SET trunk = 'own' WHERE prefix = '911'").await;
        world.change("acme", "UPDATE tenants SET max_concurrent_calls = 1, max_outbound_calls = 1, max_outbound_rate = 1").await;
        world.change("acme", "UPDATE endpoints SET status = 'inactive' WHERE name = '101'").await;
        world.status("acme", TenantStatus::Suspended).await;
        lists(&world, &block("112")).await;
        world.router.memory.reload(&tenant("acme")).await.unwrap();
        for dialled in ["112", "911", "112", "911", "112"] {
            let full = Inputs { from_endpoint: "acme-101".into(), tenant_calls: 9, ..world.inputs(dialled) };
            for trace in [dial(&world, dialled).await, world.router.internal(&world.ids.next(), full, Mode::Replay).await] {
                assert_eq!((brief(&trace), steps(&trace)), (format!("external {dialled} emergency"), vec!["emergency=emergency".to_owned()]));
                assert_eq!(trace.decision.trunk, None);
                assert_eq!(brief(&world.next(&trace.decision.state).await), "hangup 41 no-destination");
            }
        }
        assert_eq!(world.router.live.outside(&tenant("acme")), 0);
        // It is one's own country that counts, and nothing but the number itself.
        lists(&world, "INSERT INTO emergency_numbers (id, number, country, note, created_at) VALUES ('de', '110', 'DE', '', 0)").await;
        assert_eq!(brief(&dial(&world, "110").await), "hangup 21 unknown-endpoint");
        world.change("acme", "UPDATE tenants SET country = 'DE'").await;
        assert_eq!(brief(&dial(&world, "110").await), "external 110 emergency");
        for other in ["1121", "11", "+112", "0112", "112#"] {
            assert_eq!(brief(&dial(&world, other).await), "hangup 21 unknown-endpoint", "{other}");
        }
        lists(&world, "DELETE FROM emergency_numbers").await;
        assert_eq!(brief(&dial(&world, "112").await), "hangup 21 unknown-endpoint");
    }

    /// The database is away and the tenant not in memory: help is called all the same.
    async fn an_emergency_call_needs_no_database(t) {
        let world = world(&t, None).await;
        let db = t.again().await;
        let mut router = crate::world::router(db.clone(), &world.clock, std::time::Duration::from_millis(200));
        db.close().await;
        let inputs = |dialled: &str| Inputs { from_endpoint: "acme-101".into(), ..world.inputs(dialled) };
        let trace = router.internal(&world.ids.next(), inputs("112"), Mode::Live).await;
        assert_eq!(trace.decision.action, Action::Fallback, "it never heard of the number");
        router.memory.platform = Arc::clone(&world.router.memory.platform);
        let trace = router.internal(&world.ids.next(), inputs("112"), Mode::Live).await;
        assert_eq!((brief(&trace), trace.decision.tenant), ("external 112 emergency".to_owned(), Some(tenant("acme"))));
        assert_eq!(router.internal(&world.ids.next(), inputs(OUT), Mode::Live).await.decision.action, Action::Fallback);
        // Which country it is cannot be known now.
        lists(&world, "INSERT INTO emergency_numbers (id, number, country, note, created_at) VALUES ('de', '110', 'DE', '', 0)").await;
        let trace = router.internal(&world.ids.next(), inputs("110"), Mode::Live).await;
        assert_eq!(brief(&trace), "external 110 emergency");
    }

    /// Every way outside: what a phone dials, a number's own destinations, a webhook's answer, the operator's own.
    async fn what_the_operator_blocks_nobody_calls(t) {
        let further = vec![("overflow", "external:+15559990001"), ("overflow", "voicemail:101")];
        let mut world = world(&t, Some(Did { route: to("external:+15559990000"), further, ..Did::default() })).await;
        world.did("acme", &Did { number: "+15550001001", route: to("external:+15559990000"), ..Did::default() }).await;
        let webhook = Did { number: "+15550001002", route: to("webhook"), webhook: "http://127.0.0.1:1/", further: vec![("fallback", "voicemail:101")], ..Did::default() };
        world.did("acme", &webhook).await;
        world.outbound("acme", "118", true).await;
        world.router.memory.reload(&tenant("acme")).await.unwrap();
        assert_eq!(brief(&world.route(DID).await), "external +15559990000 static");
        assert_eq!(brief(&dial(&world, OUT).await), "external +15559990000 outbound");
        assert_eq!(brief(&dial(&world, "118").await), "external 118 outbound");
        lists(&world, &block("+1555999*")).await;
        lists(&world, &block("118")).await;
        for dialled in [OUT, "0015559990000", "118"] {
            let trace = dial(&world, dialled).await;
            assert_eq!(brief(&trace), "hangup 21 blocked-destination", "{dialled}");
            assert!(steps(&trace).contains(&"outbound=blocked-destination".to_owned()));
        }
        assert_eq!(brief(&dial(&world, "+15558880000").await), "external +15558880000 outbound");
        let trace = world.route(DID).await;
        assert_eq!(brief(&trace), "voicemail 101@acme overflow");
        assert!(steps(&trace).contains(&"static=blocked-destination".to_owned()));
        assert_eq!(brief(&world.route("+15550001001").await), "hangup 21 blocked-destination");
        let answer = r#"{"action":"external","target":"+15559990000"}"#;
        let answered = Inputs { webhook: Some(WebhookReply::Answer(serde_json::from_str(answer).unwrap())), ..world.inputs("+15550001002") };
        assert_eq!(brief(&world.route_with(answered.clone(), Mode::Replay).await), "voicemail 101@acme webhook-failed");
        // A plan that was made before the block.
        assert_eq!(brief(&world.next("d:acme:+15550001000:o1~x0-+15559990000").await), "hangup 41 no-destination");
        let operators = hookswitch::routing::types::Destination::check(&to("external:+15559990000")).unwrap();
        world.router.unknown = Some(operators);
        assert_eq!(brief(&world.route("+15550009999").await), "hangup 21 blocked-destination");
        lists(&world, "DELETE FROM blocked_destinations").await;
        assert_eq!(brief(&world.route("+15550009999").await), "external +15559990000 unknown-did");
        assert_eq!(brief(&world.route_with(answered, Mode::Replay).await), "external +15559990000 webhook");
    }

    async fn calls_out_at_a_time_are_counted_until_they_come_back(t) {
        let further = vec![("overflow", "external:+15559990001"), ("overflow", "voicemail:101")];
        let did = Did { route: to("external:+15559990000"), further, ..Did::default() };
        let world = world(&t, Some(did)).await;
        world.change("acme", "UPDATE tenants SET max_outbound_calls = 1, max_outbound_rate = 0").await;
        let call = world.call();
        let trace = world.router.route(&call, world.inputs(DID), Mode::Live).await;
        assert_eq!(brief(&trace), "external +15559990000 static");
        // The next one takes the first destination that does not lead outside.
        let other = world.route(DID).await;
        assert_eq!(brief(&other), "voicemail 101@acme overflow");
        assert!(steps(&other).contains(&"outbound-limits=outbound-limit".to_owned()), "{:?}", steps(&other));
        assert_eq!(brief(&dial(&world, OUT).await), "hangup 17 outbound-limit");
        assert_eq!(brief(&dial(&world, "101").await), "endpoint acme-101 extension");
        // Decided again from its inputs, it is the same although nobody is outside.
        assert_eq!(brief(&world.route_with(other.inputs, Mode::Replay).await), "voicemail 101@acme overflow");
        // It stays one call while it is sent from one number outside to the next, and is none once it is sent inside.
        let next = world.router.next(Some(&call.id), &trace.decision.state, world.inputs("")).await;
        assert_eq!((brief(&next), world.router.live.outside(&tenant("acme"))), ("external +15559990001 overflow".into(), 1));
        let next = world.router.next(Some(&call.id), &next.decision.state, world.inputs("")).await;
        assert_eq!((brief(&next), world.router.live.outside(&tenant("acme"))), ("voicemail 101@acme overflow".into(), 0));
        assert_eq!(brief(&dial(&world, OUT).await), "external +15559990000 outbound");
    }

    /// As a click asks before it has anybody's phone ring.
    async fn a_call_too_many_is_known_before_it_begins(t) {
        let world = world(&t, None).await;
        world.change("acme", "UPDATE tenants SET max_concurrent_calls = 2, max_outbound_calls = 1").await;
        let (acme, from) = (tenant("acme"), Name::parse("101").unwrap());
        let would = async |to: &str, another| world.router.would_dial(&acme, &from, to, another).await;
        assert_eq!((would(OUT, true).await, would("101", true).await), (Ok(Way::Outside), Ok(Way::Inside)));
        dial(&world, OUT).await;
        assert_eq!(would(OUT, true).await, Err("outbound-limit".into()));
        assert_eq!((would(OUT, false).await, would("101", true).await), (Ok(Way::Outside), Ok(Way::Inside)));
        world.router.live.add(&world.ids.next(), Some(&acme), "");
        world.router.live.add(&world.ids.next(), Some(&acme), "");
        assert_eq!(would("101", true).await, Err("tenant-limit".into()));
        assert!(Router::is_limit("tenant-limit") && Router::is_limit("outbound-limit"));
        assert!(!Router::is_limit("no-destination"));
        assert_eq!(would("112", true).await, Ok(Way::Emergency));
        // Nothing of it was counted.
        assert_eq!((world.router.live.counts(&acme, "").0, world.router.live.outside(&acme)), (2, 1));
    }

    async fn calls_out_in_a_second_are_counted(t) {
        let did = Did { route: to("external:+15559990000"), ..Did::default() };
        let world = world(&t, Some(did)).await;
        world.change("acme", "UPDATE tenants SET max_outbound_rate = 1").await;
        assert_eq!(brief(&dial(&world, "101").await), "endpoint acme-101 extension");
        let first = dial(&world, OUT).await;
        assert_eq!(brief(&first), "external +15559990000 outbound");
        assert!(steps(&first).contains(&"outbound-limits=pass".to_owned()));
        let trace = dial(&world, OUT).await;
        assert_eq!((brief(&trace).as_str(), trace.inputs.too_fast), ("hangup 42 rate-limit", true));
        assert!(steps(&trace).contains(&"outbound-limits=rate-limit".to_owned()));
        assert_eq!(brief(&world.route(DID).await), "hangup 42 rate-limit");
        assert_eq!(brief(&dial(&world, "112").await), "external 112 emergency");
        assert_eq!(brief(&world.router.internal(&world.ids.next(), trace.inputs, Mode::Replay).await), "hangup 42 rate-limit");
        // Refused calls are not outside, and another tenant has a pace of its own.
        assert_eq!(world.router.live.outside(&tenant("acme")), 1);
        world.tenant(&crate::world::plain_tenant("globex")).await;
        world.targets("globex").await;
        world.outbound("globex", "+1", true).await;
        world.change("globex", "UPDATE tenants SET max_outbound_rate = 1").await;
        let inputs = Inputs { from_endpoint: "globex-101".into(), ..world.inputs(OUT) };
        assert_eq!(brief(&world.router.internal(&world.ids.next(), inputs, Mode::Live).await), "external +15559990000 outbound");
        // A new limit counts at once.
        world.change("acme", "UPDATE tenants SET max_outbound_rate = 0").await;
        for _ in 0..20 {
            assert_eq!(brief(&dial(&world, OUT).await), "external +15559990000 outbound");
        }
    }
}
