//! The database goes away under the real service: calls are still routed, and all of them are there afterwards.

use crate::support::call::Call;
use crate::support::mariadb::MariaDb;
use crate::support::phone::Phone;
use crate::support::scenario::Behaviour;
use crate::support::service::{Database, Service, ServiceOptions};
use crate::support::wait;
use crate::support::world::World;
use sqlx::Connection as _;

const ANSWERS: Behaviour = Behaviour::Answers { after_ms: 100, hangs_up_after_ms: None };

/// Five calls of which one is answered; all are decided as if nothing had happened.
fn calls_as_ever(world: &World, phone: &Phone) {
    let before = phone.answered();
    for _ in 0..4 {
        Call::to("+15550001009").expect_refused(&world.pbx, 404);
    }
    Call::to("+15550001001").stay(300).expect_answered(&world.pbx);
    assert_eq!(phone.answered(), before + 1);
    world.pbx.wait_idle();
    assert!(!world.pbx.log().contains("Hookswitch did not decide"), "{}", world.service.log());
}

fn behind(service: &Service) -> f64 {
    service.metric(&["hookswitch_journal_behind"])
}

fn all_there(world: &World, calls: usize) {
    let booked = world.books();
    assert_eq!(booked.len(), calls);
    assert!(booked.iter().all(|b| b.row.ended_by == "hook" && b.traces.len() == 1), "{booked:#?}");
    assert_eq!(world.service.metric(&["hookswitch_journal_lost"]), 0.0);
    assert_eq!(world.service.metric(&["hookswitch_journal_rejected"]), 0.0);
    assert!(world.pbx.kept_reports().is_empty());
}

#[test]
fn mariadb_freezes_and_dies() {
    let mut mariadb = MariaDb::start();
    let world = World::start(&ServiceOptions::new(Database::MySqlAt(mariadb.url())));
    let phone = Phone::start(&world.pbx, "acme-101", ANSWERS);
    calls_as_ever(&world, &phone);
    let ready = || world.service.get("/readyz").unwrap();
    assert!(ready().1.contains("\"database\":\"up\""), "{:?}", ready());

    mariadb.freeze();
    calls_as_ever(&world, &phone);
    let (status, page) = ready();
    assert!(status == 200 && page.contains("\"database\":\"down\""), "{status} {page}");
    // Five beginnings and five ends.
    assert!(behind(&world.service) >= 10.0);
    mariadb.thaw();
    all_there(&world, 10);

    mariadb.kill();
    calls_as_ever(&world, &phone);
    let (status, page) = ready();
    assert!(status == 200 && page.contains("\"database\":\"down\""), "{status} {page}");
    assert!(behind(&world.service) >= 10.0);
    mariadb.start_again();
    all_there(&world, 15);
    wait::until("the database to be up", || ready().1.contains("\"database\":\"up\"").then_some(()));
}

#[test]
fn sqlite_is_locked() {
    let world = World::start(&ServiceOptions::new(Database::Sqlite));
    let phone = Phone::start(&world.pbx, "acme-101", ANSWERS);
    calls_as_ever(&world, &phone);
    world.service.wait_drained();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let file = format!("sqlite://{}/hookswitch.db", world.service.data().display());
    let mut other = runtime.block_on(sqlx::SqliteConnection::connect(&file)).unwrap();
    runtime.block_on(sqlx::query("BEGIN EXCLUSIVE").execute(&mut other)).unwrap();
    calls_as_ever(&world, &phone);
    assert_eq!(world.service.get("/readyz").unwrap().0, 200);
    assert!(behind(&world.service) >= 10.0);
    runtime.block_on(sqlx::query("ROLLBACK").execute(&mut other)).unwrap();
    all_there(&world, 10);
}
