//! What may go wrong around phones and queues that come from the service: nothing hangs, and the state is right again soon.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::service_realtime::{ANSWERS, CALLER, NUMBER, Way, furnish, newco, ready, start, text};
use crate::support::asterisk::Pbx;
use crate::support::call::Call;
use crate::support::mariadb::MariaDb;
use crate::support::phone::{Phone, register};
use crate::support::ports;
use crate::support::service::Database;
use crate::support::wait;

/// Waits until the queue would ring the phone.
fn found(pbx: &Pbx) {
    wait::until("the phone to be found", || {
        pbx.cli("queue show newco-support").contains("(Not in use)").then_some(())
    });
}

on_both! { a_queue_with_callers_inside_stays_for_them }

/// Whoever wants it gone takes it out of service: no more callers come, those inside are answered, then it goes.
fn a_queue_with_callers_inside_stays_for_them(database: Database) {
    let (service, pbx) = start(Way::Http, database);
    let root = newco(&service);
    let (endpoint, password, queue, _) = furnish(&root);
    let path = format!("/queues/{queue}");
    root.ask("PATCH", &path, &json!({"max_wait_s": 60}), 200);
    let [port] = ports::free();
    // Nobody is there yet.
    let calling = Call::to(NUMBER).from(CALLER).stay(15_000).start(&pbx);
    wait::until("a caller", || (root.get(&format!("{path}/live"))["waiting_count"] == 1).then_some(()));
    let did = root.list("/dids").remove(0);
    root.ask("DELETE", &format!("/dids/{}", text(&did, "id")), &Value::Null, 204);
    let refused = root.ask("DELETE", &path, &Value::Null, 409);
    assert_eq!(refused["code"], "callers-inside", "{refused}");
    root.ask("PATCH", &path, &json!({"status": "inactive"}), 200);
    assert!(register(&pbx, ("newco-101", &password), port, 300));
    let phone = Phone::at(port, "newco-101", ANSWERS);
    phone.wait_answered(0);
    calling.finish();
    wait::until("the queue to be empty", || {
        let (status, _) = root.try_ask("DELETE", &path);
        (status == 204).then_some(())
    });
    let cdr = root.wait_list("/cdrs", 1).remove(0);
    assert_eq!(text(&cdr, "disposition"), "ANSWERED", "{cdr}");
    root.ask("DELETE", &format!("/endpoints/{endpoint}"), &Value::Null, 204);
    let complaints = pbx.complaints();
    assert!(!complaints.iter().any(|line| line.contains("queue")), "{complaints:#?}");
}

/// A registration that runs out while its phone talks ends no call; with the next one the phone rings again.
#[test]
fn a_registration_runs_out_during_a_call() {
    let (service, pbx) = start(Way::Http, Database::Sqlite);
    let root = newco(&service);
    let (endpoint, password, ..) = furnish(&root);
    let path = format!("/endpoints/{endpoint}");
    let [port] = ports::free();
    // Asterisk takes none for a shorter time.
    assert!(register(&pbx, ("newco-101", &password), port, 60));
    let phone = Phone::at(port, "newco-101", ANSWERS);
    found(&pbx);
    let calling = Call::to(NUMBER).from(CALLER).stay(75_000).start(&pbx);
    phone.wait_answered(0);
    sleep(Duration::from_secs(61));
    let seen = wait::until("the registration to run out", || {
        Some(root.get(&path)).filter(|seen| seen["registered"] == false)
    });
    assert_eq!(seen["registered_since"], Value::Null);
    let told = root.list("/events?types=endpoint.unregistered");
    assert_eq!((told.len(), &told[0]["data"]["cause"]), (1, &json!("expired")), "{told:?}");
    assert!(root.list("/cdrs").is_empty(), "the call goes on");
    calling.finish();
    let cdr = root.wait_list("/cdrs", 1).remove(0);
    assert_eq!(text(&cdr, "disposition"), "ANSWERED", "{cdr}");
    assert!(cdr["billed_s"].as_i64().unwrap() >= 74, "{cdr}");
    drop(phone);
    assert!(register(&pbx, ("newco-101", &password), port, 300));
    let phone = Phone::at(port, "newco-101", ANSWERS);
    found(&pbx);
    Call::to(NUMBER).from(CALLER).stay(1_500).expect_answered(&pbx);
    assert_eq!(phone.answered(), 1);
}

/// A minute without the database: phones register, calls find them, and all of it is in the books two seconds after its
/// return.
#[test]
fn the_database_is_gone_for_a_minute() {
    let mut mariadb = MariaDb::start();
    let (service, pbx) = start(Way::Http, Database::MySqlAt(mariadb.url()));
    let root = newco(&service);
    let (endpoint, password, ..) = furnish(&root);
    // Its desk phone stays where it is, another comes and goes.
    root.ask("PATCH", &format!("/endpoints/{endpoint}"), &json!({"max_registrations": 2}), 200);
    let (_, phone) = ready(&pbx, &password);
    let [elsewhere] = ports::free();
    Call::to(NUMBER).from(CALLER).stay(1_500).expect_answered(&pbx);
    mariadb.kill();
    let since = wait::now();
    let mut calls = 1;
    while since.elapsed() < Duration::from_secs(60) {
        assert!(register(&pbx, ("newco-101", &password), elsewhere, 300));
        assert!(register(&pbx, ("newco-101", &password), elsewhere, 0));
        Call::to(NUMBER).from(CALLER).stay(1_500).expect_answered(&pbx);
        calls += 1;
        assert_eq!(phone.answered(), calls);
    }
    assert!(register(&pbx, ("newco-101", &password), elsewhere, 300));
    mariadb.start_again();
    sleep(Duration::from_secs(2));
    assert_eq!(root.get(&format!("/endpoints/{endpoint}"))["registered"], true);
    let registrations = root.list(&format!("/endpoints/{endpoint}/registrations"));
    assert_eq!(registrations.len(), 2, "{registrations:?}");
    assert!(registrations.iter().any(|one| one["port"] == elsewhere), "{registrations:?}");
    assert_eq!(root.list("/cdrs?limit=100").len(), calls);
    let joined = root.list("/events?types=queue.caller_joined&limit=200");
    assert_eq!(joined.len(), calls, "every caller was seen in the queue");
    assert!(service.metric(&["hookswitch_journal_lost"]) == 0.0);
}
