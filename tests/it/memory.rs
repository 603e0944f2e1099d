//! Routing data in memory: warm calls touch no database, changes arrive, a database that is away or slow holds nobody up.

use std::time::Duration;

use hookswitch::base::clock::Stopwatch;
use hookswitch::routing::types::Action;

use crate::support::{both_databases, tenant};
use crate::world::{DID, Did, World, brief, plain_tenant, router, steps};

both_databases! {
    async fn a_warm_call_touches_no_database(t) {
        let world = World::acme(&t, Some(Did { further: vec![("overflow", "endpoint:101")], ..Did::default() })).await;
        assert_eq!(world.router.memory.refresh().await.unwrap(), 1);
        t.db.close().await;
        let trace = world.route(DID).await;
        assert_eq!(brief(&trace), "queue acme-support static");
        assert_eq!(brief(&world.next(&trace.decision.state).await), "endpoint acme-101 overflow");
        assert_eq!((world.lookups("hit"), world.lookups("miss"), world.lookups("database")), (2, 0, 0));
        // A cold one goes where the operator's dialplan says.
        let cold = world.route("+15550009999").await;
        assert_eq!(cold.decision.action, Action::Fallback);
        assert_eq!(cold.decision.reason, "data-unavailable");
        assert_eq!(world.lookups("database"), 1);
        // And what was known stays known after a refresh that failed.
        world.router.memory.refresh().await.unwrap_err();
        assert_eq!(brief(&world.route(DID).await), "queue acme-support static");
    }

    async fn a_cold_call_reads_its_tenant_once(t) {
        let world = World::acme(&t, Some(Did::default())).await;
        for _ in 0..3 {
            assert_eq!(brief(&world.route(DID).await), "queue acme-support static");
        }
        assert_eq!((world.lookups("hit"), world.lookups("miss")), (2, 1));
        assert_eq!(world.router.memory.known(), (1, 1));
    }

    async fn changes_of_another_process_arrive_with_a_refresh(t) {
        let world = World::acme(&t, Some(Did::default())).await;
        let other = router(t.again().await, &world.clock, Duration::from_secs(20));
        assert_eq!(other.memory.refresh().await.unwrap(), 1);
        assert_eq!(other.memory.refresh().await.unwrap(), 0);
        world.tenant(&plain_tenant("globex")).await;
        world.targets("globex").await;
        world.did("globex", &Did { number: "+15550002000", ..Did::default() }).await;
        world.change("acme", "UPDATE dids SET route_type = 'endpoint', route_target = '101'").await;
        assert_eq!(other.memory.refresh().await.unwrap(), 2);
        let call = world.call();
        for (did, expected) in [(DID, "endpoint acme-101 static"), ("+15550002000", "endpoint globex-101 static")] {
            let trace = other.route(&call, world.inputs(did), hookswitch::routing::Mode::Live).await;
            assert_eq!(brief(&trace), expected);
        }
    }

    async fn the_refreshing_task_sees_changes_by_itself(t) {
        let world = World::acme(&t, Some(Did::default())).await;
        let other = std::sync::Arc::new(router(t.again().await, &world.clock, Duration::from_secs(20)));
        let (stopper, stopping) = hookswitch::base::shutdown::channel();
        let kept = std::sync::Arc::clone(&other);
        let task = tokio::spawn(async move { kept.memory.keep_fresh(Duration::from_millis(10), stopping).await });
        crate::support::eventually("the tenant in memory", async || (other.memory.known() == (1, 1)).then_some(())).await;
        world.change("acme", "UPDATE dids SET status = 'inactive'").await;
        crate::support::eventually("the change in memory", async || {
            let trace = other.route(&world.call(), world.inputs(DID), hookswitch::routing::Mode::Live).await;
            (trace.decision.reason == "inactive-did").then_some(())
        }).await;
        stopper.stop();
        task.await.unwrap();
    }

    async fn what_is_deleted_disappears(t) {
        let world = World::acme(&t, Some(Did::default())).await;
        world.did("acme", &Did { number: "+15550001001", ..Did::default() }).await;
        world.router.memory.refresh().await.unwrap();
        world.change("acme", &format!("UPDATE dids SET deleted_at = 5 WHERE number = '{DID}'")).await;
        assert_eq!(brief(&world.route(DID).await), "hangup 1 unknown-did");
        assert_eq!(brief(&world.route("+15550001001").await), "queue acme-support static");
        // A deleted number can be given to somebody else, and deleted again.
        world.tenant(&plain_tenant("globex")).await;
        world.targets("globex").await;
        world.did("globex", &Did::default()).await;
        world.router.memory.refresh().await.unwrap();
        assert_eq!(brief(&world.route(DID).await), "queue globex-support static");
        t.execute("UPDATE tenants SET deleted_at = 7 WHERE id = 'acme'").await.unwrap();
        world.router.memory.refresh().await.unwrap();
        assert_eq!(brief(&world.route("+15550001001").await), "hangup 1 unknown-did");
        assert_eq!(brief(&world.route(DID).await), "queue globex-support static");
        assert_eq!(world.router.memory.known(), (1, 1));
    }

    /// A number that moves from one tenant to another is never the first one's again, whoever is read first.
    async fn a_number_that_moves_belongs_to_its_new_tenant(t) {
        let world = World::acme(&t, Some(Did::default())).await;
        world.tenant(&plain_tenant("globex")).await;
        world.targets("globex").await;
        world.router.memory.refresh().await.unwrap();
        t.execute("UPDATE dids SET tenant_id = 'globex'").await.unwrap();
        for order in [["acme", "globex"], ["globex", "acme"]] {
            for id in order {
                world.router.memory.reload(&tenant(id)).await.unwrap();
            }
            assert_eq!(brief(&world.route(DID).await), "queue globex-support static");
        }
    }

    async fn unknown_numbers_are_remembered_until_somebody_has_them(t) {
        let world = World::acme(&t, None).await;
        world.router.memory.refresh().await.unwrap();
        for _ in 0..2 {
            let trace = world.route(DID).await;
            assert_eq!(brief(&trace), "hangup 1 unknown-did");
            assert_eq!(steps(&trace), ["did=unknown"]);
        }
        t.db.is_up(Duration::from_secs(5)).await;
        assert_eq!((world.lookups("unknown"), world.lookups("miss")), (2, 0));
        world.did("acme", &Did::default()).await;
        world.router.memory.refresh().await.unwrap();
        assert_eq!(brief(&world.route(DID).await), "queue acme-support static");
    }

    /// With more numbers than may be kept, a refresh must not bring back what has made room, once a second, for ever.
    async fn what_made_room_stays_away_until_it_is_called(t) {
        let world = World::acme(&t, Some(Did::default())).await;
        world.tenant(&plain_tenant("globex")).await;
        world.targets("globex").await;
        world.did("globex", &Did { number: "+15550002000", ..Did::default() }).await;
        let metrics = std::sync::Arc::default();
        let db = t.again().await;
        let plugins = hookswitch::plugins::Plugins::off(db.clone(), world.clock.clone());
        let memory = hookswitch::routing::memory::Memory::new(db, metrics, plugins, 1, Duration::from_secs(20));
        assert_eq!((memory.refresh().await.unwrap(), memory.known()), (2, (1, 1)));
        assert_eq!((memory.refresh().await.unwrap(), memory.known()), (0, (1, 1)));
        for did in [DID, "+15550002000", DID] {
            let found = memory.by_number(&crate::support::number(did)).await;
            assert!(matches!(found, hookswitch::routing::memory::Found::Rules(_)), "{found:?}");
            assert_eq!((memory.refresh().await.unwrap(), memory.known()), (0, (1, 1)));
        }
    }

    async fn one_bad_tenant_keeps_no_other_from_being_read(t) {
        let world = World::acme(&t, Some(Did::default())).await;
        for bad in ["bada", "badb"] {
            world.tenant(&plain_tenant(bad)).await;
        }
        t.execute("UPDATE tenants SET features = 'no json' WHERE id = 'bada'").await.unwrap();
        t.execute("UPDATE tenants SET status = 'odd' WHERE id = 'badb'").await.unwrap();
        world.router.memory.refresh().await.unwrap();
        t.db.close().await;
        assert_eq!(brief(&world.route(DID).await), "queue acme-support static");
    }

    async fn one_bad_row_takes_nothing_else_away(t) {
        let world = World::acme(&t, Some(Did { further: vec![("overflow", "endpoint:101")], ..Did::default() })).await;
        world.did("acme", &Did { number: "+15550001001", schedule: "office", ..Did::default() }).await;
        world.schedule("acme", "office", r#"{"zone":"UTC","weekly":[],"holidays":[]}"#).await;
        world.menu("acme", "main", &[("1", "queue:support")], |_| {}).await;
        world.listed("acme", "block", "+49*", 0).await;
        for (table, column) in [("schedules", "definition"), ("ivr_menus", "prompts"), ("number_rules", "pattern"), ("destinations", "type")] {
            t.execute(&format!("UPDATE {table} SET {column} = '}}?'")).await.unwrap();
        }
        t.execute("UPDATE dids SET route_target = 'Not A Name' WHERE number = '+15550001001'").await.unwrap();
        world.router.memory.refresh().await.unwrap();
        assert_eq!(brief(&world.route(DID).await), "queue acme-support static");
        // A schedule that can't be read is a closed door, and the trace says so.
        let trace = world.route("+15550001001").await;
        assert_eq!(brief(&trace), "hangup 20 closed");
        assert!(steps(&trace).contains(&"hours=schedule-missing".to_owned()), "{:?}", steps(&trace));
    }
}

/// A number of look-ups at once that is far beyond what is allowed: the surplus is refused at once, nobody waits.
#[tokio::test]
async fn a_hanging_server_holds_nobody_up() {
    // A server that accepts and never says anything: MySQL's server speaks first.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options =
        sqlx::mysql::MySqlConnectOptions::new().host("127.0.0.1").port(address.port()).username("x");
    let pool = sqlx::mysql::MySqlPoolOptions::new().connect_lazy_with(options);
    let world_clock = crate::support::clock();
    let router = std::sync::Arc::new(router(
        hookswitch::db::Db::MySql(pool),
        &world_clock,
        Duration::from_millis(200),
    ));
    let start = Stopwatch::start();
    let mut calls = Vec::new();
    for n in 0..200 {
        let router = std::sync::Arc::clone(&router);
        calls.push(tokio::spawn(async move {
            let ids = hookswitch::routing::CallIds {
                id: router.ids.next(),
                uniqueid: String::new(),
                linkedid: String::new(),
            };
            let inputs = hookswitch::routing::types::Inputs {
                dialled: format!("+1555000{n:04}"),
                ..Default::default()
            };
            router.route(&ids, inputs, hookswitch::routing::Mode::Live).await
        }));
    }
    for call in calls {
        let trace = call.await.unwrap();
        assert_eq!(trace.decision.action, Action::Fallback);
        assert_eq!(trace.decision.reason, "data-unavailable");
    }
    let took = start.elapsed_us();
    assert!((200_000..3_000_000).contains(&took), "{took} µs");
    let refused = hookswitch::base::metrics::Outcome { outcome: "refused" };
    assert_eq!(router.metrics.lookups.get_or_create(&refused).get(), 200 - 64);
}
