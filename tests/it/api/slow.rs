//! Requests that take long: each operation has its deadline.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hookswitch::api::{Action, Handler, Operation, Record, Reply, Who};
use hookswitch::app;
use hookswitch::base::clock::Stopwatch;
use hookswitch::base::role::Roles;
use hookswitch::config::limits::plugins::COMPILE_TIME;
use hookswitch::http::dispatch::dispatch;
use tokio::sync::Notify;
use tower::ServiceExt as _;

use super::app::TestApp;
use crate::support::{Kind, run};

/// An operation ends at its own deadline, and not at another's.
#[test]
fn what_takes_longer_than_its_operation_may_is_ended() {
    run(Kind::Sqlite, |test| async move {
        let app = TestApp::new(test).await;
        let ask = async |takes: Duration, deadline: Duration| {
            let operation = Operation {
                who: Who::Public,
                deadline,
                ..Operation::new("slow.get", "GET", "/slow", "Slow", Roles::ALL)
            };
            let handler = Handler::read(move |_| {
                Box::pin(async move {
                    tokio::time::sleep(takes).await;
                    Ok(Reply::empty())
                })
            });
            let request = Request::get("/slow").body(Body::empty()).unwrap();
            let (gate, action) = (Arc::clone(&app.gate), Arc::new(Action { operation, handler }));
            let routes = axum::Router::new()
                .route("/slow", axum::routing::get(move |request| dispatch(gate, action, request)));
            routes.oneshot(request).await.unwrap().status()
        };
        let (short, long) = (Duration::from_millis(20), Duration::from_secs(3_600));
        let start = Stopwatch::start();
        assert_eq!(ask(long, short).await, 503);
        // At its own, which is shorter than the usual one.
        assert!(u128::from(start.elapsed_us()) < Operation::DEADLINE.as_micros() / 2);
        assert_eq!(ask(short, long).await, 204);
    });
}

/// Who hangs up, or waits no longer, stops no change half-way; a question it stops.
#[test]
fn a_change_outlives_who_asked_for_it() {
    run(Kind::Sqlite, |test| async move {
        let app = TestApp::new(test).await;
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (done, asked) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let waits = {
            let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
            move || {
                let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
                async move {
                    begun.notify_one();
                    go_on.notified().await;
                }
            }
        };
        let change = {
            let (waits, done) = (waits.clone(), Arc::clone(&done));
            Handler::prepared(
                move |_| {
                    let waits = waits();
                    Box::pin(async move {
                        waits.await;
                        Ok(Record::new())
                    })
                },
                move |_, _| {
                    let done = Arc::clone(&done);
                    Box::pin(async move {
                        done.notify_one();
                        Ok(Reply { unchanged: true, ..Reply::empty() })
                    })
                },
            )
        };
        let question = {
            let asked = Arc::clone(&asked);
            Handler::read(move |_| {
                let (waits, asked) = (waits(), Arc::clone(&asked));
                Box::pin(async move {
                    waits.await;
                    asked.store(true, Ordering::SeqCst);
                    Ok(Reply::empty())
                })
            })
        };
        let ask = |method: &'static str, handler: Handler, deadline: Duration| {
            let operation = Operation {
                who: Who::Public,
                deadline,
                ..Operation::new("slow.any", method, "/slow", "Slow", Roles::ALL)
            };
            let (gate, action) = (Arc::clone(&app.gate), Arc::new(Action { operation, handler }));
            let routes = axum::Router::new()
                .route("/slow", axum::routing::any(move |request| dispatch(gate, action, request)));
            routes.oneshot(Request::builder().method(method).uri("/slow").body(Body::empty()).unwrap())
        };
        let long = Duration::from_secs(3_600);
        // The client goes.
        let mut asking = tokio::spawn(ask("POST", change.clone(), long));
        tokio::select! {
            () = begun.notified() => {}
            answer = &mut asking => panic!("{answer:?}"),
        }
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled());
        go_on.notify_one();
        done.notified().await;
        // The client is told that it took too long.
        assert_eq!(ask("POST", change, Duration::from_millis(20)).await.unwrap().status(), 503);
        begun.notified().await;
        go_on.notify_one();
        done.notified().await;
        // A question is not asked on for nobody.
        let asking = tokio::spawn(ask("GET", question, long));
        begun.notified().await;
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled());
        assert_eq!(Arc::strong_count(&asked), 1, "the question is gone with who asked");
        assert!(!asked.load(Ordering::SeqCst));
    });
}

/// Whatever may wait for the compiler has the compiler's time, and says so.
#[test]
fn what_compiles_may_take_as_long_as_compiling_may() {
    let operations = app::api::operations().unwrap();
    let longer: BTreeSet<&str> =
        operations.iter().filter(|o| o.deadline > COMPILE_TIME).map(|o| o.id.as_ref()).collect();
    let compiling = BTreeSet::from([
        "plugin-versions.upload",
        "plugin-versions.activate",
        "plugins.rollback",
        "plugins.set-canary",
        "plugins.set-shadow",
        "plugin-versions.test",
    ]);
    assert_eq!(longer, compiling);
    let document = app::api::document().unwrap();
    let upload = &document["paths"]["/api/v1/plugins/{plugin_id}/versions"]["post"]["description"];
    assert!(upload.as_str().unwrap().contains("May take up to 180 s."), "{upload}");
    // A report counts up to 400,000 rows, statistics what a tenant has.
    let counting = ["queues.report", "cdrs.stats"];
    let usual = |o: &&Operation| !compiling.contains(o.id.as_ref()) && !counting.contains(&o.id.as_ref());
    for operation in operations.iter().filter(usual) {
        assert_eq!(operation.deadline, Operation::DEADLINE, "{}", operation.id);
    }
}
